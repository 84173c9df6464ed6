"""Products, powers and parts of matrices, and the matrix exponential."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...core.apply import apply
from ...core.declare import op
from ...core.operands import together
from ...errors import ShapeError
from ...typing import ArrayLike, DTypeLike, Namespace, Raw
from ..linear_algebra import matmul
from ..manipulation import broadcast_shapes, reshape, roll
from ..statistical import sum as sum_
from .arguments import square
from .solving import inv

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = ["cross", "diagonal", "expm", "kron", "matrix_power", "multi_dot", "outer", "trace"]


# -- products ----------------------------------------------------------------------------------------


def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The cross products of vectors of length 3 along ``axis``, counted from the end; the other axes broadcast.

    >>> import polygrad as pg
    >>> pg.linalg.cross(pg.asarray([1.0, 0.0, 0.0]), pg.asarray([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.], dtype=float64)

    Raises:
        ShapeError: if the length along the axis is not 3, or the shapes do not broadcast.
    """
    x1, x2 = together("cross", (x1, x2))
    shape1, shape2 = tuple(x1._value.shape), tuple(x2._value.shape)
    ndim = max(len(shape1), len(shape2))
    axis = axis - ndim if 0 <= axis < ndim else axis
    if not -min(len(shape1), len(shape2)) <= axis < 0 or shape1[axis] != 3 or shape2[axis] != 3:
        raise ShapeError(f"cross: needs length 3 along axis {axis} of both, got shapes {shape1} and {shape2}")
    broadcast_shapes(shape1, shape2)
    # out_i = a_(i+1) b_(i+2) - a_(i+2) b_(i+1)
    a1, a2 = roll(x1, -1, axis=axis), roll(x1, -2, axis=axis)
    b1, b2 = roll(x2, -1, axis=axis), roll(x2, -2, axis=axis)
    return a1 * b2 - a2 * b1


def outer(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The products of each element of the vector ``x1`` with each of ``x2``; nothing is conjugated.

    >>> import polygrad as pg
    >>> pg.linalg.outer(pg.asarray([1.0, 2.0]), pg.asarray([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]], dtype=float64)

    Raises:
        ShapeError: if one is not a vector.
    """
    x1, x2 = together("outer", (x1, x2))
    if x1._value.ndim != 1 or x2._value.ndim != 1:
        raise ShapeError(f"outer: needs two vectors, got shapes {tuple(x1._value.shape)} and {tuple(x2._value.shape)}")
    return x1[:, None] * x2[None, :]  # type: ignore[no-any-return]


def kron(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The Kronecker product: blocks of ``x2``, one for each element of ``x1``, times that. As many dimensions as the
    larger one has.

    >>> import polygrad as pg
    >>> pg.linalg.kron(pg.asarray([[1.0, 2.0]]), pg.eye(2))
    tensor([[1., 0., 2., 0.],
            [0., 1., 0., 2.]], dtype=float64)
    """
    x1, x2 = together("kron", (x1, x2))
    shape1, shape2 = tuple(x1._value.shape), tuple(x2._value.shape)
    ndim = max(len(shape1), len(shape2))
    shape1, shape2 = (1,) * (ndim - len(shape1)) + shape1, (1,) * (ndim - len(shape2)) + shape2
    apart1 = [n for length in shape1 for n in (length, 1)]
    apart2 = [n for length in shape2 for n in (1, length)]
    product: Any = reshape(x1, tuple(apart1)) * reshape(x2, tuple(apart2))
    return reshape(product, tuple(a * b for a, b in zip(shape1, shape2, strict=True)))


def multi_dot(arrays: Sequence[ArrayLike], /) -> Tensor:
    """The product of two or more matrices in the order that costs the least; the first and last may be vectors.

    >>> import polygrad as pg
    >>> pg.linalg.multi_dot([pg.ones((2, 100)), pg.ones((100, 3)), pg.ones(3)])
    tensor([300., 300.], dtype=float64)

    Raises:
        ShapeError: if there are fewer than two arrays, or the shapes do not fit.
    """
    cells = together("multi_dot", list(arrays))
    shapes = [tuple(x._value.shape) for x in cells]
    fits = len(cells) > 1 and all(
        len(s) == 2 or (len(s) == 1 and i in (0, len(cells) - 1)) for i, s in enumerate(shapes)
    )
    if not fits or any(a[-1] != b[0] for a, b in pairwise(shapes)):
        raise ShapeError(f"multi_dot: needs two or more matrices whose inner lengths agree, got shapes {shapes}")
    sizes = [1 if len(shapes[0]) == 1 else shapes[0][0], *(s[0] for s in shapes[1:])]
    sizes.append(1 if len(shapes[-1]) == 1 else shapes[-1][1])
    split = _cheapest(sizes)

    def product(i: int, j: int) -> Any:
        return cells[i] if i == j else matmul(product(i, split[i, j]), product(split[i, j] + 1, j))

    return product(0, len(cells) - 1)  # type: ignore[no-any-return]


def _cheapest(sizes: list[int]) -> dict[tuple[int, int], int]:
    """For each run of matrices (the k-th is ``sizes[k]`` by ``sizes[k + 1]``) the place to split it."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split = {}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            ways = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            split[i, j] = min(ways, key=ways.__getitem__)
            cost[i, j] = ways[split[i, j]]
    return split


# -- powers ------------------------------------------------------------------------------------------


@op(vjps=[lambda xp, g: xp.zeros_like(g)], jvps=[lambda xp, t: xp.zeros_like(t)])
def _power_zero(xp: Namespace, x: Raw, /) -> Raw:
    return xp.broadcast_to(xp.eye(x.shape[-1], dtype=x.dtype), x.shape)


def matrix_power(x: ArrayLike, n: int, /) -> Tensor:
    """The ``n``-th power of square matrices ``(..., M, M)`` by repeated squaring; of the inverse if ``n`` is negative.

    >>> import polygrad as pg
    >>> pg.linalg.matrix_power(pg.asarray([[1.0, 1.0], [0.0, 1.0]]), 10)
    tensor([[ 1., 10.],
            [ 0.,  1.]], dtype=float64)

    Raises:
        ShapeError: if the matrices are not square.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
        TypeError: if ``n`` is not a whole number.
    """
    x = square("matrix_power", x)
    n = operator.index(n)
    if n == 0:
        return apply(_power_zero, (x,))
    base: Any = inv(x) if n < 0 else x
    n = abs(n)
    factors = []
    while n:
        if n % 2:
            factors.append(base)
        n //= 2
        if n:
            base = matmul(base, base)
    return reduce(matmul, factors) if len(factors) > 1 or factors[0] is not x else x * 1  # type: ignore[no-any-return]


# exp([[A, E], [0, A]]) = [[exp A, L], [0, exp A]], where L is the derivative at A along E; the adjoint is the
# derivative at A^H (Najfeld and Havel, 1995; Al-Mohy and Higham, 2009).
def _along(xp: Namespace, a: Raw, e: Raw) -> Raw:
    n = a.shape[-1]
    above = xp.concat([a, e], axis=-1)
    below = xp.concat([xp.zeros_like(a), a], axis=-1)
    return xp.linalg.expm(xp.concat([above, below], axis=-2))[..., :n, n:]


@op(
    vjps=[lambda xp, g, x: _along(xp, xp.adjoint(x), g)],
    jvps=[lambda xp, t, x: _along(xp, x, t)],
)
def _expm(xp: Namespace, x: Raw, /) -> Raw:
    return xp.linalg.expm(x)


def expm(x: ArrayLike, /) -> Tensor:
    """The exponentials of square matrices ``(..., M, M)``, by scaling and squaring.

    >>> import polygrad as pg
    >>> pg.linalg.expm(pg.asarray([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]], dtype=float64)

    Raises:
        ShapeError: if the matrices are not square.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    return apply(_expm, (square("expm", x),))


# -- parts -------------------------------------------------------------------------------------------


def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices ``(..., M, N)``: the ``offset``-th above the main one (below if negative). A view
    where the library can make one.

    >>> import polygrad as pg
    >>> pg.linalg.diagonal(pg.asarray([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.], dtype=float64)

    Raises:
        ShapeError: if ``x`` is no matrix.
    """
    (x,) = together("diagonal", (x,))
    shape = tuple(x._value.shape)
    if len(shape) < 2:
        raise ShapeError(f"diagonal: needs a matrix (at least 2 dimensions), got shape {shape}")
    m, n = shape[-2:]
    length = max(min(m, n - offset) if offset >= 0 else min(m + offset, n), 0)
    start = offset if offset >= 0 else -offset * n
    stop = start + (length - 1) * (n + 1) + 1 if length else start
    flat: Any = reshape(x, (*shape[:-2], m * n))
    return flat[..., start : stop : n + 1]  # type: ignore[no-any-return]


def trace(x: ArrayLike, /, *, offset: int = 0, dtype: DTypeLike | None = None) -> Tensor:
    """The sums of the diagonals of matrices ``(..., M, N)``: see :func:`diagonal`.

    >>> import polygrad as pg
    >>> pg.linalg.trace(pg.eye(3))
    tensor(3., dtype=float64)
    """
    (x,) = together("trace", (x,))
    if x._value.ndim < 2:
        raise ShapeError(f"trace: needs a matrix (at least 2 dimensions), got shape {tuple(x._value.shape)}")
    return sum_(diagonal(x, offset=offset), axis=-1, dtype=dtype)
