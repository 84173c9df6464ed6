"""Checks on functions with rules of their own: how they are called, what they close over, what rules return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..core.cell import Cell, new_tensor
from ..core.node import Node
from ..errors import DTypeError, GradientError, ShapeError
from ..ops.creation import asarray
from .inputs import flatten

__all__ = [
    "closed_over", "cotangent_leaves", "cotangent_like", "frontier", "name_of", "note_closures", "noted_closures", "pair_of",
    "positional", "refuse_closed", "signature_of", "spec_of", "tangent_leaves", "zeros_of",
]  # fmt: skip


def name_of(rule: Any) -> str:
    """How an error calls a rule."""
    return str(getattr(rule, "__name__", None) or repr(rule))


def signature_of(f: Callable[..., Any]) -> inspect.Signature | None:
    """A function's signature, or None where Python does not know it."""
    try:
        return inspect.signature(f)
    except (TypeError, ValueError):
        return None


def positional(
    name: str, signature: inspect.Signature | None, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """All arguments of a call by position, with those that have defaults.

    Raises:
        TypeError: if an argument has no position, or the arguments are not the function's.
    """
    if signature is None:
        if kwargs:
            raise TypeError(
                f"{name}: was called with {', '.join(kwargs)} by name, but has no signature to find their positions; pass them "
                "by position"
            )
        return tuple(args)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"{name}: the arguments {', '.join(bound.kwargs)} can only be given by name, and rules take arguments by position; "
            f"let {name} take them by position"
        )
    return bound.args


def spec_of(x: Any) -> Any:
    """A Tensor's shape, dtype and device."""
    return tuple(x._value.shape), x._value.dtype, x._device


def zeros_of(spec: Any) -> Any:
    """Zeros of a shape, dtype and device."""
    shape, dtype, device = spec
    return new_tensor(device.raw.zeros(shape, dtype=dtype), None, device)


# -- closures ---------------------------------------------------------------------------------------------


def frontier(roots: Sequence[Node], start: int) -> list[Node]:
    """The nodes made before ``start`` that the roots reach first."""
    old: list[Node] = []
    seen = set(roots)
    stack = list(seen)
    while stack:
        node = stack.pop()
        if node.seq < start:
            old.append(node)
            continue
        for parent in node.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(old, key=lambda node: node.seq)


def closed_over(tensors: Sequence[Any], start: int, arguments: Sequence[Node] = ()) -> list[Node]:
    """The nodes made before ``start`` that tensors depend on, other than those of arguments."""
    roots = [x._node for x in tensors if isinstance(x, Cell) and x._node is not None]
    return [node for node in frontier(roots, start) if node not in arguments] if roots else []


def refuse_closed(name: str) -> Callable[[Node], None]:
    """What raises where a derivative by what a function closes over is asked for."""

    def refuse(node: Node) -> None:
        raise GradientError(
            f"{name}: a derivative with respect to a tensor of shape {tuple(node.shape)} is needed that the function closes over "
            f"(or takes as a nondiff argument), but its rule gives none; pass the tensor to {name} as an argument, or x.detach() "
            "if no derivative is meant"
        )

    return refuse


_closures: ContextVar[list[Node] | None] = ContextVar("polygrad_closures", default=None)


@contextmanager
def noted_closures() -> Iterator[list[Node]]:
    """The scope of a walk without a graph: what rules in it close over goes into a list."""
    nodes: list[Node] = []
    token = _closures.set(nodes)
    try:
        yield nodes
    finally:
        _closures.reset(token)


def note_closures(results: Sequence[Any], start: int) -> None:
    """Note what the results of a rule depend on beside its arguments."""
    nodes = _closures.get()
    if nodes is not None:
        nodes += closed_over(results, start)


# -- what rules return ------------------------------------------------------------------------------------


def pair_of(name: str, rule: Any, result: Any, parts: str) -> tuple[Any, Any]:
    """What a rule returned, if it is a pair."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        count = f" of length {len(result)}" if isinstance(result, (tuple, list)) else ""
        raise GradientError(
            f"{name}: the rule {name_of(rule)} returned {_kind(result)}{count}; it must return a pair ({parts})"
        )
    return result[0], result[1]


def _kind(x: Any) -> str:
    return "None" if x is None else type(x).__name__


def cotangent_leaves(name: str, rule: Any, result: Any, structure: Any) -> list[Any]:
    """The cotangents that a backward rule returned, for the leaves of the arguments; None for zero."""
    children = structure.children()
    if not isinstance(result, (tuple, list)) or len(result) != len(children):
        count = f"{len(result)} cotangents" if isinstance(result, (tuple, list)) else _kind(result)
        raise GradientError(
            f"{name}: the backward function {name_of(rule)} returned {count} for {len(children)} arguments; it must return a "
            "tuple with one cotangent for each differentiable argument, None for zero"
        )
    leaves: list[Any] = []
    for i, (child, cotangent) in enumerate(zip(children, result, strict=True)):
        try:
            part = [None] * child.num_leaves if cotangent is None else child.flatten_up_to(cotangent)
            leaves.extend(part)
            if any(isinstance(x, (dict, list, tuple)) for x in part):
                raise TypeError(f"a {_kind(next(x for x in part if isinstance(x, (dict, list, tuple))))} for an array")
        except (ValueError, TypeError) as error:
            raise GradientError(
                f"{name}: the backward function {name_of(rule)} returned a cotangent of another structure than argument {i} has: "
                f"{error}"
            ) from None
    return leaves


def cotangent_like(what: str, g: Any, spec: Any, index: int, cast: bool = False) -> Any:
    """A cotangent that a rule returned, checked against the argument of a shape, dtype and device.

    Args:
        cast: whether another floating dtype is cast.
    """
    if g is None:
        return None
    shape, dtype, device = spec
    tensor: Any = g if isinstance(g, Cell) else asarray(g, dtype=_weak(g, spec))
    if tuple(tensor._value.shape) != shape:
        raise ShapeError(
            f"{what} returned a gradient of shape {tuple(tensor._value.shape)} for argument {index}, which has shape "
            f"{shape}; they must be equal"
        )
    if tensor._value.dtype != dtype and tensor._device is device:
        want = device.backend.to_dtype(dtype)
        if not cast or tensor.dtype.kind != want.kind:
            raise DTypeError(
                f"{what} returned a gradient of dtype {tensor.dtype} for argument {index}, which has dtype {want}; they must be "
                f'equal: pg.astype(g, "{want.name}")'
            )
        tensor = tensor.astype(want)
    return tensor


def _weak(x: Any, spec: Any) -> Any:
    """The dtype for a Python number, which has none of its own."""
    return spec[2].backend.to_dtype(spec[1]) if isinstance(x, (int, float)) and not hasattr(x, "dtype") else None


def tangent_leaves(name: str, rule: Any, result: Any, structure: Any, outputs: Sequence[Any]) -> list[Any]:
    """The tangents that a forward rule returned, as Tensors checked against the function's outputs."""
    _, moved = pair_of(name, rule, result, "output, tangent of the output")
    leaves, given = flatten(moved)
    if given != structure or len(leaves) != len(outputs):
        raise GradientError(
            f"{name}: the rule {name_of(rule)} returned a tangent of structure {given}, but the function's output has "
            f"{structure}; they must be equal, with zeros where an output does not move"
        )
    tensors = []
    for i, (t, x) in enumerate(zip(leaves, outputs, strict=True)):
        spec = spec_of(x)
        tensor: Any = t if isinstance(t, Cell) else asarray(t, dtype=_weak(t, spec))
        if tuple(tensor._value.shape) != spec[0]:
            raise ShapeError(
                f"{name}: the rule {name_of(rule)} returned a tangent of shape {tuple(tensor._value.shape)} for output "
                f"{i}, which has shape {spec[0]}; they must be equal"
            )
        inexact = spec[1] in x._device.inexact_dtypes
        if inexact and tensor._value.dtype != spec[1] and tensor._device is x._device:
            raise DTypeError(
                f"{name}: the rule {name_of(rule)} returned a tangent of dtype {tensor.dtype} for output {i}, which has dtype "
                f"{x.dtype}; they must be equal"
            )
        tensors.append(tensor)
    return tensors
