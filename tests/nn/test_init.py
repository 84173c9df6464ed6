"""nn.init: the distributions, in place, on every device."""

from __future__ import annotations

import math

import numpy as np
import pytest

import polygrad as pg
from polygrad.nn import Parameter, init


@pytest.mark.parametrize(
    ("fill", "std", "bound"),
    [
        (lambda w, g: init.uniform_(w, -1.0, 3.0, g), 4 / math.sqrt(12), 3),
        (lambda w, g: init.normal_(w, 0.0, 0.5, g), 0.5, math.inf),
        (lambda w, g: init.kaiming_uniform_(w, generator=g), math.sqrt(2 / 200), math.sqrt(6 / 200)),
        (lambda w, g: init.kaiming_uniform_(w, 1.0, "fan_out", generator=g), 1 / 10, math.sqrt(3) / 10),
        (lambda w, g: init.xavier_uniform_(w, 2.0, g), 2 * math.sqrt(2 / 300), 2 * math.sqrt(6 / 300)),
        (lambda w, g: init.kaiming_normal_(w, generator=g), math.sqrt(2 / 200), math.inf),
        (lambda w, g: init.xavier_normal_(w, 2.0, g), 2 * math.sqrt(2 / 300), math.inf),
        (lambda w, g: init.trunc_normal_(w, 0.0, 1.0, -1.0, 1.0, g), 0.53956, 1),
        (lambda w, g: init.orthogonal_(w, 2.0, g), 2 / math.sqrt(200), 2),
    ],
    ids=[
        "uniform",
        "normal",
        "kaiming fan in",
        "kaiming fan out",
        "xavier",
        "kaiming normal",
        "xavier normal",
        "truncated",
        "orthogonal",
    ],
)
def test_distributions(fill, std: float, bound: float) -> None:
    w = Parameter(pg.zeros((100, 200)))
    assert fill(w, pg.random.Generator(0)) is w
    values = w.detach().numpy()
    assert abs(values.std() / std - 1) < 0.02
    assert np.abs(values).max() <= bound
    assert w.requires_grad
    assert w.is_leaf
    again = fill(pg.zeros((100, 200)), pg.random.Generator(0))
    np.testing.assert_array_equal(again.numpy(), values)


def test_constants_on_every_device(device: pg.Device) -> None:
    w = Parameter(pg.ones((2, 3), dtype="float32", device=device))
    assert init.zeros_(w).tolist() == [[0.0] * 3] * 2
    assert init.ones_(w).tolist() == [[1.0] * 3] * 2
    init.kaiming_uniform_(w)
    assert (w.device, w.dtype) == (device, pg.float32)


def test_fans_of_a_convolution() -> None:
    w = init.kaiming_uniform_(pg.zeros((8, 4, 5, 5)), generator=pg.random.Generator(0))
    assert float(pg.max(pg.abs(w))) <= math.sqrt(6 / 100)


def test_gains_and_refusals() -> None:
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 1.0) == 1.0
    with pytest.raises(ValueError, match="'swish'"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="'fan_mid'"):
        init.kaiming_uniform_(pg.zeros((2, 2)), mode="fan_mid")
    with pytest.raises(pg.errors.ShapeError, match=r"got shape \(3,\)"):
        init.xavier_uniform_(pg.zeros(3))
    assert init.kaiming_uniform_(pg.zeros((2, 0))).shape == (2, 0)
    assert init.xavier_uniform_(pg.zeros((0, 0))).shape == (0, 0)


def test_fixed_fillings_equal_torch() -> None:
    torch = pytest.importorskip("torch")
    for shape, groups in (((4, 2, 3), 2), ((3, 5, 3, 4), 1), ((2, 2, 1, 2, 3), 1)):
        expected = torch.nn.init.dirac_(torch.empty(shape, dtype=torch.float64), groups)
        np.testing.assert_array_equal(init.dirac_(pg.empty(shape), groups).numpy(), expected.numpy())
    assert init.eye_(pg.empty((2, 3))).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert init.constant_(Parameter([1.0]), 4.0).tolist() == [4.0]
    for name in ("selu", "conv2d", "conv_transpose1d", "leaky_relu", "sigmoid"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3), (2, 2)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    w = init.orthogonal_(pg.empty(shape), gain=3.0).numpy().reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, 9 * np.eye(len(gram)), atol=1e-12)


def test_orthogonal_matrices_are_drawn_evenly() -> None:
    g = pg.random.Generator(0)
    drawn = np.stack([init.orthogonal_(pg.empty((2, 2)), generator=g).numpy() for _ in range(2000)])
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose((drawn**2).mean(axis=0), 0.5, atol=0.04)
    assert init.orthogonal_(pg.empty((0, 2))).shape == (0, 2)


def test_sparse_columns() -> None:
    w = init.sparse_(Parameter(pg.zeros((10, 50))), 0.25, std=2.0, generator=pg.random.Generator(0)).detach().numpy()
    assert ((w == 0).sum(axis=0) == 3).all()
    assert len({tuple(column) for column in (w == 0).T}) > 20
    assert abs(w[w != 0].std() - 2) < 0.2


def test_shapes_that_cannot_be_filled_are_refused() -> None:
    for fill, shape in (
        (init.eye_, (2,)),
        (init.dirac_, (2, 2)),
        (init.orthogonal_, (2,)),
        (lambda w: init.sparse_(w, 0.5), (2,)),
        (lambda w: init.dirac_(w, 3), (4, 2, 3)),
        (init.xavier_normal_, (2,)),
    ):
        with pytest.raises(pg.errors.ShapeError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
            fill(pg.empty(shape))
    with pytest.raises(ValueError, match="kaiming_normal_: mode"):
        init.kaiming_normal_(pg.zeros((2, 2)), mode="fan_mid")
