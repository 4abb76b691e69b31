"""The benchmarks run, and a partial run does not replace the published page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tests" / "benchmarks" / "run.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_scenario_that_ages_the_credentials_of_each_client(tmp_path: Path) -> None:
    done = run("--quick", "--only", "per_refresh", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    for client in ("ecs_role_creds", "oss2", "alibabacloud_credentials", "OSS guide"):
        assert f"\n| {client}" in page


def test_partial_run_does_not_write_to_docs() -> None:
    for arguments in (["--only", "per_refresh"], ["--quick"]):
        done = run(*arguments, "--output", str(ROOT / "docs"))
        assert done.returncode == 2
        assert "Pass another folder with --output" in done.stderr


def test_unknown_scenario_is_reported() -> None:
    done = run("--only", "no_such_scenario")
    assert done.returncode == 2
    assert "no such scenario: no_such_scenario; one of hot_path" in done.stderr
