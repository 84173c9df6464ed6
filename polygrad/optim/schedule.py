"""The base of all schedules of learning rates, and those made of others."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import polygrad as pg

from .optimizer import Optimizer

__all__ = ["ChainedScheduler", "LRScheduler", "SequentialLR", "for_each_group"]


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
        self._started = False
        self._begin()

    def _begin(self) -> None:
        self._started = False
        self.last_epoch += 1
        self._set(self.get_lr())
        self._started = True

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
        self._set(self.get_lr())

    def _restart(self) -> None:
        """Begin at epoch 0, whatever the groups' rates are."""
        self.last_epoch = 0
        self._set(self.closed_form())

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def _times(self, factor: float) -> list[float]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    # -- state -------------------------------------------------------------------------------------

    def _own(self) -> dict[str, Any]:
        """What the state is made of: all but the optimiser and the user's functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not _has_functions(v)}

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as plain data; the rates themselves are in the optimiser's."""
        return {k: list(v) if isinstance(v, list) else v for k, v in self._own().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where a schedule of the same kind stood.

        Raises:
            StateError: listing what is missing or unexpected; nothing is loaded then.
        """
        wrong = sorted(set(state) ^ set(self._own()))
        if wrong:
            raise pg.errors.StateError(
                f"the state dict does not fit this {type(self).__qualname__}; only here or only there: "
                f"{', '.join(wrong)}; nothing was loaded"
            )
        self.__dict__.update(state)

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in self._own().items() if k != "base_lrs" and k[0] != "_")
        return f"{type(self).__qualname__}({settings})"


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

    def state_dict(self) -> dict[str, Any]:
        own = {k: v for k, v in super().state_dict().items() if k != "_schedulers"}
        return {**own, "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        entries = list(state.get("_schedulers", []))
        if len(entries) != len(self._schedulers):
            raise pg.errors.StateError(
                f"the state dict does not fit this {type(self).__qualname__} of {len(self._schedulers)} schedulers: it "
                f"has {len(entries)}; nothing was loaded"
            )
        before = self.state_dict()
        try:
            for scheduler, entry in zip(self._schedulers, entries, strict=True):
                scheduler.load_state_dict(entry)
            super().load_state_dict({**state, "_schedulers": self._schedulers})
        except pg.errors.StateError:
            for scheduler, entry in zip(self._schedulers, before["_schedulers"], strict=True):
                scheduler.load_state_dict(entry)
            raise


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
        self._started = True
        self._set(self.base_lrs)
        _undo(self)
        self._schedulers[bisect_right(self._milestones, 0)]._begin()

    def step(self) -> None:
        """Go on by one."""
        self.last_epoch += 1
        at = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[at]
        if at and self._milestones[at - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()


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
        self.last_epoch = 0
        self._started = True

    def step(self) -> None:
        """Go on by one in each."""
        self.last_epoch += 1
        for scheduler in self._schedulers:
            scheduler.step()

    def _begin(self) -> None:
        for scheduler in self._schedulers:
            scheduler._begin()

    def _restart(self) -> None:
        self._set(self.base_lrs)
        for scheduler in self._schedulers:
            scheduler.last_epoch = -1
            scheduler._begin()
