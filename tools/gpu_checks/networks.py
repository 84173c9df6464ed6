"""Training steps that the GPU check and the tests share: the same weights and batches on every device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

import polygrad as pg
from polygrad import nn

__all__ = ["EXTRAS", "NETWORKS", "Network", "Training"]

F = nn.functional


class Network(NamedTuple):
    """A network, what it is fed and its loss.

    Attributes:
        model: returns the layers for a dtype.
        batch: returns inputs and targets for a generator and a dtype.
        loss: of the output and the targets.
    """

    model: Callable[[str], nn.Module]
    batch: Callable[[np.random.Generator, str], tuple[np.ndarray, np.ndarray]]
    loss: Callable[[Any, Any], Any]


class LastState(nn.Module):
    """A recurrent layer, and a linear one of its last output."""

    def __init__(self, layer: nn.Module, size: int, classes: int, dtype: str) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(size, classes, dtype=dtype)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(x)[0][-1])


class Mean(nn.Module):
    """The mean over the axis of time."""

    def forward(self, x: Any) -> Any:
        return pg.mean(x, axis=1)


def _floats(*shape: int, classes: int = 4) -> Callable[[np.random.Generator, str], tuple[np.ndarray, np.ndarray]]:
    def batch(rng: np.random.Generator, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        rows = shape[1] if classes < 0 else shape[0]
        return rng.normal(size=shape).astype(dtype), rng.integers(0, abs(classes), rows)

    return batch


def _tokens(rng: np.random.Generator, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 20, (8, 6)), rng.integers(0, 4, 8)


def _lenet(dtype: str) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, dtype=dtype), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(8 * 3 * 3, 4, dtype=dtype),
    )  # fmt: skip


NETWORKS: Final[dict[str, Network]] = {
    "mlp": Network(
        lambda dtype: nn.Sequential(nn.Linear(12, 32, dtype=dtype), nn.Tanh(), nn.Linear(32, 4, dtype=dtype)),
        _floats(16, 12), F.cross_entropy,
    ),
    "lenet": Network(_lenet, _floats(8, 1, 16, 16), F.cross_entropy),
    "lstm": Network(
        lambda dtype: LastState(nn.LSTM(5, 16, dtype=dtype), 16, 4, dtype), _floats(7, 8, 5, classes=-4), F.cross_entropy
    ),
    "gru": Network(
        lambda dtype: LastState(nn.GRU(5, 16, dtype=dtype), 16, 4, dtype), _floats(7, 8, 5, classes=-4), F.cross_entropy
    ),
    "transformer": Network(
        lambda dtype: nn.Sequential(
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, dtype=dtype), Mean(),
            nn.Linear(16, 4, dtype=dtype),
        ),
        _floats(8, 6, 16), F.cross_entropy,
    ),
    "embedding": Network(
        lambda dtype: nn.Sequential(nn.Embedding(20, 8, dtype=dtype), nn.Flatten(), nn.Linear(48, 4, dtype=dtype)),
        _tokens, F.cross_entropy,
    ),
    "batch norm": Network(
        lambda dtype: nn.Sequential(
            nn.Linear(12, 16, dtype=dtype), nn.BatchNorm1d(16, dtype=dtype), nn.ReLU(), nn.Linear(16, 4, dtype=dtype)
        ),
        _floats(16, 12), F.cross_entropy,
    ),
}  # fmt: skip

EXTRAS: Final = ("", "clipping", "dropout", "scaler")
"""What a step may do besides."""


class Training:
    """A network on a device, and its steps.

    Args:
        name: one of ``NETWORKS``.
        device: where.
        dtype: of the parameters and inputs.
        extra: one of ``EXTRAS``.
    """

    def __init__(self, name: str, device: str, dtype: str = "float32", extra: str = "") -> None:
        network = NETWORKS[name]
        pg.random.manual_seed(0)
        model = network.model(dtype)
        if extra == "dropout":
            model = nn.Sequential(model, nn.Dropout(0.5))
        self.model = model.to(device)
        self.parameters = list(self.model.parameters())
        self.optimizer = pg.optim.Adam(self.parameters, lr=0.01)
        self.scaler = pg.optim.GradScaler() if extra == "scaler" else None
        self.clips = extra == "clipping"
        arrays = network.batch(np.random.default_rng(1), dtype)
        self.x, self.target = (pg.asarray(a, device=device) for a in arrays)
        self.loss = network.loss

    def step(self) -> Any:
        """One step; returns its loss, on the device."""
        self.optimizer.zero_grad()
        loss = self.loss(self.model(self.x), self.target)
        if self.scaler is not None:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            return loss
        loss.backward()
        if self.clips:
            nn.utils.clip_grad_norm_(self.parameters, 0.1)
        self.optimizer.step()
        return loss

    def losses(self, steps: int) -> np.ndarray:
        """The losses of some steps, read at the end."""
        return np.asarray([float(loss.to_device("cpu").item()) for loss in [self.step() for _ in range(steps)]])
