"""Derivatives from 1e-300 to 1e300, of both signs, against exact values: none worse than 1e-12 relative.

First derivatives in both modes and second derivatives; NumPy's and array-api-strict's functions stand below.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from accuracy import (
    BINARY,
    LARGEST,
    MAGNITUDES,
    MIDDLE,
    NEAR_ONE,
    POINTS,
    SMALLEST,
    TOLERANCE,
    UNARY,
    WRITTEN,
    mp,
    normal,
    pairs,
    worst,
)

import polygrad as pg
from polygrad.array_api import _CHAPTERS
from polygrad.ops import elementwise

pytestmark = pytest.mark.devices("numpy", "strict")


@pytest.fixture(autouse=True)
def _values_may_overflow() -> Iterator[None]:
    """NumPy warns of values out of range; those points do not count."""
    with np.errstate(all="ignore"):
        yield


def host(x: Any) -> Any:
    return np.asarray(x.detach().to_device("cpu").numpy())


def exact(functions: Any, points: Any) -> Any:
    """Each function at each point; None where it has no value."""
    return [[f(*[mp.mpf(float(v)) for v in p]) for p in points] for f in functions]


@functools.cache
def unary_reference(name: str) -> tuple[Any, ...]:
    case = UNARY[name]
    x = POINTS[(case.low < POINTS) & (case.high > POINTS)]
    value, slope, second = exact((case.value, case.slope, case.second), x[:, None])
    counts = [normal(v) for v in value]
    return x, slope, second, counts, [c and normal(s) for c, s in zip(counts, slope, strict=True)]


def check(what: str, points: Any, found: Any, wanted: Any, counts: Any) -> None:
    error, at, used = worst(found, wanted, counts)
    assert used
    assert error <= TOLERANCE, f"{what} is off by {error:.1e} at {points[at]}: {np.ravel(found)[at]}"


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_number(name: str, device: pg.Device) -> None:
    points, slope, second, counts, both = unary_reference(name)
    f = WRITTEN.get(name) or functools.reduce(getattr, name.split("."), pg)
    x = pg.asarray(points, device=device)
    one = pg.ones_like(x)
    check("vjp", points, host(pg.vjp(f, x)[1](one)[0]), slope, counts)
    check("jvp", points, host(pg.jvp(f, (x,), (one,))[1]), slope, counts)
    twice = pg.vjp(lambda x: pg.vjp(f, x)[1](one)[0], x)[1](one)[0]
    check("second derivative by vjp of vjp", points, host(twice), second, both)
    twice = pg.jvp(lambda x: pg.vjp(f, x)[1](one)[0], (x,), (one,))[1]
    check("second derivative by jvp of vjp", points, host(twice), second, both)


@functools.cache
def binary_reference(name: str) -> tuple[Any, ...]:
    case = BINARY[name]
    points = pairs(name)
    value, *slopes = exact((case.value, *case.slopes), points)
    counts = [normal(v) for v in value]
    both = [all(c) for c in zip(counts, *[[normal(s) for s in each] for each in slopes], strict=True)]
    return np.array(points), slopes, exact(case.seconds or (), points), counts, both


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_numbers(name: str, device: pg.Device) -> None:
    points, slopes, seconds, counts, both = binary_reference(name)
    f = getattr(pg, name)
    x, y = (pg.asarray(points[:, i], device=device) for i in (0, 1))
    one = pg.ones_like(x)
    for i, (found, wanted) in enumerate(zip(pg.vjp(f, x, y)[1](one), slopes, strict=True)):
        check(f"vjp of argument {i}", points, host(found), wanted, counts)
    alone = (lambda x: f(x, y), lambda y: f(x, y))
    for i, (g, at, wanted) in enumerate(zip(alone, (x, y), slopes, strict=True)):
        check(f"jvp of argument {i}", points, host(pg.jvp(g, (at,), (one,))[1]), wanted, counts)
    if seconds:
        for i in (0, 1):
            found = pg.vjp(lambda x, y, i=i: pg.vjp(f, x, y)[1](one)[i], x, y)[1](one)
            for j in (0, 1):
                check(f"second derivative {i}{j}", points, host(found[j]), seconds[i + j], both)


def test_every_elementwise_function_is_asked() -> None:
    """``imag`` takes no real numbers, and ``clip`` only copies: its slopes are 0 and 1."""
    asked = {*UNARY, *BINARY, "imag", "clip"}
    assert set(_CHAPTERS[elementwise].split()) <= asked


# -- complex numbers -----------------------------------------------------------------------------------


def _sech_squared(z: Any) -> Any:
    e = mp.exp(z if z.real < 0 else -z)
    return (2 * e / (1 + e * e)) ** 2


COMPLEX = {
    "acos": (mp.acos, lambda z: -1 / (mp.sqrt(1 - z) * mp.sqrt(1 + z))),
    "acosh": (mp.acosh, lambda z: 1 / (mp.sqrt(z - 1) * mp.sqrt(z + 1))),
    "asin": (mp.asin, lambda z: 1 / (mp.sqrt(1 - z) * mp.sqrt(1 + z))),
    "asinh": (mp.asinh, lambda z: 1 / (mp.sqrt(1 - 1j * z) * mp.sqrt(1 + 1j * z))),
    "atan": (mp.atan, lambda z: 1 / ((1 - 1j * z) * (1 + 1j * z))),
    "atanh": (mp.atanh, lambda z: 1 / ((1 - z) * (1 + z))),
    "cos": (mp.cos, lambda z: -mp.sin(z)),
    "cosh": (mp.cosh, mp.sinh),
    "exp": (mp.exp, mp.exp),
    "expm1": (mp.expm1, mp.exp),
    "log": (mp.log, lambda z: 1 / z),
    "log10": (mp.log10, lambda z: 1 / (z * mp.log(10))),
    "log1p": (lambda z: mp.log(1 + z), lambda z: 1 / (1 + z)),
    "log2": (mp.log, lambda z: 1 / (z * mp.log(2))),
    "reciprocal": (lambda z: 1 / z, lambda z: -1 / z**2),
    "sin": (mp.sin, mp.cos),
    "sinh": (mp.sinh, mp.cosh),
    "sqrt": (mp.sqrt, lambda z: 1 / (2 * mp.sqrt(z))),
    "square": (lambda z: z * z, lambda z: 2 * z),
    "tan": (mp.tan, lambda z: _sech_squared(1j * z)),
    "tanh": (mp.tanh, _sech_squared),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", COMPLEX)
def test_complex_functions(name: str, device: pg.Device) -> None:
    """vjp(v) = v conj(f'(z)), in the tails too; here relative to the magnitude."""
    rng = np.random.default_rng(0)
    sizes = np.array([1e-200, 1e-20, 1e-3, 0.3, 1.4, 30.0, 300.0, 1e8, 1e150]) * rng.uniform(0.9, 1.1, 9)
    z = np.array([complex(a * s, b * t) for a in sizes for b in sizes for s in (1, -1) for t in (1, -1)])
    value, slope = ([f(mp.mpc(v)) for v in z] for f in COMPLEX[name])
    f, x = getattr(pg, name), pg.asarray(z, device=device)
    v = pg.asarray(rng.normal(size=z.shape) + 1j * rng.normal(size=z.shape), device=device)
    pulled, pushed = host(pg.vjp(f, x)[1](v)[0]), host(pg.jvp(f, (x,), (v,))[1])
    used = 0
    for w, a, b, y, s in zip(host(v), pulled, pushed, value, slope, strict=True):
        if SMALLEST <= abs(y) <= LARGEST / 4 and SMALLEST <= abs(s) <= LARGEST / 4:
            used += 1
            assert abs(mp.mpc(complex(a)) - mp.mpc(w) * mp.conj(s)) <= TOLERANCE * abs(mp.mpc(w) * s)
            assert abs(mp.mpc(complex(b)) - mp.mpc(w) * s) <= TOLERANCE * abs(mp.mpc(w) * s)
    assert used > 60


# -- log-sum-exp and softmax -----------------------------------------------------------------------------

ROWS = np.array(
    [
        [0.3, -1.2, 2.5, 0.1],
        [40.0, 0.0, 1.0, -3.0],  # one has all the weight but 1e-17
        [700.0, 0.0, -1.0, 20.0],
        [1e8, 1e8 + 1.5, 1e8 - 2.25, 1e8 + 0.125],  # the sum's rounding is 1e-8
        [-1e8, -1e8 + 1.5, -1e8 - 20.25, -1e8 + 0.125],
        [1e300, 1e300, 1e300, -1e300],
        [1e-300, -1e-300, 1e-200, 0.0],
        [5.0, 5.0, 5.0, 5.0],
        [5.0, 5.0, -30.0, -700.0],
    ]
)


def _weights(row: Any) -> Any:
    terms = [mp.exp(mp.mpf(v) - mp.mpf(max(row))) for v in row]
    return [t / mp.fsum(terms) for t in terms]


def _rest(weights: Any, i: int) -> Any:
    return mp.fsum(w for k, w in enumerate(weights) if k != i)  # 1 - w_i, which cancels


def _softmax_jacobian(row: Any) -> Any:
    w = _weights(row)
    return [[w[i] * _rest(w, i) if i == k else -w[i] * w[k] for k in range(len(w))] for i in range(len(w))]


def _log_softmax_jacobian(row: Any) -> Any:
    w = _weights(row)
    return [[_rest(w, i) if i == k else -w[k] for k in range(len(w))] for i in range(len(w))]


def entries(what: str, found: Any, wanted: Any) -> None:
    """Every entry of a matrix that is a normal number."""
    flat = [e for each in wanted for e in each]
    check(what, [divmod(i, len(wanted[0])) for i in range(len(flat))], found, flat, [True] * len(flat))


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_softmax_and_its_kin(row: int, device: pg.Device) -> None:
    values = ROWS[row]
    x = pg.asarray(values, device=device)
    for mode in (pg.jacrev, pg.jacfwd):
        entries("logsumexp", host(mode(pg.logsumexp)(x)), [_weights(values)])
        entries("softmax", host(mode(pg.softmax)(x)), _softmax_jacobian(values))
        entries("log_softmax", host(mode(pg.log_softmax)(x)), _log_softmax_jacobian(values))
        entries("second derivative", host(mode(pg.grad(pg.logsumexp))(x)), _softmax_jacobian(values))


# -- norms, spread, products -----------------------------------------------------------------------------

SCALES = [1e-300, 1e-200, 1e-100, 1.0, 1e100, 1e200, 1e299]
SHAPE_OF_ROWS = np.array([[3.0, -4.0, 0.5, 1e-3], [1.0, 1.0, 1.0, 1.0000001], [-2.0, 7.0, 7.0, 1e-8]])


def in_both_modes(f: Any, row: Any, device: pg.Device, wanted: Any) -> None:
    x = pg.asarray(row, device=device)
    entries("vjp", host(pg.grad(f)(x)), [wanted])
    entries("jvp", host(pg.jacfwd(f)(x)), [wanted])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("order", [0.5, 1, 1.5, 2, 3, -1, -2])
def test_vector_norms(order: float, scale: float, device: pg.Device) -> None:
    for row in SHAPE_OF_ROWS * scale:
        x = [mp.mpf(v) for v in row]
        norm = mp.fsum(abs(v) ** mp.mpf(order) for v in x) ** (1 / mp.mpf(order))
        wanted = [mp.sign(v) * (abs(v) / norm) ** (mp.mpf(order) - 1) for v in x]
        in_both_modes(lambda x: pg.linalg.vector_norm(x, ord=order), row, device, wanted)


@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("scale", SCALES)
def test_var_and_std(scale: float, offset: float, device: pg.Device) -> None:
    """Far from 0 the mean's rounding must not count."""
    for row in (SHAPE_OF_ROWS + offset) * scale:
        x = [mp.mpf(v) for v in row]
        centred = [v - mp.fsum(x) / 4 for v in x]
        std = mp.sqrt(mp.fsum(c * c for c in centred) / 3)
        in_both_modes(lambda x: pg.std(x, correction=1), row, device, [c / (3 * std) for c in centred])
        if normal(std**2):
            in_both_modes(lambda x: pg.var(x, correction=1), row, device, [2 * c / 3 for c in centred])


PRODUCTS = [
    [1e200, 1e-200, 3.0, -1e200, 1e-200],
    [1e-200, 1e200, -1e-100, 1e150, 7.0],
    [1e-300, 3.0, 1e300, -2.0, 0.5],
    [1e100, -1e100, 1e100, 1.5, 1e-300],
    [2.0, 0.0, 1e200, 1e-100, 3.0],
]


@pytest.mark.parametrize("row", PRODUCTS)
def test_prod_and_cumulative_prod(row: Any, device: pg.Device) -> None:
    x = [mp.mpf(v) for v in row]
    n = len(x)
    others = [mp.fprod(v for k, v in enumerate(x) if k != i) for i in range(n)]
    in_both_modes(pg.prod, row, device, others)
    wanted = [[mp.fprod(x[k] for k in range(j + 1) if k != i) if i <= j else 0 for i in range(n)] for j in range(n)]
    given = pg.asarray(row, device=device)
    for mode in (pg.jacrev, pg.jacfwd):
        entries("cumulative_prod", host(mode(pg.cumulative_prod)(given)), wanted)


def test_the_points_reach_from_end_to_end() -> None:
    for sign in (1, -1):
        assert (sign * POINTS).max() == 1e300
        assert np.abs(POINTS).min() == 1e-300
    assert np.abs(np.log10(MAGNITUDES)).max() > 299
    assert NEAR_ONE.min() < 0.999999999999999 < 1.000000000000001 < NEAR_ONE.max()
    assert MIDDLE.max() > 600
