"""The provider: what applications hold, and hand to their client SDKs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from weakref import WeakValueDictionary

from ecs_role_creds import sharing
from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import CredentialsError, MetadataDisabledError
from ecs_role_creds.health import Health, health_of
from ecs_role_creds.metadata import MetadataClient
from ecs_role_creds.polling import PollingSwitch
from ecs_role_creds.reporting import RotationCallbacks
from ecs_role_creds.runtime import Runtime
from ecs_role_creds.schedule import MIN_PAUSE
from ecs_role_creds.settings import (
    DEFAULT_DEADLINE,
    DEFAULT_ENDPOINT,
    MAX_SESSION_TOKEN_TTL,
    Settings,
)
from ecs_role_creds.status import ProviderStatus, status_of

__all__ = [
    "EcsRamRoleCredentialsProvider",
    "Polling",
    "ProviderStatus",
    "Runtime",
    "default_provider",
    "forget_shared",
    "get_credentials",
]

# For ecs_role_creds.testing.redirect: every provider that is referenced somewhere (by id, because a
# subclass may not be hashable), and the runtimes of endpoints that have another than the default.
_living: WeakValueDictionary[int, EcsRamRoleCredentialsProvider] = WeakValueDictionary()
_runtimes: dict[str, Runtime] = {}


class EcsRamRoleCredentialsProvider:
    """Provides the STS credentials of the ECS instance's RAM role, for as long as it is held.

    Pass it as it is to ``oss2.ProviderAuthV4``, to ``alibabacloud_credentials.client.Client``, and
    to whatever else asks a provider for credentials; or call :meth:`get_credentials`.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> credentials = provider.get_credentials()
        >>> credentials.role_name
        'app-role'

    Building one sends no request and starts no thread; the first call fetches. Providers with equal
    settings share one cache, so building one for every request is cheap. Safe to use from any
    number of threads and event loops, and after a fork. Pickles and copies as its settings: a
    subclass with attributes of its own has to store and restore them.

    Args:
        role_name: The role the instance must have; by default whichever it has. Else from
            ``ALIBABA_CLOUD_ECS_METADATA``.
        endpoint: The metadata service, ``http://HOST[:PORT]``. Else from
            ``ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT``, else ``http://100.100.100.200``.
        deadline: How many seconds a call waits, at most, when there are no valid credentials.
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
        self._has_explicit_endpoint = endpoint is not None
        self._take(settings, runtime)

    def _take(self, settings: Settings, runtime: Runtime | None) -> None:
        self._settings = settings
        self._runtime = runtime
        if not hasattr(self, "_callbacks"):  # else the testing kit replaces the cache
            self._callbacks = RotationCallbacks()
        used = self._runtime_or_default = runtime or _runtimes.get(settings.endpoint) or Runtime()
        if runtime is None:
            cache = sharing.shared_cache(
                settings, lambda on_landing: _build_cache(settings, used, on_landing)
            )
        else:
            cache = sharing.track(_build_cache(settings, used, lambda: None))
        self._use(cache)
        _living[id(self)] = self

    def _use(self, cache: CredentialsCache) -> None:
        """Take credentials from this cache from now on."""
        self._cache = cache
        self._clock = self._runtime_or_default.clock
        self._polling = PollingSwitch(cache, self._clock)
        cache.audience.add(self._callbacks)

    def get_credentials(self) -> Credentials:
        """Return credentials that are valid now, as one immutable snapshot.

        With fresh credentials this is one clock read and one comparison. Credentials that are due
        for a refresh are refreshed in the background, and the cached ones are returned. A call
        waits, for ``deadline`` seconds or less, only if there are no valid credentials, if a
        service refused them (see :meth:`invalidate`), or if they are about to expire and nobody has
        asked for new ones yet.

            >>> provider = EcsRamRoleCredentialsProvider()
            >>> one = provider.get_credentials()
            >>> headers = {"x-oss-security-token": one.security_token}
            >>> provider.get_credentials() is one          # cached
            True

        Returns:
            The credentials. Use all parts of one snapshot together, and call again for each
            request.

        Raises:
            CredentialsError: There are no valid credentials, and the service returned none in time.
        """
        record = self._cache.record
        clock = self._clock
        if clock() < record.hot_until:
            return record.credentials
        return self._cache.get()

    async def get_credentials_async(self) -> Credentials:
        """The same, without blocking the event loop.

        Cancelling a call that waits affects no other call.

            >>> import asyncio
            >>> async def main():
            ...     provider = EcsRamRoleCredentialsProvider()
            ...     return await provider.get_credentials_async()
            >>> asyncio.run(main()).role_name
            'app-role'

        Raises:
            CredentialsError: As :meth:`get_credentials`.
        """
        record = self._cache.record
        clock = self._clock
        if clock() < record.hot_until:
            return record.credentials
        return await self._cache.get_async()

    def get_credentials_nowait(self) -> Credentials:
        """Return the cached credentials; never wait.

        For code that runs in an event loop but cannot await, such as the signer of an asyncio
        client. A refresh that is due is started in the background.

            >>> provider = EcsRamRoleCredentialsProvider()
            >>> credentials = provider.wait(60)
            >>> provider.get_credentials_nowait() is credentials
            True

        Raises:
            CredentialsError: There are no valid credentials at this moment. The first call of a
                process raises, too: await :meth:`get_credentials_async` first, or use
                :meth:`polling`.
        """
        record = self._cache.record
        clock = self._clock
        if clock() < record.hot_until:
            return record.credentials
        return self._cache.get_nowait()

    def refresh(self) -> Credentials:
        """Fetch now, even if the cached credentials are valid; join a fetch in progress.

            >>> provider = EcsRamRoleCredentialsProvider()
            >>> provider.refresh().role_name
            'app-role'

        Returns:
            The credentials as the service has them now. They are valid.

        Raises:
            CredentialsError: The fetch failed. Credentials that are still valid are kept.
        """
        return self._cache.refresh()

    async def refresh_async(self) -> Credentials:
        """The same, without blocking the event loop.

            >>> import asyncio
            >>> asyncio.run(EcsRamRoleCredentialsProvider().refresh_async()).role_name
            'app-role'

        Raises:
            CredentialsError: As :meth:`refresh`.
        """
        return await self._cache.refresh_async()

    def invalidate(self, credentials: Credentials) -> None:
        """Tell the provider that a service refused these credentials: fetch at the next call.

        Callers then wait for one fetch. If it brings new credentials, these are used. If the
        instance has no role any more, or another one than ``role_name``, the refused credentials
        are dropped, and callers get that error. If the metadata service confirms the refused
        credentials or cannot be reached, they are served again, :meth:`status` says so, and
        further refusals take effect less and less often: from once a second to once a minute.

        Nothing happens if the credentials are no longer the cached ones.

            >>> provider = EcsRamRoleCredentialsProvider()
            >>> credentials = provider.get_credentials()
            >>> # a service answered SecurityTokenExpired to a request signed with them
            >>> provider.invalidate(credentials)
            >>> new = provider.get_credentials()           # fetches

        Args:
            credentials: The refused ones, as this provider returned them.

        Raises:
            TypeError: ``credentials`` is something else.
        """
        if not isinstance(credentials, Credentials):
            raise TypeError(
                "invalidate() takes the Credentials that a service refused, as get_credentials() "
                f"returned them, not {type(credentials).__name__}"
            )
        self._cache.invalidate(credentials)

    def wait(self, timeout: float) -> Credentials:
        """Wait until there are valid credentials, for example while an instance boots.

        Failed fetches are retried with the same backoff as ever, so a role that is attached in the
        meantime is found.

            >>> EcsRamRoleCredentialsProvider().wait(timeout=120).role_name
            'app-role'

        Args:
            timeout: Seconds to wait; 0 for one attempt.

        Returns:
            The credentials.

        Raises:
            CredentialsError: The last failure, after ``timeout`` seconds.
            MetadataDisabledError: At once; waiting would not help.
        """
        until = self._clock() + timeout
        while True:
            try:
                return self.get_credentials()
            except CredentialsError as error:
                self._runtime_or_default.sleep(self._pause_before_retry(error, until))

    async def wait_async(self, timeout: float) -> Credentials:
        """The same, without blocking the event loop.

            >>> import asyncio
            >>> asyncio.run(EcsRamRoleCredentialsProvider().wait_async(timeout=120)).role_name
            'app-role'

        Raises:
            CredentialsError: As :meth:`wait`.
        """
        import asyncio

        until = self._clock() + timeout
        while True:
            try:
                return await self.get_credentials_async()
            except CredentialsError as error:
                await asyncio.sleep(self._pause_before_retry(error, until))

    def _pause_before_retry(self, error: CredentialsError, until: float) -> float:
        """Return the seconds until the next attempt; raise the error if there is no time left."""
        now = self._clock()
        if not now < until or isinstance(error, MetadataDisabledError):  # NaN ends it, too
            raise error
        return min(max(MIN_PAUSE, self._cache.latest().state.ask_at - now), until - now)

    def on_rotation(self, callback: Callable[[Credentials], object]) -> Callable[[], None]:
        """Call a function with the new credentials after each rotation, the first fetch included.

        For clients that take static keys only: rebuild the client in the callback. It is called on
        the thread of the refresh, after the cache has the new credentials. An exception in it is
        logged. Under :meth:`polling` it is called without traffic, too. Callbacks end with the
        provider: keep a reference to the provider.

            >>> provider = EcsRamRoleCredentialsProvider()
            >>> remove = provider.on_rotation(lambda new: print("rebuild for", new.role_name))
            >>> credentials = provider.refresh()
            rebuild for app-role
            >>> remove()

        Args:
            callback: Called with the new :class:`Credentials`. A callback that takes long delays
                the other callbacks and, under polling, the next refresh.

        Returns:
            A function that ends the calls.

        Raises:
            TypeError: ``callback`` cannot be called.
        """
        if not callable(callback):
            raise TypeError(f"on_rotation() takes a function, not {type(callback).__name__}")
        return self._callbacks.add(callback)

    def start_polling(self) -> None:
        """Keep the credentials fresh with a thread, with or without traffic.

        Counts: polling ends after as many calls of :meth:`stop_polling`. It also ends with the
        provider: keep a reference to it. A forked child does not poll.

            >>> provider = EcsRamRoleCredentialsProvider()
            >>> provider.start_polling()
            >>> provider.status().is_polling
            True
            >>> provider.stop_polling()

        Raises:
            RuntimeError: No thread can be started. The call does not count then.
        """
        self._polling.start()

    def stop_polling(self) -> None:
        """Undo one :meth:`start_polling`. Does not wait for a fetch in progress."""
        self._polling.stop()

    def polling(self) -> Polling:
        """Keep the credentials fresh with a thread inside a ``with`` or ``async with`` block.

        >>> with EcsRamRoleCredentialsProvider().polling() as provider:
        ...     credentials = provider.get_credentials()
        """
        return Polling(self)

    def health(self) -> Health:
        """Return whether the provider can serve credentials, for a health check that never waits.

        If there are none yet, or if they are due, a fetch is started in the background: the next
        check sees its outcome. See :meth:`check_health` for a check that waits.

            >>> provider = EcsRamRoleCredentialsProvider()
            >>> provider.health().condition
            'not-started'
        """
        self._cache.start_if_due()
        return health_of(self._cache.latest().state, self._clock())

    def check_health(self) -> Health:
        """Return whether the provider can serve credentials; fetch them first if needed.

        Waits for ``deadline`` seconds or less, and only where :meth:`get_credentials` would.

            >>> provider = EcsRamRoleCredentialsProvider()
            >>> provider.check_health().is_healthy
            True
        """
        with contextlib.suppress(CredentialsError):
            self.get_credentials()
        return health_of(self._cache.latest().state, self._clock())

    async def check_health_async(self) -> Health:
        """The same, without blocking the event loop.

        >>> import asyncio
        >>> asyncio.run(EcsRamRoleCredentialsProvider().check_health_async()).condition
        'ok'
        """
        with contextlib.suppress(CredentialsError):
            await self.get_credentials_async()
        return health_of(self._cache.latest().state, self._clock())

    def status(self) -> ProviderStatus:
        """Return figures for metrics and debugging. Asks nothing, waits for nothing.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> provider.status().is_refreshing
        False
        """
        return status_of(self._cache, self._clock(), is_polling=self._polling.is_on)

    # The names that other SDKs call. They call the methods above, which a subclass may override.

    def get_credential(self) -> Credentials:
        """The same as :meth:`get_credentials`, under the name that product SDKs call."""
        return self.get_credentials()

    async def get_credential_async(self) -> Credentials:
        """The same as :meth:`get_credentials_async`, under the name that product SDKs call."""
        return await self.get_credentials_async()

    def get_provider_name(self) -> str:
        """Return ``"ecs_ram_role"``; alibabacloud-credentials asks, and sends it along."""
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
                "A provider with a runtime of its own (clock, HTTP session, ...) cannot be "
                "pickled. Build it where it is needed."
            )
        return self._settings

    def __setstate__(self, settings: Settings) -> None:
        self._has_explicit_endpoint = settings.endpoint != DEFAULT_ENDPOINT
        self._take(settings.arriving(), None)


class Polling:
    """Keeps a provider's credentials fresh inside a ``with`` or ``async with`` block."""

    def __init__(self, provider: EcsRamRoleCredentialsProvider) -> None:
        self._provider = provider

    def __enter__(self) -> EcsRamRoleCredentialsProvider:
        self._provider.start_polling()
        return self._provider

    def __exit__(self, *error: object) -> None:
        self._provider.stop_polling()

    async def __aenter__(self) -> EcsRamRoleCredentialsProvider:
        import asyncio

        # Not here: it imports the HTTP client, at its first call.
        await asyncio.to_thread(self._provider.start_polling)
        return self._provider

    async def __aexit__(self, *error: object) -> None:
        self._provider.stop_polling()


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


_default: dict[str, EcsRamRoleCredentialsProvider] = {}


def default_provider() -> EcsRamRoleCredentialsProvider:
    """The provider with the settings of the environment, built at the first call.

        >>> default_provider() is default_provider()
        True

    Raises:
        ConfigurationError: A setting cannot be used.
        MetadataDisabledError: ``ALIBABA_CLOUD_ECS_METADATA_DISABLED`` is ``true``.
    """
    provider = _default.get("provider")
    if provider is None:
        provider = _default.setdefault("provider", EcsRamRoleCredentialsProvider())
    return provider


def get_credentials() -> Credentials:
    """The instance role's credentials, from :func:`default_provider`.

        >>> get_credentials().role_name
        'app-role'

    Raises:
        CredentialsError: As :meth:`EcsRamRoleCredentialsProvider.get_credentials`.
    """
    return default_provider().get_credentials()


def forget_shared() -> None:
    """Forget the default provider and all cached credentials, for tests.

    Providers built from now on start cold; those that exist keep what they have.
    """
    _default.clear()
    sharing.forget_shared()
