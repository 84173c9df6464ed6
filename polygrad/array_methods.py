"""The methods that users of NumPy's and PyTorch's arrays expect beside the standard's functions.

All of them are the functions of the same name; libraries that take any array (opt_einsum, xarray) call some of them.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from .core.cell import extra_of, link_view, root_of
from .dtypes import COMPLEX_OF_FLOAT, FLOAT_OF_COMPLEX, as_dtype
from .errors import DTypeError, ShapeError
from .ops import (
    creation,
    data_types,
    elementwise,
    linear_algebra,
    manipulation,
    searching,
    sorting,
    statistical,
    utility,
)

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["ArrayMethods"]

_bool = bool


def _copied(view: Any) -> Any:
    """A view that has memory of its own: a write must go through the base."""
    view._saved = True
    return view


def _as_pairs(z: Any) -> Any:
    """Complex numbers as real and imaginary parts, side by side along the last axis."""
    parts = manipulation.stack([elementwise.real(z), elementwise.imag(z)], axis=-1)
    return _copied(manipulation.reshape(parts, (*z.shape[:-1], 2 * z.shape[-1])))


def _from_pairs(x: Any) -> Any:
    """The complex numbers of such pairs."""
    return _copied(x[..., ::2] + 1j * x[..., 1::2])


def _floor_and_rest(x: Any, y: Any) -> Any:
    """Both results of ``divmod``, or NotImplemented beside what is no number."""
    floor_divide: Any = elementwise.floor_divide
    remainder: Any = elementwise.remainder
    quotient = floor_divide.operator(x, y)
    return quotient if quotient is NotImplemented else (quotient, remainder.operator(x, y))


class ArrayMethods:
    """What a Tensor does with its dot: ``x.sum(axis=0)`` for ``pg.sum(x, axis=0)``."""

    __slots__ = ()

    # -- reductions --------------------------------------------------------------------------------

    def sum(self: Any, axis: Any = None, *, keepdims: _bool = False, dtype: Any = None) -> Tensor:
        """See :func:`polygrad.sum`."""
        return statistical.sum(self, axis=axis, keepdims=keepdims, dtype=dtype)

    def prod(self: Any, axis: Any = None, *, keepdims: _bool = False, dtype: Any = None) -> Tensor:
        """See :func:`polygrad.prod`."""
        return statistical.prod(self, axis=axis, keepdims=keepdims, dtype=dtype)

    def mean(self: Any, axis: Any = None, *, keepdims: _bool = False) -> Tensor:
        """See :func:`polygrad.mean`."""
        return statistical.mean(self, axis=axis, keepdims=keepdims)

    def var(self: Any, axis: Any = None, *, correction: float = 0.0, keepdims: _bool = False) -> Tensor:
        """See :func:`polygrad.var`."""
        return statistical.var(self, axis=axis, correction=correction, keepdims=keepdims)

    def std(self: Any, axis: Any = None, *, correction: float = 0.0, keepdims: _bool = False) -> Tensor:
        """See :func:`polygrad.std`."""
        return statistical.std(self, axis=axis, correction=correction, keepdims=keepdims)

    def max(self: Any, axis: Any = None, *, keepdims: _bool = False) -> Tensor:
        """See :func:`polygrad.max`."""
        return statistical.max(self, axis=axis, keepdims=keepdims)

    def min(self: Any, axis: Any = None, *, keepdims: _bool = False) -> Tensor:
        """See :func:`polygrad.min`."""
        return statistical.min(self, axis=axis, keepdims=keepdims)

    def any(self: Any, axis: Any = None, *, keepdims: _bool = False) -> Tensor:
        """See :func:`polygrad.any`."""
        return utility.any(self, axis=axis, keepdims=keepdims)

    def all(self: Any, axis: Any = None, *, keepdims: _bool = False) -> Tensor:
        """See :func:`polygrad.all`."""
        return utility.all(self, axis=axis, keepdims=keepdims)

    def argmax(self: Any, axis: int | None = None, *, keepdims: _bool = False) -> Tensor:
        """See :func:`polygrad.argmax`."""
        return searching.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self: Any, axis: int | None = None, *, keepdims: _bool = False) -> Tensor:
        """See :func:`polygrad.argmin`."""
        return searching.argmin(self, axis=axis, keepdims=keepdims)

    def cumsum(self: Any, axis: int | None = None) -> Tensor:
        """See :func:`polygrad.cumulative_sum`; of the flattened array without an axis."""
        x = manipulation.reshape(self, (-1,)) if axis is None else self
        return statistical.cumulative_sum(x, axis=0 if axis is None else axis)

    def cumprod(self: Any, axis: int | None = None) -> Tensor:
        """See :func:`polygrad.cumulative_prod`; of the flattened array without an axis."""
        x = manipulation.reshape(self, (-1,)) if axis is None else self
        return statistical.cumulative_prod(x, axis=0 if axis is None else axis)

    # -- shapes ------------------------------------------------------------------------------------

    def reshape(self: Any, *shape: Any) -> Tensor:
        """See :func:`polygrad.reshape`; lengths or one tuple."""
        return manipulation.reshape(self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def ravel(self: Any) -> Tensor:
        """The entries in one row, a view where possible."""
        return manipulation.reshape(self, (-1,))

    def flatten(self: Any) -> Tensor:
        """The entries in one row, always a copy."""
        return manipulation.reshape(self, (-1,), copy=True)

    def transpose(self: Any, *axes: Any) -> Tensor:
        """The axes in another order (reversed if none is given): numbers or one tuple."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return manipulation.permute_dims(self, tuple(order) if order else tuple(range(self.ndim))[::-1])

    def swapaxes(self: Any, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""
        order = list(range(self.ndim))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return manipulation.permute_dims(self, tuple(order))

    def squeeze(self: Any, axis: Any = None) -> Tensor:
        """See :func:`polygrad.squeeze`; without an axis, all of length 1."""
        gone = tuple(i for i, n in enumerate(self.shape) if n == 1) if axis is None else axis
        return manipulation.squeeze(self, gone)

    def repeat(self: Any, repeats: Any, axis: int | None = None) -> Tensor:
        """See :func:`polygrad.repeat`."""
        return manipulation.repeat(self, repeats, axis=axis)

    # -- entries -----------------------------------------------------------------------------------

    def view(self: Any, dtype: Any) -> Tensor:
        """A view in another dtype: complex numbers as pairs of real ones along the last axis, or such pairs as
        complex numbers.

        >>> import polygrad as pg
        >>> pg.asarray([1 + 2j, 3 + 4j]).view("float64")
        tensor([1., 2., 3., 4.], dtype=float64)

        Raises:
            DTypeError: for any other pair of dtypes.
            ShapeError: without dimensions, or with an odd number of reals along the last axis.
        """
        wanted = as_dtype(dtype)
        if wanted is self.dtype:
            return manipulation.reshape(self, self.shape)
        if wanted is FLOAT_OF_COMPLEX.get(self.dtype.name):
            there: Any = _as_pairs
            back: Any = _from_pairs
        elif wanted is COMPLEX_OF_FLOAT.get(self.dtype.name):
            there, back = _from_pairs, _as_pairs
        else:
            raise DTypeError(f"view: {self.dtype} cannot be seen as {wanted}, only complex as real numbers and back")
        if self.ndim == 0 or (there is _from_pairs and self.shape[-1] % 2):
            raise ShapeError(f"view: needs a last axis of {self.dtype} that makes whole {wanted}, got {self.shape}")
        made = there(self)
        extra_of(root_of(self)).copies = True
        link_view(made, self, there, lambda base, new: back(new))
        return made  # type: ignore[no-any-return]

    def copy(self: Any) -> Tensor:
        """A copy that keeps the graph."""
        return creation.asarray(self, copy=True)

    def conj(self: Any) -> Tensor:
        """See :func:`polygrad.conj`."""
        return elementwise.conj(self)

    conjugate = conj

    def clip(self: Any, min: Any = None, max: Any = None) -> Tensor:
        """See :func:`polygrad.clip`."""
        return elementwise.clip(self, min, max)

    def round(self: Any) -> Tensor:
        """See :func:`polygrad.round`."""
        return elementwise.round(self)

    def __round__(self: Any, ndigits: int | None = None) -> Tensor:
        """``round(x, ndigits)``: a tensor of the same dtype, rounded half to even as NumPy does it.

        >>> import polygrad as pg
        >>> round(pg.asarray([2.345, 0.5])), round(pg.asarray(2.345), 2), round(pg.asarray(123), -1)
        (tensor([2., 0.], dtype=float64), tensor(2.35, dtype=float64), tensor(120, dtype=int64))
        """
        digits = 0 if ndigits is None else operator.index(ndigits)
        if digits == 0 or (digits > 0 and self.dtype.kind in "biu"):
            return elementwise.round(self)
        scale = 10 ** abs(digits)
        if digits > 0:
            return elementwise.divide(elementwise.round(elementwise.multiply(self, scale)), scale)
        rounded = elementwise.multiply(elementwise.round(elementwise.divide(self, scale)), scale)
        return data_types.astype(rounded, self.dtype, copy=False)

    def __divmod__(self: Any, other: Any) -> Any:
        """``divmod(x, y)``: the floor of the quotient, and the remainder of the divisor's sign.

        >>> import polygrad as pg
        >>> divmod(pg.asarray([7.5, -7.5]), 2.0)
        (tensor([ 3., -4.], dtype=float64), tensor([1.5, 0.5], dtype=float64))
        """
        return _floor_and_rest(self, other)

    def __rdivmod__(self: Any, other: Any) -> Any:
        """``divmod(y, x)``."""
        return _floor_and_rest(other, self)

    def dot(self: Any, other: Any) -> Tensor:
        """The product of vectors or matrices: ``x @ other``."""
        return linear_algebra.matmul(self, other)

    def nonzero(self: Any) -> tuple[Tensor, ...]:
        """See :func:`polygrad.nonzero`."""
        return searching.nonzero(self)

    def argsort(self: Any, axis: int = -1) -> Tensor:
        """See :func:`polygrad.argsort`."""
        return sorting.argsort(self, axis=axis)
