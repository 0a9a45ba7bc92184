"""Signatures with GnuPG, by the key that FMD_SIGNING_KEY names."""

from __future__ import annotations

import os
from pathlib import Path

from release.errors import ReleaseError
from release.shell import run

VARIABLE = "FMD_SIGNING_KEY"
MAKE_A_KEY = "gpg --quick-generate-key 'fmd releases' ed25519 sign 3y"


def signing_key(root: Path) -> str:
    """Return the fingerprint of the secret key that the environment names; raises ReleaseError if there is none."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        raise ReleaseError(
            f"{VARIABLE} is not set: it names the key that signs the release; to make one: {MAKE_A_KEY}; then: "
            f"export {VARIABLE}=FINGERPRINT"
        )
    try:
        listed = run(["gpg", "--batch", "--with-colons", "--list-secret-keys", named], root)
    except ReleaseError as error:
        raise ReleaseError(
            f"{VARIABLE}: GnuPG has no secret key {named!r}; `gpg --list-secret-keys` lists those that it has"
        ) from error
    fingerprints = [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]
    if listed.count("\nsec:") + listed.startswith("sec:") > 1:
        raise ReleaseError(f"{VARIABLE}: {named!r} fits several secret keys; give a fingerprint: {fingerprints[0]}")
    return fingerprints[0]


def sign(file: Path, key: str, out: Path, *, inside: bool = False) -> None:
    """Write an armoured signature of ``file`` to ``out``: beside the file, or around its text if ``inside``."""
    how = "--clearsign" if inside else "--detach-sign"
    run(["gpg", "--yes", "--local-user", key, "--armor", "--output", out, how, file], file.parent)


def public_key(key: str, out: Path) -> None:
    """Write the public key to ``out`` as text."""
    run(["gpg", "--batch", "--yes", "--armor", "--output", out, "--export", key], out.parent)
