"""What a library raises reaches the user as it is, whatever stands beside the tensor."""

from __future__ import annotations

import operator
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "eq")
}
BESIDE: dict[str, Any] = {
    "int": 2, "float": 0.5, "bool": True, "0-d": np.array(2.0), "scalar": np.float64(2.0), "array": np.ones(2),
}  # fmt: skip


class Fault(Exception):
    """Nothing that polygrad knows of."""


@pytest.mark.parametrize("error", [Fault, MemoryError, FloatingPointError, KeyboardInterrupt])
@pytest.mark.parametrize("reflected", [False, True], ids=["x op y", "y op x"])
@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str, beside: str, reflected: bool, error: type[BaseException]) -> None:
    class Failing(np.ndarray):
        def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
            raise error("the library's own")

        def __array_function__(self, *args: Any, **kwargs: Any) -> Any:
            raise error("the library's own")

    x: Any = pg.asarray(np.ones(2))
    x._value = np.ones(2).view(Failing)
    y = BESIDE[beside]
    if reflected and isinstance(y, (np.ndarray, np.generic)):
        y = pg.asarray(y)
    with pytest.raises(error, match="the library's own") as caught:
        OPERATORS[name](y, x) if reflected else OPERATORS[name](x, y)
    assert caught.value.__cause__ is not caught.value  # which would be a cycle that keeps all arrays alive


@pytest.mark.parametrize(
    "f", [lambda x: 1 / x, lambda x: x / 0.0, lambda x: 0 / x, lambda x: x % 0.0, lambda x: 1e300 * x]
)
def test_numpys_floating_point_errors(f: Callable[[Any], Any]) -> None:
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        f(pg.asarray([0.0, 1e300]))


def test_numbers_out_of_range() -> None:
    with pytest.raises(OverflowError):
        _ = pg.asarray([1, 2]) + 2**70
    with pytest.raises(OverflowError):
        _ = 300 + pg.asarray([1, 2], dtype="uint8")


def test_memory_errors() -> None:
    big = pg.broadcast_to(pg.asarray(np.zeros(1)), (1 << 45,))
    for f in (lambda: 1 + big, lambda: big * 2.0, lambda: big + big, lambda: pg.exp(big)):
        with pytest.raises(MemoryError):
            f()


def test_shapes_that_do_not_fit_are_explained_and_the_librarys_error_is_the_cause() -> None:
    with pytest.raises(pg.errors.ShapeError, match=r"shapes \(3,\) and \(2,\)") as caught:
        _ = pg.ones(3) + pg.ones(2)
    assert isinstance(caught.value.__cause__, ValueError)
    assert "operands could not be broadcast" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("value", [None, "text", object(), {}, [None], [1, "a"]])
def test_what_is_no_number(value: Any) -> None:
    x = pg.asarray([1.0, 2.0])
    for f in (pg.add, pg.maximum, pg.pow, pg.atan2):
        with pytest.raises(pg.errors.DTypeError, match="cannot make an array"):
            f(x, value)
        with pytest.raises(pg.errors.DTypeError, match="cannot make an array"):
            f(value, x)
    for operate in OPERATORS.values():
        if operate is not operator.eq:
            with pytest.raises(TypeError):
                operate(x, value)
