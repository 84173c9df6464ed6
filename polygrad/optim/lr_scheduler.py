"""Schedules of the learning rate, with PyTorch's names, arguments and values.

>>> import polygrad as pg
>>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=0.1)
>>> scheduler = pg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
>>> rates = scheduler.get_last_lr()
>>> for _ in range(4):
...     optimizer.step()
...     scheduler.step()
...     rates += scheduler.get_last_lr()
>>> [round(rate, 4) for rate in rates]
[0.1, 0.0854, 0.05, 0.0146, 0.0]
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from .optimizer import Optimizer
from .schedule import (
    ChainedScheduler,
    LRScheduler,
    SequentialLR,
    check_keys,
    for_each_group,
    functions_state,
    restore_functions,
)

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

Rule = Callable[[int], float]


class LambdaLR(LRScheduler):
    """The first rate times a function of the step.

    Args:
        optimizer: see :class:`LRScheduler`.
        lr_lambda: the function, or one for each group. In the state dict are the attributes of objects that are
            called; functions are not.
        last_epoch: see :class:`LRScheduler`.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1 / (k + 1))
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Rule | Sequence[Rule], last_epoch: int = -1) -> None:
        self.lr_lambdas: list[Rule] = for_each_group("LambdaLR: lr_lambda", optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def _saved(self) -> dict[str, Any]:
        return {**super()._saved(), "lr_lambdas": functions_state(self.lr_lambdas)}

    def _take_over(self, state: Mapping[str, Any]) -> None:
        restore_functions(self.lr_lambdas, state["lr_lambdas"])
        super()._take_over({k: v for k, v in state.items() if k != "lr_lambdas"})

    def get_lr(self) -> list[float]:
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(LRScheduler):
    """Each step multiplies the rate by a function of the step.

    Args:
        optimizer: see :class:`LRScheduler`.
        lr_lambda: the function, or one for each group. In the state dict are the attributes of objects that are
            called; functions are not.
        last_epoch: see :class:`LRScheduler`.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda k: 0.5)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Rule | Sequence[Rule], last_epoch: int = -1) -> None:
        self.lr_lambdas: list[Rule] = for_each_group("MultiplicativeLR: lr_lambda", optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def _saved(self) -> dict[str, Any]:
        return {**super()._saved(), "lr_lambdas": functions_state(self.lr_lambdas)}

    def _take_over(self, state: Mapping[str, Any]) -> None:
        restore_functions(self.lr_lambdas, state["lr_lambdas"])
        super()._take_over({k: v for k, v in state.items() if k != "lr_lambdas"})

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self.get_last_lr()
        pairs = zip(self.optimizer.param_groups, self.lr_lambdas, strict=True)
        return [group["lr"] * f(self.last_epoch) for group, f in pairs]


class StepLR(LRScheduler):
    """Every ``step_size`` steps, the rate is multiplied by ``gamma``.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = _positive("StepLR: step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        at_step = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return self._times(self.gamma) if at_step else self.get_last_lr()

    def closed_form(self) -> list[float]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """At each of some steps, the rate is multiplied by ``gamma`` (twice where a milestone is given twice).

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.MultiStepLR(optimizer, [1, 80], gamma=0.5)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        times = self.milestones[self.last_epoch]
        return self._times(self.gamma**times) if times else self.get_last_lr()

    def closed_form(self) -> list[float]:
        passed = sum(n for at, n in self.milestones.items() if at <= self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]

    def _take_over(self, state: Mapping[str, Any]) -> None:
        # JSON makes the numbers of a dict's keys to text.
        super()._take_over({**state, "milestones": Counter({int(k): n for k, n in state["milestones"].items()})})


class ConstantLR(LRScheduler):
    """The rate times ``factor`` for the first ``total_iters`` steps.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> pg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5).get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor = _share("ConstantLR: factor", factor)
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._times(self.factor)
        if self.last_epoch != self.total_iters:
            return self.get_last_lr()
        if not self.factor:  # nothing is left to be multiplied
            return list(self.base_lrs)
        return self._times(1 / self.factor)

    def closed_form(self) -> list[float]:
        return [base * (1.0 if self.last_epoch >= self.total_iters else self.factor) for base in self.base_lrs]


class LinearLR(LRScheduler):
    """The rate times a factor that goes from ``start_factor`` to ``end_factor`` in ``total_iters`` even steps: a
    warm-up.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = _share("LinearLR: start_factor", start_factor, zero=False)
        self.end_factor = _share("LinearLR: end_factor", end_factor)
        self.total_iters = _positive("LinearLR: total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._times(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self.get_last_lr()
        rise = self.end_factor - self.start_factor
        return self._times(1 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))

    def closed_form(self) -> list[float]:
        done = min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (self.start_factor + (self.end_factor - self.start_factor) * done) for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Each step multiplies the rate by ``gamma``.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._times(self.gamma) if not self._is_initial else self.get_last_lr()

    def closed_form(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """The rate falls to zero as ``(1 - step / total_iters) ** power``.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=2)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = _positive("PolynomialLR: total_iters", total_iters)
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_initial or self.last_epoch > self.total_iters or self.last_epoch == 0:
            return self.get_last_lr()
        left = self.total_iters - self.last_epoch
        return self._times((left / (left + 1)) ** self.power)

    def closed_form(self) -> list[float]:
        left = 1 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]


# The recursion, not the closed form, so that another schedule may work on the same rate; after a minimum, where
# nothing is left to multiply, the first step up again is taken from the first rate.
class CosineAnnealingLR(LRScheduler):
    """Half a cosine wave from the first rate down to ``eta_min`` in ``T_max`` steps, and up again (Loshchilov and
    Hutter, 2017, without restarts).

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = _positive("CosineAnnealingLR: T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self.get_last_lr() if self.last_epoch == 0 else self.closed_form()
        step = math.pi / self.T_max
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            up = (1 - math.cos(step)) / 2
            rates = zip(self.get_last_lr(), self.base_lrs, strict=True)
            return [rate + (base - self.eta_min) * up for rate, base in rates]
        ratio = (1 + math.cos(step * self.last_epoch)) / (1 + math.cos(step * (self.last_epoch - 1)))
        return [ratio * (rate - self.eta_min) + self.eta_min for rate in self.get_last_lr()]

    def closed_form(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class ReduceLROnPlateau:
    """Multiplies the rate by ``factor`` when a number that is watched has not become better for a while; call
    ``step(number)`` after each epoch.

    Args:
        optimizer: the optimiser.
        mode: ``"min"`` if less is better, ``"max"`` if more is.
        factor: below 1.
        patience: for how many steps without getting better the rate stays.
        threshold: how much better counts as better.
        threshold_mode: ``"rel"`` to the best so far, or ``"abs"``.
        cooldown: how many steps after a reduction do not count.
        min_lr: the least rate, or one for each group.
        eps: smaller reductions are not made.

    Raises:
        ValueError: for options that make no sense.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.0]:
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"ReduceLROnPlateau: schedules an Optimizer, not {type(optimizer).__qualname__}")
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be below 1, got {factor}")
        for name, value, words in (("mode", mode, ("min", "max")), ("threshold_mode", threshold_mode, ("rel", "abs"))):
            if value not in words:
                raise ValueError(f"ReduceLROnPlateau: {name} must be {words[0]!r} or {words[1]!r}, got {value!r}")
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs = for_each_group("ReduceLROnPlateau: min_lr", optimizer, min_lr)
        self.last_epoch = self.cooldown_counter = self.num_bad_epochs = 0
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf
        self._last_lr = self.get_last_lr()

    def step(self, metrics: Any) -> None:
        """Note how good the model is now, and reduce the rate if it is time to.

        Args:
            metrics: a number, or a Tensor of one; nan is never better.
        """
        current = float(metrics.item() if hasattr(metrics, "item") else metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self.get_last_lr()

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            raise ValueError(
                f"ReduceLROnPlateau: the optimiser had {len(self.min_lrs)} groups and has {len(groups)} now; set "
                "min_lrs for all of them"
            )
        for group, least in zip(groups, self.min_lrs, strict=True):
            rate = max(group["lr"] * self.factor, least)
            if group["lr"] - rate > self.eps:
                group["lr"] = rate

    def _is_better(self, now: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * now < sign * self.best * (1 - sign * self.threshold)
        return sign * now < sign * self.best - self.threshold

    def get_last_lr(self) -> list[float]:
        """The groups' rates as they are."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as plain data."""
        return {k: list(v) if isinstance(v, list) else v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where another one stood.

        Raises:
            StateError: listing what is missing or unexpected; nothing is loaded then.
        """
        check_keys(self, state, self.state_dict())
        self.__dict__.update(state)

    def __repr__(self) -> str:
        shown = {k: v for k, v in self.state_dict().items() if k[0] != "_"}
        return f"ReduceLROnPlateau({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value


def _share(name: str, value: float, zero: bool = True) -> float:
    if not (0 <= value <= 1) or (not value and not zero):
        raise ValueError(f"{name} must be {'0' if zero else 'above 0'} to 1, got {value}")
    return value
