"""Answers requests from a provider's credentials, without a socket.

=====================  =================================================================
path                   response
=====================  =================================================================
``/latest/api/token``  PUT: a session token, as from the metadata service
``/latest/meta-data/`` GET with a session token: role name and role document, under
                       ``ram/security-credentials/``
``/credentials/...``   GET: the role document, for ``ALIBABA_CLOUD_CREDENTIALS_URI``; the rest
                       of the path is a secret
``/aws-container``     GET with ``Authorization``: for ``AWS_CONTAINER_CREDENTIALS_FULL_URI``
``/healthz``           GET: 200 while there are valid credentials, else 503
``/metrics``           GET: metrics for Prometheus
=====================  =================================================================
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Protocol

from ecs_role_creds.adapters.generic import aws_container_document, credentials_document
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import CredentialsError, NoRoleAttachedError, RoleMismatchError
from ecs_role_creds.health import Health
from ecs_role_creds.provider import ProviderStatus
from ecs_role_creds.serve.client_secrets import AWS_PATH, CREDENTIALS_PATH, Secrets
from ecs_role_creds.serve.exchange import HostRule, Request, Response, plain, refusal
from ecs_role_creds.serve.metrics import CONTENT_TYPE, RequestCounter, render
from ecs_role_creds.serve.session_tokens import MAX_TTL, SessionTokens

logger = logging.getLogger("ecs_role_creds.serve")

TOKEN_PATH = "/latest/api/token"  # noqa: S105 (a path)
ROLE_PATH = "/latest/meta-data/ram/security-credentials/"
TTL_HEADER = "x-aliyun-ecs-metadata-token-ttl-seconds"
TOKEN_HEADER = "x-aliyun-ecs-metadata-token"  # noqa: S105 (a header's name)
NO_STORE = ("Cache-Control", "no-store")
RETRY_AFTER = ("Retry-After", "1")


class ServedProvider(Protocol):
    """The part of a provider that is used here."""

    def get_credentials(self) -> Credentials:
        """Return valid credentials, or raise :class:`CredentialsError`."""
        ...

    def status(self) -> ProviderStatus:
        """Return figures for health checks."""
        ...

    def health(self) -> Health:
        """Return whether it can serve credentials, without waiting."""
        ...


class Application:
    """A WSGI application that answers requests from a provider's credentials.

    There is no normal mode (IMDSv1): with it, anyone who can make a program on the host fetch a
    URL (SSRF) gets the credentials. A client that cannot send headers uses the credentials URI,
    whose path cannot be guessed.

    Args:
        provider: Where the credentials come from.
        secrets: The secrets that clients authenticate with.
        hosts: The ``Host`` headers that are accepted.
        session_tokens: Issues and checks the session tokens.
    """

    def __init__(
        self,
        provider: ServedProvider,
        secrets: Secrets,
        hosts: HostRule | None = None,
        session_tokens: SessionTokens | None = None,
    ) -> None:
        self._provider = provider
        self._secrets = secrets
        self._hosts = HostRule() if hosts is None else hosts
        self._session_tokens = SessionTokens() if session_tokens is None else session_tokens
        self._requests = RequestCounter()

    def answer(self, request: Request) -> Response:
        """Answer one request, and count it. Never raises."""
        endpoint, handler = self._route(request.path)
        try:
            response = refusal(request, self._hosts) or handler(request)
        except CredentialsError as error:
            response = _failure(error)
        except Exception as error:  # noqa: BLE001 (the server continues)
            # Only the type: message and traceback could contain a secret.
            logger.error("A request failed with an unexpected %s", type(error).__name__)
            response = plain(500, "Internal error.\n")
        self._requests.add(endpoint, response.status)
        return response

    def _route(self, path: str) -> tuple[str, Callable[[Request], Response]]:
        """Return the name of a path in the metrics, and its handler."""
        if path == TOKEN_PATH:
            return "session-token", self._issue_session_token
        if path.startswith("/latest/"):
            return "metadata", self._metadata
        if path.startswith(CREDENTIALS_PATH):
            return "credentials-uri", self._credentials_uri
        if path == AWS_PATH:
            return "aws-container", self._aws_container
        if path == "/healthz":
            return "healthz", self._health
        if path == "/metrics":
            return "metrics", self._metrics
        return "other", _not_found

    # The protocol of the metadata service.

    def _issue_session_token(self, request: Request) -> Response:
        if request.method != "PUT":
            return _method_not_allowed("PUT")
        ttl = request.headers.get(TTL_HEADER, "")
        if not (ttl.isascii() and ttl.isdigit() and 1 <= int(ttl[:9]) <= MAX_TTL):
            return plain(400, f"The header {TTL_HEADER} must be 1 to {MAX_TTL}.\n")
        token = self._session_tokens.issue(int(ttl[:9]))
        return plain(200, token, NO_STORE, (TTL_HEADER, ttl))

    def _metadata(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _method_not_allowed("GET")
        token = request.headers.get(TOKEN_HEADER)
        if token is None:
            return plain(
                403, f"Send the header {TOKEN_HEADER}; get a token with PUT {TOKEN_PATH}.\n"
            )
        if not self._session_tokens.is_valid(token):
            return plain(
                401, f"The session token is invalid or expired; get one with PUT {TOKEN_PATH}.\n"
            )
        path = request.path
        if path.rstrip("/") + "/" == ROLE_PATH:
            return plain(200, self._provider.get_credentials().role_name or "", NO_STORE)
        if path.startswith(ROLE_PATH):
            credentials = self._provider.get_credentials()
            if path[len(ROLE_PATH) :] == credentials.role_name:
                return _document(credentials_document(credentials), credentials)
        return _not_found(request)

    # The other protocols.

    def _credentials_uri(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _method_not_allowed("GET")
        given = request.path[len(CREDENTIALS_PATH) :]
        if not _is_same(given, self._secrets.credentials_path):
            return _not_found(request)
        credentials = self._provider.get_credentials()
        return _document(credentials_document(credentials), credentials)

    def _aws_container(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _method_not_allowed("GET")
        if not _is_same(request.headers.get("authorization", ""), self._secrets.aws_token):
            return plain(
                401, "Send AWS_CONTAINER_AUTHORIZATION_TOKEN in the header Authorization.\n"
            )
        credentials = self._provider.get_credentials()
        return _document(aws_container_document(credentials), credentials)

    def _health(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _method_not_allowed("GET")
        health = self._provider.health()
        status = 200 if health.is_healthy else 503
        return plain(status, f"{health.condition}: {health.reason}\n", NO_STORE)

    def _metrics(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _method_not_allowed("GET")
        text = render(self._provider.status(), self._requests.samples())
        return Response(200, text.encode(), CONTENT_TYPE, (NO_STORE,))

    # WSGI.

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request of the WSGI server."""
        request = request_of(environ)
        response = self.answer(request)
        phrase = HTTPStatus(response.status).phrase
        headers = [("Content-Type", response.content_type), *response.headers]
        headers.append(("Content-Length", str(len(response.body))))
        start_response(f"{response.status} {phrase}", headers)
        return [b"" if request.method == "HEAD" else response.body]


def request_of(environ: dict[str, Any]) -> Request:
    """Return the request in a WSGI environment."""
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    has_body = environ.get("CONTENT_LENGTH") not in (None, "", "0") or bool(
        environ["wsgi.input"].read(1)
    )
    return Request(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, has_body)


def _document(document: dict[str, str], credentials: Credentials) -> Response:
    # Clients compute the remaining life as Expiration minus Date. Expiration is by the service's
    # clock, so Date must be too: the host's clock may be wrong.
    service_time = credentials.expiration - timedelta(seconds=credentials.expires_in())
    date = format_datetime(service_time.replace(microsecond=0), usegmt=True)
    return Response(
        200, json.dumps(document).encode(), "application/json", (NO_STORE, ("Date", date))
    )


def _failure(error: CredentialsError) -> Response:
    if isinstance(error, (NoRoleAttachedError, RoleMismatchError)):
        return plain(404, f"{error}\n")
    return plain(503, f"{error}\n", RETRY_AFTER)


def _is_same(given: str, secret: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode("ascii"))


def _not_found(request: Request) -> Response:
    return plain(404, "Not found.\n")


def _method_not_allowed(allowed: str) -> Response:
    return plain(405, f"Use {allowed}.\n", ("Allow", allowed))
