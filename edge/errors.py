"""Everything fmd can say went wrong, as one tree.

    FmdError                      a known trouble, told in one line; exit code 1
     +- SettingsError  ValueError     a settings file or option that cannot be used
     +- BundleError    ValueError     a model file that is not what it should be
     |   +- GoldenError               the model answers otherwise than when it was converted
     +- RuntimeMissingError ImportError  a library this machine lacks
     +- CameraError    OSError        a camera or clip that cannot be opened or has stopped
     |   +- SourceEndedError          a recording is over
     +- OutputError    OSError        a GPIO line or other output that cannot be driven
     |   +- OutputBusyError           somebody else holds it
     +- PublishError   OSError        a message that could not be sent; it is tried again
     +- ConversionError ValueError    a Keras model that cannot be converted
     |   +- FidelityError             it was converted, and the result is not good enough
     +- CardError      OSError        a boot partition or image file that cannot be prepared
     +- DataError      ValueError     training or calibration data that cannot be used

Every message says where, what (got, expected) and what to do. The cause is kept with ``raise ... from``.
One handler, :func:`exit_code_of`, sits at the top of every command.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EXIT_OK, EXIT_KNOWN, EXIT_USAGE, EXIT_UNEXPECTED, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


class FmdError(Exception):
    """A known trouble. ``str()`` of it is one line for the person at the door."""


class SettingsError(FmdError, ValueError):
    """A settings file or option that cannot be used."""


class BundleError(FmdError, ValueError):
    """A model file that is damaged, foreign, or of the wrong kind."""


class GoldenError(BundleError):
    """The model answers otherwise on this machine than where it was converted."""


class RuntimeMissingError(FmdError, ImportError):
    """A library this machine lacks."""


class CameraError(FmdError, OSError):
    """A camera or clip that cannot be opened, or has stopped giving frames."""


class SourceEndedError(CameraError):
    """A recording that is played as if live is over."""


class OutputError(FmdError, OSError):
    """A GPIO line or other output that cannot be driven."""


class OutputBusyError(OutputError):
    """A line that somebody else holds; waiting may help."""


class CardError(FmdError, OSError):
    """A boot partition or image file of Raspberry Pi OS that is none, or cannot be prepared."""


class PublishError(FmdError, OSError):
    """A message that could not be sent."""


class ConversionError(FmdError, ValueError):
    """A Keras model that cannot be converted."""


class FidelityError(ConversionError):
    """A converted model that does not agree with its source closely enough."""


class DataError(FmdError, ValueError):
    """Training or calibration data that cannot be used."""


def exit_code_of(main: Callable[[], int]) -> int:
    """Run a command's body and turn whatever it raises into one line on stderr and an exit code.

    An unexpected exception is a defect of ours: its traceback goes to the log at debug level, the line names it.
    """
    if sys.stdout is None:  # closed by who started us (>&-): then nothing is to be printed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    try:
        code = main()
        # Here and not when Python ends: a full disk behind standard output must reach this handler.
        with naming_stdout():
            sys.stdout.flush()
        return code
    except FmdError as error:
        return _told(f"error: {error}", EXIT_KNOWN)
    except KeyboardInterrupt:
        return _told("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output (head, less) went away; that is its right.
        _drop_stdout()
        return EXIT_OK
    except OSError as error:
        # Full disks, missing permissions: the operating system's own words are the clearest there are.
        _drop_stdout()
        where = f"{error.filename}: " if error.filename else ""
        return _told(f"error: {where}{error.strerror or error}", EXIT_KNOWN)
    except Exception as error:
        logging.getLogger(__name__).debug("%s", traceback.format_exc())
        what = f"{type(error).__name__}: {error}"
        return _told(
            f"unexpected error, please report it: {what} (run again with --verbose for where)", EXIT_UNEXPECTED
        )


@contextmanager
def naming_stdout() -> Iterator[None]:
    """Give an error of writing to standard output, which names no file, a name."""
    try:
        yield
    except (FmdError, BrokenPipeError):
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, error.filename or "standard output") from error


def _told(line: str, code: int) -> int:
    """One line, whatever line breaks a library put into its message."""
    print(" ".join(line.split()), file=sys.stderr)
    return code


def _drop_stdout() -> None:
    """Let what standard output still holds go nowhere, or Python would try and fail once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
