"""Averages of weights: exponential (EMA) and equal (Izmailov et al., 2018, "Averaging weights leads to wider optima")."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import polygrad as pg

from .optimizer import is_traced

__all__ = ["AveragedModel", "get_ema_avg_fn"]

Average = Callable[[pg.Tensor, pg.Tensor, Any], Any]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """An exponential moving average for :class:`AveragedModel`: ``decay`` times the average, and the rest of the
    model.

    Raises:
        ValueError: if the decay is not in 0 to 1.

    >>> import polygrad as pg
    >>> pg.optim.get_ema_avg_fn(0.75)(pg.asarray(1.0), pg.asarray(5.0), 1)
    tensor(2., dtype=float64)
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"get_ema_avg_fn: decay must be in 0 to 1, got {decay}")

    def average(averaged: pg.Tensor, now: pg.Tensor, n: int) -> pg.Tensor:
        return averaged * decay + now * (1 - decay)

    return average


class AveragedModel(pg.nn.Module):
    """A copy of a model whose parameters are averages of the model's; call :meth:`update_parameters` after each step,
    and use the copy to predict.

    Args:
        model: any module; it is copied.
        device: where the averages are kept; where the model is unless told.
        avg_fn: the new average, of the average, the model's value and how many were averaged before (a Tensor in a static
            graph); the mean of all
            unless told (:func:`get_ema_avg_fn` gives the exponential one).
        use_buffers: average floating buffers too, rather than take over the model's.

    Attributes:
        module: the copy.
        n_averaged: how many states have been averaged, a Tensor.

    >>> import polygrad as pg
    >>> model = pg.nn.Linear(1, 1, bias=False)
    >>> averaged = pg.optim.AveragedModel(model)
    >>> for value in [1.0, 2.0, 6.0]:
    ...     _ = pg.nn.init.ones_(model.weight)
    ...     with pg.no_grad():
    ...         model.weight *= value
    ...     averaged.update_parameters(model)
    >>> averaged.module.weight.item()
    3.0
    """

    module: pg.nn.Module
    n_averaged: pg.Tensor

    def __init__(
        self,
        model: pg.nn.Module,
        device: Any = None,
        avg_fn: Average | None = None,
        use_buffers: bool = False,
    ) -> None:
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device=device)
        self.register_buffer("n_averaged", pg.asarray(0, dtype="int64", device="cpu"))
        self.avg_fn = avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: pg.nn.Module) -> None:
        """Take a state of the model into the averages.

        Raises:
            StateError: if its parameters have other names or shapes.
        """
        n: int | pg.Tensor = self.n_averaged if is_traced() else int(self.n_averaged)
        pairs = _paired("parameters", dict(self.module.named_parameters()), dict(model.named_parameters()))
        buffers = _paired("buffers", dict(self.module.named_buffers()), dict(model.named_buffers()))
        with pg.no_grad():
            for averaged, now in pairs:
                self._take(averaged, now, n)
            for averaged, now in buffers:
                if self.use_buffers and averaged.dtype.inexact:
                    self._take(averaged, now, n)
                else:
                    averaged[...] = now.detach().to_device(averaged.device)
            self.n_averaged = self.n_averaged + 1

    def _take(self, averaged: pg.Tensor, now: pg.Tensor, n: int | pg.Tensor) -> None:
        here = now.detach().to_device(averaged.device)
        if isinstance(n, pg.Tensor):  # in a static graph the count is known at each run only
            average = self.avg_fn or (lambda old, new, n: old + (new - old) / pg.astype(n + 1, old.dtype))
            averaged[...] = pg.where(n == 0, here, average(averaged.detach(), here, n))
        elif not n:
            averaged[...] = here
        elif self.avg_fn is None:
            averaged[...] = averaged + (here - averaged) / (n + 1)
        else:
            averaged[...] = self.avg_fn(averaged.detach(), here, n)


def _paired(word: str, mine: dict[str, Any], theirs: dict[str, Any]) -> list[tuple[Any, Any]]:
    wrong = sorted(set(mine) ^ set(theirs))
    wrong += [f"{k} (shape {mine[k].shape} here)" for k in mine if k in theirs and mine[k].shape != theirs[k].shape]
    if wrong:
        raise pg.errors.StateError(f"this model's {word} are not those of the one averaged: {', '.join(wrong)}")
    return [(x, theirs[k]) for k, x in mine.items()]
