"""Pooling: the largest element of each window, and the sum of each window.

The largest of a window is chosen once, by its place in the window, and derivatives follow the choice: what is chosen
depends on ``x`` linearly then, so that its derivatives of any order are choices and their adjoints. Sums of windows and
their adjoint are linear, and each is the other's derivative.
"""

from __future__ import annotations

from math import inf, prod
from typing import TYPE_CHECKING, Any

from ..core.apply import apply, apply_multiple
from ..core.declare import op
from ..core.kernels import BATCHED, ON_TENSORS, kernel
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike, Namespace, Raw
from .convolution import Ints, Pairs, out_lengths, padded, setting_of, spread, window_keys
from .creation import asarray
from .manipulation import reshape

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["max_pool", "spread_windows", "sum_windows"]


# -- the kernels ---------------------------------------------------------------------------------------


@kernel
def max_windows(xp: Namespace, x: Raw, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> tuple[Raw, Raw]:
    """The largest element of each window, and its place there (the first such one, or the first nan)."""
    out = out_lengths(tuple(x.shape[2:]), size, strides, pads, dilation)
    keys = window_keys(size, out, strides, dilation)
    around = padded(xp, x, pads, -inf)
    seen = xp.stack([around[key] for key in keys], axis=2)
    top = xp.max(seen, axis=2, keepdims=True)
    hit = (seen == top) | xp.isnan(seen)
    if around is not x:  # where all is -inf, what stands around is not chosen
        inside = padded(xp, xp.ones_like(x), pads) != 0
        hit = hit & xp.stack([inside[key] for key in keys], axis=2)
    chosen = xp.argmax(xp.astype(hit, xp.uint8), axis=2)
    return xp.squeeze(top, axis=2), xp.astype(chosen, xp.uint8 if prod(size) <= 256 else xp.int64)


@kernel
def take_chosen(xp: Namespace, t: Raw, chosen: Raw, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Raw:
    """The elements of ``t`` at places that were chosen."""
    around = padded(xp, t, pads)
    nothing = xp.zeros_like(t[(slice(0, 1),) * t.ndim])
    total = None
    for i, key in enumerate(window_keys(size, tuple(chosen.shape[2:]), strides, dilation)):
        part = xp.where(chosen == i, around[key], nothing)
        total = part if total is None else total + part
    return total


@kernel
def spread_chosen(
    xp: Namespace, g: Raw, chosen: Raw, lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints
) -> Raw:
    """Its adjoint: ``g`` at places that were chosen, added up, and zeros elsewhere."""
    around = (*g.shape[:2], *[low + n + high for n, (low, high) in zip(lengths, pads, strict=True)])
    nothing = xp.zeros_like(g[(slice(0, 1),) * g.ndim])
    keys = window_keys(size, tuple(g.shape[2:]), strides, dilation)
    parts = [(key, xp.where(chosen == i, g, nothing)) for i, key in enumerate(keys)]
    return xp.scatter_add(around, g.dtype, parts)[_inside(lengths, pads)]


@kernel
def windows_sum(xp: Namespace, x: Raw, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Raw:
    """The sum of each window."""
    out = out_lengths(tuple(x.shape[2:]), size, strides, pads, dilation)
    around = padded(xp, x, pads)
    first, *others = window_keys(size, out, strides, dilation)
    total = around[first]
    for key in others:
        total = total + around[key]
    return total


@kernel
def windows_spread(xp: Namespace, g: Raw, lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Raw:
    """Its adjoint: each element of ``g`` in all places of its window, added up."""
    around = (*g.shape[:2], *[low + n + high for n, (low, high) in zip(lengths, pads, strict=True)])
    keys = window_keys(size, tuple(g.shape[2:]), strides, dilation)
    return xp.scatter_add(around, g.dtype, [(key, g) for key in keys])[_inside(lengths, pads)]


def _inside(lengths: Ints, pads: Pairs) -> tuple[Any, ...]:
    return (..., *[slice(low, low + n) for n, (low, _) in zip(lengths, pads, strict=True)])


# -- the ops -------------------------------------------------------------------------------------------


def _max_vjp(
    xp: Namespace, g: list[Any], out: tuple[Raw, Raw], x_shape: Ints, size: Ints, strides: Ints, pads: Pairs,
    dilation: Ints,
) -> Raw:  # fmt: skip
    return xp.spread_chosen(g[0], out[1], tuple(x_shape[2:]), size, strides, pads, dilation)


def _max_jvp(
    xp: Namespace, t: Raw, out: tuple[Raw, Raw], x_shape: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints
) -> list[Any]:
    return [xp.take_chosen(t, out[1], size, strides, pads, dilation), None]


@op(vjps=[_max_vjp], jvps=[_max_jvp], multiple=True)
def _max_pool(xp: Namespace, x: Raw, /, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> tuple[Raw, ...]:
    return xp.max_windows(x, size, strides, pads, dilation)  # type: ignore[no-any-return]


@op(
    vjps=[
        lambda xp, g, x_shape, size, strides, pads, dilation: xp.windows_spread(
            g, tuple(x_shape[2:]), size, strides, pads, dilation
        )
    ],
    jvps=[lambda xp, t, size, strides, pads, dilation: xp.windows_sum(t, size, strides, pads, dilation)],
)
def _sum_windows(xp: Namespace, x: Raw, /, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Raw:
    return xp.windows_sum(x, size, strides, pads, dilation)


@op(
    vjps=[lambda xp, c, lengths, size, strides, pads, dilation: xp.windows_sum(c, size, strides, pads, dilation)],
    jvps=[
        lambda xp, t, lengths, size, strides, pads, dilation: xp.windows_spread(
            t, lengths, size, strides, pads, dilation
        )
    ],
)
def _spread_windows(
    xp: Namespace, g: Raw, /, lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints
) -> Raw:
    return xp.windows_spread(g, lengths, size, strides, pads, dilation)


ON_TENSORS["max_windows"] = lambda x, *setting: apply_multiple(_max_pool, (x,), setting)
ON_TENSORS["windows_sum"] = lambda x, *setting: apply(_sum_windows, (x,), setting)
ON_TENSORS["windows_spread"] = lambda g, *setting: apply(_spread_windows, (g,), setting)


# Inside vmap the batch goes into the axis N.


def _batched(name: str) -> Any:
    def rule(rules: Any, x: Any, *setting: Any) -> Any:
        value = rules.full(x)
        made = ON_TENSORS[name](reshape(value, (value.shape[0] * value.shape[1], *value.shape[2:])), *setting)
        parts = made if isinstance(made, tuple) else (made,)
        shape = value.shape[:2]
        wrapped = tuple([rules.wrap(reshape(p, (*shape, *p.shape[1:])), batched=True) for p in parts])
        return wrapped if isinstance(made, tuple) else wrapped[0]

    return rule


for _name in ("max_windows", "windows_sum", "windows_spread"):
    BATCHED[_name] = _batched(_name)


# -- the public functions ------------------------------------------------------------------------------


def _checked(name: str, x: ArrayLike, size: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Any, Any]:
    x = asarray(x)
    if x.ndim < 3:
        raise ShapeError(f"{name}: x must be (N, C, *lengths), with at least 3 dimensions, got shape {x.shape}")
    n = x.ndim - 2
    size = spread(name, "size", size, n)
    strides, pads, dilation, _ = setting_of(name, n, size if stride is None else stride, padding, dilation, 1)
    out = out_lengths(tuple(x.shape[2:]), size, strides, pads, dilation)
    if any(m < 1 for m in out):
        raise ShapeError(
            f"{name}: a window of lengths {size} with dilation {dilation} does not fit into x of shape {x.shape} with "
            f"padding {pads}"
        )
    return x, (size, strides, pads, dilation)


def max_pool(
    x: ArrayLike, /, size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1
) -> tuple[Tensor, Tensor]:
    """The largest element of each window, and which of the window it is.

    Args:
        x: shape (N, C, *lengths), real and floating.
        size: the window's lengths; one number, or one for each axis.
        stride: from window to window; ``size`` unless told.
        padding: of -inf around; one number, or for each axis one or a pair (before, behind), at most half the window.
        dilation: from element to element of a window.

    Returns:
        The largest elements, (N, C, *places), and the number of each in its window, counted row by row (uint8; int64 for
        windows of more than 256). Of several equal ones it is the first, and nan is larger than all: derivatives go
        there alone.

    Raises:
        ShapeError: if no window fits.
        DTypeError: if ``x`` is not real and floating.
        ValueError: for settings that are none.

    >>> import polygrad as pg
    >>> pg.neural.max_pool(pg.asarray([[[1.0, 3.0, 2.0, 2.0]]]), 2)
    (tensor([[[3., 2.]]], dtype=float64), tensor([[[1, 0]]], dtype=uint8))
    """
    x, setting = _checked("max_pool", x, size, stride, padding, dilation)
    if x.dtype.kind != "f":
        raise DTypeError(f"max_pool: needs a real floating dtype, got {x.dtype}; cast it with pg.astype")
    # Behind, a window may stand over (ceil_mode); before, one would see nothing but padding.
    if any(2 * low > d * (k - 1) + 1 for (low, _), k, d in zip(setting[2], setting[0], setting[3], strict=True)):
        raise ValueError(f"max_pool: padding {setting[2]} is more than half of the window {setting[0]}")
    values, chosen = apply_multiple(_max_pool, (x,), setting)
    return values, chosen


def sum_windows(x: ArrayLike, /, size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1) -> Tensor:
    """The sum of each window.

    Args:
        x: shape (N, C, *lengths).
        size, stride, padding, dilation: as those of :func:`max_pool`; around are zeros.

    Returns:
        Shape (N, C, *places).

    Raises:
        ShapeError: if no window fits.
        ValueError: for settings that are none.

    >>> import polygrad as pg
    >>> pg.neural.sum_windows(pg.asarray([[[1.0, 3.0, 2.0, 2.0]]]), 2)
    tensor([[[4., 4.]]], dtype=float64)
    """
    x, setting = _checked("sum_windows", x, size, stride, padding, dilation)
    return apply(_sum_windows, (x,), setting)


def spread_windows(
    g: ArrayLike, /, lengths: Any, size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1
) -> Tensor:
    """The adjoint of :func:`sum_windows`: each element in all places of its window, added up.

    Args:
        g: shape (N, C, *places).
        lengths: of the result's spatial axes.
        size, stride, padding, dilation: as those of :func:`sum_windows`.

    Returns:
        Shape (N, C, *lengths).

    Raises:
        ShapeError: if ``g`` is not what sums of windows over these lengths look like.

    >>> import polygrad as pg
    >>> pg.neural.spread_windows(pg.asarray([[[1.0, 3.0]]]), (3,), 2, stride=1)
    tensor([[[1., 4., 3.]]], dtype=float64)
    """
    g = asarray(g)
    lengths = tuple(lengths)
    if g.ndim < 3 or len(lengths) != g.ndim - 2:
        raise ShapeError(
            f"spread_windows: g must be (N, C, *places) with a length for each place, got shape {g.shape} and {lengths}"
        )
    n = g.ndim - 2
    size = spread("spread_windows", "size", size, n)
    strides, pads, dilation, _ = setting_of(
        "spread_windows", n, size if stride is None else stride, padding, dilation, 1
    )
    out = out_lengths(lengths, size, strides, pads, dilation)
    if tuple(g.shape[2:]) != out:
        raise ShapeError(f"spread_windows: g of shape {g.shape} must have the places {out} for lengths {lengths}")
    return apply(_spread_windows, (g,), (lengths, size, strides, pads, dilation))
