"""Nothing is ignored in silence: what an operation does not name, it refuses."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import requests
from support.oss_clients import oss2, presigned_url, signed_request

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeOss
from ecs_role_creds.testing.oss.operations import CONDITIONS, Operation
from ecs_role_creds.testing.oss.table import KINDS, OPERATIONS

AUTHS = {"v1": oss2.ProviderAuth, "v4": oss2.ProviderAuthV4}
PATHS = {"service": ("", ""), "bucket": ("pictures", ""), "object": ("pictures", "a b")}
VALUES = {"list-type": "2", "partNumber": "1", "uploadId": "1"}

every_operation = pytest.mark.parametrize(
    "operation", OPERATIONS, ids=[f"{one.name}-{one.method}" for one in OPERATIONS]
)


@pytest.fixture(params=list(AUTHS))
def auth(request: pytest.FixtureRequest, provider: EcsRamRoleCredentialsProvider) -> Any:
    return AUTHS[request.param](provider)


def params_of(operation: Operation) -> dict[str, str]:
    return {name: VALUES.get(name, "") for name in operation.selectors}


def headers_of(operation: Operation) -> dict[str, str]:
    selecting = operation.selecting_header
    return {} if selecting is None else {selecting: "/pictures/a"}


def is_not_implemented(answer: requests.Response, what: str) -> None:
    text = answer.text
    if answer.request.method == "HEAD":
        text = base64.b64decode(answer.headers["x-oss-err"]).decode()
    assert answer.status_code == 400
    assert "<Code>NotImplemented</Code>" in text
    assert what in text


@every_operation
def test_unknown_header(operation: Operation, oss: FakeOss, auth: Any) -> None:
    names = ["x-oss-unheard-of", "x-oss-server-side-encryption", "x-oss-callback"]
    names += sorted(CONDITIONS - operation.headers)
    for name in names:
        headers = {**headers_of(operation), name: "1"}
        path = PATHS[operation.level]
        answer = signed_request(oss, auth, operation.method, path, params_of(operation), headers)
        is_not_implemented(answer, f"the header {name}")
    assert dict(oss.objects["pictures"]) == {}


@every_operation
def test_unknown_parameter(operation: Operation, oss: FakeOss, auth: Any) -> None:
    for name in ("unheard-of", "versionId", "x-oss-process"):
        path = PATHS[operation.level]
        params = {**params_of(operation), name: "1"}
        answer = signed_request(oss, auth, operation.method, path, params, headers_of(operation))
        is_not_implemented(answer, name)
    assert dict(oss.objects["pictures"]) == {}


@every_operation
def test_presigned(operation: Operation, oss: FakeOss, auth: Any) -> None:
    """A presigned URL is accepted for its own operation only; every operation is tested."""
    path, headers = PATHS[operation.level], headers_of(operation)
    url = presigned_url(oss, auth, operation.method, path, params_of(operation), headers)
    requests.request(operation.method, url, headers=headers, timeout=300)
    assert (oss.requests[-1].kind, oss.refused) == (operation.kind, [])
    other = "DELETE" if operation.method != "DELETE" else "GET"
    requests.request(other, url, headers=headers, timeout=300)
    assert oss.requests[-1].code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("method", "level", "subresource"),
    [
        (method, level, subresource)
        for level, subresource in [
            *(("bucket", one) for one in ("lifecycle", "versioning", "cors", "logging", "live")),
            *(("bucket", one) for one in ("website", "encryption", "policy", "versions", "worm")),
            *(("object", one) for one in ("vod", "asyncFetch", "versionId")),
            ("service", "regionList"),
        ]
        for method in ("GET", "PUT", "DELETE", "POST")
    ],
)
def test_unknown_subresource(
    method: str, level: str, subresource: str, oss: FakeOss, auth: Any
) -> None:
    answer = signed_request(oss, auth, method, PATHS[level], {subresource: ""})
    is_not_implemented(answer, subresource)
    assert set(oss.objects) == {"pictures", "archive"}


def test_unknown_method(oss: FakeOss, auth: Any) -> None:
    answer = signed_request(oss, auth, "PATCH", PATHS["object"])
    assert answer.status_code == 405
    assert "<Code>MethodNotAllowed</Code>" in answer.text


def test_the_reference_lists_every_operation() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/fake-oss.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| `(oss:\w+)` \| (\w+) \|$", page, re.MULTILINE)
    assert rows == [(one.kind, one.action, one.access) for one in OPERATIONS]


def test_the_table_is_consistent() -> None:
    """An operation has one declaration for each method, a documented action, and a kind."""
    keys = [(one.level, one.method, one.selectors, one.selecting_header) for one in OPERATIONS]
    assert len(set(keys)) == len(keys)
    for operation in OPERATIONS:
        assert re.fullmatch(r"oss:[A-Z][A-Za-z]+", operation.action)
        assert operation.kind in KINDS
        assert re.fullmatch(r"[a-z0-9-]+", operation.kind)
        assert not operation.selectors & operation.parameters
