"""Dropout."""

from __future__ import annotations

import polygrad as pg

__all__ = ["dropout"]


def dropout(
    x: pg.Tensor, p: float = 0.5, training: bool = True, generator: pg.random.Generator | None = None
) -> pg.Tensor:
    """Each element 0 with probability ``p``, else divided by ``1 - p``, so that the mean stays.

    Args:
        x: any shape, of a floating dtype.
        p: the probability.
        training: whether to act at all; if not, ``x`` itself is returned.
        generator: what draws; the default generator unless told.

    Raises:
        ValueError: if ``p`` is not in 0 to 1.
        DTypeError: if ``x`` is not floating.

    >>> import polygrad as pg
    >>> x = pg.ones(3)
    >>> pg.nn.functional.dropout(x, 0.5, training=False) is x
    True
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability, 0 to 1, got {p}")
    if not training or p == 0:
        return x
    x = pg.asarray(x)
    if not x.dtype.inexact:
        raise pg.errors.DTypeError(f"dropout: needs a floating dtype, got {x.dtype}")
    mask = pg.random.bernoulli(x.shape, 1 - p, dtype=x.dtype, device=x.device, generator=generator)
    return x * (mask if p == 1 else mask / (1 - p))
