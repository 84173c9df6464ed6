"""Losses for classes: how surprised the predictions are by the true ones."""

from __future__ import annotations

from typing import Any

import polygrad as pg

from .loss import beside, mean_by_weight, pair, reduced

__all__ = [
    "cross_entropy", "multi_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "soft_margin_loss",
]  # fmt: skip


def cross_entropy(
    input: pg.Tensor,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> pg.Tensor:
    """``-log(softmax(input)[target])``: how surprised the predictions are by the true classes.

    Computed from the log-softmax, so that no logit overflows; logits of -inf are exact.

    Args:
        input: logits of shape (classes,), (batch, classes) or (batch, classes, ...).
        target: integer classes of shape (), (batch,) or (batch, ...), the input's shape without its classes; or
            probabilities of the input's shape, of a floating dtype.
        weight: of each class, shape (classes,). The mean over class indices is a weighted one.
        ignore_index: a class index that does not count, in the mean neither.
        reduction: ``"mean"`` over all targets, ``"sum"``, or ``"none"``.
        label_smoothing: the part of each target, 0 to 1, that goes to all classes alike (Szegedy et al., 2016).

    Raises:
        ShapeError: if the shapes do not fit.
        DTypeError: if class indices are not integers.
        IndexError: if a target is no class (looked at on the host only: elsewhere it would mean to wait).

    >>> import polygrad as pg
    >>> pg.nn.functional.cross_entropy(pg.asarray([[0.0, 0.0]]), pg.asarray([1]))
    tensor(0.69314718, dtype=float64)
    """
    if not isinstance(input, pg.Tensor):
        input = pg.asarray(input)
    target = beside(target, input)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must be 0 to 1, got {label_smoothing}")
    axis = 1 if input.ndim > 1 else 0
    if weight is not None:
        weight = _class_weights("cross_entropy", beside(weight, input), input, axis)
    if target.shape == input.shape and target.dtype.inexact:
        return _with_probabilities(input, target, axis, weight, reduction, label_smoothing)
    if weight is None and not label_smoothing:
        return pg.neural.class_cross_entropy(input, target, axis=axis, ignore_index=ignore_index, reduction=reduction)
    picked = pg.neural.class_cross_entropy(input, target, axis=axis, ignore_index=ignore_index, reduction="none")
    kept = target != ignore_index
    own = pg.astype(kept, input.dtype)
    if weight is not None:
        own = own * pg.take(weight, pg.where(kept, target, 0).reshape((-1,)), axis=0).reshape(target.shape)
        picked = picked * own
    losses = picked
    if label_smoothing:
        scores = pg.log_softmax(input, axis=axis)
        if weight is not None:
            scores = scores * _along(weight, input.ndim, axis)
        smooth = pg.where(kept, -pg.sum(scores, axis=axis), 0.0)
        losses = (1.0 - label_smoothing) * picked + (label_smoothing / input.shape[axis]) * smooth
    if reduction == "mean":
        return mean_by_weight(losses, own)
    return reduced("cross_entropy", losses, reduction)


def _class_weights(name: str, weight: pg.Tensor, input: pg.Tensor, axis: int) -> pg.Tensor:
    if not input.ndim or weight.shape != (input.shape[axis],):
        raise pg.errors.ShapeError(
            f"{name}: weight of shape {weight.shape} does not fit input of shape {input.shape}; it needs one number for "
            "each class"
        )
    return weight


def _along(weight: pg.Tensor, ndim: int, axis: int) -> pg.Tensor:
    return pg.reshape(weight, tuple(-1 if i == axis else 1 for i in range(ndim)))


def _with_probabilities(
    input: pg.Tensor, target: pg.Tensor, axis: int, weight: pg.Tensor | None, reduction: str, smoothing: float
) -> pg.Tensor:
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / input.shape[axis]
    if weight is not None:
        target = target * _along(weight, input.ndim, axis)
    losses = -pg.sum(target * pg.log_softmax(input, axis=axis), axis=axis)
    return reduced("cross_entropy", losses, reduction)


def nll_loss(
    input: pg.Tensor, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> pg.Tensor:
    """``-input[target]`` of logarithms of probabilities.

    Args:
        input: shape (classes,), (batch, classes) or (batch, classes, ...).
        target, weight, ignore_index, reduction: as in :func:`cross_entropy`, class indices only.

    >>> import polygrad as pg
    >>> pg.nn.functional.nll_loss(pg.asarray([[-1.0, -2.0]]), pg.asarray([1]))
    tensor(2., dtype=float64)
    """
    if not isinstance(input, pg.Tensor):
        input = pg.asarray(input)
    target = beside(target, input)
    axis = 1 if input.ndim > 1 else 0
    if not input.ndim or target.shape != input.shape[:axis] + input.shape[axis + 1 :]:
        raise pg.errors.ShapeError(
            f"nll_loss: target of shape {target.shape} does not fit input of shape {input.shape}; the target has the "
            "input's shape without its classes, which are axis 1 (or the only axis)"
        )
    pg.neural.check_classes("nll_loss", target, input.shape[axis], ignore_index)
    kept = target != ignore_index
    wanted = pg.where(kept, target, 0)
    picked = pg.take_along_axis(input, pg.expand_dims(wanted, axis=axis), axis=axis)
    own = pg.astype(kept, input.dtype)
    if weight is not None:
        weight = _class_weights("nll_loss", beside(weight, input), input, axis)
        own = own * pg.take(weight, wanted.reshape((-1,)), axis=0).reshape(target.shape)
    losses = -pg.where(kept, pg.squeeze(picked, axis=axis), 0.0) * own
    if reduction == "mean":
        return mean_by_weight(losses, own)
    return reduced("nll_loss", losses, reduction)


def multi_margin_loss(
    input: pg.Tensor,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
) -> pg.Tensor:
    """``mean(max(0, margin - input[target] + input) ** p)`` over the other classes, divided by all.

    Args:
        input: scores of shape (batch, classes) or (classes,).
        target: integer classes of shape (batch,) or ().
        p: 1 or 2.
        margin: how far the target's score shall be above the others.
        weight: of each class.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> import polygrad as pg
    >>> pg.nn.functional.multi_margin_loss(pg.asarray([[0.5, 1.0]]), pg.asarray([0]))
    tensor(0.75, dtype=float64)
    """
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, got {p}")
    if not isinstance(input, pg.Tensor):
        input = pg.asarray(input)
    target = beside(target, input)
    if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
        raise pg.errors.ShapeError(
            f"multi_margin_loss: target of shape {target.shape} does not fit input of shape {input.shape}; they are "
            "(batch,) and (batch, classes), or () and (classes,)"
        )
    classes = input.shape[-1]
    pg.neural.check_classes("multi_margin_loss", target, classes, -1)
    wanted = pg.expand_dims(target, axis=-1)
    short = pg.relu(margin - pg.take_along_axis(input, wanted, axis=-1) + input)
    if p == 2:
        short = pg.square(short)
    if weight is not None:
        weight = _class_weights("multi_margin_loss", beside(weight, input), input, input.ndim - 1)
        short = short * pg.take(weight, wanted.reshape((-1,)), axis=0).reshape(wanted.shape)
    others = pg.arange(classes, dtype=target.dtype, device=input.device) != wanted
    losses = pg.sum(pg.where(others, short, 0.0), axis=-1) / classes
    return reduced("multi_margin_loss", losses, reduction)


def soft_margin_loss(input: pg.Tensor, target: Any, reduction: str = "mean") -> pg.Tensor:
    """``log(1 + exp(-target * input))`` of targets 1 and -1.

    >>> import polygrad as pg
    >>> pg.nn.functional.soft_margin_loss(pg.asarray([0.0]), pg.asarray([1.0]))
    tensor(0.69314718, dtype=float64)
    """
    input, target = pair("soft_margin_loss", input, target)
    return reduced("soft_margin_loss", -pg.neural.log_sigmoid(target * input), reduction)


def multilabel_soft_margin_loss(
    input: pg.Tensor, target: Any, weight: Any = None, reduction: str = "mean"
) -> pg.Tensor:
    """The mean over the classes (the last axis) of the binary cross-entropies of logits with targets 0 and 1.

    >>> import polygrad as pg
    >>> pg.nn.functional.multilabel_soft_margin_loss(pg.asarray([[0.0, 0.0]]), pg.asarray([[1.0, 0.0]]))
    tensor(0.69314718, dtype=float64)
    """
    input, target = pair("multilabel_soft_margin_loss", input, target)
    losses = (1.0 - target) * input - pg.neural.log_sigmoid(input)
    if weight is not None:
        losses = losses * beside(weight, input)
    return reduced("multilabel_soft_margin_loss", pg.mean(losses, axis=-1), reduction)
