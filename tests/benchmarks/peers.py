"""What is measured: this library, the floors, and its peers, all with the same interface.

Peers with the metadata service's address built in are pointed at the fake service by the attribute
that holds it. Nothing else about them is changed.
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import alibabacloud_credentials.provider.ecs_ram_role as alibaba
import oss2.credentials
import requests
from alibabacloud_credentials.client import Client
from botocore.credentials import RefreshableCredentials
from botocore.utils import parse_timestamp

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.clock import boottime
from ecs_role_creds.provider import forget_shared
from ecs_role_creds.schedule import Lifetime

ROLE = "app-role"
PATH = "/latest/meta-data/ram/security-credentials/"
HOUR = 3600.0


class Parts(NamedTuple):
    """What a caller makes a signature from."""

    access_key_id: str
    access_key_secret: str
    security_token: str


class Subject(NamedTuple):
    """One provider, built.

    Attributes:
        get: What an application calls for every request.
        age: Moves the cached credentials' life to where so many seconds of it are left.
    """

    get: Callable[[], Any]
    age: Callable[[float], None]


class Peer(NamedTuple):
    """A kind of provider.

    Attributes:
        name: As shown in tables.
        build: Makes one that asks at an endpoint; with time-outs of 1 s if told to be brief.
        parts: Takes apart what ``get`` returns.
        window: Seconds left of the life at which a refresh blocks its callers least.
        off_the_wire: Why its requests are not measured, if so.
        threads_each: Whether each one keeps a thread, so that thousands cannot be built.
    """

    name: str
    build: Callable[[str, bool], Subject]
    parts: Callable[[Any], Parts]
    window: float = 1500.0
    off_the_wire: str | None = None
    threads_each: bool = False


class Floor:
    """The minimum: read a clock, compare, return."""

    def __init__(self, clock: Callable[[], float], credentials: Parts) -> None:
        self._clock = clock
        self._hot_until = clock() + 6 * HOUR
        self._credentials = credentials

    def get_credentials(self) -> Parts:
        clock = self._clock
        if clock() < self._hot_until:
            return self._credentials
        raise AssertionError("benchmarks do not take six hours")


def _floor(clock: Callable[[], float]) -> Callable[[str, bool], Subject]:
    def build(endpoint: str, _: bool) -> Subject:
        document = _document(endpoint)
        parts = Parts(
            document["AccessKeyId"], document["AccessKeySecret"], document["SecurityToken"]
        )
        return Subject(Floor(clock, parts).get_credentials, lambda left: None)

    return build


def _ours(endpoint: str, _: bool) -> Subject:
    provider = EcsRamRoleCredentialsProvider(ROLE, endpoint=endpoint)
    cache: CredentialsCache = provider._cache

    def age(left: float) -> None:
        is_done = False
        while not is_done:
            record, now = cache.latest(), boottime()
            life = Lifetime(now - 6 * HOUR + left, now + left)
            state = record.state._replace(life=life, ask_at=now)
            is_done = cache._replace(record, state, record.flight)

    return Subject(provider.get_credentials, age)


def _oss2(endpoint: str, brief: bool) -> Subject:
    # Its defaults: 3 tries of 10 s.
    timeouts = {"max_retries": 1, "timeout": 1} if brief else {}
    provider = oss2.credentials.EcsRamRoleCredentialsProvider(endpoint + PATH + ROLE, **timeouts)

    def age(left: float) -> None:
        provider.credentials.expiration = int(time.time() + left)

    return Subject(provider.get_credentials, age)


_schedulers: list[Any] = []


class _RecordedScheduler(alibaba.BackgroundScheduler):  # type: ignore[misc]
    """The peer's own scheduler, kept in a list so that its thread can be ended after a scenario."""

    def __init__(self) -> None:
        super().__init__()
        _schedulers.append(self)


def _alibaba_provider(endpoint: str) -> tuple[Any, Callable[[float], None]]:
    alibaba.BackgroundScheduler = _RecordedScheduler
    provider = alibaba.EcsRamRoleCredentialsProvider(role_name=ROLE)
    host = endpoint.removeprefix("http://")
    provider._EcsRamRoleCredentialsProvider__metadata_service_host = host

    def age(left: float) -> None:
        cached = provider._credentials_cache._cached_value
        now = int(time.time())
        cached._stale_time = int(now + left - 900)
        cached._prefetch_time = now

    return provider, age


def _alibaba(endpoint: str, _: bool) -> Subject:
    provider, age = _alibaba_provider(endpoint)
    return Subject(provider.get_credentials, age)


class GettersWrapper(oss2.credentials.CredentialsProvider):  # type: ignore[misc]
    """The wrapper of the OSS guide, in the form that calls three getters."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get_credentials(self) -> oss2.credentials.Credentials:
        access_key_id = self.client.get_access_key_id()
        access_key_secret = self.client.get_access_key_secret()
        security_token = self.client.get_security_token()
        return oss2.credentials.Credentials(access_key_id, access_key_secret, security_token)


class SnapshotWrapper(GettersWrapper):
    """The wrapper of the OSS guide, in the form that calls ``get_credential()``."""

    def get_credentials(self) -> oss2.credentials.Credentials:
        one = self.client.get_credential()
        return oss2.credentials.Credentials(
            one.access_key_id, one.access_key_secret, one.security_token
        )


def _guide(wrapper: type[GettersWrapper]) -> Callable[[str, bool], Subject]:
    def build(endpoint: str, _: bool) -> Subject:
        provider, age = _alibaba_provider(endpoint)
        return Subject(wrapper(Client(provider=provider)).get_credentials, age)

    return build


def _document(endpoint: str) -> dict[str, str]:
    token = requests.put(
        endpoint + "/latest/api/token",
        headers={"X-aliyun-ecs-metadata-token-ttl-seconds": "21600"},
        timeout=1,
    )
    answer = requests.get(
        endpoint + PATH + ROLE,
        headers={"X-aliyun-ecs-metadata-token": token.text},
        timeout=1,
    )
    answer.raise_for_status()
    document: dict[str, str] = answer.json()
    return document


def _botocore(endpoint: str, _: bool) -> Subject:
    # It speaks to AWS's service only; the refresh is a callback, and time-outs are botocore's 1 s.
    def refresh() -> dict[str, str]:
        document = _document(endpoint)
        return {
            "access_key": document["AccessKeyId"],
            "secret_key": document["AccessKeySecret"],
            "token": document["SecurityToken"],
            "expiry_time": parse_timestamp(document["Expiration"]).isoformat(),
        }

    credentials = RefreshableCredentials.create_from_metadata(refresh(), refresh, "benchmark")

    def age(left: float) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        credentials._expiry_time = now + datetime.timedelta(seconds=left)

    return Subject(credentials.get_frozen_credentials, age)


def _by_attributes(one: Any) -> Parts:
    return Parts(one.access_key_id, one.access_key_secret, one.security_token)


def _by_getters(one: Any) -> Parts:
    return Parts(one.get_access_key_id(), one.get_access_key_secret(), one.get_security_token())


OURS = Peer("ecs_role_creds", _ours, _by_attributes)
NO_REQUEST = "sends no request"
FLOOR = Peer("floor: CLOCK_BOOTTIME", _floor(boottime), _by_attributes, off_the_wire=NO_REQUEST)
MONOTONIC = Peer(
    "floor: time.monotonic", _floor(time.monotonic), _by_attributes, off_the_wire=NO_REQUEST
)
OSS2 = Peer("oss2", _oss2, _by_attributes)
ALIBABA = Peer("alibabacloud_credentials", _alibaba, _by_getters, threads_each=True)
GUIDE = Peer("OSS guide, three getters", _guide(GettersWrapper), _by_attributes, threads_each=True)
GUIDE_SNAPSHOT = Peer(
    "OSS guide, get_credential", _guide(SnapshotWrapper), _by_attributes, threads_each=True
)
BOTOCORE = Peer(
    "botocore RefreshableCredentials",
    _botocore,
    lambda one: Parts(one.access_key, one.secret_key, one.token),
    # Its advisory window is 15 minutes; in the last 10 everybody waits.
    window=890.0,
    off_the_wire="supports only the metadata service of AWS, and here refreshes with a callback",
)

EVERY = (FLOOR, MONOTONIC, OURS, OSS2, ALIBABA, GUIDE, GUIDE_SNAPSHOT, BOTOCORE)
REFRESHING = (OURS, OSS2, ALIBABA, GUIDE, GUIDE_SNAPSHOT, BOTOCORE)
ON_THE_WIRE = (OURS, OSS2, ALIBABA, GUIDE, GUIDE_SNAPSHOT)


@contextlib.contextmanager
def fresh_start() -> Iterator[None]:
    """A scenario's round: nothing is cached before it, no peer's thread is left after it."""
    forget_shared()
    try:
        yield
    finally:
        while _schedulers:
            scheduler = _schedulers.pop()
            if scheduler.running:
                scheduler.shutdown(wait=True)
        forget_shared()
        gc.collect()
