"""Runs the benchmarks and writes docs/benchmarks.md with its plots: ``make bench``.

Takes several minutes. A run with ``--quick`` or ``--only`` writes to build/benchmarks instead,
because the published page has all scenarios, from one run.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "docs"
PARTIAL = ROOT / "build" / "benchmarks"


def main() -> int:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter waits")
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", help="some scenarios; by name")
    parser.add_argument(
        "--output",
        type=Path,
        help="the folder to write to (docs; build/benchmarks with --quick or --only)",
    )
    arguments = parser.parse_args()
    is_partial = arguments.quick or arguments.only is not None
    output = arguments.output or (PARTIAL if is_partial else PUBLISHED)
    if is_partial and output.resolve() == PUBLISHED:
        parser.error(
            "--quick and --only do not write to docs, because the published page has all "
            "scenarios, from one full run. Pass another folder with --output."
        )
    # No proxy may stand between a peer and the fake service, and no peer may write to the terminal.
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    sys.path.append(str(ROOT / "tests"))  # for its support package
    import report
    import scenarios

    names = [measure.__name__ for measure in scenarios.ALL]
    if unknown := set(arguments.only or ()) - set(names):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; one of {', '.join(names)}")
    scale = scenarios.QUICK if arguments.quick else scenarios.FULL
    begin = time.perf_counter()
    sections = []
    for measure in scenarios.ALL:
        if arguments.only and measure.__name__ not in arguments.only:
            continue
        started = time.perf_counter()
        sections.append(measure(scale))
        print(f"{measure.__name__}: {time.perf_counter() - started:.1f} s", flush=True)
    took = time.perf_counter() - begin
    print(report.write(sections, output, took, is_quick=arguments.quick))
    return 0


if __name__ == "__main__":
    # Not the usual exit: peers leave threads behind that still wait for their time-outs.
    try:
        code = main()
    except SystemExit as end:  # of the argument parser
        code = end.code if isinstance(end.code, int) else 1
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)
