"""Whole training steps as static graphs: after any number of them, everything is what eager code has, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from polygrad_backends.native.engine import reason as native_reason
from training import batches, train

import polygrad as pg
from polygrad import nn

OPTIMISERS = {
    "SGD": lambda p: pg.optim.SGD(p, lr=0.1),
    "momentum": lambda p: pg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": lambda p: pg.optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: pg.optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: pg.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: pg.optim.Adagrad(p),
    "Adadelta": lambda p: pg.optim.Adadelta(p),
    "Adamax": lambda p: pg.optim.Adamax(p),
    "NAdam": lambda p: pg.optim.NAdam(p),
    "RAdam": lambda p: pg.optim.RAdam(p),
    "Rprop": lambda p: pg.optim.Rprop(p),
    "Lion": lambda p: pg.optim.Lion(p),
    "Adafactor": lambda p: pg.optim.Adafactor(p),
}


def network(device: Any) -> Any:
    pg.random.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(100, 4)).to("float32").to(device)


def recurrent(device: Any) -> Any:
    pg.random.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            self.lstm = nn.LSTM(12, 5, num_layers=2, batch_first=True, dropout=0.2)
            self.norm = nn.LayerNorm(5)
            self.out = nn.Linear(5, 4)

        def forward(self, x: Any) -> Any:
            return self.out(self.norm(self.lstm(x[:, 0, :, :])[0][:, -1, :]))

    return Net().to("float32").to(device)


def attentive(device: Any) -> Any:
    pg.random.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.TransformerEncoderLayer(12, 3, 16, batch_first=True)
            self.out = nn.Linear(12, 4)

        def forward(self, x: Any) -> Any:
            return self.out(pg.mean(self.layer(x[:, 0, :, :]), axis=1))

    return Net().to("float32").to(device)


def trained(
    device: Any, make: Any, optimiser: Any, steps: int, options: dict[str, Any] | None, dtype: str = "float32"
) -> tuple[list[float], list[Any], Any]:
    """The losses, the state and the cache of a training; ``options`` of ``pg.compile``, None for eager code."""
    model = make(device).to(dtype)
    optimizer = optimiser(model.parameters())
    schedule = pg.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    given = batches(device, steps, (8, 1, 12, 12), 4, dtype)
    losses, run = train(model, optimizer, schedule, given, 1.0, options)
    state = [np.asarray(p.detach().to_device("cpu").numpy()) for p in model.state_dict().values()]
    return losses, state, run


def compare(device: Any, make: Any, optimiser: Any, steps: int) -> None:
    losses, state, _ = trained(device, make, optimiser, steps, None)
    found, reached, run = trained(device, make, optimiser, steps, {})
    info = run.cache_info()
    assert (info.misses, info.eager) == (1, 1)
    if device.backend.name == "numpy":
        assert found == losses
        for a, b in zip(reached, state, strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(found, losses, rtol=1e-4)


@pytest.mark.devices("numpy")
@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser(name: str, device: Any) -> None:
    compare(device, network, OPTIMISERS[name], 8)


@pytest.mark.devices("numpy")
@pytest.mark.parametrize("make", [network, recurrent, attentive])
def test_a_hundred_steps(make: Any, device: Any) -> None:
    compare(device, make, OPTIMISERS["Adam"], 100)


@pytest.mark.devices("numpy")
@pytest.mark.skipif(native_reason() is not None, reason=str(native_reason()))
@pytest.mark.parametrize("make", [network, recurrent, attentive])
def test_a_hundred_steps_of_machine_code(make: Any, device: Any) -> None:
    adam = OPTIMISERS["Adam"]
    losses, state, _ = trained(device, make, adam, 100, None, "float64")
    found, reached, run = trained(device, make, adam, 100, {"executor": "native"}, "float64")
    info = run.cache_info()
    assert (info.misses, info.eager) == (1, 1)
    np.testing.assert_allclose(found, losses, rtol=1e-9)
    for a, b in zip(reached, state, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.devices("strict", "torch", "jax", "cupy")
def test_other_backends(device: Any) -> None:
    compare(device, network, OPTIMISERS["Adam"], 4)


@pytest.mark.parametrize("average", [None, pg.optim.get_ema_avg_fn(0.9)])
def test_averages_of_weights_in_a_compiled_step(average: Any) -> None:
    def run(wrap: Any) -> Any:
        pg.random.manual_seed(0)
        net = pg.nn.Linear(3, 2)
        optimizer, averaged = pg.optim.SGD(net.parameters(), lr=0.1), pg.optim.AveragedModel(net, avg_fn=average)

        def step() -> None:
            optimizer.zero_grad()
            pg.mean(net(pg.ones((4, 3), dtype="float32")) ** 2).backward()
            optimizer.step()
            averaged.update_parameters(net)

        step = wrap(step)
        for _ in range(4):
            step()
        return averaged.n_averaged.item(), [p.detach().numpy() for p in averaged.module.parameters()]

    (n, eager), (m, compiled) = run(lambda f: f), run(pg.compile)
    assert n == m == 4
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_array_equal(a, b)


def test_state_that_a_module_keeps_in_an_attribute() -> None:
    class Keeper(pg.nn.Module):
        def __init__(self) -> None:
            self._h = pg.zeros(3)
            self.cell = pg.nn.Tanh()

        def forward(self, x: Any) -> Any:
            self._h = self.cell(x + self._h)
            return self._h

    eager, compiled = Keeper(), Keeper()
    f = pg.compile(compiled)
    for _ in range(4):
        np.testing.assert_array_equal(f(pg.ones(3)).numpy(), eager(pg.ones(3)).numpy())
