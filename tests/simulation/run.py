"""Simulates fleets on a virtual clock and writes docs/explanation/scale.md: ``make fleet``.

Takes a few minutes of CPU time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Parse the command line, simulate, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "docs" / "explanation",
        help="the folder to write to (docs/explanation)",
    )
    arguments = parser.parse_args()

    sys.path.append(str(ROOT / "tests"))
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
    print(report.write(report.Outcome(days, years, lives), arguments.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
