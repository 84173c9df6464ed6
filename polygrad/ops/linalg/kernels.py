"""Generic kernels of linear algebra: what libraries lack, or do otherwise; each is an op's forward."""

from __future__ import annotations

import math
from typing import Any

from ...core.kernels import kernel
from ...typing import Namespace, Raw

__all__ = [
    "adjugate", "expm", "inv_or_inf", "matrix_rank", "p_norm", "pinv", "qr_parts", "solve_triangular", "squared_often",
    "svd_parts",
]  # fmt: skip


@kernel(space="linalg")
def solve_triangular(xp: Namespace, a: Raw, b: Raw, /, *, upper: bool = False, unit_diagonal: bool = False) -> Raw:
    """The solution of ``T x = b``, where T is the lower or upper triangle of ``a``: by elimination, which finds
    nothing to eliminate. A zero on the diagonal gives nan, and no error."""
    t = xp.triu(a) if upper else xp.tril(a)
    diagonal = xp.eye(a.shape[-1], dtype=a.dtype) == 1
    one = xp.ones((), dtype=a.dtype)
    if unit_diagonal:
        return xp.linalg.solve(xp.where(diagonal, one, t), b)
    zero = diagonal & (t == 0)
    singular = xp.any(zero, axis=(-2, -1), keepdims=True)
    x = xp.linalg.solve(xp.where(zero, one, t), b)
    return xp.where(singular, xp.asarray(math.nan, dtype=x.dtype), x)


@kernel(space="linalg")
def pinv(xp: Namespace, x: Raw, /, *, rtol: Raw) -> Raw:
    """The pseudoinverse, without singular values up to ``rtol`` times the largest."""
    if 0 in x.shape[-2:]:
        return xp.conj(xp.matrix_transpose(x))
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    kept = s > rtol[..., None] * xp.max(s, axis=-1, keepdims=True)
    inverse = xp.where(kept, 1 / xp.where(kept, s, xp.ones_like(s)), xp.zeros_like(s))
    return xp.matmul(xp.adjoint(vh) * inverse[..., None, :], xp.adjoint(u))


@kernel(space="linalg")
def matrix_rank(xp: Namespace, x: Raw, /, *, rtol: Raw) -> Raw:
    """How many singular values are larger than ``rtol`` times the largest."""
    if 0 in x.shape[-2:]:
        return xp.zeros(x.shape[:-2], dtype=xp.int64)
    s = xp.linalg.svdvals(x)
    return xp.sum(xp.astype(s > rtol[..., None] * xp.max(s, axis=-1, keepdims=True), xp.int64), axis=-1)


# -- decompositions ----------------------------------------------------------------------------------
# What is determined by the matrix comes first; a basis of the rest, which has no derivative, last.


@kernel(space="linalg")
def svd_parts(xp: Namespace, x: Raw, /, full: bool) -> tuple[Raw, ...]:
    """U, S and Vh of ``min(M, N)`` values; if ``full`` and the matrix is not square, U or Vh with all its vectors."""
    u, s, vh = xp.linalg.svd(x, full_matrices=full)
    k = s.shape[-1]
    if u.shape[-1] > k:
        return u[..., :, :k], s, vh, u
    if vh.shape[-2] > k:
        return u, s, vh[..., :k, :], vh
    return u, s, vh


@kernel(space="linalg")
def qr_parts(xp: Namespace, x: Raw, /, complete: bool) -> tuple[Raw, ...]:
    """Q and R of ``min(M, N)`` columns and rows; if ``complete`` and there are more rows than columns, Q with all
    its columns."""
    q, r = xp.linalg.qr(x, mode="complete" if complete else "reduced")
    k = min(x.shape[-2:])
    return (q[..., :, :k], r[..., :k, :], q) if q.shape[-1] > k else (q, r)


# -- determinants ------------------------------------------------------------------------------------


def others(xp: Namespace, s: Raw) -> Raw:
    """For each element of the last axis, the product of the others, without dividing."""
    n = s.shape[-1]
    before = xp.cumulative_prod(s, axis=-1, include_initial=True)[..., :n]
    behind = xp.flip(xp.cumulative_prod(xp.flip(s, axis=-1), axis=-1, include_initial=True), axis=-1)[..., 1:]
    return before * behind


# x = U S V^H gives adj(x) = adj(V^H) adj(S) adj(U) = det(U) det(V^H) V adj(S) U^H, right at every rank.
@kernel(space="linalg")
def adjugate(xp: Namespace, x: Raw, /) -> Raw:
    """The transposed matrix of cofactors: ``det(x) inv(x)`` where that exists, and its limit where not."""
    if x.shape[-1] == 0:
        return x
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    phase = xp.linalg.det(u) * xp.linalg.det(vh)
    return phase[..., None, None] * xp.matmul(xp.adjoint(vh) * others(xp, s)[..., None, :], xp.adjoint(u))


@kernel(space="linalg")
def inv_or_inf(xp: Namespace, x: Raw, /) -> Raw:
    """The inverse; infinities and nan where there is none, where libraries' own raise for the whole batch."""
    if x.shape[-1] == 0:
        return x
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    return xp.matmul(xp.adjoint(vh) * (1 / s)[..., None, :], xp.adjoint(u))


# -- norms -------------------------------------------------------------------------------------------


@kernel(space="linalg")
def p_norm(xp: Namespace, x: Raw, /, axes: tuple[int, ...], p: float, keepdims: bool) -> Raw:
    """``sum(abs(x) ** p) ** (1 / p)`` and its limits, scaled so that it neither over- nor underflows.

    ``axes`` are counted from the end.
    """
    a = xp.abs(x)
    if p == 0:
        return xp.sum(xp.astype(a != 0, a.dtype), axis=axes, keepdims=keepdims)
    if not axes:
        return a
    if p == 1 or not all(x.shape[i] for i in axes):
        return xp.sum(a, axis=axes, keepdims=keepdims)
    if p in (math.inf, -math.inf):
        return (xp.max if p > 0 else xp.min)(a, axis=axes, keepdims=keepdims)
    # The term that counts most becomes 1.
    scale = (xp.max if p > 0 else xp.min)(a, axis=axes, keepdims=True)
    plain = (scale == 0) | xp.isinf(scale) | xp.isnan(scale)
    scale = xp.where(plain, xp.ones_like(scale), scale)
    r = a / scale
    made = (
        xp.sqrt(xp.sum(r * r, axis=axes, keepdims=True))
        if p == 2
        else xp.sum(r**p, axis=axes, keepdims=True) ** (1 / p)
    )
    made = made * scale
    return made if keepdims else xp.squeeze(made, axis=tuple(i + x.ndim for i in axes))


# -- exponential -------------------------------------------------------------------------------------
# Higham, The scaling and squaring method for the matrix exponential revisited (2005): the diagonal Pade
# approximant of order 13 is exact to double precision up to the 1-norm 5.37; beyond, exp(x) = exp(x / 2^s)^(2^s).

_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
    10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_THETA = 5.371920351148152


@kernel(space="linalg")
def expm(xp: Namespace, x: Raw, /) -> Raw:
    """The matrix exponential."""
    if 0 in x.shape:
        return x
    norm = xp.max(xp.sum(xp.abs(x), axis=-2), axis=-1)
    usable = (norm > _THETA) & ~(xp.isinf(norm) | xp.isnan(norm))
    safe = xp.where(usable, norm, _THETA * xp.ones_like(norm))
    squarings = xp.ceil(xp.log2(safe / _THETA))[..., None, None]
    b: Any = _PADE
    one = xp.eye(x.shape[-1], dtype=x.dtype)
    a = x * xp.astype(2.0**-squarings, x.dtype)
    a2 = xp.matmul(a, a)
    a4 = xp.matmul(a2, a2)
    a6 = xp.matmul(a2, a4)
    odd = xp.matmul(a6, b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * one
    u = xp.matmul(a, odd)
    v = xp.matmul(a6, b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * one
    return xp.linalg.squared_often(xp.linalg.solve(v - u, v + u), squarings)


@kernel(space="linalg")
def squared_often(xp: Namespace, x: Raw, times: Raw, /) -> Raw:
    """Each matrix squared as often as its own number says. How often at most depends on the values: this reads one."""
    for i in range(int(xp.max(times))):
        x = xp.where(times > i, xp.matmul(x, x), x)
    return x
