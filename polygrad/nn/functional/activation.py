"""Activations, with PyTorch's names, arguments and slopes at kinks; ``dim`` may be negative."""

from __future__ import annotations

import warnings
from typing import Any

import polygrad as pg

__all__ = [
    "celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_softmax",
    "logsigmoid", "mish", "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "softmax", "softmin", "softplus",
    "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
]  # fmt: skip


def put(input: pg.Tensor, made: pg.Tensor, inplace: bool) -> pg.Tensor:
    """The result; in place of the argument if that was asked for."""
    if not inplace:
        return made
    input[...] = made
    return input


def relu(input: pg.Tensor, inplace: bool = False) -> pg.Tensor:
    """``max(x, 0)``, with derivative 0 at 0.

    Args:
        input: any shape.
        inplace: let ``input`` itself take the values, and return it.

    >>> import polygrad as pg
    >>> x = pg.asarray([-1.0, 2.0])
    >>> pg.nn.functional.relu(x, inplace=True) is x, x
    (True, tensor([0., 2.], dtype=float64))
    """
    return pg.relu(input) if not inplace else put(input, pg.relu(input), inplace)


def tanh(input: pg.Tensor) -> pg.Tensor:
    """The hyperbolic tangent, element by element."""
    return pg.tanh(input)


def gelu(input: pg.Tensor, approximate: str = "none") -> pg.Tensor:
    """``x`` times the normal distribution's share below ``x``, or with ``approximate="tanh"`` close to it (Hendrycks and
    Gimpel, 2016)."""
    return pg.neural.gelu(input, approximate)


def hardshrink(input: pg.Tensor, lambd: float = 0.5) -> pg.Tensor:
    """``x`` where it is above ``lambd`` or below ``-lambd``, else 0."""
    return pg.neural.hardshrink(input, lambd)


def softshrink(input: pg.Tensor, lambd: float = 0.5) -> pg.Tensor:
    """``x`` moved towards 0 by ``lambd``, and 0 where it is nearer."""
    return pg.neural.softshrink(input, lambd)


def hardtanh(input: pg.Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> pg.Tensor:
    """``x`` clipped to ``min_val`` and ``max_val``; the slope is 0 at both."""
    return put(input, pg.neural.hardtanh(input, min_val, max_val), inplace)


def leaky_relu(input: pg.Tensor, negative_slope: float = 0.01, inplace: bool = False) -> pg.Tensor:
    """``x`` above 0, else ``negative_slope * x``."""
    return put(input, pg.neural.leaky_relu(input, negative_slope), inplace)


# exp(-log(1 + exp(-x))): neither the value nor its slopes cancel or overflow in either tail, of any order.
def sigmoid(input: pg.Tensor) -> pg.Tensor:
    """``1 / (1 + exp(-x))``, element by element, exact in both tails.

    >>> import polygrad as pg
    >>> pg.nn.functional.sigmoid(pg.asarray([0.0, -800.0, 800.0]))
    tensor([0.5, 0. , 1. ], dtype=float64)
    """
    input = pg.asarray(input)
    return pg.exp(-pg.logaddexp(pg.zeros((), dtype=input.dtype, device=input.device), -input))


def relu6(input: pg.Tensor, inplace: bool = False) -> pg.Tensor:
    """``x`` clipped to 0 and 6; the slope is 0 at both.

    >>> import polygrad as pg
    >>> pg.nn.functional.relu6(pg.asarray([-1.0, 2.0, 8.0]))
    tensor([0., 2., 6.], dtype=float64)
    """
    return put(input, pg.neural.hardtanh(input, 0.0, 6.0), inplace)


def hardsigmoid(input: pg.Tensor, inplace: bool = False) -> pg.Tensor:
    """``relu6(x + 3) / 6``."""
    return put(input, pg.neural.hardsigmoid(input), inplace)


def hardswish(input: pg.Tensor, inplace: bool = False) -> pg.Tensor:
    """``x * relu6(x + 3) / 6`` (Howard et al., 2019)."""
    return put(input, pg.neural.hardswish(input), inplace)


def silu(input: pg.Tensor, inplace: bool = False) -> pg.Tensor:
    """``x * sigmoid(x)``."""
    return put(input, pg.neural.silu(input), inplace)


def mish(input: pg.Tensor, inplace: bool = False) -> pg.Tensor:
    """``x * tanh(softplus(x))`` (Misra, 2019)."""
    return put(input, pg.neural.mish(input), inplace)


def logsigmoid(input: pg.Tensor) -> pg.Tensor:
    """``log(sigmoid(x))``, exact in both tails."""
    return pg.neural.log_sigmoid(input)


def softsign(input: pg.Tensor) -> pg.Tensor:
    """``x / (1 + |x|)``."""
    return pg.neural.softsign(input)


def softplus(input: pg.Tensor, beta: float = 1.0, threshold: float = 20.0) -> pg.Tensor:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x`` is above ``threshold``."""
    return pg.neural.softplus_beyond(input, beta, threshold)


def threshold(input: pg.Tensor, threshold: float, value: float, inplace: bool = False) -> pg.Tensor:
    """``x`` where it is above ``threshold``, else ``value``."""
    return put(input, pg.neural.threshold(input, threshold, value), inplace)


def elu(input: pg.Tensor, alpha: float = 1.0, inplace: bool = False) -> pg.Tensor:
    """``x`` above 0, else ``alpha * (exp(x) - 1)`` (Clevert et al., 2015)."""
    return put(input, pg.neural.elu(input, alpha), inplace)


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def selu(input: pg.Tensor, inplace: bool = False) -> pg.Tensor:
    """:func:`elu` with the scales that keep mean 0 and variance 1 (Klambauer et al., 2017)."""
    return put(input, pg.neural.elu(input, _SELU_ALPHA * _SELU_SCALE, _SELU_SCALE), inplace)


def celu(input: pg.Tensor, alpha: float = 1.0, inplace: bool = False) -> pg.Tensor:
    """``x`` above 0, else ``alpha * (exp(x / alpha) - 1)`` (Barron, 2017)."""
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0")
    return put(input, pg.neural.elu(input, alpha, 1.0, 1.0 / alpha), inplace)


def prelu(input: pg.Tensor, weight: pg.Tensor) -> pg.Tensor:
    """``x`` above 0, else ``weight * x``, the weight being learnt.

    Args:
        input: shape (batch, channels, ...).
        weight: one number, or one for each channel: shape (1,) or (channels,).

    Raises:
        ShapeError: if the weight fits neither.

    >>> import polygrad as pg
    >>> pg.nn.functional.prelu(pg.asarray([-4.0, 2.0]), pg.asarray([0.25]))
    tensor([-1.,  2.], dtype=float64)
    """
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or (weight.ndim == 1 and weight.shape[0] not in (1, channels)):
        raise pg.errors.ShapeError(
            f"prelu: weight of shape {weight.shape} does not fit input of shape {input.shape}; it has one number, or one "
            f"for each of the {channels} channels"
        )
    if weight.ndim and not input.ndim:
        weight = pg.reshape(weight, ())
    elif weight.ndim and weight.shape[0] != 1:
        weight = pg.reshape(weight, (-1,) + (1,) * (input.ndim - 2))
    return pg.where(input > 0, input, weight * input)


def rrelu(
    input: pg.Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    generator: pg.random.Generator | None = None,
) -> pg.Tensor:
    """``x`` above 0, else ``a * x``: in training ``a`` is drawn between ``lower`` and ``upper`` for each element, else it
    is their mean."""
    if lower > upper:
        raise ValueError(f"rrelu: lower must not be above upper, got {lower} and {upper}")
    if not training:
        return put(input, pg.neural.leaky_relu(input, (lower + upper) / 2), inplace)
    drawn = pg.random.uniform(input.shape, lower, upper, dtype=input.dtype, device=input.device, generator=generator)
    return put(input, input * pg.where(input > 0, 1.0, drawn), inplace)


def tanhshrink(input: pg.Tensor) -> pg.Tensor:
    """``x - tanh(x)``."""
    return pg.neural.tanhshrink(input)


def glu(input: pg.Tensor, dim: int = -1) -> pg.Tensor:
    """``a * sigmoid(b)`` of the two halves along ``dim`` (Dauphin et al., 2016).

    Raises:
        ShapeError: if the length along ``dim`` is odd.

    >>> import polygrad as pg
    >>> pg.nn.functional.glu(pg.asarray([3.0, 0.0]))
    tensor([1.5], dtype=float64)
    """
    if not -input.ndim <= dim < input.ndim or input.shape[dim] % 2:
        raise pg.errors.ShapeError(
            f"glu: input of shape {input.shape} cannot be halved along axis {dim}: it must be there and of even length"
        )
    axis, half = dim % input.ndim, input.shape[dim] // 2
    before = (slice(None),) * axis
    return input[(*before, slice(0, half))] * pg.sigmoid(input[(*before, slice(half, None))])


def _dim(name: str, input: pg.Tensor, dim: int | None) -> int:
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"{name}: dim was not given, and {dim} was taken, as PyTorch would; say which: {name}(x, dim={dim})",
            UserWarning,
            stacklevel=3,
        )
    return dim


def softmax(input: pg.Tensor, dim: int | None = None, dtype: Any = None) -> pg.Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``; a row of -inf alone gives zeros.

    Args:
        input: any shape, of a floating dtype.
        dim: the axis. Left out, PyTorch's choice is taken with a warning.
        dtype: what the input is cast to first.

    >>> import polygrad as pg
    >>> pg.nn.functional.softmax(pg.asarray([0.0, 0.0]), dim=0)
    tensor([0.5, 0.5], dtype=float64)
    """
    dim = _dim("softmax", input, dim)
    return pg.softmax(input if dtype is None else pg.astype(input, dtype), axis=dim)


def softmin(input: pg.Tensor, dim: int | None = None, dtype: Any = None) -> pg.Tensor:
    """:func:`softmax` of ``-x``."""
    dim = _dim("softmin", input, dim)
    return pg.softmax(-(input if dtype is None else pg.astype(input, dtype)), axis=dim)


def log_softmax(input: pg.Tensor, dim: int | None = None, dtype: Any = None) -> pg.Tensor:
    """``log(softmax(x))`` along ``dim``, exact where the softmax is 0; arguments as for :func:`softmax`."""
    dim = _dim("log_softmax", input, dim)
    return pg.log_softmax(input if dtype is None else pg.astype(input, dtype), axis=dim)
