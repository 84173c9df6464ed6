"""Lazy libraries (Dask): having values computed now rather than again and again later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.cell import settle

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["compute"]


def compute(*tensors: Tensor) -> None:
    """Have the values of lazy tensors present, in place and in one run for all of them.

    A loop that carries lazy tensors from step to step (an optimiser its parameters) would otherwise compute
    every step again from the first. On libraries that are not lazy nothing happens.

    >>> import polygrad as pg
    >>> x = pg.ones(2) * 3
    >>> pg.compute(x)
    >>> x
    tensor([3., 3.], dtype=float64)
    """
    by_backend: dict[Any, list[Any]] = {}
    for x in tensors:
        settle(x)
        if x._device.backend.lazy:
            by_backend.setdefault(x._device.backend, []).append(x)
    for backend, cells in by_backend.items():
        values = backend.compute(*[x._value for x in cells])
        for x, value in zip(cells, values, strict=True):
            x._value = value
