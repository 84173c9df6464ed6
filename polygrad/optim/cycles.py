"""Schedules that go up and down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .optimizer import Optimizer
from .schedule import LRScheduler, for_each_group, functions_state, restore_functions

__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosine waves from the first rate down to ``eta_min``, each ``T_mult`` times as long as the one before
    (SGDR: Loshchilov and Hutter, 2017).

    Args:
        optimizer: see :class:`LRScheduler`.
        T_0: the first wave's steps.
        T_mult: how many times longer each next one is.
        eta_min: the least rate.
        last_epoch: see :class:`LRScheduler`.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = pg.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> [round(rate, 12) for rate in rates]
    [1.0, 0.5, 1.0, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"CosineAnnealingWarmRestarts: {name} must be an integer of at least 1, got {value}")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_cur, self.T_i = self._within_wave(last_epoch)
        super().__init__(optimizer, last_epoch)

    def _begin(self) -> None:
        super()._begin()
        self._step_count = 0  # PyTorch does not count these steps

    def _within_wave(self, at: float) -> tuple[float, int]:
        """How far into its wave a step is, and that wave's length."""
        length = self.T_0
        while at >= length:
            at, length = at - length, length * self.T_mult
            if self.T_mult == 1:
                at %= length
        return max(at, 0), length

    def step(self, epoch: float | None = None) -> None:
        """Go on by one.

        Args:
            epoch: go to there instead; it may be a fraction, as ``epoch + batch / batches`` after each batch.

        Raises:
            ValueError: if it is negative.
        """
        if epoch is not None and epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts.step: epoch must be at least 0, got {epoch}")
        if epoch is None:
            super().step()
            self._step_count -= 1
        else:
            self.last_epoch, (self.T_cur, self.T_i) = math.floor(epoch), self._within_wave(epoch)
            self._set(self._rates())

    def get_lr(self) -> list[float]:
        self.T_cur, self.T_i = self._within_wave(self.last_epoch)
        return self._rates()

    def _rates(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


def _momentum_option(kind: str, optimizer: Optimizer) -> str:
    """Which option of an optimiser is its momentum."""
    option = next((name for name in ("betas", "momentum") if name in optimizer.defaults), None)
    if option is None:
        raise ValueError(
            f"{kind}: cycle_momentum needs an optimiser with momentum or betas, which "
            f"{type(optimizer).__qualname__} has not; pass cycle_momentum=False"
        )
    return option


def _note_range(optimizer: Optimizer, option: str, base: Sequence[float], largest: Sequence[float]) -> None:
    """Note the range of each group's momentum."""
    for group, low, high in zip(optimizer.param_groups, base, largest, strict=True):
        group["base_momentum"], group["max_momentum"] = low, high
        _set_momentum(group, option, high)


def _set_momentum(group: dict[str, Any], option: str, value: float) -> None:
    group[option] = (value, *group["betas"][1:]) if option == "betas" else value


class CyclicLR(LRScheduler):
    """The rate goes up and down between two bounds in straight lines, the momentum the other way round (Smith, 2017).

    Args:
        optimizer: see :class:`LRScheduler`.
        base_lr, max_lr: the bounds, or one for each group.
        step_size_up, step_size_down: the steps of a rise and of a fall (the same unless told).
        mode: ``"triangular"``; ``"triangular2"`` halves each next cycle's height; ``"exp_range"`` scales the height by
            ``gamma ** step``.
        gamma: see there.
        scale_fn: a function that scales the height, in place of a mode. It is not in the state dict.
        scale_mode: whether ``scale_fn`` takes the number of the ``"cycle"`` or of the step (``"iterations"``).
        cycle_momentum: whether the momentum (or the first beta) cycles too.
        base_momentum, max_momentum: its bounds.
        last_epoch: see :class:`LRScheduler`.

    Raises:
        ValueError: for an unknown mode, or an optimiser without momentum where it shall cycle.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], momentum=0.9)
    >>> scheduler = pg.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.0, max_lr=1.0, step_size_up=2)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range', got {mode!r}")
        bases = for_each_group("CyclicLR: base_lr", optimizer, base_lr)
        self.max_lrs = for_each_group("CyclicLR: max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, bases, strict=True):
                group["lr"] = rate
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self.scale_fn = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            option = _momentum_option("CyclicLR", optimizer)
            self.use_beta1 = option == "betas"
            self.base_momentums = for_each_group("CyclicLR: base_momentum", optimizer, base_momentum)
            self.max_momentums = for_each_group("CyclicLR: max_momentum", optimizer, max_momentum)
            if last_epoch == -1:
                _note_range(optimizer, option, self.base_momentums, self.max_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = bases
        self._set(self.get_lr())

    def _saved(self) -> dict[str, Any]:
        own = {k: v for k, v in super()._saved().items() if k != "scale_fn"}
        return {**own, "_scale_fn_custom": None if self.scale_fn is None else functions_state([self.scale_fn])[0]}

    def _take_over(self, state: Mapping[str, Any]) -> None:
        restore_functions([self.scale_fn], [state["_scale_fn_custom"]])
        super()._take_over({k: v for k, v in state.items() if k != "_scale_fn_custom"})

    def _scale(self, cycle: int) -> float:
        at = cycle if self.scale_mode == "cycle" else self.last_epoch
        if self.scale_fn is not None:
            return self.scale_fn(at)
        if self.mode == "exp_range":
            return self.gamma**at
        return 1.0 if self.mode == "triangular" else 0.5 ** (at - 1)

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height *= self._scale(cycle)
        if self.cycle_momentum:
            ranges = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in ranges:
                _set_momentum(group, "betas" if self.use_beta1 else "momentum", high - (high - low) * height)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]


class OneCycleLR(LRScheduler):
    """One rise from ``max_lr / div_factor`` to ``max_lr`` and one fall to next to nothing, the momentum the other way
    round (Smith and Topin, 2019). Call ``step()`` after each batch.

    Args:
        optimizer: see :class:`LRScheduler`.
        max_lr: the largest rate, or one for each group.
        total_steps: the cycle's steps; or give ``epochs`` and ``steps_per_epoch``.
        pct_start: the rise's share of the steps.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: whether the momentum (or the first beta) cycles too.
        base_momentum, max_momentum: its bounds.
        div_factor: the first rate is ``max_lr / div_factor``.
        final_div_factor: the last one is that divided by this.
        three_phase: fall back to the first rate symmetrically, then to the last.
        last_epoch: see :class:`LRScheduler`.

    Raises:
        ValueError: for options that make no sense; by ``step``, after the last one.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], momentum=0.9)
    >>> scheduler = pg.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> [round(rate, 12) for rate in scheduler.get_last_lr()]
    [0.04]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: needs total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if total_steps < 1:
            raise ValueError(f"OneCycleLR: needs at least one step, got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be 0 to 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        self.total_steps, self._anneal_func_type = total_steps, anneal_strategy
        self._schedule_phases = _phases(pct_start * total_steps - 1, total_steps - 1, three_phase)
        if last_epoch == -1:
            for group, rate in zip(
                optimizer.param_groups, for_each_group("OneCycleLR: max_lr", optimizer, max_lr), strict=True
            ):
                first = rate / div_factor
                group.update(initial_lr=first, max_lr=rate, min_lr=first / final_div_factor)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            option = _momentum_option("OneCycleLR", optimizer)
            self.use_beta1 = option == "betas"
            if last_epoch == -1:
                base = for_each_group("OneCycleLR: base_momentum", optimizer, base_momentum)
                largest = for_each_group("OneCycleLR: max_momentum", optimizer, max_momentum)
                _note_range(optimizer, option, base, largest)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch >= self.total_steps + 1:
            raise ValueError(
                f"OneCycleLR: this is step {self.last_epoch}, but the cycle has {self.total_steps}; no rate is "
                "scheduled beyond it"
            )
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if self.last_epoch <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        done = (self.last_epoch - start) / (phase["end_step"] - start)
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            for group in groups:
                value = self._between(group[phase["start_momentum"]], group[phase["end_momentum"]], done)
                _set_momentum(group, "betas" if self.use_beta1 else "momentum", value)
        return [self._between(group[phase["start_lr"]], group[phase["end_lr"]], done) for group in groups]

    def _between(self, start: float, end: float, done: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * done + start
        return end + (start - end) / 2 * (math.cos(math.pi * done) + 1)


def _phases(top: float, last: int, three: bool) -> list[dict[str, Any]]:
    """The phases of one cycle, each from where the one before ended."""
    ends: list[tuple[float, str, str]] = [(top, "max_lr", "base_momentum")]
    if three:
        ends.append((2 * top, "initial_lr", "max_momentum"))
    ends.append((last, "min_lr", "max_momentum"))
    phases, rate, momentum = [], "initial_lr", "max_momentum"
    for end, next_rate, next_momentum in ends:
        phases.append(
            {
                "end_step": end,
                "start_lr": rate,
                "end_lr": next_rate,
                "start_momentum": momentum,
                "end_momentum": next_momentum,
            }
        )
        rate, momentum = next_rate, next_momentum
    return phases
