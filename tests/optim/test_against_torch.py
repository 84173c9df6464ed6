"""Every optimiser takes the steps that torch.optim takes, over a grid of arguments."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import optim

torch = pytest.importorskip("torch")

SGD = [
    {"lr": 0.05, "momentum": m, "dampening": d, "weight_decay": w, "nesterov": n, "maximize": u}
    for m, d, w, n, u in itertools.product((0.0, 0.9), (0.0, 0.3), (0.0, 0.1), (False, True), (False, True))
    if not n or (m and not d)
]
ADAM = [
    {"lr": 0.05, "betas": b, "eps": e, "weight_decay": w, "amsgrad": a, "maximize": u}
    for b, e, w, a, u in itertools.product(
        ((0.9, 0.999), (0.0, 0.9)), (1e-8, 1e-2), (0.0, 0.1), (False, True), (False, True)
    )
]


def grid(**options: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


SHARED = {"weight_decay": (0.0, 0.1), "maximize": (False, True)}
OTHERS = {
    "Adamax": grid(lr=(0.05,), betas=((0.9, 0.999), (0.0, 0.5)), eps=(1e-8, 0.1), **SHARED),
    "NAdam": grid(
        lr=(0.05,), betas=((0.9, 0.99),), momentum_decay=(4e-3, 0.3), decoupled_weight_decay=(False, True), **SHARED
    ),
    "RAdam": grid(lr=(0.05,), betas=((0.9, 0.999), (0.5, 0.9)), decoupled_weight_decay=(False, True), **SHARED),
    "Adagrad": grid(lr=(0.1,), lr_decay=(0.0, 0.1), initial_accumulator_value=(0.0, 0.5), **SHARED),
    "Adadelta": grid(lr=(1.0, 5.0), rho=(0.9, 0.3), eps=(1e-6, 1e-2), **SHARED),
    "RMSprop": grid(lr=(0.01,), alpha=(0.99, 0.5), momentum=(0.0, 0.7), centered=(False, True), **SHARED),
    "Rprop": grid(
        lr=(0.01, 0.2), etas=((0.5, 1.2), (0.3, 1.5)), step_sizes=((1e-6, 50.0), (1e-2, 0.1)), maximize=(False, True)
    ),
    "Adafactor": grid(
        lr=(0.05, 0.5), beta2_decay=(-0.8, -0.2), eps=((None, 1e-3), (1e-2, 0.5)), d=(1.0, 3.0), **SHARED
    ),
}
CASES = [("SGD", o) for o in SGD] + [(name, o) for name in ("Adam", "AdamW") for o in ADAM]
CASES += [(name, options) for name, cases in OTHERS.items() for options in cases]


def start() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 4)), rng.normal(size=4)


def loss_of(xp: Any, w: Any, b: Any, k: int) -> Any:
    """A loss that is neither convex nor the same at each step, and leaves ``b`` out of some steps."""
    y = xp.sum(xp.sin(w) * w) + 0.1 * xp.sum(w * w) * (1 + k % 3)
    return y if k % 5 == 4 else y + xp.sum((b - 0.5 * k / 50) ** 2) + xp.sum(w[0, :] * b)


def sign(options: dict[str, Any]) -> int:
    """Going up, the loss is turned over too: where steps diverge, rounding errors would as well."""
    return -1 if options.get("maximize") else 1


def run_torch(name: str, options: dict[str, Any], steps: int) -> list[np.ndarray]:
    w, b = (torch.asarray(x, requires_grad=True) for x in start())
    optimizer = getattr(torch.optim, name)([w, b], **options)
    torch.set_default_dtype(torch.float64)  # else NAdam's product of momenta is kept in float32
    try:
        for k in range(steps):
            optimizer.zero_grad()
            (sign(options) * loss_of(torch, w, b, k)).backward()
            optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    return [w.detach().numpy(), b.detach().numpy()]


def run_ours(name: str, options: dict[str, Any], steps: int, device: Any = "cpu") -> list[np.ndarray]:
    w, b = (pg.nn.Parameter(pg.asarray(x, device=device)) for x in start())
    optimizer = getattr(optim, name)([w, b], **options)
    for k in range(steps):
        optimizer.zero_grad()
        (sign(options) * loss_of(pg, w, b, k)).backward()
        optimizer.step()
    return [x.detach().to_device("cpu").numpy() for x in (w, b)]


@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{'-'.join(map(str, o.values()))}" for n, o in CASES])
def test_fifty_steps_equal_torch(name: str, options: dict[str, Any]) -> None:
    for ours, theirs in zip(run_ours(name, options, 50), run_torch(name, options, 50), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        ("Adam", {"lr": 0.05, "amsgrad": True}),
        ("AdamW", {"lr": 0.05}),
        *((name, cases[-2]) for name, cases in OTHERS.items()),
    ],
)
def test_ten_steps_equal_torch_on_every_device(device: pg.Device, name: str, options: dict[str, Any]) -> None:
    for ours, theirs in zip(run_ours(name, options, 10, device), run_torch(name, options, 10), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_complex_parameters(name: str, weight_decay: float) -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(size=3) + 1j * rng.normal(size=3)
    tw, pw = torch.asarray(first, requires_grad=True), pg.nn.Parameter(first)
    theirs = getattr(torch.optim, name)([tw], lr=0.05, weight_decay=weight_decay)
    ours = getattr(optim, name)([pw], lr=0.05, weight_decay=weight_decay)
    torch.set_default_dtype(torch.float64)
    for _ in range(20):
        theirs.zero_grad()
        torch.sum(torch.abs(tw - 1j) ** 2 * torch.real(tw) ** 2).backward()
        theirs.step()
        ours.zero_grad()
        pg.sum(pg.abs(pw - 1j) ** 2 * pg.real(pw) ** 2).backward()
        ours.step()
    torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(pw.detach().numpy(), tw.detach().numpy(), atol=1e-10)
