"""Affine maps."""

from __future__ import annotations

from typing import Any

import polygrad as pg

__all__ = ["bilinear", "linear"]


def linear(input: pg.Tensor, weight: pg.Tensor, bias: pg.Tensor | None = None) -> pg.Tensor:
    """``x @ weight.T + bias``.

    Args:
        input: shape (..., in).
        weight: shape (out, in).
        bias: shape (out,), or None.

    Returns:
        Shape (..., out).

    Raises:
        ShapeError: if the last axis of ``input`` is not the weight's ``in``.

    >>> import polygrad as pg
    >>> w = pg.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> pg.nn.functional.linear(pg.asarray([1.0, 1.0]), w, pg.asarray([0.5, 0.5]))
    tensor([3.5, 7.5], dtype=float64)
    """
    out = pg.neural.linear(input, weight)
    return out if bias is None else out + bias


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> pg.Tensor:
    """``input1^T weight[o] input2 + bias[o]`` for each output ``o``.

    Args:
        input1: shape (..., in1).
        input2: shape (..., in2).
        weight: shape (out, in1, in2).
        bias: shape (out,), or None.

    Returns:
        Shape (..., out).

    Raises:
        ShapeError: if the shapes do not fit.

    >>> import polygrad as pg
    >>> pg.nn.functional.bilinear(pg.asarray([1.0, 2.0]), pg.asarray([3.0]), pg.ones((4, 2, 1)))
    tensor([9., 9., 9., 9.], dtype=float64)
    """
    x, y, weight = pg.asarray(input1), pg.asarray(input2), pg.asarray(weight)
    fits = weight.ndim == 3 and x.ndim >= 1 and x.shape[:-1] == y.shape[:-1]
    if not fits or (x.shape[-1], y.shape[-1]) != weight.shape[1:]:
        raise pg.errors.ShapeError(
            f"bilinear: inputs of shapes {x.shape} and {y.shape} do not fit the weight of shape {weight.shape}; they must be "
            "(..., in1), (..., in2) and (out, in1, in2)"
        )
    made = pg.einsum("...i,oij,...j->...o", x, weight, y)
    return made if bias is None else made + bias
