"""Kernels: named functions that rules need and the standard lacks, in a generic version for every backend.

A backend may offer a faster one under the same name (``Backend.kernels``); the conformance suite checks it
against the generic one. Every namespace that rules see has all of them: raw ones and polygrad's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

__all__ = ["BATCHED", "GENERIC", "ON_TENSORS", "kernel"]

F = TypeVar("F", bound="Callable[..., Any]")

GENERIC: Final[dict[str, Callable[..., Any]]] = {}
"""The generic version of each kernel, taking the namespace first."""

ON_TENSORS: Final[dict[str, Callable[..., Any]]] = {}
"""What a kernel is on Tensors where it is an op of its own; modules that are imported on first use enter theirs here."""

BATCHED: Final[dict[str, Callable[..., Any]]] = {}
"""What such a kernel is inside vmap: ``rule(rules, *args)``; without one the generic version runs on batched arrays."""


@overload
def kernel(f: F, /) -> F: ...
@overload
def kernel(*, space: str) -> Callable[[F], F]: ...
def kernel(f: Any = None, /, *, space: str = "") -> Any:
    """Declare the generic version of a kernel, under the function's name without leading underscores; in a
    sub-namespace (``space="linalg"``) rules say ``xp.linalg.<name>``."""

    def declare(f: F) -> F:
        name = f.__name__.strip("_")
        GENERIC[f"{space}.{name}" if space else name] = f
        return f

    return declare if f is None else declare(f)
