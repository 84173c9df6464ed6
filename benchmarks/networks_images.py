"""Whole training steps of a network for images, against PyTorch eager: forward, backward and Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import polygrad as pg

from .harness import STATIC, CompiledRun, Run, Workload
from .workloads import PEERS


def _step(library: Any, net: Any, arrays: list[Any], static: bool = False, executor: str | None = None) -> Run:
    """A step of cross-entropy and Adam, as a static graph if told; it gives the loss and the gradients."""
    optimizer = library.optim.Adam(net.parameters())
    parameters = list(net.parameters())
    to_library = pg.asarray if library is pg else library.tensor
    scans, digits = [to_library(a) for a in arrays]
    cross_entropy = library.nn.functional.cross_entropy

    def step(scans: Any, digits: Any) -> Any:
        optimizer.zero_grad()
        loss = cross_entropy(net(scans), digits)
        loss.backward()
        optimizer.step()
        return loss

    run: Any = pg.compile(step, executor=executor) if static else step
    once: Run = lambda: (run(scans, digits), [p.grad for p in parameters])  # noqa: E731
    return CompiledRun(run, once) if static else once


def _net(library: Any, dtype: Any) -> Any:
    """LeNet-5 with rectifiers and maximal pooling."""
    nn = library.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, dtype=dtype), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120, dtype=dtype), nn.ReLU(), nn.Linear(120, 84, dtype=dtype), nn.ReLU(),
        nn.Linear(84, 10, dtype=dtype),
    )  # fmt: skip


def lenet() -> Workload:
    """LeNet-5 on 64 images of 28 x 28."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((64, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 64)]
    ours = _net(pg, "float32")
    runs = {}
    if "torch" in PEERS:
        import torch

        torch.manual_seed(0)
        theirs = _net(torch, torch.float32)
        ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
        runs["torch"] = _step(torch, theirs, arrays)
    runs["polygrad"] = _step(pg, ours, arrays)
    for name, executor in STATIC.items():
        static = _net(pg, "float32")
        static.load_state_dict(ours.state_dict())
        runs[name] = _step(pg, static, arrays, True, executor)
    return Workload("LeNet step, 64 images of 28 x 28", runs, {"torch": 3.0}, 1e-3, {"torch": 1.8})


IMAGES: dict[str, Callable[[], Workload]] = {"lenet": lenet}
