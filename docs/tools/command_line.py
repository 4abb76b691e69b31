"""Writes docs/reference/command-line.md from the parser itself: ``make reference``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ecs_role_creds.cli.main import COMMANDS, build_parser

PAGE = Path(__file__).parents[1] / "reference/command-line.md"


_INTRODUCTION = """# Command line

Made by `make reference` from the commands' own help. `python -m ecs_role_creds` is the same as
`ecs-role-creds`.

Colors are used on a terminal. `NO_COLOR=1` turns them off, `FORCE_COLOR=1` on. Where nothing else
is said, the exit status is 0 if all went well, 1 if it did not, 2 for wrong arguments or a missing
package, and 130 after Ctrl-C.

| command | does |
|---|---|
"""


def build_page() -> str:
    """The page's text."""
    commands = _commands_of(build_parser(*COMMANDS))
    rows = (
        f"| [`{name}`](#ecs-role-creds-{name}) | {summary} |" for name, summary in COMMANDS.items()
    )
    sections = (_section(name, commands[name]) for name in COMMANDS)
    return _INTRODUCTION + "\n".join([*rows, "", *sections])


def _commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    """A command, and the commands below it."""
    arguments = [
        action
        for action in parser._actions
        if action.help is not argparse.SUPPRESS
        and not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
    ]
    rows = "\n".join(f"| {_name(action)} | {_help(action, parser)} |" for action in arguments)
    parts = [f"## ecs-role-creds {name}", parser.description or ""]
    parts += [f"| argument | is |\n|---|---|\n{rows}"] if rows else []
    parts += [f"```text\n{parser.epilog.strip()}\n```"] if parser.epilog else []
    parts += [_section(f"{name} {below}", one) for below, one in _commands_of(parser).items()]
    return "\n\n".join(parts).rstrip() + "\n"


def _name(action: argparse.Action) -> str:
    names = list(action.option_strings) or [str(action.metavar or action.dest)]
    value = ""
    if action.option_strings and action.nargs != 0:
        value = " " + str(action.metavar or action.dest.upper())
    if action.choices is not None:
        choices = ", ".join(f"`{choice}`" for choice in action.choices)
        return f"`{', '.join(names)}`: {choices}"
    return ", ".join(f"`{name}{value}`" for name in names).replace("|", "\\|")


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(build_page(), encoding="utf-8")
