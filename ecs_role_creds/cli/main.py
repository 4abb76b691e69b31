"""The entry point of the command line.

A command has one line in :data:`COMMANDS` and a module or package of this package, named after the
command with ``_`` for ``-``. Its ``configure(parser)`` sets the parser's ``description`` and
``epilog`` (with an example), declares the arguments, and sets ``run=`` to the function that does
the work and returns the exit status. Only the module of the typed command is imported, and it
imports what it needs inside that function, so ``--help`` stays fast.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module

from ecs_role_creds._version import __version__

COMMANDS = {
    "doctor": "find out why credentials cannot be fetched",
    "scan": "find AccessKey pairs in source code and configuration files",
    "role": "create, grant, attach, detach and change instance RAM roles",
    "get": "print the credentials in a format for another program",
    "exec": "run a command with the credentials in its environment",
    "wait": "wait until credentials can be fetched",
    "watch": "show refreshes, rotations and failures as they happen",
    "serve": "serve the credentials to programs in any language",
    "demo": "show the library at work against fake services",
    "fake-metadata": "run a fake metadata service",
    "fake-oss": "run a fake OSS and a fake metadata service",
    "completion": "print a completion script for bash, zsh or fish",
}
"""The commands with their one-line summaries, in the order of ``--help``."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as in shells: 128 plus the number of SIGINT."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = build_parser(_typed_command(argv)).parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe (`| head`). Python flushes stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def build_parser(*commands: str | None) -> argparse.ArgumentParser:
    """Build the parser: all commands, with the arguments of the named ones."""
    parser = argparse.ArgumentParser(
        prog="ecs-role-creds",
        description="Get the credentials of an ECS instance's RAM role for programs in any "
        "language, find out why they cannot be fetched, manage roles, and test against fake "
        "services.",
        epilog="Examples:\n  $ ecs-role-creds doctor\n  $ ecs-role-creds exec --help\n",
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, formatter_class=_HelpFormatter)
        if name in commands:
            import_module("ecs_role_creds.cli." + name.replace("-", "_")).configure(subparser)
    return parser


def _typed_command(argv: Sequence[str]) -> str | None:
    """Return the typed command. No option before it takes a value."""
    return next((argument for argument in argv if not argument.startswith("-")), None)


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps paragraphs, but not those with indented lines (examples). Never wraps at a hyphen."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(
            textwrap.indent(paragraph, indent)
            if "\n " in paragraph
            else textwrap.indent("\n".join(self._split_lines(paragraph, width)), indent)
            for paragraph in paragraphs
        )

    def _split_lines(self, text: str, width: int) -> list[str]:
        # A command that is broken at a hyphen cannot be copied.
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)
