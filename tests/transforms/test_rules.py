"""Functions with rules of their own: closures, JAX's idioms, how they are called, what wrong rules raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import DTypeError, GradientError, ShapeError

KINDS = ["custom_vjp", "custom_jvp", "Function"]


def scaled(kind: str, a: Any, *, in_rule: bool = True, in_value: bool = True) -> Callable[[Any], Any]:
    """``a * x * x`` with a rule, where the value or the rule closes over ``a``."""
    value = (lambda x: a * x * x) if in_value else (lambda x: x * x * 2.0)
    slope = (lambda x: 2.0 * a * x) if in_rule else (lambda x: 4.0 * x)
    if kind == "custom_vjp":
        f = pg.custom_vjp(value)
        f.defvjp(lambda x: (value(x), x), lambda x, g: (g * slope(x),))
        return f
    if kind == "custom_jvp":
        h = pg.custom_jvp(value)
        h.defjvp(lambda primals, tangents: (h(*primals), slope(primals[0]) * tangents[0]))
        return h

    class Scaled(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return value(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * slope(ctx.saved_tensors[0])

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return t * slope(ctx.saved_tensors[0])

    return Scaled.apply


INNER = {
    "grad": lambda f: pg.grad(f)(3.0),
    "vjp": lambda f: pg.vjp(f, 3.0)[1](pg.asarray(1.0))[0],
    "jacrev": lambda f: pg.jacrev(f)(pg.asarray(3.0)),
    "grad of grad": lambda f: 3.0 * pg.grad(pg.grad(f))(3.0),
    "jvp": lambda f: pg.jvp(f, (3.0,), (1.0,))[1],
    "linearize": lambda f: pg.linearize(f, 3.0)[1](1.0),
    "jacfwd": lambda f: pg.jacfwd(f)(pg.asarray(3.0)),
}
OUTER = {
    "grad": lambda f: pg.grad(f)(2.0),
    "jvp": lambda f: pg.jvp(f, (2.0,), (1.0,))[1],
    "compiled": lambda f: pg.compile(pg.grad(f))(2.0),
    "vmap": lambda f: pg.vmap(pg.grad(f))(np.asarray([2.0]))[0],
    "jacrev": lambda f: pg.jacrev(f)(pg.asarray(2.0)).item(),
}


@pytest.mark.parametrize("in_value", [True, False])
@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("kind", KINDS)
def test_rules_are_differentiable_to_what_they_close_over(kind: str, inner: str, outer: str, in_value: bool) -> None:
    """d/da of the derivative 2 a x at x = 3; the value may not depend on a at all."""
    if kind == "custom_vjp" and inner in ("jvp", "linearize", "jacfwd"):
        inner = "grad"  # it has no forward mode
    slope = OUTER[outer](lambda a: INNER[inner](scaled(kind, a, in_value=in_value)))
    assert slope == pytest.approx(6.0, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_leaves_that_rules_close_over_get_their_gradients(kind: str) -> None:
    a = pg.asarray(2.0, requires_grad=True)
    pg.grad(scaled(kind, a, in_value=False))(3.0).backward()
    assert a.grad is not None
    assert a.grad.item() == 6.0


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_that_a_rule_does_not_give_are_refused(kind: str) -> None:
    with pytest.raises(
        GradientError, match=r"tensor of shape \(\) is needed that the function closes over.*as an argument"
    ):
        pg.grad(lambda a: scaled(kind, a)(a))(2.0)
    if kind != "custom_vjp":
        with pytest.raises(GradientError, match="closes over"):
            pg.jvp(lambda a: scaled(kind, a)(a), (2.0,), (1.0,))
    a = pg.asarray(2.0, requires_grad=True)
    x = pg.asarray(3.0, requires_grad=True)
    with pytest.raises(GradientError, match="closes over"):
        scaled(kind, a)(x).backward()
    # What nobody asks for is no error.
    assert pg.grad(scaled(kind, a))(3.0).item() == 12.0
    scaled(kind, a.detach())(x).backward()
    assert x.grad is not None
    assert x.grad.item() == 12.0


def test_a_nondiff_argument_is_no_way_out() -> None:
    f = pg.custom_vjp(lambda a, x: a * x, nondiff_argnums=0)
    f.defvjp(lambda a, x: (a * x, None), lambda a, _, g: (g * a,))
    assert pg.grad(f, argnums=1)(2.0, 3.0) == 2.0
    assert pg.grad(lambda a: pg.grad(f, argnums=1)(a, 3.0))(2.0) == 1.0
    with pytest.raises(GradientError, match="nondiff"):
        pg.grad(lambda a: f(a, a))(2.0)


# -- JAX's idioms -----------------------------------------------------------------------------------------


def _calls_itself_forward() -> Callable[[Any], Any]:
    f = pg.custom_vjp(lambda x: pg.sin(x) * x)
    f.defvjp(lambda x: (f(x), x), lambda x, g: (g * (pg.cos(x) * x + pg.sin(x)),))
    return f


def _residual_calls_itself() -> Callable[[Any], Any]:
    f = pg.custom_vjp(pg.exp)

    def fwd(x: Any) -> Any:
        y = f(x)
        return y, y

    f.defvjp(fwd, lambda y, g: (g * y,))
    return f


def _linear_on_its_tangent() -> Callable[[Any], Any]:
    f = pg.custom_jvp(lambda x: 2.0 * x)
    f.defjvp(lambda primals, tangents: (f(*primals), f(*tangents)))
    return lambda x: f(x) * x


def _linear_on_its_cotangent() -> Callable[[Any], Any]:
    f = pg.custom_vjp(lambda x: 2.0 * x)
    f.defvjp(lambda x: (f(x), None), lambda _, g: (f(g),))
    return lambda x: f(x) * x


def _rule_calls_itself() -> Callable[[Any], Any]:
    f = pg.custom_jvp(pg.exp)
    f.defjvp(lambda primals, tangents: (f(*primals), f(*primals) * tangents[0]))
    return f


IDIOMS = {
    "fwd calls the function": (_calls_itself_forward, lambda x: pg.sin(x) * x),
    "residual by the function": (_residual_calls_itself, pg.exp),
    "linear on its tangent": (_linear_on_its_tangent, lambda x: 2.0 * x * x),
    "linear on its cotangent": (_linear_on_its_cotangent, lambda x: 2.0 * x * x),
    "rule calls the function": (_rule_calls_itself, pg.exp),
}
USES: dict[str, Callable[..., Any]] = {
    "value": lambda f: lambda x: pg.vmap(f)(x),
    "grad": lambda f: lambda x: pg.grad(lambda x: pg.sum(f(x)))(x),
    "vmap of grad": lambda f: pg.vmap(pg.grad(f)),
    "grad of vmap": lambda f: pg.grad(lambda x: pg.sum(pg.vmap(f)(x))),
    "vmap of vmap of grad": lambda f: lambda x: pg.vmap(pg.vmap(pg.grad(f)))(pg.stack([x, x])),
    "grad of vmap of vmap": lambda f: pg.grad(lambda x: pg.sum(pg.vmap(pg.vmap(f))(pg.stack([x, x])))),
    "second order": lambda f: pg.vmap(pg.grad(pg.grad(f))),
    "grad of vmap of grad": lambda f: pg.grad(lambda x: pg.sum(pg.vmap(pg.grad(f))(x) ** 2)),
    "jvp": lambda f: lambda x: pg.jvp(f, (x,), (x,))[1],
    "hessian": lambda f: pg.hessian(lambda x: pg.sum(f(x))),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", IDIOMS)
def test_rules_may_call_the_function_itself(name: str, use: str, compiled: bool) -> None:
    make, plain = IDIOMS[name]
    if use in ("jvp", "hessian") and name in (
        "fwd calls the function",
        "residual by the function",
        "linear on its cotangent",
    ):
        use = "grad"  # no forward mode
    x = pg.asarray([0.3, -0.7, 1.2])
    step = USES[use](make())
    found = pg.compile(step)(x) if compiled else step(x)
    np.testing.assert_allclose(found.numpy(), USES[use](plain)(x).numpy(), rtol=1e-12)


# -- calls ------------------------------------------------------------------------------------------------


def test_arguments_are_found_by_position() -> None:
    def f(x: Any, y: Any = 3.0, *, scale: Any = 1.0) -> Any:
        return x * y * scale

    g = pg.custom_vjp(lambda x, y=3.0: f(x, y))
    g.defvjp(lambda x, y: (x * y, (x, y)), lambda res, g: (g * res[1], g * res[0]))
    assert pg.grad(lambda x: g(x))(2.0) == 3.0
    assert pg.grad(lambda y: g(y=y, x=2.0))(5.0) == 2.0
    h = pg.custom_jvp(lambda x, y=3.0: f(x, y))
    h.defjvp(lambda p, t: (p[0] * p[1], t[0] * p[1] + p[0] * t[1]))
    assert pg.grad(lambda x: h(x))(2.0) == 3.0
    assert pg.grad(lambda y: h(y=y, x=2.0))(5.0) == 2.0
    last = pg.custom_vjp(lambda x, n=2: x**n, nondiff_argnums=(-1,))
    last.defvjp(lambda x, n: (x**n, x), lambda n, x, g: (g * n * x ** (n - 1),))
    assert pg.grad(last)(3.0) == 6.0
    assert pg.grad(lambda x: last(x, n=3))(2.0) == 12.0
    with pytest.raises(TypeError, match="scale can only be given by name"):
        pg.custom_vjp(f)(2.0, scale=3.0)
    with pytest.raises(TypeError, match="missing a required argument"):
        g()
    with pytest.raises(TypeError, match=r"nondiff_argnums=\(3,\), but the function was called with 1"):
        pg.custom_vjp(pg.sin, nondiff_argnums=3)(2.0)


def test_a_rule_for_each_argument() -> None:
    f = pg.custom_jvp(lambda x, y, z: x * y + z)
    f.defjvps(lambda t, out, x, y, z: t * y, None, lambda t, out, x, y, z: t)
    assert pg.grad(f, argnums=(0, 1, 2))(2.0, 3.0, 1.0) == (3.0, 0.0, 1.0)
    assert pg.jvp(f, (2.0, 3.0, 1.0), (1.0, 1.0, 1.0))[1] == 4.0
    f.defjvps(None, None, None)
    assert pg.grad(f)(2.0, 3.0, 1.0) == 0.0
    f.defjvps(None)
    with pytest.raises(GradientError, match="defjvps got 1 rules for 3 arguments"):
        pg.grad(f)(2.0, 3.0, 1.0)
    with pytest.raises(TypeError, match="defjvps cannot be used with nondiff_argnums"):
        pg.custom_jvp(lambda n, x: x, nondiff_argnums=(0,)).defjvps(None)


# -- wrong rules ------------------------------------------------------------------------------------------


def _by_vjp(fwd: Any, bwd: Any) -> Callable[[], Any]:
    def f(x: Any) -> Any:
        return x * 2.0

    own = pg.custom_vjp(f)
    own.defvjp(fwd, bwd)
    return lambda: pg.grad(lambda x: pg.sum(own(x)))(np.ones(3, "float32"))


def _by_jvp(rule: Any) -> Callable[[], Any]:
    def f(x: Any) -> Any:
        return x * 2.0

    own = pg.custom_jvp(f)
    own.defjvp(rule)
    return lambda: pg.grad(lambda x: pg.sum(own(x)))(np.ones(3, "float32"))


def _by_function(result: Any, forward: Any = lambda x: x * 2.0) -> Callable[[], Any]:
    class f(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return forward(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return result(g)

    return lambda: pg.grad(lambda x: pg.sum(f.apply(x)))(np.ones(3, "float32"))


def forward(x: Any) -> Any:
    return x * 2.0, None


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "fwd: no pair": (
        _by_vjp(lambda x: x, None),
        GradientError,
        "f: the rule <lambda> returned .*Tensor.*must return a pair",
    ),
    "fwd: a triple": (
        _by_vjp(lambda x: (x, x, x), None),
        GradientError,
        "returned tuple of length 3; it must return a pair",
    ),
    "fwd: None": (_by_vjp(lambda x: None, None), GradientError, "returned None; it must return a pair"),
    "bwd: None": (_by_vjp(forward, lambda _, g: None), GradientError, "returned None for 1 arguments"),
    "bwd: no tuple": (_by_vjp(forward, lambda _, g: g), GradientError, "returned .*Tensor for 1 arguments"),
    "bwd: count": (_by_vjp(forward, lambda _, g: (g, g)), GradientError, "returned 2 cotangents for 1 arguments"),
    "bwd: tree": (
        _by_vjp(forward, lambda _, g: ({"x": g},)),
        GradientError,
        "another structure than argument 0 has: a dict for an array",
    ),
    "bwd: shape": (
        _by_vjp(forward, lambda _, g: (pg.sum(g),)),
        ShapeError,
        r"shape \(\) for argument 0, which has shape \(3,\)",
    ),
    "bwd: dtype": (
        _by_vjp(forward, lambda _, g: (g.astype("float64"),)),
        DTypeError,
        "dtype float64 for argument 0.*float32",
    ),
    "bwd: complex": (_by_vjp(forward, lambda _, g: (g * 1j,)), DTypeError, "complex64"),
    "jvp: no pair": (_by_jvp(lambda p, t: t[0]), GradientError, "must return a pair .output, tangent of the output"),
    "jvp: None": (_by_jvp(lambda p, t: None), GradientError, "returned None; it must return a pair"),
    "jvp: no tangent": (_by_jvp(lambda p, t: (p[0], None)), GradientError, "returned a tangent of structure"),
    "jvp: tree": (_by_jvp(lambda p, t: (p[0], (t[0], t[0]))), GradientError, "returned a tangent of structure"),
    "jvp: shape": (
        _by_jvp(lambda p, t: (p[0], pg.sum(t[0]))),
        ShapeError,
        r"tangent of shape \(\) for output 0.*\(3,\)",
    ),
    "jvp: dtype": (
        _by_jvp(lambda p, t: (p[0], t[0].astype("float64"))),
        DTypeError,
        "tangent of dtype float64 for output 0",
    ),
    "Function: None": (_by_function(lambda g: None), GradientError, r"f.backward returned None .*\(None,\)"),
    "Function: count": (
        _by_function(lambda g: (g, g)),
        GradientError,
        "f.backward returned 2 gradients for the 1 arguments",
    ),
    "Function: shape": (_by_function(lambda g: g[:2]), ShapeError, r"f.backward returned a gradient of shape \(2,\)"),
    "Function: complex": (
        _by_function(lambda g: g * 1j),
        DTypeError,
        "f.backward returned a gradient of dtype complex64",
    ),
    "Function: forward": (_by_function(None, lambda x: None), GradientError, "f.forward returned None"),
    "no vjp": (
        lambda: pg.grad(pg.custom_vjp(lambda x: x))(1.0),
        GradientError,
        "has no derivative yet; call its defvjp",
    ),
    "no jvp": (
        lambda: pg.grad(pg.custom_jvp(lambda x: x))(1.0),
        GradientError,
        "has no derivative yet; call its defjvp",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_says_what_is_wrong(name: str) -> None:
    run, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        run()


def test_none_and_numbers_are_cotangents() -> None:
    f = pg.custom_vjp(lambda x, y: x * y)
    f.defvjp(lambda x, y: (x * y, None), lambda _, g: (None, 2))
    assert pg.grad(f, argnums=(0, 1))(1.0, 1.0) == (0.0, 2.0)


# -- outputs that do not depend on the inputs -----------------------------------------------------------------

CONSTANTS = {
    "number": lambda x: 3.0,
    "NumPy scalar": lambda x: np.float64(3.0),
    "array": lambda x: np.asarray(3.0),
    "tensor": lambda x: pg.asarray(3.0),
    "of the shape": lambda x: np.float64(x.ndim),
    "detached": lambda x: pg.sum(x.detach()),
    "zeros": lambda x: pg.sum(pg.zeros_like(x)),
}
TRANSFORMS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "grad": (pg.grad, (2,)),
    "value_and_grad": (lambda f: lambda x: pg.value_and_grad(f)(x)[1], (2,)),
    "vjp": (lambda f: lambda x: pg.vjp(f, x)[1](pg.asarray(1.0))[0], (2,)),
    "jvp": (lambda f: lambda x: pg.jvp(f, (x,), (x,))[1], ()),
    "linearize": (lambda f: lambda x: pg.linearize(f, x)[1](x), ()),
    "jacrev": (pg.jacrev, (2,)),
    "jacfwd": (pg.jacfwd, (2,)),
    "hessian": (pg.hessian, (2, 2)),
    "grad of grad": (lambda f: pg.grad(lambda x: pg.sum(pg.grad(f)(x))), (2,)),
    "checkpoint": (lambda f: pg.grad(pg.checkpoint(f)), (2,)),
}


@pytest.mark.parametrize("place", ["plain", "vmap", "vmap of vmap", "compiled", "compiled vmap"])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("constant", CONSTANTS)
def test_what_does_not_depend_on_the_input_has_derivative_zero(constant: str, transform: str, place: str) -> None:
    make, shape = TRANSFORMS[transform]
    f = make(CONSTANTS[constant])
    lead = {"plain": (), "compiled": (), "vmap of vmap": (3, 4)}.get(place, (3,))
    for _ in lead:
        f = pg.vmap(f)
    if "compiled" in place:
        f = pg.compile(f)
    for x in (np.ones((*lead, 2)), pg.ones((*lead, 2))):
        found = f(x)
        assert np.shape(found) == (*lead, *shape)
        assert not np.any(np.asarray(found))
