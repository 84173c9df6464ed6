"""Fine-tune a network that PyTorch trained: it knows the digits 0 to 4, and learns 5 to 9 from ten scans each.

    python examples/finetune.py                     # NumPy: some seconds
    python examples/finetune.py --device torch:cpu  # the same on PyTorch; or jax:cpu, cuda, ...

``weights/digits_0_4.safetensors`` was written by PyTorch (``finetune_weights.py``). Its names are those of polygrad's layers,
so it loads as it is, and the outputs are checked against those that PyTorch computed. The convolutions stay, the linear layers
are made anew, and all is trained on 50 scans; a network of the same kind that knows nothing is trained likewise. On the other
846 scans the one that was taught before is to make at most 0.8 times the other's mistakes: 0.65 times with the
seeds 0 to 2. Writes the curves
(``curves.png``) and the graph of the loss (``loss.svg``) to ``--out``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import accuracy, parsed, parser, progress, pyplot, required, save_figure, save_graph

import polygrad as pg
from polygrad import data, nn, optim
from polygrad.nn import functional as F

WEIGHTS = Path(__file__).parent / "weights" / "digits_0_4.safetensors"
GOAL = 0.8  # of the mistakes of a network that was taught nothing before
EPOCHS = 60
EACH = 10  # scans of each digit to learn from


def network(device: pg.Device) -> nn.Sequential:
    """8 x 8 pixels to five digits, as finetune_weights.py builds it with PyTorch."""
    place: dict[str, Any] = {"dtype": "float32", "device": device}
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, **place),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, **place),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64, **place),
        nn.ReLU(),
        nn.Linear(64, 5, **place),
    )


def pretrained(device: pg.Device) -> nn.Sequential:
    """The network with PyTorch's weights; it gives what PyTorch computed with them."""
    state = pg.load(WEIGHTS, device=device)
    images, expected = state.pop("check.images"), state.pop("check.logits")
    model = network(device)
    model.load_state_dict(state)
    with pg.no_grad():
        off = float(pg.max(pg.abs(model(images) - expected)))
    if off > 1e-4:
        raise RuntimeError(f"the weights give other outputs than in PyTorch, by {off}")
    return model


def load_split(device: pg.Device) -> tuple[data.TensorDataset, data.TensorDataset]:
    """The scans of 5 to 9 (n, 1, 8, 8) with their classes 0 to 4: ten of each, and the others."""
    scans, digits = required("sklearn.datasets").load_digits(return_X_y=True)
    late = digits >= 5
    scans, classes = scans[late].reshape(-1, 1, 8, 8) / 16, digits[late] - 5
    parts = required("sklearn.model_selection").train_test_split(
        scans, classes, train_size=5 * EACH, stratify=classes, random_state=0
    )
    learn_x, held_x = (pg.asarray(x, dtype="float32", device=device) for x in parts[:2])
    learn_y, held_y = (pg.asarray(y, dtype="int64", device=device) for y in parts[2:])
    return data.TensorDataset(learn_x, learn_y), data.TensorDataset(held_x, held_y)


def train(model: nn.Module, learn: data.TensorDataset, held_out: data.TensorDataset, epochs: int) -> list[float]:
    """AdamW with a falling rate; gives each epoch's held-out accuracy."""
    loader = data.DataLoader(learn, batch_size=25, shuffle=True)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    history = []
    with progress(range(epochs)) as bar:
        for _ in bar:
            for images, classes in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(images), classes).backward()
                optimizer.step()
            scheduler.step()
            history.append(accuracy(model, held_out))
            bar.set_postfix(held_out=f"{history[-1]:.1f} %")
    return history


def save_rates(tuned: list[float], scratch: list[float], path: Path) -> None:
    """Both networks' held-out accuracy by epoch."""
    figure, axes = pyplot().subplots(figsize=(6, 3.5), layout="constrained")
    epochs = range(1, len(tuned) + 1)
    axes.plot(epochs, tuned, label="taught 0 to 4 before")
    axes.plot(epochs, scratch, label="from scratch")
    axes.set(title=f"5 to 9 from {EACH} scans each: held-out accuracy", xlabel="epoch", ylabel="%")
    axes.legend()
    save_figure(figure, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Load, learn, draw and report; 0 where the goal was reached (or fewer epochs were asked for), else 1."""
    options = parsed(parser(__doc__, "finetune", EPOCHS), argv)
    learn, held_out = load_split(options.device)
    tuned = pretrained(options.device)
    for layer in (tuned[7], tuned[9]):
        layer.reset_parameters()
    scratch = network(options.device)
    tuned_rates, scratch_rates = (train(model, learn, held_out, options.epochs) for model in (tuned, scratch))
    save_rates(tuned_rates, scratch_rates, options.out / "curves.png")
    images, classes = learn.batch(range(8))
    save_graph(F.cross_entropy(tuned(images), classes), tuned, options.out)
    good, base = tuned_rates[-1], scratch_rates[-1]
    print(f"held-out accuracy: {good:.2f} % fine-tuned, {base:.2f} % from scratch, of {len(held_out)} digits")
    return 0 if 100 - good <= GOAL * (100 - base) or options.epochs < EPOCHS else 1


if __name__ == "__main__":
    sys.exit(main())
