"""Checks of Python, the virtual environment, and the libraries; each import runs in a process of its own."""

from __future__ import annotations

import importlib.metadata
import signal
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.doctor.facts import Facts, Ran
from edge.doctor.findings import Finding, fail, note, ok, warn

MIN_PYTHON, NEWEST_PYTHON = (3, 10), (3, 14)
LAST_TFLITE_RUNTIME = (3, 11)
MIN_GLIBC = (2, 27)
"""Oldest C library of ai-edge-litert's wheels (manylinux_2_27)."""
REINSTALL = "install fmd again; by hand: pip install -c systemd/constraints.txt '.[pi]'"
CLASHING = {
    (
        "opencv-python",
        "opencv-contrib-python",
        "opencv-python-headless",
        "opencv-contrib-python-headless",
    ): "pip install 'opencv-python-headless>=4.10,<6'",
    ("onnxruntime", "onnxruntime-gpu"): "then install the one for this board (docs/jetson-gpu.md)",
}
"""Distributions of the same package -> what to install after all of them were removed."""


def python(facts: Facts) -> Iterator[Finding]:
    """Check whether a TFLite runtime exists for this Python on this processor."""
    found = facts.python
    version, of = found.version[:2], f"{'.'.join(map(str, found.version))}, {found.bits} bits, {found.machine}"
    # A 64-bit kernel may run 32-bit programs, so the size of Python counts as well.
    thirty_two = found.bits == 32 or found.machine in ("armv6l", "armv7l", "i686")
    if version < MIN_PYTHON:
        yield fail("python", f"{of}: too old, fmd needs 3.10 or later", "install a newer system")
    elif thirty_two and version > LAST_TFLITE_RUNTIME:
        yield fail("python", f"{of}: no TFLite runtime exists for it", "write the card again with a 64-bit system")
    elif thirty_two:
        fix = "use a 64-bit system, which is also many times faster"
        yield warn("python", f"{of}: only the old tflite-runtime runs here", fix)
    elif version > NEWEST_PYTHON:
        yield fail("python", f"{of}: too new, no TFLite runtime exists for it yet", "use Python 3.10 to 3.14")
    elif not found.glibc:
        yield fail("python", f"{of}: not glibc, and no runtime exists for other C libraries", "use Debian or Ubuntu")
    elif found.glibc < MIN_GLIBC:
        yield fail("python", f"{of}: glibc {_dotted(found.glibc)}, the runtime needs 2.27", "install a newer system")
    else:
        yield ok("python", f"{of}, glibc {_dotted(found.glibc)}")


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def environment(facts: Facts) -> Iterator[Finding]:
    """Check the virtual environment: on a Pi, it must see picamera2, libcamera and their NumPy, which come from apt."""
    found = facts.python
    inside = found.prefix != found.base_prefix
    if not facts.is_pi:
        yield ok("environment", f"{'a virtual environment at ' if inside else ''}{found.prefix}")
        return
    again = "sudo /usr/bin/python3 -m venv --clear --system-site-packages /opt/fmd, then install fmd into it"
    config = _venv_config(Path(found.prefix)) if inside else {}
    if inside and config.get("include-system-site-packages", "").lower() != "true":
        yield fail("environment", f"{found.prefix} does not see apt's packages, picamera2 among them", again)
    elif found.base_prefix != "/usr":
        text = f"Python of {found.base_prefix}, not the system's: picamera2 is not built for it"
        yield fail("environment", text, again)
    else:
        yield ok("environment", f"{found.prefix}, with apt's packages")


def _venv_config(prefix: Path) -> Mapping[str, str]:
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


@dataclass(frozen=True)
class Library:
    """Import to test, in one process with the libraries that it must be compatible with."""

    name: str
    code: str
    fix: str
    needed: bool = True


NUMPY = Library("numpy", "import numpy; print(numpy.__version__, numpy.__file__)", REINSTALL)
BASIC = (
    NUMPY,
    Library(
        "numpy + cv2",
        "import numpy, cv2; cv2.resize(numpy.zeros((4, 4, 3), numpy.uint8), (2, 2)); print(cv2.__version__)",
        "pip uninstall opencv-python opencv-contrib-python; pip install 'opencv-python-headless>=4.10,<6'",
    ),
    Library("msgspec", "import msgspec; print(msgspec.__version__)", REINSTALL),
)
PICAMERA2 = Library(
    "numpy + picamera2",
    "import numpy, picamera2; print('imported')",
    "sudo apt install python3-picamera2; if the message says that NumPy is incompatible: pip uninstall numpy",
)
PILLOW = Library(
    "Pillow",
    "import PIL, PIL.ImageDraw, PIL.ImageFont; print(PIL.__version__)",
    "sudo apt install python3-pil fonts-dejavu-core; fmd watches the door without the display",
    needed=False,
)


def sensor_library(module: str, distribution: str) -> Library:
    """Return the library of a presence sensor."""
    return Library(
        distribution,
        f"import {module}; print('found')",
        f"pip install {distribution} (docs/sensor.md); fmd watches the door without the sensor",
        needed=False,
    )


LGPIO = Library(
    "gpiozero + lgpio",
    "import gpiozero, lgpio; lgpio.gpiochip_open; print(gpiozero.__version__)",
    "sudo apt install python3-lgpio; pip install 'gpiozero>=2.0.1.post3'",
)
GPIOD = Library(
    "gpiod",
    "import gpiod; gpiod.request_lines; print(gpiod.__version__)",
    "pip install 'gpiod>=2.2' (1.5.4 is an unrelated package)",
)


def libraries(facts: Facts, wanted: Collection[Library]) -> Iterator[Finding]:
    """Import each library in a process of its own, and find installations that overwrite each other."""
    for library in wanted:
        yield imported(library, facts.probe(library.code))
    yield from _clashing()


def imported(library: Library, ran: Ran) -> Finding:
    """Return the finding about one import."""
    if ran.code == 0:
        return ok("libraries", f"{library.name} {ran.out.split()[0] if ran.out.split() else ''}".strip())
    return (fail if library.needed else note)("libraries", f"{library.name}: {how_it_ended(ran)}", library.fix)


def how_it_ended(ran: Ran) -> str:
    """Return how a command failed: the signal that killed it, or the last line of its output."""
    if ran.code is not None and ran.code < 0:
        return f"ended by {signal.Signals(-ran.code).name}; typical of a library that was built for another NumPy"
    return ran.last_line.removeprefix("error: ") or f"exit code {ran.code}"


def _clashing() -> Iterator[Finding]:
    """Report distributions that install the same package, so that the files of one are those of the other."""
    for names, fix in CLASHING.items():
        found = [name for name in names if _is_installed(name)]
        if len(found) > 1:
            text = f"{' and '.join(found)} are both installed and overwrite each other's files"
            yield warn("libraries", text, f"pip uninstall -y {' '.join(found)}; {fix}")


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
