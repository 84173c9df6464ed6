"""The conforming namespace made of the ops: what ``Tensor.__array_namespace__`` returns.

One module object per backend, the same each time, with a stable name; its functions are the ops themselves,
its creation functions land on that backend.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any, Final

from . import dtypes
from .backend import SPACES, Device, provide
from .core.kernels import GENERIC, ON_TENSORS
from .ops import (
    creation,
    data_types,
    elementwise,
    extra,
    indexing,
    linear_algebra,
    logic,
    manipulation,
    searching,
    sets,
    slopes,
    sorting,
    statistical,
    strong,
    utility,
)
from .typing import ArrayLike

__all__ = ["API_VERSION", "FUNCTIONS", "Info", "namespace_for"]

API_VERSION: Final = "2025.12"
_VERSIONS: Final = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")

_CHAPTERS: Final = {
    creation: "arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like tril triu "
    "zeros zeros_like",
    data_types: "astype can_cast finfo iinfo isdtype result_type",
    elementwise: "abs acos acosh add asin asinh atan atan2 atanh ceil clip conj copysign cos cosh divide exp expm1 floor "
    "floor_divide hypot imag log log10 log1p log2 logaddexp maximum minimum multiply negative nextafter positive pow "
    "real reciprocal remainder round sign sin sinh sqrt square subtract tan tanh trunc",
    logic: "bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor equal greater "
    "greater_equal isfinite isinf isnan less less_equal logical_and logical_not logical_or logical_xor not_equal signbit",
    indexing: "take take_along_axis",
    linear_algebra: "matmul matrix_transpose tensordot vecdot",
    manipulation: "broadcast_arrays broadcast_shapes broadcast_to concat expand_dims flip moveaxis permute_dims repeat "
    "reshape roll squeeze stack tile unstack",
    searching: "argmax argmin count_nonzero nonzero searchsorted where",
    sets: "isin unique_all unique_counts unique_inverse unique_values",
    sorting: "argsort sort",
    statistical: "cumulative_prod cumulative_sum max mean min prod std sum var",
    utility: "all any diff",
}

FUNCTIONS: Final[dict[str, Any]] = {
    name: getattr(chapter, name) for chapter, names in _CHAPTERS.items() for name in names.split()
}
"""Every function of the standard's main namespace, by name."""

_ON_DEVICE: Final = ["arange", "empty", "eye", "full", "linspace", "ones", "zeros"]

# Not in the standard; rules call them, and so may anyone.
_KERNELS: Final = {
    "getitem": indexing.getitem,
    "scatter_add": indexing.scatter_add,
    "sigmoid": extra.sigmoid,
    "softmax_over": extra.softmax_on_tensors,
    "with_entries": indexing.entries_replaced,
    **slopes.ON_TENSORS,
    **strong.ON_TENSORS,
}

# Nor are these; consumers call them on a namespace they do not know. Their modules are imported on first use.
_BEYOND: Final = {"diag": "selection", "logspace": "calculus"}


class Info:
    """What ``__array_namespace_info__()`` returns: the inspection API, for one backend."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def capabilities(self) -> dict[str, Any]:
        """Whether masks and data-dependent shapes work, and the largest number of dimensions."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": not self._device.backend.lazy,
            "max dimensions": 64,
        }

    def default_device(self) -> Device:
        """Where this namespace's creation functions land."""
        return self._device

    def devices(self) -> tuple[Device, ...]:
        """The devices of this backend."""
        return tuple(self._device.backend.devices())

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """The dtypes of Python numbers: the same on every backend."""
        return {
            "real floating": dtypes.float64,
            "complex floating": dtypes.complex128,
            "integral": dtypes.int64,
            "indexing": dtypes.int64,
        }

    def dtypes(self, *, device: Any = None, kind: str | tuple[str, ...] | None = None) -> dict[str, Any]:
        """The dtypes this backend has, by name, of a kind if given."""
        found = {d.name: d for d in self._device.backend.dtypes() if d.name not in ("float16", "bfloat16")}
        if kind is None:
            return found
        return {name: d for name, d in found.items() if data_types.isdtype(d, kind)}


class Namespace(ModuleType):
    """polygrad's namespace, creating on one device."""

    def __init__(self, name: str, device: Device) -> None:
        super().__init__(name, __doc__)
        contents: dict[str, Any] = dict(FUNCTIONS)
        for name_ in _ON_DEVICE:
            contents[name_] = _creating_on(device, FUNCTIONS[name_])
        contents["asarray"] = _asarray_on(device)
        for name_, generic in GENERIC.items():
            if "." not in name_:
                contents[name_] = _KERNELS.get(name_) or ON_TENSORS.get(name_) or functools.partial(generic, self)
        for dtype in device.backend.dtypes():
            contents[dtype.name] = dtype
        contents.update(newaxis=None, e=2.718281828459045, pi=3.141592653589793, inf=float("inf"), nan=float("nan"))
        contents["__array_api_version__"] = API_VERSION
        contents["__array_namespace_info__"] = functools.partial(Info, device)
        self.__dict__.update(contents)
        self.__dict__["_polygrad_device"] = device

    def __getattr__(self, name: str) -> Any:
        if name in GENERIC and "." not in name:  # a kernel of a module imported since
            kernel = self.__dict__[name] = ON_TENSORS.get(name) or functools.partial(GENERIC[name], self)
            return kernel
        if name in _BEYOND:
            found = getattr(importlib.import_module(f"polygrad.ops.{_BEYOND[name]}"), name)
            if name == "logspace":
                found = _samples_on(self.asarray, found)
            self.__dict__[name] = found
            return found
        if name not in SPACES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = self.__dict__[name] = Space(self, name, self._polygrad_device)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *SPACES, *_BEYOND})

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        if api_version is not None and api_version not in _VERSIONS:
            raise ValueError(f"unknown Array API version {api_version!r}; polygrad follows {API_VERSION}")
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _namespace_by_name, (self._polygrad_device.name,)


class Space(ModuleType):
    """``linalg``, ``fft`` or ``special`` of a :class:`Namespace`: the public module's functions, those that create
    arrays landing on one device, and the kernels that rules need."""

    def __init__(self, parent: Namespace, space: str, device: Device) -> None:
        super().__init__(f"{parent.__name__}.{space}")
        public = importlib.import_module(f"polygrad.{space}")
        contents: dict[str, Any] = {name: getattr(public, name) for name in public.__all__}
        for name in getattr(public, "CREATION", ()):
            contents[name] = _creating_on(device, contents[name])
        # Kernels that are ops have rules: the public module's function, whether it is in __all__ or not.
        kernels = {n.partition(".")[2]: f for n, f in GENERIC.items() if n.startswith(f"{space}.")}
        own = {n: getattr(public, n, None) or functools.partial(f, parent) for n, f in kernels.items()}
        self.__dict__.update(own | contents)


def _namespace_by_name(name: str) -> Any:
    return Device(name).xp


def namespace_for(device: Device) -> Namespace:
    """The namespace whose creation functions land on ``device`` (made once; ``device.xp`` keeps it)."""
    return Namespace(f"polygrad.array_api.{device.name}", device)


def _creating_on(device: Device, function: Any) -> Any:
    """A creation function whose default device is this one."""

    @functools.wraps(function)
    def create(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("device") is None:
            kwargs["device"] = device
        return function(*args, **kwargs)

    return create


def _asarray_on(device: Device) -> Any:
    """``asarray`` whose default device is this one for what has none of its own."""

    @functools.wraps(creation.asarray)
    def asarray(obj: ArrayLike, /, **kwargs: Any) -> Any:
        if (kwargs.get("device") is None and not hasattr(obj, "dtype") and not isinstance(obj, (list, tuple))) or (
            kwargs.get("device") is None and isinstance(obj, (list, tuple)) and not creation._holds_array(obj)
        ):
            kwargs["device"] = device
        return creation.asarray(obj, **kwargs)

    return asarray


def _samples_on(asarray: Any, function: Any) -> Any:
    """``logspace`` between ends that are made where ``asarray`` makes arrays."""

    @functools.wraps(function)
    def samples(start: ArrayLike, stop: ArrayLike, /, *args: Any, **kwargs: Any) -> Any:
        return function(asarray(start), asarray(stop), *args, **kwargs)

    return samples


provide("namespace", namespace_for)
