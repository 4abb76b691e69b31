"""What is told of a provider's changes, and what is drawn."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.unhurried import unhurried

from ecs_role_creds import ProviderStatus
from ecs_role_creds.cli.output import Paint
from ecs_role_creds.cli.watch import Log, Screen, bar, events

NOON = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)
NEW = ProviderStatus(
    role_name="app-role",
    expiration=NOON,
    expires_in=21600.0,
    next_request_in=19860.0,
    is_refreshing=False,
    is_polling=True,
    fetches=1,
    rotations=1,
    failures=0,
    last_failure=None,
    mode="hardening",
    is_refused=False,
)
EMPTY = NEW._replace(
    role_name=None, expiration=None, expires_in=0.0, next_request_in=0.0, fetches=0, rotations=0
)
FAILED = NEW._replace(failures=1, last_failure="It did not answer.", next_request_in=1.0)


def texts(before: ProviderStatus | None, now: ProviderStatus) -> list[str]:
    return [event.text for event in events(before, now)]


def test_nothing_happened() -> None:
    assert events(NEW, NEW._replace(expires_in=21599.0)) == []
    assert events(None, EMPTY) == []


@pytest.mark.parametrize("before", [None, EMPTY])
def test_first_credentials(before: ProviderStatus | None) -> None:
    (text,) = texts(before, NEW)
    assert text == (
        "rotation 1: new credentials of role app-role, valid for 6 h 00 min, "
        "until 2030-01-01T12:00:00Z"
    )


def test_rotation() -> None:
    (text,) = texts(NEW, NEW._replace(fetches=2, rotations=2))
    assert text.startswith("rotation 2")


def test_unchanged() -> None:
    assert texts(NEW, NEW._replace(fetches=2, next_request_in=300.0)) == [
        "no new credentials yet; the next request is in 5 min"
    ]


def test_failures_are_told_once_each() -> None:
    (event,) = events(NEW, FAILED)
    assert event.is_bad
    assert "It did not answer." in event.text
    assert "valid for another 6 h 00 min" in event.text
    assert events(FAILED, FAILED) == []
    assert texts(FAILED, FAILED._replace(failures=2))[0].startswith("failure 2 in a row")


def test_recovery_without_new_credentials() -> None:
    assert texts(FAILED, NEW._replace(fetches=2)) == [
        "no new credentials yet; the next request is in 5 h 31 min"
    ]


def test_expired() -> None:
    assert texts(NEW, NEW._replace(expires_in=0.0)) == ["the credentials have expired"]


def test_normal_mode() -> None:
    assert any("IMDSv1" in text for text in texts(EMPTY, NEW._replace(mode="normal")))


def test_a_line_an_event() -> None:
    written: list[str] = []
    log = Log(written.append, lambda: NOON)
    log(None, NEW)
    log(NEW, NEW)
    log(NEW, FAILED._replace(last_failure="two\nlines\x1b[31m"))
    assert len(written) == 2
    assert all(line.startswith("2030-01-01T12:00:00+00:00 ") for line in written)
    assert all(line.count("\n") == 1 and "\x1b" not in line for line in written)


def screen(columns: int = 80, *, color: bool = False) -> tuple[Screen, list[str]]:
    written: list[str] = []
    return Screen(Paint(color), written.append, lambda: columns, True, lambda: NOON), written


def test_the_screen_is_redrawn_in_place() -> None:
    draw, written = screen()
    draw(None, NEW)
    first = written[-1]
    assert "rotation 1" in first
    assert "\x1b" not in first
    draw(NEW, NEW._replace(expires_in=10800.0))
    second = written[-1]
    drawn = first.split("UTC\n")[-1].count("\n") - 1  # without the event's line
    assert second.startswith(f"\x1b[{drawn}F\x1b[J")
    assert second.count("█") * 2 == second.count("█") + second.count("░")
    assert "3 h 00 min" in second


@pytest.mark.parametrize("columns", [1, 20, 40, 300])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    draw, written = screen(columns)
    draw(FAILED, FAILED)
    assert max(map(len, written[-1].splitlines())) < max(20, columns)


def test_colours_only_where_wanted() -> None:
    for color in (True, False):
        draw, written = screen(color=color)
        draw(NEW, FAILED)
        assert ("\x1b[31m" in written[-1]) is color


def test_no_credentials() -> None:
    draw, written = screen()
    draw(None, EMPTY)
    assert "not known yet" in written[-1]
    assert "none" in written[-1]


@unhurried
@given(
    left=st.floats(0, 1e6),
    full=st.floats(0, 1e6),
    width=st.integers(1, 200),
)
def test_bar(left: float, full: float, width: int) -> None:
    drawn = bar(left, full, width, "#-")
    assert len(drawn) == width
    assert drawn == "#" * drawn.count("#") + "-" * drawn.count("-")
    if left == 0:
        assert "#" not in drawn
    else:
        assert drawn.startswith("#")
