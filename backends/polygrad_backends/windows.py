"""Pooling with NumPy: running maxima and sums over the places in a window. Arrays lie as in :mod:`.convolution`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .convolution import (
    Ints,
    Pairs,
    batch_first,
    batch_last,
    convolution_kernels,
    inside,
    padded,
    window_keys,
    window_places,
    zeros_around,
)

__all__ = ["kept", "window_kernels"]

Generic = Callable[[str], Callable[..., Any]]
"""The generic version of a kernel, on NumPy's namespace."""


def kept(np: Any, x: Any, mask: Any, out: Any = None) -> Any:
    """``where(mask, x, 0)`` for floating numbers, by their bits: a tenth of the time of ``np.where`` with a number. The mask
    is written over. ``out`` may be ``x``: NumPy widens the mask in pieces, without an array of its own."""
    whole = np.dtype(f"i{x.dtype.itemsize}")
    bits = mask.view(np.int8)
    np.negative(bits, bits)  # all of them, or none
    if out is None:
        bits = out = bits.astype(whole)
    else:
        out = out.view(whole)
    return np.bitwise_and(bits, x.view(whole), out).view(x.dtype)


def window_kernels(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    """The kernels by name."""
    return convolution_kernels(np) | _largest(np, generic) | _sums(np)


def _disjoint(size: Ints, strides: Ints, dilation: Ints) -> bool:
    """Whether no element is in two windows."""
    return all(s > d * (k - 1) for k, s, d in zip(size, strides, dilation))


def _largest(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    """``max_windows`` and ``spread_chosen``."""

    def max_windows(x: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        out = window_places(x.shape[2:], size, strides, pads, dilation)
        around = padded(np, batch_last(x), pads, -np.inf)
        (_, first), *others = window_keys(size, out, strides, dilation)
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
        return batch_first(best), batch_first(chosen)

    def spread_chosen(
        g: Any, chosen: Any, lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints
    ) -> Any:
        g, chosen = batch_last(g), batch_last(chosen)
        total = zeros_around(np, g.shape[0], lengths, g.shape[-1], pads, g.dtype)
        alone = _disjoint(size, strides, dilation)
        for i, (_, key) in enumerate(window_keys(size, g.shape[1:-1], strides, dilation)):
            if alone:
                kept(np, g, chosen == i, total[key])
            else:
                total[key] += kept(np, g, chosen == i)
        return batch_first(total[inside(lengths, pads)])

    return {"max_windows": max_windows, "spread_chosen": spread_chosen}


def _sums(np: Any) -> dict[str, Callable[..., Any]]:
    """``windows_sum`` and ``windows_spread``."""

    def windows_sum(x: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        out = window_places(x.shape[2:], size, strides, pads, dilation)
        around = padded(np, batch_last(x), pads)
        (_, first), *others = window_keys(size, out, strides, dilation)
        total = around[first].copy(order="K")
        for _, key in others:
            total += around[key]
        return batch_first(total)

    def windows_spread(g: Any, lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        g = batch_last(g)
        total = zeros_around(np, g.shape[0], lengths, g.shape[-1], pads, g.dtype)
        for _, key in window_keys(size, g.shape[1:-1], strides, dilation):
            total[key] += g
        return batch_first(total[inside(lengths, pads)])

    return {"windows_sum": windows_sum, "windows_spread": windows_spread}
