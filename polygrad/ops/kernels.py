"""The generic kernels: written with the standard's functions, so they run on raw arrays and on Tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.kernels import kernel
from ..typing import Namespace, Raw, Shape
from .keys import getitem, is_basic, positions, with_entries

__all__ = [
    "adjoint",
    "floor_quotient",
    "getitem",
    "is_basic",
    "relu",
    "relu_linear",
    "running_extreme",
    "scatter_add",
    "sliding_windows",
    "sum_at",
    "sum_leading",
    "tanh_vjp",
    "with_entries",
]


@kernel
def scatter_add(xp: Namespace, shape: Shape, dtype: Any, parts: Sequence[tuple[Any, Raw]]) -> Raw:
    """Zeros of ``shape`` with each ``values`` added at its ``key``, repeated indices summing."""
    total = xp.zeros(shape, dtype=dtype)
    size = 1
    for n in shape:
        size *= n
    for key, values in parts:
        if is_basic(key):
            own = xp.with_entries(xp.zeros(shape, dtype=dtype), key, values)
        else:
            picked = positions(xp, shape, key)
            values = xp.reshape(xp.broadcast_to(values, picked.shape), (-1,))
            own = xp.reshape(sum_at(xp, size, xp.reshape(picked, (-1,)), values), shape)
        total = total + own
    return total


def sum_at(xp: Namespace, size: int, positions: Raw, values: Raw) -> Raw:
    """For each position 0 to size - 1, the sum of the values that stand at it.

    Sorted by position, equal ones stand together; a scan by doubling steps adds up each run within itself
    (never across, so one nan stays where it belongs), and a run's last entry is its sum.
    """
    n = values.shape[0]
    if n == 0 or size == 0:
        return xp.zeros((size,), dtype=values.dtype)
    order = xp.argsort(positions)
    places, sums = xp.take(positions, order, axis=0), xp.take(values, order, axis=0)
    nothing = xp.zeros_like(sums)
    step = 1
    while step < n:
        same = places[step:] == places[:-step]
        reached = xp.where(same, sums[:-step], nothing[step:])
        sums = xp.concat([sums[:step], sums[step:] + reached])
        step *= 2
    every = xp.arange(size, dtype=places.dtype)
    first = xp.searchsorted(places, every, side="left")
    end = xp.searchsorted(places, every, side="right")
    last = xp.where(end > 0, end - 1, end)
    return xp.where(end > first, xp.take(sums, last, axis=0), xp.zeros((size,), dtype=values.dtype))


@kernel
def tanh_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw) -> Raw:
    """The cotangent of tanh's real argument."""
    return xp.strong_multiply(g, xp.tanh_slope(out, x))


@kernel
def sum_leading(xp: Namespace, x: Raw, n: int) -> Raw:
    """The sum over the first ``n`` axes: what a bias's gradient is."""
    return xp.sum(x, axis=tuple(range(n)))


@kernel
def relu(xp: Namespace, x: Raw) -> Raw:
    """``max(x, 0)``."""
    return xp.maximum(x, xp.zeros((), dtype=x.dtype))


@kernel
def relu_linear(xp: Namespace, g: Raw, out: Raw) -> Raw:
    """relu's cotangent or tangent: ``g`` where ``out`` is positive (or nan), 0 elsewhere."""
    return xp.where(out <= 0, xp.zeros((), dtype=g.dtype), g)


@kernel
def adjoint(xp: Namespace, x: Raw) -> Raw:
    """The conjugate transpose of the last two axes."""
    return xp.conj(xp.matrix_transpose(x))


@kernel
def floor_quotient(xp: Namespace, x1: Raw, x2: Raw) -> Raw:
    """``x1 // x2`` of arrays or Python numbers; libraries differ where one of them is infinite, so that the
    standard's limits are those of the quotient."""
    made = x1 // x2
    if not xp.isdtype(made.dtype, "real floating"):
        return made
    infinite = (abs(x1) == float("inf")) | (abs(x2) == float("inf"))
    return xp.where(infinite, x1 / x2, made)


@kernel
def sliding_windows(xp: Namespace, x: Raw, window: Shape, axes: tuple[int, ...]) -> Raw:
    """Windows along some axes, their own axes behind."""
    for width, axis in zip(window, axes, strict=True):
        n = x.shape[axis] - width + 1
        places = xp.expand_dims(xp.arange(n), axis=1) + xp.arange(width)
        taken = xp.take(x, xp.reshape(places, (-1,)), axis=axis)
        apart = xp.reshape(taken, (*x.shape[:axis], n, width, *x.shape[axis + 1 :]))
        x = xp.moveaxis(apart, axis + 1, -1)
    return x


# By doubling steps: after the k-th each place knows the extreme of the 2^k elements up to it.
@kernel
def running_extreme(xp: Namespace, x: Raw, axis: int, smallest: bool) -> Raw:
    """The largest (or smallest) element so far along an axis; nan from the first nan on."""
    better, before, n, step = xp.minimum if smallest else xp.maximum, (slice(None),) * axis, x.shape[axis], 1
    while step < n:
        ahead = better(x[(*before, slice(step, None), ...)], x[(*before, slice(0, n - step), ...)])
        x = xp.concat([x[(*before, slice(0, step), ...)], ahead], axis=axis)
        step *= 2
    return x
