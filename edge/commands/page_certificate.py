"""``fmd page certificate``: make a key and a self-signed certificate with the system's OpenSSL.

Python's standard library makes none. A library that does is larger than the page itself, and the openssl command is on
every Debian with certificates of authorities (ca-certificates depends on it).
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge import paths
from edge.commands.page_password import group_of_page
from edge.drivers.tls import fingerprint
from edge.errors import RuntimeMissingError, SettingsError
from edge.files import write_atomically
from edge.page import settings as page_settings

DAYS = 3650
"""A board at a door is not visited every year, and nobody but its owner trusts this certificate."""
OPENSSL_S = 60.0


def make(settings: Path, names: Sequence[str]) -> None:
    """Write key and certificate beside the page's settings; print its fingerprint and what to set."""
    wanted = list(dict.fromkeys([*_own_names(), *page_settings.load(settings).names, *names]))
    certificate, key = settings.with_name(paths.PAGE_CERTIFICATE), settings.with_name(paths.PAGE_KEY)
    with tempfile.TemporaryDirectory() as folder:
        made, made_key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        _run_openssl(made, made_key, wanted)
        group = group_of_page()
        write_atomically(key, made_key.read_bytes(), 0o640, durable=True, group=group)
        write_atomically(certificate, made.read_bytes(), 0o644, durable=True, group=group)
    shown = fingerprint(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
    print(f"{certificate} is for {', '.join(wanted)}.\nIts SHA-256 fingerprint, which browsers show:\n  {shown}")
    print(f'Add to {settings}:\n  certificate = "{certificate.name}"\n  key = "{key.name}"')
    print("Then: sudo systemctl restart fmd-page")


def _own_names() -> list[str]:
    host = socket.gethostname().partition(".")[0]
    return [host, f"{host}.local", "localhost", "127.0.0.1", "::1"]


def _run_openssl(certificate: Path, key: Path, names: Sequence[str]) -> None:
    """Have the openssl command make both files. Raises RuntimeMissingError without it, SettingsError for a bad name."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
    command += ["-days", str(DAYS), "-subj", "/CN=fmd", "-keyout", str(key), "-out", str(certificate)]
    command += ["-addext", f"subjectAltName={','.join(map(_entry, names))}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=OPENSSL_S)
    except FileNotFoundError as error:
        raise RuntimeMissingError("making a certificate needs openssl: sudo apt install openssl") from error
    if done.returncode:
        raise SettingsError(f"openssl made no certificate: {' '.join(done.stderr.split())[-200:]}")


def _entry(name: str) -> str:
    """Return a name as an entry of the certificate. Raises SettingsError: a comma would begin another entry."""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        pass
    if page_settings.is_host_name(name):
        return f"DNS:{name}"
    raise SettingsError(f"got {name!r}, expected a host name or an address")
