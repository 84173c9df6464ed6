"""Memory that is lent: arrays over it are handed out again once the last of them, and of their views, is gone."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

__all__ = ["lend"]


class _Lender:
    """Memory for one array at a time.

    An array over it is based on an object that is no array, which NumPy therefore keeps as the base of every view, and
    every other library as the owner of what it was given. So that object is gone when, and only when, nobody can reach
    the memory. (Counts of references do not say so: interpreters lend those, too.)

    Args:
        np: NumPy.
        shape, dtype: of the arrays.
    """

    __slots__ = ("_array", "_kind", "_lease", "_memory")

    def __init__(self, np: Any, shape: tuple[int, ...], dtype: Any) -> None:
        self._memory = np.empty(shape, dtype)
        self._array = np.ndarray
        self._kind = ctypes.c_char * self._memory.nbytes
        self._lease: Any = None

    def array(self) -> Any:
        """An array over the memory, or None while there is one."""
        if self._lease is not None and self._lease() is not None:
            return None
        lease = self._kind.from_buffer(self._memory)
        self._lease = weakref.ref(lease)
        return self._array(self._memory.shape, self._memory.dtype, lease)


def lend(np: Any, lenders: list[Any], at: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of memory that one of two lenders, ``lenders[at]`` and the next, has; of new memory if both are out."""
    for place in (at, at + 1):
        lender = lenders[place]
        if lender is None:
            lender = lenders[place] = _Lender(np, shape, dtype)
        array = lender.array()
        if array is not None:
            return array
    lenders[at] = _Lender(np, shape, dtype)
    return lenders[at].array()
