"""Distances, angles and norms along an axis."""

from __future__ import annotations

from typing import Any

import polygrad as pg

__all__ = ["cosine_similarity", "normalize", "pairwise_distance"]


def _fitting(name: str, x1: Any, x2: Any) -> tuple[pg.Tensor, pg.Tensor]:
    """Both as Tensors whose shapes broadcast."""
    x1 = x1 if isinstance(x1, pg.Tensor) else pg.asarray(x1)
    x2 = x2 if isinstance(x2, pg.Tensor) else pg.asarray(x2, device=x1.device)
    if any(m != n and 1 not in (m, n) for m, n in zip(reversed(x1.shape), reversed(x2.shape))):
        raise pg.errors.ShapeError(
            f"{name}: x1 of shape {x1.shape} and x2 of shape {x2.shape} do not fit; their lengths must be equal or 1"
        )
    return x1, x2


def pairwise_distance(x1: pg.Tensor, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> pg.Tensor:
    """The ``p``-norm of ``x1 - x2 + eps`` along the last axis; the shapes broadcast.

    >>> import polygrad as pg
    >>> pg.nn.functional.pairwise_distance(pg.asarray([[3.0, 0.0]]), pg.asarray([[0.0, 4.0]]), eps=0.0)
    tensor([5.], dtype=float64)
    """
    x1, x2 = _fitting("pairwise_distance", x1, x2)
    return pg.linalg.vector_norm(x1 - x2 + eps, axis=-1, ord=p, keepdims=keepdim)


def _lengths(x: pg.Tensor, p: float, dim: int | tuple[int, ...], eps: float) -> pg.Tensor:
    """``max(|x|, eps)`` along ``dim``, kept; constant about 0, where the norm itself has no second derivative."""
    if eps > 0:
        zero = pg.all(x == 0, axis=dim, keepdims=True)
        x = pg.where(zero, 0.0, x)
    return pg.maximum(pg.linalg.vector_norm(x, axis=dim, ord=p, keepdims=True), eps)


def cosine_similarity(x1: pg.Tensor, x2: Any, dim: int = 1, eps: float = 1e-8) -> pg.Tensor:
    """The cosine of the angle between vectors along ``dim``, ``x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))``; the
    shapes broadcast.

    >>> import polygrad as pg
    >>> pg.nn.functional.cosine_similarity(pg.asarray([[1.0, 0.0]]), pg.asarray([[1.0, 0.0]]))
    tensor([1.], dtype=float64)
    """
    x1, x2 = _fitting("cosine_similarity", x1, x2)
    if x1.shape != x2.shape:  # what is repeated along dim has a larger norm
        x1, x2 = pg.broadcast_arrays(x1, x2)
    return pg.sum((x1 / _lengths(x1, 2.0, dim, eps)) * (x2 / _lengths(x2, 2.0, dim, eps)), axis=dim)


def normalize(input: pg.Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> pg.Tensor:
    """``input / max(norm, eps)``, of the ``p``-norm along ``dim``.

    >>> import polygrad as pg
    >>> pg.nn.functional.normalize(pg.asarray([[3.0, 4.0]]))
    tensor([[0.6, 0.8]], dtype=float64)
    """
    return input / _lengths(input, p, dim, eps)
