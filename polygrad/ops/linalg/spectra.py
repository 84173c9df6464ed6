"""Eigenvalues and singular values, with their vectors.

Vectors are determined up to a sign, or a phase where they are complex. The rules are those of losses that do not
depend on it (PyTorch's convention too); for others a gradient is not defined. Where values are repeated their
vectors have no derivative, and the rules give infinities or nan; the values' own stay finite, for a cotangent
that is not there is skipped (pytorch#49886).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.apply import apply, apply_multiple
from ...core.declare import op
from ...errors import NoRuleError
from ...typing import ArrayLike, Namespace, Raw
from .arguments import hermitised, is_complex, matrix, square, told

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = ["EigResult", "EighResult", "SVDResult", "eig", "eigh", "eigvals", "eigvalsh", "svd", "svdvals"]


def _inverse_gaps(xp: Namespace, w: Raw) -> Raw:
    """``1 / (w_j - w_i)``, and 0 on the diagonal."""
    same = xp.eye(w.shape[-1], dtype=w.dtype) == 1
    gaps = xp.where(same, xp.ones((), dtype=w.dtype), w[..., None, :] - w[..., :, None])
    return xp.where(same, xp.zeros((), dtype=w.dtype), 1 / gaps)


# -- repeated values -----------------------------------------------------------------------------------
# Where values are equal, their vectors are any basis. A function that does not depend on it has components 0 / 0 there.
# Forward, 0 / 0 is 0: a tangent that leaves the values' vectors apart turns none of them. In reverse it stands for
# f'(w) S_ij of a function like sum(S * V f(w) V^H), of which the cotangents know 2 f S_ij (the symmetric part of
# V^H dV) and f' S_ii (the values'): that gives f' / (2 f) where both agree, else nan.

# Rounding leaves of a component that vanishes some units in the last place, and of a gap between equal values too.
_ROUNDING = 64


def _meets(xp: Namespace, m: Raw, w: Raw, of: Raw) -> Raw:
    """Where two values are equal and the component ``m`` vanishes, both up to rounding: that of ``w`` and of ``of``,
    from which the components were made."""
    least = _ROUNDING * xp.finfo(w.dtype).eps
    close = xp.abs(w[..., None, :] - w[..., :, None]) <= least * xp.max(xp.abs(w), axis=-1, keepdims=True)[..., None]
    vanishes = xp.abs(m) <= least * xp.max(xp.abs(of), axis=(-2, -1), keepdims=True)
    return close & vanishes & (xp.eye(w.shape[-1], dtype=w.dtype) == 0)


def _by_gaps(xp: Namespace, gaps: Raw, m: Raw, w: Raw, of: Raw, instead: Raw = 0.0) -> Raw:
    """``gaps * m`` for inverse gaps, and ``instead`` where that is 0 / 0."""
    if w.shape[-1] == 0:
        return gaps * m
    met = _meets(xp, m, w, of)
    zero = xp.zeros_like(m)
    plain = xp.where(met, xp.zeros_like(gaps), gaps) * xp.where(met, zero, m)
    return xp.where(met, zero + instead, plain)


def _of_repeated(xp: Namespace, of_values: Raw, h: Raw) -> Raw:
    """What stands for 0 / 0 in reverse mode: ``h`` is the symmetric part of the vectors' cotangents."""
    if of_values is None:
        return 0.0
    if of_values.shape[-1] == 0:
        return 0.0
    d, own = xp.astype(of_values, h.dtype), xp.linalg.diagonal(h)
    d_i, d_j, h_i, h_j = d[..., :, None], d[..., None, :], own[..., :, None], own[..., None, :]
    scale = xp.max(xp.abs(h), axis=(-2, -1), keepdims=True)
    least = _ROUNDING * xp.finfo(of_values.dtype).eps * scale
    agree = xp.abs(d_i * h_j - d_j * h_i) <= least * xp.max(xp.abs(d), axis=-1, keepdims=True)[..., None]
    total = h_i + h_j
    some = xp.abs(total) > least
    share = h * (d_i + d_j) / xp.where(some, total, xp.ones_like(total))
    untouched = (d_i == 0) & (d_j == 0) & (xp.abs(h) <= least)
    undefined = xp.full_like(share, float("nan"))
    return xp.where(untouched, xp.zeros_like(share), xp.where(agree & some, share, undefined))


def _on_diagonal(xp: Namespace, d: Raw, dtype: Any) -> Raw:
    """Vectors as the diagonals of matrices."""
    return xp.eye(d.shape[-1], dtype=dtype) * xp.astype(d, dtype)[..., None, :]


class Undefined(list[Any]):
    """Tangents of several outputs, some of which have none: asking for one of those raises."""

    def __init__(self, items: list[Any], message: str) -> None:
        super().__init__(items)
        self._message = message

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if found is None:
            raise NoRuleError(self._message)
        return found


# -- Hermitian eigenvalues ---------------------------------------------------------------------------
# A V = V diag(w): with P = V^H dA V, dw = diag(P) and dV = V (F * P), F_ij = 1 / (w_j - w_i) off the diagonal.
# As with cholesky, dA is taken to be Hermitian.


class EighResult(NamedTuple):
    """What :func:`eigh` gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _eigh_vjp(xp: Namespace, g: Raw, out: Raw) -> Raw:
    (of_values, of_vectors), (w, v) = g, out
    if of_vectors is None:
        return hermitised(xp, xp.matmul(v * of_values[..., None, :], xp.adjoint(v)))
    k = xp.matmul(xp.adjoint(v), of_vectors)
    h = (k + xp.adjoint(k)) / 2  # of k, the rest counts: h times gaps is antisymmetric
    inner = _by_gaps(xp, _inverse_gaps(xp, w), k - h, w, k, _of_repeated(xp, of_values, h))
    if of_values is not None:
        inner = inner + _on_diagonal(xp, of_values, v.dtype)
    return hermitised(xp, xp.matmul(v, xp.matmul(inner, xp.adjoint(v))))


def _eigh_jvp(xp: Namespace, t: Raw, out: Raw) -> Raw:
    w, v = out
    p = xp.matmul(xp.adjoint(v), xp.matmul(hermitised(xp, t), v))
    return [xp.real(xp.linalg.diagonal(p)), xp.matmul(v, _by_gaps(xp, _inverse_gaps(xp, w), p, w, p))]


@op(vjps=[_eigh_vjp], jvps=[_eigh_jvp], multiple=True)
def _eigh(xp: Namespace, x: Raw, /) -> Raw:
    with told("eigh", x):
        return tuple(xp.linalg.eigh(x))


def eigh(x: ArrayLike, /) -> EighResult:
    """The eigenvalues, ascending, and the eigenvectors (as columns) of Hermitian (symmetric) matrices.

    Args:
        x: matrices ``(..., M, M)``; that they are Hermitian is not checked, libraries read one triangle. The gradient
            is that of a function of Hermitian matrices: it is Hermitian itself.

    Gradients of the eigenvalues are finite everywhere; those of the eigenvectors only where eigenvalues differ, and
    only of functions that do not depend on the vectors' signs or phases.

    >>> import polygrad as pg
    >>> pg.linalg.eigh(pg.asarray([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
    tensor([1., 3.], dtype=float64)

    Raises:
        ShapeError: if the matrices are not square.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    return EighResult(*apply_multiple(_eigh, (square("eigh", x),)))


@op()
def _eigvalsh(xp: Namespace, x: Raw, /) -> Raw:
    with told("eigvalsh", x):
        return xp.linalg.eigvalsh(x)


def eigvalsh(x: ArrayLike, /) -> Tensor:
    """The eigenvalues, ascending, of Hermitian matrices ``(..., M, M)``: see :func:`eigh`."""
    x = square("eigvalsh", x)
    return apply(_eigvalsh, (x,)) if x._node is None else eigh(x).eigenvalues


# -- eigenvalues -------------------------------------------------------------------------------------
# A V = V diag(w): with P = V^-1 dA V and C = F * P, dw = diag(P) and dV = V (C - diag(Re diag(V^H V C))), which
# keeps the columns' norm at 1 (Boeddeker et al., On the computation of complex-valued gradients, 2017).


class EigResult(NamedTuple):
    """What :func:`eig` gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _eig_vjp(xp: Namespace, g: Raw, out: Raw) -> Raw:
    (of_values, of_vectors), (w, v) = g, out
    adjoint = xp.adjoint(v)
    if of_vectors is None:
        return xp.linalg.solve(adjoint, of_values[..., :, None] * adjoint)
    k = xp.matmul(adjoint, of_vectors)
    radial = xp.astype(xp.real(xp.linalg.diagonal(k)), v.dtype)
    k = k - xp.matmul(adjoint, v) * radial[..., None, :]
    instead = 0.0 if of_values is None else _of_repeated(xp, of_values, xp.zeros_like(k))
    inner = _by_gaps(xp, xp.conj(_inverse_gaps(xp, w)), k, w, k, instead)
    if of_values is not None:
        inner = inner + _on_diagonal(xp, of_values, v.dtype)
    return xp.linalg.solve(adjoint, xp.matmul(inner, adjoint))


def _eig_jvp(xp: Namespace, t: Raw, out: Raw) -> Raw:
    w, v = out
    p = xp.linalg.solve(v, xp.matmul(xp.astype(t, v.dtype), v))
    c = _by_gaps(xp, _inverse_gaps(xp, w), p, w, p)
    moved = xp.matmul(v, c)
    radial = xp.real(xp.linalg.diagonal(xp.matmul(xp.adjoint(v), moved)))
    return [xp.linalg.diagonal(p), moved - v * xp.astype(radial, v.dtype)[..., None, :]]


@op(vjps=[_eig_vjp], jvps=[_eig_jvp], multiple=True)
def _eig(xp: Namespace, x: Raw, /) -> Raw:
    with told("eig", x):
        return tuple(xp.linalg.eig(x))


def eig(x: ArrayLike, /) -> EigResult:
    """The eigenvalues, in no particular order, and the eigenvectors (columns of norm 1) of square matrices
    ``(..., M, M)``: complex, for real matrices too.

    Gradients exist where the eigenvalues differ, those of the eigenvectors only of functions that do not depend on
    the vectors' phases. For Hermitian matrices use :func:`eigh`.

    >>> import polygrad as pg
    >>> pg.linalg.eig(pg.asarray([[2.0, 0.0], [0.0, 3.0]])).eigenvalues
    tensor([2.+0.j, 3.+0.j], dtype=complex128)

    Raises:
        ShapeError: if the matrices are not square.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    return EigResult(*apply_multiple(_eig, (square("eig", x),)))


@op()
def _eigvals(xp: Namespace, x: Raw, /) -> Raw:
    with told("eigvals", x):
        return xp.linalg.eigvals(x)


def eigvals(x: ArrayLike, /) -> Tensor:
    """The eigenvalues, complex and in no particular order, of square matrices ``(..., M, M)``: see :func:`eig`."""
    x = square("eigvals", x)
    return apply(_eigvals, (x,)) if x._node is None else eig(x).eigenvalues


# -- singular values ---------------------------------------------------------------------------------
# A = U S V^H of k = min(m, n) values: with P = U^H dA V,
#   dS = Re diag(P),
#   dU = U (F * (P S + S P^H) + D) + (1 - U U^H) dA V S^-1,
#   dV = V (F * (S P + P^H S) - D) + (1 - V V^H) dA^H U S^-1,
# F_ij = 1 / (s_j^2 - s_i^2) off the diagonal and D = i Im diag(P) / (2 s), where the phase that complex vectors are
# free to have is shared evenly. See Townsend, Differentiating the singular value decomposition (2016); Wan and
# Zhang, Automatic differentiation for complex valued SVD (2019). The vjp is the adjoint, term by term.

_NO_FULL = (
    "svd: with full_matrices=True the extra vectors of a matrix that is not square are any basis of what is left "
    "and have no derivative. Pass full_matrices=False, or use the singular values only"
)


class SVDResult(NamedTuple):
    """What :func:`svd` gives."""

    U: Tensor
    S: Tensor
    Vh: Tensor


# F_ij (p s_j + s_i q) = ((p + q) / (s_j - s_i) + (p - q) / (s_j + s_i)) / 2: the first part is that of both bases turned
# together, which a function like U f(S) V^H does not feel.
def _by_sums(xp: Namespace, m: Raw, s: Raw) -> Raw:
    """``m_ij / (s_i + s_j)`` for i and j that differ."""
    same = xp.eye(s.shape[-1], dtype=s.dtype) == 1
    sums = xp.where(same, xp.ones((), dtype=s.dtype), s[..., None, :] + s[..., :, None])
    zero = (m == 0) | same
    return xp.where(zero, xp.zeros_like(m), m / xp.where(zero, xp.ones_like(sums), sums))


def _turned(xp: Namespace, of_u: Raw, of_v: Raw, of_s: Raw, s: Raw) -> Raw:
    """What turning the singular vectors gives, of ``U^H dU`` and ``V^H dV``; 0.0 for one that is not there."""
    parts = [0.0 if k.__class__ is float else (k - xp.adjoint(k)) / 2 for k in (of_u, of_v)]
    known = of_v if of_u.__class__ is float else of_u
    instead = _of_repeated(xp, of_s, (known + xp.adjoint(known)) / 2)
    return _by_gaps(xp, _inverse_gaps(xp, s), parts[0] + parts[1], s, known, instead) + _by_sums(
        xp, parts[0] - parts[1], s
    )


def _beyond(xp: Namespace, basis: Raw, x: Raw) -> Raw:
    """The part of ``x`` orthogonal to the columns of ``basis``; nothing where these span all."""
    return x - xp.matmul(basis, xp.matmul(xp.adjoint(basis), x))


def _phases(xp: Namespace, m: Raw, s: Raw) -> Raw:
    """``i Im diag(m) / (2 s)`` as a diagonal matrix."""
    turned = xp.astype(xp.imag(xp.linalg.diagonal(m)) / (2 * s), m.dtype)
    return _on_diagonal(xp, 1j * turned, m.dtype)


def _svd_vjp(xp: Namespace, g: Raw, out: Raw) -> Raw:
    (of_u, of_s, of_vh), (u, s, vh) = g[:3], out[:3]
    k, m, n = s.shape[-1], u.shape[-2], vh.shape[-1]
    if any(extra is not None for extra in g[3:]):
        raise NoRuleError(_NO_FULL)
    if of_u is None and of_vh is None:
        return xp.matmul(u * of_s[..., None, :], vh)
    inner = 0.0 if of_s is None else _on_diagonal(xp, of_s, u.dtype)
    beyond, v = 0.0, xp.adjoint(vh)
    cotangents: list[Any] = [0.0, 0.0]
    if of_u is not None:
        own = xp.matmul(xp.adjoint(u), of_u)
        cotangents[0] = own
        if is_complex(xp, u):
            inner = inner + _phases(xp, own, s)
        if m > k:
            beyond = beyond + xp.matmul(_beyond(xp, u, of_u / s[..., None, :]), vh)
    if of_vh is not None:
        of_v = xp.adjoint(of_vh)
        own = xp.matmul(vh, of_v)
        cotangents[1] = own
        if is_complex(xp, u):
            inner = inner - _phases(xp, own, s)
        if n > k:
            beyond = beyond + xp.matmul(u, xp.adjoint(_beyond(xp, v, of_v / s[..., None, :])))
    turned = _turned(xp, cotangents[0], cotangents[1], of_s, s)
    return xp.matmul(u, xp.matmul(inner + turned, vh)) + beyond


def _svd_jvp(xp: Namespace, t: Raw, out: Raw) -> Raw:
    u, s, vh = out[:3]
    k, m, n = s.shape[-1], u.shape[-2], vh.shape[-1]
    v = xp.adjoint(vh)
    moved = xp.matmul(t, v)
    p = xp.matmul(xp.adjoint(u), moved)
    columns, q = s[..., None, :], xp.adjoint(p)
    both = _by_gaps(xp, _inverse_gaps(xp, s), (p + q) / 2, s, p)
    one = _by_sums(xp, (p - q) / 2, s)
    du, dv = both + one, both - one
    if is_complex(xp, u):
        phases = _phases(xp, p, s)
        du, dv = du + phases, dv - phases
    du, dv = xp.matmul(u, du), xp.matmul(v, dv)
    if m > k:
        du = du + _beyond(xp, u, moved / columns)
    if n > k:
        dv = dv + _beyond(xp, v, xp.matmul(xp.adjoint(t), u) / columns)
    return Undefined([du, xp.real(xp.linalg.diagonal(p)), xp.adjoint(dv), *[None] * len(out[3:])], _NO_FULL)


@op(vjps=[_svd_vjp], jvps=[_svd_jvp], multiple=True)
def _svd(xp: Namespace, x: Raw, /, full: bool) -> Raw:
    with told("svd", x):
        return xp.linalg.svd_parts(x, full)


def svd_parts(x: ArrayLike, /, full: bool) -> tuple[Any, ...]:
    """U, S and Vh of ``min(M, N)`` values; if ``full`` and the matrix is not square, U or Vh with all its vectors."""
    return apply_multiple(_svd, (x,), (full,))


def svd(x: ArrayLike, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular value decomposition ``x = U @ diag(S) @ Vh`` of matrices ``(..., M, N)``, S descending.

    Args:
        x: the matrices.
        full_matrices: give all M left and N right vectors, not only the first ``min(M, N)``.

    Gradients of S are finite everywhere. Those of the vectors exist where the singular values differ (and, where the
    matrix is not square, are not 0), and only of functions that do not depend on the vectors' signs or phases: with
    complex numbers U and Vh may turn together.

    With ``full_matrices=True`` and M > N the columns of U beyond the N-th have no derivative, so U as a whole has
    none (with M < N: Vh), and backward raises if a gradient reaches it.

    >>> import polygrad as pg
    >>> pg.linalg.svd(pg.asarray([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]), full_matrices=False).S
    tensor([4., 3.], dtype=float64)

    Raises:
        ShapeError: if ``x`` is no matrix.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
        NoRuleError: in the backward pass, as said above.
    """
    u, s, vh, *extra = svd_parts(matrix("svd", x), full_matrices)
    if extra and u.shape[-2] > vh.shape[-1]:
        return SVDResult(extra[0], s, vh)
    return SVDResult(u, s, extra[0] if extra else vh)


@op()
def _svdvals(xp: Namespace, x: Raw, /) -> Raw:
    with told("svdvals", x):
        return xp.linalg.svdvals(x)


def svdvals(x: ArrayLike, /) -> Tensor:
    """The singular values, descending, of matrices ``(..., M, N)``; their gradient is finite everywhere.

    >>> import polygrad as pg
    >>> pg.linalg.svdvals(pg.asarray([[0.0, 2.0], [1.0, 0.0]]))
    tensor([2., 1.], dtype=float64)
    """
    x = matrix("svdvals", x)
    return apply(_svdvals, (x,)) if x._node is None else svd(x, full_matrices=False).S
