"""What networks compute often, each as one op with rules of its own (and kernels where a library has better ones):
:mod:`polygrad.nn.functional` is made of these.

>>> import polygrad as pg
>>> pg.neural.silu(pg.asarray([0.0, 1.0]))
tensor([0.        , 0.73105858], dtype=float64)
"""

from .ops.activations import (
    elu,
    gelu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_sigmoid,
    mish,
    silu,
    softplus_beyond,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from .ops.attention import attention_weights
from .ops.classes import binary_entropy, check_classes, check_indices, class_cross_entropy
from .ops.convolution import conv, conv_input, conv_weight
from .ops.linear_algebra import linear
from .ops.pooling import max_pool, spread_windows, sum_windows
from .ops.recurrent import gru, lstm, rnn

__all__ = [
    "attention_weights",
    "binary_entropy",
    "check_classes",
    "check_indices",
    "class_cross_entropy",
    "conv",
    "conv_input",
    "conv_weight",
    "elu",
    "gelu",
    "gru",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "lstm",
    "max_pool",
    "mish",
    "rnn",
    "silu",
    "softplus_beyond",
    "softshrink",
    "softsign",
    "spread_windows",
    "sum_windows",
    "tanhshrink",
    "threshold",
]
