"""The command line's entry.

A command has one line in :data:`COMMANDS` and a module (or package) of this package, named like
the command with ``_`` for ``-``. The module has ``configure(parser)``, which sets the parser's
``description`` and ``epilog`` (an example), declares the arguments, and sets ``run=`` to the
function that does the work and returns the exit status. Only the module of the command that was
typed is imported, and it imports what it needs inside that function, so ``--help`` stays fast.
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
    "doctor": "find out why credentials cannot be fetched, and what is at risk",
    "scan": "find AccessKey pairs that were left in sources and configuration",
    "role": "create, grant, attach, detach and change instance RAM roles",
    "get": "print the credentials, in the form that another program reads",
    "exec": "run a command with the credentials in its environment",
    "wait": "wait until there are credentials",
    "watch": "show what the provider does, as it happens",
    "serve": "serve the credentials to programs in any language",
    "demo": "see it work: a picture to and from OSS while the token rotates",
    "fake-metadata": "run a fake metadata service on loopback",
    "fake-oss": "run a fake OSS and its metadata service on loopback",
    "completion": "print a completion script for bash, zsh or fish",
}
"""Every command with its line in ``--help``, in the order of ``--help``."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it: 128 and the number of SIGINT."""


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
        # The reader of the pipe has ended (`| head`). Python flushes stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def build_parser(*commands: str | None) -> argparse.ArgumentParser:
    """The parser, with the arguments of the named commands and the names of all."""
    parser = argparse.ArgumentParser(
        prog="ecs-role-creds",
        description="Credentials of an ECS instance's RAM role: for programs in any language, "
        "with diagnosis, demonstration and test tools.",
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
    """The command; no option before it takes a value."""
    return next((argument for argument in argv if not argument.startswith("-")), None)


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps paragraphs, and keeps those that have indented lines (examples) as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(
            textwrap.indent(paragraph, indent)
            if "\n " in paragraph
            else super(_HelpFormatter, self)._fill_text(paragraph, width, indent)
            for paragraph in paragraphs
        )
