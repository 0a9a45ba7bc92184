"""``fmd page certificate``: make a key and a self-signed certificate for the web page."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from edge import certificates, paths
from edge.commands.page_password import group_of_page
from edge.drivers.tls import fingerprint
from edge.files import write_atomically
from edge.page import settings as page_settings


def make(settings: Path, names: Sequence[str]) -> None:
    """Write key and certificate beside the page's settings; print its fingerprint and what to set."""
    wanted = list(dict.fromkeys([*_own_names(), *page_settings.load(settings).names, *names]))
    certificate, key = settings.with_name(paths.PAGE_CERTIFICATE), settings.with_name(paths.PAGE_KEY)
    made, group = certificates.self_signed(wanted), group_of_page()
    write_atomically(key, made.key, 0o640, durable=True, group=group)
    write_atomically(certificate, made.certificate, 0o644, durable=True, group=group)
    shown = fingerprint(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
    print(f"{certificate} is for {', '.join(wanted)}.\nIts SHA-256 fingerprint, which browsers show:\n  {shown}")
    print(f'Add to {settings}:\n  certificate = "{certificate.name}"\n  key = "{key.name}"')
    print("Then: sudo systemctl restart fmd-page")


def _own_names() -> list[str]:
    host = socket.gethostname().partition(".")[0]
    return [host, f"{host}.local", "localhost", "127.0.0.1", "::1"]
