"""Normalization."""

from __future__ import annotations

from typing import Any

import polygrad as pg

__all__ = ["layer_norm"]


def layer_norm(
    input: pg.Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> pg.Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes."""
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    d = input - pg.mean(input, axis=axes, keepdims=True)
    made = d / pg.sqrt(pg.mean(d * d, axis=axes, keepdims=True) + eps)
    if weight is not None:
        made = made * weight
    return made if bias is None else made + bias
