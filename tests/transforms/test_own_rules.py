"""Derivatives of one's own: what they close over, JAX's idioms, arguments by name, and wrong rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import GradientError, ShapeError


def by_vjp(a: Any) -> Any:
    @pg.custom_vjp
    def g(x: Any) -> Any:
        return x * a

    g.defvjp(lambda x: (x * a, None), lambda _, ct: (ct * a,))
    return g


def by_jvp(a: Any) -> Any:
    @pg.custom_jvp
    def g(x: Any) -> Any:
        return x * a

    g.defjvp(lambda p, t: (p[0] * a, t[0] * a))
    return g


def by_function(a: Any) -> Any:
    class G(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * a

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            return ct * a

    return G.apply


KINDS = pytest.mark.parametrize("kind", [by_vjp, by_jvp, by_function])


@KINDS
def test_what_a_function_closes_over_is_not_dropped(kind: Any) -> None:
    with pytest.raises(GradientError, match="closes over"):
        pg.grad(lambda a: kind(a)(a))(2.0)
    assert pg.grad(lambda a: pg.grad(kind(a))(3.0))(2.0) == 1.0  # the rule is differentiated by it
    w = pg.asarray(2.0, requires_grad=True)
    with pytest.raises(GradientError, match="closes over"):
        kind(w)(pg.asarray(3.0, requires_grad=True)).backward()
    if kind is by_function:
        with pytest.raises(GradientError, match="closes over"):
            kind(w)(pg.asarray(3.0)).backward()
    else:
        kind(w)(pg.asarray(3.0)).backward()  # its own rule is not asked: the graph goes through the function
        assert w.grad.item() == 3.0  # type: ignore[union-attr]
    assert pg.grad(kind(2.0))(3.0) == 2.0
    assert pg.grad(lambda x: kind(pg.stop_gradient(x))(x))(2.0) == 2.0


def test_a_rule_that_closes_over_an_outer_variable_is_differentiated() -> None:
    def outer(a: Any) -> Any:
        @pg.custom_vjp
        def g(x: Any) -> Any:
            return x * 1.0

        g.defvjp(lambda x: (x * 1.0, None), lambda _, ct: (ct * a,))
        return pg.grad(g)(3.0)

    assert pg.grad(outer)(2.0) == 1.0
    assert outer(2.0) == 2.0


def test_a_forward_function_that_calls_the_function() -> None:
    @pg.custom_vjp
    def square(x: Any) -> Any:
        return x * x

    square.defvjp(lambda x: (square(x), x), lambda x, ct: (2 * x * ct,))
    x = np.asarray([1.0, 2.0])
    assert pg.grad(square)(3.0) == 6.0
    np.testing.assert_allclose(pg.vmap(pg.grad(square))(x), 2 * x)
    np.testing.assert_allclose(pg.grad(lambda x: pg.sum(pg.vmap(square)(x)))(x), 2 * x)
    assert pg.grad(pg.grad(square))(3.0) == 2.0


def test_a_linear_function_applied_to_its_tangent() -> None:
    @pg.custom_jvp
    def double(x: Any) -> Any:
        return 2 * x

    double.defjvp(lambda p, t: (double(p[0]), double(t[0])))
    x = np.asarray([1.0, 2.0])
    assert pg.grad(double)(3.0) == 2.0
    assert pg.jvp(double, (3.0,), (1.0,))[1] == 2.0
    np.testing.assert_allclose(pg.vmap(pg.grad(double))(x), [2.0, 2.0])
    np.testing.assert_allclose(pg.grad(lambda x: pg.sum(pg.vmap(double)(x)))(x), [2.0, 2.0])
    assert pg.grad(lambda x: pg.grad(lambda y: double(y) ** 2)(x))(3.0) == pytest.approx(8.0)


def test_arguments_by_name_and_defaults_are_in_their_positions() -> None:
    @pg.custom_vjp
    def f(x: Any, y: Any, scale: float = 2.0) -> Any:
        return x * y * scale

    f.defvjp(
        lambda x, y, scale: (x * y * scale, (x, y, scale)), lambda r, ct: (ct * r[1] * r[2], ct * r[0] * r[2], None)
    )
    assert pg.grad(lambda x: f(x, 3.0))(2.0) == 6.0
    assert pg.grad(lambda x: f(y=3.0, x=x, scale=5.0))(2.0) == 15.0

    @pg.custom_jvp
    def g(x: Any, y: Any = 3.0) -> Any:
        return x * y

    g.defjvp(lambda p, t: (p[0] * p[1], t[0] * p[1] + p[0] * t[1]))
    assert pg.grad(lambda x: g(x=x))(2.0) == 3.0
    assert pg.grad(lambda y: g(2.0, y=y))(5.0) == 2.0


def test_nondifferentiated_arguments_and_rules_for_each() -> None:
    def power(n: int, x: Any) -> Any:
        return x**n

    f = pg.custom_vjp(power, nondiff_argnums=(0,))
    f.defvjp(lambda n, x: (x**n, x), lambda n, x, ct: (n * x ** (n - 1) * ct,))
    assert pg.grad(lambda x: f(3, x))(2.0) == 12.0
    g = pg.custom_jvp(lambda x, y: x * y)
    g.defjvps(lambda t, out, x, y: t * y, None)
    assert pg.grad(g, argnums=(0, 1))(2.0, 3.0) == (3.0, 0.0)
    h = pg.custom_jvp(power, nondiff_argnums=(0,))
    with pytest.raises(TypeError, match="nondiff_argnums"):
        h.defjvps(lambda t, out, x: t)


def vjp_of(fwd: Any, bwd: Any) -> Any:
    f = pg.custom_vjp(lambda x, y: x * y)
    f.defvjp(fwd, bwd)
    return lambda: pg.grad(lambda x, y: pg.sum(f(x, y)), argnums=(0, 1))(np.ones(2), np.ones(2))


def jvp_of(rule: Any) -> Any:
    f = pg.custom_jvp(lambda x: x * 2)
    f.defjvp(rule)
    return lambda: pg.jvp(f, (np.ones(2),), (np.ones(2),))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: pg.grad(pg.custom_vjp(lambda x: x))(1.0), "defvjp"),
        (lambda: pg.grad(pg.custom_jvp(lambda x: x))(1.0), "defjvp"),
        (vjp_of(lambda x, y: x * y, lambda r, ct: (ct, ct)), "pair"),
        (vjp_of(lambda x, y: (x * y, None, 1), lambda r, ct: (ct, ct)), "tuple of length 3.*pair"),
        (vjp_of(lambda x, y: (x * y, None), lambda r, ct: (ct,)), "1 cotangents for 2"),
        (vjp_of(lambda x, y: (x * y, None), lambda r, ct: ct), "Tensor for 2 arguments"),
        (vjp_of(lambda x, y: (x * y, None), lambda r, ct: (ct, pg.sum(ct))), "shape"),
        (jvp_of(lambda p, t: t[0] * 2), "pair"),
        (jvp_of(lambda p, t: (p[0] * 2, (t[0], t[0]))), "structure"),
        (jvp_of(lambda p, t: (p[0] * 2, pg.sum(t[0]))), "shape"),
        (jvp_of(lambda p, t: (p[0] * 2, None)), "structure"),
    ],
)
def test_wrong_rules_are_told(call: Any, match: str) -> None:
    with pytest.raises((GradientError, ShapeError), match=match):
        call()


@pytest.mark.parametrize("f", [lambda x: np.ones(2), lambda x: 2.0, lambda x: np.float64(3.0), lambda x: pg.ones(2)])
def test_functions_that_do_not_depend_on_their_argument(f: Any) -> None:
    x, rows = np.ones(3), np.ones((4, 3))
    total = lambda x: pg.sum(pg.asarray(f(x)))  # noqa: E731
    assert np.array_equal(pg.grad(total)(x), np.zeros(3))
    assert np.array_equal(pg.vmap(pg.grad(total))(rows), np.zeros((4, 3)))
    assert np.array_equal(pg.compile(pg.grad(total))(x), np.zeros(3))
    assert np.array_equal(pg.compile(pg.vmap(pg.grad(total)))(rows), np.zeros((4, 3)))
    shape = np.shape(f(x))
    assert np.array_equal(pg.jacrev(f)(x), np.zeros((*shape, 3)))
    assert np.array_equal(pg.jacfwd(f)(x), np.zeros((*shape, 3)))
    assert np.array_equal(pg.jvp(f, (x,), (x,))[1], np.zeros(shape))
    assert np.array_equal(pg.hessian(total)(x), np.zeros((3, 3)))
