"""Write like a manual: a transformer that guesses the next character of Python's own language reference.

    python examples/chars.py                     # NumPy: two minutes or so
    python examples/chars.py --device torch:cpu  # the same on PyTorch; or jax:cpu, cuda, ...

The text is what ``help("...")`` shows, 370,000 characters that ship with Python; the last tenth is held out. A 5-gram model
(Witten-Bell interpolation), which knows the four characters before each, needs 2.03 bits for each held-out character; the
transformer, of two layers over 64 characters, is to need fewer. Writes the losses (``losses.png``), the graph of the loss
(``loss.svg``) and a page of its own making (``sample.txt``) to ``--out``.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from common import chunks, parsed, parser, progress, pyplot, save_figure, save_graph

import polygrad as pg
from polygrad import nn, optim
from polygrad.nn import functional as F

STEPS = 1500
CONTEXT = 64
BATCH = 16
WIDTH = 128
ORDER = 5  # of the n-gram model to beat


def load_text() -> str:
    """The topics in alphabetical order, in plain ASCII; each paragraph once, as some stand in several topics."""
    paragraphs: dict[str, None] = {}
    for _, topic in sorted(topics.items()):
        paragraphs.update(dict.fromkeys(re.sub(r"[^\x20-\x7e\n]", "", topic).split("\n\n")))
    return "\n\n".join(paragraphs)


def n_gram_bits(learn: str, held_out: str, order: int) -> float:
    """Bits per held-out character of an n-gram model: each order's counts, interpolated with the next lower one's by how
    many different characters follow a context (Witten and Bell, 1991)."""
    counts: list[dict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(order)]
    for k, table in enumerate(counts):
        for i in range(k, len(learn)):
            table[learn[i - k : i]][learn[i]] += 1
    totals = [{context: c.total() for context, c in table.items()} for table in counts]
    kinds, bits = len(set(learn + held_out)), 0.0
    for i in range(order, len(held_out)):
        share = 1 / kinds
        for k, table in enumerate(counts):
            context = held_out[i - k : i]
            if context not in totals[k]:
                break
            following = table[context]
            share = (following[held_out[i]] + len(following) * share) / (totals[k][context] + len(following))
        bits -= math.log2(share)
    return bits / (len(held_out) - order)


class Writer(nn.Module):
    """The logits of the character after each of some characters."""

    def __init__(self, kinds: int, device: pg.Device) -> None:
        place: dict[str, Any] = {"dtype": "float32", "device": device}
        self.characters = nn.Parameter(pg.random.normal((kinds, WIDTH), std=0.02, **place))
        self.places = nn.Parameter(pg.random.normal((CONTEXT, WIDTH), std=0.02, **place))
        options: dict[str, Any] = {"dropout": 0.0, "activation": "relu", "batch_first": True, "norm_first": True}
        layer = nn.TransformerEncoderLayer
        self.layers = nn.ModuleList(layer(WIDTH, 4, 4 * WIDTH, **options, **place) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH, **place)
        ahead = pg.triu(pg.ones((CONTEXT, CONTEXT), dtype="bool", device=device), k=1)
        self.register_buffer("mask", pg.where(ahead, -math.inf, pg.zeros((), **place)), persistent=False)

    def forward(self, numbers: pg.Tensor) -> pg.Tensor:
        n = numbers.shape[1]
        seen = self.characters[numbers] + self.places[:n]
        for layer in self.layers:
            seen = layer(seen, src_mask=self.mask[:n, :n])
        logits: pg.Tensor = self.norm(seen) @ self.characters.T
        return logits


def loss_of(model: nn.Module, rows: pg.Tensor, **options: Any) -> pg.Tensor:
    """The cross-entropy of each character but the first of each row, given those before it."""
    logits = model(rows[:, :-1])
    return F.cross_entropy(pg.reshape(logits, (-1, logits.shape[-1])), pg.reshape(rows[:, 1:], (-1,)), **options)


def held_out_bits(model: nn.Module, numbers: pg.Tensor) -> float:
    """Bits per character, each seen with at least half of the context before it (but for the first few)."""
    model.eval()
    half, nats, count = CONTEXT // 2, 0.0, 0
    starts = list(range(0, numbers.shape[0] - CONTEXT - 1, half))
    with pg.no_grad():
        for part in chunks(len(starts), 32):
            places = pg.asarray(starts[part], device=numbers.device)[:, None] + pg.arange(
                CONTEXT + 1, device=numbers.device
            )
            rows = numbers[places]
            losses = pg.reshape(loss_of(model, rows, reduction="none"), (rows.shape[0], CONTEXT))
            nats += float(pg.sum(losses[:, half:]))
            count += rows.shape[0] * (CONTEXT - half)
    model.train()
    return nats / count / math.log(2)


def train(model: Writer, learn: pg.Tensor, held_out: pg.Tensor, steps: int) -> list[tuple[int, float, float]]:
    """Muon for the layers' matrices and AdamW for the rest, with falling rates; gives (step, loss, held-out), in bits."""
    inner = [p for p in model.layers.parameters() if p.ndim == 2]
    known = {id(p) for p in inner}
    optimizers = [
        optim.Muon(inner, lr=0.02, weight_decay=0.05),
        optim.AdamW([p for p in model.parameters() if id(p) not in known], lr=3e-3, weight_decay=0.0),
    ]
    schedulers = [
        optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1.0, (k + 1) / 100) * (1 - k / steps))
        for optimizer in optimizers
    ]
    places, history, recent = pg.arange(CONTEXT + 1, device=learn.device), [], []
    with progress(range(1, steps + 1), "step") as bar:
        for step in bar:
            starts = pg.random.integers((BATCH, 1), 0, learn.shape[0] - CONTEXT, device=learn.device)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = loss_of(model, learn[starts + places])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
                optimizer.step()
                scheduler.step()
            recent.append(loss.item() / math.log(2))
            if step % 250 == 0 or step == steps:
                history.append((step, sum(recent) / len(recent), held_out_bits(model, held_out)))
                recent.clear()
                bar.set_postfix(loss=f"{history[-1][1]:.2f}", held_out=f"{history[-1][2]:.2f} bits")
    return history


def written(model: Writer, characters: str, start: str, n: int) -> str:
    """``n`` characters, each drawn as the model thinks, slightly sharpened."""
    model.eval()
    made = [characters.index(c) for c in start]
    with pg.no_grad():
        for _ in range(n):
            context = pg.asarray([made[-CONTEXT:]], device=model.characters.device)
            made.append(int(pg.random.categorical(model(context)[0, -1] / 0.8)))
    model.train()
    return "".join(characters[i] for i in made)


def save_losses(history: list[tuple[int, float, float]], goal: float, path: Path) -> None:
    """The bits per character by step."""
    figure, axes = pyplot().subplots(figsize=(6, 3.5), layout="constrained")
    steps = [step for step, _, _ in history]
    axes.plot(steps, [bits for _, bits, _ in history], label="training")
    axes.plot(steps, [bits for _, _, bits in history], label="held out")
    axes.axhline(goal, color="grey", linestyle=":", label=f"{ORDER}-gram model, held out")
    axes.set(title="bits per character", xlabel="step", ylabel="bits")
    axes.legend()
    save_figure(figure, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Learn, write and report; 0 where the n-gram model was beaten (or fewer steps were asked for), else 1."""
    options = parsed(parser(__doc__, "chars", STEPS, "steps"), argv)
    text = load_text()
    cut = len(text) * 9 // 10
    characters = "".join(sorted(set(text)))
    table = {c: i for i, c in enumerate(characters)}
    numbers = pg.asarray([table[c] for c in text], device=options.device)
    model = Writer(len(characters), options.device)
    history = train(model, numbers[:cut], numbers[cut:], options.steps)
    goal = n_gram_bits(text[:cut], text[cut:], ORDER)
    save_losses(history, goal, options.out / "losses.png")
    save_graph(loss_of(model, numbers[None, : CONTEXT + 1]), model, options.out)
    (options.out / "sample.txt").write_text(written(model, characters, "The ", 1000) + "\n")
    bits = history[-1][2]
    print(f"held out: {bits:.3f} bits per character; the {ORDER}-gram model needs {goal:.3f}")
    return 0 if bits < goal or options.steps < STEPS else 1


if __name__ == "__main__":
    sys.exit(main())
