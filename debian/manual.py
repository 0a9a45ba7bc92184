#!/usr/bin/python3
"""Manual pages and shell completion of fmd, made from the options that it declares: manual.py VERSION FOLDER.

Writes FOLDER/man/*.1, one page per command (``man fmd run`` finds fmd-run.1), and FOLDER/completion/bash and zsh with
shtab. fmd's options can be read without numpy and OpenCV, so that a build machine needs neither.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from edge.commands import parsing  # noqa: E402
from edge.commands.main import make_parser  # noqa: E402

EXIT_STATUS = (
    ("0", "Success."),
    ("1", "An expected error, reported in one line, or a check that failed."),
    ("2", "Wrong usage."),
    ("3", "A bug in fmd."),
    ("130", "Interrupted with Ctrl-C."),
)
"""See edge.errors."""


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the subcommands by name."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: inner for action in actions for name, inner in action.choices.items()}


def all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser and those of all subcommands; ``prog`` is the command's full name, such as "fmd run"."""
    yield parser
    for inner in subparsers(parser).values():
        yield from all_parsers(inner)


def page(parser: argparse.ArgumentParser, version: str) -> str:
    """Return the manual page of one command as roff source."""
    name = parser.prog.replace(" ", "-")
    sentence = (parser.description or "").strip().rstrip(".")
    prose, _, examples = (parser.epilog or "").partition("examples:\n")
    usage = " ".join(parser.format_usage().split()[1:])
    lines = [
        # Without a date, two builds of one version give the same page.
        f'.TH "{roff(name.upper())}" 1 "" "fmd {version}" "User Commands"',
        *(".SH NAME", f"{roff(name)} \\- {roff(sentence)}"),
        *(".SH SYNOPSIS", f"{bold(parser.prog)}{roff(usage.removeprefix(parser.prog))}"),
        *(".SH DESCRIPTION", roff(f"{sentence}.")),
        *(line for paragraph in prose.strip().split("\n\n") if paragraph for line in (".PP", roff(paragraph))),
        *section("OPTIONS", [(invocation(action), help_of(action, parser)) for action in options(parser)]),
        *section(
            "COMMANDS",
            [(bold(key), f"{inner.description} See {page_of(inner)}.") for key, inner in subparsers(parser).items()],
        ),
        *section("EXIT STATUS", [(bold(code), meaning) for code, meaning in EXIT_STATUS]),
    ]
    if examples:
        lines += [".SH EXAMPLES", ".nf", *(roff(line[2:]) for line in examples.splitlines()), ".fi"]
    if parents := parents_of(parser.prog):
        lines += [".SH SEE ALSO", ", ".join(f"{roff(prog.replace(' ', '-'))}(1)" for prog in parents)]
    return "\n".join(lines) + "\n"


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return arguments and options that the help lists."""
    hidden = (argparse.SUPPRESS, None)
    return [a for a in parser._actions if a.help not in hidden and not isinstance(a, argparse._SubParsersAction)]


def invocation(action: argparse.Action) -> str:
    """Return how an option is written, such as ``--csv FILE``, or an argument's name, as roff source."""
    names = action.metavar or action.dest.upper()
    value = names if isinstance(names, str) else " ".join(names)
    if action.choices:
        value = "|".join(map(str, action.choices))
    if not action.option_strings:
        return italic(action.dest)
    flags = ", ".join(bold(flag) for flag in action.option_strings)
    return flags if action.nargs == 0 else f"{flags} {italic(value)}"


def help_of(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """Return the help of an option as a sentence."""
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    return f"{text[0].upper()}{text[1:]}."


def page_of(parser: argparse.ArgumentParser) -> str:
    """Return the name of a command's page, such as "fmd-run(1)"."""
    return f"{parser.prog.replace(' ', '-')}(1)"


def parents_of(prog: str) -> list[str]:
    """Return the commands above a command: "fmd model install" -> ["fmd", "fmd model"]."""
    words = prog.split()
    return [" ".join(words[:n]) for n in range(1, len(words))]


def section(title: str, entries: Sequence[tuple[str, str]]) -> list[str]:
    """Return a section of (roff source, text) pairs; none where there are no entries."""
    if not entries:
        return []
    return [f".SH {title}", *(line for head, text in entries for line in (".TP", head, roff(text)))]


def bold(text: str) -> str:
    """Return text in bold as roff source."""
    return f"\\fB{roff(text)}\\fR"


def italic(text: str) -> str:
    """Return text in italics as roff source."""
    return f"\\fI{roff(text)}\\fR"


def roff(text: str) -> str:
    """Return text as roff source: hyphens that can be copied, no line that begins a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


def main() -> None:
    """Write all pages and scripts."""
    version, out = sys.argv[1], Path(sys.argv[2])
    for folder in ("man", "completion"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    parser = make_parser()
    parser.load()
    for each in all_parsers(parser):
        name = each.prog.replace(" ", "-")
        (out / "man" / f"{name}.1").write_text(page(each, version), encoding="utf-8")
    for shell in parsing.SHELLS:
        (out / "completion" / shell).write_text(parsing.completion(parser, shell), encoding="utf-8")


if __name__ == "__main__":
    main()
