"""The errors of fmd, as one tree.

    FmdError                      an expected error, reported in one line; exit code 1
     +- SettingsError  ValueError     a settings file or option that cannot be used
     +- BundleError    ValueError     a model file that is damaged, foreign or of the wrong kind
     |   +- GoldenError               the model's answers differ from those measured by the converter
     +- RuntimeMissingError ImportError  a library that this machine lacks
     +- CameraError    OSError        a camera or clip that cannot be opened or has stopped
     |   +- SourceEndedError          a recording has ended
     +- PictureError   OSError        a picture that is too large to decode
     +- OutputError    OSError        a GPIO line or other output that cannot be driven
     |   +- OutputBusyError           another process holds the line
     +- SensorError    OSError        a presence sensor that cannot be opened or read
     +- RecordError    OSError        a record of passages and events that is missing or cannot be read
     +- PublishError   OSError        a message that could not be sent; the outbox tries again
     +- ControlError   OSError        a running fmd that cannot be asked, or that refuses
     |   +- NotRunningError           no fmd runs there
     +- ConversionError ValueError    a Keras model that cannot be converted
     |   +- FidelityError             the converted model does not agree with its source
     +- BackupError    ValueError     a backup that is damaged, or that this board cannot restore
     +- HubError       OSError        files of a hub that are missing or damaged, or a broker that cannot be asked
     +- CardError      OSError        a boot partition or image file that cannot be prepared
     +- DataError      ValueError     training or calibration data that cannot be used
     +- StopRequestedError InterruptedError  a signal asked to stop while something was opened

Every message states where, what (got, expected) and what to do. ``raise ... from`` keeps the cause.
One handler, :func:`exit_code_of`, is at the top of every command.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from edge.redaction import redact
from edge.text import escaped

log = logging.getLogger(__name__)

EXIT_OK, EXIT_KNOWN, EXIT_USAGE, EXIT_UNEXPECTED, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


Error = TypeVar("Error", bound="FmdError")


class FmdError(Exception):
    """An expected error. Its ``str()`` is one line for the operator.

    ``commands`` are what the operator may type to go on; the command line prints each on a line of its own.
    """

    commands: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the message as one printable line without secrets: texts in it may come from a stranger's file."""
        return escaped(redact(super().__str__()))

    def offering(self: Error, commands: Iterable[str]) -> Error:
        """Return this error with ``commands``, each once and in one printable line."""
        self.commands = tuple(dict.fromkeys(escaped(redact(command)) for command in commands))
        return self


class SettingsError(FmdError, ValueError):
    """A settings file or option that cannot be used.

    ``keys`` are the settings (``section.key``) that it is about, the one to correct first. ``what`` is the message
    without place and key, for a form that shows both.
    """

    keys: tuple[str, ...] = ()
    what: str = ""

    def about(self, what: str, *keys: str) -> SettingsError:
        """Return this error with its settings and the message about them."""
        self.what, self.keys = escaped(redact(what)), keys
        return self


class BundleError(FmdError, ValueError):
    """A model file that is damaged, foreign, or of the wrong kind."""


class GoldenError(BundleError):
    """A model whose answers on this machine differ from those that the converter measured."""


class RuntimeMissingError(FmdError, ImportError):
    """A library that this machine lacks."""


class CameraError(FmdError, OSError):
    """A camera or clip that cannot be opened, or has stopped giving frames."""


class SourceEndedError(CameraError):
    """The end of a recording that is played as if it were live."""


class PictureError(FmdError, OSError):
    """A picture that is too large to decode. The caller that knows its origin names it."""


class OutputError(FmdError, OSError):
    """A GPIO line or other output that cannot be driven."""


class OutputBusyError(OutputError):
    """A line that another process holds; waiting may help."""


class SensorError(FmdError, OSError):
    """A presence sensor that cannot be opened or read."""


class BackupError(FmdError, ValueError):
    """A file that is no whole backup, or that cannot be restored here."""


class HubError(FmdError, OSError):
    """Files of a hub that are missing, damaged or not of its kind, or a broker that does not run here."""


class CardError(FmdError, OSError):
    """A file or folder that is no boot partition of Raspberry Pi OS, or that cannot be prepared."""


class RecordError(FmdError, OSError):
    """A record of passages and events that is missing, damaged, or of another version."""


class PublishError(FmdError, OSError):
    """A message that could not be sent."""


class ControlError(FmdError, OSError):
    """A running fmd that cannot be asked through its control socket, or that refuses a request."""


class NotRunningError(ControlError):
    """No fmd runs there, or it does not answer."""


class ConversionError(FmdError, ValueError):
    """A Keras model that cannot be converted."""


class FidelityError(ConversionError):
    """A converted model that does not agree with its source closely enough."""


class DataError(FmdError, ValueError):
    """Training or calibration data that cannot be used."""


class StopRequestedError(FmdError, InterruptedError):
    """A signal that asked to stop while something was opened; its handler has noted it."""


def exit_code_of(main: Callable[[], int]) -> int:
    """Run the body of a command; return its exit code, or print an error in one line on stderr and return its code.

    Any other exception is a bug in fmd: the line names it, and its traceback goes to the log at debug level.
    """
    try:
        code = main()
        # Flush here and not when Python exits, so that a full disk behind standard output reaches this handler.
        with naming_stdout():
            sys.stdout.flush()
        return code
    except FmdError as error:
        return _report(f"error: {error}", EXIT_KNOWN)
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # after the terminal's ^C
        return _report("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of the output (head, less) has read enough and exited, which is no error.
        _drop_stdout()
        return EXIT_OK
    except OSError as error:
        # Full disks, missing permissions: the operating system's message is clear, and names the file.
        _drop_stdout()
        where = f"{error.filename}: " if error.filename else ""
        return _report(f"error: {where}{error.strerror or error}", EXIT_KNOWN)
    except Exception as error:
        if _interrupted(error):
            return _report("interrupted", EXIT_INTERRUPTED)
        log.debug("%s", traceback.format_exc())
        what = f"{type(error).__name__}: {error}"
        return _report(
            f"unexpected error, please report it: {what} (run again with --verbose to see where)", EXIT_UNEXPECTED
        )


@contextmanager
def naming_stdout() -> Iterator[None]:
    """Name standard output in an error of writing to it: the system's error names no file."""
    try:
        yield
    except (FmdError, BrokenPipeError):
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, error.filename or "standard output") from error


def _interrupted(error: BaseException) -> bool:
    """Return whether Ctrl-C led to this error: raised in the middle of a lock's code, it makes Python raise others."""
    before = error.__context__
    return isinstance(before, KeyboardInterrupt) or (before is not None and _interrupted(before))


def _report(line: str, code: int) -> int:
    """Print the message in one line, also if a library put line breaks into it."""
    print(escaped(redact(" ".join(line.split()))), file=sys.stderr)
    return code


def _drop_stdout() -> None:
    """Discard what standard output still buffers, or Python would fail to write it once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
