"""Dropout as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import polygrad as pg

from .. import functional as F
from ..module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _Dropout(Module):
    function: ClassVar[Callable[..., pg.Tensor]]

    def __init__(self, p: float = 0.5, inplace: bool = False, generator: pg.random.Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is a probability, 0 to 1, got {p}")
        self.p = p
        self.inplace = inplace
        self.generator = generator

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input``; the result has the same shape."""
        return type(self).function(input, self.p, self.training, self.inplace, self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training mode, each element 0 with probability ``p``, else divided by ``1 - p``.

    Args:
        p: the probability.
        inplace: let the argument itself take the values.
        generator: what draws; the default generator unless told.

    Raises:
        ValueError: if ``p`` is not in 0 to 1.

    >>> import polygrad as pg
    >>> pg.nn.Dropout(0.5).eval()(pg.ones(3))
    tensor([1., 1., 1.], dtype=float64)
    """

    function = staticmethod(F.dropout)


class Dropout1d(_Dropout):
    """Whole channels of (N, C, L) dropped; see :func:`polygrad.nn.functional.dropout2d`.

    >>> import polygrad as pg
    >>> pg.nn.Dropout1d().eval()(pg.ones((1, 2, 1)))
    tensor([[[1.],
            [1.]]], dtype=float64)
    """

    function = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    """Whole channels of (N, C, H, W) dropped; see :func:`polygrad.nn.functional.dropout2d`.

    >>> import polygrad as pg
    >>> pg.nn.Dropout2d(0.2)(pg.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    function = staticmethod(F.dropout2d)


class Dropout3d(_Dropout):
    """Whole channels of (N, C, D, H, W) dropped; see :func:`polygrad.nn.functional.dropout2d`.

    >>> import polygrad as pg
    >>> pg.nn.Dropout3d(0.2)(pg.ones((3, 4, 4, 4))).shape
    (3, 4, 4, 4)
    """

    function = staticmethod(F.dropout3d)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, for SELU; see :func:`polygrad.nn.functional.alpha_dropout`.

    >>> import polygrad as pg
    >>> pg.nn.AlphaDropout(0.2).eval()(pg.ones(2))
    tensor([1., 1.], dtype=float64)
    """

    function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(_Dropout):
    """:class:`AlphaDropout` of whole channels of (N, C, ...).

    >>> import polygrad as pg
    >>> pg.nn.FeatureAlphaDropout(0.2)(pg.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    function = staticmethod(F.feature_alpha_dropout)
