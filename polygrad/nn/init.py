"""Initial values, written into a tensor in place; each function returns the tensor.

The formulas are Glorot and Bengio's (2010, "Understanding the difficulty of training deep feedforward neural
networks") and He et al.'s (2015, "Delving deep into rectifiers"), as PyTorch applies them.
"""

from __future__ import annotations

import math
from typing import TypeVar

import polygrad as pg

__all__ = ["calculate_gain", "kaiming_uniform_", "normal_", "ones_", "uniform_", "xavier_uniform_", "zeros_"]

T = TypeVar("T", bound=pg.Tensor)


def _filled(tensor: T, values: pg.Tensor | float) -> T:
    with pg.no_grad():
        tensor[...] = values
    return tensor


def zeros_(tensor: T) -> T:
    """Fill with 0.

    >>> import polygrad as pg
    >>> pg.nn.init.zeros_(pg.ones(2))
    tensor([0., 0.], dtype=float64)
    """
    return _filled(tensor, 0.0)


def ones_(tensor: T) -> T:
    """Fill with 1."""
    return _filled(tensor, 1.0)


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: pg.random.Generator | None = None) -> T:
    """Fill with numbers uniform in ``a <= x < b``."""
    drawn = pg.random.uniform(tensor.shape, a, b, dtype=tensor.dtype, device=tensor.device, generator=generator)
    return _filled(tensor, drawn)


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0, generator: pg.random.Generator | None = None) -> T:
    """Fill with normal numbers."""
    drawn = pg.random.normal(tensor.shape, mean, std, dtype=tensor.dtype, device=tensor.device, generator=generator)
    return _filled(tensor, drawn)


def _fans(tensor: pg.Tensor) -> tuple[int, int]:
    """How many inputs feed one output, and how many outputs one input feeds, for a weight of shape
    (out, in, ...)."""
    if tensor.ndim < 2:
        raise pg.errors.ShapeError(
            f"fan in and fan out need a weight of shape (out, in, ...), got shape {tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def calculate_gain(nonlinearity: str, a: float = 0.0) -> float:
    """By how much a nonlinearity shrinks the standard deviation, to be made up for by the weights.

    Args:
        nonlinearity: ``"linear"``, ``"sigmoid"``, ``"tanh"``, ``"relu"`` or ``"leaky_relu"``.
        a: the slope of a leaky ReLU below 0.

    >>> import polygrad as pg
    >>> pg.nn.init.calculate_gain("relu") == 2**0.5
    True
    """
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + a * a)),
    }
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known: {', '.join(gains)}")
    return gains[nonlinearity]


def kaiming_uniform_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: pg.random.Generator | None = None,
) -> T:
    """Fill with numbers uniform in ``-b <= x < b``, where ``b = gain * sqrt(3 / fan)``.

    Args:
        tensor: a weight of shape (out, in, ...).
        a: the slope of the leaky ReLU that follows.
        mode: ``"fan_in"`` keeps the variance of the forward pass, ``"fan_out"`` that of the backward pass.
        nonlinearity: what follows; see :func:`calculate_gain`.
        generator: what draws; the default generator unless told.

    Raises:
        ShapeError: for fewer than two axes.
    """
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming_uniform_: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(tensor)[mode == "fan_out"]
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / fan) if fan else 0.0
    return uniform_(tensor, -bound, bound, generator)


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: pg.random.Generator | None = None) -> T:
    """Fill with numbers uniform in ``-b <= x < b``, where ``b = gain * sqrt(6 / (fan in + fan out))``.

    Raises:
        ShapeError: for fewer than two axes.
    """
    total = sum(_fans(tensor))
    bound = gain * math.sqrt(6 / total) if total else 0.0
    return uniform_(tensor, -bound, bound, generator)
