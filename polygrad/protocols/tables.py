"""The table of NumPy's functions, and what its entries share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ..core.cell import Cell
from ..ops import creation

__all__ = ["FUNCTIONS", "TENSOR_FIRST", "implements", "is_array", "like_first", "pg", "tensor", "tensors", "tracked"]

F = TypeVar("F", bound="Callable[..., Any]")

FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {}
"""What takes the place of each of NumPy's functions, by name: ``"concatenate"``, ``"linalg.norm"``, ``"fft.fft"``."""

TENSOR_FIRST: Final[set[str]] = set()
"""Those whose first argument must be a Tensor when another one is."""


def pg(name: str) -> Any:
    """A function of polygrad's public namespace, by (dotted) name."""
    found: Any = sys.modules["polygrad"]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def implements(*names: str, first: bool = True) -> Callable[[F], F]:
    """Enter a function in the table; with ``first`` its first argument is made a Tensor."""

    def enter(f: F) -> F:
        for name in names or (f.__name__.rstrip("_"),):
            FUNCTIONS[name] = f
            if first:
                TENSOR_FIRST.add(name)
        return f

    return enter


def is_array(value: Any) -> bool:
    """Whether something is an array of NumPy or of another library."""
    return hasattr(value, "dtype") and hasattr(value, "shape") and hasattr(value, "__array__")


def tracked(value: Any) -> bool:
    """Whether a Tensor that requires grad is among some arguments."""
    if isinstance(value, Cell):
        return bool(value.requires_grad)  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return any(tracked(v) for v in value.values())
    return isinstance(value, (list, tuple)) and any(tracked(v) for v in value)


def like_first(x: Any, value: Any) -> Any:
    """A second argument as a Tensor where ``x`` is."""
    return tensor(value, x._device)


def tensor(value: Any, device: Any = None) -> Any:
    """An argument as a Tensor."""
    if isinstance(value, Cell):
        return value
    if is_array(value) or device is None:
        return creation.asarray(value)
    return creation.asarray(value, device=device)


def tensors(values: Any) -> list[Any]:
    """Several arguments as Tensors of one device."""
    found: list[Any] = list(values)  # a Tensor's rows too
    device = next((v._device for v in found if isinstance(v, Cell)), None)
    return [tensor(v, device) for v in found]
