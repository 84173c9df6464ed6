"""Function, custom_vjp, custom_jvp, stop_gradient and checkpoint."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import GradientError, NoRuleError, ShapeError
from polygrad.testing import check_grads


class MulAdd(pg.Function):
    """x * y + 3 z, and x - y: several arguments, several outputs, forward mode."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, label: str, z: Any) -> Any:
        assert label == "static"
        ctx.save_for_backward(x, y)
        return x * y + 3.0 * z, x - y

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any) -> Any:
        x, y = ctx.saved_tensors
        return g * y + h, g * x - h, None, 3.0 * g

    @staticmethod
    def jvp(ctx: Any, x_t: Any, y_t: Any, _: Any, z_t: Any) -> Any:
        x, y = ctx.saved_tensors
        zero = pg.zeros_like(x)
        x_t, y_t, z_t = (zero if t is None else t for t in (x_t, y_t, z_t))
        return x_t * y + x * y_t + 3.0 * z_t, x_t - y_t


def test_function_in_both_modes_to_second_order(device: pg.Device) -> None:
    args = [pg.asarray(v, device=device) for v in ([0.5, -1.2], [1.5, 0.3], [0.1, 0.2])]
    check_grads(lambda x, y, z: MulAdd.apply(x, y, "static", z), args)


class Sigmoid(pg.Function):
    """Saves its output."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        out = 1.0 / (1.0 + pg.exp(-x))
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (out,) = ctx.saved_tensors
        return g * out * (1.0 - out)


def test_a_saved_output_makes_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        x = pg.asarray([0.3], requires_grad=True)
        y = Sigmoid.apply(x)
        watch = weakref.ref(y.grad_fn)
        y.backward(pg.ones_like(y))
        del y
        assert watch() is None
    finally:
        gc.enable()


def test_a_saved_output_is_differentiable_again() -> None:
    """pytorch#76185: intermediates saved in forward, but not differentiated, made the double backward wrong."""
    found = pg.grad(pg.grad(lambda x: Sigmoid.apply(x)))(0.3)
    s = 1 / (1 + np.exp(-0.3))
    assert found == pytest.approx(s * (1 - s) * (1 - 2 * s), rel=1e-12)


def test_function_errors_name_the_function() -> None:
    class Short(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x * y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    class Misshapen(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return pg.sum(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    x = pg.asarray([1.0, 2.0], requires_grad=True)
    with pytest.raises(GradientError, match=r"Short\.backward returned 1 gradients for the 2 arguments"):
        pg.sum(Short.apply(x, x)).backward()
    with pytest.raises(ShapeError, match=r"Misshapen.backward returned .* shape \(\) for argument 0.*\(2,\)"):
        Misshapen.apply(x).backward()
    with pytest.raises(NoRuleError, match="'Short' has no jvp rule"):
        pg.jvp(lambda x: Short.apply(x, x), (np.ones(2),), (np.ones(2),))


def test_custom_vjp_with_trees_and_static_arguments() -> None:
    def power(n: int, tree: Any) -> Any:
        return {"out": tree["x"] ** n}

    custom = pg.custom_vjp(power, nondiff_argnums=(0,))
    custom.defvjp(
        lambda n, tree: ({"out": tree["x"] ** n}, tree["x"]),
        lambda n, x, g: ({"x": g["out"] * n * x ** (n - 1)},),
    )
    assert pg.grad(lambda x: custom(3, {"x": x})["out"])(2.0) == 12.0
    assert pg.grad(pg.grad(lambda x: custom(3, {"x": x})["out"]))(2.0) == 12.0
    assert custom(3, {"x": 2.0})["out"] == 8.0


def test_custom_jvp_serves_both_modes_and_both_orders() -> None:
    @pg.custom_jvp
    def softplus(x: Any) -> Any:
        return pg.logaddexp(x, pg.zeros_like(x))

    @softplus.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return softplus(x), t / (1.0 + pg.exp(-x))

    check_grads(softplus, [pg.asarray([0.3, -1.5, 0.9])])


def test_custom_without_a_rule_says_so() -> None:

    @pg.custom_vjp
    def f(x: Any) -> Any:
        return x

    with pytest.raises(GradientError, match=r"'f' has no derivative yet.*defvjp"):
        pg.grad(f)(1.0)


def test_stop_gradient_of_trees() -> None:
    def f(x: Any) -> Any:
        stopped = pg.stop_gradient({"x": x, "n": 3})
        return x * stopped["x"] * stopped["n"]

    assert pg.grad(f)(2.0) == 6.0


def test_checkpoint_gives_the_same_derivatives_with_closures(device: pg.Device) -> None:
    w = pg.asarray([[0.3, -0.4], [0.5, 0.6]], device=device, requires_grad=True)
    x = pg.asarray([0.7, -0.2], device=device, requires_grad=True)

    def block(x: Any) -> Any:
        return pg.tanh(x @ w), pg.sum(x)

    results = []
    for f in (block, pg.checkpoint(block)):
        w.grad = x.grad = None
        a, b = f(x)
        (pg.sum(a * a) + b).backward()
        assert w.grad is not None
        assert x.grad is not None
        results.append((w.grad.tolist(), x.grad.tolist()))
    assert results[0] == results[1]


def test_checkpoint_to_second_order_and_forward() -> None:
    check_grads(pg.checkpoint(lambda x: pg.sin(pg.exp(x) * x)), [pg.asarray([0.3, -0.5])])


def test_checkpoint_keeps_no_intermediates() -> None:
    def deep(x: Any) -> Any:
        for _ in range(50):
            x = pg.sin(x)
        return x

    def count(y: Any) -> int:
        seen, stack = set(), [y.grad_fn]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(p for p in node.parents if p is not None)
        return len(seen)

    x = pg.asarray([0.3], requires_grad=True)
    assert count(deep(x)) == 51
    assert count(pg.checkpoint(deep)(x)) < 6


def test_checkpoint_sees_the_inputs_as_they_were() -> None:
    x = pg.asarray([1.0, 2.0], requires_grad=True)
    h = x * 1.0
    y = pg.checkpoint(lambda h: h * h)(h)
    h[0] = 100.0
    pg.sum(y).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 4.0]
