"""NumPy: the default backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from polygrad.backend import Backend, Device, RawNamespace

__all__ = ["NumpyBackend"]


def _compat() -> Any:
    # Only for names not mended below: importing it costs more than importing NumPy.
    import array_api_compat.numpy

    return array_api_compat.numpy


class _Pin:
    """Keeps a user's array read-only while a graph holds its memory."""

    __slots__ = ("__weakref__", "_array")

    def __init__(self, array: Any) -> None:
        self._array = array
        array.setflags(write=False)

    def __del__(self) -> None:
        self._array.setflags(write=True)


class NumpyBackend(Backend):
    """NumPy arrays on the host."""

    name = "numpy"
    library = "numpy"
    install = "pip install numpy"

    def __init__(self) -> None:
        import numpy as np

        super().__init__()
        self.np = np
        self.array_types = (np.ndarray,)
        names = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
        self.native_dtypes = {n: np.dtype(n) for n in names.split()}
        self.complex_dtypes = frozenset({np.dtype("complex64"), np.dtype("complex128")})
        self.kernels = {"scatter_add": self._scatter_add, "tanh_slope": self._tanh_slope, "adjoint": self._adjoint}
        self._namespace = RawNamespace(_compat, **self._mended(), **self.kernels)

    # -- the namespace -----------------------------------------------------------------------------

    def _mended(self) -> dict[str, Any]:
        np = self.np
        same = {
            n: getattr(np, n)
            for n in (
                "abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert bitwise_or "
                "bitwise_right_shift bitwise_xor copysign cos cosh divide equal exp expm1 greater greater_equal hypot "
                "imag isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and logical_not "
                "logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow real "
                "reciprocal remainder sign signbit sin sinh sqrt square subtract tan tanh "
                "where take take_along_axis flip roll stack squeeze expand_dims moveaxis repeat tile argmax argmin "
                "nonzero broadcast_to tril triu zeros ones full empty eye linspace zeros_like ones_like "
                "full_like empty_like result_type can_cast finfo iinfo isdtype "
                "newaxis e pi inf nan"
            ).split()
        }  # fmt: skip
        return same | {
            "asarray": np.asarray,
            "arange": np.arange,
            "concat": np.concatenate,
            "permute_dims": np.transpose,
            "matmul": np.matmul,
            "matrix_transpose": lambda x: x.mT,
            "tensordot": np.tensordot,
            "vecdot": np.vecdot,
            "conj": lambda x: np.conjugate(x) if x.dtype.kind == "c" else x,
            "astype": lambda x, dtype, copy=True: x.astype(dtype, copy=copy),
            "reshape": lambda x, shape, copy=None: x.reshape(shape) if copy is None else np.reshape(x, shape, copy=copy),
            "sum": self._sum,
            "prod": lambda x, axis=None, dtype=None, keepdims=False: np.prod(x, axis=axis, dtype=dtype, keepdims=keepdims),
            "mean": self._mean,
            "broadcast_to": self._broadcast_to,
            "max": lambda x, axis=None, keepdims=False: np.maximum.reduce(x, axis=axis, keepdims=keepdims),
            "min": lambda x, axis=None, keepdims=False: np.minimum.reduce(x, axis=axis, keepdims=keepdims),
            "all": lambda x, axis=None, keepdims=False: np.logical_and.reduce(x, axis=axis, keepdims=keepdims),
            "any": lambda x, axis=None, keepdims=False: np.logical_or.reduce(x, axis=axis, keepdims=keepdims),
        }  # fmt: skip

    def _sum(self, x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        # The ufunc's reduce is half the cost of np.sum on small arrays. The default dtype is the standard's.
        return self.np.add.reduce(x, axis=axis, dtype=dtype, keepdims=keepdims)

    def _mean(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        # np.mean costs 3 us on small arrays, most of it Python; float16 keeps its wider sums.
        if x.dtype.char == "e":
            return self.np.mean(x, axis=axis, keepdims=keepdims)
        total = self.np.add.reduce(x, axis=axis, keepdims=keepdims)
        return total / x.dtype.type(x.size // total.size if total.size else 1)

    def _broadcast_to(self, x: Any, shape: tuple[int, ...]) -> Any:
        # np.broadcast_to costs 2.4 us, whatever the size: a small result is quicker filled than viewed.
        size = 1
        for n in shape:
            size *= n
        if size > 16384:
            return self.np.broadcast_to(x, shape)
        result = self.np.empty(shape, x.dtype)
        result[...] = x
        return result

    def namespace(self, native: Any) -> RawNamespace:
        return self._namespace

    # -- devices -----------------------------------------------------------------------------------

    def native_devices(self) -> Sequence[tuple[str, Any]]:
        return (("cpu", "cpu"),)

    def native_device_of(self, array: Any) -> Any:
        return "cpu"

    def to_numpy(self, array: Any) -> Any:
        return array

    def from_numpy(self, array: Any, native: Any) -> Any:
        return self.np.asarray(array)

    def owns(self, array: object) -> bool:
        return isinstance(array, (self.np.ndarray, self.np.generic))

    def as_raw(self, value: Any, device: Device) -> Any:
        return self.np.asarray(value)  # reductions and 0-d arithmetic return scalars

    # -- memory ------------------------------------------------------------------------------------

    def borrow(self, array: Any) -> Any:
        return self.np.asarray(array)

    def copy(self, array: Any) -> Any:
        return self.np.array(array, copy=True)

    def lock(self, array: Any) -> Any:
        return _Pin(array) if array.flags.writeable else None

    def read_only(self, array: Any) -> Any:
        view = array.view()
        view.setflags(write=False)
        return view

    def is_view(self, result: Any, array: Any) -> bool:
        return bool(self.np.may_share_memory(result, array))

    def quiet(self) -> AbstractContextManager[Any]:
        return self.np.errstate(all="ignore")

    def not_finite(self, array: Any) -> str | None:
        if array.dtype.kind not in "fc" or self.np.isfinite(array).all():
            return None
        nan, inf = self.np.isnan(array).any(), self.np.isinf(array).any()
        return "NaN and infinity" if nan and inf else "NaN" if nan else "infinity"

    def generator(self, seed: int) -> Any:
        # Philox counts: its state is a few integers, and it is the same on every platform.
        return self.np.random.Generator(self.np.random.Philox(seed))

    # -- kernels -----------------------------------------------------------------------------------

    def _adjoint(self, x: Any) -> Any:
        return x.mT if x.dtype.kind != "c" else x.mT.conj()

    def _tanh_slope(self, out: Any, x: Any) -> Any:
        # 1 - tanh^2 loses digits in the tails only: there, and only there, the exact form is worth its price.
        np = self.np
        slope = 1 - out * out
        if out.dtype.kind == "c" or out.size == 0:
            return slope
        if np.minimum.reduce(slope, axis=None) > 1e-3:
            return slope
        tail = slope <= 1e-3
        e = np.exp(-np.abs(x[tail]))
        sech = 2 * e / (1 + e * e)
        slope = np.asarray(slope)
        slope[tail] = sech * sech
        return slope

    def _scatter_add(self, shape: tuple[int, ...], dtype: Any, parts: Sequence[tuple[Any, Any]]) -> Any:
        """Zeros of ``shape`` with each ``values`` added at its ``key``, repeated indices summing."""
        np = self.np
        total = np.zeros(shape, dtype)
        for key, values in parts:
            if _is_basic(key):
                total[key] += values
            else:
                np.add.at(total, key, values)
        return total


def _is_basic(key: Any) -> bool:
    """Whether a key selects each entry at most once without looking: no integer or mask arrays."""
    entries = key if isinstance(key, tuple) else (key,)
    return all(k is None or k is Ellipsis or isinstance(k, (int, slice)) for k in entries)
