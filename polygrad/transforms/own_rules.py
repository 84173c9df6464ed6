"""What derivatives of one's own have in common: the scopes their rules run in, and checks of what these return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from ..core.cell import Cell, new_tensor
from ..core.leaving import is_differentiated, is_differentiating
from ..errors import GradientError, ShapeError
from ..ops.creation import asarray
from .batching import is_level
from .lowering import recording

__all__ = [
    "checked", "described", "lowered", "lowering_once", "nodes_inside", "refuse_closures", "refuse_dropped", "rule_scope",
    "spec_of", "transposed", "transposing", "zeros_of",
]  # fmt: skip


def zeros_of(spec: Any) -> Any:
    shape, dtype, device = spec
    return new_tensor(device.raw.zeros(shape, dtype=dtype), None, device)


def checked(name: str, g: Any, spec: Any, index: int) -> Any:
    if g is None:
        return None
    made = g if isinstance(g, Cell) else asarray(g)
    if tuple(made._value.shape) != spec[0]:
        raise ShapeError(
            f"{name}.backward returned a gradient of shape {tuple(made._value.shape)} for argument {index}, which has shape "
            f"{spec[0]}; they must be equal"
        )
    return made


lowered: ContextVar[frozenset[int]] = ContextVar("polygrad_custom_lowered", default=frozenset())
"""Custom functions whose forward runs only for its structure: calls of themselves inside it are plain."""

transposed: ContextVar[tuple[tuple[int, frozenset[Any]], ...]] = ContextVar("polygrad_custom_transposed", default=())
"""Custom functions whose rules are being transposed, with the nodes of the tangents."""


@contextmanager
def lowering_once(function: Any) -> Iterator[None]:
    if function is None:
        yield
        return
    token = lowered.set(lowered.get() | {id(function)})
    try:
        yield
    finally:
        lowered.reset(token)


@contextmanager
def transposing(function: Any, starts: Sequence[Any]) -> Iterator[None]:
    token = transposed.set((*transposed.get(), (id(function), frozenset(x._node for x in starts))))
    try:
        yield
    finally:
        transposed.reset(token)


def nodes_inside(leaves: Sequence[Any]) -> list[Any]:
    """The graph nodes of Tensors, those inside vmap's levels among them."""
    nodes = []
    for x in leaves:
        while isinstance(x, Cell):
            if x._node is not None:
                nodes.append(x._node)
            x = x._value.value if is_level(x._device) else None
    return nodes


def rule_scope(create_graph: bool, inputs: Sequence[Any]) -> AbstractContextManager[Any]:
    """The scope of a rule: inside a transform it is recorded, so that what it closes over is seen."""
    return recording(create_graph or is_differentiating(), inputs)


def refuse_closures(name: str, outputs: Sequence[Any], tracked: Sequence[int]) -> None:
    """Refuse outputs that depend on more than the arguments, since the rule gives no derivative by that."""
    if tracked and any(x._node is not None for x in outputs):
        raise GradientError(
            f"{name}: the function closes over a tensor that requires grad, or that a transform differentiates; its own rule "
            "gives no derivative by that tensor. Pass it as an argument, or stop_gradient it"
        )


def refuse_dropped(name: str, found: Sequence[Any], create_graph: bool) -> None:
    """Refuse a rule whose result depends on what an outer transform differentiates, where that would be lost."""
    if create_graph:
        return
    # Inside vmap the graphs below go through all that is computed: nothing is lost there.
    if any(isinstance(x, Cell) and not is_level(x._device) and is_differentiated(x) for x in found):
        raise GradientError(
            f"{name}: the rule closes over a tensor that an outer transform differentiates, which would be lost here. Pass "
            "it as an argument of the function"
        )


def described(x: Any) -> str:
    return f"a tuple of {len(x)}" if isinstance(x, tuple) else f"a {type(x).__name__}"


def spec_of(x: Any) -> Any:
    return tuple(x._value.shape), x._value.dtype, x._device
