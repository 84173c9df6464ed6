"""All of linalg: PyTorch's gradients, Dask's chunks, errors, signatures, empty stacks."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import rows_linalg
from linalg_shared import cplx, eager, real

import polygrad as pg
from polygrad import linalg
from polygrad.core.kernels import GENERIC
from polygrad.errors import DTypeError, ShapeError, VmapError


@pytest.mark.parametrize("make", [real, cplx])
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("det", (3, 3)), ("inv", (3, 3)), ("slogdet", (3, 3)), ("svdvals", (4, 2)), ("svdvals", (2, 4)),
        ("pinv", (4, 2)), ("pinv", (2, 4)), ("qr", (4, 2)), ("qr", (2, 4)), ("qr", (3, 3)), ("matrix_exp", (3, 3)),
        ("cholesky", (3, 3)), ("eigvalsh", (3, 3)),
    ],
)  # fmt: skip
def test_gradients_are_those_of_pytorch(name: str, shape: Any, make: Any) -> None:
    """The same convention for complex numbers too; only its cholesky and eigh are not made Hermitian, so that is done
    here."""
    torch = pytest.importorskip("torch")
    x = make(*shape)
    if name in ("cholesky", "eigvalsh"):
        x = x @ x.conj().T + np.eye(3)
    own = getattr(linalg, {"matrix_exp": "expm"}.get(name, name))
    tracked = pg.asarray(x, requires_grad=True)
    theirs = torch.tensor(x, requires_grad=True)
    mine, other = own(tracked), getattr(torch.linalg, name)(theirs)
    total, reference = pg.asarray(0.0), torch.zeros((), dtype=torch.float64)
    for y, z in zip(*[(v if isinstance(v, tuple) else (v,)) for v in (mine, other)], strict=True):
        w = make(*y.shape) if y.dtype.kind == "c" else real(*y.shape)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().resolve_conj().numpy(), rtol=1e-9, atol=1e-11)
        total = total + pg.real(pg.sum(pg.conj(pg.asarray(w)) * y))
        reference = reference + torch.sum(torch.conj(torch.tensor(w)) * z).real
    total.backward()
    reference.backward()
    g = theirs.grad.resolve_conj().numpy()
    g = (g + g.conj().T) / 2 if name in ("cholesky", "eigvalsh") else g
    np.testing.assert_allclose(tracked.grad.numpy(), g, rtol=1e-8, atol=1e-10)  # type: ignore[union-attr]


def test_dask_arrays_in_chunks() -> None:
    """Block by block over the stack, whole along the matrices."""
    da = pytest.importorskip("dask.array")
    x, b = rows_linalg.regular(4, 3, 3, make=real), real(4, 3, 2)

    def f(x: Any, b: Any) -> Any:
        u, s, vh = linalg.svd(x, full_matrices=False)
        spectrum = pg.fft.fft(linalg.solve(x, b), axis=-2)
        return pg.sum(pg.abs(u) * s[..., None, :]) + pg.sum(linalg.det(x)) + pg.sum(pg.abs(spectrum)) + pg.sum(vh**2)

    chunked = da.from_array(x, chunks=(2, 2, 2)), da.from_array(b, chunks=(1, 3, 1))
    value, grads = pg.value_and_grad(f, (0, 1))(*chunked)
    expected, reference = pg.value_and_grad(f, (0, 1))(x, b)
    np.testing.assert_allclose(value.compute(), expected, rtol=1e-12)
    for g, e in zip(grads, reference, strict=True):
        np.testing.assert_allclose(g.compute(), e, rtol=1e-10, atol=1e-12)
    blocks = linalg.inv(chunked[0])._value.numblocks
    assert blocks[0] > 1
    assert blocks[1:] == (1, 1)


@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh", "eig", "eigvals", "expm"])
def test_errors_of_square_matrices(name: str) -> None:
    f = getattr(linalg, name)
    with pytest.raises(ShapeError, match=rf"{name}: needs square matrices, got shape \(2, 3\)"):
        f(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=rf"{name}: needs a matrix"):
        f(np.ones(3))
    with pytest.raises(DTypeError, match=rf"{name}: needs float32, .*got int64"):
        f(np.ones((2, 2), np.int64))
    with pytest.raises(DTypeError, match="float16"):
        f(np.ones((2, 2), np.float16))


@pytest.mark.parametrize(
    ("f", "error", "words"),
    [
        (lambda: linalg.solve(np.eye(2), np.ones(3)), ShapeError, r"solve: shapes \(2, 2\) and \(3,\) do not fit"),
        (lambda: linalg.solve(np.eye(2), np.ones((3, 2))), ShapeError, "needs 2 rows"),
        (lambda: linalg.solve(np.eye(2), 1.0), ShapeError, "do not fit"),
        (lambda: linalg.solve(np.ones((2, 3)), np.ones(2)), ShapeError, "square"),
        (lambda: linalg.solve(np.eye(2), np.ones(2, np.int64)), DTypeError, "int64"),
        (lambda: linalg.solve_triangular(np.ones((2, 3)), np.ones(2)), ShapeError, "square"),
        (lambda: linalg.cross(np.ones(2), np.ones(3)), ShapeError, "length 3"),
        (lambda: linalg.cross(np.ones((2, 3)), np.ones((4, 3))), ShapeError, "broadcast"),
        (lambda: linalg.cross(np.ones((3, 2)), np.ones(3), axis=0), ShapeError, "length 3 along axis -2"),
        (lambda: linalg.outer(np.ones((2, 2)), np.ones(2)), ShapeError, "two vectors"),
        (lambda: linalg.diagonal(np.ones(2)), ShapeError, "diagonal: needs a matrix"),
        (lambda: linalg.trace(np.ones(2)), ShapeError, "trace: needs a matrix"),
        (lambda: linalg.svd(np.ones(2)), ShapeError, "svd: needs a matrix"),
        (lambda: linalg.qr(np.ones((2, 2)), mode="full"), ValueError, "'reduced' or 'complete'"),
        (lambda: linalg.matrix_norm(np.eye(2), ord=3), ValueError, "ord must be"),
        (lambda: linalg.matrix_norm(np.ones((0, 2)), ord=2), ShapeError, "no elements"),
        (lambda: linalg.vector_norm(np.ones(2, np.int64)), DTypeError, "vector_norm: needs a floating"),
        (lambda: linalg.vector_norm(np.ones(2), axis=1), ShapeError, "axis 1"),
        (lambda: linalg.vector_norm(np.ones(0), ord=-1), ShapeError, "no elements"),
        (lambda: linalg.cond(np.ones((0, 0))), ShapeError, "no elements"),
        (lambda: linalg.multi_dot([np.eye(2)]), ShapeError, "two or more"),
        (lambda: linalg.multi_dot([np.eye(2), np.eye(3)]), ShapeError, "inner lengths"),
        (lambda: linalg.multi_dot([np.eye(2), np.ones(2), np.eye(2)]), ShapeError, "two or more matrices"),
        (lambda: linalg.inv(np.zeros((2, 2))), np.linalg.LinAlgError, r"inv of shape \(2, 2\): Singular matrix"),
        (lambda: linalg.solve(np.zeros((2, 2)), np.ones(2)), np.linalg.LinAlgError, "solve of shape"),
        (lambda: linalg.cholesky(-np.eye(2)), np.linalg.LinAlgError, "cholesky of shape"),
        (lambda: pg.vmap(lambda x: x.__array_namespace__() and x._device.raw.linalg.nothing(x._value))(np.eye(2)),
         VmapError, "linalg.nothing has no batching rule"),
    ],
)  # fmt: skip
def test_errors(f: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        f()


def test_generic_kernels_of_empty_matrices() -> None:
    """Backends without ways of their own."""
    xp = pg.Device("cpu").raw
    for name in ("adjugate", "inv_or_inf", "expm", "pinv", "matrix_rank"):
        x = np.zeros((2, 0, 0))
        options = {"rtol": np.asarray(0.1)} if name in ("pinv", "matrix_rank") else {}
        assert GENERIC[f"linalg.{name}"](xp, x, **options).shape == ((2,) if name == "matrix_rank" else (2, 0, 0))


STANDARD = {
    "cholesky": "(x, /, *, upper=False)",
    "cross": "(x1, x2, /, *, axis=-1)",
    "det": "(x, /)",
    "diagonal": "(x, /, *, offset=0)",
    "eig": "(x, /)",
    "eigh": "(x, /)",
    "eigvals": "(x, /)",
    "eigvalsh": "(x, /)",
    "inv": "(x, /)",
    "matmul": "(x1, x2, /)",
    "matrix_norm": "(x, /, *, keepdims=False, ord='fro')",
    "matrix_power": "(x, n, /)",
    "matrix_rank": "(x, /, *, rtol=None)",
    "matrix_transpose": "(x, /)",
    "outer": "(x1, x2, /)",
    "pinv": "(x, /, *, rtol=None)",
    "qr": "(x, /, *, mode='reduced')",
    "slogdet": "(x, /)",
    "solve": "(x1, x2, /)",
    "svd": "(x, /, *, full_matrices=True)",
    "svdvals": "(x, /)",
    "tensordot": "(x1, x2, /, *, axes=2)",
    "trace": "(x, /, *, offset=0, dtype=None)",
    "vecdot": "(x1, x2, /, *, axis=-1)",
    "vector_norm": "(x, /, *, axis=None, keepdims=False, ord=2)",
}


@pytest.mark.parametrize("name", STANDARD)
def test_signatures_are_the_standards(name: str) -> None:
    signature = inspect.signature(getattr(linalg, name))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    assert str(inspect.Signature(bare)) == STANDARD[name]
    assert getattr(pg.zeros(1).__array_namespace__().linalg, name) is getattr(linalg, name)


def test_every_function_is_in_the_table() -> None:
    source = inspect.getsource(rows_linalg)
    functions = [n for n in linalg.__all__ if not n.endswith("Result")]
    assert set(STANDARD) <= set(functions)
    assert not [n for n in functions if f'"{n}' not in source and f".{n}(" not in source and f".{n} " not in source]


def test_main_functions_are_the_same_objects() -> None:
    for name in ("matmul", "matrix_transpose", "tensordot", "vecdot"):
        assert getattr(linalg, name) is getattr(pg, name)


def test_named_tuples() -> None:
    x = np.eye(2)
    assert linalg.eigh(x)._fields == linalg.eig(x)._fields == ("eigenvalues", "eigenvectors")
    assert linalg.qr(x)._fields == ("Q", "R")
    assert linalg.slogdet(x)._fields == ("sign", "logabsdet")
    assert linalg.svd(x)._fields == ("U", "S", "Vh")


@eager
def test_empty_stacks(device: pg.Device) -> None:
    """No matrices, or matrices of no elements: shapes come out, gradients too."""
    for shape in ((0, 2, 2), (2, 0, 0)):
        x = pg.asarray(np.zeros(shape), device=device, copy=True, requires_grad=True)
        values = [
            linalg.inv(x), linalg.det(x), linalg.slogdet(x).logabsdet, linalg.eigvalsh(x), linalg.svdvals(x),
            linalg.pinv(x), linalg.expm(x), linalg.qr(x).R, linalg.cholesky(x), linalg.matrix_power(x, 3),
            linalg.matrix_norm(x),
        ]  # fmt: skip
        assert [v.shape[0] for v in values] == [shape[0]] * len(values)
        sum((pg.sum(v) for v in values), pg.asarray(0.0, device=device)).backward()
        assert x.grad.shape == shape  # type: ignore[union-attr]


def test_derivatives_at_empty_matrices() -> None:
    empty = np.zeros((0, 0))

    def everything(a: Any) -> Any:
        values, vectors = linalg.eigh(a)
        return linalg.det(a) + pg.sum(values) + pg.sum(vectors)

    assert pg.hessian(everything)(empty).shape == (0, 0, 0, 0)
    assert pg.grad(lambda a: pg.sum(pg.grad(lambda b: pg.sum(pg.grad(everything)(b)))(a)))(empty).shape == (0, 0)
    assert pg.jvp(pg.grad(everything), (empty,), (empty,))[1].shape == (0, 0)
