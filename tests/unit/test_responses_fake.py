"""The metadata service faked without a socket, by ``responses``."""

from __future__ import annotations

import pytest
import requests
import responses

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import (
    MetadataServiceError,
    MetadataUnreachableError,
    NoRoleAttachedError,
)
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import VirtualClock, fake_metadata

TOKEN_URL = "http://100.100.100.200/latest/api/token"
ROLE_URL = "http://100.100.100.200/latest/meta-data/ram/security-credentials/"
TTL = {"X-aliyun-ecs-metadata-token-ttl-seconds": "60"}


def own_provider() -> EcsRamRoleCredentialsProvider:
    """One with a cache of its own."""
    return EcsRamRoleCredentialsProvider(deadline=30.0, runtime=Runtime())


@responses.activate
def test_credentials_at_the_services_own_address() -> None:
    service = fake_metadata(role="my-role")
    provider = own_provider()
    assert service.is_valid(provider.get_credentials())
    service.assert_requests(
        "PUT /latest/api/token",
        "GET /latest/meta-data/ram/security-credentials/",
        "GET /latest/meta-data/ram/security-credentials/my-role",
    )
    service.swap("other-role")
    assert provider.refresh().role_name == "other-role"
    service.detach()
    with pytest.raises(NoRoleAttachedError):
        provider.refresh()


@responses.activate
def test_the_protocol_is_the_servers() -> None:
    service = fake_metadata(mode="hardening-only")
    assert requests.get(ROLE_URL, timeout=1).status_code == 403
    assert requests.put(TOKEN_URL, timeout=1).status_code == 400
    proxied = {**TTL, "X-Forwarded-For": "10.0.0.1"}
    assert requests.put(TOKEN_URL, headers=proxied, timeout=1).status_code == 403
    token = requests.put(TOKEN_URL, headers=TTL, timeout=1).text
    headers = {"X-aliyun-ecs-metadata-token": token}
    assert requests.get(ROLE_URL, headers=headers, timeout=1).text == service.role
    assert requests.post(ROLE_URL, headers=headers, timeout=1).status_code == 405


@responses.activate
def test_time_moves_as_told() -> None:
    clock = VirtualClock()
    service = fake_metadata(clock=clock)
    token = requests.put(TOKEN_URL, headers=TTL, timeout=1).text
    headers = {"X-aliyun-ecs-metadata-token": token}
    clock.advance(59)
    assert requests.get(ROLE_URL, headers=headers, timeout=1).status_code == 200
    clock.advance(1)
    assert requests.get(ROLE_URL, headers=headers, timeout=1).status_code == 401
    assert service.requests[-1].status == 401


@responses.activate
@pytest.mark.parametrize("control", ["hang", "drip", "reset"])
def test_no_answer(control: str) -> None:
    service = fake_metadata()
    getattr(service, control)()
    provider = own_provider()
    with pytest.raises(MetadataUnreachableError):
        provider.get_credentials()
    service.recover()
    assert service.is_valid(provider.refresh())


@responses.activate
def test_failures_and_delays() -> None:
    service = fake_metadata()
    service.delay(0.01)
    service.throttle(retry_after=30)
    provider = own_provider()
    with pytest.raises(MetadataServiceError) as caught:
        provider.get_credentials()
    assert (caught.value.status, caught.value.retry_after) == (429, 30)


def test_a_mock_and_an_endpoint_of_ones_own() -> None:
    with responses.RequestsMock() as mock:
        service = fake_metadata(mock, endpoint="http://metadata.test:8080")
        provider = EcsRamRoleCredentialsProvider(
            endpoint="http://metadata.test:8080", runtime=Runtime()
        )
        assert service.is_valid(provider.get_credentials())


@pytest.mark.parametrize("asked", ["asked", "not asked"])
def test_a_strict_mock_accepts_what_was_not_asked(asked: str) -> None:
    with responses.RequestsMock() as mock:
        service = fake_metadata(mock)
        if asked == "asked":
            own_provider().get_credentials()
    assert bool(service.requests) == (asked == "asked")


def test_a_strict_mock_still_sees_what_others_registered() -> None:
    mock = responses.RequestsMock()
    mock.start()
    fake_metadata(mock)
    mock.get("http://other.test/")
    with pytest.raises(AssertionError, match=r"executed.*other\.test") as caught:
        mock.stop()
    assert "100.100" not in str(caught.value)


def test_other_addresses_are_not_answered() -> None:
    with responses.RequestsMock() as mock:
        fake_metadata(mock)
        with pytest.raises(requests.ConnectionError):
            requests.get("http://100.100.100.201/latest/api/token", timeout=1)


@responses.activate
def test_a_second_fake_replaces_the_first() -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=5)
    first = fake_metadata(role="first-role")
    assert provider.get_credentials().role_name == "first-role"
    asked = len(first.requests)
    second = fake_metadata(role="second-role")
    assert provider.get_credentials().role_name == "second-role"
    assert second.requests[0].method == "PUT"
    assert len(first.requests) == asked


def test_no_provider_returns_the_credentials_of_an_earlier_mock() -> None:
    """Also in the next test of an application: a provider of a module, and a new one."""
    kept = EcsRamRoleCredentialsProvider()
    for _ in range(2):
        with responses.RequestsMock() as mock:
            service = fake_metadata(mock)
            assert service.is_valid(kept.get_credentials())
            assert service.is_valid(EcsRamRoleCredentialsProvider().get_credentials())


def test_providers_of_other_endpoints_keep_their_credentials() -> None:
    with responses.RequestsMock() as mock:
        service = fake_metadata(mock, endpoint="http://other.test")
        provider = EcsRamRoleCredentialsProvider(endpoint="http://other.test")
        credentials = provider.get_credentials()
        fake_metadata(mock)
        assert provider.get_credentials() is credentials
        assert EcsRamRoleCredentialsProvider(endpoint="http://other.test").status().fetches == 1
        assert len(service.issued) == 1


def test_bad_use_is_explained() -> None:
    with responses.RequestsMock() as mock, pytest.raises(ValueError, match="no role can be named"):
        fake_metadata(mock, role="a/b")
