"""Faults of the fake OSS on demand, as an application's retries meet them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from support.oss_clients import Oss2, OssError, OssV2, oss2, oss_v2

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss


@pytest.fixture
def oss(ecs_metadata: FakeMetadataServer) -> Iterator[FakeOss]:
    with FakeOss(ecs_metadata, ["pictures"]) as oss:
        oss.put("pictures", "a", b"content")
        yield oss


@pytest.fixture(params=["oss2", "oss-v2"])
def client(request: pytest.FixtureRequest, oss: FakeOss) -> Any:
    provider = EcsRamRoleCredentialsProvider()
    if request.param == "oss2":
        return Oss2(oss, provider, "v4")
    return OssV2(oss, provider, "v4", is_async=False)


def refused(call: Any, *args: Any) -> tuple[int, str]:
    with pytest.raises(OssError) as caught:
        call(*args)
    return caught.value.status, caught.value.code


def test_fail_some_requests_of_a_kind(oss: FakeOss, client: Any) -> None:
    oss.fail(503, times=2, on="put-object")
    assert client.get("pictures", "a").body == b"content"
    assert refused(client.put, "pictures", "a", b"x") == (503, "ServiceUnavailable")
    assert refused(client.put, "pictures", "a", b"x") == (503, "ServiceUnavailable")
    assert oss.objects["pictures"]["a"].content == b"content"  # it was not carried out
    client.put("pictures", "a", b"x")
    assert [(one.kind, one.status, one.code) for one in oss.requests] == [
        ("get-object", 200, None),
        ("put-object", 503, "ServiceUnavailable"),
        ("put-object", 503, "ServiceUnavailable"),
        ("put-object", 200, None),
    ]
    assert oss.refused == []


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, None, "AccessDenied"),
        (500, None, "InternalError"),
        (503, None, "ServiceUnavailable"),
        (400, "RequestTimeout", "RequestTimeout"),
        (418, None, "FakeFailure"),
    ],
)
def test_codes(oss: FakeOss, client: Any, status: int, code: str, expected: str) -> None:
    oss.fail(status, code=code, on="get-object")
    assert refused(client.get, "pictures", "a") == (status, expected)
    oss.recover()
    oss.fail(status, code=code, on="head-object")
    assert refused(client.head, "pictures", "a") == (status, expected)  # in a header
    oss.recover()
    assert client.get("pictures", "a").body == b"content"


def test_throttle(oss: FakeOss, client: Any) -> None:
    oss.throttle(3, times=1)
    assert refused(client.get, "pictures", "a") == (503, "TotalQpsLimitExceeded")
    oss.throttle(3, times=1)
    answer = requests.get(f"{oss.endpoint}/pictures/a", timeout=300)
    assert answer.headers["Retry-After"] == "3"


def test_retries_of_a_client_succeed(oss: FakeOss) -> None:
    config = oss_v2.config.load_default()
    config.credentials_provider = EcsRamRoleCredentialsProvider()
    config.region, config.endpoint = oss.region, oss.endpoint
    config.retryer = oss_v2.retry.StandardRetryer(
        max_attempts=3, backoff_delayer=oss_v2.retry.FixedDelayBackoff(0)
    )
    client = oss_v2.Client(config)
    oss.fail(500, times=2)
    result = client.get_object(oss_v2.GetObjectRequest(bucket="pictures", key="a"))
    assert result.body.content == b"content"
    assert [one.status for one in oss.requests] == [500, 500, 200]


def test_reset(oss: FakeOss) -> None:
    bucket = oss2.Bucket(
        oss2.ProviderAuthV4(EcsRamRoleCredentialsProvider()),
        oss.endpoint,
        "pictures",
        region=oss.region,
    )
    oss.reset(on="put-object", times=1)
    with pytest.raises(oss2.exceptions.RequestError):
        bucket.put_object("a", b"x")
    assert oss.objects["pictures"]["a"].content == b"content"
    assert oss.requests[-1].status == 0


def test_hang_until_recover(oss: FakeOss, client: Any) -> None:
    oss.hang(on="put-object", times=1)
    done = threading.Thread(target=client.put, args=("pictures", "a", b"x"))
    done.start()
    while not oss.requests:  # it has arrived
        done.join(0.01)
    assert done.is_alive()
    assert oss.objects["pictures"]["a"].content == b"x"  # it is carried out, and not answered
    oss.recover()
    done.join(300)
    assert not done.is_alive()


def test_delay_and_drip(oss: FakeOss, client: Any) -> None:
    oss.delay(0.05, times=1)
    oss.drip(0.0, times=1)
    assert client.get("pictures", "a").body == b"content"


def test_own_answers(oss: FakeOss) -> None:
    oss.objects["pictures"].acl = "public-read"
    oss.answer(b"<html>a proxy</html>", status=200, times=1, on="get-object")
    answer = requests.get(f"{oss.endpoint}/pictures/a", timeout=300)
    assert (answer.status_code, answer.text) == (200, "<html>a proxy</html>")


def test_bad_arguments(oss: FakeOss) -> None:
    with pytest.raises(ValueError, match="on is 'get'; pass one of abort-multipart-upload, "):
        oss.fail(503, on="get")
    with pytest.raises(ValueError, match="status is 200; pass 300 to 599"):
        oss.fail(200)
    with pytest.raises(ValueError, match="times is 0"):
        oss.fail(503, times=0)
    with pytest.raises(ValueError, match="takes whole seconds"):
        oss.fail(503, retry_after=0.5)
