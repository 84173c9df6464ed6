"""NumPy's and SciPy's ufuncs, by name, and the methods of those that have them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from ..core.cell import Cell
from ..ops import elementwise as el
from ..ops import indexing, linear_algebra, logic, manipulation, searching, statistical, utility
from .tables import pg, tensor

__all__ = ["find"]

_OTHER_NAMES: Final = {
    "absolute": "abs", "fabs": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh",
    "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh", "conjugate": "conj", "true_divide": "divide",
    "invert": "bitwise_invert", "bitwise_not": "bitwise_invert", "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift", "power": "pow", "float_power": "pow", "mod": "remainder", "rint": "round",
}  # fmt: skip
_NAMES: Final = """
add subtract multiply divide floor_divide remainder negative positive pow exp expm1 log log10 log1p log2 sqrt square
reciprocal sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh atan2 hypot sign copysign nextafter logaddexp
floor ceil trunc maximum minimum isfinite isinf isnan signbit equal not_equal less less_equal greater greater_equal
logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor matmul vecdot abs conj
bitwise_invert bitwise_left_shift bitwise_right_shift
"""
_SAME: Final = frozenset(_NAMES.split())


def find(name: str, method: str) -> Callable[..., Any] | None:
    """What takes the place of a ufunc, or of its method ``reduce``, ``accumulate``, ``outer`` or ``at``."""
    name = _OTHER_NAMES.get(name, name)
    if method == "__call__":
        if name in _OWN:
            return _OWN[name]
        if name in _SAME:
            return pg(name)  # type: ignore[no-any-return]
        return _special(name)
    if method == "reduce":
        return _REDUCE.get(name)
    if method == "accumulate":
        return _ACCUMULATE.get(name)
    whole = find(name, "__call__")
    if method == "outer" and whole is not None:
        return _outer(whole)
    if method == "at" and name in ("add", "subtract"):
        return _add_at if name == "add" else _subtract_at
    return None


def _special(name: str) -> Callable[..., Any] | None:
    found = getattr(pg("special"), name, None) if not name.startswith("_") else None
    return found if callable(found) and name in pg("special").__all__ else None


# -- ufuncs that NumPy has and the standard has not ------------------------------------------------------------


def _heaviside(x: Any, h0: Any) -> Any:
    x = tensor(x)
    step = searching.where(x > 0, 1.0, 0.0)
    return searching.where(logic.isnan(x), x, searching.where(x == 0, h0, step))


def _fmax(x1: Any, x2: Any) -> Any:
    x1, x2 = _both(x1, x2)
    return searching.where(logic.isnan(x1), x2, searching.where(logic.isnan(x2), x1, el.maximum(x1, x2)))


def _fmin(x1: Any, x2: Any) -> Any:
    x1, x2 = _both(x1, x2)
    return searching.where(logic.isnan(x1), x2, searching.where(logic.isnan(x2), x1, el.minimum(x1, x2)))


def _both(x1: Any, x2: Any) -> tuple[Any, Any]:
    device = x1._device if isinstance(x1, Cell) else x2._device
    return tensor(x1, device), tensor(x2, device)


def _fmod(x1: Any, x2: Any) -> Any:
    x1, x2 = _both(x1, x2)
    return x1 - el.trunc(x1.detach() / x2.detach()) * x2  # with the sign of the first; the steps have slope 0


def _cbrt(x: Any) -> Any:
    return pg("special").cbrt(x)


def _logaddexp2(x1: Any, x2: Any) -> Any:
    two = math.log(2.0)
    return el.logaddexp(el.multiply(x1, two), el.multiply(x2, two)) / two


def _divmod(x1: Any, x2: Any) -> Any:
    return el.floor_divide(x1, x2), el.remainder(x1, x2)


def _modf(x: Any) -> Any:
    whole = el.trunc(x)
    return x - whole, whole


def _matvec(x1: Any, x2: Any) -> Any:
    return linear_algebra.matmul(x1, tensor(x2)[..., None])[..., 0]


def _vecmat(x1: Any, x2: Any) -> Any:
    return linear_algebra.matmul(el.conj(tensor(x1))[..., None, :], x2)[..., 0, :]


_OWN: Final[dict[str, Callable[..., Any]]] = {
    "heaviside": _heaviside,
    "fmax": _fmax,
    "fmin": _fmin,
    "fmod": _fmod,
    "cbrt": _cbrt,
    "exp2": lambda x: el.pow(2.0, x),
    "logaddexp2": _logaddexp2,
    "divmod": _divmod,
    "modf": _modf,
    "matvec": _matvec,
    "vecmat": _vecmat,
    "round": lambda x: el.round(x),
    "deg2rad": lambda x: el.multiply(x, math.pi / 180.0),
    "radians": lambda x: el.multiply(x, math.pi / 180.0),
    "rad2deg": lambda x: el.multiply(x, 180.0 / math.pi),
    "degrees": lambda x: el.multiply(x, 180.0 / math.pi),
    "ldexp": lambda x1, x2: el.multiply(x1, el.pow(2.0, x2)),
}


# -- methods -----------------------------------------------------------------------------------------------


def _reduction(name: str, neutral: Any, combine: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    function = {"sum": statistical.sum, "prod": statistical.prod, "max": statistical.max, "min": statistical.min,
                "all": utility.all, "any": utility.any}[name]  # fmt: skip

    def reduce(a: Any, axis: Any = 0, dtype: Any = None, *, keepdims: bool = False, initial: Any = None,
               where: Any = True) -> Any:  # fmt: skip
        x = tensor(a)
        if where is not True:
            if neutral is None and initial is None:
                raise ValueError(f"{name}: where= needs initial=, what nothing gives")
            x = searching.where(where, x, initial if neutral is None else neutral)
        options = {"dtype": dtype} if dtype is not None else {}
        made = function(x, axis=axis, keepdims=keepdims, **options)
        return made if initial is None else combine(made, initial)

    return reduce


_REDUCE: Final[dict[str, Callable[..., Any]]] = {
    "add": _reduction("sum", 0, el.add),
    "multiply": _reduction("prod", 1, el.multiply),
    "maximum": _reduction("max", None, el.maximum),
    "minimum": _reduction("min", None, el.minimum),
    "logical_and": _reduction("all", True, logic.logical_and),
    "logical_or": _reduction("any", False, logic.logical_or),
}


def _accumulation(function: Callable[..., Any]) -> Callable[..., Any]:
    def accumulate(a: Any, axis: int = 0, dtype: Any = None) -> Any:
        return function(a, axis=axis, dtype=dtype)

    return accumulate


_ACCUMULATE: Final[dict[str, Callable[..., Any]]] = {
    "add": _accumulation(statistical.cumulative_sum),
    "multiply": _accumulation(statistical.cumulative_prod),
}


def _outer(function: Callable[..., Any]) -> Callable[..., Any]:
    def outer(a: Any, b: Any, **options: Any) -> Any:
        a, b = _both(a, b)
        return function(manipulation.reshape(a, a.shape + (1,) * b.ndim), b, **options)

    return outer


def _add_at(a: Any, indices: Any, b: Any) -> None:
    if not isinstance(a, Cell):
        raise TypeError("ufunc.at writes to its first argument, which must be a tensor where another argument is")
    x: Any = a
    values = manipulation.broadcast_to(tensor(b, x._device), x.detach()[indices].shape)
    indexing.setitem(x, ..., x + indexing.scatter_add(x.shape, x.dtype, [(indices, values)]))


def _subtract_at(a: Any, indices: Any, b: Any) -> None:
    _add_at(a, indices, el.negative(tensor(b, a._device)))
