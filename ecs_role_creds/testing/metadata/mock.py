"""The fake metadata service without a socket, on the ``responses`` package."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.metadata.service import FakeMetadataService

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
    """Answers every request to one endpoint, whatever its method and path."""

    def __init__(self, endpoint: str, callback: Callable[[Any], Any]) -> None:
        super().__init__("*", re.compile(re.escape(endpoint) + "/.*"), callback)

    def matches(self, request: Any) -> tuple[bool, str]:
        is_match = self._url_matches(self.url, str(request.url))
        return is_match, "" if is_match else "URL does not match"

    @property
    def call_count(self) -> int:
        # A RequestsMock fails on exit for what was registered and not called. Whether the metadata
        # service is asked depends on the caches, and is what assert_requests() is for.
        return max(1, super().call_count)


def fake_metadata(
    mock: RequestsMock | None = None, *, endpoint: str = DEFAULT_ENDPOINT, **options: Any
) -> FakeMetadataService:
    """Have ``responses`` answer for the metadata service.

    Call it inside ``responses.activate``, or with your own ``RequestsMock``. The behaviour is that
    of :class:`FakeMetadataServer`, from the same code; what hangs or drips becomes the time-out
    that the client would see, at once. A second call for the same endpoint replaces the first
    fake; call :func:`~ecs_role_creds.testing.forget_credentials` to have providers ask it.

    Args:
        mock: Where to register; the default one of ``responses`` if left out.
        endpoint: The address to answer for.
        **options: As for :class:`FakeMetadataServer`, without ``host`` and ``port``.

    Returns:
        The service, with the controls and records of :class:`FakeMetadataServer`.
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
