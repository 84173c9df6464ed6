"""polygrad: automatic differentiation for array programs on any Array API library.

>>> import numpy as np
>>> import polygrad as pg
>>> x = pg.asarray(np.asarray([0.0, 0.5]), requires_grad=True)
>>> pg.sum(pg.sin(x) ** 2).backward()
>>> x.grad
tensor([0.        , 0.84147098], dtype=float64)

The functions of the Array API standard are here under their standard names, with the transforms
(:func:`grad`, :func:`vjp`, :func:`jvp`, ...), the modes (:func:`no_grad`, ...) and the devices
(:func:`device`, :func:`devices`, ...). ``polygrad.nn``, ``.optim``, ``.data``, ``.random`` and ``.testing``
are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import array_api, errors
from ._version import __version__
from .backend import Backend, Device
from .core.modes import detect_anomaly, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .dtypes import (
    DType,
    bfloat16,
    bool,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .ops.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from .ops.data_types import astype, can_cast, finfo, iinfo, isdtype, result_type
from .ops.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    ceil,
    clip,
    conj,
    copysign,
    cos,
    cosh,
    divide,
    exp,
    expm1,
    floor,
    floor_divide,
    hypot,
    imag,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    positive,
    pow,
    real,
    reciprocal,
    remainder,
    round,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
)
from .ops.indexing import scatter_add, take, take_along_axis
from .ops.linear_algebra import matmul, matrix_transpose, tensordot, vecdot
from .ops.logic import (
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    signbit,
)
from .ops.manipulation import (
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    moveaxis,
    permute_dims,
    repeat,
    reshape,
    roll,
    squeeze,
    stack,
    tile,
    unstack,
)
from .ops.searching import argmax, argmin, count_nonzero, nonzero, searchsorted, where
from .ops.sets import isin, unique_all, unique_counts, unique_inverse, unique_values
from .ops.sorting import argsort, sort
from .ops.statistical import cumulative_prod, cumulative_sum, max, mean, min, prod, std, sum, var
from .ops.utility import all, any, diff
from .registry import backends, default_device, devices, set_default_device
from .registry import device_scope as device
from .registry import register as register_backend
from .tensor import Tensor

if TYPE_CHECKING:
    from . import data, nn, optim, random, testing

__array_api_version__ = array_api.API_VERSION
newaxis = None
e = 2.718281828459045
pi = 3.141592653589793
inf = float("inf")
nan = float("nan")

_LAZY = frozenset({"data", "nn", "optim", "random", "testing"})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
