"""The two walks over the graph: backward (cotangents to the leaves) and forward (tangents from them).

Both walks run the same rules on raw arrays, or on Tensors when their result is to be differentiated again.
They visit each node once, in order of creation, never recurse, and change nothing until all is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, Final

from ..errors import AnomalyError, DeviceError, DTypeError, FreedGraphError, NoRuleError, ShapeError
from .cell import Cell, apart, new_tensor
from .cotangents import EntryParts, OutputParts, Parts, fit, pass_on
from .locks import ForkLock
from .modes import ANOMALY, get_mode
from .node import LEAF, Node, NodeExtra, extra_of
from .operands import tensor

__all__ = ["backward", "depends_outside", "deposit", "new_saved", "pull", "push", "reachable", "release"]

# -- the graph ---------------------------------------------------------------------------------------

_by_seq = attrgetter("seq")


def reachable(roots: Sequence[Node], stop: frozenset[Node] = frozenset()) -> list[Node]:
    """Every node the roots depend on, in order of creation; nodes in ``stop`` are included, not passed."""
    seen = set(roots)
    stack = list(seen)
    order: list[Node] = []
    found, see, push, take = order.append, seen.add, stack.append, stack.pop
    while stack:
        node = take()
        found(node)
        if stop and node in stop:
            continue
        for parent in node.parents:
            if parent is not None and parent not in seen:
                see(parent)
                push(parent)
    order.sort(key=_by_seq)
    return order


def _leading_to(order: list[Node], targets: frozenset[Node]) -> set[Node]:
    """Those of the nodes (in order of creation) from which a target is reached."""
    leading = set(targets)
    for node in order:
        if node not in leading:
            for parent in node.parents:
                if parent is not None and parent in leading:
                    leading.add(node)
                    break
    return leading


def depends_outside(roots: Sequence[Node], targets: frozenset[Node]) -> bool:
    """Whether derivatives of the roots by the targets can depend on any other graph: on what the targets
    were made of, or on another leaf that meets them on the way."""
    if any(target.parents for target in targets):
        return True
    order = reachable(roots, targets)
    leading = _leading_to(order, targets)
    return any(
        parent is not None and parent not in leading
        for node in order
        if node in leading and node not in targets
        for parent in node.parents
    )


def _rebuild(node: Node, index: int) -> tuple[Any, ...]:
    """The arguments of a node's rules for one parent, as Tensors that carry their graph."""
    op = node.op
    assert node.saved is not None
    made: list[Any] = []
    for value, source in zip(node.saved[index], op.sources[index], strict=True):
        if source is None or value is None:
            made.append(value)
        elif source < 0:
            made.append(op.rebuild_output(node, value))
        else:
            parent = node.parents[source]
            if type(value) in (int, float, complex, bool):
                made.append(value)
            else:
                made.append(new_saved(value, parent, node.device if parent is None else parent.device))
    return tuple(made)


def new_saved(value: Any, node: Node | None, device: Any) -> Any:
    """A Tensor on a value that a graph holds: writing through it must not touch the memory."""
    if value.__class__ is not device.array_type:  # NumPy's rules give scalars for 0-d arrays
        value = device.backend.as_raw(value, device)
    made = new_tensor(value, node, device)
    made._saved = True
    return made


def _freed(node: Node) -> FreedGraphError:
    return FreedGraphError(
        f"backward needs what {node.op.name!r} saved, but an earlier backward freed it; "
        "pass retain_graph=True to every backward over this graph but the last, or run the forward again"
    )


def _no_rule(node: Node, index: int, mode: str) -> NoRuleError:
    return NoRuleError(
        f"{node.op.name!r} has no {mode} rule for its argument {index}; detach the argument "
        "(x.detach()) if no derivative through it is wanted, or register a rule (see pg.custom_vjp)"
    )


def pull(
    roots: Sequence[Node],
    cotangents: Sequence[Any],
    targets: Sequence[Node] | None,
    create_graph: bool,
) -> tuple[dict[Node, Any], list[Node]]:
    """Run backward from the roots.

    Args:
        roots: nodes to start from.
        cotangents: one for each root: raw arrays, or Tensors if ``create_graph``.
        targets: the nodes to stop at and return cotangents of; None for all leaves.
        create_graph: run the rules on Tensors, so that the results carry a graph of their own.

    Returns:
        The cotangents of the targets (those that were reached), of nodes that retain theirs, and every node
        that was visited, whose saved arrays the caller may free (``release``).
    """
    stop = frozenset() if targets is None else frozenset(targets)
    order = reachable(roots, stop)
    walk = order if targets is None else _on_the_way(order, stop)
    grads: dict[Node, Any] = {}
    for node, g in zip(roots, cotangents, strict=True):
        grads[node] = grads[node] + g if node in grads else g
    try:
        with order[0].device.backend.quiet():
            found = _walk(walk, grads, stop, None if targets is None else set(walk), create_graph)
    finally:
        grads.clear()  # a traceback keeps the frames alive; the arrays must not live as long
    return found, order


def _on_the_way(order: list[Node], stop: frozenset[Node]) -> list[Node]:
    leading = _leading_to(order, stop)
    return [node for node in order if node in leading]


def backward(root: Node, seed: Any, keep: bool) -> None:
    """A plain backward: raw arrays, from one root to all leaves, whose ``grad`` grows. Every line here is paid
    for by every op of every step."""
    order, leaves = _ops_and_leaves(root)
    grads: dict[Any, Any] = {root: seed}
    try:
        with root.device.backend.quiet():
            cotangents = _walk_raw(order, grads)
            _add_leaves(cotangents, leaves, grads)
            _commit(cotangents, False)
    finally:
        grads.clear()  # a traceback keeps the frames alive; the arrays must not live as long
    if not keep:
        for node in order:
            node.saved = node.pins = None
            if node.extra is not None:
                node.extra.checksums = None


def _add_leaves(cotangents: list[tuple[Node, Any]], leaves: list[Node], grads: dict[Any, Any]) -> None:
    """Add the leaves that were reached to a walk's results, with their cotangents after their hooks."""
    for node in leaves:
        g = grads.get(node)
        if g is None:
            continue
        device = node.device
        if g.__class__ is not device.array_type:
            if g.__class__ in _PARTS:
                g = g.whole(device.raw, node)
            g = device.backend.as_raw(g, device)
        if node.extra is not None and node.extra.hooks:
            g = _run_hooks(node, node.extra, g, False)
        cotangents.append((node, g))


_committing: Final = ForkLock()


def _commit(cotangents: list[tuple[Node, Any]], create_graph: bool) -> None:
    """Add cotangents to the ``grad`` of their nodes: to all of them, or to none if anything is raised.

    One thread at a time does so: two that add to one leaf would lose one of the sums.
    """
    holders: list[Any] = []
    after: list[Any] = []
    with _committing.held:
        for node, g in cotangents:
            holder: Any = node if node.op is LEAF else extra_of(node)
            grad = holder.grad
            holders.append(holder)
            if create_graph:
                after.append(apart(g) if grad is None else grad + g)
                continue
            if grad is not None:
                g = grad._value + g
            device = node.device
            if g.__class__ is not device.array_type:  # NumPy's sums of 0-d arrays are scalars
                g = device.backend.as_raw(g, device)
            made: Any = new_tensor(g, None, device)
            made._saved = True
            after.append(made)
        # Without a step of Python's between them, so that no interrupt finds only some of them changed.
        any(map(setattr, holders, repeat("grad"), after))


def _ops_and_leaves(root: Node) -> tuple[list[Node], list[Node]]:
    """The nodes that ops made, in order of creation, and the leaves."""
    if root.op is LEAF:
        return [], [root]
    seen = {root}
    stack = [root]
    order: list[Node] = []
    leaves: list[Node] = []
    found, see, push, take, end = order.append, seen.add, stack.append, stack.pop, leaves.append
    while stack:
        node = take()
        found(node)
        for parent in node.parents:
            if parent is not None and parent not in seen:
                see(parent)
                if parent.op is LEAF:
                    end(parent)
                else:
                    push(parent)
    order.sort(key=_by_seq)
    return order, leaves


def _walk_raw(order: list[Node], grads: dict[Any, Any]) -> list[tuple[Node, Any]]:
    """The walk itself; returns the nodes that retain their cotangents, with these."""
    retained: list[tuple[Node, Any]] = []
    take, get = grads.pop, grads.get
    owned: set[Node] = set()
    parts = False
    for node in reversed(order):
        g = take(node, None)
        if g is None:
            continue
        if parts and g.__class__ in _PARTS:
            g = g.whole(node.device.raw, node)
        op = node.op
        extra = node.extra
        if extra is not None:
            if extra.hooks:
                g = _run_hooks(node, extra, g, False)
            if extra.retain:
                retained.append((node, g))
        saved = node.saved
        if saved is None:
            raise _freed(node)
        xp = node.device.raw
        for parent, rule, args in zip(node.parents, op.vjps, saved):
            if parent is None:
                continue
            if rule is None:
                raise _no_rule(node, node.parents.index(parent), "vjp")
            c = g if rule is pass_on else rule(xp, g, *args)
            before = get(parent)
            if op.partial:
                parts = True
                grads[parent] = c if before is None else c + before
                continue
            dtype = parent.dtype
            if (not op.same_shape and c.shape != parent.shape) or (c.dtype is not dtype and c.dtype != dtype):
                c = fit(xp, c, parent.shape, dtype) if op.broadcasts else _fitted(xp, c, node, parent)
            if before is None:
                grads[parent] = c
            elif parent in owned:
                before += c  # a sum made here, which nobody else has seen: in place where the library can
                grads[parent] = before
            else:
                grads[parent] = before + c
                owned.add(parent)
    return retained


def _walk(
    order: list[Node], grads: dict[Node, Any], stop: frozenset[Node], wanted: set[Node] | None, create_graph: bool
) -> dict[Node, Any]:
    """The walk in general: to chosen nodes, on Tensors, watching for anomalies."""
    found: dict[Node, Any] = {}
    anomaly = get_mode() & ANOMALY
    for node in reversed(order):
        g = grads.pop(node, None)
        if g is None:
            continue
        xp = node.device.xp if create_graph else node.device.raw
        if isinstance(g, Parts):
            g = g.whole(xp, node)
        if node.extra is not None:
            g = _noted(node, g, found, create_graph)
        if node.op is LEAF or node in stop:
            found[node] = g
            continue
        if node.saved is None:
            raise _freed(node)
        if anomaly and node.extra is not None and node.extra.checksums:
            _check_sums(node, node.extra.checksums)
        for index, parent in enumerate(node.parents):
            if parent is None or (wanted is not None and parent not in wanted):
                continue
            rule = node.op.vjps[index]
            if rule is None:
                raise _no_rule(node, index, "vjp")
            c = rule(xp, g, *(_rebuild(node, index) if create_graph else node.saved[index]))
            if not isinstance(c, Parts):
                if c.shape != parent.shape or c.dtype != parent.dtype:
                    c = _fitted(xp, c, node, parent)
                if anomaly:
                    _check_finite(c, node, "backward")
            before = grads.get(parent)
            grads[parent] = c if before is None else c + before if isinstance(c, Parts) else before + c
    return found


_PARTS: Final = frozenset({OutputParts, EntryParts})


def _fitted(xp: Any, c: Any, node: Node, parent: Node) -> Any:
    """A cotangent that has not its argument's shape and dtype yet."""
    if not node.op.broadcasts and c.shape != parent.shape:
        raise ShapeError(
            f"the vjp rule of {node.op.name!r} returned a cotangent of shape {tuple(c.shape)} for an argument of shape "
            f"{tuple(parent.shape)}"
        )
    return fit(xp, c, parent.shape, parent.dtype)


def _noted(node: Node, g: Any, found: dict[Node, Any], create_graph: bool) -> Any:
    """A node's cotangent after its hooks; kept where the node retains it."""
    extra = node.extra
    assert extra is not None
    if extra.hooks:
        g = _run_hooks(node, extra, g, create_graph)
    if extra.retain:
        found[node] = g
    return g


def _run_hooks(node: Node, extra: NodeExtra, g: Any, create_graph: bool) -> Any:
    for hook in tuple(extra.hooks.values()):
        result = hook(apart(g) if create_graph else new_saved(g, None, node.device))
        if result is not None:
            replaced = _in_place_of_gradient(node, result)
            g = replaced if create_graph else replaced._value
    return g


def _in_place_of_gradient(node: Node, result: Any) -> Any:
    """What a hook returned as a Tensor that stands for the gradient of a node's output.

    Raises:
        ShapeError, DTypeError, DeviceError: if it cannot.
    """
    where = f"a hook on the output of {node.op.name!r} returned a gradient of"
    result = tensor(result)
    if result._device is not node.device:
        lifted = node.device.backend.lift(result, node.device)
        if lifted is None:
            raise DeviceError(
                f"{where} device {result._device.name!r}; it must stay on {node.device.name!r}: g.to_device(...)"
            )
        result = lifted
    value = result._value
    if tuple(value.shape) != tuple(node.shape):
        raise ShapeError(f"{where} shape {tuple(value.shape)}; it must keep the shape {tuple(node.shape)}")
    if value.dtype != node.dtype:
        to_dtype = node.device.backend.to_dtype
        raise DTypeError(
            f"{where} dtype {to_dtype(value.dtype)}; it must keep the dtype {to_dtype(node.dtype)}: return "
            f'pg.astype(g, "{to_dtype(node.dtype)}")'
        )
    return apart(result)


def deposit(found: dict[Node, Any], create_graph: bool) -> None:
    """Add cotangents to the ``grad`` of leaves and of nodes that retain theirs."""
    _commit(list(found.items()), create_graph)


def release(order: Iterable[Node]) -> None:
    """Free what the nodes saved."""
    for node in order:
        if node.op is not LEAF:
            node.saved = node.pins = None
            if node.extra is not None:
                node.extra.checksums = None


def push(order: Sequence[Node], tangents: dict[Node, Any], create_graph: bool) -> dict[Node, Any]:
    """Run forward along nodes in order of creation, from the tangents of some of them.

    Args:
        order: the nodes, as :func:`reachable` gives them.
        tangents: the tangents to start from: raw arrays, or Tensors if ``create_graph``.
        create_graph: run the rules on Tensors.

    Returns:
        The tangents of all nodes that the starting ones lead to.
    """
    known = dict(tangents)
    quiet = order[0].device.backend.quiet() if order else None
    if quiet is not None:
        quiet.__enter__()
    try:
        for node in order:
            if node in known or not node.parents:
                continue
            op = node.op
            xp = node.device.xp if create_graph else node.device.raw
            total: Any = None
            for index, parent in enumerate(node.parents):
                t = known.get(parent) if parent is not None else None
                if t is None:
                    continue
                if node.saved is None:
                    raise _freed(node)
                rule = op.jvps[index]
                if rule is None:
                    raise _no_rule(node, index, "jvp")
                args = _rebuild(node, index) if create_graph else node.saved[index]
                c = rule(xp, t, *args)
                if c is None:
                    continue
                if op.multiple:
                    total = c if total is None else [_plus(a, b) for a, b in zip(total, c, strict=True)]
                else:
                    if c.shape != node.shape or c.dtype != node.dtype:
                        c = _stretch(xp, c, node)
                    total = c if total is None else total + c
            if total is not None:
                known[node] = total
    finally:
        if quiet is not None:
            quiet.__exit__(None, None, None)
    return known


def _plus(a: Any, b: Any) -> Any:
    return a if b is None else b if a is None else a + b


def _stretch(xp: Any, t: Any, node: Node) -> Any:
    """A tangent of one argument as part of the output's: cast and broadcast to it."""
    if t.dtype != node.dtype:
        t = xp.astype(t, node.dtype)
    if t.shape != node.shape:
        if not node.op.broadcasts:
            raise ShapeError(
                f"the jvp rule of {node.op.name!r} returned a tangent of shape {tuple(t.shape)}, "
                f"but the output has shape {tuple(node.shape)}"
            )
        t = xp.broadcast_to(t, node.shape)
    return t


# -- anomalies ---------------------------------------------------------------------------------------


def _check_finite(value: Any, node: Node, direction: str) -> None:
    raw = value._value if isinstance(value, Cell) else value  # not by attribute: JAX's arrays have a _value too
    bad = node.device.backend.not_finite(raw)
    if bad is not None:
        where = node.extra.where if node.extra is not None else None
        raise AnomalyError(
            f"{direction} of {node.op.name!r} made {bad}"
            + (
                f"; the op was called at {where}"
                if where
                else " (run the forward under detect_anomaly to see its line)"
            )
        )


def _check_sums(node: Node, checksums: list[tuple[Any, Any]]) -> None:
    for array, before in checksums:
        if node.device.backend.checksum(array) != before:
            where = node.extra.where if node.extra is not None else None
            raise AnomalyError(
                f"an array that {node.op.name!r} saved for its derivative was changed afterwards, outside polygrad"
                + (f"; the op was called at {where}" if where else "")
                + "; copy the array before changing it"
            )
