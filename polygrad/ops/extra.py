"""What the standard lacks and users need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.cell import Cell
from ..core.declare import op, unary
from ..core.kernels import ON_TENSORS, kernel
from ..core.operands import together
from ..errors import DTypeError
from ..typing import ArrayLike, Namespace, Raw
from .data_types import astype
from .half import in_single, single
from .manipulation import normal_axes
from .searching import where
from .statistical import kept, linear_scan, one_axis

if TYPE_CHECKING:
    from ..tensor import Tensor

Axes = tuple[int, ...]


def safe_where(
    condition: ArrayLike, f: Callable[[Any], Any], x: ArrayLike, otherwise: ArrayLike, *, safe: ArrayLike = 1.0
) -> Tensor:
    """``f(x)`` where the condition holds and ``otherwise`` elsewhere, without the slopes of ``f`` where it does
    not: there ``f`` sees ``safe`` instead of ``x``.

    ``where(mask, f(x), 0)`` does without it for most functions; see ``docs/numerics.md`` for those that overflow.

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


ON_TENSORS["relu"] = relu


@op(
    vjps=[lambda xp, g, x: xp.strong_multiply(g, xp.sigmoid_slope(x))],
    jvps=[lambda xp, t, x: xp.strong_multiply(t, xp.sigmoid_slope(x))],
    name="sigmoid",
)
def _sigmoid(xp: Namespace, x: Raw, /) -> Raw:
    return xp.sigmoid(x)


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
    return apply(_sigmoid, (x,))


# -- log-sum-exp and softmax -------------------------------------------------------------------------
# A row of -inf alone, or of no elements (nothing to weigh), has gradient 0; a +inf takes all the weight.


def _floating(name: str, x: Any) -> None:
    if x._device.backend.to_dtype(x._value.dtype).kind != "f":
        raise DTypeError(f"{name}: needs a real floating dtype, got {x.dtype}; cast with pg.astype")


def _peak(xp: Namespace, x: Raw, axes: Axes) -> Raw:
    """The largest element, the axes kept; 0 where there is none."""
    if 0 in [x.shape[a] for a in axes]:
        return xp.sum(x, axis=axes, keepdims=True)
    return xp.max(x, axis=axes, keepdims=True)


def _shifted(xp: Namespace, x: Raw, axes: Axes) -> tuple[Raw, Raw]:
    """``x`` less its largest element (itself where that is infinite), and what was taken off."""
    top = _peak(xp, x, axes)
    top = xp.where(xp.isinf(top), xp.zeros_like(top), top)
    return x - top, top


# exp(x - out) would have the rounding of a large out in it (1e-8 at 1e8): the weights are the softmax.
def _weights(xp: Namespace, x: Raw, out: Raw, axes: Axes, keepdims: bool) -> Raw:
    """exp(x - logsumexp(x)), 0 where that is -inf - -inf."""
    endless = kept(xp, out, x.shape, axes, keepdims) == float("inf")
    share = xp.astype(x == float("inf"), x.dtype)
    weight = xp.softmax_over(xp.where(endless, xp.zeros_like(x), x), axes)
    return xp.where(endless, share / xp.sum(share, axis=axes, keepdims=True), weight)


@in_single
def _logsumexp_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    return xp.strong_multiply(kept(xp, g, x.shape, axes, keepdims), _weights(xp, x, out, axes, keepdims))


@in_single
def _logsumexp_jvp(xp: Namespace, t: Raw, out: Raw, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    return xp.sum(xp.strong_multiply(t, _weights(xp, x, out, axes, keepdims)), axis=axes, keepdims=keepdims)


@op(vjps=[_logsumexp_vjp], jvps=[_logsumexp_jvp])
def _logsumexp(xp: Namespace, x: Raw, /, axes: Axes, keepdims: bool) -> Raw:
    return single(xp, xp.logsumexp_over, x, axes, keepdims)


@kernel
def logsumexp_over(xp: Namespace, x: Raw, axes: Axes, keepdims: bool) -> Raw:
    """``log(sum(exp(x)))``."""
    shifted, top = _shifted(xp, x, axes)
    sums = xp.sum(xp.exp(shifted), axis=axes, keepdims=True)
    nothing = sums == 0  # -inf alone; log(0) would warn
    total = xp.log(xp.where(nothing, xp.ones_like(sums), sums))
    total = total + xp.where(nothing, xp.full_like(top, -float("inf")), top)
    return total if keepdims else xp.squeeze(total, axis=axes)


ON_TENSORS["logsumexp_over"] = lambda x, *setting: apply(_logsumexp, (x,), setting)


def logsumexp(x: ArrayLike, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` over ``axis`` without overflow; exact with infinite entries, -inf of none.

    >>> import polygrad as pg
    >>> pg.logsumexp(pg.asarray([1000.0, 1000.0]))
    tensor(1000.69314718, dtype=float64)
    """
    (x,) = together("logsumexp", (x,))
    _floating("logsumexp", x)
    return apply(_logsumexp, (x,), (normal_axes("logsumexp", axis, x._value.ndim), keepdims))


# out_j is the logarithm of the sum up to j, so out_j = logaddexp(out_(j-1), x_j): of dout_j, x_j weighs
# w_j = exp(x_j - out_j) and out_(j-1) weighs a_j = exp(out_(j-1) - out_j), neither above 1. That is a recurrence,
# backward R_j = g_j + a_(j+1) R_(j+1) with w_j R_j for x_j, which neither overflows nor divides. Infinities take all
# the weight, several in equal shares; as long as all are -inf, there is nothing to weigh.
def _running_weights(xp: Namespace, out: Raw, x: Raw, axis: int) -> tuple[Raw, Raw]:
    """What the elements weigh, and what the sums before weigh."""
    before, inf, n = (slice(None),) * axis, float("inf"), x.shape[axis]
    first = xp.full_like(out[(*before, slice(0, 1), ...)], -inf)
    earlier = xp.concat([first, out[(*before, slice(0, n - 1), ...)]], axis=axis)
    infinite = xp.astype(x == inf, x.dtype)
    total = xp.cumulative_sum(infinite, axis=axis)
    share = infinite / xp.where(total == 0, xp.ones_like(total), total)
    endless, nothing = out == inf, out == -inf
    unclear = endless | nothing
    level = xp.where(unclear, xp.zeros_like(out), out)

    def weight(part: Raw, at_infinity: Raw) -> Raw:
        made = xp.exp(xp.where(unclear, xp.zeros_like(part), part) - level)
        return xp.where(nothing, xp.zeros_like(made), xp.where(endless, at_infinity, made))

    return weight(x, share), weight(earlier, xp.where(earlier == inf, 1 - share, xp.zeros_like(share)))


@in_single
def _cumulative_logsumexp_vjp(xp: Namespace, g: Raw, out: Raw, x: Raw, axis: int) -> Raw:
    if x.shape[axis] == 0:
        return xp.zeros_like(x)
    own, earlier = _running_weights(xp, out, x, axis)
    before = (slice(None),) * axis
    ahead = xp.concat([earlier[(*before, slice(1, None), ...)], earlier[(*before, slice(0, 1), ...)]], axis=axis)
    return own * linear_scan(xp, ahead, g, axis)


@in_single
def _cumulative_logsumexp_jvp(xp: Namespace, t: Raw, out: Raw, x: Raw, axis: int) -> Raw:
    if x.shape[axis] == 0:
        return xp.zeros_like(x)
    own, earlier = _running_weights(xp, out, x, axis)
    return xp.flip(linear_scan(xp, xp.flip(earlier, axis=axis), xp.flip(own * t, axis=axis), axis), axis=axis)


@op(vjps=[_cumulative_logsumexp_vjp], jvps=[_cumulative_logsumexp_jvp])
def _cumulative_logsumexp(xp: Namespace, x: Raw, /, axis: int) -> Raw:
    return single(xp, xp.running_logsumexp, x, axis)


@kernel
def running_logsumexp(xp: Namespace, x: Raw, axis: int) -> Raw:
    """``log(cumulative_sum(exp(x)))`` by doubling steps."""
    before, n, step = (slice(None),) * axis, x.shape[axis], 1
    while step < n:
        sums = xp.logaddexp(x[(*before, slice(step, None), ...)], x[(*before, slice(0, n - step), ...)])
        x = xp.concat([x[(*before, slice(0, step), ...)], sums], axis=axis)
        step *= 2
    return x


def cumulative_logsumexp(x: ArrayLike, /, *, axis: int | None = None) -> Tensor:
    """``log(cumulative_sum(exp(x)))`` along ``axis`` without overflow; exact with infinite entries. The axis may be
    left out for a vector.

    >>> import polygrad as pg
    >>> pg.cumulative_logsumexp(pg.asarray([1000.0, 1000.0]))
    tensor([1000.        , 1000.69314718], dtype=float64)
    """
    (x,) = together("cumulative_logsumexp", (x,))
    _floating("cumulative_logsumexp", x)
    return apply(_cumulative_logsumexp, (x,), (one_axis("cumulative_logsumexp", x, axis),))


# Where one element has nearly all the weight, 1 less its weight cancels. So nothing is taken from one: the sum of the
# others' weights stands for it. Which element is the largest is a constant of the rules.


def _largest(xp: Namespace, out: Raw, axes: Axes) -> Raw:
    return out == _peak(xp, out, axes)


def _less_largest(xp: Namespace, g: Raw, out: Raw, axes: Axes) -> Raw:
    """``g`` less its entry at the largest output (their mean at several), which the rules may take off: the weights
    sum to 1."""
    top = _largest(xp, out, axes)
    several = xp.sum(xp.astype(top, g.dtype), axis=axes, keepdims=True)
    several = xp.where(several == 0, xp.ones_like(several), several)  # none is the largest of nan
    return g - xp.sum(xp.where(top, g, xp.zeros_like(g)), axis=axes, keepdims=True) / several


# The Jacobian diag(s) - s s^T is symmetric: both modes are g s - s sum(g s).
@in_single
def _softmax_linear(xp: Namespace, g: Raw, out: Raw, axes: Axes) -> Raw:
    weighted = xp.strong_multiply(_less_largest(xp, g, out, axes), out)
    return weighted - xp.strong_multiply(xp.sum(weighted, axis=axes, keepdims=True), out)


@op(vjps=[_softmax_linear], jvps=[_softmax_linear])
def _softmax(xp: Namespace, x: Raw, /, axes: Axes) -> Raw:
    return single(xp, xp.softmax_over, x, axes)


@kernel
def softmax_over(xp: Namespace, x: Raw, axes: Axes) -> Raw:
    """``exp(x) / sum(exp(x))``."""
    shifted, _ = _shifted(xp, x, axes)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=axes, keepdims=True)
    return e / xp.where(total == 0, xp.ones_like(total), total)


def softmax_on_tensors(x: Tensor, axes: Axes) -> Tensor:
    """The kernel ``softmax_over`` as an op."""
    return apply(_softmax, (x,), (axes,))


def softmax(x: ArrayLike, /, *, axis: int | tuple[int, ...] = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` over ``axis``; a row of -inf alone gives zeros with gradient 0.

    >>> import polygrad as pg
    >>> pg.softmax(pg.asarray([0.0, 0.0]))
    tensor([0.5, 0.5], dtype=float64)
    """
    (x,) = together("softmax", (x,))
    _floating("softmax", x)
    return apply(_softmax, (x,), (normal_axes("softmax", axis, x._value.ndim),))


# A gradient sums to 0: what the one largest element gets is what all others lose.
def _log_softmax_vjp(xp: Namespace, g: Raw, out: Raw, axes: Axes) -> Raw:
    cotangent = g - xp.strong_multiply(xp.sum(g, axis=axes, keepdims=True), xp.exp(out))
    top = _largest(xp, out, axes)
    alone = top & (xp.sum(xp.astype(top, xp.int64), axis=axes, keepdims=True) == 1)
    others = xp.where(alone, xp.zeros_like(cotangent), cotangent)
    return xp.where(alone, 0 - xp.sum(others, axis=axes, keepdims=True), cotangent)


def _log_softmax_jvp(xp: Namespace, t: Raw, out: Raw, axes: Axes) -> Raw:
    t = _less_largest(xp, t, out, axes)
    return t - xp.sum(xp.strong_multiply(t, xp.exp(out)), axis=axes, keepdims=True)


def _log_softmax_guarded(rule: Callable[..., Any]) -> Callable[..., Any]:
    """The rule with gradient 0 for rows of -inf alone."""

    @in_single
    def guarded(xp: Namespace, g: Raw, out: Raw, axes: Axes) -> Raw:
        made = rule(xp, g, out, axes)
        nothing = _peak(xp, out, axes) == -float("inf")
        return xp.where(nothing, xp.zeros_like(made), made)

    return guarded


@op(vjps=[_log_softmax_guarded(_log_softmax_vjp)], jvps=[_log_softmax_guarded(_log_softmax_jvp)])
def _log_softmax(xp: Namespace, x: Raw, /, axes: Axes) -> Raw:
    return single(xp, xp.log_softmax_over, x, axes)


@kernel
def log_softmax_over(xp: Namespace, x: Raw, axes: Axes) -> Raw:
    """``x - logsumexp(x)``."""
    shifted, _ = _shifted(xp, x, axes)
    total = xp.sum(xp.exp(shifted), axis=axes, keepdims=True)
    return shifted - xp.log(xp.where(total == 0, xp.ones_like(total), total))


ON_TENSORS["log_softmax_over"] = lambda x, axes: apply(_log_softmax, (x,), (axes,))


def log_softmax(x: ArrayLike, /, *, axis: int | tuple[int, ...] = -1) -> Tensor:
    """``x - logsumexp(x)`` over ``axis``; a row of -inf alone stays so, with gradient 0.

    >>> import polygrad as pg
    >>> pg.log_softmax(pg.asarray([0.0, 0.0]))
    tensor([-0.69314718, -0.69314718], dtype=float64)
    """
    (x,) = together("log_softmax", (x,))
    _floating("log_softmax", x)
    return apply(_log_softmax, (x,), (normal_axes("log_softmax", axis, x._value.ndim),))
