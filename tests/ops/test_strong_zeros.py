"""A cotangent or tangent that is exactly 0 stays 0 through a slope that is infinite or nan; others are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from polygrad_backends.native.engine import reason as native_reason

import polygrad as pg
from polygrad.core.op import OPS
from polygrad.errors import NoRuleError

NO_ELEMENTWISE = "_matmul matmul_matrices linear_rows solve solve_triangular vecdot pinv".split()
_SLOW = ("hyp0f1", "hyp1f1", "hyp2f1", "lpmv")
POINTS = np.asarray([0.0, 1.0, -1.0, 0.5, -2.0, 2.0, 1000.0, np.inf, np.nan])

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

NAN, INF = float("nan"), float("inf")
F = pg.nn.functional


def two(x: Any) -> Any:
    return pg.stack([x, x * 2])


# functions that overflow, or are nan because their argument is: missing numbers that a mask hides
MISSING: dict[str, tuple[Any, float]] = {
    "squared error": (lambda x: (x - 1) ** 2, NAN),
    "product": (lambda x: x * x * 2, NAN),
    "square": (pg.square, NAN),
    "cube": (lambda x: x**3, NAN),
    "power": (lambda x: x**1.7, NAN),
    "exp": (pg.exp, 1000.0),
    "softplus by hand": (lambda x: pg.log(1 + pg.exp(x)), 1000.0),
    "expm1": (pg.expm1, 1000.0),
    "sinh": (pg.sinh, 1000.0),
    "cosh": (pg.cosh, -1000.0),
    "sin": (pg.sin, INF),
    "cos": (pg.cos, INF),
    "tanh": (pg.tanh, NAN),
    "sigmoid": (pg.sigmoid, NAN),
    "abs": (pg.abs, NAN),
    "relu": (pg.relu, NAN),
    "clip": (lambda x: pg.clip(x, 0.0, 1.0), NAN),
    "maximum": (lambda x: pg.maximum(x, 1.0) * x, NAN),
    "copysign": (lambda x: pg.copysign(x, 1.0), NAN),
    "logaddexp": (lambda x: pg.logaddexp(x, 1.0), NAN),
    "remainder": (lambda x: pg.remainder(2.0, x), NAN),
    "hypot": (lambda x: pg.hypot(x, 1.0), NAN),
    "atan2": (lambda x: pg.atan2(x, 1.0), NAN),
    "erf": (pg.special.erf, NAN),
    "gammaln": (pg.special.gammaln, NAN),
    "airy": (lambda x: pg.special.airy(x)[0], NAN),
    "softmax": (lambda x: pg.softmax(two(x), axis=0)[0], NAN),
    "log_softmax": (lambda x: pg.log_softmax(two(x), axis=0)[0], NAN),
    "logsumexp": (lambda x: pg.logsumexp(two(x), axis=0), NAN),
    "max": (lambda x: pg.max(two(x), axis=0), NAN),
    "mean": (lambda x: pg.mean(two(x), axis=0), NAN),
    "var": (lambda x: pg.var(two(x), axis=0), NAN),
    "std": (lambda x: pg.std(two(x), axis=0), NAN),
    "prod": (lambda x: pg.prod(two(x), axis=0), NAN),
    "cumulative_prod": (lambda x: pg.cumulative_prod(two(x), axis=0)[1], NAN),
    "cumulative_sum": (lambda x: pg.cumulative_sum(two(x), axis=0)[1], NAN),
    "vector_norm": (lambda x: pg.linalg.vector_norm(two(x), axis=0), NAN),
    "vecdot": (lambda x: pg.vecdot(two(x), two(x), axis=0), NAN),
    **{
        name: (getattr(F, name), NAN)
        for name in "gelu silu elu softplus mish selu leaky_relu logsigmoid hardswish softsign".split()
    },
    "elu, far": (F.elu, 1000.0),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), NAN),
    "mse_loss": (lambda x: F.mse_loss(x, pg.zeros_like(x), reduction="none"), NAN),
    "huber_loss": (lambda x: F.huber_loss(x, pg.zeros_like(x), reduction="none"), NAN),
    "with logits": (lambda x: F.binary_cross_entropy_with_logits(x, pg.zeros_like(x), reduction="none"), NAN),
}


def masked(f: Any, at: float) -> Any:
    """``f``, but a constant at one point: its slope there has no part in the result."""
    return lambda x: pg.sum(pg.where((x == at) | (x != x), 3.0, f(x)) + pg.where(x == x, x, 0.0))


def runs(f: Any) -> list[Any]:
    executors = [None] if native_reason() else [None, "native"]
    return [f, *(pg.compile(f, executor=executor) for executor in executors)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("f", "at"), [*SINGULAR.values(), *MISSING.values()], ids=[*SINGULAR, *MISSING])
def test_what_where_did_not_take_has_no_part(f: Any, at: float) -> None:
    x, one = np.asarray([at, at, at]), np.full(3, float(at == at))
    g = masked(f, at)
    for run in runs(pg.grad(g)):
        np.testing.assert_array_equal(run(x), one)
    np.testing.assert_array_equal(pg.jvp(g, (x,), (np.ones(3),))[1], one.sum())
    for run in runs(pg.grad(lambda x: pg.sum(pg.grad(g)(x)))):
        np.testing.assert_array_equal(run(x), np.zeros(3))
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
    points = POINTS[np.isnan(POINTS) | (POINTS < 3)] if name in _SLOW else POINTS  # SciPy's take for ever
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
