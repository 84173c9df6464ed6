"""Users' NumPy arrays, read-only while a graph holds their memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from polygrad.backend import ForkLock

__all__ = ["ReadOnly"]


class ReadOnly:
    """Makes arrays read-only, and writable again when the last that asked for it has let go.

    One array may be held by several graphs, and so may arrays of which one is a view of the other. NumPy makes a view
    writable only while its base is, so an array whose base is still held waits for it.

    Args:
        np: NumPy.
    """

    def __init__(self, np: Any) -> None:
        self._np = np
        self._lock = ForkLock()
        self._held: dict[int, list[Any]] = {}  # of each array that was made read-only: a weak reference, and a count
        self._waiting: set[int] = set()  # those of count 0 whose base is held

    def lock_of(self, array: Any) -> Callable[[bool], None] | None:
        """A function that takes ``writable``; None where the array is read-only for other reasons, or could not be
        made writable again."""
        with self._lock.held:
            if id(array) not in self._held and not (array.flags.writeable and self._restorable(array)):
                return None
        return lambda writable: self._let_go(array) if writable else self._hold(array)

    def _restorable(self, array: Any) -> bool:
        """Whether NumPy will make the array writable again: it owns its memory, or who owns it lets write."""
        while True:
            base = array.base
            if base is None or array.flags.owndata:
                return True
            if not isinstance(base, self._np.ndarray):
                break
            if base.flags.writeable or id(base) in self._held:
                return True
            if base.base is None or base.flags.owndata:
                return False
            array = base
        try:
            with memoryview(base) as memory:
                return not memory.readonly
        except (TypeError, BufferError, ValueError):  # another library's memory: NumPy cannot ask for it
            return False

    def _hold(self, array: Any) -> None:
        with self._lock.held:
            key = id(array)
            entry = self._held.get(key)
            if entry is None:
                entry = self._held[key] = [weakref.ref(array, lambda _: self._forget(key)), 0]
                array.setflags(False)
            entry[1] += 1
            self._waiting.discard(key)

    def _let_go(self, array: Any) -> None:
        with self._lock.held:
            key = id(array)
            self._held[key][1] -= 1
            if self._held[key][1]:
                return
            self._waiting.add(key)
            while any(map(self._freed, tuple(self._waiting))):  # each may be the base of another
                pass

    def _freed(self, key: int) -> bool:
        """Whether an array that nobody holds could be made writable."""
        entry = self._held.get(key)
        array = None if entry is None else entry[0]()
        try:
            if array is not None:
                array.setflags(True)
        except ValueError:  # its base is still held, or the user has made that read-only
            return False
        self._forget(key)
        return True

    def _forget(self, key: int) -> None:
        self._held.pop(key, None)
        self._waiting.discard(key)
