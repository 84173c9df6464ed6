"""Arguments: whatever an op is given, as Tensors of one device, or an error that says what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ..dtypes import promote
from ..errors import DeviceError, DTypeError
from . import cell as _cell
from .cell import Cell
from .modes import TRACE, get_mode

__all__ = [
    "SCALARS",
    "Symbol",
    "beside",
    "bind",
    "mixed_devices",
    "number_or",
    "operands",
    "reconciled",
    "reflected",
    "scalar_tensor",
    "together",
]

_Tensor: Any = Cell
_to_tensor: Callable[[Any], Any]


class Symbol:
    """A Python float that is known only when a static graph runs (an optimiser's rate). It adapts to the arrays
    beside it as a float does; arithmetic on it goes into the graph."""

    __slots__ = ("number", "trace")

    def __init__(self, trace: Any, number: Any) -> None:
        self.trace = trace
        self.number = number

    def __float__(self) -> float:
        return self.trace.read("float(number)")  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        return self.trace.read("the truth of a number")  # type: ignore[no-any-return]

    __hash__ = None  # type: ignore[assignment]


SCALARS: Final = frozenset({float, int, complex, bool, Symbol})
"""Python's own numbers, which adapt to the arrays beside them."""


def bind(tensor_type: type, to_tensor: Callable[[Any], Any]) -> None:
    """Say which class tensors are of and how to make one of anything else."""
    global _Tensor, _to_tensor
    _Tensor = tensor_type
    _to_tensor = to_tensor


def tensor(value: Any) -> Any:
    """A single argument as a Tensor."""
    return value if isinstance(value, _Tensor) else _to_tensor(value)


# -- two arguments -------------------------------------------------------------------------------------


class _Number:
    """A Python number as an argument: where an op takes numbers as they are, they stand for a tensor."""

    __slots__ = ("_device", "_extra", "_node", "_saved", "_value")

    def __init__(self, value: Any, device: Any) -> None:
        self._value = value
        self._device = device
        self._node = self._extra = None


def number_or(x: Any) -> Any:
    """The Python number that an argument stands for, or the argument."""
    return x._value if x.__class__ is _Number else x


def operands(name: str, scalars: bool, operator: bool) -> Callable[[Any, Any], Any]:
    """What makes two arguments Tensors of one device (or a Tensor and a number)."""

    def both(x1: Any, x2: Any) -> Any:
        if isinstance(x1, _Tensor):
            if x2.__class__ in SCALARS:
                if x2.__class__ is Symbol:
                    _cell.enter(x1)
                if scalars and x1._device.promotes:
                    return x1, _Number(x2, x1._device)
                return _alike(x1, _number(x2, x1, scalars))
            if isinstance(x2, _Tensor):
                if x2._device is x1._device:
                    return _alike(x1, x2)
                return _alike(*reconciled(name, x1, x2))
            if operator and not _is_operand(x2):
                return None
            return _alike(x1, beside(name, x2, x1))
        if isinstance(x2, _Tensor):
            if x1.__class__ in SCALARS:
                if x1.__class__ is Symbol:
                    _cell.enter(x2)
                # the forward runs where x1 says; a number has no place of its own
                if scalars and x2._device.promotes:
                    return _Number(x1, x2._device), x2
                return _alike(_number(x1, x2, scalars), x2)
            if operator and not _is_operand(x1):
                return None
            return _alike(beside(name, x1, x2), x2)
        return _alike(*_both(name, x1, x2))

    if name != "divide":
        return both

    def divided(x1: Any, x2: Any) -> Any:
        pair = both(x1, x2)
        return None if pair is None else (_floating(pair[0]), _floating(pair[1]))

    return divided


def _floating(x: Any) -> Any:
    """An integer argument of a division as float64, where the library would give something else than NumPy."""
    device = x._device
    if device.promotes or x.__class__ is _Number or x._value.dtype in device.inexact_dtypes:
        return x
    return x.astype(device.backend.native_dtypes["float64"], copy=False)


def _number(value: Any, like: Any, scalars: bool) -> Any:
    """A Python number beside a Tensor: as it is where the op and the library take it so."""
    device = like._device
    if scalars and device.backend.to_dtype(like._value.dtype).kind in _OF_KIND[value.__class__]:
        return _Number(value, device)
    return scalar_tensor(value, like)


def _alike(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two arguments in one dtype, where the library would not promote them as NumPy does."""
    device = x1._device
    if device.promotes or x1.__class__ is _Number or x2.__class__ is _Number:
        return x1, x2
    dtype1, dtype2 = x1._value.dtype, x2._value.dtype
    if dtype1 == dtype2:
        return x1, x2
    common = promote(device.backend.to_dtype(dtype1), device.backend.to_dtype(dtype2))
    return x1.astype(common, copy=False), x2.astype(common, copy=False)


# The kinds of dtypes that take a Python number without changing.
_OF_KIND: Final = {Symbol: "fc", bool: "b", int: "iufc", float: "fc", complex: "c"}


def _is_operand(value: Any) -> bool:
    """Whether an operator takes this beside a Tensor (else Python asks the other side)."""
    return isinstance(value, (int, float, complex)) or (
        hasattr(value, "dtype") and hasattr(value, "shape") and not hasattr(value, "dims")
    )


def reflected(call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The method of a reflected operator."""

    def reflected_call(self: Any, other: Any, /) -> Any:
        return call(other, self)

    return reflected_call


# -- any number of arguments ---------------------------------------------------------------------------


def mixed_devices(name: str, *cells: Any) -> DeviceError:
    """The error for tensors that live in different places."""
    places = " and ".join(f"{x._device.name} (shape {tuple(x._value.shape)})" for x in cells)
    first = cells[0]._device.name
    return DeviceError(
        f"{name}: the arrays live on different devices: {places}. Move one: x.to_device({first!r}) keeps the graph"
    )


def reconciled(name: str, *cells: Any) -> list[Any]:
    """Tensors of different devices on one of them, where its backend wraps the others'.

    Raises:
        DeviceError: if none does.
    """
    if get_mode() & TRACE:
        _cell.enter(*cells)
    for device in {id(x._device): x._device for x in cells}.values():
        made = [x if x._device is device else device.backend.lift(x, device) for x in cells]
        if all(x is not None for x in made):
            return made
    raise mixed_devices(name, *cells)


def beside(name: str, value: Any, tensor: Any) -> Any:
    """An argument beside a Tensor, as a Tensor."""
    if type(value) in SCALARS:
        return scalar_tensor(value, tensor)
    backend = tensor._device.backend
    if hasattr(value, "dtype") and getattr(value, "shape", None) == () and not backend.owns(value):
        if type(value).__module__ == "numpy":  # a NumPy scalar is a number, at home on every device
            host = tensor._device
            return _cell.new_tensor(backend.from_numpy(value, host.native), None, host)
    made = _to_tensor(value)
    if made._device is not tensor._device:
        if made._node is None and not hasattr(value, "dtype"):  # a list of numbers, at home on every device
            if backend.stands_for is not None:
                host = made._device.backend.to_numpy(made._value)
                return _cell.new_tensor(backend.from_numpy(host, tensor._device.native), None, tensor._device)
            return _to_tensor(value).to_device(tensor._device)
        lifted = backend.lift(made, tensor._device)
        if lifted is None:
            raise mixed_devices(name, tensor, made)
        return lifted
    return made


def _both(name: str, x1: Any, x2: Any) -> tuple[Any, Any]:
    if type(x1) in SCALARS and type(x2) not in SCALARS:
        x2 = _to_tensor(x2)
        return scalar_tensor(x1, x2), x2
    x1 = _to_tensor(x1)
    return x1, beside(name, x2, x1)


def scalar_tensor(value: Any, like: Any) -> Any:
    """A Python scalar as a 0-d Tensor beside another, with the standard's weak promotion."""
    device = like._device
    backend = device.backend
    kind = backend.to_dtype(like._value.dtype).kind
    dtype = like._value.dtype
    if type(value) is bool:
        dtype = backend.native_dtypes["bool"] if kind == "b" else dtype
    elif type(value) is int:
        dtype = backend.native_dtypes["int64"] if kind == "b" else dtype
    elif type(value) is float or type(value) is Symbol:
        dtype = backend.native_dtypes["float64"] if kind in "biu" else dtype
    elif kind != "c":
        wide = kind in "biu" or backend.to_dtype(dtype).itemsize > 4
        dtype = backend.native_dtypes["complex128" if wide else "complex64"]
    return _cell.new_tensor(device.raw.asarray(value, dtype=dtype), None, device)


def together(name: str, arrays: Sequence[Any]) -> list[Any]:
    """The arguments as Tensors of one device."""
    anchor = next((x for x in arrays if isinstance(x, _Tensor)), None)
    if anchor is None:
        anchor = next((x for x in arrays if type(x) not in SCALARS), None)
        if anchor is None:
            if not arrays:
                raise DTypeError(f"{name}: needs at least one array")
            anchor = arrays[0]
        anchor_value, anchor = anchor, _to_tensor(anchor)
        arrays = [anchor if x is anchor_value else x for x in arrays]
    device = anchor._device
    cells = []
    differ = False
    for x in arrays:
        if not isinstance(x, _Tensor):
            x = beside(name, x, anchor)
        elif x._device is not device:
            differ = True
        cells.append(x)
    return reconciled(name, *cells) if differ else cells
