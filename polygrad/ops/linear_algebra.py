"""Linear algebra of the main namespace: products of matrices and vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.cell import Cell
from ..core.declare import binary, op
from ..core.kernels import kernel
from ..core.operands import together
from ..errors import ShapeError
from ..typing import ArrayLike, Namespace, Raw
from .manipulation import broadcast_shapes, broadcast_to, normal_axes, normal_axis, permute_dims, reshape, view_of

if TYPE_CHECKING:
    from ..tensor import Tensor

# -- matmul ------------------------------------------------------------------------------------------
# out = A B has cotangents G B^H and A^H G; a vector is a matrix of one row or one column.


def _misfit(x1: Raw, x2: Raw, error: Exception) -> Exception:
    a, b = tuple(getattr(x1, "shape", ())), tuple(getattr(x2, "shape", ()))
    if not a or not b:
        return ShapeError(f"matmul: shapes {a} and {b}: a 0-d array is no matrix; use * for scaling")
    inner = b[-2 if len(b) > 1 else 0]
    if a[-1] != inner:
        return ShapeError(f"matmul: shapes {a} and {b} do not fit: the inner lengths {a[-1]} and {inner} differ")
    if len(a) > 2 and len(b) > 2:
        broadcast_shapes(a[:-2], b[:-2])
    return error


@binary(
    vjps=(lambda xp, g, x2: xp.matmul_2d(g, xp.adjoint(x2)), lambda xp, g, x1: xp.matmul_2d(xp.adjoint(x1), g)),
    real_vjps=(
        lambda xp, g, x2: xp.matmul_2d(g, xp.matrix_transpose(x2)),
        lambda xp, g, x1: xp.matmul_2d(xp.matrix_transpose(x1), g),
    ),
    jvps=(lambda xp, t, x2: xp.matmul_2d(t, x2), lambda xp, t, x1: xp.matmul_2d(x1, t)),
    same_shape=True,
    misfit=_misfit,
)
def matmul_matrices(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``matmul`` of two matrices, by far the most common case."""
    return xp.matmul_2d(x1, x2)


@kernel
def matmul_2d(xp: Namespace, x1: Raw, x2: Raw) -> Raw:
    """The product of two matrices."""
    return xp.matmul(x1, x2)


# Networks keep weights as (out, in). out = X W^T has cotangents G W* and G^T X*: all of them in the order of memory that
# weights, and so optimisers, have.
@binary(
    vjps=(
        lambda xp, g, x2: xp.matmul_2d(g, xp.conj(x2)),
        lambda xp, g, x1: xp.matmul_2d(xp.matrix_transpose(g), xp.conj(x1)),
    ),
    real_vjps=(
        lambda xp, g, x2: xp.matmul_2d(g, x2),
        lambda xp, g, x1: xp.matmul_2d(xp.matrix_transpose(g), x1),
    ),
    jvps=(
        lambda xp, t, x2: xp.matmul_2d(t, xp.matrix_transpose(x2)),
        lambda xp, t, x1: xp.matmul_2d(x1, xp.matrix_transpose(t)),
    ),
    same_shape=True,
)
def linear_rows(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 @ x2.T`` of two matrices."""
    return xp.matmul_2d(x1, xp.matrix_transpose(x2))


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T``: rows through a linear map, as one product of matrices.

    Args:
        x: shape (..., in).
        weight: shape (out, in).

    Returns:
        Shape (..., out).

    Raises:
        ShapeError: if the last axis of ``x`` is not the weight's ``in``.

    >>> import polygrad as pg
    >>> pg.neural.linear(pg.ones((2, 3)), pg.ones((1, 3)))
    tensor([[3.],
            [3.]], dtype=float64)
    """
    x, weight = together("linear", (x, weight))
    shape = x.shape
    if not shape or weight.ndim != 2 or shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: x of shape {shape} does not fit a weight of shape {weight.shape}; x must be (..., in) and the "
            "weight (out, in)"
        )
    if len(shape) == 2:
        return linear_rows(x, weight)
    if len(shape) == 1:
        return _matmul(x, weight.T)
    rows = 1
    for n in shape[:-1]:
        rows *= n
    return reshape(linear_rows(reshape(x, (rows, shape[-1])), weight), (*shape[:-1], weight.shape[0]))


# With vectors and batches. The walk sums what was broadcast; one matrix for a whole batch has its cotangent
# from one product over the flattened batch.
def _matmul_first(xp: Namespace, g: Raw, x1_ndim: int, x2: Raw) -> Raw:
    n1, n2 = x1_ndim, x2.ndim
    if n1 == 1 and n2 == 1:
        return xp.strong_multiply(g, xp.conj(x2))
    if n2 == 1:  # (..., n, k) @ (k) = (..., n)
        return xp.expand_dims(g, axis=-1) * xp.conj(x2)
    if n1 == 1:  # (k) @ (..., k, m) = (..., m)
        return xp.matmul(xp.conj(x2), xp.expand_dims(g, axis=-1))[..., 0]
    return xp.matmul(g, xp.adjoint(x2))


def _matmul_second(xp: Namespace, g: Raw, x1: Raw, x2_ndim: int) -> Raw:
    n1, n2 = x1.ndim, x2_ndim
    if n1 == 1 and n2 == 1:
        return xp.conj(x1) * g
    if n1 == 1:
        return xp.expand_dims(xp.conj(x1), axis=-1) * xp.expand_dims(g, axis=-2)
    if n2 > 2:
        return xp.matmul(xp.adjoint(x1), g)
    rows, width = 1, x1.shape[-1]
    for n in x1.shape[:-1]:
        rows *= n
    flat = xp.adjoint(xp.reshape(x1, (rows, width)))
    return xp.matmul(flat, xp.reshape(g, (rows,) if n2 == 1 else (rows, g.shape[-1])))


@binary(
    vjps=(_matmul_first, _matmul_second),
    jvps=(lambda xp, t, x2: xp.matmul(t, x2), lambda xp, t, x1: xp.matmul(x1, t)),
    broadcasts=True,
    misfit=_misfit,
)
def _matmul(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    return xp.matmul(x1, x2)


def matmul(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The matrix product over the last two axes; one-dimensional arguments are vectors.

    >>> import polygrad as pg
    >>> pg.matmul(pg.ones((2, 3)), pg.ones(3))
    tensor([3., 3.], dtype=float64)

    Raises:
        ShapeError: if the inner lengths differ.
    """
    if isinstance(x1, Cell) and isinstance(x2, Cell) and x1._value.ndim == 2 == x2._value.ndim:
        return matmul_matrices(x1, x2)
    return _matmul(x1, x2)


def _product(x1: Any, x2: Any) -> Any:
    if isinstance(x1, Cell) and isinstance(x2, Cell) and x1._value.ndim == 2 == x2._value.ndim:
        return matmul_matrices(x1, x2)
    return _matmul.operator(x1, x2)  # type: ignore[attr-defined]


matmul.operator = _product  # type: ignore[attr-defined]


# -- transposition -----------------------------------------------------------------------------------


@op(
    vjps=[lambda xp, g: xp.matrix_transpose(g)],
    jvps=[lambda xp, t: xp.matrix_transpose(t)],
)
def _matrix_transpose(xp: Namespace, x: Raw, /) -> Raw:
    return xp.matrix_transpose(x)


def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """A view with the last two axes exchanged."""
    (x,) = together("matrix_transpose", (x,))
    if x._value.ndim < 2:
        raise ShapeError(f"matrix_transpose: needs at least 2 dimensions, got shape {tuple(x._value.shape)}")
    return view_of(  # type: ignore[no-any-return]
        _matrix_transpose, x, (), matrix_transpose, lambda base, made: matrix_transpose(made)
    )


# -- tensordot and vecdot ----------------------------------------------------------------------------
# out[i.., j..] = sum_k x1[i.., k..] x2[k.., j..]. The cotangent of x1 sums out j.. against conj(x2), and its
# axes come out as (i.., k in the order of axes1): they go back to their places.


def _tensordot_first(xp: Namespace, g: Raw, x2: Raw, axes1: tuple[int, ...], axes2: tuple[int, ...]) -> Raw:
    free = x2.ndim - len(axes2)
    n = g.ndim - free
    others = tuple(a for a in range(x2.ndim) if a not in axes2)
    made = xp.tensordot(g, xp.conj(x2), axes=(tuple(range(n, g.ndim)), others))
    # made's axes: x1's free ones, then x2's contracted ones in x2's order; axes1[k] pairs with axes2[k]
    kept = [a for a in range(n + len(axes1)) if a not in axes1]
    by_second = [a1 for _, a1 in sorted(zip(axes2, axes1, strict=True))]
    return xp.permute_dims(made, _places(kept + by_second))


def _tensordot_second(xp: Namespace, g: Raw, x1: Raw, axes1: tuple[int, ...], axes2: tuple[int, ...]) -> Raw:
    free = x1.ndim - len(axes1)
    n = g.ndim - free
    others = tuple(a for a in range(x1.ndim) if a not in axes1)
    made = xp.tensordot(xp.conj(x1), g, axes=(others, tuple(range(free))))
    # made's axes: x1's contracted ones in x1's order, then x2's free ones
    kept = [a for a in range(n + len(axes2)) if a not in axes2]
    by_first = [a2 for _, a2 in sorted(zip(axes1, axes2, strict=True))]
    return xp.permute_dims(made, _places(by_first + kept))


def _places(order: list[int]) -> tuple[int, ...]:
    """The permutation that puts axis i of an array at place ``order[i]``."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


@op(
    vjps=[_tensordot_first, _tensordot_second],
    jvps=[
        lambda xp, t, x2, axes1, axes2: xp.tensordot(t, x2, axes=(axes1, axes2)),
        lambda xp, t, x1, axes1, axes2: xp.tensordot(x1, t, axes=(axes1, axes2)),
    ],
)
def _tensordot(xp: Namespace, x1: Raw, x2: Raw, /, axes1: tuple[int, ...], axes2: tuple[int, ...]) -> Raw:
    return xp.tensordot(x1, x2, axes=(axes1, axes2))


def tensordot(x1: ArrayLike, x2: ArrayLike, /, *, axes: int | tuple[Any, Any] = 2) -> Tensor:
    """The sum of products over pairs of axes: the last ``axes`` of ``x1`` with the first of ``x2``, or
    ``axes[0][k]`` of ``x1`` with ``axes[1][k]`` of ``x2``, in that order."""
    x1, x2 = together("tensordot", (x1, x2))
    n1, n2 = x1._value.ndim, x2._value.ndim
    if isinstance(axes, int):
        if axes > min(n1, n2) or axes < 0:
            raise ShapeError(f"tensordot: axes={axes} for arrays of {n1} and {n2} dimensions")
        axes1, axes2 = tuple(range(n1 - axes, n1)), tuple(range(axes))
    else:
        axes1, axes2 = normal_axes("tensordot", axes[0], n1), normal_axes("tensordot", axes[1], n2)
    shape1, shape2 = tuple(x1._value.shape), tuple(x2._value.shape)
    if [shape1[a] for a in axes1] != [shape2[a] for a in axes2]:
        raise ShapeError(f"tensordot: shapes {shape1} and {shape2} do not fit over axes {axes1} and {axes2}")
    return apply(_tensordot, (x1, x2), (axes1, axes2))


# out = sum conj(x1) x2: conjugate-linear in x1, so that its cotangent is conj(g) x2.
@op(
    vjps=[
        lambda xp, g, x2, axis: xp.strong_multiply(xp.conj(xp.expand_dims(g, axis=axis)), x2),
        lambda xp, g, x1, axis: xp.strong_multiply(xp.expand_dims(g, axis=axis), x1),
    ],
    jvps=[
        lambda xp, t, x2, axis: xp.vecdot(t, x2, axis=axis),
        lambda xp, t, x1, axis: xp.vecdot(x1, t, axis=axis),
    ],
    broadcasts=True,
)
def _vecdot(xp: Namespace, x1: Raw, x2: Raw, /, axis: int) -> Raw:
    return xp.vecdot(x1, x2, axis=axis)


def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The sum of ``conj(x1) * x2`` along ``axis``, counted from the end; the other axes broadcast."""
    x1, x2 = together("vecdot", (x1, x2))
    shape1, shape2 = tuple(x1._value.shape), tuple(x2._value.shape)
    n = min(len(shape1), len(shape2))
    if not -n <= axis < 0:
        axis = normal_axis("vecdot", axis, max(len(shape1), len(shape2))) - max(len(shape1), len(shape2))
        if axis < -n:
            raise ShapeError(f"vecdot: axis {axis} is out of range for shapes {shape1} and {shape2}")
    if shape1[axis] != shape2[axis]:
        raise ShapeError(f"vecdot: lengths {shape1[axis]} and {shape2[axis]} of axis {axis} differ")
    common = broadcast_shapes(shape1, shape2)
    if shape1 != common:
        x1 = broadcast_to(x1, common)
    if shape2 != common:
        x2 = broadcast_to(x2, common)
    return apply(_vecdot, (x1, x2), (axis,))


def transpose(x: Tensor) -> Tensor:
    """``x.T``, for two dimensions only."""
    if x._value.ndim != 2:
        raise ShapeError(f"x.T is for 2 dimensions, this array has {x._value.ndim}; use x.mT or pg.permute_dims")
    return permute_dims(x, (1, 0))
