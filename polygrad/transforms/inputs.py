"""What all transforms share: arguments in, recorded outputs, results back in kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import optree

from .. import registry
from ..core.cell import Cell, apart, enter, new_tensor, settle, share_borrowed
from ..core.leaving import differentiating
from ..core.modes import GRAD, TRACE, enable_grad, get_mode, no_grad
from ..core.node import Node, is_leaf, leaf, next_seq
from ..core.op import Op
from ..core.operands import reconciled
from ..core.tape import reachable
from ..errors import DTypeError, ShapeError
from ..ops.creation import asarray, to_tensor
from ..ops.data_types import astype
from .batching import innermost, is_level, lifted, tracked

__all__ = [
    "Kinds", "Recorded", "cotangent_for", "flatten", "in_kind", "is_array", "kinds_of", "record", "returns_in_kind",
    "split_arguments", "zeros_for",
]  # fmt: skip

_INPUT: Final = Op("input", lambda xp, x, /: x, [lambda xp, g: g], [lambda xp, t: t])

_is_none: Callable[[Any], bool] = lambda x: x is None  # noqa: E731


class Kinds(NamedTuple):
    """How a transform's function treats what is no Tensor: its results are of the kind of its arguments.

    Attributes:
        argnums: the positional arguments that are differentiated.
        value_first: whether a pair is returned whose first part is the function's own value.
    """

    argnums: tuple[int, ...]
    value_first: bool = False


_kinds: WeakKeyDictionary[Callable[..., Any], Kinds] = WeakKeyDictionary()

F = TypeVar("F", bound="Callable[..., Any]")


def returns_in_kind(f: F, argnums: int | Sequence[int] = (), value_first: bool = False) -> F:
    """Note that a function's results are of the kind of its arguments; returns it."""
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    _kinds[f] = Kinds(chosen, value_first)
    return f


def kinds_of(f: Any) -> Kinds | None:
    """What :func:`returns_in_kind` noted of a function; None for one that it does not know."""
    try:
        return _kinds.get(f)
    except TypeError:  # an object that nobody can refer to weakly, or that has no hash
        return None


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of a pytree and its structure; None is a leaf-less node."""
    leaves, structure = optree.tree_flatten(tree)
    return list(leaves), structure


def is_array(x: Any) -> bool:
    """Whether a pytree's leaf is a Tensor or some backend's array."""
    return isinstance(x, Cell) or registry.owner(x) is not None


def fresh(name: str, x: Any, where: str) -> Any:
    """A Tensor on a differentiated input's value that is a new node of the graph, joined to the outer one."""
    outer = x if isinstance(x, Cell) else None
    if outer is None:
        if not is_array(x) and not isinstance(x, (float, complex)):
            raise DTypeError(
                f"{name}: {where} is {x!r} of type {type(x).__name__}; only floating numbers and arrays have derivatives. "
                "Pass a float or a floating array, or choose other argnums"
            )
        outer = to_tensor(x)
    if get_mode() & TRACE:
        enter(outer)
    settle(outer)
    outer = lifted(outer, innermost(outer._device))
    device, value = outer._device, outer._value
    if value.dtype not in device.inexact_dtypes:
        raise DTypeError(
            f"{name}: {where} has dtype {device.backend.to_dtype(value.dtype)}, which has no derivative; only floating dtypes "
            'do. Cast it (pg.astype(x, "float64")), or choose other argnums'
        )
    made = new_tensor(value, None, device)
    made._saved = True
    share_borrowed(outer, made)  # the user's memory stays protected
    if outer._node is not None and get_mode() & GRAD:
        node = Node()
        node.op = _INPUT
        node.parents = (outer._node,)
        node.saved = ((),)
        node.shape, node.dtype, node.device = value.shape, value.dtype, device
        node.seq, node.extra, node.pins = next_seq(), None, None
        made._node = node
    else:
        made._node = leaf(value, device)
    return made


class Recorded:
    """A function's run: its inputs' nodes, its outputs, and whether outer graphs met it."""

    def __init__(self, f: Callable[[list[Any]], Any], name: str, inputs: Sequence[Any], where: Sequence[str]) -> None:
        outside_grad = bool(get_mode() & GRAD)
        self._start = next_seq()
        self.tensors = [fresh(name, x, w) for x, w in zip(inputs, where, strict=True)]
        self.inputs: list[Node] = [x._node for x in self.tensors]
        with enable_grad(), differentiating(self.inputs):
            self.result = f(self.tensors)
        self._outside_grad = outside_grad
        self.met = False  # whether a rule's closures are part of an outer graph

    def meets(self, closures: Sequence[Node]) -> bool:
        """Whether what rules close over is part of an outer graph."""
        if closures and self._outside_grad:
            self.met = self.met or self._from_outside(closures)
        return self.met and bool(closures)

    def outputs(self, tree: Any) -> tuple[list[Any], Any]:
        """The output leaves as Tensors, and their structure."""
        leaves, structure = flatten(tree)
        tensors = [x if isinstance(x, Cell) else asarray(x) for x in leaves]
        for x in tensors:
            settle(x)
        return tensors, structure

    def nested(self, tensors: Iterable[Any]) -> bool:
        """Whether derivatives of these outputs may be part of an outer graph."""
        if not self._outside_grad:
            return False
        if any(node.parents for node in self.inputs):
            return True
        roots = [x._node for x in tensors if x._node is not None]
        return self._from_outside(roots)

    def _from_outside(self, roots: Sequence[Node]) -> bool:
        """Whether leaves that were there before the run lead to nodes."""
        # Leaves made meanwhile are the inputs, and those of transforms inside: nobody asks for their gradients.
        return any(is_leaf(n) and n.seq < self._start for n in reachable(roots, frozenset(self.inputs)))


def record(
    name: str, f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], argnums: Sequence[int]
) -> tuple[Recorded, list[Any], list[Any]]:
    """Run ``f`` with the arguments ``argnums`` replaced by fresh leaves.

    Returns:
        The run, the differentiated arguments' leaves, and their structures.
    """
    flat: list[Any] = []
    where: list[str] = []
    shapes: list[Any] = []
    for i in argnums:
        leaves, structure = flatten(args[i])
        flat.extend(leaves)
        where.extend([f"argument {i}" + (f", leaf {k}" if len(leaves) > 1 else "") for k in range(len(leaves))])
        shapes.append(structure)

    def run(tensors: list[Any]) -> Any:
        called = list(args)
        position = 0
        for i, structure in zip(argnums, shapes, strict=True):
            n = structure.num_leaves
            called[i] = optree.tree_unflatten(structure, tensors[position : position + n])
            position += n
        return f(*called, **kwargs)

    return Recorded(run, name, flat, where), flat, shapes


def split_arguments(name: str, argnums: int | Sequence[int], n: int) -> list[int]:
    """``argnums`` counted from the front, checked against the number of arguments."""
    chosen = [argnums] if isinstance(argnums, int) else list(argnums)
    for i in chosen:
        if not -n <= i < n:
            raise TypeError(f"{name}: argnums={argnums} but the function was called with {n} positional arguments")
    return [i % n for i in chosen]


def all_raw(*trees: Any) -> bool:
    """Whether no argument is a Tensor, so that results go back as raw arrays."""
    return not any(isinstance(x, Cell) for tree in trees for x in flatten(tree)[0])


def in_kind(tensor: Any, like: Any, keep_graph: bool) -> Any:
    """A result as its input was: a raw array for a raw array, a Python number for one, else a Tensor.

    Args:
        like: the input, or True for raw and False for Tensors.
        keep_graph: the result is part of an outer graph, which only a Tensor can carry.
    """
    if not isinstance(tensor, Cell):
        return tensor
    settle(tensor)
    if keep_graph and tensor._node is not None:
        return tensor
    if is_level(tensor._device):  # what is inside a vmap stays a Tensor
        return new_tensor(tensor._value, None, tensor._device)
    if tensor._node is not None:
        tensor = tensor.detach()  # type: ignore[attr-defined]
    if like is False or isinstance(like, Cell):
        return tensor
    if tensor._device.backend.stands_for is not None:  # a trace, whose values are not known yet
        return tensor
    number = isinstance(like, (float, complex)) and not hasattr(like, "dtype")
    if number and tuple(tensor._value.shape) == ():
        return tensor.item()
    value = tensor._value
    return tensor._device.backend.copy(value) if tensor._saved and tensor._device.backend.mutable else value


def tree_in_kind(tree: Any, like: Any, keep_graph: bool) -> Any:
    """Every Tensor of a pytree in kind."""
    leaves, structure = flatten(tree)
    return optree.tree_unflatten(structure, [in_kind(x, like, keep_graph) for x in leaves])


def check_holomorphic(name: str, inputs: Iterable[Any], outputs: Iterable[Any]) -> None:
    """Refuse to take f'(z) where arguments or results are real: their gradient would lack its imaginary part."""
    for what, tensors in (("argument", inputs), ("output", outputs)):
        for x in tensors:
            if x.dtype.kind != "c":
                raise DTypeError(
                    f"{name}: holomorphic=True is for complex numbers, but an {what} has dtype {x.dtype}; cast it to a "
                    "complex dtype, or leave holomorphic out"
                )


def zeros_for(tensor: Any) -> Any:
    """Zeros like a Tensor, without a graph."""
    device = tensor._device
    return new_tensor(device.raw.zeros(tuple(tensor._value.shape), dtype=tensor._value.dtype), None, device)


def on_tensors(nested: bool, given: Iterable[Any], values: Iterable[Any]) -> tuple[bool, AbstractContextManager[Any]]:
    """Whether rules must run on Tensors: for the sake of an outer graph, or because the cotangents or tangents
    given are of a vmap that the values know nothing of; and the scope to run them in."""
    pairs = [(g, x) for g, x in zip(given, values, strict=True) if g is not None]
    graph = nested or any(tracked(g) for g, _ in pairs)
    above = any(g._device is not (x.device if isinstance(x, Node) else x._device) for g, x in pairs)
    if nested or any(g._node is not None for g, _ in pairs):
        return True, nullcontext()
    return above, nullcontext() if graph or not above else no_grad()


def cotangent_for(name: str, given: Any, tensor: Any, what: str) -> Any:
    """A cotangent or tangent as a Tensor, checked against the value it belongs to."""
    made: Any = given if isinstance(given, Cell) else asarray(given)
    settle(made)
    if made._device is not tensor._device:
        if not is_array(given):
            made = made.to_device(tensor._device)
        else:
            found = lifted(made, tensor._device)
            made = reconciled(name, tensor, made)[1] if found is None else found
    if tuple(made._value.shape) != tuple(tensor._value.shape):
        raise ShapeError(
            f"{name}: {what} has shape {tuple(made._value.shape)}, but the value it belongs to has shape "
            f"{tuple(tensor._value.shape)}; they must be equal"
        )
    if made._value.dtype != tensor._value.dtype:
        if made.dtype.kind == "c" and tensor.dtype.kind != "c":
            raise DTypeError(f"{name}: {what} is {made.dtype}, but the value it belongs to is {tensor.dtype}")
        made = astype(made, tensor._value.dtype)
    return apart(made)  # the results may be views of it, and it is the caller's
