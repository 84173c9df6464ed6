"""What Python's own functions of numbers, and libraries that look for ``to_numpy``, make of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.ops import manipulation

VALUES = [2.345, -2.5, 0.5, 1234.5678, -0.0, 7.0]


@pytest.mark.parametrize("digits", [None, 0, 1, 2, 5, -1, -2])
def test_round_is_numpys(digits: int | None, device: pg.Device) -> None:
    x = pg.asarray(VALUES, device=device)
    want = np.round(np.asarray(VALUES), digits or 0)
    np.testing.assert_allclose(round(x, digits).to_device("cpu").numpy(), want, rtol=1e-12)
    whole = pg.asarray([125, -125, 17, 250], device=device)
    rounded = round(whole, digits)
    assert rounded.dtype == whole.dtype
    assert rounded.to_device("cpu").tolist() == np.round(np.asarray([125, -125, 17, 250]), digits or 0).tolist()
    assert round(pg.asarray(2.345, device=device), 2).shape == ()


@pytest.mark.parametrize("other", [2.0, -2.5, 3, np.float64(2.0), [1.0, 2.0, -3.0, 4.0, 5.0, 6.0]])
def test_divmod_is_numpys(other: Any, device: pg.Device) -> None:
    x = pg.asarray(VALUES, device=device)
    if isinstance(other, list):
        other = pg.asarray(other, device=device)
    plain = other.to_device("cpu").numpy() if isinstance(other, pg.Tensor) else other
    for found, want in zip(divmod(x, other), divmod(np.asarray(VALUES), plain), strict=True):
        np.testing.assert_allclose(found.to_device("cpu").numpy(), want, rtol=1e-12)
    y = pg.asarray([2.345, -2.5, 0.5], device=device)
    for found, want in zip(divmod(7.5, y), divmod(7.5, np.asarray([2.345, -2.5, 0.5])), strict=True):
        np.testing.assert_allclose(found.to_device("cpu").numpy(), want, rtol=1e-12)


def test_divmod_stays_in_the_graph_and_refuses_what_is_no_number() -> None:
    x = pg.asarray(7.5, requires_grad=True)
    quotient, remainder = divmod(x, 2.0)
    assert (quotient.item(), remainder.item()) == (3.0, 1.5)
    remainder.backward()
    assert x.grad is not None
    assert x.grad.item() == 1.0
    for bad in ("a", None, object()):
        with pytest.raises(TypeError):
            divmod(x, bad)
        with pytest.raises(TypeError):
            divmod(bad, x)


@pytest.mark.parametrize("f", [math.floor, math.ceil, math.trunc, int, round])
@pytest.mark.parametrize("value", [2.5, -2.5, 2, [3.7]])
def test_whole_numbers(f: Callable[[Any], Any], value: Any) -> None:
    found = f(pg.asarray(value))
    plain = value[0] if isinstance(value, list) else value
    if f is round:
        assert isinstance(found, pg.Tensor)
        assert found.tolist() == (round(plain) if found.shape == () else [round(plain)])
    else:
        assert type(found) is int
        assert found == f(plain)


@pytest.mark.parametrize("f", [math.floor, math.ceil, math.trunc])
def test_whole_numbers_of_several_or_complex_are_refused(f: Callable[[Any], Any]) -> None:
    for bad in (pg.ones(2), pg.asarray(1j)):
        with pytest.raises(TypeError):
            f(bad)


def test_to_numpy_is_numpy() -> None:
    x = pg.asarray(VALUES)
    assert x.to_numpy().tolist() == VALUES
    x.requires_grad_()
    with pytest.raises(pg.errors.DetachError, match=r"x\.detach\(\)\.numpy\(\)"):
        x.to_numpy()


def test_plots_look_at_the_array_and_not_at_each_number(monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    x = pg.asarray(np.linspace(0.1, 1.0, 100_000))
    taken: list[Any] = []
    item = pg.Tensor.__getitem__
    monkeypatch.setattr(pg.Tensor, "__getitem__", lambda self, key: (taken.append(key), item(self, key))[1])
    walked: list[int] = []
    unstack = manipulation.unstack
    monkeypatch.setattr(manipulation, "unstack", lambda x: (walked.append(len(x)), unstack(x))[1])
    figure, axes = pyplot.subplots()
    for draw in (axes.plot, axes.step, axes.scatter, axes.fill_between):
        draw(x, x)
    (line,) = axes.plot(x)
    axes.imshow(pg.ones((4, 4)))
    pyplot.close(figure)
    assert np.asarray(line.get_ydata()).tolist() == x.tolist()
    assert len(taken) < 50
    assert max(walked, default=0) <= 256


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_iteration_gives_views_in_order_whatever_the_length() -> None:
    for n in (0, 1, 256, 257, 1000):
        x = pg.asarray(np.arange(2.0 * n).reshape(n, 2))
        rows = list(x)
        assert [row.tolist() for row in rows] == x.tolist()
        if n:
            rows[-1][0] = -5.0
            x[0, 1] = -6.0
            assert x[n - 1, 0].item() == -5.0
            assert rows[0][1].item() == -6.0
        leaf = pg.asarray(np.ones((n, 2)), requires_grad=True)
        total = sum((row * (i + 1.0) for i, row in enumerate(leaf)), start=pg.zeros(2))
        if n:
            pg.sum(total).backward()
            assert leaf.grad is not None
            assert leaf.grad[:, 0].tolist() == [i + 1.0 for i in range(n)]
    with pytest.raises(TypeError, match="0-d"):
        iter(pg.asarray(1.0))
