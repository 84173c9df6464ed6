"""What the examples share: the command line, optional libraries, progress bars, plots, and pictures of graphs."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polygrad as pg
from polygrad import data, nn

PACKAGES = {"sklearn": "scikit-learn", "PIL": "pillow"}


def parser(doc: str | None, name: str, count: int, unit: str = "epochs") -> argparse.ArgumentParser:
    """The options that every example has; ``count`` is how many epochs (or steps) it takes by default."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", default="cpu", help="cpu, cuda, torch:cpu, jax:cpu, strict, dask, ... (default cpu)")
    made.add_argument("--seed", type=int, default=0, help="of weights and batches (default 0)")
    made.add_argument(f"--{unit}", type=int, default=count, help=f"how long to learn (default {count})")
    made.add_argument("--out", type=Path, default=Path("out") / name, help=f"where to write (default out/{name})")
    return made


def parsed(made: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options, with the device found, the generator seeded and the folder made."""
    options = made.parse_args(argv)
    options.device = pg.Device(options.device)
    pg.random.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def required(module: str) -> Any:
    """An optional library, or a clear end of the program."""
    try:
        return importlib.import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        sys.exit(f"this example needs {PACKAGES.get(name, name)}; install it with: pip install 'polygrad-xp[examples]'")


def progress(steps: Iterable[int], unit: str = "epoch") -> Any:
    """The steps, with a bar."""
    return required("tqdm").tqdm(steps, desc="learning", unit=unit)


def pyplot() -> Any:
    """matplotlib, which draws to files only."""
    required("matplotlib").use("Agg")
    return required("matplotlib.pyplot")


def save_figure(figure: Any, path: Path) -> None:
    """A figure as a PNG."""
    figure.savefig(path)
    pyplot().close(figure)


def save_graph(loss: pg.Tensor, model: nn.Module, out: Path) -> None:
    """The loss's graph: a picture where Graphviz is installed, else DOT and text."""
    try:
        pg.draw(loss, out / "loss.svg", names=model)
    except pg.errors.DependencyError:
        pg.draw(loss, out / "loss.dot", names=model)
        pg.draw(loss, out / "loss.txt", names=model)


def chunks(n: int, size: int) -> Iterator[slice]:
    """0 to n in slices of a size."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def digit_images(held_out: float, device: pg.Device) -> tuple[data.TensorDataset, data.TensorDataset]:
    """scikit-learn's 1,797 scans as images (n, 1, 8, 8) in 0 to 1, with their digits (n,): those to learn from, and a share
    of each class, the same whatever the seed."""
    scans, digits = required("sklearn.datasets").load_digits(return_X_y=True)
    images = scans.reshape(-1, 1, 8, 8) / 16
    parts = required("sklearn.model_selection").train_test_split(
        images, digits, test_size=held_out, stratify=digits, random_state=0
    )
    learn_x, held_x = (pg.asarray(x, dtype="float32", device=device) for x in parts[:2])
    learn_y, held_y = (pg.asarray(y, dtype="int64", device=device) for y in parts[2:])
    return data.TensorDataset(learn_x, learn_y), data.TensorDataset(held_x, held_y)


def logits_of(model: nn.Module, images: pg.Tensor) -> pg.Tensor:
    """What a model says in evaluation mode, without a graph; it is left in training mode."""
    model.eval()
    with pg.no_grad():
        parts = [model(images[part]) for part in chunks(images.shape[0], 256)]
    model.train()
    return pg.concat(parts)


def accuracy(model: nn.Module, samples: data.TensorDataset) -> float:
    """Per cent of the samples' classes that are the likeliest to the model."""
    images, classes = samples.tensors
    right = pg.argmax(logits_of(model, images), axis=1) == classes
    return 100 * float(pg.mean(pg.astype(right, "float32")))


def save_curves(history: list[tuple[float, float]], goal: float, path: Path, title: str = "held-out accuracy") -> None:
    """The loss and a rate in per cent by epoch."""
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    epochs = range(1, len(history) + 1)
    left.semilogy(epochs, [loss for loss, _ in history])
    left.set(title="training loss", xlabel="epoch", ylabel="loss")
    right.plot(epochs, [rate for _, rate in history])
    right.axhline(goal, color="grey", linestyle=":")
    right.set(title=title, xlabel="epoch", ylabel="%")
    save_figure(figure, path)
