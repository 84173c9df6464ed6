"""Indexing keys taken apart: what ``x[key]`` means, in terms of the standard's functions alone.

The standard has integer-array keys and masks only in their plainest form. Libraries that have no more are
served by flat positions: the key becomes one integer array of places in the flattened array.
"""

from __future__ import annotations

from typing import Any

from ..core.kernels import kernel
from ..typing import Namespace, Raw, Shape

__all__ = ["expand", "getitem", "is_basic", "is_mask", "positions", "with_entries"]


def is_basic(key: Any) -> bool:
    """Whether a key is basic indexing: it selects each entry at most once, and gives a view."""
    entries = key if isinstance(key, tuple) else (key,)
    return all(k is None or k is Ellipsis or isinstance(k, (int, slice)) for k in entries)


def expand(shape: Shape, key: Any) -> list[Any]:
    """A key as a list with one entry for each axis (a mask takes as many as it has), ``None`` for new ones:
    no ``...``, integers not negative, slices within bounds.

    Raises:
        IndexError: too many entries, or an integer out of range.
    """
    entries = list(key) if isinstance(key, tuple) else [key]
    taken = sum(_axes_taken(k) for k in entries)
    if taken > len(shape):
        raise IndexError(f"too many indices: {taken} for {len(shape)} dimensions")
    if not any(k is Ellipsis for k in entries):
        entries.append(Ellipsis)
    made: list[Any] = []
    axis = 0
    for entry in entries:
        if entry is None:
            made.append(None)
        elif entry is Ellipsis:
            made += [_slice(slice(None), n) for n in shape[axis : axis + len(shape) - taken]]
            axis += len(shape) - taken
        elif isinstance(entry, int):
            n = shape[axis]
            if not -n <= entry < n:
                raise IndexError(f"index {entry} is out of bounds for axis {axis} of length {n}")
            made.append(entry + n if entry < 0 else entry)
            axis += 1
        else:
            made.append(_slice(entry, shape[axis]) if isinstance(entry, slice) else entry)
            axis += _axes_taken(entry)
    return made


def _axes_taken(entry: Any) -> int:
    if entry is None or entry is Ellipsis:
        return 0
    return int(entry.ndim) if is_mask(entry) else 1


def is_mask(entry: Any) -> bool:
    return hasattr(entry, "dtype") and str(entry.dtype).rpartition(".")[2] == "bool"


def _slice(entry: slice, n: int) -> slice:
    if n != n:  # an unknown length (Dask)
        return entry
    start, stop, step = entry.indices(n)
    return slice(start if n else 0, None if stop < 0 else stop, step) if start >= 0 else slice(0, 0, step)


def positions(xp: Namespace, shape: Shape, key: Any) -> Raw:
    """Where in the flattened array of this shape each element of ``x[key]`` comes from; a place beyond the
    end stands for an index out of range.

    As in NumPy the axes of index arrays come out together: in place of the first, where they (and integers
    among them) stand side by side, in front otherwise.
    """
    strides, size = [0] * len(shape), 1
    for axis in reversed(range(len(shape))):
        strides[axis] = size
        size *= shape[axis]
    places = xp.asarray(0, dtype=xp.int64)  # of the index arrays and integers together
    rest: list[Any] = []  # of each slice, None for a new axis
    axis = first = 0
    state = "before"  # then "among", then "behind" the index arrays
    for entry in _without_masks(xp, expand(shape, key)):
        if entry is None or isinstance(entry, slice):
            rest.append(None if entry is None else xp.arange(*entry.indices(shape[axis])) * strides[axis])
            state = "behind" if state == "among" else state
        else:
            first = len(rest) if state == "before" else 0 if state == "behind" else first
            state = "apart" if state in ("behind", "apart") else "among"
            places = places + _offsets(xp, entry, shape, strides, axis, size)
        axis += 0 if entry is None or is_mask(entry) else 1
    if places.ndim == 0:
        first = 0
    width, ndim = places.ndim, len(rest) + places.ndim
    total = xp.reshape(places, (1,) * first + tuple(places.shape) + (1,) * (len(rest) - first))
    for i, own in enumerate(rest):
        if own is not None:
            at = i if i < first else i + width
            total = total + xp.reshape(own, (1,) * at + (own.shape[0],) + (1,) * (ndim - at - 1))
    return total


def _offsets(xp: Namespace, entry: Any, shape: Shape, strides: list[int], axis: int, size: int) -> Any:
    """What an integer or an index array adds to the places."""
    if isinstance(entry, int):
        return entry * strides[axis]
    if is_mask(entry):  # 0-d: it takes no axis, and makes one of length 1 or 0
        return xp.nonzero(xp.reshape(entry, (1,)))[0]
    n = shape[axis]
    index = xp.astype(entry, xp.int64)
    index = xp.where(index < 0, index + n, index)
    return xp.where((index < 0) | (index >= n), xp.full_like(index, size), index * strides[axis])


def _without_masks(xp: Namespace, entries: list[Any]) -> list[Any]:
    """Masks of one or more axes as the index arrays of their true elements."""
    made: list[Any] = []
    for entry in entries:
        made.extend(xp.nonzero(entry) if is_mask(entry) and entry.ndim else [entry])
    return made


@kernel
def getitem(xp: Namespace, x: Raw, key: Any) -> Raw:
    """``x[key]`` for every key that NumPy takes."""
    entries = expand(x.shape, key)
    if is_basic(tuple(entries)):
        element = all(type(entry) is int for entry in entries)
        return x[(*entries, ...)] if element else x[tuple(entries)]  # a view of one element, not a copy
    if len(entries) == 1 and is_mask(entries[0]) and entries[0].ndim == x.ndim:
        return x[entries[0]]
    places = positions(xp, x.shape, key)
    flat = xp.take(xp.reshape(x, (-1,)), xp.reshape(places, (-1,)), axis=0)
    return xp.reshape(flat, tuple(places.shape))


@kernel
def with_entries(xp: Namespace, x: Raw, key: Any, value: Raw) -> Raw:
    """A copy of ``x`` with ``value`` at ``key``; where the key names an entry twice, the last value stays."""
    entries = expand(x.shape, key)
    if is_basic(tuple(entries)):
        return _with_slice(xp, x, tuple(entries), value)
    if len(entries) == 1 and is_mask(entries[0]) and entries[0].ndim == x.ndim and value.ndim == 0:
        return xp.where(entries[0], value, x)
    places = positions(xp, x.shape, key)
    values = xp.reshape(xp.broadcast_to(value, tuple(places.shape)), (-1,))
    flat, places = xp.reshape(x, (-1,)), xp.reshape(places, (-1,))
    n = places.shape[0]
    if n == 0 or flat.shape[0] == 0:
        return xp.asarray(x, copy=True)
    order = xp.argsort(places, stable=True)  # equal places stand together, the last value behind
    places = xp.take(places, order, axis=0)
    every = xp.arange(flat.shape[0], dtype=places.dtype)
    end = xp.searchsorted(places, every, side="right")
    hit = end > xp.searchsorted(places, every, side="left")
    last = xp.take(order, xp.where(hit, end - 1, xp.zeros_like(end)), axis=0)
    return xp.reshape(xp.where(hit, xp.take(values, last, axis=0), flat), tuple(x.shape))


def _with_slice(xp: Namespace, x: Raw, key: tuple[Any, ...], value: Raw) -> Raw:
    result = xp.asarray(x, copy=True)
    if any(k is None for k in key):  # new axes are for reading only
        shape = tuple(result[key].shape)
        value = xp.broadcast_to(value, shape)
        key = tuple(k for k in key if k is not None)
        value = xp.reshape(value, tuple(result[key].shape))
    result[key] = value
    return result
