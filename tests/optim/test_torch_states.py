"""PyTorch's state dicts of optimisers and schedules go on here, ours go on there, and what is loaded is saved back."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
from test_schedules import CASES

import polygrad as pg
from polygrad import optim
from polygrad.optim import lr_scheduler

torch = pytest.importorskip("torch")

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{"lr": 0.05}, {"lr": 0.05, "momentum": 0.9, "nesterov": True}],
    "Adam": [{"lr": 0.05}, {"lr": 0.05, "amsgrad": True, "weight_decay": 0.1, "decoupled_weight_decay": True}],
    "AdamW": [{"lr": 0.05, "amsgrad": True}],
    "RMSprop": [{"lr": 0.05, "momentum": 0.5, "centered": True}],
    "NAdam": [{"lr": 0.05}],
    "LBFGS": [{"lr": 0.5, "max_iter": 3}, {"max_iter": 4, "line_search_fn": "strong_wolfe", "history_size": 3}],
    **{name: [{"lr": 0.05}] for name in ("Adadelta", "Adafactor", "Adagrad", "Adamax", "RAdam", "Rprop", "Muon")},
}
ROWS = [(name, options) for name, rows in OPTIONS.items() for options in rows]
GROUPED = [name for name in OPTIONS if name != "LBFGS"]


def kinds(module: Any) -> set[str]:
    return {
        n
        for n in dir(module)
        if inspect.isclass(getattr(module, n)) and issubclass(getattr(module, n), module.Optimizer)
    }


def test_no_optimiser_is_left_out() -> None:
    assert set(OPTIONS) == (kinds(optim) & kinds(torch.optim)) - {"Optimizer"}


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(3, 4)), rng.normal(size=(2, 3))]


def loss_of(xp: Any, params: list[Any]) -> Any:
    a, b = params
    return xp.sum(xp.sin(a) * a) + xp.sum((b @ a) ** 2)


def made(library: Any, module: Any, name: str, options: dict[str, Any], values: Any = None) -> tuple[list[Any], Any]:
    values = start() if values is None else values
    params = [library.asarray(x, requires_grad=True) if library is torch else pg.nn.Parameter(x) for x in values]
    if name not in GROUPED:
        return params, getattr(module, name)(params, **options)
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.02}]
    return params, getattr(module, name)(groups, **options)


def train(library: Any, params: list[Any], optimizer: Any, steps: int) -> list[Any]:
    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(library, params)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return [np.asarray(p.detach().numpy()).copy() for p in params]


def mapped(f: Any, tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: mapped(f, v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(mapped(f, v) for v in tree)
    return f(tree)


def to_torch(x: Any) -> Any:
    return torch.asarray(x.numpy().copy()) if isinstance(x, pg.Tensor) else x


def plain(x: Any) -> Any:
    """Tensors as arrays; of one element as numbers, for PyTorch counts in those."""
    array = x.detach().numpy() if hasattr(x, "detach") else x
    return array.item() if isinstance(array, np.ndarray) and array.ndim == 0 else array


def assert_equal(a: Any, b: Any, path: str = "") -> None:
    if isinstance(a, dict):
        assert set(a) == set(b), path
        for k in a:
            assert_equal(a[k], b[k], f"{path}.{k}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{path}.{k}")
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, err_msg=path)
    else:
        assert a == b, path


@pytest.fixture
def exact_muon(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's Muon without its rounding to bfloat16, which is not done here."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


@pytest.mark.usefixtures("exact_muon")
@pytest.mark.parametrize(("name", "options"), ROWS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(ROWS)])
def test_optimisers_go_on_from_the_other_librarys_state(name: str, options: dict[str, Any]) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        theirs, reference = made(torch, torch.optim, name, options)
        middle = train(torch, theirs, reference, 6)
        state = reference.state_dict()
        ours, optimizer = made(pg, optim, name, options, middle)
        optimizer.load_state_dict(state)
        back = optimizer.state_dict()
        for entry in state["state"].values():
            entry.pop("al", None)  # LBFGS's scratch space
        assert_equal(mapped(plain, back), mapped(plain, state))
        ahead = train(pg, ours, optimizer, 6)
        again, second = made(torch, torch.optim, name, options, middle)
        second.load_state_dict(mapped(to_torch, back))
        for x, y, z in zip(train(torch, theirs, reference, 6), ahead, train(torch, again, second, 6), strict=True):
            np.testing.assert_allclose(y, x, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(z, x, rtol=1e-12, atol=1e-14)
        # and what was trained here from the start goes on there
        ours, optimizer = made(pg, optim, name, options)
        middle = train(pg, ours, optimizer, 6)
        theirs, reference = made(torch, torch.optim, name, options, middle)
        reference.load_state_dict(mapped(to_torch, optimizer.state_dict()))
        for x, y in zip(train(torch, theirs, reference, 6), train(pg, ours, optimizer, 6), strict=True):
            np.testing.assert_allclose(y, x, rtol=1e-10, atol=1e-12)
    finally:
        torch.set_default_dtype(torch.float32)


class Decay:
    """A rule with a state of its own."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, k: int) -> float:
        return self.rate**k


STATES: dict[str, Any] = {
    **CASES,
    "lambda-object": lambda s, o, rate=0.9: s.LambdaLR(o, [Decay(rate), lambda k: 0.5]),
    "cyclic-object": lambda s, o, rate=0.9: s.CyclicLR(o, 0.1, 0.7, 4, scale_fn=Decay(rate)),
}


@pytest.mark.parametrize("name", STATES)
def test_schedules_go_on_from_the_other_librarys_state(name: str) -> None:
    def groups(library: Any, module: Any) -> Any:
        a, b = (pg.nn.Parameter([1.0]) if library is pg else torch.ones(1, requires_grad=True) for _ in range(2))
        return module.SGD([{"params": [a]}, {"params": [b], "lr": 0.4}], lr=0.8, momentum=0.9)

    def steps(optimizer: Any, scheduler: Any, n: int) -> list[Any]:
        seen = []
        for _ in range(n):
            optimizer.step()
            scheduler.step()
            seen.append([(group["lr"], group["momentum"]) for group in optimizer.param_groups])
        return seen

    other = {"rate": 0.1} if name.endswith("object") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, of its sequential one
        theirs = groups(torch, torch.optim)
        reference = STATES[name](torch.optim.lr_scheduler, theirs)
        steps(theirs, reference, 7)
        ours = groups(pg, optim)
        scheduler = STATES[name](lr_scheduler, ours, **other)
        ours.load_state_dict(theirs.state_dict())
        scheduler.load_state_dict(reference.state_dict())
        back = scheduler.state_dict()
        assert back == reference.state_dict()
        again = groups(torch, torch.optim)
        second = STATES[name](torch.optim.lr_scheduler, again, **other)
        again.load_state_dict(ours.state_dict())
        second.load_state_dict(back)
        expected = steps(theirs, reference, 10)
        for got in (steps(ours, scheduler, 10), steps(again, second, 10)):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)
        assert scheduler.state_dict().keys() == reference.state_dict().keys()


def test_plateaus_state_is_pytorchs() -> None:
    theirs = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.8)
    ours = optim.SGD([pg.nn.Parameter([1.0])], lr=0.8)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, patience=1)
    scheduler = lr_scheduler.ReduceLROnPlateau(ours, patience=7)
    for value in (3.0, 2.0, 2.5):
        reference.step(value)
    ours.load_state_dict(theirs.state_dict())
    scheduler.load_state_dict(reference.state_dict())
    assert scheduler.state_dict() == reference.state_dict()
    for value in (2.5, 2.5, 1.0):
        reference.step(value)
        scheduler.step(value)
        assert scheduler.state_dict() == reference.state_dict()


def test_warm_restarts_take_fractions_of_epochs() -> None:
    theirs = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.8)
    ours = optim.SGD([pg.nn.Parameter([1.0])], lr=0.8)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(theirs, 3, 2)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(ours, 3, 2)
    for epoch in (0.25, 1.5, 3.0, 4.75, 8.5, 9.25):
        reference.step(epoch)
        scheduler.step(epoch)
        assert scheduler.get_last_lr() == pytest.approx(reference.get_last_lr(), rel=1e-12)
    assert scheduler.state_dict() == reference.state_dict()
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        scheduler.step(-1)
