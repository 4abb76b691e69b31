"""The fake metadata service without a socket, on the ``responses`` package."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.metadata.service import FakeMetadataService
from ecs_role_creds.testing.redirect import forget_credentials_of

try:
    import requests
    import responses
    from urllib3.exceptions import ProtocolError
except ImportError as error:
    raise ImportError(
        "fake_metadata needs responses: pip install 'ecs-role-creds[testing]'"
    ) from error

if TYPE_CHECKING:
    from responses import RequestsMock

DEFAULT_ENDPOINT = "http://100.100.100.200"


class _EveryRequest(responses.CallbackResponse):
    """Responds to all requests to one endpoint, with any method and path."""

    def __init__(self, endpoint: str, callback: Callable[[Any], Any]) -> None:
        super().__init__("*", re.compile(re.escape(endpoint) + "/.*"), callback)

    def matches(self, request: Any) -> tuple[bool, str]:
        is_match = self._url_matches(self.url, str(request.url))
        return is_match, "" if is_match else "URL does not match"

    @property
    def call_count(self) -> int:
        # A RequestsMock fails on exit if a registered response was not called. But whether a client
        # calls the metadata service depends on its cache; use assert_requests() to check it.
        return max(1, super().call_count)


def fake_metadata(
    mock: RequestsMock | None = None, *, endpoint: str = DEFAULT_ENDPOINT, **options: Any
) -> FakeMetadataService:
    """Fake the metadata service with the package ``responses``, without a socket.

    Call it inside ``responses.activate``, or with your own ``RequestsMock``. It behaves like
    :class:`FakeMetadataServer` and uses the same code. Where that hangs or sends one byte at a
    time, this raises the client's timeout at once. A second call for the same endpoint replaces the
    first fake. It applies only to clients that use ``requests``, in this process.

    Each call empties the caches of the providers of this endpoint, so that they fetch from the new
    fake. Call it after the mock has started: providers that poll fetch at once. The caches outlive
    the mock; after the last one, call :func:`~ecs_role_creds.testing.forget_credentials`.

    >>> import requests, responses
    >>> with responses.RequestsMock() as mock:
    ...     metadata = fake_metadata(mock)
    ...     path = "/latest/meta-data/ram/security-credentials/"
    ...     print(requests.get("http://100.100.100.200" + path).text)
    app-role

    Args:
        mock: The mock to register with; by default that of ``responses.activate``.
        endpoint: The address to fake.
        **options: The arguments of :class:`FakeMetadataServer`, without ``host`` and ``port``.

    Returns:
        The service, with the controls and records of :class:`FakeMetadataServer`.

    Raises:
        ValueError: An option is invalid.
    """
    service = FakeMetadataService(**options)

    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        headers = {name.lower(): value for name, value in request.headers.items()}
        response = service.handle(Request(request.method, request.path_url, headers))
        return _given(response)

    target = responses.mock if mock is None else mock
    every_request = _EveryRequest(endpoint, answer)
    target.remove(every_request)  # one for the same endpoint
    target.add(every_request)
    forget_credentials_of(endpoint)
    return service


def _given(response: Response) -> tuple[int, dict[str, str], bytes]:
    if response.conduct == "reset":
        reset = ConnectionResetError(104, "Connection reset by peer")
        raise requests.ConnectionError(ProtocolError("Connection aborted.", reset))
    if response.conduct in ("hang", "drip"):
        raise requests.ReadTimeout("the fake metadata service does not answer in time")
    if response.delay:
        time.sleep(response.delay)
    return response.status, dict(response.headers), response.body
