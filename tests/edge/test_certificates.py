"""Certificates that the system's openssl makes: what they are for, and that strict checks accept them."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from pathlib import Path

import pytest

from edge import certificates
from edge.certificates import Pair
from edge.errors import SettingsError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def authority() -> Pair:
    return certificates.authority()


def served_as(pair: Pair, trusted: Pair, name: str, folder: Path) -> str:
    """Connect to a server with ``pair`` as ``name``, with the strictest checks; return why that fails, or ""."""
    (folder / "server.pem").write_bytes(pair.certificate + pair.key)
    (folder / "trusted.pem").write_bytes(trusted.certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    client = ssl.create_default_context(cafile=folder / "trusted.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(far, server_side=True).close()
        except (ssl.SSLError, OSError):
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(near, server_hostname=name).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    finally:
        near.close()
        thread.join()
    return ""


def test_a_signed_certificate_is_for_its_names_alone(authority: Pair, tmp_path: Path) -> None:
    pair = certificates.signed(["hub.lan", "192.0.2.1"], authority)
    assert served_as(pair, authority, "hub.lan", tmp_path) == ""
    assert served_as(pair, authority, "192.0.2.1", tmp_path) == ""
    assert "Hostname mismatch" in served_as(pair, authority, "other.lan", tmp_path)


def test_another_authority_and_a_servers_key_sign_nothing_that_is_trusted(authority: Pair, tmp_path: Path) -> None:
    pair = certificates.signed(["hub.lan"], authority)
    assert served_as(pair, certificates.authority(), "hub.lan", tmp_path) != ""
    forged = certificates.signed(["hub.lan"], pair)
    chain = Pair(forged.certificate + pair.certificate, forged.key)
    assert served_as(chain, authority, "hub.lan", tmp_path) == "invalid CA certificate"


@pytest.mark.parametrize("name", ["a,DNS:evil.example", "a\nbasicConstraints=CA:TRUE", "", "a b", "*.lan", "a_b"])
def test_a_name_that_is_none_gets_into_no_certificate(authority: Pair, name: str) -> None:
    with pytest.raises(SettingsError, match="expected a host name or an address"):
        certificates.signed([name], authority)
