"""Manipulation: the same elements in another arrangement.

Every rule here is another arrangement of the cotangent. Where NumPy and PyTorch give a view, so does
polygrad, on every backend: a write to one shows in the other (see ``core/cell.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..core.apply import apply, apply_many, apply_multiple
from ..core.cell import extra_of, link_view, root_of
from ..core.declare import op
from ..core.op import Op
from ..core.operands import together
from ..errors import AxisError, ShapeError
from ..typing import ArrayLike, Namespace, Raw, Shape
from .data_types import astype, result_type
from .kernels import is_basic

if TYPE_CHECKING:
    from ..tensor import Tensor

_max = max


# -- axes and shapes ---------------------------------------------------------------------------------


def normal_axis(name: str, axis: Any, ndim: int) -> int:
    """An axis counted from the front."""
    if type(axis) is not int:
        axis = axis.__index__()
    if not -ndim <= axis < ndim:
        raise AxisError(f"{name}: axis {axis} is out of range for an array of {ndim} dimensions")
    return axis + ndim if axis < 0 else axis  # type: ignore[no-any-return]


def normal_axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """One axis, several, or None for all, as a tuple counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, (tuple, list)):
        return (normal_axis(name, axis, ndim),)
    axes = tuple([normal_axis(name, a, ndim) for a in axis])
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: axis {tuple(axis)} names an axis twice")
    return axes


def view_of(
    declared: Op,
    x: ArrayLike,
    params: tuple[Any, ...],
    replay: Callable[[Any], Any],
    write_back: Callable[[Any, Any], Any],
) -> Any:
    """Apply an op whose result is a view of ``x``, and link the two."""
    (x,) = together(declared.name, (x,))
    result = apply(declared, (x,), params)
    link_view(result, x, replay, write_back)
    return result


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to.

    >>> import polygrad as pg
    >>> pg.broadcast_shapes((3, 1), (1, 4), ())
    (3, 4)
    """
    ndim = _max((len(s) for s in shapes), default=0)
    result = [1] * ndim
    for shape in shapes:
        for i, n in enumerate(shape, start=ndim - len(shape)):
            if n != 1:
                if result[i] not in (1, n):
                    raise ShapeError(
                        f"shapes {' and '.join(str(tuple(s)) for s in shapes)} cannot be broadcast together"
                    )
                result[i] = n
    return tuple(result)


# -- shape -------------------------------------------------------------------------------------------


@op(
    vjps=[lambda xp, g, x_shape: xp.reshape(g, x_shape)],
    jvps=[lambda xp, t, shape: xp.reshape(t, shape)],
)
def _reshape(xp: Namespace, x: Raw, /, shape: Shape, copy: bool | None) -> Raw:
    return xp.reshape(x, shape) if copy is None else xp.reshape(x, shape, copy=copy)


def reshape(x: ArrayLike, /, shape: tuple[int, ...] | int, *, copy: bool | None = None) -> Tensor:
    """The same elements, in row-major order, in another shape; one length may be -1.

    A view, whatever the order in memory: it follows later writes to ``x``, and writes to it reach ``x``, also where the
    library had to copy. ``copy=True`` never is one.

    >>> import polygrad as pg
    >>> pg.reshape(pg.arange(6), (2, -1)).shape
    (2, 3)
    """
    (x,) = together("reshape", (x,))
    before = x._value.shape
    target = _full_shape(before, (shape,) if isinstance(shape, int) else tuple(shape))
    result = apply(_reshape, (x,), (target, copy))
    if copy is not True:
        link_view(result, x, lambda base: reshape(base, target), lambda base, made: reshape(made, before))
        if not x._device.backend.is_view(result._value, x._value):
            extra_of(root_of(x)).copies = True
            result._saved = True  # writes go to the base, which makes this again
    return result


def _full_shape(before: Shape, shape: Shape) -> Shape:
    if -1 in shape:
        known, total = 1, 1
        for n in before:
            total *= n
        for n in shape:
            known *= n if n != -1 else 1
        if shape.count(-1) > 1 or known == 0 or total % known:
            raise ShapeError(f"reshape: cannot fit an array of shape {tuple(before)} into {shape}")
        shape = tuple(total // known if n == -1 else n for n in shape)
    count, wanted = 1, 1
    for n in before:
        count *= n
    for n in shape:
        wanted *= n
    if count != wanted and count == count:  # Dask's unknown sizes are nan
        raise ShapeError(
            f"reshape: an array of shape {tuple(before)} has {count} elements, {shape} would have {wanted}"
        )
    return shape


@op(
    vjps=[lambda xp, g, axis: xp.squeeze(g, axis=axis)],
    jvps=[lambda xp, t, axis: xp.expand_dims(t, axis=axis)],
)
def _expand_dims(xp: Namespace, x: Raw, /, axis: int) -> Raw:
    return xp.expand_dims(x, axis=axis)


def expand_dims(x: ArrayLike, /, axis: int | tuple[int, ...] = 0) -> Tensor:
    """A view with an axis of length 1 inserted at ``axis``."""
    (x,) = together("expand_dims", (x,))
    if isinstance(axis, tuple):
        for own in sorted(normal_axes("expand_dims", axis, x._value.ndim + len(axis))):
            x = expand_dims(x, axis=own)
        return x  # type: ignore[no-any-return]
    place = normal_axis("expand_dims", axis, x._value.ndim + 1)
    return view_of(  # type: ignore[no-any-return]
        _expand_dims, x, (place,), lambda b: expand_dims(b, axis=place), lambda b, made: squeeze(made, place)
    )


@op(
    vjps=[lambda xp, g, x_shape: xp.reshape(g, x_shape)],
    jvps=[lambda xp, t, axis: xp.squeeze(t, axis=axis)],
)
def _squeeze(xp: Namespace, x: Raw, /, axis: tuple[int, ...]) -> Raw:
    return xp.squeeze(x, axis=axis)


def squeeze(x: ArrayLike, /, axis: int | tuple[int, ...]) -> Tensor:
    """A view without the axes ``axis``, which must have length 1."""
    (x,) = together("squeeze", (x,))
    axes = normal_axes("squeeze", axis, x._value.ndim)
    shape = x._value.shape
    if any(shape[a] != 1 for a in axes):
        raise ShapeError(f"squeeze: axes {axes} of shape {tuple(shape)} do not all have length 1")
    return view_of(  # type: ignore[no-any-return]
        _squeeze, x, (axes,), lambda b: squeeze(b, axes), lambda b, made: reshape(made, shape)
    )


@op(
    vjps=[lambda xp, g, axes: xp.permute_dims(g, inverse(axes))],
    jvps=[lambda xp, t, axes: xp.permute_dims(t, axes)],
)
def _permute_dims(xp: Namespace, x: Raw, /, axes: tuple[int, ...]) -> Raw:
    return xp.permute_dims(x, axes)


def inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes one."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def permute_dims(x: ArrayLike, /, axes: tuple[int, ...]) -> Tensor:
    """A view with axis ``axes[i]`` of ``x`` as axis ``i``."""
    (x,) = together("permute_dims", (x,))
    order = normal_axes("permute_dims", tuple(axes), x._value.ndim)
    if len(order) != x._value.ndim:
        raise ShapeError(f"permute_dims: axes {tuple(axes)} do not fit an array of {x._value.ndim} dimensions")
    return view_of(  # type: ignore[no-any-return]
        _permute_dims, x, (order,), lambda b: permute_dims(b, order), lambda b, made: permute_dims(made, inverse(order))
    )


def moveaxis(x: ArrayLike, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> Tensor:
    """A view with the axes ``source`` at the places ``destination``, the others in order."""
    (x,) = together("moveaxis", (x,))
    ndim = x._value.ndim
    if ndim == 0 and source in (0, -1, (0,), (-1,)) and destination in (0, -1, (0,), (-1,)):
        raise ShapeError("moveaxis: a 0-d array has no axes")
    moved, places = normal_axes("moveaxis", source, ndim), normal_axes("moveaxis", destination, ndim)
    if len(moved) != len(places):
        raise ShapeError(f"moveaxis: {len(moved)} axes cannot go to {len(places)} places")
    order = [a for a in range(ndim) if a not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return permute_dims(x, tuple(order))


@op(
    name="flip",
    vjps=[lambda xp, g, axis: xp.flip(g, axis=axis)],
    jvps=[lambda xp, t, axis: xp.flip(t, axis=axis)],
)
def _flip(xp: Namespace, x: Raw, /, axis: tuple[int, ...]) -> Raw:
    return xp.flip(x, axis=axis)


def flip(x: ArrayLike, /, *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """The elements in reverse order along ``axis`` (all axes by default); a view where the library can."""
    (x,) = together("flip", (x,))
    axes = normal_axes("flip", axis, x._value.ndim)
    result = apply(_flip, (x,), (axes,))
    if x._device.backend.flip_is_view:
        link_view(result, x, lambda b: flip(b, axis=axes), lambda b, made: flip(made, axis=axes))
    return result


@op(
    vjps=[lambda xp, g, shift, axis: xp.roll(g, _negated(shift), axis=axis)],
    jvps=[lambda xp, t, shift, axis: xp.roll(t, shift, axis=axis)],
)
def _roll(xp: Namespace, x: Raw, /, shift: Any, axis: Any) -> Raw:
    return xp.roll(x, shift, axis=axis)


def _negated(shift: Any) -> Any:
    return tuple(-s for s in shift) if isinstance(shift, tuple) else -shift


def roll(x: ArrayLike, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """The elements moved along ``axis`` by ``shift`` places, around the end; flattened if ``axis`` is None."""
    (x,) = together("roll", (x,))
    if axis is not None:  # an axis may be named twice: the shifts add up
        ndim = x._value.ndim
        axis = tuple(normal_axis("roll", a, ndim) for a in (axis if isinstance(axis, tuple) else (axis,)))
        shift = shift if isinstance(shift, tuple) else (shift,) * len(axis)
        if len(shift) != len(axis):
            raise ShapeError(f"roll: {len(shift)} shifts for {len(axis)} axes")
    return apply(_roll, (x,), (shift, axis))


# -- copies of elements ------------------------------------------------------------------------------


@op(
    vjps=[lambda xp, g: g],
    jvps=[lambda xp, t, shape: xp.broadcast_to(t, shape)],
    broadcasts=True,
)
def _broadcast_to(xp: Namespace, x: Raw, /, shape: Shape) -> Raw:
    return xp.broadcast_to(x, shape)


def broadcast_to(x: ArrayLike, /, shape: tuple[int, ...]) -> Tensor:
    """``x`` repeated, without copying, to a shape it broadcasts to; a view where that is its own."""
    (x,) = together("broadcast_to", (x,))
    target = tuple(shape)
    if x._value.shape == target:
        return reshape(x, target)
    if broadcast_shapes(x._value.shape, target) != target:
        raise ShapeError(f"broadcast_to: shape {tuple(x._value.shape)} does not broadcast to {target}")
    result = apply(_broadcast_to, (x,), (target,))
    result._saved = True  # its elements share memory: a write must make a copy first
    x._saved = True
    return result


def broadcast_arrays(*arrays: ArrayLike) -> tuple[Tensor, ...]:
    """The arrays, each broadcast to their common shape."""
    cells = together("broadcast_arrays", arrays)
    shape = broadcast_shapes(*(x._value.shape for x in cells))
    return tuple(broadcast_to(x, shape) for x in cells)


# repeat(x, n) along an axis is x with a new axis of length n behind it, flattened into it; for varying
# counts, each output element is the input element its position falls to.
@op(
    vjps=[lambda xp, g, repeats, axis, x_shape: _repeat_vjp(xp, g, repeats, axis, x_shape)],
    jvps=[lambda xp, t, repeats, axis: xp.repeat(t, repeats, axis=axis)],
)
def _repeat(xp: Namespace, x: Raw, /, repeats: Any, axis: int) -> Raw:
    return xp.repeat(x, repeats, axis=axis)


def _repeat_vjp(xp: Namespace, g: Raw, repeats: Any, axis: int, shape: Shape) -> Raw:
    if isinstance(repeats, int):
        split = (*shape[: axis + 1], repeats, *shape[axis + 1 :])
        return xp.sum(xp.reshape(g, split), axis=axis + 1)
    source = xp.repeat(xp.arange(shape[axis]), repeats)
    return xp.scatter_add(shape, g.dtype, [((slice(None),) * axis + (source,), g)])


def repeat(x: ArrayLike, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Each element (or each slice along ``axis``) repeated; ``repeats`` an int, or one for each."""
    (x,) = together("repeat", (x,))
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    place = normal_axis("repeat", axis, x._value.ndim)
    if not isinstance(repeats, int):
        (repeats,) = together("repeat", (repeats,)) if hasattr(repeats, "dtype") else _counts(x, repeats)
        repeats = repeats._value
        if tuple(repeats.shape) in ((), (1,)):
            repeats = int(repeats if repeats.shape == () else repeats[0])
    return apply(_repeat, (x,), (repeats, place))


def _counts(x: Any, repeats: Any) -> list[Any]:
    return together("repeat", (x, list(repeats)))[1:]


@op(
    vjps=[lambda xp, g, repetitions, x_shape: _tile_vjp(xp, g, repetitions, x_shape)],
    jvps=[lambda xp, t, repetitions: xp.tile(t, repetitions)],
)
def _tile(xp: Namespace, x: Raw, /, repetitions: tuple[int, ...]) -> Raw:
    return xp.tile(x, repetitions)


def _tile_vjp(xp: Namespace, g: Raw, repetitions: tuple[int, ...], shape: Shape) -> Raw:
    ndim = _max(len(shape), len(repetitions))
    own = (1,) * (ndim - len(shape)) + tuple(shape)
    times = (1,) * (ndim - len(repetitions)) + tuple(repetitions)
    split = tuple(n for pair in zip(times, own, strict=True) for n in pair)
    return xp.reshape(xp.sum(xp.reshape(g, split), axis=tuple(range(0, 2 * ndim, 2))), shape)


def tile(x: ArrayLike, repetitions: tuple[int, ...], /) -> Tensor:
    """The whole array repeated ``repetitions[i]`` times along axis ``i``."""
    times = (repetitions,) if isinstance(repetitions, int) else tuple(repetitions)
    return apply(_tile, (x,), (times,))


# -- together and apart ------------------------------------------------------------------------------


def _part(xp: Namespace, g: Raw, axis: int, offsets: tuple[int, ...], index: int) -> Raw:
    return g[(slice(None),) * axis + (slice(offsets[index], offsets[index + 1]), ...)]


def _part_alone(xp: Namespace, t: Raw, axis: int, offsets: tuple[int, ...], index: int, out_shape: Shape) -> Raw:
    def zeros(n: int) -> Raw:
        return xp.zeros((*out_shape[:axis], n, *out_shape[axis + 1 :]), dtype=t.dtype)

    return xp.concat([zeros(offsets[index]), t, zeros(offsets[-1] - offsets[index + 1])], axis=axis)


@op(vjps=[_part], jvps=[_part_alone], variadic=True)
def _concat(xp: Namespace, arrays: Sequence[Raw], /, axis: int, offsets: tuple[int, ...]) -> Raw:
    return xp.concat(arrays, axis=axis)


def _promoted(cells: list[Any]) -> list[Any]:
    first = cells[0]._value.dtype
    if all(x._value.dtype == first for x in cells):
        return cells
    common = result_type(*cells)
    return [astype(x, common, copy=False) for x in cells]


def concat(arrays: tuple[ArrayLike, ...] | list[ArrayLike], /, *, axis: int | None = 0) -> Tensor:
    """The arrays joined along an axis they have; flattened first if ``axis`` is None.

    >>> import polygrad as pg
    >>> pg.concat([pg.zeros(2), pg.ones(1)])
    tensor([0., 0., 1.], dtype=float64)
    """
    cells = _promoted(together("concat", arrays))
    if axis is None:
        cells, axis = [reshape(x, (-1,)) for x in cells], 0
    first = tuple(cells[0]._value.shape)
    place = normal_axis("concat", axis, len(first))
    offsets = [0]
    for x in cells:
        shape = tuple(x._value.shape)
        if shape[:place] + shape[place + 1 :] != first[:place] + first[place + 1 :]:
            shapes = ", ".join(str(tuple(c._value.shape)) for c in cells)
            raise ShapeError(f"concat: shapes {shapes} differ outside axis {place}")
        offsets.append(offsets[-1] + shape[place])
    return apply_many(_concat, cells, (place, tuple(offsets)))


def _slice_at(xp: Namespace, g: Raw, axis: int, index: int) -> Raw:
    return g[(slice(None),) * axis + (index, ...)]


def _alone_in_stack(xp: Namespace, t: Raw, axis: int, index: int, n: int) -> Raw:
    nothing = xp.zeros_like(t)
    return xp.stack([t if i == index else nothing for i in range(n)], axis=axis)


@op(vjps=[_slice_at], jvps=[_alone_in_stack], variadic=True)
def _stack(xp: Namespace, arrays: Sequence[Raw], /, axis: int, n: int) -> Raw:
    return xp.stack(arrays, axis=axis)


def stack(arrays: tuple[ArrayLike, ...] | list[ArrayLike], /, *, axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis."""
    cells = _promoted(together("stack", arrays))
    shape = cells[0]._value.shape
    if any(x._value.shape != shape for x in cells):
        raise ShapeError(f"stack: shapes {', '.join(str(tuple(x._value.shape)) for x in cells)} differ")
    place = normal_axis("stack", axis, len(shape) + 1)
    return apply_many(_stack, cells, (place, len(cells)))


def _unstack_vjp(xp: Namespace, g: list[Any], axis: int, x_shape: Shape) -> Raw:
    like = next(part for part in g if part is not None)
    nothing = xp.zeros_like(like)
    return xp.stack([nothing if part is None else part for part in g], axis=axis)


def _unstack_jvp(xp: Namespace, t: Raw, axis: int, x_shape: Shape) -> list[Raw]:
    before = (slice(None),) * axis
    return [t[(*before, i, ...)] for i in range(x_shape[axis])]


@op(vjps=[_unstack_vjp], jvps=[_unstack_jvp], multiple=True)
def _unstack(xp: Namespace, x: Raw, /, axis: int) -> tuple[Raw, ...]:
    before = (slice(None),) * axis
    return tuple([x[(*before, i, ...)] for i in range(x.shape[axis])])


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, as views."""
    (x,) = together("unstack", (x,))
    place = normal_axis("unstack", axis, x._value.ndim)
    parts = apply_multiple(_unstack, (x,), (place,))
    for i, part in enumerate(parts):
        _link_slice(part, x, (slice(None),) * place + (i, ...))
    return parts


def _link_slice(part: Any, base: Any, key: tuple[Any, ...]) -> None:
    link_view(part, base, lambda b: b[key], lambda b, made: with_entries(b, key, made))


# -- writing entries (here, since views need it) ----------------------------------------------------------


def _blank(xp: Namespace, g: Raw, key: Any) -> Raw:
    """The cotangent with zeros at the key."""
    return xp.with_entries(g, key, xp.zeros((), dtype=g.dtype))


# Where an index array names an entry twice, the last value stays: only that one has a gradient.
def _written(xp: Namespace, g: Raw, key: Any) -> Raw:
    values = xp.getitem(g, key)
    if is_basic(key):
        return values
    size = 1
    for n in values.shape:
        size *= n
    order = xp.reshape(xp.arange(size), values.shape)
    stayed = xp.getitem(xp.with_entries(xp.zeros(g.shape, dtype=order.dtype), key, order), key) == order
    return xp.where(stayed, values, xp.zeros_like(values))


def _only(xp: Namespace, t: Raw, key: Any, out_shape: Shape, out_dtype: Any) -> Raw:
    return xp.with_entries(xp.zeros(out_shape, dtype=out_dtype), key, t)


@op(
    name="setitem",
    vjps=[_blank, _written],
    jvps=[_blank, _only],
    broadcasts=True,
)
def _setitem(xp: Namespace, x: Raw, value: Raw, /, key: Any) -> Raw:
    return xp.with_entries(x, key, value)


def with_entries(x: Any, key: Any, value: Any) -> Any:
    """A copy of ``x`` with ``value`` at ``key`` (both tensors of one dtype; the key raw)."""
    return apply(_setitem, (x, value), (key,))
