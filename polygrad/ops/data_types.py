"""Data types: casting, promotion and what a dtype can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .. import dtypes as dt
from ..core.apply import apply
from ..core.cell import Cell
from ..core.declare import op
from ..core.operands import together
from ..dtypes import FLOAT_OF_COMPLEX, DType, as_dtype, promote
from ..errors import DTypeError
from ..registry import device as find_device
from ..typing import ArrayLike, DTypeLike, Namespace, Raw

if TYPE_CHECKING:
    from ..tensor import Tensor

_bool = bool


@op(
    vjps=[lambda xp, g, x_dtype: cast(xp, g, x_dtype)],
    jvps=[lambda xp, t, dtype: cast(xp, t, dtype)],
)
def _astype(xp: Namespace, x: Raw, /, dtype: Any) -> Raw:
    return xp.astype(x, dtype)


@op(name="astype_discrete")
def _astype_discrete(xp: Namespace, x: Raw, /, dtype: Any) -> Raw:
    return xp.astype(x, dtype)


def cast(xp: Namespace, x: Raw, dtype: Any) -> Raw:
    """A cotangent or tangent in another dtype; the real part where that is real."""
    if xp.isdtype(x.dtype, "complex floating") and not xp.isdtype(dtype, "complex floating"):
        x = xp.real(x)
    return xp.astype(x, dtype)


def astype(x: ArrayLike, dtype: DTypeLike, /, *, copy: _bool = True, device: Any = None) -> Tensor:
    """``x`` in another dtype. Between floating dtypes the gradient is cast back.

    Raises:
        DTypeError: from complex to real; take ``real(x)`` or ``abs(x)``.

    >>> import polygrad as pg
    >>> pg.astype(pg.asarray([1.5, 2.5]), "int64")
    tensor([1, 2], dtype=int64)
    """
    (x,) = together("astype", (x,))
    target = as_dtype(dtype)
    backend = x._device.backend
    before = backend.to_dtype(x._value.dtype)
    if before.kind == "c" and target.kind not in "cb":
        raise DTypeError(f"astype: {before} to {target} would drop the imaginary part; use real(x) or abs(x) first")
    if before is target and not copy:
        result = x
    else:
        result = apply(_astype if target.inexact else _astype_discrete, (x,), (backend.to_native_dtype(target),))
    return result if device is None else result.to_device(find_device(device))  # type: ignore[no-any-return]


def as_same_dtype(name: str, x: ArrayLike, *others: ArrayLike | None) -> list[Any]:
    """``x`` and further arguments on its device and in its dtype; None stays None."""
    (x,) = together(name, (x,))
    made: list[Any] = [x]
    for value in others:
        if value is not None:
            _, value = together(name, (x, value))
            if value._value.dtype != x._value.dtype:
                value = astype(value, x._value.dtype)
        made.append(value)
    return made


# -- promotion ---------------------------------------------------------------------------------------


def _dtype_of(value: Any) -> DType:
    if isinstance(value, Cell):
        return value._device.backend.to_dtype(value._value.dtype)  # type: ignore[no-any-return]
    native = getattr(value, "dtype", None)
    if native is not None and not isinstance(value, DType) and hasattr(value, "shape"):
        return as_dtype(native)
    return as_dtype(value)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype of a result that combines these arrays, dtypes and (at most) Python scalars.

    >>> import polygrad as pg
    >>> pg.result_type(pg.float32, pg.complex64, 1.0)
    polygrad.complex64
    """
    scalars = [v for v in arrays_and_dtypes if type(v) in (bool, int, float, complex)]
    found = [_dtype_of(v) for v in arrays_and_dtypes if type(v) not in (bool, int, float, complex)]
    if not found:
        if not scalars:
            raise DTypeError("result_type: at least one array or dtype is required")
        found = [{bool: dt.bool, int: dt.int64, float: dt.float64, complex: dt.complex128}[type(scalars.pop())]]
    total = found[0]
    for other in found[1:]:
        total = promote(total, other)
    for scalar in scalars:
        if type(scalar) is complex and total.kind != "c":
            total = promote(total if total.inexact else dt.float64, dt.complex64)
        elif type(scalar) is float and not total.inexact:
            total = dt.float64
        elif type(scalar) is int and total.kind == "b":
            total = dt.int64
    return total


def can_cast(from_: Any, to: DTypeLike, /) -> _bool:
    """Whether the standard's promotion leads from one dtype (or an array's) to another.

    >>> import polygrad as pg
    >>> pg.can_cast(pg.int8, pg.int16), pg.can_cast(pg.float64, pg.float32)
    (True, False)
    """
    source, target = _dtype_of(from_), as_dtype(to)
    if source.kind in "biu" and target.kind in "fc":
        return source.kind == "b" or promote(source, target) is target
    return promote(source, target) is target


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: DTypeLike, kind: DTypeLike | str | tuple[Any, ...]) -> _bool:
    """Whether a dtype is of a kind: a dtype, one of the standard's kind names, or a tuple of either.

    >>> import polygrad as pg
    >>> pg.isdtype(pg.float32, "real floating"), pg.isdtype(pg.int8, ("bool", pg.int8))
    (True, True)
    """
    own = as_dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(own, k) for k in kind)
    if isinstance(kind, str) and kind in _KINDS and kind != "bool":
        return own.kind in _KINDS[kind]
    try:
        return own is as_dtype(kind)
    except DTypeError:
        raise DTypeError(f"isdtype: unknown kind {kind!r}; the kinds are: {', '.join(_KINDS)}, or a dtype") from None


class finfo_object(NamedTuple):
    """Machine limits of a floating dtype; Python floats, except ``dtype``."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class iinfo_object(NamedTuple):
    """Machine limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


# (mantissa bits, largest exponent) of IEEE 754's formats and of bfloat16
_FLOATS = {"float16": (10, 15), "bfloat16": (7, 127), "float32": (23, 127), "float64": (52, 1023)}


def finfo(type: Any, /) -> finfo_object:
    """Machine limits of a floating dtype (of a complex one: of its parts).

    >>> import polygrad as pg
    >>> pg.finfo(pg.float32).eps
    1.1920928955078125e-07
    """
    own = _dtype_of(type)
    own = FLOAT_OF_COMPLEX.get(own.name, own)
    if own.name not in _FLOATS:
        raise DTypeError(f"finfo: {own} is not a floating dtype; for integers use iinfo")
    mantissa, exponent = _FLOATS[own.name]
    largest = (2.0 - 2.0**-mantissa) * 2.0**exponent
    return finfo_object(own.itemsize * 8, 2.0**-mantissa, largest, -largest, 2.0 ** (1 - exponent), own)


def iinfo(type: Any, /) -> iinfo_object:
    """Machine limits of an integer dtype.

    >>> import polygrad as pg
    >>> pg.iinfo(pg.int8).min
    -128
    """
    own = _dtype_of(type)
    if own.kind not in "iu":
        raise DTypeError(f"iinfo: {own} is not an integer dtype; for floating dtypes use finfo")
    bits = own.itemsize * 8
    if own.kind == "u":
        return iinfo_object(bits, 2**bits - 1, 0, own)
    return iinfo_object(bits, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), own)
