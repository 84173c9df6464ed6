"""Derivatives of static graphs: the graph is replayed on Tensors inside a trace, and the walks that eager code has note the rest.

No derivative rule is here: forward, backward and forward mode become one straight line, because a trace notes whatever is
called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import optree

from .. import registry
from ..core.cell import Cell, new_tensor
from ..core.node import leaf
from ..core.tape import pull, push, reachable
from ..errors import DTypeError, NoRuleError, TraceError
from .execute import on_tensors
from .ir import Graph, Instruction, Value
from .tracing import Trace, running, tracing

__all__ = ["jvp", "replayed", "vjp"]


class _Replayed(NamedTuple):
    """A graph's flow inside a trace: by Value the Tensors of its inputs, and what it returns."""

    trace: Trace
    inputs: dict[Value, Any]
    outputs: list[Any]


def _chosen(graph: Graph, name: str, argnums: int | Sequence[int] | None, closed_over: bool) -> list[Value]:
    """The inputs to differentiate by."""
    own = graph.own_inputs
    if argnums is None:
        chosen = [v for v in own if v.dtype is not None and v.dtype.inexact]
    else:
        chosen = []
        for i in (argnums,) if isinstance(argnums, int) else argnums:
            if not -len(own) <= i < len(own):
                raise ValueError(f"{name}: argnums has {i}, but the graph takes {len(own)} arrays")
            v = own[i]
            if v.dtype is None or not v.dtype.inexact:
                raise DTypeError(f"{name}: input {i} is {v.type}; only floating and complex arrays have derivatives")
            chosen.append(v)
    if closed_over:
        chosen += [
            v
            for v, x in graph.closed_over.items()
            if x.requires_grad and v.dtype is not None and v.dtype.inexact and v not in chosen
        ]
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"{name}: argnums names an input twice: {argnums}")
    return chosen


def replayed(graph: Graph, targets: Sequence[Value], trace: Trace) -> _Replayed:
    """Run the graph on Tensors that note their calls, those of ``targets`` as leaves."""
    device, native = trace.device, trace.inner.backend.to_native_dtype
    known: dict[Value, Any] = {}
    for v in graph.inputs:
        if v.dtype is None:
            known[v] = trace.number()
            continue
        traced = trace.input(v.shape, native(v.dtype), graph.names.get(v, ""))
        known[v] = new_tensor(traced, leaf(traced, device) if v in targets else None, device)
    inputs = dict(known)
    for v, array in graph.constants.items():
        known[v] = new_tensor(trace.constant(array), None, device)
    if any(instruction.op == "linalg.squared_often" for instruction in graph.instructions):
        raise NoRuleError(
            "expm: as part of a static graph it has no derivative, because how often it squares depends on values; trace "
            "the derivative instead: pg.trace(pg.grad(f), ...)"
        )

    def check(holder: Any, tensors: list[Any]) -> None:
        values = [x._value.value for x in tensors]
        trace.instructions.append(Instruction("check", (holder, *values), (), (), effect=True))

    outputs = on_tensors(graph, known, device.xp, check)
    return _Replayed(trace, inputs, outputs)


def _derived(graph: Graph, name: str, targets: list[Value], more: Callable[[_Replayed, list[Any]], list[Any]]) -> Graph:
    """The graph with what ``more`` notes behind it; ``more`` gives the raw arrays to return besides."""
    if running() is not None:
        raise TraceError(f"{name}: a function is being traced; derive the graph before, or use pg.{name} inside it")
    trace = Trace(registry.device(graph.device))
    with tracing(trace):
        flow = replayed(graph, targets, trace)
        raws = [x._value if isinstance(x, Cell) else x for x in flow.outputs]
        derived = more(flow, raws)
        made = trace.graph([*raws, *derived])
    closed = {_value_of(flow.inputs[v]): x for v, x in graph.closed_over.items()}
    structure = _pair(graph, len(derived))
    return made.with_(closed_over=closed, structure=structure)


def _value_of(x: Any) -> Value:
    return x._value.value  # type: ignore[no-any-return]


def _pair(graph: Graph, n: int) -> Any:
    """The structure of what the derived graph returns: the graph's own and a tuple of ``n``."""
    own: Any = (0,) * len(graph.outputs)
    if graph.structure is not None:
        own = optree.tree_unflatten(graph.structure, own)
    both: Any = (own, (0,) * n)
    return optree.tree_structure(both)


def _zeros(trace: Trace, v: Any) -> Any:
    return trace.device.raw.zeros(v.shape, dtype=trace.inner.backend.to_native_dtype(v.dtype))


def _inexact(v: Value | None) -> bool:
    return v is not None and v.dtype is not None and v.dtype.inexact


def vjp(graph: Graph, argnums: int | Sequence[int] | None, closed_over: bool) -> Graph:
    """See :meth:`Graph.vjp`."""
    targets = _chosen(graph, "vjp", argnums, closed_over)

    def more(flow: _Replayed, raws: list[Any]) -> list[Any]:
        trace = flow.trace
        roots, given = [], []
        for i, (v, x) in enumerate(zip(graph.outputs, flow.outputs, strict=True)):
            if v is None or v.dtype is None or not v.dtype.inexact:
                continue
            cotangent = trace.input(v.shape, raws[i].dtype, f"cotangent {i}")
            if x._node is not None:
                roots.append(x._node)
                given.append(cotangent)
        nodes = [flow.inputs[v]._node for v in targets]
        found = pull(roots, given, nodes, False)[0] if roots else {}
        return [found[n] if n in found else _zeros(trace, v) for n, v in zip(nodes, targets, strict=True)]

    return _derived(graph, "vjp", targets, more)


def jvp(graph: Graph, argnums: int | Sequence[int] | None, closed_over: bool) -> Graph:
    """See :meth:`Graph.jvp`."""
    targets = _chosen(graph, "jvp", argnums, closed_over)

    def more(flow: _Replayed, raws: list[Any]) -> list[Any]:
        trace = flow.trace
        start = {}
        for v in targets:
            x = flow.inputs[v]
            name = graph.names.get(v, "")
            start[x._node] = trace.input(v.shape, x._value.dtype, f"tangent {name}".rstrip())
        outputs = [(v, x) for v, x in zip(graph.outputs, flow.outputs, strict=True) if _inexact(v)]
        roots = [x._node for _, x in outputs if x._node is not None]
        known = push(reachable(roots, frozenset(start)), start, False)
        return [known[x._node] if x._node in known else _zeros(trace, v) for v, x in outputs]

    return _derived(graph, "jvp", targets, more)
