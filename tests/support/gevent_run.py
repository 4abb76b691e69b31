"""A process that gevent has patched: runs one scenario and prints its figures as JSON.

Run by tests/integration/test_gevent.py, with the servers in that test's own, unpatched process.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 (nothing may come before the patch)
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import greenlet  # noqa: E402
import oss2  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.threadpool import ThreadPool  # noqa: E402

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider  # noqa: E402
from ecs_role_creds.provider import Runtime  # noqa: E402

Figures = dict[str, Any]

CALLERS = 256
OSS_CALLERS = 16
COLD_CALLERS = 100
PAUSE = 0.005
DEADLINE = 10.0
LONG = 30.0


def parts(credentials: Credentials) -> list[str]:
    """What has to match one issue of the service's."""
    return [
        credentials.access_key_id,
        credentials.access_key_secret,
        credentials.security_token,
    ]


def outcome(call: Callable[[], Credentials]) -> list[str] | str:
    """The parts of what a call returns, or what it raises."""
    try:
        return parts(call())
    except Exception as error:
        return repr(error)


def wait_until(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(LONG):
        while not condition():
            gevent.sleep(0.001)


class Ticker:
    """A greenlet that has nothing to do but to be held up."""

    def __init__(self, provider: EcsRamRoleCredentialsProvider) -> None:
        self.longest_gap = 0.0
        self.ticks_amid_fetches = 0
        self._provider = provider
        self._is_over = Event()
        self._greenlet = gevent.spawn(self._tick)

    def stop(self) -> Figures:
        self._is_over.set()
        self._greenlet.get(timeout=LONG)
        return {
            "longest_gap": self.longest_gap,
            "ticks_amid_fetches": self.ticks_amid_fetches,
        }

    def _tick(self) -> None:
        last = time.perf_counter()
        while not self._is_over.is_set():
            gevent.sleep(PAUSE)
            now = time.perf_counter()
            self.longest_gap = max(self.longest_gap, now - last)
            self.ticks_amid_fetches += self._provider.status().is_refreshing
            last = now


def load(endpoint: str, oss_endpoint: str, region: str, duration: str) -> Figures:
    """Many callers through a rotation, some of them with requests to OSS."""
    provider = EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=DEADLINE)
    auth = oss2.ProviderAuthV4(provider)
    until = time.monotonic() + float(duration)
    calls, longest_warm_call = 0, 0.0
    failed: list[str] = []
    last_asked: dict[tuple[str, ...], float] = {}

    def ask() -> None:
        nonlocal calls, longest_warm_call
        is_warm = bool(last_asked)
        # The time before the call: what had expired by then must not come out of it.
        asked_at, begin = time.time(), time.perf_counter()
        credentials = provider.get_credentials()
        took = time.perf_counter() - begin
        calls += 1
        if is_warm:
            longest_warm_call = max(longest_warm_call, took)
        last_asked[tuple(parts(credentials))] = asked_at

    def call(_: int) -> None:
        while time.monotonic() < until:
            ask()
            time.sleep(PAUSE)

    def use_oss(number: int) -> None:
        bucket = oss2.Bucket(auth, oss_endpoint, "bucket", region=region)
        while time.monotonic() < until:
            bucket.put_object(str(number), b"signed")
            assert bucket.get_object(str(number)).read() == b"signed"
            time.sleep(20 * PAUSE)

    def report(work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except Exception as error:
            failed.append(repr(error))

    ticker = Ticker(provider)
    workers = [gevent.spawn(report, call, number) for number in range(CALLERS)]
    workers += [gevent.spawn(report, use_oss, number) for number in range(OSS_CALLERS)]
    gevent.joinall(workers)
    return {
        "calls": calls,
        "failed": failed,
        "longest_warm_call": longest_warm_call,
        "last_asked": [[*triple, at] for triple, at in last_asked.items()],
        **ticker.stop(),
    }


def cold(endpoint: str) -> Figures:
    """Everybody asks a provider that has nothing yet."""
    provider = EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=DEADLINE)
    ticker = Ticker(provider)
    callers = [gevent.spawn(provider.get_credentials) for _ in range(COLD_CALLERS)]
    got = [caller.get(timeout=LONG) for caller in callers]
    return {"objects": len({id(one) for one in got}), "got": parts(got[0]), **ticker.stop()}


def killed(endpoint: str, polling: str) -> Figures:
    """Callers who wait are killed, and one gives up; the others go on waiting."""
    provider = EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=DEADLINE)
    if polling == "polling":
        provider.start_polling()
        wait_until(lambda: provider.status().is_refreshing)

    def give_up() -> str:
        try:
            with gevent.Timeout(0.01):
                return str(outcome(provider.get_credentials))
        except gevent.Timeout:
            return "gave up"

    # The first of them begins the fetch, where no poller has.
    callers = [gevent.spawn(outcome, provider.get_credentials) for _ in range(10)]
    impatient = gevent.spawn(give_up)
    wait_until(lambda: provider.status().is_refreshing)
    gevent.sleep(0.02)
    doomed, others = [callers[0], callers[5]], [*callers[1:5], *callers[6:]]
    gevent.killall(doomed, timeout=LONG)
    was_refreshing = provider.status().is_refreshing
    got = [other.get(timeout=LONG) for other in others]
    was_polling = provider.status().is_polling
    if polling == "polling":
        provider.stop_polling()
    return {
        "killed": [isinstance(one.value, gevent.GreenletExit) for one in doomed],
        "impatient": impatient.get(timeout=LONG),
        "was_refreshing": was_refreshing,
        "was_polling": was_polling,
        "is_polling": provider.status().is_polling,
        "got": got,
        "afterwards": outcome(provider.get_credentials),
    }


def killed_fetch(endpoint: str) -> Figures:
    """The greenlet that fetches is killed: those who wait hear of it, and the next call fetches."""
    fetchers: list[gevent.Greenlet[..., object]] = []

    def start(work: Callable[[], object]) -> bool:
        fetchers.append(gevent.spawn(work))
        return True

    provider = EcsRamRoleCredentialsProvider(
        endpoint=endpoint, deadline=DEADLINE, runtime=Runtime(start_thread=start)
    )
    provider._cache.import_http_client(LONG)
    fetchers.clear()
    callers = [gevent.spawn(outcome, provider.get_credentials) for _ in range(10)]
    wait_until(lambda: fetchers)
    gevent.sleep(0.05)
    fetchers[0].kill(timeout=LONG)
    begin = time.perf_counter()
    got = [caller.get(timeout=LONG) for caller in callers]
    heard_after = time.perf_counter() - begin
    wait_until(lambda: provider.status().next_request_in == 0)
    return {
        "got": got,
        "heard_after": heard_after,
        "afterwards": outcome(provider.get_credentials),
    }


def hot(endpoint: str, calls: str) -> Figures:
    """Calls with valid credentials at hand: how often they switch to another greenlet."""
    provider = EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=DEADLINE)
    first = provider.get_credentials()
    switches: list[str] = []
    idle = gevent.spawn(gevent.sleep, 0)  # somebody to switch to
    greenlet.settrace(lambda event, _: switches.append(event))
    same = [provider.get_credentials() is first for _ in range(int(calls))]
    greenlet.settrace(None)
    idle.join()
    return {"switches": len(switches), "all_same": all(same)}


def native_threads(endpoint: str) -> Figures:
    """Greenlets, and threads of gevent's own pool, ask a cold provider together."""
    provider = EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=DEADLINE)
    pool = ThreadPool(8)
    waiting: list[Any] = [gevent.spawn(outcome, provider.get_credentials) for _ in range(8)]
    waiting += [pool.spawn(outcome, provider.get_credentials) for _ in range(8)]
    got = [one.get(timeout=LONG) for one in waiting]
    provider.invalidate(provider.get_credentials())
    waiting = [pool.spawn(outcome, provider.get_credentials) for _ in range(8)]
    waiting += [gevent.spawn(outcome, provider.get_credentials) for _ in range(8)]
    return {"got": got, "again": [one.get(timeout=LONG) for one in waiting]}


SCENARIOS: dict[str, Callable[..., Figures]] = {
    one.__name__: one for one in (load, cold, killed, killed_fetch, hot, native_threads)
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](*sys.argv[2:])))
