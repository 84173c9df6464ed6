"""Loops over arrays as LLVM's text: elementwise work with the sums of it, products of small matrices, sums into slices.

Each becomes a function of addresses, ``void @name(ptr, ..., i64 first, i64 end)``, that does the turns of its outermost
loop from ``first`` to ``end``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Final

from .emit import Emitter, Function, Lanes
from .engine import width_of

__all__ = ["CHUNK", "Loop", "Operand", "coalesced"]

CHUNK: Final = 4096
"""Of so many elements a flat loop takes each turn; a sum is the sum of the turns' own."""


@dataclass(slots=True)
class Operand:
    """An array a loop reads or writes.

    Attributes:
        kind: ``float``, ``double`` or ``i8`` (truth values).
        strides: in elements, for each axis of the loop.
        address: of its first element here, an LLVM name.
        number: the one that holds for a whole row, if its innermost stride is 0.
    """

    kind: str
    strides: tuple[int, ...]
    address: str = ""
    number: str = ""


def coalesced(shape: tuple[int, ...], strides: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], list[list[int]]]:
    """The same loop over as few axes as can be."""
    lengths: list[int] = []
    kept: list[list[int]] = [[] for _ in strides]
    for axis, length in enumerate(shape):
        if length == 1:
            continue
        if lengths and all(own[-1] == s[axis] * length for own, s in zip(kept, strides, strict=True)):
            lengths[-1] *= length
            for own, s in zip(kept, strides, strict=True):
                own[-1] = s[axis]
        else:
            lengths.append(length)
            for own, s in zip(kept, strides, strict=True):
                own.append(s[axis])
    if not lengths:
        return (1,), [[0] for _ in strides]
    return tuple(lengths), kept


@dataclass
class Reduced:
    """What is reduced in a loop: the sum, the largest or the smallest along axes where the operand's stride is 0."""

    operand: Operand
    how: str
    divisor: int = 1
    total: str = ""  # the slot of a sum over everything, a double
    lost: str = ""  # what adding to it has lost
    row: str = ""  # the slot of a row's vector


Body = Callable[["Turn"], None]


def _started(how: str, lanes: Lanes, x: str) -> str:
    """Return the start value of a reduction."""
    return lanes.number(_START[how])


def _divided(divisor: int, lanes: Lanes, x: str) -> str:
    return lanes.div(x, lanes.number(float(divisor)))


class Turn:
    """One turn of the innermost loop: ``width`` elements, of which the first ``count`` are there."""

    def __init__(self, loop: Loop, lanes: Lanes, at: str, count: int) -> None:
        self.loop, self.lanes, self.at, self.count = loop, lanes, at, count
        self.e = loop.e

    def load(self, operand: Operand) -> str:
        lanes, e = self.lanes, self.e
        stride = operand.strides[-1]
        if stride == 0:
            return operand.number
        vector = operand.kind if lanes.width == 1 else f"<{lanes.width} x {operand.kind}>"
        if lanes.width == 1 or (stride == 1 and self.count == lanes.width):
            place = self._place(operand, self._offset(stride))
            made = e.make(f"load {vector}, ptr {place}, align {_SIZE[operand.kind]}")
        else:
            base = self._place(operand, self._offset(stride))
            made = "zeroinitializer"
            for i in range(self.count):
                place = self._place_at(base, operand.kind, i * stride)
                one = e.make(f"load {operand.kind}, ptr {place}, align {_SIZE[operand.kind]}")
                made = e.make(f"insertelement {vector} {made}, {operand.kind} {one}, i32 {i}")
        return e.make(f"icmp ne {vector} {made}, {lanes.all('0', 'i8')}") if operand.kind == "i8" else made

    def store(self, operand: Operand, x: str) -> None:
        lanes, e = self.lanes, self.e
        vector = operand.kind if lanes.width == 1 else f"<{lanes.width} x {operand.kind}>"
        if operand.kind == "i8":
            x = e.make(f"zext {lanes.truth} {x} to {vector}")
        base = self._place(operand, self._offset(operand.strides[-1]))
        if lanes.width == 1 or self.count == lanes.width:
            e.do(f"store {vector} {x}, ptr {base}, align {_SIZE[operand.kind]}")
            return
        for i in range(self.count):
            one = e.make(f"extractelement {vector} {x}, i32 {i}")
            place = self._place_at(base, operand.kind, i)
            e.do(f"store {operand.kind} {one}, ptr {place}, align {_SIZE[operand.kind]}")

    def reduce(self, reduced: Reduced, x: str) -> None:
        """Take elements into a reduction."""
        lanes, e = self.lanes, self.e
        if any(reduced.operand.strides) and 0 not in reduced.operand.strides:  # along axes of length 1
            self.store(reduced.operand, x)
        elif reduced.operand.strides[-1] == 0:
            if self.count < lanes.width:
                there = f"<{', '.join('i1 true' if i < self.count else 'i1 false' for i in range(lanes.width))}>"
                x = lanes.choose(there, x, lanes.number(_START[reduced.how]))
            so_far = e.make(f"load {lanes.type}, ptr {reduced.row}")
            e.do(f"store {lanes.type} {combined(lanes, reduced.how, so_far, x)}, ptr {reduced.row}")
        else:
            self.store(reduced.operand, combined(lanes, reduced.how, self.load(reduced.operand), x))

    def _offset(self, stride: int) -> str:
        return self.at if stride in (0, 1) else self.e.make(f"mul nsw i64 {self.at}, {stride}")

    def _place(self, operand: Operand, offset: str) -> str:
        if offset == "0":
            return operand.address
        return self.e.make(f"getelementptr inbounds {operand.kind}, ptr {operand.address}, i64 {offset}")

    def _place_at(self, base: str, kind: str, offset: int) -> str:
        return base if offset == 0 else self.e.make(f"getelementptr inbounds {kind}, ptr {base}, i64 {offset}")


_SIZE: Final = {"float": 4, "double": 8, "i8": 1}
_START: Final = {"sum": 0.0, "max": -inf, "min": inf}


def combined(lanes: Lanes, how: str, a: str, b: str) -> str:
    """The sum, the larger or the smaller of two; nan is larger and smaller than all."""
    if how == "sum":
        return lanes.add(a, b)
    return lanes.extreme("greater" if how == "max" else "less", a, b)


@dataclass
class Loop:
    """A loop over a shape.

    Attributes:
        kind: of its numbers.
        shape: coalesced.
        operands: whose strides are for these axes.
        reductions: what is reduced.
    """

    kind: str
    shape: tuple[int, ...]
    operands: list[Operand]
    reductions: list[Reduced] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.e = Emitter()
        self.rows, self.tail = self.shape[0], 0
        if len(self.shape) == 1:
            self.rows, self.tail = divmod(self.shape[0], CHUNK)

    @property
    def width(self) -> int:
        inner, most = self.shape[-1], width_of(self.kind)
        width = 1
        while width < min(inner, most):
            width *= 2
        return width if inner > 2 else 1

    def function(self, body: Body) -> Function:
        """The function: what the body makes of each turn."""
        e = self.e
        names = [f"%a{i}" for i in range(len(self.operands))]
        for operand, name in zip(self.operands, names, strict=True):
            operand.address = name
        whole = [r for r in self.reductions if not any(r.operand.strides)]
        for r in whole:
            r.total, r.lost = e.slot("double"), e.slot("double")
            e.do(f"store double 0.0, ptr {r.total}")
            e.do(f"store double 0.0, ptr {r.lost}")
        for r in self.reductions:
            if r.operand.strides[-1] == 0:
                r.row = e.slot(Lanes(e, self.kind, self.width).type)
                if self._gathers_rows(r):
                    self._each_result(r, partial(_started, r.how))
            elif 0 in r.operand.strides:
                self._fill(r)
        if len(self.shape) == 1:
            self._flat(body)
        else:
            self._nested(body, 0, [o.address for o in self.operands], "%first", "%end")
        for operand, name in zip(self.operands, names, strict=True):
            operand.address = name
        for r in whole:
            self._finish(r)
        for r in self.reductions:
            if self._gathers_rows(r) and r.divisor != 1:
                self._each_result(r, partial(_divided, r.divisor))
        head = f"define void @NAME({', '.join(f'ptr {n}' for n in names)}, i64 %first, i64 %end)"
        return e.function(head)

    # -- the turns -----------------------------------------------------------------------------------

    def _flat(self, body: Body) -> None:
        e = self.e
        start = [o.address for o in self.operands]
        if self.rows:
            with e.loop("%first", "%end") as at:
                self._moved(start, at, [o.strides[0] * CHUNK for o in self.operands])
                self._row(body, CHUNK)
        if self.tail:
            label, after = e.new("tail"), e.new("after")
            e.branch(e.make(f"icmp eq i64 %end, {self.rows}"), label, after)
            e.begin(label)
            self._moved(start, str(self.rows), [o.strides[0] * CHUNK for o in self.operands])
            self._row(body, self.tail)
            e.jump(after)
            e.begin(after)

    def _nested(self, body: Body, axis: int, start: list[str], first: str, end: str) -> None:
        if axis == len(self.shape) - 1:
            self._row(body, self.shape[-1])
            return
        with self.e.loop(first, end) as at:
            self._moved(start, at, [o.strides[axis] for o in self.operands])
            here = [o.address for o in self.operands]
            self._nested(body, axis + 1, here, "0", str(self.shape[axis + 1]))

    def _moved(self, start: list[str], at: str, strides: list[int]) -> None:
        for operand, address, stride in zip(self.operands, start, strides, strict=True):
            operand.address = address
            if stride and at != "0":
                offset = self.e.make(f"mul nsw i64 {at}, {stride}")
                operand.address = self.e.make(f"getelementptr inbounds {operand.kind}, ptr {address}, i64 {offset}")

    def _row(self, body: Body, length: int) -> None:
        e, lanes = self.e, Lanes(self.e, self.kind, self.width)
        reduced = {id(r.operand) for r in self.reductions}
        for operand in self.operands:
            if operand.strides[-1] == 0 and id(operand) not in reduced:
                operand.number = self._splat(lanes, operand)
        for r in self.reductions:
            if r.row:
                e.do(f"store {lanes.type} {lanes.number(_START[r.how])}, ptr {r.row}")
        full = length - length % lanes.width
        if full == lanes.width:
            body(Turn(self, lanes, "0", lanes.width))
        elif full:
            with e.loop("0", str(full), lanes.width) as at:
                body(Turn(self, lanes, at, lanes.width))
        if length > full:
            body(Turn(self, lanes, str(full), length - full))
        for r in self.reductions:
            if r.row:
                self._row_done(lanes, r)

    def _splat(self, lanes: Lanes, operand: Operand) -> str:
        e = self.e
        one = e.make(f"load {operand.kind}, ptr {operand.address}, align {_SIZE[operand.kind]}")
        if operand.kind == "i8":
            return lanes.spread(e.make(f"icmp ne i8 {one}, 0"), "i1")
        return lanes.spread(one, operand.kind)

    # -- reductions ----------------------------------------------------------------------------------

    def _fill(self, r: Reduced) -> None:
        """Where it gathers row by row, its beginning."""
        e, lanes = self.e, Lanes(self.e, self.kind, 1)
        size = 1
        for length, stride in zip(self.shape, r.operand.strides, strict=True):
            size *= length if stride else 1
        with e.loop("0", str(size)) as at:
            place = e.make(f"getelementptr inbounds {self.kind}, ptr {r.operand.address}, i64 {at}")
            e.do(f"store {self.kind} {lanes.number(_START[r.how])}, ptr {place}")

    def _gathers_rows(self, r: Reduced) -> bool:
        """Whether a result is gathered from several rows: where the axes that are reduced could not be made one."""
        strides = r.operand.strides
        return strides[-1] == 0 and any(strides) and 0 in strides[:-1]

    def _each_result(self, r: Reduced, change: Callable[[Lanes, str], str]) -> None:
        """Change the results that this call of the function computes: those of its turns of the first axis."""
        e, lanes = self.e, Lanes(self.e, self.kind, 1)
        step = r.operand.strides[0]
        first, end = (e.make(f"mul nsw i64 {bound}, {step}") for bound in ("%first", "%end"))
        with e.loop(first, end) as at:
            place = e.make(f"getelementptr inbounds {self.kind}, ptr {r.operand.address}, i64 {at}")
            old = e.make(f"load {self.kind}, ptr {place}, align {_SIZE[self.kind]}")
            e.do(f"store {self.kind} {change(lanes, old)}, ptr {place}, align {_SIZE[self.kind]}")

    def _across(self, lanes: Lanes, how: str, x: str) -> str:
        """Of all lanes, one number."""
        e = self.e
        if lanes.width == 1:
            return x
        if how == "sum":
            return lanes.total(x)
        width = lanes.width
        while width > 1:
            whole, half = f"<{width} x {lanes.kind}>", width // 2
            parts = [
                e.make(
                    f"shufflevector {whole} {x}, {whole} poison, <{half} x i32> "
                    f"<{', '.join(f'i32 {i + first}' for i in range(half))}>"
                )
                for first in (0, half)
            ]
            if half == 1:
                parts = [e.make(f"extractelement <1 x {lanes.kind}> {p}, i32 0") for p in parts]
            x = combined(Lanes(e, lanes.kind, half), how, *parts)
            width = half
        return x

    def _row_done(self, lanes: Lanes, r: Reduced) -> None:
        e, one = self.e, Lanes(self.e, self.kind, 1)
        x = self._across(lanes, r.how, e.make(f"load {lanes.type}, ptr {r.row}"))
        if r.total:
            self._add_to_total(r, x)
            return
        if self._gathers_rows(r):
            before = e.make(f"load {self.kind}, ptr {r.operand.address}, align {_SIZE[self.kind]}")
            x = combined(one, r.how, before, x)
        elif r.divisor != 1:
            x = one.div(x, one.number(float(r.divisor)))
        e.do(f"store {self.kind} {x}, ptr {r.operand.address}, align {_SIZE[self.kind]}")

    def _add_to_total(self, r: Reduced, x: str) -> None:
        """In double precision, by Neumaier's compensated sum; the largest and smallest as they are."""
        e, wide = self.e, Lanes(self.e, "double", 1)
        if self.kind == "float":
            x = e.make(f"fpext float {x} to double")
        total = e.make(f"load double, ptr {r.total}")
        made = wide.add(total, x)
        if self.kind == "double":
            moved = wide.sub(made, total)
            error = wide.add(wide.sub(total, wide.sub(made, moved)), wide.sub(x, moved))  # Knuth's TwoSum
            lost = wide.add(e.make(f"load double, ptr {r.lost}"), error)
            e.do(f"store double {lost}, ptr {r.lost}")
        e.do(f"store double {made}, ptr {r.total}")

    def _finish(self, r: Reduced) -> None:
        e, wide = self.e, Lanes(self.e, "double", 1)
        x = e.make(f"load double, ptr {r.total}")
        if self.kind == "double":  # unless it is infinite, where the error is nan
            lost = e.make(f"load double, ptr {r.lost}")
            x = wide.choose(wide.compare("equal", lost, lost), wide.add(x, lost), x)
        if r.divisor != 1:
            x = wide.div(x, wide.number(float(r.divisor)))
        if self.kind == "float":
            x = e.make(f"fptrunc double {x} to float")
        e.do(f"store {self.kind} {x}, ptr {r.operand.address}")
