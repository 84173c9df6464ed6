"""Checks that the functions beyond the standard share."""

from __future__ import annotations

from typing import Any

from ..core.operands import together
from ..errors import DTypeError
from .data_types import astype

__all__ = ["as_floating", "floating"]


def floating(name: str, x: Any, complex_too: bool = False) -> Any:
    """An argument as a Tensor of a floating dtype; integers and booleans become float64.

    Raises:
        DTypeError: for complex numbers, unless they are taken too.
    """
    (x,) = together(name, (x,))
    return as_floating(name, x, complex_too)


def as_floating(name: str, x: Any, complex_too: bool = False) -> Any:
    """A Tensor in a floating dtype; integers and booleans become float64."""
    if not x.dtype.inexact:
        return astype(x, "float64")
    if x.dtype.kind == "c" and not complex_too:
        raise DTypeError(f"{name}: needs real numbers, got {x.dtype}")
    return x
