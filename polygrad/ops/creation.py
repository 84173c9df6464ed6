"""Creation: arrays from Python values, other libraries' arrays and nothing; and moving between devices.

Wrapping an array shares its memory; the array decides its device. The default device matters only where
there is no array to begin with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from .. import registry
from ..backend import Device
from ..core.apply import apply
from ..core.cell import Cell, borrow, enter, new_tensor, settle
from ..core.declare import op
from ..core.leaving import leave
from ..core.modes import GRAD, TRACE, get_mode
from ..core.node import Node as _Node
from ..core.node import is_leaf, next_seq
from ..core.op import Op
from ..core.operands import Symbol, reconciled, scalar_tensor, together
from ..dtypes import as_dtype
from ..errors import DetachError, DeviceError, DTypeError, ShapeError, TraceError
from ..typing import ArrayLike, DTypeLike, Namespace, Raw
from .data_types import astype, result_type
from .manipulation import broadcast_to, reshape, stack

if TYPE_CHECKING:
    from ..tensor import Tensor

_bool = bool


# -- from values -------------------------------------------------------------------------------------


def asarray(
    obj: ArrayLike,
    /,
    *,
    dtype: DTypeLike | None = None,
    device: str | Device | None = None,
    copy: _bool | None = None,
    requires_grad: _bool = False,
) -> Tensor:
    """A Tensor of ``obj``: another library's array (sharing its memory), a Tensor (the same graph node), a
    Python number, or nested sequences of these (tensors in them keep their graph).

    Args:
        obj: the values.
        dtype: the result's dtype; by default ``obj``'s own; Python floats are float64 on every backend.
        device: where the result lives; by default where ``obj`` does, or the default device.
        copy: True always copies, False raises where a copy would be needed, None copies if needed: a NumPy array whose
            bytes are in another order than the machine's shares no memory.
        requires_grad: make it a leaf that collects ``.grad``; floating dtypes only.

    Raises:
        DTypeError: ``requires_grad`` with an integer or boolean dtype; a dtype the backend lacks; a masked array with masked
            entries.

    >>> import numpy as np, polygrad as pg
    >>> pg.asarray(np.arange(3.0), requires_grad=True)
    tensor([0., 1., 2.], dtype=float64, requires_grad=True)
    """
    place = None if device is None else registry.device(device)
    if isinstance(obj, Cell):
        result = _again(obj, dtype, place, copy)
    else:
        backend = registry.owner(obj)
        if backend is not None:
            result = _wrap(obj, backend, dtype, place, copy)
        else:
            result = _from_python(obj, dtype, place, copy)
    if requires_grad:
        if result._node is not None and not is_leaf(result._node):
            leave(
                result,
                "asarray(requires_grad=True)",
                "Use the tensor itself; functional_call puts it in a parameter's place",
            )
            result = result.detach()
        result.requires_grad_()
    return result  # type: ignore[no-any-return]


def to_tensor(obj: Any) -> Any:
    """What an op makes of an argument that is no Tensor."""
    backend = registry.owner(obj)
    if backend is None:
        return _from_python(obj, None, None, None)
    return _wrap(obj, backend, None, None, None)


def _again(x: Any, dtype: Any, place: Device | None, copy: _bool | None) -> Any:
    if get_mode() & TRACE:
        enter(x)
    settle(x)
    made = x
    if dtype is not None and as_dtype(dtype) is not x.dtype:
        if copy is False:
            raise ValueError(f"asarray: copy=False, but {x.dtype} to {as_dtype(dtype)} needs a copy")
        made = astype(made, dtype)
    if place is not None and place is not x._device:
        if copy is False:
            raise ValueError(f"asarray: copy=False, but moving from {x._device} to {place} needs a copy")
        made = to_device(made, place)
    if made is x and copy:
        made = apply(_copy, (x,))
    return made


@op(vjps=[lambda xp, g: g], jvps=[lambda xp, t: t])
def _copy(xp: Namespace, x: Raw, /) -> Raw:
    return xp.asarray(x, copy=True)


def _wrap(array: Raw, backend: Any, dtype: Any, place: Device | None, copy: _bool | None) -> Any:
    own = backend.device_of(array)
    raw = backend.borrow(array)
    copied = raw is not array and raw.dtype != array.dtype  # from another byte order
    if copied and copy is False:
        raise ValueError(f"asarray: copy=False, but an array of dtype {array.dtype} is taken by a copy only")
    if copied and get_mode() & TRACE:
        raise TraceError(
            f"asarray: an array of dtype {array.dtype} is taken by a copy, which would keep the numbers of this trace; make "
            "a tensor of it outside of the compiled function, or give it as an argument"
        )
    borrowed = backend.mutable and not copied
    if get_mode() & TRACE and (dtype is not None or place is not None or copy):
        # The array itself is the graph's constant, held by reference; what is made of it is made at each run.
        return _again(_wrap(array, backend, None, None, None), dtype, place, copy)
    if dtype is not None and as_dtype(dtype) is not backend.dtype_of(raw):
        if copy is False:
            raise ValueError(f"asarray: copy=False, but {backend.dtype_of(raw)} to {as_dtype(dtype)} needs a copy")
        raw = own.raw.astype(raw, backend.to_native_dtype(dtype))
        borrowed = False
    elif copy and (place is None or place is own):
        raw = raw if copied else backend.copy(raw)
        borrowed = False
    else:
        backend.to_dtype(raw.dtype)  # an unknown dtype is told here, by its name
    if place is not None and place is not own:
        if copy is False:
            raise ValueError(f"asarray: copy=False, but moving from {own} to {place} needs a copy")
        raw, borrowed = transfer(raw, own, place), False
        own = place
    result = new_tensor(raw, None, own)
    if borrowed:
        borrow(result, raw, backend.lock(array))
    return result


def _from_python(obj: Any, dtype: Any, place: Device | None, copy: _bool | None) -> Any:
    if copy is False:
        raise ValueError("asarray: copy=False, but Python values cannot be shared as an array")
    if isinstance(obj, (list, tuple)) and _holds_array(obj):
        items = _aligned([v if isinstance(v, Cell) else asarray(v) for v in obj], obj)
        made: Any = stack(items) if items else asarray(())
        return _again(made, dtype, place, None)
    place = place or registry.default_device()
    if obj.__class__ is Symbol:
        want = as_dtype(dtype or "float64")
        return new_tensor(place.raw.asarray(obj, dtype=place.backend.to_native_dtype(want)), None, place)
    buffer = hasattr(obj, "__array__") or hasattr(obj, "__array_interface__") or isinstance(obj, (memoryview, bytes))
    if not (isinstance(obj, (bool, int, float, complex, list, tuple, range)) or buffer):
        if hasattr(obj, "__dlpack__"):
            return from_dlpack(obj)
        raise DTypeError(
            f"cannot make an array of {type(obj).__module__}.{type(obj).__qualname__}; give numbers, nested sequences "
            f"of numbers, or an array of a registered library ({', '.join(registry.backend_names())})"
        )
    host = registry.load("numpy")
    try:
        values = host.borrow(host.namespace("cpu").asarray(obj))
        kind = host.dtype_of(values)
    except DTypeError:
        raise DTypeError(f"cannot make an array of numbers of {obj!r}") from None
    except ValueError as error:
        raise ShapeError(f"asarray: {error}") from None
    want = as_dtype(dtype) if dtype is not None else kind
    if values.dtype.kind == "c" and want.kind not in "cb":
        raise DTypeError(f"asarray: complex values as {want} would drop the imaginary part")
    native = place.backend.to_native_dtype(want)  # first, so that an error names the device's library
    if want.name == "bfloat16":  # which NumPy has where ml_dtypes is installed
        wide = place.backend.from_numpy(values.astype("float32"), place.native)
        return new_tensor(place.raw.astype(wide, native), None, place)
    if kind is not want:
        values = values.astype(host.to_native_dtype(want))
    return new_tensor(place.backend.from_numpy(values, place.native), None, place)


def _holds_array(items: Sequence[Any]) -> _bool:
    """Whether a nested sequence contains an array anywhere."""
    return any(
        isinstance(v, Cell) or (_holds_array(v) if isinstance(v, (list, tuple)) else registry.owner(v) is not None)
        for v in items
    )


def _aligned(items: list[Any], values: Sequence[Any]) -> list[Any]:
    """The items of a sequence in one dtype on one device; Python numbers adapt to the arrays."""
    anchor = next((x for x, v in zip(items, values, strict=True) if isinstance(v, Cell)), None)
    if anchor is None:
        anchor = next(
            x for x, v in zip(items, values, strict=True) if hasattr(v, "dtype") or isinstance(v, (list, tuple))
        )
    made = []
    for x, v in zip(items, values, strict=True):
        if type(v) in (bool, int, float, complex):
            x = scalar_tensor(v, anchor)
        elif x._device is not anchor._device:
            if getattr(v, "shape", None) == () and not isinstance(v, Cell):
                x = to_device(x, anchor._device)
            else:
                x, anchor = reconciled("asarray", x, anchor)
        made.append(x)
    made = together("asarray", made)
    common = result_type(*made)
    return [astype(x, common, copy=False) for x in made]


def from_dlpack(x: Any, /, *, device: str | Device | None = None, copy: _bool | None = None) -> Tensor:
    """A Tensor over the memory of any object with ``__dlpack__``, on the backend of ``device`` or on the
    registered one whose array it is, else NumPy's or CuPy's by the kind of its memory."""
    if isinstance(x, Cell):
        return asarray(x, device=device, copy=copy)
    place = None if device is None else registry.device(device)
    if place is None:
        backend = registry.owner(x)
        if backend is not None:
            return asarray(x, copy=copy)
        kind = int(x.__dlpack_device__()[0])
        try:
            place = registry.device({1: "cpu", 2: "cuda", 3: "cpu", 13: "cuda"}[kind])
        except KeyError:
            raise DeviceError(f"from_dlpack: no backend for DLPack device type {kind}; name one by device=") from None
    result = new_tensor(place.backend.from_dlpack(x, place.native, copy), None, place)
    if place.backend.mutable and not copy:
        borrow(result, result._value, place.backend.lock(result._value))
    return result


# -- between devices ---------------------------------------------------------------------------------


def transfer(raw: Raw, source: Device, target: Device) -> Raw:
    """A backend's array on another device, through the host where the libraries differ."""
    if source is target:
        return raw
    if source.backend is target.backend:
        return source.backend.to_native(raw, target.native)
    lifted = target.backend.lift(new_tensor(raw, None, source), target)
    if lifted is not None:
        return lifted._value
    return target.backend.from_numpy(source.backend.to_numpy(raw), target.native)


def _moved(xp: Namespace, g: Any, source: Device, target: Device) -> Any:
    if isinstance(g, Cell):
        return to_device(g, source)
    return transfer(g, target, source)


def _moved_on(xp: Namespace, t: Any, source: Device, target: Device) -> Any:
    return _moved(xp, t, target, source)


_TO_DEVICE = Op("to_device", lambda xp, x, /, source, target: transfer(x, source, target), [_moved], [_moved_on])


def to_device(x: Any, device: str | Device) -> Any:
    """A Tensor on another device, across backends too; the gradient moves back."""
    target = registry.device(device)
    settle(x)
    source = x._device
    if source is target:
        return x
    lifted = target.backend.lift(x, target)
    if lifted is not None:
        return lifted
    target.backend.to_native_dtype(source.backend.dtype_of(x._value))
    raw = transfer(x._value, source, target)
    node = None
    if x._node is not None and get_mode() & GRAD:
        node = _Node()
        node.op = _TO_DEVICE
        node.parents = (x._node,)
        node.saved = ((source, target),)
        node.shape, node.dtype, node.device = raw.shape, raw.dtype, target
        node.seq, node.extra, node.pins = next_seq(), None, None
    result = new_tensor(raw, node, target)
    result._saved = x._saved = True  # some libraries share memory between them
    return result


# -- from nothing ------------------------------------------------------------------------------------


def _place(device: str | Device | None) -> Device:
    return registry.default_device() if device is None else registry.device(device)


def _native(place: Device, dtype: DTypeLike | None, default: Any = dt.float64) -> Any:
    return place.backend.to_native_dtype(default if dtype is None else dtype)


def _shape(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)


def zeros(shape: Any, *, dtype: DTypeLike | None = None, device: str | Device | None = None) -> Tensor:
    """Zeros of a shape; float64 unless told."""
    place = _place(device)
    return new_tensor(place.raw.zeros(_shape(shape), dtype=_native(place, dtype)), None, place)


def ones(shape: Any, *, dtype: DTypeLike | None = None, device: str | Device | None = None) -> Tensor:
    """Ones of a shape; float64 unless told."""
    place = _place(device)
    return new_tensor(place.raw.ones(_shape(shape), dtype=_native(place, dtype)), None, place)


def empty(shape: Any, *, dtype: DTypeLike | None = None, device: str | Device | None = None) -> Tensor:
    """An array of a shape with arbitrary values; float64 unless told."""
    place = _place(device)
    return new_tensor(place.raw.empty(_shape(shape), dtype=_native(place, dtype)), None, place)


def full(shape: Any, fill_value: Any, *, dtype: DTypeLike | None = None, device: str | Device | None = None) -> Tensor:
    """A shape filled with one value (a Tensor keeps its graph)."""
    if isinstance(fill_value, Cell):
        value: Any = asarray(fill_value, dtype=dtype, device=device)
        return apply(_copy, (broadcast_to(value, _shape(shape)),))
    place = _place(device)
    kinds = {bool: dt.bool, int: dt.int64, complex: dt.complex128}
    native = _native(place, dtype, kinds.get(type(fill_value), dt.float64))
    return new_tensor(place.raw.full(_shape(shape), fill_value, dtype=native), None, place)


def _number(name: str, value: Any) -> Any:
    """A Python number: of a Tensor or another array with one element, its value."""
    if isinstance(value, Cell):
        settle(value)
        if value._node is not None:
            raise DetachError(
                f"{name}: an argument requires grad, and {name} has no derivative; write start + step * arange(n), or "
                "detach() it if that is meant"
            )
    return value.item() if hasattr(value, "item") else value


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    device: str | Device | None = None,
) -> Tensor:
    """Numbers from ``start`` (0 if only one is given) in steps, up to and without ``stop``.

    Raises:
        DetachError: if an argument requires grad; write ``start + step * arange(n)``.
    """
    place = _place(device)
    if stop is None:
        start, stop = 0, start
    start, stop, step = (_number("arange", v) for v in (start, stop, step))
    whole = all(isinstance(v, int) for v in (start, stop, step))
    native = _native(place, dtype, dt.int64 if whole else dt.float64)
    return new_tensor(place.raw.arange(start, stop, step, dtype=native), None, place)


def _between(start: Any, stop: Any, num: int, dtype: Any, device: Any, endpoint: _bool) -> Any:
    """``linspace`` between Tensors: both ends are exact, and it is differentiable by both."""
    if device is None:
        device = next(v._device for v in (start, stop) if isinstance(v, Cell))
    common = result_type(start, stop, 1.0)
    first, last = (asarray(v, dtype=common, device=device) for v in (start, stop))
    if first.ndim or last.ndim:
        raise ShapeError(f"linspace: start and stop must be numbers, got shapes {first.shape} and {last.shape}")
    real = dt.FLOAT_OF_COMPLEX.get(common.name, common)
    t: Any = astype(arange(num, device=device), real) / max(num - 1 if endpoint else num, 1)
    made = first * (1 - t) + last * t
    return made if dtype is None else astype(made, dtype)


def linspace(
    start: complex | Tensor,
    stop: complex | Tensor,
    /,
    num: int,
    *,
    dtype: DTypeLike | None = None,
    device: str | Device | None = None,
    endpoint: _bool = True,
) -> Tensor:
    """``num`` evenly spaced numbers from ``start`` to ``stop``: numbers, or Tensors without dimensions, which it is
    differentiable by; the result's dtype is theirs then.

    >>> import polygrad as pg
    >>> pg.grad(lambda end: pg.sum(pg.linspace(0.0, end, 5)))(8.0)
    2.5

    Raises:
        ShapeError: if an end is a Tensor with dimensions.
    """
    if isinstance(start, Cell) or isinstance(stop, Cell):
        return _between(start, stop, num, dtype, device, endpoint)  # type: ignore[no-any-return]
    place = _place(device)
    native = _native(
        place, dtype, dt.complex128 if isinstance(start, complex) or isinstance(stop, complex) else dt.float64
    )
    return new_tensor(place.raw.linspace(start, stop, num, dtype=native, endpoint=endpoint), None, place)


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DTypeLike | None = None,
    device: str | Device | None = None,
) -> Tensor:
    """Ones on the ``k``-th diagonal, zeros elsewhere."""
    place = _place(device)
    return new_tensor(place.raw.eye(n_rows, n_cols, k=k, dtype=_native(place, dtype)), None, place)


def _like(name: str, x: Any, dtype: Any, device: Any, *fill: Any) -> Any:
    if not isinstance(x, Cell):
        x = to_tensor(x)
    settle(x)
    place = x._device if device is None else registry.device(device)
    wanted = as_dtype(x._device.backend.to_dtype(x._value.dtype) if dtype is None else dtype)
    make = getattr(place.raw, name)
    return new_tensor(make(tuple(x._value.shape), *fill, dtype=place.backend.to_native_dtype(wanted)), None, place)


def zeros_like(x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | Device | None = None) -> Tensor:
    """Zeros of ``x``'s shape, dtype and device."""
    return _like("zeros", x, dtype, device)  # type: ignore[no-any-return]


def ones_like(x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | Device | None = None) -> Tensor:
    """Ones of ``x``'s shape, dtype and device."""
    return _like("ones", x, dtype, device)  # type: ignore[no-any-return]


def empty_like(x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | Device | None = None) -> Tensor:
    """Arbitrary values in ``x``'s shape, dtype and device."""
    return _like("empty", x, dtype, device)  # type: ignore[no-any-return]


def full_like(
    x: ArrayLike, /, fill_value: Any, *, dtype: DTypeLike | None = None, device: str | Device | None = None
) -> Tensor:
    """``x``'s shape, dtype and device, filled with one value (a Tensor keeps its graph)."""
    if isinstance(fill_value, Cell):
        made: Any = x if isinstance(x, Cell) else to_tensor(x)
        return full(made.shape, fill_value, dtype=made.dtype if dtype is None else dtype, device=device)
    return _like("full", x, dtype, device, fill_value)  # type: ignore[no-any-return]


# -- parts of arrays ---------------------------------------------------------------------------------


@op(vjps=[lambda xp, g, k: xp.tril(g, k=k)], jvps=[lambda xp, t, k: xp.tril(t, k=k)])
def _tril(xp: Namespace, x: Raw, /, k: int) -> Raw:
    return xp.tril(x, k=k)


def tril(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """The lower triangle of the last two axes, up to the ``k``-th diagonal; zeros above."""
    return apply(_tril, (x,), (k,))


@op(vjps=[lambda xp, g, k: xp.triu(g, k=k)], jvps=[lambda xp, t, k: xp.triu(t, k=k)])
def _triu(xp: Namespace, x: Raw, /, k: int) -> Raw:
    return xp.triu(x, k=k)


def triu(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """The upper triangle of the last two axes, from the ``k``-th diagonal; zeros below."""
    return apply(_triu, (x,), (k,))


def meshgrid(*arrays: ArrayLike, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinate grids of one-dimensional arrays, ``"xy"`` (the first two axes swapped) or ``"ij"``."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    cells: list[Any] = [x if isinstance(x, Cell) else to_tensor(x) for x in arrays]
    n = len(cells)
    lengths = [1 if x.ndim == 0 else x.shape[0] for x in cells]
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[0], order[1] = 1, 0
    shape = [0] * n
    for i, axis in enumerate(order):
        shape[axis] = lengths[i]
    grids = []
    for i, axis in enumerate(order):
        own = [1] * n
        own[axis] = lengths[i]
        grids.append(apply(_copy, (broadcast_to(reshape(cells[i], tuple(own)), tuple(shape)),)))
    return tuple(grids)
