"""Whatever is raised in the middle of a walk, modes, ``.grad`` and the graph stay as they were: compute all, then commit."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.core.apply import _many_ops
from polygrad.core.cotangents import pass_on
from polygrad.core.op import OPS, Op

ERRORS = [KeyboardInterrupt, MemoryError, ZeroDivisionError]


@functools.cache
def _variants() -> list[Op]:
    """Every op, with the twins that complex numbers and squares have."""
    # issubclass of the type, not isinstance: that asks other libraries' objects for their __class__, and some warn
    gc.unfreeze()  # conftest.py froze what the collection of tests had imported
    found = [op for op in gc.get_objects() if issubclass(type(op), Op)]
    gc.freeze()
    return found


@contextmanager
def failing(at: int, error: type[BaseException]) -> Iterator[list[int]]:
    """Every rule counts its calls; number ``at`` raises."""
    calls = [0]

    def counted(rule: Any) -> Any:
        if rule is None or rule is pass_on:  # the walk knows this one by identity
            return rule

        def wrapped(*args: Any) -> Any:
            calls[0] += 1
            if calls[0] == at:
                raise error
            return rule(*args)

        return wrapped

    before = [(op, op.vjps, op.jvps) for op in _variants()]
    twins = dict(_many_ops)  # of variadic ops; those made meanwhile copy the counted rules, and must not stay
    _many_ops.clear()
    try:
        for op, vjps, jvps in before:
            op.vjps, op.jvps = tuple(map(counted, vjps)), tuple(map(counted, jvps))
        yield calls
    finally:
        for op, vjps, jvps in before:
            op.vjps, op.jvps = vjps, jvps
        _many_ops.clear()
        _many_ops.update(twins)


X, W = np.array([[0.3, -1.2, 2.0], [1.5, 0.2, -0.4]]), np.array([[0.5, 1.0], [-0.3, 0.2], [2.0, 0.1]])


def model(x: Any, w: Any) -> Any:
    h = pg.tanh(x @ w)
    h = pg.concat([h, x[:, 1:]], axis=1) * pg.exp(-(x[:, :1] ** 2))
    return pg.sum(pg.softmax(h) * h) + pg.std(h) + pg.sum(pg.take(w, pg.asarray([0, 2, 0]), axis=0))


def nodes(root: Any) -> list[Any]:
    found, stack = [], [root]
    seen = set()
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        found.append(node)
        stack += node.parents
    return found


def state(leaves: Any, loss: Any) -> Any:
    grads = [None if x.grad is None else (id(x.grad), x.grad.numpy().tobytes()) for x in leaves]
    graph = [(id(n), n.op.name, id(n.saved), None if n.extra is None else n.extra.grad) for n in nodes(loss._node)]
    return grads, graph, pg.is_grad_enabled(), np.geterr(), pg.default_device()


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("filled", [False, True])
def test_backward(filled: bool, create_graph: bool, error: Any) -> None:
    leaves = [pg.asarray(v, requires_grad=True) for v in (X, W)]
    if filled:
        pg.sum(model(*leaves)).backward()
    start = [0.0 if x.grad is None else x.grad.numpy().copy() for x in leaves]
    expected = pg.grad(model, argnums=(0, 1))(X, W)
    loss = model(*leaves)
    loss.retain_grad()
    before = state(leaves, loss)
    at = 1
    while True:
        with failing(at, error):
            try:
                loss.backward(create_graph=create_graph)
            except error:
                assert state(leaves, loss) == before
            else:
                break
        at += 1
    assert at > 12
    for x, s, e in zip(leaves, start, expected, strict=True):
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.detach().numpy(), s + e, rtol=1e-13)


TRANSFORMS: dict[str, Callable[[], Any]] = {
    "grad": lambda: pg.grad(model, argnums=(0, 1))(X, W),
    "vjp": lambda: pg.vjp(model, X, W)[1](np.array(1.0)),
    "jvp": lambda: pg.jvp(model, (X, W), (X * 2, W)),
    "grad of grad": lambda: pg.grad(lambda w: pg.sum(pg.grad(model, argnums=1)(X, w) ** 2))(W),
    "jvp of grad": lambda: pg.hvp(lambda w: model(X, w), (W,), (W,)),
    "vmap of grad": lambda: pg.vmap(lambda x: pg.grad(lambda x: pg.sum(pg.tanh(x) * pg.softmax(x)))(x))(X),
    "checkpoint": lambda: pg.grad(lambda w: pg.checkpoint(model)(X, w))(W),
    "no_grad": lambda: pg.no_grad()(lambda: pg.grad(model)(X, W))(),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name: str, error: Any) -> None:
    expected = TRANSFORMS[name]()
    before = pg.is_grad_enabled(), np.geterr(), pg.default_device()
    with failing(0, error) as calls:
        TRANSFORMS[name]()
    assert calls[0] > 3
    for at in sorted({1, 2, calls[0] // 2, calls[0] - 1, calls[0]}):
        with failing(at, error), pytest.raises(error):
            TRANSFORMS[name]()
        assert (pg.is_grad_enabled(), np.geterr(), pg.default_device()) == before
    for a, b in zip(_leaves(TRANSFORMS[name]()), _leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def _leaves(tree: Any) -> list[Any]:
    return [v for part in tree for v in _leaves(part)] if isinstance(tree, tuple) else [np.asarray(tree)]


@pytest.mark.parametrize("error", ERRORS)
def test_hooks_and_functions_that_raise(error: Any) -> None:
    raising = [True]

    class Shaky(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 3.0

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            if raising[0]:
                raise error
            return g * 3.0

    def hook(g: Any) -> None:
        if raising[0]:
            raise error

    for inside in (lambda x: Shaky.apply(x), lambda x: x * 3.0):
        raising[0] = True
        x, y = pg.asarray([1.0, 2.0], requires_grad=True), pg.asarray([1.0, 2.0], requires_grad=True)
        middle = inside(x)
        middle.register_hook(hook)
        y.register_hook(hook)
        loss = pg.sum(middle * y)
        before = state([x, y], loss)
        with pytest.raises(error):
            loss.backward()
        assert state([x, y], loss) == before
        raising[0] = False
        loss.backward()
        assert x.grad is not None
        assert x.grad.tolist() == [3.0, 6.0]


def test_a_raising_forward_leaves_no_trace() -> None:
    x = pg.asarray([1.0, 2.0], requires_grad=True)
    before = OPS["tanh"].forward

    def f(x: Any) -> Any:
        y = x * 2.0
        raise MemoryError
        return y

    for transform in (pg.grad(f), pg.hessian(f), lambda x: pg.vmap(f)(x), lambda x: pg.checkpoint(f)(x)):
        with pytest.raises(MemoryError):
            transform(x)
        assert pg.is_grad_enabled()
    assert x.grad is None
    assert OPS["tanh"].forward is before
    assert (x * 2.0).requires_grad


def test_cotangents_that_wait_do_not_live_in_the_traceback() -> None:
    """A caught MemoryError must not keep the memory that was short."""
    seen: list[Any] = []

    class Noting(pg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1.0

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            made = g * 2.0
            seen.append(weakref.ref(made._value))
            return made

    class Failing(Noting):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise MemoryError

    x, y = (pg.asarray(np.ones(1000), requires_grad=True) for _ in range(2))
    last = Failing.apply(x)  # made first, so its rule runs last
    loss = pg.sum(last * 2.0 + Noting.apply(Noting.apply(y * 1.0)))
    with pytest.raises(MemoryError) as caught:
        loss.backward()
    assert len(seen) == 2
    assert caught.value.__traceback__ is not None
    assert [r() for r in seen] == [None, None]
