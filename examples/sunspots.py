"""Forecast the sun: a two-layer LSTM on the yearly numbers of sunspots since 1700, which statsmodels ships.

    python examples/sunspots.py                     # NumPy: about half a minute
    python examples/sunspots.py --device torch:cpu  # the same on PyTorch; or jax:cpu, cuda, ...

It learns from the years before 1980 and forecasts each year from 1980 to 2008 by the 33 before it. The naive forecast (as
this year, so the next) is wrong by 29 spots (root mean square); the network's error is to be at most 0.55 times as large.
Writes the forecasts (``forecast.png``), the losses (``losses.png``) and the graph of the loss (``loss.svg``) to ``--out``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common import parsed, parser, progress, pyplot, required, save_figure, save_graph

import polygrad as pg
from polygrad import data, nn, optim
from polygrad.nn import functional as F

GOAL = 0.55  # of the naive forecast's error
EPOCHS = 60
WINDOW = 33  # years: three solar cycles
HELD_OUT_FROM = 1980


class Series(NamedTuple):
    """Windows (n, WINDOW) with the number after each (n,), both as scaled roots; and the way back to numbers."""

    windows: pg.Tensor
    following: pg.Tensor
    years: list[int]
    mean: float
    std: float

    def numbers(self, scaled: pg.Tensor) -> pg.Tensor:
        """Sunspots of scaled roots; none where a root would be negative."""
        return pg.clip(scaled * self.std + self.mean, 0, None) ** 2

    def part(self, start: int, end: int) -> Series:
        """The forecasts of the years from ``start`` up to ``end``."""
        kept = [i for i, year in enumerate(self.years) if start <= year < end]
        rows = slice(kept[0], kept[-1] + 1)
        return Series(self.windows[rows], self.following[rows], self.years[rows], self.mean, self.std)


def load_series(device: pg.Device) -> Series:
    """The whole series; the roots are scaled by what is known before the held-out years."""
    frame = required("statsmodels.api").datasets.sunspots.load_pandas().data
    years = [int(year) for year in frame["YEAR"]]
    roots = pg.sqrt(pg.asarray(frame["SUNACTIVITY"].to_numpy(), dtype="float32", device=device))
    known = roots[: years.index(HELD_OUT_FROM)]
    mean, std = float(pg.mean(known)), float(pg.std(known))
    scaled = (roots - mean) / std
    windows = pg.sliding_window_view(scaled, WINDOW)[:-1]
    return Series(windows, scaled[WINDOW:], years[WINDOW:], mean, std)


class Forecaster(nn.Module):
    """What comes after a window: its last value, and what the LSTM adds to it."""

    def __init__(self, device: pg.Device) -> None:
        self.lstm = nn.LSTM(1, 32, num_layers=2, batch_first=True, dropout=0.1, dtype="float32", device=device)
        self.out = nn.Linear(32, 1, dtype="float32", device=device)

    def forward(self, windows: pg.Tensor) -> pg.Tensor:
        seen, _ = self.lstm(pg.expand_dims(windows, axis=-1))
        added: pg.Tensor = self.out(seen[:, -1])[:, 0]
        return windows[:, -1] + added


def error(forecast: pg.Tensor, series: Series) -> float:
    """The root mean square error, in sunspots."""
    wrong = series.numbers(forecast) - series.numbers(series.following)
    return float(pg.sqrt(pg.mean(wrong**2)))


def forecast(model: nn.Module, series: Series) -> pg.Tensor:
    """Scaled forecasts of each window."""
    model.eval()
    with pg.no_grad():
        made: pg.Tensor = model(series.windows)
    model.train()
    return made


def train(model: nn.Module, learn: Series, held_out: Series, epochs: int) -> list[tuple[float, float]]:
    """AdamW with a falling rate; gives each epoch's mean loss and held-out error."""
    loader = data.DataLoader(data.TensorDataset(learn.windows, learn.following), batch_size=32, shuffle=True)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    history = []
    with progress(range(epochs)) as bar:
        for _ in bar:
            losses = []
            for windows, following in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(model(windows), following)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                losses.append(loss.item())
            scheduler.step()
            history.append((sum(losses) / len(losses), error(forecast(model, held_out), held_out)))
            bar.set_postfix(loss=f"{history[-1][0]:.3f}", held_out=f"{history[-1][1]:.1f} spots")
    return history


def save_plots(model: nn.Module, series: Series, history: list[tuple[float, float]], naive: float, out: Path) -> None:
    """The forecasts beside the truth, and the errors by epoch."""
    years = [year for year in series.years if year >= 1900]
    shown = series.part(1900, 10_000)
    figure, axes = pyplot().subplots(figsize=(9, 3.5), layout="constrained")
    axes.plot(years, series.numbers(shown.following).tolist(), color="black", label="observed")
    axes.plot(years, series.numbers(forecast(model, shown)).tolist(), label="forecast of the year before")
    axes.axvspan(HELD_OUT_FROM, years[-1], color="grey", alpha=0.2, label="held out")
    axes.set(title="sunspots", xlabel="year", ylabel="number")
    axes.legend()
    save_figure(figure, out / "forecast.png")
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    epochs: Any = range(1, len(history) + 1)
    left.semilogy(epochs, [loss for loss, _ in history])
    left.set(title="training loss", xlabel="epoch", ylabel="mean squared error (scaled)")
    right.plot(epochs, [wrong for _, wrong in history])
    right.axhline(GOAL * naive, color="grey", linestyle=":")
    right.set(title="held-out error", xlabel="epoch", ylabel="sunspots")
    save_figure(figure, out / "losses.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Learn, draw and report; 0 where the goal was reached (or fewer epochs were asked for), else 1."""
    options = parsed(parser(__doc__, "sunspots", EPOCHS), argv)
    series = load_series(options.device)
    learn, held_out = series.part(0, HELD_OUT_FROM), series.part(HELD_OUT_FROM, 10_000)
    model = Forecaster(options.device)
    history = train(model, learn, held_out, options.epochs)
    naive = error(held_out.windows[:, -1], held_out)
    save_plots(model, series, history, naive, options.out)
    save_graph(F.mse_loss(model(learn.windows[:8]), learn.following[:8]), model, options.out)
    ratio = history[-1][1] / naive
    print(f"held-out error: {history[-1][1]:.2f} sunspots, {ratio:.2f} times the naive forecast's {naive:.2f}")
    return 0 if ratio <= GOAL or options.epochs < EPOCHS else 1


if __name__ == "__main__":
    sys.exit(main())
