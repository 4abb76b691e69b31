"""Which region is used where no argument says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecs_role_creds.roles.region import REGION_VARIABLES, find_region


def profile(name: str, region: Any) -> dict[str, Any]:
    return {"name": name, "mode": "AK", "region_id": region}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aliyun").mkdir()
    content = {
        "current": "work",
        "profiles": [profile("home", "cn-beijing"), profile("work", "cn-shanghai")],
    }
    (tmp_path / ".aliyun" / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_the_environment_comes_first(home: Path) -> None:
    for variable in REGION_VARIABLES:
        assert find_region({variable: "cn-hangzhou", "HOME": str(home)}) == "cn-hangzhou"
    assert find_region({REGION_VARIABLES[0]: "", REGION_VARIABLES[1]: "a"}) == "a"


def test_then_the_profile_that_the_credentials_are_from(home: Path) -> None:
    environ = {"HOME": str(home)}
    assert find_region(environ) == "cn-shanghai"
    assert find_region({**environ, "ALIBABA_CLOUD_PROFILE": "home"}) == "cn-beijing"
    assert find_region({**environ, "ALIBABA_CLOUD_PROFILE": "none"}) is None
    assert find_region({**environ, "ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "True"}) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"profiles": {}}', '{"current": "a", "profiles": [1]}']
)
def test_else_none(tmp_path: Path, content: str) -> None:
    assert find_region({}) is None
    assert find_region({"HOME": str(tmp_path)}) is None
    (tmp_path / ".aliyun").mkdir()
    (tmp_path / ".aliyun" / "config.json").write_text(content, encoding="utf-8")
    assert find_region({"HOME": str(tmp_path)}) is None
    missing = json.dumps({"current": "a", "profiles": [profile("a", "")]})
    (tmp_path / ".aliyun" / "config.json").write_text(missing, encoding="utf-8")
    assert find_region({"HOME": str(tmp_path)}) is None
