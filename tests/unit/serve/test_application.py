"""What each path answers, without a socket."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support import MovableClock, fake_credentials
from support.unhurried import unhurried

from ecs_role_creds import Credentials, ProviderStatus
from ecs_role_creds.errors import (
    CredentialsError,
    MetadataUnreachableError,
    NoRoleAttachedError,
    RoleMismatchError,
)
from ecs_role_creds.health import Health
from ecs_role_creds.serve.application import (
    ROLE_PATH,
    TOKEN_HEADER,
    TOKEN_PATH,
    TTL_HEADER,
    Application,
)
from ecs_role_creds.serve.client_secrets import AWS_PATH, CREDENTIALS_PATH, Secrets
from ecs_role_creds.serve.exchange import Request, Response
from ecs_role_creds.serve.session_tokens import SessionTokens

SECRETS = Secrets("u" * 43, "a" * 43)
LOCAL = {"host": "127.0.0.1:8460"}
URI = CREDENTIALS_PATH + SECRETS.credentials_path


class ScriptedProvider:
    """Gives credentials, or raises an error."""

    def __init__(self, outcome: Credentials | Exception) -> None:
        self.outcome = outcome

    def get_credentials(self) -> Credentials:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def status(self) -> ProviderStatus:
        is_valid = isinstance(self.outcome, Credentials)
        return ProviderStatus(
            role_name="app-role" if is_valid else None,
            expiration=self.outcome.expiration if isinstance(self.outcome, Credentials) else None,
            expires_in=self.outcome.expires_in() if isinstance(self.outcome, Credentials) else 0.0,
            next_request_in=5.0,
            is_refreshing=False,
            is_polling=True,
            fetches=3,
            rotations=2,
            failures=0 if is_valid else 4,
            last_failure=None if is_valid else str(self.outcome),
            mode="hardening",
            is_refused=False,
        )

    def health(self) -> Health:
        if isinstance(self.outcome, Exception):
            return Health(False, "no-credentials", str(self.outcome), 0.0)
        return Health(True, "ok", "valid", 60.0)


class Service:
    """An application, its clock, and its provider."""

    def __init__(self, outcome: Credentials | Exception | None = None) -> None:
        self.clock = MovableClock()
        self.credentials = fake_credentials(1, self.clock)
        self.provider = ScriptedProvider(self.credentials if outcome is None else outcome)
        self.application = Application(
            self.provider, SECRETS, session_tokens=SessionTokens(self.clock)
        )

    def ask(self, method: str, path: str, **headers: str) -> Response:
        return self.application.answer(Request(method, path, {**LOCAL, **headers}))

    def session_token(self, ttl: str = "60") -> str:
        response = self.ask("PUT", TOKEN_PATH, **{TTL_HEADER: ttl})
        assert response.status == 200
        return response.body.decode()

    def get(self, path: str) -> Response:
        """By the metadata protocol, with a new session token."""
        return self.ask("GET", path, **{TOKEN_HEADER: self.session_token()})

    @property
    def document(self) -> dict[str, str]:
        return {
            "AccessKeyId": "STS.FAKE0001",
            "AccessKeySecret": "fake-secret-0001",
            "SecurityToken": "fake-security-token-0001",
            "Expiration": f"{self.credentials.expiration:%Y-%m-%dT%H:%M:%SZ}",
            "Code": "Success",
        }


@pytest.fixture
def service() -> Service:
    return Service()


# The metadata protocol.


def test_role_name_and_document(service: Service) -> None:
    assert service.get(ROLE_PATH).body == b"app-role"
    response = service.get(ROLE_PATH + "app-role")
    assert json.loads(response.body) == service.document
    assert response.content_type == "application/json"


def test_the_date_is_the_services_own(service: Service) -> None:
    response = service.get(ROLE_PATH + "app-role")
    date = parsedate_to_datetime(dict(response.headers)["Date"])
    assert date == service.clock.wall()
    assert date.year == 2030  # by the fake's clock, whatever the host's says


@pytest.mark.parametrize("path", [ROLE_PATH, ROLE_PATH + "app-role", "/latest/meta-data/x"])
def test_no_session_token_no_answer(service: Service, path: str) -> None:
    assert service.ask("GET", path).status == 403
    assert service.ask("GET", path, **{TOKEN_HEADER: "nonsense"}).status == 401


def test_a_session_token_ends_with_its_ttl(service: Service) -> None:
    token = service.session_token("60")
    service.clock.advance(59)
    assert service.ask("GET", ROLE_PATH, **{TOKEN_HEADER: token}).status == 200
    service.clock.advance(1)
    assert service.ask("GET", ROLE_PATH, **{TOKEN_HEADER: token}).status == 401


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "x", "1.5", "٣", "9" * 5000])
def test_a_ttl_out_of_range_is_refused(service: Service, ttl: str) -> None:
    assert service.ask("PUT", TOKEN_PATH, **{TTL_HEADER: ttl}).status == 400


def test_a_ttl_must_be_given(service: Service) -> None:
    assert service.ask("PUT", TOKEN_PATH).status == 400


@pytest.mark.parametrize(
    "path", ["/latest/meta-data/region-id", ROLE_PATH + "other-role", ROLE_PATH + "app-role/x"]
)
def test_other_paths_are_not_found(service: Service, path: str) -> None:
    assert service.get(path).status == 404


# The other forms.


def test_credentials_uri(service: Service) -> None:
    assert json.loads(service.ask("GET", URI).body) == service.document


@pytest.mark.parametrize("end", ["", "x", "u" * 42, "u" * 44, "U" * 43, "ü" * 43])
def test_credentials_uri_has_to_be_known(service: Service, end: str) -> None:
    assert service.ask("GET", CREDENTIALS_PATH + end).status == 404


def test_aws_container(service: Service) -> None:
    response = service.ask("GET", AWS_PATH, authorization=SECRETS.aws_token)
    assert json.loads(response.body) == {
        "AccessKeyId": "STS.FAKE0001",
        "SecretAccessKey": "fake-secret-0001",
        "Token": "fake-security-token-0001",
        "Expiration": service.document["Expiration"],
    }


@pytest.mark.parametrize("given", ["", "x", "a" * 42, "Bearer " + "a" * 43, "ü" * 43])
def test_aws_container_wants_its_token(service: Service, given: str) -> None:
    assert service.ask("GET", AWS_PATH, authorization=given).status == 401
    assert service.ask("GET", AWS_PATH).status == 401


def test_health() -> None:
    assert Service().ask("GET", "/healthz").status == 200
    ill = Service(MetadataUnreachableError("It does not answer.")).ask("GET", "/healthz")
    assert ill.status == 503
    assert b"It does not answer." in ill.body


def test_metrics_can_be_read_by_prometheus(service: Service) -> None:
    service.ask("GET", URI)
    service.ask("GET", "/nowhere")
    response = service.ask("GET", "/metrics")
    families = {
        family.name: family for family in text_string_to_metric_families(response.body.decode())
    }
    values = {name: family.samples[0].value for name, family in families.items()}
    assert values["ecs_role_creds_up"] == 1
    assert values["ecs_role_creds_expires_in_seconds"] == 21600
    assert values["ecs_role_creds_fetches"] == 3
    assert values["ecs_role_creds_rotations"] == 2
    assert values["ecs_role_creds_consecutive_failures"] == 0
    expiration = datetime.fromtimestamp(
        values["ecs_role_creds_expiration_timestamp_seconds"], timezone.utc
    )
    assert expiration == service.credentials.expiration
    counted = {
        (sample.labels["endpoint"], sample.labels["status"]): sample.value
        for sample in families["ecs_role_creds_requests"].samples
    }
    assert counted == {("credentials-uri", "200"): 1, ("other", "404"): 1}


def test_metrics_before_the_first_credentials() -> None:
    response = Service(MetadataUnreachableError("down")).ask("GET", "/metrics")
    assert b"ecs_role_creds_up 0.0" in response.body
    assert b"ecs_role_creds_consecutive_failures 4.0" in response.body


# Failures.


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoRoleAttachedError("no role"), 404),
        (RoleMismatchError("another role"), 404),
        (MetadataUnreachableError("down"), 503),
        (CredentialsError("something"), 503),
    ],
)
def test_failures_have_a_status_and_a_reason(error: Exception, status: int) -> None:
    service = Service(error)
    for response in (
        service.get(ROLE_PATH),
        service.get(ROLE_PATH + "app-role"),
        service.ask("GET", URI),
        service.ask("GET", AWS_PATH, authorization=SECRETS.aws_token),
    ):
        assert response.status == status
        assert str(error).encode() in response.body


def test_a_defect_is_answered_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    response = Service(RuntimeError("fake-secret-0001")).ask("GET", URI)
    assert response.status == 500
    assert b"fake-secret" not in response.body
    assert "RuntimeError" in caplog.text
    assert "fake-secret" not in caplog.text


@pytest.mark.parametrize("path", [ROLE_PATH, URI, AWS_PATH, "/healthz", "/metrics", TOKEN_PATH])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "TRACE", "X"])
def test_other_methods_are_not_allowed(service: Service, path: str, method: str) -> None:
    response = service.ask(method, path)
    assert response.status == 405
    assert "Allow" in dict(response.headers)


def test_nothing_with_a_secret_may_be_stored(service: Service) -> None:
    for response in (
        service.ask("PUT", TOKEN_PATH, **{TTL_HEADER: "60"}),
        service.get(ROLE_PATH + "app-role"),
        service.ask("GET", URI),
        service.ask("GET", AWS_PATH, authorization=SECRETS.aws_token),
    ):
        assert dict(response.headers)["Cache-Control"] == "no-store"


HEADER_NAMES = st.sampled_from(
    ["host", "authorization", TTL_HEADER, TOKEN_HEADER, "x-forwarded-for", "accept"]
)
PATHS = st.one_of(
    st.text(max_size=80),
    st.sampled_from([TOKEN_PATH, ROLE_PATH, CREDENTIALS_PATH, AWS_PATH, "/metrics", "/healthz"]),
    st.text(max_size=30).map(lambda end: CREDENTIALS_PATH + end),
    st.text(max_size=30).map(lambda end: ROLE_PATH + end),
)


@unhurried
@given(
    method=st.one_of(st.sampled_from(["GET", "PUT", "HEAD", "POST"]), st.text(max_size=10)),
    path=PATHS,
    headers=st.dictionaries(HEADER_NAMES, st.text(max_size=60), max_size=4),
    is_local=st.booleans(),
)
def test_whoever_knows_no_secret_gets_none(
    method: str, path: str, headers: dict[str, str], is_local: bool
) -> None:
    service = Service()
    request = Request(method, path, {**headers, **(LOCAL if is_local else {})})
    response = service.application.answer(request)
    assert 200 <= response.status < 500
    assert b"fake-s" not in response.body


# WSGI.


def call(service: Service, method: str = "GET", path: str = URI, **environ: Any) -> tuple[Any, ...]:
    started: list[Any] = []
    body = b"".join(
        service.application(
            {
                "REQUEST_METHOD": method,
                "PATH_INFO": path,
                "HTTP_HOST": "127.0.0.1",
                "wsgi.input": io.BytesIO(),
                **environ,
            },
            lambda status, headers: started.extend([status, dict(headers)]),
        )
    )
    return (*started, body)


def test_wsgi(service: Service) -> None:
    status, headers, body = call(service)
    assert status == "200 OK"
    assert headers["Content-Length"] == str(len(body))
    assert json.loads(body) == service.document
    assert call(service, "HEAD") == (status, headers, b"")


@pytest.mark.parametrize(
    "build_environ",
    [
        lambda: {"CONTENT_LENGTH": "1"},
        lambda: {"CONTENT_LENGTH": "x"},
        lambda: {"wsgi.input": io.BytesIO(b"x")},
    ],
)
def test_wsgi_bodies_are_refused(
    service: Service, build_environ: Callable[[], dict[str, Any]]
) -> None:
    assert call(service, **build_environ())[0].startswith("413")


def test_wsgi_an_empty_body_is_none(service: Service) -> None:
    status, *_ = call(
        service,
        "PUT",
        TOKEN_PATH,
        CONTENT_LENGTH="0",
        HTTP_X_ALIYUN_ECS_METADATA_TOKEN_TTL_SECONDS="60",
    )
    assert status == "200 OK"
