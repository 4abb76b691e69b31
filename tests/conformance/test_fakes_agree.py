"""The fake on a socket and the one inside ``responses`` give the same answers, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import responses

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock, fake_metadata

TOKEN_PATH = "/latest/api/token"
ROLE_PATH = "/latest/meta-data/ram/security-credentials/"
TTL = {"X-aliyun-ecs-metadata-token-ttl-seconds": "60"}


def converse(session: requests.Session, endpoint: str, service: Any, clock: VirtualClock) -> Any:
    """A conversation of many turns; what was answered at each."""
    seen: list[Any] = []
    headers: dict[str, str] = {}

    def ask(path: str, method: str = "GET", **more: str) -> requests.Response:
        reply = session.request(
            method, endpoint + path, headers={**headers, **more}, timeout=300, allow_redirects=False
        )
        told = {name: reply.headers.get(name) for name in ("Date", "Content-Type", "Retry-After")}
        seen.append((method, path, reply.status_code, told, reply.content))
        return reply

    def ask_everything() -> None:
        for path in (
            ROLE_PATH,
            ROLE_PATH + "app-role",
            ROLE_PATH + "other",
            "/latest/meta-data/region-id",
            "/latest/dynamic/instance-identity/document?a=b",
            "/x",
        ):
            ask(path)
        ask(ROLE_PATH, "POST")
        ask(ROLE_PATH, "DELETE")

    ask_everything()
    for ttl in ("60", "0", "21601", "x"):
        ask(TOKEN_PATH, "PUT", **{**TTL, next(iter(TTL)): ttl})
    ask(TOKEN_PATH, "PUT", **TTL, **{"X-Forwarded-For": "192.0.2.1"})
    service.mode = "hardening-only"
    ask_everything()
    headers["X-aliyun-ecs-metadata-token"] = ask(TOKEN_PATH, "PUT", **TTL).text
    ask_everything()
    clock.advance(60)
    ask_everything()
    service.mode = "normal-only"
    ask(TOKEN_PATH, "PUT", **TTL)
    for change in (
        service.rotate,
        service.expire,
        service.detach,
        lambda: service.attach("other"),
        lambda: service.swap("app-role"),
        lambda: clock.advance(6 * 3600),
        lambda: service.fail(503, retry_after=3, times=1),
        lambda: service.throttle(2, on="document", times=1),
        lambda: service.answer("{", on="role", times=1),
        lambda: service.skew_date(3600, times=1),
        lambda: service.drop_date(times=1),
    ):
        change()
        ask_everything()
    seen.append([(one.method, one.path, one.status, one.time) for one in service.requests])
    seen.append(service.issued)
    return seen


def test_the_same_conversation() -> None:
    clock = VirtualClock()
    with FakeMetadataServer(clock=clock, seed=5) as server, requests.Session() as session:
        session.trust_env = False
        by_socket = converse(session, server.endpoint, server, clock)
    clock = VirtualClock()
    with responses.RequestsMock() as mock, requests.Session() as session:
        mock.assert_all_requests_are_fired = False
        service = fake_metadata(mock, clock=clock, seed=5)
        by_mock = converse(session, "http://100.100.100.200", service, clock)
    assert len(by_socket) > 100
    assert by_socket == by_mock


@pytest.mark.parametrize(
    ("control", "kind"),
    [("reset", requests.ConnectionError), ("hang", requests.Timeout), ("drip", requests.Timeout)],
)
def test_the_same_lack_of_an_answer(control: str, kind: type[Exception]) -> None:
    with FakeMetadataServer() as server, requests.Session() as session:
        session.trust_env = False
        getattr(server, control)()
        with pytest.raises(kind):
            session.get(server.endpoint + ROLE_PATH, timeout=300 if control == "reset" else 0.1)
        server.recover()
    with responses.RequestsMock() as mock:
        mock.assert_all_requests_are_fired = False
        service = fake_metadata(mock)
        getattr(service, control)()
        with pytest.raises(kind):
            requests.get("http://100.100.100.200" + ROLE_PATH, timeout=0.1)
        service.recover()
        reply = requests.get("http://100.100.100.200" + ROLE_PATH, timeout=0.1)
        assert reply.text == "app-role"


def test_a_connection_that_was_reset_is_the_same_to_a_client() -> None:
    """Its client tries again, with either."""
    with FakeMetadataServer() as server:
        server.reset(times=1)
        EcsRamRoleCredentialsProvider(endpoint=server.endpoint).get_credentials()
        by_socket = [one.status for one in server.requests]
    with responses.RequestsMock() as mock:
        mock.assert_all_requests_are_fired = False
        service = fake_metadata(mock)
        service.reset(times=1)
        endpoint = "http://100.100.100.200"
        EcsRamRoleCredentialsProvider(endpoint=endpoint).get_credentials()
        assert [one.status for one in service.requests] == by_socket == [0, 200, 200, 200]
