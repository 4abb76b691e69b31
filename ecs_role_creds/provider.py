"""The provider: applications build it and pass it to their client SDKs."""

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

# For ecs_role_creds.testing.redirect: all providers that are referenced somewhere (by id, because a
# subclass may not be hashable), and the runtimes of endpoints that do not use the default one.
_living: WeakValueDictionary[int, EcsRamRoleCredentialsProvider] = WeakValueDictionary()
_runtimes: dict[str, Runtime] = {}


class EcsRamRoleCredentialsProvider:
    """Fetches, caches and refreshes the STS credentials of the ECS instance's RAM role.

    Pass the provider to a client SDK, for example ``oss2.ProviderAuthV4(provider)`` or
    ``alibabacloud_credentials.client.Client(provider=provider)``. Without a client SDK, call
    :meth:`get_credentials` for each request.

    >>> provider = EcsRamRoleCredentialsProvider()
    >>> credentials = provider.get_credentials()
    >>> credentials.role_name
    'app-role'

    Building a provider sends no request and starts no thread; the first call fetches. Providers
    with equal settings share one cache, so an application may build one for every request. Every
    method may be called from any thread, in signal handlers, and in forked children.

    A copy or a pickle contains the settings only: no credentials, no callbacks, no polling, and
    none of the attributes that a subclass adds. In another process, it fetches its own credentials.

    Args:
        role_name: The role the instance must have: its name, not its ARN. By default the
            environment variable ``ALIBABA_CLOUD_ECS_METADATA``, or the role the instance has.
        endpoint: The metadata service, ``http://HOST`` or ``http://HOST:PORT``. By default the
            environment variable ``ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT``, or
            ``http://100.100.100.200``.
        deadline: The maximum number of seconds that a call waits for the service; more than 0, at
            most 60. The first call of a process also imports the HTTP client, which is not counted.
        disable_imds_v1: Whether the normal mode (IMDSv1) is disabled. By default the environment
            variable ``ALIBABA_CLOUD_IMDSV1_DISABLED``, or ``False``. If it is not disabled, it is
            used only if the service does not support the security hardening mode (IMDSv2).
        session_token_ttl: The requested life of session tokens of the hardening mode, in whole
            seconds; 1 to 21600.
        runtime: Clock, randomness, HTTP session and threads, for tests. A provider with a runtime
            has its own cache and cannot be pickled or copied.

    Raises:
        ConfigurationError: A setting has an invalid value. The message names the argument or
            environment variable.
        MetadataDisabledError: ``ALIBABA_CLOUD_ECS_METADATA_DISABLED`` is ``true``.
        TypeError: ``runtime`` is not a :class:`~ecs_role_creds.provider.Runtime`.
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
        if runtime is not None and not isinstance(runtime, Runtime):
            raise TypeError(f"runtime takes a Runtime, not {_kind_of(runtime)}")
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
        """Use this cache from now on."""
        self._cache = cache
        self._clock = self._runtime_or_default.clock
        self._polling = PollingSwitch(cache, self._clock)
        cache.audience.add(self._callbacks)

    def get_credentials(self) -> Credentials:
        """Return credentials that are valid now, as one immutable snapshot.

        If a refresh is due, it runs in the background, and the cached credentials are returned. A
        call waits, for at most ``deadline`` seconds, only if there are no valid credentials, if a
        service refused them (see :meth:`invalidate`), or if they expire within a minute and no call
        has tried to refresh them yet.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> credentials = provider.get_credentials()
        >>> f"valid for another {credentials.expires_in() / 3600:.1f} hours"
        'valid for another 6.0 hours'

        Returns:
            The credentials. Use all parts of one snapshot together, and call again for each
            request.

        Raises:
            CredentialsError: There are no valid credentials, and the service returned none in time.
                The subclass tells the kind of failure.
        """
        record = self._cache.record
        clock = self._clock
        if clock() < record.hot_until:
            return record.credentials
        return self._cache.get()

    async def get_credentials_async(self) -> Credentials:
        """Like :meth:`get_credentials`, without blocking the event loop.

        Cancelling one call does not affect the others that wait for the same fetch.

        >>> import asyncio
        >>> provider = EcsRamRoleCredentialsProvider()
        >>> asyncio.run(provider.get_credentials_async()).role_name
        'app-role'

        Returns:
            The credentials.

        Raises:
            CredentialsError: As :meth:`get_credentials`.
        """
        record = self._cache.record
        clock = self._clock
        if clock() < record.hot_until:
            return record.credentials
        return await self._cache.get_async()

    def get_credentials_nowait(self) -> Credentials:
        """Return the cached credentials, without waiting.

        For code that runs in an event loop but cannot await, such as the signer of an asyncio
        client. If a refresh is due, it is started in the background.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> credentials = provider.get_credentials()
        >>> provider.get_credentials_nowait() == credentials
        True

        Returns:
            The credentials.

        Raises:
            CredentialsError: There are no valid credentials at this moment. This includes the
                first call of a process: await :meth:`get_credentials_async` first, or use
                :meth:`polling`.
        """
        record = self._cache.record
        clock = self._clock
        if clock() < record.hot_until:
            return record.credentials
        return self._cache.get_nowait()

    def refresh(self) -> Credentials:
        """Fetch now, even if the cached credentials are valid.

        If a fetch is in progress already, wait for that one. The service may return the same
        credentials again: it rotates them on its own schedule.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> provider.refresh().role_name
        'app-role'

        Returns:
            The credentials that the service has now. They are valid.

        Raises:
            CredentialsError: The fetch failed. Credentials that are still valid are kept.
        """
        return self._cache.refresh()

    async def refresh_async(self) -> Credentials:
        """Like :meth:`refresh`, without blocking the event loop.

        >>> import asyncio
        >>> provider = EcsRamRoleCredentialsProvider()
        >>> asyncio.run(provider.refresh_async()).role_name
        'app-role'

        Returns:
            The credentials that the service has now.

        Raises:
            CredentialsError: As :meth:`refresh`.
        """
        return await self._cache.refresh_async()

    def invalidate(self, credentials: Credentials) -> None:
        """Report that a service refused these credentials: the next call fetches.

        Callers then wait for one fetch:

        - If it returns new credentials, callers get these.
        - If the instance no longer has a role, or has a different one than ``role_name``, the
          refused credentials are dropped, and callers get that error.
        - If the metadata service returns the same credentials or cannot be reached, callers get the
          refused credentials again, and further refusals of them take effect less often: from once
          per second to once per minute.

        If the credentials are no longer the cached ones, nothing happens.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> old = provider.get_credentials()
        >>> ecs_metadata.expire()  # in a test: OSS refuses them from now on
        >>> provider.invalidate(old)
        >>> provider.get_credentials() == old
        False

        Args:
            credentials: The refused ones, as this provider returned them.

        Raises:
            TypeError: ``credentials`` is not a :class:`Credentials`.
        """
        if not isinstance(credentials, Credentials):
            raise TypeError(
                "invalidate() takes the Credentials that a service refused, as get_credentials() "
                f"returned them, not {_kind_of(credentials)}"
            )
        self._cache.invalidate(credentials)

    def wait(self, timeout: float) -> Credentials:
        """Wait until there are valid credentials, for example while an instance boots.

        Failed fetches are retried with exponential backoff, so a role that is attached in the
        meantime is found.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> provider.wait(30).role_name
        'app-role'

        Args:
            timeout: How many seconds to wait; 0: one attempt; ``math.inf``: no limit. The last
                attempt may end up to ``deadline`` seconds later.

        Returns:
            The credentials.

        Raises:
            CredentialsError: The last failure, after ``timeout`` seconds.
            MetadataDisabledError: At once, because waiting would not help.
            TypeError: ``timeout`` is not a number.
        """
        until = self._clock() + _seconds("wait", timeout)
        while True:
            try:
                return self.get_credentials()
            except CredentialsError as error:
                self._runtime_or_default.sleep(self._pause_before_retry(error, until))

    async def wait_async(self, timeout: float) -> Credentials:
        """Like :meth:`wait`, without blocking the event loop.

        >>> import asyncio
        >>> provider = EcsRamRoleCredentialsProvider()
        >>> asyncio.run(provider.wait_async(30)).role_name
        'app-role'

        Args:
            timeout: As for :meth:`wait`.

        Returns:
            The credentials.

        Raises:
            CredentialsError: As :meth:`wait`.
            TypeError: ``timeout`` is not a number.
        """
        import asyncio

        until = self._clock() + _seconds("wait_async", timeout)
        while True:
            try:
                return await self.get_credentials_async()
            except CredentialsError as error:
                await asyncio.sleep(self._pause_before_retry(error, until))

    def _pause_before_retry(self, error: CredentialsError, until: float) -> float:
        """Return the seconds until the next attempt; raise the error if there is no time left."""
        now = self._clock()
        if not now < until or isinstance(error, MetadataDisabledError):  # also if until is NaN
            raise error
        return min(max(MIN_PAUSE, self._cache.latest().state.ask_at - now), until - now)

    def on_rotation(self, callback: Callable[[Credentials], object]) -> Callable[[], None]:
        """Call a function with the new credentials after each rotation and after the first fetch.

        For clients that accept only static keys: build the client again in the callback. The
        callback runs on the thread of the refresh, after the new credentials are in the cache. An
        exception in it is logged. A refresh needs a call or :meth:`polling`: without either, there
        is no callback. Callbacks end with the provider, so keep a reference to it.

        >>> import queue
        >>> rotations = queue.Queue()
        >>> provider = EcsRamRoleCredentialsProvider()
        >>> remove = provider.on_rotation(rotations.put)
        >>> credentials = provider.get_credentials()
        >>> rotations.get(timeout=10) == credentials
        True
        >>> remove()

        Args:
            callback: Called with the new :class:`Credentials`. A slow callback delays the other
                callbacks and, while polling, the next refresh.

        Returns:
            A function that removes the callback.

        Raises:
            TypeError: ``callback`` cannot be called.
        """
        if not callable(callback):
            raise TypeError(f"on_rotation() takes a function, not {_kind_of(callback)}")
        return self._callbacks.add(callback)

    def start_polling(self) -> None:
        """Start a thread that refreshes the credentials, even if nothing requests them.

        Calls are counted: polling ends after as many calls of :meth:`stop_polling`. It also ends
        with the provider, so keep a reference to it. A forked child does not poll.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> provider.start_polling()
        >>> provider.status().is_polling
        True
        >>> provider.stop_polling()

        Raises:
            RuntimeError: No thread can be started. The call is not counted.
        """
        self._polling.start()

    def stop_polling(self) -> None:
        """Undo one :meth:`start_polling`. Does not wait for a fetch in progress.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> provider.start_polling()
        >>> provider.stop_polling()
        >>> provider.status().is_polling
        False
        """
        self._polling.stop()

    def polling(self) -> Polling:
        """Refresh the credentials on a thread inside a ``with`` or ``async with`` block.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> with provider.polling():
        ...     provider.status().is_polling
        True

        Returns:
            A context manager that calls :meth:`start_polling` and :meth:`stop_polling`.

        Raises:
            RuntimeError: On entering the block: no thread can be started.
        """
        return Polling(self)

    def health(self) -> Health:
        """Return whether the provider can return credentials, without waiting.

        If a fetch is due, it is started in the background, and the next check sees its outcome.
        :meth:`check_health` waits instead.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> provider.health().condition
        'not-started'
        >>> credentials = provider.get_credentials()
        >>> provider.health().condition
        'ok'

        Returns:
            The health of the provider.
        """
        self._cache.start_if_due()
        return health_of(self._cache.latest().state, self._clock())

    def check_health(self) -> Health:
        """Return whether the provider can return credentials; fetch them first if needed.

        It waits only if :meth:`get_credentials` would: for at most ``deadline`` seconds.

        >>> EcsRamRoleCredentialsProvider().check_health().is_healthy
        True

        Returns:
            The health of the provider. A failed fetch is part of it and raises nothing.
        """
        with contextlib.suppress(CredentialsError):
            self.get_credentials()
        return health_of(self._cache.latest().state, self._clock())

    async def check_health_async(self) -> Health:
        """Like :meth:`check_health`, without blocking the event loop.

        >>> import asyncio
        >>> provider = EcsRamRoleCredentialsProvider()
        >>> asyncio.run(provider.check_health_async()).is_healthy
        True

        Returns:
            The health of the provider.
        """
        with contextlib.suppress(CredentialsError):
            await self.get_credentials_async()
        return health_of(self._cache.latest().state, self._clock())

    def status(self) -> ProviderStatus:
        """Return figures for metrics and debugging. Sends no request and does not wait.

        >>> provider = EcsRamRoleCredentialsProvider()
        >>> credentials = provider.get_credentials()
        >>> provider.status().rotations
        1

        Returns:
            The figures of this provider's cache, which providers with equal settings share.
        """
        return status_of(self._cache, self._clock(), is_polling=self._polling.is_on)

    # The names that other SDKs use. They call the methods above, which a subclass may override.

    def get_credential(self) -> Credentials:
        """Call :meth:`get_credentials`. The product SDKs use this name.

        >>> EcsRamRoleCredentialsProvider().get_credential().type
        'sts'

        Raises:
            CredentialsError: As :meth:`get_credentials`.
        """
        return self.get_credentials()

    async def get_credential_async(self) -> Credentials:
        """Call :meth:`get_credentials_async`. The product SDKs use this name.

        >>> import asyncio
        >>> asyncio.run(EcsRamRoleCredentialsProvider().get_credential_async()).type
        'sts'

        Raises:
            CredentialsError: As :meth:`get_credentials`.
        """
        return await self.get_credentials_async()

    def get_provider_name(self) -> str:
        """Return ``"ecs_ram_role"``. alibabacloud-credentials reads it and sends it to services.

        >>> EcsRamRoleCredentialsProvider().get_provider_name()
        'ecs_ram_role'
        """
        return Credentials.provider_name

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # not built yet, in a traceback of a bad setting
            return object.__repr__(self)
        return (
            f"{type(self).__name__}({self._settings.role_name!r}, "
            f"endpoint={self._settings.endpoint!r})"
        )

    def __getstate__(self) -> Settings:
        if self._runtime is not None:
            raise TypeError(
                "A provider with a runtime (clock, HTTP session, ...) cannot be pickled or copied. "
                "Build a new one instead."
            )
        return self._settings

    def __setstate__(self, settings: Settings) -> None:
        self._has_explicit_endpoint = settings.endpoint != DEFAULT_ENDPOINT
        self._take(settings.arriving(), None)


class Polling:
    """Refreshes a provider's credentials on a thread inside a ``with`` or ``async with`` block.

    >>> with EcsRamRoleCredentialsProvider().polling() as provider:
    ...     credentials = provider.get_credentials()
    """

    def __init__(self, provider: EcsRamRoleCredentialsProvider) -> None:
        self._provider = provider

    def __enter__(self) -> EcsRamRoleCredentialsProvider:
        self._provider.start_polling()
        return self._provider

    def __exit__(self, *error: object) -> None:
        self._provider.stop_polling()

    async def __aenter__(self) -> EcsRamRoleCredentialsProvider:
        with contextlib.suppress(CredentialsError):  # it takes too long; the poller waits for it
            await self._provider._cache.import_http_client_async()
        self._provider._polling.start(import_limit=0.0)
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


def _seconds(method: str, value: object) -> float:
    # float() also takes a string, which is more likely a mistake.
    if isinstance(value, (bool, str, bytes)) or not hasattr(type(value), "__float__"):
        raise TypeError(f"{method}() takes a number of seconds, not {_kind_of(value)}")
    return float(value)  # type: ignore[arg-type]


def _kind_of(value: object) -> str:
    """The type of a wrong argument, for an error message."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


_default: dict[str, EcsRamRoleCredentialsProvider] = {}


def default_provider() -> EcsRamRoleCredentialsProvider:
    """Return the provider with the settings of the environment. It is built at the first call.

    >>> default_provider().get_credentials().role_name
    'app-role'
    >>> default_provider() is default_provider()
    True

    Returns:
        The same provider at each call.

    Raises:
        ConfigurationError: An environment variable has an invalid value.
        MetadataDisabledError: ``ALIBABA_CLOUD_ECS_METADATA_DISABLED`` is ``true``.
    """
    provider = _default.get("provider")
    if provider is None:
        provider = _default.setdefault("provider", EcsRamRoleCredentialsProvider())
    return provider


def get_credentials() -> Credentials:
    """Return the credentials of the instance's RAM role, from :func:`default_provider`.

    >>> credentials = get_credentials()
    >>> credentials.role_name
    'app-role'

    Returns:
        The credentials, as :meth:`EcsRamRoleCredentialsProvider.get_credentials` returns them.

    Raises:
        CredentialsError: As :meth:`EcsRamRoleCredentialsProvider.get_credentials`, or as
            :func:`default_provider`.
    """
    return default_provider().get_credentials()


def forget_shared() -> None:
    """Forget the default provider and all cached credentials, for tests.

    Providers built from now on start with an empty cache; existing ones keep their credentials.
    """
    _default.clear()
    sharing.forget_shared()
