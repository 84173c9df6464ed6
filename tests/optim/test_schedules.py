"""Learning rate schedules: PyTorch's rates at every step, states, and what is refused."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import pytest

import polygrad as pg
from polygrad import nn, optim
from polygrad.optim import lr_scheduler

CASES: dict[str, Any] = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda k: 0.9**k),
    "lambda-each": lambda s, o: s.LambdaLR(o, [lambda k: 0.9**k, lambda k: 1 / (k + 1)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda k: 0.5 if k % 3 else 1.1),
    "step": lambda s, o: s.StepLR(o, step_size=4, gamma=0.3),
    "multistep": lambda s, o: s.MultiStepLR(o, [3, 7, 7, 15], gamma=0.5),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=4),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.6, total_iters=7),
    "exponential": lambda s, o: s.ExponentialLR(o, gamma=0.8),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=9, power=1.7),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=6, eta_min=0.01),
    "cosine-to-zero": lambda s, o: s.CosineAnnealingLR(o, T_max=5),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.01),
    "restarts-even": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=4),
    "onecycle": lambda s, o: s.OneCycleLR(o, max_lr=[0.5, 1.0], total_steps=25),
    "onecycle-linear": lambda s, o: s.OneCycleLR(
        o, max_lr=0.5, epochs=5, steps_per_epoch=5, anneal_strategy="linear", three_phase=True
    ),
    "onecycle-plain": lambda s, o: s.OneCycleLR(o, max_lr=0.5, total_steps=24, cycle_momentum=False, pct_start=0.5),
    "cyclic": lambda s, o: s.CyclicLR(o, base_lr=0.1, max_lr=0.7, step_size_up=3, step_size_down=5),
    "cyclic-2": lambda s, o: s.CyclicLR(o, base_lr=[0.1, 0.2], max_lr=0.7, step_size_up=3, mode="triangular2"),
    "cyclic-exp": lambda s, o: s.CyclicLR(o, base_lr=0.1, max_lr=0.7, step_size_up=4, mode="exp_range", gamma=0.9),
    "cyclic-own": lambda s, o: s.CyclicLR(
        o, 0.1, 0.7, 4, scale_fn=lambda x: 1 / (1 + x), scale_mode="iterations", cycle_momentum=False
    ),
    "sequential": lambda s, o: s.SequentialLR(
        o,
        [s.LinearLR(o, 0.1, total_iters=4), s.CosineAnnealingLR(o, T_max=6), s.ExponentialLR(o, 0.9)],
        milestones=[4, 11],
    ),
    "chained": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, total_iters=3), s.ExponentialLR(o, 0.9), s.StepLR(o, 4, 0.5)]
    ),
    "chained-cosine": lambda s, o: s.ChainedScheduler([s.LinearLR(o, 0.5), s.CosineAnnealingLR(o, T_max=30)]),
}


def ours(kind: str = "SGD") -> Any:
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    options = {"momentum": 0.9} if kind == "SGD" else {}
    return getattr(optim, kind)([{"params": [a]}, {"params": [b], "lr": 0.4}], lr=0.8, **options)


def theirs(torch: Any, kind: str = "SGD") -> Any:
    a, b = (torch.ones(1, requires_grad=True) for _ in range(2))
    options = {"momentum": 0.9} if kind == "SGD" else {}
    return getattr(torch.optim, kind)([{"params": [a]}, {"params": [b], "lr": 0.4}], lr=0.8, **options)


def seen(optimizer: Any) -> list[float]:
    """The rates and the momenta of the groups."""
    return [
        value
        for group in optimizer.param_groups
        for value in (group["lr"], group["betas"][0] if "betas" in group else group["momentum"])
    ]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", CASES)
def test_rates_equal_torch_at_every_step(name: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    mine, other = ours(kind), theirs(torch, kind)
    scheduler, reference = CASES[name](lr_scheduler, mine), CASES[name](torch.optim.lr_scheduler, other)
    assert seen(mine) == pytest.approx(seen(other), rel=1e-12, abs=1e-15)
    for _ in range(24):
        mine.step()
        other.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own, of its sequential one
            reference.step()
        scheduler.step()
        assert seen(mine) == pytest.approx(seen(other), rel=1e-10, abs=1e-15)
    assert scheduler.get_last_lr() == [group["lr"] for group in mine.param_groups]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_reduce_on_plateau_equals_torch(mode: str, threshold_mode: str) -> None:
    torch = pytest.importorskip("torch")
    options = {"mode": mode, "threshold_mode": threshold_mode, "factor": 0.5, "patience": 2, "cooldown": 1}
    options |= {"threshold": 0.01, "min_lr": [0.05, 0.2]}
    mine, other = ours(), theirs(torch)
    scheduler = lr_scheduler.ReduceLROnPlateau(mine, **options)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(other, **options)
    rates = set()
    for k in range(40):
        value = math.sin(k / 3) * math.exp(-k / 10) + (math.nan if k == 20 else 0.0)
        scheduler.step(pg.asarray(value) if k % 2 else value)
        reference.step(value)
        assert seen(mine) == pytest.approx(seen(other), rel=1e-12)
        rates.add(mine.param_groups[0]["lr"])
    assert len(rates) > 2


@pytest.mark.parametrize("name", CASES)
def test_a_schedule_goes_on_after_loading(name: str) -> None:
    first, second = ours(), ours()
    scheduler, other = CASES[name](lr_scheduler, first), CASES[name](lr_scheduler, second)
    for _ in range(5):
        first.step()
        scheduler.step()
    state = json.loads(json.dumps(scheduler.state_dict()))
    second.load_state_dict(first.state_dict())
    other.load_state_dict(state)
    for _ in range(12):
        first.step()
        second.step()
        scheduler.step()
        other.step()
        assert seen(first) == seen(second)


def test_plateau_goes_on_after_loading() -> None:
    first, second = ours(), ours()
    scheduler, other = (lr_scheduler.ReduceLROnPlateau(o, patience=1) for o in (first, second))
    for _ in range(2):
        scheduler.step(1.0)
    other.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    for s in (scheduler, other):
        s.step(1.0)
    assert seen(first) == seen(second) != seen(ours())
    with pytest.raises(pg.errors.StateError, match="only here or only there"):
        other.load_state_dict({"best": 1.0})


def test_loading_a_state_that_does_not_fit_changes_nothing() -> None:
    optimizer = ours()
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    before = scheduler.state_dict()
    with pytest.raises(pg.errors.StateError, match=r"StepLR.*gamma, step_size"):
        scheduler.load_state_dict({"base_lrs": [], "last_epoch": 3, "_step_count": 1})
    assert scheduler.state_dict() == before
    chained = CASES["chained"](lr_scheduler, ours())
    before = chained.state_dict()
    with pytest.raises(pg.errors.StateError, match="of 3 schedulers: it has 1"):
        chained.load_state_dict({**before, "_schedulers": before["_schedulers"][:1]})
    broken = [*before["_schedulers"][:2], {}]
    changed = [{**before["_schedulers"][0], "last_epoch": 9}, *broken[1:]]
    with pytest.raises(pg.errors.StateError, match="StepLR"):
        chained.load_state_dict({**before, "_schedulers": changed})
    assert chained.state_dict() == before


def test_resuming_at_an_epoch_takes_the_rates_from_there() -> None:
    first = ours()
    scheduler = lr_scheduler.ExponentialLR(first, 0.5)
    for _ in range(3):
        first.step()
        scheduler.step()
    second = ours()
    second.load_state_dict(first.state_dict())
    again = lr_scheduler.ExponentialLR(second, 0.5, last_epoch=scheduler.last_epoch - 1)
    assert again.get_last_lr() == scheduler.get_last_lr() == pytest.approx([0.1, 0.05])
    with pytest.raises(ValueError, match="group 0 has no 'initial_lr'"):
        lr_scheduler.ExponentialLR(ours(), 0.5, last_epoch=3)


def test_a_step_before_the_optimisers_is_warned_of() -> None:
    scheduler = lr_scheduler.ExponentialLR(ours(), 0.5)
    with pytest.warns(UserWarning, match=r"call it after optimizer\.step"):
        scheduler.step()


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda s, o: s.StepLR(3, 1), TypeError, "schedules an Optimizer, not int"),
    (lambda s, o: s.StepLR(o, 0), ValueError, "step_size must be at least 1, got 0"),
    (lambda s, o: s.LambdaLR(o, [math.sin]), ValueError, "one value, or 2 for the optimiser's groups, got 1"),
    (lambda s, o: s.LinearLR(o, 0.0), ValueError, "start_factor must be above 0 to 1"),
    (lambda s, o: s.ConstantLR(o, 1.5), ValueError, "factor must be 0 to 1, got 1.5"),
    (lambda s, o: s.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0 must be an integer"),
    (lambda s, o: s.OneCycleLR(o, 1.0), ValueError, "needs total_steps, or epochs"),
    (lambda s, o: s.OneCycleLR(o, 1.0, total_steps=0), ValueError, "at least one step"),
    (lambda s, o: s.OneCycleLR(o, 1.0, 5, anneal_strategy="sine"), ValueError, "'cos' or 'linear'"),
    (lambda s, o: s.OneCycleLR(o, 1.0, 5, pct_start=2.0), ValueError, "pct_start must be 0 to 1"),
    (lambda s, o: s.CyclicLR(o, 0.1, 1.0, mode="square"), ValueError, "got 'square'"),
    (
        lambda s, o: s.CyclicLR(optim.Adagrad([nn.Parameter([1.0])]), 0.1, 1.0),
        ValueError,
        "which Adagrad has not; pass cycle_momentum=False",
    ),
    (lambda s, o: s.SequentialLR(o, [s.StepLR(o, 1)], [3]), ValueError, "1 schedulers need 0 milestones, got 1"),
    (lambda s, o: s.ChainedScheduler([]), ValueError, "at least one scheduler"),
    (lambda s, o: s.ChainedScheduler([s.StepLR(o, 1), s.StepLR(ours(), 1)]), ValueError, "another optimiser"),
    (lambda s, o: s.ChainedScheduler([s.ReduceLROnPlateau(o)]), TypeError, "entry 0 is ReduceLROnPlateau"),
    (lambda s, o: s.ReduceLROnPlateau(o, factor=1.0), ValueError, "factor must be below 1"),
    (lambda s, o: s.ReduceLROnPlateau(o, mode="best"), ValueError, "'min' or 'max', got 'best'"),
    (lambda s, o: s.ReduceLROnPlateau(None), TypeError, "not NoneType"),
]


@pytest.mark.parametrize(("make", "error", "words"), REFUSED)
def test_refusals(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(lr_scheduler, ours())


def test_one_cycle_ends() -> None:
    optimizer = ours()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=2)
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    with pytest.raises(ValueError, match="this is step 3, but the cycle has 2"):
        scheduler.step()


def test_plateau_with_new_groups_is_told() -> None:
    optimizer = ours()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    optimizer.add_param_group({"params": [nn.Parameter([1.0])]})
    scheduler.step(1.0)
    with pytest.raises(ValueError, match="had 2 groups and has 3 now"):
        scheduler.step(1.0)


def test_a_schedule_reads_well() -> None:
    assert repr(lr_scheduler.StepLR(ours(), 3)) == "StepLR(step_size=3, gamma=0.1, last_epoch=0)"
    assert repr(lr_scheduler.ReduceLROnPlateau(ours())).startswith("ReduceLROnPlateau(mode='min', factor=0.1")
