"""When two states are the same."""

from __future__ import annotations

from typing import Any

import polygrad as pg


def same(a: Any, b: Any) -> bool:
    """Equal in kind, order and bits."""
    if isinstance(a, pg.Tensor):
        return (
            isinstance(b, pg.Tensor)
            and (a.dtype, a.shape, a.device) == (b.dtype, b.shape, b.device)
            and (a.detach().to_device("cpu").numpy().tobytes() == b.detach().to_device("cpu").numpy().tobytes())
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)
