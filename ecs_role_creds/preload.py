"""Import the HTTP client, once, before the first fetch.

``requests`` takes longer to import than the metadata service takes to respond, so it is imported at
the first use, and the deadline does not include it. It is imported on its own thread, so that the
import continues while a signal handler interrupts a caller. A fork waits for the import, because
the child would inherit the import locks of a thread that it does not have.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from types import FrameType

from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.flight import Flight, start_daemon_thread

IMPORT_LIMIT = 60.0
"""Seconds to wait for the import. 0.1 s is usual; a few seconds if many processes start at once."""

FORK_LIMIT = 30.0
"""Seconds that a fork waits for the import, which may wait for the thread that forks; and that the
import waits for a fork, which a signal handler may have kept from releasing the lock."""

_TRANSPORT = "ecs_role_creds.transport"
# The packages that it imports, including optional ones: importing them takes their import locks.
_PACKAGES = {"requests", "urllib3", "charset_normalizer", "chardet", "idna", "certifi"}
_PACKAGES |= {"brotli", "brotlicffi", "zstandard", "simplejson", "OpenSSL", "cryptography", "h2"}
# Not site: it imports code of the application (sitecustomize). The HTTP client does not need it.
_STANDARD = sys.stdlib_module_names - {"site"}
_STANDARD_FOLDER = os.path.dirname(os.__file__) + os.sep

_imports: dict[str, Flight[bool]] = {}
_is_imported = False
_lock = threading.RLock()
"""Held by the thread that imports, or forks before the import."""
_holders: dict[int, int] = {}
"""By thread: the ``id()`` of the frame for which it took the lock, or is about to take it."""


def pending_import() -> Flight[bool] | None:
    """Return the import that a caller has to wait for; ``None`` once the client is imported.

    It runs on this thread if no other can be started, or if the call comes from a function that the
    application has registered with ``os.register_at_fork()``: another thread would wait for the
    fork. A failed import counts as finished: the fetch tries again and reports the error.

    Raises:
        CredentialsError: The call comes from inside the import, which cannot end before the call.
    """
    if _is_imported:
        return None
    flight = _imports.setdefault("import", Flight(_import))
    if flight.is_from_parent:  # forked by native code, without the hook below
        _imports.clear()
        flight = _imports.setdefault("import", Flight(_import))
    if flight.is_run_here or _is_inside_import():
        raise CredentialsError(
            "Cannot fetch credentials from inside the import of the HTTP client (requests) or of a "
            "module that it needs, for example in a signal handler that interrupted it. Try again "
            "after the import."
        )
    if _holds_lock():  # inside a fork; a call from inside the import has raised
        with contextlib.suppress(Exception):
            _import_client()
        return None
    if flight.needs_launch and not flight.launch(start_daemon_thread):
        flight.run()
    return None if _is_imported else flight


def _import(flight: Flight[bool]) -> None:
    try:
        _import_client()
    except BaseException as error:
        _imports.pop("import", None)  # the next caller tries again
        if not isinstance(error, Exception):
            raise
    finally:
        flight.finish(_is_imported)


def _import_client() -> None:
    global _is_imported
    lock = _lock
    if not _holds_lock():
        _holders[threading.get_ident()] = id(sys._getframe())
    has_lock = lock.acquire(timeout=FORK_LIMIT)
    try:
        import encodings.idna  # noqa: F401 (used at the first lookup of a host name)

        import ecs_role_creds.transport  # noqa: F401
    finally:
        if has_lock:
            lock.release()
    _is_imported = True


def _is_inside_import() -> bool:
    """Whether this thread is importing the HTTP client, somewhere up its stack."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code.co_name == "_find_and_load":
            name = frame.f_locals.get("name", "")
            package = name.partition(".")[0]
            if name == _TRANSPORT or package in _PACKAGES:
                return True
            if package in _STANDARD and not _is_of_application(name):
                return True
    return False


def _is_of_application(name: str) -> bool:
    """Whether a module with a standard name is the application's own, such as its secrets.py."""
    origin = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)
    return origin is not None and os.sep in origin and not origin.startswith(_STANDARD_FOLDER)


def _holds_lock() -> bool:
    return _lock._is_owned()  # type: ignore[attr-defined, no-any-return]


# A signal handler's exception may end these functions at any line, and the interpreter forks
# nevertheless. So they ask the lock who holds it.
def _before_fork() -> None:
    if _is_imported:
        return
    if not _holds_lock():
        _holders[threading.get_ident()] = id(sys._getframe().f_back)
    interruption = None
    until = time.monotonic() + FORK_LIMIT
    while not _holds_lock() and (left := until - time.monotonic()) > 0:
        try:
            _lock.acquire(timeout=left)
        except BaseException as error:  # noqa: BLE001 (from a signal handler; it must not stop the fork)
            interruption = error
    if interruption is not None:
        raise interruption  # the interpreter prints it, and forks


def _after_fork_in_parent() -> None:
    _release_after_fork(sys._getframe().f_back)


def _release_after_fork(forker: FrameType | None) -> None:
    """Release the lock, unless it is for an import or a fork that this fork is part of."""
    if not _holds_lock():
        return
    holder, frame = _holders.get(threading.get_ident()), forker and forker.f_back
    while frame is not None:
        if id(frame) == holder:
            return
        frame = frame.f_back
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock
    if not _is_imported:
        _imports.clear()
    if _holds_lock():
        _release_after_fork(sys._getframe().f_back)
    else:
        _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
    # Again, in case an exception ends the first.
    os.register_at_fork(after_in_parent=_after_fork_in_parent)
