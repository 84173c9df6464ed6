"""Every optimiser takes the steps that torch.optim takes, over a grid of arguments."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from table import every

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
MUON = grid(
    lr=(0.01,), weight_decay=(0.0, 0.1), momentum=(0.95, 0.5), nesterov=(False, True), ns_steps=(3, 5),
    adjust_lr_fn=(None, "match_rms_adamw"),
)  # fmt: skip
CASES = [("SGD", o) for o in SGD] + [(name, o) for name in ("Adam", "AdamW") for o in ADAM]
CASES += [(name, options) for name, cases in OTHERS.items() for options in cases]


CASES += [("Muon", options) for options in MUON]


@pytest.fixture(autouse=True)
def exact_muon(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's Muon without its rounding to bfloat16, which is not done here."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


def start(dtype: str = "float64", matrices: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    w, b = rng.normal(size=(3, 4)).astype(dtype), rng.normal(size=4).astype(dtype)
    return w, b[None, :] if matrices else b


def loss_of(xp: Any, w: Any, b: Any, k: int) -> Any:
    """A loss that is neither convex nor the same at each step, and leaves ``b`` out of some steps."""
    y = xp.sum(xp.sin(w) * w) + 0.1 * xp.sum(w * w) * (1 + k % 3)
    return y if k % 5 == 4 else y + xp.sum((b - 0.5 * k / 50) ** 2) + xp.sum(w[0, :] * b)


def sign(options: dict[str, Any]) -> int:
    """Going up, the loss is turned over too: where steps diverge, rounding errors would as well."""
    return -1 if options.get("maximize") else 1


def grouped(params: list[Any], groups: bool) -> list[Any]:
    """Both at once; or each in a group, the second with a rate of its own."""
    return [{"params": params[:1]}, {"params": params[1:], "lr": 0.02}] if groups else params


def run_torch(
    name: str, options: dict[str, Any], steps: int, dtype: str = "float64", groups: bool = False
) -> list[np.ndarray]:
    w, b = (torch.asarray(x, requires_grad=True) for x in start(dtype, name == "Muon"))
    optimizer = getattr(torch.optim, name)(grouped([w, b], groups), **options)
    torch.set_default_dtype(torch.float64)  # else NAdam's product of momenta is kept in float32
    try:
        for k in range(steps):
            optimizer.zero_grad()
            (sign(options) * loss_of(torch, w, b, k)).backward()
            optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    return [w.detach().numpy(), b.detach().numpy()]


def run_ours(
    name: str, options: dict[str, Any], steps: int, device: Any = "cpu", dtype: str = "float64", groups: bool = False
) -> list[np.ndarray]:
    w, b = (pg.nn.Parameter(pg.asarray(x, device=device)) for x in start(dtype, name == "Muon"))
    optimizer = getattr(optim, name)(grouped([w, b], groups), **options)
    for k in range(steps):
        optimizer.zero_grad()
        (sign(options) * loss_of(pg, w, b, k)).backward()
        optimizer.step()
    assert w.dtype == b.dtype == dtype
    return [x.detach().to_device("cpu").numpy() for x in (w, b)]


# Every third: each option takes each of its values, with others beside it.
SOME = every(3, CASES)


@pytest.mark.parametrize(("name", "options"), SOME, ids=[f"{n}-{'-'.join(map(str, o.values()))}" for n, o in SOME])
def test_fifty_steps_equal_torch(name: str, options: dict[str, Any]) -> None:
    for ours, theirs in zip(run_ours(name, options, 50), run_torch(name, options, 50), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


# One row of each: what divides by the root of next to nothing at its first steps (Rprop looks at signs alone)
# would make rounding errors of float32 large.
SINGLE: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.1}),
    ("Muon", MUON[0]),
    *((name, cases[0]) for name, cases in OTHERS.items()),
]


@pytest.mark.parametrize(("name", "options"), SINGLE, ids=[name for name, _ in SINGLE])
def test_fifty_steps_in_float32_and_in_groups_equal_torch(name: str, options: dict[str, Any]) -> None:
    for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-10)):
        expected = run_torch(name, options, 50, dtype, groups=True)
        got = run_ours(name, options, 50, dtype=dtype, groups=True)
        for ours, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_fifty_steps_of_lbfgs_equal_torch(search: str | None, dtype: str, tolerance: float) -> None:
    options: dict[str, Any] = {"lr": 0.3, "max_iter": 2, "history_size": 5, "line_search_fn": search}
    options |= {"tolerance_grad": 0.0, "tolerance_change": 0.0}
    found = []
    for library, module in ((pg, optim), (torch, torch.optim)):
        params: list[Any] = [
            torch.asarray(x, requires_grad=True) if library is torch else pg.nn.Parameter(x) for x in start(dtype)
        ]
        optimizer = module.LBFGS(params, **options)  # type: ignore[attr-defined]

        def closure(library: Any = library, params: Any = params, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            w, b = params
            loss = library.sum(library.exp(w * 0.3)) + library.sum(w * w) + library.sum((b - 1) ** 4 + b * b)
            loss.backward()
            return loss

        losses = [optimizer.step(closure).item() for _ in range(50)]
        # In float32 a line search at the bottom goes by rounding errors: what it finds is equally low, not equal.
        place = [] if search and dtype == "float32" else [p.detach().numpy() for p in params]
        found.append([np.asarray(losses), *place])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_no_optimiser_of_torch_is_left_out() -> None:
    tested = {name for name, _ in SOME} | {"LBFGS"}
    assert tested == {name for name in optim.__all__ if hasattr(torch.optim, name)} - {"Optimizer", "lr_scheduler"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        ("Adam", {"lr": 0.05, "amsgrad": True}),
        ("AdamW", {"lr": 0.05}),
        ("Muon", MUON[-1]),
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
