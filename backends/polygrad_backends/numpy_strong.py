"""NumPy's kernels of strong zeros: a product is computed, looked at, and mended only if a nan is in it.

Each has a twin that writes into a place, for static graphs: the same steps, so the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from polygrad.graph import Instruction, Value

__all__ = ["PLAIN_OF", "carries_nan", "has_nan", "placed_kernels", "strong_kernels"]

PLAIN_OF: Final = {"strong_multiply": "multiply", "strong_product": "multiply", "strong_divide": "divide"}
"""The function that gives the same where no nan comes of it."""

_ARITHMETIC: Final = frozenset("add subtract multiply divide negative abs sqrt square sum mean divide_linear".split())


def has_nan(x: Any) -> bool:
    """Whether a nan is in an array of real numbers."""
    if not x.size:
        return False
    least = x.item(x.argmin())  # the quickest way to a nan, which counts as least
    return bool(least != least)


def carries_nan(instructions: Iterable[Instruction]) -> set[Value] | None:
    """The values that would be nan if a product in these instructions were; None if one of them might hide it.

    A nan that ``where`` does not take has no part in the result, whatever it stands for.
    """
    tainted: set[Value] = set()
    for i in instructions:
        from_them = [a for a in i.args if a.__class__ is Value and a in tainted]
        if i.op in PLAIN_OF or i.op in _ARITHMETIC:
            hidden = False
        elif i.op in ("where", "relu_linear", "tanh_vjp"):
            chosen = i.args[1:] if i.op == "where" else i.args[:1]
            hidden = any(not any(a is b for b in chosen) for a in from_them)
        else:
            hidden = bool(from_them)
        if hidden:
            return None
        if from_them or i.op in PLAIN_OF:
            tainted.update(i.outputs)
    return tainted


def strong_kernels(np: Any) -> dict[str, Callable[..., Any]]:
    """The kernels, by name."""
    multiply, divide, isnan, array = np.multiply, np.true_divide, np.isnan, np.ndarray

    def mended(result: Any, zero: Callable[[], Any]) -> Any:
        """``result``, and 0 where it is nan and ``zero()`` holds."""
        if result.__class__ is not array or result.dtype.kind == "c" or result.size == 0:
            if not isnan(result).any():
                return result
        else:
            least = result.item(result.argmin())  # the quickest way to a nan, which counts as least
            if least == least:
                return result
        return np.where(isnan(result) & zero(), result.dtype.type(0), result)

    def divide_linear(g: Any, out: Any, x: Any) -> Any:
        result = multiply(g, out)
        if result.__class__ is array:
            divide(result, x, result)
            np.negative(result, result)
        else:
            result = -divide(result, x)
        return mended(result, lambda: np.equal(g, 0))

    return {
        "divide_linear": divide_linear,
        "strong_multiply": lambda g, slope: mended(multiply(g, slope), lambda: np.equal(g, 0)),
        "strong_product": lambda a, b: mended(multiply(a, b), lambda: np.equal(a, 0) | np.equal(b, 0)),
        "strong_divide": lambda g, x: mended(divide(g, x), lambda: np.equal(g, 0)),
    }


def placed_kernels(np: Any) -> dict[str, Callable[..., None]]:
    """Kernels that write into their last argument, by name."""
    multiply, divide, subtract, negative, exp = np.multiply, np.true_divide, np.subtract, np.negative, np.exp
    isnan, equal, flatnonzero, copyto = np.isnan, np.equal, np.flatnonzero, np.copyto
    one = {d: np.ones((), d) for d in (np.dtype("float32"), np.dtype("float64"))}

    def mend(place: Any, *factors: Any) -> None:
        if place.dtype.kind == "c" or place.size == 0:
            if not isnan(place).any():
                return
        else:
            least = place.item(place.argmin())
            if least == least:
                return
        for factor in factors:
            copyto(place, 0, where=isnan(place) & equal(factor, 0))

    def strong_multiply(g: Any, slope: Any, place: Any) -> None:
        multiply(g, slope, place)
        mend(place, g)

    def strong_product(a: Any, b: Any, place: Any) -> None:
        multiply(a, b, place)
        mend(place, a, b)

    def strong_divide(g: Any, x: Any, place: Any) -> None:
        divide(g, x, place)
        mend(place, g)

    def divide_linear(g: Any, out: Any, x: Any, place: Any) -> None:
        multiply(g, out, place)
        divide(place, x, place)
        negative(place, place)
        mend(place, g)

    def tanh_vjp(g: Any, out: Any, x: Any, place: Any) -> None:
        multiply(out, out, place)
        subtract(one.get(place.dtype, 1), place, place)
        least = place.item(place.argmin()) if place.size else 1.0  # nan counts as least
        if not least > 1e-3:  # digits are lost there, and only there
            tail = flatnonzero(place <= 1e-3)
            e = exp(-abs(x.take(tail)))
            sech = 2 * e / (1 + e * e)
            place.put(tail, sech * sech)
        if least != least:
            copyto(place, 0, where=isnan(place) & equal(g, 0))
        multiply(place, g, place)

    return {
        "divide_linear": divide_linear,
        "strong_divide": strong_divide,
        "strong_multiply": strong_multiply,
        "strong_product": strong_product,
        "tanh_vjp": tanh_vjp,
    }
