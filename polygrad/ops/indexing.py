"""Indexing: ``take``, ``take_along_axis``, and what ``x[key]`` and ``x[key] = value`` do.

A key is an int, slice, None, ``...``, integer array or mask, or a tuple of these; Tensors, NumPy arrays and
lists are all accepted. Repeated indices sum in the derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import registry
from ..core.apply import apply, apply_many
from ..core.cell import Cell, enter, link_view, replace, root_of, settle
from ..core.cotangents import EntryParts
from ..core.declare import op
from ..core.modes import GRAD, TRACE, get_mode
from ..core.node import carry_retained, is_leaf
from ..core.operands import beside, together
from ..dtypes import as_dtype
from ..errors import DTypeError, MutationError, ShapeError, VmapError
from ..typing import ArrayLike, Namespace, Raw, Shape
from .creation import to_tensor, transfer
from .data_types import astype
from .kernels import is_basic
from .keys import is_mask
from .manipulation import broadcast_shapes, normal_axis, reshape, with_entries

if TYPE_CHECKING:
    from ..tensor import Tensor

# -- reading -----------------------------------------------------------------------------------------


@op(
    vjps=[lambda xp, g, key: EntryParts([(key, g)])],
    jvps=[lambda xp, t, key: xp.getitem(t, key)],
    partial=True,
)
def _getitem(xp: Namespace, x: Raw, /, key: Any) -> Raw:
    return xp.getitem(x, key)


_PLAIN = frozenset({int, type(None)})


def _is_plain(key: slice) -> bool:
    return type(key.start) in _PLAIN and type(key.stop) in _PLAIN and type(key.step) in _PLAIN


def getitem(x: Tensor, key: Any) -> Tensor:
    """``x[key]``: a view for basic keys, a copy for index arrays and masks."""
    if type(key) is int or (type(key) is slice and _is_plain(key)):
        basic = True
    else:
        x = _beside_key(x, key)
        key = raw_key(x, key)
        basic = is_basic(key)
    if basic and _is_element(x, key):  # NumPy would give a scalar, a copy
        key = (*key, Ellipsis) if type(key) is tuple else (key, Ellipsis)
    try:
        result = apply(_getitem, (x,), (key,))
    except IndexError as error:
        raise IndexError(f"getitem: {error} (shape {tuple(x._value.shape)})") from None
    if basic:
        if not x._device.backend.flip_is_view and _has_negative_step(key):
            result._saved = True  # the library copied: a write must go through the base
        link_view(result, x, lambda base: getitem(base, key), lambda base, made: with_entries(base, key, made))
    return result


def _is_element(x: Any, key: Any) -> bool:
    if type(key) is int:
        return len(x._value.shape) == 1
    return type(key) is tuple and len(key) == len(x._value.shape) and all(type(k) is int for k in key)


def _beside_key(x: Any, key: Any) -> Any:
    """``x`` on the device of an index array, where that wraps ``x``'s own."""
    for entry in key if isinstance(key, tuple) else (key,):
        if isinstance(entry, Cell) and entry._device is not x._device:
            lifted = entry._device.backend.lift(x, entry._device)
            x = x if lifted is None else lifted
    return x


def _has_negative_step(key: Any) -> bool:
    entries = key if isinstance(key, tuple) else (key,)
    return any(isinstance(k, slice) and k.step is not None and k.step < 0 for k in entries)


def raw_key(x: Tensor, key: Any) -> Any:
    """A key with the backend's own arrays in it, on ``x``'s device."""
    if isinstance(key, tuple):
        return tuple([_raw_entry(x, k) for k in key])
    return _raw_entry(x, key)


def _raw_entry(x: Tensor, entry: Any) -> Any:
    if entry is None or entry is Ellipsis or type(entry) is int:
        return entry
    if isinstance(entry, slice):
        return slice(_whole(entry.start), _whole(entry.stop), _whole(entry.step))
    if type(entry) is bool:
        entry = to_tensor(entry)
    elif isinstance(entry, Cell):
        if get_mode() & TRACE:
            enter(entry)
        settle(entry)
    else:
        if hasattr(entry, "__index__") and getattr(entry, "shape", ()) == () and not is_mask(entry):
            return entry.__index__()
        if isinstance(entry, (list, range)) and len(entry) == 0:
            entry = registry.default_device().raw.zeros(
                (0,), dtype=registry.default_device().backend.native_dtypes["int64"]
            )
        entry = to_tensor(entry)
    own = entry._device
    raw = entry._value
    kind = own.backend.to_dtype(raw.dtype).kind
    if kind in "iu" and raw.ndim == 0 and not own.backend.lazy:
        return int(raw)
    if kind not in "biu":
        raise IndexError(f"an index array must be of integers or booleans, not {own.backend.to_dtype(raw.dtype)}")
    return transfer(raw, own, x._device)


def _whole(value: Any) -> int | None:
    return value if value is None or type(value) is int else value.__index__()


def _check_indices(name: str, indices: Any) -> None:
    if indices._device.backend.to_dtype(indices._value.dtype).kind not in "iu":
        raise DTypeError(f"{name}: indices must be integers, not {indices.dtype}")


@op(
    vjps=[lambda xp, g, indices, axis: EntryParts([((slice(None),) * axis + (indices,), g)]), None],
    jvps=[lambda xp, t, indices, axis: xp.take(t, indices, axis=axis), None],
    partial=True,
)
def _take(xp: Namespace, x: Raw, indices: Raw, /, axis: int) -> Raw:
    return xp.take(x, indices, axis=axis)


def take(x: ArrayLike, indices: ArrayLike, /, *, axis: int | None = None) -> Tensor:
    """The slices of ``x`` at ``indices`` along ``axis``; repeated indices sum in the gradient.

    >>> import polygrad as pg
    >>> pg.take(pg.asarray([1.0, 2.0, 3.0]), pg.asarray([2, 0, 2]))
    tensor([3., 1., 3.], dtype=float64)
    """
    x, indices = together("take", (x, indices))
    _check_indices("take", indices)
    ndim = x._value.ndim
    if axis is None:
        if ndim != 1:
            raise ShapeError(f"take: axis is required for an array of {ndim} dimensions")
        axis = 0
    place = normal_axis("take", axis, ndim)
    try:
        return apply(_take, (x, indices), (place,))
    except IndexError as error:
        raise IndexError(f"take: {error} (shape {tuple(x._value.shape)}, axis {place})") from None


def _along_key(xp: Namespace, indices: Raw, shape: Shape, axis: int) -> tuple[Raw, ...]:
    """The integer arrays that pick what ``take_along_axis`` picks."""
    ndim = len(shape)
    key = []
    for i in range(ndim):
        if i == axis:
            key.append(indices)
        else:
            grid = xp.arange(indices.shape[i]) if shape[i] != 1 else xp.zeros((indices.shape[i],), dtype=indices.dtype)
            key.append(xp.reshape(xp.astype(grid, indices.dtype), tuple(-1 if j == i else 1 for j in range(ndim))))
    return tuple(xp.broadcast_to(k, indices.shape) for k in key)


@op(
    vjps=[
        lambda xp, g, indices, axis, x_shape: EntryParts([(_along_key(xp, raw_of(indices), x_shape, axis), g)]),
        None,
    ],
    jvps=[lambda xp, t, indices, axis: xp.take_along_axis(t, indices, axis=axis), None],
    partial=True,
)
def _take_along_axis(xp: Namespace, x: Raw, indices: Raw, /, axis: int) -> Raw:
    return xp.take_along_axis(x, indices, axis=axis)


def raw_of(x: Any) -> Any:
    """The raw array of a Tensor without a graph, or a raw array itself."""
    return x._value if isinstance(x, Cell) else x


def take_along_axis(x: ArrayLike, indices: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """For each position of ``indices``, the element of ``x`` at that index along ``axis``; the other axes
    broadcast. Repeated indices sum in the gradient."""
    x, indices = together("take_along_axis", (x, indices))
    _check_indices("take_along_axis", indices)
    ndim = x._value.ndim
    if indices._value.ndim != ndim:
        raise ShapeError(f"take_along_axis: x has {ndim} dimensions, indices have {indices._value.ndim}")
    place = normal_axis("take_along_axis", axis, ndim)
    shape, wanted = tuple(x._value.shape), tuple(indices._value.shape)
    common = broadcast_shapes(shape[:place] + shape[place + 1 :], wanted[:place] + wanted[place + 1 :])
    xp = x._device.xp
    x = xp.broadcast_to(x, (*common[:place], shape[place], *common[place:]))
    indices = xp.broadcast_to(indices, (*common[:place], wanted[place], *common[place:]))
    return apply(_take_along_axis, (x, indices), (place,))


# -- adding at indices -------------------------------------------------------------------------------


@op(
    name="scatter_add",
    vjps=[lambda xp, g, keys, index: xp.getitem(g, keys[index])],
    jvps=[lambda xp, t, keys, index, out_shape, out_dtype: xp.scatter_add(out_shape, out_dtype, [(keys[index], t)])],
    variadic=True,
    broadcasts=True,
)
def _scatter_add(xp: Namespace, values: Sequence[Raw], /, keys: tuple[Any, ...], shape: Shape, dtype: Any) -> Raw:
    return xp.scatter_add(shape, dtype, list(zip(keys, values, strict=True)))


def scatter_add(shape: tuple[int, ...], dtype: Any, parts: Sequence[tuple[Any, ArrayLike]]) -> Tensor:
    """Zeros of ``shape`` with each ``values`` of ``parts`` added at its ``key``; repeated indices sum.

    >>> import polygrad as pg
    >>> pg.scatter_add((3,), "float64", [(pg.asarray([0, 2, 2]), pg.asarray([1.0, 2.0, 3.0]))])
    tensor([1., 0., 5.], dtype=float64)
    """
    cells = together("scatter_add", [values for _, values in parts])
    target = as_dtype(dtype)
    for key, _ in parts:
        cells = together("scatter_add", [_beside_key(cells[0], key), *cells])[1:]
    cells = [astype(x, target, copy=False) for x in cells]
    keys = tuple([raw_key(cells[0], key) for key, _ in parts])
    native = cells[0]._device.backend.to_native_dtype(target)
    return apply_many(_scatter_add, cells, (keys, tuple(shape), native))


def entries_replaced(x: ArrayLike, key: Any, value: ArrayLike) -> Tensor:
    """A copy of ``x`` with ``value`` at ``key``: ``x[key] = value`` without writing in place."""
    (x,) = together("setitem", (x,))
    x = _beside_key(x, key)
    value = _fitted("setitem", x, value)
    (x, value) = together("setitem", (x, value))
    return with_entries(x, raw_key(x, key), value)  # type: ignore[no-any-return]


# -- writing -----------------------------------------------------------------------------------------


def _fitted(name: str, x: Any, value: Any) -> Any:
    """A value to be written into ``x``, on its device and in its dtype."""
    value = beside(name, value, x) if not isinstance(value, Cell) else value
    (x, value) = together(name, (x, value))
    if value._value.dtype != x._value.dtype:
        kinds = "biufc"
        if kinds.index(value.dtype.kind) > kinds.index(x.dtype.kind) and (
            value.dtype.kind == "c" or x.dtype.kind == "b"
        ):
            raise DTypeError(f"{name}: cannot write {value.dtype} values into an array of {x.dtype}")
        value = astype(value, x._value.dtype)
    return value


def _written(x: Any) -> None:
    """Memory was written: views that had to be copies (PyTorch's reversed ones) make themselves again."""
    extra = root_of(x)._extra
    if extra is not None and (extra.copies or not x._device.backend.flip_is_view):
        extra.version += 1


def check_writable(name: str, x: Any) -> bool:
    """Refuse to write into a leaf that requires grad; says whether the write is outside the graph
    (``no_grad``), so that the node stays."""
    if get_mode() & GRAD:
        root = root_of(x)
        if is_leaf(root._node) or is_leaf(x._node):
            view = "" if root is x else " (this is a view of it)"
            raise MutationError(
                f"{name}: writing in place into a leaf that requires grad{view}, of shape {tuple(root._value.shape)}; "
                "use a copy (x = x + 0), or write under pg.no_grad() to update a parameter"
            )
        return False
    return True


def setitem(x: Tensor, key: Any, value: ArrayLike) -> None:
    """``x[key] = value``: in memory where no graph can see it, as a new value of the handle elsewhere."""
    if get_mode() & TRACE:
        enter(x)
    settle(x)
    outside = check_writable("setitem", x)
    if _beside_key(x, key) is not x:
        raise _above("setitem", x)
    key = raw_key(x, key)
    value = _fitted("setitem", x, value)
    if value._device is not x._device:
        raise _above("setitem", x)
    tracked = not outside and (x._node is not None or value._node is not None or root_of(x)._node is not None)
    if not tracked and may_write(x):
        try:
            x._device.backend.write(x._value, key, value._value)
        except IndexError as error:
            raise IndexError(f"setitem: {error} (shape {tuple(x._value.shape)})") from None
        except ValueError as error:
            raise ShapeError(f"setitem: {error} (shape {tuple(x._value.shape)})") from None
        _written(x)
        return
    if value._value.ndim > x._value.ndim:  # NumPy drops leading axes of length 1
        value = _drop_leading(value, x._value.ndim)
    replace(x, with_entries(x, key, value), keep_node=outside)


def _above(name: str, x: Any) -> VmapError:
    return VmapError(
        f"{name}: writing values that each example of a batch has of its own into an array of shape "
        f"{tuple(x._value.shape)} that was made outside vmap; make the array inside (pg.zeros_like of an argument), or write "
        "x = x + y"
    )


def _drop_leading(value: Any, ndim: int) -> Any:
    shape = tuple(value._value.shape)
    extra = len(shape) - ndim
    return reshape(value, shape[extra:]) if all(n == 1 for n in shape[:extra]) else value


def _within_saved(x: Any) -> bool:
    """Whether a view between this one and the root has memory of its own, or memory that a graph holds."""
    while x._extra is not None and x._extra.base is not None:
        x = x._extra.base
        if x._saved:
            return True
    return False


def may_write(x: Any) -> bool:
    """Whether memory may be written: the library allows it, and no graph holds it.

    Raises:
        MutationError: if the memory is borrowed from the user and a live graph holds it: neither writing nor
            copying would do what was asked.
    """
    if not x._device.backend.mutable:
        return False
    root = root_of(x)
    if is_leaf(x._node) and not root._saved:
        return True
    if x._node is not None and not is_leaf(x._node):
        return False
    if not root._saved and not x._saved:
        return not _within_saved(x)
    extra = root._extra
    if extra is not None and extra.borrowed is not None:
        if extra.borrowed.pins:
            raise MutationError(
                f"writing in place into a tensor of shape {tuple(root._value.shape)} that shares its memory with an "
                f"array of yours, while a graph holds that memory; copy it first (pg.asarray(x, copy=True)), or "
                "free the graph"
            )
        root._saved = x._saved = False
        return True
    return False


def assign(x: Tensor, made: Tensor, name: str) -> Tensor:
    """``x op= y`` once ``x op y`` is computed: put it in the handle, and in the memory others share."""
    if get_mode() & TRACE:
        enter(x)
    outside = check_writable(name, x)
    before, after = x._value, made._value
    if made._device is not x._device:
        raise _above(name, x)
    if after.dtype != before.dtype:
        if x.dtype.kind == made.dtype.kind:  # as NumPy and PyTorch do: int32 += int64 stays int32
            return assign(x, astype(made, x.dtype), name)
        raise DTypeError(
            f"{name}: the result's dtype would change from {x.dtype} to {made.dtype}; in place it cannot, write "
            f"x = x {name} y"
        )
    if tuple(after.shape) != tuple(before.shape):
        raise ShapeError(
            f"{name}: the result's shape would change from {tuple(before.shape)} to {tuple(after.shape)}; in place it "
            f"cannot, write x = x {name} y"
        )
    if x._extra is None:
        x._value = after
        x._saved = made._saved
        if not outside:
            carry_retained(x._node, made._node)
            x._node = made._node
    elif (outside or (made._node is None and root_of(x)._node is None)) and may_write(x):
        x._device.backend.write(before, ..., after)
        _written(x)
    else:
        replace(x, made, keep_node=outside)
    return x
