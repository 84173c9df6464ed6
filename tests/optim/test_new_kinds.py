"""Lion, Muon, averages of weights, loss scaling, and options that are refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn, optim
from polygrad.optim.matrices import orthogonalized


def lion(w: np.ndarray, grads: list[np.ndarray], lr: float, b1: float, b2: float, decay: float) -> np.ndarray:
    """Chen et al. (2023), algorithm 2."""
    mean = np.zeros_like(w)
    for g in grads:
        step = np.sign(b1 * mean + (1 - b1) * g) + decay * w
        w, mean = w - lr * step, b2 * mean + (1 - b2) * g
    return w


def test_lion_is_its_papers_algorithm(device: pg.Device) -> None:
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=5), list(rng.normal(size=(20, 5)))
    w = nn.Parameter(pg.asarray(start, device=device))
    optimizer = optim.Lion([w], lr=0.01, betas=(0.8, 0.95), weight_decay=0.3)
    for g in grads:
        w.grad = pg.asarray(g, device=device)
        optimizer.step()
    np.testing.assert_allclose(w.tolist(), lion(start, grads, 0.01, 0.8, 0.95, 0.3), rtol=1e-12)


def muon(w: Any, grads: Any, lr: float, decay: float, momentum: float, nesterov: bool, wide: bool) -> Any:
    """Jordan et al. (2024), with PyTorch's average for a momentum, in float64."""
    mean, (rows, columns) = np.zeros_like(w), w.shape
    ratio = 0.2 * math.sqrt(max(rows, columns)) if wide else math.sqrt(max(1, rows / columns))
    for g in grads:
        mean = momentum * mean + (1 - momentum) * g
        x = (1 - momentum) * g + momentum * mean if nesterov else mean
        x = x.T if rows > columns else x
        x = x / np.linalg.norm(x)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
        w = w * (1 - lr * decay) - lr * ratio * (x.T if rows > columns else x)
    return w


@pytest.mark.parametrize("shape", [(3, 5), (6, 2), (4, 4)])
@pytest.mark.parametrize(("nesterov", "wide"), [(True, False), (False, True)])
def test_muon_is_its_algorithm_and_near_torch(shape: tuple[int, int], nesterov: bool, wide: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    start, grads = rng.normal(size=shape), list(rng.normal(size=(6, *shape)))
    options: Any = {"lr": 0.1, "weight_decay": 0.2, "momentum": 0.9, "nesterov": nesterov}
    options["adjust_lr_fn"] = "match_rms_adamw" if wide else None
    w, t = nn.Parameter(start), torch.asarray(start.copy(), requires_grad=True)
    ours, theirs = optim.Muon([w], **options), torch.optim.Muon([t], **options)
    for g in grads:
        w.grad, t.grad = pg.asarray(g), torch.asarray(g)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(w.detach().numpy(), muon(start, grads, 0.1, 0.2, 0.9, nesterov, wide), rtol=1e-10)
    # PyTorch rounds the iteration to bfloat16 (8 bits), in each of 6 steps of length 0.1 times about the ratio
    np.testing.assert_allclose(w.detach().numpy(), t.detach().numpy(), atol=0.03)


def test_muon_makes_singular_values_alike(device: pg.Device) -> None:
    x = pg.asarray(np.random.default_rng(0).normal(size=(4, 6)), device=device)
    values = np.linalg.svd(np.asarray(orthogonalized(x, (3.4445, -4.775, 2.0315), 5, 1e-7).tolist()), compute_uv=False)
    assert 0.5 < values.min() <= values.max() < 1.3


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_gradients_of_zero_give_no_nan() -> None:
    for kind in ("Muon", "Adafactor", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "RMSprop", "Rprop", "Lion"):
        w = nn.Parameter(np.ones((2, 3)))
        optimizer = getattr(optim, kind)([w])
        for _ in range(2):
            w.grad = pg.zeros((2, 3))
            optimizer.step()
        assert all(math.isfinite(v) for row in w.tolist() for v in row), kind


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda w: optim.Muon([w], adjust_lr_fn="x"), ValueError, "'original', 'match_rms_adamw' or None, got 'x'"),
        (
            lambda w: optim.Muon([nn.Parameter([1.0])]),
            ValueError,
            r"takes matrices; give the parameter of shape \(1,\)",
        ),
        (lambda w: optim.Muon([w], ns_coefficients=(1.0, 2.0)), ValueError, "three numbers"),
        (lambda w: optim.Adafactor([nn.Parameter([1j])]), pg.errors.DTypeError, "not one of complex128"),
        (lambda w: optim.Adafactor([w], d=0.5), ValueError, "d must be >= 1"),
        (lambda w: optim.Adafactor([w], beta2_decay=0.5), ValueError, "beta2_decay must be <= 0"),
        (lambda w: optim.Adafactor([w], eps=(-1.0, 1.0)), ValueError, "eps must be >= 0"),
        (lambda w: optim.Rprop([w], etas=(1.5, 2.0)), ValueError, r"0 < etas\[0\] < 1"),
        (lambda w: optim.Rprop([w], step_sizes=(2.0, 1.0)), ValueError, "smallest and the largest"),
        (lambda w: optim.Adadelta([w], rho=1.5), ValueError, "rho must be in"),
        (lambda w: optim.RMSprop([w], alpha=1.0), ValueError, "alpha must be in 0 <= alpha < 1"),
        (lambda w: optim.get_ema_avg_fn(2.0), ValueError, "decay must be in 0 to 1"),
        (lambda w: optim.GradScaler(growth_factor=1.0), ValueError, "growth_factor must be above 1"),
        (lambda w: optim.GradScaler(backoff_factor=1.0), ValueError, "backoff_factor"),
        (lambda w: optim.GradScaler(init_scale=0.0), ValueError, "init_scale"),
    ],
)
def test_refusals(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(nn.Parameter(np.ones((2, 2))))


# -- averages of weights ---------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [None, 0.7])
def test_averages_equal_torch(decay: float | None) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    ours, theirs = nn.Linear(3, 2), torch.nn.Linear(3, 2, dtype=torch.float64)
    swa = torch.optim.swa_utils
    mine = optim.AveragedModel(ours, avg_fn=None if decay is None else optim.get_ema_avg_fn(decay))
    other = swa.AveragedModel(theirs, multi_avg_fn=None if decay is None else swa.get_ema_multi_avg_fn(decay))
    for _ in range(5):
        values = {"weight": rng.normal(size=(2, 3)), "bias": rng.normal(size=2)}
        ours.load_state_dict(values)
        theirs.load_state_dict({k: torch.asarray(v) for k, v in values.items()})
        mine.update_parameters(ours)
        other.update_parameters(theirs)
    expected = other.state_dict()
    assert set(mine.state_dict()) == set(expected)
    for name, x in mine.state_dict().items():
        np.testing.assert_allclose(x.numpy(), expected[name].numpy(), rtol=1e-12)
    assert mine(pg.ones(3)).shape == (2,)


class Counting(nn.Module):
    def __init__(self) -> None:
        self.weight = nn.Parameter([1.0])
        self.register_buffer("mean", pg.zeros(1))
        self.register_buffer("count", pg.asarray(0))


def test_buffers_are_taken_over_or_averaged() -> None:
    model = Counting()
    plain, full = optim.AveragedModel(model), optim.AveragedModel(model, use_buffers=True)
    for k in range(3):
        model.mean, model.count = pg.asarray([float(k)]), pg.asarray(k)
        plain.update_parameters(model)
        full.update_parameters(model)
    assert (plain.module.mean.item(), plain.module.count.item()) == (2.0, 2)
    assert (full.module.mean.item(), full.module.count.item()) == (1.0, 2)
    with pytest.raises(pg.errors.StateError, match="bias"):
        plain.update_parameters(nn.Linear(1, 1))


# -- loss scaling ----------------------------------------------------------------------------------


@pytest.mark.devices("numpy", "torch", "jax", "cupy")  # the others have no float16
def test_scaling_saves_gradients_that_would_vanish(device: pg.Device) -> None:
    def trained(scaler: optim.GradScaler) -> float:
        w = nn.Parameter(pg.asarray([1.0], dtype="float16", device=device))
        optimizer = optim.SGD([w], lr=1000.0)
        scaler.scale(pg.sum(w * 1e4 * 1e-5) * 1e-3).backward()
        scaler.step(optimizer)
        return float(w.detach().astype("float32")[0])

    assert trained(optim.GradScaler(enabled=False)) == 1.0  # 1e-3 * 1e-5, on the way back, is no float16
    assert trained(optim.GradScaler(init_scale=16384.0)) < 1.0


def test_overflow_leaves_the_step_out_and_lowers_the_scale() -> None:
    w = nn.Parameter([1.0])
    optimizer, scaler = optim.SGD([w], lr=0.1), optim.GradScaler(init_scale=8.0, growth_interval=2)
    for k, (g, taken, scale) in enumerate([(math.inf, False, 4.0), (4.0, True, 4.0), (4.0, True, 8.0)]):
        w.grad = pg.asarray([g])
        assert scaler.step(optimizer) is taken, k
        scaler.update()
        assert scaler.get_scale() == scale
    assert w.item() == pytest.approx(1.0 - 0.1 * (4 / 4 + 4 / 4))


def test_unscaling_once_only_and_states() -> None:
    w = nn.Parameter([1.0])
    optimizer, scaler = optim.SGD([w], lr=0.1), optim.GradScaler(init_scale=4.0)
    with pytest.raises(RuntimeError, match="no step or unscale_"):
        scaler.update()
    w.grad = pg.asarray([8.0])
    scaler.unscale_(optimizer)
    assert w.grad.item() == 2.0
    with pytest.raises(RuntimeError, match="unscaled already"):
        scaler.unscale_(optimizer)
    assert scaler.step(optimizer)
    scaler.update()
    other = optim.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    with pytest.raises(pg.errors.StateError, match="growth_interval"):
        other.load_state_dict({"scale": 1.0})


def test_the_default_scale_does_not_overflow_a_half_loss() -> None:
    w = pg.nn.Parameter(pg.asarray([1.0, 0.5], dtype="float16"))
    optimizer, scaler = pg.optim.SGD([w], lr=0.25), pg.optim.GradScaler()
    for _ in range(2):
        optimizer.zero_grad()
        loss = scaler.scale(pg.mean(w * w + 3.0))
        assert np.isfinite(loss.item())
        loss.backward()
        assert scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 32768.0
    assert w.tolist() == [0.5625, 0.28125]
