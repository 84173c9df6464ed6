"""Losses for numbers and probabilities: how far from the target, as one number or one for each element.

Names, arguments and values are PyTorch's, except that nothing is broadcast where PyTorch warns of it.
"""

from __future__ import annotations

import math
from typing import Any

import polygrad as pg

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "gaussian_nll_loss", "huber_loss", "kl_div", "l1_loss",
    "mse_loss", "poisson_nll_loss", "reduced", "smooth_l1_loss",
]  # fmt: skip


def reduced(name: str, losses: pg.Tensor, reduction: str) -> pg.Tensor:
    """The losses as ``reduction`` says: ``"mean"``, ``"sum"`` or ``"none"``."""
    if reduction == "mean":
        return pg.mean(losses)
    if reduction == "sum":
        return pg.sum(losses)
    if reduction == "none":
        return losses
    raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def mean_by_weight(losses: pg.Tensor, weight: pg.Tensor) -> pg.Tensor:
    """The losses' sum over the weights' sum; half precision, which holds no sum above 65,504, is added in float32.
    The mean of nothing is nan, with gradient 0."""
    if losses.dtype.itemsize == 2:
        return mean_by_weight(losses.astype("float32"), weight.astype("float32")).astype(losses.dtype)
    total, weights = pg.sum(losses), pg.sum(weight)
    nothing = (weights == 0) & (total == 0)
    return pg.where(nothing, pg.nan, total / pg.where(nothing, 1.0, weights))


def beside(x: Any, anchor: pg.Tensor) -> pg.Tensor:
    """Anything as a Tensor; what has no device of its own goes where ``anchor`` is."""
    return x if isinstance(x, pg.Tensor) else pg.asarray(x, device=anchor.device)


def pair(name: str, input: Any, target: Any) -> tuple[pg.Tensor, pg.Tensor]:
    """Input and target as Tensors of one shape."""
    if not isinstance(input, pg.Tensor):
        input = pg.asarray(input)
    target = beside(target, input)
    if input.shape != target.shape:
        raise pg.errors.ShapeError(
            f"{name}: input of shape {input.shape}, but target of shape {target.shape}; they must be equal, nothing is "
            "broadcast here"
        )
    return input, target


def _weighted(name: str, losses: pg.Tensor, reduction: str, weight: Any) -> pg.Tensor:
    """The reduced losses; weighted ones' mean is over the weights."""
    if weight is None:
        return reduced(name, losses, reduction)
    weight = beside(weight, losses)
    if weight.shape != losses.shape:
        raise pg.errors.ShapeError(f"{name}: weight of shape {weight.shape}, but input of shape {losses.shape}")
    if reduction == "mean":
        return mean_by_weight(losses * weight, weight)
    return reduced(name, losses * weight, reduction)


def mse_loss(input: pg.Tensor, target: Any, reduction: str = "mean", weight: Any = None) -> pg.Tensor:
    """The squared difference, ``(input - target) ** 2``.

    Args:
        input, target: of one shape; nothing is broadcast, for that is nearly always a mistake here.
        reduction: ``"mean"`` over all elements, ``"sum"``, or ``"none"``.
        weight: of each element, of the same shape; the mean is then divided by the weights' sum.

    Raises:
        ShapeError: if the shapes differ.

    >>> import polygrad as pg
    >>> pg.nn.functional.mse_loss(pg.asarray([1.0, 3.0]), pg.asarray([1.0, 1.0]))
    tensor(2., dtype=float64)
    """
    input, target = pair("mse_loss", input, target)
    return _weighted("mse_loss", pg.square(input - target), reduction, weight)


def l1_loss(input: pg.Tensor, target: Any, reduction: str = "mean", weight: Any = None) -> pg.Tensor:
    """The absolute difference, ``|input - target|``; slope 0 at 0. Arguments as for :func:`mse_loss`.

    >>> import polygrad as pg
    >>> pg.nn.functional.l1_loss(pg.asarray([1.0, 3.0]), pg.asarray([1.0, 1.0]))
    tensor(1., dtype=float64)
    """
    input, target = pair("l1_loss", input, target)
    return _weighted("l1_loss", pg.abs(input - target), reduction, weight)


# min(|d|, delta) (|d| - min(|d|, delta) / 2) is both branches at once.
def huber_loss(
    input: pg.Tensor, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> pg.Tensor:
    """``d ** 2 / 2`` where ``|d| <= delta``, else ``delta * (|d| - delta / 2)``, of ``d = input - target`` (Huber, 1964).

    ``weight`` is that of each element; as in PyTorch, the mean is not divided by the weights' sum here.

    Raises:
        ShapeError: if the shapes differ.
        ValueError: unless ``delta`` is positive.

    >>> import polygrad as pg
    >>> pg.nn.functional.huber_loss(pg.asarray([1.0, 4.0]), pg.asarray([1.0, 1.0]), "none")
    tensor([0. , 2.5], dtype=float64)
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    input, target = pair("huber_loss", input, target)
    losses = _huber(input - target, delta)
    if weight is not None:
        weight = beside(weight, input)
        if weight.shape != input.shape:
            raise pg.errors.ShapeError(f"huber_loss: weight of shape {weight.shape}, but input of shape {input.shape}")
        losses = losses * weight
    return reduced("huber_loss", losses, reduction)


def _huber(d: pg.Tensor, delta: float) -> pg.Tensor:
    core = pg.clip(d, -delta, delta)
    return core * (d - 0.5 * core)


def smooth_l1_loss(input: pg.Tensor, target: Any, reduction: str = "mean", beta: float = 1.0) -> pg.Tensor:
    """``d ** 2 / (2 * beta)`` where ``|d| < beta``, else ``|d| - beta / 2``, of ``d = input - target``.

    Raises:
        ShapeError: if the shapes differ.
        ValueError: if ``beta`` is negative.

    >>> import polygrad as pg
    >>> pg.nn.functional.smooth_l1_loss(pg.asarray([1.0, 4.0]), pg.asarray([1.0, 1.0]), "none")
    tensor([0. , 2.5], dtype=float64)
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    input, target = pair("smooth_l1_loss", input, target)
    d = input - target
    losses = pg.abs(d) if beta == 0 else _huber(d, beta) / beta
    return reduced("smooth_l1_loss", losses, reduction)


def binary_cross_entropy(input: pg.Tensor, target: Any, weight: Any = None, reduction: str = "mean") -> pg.Tensor:
    """``-(target * log(input) + (1 - target) * log(1 - input))``, logarithms not below -100 (and the
    denominator of the slope not below 1e-12).

    Args:
        input: probabilities, 0 to 1.
        target: probabilities, of the same shape.
        weight: of each loss; broadcasts.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises:
        ShapeError: if the shapes differ.
        ValueError: if the input is outside 0 to 1 (on a GPU the loss is nan).

    >>> import polygrad as pg
    >>> pg.nn.functional.binary_cross_entropy(pg.asarray([0.5, 0.0]), pg.asarray([1.0, 0.0]), reduction="none")
    tensor([0.69314718, 0.        ], dtype=float64)
    """
    input, target = pair("binary_cross_entropy", input, target)
    losses = pg.neural.binary_entropy(input, target)
    if weight is not None:
        losses = losses * beside(weight, input)
    return reduced("binary_cross_entropy", losses, reduction)


def binary_cross_entropy_with_logits(
    input: pg.Tensor, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> pg.Tensor:
    """:func:`binary_cross_entropy` of ``sigmoid(input)``, without its rounding: no logit overflows.

    Args:
        input: logits.
        target: probabilities, of the same shape.
        weight: of each loss; broadcasts.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        pos_weight: what a positive target weighs; broadcasts (one for each class, as a rule).

    >>> import polygrad as pg
    >>> F = pg.nn.functional
    >>> F.binary_cross_entropy_with_logits(pg.asarray([0.0, -1000.0]), pg.asarray([1.0, 0.0]), reduction="none")
    tensor([0.69314718, 0.        ], dtype=float64)
    """
    input, target = pair("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        losses = (1.0 - target) * input - pg.neural.log_sigmoid(input)
    else:
        more = (beside(pos_weight, input) - 1.0) * target + 1.0
        losses = (1.0 - target) * input - more * pg.neural.log_sigmoid(input)
    if weight is not None:
        losses = losses * beside(weight, input)
    return reduced("binary_cross_entropy_with_logits", losses, reduction)


def kl_div(input: pg.Tensor, target: Any, reduction: str = "mean", log_target: bool = False) -> pg.Tensor:
    """``target * (log(target) - input)``, the divergence of the predictions from the target.

    Args:
        input: logarithms of probabilities.
        target: probabilities, or their logarithms if ``log_target``.
        reduction: ``"batchmean"`` (the sum over the length of the first axis: the divergence itself), ``"mean"``
            (over all elements), ``"sum"`` or ``"none"``.
        log_target: whether the target is given by logarithms.

    >>> import polygrad as pg
    >>> pg.nn.functional.kl_div(pg.log(pg.asarray([[0.5, 0.5]])), pg.asarray([[1.0, 0.0]]), "batchmean")
    tensor(0.69314718, dtype=float64)
    """
    input, target = pair("kl_div", input, target)
    if log_target:
        losses = pg.exp(target) * (target - input)
    else:
        losses = pg.special.xlogy(target, target) - target * input
    if reduction == "batchmean":
        wide = losses.astype("float32") if losses.dtype.itemsize == 2 else losses
        mean = pg.sum(wide) / (input.shape[0] if input.ndim else 1)
        return mean if wide is losses else mean.astype(losses.dtype)
    return reduced("kl_div", losses, reduction)


def gaussian_nll_loss(
    input: pg.Tensor, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> pg.Tensor:
    """``(log(var) + (input - target) ** 2 / var) / 2``, the variance not below ``eps``.

    Args:
        input: means.
        target: of the same shape.
        var: variances: a number, or of the input's shape, or without its last axis, or with 1 there.
        full: whether to add ``log(2 pi) / 2``.
        eps: the least variance; where it stands in, ``var`` has gradient as if it were used (PyTorch's habit).
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises:
        ShapeError: if the shapes do not fit.

    >>> import polygrad as pg
    >>> pg.nn.functional.gaussian_nll_loss(pg.asarray([1.0]), pg.asarray([3.0]), pg.asarray([1.0]))
    tensor(2., dtype=float64)
    """
    input, target = pair("gaussian_nll_loss", input, target)
    var = beside(var, input)
    if var.ndim and var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = pg.expand_dims(var, axis=-1)
        elif var.shape != (*input.shape[:-1], 1):
            raise pg.errors.ShapeError(
                f"gaussian_nll_loss: var of shape {var.shape} does not fit input of shape {input.shape}; it has the same "
                "shape, or that without the last axis, or with 1 there"
            )
    # the value of the clamped variance with the gradient of the given one
    var = var + pg.stop_gradient(pg.maximum(var, eps) - var)
    losses = 0.5 * (pg.log(var) + pg.square(input - target) / var)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced("gaussian_nll_loss", losses, reduction)


def poisson_nll_loss(
    input: pg.Tensor,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> pg.Tensor:
    """``exp(input) - target * input``: for counts, of which ``input`` is the logarithm of the mean.

    Args:
        input: logarithms of means; the means themselves unless ``log_input``.
        target: counts, of the same shape.
        log_input: whether the input is a logarithm.
        full: whether to add Stirling's approximation of ``log(target!)`` where the target is above 1.
        eps: added to means before their logarithm is taken.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> import polygrad as pg
    >>> pg.nn.functional.poisson_nll_loss(pg.asarray([0.0]), pg.asarray([2.0]))
    tensor(1., dtype=float64)
    """
    input, target = pair("poisson_nll_loss", input, target)
    losses = pg.exp(input) - target * input if log_input else input - target * pg.log(input + eps)
    if full:
        many = target > 1
        n = pg.where(many, target, 1.0)
        losses = losses + pg.where(many, n * pg.log(n) - n + 0.5 * pg.log(2 * math.pi * n), 0.0)
    return reduced("poisson_nll_loss", losses, reduction)
