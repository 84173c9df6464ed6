"""Normalization layers."""

from __future__ import annotations

from typing import Any

import polygrad as pg

from .. import functional as F
from ..module import Module
from ..parameter import Parameter

__all__ = ["LayerNorm"]


class LayerNorm(Module):
    """See :func:`polygrad.nn.functional.layer_norm`."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        shape = self.normalized_shape
        affine, biased = elementwise_affine, elementwise_affine and bias
        self.register_parameter("weight", Parameter(pg.ones(shape, dtype=dtype, device=device)) if affine else None)
        self.register_parameter("bias", Parameter(pg.zeros(shape, dtype=dtype, device=device)) if biased else None)

    def forward(self, x: pg.Tensor) -> pg.Tensor:
        """``x`` of shape (..., *normalized_shape)."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
