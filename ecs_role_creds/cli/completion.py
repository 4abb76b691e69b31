"""``ecs-role-creds completion``: completion scripts for shells, written by shtab."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Print a completion script for a shell. It holds every command and option of this "
        "version: print it again after an upgrade. Needs: pip install 'ecs-role-creds[completion]'."
    )
    parser.epilog = (
        "Examples, for bash, zsh and fish:\n"
        "  $ ecs-role-creds completion bash \\\n"
        "      > ~/.local/share/bash-completion/completions/ecs-role-creds\n"
        '  $ ecs-role-creds completion zsh > "${fpath[1]}/_ecs-role-creds"\n'
        "  $ ecs-role-creds completion fish > ~/.config/fish/completions/ecs-role-creds.fish\n"
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from ecs_role_creds.cli.main import COMMANDS, build_parser

    try:
        import shtab
    except ImportError:
        print(
            "ecs-role-creds completion: the package shtab is not installed. Install it with: "
            "pip install 'ecs-role-creds[completion]'",
            file=sys.stderr,
        )
        return 2
    parser = build_parser(*COMMANDS)
    for below in walk_parsers(parser):
        # shtab shows a command's description, which is long.
        below.description = COMMANDS.get(below.prog.partition(" ")[2], "")
        for action in below._actions:
            if action.type is Path or action.metavar == "PATH":
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell))
    return 0


def walk_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and those of all commands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from walk_parsers(below)
