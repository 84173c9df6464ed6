"""Linear algebra: the standard's ``linalg`` extension, and what users need besides.

All functions take stacks of matrices in the last two axes. Derivatives are exact in both modes and to any order,
for real and complex matrices; gradients of complex ones are ``dL/dx + i dL/dy``, so that transposes in the rules
are conjugated. What matters at singular points:

- :func:`det` has the adjugate as its gradient at singular matrices too, 0 where the rank is less than M - 1.
- :func:`cholesky`, :func:`eigh` and :func:`eigvalsh` are functions of Hermitian matrices: their gradients are
  Hermitian, whichever triangle the library reads.
- :func:`svdvals` and :func:`eigvalsh` have finite gradients at repeated values. The vectors of :func:`svd`,
  :func:`eigh` and :func:`eig` have none there: infinities or nan, if the loss depends on them.
- Gradients of losses that depend on what the vectors' signs or phases happen to be are not defined.
- Norms have slope 0 at 0.

>>> import polygrad as pg
>>> a = pg.asarray([[4.0, 1.0], [1.0, 3.0]], requires_grad=True)
>>> pg.linalg.slogdet(a).logabsdet.backward()
>>> a.grad
tensor([[ 0.27272727, -0.09090909],
        [-0.09090909,  0.36363636]], dtype=float64)
"""

from .ops.linalg.norms import cond, matrix_norm, p_norm, vector_norm
from .ops.linalg.orthogonal import LstsqResult, QRResult, lstsq, matrix_rank, pinv, qr, qr_parts
from .ops.linalg.products import cross, diagonal, expm, kron, matrix_power, multi_dot, outer, trace
from .ops.linalg.solving import (
    SlogdetResult,
    adjugate,
    cholesky,
    derivative_of_adjugate,
    det,
    inv,
    inv_or_inf,
    slogdet,
    solve,
    solve_triangular,
)
from .ops.linalg.spectra import EighResult, EigResult, SVDResult, eig, eigh, eigvals, eigvalsh, svd, svd_parts, svdvals
from .ops.linear_algebra import matmul, matrix_transpose, tensordot, vecdot

__all__ = [
    "EigResult",
    "EighResult",
    "LstsqResult",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "expm",
    "inv",
    "kron",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]

# What rules and batching call besides.
_KERNELS = (adjugate, derivative_of_adjugate, inv_or_inf, p_norm, qr_parts, svd_parts)
