"""``Graph.stats``: each formula against a count of its own."""

from __future__ import annotations

import math
from typing import Any

import pytest

import polygrad as pg
from polygrad import nn


def flops(f: Any, *shapes: Any) -> int:
    return pg.trace(f, *[pg.Spec(s) for s in shapes]).stats()["flops"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("f", "shapes", "count"),
    [
        (lambda x, y: x @ y, [(3, 4), (4, 5)], 2 * 3 * 4 * 5),
        (lambda x, y: x @ y, [(7, 3, 4), (4, 5)], 7 * 2 * 3 * 4 * 5),
        (lambda x, y: x @ y, [(4,), (4,)], 2 * 4),
        (lambda x, y: pg.tensordot(x, y, axes=2), [(2, 3, 4), (3, 4, 5)], 2 * 2 * 12 * 5),
        (lambda x, y: pg.vecdot(x, y), [(3, 4), (3, 4)], 2 * 12),
        (lambda x, y: pg.einsum("bij,bjk->bik", x, y), [(7, 3, 4), (7, 4, 5)], 7 * 2 * 3 * 4 * 5),
        (lambda x, y: pg.einsum("ij,kj->ik", x, y), [(3, 4), (5, 4)], 2 * 3 * 4 * 5),
        (lambda x: pg.sin(x) + x, [(3, 4)], 24),
        (lambda x: pg.sum(x), [(3, 4)], 12),
        (lambda x: pg.mean(x, axis=0), [(3, 4)], 12),
        (lambda x: pg.reshape(x, (4, 3))[1:, :], [(3, 4)], 0),
        (lambda x: pg.concat([x, x]), [(3, 4)], 0),
        (lambda x, w: pg.neural.conv(x, w, padding=1), [(2, 3, 8, 8), (4, 3, 3, 3)], 2 * (2 * 4 * 8 * 8) * 27),
        (lambda x, w: pg.neural.conv(x, w, groups=2), [(2, 4, 6), (6, 2, 3)], 2 * (2 * 6 * 4) * 6),
        (pg.linalg.cholesky, [(5, 6, 6)], 5 * 6**3 / 3),
        (pg.linalg.solve, [(6, 6), (6, 2)], 2 * 6**3 / 3 + 2 * 6 * 6 * 2),
        (pg.linalg.inv, [(6, 6)], 2 * 6**3),
        (lambda x: tuple(pg.linalg.qr(x)), [(8, 5)], 4 * 8 * 25 - 4 * 125 / 3),
        (lambda x: tuple(pg.linalg.eigh(x)), [(6, 6)], 9 * 6**3),
        (pg.linalg.eigvalsh, [(6, 6)], 4 * 6**3 / 3),
        (lambda x: pg.fft.fft(pg.astype(x, "complex128")), [(3, 8)], 5 * 24 * 3),
        (lambda x: pg.fft.rfft(x), [(3, 8)], 2.5 * 24 * 3),
        (lambda x: pg.sort(x), [(3, 8)], 24 * 3),
    ],
)
def test_formulas(f: Any, shapes: Any, count: float) -> None:
    assert flops(f, *shapes) == round(count)


def test_a_convolution_and_its_cotangents_cost_alike() -> None:
    x, w = pg.Spec((2, 3, 8, 8)), pg.Spec((4, 3, 3, 3))
    graph = pg.trace(lambda x, w: pg.neural.conv(x, w), x, w)
    forward, both = graph.stats()["flops"], graph.vjp().stats()["flops"]
    assert both == 3 * forward


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_networks(kind: str, gates: int) -> None:
    """Both products of each step, and less than a tenth more for what is elementwise, as NumPy's kernels and step by
    step."""
    steps, batch, inputs, hidden = 10, 8, 32, 64
    layer = getattr(nn, kind)(inputs, hidden)
    products = 2 * steps * batch * gates * hidden * (inputs + hidden)
    for device in ("cpu", "strict"):
        layer = layer.to(device)
        graph = pg.trace(lambda x, layer=layer: layer(x)[0], pg.Spec((steps, batch, inputs), device=device))
        assert products <= graph.stats()["flops"] <= 1.1 * products
        if device == "cpu":
            both = graph.vjp(closed_over=True).stats()["flops"]
            assert 3 * products <= both <= 1.1 * 3 * products


def test_attention() -> None:
    batch, heads, length, width = 2, 4, 16, 64
    layer = nn.MultiheadAttention(width, heads, batch_first=True)
    graph = pg.trace(lambda x: layer(x, x, x)[0], pg.Spec((batch, length, width)))
    projections = 4 * 2 * batch * length * width * width
    products = 2 * 2 * batch * length * length * width
    assert projections + products <= graph.stats()["flops"] <= 1.1 * (projections + products)


def test_peak_memory_follows_views() -> None:
    n = 1000

    def peak(f: Any) -> float:
        return pg.trace(f, pg.Spec(n)).stats()["peak_bytes"] / (8 * n)  # type: ignore[no-any-return]

    assert peak(lambda x: pg.sin(pg.sin(pg.sin(x)))) == 3  # the input, what is read, what is written
    assert peak(lambda x: pg.sum(pg.reshape(pg.sin(x), (10, 100)))) == pytest.approx(2, abs=0.01)
    assert peak(lambda x: pg.sin(pg.reshape(pg.sin(pg.reshape(pg.sin(x), (10, -1))), (n,)))) == 3

    def kept(x: Any) -> Any:  # a view keeps alive what it is of
        part = pg.sin(x)[:1]
        return pg.sum(pg.cos(pg.cos(x))) + part

    assert peak(kept) == pytest.approx(4, abs=0.01)


def test_every_instruction_of_a_training_step_is_counted() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 169, 10))
    graph = pg.trace(
        lambda x, t: nn.functional.cross_entropy(net(x), t), pg.Spec((8, 1, 28, 28)), pg.Spec(8, "int64")
    ).vjp()
    found = graph.stats()
    conv, linear = 2 * 8 * 4 * 26 * 26 * 9, 2 * 8 * 676 * 10
    assert 2 * conv + 3 * linear < found["flops"] < 3 * conv + 3 * linear + 20 * 8 * 4 * 26 * 26
    assert math.isfinite(found["peak_bytes"])
    assert sum(found["ops"].values()) == len(graph.instructions)
