"""Which region the instances are in, where no argument says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REGION_VARIABLES = ("ALIBABA_CLOUD_REGION_ID", "ALIBABACLOUD_REGION_ID", "ALICLOUD_REGION_ID")


def find_region(environ: Mapping[str, str]) -> str | None:
    """The region of the environment, or of the profile of Alibaba Cloud's command line.

    The same profile that alibabacloud-credentials' default chain reads its credentials from:
    that named by ``ALIBABA_CLOUD_PROFILE``, or else the current one of ``~/.aliyun/config.json``.
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
