"""The cache, and calls to it, under the scheduler of interleavings.

``cache.py`` and ``flight.py`` are run unchanged in modules of their own, whose locks and futures
are the scheduler's. Nothing in the real modules is patched.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache as cached
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from ecs_role_creds import Credentials, CredentialsError
from ecs_role_creds import cache as real_cache
from ecs_role_creds import flight as real_flight
from ecs_role_creds.errors import MetadataServiceError
from support.interleaving import Scheduler

DEADLINE = 2.0
LIFE = 600.0
CALLS = ("get", "get_async", "refresh", "refresh_async", "invalidate", "ask_if_due")
EVERYDAY = dict(zip(CALLS, (4, 2, 2, 1, 1, 1), strict=True))
MANY_REFUSALS = dict(zip(CALLS, (2, 0, 1, 0, 5, 0), strict=True))
EPOCH = datetime(2030, 1, 1, tzinfo=timezone.utc)
FILES = (real_cache.__file__, real_flight.__file__)

_quiet = logging.Logger("quiet", logging.CRITICAL + 1)


class LockSite(NamedTuple):
    """A place where the cache takes its lock."""

    function: str
    number: int

    def __str__(self) -> str:
        return f"{self.function}-{self.number}"


def lock_sites() -> list[LockSite]:
    """Every ``with self._lock:`` in the cache."""
    leave_out = _LeaveOut(-1)
    leave_out.visit(ast.parse(inspect.getsource(real_cache)))
    return leave_out.sites


class _LeaveOut(ast.NodeTransformer):
    """Turns the nth ``with self._lock:`` into ``if True:``."""

    def __init__(self, number: int) -> None:
        self.sites: list[LockSite] = []
        self._number = number
        self._function = ""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._function = node.name
        return self.generic_visit(node)

    def visit_With(self, node: ast.With) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node.items[0].context_expr) != "self._lock":
            return node
        self.sites.append(LockSite(self._function, len(self.sites)))
        if self.sites[-1].number != self._number:
            return node
        return ast.copy_location(ast.If(ast.Constant(True), node.body, []), node)


@cached
def _code(module: ModuleType, lock_left_out: int) -> CodeType:
    tree = _LeaveOut(lock_left_out).visit(ast.parse(inspect.getsource(module)))
    assert module.__file__ is not None
    return compile(ast.fix_missing_locations(tree), module.__file__, "exec")


def _load(module: ModuleType, lock_left_out: int, **replaced: object) -> ModuleType:
    loaded = ModuleType(f"{module.__name__} under the scheduler")
    exec(_code(module, lock_left_out), loaded.__dict__)
    loaded.__dict__.update(replaced)
    return loaded


def cache_class(scheduler: Scheduler, without: LockSite | None = None) -> Any:
    """``CredentialsCache``, with locks and futures of the scheduler; perhaps one lock left out."""
    flight = _load(real_flight, -1, Future=scheduler.future)
    cache = _load(
        real_cache,
        -1 if without is None else without.number,
        Flight=flight.Flight,
        threading=SimpleNamespace(RLock=scheduler.lock),
        logger=_quiet,
    )
    return cache.CredentialsCache


class Token(Credentials):
    """Credentials that know their number, counted up by the service."""

    __slots__ = ("serial",)

    serial: int


class Service:
    """A metadata service that rotates, fails, and takes longer than its callers' deadline."""

    mode = "hardening"

    def __init__(self, scheduler: Scheduler, on_fetch: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._on_fetch = on_fetch
        self._token: Token | None = None
        self._under_way: list[float] = []

    def fetch(self, until: float) -> Credentials:
        random, now = self._scheduler.random, self._scheduler.now
        self._on_fetch()
        for other in self._under_way:
            # Twice the deadline after its start a fetch counts as lost, and is replaced.
            if now < min(until, other) + DEADLINE:
                self._scheduler.fail("two fetches at once")
        self._under_way.append(until)
        token, does_fail = self._next_token(), random.random() < 0.2
        if random.random() < 0.3:
            self._scheduler.sleep(random.choice((0.01, 1.5, 5.0)))
        else:
            self._scheduler.pause()
        self._under_way.remove(until)
        if does_fail:
            raise MetadataServiceError("The metadata service returned 503.")
        return token

    def forget_connections(self) -> None:
        """Nothing is kept open."""

    def _next_token(self) -> Token:
        old = self._token
        if old is None or old.is_expired() or self._scheduler.random.random() < 0.4:
            serial = 1 if old is None else old.serial + 1
            token = Token(
                f"STS.FAKE{serial:04}",
                f"fake-secret-{serial:04}",
                f"fake-security-token-{serial:04}",
                EPOCH + timedelta(seconds=self._scheduler.now + LIFE),
                "app-role",
                expires_at=self._scheduler.now + LIFE,
                clock=self._scheduler.clock,
            )
            object.__setattr__(token, "serial", serial)
            self._token = token
        assert self._token is not None
        return self._token


class Exploration:
    """A cache, its callers and its invariants, in one interleaving.

    Invariants: one fetch at a time; none before the schedule allows it, unless ``refresh()`` asks;
    the cache never goes back to an older token; nothing raises but this library's errors; a call
    returns what was valid when it was called, or when it was last woken.

    Args:
        scheduler: Runs it.
        build: Makes the class of the cache.
    """

    def __init__(self, scheduler: Scheduler, build: Callable[[Scheduler], Any]) -> None:
        self._scheduler = scheduler
        self._newest = 0
        self._calls: dict[str, tuple[str, float]] = {}
        self._threads = 0
        self.cache = build(scheduler)(
            Service(scheduler, self._check_schedule),
            deadline=DEADLINE,
            clock=scheduler.clock,
            random=scheduler.random.random,
            start_thread=self._start_thread,
        )
        scheduler.check = self._check_record
        for number in range(scheduler.random.choice((2, 3, 4))):
            scheduler.spawn(f"caller {number}", self._caller(f"caller {number}"))
        scheduler.spawn("time", self._let_time_pass)

    def _caller(self, name: str) -> Callable[[], None]:
        random = self._scheduler.random
        names = [one for one in CALLS if hasattr(self.cache, one)]
        weights = random.choice((EVERYDAY, MANY_REFUSALS))
        drawn = random.choices(names, [weights[one] for one in names], k=random.choice((1, 2, 4)))

        def call_all() -> None:
            for one in drawn:
                self._call(name, one)

        return call_all

    def _call(self, caller: str, name: str) -> None:
        began = self._scheduler.now
        self._calls[caller] = name, began
        with contextlib.suppress(CredentialsError):
            if name in ("get", "refresh"):
                self._check_returned(name, began, getattr(self.cache, name)())
            elif name in ("get_async", "refresh_async"):
                self._run_async(name, began)
            elif name == "ask_if_due":
                self.cache.ask_if_due()
            elif self.cache.record.state.credentials is not None:
                self.cache.invalidate(self.cache.record.state.credentials)

    def _run_async(self, name: str, began: float) -> None:
        async def call() -> None:
            self._check_returned(name, began, await getattr(self.cache, name)())

        with contextlib.closing(self._scheduler.event_loop()) as loop:
            loop.run_until_complete(call())

    def _check_returned(self, name: str, began: float, credentials: Any) -> None:
        if credentials._expires_at <= max(began, self._scheduler.current.resumed_at):
            self._scheduler.fail(f"{name}() returned credentials that had expired")

    def _let_time_pass(self) -> None:
        random = self._scheduler.random
        for _ in range(random.choice((0, 1, 2, 4))):
            self._scheduler.pause()
            self._scheduler.now += random.choice((0.1, DEADLINE, 5.0, LIFE / 2, LIFE))

    def _start_thread(self, work: Callable[[], object]) -> bool:
        if self._scheduler.random.random() < 0.1:
            return False  # as at interpreter shutdown
        self._threads += 1
        name = f"fetch {self._threads}"
        self._calls[name] = self._calls[self._scheduler.current.name]
        self._scheduler.spawn(name, work)
        return True

    def _check_schedule(self) -> None:
        name, began = self._calls[self._scheduler.current.name]
        now = self._scheduler.now
        state = self.cache.record.state
        # A call that was suspended for so long may have been overtaken.
        is_current = now < began + DEADLINE
        if not name.startswith("refresh") and is_current and now < state.ask_at:
            self._scheduler.fail("a fetch before the schedule allows it")

    def _check_record(self) -> None:
        credentials = self.cache.record.state.credentials
        serial = 0 if credentials is None else credentials.serial
        if serial < self._newest:
            self._scheduler.fail("the cache went back to an older token")
        self._newest = serial


class Found(NamedTuple):
    """An interleaving in which an invariant is broken."""

    seed: int
    what: str


def explore(
    seeds: Sequence[int],
    build: Callable[[Scheduler], Any] = cache_class,
    *,
    files: Sequence[str] = FILES,
    by_opcode: bool = False,
) -> Found | None:
    """Run an interleaving for each seed, until one breaks an invariant."""
    for seed in seeds:
        scheduler = Scheduler(seed, files, by_opcode=by_opcode)
        Exploration(scheduler, build)
        try:
            scheduler.run()
        except AssertionError as violation:
            return Found(seed, str(violation))
    return None
