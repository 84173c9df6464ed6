"""CuPy: NumPy's functions on CUDA GPUs. What is known and what is still to be measured: see docs/gpu.md."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

from polygrad.backend import Backend, Device, RawNamespace, generic_kernel
from polygrad.errors import DeviceError

from .bfloat16 import DtypesWithBfloat16
from .cupy_checks import IndexChecks, index_arrays
from .cupy_error_functions import ERROR_FUNCTIONS
from .cupy_special import polygamma, zeta
from .special import OwnFunctions

__all__ = ["CupyBackend"]

_DTYPES = """
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128
"""
_CREATION = "zeros ones empty full eye linspace arange"
_ATOMIC = "int32 uint32 int64 uint64 float16 float32 float64"


_TABLE = 8
"""CuPy joins so many arrays without a table of them."""


class _Nowhere:
    """The type of no array."""


_SPECIAL = {"zeta": zeta, "polygamma": polygamma, **ERROR_FUNCTIONS}


class CupyBackend(Backend):
    """CuPy arrays on ``"cuda:0"``, ``"cuda:1"``, ...; ``"cuda"`` is the first. A native device is its number,
    since CuPy's own Device objects are not hashable."""

    name = "cupy"
    library = "cupy"
    install = 'pip install "polygrad-xp[cuda12]" (or [cuda13], by the version of your CUDA driver)'
    promotes = True
    emulated_dtypes = frozenset({"bfloat16"})
    native_dtypes: DtypesWithBfloat16

    @classmethod
    def reason(cls) -> str | None:
        missing = super().reason()
        if missing is not None:
            return missing
        driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
        try:
            ctypes.CDLL(driver)  # a thousand times cheaper than finding out by importing CuPy
        except OSError:
            return f"no CUDA driver was found ({driver} cannot be loaded): it comes with NVIDIA's GPUs"
        try:
            import cupy

            if int(cupy.__version__.partition(".")[0]) < 14:
                return f"CuPy {cupy.__version__} is too old, 14.0.1 or newer is needed: {cls.install}"
            if cupy.cuda.runtime.getDeviceCount() == 0:
                return "the CUDA driver sees no GPU (is CUDA_VISIBLE_DEVICES set?)"
        except Exception as error:  # ImportError of a CUDA library, CUDARuntimeError of the driver, ...
            return f"CuPy cannot use a GPU here: {type(error).__name__}: {error}"
        return None

    def __init__(self) -> None:
        import array_api_compat.cupy as compat
        import cupy

        super().__init__()
        self.cp = cupy
        self._compat = compat
        self._atomic = frozenset(cupy.dtype(name) for name in _ATOMIC.split())
        self._count = cupy.cuda.runtime.getDeviceCount()
        # On several GPUs what ops return is looked at: CuPy computes on its current device, whatever the arrays' is.
        self.array_types = (cupy.ndarray,) if self._count == 1 else (_Nowhere, cupy.ndarray)
        dtypes = {name: cupy.dtype(name) for name in _DTYPES.split()}
        self.native_dtypes = DtypesWithBfloat16(dtypes, (cupy.ndarray,), lambda: list(self._namespaces.values()))
        self.complex_dtypes = frozenset({cupy.dtype("complex64"), cupy.dtype("complex128")})
        self.kernels = {
            "getitem": self._getitem,
            "with_entries": self._with_entries,
            "scatter_add": self._scatter_add,
            "sigmoid": lambda x: self._library_special().expit(x),
        }
        self._mended = self._functions() | self._reductions() | self.native_dtypes | self.kernels
        self._mended |= self._linear_algebra()
        self._namespaces: dict[int, RawNamespace] = {}
        self._checks: dict[int, IndexChecks] = {}

    # -- the namespace -----------------------------------------------------------------------------

    def namespace(self, native: int) -> RawNamespace:
        found = self._namespaces.get(native)
        if found is None:
            mended = self._mended | self._creation(native)
            special = OwnFunctions(f"cuda:{native}", self._library_special, mended=_SPECIAL)
            found = self._namespaces[native] = RawNamespace(self._compat, spaces={"special": lambda: special}, **mended)
            self.native_dtypes.join(found)
        return found

    def _library_special(self) -> Any:
        return import_module("cupyx.scipy.special")

    def _scope(self, native: int) -> AbstractContextManager[Any]:
        """Where new arrays land: CuPy's functions have no device argument, only a current device."""
        return nullcontext() if self._count == 1 else self.cp.cuda.Device(native)

    def _creation(self, native: int) -> dict[str, Any]:
        cp = self.cp

        def placed(function: Callable[..., Any]) -> Callable[..., Any]:
            def create(*args: Any, **options: Any) -> Any:
                with self._scope(native):
                    return function(*args, **options)

            return function if self._count == 1 else create

        def asarray(obj: Any, dtype: Any = None, copy: bool | None = None) -> Any:
            if isinstance(obj, cp.ndarray):
                return cp.array(obj, dtype=dtype) if copy else obj if dtype is None else obj.astype(dtype, copy=False)
            return cp.asarray(obj, dtype=dtype)

        return {name: placed(getattr(cp, name)) for name in _CREATION.split()} | {
            "asarray": placed(asarray),
            "from_dlpack": placed(cp.from_dlpack),
        }

    def _functions(self) -> dict[str, Any]:
        cp = self.cp
        return {
            "concat": self._concat,
            "stack": self._stack,
            "permute_dims": lambda x, axes: x.transpose(axes),
            "matrix_transpose": lambda x: x.swapaxes(-1, -2),
            "matmul": self._matmul,
            "reshape": lambda x, shape, copy=None: (x.copy() if copy else x).reshape(shape),
            "conj": lambda x: x.conj() if x.dtype.kind == "c" else x,
            "real": lambda x: x.real,
            "imag": lambda x: x.imag if x.dtype.kind == "c" else cp.zeros_like(x),
            "sign": self._sign,
            # compat's clip and sign write through boolean masks, which stop the host.
            "clip": lambda x, lo=None, hi=None: self._clip(x, lo, hi),
            "take": self._take,
            "take_along_axis": self._take_along_axis,
            "repeat": lambda x, repeats, axis=None: cp.repeat(
                x, repeats if isinstance(repeats, int) else repeats.tolist(), axis
            ),
            "searchsorted": lambda x1, x2, side="left": cp.searchsorted(x1, x2, side),
            "round": lambda x: x.round(),
        }

    def _reductions(self) -> dict[str, Any]:
        cp = self.cp
        plain = {name: getattr(cp, name) for name in ("mean", "max", "min", "all", "any", "argmax", "argmin")}
        return plain | {
            "sum": lambda x, axis=None, dtype=None, keepdims=False: x.sum(axis, dtype, None, keepdims),
            "prod": lambda x, axis=None, dtype=None, keepdims=False: x.prod(axis, dtype, None, keepdims),
        }

    def _linear_algebra(self) -> dict[str, Any]:
        cp, errstate = self.cp, import_module("cupyx").errstate

        def general(name: str) -> Callable[..., Any]:
            def call(x: Any) -> Any:
                try:
                    made = getattr(cp.linalg, name)(x)
                except RuntimeError as error:  # "geev is not available"
                    raise RuntimeError(
                        f"{name}: {error}: it needs CuPy 14 and cuSOLVER of CUDA 12.6 or newer. Move the matrices to the "
                        "host, x.to_device('cpu') keeps the graph"
                    ) from None
                dtype = cp.result_type(x, cp.complex64)  # of real matrices too
                whole = tuple(v.astype(dtype, copy=False) for v in (made if isinstance(made, tuple) else (made,)))
                return whole if len(whole) > 1 else whole[0]

            return call

        def raising(name: str) -> Callable[..., Any]:
            """The function, with LinAlgError where it fails, which waits for the result: CuPy ignores failures by default."""
            function = getattr(cp.linalg, name)

            def call(*args: Any, **options: Any) -> Any:
                with errstate(linalg="raise"):
                    return function(*args, **options)

            return call

        inv, svd, factor, self._solve_stack = map(raising, ("inv", "svd", "cholesky", "solve"))

        def cholesky(x: Any, upper: bool = False) -> Any:
            lower = factor(x) if x.size else x
            return lower.swapaxes(-1, -2).conj() if upper else lower

        return {
            **{f"linalg.{name}": raising(name) for name in ("qr", "eigh", "eigvalsh")},
            "linalg.svd": svd,
            "linalg.inv": lambda x: inv(x) if x.size else x,
            "linalg.inv_or_inf": lambda x: cp.linalg.inv(x) if x.size else x,  # it does not raise
            "linalg.solve": self._solve,
            "linalg.cholesky": cholesky,
            "linalg.eig": general("eig"),
            "linalg.eigvals": general("eigvals"),
            "linalg.diagonal": lambda x, offset=0: cp.diagonal(x, offset, -2, -1),
            "linalg.svdvals": lambda x: svd(x, full_matrices=False, compute_uv=False),
            "linalg.solve_triangular": self._solve_triangular,
        }

    def _solve(self, a: Any, b: Any) -> Any:
        # CuPy does not broadcast the stacks, and cuSOLVER takes no empty ones.
        import numpy as np

        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (self.cp.broadcast_to(x, stack + x.shape[-2:]) for x in (a, b))
        return self._solve_stack(a, b) if b.size else self.cp.zeros_like(b)

    def _solve_triangular(self, a: Any, b: Any, upper: bool = False, unit_diagonal: bool = False) -> Any:
        if a.ndim > 2 or b.ndim > 2 or 0 in b.shape:  # CuPy's takes one matrix
            generic = generic_kernel("linalg.solve_triangular")
            return generic(self.namespace(self.native_device_of(a)), a, b, upper=upper, unit_diagonal=unit_diagonal)
        from cupyx.scipy.linalg import solve_triangular

        return solve_triangular(a, b, lower=not upper, unit_diagonal=unit_diagonal)

    # -- functions that CuPy has otherwise ---------------------------------------------------------

    def _concat(self, arrays: Sequence[Any], axis: int | None = 0) -> Any:
        """Join arrays, a few at a time: of more CuPy's kernel takes tables that are copied from the host."""
        if axis is None:
            arrays, axis = [x.reshape(-1) for x in arrays], 0
        while len(arrays) > _TABLE:
            arrays = [self.cp.concatenate(arrays[i : i + _TABLE], axis) for i in range(0, len(arrays), _TABLE)]
        return self.cp.concatenate(arrays, axis)

    def _stack(self, arrays: Sequence[Any], axis: int = 0) -> Any:
        if len(arrays) <= _TABLE:
            return self.cp.stack(arrays, axis)
        return self._concat([self.cp.expand_dims(x, axis) for x in arrays], axis)

    def _matmul(self, x1: Any, x2: Any) -> Any:
        # CuPy's product of batches copies transposed operands and casts float16 up; its product of two
        # matrices does neither, and a batch times one matrix is a product of two.
        if x1.ndim > 2 and x2.ndim == 2 and x1.size:
            rows = self.cp.matmul(x1.reshape(-1, x1.shape[-1]), x2)
            return rows.reshape(*x1.shape[:-1], x2.shape[-1])
        return self.cp.matmul(x1, x2)

    def _sign(self, x: Any) -> Any:
        cp = self.cp
        if x.dtype.kind == "c":  # CuPy's is of the real part
            r = cp.abs(x)
            zero = r == 0
            return cp.where(zero, cp.zeros_like(x), x / cp.where(zero, cp.ones_like(r), r))
        made = cp.sign(x)
        return cp.where(cp.isnan(x), x, made) if x.dtype.kind == "f" else made  # sign(nan) is 0 there

    def _clip(self, x: Any, lo: Any, hi: Any) -> Any:
        x = x if lo is None else self.cp.maximum(x, lo).astype(x.dtype, copy=False)
        return x if hi is None else self.cp.minimum(x, hi).astype(x.dtype, copy=False)

    # -- devices -----------------------------------------------------------------------------------

    def native_devices(self) -> Sequence[tuple[str, Any]]:
        return [(f"cuda:{i}", i) for i in range(self._count)]

    def native_device_of(self, array: Any) -> Any:
        if array.dtype.kind == "V":
            self.native_dtypes.see(array.dtype)
        return array.data.device_id

    def as_raw(self, value: Any, device: Device) -> Any:
        if isinstance(value, self.cp.ndarray) and value.data.device_id != device.native:
            raise DeviceError(
                f"CuPy computed on its current device, cuda:{value.data.device_id}, for arrays of {device.name}. Make theirs the "
                f"current one, cupy.cuda.Device({device.native}).use(), or move them: x.to_device('cuda:{value.data.device_id}')"
            )
        return value

    def find_native(self, rest: str) -> Any:
        return super().find_native(rest) if rest != "cuda" else self.cp.cuda.runtime.getDevice()

    def to_native(self, array: Any, native: int) -> Any:
        with self._scope(native):
            return array.copy()  # from one device to another if they differ

    def to_numpy(self, array: Any) -> Any:
        values = array.get()
        if self._checks:
            self._report(array.data.device_id)
        return values

    def _check_key(self, name: str, x: Any, key: Any) -> None:
        for indices, size in index_arrays(x.shape, key):
            self.check_later(name, indices, -size, size)

    def check_later(self, name: str, indices: Any, low: int, high: int, ignore: int | None = None) -> None:
        if indices.dtype.kind not in "iu" or not indices.size:
            return
        native = indices.data.device_id
        with self._scope(native):
            if native not in self._checks:
                self._checks[native] = IndexChecks(self.cp, native)
            self._checks[native].note(name, indices, low, high, ignore)

    def _report(self, native: int) -> None:
        if native in self._checks:
            self._checks[native].report()

    def from_numpy(self, array: Any, native: int) -> Any:
        if array.dtype.kind == "V":
            self.native_dtypes.see(array.dtype)
        with self._scope(native):
            return self.cp.asarray(array)

    def from_dlpack(self, x: Any, native: int, copy: bool | None) -> Any:
        if int(x.__dlpack_device__()[0]) in (1, 3) and hasattr(x, "__array__"):  # CuPy takes no host memory
            import numpy as np

            return self.from_numpy(np.from_dlpack(x), native)
        made = self.namespace(native).from_dlpack(x)
        return made.copy() if copy else made

    def synchronize(self, native: int) -> None:
        self.cp.cuda.Device(native).synchronize()
        self._report(native)

    # -- memory ------------------------------------------------------------------------------------

    def copy(self, array: Any) -> Any:
        with self._scope(array.data.device_id):
            return array.copy()

    def read_only(self, array: Any) -> Any:
        return array  # what to_numpy made is a copy already

    def is_view(self, result: Any, array: Any) -> bool:
        return result.data.mem is array.data.mem

    # -- kernels -----------------------------------------------------------------------------------

    def _getitem(self, x: Any, key: Any) -> Any:
        self._check_key("getitem", x, key)
        return x[key]

    def _with_entries(self, x: Any, key: Any, value: Any) -> Any:
        made = x.copy()
        self.write(made, key, value)
        return made

    def write(self, array: Any, key: Any, value: Any) -> None:
        self._check_key("setitem", array, key)
        super().write(array, key, value)

    def _take(self, x: Any, indices: Any, axis: int | None = None) -> Any:
        size = x.size if axis is None else x.shape[axis]
        self.check_later("take", indices, -size, size)
        return self.cp.take(x, indices, axis)

    def _take_along_axis(self, x: Any, indices: Any, axis: int = -1) -> Any:
        self.check_later("take_along_axis", indices, -x.shape[axis], x.shape[axis])
        return self.cp.take_along_axis(x, indices, axis)

    def _scatter_add(self, shape: Sequence[int], dtype: Any, parts: Sequence[tuple[Any, Any]]) -> Any:
        """By atomic additions: the order of floating sums, and so their last bits, differ between runs."""
        with self._scope(parts[0][1].data.device_id):
            total = self.cp.zeros(tuple(shape), dtype)
        for key, values in parts:
            self._check_key("scatter_add", total, key)
            entries = key if isinstance(key, tuple) else (key,)
            if not any(isinstance(k, self.cp.ndarray) for k in entries):
                total[key] += values
            elif total.dtype in self._atomic:
                self.cp.add.at(total, key, values)
            elif total.dtype.kind == "c":  # CUDA adds numbers, not pairs
                self.cp.add.at(total.real, key, values.real)
                self.cp.add.at(total.imag, key, values.imag)
            else:  # int8, int16, bool: of a wider kind, and cut down as sums that overflow are
                wide = total.astype(self.cp.int64)
                self.cp.add.at(wide, key, values.astype(self.cp.int64))
                total[...] = wide.astype(total.dtype)
        return total
