"""The provider: what applications hold, and hand to their client SDKs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from ecs_role_creds import sharing
from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.clock import Clock, WallClock, boottime, draw, utc_now
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.flight import start_daemon_thread
from ecs_role_creds.metadata import MetadataClient
from ecs_role_creds.polling import PollingSwitch
from ecs_role_creds.settings import DEFAULT_DEADLINE, MAX_SESSION_TOKEN_TTL, Settings

if TYPE_CHECKING:
    import requests


class ProviderStatus(NamedTuple):
    """A provider's figures, for health checks and metrics. Holds no secret.

    Attributes:
        role_name: The role the cached credentials belong to; ``None`` before the first.
        expiration: When they expire, by the service's clock.
        expires_in: Seconds until then; 0 without valid credentials.
        next_request_in: Seconds until the service may be asked again; 0: at the next call.
        is_refreshing: Whether a fetch is under way.
        is_polling: Whether a thread keeps them fresh.
        fetches: Documents fetched so far by this process.
        rotations: How many of them held new credentials.
        failures: Fetches that failed in a row, up to now.
        last_failure: What the last of these says.
        mode: ``"hardening"`` or ``"normal"``, as last found.
    """

    role_name: str | None
    expiration: datetime | None
    expires_in: float
    next_request_in: float
    is_refreshing: bool
    is_polling: bool
    fetches: int
    rotations: int
    failures: int
    last_failure: str | None
    mode: str | None


class Runtime(NamedTuple):
    """What a provider takes from its surroundings; tests pass their own.

    Attributes:
        clock: Reads seconds; must not stand still while the instance is suspended.
        wall_clock: The instance's time of day; used where the service does not tell its own.
        sleep: Waits between two tries of a request.
        random: Draws from [0, 1), for jitter.
        session: The HTTP session; ``None``: one that uses no proxy, cookie or ``.netrc``.
        start_thread: Runs a function on another thread, and tells whether it could.
    """

    clock: Clock = boottime
    wall_clock: WallClock = utc_now
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = draw
    session: requests.Session | None = None
    start_thread: Callable[[Callable[[], object]], bool] = start_daemon_thread


class EcsRamRoleCredentialsProvider:
    """Provides the STS credentials of the ECS instance's RAM role, for as long as it is held.

    Pass it as it is to ``oss2.ProviderAuthV4``, to ``alibabacloud_credentials.client.Client``, and
    to whatever else asks a provider for credentials; or call :meth:`get_credentials`.

    Building one asks nothing and starts nothing; the first call fetches. Providers with equal
    settings share one cache, so building one for every request is cheap. Safe to use from any
    number of threads and event loops, and after a fork. Pickles as its settings.

    Args:
        role_name: The role the instance must have; by default whichever it has. Else from
            ``ALIBABA_CLOUD_ECS_METADATA``.
        endpoint: The metadata service, ``http://HOST[:PORT]``. Else from
            ``ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT``, else ``http://100.100.100.200``.
        deadline: Seconds a call waits at the most when there are no valid credentials.
        disable_imds_v1: Whether to rule out the normal mode. Else from
            ``ALIBABA_CLOUD_IMDSV1_DISABLED``, else ``False``: it is then used where the service
            does not offer the security hardening mode.
        session_token_ttl: Seconds for which session tokens of that mode are asked, 1 to 21600.
        runtime: Clock, randomness, HTTP session and threads to use instead of the real ones. A
            provider that is given some has a cache of its own, and does not pickle.

    Raises:
        ConfigurationError: A setting cannot be used; the message names the argument or variable.
        MetadataDisabledError: ``ALIBABA_CLOUD_ECS_METADATA_DISABLED`` is ``true``.
    """

    def __init__(
        self,
        role_name: str | None = None,
        *,
        endpoint: str | None = None,
        deadline: float = DEFAULT_DEADLINE,
        disable_imds_v1: bool | None = None,
        session_token_ttl: int = MAX_SESSION_TOKEN_TTL,
        runtime: Runtime | None = None,
    ) -> None:
        settings = Settings.resolve(
            role_name,
            endpoint=endpoint,
            deadline=deadline,
            disable_imds_v1=disable_imds_v1,
            session_token_ttl=session_token_ttl,
        )
        self._take(settings, runtime)

    def _take(self, settings: Settings, runtime: Runtime | None) -> None:
        self._settings = settings
        self._runtime = runtime
        if runtime is None:
            runtime = Runtime()
            self._cache = sharing.shared_cache(
                settings, lambda on_landing: _build_cache(settings, Runtime(), on_landing)
            )
        else:
            self._cache = sharing.track(_build_cache(settings, runtime, lambda: None))
        self._clock = runtime.clock
        self._polling = PollingSwitch(self._cache, runtime.clock)

    def get_credentials(self) -> Credentials:
        """Credentials that are valid now, as one immutable snapshot.

        Costs next to nothing while there are any: whatever else has to be done is done behind the
        caller's back. Only where there are none does the caller wait for the service.

        Returns:
            The credentials; use all parts of one snapshot together, and ask anew for each request.

        Raises:
            CredentialsError: There are no valid credentials, and the service gave none in time.
        """
        record = self._cache.record
        clock = self._clock
        if clock() < record.hot_until:
            return record.credentials
        return self._cache.get()

    async def get_credentials_async(self) -> Credentials:
        """The same, without ever blocking the event loop.

        Cancelling a call that waits disturbs no other.

        Raises:
            CredentialsError: As :meth:`get_credentials`.
        """
        record = self._cache.record
        clock = self._clock
        if clock() < record.hot_until:
            return record.credentials
        return await self._cache.get_async()

    def refresh(self) -> Credentials:
        """Fetch now, whatever the cache holds; where a fetch is under way, wait for that one.

        Returns:
            The credentials as the service has them now.

        Raises:
            CredentialsError: The fetch failed. Credentials that are still valid are kept.
        """
        return self._cache.refresh()

    def invalidate(self, credentials: Credentials) -> None:
        """Fetch anew at the next call, because a service refused these credentials.

        Without effect if they are no longer the cached ones. If the metadata service confirms
        them, they go on being served, and refusing them again is heeded less and less often: from
        once a second down to once a minute.

        Args:
            credentials: The ones that were refused, as this provider returned them.
        """
        self._cache.invalidate(credentials)

    def start_polling(self) -> None:
        """Keep the credentials fresh by a thread, traffic or not, until :meth:`stop_polling`.

        Counts: as many stops as starts end it. It also ends when nobody holds the provider any
        more, and does not live on in a forked child.
        """
        self._polling.start()

    def stop_polling(self) -> None:
        """Undo one :meth:`start_polling`. Does not wait for a fetch under way."""
        self._polling.stop()

    @contextlib.contextmanager
    def polling(self) -> Iterator[EcsRamRoleCredentialsProvider]:
        """Keep the credentials fresh by a thread inside a ``with`` block."""
        self.start_polling()
        try:
            yield self
        finally:
            self.stop_polling()

    def status(self) -> ProviderStatus:
        """Figures for health checks. Asks nothing, waits for nothing."""
        is_refreshing = self._cache.is_refreshing  # before the state, which then has the outcome
        state, now = self._cache.record.state, self._clock()
        credentials = state.credentials
        return ProviderStatus(
            role_name=credentials.role_name if credentials else None,
            expiration=credentials.expiration if credentials else None,
            expires_in=max(0.0, state.expires_at - now),
            next_request_in=max(0.0, state.ask_at - now),
            is_refreshing=is_refreshing,
            is_polling=self._polling.is_on,
            fetches=self._cache.fetches,
            rotations=self._cache.rotations,
            failures=state.failures,
            last_failure=str(state.failure) if state.failure else None,
            mode=self._cache.mode,
        )

    # The names other SDKs call.

    get_credential = get_credentials
    get_credential_async = get_credentials_async

    def get_provider_name(self) -> str:
        """``"ecs_ram_role"``; alibabacloud-credentials asks, and sends it along."""
        return Credentials.provider_name

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # not built yet: shown by who reports a bad setting
            return object.__repr__(self)
        return (
            f"{type(self).__name__}({self._settings.role_name!r}, "
            f"endpoint={self._settings.endpoint!r})"
        )

    def __getstate__(self) -> Settings:
        if self._runtime is not None:
            raise TypeError(
                "A provider with a runtime of its own (clock, HTTP session, ...) does not pickle; "
                "build it where it is needed"
            )
        return self._settings

    def __setstate__(self, settings: Settings) -> None:
        self._take(settings, None)


def _build_cache(
    settings: Settings, runtime: Runtime, on_landing: Callable[[], None]
) -> CredentialsCache:
    client = MetadataClient(
        settings,
        session=runtime.session,
        clock=runtime.clock,
        wall_clock=runtime.wall_clock,
        sleep=runtime.sleep,
        random=runtime.random,
    )
    return CredentialsCache(
        client,
        deadline=settings.deadline,
        on_landing=on_landing,
        clock=runtime.clock,
        random=runtime.random,
        start_thread=runtime.start_thread,
    )


_default: EcsRamRoleCredentialsProvider | None = None


def default_provider() -> EcsRamRoleCredentialsProvider:
    """The provider with the settings of the environment, built at the first call.

    Raises:
        ConfigurationError: A setting cannot be used.
        MetadataDisabledError: ``ALIBABA_CLOUD_ECS_METADATA_DISABLED`` is ``true``.
    """
    global _default
    if _default is None:
        _default = EcsRamRoleCredentialsProvider()
    return _default


def get_credentials() -> Credentials:
    """The instance role's credentials, from :func:`default_provider`.

    Raises:
        CredentialsError: As :meth:`EcsRamRoleCredentialsProvider.get_credentials`.
    """
    return default_provider().get_credentials()


def forget_shared() -> None:
    """Forget the default provider and all cached credentials, for tests.

    Providers built from now on start cold; those that exist keep what they have.
    """
    global _default
    _default = None
    sharing.forget_shared()
