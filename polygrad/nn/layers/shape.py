"""Layers that only change shapes."""

from __future__ import annotations

import math

import polygrad as pg

from ..module import Module

__all__ = ["Flatten"]


class Flatten(Module):
    """The axes from ``start_dim`` to ``end_dim`` as one.

    Args:
        start_dim, end_dim: the first and last axis that become one, counted from the end if negative.

    >>> import polygrad as pg
    >>> pg.nn.Flatten()(pg.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (..., a, ..., b, ...); the result has a * ... * b in their place."""
        ndim = input.ndim
        first = self.start_dim + ndim * (self.start_dim < 0)
        last = self.end_dim + ndim * (self.end_dim < 0)
        if not 0 <= first <= last < ndim:
            raise pg.errors.ShapeError(
                f"Flatten: shape {input.shape} has no range of axes {self.start_dim} to {self.end_dim}"
            )
        shape = input.shape
        return pg.reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
