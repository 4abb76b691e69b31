"""A process that starts cold; its import of the HTTP client takes ten minutes by its own clock.

The clock stands still except for that, so a busy machine uses up no part of a deadline. Run by
:mod:`support.cold_start`: it prints a line for each step, and waits for a line before it goes on.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any, cast

from ecs_role_creds import CredentialsError, EcsRamRoleCredentialsProvider
from ecs_role_creds.clock import boottime
from ecs_role_creds.provider import Runtime
from ecs_role_creds.settings import DEFAULT_DEADLINE, MAX_DEADLINE

IMPORT_TAKES = 600.0
PATIENCE = 300.0
"""Seconds; only against hanging."""


class Clock:
    """Reads seconds that pass only when told."""

    def __init__(self) -> None:
        self._now = boottime()

    def __call__(self) -> float:
        return self._now

    def leap(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class SlowImport(MetaPathFinder):
    """Imports the HTTP client, and then waits to be released inside the import.

    Args:
        clock: On which the import takes long.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """The library's module that imports ``requests``; leave the others alone."""
        if name != "ecs_role_creds.transport":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_wait(module: Any) -> None:
            execute(module)
            step("imported")
            self._clock.leap(IMPORT_TAKES)

        loader.exec_module = execute_and_wait
        return spec


class PatientSession:
    """An HTTP session that waits for minutes, because the clock is not the socket's."""

    _session: Any = None

    def request(self, *args: Any, **options: Any) -> Any:
        """A request on a real session, which is built at the first."""
        from urllib3 import Timeout

        from ecs_role_creds.transport import new_session

        if self._session is None:
            self._session = new_session()
        return self._session.request(*args, **{**options, "timeout": Timeout(PATIENCE)})

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose timers run by a clock of ours.

    Args:
        clock: Reads seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._own_clock = clock
        super().__init__()

    def time(self) -> float:
        """The time, as timers read it."""
        return self._own_clock()


def step(done: str) -> None:
    """Say what is done, and wait to be told to go on."""
    print(done, flush=True)
    assert sys.stdin.readline() == "go on\n"


def call(name: str, clock: Clock, provider: EcsRamRoleCredentialsProvider) -> str:
    """The AccessKey id, or the error."""
    method = getattr(provider, name)
    try:
        if not name.endswith("_async"):
            one = method()
        else:
            loop = Loop(clock)
            one = loop.run_until_complete(method())
            loop.close()
    except CredentialsError as error:
        return f"{type(error).__name__}: {error}"
    return str(one.access_key_id)


def main(name: str) -> None:
    """Call a method of a provider."""
    clock = Clock()
    is_async = name.endswith("_async")
    # A thread cannot wait by another clock than the machine's, which may be busy.
    provider = EcsRamRoleCredentialsProvider(
        deadline=DEFAULT_DEADLINE if is_async else MAX_DEADLINE,
        runtime=Runtime(clock=clock, session=cast(Any, PatientSession()) if is_async else None),
    )
    assert "requests" not in sys.modules, "not a cold start"
    sys.meta_path.insert(0, SlowImport(clock))
    step("ready")
    print(json.dumps(call(name, clock, provider)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
