"""``fmd page``: the process of the web page, its demo, its passwords and its certificate."""

from __future__ import annotations

import argparse
import re
from importlib import import_module
from pathlib import Path

from edge import paths
from edge.commands import common
from edge.errors import EXIT_OK, RuntimeMissingError, SettingsError

EXAMPLES = """\
On a board, the service fmd-page runs this command. To begin with:
  sudo fmd page password
  sudo systemctl enable --now fmd-page

examples:
  fmd page --demo               a built-in scene in a loop, for this machine alone
  sudo fmd page password        set the owner's password
  sudo fmd page password viewer
  sudo fmd page password viewer --remove
  sudo fmd page certificate     make a certificate for TLS
"""
ROLES = ("owner", "viewer")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd page`` and its subcommands."""
    common.add_runtime_option(parser)
    _add_config(parser)
    parser.add_argument(
        "--port", type=_port, metavar="PORT", help="answer at this port instead of that of the settings"
    )
    parser.add_argument(
        "--demo", action="store_true", help="show a built-in scene: without a password, for this machine alone"
    )
    what = parser.add_subparsers(metavar="WHAT", dest="what", title="subcommands")
    sentence = "set a password of the page, which is asked for or read from standard input"
    password = what.add_parser("password", help=sentence, description=f"{sentence.capitalize()}.")
    password.add_argument("role", nargs="?", choices=ROLES, default="owner", help="whose password (default: owner)")
    password.add_argument("--remove", action="store_true", help="remove the password: this role cannot sign in then")
    sentence = "make a key and a certificate that it signs itself, for TLS"
    certificate = what.add_parser("certificate", help=sentence, description=f"{sentence.capitalize()}.")
    certificate.add_argument(
        "names", nargs="*", metavar="NAME", help="further host names and addresses of this board to put into it"
    )
    for each in (password, certificate):
        _add_config(each)
        common.add_verbose(each)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help=f"the page's own settings (default: {paths.PAGE_SETTINGS})",
    )


def _port(text: str) -> int:
    """Return a port. An option's type; the system would take a larger number for another port."""
    if re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"got {text[:20]!r}, expected a port from 1 to 65535")


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until a signal asks to stop, or carry out a subcommand."""
    settings = getattr(arguments, "config", paths.PAGE_SETTINGS)
    if arguments.what == "password":
        from edge.commands import page_password

        page_password.change(settings.with_name(paths.PAGE_PASSWORDS), arguments.role, arguments.remove)
        return EXIT_OK
    if arguments.what == "certificate":
        from edge.commands import page_certificate

        page_certificate.make(settings, arguments.names)
        return EXIT_OK
    for library in ("starlette", "uvicorn", "jinja2"):
        try:
            import_module(library)
        except ImportError as error:
            raise RuntimeMissingError("the web page needs its libraries: pip install 'fmd-edge[page]'") from error
    if arguments.demo:
        from edge.commands import page_demo

        return page_demo.run(arguments.port)
    from edge.page import process

    if settings is not paths.PAGE_SETTINGS and not settings.exists():
        raise SettingsError(f"{settings}: no such file; name the page's own settings, or leave --config out")
    runtime = arguments.runtime or paths.runtime_folder() or paths.RUNTIME
    return common.exit_code(process.serve(settings, runtime, arguments.port))
