"""What the standard lacks and users need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.cell import Cell
from ..core.declare import op, unary
from ..core.kernels import kernel
from ..core.operands import together
from ..errors import DTypeError
from ..typing import ArrayLike, Namespace, Raw
from .data_types import astype
from .manipulation import normal_axes
from .searching import where
from .statistical import kept, spread

if TYPE_CHECKING:
    from ..tensor import Tensor

Axes = tuple[int, ...]


def safe_where(
    condition: ArrayLike, f: Callable[[Any], Any], x: ArrayLike, otherwise: ArrayLike, *, safe: ArrayLike = 1.0
) -> Tensor:
    """``f(x)`` where the condition holds and ``otherwise`` elsewhere, without the slopes of ``f`` where it does
    not: there ``f`` sees ``safe`` instead of ``x``.

    ``where(mask, f(x), 0)`` has gradient nan wherever ``f`` has an infinite or nan slope, taken or not.

    >>> import polygrad as pg
    >>> pg.grad(lambda x: pg.safe_where(x > 0, pg.sqrt, x, 0.0))(0.0)
    0.0
    """
    return where(condition, f(where(condition, x, safe)), otherwise)


# The slope at 0 is 0, the minimum-norm subgradient; nan goes through.
@unary(vjp=lambda xp, g, out: xp.relu_linear(g, out), jvp=lambda xp, t, out: xp.relu_linear(t, out))
def relu(xp: Namespace, x: Raw, /) -> Raw:
    """``max(x, 0)``, with derivative 0 at 0.

    >>> import polygrad as pg
    >>> pg.relu(pg.asarray([-1.0, 2.0]))
    tensor([0., 2.], dtype=float64)
    """
    return xp.relu(x)


# out (1 - out) vanishes in the right tail; with e = exp(-|x|) the slope is e / (1 + e)^2, exact in both.
@unary(vjp=lambda xp, g, x: g * xp.sigmoid_slope(x), jvp=lambda xp, t, x: t * xp.sigmoid_slope(x))
def _sigmoid(xp: Namespace, x: Raw, /) -> Raw:
    return xp.sigmoid(x)


@kernel
def sigmoid_slope(xp: Namespace, x: Raw) -> Raw:
    """The derivative of the logistic function."""
    e = xp.exp(-xp.abs(x))
    return e / ((1 + e) * (1 + e))


@kernel
def sigmoid_(xp: Namespace, x: Raw) -> Raw:
    e = xp.exp(-xp.abs(x))
    return xp.where(x < 0, e, xp.ones_like(e)) / (1 + e)


def sigmoid(x: ArrayLike, /) -> Tensor:
    """The logistic function ``1 / (1 + exp(-x))``, with a derivative that is exact in both tails.

    >>> import polygrad as pg
    >>> pg.sigmoid(pg.asarray([0.0, 1000.0]))
    tensor([0.5, 1. ], dtype=float64)
    """
    if not isinstance(x, Cell):
        (x,) = together("sigmoid", (x,))
    device, dtype = x._device, x._value.dtype
    if dtype not in device.inexact_dtypes:
        x = astype(x, "float64")
    elif dtype in device.complex_dtypes:
        raise DTypeError(f"sigmoid: takes real numbers, got {x.dtype} of shape {x.shape}")
    return _sigmoid(x)


# -- log-sum-exp and softmax -------------------------------------------------------------------------
# A row of -inf alone (nothing to weigh) has gradient 0; a +inf takes all the weight.


def _floating(name: str, x: Any) -> None:
    if x._device.backend.to_dtype(x._value.dtype).kind != "f":
        raise DTypeError(f"{name}: needs a real floating dtype, got {x.dtype}; cast with pg.astype")


def _shifted(xp: Namespace, x: Raw, axes: Axes) -> tuple[Raw, Raw]:
    """``x`` less its largest element (itself where that is infinite), and what was taken off."""
    top = xp.max(x, axis=axes, keepdims=True)
    top = xp.where(xp.isinf(top), xp.zeros_like(top), top)
    return x - top, top


def _weights(xp: Namespace, x: Raw, out: Raw, axes: Axes, keepdims: bool) -> Raw:
    """exp(x - logsumexp(x)), 0 where that is -inf - -inf."""
    out = kept(xp, out, x.shape, axes, keepdims)
    nothing = (out == -float("inf")) & (x == -float("inf"))
    safe = xp.where(nothing, xp.ones_like(x), x)
    weight = xp.exp(safe - xp.where(xp.isinf(out) & (safe == out), xp.zeros_like(out), out))
    share = xp.astype(x == out, x.dtype)
    infinite = xp.where(out == float("inf"), share / xp.sum(share, axis=axes, keepdims=True), weight)
    return xp.where(nothing, xp.zeros_like(x), infinite)


def _logsumexp_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    return spread(xp, g, x.shape, axes, keepdims) * _weights(xp, x, out, axes, keepdims)


def _logsumexp_jvp(xp: Namespace, t: Raw, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    return xp.sum(t * _weights(xp, x, out, axes, keepdims), axis=axes, keepdims=keepdims)


@op(vjps=[_logsumexp_vjp], jvps=[_logsumexp_jvp])
def _logsumexp(xp: Namespace, x: Raw, /, axes: Axes, keepdims: bool) -> Raw:
    return xp.logsumexp_over(x, axes, keepdims)


@kernel
def logsumexp_over(xp: Namespace, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    """``log(sum(exp(x)))``."""
    shifted, top = _shifted(xp, x, axes)
    total = xp.log(xp.sum(xp.exp(shifted), axis=axes, keepdims=True)) + top
    return total if keepdims else xp.squeeze(total, axis=axes)


def logsumexp(x: ArrayLike, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` over ``axis`` without overflow; exact with infinite entries.

    >>> import polygrad as pg
    >>> pg.logsumexp(pg.asarray([1000.0, 1000.0]))
    tensor(1000.69314718, dtype=float64)
    """
    (x,) = together("logsumexp", (x,))
    _floating("logsumexp", x)
    return apply(_logsumexp, (x,), (normal_axes("logsumexp", axis, x._value.ndim), keepdims))


# The Jacobian diag(s) - s s^T is symmetric: both modes are g s - s sum(g s).
def _softmax_linear(xp: Namespace, g: Raw, out: Raw, axes: Axes) -> Raw:
    weighted = g * out
    return weighted - out * xp.sum(weighted, axis=axes, keepdims=True)


@op(vjps=[_softmax_linear], jvps=[_softmax_linear])
def _softmax(xp: Namespace, x: Raw, /, axes: Axes) -> Raw:
    return xp.softmax_over(x, axes)


@kernel
def softmax_over(xp: Namespace, x: Raw, axes: Axes) -> Raw:
    """``exp(x) / sum(exp(x))``."""
    shifted, _ = _shifted(xp, x, axes)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=axes, keepdims=True)
    return e / xp.where(total == 0, xp.ones_like(total), total)


def softmax(x: ArrayLike, /, *, axis: int | tuple[int, ...] = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` over ``axis``; a row of -inf alone gives zeros with gradient 0.

    >>> import polygrad as pg
    >>> pg.softmax(pg.asarray([0.0, 0.0]))
    tensor([0.5, 0.5], dtype=float64)
    """
    (x,) = together("softmax", (x,))
    _floating("softmax", x)
    return apply(_softmax, (x,), (normal_axes("softmax", axis, x._value.ndim),))


def _log_softmax_vjp(xp: Namespace, g: Raw, out: Raw, axes: Axes) -> Raw:
    return g - xp.exp(out) * xp.sum(g, axis=axes, keepdims=True)


def _log_softmax_jvp(xp: Namespace, t: Raw, out: Raw, axes: Axes) -> Raw:
    return t - xp.sum(xp.exp(out) * t, axis=axes, keepdims=True)


def _log_softmax_guarded(rule: Callable[..., Any]) -> Callable[..., Any]:
    """The rule with gradient 0 for rows of -inf alone."""

    def guarded(xp: Namespace, g: Raw, out: Raw, axes: Axes) -> Raw:
        made = rule(xp, g, out, axes)
        nothing = xp.max(out, axis=axes, keepdims=True) == -float("inf")
        return xp.where(nothing, xp.zeros_like(made), made)

    return guarded


@op(vjps=[_log_softmax_guarded(_log_softmax_vjp)], jvps=[_log_softmax_guarded(_log_softmax_jvp)])
def _log_softmax(xp: Namespace, x: Raw, /, axes: Axes) -> Raw:
    return xp.log_softmax_over(x, axes)


@kernel
def log_softmax_over(xp: Namespace, x: Raw, axes: Axes) -> Raw:
    """``x - logsumexp(x)``."""
    shifted, _ = _shifted(xp, x, axes)
    total = xp.sum(xp.exp(shifted), axis=axes, keepdims=True)
    return shifted - xp.log(xp.where(total == 0, xp.ones_like(total), total))


def log_softmax(x: ArrayLike, /, *, axis: int | tuple[int, ...] = -1) -> Tensor:
    """``x - logsumexp(x)`` over ``axis``; a row of -inf alone stays so, with gradient 0.

    >>> import polygrad as pg
    >>> pg.log_softmax(pg.asarray([0.0, 0.0]))
    tensor([-0.69314718, -0.69314718], dtype=float64)
    """
    (x,) = together("log_softmax", (x,))
    _floating("log_softmax", x)
    return apply(_log_softmax, (x,), (normal_axes("log_softmax", axis, x._value.ndim),))
