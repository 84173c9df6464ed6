"""Dropout as a layer."""

from __future__ import annotations

import polygrad as pg

from .. import functional as F
from ..module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training mode, each element 0 with probability ``p``, else divided by ``1 - p``.

    Args:
        p: the probability.
        generator: what draws; the default generator unless told.

    Raises:
        ValueError: if ``p`` is not in 0 to 1.

    >>> import polygrad as pg
    >>> pg.nn.Dropout(0.5).eval()(pg.ones(3))
    tensor([1., 1., 1.], dtype=float64)
    """

    def __init__(self, p: float = 0.5, generator: pg.random.Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is a probability, 0 to 1, got {p}")
        self.p = p
        self.generator = generator

    def forward(self, x: pg.Tensor) -> pg.Tensor:
        """``x`` of any shape; the result has the same."""
        return F.dropout(x, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"
