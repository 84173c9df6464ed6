"""Custom derivatives inside vmap, seen from outside of it.

What a custom function computes on a level's Tensors is ordinary operations on the Tensors inside, and a transform
around the vmap would differentiate those. Here the custom function is applied to the Tensors inside instead, with
rules that run the given ones on the level: one level lower, and again until no graph is left below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..core.cell import Cell, new_tensor, settle
from ..core.modes import GRAD, get_mode, set_grad_enabled
from ..core.operands import reconciled
from ..ops.creation import asarray
from ..ops.statistical import sum as sum_
from .batching import Batched, is_level, lifted, mapping

__all__ = ["Lowering", "from_outside", "on_one_level", "recording"]


def recording(on: bool, inputs: Sequence[Any]) -> AbstractContextManager[Any]:
    """Whether what a custom function computes is recorded. Inside vmap it stays as it is: there the same switch is
    for the graphs below, whose derivatives go through all that is computed."""
    if any(isinstance(x, Cell) and is_level(x._device) for x in inputs):
        return nullcontext()
    return set_grad_enabled(on)


def on_one_level(name: str, inputs: Sequence[Any]) -> list[Any]:
    """The inputs, all Tensors lifted to the innermost vmap that one of them is of."""
    cells = [x for x in inputs if isinstance(x, Cell)]
    if not any(is_level(x._device) for x in cells):
        return list(inputs)
    moved = iter(reconciled(name, *cells))
    return [next(moved) if isinstance(x, Cell) else x for x in inputs]


def from_outside(inputs: Sequence[Any]) -> bool:
    """Whether a graph from outside of a vmap leads to one of the inputs."""
    if not get_mode() & GRAD:
        return False
    return any(isinstance(x, Cell) and x._device.backend.carries_graph(x._value) for x in inputs)


class Lowering:
    """The inputs of one custom function, taken apart into the Tensors inside."""

    def __init__(self, inputs: Sequence[Any]) -> None:
        self._inputs = list(inputs)
        self._where = [i for i, x in enumerate(inputs) if isinstance(x, Cell)]
        cells = [self._inputs[i] for i in self._where]
        for x in cells:
            settle(x)
        self._flags = [x._value.batched for x in cells]
        self._level = cells[0]._device
        self.inside = [x._value.value for x in cells]

    def scope(self) -> AbstractContextManager[None]:
        """Where the level's functions run."""
        return mapping(self._level)

    def level_inputs(self, inside: Sequence[Any], otherwise: Callable[[Any], Any] = lambda x: x) -> list[Any]:
        """Inputs on the level, of Tensors inside."""
        made = [otherwise(x) for x in self._inputs]
        for i, flag, value in zip(self._where, self._flags, inside, strict=True):
            made[i] = new_tensor(Batched(value, flag, self._level.backend), None, self._level)
        return made

    def level_outputs(self, inside: Sequence[Any]) -> list[Any]:
        """Outputs, or their cotangents, on the level."""
        return [new_tensor(Batched(value, True, self._level.backend), None, self._level) for value in inside]

    def inside_outputs(self, outputs: Sequence[Any]) -> list[Any]:
        """The Tensors inside of outputs on the level, all with the batch in front."""
        made = []
        for x in outputs:
            tensor: Any = lifted(x if isinstance(x, Cell) else asarray(x), self._level)
            made.append(self._level.backend.rules.full(tensor._value))
        return made

    def inside_cotangents(self, found: Sequence[Any]) -> tuple[Any, ...]:
        """The cotangents of the Tensors inside: summed over the examples where these share one."""
        made: list[Any] = []
        for i, flag in zip(self._where, self._flags, strict=True):
            if found[i] is None:
                made.append(None)
                continue
            (value,) = self.inside_outputs([found[i]])
            made.append(value if flag else sum_(value, axis=0))
        return tuple(made)
