"""Passes: small functions from Graph to Graph that keep every value, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..backend import Device
from ..core.kernels import GENERIC
from ..ops.manipulation import broadcast_shapes
from .arrays import WHOLE
from .identities import axes_of, simplify, transpose
from .infer import ELEMENTWISE
from .ir import Graph, Instruction, Value, rewritten, substituted
from .memory import free_early, recompute

__all__ = [
    "PASSES",
    "common_subexpressions",
    "dead_code",
    "expand",
    "fold_constants",
    "free_early",
    "optimized",
    "push_broadcasts",
    "push_transposes",
    "recompute",
    "simplify",
    "stages",
]

_SMALL: Final = 1 << 16
_CREATION: Final = frozenset("zeros ones full eye arange linspace zeros_like ones_like full_like".split())
_COMMUTE: Final = frozenset("add multiply".split())
_NATURAL: Final = frozenset("matmul_2d zeros ones full".split())
_BROADCASTS: Final = frozenset("add subtract multiply divide maximum minimum".split())


def dead_code(graph: Graph) -> Graph:
    """Without instructions whose results nobody takes."""
    needed = {v for v in graph.outputs if v is not None}
    kept = []
    for instruction in reversed(graph.instructions):
        if instruction.effect or any(v in needed for v in instruction.outputs):
            needed.update(instruction.inputs)
            kept.append(instruction)
    constants = {v: a for v, a in graph.constants.items() if v in needed}
    return graph.with_(instructions=tuple(reversed(kept)), constants=constants)


def _key(tree: Any) -> Any:
    """An argument as something hashable; numbers by kind and sign."""
    if tree.__class__ is Value:
        return tree
    if isinstance(tree, (tuple, list)):
        return (type(tree), *map(_key, tree))
    if isinstance(tree, slice):
        return (slice, _key(tree.start), _key(tree.stop), _key(tree.step))
    return (tree.__class__, repr(tree) if isinstance(tree, (float, complex)) else tree)


def _order(arg: Any) -> tuple[int, str]:
    return (arg.number, "") if arg.__class__ is Value else (-1, repr(arg))


def common_subexpressions(graph: Graph) -> Graph:
    """What is computed twice from the same values is computed once."""
    known: dict[Any, tuple[Value, ...]] = {}
    same: dict[Value, Value] = {}
    kept = []
    for instruction in graph.instructions:
        now = rewritten(instruction, lambda v: same.get(v, v))
        if not now.effect:
            args = sorted(now.args, key=_order) if now.op in _COMMUTE else now.args
            key = (now.op, _key(tuple(args)), _key(now.kwargs))
            try:
                before = known.get(key)
            except TypeError:  # an argument that cannot be compared
                kept.append(now)
                continue
            if before is not None:
                same.update(zip(now.outputs, before, strict=True))
                continue
            known[key] = now.outputs
        kept.append(now)
    outputs = tuple(None if v is None else same.get(v, v) for v in graph.outputs)
    return graph.with_(instructions=tuple(kept), outputs=outputs)


def fold_constants(graph: Graph, device: Device) -> Graph:
    """Small arrays that are the same at each run are made now."""
    from .execute import resolve

    made: dict[Value, Any] = {}
    kept = []
    for instruction in graph.instructions:
        inputs = instruction.inputs
        fixed = instruction.op in _CREATION if not inputs else all(v in made for v in inputs)
        small = all(v.dtype is not None and v.size <= _SMALL for v in instruction.outputs)
        if fixed and small and not instruction.effect and not instruction.several:
            f = resolve(device.raw, instruction.op)
            args = substituted(instruction.args, made.__getitem__)
            with device.backend.quiet():
                value = f(*args, **{k: substituted(a, made.__getitem__) for k, a in instruction.kwargs})
            made[instruction.outputs[0]] = device.backend.as_raw(value, device)
        else:
            kept.append(instruction)
    return graph.with_(instructions=tuple(kept), constants={**graph.constants, **made})


def expand(graph: Graph, device: Device) -> Graph:
    """Generic kernels as what they are made of, which can be simplified and fused; those that a library has stay whole."""
    from .execute import resolve
    from .tracing import Trace, tracing

    own = device.backend.kernels
    several = {i.op for i in graph.instructions if i.op in GENERIC and i.op not in own and i.op not in WHOLE}
    several = {op for op in several if not op.startswith("special.")}
    if not several:
        return graph
    kept: list[Instruction] = []
    same: dict[Value, Any] = {}
    constants = dict(graph.constants)
    number = graph.next_number()
    for instruction in graph.instructions:
        now = rewritten(instruction, lambda v: same.get(v, v))
        if now.op not in several:
            kept.append(now)
            continue
        trace = Trace(device, in_parts=True)
        native = device.backend.to_native_dtype
        with tracing(trace):
            inside = {
                v: trace.number() if v.dtype is None else trace.input(v.shape, native(v.dtype))
                for v in dict.fromkeys(now.inputs)
            }
            kwargs = {name: substituted(arg, inside.__getitem__) for name, arg in now.kwargs}
            f = resolve(trace.device.raw, now.op)
            made = f(*substituted(now.args, inside.__getitem__), **kwargs)
        outside = dict(zip(trace.inputs, inside, strict=True))
        for v, array in trace.constants.items():
            outside[v] = Value(number, v.shape, v.dtype)
            constants[outside[v]] = array
            number += 1
        for part in trace.instructions:
            for v in part.outputs:
                outside[v] = Value(number, v.shape, v.dtype)
                number += 1
            kept.append(replace(rewritten(part, outside.__getitem__), outputs=tuple(outside[v] for v in part.outputs)))
        for v, x in zip(instruction.outputs, made if instruction.several else (made,), strict=True):
            same[v] = outside[x.value]
    outputs = tuple(None if v is None else same.get(v, v) for v in graph.outputs)
    return graph.with_(instructions=tuple(kept), constants=constants, outputs=outputs)


def push_broadcasts(graph: Graph) -> Graph:
    """Arithmetic of an array and a number takes the number as it was before it was broadcast.

    Numbers only, and beside arrays only: of two broadcast arrays NumPy would make a result in another memory order, in
    which later sums go.
    """
    wide = {i.outputs[0]: i.inputs[0] for i in graph.instructions if i.op == "broadcast_to"}
    kept = []
    for instruction in graph.instructions:
        now = instruction
        if instruction.op in _BROADCASTS and not instruction.kwargs:
            for i, arg in enumerate(instruction.args):
                source = wide.get(arg) if arg.__class__ is Value else None
                if source is None or source.shape != () or any(v in wide for v in instruction.inputs if v != arg):
                    continue
                args = (*now.args[:i], source, *now.args[i + 1 :])
                shapes = [a.shape for a in args if a.__class__ is Value]
                if broadcast_shapes(*shapes) == now.outputs[0].shape:
                    now = replace(now, args=args)
        kept.append(now)
    return graph.with_(instructions=tuple(kept))


def push_transposes(graph: Graph) -> Graph:
    """Elementwise work on transposed arrays is done on the arrays as they lie, and the result is transposed.

    NumPy goes through a transposed array in memory's order anyway, so values and memory orders stay the same; but what lies in
    its natural order can be done in planned buffers and blocks, and transposes that meet cancel. Of several arrays only
    those that surely lie alike: otherwise the result would lie in another order, in which later sums go.
    """
    made: dict[Value, Instruction] = {}
    natural: set[Value] = set()  # surely in C order
    number = graph.next_number()
    kept: list[Instruction] = []
    returned = set(graph.outputs)  # as views they would have to be copied
    for instruction in graph.instructions:
        pushed = instruction.op in ELEMENTWISE and returned.isdisjoint(instruction.outputs)
        moved = _before_transposes(instruction, made, natural, number) if pushed else None
        for i in (instruction,) if moved is None else moved:
            kept.append(i)
            made.update((v, i) for v in i.outputs)
            arrays = [v for v in i.inputs if v.dtype is not None and v.shape != ()]
            if i.op in _NATURAL or (i.op in ELEMENTWISE and arrays and natural.issuperset(arrays)):
                natural.update(i.outputs)
        number += moved is not None
    if len(kept) == len(graph.instructions):
        return graph
    return dead_code(simplify(graph.with_(instructions=tuple(kept))))  # transposes that met, and those nobody needs now


def _before_transposes(
    instruction: Instruction, made: dict[Value, Instruction], natural: set[Value], number: int
) -> tuple[Instruction, Instruction] | None:
    """An elementwise instruction of arrays that are all transposed alike, and the transpose behind it instead."""
    if len(instruction.outputs) != 1 or instruction.kwargs or instruction.effect:
        return None
    (out,) = instruction.outputs
    arrays = [v for v in instruction.inputs if v.dtype is not None and v.shape != ()]
    found = {axes_of(made.get(v)) for v in arrays}
    if len(found) != 1 or any(v.shape != out.shape for v in arrays):
        return None
    (axes,) = found
    sources = {made[v].args[0] for v in arrays} if axes is not None else set()
    if axes is None or (len(sources) > 1 and not natural.issuperset(sources)):
        return None
    lying = Value(number, made[arrays[0]].args[0].shape, out.dtype)
    args = substituted(instruction.args, lambda v: made[v].args[0] if v in arrays else v)
    return replace(instruction, args=args, outputs=(lying,)), transpose(lying, axes, out)


_ALL: Final[dict[str, Callable[[Graph, Device], Graph]]] = {
    "expand": expand,
    "simplify": lambda graph, device: simplify(graph),
    "fold_constants": fold_constants,
    "push_broadcasts": lambda graph, device: push_broadcasts(graph),
    "push_transposes": lambda graph, device: push_transposes(graph),
    "common_subexpressions": lambda graph, device: common_subexpressions(graph),
    "dead_code": lambda graph, device: dead_code(graph),
    "recompute": lambda graph, device: recompute(graph),
    "free_early": lambda graph, device: free_early(graph),
}

PASSES: Final = tuple(_ALL)
"""The passes in the order in which :func:`optimized` runs them."""


def optimized(graph: Graph, device: Device, leave_out: tuple[str, ...] = ()) -> Graph:
    """The graph after all passes but some."""
    return stages(graph, device, leave_out)[-1][1]


def stages(graph: Graph, device: Device, leave_out: tuple[str, ...] = ()) -> list[tuple[str, Graph]]:
    """The graph as it was traced, and after each pass but some, with the passes' names."""
    found = [("traced", graph)]
    for name, run in _ALL.items():
        if name not in leave_out:
            graph = run(graph, device)
            found.append((name, graph))
    return found
