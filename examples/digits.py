"""Learn to read handwritten digits: scikit-learn's 1,797 scans of 8 x 8 pixels, one fifth held out.

    python examples/digits.py                     # NumPy: a few seconds, 97 % or more held out
    python examples/digits.py --device torch:cpu  # the same on PyTorch; or jax:cpu, cuda, strict, ...

Writes the curves of loss and accuracy (``curves.png``) and the graph of the loss (``loss.svg``; ``loss.dot``
and ``loss.txt`` where Graphviz is not installed) to ``--out``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polygrad as pg
from polygrad import data, nn, optim
from polygrad.nn import functional as F

GOAL = 97.0  # per cent of the held-out scans
EPOCHS = 60
SPLIT_SEED = 0  # the held-out scans are the same whatever --seed is


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--device", default="cpu", help="cpu, cuda, torch:cpu, jax:cpu, strict, dask, ... (default cpu)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and shifts (default 0)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"passes over the data (default {EPOCHS})")
    parser.add_argument("--out", type=Path, default=Path("out/digits"), help="where to write (default out/digits)")
    return parser.parse_args(argv)


def required(module: str) -> Any:
    """An optional library, or a clear end of the program."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0].replace("sklearn", "scikit-learn")
        sys.exit(f"this example needs {name}; install it with: pip install 'polygrad-xp[examples]'")


def load_split(device: pg.Device) -> tuple[data.TensorDataset, data.TensorDataset]:
    """Scans (n, 64) in 0 to 1 and their digits (n,): four fifths of each class to learn from, and a fifth."""
    scans, digits = required("sklearn.datasets").load_digits(return_X_y=True)
    parts = required("sklearn.model_selection").train_test_split(
        scans / 16, digits, test_size=0.2, stratify=digits, random_state=SPLIT_SEED
    )
    train_x, test_x = (pg.asarray(x, dtype="float32", device=device) for x in parts[:2])
    train_y, test_y = (pg.asarray(y, dtype="int64", device=device) for y in parts[2:])
    return data.TensorDataset(train_x, train_y), data.TensorDataset(test_x, test_y)


def shifted(scans: pg.Tensor, generator: pg.random.Generator) -> pg.Tensor:
    """The scans, each moved by up to half a pixel in any direction (a mean of itself and of itself one pixel
    away): what is learned then does not hang on the exact place."""
    n = scans.shape[0]
    zeros = pg.zeros((n, 10, 10), dtype=scans.dtype, device=scans.device)
    zeros[:, 1:9, 1:9] = pg.reshape(scans, (n, 8, 8))
    corner = pg.random.integers((2, n, 1), 0, 3, device=scans.device, generator=generator)
    places = pg.arange(8, device=scans.device)
    rows, columns = corner[0, ...] + places, corner[1, ...] + places
    pixels = pg.reshape(rows[:, :, None] * 10 + columns[:, None, :], (n, 64))
    moved = pg.take_along_axis(pg.reshape(zeros, (n, 100)), pixels, axis=1)
    share = pg.random.uniform((n, 1), 0.0, 0.5, dtype=scans.dtype, device=scans.device, generator=generator)
    return scans + share * (moved - scans)


def network(device: pg.Device) -> nn.Sequential:
    """64 pixels, two hidden layers with dropout, 10 digits."""
    place: dict[str, Any] = {"dtype": "float32", "device": device}
    return nn.Sequential(
        nn.Linear(64, 256, **place),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 128, **place),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, 10, **place),
    )


def accuracy(model: nn.Module, samples: data.TensorDataset) -> float:
    """Per cent of the digits read right."""
    scans, digits = samples.tensors
    model.eval()
    with pg.no_grad():
        right = pg.argmax(model(scans), axis=1) == digits
        found = float(pg.mean(right.astype("float32")))
    model.train()
    return 100 * found


def train(
    model: nn.Module, learn: data.TensorDataset, held_out: data.TensorDataset, epochs: int, seed: int
) -> list[tuple[float, float]]:
    """Adam with a falling step size; gives each epoch's mean loss and held-out accuracy."""
    order, moves = pg.random.Generator(seed).split(2)
    loader = data.DataLoader(learn, batch_size=64, shuffle=True, generator=order)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    history = []
    with required("tqdm").tqdm(range(epochs), desc="learning", unit="epoch") as progress:
        for epoch in progress:
            optimizer.param_groups[0]["lr"] = 3e-3 * (1 - epoch / epochs)
            losses = []
            for scans, digits in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(shifted(scans, moves)), digits)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            history.append((sum(losses) / len(losses), accuracy(model, held_out)))
            progress.set_postfix(loss=f"{history[-1][0]:.3f}", held_out=f"{history[-1][1]:.1f} %")
    return history


def save_curves(history: list[tuple[float, float]], path: Path) -> None:
    """The loss and the held-out accuracy by epoch, as a PNG."""
    required("matplotlib").use("Agg")
    pyplot = required("matplotlib.pyplot")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    epochs = range(1, len(history) + 1)
    left.semilogy(epochs, [loss for loss, _ in history])
    left.set(title="training loss", xlabel="epoch", ylabel="cross-entropy")
    right.plot(epochs, [rate for _, rate in history])
    right.axhline(GOAL, color="grey", linestyle=":")
    right.set(title="held-out accuracy", xlabel="epoch", ylabel="%")
    figure.savefig(path)
    pyplot.close(figure)


def save_graph(model: nn.Module, samples: data.TensorDataset, out: Path) -> None:
    """The graph of the loss of one batch: a picture where Graphviz is installed, else DOT and text."""
    scans, digits = samples.batch(range(64))
    model.eval()
    loss = F.cross_entropy(model(scans), digits)
    try:
        pg.draw(loss, out / "loss.svg", names=model)
    except pg.errors.DependencyError:
        pg.draw(loss, out / "loss.dot", names=model)
        pg.draw(loss, out / "loss.txt", names=model)


def main(argv: Sequence[str] | None = None) -> int:
    """Learn, draw and report; 0 where the goal was reached (or fewer epochs were asked for), else 1."""
    options = arguments(argv)
    device = pg.Device(options.device)
    pg.random.manual_seed(options.seed)
    learn, held_out = load_split(device)
    model = network(device)
    history = train(model, learn, held_out, options.epochs, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    save_curves(history, options.out / "curves.png")
    save_graph(model, learn, options.out)
    rate = accuracy(model, held_out)
    print(f"held-out accuracy: {rate:.2f} % of {len(held_out)} digits")
    return 0 if rate >= GOAL or options.epochs < EPOCHS else 1


if __name__ == "__main__":
    sys.exit(main())
