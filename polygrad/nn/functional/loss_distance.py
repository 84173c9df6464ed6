"""Losses for distances and rankings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polygrad as pg

from .distance import pairwise_distance
from .loss import beside, pair, reduced

__all__ = [
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip


def hinge_embedding_loss(input: pg.Tensor, target: Any, margin: float = 1.0, reduction: str = "mean") -> pg.Tensor:
    """``input`` (a distance) where the target is 1, ``max(0, margin - input)`` where it is -1.

    >>> import polygrad as pg
    >>> pg.nn.functional.hinge_embedding_loss(pg.asarray([0.5, 0.25]), pg.asarray([1, -1]), reduction="none")
    tensor([0.5 , 0.75], dtype=float64)
    """
    input, target = pair("hinge_embedding_loss", input, target)
    near = pg.where(target != 1, pg.relu(margin - input), 0.0)
    return reduced("hinge_embedding_loss", near + pg.where(target != -1, input, 0.0), reduction)


def margin_ranking_loss(
    input1: pg.Tensor, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> pg.Tensor:
    """``max(0, margin - target * (input1 - input2))``: the first shall be the larger where the target is 1, the smaller
    where it is -1.

    >>> import polygrad as pg
    >>> pg.nn.functional.margin_ranking_loss(pg.asarray([1.0]), pg.asarray([3.0]), pg.asarray([1.0]))
    tensor(2., dtype=float64)
    """
    input1, input2 = pair("margin_ranking_loss", input1, input2)
    input1, target = pair("margin_ranking_loss", input1, target)
    return reduced("margin_ranking_loss", pg.relu(margin - target * (input1 - input2)), reduction)


# PyTorch adds 1e-12 to the squares before the root: no cosine of a vector of zeros is nan.
def cosine_embedding_loss(
    input1: pg.Tensor, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> pg.Tensor:
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1, of the angle between two vectors.

    Args:
        input1, input2: shape (batch, features) or (features,).
        target: 1 or -1, shape (batch,) or ().
        margin: -1 to 1.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> import polygrad as pg
    >>> x = pg.asarray([[1.0, 0.0]])
    >>> pg.nn.functional.cosine_embedding_loss(x, pg.asarray([[0.0, 1.0]]), pg.asarray([1]))
    tensor(1., dtype=float64)
    """
    input1, input2 = pair("cosine_embedding_loss", input1, input2)
    target = beside(target, input1)
    if input1.ndim not in (1, 2) or target.shape != input1.shape[:-1]:
        raise pg.errors.ShapeError(
            f"cosine_embedding_loss: target of shape {target.shape} does not fit inputs of shape {input1.shape}; they are "
            "(batch,) and (batch, features), or () and (features,)"
        )
    a, b = pg.sum(input1 * input1, axis=-1) + 1e-12, pg.sum(input2 * input2, axis=-1) + 1e-12
    cosine = pg.sum(input1 * input2, axis=-1) / pg.sqrt(a * b)
    apart = pg.where(target == -1, pg.relu(cosine - margin), 0.0)
    return reduced("cosine_embedding_loss", pg.where(target == 1, 1.0 - cosine, apart), reduction)


def triplet_margin_loss(
    anchor: pg.Tensor,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> pg.Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` (Balntas et al., 2016).

    Args:
        anchor, positive, negative: of one shape, the features on the last axis.
        margin: how much nearer the positive shall be.
        p, eps: of the distance, see :func:`pairwise_distance`.
        swap: whether the negative's distance is that to the positive where this is less.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> import polygrad as pg
    >>> a, n = pg.asarray([[0.0, 0.0]]), pg.asarray([[1.0, 0.0]])
    >>> round(pg.nn.functional.triplet_margin_loss(a, a, n).item(), 4)
    0.0
    """
    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=lambda x, y: pairwise_distance(x, y, p, eps), margin=margin,
        swap=swap, reduction=reduction, _name="triplet_margin_loss",
    )  # fmt: skip


def triplet_margin_with_distance_loss(
    anchor: pg.Tensor,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[pg.Tensor, pg.Tensor], pg.Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
    _name: str = "triplet_margin_with_distance_loss",
) -> pg.Tensor:
    """:func:`triplet_margin_loss` with a distance of one's own (the Euclidean one unless told)."""
    anchor, positive = pair(_name, anchor, positive)
    anchor, negative = pair(_name, anchor, negative)
    if not margin > 0:
        raise ValueError(f"{_name}: margin must be positive, got {margin}")
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = pg.minimum(far, distance(positive, negative))
    return reduced(_name, pg.relu(margin + near - far), reduction)
