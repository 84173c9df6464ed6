"""Training resumed from a checkpoint in the middle of an epoch is the uninterrupted one, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import data, nn, optim

pytest.importorskip("safetensors")

OPTIMISERS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "Adam": {"amsgrad": True},
    "LBFGS": {"max_iter": 2, "history_size": 3},
    **{
        name: {}
        for name in (
            "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "Rprop", "Lion", "Muon", "Adafactor"
        )
    },
}  # fmt: skip


class Noisy(data.Dataset):
    """Samples with a draw of their own each time."""

    def __init__(self, dtype: str) -> None:
        rng = np.random.default_rng(0)
        self.x, self.y = rng.normal(size=(23, 4)).astype(dtype), rng.integers(0, 3, 23)

    def __len__(self) -> int:
        return 23

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return pg.asarray(self.x[i]) + pg.random.normal(4, dtype=str(self.x.dtype)) * 0.1, int(self.y[i])


class Training:
    """All that a training has: model, optimiser, schedule, average of weights, loss scale, loader, generator."""

    def __init__(self, name: str, dtype: str, **loading: Any) -> None:
        bias = {"bias": False} if name == "Muon" else {}  # which takes matrices only
        norm = nn.BatchNorm1d(8, affine=name != "Muon")
        self.net = nn.Sequential(nn.Linear(4, 8, **bias), norm, nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3, **bias))
        self.net.to(dtype=dtype)
        self.average = optim.AveragedModel(self.net, avg_fn=optim.get_ema_avg_fn(0.9))
        self.optimizer = getattr(optim, name)(self.net.parameters(), lr=0.02, **OPTIMISERS[name])
        rates = optim.lr_scheduler
        warmup = rates.LinearLR(self.optimizer, 0.1, total_iters=3)
        self.schedule = rates.SequentialLR(self.optimizer, [warmup, rates.CosineAnnealingLR(self.optimizer, 9)], [3])
        self.scaler = optim.GradScaler(init_scale=64.0, growth_interval=3, enabled=name != "LBFGS")
        self.loader = data.DataLoader(Noisy(dtype), batch_size=4, shuffle=True, **loading)

    PARTS = ("net", "average", "optimizer", "schedule", "scaler", "loader")

    def save(self, path: Path) -> None:
        state = {part: getattr(self, part).state_dict() for part in self.PARTS}
        pg.save({**state, "random": pg.random.get_state()}, path)

    def load(self, path: Path) -> None:
        state = pg.load(path)
        for part in self.PARTS:
            getattr(self, part).load_state_dict(state[part])
        pg.random.set_state(state["random"])

    def step(self, x: Any, y: Any) -> float:
        def closure() -> Any:
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.net(x), y)
            self.scaler.scale(loss).backward()
            return loss

        if isinstance(self.optimizer, optim.LBFGS):
            loss = self.optimizer.step(closure)
        else:
            loss = closure()
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.schedule.step()
        self.average.update_parameters(self.net)
        return float(loss.item())

    def run(self, epochs: int, save_at: int = -1, path: Path | None = None) -> list[float]:
        losses: list[float] = []
        for _ in range(epochs):
            for x, y in self.loader:
                losses.append(self.step(x, y))
                if len(losses) == save_at and path is not None:
                    self.save(path)
        return losses

    def bits(self) -> list[bytes]:
        states = [self.net.state_dict(), self.average.state_dict()]
        return [x.numpy().tobytes() for state in states for x in state.values()]


def check(path: Path, name: str, dtype: str, **loading: Any) -> None:
    pg.random.manual_seed(5)
    whole = Training(name, dtype, **loading)
    losses = whole.run(3, save_at=8, path=path)  # the second of six batches of the second epoch
    assert len(losses) == 18
    pg.random.manual_seed(99)
    again = Training(name, dtype, **loading)
    again.load(path)
    assert again.run(2) == losses[8:]
    assert again.bits() == whole.bits()
    assert again.scaler.state_dict() == whole.scaler.state_dict()
    assert again.schedule.state_dict() == whole.schedule.state_dict()


def test_no_optimiser_is_left_out() -> None:
    kinds = {name for name in optim.__all__ if isinstance(getattr(optim, name), type)}
    assert set(OPTIMISERS) == {k for k in kinds if issubclass(getattr(optim, k), optim.Optimizer)} - {"Optimizer"}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_goes_on_bit_for_bit(tmp_path: Path, name: str, dtype: str) -> None:
    check(tmp_path / "x", name, dtype)


@pytest.mark.parametrize("loading", [{"worker_type": "thread", "persistent_workers": True}, {"worker_type": "process"}])
def test_with_workers_too(tmp_path: Path, loading: dict[str, Any]) -> None:
    check(tmp_path / "x", "AdamW", "float32", num_workers=2, **loading)


def test_a_loaded_checkpoint_may_be_on_another_device(tmp_path: Path, device: pg.Device) -> None:
    pg.random.manual_seed(5)
    Training("Adam", "float64").run(1, save_at=3, path=tmp_path / "x")
    again = Training("Adam", "float64")
    again.net.to(device)
    state = pg.load(tmp_path / "x")
    again.net.load_state_dict(state["net"])
    again.optimizer.load_state_dict(state["optimizer"])
    first = next(iter(again.optimizer.state.values()))
    assert first["exp_avg"].device == device
    np.testing.assert_array_equal(
        again.net[0].weight.detach().to_device("cpu").numpy(), state["net"]["0.weight"].numpy()
    )
