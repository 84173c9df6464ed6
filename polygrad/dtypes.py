"""The dtypes of the Array API standard, as polygrad's own singletons.

A :class:`DType` belongs to no library. It compares equal to every library's dtype of the same name and
to that name, so ``x.dtype == np.float32``, ``x.dtype == "float32"`` and ``x.dtype is pg.float32`` all say
what they seem to. Each backend translates to and from its own objects.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from .errors import DTypeError

__all__ = [
    "BY_NAME",
    "COMPLEX_OF_FLOAT",
    "FLOAT_OF_COMPLEX",
    "DType",
    "as_dtype",
    "bool",
    "complex64",
    "complex128",
    "dtype_name",
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "promote",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

_bool = bool  # the name is shadowed below by the dtype


class DType:
    """A data type: ``name``, NumPy's ``kind`` letter, ``itemsize`` in bytes.

    >>> import polygrad as pg
    >>> pg.float32, pg.float32.kind, pg.float32.itemsize
    (polygrad.float32, 'f', 4)
    >>> import numpy as np
    >>> pg.float32 == np.dtype("float32") == pg.float32 == "float32"
    True
    """

    __slots__ = ("inexact", "itemsize", "kind", "name")

    name: str
    kind: str
    itemsize: int
    inexact: _bool

    def __init__(self, name: str, kind: str, itemsize: int) -> None:
        self.name = name
        self.kind = kind
        self.itemsize = itemsize
        self.inexact = kind in "fc"

    def __repr__(self) -> str:
        return f"polygrad.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> _bool:
        if self is other:
            return True
        if other is None or isinstance(other, DType):
            return False
        return dtype_name(other) == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> str | tuple[Any, ...]:
        return as_dtype, (self.name,)

    @property
    def char(self) -> str:
        """NumPy's one-letter code."""
        return _CHARS[self.name]

    @property
    def __numpy_dtype__(self) -> Any:
        numpy = sys.modules.get("numpy")  # only NumPy asks, or who looks whether there is a dtype
        if numpy is None:
            raise AttributeError(f"{self!r} is NumPy's dtype of that name only where NumPy is imported")
        return numpy.dtype(self.name)

    @property
    def dtype(self) -> Any:
        """NumPy's dtype: what ``np.dtype(pg.float32)`` asks for."""
        return self.__numpy_dtype__


_CHARS: Final = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "l",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "L",
    "float16": "e",
    "bfloat16": "E",
    "float32": "f",
    "float64": "d",
    "complex64": "F",
    "complex128": "D",
}

bool: Final = DType("bool", "b", 1)
int8: Final = DType("int8", "i", 1)
int16: Final = DType("int16", "i", 2)
int32: Final = DType("int32", "i", 4)
int64: Final = DType("int64", "i", 8)
uint8: Final = DType("uint8", "u", 1)
uint16: Final = DType("uint16", "u", 2)
uint32: Final = DType("uint32", "u", 4)
uint64: Final = DType("uint64", "u", 8)
float16: Final = DType("float16", "f", 2)
bfloat16: Final = DType("bfloat16", "f", 2)
float32: Final = DType("float32", "f", 4)
float64: Final = DType("float64", "f", 8)
complex64: Final = DType("complex64", "c", 8)
complex128: Final = DType("complex128", "c", 16)

BY_NAME: Final = {
    d.name: d
    for d in (
        bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
        float16, bfloat16, float32, float64, complex64, complex128,
    )
}  # fmt: skip


def dtype_name(dtype: object) -> str | None:
    """The standard's name of any library's dtype object, or None if it is none."""
    if isinstance(dtype, DType):
        return dtype.name
    if isinstance(dtype, str):
        return dtype
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    if not isinstance(name, str):
        name = str(dtype).rpartition(".")[2]
    if name == "bool_":  # NumPy's older scalar type
        name = "bool"
    return name


def as_dtype(dtype: object) -> DType:
    """polygrad's dtype for a name, a polygrad dtype, or any library's dtype object.

    >>> import numpy as np, polygrad as pg
    >>> as_dtype(np.dtype("int8")) is as_dtype("int8") is pg.int8
    True

    Raises:
        DTypeError: if it names no dtype of the standard.
    """
    found = BY_NAME.get(dtype_name(dtype) or "")
    if found is None:
        if dtype in (float, complex, int):
            return {float: float64, complex: complex128, int: int64}[dtype]
        raise DTypeError(
            f"{dtype!r} is not a dtype polygrad knows; use one of: {', '.join(BY_NAME)} "
            "(a name, polygrad's own object, or the array library's)"
        )
    return found


# -- promotion ---------------------------------------------------------------------------------------

FLOAT_OF_COMPLEX: Final = {"complex64": float32, "complex128": float64}
COMPLEX_OF_FLOAT: Final = {"float32": complex64, "float64": complex128}
_SIGNED: Final = [int8, int16, int32, int64]


def promote(a: DType, b: DType) -> DType:
    """The dtype of an op's result on two dtypes: the standard's table, and where that is silent NumPy's."""
    if a is b:
        return a
    if a.kind == "b" or b.kind == "b":
        return b if a.kind == "b" else a
    kinds = {a.kind, b.kind}
    if kinds <= {"i"} or kinds <= {"u"}:
        return a if a.itemsize >= b.itemsize else b
    if kinds == {"i", "u"}:
        signed, unsigned = (a, b) if a.kind == "i" else (b, a)
        if unsigned.itemsize >= 8:
            return float64
        need = max(signed.itemsize, 2 * unsigned.itemsize)
        return next(d for d in _SIGNED if d.itemsize == need)
    if "c" in kinds:
        parts = [FLOAT_OF_COMPLEX.get(d.name, d) for d in (a, b)]
        real = promote(*parts)
        return COMPLEX_OF_FLOAT.get(real.name, complex64 if real.itemsize <= 4 else complex128)
    if kinds == {"f"}:
        if a.itemsize == b.itemsize:  # float16 with bfloat16
            return float32
        return a if a.itemsize > b.itemsize else b
    floating, integer = (a, b) if a.kind == "f" else (b, a)  # NumPy's rule: wide enough for the integers
    if integer.itemsize == 1:
        return floating
    if integer.itemsize == 2:
        return floating if floating.itemsize >= 4 else float32
    return float64
