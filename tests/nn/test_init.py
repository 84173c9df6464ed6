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
    ],
    ids=["uniform", "normal", "kaiming fan in", "kaiming fan out", "xavier"],
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
