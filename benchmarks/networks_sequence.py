"""Whole training steps of networks for sequences, against PyTorch eager: forward, backward and Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import polygrad as pg

from .harness import STATIC, CompiledRun, Run, Workload
from .workloads import PEERS


def _step(library: Any, net: Any, arrays: list[Any], static: bool = False, executor: str | None = None) -> Run:
    """A step of mean squared error and Adam, as a static graph if told; it gives the loss and the gradients."""
    optimizer = library.optim.Adam(net.parameters())
    parameters = list(net.parameters())
    to_library = pg.asarray if library is pg else library.tensor
    *inputs, target = [to_library(a) for a in arrays]
    mse = library.nn.functional.mse_loss

    def step(*given: Any) -> Any:
        *inputs, target = given
        optimizer.zero_grad()
        loss = mse(net(*inputs), target)
        loss.backward()
        optimizer.step()
        return loss

    run: Any = pg.compile(step, executor=executor) if static else step
    once: Run = lambda: (run(*inputs, target), [p.grad for p in parameters])  # noqa: E731
    return CompiledRun(run, once) if static else once


def _both(make: Callable[[Any, Any], Any], arrays: list[Any]) -> dict[str, Run]:
    """PyTorch's network and polygrad's with the same parameters: ``make(library, float32)``."""
    ours, runs = make(pg, "float32"), {}
    if "torch" in PEERS:
        import torch

        torch.manual_seed(0)
        theirs = make(torch, torch.float32)
        ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
        runs["torch"] = _step(torch, theirs, arrays)
    runs["polygrad"] = _step(pg, ours, arrays)
    for name, executor in STATIC.items():
        static = make(pg, "float32")
        static.load_state_dict(ours.state_dict())
        runs[name] = _step(pg, static, arrays, True, executor)
    return runs


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

    return Workload("LSTM step, 2 layers, B 32, T 50, H 64", _both(make, arrays), {"torch": 2.0}, 1e-3, {"torch": 1.5})


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

    return Workload(
        "transformer step, 2 layers, d 128, T 64, B 8", _both(make, arrays), {"torch": 2.0}, 1e-3, {"torch": 1.4}
    )


SEQUENCES: dict[str, Callable[[], Workload]] = {"lstm": lstm, "transformer": transformer}
