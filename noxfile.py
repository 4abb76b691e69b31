"""Run the tests on every Python that the package claims: ``make test-all``.

Interpreters are looked for on the PATH, as ``pythonX.Y``, and among the versions of pyenv. Those
that are missing are skipped, and nox says so at the end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nox

sys.dont_write_bytecode = True

PROJECT = nox.project.load_toml("pyproject.toml")
CLAIMED = nox.project.python_versions(PROJECT)
OTHERS = ["3.13t", "3.14t", "pypy3.10", "pypy3.11"]
"""Free-threaded builds, and PyPy. Not every SDK that the tests use can be installed there."""

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "filesystems", "core"]


@nox.session(python=CLAIMED)
def tests(session: nox.Session) -> None:
    """The whole suite."""
    session.install("--quiet", "--editable", ".[dev]")
    session.run("python", "-m", "pytest", "-m", "not soak", "-n", "auto", *session.posargs)


@nox.session(python=CLAIMED)
def filesystems(session: nox.Session) -> None:
    """The tests that ``make test`` runs in an environment of their own."""
    folder = session.virtualenv.location
    session.run("make", "test-filesystems", "PYTHON=python", f"FILESYSTEMS={folder}", external=True)


@nox.session(python=OTHERS)
def core(session: nox.Session) -> None:
    """The unit and property tests, which need no SDK."""
    session.install("--quiet", "--editable", ".[tests]")
    chosen = session.posargs or ["tests/unit", "tests/property"]
    session.run("python", "-m", "pytest", "-n", "auto", *chosen)


def put_interpreters_on_the_path() -> None:
    """Have nox find pyenv's interpreters. The shims on the PATH fail for all but one of them."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    for version in [*CLAIMED, *OTHERS]:
        name = version if version.startswith("pypy") else f"python{version}"
        if runs(name):
            continue
        found = [path for path in root.glob(f"versions/*/bin/{name}") if runs(str(path))]
        if found:
            newest = max(found, key=numbers)
            os.environ["PATH"] = os.pathsep.join([str(newest.parent), os.environ.get("PATH", "")])


def numbers(path: Path) -> list[int]:
    """What a path is sorted by, so that 3.12.10 comes after 3.12.9."""
    return [int(one) for one in re.findall(r"\d+", str(path))]


def runs(interpreter: str) -> bool:
    """Whether it is there and starts."""
    try:
        done = subprocess.run([interpreter, "-c", ""], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


put_interpreters_on_the_path()
