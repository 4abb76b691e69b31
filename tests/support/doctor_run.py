"""Runs doctor in surroundings that a test makes."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ecs_role_creds.cli.doctor.command import configure, run
from ecs_role_creds.cli.doctor.observe import Surroundings
from ecs_role_creds.settings import ENDPOINT
from ecs_role_creds.testing import FakeMetadataServer


class Diagnosis(NamedTuple):
    """What doctor said."""

    status: int
    text: str

    @property
    def findings(self) -> dict[str, list[str]]:
        """By check: each result, reason and advice as one text. Needs ``--json``."""
        by_check: dict[str, list[str]] = {}
        for one in json.loads(self.text)["findings"]:
            told = f"{one['result']}: {one['reason']} {one['advice']}".strip()
            by_check.setdefault(one["check"], []).append(told)
        return by_check


def diagnose(arguments: Sequence[str], around: Surroundings) -> Diagnosis:
    """Run doctor with these arguments."""
    parser = argparse.ArgumentParser()
    configure(parser)
    out = io.StringIO()
    status = run(parser.parse_args(arguments), parser, around, out)
    return Diagnosis(status, out.getvalue())


def surroundings(
    place: Path, server: FakeMetadataServer | str, environ: Mapping[str, str] = {}, **more: Any
) -> Surroundings:
    """An empty machine with this metadata service; ``place`` holds its root and home.

    Requests have a minute, so that no test depends on the speed of the machine.
    """
    for folder in ("root/proc/1", "root/etc", "root/run", "root/sys/class/dmi/id", "home"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    endpoint = server if isinstance(server, str) else server.endpoint
    return Surroundings(
        {ENDPOINT: endpoint, **environ},
        place / "home",
        place / "root",
        **{"network_seconds": 60.0, **more},
    )
