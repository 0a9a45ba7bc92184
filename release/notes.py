"""Release notes: the section of a version in CHANGELOG.md, and how to check what was downloaded."""

from __future__ import annotations

import re
from pathlib import Path

from release.errors import ReleaseError
from release.site import files_at, linked

CHANGELOG = "CHANGELOG.md"
HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?[ \t]*$", re.MULTILINE)

CHECK = """\
{text}
## Check the download

The key of this release has the fingerprint `{key}`.

```
gpg --import fmd.asc
gpg --verify SHA256SUMS.asc SHA256SUMS
sha256sum --check --ignore-missing SHA256SUMS
```
"""


def section(changelog: str, version: str) -> str:
    """Return the text of a version's section, without its heading.

    Raises ReleaseError if there is no such section, if it has no date, or if nothing is in it.
    """
    headings = list(HEADING.finditer(changelog))
    for heading, end in zip(headings, [*(h.start() for h in headings[1:]), len(changelog)], strict=True):
        if heading["version"] != version:
            continue
        if heading["date"] is None:
            raise ReleaseError(f"{CHANGELOG}: [{version}] has no date; write: ## [{version}] - YYYY-MM-DD")
        if text := changelog[heading.end() : end].strip():
            return text + "\n"
        raise ReleaseError(f"{CHANGELOG}: [{version}] is empty; write what users notice")
    stated = ", ".join(heading["version"] for heading in headings) or "none"
    raise ReleaseError(
        f"{CHANGELOG}: no section for {version} (found {stated}); rename [Unreleased] to: "
        f"## [{version}] - YYYY-MM-DD, add an empty [Unreleased] above it, commit and tag again"
    )


def notes(root: Path, version: str, repository: str, key: str) -> str:
    """Return the release notes of ``version``; ``key`` is the fingerprint of the key that signs the release.

    Links lead to the repository at this version, because the notes are read elsewhere.
    """
    text = section((root / CHANGELOG).read_text(encoding="utf-8"), version)
    return CHECK.format(text=linked(text, CHANGELOG, (), files_at(repository, version)), key=key)
