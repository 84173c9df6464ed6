"""The Python text of a plan with machine code: what follows one another in machine code is one call."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from polygrad.graph import Instruction, Value

from ..numpy_blocks import Group, Step, inputs_of
from ..numpy_source import Source
from ..numpy_threads import team
from .engine import Machine
from .entries import SUPPORT, Entry
from .nests import Native

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
        waiting: list[Native] = []
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
                assert isinstance(step, Native)
                if self._can_spread(step):
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

    def _segment(self, steps: list[Native], lines: list[str]) -> list[str]:
        """Steps of machine code as one call, after the lines that make places for them."""
        calls = [call for step in steps for call in self.plan.calls(step)]
        cost = sum(step.cost for step in steps)
        called = self._in_turn(calls, lines, cost > _WITHOUT_GIL)  # first: it adds lines that put arrays in order
        return [*lines, *called]

    def _in_turn(self, calls: list[Call], lines: list[str], aside: bool) -> list[str]:
        """Calls, one after the other, as one; ``aside``: without the GIL."""
        entry = Entry(self, f"native{len(self._machine_names)}", lines)
        if aside:
            entry.without_gil()
        for call in calls:
            entry.call(call, "0", str(call.turns))
        return [self._finished(entry), *entry.forgotten()]

    def _finished(self, entry: Entry) -> str:
        self._entries.append(entry.text())
        self._machine_names.append(entry.name)
        return f"{entry.name}({', '.join(entry.objects)})"

    def _can_spread(self, step: Native) -> bool:
        """Whether it is large, and its turns can be done in any order."""
        return step.cost > _SPREAD and step.in_any_order and self.plan.calls(step)[-1].turns > 1

    def _spread_out(self, step: Native) -> list[str]:
        """A large step, its turns in parts for several threads; a sum over all is that of the parts'."""
        lines: list[str] = []
        *before, call = self.plan.calls(step)
        made = self.plan.external(step)
        sums = [v for v in made if v in step.reductions and v.size == 1]
        for v in made:
            if v not in sums:
                self._place(v, lines)
        if before:
            lines += self._in_turn(before, lines, aside=False)
        entry = Entry(self, f"native{len(self._machine_names)}", lines)
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
        lines.append(f"spread({entry.name}, ({', '.join(entry.objects)},), {bounds}, threads, {bool(own)})")
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
        callers = "\n".join([*SUPPORT, *self._entries])
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
        entry = Entry(self, "check_order", [])
        entry.check([self.names[v] for v in looked], id(self.plan.np.ndarray))
        return [self._finished(entry)]


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
    """Parts of work, by several threads; what they share out is done in one go unless each part has its own results."""

    def spread(
        function: Any, arrays: tuple[Any, ...], bounds: tuple[tuple[int, int, int], ...], most: int, apart: bool
    ) -> None:
        n = min(most, len(bounds))
        share = -(-len(bounds) // n)

        def work(mine: tuple[tuple[int, int, int], ...]) -> None:
            if not apart:
                mine = ((mine[0][0], mine[-1][1], 0),)
            for part in mine:
                function(*arrays, *part)

        team(np)([partial(work, bounds[i * share : (i + 1) * share]) for i in range(-(-len(bounds) // share))])

    return spread
