"""NumPy's functions where the standard asks for more, for every backend that computes with NumPy."""

from __future__ import annotations

import os
from typing import Any, Final

from polygrad.errors import DTypeError

__all__ = ["expm1", "floor_divide", "keep_freed_memory", "refuse_mask", "sign", "tanh"]

_KEPT_BYTES: Final = 1 << 24


def keep_freed_memory(np: Any) -> None:
    """Let the memory of arrays that are freed stay with the process, for those that come next.

    glibc takes blocks of 128 kB and more from the system one by one, and gives them back at once: each new array is paged
    in, which takes longer than elementwise work on it. When a larger block is freed, blocks up to its size are kept from
    then on, and of what is free twice as much (the dynamic threshold of mallopt(3)). So one is freed here; it is never
    written to, costs nothing, and to other allocators it means nothing. Whoever sets ``MALLOC_MMAP_THRESHOLD_`` or
    ``MALLOC_TRIM_THRESHOLD_`` has chosen, and nothing changes; ``POLYGRAD_KEEP_FREED=0`` leaves the allocator alone.
    """
    if os.environ.get("POLYGRAD_KEEP_FREED") != "0":
        np.empty(_KEPT_BYTES, np.uint8)


def refuse_mask(array: Any) -> None:
    """Let no masked array in, whose hidden entries would count as numbers.

    Raises:
        DTypeError: if an entry is masked.
    """
    mask = getattr(array, "mask", None)
    if hasattr(array, "filled") and getattr(mask, "any", lambda: False)():
        raise DTypeError(
            f"asarray: a masked array of shape {array.shape} with masked entries, which polygrad has no notion of; give "
            "x.filled(value), or x.data and the mask as an array of its own"
        )


def expm1(np: Any, z: Any) -> Any:
    """``exp(z) - 1``, for complex numbers without cancellation and with the standard's limits.

    Re = expm1(x) cos y - 2 sin(y / 2)^2 and Im = exp(x) sin y; NumPy's own subtracts 1 from exp(z).
    """
    if z.dtype.kind != "c":
        return np.expm1(z)
    x, y = z.real, z.imag
    with np.errstate(all="ignore"):
        half, less = np.sin(y / 2), np.expm1(x)
        real, imag = less * np.cos(y) - 2 * half * half, np.exp(x) * np.sin(y)
    on_axis, turning = y == 0, ~np.isfinite(y)
    lowest, highest = x == -np.inf, x == np.inf
    made = np.empty(z.shape, z.dtype)
    made.real = np.where(on_axis, less + 0.0, np.where(lowest, -1.0, np.where(highest & turning, np.inf, real)))
    made.imag = np.where(on_axis, y, np.where(lowest & turning, 0.0, np.where(highest & turning, np.nan, imag)))
    return made


def floor_divide(np: Any, x1: Any, x2: Any) -> Any:
    """``floor(x1 / x2)``; the standard's limits with infinities, where NumPy's gives nan or -1."""
    made = x1 // x2
    if made.dtype.kind != "f":
        return made
    infinite = np.isinf(x1) | np.isinf(x2)
    if infinite.any():
        with np.errstate(all="ignore"):
            made = np.where(infinite, x1 / x2, made)
    return made


def sign(np: Any, x: Any) -> Any:
    """``sign``, which NumPy has as the standard wants it."""
    return np.sign(x)


def tanh(np: Any, z: Any) -> Any:
    """``tanh``, for complex numbers +-1 where the real part is infinite, whatever the C library makes of it."""
    if z.dtype.kind != "c":
        return np.tanh(z)
    made = np.asarray(np.tanh(z))
    end = np.isinf(z.real)
    if end.any():
        made.real[end] = np.copysign(1.0, z.real)[end]
        made.imag[end] = np.copysign(0.0, z.imag)[end]
    return made
