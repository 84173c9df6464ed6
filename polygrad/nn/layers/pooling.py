"""Pooling as layers."""

from __future__ import annotations

from typing import Any, ClassVar

import polygrad as pg

from .. import functional as F
from ..module import Module

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d",
]  # fmt: skip

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG: dict[int, Any] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_ADAPTIVE_AVG: dict[int, Any] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
_ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


class _MaxPool(Module):
    axes: ClassVar[int]

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: pg.Tensor) -> Any:
        """``input`` of shape (N, C, *lengths) or (C, *lengths)."""
        return _MAX[self.axes](
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window along one axis; see :class:`MaxPool2d`.

    >>> import polygrad as pg
    >>> pg.nn.MaxPool1d(2)(pg.asarray([[1.0, 3.0, 2.0, 2.0]]))
    tensor([[3., 2.]], dtype=float64)
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """The largest element of each window along two axes; see :func:`polygrad.nn.functional.max_pool2d`.

    >>> import polygrad as pg
    >>> pg.nn.MaxPool2d(3, stride=2, padding=1)(pg.ones((1, 2, 8, 8))).shape
    (1, 2, 4, 4)
    """

    axes = 2


class MaxPool3d(_MaxPool):
    """The largest element of each window along three axes; see :class:`MaxPool2d`.

    >>> import polygrad as pg
    >>> pg.nn.MaxPool3d(2)(pg.ones((1, 2, 4, 4, 4))).shape
    (1, 2, 2, 2, 2)
    """

    axes = 3


class _AvgPool(Module):
    axes: ClassVar[int]

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, C, *lengths) or (C, *lengths)."""
        more = () if self.axes == 1 else (self.divisor_override,)
        made: pg.Tensor = _AVG[self.axes](
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, *more
        )
        return made

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window along one axis; see :class:`AvgPool2d`.

    >>> import polygrad as pg
    >>> pg.nn.AvgPool1d(2)(pg.asarray([[1.0, 3.0, 2.0, 2.0]]))
    tensor([[2., 2.]], dtype=float64)
    """

    axes = 1

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool2d(_AvgPool):
    """The mean of each window along two axes; see :func:`polygrad.nn.functional.avg_pool2d`.

    >>> import polygrad as pg
    >>> pg.nn.AvgPool2d(2)(pg.ones((1, 2, 8, 8))).shape
    (1, 2, 4, 4)
    """

    axes = 2


class AvgPool3d(_AvgPool):
    """The mean of each window along three axes; see :class:`AvgPool2d`.

    >>> import polygrad as pg
    >>> pg.nn.AvgPool3d(2)(pg.ones((1, 2, 4, 4, 4))).shape
    (1, 2, 2, 2, 2)
    """

    axes = 3


class _AdaptiveAvgPool(Module):
    axes: ClassVar[int]

    def __init__(self, output_size: Any) -> None:
        self.output_size = output_size

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, C, *lengths) or (C, *lengths)."""
        made: pg.Tensor = _ADAPTIVE_AVG[self.axes](input, self.output_size)
        return made

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of each of so many parts of one axis; see :class:`AdaptiveAvgPool2d`.

    >>> import polygrad as pg
    >>> pg.nn.AdaptiveAvgPool1d(1)(pg.asarray([[1.0, 3.0, 2.0, 2.0]]))
    tensor([[2.]], dtype=float64)
    """

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of each of so many parts; see :func:`polygrad.nn.functional.adaptive_avg_pool2d`.

    >>> import polygrad as pg
    >>> pg.nn.AdaptiveAvgPool2d((3, None))(pg.ones((1, 2, 8, 8))).shape
    (1, 2, 3, 8)
    """

    axes = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The mean of each of so many parts of three axes; see :class:`AdaptiveAvgPool2d`.

    >>> import polygrad as pg
    >>> pg.nn.AdaptiveAvgPool3d(2)(pg.ones((1, 2, 5, 4, 3))).shape
    (1, 2, 2, 2, 2)
    """

    axes = 3


class _AdaptiveMaxPool(Module):
    axes: ClassVar[int]

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: pg.Tensor) -> Any:
        """``input`` of shape (N, C, *lengths) or (C, *lengths)."""
        return _ADAPTIVE_MAX[self.axes](input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest element of each of so many parts of one axis; see :class:`AdaptiveMaxPool2d`.

    >>> import polygrad as pg
    >>> pg.nn.AdaptiveMaxPool1d(1)(pg.asarray([[1.0, 3.0, 2.0, 2.0]]))
    tensor([[3.]], dtype=float64)
    """

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest element of each of so many parts; see :func:`polygrad.nn.functional.adaptive_max_pool2d`.

    >>> import polygrad as pg
    >>> pg.nn.AdaptiveMaxPool2d(3)(pg.ones((1, 2, 8, 8))).shape
    (1, 2, 3, 3)
    """

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest element of each of so many parts of three axes; see :class:`AdaptiveMaxPool2d`.

    >>> import polygrad as pg
    >>> pg.nn.AdaptiveMaxPool3d(2)(pg.ones((1, 2, 5, 4, 3))).shape
    (1, 2, 2, 2, 2)
    """

    axes = 3
