"""Random numbers: the same seed gives the same draws on every backend.

Numbers are drawn on the host by one counter-based generator (Philox) in float64, rounded to the dtype asked
for, and moved to the device. So a model of a given seed starts from the same weights on NumPy and on a GPU,
and a float32 model from the rounded weights of the float64 one.

>>> import polygrad as pg
>>> _ = pg.random.manual_seed(0)
>>> x = pg.random.normal((2, 3), dtype="float32")
>>> x.shape, x.dtype
((2, 3), polygrad.float32)
"""

from .draws import (
    bernoulli,
    categorical,
    exponential,
    gumbel,
    integers,
    normal,
    permutation,
    truncated_normal,
    uniform,
)
from .generator import Generator, current, default_generator, get_state, manual_seed, set_state, split, use

__all__ = [
    "Generator",
    "bernoulli",
    "categorical",
    "current",
    "default_generator",
    "exponential",
    "get_state",
    "gumbel",
    "integers",
    "manual_seed",
    "normal",
    "permutation",
    "set_state",
    "split",
    "truncated_normal",
    "uniform",
    "use",
]
