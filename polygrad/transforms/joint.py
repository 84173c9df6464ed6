"""Nodes whose backward gives the cotangents of all inputs at once: custom functions and checkpoints.

The walk knows rules for one argument each. Here the inputs are first gathered into one node with several
"outputs" (the inputs themselves), which a second node consumes: its one rule returns all cotangents together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.cell import Cell, new_tensor
from ..core.cotangents import OutputParts
from ..core.node import Node, next_seq
from ..core.op import Op, item_node
from ..core.tape import new_saved

__all__ = ["as_tensors", "joint_outputs", "unwrapped"]

Pull = Callable[[list[Any], bool], Sequence[Any]]
"""``pull(cotangents of the outputs or None, create_graph)``: the cotangents of the inputs, Tensors or None."""


def _node(op: Op, parents: tuple[Any, ...], saved: tuple[Any, ...], shape: Any, dtype: Any, device: Any) -> Node:
    node = Node()
    node.op, node.parents, node.saved = op, parents, saved
    node.shape, node.dtype, node.device = shape, dtype, device
    node.seq, node.extra, node.pins = next_seq(), None, None
    return node


def as_tensors(values: Sequence[Any], device: Any) -> list[Any]:
    """Cotangents as Tensors, whatever the walk runs on; None stays None."""
    return [v if v is None or isinstance(v, Cell) else new_saved(v, None, device) for v in values]


def unwrapped(values: Sequence[Any], create_graph: bool) -> list[Any]:
    """Tensors as the walk wants them."""
    return [v if v is None or create_graph else v._value for v in values]


def _gather_vjp(xp: Any, g: list[Any], index: int, shape: Any, dtype: Any) -> Any:
    found = g[index]
    return xp.zeros(shape, dtype=dtype) if found is None else found


def _gather_jvp(xp: Any, t: Any, index: int, shape: Any, dtype: Any, n: int) -> list[Any]:
    made: list[Any] = [None] * n
    made[index] = t
    return made


def joint_outputs(
    name: str,
    inputs: Sequence[Node],
    outputs: Sequence[Any],
    pull: Pull,
    push: Callable[[list[Any], bool], Sequence[Any]] | None,
    closed: Sequence[Node] = (),
    refuse: Callable[[Node], None] | None = None,
) -> tuple[list[Any], Node]:
    """Tensors on the raw ``outputs``, made by one custom node from the nodes ``inputs``; and that node.

    Args:
        name: what the graph calls it.
        inputs: the nodes of the differentiable inputs.
        outputs: Tensors without a graph; those of other than floating dtype stay so.
        pull: backward, see :data:`Pull`.
        push: the same for tangents, or None if the function has no forward mode.
        closed: other nodes that the outputs depend on.
        refuse: raises where a derivative by one of these is needed.
    """
    device = outputs[0]._device
    own_inputs = len(inputs)
    inputs = [*inputs, *closed]
    n = len(inputs)

    def refused(xp: Any, t: Any, index: int, *_: Any) -> Any:
        assert refuse is not None
        refuse(inputs[index])

    gather = Op("inputs", lambda xp, /: None, multiple=True)
    gather.vjps = (_gather_vjp,) * own_inputs + (refused,) * len(closed)
    own_jvp = lambda xp, t, index, shape, dtype: _gather_jvp(xp, t, index, shape, dtype, own_inputs)  # noqa: E731
    gather.jvps = (own_jvp,) * own_inputs + (refused,) * len(closed)
    gather.sources = ((None, None, None),) * n
    first = _node(
        gather,
        tuple(inputs),
        tuple((i, p.shape, p.dtype) for i, p in enumerate(inputs)),
        tuple(p.shape for p in inputs),
        tuple(p.dtype for p in inputs),
        device,
    )

    def vjp(xp: Any, g: list[Any]) -> OutputParts:
        create = any(isinstance(v, Cell) for v in g)
        found = pull(as_tensors(g, device), create)
        return OutputParts([(i, c) for i, c in enumerate(unwrapped(found, create)) if c is not None])

    def jvp(xp: Any, t: list[Any]) -> list[Any]:
        assert push is not None
        create = any(isinstance(v, Cell) for v in t)
        return unwrapped(push(as_tensors(t, device), create), create)

    own = Op(name, lambda xp, x, /: x, [vjp], [jvp if push is not None else None], multiple=True, partial=True)
    node = _node(
        own, (first,), ((),), tuple(x._value.shape for x in outputs), tuple(x._value.dtype for x in outputs), device
    )
    made = []
    for i, x in enumerate(outputs):
        inexact = x._value.dtype in x._device.inexact_dtypes
        made.append(new_tensor(x._value, item_node(node, i, x._value) if inexact else None, x._device))
        made[-1]._saved = True
    return made, node
