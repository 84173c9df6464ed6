"""Losses as layers."""

from __future__ import annotations

from typing import Any

import polygrad as pg

from .. import functional as F
from ..module import Module

__all__ = ["CrossEntropyLoss", "MSELoss"]


class _Loss(Module):
    """A function of predictions and targets with a ``reduction``."""

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """See :func:`polygrad.nn.functional.cross_entropy`.

    >>> import polygrad as pg
    >>> pg.nn.CrossEntropyLoss()(pg.asarray([[0.0, 0.0]]), pg.asarray([1]))
    tensor(0.69314718, dtype=float64)
    """

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Logits of shape (batch, classes, ...) and integer classes of shape (batch, ...)."""
        return F.cross_entropy(input, target, self.reduction)


class MSELoss(_Loss):
    """See :func:`polygrad.nn.functional.mse_loss`.

    >>> import polygrad as pg
    >>> pg.nn.MSELoss()(pg.asarray([1.0]), pg.asarray([3.0]))
    tensor(4., dtype=float64)
    """

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Two tensors of one shape."""
        return F.mse_loss(input, target, self.reduction)
