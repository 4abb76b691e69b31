"""The fake metadata service without a socket, on the ``responses`` package."""

from __future__ import annotations

import re
import time
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


def fake_metadata(
    mock: RequestsMock | None = None, *, endpoint: str = DEFAULT_ENDPOINT, **options: Any
) -> FakeMetadataService:
    """Have ``responses`` answer for the metadata service.

    Call it inside ``responses.activate`` (or with a ``RequestsMock`` of your own). The behaviour is
    that of :class:`FakeMetadataServer`, from the same code; what hangs or drips becomes the
    time-out that the client would see, at once.

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

    target = responses if mock is None else mock
    for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
        target.add_callback(method, re.compile(re.escape(endpoint) + "/.*"), answer)
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
