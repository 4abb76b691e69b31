"""The threads of pollers."""

from __future__ import annotations

import threading


def pollers() -> list[threading.Thread]:
    """Those of this process, running or about to start; ``Thread.join()`` fails for the latter."""
    return [one for one in threading.enumerate() if one.name == "ecs-role-creds-poller"]
