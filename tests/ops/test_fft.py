"""Fourier transforms beyond the table: against NumPy for every length and norm, adjoints, weights, errors."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import rows_linalg

import polygrad as pg
from polygrad import fft
from polygrad.errors import DTypeError, ShapeError
from polygrad.testing import check_adjoint, check_grads, check_vjp

# Where each new shape costs nothing: rules are the same everywhere, and the table has run them on all libraries.
eager = pytest.mark.devices("numpy", "strict", "torch", "dask", "cupy")

NORMS = ["backward", "ortho", "forward"]
FROM_REAL = ("rfft", "ihfft")

_rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _the_same_numbers_in_any_order() -> None:
    global _rng
    _rng = np.random.default_rng(20261127)


def real(*shape: int) -> Any:
    return _rng.normal(size=shape)


def cplx(*shape: int) -> Any:
    return _rng.normal(size=shape) + 1j * _rng.normal(size=shape)


def host(x: Any) -> Any:
    return np.asarray(x.detach().to_device("cpu").numpy())


def sample(name: str, *shape: int) -> Any:
    return real(*shape) if name in FROM_REAL else cplx(*shape)


# -- lengths, axes, norms --------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_mistake_22_lengths_and_norms(name: str, norm: Any) -> None:
    """autograd#185: odd and even lengths, cut and filled up, in every norm: values, and the adjoint to rounding (the
    transforms are linear: their jvp is their value, and differences need no small step)."""
    for m in (1, 2, 4, 5):
        x = sample(name, 2, m)
        for n in (None, 1, 2, 3, 4, 5, 8):
            if m == 1 and n is None and name in ("irfft", "hfft"):
                continue  # of no points

            def f(x):
                return getattr(fft, name)(x, n=n, norm=norm)  # noqa: B023

            expected = getattr(np.fft, name)(x, n=n, norm=norm)
            found = f(x)
            assert (found.shape, found.dtype.name) == (expected.shape, expected.dtype.name)
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-13)
            t = sample(name, 2, m)
            moved = pg.jvp(f, (x,), (t,))[1]
            np.testing.assert_allclose(moved, getattr(np.fft, name)(t, n=n, norm=norm), rtol=1e-12, atol=1e-13)
            check_adjoint(f, [x])


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
@pytest.mark.parametrize(
    ("s", "axes"),
    [(None, None), ((3, 5), (0, 1)), ((4,), (-2,)), (None, (1, 0)), ((4, 3), (2, 0)), ((2, 2, 2), (0, 1, 2))],
)
def test_mistake_22_several_axes(name: str, s: Any, axes: Any) -> None:
    for norm in NORMS:
        x = real(2, 3, 4) if name == "rfftn" else cplx(2, 3, 4)

        def f(x):
            return getattr(fft, name)(x, s=s, axes=axes, norm=norm)  # noqa: B023

        np.testing.assert_allclose(f(x).numpy(), getattr(np.fft, name)(x, s=s, axes=axes, norm=norm), atol=1e-12)
        check_adjoint(f, [x])
    short = getattr(fft, name)(x, s=(3, 2))  # the last two axes
    np.testing.assert_allclose(short.numpy(), getattr(np.fft, name)(x, s=(3, 2), axes=(1, 2)), atol=1e-12)


@eager
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_mistake_21_only_the_chosen_axis_is_transformed(name: str, device: pg.Device) -> None:
    """mlx#4138: a jvp that transformed all axes."""
    x, t = sample(name, 3, 4, 2), sample(name, 3, 4, 2)
    for axis in (0, 1, -3):

        def f(x):
            return getattr(fft, name)(x, axis=axis)  # noqa: B023

        moved = pg.jvp(f, (pg.asarray(x, device=device),), (pg.asarray(t, device=device),))[1]
        np.testing.assert_allclose(host(moved), getattr(np.fft, name)(t, axis=axis), atol=1e-12)
        alone = pg.grad(lambda x: pg.sum(pg.abs(f(x))[..., 0]))(pg.asarray(x, device=device))
        np.testing.assert_array_equal(host(alone)[..., 1], 0)  # what is not transformed does not mix


@eager
@pytest.mark.parametrize("n", [5, 6])
def test_mistake_22_dc_and_nyquist_weights(n: int, device: pg.Device) -> None:
    """irfft counts the entries between twice, the first and, of an even n, the last once, and only their real parts."""
    m = n // 2 + 1
    x = pg.asarray(cplx(m), device=device)
    for j in range(n):
        g = host(pg.grad(lambda x: fft.irfft(x, n=n)[j])(x))  # noqa: B023
        k = np.arange(m)
        count = np.where((k == 0) | (2 * k == n), 1, 2)
        expected = count * np.exp(-2j * np.pi * j * k / n) / n
        once = count == 1
        expected[once] = expected[once].real
        np.testing.assert_allclose(g, expected, atol=1e-15)


def test_mistake_22_gradient_of_rfft_by_hand() -> None:
    """Of |rfft(x)|^2 summed over half the spectrum: by Parseval's theorem, with the weights."""
    for n in (4, 5):
        x = real(n)
        for norm, scale in (("backward", 1.0), ("ortho", n**-0.5), ("forward", 1.0 / n)):
            g = pg.grad(lambda x: pg.sum(pg.abs(fft.rfft(x, norm=norm)) ** 2))(x)  # noqa: B023
            k, j = np.meshgrid(np.arange(n // 2 + 1), np.arange(n), indexing="ij")
            matrix = np.exp(-2j * np.pi * k * j / n) * scale
            np.testing.assert_allclose(g, 2 * (matrix.conj().T @ (matrix @ x)).real, rtol=1e-12)


# -- real meets complex ------------------------------------------------------------------------------------


@eager
def test_a_real_input_gets_a_real_gradient(device: pg.Device) -> None:
    for name in ("fft", "ifft", "irfft", "hfft"):
        x = pg.asarray(real(4), device=device)

        def f(x):
            return getattr(fft, name)(x)  # noqa: B023

        g = pg.grad(lambda x: pg.sum(pg.abs(f(x)) ** 2))(x)
        assert g.dtype == pg.float64
        check_vjp(f, [x])


@eager
def test_transforms_round_trip_with_gradient_one(device: pg.Device) -> None:
    w = real(4, 5)
    weights = pg.asarray(w, device=device)
    x = pg.asarray(real(4, 5), device=device)
    for there, back in (
        (fft.fft, fft.ifft), (fft.fftn, fft.ifftn), (fft.rfft, lambda y: fft.irfft(y, n=5)),
        (fft.rfftn, lambda y: fft.irfftn(y, s=(4, 5))), (fft.ihfft, lambda y: fft.hfft(y, n=5)),
        (fft.fftshift, fft.ifftshift),
    ):  # fmt: skip

        def loss(x):
            return pg.real(pg.sum(weights * back(there(x))))  # noqa: B023

        np.testing.assert_allclose(host(pg.grad(loss)(x)), w, rtol=1e-12)


def test_convolution_and_its_second_derivative() -> None:
    a, b = real(4), real(3)

    def f(a, b):
        return fft.irfft(fft.rfft(a, n=6) * fft.rfft(b, n=6), n=6)

    np.testing.assert_allclose(f(a, b).numpy(), np.convolve(a, b), rtol=1e-12)
    check_grads(f, [a, b])
    hessian = pg.hessian(lambda a: pg.sum(f(a, b) ** 2))(a)
    matrix = np.array([np.convolve(e, b) for e in np.eye(4)])
    np.testing.assert_allclose(hessian, 2 * matrix @ matrix.T, rtol=1e-11, atol=1e-12)


# -- types -------------------------------------------------------------------------------------------------


@pytest.mark.part(3, "jax:cpu", "dask")
@pytest.mark.parametrize(
    ("name", "given", "made"),
    [
        ("fft", "complex64", "complex64"), ("fft", "float32", "complex64"), ("ifftn", "float32", "complex64"),
        ("rfft", "float32", "complex64"), ("rfftn", "float64", "complex128"), ("irfft", "complex64", "float32"),
        ("irfftn", "float32", "float32"), ("hfft", "complex64", "float32"), ("ihfft", "float32", "complex64"),
        ("fftshift", "float32", "float32"), ("fftshift", "int64", "int64"),
    ],
)  # fmt: skip
def test_single_precision_stays(name: str, given: str, made: str, device: pg.Device) -> None:
    x = pg.asarray(np.arange(12.0).reshape(3, 4).astype(given), device=device)
    y = getattr(fft, name)(x)
    assert y.dtype.name == made
    assert y.device is device
    if given != "int64":
        g = pg.grad(lambda x: pg.real(pg.sum(getattr(fft, name)(x))))(x)
        assert (g.dtype, g.shape) == (x.dtype, x.shape)


def test_gradients_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
        for n in (None, 3, 6):
            for norm in NORMS:
                x = sample(name, 2, 4)
                t = torch.tensor(x, requires_grad=True)
                y = getattr(torch.fft, name)(t, n=n, norm=norm)
                w = real(*y.shape) + (1j * real(*y.shape) if y.is_complex() else 0)
                torch.sum(torch.conj(torch.tensor(w)) * y).real.backward()

                def weigh(x):
                    return pg.real(pg.sum(np.conj(w) * getattr(fft, name)(x, n=n, norm=norm)))  # noqa: B023

                np.testing.assert_allclose(pg.grad(weigh)(x), t.grad.resolve_conj().numpy(), atol=1e-12)


# -- frequencies and shifts --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies(n: int, device: pg.Device) -> None:
    for name in ("fftfreq", "rfftfreq"):
        expected = getattr(np.fft, name)(n, 0.3)
        found = getattr(fft, name)(n, d=0.3, device=device)
        assert found.device is device
        np.testing.assert_allclose(host(found), expected, rtol=1e-15)
        inside = getattr(device.xp.fft, name)(n, dtype=device.xp.float32)
        assert (inside.dtype, inside.device) == (pg.float32, device)


@eager
def test_shifts_of_chosen_axes(device: pg.Device) -> None:
    x = real(3, 4, 5)
    for axes in (None, 0, -1, (0, 2), ()):
        for name in ("fftshift", "ifftshift"):
            found = getattr(fft, name)(pg.asarray(x, device=device), axes=axes)
            np.testing.assert_array_equal(host(found), getattr(np.fft, name)(x, axes=axes))


# -- arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "error", "words"),
    [
        (lambda: fft.fft(np.ones(3), norm="none"), ValueError, "fft: norm must be"),  # type: ignore[arg-type]
        (lambda: fft.fft(np.ones(3, np.int64)), DTypeError, "fft: needs float32, .*got int64"),
        (lambda: fft.fft(np.ones(3, np.float16)), DTypeError, "float16"),
        (lambda: fft.rfft(np.ones(3, complex)), DTypeError, "rfft: needs real numbers"),
        (lambda: fft.ihfft(np.ones(3, complex)), DTypeError, "ihfft: needs real numbers"),
        (lambda: fft.fft(np.ones(3), n=0), ShapeError, "at least 1 point"),
        (lambda: fft.fft(np.ones(0)), ShapeError, "at least 1 point"),
        (lambda: fft.irfft(np.ones(1)), ShapeError, "at least 1 point"),
        (lambda: fft.fft(np.ones(3), axis=1), ShapeError, "axis 1"),
        (lambda: fft.fft(np.ones(())), ShapeError, "out of range"),
        (lambda: fft.fftn(np.ones(())), ShapeError, "at least one axis"),
        (lambda: fft.fftn(np.ones((2, 2)), axes=(0, 0)), ShapeError, "twice"),
        (lambda: fft.fftn(np.ones((2, 2)), s=(2,), axes=(0, 1)), ShapeError, "1 lengths s=.* for 2 axes"),
        (lambda: fft.fftfreq(0), ShapeError, "fftfreq: needs at least 1 point"),
        (lambda: fft.rfftfreq(3, dtype="int64"), DTypeError, "rfftfreq: frequencies are real"),
        (lambda: fft.fftfreq(3, dtype="complex128"), DTypeError, "complex128"),
    ],
)
def test_errors(f: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        f()


ONE = "(x, /, *, n=None, axis=-1, norm='backward')"
MANY = "(x, /, *, s=None, axes=None, norm='backward')"
STANDARD = (
    dict.fromkeys(("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"), ONE)
    | dict.fromkeys(("fftn", "ifftn", "rfftn", "irfftn"), MANY)
    | dict.fromkeys(("fftfreq", "rfftfreq"), "(n, /, *, d=1.0, dtype=None, device=None)")
    | dict.fromkeys(("fftshift", "ifftshift"), "(x, /, *, axes=None)")
)


@pytest.mark.parametrize("name", STANDARD)
def test_signatures_are_the_standards(name: str) -> None:
    for f in (getattr(fft, name), getattr(pg.zeros(1).__array_namespace__().fft, name)):
        bare = [
            p.replace(annotation=inspect.Parameter.empty)
            for p in inspect.signature(f, follow_wrapped=True).parameters.values()
        ]
        assert str(inspect.Signature(bare)) == STANDARD[name]


def test_every_function_is_in_the_table() -> None:
    assert set(fft.__all__) == set(STANDARD)
    source = inspect.getsource(rows_linalg)
    assert not [n for n in fft.__all__ if f'"{n}"' not in source and not n.endswith("freq")]


def test_inside_vmap(device: pg.Device) -> None:
    """Creation of frequencies on the level too: what a spectral derivative needs."""
    x = real(3, 8)

    def derivative(x: Any) -> Any:
        xp = x.__array_namespace__()
        k = 2j * np.pi * xp.astype(xp.fft.fftfreq(8, device=x.device), xp.complex128)
        return xp.real(xp.fft.ifft(k * xp.fft.fft(x)))

    found = host(pg.vmap(derivative)(pg.asarray(x, device=device)))
    k = 2j * np.pi * np.fft.fftfreq(8)
    np.testing.assert_allclose(found, np.fft.ifft(k * np.fft.fft(x)).real, atol=1e-13)
