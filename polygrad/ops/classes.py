"""Cross-entropies, each in one op: with class indices, without storing the log-softmax; and of probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.cell import enter
from ..core.declare import op
from ..core.kernels import ON_TENSORS, kernel
from ..core.modes import TRACE, get_mode
from ..core.operands import together
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike, Namespace, Raw
from .data_types import astype
from .half import in_single, single

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["AreProbabilities", "InRange", "binary_entropy", "check_classes", "check_indices", "class_cross_entropy"]


def _targets(xp: Namespace, target: Raw, ignore: int, axis: int) -> tuple[Raw, Raw]:
    """The targets with class 0 for ignored ones, their axis of classes put in; and which are kept."""
    kept = target != ignore
    return xp.expand_dims(xp.where(kept, target, xp.zeros_like(target)), axis=axis), kept


def _reduced(xp: Namespace, losses: Raw, kept: Raw, reduction: str, mean_of_none: float = float("nan")) -> Raw:
    losses = xp.where(kept, losses, xp.zeros_like(losses))
    if reduction == "none":
        return losses
    total = xp.sum(losses)
    if reduction == "sum":
        return total
    count = xp.sum(xp.astype(kept, losses.dtype))
    none = count == 0  # the mean of nothing is nan, without a warning, and moves with nothing
    return xp.where(none, xp.full_like(total, mean_of_none), total / xp.where(none, xp.ones_like(count), count))


@kernel
def class_loss(xp: Namespace, x: Raw, target: Raw, axis: int, ignore: int, reduction: str) -> Raw:
    """``-log(softmax(x)[target])``, 0 where the target is to be ignored; the mean is over the others."""
    wanted, kept = _targets(xp, target, ignore, axis)
    picked = xp.take_along_axis(xp.log_softmax_over(x, (axis,)), wanted, axis=axis)
    return _reduced(xp, -xp.squeeze(picked, axis=axis), kept, reduction)


# softmax - onehot; at the target 1 - p cancels where p is near 1, so that the sum of the others stands for it.
def _slopes(xp: Namespace, x: Raw, target: Raw, axis: int, ignore: int) -> tuple[Raw, Raw]:
    wanted, kept = _targets(xp, target, ignore, axis)
    shape = tuple(-1 if i == axis else 1 for i in range(x.ndim))
    here = xp.reshape(xp.arange(x.shape[axis], dtype=wanted.dtype), shape) == wanted
    p = xp.softmax_over(x, (axis,))
    others = xp.where(here, xp.zeros_like(p), p)
    return xp.where(here, -xp.sum(others, axis=axis, keepdims=True), p), kept


def _scale(xp: Namespace, g: Raw, kept: Raw, reduction: str) -> Raw:
    """What each loss weighs in the result, times ``g``."""
    share = xp.astype(kept, g.dtype)
    if reduction != "mean":
        return g * share
    count = xp.sum(share)
    return g * share / xp.where(count == 0, xp.ones_like(count), count)  # the mean of nothing moves with nothing


@kernel
def class_loss_vjp(xp: Namespace, g: Raw, x: Raw, target: Raw, axis: int, ignore: int, reduction: str) -> Raw:
    """The cotangent of ``x``."""
    slopes, kept = _slopes(xp, x, target, axis, ignore)
    return xp.strong_multiply(xp.expand_dims(_scale(xp, g, kept, reduction), axis=axis), slopes)


@in_single
def _jvp(xp: Namespace, t: Raw, x: Raw, target: Raw, axis: int, ignore: int, reduction: str) -> Raw:
    slopes, kept = _slopes(xp, x, target, axis, ignore)
    losses = xp.where(
        kept, xp.sum(xp.strong_multiply(t, slopes), axis=axis), xp.zeros_like(x[(*(slice(None),) * axis, 0, ...)])
    )
    return _reduced(xp, losses, kept, reduction, mean_of_none=0.0)


@op(
    name="cross_entropy",
    vjps=[
        lambda xp, g, x, target, axis, ignore, reduction: single(
            xp, xp.class_loss_vjp, g, x, target, axis, ignore, reduction
        ),
        None,
    ],
    jvps=[_jvp, None],
)
def _cross_entropy(xp: Namespace, x: Raw, target: Raw, /, axis: int, ignore: int, reduction: str) -> Raw:
    return single(xp, xp.class_loss, x, target, axis, ignore, reduction)


ON_TENSORS["class_loss"] = lambda x, target, *setting: apply(_cross_entropy, (x, target), setting)


def is_traced(x: Any) -> bool:
    """Whether a tensor's values are known only when a static graph runs; a tensor from outside becomes an input."""
    return bool(get_mode() & TRACE) and (enter(x) or x._device.backend.stands_for is not None)


_HOST = 1  # DLPack's number for memory of the host


@dataclass(frozen=True)
class InRange:
    """A check at each run of a static graph: integers are 0 to n - 1. It is data, so that a graph can be saved.

    Attributes:
        name: of the function, for the error.
        n: how many classes or rows there are.
        ignore: a class that does not count; None for indices, of which all do.
    """

    name: str
    n: int
    ignore: int | None

    def __call__(self, x: Any) -> None:
        if self.ignore is None:
            check_indices(self.name, x, self.n)
        else:
            check_classes(self.name, x, self.n, self.ignore)


@dataclass(frozen=True)
class AreProbabilities:
    """A check at each run of a static graph: floating numbers are 0 to 1, or nan.

    Attributes:
        name: of the function, for the error.
    """

    name: str

    def __call__(self, x: Any) -> None:
        check_probabilities(self.name, x)


def check_probabilities(name: str, x: Any) -> None:
    """Refuse numbers that are no probabilities, looked at on the host only."""
    if is_traced(x):
        x._device.backend.trace.check(AreProbabilities(name), x)
        return
    if not _is_at_hand(x):
        return
    xp, raw = x._device.raw, x._value
    if bool(xp.any((raw < 0) | (raw > 1))):
        raise ValueError(
            f"{name}: the input ranges from {float(xp.min(raw)):g} to {float(xp.max(raw)):g}, but must be probabilities, 0 to 1; "
            "of logits take binary_cross_entropy_with_logits"
        )


def check_classes(name: str, target: Any, classes: int, ignore: int) -> None:
    """Refuse targets that are no class: at once on the host, on a GPU when it is next waited for."""
    _refuse_others(name, "targets must be integer classes", target)
    if is_traced(target):
        target._device.backend.trace.check(InRange(name, classes, ignore), target)
        return
    outside = _outside(name, target, classes, ignore)
    if outside is not None:
        raise IndexError(
            f"{name}: the targets range from {outside[0]} to {outside[1]}, but the classes of the input are 0 to "
            f"{classes - 1} (and {ignore}, which is ignored)"
        )


def check_indices(name: str, indices: Any, n: int) -> None:
    """Refuse indices that are none of 0 to n - 1: at once on the host, on a GPU when it is next waited for."""
    _refuse_others(name, "indices must be integers", indices)
    if is_traced(indices):
        indices._device.backend.trace.check(InRange(name, n, None), indices)
        return
    outside = _outside(name, indices, n, None)
    if outside is not None:
        raise IndexError(f"{name}: the indices range from {outside[0]} to {outside[1]}, but must be 0 to {n - 1}")


def _refuse_others(name: str, rule: str, x: Any) -> None:
    if x._device.backend.to_dtype(x._value.dtype).kind not in "iu":
        raise DTypeError(f"{name}: the {rule}, not {x.dtype}")


def _is_at_hand(x: Any) -> bool:
    """Whether a tensor's values can be read without waiting for a device or a library's scheduler."""
    return not x._device.backend.lazy and 0 not in x._value.shape and x.__dlpack_device__()[0] == _HOST


def _outside(name: str, target: Any, n: int, ignore: int | None) -> tuple[int, int] | None:
    """The least and largest of some indices where one of them is not 0 to n - 1 (nor ignored)."""
    if not _is_at_hand(target):
        target._device.backend.check_later(name, target._value, 0, n, ignore)
        return None
    raw = target._value
    xp = target._device.raw
    low, high = int(xp.min(raw)), int(xp.max(raw))
    if low >= 0 and high < n:
        return None
    if ignore is not None:
        kept = raw != ignore
        if not bool(xp.any(kept)):
            return None
        raw = raw[kept]
        low, high = int(xp.min(raw)), int(xp.max(raw))
    return (low, high) if low < 0 or high >= n else None


def class_cross_entropy(
    x: ArrayLike, target: ArrayLike, /, *, axis: int = 1, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """``-log(softmax(x)[target])``, one loss for each target, or their mean or sum.

    Args:
        x: logits, the classes along ``axis``.
        target: integer classes, of the shape of ``x`` without that axis.
        axis: of the classes.
        ignore_index: a target that does not count; its loss is 0, and the mean is over the others.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> import polygrad as pg
    >>> pg.neural.class_cross_entropy(pg.asarray([[0.0, 0.0]]), pg.asarray([1]))
    tensor(0.69314718, dtype=float64)
    """
    x, target = together("cross_entropy", (x, target))
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    shape = tuple(x._value.shape)
    if not shape or tuple(target._value.shape) != shape[:axis] + shape[axis + 1 :]:
        raise ShapeError(
            f"cross_entropy: target of shape {target.shape} does not fit input of shape {x.shape}; the "
            "target has the input's shape without its classes, which are axis 1 (or the only axis)"
        )
    if x._value.dtype not in x._device.inexact_dtypes:
        raise DTypeError(f"cross_entropy: needs logits of a floating dtype, got {x.dtype}")
    check_classes("cross_entropy", target, shape[axis], ignore_index)
    return apply(_cross_entropy, (x, target), (axis, ignore_index, reduction))


# -- of two classes ----------------------------------------------------------------------------------
# PyTorch's bounds: logarithms are not below -100, the slope's denominator not below 1e-12. So a probability of exactly
# 0 or 1 that is wrong has a large loss and a large slope, not infinite ones. Of numbers outside [0, 1], which are refused
# on the host, the loss and the slopes are nan.

_NARROWEST = 9.999999960041972e-13  # 1e-12 in float32, as in PyTorch
_LEAST = 3.720075976020836e-44  # exp(-100)


def _log(xp: Namespace, p: Raw) -> Raw:
    inside = p > _LEAST
    least = xp.where(p >= 0, xp.full_like(p, -100.0), xp.full_like(p, float("nan")))
    return xp.where(inside, xp.log(xp.where(inside, p, xp.ones_like(p))), least)


def _input_slope(xp: Namespace, x: Raw, target: Raw) -> Raw:
    spread = (1 - x) * x
    least = xp.where(spread >= 0, xp.full_like(spread, _NARROWEST), xp.full_like(spread, float("nan")))
    return (x - target) / xp.where(spread > _NARROWEST, spread, least)


def _input_linear(xp: Namespace, g: Raw, x: Raw, target: Raw) -> Raw:
    return xp.strong_multiply(g, _input_slope(xp, x, target))


def _target_linear(xp: Namespace, g: Raw, x: Raw) -> Raw:
    return xp.strong_multiply(g, _log(xp, 1 - x) - _log(xp, x))


@op(vjps=[_input_linear, _target_linear], jvps=[_input_linear, _target_linear], broadcasts=True)
def _binary_entropy(xp: Namespace, x: Raw, target: Raw, /) -> Raw:
    return (target - 1) * _log(xp, 1 - x) - target * _log(xp, x)


def binary_entropy(x: ArrayLike, target: ArrayLike, /) -> Tensor:
    """``-(target * log(x) + (1 - target) * log(1 - x))``, element by element.

    >>> import polygrad as pg
    >>> pg.neural.binary_entropy(pg.asarray([0.5, 0.0]), pg.asarray([1.0, 1.0]))
    tensor([  0.69314718, 100.        ], dtype=float64)

    Raises:
        ValueError: if a number of ``x`` is outside 0 to 1; where looking would mean to wait (on a GPU) its loss is nan.
    """
    x, target = together("binary_entropy", (x, target))
    if x._value.dtype not in x._device.inexact_dtypes:
        x = astype(x, target.dtype if target.dtype.inexact else "float64")
    check_probabilities("binary_cross_entropy", x)
    return apply(_binary_entropy, (x, target))
