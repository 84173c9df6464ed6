"""Libraries that must be told of Tensors before they take them: each is told when it is imported.

einops and scipy.fft ask their own lists of backends whose array they were given. polygrad enters itself there; it
imports nothing by itself, and does nothing where they are not used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from .ops import creation, manipulation
from .tensor import Tensor

__all__ = ["watch"]


def _tell_einops(module: ModuleType) -> None:
    """Give einops a backend for Tensors."""
    backends: Any = sys.modules["einops._backends"]

    class PolygradBackend(backends.AbstractBackend):  # type: ignore[misc]
        framework_name = "polygrad"

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, Tensor)

        def from_numpy(self, x: Any) -> Any:
            return creation.asarray(x)

        def to_numpy(self, x: Any) -> Any:
            return x.numpy()

        def arange(self, start: int, stop: int) -> Any:
            return creation.arange(start, stop)

        def stack_on_zeroth_dimension(self, tensors: Any) -> Any:
            return manipulation.stack(tensors)

        def add_axis(self, x: Any, new_position: int) -> Any:
            return manipulation.expand_dims(x, axis=new_position)

        def tile(self, x: Any, repeats: Any) -> Any:
            return manipulation.tile(x, tuple(repeats))

        def concat(self, tensors: Any, axis: int) -> Any:
            return manipulation.concat(tensors, axis=axis)

        def is_float_type(self, x: Any) -> bool:
            return bool(x.dtype.inexact)

        def einsum(self, pattern: str, *x: Any) -> Any:
            return sys.modules["polygrad"].einsum(pattern, *x)

    _kept.append(PolygradBackend)  # einops finds the subclasses that are alive


def _tell_scipy_fft(module: ModuleType) -> None:
    """Give SciPy cosine and sine transforms of Tensors."""
    module.register_backend(ScipyFFT)


class ScipyFFT:
    """What SciPy asks before its own transforms."""

    __ua_domain__ = "numpy.scipy.fft"

    @staticmethod
    def __ua_function__(method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not (isinstance(args[0], Tensor) if args else isinstance(kwargs.get("x"), Tensor)):
            return NotImplemented
        return import_module("polygrad.protocols.real_transforms").call(method.__name__, args, kwargs)


_kept: Final[list[Any]] = []
_WATCHED: Final[dict[str, Callable[[ModuleType], None]]] = {"einops": _tell_einops, "scipy.fft": _tell_scipy_fft}


class _Loader:
    """A module's own loader, and a word to the module after it has run."""

    def __init__(self, loader: Any, tell: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._tell = tell

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec: Any = module.__spec__
        module.__loader__ = spec.loader = self._loader
        self._loader.exec_module(module)
        self._tell(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Finder:
    """Finds the watched modules as the other finders do."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _WATCHED:
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                        spec.loader = _Loader(spec.loader, _WATCHED[name])  # type: ignore[assignment]
                    return spec
        return None


def watch() -> None:
    """Tell the libraries that are here already, and each of the others when it comes."""
    for name, tell in _WATCHED.items():
        if name in sys.modules:
            tell(sys.modules[name])
    sys.meta_path.insert(0, _Finder())
