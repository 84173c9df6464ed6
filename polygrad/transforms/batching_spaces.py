"""Batching rules of ``linalg`` and ``fft``: their functions work on the last axes, so a batch in front is one more
axis that broadcasts. Ops count axes from the end when they call them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import VmapError

if TYPE_CHECKING:
    from .batching_rules import Rules

__all__ = ["fft_rules", "linalg_rules"]


class SpaceRules:
    """The rules of one sub-namespace, each made on first use of polygrad's own function of its name."""

    def __init__(self, rules: Rules, space: str) -> None:
        self._rules = rules
        self._module = importlib.import_module(f"polygrad.{space}")
        self._space = space

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        if not hasattr(self._module, name):
            raise VmapError(f"{self._space}.{name} has no batching rule, so it cannot run inside vmap")
        rules, f = self._rules, getattr(self._module, name)

        def rule(*args: Any, **kwargs: Any) -> Any:
            batched = any(a.batched for a in (*args, *kwargs.values()) if hasattr(a, "batched"))
            ndim = max(a.ndim for a in args if hasattr(a, "batched"))

            def inside(a: Any, ndim: int) -> Any:
                return rules.padded(a, ndim) if hasattr(a, "batched") else a

            # By name comes one number for each matrix (rtol).
            options = {k: inside(v, ndim - 2) for k, v in kwargs.items()}
            made = f(*[inside(a, ndim) for a in args], **options)
            return tuple(rules.wrap(v, batched) for v in made) if isinstance(made, tuple) else rules.wrap(made, batched)

        self.__dict__[name] = rule
        return rule


def linalg_rules(rules: Rules) -> SpaceRules:
    """The rules of ``linalg`` on one level."""
    return SpaceRules(rules, "linalg")


def fft_rules(rules: Rules) -> SpaceRules:
    """The rules of ``fft`` on one level."""
    return SpaceRules(rules, "fft")
