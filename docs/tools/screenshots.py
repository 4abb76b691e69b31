"""Draws the pictures of terminals in the documentation: ``make screenshots``.

To add one: write a function that returns the screen, and name it in ``SCREENSHOTS``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyte
from terminal import draw, run_in_terminal

from ecs_role_creds.testing import FakeMetadataServer

IMAGES = Path(__file__).parents[1] / "images"
COMMAND = [str(Path(sys.executable).with_name("ecs-role-creds"))]


def doctor_well() -> pyte.Screen:
    """An instance where all is well but for what other SDKs would do."""
    with FakeMetadataServer() as server, tempfile.TemporaryDirectory() as home:
        environ = {
            **server.environment,
            "HOME": home,
            "HTTP_PROXY": "http://proxy.example:3128",
            "OSS_ACCESS_KEY_ID": "not-shown",
            "OSS_ACCESS_KEY_SECRET": "not-shown",
        }
        return run_in_terminal([*COMMAND, "doctor"], environ)


def doctor_no_role() -> pyte.Screen:
    """An instance without a role, whose clock is off."""
    with FakeMetadataServer(None) as server, tempfile.TemporaryDirectory() as home:
        server.mode = "hardening-only"
        server.skew_date(400)
        return run_in_terminal([*COMMAND, "doctor"], {**server.environment, "HOME": home})


def watch() -> pyte.Screen:
    """A rotation that comes late, because the service fails for a moment."""
    with FakeMetadataServer(life=24) as server:
        is_failing = False

        def is_done(screen: pyte.Screen) -> bool:
            nonlocal is_failing
            shown = "\n".join(screen.display)
            if "rotation 1" in shown and not is_failing:
                is_failing = True
                server.fail(503, on="document", times=3)  # one attempt tries three times
            return "rotation 2" in shown and "2 rotations" in shown and "░" in shown

        return run_in_terminal(
            [*COMMAND, "watch"], server.environment, columns=110, is_done=is_done
        )


SCREENSHOTS: dict[str, tuple[str, Callable[[], pyte.Screen]]] = {
    "doctor-well": ("ecs-role-creds doctor", doctor_well),
    "doctor-no-role": ("ecs-role-creds doctor", doctor_no_role),
    "watch": ("ecs-role-creds watch", watch),
}
"""By the file's name: the window's title, and what runs the command."""


def main() -> None:
    """Draw the pictures named on the command line, or all."""
    IMAGES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or SCREENSHOTS:
        title, take = SCREENSHOTS[name]
        path = IMAGES / f"{name}.svg"
        draw(take(), title, path)
        print(path)


if __name__ == "__main__":
    main()
