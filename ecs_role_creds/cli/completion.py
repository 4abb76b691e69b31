"""``ecs-role-creds completion``: completion scripts for shells, written by shtab."""

from __future__ import annotations

import argparse
import sys

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Print a completion script for a shell. It holds every command and option of this "
        "version: print it again after an upgrade. Needs: pip install 'ecs-role-creds[completion]'."
    )
    parser.epilog = (
        "Examples, for bash, zsh and fish:\n"
        "  $ ecs-role-creds completion bash >> ~/.bash_completion\n"
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
    print(shtab.complete(build_parser(*COMMANDS), shell=arguments.shell))
    return 0
