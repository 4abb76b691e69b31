"""Values that threads replace one after the other, without a lock.

A signal handler or a finalizer may run between any two bytecodes of a thread, and a process may
fork there. A lock that is held at that moment stays held, so there is none.
"""

from __future__ import annotations

from typing import Any, TypeVar

_Self = TypeVar("_Self", bound="Version")


class Version:
    """One in a sequence of values, each immutable and replaced by the next.

    :meth:`replace_with` is a compare-and-set: of several threads that replace the same version,
    one succeeds. It is one dictionary operation, which the interpreter does not interrupt.
    """

    __slots__ = ("_successor",)

    def __init__(self) -> None:
        self._successor: dict[str, Any] = {}

    def replace_with(self: _Self, new: _Self) -> bool:
        """Make ``new`` the next version; ``False`` if there is a next version already."""
        is_next = self._successor.setdefault("next", new) is new
        self.retire()
        return is_next

    def latest(self: _Self) -> _Self:
        """Return the last version of the sequence; ``self`` if nothing has replaced it."""
        version = self
        while version._successor:
            version.retire()
            version = version._successor["next"]
        return version

    def retire(self) -> None:
        """Called, perhaps more than once, when this version has been replaced."""
