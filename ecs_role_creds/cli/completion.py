"""``ecs-role-creds completion``: print a shell completion script, made by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ecs_role_creds.cli.packages import needs
from ecs_role_creds.cli.provider_options import tell

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Print a completion script for bash, zsh or fish. It completes the commands and options of "
        "this version, so run it again after an upgrade. Needs: pip install "
        "'ecs-role-creds[completion]'"
    )
    parser.epilog = (
        "Examples, for bash, zsh and fish:\n"
        "  $ ecs-role-creds completion bash \\\n"
        "      > ~/.local/share/bash-completion/completions/ecs-role-creds\n"
        '  $ ecs-role-creds completion zsh > "${fpath[1]}/_ecs-role-creds"\n'
        "  $ ecs-role-creds completion fish > ~/.config/fish/completions/ecs-role-creds.fish\n"
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell to complete for")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the script; returns the exit status."""
    from ecs_role_creds.cli.main import COMMANDS, build_parser

    try:
        import shtab
    except ImportError as error:
        tell("completion", needs("this command", error, "completion"))
        return 2
    parser = build_parser(*COMMANDS)
    for below in walk_parsers(parser):
        # shtab shows descriptions; the one-line summaries are shorter.
        below.description = COMMANDS.get(below.prog.partition(" ")[2], "")
        for action in below._actions:
            if action.type is Path or action.metavar == "PATH":
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, arguments.shell))
    return 0


def walk_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser and the parsers of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from walk_parsers(below)
