"""A line search for the strong Wolfe conditions (Nocedal and Wright, 2006, algorithms 3.5 and 3.6, with cubic
interpolation; its safeguards are minFunc's, by Mark Schmidt)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["strong_wolfe"]


class _Point(NamedTuple):
    t: float
    loss: float
    gradient: Any
    slope: float


def strong_wolfe(
    along: Callable[[float], tuple[float, Any, float]],
    t: float,
    size: float,
    start: tuple[float, Any, float],
    tolerance: float,
    most: int,
    c1: float = 1e-4,
    c2: float = 0.9,
) -> tuple[float, Any, float, int]:
    """A step length that lowers the loss enough and flattens the slope.

    Args:
        along: the loss, its gradient and its slope along the direction, at a step length.
        t: the first length to try.
        size: the direction's largest element.
        start: the loss, the gradient and the slope at length 0.
        tolerance: stop where lengths differ by less, times ``size``.
        most: how many lengths may be tried.
        c1, c2: the conditions' constants.

    Returns:
        The loss and the gradient there, the length, and how many lengths were tried.
    """
    first = _Point(0.0, *start)
    before, now = first, _Point(t, *along(t))
    tries, evals, ends = 0, 1, []
    while tries < most:
        worse = now.loss > first.loss + c1 * now.t * first.slope or (tries > 1 and now.loss >= before.loss)
        if not worse and abs(now.slope) <= -c2 * first.slope:
            return now.loss, now.gradient, now.t, evals
        if worse or now.slope >= 0:
            ends = [before, now]
            break
        t = _cubic(before, now, (now.t + 0.01 * (now.t - before.t), now.t * 10))
        before, now = now, _Point(t, *along(t))
        evals += 1
        tries += 1
    best, more = _zoom(along, ends or [first, now], first, (size, tolerance, most - tries), (c1, c2))
    return best.loss, best.gradient, best.t, evals + more


def _zoom(
    along: Callable[[float], tuple[float, Any, float]],
    ends: list[_Point],
    first: _Point,
    limits: tuple[float, float, int],
    constants: tuple[float, float],
) -> tuple[_Point, int]:
    """Narrow a bracket until its better end fulfils the conditions."""
    (size, tolerance, most), (c1, c2) = limits, constants
    low, high = ends if ends[0].loss <= ends[1].loss else ends[::-1]
    stuck, tried = False, 0
    while tried < most and abs(high.t - low.t) * size >= tolerance:
        left, right = min(low.t, high.t), max(low.t, high.t)
        t = _cubic(low, high, (left, right)) if low.t <= high.t else _cubic(high, low, (left, right))
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # hardly any progress: the second time, stay off the end
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        now = _Point(t, *along(t))
        tried += 1
        if now.loss > first.loss + c1 * now.t * first.slope or now.loss >= low.loss:
            high = now
            if high.loss < low.loss:
                low, high = high, low
            continue
        if abs(now.slope) <= -c2 * first.slope:
            return now, tried
        if now.slope * (high.t - low.t) >= 0:
            high = low
        low = now
    return low, tried


def _cubic(a: _Point, b: _Point, bounds: tuple[float, float]) -> float:
    """The least point of the cubic through two points with their slopes, within bounds; their middle where the cubic
    has none (Nocedal and Wright, equation 3.59)."""
    low, high = bounds
    if a.t == b.t:
        return (low + high) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:  # a nan, too
        return (low + high) / 2
    d2 = math.sqrt(square)
    if a.t > b.t:
        a, b = b, a
    below = b.slope - a.slope + 2 * d2
    if not below:
        return (low + high) / 2
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / below), low), high)
