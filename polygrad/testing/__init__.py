"""For tests: gradient checks for functions and rules, and a conformance suite for backends.

Each part is imported on first use, so that asking for one does not load the others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .checks import check_adjoint, check_grads, check_jvp, check_second_order, check_vjp
    from .conformance import BackendConformance

__all__ = [
    "BackendConformance",
    "check_adjoint",
    "check_grads",
    "check_jvp",
    "check_second_order",
    "check_vjp",
]

_HOMES: Final = {
    "BackendConformance": "conformance",
    "check_adjoint": "checks",
    "check_grads": "checks",
    "check_jvp": "checks",
    "check_second_order": "checks",
    "check_vjp": "checks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
