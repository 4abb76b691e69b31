"""Clusters: providers go to the tasks of Dask and Ray, and no secret goes with them.

What is searched are the processes and files that a cluster consists of besides its workers. Each
search has to find something planted for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("oss2", reason="needs oss2")
pytest.importorskip("psutil", reason="needs psutil")

import psutil
from support import documents, oss_tasks
from support.memory import found_in_memory
from support.plain_http import wait_until

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

TESTS = Path(__file__).parents[1]
LONG = 300.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc"),
    # Dask warns of slow disks; a busy machine's is slow.
    pytest.mark.filterwarnings("ignore:Creating scratch directories is taking:UserWarning"),
]


@pytest.fixture
def oss(ecs_metadata: FakeMetadataServer) -> Iterator[FakeOss]:
    with oss_tasks.oss_with_object(ecs_metadata) as oss:
        yield oss


@pytest.fixture
def planted() -> str:
    """What a search has to find."""
    return f"planted-{secrets.token_hex(16)}"


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes started from now on find the tasks' functions."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)


def secrets_of(server: FakeMetadataServer) -> set[bytes]:
    issued = [(one.access_key_secret, one.security_token) for one in server.issued]
    assert issued
    return {secret.encode() for pair in issued for secret in pair}


def found_in_process(pid: int, server: FakeMetadataServer, planted: str) -> set[bytes]:
    """Which secrets, and whether what was planted, stand in another process's memory."""
    try:
        return found_in_memory(pid, secrets_of(server) | {planted.encode()})
    except PermissionError:
        pytest.skip("the system lets nobody look into a child's memory")


@contextlib.contextmanager
def running(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A Python process; it and what it starts are gone after the block."""
    with subprocess.Popen([sys.executable, *arguments], text=True, **options) as process:
        try:
            yield process
        finally:
            offspring = offspring_of(process.pid)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LONG)
            process.kill()
            for one in offspring:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(offspring, LONG)


def offspring_of(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def name_of(process: psutil.Process) -> str | None:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return None


# Dask.


def test_dask_tasks_read_with_a_provider(
    ecs_metadata: FakeMetadataServer, oss: FakeOss, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    import dask

    provider = EcsRamRoleCredentialsProvider()
    provider.get_credentials()
    where = (oss.endpoint, oss.region)
    with (
        dask.config.set(temporary_directory=str(tmp_path)),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2, LONG)
        workers = list(client.scheduler_info()["workers"])
        as_argument = [
            client.submit(oss_tasks.read_object, provider, *where, workers=one, pure=False)
            for one in workers
        ]
        mapped = client.map(
            oss_tasks.read_object,
            [provider] * 8,
            oss_endpoint=oss.endpoint,
            region=oss.region,
            pure=False,
        )
        captured = [
            client.submit(lambda: oss_tasks.read_object(provider, *where), workers=one, pure=False)
            for one in workers
        ]
        readings = client.gather([*as_argument, *mapped, *captured])
    assert [one.content.decode() for one in readings] == [oss_tasks.CONTENT] * (2 + 8 + 2)
    assert len({one.pid for one in readings} - {os.getpid()}) == 2
    assert oss.refused == []
    # Providers come with every task, but each process fetches once.
    assert documents(ecs_metadata) == 1 + 2


@contextlib.contextmanager
def dask_with_a_scheduler_of_its_own(tmp_path: Path) -> Iterator[tuple[int, Any]]:
    """A cluster as its commands start it; gives the scheduler's process id, and a client.

    A LocalCluster's scheduler would be in this process, as are the servers that issue the secrets.
    """
    import distributed

    scheduler_file = tmp_path / "scheduler.json"
    common = (
        *("--host", "127.0.0.1", "--scheduler-file", str(scheduler_file)),
        *("--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
    )
    worker = ("--nthreads", "1", "--no-nanny")
    environment = {**os.environ, "DASK_TEMPORARY_DIRECTORY": str(tmp_path)}
    with running(
        *("-m", "dask", "scheduler", "--port", "0", *common), env=environment
    ) as scheduler:
        wait_until(scheduler_file.exists, LONG)
        with (
            running("-m", "dask", "worker", *worker, *common, env=environment),
            distributed.Client(scheduler_file=str(scheduler_file)) as client,
        ):
            client.wait_for_workers(1, LONG)
            yield scheduler.pid, client


@pytest.mark.usefixtures("importable")
def test_dask_scheduler_holds_no_secret(
    ecs_metadata: FakeMetadataServer, oss: FakeOss, planted: str, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    provider = EcsRamRoleCredentialsProvider()
    provider.get_credentials()
    where = (oss.endpoint, oss.region)

    def send_back(provider: EcsRamRoleCredentialsProvider) -> EcsRamRoleCredentialsProvider:
        told = f"{provider} {provider.get_credentials()} {provider.status()}"
        distributed.get_worker().log_event("told", told)
        return provider

    def fail() -> None:
        credentials = provider.get_credentials()
        raise RuntimeError(f"{credentials} in a local variable")

    with dask_with_a_scheduler_of_its_own(tmp_path) as (scheduler, client):
        # For as long as the futures are held, the scheduler remembers everything about them.
        kept = client.submit(len, planted)
        as_argument = client.submit(oss_tasks.read_object, provider, *where)
        captured = client.submit(lambda: oss_tasks.read_object(provider, *where))
        sent_back = client.submit(send_back, provider)
        then_used = client.submit(oss_tasks.read_object, sent_back, *where)
        failing = client.submit(fail)
        readings = client.gather([as_argument, captured, then_used])
        assert {one.content.decode() for one in readings} == {oss_tasks.CONTENT}
        assert repr(sent_back.result()) == repr(provider)
        assert "secrets not shown" in str(failing.exception())
        assert kept.result() == len(planted)
        assert len(client.get_events("told")) == 1
        found = found_in_process(scheduler, ecs_metadata, planted)
    assert found == {planted.encode()}
    assert oss.refused == []


@pytest.mark.parametrize("pickler", ["cloudpickle", "distributed"])
def test_dask_pickles_hold_no_secret(
    ecs_metadata: FakeMetadataServer, planted: str, pickler: str
) -> None:
    pytest.importorskip("distributed", reason="needs distributed")
    import cloudpickle
    from distributed.protocol import serialize

    provider = EcsRamRoleCredentialsProvider()
    provider.get_credentials()

    def dumps(what: object) -> bytes:
        if pickler == "cloudpickle":
            return bytes(cloudpickle.dumps(what))
        header, frames = serialize(what)
        return b"".join([repr(header).encode(), *(bytes(one) for one in frames)])

    wanted = secrets_of(ecs_metadata) | {planted.encode()}
    for sent in (provider, {"a": [provider]}, lambda: (provider, planted)):
        pickled = dumps((sent, planted))
        assert {one for one in wanted if one in pickled} == {planted.encode()}


# Ray.


@pytest.fixture
def ray_environment(monkeypatch: pytest.MonkeyPatch, importable: None) -> None:
    """Have Ray keep to loopback, to itself, and away from the home directory."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # despite its name: loopback only
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory with a short name: Ray's sockets, deep inside it, may have 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def found_in_files(directory: Path, wanted: set[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for path in directory.rglob("*"):
        # One that is being written may be renamed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            content = path.read_bytes() if path.is_file() else b""
            found.update(one for one in wanted if one in content)
    return found


@pytest.mark.usefixtures("ray_environment")
def test_ray_reads_with_a_provider_and_holds_no_secret(
    ecs_metadata: FakeMetadataServer, oss: FakeOss, planted: str, scratch: Path
) -> None:
    pytest.importorskip("ray", reason="needs ray")
    arguments = (str(scratch), oss.endpoint, oss.region, planted)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with running(str(TESTS / "support" / "ray_run.py"), *arguments, **pipes) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        told = json.loads(driver.stdout.readline())
        if "not started" in told:
            pytest.skip(f"the machine is too busy: {told['not started']}")
        offspring = offspring_of(driver.pid)
        in_memory = {
            name: found_in_process(one.pid, ecs_metadata, planted)
            for one in offspring
            if (name := name_of(one)) in ("gcs_server", "raylet")
        }
        wait_until(lambda: found_in_files(scratch, {planted.encode()}) != set(), LONG)
        wanted = secrets_of(ecs_metadata) | {planted.encode()}
        in_files = found_in_files(scratch, wanted)
        driver.stdin.close()
        assert driver.wait(LONG) == 0
        _, alive = psutil.wait_procs(offspring, LONG)
    assert told["node"] == "127.0.0.1"
    ways = ("argument", "stored", "captured", "sent back", "actor")
    assert told["read"] == dict.fromkeys(ways, oss_tasks.CONTENT)
    assert driver.pid not in told["pids"].values()
    assert oss.refused == []

    assert in_memory == {"gcs_server": {planted.encode()}, "raylet": {planted.encode()}}
    assert in_files == {planted.encode()}
    assert "secrets not shown" in told["failure"]
    pickled = bytes.fromhex(told["pickled"])
    assert {one for one in wanted if one in pickled} == {planted.encode()}
    assert alive == []
