"""Points the providers of this process at a fake service for a test, and empties their caches.

No other module of the testing kit knows how a provider is built.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone

from ecs_role_creds import provider as providers
from ecs_role_creds import sharing
from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.provider import EcsRamRoleCredentialsProvider, Runtime
from ecs_role_creds.settings import DEFAULT_ENDPOINT, Settings
from ecs_role_creds.testing.clock import VirtualClock

VARIABLES = (
    "ALIBABA_CLOUD_ECS_METADATA",
    "ALIBABA_CLOUD_ECS_METADATA_DISABLED",
    "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT",
    "ALIBABA_CLOUD_IMDSV1_DISABLE",
    "ALIBABA_CLOUD_IMDSV1_DISABLED",
)


def forget_credentials() -> None:
    """Empty the credential caches of this process, so that the next call fetches.

    Call it between two tests, or after you replaced a fake service with another one at the same
    address. It applies to all providers, including those built earlier: they forget credentials,
    session tokens and failures. Providers that poll continue to poll, and fetch at once. Do not
    start or stop polling on another thread during the call. ``default_provider()`` builds a new
    provider at its next call. The outcome of a fetch in progress is not cached; only callers that
    already wait for it get it. The fixture ``ecs_metadata`` empties the caches itself, and
    :func:`fake_metadata` those of its endpoint.

    >>> from ecs_role_creds import default_provider
    >>> credentials = default_provider().get_credentials()
    >>> forget_credentials()
    >>> default_provider().status().fetches
    0
    """
    providers.forget_shared()
    _empty_caches_of(_living_providers())


def forget_credentials_of(endpoint: str) -> None:
    """Empty the caches of the providers of one endpoint, as :func:`forget_credentials` does."""
    sharing.forget_shared(endpoint)
    _empty_caches_of(one for one in _living_providers() if one._settings.endpoint == endpoint)


def _empty_caches_of(living: Iterable[EcsRamRoleCredentialsProvider]) -> None:
    for provider in living:
        _rebuild(provider, provider._settings, provider._polling.starts)


@contextlib.contextmanager
def redirected(
    environment: Mapping[str, str], endpoint: str, clock: Callable[[], float] | None = None
) -> Iterator[None]:
    """Point every provider without an explicit endpoint at a fake service inside the block.

    This includes providers that were built earlier, and providers that poll. They start with empty
    caches, and return to their own endpoint with empty caches after the block. Polling that was
    started inside the block ends with it. Providers with an explicit endpoint or a runtime do not
    change.

    Args:
        environment: The variables to set; the library's other variables are unset.
        endpoint: The fake service that ``environment`` points at.
        clock: The clock of the fake service, for the providers too; ``None``: real time.
    """
    variables = {name: os.environ.pop(name, None) for name in VARIABLES}
    saved = {id(provider): _Saved(provider) for provider in _redirectable_providers()}
    try:
        os.environ.update(environment)
        if clock is not None:
            providers._runtimes[endpoint] = _runtime_on(clock)
        providers.forget_shared()
        _redirect_to(endpoint)
        with _following(clock):
            yield
    finally:
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        providers._runtimes.pop(endpoint, None)
        providers.forget_shared()
        for provider in _redirectable_providers():
            _restore(provider, saved.get(id(provider)), endpoint)


def _redirect_to(endpoint: str) -> None:
    # In its own function: the frame of the caller lives on, and must not keep a provider alive.
    for provider in _redirectable_providers():
        _rebuild(provider, provider._settings._replace(endpoint=endpoint), provider._polling.starts)


class _Saved:
    """The settings of a provider before a block, and how often its polling was started."""

    def __init__(self, provider: EcsRamRoleCredentialsProvider) -> None:
        self.provider = weakref.ref(provider)
        self.settings = provider._settings
        self.starts = provider._polling.starts


def _restore(provider: EcsRamRoleCredentialsProvider, saved: _Saved | None, endpoint: str) -> None:
    if saved is not None and saved.provider() is provider:
        _rebuild(provider, saved.settings, saved.starts)
    elif provider._settings.endpoint == endpoint:
        # Built inside the block. After it, the environment names another endpoint.
        settings = provider._settings._replace(endpoint=_endpoint_of_environment())
        _rebuild(provider, settings, 0)
    else:
        _rebuild(provider, provider._settings, provider._polling.starts)


def _rebuild(provider: EcsRamRoleCredentialsProvider, settings: Settings, starts: int) -> None:
    """Give a provider an empty cache, and have it poll as if started so many times."""
    before = provider._polling
    provider._cache.audience.remove(provider._callbacks)  # a fetch in progress rotates nothing
    provider._take(settings, provider._runtime)
    for _ in range(before.starts):
        before.stop()
    for _ in range(starts):
        provider.start_polling()


def _living_providers() -> list[EcsRamRoleCredentialsProvider]:
    # A copy of the references, since other threads may build providers meanwhile.
    living = (reference() for reference in providers._living.valuerefs())
    return [provider for provider in living if provider is not None]


def _redirectable_providers() -> list[EcsRamRoleCredentialsProvider]:
    return [
        provider
        for provider in _living_providers()
        if provider._runtime is None and not provider._has_explicit_endpoint
    ]


def _endpoint_of_environment() -> str:
    try:
        return Settings.resolve().endpoint
    except CredentialsError:
        return DEFAULT_ENDPOINT


# Virtual time.


def _runtime_on(clock: Callable[[], float]) -> Runtime:
    return Runtime(clock=clock, wall_clock=lambda: datetime.fromtimestamp(clock(), timezone.utc))


@contextlib.contextmanager
def _following(clock: Callable[[], float] | None) -> Iterator[None]:
    """Make providers follow a virtual clock inside the block."""
    if not isinstance(clock, VirtualClock):
        yield
        return

    def on_clock() -> list[EcsRamRoleCredentialsProvider]:
        return [provider for provider in _living_providers() if provider._clock is clock]

    def wait_for_fetches() -> None:
        # A fetch has a deadline on this clock: do not move it by hours during the fetch.
        for provider in on_clock():
            until = time.monotonic() + provider._settings.deadline
            while provider.status().is_refreshing and time.monotonic() < until:
                time.sleep(0.001)

    def poll() -> None:
        # The pollers' threads sleep in real time.
        for provider in on_clock():
            if provider.status().is_polling:
                provider._polling.fetch_if_due()

    with clock.notifying(wait_for_fetches, poll):
        yield
