"""Checkpoint: keep a function's inputs, not its intermediates, and run it again when backward comes by."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import optree

from ..core.cell import Cell, new_tensor, settle
from ..core.drawing import Draws
from ..core.modes import GRAD, enable_grad, get_mode
from ..core.node import Node, leaf, next_seq
from ..core.tape import new_saved, pull, push, reachable
from ..ops.creation import asarray
from .inputs import flatten, fresh
from .joint import joint_outputs
from .rules import frontier

__all__ = ["checkpoint"]

P = ParamSpec("P")
R = TypeVar("R")


def checkpoint(f: Callable[P, R]) -> Callable[P, R]:
    """``f`` with less memory and more time: backward runs it again instead of keeping what it computed.

    Tensors that ``f`` reaches through closures (a module's parameters) get their gradients too. The second run draws
    the random numbers of the first (``pg.random``, dropout), and leaves the generators where they are. In everything
    else ``f`` must give the same values when called again.

    >>> import polygrad as pg
    >>> pg.grad(pg.checkpoint(lambda x: pg.sin(pg.sin(x))))(0.5)
    0.7786439483717...
    """

    @functools.wraps(f)
    def checkpointed(*args: P.args, **kwargs: P.kwargs) -> R:
        if not get_mode() & GRAD:
            return f(*args, **kwargs)
        leaves, structure = flatten((args, kwargs))
        return _run(f, leaves, structure)  # type: ignore[no-any-return]

    return checkpointed


def _again(f: Callable[..., Any], leaves: Sequence[Any], structure: Any, create_graph: bool) -> tuple[Any, list[Any]]:
    """Run ``f`` recording its graph; its tracked inputs are fresh nodes."""
    called = []
    inputs = []
    for x in leaves:
        if isinstance(x, Cell) and x._node is not None:
            if create_graph:
                x = fresh("checkpoint", x, "an input")
            else:
                x = new_saved(x._value, leaf(x._value, x._device), x._device)
            inputs.append(x._node)
        called.append(x)
    with enable_grad():
        args, kwargs = optree.tree_unflatten(structure, called)
        return f(*args, **kwargs), inputs


def _run(f: Callable[..., Any], leaves: list[Any], structure: Any) -> Any:
    for x in leaves:
        if isinstance(x, Cell):
            settle(x)
    # The inputs as they are now: handles may be written to before backward comes.
    kept = [new_saved(x._value, x._node, x._device) if isinstance(x, Cell) else x for x in leaves]
    start = next_seq()
    draws = Draws()
    with draws.recorded():
        result, own = _again(f, kept, structure, False)
    outputs, out_structure = flatten(result)
    outputs = [x if isinstance(x, Cell) else asarray(x) for x in outputs]
    roots = [x._node for x in outputs if x._node is not None]
    if not roots:
        return result
    fresh_inputs = frozenset(own)
    closed_over = [n for n in frontier(roots, start) if n not in fresh_inputs]
    plain = [new_tensor(x._value, None, x._device) for x in outputs]
    del result, outputs, own, roots  # the graph of this run goes now
    nodes: list[Node] = [x._node for x in kept if isinstance(x, Cell) and x._node is not None] + closed_over

    def rerun(create_graph: bool) -> tuple[list[Any], list[Node]]:
        with draws.repeated():
            again, inputs = _again(f, kept, structure, create_graph)
        made = [x if isinstance(x, Cell) else asarray(x) for x in flatten(again)[0]]
        return made, inputs + closed_over

    def pulled(g: list[Any], create_graph: bool) -> list[Any]:
        made, targets = rerun(create_graph)
        pairs = [(x._node, v) for x, v in zip(made, g, strict=True) if x._node is not None and v is not None]
        found: dict[Any, Any] = {}
        if pairs:
            seeds = [v if create_graph else v._value for _, v in pairs]
            found, _ = pull([n for n, _ in pairs], seeds, targets, create_graph)
        return [_tensor(found.get(n), n) for n in targets]

    def pushed(t: list[Any], create_graph: bool) -> list[Any]:
        made, sources = rerun(create_graph)
        start_at = {n: (v if create_graph else v._value) for n, v in zip(sources, t, strict=True) if v is not None}
        order = reachable([x._node for x in made if x._node is not None], frozenset(sources))
        known = push(order, start_at, create_graph)
        return [None if x._node is None else _tensor(known.get(x._node), x._node) for x in made]

    joined, _ = joint_outputs("checkpoint", nodes, plain, pulled, pushed)
    return optree.tree_unflatten(out_structure, joined)


def _tensor(value: Any, node: Node) -> Any:
    return value if value is None or isinstance(value, Cell) else new_saved(value, None, node.device)
