"""``ecs-role-creds watch``: show refreshes, rotations and failures as they happen."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from ecs_role_creds.cli.provider_options import (
    add_provider_options,
    build_provider,
    life,
    reporting_errors,
    seconds,
)

if TYPE_CHECKING:
    from ecs_role_creds import ProviderStatus
    from ecs_role_creds.cli.output import Paint

SAMPLE_SECONDS = 0.25
MAX_BAR = 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Refresh the credentials and show what happens: the remaining life, the next request, "
        "rotations and failures. If the output is not a terminal, print one line for each event. "
        "Runs until Ctrl-C, then exits with status 0."
    )
    parser.epilog = (
        "Examples:\n"
        "  $ ecs-role-creds watch\n"
        "  $ ecs-role-creds watch --role my-role >> rotations.log\n"
    )
    parser.add_argument(
        "--duration", type=seconds, metavar="SECONDS", help="stop after this time (default: never)"
    )
    add_provider_options(parser)
    parser.set_defaults(run=reporting_errors("watch", run))


def run(arguments: argparse.Namespace) -> int:
    """Show events until interrupted; returns the exit status."""
    from ecs_role_creds.cli.output import Paint, wants_color

    provider = build_provider(arguments)
    is_terminal = sys.stdout.isatty()
    paint = Paint(wants_color(sys.stdout, os.environ))
    draw = Screen(paint, _write, _columns, can_draw_blocks()) if is_terminal else Log(_write)
    ends_at = None if arguments.duration is None else time.monotonic() + arguments.duration
    with provider.polling():
        try:
            for before, status in samples(provider.status):
                draw(before, status)
                if ends_at is not None and time.monotonic() >= ends_at:
                    break
        except KeyboardInterrupt:
            pass  # the usual end
    return 0


def samples(
    status: Callable[[], ProviderStatus], sleep: Callable[[float], None] = time.sleep
) -> Iterator[tuple[ProviderStatus | None, ProviderStatus]]:
    """Yield each status with the one before it, endlessly."""
    before = None
    while True:
        now = status()
        yield before, now
        before = now
        sleep(SAMPLE_SECONDS)


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        text: A description.
        is_bad: Whether it needs attention.
    """

    text: str
    is_bad: bool = False


def events(before: ProviderStatus | None, now: ProviderStatus) -> list[Event]:
    """Return what happened between two statuses of a provider."""
    found = []
    rotations = now.rotations - (before.rotations if before else 0)
    fetches = now.fetches - (before.fetches if before else 0)
    if rotations and now.expiration is not None:
        found.append(
            Event(
                f"rotation {now.rotations}: new credentials of role {now.role_name}, valid for "
                f"{life(now.expires_in)}, until {now.expiration:%Y-%m-%dT%H:%M:%SZ}"
            )
        )
    elif fetches:
        found.append(
            Event(f"no new credentials yet; the next request is in {life(now.next_request_in)}")
        )
    if now.failures and now.failures != (before.failures if before else 0):
        found.append(
            Event(
                f"failure {now.failures} in a row: {now.last_failure} "
                f"Credentials are valid for another {life(now.expires_in)}; the next request is "
                f"in {life(now.next_request_in)}.",
                is_bad=True,
            )
        )
    if before and before.expires_in > 0 and now.expires_in <= 0:
        found.append(Event("the credentials have expired", is_bad=True))
    if now.mode == "normal" and (before is None or before.mode != "normal"):
        found.append(Event("the service supports only the normal mode (IMDSv1)", is_bad=True))
    return found


class Log:
    """Prints a line for each event.

    Args:
        write: Prints text.
        now: Returns the time of day.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._write = write
        self._now = now

    def __call__(self, before: ProviderStatus | None, status: ProviderStatus) -> None:
        """Print what happened since the status before."""
        for event in events(before, status):
            self._write(f"{self._now().isoformat(timespec='seconds')} {_printable(event.text)}\n")


class Screen:
    """Prints events above a few lines that it redraws.

    Args:
        paint: Colours text.
        write: Prints text.
        columns: The terminal's width.
        has_blocks: Whether the terminal can show block characters.
        now: Returns the time of day.
    """

    def __init__(
        self,
        paint: Paint,
        write: Callable[[str], object],
        columns: Callable[[], int],
        has_blocks: bool,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._paint = paint
        self._write = write
        self._columns = columns
        self._blocks = "█░" if has_blocks else "#-"
        self._now = now
        self._full_life = 0.0
        self._drawn = 0

    def __call__(self, before: ProviderStatus | None, status: ProviderStatus) -> None:
        """Print what happened since the status before, and redraw the lines below."""
        happened = events(before, status)
        if before is None or status.rotations != before.rotations:
            self._full_life = status.expires_in
        columns = max(20, self._columns())
        lines = [line[: columns - 1] for line in self._lines(status, columns)]
        # Back to the first of the redrawn lines, and clear from there.
        text = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        for event in happened:
            shown = self._paint(_printable(event.text), "red" if event.is_bad else "green")
            text += f"{self._paint(f'{self._now():%H:%M:%S}', 'dim')}  {shown}\n"
        self._drawn = len(lines)
        self._write(text + "\n".join(lines) + "\n")

    def _lines(self, status: ProviderStatus, columns: int) -> list[str]:
        doing = "in progress" if status.is_refreshing else f"in {life(status.next_request_in)}"
        failing = f", {status.failures} failures in a row" if status.failures else ""
        return [
            "",
            f"role       {status.role_name or 'not known yet'}",
            f"life left  {self._bar(status, columns)}",
            f"           {life(status.expires_in)}" if status.expires_in else "           none",
            f"next       {doing}",
            f"so far     {status.fetches} fetches, {status.rotations} rotations{failing}",
        ]

    def _bar(self, status: ProviderStatus, columns: int) -> str:
        return bar(status.expires_in, self._full_life, min(MAX_BAR, columns - 13), self._blocks)


def bar(left: float, full: float, width: int, blocks: str) -> str:
    """Return a bar of ``width`` characters that shows the remaining life.

    Args:
        left: The seconds left.
        full: The seconds that fill the bar.
        width: The length in characters.
        blocks: The characters for the filled and for the empty part.
    """
    share = min(1.0, left / full) if full > 0 else 0.0
    filled = round(share * width)
    if left > 0:
        filled = max(1, filled)
    return blocks[0] * filled + blocks[1] * (width - filled)


def can_draw_blocks() -> bool:
    """Whether stdout can encode block characters."""
    try:
        "█░".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _printable(text: str) -> str:
    from ecs_role_creds.cli.output import printable

    return printable(text)


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
