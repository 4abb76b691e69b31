"""Forks, other processes, and the end of the interpreter."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading

import pytest
from support import documents
from support.processes import in_child

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Python 3.12 warns of every fork with threads, and it is just that which is tried here.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

LONG = 300.0
DEADLINE = 60.0


def key_id(provider: EcsRamRoleCredentialsProvider) -> str:
    return provider.get_credentials().access_key_id


def test_child_is_served_what_the_parent_had(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    expected = key_id(provider)
    for _ in range(3):
        assert in_child(lambda: key_id(provider)) == expected
    assert documents(ecs_metadata) == 1


def test_child_of_a_cold_parent_fetches_itself(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    in_the_child = in_child(lambda: key_id(provider))
    assert in_the_child == key_id(provider)
    assert documents(ecs_metadata) == 2


def test_child_opens_connections_and_asks_for_session_tokens_of_its_own(
    ecs_metadata: FakeMetadataServer,
) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    provider.get_credentials()
    ecs_metadata.rotate()
    in_the_child = in_child(lambda: provider.refresh().access_key_id)
    # The parent's connection is still its own.
    assert provider.refresh().access_key_id == in_the_child
    tokens = [one for one in ecs_metadata.requests if one.method == "PUT"]
    assert len(tokens) == 2
    assert documents(ecs_metadata) == 3


def test_fork_amid_a_fetch_keeps_neither_process_waiting(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role", deadline=DEADLINE)
    asked = threading.Event()
    token_path = "/latest/api/token"
    ecs_metadata.hang(on="document", times=1)
    got: list[str] = []

    def fetch() -> None:
        asked.set()
        got.append(key_id(provider))

    waiting = threading.Thread(target=fetch, daemon=True)
    waiting.start()
    assert asked.wait(LONG)
    while not documents(ecs_metadata):
        waiting.join(0.001)
    assert provider.status().is_refreshing
    in_the_child = in_child(lambda: f"{provider.status().is_refreshing} {key_id(provider)}")
    ecs_metadata.recover()
    waiting.join(LONG)
    assert in_the_child == f"False {got[0]}"
    assert documents(ecs_metadata) == 2
    assert [one.path for one in ecs_metadata.requests].count(token_path) == 2


def test_fork_while_other_threads_use_the_cache(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    expected = key_id(provider)
    is_over = threading.Event()

    def use() -> None:
        while not is_over.is_set():
            provider._cache.get()
            EcsRamRoleCredentialsProvider("app-role", deadline=3.0)

    threads = [threading.Thread(target=use, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        told = [in_child(lambda: provider._cache.get().access_key_id) for _ in range(20)]
    finally:
        is_over.set()
        for thread in threads:
            thread.join(LONG)
    assert told == [expected] * 20
    assert documents(ecs_metadata) == 1


def test_poller_stays_with_the_parent_and_may_be_started_in_the_child(
    ecs_metadata: FakeMetadataServer,
) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    expected = key_id(provider)

    def look() -> str:
        seen = [provider.status().is_polling]
        provider.start_polling()
        seen.append(provider.status().is_polling)
        return f"{seen} {key_id(provider)}"

    with provider.polling():
        assert in_child(look) == f"[False, True] {expected}"
        assert provider.status().is_polling
    assert documents(ecs_metadata) == 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_provider_goes_to_other_processes(ecs_metadata: FakeMetadataServer, method: str) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    expected = provider.get_credentials()
    # By name, of the package itself: what another process can surely import.
    work = EcsRamRoleCredentialsProvider.status
    with multiprocessing.get_context(method).Pool(1) as pool:
        before = pool.apply(work, (provider,))
        reached = pool.apply(_KEY_ID, (provider,))
        pool.close()
        pool.join()
    assert before.role_name == ("app-role" if method == "fork" else None)
    assert reached == expected.access_key_id
    assert documents(ecs_metadata) == (1 if method == "fork" else 2)


class _AccessKeyId:
    """Pickles as code, since test modules cannot be imported by name in other processes."""

    def __call__(self, provider: EcsRamRoleCredentialsProvider) -> str:
        return key_id(provider)

    def __reduce__(self) -> tuple[object, ...]:
        code = "lambda provider: provider.get_credentials().access_key_id"
        return (eval, (code,))


_KEY_ID = _AccessKeyId()


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("first_call", ["before", "at the end"])
def test_credentials_can_be_had_while_the_interpreter_shuts_down(
    ecs_metadata: FakeMetadataServer, first_call: str
) -> None:
    done = run(
        "import atexit, ecs_role_creds\n"
        "provider = ecs_role_creds.default_provider()\n"
        "atexit.register(lambda: print(provider.get_credentials().access_key_id))\n"
        + ("provider.get_credentials()\n" if first_call == "before" else "")
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.strip() == ecs_metadata.issued[0].access_key_id
    assert documents(ecs_metadata) == 1


@pytest.mark.ecs_metadata(life=60.0)
def test_refused_credentials_are_renewed_while_the_interpreter_shuts_down(
    ecs_metadata: FakeMetadataServer,
) -> None:
    done = run(
        "import atexit, ecs_role_creds\n"
        "provider = ecs_role_creds.EcsRamRoleCredentialsProvider('app-role', deadline=60)\n"
        "def last():\n"
        "    provider.invalidate(provider.get_credentials())\n"
        "    print(provider.get_credentials().role_name)\n"
        "atexit.register(last)\n"
        "provider.get_credentials()\n"
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "app-role"


@pytest.mark.parametrize("first_call", ["before", "in the end"])
def test_nothing_can_be_fetched_while_the_interpreter_is_taken_apart(
    ecs_metadata: FakeMetadataServer, first_call: str
) -> None:
    done = run(
        "import os, sys, ecs_role_creds\n"
        "class Last:\n"
        "    provider = ecs_role_creds.EcsRamRoleCredentialsProvider('app-role', deadline=60)\n"
        "    is_finalizing, write = sys.is_finalizing, os.write\n"
        "    def __del__(self):\n"
        "        try:\n"
        "            told = self.provider.get_credentials().role_name\n"
        "        except ecs_role_creds.CredentialsError as error:\n"
        "            told = str(error)\n"
        "        type(self).write(1, f'{type(self).is_finalizing()}: {told}'.encode())\n"
        "last = Last()\n" + ("last.provider.get_credentials()\n" if first_call == "before" else "")
    )
    assert (done.stderr, done.returncode) == ("", 0)
    told = done.stdout.partition(".")[0]
    if first_call == "before":
        assert told == "True: app-role"
    else:
        assert told == ("True: Cannot fetch credentials during interpreter shutdown")
    assert documents(ecs_metadata) == (first_call == "before")


def test_poller_does_not_hold_up_the_end(ecs_metadata: FakeMetadataServer) -> None:
    done = run(
        "import ecs_role_creds\n"
        "provider = ecs_role_creds.default_provider()\n"
        "provider.start_polling()\n"
        "print(provider.get_credentials().role_name)\n"
    )
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("app-role", "", 0)
