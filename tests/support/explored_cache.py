"""The cache, and calls to it, under the scheduler of interleavings.

The modules of the cache are run in copies of their own, whose locks are the scheduler's. Nothing
in the real modules is patched. A copy may be broken on purpose, to see whether that is found.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from functools import cache as cached
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from ecs_role_creds import Credentials, CredentialsError, cache, flight, reporting, state, versions
from ecs_role_creds.errors import MetadataServiceError
from support.interleaving import Lock, Scheduler

DEADLINE = 2.0
LIFE = 600.0
MODULES = (versions, flight, state, cache)
"""In the order in which they import each other."""

CALLS = ("get", "hot", "get_async", "refresh", "refresh_async", "invalidate", "ask_if_due")
EVERYDAY = dict(zip(CALLS, (4, 2, 2, 2, 1, 1, 1), strict=True))
MANY_REFUSALS = dict(zip(CALLS, (2, 1, 0, 1, 0, 5, 0), strict=True))
BY_THE_SCHEDULE = dict(zip(CALLS, (4, 2, 2, 0, 0, 0, 2), strict=True))
EPOCH = datetime(2030, 1, 1, tzinfo=timezone.utc)


class Change(NamedTuple):
    """A change to a module's source.

    Attributes:
        module: The module.
        before: A passage of its source, which must be there once.
        after: What takes its place.
    """

    module: ModuleType
    before: str
    after: str


class _Current:
    """The scheduler of the current interleaving."""

    scheduler: Scheduler


def _lock() -> Lock:
    return _Current.scheduler.lock()


@cached
def _copies(change: Change | None) -> dict[str, Any]:
    """Copies of the modules, with locks of the current scheduler; perhaps changed."""
    replaced: dict[str, Any] = {
        "threading": SimpleNamespace(**{**vars(threading), "Lock": _lock}),
        reporting.__name__: SimpleNamespace(Audience=reporting.Audience, log=lambda *_: None),
    }

    def import_replaced(name: str, *arguments: Any) -> Any:
        return replaced[name] if name in replaced else __import__(name, *arguments)

    for module in MODULES:
        source = inspect.getsource(module)
        if change is not None and change.module is module:
            assert source.count(change.before) == 1, f"not in {module.__name__}: {change.before}"
            source = source.replace(change.before, change.after)
        copy = ModuleType(module.__name__)
        copy.__dict__["__builtins__"] = {**vars(builtins), "__import__": import_replaced}
        assert module.__file__ is not None
        exec(compile(source, module.__file__, "exec"), copy.__dict__)
        replaced[module.__name__] = copy
    return replaced


def new_flight(scheduler: Scheduler, change: Change | None = None) -> flight.Flight[Any]:
    """A flight whose waiters are actors of the scheduler."""
    _Current.scheduler = scheduler
    one: flight.Flight[Any] = _copies(change)[flight.__name__].Flight(lambda _: None)
    return one


class Token(Credentials):
    """Credentials that know their number, counted up by the service."""

    __slots__ = ("serial",)

    serial: int


class Service:
    """A metadata service that rotates, fails, and takes longer than its callers' deadline.

    Args:
        scheduler: Whose time passes.
        on_fetch: Called as a fetch begins.
    """

    mode = "hardening"

    def __init__(self, scheduler: Scheduler, on_fetch: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._on_fetch = on_fetch
        self._token: Token | None = None
        self._is_busy = False

    def fetch(self, until: float) -> Credentials:
        """Return the newest token, or fail."""
        random = self._scheduler.random
        self._on_fetch()
        if self._is_busy:
            self._scheduler.fail("two fetches at once")
        self._is_busy = True
        token, does_fail = self._newest(), random.random() < 0.2
        if random.random() < 0.3:
            self._scheduler.sleep(random.choice((0.01, 1.5, 5.0)))
        else:
            self._scheduler.pause()
        self._is_busy = False
        if does_fail:
            raise MetadataServiceError("The metadata service returned 503.")
        return token

    def pending_import(self) -> None:
        """Nothing has to be imported."""

    def take_warning(self) -> None:
        """Nothing is worth a warning."""

    def forget_connections(self) -> None:
        """Nothing is kept open."""

    def _newest(self) -> Token:
        old = self._token
        if old is None or old.is_expired() or self._scheduler.random.random() < 0.4:
            serial = 1 if old is None else old.serial + 1
            self._token = Token(
                f"STS.FAKE{serial:04}",
                f"fake-secret-{serial:04}",
                f"fake-security-token-{serial:04}",
                EPOCH + timedelta(seconds=self._scheduler.now + LIFE, microseconds=serial),
                "app-role",
                expires_at=self._scheduler.now + LIFE,
                clock=self._scheduler.clock,
            )
            object.__setattr__(self._token, "serial", serial)
        assert self._token is not None
        return self._token


class Exploration:
    """A cache, its callers and its invariants, in one interleaving.

    Invariants: there is one fetch at a time; none begins before the schedule allows it, unless
    ``refresh()`` or a refusal asks for it; neither the cache nor a caller goes back to an older
    token; nothing raises but this library's errors; what a call returns was valid when it was
    called, or when it was last woken.

    Args:
        scheduler: Runs it.
        change: A change to the cache.
    """

    def __init__(self, scheduler: Scheduler, change: Change | None = None) -> None:
        _Current.scheduler = self._scheduler = scheduler
        random = scheduler.random
        self._newest = 0
        self._seen: dict[str, int] = {}
        self._fetch_threads = 0
        self._is_interrupted = False
        self._weights = random.choice((EVERYDAY, MANY_REFUSALS, BY_THE_SCHEDULE))
        self._interrupt_share = random.choice((0.0, 0.0, 0.01))
        self.cache = _copies(change)[cache.__name__].CredentialsCache(
            Service(scheduler, self._check_schedule),
            deadline=DEADLINE,
            clock=scheduler.clock,
            random=random.random,
            start_thread=self._start_thread,
        )
        scheduler.before_step = self._before_step
        for number in range(random.choice((2, 3, 4))):
            calls = random.choices(
                *zip(*self._weights.items(), strict=True), k=random.choice((1, 2, 4))
            )
            scheduler.spawn(f"caller {number}", lambda calls=calls: self._call_all(calls))
        scheduler.spawn("time", self._let_time_pass)

    def _draw_call(self) -> str:
        calls, weights = zip(*self._weights.items(), strict=True)
        drawn: str = self._scheduler.random.choices(calls, weights)[0]
        return drawn

    def _call_all(self, calls: Iterable[str]) -> None:
        for one in calls:
            self._call(one)

    def _call(self, name: str) -> None:
        began, cache = self._scheduler.now, self.cache
        with contextlib.suppress(CredentialsError):
            if name == "hot":
                self._check_returned(name, began, self._get_as_a_provider_does())
            elif name in ("get", "refresh"):
                self._check_returned(name, began, getattr(cache, name)())
            elif name in ("get_async", "refresh_async"):
                self._run_async(name, began)
            elif name == "ask_if_due":
                cache.ask_if_due()
            elif self._state().credentials is not None:
                cache.invalidate(self._state().credentials)

    def _get_as_a_provider_does(self) -> Any:
        record = self.cache.record
        self._scheduler.pause()
        if self._scheduler.clock() < record.hot_until:
            return record.credentials
        return self.cache.get()

    def _run_async(self, name: str, began: float) -> None:
        async def call() -> None:
            self._check_returned(name, began, await getattr(self.cache, name)())

        with (
            contextlib.closing(self._scheduler.event_loop()) as loop,
            contextlib.closing(call()) as coroutine,
        ):
            loop.run_until_complete(coroutine)

    def _let_time_pass(self) -> None:
        random = self._scheduler.random
        for _ in range(random.choice((0, 1, 2, 4))):
            self._scheduler.pause()
            self._scheduler.now += random.choice((0.1, DEADLINE, 5.0, LIFE / 2, LIFE))

    def _start_thread(self, work: Callable[[], object]) -> bool:
        if self._scheduler.random.random() < 0.1:
            return False  # as at interpreter shutdown
        self._fetch_threads += 1
        self._scheduler.spawn(f"fetch {self._fetch_threads}", work)
        return True

    def _state(self) -> Any:
        """The state, without the side effects of ``cache.latest()``."""
        version = self.cache.record
        while version._successor:
            version = version._successor["next"]
        return version.state

    # Invariants.

    def _check_returned(self, name: str, began: float, credentials: Any) -> None:
        actor = self._scheduler.current
        if credentials._expires_at <= max(began, actor.resumed_at):
            self._scheduler.fail(f"{name}() returned credentials that had expired")
        if credentials.serial < self._seen.get(actor.name, 0):
            self._scheduler.fail(f"{name}() returned an older token than before")
        if not self._is_interrupted:
            self._seen[actor.name] = credentials.serial

    def _check_schedule(self) -> None:
        is_free = self._weights is not BY_THE_SCHEDULE
        if not is_free and not self._state().is_due(self._scheduler.now):
            self._scheduler.fail("a fetch before the schedule allows it")

    def _before_step(self) -> None:
        credentials = self._state().credentials
        serial = 0 if credentials is None else credentials.serial
        if serial < self._newest:
            self._scheduler.fail("the cache went back to an older token")
        self._newest = serial
        if not self._is_interrupted and self._scheduler.random.random() < self._interrupt_share:
            self._interrupt()

    def _interrupt(self) -> None:
        """Call on the thread that runs, between two of its lines, as a signal handler does."""
        self._is_interrupted = True
        try:
            self._call(self._draw_call().removesuffix("_async"))
        finally:
            self._is_interrupted = False


class Found(NamedTuple):
    """An interleaving in which an invariant is broken."""

    seed: int
    what: str


def explore(
    seeds: Iterable[int], change: Change | None = None, *, by_opcode: bool = False
) -> Found | None:
    """Run an interleaving for each seed, until one breaks an invariant."""
    for seed in seeds:
        scheduler = Scheduler(seed, files(), by_opcode=by_opcode)
        Exploration(scheduler, change)
        try:
            scheduler.run()
        except AssertionError as violation:
            return Found(seed, str(violation))
    return None


def files() -> list[str]:
    """The files between whose lines actors are switched."""
    return [inspect.getfile(module) for module in MODULES]
