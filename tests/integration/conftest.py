"""What integration tests share: a network of their own, and clients for Node.js.

The client for Node.js is installed by npm, once a run and into a temporary directory, where npm
has a registry. ``TESTS_OFFLINE=1`` leaves it out.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from ecs_role_creds.testing.plugin import REAL_ADDRESS

NPM = Path(__file__).parents[1] / "support" / "npm"

# The namespace has no name, and ends with the last process inside it, however that ends.
# A user namespace around it serves those who are not root.
UNSHARE = [["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]]
SET_UP = 'ip link set lo up && ip address add "$0/32" dev lo && exec "$@"'

# A shell in the background, or nohup, has the tests ignore these. So would the programs that they
# start, and a shell script cannot trap a signal that was ignored at its start.
for _name, _usual in {
    "SIGINT": signal.default_int_handler,
    "SIGQUIT": signal.SIG_DFL,
    "SIGHUP": signal.SIG_DFL,
}.items():
    if signal.getsignal(_number := signal.Signals[_name]) is signal.SIG_IGN:
        signal.signal(_number, _usual)


@pytest.fixture(scope="session")
def inside() -> list[str]:
    """What to put before a command for it to run where the service's address is loopback's."""
    problem = "unshare (util-linux) and ip (iproute2) are missing"
    if shutil.which("unshare") and shutil.which("ip"):
        for unshare in UNSHARE:
            prefix = [*unshare, "sh", "-c", SET_UP, REAL_ADDRESS]
            tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
            if tried.returncode == 0:
                return prefix
            problem = tried.stderr.strip()
    pytest.skip(f"no network namespace can be made here: {problem}")


@pytest.fixture(scope="session")
def npm_client(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A directory with the clients for Node.js and what they require."""
    if os.environ.get("TESTS_OFFLINE", "") not in ("", "0"):
        pytest.skip("TESTS_OFFLINE is set")
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("needs node and npm")
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent  # which the workers share
    folder = root / "npm"
    with (root / "npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    shutil.copytree(NPM, folder, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0"]
    try:
        done = subprocess.run(
            install, cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        problem = "npm did not install the client in 300 s; is there no registry?"
    else:
        if done.returncode == 0:
            return
        problem = f"npm cannot install the client: {done.stderr.strip()[-300:]}"
    shutil.rmtree(folder)
    pytest.skip(problem)
