"""Machine code: its elementary functions against extended precision, its loops and products against NumPy's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, product
from typing import Any

import numpy as np
import pytest
from polygrad_backends.native import engine, panels
from polygrad_backends.native.plan import compile_native

import polygrad as pg
from polygrad.graph import Graph, Instruction, Value

pytestmark = [
    pytest.mark.devices("numpy"),
    pytest.mark.skipif(engine.reason() is not None, reason=str(engine.reason())),
]

SCALES = (1e-30, 1e-8, 1e-3, 0.1, 0.6, 1, 3, 10, 50, 300, 2e3, 1e5, 1e12)
SPECIAL = (
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-42,
    -1e-42,
    88.7,
    88.8,
    -87.5,
    -103.9,
    -104.1,
    709.7,
    709.8,
    -745.0,
    0.625,
    -1.0,
)
REFERENCES = {
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
    "sigmoid": lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-abs(x))),
    "sigmoid_slope": lambda x: np.exp(-abs(x)) / (1 + np.exp(-abs(x))) ** 2,
    "logaddexp": lambda x: np.logaddexp(x, x[::-1]),
}  # fmt: skip


def native(f: Any) -> Any:
    return pg.compile(f, executor="native")


def alone(name: str, x: Any) -> Any:
    """What one instruction makes of an array (and, if it takes two, of the array backwards)."""
    given = (x, np.ascontiguousarray(x[::-1]))[: 2 if name == "logaddexp" else 1]
    values = [Value(i, x.shape, pg.asarray(x).dtype) for i in range(len(given) + 1)]
    made = Instruction(name, tuple(values[:-1]), (), (values[-1],))
    graph = Graph(tuple(values[:-1]), {}, (made,), (values[-1],), "cpu")
    (found,) = compile_native(np, graph, pg.Device("cpu"))(*given)
    return found


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no extended precision here")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", REFERENCES)
def test_elementary_functions(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal(3001) * scale for scale in SCALES]).astype(dtype)
    found = alone(name, x)
    with np.errstate(all="ignore"):
        exact = REFERENCES[name](x.astype(np.longdouble))
        rounded = exact.astype(dtype)
    unit = np.maximum(np.spacing(np.abs(rounded)), np.finfo(dtype).smallest_subnormal)
    if name == "logaddexp":  # where it is near 0, two large parts have cancelled
        larger = np.maximum(x, x[::-1])
        with np.errstate(invalid="ignore"):
            unit = np.maximum(unit, np.spacing(np.maximum(abs(larger), abs(exact - larger).astype(dtype))))
    normal = np.isfinite(rounded) & (np.abs(rounded) >= np.finfo(dtype).tiny)
    error = np.abs(found[normal].astype(np.longdouble) - exact[normal]) / unit[normal]
    worst = error.argmax()
    assert error[worst] <= (4 if name in ("sigmoid_slope", "logaddexp") else 2.5), (
        float(error[worst]),
        x[normal][worst],
    )
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
    np.testing.assert_array_equal(found[np.isinf(rounded)], rounded[np.isinf(rounded)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", REFERENCES)
def test_special_values(name: str, dtype: str) -> None:
    x = np.asarray(SPECIAL, dtype)
    found = alone(name, x)
    with np.errstate(all="ignore"):
        expected = REFERENCES[name](x.astype(np.longdouble) if "sigmoid" in name else x).astype(dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps, atol=2 * tiny)
    np.testing.assert_array_equal(np.signbit(found[x == 0]), np.signbit(expected[x == 0]))


EXACT: dict[str, Any] = {
    "arithmetic": lambda x, y: (x + y * 2 - 0.1) / (y * y + 1),
    "roots": lambda x, y: pg.sqrt(abs(x)) + pg.reciprocal(y) - pg.square(x),
    "whole": lambda x, y: pg.floor(x) + pg.ceil(y) * pg.trunc(x * 3) - pg.round(y * 2.5),
    "extremes": lambda x, y: pg.maximum(x, y) - pg.minimum(x, 0.3) + pg.sign(y),
    "choices": lambda x, y: pg.where(pg.logical_and(x > y, pg.logical_not(y <= 0)), x, pg.where(x == y, 1.0, y)),
    "truths": lambda x, y: pg.logical_or(pg.logical_xor(x >= y, y < 0.1), x != x),
    "rectifier": lambda x, y: pg.nn.functional.relu(x) * y,
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXACT)
def test_arithmetic_is_exact_in_any_shape(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    shapes = [((n,), (n,)) for n in (1, 2, 3, 5, 8, 15, 16, 17, 33, 4096, 4097, 12301)]
    shapes += [((), (3,)), ((), ()), ((4, 5), (5,)), ((4, 5), (4, 1)), ((3, 1, 7), (2, 7))]  # type: ignore[list-item]
    shapes += [((2, 3, 4, 5), (3, 1, 5)), ((70, 1), (1, 70))]  # type: ignore[list-item]
    for a, b in shapes:
        x, y = (np.asarray(rng.standard_normal(s), dtype) for s in (a, b))
        if x.size > 8:
            x.flat[:3] = np.nan, np.inf, -0.0
        with np.errstate(invalid="ignore"):
            found, expected = (f(pg.asarray(x), pg.asarray(y)) for f in (native(EXACT[name]), EXACT[name]))
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), strict=True)


# -- sums ----------------------------------------------------------------------------------------------------------

REDUCED: dict[str, Any] = {
    "sum": lambda x: pg.sum(x), "mean": lambda x: pg.mean(x),
    "sum of rows": lambda x: pg.sum(x, axis=-1), "mean of rows": lambda x: pg.mean(x, axis=-1, keepdims=True),
    "largest": lambda x: pg.max(x, axis=-1), "smallest": lambda x: pg.min(x, axis=-1, keepdims=True),
    "sum of columns": lambda x: pg.sum(x, axis=0), "the first two": lambda x: pg.sum(x, axis=(0, 1)),
    "the last two": lambda x: pg.sum(x, axis=(1, 2)), "the middle": lambda x: pg.sum(x, axis=1),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", REDUCED)
def test_reductions(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    for shape in ((3, 4, 5), (1, 1, 1), (2, 1, 9), (5, 7, 1), (1, 8, 16), (3, 2, 33), (40, 30, 20)):
        x = np.asarray(rng.standard_normal(shape), dtype)
        found = native(lambda x: REDUCED[name](x * x - 1))(pg.asarray(x)).numpy()
        expected = REDUCED[name](pg.asarray(x.astype(np.longdouble).astype(float) ** 2 - 1)).numpy()
        assert found.dtype == dtype
        assert found.shape == expected.shape
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("how", ["sum", "max", "min"])
def test_reductions_of_nan_and_infinity(how: str) -> None:
    f = native(lambda x: getattr(pg, how)(x * 1.0, axis=-1))
    x = np.ones((6, 19))
    x[0, 3], x[1, 18], x[2, 0], x[3, 5], x[3, 6] = np.nan, np.inf, -np.inf, np.inf, -np.inf
    x[4, 16:], x[5, :] = np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(f(pg.asarray(x)).numpy(), getattr(np, how)(x, axis=-1))


def test_sums_are_as_exact_as_pairwise_ones() -> None:
    x = np.random.default_rng(0).uniform(0, 1, 3_000_001)
    exact = np.sum(x.astype(np.longdouble))
    assert abs(native(lambda x: pg.sum(x * 1.0))(pg.asarray(x)).item() - exact) <= 4e-16 * exact
    x32 = x.astype(np.float32)
    found = native(lambda x: pg.sum(x * 1.0))(pg.asarray(x32)).item()
    assert abs(found - np.sum(x32.astype(float))) <= 2e-7 * exact


# -- products ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("turned", list(product((False, True), repeat=2)))
def test_products_of_small_matrices(turned: tuple[bool, bool], dtype: str) -> None:
    rng = np.random.default_rng(0)
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    for m, k, n in product((1, 3, 8), (1, 5, 19), (1, 2, 16, 37)):
        a = rng.standard_normal((k, m) if turned[0] else (m, k)).astype(dtype)
        b = rng.standard_normal((n, k) if turned[1] else (k, n)).astype(dtype)
        f = native(lambda a, b: (a.T if turned[0] else a) @ (b.T if turned[1] else b))
        found = f(pg.asarray(a), pg.asarray(b)).numpy()
        expected = (a.T if turned[0] else a) @ (b.T if turned[1] else b)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.fixture
def with_panels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Products in panels, on any processor."""
    monkeypatch.setattr(panels, "has_avx2_only", lambda: True)
    panels.paneled.cache_clear()
    yield
    panels.paneled.cache_clear()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("turned", list(product((False, True), repeat=2)))
@pytest.mark.usefixtures("with_panels")
def test_products_in_panels(turned: tuple[bool, bool], dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    width = engine.width_of("float" if dtype == "float32" else "double")
    # Every rest of rows after the sixes, of k after the fours and after the transposed squares.
    sizes = [*zip(range(96, 102), (93, 94, 95, 96, 97, 98)), (6, 160), (7, 160), (9, 160), (11, 159), (250, 27)]
    for (m, k), n in zip(sizes, cycle((4 * width, 16 * width))):
        a = rng.standard_normal((k, m) if turned[0] else (m, k)).astype(dtype)
        b = rng.standard_normal((n, k) if turned[1] else (k, n)).astype(dtype)
        a[0, 0], b[-1, -1] = np.inf, np.nan
        found = []
        for threads in ("1", "2", "5"):
            monkeypatch.setenv("POLYGRAD_NUM_THREADS", threads)
            f = native(lambda a, b: pg.exp(-abs((a.T if turned[0] else a) @ (b.T if turned[1] else b))))
            found.append(f(pg.asarray(a), pg.asarray(b)).numpy())
            assert "NumPy: " not in f.explain()
        with np.errstate(all="ignore"):
            expected = np.exp(-abs((a.T if turned[0] else a) @ (b.T if turned[1] else b)))
        tolerance = 1e-12 if dtype == "float64" else 1e-4
        np.testing.assert_allclose(found[0], expected, rtol=tolerance, atol=tolerance)
        assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


@pytest.mark.usefixtures("with_panels")
def test_products_that_are_better_left_to_blas() -> None:
    width = engine.width_of("double")
    for m, k, n in ((5, 1 << 9, 16 * width), (64, 64, 16 * width + 1), (64, 1 << 12, width), (1 << 13, 64, width)):
        assert panels.paneled("double", m, k, n, (k, 1), (n, 1)) is None
    assert panels.paneled("double", 256, 32, 64, (1, 256), (64, 1)) is None  # numbers far apart
    assert panels.paneled("double", 64, 64, 64, (64, 1), (128, 2)) is None  # neither rows nor columns in order
    assert panels.paneled("double", 64, 64, 64, (64, 1), (64, 1)) is not None


def test_products_with_vectors() -> None:
    rng = np.random.default_rng(0)
    for m, n in product((1, 2, 8, 33), repeat=2):
        a, x, y = (rng.standard_normal(s) for s in ((m, n), (n,), (m,)))
        f = native(lambda a, x, y: (a @ x, y @ a, a.T @ y, x @ a.T))
        for found, expected in zip(f(*map(pg.asarray, (a, x, y))), (a @ x, y @ a, a.T @ y, x @ a.T), strict=True):
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)
