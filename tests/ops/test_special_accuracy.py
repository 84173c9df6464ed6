"""Derivatives of special functions against mpmath's exact values, from 1e-300 to 1e300: within 1e-12 relative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg

mp = pytest.importorskip("mpmath")
mpf = mp.mpf
special = pg.special

TINY = np.logspace(-300, -2, 12)
HUGE = np.logspace(2, 300, 12)
MIDDLE = np.linspace(0.03, 12.0, 25)
POSITIVE = np.concatenate([TINY, MIDDLE, HUGE])
REAL = np.concatenate([-POSITIVE, POSITIVE])
NEAR = np.concatenate([TINY, MIDDLE, [20.0, 40.0, 100.0, 600.0]])
BOTH = np.concatenate([-NEAR, NEAR])
PROBABILITY = np.concatenate([TINY, np.linspace(0.03, 0.97, 15), 1 - np.logspace(-15, -2, 8)])


def slopes(f: Callable[..., Any], arrays: list[Any], argument: int) -> Any:
    """The derivative at each point, reverse mode; forward mode must say the same."""
    with np.errstate(all="ignore"):
        found = pg.grad(lambda *xs: pg.sum(f(*xs)), argnums=argument)(*arrays)
        tangents = tuple(np.ones_like(a) if i == argument else np.zeros_like(a) for i, a in enumerate(arrays))
        _, moved = pg.jvp(lambda x: f(*arrays[:argument], x, *arrays[argument + 1 :]), (arrays[argument],),
                          (tangents[argument],))  # fmt: skip
    np.testing.assert_allclose(found, moved, rtol=1e-14)
    return found


def compare(name: str, found: Any, exact: list[Any], points: Any, rtol: float) -> None:
    for got, want, *at in zip(found, exact, *points):
        value = float(want)
        if not np.isfinite(value) or abs(value) < 1e-290 or abs(value) > 1e300:  # beyond what a double holds well
            continue
        assert abs(float(got) - value) <= rtol * abs(value), (name, at, float(got), value)


def exactly(f: Callable[..., Any], points: list[Any]) -> list[Any]:
    with mp.workdps(60):
        return [mp.re(f(*[mpf(float(v)) for v in p])) for p in zip(*points)]


def pdf(x: Any) -> Any:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def mills(x: Any) -> Any:
    """pdf(x)/cdf(x)."""
    if x < -1e6:
        return -x + 1 / -x
    with mp.workdps(80):
        return 2 * pdf(x) / mp.erfc(-x / mp.sqrt(2))


def erfcx_slope(x: Any) -> Any:
    if x > 1e6:
        return -1 / (x * x) / mp.sqrt(mp.pi)
    with mp.workdps(120):
        return 2 * x * mp.exp(x * x) * mp.erfc(x) - 2 / mp.sqrt(mp.pi)


def dawsn_slope(x: Any) -> Any:
    if abs(x) > 1e4:
        return -1 / (2 * x * x) - 3 / (4 * x**4)
    with mp.workdps(120):
        return 1 - x * mp.sqrt(mp.pi) * mp.exp(-x * x) * mp.erfi(x)


def scaled(order: int, first: bool) -> Callable[[Any], Any]:
    """The derivative of exp(-x) I(x) or exp(x) K(x), x > 0."""

    def slope(x: Any) -> Any:
        if x > 1e5:
            a = mpf(4 * order**2 - 1) / 8
            lead = mp.sqrt(1 / (2 * mp.pi * x)) if first else mp.sqrt(mp.pi / (2 * x))
            sign = -1 if first else 1
            return -lead / x * (0.5 + 1.5 * sign * a / x + 2.5 * a * (4 * order**2 - 9) / 16 / x**2)
        with mp.workdps(80):
            if first:
                i = mp.besseli(order, x)
                return mp.exp(-x) * (mp.besseli(order + 1, x) + order / x * i - i)
            k, k1 = mp.besselk(order, x), mp.besselk(order + 1, x)
            return mp.exp(x) * (order / x * k - k1 + k)

    return slope


def exprel_slope(x: Any) -> Any:
    return mpf(1) / 2 + x / 3 if abs(x) < 1e-18 else (mp.exp(x) * (x - 1) + 1) / x**2


def sinc_slope(x: Any) -> Any:
    t = mp.pi * x
    return -(mp.pi**2) * x / 3 if abs(x) < 1e-25 else (mp.cos(t) - mp.sin(t) / t) / x


def trigamma(x: Any) -> Any:
    return 1 / x if x > 1e30 else 1 / x**2 if 0 < x < 1e-30 else mp.psi(1, x)


def digamma(x: Any) -> Any:
    return mp.log(x) if x > 1e30 else -1 / x if abs(x) < 1e-30 else mp.digamma(x)


def ellip(x: Any, y: Any, z: Any) -> Any:
    return mp.elliprd(x, y, z) / 6


ONE: dict[str, tuple[Any, Any]] = {
    "expit": (REAL, lambda x: mp.exp(-abs(x)) / (1 + mp.exp(-abs(x))) ** 2),
    "log_expit": (REAL, lambda x: 1 / (1 + mp.exp(x))),
    "softplus": (REAL, lambda x: 1 / (1 + mp.exp(-x))),
    "logit": (PROBABILITY, lambda x: 1 / (x * (1 - x))),
    "entr": (POSITIVE, lambda x: -mp.log(x) - 1),
    "cbrt": (REAL, lambda x: abs(x) ** (mpf(-2) / 3) / 3),
    "exp2": (BOTH, lambda x: mp.log(2) * 2**x),
    "exp10": (BOTH, lambda x: mp.log(10) * mpf(10) ** x),
    "exprel": (BOTH, exprel_slope),
    "sinc": (np.append(BOTH, [1e8 + 0.3, 12345.678]), sinc_slope),
    "cosm1": (BOTH, lambda x: -mp.sin(x)),
    "sindg": (BOTH, lambda x: mp.pi / 180 * mp.cos(mp.pi * x / 180)),
    "tandg": (BOTH, lambda x: mp.pi / 180 / mp.cos(mp.pi * x / 180) ** 2),
    "erf": (REAL, lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)),
    "erfc": (REAL, lambda x: -2 / mp.sqrt(mp.pi) * mp.exp(-x * x)),
    "erfi": (BOTH, lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(x * x)),
    "erfcx": (np.concatenate([-MIDDLE, POSITIVE]), erfcx_slope),
    "dawsn": (REAL, dawsn_slope),
    "ndtr": (REAL, pdf),
    "log_ndtr": (np.concatenate([-POSITIVE, NEAR]), mills),
    "exp1": (NEAR, lambda x: -mp.exp(-x) / x),
    "expi": (BOTH, lambda x: mp.exp(x) / x),
    "gammaln": (np.concatenate([POSITIVE, -MIDDLE + 0.0113]), digamma),
    "loggamma": (POSITIVE, digamma),
    "gamma": (np.concatenate([TINY, MIDDLE, [50.0, 150.0]]), lambda x: -1 / x**2 if x < 1e-30 else mp.gamma(x) * mp.digamma(x)),
    "rgamma": (np.concatenate([TINY, MIDDLE, -MIDDLE + 0.0113]),
               lambda x: 1 if abs(x) < 1e-30 else -mp.rgamma(x) * mp.digamma(x)),
    "psi": (np.concatenate([TINY[6:], MIDDLE, HUGE, -MIDDLE + 0.0113]), trigamma),
    "j0": (BOTH, lambda x: -mp.besselj(1, x)),
    "j1": (BOTH, lambda x: mp.besselj(1, x, derivative=1)),
    "y0": (NEAR[3:], lambda x: -mp.bessely(1, x)),
    "y1": (NEAR[7:], lambda x: mp.bessely(0, x) - mp.bessely(1, x) / x),
    "i0": (BOTH, lambda x: mp.besseli(1, x)),
    "i1": (BOTH, lambda x: mp.besseli(0, x) - mp.besseli(1, x) / x),
    "k0": (NEAR[:-1], lambda x: -mp.besselk(1, x)),
    "k1": (NEAR[7:-1], lambda x: -mp.besselk(0, x) - mp.besselk(1, x) / x),
    "i0e": (POSITIVE[5:], scaled(0, True)),
    "i1e": (POSITIVE[5:], scaled(1, True)),
    "k0e": (POSITIVE[5:], scaled(0, False)),
    "k1e": (POSITIVE[7:], scaled(1, False)),
    "ellipk": (np.concatenate([-HUGE[:3], -MIDDLE, PROBABILITY]), lambda m: ellip(0, 1, 1 - m)),
    "ellipe": (np.concatenate([-HUGE[:3], -MIDDLE, PROBABILITY]), lambda m: -ellip(0, 1 - m, 1)),
    "ellipkm1": (np.concatenate([TINY, MIDDLE]), lambda p: -ellip(0, 1, p)),
    "spence": (NEAR, lambda z: mp.log(z) / (1 - z)),
    "zeta": (np.concatenate([np.linspace(-6.3, 0.7, 15), 1 + np.logspace(-8, 1.6, 12)]), lambda x: mp.zeta(x, derivative=1)),
    "zetac": (np.concatenate([np.linspace(-6.3, 0.7, 15), 1 + np.logspace(-8, 1.6, 12)]), lambda x: mp.zeta(x, derivative=1)),
}  # fmt: skip


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ONE)
def test_of_one_argument(name: str) -> None:
    points, exact = ONE[name]
    compare(name, slopes(getattr(special, name), [points], 0), exactly(exact, [points]), [points], 1e-12)


# Inverses: at the value that a double holds, whose own rounding the slope magnifies at most by its logarithm.
INVERSE: dict[str, tuple[Any, Any]] = {
    "erfinv": (np.concatenate([TINY, np.linspace(0.03, 0.97, 15), 1 - np.logspace(-15, -2, 8)]),
               lambda y: mp.sqrt(mp.pi) / 2 * mp.exp(mp.erfinv(y) ** 2)),
    "erfcinv": (TINY, lambda y: -mp.sqrt(mp.pi) / 2 * mp.exp(_inverse_erfc(y) ** 2)),
    "ndtri": (TINY, lambda y: 1 / pdf(mp.sqrt(2) * _inverse_erfc(2 * y))),
    "ndtri_exp": (-np.logspace(-2, 5, 15), lambda y: 1 / mills(_inverse_log_ndtr(y))),
}  # fmt: skip


def _inverse_erfc(y: Any) -> Any:
    start = mp.sqrt(-mp.log(y * mp.sqrt(mp.pi) * mp.sqrt(-mp.log(y) + 1)))
    return mp.findroot(lambda x: mp.log(mp.erfc(x)) - mp.log(y), start)


def _inverse_log_ndtr(y: Any) -> Any:
    import scipy.special

    start = mpf(float(scipy.special.ndtri_exp(float(y))))
    return mp.findroot(lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2) - y, start)


@pytest.mark.parametrize("name", INVERSE)
def test_of_inverses(name: str) -> None:
    points, exact = INVERSE[name]
    compare(name, slopes(getattr(special, name), [points], 0), exactly(exact, [points]), [points], 1e-12)


# -- of several arguments ------------------------------------------------------------------------------

_rng = np.random.default_rng(7)


def spread(low: float, high: float, n: int = 60) -> Any:
    """Numbers between powers of ten."""
    return 10 ** _rng.uniform(low, high, n)


def log_beta(a: Any, b: Any) -> Any:
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def gamma_density(a: Any, x: Any) -> Any:
    return mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a))


def beta_density(a: Any, b: Any, x: Any) -> Any:
    return mp.exp((a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - log_beta(a, b))


def t_density(df: Any, t: Any) -> Any:
    return mp.exp(-(df + 1) / 2 * mp.log1p(t * t / df) - log_beta(df / 2, mpf(1) / 2)) / mp.sqrt(df)


def gap(x: Any, y: Any) -> Any:
    """digamma(y) - digamma(x) with enough digits."""
    with mp.workdps(100):
        return mp.digamma(y) - mp.digamma(x)


A, B = spread(-3, 6), spread(-3, 6)
SHAPE = np.concatenate([spread(-300, 2, 20), spread(-2, 10, 60)])
POINT = np.concatenate([spread(-300, 2, 20), SHAPE[20:] * np.exp(_rng.normal(size=60) * 3 / np.sqrt(SHAPE[20:] + 1))])
SMALL, INSIDE = spread(-3, 4), _rng.uniform(0.001, 0.999, 60)
PEAK = np.clip(_rng.beta(SMALL, B / 100 + 0.01), 1e-12, 1 - 1e-12)
OTHER = B / 100 + 0.01

MANY: dict[str, tuple[str, int, list[Any], Any]] = {
    "gammainc by x": ("gammainc", 1, [SHAPE, POINT], gamma_density),
    "gammaincc by x": ("gammaincc", 1, [SHAPE, POINT], lambda a, x: -gamma_density(a, x)),
    "betainc by x": ("betainc", 2, [SMALL, OTHER, PEAK], beta_density),
    "betainc by x in the tails": ("betainc", 2, [SMALL / 1000, SMALL[::-1] / 1000, spread(-300, 0)], beta_density),
    "beta by a": ("beta", 0, [spread(-3, 6), spread(-3, 1)], lambda a, b: -mp.exp(log_beta(a, b)) * gap(a, a + b)),
    "betaln by a": ("betaln", 0, [spread(-3, 12), spread(-6, 6)], lambda a, b: -gap(a, a + b)),
    "betaln by b": ("betaln", 1, [spread(-3, 12), spread(-6, 6)], lambda a, b: -gap(b, a + b)),
    "poch by z": ("poch", 0, [spread(-2, 8), _rng.uniform(0.1, 2, 60)],
                  lambda z, m: mp.exp(mp.loggamma(z + m) - mp.loggamma(z)) * gap(z, z + m)),
    "binom by k": ("binom", 1, [_rng.uniform(20, 40, 60), _rng.uniform(0.1, 9, 60)],
                   lambda n, k: mp.binomial(n, k) * gap(k + 1, n - k + 1)),
    "stdtr by t": ("stdtr", 1, [spread(-1, 8), spread(-5, 1.3)], t_density),
    "stdtr by t, far away": ("stdtr", 1, [spread(-2, 0.5), spread(1, 60)], t_density),
    "fdtr by x": ("fdtr", 2, [spread(-1, 3), spread(-1, 3), spread(-2, 1)],
                  lambda m, n, x: beta_density(m / 2, n / 2, m * x / (n + m * x)) * m * n / (n + m * x) ** 2),
    "kl_div by x": ("kl_div", 0, [A, A * (1 + spread(-12, 1))], lambda x, y: mp.log(x / y)),
    "rel_entr by y": ("rel_entr", 1, [spread(-200, 90), spread(-200, 90)], lambda x, y: -x / y),
    "boxcox by x": ("boxcox", 0, [spread(-3, 3), _rng.uniform(-3, 3, 60)], lambda x, p: x ** (p - 1)),
    "boxcox by lmbda": ("boxcox", 1, [spread(-3, 3), _rng.uniform(-3, 3, 60) * spread(-20, 0)],
                        lambda x, p: mp.log(x) ** 2 * exprel_slope(p * mp.log(x))),
    "inv_boxcox by lmbda": ("inv_boxcox", 1, [spread(-2, 1), spread(-12, 0.5)],
                            lambda y, p: mp.exp(mp.log1p(p * y) / p) * (y / (p * (1 + p * y)) - mp.log1p(p * y) / p**2)),
    "pseudo_huber by delta": ("pseudo_huber", 0, [spread(-70, 70), spread(-70, 70)], lambda d, r: _pseudo_huber_slope(d, r)),
    "pseudo_huber by r": ("pseudo_huber", 1, [spread(-250, 250), spread(-250, 250)],
                          lambda d, r: r * d / mp.hypot(d, r)),
    "owens_t by a": ("owens_t", 1, [spread(-3, 1), spread(-3, 1)],
                     lambda h, a: mp.exp(-h * h * (1 + a * a) / 2) / (1 + a * a) / (2 * mp.pi)),
    "agm by a": ("agm", 0, [spread(-100, 100), spread(-100, 100)], lambda a, b: _agm_slope(a, b)),
    "zeta by q": ("zeta", 1, [spread(0.1, 1), spread(-2, 2)], lambda x, q: -x * mp.zeta(x + 1, q)),
    "zeta by x": ("zeta", 0, [1 + spread(-6, 1, 20), spread(-2, 2, 20)], lambda x, q: mp.zeta(x, q, 1)),
    "ellipkinc by m": ("ellipkinc", 1, [_rng.uniform(-8, 8, 9), _rng.uniform(-3, 0.9, 9)],
                       lambda p, m: mp.quad(lambda t: mp.sin(t) ** 2 / (1 - m * mp.sin(t) ** 2) ** 1.5 / 2,
                                            mp.linspace(0, p, 9))),
    "ellipeinc by m": ("ellipeinc", 1, [_rng.uniform(-8, 8, 9), _rng.uniform(-3, 0.9, 9)],
                       lambda p, m: mp.quad(lambda t: -mp.sin(t) ** 2 / mp.sqrt(1 - m * mp.sin(t) ** 2) / 2,
                                            mp.linspace(0, p, 9))),
    "jv by x": ("jv", 1, [_rng.uniform(0, 5, 30), spread(-3, 1, 30)], lambda v, x: mp.besselj(v, x, derivative=1)),
    "kv by x": ("kv", 1, [_rng.uniform(0, 5, 30), spread(-3, 1, 30)],
                lambda v, x: -(mp.besselk(v - 1, x) + mp.besselk(v + 1, x)) / 2),
    "iv by x": ("iv", 1, [_rng.uniform(0, 5, 30), spread(-3, 1, 30)], lambda v, x: mp.besseli(v, x, derivative=1)),
}  # fmt: skip


def _pseudo_huber_slope(delta: Any, r: Any) -> Any:
    with mp.workdps(700):
        s = mp.sqrt(1 + (r / delta) ** 2)
        return delta * (s - 1) ** 2 / s


def _agm_slope(a: Any, b: Any) -> Any:
    m = mp.agm(a, b)
    return 2 / (3 * mp.pi) * m**2 * a * mp.elliprd(0, b**2, a**2)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", MANY)
def test_of_several_arguments(name: str) -> None:
    function, argument, points, exact = MANY[name]
    found = slopes(getattr(special, function), points, argument)
    compare(name, found, exactly(exact, points), points, 1e-12)


# -- by parameters, where the derivative is an integral ------------------------------------------------


def by_difference(f: Callable[..., Any], args: list[Any], argument: int) -> Any:
    """A central difference with 60 digits."""
    with mp.workdps(60):
        values = [mpf(float(v)) for v in args]
        step = values[argument] * mpf(10) ** -15
        moved = [[v + s * step if i == argument else v for i, v in enumerate(values)] for s in (1, -1)]
        return (f(*moved[0]) - f(*moved[1])) / (2 * step)


def upper_gamma(a: Any, x: Any) -> Any:
    return mp.gammainc(a, x, mp.inf, regularized=True)


def incomplete_beta(a: Any, b: Any, x: Any) -> Any:
    """The smaller tail, less 1 where that is the upper one."""
    if x * (a + b) < a:
        return mp.betainc(a, b, 0, x, regularized=True)
    return -mp.betainc(b, a, 0, 1 - x, regularized=True)


def student(df: Any, t: Any) -> Any:
    return -mp.betainc(df / 2, mpf(1) / 2, 0, df / (df + t * t), regularized=True) / 2


def fisher(m: Any, n: Any, x: Any) -> Any:
    return incomplete_beta(m / 2, n / 2, m * x / (n + m * x))


SHAPES = spread(-2, 2.3, 16)
RATES: dict[str, tuple[str, int, list[Any], Any, float]] = {
    "gammainc by a": ("gammainc", 0, [SHAPES, SHAPES * np.exp(_rng.normal(size=16) / np.sqrt(SHAPES))],
                      lambda a, x: -upper_gamma(a, x), 1e-11),
    "gammainc by a, small x": ("gammainc", 0, [spread(-6, 1, 12), spread(-12, 0, 12)], lambda a, x: -upper_gamma(a, x), 1e-11),
    "betainc by a": ("betainc", 0, [spread(-3, 2, 20), spread(-3, 2, 20), _rng.uniform(0.01, 0.99, 20)],
                     incomplete_beta, 1e-11),
    "betainc by b": ("betainc", 1, [spread(-3, 2, 20), spread(-3, 2, 20), _rng.uniform(0.01, 0.99, 20)],
                     incomplete_beta, 1e-11),
    "stdtr by df": ("stdtr", 0, [spread(-1, 4, 20), spread(-2, 1, 20)], student, 1e-11),
    "fdtr by dfn": ("fdtr", 0, [spread(-1, 2, 16), spread(-1, 2, 16), spread(-0.5, 0.5, 16)], fisher, 1e-11),
    "fdtr by dfd": ("fdtr", 1, [spread(-1, 2, 16), spread(-1, 2, 16), spread(-0.5, 0.5, 16)], fisher, 1e-11),
}  # fmt: skip


@pytest.mark.parametrize("name", RATES)
def test_by_parameters(name: str) -> None:
    function, argument, points, f, rtol = RATES[name]
    found = slopes(getattr(special, function), points, argument)
    exact = [by_difference(f, list(p), argument) for p in zip(*points)]
    compare(name, found, exact, points, rtol)
