"""Activations with parameters, each one op with its slope: PyTorch's functions, PyTorch's slopes at the kinks.

A slope is written so that its own derivative is right too: what a branch does not take is kept out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.apply import apply, apply_multiple
from ..core.cell import Cell
from ..core.declare import op
from ..core.kernels import kernel
from ..core.operands import together
from ..errors import DTypeError
from ..typing import ArrayLike, Namespace, Raw

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = [
    "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_sigmoid", "mish", "silu",
    "softplus_beyond", "softshrink", "softsign", "tanhshrink", "threshold",
]  # fmt: skip

Function = Callable[..., Any]


def _check_floating(name: str, x: Any) -> None:
    if x._value.dtype not in x._device.inexact_dtypes or x._value.dtype in x._device.complex_dtypes:
        raise DTypeError(f"{name}: needs a real floating dtype, got {x.dtype}; cast with pg.astype")


def _activation(name: str, f: Function, slope: Function) -> Callable[..., Tensor]:
    """The function of one array and static parameters with this forward and slope."""
    code = slope.__code__
    names = list(code.co_varnames[1 : code.co_argcount])

    def linear(xp: Namespace, g: Raw, *args: Any) -> Raw:
        return xp.strong_multiply(g, slope(xp, *args))

    linear.needs = names  # type: ignore[attr-defined]
    f.__name__ = name
    declared = op(vjps=[linear], jvps=[linear])(f)

    def call(x: ArrayLike, *params: Any) -> Tensor:
        if not isinstance(x, Cell):
            (x,) = together(name, (x,))
        _check_floating(name, x)
        return apply(declared, (x,), params)

    return call


def _mask(xp: Namespace, condition: Raw, x: Raw) -> Raw:
    return xp.astype(condition, x.dtype)


# -- piecewise linear ------------------------------------------------------------------------------------


def _leaky(xp: Namespace, x: Raw, /, slope: float) -> Raw:
    return xp.where(x > 0, x, x * slope)


def _leaky_slope(xp: Namespace, x: Raw, slope: float) -> Raw:
    return xp.where(x > 0, xp.ones_like(x), xp.full_like(x, slope))


_leaky_relu = _activation("leaky_relu", _leaky, _leaky_slope)


def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> Tensor:
    """``x`` above 0, else ``negative_slope * x``; the slope at 0 is ``negative_slope``."""
    return _leaky_relu(x, negative_slope)


def _clipped(xp: Namespace, x: Raw, /, low: float, high: float) -> Raw:
    return xp.minimum(xp.maximum(x, xp.full_like(x, low)), xp.full_like(x, high))


_hardtanh = _activation(
    "hardtanh", _clipped, lambda xp, x, low, high: _mask(xp, (x > low) & (x < high), x)
)  # fmt: skip


def hardtanh(x: ArrayLike, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``x`` clipped to ``min_val`` and ``max_val``; the slope is 0 at both."""
    return _hardtanh(x, min_val, max_val)


def _hardsigmoid_of(xp: Namespace, x: Raw, /) -> Raw:
    return _clipped(xp, x + 3.0, 0.0, 6.0) / 6.0


hardsigmoid = _activation(
    "hardsigmoid", _hardsigmoid_of, lambda xp, x: _mask(xp, (x > -3.0) & (x < 3.0), x) / 6.0
)  # fmt: skip


def _hardswish_of(xp: Namespace, x: Raw, /) -> Raw:
    return x * _clipped(xp, x + 3.0, 0.0, 6.0) / 6.0


def _hardswish_slope(xp: Namespace, x: Raw) -> Raw:
    middle = xp.where(x < 3.0, x / 3.0 + 0.5, xp.ones_like(x))
    return xp.where(x > -3.0, middle, xp.zeros_like(x))


hardswish = _activation("hardswish", _hardswish_of, _hardswish_slope)


def _hardshrink_of(xp: Namespace, x: Raw, /, lambd: float) -> Raw:
    return xp.where((x >= -lambd) & (x <= lambd), xp.zeros_like(x), x)


def _shrink_slope(xp: Namespace, x: Raw, lambd: float) -> Raw:
    return _mask(xp, (x < -lambd) | (x > lambd), x)


_hardshrink = _activation("hardshrink", _hardshrink_of, _shrink_slope)


def hardshrink(x: ArrayLike, lambd: float = 0.5) -> Tensor:
    """``x`` outside of ``-lambd`` to ``lambd``, else 0."""
    return _hardshrink(x, lambd)


def _softshrink_of(xp: Namespace, x: Raw, /, lambd: float) -> Raw:
    below = xp.where(x < -lambd, x + lambd, xp.zeros_like(x))
    return xp.where(x > lambd, x - lambd, below)


_softshrink = _activation("softshrink", _softshrink_of, _shrink_slope)


def softshrink(x: ArrayLike, lambd: float = 0.5) -> Tensor:
    """``x`` shrunk towards 0 by ``lambd``."""
    return _softshrink(x, lambd)


def _threshold_of(xp: Namespace, x: Raw, /, threshold: float, value: float) -> Raw:
    return xp.where(x <= threshold, xp.full_like(x, value), x)


threshold = _activation("threshold", _threshold_of, lambda xp, x, threshold: _mask(xp, x > threshold, x))


# -- exponential -----------------------------------------------------------------------------------------
# exp is of min(x, 0): where x is large it would overflow, and inf * 0 is nan.


def _low(xp: Namespace, x: Raw) -> Raw:
    return xp.where(x > 0, xp.zeros_like(x), x)


def _elu_of(xp: Namespace, x: Raw, /, negative: float, positive: float, inner: float) -> Raw:
    return xp.where(x > 0, x * positive, xp.expm1(_low(xp, x) * inner) * negative)


def _elu_slope(xp: Namespace, x: Raw, negative: float, positive: float, inner: float) -> Raw:
    return xp.where(x > 0, xp.full_like(x, positive), xp.exp(_low(xp, x) * inner) * (negative * inner))


_elu = _activation("elu", _elu_of, _elu_slope)


def elu(x: ArrayLike, negative: float = 1.0, positive: float = 1.0, inner: float = 1.0) -> Tensor:
    """``positive * x`` above 0, else ``negative * expm1(inner * x)``: ELU, SELU and CELU."""
    return _elu(x, negative, positive, inner)


# x Phi(x), Phi from erfc: exact in the left tail. The slope Phi(x) + x phi(x) comes from the same numbers, so the op
# returns both; the slope's own slope is phi(x) (2 - x^2).
_ROOT_HALF = 0.7071067811865476
_ROOT_2_OVER_PI = 0.7978845608028654


def _density(xp: Namespace, x: Raw) -> Raw:
    return xp.exp(-0.5 * x * x) * (0.5 * _ROOT_2_OVER_PI)


@kernel
def gelu_parts(xp: Namespace, x: Raw) -> tuple[Raw, Raw]:
    """GELU and its slope."""
    share = 0.5 * xp.special.erfc(x * -_ROOT_HALF)
    return x * share, share + x * _density(xp, x)


def _bend(xp: Namespace, x: Raw) -> Raw:
    """The slope's slope."""
    return _density(xp, x) * (2 - x * x)


def _gelu_vjp(xp: Namespace, g: list[Any], out: list[Any], x: Raw) -> Raw:
    cotangent = None if g[0] is None else xp.strong_multiply(g[0], out[1])
    if g[1] is None:
        return cotangent
    bend = xp.strong_multiply(g[1], _bend(xp, x))
    return bend if cotangent is None else cotangent + bend


def _gelu_jvp(xp: Namespace, t: Raw, out: list[Any], x: Raw) -> list[Raw]:
    return [xp.strong_multiply(t, out[1]), xp.strong_multiply(t, _bend(xp, x))]


@op(name="gelu", vjps=[_gelu_vjp], jvps=[_gelu_jvp], multiple=True)
def _gelu(xp: Namespace, x: Raw, /) -> tuple[Raw, ...]:
    return xp.gelu_parts(x)  # type: ignore[no-any-return]


# 0.5 (1 + tanh u) is the logistic function of 2 u.
def _gelu_tanh_of(xp: Namespace, x: Raw, /) -> Raw:
    return x * xp.sigmoid(x * (2 * _ROOT_2_OVER_PI + (2 * _ROOT_2_OVER_PI * 0.044715) * x * x))


def _gelu_tanh_slope(xp: Namespace, x: Raw) -> Raw:
    square = x * x
    u = x * (2 * _ROOT_2_OVER_PI + (2 * _ROOT_2_OVER_PI * 0.044715) * square)
    inner = 2 * _ROOT_2_OVER_PI + (6 * _ROOT_2_OVER_PI * 0.044715) * square
    return xp.sigmoid(u) + x * inner * xp.sigmoid_slope(u)


_gelu_tanh = _activation("gelu_tanh", _gelu_tanh_of, _gelu_tanh_slope)


def gelu(x: ArrayLike, approximate: str = "none") -> Tensor:
    """``x`` times the normal distribution's function at ``x`` (Hendrycks and Gimpel, 2016), or the approximation by
    tanh."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    if approximate == "tanh":
        return _gelu_tanh(x)
    (x,) = together("gelu", (x,))
    _check_floating("gelu", x)
    return apply_multiple(_gelu, (x,))[0]  # type: ignore[no-any-return]


silu = _activation(
    "silu",
    lambda xp, x, /: x * xp.sigmoid(x),
    lambda xp, x: xp.sigmoid(x) + x * xp.sigmoid_slope(x),
)


# tanh(log1p(exp(x))) = n (n + 2) / (n (n + 2) + 2) with n = exp(x); both sides are written with e = exp(-|x|). Its
# slope is 4 n (n + 1) / (n (n + 2) + 2)^2. -|x| is chosen by the same condition as the formula, for ``abs`` has no
# derivative at 0 where the formula of the left side has all.
def _mish_gate(xp: Namespace, x: Raw) -> tuple[Raw, Raw]:
    right = x > 0
    e = xp.exp(xp.where(right, -x, x))
    d = xp.where(right, 1 + 2 * e * (1 + e), 2 + e * (e + 2))
    gate = xp.where(right, 1 + 2 * e, e * (e + 2)) / d
    return gate, 4 * e * (1 + e) * xp.where(right, e, xp.ones_like(e)) / (d * d)


def _mish_slope(xp: Namespace, x: Raw) -> Raw:
    gate, slope = _mish_gate(xp, x)
    return gate + x * slope


mish = _activation("mish", lambda xp, x, /: x * _mish_gate(xp, x)[0], _mish_slope)

log_sigmoid = _activation(
    "log_sigmoid",
    lambda xp, x, /: _low(xp, x) - xp.log1p(xp.exp(-xp.abs(x))),
    lambda xp, x: xp.sigmoid(-x),
)


def _softplus_of(xp: Namespace, x: Raw, /, beta: float, threshold: float) -> Raw:
    scaled = x * beta
    linear = scaled > threshold
    inner = xp.where(linear, xp.zeros_like(x), scaled)
    return xp.where(linear, x, (xp.maximum(inner, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(inner)))) / beta)


def _softplus_slope(xp: Namespace, x: Raw, beta: float, threshold: float) -> Raw:
    scaled = x * beta
    linear = scaled > threshold
    return xp.where(linear, xp.ones_like(x), xp.sigmoid(xp.where(linear, xp.zeros_like(x), scaled)))


softplus_beyond = _activation("softplus_beyond", _softplus_of, _softplus_slope)


def _softsign_slope(xp: Namespace, x: Raw) -> Raw:
    d = 1 + xp.abs(x)
    return 1 / (d * d)


tanhshrink = _activation(
    "tanhshrink",
    lambda xp, x, /: x - xp.tanh(x),
    lambda xp, x: xp.square(xp.tanh(x)),
)

softsign = _activation("softsign", lambda xp, x, /: x / (1 + xp.abs(x)), _softsign_slope)
