"""Kernels: named functions that rules need and the standard lacks, in a generic version for every backend.

A backend may offer a faster one under the same name (``Backend.kernels``); the conformance suite checks it
against the generic one. Every namespace that rules see has all of them: raw ones and polygrad's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["GENERIC", "kernel"]

GENERIC: Final[dict[str, Callable[..., Any]]] = {}
"""The generic version of each kernel, taking the namespace first."""


def kernel(f: Callable[..., Any]) -> Callable[..., Any]:
    """Declare the generic version of a kernel."""
    GENERIC[f.__name__] = f
    return f
