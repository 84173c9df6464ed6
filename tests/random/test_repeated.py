"""Draws where a function runs again: under checkpoint, and at each run of a static graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import GradientError, TraceError

F = pg.nn.functional
EXECUTORS = [None, "planned", "native"]
Wrap = Callable[[Any], Any]
WRAPS: dict[str, Wrap] = {
    "once": pg.checkpoint, "nested": lambda f: pg.checkpoint(pg.checkpoint(f)),
    "beside": lambda f: lambda x: (pg.checkpoint(lambda y: f(y) * 1)(x)),
}  # fmt: skip
OWN = pg.random.Generator(3)
BODIES: dict[str, Wrap] = {
    "dropout": lambda x: F.dropout(F.dropout(x, p=0.5), p=0.3) * x,
    "normal": lambda x: x * pg.random.normal(x.shape) + pg.random.uniform(x.shape),
    "own generator": lambda x: x * pg.random.normal(x.shape, generator=OWN) * pg.random.exponential(x.shape),
    "scoped": lambda x: x * pg.random.permutation(6),
}


def steps(body: Any, wrap: Wrap, executor: str | None) -> list[Any]:
    pg.random.manual_seed(5)
    OWN.manual_seed(3)
    x = pg.asarray(np.linspace(0.5, 1.5, 6), requires_grad=True)

    def loss(x: Any) -> Any:
        return pg.sum(wrap(body)(x))

    f = loss if executor is None else pg.compile(loss, executor=executor)
    seen = []
    for _ in range(3):
        x.grad = None
        value = f(x)
        value.backward()
        seen += [value.item(), x.grad.tolist(), pg.random.normal((2,)).tolist()]  # type: ignore[union-attr]
    return seen


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("body", BODIES)
def test_checkpoint_changes_no_number(body: str, wrap: str, executor: str | None) -> None:
    plain, wrapped = (steps(BODIES[body], w, executor) for w in (lambda f: f, WRAPS[wrap]))
    for a, b in zip(plain, wrapped, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("transform", [pg.grad, lambda f: lambda x: pg.jvp(f, (x,), (x,))[1], pg.hessian])
def test_checkpoint_in_transforms(transform: Any) -> None:
    def loss(wrap: Wrap) -> Any:
        return lambda x: pg.sum(wrap(lambda x: F.dropout(x**3, p=0.5))(x))

    x = np.linspace(0.5, 1.5, 6)
    found = []
    for wrap in (lambda f: f, pg.checkpoint):
        pg.random.manual_seed(1)
        found.append((transform(loss(wrap))(x), pg.random.normal((2,)).tolist()))
    np.testing.assert_allclose(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_a_function_that_draws_otherwise_the_second_time_is_refused() -> None:
    runs: list[int] = []

    def body(x: Any) -> Any:
        n = pg.graph.on_each_run(lambda: None) if False else len(runs)
        runs.append(0)
        y = x
        for _ in range(1 + n):
            y = y * pg.random.normal(x.shape)
        return y

    with pytest.raises((GradientError, TraceError)):
        pg.compile(lambda x: pg.grad(lambda x: pg.sum(pg.checkpoint(body)(x)))(x))(pg.ones(3))


STATE = pg.random.Generator(1).get_state()


@pytest.mark.parametrize("executor", EXECUTORS[1:])
@pytest.mark.parametrize(
    "seed",
    [
        lambda: pg.random.manual_seed(3),
        lambda: pg.random.set_state(STATE),
        lambda: pg.random.default_generator.manual_seed(4),
    ],
)
def test_seeds_are_set_at_each_run(seed: Any, executor: str) -> None:
    def f() -> Any:
        seed()
        return pg.random.normal((3,)) * 2

    compiled = pg.compile(f, executor=executor)
    expected = f().tolist()
    assert [compiled().tolist() for _ in range(3)] == [expected] * 3


def test_a_generator_made_in_a_function_begins_anew() -> None:
    def f() -> Any:
        return pg.random.normal((3,), generator=pg.random.Generator(7))

    compiled = pg.compile(f)
    assert [compiled().tolist() for _ in range(3)] == [f().tolist()] * 3


def test_states_are_not_read_while_traced() -> None:
    before = pg.random.get_state()
    with pytest.raises(TraceError, match="get_state"):
        pg.compile(lambda x: (pg.random.get_state(), x)[1] * 1)(pg.ones(2))
    assert pg.random.get_state() == before
