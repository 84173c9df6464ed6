"""Sets: the distinct elements. A distinct value's gradient goes to its first occurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.apply import apply, apply_multiple
from ..core.declare import op
from ..core.operands import together
from ..typing import ArrayLike, Namespace, Raw
from .data_types import astype, result_type
from .indexing import take
from .manipulation import reshape

if TYPE_CHECKING:
    from ..tensor import Tensor


class UniqueAllResult(NamedTuple):
    """``values``, the ``indices`` of their first occurrences, ``inverse_indices`` and ``counts``."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCountsResult(NamedTuple):
    """``values`` and their ``counts``."""

    values: Any
    counts: Any


class UniqueInverseResult(NamedTuple):
    """``values`` and, for each element, the index of its value: ``inverse_indices``."""

    values: Any
    inverse_indices: Any


@op(multiple=True)
def _unique_all(xp: Namespace, x: Raw, /) -> tuple[Raw, ...]:
    return tuple(xp.unique_all(x))


@op()
def _unique_values(xp: Namespace, x: Raw, /) -> Raw:
    return xp.unique_values(x)


def unique_all(x: ArrayLike, /) -> UniqueAllResult:
    """The distinct elements, where they first occur, which one each element is, and how often each occurs.

    >>> import polygrad as pg
    >>> pg.unique_all(pg.asarray([2.0, 1.0, 2.0])).counts
    tensor([1, 2], dtype=int64)
    """
    (x,) = together("unique_all", (x,))
    values, indices, inverse, counts = apply_multiple(_unique_all, (x,))
    if x._node is not None:
        values = take(reshape(x, (-1,)), indices)
    return UniqueAllResult(values, indices, inverse, counts)


def unique_counts(x: ArrayLike, /) -> UniqueCountsResult:
    """The distinct elements and how often each occurs."""
    found = unique_all(x)
    return UniqueCountsResult(found.values, found.counts)


def unique_inverse(x: ArrayLike, /) -> UniqueInverseResult:
    """The distinct elements and, for each element, which one it is."""
    found = unique_all(x)
    return UniqueInverseResult(found.values, found.inverse_indices)


def unique_values(x: ArrayLike, /) -> Tensor:
    """The distinct elements."""
    (x,) = together("unique_values", (x,))
    if x._node is None:
        return apply(_unique_values, (x,))
    return unique_all(x).values  # type: ignore[no-any-return]


@op()
def _isin(xp: Namespace, x1: Raw, x2: Raw, /, invert: bool) -> Raw:
    found = xp.any(xp.expand_dims(x1, axis=-1) == xp.reshape(x2, (1,) * x1.ndim + (-1,)), axis=-1)
    return xp.logical_not(found) if invert else found


def isin(x1: ArrayLike, x2: ArrayLike, /, *, invert: bool = False) -> Tensor:
    """Whether each element of ``x1`` is among those of ``x2``."""
    x1, x2 = together("isin", (x1, x2))
    common = result_type(x1, x2)
    return apply(_isin, (astype(x1, common, copy=False), astype(x2, common, copy=False)), (invert,))
