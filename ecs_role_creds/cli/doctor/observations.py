"""What doctor has seen, and what it concludes. Data only, without secrets.

The one exception is the environment: checks read names from it, and show values only of variables
that cannot hold a secret.
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
    """One request to the metadata service and what came back.

    Attributes:
        purpose: What was asked for; ``normal mode``: anything, without a session token.
        method: ``GET`` or ``PUT``.
        path: With ``ROLE`` in place of the role's name.
        seconds: From the request to the end of the answer, or to the failure.
        status: The HTTP status; ``None`` without an answer.
        problem: Why there was none.
        header_names: The names of the answer's headers, sorted.
        shape: What the body looks like: see :func:`~.observe.describe_body`.
        date: The service's time, from its ``Date`` header.
        answered_at: The instance's time when the answer had come.
        role_name: What was answered where a role name was asked for, if it can be one.
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
        role_name: Their role, where it is known.
        expiration: Their end, by the service's clock.
        expires_in: Seconds until then.
    """

    role_name: str | None
    expiration: datetime
    expires_in: float


class Leftover(NamedTuple):
    """A file outside the source tree that holds an AccessKey pair, or cannot be read.

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
        container: The kind of container, such as ``Docker``; ``None``: in none.
        is_wsl: Whether it is the Windows Subsystem for Linux.
        is_ecs_hardware: Whether the machine's firmware says it is an ECS instance; ``None`` where
            the firmware cannot be read.
    """

    container: str | None = None
    is_wsl: bool = False
    is_ecs_hardware: bool | None = None


class BucketAnswer(NamedTuple):
    """What OSS answered to a signed request.

    Attributes:
        bucket: The bucket that was asked for.
        status: The HTTP status; ``None`` without an answer.
        code: OSS's error code; empty where it accepted the request.
        right_endpoint: Where OSS says that the bucket is.
        request_id: OSS's id of the request.
        problem: Why there was no request or no answer.
    """

    bucket: str
    status: int | None = None
    code: str = ""
    right_endpoint: str = ""
    request_id: str = ""
    problem: str = ""


class Observations(NamedTuple):
    """All that the checks judge.

    Attributes:
        environ: The environment.
        settings: The library's settings, or why there are none.
        place: Where this process runs.
        exchanges: The requests to the metadata service, in order.
        fetched: The credentials, or why there are none; ``None``: they were not asked for.
        leftovers: Files with AccessKey pairs.
        bucket: What OSS answered; ``None``: it was not asked.
    """

    environ: Mapping[str, str]
    settings: Settings | CredentialsError
    place: Place
    exchanges: tuple[Exchange, ...] = ()
    fetched: Fetched | CredentialsError | None = None
    leftovers: tuple[Leftover, ...] = ()
    bucket: BucketAnswer | None = None

    def exchange(self, purpose: Purpose) -> Exchange | None:
        """The request that was made for a purpose, if it was made."""
        return next((one for one in self.exchanges if one.purpose == purpose), None)

    @property
    def is_reachable(self) -> bool:
        """Whether the metadata service gave an answer, of whatever kind."""
        return any(one.status is not None for one in self.exchanges)


class Finding(NamedTuple):
    """What a check found.

    Attributes:
        result: ``failed``: no credentials, or requests are refused; ``warning``: at risk.
        reason: What is so, in a sentence.
        advice: What to do about it; empty where there is nothing to do.
    """

    result: Result
    reason: str
    advice: str = ""
