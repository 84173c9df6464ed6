"""Inverses, determinants and systems of equations, with the Cholesky factor.

The rules follow from differentiating the defining equation; the cotangents are the adjoints under
``Re(sum(conj(a) b))``, so that transposes are conjugated. See Giles, Collected matrix derivative results (2008).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.apply import apply, apply_multiple
from ...core.declare import op
from ...core.kernels import kernel
from ...typing import ArrayLike, Namespace, Raw
from ..manipulation import squeeze
from .arguments import hermitised, is_complex, pair, square, told

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = [
    "SlogdetResult", "adjugate", "cholesky", "derivative_of_adjugate", "det", "inv", "inv_or_inf", "slogdet", "solve",
    "solve_triangular",
]  # fmt: skip


# -- inverse -----------------------------------------------------------------------------------------
# d(A^-1) = -A^-1 dA A^-1.


def _inv_vjp(xp: Namespace, g: Raw, out: Raw) -> Raw:
    adjoint = xp.adjoint(out)
    return -xp.matmul(adjoint, xp.matmul(g, adjoint))


def _inv_jvp(xp: Namespace, t: Raw, out: Raw) -> Raw:
    return -xp.matmul(out, xp.matmul(t, out))


@op(vjps=[_inv_vjp], jvps=[_inv_jvp])
def _inv(xp: Namespace, x: Raw, /) -> Raw:
    with told("inv", x):
        return xp.linalg.inv(x)


def inv(x: ArrayLike, /) -> Tensor:
    """The inverses of square matrices ``(..., M, M)``.

    To solve equations, :func:`solve` is quicker and more accurate. At a singular matrix the array library decides:
    NumPy and PyTorch raise their ``LinAlgError``, JAX gives infinities.

    >>> import polygrad as pg
    >>> pg.linalg.inv(pg.asarray([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]], dtype=float64)

    Raises:
        ShapeError: if the matrices are not square.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    return apply(_inv, (square("inv", x),))


@op(vjps=[_inv_vjp], jvps=[_inv_jvp])
def _inv_or_inf(xp: Namespace, x: Raw, /) -> Raw:
    return xp.linalg.inv_or_inf(x)


def inv_or_inf(x: ArrayLike, /) -> Tensor:
    """The inverse, with infinities and nan instead of an error where there is none."""
    return apply(_inv_or_inf, (square("inv_or_inf", x),))


# -- determinant -------------------------------------------------------------------------------------
# d det(A) = tr(adj(A) dA) at every rank: the adjugate, not det(A) A^-1, which does not exist at a singular A.


def _det_vjp(xp: Namespace, g: Raw, x: Raw) -> Raw:
    return g[..., None, None] * xp.adjoint(xp.linalg.adjugate(x))


def _det_jvp(xp: Namespace, t: Raw, x: Raw) -> Raw:
    return xp.sum(xp.matrix_transpose(xp.linalg.adjugate(x)) * t, axis=(-2, -1))


@op(vjps=[_det_vjp], jvps=[_det_jvp])
def _det(xp: Namespace, x: Raw, /) -> Raw:
    return xp.linalg.det(x)


def det(x: ArrayLike, /) -> Tensor:
    """The determinants of square matrices ``(..., M, M)``; that of an empty matrix is 1.

    The derivative is right at singular matrices too: the adjugate where the rank is M - 1, and 0 below.

    >>> import polygrad as pg
    >>> pg.linalg.det(pg.asarray([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2., dtype=float64)
    >>> pg.grad(pg.linalg.det)(pg.asarray([[1.0, 2.0], [2.0, 4.0]]))
    tensor([[ 4., -2.],
            [-2.,  1.]], dtype=float64)

    Raises:
        ShapeError: if the matrices are not square.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    return apply(_det, (square("det", x),))


# adj(U S V^H + dA) with M = U^H dA V: to first order adj(S + M) has -M_ij P_ij off the diagonal and
# sum_k M_kk P_ik on it, where P_ij is the product of the singular values but the i-th and the j-th, and P_ii = 0.
# The map is its own adjoint.
def _adjugate_linear(xp: Namespace, m: Raw, s: Raw) -> Raw:
    n = s.shape[-1]
    products = xp.astype(_without_two(xp, s), m.dtype)
    diagonal = xp.matmul(products, xp.linalg.diagonal(m)[..., None])
    return xp.eye(n, dtype=m.dtype) * diagonal - products * m


def _without_two(xp: Namespace, s: Raw) -> Raw:
    """The products of all elements but the i-th and the j-th, without dividing; 0 for i = j."""
    n = s.shape[-1]
    before = xp.cumulative_prod(s, axis=-1, include_initial=True)[..., :n, None]
    behind = xp.flip(xp.cumulative_prod(xp.flip(s, axis=-1), axis=-1, include_initial=True), axis=-1)[..., None, 1:]
    later = xp.triu(xp.ones((n, n), dtype=s.dtype), k=1)
    factors = xp.where(later == 1, s[..., None, :], later + 1)  # 1 up to the i-th
    between = xp.cumulative_prod(factors, axis=-1, include_initial=True)[..., :n]
    upper = xp.triu(before * between * behind, k=1)
    return upper + xp.matrix_transpose(upper)


@kernel(space="linalg")
def _derivative_of_adjugate(xp: Namespace, x: Raw, t: Raw, /) -> Raw:
    """The derivative of ``adjugate(x)`` along ``t``."""
    if x.shape[-1] == 0:
        return t
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    phase = xp.linalg.det(u) * xp.linalg.det(vh)
    m = xp.matmul(xp.adjoint(u), xp.matmul(t, xp.adjoint(vh)))
    moved = xp.matmul(_adjugate_linear(xp, m, s), xp.adjoint(u))
    return phase[..., None, None] * xp.matmul(xp.adjoint(vh), moved)


# From the third derivative of a determinant on: singular vectors have no derivative where values are repeated, as the
# zeros of a low rank are, but the adjugate is a polynomial. By Faddeev and LeVerrier, with M = I and c = 1 at first,
# k = 1, 2, ...: c = -tr(A M) / k, M = A M + c I; after n - 1 steps, (-1)^(n - 1) M is adj(A). Here with its derivative.
def derivative_of_adjugate(x: Tensor, t: Tensor, /) -> Tensor:
    """The kernel on Tensors."""
    xp, n = x.__array_namespace__(), x.shape[-1]
    if n == 0:
        return t
    one = xp.eye(n, dtype=x.dtype, device=x.device)
    m, moved = one + 0 * x, 0 * t
    for k in range(1, n):
        product, change = xp.matmul(x, m), xp.matmul(t, m) + xp.matmul(x, moved)
        m = product - one * (xp.linalg.trace(product) / k)[..., None, None]
        moved = change - one * (xp.linalg.trace(change) / k)[..., None, None]
    return moved if n % 2 else -moved


# The entries of the derivative are second derivatives of the determinant, whose order does not matter.
def _adjugate_vjp(xp: Namespace, g: Raw, x: Raw) -> Raw:
    return xp.adjoint(xp.linalg.derivative_of_adjugate(x, xp.adjoint(g)))


def _adjugate_jvp(xp: Namespace, t: Raw, x: Raw) -> Raw:
    return xp.linalg.derivative_of_adjugate(x, t)


@op(vjps=[_adjugate_vjp], jvps=[_adjugate_jvp])
def _adjugate(xp: Namespace, x: Raw, /) -> Raw:
    return xp.linalg.adjugate(x)


def adjugate(x: ArrayLike, /) -> Tensor:
    """The transposed matrix of cofactors."""
    return apply(_adjugate, (square("adjugate", x),))


# -- sign and logarithm of the determinant -----------------------------------------------------------
# With z = tr(A^-1 dA): d log|det| = Re z, d sign = i sign Im z, which is 0 for real A.


class SlogdetResult(NamedTuple):
    """What :func:`slogdet` gives."""

    sign: Tensor
    logabsdet: Tensor


def _slogdet_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw) -> Raw:
    of_sign, of_log = g
    inverse = xp.adjoint(xp.linalg.inv_or_inf(x))
    if not is_complex(xp, x):
        return xp.zeros_like(x) if of_log is None else of_log[..., None, None] * inverse
    weight: Any = 0.0 if of_log is None else xp.astype(of_log, x.dtype)
    if of_sign is not None:
        weight = weight - 1j * xp.astype(xp.imag(xp.conj(of_sign) * out[0]), x.dtype)
    return weight[..., None, None] * inverse


def _slogdet_jvp(xp: Namespace, t: Raw, out: Raw, x: Raw) -> Raw:
    z = xp.sum(xp.matrix_transpose(xp.linalg.inv_or_inf(x)) * t, axis=(-2, -1))
    if not is_complex(xp, x):
        return [xp.zeros_like(z), z]
    return [1j * out[0] * xp.astype(xp.imag(z), z.dtype), xp.real(z)]


@op(vjps=[_slogdet_vjp], jvps=[_slogdet_jvp], multiple=True)
def _slogdet(xp: Namespace, x: Raw, /) -> Raw:
    return tuple(xp.linalg.slogdet(x))


def slogdet(x: ArrayLike, /) -> SlogdetResult:
    """The sign (of complex matrices: a number of magnitude 1) and the logarithm of the absolute value of the
    determinants of ``(..., M, M)``: right where the determinant itself would over- or underflow.

    At a singular matrix they are 0 and -inf, and the gradient has infinities or nan.

    >>> import polygrad as pg
    >>> sign, logabsdet = pg.linalg.slogdet(pg.eye(3) * -1e200)
    >>> sign, logabsdet
    (tensor(-1., dtype=float64), tensor(1381.5510558, dtype=float64))

    Raises:
        ShapeError: if the matrices are not square.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    return SlogdetResult(*apply_multiple(_slogdet, (square("slogdet", x),)))


# -- systems of equations ----------------------------------------------------------------------------
# A X = B: dX = A^-1 (dB - dA X), so that the cotangent of B is C = A^-H G, and that of A is -C X^H.


@op(
    vjps=[
        lambda xp, g, out, a: -xp.matmul(xp.linalg.solve(xp.adjoint(a), g), xp.adjoint(out)),
        lambda xp, g, a: xp.linalg.solve(xp.adjoint(a), g),
    ],
    jvps=[
        lambda xp, t, out, a: -xp.linalg.solve(a, xp.matmul(t, out)),
        lambda xp, t, a: xp.linalg.solve(a, t),
    ],
    broadcasts=True,
)
def _solve(xp: Namespace, a: Raw, b: Raw, /) -> Raw:
    with told("solve", a, b):
        return xp.linalg.solve(a, b)


def solve(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The solutions ``x`` of ``x1 @ x = x2``.

    Args:
        x1: square matrices ``(..., M, M)``.
        x2: one vector ``(M,)``, or matrices ``(..., M, K)``; the leading axes broadcast.

    At a singular matrix the array library decides: NumPy and PyTorch raise their ``LinAlgError``.

    >>> import polygrad as pg
    >>> pg.linalg.solve(pg.asarray([[2.0, 1.0], [0.0, 4.0]]), pg.asarray([4.0, 8.0]))
    tensor([1., 2.], dtype=float64)

    Raises:
        ShapeError: if ``x1`` is not square, or the shapes do not fit.
        DTypeError: if a dtype is not a floating one of 32 bits or more.
    """
    a, b, vector = pair("solve", x1, x2)
    x = apply(_solve, (square("solve", a), b))
    return squeeze(x, -1) if vector else x


# The same with the cotangent of A kept to the triangle that is read (less the diagonal that is taken as 1).
def _triangle(xp: Namespace, x: Raw, upper: bool, unit_diagonal: bool) -> Raw:
    off = 1 if unit_diagonal else 0
    return xp.triu(x, k=off) if upper else xp.tril(x, k=-off)


def _triangular_adjoint(xp: Namespace, g: Raw, a: Raw, upper: bool, unit_diagonal: bool) -> Raw:
    return xp.linalg.solve_triangular(xp.adjoint(a), g, upper=not upper, unit_diagonal=unit_diagonal)


def _triangular_vjp(xp: Namespace, g: Raw, out: Raw, a: Raw, upper: bool, unit_diagonal: bool) -> Raw:
    c = _triangular_adjoint(xp, g, a, upper, unit_diagonal)
    return _triangle(xp, -xp.matmul(c, xp.adjoint(out)), upper, unit_diagonal)


def _triangular_jvp(xp: Namespace, t: Raw, out: Raw, a: Raw, upper: bool, unit_diagonal: bool) -> Raw:
    moved = xp.matmul(_triangle(xp, t, upper, unit_diagonal), out)
    return -xp.linalg.solve_triangular(a, moved, upper=upper, unit_diagonal=unit_diagonal)


@op(
    vjps=[_triangular_vjp, _triangular_adjoint],
    jvps=[
        _triangular_jvp,
        lambda xp, t, a, upper, unit_diagonal: xp.linalg.solve_triangular(
            a, t, upper=upper, unit_diagonal=unit_diagonal
        ),
    ],
    broadcasts=True,
)
def _solve_triangular(xp: Namespace, a: Raw, b: Raw, /, upper: bool, unit_diagonal: bool) -> Raw:
    return xp.linalg.solve_triangular(a, b, upper=upper, unit_diagonal=unit_diagonal)


def solve_triangular(a: ArrayLike, b: ArrayLike, /, *, upper: bool = False, unit_diagonal: bool = False) -> Tensor:
    """The solutions ``x`` of ``T @ x = b``, where T is one triangle of ``a``; the other is not read.

    Args:
        a: square matrices ``(..., M, M)``.
        b: one vector ``(M,)``, or matrices ``(..., M, K)``; the leading axes broadcast.
        upper: whether T is the upper triangle.
        unit_diagonal: whether the diagonal is taken as ones and not read.

    A zero on the diagonal gives infinities or nan.

    >>> import polygrad as pg
    >>> pg.linalg.solve_triangular(pg.asarray([[2.0, 0.0], [1.0, 4.0]]), pg.asarray([2.0, 9.0]))
    tensor([1., 2.], dtype=float64)

    Raises:
        ShapeError: if ``a`` is not square, or the shapes do not fit.
        DTypeError: if a dtype is not a floating one of 32 bits or more.
    """
    a, b, vector = pair("solve_triangular", a, b)
    x = apply(_solve_triangular, (square("solve_triangular", a), b), (upper, unit_diagonal))
    return squeeze(x, -1) if vector else x


# -- Cholesky ----------------------------------------------------------------------------------------
# A = L L^H: with M = L^-1 dA L^-H, dL = L Phi(M), where Phi takes the lower triangle and half the diagonal
# (Murray, Differentiation of the Cholesky decomposition, 2016). A is Hermitian, so dA is taken to be: tangents
# and cotangents are made Hermitian, whichever triangle the library reads.


def _lower_half(xp: Namespace, x: Raw) -> Raw:
    return xp.tril(x) * (1 - xp.eye(x.shape[-1], dtype=x.dtype) / 2)


def _cholesky_vjp(xp: Namespace, g: Raw, out: Raw, upper: bool) -> Raw:
    lower, g = (xp.adjoint(out), xp.adjoint(g)) if upper else (out, g)
    middle = hermitised(xp, _lower_half(xp, xp.matmul(xp.adjoint(lower), g)))
    half = xp.linalg.solve_triangular(xp.adjoint(lower), middle, upper=True)  # L^-H middle
    return hermitised(xp, xp.linalg.solve_triangular(xp.adjoint(lower), xp.adjoint(half), upper=True))


def _cholesky_jvp(xp: Namespace, t: Raw, out: Raw, upper: bool) -> Raw:
    lower = xp.adjoint(out) if upper else out
    half = xp.linalg.solve_triangular(lower, hermitised(xp, t))  # L^-1 dA
    moved = xp.matmul(lower, _lower_half(xp, xp.linalg.solve_triangular(lower, xp.adjoint(half))))
    return xp.adjoint(moved) if upper else moved


@op(vjps=[_cholesky_vjp], jvps=[_cholesky_jvp])
def _cholesky(xp: Namespace, x: Raw, /, upper: bool) -> Raw:
    with told("cholesky", x):
        return xp.linalg.cholesky(x, upper=upper)


def cholesky(x: ArrayLike, /, *, upper: bool = False) -> Tensor:
    """The factors L of ``x = L @ L^H``, lower triangular with a positive diagonal; or U of ``x = U^H @ U``.

    Args:
        x: Hermitian (symmetric) positive-definite matrices ``(..., M, M)``; not checked, libraries read one
            triangle. The gradient is that of a function of Hermitian matrices: it is Hermitian itself.
        upper: give the upper factor U.

    Where the matrix is not positive definite the array library decides: NumPy and PyTorch raise their
    ``LinAlgError``, JAX gives nan.

    >>> import polygrad as pg
    >>> pg.linalg.cholesky(pg.asarray([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]], dtype=float64)

    Raises:
        ShapeError: if the matrices are not square.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    return apply(_cholesky, (square("cholesky", x),), (upper,))
