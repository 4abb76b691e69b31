"""What a provider adds to a signed request, compared with static keys in the same client."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from itertools import repeat
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import alibabacloud_oss_v2 as oss_v2
import oss2
import requests
from alibabacloud_credentials.client import Client as CredentialsClient
from alibabacloud_credentials.models import Config as CredentialsConfig
from alibabacloud_ecs20140526.client import Client as EcsClient
from alibabacloud_ecs20140526.models import DescribeRegionsRequest
from alibabacloud_oss_v2.transport import RequestsHttpClient
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.core import DaraCore
from peers import ALIBABA, GUIDE, OSS2, OURS, ROLE, Parts, Peer, fresh_start
from report import Section, seconds

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.adapters import alibabacloud_oss_v2, alibabacloud_tea_openapi
from ecs_role_creds.adapters.oss2 import OssCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer

if TYPE_CHECKING:
    from scenarios import Scale

STATIC = "static keys"
BODY = json.dumps({"RequestId": "FAKE", "Regions": {"Region": []}}).encode()


class Canned(requests.adapters.HTTPAdapter):
    """Responds at once, without a network, so that only the client is measured."""

    def send(self, request: Any, **_: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url
        response.headers.update(
            {
                "Content-Length": str(len(BODY)),
                "Content-Type": "application/json",
                "Date": "Wed, 01 Jan 2025 00:00:00 GMT",
                "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT",
                "ETag": '"FAKE"',
            }
        )
        response.raw = io.BytesIO(BODY if request.method != "HEAD" else b"")
        return response


def canned_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", Canned())
    return session


class Held:
    """A getter under the names that the clients call."""

    def __init__(self, get: Callable[[], Any]) -> None:
        self.get_credentials = self.get_credential = get


def call_oss2(provider: Any) -> Callable[[], object]:
    bucket = oss2.Bucket(
        oss2.ProviderAuthV4(provider),
        "http://127.0.0.1",
        "bucket",
        region="cn-fake-1",
        session=oss2.Session(adapter=Canned()),
    )
    bucket.session.session.trust_env = False
    return lambda: bucket.get_object_meta("folder/key")


def call_oss_v2(provider: Any) -> Callable[[], object]:
    config = oss_v2.config.load_default()
    config.credentials_provider = provider
    config.region, config.endpoint = "cn-fake-1", "http://127.0.0.1"
    config.http_client = RequestsHttpClient(session=canned_session())
    client = oss_v2.Client(config)
    asked = oss_v2.GetObjectMetaRequest(bucket="bucket", key="folder/key")
    return lambda: client.get_object_meta(asked)


def call_tea_openapi(provider: Any) -> Callable[[], object]:
    session = canned_session()
    DaraCore._get_session = staticmethod(lambda **_: session)
    client = EcsClient(Config(credential=provider, endpoint="127.0.0.1", protocol="http"))
    asked = DescribeRegionsRequest()
    return lambda: client.describe_regions(asked)


def _static_for_oss2(parts: Parts) -> Any:
    return oss2.StaticCredentialsProvider(*parts)


def _static_for_oss_v2(parts: Parts) -> Any:
    return oss_v2.credentials.StaticCredentialsProvider(*parts)


def _static_for_tea_openapi(parts: Parts) -> Any:
    return CredentialsClient(
        CredentialsConfig(
            type="sts",
            access_key_id=parts.access_key_id,
            access_key_secret=parts.access_key_secret,
            security_token=parts.security_token,
        )
    )


def _for_oss_v2(get: Callable[[], Any]) -> Any:
    def wrapped() -> Any:
        one = get()
        return oss_v2.credentials.Credentials(
            one.get_access_key_id(), one.get_access_key_secret(), one.get_security_token()
        )

    return Held(wrapped)


def _for_tea_openapi(get: Callable[[], Any]) -> Any:
    provider = Held(get)
    provider.get_provider_name = lambda: "ecs_ram_role"  # type: ignore[attr-defined]
    return CredentialsClient(provider=provider)


class Signer(NamedTuple):
    """A client, and who can be passed to it in which shape.

    Attributes:
        build: Makes a call of it.
        static: The client's own provider of static keys.
        adapted: What this library's adapter for the client makes of a provider.
        peers: The others, each with what its getter has to be wrapped in.
    """

    build: Callable[[Any], Callable[[], object]]
    static: Callable[[Parts], Any]
    adapted: Callable[[Any], Any]
    peers: tuple[tuple[Peer, Callable[[Callable[[], Any]], Any]], ...]


SIGNERS = {
    "oss2 V4": Signer(
        call_oss2,
        _static_for_oss2,
        OssCredentialsProvider,
        ((OURS, Held), (OSS2, Held), (ALIBABA, Held), (GUIDE, Held)),
    ),
    "`alibabacloud-oss-v2`": Signer(
        call_oss_v2,
        _static_for_oss_v2,
        alibabacloud_oss_v2.OssCredentialsProvider,
        ((OURS, Held), (ALIBABA, _for_oss_v2)),
    ),
    "`tea-openapi`": Signer(
        call_tea_openapi,
        _static_for_tea_openapi,
        lambda provider: alibabacloud_tea_openapi.config(provider).credential,
        ((OURS, Held), (ALIBABA, _for_tea_openapi)),
    ),
}
CALLS_A_ROUND = 10


def signed_request(scale: Scale) -> Section:
    """A signed request of each client, with static keys and with each provider."""
    rows = []
    for name, signer in SIGNERS.items():
        with fresh_start(), FakeMetadataServer(ROLE) as server:
            shaped = {
                peer.name: shape(peer.build(server.endpoint, False).get)
                for peer, shape in signer.peers
            }
            ours = EcsRamRoleCredentialsProvider(ROLE, endpoint=server.endpoint)
            ours.get_credentials()
            shaped["ecs_role_creds, with its adapter"] = signer.adapted(ours)
            issued = server.issued[0]
            parts = Parts(issued.access_key_id, issued.access_key_secret, issued.security_token)
            calls = {
                who: signer.build(provider)
                for who, provider in {STATIC: signer.static(parts), **shaped}.items()
            }
            rows += _compare(name, calls, 20 if scale.is_quick else 400)
    return Section(
        "signed-request",
        "A signed request",
        "The time to build and sign a request and to read its response, without a network: the "
        "client's own work. The providers take turns in the same client, "
        f"{CALLS_A_ROUND} requests per turn. The table shows the minimum of the means, and the "
        "difference from static keys in the same client.",
        ["client", "credentials", "time per request", "difference"],
        rows,
    )


def _compare(name: str, calls: dict[str, Callable[[], object]], rounds: int) -> list[list[str]]:
    least = dict.fromkeys(calls, inf)
    order = list(calls)
    for _ in range(rounds):
        order.append(order.pop(0))  # nobody always goes first
        for who in order:
            call = calls[who]
            begin = time.perf_counter()
            for _ in repeat(None, CALLS_A_ROUND):
                call()
            least[who] = min(least[who], (time.perf_counter() - begin) / CALLS_A_ROUND)
    floor = least[STATIC]
    return [
        [name, who, seconds(took), "" if who == STATIC else f"{100 * (took / floor - 1):+.1f} %"]
        for who, took in least.items()
    ]
