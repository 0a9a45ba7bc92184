"""Keys and certificates, made with the system's OpenSSL.

Python's standard library makes none. A library that does is larger than the web page itself, and the openssl command is
on every Debian with certificates of authorities (ca-certificates depends on it).
"""

from __future__ import annotations

import ipaddress
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edge.addresses import is_host_name
from edge.errors import RuntimeMissingError, SettingsError

DAYS = 3650
"""A board at a door is not visited every year, and nobody but its owner trusts these certificates."""
OPENSSL_S = 60.0
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256")
AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
SERVER = """\
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""
"""Extensions that RFC 5280 demands: Python 3.13 refuses certificates without them."""


class Pair(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def self_signed(names: Sequence[str]) -> Pair:
    """Return a certificate for ``names`` that signs itself. Raises as :func:`signed`."""
    with tempfile.TemporaryDirectory() as folder:
        return _made(Path(folder), "-subj", "/CN=fmd", "-addext", f"subjectAltName={_entries(names)}")


def authority() -> Pair:
    """Return the certificate of a new authority. Raises RuntimeMissingError without openssl."""
    with tempfile.TemporaryDirectory() as folder:
        return _made(Path(folder), *_described(Path(folder), "fmd authority", AUTHORITY))


def signed(names: Sequence[str], by: Pair) -> Pair:
    """Return a server's certificate for ``names``, which the authority ``by`` signs.

    Raises RuntimeMissingError without openssl, SettingsError for a bad name or an authority that cannot sign.
    """
    entries = f"{SERVER}subjectAltName={_entries(names)}\n"
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "authority.pem"), Path(folder, "authority.key")
        certificate.write_bytes(by.certificate)
        key.write_bytes(by.key)
        described = _described(Path(folder), "fmd hub", entries)
        return _made(Path(folder), *described, "-CA", str(certificate), "-CAkey", str(key))


def _described(folder: Path, name: str, extensions: str) -> tuple[str, ...]:
    """Return the options for a certificate with these extensions alone; the system's openssl.cnf adds others."""
    file = folder / "openssl.cnf"
    file.write_text(f"[req]\ndistinguished_name=n\nprompt=no\nx509_extensions=e\n[n]\nCN={name}\n[e]\n{extensions}")
    return "-config", str(file)


def _made(folder: Path, *options: str) -> Pair:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", *NEW_KEY, "-days", str(DAYS), *options]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=OPENSSL_S)
    except FileNotFoundError as error:
        raise RuntimeMissingError("making a certificate needs openssl: sudo apt install openssl") from error
    if done.returncode:
        raise SettingsError(f"openssl made no certificate: {' '.join(done.stderr.split())[-200:]}")
    return Pair(certificate.read_bytes(), key.read_bytes())


def _entries(names: Sequence[str]) -> str:
    return ",".join(map(_entry, names))


def _entry(name: str) -> str:
    """Return a name as an entry of the certificate. Raises SettingsError: a comma would begin another entry."""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        pass
    if is_host_name(name):
        return f"DNS:{name}"
    raise SettingsError(f"got {name!r}, expected a host name or an address")
