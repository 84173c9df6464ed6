"""Looking a NumPy call up, and what becomes of calls that have no equivalent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..core.cell import Cell
from ..errors import DetachError
from ..ops import creation, data_types, indexing, searching
from . import functions, numerical, shaping, ufuncs
from .tables import FUNCTIONS, TENSOR_FIRST, is_array, tracked

__all__ = ["call_function", "call_ufunc"]

_LOADED = (functions, numerical, shaping)  # they fill the table


# -- ufuncs ----------------------------------------------------------------------------------------------


def call_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A NumPy or SciPy ufunc, or one of its methods, on Tensors."""
    outs: tuple[Any, ...] = kwargs.pop("out", None) or ()
    options = {k: v for k, v in kwargs.items() if k not in ("casting", "order", "subok", "signature")}
    where = options.pop("where", True)
    dtype = options.pop("dtype", None)
    found = ufuncs.find(ufunc.__name__, method)
    if found is None:
        result = _by_numpy(f"{ufunc.__name__}.{method}" if method != "__call__" else ufunc.__name__,
                           ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)  # fmt: skip
        if where is not True:
            raise TypeError(f"numpy.{ufunc.__name__}: where= is not taken with polygrad's tensors")
    elif method == "__call__":
        quiet = nullcontext() if where is True else _quiet(ufunc.__name__, outs, inputs)
        with quiet:  # entries that are masked out are not NumPy's to warn of
            result = found(*inputs, **options)
        if dtype is not None:
            result = _each(result, lambda r: data_types.astype(r, dtype))
        if where is not True:
            result = searching.where(where, result, outs[0])
    else:
        if where is not True:
            options["where"] = where
        if dtype is not None:
            options["dtype"] = dtype
        result = found(*inputs, **options)
    return _deliver(ufunc.__name__, result, outs)


def _each(result: Any, f: Callable[[Any], Any]) -> Any:
    return tuple(f(r) for r in result) if isinstance(result, tuple) else f(result)


def _quiet(name: str, outs: tuple[Any, ...], inputs: tuple[Any, ...]) -> AbstractContextManager[Any]:
    if len(outs) != 1 or outs[0] is None:
        raise TypeError(f"numpy.{name}: where= needs out=, for the entries that are not computed; or use pg.where")
    device = _first_device((inputs, outs))
    return device.backend.quiet()  # type: ignore[no-any-return]


def _deliver(name: str, result: Any, outs: tuple[Any, ...]) -> Any:
    """The result, written to what ``out=`` names."""
    if not outs or all(o is None for o in outs):
        return result
    results = result if isinstance(result, tuple) else (result,)
    made = tuple([r if o is None else _write(name, r, o) for r, o in zip(results, outs, strict=True)])
    return made if isinstance(result, tuple) else made[0]


def _write(name: str, result: Any, out: Any) -> Any:
    if isinstance(out, Cell):
        target: Any = out
        indexing.setitem(target, ..., result)
        return out
    if tracked(result):
        raise DetachError(
            f"numpy.{name}: out= is a NumPy array, which would drop the graph of the result; leave it out, or pass "
            "a tensor"
        )
    out[...] = result._host() if isinstance(result, Cell) else result  # type: ignore[attr-defined]
    return out


# -- functions -------------------------------------------------------------------------------------------


def call_function(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A function of NumPy's namespaces on Tensors."""
    module = (getattr(function, "__module__", None) or "numpy").removeprefix("numpy").lstrip(".")
    name = f"{module}.{function.__name__}" if module in ("linalg", "fft") else function.__name__
    found = FUNCTIONS.get(name)
    if found is None:
        return _by_numpy(name, function, args, dict(kwargs))
    options = dict(kwargs)
    out = options.pop("out", None)
    if name in TENSOR_FIRST and args and not isinstance(args[0], Cell):
        args = (_tensor_like(args[0], args, options), *args[1:])
    result = found(*args, **options)
    return result if out is None else _deliver(name, result, out if isinstance(out, tuple) else (out,))


def _tensor_like(value: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """An argument that is no Tensor, on the device of those that are."""
    for x in (*args, *options.values()):
        if isinstance(x, Cell):
            return creation.asarray(value, device=x._device) if not is_array(value) else creation.asarray(value)
    return creation.asarray(value)


# -- what has no equivalent --------------------------------------------------------------------------------


def _by_numpy(name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The library's own function on the values, where no graph would be lost."""
    if tracked(args) or tracked(kwargs):
        raise DetachError(
            f"{_module(function)}.{name} has no equivalent in polygrad, and would drop the graph of a tensor that requires "
            "grad; write it with functions of the Array API (x.__array_namespace__()), or pass x.detach() if no "
            "derivative through it is wanted"
        )
    device = _first_device((args, kwargs))
    result = function(*_plain(args), **_plain(kwargs))
    return _wrapped(result, device)


def _module(function: Any) -> str:
    module = getattr(function, "__module__", None)
    if module is None:  # ufuncs do not say where they are from
        return "numpy or scipy"
    return str(module)


def _first_device(value: Any) -> Any:
    if isinstance(value, Cell):
        return value._device
    for v in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        found = _first_device(v)
        if found is not None:
            return found
    return None


def _plain(value: Any) -> Any:
    """Tensors as NumPy arrays that cannot be written to."""
    if isinstance(value, Cell):
        host = value._host().view()  # type: ignore[attr-defined]
        host.flags.writeable = False
        return host
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)([_plain(v) for v in value])
    return value


def _wrapped(value: Any, device: Any) -> Any:
    """NumPy arrays as Tensors on the device the arguments came from."""
    if is_array(value) or type(value).__module__ == "numpy":
        if getattr(value, "dtype", None) is None or value.dtype.kind not in "biufc":
            return value
        owned = creation.asarray(value, copy=True)
        return owned if owned._device is device else creation.to_device(owned, device)
    if isinstance(value, list):
        return [_wrapped(v, device) for v in value]
    if isinstance(value, tuple):
        made = [_wrapped(v, device) for v in value]
        return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
    return value
