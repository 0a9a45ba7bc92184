"""What the settings must be together: rules that no type can state.

Messages name the place that set the key, given ``origins``: ``section.key`` -> place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import attrgetter

from edge import addresses, faults, weekly
from edge.contracts import WITH_INCORRECT_MASK
from edge.errors import SettingsError
from edge.sections import (
    DEFAULT_PATH,
    MIN_AREA,
    MIN_STATIC_S,
    PIN_KEYS,
    CameraSettings,
    Polygon,
    Regions,
    Settings,
    cameras,
    digits_of,
    is_file,
)

MAX_POLYGONS, MAX_CORNERS = 16, 32
"""Most polygons of a camera, and corners of one."""


def origin_of(origins: Mapping[str, str], *keys: str) -> str:
    """Return the place that set the first of ``keys`` that is not at its default."""
    return next((origins[key] for key in keys if key in origins), str(DEFAULT_PATH))


def wrong(origins: Mapping[str, str], what: str, *keys: str) -> SettingsError:
    """Return the error of the first of ``keys``; ``what`` may name the others."""
    return SettingsError(f"{origin_of(origins, *keys)}: {keys[0]}: {what}").about(what, *keys)


def check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError for settings that are right one by one and do not fit together."""
    for host, shown in settings.camera.fingerprints.items():
        if not re.fullmatch("[0-9a-f]{64}", digits_of(shown)):
            raise wrong(
                origins,
                f"{host}: expected the SHA-256 of "
                f"a certificate, 32 pairs of hexadecimal digits; got {dict(settings.camera.fingerprints)!r}",
                "camera.fingerprints",
            )
    for name, camera in cameras(settings.camera).items():
        _check_address("camera.sources" if name else "camera.source", name, camera.source, origins)
        _check_second("camera.detect_sources" if name else "camera.detect_source", name, camera, origins)
    _check_names_of_second(settings.camera, origins)
    if unknown := settings.camera.rotations.keys() - settings.camera.sources.keys():
        raise wrong(
            origins,
            f"got {', '.join(sorted(unknown))}, expected names of camera.sources; a single camera has camera.rotate",
            "camera.rotations",
        )
    if WITH_INCORRECT_MASK in settings.decide.accept:
        raise wrong(
            origins,
            f'got {WITH_INCORRECT_MASK}, which has a key of its own; set decide.on_incorrect = "admit"',
            "decide.accept",
        )
    try:
        faults.parse(settings.camera.simulate)
    except SettingsError as error:
        raise wrong(origins, str(error).removeprefix("camera.simulate: "), "camera.simulate") from error
    # A pin that two outputs share would follow the one that was switched last.
    taken: dict[int | str, str] = {}
    for key, pin in ((key, attrgetter(key)(settings)) for key in PIN_KEYS):
        if pin in taken:
            raise wrong(origins, f"the same pin as {taken[pin]} ({pin}), expected another", key, taken[pin])
        if pin != "":
            taken[pin] = key
            _check_pin(settings.alert.driver, key, pin, origins)
    for key, check in (
        ("arm.time_zone", lambda: weekly.zone_of(settings.arm.time_zone)),
        ("arm.schedule", lambda: weekly.Weekly(settings.arm.schedule, None)),
    ):
        try:
            check()
        except SettingsError as error:
            raise wrong(origins, f"{error}", key) from error
    _check_sensor(settings, origins)
    if settings.record.examples != "none" and not settings.record.keep:
        raise wrong(
            origins,
            f"got {settings.record.examples!r} "
            'while record.keep is false, expected "none": pictures belong to the record; or set record.keep = true',
            "record.examples",
            "record.keep",
        )
    if settings.detect.start_score < settings.detect.min_score:
        raise wrong(
            origins,
            f"got {settings.detect.start_score}, expected at least detect.min_score ({settings.detect.min_score})",
            "detect.start_score",
            "detect.min_score",
        )
    if 0 < settings.detect.max_face_px <= settings.detect.min_face_px:
        raise wrong(
            origins,
            f"got {settings.detect.max_face_px}, expected 0 or more than detect.min_face_px "
            f"({settings.detect.min_face_px})",
            "detect.max_face_px",
            "detect.min_face_px",
        )
    for key in ("ignore", "only"):
        _check_regions(f"watch.{key}", getattr(settings.watch, key), settings.camera, origins)
    if 0 < settings.watch.static_s < MIN_STATIC_S:
        raise wrong(
            origins,
            f"got {settings.watch.static_s:g}, expected 0 or at "
            f"least {MIN_STATIC_S:g}: a person who waits moves little for some seconds",
            "watch.static_s",
        )
    if settings.watch.still_s >= settings.track.lost_s:
        raise wrong(
            origins,
            f"got {settings.watch.still_s:g}, "
            f"expected less than track.lost_s ({settings.track.lost_s:g}): the tracker would lose a person who stands "
            "still between two detections",
            "watch.still_s",
            "track.lost_s",
        )


def _check_sensor(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError if the sensor hangs beside no camera of the settings."""
    if settings.sensor.driver == "none" or settings.sensor.camera in cameras(settings.camera):
        return
    names = ", ".join(settings.camera.sources)
    expected = f"one of camera.sources ({names})" if names else '"" for the only camera'
    raise wrong(origins, f"got {settings.sensor.camera!r}, expected {expected}", "sensor.camera", "sensor.driver")


def _check_regions(key: str, found: Regions, camera: CameraSettings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError for polygons that cannot be meant, or that name no camera."""
    names = list(camera.sources)
    if names and found and not isinstance(found, dict):
        what = f"got polygons without a camera, expected them by its name, as in {{ {names[0]} = [...] }}"
        raise wrong(origins, what, key)
    by_camera = found if isinstance(found, dict) else {"": found}
    for name, polygons in by_camera.items():
        if name and name not in names:
            known = f"one of camera.sources ({', '.join(names)})" if names else "a list of polygons for the only camera"
            raise wrong(origins, f"got the camera {name!r}, expected {known}", key)
        if len(polygons) > MAX_POLYGONS:
            raise wrong(origins, f"got {len(polygons)} polygons, expected at most {MAX_POLYGONS}", key)
        for number, polygon in enumerate(polygons, 1):
            if fault := _fault_of(polygon):
                raise wrong(origins, f"{name and f'{name}: '}polygon {number}: {fault}", key)


def _fault_of(polygon: Polygon) -> str:
    """Return what is wrong with a polygon, or an empty string."""
    if not 3 <= len(polygon) <= MAX_CORNERS:
        return f"got {len(polygon)} corners, expected 3 to {MAX_CORNERS}"
    for corner in polygon:
        if not all(0 <= share <= 1 for share in corner):  # also for nan
            return (
                f"got the corner [{corner[0]:g}, {corner[1]:g}], expected shares of the picture, 0 to 1: divide pixels "
                "by its width and height"
            )
    pairs = list(zip(polygon, (*polygon[1:], polygon[0]), strict=True))
    for i, (a, b) in enumerate(pairs):
        for c, d in pairs[i + 1 :]:
            if _cross(a, b, c, d):
                return f"the edge from {list(a)} to {list(b)} crosses the one from {list(c)} to {list(d)}"
    if abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2 < MIN_AREA:
        return "it has no area; name its corners in order"
    return ""


def _cross(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], d: tuple[float, float]) -> bool:
    """Return whether two edges cross inside both; edges that only touch do not."""

    def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def _check_address(key: str, camera: str, source: str, origins: Mapping[str, str]) -> None:
    if "://" in source:
        try:
            addresses.place(source)
        except SettingsError as error:
            raise wrong(origins, f"{camera and f'{camera}: '}{error}", key) from None


def _check_second(key: str, name: str, camera: CameraSettings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError unless the second stream is an address, and the camera one on the network."""
    if not camera.detect_source:
        return
    which = name and f"{name}: "
    if "://" not in camera.detect_source:
        raise wrong(
            origins,
            f"{which}expected the address of a network camera's second stream, as in rtsp://host/stream2; got "
            f"{addresses.hidden(camera.detect_source)!r}",
            key,
        )
    _check_address(key, name, camera.detect_source, origins)
    if "://" not in camera.source:
        what = f"{which}a network camera alone has a second stream, and this camera is {camera.source}; remove the key"
        raise wrong(origins, what, key)


def _check_names_of_second(camera: CameraSettings, origins: Mapping[str, str]) -> None:
    if camera.sources and camera.detect_source:
        raise wrong(
            origins,
            "for the only camera; with "
            f"camera.sources set camera.detect_sources, as in {{ {next(iter(camera.sources))} = ... }}",
            "camera.detect_source",
        )
    if unknown := camera.detect_sources.keys() - camera.sources.keys():
        raise wrong(
            origins,
            f"got {', '.join(sorted(unknown))}, "
            "expected names of camera.sources; a single camera has camera.detect_source",
            "camera.detect_sources",
        )


def _check_pin(driver: str, key: str, pin: int | str, origins: Mapping[str, str]) -> None:
    """Raise SettingsError for a pin that the driver would misread: a BCM number as an offset is another line."""
    by_name = isinstance(pin, str) and not pin.isdigit()
    wanted = {"gpiod": by_name, "gpiozero": not isinstance(pin, str), "auto": by_name or not isinstance(pin, str)}
    if is_file(pin) or wanted.get(driver, True):
        return
    expected = {
        "gpiod": 'a line\'s name or chip and offset, as in "PQ.05" or "gpiochip1:12"',
        "gpiozero": "a BCM number",
        "auto": "a BCM number without quotes, or a line's name",
    }[driver]
    raise wrong(origins, f"got {pin!r}, expected {expected} for alert.driver {driver!r}", key, "alert.driver")
