"""Pooling: one number for each window, or for each of so many parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

import polygrad as pg

from .convolution import spread

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
]  # fmt: skip

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def batch(name: str, x: Any, n: int) -> tuple[pg.Tensor, bool]:
    """``x`` with an axis of samples, and whether it had none."""
    x = pg.asarray(x)
    if x.ndim not in (n + 1, n + 2):
        raise pg.errors.ShapeError(
            f"{name}: x of shape {x.shape} must have {n + 2} dimensions, (N, C, ...), or {n + 1} without a batch"
        )
    alone = x.ndim == n + 1
    return (pg.expand_dims(x, axis=0) if alone else x), alone


def _alone(made: pg.Tensor, alone: bool) -> pg.Tensor:
    return pg.squeeze(made, axis=0) if alone else made


@lru_cache(maxsize=256)
def _windows(
    name: str, lengths: Ints, size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> tuple[Ints, Pairs]:
    """How many windows there are, and the padding that makes them fit."""
    if any(2 * p > k for p, k in zip(padding, size, strict=True)):
        raise ValueError(f"{name}: padding {padding} is more than half of the window {size}")
    places, pads = [], []
    for n, k, s, p, d in zip(lengths, size, stride, padding, dilation, strict=True):
        reach = d * (k - 1) + 1
        m = (n + 2 * p - reach) // s + 1
        if ceil_mode:
            m = -((reach - n - 2 * p) // s) + 1
            if (m - 1) * s >= n + p:  # a window begins in what is there
                m -= 1
        if m < 1:
            raise pg.errors.ShapeError(
                f"{name}: a window of lengths {size} with dilation {dilation} does not fit into lengths {lengths} with "
                f"padding {padding}"
            )
        places.append(m)
        pads.append((p, max(p, (m - 1) * s + reach - n - p)))
    return tuple(places), tuple(pads)


def _prepare(
    name: str, n: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[pg.Tensor, bool, Ints, Ints, Ints, Ints, Ints, Pairs]:
    x, alone = batch(name, x, n)
    size = spread(name, "kernel_size", kernel_size, n, 1)
    step = size if stride is None else spread(name, "stride", stride, n, 1)
    padding, dilation = spread(name, "padding", padding, n, 0), spread(name, "dilation", dilation, n, 1)
    places, pads = _windows(name, tuple(x.shape[2:]), size, step, padding, dilation, bool(ceil_mode))
    return x, alone, size, step, padding, dilation, places, pads


# -- maxima ------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _offsets(lengths: Ints, size: Ints, dilation: Ints) -> tuple[list[int], Ints]:
    """How far each place of a window is from its first, in the flattened input; and each axis' step there."""
    steps = tuple([prod(lengths[i + 1 :]) for i in range(len(lengths))])
    found = [
        sum(i * d * s for i, d, s in zip(index, dilation, steps, strict=True))
        for index in product(*[range(k) for k in size])
    ]
    return found, steps


def _flat_indices(chosen: pg.Tensor, lengths: Ints, size: Ints, stride: Ints, pads: Pairs, dilation: Ints) -> pg.Tensor:
    """Places in windows as places in the flattened input."""
    offsets, steps = _offsets(lengths, size, dilation)
    table = pg.asarray(offsets, device=chosen.device)
    made = pg.reshape(pg.take(table, pg.astype(pg.reshape(chosen, (-1,)), "int64"), axis=0), chosen.shape)
    n = len(lengths)
    for i, (m, s, (low, _), step) in enumerate(zip(chosen.shape[2:], stride, pads, steps, strict=True)):
        first = (pg.arange(m, device=chosen.device) * s - low) * step
        made = made + pg.reshape(first, (m, *(1,) * (n - 1 - i)))
    return made


def _max(
    n: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, return_indices: bool
) -> Any:
    x, alone, size, step, _, dilation, _, pads = _prepare(
        f"max_pool{n}d", n, x, kernel_size, stride, padding, dilation, ceil_mode
    )
    values, chosen = pg.neural.max_pool(x, size, stride=step, padding=pads, dilation=dilation)
    if not return_indices:
        return _alone(values, alone)
    indices = _flat_indices(chosen, tuple(x.shape[2:]), size, step, pads, dilation)
    return _alone(values, alone), _alone(indices, alone)


def max_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window along one axis, as :func:`max_pool2d` along two.

    >>> import polygrad as pg
    >>> pg.nn.functional.max_pool1d(pg.asarray([[1.0, 3.0, 2.0, 2.0]]), 2)
    tensor([[3., 2.]], dtype=float64)
    """
    return _max(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window along two axes.

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        kernel_size: the window; one number, or one for each axis.
        stride: from window to window; the window's lengths unless told.
        padding: of -inf, before and behind, at most half of the window.
        dilation: from element to element of a window.
        ceil_mode: whether a last window may stand over.
        return_indices: whether to give the places of the largest elements, too.

    Returns:
        The largest elements; with ``return_indices`` a pair, the second their places in the flattened H x W. Of several
        equal ones it is the first, which alone gets the derivative; nan counts as largest.

    Raises:
        ShapeError: for another number of dimensions, or if no window fits.
        ValueError: for settings that are none.

    >>> import polygrad as pg
    >>> x = pg.reshape(pg.arange(16.0), (1, 4, 4))
    >>> pg.nn.functional.max_pool2d(x, 2)
    tensor([[[ 5.,  7.],
            [13., 15.]]], dtype=float64)
    """
    return _max(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window along three axes, as :func:`max_pool2d` along two.

    >>> import polygrad as pg
    >>> pg.nn.functional.max_pool3d(pg.ones((2, 3, 4, 4, 4)), 2).shape
    (2, 3, 2, 2, 2)
    """
    return _max(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


# -- means -------------------------------------------------------------------------------------------


def _counts(lengths: Ints, size: Ints, stride: Ints, padding: Ints, places: Ints, with_pad: bool) -> list[list[int]]:
    """How many elements each window has along each axis."""
    found = []
    for n, k, s, p, m in zip(lengths, size, stride, padding, places, strict=True):
        before, end = (p, n + p) if with_pad else (0, n)
        found.append([min(i * s - p + k, end) - max(i * s - p, -before) for i in range(m)])
    return found


def _avg(
    n: int, x: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, with_pad: bool, divisor: int | None
) -> pg.Tensor:
    name = f"avg_pool{n}d"
    x, alone, size, step, padding, _, places, pads = _prepare(name, n, x, kernel_size, stride, padding, 1, ceil_mode)
    if not x.dtype.inexact:
        raise pg.errors.DTypeError(f"{name}: needs a floating dtype, got {x.dtype}")
    if divisor is not None and (type(divisor) is not int or divisor == 0):
        raise ValueError(f"{name}: divisor_override must be a whole number other than 0, got {divisor!r}")
    if x.dtype.itemsize == 2:  # half precision holds no count above 65,504
        means = _means(x.astype("float32"), size, step, padding, places, pads, with_pad, divisor)
        return _alone(means.astype(x.dtype), alone)
    return _alone(_means(x, size, step, padding, places, pads, with_pad, divisor), alone)


def _means(
    x: pg.Tensor, size: Ints, step: Ints, padding: Any, places: Any, pads: Any, with_pad: bool, divisor: int | None
) -> pg.Tensor:
    """The mean of each window of ``x`` (N, C, ...)."""
    n = len(size)
    total = pg.neural.sum_windows(x, size, stride=step, padding=pads)
    if divisor is not None:
        return total / divisor
    counts = _counts(tuple(x.shape[2:]), size, step, padding, places, with_pad)
    for i, own in enumerate(counts):
        if len(set(own)) > 1:
            column = pg.asarray([float(c) for c in own], dtype=x.dtype, device=x.device)
            total = total / pg.reshape(column, (len(own), *(1,) * (n - 1 - i)))
    same = prod(own[0] for own in counts if len(set(own)) == 1)
    return total / same if same != 1 else total


def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> pg.Tensor:  # fmt: skip
    """The mean of each window along one axis, as :func:`avg_pool2d` along two.

    >>> import polygrad as pg
    >>> pg.nn.functional.avg_pool1d(pg.asarray([[1.0, 3.0, 2.0, 2.0]]), 2)
    tensor([[2., 2.]], dtype=float64)
    """
    return _avg(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> pg.Tensor:  # fmt: skip
    """The mean of each window along two axes.

    Args:
        input: shape (N, C, H, W) or (C, H, W), floating.
        kernel_size: the window; one number, or one for each axis.
        stride: from window to window; the window's lengths unless told.
        padding: zeros before and behind, at most half of the window.
        ceil_mode: whether a last window may stand over; what stands over does not count.
        count_include_pad: whether the padding counts.
        divisor_override: what the sums are divided by instead of the windows' numbers of elements.

    Raises:
        ShapeError: for another number of dimensions, or if no window fits.
        DTypeError: for integers.
        ValueError: for settings that are none.

    >>> import polygrad as pg
    >>> pg.nn.functional.avg_pool2d(pg.reshape(pg.arange(16.0), (1, 4, 4)), 2)
    tensor([[[ 2.5,  4.5],
            [10.5, 12.5]]], dtype=float64)
    """
    return _avg(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> pg.Tensor:  # fmt: skip
    """The mean of each window along three axes, as :func:`avg_pool2d` along two.

    >>> import polygrad as pg
    >>> pg.nn.functional.avg_pool3d(pg.ones((2, 3, 4, 4, 4)), 2).shape
    (2, 3, 2, 2, 2)
    """
    return _avg(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


# -- so many parts -----------------------------------------------------------------------------------
# Part i of o of an axis of n elements goes from floor(i n / o) to ceil((i + 1) n / o); neighbours may share an element.


def _sizes(name: str, output_size: Any, lengths: Ints) -> Ints:
    n = len(lengths)
    sizes = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * n
    if len(sizes) == 1:
        sizes = sizes * n
    if len(sizes) != n or not all(s is None or (type(s) is int and s >= 1) for s in sizes):
        raise ValueError(
            f"{name}: output_size must be a whole number of at least 1 or None, or one for each of {n} axes, got "
            f"{output_size!r}"
        )
    if 0 in lengths:
        raise pg.errors.ShapeError(f"{name}: lengths {lengths} have nothing to pool")
    return tuple([m if s is None else s for s, m in zip(sizes, lengths, strict=True)])


def _parts(n: int, o: int) -> list[tuple[int, int]]:
    return [(i * n // o, -(-(i + 1) * n // o)) for i in range(o)]


def _adaptive_avg(n: int, x: Any, output_size: Any) -> pg.Tensor:
    name = f"adaptive_avg_pool{n}d"
    x, alone = batch(name, x, n)
    if not x.dtype.inexact:
        raise pg.errors.DTypeError(f"{name}: needs a floating dtype, got {x.dtype}")
    if x.dtype.itemsize == 2:
        means = _adaptive_avg(n, x.astype("float32"), output_size).astype(x.dtype)
        return _alone(means, alone)
    lengths = tuple(x.shape[2:])
    sizes = _sizes(name, output_size, lengths)
    if all(m % o == 0 for m, o in zip(lengths, sizes, strict=True)):
        size = tuple([m // o for m, o in zip(lengths, sizes, strict=True)])
        if size == lengths:
            return _alone(pg.mean(x, axis=tuple(range(2, n + 2)), keepdims=True), alone)
        return _alone(pg.neural.sum_windows(x, size) / prod(size), alone)
    for i, (m, o) in enumerate(zip(lengths, sizes, strict=True)):
        if m != o:  # the mean over a box is the mean along one axis of the means along the others
            rows = [[1.0 / (end - start) if start <= j < end else 0.0 for j in range(m)] for start, end in _parts(m, o)]
            weights = pg.asarray(rows, dtype=x.dtype, device=x.device)
            x = pg.moveaxis(pg.matmul(pg.moveaxis(x, i + 2, -1), pg.matrix_transpose(weights)), -1, i + 2)
    return _alone(x, alone)


@lru_cache(maxsize=64)
def _tables(lengths: Ints, sizes: Ints) -> tuple[list[int], int]:
    """For each part the places in the flattened input, in rows of one length (the last place is said again)."""
    axes = []
    for m, o in zip(lengths, sizes, strict=True):
        parts = _parts(m, o)
        most = max(end - start for start, end in parts)
        axes.append([[min(start + j, end - 1) for j in range(most)] for start, end in parts])
    steps = [prod(lengths[i + 1 :]) for i in range(len(lengths))]
    rows = [
        [sum(i * s for i, s in zip(place, steps, strict=True)) for place in product(*part)] for part in product(*axes)
    ]
    return [place for row in rows for place in row], len(rows[0])


def _adaptive_max(n: int, x: Any, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{n}d"
    x, alone = batch(name, x, n)
    lengths = tuple(x.shape[2:])
    sizes = _sizes(name, output_size, lengths)
    if all(m % o == 0 for m, o in zip(lengths, sizes, strict=True)):
        size = tuple([m // o for m, o in zip(lengths, sizes, strict=True)])
        return _max(n, pg.squeeze(x, axis=0) if alone else x, size, None, 0, 1, False, return_indices)
    flat = pg.reshape(x, (*x.shape[:2], prod(lengths)))
    places, width = _tables(lengths, sizes)
    table = pg.asarray(places, device=x.device)
    seen = pg.reshape(pg.take(flat, table, axis=2), (*x.shape[:2], prod(sizes), width))
    first = pg.argmax(seen, axis=-1, keepdims=True)
    made = pg.reshape(pg.take_along_axis(seen, first, axis=-1), (*x.shape[:2], *sizes))
    if not return_indices:
        return _alone(made, alone)
    spot = pg.squeeze(first, axis=-1) + pg.arange(prod(sizes), device=x.device) * width
    indices = pg.reshape(pg.take(table, pg.reshape(spot, (-1,)), axis=0), made.shape)
    return _alone(made, alone), _alone(indices, alone)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> pg.Tensor:
    """The mean of each of ``output_size`` parts of one axis, as :func:`adaptive_avg_pool2d` of two.

    >>> import polygrad as pg
    >>> pg.nn.functional.adaptive_avg_pool1d(pg.asarray([[1.0, 2.0, 6.0]]), 2)
    tensor([[1.5, 4. ]], dtype=float64)
    """
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: int | Sequence[int | None] | None) -> pg.Tensor:
    """The mean of each of so many parts: along an axis of n elements, part i of o goes from ``floor(i n / o)`` to
    ``ceil((i + 1) n / o)``.

    Args:
        input: shape (N, C, H, W) or (C, H, W), floating.
        output_size: how many parts; one number, or one for each axis, None for as many as there are elements.

    Raises:
        ShapeError: for another number of dimensions, or nothing to pool.
        DTypeError: for integers.
        ValueError: for another ``output_size``.

    >>> import polygrad as pg
    >>> pg.nn.functional.adaptive_avg_pool2d(pg.ones((2, 3, 7, 5)), (3, None)).shape
    (2, 3, 3, 5)
    """
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> pg.Tensor:
    """The mean of each of so many parts of three axes, as :func:`adaptive_avg_pool2d` of two.

    >>> import polygrad as pg
    >>> pg.nn.functional.adaptive_avg_pool3d(pg.ones((3, 7, 5, 4)), 2).shape
    (3, 2, 2, 2)
    """
    return _adaptive_avg(3, input, output_size)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of ``output_size`` parts of one axis, as :func:`adaptive_max_pool2d` of two.

    >>> import polygrad as pg
    >>> pg.nn.functional.adaptive_max_pool1d(pg.asarray([[1.0, 2.0, 6.0]]), 2)
    tensor([[2., 6.]], dtype=float64)
    """
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of so many parts, which are those of :func:`adaptive_avg_pool2d`.

    Args:
        input: shape (N, C, H, W) or (C, H, W), real and floating.
        output_size: how many parts; one number, or one for each axis, None for as many as there are elements.
        return_indices: whether to give the elements' places in the flattened H x W, too.

    Raises:
        ShapeError: for another number of dimensions, or nothing to pool.
        ValueError: for another ``output_size``.

    >>> import polygrad as pg
    >>> pg.nn.functional.adaptive_max_pool2d(pg.ones((2, 3, 7, 5)), (3, 2)).shape
    (2, 3, 3, 2)
    """
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest element of each of so many parts of three axes, as :func:`adaptive_max_pool2d` of two.

    >>> import polygrad as pg
    >>> pg.nn.functional.adaptive_max_pool3d(pg.ones((3, 7, 5, 4)), 2).shape
    (3, 2, 2, 2)
    """
    return _adaptive_max(3, input, output_size, return_indices)
