"""A provider of a developer's own credentials, for development on a laptop.

The default credentials chain of alibabacloud-credentials finds them: environment variables, OIDC,
profiles of the aliyun CLI, the shared credentials file. With the ARN of a role, that role is
assumed.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, MutableMapping
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.clock import Clock, WallClock, boottime, utc_now
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import ConfigurationError, CredentialsError
from ecs_role_creds.flight import Flight
from ecs_role_creds.health import Health, health_of
from ecs_role_creds.polling import PollingSwitch
from ecs_role_creds.status import ProviderStatus, status_of

DEADLINE = 20.0
"""Seconds for one fetch. An OIDC or CloudSSO login takes longer than a metadata request."""

ASSUMED_LIFE = 15 * 60
"""Seconds. The chain refreshes credentials before they expire, but does not say when they expire.
So clients are told that they expire after this time, and fetch again."""

_ROLE_ARN = re.compile(r"acs:ram::\d+:role/([A-Za-z0-9.@_-]{1,64})")
_QUOTED_ANSWER = re.compile(r"""["'](AccessKeySecret|SecurityToken|access_key_secret|sts_token)""")
_DEFAULT_ROLE_NAME = "default-chain"


class Found(Protocol):
    """Credentials from alibabacloud-credentials."""

    def get_access_key_id(self) -> str | None:
        """Return the AccessKey id."""
        ...

    def get_access_key_secret(self) -> str | None:
        """Return the AccessKey secret."""
        ...

    def get_security_token(self) -> str | None:
        """Return the security token; ``None`` for a long-lived AccessKey pair."""
        ...


class DefaultChain:
    """Fetches credentials from alibabacloud-credentials, for the cache.

    Args:
        find: Returns the current credentials, or raises.
        role_name: The role name that clients see.
        clock: Reads seconds.
        wall_clock: Returns the time of day.
    """

    mode = None

    def __init__(
        self,
        find: Callable[[], Found],
        role_name: str,
        clock: Clock = boottime,
        wall_clock: WallClock = utc_now,
    ) -> None:
        self._find = find
        self._role_name = role_name
        self._clock = clock
        self._wall_clock = wall_clock

    def fetch(self, until: float) -> Credentials:
        """Fetch once from the chain.

        Args:
            until: Ignored, since the chain has its own timeouts.

        Raises:
            CredentialsError: It found no credentials, or only a long-lived AccessKey pair.
        """
        try:
            found = self._find()
        except Exception as error:  # noqa: BLE001 (whatever the SDKs and profiles raise)
            raise CredentialsError(
                f"The default credentials chain found no credentials: {_explain(error)} Check "
                "the profile with `aliyun configure list`, or set ALIBABA_CLOUD_ACCESS_KEY_ID "
                "and ALIBABA_CLOUD_ACCESS_KEY_SECRET."
            ) from None
        key_id, secret = found.get_access_key_id(), found.get_access_key_secret()
        token = found.get_security_token()
        if not key_id or not secret:
            raise CredentialsError(
                "The default credentials chain found an empty AccessKey id or secret. Check the "
                "profile with `aliyun configure list`."
            )
        if not token:
            raise CredentialsError(
                "The default credentials chain found a long-lived AccessKey pair. Only temporary "
                "credentials are served. Name a role to assume with --assume-role ARN."
            )
        now = self._wall_clock()
        told = getattr(found, "get_expiration", lambda: None)()
        expiration = (
            datetime.fromtimestamp(told, timezone.utc)
            if told
            else (now + timedelta(seconds=ASSUMED_LIFE)).replace(microsecond=0)
        )
        left = (expiration - now).total_seconds()
        return Credentials(
            key_id,
            secret,
            token,
            expiration,
            self._role_name,
            expires_at=self._clock() + left,
            clock=self._clock,
        )

    def pending_import(self) -> Flight[bool] | None:
        """Return ``None``: the SDK is imported before the chain is built."""
        return None

    def take_warning(self) -> str | None:
        """Return ``None``: there are no warnings."""
        return None

    def forget_connections(self) -> None:
        """Do nothing: the chain opens a connection for each request."""


class DefaultChainProvider:
    """Caches and refreshes a developer's credentials for the sidecar.

    Args:
        source: Where the credentials come from.
        clock: Reads seconds.
    """

    def __init__(self, source: DefaultChain, clock: Clock = boottime) -> None:
        self._cache = CredentialsCache(source, deadline=DEADLINE, clock=clock)
        self._clock = clock
        self._polling = PollingSwitch(self._cache, clock)

    def get_credentials(self) -> Credentials:
        """Return valid credentials.

        Raises:
            CredentialsError: There are none, and none could be fetched.
        """
        return self._cache.get()

    def refresh(self) -> Credentials:
        """Fetch now; if a fetch is in progress, wait for that one.

        Raises:
            CredentialsError: The fetch failed. Credentials that are still valid are kept.
        """
        return self._cache.refresh()

    @contextlib.contextmanager
    def polling(self) -> Iterator[DefaultChainProvider]:
        """Refresh the credentials on a thread inside a ``with`` block."""
        self._polling.start()
        try:
            yield self
        finally:
            self._polling.stop()

    def health(self) -> Health:
        """Return whether there are valid credentials, without waiting."""
        self._cache.start_if_due()
        return health_of(self._cache.latest().state, self._clock())

    def status(self) -> ProviderStatus:
        """Return figures for health checks."""
        return status_of(self._cache, self._clock(), is_polling=self._polling.is_on)


def default_chain_provider(
    role_arn: str | None = None,
    *,
    session_name: str | None = None,
    environ: MutableMapping[str, str] = os.environ,
) -> DefaultChainProvider:
    """Build a provider of the developer's own credentials.

    Args:
        role_arn: The role to assume, ``acs:ram::ACCOUNT:role/NAME``; default: none.
        session_name: The session name in ActionTrail; default: ``ecs-role-creds``.
        environ: The environment of this process. It is changed so that the chain does not use the
            metadata service or a credentials URI: both could be this very server.

    Raises:
        ConfigurationError: ``role_arn`` is not the ARN of a role.
        ImportError: alibabacloud-credentials is not installed.
    """
    role_name = _DEFAULT_ROLE_NAME if role_arn is None else _role_name(role_arn)
    environ["ALIBABA_CLOUD_ECS_METADATA_DISABLED"] = "true"  # read when the SDK is imported
    environ.pop("ALIBABA_CLOUD_CREDENTIALS_URI", None)
    from alibabacloud_credentials.provider import (
        DefaultCredentialsProvider,
        RamRoleArnCredentialsProvider,
    )

    chain: Any = DefaultCredentialsProvider()
    if role_arn is not None:
        chain = RamRoleArnCredentialsProvider(
            credentials_provider=chain,
            role_arn=role_arn,
            role_session_name=session_name or "ecs-role-creds",
        )
    return DefaultChainProvider(DefaultChain(chain.get_credentials, role_name))


def _role_name(role_arn: str) -> str:
    match = _ROLE_ARN.fullmatch(role_arn)
    if match is None:
        error = ConfigurationError(
            f"{role_arn!r:.200} is not the ARN of a RAM role; write it as "
            "acs:ram::1234567890123456:role/my-role"
        )
        error.source = "--assume-role"
        raise error
    return match[1]


def _explain(error: Exception) -> str:
    """Return the SDK's message, unless it quotes a response that may contain secrets."""
    text = " ".join(str(error).split())
    if _QUOTED_ANSWER.search(text):
        return f"{type(error).__name__}."
    return f"{text[:600]}."
