"""Running a graph on any backend: a straight line of Python over the backend's namespace.

The line is written as source, which can be read, and compiled once. Names are reused as soon as their value is not needed
any more, so that memory is freed as early as in eager code or earlier.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import optree

from .. import registry
from ..backend import Device
from ..core.cell import new_tensor, settle
from ..core.modes import GRAD, WATCHED, get_mode
from ..core.operands import SCALARS
from ..core.tape import new_saved
from ..errors import DeviceError, DTypeError, ShapeError
from ..ops.creation import asarray
from ..transforms.batching import is_level
from .arrays import OPERATORS
from .infer import ELEMENTWISE, REDUCTIONS
from .ir import Graph, Instruction, Value, substituted
from .passes import optimized
from .tracing import running

__all__ = ["FRESH", "Program", "Writer", "on_tensors", "replay", "resolve", "run_graph", "runner"]

FRESH: Final = (
    ELEMENTWISE | REDUCTIONS | {"matmul", "matmul_2d", "concat", "stack", "take", "zeros", "ones", "full", "arange"}
) - {"positive", "conj", "real", "imag"}
"""Instructions whose result is surely memory of its own."""

_SIGNS: Final = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "floordiv": "//", "mod": "%", "power": "**",
    "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^", "bitwise_left_shift": "<<", "bitwise_right_shift": ">>",
    "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=",
}  # fmt: skip


def resolve(xp: Any, op: str) -> Callable[..., Any]:
    """The function of a namespace that an instruction names."""
    if op in OPERATORS and op != "matmul":  # the function, which may be better than the operator
        return OPERATORS[op]
    if op == "check":
        return lambda check, *arrays: check(*arrays)
    for part in op.removeprefix("xp.").split("."):
        xp = getattr(xp, part)
    return xp  # type: ignore[no-any-return]


class Program:
    """A graph as a Python function of its inputs.

    Attributes:
        graph: the graph.
        source: the function's text.
        run: ``run(*inputs)`` gives the outputs, a tuple of raw arrays (None where the graph has None).
    """

    def __init__(self, graph: Graph, device: Device) -> None:
        self.graph = graph
        self.scope: dict[str, Any] = {"quiet": device.backend.quiet, "copy": device.backend.copy}
        self.scope["as_raw"] = lambda value: device.backend.as_raw(value, device)
        self.source = _Straight(graph, device, self.scope).text()
        exec(compile(self.source, f"<graph for {graph.device}>", "exec"), self.scope)
        self.run: Callable[..., tuple[Any, ...]] = self.scope["run"]


def runner(graph: Graph, device: Device, without: tuple[str, ...] = ()) -> Callable[..., tuple[Any, ...]]:
    """A graph as a function of its inputs, after all passes but some, by the backend's own executor where it has one."""
    graph = optimized(graph, device, without)
    own = device.backend.compile
    return Program(graph, device).run if own is None else own(graph, device)


def is_fresh(instruction: Instruction) -> bool:
    """Whether what an instruction makes is surely memory of its own."""
    return instruction.op.removeprefix("xp.") in FRESH


class Writer:
    """What writing a graph as Python takes: names for values, texts for arguments and calls."""

    def __init__(self, graph: Graph, device: Device, scope: dict[str, Any]) -> None:
        self.graph = graph
        self.xp = device.raw
        self.mutable = device.backend.mutable
        self.scope = scope
        self.names: dict[Value, str] = {}
        self.functions: dict[str, str] = {}
        self.functions_text: list[str] = []

    def name_inputs(self) -> None:
        """Names for what a run begins with."""
        for i, v in enumerate(self.graph.inputs):
            self.names[v] = f"i{i}"
        for i, (v, array) in enumerate(self.graph.constants.items()):
            self.names[v] = f"c{i}"
            self.scope[f"c{i}"] = array

    def outputs(self, fresh: Callable[[Instruction], bool] = is_fresh) -> list[str]:
        """What is returned: arrays of their own, which no input, constant or other output shares memory with."""
        made = self.graph.made_by()
        seen: set[Value] = set()
        texts = []
        for v in self.graph.outputs:
            if v is None:
                texts.append("None")
                continue
            text = self.names[v]
            if v.shape == () and v.dtype is not None:
                text = f"as_raw({text})"
            own = v in made and fresh(made[v]) and v not in seen
            seen.add(v)
            texts.append(text if own or not self.mutable else f"copy({text})")
        return texts

    def call(self, instruction: Instruction) -> str:
        """An instruction as an expression."""
        arguments = [self.argument(a) for a in instruction.args]
        sign = _SIGNS.get(instruction.op)
        if sign is not None and len(arguments) == 2:
            return f"{arguments[0]} {sign} {arguments[1]}"
        if instruction.op == "getitem":
            return f"{arguments[0]}[{arguments[1]}]"
        if instruction.op == "negative":
            return f"-{arguments[0]}"
        arguments += [f"{name}={self.argument(a)}" for name, a in instruction.kwargs]
        return f"{self.function(instruction.op)}({', '.join(arguments)})"

    def function(self, op: str) -> str:
        """The name of the function that an instruction names."""
        name = self.functions.get(op)
        if name is None:
            name = self.functions[op] = op.replace(".", "_") + "_"
            self.scope[name] = resolve(self.xp, op)
        return name

    def argument(self, tree: Any) -> str:
        """An argument as an expression."""
        if tree.__class__ is Value:
            return self.names[tree]
        if isinstance(tree, (tuple, list)):
            inner = ", ".join(map(self.argument, tree))
            if isinstance(tree, list):
                return f"[{inner}]"
            return f"({inner},)" if len(tree) == 1 else f"({inner})"
        if isinstance(tree, slice):
            return f"slice({', '.join(self.argument(p) for p in (tree.start, tree.stop, tree.step))})"
        if tree is None or tree is Ellipsis or tree.__class__ in (bool, int, str):
            return "..." if tree is Ellipsis else f"({tree!r})" if tree.__class__ is int and tree < 0 else repr(tree)
        if tree.__class__ in SCALARS and tree == tree and tree not in (float("inf"), -float("inf")):
            return f"({tree!r})"
        name = f"k{len(self.scope)}"
        self.scope[name] = tree
        return name


class _Straight(Writer):
    """Writes a graph's function, a line for each instruction."""

    def __init__(self, graph: Graph, device: Device, scope: dict[str, Any]) -> None:
        super().__init__(graph, device, scope)
        self.free: list[int] = []
        self.highest = 0

    def text(self) -> str:
        graph = self.graph
        self.name_inputs()
        lines = [f"def run({', '.join(self.names[v] for v in graph.inputs)}):", "    with quiet():"]
        for instruction, ended in zip(graph.instructions, graph.last_uses(), strict=True):
            lines.append("        " + self._line(instruction, ended))
        if not graph.instructions:
            lines[-1] = "    pass"
        returned = ", ".join(self.outputs())
        return "\n".join([*lines, f"    return ({returned}{',' if returned else ''})", ""])

    def _line(self, instruction: Instruction, ended: Sequence[Value]) -> str:
        call = self.call(instruction)
        dying = [v for v in ended if v in self.names]
        for v in dying:  # their names are free for what this line makes
            heapq.heappush(self.free, int(self.names[v][1:]))
        targets = []
        for v in instruction.outputs:
            number = heapq.heappop(self.free) if self.free else self.highest
            self.highest = max(self.highest, number + 1)
            self.names[v] = f"v{number}"
            targets.append(f"v{number}")
        for v in ended:
            if v not in dying:  # made and not taken
                heapq.heappush(self.free, int(self.names[v][1:]))
        if not targets:
            return call
        made = ", ".join(targets) + ("," if instruction.several and len(targets) == 1 else "")
        left = sorted({self.names[v] for v in dying} - set(targets))
        return f"{made} = {call}" + (f"; {' = '.join(left)} = None" if left else "")


def replay(graph: Graph, xp: Any, inputs: Sequence[Any], constants: Callable[[Any], Any]) -> list[Any]:
    """Run a graph call by call in any namespace: on Tensors (derivatives of what was compiled), inside vmap.

    Args:
        graph: the graph.
        xp: the namespace.
        inputs: what its functions take.
        constants: makes such a thing of an array that the graph holds.
    """
    known: dict[Value, Any] = dict(zip(graph.inputs, inputs, strict=True))
    known |= {v: constants(array) for v, array in graph.constants.items()}
    for instruction in graph.instructions:
        f = resolve(xp, instruction.op)
        args = [substituted(a, known.__getitem__) for a in instruction.args]
        made = f(*args, **{name: substituted(a, known.__getitem__) for name, a in instruction.kwargs})
        known.update(zip(instruction.outputs, made if instruction.several else (made,), strict=True))
    return [None if v is None else known[v] for v in graph.outputs]


_runs: WeakKeyDictionary[Graph, Callable[..., tuple[Any, ...]]] = WeakKeyDictionary()


def on_tensors(graph: Graph, known: dict[Value, Any], xp: Any, check: Callable[[Any, list[Any]], None]) -> list[Any]:
    """Apply a graph's instructions to Tensors, one op after the other; its outputs.

    Args:
        known: the Tensors of the inputs and constants; what is computed is added.
        xp: the namespace of ops.
        check: called with what a check instruction holds, and its Tensors.
    """
    for instruction in graph.instructions:
        if instruction.op == "check":
            holder, *arrays = instruction.args
            check(holder, [known[v] for v in arrays])
            continue
        f = resolve(xp, instruction.op)
        args = [substituted(a, known.__getitem__) for a in instruction.args]
        made = f(*args, **{name: substituted(a, known.__getitem__) for name, a in instruction.kwargs})
        known.update(zip(instruction.outputs, made if instruction.several else (made,), strict=True))
    return [None if v is None else known[v] for v in graph.outputs]


def run_graph(graph: Graph, args: Sequence[Any]) -> Any:
    """Call a graph with Tensors or arrays."""
    device = registry.device(graph.device)
    wanted = [v for v in graph.inputs if v not in graph.closed_over]
    if len(args) != len(wanted):
        raise TypeError(f"this graph takes {len(wanted)} arrays, got {len(args)}")
    given = iter(args)
    inputs = [graph.closed_over[v] if v in graph.closed_over else asarray(next(given)) for v in graph.inputs]
    mode, trace = get_mode(), running()
    for x in inputs:
        settle(x)
    if mode & WATCHED or any(is_level(x._device) for x in inputs):
        part_of_more = True
    else:
        part_of_more = bool(mode & GRAD) and any(x._node is not None for x in inputs)
    real = device if trace is None or device is not trace.device else trace.inner
    for v, x in zip(graph.inputs, inputs, strict=True):
        if x._device is not real and (not part_of_more or registry.is_loaded(x._device.backend)):
            raise DeviceError(f"input {v!r} lives on {x._device}, the graph is for {device}")
        if tuple(x.shape) != v.shape:
            raise ShapeError(f"input {v!r} has shape {tuple(x.shape)}, the graph was traced for {v.shape}")
        if x.dtype is not v.dtype:
            raise DTypeError(f"input {v!r} has dtype {x.dtype}, the graph was traced for {v.dtype}")
    if part_of_more:  # of a trace, a vmap or an eager graph: each op is applied to the Tensors
        made = _inlined(graph, device, inputs)
    else:
        run = _runs.get(graph)
        if run is None:
            run = _runs[graph] = runner(graph, device)
        made = [None if raw is None else new_saved(raw, None, device) for raw in run(*[x._value for x in inputs])]
    return tuple(made) if graph.structure is None else optree.tree_unflatten(graph.structure, made)


def _inlined(graph: Graph, device: Device, inputs: list[Any]) -> list[Any]:
    trace = running()
    known: dict[Value, Any] = dict(zip(graph.inputs, inputs, strict=True))
    if trace is not None:
        trace.enter_all(inputs)
    for v, array in graph.constants.items():
        raw, place = (array, device) if trace is None else (trace.constant(array), trace.device)
        known[v] = new_tensor(raw, None, place)

    def check(holder: Any, tensors: list[Any]) -> None:
        for x in tensors:
            while is_level(x._device):  # all examples are looked at together
                x = x._value.value
            if trace is None:
                holder.f(x)
            else:
                trace.check(holder.f, x)

    return on_tensors(graph, known, (device if trace is None else trace.device).xp, check)
