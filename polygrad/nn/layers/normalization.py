"""Normalization layers."""

from __future__ import annotations

from typing import Any, ClassVar

import polygrad as pg
from polygrad.errors import ShapeError

from .. import functional as F
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "RMSNorm",
]


class _Affine(Module):
    """What scales and shifts what was normalized."""

    def _register(self, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        made = Parameter(pg.ones(shape, dtype=dtype, device=device)) if weight else None
        self.register_parameter("weight", made)
        self.biased = weight and bias
        made = Parameter(pg.zeros(shape, dtype=dtype, device=device)) if self.biased else None
        self.register_parameter("bias", made)


class LayerNorm(_Affine):
    """See :func:`polygrad.nn.functional.layer_norm`.

    >>> import polygrad as pg
    >>> pg.nn.LayerNorm(2, eps=0.0)(pg.asarray([1.0, 3.0])).tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self._register(self.normalized_shape, elementwise_affine, bias, device, dtype)

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (..., *normalized_shape)."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """See :func:`polygrad.nn.functional.rms_norm`.

    >>> import polygrad as pg
    >>> pg.nn.RMSNorm(2, eps=0.0)(pg.asarray([3.0, 3.0])).tolist()
    [1.0, 1.0]
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = Parameter(pg.ones(self.normalized_shape, dtype=dtype, device=device)) if elementwise_affine else None
        self.register_parameter("weight", weight)

    def forward(self, x: pg.Tensor) -> pg.Tensor:
        """``x`` of shape (..., *normalized_shape)."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):
    """See :func:`polygrad.nn.functional.group_norm`.

    >>> import polygrad as pg
    >>> pg.nn.GroupNorm(2, 4)(pg.ones((3, 4, 5))).shape
    (3, 4, 5)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels are no multiple of {num_groups} groups")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._register((num_channels,), affine, bias, device, dtype)

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, num_channels, ...)."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.biased}"


class _Running(_Affine):
    """Channels normalized, with running statistics."""

    ranks: ClassVar[tuple[int, ...]]
    """The numbers of dimensions it takes."""

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape, track = (num_features,), track_running_stats
        self._register(shape, affine, bias, device, dtype)
        self.register_buffer("running_mean", pg.zeros(shape, dtype=dtype, device=device) if track else None)
        self.register_buffer("running_var", pg.ones(shape, dtype=dtype, device=device) if track else None)
        self.register_buffer("num_batches_tracked", pg.zeros((), dtype="int64", device=device) if track else None)

    def _check(self, x: pg.Tensor) -> None:
        if x.ndim not in self.ranks:
            raise ShapeError(
                f"{type(self).__qualname__}: input must have {' or '.join(map(str, self.ranks))} dimensions, "
                f"got shape {x.shape}"
            )
        if x.shape[1] != self.num_features:
            raise ShapeError(
                f"{type(self).__qualname__}: input of shape {x.shape} has {x.shape[1]} channels, "
                f"the layer is for {self.num_features}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.biased}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Running):
    """See :func:`polygrad.nn.functional.batch_norm`.

    Args:
        num_features: C, the channels.
        eps: added to the variance.
        momentum: the share of each batch in the running statistics; None for the plain mean over all batches.
        affine: whether there are a weight and (unless ``bias=False``) a bias.
        track_running_stats: whether there are running statistics, by which ``eval()`` normalizes.
        device, dtype: of parameters and statistics.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, num_features, ...)."""
        self._check(input)
        momentum: Any = self.momentum
        counted = self.num_batches_tracked
        if self.training and counted is not None and input.size:
            with pg.no_grad():
                counted += 1
                if momentum is None:  # never read in Python: a step stays one graph
                    momentum = 1 / pg.astype(counted, self.running_mean.dtype)
        own = self.training or self.running_mean is None
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            own,
            0.0 if momentum is None else momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    ranks = (5,)


class _InstanceNorm(_Running):
    """See :func:`polygrad.nn.functional.instance_norm`; arguments as of :class:`BatchNorm1d`, but there are no weights and
    no running statistics unless asked for. An input without the axis N is one example."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: pg.Tensor) -> pg.Tensor:
        """``input`` of shape (N, num_features, ...) or (num_features, ...)."""
        single = input.ndim == self.ranks[0] - 1
        if single:
            input = pg.expand_dims(input, axis=0)
        self._check(input)
        own = self.training or self.running_mean is None
        made = F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, own, self.momentum or 0.0, self.eps
        )
        return made[0, ...] if single else made


class InstanceNorm1d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__
    ranks = (3,)


class InstanceNorm2d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__
    ranks = (4,)


class InstanceNorm3d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__
    ranks = (5,)
