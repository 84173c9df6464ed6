"""Nodes: what the graph remembers of each op's application, and of the leaves where gradients end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from .locks import ForkLock

if TYPE_CHECKING:
    from .op import Op

__all__ = [
    "LEAF", "Node", "NodeExtra", "add_pin", "carry_retained", "extra_of", "is_leaf", "leaf", "next_seq", "reaches",
]  # fmt: skip

next_seq = count().__next__


class Node:
    """One op's application: a handle for the value it made, and what its rules need. A leaf (an input or a
    parameter, its op ``LEAF``) is a node that nothing made: gradients end there, in ``grad``, which only leaves have.

    ``parents`` has one entry per differentiable argument, None where that argument carries no graph.
    ``saved`` has, for each parent, the arguments of its rules; it is None once the graph was freed.
    ``shape``, ``dtype`` (the backend's) and ``device`` are the value's; ``seq`` grows with creation;
    ``pins`` (None, a pin or nested pairs of them) keeps borrowed memory read-only.
    """

    # One class for both: attributes of one type are what CPython reads fastest.
    __slots__ = ("__weakref__", "device", "dtype", "extra", "grad", "op", "parents", "pins", "saved", "seq", "shape")

    op: Op
    parents: tuple[Node | None, ...]
    saved: tuple[Any, ...] | None
    shape: tuple[int, ...]
    dtype: Any
    device: Any
    seq: int
    extra: NodeExtra | None
    pins: Any
    grad: Any

    @property
    def name(self) -> str:
        """The op's name."""
        return self.op.name

    @property
    def next_functions(self) -> tuple[tuple[Node, int], ...]:
        """The nodes of the arguments, in PyTorch's form."""
        return tuple((p, 0) for p in self.parents if p is not None)

    def __repr__(self) -> str:
        dtype = getattr(self.dtype, "name", None) or str(self.dtype).rpartition(".")[2]
        return f"<{self.op.name} -> {dtype}{list(self.shape)}>"


class NodeExtra:
    """What only some nodes need: hooks, a retained gradient, anomaly's notes."""

    __slots__ = ("checksums", "grad", "hooks", "retain", "where")

    def __init__(self) -> None:
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.grad: Any = None
        self.retain = False
        self.where: str | None = None
        self.checksums: list[tuple[Any, Any]] | None = None


def add_pin(node: Node, pin: Any) -> None:
    """Make a node keep a pin."""
    node.pins = pin if node.pins is None else (pin, node.pins)


def extra_of(node: Node) -> NodeExtra:
    """The node's NodeExtra, made if it has none."""
    if node.extra is None:
        with _making.held:  # two threads must not make one each: a hook would be lost
            if node.extra is None:
                node.extra = NodeExtra()
    return node.extra


_making: Final = ForkLock()


def reaches(nodes: Iterable[Node], targets: Collection[Node]) -> bool:
    """Whether one of the nodes depends on one of the targets."""
    if not targets:
        return False
    start = min(node.seq for node in targets)
    stack = list(nodes)
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in targets:
            return True
        if node.seq > start and node not in seen:
            seen.add(node)
            stack += [p for p in node.parents if p is not None]
    return False


def carry_retained(before: Node | None, after: Node | None) -> None:
    """Let a tensor that retains its gradient go on doing so, when a write gives it another node.

    ``.grad`` is then the gradient by the tensor as it is now.
    """
    if before is None or after is None or before is after or before.extra is None or not before.extra.retain:
        return
    if after.op is not LEAF:
        extra = extra_of(after)
        extra.retain, extra.grad = True, before.extra.grad
    before.extra.retain, before.extra.grad = False, None


class _LeafOp:
    name = "leaf"
    broadcasts = False
    multiple = False
    vjps = ()


LEAF: Final[Any] = _LeafOp()
"""The op of leaves."""


def is_leaf(node: Node | None) -> bool:
    """Whether a tensor's node is a leaf."""
    return node is not None and node.op is LEAF


def leaf(value: Any, device: Any) -> Node:
    """A new leaf for a raw value."""
    node = Node()
    node.op = LEAF
    node.parents = ()
    node.saved = ()
    node.shape = value.shape
    node.dtype = value.dtype
    node.device = device
    node.seq = next_seq()
    node.extra = None
    node.pins = None
    node.grad = None
    return node
