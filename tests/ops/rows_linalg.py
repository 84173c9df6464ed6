"""The rows of linalg and fft: importing this module appends them to the table.

Singular and eigenvectors enter through functions that do not depend on their signs and phases, for only those have
derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from table import row

_rng = np.random.default_rng(20261125)


def real(*shape: int) -> Any:
    return _rng.uniform(0.2, 1.5, shape) * _rng.choice([-1.0, 1.0], shape)


def cplx(*shape: int) -> Any:
    return real(*shape) + 1j * real(*shape)


def regular(*shape: int, make: Callable[..., Any] = real) -> Any:
    """Matrices with distinct singular values between 0.7 and 2, whose eigenvalues are apart too."""
    u, _, vh = np.linalg.svd(make(*shape), full_matrices=False)
    s = np.linspace(2.0, 0.7, min(shape[-2:]))
    return (u * s) @ vh


def cregular(*shape: int) -> Any:
    return regular(*shape, make=cplx)


def in_space(space: str, name: str, **options: Any) -> Callable[..., Any]:
    """A function of a sub-namespace."""

    def f(xp: Any, *arrays: Any) -> Any:
        made = getattr(getattr(xp, space), name)(*arrays, **options)
        return tuple(made) if isinstance(made, tuple) else made

    return f


# JAX compiles each op anew for each shape and option (0.1 to 1 s), and Dask schedules each op's task (10 ms): they run
# a sample of each op, and leave its variants to the others; JAX leaves out what is made of ops that have rows of their
# own. What the libraries' own functions give is compared on all of them by the conformance suite.
VARIANT = {"jax": "a variant of a row that runs there", "dask": "a variant of a row that runs there"}
MADE_OF_OTHERS = {"jax": "made of ops that have rows there"}
COMPOSITE = (
    "cross", "outer", "matmul", "tensordot", "vecdot", "matrix_transpose", "diagonal", "trace", "matrix_norm", "svdvals",
    "eigvalsh", "eigvals", "matrix_power", "expm", "pinv", "hfft", "ihfft", "fftn", "ifftn", "rfftn", "irfftn", "fftshift",
)  # fmt: skip


def linalg(
    label: str, *samples: Any, name: str = "", reference: Any = None, more: tuple[Any, ...] = (), **options: Any
) -> None:
    """A row for one function, and with ``more`` samples another of variants; so is one with options."""
    f = in_space("linalg", name or label.split()[0], **options)
    if samples:
        row(f"linalg.{label}", f, *samples, reference=reference, skip=_skip(label.split()[0], options))
    if more:
        row(f"linalg.{label}, more", f, *more, reference=reference, skip=VARIANT)


def _skip(name: str, options: Any) -> dict[str, str]:
    return VARIANT if options else MADE_OF_OTHERS if name in COMPOSITE else {}


def adjoint(xp: Any, x: Any) -> Any:
    return xp.conj(xp.matrix_transpose(x))


def hermitian(xp: Any, x: Any) -> Any:
    return x + adjoint(xp, x)


def positive(xp: Any, x: Any) -> Any:
    return xp.matmul(x, adjoint(xp, x)) + xp.eye(x.shape[-1], dtype=x.dtype)


def as_like(xp: Any, s: Any, x: Any) -> Any:
    """Real numbers as columns' factors, in the dtype of ``x``."""
    return xp.astype(s, x.dtype)[..., None, :]


REAL, COMPLEX = regular(3, 3), cregular(2, 3, 3)
SQUARE = (REAL,), (COMPLEX,)
TALL, WIDE = (regular(4, 2),), (regular(2, 4),)
CTALL, CWIDE = (cregular(2, 4, 2),), (cregular(2, 2, 4),)

# -- solving -----------------------------------------------------------------------------------------

EMPTY = (np.zeros((0, 0)),)
linalg("inv", (COMPLEX,), more=((REAL,), EMPTY))
linalg("det", (COMPLEX,), more=((REAL,), (np.diag([1.5, -0.7, 0.0]),), EMPTY, (np.full((1, 1), 0.3),)))
linalg("slogdet", (COMPLEX,), more=((REAL,), EMPTY))
linalg(
    "solve", (COMPLEX, cplx(3, 2)),
    more=((regular(3, 3), real(3)), (cregular(3, 3), cplx(2, 3, 2)), (COMPLEX, real(3, 2)), (regular(2, 3, 3), real(3)),
          (np.zeros((0, 0)), np.zeros((0, 2)))),
)  # fmt: skip
for _upper in (False, True):
    row(
        f"linalg.cholesky upper={_upper}",
        lambda xp, x, upper=_upper: xp.linalg.cholesky(positive(xp, x), upper=upper),
        (COMPLEX,),
        skip=VARIANT if _upper else {},
    )
    row(
        f"linalg.solve_triangular upper={_upper}",
        in_space("linalg", "solve_triangular", upper=_upper),
        (COMPLEX + 2 * np.eye(3), cplx(3, 2)),
        reference=lambda a, b, upper=_upper: np.linalg.solve(np.triu(a) if upper else np.tril(a), b),
        skip=VARIANT if _upper else {},
    )
row("linalg.cholesky", lambda xp, x: xp.linalg.cholesky(positive(xp, x)), (REAL,), EMPTY, skip=VARIANT)
row(
    "linalg.solve_triangular of a unit diagonal",
    in_space("linalg", "solve_triangular", unit_diagonal=True),
    (regular(3, 3), real(3)),
    reference=lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True, unit_diagonal=True),
    skip=VARIANT,
)

# -- spectra -----------------------------------------------------------------------------------------


def _eigh(xp: Any, x: Any) -> Any:
    w, v = xp.linalg.eigh(hermitian(xp, x))
    return w, xp.matmul(v * as_like(xp, xp.sin(w), v), adjoint(xp, v)), xp.abs(v)


def _eig(xp: Any, x: Any) -> Any:
    w, v = xp.linalg.eig(x)
    weights = xp.abs(w - 0.3)[..., None, :]  # libraries order eigenvalues differently
    return (
        xp.sum(w * w * w, axis=-1),
        xp.matmul(v * xp.sin(w)[..., None, :], xp.linalg.inv(v)),
        xp.sum(xp.abs(v) * weights, axis=-1),
    )


def _svd(xp: Any, x: Any) -> Any:
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    return s, xp.matmul(u * as_like(xp, xp.sin(s), u), vh), xp.abs(u), xp.abs(vh)


for _name, _f in [
    ("eigh", _eigh), ("eigvalsh", lambda xp, x: xp.linalg.eigvalsh(hermitian(xp, x))), ("eig", _eig),
    ("eigvals", lambda xp, x: xp.sum(xp.linalg.eigvals(x) ** 3, axis=-1)),
]:  # fmt: skip
    row(f"linalg.{_name}", _f, (COMPLEX,), skip=_skip(_name, {}))
    row(f"linalg.{_name} of real numbers", _f, (REAL,), skip=VARIANT)
row("linalg.svd", _svd, CWIDE)
row("linalg.svd, more", _svd, *SQUARE, TALL, CTALL, skip=VARIANT)
row("linalg.svd full", lambda xp, x: xp.linalg.svd(x)[1], TALL, CWIDE, skip=VARIANT)
linalg("svdvals", (COMPLEX,), more=((REAL,), WIDE))
linalg("qr", CWIDE, more=(*SQUARE, TALL, CTALL, WIDE))
row("linalg.qr complete", lambda xp, x: xp.linalg.qr(x, mode="complete")[1], TALL, CWIDE, skip=VARIANT)
linalg("pinv", CTALL, more=(*SQUARE, TALL, CWIDE, (np.zeros((0, 2)),)))
linalg("pinv rtol", (regular(2, 3, 3),), rtol=1e-3)
row("linalg.matrix_rank", in_space("linalg", "matrix_rank"), SQUARE[0], CTALL, differentiable=False)
row(
    "linalg.lstsq",
    lambda xp, a, b: tuple(xp.linalg.lstsq(a, b)[:2]),
    (regular(4, 2), real(4)), (cregular(2, 4), cplx(2, 3)),
    reference=lambda a, b: (
        np.linalg.pinv(a) @ b, np.sum(np.abs(b - a @ np.linalg.pinv(a) @ b) ** 2, axis=0)
    ),
    skip=VARIANT,
)  # fmt: skip

# -- norms -------------------------------------------------------------------------------------------

for _ord in ("fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf")):
    linalg(f"matrix_norm ord={_ord}", (regular(2, 3, 3),), name="matrix_norm", ord=_ord)
linalg("matrix_norm", (COMPLEX,))
linalg("matrix_norm keepdims", CTALL, keepdims=True, ord=2)
row("linalg.cond", in_space("linalg", "cond"), TALL, reference=np.linalg.cond, skip=VARIANT)
row(
    "linalg.cond of other norms",
    lambda xp, x: (xp.linalg.cond(x, ord=-2), xp.linalg.cond(x, ord="fro")),
    SQUARE[0],
    reference=lambda x: (np.linalg.cond(x, -2), np.linalg.cond(x, "fro")),
    skip=VARIANT,
)
for _ord in (0, 1, 2, 3, 0.5, -1.5, float("inf"), -float("inf")):
    linalg(f"vector_norm ord={_ord}", (real(2, 3),), (cplx(3, 2),), name="vector_norm", ord=_ord, axis=-1)
linalg("vector_norm", (cplx(2, 3),), more=((real(2, 3),), (real(),), (np.zeros(0),)))
linalg("vector_norm over two axes", (cplx(2, 3, 2),), axis=(0, 2), keepdims=True)
linalg("vector_norm over no axes", (cplx(3),), axis=())

# -- products and parts ------------------------------------------------------------------------------

linalg("cross", (cplx(2, 3), real(3)), more=((real(3), real(2, 3)),))
linalg("cross axis", (real(3, 2), real(3, 1)), axis=-2)
linalg("outer", (real(2), cplx(3)))
linalg("matmul", (real(2, 3), real(3, 2)))
linalg("tensordot", (real(2, 3), real(3, 2)), axes=1)
linalg("vecdot", (cplx(2, 3), cplx(3)))
linalg("matrix_transpose", (real(2, 3),))
linalg("diagonal", (cplx(2, 3, 4),), more=((real(3, 2),),))
linalg("diagonal above", (real(3, 4),), (real(2, 0),), offset=1)
linalg("diagonal below", (real(3, 2),), offset=-2)
linalg("trace", (cplx(2, 3, 4),), more=((real(3, 2),),))
linalg("trace offset", (real(3, 3),), offset=-1)
for _n in (-2, 0, 1, 5):
    row(f"linalg.matrix_power {_n}", lambda xp, x, n=_n: xp.linalg.matrix_power(x, n), (COMPLEX,),
        skip=VARIANT if _n > -2 else MADE_OF_OTHERS)  # fmt: skip
row("linalg.kron", in_space("linalg", "kron"), (real(2, 3), cplx(2)), reference=np.kron, skip=VARIANT)
row(
    "linalg.multi_dot",
    lambda xp, a, b, c: xp.linalg.multi_dot([a, b, c]),
    (real(2, 3), real(3, 4), real(4)),
    reference=lambda a, b, c: a @ b @ c,
    skip=VARIANT,
)
linalg("expm", (2 * REAL,), more=((4 * COMPLEX,), (np.zeros((2, 0, 0)),)), reference=scipy.linalg.expm)

# -- Fourier transforms ------------------------------------------------------------------------------


def fft(name: str, *samples: Any, reference: Any = None, **options: Any) -> None:
    """A row for one function; with options it is a variant."""
    row(f"fft.{name} {options or ''}", in_space("fft", name, **options), *samples, reference=reference,
        skip=_skip(name, options))  # fmt: skip


def fft_of_real(name: str, x: Any, n: int) -> None:
    """Real input to a transform of complex numbers, where the standard takes these only."""
    fft(name, (x,), n=n, reference=lambda x: getattr(np.fft, name)(x, n=n))


_ODD, _EVEN = (cplx(2, 3),), (cplx(2, 4),)
for _name in ("fft", "ifft"):
    fft(_name, _EVEN)
    fft(_name, _ODD, n=3)
    fft(_name, _EVEN, n=3, norm="ortho")
    fft(_name, _EVEN, n=5, axis=0, norm="forward")
    fft_of_real(_name, real(4), 5)
for _name in ("irfft", "hfft"):
    fft(_name, _EVEN)
    fft(_name, _EVEN, n=7)
    fft(_name, _ODD, n=5, norm="ortho")
    fft(_name, _EVEN, n=4, norm="forward")
    fft(_name, _EVEN, n=6, axis=0)
    fft_of_real(_name, real(4), 3)
for _name in ("rfft", "ihfft"):
    fft(_name, (real(2, 4),))
    fft(_name, (real(2, 5),), n=5)
    fft(_name, (real(2, 4),), n=3, norm="ortho")
    fft(_name, (real(2, 4),), n=6, norm="forward")
    fft(_name, (real(2, 4),), n=1, axis=0)
for _name in ("fftn", "ifftn", "irfftn"):
    fft(_name, (cplx(2, 2, 3),))
    fft(_name, (cplx(2, 3, 4),), s=(2, 5), axes=(2, 1), norm="ortho")
fft("rfftn", (real(2, 2, 3),))
fft("rfftn", (real(2, 3, 4),), s=(2, 5), axes=(2, 1), norm="ortho")
fft("fftshift", (real(2, 3),))
fft("ifftshift", (cplx(2, 3),), axes=(1,))
