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

from . import lr_scheduler
from .adam import Adam, AdamW
from .adam_variants import Adamax, Lion, NAdam, RAdam
from .adaptive import Adadelta, Adagrad, RMSprop
from .averaging import AveragedModel, get_ema_avg_fn
from .lbfgs import LBFGS
from .matrices import Adafactor, Muon
from .optimizer import Optimizer
from .rprop import Rprop
from .scaling import GradScaler
from .sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "AveragedModel",
    "GradScaler",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "get_ema_avg_fn",
    "lr_scheduler",
]
