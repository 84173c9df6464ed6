"""Affine maps."""

from __future__ import annotations

import math

import polygrad as pg

__all__ = ["linear"]


def linear(x: pg.Tensor, weight: pg.Tensor, bias: pg.Tensor | None = None) -> pg.Tensor:
    """``x @ weight.T + bias``.

    Args:
        x: shape (..., in).
        weight: shape (out, in).
        bias: shape (out,), or None.

    Returns:
        Shape (..., out).

    Raises:
        ShapeError: if the last axis of ``x`` is not the weight's ``in``.

    >>> import polygrad as pg
    >>> w = pg.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> pg.nn.functional.linear(pg.asarray([1.0, 1.0]), w, pg.asarray([0.5, 0.5]))
    tensor([3.5, 7.5], dtype=float64)
    """
    if not isinstance(x, pg.Tensor):
        x = pg.asarray(x)
    if not x.ndim or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        raise pg.errors.ShapeError(
            f"linear: x of shape {x.shape} does not fit a weight of shape {weight.shape}; x must be "
            "(..., in) and the weight (out, in)"
        )
    if x.ndim > 2:  # one product for all
        rows = math.prod(x.shape[:-1])
        out = pg.reshape(pg.reshape(x, (rows, x.shape[-1])) @ weight.T, (*x.shape[:-1], weight.shape[0]))
    else:
        out = x @ weight.T
    return out if bias is None else out + bias
