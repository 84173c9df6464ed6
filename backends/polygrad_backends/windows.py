"""Convolution and pooling with NumPy: one buffer of all windows, and one product of matrices; running maxima and sums.

Arrays are worked on with the channels in front and the batch at the end, (C, *lengths, N), and results are seen as
(N, C, *lengths): the product over a whole batch is one matrix product then, what is moved for a place in the window lies in
long runs of memory, and what the next layer needs is there without a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

__all__ = ["kept", "window_kernels"]

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
Generic = Callable[[str], Callable[..., Any]]
"""The generic version of a kernel, on NumPy's namespace."""


def _front(x: Any) -> Any:
    """(N, C, ...) seen as (C, ..., N)."""
    return x.transpose(*range(1, x.ndim), 0)


def _back(x: Any) -> Any:
    """(C, ..., N) seen as (N, C, ...)."""
    return x.transpose(x.ndim - 1, *range(x.ndim - 1))


def _inside(lengths: Any, pads: Pairs) -> tuple[Any, ...]:
    return (..., *[slice(low, low + n) for n, (low, _) in zip(lengths, pads)], slice(None))


def _zeros(np: Any, c: int, lengths: Any, n: int, pads: Pairs, dtype: Any) -> Any:
    """Zeros for arrays (C, *lengths, N) and what is around them."""
    return np.zeros((c, *[low + m + high for m, (low, high) in zip(lengths, pads)], n), dtype)


def _padded(np: Any, x: Any, pads: Pairs, value: float = 0) -> Any:
    """``x`` (C, ..., N) with zeros, or another value, around, if any."""
    if not any(low or high for low, high in pads):
        return x
    made = _zeros(np, x.shape[0], x.shape[1:-1], x.shape[-1], pads, x.dtype)
    if value:
        made[...] = value
    made[_inside(x.shape[1:-1], pads)] = x
    return made


def _keys(size: Ints, out: Ints, strides: Ints, dilation: Ints) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """For each place in the window its index, and the key of what stands there."""
    found = []
    for index in product(*[range(k) for k in size]):
        key = tuple([slice(i * d, i * d + (n - 1) * s + 1, s) for i, n, s, d in zip(index, out, strides, dilation)])
        found.append((index, (..., *key, slice(None))))
    return found


def _places(lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Ints:
    """How many windows there are along each axis."""
    return tuple([(m + low + high - d * (k - 1) - 1) // s + 1
                  for m, k, s, (low, high), d in zip(lengths, size, strides, pads, dilation)])  # fmt: skip


def kept(np: Any, x: Any, mask: Any, out: Any = None) -> Any:
    """``where(mask, x, 0)`` for floating numbers, by their bits: a tenth of the time of ``np.where`` with a number."""
    whole = np.dtype(f"i{x.dtype.itemsize}")
    bits = np.negative(mask.view(np.int8)).astype(whole)  # all of them, or none
    made = np.bitwise_and(bits, x.view(whole), bits if out is None else out.view(whole))
    return made.view(x.dtype)


def window_kernels(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    """The kernels by name."""
    return _convolution(np) | _largest(np, generic) | _sums(np)


def _convolution(np: Any) -> dict[str, Callable[..., Any]]:
    """``conv_nd``, ``conv_input_nd`` and ``conv_weight_nd``."""

    def seen(x: Any, size: Ints, out: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        """All windows, (C, K, P * N); of a window of one element the array itself."""
        n, c = x.shape[:2]
        x = _padded(np, _front(x), pads)
        if prod(size) == 1:
            return x[_keys(size, out, strides, dilation)[0][1]].reshape(c, 1, n * prod(out))
        if not x.flags.c_contiguous:
            x = np.ascontiguousarray(x)
        made = np.empty((c, *size, *out, n), x.dtype)
        for index, key in _keys(size, out, strides, dilation):
            made[(slice(None), *index)] = x[key]
        return made.reshape(c, prod(size), n * prod(out))

    def conv(x: Any, w: Any, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        n, size, many = x.shape[0], w.shape[2:], w.shape[0]
        out = _places(x.shape[2:], size, strides, pads, dilation)
        columns = seen(x, size, out, strides, pads, dilation)
        width = w.shape[1] * prod(size)
        if groups == 1:
            made = w.reshape(many, width).dot(columns.reshape(width, n * prod(out)))
        else:
            rows = w.reshape(groups, many // groups, width)
            made = np.matmul(rows, columns.reshape(groups, width, n * prod(out)))
        return _back(made.reshape(many, *out, n))

    def conv_input(g: Any, w: Any, lengths: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        n, size, out = g.shape[0], w.shape[2:], g.shape[2:]
        many, width, channels = w.shape[0], w.shape[1] * prod(size), w.shape[1] * groups
        if groups == 1:
            parts = w.reshape(many, width).T.dot(_front(g).reshape(many, n * prod(out)))
        else:
            columns = w.reshape(groups, many // groups, width).mT
            parts = np.matmul(columns, _front(g).reshape(groups, many // groups, n * prod(out)))
        if prod(size) == 1 == prod(strides) and not any(low or high for low, high in pads):
            return _back(parts.reshape(channels, *lengths, n))
        parts = parts.reshape(channels, *size, *out, n)
        total = _zeros(np, channels, lengths, n, pads, parts.dtype)
        for index, key in _keys(size, out, strides, dilation):
            total[key] += parts[(slice(None), *index)]
        return _back(total[_inside(lengths, pads)])

    def conv_weight(x: Any, g: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        n, out, many = x.shape[0], g.shape[2:], g.shape[1]
        columns = seen(x, size, out, strides, pads, dilation)
        width, places = x.shape[1] // groups * prod(size), n * prod(out)
        rows = _front(g).reshape(many, places)
        if groups == 1:
            made = rows.dot(columns.reshape(width, places).T)
        else:
            made = np.matmul(rows.reshape(groups, many // groups, places), columns.reshape(groups, width, places).mT)
        return made.reshape(many, x.shape[1] // groups, *size)

    return {"conv_nd": conv, "conv_input_nd": conv_input, "conv_weight_nd": conv_weight}


def _disjoint(size: Ints, strides: Ints, dilation: Ints) -> bool:
    """Whether no element is in two windows."""
    return all(s > d * (k - 1) for k, s, d in zip(size, strides, dilation))


def _largest(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    """``max_windows`` and ``spread_chosen``."""

    def max_windows(x: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        out = _places(x.shape[2:], size, strides, pads, dilation)
        around = _padded(np, _front(x), pads, -np.inf)
        (_, first), *others = _keys(size, out, strides, dilation)
        best = around[first].copy()
        chosen = np.zeros(best.shape, np.uint8 if len(others) < 256 else np.int64)
        larger = np.empty(best.shape, np.bool)
        mark = larger.view(np.uint8)
        for i, (_, key) in enumerate(others, 1):  # the first of equal places stays chosen
            part = around[key]
            np.greater(part, best, larger)
            np.maximum(best, part, out=best)
            np.maximum(chosen, np.multiply(mark, chosen.dtype.type(i)), out=chosen)
        # nan, and -inf, which padding is as well, are for the version that looks at each place
        if not np.isfinite(np.add.reduce(best, None)) and not np.isfinite(best).all():
            return generic("max_windows")(x, size, strides, pads, dilation)
        return _back(best), _back(chosen)

    def spread_chosen(
        g: Any, chosen: Any, lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints
    ) -> Any:
        g, chosen = _front(g), _front(chosen)
        total = _zeros(np, g.shape[0], lengths, g.shape[-1], pads, g.dtype)
        alone = _disjoint(size, strides, dilation)
        for i, (_, key) in enumerate(_keys(size, g.shape[1:-1], strides, dilation)):
            if alone:
                kept(np, g, chosen == i, total[key])
            else:
                total[key] += kept(np, g, chosen == i)
        return _back(total[_inside(lengths, pads)])

    return {"max_windows": max_windows, "spread_chosen": spread_chosen}


def _sums(np: Any) -> dict[str, Callable[..., Any]]:
    """``windows_sum`` and ``windows_spread``."""

    def windows_sum(x: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        out = _places(x.shape[2:], size, strides, pads, dilation)
        around = _padded(np, _front(x), pads)
        (_, first), *others = _keys(size, out, strides, dilation)
        total = around[first].copy(order="K")
        for _, key in others:
            total += around[key]
        return _back(total)

    def windows_spread(g: Any, lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        g = _front(g)
        total = _zeros(np, g.shape[0], lengths, g.shape[-1], pads, g.dtype)
        for _, key in _keys(size, g.shape[1:-1], strides, dilation):
            total[key] += g
        return _back(total[_inside(lengths, pads)])

    return {"windows_sum": windows_sum, "windows_spread": windows_spread}
