"""What the role command prints."""

from __future__ import annotations

import io

import pytest

from ecs_role_creds.cli.role.printing import ProgressLine, describe_outcome, describe_plan
from ecs_role_creds.roles import Failure, InstanceStep, Outcome, Plan, Progress, RamStep


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steps(count: int) -> InstanceStep:
    ids = tuple(f"i-{number}" for number in range(count))
    return InstanceStep("AttachInstanceRamRole", ids, "attach role app to the instances", "app")


def test_progress_on_a_terminal_is_one_line() -> None:
    stream, step = Terminal(), steps(250)
    line = ProgressLine(stream)
    for done in (0, 100, 200, 250):
        line.show(Progress(step, done, 250))
    line.end()
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\rAttachInstanceRamRole: 250 of 250 instances\n")


def test_progress_elsewhere_is_a_line_for_every_hundred() -> None:
    stream, step = io.StringIO(), steps(250)
    line = ProgressLine(stream)
    for done in range(251):
        line.show(Progress(step, done, 250))
    line.end()
    told = [int(one.split()[1]) for one in stream.getvalue().splitlines()]
    assert told == [0, 100, 200, 250]


def test_an_interrupted_line_is_ended() -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    line.show(Progress(steps(250), 100, 250))
    line.end()
    line.end()
    assert stream.getvalue().count("\n") == 1


def test_few_instances_need_no_progress() -> None:
    stream = io.StringIO()
    ProgressLine(stream).show(Progress(steps(3), 3, 3))
    ProgressLine(stream).show(Progress(RamStep("DeleteRole", {}, "delete role a"), 0, 0))
    assert stream.getvalue() == ""


def test_many_instances_are_not_listed_one_by_one() -> None:
    shown = describe_plan(Plan((steps(1000),)))
    assert "i-0, i-1, i-2" in shown
    assert "and 990 more" in shown


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan(), "unchanged: nothing to do"),
        (Plan(unchanged=("role app",)), "unchanged: role app"),
        (Plan(kept=("role app: needed",)), "kept: role app: needed\nNothing to do."),
        (Plan(problems=("It \x1b[31mis so.",)), "problem: It \\x1b[31mis so."),
    ],
)
def test_plans_without_steps(plan: Plan, told: str) -> None:
    assert describe_plan(plan) == told


def test_what_services_say_cannot_drive_the_terminal() -> None:
    failure = Failure("i-1", "New.Code", "It says \x1b[2J\r\n this.")
    shown = describe_outcome(Outcome((), (), (), (failure,)))
    assert "\x1b" not in shown
    assert "\r" not in shown
