"""Find the region if no argument names it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REGION_VARIABLES = ("ALIBABA_CLOUD_REGION_ID", "ALIBABACLOUD_REGION_ID", "ALICLOUD_REGION_ID")


def find_region(environ: Mapping[str, str]) -> str | None:
    """Return the region in the environment, or in the profile of the ``aliyun`` command.

    It is the profile from which the default chain of alibabacloud-credentials reads credentials:
    the one in ``ALIBABA_CLOUD_PROFILE``, or the current one of ``~/.aliyun/config.json``.
    """
    for variable in REGION_VARIABLES:
        if environ.get(variable):
            return environ[variable]
    home = environ.get("HOME")
    if not home or environ.get("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "").lower() == "true":
        return None
    try:
        content = json.loads((Path(home) / ".aliyun" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return _region_of_profile(content, environ.get("ALIBABA_CLOUD_PROFILE"))


def _region_of_profile(content: Any, name: str | None) -> str | None:
    if not isinstance(content, dict) or not isinstance(content.get("profiles"), list):
        return None
    name = name or content.get("current")
    for profile in content["profiles"]:
        if isinstance(profile, dict) and profile.get("name") == name:
            region = profile.get("region_id")
            return region if isinstance(region, str) and region else None
    return None
