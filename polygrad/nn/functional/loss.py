"""Losses: how far from the target, as one number or one for each sample."""

from __future__ import annotations

from typing import Any

import polygrad as pg

__all__ = ["cross_entropy", "mse_loss", "reduced"]


def reduced(name: str, losses: pg.Tensor, reduction: str) -> pg.Tensor:
    """The losses as ``reduction`` says: ``"mean"``, ``"sum"`` or ``"none"``."""
    if reduction == "mean":
        return pg.mean(losses)
    if reduction == "sum":
        return pg.sum(losses)
    if reduction == "none":
        return losses
    raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def mse_loss(input: pg.Tensor, target: Any, reduction: str = "mean") -> pg.Tensor:
    """The squared difference, ``(input - target) ** 2``.

    Args:
        input, target: of one shape; nothing is broadcast, for that is nearly always a mistake here.
        reduction: ``"mean"`` over all elements, ``"sum"``, or ``"none"``.

    Raises:
        ShapeError: if the shapes differ.

    >>> import polygrad as pg
    >>> pg.nn.functional.mse_loss(pg.asarray([1.0, 3.0]), pg.asarray([1.0, 1.0]))
    tensor(2., dtype=float64)
    """
    input = pg.asarray(input)
    target = pg.asarray(target, device=None if isinstance(target, pg.Tensor) else input.device)
    if input.shape != target.shape:
        raise pg.errors.ShapeError(f"mse_loss: input of shape {input.shape}, but target of shape {target.shape}")
    return reduced("mse_loss", pg.square(input - target), reduction)


def cross_entropy(input: pg.Tensor, target: Any, reduction: str = "mean") -> pg.Tensor:
    """``-log(softmax(input)[target])``: how surprised the predictions are by the true classes.

    Computed from the log-softmax, so that no logit overflows; logits of -inf are exact.

    Args:
        input: logits of shape (classes,), (batch, classes) or (batch, classes, ...).
        target: integer classes of shape (), (batch,) or (batch, ...): the input's shape without its classes.
        reduction: ``"mean"`` over all targets, ``"sum"``, or ``"none"``.

    Raises:
        ShapeError: if the shapes do not fit.
        DTypeError: if the targets are not integers.
        IndexError: if a target is no class (looked at on the host only: elsewhere it would mean to wait).

    >>> import polygrad as pg
    >>> pg.nn.functional.cross_entropy(pg.asarray([[0.0, 0.0]]), pg.asarray([1]))
    tensor(0.69314718, dtype=float64)
    """
    input = pg.asarray(input)
    target = pg.asarray(target, device=None if isinstance(target, pg.Tensor) else input.device)
    axis = 1 if input.ndim > 1 else 0
    if not input.ndim or target.shape != input.shape[:axis] + input.shape[axis + 1 :]:
        raise pg.errors.ShapeError(
            f"cross_entropy: target of shape {target.shape} does not fit input of shape {input.shape}; the "
            "target has the input's shape without its classes, which are axis 1 (or the only axis)"
        )
    _check_classes(target, input.shape[axis])
    scores = pg.log_softmax(input, axis=axis)
    if input.ndim == 2:  # the common case, at half the cost of the general one
        picked = scores[pg.arange(input.shape[0], device=input.device), target]
    else:
        along = pg.take_along_axis(scores, pg.expand_dims(target, axis=axis), axis=axis)
        picked = pg.squeeze(along, axis=axis)
    return reduced("cross_entropy", -picked, reduction)


_HOST = 1  # DLPack's number for memory of the host


def _check_classes(target: pg.Tensor, classes: int) -> None:
    if target.dtype.kind not in "iu":
        raise pg.errors.DTypeError(f"cross_entropy: the targets must be integer classes, not {target.dtype}")
    if target.device.backend.lazy or target.__dlpack_device__()[0] != _HOST or not target.size:
        return
    low, high = int(pg.min(target)), int(pg.max(target))
    if low < 0 or high >= classes:
        raise IndexError(
            f"cross_entropy: the targets range from {low} to {high}, but the classes of the input are 0 to "
            f"{classes - 1}"
        )
