"""Draws inside ``vmap``: refused until it is said what they mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import VmapError

F = pg.nn.functional
ROWS = np.arange(1.0, 13.0).reshape(4, 3)
DRAWS: dict[str, Any] = {
    "normal": lambda x: pg.random.normal(x.shape),
    "uniform": lambda x: pg.random.uniform((3,), -1.0, 2.0),
    "bernoulli": lambda x: pg.random.bernoulli((3,), 0.5, dtype="float64"),
    "integers": lambda x: pg.random.integers((3,), 0, 1000),
    "permutation": lambda x: pg.random.permutation(8)[:3],
    "exponential": lambda x: pg.random.exponential(3),
    "gumbel": lambda x: pg.random.gumbel((3,)),
    "truncated_normal": lambda x: pg.random.truncated_normal((3,)),
    "dropout": lambda x: F.dropout(pg.ones(30), p=0.5),
    "alpha_dropout": lambda x: F.alpha_dropout(pg.ones(30), p=0.5, training=True),
    "own generator": lambda x: pg.random.normal((3,), generator=OWN),
}
OWN = pg.random.Generator(1)


@pytest.mark.parametrize("name", DRAWS)
def test_draws_mean_what_is_said(name: str) -> None:
    draw = DRAWS[name]
    with pytest.raises(VmapError, match="randomness"):
        pg.vmap(draw)(ROWS)
    same = pg.vmap(draw, randomness="same")(ROWS)
    assert all(np.array_equal(same[0], row) for row in same)
    different = pg.vmap(draw, randomness="different")(ROWS)
    assert different.shape == same.shape
    assert different.dtype == same.dtype
    assert len({row.tobytes() for row in different}) > 1


def test_nested_levels_each_say_it() -> None:
    def draws(outer: str, inner: str) -> Any:
        add = lambda x: x * 0 + pg.random.normal(())  # noqa: E731
        return pg.vmap(pg.vmap(add, randomness=inner), randomness=outer)(ROWS)

    assert len(np.unique(draws("different", "different"))) == 12
    rows = draws("different", "same")
    assert len(np.unique(rows)) == 4
    assert np.array_equal(rows, np.broadcast_to(rows[:, :1], rows.shape))
    columns = draws("same", "different")
    assert len(np.unique(columns)) == 3
    assert np.array_equal(columns, np.broadcast_to(columns[:1], columns.shape))
    with pytest.raises(VmapError):
        draws("different", "error")


def test_under_other_transforms_and_compiled() -> None:
    f = lambda x: pg.sum(F.dropout(x, p=0.5) * x)  # noqa: E731
    grads = pg.vmap(pg.grad(f), randomness="different")(ROWS)
    assert set(np.unique(grads / ROWS)) <= {0.0, 4.0}
    outer = pg.grad(lambda x: pg.sum(pg.vmap(f, randomness="different")(x)))(ROWS)
    assert set(np.unique(outer / ROWS)) <= {0.0, 4.0}
    draw = pg.vmap(lambda x: x * 0 + pg.random.normal(x.shape), randomness="different")
    compiled = pg.compile(draw)
    pg.random.manual_seed(3)
    eager = [draw(ROWS) for _ in range(3)]
    pg.random.manual_seed(3)
    for expected in eager:
        np.testing.assert_array_equal(compiled(ROWS), expected)


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="randomness must be"):
        pg.vmap(lambda x: x, randomness="some")


def test_parameters_may_differ_between_the_examples() -> None:
    rows = pg.vmap(lambda x: pg.random.normal((50,), 1000 * x[0]), randomness="different")(ROWS)
    assert np.all(abs(rows - 1000 * ROWS[:, :1]) < 10)
