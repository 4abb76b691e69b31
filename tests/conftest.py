"""What all tests share.

No example of a property test has a time limit, no fetch runs out of time because the machine is
busy, no provider that a test builds starts with the credentials of another test, and the
environment of the machine does not change what tests do.
"""

from __future__ import annotations

import gc
import os
import signal

import pytest
from hypothesis import settings
from support import patience  # noqa: F401

from ecs_role_creds.provider import forget_shared

settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

# All servers of the tests are on loopback, without TLS. (pip may need a proxy for https.)
PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
GIT = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")  # set while a hook of git runs
CLIENTS = ("ALIBABA_CLOUD_", "AWS_")

for _name in list(os.environ):
    if _name in PROXIES or _name in GIT or _name.startswith(CLIENTS):
        del os.environ[_name]

# A shell ignores these for a job in the background, and the commands of tests would inherit it.
for _number in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Many tests wait for processes and timers, so two workers share a core of a small machine."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(cores, min(2 * cores, 8))


def pytest_collection_finish() -> None:
    """What has been imported stays: a garbage collection need not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _empty_caches() -> None:
    """Providers with equal settings share a cache, which may outlive the test that built them."""
    forget_shared()
