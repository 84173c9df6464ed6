"""The checkers are themselves tested: each planted error must be found (chainer#3541 passed every one)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import CheckError, ShapeError
from polygrad.extend import binary, op, unary
from polygrad.testing import check_adjoint, check_grads, check_jvp, check_second_order, check_vjp

X = pg.asarray([0.3, -0.7, 1.1])


def planted(**rules: Any) -> Any:
    def sine(xp: Any, x: Any, /) -> Any:
        return xp.sin(x)

    return unary(**rules)(sine)


def good(xp: Any, x: Any) -> Any:
    return xp.cos(x)


def test_right_rules_pass() -> None:
    check_grads(planted(derivative=good), [X])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda xp, x: -xp.cos(x),
        lambda xp, x: xp.cos(x) * (1 + 1e-6),
        lambda xp, x: xp.cos(x) + 1e-6,
        lambda xp, x: xp.cos(xp.flip(x)),
        lambda xp, x: xp.ones_like(x),
        lambda xp, x: xp.zeros_like(x),
        lambda xp, x: xp.abs(xp.cos(x)) * xp.sign(x),
    ],
)
def test_wrong_derivatives_are_found_in_both_modes(wrong: Any) -> None:
    f = planted(derivative=wrong)
    with pytest.raises(CheckError, match="vjp of sine, argument 0"):
        check_vjp(f, [X])
    with pytest.raises(CheckError, match="jvp of sine, argument 0"):
        check_jvp(f, [X])


def test_modes_that_disagree_are_found() -> None:
    f = planted(vjp=lambda xp, g, x: g * xp.cos(x), jvp=lambda xp, t, x: t * xp.cos(x) * (1 + 1e-10))
    check_vjp(f, [X])
    check_jvp(f, [X])
    with pytest.raises(CheckError, match="jvp against vjp of sine"):
        check_adjoint(f, [X])


def test_a_rule_that_sums_its_cotangent_is_found() -> None:
    """With cotangents of ones it would pass."""
    f = planted(vjp=lambda xp, g, x: xp.ones_like(g) * xp.mean(g) * xp.cos(x), jvp=lambda xp, t, x: t * xp.cos(x))
    with pytest.raises(CheckError, match="vjp of sine"):
        check_vjp(f, [X])


def test_a_value_hidden_from_the_graph_is_found_in_second_order() -> None:
    """pytorch#76185: right at first order, wrong at second."""

    class Hidden(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.slope = pg.cos(x)  # an intermediate the graph does not know
            return pg.sin(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.slope

    check_vjp(Hidden.apply, [X])
    with pytest.raises(CheckError, match="vjp of vjp of"):
        check_second_order(Hidden.apply, [X])


def test_a_missing_conjugate_is_found() -> None:
    def twice(xp: Any, x: Any, /) -> Any:
        return x * (2.0 + 1.0j)

    f = unary(vjp=lambda xp, g: g * (2.0 + 1.0j), jvp=lambda xp, t: t * (2.0 + 1.0j))(twice)
    with pytest.raises(CheckError, match="vjp of twice"):
        check_vjp(f, [pg.asarray([1.0 + 2.0j, -0.5j])])


def test_a_rule_that_does_not_sum_broadcast_axes_is_found() -> None:
    """pytorch#13669, chainer#1150."""

    def scaled(xp: Any, x1: Any, x2: Any, /) -> Any:
        return x1 * x2

    rules = (lambda xp, g, x2: g * x2, lambda xp, g, x1: g * x1)
    f = binary(vjps=rules, jvps=rules, broadcasts=False)(scaled)
    with pytest.raises(ShapeError, match=r"vjp rule of 'scaled' returned a cotangent of shape \(3, 3\).*\(3,\)"):
        check_vjp(f, [pg.ones((3, 3)), X])


def test_a_rule_of_the_wrong_shape_is_found() -> None:
    @op(vjps=[lambda xp, g: xp.sum(g)], jvps=[lambda xp, t: t])
    def lossy(xp: Any, x: Any, /) -> Any:
        return x + 0.0

    from polygrad.extend import apply

    with pytest.raises(ShapeError, match="vjp rule of 'lossy'"):
        check_vjp(lambda x: apply(lossy, (x,)), [X])


def test_single_precision_is_refused() -> None:
    with pytest.raises(CheckError, match="argument 0 is float32; differences need float64"):
        check_vjp(pg.sin, [np.ones(3, np.float32)])


def test_several_outputs_and_static_arguments() -> None:
    check_grads(lambda x, i: (x[i], pg.sum(x * x)), [X, np.array([2, 0])])
