"""Convolutions and transposed convolutions, along one, two or three axes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import polygrad as pg

from .loss import beside

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

Pairs = tuple[tuple[int, int], ...]


def spread(name: str, argument: str, value: Any, n: int, least: int) -> tuple[int, ...]:
    """One number for each of n axes."""
    made = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(made) == 1:
        made = made * n
    if len(made) != n or not all(type(v) is int and v >= least for v in made):
        raise ValueError(
            f"{name}: {argument} must be a whole number of at least {least}, or one for each of {n} axes, got {value!r}"
        )
    return made


@lru_cache(maxsize=256)
def _same(name: str, size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Pairs:
    """The padding that keeps lengths; where it is odd, the more of it stands behind."""
    if any(s != 1 for s in stride):
        raise ValueError(
            f"{name}: padding='same' keeps the lengths, which strides other than 1 do not; stride={stride}"
        )
    totals = [d * (k - 1) for k, d in zip(size, dilation, strict=True)]
    return tuple([(t // 2, t - t // 2) for t in totals])


def paddings(name: str, padding: Any, size: Any, stride: Any, dilation: Any) -> Any:
    """Numbers, ``"same"`` or ``"valid"`` as what :func:`polygrad.neural.conv` takes."""
    if not isinstance(padding, str):
        return spread(name, "padding", padding, len(size), 0)
    if padding not in ("same", "valid"):
        raise ValueError(f"{name}: padding must be a number, one for each axis, 'same' or 'valid', got {padding!r}")
    if padding == "valid":
        return 0
    n = len(size)
    return _same(name, tuple(size), spread(name, "stride", stride, n, 1), spread(name, "dilation", dilation, n, 1))


def _batch(name: str, x: Any, weight: Any, n: int) -> tuple[Any, Any, bool]:
    """``x`` with an axis of samples, the weight as a Tensor, and whether there was no such axis."""
    if not isinstance(x, pg.Tensor):
        x = pg.asarray(x)
    weight = beside(weight, x)
    if x.ndim not in (n + 1, n + 2) or weight.ndim != n + 2:
        raise pg.errors.ShapeError(
            f"{name}: x of shape {x.shape} and weight of shape {weight.shape}; x must have {n + 2} dimensions, or {n + 1} "
            f"without a batch, and the weight {n + 2}"
        )
    if x.dtype is not weight.dtype:
        raise pg.errors.DTypeError(
            f"{name}: x is {x.dtype}, but the weight {weight.dtype}; cast one with pg.astype, or the layer with .to"
        )
    alone = x.ndim == n + 1
    return (pg.expand_dims(x, axis=0) if alone else x), weight, alone


def _finish(name: str, out: Any, bias: Any, alone: bool) -> pg.Tensor:
    if bias is not None:
        bias = beside(bias, out)
        if bias.shape != (out.shape[1],):
            raise pg.errors.ShapeError(f"{name}: bias of shape {bias.shape}, but there are {out.shape[1]} outputs")
        out = out + pg.reshape(bias, (out.shape[1], *(1,) * (out.ndim - 2)))
    return pg.squeeze(out, axis=0) if alone else out


def _conv(n: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> pg.Tensor:
    name = f"conv{n}d"
    x, weight, alone = _batch(name, x, weight, n)
    if x.shape[1] != weight.shape[1] * groups:
        raise pg.errors.ShapeError(
            f"{name}: x of shape {x.shape} has {x.shape[1]} channels, but the weight of shape {weight.shape} in {groups} "
            f"groups is for {weight.shape[1] * groups}"
        )
    stride, dilation = spread(name, "stride", stride, n, 1), spread(name, "dilation", dilation, n, 1)
    pads = paddings(name, padding, weight.shape[2:], stride, dilation)
    out = pg.neural.conv(x, weight, stride=stride, padding=pads, dilation=dilation, groups=groups)
    return _finish(name, out, bias, alone)


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> pg.Tensor:
    """Convolution along one axis, as :func:`conv2d` along two: input (N, C, L) or (C, L).

    >>> import polygrad as pg
    >>> pg.nn.functional.conv1d(pg.asarray([[1.0, 2.0, 4.0]]), pg.asarray([[[1.0, -1.0]]]))
    tensor([[-1., -2.]], dtype=float64)
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> pg.Tensor:
    """Convolution along two axes (a correlation: the window is not turned).

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        weight: shape (O, C / groups, kH, kW).
        bias: shape (O,), or None.
        stride, dilation: one number, or one for each axis.
        padding: zeros before and behind; one number, one for each axis, ``"valid"`` (none) or ``"same"`` (as many as
            keep the lengths, with stride 1).
        groups: into how many groups the channels are divided, each with outputs of its own.

    Raises:
        ShapeError: if the shapes do not fit.
        DTypeError: if input and weight differ in dtype.
        ValueError: for settings that are none.

    >>> import polygrad as pg
    >>> pg.nn.functional.conv2d(pg.ones((1, 1, 4, 4)), pg.ones((2, 1, 3, 3)), padding="same").shape
    (1, 2, 4, 4)
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> pg.Tensor:
    """Convolution along three axes, as :func:`conv2d` along two: input (N, C, D, H, W) or (C, D, H, W).

    >>> import polygrad as pg
    >>> pg.nn.functional.conv3d(pg.ones((1, 3, 3, 3)), pg.ones((2, 1, 2, 2, 2))).shape
    (2, 2, 2, 2)
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _transpose(
    n: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, more: Any, groups: int, dilation: Any
) -> pg.Tensor:
    name = f"conv_transpose{n}d"
    x, weight, alone = _batch(name, x, weight, n)
    if x.shape[1] != weight.shape[0]:
        raise pg.errors.ShapeError(
            f"{name}: x of shape {x.shape} has {x.shape[1]} channels, but the weight of shape {weight.shape} is for "
            f"{weight.shape[0]}"
        )
    stride, dilation = spread(name, "stride", stride, n, 1), spread(name, "dilation", dilation, n, 1)
    padding, more = spread(name, "padding", padding, n, 0), spread(name, "output_padding", more, n, 0)
    if any(m >= max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)):
        raise ValueError(f"{name}: output_padding {more} must be less than stride {stride} or dilation {dilation}")
    lengths = tuple(
        [
            (m - 1) * s - 2 * p + d * (k - 1) + o + 1
            for m, s, p, d, k, o in zip(x.shape[2:], stride, padding, dilation, weight.shape[2:], more, strict=True)
        ]
    )
    if any(length < 1 for length in lengths):
        raise pg.errors.ShapeError(
            f"{name}: x of shape {x.shape} gives no output with stride {stride}, padding {padding}, dilation {dilation} "
            f"and output_padding {more}"
        )
    # A convolution may leave less than a stride over behind. What output_padding (up to the dilation) has beyond that
    # is less padding behind, and where there is none, zeros.
    over = [max(0, o - s + 1) for o, s in zip(more, stride, strict=True)]
    zeros = [max(0, o - p) for o, p in zip(over, padding, strict=True)]
    pads = tuple([(p, max(0, p - o)) for p, o in zip(padding, over, strict=True)])
    reached = tuple([length - z for length, z in zip(lengths, zeros, strict=True)])
    out = pg.neural.conv_input(x, weight, reached, stride=stride, padding=pads, dilation=dilation, groups=groups)
    if any(zeros):
        out = pg.pad(out, [(0, 0), (0, 0), *[(0, z) for z in zeros]])
    return _finish(name, out, bias, alone)


def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> pg.Tensor:  # fmt: skip
    """Transposed convolution along one axis, as :func:`conv_transpose2d` along two.

    >>> import polygrad as pg
    >>> pg.nn.functional.conv_transpose1d(pg.asarray([[1.0, 2.0]]), pg.asarray([[[1.0, -1.0]]]))
    tensor([[ 1.,  1., -2.]], dtype=float64)
    """
    return _transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> pg.Tensor:  # fmt: skip
    """The adjoint of a convolution along two axes: each element of the input puts one window into the output.

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        weight: shape (C, O / groups, kH, kW).
        bias: shape (O,), or None.
        stride, padding, dilation, groups: of the convolution it is the adjoint of.
        output_padding: how much longer the output is, for a convolution of stride s makes s lengths one.

    Returns:
        Lengths ``(H - 1) * stride - 2 * padding + dilation * (kH - 1) + output_padding + 1``.

    Raises:
        ShapeError: if the shapes do not fit.
        DTypeError: if input and weight differ in dtype.
        ValueError: for settings that are none.

    >>> import polygrad as pg
    >>> pg.nn.functional.conv_transpose2d(pg.ones((1, 2, 2, 2)), pg.ones((2, 3, 2, 2)), stride=2).shape
    (1, 3, 4, 4)
    """
    return _transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> pg.Tensor:  # fmt: skip
    """Transposed convolution along three axes, as :func:`conv_transpose2d` along two.

    >>> import polygrad as pg
    >>> pg.nn.functional.conv_transpose3d(pg.ones((1, 2, 2, 2)), pg.ones((1, 1, 2, 2, 2))).shape
    (1, 3, 3, 3)
    """
    return _transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
