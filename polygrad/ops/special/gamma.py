"""The gamma function and its kin."""

from __future__ import annotations

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
def _rgamma_slope(xp: Namespace, out: Raw, x: Raw) -> Raw:
    left = x < 0.5
    s, r = xp.where(left, x, xp.zeros_like(x)), xp.where(left, xp.ones_like(x), x)
    turned = xp.special.cospi(s) - xp.special.digamma(1 - s) * (xp.special.sinpi(s) / PI)
    near = -xp.where(left, xp.zeros_like(out), out) * xp.special.digamma(r)
    return xp.where(left, xp.special.gamma(1 - s) * turned, near)


@special(_rgamma_slope)
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


@special(
    lambda xp, out, z, m: _poch_again(xp, out, z, m) * xp.special.digamma_gap(z, m),
    lambda xp, out, z, m: _poch_again(xp, out, z, m) * xp.special.digamma(z + m),
)
def poch(xp: Namespace, z: Raw, m: Raw, /) -> Raw:
    """Pochhammer's symbol ``gamma(z + m) / gamma(z)``."""
    return xp.special.poch(z, m)


@special(
    lambda xp, out, a, b: -_beta_again(xp, out, a, b) * xp.special.digamma_gap(a, b),
    lambda xp, out, a, b: -_beta_again(xp, out, a, b) * xp.special.digamma_gap(b, a),
)
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


@special(
    lambda xp, out, n, k: out * xp.special.digamma_gap(n - k + 1, k),
    lambda xp, out, n, k: out * xp.special.digamma_gap(k + 1, n - 2 * k),
)
def binom(xp: Namespace, n: Raw, k: Raw, /) -> Raw:
    """The binomial coefficient, of real arguments."""
    return xp.special.binom(n, k)


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
    total = total * where(a > (size - 1) / 2, 1.0, float("nan"))
    return total if narrow is None else astype(total, narrow)
