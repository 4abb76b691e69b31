"""The protocol, without sockets: ``responses`` stands in for the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime
from http.client import BadStatusLine
from typing import Any

import pytest
import requests
import responses
from support import MovableClock
from urllib3.exceptions import NewConnectionError, ProtocolError

from ecs_role_creds import errors
from ecs_role_creds.metadata import MetadataClient
from ecs_role_creds.settings import Settings

SERVICE = "http://100.100.100.200"
TOKEN_URL = SERVICE + "/latest/api/token"
ROLES_URL = SERVICE + "/latest/meta-data/ram/security-credentials/"
SECRET_PARTS = ("fake-secret", "fake-security-token", "fake-session-token")


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def client(clock: MovableClock) -> MetadataClient:
    return build_client(clock)


def build_client(clock: MovableClock, **settings: Any) -> MetadataClient:
    return MetadataClient(
        Settings(**settings),
        clock=clock,
        wall_clock=clock.wall,
        sleep=clock.advance,
        random=lambda: 0.5,
    )


def document(clock: MovableClock, life: float = 21600, **changes: Any) -> str:
    expiration = (clock.wall() + _seconds(life)).strftime("%Y-%m-%dT%H:%M:%SZ")
    parts = {
        "AccessKeyId": "STS.FAKE0001",
        "AccessKeySecret": "fake-secret-0001",
        "SecurityToken": "fake-security-token-0001",
        "Expiration": expiration,
        "LastUpdated": expiration,
        "Code": "Success",
        **changes,
    }
    return json.dumps({key: value for key, value in parts.items() if value is not ...})


def _seconds(number: float) -> Any:
    return timedelta(seconds=number)


def serve(
    wire: responses.RequestsMock,
    clock: MovableClock,
    *,
    token: Any = "fake-session-token-1",
    role: Any = "app-role",
    answer: Any = None,
    name: str = "app-role",
    date: bool = True,
) -> None:
    """An instance with a role, as far as not told otherwise."""
    headers = {"Date": format_datetime(clock.wall(), usegmt=True)} if date else {}
    wire.put(TOKEN_URL, **_reply(token))
    wire.get(ROLES_URL, **_reply(role))
    body = document(clock) if answer is None else answer
    wire.get(ROLES_URL + name, headers=headers, **_reply(body))


def _reply(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"status": value, "body": "<html>fake page</html>"}
    return {"body": value}


def methods(wire: responses.RequestsMock) -> list[str]:
    return [f"{call.request.method} {call.request.path_url}" for call in wire.calls]


def fetch(client: MetadataClient, clock: MovableClock) -> Any:
    return client.fetch(clock() + 2.0)


# Requests


def test_cold_fetch_with_the_role_discovered(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    serve(wire, clock)
    credentials = fetch(client, clock)
    assert methods(wire) == [
        "PUT /latest/api/token",
        "GET /latest/meta-data/ram/security-credentials/",
        "GET /latest/meta-data/ram/security-credentials/app-role",
    ]
    assert wire.calls[0].request.headers["X-aliyun-ecs-metadata-token-ttl-seconds"] == "21600"
    for call in list(wire.calls)[1:]:
        assert call.request.headers["X-aliyun-ecs-metadata-token"] == "fake-session-token-1"
    assert credentials.role_name == "app-role"
    assert credentials.access_key_id == "STS.FAKE0001"
    assert client.mode == "hardening"


def test_cold_fetch_with_the_role_named_and_its_refresh(
    clock: MovableClock, wire: responses.RequestsMock
) -> None:
    client = build_client(clock, role_name="app-role")
    serve(wire, clock)
    fetch(client, clock)
    assert len(wire.calls) == 2
    fetch(client, clock)
    assert len(wire.calls) == 3


def test_session_token_is_renewed_when_it_has_run_out(
    clock: MovableClock, wire: responses.RequestsMock
) -> None:
    client = build_client(clock, role_name="app-role", session_token_ttl=100)
    serve(wire, clock)
    fetch(client, clock)
    clock.advance(94)
    fetch(client, clock)
    assert methods(wire).count("PUT /latest/api/token") == 1
    clock.advance(2)
    fetch(client, clock)
    assert methods(wire).count("PUT /latest/api/token") == 2


@pytest.mark.parametrize("status", [401, 403])
def test_refused_session_token_is_renewed_once(
    clock: MovableClock, wire: responses.RequestsMock, status: int
) -> None:
    client = build_client(clock, role_name="app-role")
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.get(ROLES_URL + "app-role", status=status)
    wire.put(TOKEN_URL, body="fake-session-token-2")
    wire.get(ROLES_URL + "app-role", body=document(clock))
    assert fetch(client, clock).access_key_id == "STS.FAKE0001"
    assert wire.calls[-1].request.headers["X-aliyun-ecs-metadata-token"] == "fake-session-token-2"


@pytest.mark.parametrize("status", [401, 403])
def test_refused_twice_is_an_error(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, status: int
) -> None:
    serve(wire, clock, role=status)
    with pytest.raises(errors.AccessRefusedError, match="metadata options") as caught:
        fetch(client, clock)
    assert caught.value.status == status
    assert len(wire.calls) == 4


# The normal mode


@pytest.mark.parametrize("status", [403, 404, 405])
def test_normal_mode_where_the_service_knows_no_other(
    client: MetadataClient,
    clock: MovableClock,
    wire: responses.RequestsMock,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    serve(wire, clock, token=status)
    fetch(client, clock)
    fetch(client, clock)
    assert client.mode == "normal"
    assert methods(wire).count("PUT /latest/api/token") == 1
    assert all("X-aliyun-ecs-metadata-token" not in call.request.headers for call in wire.calls)
    warning = client.take_warning() or ""
    assert f"at {SERVICE} does not support the security hardening mode" in warning
    assert f"(status {status}), so the normal mode is used." in warning
    assert client.take_warning() is None
    assert not caplog.records  # nothing of the application's runs inside a fetch


def test_normal_mode_is_warned_of_once_though_it_is_looked_into_again(
    client: MetadataClient,
    clock: MovableClock,
    wire: responses.RequestsMock,
) -> None:
    serve(wire, clock, token=404)
    fetch(client, clock)
    assert client.take_warning() is not None
    clock.advance(6 * 3600)  # as long as a session token would have been kept
    wire.replace("GET", ROLES_URL + "app-role", body=document(clock))
    fetch(client, clock)
    assert methods(wire).count("PUT /latest/api/token") == 2
    assert client.take_warning() is None


def test_normal_mode_is_never_entered_where_it_is_switched_off(
    clock: MovableClock, wire: responses.RequestsMock
) -> None:
    client = build_client(clock, disable_imds_v1=True)
    serve(wire, clock, token=404)
    with pytest.raises(errors.AccessRefusedError, match="ALIBABA_CLOUD_IMDSV1_DISABLED") as caught:
        fetch(client, clock)
    assert caught.value.status == 404
    assert len(wire.calls) == 1


@pytest.mark.parametrize("failure", [requests.ReadTimeout("t"), requests.ConnectTimeout("t")])
def test_normal_mode_is_never_entered_after_a_time_out(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, failure: Exception
) -> None:
    serve(wire, clock, token=failure)
    with pytest.raises(errors.MetadataUnreachableError):
        fetch(client, clock)
    assert len(wire.calls) == 1


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_normal_mode_is_not_entered_for_other_statuses(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, status: int
) -> None:
    serve(wire, clock, token=status)
    with pytest.raises(errors.CredentialsError):
        fetch(client, clock)
    assert {call.request.method for call in wire.calls} == {"PUT"}


def test_switch_to_hardening_only_is_followed(
    clock: MovableClock, wire: responses.RequestsMock
) -> None:
    client = build_client(clock, role_name="app-role")
    wire.put(TOKEN_URL, status=404)
    wire.get(ROLES_URL + "app-role", body=document(clock))
    fetch(client, clock)
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.replace("GET", ROLES_URL + "app-role", status=403)
    wire.get(ROLES_URL + "app-role", body=document(clock))
    fetch(client, clock)
    assert client.mode == "hardening"


# Roles


def test_no_role_attached(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    serve(wire, clock, role=404)
    with pytest.raises(errors.NoRoleAttachedError, match=r"Attach a (RAM )?role"):
        fetch(client, clock)


@pytest.mark.parametrize("body", ["", " \n"])
def test_empty_role_name(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, body: str
) -> None:
    serve(wire, clock, role=body)
    with pytest.raises(errors.NoRoleAttachedError, match=r"Attach a (RAM )?role"):
        fetch(client, clock)


def test_trailing_newline_of_the_role_name_is_stripped(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    serve(wire, clock, role="app-role\n")
    assert fetch(client, clock).role_name == "app-role"


@pytest.mark.parametrize(
    "body", ["a/b", "..", "../../secret", "<html></html>", "one\ntwo", "x" * 65, b"\xff\xfe"]
)
def test_role_name_that_cannot_be(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, body: Any
) -> None:
    serve(wire, clock, role=body)
    with pytest.raises(errors.MalformedResponseError, match="Expected a role name"):
        fetch(client, clock)
    assert len(wire.calls) == 2


def test_another_role_than_the_one_named(clock: MovableClock, wire: responses.RequestsMock) -> None:
    client = build_client(clock, role_name="wanted-role")
    serve(wire, clock, answer=404, name="wanted-role")
    with pytest.raises(errors.RoleMismatchError, match=r"'wanted-role'.*'app-role'") as caught:
        fetch(client, clock)
    assert (caught.value.requested, caught.value.attached) == ("wanted-role", "app-role")


@pytest.mark.parametrize("is_named", [False, True])
def test_role_without_credentials_is_no_mismatch(
    clock: MovableClock, wire: responses.RequestsMock, is_named: bool
) -> None:
    client = build_client(clock, role_name="app-role" if is_named else None)
    serve(wire, clock, answer=404)
    told = "names the role 'app-role', but returned 404"
    with pytest.raises(errors.MalformedResponseError, match=told):
        fetch(client, clock)


def test_role_named_but_none_attached(clock: MovableClock, wire: responses.RequestsMock) -> None:
    client = build_client(clock, role_name="wanted-role")
    serve(wire, clock, role=404, answer=404, name="wanted-role")
    with pytest.raises(errors.NoRoleAttachedError):
        fetch(client, clock)


def test_role_changed_between_two_requests(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.get(ROLES_URL, body="old-role")
    wire.get(ROLES_URL, body="new-role")
    wire.get(ROLES_URL + "old-role", status=404)
    wire.get(ROLES_URL + "new-role", body=document(clock))
    assert fetch(client, clock).role_name == "new-role"


# Validation


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"AccessKeyId": ...}, "no AccessKeyId"),
        ({"AccessKeySecret": None}, "no AccessKeySecret"),
        ({"SecurityToken": 7}, "no SecurityToken"),
        ({"SecurityToken": ""}, "SecurityToken is empty"),
        ({"AccessKeyId": "STS.FAKE\n0001"}, "AccessKeyId is empty"),
        ({"AccessKeySecret": "fake-secret \x00"}, "AccessKeySecret is empty"),
        ({"AccessKeySecret": "fake-secrét"}, "AccessKeySecret is empty"),
        ({"SecurityToken": "x" * 16385}, "too long"),
        ({"Code": ...}, "no Code"),
        ({"Code": "Failed"}, "Code is Failed"),
        ({"Code": "success"}, "Code is success"),
        ({"Code": None}, "Code is something else"),
        ({"Code": "fake\nlines"}, "Code is something else"),
        ({"Expiration": ...}, "Expiration"),
        ({"Expiration": "2030-01-01T06:00:00+00:00"}, "Expiration"),
        ({"Expiration": "2030-02-30T06:00:00Z"}, "Expiration"),
        ({"Expiration": "２０３０-01-01T06:00:00Z"}, "Expiration"),  # noqa: RUF001
        ({"Expiration": "2030-01-01T06:00:00Z\n"}, "Expiration"),
        ({"Expiration": 1893456000}, "Expiration"),
    ],
)
def test_documents_that_are_not_believed(
    client: MetadataClient,
    clock: MovableClock,
    wire: responses.RequestsMock,
    changes: dict[str, Any],
    problem: str,
) -> None:
    serve(wire, clock, answer=document(clock, **changes))
    with pytest.raises(errors.MalformedResponseError, match=problem) as caught:
        fetch(client, clock)
    assert not [part for part in SECRET_PARTS if part in str(caught.value)]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html><body>Not a document</body></html>",
        "[]",
        "null",
        '"text"',
        "[" * 60000,
        "{" + '"a":' * 9000,
        b"\xff\xfe{}",
        "1" * 5000,
    ],
)
def test_bodies_that_are_no_document(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, body: Any
) -> None:
    serve(wire, clock, answer=body)
    with pytest.raises(errors.MalformedResponseError, match="no JSON"):
        fetch(client, clock)


@pytest.mark.parametrize("last_updated", [..., None, "nonsense", "2099-01-01T00:00:00Z"])
def test_last_updated_does_not_matter(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, last_updated: Any
) -> None:
    serve(wire, clock, answer=document(clock, LastUpdated=last_updated))
    assert fetch(client, clock).expires_in() == 21599


def test_strangers_words_are_quoted_in_part_only(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    serve(wire, clock, role="n" * 100, answer=document(clock, Code="c" * 100))
    with pytest.raises(errors.MalformedResponseError) as caught:
        fetch(client, clock)
    assert "100 bytes that are not a valid name" in str(caught.value)
    assert "nnn" not in str(caught.value)
    wire.replace("GET", ROLES_URL, body="app-role")
    with pytest.raises(errors.MalformedResponseError) as caught:
        fetch(client, clock)
    assert f" {'c' * 40}, " in str(caught.value)


def test_oversized_answer(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    serve(wire, clock, answer="x" * 10_000_000)
    with pytest.raises(errors.MalformedResponseError, match="too long"):
        fetch(client, clock)


@pytest.mark.parametrize("token", ["", "two\nlines", "a b", "tökén", "x" * 4097])
def test_session_tokens_that_are_not_believed(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, token: str
) -> None:
    serve(wire, clock, token=token)
    with pytest.raises(errors.MalformedResponseError, match="not a session token"):
        fetch(client, clock)
    assert len(wire.calls) == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399])
def test_redirect_is_not_followed(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, status: int
) -> None:
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.get(ROLES_URL, status=status, headers={"Location": "http://127.0.0.2/elsewhere"})
    with pytest.raises(errors.MalformedResponseError, match="redirected"):
        fetch(client, clock)
    assert len(wire.calls) == 2


@pytest.mark.parametrize("status", [204, 400, 418])
def test_statuses_that_mean_nothing(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, status: int
) -> None:
    serve(wire, clock, answer=status)
    with pytest.raises(errors.MalformedResponseError, match=str(status)):
        fetch(client, clock)


@pytest.mark.parametrize(
    ("bad", "wanted"),
    [
        ({"token": 418}, "request for a session token"),
        ({"role": 418}, "request for the role's name"),
        ({"answer": 418}, "request for the role's credentials"),
    ],
)
def test_error_says_which_request_was_answered_badly(
    client: MetadataClient,
    clock: MovableClock,
    wire: responses.RequestsMock,
    bad: dict[str, Any],
    wanted: str,
) -> None:
    serve(wire, clock, **bad)
    with pytest.raises(errors.MalformedResponseError, match=wanted):
        fetch(client, clock)


def test_the_longest_values_are_believed(clock: MovableClock, wire: responses.RequestsMock) -> None:
    client = build_client(clock)
    longest = {
        "AccessKeyId": "k" * 128,
        "AccessKeySecret": "s" * 256,
        "SecurityToken": "t" * 16384,
    }
    serve(wire, clock, token="f" * 4096, answer=document(clock, **longest))
    assert len(fetch(client, clock).security_token) == 16384


def test_the_shortest_values_are_believed(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    shortest = {"AccessKeyId": "k", "AccessKeySecret": "s", "SecurityToken": "t"}
    serve(wire, clock, answer=document(clock, **shortest))
    assert fetch(client, clock).access_key_id == "k"


# Whose clock


@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0])
def test_remaining_life_goes_by_the_services_clock(
    clock: MovableClock, wire: responses.RequestsMock, skew: float
) -> None:
    client = MetadataClient(
        Settings(), clock=clock, wall_clock=lambda: clock.wall() + _seconds(skew)
    )
    serve(wire, clock)
    # A second is taken off for the fraction that the Date header leaves out.
    assert fetch(client, clock).expires_in() == 21599


def test_without_a_date_the_instances_clock_counts(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    serve(wire, clock, date=False)
    assert fetch(client, clock).expires_in() == 21600


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 32 Foo 2030 99:00:00 GMT", "0"])
def test_date_that_makes_no_sense_is_not_heeded(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, date: str
) -> None:
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.get(ROLES_URL, body="app-role")
    wire.get(ROLES_URL + "app-role", body=document(clock), headers={"Date": date})
    assert fetch(client, clock).expires_in() == 21600


def test_date_of_decades_ago_does_not_make_credentials_live_for_decades(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.get(ROLES_URL, body="app-role")
    headers = {"Date": "Thu, 01 Jan 1970 00:00:00 -0000"}
    wire.get(ROLES_URL + "app-role", body=document(clock), headers=headers)
    assert fetch(client, clock).expires_in() == 12 * 3600


@pytest.mark.parametrize("life", [-1.0, 0.0])
def test_expired_document_is_a_failure(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock, life: float
) -> None:
    serve(wire, clock, answer=document(clock, life=life), date=False)
    with pytest.raises(errors.CredentialsExpiredError, match="attach it again"):
        fetch(client, clock)


# Trying again


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_trouble_is_ridden_out(
    clock: MovableClock, wire: responses.RequestsMock, status: int
) -> None:
    client = build_client(clock, role_name="app-role")
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.get(ROLES_URL + "app-role", status=status)
    wire.get(ROLES_URL + "app-role", status=status)
    wire.get(ROLES_URL + "app-role", body=document(clock))
    fetch(client, clock)
    assert len(wire.calls) == 4
    # Half of 0.2 s, then half of 0.4 s.
    assert clock() == pytest.approx(1000.3)


def test_lasting_trouble_is_an_error(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    serve(wire, clock, role=503)
    with pytest.raises(
        errors.MetadataServiceError, match=r"returned an error \(status 503\)"
    ) as caught:
        fetch(client, clock)
    assert caught.value.status == 503
    assert methods(wire).count("GET /latest/meta-data/ram/security-credentials/") == 3


def test_retry_after_is_waited_for_within_the_deadline(
    clock: MovableClock, wire: responses.RequestsMock
) -> None:
    client = build_client(clock, role_name="app-role")
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.get(ROLES_URL + "app-role", status=429, headers={"Retry-After": "1"})
    wire.get(ROLES_URL + "app-role", body=document(clock))
    fetch(client, clock)
    assert clock() == 1001.0


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("30", 30.0),
        ("2", 2.0),
        ("0", 0.0),
        ("9" * 9, 999_999_999.0),
        ("9" * 10, None),
        ("9" * 400, None),
        ("soon", None),
        ("-1", None),
        ("²", None),
    ],
)
def test_retry_after_beyond_the_deadline_is_passed_on(
    clock: MovableClock, wire: responses.RequestsMock, header: str, told: float | None
) -> None:
    client = build_client(clock, role_name="app-role")
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.get(ROLES_URL + "app-role", status=429, headers={"Retry-After": header})
    with pytest.raises(errors.MetadataServiceError, match="throttled the request") as caught:
        fetch(client, clock)
    assert caught.value.retry_after == told


def test_connection_dropped_by_the_server_is_tried_again_unseen(
    clock: MovableClock, wire: responses.RequestsMock
) -> None:
    client = build_client(clock, role_name="app-role")
    dropped = requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError()))
    wire.put(TOKEN_URL, body="fake-session-token-1")
    wire.get(ROLES_URL + "app-role", body=dropped)
    wire.get(ROLES_URL + "app-role", body=document(clock))
    fetch(client, clock)
    assert clock() == 1000.0


def test_refused_connection_is_not_tried_again(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    refused = requests.ConnectionError(NewConnectionError(None, "refused"))  # type: ignore[arg-type]
    serve(wire, clock, token=refused)
    with pytest.raises(
        errors.MetadataUnreachableError, match="does not run on an ECS instance"
    ) as caught:
        fetch(client, clock)
    assert "refused" in str(caught.value)
    assert "refused" in str(caught.value.__cause__)
    assert len(wire.calls) == 1


def test_what_speaks_no_http_is_told_apart_from_no_answer(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    babble = requests.ConnectionError(
        ProtocolError("Connection aborted.", BadStatusLine("SSH-2.0"))
    )
    serve(wire, clock, token=babble)
    with pytest.raises(errors.MalformedResponseError, match="is not HTTP") as caught:
        fetch(client, clock)
    assert "Check what is listening" in str(caught.value)
    # What was answered may be a secret: nothing of it is quoted, or chained.
    assert "(BadStatusLine)" in str(caught.value)
    assert "SSH-2.0" not in f"{caught.value} {caught.value.__cause__!r}"
    assert caught.value.__cause__ is not None
    assert caught.value.__cause__.__cause__ is None
    assert len(wire.calls) == 1


def test_slow_answers_share_one_time_limit(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    def take_a_second(body: str) -> Callable[[Any], tuple[int, dict[str, str], str]]:
        def answer(_: Any) -> tuple[int, dict[str, str], str]:
            clock.advance(1)
            return 200, {}, body

        return answer

    wire.add_callback("PUT", TOKEN_URL, take_a_second("fake-session-token-1"))
    wire.add_callback("GET", ROLES_URL, take_a_second("app-role"))
    with pytest.raises(errors.MetadataUnreachableError, match="in time"):
        fetch(client, clock)
    assert len(wire.calls) == 2
    # Each may take what is left; connecting, half of that.
    limits = [call.request.req_kwargs["timeout"] for call in wire.calls]  # type: ignore[attr-defined]
    assert [(limit.connect_timeout, limit.total) for limit in limits] == [(1.0, 2.0), (0.5, 1.0)]


def test_session_of_ones_own_is_used(clock: MovableClock, wire: responses.RequestsMock) -> None:
    session = requests.Session()
    session.headers["User-Agent"] = "one-of-ones-own"
    client = MetadataClient(Settings(), session=session, clock=clock, wall_clock=clock.wall)
    serve(wire, clock)
    fetch(client, clock)
    assert {call.request.headers["User-Agent"] for call in wire.calls} == {"one-of-ones-own"}


def test_session_token_is_kept_out_of_sight(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    serve(wire, clock)
    fetch(client, clock)
    assert "<not shown>" in repr(vars(client))
    assert "fake-session-token" not in repr(vars(client))


def test_after_a_fork_a_session_token_of_its_own_is_asked_for(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    client.forget_connections()  # before there are any, too
    serve(wire, clock)
    fetch(client, clock)
    client.forget_connections()
    assert client.mode is None
    fetch(client, clock)
    assert methods(wire).count("PUT /latest/api/token") == 2


def test_no_error_shows_a_secret(
    client: MetadataClient, clock: MovableClock, wire: responses.RequestsMock
) -> None:
    serve(wire, clock, answer=document(clock, Code="fake-secret"[:4]))
    with pytest.raises(errors.MalformedResponseError) as caught:
        fetch(client, clock)
    assert not [part for part in SECRET_PARTS if part in repr(caught.value)]
