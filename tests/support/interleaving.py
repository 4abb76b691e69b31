"""Runs threads in a seeded order that can be repeated: one at a time, switched at any line.

Each actor is a real thread with a trace function. Exactly one of them holds the baton and runs;
the others wait. Before each line of the traced files the actor that runs may hand the baton on. A
seeded generator makes every decision, so the same seed gives the same interleaving, and a failure
can be repeated and read.

A thread that blocks on a real lock would never hand the baton on. Code under test therefore gets
the locks of the scheduler (:meth:`Scheduler.lock`), which tell it who waits for what. Time is
virtual. Where every actor waits, it moves to the next timeout.
"""

from __future__ import annotations

import _thread
import asyncio
import random
import sys
import threading
from collections.abc import Callable, Collection
from math import inf
from types import FrameType
from typing import Any, NamedTuple, NoReturn

MAX_STEPS = 20_000
HANGS = 60.0
"""Real seconds after which a baton that never comes back is an error."""


class BrokenInvariantError(AssertionError):
    """An invariant does not hold in this interleaving."""


class Abandoned(BaseException):
    """Ends the other actors of an interleaving that failed."""


class Step(NamedTuple):
    """A line that an actor is about to run."""

    actor: str
    function: str
    line: int
    time: float

    def __str__(self) -> str:
        return f"{self.time:12.3f}  {self.actor:12} {self.function}:{self.line}"


class Actor:
    """One thread.

    Args:
        name: As shown in the trace.
        work: What it does.

    Attributes:
        is_ready: Whether it can run now; asked again before each decision.
        wakes_at: When it runs even if it is not ready.
        is_done: Whether ``work`` has ended.
        resumed_at: When it last came back from waiting for a lock, or in an event loop.
        is_checking: Whether it runs the scenario's own code, which is not traced.
        is_abandoned: Whether it has been told to end.
    """

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self.name = name
        self.work = work
        self.gate = _thread.allocate_lock()
        self.gate.acquire()
        self.is_ready: Callable[[], bool] = _always
        self.wakes_at = inf
        self.is_done = False
        self.resumed_at = -inf
        self.is_checking = False
        self.is_abandoned = False

    def can_run(self, now: float) -> bool:
        """Whether the baton may go to it."""
        return not self.is_done and (now >= self.wakes_at or self.is_ready())


def _always() -> bool:
    return True


class Scheduler:
    """One interleaving.

    Args:
        seed: Decides everything.
        files: The files, by ``co_filename``, between whose lines actors are switched.
        by_opcode: Switch between bytecode instructions, too: finds races inside a line.

    Attributes:
        now: The virtual time, in seconds.
        random: The seeded generator, for the scenario's own decisions.
        before_step: Called before each step; calls :meth:`fail` where an invariant is broken.
        steps: What was run, in order, if ``records``.
    """

    def __init__(
        self,
        seed: int,
        files: Collection[str],
        *,
        by_opcode: bool = False,
        records: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.before_step: Callable[[], None] = lambda: None
        self.steps: list[Step] = []
        self._files = frozenset(files)
        self._by_opcode = by_opcode
        self._records = records
        # Few switches find what needs a long pause at one place; many find what needs turns.
        self._switch_share = self.random.choice((0.5, 0.2, 0.08, 0.03))
        self._actors: list[Actor] = []
        self._current: Actor | None = None
        self._count = 0
        self._failure: BaseException | None = None
        self._is_over = threading.Event()

    def clock(self) -> float:
        """The virtual time; asking for it without end is a broken invariant, too."""
        self._count_step()
        return self.now

    @property
    def current(self) -> Actor:
        """The actor that runs."""
        assert self._current is not None, "nobody runs"
        return self._current

    def spawn(self, name: str, work: Callable[[], object]) -> Actor:
        """Add an actor; it runs when the baton comes to it."""
        actor = Actor(name, work)
        self._actors.append(actor)
        _thread.start_new_thread(self._run_actor, (actor,))
        return actor

    def run(self) -> None:
        """Run all actors to their ends.

        Raises:
            BrokenInvariantError: An invariant is broken, or all actors wait for each other.
        """
        self._hand_on()
        if not self._is_over.wait(HANGS):
            raise RuntimeError(
                f"{self.current.name} never handed the baton on; it blocks on a real lock"
            )
        if self._failure is not None:
            raise self._failure

    def fail(self, message: str) -> NoReturn:
        """End the interleaving: an invariant is broken.

        Code under test cannot swallow it, whatever it catches: the message is noted first.
        """
        self._note(BrokenInvariantError(message))
        self.current.is_abandoned = True
        raise Abandoned

    # What the code under test blocks on.

    def wait(self, is_ready: Callable[[], bool], timeout: float = inf) -> None:
        """Block the actor that runs until something is so, or the time-out has passed."""
        self._count_step()
        actor = self.current
        actor.is_ready, actor.wakes_at = is_ready, self.now + timeout
        self._hand_on(actor)
        actor.is_ready, actor.wakes_at = _always, inf

    def sleep(self, seconds: float) -> None:
        """Block the actor that runs for a while."""
        self.wait(lambda: False, seconds)

    def pause(self) -> None:
        """Perhaps hand the baton on; for code whose lines are not traced."""
        self._step()

    def lock(self) -> Lock:
        """A lock."""
        return Lock(self)

    def event_loop(self) -> SchedulerEventLoop:
        """An event loop for coroutines of the actor that runs."""
        return SchedulerEventLoop(self)

    # The baton.

    def _run_actor(self, actor: Actor) -> None:
        actor.gate.acquire()
        try:
            if self._failure is None:
                sys.settrace(self._trace)
                actor.work()
        except Abandoned:
            pass
        except BaseException as error:
            broken = BrokenInvariantError(f"raised {error!r}")
            broken.__cause__ = error
            self._note(broken)
        finally:
            sys.settrace(None)
            actor.is_done = True
            self._hand_on()

    def _trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in self._files:
            return None
        if self._by_opcode:
            frame.f_trace_opcodes = True
        return self._trace_line

    def _trace_line(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if event in ("line", "opcode") and not (
            self.current.is_checking or self.current.is_abandoned
        ):
            if self._records:
                code = frame.f_code
                name = getattr(code, "co_qualname", code.co_name)
                self.steps.append(Step(self.current.name, name, frame.f_lineno, self.now))
            self._step()
        return self._trace_line

    def _step(self) -> None:
        self._count_step()
        self.current.is_checking = True
        self.before_step()
        self.current.is_checking = False
        if self.random.random() < self._switch_share:
            self._hand_on(self.current)

    def _count_step(self) -> None:
        self._count += 1
        if self._count > MAX_STEPS:
            self.fail(f"not at an end after {MAX_STEPS} steps")

    def _hand_on(self, actor: Actor | None = None) -> None:
        """Let one that can run go on; ``actor`` comes back when it is chosen again."""
        chosen = self._choose()
        if chosen is None:
            self._is_over.set()
            return
        self._current = chosen
        if chosen is not actor:
            chosen.gate.release()
            if actor is not None:
                actor.gate.acquire()
        if actor is not None and self._failure is not None:
            actor.is_abandoned = True
            raise Abandoned

    def _choose(self) -> Actor | None:
        alive = [one for one in self._actors if not one.is_done]
        if not alive:
            return None
        if self._failure is not None:
            return alive[0]  # to be ended
        ready = [one for one in alive if one.can_run(self.now)]
        if not ready:
            next_time = min(one.wakes_at for one in alive)
            if next_time == inf:
                self._note(
                    BrokenInvariantError(f"deadlock: {', '.join(one.name for one in alive)} wait")
                )
                return alive[0]
            self.now = next_time
            ready = [one for one in alive if one.can_run(self.now)]
        return self.random.choice(ready)

    def _note(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error


class Lock:
    """A lock, as ``threading.Lock`` is, for which actors wait by the scheduler's time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_locked = False

    def acquire(self, timeout: float = -1.0) -> bool:
        """As ``threading.Lock.acquire``."""
        if self._is_locked:
            limit = inf if timeout < 0 else timeout
            self._scheduler.wait(lambda: not self._is_locked, limit)
            self._scheduler.current.resumed_at = self._scheduler.now
        was_free = not self._is_locked
        self._is_locked = True
        return was_free

    def release(self) -> None:
        """As ``threading.Lock.release``."""
        if not self._is_locked:
            raise RuntimeError("release unlocked lock")
        self._is_locked = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SchedulerEventLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, which waits by the scheduler's time."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._selector = self
        self._is_woken = False
        self.set_exception_handler(lambda *_: None)  # of tasks in abandoned interleavings

    def time(self) -> float:
        """The virtual time."""
        return self._scheduler.now

    def select(self, timeout: float | None) -> list[Any]:
        """Wait as a selector does, until another thread calls in or a timer is due."""
        self._scheduler.wait(lambda: self._is_woken, inf if timeout is None else timeout)
        self._scheduler.current.resumed_at = self._scheduler.now
        self._is_woken = False
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        self._is_woken = True
