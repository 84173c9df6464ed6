"""Squeeze handwritten digits through eight numbers: an autoencoder on scikit-learn's 1,797 scans, one fifth held out.

    python examples/autoencoder.py                     # NumPy: some ten seconds
    python examples/autoencoder.py --device torch:cpu  # the same on PyTorch; or jax:cpu, cuda, ...

Eight principal components leave 0.33 of the held-out scans' variance unexplained; the autoencoder, which has eight numbers
as well, is to leave at most 0.6 times as much. Writes held-out digits with their reconstructions (``digits.png``), the losses
(``losses.png``) and the graph of the loss (``loss.svg``) to ``--out``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import parsed, parser, progress, pyplot, required, save_figure, save_graph

import polygrad as pg
from polygrad import data, nn, optim
from polygrad.nn import functional as F

GOAL = 0.6  # of what as many principal components leave
EPOCHS = 150
CODE = 8  # numbers a scan is squeezed into


def load_split(device: pg.Device) -> tuple[pg.Tensor, pg.Tensor]:
    """Scans (n, 64) in 0 to 1: four fifths of each class to learn from, and a fifth."""
    scans, digits = required("sklearn.datasets").load_digits(return_X_y=True)
    parts = required("sklearn.model_selection").train_test_split(
        scans / 16, test_size=0.2, stratify=digits, random_state=0
    )
    learn, held_out = (pg.asarray(x, dtype="float32", device=device) for x in parts)
    return learn, held_out


def network(device: pg.Device) -> nn.Sequential:
    """64 pixels to a code and back."""
    place: dict[str, Any] = {"dtype": "float32", "device": device}
    encoder = nn.Sequential(nn.Linear(64, 128, **place), nn.ReLU(), nn.Linear(128, CODE, **place))
    decoder = nn.Sequential(nn.Linear(CODE, 128, **place), nn.ReLU(), nn.Linear(128, 64, **place), nn.Sigmoid())
    return nn.Sequential({"encoder": encoder, "decoder": decoder})


def unexplained(made: pg.Tensor, scans: pg.Tensor) -> float:
    """The share of the scans' variance that the reconstructions miss."""
    return float(pg.sum((made - scans) ** 2) / pg.sum((scans - pg.mean(scans, axis=0)) ** 2))


def principal_components(learn: pg.Tensor, scans: pg.Tensor, n: int) -> pg.Tensor:
    """The scans as ``n`` principal components of those to learn from give them."""
    mean = pg.mean(learn, axis=0)
    axes = pg.linalg.svd(learn - mean, full_matrices=False)[2][:n]
    return mean + (scans - mean) @ axes.T @ axes


def reconstructed(model: nn.Module, scans: pg.Tensor) -> pg.Tensor:
    """What the model makes of some scans."""
    with pg.no_grad():
        made: pg.Tensor = model(scans)
    return made


def train(model: nn.Module, learn: pg.Tensor, held_out: pg.Tensor, epochs: int) -> list[tuple[float, float]]:
    """AdamW in one cycle of rates; gives each epoch's mean loss and unexplained share of the held-out scans."""
    loader = data.DataLoader(data.TensorDataset(learn), batch_size=64, shuffle=True, drop_last=True)
    optimizer = optim.AdamW(model.parameters(), lr=5e-3)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, epochs=epochs, steps_per_epoch=len(loader))
    history = []
    with progress(range(epochs)) as bar:
        for _ in bar:
            losses = []
            for (scans,) in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(model(scans), scans)
                loss.backward()
                optimizer.step()
                scheduler.step()
                losses.append(loss.item())
            history.append((sum(losses) / len(losses), unexplained(reconstructed(model, held_out), held_out)))
            bar.set_postfix(loss=f"{history[-1][0]:.4f}", unexplained=f"{history[-1][1]:.3f}")
    return history


def save_digits(rows: list[tuple[str, pg.Tensor]], path: Path) -> None:
    """Scans in rows, one below the other."""
    figure, axes = pyplot().subplots(len(rows), 12, figsize=(9, 2.6), layout="constrained")
    for line, (title, scans) in zip(axes, rows, strict=True):
        for i, axis in enumerate(line):
            axis.imshow(pg.reshape(scans[i], (8, 8)).tolist(), cmap="gray_r", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(title, fontsize=8)
    save_figure(figure, path)


def save_losses(history: list[tuple[float, float]], goal: float, path: Path) -> None:
    """The unexplained share by epoch."""
    figure, axes = pyplot().subplots(figsize=(6, 3.5), layout="constrained")
    axes.semilogy(range(1, len(history) + 1), [share for _, share in history])
    axes.axhline(goal, color="grey", linestyle=":")
    axes.set(title="held-out variance that is missed", xlabel="epoch", ylabel="share")
    save_figure(figure, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Learn, draw and report; 0 where the goal was reached (or fewer epochs were asked for), else 1."""
    options = parsed(parser(__doc__, "autoencoder", EPOCHS), argv)
    learn, held_out = load_split(options.device)
    model = network(options.device)
    history = train(model, learn, held_out, options.epochs)
    components = principal_components(learn, held_out, CODE)
    rival = unexplained(components, held_out)
    made = reconstructed(model, held_out)
    save_digits([("scan", held_out), ("network", made), ("8 components", components)], options.out / "digits.png")
    save_losses(history, GOAL * rival, options.out / "losses.png")
    save_graph(F.mse_loss(model(learn[:8]), learn[:8]), model, options.out)
    share = history[-1][1]
    print(
        f"held-out variance missed: {share:.3f}, {share / rival:.2f} times the {rival:.3f} of {CODE} principal components"
    )
    return 0 if share <= GOAL * rival or options.epochs < EPOCHS else 1


if __name__ == "__main__":
    sys.exit(main())
