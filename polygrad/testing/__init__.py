"""Tools to test with: gradient checks for one's own functions, and the conformance suite for backends.

>>> import polygrad as pg
>>> from polygrad.testing import check_grads
>>> check_grads(lambda x: pg.sum(pg.sin(x) * x), [pg.asarray([0.3, -1.2])])
"""

from __future__ import annotations

from typing import Any

from .checks import check_adjoint, check_grads, check_jvp, check_second_order, check_vjp

__all__ = ["BackendConformance", "check_adjoint", "check_grads", "check_jvp", "check_second_order", "check_vjp"]


def __getattr__(name: str) -> Any:
    if name == "BackendConformance":
        from .conformance import BackendConformance

        return BackendConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
