"""Draws ``docs/images/lstm-step.svg`` and ``.png``: the training step of a two-layer LSTM on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polygrad as pg
from polygrad import nn

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"


class Tagger(nn.Module):
    """Words in, a tag for each sentence out."""

    def __init__(self, features: int = 16, hidden: int = 32) -> None:
        self.embed = nn.Embedding(20, features)
        self.lstm = nn.LSTM(features, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 5)

    def forward(self, words: Any) -> Any:
        states, _ = self.lstm(self.embed(words))
        return self.head(states[:, -1])


def trained(model: Tagger, words: Any, tags: Any) -> Any:
    """The compiled training step after three runs: the first makes Adam's state, the second the gradients."""
    optimizer = pg.optim.Adam(model.parameters())

    @pg.compile
    def step(words: Any, tags: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(words), tags)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(words, tags)
    return step


def main() -> None:
    """Train three steps, draw the graph that they ran."""
    pg.random.manual_seed(0)
    model = Tagger()
    step = trained(model, pg.reshape(pg.arange(24) % 20, (4, 6)), pg.asarray([0, 1, 2, 3]))
    for ending in ("svg", "png"):
        pg.draw(step.graph, IMAGES / f"lstm-step.{ending}", names=model, fold=True)


if __name__ == "__main__":
    main()
