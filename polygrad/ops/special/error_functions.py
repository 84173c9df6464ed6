"""Error functions, the normal distribution, and exponential, trigonometric and Fresnel integrals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...core.apply import apply_multiple
from ...core.declare import op
from ...core.kernels import kernel
from ...typing import ArrayLike, Namespace, Raw
from ..data_types import astype
from .declare import COUNTS, checked, special
from .kernels import like

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = [
    "dawsn", "erf", "erfc", "erfcinv", "erfcx", "erfi", "erfinv", "exp1", "expi", "expn", "fresnel", "log_ndtr", "ndtr",
    "ndtri", "ndtri_exp", "owens_t", "shichi", "sici",
]  # fmt: skip

TWO_OVER_SQRT_PI: Final = 1.12837916709551257390
HALF_SQRT_PI: Final = 0.88622692545275801365
SQRT_TWO_PI: Final = 2.50662827463100050242
SQRT_HALF: Final = 0.70710678118654752440

# -- error functions -----------------------------------------------------------------------------------


@special(lambda xp, x: TWO_OVER_SQRT_PI * xp.exp(-x * x), complex=True)
def erf(xp: Namespace, x: Raw, /) -> Raw:
    """The error function ``2/sqrt(pi) * integral of exp(-t**2), t from 0 to x``; of complex numbers too.

    >>> import polygrad as pg
    >>> pg.grad(pg.special.erf)(0.0)
    1.12837916...
    """
    return xp.special.erf(x)


@special(lambda xp, x: -TWO_OVER_SQRT_PI * xp.exp(-x * x), complex=True)
def erfc(xp: Namespace, x: Raw, /) -> Raw:
    """``1 - erf(x)`` without cancellation; of complex numbers too."""
    return xp.special.erfc(x)


@special(lambda xp, x: TWO_OVER_SQRT_PI * xp.exp(x * x), complex=True)
def erfi(xp: Namespace, x: Raw, /) -> Raw:
    """The imaginary error function ``-1j * erf(1j * x)``; of complex numbers too."""
    return xp.special.erfi(x)


@special(lambda xp, out, x: xp.special.erfcx_slope(out, x))
def erfcx(xp: Namespace, x: Raw, /) -> Raw:
    """``exp(x**2) * erfc(x)``."""
    return xp.special.erfcx(x)


@special(lambda xp, out, x: xp.special.dawsn_slope(out, x))
def dawsn(xp: Namespace, x: Raw, /) -> Raw:
    """Dawson's integral ``exp(-x**2) * integral of exp(t**2), t from 0 to x``."""
    return xp.special.dawsn(x)


@special(lambda xp, out: HALF_SQRT_PI * xp.exp(out * out))
def erfinv(xp: Namespace, y: Raw, /) -> Raw:
    """The inverse of :func:`erf`."""
    return xp.special.erfinv(y)


@special(lambda xp, out: -HALF_SQRT_PI * xp.exp(out * out))
def erfcinv(xp: Namespace, y: Raw, /) -> Raw:
    """The inverse of :func:`erfc`."""
    return xp.special.erfcinv(y)


@kernel(space="special")
def _erfcinv(xp: Namespace, y: Raw) -> Raw:
    return -SQRT_HALF * xp.special.ndtri(y / 2)


# -- the normal distribution ---------------------------------------------------------------------------


@special(lambda xp, x: xp.exp(-x * x / 2) / SQRT_TWO_PI)
def ndtr(xp: Namespace, x: Raw, /) -> Raw:
    """The normal distribution's cumulative function."""
    return xp.special.ndtr(x)


@special(lambda xp, x: xp.special.log_ndtr_slope(x))
def log_ndtr(xp: Namespace, x: Raw, /) -> Raw:
    """``log(ndtr(x))`` without underflow; its derivative is exact as far as ``-x`` is finite."""
    return xp.special.log_ndtr(x)


@special(lambda xp, out: SQRT_TWO_PI * xp.exp(out * out / 2))
def ndtri(xp: Namespace, y: Raw, /) -> Raw:
    """The inverse of :func:`ndtr`, the normal distribution's quantiles."""
    return xp.special.ndtri(y)


@special(lambda xp, out: 1 / xp.special.log_ndtr_slope(out))
def ndtri_exp(xp: Namespace, y: Raw, /) -> Raw:
    """The inverse of :func:`log_ndtr`."""
    return xp.special.ndtri_exp(y)


# Infinite arguments apart: 0 times infinity would be nan. At h = 0 with a infinite there is a kink.
def _owens_t_by_h(xp: Namespace, h: Raw, a: Raw) -> Raw:
    end, half_plane = xp.isinf(h), xp.isinf(a)
    s, t = xp.where(end, xp.zeros_like(h), h), xp.where(end | half_plane, xp.zeros_like(a), a)
    share = xp.where(half_plane & ~end, xp.sign(a) * xp.sign(h), xp.special.erf(SQRT_HALF * t * s))
    return share * xp.exp(-s * s / 2) / (-2 * SQRT_TWO_PI)


def _owens_t_by_a(xp: Namespace, h: Raw, a: Raw) -> Raw:
    end = xp.isinf(h) | xp.isinf(a)
    s, t = xp.where(end, xp.zeros_like(h), h), xp.where(end, xp.zeros_like(a), a)
    slope = xp.exp(-s * s * (1 + t * t) / 2) / (1 + t * t) / 6.28318530717958647693
    return xp.where(end, xp.zeros_like(slope), slope)


@special(_owens_t_by_h, _owens_t_by_a)
def owens_t(xp: Namespace, h: Raw, a: Raw, /) -> Raw:
    """Owen's T: the probability of ``X > h`` and ``0 < Y < a X`` for independent normal X and Y."""
    return xp.special.owens_t(h, a)


# -- integrals of exponentials -------------------------------------------------------------------------


@special(lambda xp, x: -xp.exp(-x) / x)
def exp1(xp: Namespace, x: Raw, /) -> Raw:
    """The exponential integral ``integral of exp(-t)/t, t from x to inf``."""
    return xp.special.exp1(x)


@special(lambda xp, x: xp.exp(x) / x)
def expi(xp: Namespace, x: Raw, /) -> Raw:
    """The exponential integral ``integral of exp(t)/t, t from -inf to x``."""
    return xp.special.expi(x)


# E_n' = -E_(n-1), and E_0 = exp(-x)/x.
def _expn_slope(xp: Namespace, n: Raw, x: Raw) -> Raw:
    zero = n == 0
    lower = xp.special.expn(xp.where(zero, xp.ones_like(n), n) - 1, x)
    s = xp.where(zero, x, xp.ones_like(x))
    return xp.where(zero, -xp.exp(-s) * (1 + 1 / s) / s, -lower)


@special(COUNTS, _expn_slope, integers=(0,))
def expn(xp: Namespace, n: Raw, x: Raw, /) -> Raw:
    """The exponential integral ``integral of exp(-x t)/t**n, t from 1 to inf``, for an integer ``n``."""
    return like(xp, xp.special.expn(n, x), x)


# -- two at once ---------------------------------------------------------------------------------------


def _pair(name: str, x: ArrayLike, declared: Any) -> tuple[Tensor, Tensor]:
    """Apply an op with two outputs."""
    (x,), narrow = checked(name, ("x",), (x,))
    made = apply_multiple(declared, (x,))
    return made if narrow is None else tuple(astype(y, narrow) for y in made)  # type: ignore[return-value]


def summed(parts: list[Any]) -> Any:
    """The sum of those that are there."""
    present = [p for p in parts if p is not None]
    total = present[0]
    for p in present[1:]:
        total = total + p
    return total


def _vjp_of(slopes: Any) -> Any:
    def vjp(xp: Namespace, g: list[Raw], x: Raw) -> Raw:
        return summed(
            [None if c is None else xp.strong_multiply(c, slope) for c, slope in zip(g, slopes(xp, x), strict=True)]
        )

    return vjp


def _jvp_of(slopes: Any) -> Any:
    def jvp(xp: Namespace, t: Raw, x: Raw) -> list[Raw]:
        return [xp.strong_multiply(t, slope) for slope in slopes(xp, x)]

    return jvp


# At 0 the slopes are 1 and inf.
def _sici_slopes(xp: Namespace, x: Raw) -> tuple[Raw, Raw]:
    return xp.special.sin_over(x), xp.cos(x) / x


def _shichi_slopes(xp: Namespace, x: Raw) -> tuple[Raw, Raw]:
    return xp.special.sinh_over(x), xp.cosh(x) / x


# The angle pi x^2 / 2 is reduced before it is multiplied by pi.
def _fresnel_slopes(xp: Namespace, x: Raw) -> tuple[Raw, Raw]:
    angle = xp.special.half_square(x)
    return xp.special.sinpi(angle), xp.special.cospi(angle)


@op(vjps=[_vjp_of(_sici_slopes)], jvps=[_jvp_of(_sici_slopes)], multiple=True)
def _sici(xp: Namespace, x: Raw, /) -> tuple[Raw, ...]:
    return tuple(xp.special.sici(x))


@op(vjps=[_vjp_of(_shichi_slopes)], jvps=[_jvp_of(_shichi_slopes)], multiple=True)
def _shichi(xp: Namespace, x: Raw, /) -> tuple[Raw, ...]:
    return tuple(xp.special.shichi(x))


@op(vjps=[_vjp_of(_fresnel_slopes)], jvps=[_jvp_of(_fresnel_slopes)], multiple=True)
def _fresnel(xp: Namespace, x: Raw, /) -> tuple[Raw, ...]:
    return tuple(xp.special.fresnel(x))


def sici(x: ArrayLike, /) -> tuple[Tensor, Tensor]:
    """The sine and cosine integrals: of ``sin(t)/t`` from 0, and ``euler_gamma + log(x) +`` that of ``(cos(t) - 1)/t``.

    >>> import polygrad as pg
    >>> pg.special.sici(1.0)[0]
    tensor(0.94608307, dtype=float64)
    """
    return _pair("sici", x, _sici)


def shichi(x: ArrayLike, /) -> tuple[Tensor, Tensor]:
    """The hyperbolic sine and cosine integrals, as :func:`sici` with ``sinh`` and ``cosh``."""
    return _pair("shichi", x, _shichi)


def fresnel(x: ArrayLike, /) -> tuple[Tensor, Tensor]:
    """Fresnel's integrals of ``sin(pi t**2 / 2)`` and ``cos(pi t**2 / 2)`` from 0 to ``x``."""
    return _pair("fresnel", x, _fresnel)
