"""Simulates fleets on a virtual clock and writes docs/explanation/scale.md: ``make fleet``.

Takes a few minutes of CPU time. Its figures are kept in build/simulation.pickle, so that
``--redraw`` can write the page and the plots again without them being simulated.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "simulation.pickle"


def main() -> int:
    """Parse the command line, simulate, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "docs" / "explanation",
        help="the folder to write to (docs/explanation)",
    )
    parser.add_argument(
        "--redraw", action="store_true", help=f"use the figures in {KEPT.relative_to(ROOT)}"
    )
    arguments = parser.parse_args()

    sys.path.append(str(ROOT / "tests"))
    from simulation import report

    if arguments.redraw:
        outcome = pickle.loads(KEPT.read_bytes())
    else:
        outcome = simulate()
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_bytes(pickle.dumps(outcome))
    print(report.write(outcome, arguments.output))
    return 0


def simulate() -> Any:
    """Simulate every client."""
    from simulation import clients, fleet, report, seldom, year

    begin = time.process_time()
    days: dict[fleet.Fleet, list[fleet.Day]] = {fleet.HOST: [], fleet.HOSTS: []}
    years, lives = {}, {}
    for client in clients.EVERY:
        for one, outcomes in days.items():
            outcomes.append(fleet.simulate(client, one))
        years[client] = [year.simulate(client, length) for length in year.LENGTHS]
        lives[client] = [seldom.simulate(client, pause) for pause in seldom.PAUSES]
        print(f"{client.name}: {time.process_time() - begin:.0f} s", flush=True)
    return report.Outcome(days, years, lives)


if __name__ == "__main__":
    sys.exit(main())
