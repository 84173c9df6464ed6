"""NumPy's functions that shape, join, split and pick: views and copies of the same entries."""

from __future__ import annotations

import itertools
import math
from typing import Any

from ..core.cell import Cell
from ..ops import creation, data_types, indexing, linear_algebra, manipulation, searching, sorting
from ..ops import elementwise as el
from .tables import implements, like_first, pg, tensor, tensors

# -- what an array is ------------------------------------------------------------------------------------


@implements()
def shape(a: Any) -> tuple[int, ...]:
    return tuple(a.shape)


@implements()
def ndim(a: Any) -> int:
    return len(a.shape)


@implements()
def size(a: Any, axis: Any = None) -> int:
    if axis is None:
        return math.prod(a.shape)
    return math.prod(a.shape[i] for i in manipulation.normal_axes("size", axis, a.ndim))


@implements()
def iscomplexobj(x: Any) -> bool:
    return bool(x.dtype.kind == "c")


@implements()
def isrealobj(x: Any) -> bool:
    return bool(x.dtype.kind != "c")


# -- copies and twins --------------------------------------------------------------------------------------


@implements()
def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return creation.asarray(a, copy=True)


def _made_like(name: str) -> Any:
    function = getattr(creation, name)

    def like(a: Any, *fill: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None,
             device: Any = None, **options: Any) -> Any:  # fmt: skip
        fill = (*fill, *options.values())
        if shape is not None:
            plain = getattr(creation, name.removesuffix("_like"))
            shape = (shape,) if isinstance(shape, int) else tuple(shape)
            return plain(shape, *fill, dtype=a.dtype if dtype is None else dtype, device=device or a.device)
        return function(a, *fill, dtype=dtype, device=device)

    return like


for _name in ("zeros_like", "ones_like", "empty_like", "full_like"):
    implements(_name)(_made_like(_name))


@implements("meshgrid", first=False)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    made = creation.meshgrid(*tensors(xi), indexing=indexing)
    if not sparse:
        return made
    places = [1, 0, *range(2, len(xi))] if indexing == "xy" and len(xi) > 1 else list(range(len(xi)))
    return tuple(
        manipulation.reshape(x, tuple(-1 if i == p else 1 for i in range(len(xi))))
        for x, p in zip(tensors(xi), places, strict=True)
    )


# -- shapes ------------------------------------------------------------------------------------------------


@implements()
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: bool | None = None) -> Any:
    shape = newshape if shape is None else shape
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if order == "F":
        flipped = manipulation.reshape(_reversed(a), shape[::-1])
        return _reversed(flipped)
    return manipulation.reshape(a, shape, copy=copy)


def _reversed(a: Any) -> Any:
    return manipulation.permute_dims(a, tuple(range(a.ndim))[::-1])


@implements()
def ravel(a: Any, order: str = "C") -> Any:
    return manipulation.reshape(_reversed(a) if order == "F" else a, (-1,))


@implements("transpose", "permute_dims")
def transpose(a: Any, axes: Any = None) -> Any:
    return _reversed(a) if axes is None else manipulation.permute_dims(a, tuple(axes))


@implements()
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(a.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return manipulation.permute_dims(a, tuple(order))


@implements()
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    def as_axes(v: Any) -> Any:
        return v if isinstance(v, int) else tuple(v)

    return manipulation.moveaxis(a, as_axes(source), as_axes(destination))


@implements()
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    axis, start = axis % a.ndim, start + a.ndim if start < 0 else start
    return manipulation.moveaxis(a, axis, start - 1 if axis < start else start)


@implements()
def expand_dims(a: Any, axis: Any) -> Any:
    return manipulation.expand_dims(a, axis=tuple(axis) if isinstance(axis, list) else axis)


@implements()
def squeeze(a: Any, axis: Any = None) -> Any:
    if axis is None:
        axis = tuple(i for i, n in enumerate(a.shape) if n == 1)
    return manipulation.squeeze(a, axis)


def _at_least(n: int) -> Any:
    def at_least(*arrays: Any) -> Any:
        made = []
        for a in tensors(arrays):
            if a.ndim < n and n == 3 and a.ndim == 2:
                a = a[:, :, None]
            elif a.ndim < n and n == 3 and a.ndim == 1:
                a = a[None, :, None]
            elif a.ndim < n:
                a = manipulation.reshape(a, (1,) * (n - a.ndim) + a.shape)
            made.append(a)
        return made[0] if len(made) == 1 else tuple(made)

    return at_least


for _n in (1, 2, 3):
    implements(f"atleast_{_n}d", first=False)(_at_least(_n))


@implements()
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    return manipulation.broadcast_to(array, (shape,) if isinstance(shape, int) else tuple(shape))


@implements(first=False)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    return manipulation.broadcast_arrays(*tensors(args))


# -- joining -----------------------------------------------------------------------------------------------


@implements("concatenate", "concat", first=False)
def concatenate(arrays: Any, /, axis: int | None = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    made = manipulation.concat(tensors(arrays), axis=axis)
    return made if dtype is None else data_types.astype(made, dtype)


@implements(first=False)
def stack(arrays: Any, axis: int = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    made = manipulation.stack(tensors(arrays), axis=axis)
    return made if dtype is None else data_types.astype(made, dtype)


def _joined(arrays: Any, at_least: int, axis: int) -> Any:
    made = _at_least(at_least)(*arrays)
    return manipulation.concat(list(made) if isinstance(made, tuple) else [made], axis=axis)


@implements("vstack", "row_stack", first=False)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return _joined(tup, 2, 0)


@implements(first=False)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    made = _at_least(1)(*tup)
    made = list(made) if isinstance(made, tuple) else [made]
    return manipulation.concat(made, axis=0 if made[0].ndim == 1 else 1)


@implements(first=False)
def dstack(tup: Any) -> Any:
    return _joined(tup, 3, 2)


@implements(first=False)
def column_stack(tup: Any) -> Any:
    return manipulation.concat([a[:, None] if a.ndim == 1 else a for a in tensors(tup)], axis=1)


@implements(first=False)
def block(arrays: Any) -> Any:
    def depth(v: Any) -> int:
        return 1 + max(depth(x) for x in v) if isinstance(v, list) else 0

    def first(v: Any) -> Any:
        if not isinstance(v, list):
            return v if isinstance(v, Cell) else None
        return next((f for f in map(first, v) if f is not None), None)

    deepest, beside = depth(arrays), first(arrays)

    def join(v: Any, level: int) -> Any:
        if not isinstance(v, list):
            made = like_first(beside, v)
            return manipulation.reshape(made, (1,) * (deepest - made.ndim) + made.shape)
        return manipulation.concat([join(x, level + 1) for x in v], axis=level - deepest)

    return join(arrays, 0)


@implements()
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    return manipulation.concat([arr, like_first(arr, values)], axis=axis)


@implements()
def tile(A: Any, reps: Any) -> Any:
    return manipulation.tile(A, (reps,) if isinstance(reps, int) else tuple(reps))


@implements()
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    return manipulation.repeat(a, repeats, axis=axis)


# -- splitting -----------------------------------------------------------------------------------------------


@implements()
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    n = ary.shape[axis]
    if isinstance(indices_or_sections, int):
        each, extra = divmod(n, indices_or_sections)
        lengths = [each + 1] * extra + [each] * (indices_or_sections - extra)
        cuts = [sum(lengths[:i]) for i in range(1, len(lengths))]
    else:
        cuts = [int(i) for i in indices_or_sections]
    axis = axis % ary.ndim
    ends = [0, *cuts, n]
    return [ary[(slice(None),) * axis + (slice(a, b), ...)] for a, b in itertools.pairwise(ends)]


@implements()
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    if isinstance(indices_or_sections, int) and ary.shape[axis] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return array_split(ary, indices_or_sections, axis)


@implements()
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return split(ary, indices_or_sections, 0)


@implements()
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return split(ary, indices_or_sections, 0 if ary.ndim == 1 else 1)


@implements()
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return split(ary, indices_or_sections, 2)


@implements()
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    return manipulation.unstack(x, axis=axis)


# -- turning -------------------------------------------------------------------------------------------------


@implements()
def flip(m: Any, axis: Any = None) -> Any:
    return manipulation.flip(m, axis=axis)


@implements()
def flipud(m: Any) -> Any:
    return manipulation.flip(m, axis=0)


@implements()
def fliplr(m: Any) -> Any:
    return manipulation.flip(m, axis=1)


@implements()
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    return manipulation.roll(a, shift, axis=axis)


@implements()
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    k %= 4
    first, second = axes
    if k == 2:
        return manipulation.flip(m, axis=(first % m.ndim, second % m.ndim))
    if k == 0:
        return m
    turned = swapaxes(m, first, second)
    return manipulation.flip(turned, axis=first if k == 1 else second)


@implements("matrix_transpose", "linalg.matrix_transpose")
def matrix_transpose(x: Any, /) -> Any:
    return linear_algebra.matrix_transpose(x)


# -- picking ---------------------------------------------------------------------------------------------------


@implements()
def take(a: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
    if mode != "raise":
        n = math.prod(a.shape) if axis is None else a.shape[axis]
        indices = like_first(a, indices)
        indices = el.remainder(indices, n) if mode == "wrap" else el.clip(indices, 0, n - 1)
    flat = manipulation.reshape(a, (-1,)) if axis is None else a
    axis = 0 if axis is None else axis % a.ndim
    return flat[(slice(None),) * axis + (like_first(a, indices), ...)]


@implements()
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    if axis is None:
        return indexing.take_along_axis(ravel(arr), indices, axis=0)
    return indexing.take_along_axis(arr, indices, axis=axis)


@implements(first=False)
def where(condition: Any, *given: Any) -> Any:
    if not given:
        return searching.nonzero(condition)
    device = next(x._device for x in (condition, *given) if isinstance(x, Cell))
    return searching.where(tensor(condition, device) != 0, *given)


@implements(first=False)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    device = next(x._device for x in (*condlist, *choicelist, default) if isinstance(x, Cell))
    made = tensor(default, device)
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        made = searching.where(tensor(condition, device), choice, made)
    return made


@implements(first=False)
def choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    options = manipulation.broadcast_arrays(*tensors([*tensors(choices), a]))
    *found, index = options
    made = found[0]
    for i, choice in enumerate(found[1:], 1):
        made = searching.where(index == i, choice, made)
    return made


@implements()
def compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    a = like_first(condition, a)
    return take(a, searching.nonzero(condition)[0], axis)


@implements()
def extract(condition: Any, arr: Any) -> Any:
    return ravel(like_first(condition, arr))[ravel(condition) != 0]


@implements()
def nonzero(a: Any) -> Any:
    return searching.nonzero(a)


@implements()
def flatnonzero(a: Any) -> Any:
    return searching.nonzero(ravel(a))[0]


@implements()
def argwhere(a: Any) -> Any:
    return manipulation.stack(list(searching.nonzero(a)), axis=-1)


@implements()
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    arr = ravel(arr) if axis is None else arr
    axis = 0 if axis is None else axis % arr.ndim
    n = arr.shape[axis]
    gone = range(*obj.indices(n)) if isinstance(obj, slice) else [int(i) % n for i in _listed(obj)]
    kept = [i for i in range(n) if i not in set(gone)]
    return take(arr, creation.asarray(kept, dtype="int64", device=arr.device), axis)


def _listed(value: Any) -> list[Any]:
    made = value.tolist() if hasattr(value, "tolist") else value
    return list(made) if isinstance(made, (list, tuple)) else [made]


@implements()
def diag(v: Any, k: int = 0) -> Any:
    if v.ndim == 2:
        return pg("linalg.diagonal")(v, offset=k)
    return diagflat(v, k)


@implements()
def diagflat(v: Any, k: int = 0) -> Any:
    v = ravel(v)
    n = v.shape[0]
    rows = creation.arange(n, device=v.device)
    before, after = max(-k, 0), max(k, 0)
    side = n + abs(k)
    return indexing.scatter_add((side, side), v.dtype, [((rows + before, rows + after), v)])


@implements("diagonal")
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return pg("linalg.diagonal")(manipulation.moveaxis(a, (axis1, axis2), (-2, -1)), offset=offset)


@implements()
def tril(m: Any, k: int = 0) -> Any:
    return creation.tril(m, k=k)


@implements()
def triu(m: Any, k: int = 0) -> Any:
    return creation.triu(m, k=k)


@implements()
def pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    return pg("pad")(array, pad_width, mode=mode, **options)


# -- order -------------------------------------------------------------------------------------------------------


@implements()
def sort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    return sorting.sort(ravel(a), axis=-1) if axis is None else sorting.sort(a, axis=axis)


@implements()
def argsort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    return sorting.argsort(ravel(a), axis=-1) if axis is None else sorting.argsort(a, axis=axis)


@implements()
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    return searching.searchsorted(a, like_first(a, v), side=side, sorter=sorter)


@implements()
def argmax(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    return searching.argmax(a, axis=axis, keepdims=keepdims)


@implements()
def argmin(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    return searching.argmin(a, axis=axis, keepdims=keepdims)


@implements()
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return searching.count_nonzero(a, axis=axis, keepdims=keepdims)


@implements()
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    bins = like_first(x, bins)
    return searching.searchsorted(bins, x.detach(), side="left" if right else "right")


@implements()
def lexsort(keys: Any, axis: int = -1) -> Any:
    made = tensors(keys)
    order = sorting.argsort(made[0].detach(), axis=axis)
    for key in made[1:]:
        taken = indexing.take_along_axis(key.detach(), order, axis=axis)
        order = indexing.take_along_axis(order, sorting.argsort(taken, axis=axis), axis=axis)
    return order
