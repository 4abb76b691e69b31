"""Writes docs/reference/command-line.md from the parser itself: ``make reference``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ecs_role_creds.cli.main import COMMANDS, build_parser

PAGE = Path(__file__).parents[1] / "reference/command-line.md"


_INTRODUCTION = """# Command line

This page has the text of `ecs-role-creds COMMAND --help`. `python -m ecs_role_creds` is the same as
`ecs-role-creds`.

Output on a terminal is colored. `NO_COLOR=1` turns colors off, `FORCE_COLOR=1` turns them on
everywhere.

| exit status | meaning |
|---|---|
| 0 | success |
| 1 | failure; `scan` found something; `role` failed for a part |
| 2 | wrong arguments, a wrong setting or a missing package |
| 130 | interrupted by Ctrl-C |

`exec` has [exit statuses of its own](#ecs-role-creds-exec). Commands that run until Ctrl-C
(`watch`, `serve`, `fake-metadata`, `fake-oss`) then exit with status 0.

| command | description |
|---|---|
"""


# Shown as code: as text, two hyphens would become a dash.
_CODE = re.compile(
    r"pip install '[^']+'|(?<![\w-])--[a-z][a-z-]*|\$[A-Z_]+|[A-Z]+(?:_[A-Z0-9]+)+"
    r"|https?://[\w./-]*[\w/]|unix:PATH|HOST:PORT"
)


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
    parts = [f"## ecs-role-creds {name}", _CODE.sub(r"`\g<0>`", parser.description or "")]
    parts += [f"| argument | description |\n|---|---|\n{rows}"] if rows else []
    parts += [f"```text\n{parser.epilog.strip()}\n```"] if parser.epilog else []
    parts += [_section(f"{name} {below}", one) for below, one in _commands_of(parser).items()]
    return "\n\n".join(parts).rstrip() + "\n"


def _name(action: argparse.Action) -> str:
    names = list(action.option_strings) or [str(action.metavar or action.dest).replace("|", "\\|")]
    value = ""
    if action.option_strings and action.nargs != 0:
        value = " " + str(action.metavar or action.dest.upper())
    if action.choices is not None:
        choices = ", ".join(f"`{choice}`" for choice in action.choices)
        return f"`{', '.join(names)}`: {choices}"
    return ", ".join(f"`{name}{value}`" for name in names).replace("|", "\\|")


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    return _CODE.sub(r"`\g<0>`", text).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(build_page(), encoding="utf-8")
