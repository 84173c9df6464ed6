"""Users' NumPy arrays, read-only while a graph holds their memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["ReadOnly"]


class _Entry:
    """How many hold an array, which is not kept alive by it. ``count`` is None where nothing is to be done."""

    __slots__ = ("count", "reference")

    def __init__(self, count: int | None, reference: Any) -> None:
        self.count = count
        self.reference = reference


class ReadOnly:
    """Makes arrays read-only, and writable again when the last that asked for it has let go.

    One array may be held by several graphs, and so may arrays of which one is a view of the other. NumPy makes a view
    writable only while its base is, so an array whose base is still held waits for it. The functions that
    :meth:`lock_of` gives are called by one thread at a time (core's ``Pin`` sees to it).

    Args:
        np: NumPy.
    """

    def __init__(self, np: Any) -> None:
        self._np = np
        self._entries: dict[int, _Entry] = {}  # of arrays that are, or were, held
        self._waiting: set[int] = set()  # those that nobody holds, but someone their base

    def lock_of(self, array: Any) -> Callable[[bool], None] | None:
        """A function that takes ``writable``; None where the array is read-only for other reasons."""
        # Another thread may let go of it between two looks here: only under the lock is it known who holds it.
        if not array.flags.writeable and id(array) not in self._entries:
            return None
        entry: _Entry | None = None

        def lock(writable: bool) -> None:
            nonlocal entry
            if entry is None:
                foreign = not array.flags.writeable and not self._is_held(array)
                entry = _Entry(None, None) if foreign else self._entry(array)
            if entry.count is None:
                return
            if not writable:
                entry.count += 1
                if entry.count == 1:
                    array.setflags(False)
                return
            entry.count -= 1
            if entry.count == 0:
                try:
                    array.setflags(True)
                except ValueError:  # its base is still held, or the user has made that read-only
                    self._waiting.add(id(array))
                    return
                if self._waiting:
                    self._free_waiting()

        return lock

    def _is_held(self, array: Any) -> bool:
        entry = self._entries.get(id(array))
        return entry is not None and (bool(entry.count) or id(array) in self._waiting)

    def _entry(self, array: Any) -> _Entry:
        """The array's entry; one that nobody has asked for before counts only if NumPy would let go of it again."""
        key = id(array)
        entry = self._entries.get(key)
        if entry is None:
            entry = _Entry(0 if self._restorable(array) else None, weakref.ref(array, lambda _: self._forget(key)))
            self._entries[key] = entry
        return entry

    def _restorable(self, array: Any) -> bool:
        """Whether NumPy will make the array writable again: it owns its memory, or who owns it lets write."""
        while True:
            base = array.base
            if base is None or array.flags.owndata:
                return True
            if not isinstance(base, self._np.ndarray):
                break
            if base.flags.writeable or self._is_held(base):
                return True
            if base.base is None or base.flags.owndata:
                return False
            array = base
        try:
            with memoryview(base) as memory:
                return not memory.readonly
        except (TypeError, BufferError, ValueError):  # another library's memory: NumPy cannot ask for it
            return False

    def _free_waiting(self) -> None:
        while any(map(self._freed, tuple(self._waiting))):  # each may be the base of another
            pass

    def _freed(self, key: int) -> bool:
        """Whether an array that waits could be made writable, or is held again."""
        entry = self._entries.get(key)
        array = None if entry is None else entry.reference()
        try:
            if array is not None and entry is not None and entry.count == 0:
                array.setflags(True)
        except ValueError:
            return False
        self._waiting.discard(key)
        return True

    def _forget(self, key: int) -> None:
        self._entries.pop(key, None)
        self._waiting.discard(key)
