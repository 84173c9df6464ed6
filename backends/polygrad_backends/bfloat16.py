"""bfloat16 on NumPy and CuPy: ml_dtypes' dtype, whose functions compute in float32 and round what they return.

ml_dtypes gives most ufuncs that do that; NumPy's sums, products of matrices and the rest add up in bfloat16, return float32 or
refuse it. So, as soon as an array of bfloat16 is seen, every other function of the namespace that does more than move numbers is
wrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from polygrad.backend import ForkLock, NativeDtypes, RawNamespace

__all__ = ["DtypesWithBfloat16"]

# What moves numbers, makes views of them or is told the dtype of what it makes; NumPy's do that with any dtype.
_MOVING: Final = frozenset("""
arange asarray astype broadcast_arrays broadcast_to can_cast concat copy empty empty_like expand_dims eye flip from_dlpack full
full_like getitem linspace matrix_transpose meshgrid moveaxis newaxis ones ones_like permute_dims repeat reshape result_type
roll sliding_windows spread_chosen squeeze stack take take_along_axis tile unstack with_entries zeros zeros_like
""".split())  # fmt: skip


class DtypesWithBfloat16(NativeDtypes):
    """A library's dtypes, with bfloat16 from its first use on: ml_dtypes takes a second to import, and until then nobody pays.

    Args:
        dtypes: the others.
        array_types: the library's arrays and scalars.
        namespaces: returns those whose functions are to take bfloat16.
    """

    def __init__(
        self,
        dtypes: dict[str, Any],
        array_types: tuple[type, ...],
        namespaces: Callable[[], Iterable[RawNamespace]],
    ) -> None:
        super().__init__(dtypes)
        self._array_types, self._namespaces = array_types, namespaces
        self._adding = ForkLock()

    def __missing__(self, name: str) -> Any:
        if name != "bfloat16" or find_spec("ml_dtypes") is None:
            raise KeyError(name)
        import numpy as np

        self.see(np.dtype(import_module("ml_dtypes").bfloat16))
        return self[name]

    def see(self, dtype: Any) -> None:
        """Serve bfloat16 if an array's dtype is that."""
        if dtype.name != "bfloat16" or "bfloat16" in self:
            return
        with self._adding.held:  # the dtype is there when all functions take it, for other threads too
            if "bfloat16" not in self:
                wrapper = _wrapper(dtype, self._array_types)
                for namespace in self._namespaces():
                    namespace.wrap(wrapper)
                self["bfloat16"] = dtype

    def join(self, namespace: RawNamespace) -> None:
        """Wrap the functions of a namespace that is made after bfloat16 has been seen."""
        if "bfloat16" in self:
            namespace.wrap(_wrapper(self["bfloat16"], self._array_types))


def _wrapper(narrow: Any, array_types: tuple[type, ...]) -> Callable[[str, Any], Any]:
    """Return the function that wraps another one by its name.

    Args:
        narrow: the dtype object of bfloat16.
        array_types: the library's arrays and scalars.
    """
    import numpy as np

    single = np.dtype("float32")
    limits = import_module("ml_dtypes").finfo(narrow)

    def is_narrow(x: Any) -> bool:
        return isinstance(x, array_types) and x.dtype == narrow  # type: ignore[attr-defined]

    def is_wide(x: Any) -> bool:
        return isinstance(x, array_types) and x.dtype.kind in "fc"  # type: ignore[attr-defined]

    def widened(x: Any, seen: list[bool]) -> Any:
        """An argument with float32 in place of bfloat16; ``seen`` gets whether there was any, and any other inexact array."""
        if is_narrow(x):
            seen[0] = True
            return x.astype(single)
        if type(x) in (list, tuple):
            return type(x)([widened(v, seen) for v in x])
        if isinstance(x, np.dtype) and x == narrow:
            seen[0] = True
            return single
        seen[1] = seen[1] or is_wide(x) or (isinstance(x, np.dtype) and x.kind in "fc")
        return x

    def rounded(x: Any) -> Any:
        if isinstance(x, array_types) and x.dtype == single:  # type: ignore[attr-defined]
            return x.astype(narrow)  # type: ignore[attr-defined]
        if isinstance(x, tuple):
            return type(x)(*map(rounded, x)) if hasattr(x, "_fields") else tuple(map(rounded, x))
        return [rounded(v) for v in x] if type(x) is list else x

    def is_served(function: Any) -> bool:
        """Whether ml_dtypes has a loop for a ufunc."""
        if not isinstance(function, np.ufunc):
            return False
        try:
            dtypes = function.resolve_dtypes((narrow,) * function.nin + (None,) * function.nout)
        except TypeError:
            return False
        return all(dtype in (narrow, np.dtype(bool)) for dtype in dtypes[function.nin :])

    def wrapped(name: str, function: Any) -> Any:
        if name == "finfo":
            return lambda dtype: limits if getattr(dtype, "dtype", dtype) == narrow else function(dtype)
        if name == "isdtype":
            return lambda dtype, kind: function(single if dtype == narrow else dtype, kind)
        if name in _MOVING or not callable(function) or isinstance(function, (type, np.dtype)) or is_served(function):
            return function

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            seen = [False, False]
            wide = [widened(x, seen) for x in args]
            named = {k: widened(v, seen) for k, v in options.items()}
            if not seen[0]:
                return function(*args, **options)
            result = function(*wide, **named)
            return result if seen[1] else rounded(result)

        if isinstance(function, np.ufunc):
            call.nout = function.nout  # type: ignore[attr-defined]  # Dask asks how many arrays it makes
        return call

    return wrapped
