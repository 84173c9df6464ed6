"""Sorting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.apply import apply
from ..core.declare import op
from ..core.operands import together
from ..typing import ArrayLike, Namespace, Raw
from .indexing import take_along_axis
from .manipulation import normal_axis

if TYPE_CHECKING:
    from ..tensor import Tensor


@op()
def _argsort(xp: Namespace, x: Raw, /, axis: int, descending: bool, stable: bool) -> Raw:
    return xp.argsort(x, axis=axis, descending=descending, stable=stable)


def argsort(x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that sort ``x`` along ``axis``; they have no derivative."""
    (x,) = together("argsort", (x,))
    place = normal_axis("argsort", axis, x._value.ndim)
    return apply(_argsort, (x,), (place, descending, stable))


@op()
def _sort(xp: Namespace, x: Raw, /, axis: int, descending: bool, stable: bool) -> Raw:
    return xp.sort(x, axis=axis, descending=descending, stable=stable)


def sort(x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """``x`` sorted along ``axis``; each element's gradient goes back to where it came from."""
    (x,) = together("sort", (x,))
    place = normal_axis("sort", axis, x._value.ndim)
    if x._node is None:
        return apply(_sort, (x,), (place, descending, stable))
    return take_along_axis(x, argsort(x, axis=place, descending=descending, stable=stable), axis=place)
