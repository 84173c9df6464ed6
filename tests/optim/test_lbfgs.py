"""LBFGS: the same iterates as PyTorch's, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn, optim

START = np.asarray([-1.2, 1.0, 0.7, -0.4])


def rosenbrock(xp: Any, x: Any) -> Any:
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def saddles(xp: Any, x: Any) -> Any:
    return xp.sum(xp.cos(3 * x) + 0.1 * x**4) + x[0] * x[1]


def steep(xp: Any, x: Any) -> Any:
    """So steep that first lengths overshoot by far."""
    return xp.sum(xp.exp(2 * x**2)) + xp.sum(x) ** 2


@pytest.mark.parametrize("f", [rosenbrock, saddles, steep])
@pytest.mark.parametrize(
    "options",
    [
        {"line_search_fn": "strong_wolfe", "max_iter": 30},
        {"line_search_fn": "strong_wolfe", "max_iter": 9, "history_size": 2, "lr": 0.3},
        {"line_search_fn": "strong_wolfe", "max_iter": 20, "max_eval": 7},
        {"line_search_fn": "strong_wolfe", "tolerance_grad": 0.1, "tolerance_change": 1e-4},
        {"lr": 1e-3, "max_iter": 10},
        {"lr": 1e-3, "max_iter": 5, "history_size": 3},
    ],
)
def test_iterates_equal_torch(f: Any, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    tw, pw = torch.asarray(START.copy(), requires_grad=True), nn.Parameter(START)
    theirs, ours = torch.optim.LBFGS([tw], **options), optim.LBFGS([pw], **options)
    calls = [0, 0]

    def closure(which: int, xp: Any, w: Any, optimizer: Any) -> Any:
        calls[which] += 1
        optimizer.zero_grad()
        loss = f(xp, w)
        loss.backward()
        return loss

    for _ in range(3):
        expected = theirs.step(lambda: closure(0, torch, tw, theirs))
        got = ours.step(lambda: closure(1, pg, pw, ours))
        np.testing.assert_allclose(got.item(), expected.item(), rtol=1e-7)
        np.testing.assert_allclose(pw.detach().numpy(), tw.detach().numpy(), rtol=1e-7, atol=1e-9)
        assert calls[0] == calls[1]


def test_several_and_complex_parameters_equal_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    first = [rng.normal(size=(2, 3)), rng.normal(size=3) + 1j * rng.normal(size=3)]
    tp = [torch.asarray(x, requires_grad=True) for x in first]
    pp = [nn.Parameter(x) for x in first]
    theirs = torch.optim.LBFGS(tp, line_search_fn="strong_wolfe", max_iter=6)
    ours = optim.LBFGS(pp, line_search_fn="strong_wolfe", max_iter=6)

    def closure(xp: Any, p: Any, optimizer: Any) -> Any:
        optimizer.zero_grad()
        loss = xp.sum((p[0] - 1) ** 4) + xp.sum(xp.abs(p[1] - p[0][0, :] * 1j) ** 2)
        loss.backward()
        return loss

    theirs.step(lambda: closure(torch, tp, theirs))
    ours.step(lambda: closure(pg, pp, ours))
    for p, t in zip(pp, tp, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), t.detach().numpy(), rtol=1e-8, atol=1e-10)


def test_it_solves_on_every_device_and_goes_on_after_loading(device: pg.Device) -> None:
    def made(values: Any) -> tuple[Any, Any, Any]:
        w = nn.Parameter(pg.asarray(values, device=device))
        optimizer = optim.LBFGS([w], line_search_fn="strong_wolfe", max_iter=4)

        def closure() -> pg.Tensor:
            optimizer.zero_grad()
            loss = pg.sum((w - 2) ** 2) + (w[0] - w[1]) ** 4
            loss.backward()
            return loss

        return w, optimizer, closure

    w, optimizer, closure = made([0.0, 5.0])
    optimizer.step(closure)
    other, second, again = made(w.tolist())
    second.load_state_dict(optimizer.state_dict())
    optimizer.step(closure)
    second.step(again)
    assert w.tolist() == other.tolist()
    if device.backend.lazy:
        assert len(w._value.dask) < 50  # steps do not pile up
    for _ in range(4):
        optimizer.step(closure)
    assert all(abs(v - 2) < 0.01 for v in w.tolist())


def test_refusals() -> None:
    w, v = nn.Parameter([1.0]), nn.Parameter([1.0, 2.0])
    with pytest.raises(ValueError, match="'strong_wolfe' or None, got 'armijo'"):
        optim.LBFGS([w], line_search_fn="armijo")
    with pytest.raises(ValueError, match="one group"):
        optim.LBFGS([{"params": [w]}, {"params": [v]}])
    with pytest.raises(ValueError, match="history_size"):
        optim.LBFGS([w], history_size=0)
    with pytest.raises(TypeError, match="needs a closure"):
        optim.LBFGS([w]).step()
    first, second = optim.LBFGS([w], max_iter=2, lr=0.1), optim.LBFGS([v], max_iter=2, lr=0.1)

    def closure() -> pg.Tensor:
        loss = pg.sum(w**2)
        loss.backward()
        return loss

    first.step(closure)
    with pytest.raises(pg.errors.StateError, match=r"has shape \(1,\), here it is \(2,\)"):
        second.load_state_dict(first.state_dict())
    assert second.state == {}
