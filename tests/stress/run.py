"""Runs the tests again and again beside busy loops: no test may depend on how fast the machine is.

    python tests/stress/run.py --runs 10 --busy 4 [-- arguments for pytest]

Runs ``make test``, or pytest if there are arguments for it. Exits with 1 if a run failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# It also ends on its own when this process is gone, however that ended.
BUSY_LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(100_000))"

_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """That many processes which do nothing but compute; gone after the block."""

    loops: list[subprocess.Popen[bytes]] = []
    try:
        command = [sys.executable, "-c", BUSY_LOOP, str(os.getpid())]
        for _ in range(count):
            loops.append(subprocess.Popen(command))  # noqa: PERF401 (each is ended, whatever fails)
        yield loops
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


def failed_tests(output: str) -> list[str]:
    """The tests that pytest's summary lists as failed."""
    return _FAILED.findall(output)


def run_once(arguments: list[str]) -> tuple[int, str]:
    """Exit status and output of ``make test``, or of pytest with these arguments."""
    pytest = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(
        pytest if arguments else ["make", "test"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="how often to run the tests")
    parser.add_argument("--busy", type=int, default=4, help="how many busy loops run beside them")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    options = parser.parse_args()
    if options.runs < 1 or options.busy < 0:
        parser.error("pass --runs 1 or more, and --busy 0 or more")

    # Have a request to end it end its busy loops too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed_runs, failures = 0, Counter[str]()
    with busy_loops(options.busy):
        for number in range(1, options.runs + 1):
            begin = time.monotonic()
            status, output = run_once(options.pytest)
            took = time.monotonic() - begin
            print(f"run {number}: exit status {status}, {took:.0f} s", flush=True)
            if status != 0:
                failed_runs += 1
                failures.update(failed_tests(output))
                print(output, flush=True)
    print(f"{failed_runs} of {options.runs} runs failed beside {options.busy} busy loops")
    for name, count in failures.most_common():
        print(f"{count:4} {name}")
    return 1 if failed_runs else 0


if __name__ == "__main__":
    sys.exit(main())
