"""``ecs-role-creds serve`` beside a bare waitress application, and the start of ``get``."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from report import Bars, Section, seconds
from support.raw_http import connect, read_all, status
from support.sidecar import clean_environment, serve_process

from ecs_role_creds.testing import FakeMetadataServer

if TYPE_CHECKING:
    from scenarios import Scale

COMMAND = [sys.executable, "-m", "ecs_role_creds"]  # what users run, not the tests' variant
CLIENTS = 16
PATH = "/latest/meta-data/ram/security-credentials/app-role"

_BARE = """
import socket, sys
from waitress import create_server
body = b"x" * int(sys.argv[1])
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
print("http://127.0.0.1:%d" % listening.getsockname()[1], flush=True)
create_server(application, sockets=[listening], threads=8, backlog=1024).run()
"""


class Target(NamedTuple):
    """A server in a process of its own.

    Attributes:
        name: In the table.
        url: What is asked for.
    """

    name: str
    url: str


@contextlib.contextmanager
def _printing(command: list[str]) -> Iterator[str]:
    """What a process prints first, while it runs."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment(),
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def _ask(target: Target) -> bytes:
    """One request on a connection of its own, as the server closes them."""
    with connect(target.url) as connection:
        path = urlsplit(target.url).path
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )
        return read_all(connection)


def _latencies(target: Target, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        begin = time.perf_counter()
        response = _ask(target)
        taken.append(time.perf_counter() - begin)
        assert status(response) == 200
    return taken


def _throughput(target: Target, duration: float) -> float:
    """Requests a second, of all clients together."""
    until = time.perf_counter() + duration
    counts = [0] * CLIENTS

    def poll(number: int) -> None:
        while time.perf_counter() < until:
            _ask(target)
            counts[number] += 1

    threads = [threading.Thread(target=poll, args=(number,)) for number in range(CLIENTS)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begin)


def serve(scale: Scale) -> Section:
    """Latency with one client and throughput with many."""
    duration, count = (0.5, 50) if scale.is_quick else (3.0, 500)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(FakeMetadataServer())
        served = stack.enter_context(serve_process(folder / "creds.env", upstream.endpoint))
        own = Target("`ecs-role-creds serve`", served.variables["ALIBABA_CLOUD_CREDENTIALS_URI"])
        body = _ask(own).partition(b"\r\n\r\n")[2]
        bare = stack.enter_context(_printing([sys.executable, "-c", _BARE, str(len(body))]))
        fake = stack.enter_context(_printing([*COMMAND, "fake-metadata"])).partition("=")[2]
        targets = [
            own,
            Target("a bare waitress application", bare + "/"),
            Target("`ecs-role-creds fake-metadata`", fake + PATH),
        ]
        taken: dict[str, list[float]] = {target.name: [] for target in targets}
        rates: dict[str, list[float]] = {target.name: [] for target in targets}
        for _ in range(3):
            for target in targets:
                taken[target.name] += _latencies(target, count)
                rates[target.name].append(_throughput(target, duration))
    rows = [
        [
            target.name,
            seconds(statistics.median(taken[target.name])),
            seconds(statistics.quantiles(taken[target.name], n=100)[98]),
            f"{statistics.median(rates[target.name]):,.0f}",
        ]
        for target in targets
    ]
    return Section(
        "serve",
        "Serving other programs",
        "Each server is a process of its own. Every request opens a connection and gets one role "
        f"document, of the same size everywhere. Latency is measured with one client, throughput "
        f"with {CLIENTS} client threads. The clients run on the same CPUs as the servers.",
        ["", "latency, median", "latency, 99th percentile", f"requests/s, {CLIENTS} clients"],
        rows,
        Bars(
            {name: statistics.median(rate) for name, rate in rates.items()},
            "requests per second, median",
            is_log=False,
        ),
    )


def get_start(scale: Scale) -> Section:
    """What ``get`` costs from a cold start, compared with the import that it needs."""
    commands = {
        "`python -c pass`": [sys.executable, "-c", "pass"],
        "`python -c 'import requests'`": [sys.executable, "-c", "import requests"],
        "`ecs-role-creds get`": [*COMMAND, "get"],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with FakeMetadataServer() as server:
        environ = clean_environment(**server.environment)
        for _ in range(3 if scale.is_quick else 30):
            for name, command in commands.items():
                found[name].append(_run(command, environ))
    base = min(processor for processor, _ in found["`python -c 'import requests'`"])
    rows = []
    for name, taken in found.items():
        processor = [one for one, _ in taken]
        rows.append(
            [
                name,
                f"{seconds(min(processor))} / {seconds(statistics.median(processor))}",
                f"{min(processor) / base:.2f}",
                seconds(min(wall for _, wall in taken)),
            ]
        )
    return Section(
        "get-start",
        "Start of the get command",
        "A new process each time, with cached bytecode. `get` sends three requests to a fake "
        "service (session token, role name, document) and prints the credentials. CPU time is user "
        "and system time together. Ratios are between minimums.",
        ["", "CPU time, min / median", "times `import requests`", "wall time, min"],
        rows,
    )


def _run(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """CPU seconds and wall seconds."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environ)
    _, code, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = code
    assert code == 0, command
    return usage.ru_utime + usage.ru_stime, wall
