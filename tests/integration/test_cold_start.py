"""The first call of a process: importing the HTTP client does not count towards the deadline."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.cold_start import first_calls

from ecs_role_creds.settings import DEFAULT_DEADLINE
from ecs_role_creds.testing import FakeMetadataServer

SLOW_IMPORT = """
import sys, time
from ecs_role_creds import EcsRamRoleCredentialsProvider

class Slow:
    was_met = False
    def find_spec(self, name, path=None, target=None):
        if name == "requests":
            Slow.was_met = True
            time.sleep(3)

sys.meta_path.insert(0, Slow())
print(EcsRamRoleCredentialsProvider().{call}.access_key_id)
assert Slow.was_met
"""


@pytest.mark.parametrize("call", ["get_credentials()", "refresh()"])
def test_deadline_begins_when_the_http_client_is_imported(
    ecs_metadata: FakeMetadataServer, call: str
) -> None:
    # The import takes longer than the default deadline of 2 s.
    done = subprocess.run(
        [sys.executable, "-c", SLOW_IMPORT.replace("{call}", call)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ecs_metadata.issued[0].access_key_id


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_64_processes_that_start_at_once_have_their_whole_deadline_after_the_import(
    ecs_metadata: FakeMetadataServer,
) -> None:
    calls = first_calls(64)
    # Where the machine is so busy that the service takes too long, a call may fail, but no sooner.
    # (Half of the deadline, because the import ends a while after its last part is looked for.)
    too_soon = [one for one in calls if one.has_failed and one.after_import < DEFAULT_DEADLINE / 2]
    assert too_soon == []
    served = {one.told for one in calls if not one.has_failed}
    assert served <= {one.access_key_id for one in ecs_metadata.issued}
