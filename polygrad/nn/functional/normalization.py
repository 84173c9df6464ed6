"""Normalization."""

from __future__ import annotations

import math
from typing import Any

import polygrad as pg
from polygrad.errors import ShapeError

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm"]


def layer_norm(
    input: pg.Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> pg.Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes (Ba, Kiros and Hinton, 2016).

    Args:
        input: shape (..., *normalized_shape).
        normalized_shape: the lengths of the axes that are normalized together.
        weight, bias: of shape ``normalized_shape``, or None.
        eps: added to the variance.

    >>> import polygrad as pg
    >>> pg.nn.functional.layer_norm(pg.asarray([1.0, 3.0]), (2,), eps=0.0)
    tensor([-1.,  1.], dtype=float64)
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if input.shape[max(input.ndim - len(shape), 0) :] != shape:
        raise ShapeError(f"layer_norm: input of shape {input.shape} does not end in normalized_shape {shape}")
    made = _standardized(input, tuple(range(-len(shape), 0)), eps)[0]
    if weight is not None:
        made = made * weight
    return made if bias is None else made + bias


def rms_norm(input: pg.Tensor, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> pg.Tensor:
    """``x / sqrt(mean(x ** 2) + eps) * weight`` over the last axes (Zhang and Sennrich, 2019); ``eps`` is the dtype's
    own unless told.

    >>> import polygrad as pg
    >>> pg.nn.functional.rms_norm(pg.asarray([3.0, 3.0]), (2,), eps=0.0)
    tensor([1., 1.], dtype=float64)
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if input.shape[max(input.ndim - len(shape), 0) :] != shape:
        raise ShapeError(f"rms_norm: input of shape {input.shape} does not end in normalized_shape {shape}")
    axes = tuple(range(-len(shape), 0))
    least = pg.finfo(input.dtype).eps if eps is None else eps
    wide = input.astype("float32") if input.dtype.itemsize == 2 else input
    made = wide / pg.sqrt(pg.mean(wide * wide, axis=axes, keepdims=True) + least)
    if wide is not input:
        made = made.astype(input.dtype)
    return made if weight is None else made * weight


def _standardized(x: pg.Tensor, axes: tuple[int, ...], eps: float) -> tuple[pg.Tensor, pg.Tensor, pg.Tensor]:
    """``(x - mean) / sqrt(var + eps)`` along some axes, with the mean and the variance; half precision's in float32."""
    if x.dtype.itemsize == 2:
        made, mean, var = _standardized(x.astype("float32"), axes, eps)
        return made.astype(x.dtype), mean, var
    mean = pg.mean(x, axis=axes, keepdims=True)
    d = x - mean
    var = pg.mean(d * d, axis=axes, keepdims=True)
    return d / pg.sqrt(var + eps), mean, var


def _update(running: Any, fresh: pg.Tensor, momentum: Any) -> None:
    """Let a share of a fresh statistic (..., C) into a running one (C,), in place."""
    with pg.no_grad():
        fresh = pg.reshape(fresh.detach(), (-1, running.shape[0]))
        fresh = fresh[0, :] if fresh.shape[0] == 1 else pg.mean(fresh, axis=0)
        running += pg.astype((fresh - running) * momentum, running.dtype, copy=False)


def _channels(x: pg.Tensor, values: Any) -> Any:
    """Values of each channel, (C,) as (C, 1, ...)."""
    return pg.reshape(values, (-1, *[1] * (x.ndim - 2)))


def _scaled(x: pg.Tensor, weight: Any, bias: Any) -> pg.Tensor:
    if weight is not None:
        x = x * _channels(x, weight)
    return x if bias is None else x + _channels(x, bias)


def _check_channels(name: str, x: pg.Tensor, **arrays: Any) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{name}: input must be (N, C, ...), got shape {x.shape}")
    for what, value in arrays.items():
        if value is not None and value.shape != (x.shape[1],):
            raise ShapeError(
                f"{name}: {what} of shape {value.shape} does not fit the {x.shape[1]} channels of {x.shape}"
            )


def batch_norm(
    input: pg.Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> pg.Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` of each channel (Ioffe and Szegedy, 2015).

    Args:
        input: shape (N, C, ...).
        running_mean, running_var: shape (C,), changed in place when training: ``momentum`` of the batch's own mean and
            (unbiased) variance comes in. Or None.
        weight, bias: shape (C,), or None.
        training: normalize by the batch, not by the running statistics.
        momentum: a number, or a 0-d tensor.
        eps: added to the variance.

    Raises:
        ShapeError: shapes that do not fit; training on one value per channel, which has no variance.
        ValueError: not training, without running statistics.

    >>> import polygrad as pg
    >>> pg.nn.functional.batch_norm(pg.asarray([[1.0], [3.0]]), None, None, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]], dtype=float64)
    """
    _check_channels("batch_norm", input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: without training=True the running mean and variance are needed")
        made = (input - _channels(input, running_mean)) / _channels(input, pg.sqrt(running_var + eps))
        return _scaled(made, weight, bias)
    axes = (0, *range(2, input.ndim))
    count = input.size // max(input.shape[1], 1)
    if count == 0:  # nothing to learn from, and nothing to normalize
        return _scaled(input, weight, bias)
    if count == 1:
        raise ShapeError(f"batch_norm: input of shape {input.shape} has one value per channel, which has no variance")
    made, mean, var = _standardized(input, axes, eps)
    if running_mean is not None:
        _update(running_mean, mean, momentum)
        _update(running_var, var * (count / (count - 1)), momentum)
    return _scaled(made, weight, bias)


def instance_norm(
    input: pg.Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> pg.Tensor:
    """:func:`batch_norm` of each example of its own (Ulyanov et al., 2016); arguments and errors as there, and
    ``use_input_stats`` in place of ``training``.

    >>> import polygrad as pg
    >>> pg.nn.functional.instance_norm(pg.asarray([[[1.0, 3.0]]]), eps=0.0)
    tensor([[[-1.,  1.]]], dtype=float64)
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    _check_channels(
        "instance_norm", input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    axes = tuple(range(2, input.ndim))
    count = math.prod(input.shape[2:])
    if input.size == 0:
        return _scaled(input, weight, bias)
    if count == 1:
        raise ShapeError(f"instance_norm: input of shape {input.shape} has one value per channel and example")
    made, mean, var = _standardized(input, axes, eps)
    if running_mean is not None:
        _update(running_mean, mean, momentum)
        _update(running_var, var * (count / (count - 1)), momentum)
    return _scaled(made, weight, bias)


def group_norm(input: pg.Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> pg.Tensor:
    """Each example's channels normalized in groups (Wu and He, 2018).

    Args:
        input: shape (N, C, ...); ``C`` is a multiple of ``num_groups``.
        num_groups: how many groups.
        weight, bias: shape (C,), or None.
        eps: added to the variance.

    Raises:
        ShapeError: shapes that do not fit.

    >>> import polygrad as pg
    >>> pg.nn.functional.group_norm(pg.asarray([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]], dtype=float64)
    """
    _check_channels("group_norm", input, weight=weight, bias=bias)
    if num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: the {input.shape[1]} channels of {input.shape} are no multiple of {num_groups} groups"
        )
    if input.size == 0:
        return _scaled(input, weight, bias)
    grouped = pg.reshape(input, (input.shape[0], num_groups, -1))
    made = _standardized(grouped, (2,), eps)[0]
    return _scaled(pg.reshape(made, input.shape), weight, bias)
