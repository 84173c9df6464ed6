"""NumPy: the default backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from importlib.util import find_spec
from operator import attrgetter, getitem
from typing import Any

from polygrad.backend import Backend, Device, RawNamespace, generic_kernel
from polygrad_backends import host

from .bfloat16 import DtypesWithBfloat16
from .numpy_networks import network_kernels
from .numpy_strong import strong_kernels
from .numpy_threads import one_blas_thread
from .read_only import ReadOnly
from .special import scipy_special
from .spending import spending
from .windows import kept, window_kernels

__all__ = ["NumpyBackend"]

# NumPy's functions that are the standard's as they stand, most of them ufuncs.
_SAME = """
abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift bitwise_invert bitwise_or
bitwise_right_shift bitwise_xor ceil copysign cos cosh divide equal exp floor floor_divide greater
greater_equal hypot imag isfinite isinf isnan less less_equal log log1p log2 log10 logaddexp logical_and
logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal positive pow real
reciprocal remainder sign signbit sin sinh sqrt square subtract tan trunc
where roll stack moveaxis repeat tile tril triu zeros ones full empty eye linspace arange asarray from_dlpack
matmul tensordot vecdot result_type can_cast finfo iinfo isdtype searchsorted broadcast_arrays count_nonzero
diff isin unstack unique_all unique_counts unique_inverse clip newaxis e pi inf nan
"""
_FACTORS = "cholesky det eigh eigvalsh inv qr slogdet solve svd svdvals"
_DTYPES = """
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128
"""


class NumpyBackend(Backend):
    """NumPy arrays on the host."""

    name = "numpy"
    library = "numpy"
    install = "pip install numpy"
    promotes = True
    emulated_dtypes = frozenset({"bfloat16"})
    native_dtypes: DtypesWithBfloat16

    def __init__(self) -> None:
        import numpy as np

        super().__init__()
        host.keep_freed_memory(np)
        self.np: Any = np
        self._read_only = ReadOnly(np)
        self.array_types = (np.ndarray,)
        dtypes = {n: np.dtype(n) for n in _DTYPES.split()}
        self.native_dtypes = DtypesWithBfloat16(dtypes, (np.ndarray, np.generic), lambda: [self._namespace])
        self.complex_dtypes = frozenset({np.dtype("complex64"), np.dtype("complex128")})
        self.strong = strong_kernels(np, lambda out, x: generic_kernel("tanh_slope")(self._namespace, out, x))
        self.kernels = {
            "adjoint": self._adjoint,
            "floor_quotient": partial(host.floor_divide, np),
            "getitem": getitem,
            "relu": _relu(np),
            "relu_linear": _relu_linear(np),
            "running_extreme": lambda x, axis, smallest: (np.minimum if smallest else np.maximum).accumulate(x, axis),
            "running_logsumexp": np.logaddexp.accumulate,
            "scatter_add": self._scatter_add,
            "sliding_windows": np.lib.stride_tricks.sliding_window_view,
            "matmul_2d": np.ndarray.dot,  # half the overhead of matmul, and the same BLAS
            **self.strong,
            "sum_leading": _sum_leading(np),
            "linalg.adjugate": self._adjugate,
            "linalg.inv_or_inf": self._inv_or_inf,
            "linalg.p_norm": self._p_norm,
            "linalg.solve_triangular": self._solve_triangular,
            "sigmoid": self._sigmoid,
            "sigmoid_slope": self._sigmoid_slope,
            "with_entries": partial(_with_entries, np),
            **network_kernels(np, lambda name: partial(generic_kernel(name), self._namespace)),
            **window_kernels(np, lambda name: partial(generic_kernel(name), self._namespace)),
        }
        self.compile = partial(_compile, np)
        self.executors = {"planned": self.compile, "native": partial(_compile_native, np)}
        self._namespace = RawNamespace(np, spaces={"special": scipy_special}, **self._mended(), **self.kernels)

    # -- the namespace -----------------------------------------------------------------------------
    # Eager code calls these once per op: each is as near to the ufunc or the method as can be, since np's own
    # Python wrappers cost more than the work on small arrays.

    def _mended(self) -> dict[str, Any]:
        np = self.np
        same = {name: getattr(np, name) for name in _SAME.split()}
        mended = same | self.native_dtypes | self._creation() | self._reductions()
        return mended | {
            "concat": np.concatenate,
            "permute_dims": lambda x, axes: x.transpose(axes),
            "matrix_transpose": attrgetter("mT"),
            "expm1": partial(host.expm1, np),
            "tanh": _tanh(np),
            "conj": lambda x: np.conjugate(x) if x.dtype.kind == "c" else x,
            "astype": lambda x, dtype, copy=True: x.astype(dtype, copy=copy),
            "reshape": self._reshape,
            "squeeze": lambda x, axis: x.squeeze(axis),
            "expand_dims": self._expand_dims,
            "flip": _flip,
            "broadcast_to": self._broadcast_to,
            "take": lambda x, indices, axis=None: x.take(indices, axis),
            "take_along_axis": lambda x, indices, axis=-1: np.take_along_axis(x, indices, axis),
            "round": lambda x: x.round() if x.dtype.kind != "b" else x,
            "nonzero": lambda x: x.nonzero(),
            "sort": self._sort,
            "argsort": self._argsort,
            "unique_values": lambda x: np.unique(x, equal_nan=False),
            "meshgrid": lambda *arrays, indexing="xy": tuple(np.meshgrid(*arrays, indexing=indexing)),
            **{f"linalg.{name}": one_blas_thread.around(getattr(np.linalg, name)) for name in _FACTORS.split()},
            # NumPy gives real results where no eigenvalue happens to be complex.
            "linalg.eig": lambda x: tuple(v.astype(np.result_type(x, 1j), copy=False) for v in np.linalg.eig(x)),
            "linalg.eigvals": lambda x: np.linalg.eigvals(x).astype(np.result_type(x, 1j), copy=False),
        }

    def _reshape(self, x: Any, shape: Any, copy: bool | None = None) -> Any:
        return x.reshape(shape) if copy is None else self.np.reshape(x, shape, copy=copy)

    def _expand_dims(self, x: Any, axis: Any = 0) -> Any:
        if type(axis) is tuple:
            return self.np.expand_dims(x, axis)
        axis = axis if axis >= 0 else axis + x.ndim + 1
        return x[(slice(None),) * axis + (None,)]

    def _creation(self) -> dict[str, Any]:
        np = self.np

        def filled(x: Any, value: Any, dtype: Any) -> Any:
            made = np.empty(x.shape, x.dtype if dtype is None else dtype)
            made.fill(value)
            return made

        return {
            "zeros_like": lambda x, dtype=None: np.zeros(x.shape, x.dtype if dtype is None else dtype),
            "empty_like": lambda x, dtype=None: np.empty(x.shape, x.dtype if dtype is None else dtype),
            "ones_like": lambda x, dtype=None: filled(x, 1, dtype),
            "full_like": lambda x, fill_value, dtype=None: filled(x, fill_value, dtype),
        }

    def _reductions(self) -> dict[str, Any]:
        np = self.np
        add, multiply = np.add.reduce, np.multiply.reduce
        larger, smaller = np.maximum.reduce, np.minimum.reduce
        every, some = np.logical_and.reduce, np.logical_or.reduce
        half, single = np.dtype("float16"), np.dtype("float32")

        def total(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
            if x.dtype is half and dtype is None:  # along other axes than the last NumPy adds in half precision
                return add(x, axis, single, None, keepdims).astype(half)
            return add(x, axis, dtype, None, keepdims)

        def deviation(method: Callable[..., Any]) -> Callable[..., Any]:
            def over(x: Any, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
                x = np.asarray(x)  # a graph's 0-d values may be NumPy's scalars
                if x.dtype is half:
                    return over(x.astype(single), axis, correction, keepdims).astype(half)
                return method(x, axis, ddof=correction, keepdims=keepdims)

            return over

        return {
            "sum": total,
            "prod": lambda x, axis=None, dtype=None, keepdims=False: multiply(x, axis, dtype, None, keepdims),
            "mean": self._mean,
            "max": lambda x, axis=None, keepdims=False: larger(x, axis, None, None, keepdims),
            "min": lambda x, axis=None, keepdims=False: smaller(x, axis, None, None, keepdims),
            "all": lambda x, axis=None, keepdims=False: every(x, axis, None, None, keepdims),
            "any": lambda x, axis=None, keepdims=False: some(x, axis, None, None, keepdims),
            "argmax": lambda x, axis=None, keepdims=False: x.argmax(axis, keepdims=keepdims),
            "argmin": lambda x, axis=None, keepdims=False: x.argmin(axis, keepdims=keepdims),
            "std": deviation(np.ndarray.std),
            "var": deviation(np.ndarray.var),
            "cumulative_sum": self._running(np.ndarray.cumsum, 0),
            "cumulative_prod": self._running(np.ndarray.cumprod, 1),
        }

    def _running(self, accumulate: Callable[..., Any], initial: int) -> Callable[..., Any]:
        """A running sum or product, with the standard's ``include_initial``."""
        np = self.np

        def running(x: Any, axis: Any = None, dtype: Any = None, include_initial: bool = False) -> Any:
            half = x.dtype.char == "e" and dtype is None
            made = accumulate(x, axis, np.float32).astype(x.dtype) if half else accumulate(x, axis, dtype)
            if not include_initial:
                return made
            axis = 0 if axis is None else axis % x.ndim
            first = np.full((*made.shape[:axis], 1, *made.shape[axis + 1 :]), initial, made.dtype)
            return np.concatenate([first, made], axis)

        return running

    def _sort(self, x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        made = self.np.sort(x, axis, stable=stable)
        return _flip(made, axis) if descending else made

    def _argsort(self, x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        if not descending:
            return x.argsort(axis, stable=stable)
        # Sorting the reversed array keeps equal elements in order when the result is reversed again.
        return x.shape[axis] - 1 - _flip(_flip(x, axis).argsort(axis, stable=stable), axis)

    def _mean(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        # np.mean costs 3 us on small arrays, most of it Python; float16 keeps its wider sums.
        if x.dtype.char == "e":
            return self.np.mean(x, axis=axis, keepdims=keepdims)
        total = self.np.add.reduce(x, axis, None, None, keepdims)
        return total / (x.size // total.size if total.size else 1)

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
        if array.dtype.kind == "V":
            self.native_dtypes.see(array.dtype)
        return "cpu"

    def to_numpy(self, array: Any) -> Any:
        return array

    def from_numpy(self, array: Any, native: Any) -> Any:
        if array.dtype.kind == "V":
            self.native_dtypes.see(array.dtype)
        return self.borrow(array)

    def owns(self, array: object) -> bool:
        return isinstance(array, (self.np.ndarray, self.np.generic))

    def as_raw(self, value: Any, device: Device) -> Any:
        return self.np.asarray(value)  # reductions and 0-d arithmetic return scalars

    # -- memory ------------------------------------------------------------------------------------

    def borrow(self, array: Any) -> Any:
        if array.__class__ is not self.np.ndarray:
            host.refuse_mask(array)
        raw = self.np.asarray(array)
        return raw if raw.dtype.isnative else raw.astype(raw.dtype.newbyteorder("="))

    def copy(self, array: Any) -> Any:
        return self.np.array(array, copy=True)

    def lock(self, array: Any) -> Callable[[bool], None] | None:
        return self._read_only.lock_of(array)

    def read_only(self, array: Any) -> Any:
        view = array.view()
        view.setflags(write=False)
        return view

    def is_view(self, result: Any, array: Any) -> bool:
        return bool(self.np.may_share_memory(result, array))

    def quiet(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self.np.errstate(all="ignore")
        return scope

    def not_finite(self, array: Any) -> str | None:
        if array.dtype.kind not in "fc" or self.np.isfinite(array).all():
            return None
        nan, inf = self.np.isnan(array).any(), self.np.isinf(array).any()
        return "NaN and infinity" if nan and inf else "NaN" if nan else "infinity"

    def generator(self, seed: int) -> Any:
        # Philox counts: its state is a few integers, and it is the same on every platform.
        return self.np.random.Generator(self.np.random.Philox(seed))

    def random_streams(self) -> Sequence[tuple[Callable[[], Any], Callable[[Any], None]]]:
        return ((self.np.random.get_state, self.np.random.set_state),)

    # -- kernels -----------------------------------------------------------------------------------

    def _adjoint(self, x: Any) -> Any:
        return x.mT if x.dtype.kind != "c" else x.mT.conj()

    def _sigmoid(self, x: Any) -> Any:
        np = self.np
        with np.errstate(over="ignore"):  # to inf where the result is 0
            return 1.0 / (np.exp(-x) + 1.0)

    def _sigmoid_slope(self, x: Any) -> Any:
        e = self.np.exp(-self.np.abs(x))
        return e / ((e + 1.0) * (e + 1.0))

    # -- linear algebra: quick ways, where the values allow ------------------------------------------

    def _generic(self, name: str) -> Callable[..., Any]:
        return partial(generic_kernel(f"linalg.{name}"), self._namespace)

    def _adjugate(self, x: Any) -> Any:
        np = self.np
        inverse = self._inv_or_inf(x)
        made = np.linalg.det(x)[..., None, None] * inverse
        # det * inv has the condition number for its error, and is not finite where only the adjugate is
        condition = np.abs(x).sum((-2, -1)) * np.abs(inverse).sum((-2, -1))
        return made if (condition < 1e4).all() and np.isfinite(made).all() else self._generic("adjugate")(x)

    def _inv_or_inf(self, x: Any) -> Any:
        try:
            return self.np.linalg.inv(x)
        except self.np.linalg.LinAlgError:  # for the whole batch
            return self._generic("inv_or_inf")(x)

    def _p_norm(self, x: Any, axes: tuple[int, ...], p: float, keepdims: bool) -> Any:
        np = self.np
        if p == 2 and axes and x.dtype.char in "fdFD":
            with np.errstate(over="ignore", under="ignore"):
                squares = np.square(x) if x.dtype.kind == "f" else x.real**2 + x.imag**2
                total = np.add.reduce(squares, axes, None, None, keepdims)
            tiny, huge = (1e-30, 1e30) if x.dtype.char in "fF" else (1e-280, 1e280)
            if ((total > tiny) & (total < huge)).all():  # else squares may have over- or underflowed
                return np.sqrt(total)
        return self._generic("p_norm")(x, axes, p, keepdims)

    def _solve_triangular(self, a: Any, b: Any, upper: bool = False, unit_diagonal: bool = False) -> Any:
        solve = self._triangular.get(a.dtype.char) if a.dtype == b.dtype and a.ndim == 2 == b.ndim else None
        if solve is None or 0 in b.shape or not (unit_diagonal or a.diagonal().all()):  # BLAS divides by zeros
            return self._generic("solve_triangular")(a, b, upper=upper, unit_diagonal=unit_diagonal)
        # X^T A^T = B^T: what is in C order here is in BLAS's order there, the result too
        turned = a.flags.f_contiguous and not a.flags.c_contiguous
        factor, lower = (a, not upper) if turned else (self.np.ascontiguousarray(a).T, upper)
        options = {"side": 1, "lower": lower, "trans_a": turned, "diag": unit_diagonal}
        if not one_blas_thread.suits(a.shape):
            return solve(1.0, factor, b.T, **options).T
        with one_blas_thread:
            return solve(1.0, factor, b.T, **options).T

    @cached_property
    def _triangular(self) -> dict[str, Any]:
        """BLAS's functions for one matrix, where SciPy is installed."""
        if find_spec("scipy") is None:
            return {}
        from scipy.linalg import blas

        return {char: getattr(blas, f"{name}trsm") for char, name in zip("fdFD", "sdcz")}

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


def _flip(x: Any, axis: Any = None) -> Any:
    axes = range(x.ndim) if axis is None else axis if type(axis) is tuple else (axis,)
    key = [slice(None)] * x.ndim
    for a in axes:
        key[a] = slice(None, None, -1)
    return x[tuple(key)]


def _compile(np: Any, graph: Any, device: Any) -> Callable[..., Any]:
    from .numpy_executor import compile_graph  # only for those who compile

    return compile_graph(np, graph, device)


def _compile_native(np: Any, graph: Any, device: Any) -> Callable[..., Any]:
    from .native.plan import compile_native

    return compile_native(np, graph, device)


def _relu(np: Any) -> Callable[..., Any]:
    @spending(0)
    def relu(x: Any, spend: bool = False) -> Any:
        return np.maximum(x, 0, out=x) if spend else np.maximum(x, 0)

    return relu


def _relu_linear(np: Any) -> Callable[..., Any]:
    @spending(0)
    def relu_linear(g: Any, out: Any, spend: bool = False) -> Any:
        if g.dtype.kind != "f" or g.shape != out.shape or g.shape == () or g.dtype.itemsize > 8:
            return np.where(out <= 0, 0, g)
        left = np.less_equal(out, 0)
        into = g if spend and g.strides == out.strides else None
        return kept(np, g, np.logical_not(left, left), into)  # nan in ``out`` lets everything through

    return relu_linear


def _tanh(np: Any) -> Callable[[Any], Any]:
    tanh = np.tanh
    return lambda x: tanh(x) if x.dtype.kind != "c" else host.tanh(np, x)


def _sum_leading(np: Any) -> Callable[[Any, int], Any]:
    reduce = np.add.reduce
    ones: dict[tuple[int, Any], Any] = {}

    def sum_leading(x: Any, n: int) -> Any:
        if x.ndim == 2 and n == 1 and x.dtype.char in "fd" and x.size and x.flags.c_contiguous:
            key = (x.shape[0], x.dtype)  # BLAS's product with ones takes a third of the time of a reduction
            row = ones.get(key)
            if row is None:
                if len(ones) > 64:
                    ones.clear()
                row = ones[key] = np.ones(*key)
            return row.dot(x)
        if x.dtype.char == "e":
            return reduce(x, tuple(range(n)), np.float32).astype(x.dtype)
        return reduce(x) if n == 1 else reduce(x, tuple(range(n)))  # its default is axis 0

    return sum_leading


def _with_entries(np: Any, x: Any, key: Any, value: Any) -> Any:
    """A copy of ``x`` with ``value`` at ``key``."""
    made = np.array(x)  # not x.copy(): a 0-d cotangent may be a scalar
    made[key] = value
    return made


def _is_basic(key: Any) -> bool:
    """Whether a key selects each entry at most once without looking: no integer or mask arrays."""
    entries = key if isinstance(key, tuple) else (key,)
    return all(k is None or k is Ellipsis or isinstance(k, (int, slice)) for k in entries)
