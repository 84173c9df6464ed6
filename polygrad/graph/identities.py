"""Algebraic identities that hold bit for bit in IEEE arithmetic: what they remove was computed for nothing.

``x * 1`` is ``x``, ``-a + b`` is ``b - a``; what a rectifier lets through behind maximal pooling is told before it. Not among
them: ``x + 0`` (of ``-0.0``), ``x * 0`` and ``x - x`` (of inf and nan), and whatever adds in another order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..ops.strong import PLAIN_OF
from .ir import Graph, Instruction, Value, rewritten

__all__ = ["axes_of", "simplify", "transpose"]

Rule = Callable[["_Known", Instruction], "Value | Instruction | None"]
"""A Value that is the same as what the instruction makes, an instruction that makes it more cheaply, or None."""


_TINY: Final = 1e-7
"""Smaller constants might become 0 in half precision, or divided by a count."""


class _Known:
    """What is known of values while the instructions are gone through in order."""

    def __init__(self, graph: Graph) -> None:
        self.made: dict[Value, Instruction] = {}
        self.more: list[Instruction] = []  # what a rule wants before its instruction
        self.next = graph.next_number()

    def is_one(self, x: Any) -> bool:
        """Whether every element is 1."""
        if x.__class__ is not Value:
            return x.__class__ in (int, float) and x == 1
        i = self.made.get(x)  # not a constant: the user's own arrays may change
        if i is None:
            return False
        return i.op == "ones" or (i.op == "broadcast_to" and self.is_one(i.args[0]))

    def is_never_zero(self, x: Any) -> bool:
        """Whether every element is the same number, which is not 0."""
        i = self.made.get(x) if x.__class__ is Value else None
        if i is None:
            return x.__class__ in (int, float) and abs(x) > _TINY
        match i.op, i.args:
            case "ones", _:
                return True
            case "full", (_, number, *_):
                return number.__class__ in (int, float) and abs(number) > _TINY
            case "broadcast_to" | "reshape" | "negative" | "astype", (source, *_):
                return source.__class__ is Value and self.is_never_zero(source)
            case "multiply" | "divide", (a, b):
                return self._is_count(b) and self.is_never_zero(a)
        return False

    @staticmethod
    def _is_count(x: Any) -> bool:
        return x.__class__ in (int, float) and 1e-9 < abs(x) < 1e9

    def before(self, x: Any, *ops: str) -> Instruction | None:
        """The instruction that made ``x``, if it is one of these, with no options."""
        i = self.made.get(x) if x.__class__ is Value else None
        return i if i is not None and i.op in ops and not i.kwargs else None

    def negated(self, x: Any) -> Any:
        """What ``x`` is the negative of, or None."""
        i = self.made.get(x) if x.__class__ is Value else None
        return i.args[0] if i is not None and i.op == "negative" and i.args[0].__class__ is Value else None

    def new(self, like: Value, op: str, *args: Any) -> Value:
        """A new value, by an instruction before the one at hand."""
        made = Value(self.next, like.shape, like.dtype)
        self.next += 1
        self.more.append(Instruction(op, args, (), (made,)))
        return made


def _alike(a: Any, b: Value) -> bool:
    return a.__class__ is Value and a.shape == b.shape and a.dtype is b.dtype


def _plain(v: Value) -> bool:
    """Not complex, whose product with 1 is nan where a part is infinite."""
    return v.dtype is not None and v.dtype.kind != "c"


def _real(v: Value) -> bool:
    return v.dtype is not None and v.dtype.kind == "f"


def _multiply(known: _Known, i: Instruction) -> Value | Instruction | None:
    a, b = i.args
    (out,) = i.outputs
    if _plain(out) and _alike(a, out) and known.is_one(b):
        return a  # type: ignore[no-any-return]
    if _plain(out) and _alike(b, out) and known.is_one(a):
        return b  # type: ignore[no-any-return]
    c, d = known.negated(a), known.negated(b)
    if c is not None and d is not None:
        return replace(i, args=(c, d))
    if not _real(out):
        return None  # the parts of a complex product are differences, and 0 has two signs
    for x, y in ((a, b), (b, a)):
        if _alike(x, out) and y.__class__ in (int, float) and y == -1:
            return replace(i, op="negative", args=(x,))
    if c is not None and _alike(c, out):
        return replace(i, op="negative", args=(known.new(out, i.op, c, b),))
    if d is not None and _alike(d, out):
        return replace(i, op="negative", args=(known.new(out, i.op, a, d),))
    return None


# Of a number that is not 0 (the cotangent of a sum or mean) the product with strong zeros is the plain one.
def _strong(known: _Known, i: Instruction) -> Value | Instruction | None:
    a, b = i.args
    (out,) = i.outputs
    if _plain(out) and _alike(a, out) and known.is_one(b):
        return a  # type: ignore[no-any-return]
    if known.is_never_zero(a):
        return replace(i, op=PLAIN_OF[i.op])
    c, d = known.negated(a), known.negated(b)
    return replace(i, args=(c, d)) if c is not None and d is not None else None


def _divide_linear(known: _Known, i: Instruction) -> Value | Instruction | None:
    g, result, x = i.args
    (out,) = i.outputs
    if not known.is_never_zero(g):
        return None
    product = known.new(out, "multiply", g, result)
    return replace(i, op="negative", args=(known.new(out, "divide", product, x),))


def _divide(known: _Known, i: Instruction) -> Value | Instruction | None:
    a, b = i.args
    if _plain(i.outputs[0]) and _alike(a, i.outputs[0]) and known.is_one(b):
        return a  # type: ignore[no-any-return]
    c, d = known.negated(a), known.negated(b)
    return replace(i, args=(c, d)) if c is not None and d is not None else None


def _add(known: _Known, i: Instruction) -> Value | Instruction | None:
    a, b = i.args
    d = known.negated(b)
    if d is not None:
        return replace(i, op="subtract", args=(a, d))
    c = known.negated(a)
    return None if c is None else replace(i, op="subtract", args=(b, c))


def _subtract(known: _Known, i: Instruction) -> Value | Instruction | None:
    a, b = i.args
    if _alike(a, i.outputs[0]) and b.__class__ in (int, float) and b == 0 and math.copysign(1.0, b) > 0:
        return a  # type: ignore[no-any-return]  # with either zero as a; a + 0 is not: -0.0 + 0 is 0
    d = known.negated(b)
    if d is not None:
        return replace(i, op="add", args=(a, d))
    if known.negated(a) is b and _real(i.outputs[0]) and _alike(b, i.outputs[0]):
        return replace(i, op="multiply", args=(b, -2.0))  # -b - b: doubling is exact
    return None


def _negative(known: _Known, i: Instruction) -> Value | Instruction | None:
    return known.negated(i.args[0])  # type: ignore[no-any-return]


def _conj(known: _Known, i: Instruction) -> Value | Instruction | None:
    (x,) = i.args
    if x.__class__ is not Value or x.dtype is None or i.kwargs:
        return None
    if x.dtype.kind != "c":
        return x
    before = known.made.get(x)
    return before.args[0] if i.op == "conj" and before is not None and before.op == "conj" else None


def _same_shape(known: _Known, i: Instruction) -> Value | Instruction | None:
    if _alike(i.args[0], i.outputs[0]) and all(k != "copy" or not v for k, v in i.kwargs):
        return i.args[0]  # type: ignore[no-any-return]
    before = known.before(i.args[0], i.op)
    return replace(i, args=(before.args[0], *i.args[1:])) if before is not None and not i.kwargs else None


def axes_of(i: Instruction | None) -> tuple[int, ...] | None:
    """The axes that a transpose takes its own from, or None for whatever else."""
    if i is None or i.op not in ("matrix_transpose", "permute_dims") or i.args[0].__class__ is not Value:
        return None
    n = len(i.args[0].shape)
    if i.op == "matrix_transpose":
        return None if i.kwargs or n < 2 else (*range(n - 2), n - 1, n - 2)
    axes = i.args[1] if len(i.args) > 1 else dict(i.kwargs).get("axes")
    if not isinstance(axes, tuple) or len(axes) != n or any(type(a) is not int for a in axes):
        return None
    return tuple([a % n for a in axes])


def transpose(x: Value, axes: tuple[int, ...], out: Value) -> Instruction:
    """The instruction that permutes axes."""
    n = len(axes)
    if n > 1 and axes == (*range(n - 2), n - 1, n - 2):
        return Instruction("matrix_transpose", (x,), (), (out,))
    return Instruction("permute_dims", (x, axes), (), (out,))


def _transpose(known: _Known, i: Instruction) -> Value | Instruction | None:
    axes = axes_of(i)
    if axes is None:
        return None
    if axes == tuple(range(len(axes))):
        return i.args[0]  # type: ignore[no-any-return]
    before = known.made.get(i.args[0])
    inner = axes_of(before)
    if before is None or inner is None:
        return None
    both = tuple([inner[a] for a in axes])
    return before.args[0] if both == tuple(range(len(both))) else transpose(before.args[0], both, i.outputs[0])


def _astype(known: _Known, i: Instruction) -> Value | Instruction | None:
    return i.args[0] if _alike(i.args[0], i.outputs[0]) and not dict(i.kwargs).get("copy") else None


def _abs(known: _Known, i: Instruction) -> Value | Instruction | None:
    (x,) = i.args
    before = known.before(x, "abs", "negative")
    if before is None or not _real(x):
        return None  # the least integer is its own negative; complex numbers have real magnitudes
    return x if before.op == "abs" else replace(i, args=before.args)


def _invert(known: _Known, i: Instruction) -> Value | Instruction | None:
    before = known.before(i.args[0], i.op)
    back = before is not None and _alike(before.args[0], i.outputs[0])
    if before is None or not back or (i.op == "logical_not" and i.outputs[0].dtype is not i.args[0].dtype):
        return None
    return before.args[0]  # type: ignore[no-any-return]


def _extreme(known: _Known, i: Instruction) -> Value | Instruction | None:
    a, b = i.args
    return a if a is b and _alike(a, i.outputs[0]) else None


def _relu_linear(known: _Known, i: Instruction) -> Value | Instruction | None:
    """Of what maximal pooling spreads: the place that was chosen has the largest value's sign, so that the smaller arrays
    tell it, and the larger one need not be kept."""
    g, x = i.args
    spread = known.before(g, "spread_chosen")
    pooled = known.before(spread.args[1], "max_windows") if spread is not None else None
    if spread is None or pooled is None or pooled.args[0] is not x or pooled.args[1:] != spread.args[3:]:
        return None
    before, chosen = spread.args[:2]
    largest = pooled.outputs[0]
    if chosen is not pooled.outputs[1] or not _alike(before, largest):
        return None
    return replace(
        spread, args=(known.new(largest, "relu_linear", before, largest), *spread.args[1:]), outputs=i.outputs
    )


_RULES: Final[dict[str, Rule]] = {
    "multiply": _multiply, "divide": _divide, "add": _add, "subtract": _subtract, "negative": _negative,
    "conj": _conj, "real": _conj, "positive": _conj, "reshape": _same_shape, "broadcast_to": _same_shape,
    "matrix_transpose": _transpose, "permute_dims": _transpose, "astype": _astype, "abs": _abs,
    "bitwise_invert": _invert, "logical_not": _invert, "maximum": _extreme, "minimum": _extreme,
    "relu_linear": _relu_linear, "strong_multiply": _strong, "strong_divide": _strong,
    "divide_linear": _divide_linear,
}  # fmt: skip


def _once(graph: Graph) -> tuple[Graph, bool]:
    known = _Known(graph)
    same: dict[Value, Value] = {}
    kept: list[Instruction] = []
    changed = False

    def now_of(v: Value) -> Value:
        return same.get(v, v)

    for instruction in graph.instructions:
        now = rewritten(instruction, now_of)
        rule = None if now.effect or len(now.outputs) != 1 else _RULES.get(now.op)
        found = None if rule is None else rule(known, now)
        if found.__class__ is Value:
            same[now.outputs[0]] = found
            changed = True
            continue
        if found is not None:
            changed, now = True, found  # type: ignore[assignment]
        for i in (*known.more, now):
            kept.append(i)
            known.made.update((v, i) for v in i.outputs)
        known.more.clear()
    outputs = tuple(None if v is None else now_of(v) for v in graph.outputs)
    return graph.with_(instructions=tuple(kept), outputs=outputs), changed


def simplify(graph: Graph) -> Graph:
    """Without arithmetic that changes nothing, and with signs where they cost nothing."""
    for _ in range(4):
        graph, changed = _once(graph)
        if not changed:
            break
    return graph
