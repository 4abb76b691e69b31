"""Runs a command in a pseudo terminal and draws the screen it leaves behind, as an SVG.

The terminal is emulated by pyte, so programs that move the cursor come out as a person sees them;
the picture is drawn by rich.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, LINES = 100, 60


def run_in_terminal(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    columns: int = COLUMNS,
    lines: int = LINES,
    is_done: Callable[[pyte.Screen], bool] = lambda screen: False,
    timeout: float = 60.0,
) -> pyte.Screen:
    """The screen as the command left it.

    Args:
        command: What to run.
        environ: Its environment.
        columns: The terminal's width.
        lines: The terminal's height.
        is_done: Looks at the screen after each piece of output; once it is true, the command gets
            SIGINT (Ctrl-C). For commands that go on and on.
        timeout: Seconds after which a command that still runs is killed.

    Raises:
        TimeoutError: It ran into that limit.
    """
    screen = pyte.Screen(columns, lines)
    stream = pyte.ByteStream(screen)
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(lines)},
        start_new_session=True,
    )
    os.close(follower)
    try:
        while True:
            readable, _, _ = select.select([leader], [], [], timeout)
            if not readable:
                process.kill()
                raise TimeoutError(f"no output for {timeout:g} s: {' '.join(command)}")
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the other end is closed: the command has ended
                return screen
            if not piece:
                return screen
            stream.feed(piece)
            if is_done(screen):
                process.send_signal(signal.SIGINT)
                return screen
    finally:
        os.close(leader)
        process.wait(timeout=timeout)


def text_of(screen: pyte.Screen) -> Text:
    """The screen's text with its colors, without the empty lines at the end."""
    height = max((row for row, line in enumerate(screen.display, 1) if line.strip()), default=0)
    text = Text()
    for row in range(height):
        width = len(screen.display[row].rstrip())
        cells = (screen.buffer[row][column] for column in range(width))
        for style, run in itertools.groupby(cells, _style):
            text.append("".join(cell.data for cell in run), style)
        text.append("\n")
    return text


def draw(screen: pyte.Screen, title: str, path: Path) -> None:
    """Write the screen as an SVG."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=screen.columns, file=nowhere, force_terminal=True)
        console.print(text_of(screen), end="", no_wrap=True)
        # The id keeps the file the same where the picture is.
        console.save_svg(str(path), title=title, unique_id=path.stem)


def _style(cell: pyte.screens.Char) -> Style:
    foreground = None if cell.fg == "default" else _color(cell.fg)
    return Style(color=foreground, bold=cell.bold)


def _color(name: str) -> str:
    """pyte's name of a color, as rich has it."""
    names = {"brown": "yellow", "brightbrown": "bright_yellow"}
    if name in names:
        return names[name]
    if name.startswith("bright"):
        return "bright_" + name.removeprefix("bright")
    return f"#{name}" if len(name) == 6 and not name.isalpha() else name
