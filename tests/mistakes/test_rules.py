"""Mistakes that other libraries shipped in their derivative rules, by the numbers of ``docs/numerics.md``.

Each test asserts what the mistaken rule would not give. Numbers 3, 12, 17, 18, 21, 22 and part of 30 are in
``tests/ops/test_linalg.py`` and ``test_fft.py``; those of the machinery in ``test_machinery.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import CheckError
from polygrad.extend import unary
from polygrad.testing import check_grads, check_jvp, check_second_order, check_vjp

# The rules are the same everywhere: Dask and JAX, which are slow on new shapes, run where it costs little.
pytestmark = pytest.mark.devices("numpy", "strict", "torch", "cupy")
everywhere = pytest.mark.devices("numpy", "strict", "torch", "cupy", "jax", "dask")

INF, NAN = float("inf"), float("nan")


def host(x: Any) -> Any:
    return np.asarray(pg.asarray(x).detach().to_device("cpu").numpy())


def signed(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def pulled(f: Any, g: Any, *xs: Any) -> Any:
    """The cotangents of ``f``'s arguments for the cotangent ``g``."""
    return [host(x) for x in pg.vjp(f, *xs)[1](g)]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda xp, g, x: g,
        lambda xp, g, x: -g * xp.cos(x),
        lambda xp, g, x: xp.zeros_like(g),
        lambda xp, g, x: g * xp.cos(x) * 1.000001,
        lambda xp, g, x: g * xp.sin(x),
        lambda xp, g, x: xp.flip(g) * xp.cos(x),
        lambda xp, g, x: xp.ones_like(g) * xp.mean(g) * xp.cos(x),  # right for a cotangent of ones
        lambda xp, g, x: xp.abs(g) * xp.cos(x),  # right for positive cotangents
    ],
)
def test_mistake_01_a_checker_that_passes_wrong_gradients(wrong: Any) -> None:
    """chainer#3541."""

    def sine(xp: Any, x: Any, /) -> Any:
        return xp.sin(x)

    points = [pg.asarray([0.3, -0.7, 1.1])]
    right = lambda xp, t, x: t * xp.cos(x)  # noqa: E731
    with pytest.raises(CheckError):
        check_vjp(unary(vjp=wrong, jvp=right)(sine), points)
    with pytest.raises(CheckError):
        check_jvp(unary(vjp=right, jvp=wrong)(sine), points)
    check_grads(unary(vjp=right, jvp=right)(sine), points, order=1)


@pytest.mark.parametrize("b", [3.0, -3.0])
@pytest.mark.parametrize("a", [5.5, -5.5, 0.5, -0.5])
def test_mistake_02_remainder_of_mixed_signs(a: float, b: float, device: pg.Device) -> None:
    """jax#11466: the slope in b is -floor(a / b), of which -trunc and -round are wrong by 1."""
    da, db = pulled(pg.remainder, pg.asarray(1.0, device=device), *[pg.asarray(v, device=device) for v in (a, b)])
    assert (da, db) == (1.0, -np.floor(a / b))
    check_grads(pg.remainder, [pg.asarray(a, device=device), pg.asarray(b, device=device)])


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_mistake_04_cumulative_sum_along_every_axis(axis: int, device: pg.Device) -> None:
    x, g = signed(2, 3, 4), signed(2, 3, 4, seed=1)
    (found,) = pulled(
        lambda x: pg.cumulative_sum(x, axis=axis), pg.asarray(g, device=device), pg.asarray(x, device=device)
    )
    expected = np.flip(np.cumsum(np.flip(g, axis), axis), axis)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("...ij,...jk->...ik", [(3, 4), (5, 4, 2)]),
        ("...ij,...jk->...ik", [(1, 3, 4), (5, 4, 2)]),
        ("...i,...i", [(4,), (2, 3, 4)]),
        ("...,...", [(1, 3), (2, 1)]),
    ],
)
def test_mistake_05_einsum_under_broadcasting(subscripts: str, shapes: Any, device: pg.Device) -> None:
    """autograd#376: gradients of the broadcast shape, not the argument's."""
    xs = [signed(*s, seed=i) for i, s in enumerate(shapes)]
    tensors = [pg.asarray(x, device=device) for x in xs]
    f = lambda *xs: pg.einsum(subscripts, *xs)  # noqa: E731
    g = signed(*f(*tensors).shape, seed=9)
    found = pulled(f, pg.asarray(g, device=device), *tensors)
    for i, (x, own) in enumerate(zip(xs, found, strict=True)):
        assert own.shape == x.shape
        for index in np.ndindex(x.shape):  # exact, for einsum is linear in each argument
            unit = np.zeros_like(x)
            unit[index] = 1.0
            moved = np.einsum(subscripts, *[unit if k == i else v for k, v in enumerate(xs)])
            np.testing.assert_allclose(own[index], np.sum(moved * g), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "shapes", [((3, 1), (1, 4)), ((4,), (3, 4)), ((), (2, 3)), ((2, 1, 3), (4, 1)), ((0, 1), (3,))]
)
@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "divide", "pow", "maximum", "hypot", "atan2", "logaddexp", "copysign"]
)
def test_mistake_06_sums_over_broadcast_axes(name: str, shapes: Any) -> None:
    """pytorch#13669, chainer#1150: against the same function of arrays that are broadcast already."""
    f = getattr(pg, name)
    xs = [0.5 + np.abs(signed(*s, seed=i)) for i, s in enumerate(shapes)]
    full = np.broadcast_shapes(*shapes)
    g = signed(*full, seed=5)
    found = pulled(f, g, *xs)
    whole = pulled(f, g, *[np.broadcast_to(x, full).copy() for x in xs])
    for x, own, w in zip(xs, found, whole, strict=True):
        assert own.shape == x.shape
        lead = w.ndim - x.ndim
        w = w.sum(tuple(range(lead)))
        w = w.sum(tuple(i for i, n in enumerate(x.shape) if n == 1 and w.shape[i] != 1), keepdims=True)
        np.testing.assert_allclose(own, w, rtol=1e-12)


@everywhere
def test_mistake_07_the_gradient_of_a_scalar_is_a_scalar(device: pg.Device) -> None:
    """jax#6452."""
    a, x = pg.asarray(2.0, device=device), pg.asarray([1.0, -3.0, 5.0], device=device)
    for f in (
        lambda a, x: pg.sum(a * x),
        lambda a, x: pg.sum(x**a * 0 + a * x),
        lambda a, x: pg.sum(pg.maximum(x, a) * 0 + a * x),
        lambda a, x: pg.sum(pg.where(x > 0, a, a) * x),
        lambda a, x: pg.sum(pg.clip(a, -10.0, 10.0) * x),
    ):
        for g in (pg.grad(f)(a, pg.abs(x) * pg.sign(x)), pg.vjp(f, a, x)[1](pg.asarray(1.0, device=device))[0]):
            assert g.shape == ()
    assert host(pg.grad(lambda a: pg.sum(a * x))(a)) == 3.0
    assert type(pg.grad(lambda a: pg.sum(a * np.ones(3)))(2.0)) is float


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1), -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_mistake_08_shapes_of_prod_at_zero_and_var_without_freedom(axis: Any, keepdims: bool, device: Any) -> None:
    """pytorch#82644, #94184."""
    x = pg.asarray([[2.0, 0.0, 3.0], [0.0, 0.0, 5.0]], device=device)
    n = {None: 6, (0, 1): 6, 0: 2}.get(axis, 3)
    for f, at_zero in (
        (lambda x: pg.prod(x, axis=axis, keepdims=keepdims), False),
        (lambda x: pg.var(x, axis=axis, correction=n, keepdims=keepdims), True),
        (lambda x: pg.std(x, axis=axis, correction=n, keepdims=keepdims), True),
    ):
        out, pull = pg.vjp(f, x)
        assert out.shape == np.sum(np.ones((2, 3)), axis=axis, keepdims=keepdims).shape
        g = host(pull(pg.ones_like(out))[0])
        assert g.shape == (2, 3)
        assert bool(np.isnan(g).all()) is at_zero
        assert bool(np.isnan(host(out)).all()) is at_zero


def test_mistake_09_second_derivative_of_prod_with_two_zeros(device: pg.Device) -> None:
    """pytorch#106789."""
    x = pg.asarray([0.0, 2.0, 0.0, 5.0], device=device)
    expected = np.zeros((4, 4))
    expected[0, 2] = expected[2, 0] = 10.0
    np.testing.assert_array_equal(host(pg.hessian(pg.prod)(x)), expected)
    assert not host(pg.grad(pg.prod)(x)).any()
    third = pg.jacfwd(pg.hessian(pg.prod))(x)
    assert host(third)[0, 2, 1] == 5.0


def test_mistake_10_cumulative_prod_does_not_divide(device: pg.Device) -> None:
    """pytensor#1911."""
    x, g = np.array([2.0, 0.0, 3.0, 0.0, 5.0]), np.array([1.0, -2.0, 0.5, 4.0, 3.0])
    given = pg.asarray(x, device=device)
    expected = [sum(g[j] * np.prod(np.delete(x[: j + 1], i)) for j in range(i, 5)) for i in range(5)]
    (found,) = pulled(pg.cumulative_prod, pg.asarray(g, device=device), given)
    np.testing.assert_array_equal(found, expected)
    jacobian = host(pg.jacfwd(pg.cumulative_prod)(given))
    np.testing.assert_array_equal(g @ jacobian, expected)
    check_grads(pg.cumulative_prod, [given])


def test_mistake_11_pow_at_base_zero(device: pg.Device) -> None:
    """tinygrad#9075: p x^(p-1), not out p / x, which is 0 / 0."""
    x = pg.asarray(0.0, device=device)
    for p, first, second in [(1.0, 1.0, 0.0), (2.0, 0.0, 2.0), (3.0, 0.0, 0.0), (0.5, INF, None), (0.0, 0.0, 0.0)]:
        for f in (lambda x, p=p: pg.pow(x, pg.asarray(p, device=device)), lambda x, p=p: x**p):
            assert host(pg.grad(f)(x)) == first
            assert host(pg.jvp(f, (x,), (pg.ones_like(x),))[1]) == first
            if second is not None:
                assert host(pg.grad(pg.grad(f))(x)) == second
    assert host(pg.grad(lambda p: pg.pow(x, p))(pg.asarray(2.0, device=device))) == 0.0
    assert host(pg.grad(lambda p: pg.pow(x, p))(x)) == 0.0


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("name", ["max", "min"])
def test_mistake_13_ties_share(name: str, axis: Any, device: pg.Device) -> None:
    """pytorch#56734: 1 to each of k equal extremes multiplies the gradient by k."""
    x = pg.asarray([[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]], device=device)
    f = lambda x: getattr(pg, name)(x, axis=axis)  # noqa: E731
    out, pull = pg.vjp(f, x)
    g = signed(*out.shape)
    found = host(pull(pg.asarray(g, device=device))[0])
    np.testing.assert_allclose(found.sum(axis), g, rtol=1e-14)
    np.testing.assert_allclose(found, np.broadcast_to(found.mean(axis, keepdims=True), (2, 3)), rtol=1e-14)
    other = pg.asarray(2.0, device=device)
    for two in (pg.maximum, pg.minimum):
        assert [float(v) for v in pulled(two, pg.ones_like(other), other, other)] == [0.5, 0.5]


def test_mistake_14_one_tensor_as_x_and_as_a_bound(device: pg.Device) -> None:
    """Theano#633: the parts of both roles count, once each."""
    x = pg.asarray([-1.0, 0.5, 2.0], device=device)
    for f, expected in (
        (lambda x: pg.clip(x, x, 1.0), [1.0, 1.0, 0.0]),
        (lambda x: pg.clip(x, 0.0, x), [1.0, 1.0, 1.0]),  # at -1 the bounds cross, and the upper one holds
        (lambda x: pg.clip(x, x, x), [1.0, 1.0, 1.0]),
        (lambda x: pg.clip(x * 2, x, None), [1.0, 2.0, 2.0]),
        (lambda x: pg.clip(x * 2, None, x), [2.0, 1.0, 1.0]),
    ):
        step = 1e-6
        np.testing.assert_allclose((host(f(x + step)) - host(f(x - step))) / (2 * step), expected, rtol=1e-8)
        np.testing.assert_array_equal(pulled(f, pg.ones_like(x), x)[0], expected)
        np.testing.assert_array_equal(host(pg.jvp(f, (x,), (pg.ones_like(x),))[1]), expected)


@everywhere
def test_mistake_15_softplus_at_zero(device: pg.Device) -> None:
    """jax#2107: by the maximum's tie it was 0."""
    zero = pg.asarray(0.0, device=device)
    for f in (lambda x: pg.logaddexp(x, pg.zeros_like(x)), pg.special.softplus):
        assert host(pg.grad(f)(zero)) == 0.5
        assert host(pg.jvp(f, (zero,), (pg.ones_like(zero),))[1]) == 0.5
        assert host(pg.grad(pg.grad(f))(zero)) == 0.25


@everywhere
@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("sigmoid", 40.0, np.exp(-40.0)),
        ("sigmoid", -700.0, np.exp(-700.0)),
        ("sigmoid", 700.0, np.exp(-700.0)),
        ("tanh", 20.0, 4 * np.exp(-40.0)),
        ("tanh", -300.0, 4 * np.exp(-600.0)),
        ("expm1", -100.0, np.exp(-100.0)),
        ("expm1", -700.0, np.exp(-700.0)),
        ("asinh", 1e200, 1e-200),
        ("asinh", -1e200, 1e-200),
        ("atan", 1e150, 1e-300),
    ],
)
def test_mistake_16_tails_that_vanish(name: str, x: float, expected: float, device: pg.Device) -> None:
    """jax#40634: out (1 - out), 1 - out^2, out + 1 and 1 / sqrt(1 + x^2) are 0 there."""
    at = pg.asarray(x, device=device)
    f = getattr(pg, name)
    for found in (pg.grad(f)(at), pg.jvp(f, (at,), (pg.ones_like(at),))[1]):
        np.testing.assert_allclose(host(found), expected, rtol=1e-12)


HOLOMORPHIC = ["exp", "sin", "cosh", "tanh", "log", "sqrt", "reciprocal", "square", "asinh", "expm1"]


@pytest.mark.parametrize("outer", ["abs", "real", "imag"])
@pytest.mark.parametrize("inner", HOLOMORPHIC)
def test_mistake_19_one_convention_for_all_ops(inner: str, outer: str) -> None:
    """jax#979: a conjugate in one op's rule and not in the next one's. dL/dx + i dL/dy, by differences of L."""
    z, w = 0.7 - 0.4j, 1.3 + 0.2j

    def loss(z: Any) -> Any:
        return getattr(pg, outer)(pg.multiply(getattr(pg, inner)(z * w + 0.1j), z - w) / (z + 2.0))

    found = pg.grad(loss)(z)
    h = 1e-5
    value = lambda v: float(loss(pg.asarray(v)))  # noqa: E731
    expected = (value(z + h) - value(z - h)) / (2 * h) + 1j * (value(z + 1j * h) - value(z - 1j * h)) / (2 * h)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert abs(found - np.conj(expected)) > 1e-3


def test_mistake_20_pow_of_negative_real_and_complex(device: pg.Device) -> None:
    """pytorch#89903: log of the negative base is complex; pytorch#185639: forward mode dropped the imaginary part."""
    x = pg.asarray([-2.0, -0.5], device=device)
    p = pg.asarray([1.5 + 0.5j, -0.7 + 2.0j], device=device)
    base, exponent = np.array([-2.0 + 0j, -0.5 + 0j]), host(p)
    one, unit = pg.ones_like(x), pg.ones_like(p)
    by_exponent = base**exponent * np.log(base)
    np.testing.assert_allclose(host(pg.jvp(lambda p: pg.pow(x, p), (p,), (unit,))[1]), by_exponent, rtol=1e-12)
    np.testing.assert_allclose(pulled(lambda p: pg.pow(x, p), unit, p)[0], np.conj(by_exponent), rtol=1e-12)
    moved = host(pg.jvp(lambda x: pg.pow(x, p), (x,), (one,))[1])
    np.testing.assert_allclose(moved, exponent * base ** (exponent - 1), rtol=1e-12)
    assert np.abs(moved.imag).min() > 1e-3
    (g,) = pulled(lambda x: pg.pow(x, p), unit, x)
    assert g.dtype == np.float64
    np.testing.assert_allclose(g, moved.real, rtol=1e-12)
    check_grads(pg.pow, [x, p])


@pytest.mark.parametrize(
    "f", [pg.multiply, pg.divide, pg.add, pg.maximum, pg.atan2, lambda a, b: pg.where(a > 0, a, b)]
)
def test_mistake_23_dtypes_under_mixed_precision(f: Any, device: pg.Device) -> None:
    """pytorch#76786."""
    a = pg.asarray([1.0, 2.0], dtype="float32", device=device)
    b = pg.asarray([3.0, 0.5], dtype="float64", device=device)
    for xs in ((a, b), (b, a)):
        out, pull = pg.vjp(f, *xs)
        assert out.dtype == "float64"
        assert [g.dtype for g in pull(pg.ones_like(out))] == [x.dtype for x in xs]
        assert pg.jvp(f, xs, tuple(pg.ones_like(x) for x in xs))[1].dtype == "float64"


@everywhere
def test_mistake_23_real_and_complex_of_two_precisions(device: pg.Device) -> None:
    x = pg.asarray([1.0, 2.0], dtype="float32", device=device)
    z = pg.asarray([1.0 + 2.0j, -0.5j], dtype="complex128", device=device)
    out, pull = pg.vjp(pg.multiply, x, z)
    gx, gz = pull(out)
    assert (out.dtype, gx.dtype, gz.dtype) == ("complex128", "float32", "complex128")


@pytest.mark.parametrize(
    "name", ["exp", "tanh", "sqrt", "reciprocal", "tan", "std", "var", "softmax", "logsumexp", "log_softmax", "prod"]
)
def test_mistake_24_saved_values_are_differentiated_again(name: str, device: pg.Device) -> None:
    """pytorch#76185: what a rule has from the forward is a function of the input too."""
    check_second_order(getattr(pg, name), [pg.asarray([0.3, 0.9, 1.4], device=device)])


def test_mistake_24_values_hidden_from_the_graph_are_found_by_the_checker() -> None:
    class Hidden(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.slope = pg.cos(x)
            return pg.sin(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.slope

    with pytest.raises(CheckError, match="vjp of vjp"):
        check_second_order(Hidden.apply, [pg.asarray([0.3, 0.9])])


def test_mistake_25_second_derivative_of_a_linear_function(device: pg.Device) -> None:
    """pytorch#32304: 0, and no error."""
    x = pg.asarray([1.0, -2.0], device=device)
    for f in (lambda x: pg.sum(3.0 * x), pg.sum, lambda x: x[0], lambda x: pg.mean(pg.flip(x)) + 1.0):
        for second in (pg.hessian(f), pg.jacfwd(pg.grad(f)), pg.jacrev(pg.grad(f))):
            np.testing.assert_array_equal(host(second(x)), np.zeros((2, 2)))
        np.testing.assert_array_equal(host(pg.jvp(pg.grad(f), (x,), (x,))[1]), [0.0, 0.0])
        np.testing.assert_array_equal(host(pg.hvp(f, (x,), (x,))), [0.0, 0.0])


@everywhere
def test_mistake_28_repeated_indices_add_up(device: pg.Device) -> None:
    """pytorch#146299: ``zeros[idx] += g`` keeps one of them only."""
    x, g = pg.asarray([10.0, 20.0, 30.0], device=device), np.array([1.0, -2.0, 4.0, 8.0])
    i = pg.asarray([2, 0, 2, 2], device=device)
    expected = [-2.0, 0.0, 13.0]
    for f in (lambda x: pg.take(x, i), lambda x: pg.take_along_axis(x, i), lambda x: x[i]):
        _, pull = pg.vjp(f, x)
        np.testing.assert_array_equal(host(pull(pg.asarray(g, device=device))[0]), expected)
    matrix = pg.asarray(signed(3, 2), device=device)
    own = pulled(lambda m: m[i, :], pg.asarray(np.stack([g, -g], 1), device=device), matrix)[0]
    np.testing.assert_array_equal(own, np.stack([expected, np.negative(expected)], 1))
    both = pulled(lambda m: m[i, i * 0 + 1], pg.asarray(g, device=device), matrix)[0]
    np.testing.assert_array_equal(both, np.stack([np.zeros(3), expected], 1))


def test_mistake_29_nan_through_the_branch_not_taken(device: pg.Device) -> None:
    """0 times an infinite slope is 0 where it is not taken; a nan *value* not taken does no harm either."""
    x = pg.asarray([0.0, 4.0], device=device)
    plain = host(pg.grad(lambda x: pg.sum(pg.where(x > 0, pg.sqrt(x), 0.0)))(x))
    np.testing.assert_array_equal(plain, [0.0, 0.25])
    safe = host(pg.grad(lambda x: pg.sum(pg.safe_where(x > 0, pg.sqrt, x, 0.0)))(x))
    np.testing.assert_array_equal(safe, [0.0, 0.25])
    nan = pg.asarray([NAN, NAN], device=device)
    np.testing.assert_array_equal(
        host(pg.grad(lambda x: pg.sum(pg.where(x > 0, x * 3.0, nan * 1.0)[1:]))(x)), [0.0, 3.0]
    )


@pytest.mark.parametrize(
    "f", [pg.linalg.vector_norm, pg.linalg.matrix_norm, pg.std, lambda x: pg.sum(pg.std(x, axis=0)), pg.abs]
)
def test_mistake_30_norm_and_std_at_zero_do_not_poison_training(f: Any, device: pg.Device) -> None:
    """pytorch#2421: one step from a penalty at 0 must leave the parameters finite."""
    w = pg.asarray(np.zeros((2, 2)), device=device, requires_grad=True)
    pg.sum(f(w) + 2.0 * w).backward()
    assert w.grad is not None
    found = host(w.grad)
    assert np.isfinite(found).all()
    assert (found > 0).all()


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e300, 1e-300])
def test_mistake_37_hypot_and_atan2_at_the_ends(scale: float, device: pg.Device) -> None:
    """x^2 + y^2 overflows at 1e200 and is 0 at 1e-200."""
    x, y = (pg.asarray(v * scale, device=device) for v in (3.0, 4.0))
    one = pg.asarray(1.0, device=device)
    np.testing.assert_allclose(pulled(pg.hypot, one, x, y), [0.6, 0.8], rtol=1e-14)
    found = np.array(pulled(pg.atan2, one, x, y))
    expected = np.array([0.16, -0.12]) * (1 / scale)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    moved = [host(pg.jvp(pg.hypot, (x, y), t)[1]) for t in ((one, 0 * one), (0 * one, one))]
    np.testing.assert_allclose(moved, [0.6, 0.8], rtol=1e-14)


@everywhere
def test_mistake_38_where_of_real_and_complex(device: pg.Device) -> None:
    mask = pg.asarray([True, False, True], device=device)
    x = pg.asarray([1.0, 2.0, 3.0], device=device)
    z = pg.asarray([1.0 + 1.0j, 2.0 - 3.0j, 1.0j], device=device)
    v = pg.asarray([1.0 + 2.0j, 3.0 + 4.0j, -5.0 + 6.0j], device=device)
    out, pull = pg.vjp(lambda x, z: pg.where(mask, x, z), x, z)
    assert out.dtype == "complex128"
    gx, gz = pull(v)
    assert (gx.dtype, gz.dtype) == ("float64", "complex128")
    np.testing.assert_array_equal(host(gx), [1.0, 0.0, -5.0])
    np.testing.assert_array_equal(host(gz), [0.0, 3.0 + 4.0j, 0.0])
    check_grads(lambda x, z: pg.where(mask, x, z), [x, z])
