"""Defaults of the questions: what a laptop says about its user, and nothing where it says nothing."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.flash import laptop


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"USER": "ann"}, "ann"),
        ({"USERNAME": "Jörg Müller"}, "jrgmller"),
        ({"USERNAME": "42nd.Street"}, "ndstreet"),
        ({"USER": "日本"}, ""),
        ({}, ""),
    ],
)
def test_the_user_is_named_as_on_linux(environment: dict[str, str], name: str) -> None:
    assert laptop.user_name(environment) == name


@pytest.mark.parametrize(
    ("environment", "country"),
    [
        ({"LANG": "de_AT.UTF-8"}, "AT"),
        ({"LC_ALL": "en_GB", "LANG": "de_DE"}, "GB"),
        ({"LANG": "C.UTF-8"}, ""),
        ({"LANG": "POSIX"}, ""),
    ],
)
def test_the_country_is_that_of_the_language(environment: dict[str, str], country: str) -> None:
    assert laptop.country(environment) == country


def test_the_best_public_key_is_proposed(tmp_path: Path) -> None:
    assert laptop.public_key(tmp_path) is None
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_rsa.pub").write_text("ssh-rsa A")
    (tmp_path / ".ssh/id_ed25519.pub").write_text("ssh-ed25519 A")
    assert laptop.public_key(tmp_path) == tmp_path / ".ssh/id_ed25519.pub"


@pytest.mark.parametrize(
    ("target", "zone"),
    [
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("/var/db/timezone/zoneinfo/America/Argentina/Ushuaia", "America/Argentina/Ushuaia"),
        ("/etc/elsewhere", ""),
    ],
)
def test_the_time_zone_is_that_of_the_systems_link(tmp_path: Path, target: str, zone: str) -> None:
    assert laptop.time_zone(tmp_path) == ""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").symlink_to(target)
    assert laptop.time_zone(tmp_path) == zone


class Icu:
    """Stand-in for the library of Windows that knows the names of time zones."""

    def __init__(self, zone: str, status: int = 0) -> None:
        self.zone, self.status = zone, status

    def ucal_getDefaultTimeZone(self, name: ctypes.Array[ctypes.c_wchar], size: int, status: object) -> int:  # noqa: N802
        name.value = self.zone
        status._obj.value = self.status  # type: ignore[attr-defined]
        return len(self.zone)


def test_windows_says_the_time_zone_by_its_usual_name() -> None:
    assert laptop.zone_of_icu(Icu("Europe/Berlin")) == "Europe/Berlin"
    assert laptop.zone_of_icu(Icu("Europe/Berlin", -127)) == "Europe/Berlin"  # a warning
    assert laptop.zone_of_icu(Icu("Etc/Unknown")) == ""
    assert laptop.zone_of_icu(Icu("", 7)) == ""


class Kernel32:
    """Stand-in for the library of Windows that knows the user's country."""

    def __init__(self, country: str) -> None:
        self.country = country

    def GetUserDefaultGeoName(self, name: ctypes.Array[ctypes.c_wchar], size: int) -> int:  # noqa: N802
        name.value = self.country
        return len(self.country) + 1


def test_windows_says_the_country() -> None:
    assert laptop.country_of_windows(Kernel32("DE")) == "DE"
    assert laptop.country_of_windows(Kernel32("001")) == ""  # the world
    assert laptop.country_of_windows(object()) == ""


def test_on_windows_the_defaults_come_from_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laptop, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=Kernel32("AT")), raising=False)
    monkeypatch.setattr(ctypes, "CDLL", {"icu.dll": Icu("Europe/Vienna")}.__getitem__)
    assert (laptop.country(), laptop.time_zone()) == ("AT", "Europe/Vienna")

    def missing(name: str) -> Icu:
        raise OSError(f"no {name}, before Windows 10 of 2019")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert laptop.time_zone() == ""
