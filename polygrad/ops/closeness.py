"""Comparison within a tolerance, and the step function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.declare import op
from ..core.operands import together
from ..typing import ArrayLike, Namespace, Raw
from .arguments import as_floating
from .data_types import astype, result_type
from .elementwise import abs, flat
from .logic import equal, isfinite, isnan, less_equal, logical_and, logical_or
from .searching import where
from .utility import all

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["allclose", "heaviside", "isclose"]


def isclose(a: ArrayLike, b: ArrayLike, /, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Where ``abs(a - b) <= atol + rtol * abs(b)``; equal infinities are close, and nan with ``equal_nan``.

    >>> import polygrad as pg
    >>> pg.isclose(pg.asarray([1.0, 1.0]), pg.asarray([1.0 + 1e-9, 1.1]))
    tensor([ True, False], dtype=bool)
    """
    cells: list[Any] = [as_floating("isclose", x, complex_too=True) for x in together("isclose", (a, b))]
    x, y = [v.detach() for v in cells]
    finite = logical_and(isfinite(x), isfinite(y))
    near = where(finite, x, 0.0), where(finite, y, 0.0)
    bound: Any = atol + rtol * abs(near[1])
    made = where(finite, less_equal(abs(near[0] - near[1]), bound), equal(x, y))
    return logical_or(made, logical_and(isnan(x), isnan(y))) if equal_nan else made


def allclose(
    a: ArrayLike, b: ArrayLike, /, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether all elements are close, as one boolean Tensor (which ``if`` and ``assert`` take). See :func:`isclose`.

    >>> import polygrad as pg
    >>> bool(pg.allclose(pg.asarray([1.0, 2.0]), pg.asarray([1.0, 2.0 + 1e-9])))
    True
    """
    return all(isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan))


# Constant but at 0, where the value is x2's.
def _at_zero(xp: Namespace, g: Raw, x1: Raw) -> Raw:
    return xp.where(x1 == 0, g, xp.zeros_like(g))


@op(vjps=[flat, _at_zero], jvps=[flat, _at_zero], broadcasts=True)
def _heaviside(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    return xp.where(x1 == 0, x2, 0.5 * xp.sign(x1) + 0.5)


def heaviside(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """0 where ``x1`` is negative, 1 where it is positive, ``x2`` where it is 0, element by element. The slope by ``x1``
    is 0 everywhere.

    >>> import polygrad as pg
    >>> pg.heaviside(pg.asarray([-2.0, 0.0, 3.0]), 0.5)
    tensor([0. , 0.5, 1. ], dtype=float64)

    Raises:
        DTypeError: for complex numbers.
    """
    cells = [as_floating("heaviside", x) for x in together("heaviside", (x1, x2))]
    common = result_type(*cells)
    return apply(_heaviside, [astype(x, common, copy=False) for x in cells])
