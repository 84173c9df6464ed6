"""Optimisers: they change parameters by their gradients.

>>> import polygrad as pg
>>> w = pg.nn.Parameter([3.0])
>>> optimizer = pg.optim.SGD([w], lr=0.1)
>>> for _ in range(100):
...     optimizer.zero_grad()
...     pg.sum(w * w).backward()
...     optimizer.step()
>>> abs(w.item()) < 1e-8
True
"""

from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
