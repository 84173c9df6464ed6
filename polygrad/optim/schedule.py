"""The base of all schedules of learning rates, and those made of others."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any

import polygrad as pg

from .optimizer import Optimizer

__all__ = [
    "ChainedScheduler",
    "LRScheduler",
    "SequentialLR",
    "check_keys",
    "for_each_group",
    "functions_state",
    "restore_functions",
]


class LRScheduler:
    """Changes ``group["lr"]`` of an optimiser's groups as training goes on: call ``step()`` after the optimiser's, once
    for each epoch (or batch). A subclass writes :meth:`get_lr`.

    Schedules that only multiply the rate can be used together: each one's step multiplies what the others made.

    Args:
        optimizer: the optimiser. Its groups' rates are where the schedule starts; they are kept in
            ``group["initial_lr"]``.
        last_epoch: the last epoch done when training resumes; -1 at the start.

    Attributes:
        base_lrs: the groups' first rates.
        last_epoch: how many steps the schedule is from its start.

    Raises:
        TypeError: if there is no optimiser.
        ValueError: if training resumes with groups that have no ``"initial_lr"``.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        kind = type(self).__qualname__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{kind}: schedules an Optimizer, not {type(optimizer).__qualname__}")
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f"{kind}: group {i} has no 'initial_lr', which resuming at last_epoch={last_epoch} needs; load the "
                    "optimiser's state dict first"
                )
        self.optimizer = optimizer
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        # The names are PyTorch's, as they are in its state dicts.
        self._step_count = 0
        self._is_initial = False
        self._get_lr_called_within_step = False
        self._last_lr: list[float] = []
        self._begin()

    def _begin(self) -> None:
        self._is_initial = True
        self.last_epoch += 1
        self._step_count = 1
        self._set(self.get_lr())
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """The groups' rates at ``last_epoch``, from those of the step before; use :meth:`get_last_lr` to look."""
        raise NotImplementedError(f"{type(self).__qualname__} has no get_lr method")

    def closed_form(self) -> list[float]:
        """The groups' rates at ``last_epoch`` from the first ones, where no other schedule has a part in them."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The groups' rates as they are."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        """Go on by one."""
        if self.last_epoch == 0 and not self.optimizer.steps:
            warnings.warn(
                f"{type(self).__qualname__}.step was called before the optimiser's first step, so its first rate is "
                "never used; call it after optimizer.step()",
                stacklevel=2,
            )
        self.last_epoch += 1
        self._step_count += 1
        self._set(self.get_lr())

    def _restart(self) -> None:
        """Begin at epoch 0, whatever the groups' rates are."""
        self.last_epoch = 0
        self._set(self.closed_form())

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = list(rates)

    def _times(self, factor: float) -> list[float]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    # -- state -------------------------------------------------------------------------------------

    def _own(self) -> dict[str, Any]:
        """What the state is made of: all but the optimiser and the user's functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not _has_functions(v)}

    def _saved(self) -> dict[str, Any]:
        return {k: v.copy() if isinstance(v, (list, dict)) else v for k, v in self._own().items()}

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as plain data; the rates that count are in the optimiser's. It is what PyTorch's
        schedule of the same name gives, and each loads the other's."""
        return self._saved()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where a schedule of the same kind stood, here or in PyTorch.

        Raises:
            StateError: listing what is missing or unexpected; nothing is loaded then.
        """
        check_keys(self, state, self.state_dict())
        self._take_over(state)

    def _take_over(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in self._own().items() if k != "base_lrs" and k[0] != "_")
        return f"{type(self).__qualname__}({settings})"


_BOOKKEEPING = {"_step_count", "_is_initial", "_get_lr_called_within_step", "_last_lr", "verbose"}
"""What some versions of PyTorch note in a state and others do not, and nothing here depends on."""


def check_keys(scheduler: Any, state: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse a state of another kind.

    Raises:
        StateError: listing what is missing or unexpected.
    """
    wrong = sorted((set(state) ^ set(own)) - _BOOKKEEPING)
    if wrong:
        raise pg.errors.StateError(
            f"the state dict does not fit this {type(scheduler).__qualname__}; only here or only there: "
            f"{', '.join(wrong)}; nothing was loaded"
        )


def functions_state(functions: Sequence[Any]) -> list[Any]:
    """What a state dict holds of functions: the attributes of objects that are called, and None for functions."""
    return [None if isinstance(f, FunctionType) else dict(f.__dict__) for f in functions]


def restore_functions(functions: Sequence[Any], state: Sequence[Any]) -> None:
    """Give objects that are called the attributes that :func:`functions_state` noted."""
    for f, entry in zip(functions, state, strict=True):
        if entry is not None:
            f.__dict__.update(entry)


def _has_functions(value: Any) -> bool:
    return callable(value) or (isinstance(value, list) and any(callable(v) for v in value))


def for_each_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each group: the same for all, or those of a list."""
    n = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * n
    if len(value) != n:
        raise ValueError(f"{name} must be one value, or {n} for the optimiser's groups, got {len(value)}")
    return list(value)


class _Several(LRScheduler):
    """What schedules made of others share."""

    _schedulers: list[LRScheduler]

    def _take(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        kind = type(self).__qualname__
        if not schedulers:
            raise ValueError(f"{kind}: needs at least one scheduler, got none")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(
                    f"{kind}: entry {i} is {type(scheduler).__qualname__}; it takes schedulers whose step needs no "
                    "argument"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{kind}: scheduler {i} belongs to another optimiser")
        self.optimizer = optimizer
        self._schedulers = list(schedulers)

    def _own(self) -> dict[str, Any]:
        return {k: v for k, v in super()._own().items() if k in ("_milestones", "last_epoch", "_last_lr")}

    def state_dict(self) -> dict[str, Any]:
        return {**self._saved(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        entries = list(state.get("_schedulers", []))
        if len(entries) != len(self._schedulers):
            raise pg.errors.StateError(
                f"the state dict does not fit this {type(self).__qualname__} of {len(self._schedulers)} schedulers: it "
                f"has {len(entries)}; nothing was loaded"
            )
        before = self.state_dict()
        check_keys(self, state, before)
        try:
            for scheduler, entry in zip(self._schedulers, entries, strict=True):
                scheduler.load_state_dict(entry)
        except pg.errors.StateError:
            for scheduler, entry in zip(self._schedulers, before["_schedulers"], strict=True):
                scheduler.load_state_dict(entry)
            raise
        self._take_over({k: v for k, v in state.items() if k != "_schedulers"})


class SequentialLR(_Several):
    """One schedule after the other.

    Args:
        optimizer: the optimiser.
        schedulers: the schedules, made for the same optimiser.
        milestones: at which steps the second, the third, ... begin.

    Raises:
        ValueError: if the numbers of schedules and milestones do not fit, or a schedule is another optimiser's.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> warmup = pg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=10)
    >>> decay = pg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = pg.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[2])
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.5, 0.5, 1.0, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._take(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} milestones, got "
                f"{len(milestones)}"
            )
        self._milestones = list(milestones)
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch + 1
        self._set(self.base_lrs)
        _undo(self)
        self._first()._begin()
        self._last_lr = self.get_last_lr()

    def _first(self) -> LRScheduler:
        return self._schedulers[bisect_right(self._milestones, 0)]

    def _begin(self) -> None:
        self.last_epoch = 0
        self._first()._begin()
        self._last_lr = self.get_last_lr()

    def _restart(self) -> None:
        self._set(self.base_lrs)
        for scheduler in self._schedulers:
            scheduler.last_epoch = -1
        self._begin()

    def step(self) -> None:
        """Go on by one."""
        self.last_epoch += 1
        at = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[at]
        if at and self._milestones[at - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = self.get_last_lr()


def _undo(scheduler: LRScheduler) -> None:
    """Take back the first step of each schedule within, made when it was."""
    for inner in getattr(scheduler, "_schedulers", []):
        _undo(inner)
        if not hasattr(inner, "_schedulers"):
            inner.last_epoch -= 1


class ChainedScheduler(_Several):
    """Several schedules at once: each multiplies the rate in turn.

    Args:
        schedulers: the schedules, of one optimiser.
        optimizer: the optimiser; the first schedule's unless told.

    >>> import polygrad as pg
    >>> optimizer = pg.optim.SGD([pg.nn.Parameter([1.0])], lr=1.0)
    >>> both = pg.optim.lr_scheduler.ChainedScheduler([
    ...     pg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2),
    ...     pg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5),
    ... ])
    >>> optimizer.step()
    >>> both.step()
    >>> both.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        found = optimizer if optimizer is not None or not schedulers else getattr(schedulers[0], "optimizer", None)
        self._take(found, schedulers)  # type: ignore[arg-type]  # refused there if there is none
        self.base_lrs = [group["initial_lr"] for group in self.optimizer.param_groups]
        self._last_lr = self.get_last_lr()

    def _own(self) -> dict[str, Any]:
        return {"_last_lr": self._last_lr}

    def step(self) -> None:
        """Go on by one in each."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self.get_last_lr()

    def _begin(self) -> None:
        for scheduler in self._schedulers:
            scheduler._begin()

    def _restart(self) -> None:
        self._set(self.base_lrs)
        for scheduler in self._schedulers:
            scheduler.last_epoch = -1
            scheduler._begin()
