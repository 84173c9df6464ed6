"""The QR decomposition, the pseudoinverse and least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ...core.apply import apply, apply_multiple
from ...core.cell import new_tensor
from ...core.declare import op
from ...errors import NoRuleError
from ...typing import ArrayLike, Namespace, Raw
from ..creation import zeros
from ..data_types import finfo
from ..elementwise import abs as abs_
from ..linear_algebra import matmul
from ..manipulation import concat, squeeze
from ..statistical import sum as sum_
from .arguments import matrix, pair, told
from .spectra import Undefined, svdvals

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = ["LstsqResult", "QRResult", "lstsq", "matrix_rank", "pinv", "qr"]


# -- QR ----------------------------------------------------------------------------------------------
# A = Q R, m >= n: with M = Q^H dA R^-1, Q^H dQ is skew and dR R^-1 upper triangular with a real diagonal, so that
#   dR = T R, T = upper triangle of M plus that of M^H (less its diagonal), real on the diagonal,
#   dQ = dA R^-1 - Q T.
# Adjoint: K = dR* R^H - Q^H dQ*, C = its upper triangle made Hermitian, and A* = (dQ* + Q C) R^-H.
# A wide A = (A1 A2) has A1 = Q R1 by the same rule, and R2 = Q^H A2.
# (Walter and Lehmann, Algorithmic differentiation of linear algebra functions, 2010; complex as in PyTorch.)

_NO_COMPLETE = (
    "qr: with mode='complete' the extra columns of Q are any basis of what is left and have no derivative. Use "
    "mode='reduced', or R only"
)


class QRResult(NamedTuple):
    """What :func:`qr` gives."""

    Q: Tensor
    R: Tensor


def _real_diagonal(xp: Namespace, x: Raw) -> Raw:
    one = xp.eye(x.shape[-1], dtype=x.dtype)
    return one * xp.astype(xp.real(x), x.dtype)


def _mirrored(xp: Namespace, x: Raw) -> Raw:
    """The upper triangle made Hermitian."""
    above = xp.triu(x, k=1)
    return above + xp.adjoint(above) + _real_diagonal(xp, x)


def _over_adjoint(xp: Namespace, x: Raw, r: Raw) -> Raw:
    """``x R^-H``."""
    return xp.adjoint(xp.linalg.solve_triangular(r, xp.adjoint(x), upper=True))


def _over(xp: Namespace, x: Raw, r: Raw) -> Raw:
    """``x R^-1``."""
    return xp.adjoint(xp.linalg.solve_triangular(xp.adjoint(r), xp.adjoint(x), upper=False))


def _qr_vjp(xp: Namespace, g: Raw, out: Raw) -> Raw:
    (of_q, of_r), (q, r) = g[:2], out[:2]
    k, n = r.shape[-2:]
    if any(extra is not None for extra in g[2:]):
        raise NoRuleError(_NO_COMPLETE)
    first, rest = r[..., :, :k], None
    if n > k:  # R2 = Q^H A2
        of_r = xp.zeros_like(r) if of_r is None else of_r
        of_r2, r2 = of_r[..., :, k:], r[..., :, k:]
        rest, of_r = xp.matmul(q, of_r2), of_r[..., :, :k]
        through = xp.matmul(q, xp.matmul(r2, xp.adjoint(of_r2)))
        of_q = through if of_q is None else of_q + through
    middle = 0.0 if of_r is None else xp.matmul(of_r, xp.adjoint(first))
    if of_q is not None:
        middle = middle - xp.matmul(xp.adjoint(q), of_q)
    made = xp.matmul(q, _mirrored(xp, middle))
    made = _over_adjoint(xp, made if of_q is None else made + of_q, first)
    return made if rest is None else xp.concat([made, rest], axis=-1)


def _qr_jvp(xp: Namespace, t: Raw, out: Raw) -> Raw:
    q, r = out[:2]
    k, n = r.shape[-2:]
    first = r[..., :, :k]
    own = _over(xp, t[..., :, :k], first)
    p = xp.matmul(xp.adjoint(q), own)
    upper = xp.triu(p, k=1) + xp.triu(xp.adjoint(p), k=1) + _real_diagonal(xp, p)
    dr = xp.matmul(upper, first)
    if n > k:
        turned = p - upper  # Q^H dQ
        dr2 = xp.matmul(xp.adjoint(q), t[..., :, k:]) - xp.matmul(turned, r[..., :, k:])
        dr = xp.concat([dr, dr2], axis=-1)
    return Undefined([own - xp.matmul(q, upper), dr, *[None] * len(out[2:])], _NO_COMPLETE)


@op(vjps=[_qr_vjp], jvps=[_qr_jvp], multiple=True)
def _qr(xp: Namespace, x: Raw, /, complete: bool) -> Raw:
    with told("qr", x):
        return xp.linalg.qr_parts(x, complete)


def qr_parts(x: ArrayLike, /, complete: bool) -> tuple[Any, ...]:
    """Q and R of ``min(M, N)`` columns and rows; if ``complete`` and there are more rows than columns, Q with all."""
    return apply_multiple(_qr, (x,), (complete,))


def qr(x: ArrayLike, /, *, mode: Literal["reduced", "complete"] = "reduced") -> QRResult:
    """The decomposition ``x = Q @ R`` of matrices ``(..., M, N)`` into orthonormal columns and an upper triangle.

    Args:
        x: the matrices. For a gradient their first ``min(M, N)`` columns must be independent; else it has
            infinities or nan.
        mode: ``"reduced"`` for ``min(M, N)`` columns of Q, ``"complete"`` for M. With M > N the further columns have no
            derivative, so Q as a whole has none, and backward raises if a gradient reaches it; R has.

    >>> import polygrad as pg
    >>> q, r = pg.linalg.qr(pg.asarray([[3.0, 1.0], [4.0, 2.0]]))
    >>> pg.abs(r)
    tensor([[5. , 2.2],
            [0. , 0.4]], dtype=float64)

    Raises:
        ShapeError: if ``x`` is no matrix.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
        NoRuleError: in the backward pass, as said above.
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: mode must be 'reduced' or 'complete', got {mode!r}")
    x = matrix("qr", x)
    q, r, *full = qr_parts(x, mode == "complete")
    if not full:
        return QRResult(q, r)
    *batch, m, n = x.shape
    below = zeros((*batch, m - n, n), dtype=x.dtype, device=x.device)
    return QRResult(full[0], concat([r, below], axis=-2))


# -- pseudoinverse -----------------------------------------------------------------------------------
# At constant rank (Golub and Pereyra, 1973), with P the pseudoinverse of A:
#   dP = -P dA P + P P^H dA^H (1 - A P) + (1 - P A) dA^H P^H P.


def _beyond_columns(xp: Namespace, a: Raw, p: Raw, x: Raw) -> Raw:
    """``(1 - A P) x``."""
    return x - xp.matmul(a, xp.matmul(p, x))


def _pinv_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw) -> Raw:
    h, turned = xp.adjoint(out), xp.adjoint(g)
    first = xp.matmul(h, xp.matmul(g, h))
    second = _beyond_columns(xp, x, out, xp.matmul(turned, xp.matmul(out, h)))
    third = xp.matmul(xp.matmul(h, out), turned)
    return second - first + third - xp.matmul(xp.matmul(third, out), x)


def _pinv_jvp(xp: Namespace, t: Raw, out: Raw, x: Raw) -> Raw:
    h, turned = xp.adjoint(out), xp.adjoint(t)
    first = xp.matmul(out, xp.matmul(t, out))
    second = xp.matmul(xp.matmul(out, h), turned)
    third = xp.matmul(turned, xp.matmul(h, out))
    return second - xp.matmul(xp.matmul(second, x), out) - first + _beyond_columns(xp, out, x, third)


@op(vjps=[_pinv_vjp, None], jvps=[_pinv_jvp, None], broadcasts=True)
def _pinv(xp: Namespace, x: Raw, rtol: Raw, /) -> Raw:
    with told("pinv", x):
        return xp.linalg.pinv(x, rtol=rtol)


def _cutoff(name: str, x: Any, rtol: Any) -> Any:
    """The relative cutoff of singular values: given, or the larger length times the dtype's epsilon."""
    if getattr(rtol, "requires_grad", False):
        rtol = rtol.detach()  # the rank is piecewise constant: its derivative is 0
    device = x._device
    backend = device.backend
    if rtol is None:
        rtol = max(x._value.shape[-2:]) * finfo(x.dtype).eps
    if not isinstance(rtol, (int, float)):
        return rtol
    real = "float32" if finfo(x.dtype).bits == 32 else "float64"
    return new_tensor(device.raw.asarray(float(rtol), dtype=backend.native_dtypes[real]), None, device)


def pinv(x: ArrayLike, /, *, rtol: ArrayLike | None = None) -> Tensor:
    """The (Moore-Penrose) pseudoinverses ``(..., N, M)`` of matrices ``(..., M, N)``.

    Args:
        x: the matrices. The gradient is that at constant rank, rank-deficient matrices included.
        rtol: singular values up to ``rtol`` times the largest count as 0; a number, or one for each matrix; by default
            ``max(M, N)`` times the dtype's epsilon.

    >>> import polygrad as pg
    >>> pg.linalg.pinv(pg.asarray([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. ],
            [0. , 0. ]], dtype=float64)

    Raises:
        ShapeError: if ``x`` is no matrix.
        DTypeError: if the dtype is not a floating one of 32 bits or more, or ``rtol`` requires grad.
    """
    x = matrix("pinv", x)
    return apply(_pinv, (x, _cutoff("pinv", x, rtol)))


@op()
def _matrix_rank(xp: Namespace, x: Raw, rtol: Raw, /) -> Raw:
    with told("matrix_rank", x):
        return xp.linalg.matrix_rank(x, rtol=rtol)


def matrix_rank(x: ArrayLike, /, *, rtol: ArrayLike | None = None) -> Tensor:
    """How many singular values of matrices ``(..., M, N)`` are larger than ``rtol`` times the largest, as int64.

    A whole number: it has no derivative. By default ``rtol`` is ``max(M, N)`` times the dtype's epsilon.

    >>> import polygrad as pg
    >>> pg.linalg.matrix_rank(pg.asarray([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1, dtype=int64)
    """
    x = matrix("matrix_rank", x)
    return apply(_matrix_rank, (x, _cutoff("matrix_rank", x, rtol)))


# -- least squares -----------------------------------------------------------------------------------


class LstsqResult(NamedTuple):
    """What :func:`lstsq` gives."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def lstsq(
    a: ArrayLike, b: ArrayLike, /, *, rtol: ArrayLike | None = None, rcond: ArrayLike | None = None
) -> LstsqResult:
    """The ``x`` of least norm among those that make the norm of ``a @ x - b`` least.

    Args:
        a: matrices ``(..., M, N)`` of any rank.
        b: one vector ``(M,)``, or matrices ``(..., M, K)``; the leading axes broadcast.
        rtol: as in :func:`pinv`, by which it is done.
        rcond: the same, by NumPy's and PyTorch's name: SciPy calls it so on any namespace.

    Returns:
        The solution ``(N,)`` or ``(..., N, K)``; the residuals, i.e. the sums of ``abs(a @ x - b) ** 2``
        over the rows (unlike NumPy's they are always there); the rank and the singular values of ``a``.

    >>> import polygrad as pg
    >>> pg.linalg.lstsq(pg.asarray([[1.0], [1.0]]), pg.asarray([1.0, 3.0])).solution
    tensor([2.], dtype=float64)

    Raises:
        ShapeError: if the shapes do not fit.
        DTypeError: if a dtype is not a floating one of 32 bits or more.
    """
    rtol = rcond if rtol is None else rtol
    a1, b1, vector = pair("lstsq", a, b)
    x = matmul(pinv(a1, rtol=rtol), b1)
    residuals = sum_(abs_(matmul(a1, x) - b1) ** 2, axis=-2)
    if vector:
        x, residuals = squeeze(x, -1), squeeze(residuals, -1)
    return LstsqResult(x, residuals, matrix_rank(a, rtol=rtol), svdvals(a))
