"""Strong zeros and kinks: a cotangent or tangent that is exactly 0 stays 0 through a slope that is infinite or nan.

What ``where`` did not take gets a cotangent of 0, and 0 times an infinite slope would be nan. These products and
quotients are 0 there, and ``g * slope`` and ``g / x`` elsewhere. They have rules of their own, with strong zeros again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..core.declare import binary, unary
from ..core.kernels import kernel
from ..typing import Namespace, Raw

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["ON_TENSORS", "PLAIN_OF", "product", "quotient", "tip"]


PLAIN_OF: Final = {"strong_multiply": "multiply", "strong_product": "multiply", "strong_divide": "divide"}
"""The functions that give the same where no nan comes of it."""


@kernel
def strong_multiply(xp: Namespace, g: Raw, slope: Raw) -> Raw:
    """``g * slope``, and 0 where ``g`` is 0."""
    product = g * slope
    return xp.where((product != product) & (g == 0), xp.zeros_like(product), product)


@kernel
def strong_product(xp: Namespace, a: Raw, b: Raw) -> Raw:
    """``a * b``, and 0 where either is 0."""
    product = a * b
    return xp.where((product != product) & ((a == 0) | (b == 0)), xp.zeros_like(product), product)


@kernel
def strong_divide(xp: Namespace, g: Raw, x: Raw) -> Raw:
    """``g / x``, and 0 where ``g`` is 0."""
    ratio = g / x
    return xp.where((ratio != ratio) & (g == 0), xp.zeros_like(ratio), ratio)


@kernel
def divide_linear(xp: Namespace, g: Raw, out: Raw, x: Raw) -> Raw:
    """``-(g * out) / x``, and 0 where ``g`` is 0: what ``out = y / x`` makes of a change of ``x``."""
    return -quotient(xp, xp.strong_multiply(g, out), x)


def product(xp: Namespace, g: Raw, slope: Raw) -> Raw:
    """``strong_multiply``, or a plain product with a Python number that is finite."""
    plain = isinstance(slope, (int, float)) and slope - slope == 0
    return g * slope if plain else xp.strong_multiply(g, slope)


def quotient(xp: Namespace, g: Raw, x: Raw) -> Raw:
    """``strong_divide``, or a plain division by a Python number that needs no care."""
    plain = isinstance(x, (int, float)) and x != 0 and x == x
    return g / x if plain else xp.strong_divide(g, x)


# The product is linear in both: by each factor the slope is the other one. A cotangent times a cotangent of a slope
# is 0 where either is.
@binary(
    vjps=(
        lambda xp, c, x2: xp.strong_multiply(c, xp.conj(x2)),
        lambda xp, c, x1: xp.strong_product(c, xp.conj(x1)),
    ),
    jvps=(lambda xp, t, x2: xp.strong_multiply(t, x2), lambda xp, t, x1: xp.strong_product(t, x1)),
)
def _strong_multiply(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    return xp.strong_multiply(x1, x2)


@binary(
    vjps=(
        lambda xp, c, x2: xp.strong_product(c, xp.conj(x2)),
        lambda xp, c, x1: xp.strong_product(c, xp.conj(x1)),
    ),
    jvps=(lambda xp, t, x2: xp.strong_product(t, x2), lambda xp, t, x1: xp.strong_product(t, x1)),
)
def _strong_product(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    return xp.strong_product(x1, x2)


@binary(
    vjps=(
        lambda xp, c, x2: xp.strong_divide(c, xp.conj(x2)),
        lambda xp, c, out, x2: -xp.strong_divide(xp.strong_product(c, xp.conj(out)), xp.conj(x2)),
    ),
    jvps=(
        lambda xp, t, x2: xp.strong_divide(t, x2),
        lambda xp, t, out, x2: -xp.strong_divide(xp.strong_product(t, out), x2),
    ),
)
def _strong_divide(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    return xp.strong_divide(x1, x2)


# -- the tips of cones ---------------------------------------------------------------------------------
# A norm, a deviation, a complex magnitude at 0: the slope is chosen, 0, and its own slope does not exist. It is nan, so
# that a second derivative is never 0 in silence.


@kernel
def kink(xp: Namespace, x: Raw) -> Raw:
    """Zeros like ``x``, whose derivative is nan."""
    return xp.zeros_like(x)


def tip(xp: Namespace, x: Raw, axes: tuple[int, ...]) -> Raw:
    """The slopes, 0, at the tip of a cone over some axes: each depends on every entry."""
    each = xp.kink(x)
    return each + xp.sum(each, axis=axes, keepdims=True)


def _undefined(xp: Namespace, g: Raw) -> Raw:
    return xp.strong_multiply(g, float("nan"))


@unary(vjp=_undefined, jvp=_undefined)
def _kink(xp: Namespace, x: Raw, /) -> Raw:
    return xp.kink(x)


ON_TENSORS: Final[dict[str, Callable[..., Tensor]]] = {
    "kink": _kink,
    "strong_divide": _strong_divide,
    "strong_multiply": _strong_multiply,
    "strong_product": _strong_product,
}
"""The kernels of this file as ops, by name."""
