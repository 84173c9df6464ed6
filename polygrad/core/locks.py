"""Locks that a forked child finds free.

A child has only the thread that forked. A lock that another thread of the parent held stays locked in it for ever, so
every lock of the package that is made once and kept is one of these (``tests/test_house.py`` looks).
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any, Final

__all__ = ["ForkLock"]

# A fork waits this long for other threads to leave what they hold, so that the child finds nothing half-done. Longer
# than any lock is held but the one of traces, which run the user's code.
_PATIENCE_S: Final = 0.2


class ForkLock:
    """A reentrant lock, ``with lock.held: ...``, that is free in a forked child.

    Attributes:
        held: the lock itself. Read it anew each time: a child may have another one.
    """

    __slots__ = ("__weakref__", "held")

    def __init__(self) -> None:
        self.held: Any = threading.RLock()
        _locks.add(self)


_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_taken: list[ForkLock] = []


def _before() -> None:
    """Take all locks, as far as other threads leave them in time."""
    deadline = time.monotonic() + _PATIENCE_S
    _taken.extend(lock for lock in tuple(_locks) if lock.held.acquire(timeout=max(deadline - time.monotonic(), 0)))


def _in_parent() -> None:
    while _taken:
        _taken.pop().held.release()


def _in_child() -> None:
    missed = set(_locks).difference(_taken)
    _in_parent()
    for lock in missed:
        lock.held = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
