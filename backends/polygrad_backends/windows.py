"""Convolution and pooling with NumPy: one buffer of all windows, and one product of matrices.

Arrays are worked on with the channels in front, (C, N, *lengths), and results are seen as (N, C, *lengths): the product
over a whole batch is one matrix product then, and what the next layer needs is there without a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

__all__ = ["window_kernels"]

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def _front(x: Any) -> Any:
    """(N, C, ...) seen as (C, N, ...)."""
    return x.swapaxes(0, 1)


def _inside(lengths: Any, pads: Pairs) -> tuple[Any, ...]:
    return (..., *[slice(low, low + n) for n, (low, _) in zip(lengths, pads)])


def _padded(np: Any, x: Any, pads: Pairs) -> Any:
    """``x`` (C, N, ...) with zeros around, if any."""
    if not any(low or high for low, high in pads):
        return x
    lengths = x.shape[2:]
    made = np.zeros((*x.shape[:2], *[low + n + high for n, (low, high) in zip(lengths, pads)]), x.dtype)
    made[_inside(lengths, pads)] = x
    return made


def _keys(size: Ints, out: Ints, strides: Ints, dilation: Ints) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """For each place in the window its index, and the key of what stands there."""
    found = []
    for index in product(*[range(k) for k in size]):
        key = tuple([slice(i * d, i * d + (n - 1) * s + 1, s) for i, n, s, d in zip(index, out, strides, dilation)])
        found.append((index, (..., *key)))
    return found


def window_kernels(np: Any) -> dict[str, Callable[..., Any]]:
    """``conv_nd``, ``conv_input_nd`` and ``conv_weight_nd``."""

    def seen(x: Any, size: Ints, out: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        """All windows, (C, K, N * P); of a window of one element the array itself."""
        x = _front(x)
        c, n = x.shape[:2]
        x = _padded(np, x, pads)
        if prod(size) == 1:
            return x[_keys(size, out, strides, dilation)[0][1]].reshape(c, 1, n * prod(out))
        made = np.empty((c, *size, n, *out), x.dtype)
        for index, key in _keys(size, out, strides, dilation):
            made[(slice(None), *index)] = x[key]
        return made.reshape(c, prod(size), n * prod(out))

    def conv(x: Any, w: Any, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        n, size, many = x.shape[0], w.shape[2:], w.shape[0]
        out = tuple([(m + low + high - d * (k - 1) - 1) // s + 1
                     for m, k, s, (low, high), d in zip(x.shape[2:], size, strides, pads, dilation)])  # fmt: skip
        columns = seen(x, size, out, strides, pads, dilation)
        width = w.shape[1] * prod(size)
        if groups == 1:
            made = w.reshape(many, width).dot(columns.reshape(width, n * prod(out)))
        else:
            rows = w.reshape(groups, many // groups, width)
            made = np.matmul(rows, columns.reshape(groups, width, n * prod(out)))
        return _front(made.reshape(many, n, *out))

    def conv_input(g: Any, w: Any, lengths: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        n, size, out = g.shape[0], w.shape[2:], g.shape[2:]
        many, width, channels = w.shape[0], w.shape[1] * prod(size), w.shape[1] * groups
        if groups == 1:
            parts = w.reshape(many, width).T.dot(_front(g).reshape(many, n * prod(out)))
        else:
            columns = w.reshape(groups, many // groups, width).mT
            parts = np.matmul(columns, _front(g).reshape(groups, many // groups, n * prod(out)))
        if prod(size) == 1 == prod(strides) and not any(low or high for low, high in pads):
            return _front(parts.reshape(channels, n, *lengths))
        parts = parts.reshape(channels, *size, n, *out)
        total = np.zeros((channels, n, *[low + m + high for m, (low, high) in zip(lengths, pads)]), parts.dtype)
        for index, key in _keys(size, out, strides, dilation):
            total[key] += parts[(slice(None), *index)]
        return _front(total[_inside(lengths, pads)])

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
