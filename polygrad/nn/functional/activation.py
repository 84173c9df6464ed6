"""Activations: the ops of the main namespace under the names that networks use."""

from __future__ import annotations

import polygrad as pg

__all__ = ["log_softmax", "relu", "sigmoid", "softmax", "tanh"]

relu = pg.relu
tanh = pg.tanh
softmax = pg.softmax
log_softmax = pg.log_softmax


# exp(-log(1 + exp(-x))): neither the value nor its slopes cancel or overflow in either tail, of any order.
def sigmoid(x: pg.Tensor) -> pg.Tensor:
    """``1 / (1 + exp(-x))``, element by element, exact in both tails.

    >>> import polygrad as pg
    >>> pg.nn.functional.sigmoid(pg.asarray([0.0, -800.0, 800.0]))
    tensor([0.5, 0. , 1. ], dtype=float64)
    """
    x = pg.asarray(x)
    return pg.exp(-pg.logaddexp(pg.zeros((), dtype=x.dtype, device=x.device), -x))
