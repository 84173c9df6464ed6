"""A cell: what the graph knows of a Tensor, and how views and writes in place keep it right.

A Tensor is a handle (a cell) on a value. Nodes refer to values, never to cells, and the values in a graph
never change: writing through a cell puts a new value in it, or writes into memory where no graph can see it.

A view remembers its base and how to make itself again (``replay``) and how to put itself back into the base
(``write_back``). The base has a version; a view that finds its base's version changed makes itself again,
graph and all, the next time it is used. This gives NumPy's and PyTorch's aliasing on immutable libraries too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .locks import ForkLock
from .node import carry_retained

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = [
    "Borrowed",
    "Cell",
    "Extra",
    "Pin",
    "apart",
    "bind",
    "borrow",
    "enter",
    "extra_of",
    "link_view",
    "mark_saved",
    "new_tensor",
    "provide_enter",
    "replace",
    "root_of",
    "settle",
    "share_borrowed",
]


class Cell:
    """The slots of a Tensor.

    ``_value`` the backend's array; ``_node`` the graph node that made it, a Leaf, or None; ``_device`` the
    :class:`~polygrad.backend.Device`; ``_saved`` whether some graph may hold this memory, so that the next
    write must not touch it; ``_extra`` None for nearly every tensor (views, their bases, borrowed memory).
    """

    __slots__ = ("__weakref__", "_device", "_extra", "_node", "_saved", "_value")

    _value: Any
    _node: Any
    _device: Any
    _saved: bool
    _extra: Extra | None


class Extra:
    """What only some cells need."""

    __slots__ = ("base", "borrowed", "copies", "replay", "seen", "version", "write_back")

    def __init__(self) -> None:
        self.base: Cell | None = None  # the cell this one is a view of
        self.replay: Callable[[Any], Any] | None = None  # base -> this view's tensor
        self.write_back: Callable[[Any, Any], Any] | None = None  # (base, this view) -> the base's new tensor
        self.seen = 0  # the base's version this view was made from
        self.version = 0  # how often this cell's value was replaced
        self.borrowed: Borrowed | None = None  # the user's own array, whose memory this cell shares
        self.copies = False  # whether some view of it, in another dtype, has memory of its own


class Borrowed:
    """An array of the user's, whose memory cells share.

    Attributes:
        array: the array.
        lock: makes it read-only (False), or writable again (True); None where that is impossible.
        pins: how many nodes hold its memory.
    """

    __slots__ = ("array", "lock", "pins")

    def __init__(self, array: Any, lock: Callable[[bool], None] | None) -> None:
        self.array = array
        self.lock = lock
        self.pins = 0


_pinning: Final = ForkLock()


class Pin:
    """Held by the nodes that saved borrowed memory. The first one makes the user's array read-only, the death
    of the last makes it writable again."""

    __slots__ = ("_borrowed",)

    def __init__(self, borrowed: Borrowed) -> None:
        with _pinning.held:
            self._borrowed = borrowed
            borrowed.pins += 1
            if borrowed.pins == 1 and borrowed.lock is not None:
                borrowed.lock(False)

    def __del__(self, pinning: ForkLock = _pinning) -> None:  # when the interpreter ends, modules are empty
        borrowed = self._borrowed
        with pinning.held:  # reentrant: the collector may bring a thread here while it makes a pin
            borrowed.pins -= 1
            if borrowed.pins == 0 and borrowed.lock is not None:
                borrowed.lock(True)


_tensor_type: type = Cell
_new = object.__new__


def bind(tensor_type: type) -> None:
    """Tell the core which class to make tensors of (called once, by ``polygrad.tensor``)."""
    global _tensor_type
    _tensor_type = tensor_type


def new_tensor(value: Any, node: Any, device: Any) -> Tensor:
    """A Tensor on a value, made by a node."""
    cell: Any = _new(_tensor_type)
    cell._value = value
    cell._node = node
    cell._device = device
    cell._saved = False
    cell._extra = None
    return cell  # type: ignore[no-any-return]


def extra_of(cell: Cell) -> Extra:
    """The cell's Extra, made if it has none."""
    if cell._extra is None:
        cell._extra = Extra()
    return cell._extra


def link_view(view: Cell, base: Cell, replay: Callable[[Any], Any], write_back: Callable[[Any, Any], Any]) -> None:
    """Make ``view`` follow ``base``."""
    extra = extra_of(view)
    extra.base = base
    extra.replay = replay
    extra.write_back = write_back
    extra.seen = extra_of(base).version


def root_of(cell: Cell) -> Cell:
    """The cell whose memory this one's is part of."""
    while cell._extra is not None and cell._extra.base is not None:
        cell = cell._extra.base
    return cell


_enter: Callable[[Any], bool] | None = None


def provide_enter(function: Callable[[Any], bool]) -> None:
    """Say what makes a Tensor an input of the running trace (``polygrad.graph``)."""
    global _enter
    _enter = function


def enter(*cells: Any) -> bool:
    """While a function is traced: make tensors that it reached from outside inputs of its graph; says whether
    there were any. An op that was computed on such tensors is then applied again."""
    assert _enter is not None
    entered = [_enter(x) for x in cells]  # every one of them, whatever the first says
    return any(entered)


def settle(cell: Cell) -> None:
    """Bring a view up to date with its base (a no-op for everything else)."""
    chain = []
    extra = cell._extra
    while extra is not None and extra.base is not None:
        chain.append((cell, extra))
        cell = extra.base
        extra = cell._extra
    for view, own in reversed(chain):
        base = own.base
        assert base is not None
        assert base._extra is not None
        if base._extra.version != own.seen:
            assert own.replay is not None
            made = own.replay(base)
            carry_retained(view._node, made._node)
            view._value, view._node, view._saved = made._value, made._node, made._saved
            view._device = made._device  # the base may have moved (nn.Module.to)
            own.seen = base._extra.version
            own.version += 1


def mark_saved(cell: Cell) -> Any:
    """Note that a graph holds this cell's memory; for borrowed memory, the pin the node must keep."""
    cell._saved = True
    extra = cell._extra
    while extra is not None and extra.base is not None:
        cell = extra.base
        cell._saved = True
        extra = cell._extra
    if extra is None or extra.borrowed is None:
        return None
    return Pin(extra.borrowed)


def apart(cell: Any) -> Any:
    """A handle of its own on a tensor's value and graph, which no write by whoever holds the tensor reaches.

    A write through either handle makes a copy first. Memory that is the user's is copied now.
    """
    settle(cell)
    value = cell._value
    root: Cell = cell
    root._saved = True
    while root._extra is not None and root._extra.base is not None:
        root = root._extra.base
        root._saved = True
    if root._extra is not None and root._extra.borrowed is not None:
        value = cell._device.backend.copy(value)
    handle = new_tensor(value, cell._node, cell._device)
    handle._saved = True
    return handle


def borrow(cell: Cell, array: Any, lock: Callable[[bool], None] | None) -> None:
    """Note that a cell's memory is the user's ``array``; ``lock(writable)`` protects it, where that is possible."""
    extra_of(cell).borrowed = Borrowed(array, lock)


def share_borrowed(source: Cell, target: Cell) -> None:
    """Give a second handle on a value the protection of the memory that the first one borrowed."""
    extra = root_of(source)._extra
    if extra is not None and extra.borrowed is not None:
        extra_of(target).borrowed = extra.borrowed


def replace(cell: Cell, made: Any, keep_node: bool) -> None:
    """Put the value of the tensor ``made`` into a cell; its base and its views follow.

    Args:
        keep_node: leave the graph node as it is (writing under ``no_grad``).
    """
    extra = cell._extra
    if extra is not None and extra.base is not None:
        assert extra.write_back is not None
        replace(extra.base, extra.write_back(extra.base, made), keep_node)
        settle(cell)
        return
    cell._value = made._value
    cell._saved = made._saved
    if not keep_node:
        carry_retained(cell._node, made._node)
        cell._node = made._node
    if extra is not None:
        extra.version += 1
        extra.borrowed = None
