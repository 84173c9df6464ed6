"""Checks of indices on a GPU that do not wait: a kernel notes what is out of range, the next wait raises it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["IndexChecks", "index_arrays"]

# Checks between two waits that keep a name of their own; later ones share the last place.
_PLACES: Final = 256

_NONE: Final = -(1 << 63)

_SWITCH: Final = "POLYGRAD_CHECK_AT_ONCE"
"""The environment variable under which every check waits, so that the traceback shows the call."""


def index_arrays(shape: Sequence[int], key: Any) -> Iterator[tuple[Any, int]]:
    """Yield the integer arrays of a key, each with the length of the axis that it picks from."""
    entries = key if isinstance(key, tuple) else (key,)
    axis = 0
    for i, entry in enumerate(entries):
        if entry is Ellipsis:
            axis = len(shape) - sum(map(_axes_of, entries[i + 1 :]))
            continue
        if hasattr(entry, "ndim") and entry.dtype.kind != "b" and axis < len(shape):
            yield entry, shape[axis]
        axis += _axes_of(entry)


def _axes_of(entry: Any) -> int:
    """How many axes of an array an entry of a key stands for."""
    if entry is None:
        return 0
    return entry.ndim if hasattr(entry, "ndim") and entry.dtype.kind == "b" else 1


class _Range(NamedTuple):
    """The integers that a call accepts.

    Attributes:
        name: of the function, for the error.
        low, high: the least, and one more than the largest.
        ignore: another one that is accepted, or None.
    """

    name: str
    low: int
    high: int
    ignore: int | None

    def error(self, value: int) -> IndexError:
        also = "" if self.ignore is None else f" (and {self.ignore}, which is ignored)"
        return IndexError(
            f"{self.name}: {value} is out of range on the GPU, it must be {self.low} to {self.high - 1}{also}. This is raised "
            f"when the GPU is waited for; {_SWITCH}=1 waits at each call, and the traceback shows which"
        )


class IndexChecks:
    """Notes of indices out of range, written by kernels into pinned memory of the host, so that reading them copies nothing.

    Args:
        cp: the module ``cupy``.
        device: the number of the GPU.
    """

    def __init__(self, cp: Any, device: int) -> None:
        self._cp = cp
        self._ranges: dict[_Range, int] = {}
        size = _PLACES * 2 * 8  # for each place whether something was out of range, and what
        self._memory = memory = cp.cuda.alloc_pinned_memory(size)
        unowned = cp.cuda.UnownedMemory(memory.ptr, size, memory, device)
        self._notes = cp.ndarray((_PLACES * 2,), "int64", cp.cuda.MemoryPointer(unowned, 0))
        self._host = memoryview(memory).cast("B")[:size].cast("q")
        self._host[:] = memoryview(bytes(size)).cast("q")
        self._kernel = cp.ElementwiseKernel(
            "T x, int64 low, int64 high, int64 ignore, int64 place",
            "raw int64 notes",
            "long long v = (long long)x; if ((v < low || v >= high || (v < 0 && x > 0)) && v != ignore) "
            "{ notes[2 * place + 1] = v; notes[2 * place] = 1; }",
            "polygrad_index_check",
        )
        self._at_once = bool(os.environ.get(_SWITCH))

    def note(self, name: str, indices: Any, low: int, high: int, ignore: int | None) -> None:
        """Queue a check of an integer array; under the debug switch wait for it.

        Raises:
            IndexError: at once, under the switch.
        """
        accepted = _Range(name, low, high, ignore)
        place = self._ranges.setdefault(accepted, min(len(self._ranges), _PLACES - 1))
        self._kernel(indices, low, high, _NONE if ignore is None else ignore, place, self._notes)
        if self._at_once:
            self._cp.cuda.get_current_stream().synchronize()
            self.report()

    def report(self) -> None:
        """Raise the first note there is and forget all; to be called after waiting for the GPU.

        Raises:
            IndexError: an index of an earlier call was out of range.
        """
        if not self._ranges:
            return
        host = self._host
        outside = [(r, host[2 * p + 1]) for r, p in self._ranges.items() if host[2 * p]]
        outside.sort(key=lambda found: found[0].low < 0)  # functions of classes before the take they are made of
        error = outside[0][0].error(outside[0][1]) if outside else None
        if error is not None:
            for i in range(len(host)):
                host[i] = 0
        if error is not None or len(self._ranges) >= _PLACES:
            self._ranges.clear()
        if error is not None:
            raise error
