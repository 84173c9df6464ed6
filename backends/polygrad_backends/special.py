"""Where libraries get their special functions: their own, SciPy's through the host, or a clear error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from polygrad.errors import DependencyError, NoFunctionError

__all__ = ["OwnFunctions", "SpecialFunctions", "scipy_special"]


def scipy_special() -> Any:
    """``scipy.special``, or an error that says how to install it."""
    try:
        import scipy.special
    except ImportError as error:
        raise DependencyError(f"special functions on the host are SciPy's: pip install scipy ({error})") from error
    return scipy.special


def _lacking(device: str, name: str) -> NoFunctionError:
    return NoFunctionError(
        f"the special function {name!r} is not there on {device!r}; move the arrays to the host, which keeps the graph: "
        'x.to_device("cpu")'
    )


class OwnFunctions:
    """The special functions of a library that must not leave its device.

    Args:
        device: the device's name, for errors.
        library: returns the module (called on first need).
        names: which of polygrad's names stand for which of the module's; None for all, by the same names.
        mended: functions of the module that return one in place of its own, by name.
    """

    def __init__(
        self,
        device: str,
        library: Callable[[], Any],
        names: dict[str, str] | None = None,
        mended: Mapping[str, Callable[[Any], Callable[..., Any]]] | None = None,
    ) -> None:
        self._mended = mended or {}
        self._device = device
        self._library = library
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._mended:
            return self._mended[name](self._library())
        own = name if self._names is None else self._names.get(name)
        function = None if own is None else getattr(self._library(), own, None)
        if function is None:
            raise _lacking(self._device, name)

        def call(*args: Any, **options: Any) -> Any:
            try:
                return function(*args, **options)
            except TypeError as error:
                if any(getattr(getattr(x, "dtype", None), "kind", "") == "c" for x in args):
                    raise _lacking(self._device, f"{name} of complex numbers") from error
                raise

        return call


class SpecialFunctions:
    """The special functions of a library whose arrays are in the host's memory: SciPy's, but for some.

    Args:
        to_numpy, from_numpy: how arrays go to NumPy and back; without copying, if the library can.
        array_types: what counts as an array; other arguments (Python numbers) are passed on as they are.
        own: functions of the library's own by polygrad's names, or None: those that are as accurate as SciPy's.
        fallback: its other ones, for arrays without values (of JAX's tracers), and where SciPy is not installed.
        abstract: whether an array has no values.
        source: returns what has the functions of NumPy arrays.
    """

    def __init__(
        self,
        to_numpy: Callable[[Any], Any],
        from_numpy: Callable[[Any], Any],
        array_types: tuple[type, ...],
        own: Callable[[str], Any] = lambda name: None,
        fallback: Callable[[str], Any] | None = None,
        abstract: Callable[[Any], bool] = lambda array: False,
        source: Callable[[], Any] = scipy_special,
    ) -> None:
        self._to_numpy = to_numpy
        self._from_numpy = from_numpy
        self._types = array_types
        self._own = own
        self._fallback = fallback
        self._abstract = abstract
        self._source = source

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = self._own(name)
        if found is not None:
            return found
        try:
            function = getattr(self._source(), name)
        except DependencyError:
            if self._fallback is None:
                raise
            return self._fallback(name)
        return self._through_the_host(name, function)

    def _through_the_host(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        import numpy as np

        to_numpy, types, abstract = self._to_numpy, self._types, self._abstract

        def call(*args: Any) -> Any:
            if self._fallback is not None and any(abstract(a) for a in args):
                return self._fallback(name)(*args)
            with np.errstate(all="ignore"):
                out = function(*[to_numpy(a) if isinstance(a, types) else a for a in args])
            return tuple([placed(o) for o in out]) if isinstance(out, tuple) else placed(out)

        def placed(value: Any) -> Any:
            return self._from_numpy(np.asarray(value))

        call.__name__ = name
        return call
