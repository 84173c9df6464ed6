"""Resizing, padding, and moving of elements between channels and places, as layers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import polygrad as pg

from .. import functional as F
from ..functional.convolution import spread
from ..module import Module

__all__ = [
    "ChannelShuffle",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Fold",
    "LocalResponseNorm",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "Unflatten",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]  # fmt: skip


class Upsample(Module):
    """The input at other lengths; see :func:`polygrad.nn.functional.interpolate`.

    >>> import polygrad as pg
    >>> pg.nn.Upsample(scale_factor=2, mode="bilinear")(pg.ones((1, 2, 4, 3))).shape
    (1, 2, 8, 6)
    """

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, C, *lengths)."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        first = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{first}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """The nearest elements at other lengths.

    >>> import polygrad as pg
    >>> pg.nn.UpsamplingNearest2d(scale_factor=2)(pg.ones((1, 2, 4, 3))).shape
    (1, 2, 8, 6)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Bilinear interpolation at other lengths; the corners stay where they are.

    >>> import polygrad as pg
    >>> pg.nn.UpsamplingBilinear2d(size=(8, 6))(pg.ones((1, 2, 4, 3))).shape
    (1, 2, 8, 6)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)


class PixelShuffle(Module):
    """r * r channels as r x r places; see :func:`polygrad.nn.functional.pixel_shuffle`.

    >>> import polygrad as pg
    >>> pg.nn.PixelShuffle(2)(pg.ones((2, 8, 3, 3))).shape
    (2, 2, 6, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (..., C r r, H, W)."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """What :class:`PixelShuffle` undoes.

    >>> import polygrad as pg
    >>> pg.nn.PixelUnshuffle(2)(pg.ones((2, 2, 6, 6))).shape
    (2, 8, 3, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (..., C, H r, W r)."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """The channels of several groups, one of each in turn; see :func:`polygrad.nn.functional.channel_shuffle`.

    >>> import polygrad as pg
    >>> pg.nn.ChannelShuffle(2)(pg.ones((1, 4, 2))).shape
    (1, 4, 2)
    """

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, C, ...)."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class Unfold(Module):
    """All windows as columns; see :func:`polygrad.nn.functional.unfold`.

    >>> import polygrad as pg
    >>> pg.nn.Unfold((2, 3))(pg.ones((2, 3, 4, 5))).shape
    (2, 18, 9)
    """

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, C, H, W) or (C, H, W)."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """Columns put back as windows and added up; see :func:`polygrad.nn.functional.fold`.

    >>> import polygrad as pg
    >>> pg.nn.Fold((4, 5), (2, 3))(pg.ones((2, 18, 9))).shape
    (2, 3, 4, 5)
    """

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, C kH kW, windows) or (C kH kW, windows)."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class Unflatten(Module):
    """One axis as several.

    Args:
        dim: the axis, counted from the end if negative.
        unflattened_size: the lengths it becomes; one of them may be -1.

    >>> import polygrad as pg
    >>> pg.nn.Unflatten(1, (2, -1))(pg.ones((3, 8))).shape
    (3, 2, 4)
    """

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (..., n, ...)."""
        axis = self.dim + input.ndim * (self.dim < 0)
        sizes = self.unflattened_size
        known = math.prod(s for s in sizes if s != -1)
        fits = 0 <= axis < input.ndim and sizes.count(-1) < 2
        if fits:
            n = input.shape[axis]
            fits = (known > 0 and n % known == 0) if -1 in sizes else n == known
        if not fits:
            raise pg.errors.ShapeError(f"Unflatten: axis {self.dim} of shape {input.shape} cannot become {sizes}")
        sizes = tuple([input.shape[axis] // known if s == -1 else s for s in sizes])
        return pg.reshape(input, (*input.shape[:axis], *sizes, *input.shape[axis + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class LocalResponseNorm(Module):
    """Channels divided by what stands around; see :func:`polygrad.nn.functional.local_response_norm`.

    >>> import polygrad as pg
    >>> pg.nn.LocalResponseNorm(2)(pg.ones((1, 4, 3, 3))).shape
    (1, 4, 3, 3)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, C, ...)."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


# -- padding -------------------------------------------------------------------------------------------


class _Pad(Module):
    axes: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: Any) -> None:
        given = padding if isinstance(padding, (tuple, list)) else (padding,)
        least = 0 if self.mode != "constant" else -(2**31)
        self.padding = spread(type(self).__name__, "padding", given, 2 * self.axes, least)

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, C, *lengths) or (C, *lengths)."""
        if input.ndim not in (self.axes + 1, self.axes + 2):
            raise pg.errors.ShapeError(
                f"{type(self).__name__}: x of shape {input.shape} must have {self.axes + 2} dimensions, or {self.axes + 1} "
                "without a batch"
            )
        return F.pad(input, self.padding, self.mode, getattr(self, "value", None))

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    mode = "constant"


class ConstantPad1d(_ConstantPad):
    """A value around one axis; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ConstantPad1d(1, 2.0)(pg.ones((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """A value around two axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ConstantPad2d(1, 2.0)(pg.ones((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2


class ConstantPad3d(_ConstantPad):
    """A value around three axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ConstantPad3d(1, 2.0)(pg.ones((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3


class ZeroPad1d(_ZeroPad):
    """Zeros around one axis; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ZeroPad1d(1)(pg.ones((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around two axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ZeroPad2d(1)(pg.ones((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around three axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ZeroPad3d(1)(pg.ones((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3


class ReflectionPad1d(_Pad):
    """The mirrored input around one axis; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ReflectionPad1d(1)(pg.ones((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """The mirrored input around two axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ReflectionPad2d(1)(pg.ones((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """The mirrored input around three axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ReflectionPad3d(1)(pg.ones((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """The outermost elements around one axis; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ReplicationPad1d(1)(pg.ones((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """The outermost elements around two axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ReplicationPad2d(1)(pg.ones((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """The outermost elements around three axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.ReplicationPad3d(1)(pg.ones((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """The other end around one axis; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.CircularPad1d(1)(pg.ones((1, 2, 4))).shape
    (1, 2, 6)
    """

    axes = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """The other end around two axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.CircularPad2d(1)(pg.ones((1, 2, 4, 4))).shape
    (1, 2, 6, 6)
    """

    axes = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """The other end around three axes; ``padding`` is one number, or as :func:`polygrad.nn.functional.pad` takes it.

    >>> import polygrad as pg
    >>> pg.nn.CircularPad3d(1)(pg.ones((1, 2, 4, 4, 4))).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3
    mode = "circular"
