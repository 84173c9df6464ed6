"""Activations as layers: names, arguments and defaults are PyTorch's.

With ``inplace`` the argument takes the values of the result, and is what comes back.
"""

from __future__ import annotations

from typing import Any

import polygrad as pg

from .. import functional as F
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _Activation(Module):
    """An activation whose attributes are its arguments."""

    def extra_repr(self) -> str:
        own = {k: v for k, v in self.__dict__.items() if k not in ("training", "inplace") and k[0] != "_"}
        own |= {"inplace": True} if self.__dict__.get("inplace") else {}
        return ", ".join(f"{k}={v!r}" for k, v in own.items())


class ReLU(_Activation):
    """``max(x, 0)``, with derivative 0 at 0.

    >>> import polygrad as pg
    >>> pg.nn.ReLU()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.relu(input, inplace=self.inplace)


class ReLU6(_Activation):
    """``min(max(x, 0), 6)``.

    >>> import polygrad as pg
    >>> pg.nn.ReLU6()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.relu6(input, inplace=self.inplace)


class LeakyReLU(_Activation):
    """``x`` above 0, else ``negative_slope * x``.

    >>> import polygrad as pg
    >>> pg.nn.LeakyReLU()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.leaky_relu(input, self.negative_slope, inplace=self.inplace)


class ELU(_Activation):
    """``x`` above 0, else ``alpha * (exp(x) - 1)``.

    >>> import polygrad as pg
    >>> pg.nn.ELU()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.elu(input, self.alpha, inplace=self.inplace)


class SELU(_Activation):
    """The scaled ELU of Klambauer et al. (2017).

    >>> import polygrad as pg
    >>> pg.nn.SELU()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.selu(input, inplace=self.inplace)


class CELU(_Activation):
    """``x`` above 0, else ``alpha * (exp(x / alpha) - 1)``.

    >>> import polygrad as pg
    >>> pg.nn.CELU()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.celu(input, self.alpha, inplace=self.inplace)


class GELU(_Activation):
    """``x`` times the normal distribution's function at ``x``; by tanh if ``approximate`` is ``"tanh"``.

    >>> import polygrad as pg
    >>> pg.nn.GELU()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.gelu(input, self.approximate)


class SiLU(_Activation):
    """``x * sigmoid(x)``.

    >>> import polygrad as pg
    >>> pg.nn.SiLU()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.silu(input, inplace=self.inplace)


class Mish(_Activation):
    """``x * tanh(softplus(x))``.

    >>> import polygrad as pg
    >>> pg.nn.Mish()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.mish(input, inplace=self.inplace)


class Sigmoid(_Activation):
    """``1 / (1 + exp(-x))``.

    >>> import polygrad as pg
    >>> pg.nn.Sigmoid()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.sigmoid(input)


class Tanh(_Activation):
    """``tanh(x)``.

    >>> import polygrad as pg
    >>> pg.nn.Tanh()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.tanh(input)


class LogSigmoid(_Activation):
    """``log(sigmoid(x))``.

    >>> import polygrad as pg
    >>> pg.nn.LogSigmoid()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.logsigmoid(input)


class Softplus(_Activation):
    """``log(1 + exp(beta * x)) / beta``; ``x`` where ``beta * x`` is above ``threshold``.

    >>> import polygrad as pg
    >>> pg.nn.Softplus()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.softplus(input, self.beta, self.threshold)


class Softsign(_Activation):
    """``x / (1 + |x|)``.

    >>> import polygrad as pg
    >>> pg.nn.Softsign()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.softsign(input)


class Tanhshrink(_Activation):
    """``x - tanh(x)``.

    >>> import polygrad as pg
    >>> pg.nn.Tanhshrink()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.tanhshrink(input)


class Softshrink(_Activation):
    """``x`` shrunk towards 0 by ``lambd``.

    >>> import polygrad as pg
    >>> pg.nn.Softshrink()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.softshrink(input, self.lambd)


class Hardshrink(_Activation):
    """``x`` outside of ``-lambd`` to ``lambd``, else 0.

    >>> import polygrad as pg
    >>> pg.nn.Hardshrink()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.hardshrink(input, self.lambd)


class Hardtanh(_Activation):
    """``x`` clipped to ``min_val`` and ``max_val``.

    >>> import polygrad as pg
    >>> pg.nn.Hardtanh()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        if min_val >= max_val:
            raise ValueError(f"Hardtanh: min_val must be below max_val, got {min_val} and {max_val}")
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.hardtanh(input, self.min_val, self.max_val, inplace=self.inplace)


class Hardsigmoid(_Activation):
    """``relu6(x + 3) / 6``.

    >>> import polygrad as pg
    >>> pg.nn.Hardsigmoid()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.hardsigmoid(input, inplace=self.inplace)


class Hardswish(_Activation):
    """``x * relu6(x + 3) / 6``.

    >>> import polygrad as pg
    >>> pg.nn.Hardswish()(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.hardswish(input, inplace=self.inplace)


class Threshold(_Activation):
    """``x`` above ``threshold``, else ``value``.

    >>> import polygrad as pg
    >>> pg.nn.Threshold(0.0, 0.5)(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.threshold(input, self.threshold, self.value, inplace=self.inplace)


class GLU(_Activation):
    """``a * sigmoid(b)`` of the two halves along ``dim``.

    >>> import polygrad as pg
    >>> pg.nn.GLU()(pg.asarray([-1.0, 2.0])).shape
    (1,)
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has half the length along ``dim``."""
        return F.glu(input, self.dim)


class Softmax(_Activation):
    """``exp(x) / sum(exp(x))`` along ``dim``.

    >>> import polygrad as pg
    >>> pg.nn.Softmax(0)(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.softmax(input, self.dim)


class Softmin(_Activation):
    """The softmax of ``-x`` along ``dim``.

    >>> import polygrad as pg
    >>> pg.nn.Softmin(0)(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.softmin(input, self.dim)


class LogSoftmax(_Activation):
    """``log(softmax(x))`` along ``dim``.

    >>> import polygrad as pg
    >>> pg.nn.LogSoftmax(0)(pg.asarray([-1.0, 2.0])).shape
    (2,)
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.log_softmax(input, self.dim)


class Softmax2d(Module):
    """The softmax over the channels of (batch, channels, height, width) or (channels, height, width).

    >>> import polygrad as pg
    >>> pg.nn.Softmax2d()(pg.ones((1, 2, 3, 3)))[0, :, 0, 0]
    tensor([0.5, 0.5], dtype=float64)
    """

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of three or four axes; the result has the same shape."""
        if input.ndim not in (3, 4):
            raise pg.errors.ShapeError(
                f"Softmax2d: needs (batch, channels, height, width) or without batch, got {input.shape}"
            )
        return F.softmax(input, -3)


class PReLU(Module):
    """``x`` above 0, else ``weight * x``, the weight being learnt.

    Args:
        num_parameters: 1, or the number of channels (axis 1).
        init: the weight's first value.
        device, dtype: of the weight.

    Attributes:
        weight: shape (num_parameters,).

    >>> import polygrad as pg
    >>> pg.nn.PReLU()(pg.asarray([-4.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(pg.full((num_parameters,), init, dtype=dtype or "float64", device=device))

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (batch, channels, ...); the result has the same."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """``x`` above 0, else ``a * x``, ``a`` drawn between ``lower`` and ``upper`` in training, else their mean.

    >>> import polygrad as pg
    >>> pg.nn.RReLU(0.0, 0.5).eval()(pg.asarray([-4.0, 2.0]))
    tensor([-1.,  2.], dtype=float64)
    """

    def __init__(
        self,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        inplace: bool = False,
        generator: pg.random.Generator | None = None,
    ) -> None:
        self.lower = lower
        self.upper = upper
        self.generator = generator
        self.inplace = inplace

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of any shape; the result has the same."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace, self.generator)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"
