"""A pause of Python's garbage collector, while graphs are made into functions."""

from __future__ import annotations

import gc
import os

from ..core.locks import ForkLock

__all__ = ["no_collection"]


class _Pause:
    """A scope without collections of cyclic garbage, in all threads of the process.

    Passes and plans make hundred thousands of objects that live on; the collector, which looks at the living, would take a
    sixth of the time for nothing. Whoever has turned it off finds it off.
    """

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._depth = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock.held:
            try:
                self._depth += 1
                if self._depth == 1:
                    self._was_on = gc.isenabled()
                    gc.disable()
            except BaseException:  # an interrupt: nobody will leave what was not entered
                self.__exit__()
                raise

    def __exit__(self, *exc: object) -> None:
        with self._lock.held:
            self._depth = max(self._depth - 1, 0)
            if self._depth == 0 and self._was_on:
                gc.enable()

    def forget(self) -> None:
        """In a forked child: whoever was in the scope is not there."""
        if self._depth and self._was_on:
            gc.enable()
        self._depth = 0


no_collection = _Pause()
"""The process's scope."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=no_collection.forget)
