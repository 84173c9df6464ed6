"""Recurrent layers' walks over time as LLVM's text: at every step the product with the weights and the gates, in one go.

The weights are put in order first, so that a few columns of all gates lie together. A step goes through these columns, and
for each of them through some rows of the batch at a time: the sums stay in registers, and what the gates make of them is
written at once. The examples of a batch do not depend on one another: each thread walks with some of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from polygrad.graph import Instruction, Value

from .cells import CELLS, Cell, Row
from .emit import Emitter, Function, Lanes, address, column_blocks, increased
from .engine import width_of
from .nests import MULTIPLICATION, Native, View, kind_of

__all__ = ["Walk", "walk_of"]

_MOST_BYTES: Final = {False: 8 << 20, True: 1 << 20}
"""Of weights, forward and backward: where there are more, NumPy's kernels with BLAS take no longer, or nobody has measured."""
_MOST_BYTES_FOR_EACH: Final = 32 << 10
"""Of weights for each row that they are multiplied with on the way back, or putting them in order takes too long."""
_UNROLLED: Final = 4

Strides = tuple[int, ...]


# -- the walk ----------------------------------------------------------------------------------------


class Sizes(NamedTuple):
    """Of a walk."""

    times: int
    batch: int
    n: int


def _lanes_of(kind: str, parts: int) -> int:
    """How many columns at a time: of several gates each has one register, else the numbers have two."""
    return width_of(kind) // (2 if parts > 1 else 1)


def _rows_of(parts: int, batch: int) -> int:
    """How many rows of a batch at a time: as many as there are registers for the sums of, or fewer without a rest."""
    most = {4: 3, 3: 4}.get(parts, 6)
    return next((rows for rows in range(most, most // 2, -1) if batch % rows == 0), most)


class _Row:
    """See :class:`.cells.Row`."""

    def __init__(self, walk: _Writer, lanes: Lanes, index: str, column: str, sums: list[str]) -> None:
        self._walk, self.lanes, self._index, self._column, self.sums = walk, lanes, index, column, sums
        self._size = lanes.bits // 8

    def has(self, name: str) -> bool:
        return name in self._walk.pointers

    def _place(self, name: str, gate: int) -> str:
        walk = self._walk
        row = walk.moved(walk.pointers[name], self._index, walk.strides[name])
        return walk.moved(row, increased(walk.e, self._column, gate * walk.n), "1")

    def load(self, name: str, gate: int = 0) -> str:
        if name in self._walk.repeated:
            walk = self._walk
            one = walk.moved(walk.pointers[name], self._index, walk.strides[name])
            kind = self.lanes.kind
            return self.lanes.spread(self.lanes.emitter.make(f"load {kind}, ptr {one}, align {self._size}"))
        return self.lanes.emitter.make(f"load {self.lanes.type}, ptr {self._place(name, gate)}, align {self._size}")

    def store(self, name: str, *gates: str) -> None:
        for gate, x in enumerate(gates):
            self.lanes.emitter.do(f"store {self.lanes.type} {x}, ptr {self._place(name, gate)}, align {self._size}")

    def carried(self, name: str) -> str:
        return self.lanes.choose_one(self._walk.starts, self.lanes.number(0.0), self.load(name))


class _Writer:
    """A walk, while it is written.

    Attributes:
        pointers: for each array where what belongs to the time begins.
        strides: from one row of it to the next.
        repeated: arrays that have one number for all columns.
        starts: whether it is the first step.
    """

    def __init__(self, kind: str, sizes: Sizes, reverse: bool, cell: Cell, arrays: dict[str, Strides]) -> None:
        self.e = Emitter()
        self.kind, self.sizes, self.n, self.cell, self.arrays = kind, sizes, sizes.n, cell, arrays
        self._ascending = not reverse
        self.pointers = {name: f"%{name}" for name in arrays}
        self.strides = {name: str(s[-2]) if len(s) > 1 else "0" for name, s in arrays.items()}
        self.repeated = {name for name, s in arrays.items() if s and s[-1] == 0}
        self.starts = "true"

    def moved(self, base: str, index: str, stride: str) -> str:
        """An address, so many strides from another."""
        return address(self.e, self.kind, base, (index, stride))

    def forward(self) -> Function:
        parts = self.cell.gates
        return self._walk(parts, self.n, self._ascending, "h", self.cell.forward)

    def backward(self) -> Function:
        return self._walk(1, self.cell.gates * self.n, not self._ascending, "dz", self.cell.backward)

    def _walk(self, parts: int, depth: int, ascending: bool, left: str, body: Callable[[Row], None]) -> Function:
        e, (times, batch, _) = self.e, self.sizes
        back = left == "dz"
        rows = _rows_of(parts, batch)
        full = batch // rows
        end = e.make(f"call i64 @llvm.smin.i64(i64 %end, i64 {full})")
        e.declared.add("declare i64 @llvm.smin.i64(i64, i64)")
        over_time = {name: s for name, s in self.arrays.items() if len(s) == 3}
        with e.loop("0", str(times)) as step:
            t = step if ascending else e.make(f"sub nsw i64 {times - 1}, {step}")
            earlier = increased(e, t, -1 if self._ascending else 1)
            self.starts = e.make(f"icmp eq i64 {step}, 0")
            for name, strides in over_time.items():
                self.pointers[name] = self.moved(f"%{name}", t, str(strides[0]))
            first = e.make(f"icmp eq i64 {t}, {0 if self._ascending else times - 1}") if back else self.starts
            for name, source in self.cell.before:
                if name in self.arrays:
                    self._before(name, source, first, earlier)
            at, deep = left, str(depth)
            if back:  # of the step before, which is the later one
                at, later = "later", increased(e, t, 1 if self._ascending else -1)
                self.pointers["later"] = self.moved("%dz", later, str(self.arrays["dz"][0]))
                self.strides["later"] = self.strides["dz"]
                deep = e.make(f"select i1 {self.starts}, i64 0, i64 {depth}")
            self._columns((parts, rows, end), (depth, deep), at, body)
        if back and "dh" in self.arrays:
            last = 0 if self._ascending else times - 1
            self.pointers["dz"] = self.moved("%dz", str(last), str(self.arrays["dz"][0]))
            self.starts = "false"
            self._columns((parts, rows, end), (depth, str(depth)), "dz", self.cell.last)
        names = ", ".join(f"ptr %{name}" for name in self.arrays)
        return e.function(f"define void @NAME({names}, i64 %first, i64 %end)")

    def _before(self, name: str, source: str, first: str, earlier: str) -> None:
        """What a step starts from: what the step before has made, or what was given."""
        e, (over, row, _) = self.e, self.arrays[source]
        made = self.moved(f"%{source}", earlier, str(over))
        self.pointers[name] = e.make(f"select i1 {first}, ptr %{name}, ptr {made}")
        self.strides[name] = e.make(f"select i1 {first}, i64 {self.arrays[name][0]}, i64 {row}")

    def _columns(
        self, tile: tuple[int, int, str], depth: tuple[int, str], left: str, body: Callable[[Row], None]
    ) -> None:
        """All columns of the rows in question, some of either at a time."""
        e, batch = self.e, self.sizes.batch
        parts, rows, end = tile
        for first, width, count in column_blocks(self.n, _lanes_of(self.kind, parts)):
            lanes = Lanes(e, self.kind, width)
            with e.loop("0", str(count)) as turn:
                column = increased(e, e.make(f"mul nsw i64 {turn}, {width}"), first)
                right = self.moved("%packed", column, str(depth[0] * parts))
                with e.loop("%first", end) as group:
                    row = e.make(f"mul nsw i64 {group}, {rows}")
                    self._tile(lanes, (row, rows, column), (parts, *depth), (left, right), body)
                if batch % rows:
                    label, after = e.new("rest"), e.new("after")
                    e.branch(e.make(f"icmp sgt i64 %end, {batch // rows}"), label, after)
                    e.begin(label)
                    place = (str(batch - batch % rows), batch % rows, column)
                    self._tile(lanes, place, (parts, *depth), (left, right), body)
                    e.jump(after)
                    e.begin(after)

    def _tile(
        self,
        lanes: Lanes,
        place: tuple[str, int, str],
        sizes: tuple[int, int, str],
        sides: tuple[str, str],
        body: Callable[[Row], None],
    ) -> None:
        """Some rows and columns: products, and what is made of them row by row."""
        e, kind, size = self.e, self.kind, self._size
        (row, rows, column), (parts, depth, deep), (left, right) = place, sizes, sides
        sums = [[e.slot(lanes.type) for _ in range(parts)] for _ in range(rows)]
        for slot in (s for some in sums for s in some):
            e.do(f"store {lanes.type} {lanes.number(0.0)}, ptr {slot}")
        starts = [self.moved(self.pointers[left], increased(e, row, r), self.strides[left]) for r in range(rows)]

        def once(at: str) -> None:
            x = [lanes.spread(e.make(f"load {kind}, ptr {self.moved(s, at, '1')}, align {size}")) for s in starts]
            base = self.moved(right, at, str(parts * lanes.width))
            for part in range(parts):
                y = e.make(f"load {lanes.type}, ptr {self.moved(base, str(part * lanes.width), '1')}, align {size}")
                for some, one in zip(sums, x, strict=True):
                    so_far = e.make(f"load {lanes.type}, ptr {some[part]}")
                    e.do(f"store {lanes.type} {lanes.fma(one, y, so_far)}, ptr {some[part]}")

        unrolled = next(k for k in (_UNROLLED, 2, 1) if depth % k == 0)
        with e.loop("0", deep, unrolled) as at:
            for j in range(unrolled):
                once(increased(e, at, j))
        kept = e.slot(f"[{rows * parts} x {lanes.type}], align 64")
        for i, slot in enumerate(s for some in sums for s in some):
            x = e.make(f"load {lanes.type}, ptr {slot}")
            e.do(f"store {lanes.type} {x}, ptr {self._kept(lanes, kept, str(i))}")
        with e.loop("0", str(rows)) as r:
            first = e.make(f"mul nsw i64 {r}, {parts}")
            found = [
                e.make(f"load {lanes.type}, ptr {self._kept(lanes, kept, increased(e, first, part))}")
                for part in range(parts)
            ]
            body(_Row(self, lanes, e.make(f"add nsw i64 {row}, {r}"), column, found))

    def _kept(self, lanes: Lanes, kept: str, i: str) -> str:
        return self.e.make(f"getelementptr inbounds {lanes.type}, ptr {kept}, i64 {i}")

    @property
    def _size(self) -> int:
        return 4 if self.kind == "float" else 8


@lru_cache(maxsize=256)
def _packing(kind: str, n: int, depth: int, parts: int, strides: tuple[int, int, int]) -> Function:
    """A function that puts weights in order: for some columns of the product after the other, as the walk takes them, row
    by row the columns of each part. The strides are those of rows, columns and parts."""
    e = Emitter()
    size = 4 if kind == "float" else 8
    down, along, between = strides
    with e.loop("%first", "%end"):
        for first, width, count in column_blocks(n, _lanes_of(kind, parts)):
            sides = (str(width), str(depth)) if down == 1 else (str(depth), str(width))
            with e.loop("0", str(count)) as turn, e.loop("0", sides[0]) as outer, e.loop("0", sides[1]) as inner:
                lane, row = (outer, inner) if down == 1 else (inner, outer)
                start = increased(e, e.make(f"mul nsw i64 {turn}, {width}"), first)
                of = address(e, kind, "%w", (row, down), (e.make(f"add nsw i64 {start}, {lane}"), along))
                to = address(e, kind, "%packed", (start, depth * parts), (row, parts * width), (lane, 1))
                for part in range(parts):
                    x = e.make(f"load {kind}, ptr {address(e, kind, of, (str(part), between))}, align {size}")
                    e.do(f"store {kind} {x}, ptr {address(e, kind, to, (str(part), width))}, align {size}")
    return e.function("define void @NAME(ptr %w, ptr %packed, i64 %first, i64 %end)")


@lru_cache(maxsize=256)
def _walking(
    name: str, back: bool, kind: str, sizes: Sizes, reverse: bool, arrays: tuple[tuple[str, Strides], ...]
) -> Function:
    writer = _Writer(kind, sizes, reverse, CELLS[name], dict(arrays))
    return writer.backward() if back else writer.forward()


# -- steps of a plan ---------------------------------------------------------------------------------


class Walk(Native):
    """A recurrent layer's walk over time, forward or backward.

    Attributes:
        packed: the weights in order, memory beside what the instruction makes.
        kind: of its numbers.
    """

    def __init__(self, instruction: Instruction, packed: Value, kind: str, given: _Given) -> None:
        super().__init__(instruction.outputs[0].shape)
        self.add(instruction)
        self.made.add(packed)
        self.packed, self.kind, self._given = packed, kind, given

    @property
    def cost(self) -> float:
        times, batch, n = self._given.sizes
        gates = CELLS[self._given.cell].gates
        return times * batch * n * (gates * n * MULTIPLICATION + (gates + 1) * 1e-3)

    @property
    def in_any_order(self) -> bool:
        """The examples of a batch."""
        return True

    def outputs(self, external: list[Value]) -> list[Value]:
        """What it writes into: all but what it need not keep."""
        made = [self.packed]
        for name, v in self._given.made.items():
            if v in external or name in CELLS[self._given.cell].always:
                made.append(v)
        return made

    def overwritten(self, out: Value, v: Value) -> bool:
        """Whether it has read a value, row by row and gate by gate, when it writes what lies alike."""
        made, taken = self._given.made, self._given.taken
        return any(made.get(to) is out and taken.get(of) is v for to, of in (("gates", "gx"), ("dz", "gates")))

    def functions(
        self, external: list[Value], layout: Callable[[Value], View]
    ) -> list[tuple[Function, tuple[View, ...], int]]:
        """What puts the weights in order and what walks, what each is given the addresses of, and their turns."""
        given, written = self._given, self.outputs(external)
        (down, along), cell = layout(given.weights).strides, CELLS[given.cell]
        _, batch, n = given.sizes
        if given.back:
            parts, depth, strides = 1, cell.gates * n, (down, along, 0)
        else:
            parts, depth, strides = cell.gates, n, (along, down, n * down)
        packed = layout(self.packed)
        values = given.taken | {name: v for name, v in given.made.items() if v in written}
        views = {name: layout(v) for name, v in values.items()}
        arrays = (("packed", ()), *[(name, view.strides) for name, view in views.items()])
        walk = _walking(given.cell, given.back, self.kind, given.sizes, given.reverse, arrays)
        rows = _rows_of(parts, batch)
        return [
            (_packing(self.kind, n, depth, parts, strides), (layout(given.weights), packed), 1),
            (walk, (packed, *views.values()), -(-batch // rows)),
        ]


class _Given(NamedTuple):
    """What a walk takes and makes, by the names of its arrays."""

    cell: str
    back: bool
    reverse: bool
    sizes: Sizes
    weights: Value
    taken: dict[str, Value]
    made: dict[str, Value]


def _given(instruction: Instruction) -> _Given | None:
    """What an instruction says, or None if it is no walk, or one there is no machine code for."""
    op, args, made = instruction.op, instruction.args, instruction.outputs
    optional: dict[str, Any] = {}
    names: tuple[str, ...]
    if op == "lstm_forward":
        gx, w, h, c, reverse = args
        cell, taken, names = "lstm", {"gx": gx, "h": h, "c": c}, ("hs", "cs", "gates")
    elif op == "lstm_backward":
        (g_hs, g_cs, g_gates), (_, cs, gates), w, c, reverse = args
        if g_gates is not None:
            return None
        cell, taken, names = "lstm", {"cs": cs, "gates": gates, "c": c}, ("dz", "dh", "dc")
        optional = {"g_hs": g_hs, "g_cs": g_cs}
    elif op == "gru_forward":
        gx, w, b, h, reverse = args
        cell, taken, names = "gru", {"gx": gx, "b": b, "h": h}, ("hs", "gates")
    elif op == "gru_backward":
        (g_hs, g_gates), (hs, gates), w, h, reverse = args
        if g_gates is not None:
            return None
        cell, taken, names = "gru", {"hs": hs, "gates": gates, "h": h, "g_hs": g_hs}, ("dx", "dz", "dh")
    elif op == "rnn_forward":
        gx, w, h, relu, reverse = args
        cell, taken, names = "relu" if relu else "rnn", {"gx": gx, "h": h}, ("hs",)
    elif op == "rnn_backward":
        g_hs, hs, w, relu, reverse = args
        cell, taken, names = "relu" if relu else "rnn", {"hs": hs, "g_hs": g_hs}, ("dz", "dh")
    else:
        return None
    taken |= {name: v for name, v in optional.items() if v is not None}
    if any(v.__class__ is not Value for v in (w, *taken.values())):
        return None
    times, batch, width = made[0].shape
    back = op.endswith("backward")
    sizes = Sizes(times, batch, width // CELLS[cell].gates if back else width)
    return _Given(cell, back, reverse, sizes, w, taken, dict(zip(names, made, strict=True)))


def walk_of(instruction: Instruction, layout: Callable[[Value], View], new: Callable[..., Value]) -> Walk | None:
    """The step of an instruction that walks over time, or None; ``new(shape, dtype)`` makes a value for memory."""
    if instruction.kwargs or not instruction.op.endswith(("_forward", "_backward")):
        return None
    given = _given(instruction)
    if given is None:
        return None
    w = given.weights
    kind = kind_of(w)
    values = (*given.taken.values(), *given.made.values())
    if kind not in ("float", "double") or any(kind_of(v) != kind or v.size == 0 for v in values):
        return None
    rows = given.sizes.times * given.sizes.batch
    if w.nbytes > _MOST_BYTES[given.back] or (given.back and w.nbytes > rows * _MOST_BYTES_FOR_EACH):
        return None
    for name, v in given.taken.items():
        allowed = (1,) if name in ("h", "c") else (0, 1)
        if v.shape[-1] > 1 and layout(v).strides[-1] not in allowed:
            return None
    return Walk(instruction, new((w.size,), w.dtype), kind, given)
