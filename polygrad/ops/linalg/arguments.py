"""Arguments of linear algebra: matrices of a dtype that can be decomposed, or an error that says what is wrong."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from ...core.operands import together
from ...errors import DTypeError, ShapeError
from ...typing import ArrayLike, Namespace, Raw
from ..data_types import astype, result_type
from ..manipulation import reshape

__all__ = ["floating", "hermitised", "is_complex", "matrix", "pair", "square", "told"]


def floating(name: str, x: Any) -> None:
    """Refuse dtypes that no library decomposes matrices of."""
    dtype = x._device.backend.to_dtype(x._value.dtype)
    if dtype.kind not in "fc" or dtype.itemsize < 4:
        raise DTypeError(f"{name}: needs float32, float64, complex64 or complex128, got {dtype}; cast with pg.astype")


def matrix(name: str, x: ArrayLike) -> Any:
    """A Tensor of one or many matrices."""
    (x,) = together(name, (x,))
    if x._value.ndim < 2:
        raise ShapeError(f"{name}: needs a matrix (at least 2 dimensions), got shape {tuple(x._value.shape)}")
    floating(name, x)
    return x


def square(name: str, x: ArrayLike) -> Any:
    """A Tensor of one or many square matrices."""
    x = matrix(name, x)
    shape = tuple(x._value.shape)
    if shape[-1] != shape[-2]:
        raise ShapeError(f"{name}: needs square matrices, got shape {shape}")
    return x


def pair(name: str, a: ArrayLike, b: ArrayLike) -> tuple[Any, Any, bool]:
    """Two sides of ``a x = b`` in one dtype and of as many dimensions, and whether ``b`` is one vector: then it
    comes as a matrix of one column."""
    a, b = together(name, (a, b))
    a = matrix(name, a)
    shape1, shape2 = tuple(a._value.shape), tuple(b._value.shape)
    vector = len(shape2) == 1
    if not shape2 or shape2[-1 if vector else -2] != shape1[-2]:
        raise ShapeError(f"{name}: shapes {shape1} and {shape2} do not fit: the right side needs {shape1[-2]} rows")
    floating(name, b)
    if a._value.dtype != b._value.dtype:
        common = result_type(a, b)
        a, b = astype(a, common, copy=False), astype(b, common, copy=False)
    if vector:
        shape2 = (*shape2, 1)
    n = max(len(shape1), len(shape2))
    # Of as many dimensions: else PyTorch takes a matrix beside a batch of matrices for a batch of vectors.
    padded1, padded2 = (1,) * (n - len(shape1)) + shape1, (1,) * (n - len(shape2)) + shape2
    a = a if padded1 == tuple(a._value.shape) else reshape(a, padded1)
    b = b if padded2 == tuple(b._value.shape) else reshape(b, padded2)
    return a, b, vector


def is_complex(xp: Namespace, x: Raw) -> bool:
    """Whether an array of rules is complex."""
    return bool(xp.isdtype(x.dtype, "complex floating"))


def hermitised(xp: Namespace, x: Raw) -> Raw:
    """The Hermitian part: the projection onto Hermitian matrices, its own adjoint."""
    return (x + xp.adjoint(x)) / 2


class told:
    """A scope in which a library's LinAlgError (a singular matrix, no convergence) gets the op's name and shape."""

    __slots__ = ("_arrays", "_name")

    def __init__(self, name: str, *arrays: Raw) -> None:
        self._name = name
        self._arrays = arrays

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None and kind.__name__ == "LinAlgError":
            shapes = " and ".join(str(tuple(a.shape)) for a in self._arrays)
            raise kind(f"{self._name} of shape {shapes}: {error}") from None
