"""array-api-strict: the standard and nothing else, with devices that refuse to be mixed.

It is for testing: what runs here runs on any conforming library, and its second device finds the host copies
that would fail on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from polygrad.backend import Backend, RawNamespace
from polygrad_backends import host

from .special import SpecialFunctions

__all__ = ["StrictBackend"]

_DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128"
_CREATION = "zeros ones empty full eye linspace arange"


class StrictBackend(Backend):
    """array-api-strict's arrays, on ``"strict"``, ``"strict:device1"`` and ``"strict:device2"``."""

    name = "strict"
    library = "array_api_strict"
    install = "pip install array-api-strict"

    def __init__(self) -> None:
        import array_api_strict
        import numpy as np

        super().__init__()
        self.np = np
        self.strict = array_api_strict
        devices = array_api_strict.__array_namespace_info__().devices()
        named = {str(d).split("'")[1]: d for d in devices}
        self._host = named["CPU_DEVICE"]
        self._places = [("strict", self._host)]
        self._places += [(f"strict:{n}", named[n]) for n in ("device1", "device2") if n in named]
        self.array_types = (type(array_api_strict.zeros(())),)
        self.native_dtypes = {name: getattr(array_api_strict, name) for name in _DTYPES.split()}
        self.complex_dtypes = frozenset({array_api_strict.complex64, array_api_strict.complex128})
        self.kernels = {}
        self._namespaces: dict[Any, RawNamespace] = {}

    # -- the namespace -----------------------------------------------------------------------------

    def namespace(self, native: Any) -> RawNamespace:
        found = self._namespaces.get(native)
        if found is None:
            special = SpecialFunctions(self.to_numpy, partial(self.from_numpy, native=native), self.array_types)
            spaces = {"special": lambda: special}
            found = self._namespaces[native] = RawNamespace(self.strict, spaces=spaces, **self._mended(native))
        return found

    def _mended(self, native: Any) -> dict[str, Any]:
        strict = self.strict
        made = {name: partial(getattr(strict, name), device=native) for name in _CREATION.split()}
        return made | {
            "asarray": partial(self._asarray, native),
            "expm1": partial(self._complex, "expm1"),
            "tanh": partial(self._complex, "tanh"),
            "sign": partial(self._complex, "sign"),  # its own gives -0 at some zeros
            "from_dlpack": lambda x: strict.from_dlpack(x).to_device(native),
            # The standard defines these for complex input only (conj), or not for real (real, imag).
            "conj": lambda x: strict.conj(x) if x.dtype in self.complex_dtypes else x,
            "real": lambda x: strict.real(x) if x.dtype in self.complex_dtypes else x,
            "imag": lambda x: strict.imag(x) if x.dtype in self.complex_dtypes else strict.zeros_like(x),
        }

    def _complex(self, name: str, x: Any) -> Any:
        """A function that NumPy, with which it computes, has not right for all complex numbers."""
        if x.dtype not in self.complex_dtypes:
            return getattr(self.strict, name)(x)
        return self.from_numpy(getattr(host, name)(self.np, self.to_numpy(x)), x.device)

    def _asarray(self, native: Any, obj: Any, dtype: Any = None, copy: bool | None = None) -> Any:
        place = None if isinstance(obj, self.array_types) else native
        return self.strict.asarray(obj, dtype=dtype, device=place, copy=copy)

    # -- devices -----------------------------------------------------------------------------------

    def native_devices(self) -> Sequence[tuple[str, Any]]:
        return self._places

    def native_device_of(self, array: Any) -> Any:
        return array.device

    def find_native(self, rest: str) -> Any:
        return self._host if rest in ("cpu", "CPU_DEVICE") else super().find_native(rest)

    def to_native(self, array: Any, native: Any) -> Any:
        return array.to_device(native)

    def to_numpy(self, array: Any) -> Any:
        """Shares memory with an array on the host; from another device it is a copy, as from a GPU."""
        return self.np.asarray(array.to_device(self._host))

    def from_numpy(self, array: Any, native: Any) -> Any:
        return self.strict.asarray(array, device=native, copy=True)

    def from_dlpack(self, x: Any, native: Any, copy: bool | None) -> Any:
        return self.strict.from_dlpack(x, copy=copy).to_device(native)

    # -- memory ------------------------------------------------------------------------------------

    def read_only(self, array: Any) -> Any:
        if isinstance(array, self.np.ndarray):  # what to_numpy made
            array = array.view()
            array.setflags(write=False)
        return array

    def is_view(self, result: Any, array: Any) -> bool:
        return bool(self.np.may_share_memory(result._array, array._array))  # of any device, without a copy

    def write(self, array: Any, key: Any, value: Any) -> None:
        xp = self.namespace(array.device)
        array[...] = xp.with_entries(array, key, value)

    def quiet(self) -> AbstractContextManager[Any]:
        return self.np.errstate(all="ignore")  # it computes with NumPy
