"""Functions that Python calls, as LLVM's text: of arrays and numbers they find the memory, and call loops with the addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from polygrad.graph import Value

from .engine import DATA, FLAGS, TYPE, returned_none
from .nests import View

if TYPE_CHECKING:
    from .plan import Call
    from .source import NativeSource

__all__ = ["SUPPORT", "Entry"]

SUPPORT: Final = (
    "declare ptr @PyEval_SaveThread()", "declare void @PyEval_RestoreThread(ptr)", "declare double @PyFloat_AsDouble(ptr)",
    "declare i64 @PyLong_AsSsize_t(ptr)", "declare void @PyErr_SetNone(ptr)",
)  # fmt: skip


_BLOCK: Final = 40
"""Of so many calls a block is made: LLVM takes longer for long ones."""


class Entry:
    """A function of objects: it finds their memory and calls loops.

    Attributes:
        objects: the names of what it is given.
        settled: those of them that are arrays put in C order for it.
        numbers: LLVM's names of whole numbers it is given after them.
        partial: of sums, names of arrays that have one element for each part of the work.
    """

    def __init__(self, source: NativeSource, name: str, lines: list[str]) -> None:
        self.source = source
        self.name = name
        self.lines = lines
        self.objects: list[str] = []
        self.settled: list[str] = []
        self.numbers: tuple[str, ...] = ()
        self.partial: dict[Value, str] = {}
        self._head: list[str] = []
        self._body: list[str] = []
        self._known: dict[str, str] = {}
        self._aside = self._refuses = False
        self._count = self._calls = 0

    def without_gil(self) -> None:
        self._aside = True

    def forgotten(self) -> list[str]:
        """A line after the call: the names of arrays that it settled hold them."""
        return [f"{' = '.join(self.settled)} = None"] if self.settled else []

    def _new(self) -> str:
        self._count += 1
        return f"%x{self._count}"

    def _object(self, name: str) -> str:
        """LLVM's name of an object that it is given."""
        if name not in self.objects:
            self.objects.append(name)
        return f"%o{self.objects.index(name)}"

    def _memory(self, name: str) -> str:
        """The address of an array's elements."""
        known = self._known.get(name)
        if known is None:
            place, known = self._new(), self._new()
            self._head += [
                f"{place} = getelementptr i8, ptr {self._object(name)}, i64 {DATA}", f"{known} = load ptr, ptr {place}",
            ]  # fmt: skip
            self._known[name] = known
        return known

    def _number(self, v: Value, kind: str) -> str:
        """The address of one of Python's numbers, as one of a kind."""
        name = self.source.names[v]
        known = self._known.get(f"{name} {kind}")
        if known is None:
            x, known = self._new(), self._new()
            self._head += [f"{known} = alloca {kind}", f"{x} = call double @PyFloat_AsDouble(ptr {self._object(name)})"]
            if kind == "float":
                short = self._new()
                self._head.append(f"{short} = fptrunc double {x} to float")
                x = short
            self._head.append(f"store {kind} {x}, ptr {known}")
            self._known[f"{name} {kind}"] = known
        return known

    def _address(self, view: View, kind: str) -> str:
        source, root, offset = self.source, view.root, view.offset
        if root.dtype is None:
            return self._number(root, kind)
        size = root.dtype.itemsize
        if root in self.partial:
            base, index = self._memory(self.partial[root]), self._new()
            self._body.append(f"{index} = mul i64 %part, {size}")
            made = self._new()
            self._body.append(f"{made} = getelementptr i8, ptr {base}, i64 {index}")
            return made
        place = source.plan.place.get(root)
        if place is not None:
            base, start = self._memory("memory"), source.plan.offsets[place] + offset * size
        else:
            base, start = self._memory(self._settled(root)), offset * size
        if not start:
            return base
        made = self._new()
        self._body.append(f"{made} = getelementptr i8, ptr {base}, i64 {start}")
        return made

    def _settled(self, root: Value) -> str:
        """The name of an array that is surely in C order."""
        source = self.source
        name = source.names[root]
        if root in source.native_made or name[0] in "ic":
            return name
        own = f"n{root.number}"
        if own not in self.settled:
            self.settled.append(own)
            self.lines.append(f"{own} = asarray({name}, None, 'C')")
        return own

    def call(self, call: Call, first: str, end: str) -> None:
        addresses = [self._address(view, call.kind) for view in call.places]
        given = "".join(f"ptr {a}, " for a in addresses)
        self._body.append(f"call void @{self.source.loop(call)}({given}i64 {first}, i64 {end})")
        self._calls += 1
        if self._calls % _BLOCK == 0:
            self._body += [f"br label %part{self._calls}", f"part{self._calls}:"]

    def check(self, names: list[str], array: int) -> None:
        """Raise a BufferError unless all are arrays in C order."""
        for i, name in enumerate(names):
            thing = self._object(name)
            a, b, c, d, e, f, g = (self._new() for _ in range(7))
            self._body += [
                f"{a} = getelementptr i8, ptr {thing}, i64 {TYPE}", f"{b} = load i64, ptr {a}",
                f"{c} = icmp eq i64 {b}, {array}", f"br i1 {c}, label %array{i}, label %refused", f"array{i}:",
                f"{d} = getelementptr i8, ptr {thing}, i64 {FLAGS}", f"{e} = load i32, ptr {d}",
                f"{f} = and i32 {e}, 257", f"{g} = icmp eq i32 {f}, 257",
                f"br i1 {g}, label %right{i}, label %refused", f"right{i}:",
            ]  # fmt: skip
        self._refuses = True

    def text(self) -> str:
        loads = []
        for i in range(len(self.objects) + len(self.numbers)):
            loads += [f"%at{i} = getelementptr ptr, ptr %arguments, i64 {i}", f"%o{i} = load ptr, ptr %at{i}"]
        for i, name in enumerate(self.numbers, len(self.objects)):
            loads.append(f"{name} = call i64 @PyLong_AsSsize_t(ptr %o{i})")
        body = self._body
        if self._aside:
            body = ["%state = call ptr @PyEval_SaveThread()", *body, "call void @PyEval_RestoreThread(ptr %state)"]
        lines = [*loads, *self._head, *body, returned_none()]
        if self._refuses:
            lines += [
                "refused:",
                f"call void @PyErr_SetNone(ptr inttoptr (i64 {id(BufferError)} to ptr))",
                "ret ptr null",
            ]
        head = f"define ptr @{self.name}(ptr %self, ptr %arguments, i64 %count) {{"
        return "\n".join([head, *("  " + line for line in lines), "}"])
