"""Download of fmd's package from the page of a release, checked by the release's list of SHA-256 sums."""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import importlib.metadata
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPResponse
from typing import IO, Any
from urllib.parse import unquote, urljoin, urlsplit

from edge.errors import CardError
from edge.version import DISTRIBUTION

PACKAGE = "fmd_*_arm64.deb"
"""Name of the package for a board, as a pattern."""
SUMS = "SHA256SUMS"
"""Name of the list of sums, beside the files that it lists."""
MAX_PACKAGE = 512 << 20
"""Bytes of the largest package: the boot partition of a card is no larger."""
MAX_SUMS = 1 << 20
TIMEOUT_S = 30.0
"""Longest wait for a server that sends nothing."""
BLOCK = 1 << 20

Progress = Callable[[int, int], None]
"""Receives how many bytes have come, and how many there are; 0 if the server does not say."""


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to https only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request for the new address. Raises CardError unless it begins with https."""
        if urlsplit(newurl).scheme != "https":
            raise CardError(f"{req.full_url}: redirected to {newurl}, expected https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def own_release() -> str:
    """Return the address of the release that this fmd comes from; empty for one that was not released."""
    try:
        stated = importlib.metadata.metadata(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return release_of(str(stated["Home-page"] or ""), stated["Version"])


def release_of(home: str, version: str) -> str:
    """Return the address of a version's release at the repository's address; empty without either of them."""
    if re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", home) and re.fullmatch(r"\d+(\.\d+)*(rc\d+)?", version):
        return f"{home}/releases/tag/v{version}"
    return ""


def is_address(text: str) -> bool:
    """Return whether ``text`` is the address of a release or package, not the name of a file."""
    return re.match(r"[a-z]+://", text, re.IGNORECASE) is not None


def check_address(text: str) -> None:
    """Raise CardError unless the address begins with https: anyone on the way could change what comes without it."""
    if urlsplit(text).scheme.lower() != "https":
        raise CardError(f"{text}: expected an address that begins with https://, or a file")


def fetched(address: str, progress: Progress = lambda done, total: None) -> tuple[str, bytes]:
    """Return name and content of the package at ``address``: of a .deb, or of a release with exactly one for a board.

    Raises CardError if the address does not begin with https or cannot be read, the release does not list the file, or
    the content has another sum than the list.
    """
    check_address(address)
    folder, name = _place(address)
    sums = listed(folder + SUMS, _read(folder + SUMS, MAX_SUMS, lambda done, total: None))
    name = name or only_package(folder, sums)
    if name not in sums:
        raise CardError(f"{folder + SUMS}: lists no {name}, so it cannot be checked; give another release")
    data = _read(folder + name, MAX_PACKAGE, progress)
    if (found := hashlib.sha256(data).hexdigest()) != sums[name]:
        raise CardError(f"{folder + name}: SHA-256 {found}, but {SUMS} lists {sums[name]}; download it again")
    return name, data


def _place(address: str) -> tuple[str, str]:
    """Return the address of the folder with the files, and the name of a package or an empty string.

    The page of a release on GitHub is another one than the folder of its files.
    """
    address = re.sub(r"/releases/tag/([^/]+)/?$", r"/releases/download/\1/", address)
    address = re.sub(r"/releases(/latest)?/?$", "/releases/latest/download/", address)
    if address.endswith(".deb"):
        return urljoin(address, "."), unquote(address.rpartition("/")[2])
    return address.rstrip("/") + "/", ""


def listed(where: str, data: bytes) -> dict[str, str]:
    """Return sums by file name, from lines as sha256sum writes them."""
    lines = re.findall(r"^([0-9a-f]{64}) [ *](?:\./)?([^/\r\n]+?)\r?$", data.decode("utf-8", "replace"), re.MULTILINE)
    if not lines:
        raise CardError(f"{where}: not a list of SHA-256 sums; give the address of a release")
    return {name: digest for digest, name in lines}


def only_package(folder: str, sums: dict[str, str]) -> str:
    """Return the name of the package for a board among the files of a release. Raises CardError unless it is one."""
    found = fnmatch.filter(sums, PACKAGE)
    if len(found) != 1:
        named = ", ".join(found) or "none"
        raise CardError(f"{folder + SUMS}: expected one {PACKAGE}, got {named}; give the address of the file")
    return found[0]


def _read(address: str, most: int, progress: Progress) -> bytes:
    """Return what is at ``address``, at most ``most`` bytes. Raises CardError."""
    try:
        with urllib.request.build_opener(_HttpsOnly).open(address, timeout=TIMEOUT_S) as response:
            return _body(address, response, most, progress)
    except urllib.error.HTTPError as error:
        raise CardError(f"{address}: {error.code} {error.reason}") from error
    except CardError:  # an OSError as well
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CardError(f"{address}: {_reason(error)}") from error


def _body(address: str, response: HTTPResponse, most: int, progress: Progress) -> bytes:
    total = response.length or 0
    data = bytearray()
    while block := response.read(min(BLOCK, most + 1 - len(data))):
        data += block
        progress(len(data), total)
        if len(data) > most:
            raise CardError(f"{address}: more than {most >> 20} MB, expected fmd's package")
    if total and len(data) < total:
        raise CardError(f"{address}: the connection ended after {len(data)} of {total} bytes; try again")
    return bytes(data)


def _reason(error: Any) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        # Python's installer for macOS leaves this step to the user.
        hint = "; on macOS, run Install Certificates.command in the folder of Python"
        return f"its certificate is not trusted: {reason.verify_message}{hint}"
    return str(getattr(reason, "strerror", None) or reason or type(error).__name__)
