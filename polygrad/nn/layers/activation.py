"""Activations as layers."""

from __future__ import annotations

import polygrad as pg

from .. import functional as F
from ..module import Module

__all__ = ["ReLU", "Sigmoid", "Tanh"]


class ReLU(Module):
    """``max(x, 0)``, with derivative 0 at 0.

    >>> import polygrad as pg
    >>> pg.nn.ReLU()(pg.asarray([-1.0, 2.0]))
    tensor([0., 2.], dtype=float64)
    """

    def forward(self, x: pg.Tensor) -> pg.Tensor:
        """``x`` of any shape; the result has the same."""
        return F.relu(x)


class Tanh(Module):
    """``tanh(x)``.

    >>> import polygrad as pg
    >>> pg.nn.Tanh()(pg.asarray([0.0]))
    tensor([0.], dtype=float64)
    """

    def forward(self, x: pg.Tensor) -> pg.Tensor:
        """``x`` of any shape; the result has the same."""
        return F.tanh(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``.

    >>> import polygrad as pg
    >>> pg.nn.Sigmoid()(pg.asarray([0.0]))
    tensor([0.5], dtype=float64)
    """

    def forward(self, x: pg.Tensor) -> pg.Tensor:
        """``x`` of any shape; the result has the same."""
        return F.sigmoid(x)
