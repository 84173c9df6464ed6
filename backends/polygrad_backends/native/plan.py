"""Plans of static graphs in which machine code does what loops can do, and NumPy the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from polygrad.graph import Graph, Instruction, Value

from ..numpy_blocks import Group, Step, inputs_of
from ..numpy_executor import Plan, compile_graph
from .emit import Function
from .layouts import Layouts
from .loops import Loop, Operand, Turn, coalesced
from .nests import MULTIPLICATION, Native, Nest, View, c_strides, is_elementwise, kind_of, reduction_of
from .panels import paneled
from .products import product
from .recurrent import Walk, walk_of
from .source import NativeSource

__all__ = ["Call", "NativePlan", "compile_native"]

_LARGE: Final = 1 << 16
"""From so many elements on sums along the first axes are made by themselves: then several threads do the rest."""


def compile_native(np: Any, graph: Graph, device: Any) -> Callable[..., tuple[Any, ...]]:
    """A function of the graph's inputs, much of it machine code.

    Raises:
        RuntimeError: if there can be none here, and why.
    """
    from .engine import reason

    why = reason()
    if why is not None:
        raise RuntimeError(f"compile: the executor 'native' is not to be had: {why}")
    try:
        return compile_graph(np, graph, device, NativePlan)
    except Exception as error:  # whatever it is that machine code cannot do, NumPy can
        run = compile_graph(np, graph, device)
        run.plan.instead = f"{type(error).__name__}: {error}".partition("\n")[0]  # type: ignore[attr-defined]
        return run


class Call(NamedTuple):
    """A call of a loop.

    Attributes:
        function: the loop.
        places: what it is given the addresses of.
        turns: of its outermost loop.
        kind: of its numbers.
    """

    function: Function
    places: tuple[View, ...]
    turns: int
    kind: str


class Single(Native):
    """One instruction that has loops of its own: a product of matrices, sums into slices."""

    def __init__(self, instruction: Instruction) -> None:
        super().__init__(instruction.outputs[0].shape)
        self.add(instruction)

    @property
    def cost(self) -> float:
        depth = self.instructions[0].inputs[0].shape[-1] if self.in_any_order else 0
        return max(5.0, self.size * depth * MULTIPLICATION)

    @property
    def in_any_order(self) -> bool:
        """If it is a product: its columns."""
        return self.instructions[0].op != "scatter_add"


class NativePlan(Plan):
    """A plan whose groups are nests of loops."""

    layouts: Layouts
    known: dict[Any, tuple[Function, int]]
    given: set[Value]
    made_natively: set[Value]

    def _steps(self) -> list[Step]:
        self.layouts = Layouts(self.np, self.graph)
        self.known = {}
        self.given = {*self.graph.inputs, *self.graph.constants}
        self.made_natively = set()
        self.beside: list[Value] = []
        return _Partition(self).steps

    def _writer(self) -> NativeSource:
        return NativeSource(self)

    def new(self, shape: tuple[int, ...], dtype: Any) -> Value:
        """A value for memory that a step takes beside what it makes."""
        taken = (v.number for v in (*self.graph.inputs, *self.graph.constants, *self.made, *self.beside))
        v = Value(max(taken) + 1, shape, dtype)
        self.beside.append(v)
        self.layouts.add(v)
        return v

    def external(self, group: Group) -> list[Value]:
        needed = super().external(group)
        return group.outputs(needed) if isinstance(group, Walk) else needed

    def writable(self, step: Step) -> list[Value]:
        return self.external(step) if isinstance(step, Group) else super().writable(step)

    def holds(self, step: Instruction) -> bool:
        return step in self.layouts.instructions or super().holds(step)

    def overwrites(self, step: Step, out: Value, v: Value) -> bool:
        if not isinstance(step, Group):
            return super().overwrites(step, out, v)
        if isinstance(step, Walk):
            if not step.overwritten(out, v):
                return False
        elif not isinstance(step, Nest) or out in step.reductions:
            return False
        view = self.layouts[v]
        alike = view.offset == 0 and view.strides == c_strides(out.shape) and view.root.size == v.size
        return alike and (view.root in self.made_natively or view.root in self.ordered)

    def named(self, step: Step, v: Value) -> Value:
        return self.layouts[v].root if isinstance(step, Group) else v

    def needs_order(self, v: Value) -> bool:
        return False  # the function checks its inputs itself

    def lies_in_order(self, v: Value) -> bool:
        """Whether its elements lie where its layout says. What NumPy makes in another order (convolutions, in that of the
        batch last) is better left to it than copied."""
        root = self.layouts[v].root
        return root in self.ordered or root in self.made_natively or root in self.given

    def calls(self, step: Group) -> list[Call]:
        """The loops of a step, of which the last may be spread over threads."""
        if isinstance(step, Nest):
            taken = list(dict.fromkeys(inputs_of(step)))
            made = self.external(step)
            function, turns = step.loop(taken, made, self.layouts.__getitem__, self.known)
            return [Call(function, tuple(self.layouts[v] for v in (*taken, *made)), turns, step.kind)]
        if isinstance(step, Walk):
            functions = step.functions(super().external(step), self.layouts.__getitem__)
            return [Call(function, places, turns, step.kind) for function, places, turns in functions]
        (instruction,) = step.instructions
        return self.product(instruction) or self.scattered(instruction)

    def product(self, instruction: Instruction) -> list[Call]:
        """The loop of a product of matrices that are small, or not too large for :mod:`.panels`, or nothing."""
        if instruction.op not in ("matmul", "matmul_2d") or instruction.kwargs or len(instruction.inputs) != 2:
            return []
        a, b = instruction.args
        (out,) = instruction.outputs
        kind = kind_of(a)
        if kind not in ("float", "double") or kind_of(b) != kind or kind_of(out) != kind:
            return []
        ranks = (len(a.shape), len(b.shape))
        if ranks not in ((2, 2), (2, 1), (1, 2)):
            return []
        left, right = self.layouts[a], self.layouts[b]
        a_strides = left.strides if ranks[0] == 2 else (0, left.strides[0])
        b_strides = right.strides if ranks[1] == 2 else (right.strides[0], 0)
        m, n = (a.shape[0] if ranks[0] == 2 else 1), (b.shape[1] if ranks[1] == 2 else 1)
        sizes = (m, a.shape[-1], n)
        function = product(kind, *sizes, a_strides, b_strides)
        if function is not None:
            places = (right, left) if n == 1 and m > 1 else (left, right)
            return [Call(function, (*places, self.layouts[out]), 1, kind)]
        made = paneled(kind, *sizes, a_strides, b_strides)
        return [] if made is None else [Call(made[0], (left, right, self.layouts[out]), made[1], kind)]

    def scattered(self, instruction: Instruction) -> list[Call]:
        """The loops that fill with zeros and add parts to slices, or nothing."""
        if instruction.op != "scatter_add" or instruction.kwargs:
            return []
        (out,) = instruction.outputs
        kind = kind_of(out)
        parts = instruction.args[2]
        if kind not in ("float", "double") or out.size == 0:
            return []
        views = []
        for key, value in parts:
            view = self.layouts.of_key(out, key)
            if view is None or value.__class__ is not Value or kind_of(value) != kind or value.size == 0:
                return []
            views.append((view, value))
        calls = [_filled(kind, self.layouts[out], out.shape)]
        for view, value in views:
            call = _added(kind, self.layouts[value], view, value.shape)
            if call is None:
                return []
            calls.append(call)
        return calls

    def explain(self) -> list[str]:
        lines = []
        alone: dict[str, int] = {}
        lazy = self.writer.unwritten  # type: ignore[attr-defined]
        for step in self.steps:
            if isinstance(step, Group):
                lines.append(f"machine code, over {list(step.shape)}: {', '.join(i.op for i in step.instructions)}")
            elif step not in lazy:
                alone[step.op] = alone.get(step.op, 0) + 1
        if alone:
            lines.append("NumPy: " + ", ".join(f"{op} x{n}" if n > 1 else op for op, n in sorted(alone.items())))
        return [*lines, *self.memory()]


def _filled(kind: str, out: View, shape: tuple[int, ...]) -> Call:
    lengths, (strides,) = coalesced(shape, [out.strides])
    operand = Operand(kind, tuple(strides))
    loop = Loop(kind, lengths, [operand])
    return Call(loop.function(lambda turn: turn.store(operand, turn.lanes.number(0.0))), (out,), loop.rows, kind)


def _added(kind: str, value: View, out: View, shape: tuple[int, ...]) -> Call | None:
    lengths, strides = coalesced(shape, [value.strides, out.strides])
    if strides[1][-1] != 1 and lengths != (1,):
        return None
    x, y = (Operand(kind, tuple(s)) for s in strides)
    if lengths == (1,):
        y.strides = (1,)

    def body(turn: Turn) -> None:
        turn.store(y, turn.lanes.add(turn.load(y), turn.load(x)))

    loop = Loop(kind, lengths, [x, y])
    return Call(loop.function(body), (value, out), loop.rows, kind)


class _Partition:
    """Steps: nests of loops that are as long as can be, and what lies between.

    While a nest is open, what does not depend on it goes before it, and views of what it makes go after it.
    """

    def __init__(self, plan: NativePlan) -> None:
        self.plan = plan
        self.steps: list[Step] = []
        self.nest: Nest | None = None
        self.before: list[Step] = []
        self.after: list[Instruction] = []
        self.late: set[Value] = set()  # what is only there when the nest is closed
        for instruction in plan.graph.instructions:
            self._place(instruction)
        self._close()

    def _close(self) -> None:
        self.steps += self.before
        if self.nest is not None:
            self.steps.append(self.nest)
        self.steps += self.after
        self.nest, self.before, self.after, self.late = None, [], [], set()

    def _place(self, instruction: Instruction) -> None:
        taken = instruction.inputs
        made = self.nest.made if self.nest is not None else set()
        waits = any(v in self.late or v in made for v in taken)
        if instruction in self.plan.layouts.instructions:
            if waits:
                self.after.append(instruction)
                self.late.update(instruction.outputs)
            else:
                self.before.append(instruction)
            return
        kind, reduction = is_elementwise(instruction), reduction_of(instruction)
        if not all(map(self.plan.lies_in_order, taken)):
            kind = reduction = None
        if kind is not None:
            self._nest(instruction.outputs[0].shape, kind, taken).add(instruction)
            self.plan.made_natively.update(instruction.outputs)
        elif reduction is not None:
            self._reduce(instruction, reduction, taken)
        else:
            walk = walk_of(instruction, self.plan.layouts.__getitem__, self.plan.new)
            step: Step = instruction if walk is None else walk
            if walk is not None:
                self.plan.made_natively.update(walk.made)
            elif self.plan.product(instruction) or self.plan.scattered(instruction):
                step = Single(instruction)
                self.plan.made_natively.update(instruction.outputs)
            if waits or instruction.effect:
                self._close()
                self.steps.append(step)
            else:
                self.before.append(step)

    def _nest(self, shape: tuple[int, ...], kind: str, taken: tuple[Value, ...]) -> Nest:
        """The open nest if an instruction can join it, else a new one."""
        nest = self.nest
        if nest is None or nest.shape != shape or nest.kind != kind or any(v in self.late for v in taken):
            self._close()
            nest = self.nest = Nest(shape, kind)
        return nest

    def _reduce(self, instruction: Instruction, reduction: Any, taken: tuple[Value, ...]) -> None:
        x = reduction.x
        kind = kind_of(x)
        assert kind is not None
        first = 0 in reduction.axes and len(reduction.axes) < len(x.shape)
        if first and x.size >= _LARGE:
            self._close()
        self._nest(x.shape, kind, taken).reduce(instruction, reduction)
        self.plan.made_natively.update(instruction.outputs)
        self.late.update(instruction.outputs)
        if first and x.size >= _LARGE:
            self._close()
