"""The limits of signing in, and sessions, on a clock of the test."""

from __future__ import annotations

import pytest

from edge.page import connections, gate, limits, live, routes, sessions
from edge.page.connections import Times
from edge.page.limits import LoginLimit, network_of
from edge.page.sessions import Sessions
from tests.edge.page.conftest import Clock
from tests.edge.parts import ROOT


def tries(limit: LoginLimit, address: str) -> int:
    count = 0
    while not limit.wait_s(address):
        count += 1
    return count


def test_an_address_has_a_few_tries_and_later_one_by_one() -> None:
    clock = Clock()
    limit = LoginLimit(clock)
    assert tries(limit, "192.168.1.7") == limits.ADDRESS_TRIES
    assert limit.wait_s("192.168.1.7") == limits.ADDRESS_EVERY_S
    assert tries(limit, "192.168.1.8") == limits.ADDRESS_TRIES
    clock.now_s += limits.ADDRESS_EVERY_S
    assert tries(limit, "192.168.1.7") == 1


def test_who_knows_the_password_has_all_tries_again() -> None:
    limit = LoginLimit(Clock())
    assert not limit.wait_s("192.168.1.7")
    limit.succeeded("192.168.1.7")
    assert tries(limit, "192.168.1.7") == limits.ADDRESS_TRIES


def test_a_thousand_addresses_together_have_few_tries_and_take_little_memory() -> None:
    clock = Clock()
    limit = LoginLimit(clock)
    assert sum(tries(limit, f"10.0.{n >> 8}.{n & 255}") for n in range(1000)) == limits.ALL_TRIES
    assert limit.addresses == limits.ADDRESSES_KEPT
    clock.now_s += limits.ALL_EVERY_S
    assert sum(tries(limit, f"10.1.{n >> 8}.{n & 255}") for n in range(1000)) == 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.168.1.7", "192.168.1.7"),
        ("unknown", "unknown"),
    ],
)
def test_all_addresses_of_one_ipv6_network_count_as_one(address: str, network: str) -> None:
    assert network_of(address) == network


def test_the_docs_state_the_limits() -> None:
    times, kb, minutes, hours = Times(), 1 << 10, sessions.IDLE_S / 60, sessions.ABSOLUTE_S / 3600
    all_tries = f"{limits.ALL_TRIES} over all addresses, then one every {limits.ALL_EVERY_S:.0f} s"
    rows = (
        f"{limits.ADDRESS_TRIES} of an address, then one a minute; {all_tries}",
        f"ends after {minutes:.0f} minutes without interaction, and after {hours:.0f} hours",
        f"{connections.CONNECTIONS}, of one address {connections.EACH}",
        f"{times.header_s:.0f} s; a body also {connections.BODY_PER_S // 1000} kB per second",
        f"{gate.HEADER_BYTES // kb} kB, {routes.FORM_BYTES // kb} kB, {routes.MODEL_BYTES // kb // kb} MB",
        f"{live.VIEWERS}, each {live.PER_S:.0f} pictures per second",
    )
    page = (ROOT / "docs/page.md").read_text(encoding="utf-8")
    assert [row for row in rows if f"| {row} |" not in page] == []
    assert (limits.ADDRESS_EVERY_S, times.header_s) == (60.0, times.body_s)


def test_there_are_few_sessions_and_the_idlest_ends_for_a_new_one() -> None:
    clock = Clock()
    all_sessions = Sessions(clock)
    tokens = []
    for _ in range(sessions.MOST + 1):
        clock.now_s += 1
        tokens.append(all_sessions.open("owner", "192.168.1.7")[0])
    assert all_sessions.find(tokens[0]) is None
    assert all(all_sessions.find(token) for token in tokens[1:])


def test_a_token_is_not_kept_in_memory() -> None:
    all_sessions = Sessions(Clock())
    token, session = all_sessions.open("owner", "192.168.1.7")
    assert all_sessions.find(token) is session
    assert token not in repr(vars(all_sessions))
