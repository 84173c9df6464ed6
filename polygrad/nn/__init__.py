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
from .dicts import ModuleDict, ParameterDict, ParameterList
from .functional_call import functional_call
from .layers import CrossEntropyLoss, Dropout, Flatten, Identity, Linear, MSELoss, ReLU, Sigmoid, Tanh
from .module import Module
from .parameter import Parameter
from .state import LoadResult

__all__ = [
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "LoadResult",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "functional",
    "functional_call",
    "init",
]
