"""How many kernels, products, copies and waits one training step is: python examples/count_launches.py [NAME ...]

Counts do not depend on the machine, so they can be compared from change to change. What is not shown is 0.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import hostcuda
import numpy as np

import polygrad as pg

F = pg.nn.functional
DEVICE = "cuda"
SHOWN = "launches products memsets h2d d2h d2d syncs mallocs".split()
Step = Callable[[], Any]


def tensor(*shape: int, dtype: str = "float32") -> Any:
    rng = np.random.default_rng(0)
    return pg.asarray(rng.standard_normal(shape).astype(dtype), device=DEVICE)


def classes(*shape: int, below: int = 5) -> Any:
    return pg.asarray(np.random.default_rng(0).integers(0, below, shape), device=DEVICE)


def mlp() -> Any:
    nn = pg.nn
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))


def training(
    net: Any, loss: Callable[[Any], Any], rule: Any = pg.optim.Adam, between: Any = None, **options: Any
) -> Step:
    net.to(device=DEVICE, dtype="float32")
    optimizer = rule(net.parameters(), lr=1e-3, **options)

    def step() -> Any:
        optimizer.zero_grad()
        out = loss(net)
        out.backward()
        if between is not None:
            between(net)
        optimizer.step()
        return out

    return step


def clipped(net: Any) -> None:
    pg.nn.utils.clip_grad_norm_(net.parameters(), 1.0)


def scaled() -> Step:
    """float16 with a scaled loss."""
    net = mlp().to(device=DEVICE, dtype="float16")
    optimizer, scaler = pg.optim.SGD(net.parameters(), lr=0.01), pg.optim.GradScaler(init_scale=256.0)
    x, y = tensor(32, 20, dtype="float16"), classes(32)

    def step() -> None:
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(net(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def steps() -> Iterator[tuple[str, Callable[[], Step]]]:
    """What is counted: a name, and what makes the step."""
    nn = pg.nn
    x, y = tensor(32, 20), classes(32)
    images, digits = tensor(4, 1, 12, 12), classes(4)
    sequence, words = tensor(6, 4, 8), classes(4, 6, below=50)

    def entropy(net: Any) -> Any:
        return F.cross_entropy(net(x), y)

    def square(inputs: Any) -> Callable[[Any], Any]:
        return lambda net: pg.sum(net(inputs) ** 2)

    def recurrent(net: Any) -> Any:
        return pg.sum(net(sequence)[0] ** 2)

    def forward() -> Step:
        net = mlp().to(device=DEVICE, dtype="float32")
        return lambda: net(x)

    def convolution() -> Any:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(100, 5))

    def normed() -> Any:
        return nn.Sequential(nn.Linear(20, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 5), nn.Softmax(-1))

    def batch_normed() -> Any:
        return nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.Linear(32, 5))

    def dropped() -> Any:
        return nn.Sequential(nn.Linear(20, 32), nn.Dropout(0.5), nn.Linear(32, 5))

    yield "mlp-forward", forward
    yield "mlp-adam", lambda: training(mlp(), entropy)
    yield "mlp-sgd-momentum", lambda: training(mlp(), entropy, pg.optim.SGD, momentum=0.9)
    yield "mlp-adam-clipped", lambda: training(mlp(), entropy, between=clipped)
    yield "mlp-adam-compiled", lambda: pg.compile(training(mlp(), entropy))
    yield "mlp-float16-scaled", scaled
    yield "mlp-dropout", lambda: training(dropped(), entropy)
    yield "layernorm-gelu-softmax", lambda: training(normed(), square(x))
    yield "batchnorm", lambda: training(batch_normed(), entropy)
    yield "conv-pool", lambda: training(convolution(), lambda net: F.cross_entropy(net(images), digits))
    yield "lstm-6", lambda: training(nn.LSTM(8, 8), recurrent)
    yield "gru-6", lambda: training(nn.GRU(8, 8), recurrent)
    yield "encoder-layer", lambda: training(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0), square(sequence))
    yield "embedding", lambda: training(nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 5)), square(words))


def count(step: Step) -> tuple[dict[str, int], dict[str, int]]:
    """One step's counts and its kernels, after two that allocate and load."""
    step()
    step()
    hostcuda.launched()
    with hostcuda.counted() as n:
        step()
    return n, hostcuda.launched()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="which steps; all if none is named")
    parser.add_argument("--kernels", action="store_true", help="list the kernels of each step, too")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    chosen = parser.parse_args()
    if not chosen.json:
        print(f"{'one step of':24s}" + "".join(f"{name:>10s}" for name in SHOWN))
    for name, make in steps():
        if chosen.names and name not in chosen.names:
            continue
        pg.random.manual_seed(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                n, kernels = count(make())
        except Exception as error:
            print(f"{name:24s} failed: {type(error).__name__}: {str(error).strip()[:200]}", flush=True)
            continue
        if chosen.json:
            print(json.dumps({"step": name, **n}), flush=True)
        else:
            print(f"{name:24s}" + "".join(f"{n.get(key, 0) or '.':>10}" for key in SHOWN), flush=True)
        if chosen.kernels:
            for kernel, times in sorted(kernels.items(), key=lambda pair: -pair[1]):
                print(f"  {times:4d} {kernel}")


if __name__ == "__main__":
    main()
