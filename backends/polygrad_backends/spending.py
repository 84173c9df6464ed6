"""Kernels that may write over what they take.

Such a kernel has one more argument, ``spend=False``. The executors give True where a static graph says that nobody else
looks at the memory of one of its arguments, this time or later; in eager code somebody always may. What it makes must lie in
memory as it would without, for later sums go in that order: a kernel does not write over what lies in another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["spending"]


def spending(*argument: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a kernel: which argument it may write over, or which item of an argument that is a tuple of arrays."""

    def mark(kernel: Callable[..., Any]) -> Callable[..., Any]:
        kernel.spends = argument  # type: ignore[attr-defined]
        return kernel

    return mark
