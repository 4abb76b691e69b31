"""Processes that start cold and make their first call at the same moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import NamedTuple

PATIENCE = 300.0
"""Seconds; only against hanging."""

_CHILD = """
import json, sys, time
from ecs_role_creds import CredentialsError, EcsRamRoleCredentialsProvider

class LastImport:
    at = None
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("requests", "urllib3", "certifi", "idna"):
            LastImport.at = time.perf_counter()

provider = EcsRamRoleCredentialsProvider()
assert "requests" not in sys.modules, "not a cold start"
sys.meta_path.insert(0, LastImport())
print("ready", flush=True)
sys.stdin.read()  # ends for every process at once
begin = time.perf_counter()
try:
    told = provider.get_credentials().access_key_id
except CredentialsError as error:
    told = f"{type(error).__name__}: {error}"
end = time.perf_counter()
print(json.dumps([told, end - begin, end - LastImport.at if LastImport.at else 0.0]))
"""


class FirstCall(NamedTuple):
    """What a process's first call came to.

    Attributes:
        told: The AccessKey id it was given, or the error.
        took: Seconds.
        after_import: Seconds of these since a part of the HTTP client was last looked for; 0 if
            none was.
    """

    told: str
    took: float
    after_import: float

    @property
    def has_failed(self) -> bool:
        """Whether it was an error."""
        return ":" in self.told


def first_calls(count: int) -> list[FirstCall]:
    """Start so many processes; when all have imported the package, they call at once.

    They have the default settings, and the environment of this process.
    """
    reader, writer = os.pipe()
    command = [sys.executable, "-c", _CHILD]
    processes = [
        subprocess.Popen(command, stdin=reader, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    os.close(reader)
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        os.close(writer)
        outputs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [FirstCall(*json.loads(output)) for output in outputs]
