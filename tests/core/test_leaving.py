"""Nothing leaves a graph in silence: each ordinary line of Python, NumPy and SciPy is right, or raises, or warns."""

from __future__ import annotations

import array
import cmath
import contextlib
import copy
import decimal
import fractions
import functools
import math
import operator
import pickle
import statistics
import struct
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import DetachError, DetachWarning, TraceError

X = np.asarray([1.5, 2.5])


def into(x: Any, index: Any = 0) -> Any:
    y = np.zeros(2)
    y[index] = x
    return pg.asarray(y)


def quad(x: Any) -> Any:
    integrate = pytest.importorskip("scipy.integrate")
    return integrate.quad(lambda t: x[0] * t, 0, 1)[0]


def odeint(x: Any) -> Any:
    integrate = pytest.importorskip("scipy.integrate")
    return integrate.odeint(lambda y, t: -x[0] * y, [1.0], [0.0, 1.0])[-1, 0]


def bracketed(name: str) -> Callable[[Any], Any]:
    """A root finder in C, which goes on after a conversion that failed, with -1, and puts an error of its own over ours."""

    def root(x: Any) -> Any:
        return getattr(pytest.importorskip("scipy.optimize"), name)(lambda t: t - x[0], -10, 10)

    return root


def minimize_scalar(x: Any) -> Any:
    optimize = pytest.importorskip("scipy.optimize")
    return optimize.minimize_scalar(lambda t: (t - x[0]) ** 2).x


# What takes the value of a tensor out of the graph.
LEAVING: dict[str, Callable[[Any], Any]] = {
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]),
    "complex": lambda x: complex(x[0]),
    "item": lambda x: x[0].item(),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "operator.float": lambda x: functools.reduce(operator.add, map(float, x)),
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "copy.copy": lambda x: copy.copy(x),
    "copy.deepcopy": lambda x: copy.deepcopy([x])[0],
    "Parameter": lambda x: pg.nn.Parameter(x),
    "load_state_dict": lambda x: pg.nn.Linear(2, 1).load_state_dict({"weight": x[None, :2], "bias": pg.zeros(1)}),
    "asarray, requires_grad": lambda x: pg.asarray(x * 2, requires_grad=True),
    "math.exp": lambda x: math.exp(x[0]),
    "math.sqrt": lambda x: math.sqrt(x[0]),
    "math.hypot": lambda x: math.hypot(x[0], x[1]),
    "math.fsum": lambda x: math.fsum(x),
    "math.pow": lambda x: math.pow(x[0], 2.0),
    "math.isclose": lambda x: math.isclose(x[0], 1.0) * x[0],
    "math.copysign": lambda x: math.copysign(x[0], -1.0),
    "cmath.exp": lambda x: cmath.exp(x[0]),
    "percent": lambda x: float(f"{float(x[0]):.17g}"),
    "pow of a float": lambda x: pow(float(x[0]), 2),
    "Decimal": lambda x: float(decimal.Decimal(float(x[0]))),
    "Fraction": lambda x: float(fractions.Fraction(float(x[0]))),
    "statistics.fmean": lambda x: statistics.fmean(x),
    "np.float64": lambda x: np.float64(x[0]),
    "np.float32": lambda x: np.float32(x[0]),
    "np.complex128": lambda x: np.complex128(x[0]),
    "np.asarray": lambda x: np.asarray(x),
    "np.array": lambda x: np.array(x),
    "np.array of tensors": lambda x: np.array([x[0], x[1]]),
    "np.asarray of nested tensors": lambda x: np.asarray([[x[0], 1.0], [x[1], 2.0]]),
    "np.ascontiguousarray": lambda x: np.ascontiguousarray(x),
    "np.fromiter": lambda x: np.fromiter((v * 2 for v in x), float),
    "np.frombuffer of bytes": lambda x: np.frombuffer(np.asarray(x).tobytes()),
    "np.from_dlpack": lambda x: np.from_dlpack(x),
    "item of an array": lambda x: into(x[0] ** 2),
    "slice of an array": lambda x: into(x, slice(None)),
    "mask of an array": lambda x: into(x, np.asarray([True, True])),
    "loop over items": lambda x: [into(v) for v in x],
    "array += tensor": lambda x: operator.iadd(np.zeros(2), x),
    "fill": lambda x: np.zeros(2).fill(x[0]),
    "itemset by flat": lambda x: operator.setitem(np.zeros(2).flat, 0, x[0]),
    "np.full": lambda x: np.full((2,), x[0]),
    "np.full_like": lambda x: np.full_like(np.zeros(2), x[0]),
    "np.put": lambda x: np.put(np.zeros(3), [0], x[0]),
    "np.place": lambda x: np.place(np.zeros(2), np.asarray([True, False]), x[0]),
    "np.putmask": lambda x: np.putmask(np.zeros(2), np.asarray([True, False]), x[0]),
    "np.copyto": lambda x: np.copyto(np.zeros(2), x),
    "np.fill_diagonal": lambda x: np.fill_diagonal(np.zeros((2, 2)), x[0]),
    "np.add.at": lambda x: np.add.at(np.zeros(3), [0], x[0]),
    "out=": lambda x: np.multiply(x, 2.0, out=np.zeros(2)),
    "np.vectorize": lambda x: np.vectorize(math.exp)(x),
    "np.frompyfunc": lambda x: np.frompyfunc(math.exp, 1, 1)(x),
    "np.poly1d": lambda x: np.poly1d([x[0], 1.0])(2.0),
    "np.histogram": lambda x: np.histogram(np.ones(2), weights=x),
    "np.random.normal": lambda x: np.random.default_rng(0).normal(x[0]),
    "quad": quad,
    "odeint": odeint,
    "brentq": bracketed("brentq"),
    "brenth": bracketed("brenth"),
    "ridder": bracketed("ridder"),
    "bisect": bracketed("bisect"),
    "minimize_scalar": minimize_scalar,
    "array.array": lambda x: array.array("d", x),
    "struct.pack": lambda x: struct.pack("d", x[0]),
    "range": lambda x: range(x[0]),
    "sum of floats": lambda x: sum(float(v) for v in x),
    "round of a float": lambda x: round(float(x[0]), 3),
    "max of floats": lambda x: max(map(float, x)),
    "sorted by float": lambda x: sorted(x, key=float)[0],
    "dict of floats": lambda x: {"a": float(x[0])}["a"],
    "time.sleep": lambda x: time.sleep(x[0] * 0),
    "bytes": lambda x: bytes(x),
    "list of a memoryview": lambda x: memoryview(x),
}

# What stays in the graph, or only looks.
STAYING: dict[str, Callable[[Any], Any]] = {
    "indexing": lambda x: x[0],
    "iteration": lambda x: sum(x),
    "unpacking": lambda x: operator.mul(*x),
    "abs": lambda x: abs(x[0]),
    "pow": lambda x: pow(x[0], 2),
    "power of a number": lambda x: 2.0 ** x[0],
    "divmod": lambda x: divmod(x[0], 0.4)[1],
    "sum": lambda x: np.sum(x),
    "max": lambda x: max(x),
    "sorted": lambda x: sorted(x)[0],
    "comparison": lambda x: x[0] if x[0] > 2 else x[1],
    "truth": lambda x: x[0] if x[0] else x[1],
    "format": lambda x: (f"{x[0]:.3f} {x}", x[0])[1],
    "print": lambda x: (str(x), repr(x), x[0])[2],
    "shape": lambda x: x[0] * len(x) * x.shape[0],
    "np.exp": lambda x: np.exp(x)[0],
    "np.dot": lambda x: np.dot(x, x),
    "np.stack": lambda x: np.stack([x[0], x[1]])[0],
    "np.where": lambda x: np.where(x > 2, x, 0.0)[1],
    "np.linalg.norm": lambda x: np.linalg.norm(x),
    "pg.asarray of a list": lambda x: pg.asarray([x[0], 1.0])[0],
    "pg.stack": lambda x: pg.stack([x[0], x[1]])[0],
    "pg.full": lambda x: pg.full((2,), x[0])[1],
    "pg.linspace": lambda x: pg.linspace(0.0, x[0], 3)[1],
    "math.prod": lambda x: math.prod(x),
    "functools.reduce": lambda x: functools.reduce(operator.mul, x),
    "map": lambda x: next(map(operator.neg, x)),
    "item of a list": lambda x: [x[0], x[1]][0] * 2,
    "detach": lambda x: x[0] * float(x[1].detach()),
    "stop_gradient": lambda x: x[0] * float(pg.stop_gradient(x[1])),
}


def total(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A scalar function that uses the result."""

    def loss(x: Any) -> Any:
        result = f(x)
        return x[0] * 0.0 if result is None else pg.sum(pg.asarray(result))

    return loss


TRANSFORMS: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
    "grad": lambda f: pg.grad(f)(X),
    "value_and_grad": lambda f: pg.value_and_grad(f)(X),
    "vjp": lambda f: pg.vjp(f, X),
    "jvp": lambda f: pg.jvp(f, (X,), (X,)),
    "linearize": lambda f: pg.linearize(f, X),
    "jacrev": lambda f: pg.jacrev(f)(X),
    "jacfwd": lambda f: pg.jacfwd(f)(X),
    "hessian": lambda f: pg.hessian(f)(X),
    "vmap": lambda f: pg.vmap(f)(np.stack([X, X + 1])),
    "grad of vmap": lambda f: pg.grad(lambda x: pg.sum(pg.vmap(f)(x)))(np.stack([X, X + 1])),
    "vmap of grad": lambda f: pg.vmap(pg.grad(f))(np.stack([X, X + 1])),
}

RAISED = (DetachError, TypeError)
"""Python itself refuses some conversions of objects that are no numbers, whatever they hold."""


def test_the_table_is_long() -> None:
    assert len(LEAVING) >= 60


@pytest.mark.parametrize("name", LEAVING)
def test_nothing_leaves_a_function_that_is_differentiated(name: str) -> None:
    with pytest.raises(RAISED):
        pg.grad(total(LEAVING[name]))(X)


def test_an_error_of_the_function_stays_its_own() -> None:
    def f(x: Any) -> Any:
        with contextlib.suppress(DetachError):
            float(x[0])
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        pg.grad(f)(X)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["float", "item", "tolist", "numpy", "math.exp", "np.float64", "item of an array"])
def test_each_transform_raises(name: str, transform: str) -> None:
    with pytest.raises(DetachError):
        TRANSFORMS[transform](total(LEAVING[name]))


@pytest.mark.parametrize("name", STAYING)
def test_what_stays_is_right(name: str) -> None:
    f = STAYING[name]
    exact = pg.grad(lambda x: pg.sum(pg.asarray(f(x))))(X)
    h = 1e-6
    if name in ("detach", "stop_gradient"):
        assert exact.tolist() == [X[1], 0.0]
        return
    for i in range(2):
        step = h * np.eye(2)[i]
        up, down = (f(pg.asarray(X + s)) for s in (step, -step))
        assert exact[i] == pytest.approx(float((up - down) / (2 * h)), abs=1e-8)


def test_the_message_names_the_line_and_what_to_write() -> None:
    with pytest.raises(DetachError, match=rf"{__file__}:\d+ .*pg\.exp.*detach"):
        pg.grad(lambda x: math.exp(x))(1.0)


def test_an_outer_graph_does_not_mind() -> None:
    """Only what the running transform differentiates is protected: an inner loop of its own may look at its loss."""
    w = pg.asarray(1.0, requires_grad=True)

    def outer(x: Any) -> Any:
        inner = pg.asarray(3.0, requires_grad=True)
        loss = inner * inner
        loss.backward()
        assert loss.item() == 9.0
        assert w.item() == 1.0
        return x * inner.grad.item()  # type: ignore[union-attr]

    assert pg.grad(outer)(2.0) == 6.0


def test_an_inner_function_may_not_read_the_outer_ones_variable() -> None:
    with pytest.raises(DetachError):
        pg.grad(lambda a: pg.grad(lambda b: b * float(a))(2.0) * a)(3.0)


@pytest.mark.parametrize("convert", [float, complex, lambda t: operator.setitem(np.zeros(1), 0, t), math.exp])
def test_outside_of_transforms_a_conversion_warns_once_a_line(convert: Callable[[Any], Any]) -> None:
    w = pg.asarray(2.0, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            convert(w)
    assert [c.category for c in caught] == [DetachWarning]
    if convert not in (float, complex, math.exp):
        assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "look", [lambda t: t.item(), lambda t: t.tolist(), int, bool, lambda t: t > 1, lambda t: f"{t:.2f} {t}", repr, hash]
)
def test_outside_of_transforms_looking_is_free(look: Callable[[Any], Any]) -> None:
    look(pg.asarray(2.0, requires_grad=True))
    look(pg.asarray(2.0))
    float(pg.asarray(2.0))


def test_traced_values_are_refused_as_ever() -> None:
    with pytest.raises(TraceError):
        pg.compile(pg.grad(lambda x: math.exp(x)))(1.0)
