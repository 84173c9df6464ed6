"""Convolution: three bilinear ops, each the derivative of the others.

All three belong to one form, ``B(x, w, g) = sum over n, o, p of g[n, o, p] * conv(x, w)[n, o, p]``, linear in each of
its three arrays. Its derivative by ``g`` is :func:`conv`, by ``x`` :func:`conv_input` (the transposed convolution), by
``w`` :func:`conv_weight`. So every rule of one is another one, with the same strides, padding, dilation and groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.declare import op
from ..core.kernels import BATCHED, ON_TENSORS, kernel
from ..errors import ShapeError
from ..typing import ArrayLike, Namespace, Raw
from .creation import asarray
from .manipulation import moveaxis, reshape

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["conv", "conv_input", "conv_weight", "out_lengths", "padded", "setting_of", "spread",
           "window_keys"]  # fmt: skip

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
Setting = tuple[Ints, Pairs, Ints, int]
"""Strides, padding (low, high) of each axis, dilation, groups."""


# -- the kernels ---------------------------------------------------------------------------------------


def window_keys(kernel_size: Ints, out: Ints, strides: Ints, dilation: Ints) -> list[tuple[Any, ...]]:
    """For each place of the window, the key of the padded array's elements that stand there."""
    axes = [
        [slice(i * d, i * d + (n - 1) * s + 1 if n else i * d, s) for i in range(k)]
        for k, n, s, d in zip(kernel_size, out, strides, dilation, strict=True)
    ]
    return [(..., *key) for key in product(*axes)]


def padded(xp: Namespace, x: Raw, pads: Pairs, value: float = 0.0) -> Raw:
    """``x`` with ``value`` around its last axes."""
    if not any(low or high for low, high in pads):
        return x
    lead = x.shape[: x.ndim - len(pads)]
    inner = x.shape[len(lead) :]
    size = tuple([low + n + high for n, (low, high) in zip(inner, pads, strict=True)])
    key = (..., *[slice(low, low + n) for n, (low, _) in zip(inner, pads, strict=True)])
    around = xp.broadcast_to(xp.full_like(x[(slice(0, 1),) * x.ndim], value), (*lead, *size)) if x.size else None
    if around is None:
        return xp.full((*lead, *size), value, dtype=x.dtype)
    return xp.with_entries(around, key, x)


def _patches(xp: Namespace, x: Raw, kernel_size: Ints, out: Ints, setting: Setting) -> Raw:
    """Shape (N, G, C / G * K, P): what each window sees, K its places and P the places of the windows."""
    strides, pads, dilation, groups = setting
    x = padded(xp, x, pads)
    seen = xp.stack([x[key] for key in window_keys(kernel_size, out, strides, dilation)], axis=2)
    return xp.reshape(seen, (x.shape[0], groups, x.shape[1] // groups * prod(kernel_size), prod(out)))


@kernel
def conv_nd(xp: Namespace, x: Raw, w: Raw, *setting: Any) -> Raw:
    """The convolution, without checks."""
    strides, pads, dilation, groups = setting
    size = tuple(w.shape[2:])
    out = out_lengths(tuple(x.shape[2:]), size, strides, pads, dilation)
    seen = _patches(xp, x, size, out, setting)
    made = xp.matmul(xp.reshape(w, (groups, w.shape[0] // groups, seen.shape[2])), seen)
    return xp.reshape(made, (x.shape[0], w.shape[0], *out))


@kernel
def conv_input_nd(xp: Namespace, g: Raw, w: Raw, lengths: Ints, *setting: Any) -> Raw:
    """Its adjoint in ``x``, which has the spatial ``lengths``."""
    strides, pads, dilation, groups = setting
    size, out, n = tuple(w.shape[2:]), tuple(g.shape[2:]), g.shape[0]
    by_group = xp.reshape(w, (groups, w.shape[0] // groups, w.shape[1] * prod(size)))
    parts = xp.matmul(xp.matrix_transpose(by_group), xp.reshape(g, (n, groups, w.shape[0] // groups, prod(out))))
    channels = w.shape[1] * groups
    parts = xp.reshape(parts, (n, channels, prod(size), *out))
    around = (n, channels, *[low + m + high for m, (low, high) in zip(lengths, pads, strict=True)])
    keys = window_keys(size, out, strides, dilation)
    total = xp.scatter_add(around, parts.dtype, [(key, parts[:, :, i, ...]) for i, key in enumerate(keys)])
    return total[(..., *[slice(low, low + m) for m, (low, _) in zip(lengths, pads, strict=True)])]


@kernel
def conv_weight_nd(xp: Namespace, x: Raw, g: Raw, size: Ints, *setting: Any) -> Raw:
    """Its adjoint in ``w``, whose windows have the lengths ``size``."""
    groups = setting[3]
    n, channels, many = x.shape[0], x.shape[1] // groups, g.shape[1]
    seen = _patches(xp, x, size, tuple(g.shape[2:]), setting)
    own = xp.reshape(g, (n, groups, many // groups, seen.shape[3]))
    rows = xp.reshape(xp.permute_dims(own, (1, 2, 0, 3)), (groups, many // groups, n * seen.shape[3]))
    columns = xp.reshape(xp.permute_dims(seen, (1, 0, 3, 2)), (groups, n * seen.shape[3], seen.shape[2]))
    return xp.reshape(xp.matmul(rows, columns), (many, channels, *size))


def out_lengths(lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Ints:
    """How many places the window has along each axis (less than 1: it does not fit)."""
    return tuple(
        [
            (n + low + high - d * (k - 1) - 1) // s + 1
            for n, k, s, (low, high), d in zip(lengths, size, strides, pads, dilation, strict=True)
        ]
    )


# -- the ops -------------------------------------------------------------------------------------------
# Cotangents of complex arrays take the conjugate of the array that they are multiplied with.


def _by_input(
    xp: Namespace, g: Raw, w: Raw, x_shape: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int
) -> Raw:
    return xp.conv_input_nd(g, xp.conj(w), tuple(x_shape[2:]), strides, pads, dilation, groups)


def _by_weight(
    xp: Namespace, g: Raw, x: Raw, w_shape: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int
) -> Raw:
    return xp.conv_weight_nd(xp.conj(x), g, tuple(w_shape[2:]), strides, pads, dilation, groups)


@op(
    vjps=[_by_input, _by_weight],
    jvps=[
        lambda xp, t, w, strides, pads, dilation, groups: xp.conv_nd(t, w, strides, pads, dilation, groups),
        lambda xp, t, x, strides, pads, dilation, groups: xp.conv_nd(x, t, strides, pads, dilation, groups),
    ],
)
def _conv(xp: Namespace, x: Raw, w: Raw, /, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Raw:
    return xp.conv_nd(x, w, strides, pads, dilation, groups)


def _input_by_g(xp: Namespace, c: Raw, w: Raw, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Raw:
    return xp.conv_nd(c, xp.conj(w), strides, pads, dilation, groups)


def _input_by_weight(
    xp: Namespace, c: Raw, g: Raw, w_shape: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int
) -> Raw:
    return xp.conv_weight_nd(c, xp.conj(g), tuple(w_shape[2:]), strides, pads, dilation, groups)


@op(
    vjps=[_input_by_g, _input_by_weight],
    jvps=[
        lambda xp, t, w, lengths, strides, pads, dilation, groups: xp.conv_input_nd(
            t, w, lengths, strides, pads, dilation, groups
        ),
        lambda xp, t, g, lengths, strides, pads, dilation, groups: xp.conv_input_nd(
            g, t, lengths, strides, pads, dilation, groups
        ),
    ],
)
def _conv_input(
    xp: Namespace, g: Raw, w: Raw, /, lengths: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int
) -> Raw:
    return xp.conv_input_nd(g, w, lengths, strides, pads, dilation, groups)


def _weight_by_input(
    xp: Namespace, c: Raw, g: Raw, x_shape: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int
) -> Raw:
    return xp.conv_input_nd(xp.conj(g), c, tuple(x_shape[2:]), strides, pads, dilation, groups)


def _weight_by_g(xp: Namespace, c: Raw, x: Raw, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Raw:
    return xp.conv_nd(xp.conj(x), c, strides, pads, dilation, groups)


@op(
    vjps=[_weight_by_input, _weight_by_g],
    jvps=[
        lambda xp, t, g, size, strides, pads, dilation, groups: xp.conv_weight_nd(
            t, g, size, strides, pads, dilation, groups
        ),
        lambda xp, t, x, size, strides, pads, dilation, groups: xp.conv_weight_nd(
            x, t, size, strides, pads, dilation, groups
        ),
    ],
)
def _conv_weight(
    xp: Namespace, x: Raw, g: Raw, /, size: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int
) -> Raw:
    return xp.conv_weight_nd(x, g, size, strides, pads, dilation, groups)


# On Tensors the kernels are the ops, unchecked.
ON_TENSORS["conv_nd"] = lambda x, w, *setting: apply(_conv, (x, w), setting)
ON_TENSORS["conv_input_nd"] = lambda g, w, *setting: apply(_conv_input, (g, w), setting)
ON_TENSORS["conv_weight_nd"] = lambda x, g, *setting: apply(_conv_weight, (x, g), setting)


# -- vmap ----------------------------------------------------------------------------------------------
# With one weight for all examples, the batch goes into the axis N; else each example is a group of its own.


def _merged(x: Any, rules: Any) -> Any:
    """(B, N, ...) as (B * N, ...)."""
    value = rules.full(x)
    return reshape(value, (value.shape[0] * value.shape[1], *value.shape[2:]))


def _as_groups(x: Any, rules: Any) -> Any:
    """(B, N, C, ...) as (N, B * C, ...)."""
    value = moveaxis(rules.full(x), 0, 1)
    return reshape(value, (value.shape[0], value.shape[1] * value.shape[2], *value.shape[3:]))


def _from_groups(value: Any, rules: Any) -> Any:
    shape = value.shape
    return rules.wrap(
        moveaxis(reshape(value, (shape[0], rules.n, shape[1] // rules.n, *shape[2:])), 1, 0), batched=True
    )


def _batched(apply_op: Any) -> Any:
    def rule(rules: Any, x: Any, w: Any, *setting: Any) -> Any:
        if not (x.batched or w.batched):
            return rules.wrap(apply_op(x.value, w.value, *setting), batched=False)
        if not w.batched:
            made = apply_op(_merged(x, rules), w.value, *setting)
            return rules.wrap(reshape(made, (rules.n, -1, *made.shape[1:])), batched=True)
        made = apply_op(_as_groups(x, rules), _merged(w, rules), *setting[:-1], setting[-1] * rules.n)
        return _from_groups(made, rules)

    return rule


def _batched_weight(rules: Any, x: Any, g: Any, *setting: Any) -> Any:
    of_tensors = ON_TENSORS["conv_weight_nd"]
    if not (x.batched or g.batched):
        return rules.wrap(of_tensors(x.value, g.value, *setting), batched=False)
    made = of_tensors(_as_groups(x, rules), _as_groups(g, rules), *setting[:-1], setting[-1] * rules.n)
    return rules.wrap(reshape(made, (rules.n, -1, *made.shape[1:])), batched=True)


BATCHED["conv_nd"] = _batched(ON_TENSORS["conv_nd"])
BATCHED["conv_input_nd"] = _batched(ON_TENSORS["conv_input_nd"])
BATCHED["conv_weight_nd"] = _batched_weight


# -- the public functions ------------------------------------------------------------------------------


def spread(name: str, argument: str, value: Any, n: int, least: int = 1) -> Ints:
    """One number for each of n axes."""
    made = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(made) != n or not all(type(v) is int and v >= least for v in made):
        raise ValueError(
            f"{name}: {argument} must be a whole number of at least {least}, or one for each of {n} axes, got {value!r}"
        )
    return made


def setting_of(name: str, n: int, stride: Any, padding: Any, dilation: Any, groups: int) -> Setting:
    """What the functions take as what the ops take."""
    pads = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * n
    if len(pads) == n:
        pads = tuple([tuple(p) if isinstance(p, (tuple, list)) else (p, p) for p in pads])
    if len(pads) != n or not all(len(p) == 2 and all(type(v) is int and v >= 0 for v in p) for p in pads):
        raise ValueError(
            f"{name}: padding must be a whole number of at least 0, or one or a pair for each of {n} axes, "
            f"got {padding!r}"
        )
    if type(groups) is not int or groups < 1:
        raise ValueError(f"{name}: groups must be a whole number of at least 1, got {groups!r}")
    return spread(name, "stride", stride, n), pads, spread(name, "dilation", dilation, n), groups


def _arrays(name: str, first: ArrayLike, second: ArrayLike, names: str) -> tuple[Any, Any, int]:
    a = asarray(first)
    b = asarray(second)
    if a.ndim < 3 or b.ndim != a.ndim:
        raise ShapeError(
            f"{name}: {names} must have one number of dimensions, at least 3, got shapes {a.shape} and {b.shape}"
        )
    return a, b, a.ndim - 2


def _check_places(name: str, x_lengths: Ints, size: Ints, setting: Setting) -> Ints:
    out = out_lengths(x_lengths, size, *setting[:3])
    if any(n < 1 for n in out):
        raise ShapeError(
            f"{name}: a window of lengths {size} with dilation {setting[2]} does not fit into lengths {x_lengths} with "
            f"padding {setting[1]}"
        )
    return out


def conv(
    x: ArrayLike, w: ArrayLike, /, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """The convolution of networks (a correlation: the window is not turned), along any number of axes.

    Args:
        x: shape (N, C, *lengths).
        w: shape (O, C / groups, *window).
        stride, dilation: one number, or one for each axis.
        padding: zeros around; one number, or for each axis one or a pair (before, behind).
        groups: into how many groups the channels are divided.

    Returns:
        Shape (N, O, *places), ``places = (length + padding - dilation * (window - 1) - 1) // stride + 1``.

    Raises:
        ShapeError: if the shapes do not fit.
        ValueError: for settings that are no whole numbers.

    >>> import polygrad as pg
    >>> pg.neural.conv(pg.asarray([[[1.0, 2.0, 4.0]]]), pg.asarray([[[1.0, -1.0]]]))
    tensor([[[-1., -2.]]], dtype=float64)
    """
    x, w, n = _arrays("conv", x, w, "x (N, C, *lengths) and w (O, C / groups, *window)")
    setting = setting_of("conv", n, stride, padding, dilation, groups)
    if x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ShapeError(
            f"conv: x of shape {x.shape} has {x.shape[1]} channels, w of shape {w.shape} in {groups} groups is for "
            f"{w.shape[1] * groups}, and its {w.shape[0]} outputs must be a multiple of the groups"
        )
    _check_places("conv", tuple(x.shape[2:]), tuple(w.shape[2:]), setting)
    return apply(_conv, (x, w), setting)


def conv_input(
    g: ArrayLike,
    w: ArrayLike,
    /,
    lengths: Sequence[int],
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The adjoint of :func:`conv` in its first argument: the transposed convolution.

    Args:
        g: shape (N, O, *places), as :func:`conv` gives it for ``x`` of these ``lengths``.
        w: shape (O, C / groups, *window).
        lengths: of the result's spatial axes.
        stride, padding, dilation, groups: of that convolution.

    Returns:
        Shape (N, C, *lengths).

    Raises:
        ShapeError: if the shapes do not fit.

    >>> import polygrad as pg
    >>> pg.neural.conv_input(pg.asarray([[[1.0, 2.0]]]), pg.asarray([[[1.0, -1.0]]]), (3,))
    tensor([[[ 1.,  1., -2.]]], dtype=float64)
    """
    g, w, n = _arrays("conv_input", g, w, "g (N, O, *places) and w (O, C / groups, *window)")
    setting = setting_of("conv_input", n, stride, padding, dilation, groups)
    lengths = tuple(lengths)
    if len(lengths) != n:
        raise ShapeError(f"conv_input: {n} lengths are wanted for g of shape {g.shape}, got {lengths}")
    out = _check_places("conv_input", lengths, tuple(w.shape[2:]), setting)
    if g.shape[1] != w.shape[0] or w.shape[0] % groups or tuple(g.shape[2:]) != out:
        raise ShapeError(
            f"conv_input: g of shape {g.shape} does not fit w of shape {w.shape} in {groups} groups; it must have "
            f"{w.shape[0]} channels and the lengths {out}"
        )
    return apply(_conv_input, (g, w), (lengths, *setting))


def conv_weight(
    x: ArrayLike,
    g: ArrayLike,
    /,
    size: Sequence[int],
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The adjoint of :func:`conv` in its second argument: how ``x`` and ``g`` correlate, window by window.

    Args:
        x: shape (N, C, *lengths).
        g: shape (N, O, *places), as :func:`conv` gives it.
        size: the lengths of the window.
        stride, padding, dilation, groups: of that convolution.

    Returns:
        Shape (O, C / groups, *size).

    Raises:
        ShapeError: if the shapes do not fit.

    >>> import polygrad as pg
    >>> pg.neural.conv_weight(pg.asarray([[[1.0, 2.0, 4.0]]]), pg.asarray([[[1.0, 2.0]]]), (2,))
    tensor([[[ 5., 10.]]], dtype=float64)
    """
    x, g, n = _arrays("conv_weight", x, g, "x (N, C, *lengths) and g (N, O, *places)")
    setting = setting_of("conv_weight", n, stride, padding, dilation, groups)
    size = tuple(size)
    if len(size) != n:
        raise ShapeError(f"conv_weight: {n} lengths of the window are wanted for x of shape {x.shape}, got {size}")
    out = _check_places("conv_weight", tuple(x.shape[2:]), size, setting)
    if x.shape[0] != g.shape[0] or tuple(g.shape[2:]) != out or x.shape[1] % groups or g.shape[1] % groups:
        raise ShapeError(
            f"conv_weight: g of shape {g.shape} does not fit x of shape {x.shape} in {groups} groups; it must have "
            f"{x.shape[0]} samples and the lengths {out}, and both channels must be multiples of the groups"
        )
    return apply(_conv_weight, (x, g), (size, *setting))
