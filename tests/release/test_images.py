"""Templates of card images say that they are unverified; the manifest of a real image is complete."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from release import images
from release.errors import ReleaseError

ADDRESS = "https://github.com/Someone/fmd"


def test_templates_are_filled_in_and_say_that_they_are_unverified(tmp_path: Path) -> None:
    images.write(tmp_path / "images", "1.2.3rc1", ADDRESS)
    texts = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "images").iterdir()}
    assert set(texts) == {"README.md", "fmd-layer.yaml", images.MANIFEST}
    for name, text in texts.items():
        assert "unverified" in text.lower(), name
        assert re.findall(r"\{[a-z]+\}", text) == [], name
    (entry,) = json.loads(texts[images.MANIFEST])["os_list"]
    assert (entry["name"], entry["url"]) == ("fmd 1.2.3rc1", "")


def test_the_layer_installs_this_version_from_the_signed_repository(tmp_path: Path) -> None:
    images.write(tmp_path / "images", "1.2.3rc1", ADDRESS)
    text = (tmp_path / "images/fmd-layer.yaml").read_text(encoding="utf-8")
    assert "# X-Env-Layer-Name: fmd\n" in text.partition("# METABEGIN\n")[2].partition("# METAEND")[0]
    hooks = yaml.safe_load(text)["mmdebstrap"]["customize-hooks"]
    assert "URIs: https://someone.github.io/fmd/apt\nSuites: stable\n" in hooks[1]
    assert "\nSigned-By: /etc/apt/keyrings/fmd.asc\nEND" in hooks[1]
    assert hooks[-1].endswith("fmd=1.2.3~rc1")


def test_the_manifest_of_an_image_has_its_sizes_and_hashes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    image = tmp_path / "fmd.img.xz"
    image.write_bytes(lzma.compress(content))
    entry = images.of_image(image, "https://example.org/fmd.img.xz", "1.2.3", ADDRESS, date(2026, 11, 30))
    assert (entry["extract_size"], entry["extract_sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert entry["image_download_size"] == image.stat().st_size
    assert entry["image_download_sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert (entry["url"], entry["release_date"]) == ("https://example.org/fmd.img.xz", "2026-11-30")


@pytest.mark.parametrize("data", [b"not xz", lzma.compress(b"x" * 99999)[:-20]])
def test_an_image_that_cannot_be_unpacked_is_refused(tmp_path: Path, data: bytes) -> None:
    image = tmp_path / "fmd.img.xz"
    image.write_bytes(data)
    with pytest.raises(ReleaseError, match=r"not a complete \.img\.xz"):
        images.of_image(image, "https://example.org", "1.2.3", ADDRESS, date(2026, 11, 30))
