"""PyTorch, as an array library: its own autograd is never used."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from polygrad.backend import Backend, RawNamespace, generic_kernel
from polygrad.errors import DetachError

from .special import OwnFunctions, SpecialFunctions, scipy_special
from .torch_networks import network_kernels

__all__ = ["TorchBackend"]

# uint16, uint32 and uint64 exist in PyTorch, but next to no arithmetic on them does.
_DTYPES = "bool int8 int16 int32 int64 uint8 float16 bfloat16 float32 float64 complex64 complex128"

# Arguments of one dtype come in, so compat's wrappers of these, which promote, would only cost time.
_PLAIN = "add subtract multiply divide maximum minimum pow remainder floor_divide hypot atan2 where logaddexp"

# Special functions by SciPy's names: all that PyTorch has, and those that are as accurate as SciPy's on the CPU.
_SPECIAL = """
digamma entr erf erfc erfcx erfinv exp2 expit expm1 gammainc gammaincc gammaln i0 i0e i1 i1e log1p log_ndtr logit ndtr
ndtri polygamma psi sinc xlog1py xlogy zeta
"""
_RENAMED = {
    "j0": "bessel_j0", "j1": "bessel_j1", "y0": "bessel_y0", "y1": "bessel_y1",
    "k0": "modified_bessel_k0", "k1": "modified_bessel_k1",
    "k0e": "scaled_modified_bessel_k0", "k1e": "scaled_modified_bessel_k1",
}  # fmt: skip
_EXACT = "entr erf erfcx erfinv exp2 expit i0e i1e ndtri sinc xlog1py xlogy"


class TorchBackend(Backend):
    """PyTorch tensors on the CPU (``"torch:cpu"``) or on CUDA GPUs (``"torch:cuda:0"``, ...)."""

    name = "torch"
    library = "torch"
    install = "pip install torch (see https://pytorch.org/get-started for a CPU or a CUDA build)"
    flip_is_view = False

    def __init__(self) -> None:
        import array_api_compat.torch as compat
        import numpy as np
        import torch

        super().__init__()
        self.np = np
        self.torch = torch
        self._compat = compat
        self.array_types = (torch.Tensor,)
        self.native_dtypes = {name: getattr(torch, name) for name in _DTYPES.split()}
        self.complex_dtypes = frozenset({torch.complex64, torch.complex128})
        self.executors = {"torch.compile": partial(_compile, torch)}
        self.kernels = {
            "getitem": self._getitem,
            "matmul_2d": torch.matmul,
            "with_entries": self._with_entries,
            "scatter_add": self._scatter_add,
            "running_extreme": lambda x, axis, smallest: (torch.cummin if smallest else torch.cummax)(x, axis).values,
            "running_logsumexp": torch.logcumsumexp,
            "sliding_windows": _sliding_windows,
            "sigmoid": torch.sigmoid,
            **network_kernels(torch, lambda name, x, *args: generic_kernel(name)(self.namespace(x.device), x, *args)),
        }
        self._mended = self._functions() | self.native_dtypes | self.kernels
        self._namespaces: dict[Any, RawNamespace] = {}

    # -- the namespace -----------------------------------------------------------------------------

    def namespace(self, native: Any) -> RawNamespace:
        found = self._namespaces.get(native)
        if found is None:
            mended = self._mended | self._creation(native)
            special = self._special(native)
            found = self._namespaces[native] = RawNamespace(self._compat, spaces={"special": lambda: special}, **mended)
        return found

    def _special(self, native: Any) -> Any:
        """Special functions: of GPUs PyTorch's own and no others, on the CPU SciPy's where PyTorch's lose digits."""
        torch = self.torch
        own = OwnFunctions(f"torch:{native}", lambda: torch.special, {n: n for n in _SPECIAL.split()} | _RENAMED)
        if native.type != "cpu":
            return own

        def exact(name: str) -> Any:
            if name == "erf":
                return self._erf
            return getattr(torch.special, name) if name in _EXACT.split() else None

        return SpecialFunctions(self.to_numpy, torch.from_numpy, (torch.Tensor,), exact, partial(getattr, own))

    def _erf(self, x: Any) -> Any:
        if x.is_complex():  # PyTorch's takes real numbers only
            return self.torch.from_numpy(self.np.asarray(scipy_special().erf(self.to_numpy(x))))
        return self.torch.special.erf(x)

    def _functions(self) -> dict[str, Any]:
        torch, compat = self.torch, self._compat
        return {name: getattr(torch, name) for name in _PLAIN.split()} | {
            "isdtype": cache(compat.isdtype),
            "matmul": torch.matmul,
            "conj": lambda x: torch.conj_physical(x) if x.is_complex() else x,
            "real": lambda x: x.real if x.is_complex() else x,
            "imag": lambda x: x.imag if x.is_complex() else torch.zeros_like(x),
            "sign": self._sign,
            "std": self._deviation(torch.std, 0.5),
            "var": self._deviation(torch.var, 1.0),
            "searchsorted": self._searchsorted,
            "take": self._take,
            "take_along_axis": self._take_along_axis,
            "unique_all": self._unique_all,
            "unique_values": lambda x: self._unique_all(x)[0],
            "unique_inverse": lambda x: self._unique_all(x)[::2],
            "unique_counts": lambda x: self._unique_all(x)[::3],
            "linalg.solve_triangular": lambda a, b, upper=False, unit_diagonal=False: torch.linalg.solve_triangular(
                a, b, upper=upper, unitriangular=unit_diagonal
            ),
            "linalg.expm": torch.linalg.matrix_exp,
            "linalg.inv_or_inf": lambda x: torch.linalg.inv_ex(x)[0],
        }

    def _creation(self, native: Any) -> dict[str, Any]:
        """The functions that make arrays from nothing: on this device, Python numbers in 64 bits."""
        torch, compat = self.torch, self._compat
        kinds = {bool: torch.bool, int: torch.int64, float: torch.float64, complex: torch.complex128}

        def made(function: Callable[..., Any]) -> Callable[..., Any]:
            def create(*args: Any, dtype: Any = None, **options: Any) -> Any:
                dtype = torch.float64 if dtype is None else dtype
                return function(*args, dtype=dtype, device=native, **options)

            return create

        def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
            return compat.full(shape, fill_value, dtype=dtype or kinds[type(fill_value)], device=native)

        def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
            whole = all(isinstance(v, int) for v in (start, step) if v is not None)
            dtype = dtype or (torch.int64 if whole and not isinstance(stop, float) else torch.float64)
            return compat.arange(start, stop, step, dtype=dtype, device=native)

        def asarray(obj: Any, dtype: Any = None, copy: bool | None = None) -> Any:
            if isinstance(obj, torch.Tensor):
                return torch.asarray(obj, dtype=dtype, copy=copy)
            return torch.asarray(obj, dtype=dtype or kinds.get(type(obj)), device=native, copy=copy)

        names = ("zeros", "ones", "empty", "eye", "linspace")
        return {name: made(getattr(compat, name)) for name in names} | {
            "full": full,
            "arange": arange,
            "asarray": asarray,
            "from_dlpack": lambda x: torch.from_dlpack(x).to(native),
        }

    # -- functions that PyTorch has otherwise ------------------------------------------------------

    def _sign(self, x: Any) -> Any:
        torch = self.torch
        made = torch.sgn(x) if x.is_complex() else torch.sign(x)
        return torch.where(torch.isnan(x), x, made) if x.is_floating_point() else made  # sign(nan) is 0 there

    def _deviation(self, function: Callable[..., Any], power: float) -> Callable[..., Any]:
        def deviation(x: Any, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
            if axis == ():  # over nothing; an empty dim means all of them to PyTorch
                return self.torch.zeros_like(x) / (1.0 - correction) ** power
            axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
            if all(x.shape[a] == 1 for a in axes):  # of one element each: it gives 0 for nan
                x = x - x
            return function(x, axis, correction=correction, keepdim=keepdims)

        return deviation

    def _searchsorted(self, x1: Any, x2: Any, side: str = "left", sorter: Any = None) -> Any:
        # It warns of arguments that are not contiguous.
        return self.torch.searchsorted(x1.contiguous(), x2.contiguous(), side=side, sorter=sorter)

    def _take(self, x: Any, indices: Any, axis: int | None = None) -> Any:
        return self.torch.index_select(x, 0 if axis is None else axis, self._whole(indices, x, axis or 0))

    def _take_along_axis(self, x: Any, indices: Any, axis: int = -1) -> Any:
        return self.torch.take_along_dim(x, self._whole(indices, x, axis), dim=axis)

    def _whole(self, indices: Any, x: Any, axis: int) -> Any:
        """Indices as PyTorch wants them: 64 bits, not negative."""
        indices = indices.to(self.torch.int64)
        return self.torch.where(indices < 0, indices + x.shape[axis], indices)

    def _unique_all(self, x: Any) -> tuple[Any, Any, Any, Any]:
        torch = self.torch
        flat = x.reshape(-1)
        if x.is_complex():
            order = torch.argsort(flat.imag, stable=True)
            order = order[torch.argsort(flat.real[order], stable=True)]
        else:
            order = torch.argsort(flat, stable=True)
        values = flat[order]
        new = torch.ones_like(order, dtype=torch.bool)
        new[1:] = values[1:] != values[:-1]
        starts = torch.nonzero(new)[:, 0]
        inverse = torch.empty_like(order)
        inverse[order] = torch.cumsum(new, 0) - 1
        end = torch.asarray([flat.shape[0]], device=x.device)
        return values[new], order[new], inverse.reshape(x.shape), torch.diff(starts, append=end)

    # -- devices -----------------------------------------------------------------------------------

    def native_devices(self) -> Sequence[tuple[str, Any]]:
        torch = self.torch
        found = [("torch:cpu", torch.device("cpu"))]
        return found + [(f"torch:cuda:{i}", torch.device("cuda", i)) for i in range(torch.cuda.device_count())]

    def native_device_of(self, array: Any) -> Any:
        return array.device

    def to_native(self, array: Any, native: Any) -> Any:
        return array.to(native)

    def to_numpy(self, array: Any) -> Any:
        """Shares memory with a tensor on the CPU; bfloat16, which NumPy has by ml_dtypes only, comes as float32."""
        if array.dtype is self.torch.bfloat16:
            array = array.float()
        return array.cpu().resolve_conj().numpy()

    def from_numpy(self, array: Any, native: Any) -> Any:
        # Always a copy: a graph could not know of writes to memory that NumPy owns.
        array = self.np.array(array, order="C")
        if array.dtype.name == "bfloat16":  # ml_dtypes'
            return self.torch.from_numpy(array.view("int16")).view(self.torch.bfloat16).to(native)
        return self.torch.from_numpy(array).to(native)

    def from_dlpack(self, x: Any, native: Any, copy: bool | None) -> Any:
        made = self.namespace(native).from_dlpack(x)
        return made.clone() if copy else made

    def synchronize(self, native: Any) -> None:
        if native.type == "cuda":
            self.torch.cuda.synchronize(native)

    # -- memory ------------------------------------------------------------------------------------

    def borrow(self, array: Any) -> Any:
        if array.requires_grad:
            raise DetachError(
                f"a torch.Tensor of shape {tuple(array.shape)} that requires grad cannot be taken over: "
                "PyTorch's graph would be dropped. Pass x.detach() if that is meant; from there on gradients "
                "are polygrad's"
            )
        array = array if type(array) is self.torch.Tensor else array.detach()  # a Parameter is a subclass
        return array.resolve_conj().resolve_neg()

    def copy(self, array: Any) -> Any:
        return array.clone()

    def read_only(self, array: Any) -> Any:
        if not isinstance(array, self.torch.Tensor):  # what to_numpy made
            array = array.view()
            array.setflags(write=False)
        return array

    def is_view(self, result: Any, array: Any) -> bool:
        return bool(result.untyped_storage().data_ptr() == array.untyped_storage().data_ptr())

    def write(self, array: Any, key: Any, value: Any) -> None:
        if _backward_axes(key):
            array.copy_(self._with_entries(array, key, value))
        else:
            array[self._key(key)] = value

    # -- kernels -----------------------------------------------------------------------------------

    def _key(self, key: Any) -> Any:
        """A key as PyTorch must be given it: index arrays in 64 bits, for it refuses int16 and takes uint8
        for a mask; integers beside them as arrays, for it would take those out first (``x[0, :, i]``)."""
        torch = self.torch
        entries = key if isinstance(key, tuple) else (key,)
        index = next((k for k in entries if isinstance(k, torch.Tensor) and k.ndim), None)
        if index is None:
            return key
        made = []
        for k in entries:
            if isinstance(k, int):
                k = torch.full((1,), k, dtype=torch.int64, device=index.device)
            elif isinstance(k, torch.Tensor) and k.dtype not in (torch.bool, torch.int64):
                k = k.to(torch.int64)
            made.append(k)
        return tuple(made)

    def _getitem(self, x: Any, key: Any) -> Any:
        if _backward_axes(key):
            x, key = _turned(x, key)
        return x[self._key(key)]

    def _positions(self, shape: Sequence[int], key: Any, device: Any) -> Any:
        """Where in the flattened array each element of ``x[key]`` stands."""
        size = 1
        for n in shape:
            size *= n
        return self._getitem(self.torch.arange(size, device=device).reshape(tuple(shape)), key)

    def _with_entries(self, x: Any, key: Any, value: Any) -> Any:
        if not _backward_axes(key):
            made = x.clone()
            made[self._key(key)] = value
            return made
        flat = x.clone(memory_format=self.torch.contiguous_format).reshape(-1)
        flat[self._positions(x.shape, key, x.device)] = value
        return flat.reshape(x.shape)

    def _scatter_add(self, shape: Sequence[int], dtype: Any, parts: Sequence[tuple[Any, Any]]) -> Any:
        torch = self.torch
        total = torch.zeros(tuple(shape), dtype=dtype, device=parts[0][1].device)
        for key, values in parts:
            entries = key if isinstance(key, tuple) else (key,)
            if not any(isinstance(k, torch.Tensor) for k in entries) and not _backward_axes(key):
                total[key] += values
                continue
            axis = len(entries) - 1
            index = entries[axis]
            if (
                all(k == slice(None) for k in entries[:axis] if not isinstance(k, torch.Tensor))
                and (isinstance(index, torch.Tensor) and index.ndim == 1 and index.dtype is not torch.bool)
                and not any(isinstance(k, torch.Tensor) for k in entries[:axis])
            ):
                total.index_add_(axis, self._whole(index, total, axis), values)
                continue
            places = self._positions(shape, key, total.device)
            total.reshape(-1).index_add_(0, places.reshape(-1), values.expand(places.shape).reshape(-1))
        return total


def _sliding_windows(x: Any, window: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    for width, axis in zip(window, axes, strict=True):
        x = x.unfold(axis, width, 1)
    return x


def _backward_axes(key: Any) -> bool:
    """Whether a key steps backward anywhere, which PyTorch refuses."""
    if isinstance(key, tuple):
        return any(isinstance(k, slice) and k.step is not None and k.step < 0 for k in key)
    return isinstance(key, slice) and key.step is not None and key.step < 0


def _turned(x: Any, key: Any) -> tuple[Any, Any]:
    """The array flipped along the axes that a key steps through backward, and the key for it."""
    entries = list(key) if isinstance(key, tuple) else [key]
    taken = [_axes_taken(k) for k in entries]
    axes, axis = [], 0
    for i, k in enumerate(entries):
        if k is Ellipsis:
            axis += x.ndim - sum(taken)
        elif isinstance(k, slice) and k.step is not None and k.step < 0:
            n = x.shape[axis]
            start, stop, step = k.indices(n)
            entries[i] = slice(n - 1 - start, n - 1 - stop, -step)
            axes.append(axis)
        axis += taken[i]
    return x.flip(axes), tuple(entries)


def _axes_taken(entry: Any) -> int:
    if entry is None or entry is Ellipsis:
        return 0
    return int(entry.ndim) if str(getattr(entry, "dtype", "")) == "torch.bool" else 1


def _compile(torch: Any, graph: Any, device: Any) -> Any:
    from polygrad.graph import Pieces  # only for those who compile

    def compiled(f: Callable[..., Any]) -> Callable[..., Any]:
        fast = torch.compile(f, fullgraph=True, dynamic=False)
        compiles = [True]

        def run(*inputs: Any) -> Any:  # a float would be fixed in what is compiled, and compiled again when it changes
            arrays = [torch.as_tensor(x, dtype=torch.float64) if type(x) is float else x for x in inputs]
            if compiles:
                with warnings.catch_warnings():  # of what PyTorch deprecates and its compiler uses
                    warnings.simplefilter("ignore")
                    made = fast(*arrays)
                compiles.clear()
                return made
            return fast(*arrays)

        return run

    def alone(instruction: Any) -> bool:
        """What only SciPy has."""
        op: str = instruction.op
        return op.removeprefix("xp.").startswith("special.")

    return Pieces(graph, device, "torch.compile", alone, compiled)
