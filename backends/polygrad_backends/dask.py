"""Dask: lazy arrays in chunks.

What Dask has, runs chunk by chunk; what it lacks or has in part (sorting, index arrays, unique, searchsorted,
scatter-add, ...) runs as one task of NumPy's function over the whole array: always right, never parallel, and
as large as one worker's memory. Lengths that depend on values (of masks, of unique) are computed at once, so
that every shape is known. Arrays count as immutable: writing in place makes new ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from uuid import uuid4

from polygrad.backend import Backend, Device, RawNamespace
from polygrad_backends import host

__all__ = ["DaskBackend"]

_DTYPES = """
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128
"""
_DEVICE = "dask"


class DaskBackend(Backend):
    """Dask arrays of NumPy chunks, on ``"dask"``; the scheduler is whichever Dask is set to use."""

    name = "dask"
    library = "dask"
    install = 'pip install "dask[array]"'
    mutable = False
    lazy = True
    promotes = True

    def __init__(self) -> None:
        import array_api_compat.dask.array as compat
        import dask
        import dask.array as da
        import numpy as np
        from dask.highlevelgraph import HighLevelGraph

        super().__init__()
        self.np: Any = np
        self.da = da
        self.dask = dask
        self._graph = HighLevelGraph
        self._threads: tuple[int, ThreadPoolExecutor] | None = None
        self.array_types = (da.Array,)
        self.native_dtypes = {name: np.dtype(name) for name in _DTYPES.split()}
        self.complex_dtypes = frozenset({np.dtype("complex64"), np.dtype("complex128")})
        self.kernels = {
            "getitem": self._getitem,
            "with_entries": self._with_entries,
            "scatter_add": self._scatter_add,
        }
        mended = self._functions() | self._whole_functions() | self.native_dtypes | self.kernels
        mended |= self._matrix_functions() | self._fourier_functions()
        special = _Special(self)
        self._namespace = RawNamespace(compat, spaces={"special": lambda: special}, **mended)

    # -- the namespace -----------------------------------------------------------------------------

    def namespace(self, native: Any) -> RawNamespace:
        return self._namespace

    def _functions(self) -> dict[str, Any]:
        da, np = self.da, self.np
        return {
            "asarray": self._asarray,
            "from_dlpack": lambda x: da.from_array(np.from_dlpack(x)),
            "astype": lambda x, dtype, copy=True: x.astype(dtype),
            "conj": lambda x: da.conj(x) if x.dtype.kind == "c" else x,
            "real": lambda x: x.real,
            "imag": lambda x: x.imag,
            "tanh": lambda x: x.map_blocks(partial(host.tanh, np), dtype=x.dtype),
            "expm1": lambda x: x.map_blocks(partial(host.expm1, np), dtype=x.dtype),
            "eye": lambda n_rows, n_cols=None, k=0, dtype=None: da.from_array(
                np.eye(n_rows, n_cols, k, dtype)  # Dask's fails off the diagonal of a matrix that is not square
            ),
            "linspace": lambda start, stop, num, dtype=None, endpoint=True: da.from_array(
                np.linspace(start, stop, num, dtype=dtype, endpoint=endpoint)  # Dask's misses its end by rounding
            ),
            "full": lambda shape, fill_value, dtype=None: da.full(shape, fill_value, dtype=dtype),
            "full_like": lambda x, fill_value, dtype=None: da.full(
                x.shape, fill_value, dtype=dtype or x.dtype, chunks=x.chunks
            ),
            "sum": lambda x, axis=None, dtype=None, keepdims=False: da.sum(
                x, axis=axis, dtype=dtype, keepdims=keepdims
            ),
            "prod": lambda x, axis=None, dtype=None, keepdims=False: da.prod(
                x, axis=axis, dtype=dtype, keepdims=keepdims
            ),
            "round": lambda x: da.round(x),
            "permute_dims": lambda x, axes: da.transpose(x, axes),
            # Dask's tril and triu warn of complex numbers.
            "tril": lambda x, k=0: da.where(np.tri(*x.shape[-2:], k, dtype=bool), x, x.dtype.type(0)),
            "triu": lambda x, k=0: da.where(np.tri(*x.shape[-2:], k - 1, dtype=bool), x.dtype.type(0), x),
            "matmul": self._matmul,
            "tensordot": lambda x1, x2, axes=2: da.tensordot(x1, x2, axes=axes).astype(np.result_type(x1, x2)),
        }

    def _asarray(self, obj: Any, dtype: Any = None, copy: bool | None = None) -> Any:
        if isinstance(obj, self.da.Array):
            obj = obj if dtype is None else obj.astype(dtype)
            return obj.copy() if copy else obj
        return self.da.from_array(self.np.array(obj, dtype=dtype, copy=True))

    def _matmul(self, x1: Any, x2: Any) -> Any:
        if x1.ndim and x2.ndim and x1.shape[-1] != x2.shape[-2 if x2.ndim > 1 else 0]:
            raise ValueError("the inner lengths differ")  # Dask takes a length of 1 for any
        return self.da.matmul(x1, x2)

    # -- functions of whole arrays -----------------------------------------------------------------

    def _apply(self, function: Callable[..., Any], shape: Any, dtype: Any, *arrays: Any) -> Any:
        """A NumPy function of whole arrays, as one task. (``dask.delayed`` would copy the arguments' graphs
        into each result's: programs that use a value twice would double at every step.)"""
        whole = [self._one_chunk(a) for a in arrays]
        name = f"polygrad-{uuid4().hex}"
        task = (function, *[(a.name, *(0,) * a.ndim) for a in whole])
        graph = self._graph.from_collections(name, {(name, *(0,) * len(shape)): task}, dependencies=whole)
        return self.da.Array(graph, name, tuple((n,) for n in shape), dtype=dtype)

    def _one_chunk(self, array: Any) -> Any:
        if any(n != n for n in array.shape):  # a user's array of unknown size
            array = array.compute_chunk_sizes()
        return array if array.npartitions == 1 else array.rechunk(-1)

    def _whole_functions(self) -> dict[str, Any]:
        np = self.np
        index = np.dtype("int64")
        flip = np.flip

        def sort(x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
            def one(a: Any) -> Any:
                made = np.sort(a, axis, stable=True)
                return flip(made, axis) if descending else made

            return self._apply(one, x.shape, x.dtype, x)

        def argsort(x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
            def one(a: Any) -> Any:
                if not descending:
                    return np.argsort(a, axis, stable=True)
                return a.shape[axis] - 1 - flip(np.argsort(flip(a, axis), axis, stable=True), axis)

            return self._apply(one, x.shape, index, x)

        def take(x: Any, indices: Any, axis: int = 0) -> Any:
            shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
            return self._apply(partial(np.take, axis=axis), shape, x.dtype, x, indices)

        def searchsorted(x1: Any, x2: Any, side: str = "left") -> Any:
            return self._apply(partial(np.searchsorted, side=side), x2.shape, index, x1, x2)

        def unique_all(x: Any) -> tuple[Any, ...]:
            return tuple(self.da.from_array(part) for part in np.unique_all(self.to_numpy(x)))

        def nonzero(x: Any) -> tuple[Any, ...]:
            return tuple(self.da.from_array(part) for part in np.nonzero(self.to_numpy(x)))

        def repeat(x: Any, repeats: Any, axis: int = 0) -> Any:
            times = repeats if isinstance(repeats, int) else self.to_numpy(repeats)  # the result's shape
            n = int(np.broadcast_to(times, (x.shape[axis],)).sum())
            shape = (*x.shape[:axis], n, *x.shape[axis + 1 :])
            return self._apply(partial(np.repeat, repeats=times, axis=axis), shape, x.dtype, x)

        return {
            "sort": sort,
            "argsort": argsort,
            "take": take,
            "take_along_axis": lambda x, indices, axis=-1: self._apply(
                partial(np.take_along_axis, axis=axis), indices.shape, x.dtype, x, indices
            ),
            "searchsorted": searchsorted,
            "unique_all": unique_all,
            "unique_values": lambda x: unique_all(x)[0],
            "nonzero": nonzero,
            "repeat": repeat,
            "cumulative_sum": self._running(np.cumulative_sum),
            "cumulative_prod": self._running(np.cumulative_prod),
        }

    def _running(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def running(x: Any, axis: int = 0, dtype: Any = None, include_initial: bool = False) -> Any:
            axis = axis % x.ndim
            shape = (*x.shape[:axis], x.shape[axis] + include_initial, *x.shape[axis + 1 :])
            dtype = function(self.np.ones((1,), x.dtype), dtype=dtype).dtype
            one = partial(function, axis=axis, dtype=dtype, include_initial=include_initial)
            return self._apply(one, shape, dtype, x)

        return running

    # -- functions of matrices and of axes: whole along these, block by block along the others -----------

    def _matrix_functions(self) -> dict[str, Any]:
        np, la = self.np, self.np.linalg

        def mapped(function: Callable[..., Any], shapes: Callable[..., Any], kinds: str = "x") -> Callable[..., Any]:
            """A function of matrices; ``shapes`` gives those of its results, of one matrix (pair) each; ``kinds`` their
            dtypes: that of the arguments, its real or its complex counterpart."""

            def call(*arrays: Any) -> Any:
                dtype = np.result_type(*arrays)
                of = {"x": dtype, "r": np.empty((), dtype).real.dtype, "c": np.result_type(dtype, np.complex64)}
                sizes = shapes(*[a.shape[-2:] for a in arrays])
                return self._by_matrix(function, sizes, [of[k] for k in kinds], arrays)

            return call

        def eig(x: Any) -> Any:
            return tuple(v.astype(np.result_type(v, np.complex64), copy=False) for v in la.eig(x))

        def svd(x: Any, full_matrices: bool = True) -> Any:
            def shapes(s: Any) -> Any:
                k = min(s)
                return [(s[0], s[0] if full_matrices else k), (k,), (s[1] if full_matrices else k, s[1])]

            return mapped(partial(_as_tuple, la.svd, full_matrices=full_matrices), shapes, "xrx")(x)

        def qr(x: Any, mode: str = "reduced") -> Any:
            def shapes(s: Any) -> Any:
                k = s[0] if mode == "complete" else min(s)
                return [(s[0], k), (k, s[1])]

            return mapped(partial(_as_tuple, la.qr, mode=mode), shapes, "xx")(x)

        functions = {
            "inv": mapped(la.inv, lambda s: [s]),
            "det": mapped(la.det, lambda s: [()]),
            "slogdet": mapped(partial(_as_tuple, la.slogdet), lambda s: [(), ()], "xr"),
            "solve": mapped(la.solve, lambda a, b: [b]),
            "eigh": mapped(partial(_as_tuple, la.eigh), lambda s: [s[:1], s], "rx"),
            "eigvalsh": mapped(la.eigvalsh, lambda s: [s[:1]], "r"),
            "eig": mapped(eig, lambda s: [s[:1], s], "cc"),
            "eigvals": mapped(lambda x: eig(x)[0], lambda s: [s[:1]], "c"),
            "svd": svd,
            "svdvals": mapped(la.svdvals, lambda s: [(min(s),)], "r"),
            "qr": qr,
            "cholesky": lambda x, upper=False: mapped(partial(la.cholesky, upper=upper), lambda s: [s])(x),
            "diagonal": lambda x, offset=0: self.da.diagonal(x, offset, -2, -1),
        }
        return {f"linalg.{name}": function for name, function in functions.items()}

    def _by_matrix(self, function: Callable[..., Any], shapes: Any, dtypes: Any, arrays: Sequence[Any]) -> Any:
        if any(0 in a.shape for a in arrays):  # Dask cannot rechunk these
            made = function(*[self.np.zeros(a.shape, a.dtype) for a in arrays])
            return tuple(map(self.da.from_array, made)) if isinstance(made, tuple) else self.da.from_array(made)
        sizes: dict[str, int] = {}
        results = []
        for i, shape in enumerate(shapes):
            names = [f"o{i}_{j}" for j in range(len(shape))]
            sizes |= dict(zip(names, shape, strict=True))
            results.append(f"({','.join(names)})")
        given = ",".join(f"(i{k},j{k})" for k in range(len(arrays)))
        metas = tuple(self.np.empty((0, 0), dtype) for dtype in dtypes)
        made = self.da.apply_gufunc(
            function, f"{given}->{','.join(results)}", *arrays, output_sizes=sizes, allow_rechunk=True,
            meta=metas if len(metas) > 1 else metas[0],
        )  # fmt: skip
        return tuple(made) if isinstance(made, (tuple, list)) else made

    def _fourier_functions(self) -> dict[str, Any]:
        np = self.np

        def over_axes(name: str) -> Callable[..., Any]:
            def call(x: Any, s: Any, axes: Any, norm: str) -> Any:
                one = partial(getattr(np.fft, name), s=s, axes=axes, norm=norm)
                return self._along(one, x, dict(zip(axes, s, strict=True)), x.dtype)

            return call

        def rfft(x: Any, n: int, axis: int, norm: str) -> Any:
            one = partial(np.fft.rfft, n=n, axis=axis, norm=norm)
            return self._along(one, x, {axis: n // 2 + 1}, np.result_type(x, np.complex64))

        def irfft(x: Any, n: int, axis: int, norm: str) -> Any:
            one = partial(np.fft.irfft, n=n, axis=axis, norm=norm)
            return self._along(one, x, {axis: n}, np.empty((), x.dtype).real.dtype)

        return {
            "fft.fftn": over_axes("fftn"), "fft.ifftn": over_axes("ifftn"), "fft.rfft": rfft, "fft.irfft": irfft,
        }  # fmt: skip

    def _along(self, function: Callable[..., Any], x: Any, lengths: dict[int, int], dtype: Any) -> Any:
        """A function along axes counted from the end, whose results have other lengths there."""
        x = x.rechunk(dict.fromkeys((a + x.ndim for a in lengths), -1))
        chunks = list(x.chunks)
        for axis, n in lengths.items():
            chunks[axis] = (n,)
        return x.map_blocks(function, dtype=dtype, chunks=tuple(chunks), meta=self.np.empty((0,) * x.ndim, dtype))

    # -- devices -----------------------------------------------------------------------------------

    def native_devices(self) -> Sequence[tuple[str, Any]]:
        return ((_DEVICE, _DEVICE),)

    def native_device_of(self, array: Any) -> Any:
        return _DEVICE

    def to_numpy(self, array: Any) -> Any:
        """Computes; read-only, since the result may be a chunk that the graph still holds."""
        made = self.np.asarray(self._computed(array)[0]).view()
        made.setflags(write=False)
        return made

    def _computed(self, *arrays: Any) -> tuple[Any, ...]:
        """The values, by the scheduler that is set; if none is, by threads that do not warn of infinite
        slopes (NumPy's settings are each thread's own, so ``quiet`` does not reach those of Dask)."""
        if self.dask.base.get_scheduler() is not None:
            return tuple(self.dask.compute(*arrays))
        if self._threads is None or self._threads[0] != os.getpid():
            quiet = partial(self.np.seterr, all="ignore")
            self._threads = os.getpid(), ThreadPoolExecutor(os.cpu_count(), initializer=quiet)
        return tuple(self.dask.compute(*arrays, scheduler="threads", pool=self._threads[1]))

    def from_numpy(self, array: Any, native: Any) -> Any:
        return self.da.from_array(self.np.array(array))  # a copy: the graph will read it later

    def from_dlpack(self, x: Any, native: Any, copy: bool | None) -> Any:
        return self.from_numpy(self.np.from_dlpack(x), native)

    def compute(self, *arrays: Any) -> tuple[Any, ...]:
        return tuple(self.da.from_array(a) for a in self._computed(*arrays))

    def borrow(self, array: Any) -> Any:
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def copy(self, array: Any) -> Any:
        return array.copy()

    def quiet(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self.np.errstate(all="ignore")
        return scope

    # -- kernels -----------------------------------------------------------------------------------

    def _getitem(self, x: Any, key: Any) -> Any:
        entries = key if isinstance(key, tuple) else (key,)
        if not any(hasattr(k, "dtype") for k in entries):
            return x[key]
        spec, indices = self._split(entries)
        return self._apply(partial(_read, spec), self._shape_at(x.shape, entries), x.dtype, x, *indices)

    def _split(self, entries: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        """A key with its arrays taken out, and the arrays."""
        arrays: list[Any] = []
        spec: list[Any] = []
        for k in entries:
            if hasattr(k, "dtype"):
                spec.append(_Hole(len(arrays)))
                arrays.append(k)
            else:
                spec.append(k)
        return spec, arrays

    def _shape_at(self, shape: tuple[Any, ...], entries: tuple[Any, ...]) -> tuple[Any, ...]:
        """The shape of ``x[key]``: integer arrays count by their shapes alone, masks are computed."""
        np = self.np
        masks = [self.to_numpy(k) if _kind(k) == "b" else k for k in entries]
        key = tuple([np.zeros(k.shape, "int64") if _kind(k) in ("i", "u") else k for k in masks])
        return tuple(np.broadcast_to(np.int8(0), shape)[key].shape)

    def _with_entries(self, x: Any, key: Any, value: Any) -> Any:
        entries = key if isinstance(key, tuple) else (key,)
        spec, indices = self._split(entries)
        return self._apply(partial(_written, spec), x.shape, x.dtype, x, value, *indices)

    def _scatter_add(self, shape: Sequence[int], dtype: Any, parts: Sequence[tuple[Any, Any]]) -> Any:
        specs: list[tuple[list[Any], int]] = []
        arrays: list[Any] = []
        for key, values in parts:
            spec, indices = self._split(key if isinstance(key, tuple) else (key,))
            specs.append((spec, len(indices)))
            arrays += [values, *indices]
        return self._apply(partial(_scattered, tuple(shape), dtype, specs), shape, dtype, *arrays)


class _Special:
    """NumPy's special functions (SciPy's and the generic kernels), chunk by chunk: one layer of the graph each."""

    def __init__(self, backend: DaskBackend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        function = getattr(Device("cpu").raw.special, name)
        elementwise = self._backend.da.core.elemwise
        outputs = getattr(function, "nout", 1)

        def call(*args: Any) -> Any:
            if not any(isinstance(a, self._backend.da.Array) for a in args):
                args = tuple([self._backend.da.from_array(self._backend.np.asarray(a)) for a in args])
            if outputs == 1:
                return elementwise(function, *args)
            return tuple([elementwise(partial(_one_output, function, i), *args) for i in range(outputs)])

        return call


def _one_output(function: Callable[..., Any], index: int, *args: Any) -> Any:
    return function(*args)[index]


class _Hole:
    """Where in a key an array belongs."""

    def __init__(self, index: int) -> None:
        self.index = index


def _filled(spec: list[Any], indices: Sequence[Any]) -> tuple[Any, ...]:
    return tuple([indices[k.index] if isinstance(k, _Hole) else k for k in spec])


def _kind(entry: Any) -> str:
    """The kind of an index array; nothing for other entries of a key."""
    return str(entry.dtype.kind) if hasattr(entry, "dtype") else ""


def _as_tuple(function: Callable[..., Any], x: Any, **options: Any) -> Any:
    return tuple(function(x, **options))


def _read(spec: list[Any], x: Any, *indices: Any) -> Any:
    return x[_filled(spec, indices)]


def _written(spec: list[Any], x: Any, value: Any, *indices: Any) -> Any:
    import numpy as np

    made = np.array(x)  # an element may come as one of NumPy's scalars
    made[_filled(spec, indices)] = value
    return made


def _scattered(shape: Any, dtype: Any, specs: list[tuple[list[Any], int]], *arrays: Any) -> Any:
    import numpy as np

    total = np.zeros(shape, dtype)
    rest = iter(arrays)
    for spec, n in specs:
        values = next(rest)
        np.add.at(total, _filled(spec, [next(rest) for _ in range(n)]), values)
    return total
