"""A cotangent or tangent that is exactly 0 stays 0 through a slope that is infinite or nan; others are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from polygrad_backends.native.engine import reason as native_reason

import polygrad as pg
from polygrad.core.op import OPS
from polygrad.errors import NoRuleError

FINITE = "abs copysign cos cosh exp expm1 multiply sin sinh square tanh".split()
"""Ops whose slopes are finite at finite points: their products are plain, so that nan comes through."""
NO_ELEMENTWISE = "_matmul matmul_matrices linear_rows solve solve_triangular vecdot pinv".split()
POINTS = np.asarray([0.0, 1.0, -1.0, 0.5, -2.0, 2.0, np.nan])

# functions with an infinite or nan slope, and where
SINGULAR: dict[str, tuple[Any, float]] = {
    "sqrt": (pg.sqrt, 0.0),
    "sqrt of a negative": (pg.sqrt, -1.0),
    "log": (pg.log, 0.0),
    "log1p": (pg.log1p, -1.0),
    "log2": (pg.log2, 0.0),
    "log10": (pg.log10, 0.0),
    "reciprocal": (pg.reciprocal, 0.0),
    "divide by x": (lambda x: 1.0 / x, 0.0),
    "x / x": (lambda x: x / x, 0.0),
    "power": (lambda x: x**0.5, 0.0),
    "negative power": (lambda x: x**-2, 0.0),
    "pow": (lambda x: pg.pow(x, 0.5 + 0.0 * x), 0.0),
    "pow of a negative base": (lambda x: pg.pow(x, x), -0.5),
    "asin": (pg.asin, 1.0),
    "acos": (pg.acos, -1.0),
    "acosh": (pg.acosh, 1.0),
    "atanh": (pg.atanh, 1.0),
    "asin outside": (pg.asin, 2.0),
    "logit": (pg.special.logit, 0.0),
    "xlogy": (lambda x: pg.special.xlogy(1.0, x), 0.0),
    "gammaln": (pg.special.gammaln, 0.0),
    "digamma": (pg.special.digamma, 0.0),
    "erfinv": (pg.special.erfinv, 1.0),
    "std": (lambda x: pg.std(pg.stack([x, x / 0.0])), 1.0),
    "norm": (lambda x: pg.linalg.vector_norm(pg.stack([x, x / 0.0]), axis=0), 1.0),
    "logsumexp": (lambda x: pg.logsumexp(pg.stack([x, pg.log(x)]), axis=0), -1.0),
}

FIRST_ORDER = ("erfinv", "logsumexp")
"""Functions whose slopes are made of finite ops (exp, softmax) that overflow or see nan there: nan at second order."""


def masked(f: Any, at: float) -> Any:
    """``f``, but a constant at one point: its slope there has no part in the result."""
    return lambda x: pg.sum(pg.where(x == at, 3.0, f(x)) + x)


def runs(f: Any) -> list[Any]:
    executors = [None] if native_reason() else [None, "native"]
    return [f, *(pg.compile(f, executor=executor) for executor in executors)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", SINGULAR)
def test_what_where_did_not_take_has_no_part(name: str) -> None:
    f, at = SINGULAR[name]
    x = np.asarray([at, at, at])
    g = masked(f, at)
    for run in runs(pg.grad(g)):
        np.testing.assert_array_equal(run(x), np.ones(3), err_msg=name)
    np.testing.assert_array_equal(pg.jvp(g, (x,), (np.ones(3),))[1], 3.0)
    if name in FIRST_ORDER:
        return
    for run in runs(pg.grad(lambda x: pg.sum(pg.grad(g)(x)))):
        np.testing.assert_array_equal(run(x), np.zeros(3), err_msg=name)
    np.testing.assert_array_equal(pg.hessian(g)(x), np.zeros((3, 3)))


@pytest.mark.parametrize("f", [pg.sqrt, pg.log, lambda x: 1.0 / x, lambda x: x**0.5], ids=["sqrt", "log", "1/x", "pow"])
def test_a_cotangent_that_is_not_zero_meets_an_infinite_slope(f: Any) -> None:
    with np.errstate(all="ignore"):
        for run in runs(pg.grad(lambda x: pg.sum(f(x)))):
            assert np.isinf(run(np.asarray([0.0, 1.0]))).tolist() == [True, False]


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", [n for n, op in OPS.items() if op.broadcasts and op.differentiable])
def test_every_elementwise_rule_of_zeros(name: str) -> None:
    op = OPS[name]
    count = op.forward.__code__.co_posonlyargcount - 1
    statics = op.forward.__code__.co_argcount - op.forward.__code__.co_posonlyargcount
    if name in NO_ELEMENTWISE or op.multiple or count > 3 or statics > (name == "integer_pow"):
        pytest.skip("not elementwise, or of many arguments")
    points = POINTS[:-1] if name in FINITE else POINTS
    arrays = [a.ravel() for a in np.meshgrid(*[points] * count, indexing="ij")]
    xp: Any = pg.Device("cpu").raw
    params = (-0.5,) * statics
    with np.errstate(all="ignore"):
        out = op.forward(xp, *arrays, *params)
        for i in range(count):
            for rule in (op.vjps[i], op.jvps[i]):
                try:
                    made = rule and rule(xp, np.zeros_like(out), *op.picks[i]((out, *arrays, *params)))
                except NoRuleError:
                    continue
                assert made is None or np.all(made == 0), (name, i)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_the_products(dtype: str) -> None:
    xp: Any = pg.Device("cpu").raw
    g, x = np.asarray([0.0, 1.0, 0.0, 2.0], dtype), np.asarray([np.inf, np.inf, np.nan, 3.0], dtype)
    with np.errstate(all="ignore"):
        plain = g * x
        np.testing.assert_array_equal(xp.strong_multiply(g, x)[[0, 2, 3]], [0, 0, 6])
        assert np.isinf(plain[1]) or np.isnan(plain[1])
        np.testing.assert_array_equal(xp.strong_product(x, g)[[0, 2, 3]], [0, 0, 6])
        np.testing.assert_array_equal(xp.strong_divide(g, 0 * g)[[0, 2]], [0, 0])
        np.testing.assert_array_equal(xp.divide_linear(g, x, x)[[0, 2, 3]], [0, 0, -2])
