"""Resizing, padding, and moving of elements between channels and places."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import polygrad as pg

from .convolution import spread
from .pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, batch

__all__ = [
    "channel_shuffle", "fold", "interpolate", "local_response_norm", "pad", "pixel_shuffle", "pixel_unshuffle", "unfold",
]  # fmt: skip

_AREA: dict[int, Any] = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
_AXES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_PADS = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


# -- resizing ------------------------------------------------------------------------------------------


def _cubic(t: float) -> list[float]:
    """Weights of the elements at -1, 0, 1 and 2 for a place at t: cubic convolution with a = -3/4 (Keys, 1981)."""
    a = -0.75

    def near(x: float) -> float:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: float) -> float:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


@lru_cache(maxsize=256)
def _taps(mode: str, n: int, m: int, step: float, aligned: bool) -> list[tuple[list[int], list[float]]]:
    """For m places along an axis of n elements: lists of which elements to take, and with which weights."""
    if mode.startswith("nearest"):
        shift = 0.5 if mode == "nearest-exact" else 0.0
        return [([min(n - 1, math.floor((i + shift) * step)) for i in range(m)], [])]
    places = [i * step if aligned else (i + 0.5) * step - 0.5 for i in range(m)]
    if mode == "bicubic":
        firsts = [math.floor(p) for p in places]
        weights = [_cubic(p - f) for p, f in zip(places, firsts, strict=True)]
        return [([min(max(f + j - 1, 0), n - 1) for f in firsts], [own[j] for own in weights]) for j in range(4)]
    places = [max(p, 0.0) for p in places]
    firsts = [min(math.floor(p), n - 1) for p in places]
    behind = [p - f for p, f in zip(places, firsts, strict=True)]
    return [(firsts, [1 - b for b in behind]), ([min(f + 1, n - 1) for f in firsts], behind)]


def _resized(x: pg.Tensor, axis: int, taps: list[tuple[list[int], list[float]]]) -> pg.Tensor:
    made = None
    for indices, weights in taps:
        part = pg.take(x, pg.asarray(indices, device=x.device), axis=axis)
        if weights:
            column = pg.asarray(weights, dtype=x.dtype, device=x.device)
            part = part * pg.reshape(column, (len(weights), *(1,) * (x.ndim - 1 - axis)))
        made = part if made is None else made + part
    assert made is not None
    return made


def _sizes(lengths: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool) -> tuple[Any, Any]:
    """The new lengths, and how far apart their places are in the old ones."""
    n = len(lengths)
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give either size or scale_factor")
    if size is not None:
        size = spread("interpolate", "size", size, n, 1)
        return size, [m / o for m, o in zip(lengths, size, strict=True)]
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * n
    if len(factors) != n or not all(f > 0 for f in factors):
        raise ValueError(
            f"interpolate: scale_factor must be positive, or one for each of {n} axes, got {scale_factor!r}"
        )
    size = tuple([math.floor(m * f) for m, f in zip(lengths, factors, strict=True)])
    if 0 in size:
        raise pg.errors.ShapeError(f"interpolate: lengths {lengths} by {scale_factor!r} leave nothing: {size}")
    if recompute:
        return size, [m / o for m, o in zip(lengths, size, strict=True)]
    return size, [1 / f for f in factors]


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> pg.Tensor:
    """The input at other lengths.

    Args:
        input: shape (N, C, *lengths), floating.
        size: the new lengths; one number, or one for each axis.
        scale_factor: instead, what the lengths are multiplied with (and rounded down).
        mode: ``"nearest"`` (the element at ``floor(i n / m)``), ``"nearest-exact"`` (at ``floor((i + 1/2) n / m)``),
            ``"linear"``, ``"bilinear"``, ``"trilinear"``, ``"bicubic"`` or ``"area"`` (means of parts).
        align_corners: for the linear and cubic modes, whether the first and last elements stay where they are; else the
            edges of the elements do.
        recompute_scale_factor: use the ratio of the lengths, not ``scale_factor`` itself, to find places.

    Raises:
        ShapeError: for a number of dimensions that the mode is not for, or if nothing is left.
        DTypeError: for integers.
        ValueError: for settings that are none.

    >>> import polygrad as pg
    >>> pg.nn.functional.interpolate(pg.asarray([[[1.0, 3.0]]]), size=4, mode="linear")
    tensor([[[1. , 1.5, 2.5, 3. ]]], dtype=float64)
    """
    x = pg.asarray(input)
    n = x.ndim - 2
    if mode not in ("nearest", "nearest-exact", "area", *_AXES):
        raise ValueError(f"interpolate: mode {mode!r} is none of nearest, nearest-exact, area, {', '.join(_AXES)}")
    if n not in (1, 2, 3) or _AXES.get(mode, n) != n:
        raise pg.errors.ShapeError(f"interpolate: mode {mode!r} is not for input of shape {x.shape} (N, C, *lengths)")
    if not x.dtype.inexact:
        raise pg.errors.DTypeError(f"interpolate: needs a floating dtype, got {x.dtype}")
    if align_corners is not None and mode not in _AXES:
        raise ValueError(f"interpolate: align_corners is for {', '.join(_AXES)}, not for {mode!r}")
    lengths = tuple(x.shape[2:])
    sizes, steps = _sizes(lengths, size, scale_factor, bool(recompute_scale_factor))
    if mode == "area":
        made: pg.Tensor = _AREA[n](x, sizes)
        return made
    for i, (m, o, step) in enumerate(zip(lengths, sizes, steps, strict=True)):
        if align_corners:
            step = (m - 1) / (o - 1) if o > 1 else 0.0
        if m != o or step != 1.0:
            x = _resized(x, i + 2, _taps(mode, m, o, step, bool(align_corners)))
    return x


# -- padding -------------------------------------------------------------------------------------------


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> pg.Tensor:
    """The input with elements around it, or fewer.

    Args:
        input: any shape.
        pad: how many before and behind along the last axis, then along the one before it, and so on; with
            ``"constant"`` negative numbers take elements away.
        mode: ``"constant"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        value: of ``"constant"``; 0 unless told.

    Raises:
        ValueError: for another mode, an odd number of entries, or a value with another mode.
        ShapeError: if there are not so many axes, or nothing to repeat.

    >>> import polygrad as pg
    >>> pg.nn.functional.pad(pg.asarray([1.0, 2.0, 3.0]), (2, -1))
    tensor([0., 0., 1., 2.], dtype=float64)
    """
    x = pg.asarray(input)
    pad = tuple(pad)
    if mode not in _PADS:
        raise ValueError(f"pad: mode {mode!r} is none of {', '.join(_PADS)}")
    if len(pad) % 2 or not all(type(p) is int for p in pad):
        raise ValueError(f"pad: pairs of whole numbers are wanted, the last axis first; got {pad}")
    if len(pad) // 2 > x.ndim:
        raise pg.errors.ShapeError(f"pad: {len(pad) // 2} pairs {pad} for input of shape {x.shape}")
    if value is not None and mode != "constant":
        raise ValueError(f"pad: a value is for mode='constant', not for {mode!r}")
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    if any(p < 0 for pair in pairs for p in pair):
        if mode != "constant":
            raise ValueError(f"pad: mode {mode!r} cannot take elements away: {pad}")
        if any(low + m + high < 0 for m, (low, high) in zip(x.shape, pairs, strict=True)):
            raise pg.errors.ShapeError(f"pad: {pad} takes more away than input of shape {x.shape} has")
        x = x[tuple([slice(max(-a, 0), m - max(-b, 0)) for m, (a, b) in zip(x.shape, pairs, strict=True)])]
        pairs = [(max(a, 0), max(b, 0)) for a, b in pairs]
    if mode == "constant":
        return pg.pad(x, pairs, constant_values=0 if value is None else value)
    return pg.pad(x, pairs, mode=_PADS[mode])


# -- channels and places -------------------------------------------------------------------------------


def pixel_shuffle(input: Any, upscale_factor: int) -> pg.Tensor:
    """r * r channels as r x r places (Shi et al., 2016): (..., C r r, H, W) to (..., C, H r, W r).

    >>> import polygrad as pg
    >>> pg.nn.functional.pixel_shuffle(pg.ones((2, 8, 3, 3)), 2).shape
    (2, 2, 6, 6)
    """
    x, r = pg.asarray(input), upscale_factor
    if type(r) is not int or r < 1 or x.ndim < 3 or x.shape[-3] % (r * r):
        raise pg.errors.ShapeError(
            f"pixel_shuffle: input of shape {x.shape} must be (..., C r r, H, W) with r = {r!r} at least 1"
        )
    *lead, c, h, w = x.shape
    k = len(lead)
    x = pg.reshape(x, (*lead, c // (r * r), r, r, h, w))
    x = pg.permute_dims(x, (*range(k + 1), k + 3, k + 1, k + 4, k + 2))
    return pg.reshape(x, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> pg.Tensor:
    """What :func:`pixel_shuffle` undoes: (..., C, H r, W r) to (..., C r r, H, W).

    >>> import polygrad as pg
    >>> pg.nn.functional.pixel_unshuffle(pg.ones((2, 2, 6, 6)), 2).shape
    (2, 8, 3, 3)
    """
    x, r = pg.asarray(input), downscale_factor
    if type(r) is not int or r < 1 or x.ndim < 3 or x.shape[-1] % r or x.shape[-2] % r:
        raise pg.errors.ShapeError(
            f"pixel_unshuffle: input of shape {x.shape} must be (..., C, H r, W r) with r = {r!r} at least 1"
        )
    *lead, c, h, w = x.shape
    k = len(lead)
    x = pg.reshape(x, (*lead, c, h // r, r, w // r, r))
    x = pg.permute_dims(x, (*range(k + 1), k + 2, k + 4, k + 1, k + 3))
    return pg.reshape(x, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Any, groups: int) -> pg.Tensor:
    """The channels of ``groups`` groups, one of each in turn (Zhang et al., 2018).

    >>> import polygrad as pg
    >>> pg.reshape(pg.nn.functional.channel_shuffle(pg.reshape(pg.arange(4.0), (1, 4, 1)), 2), (-1,))
    tensor([0., 2., 1., 3.], dtype=float64)
    """
    x = pg.asarray(input)
    if x.ndim < 3 or type(groups) is not int or groups < 1 or x.shape[1] % groups:
        raise pg.errors.ShapeError(
            f"channel_shuffle: input of shape {x.shape} must be (N, C, ...), C a multiple of groups = {groups!r}"
        )
    n, c = x.shape[:2]
    parts = pg.reshape(x, (n, groups, c // groups, *x.shape[2:]))
    return pg.reshape(pg.permute_dims(parts, (0, 2, 1, *range(3, parts.ndim))), x.shape)


@lru_cache(maxsize=32)
def _unit_windows(channels: int, size: tuple[int, ...], dtype: pg.DType, device: pg.Device) -> pg.Tensor:
    """The weight of a convolution that gives the elements of each window as channels."""
    k = math.prod(size)
    eye = pg.reshape(pg.eye(k, dtype=dtype, device=device), (k, 1, *size))
    return pg.concat([eye] * channels, axis=0)


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> pg.Tensor:
    """All windows as columns.

    Args:
        input: shape (N, C, H, W) or (C, H, W).
        kernel_size, dilation, padding, stride: one number, or one for each axis.

    Returns:
        Shape (N, C kH kW, windows).

    Raises:
        ShapeError: for another number of dimensions, or if no window fits.

    >>> import polygrad as pg
    >>> pg.nn.functional.unfold(pg.ones((2, 3, 4, 5)), (2, 3)).shape
    (2, 18, 9)
    """
    x, alone = batch("unfold", input, 2)
    size, dilation = spread("unfold", "kernel_size", kernel_size, 2, 1), spread("unfold", "dilation", dilation, 2, 1)
    padding, stride = spread("unfold", "padding", padding, 2, 0), spread("unfold", "stride", stride, 2, 1)
    channels = x.shape[1]
    weight = _unit_windows(channels, size, x.dtype, x.device)
    made = pg.neural.conv(x, weight, stride=stride, padding=padding, dilation=dilation, groups=channels)
    made = pg.reshape(made, (*made.shape[:2], math.prod(made.shape[2:])))
    return pg.squeeze(made, axis=0) if alone else made


def fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> pg.Tensor:
    """The adjoint of :func:`unfold`: columns put back as windows and added up.

    Args:
        input: shape (N, C kH kW, windows) or (C kH kW, windows).
        output_size: H and W; one number, or one for each.
        kernel_size, dilation, padding, stride: as those of :func:`unfold`.

    Returns:
        Shape (N, C, H, W) or (C, H, W).

    Raises:
        ShapeError: if the columns are not those of such windows.

    >>> import polygrad as pg
    >>> pg.nn.functional.fold(pg.ones((2, 18, 9)), (4, 5), (2, 3)).shape
    (2, 3, 4, 5)
    """
    x, alone = batch("fold", input, 1)
    size, dilation = spread("fold", "kernel_size", kernel_size, 2, 1), spread("fold", "dilation", dilation, 2, 1)
    padding, stride = spread("fold", "padding", padding, 2, 0), spread("fold", "stride", stride, 2, 1)
    lengths = spread("fold", "output_size", output_size, 2, 1)
    places = [
        (m + 2 * p - d * (k - 1) - 1) // s + 1
        for m, p, d, k, s in zip(lengths, padding, dilation, size, stride, strict=True)
    ]
    if min(places) < 1 or x.shape[1] % math.prod(size) or x.shape[2] != math.prod(places):
        raise pg.errors.ShapeError(
            f"fold: input of shape {x.shape} must be (N, C * {math.prod(size)}, {math.prod(places)}) for windows {size} in "
            f"output_size {lengths}"
        )
    channels = x.shape[1] // math.prod(size)
    weight = _unit_windows(channels, size, x.dtype, x.device)
    made = pg.neural.conv_input(
        pg.reshape(x, (*x.shape[:2], *places)), weight, lengths,
        stride=stride, padding=padding, dilation=dilation, groups=channels,
    )  # fmt: skip
    return pg.squeeze(made, axis=0) if alone else made


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> pg.Tensor:
    """``x / (k + alpha * mean of x^2 over size channels around)^beta`` (Krizhevsky et al., 2012).

    Args:
        input: shape (N, C, ...), floating; channels beyond the first and last count as 0.
        size: how many neighbouring channels.
        alpha, beta, k: see the formula.

    Raises:
        ShapeError: for fewer than 3 dimensions.
        ValueError: if ``size`` is not at least 1.

    >>> import polygrad as pg
    >>> pg.nn.functional.local_response_norm(pg.ones((1, 2, 1)), 2, alpha=2.0, beta=1.0)
    tensor([[[0.5       ],
            [0.33333333]]], dtype=float64)
    """
    x = pg.asarray(input)
    if x.ndim < 3:
        raise pg.errors.ShapeError(f"local_response_norm: input must be (N, C, ...), at least 3-d, got shape {x.shape}")
    if type(size) is not int or size < 1:
        raise ValueError(f"local_response_norm: size must be a whole number of at least 1, got {size!r}")
    n, c = x.shape[:2]
    rows = pg.reshape(x * x, (n, 1, c, -1 if x.size else math.prod(x.shape[2:])))
    total = pg.neural.sum_windows(rows, (size, 1), stride=1, padding=((size // 2, (size - 1) // 2), 0))
    return x / (k + alpha * pg.reshape(total / size, x.shape)) ** beta
