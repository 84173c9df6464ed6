"""Neural networks: modules, layers, losses and initial values, on the public functions of polygrad.

>>> import polygrad as pg
>>> net = pg.nn.Sequential(pg.nn.Linear(64, 32), pg.nn.ReLU(), pg.nn.Linear(32, 10))
>>> loss = pg.nn.CrossEntropyLoss()(net(pg.ones((8, 64))), pg.zeros(8, dtype="int64"))
>>> loss.backward()
>>> net[0].weight.grad.shape
(32, 64)
"""

from . import functional, init
from .containers import ModuleList, Sequential
from .layers import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MSELoss,
    ReLU,
    Sigmoid,
    Tanh,
)
from .module import Module
from .parameter import Parameter
from .state import LoadResult

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "LoadResult",
    "MSELoss",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "functional",
    "init",
]
