"""The scenarios. Each measures everybody in turn, and returns a section of the report."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from cold_start import cold_start_together
from command_line import command_start
from faults import faults, faults_beyond, faults_of_peers
from peers import (
    ALIBABA,
    BOTOCORE,
    EVERY,
    FLOOR,
    ON_THE_WIRE,
    OSS2,
    OURS,
    PATH,
    REFRESHING,
    ROLE,
    Parts,
    Peer,
    Subject,
    fresh_start,
)
from report import Bars, Lines, Section, seconds
from sidecar import get_start, serve
from signing import signed_request

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer

now = time.perf_counter
THREADS = 64
DOCUMENT = PATH + ROLE


class Scale(NamedTuple):
    """How much is done."""

    rounds: int
    seconds_a_round: float
    rotations: int
    outage: float
    patience: float
    is_quick: bool


FULL = Scale(15, 0.03, 15, 3.0, 65.0, False)
QUICK = Scale(2, 0.01, 3, 1.2, 2.5, True)


# Tools.


def _together(count: int, work: Callable[[], object]) -> float:
    """Run work on so many threads at once; the seconds from the start to the last one's end."""
    barrier = threading.Barrier(count + 1)

    def run() -> None:
        barrier.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    barrier.wait()
    begin = now()
    for thread in threads:
        thread.join()
    return now() - begin


def _loop(call: Callable[[], object], times: int) -> None:
    for _ in repeat(None, times):
        call()


def _time_calls(call: Callable[[], object], threads: int, calls: int) -> float:
    """Seconds per call, over all threads."""
    each = max(1, calls // threads)
    if threads == 1:
        begin = now()
        _loop(call, each)
        return (now() - begin) / each
    return _together(threads, lambda: _loop(call, each)) / (each * threads)


def _calls_for(call: Callable[[], object], duration: float) -> int:
    call()
    return max(64, int(duration / _time_calls(call, 1, 300)))


def _documents(server: FakeMetadataServer) -> int:
    return sum(one.path == DOCUMENT for one in server.requests)


def _middle(values: Sequence[float]) -> tuple[float, float]:
    return min(values), statistics.median(values)


@contextlib.contextmanager
def _served(
    peers: Sequence[Peer], *, is_brief: bool = True
) -> Iterator[list[tuple[Peer, Subject, FakeMetadataServer]]]:
    """Everybody, warm, each with a service of its own."""
    with fresh_start(), contextlib.ExitStack() as stack:
        served = []
        for peer in peers:
            server = stack.enter_context(FakeMetadataServer(ROLE))
            subject = peer.build(server.endpoint, is_brief)
            subject.get()
            served.append((peer, subject, server))
        yield served


# What a call costs.


def hot_path(scale: Scale) -> Section:
    """A call with fresh credentials cached, from 1, 8 and 64 threads."""
    counts = (1, 8, THREADS)
    found: dict[tuple[str, int], list[float]] = {}
    with _served(EVERY) as served:
        calls = {
            peer: _calls_for(subject.get, scale.seconds_a_round) for peer, subject, _ in served
        }
        for _ in range(scale.rounds):
            served.append(served.pop(0))  # nobody always goes first
            for count in counts:
                for peer, subject, _ in served:
                    one = _time_calls(subject.get, count, calls[peer])
                    found.setdefault((peer.name, count), []).append(one)
    floors = {count: _middle(found[FLOOR.name, count]) for count in counts}
    rows = []
    for peer in EVERY:
        row = [peer.name]
        for count in counts:
            least, middle = _middle(found[peer.name, count])
            row += [f"{seconds(least)} / {seconds(middle)}", f"{least / floors[count][0]:.2f}"]
        rows.append(row)
    header = [""]
    for count in counts:
        header += [f"{count} thread{'s' * (count > 1)}: min / median", "times the floor"]
    return Section(
        "hot-path",
        "A call with credentials cached",
        "Wall time over the number of calls of all threads. The floor is a method that reads a "
        "clock, compares and returns; `ecs_role_creds` reads the same clock. Ratios are between "
        "minimums.",
        header,
        rows,
        Bars({peer.name: _middle(found[peer.name, 1])[0] * 1e9 for peer in EVERY}, "ns per call"),
    )


IMPORTS = ("ecs_role_creds", "requests", "oss2", "alibabacloud_credentials.client")
BOTOCORE_MODULE = "botocore.credentials"
_IMPORT = """
import resource, sys, time
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
modules, memory = set(sys.modules), resident()
begin = time.perf_counter()
import {module}
took = time.perf_counter() - begin
print(took, len(set(sys.modules) - modules), resident() - memory)
"""


def import_time(scale: Scale) -> Section:
    """What importing costs a new process, with bytecode cached."""
    found: dict[str, list[float]] = {}
    modules: dict[str, int] = {}
    memory: dict[str, list[int]] = {}
    names = (*IMPORTS, BOTOCORE_MODULE)
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(1 + min(scale.rounds, 10)):
            for name in names:
                printed = _run(_IMPORT.format(module=name), environ).split()
                if number:  # the first writes the bytecode
                    found.setdefault(name, []).append(float(printed[0]))
                    modules[name] = int(printed[1])
                    memory.setdefault(name, []).append(int(printed[2]))
    rows = [
        [
            f"`{name}`",
            *(seconds(one) for one in _middle(found[name])),
            str(modules[name]),
            f"{statistics.median(memory[name]) / 2**20:.1f} MiB",
        ]
        for name in names
    ]
    return Section(
        "import",
        "Import",
        "In a process of its own, after the start-up of Python; bytecode is cached, files are in "
        "the page cache. Memory is what the process's resident set grew by, the median.",
        ["", "min", "median", "modules", "memory"],
        rows,
        Bars({name: min(found[name]) * 1e3 for name in names}, "ms (minimum)", is_log=False),
    )


def _run(code: str, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


# What is asked of the service.


def cold_start(scale: Scale) -> Section:
    """The first call of a new provider."""
    times: dict[str, list[float]] = {}
    asked: dict[str, str] = {}
    for _ in range(scale.rounds):
        for peer in ON_THE_WIRE:
            with fresh_start(), FakeMetadataServer(ROLE) as server:
                begin = now()
                peer.build(server.endpoint, True).get()
                times.setdefault(peer.name, []).append(now() - begin)
                asked[peer.name] = ", ".join(
                    f"{one.method} {_kind(one.path)}" for one in server.requests
                )
    rows = [
        [name, str(asked[name].count(",") + 1), asked[name], *map(seconds, _middle(times[name]))]
        for name in times
    ]
    return Section(
        "cold-start",
        "Cold start",
        "Building a provider with the role named, and its first call.",
        ["", "requests", "which", "min", "median"],
        rows,
        notes=[f"{BOTOCORE.name}: not measured; it {BOTOCORE.off_the_wire}."],
    )


def _kind(path: str) -> str:
    return {"/latest/api/token": "session token", DOCUMENT: "document"}.get(path, "role name")


def per_refresh(scale: Scale) -> Section:
    """What a refresh asks, credentials having come to the end of their life."""
    rows = []
    with _served(ON_THE_WIRE) as served:
        for peer, subject, server in served:
            counts = []
            for _ in range(2 if scale.is_quick else 5):
                before = len(server.requests)
                server.rotate()
                subject.age(peer.window)
                subject.get()
                _settle(server)
                counts.append(len(server.requests) - before)
            rows.append([peer.name, f"{statistics.median(counts):g}", str(counts)])
    return Section(
        "per-refresh",
        "Requests per refresh",
        "Refreshes of a warm provider whose session token, if it has one, is still good.",
        ["", "median", "each"],
        rows,
    )


def _settle(server: FakeMetadataServer) -> None:
    """Wait for a refresh behind the caller's back to be over."""
    seen, until = -1, now() + 2
    while seen != len(server.requests) and now() < until:
        seen = len(server.requests)
        time.sleep(0.1)


def herd(scale: Scale) -> Section:
    """64 threads call a cold provider at once."""
    times: dict[str, list[float]] = {}
    documents: dict[str, list[int]] = {}
    for _ in range(min(scale.rounds, 5)):
        for peer in ON_THE_WIRE:
            with fresh_start(), FakeMetadataServer(ROLE) as server:
                server.delay(0.05)
                subject = peer.build(server.endpoint, True)
                times.setdefault(peer.name, []).append(_together(THREADS, subject.get))
                documents.setdefault(peer.name, []).append(_documents(server))
    rows = [
        [name, str(max(documents[name])), *map(seconds, _middle(times[name]))] for name in times
    ]
    return Section(
        "herd",
        "64 threads on a cold provider",
        "Each answer of the service takes 50 ms; the time until the last thread has credentials.",
        ["", "documents fetched", "min", "median"],
        rows,
    )


def many_providers(_: Scale) -> Section:
    """20 providers with equal settings."""
    rows = []
    for peer in ON_THE_WIRE:
        with fresh_start(), FakeMetadataServer(ROLE) as server:
            before = set(threading.enumerate())
            subjects = [peer.build(server.endpoint, True) for _ in range(20)]
            for subject in subjects:
                subject.get()
            _settle(server)
            left = [
                one
                for one in set(threading.enumerate()) - before
                if one.name != "loopback-server" and one.is_alive()
            ]
            rows.append([peer.name, str(_documents(server)), str(len(server.requests)), len(left)])
    return Section(
        "many-providers",
        "20 providers with equal settings",
        "Built and called once each in one process; then the threads that go on running.",
        ["", "documents fetched", "requests", "threads left"],
        [[str(cell) for cell in row] for row in rows],
    )


# What callers notice when something happens.


class Watched(NamedTuple):
    """What 64 threads saw."""

    longest: float
    calls: int
    failed: int
    seen: set[Parts]


def _watch(peer: Peer, subject: Subject, events: Callable[[], object]) -> Watched:
    """Call from 64 threads, with pauses of 5 ms, while events take their course."""
    stop = threading.Event()
    results: list[Watched] = []
    get, parts = subject.get, peer.parts

    def work() -> None:
        longest, calls, failed, seen, last = 0.0, 0, 0, set(), None
        while not stop.is_set():
            begin = now()
            try:
                got = get()
            except Exception:
                got, failed = None, failed + 1
            longest = max(longest, now() - begin)
            calls += 1
            if got is not None and got is not last:
                seen.add(parts(got))
                last = got
            time.sleep(0.005)
        results.append(Watched(longest, calls, failed, seen))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    events()
    stop.set()
    for thread in threads:
        thread.join(timeout=20)
    return Watched(
        max(one.longest for one in results),
        sum(one.calls for one in results),
        sum(one.failed for one in results),
        set().union(*(one.seen for one in results)),
    )


def rotation(scale: Scale) -> Section:
    """The service rotates, again and again, and takes 50 ms to answer."""
    rows, longest = [], {}
    for peer in (FLOOR, *REFRESHING):
        with _served([peer]) as [(_, subject, server)]:
            server.delay(0.05)

            def rotate(
                server: FakeMetadataServer = server, subject: Subject = subject, peer: Peer = peer
            ) -> None:
                for _ in range(scale.rotations):
                    server.rotate()
                    subject.age(peer.window)
                    time.sleep(0.2)

            watched = _watch(peer, subject, rotate)
            torn = sum(not server.is_valid(one) for one in watched.seen)
            fetched = _documents(server) - 1
        longest[peer.name] = watched.longest * 1e3
        rows.append(
            [
                peer.name,
                seconds(watched.longest),
                *map(str, (watched.calls, watched.failed, torn, fetched)),
            ]
        )
    return Section(
        "rotation",
        "Rotation under load",
        f"64 threads call every 5 ms; the service rotates {scale.rotations} times, 0.2 s apart, "
        "and takes 50 ms for each answer. Each time the credentials in hand are made to look as "
        "old as they have to be for the provider to refresh them in its gentlest way. The floor "
        "refreshes nothing: what it shows is the threads waiting for each other. Torn are those "
        "whose parts are not of one issue, as the service knows; equal ones count once, however "
        "many callers got them.",
        ["", "longest call", "calls", "failed", "torn", "documents fetched"],
        rows,
        Bars(longest, "ms, longest call"),
    )


def outage(scale: Scale) -> Section:
    """The service hangs, with 10 minutes of life left in the credentials."""
    rows, longest = [], {}
    for peer in (FLOOR, *REFRESHING):
        with _served([peer]) as [(_, subject, server)]:

            def hang(server: FakeMetadataServer = server, subject: Subject = subject) -> None:
                server.hang()
                subject.age(590.0)
                time.sleep(scale.outage)
                server.recover()

            watched = _watch(peer, subject, hang)
        longest[peer.name] = watched.longest * 1e3
        is_cut = watched.longest > 0.9 * scale.outage
        rows.append(
            [
                peer.name,
                ("over " if is_cut else "") + seconds(watched.longest),
                *map(str, (watched.calls, watched.failed)),
            ]
        )
    return Section(
        "outage",
        "Outage while the credentials are valid",
        f"The service accepts connections and does not answer for {scale.outage:g} s; the cached "
        "credentials are valid for another 590 s; 64 threads call every 5 ms. Time-outs: oss2 1 s "
        "with one try (by default 10 s with three), the callback of botocore 1 s, everybody else "
        "their defaults. By their design alibabacloud_credentials has everybody wait in the last "
        "15 minutes, botocore in the last 10, oss2 from 85 % of the life on. A call that waited as "
        "long as the outage lasted would wait longer in a longer outage.",
        ["", "longest call", "calls", "failed"],
        rows,
        Bars(longest, "ms, longest call"),
    )


@contextlib.contextmanager
def _nowhere() -> Iterator[str]:
    """An address where connections are neither accepted nor refused, as off the cloud."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):  # fill the backlog
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(listener.getsockname())
        time.sleep(0.05)
        yield "http://{}:{}".format(*listener.getsockname())


def off_the_cloud(scale: Scale) -> Section:
    """Nobody is at the service's address."""
    found: dict[str, list[float]] = {peer.name: [] for peer in ON_THE_WIRE}

    def work(peer: Peer, endpoint: str) -> None:
        subject = peer.build(endpoint, False)
        for _ in range(2):
            begin = now()
            with contextlib.suppress(Exception):
                subject.get()
            found[peer.name].append(now() - begin)

    with fresh_start(), _nowhere() as endpoint:
        threads = [
            threading.Thread(target=work, args=(peer, endpoint), daemon=True)
            for peer in ON_THE_WIRE
        ]
        for thread in threads:
            thread.start()
        until = now() + scale.patience
        for thread in threads:
            thread.join(timeout=max(0.0, until - now()))
        shown = {name: list(times) for name, times in found.items()}
    given_up = f"not within {scale.patience:g} s"
    rows = [
        [name, *map(seconds, times), *[given_up] * (2 - len(times))]
        for name, times in shown.items()
    ]
    return Section(
        "off-the-cloud",
        "Off the cloud",
        "At the service's address connections are neither accepted nor refused. Everybody with "
        "their default time-outs, side by side.",
        ["", "first call's error after", "second call's error after"],
        rows,
        notes=[f"{BOTOCORE.name}: not measured; it {BOTOCORE.off_the_wire}."],
    )


# Growth.


def more_callers(scale: Scale) -> Section:
    """The hot path, from ever more threads."""
    counts = (1, 16, 128, 1024) if scale.is_quick else tuple(2**power for power in range(11))
    peers = (FLOOR, OURS, OSS2, ALIBABA)
    found: dict[tuple[str, int], list[float]] = {}
    with _served(peers) as served:
        calls = {
            peer: _calls_for(subject.get, scale.seconds_a_round) for peer, subject, _ in served
        }
        for _ in range(min(scale.rounds, 5)):
            served.append(served.pop(0))
            for count in counts:
                for peer, subject, _ in served:
                    one = _time_calls(subject.get, count, max(calls[peer], count * 50))
                    found.setdefault((peer.name, count), []).append(one)
    best = {key: min(values) for key, values in found.items()}
    return Section(
        "callers",
        "Growth: callers",
        "Wall time per call over all threads, the minimum of the rounds. With few calls each, "
        "the start of the threads shows in the last columns.",
        ["", *map(str, counts)],
        [[peer.name, *(seconds(best[peer.name, count]) for count in counts)] for peer in peers],
        Lines(
            {peer.name: [(n, best[peer.name, n] * 1e9) for n in counts] for peer in peers},
            "threads",
            "ns per call",
        ),
    )


def more_providers(scale: Scale) -> Section:
    """Building ever more providers."""
    counts = (1, 100, 1000) if scale.is_quick else (1, 10, 100, 1000, 10_000)

    def equal(_: int) -> object:
        return EcsRamRoleCredentialsProvider(ROLE, endpoint="http://127.0.0.1:1")

    def distinct(number: int) -> object:
        return EcsRamRoleCredentialsProvider(f"role-{number}", endpoint="http://127.0.0.1:1")

    builders: dict[str, tuple[Callable[[int], object], int]] = {
        "ecs_role_creds, equal settings": (equal, counts[-1]),
        "ecs_role_creds, all different": (distinct, counts[-1]),
        OSS2.name: (lambda _: OSS2.build("http://127.0.0.1:1", True), counts[-1]),
        ALIBABA.name: (lambda _: ALIBABA.build("http://127.0.0.1:1", True), 100),
    }
    rows, series = [], {}
    for name, (build, most) in builders.items():
        row, points = [name], []
        for count in counts:
            if count > most:
                row.append("a thread each: not tried")
                continue
            best = min(_build_time(build, count) for _ in range(2 if count > 1000 else 3))
            row.append(f"{seconds(best)}, {_build_memory(build, count):,.0f} B")
            points.append((count, best * 1e6))
        rows.append(row)
        series[name] = points
    return Section(
        "providers",
        "Growth: providers",
        "Time and memory (by tracemalloc, threads' stacks not counted) for each provider built, "
        "none of them called. Where time grows with the number it is the garbage collector's: "
        "with it switched off it does not.",
        ["", *(f"{count:,}" for count in counts)],
        rows,
        Lines(series, "providers", "µs per provider"),
    )


def _build_time(build: Callable[[int], object], count: int) -> float:
    with fresh_start():
        begin = now()
        kept = [build(number) for number in range(count)]
        took = (now() - begin) / count
        del kept
    return took


def _build_memory(build: Callable[[int], object], count: int) -> float:
    with fresh_start():
        gc.collect()
        tracemalloc.start()
        try:
            kept = [build(number) for number in range(count)]
            size: float = tracemalloc.get_traced_memory()[0]
            del kept
        finally:
            tracemalloc.stop()
    return size / count


_PROCESS = """
import json, sys, time
from ecs_role_creds import EcsRamRoleCredentialsProvider
provider = EcsRamRoleCredentialsProvider({role!r}, endpoint={endpoint!r}, deadline=60)
begin = time.perf_counter()
provider.get_credentials()
cold = time.perf_counter() - begin
print("ready", flush=True)
sys.stdin.readline()
get, n, begin = provider.get_credentials, {calls}, time.perf_counter()
for _ in range(n):
    get()
print(json.dumps([cold, (time.perf_counter() - begin) / n]))
"""


def more_processes(scale: Scale) -> Section:
    """Ever more processes on one machine, each with its provider."""
    counts = (1, 4) if scale.is_quick else (1, 2, 4, 8, 16, 32, 64)
    rows, points = [], []
    for count in counts:
        with FakeMetadataServer(ROLE) as server:
            code = _PROCESS.format(role=ROLE, endpoint=server.endpoint, calls=1_000_000)
            found = _side_by_side(code, count)
            documents, requests = _documents(server), len(server.requests)
        hot = [one[1] for one in found]
        cold = statistics.median(one[0] for one in found)
        rows.append([str(count), *map(seconds, (cold, *_middle(hot))), f"{documents}, {requests}"])
        points.append((count, statistics.median(hot) * 1e9))
    return Section(
        "processes",
        "Growth: processes",
        "Each process fetches once and then calls a million times, all of them at the same time. "
        "The first call includes the imports it waits for, for which they share the processors; so "
        "that all of them come through, it may take 60 s instead of 2.",
        ["processes", "first call, median", "call, min", "call, median", "documents, requests"],
        rows,
        Lines({OURS.name: points}, "processes", "ns per call (median)"),
    )


def _side_by_side(code: str, count: int) -> list[Any]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate(timeout=120)[0]) for process in processes]


ALL: tuple[Callable[[Scale], Section], ...] = (
    hot_path,
    signed_request,
    import_time,
    command_start,
    cold_start,
    cold_start_together,
    per_refresh,
    herd,
    many_providers,
    rotation,
    outage,
    faults,
    faults_beyond,
    faults_of_peers,
    off_the_cloud,
    more_callers,
    more_providers,
    more_processes,
    serve,
    get_start,
)
