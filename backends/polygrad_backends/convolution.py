"""Convolution with NumPy: windows laid out in a buffer, and products of matrices.

Arrays are worked on with the channels in front and the batch at the end, (C, *lengths, N), and results are seen as
(N, C, *lengths): the product over a whole batch is one matrix product then, what is moved for a place in the window lies in
long runs of memory, and what the next layer needs is there without a copy.

All windows of an array are many times as large as it. They are laid out in bands, some rows of the result at a time, that
stay in the cache; several threads take a band each, and BLAS one thread for each product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from math import prod
from typing import Any, Final, NamedTuple

from .numpy_threads import one_blas_thread, team, threads

__all__ = [
    "Ints",
    "Pairs",
    "batch_first",
    "batch_last",
    "convolution_kernels",
    "inside",
    "padded",
    "window_keys",
    "window_places",
    "zeros_around",
]

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def batch_last(x: Any) -> Any:
    """(N, C, ...) seen as (C, ..., N)."""
    return x.transpose(*range(1, x.ndim), 0)


def batch_first(x: Any) -> Any:
    """(C, ..., N) seen as (N, C, ...)."""
    return x.transpose(x.ndim - 1, *range(x.ndim - 1))


def inside(lengths: Any, pads: Pairs) -> tuple[Any, ...]:
    return (..., *[slice(low, low + n) for n, (low, _) in zip(lengths, pads)], slice(None))


def zeros_around(np: Any, c: int, lengths: Any, n: int, pads: Pairs, dtype: Any) -> Any:
    """Zeros for arrays (C, *lengths, N) and what is around them."""
    return np.zeros((c, *[low + m + high for m, (low, high) in zip(lengths, pads)], n), dtype)


def padded(np: Any, x: Any, pads: Pairs, value: float = 0) -> Any:
    """``x`` (C, ..., N) with zeros, or another value, around, if any."""
    if not any(low or high for low, high in pads):
        return x
    made = zeros_around(np, x.shape[0], x.shape[1:-1], x.shape[-1], pads, x.dtype)
    if value:
        made[...] = value
    made[inside(x.shape[1:-1], pads)] = x
    return made


def window_keys(size: Ints, out: Ints, strides: Ints, dilation: Ints) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """For each place in the window its index, and the key of what stands there."""
    found = []
    for index in product(*[range(k) for k in size]):
        key = tuple([slice(i * d, i * d + (n - 1) * s + 1, s) for i, n, s, d in zip(index, out, strides, dilation)])
        found.append((index, (..., *key, slice(None))))
    return found


def window_places(lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Ints:
    """How many windows there are along each axis."""
    return tuple([(m + low + high - d * (k - 1) - 1) // s + 1
                  for m, k, s, (low, high), d in zip(lengths, size, strides, pads, dilation)])  # fmt: skip


# -- bands -------------------------------------------------------------------------------------------

_BAND_BYTES: Final = 1 << 18
"""Of a band's windows (measured: 128 to 512 kB are alike)."""
_LEAST: Final = 256
"""Places that a part of a row has at least: of fewer, products are slower than the cache makes up for."""
_SPREAD_BYTES: Final = 1 << 23
"""From so many bytes on of what goes to the windows it is spread over threads: else they wait for the GIL."""


class _Bands(NamedTuple):
    """A result in bands: rows along its first axis, or parts of a row where one is too large.

    Attributes:
        rows: how many a band has; the last one may have fewer.
        columns: of a row, along the second axis.
        number: of the bands.
        out: the lengths of the result.
        n: of the batch.
    """

    rows: int
    columns: int
    number: int
    out: Ints
    n: int

    @property
    def most(self) -> int:
        """Places in a band."""
        return self.rows * self.columns * prod(self.out[2:]) * self.n

    def of(self, band: int) -> tuple[tuple[slice, ...], slice]:
        """A band's key, along the result's first axes, and its places."""
        across = self.out[1] if len(self.out) > 1 else 1
        each = prod(self.out[2:]) * self.n
        if self.columns == across:
            rows = slice(band * self.rows, min((band + 1) * self.rows, self.out[0]))
            return (rows,), slice(rows.start * across * each, rows.stop * across * each)
        row, part = divmod(band, -(-across // self.columns))
        columns = slice(part * self.columns, min((part + 1) * self.columns, across))
        start = row * across
        return (slice(row, row + 1), columns), slice((start + columns.start) * each, (start + columns.stop) * each)


def _bands(width: int, out: Ints, n: int, itemsize: int, nbytes: int = _BAND_BYTES, split: bool = True) -> _Bands:
    """Bands that are alike, with ``width`` numbers for each place and about so many bytes."""
    across = out[1] if len(out) > 1 else 1
    column = max(1, width * prod(out[2:]) * n * itemsize)
    if column * across > nbytes and across > 1 and split:
        least = -(-_LEAST // max(1, prod(out[2:]) * n))
        parts = -(-across // max(1, least, nbytes // column))
        columns = -(-across // parts)
        return _Bands(1, columns, out[0] * -(-across // columns), out, n)
    rows = max(1, min(out[0], nbytes // max(1, column * across)))
    number = max(1, -(-out[0] // rows))
    return _Bands(-(-out[0] // number), across, number, out, n)


def _shared(np: Any, work: Callable[..., None], count: int, most: int | None = None) -> None:
    """Do ``work(worker, first, end)`` for so many parts, spread over threads, all of them or at most so many."""
    n = min(most or threads(), count)
    share = -(-count // n)
    tasks = [partial(work, i, i * share, min((i + 1) * share, count)) for i in range(-(-count // share))]
    if len(tasks) == 1:
        tasks[0]()
    else:
        with one_blas_thread:
            team(np)(tasks)


def convolution_kernels(np: Any) -> dict[str, Callable[..., Any]]:
    """``conv_nd``, ``conv_input_nd`` and ``conv_weight_nd``."""

    def windows(x: Any, size: Ints, out: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        """All windows, a view (C, *size, *out, N)."""
        x = padded(np, batch_last(x), pads)
        if not x.flags.c_contiguous:
            x = np.ascontiguousarray(x)
        first, *inner, last = x.strides
        steps = [d * s for d, s in zip(dilation, inner)], [d * s for d, s in zip(strides, inner)]
        shape = (x.shape[0], *size, *out, x.shape[-1])
        return np.lib.stride_tricks.as_strided(x, shape, (first, *steps[0], *steps[1], last), writeable=False)

    def laid_out(view: Any, key: tuple[slice, ...], buffer: Any, axes: int) -> Any:
        """The windows of a band, (groups, width, places), in a buffer (groups, width, most places)."""
        here = view[(slice(None),) * (1 + axes) + key]
        groups, width = buffer.shape[:2]
        places = here.size // (groups * width)
        into = buffer.reshape(-1)[: here.size]
        np.copyto(into.reshape(here.shape), here)
        return into.reshape(groups, width, places)

    def conv(x: Any, w: Any, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        n, size, many = x.shape[0], w.shape[2:], w.shape[0]
        out = window_places(x.shape[2:], size, strides, pads, dilation)
        if not x.size or not w.size:  # sums of nothing
            return np.zeros((n, many, *out), np.result_type(x, w))
        view = windows(x, size, out, strides, pads, dilation)
        width = w.shape[1] * prod(size)
        weights = w.reshape(groups, many // groups, width)
        if prod(size) == 1:
            columns = view.reshape(groups, width, prod(out) * n)
            return batch_first(np.matmul(weights, columns).reshape(many, *out, n))
        made = np.empty((groups, many // groups, prod(out) * n), np.result_type(x, w))
        bands = _bands(groups * width, out, n, x.itemsize)

        def work(worker: int, first: int, end: int) -> None:
            buffer = np.empty((groups, width, bands.most), x.dtype)
            for band in range(first, end):
                key, places = bands.of(band)
                np.matmul(weights, laid_out(view, key, buffer, len(size)), made[:, :, places])

        _shared(np, work, bands.number)
        return batch_first(made.reshape(many, *out, n))

    def conv_weight(x: Any, g: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        n, out, many = x.shape[0], g.shape[2:], g.shape[1]
        if not x.size or not g.size:
            return np.zeros((many, x.shape[1] // groups, *size), np.result_type(x, g))
        view = windows(x, size, out, strides, pads, dilation)
        width = x.shape[1] // groups * prod(size)
        cotangents = batch_last(g).reshape(groups, many // groups, prod(out) * n)
        if prod(size) == 1:
            made = np.matmul(cotangents, view.reshape(groups, width, prod(out) * n).mT)
            return made.reshape(many, x.shape[1] // groups, *size)
        bands = _bands(groups * width, out, n, x.itemsize)
        totals: dict[int, Any] = {}

        def work(worker: int, first: int, end: int) -> None:
            buffer = np.empty((groups, width, bands.most), x.dtype)
            total = None
            for band in range(first, end):
                key, places = bands.of(band)
                made = np.matmul(cotangents[:, :, places], laid_out(view, key, buffer, len(size)).mT)
                total = made if total is None else np.add(total, made, total)
            totals[worker] = total

        _shared(np, work, bands.number)
        total, *others = (totals[i] for i in sorted(totals))
        for other in others:
            total += other
        return total.reshape(many, x.shape[1] // groups, *size)

    def conv_input(g: Any, w: Any, lengths: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        n, size, out = g.shape[0], w.shape[2:], g.shape[2:]
        each, many, window = w.shape[1], w.shape[0] // groups, prod(size)
        if not g.size or not w.size:
            return np.zeros((n, groups * each, *lengths), np.result_type(g, w))
        weights = w.reshape(groups, many, each, window)
        cotangents = batch_last(g).reshape(groups, many, prod(out) * n)
        if window == 1 == prod(strides) and not any(low or high for low, high in pads):
            made = np.matmul(weights.reshape(groups, many, each).mT, cotangents)
            return batch_first(made.reshape(groups * each, *lengths, n))
        total = zeros_around(np, groups * each, lengths, n, pads, np.result_type(g, w))
        spots = total.reshape(groups, each, *total.shape[1:])
        large = groups * each * window * prod(out) * n * g.itemsize >= _SPREAD_BYTES
        bands = _bands(
            groups * each * (window // size[0]), out, n, g.itemsize, (4 if large else 2) * _BAND_BYTES, False
        )
        columns = weights.reshape(groups, many, each, size[0], -1).transpose(3, 0, 2, 4, 1)

        # What goes to one place after the other of the window's first axis, at a time: fewer and longer additions. Windows
        # of neighbouring rows meet, so that what is spread over threads is channels, or groups.
        def work(worker: int, first: int, end: int) -> None:
            own, channels = (slice(first, end), slice(None)) if groups > 1 else (slice(None), slice(first, end))
            part = columns[:, own, channels]
            part = np.ascontiguousarray(part).reshape(size[0], part.shape[1], -1, many)
            buffer = np.empty(part.shape[1] * part.shape[2] * bands.most, total.dtype)
            for band in range(bands.number):
                (rows,), places = bands.of(band)
                length = rows.stop - rows.start
                given = cotangents[own, :, places]
                spread = buffer[: part.shape[1] * part.shape[2] * given.shape[2]].reshape(*part.shape[1:3], -1)
                apart = spread.reshape(len(spread), -1, *size[1:], length, *out[1:], n)
                start = rows.start * strides[0]
                for i in range(size[0]):
                    np.matmul(part[i], given, spread)
                    key = slice(
                        start + i * dilation[0], start + i * dilation[0] + (length - 1) * strides[0] + 1, strides[0]
                    )
                    there = spots[own, channels, key]
                    for index, places_there in window_keys(size[1:], out[1:], strides[1:], dilation[1:]):
                        spot = there[places_there]
                        np.add(spot, apart[(slice(None), slice(None), *index)], spot)

        _shared(np, work, groups if groups > 1 else each, threads() if large else 1)
        return batch_first(total[inside(lengths, pads)])

    return {"conv_nd": conv, "conv_input_nd": conv_input, "conv_weight_nd": conv_weight}
