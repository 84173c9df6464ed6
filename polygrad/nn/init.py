"""Initial values, written into a tensor in place; each function returns the tensor.

The formulas are Glorot and Bengio's (2010, "Understanding the difficulty of training deep feedforward neural
networks") and He et al.'s (2015, "Delving deep into rectifiers"), as PyTorch applies them.
"""

from __future__ import annotations

import math
from typing import TypeVar

import polygrad as pg

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

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


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much a nonlinearity shrinks the standard deviation, to be made up for by the weights.

    Args:
        nonlinearity: ``"linear"``, ``"conv1d"`` to ``"conv_transpose3d"``, ``"sigmoid"``, ``"tanh"``, ``"relu"``,
            ``"leaky_relu"`` or ``"selu"``.
        param: the slope of a leaky ReLU below 0; 0.01 unless told.

    Raises:
        ValueError: for an unknown nonlinearity.

    >>> import polygrad as pg
    >>> pg.nn.init.calculate_gain("relu") == 2**0.5
    True
    """
    slope = 0.01 if param is None else param
    gains = {
        "linear": 1.0,
        **{f"conv{kind}{n}d": 1.0 for kind in ("", "_transpose") for n in (1, 2, 3)},
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + slope * slope)),
        "selu": 3 / 4,
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
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: pg.random.Generator | None = None,
) -> T:
    """Fill with normal numbers of the standard deviation ``gain / sqrt(fan)``. Args and errors as for
    :func:`kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


def _kaiming_std(name: str, tensor: pg.Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: pg.random.Generator | None = None) -> T:
    """Fill with numbers uniform in ``-b <= x < b``, where ``b = gain * sqrt(6 / (fan in + fan out))``.

    Raises:
        ShapeError: for fewer than two axes.
    """
    total = sum(_fans(tensor))
    bound = gain * math.sqrt(6 / total) if total else 0.0
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: pg.random.Generator | None = None) -> T:
    """Fill with normal numbers of the standard deviation ``gain * sqrt(2 / (fan in + fan out))``.

    Raises:
        ShapeError: for fewer than two axes.
    """
    total = sum(_fans(tensor))
    return normal_(tensor, 0.0, gain * math.sqrt(2 / total) if total else 0.0, generator)


def constant_(tensor: T, val: float) -> T:
    """Fill with one number.

    >>> import polygrad as pg
    >>> pg.nn.init.constant_(pg.ones(2), 3.0)
    tensor([3., 3.], dtype=float64)
    """
    return _filled(tensor, val)


def trunc_normal_(
    tensor: T,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: pg.random.Generator | None = None,
) -> T:
    """Fill with normal numbers, those outside of ``a`` to ``b`` drawn anew; see
    :func:`polygrad.random.truncated_normal`."""
    drawn = pg.random.truncated_normal(
        tensor.shape, mean, std, a, b, dtype=tensor.dtype, device=tensor.device, generator=generator
    )
    return _filled(tensor, drawn)


def eye_(tensor: T) -> T:
    """Fill a matrix with ones on its diagonal and zeros elsewhere.

    Raises:
        ShapeError: if it is no matrix.
    """
    if tensor.ndim != 2:
        raise pg.errors.ShapeError(f"eye_: fills a matrix, not shape {tensor.shape}")
    return _filled(tensor, pg.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def dirac_(tensor: T, groups: int = 1) -> T:
    """Fill the weight of a convolution so that it passes on as many channels as it can, unchanged.

    Args:
        tensor: a weight of shape (out, in, kernel...), of 3 to 5 axes.
        groups: of the convolution; each passes on its own channels.

    Raises:
        ShapeError: for other numbers of axes, or channels that cannot be grouped.

    >>> import polygrad as pg
    >>> pg.nn.init.dirac_(pg.empty((1, 2, 3)))
    tensor([[[0., 1., 0.],
             [0., 0., 0.]]], dtype=float64)
    """
    if tensor.ndim not in (3, 4, 5) or tensor.shape[0] % groups:
        raise pg.errors.ShapeError(
            f"dirac_: takes a weight of shape (out, in, kernel...) whose outputs {groups} divides, got {tensor.shape}"
        )
    each = tensor.shape[0] // groups
    with pg.no_grad():
        tensor[...] = 0.0
        for g in range(groups):
            for channel in range(min(each, tensor.shape[1])):
                tensor[(g * each + channel, channel, *(n // 2 for n in tensor.shape[2:]))] = 1.0
    return tensor


def orthogonal_(tensor: T, gain: float = 1.0, generator: pg.random.Generator | None = None) -> T:
    """Fill with a random matrix whose rows (or columns, if there are fewer) are orthonormal, times ``gain`` (Saxe,
    McClelland and Ganguli, 2014); the axes after the first are taken as one.

    Raises:
        ShapeError: for fewer than two axes.

    >>> import polygrad as pg
    >>> w = pg.nn.init.orthogonal_(pg.empty((2, 3)))
    >>> bool(pg.all(pg.abs(w @ w.T - pg.eye(2)) < 1e-12))
    True
    """
    if tensor.ndim < 2:
        raise pg.errors.ShapeError(f"orthogonal_: needs two axes, got shape {tensor.shape}")
    if not tensor.size:
        return tensor
    rows, columns = tensor.shape[0], tensor.size // tensor.shape[0]
    q, r = pg.linalg.qr(pg.random.normal((max(rows, columns), min(rows, columns)), device="cpu", generator=generator))
    q = q * pg.sign(pg.linalg.diagonal(r))  # so that every such matrix is as likely as any other
    made = pg.reshape((pg.matrix_transpose(q) if rows < columns else q) * gain, tensor.shape)
    return _filled(tensor, pg.asarray(made, dtype=tensor.dtype, device=tensor.device))


def sparse_(tensor: T, sparsity: float, std: float = 0.01, generator: pg.random.Generator | None = None) -> T:
    """Fill a matrix with normal numbers, but a share of each column, rounded up, with zeros (Martens, 2010).

    Args:
        tensor: a matrix.
        sparsity: the share.
        std: the normal numbers' standard deviation.
        generator: what draws; the current generator unless told.

    Raises:
        ShapeError: if it is no matrix.
    """
    if tensor.ndim != 2:
        raise pg.errors.ShapeError(f"sparse_: fills a matrix, not shape {tensor.shape}")
    rows, columns = tensor.shape
    values = pg.random.normal(tensor.shape, 0.0, std, device="cpu", generator=generator)
    order = pg.argsort(pg.random.uniform((rows, columns), device="cpu", generator=generator), axis=0)
    kept = pg.where(order < math.ceil(sparsity * rows), 0.0, values)
    return _filled(tensor, pg.asarray(kept, dtype=tensor.dtype, device=tensor.device))
