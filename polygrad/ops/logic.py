"""Elementwise functions without a derivative: comparisons, tests, logic and bits."""

from __future__ import annotations

import operator

from ..core.declare import binary, unary
from ..typing import Namespace, Raw


@binary(scalars=True, direct=operator.eq)
def equal(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 == x2``, element by element."""
    return x1 == x2


@binary(scalars=True, direct=operator.ne)
def not_equal(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 != x2``, element by element."""
    return x1 != x2


@binary(scalars=True, direct=operator.lt)
def less(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 < x2``, element by element."""
    return x1 < x2


@binary(scalars=True, direct=operator.le)
def less_equal(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 <= x2``, element by element."""
    return x1 <= x2


@binary(scalars=True, direct=operator.gt)
def greater(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 > x2``, element by element."""
    return x1 > x2


@binary(scalars=True, direct=operator.ge)
def greater_equal(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 >= x2``, element by element."""
    return x1 >= x2


@unary()
def isfinite(xp: Namespace, x: Raw, /) -> Raw:
    """Whether each element is neither infinite nor nan."""
    return xp.isfinite(x)


@unary()
def isinf(xp: Namespace, x: Raw, /) -> Raw:
    """Whether each element is an infinity."""
    return xp.isinf(x)


@unary()
def isnan(xp: Namespace, x: Raw, /) -> Raw:
    """Whether each element is nan."""
    return xp.isnan(x)


@unary()
def signbit(xp: Namespace, x: Raw, /) -> Raw:
    """Whether the sign bit is set (of -0.0 too)."""
    return xp.signbit(x)


@unary()
def logical_not(xp: Namespace, x: Raw, /) -> Raw:
    """``not x``, element by element."""
    return xp.logical_not(x)


@binary()
def logical_and(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 and x2``, element by element."""
    return xp.logical_and(x1, x2)


@binary()
def logical_or(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 or x2``, element by element."""
    return xp.logical_or(x1, x2)


@binary()
def logical_xor(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """Exactly one of ``x1`` and ``x2``, element by element."""
    return xp.logical_xor(x1, x2)


@unary()
def bitwise_invert(xp: Namespace, x: Raw, /) -> Raw:
    """Every bit inverted."""
    return xp.bitwise_invert(x)


@binary(scalars=True, direct=operator.and_)
def bitwise_and(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 & x2``, bit by bit."""
    return x1 & x2


@binary(scalars=True, direct=operator.or_)
def bitwise_or(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 | x2``, bit by bit."""
    return x1 | x2


@binary(scalars=True, direct=operator.xor)
def bitwise_xor(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 ^ x2``, bit by bit."""
    return x1 ^ x2


@binary()
def bitwise_left_shift(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 << x2``."""
    return xp.bitwise_left_shift(x1, x2)


@binary()
def bitwise_right_shift(xp: Namespace, x1: Raw, x2: Raw, /) -> Raw:
    """``x1 >> x2``."""
    return xp.bitwise_right_shift(x1, x2)
