"""NumPy's kernels that multiply cotangents by slopes with strong zeros: a product is computed first, and mended only if a
nan is in it.

Each takes a place to write into as its last argument, for static graphs; without one it makes an array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from polygrad.graph import PLAIN_OF, Instruction, Value

__all__ = ["carries_nan", "has_nan", "strong_kernels"]

_ARITHMETIC: Final = frozenset("add subtract multiply divide negative abs sqrt square sum mean divide_linear".split())


def has_nan(x: Any) -> bool:
    """Whether a nan is in an array of floating or complex numbers."""
    if x.size == 0:
        return False
    if x.dtype.kind == "c":
        return bool((x != x).any())
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
            passing = from_them
        elif i.op == "where":
            passing = list(i.args[1:])
        elif i.op in ("relu_linear", "tanh_vjp"):
            passing = list(i.args[:1])
        else:
            passing = []
        if any(a not in passing for a in from_them):
            return None
        if from_them or i.op in PLAIN_OF:
            tainted.update(i.outputs)
    return tainted


def strong_kernels(np: Any, generic_slope: Callable[[Any, Any], Any]) -> dict[str, Callable[..., Any]]:
    """The kernels, by name.

    Args:
        np: NumPy.
        generic_slope: the slope of tanh, of complex numbers too.
    """
    multiply, divide, subtract, array = np.multiply, np.true_divide, np.subtract, np.ndarray
    one = {d: np.ones((), d) for d in (np.dtype("float32"), np.dtype("float64"))}  # quicker than a Python number

    def mended(result: Any, *factors: Any) -> Any:
        """``result``, and 0 where it is nan and one of the factors is 0."""
        if not has_nan(result):
            return result
        zero = np.isnan(result) & np.logical_or.reduce([np.broadcast_to(np.equal(f, 0), result.shape) for f in factors])
        if result.__class__ is not array:  # one of NumPy's scalars
            return result.dtype.type(0) if zero else result
        np.copyto(result, 0, where=zero)
        return result

    def divide_linear(g: Any, out: Any, x: Any, place: Any = None) -> Any:
        result = multiply(g, out, place)
        into = result if result.__class__ is array else None
        return mended(np.negative(divide(result, x, into), into), g)

    def tanh_tails(slope: Any, x: Any) -> Any:
        """The slope with its tails, where 1 - tanh^2 loses digits, by the exact form: there only it is worth its price."""
        tail = np.flatnonzero(slope <= 1e-3)
        e = np.exp(-np.abs(x.take(tail)))
        sech = 2 * e / (1 + e * e)
        slope.put(tail, sech * sech)
        return slope

    def tanh_slope(out: Any, x: Any) -> Any:
        if out.dtype.kind == "c":
            return generic_slope(out, x)
        slope = np.asarray(multiply(out, out))
        if slope.size == 0:
            return slope
        subtract(one.get(slope.dtype, 1), slope, slope)
        return slope if slope.item(slope.argmin()) > 1e-3 else tanh_tails(slope, x)

    def tanh_vjp(g: Any, out: Any, x: Any, place: Any = None) -> Any:
        alike = place is not None or (g.shape == out.shape != () and g.dtype is out.dtype)
        if not alike or out.size == 0:
            return mended(multiply(tanh_slope(out, x), g), g)
        slope = multiply(out, out, place)
        subtract(one.get(slope.dtype, 1), slope, slope)
        least = slope.item(slope.argmin())  # nan counts as least
        if not least > 1e-3:
            tanh_tails(slope, x)
            if least != least:
                mended(slope, g)
        return multiply(slope, g, slope)

    return {
        "divide_linear": divide_linear,
        "strong_divide": lambda g, x, place=None: mended(divide(g, x, place), g),
        "strong_multiply": lambda g, slope, place=None: mended(multiply(g, slope, place), g),
        "strong_product": lambda a, b, place=None: mended(multiply(a, b, place), a, b),
        "tanh_slope": tanh_slope,
        "tanh_vjp": tanh_vjp,
    }
