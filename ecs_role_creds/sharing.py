"""One cache for equal settings in this process, and the reset of all caches after a fork."""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable
from weakref import WeakSet, WeakValueDictionary

from cachetools import TLRUCache

from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.clock import boottime
from ecs_role_creds.flight import wake_after_fork
from ecs_role_creds.settings import Settings

MAX_KEPT = 1024

# Reentrant: a signal handler or a finalizer may build a provider on the thread that holds it.
# Not of threading, which gevent patches: greenlets and native threads that contend for gevent's
# locks may wait forever. It is never held for longer than a few lookups.
_lock = _thread.RLock()

# All caches that are referenced somewhere ...
_caches: WeakSet[CredentialsCache] = WeakSet()
_shared: WeakValueDictionary[Settings, CredentialsCache] = WeakValueDictionary()


def _worth_keeping_until(_: Settings, cache: CredentialsCache, __: float) -> float:
    state = cache.latest().state
    return max(state.expires_at, state.ask_at)


# ... and the shared ones, referenced or not, each until its credentials have expired and its next
# fetch is due. So an application that builds a provider for every request does not fetch each time.
def _none_kept() -> TLRUCache[Settings, CredentialsCache]:
    return TLRUCache(maxsize=MAX_KEPT, ttu=_worth_keeping_until, timer=boottime)


_kept = _none_kept()


def shared_cache(
    settings: Settings, build: Callable[[Callable[[], None]], CredentialsCache]
) -> CredentialsCache:
    """Return the cache of these settings.

    Args:
        settings: The settings.
        build: Builds the cache if there is none. Its argument is a function that the cache must
            call after each fetch.
    """
    with _lock:
        cache = _shared.get(settings)
    if cache is None:
        new = track(build(lambda: _keep(settings)))
        with _lock:
            cache = _shared.setdefault(settings, new)
    return cache


def track(cache: CredentialsCache) -> CredentialsCache:
    """Register a cache, so that it is reset in forked children."""
    with _lock:
        _caches.add(cache)
    return cache


def forget_shared(endpoint: str | None = None) -> None:
    """Forget all shared caches, or those of one endpoint, for tests.

    New providers start with an empty cache.
    """
    with _lock:
        for settings in {*_shared, *_kept}:
            if endpoint in (None, settings.endpoint):
                _shared.pop(settings, None)
                _kept.pop(settings, None)


def _keep(settings: Settings) -> None:
    with _lock:
        cache = _shared.get(settings)
        if cache is not None:
            _kept[settings] = cache


def _after_fork_in_child() -> None:
    global _lock, _kept
    if _lock.acquire(blocking=False):
        _lock.release()
    else:  # a thread of the parent holds it, and may have been changing what is kept
        _lock, _kept = _thread.RLock(), _none_kept()
    problem: Exception | None = None
    for cache in list(_caches):
        try:
            cache.reset_after_fork()
        except Exception as error:  # noqa: BLE001 (of an application's session, for example)
            problem = error  # the other caches are reset all the same
    if problem is not None:
        raise problem  # the interpreter prints it, and goes on


# The lock is not held across the fork: other functions that are called before a fork may wait, and
# with gevent for a greenlet of a thread that waits for this lock.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
    os.register_at_fork(after_in_child=wake_after_fork)
