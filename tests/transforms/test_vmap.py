"""vmap: nested in every transform, axes and trees, what a function sees inside, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from batches import close, host, on

import polygrad as pg
from polygrad.errors import DeviceError, ShapeError, VmapError

_rng = np.random.default_rng(20261124)


# -- the ways transforms nest --------------------------------------------------------------------------


def mlp(params: Any, x: Any) -> Any:
    return pg.sum(pg.tanh(params["w"] @ x + params["b"]) ** 2)


def parameters(device: pg.Device) -> Any:
    return {"w": on(device, _rng.normal(size=(2, 4))), "b": on(device, _rng.normal(size=2))}


def test_per_example_gradients(device: pg.Device) -> None:
    params, x = parameters(device), on(device, _rng.normal(size=(5, 4)))
    found = pg.vmap(pg.grad(mlp), in_axes=(None, 0))(params, x)
    for k in range(5):
        alone = pg.grad(mlp)(params, x[k, ...])
        for name in params:
            close(found[name][k, ...], alone[name])


def test_gradient_inside_by_a_closure(device: pg.Device) -> None:
    """Each example's gradient by an array from outside: not zero, as it would be were the two graphs mixed up."""
    w, x = on(device, _rng.normal(size=4)), on(device, _rng.normal(size=(3, 4)))
    found = pg.vmap(lambda x: pg.grad(lambda w: pg.vecdot(w, x) ** 2)(w))(x)
    for k in range(3):
        close(found[k, ...], 2 * pg.vecdot(w, x[k, ...]) * x[k, ...])
    raw = pg.vmap(lambda x: pg.grad(lambda w: pg.vecdot(w, x) ** 2)(w._value))(x._value)
    assert type(raw) is type(x._value)
    close(raw, found)


def test_closures_get_gradients(device: pg.Device) -> None:
    params, x = parameters(device), on(device, _rng.normal(size=(3, 4)))

    def total(p: Any) -> Any:
        return pg.sum(pg.vmap(lambda x: mlp(p, x))(x))

    found = pg.grad(total)(params)
    expected = pg.grad(lambda p: sum(mlp(p, x[k, ...]) for k in range(3)))(params)
    leaves = {k: v.detach().requires_grad_() for k, v in params.items()}
    total(leaves).backward()
    for name in params:
        close(found[name], expected[name])
        close(leaves[name].grad, expected[name])


def test_raw_results_that_carry_a_graph_are_tensors() -> None:
    w = pg.asarray([1.0, 2.0], requires_grad=True)
    y = pg.vmap(lambda x: x * w)(np.ones((3, 2)))
    assert isinstance(y, pg.Tensor)
    pg.sum(y).backward()
    assert w.grad.tolist() == [3.0, 3.0]  # type: ignore[union-attr]
    with pg.no_grad():
        assert isinstance(pg.vmap(lambda x: x * w)(np.ones((3, 2))), np.ndarray)


def test_second_order(device: pg.Device) -> None:
    params, x = parameters(device), on(device, _rng.normal(size=(3, 4)))

    def penalty(p: Any, one: Any) -> Any:
        g = one(p)
        return pg.sum(g["w"] ** 2) + pg.sum(g["b"] ** 3)

    found = pg.grad(lambda p: penalty(p, lambda p: pg.vmap(pg.grad(mlp), in_axes=(None, 0))(p, x)))(params)
    expected = pg.grad(lambda p: sum(penalty(p, lambda p, k=k: pg.grad(mlp)(p, x[k, ...])) for k in range(3)))(params)
    for name in params:
        close(found[name], expected[name])
    hessians = pg.vmap(pg.hessian(lambda x: mlp(params, x)))(x)
    twice = pg.vmap(pg.grad(lambda x: pg.sum(pg.grad(lambda x: mlp(params, x))(x) ** 2)))(x)
    for k in range(3):
        close(hessians[k, ...], pg.hessian(lambda x: mlp(params, x))(x[k, ...]))
        close(twice[k, ...], pg.grad(lambda x: pg.sum(pg.grad(lambda x: mlp(params, x))(x) ** 2))(x[k, ...]))


def test_jacobians_are_vmaps_of_pullbacks(device: pg.Device) -> None:
    x = on(device, _rng.normal(size=4))

    def f(x: Any) -> Any:
        return pg.stack([pg.sum(pg.sin(x)), pg.prod(x), pg.max(x)]) * x[0]

    out, pullback = pg.vjp(f, x)
    rows = pg.vmap(lambda g: pullback(g)[0])(on(device, np.eye(3)))
    close(rows, pg.jacrev(f)(x))
    columns = pg.vmap(lambda t: pg.jvp(f, (x,), (t,))[1], out_axes=-1)(on(device, np.eye(4)))
    close(columns, pg.jacfwd(f)(x))
    _, along = pg.linearize(f, x)
    close(pg.vmap(along, out_axes=1)(on(device, np.eye(4))), pg.jacfwd(f)(x))
    assert not rows.requires_grad
    assert out.shape == (3,)


def test_raw_pullback_gives_raw() -> None:
    _, pullback = pg.vjp(lambda x: x * x, np.asarray([1.0, 2.0]))
    (rows,) = pg.vmap(pullback)(np.eye(2))
    assert isinstance(rows, np.ndarray)
    assert rows.tolist() == [[2.0, 0.0], [0.0, 4.0]]


def test_jacobians_of_each_example(device: pg.Device) -> None:
    x = on(device, _rng.normal(size=(3, 2)))

    def f(x: Any) -> Any:
        return pg.stack([x[0] * x[1], pg.sin(x[1]), x[0] ** 3])

    for transform in (pg.jacrev, pg.jacfwd):
        found = pg.vmap(transform(f))(x)
        for k in range(3):
            close(found[k, ...], transform(f)(x[k, ...]))


def test_jvp_through_vmap(device: pg.Device) -> None:
    x, t = on(device, _rng.normal(size=(3, 4))), on(device, _rng.normal(size=(3, 4)))
    params = parameters(device)
    out, moved = pg.jvp(pg.vmap(lambda x: mlp(params, x)), (x,), (t,))
    _, inside = pg.vmap(lambda x, t: pg.jvp(lambda x: mlp(params, x), (x,), (t,)))(x, t)
    for k in range(3):
        y, d = pg.jvp(lambda x: mlp(params, x), (x[k, ...],), (t[k, ...],))
        close(out[k, ...], y)
        close(moved[k, ...], d)
        close(inside[k, ...], d)


def test_nested(device: pg.Device) -> None:
    a, b, w = (
        on(device, _rng.normal(size=(2, 4))),
        on(device, _rng.normal(size=(3, 4))),
        on(device, _rng.normal(size=4)),
    )

    def f(x: Any, y: Any) -> Any:
        return pg.sum(pg.sin(x * w) @ y) + pg.max(x - y)

    table = pg.vmap(lambda x: pg.vmap(lambda y: f(x, y))(b))(a)
    other = pg.vmap(pg.vmap(f, (None, 0)), (0, None))(a, b)
    turned = pg.vmap(pg.vmap(f, (0, None)), (None, 0), out_axes=1)(a, b)
    # the inner vmap maps what the outer one does not know of
    inner = pg.vmap(lambda x: pg.vmap(lambda y: pg.sum(y * w))(b) + pg.sum(x))(a)
    slopes = pg.vmap(lambda x: pg.vmap(lambda y: pg.grad(f)(x, y))(b))(a)
    summed = pg.vmap(pg.grad(lambda x: pg.sum(pg.vmap(lambda y: f(x, y))(b))))(a)
    for i in range(2):
        for j in range(3):
            x, y = a[i, ...], b[j, ...]
            for found in (table, other, turned):
                close(found[i, j], f(x, y))
            close(inner[i, j], pg.sum(y * w) + pg.sum(x))
            close(slopes[i, j, ...], pg.grad(f)(x, y))
        close(summed[i, ...], pg.sum(slopes[i, ...], axis=0))
    # diagonal: both levels' batches meet in one op
    square = pg.vmap(lambda x: pg.vmap(lambda y: x @ y + pg.sum(x))(b), out_axes=1)(a)
    close(square, (a @ b.T + pg.sum(a, axis=1, keepdims=True)).T)


def test_gradient_of_nested(device: pg.Device) -> None:
    a, b = on(device, _rng.normal(size=(2, 4))), on(device, _rng.normal(size=(3, 4)))

    def f(w: Any) -> Any:
        return pg.sum(pg.vmap(lambda x: pg.vmap(lambda y: pg.tanh(pg.sum(w * x * y)))(b))(a) ** 2)

    def loops(w: Any) -> Any:
        return sum(pg.tanh(pg.sum(w * a[i, ...] * b[j, ...])) ** 2 for i in range(2) for j in range(3))

    w = on(device, _rng.normal(size=4))
    close(pg.grad(f)(w), pg.grad(loops)(w))
    close(pg.hessian(f)(w), pg.hessian(loops)(w))


# -- axes and trees ----------------------------------------------------------------------------------


def test_in_axes(device: pg.Device) -> None:
    a, b = on(device, _rng.normal(size=(4, 3))), on(device, _rng.normal(size=(2, 3)))
    tree = {"a": a, "rest": (b, on(device, _rng.normal(size=(3,))))}

    def f(t: Any, s: float) -> Any:
        return pg.sum(t["a"]) * s + pg.sum(t["rest"][0]) + t["rest"][1]

    expected = pg.sum(a, axis=0) * 2.0 + pg.sum(b, axis=0) + tree["rest"][1]
    close(pg.vmap(f, in_axes=({"a": 1, "rest": (-1, 0)}, None))(tree, 2.0), expected)
    close(pg.vmap(f, in_axes=[{"a": 1, "rest": (1, -1)}, None])(tree, 2.0), expected)
    moved = {"a": a.T, "rest": (b.T, tree["rest"][1])}
    close(pg.vmap(f, in_axes=(0, None))(moved, 2.0), expected)
    close(pg.vmap(f, in_axes=({"a": 0, "rest": 0}, None))(moved, 2.0), expected)
    part = pg.vmap(f, in_axes=({"a": None, "rest": (0, None)}, None))(moved, 2.0)
    assert part.shape == (3, 3)
    close(
        pg.vmap(lambda x, *, y: x * y)(b.T, y=on(device, np.asarray([1.0, 2.0, 3.0]))),
        b.T * on(device, [[1.0], [2.0], [3.0]]),
    )
    assert pg.vmap(lambda t: t["x"], in_axes=0)({"x": a, "none": None}).shape == (4, 3)


def test_out_axes(device: pg.Device) -> None:
    x = on(device, _rng.normal(size=(3, 2, 4)))
    assert pg.vmap(lambda x: x, out_axes=1)(x).shape == (2, 3, 4)
    close(pg.vmap(lambda x: x, out_axes=-1)(x), pg.moveaxis(x, 0, -1))
    same, other, c = pg.vmap(lambda x: (x, {"y": x}, pg.ones(2, device=device)), out_axes=(0, {"y": 2}, None))(x)
    close(same, x)
    close(other["y"], pg.moveaxis(x, 0, 2))
    assert c.shape == (2,)
    with pytest.raises(VmapError, match="out_axes is None"):
        pg.vmap(lambda x: x, out_axes=None)(x)
    with pytest.raises(ShapeError, match="axis 3"):
        pg.vmap(lambda x: x, out_axes=3)(x)


def test_outputs_that_do_not_depend_on_the_batch(device: pg.Device) -> None:
    x = on(device, np.ones((3, 2)))
    w = on(device, [1.0, 2.0])
    number, closure, made, raw = pg.vmap(lambda x: (1.5, w, pg.zeros_like(x), w._value))(x)
    assert host(number).tolist() == [1.5] * 3
    for y in (closure, raw):
        assert host(y).tolist() == [[1.0, 2.0]] * 3
        assert y.device is device
    assert made.shape == (3, 2)
    g = pg.grad(lambda w: pg.sum(pg.vmap(lambda x: w * 1.0)(x)))(w)
    assert host(g).tolist() == [3.0, 3.0]


def test_axis_size() -> None:
    assert pg.vmap(lambda: pg.ones(2), axis_size=3)().shape == (3, 2)
    assert pg.vmap(lambda x: x, in_axes=None, axis_size=2)(np.ones(3)).shape == (2, 3)
    assert pg.vmap(pg.sin)(np.zeros((0, 2))).shape == (0, 2)
    with pytest.raises(ShapeError, match=r"4 in axis_size; 3 in argument 0"):
        pg.vmap(pg.sin, axis_size=4)(np.zeros(3))


def test_errors() -> None:
    x = np.zeros((3, 2))
    with pytest.raises(ShapeError, match=r"3 in argument 0 \(axis 0 of shape \(3, 2\)\); 2 in argument 1"):
        pg.vmap(lambda x, y: x)(x, np.zeros(2))
    with pytest.raises(ValueError, match="no argument is mapped"):
        pg.vmap(lambda x: x, in_axes=None)(x)
    with pytest.raises(ValueError, match="2 entries, but the function was called with 1"):
        pg.vmap(lambda x: x, in_axes=(0, 0))(x)
    with pytest.raises(ValueError, match="no prefix"):
        pg.vmap(lambda x: x, in_axes=({"a": 0},))(x)
    with pytest.raises(TypeError, match="in_axes must"):
        pg.vmap(lambda x: x, in_axes="0")(x)
    with pytest.raises(TypeError, match="ints and None"):
        pg.vmap(lambda x: x, in_axes=(1.5,))(x)
    with pytest.raises(ShapeError, match="axis 2 for argument 0"):
        pg.vmap(lambda x: x, in_axes=2)(x)
    with pytest.raises(TypeError, match="no axis to map over"):
        pg.vmap(lambda x: x)(1.0)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x if x[0] > 0 else -x,
        lambda x: float(x[0]) * x,
        lambda x: x[0].item() * x,
        lambda x: pg.asarray(x.tolist()),
        lambda x: pg.asarray(np.asarray(x)),
        lambda x: pg.nonzero(x),
        lambda x: pg.unique_values(x),
        lambda x: x[x > 0],
        lambda x: pg.repeat(x, pg.astype(x > 0, "int64")),
        lambda x: pg.zeros(int(pg.sum(x))),
    ],
)
def test_what_depends_on_values_says_so(f: Any, device: pg.Device) -> None:
    with pytest.raises(VmapError, match=r"examples?"):
        pg.vmap(f)(on(device, np.arange(6.0).reshape(3, 2)))


def test_shapes_are_the_examples_in_errors_too() -> None:
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        pg.vmap(lambda x: x @ pg.ones(3))(np.ones((4, 2)))
    with pytest.raises(ShapeError):
        pg.vmap(lambda x: pg.reshape(x, (4, 2)))(np.ones((4, 2)))
    with pytest.raises(IndexError, match=r"axis 0 of length 2"):
        pg.vmap(lambda x: x[2])(np.ones((4, 2)))


# -- inside ------------------------------------------------------------------------------------------


def test_what_a_function_sees(device: pg.Device) -> None:
    def f(x: Any) -> Any:
        assert isinstance(x, pg.Tensor)
        assert (x.shape, x.ndim, x.size, x.dtype) == ((2,), 1, 2, pg.float64)
        assert len(x) == 2
        assert "batched" in repr(x)
        xp = x.__array_namespace__()
        assert xp.zeros(2, device=x.device).device is x.device
        a, b = x
        return xp.sin(a) * b + xp.sum(xp.asarray([1.0, 2.0])) + np.float64(2.0) + xp.asarray([0.5])

    x = on(device, _rng.normal(size=(3, 2)))
    close(pg.vmap(f)(x), (pg.sin(x[:, 0]) * x[:, 1] + 5.5)[:, None])


def test_raw_closures_and_lists(device: pg.Device) -> None:
    w = on(device, [1.0, 2.0])._value
    x = on(device, np.ones((3, 2)))
    close(pg.vmap(lambda x: x * w + pg.stack([x[0], x[1]]) + pg.asarray([x[0], 1.0]))(x), np.asarray([[3.0, 4.0]] * 3))
    table = on(device, _rng.normal(size=(5, 2)))
    i = on(device, np.asarray([0, 4, 0]))
    close(pg.vmap(lambda i: table[i])(i), pg.take(table, i, axis=0))
    close(pg.vmap(lambda i: pg.take(table, i[None], axis=0)[0])(i), pg.take(table, i, axis=0))


def test_results_in_kind(device: pg.Device) -> None:
    x = on(device, np.ones((3, 2)))
    y = pg.vmap(pg.sin)(x)
    assert isinstance(y, pg.Tensor)
    assert y.device is device
    assert not y.requires_grad
    assert type(pg.vmap(pg.sin)(x._value)) is type(x._value)


def test_stop_gradient_and_detach(device: pg.Device) -> None:
    x = on(device, [1.0, 2.0])
    for stop in (pg.stop_gradient, lambda x: x.detach()):
        g = pg.grad(lambda x: pg.sum(pg.vmap(lambda x: x * stop(x))(x)))(x)  # noqa: B023
        close(g, x)
        close(pg.vmap(pg.grad(lambda x: x * stop(x)))(x), x)  # noqa: B023


def test_backward_inside(device: pg.Device) -> None:
    def f(x: Any) -> Any:
        x = x.detach().requires_grad_()
        pg.sum(x**3).backward()
        return x.grad

    x = on(device, _rng.normal(size=(3, 2)))
    close(pg.vmap(f)(x), 3 * x**2)


@pytest.mark.part(3, "strict", "dask")
@pytest.mark.part(5, "jax:cpu")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "f",
    [
        pg.softmax,
        pg.log_softmax,
        pg.logsumexp,
        lambda x: pg.logsumexp(x[0]) * x,
        lambda x: pg.clip(x, 0.0, 1.0),
        lambda x: pg.clip(x, 0.0),
        lambda x: pg.clip(x, max=1.0),
        pg.relu,
        abs,
        pg.max,
        pg.std,
        lambda x: pg.maximum(x, pg.zeros_like(x)),
        lambda x: x**0.5,
    ],
)
def test_kinks_and_infinities_as_in_a_loop(f: Any, device: pg.Device) -> None:
    inf = float("inf")
    rows = [[1.0, 0.0, -inf], [-inf] * 3, [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [inf, 1.0, 0.0], [float("nan"), 1.0, 0.0]]
    x, w = on(device, rows), on(device, [0.3, -0.7, 0.2])
    with device.backend.quiet():
        outside = pg.grad(lambda x: pg.sum(pg.vmap(lambda x: pg.sum(f(x) * w))(x)))(x)
        inside = pg.vmap(pg.grad(lambda x: pg.sum(f(x) * w)))(x)
        for k in range(len(rows)):
            expected = pg.grad(lambda x: pg.sum(f(x) * w))(x[k, ...])
            close(inside[k, ...], expected)
            close(outside[k, ...], expected)


def test_checkpoint_inside_and_outside(device: pg.Device) -> None:
    x = on(device, _rng.normal(size=(3, 2)))

    def f(x: Any) -> Any:
        return pg.sum(pg.sin(x) ** 2)

    close(pg.vmap(pg.grad(pg.checkpoint(f)))(x), pg.vmap(pg.grad(f))(x))
    close(pg.grad(lambda x: pg.sum(pg.vmap(pg.checkpoint(f))(x)))(x), pg.vmap(pg.grad(f))(x))
    close(pg.grad(lambda x: pg.sum(pg.checkpoint(pg.vmap(f))(x)))(x), pg.vmap(pg.grad(f))(x))


def straight_through() -> Any:
    """Rounding with the slope of 3 x: its own derivative is 0, so that what ignores the rule is found out."""

    class Rounded(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return pg.round(x) * w

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, w = ctx.saved_tensors
            return g * 3 * x**2 * w, g * x

    @pg.custom_vjp
    def by_vjp(x: Any, w: Any) -> Any:
        return pg.round(x) * w

    by_vjp.defvjp(lambda x, w: (pg.round(x) * w, (x, w)), lambda res, g: (g * 3 * res[0] ** 2 * res[1], g * res[0]))

    @pg.custom_jvp
    def by_jvp(x: Any, w: Any) -> Any:
        return pg.round(x) * w

    by_jvp.defjvp(lambda p, t: (by_jvp(*p), 3 * p[0] ** 2 * p[1] * t[0] + p[0] * t[1]))
    return [Rounded.apply, by_vjp, by_jvp]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["Function", "custom_vjp", "custom_jvp"])
def test_custom_derivatives(which: int, device: pg.Device) -> None:
    """From inside, from outside and both; by what is mapped and by what is shared."""
    f = straight_through()[which]
    x, w = on(device, [0.7, 1.6, -2.2]), on(device, 1.5)
    slope = 3 * x**2 * w
    close(pg.vmap(pg.grad(f), in_axes=(0, None))(x, w), slope)
    close(pg.vmap(lambda x: pg.grad(f, 1)(x, w))(x), x)
    mapped = pg.vmap(f, in_axes=(0, None))
    gx, gw = pg.grad(lambda x, w: pg.sum(mapped(x, w) * x), (0, 1))(x, w)
    close(gx, slope * x + pg.round(x) * w)
    close(gw, pg.sum(x * x))
    gw = pg.grad(lambda w: pg.sum(pg.vmap(lambda x: f(x, w))(x)))(w)  # by a closure
    close(gw, pg.sum(x))
    table = pg.vmap(lambda w: pg.grad(lambda w: pg.sum(pg.vmap(lambda x: f(x, w))(x)))(w))(on(device, [1.0, 2.0]))
    close(table, [float(host(pg.sum(x)))] * 2)
    nested = pg.grad(lambda x: pg.sum(pg.vmap(lambda w: pg.vmap(lambda x: f(x, w))(x))(on(device, [1.0, 2.0]))))(x)
    close(nested, 9 * x**2)
    # both: the outer derivative of value and slope
    both = pg.grad(lambda x: pg.sum(pg.vmap(lambda x: pg.value_and_grad(lambda x: f(x, w))(x)[0])(x)))(x)
    close(both, slope)
    second = pg.grad(lambda x: pg.sum(pg.vmap(pg.grad(lambda x: f(x, w)))(x)))(x)
    close(second, 6 * x * w)
    third = pg.grad(lambda x: pg.sum(pg.grad(lambda x: pg.sum(pg.vmap(lambda x: f(x, w))(x)))(x)))(x)
    close(third, 6 * x * w)


def test_a_module(device: pg.Device) -> None:
    net = pg.nn.Sequential(pg.nn.Linear(2, 4), pg.nn.Tanh(), pg.nn.Linear(4, 1)).to(device)
    x = pg.astype(on(device, _rng.normal(size=(3, 2))), next(iter(net.parameters())).dtype)
    pg.sum(net(x) ** 2).backward()
    expected = [p.grad for p in net.parameters()]
    for p in net.parameters():
        p.grad = None
    pg.sum(pg.vmap(net)(x) ** 2).backward()
    for p, e in zip(net.parameters(), expected, strict=True):
        np.testing.assert_allclose(host(p.grad), host(e), rtol=1e-5, atol=1e-6)


def test_a_leaked_tensor_is_refused() -> None:
    leaked = []
    pg.vmap(lambda x: leaked.append(x) or x)(np.ones((3, 2)))
    with pytest.raises((DeviceError, VmapError)):
        pg.vmap(lambda y: y + leaked[0])(np.ones((3, 2)))


def test_no_garbage_is_left() -> None:
    """Memory stays flat without the garbage collector, and with the namespace of the level in use."""
    import gc
    import tracemalloc

    w = pg.asarray(np.ones(4), requires_grad=True)
    x = np.ones((8, 4))

    def step() -> None:
        def f(x: Any) -> Any:
            return pg.sum(x.__array_namespace__().sin(x * w)) + pg.grad(lambda w: pg.vecdot(w, x))(w)[0]

        pg.sum(pg.vmap(f)(x)).backward()

    for _ in range(5):
        step()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            step()
        assert tracemalloc.get_traced_memory()[0] - start < 100 * 1000
    finally:
        tracemalloc.stop()
        gc.enable()


def test_a_traced_vmap_maps_tensors_from_outside() -> None:
    x, outside = pg.asarray([1.0, 2.0]), pg.asarray([3.0, 4.0])

    def both(x: Any) -> Any:
        return pg.vmap(lambda a, b: a * b + outside[0])(x, outside)

    def only(x: Any) -> Any:
        return pg.vmap(lambda b: b * x[0])(outside)

    def nested(x: Any) -> Any:
        return pg.vmap(lambda a: pg.vmap(lambda b, c: a * b * c)(outside, x))(outside)

    for f in (both, only, nested):
        for g in (f, pg.jacrev(f), pg.jacfwd(f)):
            np.testing.assert_array_equal(np.asarray(pg.compile(g)(x)), np.asarray(g(x)))
    with pytest.raises(VmapError, match="different devices: cpu and strict"):
        pg.vmap(lambda a, b: a)(x, pg.ones(2, device="strict"))
