"""The script that runs the tests beside busy loops."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "stress" / "run.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stress_run", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_busy_loops_are_gone_after_the_block(script: ModuleType) -> None:
    with pytest.raises(KeyboardInterrupt), script.busy_loops(2) as loops:  # noqa: PT012
        assert [loop.poll() for loop in loops] == [None, None]
        raise KeyboardInterrupt
    assert [loop.poll() is None for loop in loops] == [False, False]


def test_busy_loops_end_with_the_process_that_started_them(script: ModuleType) -> None:
    orphan = subprocess.run(
        [sys.executable, "-c", script.BUSY_LOOP, str(os.getpid() + 1)], timeout=300, check=False
    )
    assert orphan.returncode == 0


def test_failed_tests_are_named(script: ModuleType) -> None:
    output = (
        "FAILED tests/a.py::test_one - AssertionError: FAILED\n"
        "FAILED tests/a.py::test_two[a b] - x\n"
        "ERROR tests/b.py::test_three\n"
        "PASSED tests/b.py::test_four\n"
    )
    assert script.failed_tests(output) == [
        "tests/a.py::test_one",
        "tests/a.py::test_two[a b]",
        "tests/b.py::test_three",
    ]


def test_a_failing_run_is_counted_and_told(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_bad(): assert False\ndef test_good(): pass\n")
    arguments = ["--runs", "2", "--busy", "1", "--", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "2 of 2 runs failed beside 1 busy loops" in done.stdout
    assert "   2 " in done.stdout.splitlines()[-1]
    assert "test_it.py::test_bad" in done.stdout.splitlines()[-1]
