"""What doctor observed, and its findings. Data only, without secrets.

The one exception is the environment: checks use the names, and print values only of variables that
cannot hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.settings import Settings

Purpose = Literal["session token", "normal mode", "role name", "role document"]
Problem = Literal["timed out", "refused", "closed", "no HTTP", "unknown host", "unreachable"]
Result = Literal["ok", "note", "warning", "failed", "skipped"]


class Exchange(NamedTuple):
    """One request to the metadata service and its response.

    Attributes:
        purpose: What was requested; ``normal mode``: any value, without a session token.
        method: ``GET`` or ``PUT``.
        path: With ``ROLE`` in place of the role's name.
        seconds: From the request to the end of the response, or to the failure.
        status: The HTTP status; ``None`` without a response.
        problem: Why there was no response.
        header_names: The names of the response headers, sorted.
        shape: What the body looks like; see :func:`~.observe.describe_body`.
        date: The service's time, from its ``Date`` header.
        answered_at: The instance's time when the response had arrived.
        role_name: The role name in the response, if it is a valid one.
    """

    purpose: Purpose
    method: str
    path: str
    seconds: float
    status: int | None = None
    problem: Problem | None = None
    header_names: tuple[str, ...] = ()
    shape: str = ""
    date: datetime | None = None
    answered_at: datetime | None = None
    role_name: str | None = None


class Fetched(NamedTuple):
    """The credentials that the library fetched, without the credentials.

    Attributes:
        role_name: Their role, if it is known.
        expiration: When they expire, by the service's clock.
        expires_in: Seconds until then.
    """

    role_name: str | None
    expiration: datetime
    expires_in: float


class Leftover(NamedTuple):
    """A configuration file that contains an AccessKey pair, or cannot be read.

    Attributes:
        path: The file, with ``~`` for the home directory.
        read_by: The programs that read it.
        is_readable: Whether it could be read.
    """

    path: str
    read_by: str
    is_readable: bool = True


class Place(NamedTuple):
    """Where this process runs.

    Attributes:
        container: The kind of container, such as ``Docker``; ``None``: not in a container.
        is_wsl: Whether it is the Windows Subsystem for Linux.
        is_ecs_hardware: Whether the firmware says that the machine is an ECS instance; ``None`` if
            the firmware cannot be read.
    """

    container: str | None = None
    is_wsl: bool = False
    is_ecs_hardware: bool | None = None


class BucketAnswer(NamedTuple):
    """The response of OSS to a signed request.

    Attributes:
        bucket: The bucket in the request.
        status: The HTTP status; ``None`` without a response.
        code: The error code of OSS; empty if it accepted the request.
        right_endpoint: The endpoint of the bucket, according to OSS.
        request_id: The request id of OSS.
        problem: Why no request was sent.
    """

    bucket: str
    status: int | None = None
    code: str = ""
    right_endpoint: str = ""
    request_id: str = ""
    problem: str = ""


class Observations(NamedTuple):
    """Everything that the checks use.

    Attributes:
        environ: The environment.
        settings: The library's settings, or the error of an invalid one.
        place: Where this process runs.
        exchanges: The requests to the metadata service, in order.
        fetched: The credentials, or the error; ``None`` if no fetch was tried.
        leftovers: Files with AccessKey pairs.
        bucket: The response of OSS; ``None`` if no request was sent.
    """

    environ: Mapping[str, str]
    settings: Settings | CredentialsError
    place: Place
    exchanges: tuple[Exchange, ...] = ()
    fetched: Fetched | CredentialsError | None = None
    leftovers: tuple[Leftover, ...] = ()
    bucket: BucketAnswer | None = None

    def exchange(self, purpose: Purpose) -> Exchange | None:
        """Return the request for a purpose, if it was sent."""
        return next((one for one in self.exchanges if one.purpose == purpose), None)

    @property
    def is_reachable(self) -> bool:
        """Whether the metadata service sent any response."""
        return any(one.status is not None for one in self.exchanges)


class Finding(NamedTuple):
    """What a check found.

    Attributes:
        result: ``failed``: no credentials, or requests are refused; ``warning``: it works, but
            something is at risk.
        reason: What was found, in a sentence.
        advice: What to do about it; empty if there is nothing to do.
    """

    result: Result
    reason: str
    advice: str = ""
