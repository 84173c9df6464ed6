"""The same seeded training gives the same losses on every backend."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import polygrad as pg
from polygrad import data, nn, optim
from polygrad.nn import functional as F


def losses(device: pg.Device | str, dtype: str, steps: int = 20) -> list[float]:
    """A small network with dropout, learning random labels with Adam."""
    pg.random.manual_seed(3)
    place = {"dtype": dtype, "device": device}
    x = pg.random.normal((60, 6), dtype=dtype)
    y = pg.random.integers((60,), 0, 4)
    net = nn.Sequential(nn.Linear(6, 16, **place), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4, **place))
    optimizer = optim.AdamW(net.parameters(), lr=0.02)
    loader = data.DataLoader(data.TensorDataset(x, y), batch_size=16, shuffle=True, device=device)
    found: list[float] = []
    while len(found) < steps:
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    return found[:steps]


@cache
def reference(dtype: str) -> list[float]:
    with pg.device("cpu"):
        return losses("cpu", dtype)


@pytest.mark.part(2, "jax:cpu", "dask")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_losses_are_those_of_numpy(device: pg.Device, dtype: str, tolerance: float) -> None:
    expected = reference(dtype)
    np.testing.assert_allclose(losses(device, dtype), expected, rtol=tolerance)
    assert expected[-1] < expected[0]


def test_training_against_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 5)), rng.integers(0, 3, size=32)
    theirs = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    ours = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    their_steps = torch.optim.Adam(theirs.parameters(), lr=0.05)
    our_steps = optim.Adam(ours.parameters(), lr=0.05)
    for _ in range(30):
        their_steps.zero_grad()
        expected = torch.nn.functional.cross_entropy(theirs(torch.asarray(x)), torch.asarray(y))
        expected.backward()
        their_steps.step()
        our_steps.zero_grad()
        got = F.cross_entropy(ours(x), y)
        got.backward()
        our_steps.step()
        np.testing.assert_allclose(got.item(), expected.item(), rtol=1e-10)


def test_gradients_added_up_over_parts_are_those_of_the_whole_batch(device: pg.Device) -> None:
    rng = np.random.default_rng(0)
    x, y = (pg.asarray(pg.asarray(v), device=device) for v in (rng.normal(size=(12, 5)), rng.integers(0, 3, 12)))
    found = []
    for parts in (1, 4):
        pg.random.manual_seed(2)
        net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).to(device)
        optimizer = optim.AdamW(net.parameters(), lr=0.05)
        for _ in range(3):
            optimizer.zero_grad()
            for k in range(parts):
                n = 12 // parts
                loss = F.cross_entropy(net(x[k * n : (k + 1) * n, :]), y[k * n : (k + 1) * n]) / parts
                loss.backward()
            optimizer.step()
        found.append([p.detach().to_device("cpu").numpy() for p in net.parameters()])
    for whole, added in zip(*found, strict=True):
        np.testing.assert_allclose(added, whole, rtol=1e-10, atol=1e-12)
