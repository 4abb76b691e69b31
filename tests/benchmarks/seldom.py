"""A process that calls seldom, through many lives of the credentials: how much life is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import alibabacloud_credentials.provider.ecs_ram_role as alibaba
import alibabacloud_credentials.provider.refreshable as refreshable
import oss2.credentials
from peers import ALIBABA, BOTOCORE, OSS2, OURS, ROLE, Peer, fresh_start
from report import Section

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer

if TYPE_CHECKING:
    from scenarios import Scale

MINUTE, HOUR = 60.0, 3600.0
LIFE = 6 * HOUR
PAUSES = {"5 min": 5 * MINUTE, "20 min": 20 * MINUTE, "1 h": HOUR, "5 h": 5 * HOUR}
PATIENCE = 20.0
"""Seconds; only against hanging."""


class VirtualTime:
    """A clock that stands still between leaps; for peers also in place of the module ``time``."""

    def __init__(self) -> None:
        self._now = float(int(time.time()))

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def localtime(self) -> time.struct_time:
        """The same, as a peer reads it."""
        return time.localtime(self._now)

    def wall_clock(self) -> datetime:
        """The time of day."""
        return datetime.fromtimestamp(self._now, timezone.utc)

    def leap(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Caller(NamedTuple):
    """A provider on a virtual clock.

    Attributes:
        get: What the process calls.
        is_settled: Whether no refresh is in progress in the background.
        tick: What a thread of the provider does once a minute; ``None``: there is none.
    """

    get: Callable[[], Any]
    is_settled: Callable[[], bool] = lambda: True
    tick: Callable[[], object] | None = None


def _ours(endpoint: str, clock: VirtualTime) -> Caller:
    runtime = Runtime(clock=clock.time, wall_clock=clock.wall_clock)
    provider = EcsRamRoleCredentialsProvider(ROLE, endpoint=endpoint, runtime=runtime)
    return Caller(provider.get_credentials, lambda: not provider.status().is_refreshing)


def _oss2(endpoint: str, _: VirtualTime) -> Caller:
    return Caller(OSS2.build(endpoint, False).get)


def _alibaba(endpoint: str, clock: VirtualTime) -> Caller:
    get = ALIBABA.build(endpoint, False).get
    supplier = get.__self__._credentials_cache  # type: ignore[attr-defined]

    def is_settled() -> bool:
        cached = supplier._cached_value
        return clock.time() < cached.prefetch_time() or clock.time() >= cached.stale_time()

    return Caller(get, is_settled, get)


def _botocore(endpoint: str, clock: VirtualTime) -> Caller:
    get = BOTOCORE.build(endpoint, False).get
    get.__self__._time_fetcher = clock.wall_clock  # type: ignore[attr-defined]
    return Caller(get)


CALLERS: dict[Peer, Callable[[str, VirtualTime], Caller]] = {
    OURS: _ours,
    OSS2: _oss2,
    ALIBABA: _alibaba,
    BOTOCORE: _botocore,
}


@contextlib.contextmanager
def _on_virtual_time(clock: VirtualTime) -> Iterator[None]:
    """Have the peers read this clock."""
    modules: list[Any] = [alibaba, refreshable, oss2.credentials]
    for module in modules:
        module.time = clock
    try:
        yield
    finally:
        for module in modules:
            module.time = time


def _settle(caller: Caller) -> None:
    until = time.monotonic() + PATIENCE
    while not caller.is_settled():
        if time.monotonic() > until:
            raise RuntimeError("a refresh in the background does not end")
        time.sleep(0.0005)


def _pass_time(clock: VirtualTime, caller: Caller, seconds: float) -> None:
    """Let time pass, minute by minute where the provider has a thread that looks once a minute."""
    while caller.tick is not None and seconds > MINUTE:
        clock.leap(MINUTE)
        seconds -= MINUTE
        caller.tick()
        _settle(caller)
    clock.leap(seconds)


def _life_left(peer: Peer, pause: float, lives: int) -> list[float]:
    """Seconds of life left in what each call returned, as the service knows."""
    clock, random, left = VirtualTime(), Random(1), []
    with (
        fresh_start(),
        _on_virtual_time(clock),
        FakeMetadataServer(ROLE, clock=clock.time) as server,
    ):
        caller = CALLERS[peer](server.endpoint, clock)
        for _ in range(int(lives * LIFE / pause)):
            got = peer.parts(caller.get())
            issued = next(
                one for one in reversed(server.issued) if one.access_key_id == got.access_key_id
            )
            left.append(issued.expiration.timestamp() - clock.time())
            _settle(caller)
            _pass_time(clock, caller, pause * random.uniform(0.9, 1.1))
    return left


def seldom(scale: Scale) -> Section:
    """One call every so often, on a virtual clock."""
    lives = 4 if scale.is_quick else 200
    rows = []
    for peer in CALLERS:
        for pause, length in PAUSES.items():
            left = _life_left(peer, length, lives)
            shares = [sum(one < limit for one in left) / len(left) for limit in (60.0, 5.0, 0.0)]
            rows.append(
                [
                    peer.name,
                    pause,
                    f"{len(left):,}",
                    *(f"{100 * share:.2g} %" for share in shares),
                    f"{min(left):,.0f} s",
                ]
            )
    return Section(
        "seldom",
        "A process that calls seldom",
        "One call, then a pause (90 to 110 % of the length shown), and so on through many lives of "
        "the credentials. A life is six hours. Providers and requests are real, but the clock is "
        "virtual: the service and the providers read the same one. The service always answers. The "
        "table shows how much life was left in the credentials that the calls returned.",
        ["", "pause", "calls", "under 60 s left", "under 5 s left", "expired", "least left"],
        rows,
        notes=[
            "The wrappers of the OSS guide return what `alibabacloud_credentials` gives them: its "
            "rows hold for them too."
        ],
    )
