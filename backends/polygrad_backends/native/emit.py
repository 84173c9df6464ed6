"""The text of LLVM's instructions, on several numbers at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

__all__ = ["Emitter", "Function", "Lanes", "address", "column_blocks", "increased"]

_COMPARED: Final = {
    "equal": "oeq", "not_equal": "une", "less": "olt", "less_equal": "ole", "greater": "ogt", "greater_equal": "oge",
}  # fmt: skip


class Function(NamedTuple):
    """A function named ``@NAME`` in its text, and the declarations it takes."""

    text: str
    declared: frozenset[str]


class Emitter:
    """The body of a function, as it grows: instructions, blocks, loops."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.declared: set[str] = set()
        self.block = "entry"
        self._count = 0

    def new(self, what: str = "t") -> str:
        self._count += 1
        return f"{what}{self._count}"

    def do(self, text: str) -> None:
        self.lines.append("  " + text)

    def make(self, text: str) -> str:
        """An instruction that makes something; its name."""
        name = "%" + self.new()
        self.do(f"{name} = {text}")
        return name

    def call(self, kind: str, name: str, *arguments: tuple[str, str]) -> str:
        """A call of a function outside: LLVM's own or one of the process."""
        self.declared.add(f"declare {kind} @{name}({', '.join(t for t, _ in arguments)})")
        text = f"call {kind} @{name}({', '.join(f'{t} {x}' for t, x in arguments)})"
        if kind != "void":
            return self.make(text)
        self.do(text)
        return ""

    def begin(self, label: str) -> None:
        """A block."""
        self.lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        self.do(f"br label %{label}")

    def branch(self, condition: str, yes: str, no: str) -> None:
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")

    def function(self, head: str) -> Function:
        """What has grown, as a function of this head."""
        text = "\n".join([head + " {", "entry:", *self.slots, *self.lines, "  ret void", "}"])
        return Function(text, frozenset(self.declared))

    def slot(self, kind: str) -> str:
        """Memory for one thing, for what changes from turn to turn; LLVM makes a register of it."""
        name = "%" + self.new("slot")
        self.slots.append(f"  {name} = alloca {kind}")
        return name

    @contextmanager
    def loop(self, first: str, end: str, step: int = 1) -> Iterator[str]:
        """A loop while ``first + step <= end``; gives the index."""
        head, body, after = self.new("head"), self.new("body"), self.new("after")
        before = self.block
        self.jump(head)
        self.begin(head)
        at = "%" + self.new("i")
        place = len(self.lines)
        self.lines.append("")
        following = "%" + self.new("n")
        self.do(f"{following} = add nsw i64 {at}, {step}")
        self.branch(self.make(f"icmp sle i64 {following}, {end}"), body, after)
        self.begin(body)
        yield at
        self.lines[place] = f"  {at} = phi i64 [ {first}, %{before} ], [ {following}, %{self.block} ]"
        self.jump(head)
        self.begin(after)


def address(e: Emitter, kind: str, base: str, *terms: tuple[str, int | str]) -> str:
    """An address: a base and indices times strides, in elements; a stride is a number or LLVM's name of one."""
    for index, stride in terms:
        if stride in (0, "0") or index == "0":
            continue
        offset = index if stride in (1, "1") else e.make(f"mul nsw i64 {index}, {stride}")
        base = e.make(f"getelementptr inbounds {kind}, ptr {base}, i64 {offset}")
    return base


def increased(e: Emitter, index: str, number: int) -> str:
    """An index and a number."""
    return index if number == 0 else str(number) if index == "0" else e.make(f"add nsw i64 {index}, {number}")


def column_blocks(n: int, most: int) -> list[tuple[int, int, int]]:
    """Columns in blocks of at most so many, a power of two: the first of them, how many at a time, and how often."""
    blocks, at, width = [], 0, most
    while at < n:
        while width > n - at:
            width //= 2
        count = (n - at) // width
        blocks.append((at, width, count))
        at += width * count
    return blocks


class Lanes:
    """Numbers of one type, ``width`` at a time (1: one number).

    Attributes:
        kind: ``"float"`` or ``"double"``.
        bits: of a number.
        type, whole, truth: the types of numbers, of integers of as many bits, and of truth values.
    """

    def __init__(self, emitter: Emitter, kind: str, width: int) -> None:
        self.emitter, self.kind, self.width = emitter, kind, width
        self.bits = 32 if kind == "float" else 64

        def of(one: str) -> str:
            return one if width == 1 else f"<{width} x {one}>"

        self.type, self.whole, self.truth, self.byte = of(kind), of(f"i{self.bits}"), of("i1"), of("i8")
        self._mark = f"v{width}" if width > 1 else ""

    # -- constants -----------------------------------------------------------------------------------

    def all(self, one: str, kind: str) -> str:
        """A constant in every lane."""
        return one if self.width == 1 else f"<{', '.join([f'{kind} {one}'] * self.width)}>"

    def number(self, x: float) -> str:
        if self.kind == "float":
            try:
                (x,) = struct.unpack("f", struct.pack("f", x))
            except OverflowError:
                x = float("inf") if x > 0 else -float("inf")
        return self.all(f"0x{struct.unpack('>Q', struct.pack('>d', x))[0]:016X}", self.kind)

    def integer(self, n: int) -> str:
        return self.all(str(n), f"i{self.bits}")

    def spread(self, one: str, kind: str | None = None) -> str:
        """A number, or one thing of another kind, in every lane."""
        if self.width == 1:
            return one
        kind = kind or self.kind
        vector = f"<{self.width} x {kind}>"
        first = self.emitter.make(f"insertelement {vector} poison, {kind} {one}, i32 0")
        return self.emitter.make(
            f"shufflevector {vector} {first}, {vector} poison, <{self.width} x i32> zeroinitializer"
        )

    # -- arithmetic ----------------------------------------------------------------------------------

    def _two(self, op: str, a: str, b: str) -> str:
        return self.emitter.make(f"{op} {self.type} {a}, {b}")

    def add(self, a: str, b: str) -> str:
        return self._two("fadd", a, b)

    def sub(self, a: str, b: str) -> str:
        return self._two("fsub", a, b)

    def mul(self, a: str, b: str) -> str:
        return self._two("fmul", a, b)

    def div(self, a: str, b: str) -> str:
        return self._two("fdiv", a, b)

    def neg(self, a: str) -> str:
        return self.emitter.make(f"fneg {self.type} {a}")

    def ints(self, op: str, a: str, b: str) -> str:
        return self.emitter.make(f"{op} {self.whole} {a}, {b}")

    def unary(self, name: str, a: str) -> str:
        """One of LLVM's functions of one number: ``sqrt``, ``fabs``, ``floor``, ..."""
        return self.emitter.call(self.type, f"llvm.{name}.{self._mark}f{self.bits}", (self.type, a))

    def fma(self, a: str, b: str, c: str) -> str:
        """``a b + c``, rounded once where the processor can."""
        t = self.type
        return self.emitter.call(t, f"llvm.fmuladd.{self._mark}f{self.bits}", (t, a), (t, b), (t, c))

    def polynomial(self, x: str, coefficients: tuple[float, ...]) -> str:
        """By Horner, the highest power's coefficient first."""
        made = self.number(coefficients[0])
        for c in coefficients[1:]:
            made = self.fma(made, x, self.number(c))
        return made

    # -- bits, comparisons, choices ------------------------------------------------------------------

    def as_integers(self, a: str) -> str:
        return self.emitter.make(f"bitcast {self.type} {a} to {self.whole}")

    def as_numbers(self, a: str) -> str:
        return self.emitter.make(f"bitcast {self.whole} {a} to {self.type}")

    def compare(self, how: str, a: str, b: str) -> str:
        """``"less"`` and so on, False for nan; or one of LLVM's words."""
        return self.emitter.make(f"fcmp {_COMPARED.get(how, how)} {self.type} {a}, {b}")

    def compare_integers(self, how: str, a: str, b: str) -> str:
        return self.emitter.make(f"icmp {how} {self.whole} {a}, {b}")

    def choose(self, condition: str, a: str, b: str, kind: str | None = None) -> str:
        kind = kind or self.type
        return self.emitter.make(f"select {self.truth} {condition}, {kind} {a}, {kind} {b}")

    def choose_one(self, condition: str, a: str, b: str) -> str:
        """By one truth value, for all lanes."""
        return self.emitter.make(f"select i1 {condition}, {self.type} {a}, {self.type} {b}")

    def logical(self, op: str, a: str, b: str) -> str:
        return self.emitter.make(f"{op} {self.truth} {a}, {b}")

    def any(self, condition: str) -> str:
        """Whether it holds in any lane."""
        if self.width == 1:
            return condition
        return self.emitter.call("i1", f"llvm.vector.reduce.or.v{self.width}i1", (self.truth, condition))

    def total(self, x: str) -> str:
        """The sum over all lanes."""
        if self.width == 1:
            return x
        name = f"llvm.vector.reduce.fadd.{self._mark}f{self.bits}"
        self.emitter.declared.add(f"declare {self.kind} @{name}({self.kind}, {self.type})")
        start = Lanes(self.emitter, self.kind, 1).number(-0.0)
        return self.emitter.make(f"call reassoc {self.kind} @{name}({self.kind} {start}, {self.type} {x})")

    def extreme(self, how: str, a: str, b: str) -> str:
        """The larger (``"greater"``) or the smaller (``"less"``) of two; nan is both."""
        return self.choose(self.logical("or", self.compare(how, a, b), self.compare("uno", a, a)), a, b)

    def clamped(self, x: str, low: float, high: float) -> str:
        """Within bounds; nan stays."""
        x = self.choose(self.compare("greater", x, self.number(high)), self.number(high), x)
        return self.choose(self.compare("less", x, self.number(low)), self.number(low), x)
