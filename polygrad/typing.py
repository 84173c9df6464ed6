"""The types that polygrad's signatures speak of; nothing here imports an array library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from .dtypes import DType

__all__ = ["Array", "ArrayLike", "DTypeLike", "Namespace", "Raw", "Scalar", "Shape"]


@runtime_checkable
class Array(Protocol):
    """An array of the standard: a backend's own, or a Tensor."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    @property
    def ndim(self) -> int: ...


Scalar: TypeAlias = bool | int | float | complex
Shape: TypeAlias = tuple[int, ...]

Raw: TypeAlias = Any
"""A backend's own array, or whatever stands for one where a derivative rule runs: rules do not ask."""

Namespace: TypeAlias = Any
"""A namespace of the standard's functions: a backend's, or polygrad's own."""

ArrayLike: TypeAlias = Any
"""A Tensor, any registered library's array, a Python scalar or a nested sequence of these."""

DTypeLike: TypeAlias = "DType | str | Any"
"""A polygrad dtype, its name, or the array library's own dtype object."""
