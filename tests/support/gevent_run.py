"""A process that gevent has patched: runs one scenario and prints its figures as JSON.

Run by tests/integration/test_gevent.py, with the servers in that test's own, unpatched process.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 (nothing may come before the patch)
import sys  # noqa: E402
import time  # noqa: E402
import urllib.request  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import greenlet  # noqa: E402
import oss2  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.threadpool import ThreadPool  # noqa: E402

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider  # noqa: E402
from ecs_role_creds.provider import Runtime, forget_shared  # noqa: E402
from support.shared_time import SharedAgeing  # noqa: E402

Figures = dict[str, Any]

CALLERS = 256
OSS_CALLERS = 16
COLD_CALLERS = 100
PROVIDERS = 5
TOKENS = 3
PAUSE = 0.005
IN_THE_WINDOW = 600.0
DEADLINE = 30.0
LONG = 300.0


def control(endpoint: str, command: str) -> int:
    """Control the fake metadata service; returns how many documents it was asked for."""
    with urllib.request.urlopen(f"{endpoint}/control/{command}", timeout=LONG) as answer:
        return int(answer.read())


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
    """A greenlet that does nothing but run again and again, if nobody holds up the hub."""

    def __init__(self) -> None:
        self.ticks = 0
        self._is_over = Event()
        self._greenlet = gevent.spawn(self._tick)

    def stop(self) -> None:
        self._is_over.set()
        self._greenlet.get(timeout=LONG)

    def _tick(self) -> None:
        while not self._is_over.is_set():
            gevent.sleep(PAUSE)
            self.ticks += 1


def has_unanswered_fetch(provider: EcsRamRoleCredentialsProvider) -> bool:
    """Whether a fetch is in progress, and none before it has failed without a response."""
    status = provider.status()
    return status.is_refreshing and status.failures == 0


def load(endpoint: str, oss_endpoint: str, region: str, shared_time: str) -> Figures:
    """Many callers through rotations, some of them with requests to OSS."""
    ageing = SharedAgeing(shared_time)
    runtime = Runtime(clock=ageing.clock, wall_clock=ageing.wall_clock)
    provider = EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=DEADLINE, runtime=runtime)
    auth = oss2.ProviderAuthV4(provider)
    calls = [0] * (CALLERS + OSS_CALLERS)
    used: list[list[str]] = [[] for _ in range(CALLERS + OSS_CALLERS)]
    failed: list[str] = []
    last_asked: dict[tuple[str, ...], float] = {}

    def ask(number: int) -> str:
        # The time before the call: what had expired by then must not come out of it.
        asked_at = ageing.time()
        credentials = provider.get_credentials()
        last_asked[tuple(parts(credentials))] = asked_at
        calls[number] += 1
        return credentials.access_key_id

    def call(number: int) -> None:
        while len(used[number]) < TOKENS:
            key_id = ask(number)
            if key_id not in used[number]:
                used[number].append(key_id)
            time.sleep(PAUSE)

    def use_oss(number: int) -> None:
        bucket = oss2.Bucket(auth, oss_endpoint, "bucket", connect_timeout=LONG, region=region)
        while len(used[number]) < TOKENS:
            if (key_id := ask(number)) not in used[number]:
                bucket.put_object(str(number), b"signed")
                assert bucket.get_object(str(number)).read() == b"signed"
                used[number].append(key_id)
            time.sleep(PAUSE)

    def report(work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except Exception as error:
            failed.append(repr(error))

    def wait_for_tokens(tokens: int) -> None:
        wait_until(lambda: bool(failed) or all(len(one) >= tokens for one in used))

    ticker = Ticker()
    workers = [gevent.spawn(report, call, number) for number in range(CALLERS)]
    workers += [gevent.spawn(report, use_oss, CALLERS + number) for number in range(OSS_CALLERS)]
    wait_for_tokens(1)

    # All are served while the refresh that one of them has begun is not answered.
    control(endpoint, "hold")
    ageing.leap(provider.status().expires_in - IN_THE_WINDOW)
    wait_until(lambda: has_unanswered_fetch(provider))
    before, ticks = calls.copy(), ticker.ticks
    wait_until(lambda: all(now >= then + 2 for now, then in zip(calls, before, strict=True)))
    wait_until(lambda: ticker.ticks > ticks + 5)
    were_served = has_unanswered_fetch(provider)
    control(endpoint, "release")
    wait_for_tokens(2)

    # All wait for one fetch where there is nothing valid.
    ageing.leap(provider.status().expires_in + 2)
    wait_for_tokens(3)
    gevent.joinall(workers, timeout=LONG)
    ticker.stop()
    return {
        "failed": failed,
        "used": used,
        "were_served_during_a_refresh": were_served,
        "last_asked": [[*triple, at] for triple, at in last_asked.items()],
    }


def cold(endpoint: str) -> Figures:
    """Everybody asks a provider that has nothing yet."""
    provider = EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=DEADLINE)
    ticker = Ticker()
    control(endpoint, "hold")
    callers = [gevent.spawn(provider.get_credentials) for _ in range(COLD_CALLERS)]
    wait_until(lambda: has_unanswered_fetch(provider))
    ticks = ticker.ticks
    wait_until(lambda: ticker.ticks > ticks + 5)
    was_running = has_unanswered_fetch(provider)
    control(endpoint, "release")
    got = [caller.get(timeout=LONG) for caller in callers]
    ticker.stop()
    return {
        "objects": len({id(one) for one in got}),
        "got": parts(got[0]),
        "was_running_during_the_fetch": was_running,
    }


def killed(endpoint: str, polling: str) -> Figures:
    """Callers who wait are killed, and one gives up; the others go on waiting."""
    control(endpoint, "hold")
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
    # Each runs until it waits.
    wait_until(lambda: all(caller.started for caller in callers) and impatient.ready())
    doomed, others = [callers[0], callers[5]], [*callers[1:5], *callers[6:]]
    gevent.killall(doomed, timeout=LONG)
    was_refreshing = has_unanswered_fetch(provider)
    control(endpoint, "release")
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

    control(endpoint, "hold")
    provider = EcsRamRoleCredentialsProvider(
        endpoint=endpoint, deadline=DEADLINE, runtime=Runtime(start_thread=start)
    )
    provider._cache.import_http_client(LONG)
    fetchers.clear()
    callers = [gevent.spawn(outcome, provider.get_credentials) for _ in range(10)]
    wait_until(lambda: control(endpoint, "count") == 1)  # the document was asked for
    fetchers[0].kill(timeout=LONG)
    # The service has still not answered.
    got = [caller.get(timeout=LONG) for caller in callers]
    control(endpoint, "release")
    wait_until(lambda: provider.status().next_request_in == 0)
    return {"got": got, "afterwards": outcome(provider.get_credentials)}


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


def native_threads(endpoint: str, rounds: str) -> Figures:
    """Greenlets, and threads of gevent's own pool, build providers and ask them, again and again.

    In each round they find nothing, and then credentials that have been refused.
    """
    sys.setswitchinterval(1e-4)  # also amid what gevent's locks do
    pool = ThreadPool(8)
    got: list[list[str] | str] = []

    def provider() -> EcsRamRoleCredentialsProvider:
        return EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=DEADLINE)

    def ask() -> list[str] | str:
        for _ in range(PROVIDERS):
            got = outcome(provider().get_credentials)
        return got

    for _ in range(int(rounds)):
        forget_shared()
        waiting: list[Any] = [gevent.spawn(ask) for _ in range(8)]
        waiting += [pool.spawn(ask) for _ in range(8)]
        got += [one.get(timeout=LONG) for one in waiting]
        provider().invalidate(provider().get_credentials())
        waiting = [pool.spawn(ask) for _ in range(8)]
        waiting += [gevent.spawn(ask) for _ in range(8)]
        got += [one.get(timeout=LONG) for one in waiting]
    return {"got": got}


SCENARIOS: dict[str, Callable[..., Figures]] = {
    one.__name__: one for one in (load, cold, killed, killed_fetch, hot, native_threads)
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](*sys.argv[2:])))
