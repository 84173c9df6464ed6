"""Convolutions as layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import polygrad as pg

from .. import functional as F
from .. import init
from ..functional.convolution import paddings, spread
from ..module import Module
from ..parameter import Parameter

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Convolution(Module):
    """What the layers share: settings, parameters, initial values."""

    axes: ClassVar[int]
    turned: ClassVar[bool] = False
    weight: Parameter
    bias: Parameter | None

    def _prepare(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        groups: int, bias: bool, padding_mode: str, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        name, n = type(self).__name__, self.axes
        if type(groups) is not int or groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: {in_channels} channels in and {out_channels} out cannot be divided into {groups!r} groups"
            )
        if padding_mode not in _MODES:
            raise ValueError(f"{name}: padding_mode must be one of {', '.join(_MODES)}, got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = spread(name, "kernel_size", kernel_size, n, 1)
        self.stride = spread(name, "stride", stride, n, 1)
        self.dilation = spread(name, "dilation", dilation, n, 1)
        paddings(name, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else spread(name, "padding", padding, n, 0)
        self.padding_mode = padding_mode
        first, second = (in_channels, out_channels) if self.turned else (out_channels, in_channels)
        shape = (first, second // groups, *self.kernel_size)
        self.weight = Parameter(pg.zeros(shape, dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(pg.zeros((out_channels,), dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self, generator: pg.random.Generator | None = None) -> None:
        """Draw the parameters anew: uniform in +-1/sqrt(fan in), as PyTorch does."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        fan_in = math.prod(self.weight.shape[1:])
        if self.bias is not None:
            bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if isinstance(self.padding, str) or any(self.padding):
            text += f", padding={self.padding!r}"
        text += f", dilation={self.dilation}" if any(d != 1 for d in self.dilation) else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        text += ", bias=False" if self.bias is None else ""
        return text + (f", padding_mode={self.padding_mode!r}" if self.padding_mode != "zeros" else "")


class _Conv(_Convolution):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        self._prepare(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, C, *lengths) or (C, *lengths)."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            if input.ndim not in (self.axes + 1, self.axes + 2):
                raise pg.errors.ShapeError(
                    f"{type(self).__name__}: x of shape {input.shape} must have {self.axes + 2} dimensions, or "
                    f"{self.axes + 1} without a batch"
                )
            pads = paddings(type(self).__name__, padding, self.kernel_size, self.stride, self.dilation)
            pairs = [p if isinstance(p, tuple) else (p, p) for p in (pads or (0,) * self.axes)]
            input = pg.pad(input, [(0, 0)] * (input.ndim - self.axes) + pairs, mode=_MODES[self.padding_mode])
            padding = 0
        return _FUNCTIONS[self.axes](input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


_FUNCTIONS: dict[int, Callable[..., pg.Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSES: dict[int, Callable[..., pg.Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class Conv1d(_Conv):
    """Convolution along one axis; see :class:`Conv2d`.

    >>> import polygrad as pg
    >>> pg.nn.Conv1d(3, 8, 5, padding=2)(pg.ones((2, 3, 10))).shape
    (2, 8, 10)
    """

    axes = 1


class Conv2d(_Conv):
    """Convolution along two axes.

    Args:
        in_channels, out_channels: how many channels come in and go out.
        kernel_size, stride, padding, dilation, groups: see :func:`polygrad.nn.functional.conv2d`.
        bias: whether to add one.
        padding_mode: what is put around: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device: where the parameters live; the default device unless told.
        dtype: of the parameters; float64 unless told.

    Attributes:
        weight: shape (out_channels, in_channels / groups, *kernel_size).
        bias: shape (out_channels,); or None.

    >>> import polygrad as pg
    >>> pg.nn.Conv2d(1, 6, 5, padding="same")
    Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding='same')
    """

    axes = 2


class Conv3d(_Conv):
    """Convolution along three axes; see :class:`Conv2d`.

    >>> import polygrad as pg
    >>> pg.nn.Conv3d(1, 2, 3)(pg.ones((2, 1, 4, 4, 4))).shape
    (2, 2, 2, 2, 2)
    """

    axes = 3


class _ConvTranspose(_Convolution):
    turned = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros" or isinstance(padding, str):
            raise ValueError(f"{type(self).__name__}: takes zeros as padding, and their number")
        self._prepare(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.output_padding = spread(type(self).__name__, "output_padding", output_padding, self.axes, 0)

    def extra_repr(self) -> str:
        more = f", output_padding={self.output_padding}" if any(self.output_padding) else ""
        text, bias, rest = super().extra_repr().partition(", bias=False")
        return text + more + bias + rest

    def forward(self, input: pg.Tensor, output_size: Any = None) -> pg.Tensor:
        """``input`` of shape (N, C, *lengths) or (C, *lengths); with ``output_size`` the output has these lengths."""
        more = self.output_padding if output_size is None else self._padding_for(input, tuple(output_size))
        return _TRANSPOSES[self.axes](
            input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation
        )

    def _padding_for(self, x: pg.Tensor, wanted: tuple[int, ...]) -> tuple[int, ...]:
        padding = spread(type(self).__name__, "padding", self.padding, self.axes, 0)
        settings = zip(x.shape[-self.axes :], self.stride, padding, self.dilation, self.kernel_size, strict=True)
        least = [(m - 1) * s - 2 * p + d * (k - 1) + 1 for m, s, p, d, k in settings]
        more = tuple([w - m for w, m in zip(wanted[-self.axes :], least, strict=True)])
        if any(not 0 <= m < s for m, s in zip(more, self.stride, strict=True)):
            raise pg.errors.ShapeError(
                f"{type(self).__name__}: x of shape {x.shape} can have lengths {tuple(least)} and up to a stride "
                f"{self.stride} less one more, not {wanted}"
            )
        return more


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution along one axis; see :class:`ConvTranspose2d`.

    >>> import polygrad as pg
    >>> pg.nn.ConvTranspose1d(3, 8, 2, stride=2)(pg.ones((2, 3, 10))).shape
    (2, 8, 20)
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution along two axes; see :func:`polygrad.nn.functional.conv_transpose2d`.

    Attributes:
        weight: shape (in_channels, out_channels / groups, *kernel_size).
        bias: shape (out_channels,); or None.

    >>> import polygrad as pg
    >>> pg.nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1)(pg.ones((1, 4, 5, 5))).shape
    (1, 2, 10, 10)
    """

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution along three axes; see :class:`ConvTranspose2d`.

    >>> import polygrad as pg
    >>> pg.nn.ConvTranspose3d(1, 2, 2)(pg.ones((1, 1, 2, 2, 2))).shape
    (1, 2, 3, 3, 3)
    """

    axes = 3
