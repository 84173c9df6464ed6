"""``pad``: an array with values around it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from ..core.cell import Cell
from ..core.operands import SCALARS, together
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike
from .creation import arange, asarray, full
from .data_types import astype
from .elementwise import clip, remainder
from .indexing import take
from .manipulation import broadcast_to, concat, normal_axis, with_entries
from .searching import where

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["pad"]

_MODES: Final = ("constant", "edge", "reflect", "symmetric", "wrap")

Pair = tuple[Any, Any]


def pad(array: ArrayLike, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Tensor:
    """An array with ``pad_width`` elements before and behind it along each axis.

    Args:
        array: of any dtype.
        pad_width: NumPy's forms: one number for all, ``(before, after)`` for each axis, a pair for every axis, or a
            dictionary of axes with a number or a pair for each.
        mode: ``"constant"``; ``"edge"`` repeats the last element; ``"reflect"`` and ``"symmetric"`` mirror the array,
            without and with its last element; ``"wrap"`` goes on at the other end.
        constant_values: what ``"constant"`` puts there, in the forms of ``pad_width``; Tensors get gradients.

    Raises:
        ValueError: for another mode or negative widths.
        ShapeError: if ``pad_width`` does not fit the dimensions, or there is nothing to repeat.
        DTypeError: if a constant would change in the array's dtype.

    >>> import polygrad as pg
    >>> pg.pad(pg.asarray([1.0, 2.0, 3.0]), (2, 1), mode="reflect")
    tensor([3., 2., 1., 2., 3., 2.], dtype=float64)
    >>> pg.pad(pg.asarray([1.0, 2.0]), 1)
    tensor([0., 1., 2., 0.], dtype=float64)
    """
    if mode not in _MODES:
        raise ValueError(f"pad: mode {mode!r} is not one of {', '.join(_MODES)}")
    if mode != "constant" and not (type(constant_values) is int and constant_values == 0):
        raise ValueError(f"pad: constant_values belong to mode='constant', not to {mode!r}")
    (x,) = together("pad", (array,))
    widths = _widths(pad_width, tuple(x._value.shape))
    if mode == "constant":
        return _constant(x, widths, constant_values)  # type: ignore[no-any-return]
    made = asarray(x, copy=True) if not any(sum(pair) for pair in widths) else x
    for axis, pair in enumerate(widths):
        made = _continued(made, axis, pair, mode)
    return made


# -- widths ------------------------------------------------------------------------------------------


def _widths(given: Any, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """How many elements to put before and behind along each axis."""
    ndim = len(shape)
    if isinstance(given, dict):
        by_axis: dict[int, Any] = {normal_axis("pad", a, ndim): v for a, v in given.items()}
        pairs = [_pairs(by_axis.get(a, 0), 1, "pad_width")[0] for a in range(ndim)]
    else:
        pairs = _pairs(given, ndim, "pad_width")
    try:
        made = [(before.__index__(), after.__index__()) for before, after in pairs]
    except AttributeError:
        raise TypeError(f"pad: pad_width must be whole numbers, not {given!r}") from None
    if any(n < 0 for pair in made for n in pair):
        raise ValueError(f"pad: pad_width must not be negative, got {given!r}")
    return made


def _pairs(given: Any, ndim: int, name: str) -> list[Pair]:
    """One pair for each axis from NumPy's forms: ``a``, ``(a,)``, ``(a, b)``, ``((a, b),)``, ``((a, b), (c, d), ...)``
    and ``((a,), (c,), ...)``."""
    rows = _listed(given)
    if not isinstance(rows, list):
        return [(rows, rows)] * ndim
    if any(isinstance(row, list) for row in rows):
        made = [row if isinstance(row, list) else [row] for row in rows]
        if len(made) in (1, ndim) and all(len(row) in (1, 2) for row in made):
            return [(row[0], row[-1]) for row in (made * ndim if len(made) == 1 else made)]
    elif len(rows) in (1, 2):
        return [(rows[0], rows[-1])] * ndim
    raise ShapeError(
        f"pad: {name}={given!r} fits no array of {ndim} dimensions; give a number or pairs, one for each axis"
    )


def _listed(given: Any) -> Any:
    """Tuples and arrays as lists; the rows of a Tensor keep their graph."""
    if isinstance(given, (list, tuple)):
        return [_listed(v) for v in given]
    if isinstance(given, Cell):
        shape = given._value.shape
        tensor: Any = given
        return [_listed(tensor[i, ...]) for i in range(shape[0])] if shape else given
    return _listed(given.tolist()) if hasattr(given, "tolist") and hasattr(given, "dtype") else given


# -- constants ---------------------------------------------------------------------------------------


def _constant(x: Any, widths: list[tuple[int, int]], values: Any) -> Any:
    shape = tuple(x._value.shape)
    if type(values) in SCALARS:  # the same everywhere: one array to fill
        size = tuple([before + n + after for n, (before, after) in zip(shape, widths, strict=True)])
        key = tuple([slice(before, before + n) for n, (before, _) in zip(shape, widths, strict=True)])
        around = full(size, _fitting(x, values), dtype=x.dtype, device=x.device)
        return with_entries(around, (*key, ...), x)
    made = asarray(x, copy=True) if not any(sum(pair) for pair in widths) else x
    for axis, (pair, constants) in enumerate(zip(widths, _pairs(values, len(shape), "constant_values"), strict=True)):
        now = tuple(made._value.shape)
        ends = [_block(x, v, (*now[:axis], n, *now[axis + 1 :])) for n, v in zip(pair, constants, strict=True)]
        parts = [*([ends[0]] if pair[0] else []), made, *([ends[1]] if pair[1] else [])]
        made = concat(parts, axis=axis) if len(parts) > 1 else made
    return made


def _fitting(x: Any, value: Any) -> Any:
    """A constant, if the array's dtype has it; numbers such as 1.0 and 0 are whole numbers and booleans too."""
    kind: str = x.dtype.kind
    if type(value) in SCALARS:
        own = {"b": bool, "i": int, "u": int, "f": float, "c": complex}[kind]
        if not isinstance(value, complex) or kind == "c":
            infinite = isinstance(value, float) and not math.isfinite(value)
            if (not infinite and own(value) == value) or (infinite and kind in "fc"):
                return own(value)
    elif "biufc".index(value.dtype.kind) <= "biufc".index(kind):
        return value
    raise DTypeError(f"pad: the constant {value!r} does not fit into an array of {x.dtype}")


def _block(x: Any, value: Any, shape: tuple[int, ...]) -> Any:
    x, value = together("pad", (x, _fitting(x, value)))
    return broadcast_to(astype(value, x.dtype, copy=False), shape)


# -- continuation ------------------------------------------------------------------------------------


def _continued(x: Any, axis: int, pair: tuple[int, int], mode: str) -> Any:
    n = x._value.shape[axis]
    if not any(pair):
        return x
    if n == 0:
        raise ShapeError(
            f"pad: axis {axis} of shape {tuple(x._value.shape)} is empty, mode {mode!r} has nothing to repeat"
        )
    before, after = pair
    ends = [
        take(x, _sources(arange(start, stop, device=x.device), n, mode), axis=axis) if stop > start else None
        for start, stop in ((-before, 0), (n, n + after))
    ]
    return concat([part for part in (ends[0], x, ends[1]) if part is not None], axis=axis)


def _sources(places: Any, n: int, mode: str) -> Any:
    """Which elements stand at places outside of 0 to n - 1."""
    if mode == "edge":
        return clip(places, 0, n - 1)
    if mode == "wrap":
        return remainder(places, n)
    last = n - 1 if mode == "reflect" else n
    if last == 0:
        return remainder(places, 1)
    folded = remainder(places, 2 * last)  # there and back
    turned = 2 * last - folded if mode == "reflect" else 2 * last - 1 - folded
    return where(folded < n, folded, turned)
