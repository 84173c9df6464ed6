"""The Python text of a plan with machine code: what follows one another in machine code is one call."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from polygrad.graph import Instruction, Value

from ..numpy_blocks import Group, Step, inputs_of
from ..numpy_source import Source
from ..numpy_threads import team
from .engine import DATA, FLAGS, TYPE, Machine, returned_none
from .nests import Nest, View

if TYPE_CHECKING:
    from .plan import Call, NativePlan

__all__ = ["NativeSource"]

_WITHOUT_GIL: Final = 30.0
"""From so many microseconds on other threads of Python may run meanwhile."""
_SPREAD: Final = 150.0
"""From so many microseconds on the work is spread over threads."""
_TASKS: Final = 16
"""Into how many parts, for any number of threads: sums are the same for all."""


class NativeSource(Source):
    """Writes a native plan's function.

    Attributes:
        unwritten: views that only machine code looks at.
    """

    plan: NativePlan

    def __init__(self, plan: NativePlan) -> None:
        self.unwritten = _only_native(plan)
        self._loops: dict[str, str] = {}
        self._declared: set[str] = set()
        self._entries: list[str] = []
        self._machine_names: list[str] = []
        self.native_made = {v for step in plan.steps if isinstance(step, Group) for v in step.made}
        super().__init__(plan)
        self.scope |= {"asarray": plan.np.asarray, "spread": _spread(plan.np), "add_reduce": plan.np.add.reduce}

    def _lines(self) -> list[str]:
        lines: list[str] = []
        waiting: list[Group] = []
        prepared: list[str] = []
        gone: list[Value] = []
        checked = self._checked()

        def flush() -> None:
            nonlocal waiting, prepared, gone
            if waiting:
                lines.extend(self._segment(waiting, prepared))
            lines.extend(self._let_go(gone))
            waiting, prepared, gone = [], [], []

        for step, ended in zip(self.plan.steps, self._ended(), strict=True):
            if isinstance(step, Group):
                if isinstance(step, Nest) and self._can_spread(step):
                    flush()
                    lines += self._spread_out(step)
                else:
                    waiting.append(step)
                    for v in self.plan.external(step):
                        self._place(v, prepared)
            elif step not in self.unwritten:
                written = self._step(step)
                if written or step not in self.plan.layouts.instructions:
                    flush()
                lines += written
            gone += ended
            if not waiting:
                flush()
        flush()
        self.scope |= self._functions()
        return checked + lines

    def _taken(self, step: Step) -> Iterable[Value]:
        return (self.plan.layouts[v].root for v in inputs_of(step)) if isinstance(step, Group) else step.inputs

    # -- calls ---------------------------------------------------------------------------------------

    def _segment(self, steps: list[Group], lines: list[str]) -> list[str]:
        """Steps of machine code as one call, after the lines that make places for them."""
        calls = [call for step in steps for call in self.plan.calls(step)]
        cost = sum(step.cost if isinstance(step, Nest) else 5.0 for step in steps)
        entry = _Entry(self, f"native{len(self._machine_names)}", lines)
        if cost > _WITHOUT_GIL:
            entry.without_gil()
        for call in calls:
            entry.call(call, "0", str(call.turns))
        return [*lines, self._finished(entry), *entry.forgotten()]

    def _finished(self, entry: _Entry) -> str:
        self._entries.append(entry.text())
        self._machine_names.append(entry.name)
        return f"{entry.name}({', '.join(entry.objects)})"

    def _can_spread(self, nest: Nest) -> bool:
        """Whether it is large, and its turns can be done in any order: no sums along the first axes."""
        if nest.cost <= _SPREAD or nest.shape[0] < 2:
            return False
        whole = [r for r in nest.reductions.values() if len(r.axes) == len(r.x.shape)]
        last = [r for r in nest.reductions.values() if 0 not in r.axes]
        return len(whole) + len(last) == len(nest.reductions)

    def _spread_out(self, nest: Nest) -> list[str]:
        """A large step, its turns in parts for several threads; a sum over all is that of the parts'."""
        lines: list[str] = []
        (call,) = self.plan.calls(nest)
        made = self.plan.external(nest)
        sums = [v for v in made if v in nest.reductions and v.size == 1]
        for v in made:
            if v not in sums:
                self._place(v, lines)
        entry = _Entry(self, f"native{len(self._machine_names)}", lines)
        parts = max(1, min(_TASKS, call.turns))
        own = {v: f"partial{v.number}" for v in sums}
        for v, name in own.items():
            self.partials[name] = (parts, self.plan.native(v))
        first, end, part = "%first", "%end", "%part"
        entry.without_gil()
        entry.numbers = (first, end, part)
        entry.partial = own
        entry.call(call, first, end)
        self._finished(entry)
        edges = [call.turns * i // parts for i in range(parts + 1)]
        bounds = self._constant(tuple((edges[i], edges[i + 1], i) for i in range(parts)))
        lines.append(f"spread({entry.name}, ({', '.join(entry.objects)},), {bounds}, threads)")
        lines += entry.forgotten()
        for v, name in own.items():
            target = self._buffer(v) if v in self.plan.place else self.names.setdefault(v, f"v{v.number}")
            total = f"add_reduce({name})"
            lines.append(f"{target}[...] = {total}" if v in self.plan.place else f"{target} = asarray({total})")
        return lines

    # -- machine code --------------------------------------------------------------------------------

    def loop(self, call: Call) -> str:
        """The name of a loop's function; loops that are alike are one."""
        text, declared = call.function
        name = self._loops.setdefault(text, f"loop{len(self._loops)}")
        self._declared |= declared
        return name

    def _functions(self) -> dict[str, Any]:
        if not self._entries:
            return {}
        loops = [text.replace("@NAME", f"@{name}", 1) for text, name in self._loops.items()]
        machine = Machine("\n".join([*sorted(self._declared), *loops]))
        callers = "\n".join([*_SUPPORT, *self._entries])
        for name in self._loops.values():
            callers = callers.replace(f"@{name}(", f"inttoptr (i64 {machine.address(name)} to ptr)(")
        entries = Machine(callers, machine, quick=True)
        return {name: entries.function(name) for name in self._machine_names}

    def _checked(self) -> list[str]:
        """A line that refuses inputs which do not lie in C order."""
        inputs = [v for v in self.graph.inputs if v.dtype is not None]
        native = {self.plan.layouts[v].root for s in self.plan.steps if isinstance(s, Group) for v in inputs_of(s)}
        looked = [v for v in inputs if v in native]
        if not looked:
            return []
        entry = _Entry(self, "check_order", [])
        entry.check([self.names[v] for v in looked], id(self.plan.np.ndarray))
        return [self._finished(entry)]


_SUPPORT: Final = (
    "declare ptr @PyEval_SaveThread()", "declare void @PyEval_RestoreThread(ptr)", "declare double @PyFloat_AsDouble(ptr)",
    "declare i64 @PyLong_AsSsize_t(ptr)", "declare void @PyErr_SetNone(ptr)",
)  # fmt: skip


_BLOCK: Final = 40
"""Of so many calls a block is made: LLVM takes longer for long ones."""


class _Entry:
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


def _only_native(plan: NativePlan) -> set[Instruction]:
    """The views that nobody looks at but machine code."""
    needed = {v for v in plan.graph.outputs if v is not None}
    unwritten: set[Instruction] = set()
    for step in reversed(plan.steps):
        if isinstance(step, Group):
            continue
        if step in plan.layouts.instructions and not needed.intersection(step.outputs):
            unwritten.add(step)
        else:
            needed.update(step.inputs)
    return unwritten


def _spread(np: Any) -> Any:
    """Parts of work, by several threads."""

    def spread(function: Any, arrays: tuple[Any, ...], bounds: tuple[tuple[int, int, int], ...], most: int) -> None:
        n = min(most, len(bounds))
        share = -(-len(bounds) // n)

        def work(mine: tuple[tuple[int, int, int], ...]) -> None:
            for part in mine:
                function(*arrays, *part)

        team(np)([partial(work, bounds[i * share : (i + 1) * share]) for i in range(n)])

    return spread
