"""Errors name the op and the shapes, whatever the library would have said."""

from __future__ import annotations

import pytest

import polygrad as pg
from polygrad.errors import ShapeError


@pytest.mark.parametrize("f", [pg.add, pg.atan2, pg.maximum, lambda a, b: a * b], ids=["add", "atan2", "maximum", "*"])
def test_shapes_that_do_not_broadcast(f: object, device: pg.Device) -> None:
    a, b = pg.ones((2, 3), device=device), pg.ones((4,), device=device)
    with pytest.raises(ShapeError, match=r"\(2, 3\) and \(4,\) do not broadcast"):
        f(a, b)  # type: ignore[operator]


def test_three_shapes_that_do_not_broadcast(device: pg.Device) -> None:
    a, b = pg.ones((2, 3), device=device), pg.ones((4,), device=device)
    with pytest.raises(ShapeError, match=r"where: shapes \(2, 3\), \(2, 3\), \(4,\) do not broadcast"):
        pg.where(a > 0, a, b)


def test_matrices_that_do_not_fit(device: pg.Device) -> None:
    with pytest.raises(ShapeError, match=r"matmul: shapes \(2, 3\) and \(2, 3\).*inner lengths 3 and 2"):
        pg.ones((2, 3), device=device) @ pg.ones((2, 3), device=device)
