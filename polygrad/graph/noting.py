"""What a traced call did: what it returns, which tensors it wrote to, which gradients it left, which places it filled."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import pathlib
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

import optree

from .. import registry
from ..core.cell import Cell, settle
from ..core.node import LEAF, Node
from ..core.operands import Symbol
from ..core.tape import pull
from ..errors import FreedGraphError, TraceError, UnreadyError
from .arrays import Traced
from .guards import Change
from .ir import Graph, Instruction, Value
from .places import Order, Place, Progress, Stream, is_plain
from .tracing import Entered, Trace

__all__ = ["CacheError", "Made", "Noted", "Rebound", "note"]


_UNCHANGEABLE: Final = (
    int, float, complex, str, bytes, enum.Enum, decimal.Decimal, fractions.Fraction, pathlib.PurePath, datetime.date,
    datetime.timedelta,
)  # fmt: skip


class CacheError(UnreadyError):
    """The function put something new into a dict, or into an object, as it does where it fills a cache."""


@dataclass
class Made:
    """A tensor that the function made and that outlives it.

    Attributes:
        kind: ``"new"`` (made by the graph), ``"same"`` (a handle that came in), ``"held"`` (one the graph never
            touched), ``"view"`` (of another, made again from it by ``replay``).
        out: the position among the graph's outputs.
        node: its node in the trace, if a graph leads to it.
        base: what it is a view of.
        cell: the handle (``"same"`` and ``"held"``).
        cls: its class.
    """

    kind: str
    out: int = -1
    node: Node | None = None
    base: int = -1
    replay: Any = None
    cell: Any = None
    cls: Any = None


@dataclass
class Rebound:
    """A place that the function filled with other tensors.

    Attributes:
        place: where.
        before: what was there.
        structure: of what is put there.
        leaves: numbers of Made things, or ``("static", value)``.
    """

    name: Any
    place: Place
    before: Any
    structure: Any
    leaves: list[Any]


@dataclass
class Noted:
    """All that a run must do besides computing.

    Attributes:
        graph: the forward: its outputs are what ``made`` says, then the residuals.
        backward: from the cotangents of ``roots`` and the residuals to the cotangents of ``targets``; or None.
        made: tensors that outlive the call.
        result: numbers of Made things and static values, in ``structure``.
        writes: entered tensors that were written to, with the number of a Made thing.
        grads: entered leaves whose gradient changed, with the number of a Made thing, or None.
        arguments: the graph's inputs that a call gives.
        shown: the graph for those who look at it.
    """

    trace: Trace
    structure: Any
    made: list[Made] = field(default_factory=list)
    result: list[Any] = field(default_factory=list)
    outs: list[Traced] = field(default_factory=list)
    writes: list[tuple[Entered, int]] = field(default_factory=list)
    grads: list[tuple[Entered, int | None]] = field(default_factory=list)
    rebound: list[Rebound] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)
    targets: list[Entered] = field(default_factory=list)
    residuals: list[Value] = field(default_factory=list)
    graph: Graph = None  # type: ignore[assignment]
    backward: Graph | None = None
    arguments: set[Value] = field(default_factory=set)
    shown: Graph | None = None
    _of_cell: dict[int, int] = field(default_factory=dict)
    _alive: list[Any] = field(default_factory=list)

    # -- tensors -----------------------------------------------------------------------------------

    def describe(self, cell: Any) -> int:
        """The number of a tensor among those that outlive the call."""
        found = self._of_cell.get(id(cell))
        if found is not None:
            return found
        settle(cell)
        trace = self.trace
        if id(cell) in trace.entered:
            made = Made("same", cell=cell)
        elif cell._device is trace.inner:
            made = Made("held", cell=cell)
        elif cell._device is not trace.device:
            raise TraceError(
                f"a tensor on {cell._device} cannot leave a function that is traced for {trace.inner}; move it first"
            )
        elif cell._extra is not None and cell._extra.base is not None:
            made = Made("view", base=self.describe(cell._extra.base), replay=cell._extra.replay)
        else:
            made = Made("new", out=self._out(cell._value), node=cell._node, cls=type(cell))
        self.made.append(made)
        self._alive.append(cell)
        number = self._of_cell[id(cell)] = len(self.made) - 1
        return number

    def _out(self, traced: Traced) -> int:
        self.outs.append(traced)
        return len(self.outs) - 1

    def leaf(self, x: Any) -> Any:
        """A leaf of what is returned or stored: the number of a Made thing, or a static value."""
        if isinstance(x, Cell):
            return self.describe(x)
        if isinstance(x, (Symbol, Traced)):
            raise TraceError(
                "a number that each run gets anew was returned as it is; make a tensor of it: pg.asarray(number)"
            )
        self._refuse_changeable(x)
        return ("static", x)

    def _refuse_changeable(self, x: Any) -> None:
        """Refuse results that each run would have to make again."""
        trace = self.trace
        if isinstance(x, str) and trace.shown and "<traced" in x:
            raise TraceError(
                f"the function returns text with the value of a tensor in it, written at {trace.shown}: its value is known at "
                "each run only. Return the tensor, and write the text outside the compiled function"
            )
        if is_plain(x) or isinstance(x, (type, FunctionType, BuiltinFunctionType, ModuleType)) or trace.reached(x):
            return
        if registry.owner(x) is not None or isinstance(x, _UNCHANGEABLE):
            return
        raise TraceError(
            f"the function returns a {type(x).__name__} that it made; a static graph would return the same one at each run. "
            "Return tensors, numbers, tuples, lists and dicts, or register the type with optree"
        )

    # -- effects -----------------------------------------------------------------------------------

    def note_writes(self) -> None:
        """Which entered tensors were written to, and what became of their gradients."""
        for entry in list(self.trace.entered.values()):
            cell = entry.cell
            if cell._device is not self.trace.device:  # a view that its base's end left behind
                continue
            if entry.changed:
                before, now = entry.traced, cell._value
                if now.shape != before.shape or now.dtype != before.dtype:
                    raise TraceError(
                        f"the function changes a tensor from outside from {before.value.type} to {now.value.type}; do that "
                        "outside the compiled function"
                    )
                made = Made("new", out=self._out(now), node=None if cell._node is entry.inside else cell._node)
                self.made.append(made)
                self.writes.append((entry, len(self.made) - 1))
            elif cell._node is not entry.inside:
                raise TraceError(
                    "the function changes whether a tensor from outside requires grad; do that outside, before the call"
                )
            self._note_grad(entry)

    def _note_grad(self, entry: Entered) -> None:
        inside = entry.inside
        if inside is None:
            return
        grad = inside.grad
        if entry.node is None or entry.node.op is not LEAF:
            if grad is not None:
                raise TraceError(
                    "backward, inside a traced function, reached a tensor whose graph began outside; pass the tensor in "
                    "and return the loss, or trace that part too"
                )
            return
        start = entry.grad_input
        if grad is None:
            if start is not None:
                self.grads.append((entry, None))
        elif start is None or grad._value is not start:
            self.grads.append((entry, self.describe(grad)))

    def note_places(self, changed: list[Change]) -> None:
        """Which places hold other tensors now."""
        for name, place, old, now in changed:
            if isinstance(place, Stream):
                raise TraceError(
                    "the function draws random numbers that are not polygrad's; a static graph would keep the first ones for "
                    "ever. Draw with pg.random, or in pg.graph.on_each_run"
                )
            if isinstance(place, Progress):
                raise TraceError(
                    f"the function changes {place}; a static graph would keep the first item for ever. Pass the items in, "
                    "or take them in pg.graph.on_each_run"
                )
            leaves, structure = optree.tree_flatten(now)
            if not place.fillable or not any(isinstance(x, Cell) for x in leaves):
                filled = isinstance(place, Order) and len(now) > len(old) and now[: len(old)] == old
                raise (CacheError if filled else TraceError)(
                    f"the function changes {place} from {_short(old)} to {_short(now)}, in Python; a static graph would do "
                    "that once only. Keep it in a tensor, do it outside the compiled function, or in "
                    "pg.graph.on_each_run"
                )
            self.rebound.append(Rebound(name, place, old, structure, [self.leaf(x) for x in leaves]))

    # -- derivatives -------------------------------------------------------------------------------

    def differentiate(self) -> None:
        """Trace the backward from the tensors that carry a graph to the tensors that came in."""
        trace = self.trace
        entries = [e for e in trace.entered.values() if e.inside is not None]
        graph_inputs, mark = list(trace.inputs), len(trace.instructions)
        carrying = [i for i, m in enumerate(self.made) if m.node is not None]
        if carrying and entries:
            for entry in entries:
                assert entry.inside is not None
                entry.inside.extra = None  # hooks run when the real gradient arrives
            self.roots = carrying
            found, cotangents = self._pulled(entries, mark)
        else:
            self.roots, self.freed = [], carrying
            found, cotangents = {}, []
        forward, after = trace.instructions[:mark], trace.instructions[mark:]
        self.targets = [e for e in entries if e.inside in found]
        grads = [found[e.inside] for e in self.targets]
        if self.targets:
            self.residuals = _residuals(after, [g.value for g in grads], {c.value for c in cotangents})
            constants = dict(trace.constants)
            self.residuals = [v for v in self.residuals if v not in constants]
            inputs = tuple([c.value for c in cotangents] + self.residuals)
            self.backward = Graph(
                inputs, constants, tuple(after), tuple(g.value for g in grads), trace.inner.name, dict(trace.names)
            )
        trace.inputs = graph_inputs
        made = trace.graph(list(self.outs), forward)
        self.graph = made.with_(outputs=(*made.outputs, *self.residuals))

    def _pulled(self, entries: list[Entered], mark: int) -> tuple[dict[Any, Any], list[Traced]]:
        """The cotangents of what came in; roots whose graph an inner backward freed are set aside."""
        trace = self.trace
        targets = [e.inside for e in entries]

        def attempt(numbers: list[int]) -> tuple[dict[Any, Any], list[Traced]]:
            del trace.instructions[mark:]
            outs = [self.outs[self.made[i].out] for i in numbers]
            cotangents = [trace.input(tuple(x.shape), x.dtype) for x in outs]
            roots: list[Any] = [self.made[i].node for i in numbers]
            return pull(roots, cotangents, targets, False)[0], cotangents  # type: ignore[arg-type]

        try:
            return attempt(self.roots)
        except FreedGraphError:
            kept = []
            for i in self.roots:
                try:
                    attempt([i])
                    kept.append(i)
                except FreedGraphError:
                    self.freed.append(i)
            self.roots = kept
            if kept:
                return attempt(kept)
            del trace.instructions[mark:]
            return {}, []


def _residuals(instructions: list[Instruction], results: list[Value], given: set[Value]) -> list[Value]:
    """What instructions and results take that the instructions do not make."""
    known = set(given)
    needed: dict[Value, None] = {}
    for instruction in instructions:
        for v in instruction.inputs:
            if v not in known:
                needed[v] = None
        known.update(instruction.outputs)
    for v in results:
        if v not in known:
            needed[v] = None
    return list(needed)


def _short(x: Any) -> str:
    text = repr(x)
    return text if len(text) < 60 else text[:57] + "..."


def note(trace: Trace, result: Any, changed: list[Change]) -> Noted:
    """All that a traced call did; called while the trace still runs."""
    leaves, structure = optree.tree_flatten(result)
    made = Noted(trace, structure)
    made.result = [made.leaf(x) for x in leaves]
    made.note_writes()
    made.note_places(changed)
    made.differentiate()
    return made
