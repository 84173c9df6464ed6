"""What the layers compute, as plain functions; ``import polygrad.nn.functional as F``."""

from .activation import log_softmax, relu, sigmoid, softmax, tanh
from .convolution import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from .dropout import dropout
from .linear import linear
from .loss import cross_entropy, mse_loss

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "dropout",
    "linear",
    "log_softmax",
    "mse_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
