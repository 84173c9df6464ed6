"""Algebraic identities that hold bit for bit in IEEE arithmetic: what they remove was computed for nothing.

``x * 1`` is ``x``, ``-a + b`` is ``b - a``. Not among them: ``x + 0`` (of ``-0.0``), ``x * 0`` and ``x - x`` (of inf and nan),
and whatever adds in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from .ir import Graph, Instruction, Value, substituted

__all__ = ["simplify"]

Rule = Callable[["_Known", Instruction], "Value | Instruction | None"]
"""A Value that is the same as what the instruction makes, an instruction that makes it more cheaply, or None."""


class _Known:
    """What is known of values while the instructions are gone through in order."""

    def __init__(self, graph: Graph) -> None:
        self.made: dict[Value, Instruction] = {}
        self.more: list[Instruction] = []  # what a rule wants before its instruction
        self.next = 1 + max((v.number for v in _values(graph)), default=-1)

    def is_one(self, x: Any) -> bool:
        """Whether every element is 1."""
        if x.__class__ is not Value:
            return x.__class__ in (int, float) and x == 1
        i = self.made.get(x)  # not a constant: the user's own arrays may change
        if i is None:
            return False
        return i.op == "ones" or (i.op == "broadcast_to" and self.is_one(i.args[0]))

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


def _values(graph: Graph) -> Iterator[Value]:
    yield from graph.inputs
    yield from graph.constants
    for i in graph.instructions:
        yield from i.outputs


def _alike(a: Any, b: Value) -> bool:
    return a.__class__ is Value and a.shape == b.shape and a.dtype is b.dtype


def _real(v: Value) -> bool:
    return v.dtype is not None and v.dtype.kind == "f"


def _multiply(known: _Known, i: Instruction) -> Value | Instruction | None:
    a, b = i.args
    (out,) = i.outputs
    if _alike(a, out) and known.is_one(b):
        return a  # type: ignore[no-any-return]
    if _alike(b, out) and known.is_one(a):
        return b  # type: ignore[no-any-return]
    c, d = known.negated(a), known.negated(b)
    if c is not None and d is not None:
        return replace(i, args=(c, d))
    if not _real(out):
        return None  # the parts of a complex product are differences, and 0 has two signs
    if c is not None and _alike(c, out):
        return replace(i, op="negative", args=(known.new(out, i.op, c, b),))
    if d is not None and _alike(d, out):
        return replace(i, op="negative", args=(known.new(out, i.op, a, d),))
    return None


def _divide(known: _Known, i: Instruction) -> Value | Instruction | None:
    a, b = i.args
    if _alike(a, i.outputs[0]) and known.is_one(b):
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
    d = known.negated(b)
    return None if d is None else replace(i, op="add", args=(a, d))


def _negative(known: _Known, i: Instruction) -> Value | Instruction | None:
    return known.negated(i.args[0])  # type: ignore[no-any-return]


def _conj(known: _Known, i: Instruction) -> Value | Instruction | None:
    (x,) = i.args
    if x.__class__ is not Value or x.dtype is None or i.kwargs:
        return None
    if x.dtype.kind != "c":
        return x  # type: ignore[no-any-return]
    before = known.made.get(x)
    return before.args[0] if i.op == "conj" and before is not None and before.op == "conj" else None


def _same_shape(known: _Known, i: Instruction) -> Value | Instruction | None:
    if _alike(i.args[0], i.outputs[0]) and all(k != "copy" or not v for k, v in i.kwargs):
        return i.args[0]  # type: ignore[no-any-return]
    before = known.made.get(i.args[0])
    if i.op == "reshape" and before is not None and before.op == "reshape" and not (before.kwargs or i.kwargs):
        return replace(i, args=(before.args[0], *i.args[1:]))
    return None


def _transpose(known: _Known, i: Instruction) -> Value | Instruction | None:
    before = known.made.get(i.args[0])
    again = before is not None and before.op == "matrix_transpose" and not before.kwargs and not i.kwargs
    return before.args[0] if before is not None and again else None


def _permute(known: _Known, i: Instruction) -> Value | Instruction | None:
    axes = i.args[1] if len(i.args) > 1 else dict(i.kwargs).get("axes")
    plain = isinstance(axes, tuple) and all(type(a) is int for a in axes)
    return i.args[0] if plain and tuple(axes) == tuple(range(len(axes))) else None


_RULES: Final[dict[str, Rule]] = {
    "multiply": _multiply, "divide": _divide, "add": _add, "subtract": _subtract, "negative": _negative,
    "conj": _conj, "real": _conj, "positive": _conj, "reshape": _same_shape, "broadcast_to": _same_shape,
    "matrix_transpose": _transpose, "permute_dims": _permute,
}  # fmt: skip


def _once(graph: Graph) -> tuple[Graph, bool]:
    known = _Known(graph)
    same: dict[Value, Value] = {}
    kept: list[Instruction] = []
    changed = False

    def now_of(v: Value) -> Value:
        return same.get(v, v)

    for instruction in graph.instructions:
        args = substituted(instruction.args, now_of)
        now = replace(instruction, args=args, kwargs=tuple((k, substituted(a, now_of)) for k, a in instruction.kwargs))
        rule = None if now.effect or len(now.outputs) != 1 else _RULES.get(now.op)
        found = None if rule is None else rule(known, now)
        if found.__class__ is Value:
            same[now.outputs[0]] = found  # type: ignore[assignment]
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
