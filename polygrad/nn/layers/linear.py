"""Affine and bilinear maps as layers."""

from __future__ import annotations

import math
from typing import Any

import polygrad as pg

from .. import functional as F
from .. import init
from ..module import Module
from ..parameter import Parameter

__all__ = ["Bilinear", "Identity", "Linear"]


class Linear(Module):
    """``x @ weight.T + bias``, with weights drawn as PyTorch draws them.

    Args:
        in_features, out_features: the lengths of the last axis before and after.
        bias: whether to add one.
        device: where the parameters live; the default device unless told.
        dtype: of the parameters; float64 unless told.

    Attributes:
        weight: shape (out_features, in_features), uniform in +-1/sqrt(in_features) at first.
        bias: shape (out_features,), likewise; or None.

    >>> import polygrad as pg
    >>> layer = pg.nn.Linear(3, 2, dtype="float32")
    >>> layer(pg.ones((5, 3), dtype="float32")).shape
    (5, 2)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(pg.zeros((out_features, in_features), dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(pg.zeros((out_features,), dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self, generator: pg.random.Generator | None = None) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (..., in_features); the result has shape (..., out_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """``x1^T weight[o] x2 + bias[o]``; see :func:`polygrad.nn.functional.bilinear`.

    Attributes:
        weight: shape (out_features, in1_features, in2_features), uniform in +-1/sqrt(in1_features) at first.
        bias: shape (out_features,), likewise; or None.

    >>> import polygrad as pg
    >>> pg.nn.Bilinear(2, 3, 4)(pg.ones((5, 2)), pg.ones((5, 3))).shape
    (5, 4)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        if in1_features < 1:
            raise ValueError(f"Bilinear: in1_features must be at least 1, got {in1_features}")
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(pg.zeros((out_features, in1_features, in2_features), dtype=dtype, device=device))
        self.register_parameter(
            "bias", Parameter(pg.zeros((out_features,), dtype=dtype, device=device)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self, generator: pg.random.Generator | None = None) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound, generator=generator)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def forward(self, input1: pg.Tensor, input2: pg.Tensor) -> pg.Tensor:
        """``input1`` (..., in1_features) and ``input2`` (..., in2_features); the result has shape (..., out_features)."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Identity(Module):
    """Gives back what it is given; takes and ignores any arguments.

    >>> import polygrad as pg
    >>> pg.nn.Identity(54, unused=True)(pg.ones(1))
    tensor([1.], dtype=float64)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Any) -> Any:
        """``input`` itself."""
        return input
