"""What the examples share: the command line, optional libraries, progress bars, plots, and pictures of graphs."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polygrad as pg
from polygrad import nn

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
