"""The gamma function and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ...core.kernels import kernel
from ...errors import ShapeError
from ...typing import ArrayLike, Namespace, Raw
from ..data_types import astype
from ..searching import where
from .declare import COUNTS, FLAT, checked, special
from .kernels import PI, like

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = [
    "beta", "betaln", "binom", "digamma", "gamma", "gammaln", "gammasgn", "loggamma", "multigammaln", "poch", "polygamma",
    "psi", "rgamma",
]  # fmt: skip

LOG_PI: Final = 1.14472988584940017414


@special(lambda xp, out, x: out * xp.special.digamma(x))
def gamma(xp: Namespace, x: Raw, /) -> Raw:
    """The gamma function, ``(x - 1)!`` of integers."""
    return xp.special.gamma(x)


@special(lambda xp, x: xp.special.digamma(x))
def gammaln(xp: Namespace, x: Raw, /) -> Raw:
    """``log(abs(gamma(x)))``.

    >>> import polygrad as pg
    >>> pg.special.gammaln(5.0)
    tensor(3.17805383, dtype=float64)
    """
    return xp.special.gammaln(x)


@special(lambda xp, x: xp.special.digamma(x))
def loggamma(xp: Namespace, x: Raw, /) -> Raw:
    """``log(gamma(x))``, nan for negative ``x``."""
    return xp.special.loggamma(x)


@kernel(space="special")
def _loggamma(xp: Namespace, x: Raw) -> Raw:
    return xp.where(x < 0, xp.full_like(x, float("nan")), xp.special.gammaln(x))


@special(FLAT)
def gammasgn(xp: Namespace, x: Raw, /) -> Raw:
    """The sign of the gamma function."""
    return xp.special.gammasgn(x)


# -digamma(x) / gamma(x), left of 1/2 by reflection: 1/gamma(x) = gamma(1 - x) sin(pi x)/pi, whose factors are smooth
# at the poles of gamma(x).
@kernel(space="special")
def rgamma_slope(xp: Namespace, x: Raw) -> Raw:
    """The derivative of ``1 / gamma(x)``."""
    left = x < 0.5
    s, r = xp.where(left, x, xp.zeros_like(x)), xp.where(left, xp.ones_like(x), x)
    turned = xp.special.gamma(1 - s) * _turned(xp, s, -xp.special.digamma(1 - s))
    return xp.where(left, turned, -xp.special.rgamma(r) * xp.special.digamma(r))


def _turned(xp: Namespace, s: Raw, rate: Raw) -> Raw:
    """The slope of ``g(s) sin(pi s)/pi`` over ``g``, where ``rate`` is the slope of ``log(g)``."""
    return xp.special.cospi(s) + rate * (xp.special.sinpi(s) / PI)


@special(lambda xp, x: xp.special.rgamma_slope(x))
def rgamma(xp: Namespace, x: Raw, /) -> Raw:
    """``1 / gamma(x)``, 0 at the poles."""
    return xp.special.rgamma(x)


@special(lambda xp, x: xp.special.trigamma(x))
def psi(xp: Namespace, x: Raw, /) -> Raw:
    """The digamma function, the derivative of :func:`gammaln`."""
    return xp.special.digamma(x)


digamma = psi


@special(COUNTS, lambda xp, n, x: xp.special.polygamma(n + 1, x), integers=(0,))
def polygamma(xp: Namespace, n: Raw, x: Raw, /) -> Raw:
    """The ``n``-th derivative of :func:`digamma`, for an integer ``n``.

    >>> import polygrad as pg
    >>> pg.special.polygamma(1, pg.asarray([1.0]))
    tensor([1.64493407], dtype=float64)
    """
    return like(xp, xp.special.polygamma(n, x), x)


# -- quotients of gamma functions ----------------------------------------------------------------------
# Differences of digamma functions, which are small where their arguments are large or near: digamma_gap(x, d). They
# multiply the value, which SciPy gives as the exponential of a difference of large numbers: that is done again.


def _whole(xp: Namespace, x: Raw) -> Raw:
    return x == xp.floor(x)


def _alternating(xp: Namespace, m: Raw) -> Raw:
    """``(-1) ** m`` of whole numbers."""
    return 1 - 2 * xp.abs(m - 2 * xp.floor(m / 2))


def _beta_again(xp: Namespace, out: Raw, a: Raw, b: Raw) -> Raw:
    """``out``, the beta function, where an argument is not positive."""
    inside = (a > 0) & (b > 0)
    one = xp.ones_like(out)
    value = xp.exp(xp.special.log_beta(xp.where(inside, a, one), xp.where(inside, b, one)))
    return xp.where(inside, value, out)


def _poch_again(xp: Namespace, out: Raw, z: Raw, m: Raw) -> Raw:
    """``out``, Pochhammer's symbol, for small or negative arguments; by Stirling's formula for large ones."""
    large = (z >= 16) & (z + m >= 16)
    a, d = xp.where(large, z, xp.full_like(out, 16.0)), xp.where(large, m, xp.zeros_like(out))
    rest = xp.special.stirling_rest(a + d) - xp.special.stirling_rest(a)
    log = (a - 0.5) * xp.log1p(d / a) + d * (xp.log(a + d) - 1) + rest
    return xp.where(large, xp.exp(log), out)


# By z: gamma(c)/gamma(z) with c = z + m, where no pole is near by the difference of the logarithms' slopes. Where z is
# below 1/2 but c is positive, gamma(c) gamma(1 - z) sin(pi z)/pi, smooth at the zeros. Where neither is,
# r gamma(1 - z)/gamma(1 - c) with r = sin(pi z)/sin(pi c), which for a whole m is a constant: poles meet there (and
# near them c's rounding against z would matter, so that is used as far as c = 1/2).
def _quotient_slope(
    xp: Namespace, z: Raw, m: Raw, value: Raw, product: Callable[[Raw, Raw], Raw], mirror: Callable[[Raw, Raw], Raw]
) -> Raw:
    """The slope of ``f = gamma(z + m)/gamma(z)``, or of that times a function of ``m``, by ``z``.

    Args:
        value: f where z is at least 1/2.
        product: f over ``sin(pi z)/pi``, of ``z + m`` and ``1 - z``.
        mirror: f over r, of ``1 - z - m`` and ``m``.
    """
    c = z + m
    left = z < 0.5
    beyond = left & xp.where(_whole(xp, m + 0 * c), c < 0.5, c <= 0)
    across = left & ~beyond
    one, half = xp.ones_like(c), xp.full_like(c, 0.5)

    direct = xp.where(left, one, value) * xp.special.digamma_gap(xp.where(left, one, z), xp.where(left, one, m))

    s, above = xp.where(across, z, -half), xp.where(across, c, one)
    rate = xp.special.digamma(above) - xp.special.digamma(1 - s)
    crossing = product(above, 1 - s) * _turned(xp, s, rate)

    d = xp.where(beyond, m, half)
    s, below = xp.where(beyond, z, -one), xp.where(beyond, c, -half)
    whole = _whole(xp, d)
    sine = xp.where(whole, one, xp.special.sinpi(below))
    ratio = xp.where(whole, _alternating(xp, xp.where(whole, d, one)), xp.special.sinpi(s) / sine)
    turn = PI * (xp.special.cospi(s) - ratio * xp.special.cospi(below)) / sine
    rate = xp.where(whole, xp.zeros_like(turn), turn) - ratio * xp.special.digamma_gap(1 - below, d)
    return xp.where(across, crossing, xp.where(beyond, mirror(1 - below, d) * rate, direct))


def _poch_slope(xp: Namespace, out: Raw, z: Raw, m: Raw) -> Raw:
    gamma_, value = xp.special.gamma, _poch_again(xp, out, z, m)
    return _quotient_slope(xp, z, m, value, lambda c, t: gamma_(c) * gamma_(t), xp.special.poch)


@special(
    _poch_slope,
    lambda xp, out, z, m: _poch_again(xp, out, z, m) * xp.special.digamma(z + m),
)
def poch(xp: Namespace, z: Raw, m: Raw, /) -> Raw:
    """Pochhammer's symbol ``gamma(z + m) / gamma(z)``."""
    return xp.special.poch(z, m)


# gamma(a) gamma(b)/gamma(a + b) is 0 where a + b is a pole alone: there by the slope of the last factor. For a
# whole b the poles of gamma(a) and gamma(a + b) are the same, and digamma(1 - x) has their difference.
def _beta_slope(xp: Namespace, out: Raw, a: Raw, b: Raw) -> Raw:
    n = a + b
    inside = (a > 0) & (b > 0)
    whole = ~inside & (n < 0.5) & (b > 0) & _whole(xp, b)
    zero = ~inside & ~whole & (n < 0.5)
    half, one = xp.full_like(out, 0.5), xp.ones_like(out)
    rest = whole | zero
    direct = -_beta_again(xp, out, xp.where(rest, one, a), xp.where(rest, one, b))
    direct = direct * xp.special.digamma_gap(xp.where(rest, one, a), xp.where(rest, one, b))
    s, t = xp.where(whole, a, -one), xp.where(whole, b, one)
    mirrored = out * -xp.special.digamma_gap(1 - s, -t)
    s, t = xp.where(zero, a, -half), xp.where(zero, b, -half)
    last = xp.special.digamma(s) * xp.special.rgamma(s + t) + xp.special.rgamma_slope(s + t)
    product = xp.special.gamma(s) * xp.special.gamma(t) * last
    return xp.where(whole, mirrored, xp.where(zero, product, direct))


@special(lambda xp, out, a, b: _beta_slope(xp, out, a, b), lambda xp, out, a, b: _beta_slope(xp, out, b, a))
def beta(xp: Namespace, a: Raw, b: Raw, /) -> Raw:
    """``gamma(a) * gamma(b) / gamma(a + b)``."""
    return xp.special.beta(a, b)


@special(
    lambda xp, a, b: -xp.special.digamma_gap(a, b),
    lambda xp, a, b: -xp.special.digamma_gap(b, a),
)
def betaln(xp: Namespace, a: Raw, b: Raw, /) -> Raw:
    """``log(abs(beta(a, b)))``."""
    return xp.special.betaln(a, b)


@kernel(space="special")
def _betaln(xp: Namespace, a: Raw, b: Raw) -> Raw:
    return xp.special.log_beta(a, b)


@kernel(space="special")
def _beta(xp: Namespace, a: Raw, b: Raw) -> Raw:
    return xp.exp(xp.special.log_beta(a, b))


def _binom_again(xp: Namespace, out: Raw, n: Raw, k: Raw) -> Raw:
    """``out``, the binomial coefficient, where ``k`` is not between -1 and ``n + 1``; SciPy's is off by 1e-9 near 0."""
    inside = (k > -1) & (n - k + 1 > 0)
    one = xp.ones_like(out)
    low, high = xp.where(inside, k + 1, one), xp.where(inside, n - k + 1, one)
    value = xp.exp(-xp.special.log_beta(low, high)) / (xp.where(inside, n, one) + 1)
    return xp.where(inside, value, out)


# poch(n - k + 1, k)/gamma(k + 1)
def _binom_slope(xp: Namespace, out: Raw, n: Raw, k: Raw) -> Raw:
    value = _binom_again(xp, out, n, k)
    return _quotient_slope(
        xp, n - k + 1, k, value, xp.special.beta, lambda start, count: xp.special.binom(start + count - 1, count)
    )


# By k where 1/gamma(n - k + 1) or 1/gamma(k + 1) may vanish: beta(n + 1, k - n) sin(pi (k - n))/pi, or that of n - k.
def _binom_slope_by_k(xp: Namespace, out: Raw, n: Raw, k: Raw) -> Raw:
    beyond = (n > -1) & ((k > n + 0.5) | (k < -0.5))
    mirrored = k < 0
    one = xp.ones_like(out)
    top, chosen = xp.where(beyond, n, one), xp.where(beyond, xp.where(mirrored, n - k, k), 2.5 * one)
    more = chosen - top
    rate = xp.special.digamma(more) - xp.special.digamma(chosen + 1)
    crossing = xp.special.beta(top + 1, more) * _turned(xp, more, rate)
    a, d = xp.where(beyond, one, k + 1), xp.where(beyond, one, n - 2 * k)
    direct = xp.where(beyond, one, _binom_again(xp, out, n, k)) * xp.special.digamma_gap(a, d)
    return xp.where(beyond, xp.where(mirrored, -crossing, crossing), direct)


@special(_binom_slope, _binom_slope_by_k)
def binom(xp: Namespace, n: Raw, k: Raw, /) -> Raw:
    """The binomial coefficient, of real arguments; a polynomial of ``n`` for a whole ``k`` from 0 on."""
    # of a negative whole n, where SciPy's is nan: (-1)^k binom(k - n - 1, k)
    mirrored = (n < 0) & (k >= 0) & _whole(xp, n) & _whole(xp, k)
    one = xp.ones_like(n * k)
    other = xp.special.binom(xp.where(mirrored, k - n - 1, one), xp.where(mirrored, k, one))
    return xp.where(mirrored, _alternating(xp, k) * other, xp.special.binom(n, k))


def multigammaln(a: ArrayLike, d: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension ``d``; nan unless ``a > (d - 1) / 2``.

    >>> import polygrad as pg
    >>> pg.special.multigammaln(pg.asarray([3.0]), 2)
    tensor([1.55019499], dtype=float64)
    """
    size = d if isinstance(d, int) else d.item() if getattr(d, "shape", None) == () else None
    if size is None or size != int(size) or size < 1:
        raise ShapeError(f"multigammaln: the dimension d must be a positive integer, got {d!r}")
    size = int(size)
    (a,), narrow = checked("multigammaln", ("a",), (a,))
    total: Any = size * (size - 1) * LOG_PI / 4
    for j in range(size):
        total = gammaln(a - 0.5 * j) + total
    total = where(a > (size - 1) / 2, total, float("nan"))
    return total if narrow is None else astype(total, narrow)
