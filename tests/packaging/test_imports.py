"""The SDKs that the tests use compile under the suite's own filters for warnings.

A compiler's warnings are given where there is no bytecode yet: at the first run in a fresh
environment, and then no more.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SDKS = ("oss2", "aliyunsdkcore", "alibabacloud_credentials", "alibabacloud_tea_openapi", "Tea")


@pytest.mark.parametrize("sdk", SDKS)
def test_sdk_compiles_without_a_warning_that_is_an_error(sdk: str) -> None:
    found = importlib.util.find_spec(sdk)
    if found is None or found.origin is None:
        pytest.skip(f"needs {sdk}")
    for path in Path(found.origin).parent.rglob("*.py"):
        compile(path.read_bytes(), str(path), "exec")
