"""Cotangents on their way: parts that are put together when they are needed, and how one is fitted to its argument."""

from __future__ import annotations

from typing import Any

from .node import Node

__all__ = ["EntryParts", "OutputParts", "Parts", "fit", "pass_on"]


class Parts:
    """The cotangent of a value, in parts that are put together only when it is needed: of some of an op's
    several outputs, or of some entries of an array. ``a + b`` collects."""

    __slots__ = ("dense", "parts")

    def __init__(self, parts: list[Any], dense: Any = None) -> None:
        self.parts = parts
        self.dense = dense

    def __add__(self, other: Any) -> Parts:
        # A rule made both sides for this walk alone, so the left list may grow in place.
        if isinstance(other, Parts):
            self.parts.extend(other.parts)
            other = other.dense
        if other is not None:
            self.dense = other if self.dense is None else self.dense + other
        return self

    __radd__ = __add__

    def whole(self, xp: Any, node: Node) -> Any:
        """The cotangent as the node's rules take it."""
        raise NotImplementedError


class OutputParts(Parts):
    """Cotangents ``(index, g)`` of an op with several outputs; its rules take a list, None where there is none."""

    __slots__ = ()

    def whole(self, xp: Any, node: Node) -> Any:
        gathered: list[Any] = [None] * len(node.shape)
        for index, g in self.parts:
            gathered[index] = g if gathered[index] is None else gathered[index] + g
        return gathered


class EntryParts(Parts):
    """Cotangents ``(key, g)`` of entries ``x[key]``: one buffer takes all of them."""

    __slots__ = ()

    def whole(self, xp: Any, node: Node) -> Any:
        total = xp.scatter_add(node.shape, node.dtype, self.parts)
        return total if self.dense is None else total + self.dense


def fit(xp: Any, g: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The cotangent of an argument that was broadcast or promoted: summed over the broadcast axes, its real
    part taken where the argument is real, cast to the argument's dtype."""
    have = g.shape
    if have != shape:
        extra = len(have) - len(shape)
        if extra > 0 and have[extra:] == shape:
            g = xp.sum_leading(g, extra)
        elif extra < 0:
            g = xp.broadcast_to(g, shape)  # a rule gave a constant slope
        else:
            axes = tuple(range(extra)) + tuple(
                i + extra for i, n in enumerate(shape) if n == 1 and have[i + extra] != 1
            )
            if axes:
                g = xp.sum(g, axis=axes, keepdims=True)
            if extra:
                g = xp.reshape(g, shape)
            if g.shape != shape:
                g = xp.broadcast_to(g, shape)
    if g.dtype != dtype:
        if xp.isdtype(g.dtype, "complex floating") and not xp.isdtype(dtype, "complex floating"):
            g = xp.real(g)
        if g.dtype != dtype:
            g = xp.astype(g, dtype)
    return g


def pass_on(xp: Any, g: Any) -> Any:
    """The rule of what hands its cotangent on as it is, known to the walk, which saves the call."""
    return g
