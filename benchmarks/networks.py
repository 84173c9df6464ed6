"""Whole training steps of networks, against PyTorch eager: forward, backward and Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import polygrad as pg

from .harness import STATIC, CompiledRun, Run, Workload
from .workloads import PEERS

__all__ = ["NETWORKS"]


def _step(library: Any, net: Any, arrays: list[Any], loss_of: str, executor: str | None = "eager") -> Run:
    """A step: the loss between what the network makes of the first arrays and the last one, and Adam; it gives the loss and
    the gradients. ``executor`` says how a static graph is run, if not eagerly."""
    optimizer = library.optim.Adam(net.parameters())
    parameters = list(net.parameters())
    to_library = pg.asarray if library is pg else library.tensor
    given = [to_library(a) for a in arrays]
    compare = getattr(library.nn.functional, loss_of)

    def step(*given: Any) -> Any:
        *inputs, target = given
        optimizer.zero_grad()
        loss = compare(net(*inputs), target)
        loss.backward()
        optimizer.step()
        return loss

    run: Any = step if executor == "eager" else pg.compile(step, executor=executor)
    once: Run = lambda: (run(*given), [p.grad for p in parameters])  # noqa: E731
    return once if executor == "eager" else CompiledRun(run, once)


def _workload(
    name: str, make: Callable[[Any, Any], Any], arrays: list[Any], loss: str, eager: float, static: float
) -> Workload:
    """The step of the network ``make(library, float32)``, the same parameters everywhere, with the bars over PyTorch's."""
    ours, runs = make(pg, "float32"), {}
    if "torch" in PEERS:
        import torch

        torch.manual_seed(0)
        theirs = make(torch, torch.float32)
        ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
        runs["torch"] = _step(torch, theirs, arrays, loss)
    runs["polygrad"] = _step(pg, ours, arrays, loss)
    for contestant, executor in STATIC.items():
        own = make(pg, "float32")
        own.load_state_dict(ours.state_dict())
        runs[contestant] = _step(pg, own, arrays, loss, executor)
    return Workload(name, runs, {"torch": eager}, 1e-3, {"torch": static})


def lenet() -> Workload:
    """LeNet-5 with rectifiers and maximal pooling, on 64 images of 28 x 28."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((64, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 64)]

    def make(library: Any, dtype: Any) -> Any:
        nn = library.nn
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120, dtype=dtype), nn.ReLU(), nn.Linear(120, 84, dtype=dtype), nn.ReLU(),
            nn.Linear(84, 10, dtype=dtype),
        )  # fmt: skip

    return _workload("LeNet step, 64 images of 28 x 28", make, arrays, "cross_entropy", 3.0, 1.8)


def lstm() -> Workload:
    """Two LSTM layers: 32 sequences of 50 steps of 64 numbers, one number predicted from the last state."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((32, 50, 64), (32, 1))]

    def make(library: Any, dtype: Any) -> Any:
        class Net(library.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.layers = library.nn.LSTM(64, 64, 2, batch_first=True, dtype=dtype)
                self.out = library.nn.Linear(64, 1, dtype=dtype)

            def forward(self, x: Any) -> Any:
                return self.out(self.layers(x)[0][:, -1, :])

        return Net()

    return _workload("LSTM step, 2 layers, B 32, T 50, H 64", make, arrays, "mse_loss", 2.0, 1.5)


def transformer() -> Workload:
    """Two encoder layers with a causal mask: 8 sequences of 64 steps, width 128, 4 heads, network of 512, gelu."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((8, 64, 128), (8, 64, 128))]

    def make(library: Any, dtype: Any) -> Any:
        nn = library.nn
        mask = nn.Transformer.generate_square_subsequent_mask(64, dtype=dtype)

        class Net(nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                layer = nn.TransformerEncoderLayer(
                    128, 4, 512, 0.0, activation="gelu", batch_first=True, norm_first=True, dtype=dtype
                )
                options = {} if library is pg else {"enable_nested_tensor": False}
                self.layers = nn.TransformerEncoder(layer, 2, **options)
                self.out = nn.Linear(128, 128, dtype=dtype)

            def forward(self, x: Any) -> Any:
                return self.out(self.layers(x, mask=mask))

        return Net()

    return _workload("transformer step, 2 layers, d 128, T 64, B 8", make, arrays, "mse_loss", 2.0, 1.4)


NETWORKS: dict[str, Callable[[], Workload]] = {"lenet": lenet, "lstm": lstm, "transformer": transformer}
