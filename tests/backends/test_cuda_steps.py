"""Training steps on CuPy: NumPy's losses, and no copy to or from the host and no wait but those that are named."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from gpu_checks.networks import EXTRAS, NETWORKS, Training

import polygrad as pg

pytestmark = pytest.mark.devices("cupy")

NAMED = {
    ("dropout", "h2d"): 1,  # the mask is drawn on the host
    ("scaler", "d2h"): 1,  # whether gradients overflowed decides about the step
    ("scaler", "syncs"): 1,
}
"""What a step may do besides kernels, by its extra."""


@pytest.mark.parametrize(("dtype", "bar"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("name", NETWORKS)
def test_losses_are_those_of_numpy(name: str, dtype: str, bar: float, device: pg.Device) -> None:
    ours, numpy = (Training(name, place, dtype).losses(100) for place in (device.name, "cpu"))
    assert numpy[-1] < numpy[0]
    np.testing.assert_allclose(ours, numpy, rtol=bar)


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("name", NETWORKS)
def test_steps_wait_for_nothing(name: str, extra: str, device: pg.Device) -> None:
    if "hostcuda" not in sys.modules:
        pytest.skip("tools/hostcuda counts; a GPU does not")
    hostcuda = sys.modules["hostcuda"]
    training = Training(name, device.name, extra=extra)
    for _ in range(2):
        training.step()
    with hostcuda.counted() as counts:
        training.step()
    allowed = Counter({what: n for (which, what), n in NAMED.items() if which == extra})
    found = {what: n for what in ("h2d", "d2h", "syncs") if (n := counts.get(what, 0))}
    assert found == dict(allowed), found
    assert counts["launches"] > 0
