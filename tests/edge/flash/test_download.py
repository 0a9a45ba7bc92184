"""Packages from the page of a release, over a real https server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trustme

from edge.errors import CardError
from edge.flash import download
from tests.edge.flash.conftest import deb_of
from tests.edge.parts import fmd

PACKAGE = deb_of("Package: fmd\nVersion: 2\nArchitecture: arm64\n", content=bytes(3 << 20))
NAME = "fmd_2_arm64.deb"
SUMS = f"{hashlib.sha256(PACKAGE).hexdigest()}  {NAME}\n{'0' * 64}  fmd_2_amd64.deb\n"


class Pages(http.server.BaseHTTPRequestHandler):
    """Serves ``pages`` by path; a text that begins with a scheme is a redirection."""

    pages: Mapping[str, bytes] = {}

    def do_GET(self) -> None:
        data = self.pages.get(self.path)
        if data is None:
            self.send_error(404)
            return
        moved = data.startswith((b"http://", b"https://"))
        self.send_response(302 if moved else 200)
        self.send_header("Location" if moved else "X-Served", data.decode() if moved else "yes")
        self.send_header("Content-Length", str(0 if moved else len(data) + (9 if "cut" in self.path else 0)))
        self.end_headers()
        self.wfile.write(b"" if moved else data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


class QuietServer(http.server.ThreadingHTTPServer):
    """Prints nothing about a client that refuses its certificate."""

    def handle_error(self, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def site(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with a release in /v2/, which this machine trusts."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with QuietServer(("localhost", 0), Pages) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        address = f"https://localhost:{server.server_address[1]}"
        Pages.pages = {
            "/v2/SHA256SUMS": SUMS.encode(),
            f"/v2/{NAME}": PACKAGE,
            "/me/fmd/releases/download/v2/SHA256SUMS": SUMS.encode(),
            f"/me/fmd/releases/download/v2/{NAME}": f"{address}/v2/{NAME}".encode(),
            "/me/fmd/releases/latest/download/SHA256SUMS": SUMS.encode(),
            f"/me/fmd/releases/latest/download/{NAME}": PACKAGE,
            "/changed/SHA256SUMS": SUMS.encode(),
            f"/changed/{NAME}": PACKAGE[:-1] + b"x",
            "/cut/SHA256SUMS": SUMS.encode(),
            f"/cut/{NAME}": PACKAGE,
            "/page/SHA256SUMS": b"<html>",
            "/none/SHA256SUMS": f"{'0' * 64}  other.deb\n".encode(),
            "/plain/SHA256SUMS": b"http://localhost/SHA256SUMS",
        }
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield address
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/v2/", "/v2", f"/v2/{NAME}", "/me/fmd/releases/tag/v2", "/me/fmd/releases"])
def test_a_release_is_downloaded_and_checked(site: str, path: str) -> None:
    seen: list[tuple[int, int]] = []
    assert download.fetched(site + path, lambda done, total: seen.append((done, total))) == (NAME, PACKAGE)
    assert seen[-1] == (len(PACKAGE), len(PACKAGE))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/gone/", "/gone/SHA256SUMS: 404 Not Found"),
        ("/changed/", f"/changed/{NAME}: SHA-256 [0-9a-f]+, but SHA256SUMS lists"),
        ("/cut/", "ended after|IncompleteRead"),
        ("/page/", "not a list of SHA-256 sums"),
        ("/none/", "expected one fmd_\\*_arm64.deb, got none"),
        ("/v2/fmd_3_arm64.deb", "lists no fmd_3_arm64.deb"),
        ("/plain/", "redirected to http://localhost/SHA256SUMS, expected https"),
    ],
)
def test_what_cannot_be_checked_is_refused(site: str, path: str, said: str) -> None:
    with pytest.raises(CardError, match=said):
        download.fetched(site + path)


def test_a_package_that_is_too_large_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_PACKAGE", 2 << 20)
    with pytest.raises(CardError, match="more than 2 MB"):
        download.fetched(f"{site}/v2/")


def test_a_server_without_a_trusted_certificate_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(CardError, match="its certificate is not trusted"):
        download.fetched(f"{site}/v2/")


@pytest.mark.parametrize("address", ["http://localhost/v2/", "ftp://localhost/", "file:///etc/passwd"])
def test_other_schemes_are_refused(address: str) -> None:
    with pytest.raises(CardError, match="expected an address that begins with https://"):
        download.fetched(address)


def test_a_server_that_is_away_is_an_expected_error() -> None:
    with pytest.raises(CardError, match="https://localhost:9/SHA256SUMS: Connection refused"):
        download.fetched("https://localhost:9/")


def test_the_command_downloads_the_package(site: str, trixie: Path) -> None:
    done = fmd("flash", trixie, "--package", f"{site}/v2/", "--write")
    assert (done.returncode, (trixie / "fmd" / NAME).read_bytes()) == (0, PACKAGE)
    assert f"{site}/v2/: 3 MB of 3 MB" in done.stderr


@pytest.mark.parametrize(
    ("home", "version", "release"),
    [
        ("https://github.com/me/fmd", "1.2.3", "https://github.com/me/fmd/releases/tag/v1.2.3"),
        ("https://github.com/me/fmd", "1.2.3rc1", "https://github.com/me/fmd/releases/tag/v1.2.3rc1"),
        ("https://github.com/me/fmd", "1.2.4.dev7+g1234567", ""),
        ("https://REPOSITORY_ADDRESS", "1.2.3", ""),
        ("", "1.2.3", ""),
    ],
)
def test_a_released_fmd_proposes_the_package_of_its_own_release(home: str, version: str, release: str) -> None:
    assert download.release_of(home, version) == release
