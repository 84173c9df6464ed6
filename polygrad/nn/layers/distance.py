"""Distances as layers."""

from __future__ import annotations

import polygrad as pg

from .. import functional as F
from ..module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along ``dim``.

    Args:
        dim: the axis of the vectors.
        eps: the least length that is divided by.

    >>> import polygrad as pg
    >>> pg.nn.CosineSimilarity(dim=0)(pg.asarray([1.0, 0.0]), pg.asarray([1.0, 0.0]))
    tensor(1., dtype=float64)
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim = dim
        self.eps = eps

    def forward(self, x1: pg.Tensor, x2: pg.Tensor) -> pg.Tensor:
        """Two tensors whose shapes broadcast; the result lacks the axis ``dim``."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The ``p``-norm of ``x1 - x2 + eps`` along the last axis.

    Args:
        p: the norm's order.
        eps: added to the differences.
        keepdim: whether the last axis stays, with length 1.

    >>> import polygrad as pg
    >>> pg.nn.PairwiseDistance(eps=0.0)(pg.asarray([[3.0, 0.0]]), pg.asarray([[0.0, 4.0]]))
    tensor([5.], dtype=float64)
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: pg.Tensor, x2: pg.Tensor) -> pg.Tensor:
        """Two tensors whose shapes broadcast; the result lacks the last axis."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
