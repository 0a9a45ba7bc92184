"""How often a password may be tried: per address and over all addresses, in bounded memory."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

ADDRESS_TRIES, ADDRESS_EVERY_S = 5, 60.0
"""Tries of one address in a row, and then one more each time this has passed."""
ALL_TRIES, ALL_EVERY_S = 30, 10.0
"""The same for all addresses together: a whole network guesses no faster."""
ADDRESSES_KEPT = 512


@dataclass
class _Bucket:
    left: float
    at_s: float


class LoginLimit:
    """Counts tries. A try that succeeds is given back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all = _Bucket(ALL_TRIES, clock())
        self._addresses: OrderedDict[str, _Bucket] = OrderedDict()

    @property
    def addresses(self) -> int:
        """Addresses that are remembered."""
        return len(self._addresses)

    def wait_s(self, address: str) -> float:
        """Take one try of an address and return 0, or return for how many seconds there is none."""
        mine, now_s = self._bucket(network_of(address)), self._clock()
        _refill(mine, now_s, ADDRESS_TRIES, ADDRESS_EVERY_S)
        _refill(self._all, now_s, ALL_TRIES, ALL_EVERY_S)
        wait_s = max((1 - mine.left) * ADDRESS_EVERY_S, (1 - self._all.left) * ALL_EVERY_S, 0.0)
        if not wait_s:
            mine.left -= 1
            self._all.left -= 1
        return wait_s

    def succeeded(self, address: str) -> None:
        """Give the tries of an address back: it knows the password."""
        self._bucket(network_of(address)).left = ADDRESS_TRIES
        self._all.left = min(self._all.left + 1, ALL_TRIES)

    def _bucket(self, network: str) -> _Bucket:
        bucket = self._addresses.pop(network, None) or _Bucket(ADDRESS_TRIES, self._clock())
        self._addresses[network] = bucket
        # What is forgotten had the oldest try; the limit of all addresses holds all the same.
        while len(self._addresses) > ADDRESSES_KEPT:
            self._addresses.popitem(last=False)
        return bucket


def network_of(address: str) -> str:
    """Return what one attacker has at least: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))


def _refill(bucket: _Bucket, now_s: float, most: int, every_s: float) -> None:
    bucket.left = min(most, bucket.left + (now_s - bucket.at_s) / every_s)
    bucket.at_s = now_s
