"""The rows of ``derivative_table.py``: each function with mpmath's version of it and its special points."""

from __future__ import annotations

from typing import Any

import mpmath as mp
from derivative_table import Closed, around, left, right, row

one, half = mp.mpf(1), mp.mpf(1) / 2
pi = mp.pi


def entire(f: Any, limit: float) -> Any:
    """A function with its limit at 0."""
    return lambda x: mp.mpf(limit) if x == 0 else f(x)


# -- elementary ----------------------------------------------------------------------------------------

ZERO = around(0.0)
row("special.expit", lambda x: 1 / (1 + mp.exp(-x)), around(0.0, 5.0))
row("special.logit", lambda x: mp.log(x / (1 - x)), around(0.5) + right(0.0, end=False) + left(1.0, end=False))
row("special.log_expit", lambda x: -mp.log1p(mp.exp(-x)), ZERO)
row("special.softplus", lambda x: mp.log1p(mp.exp(x)), ZERO)
row("special.entr", lambda x: -x * mp.log(x), around(1.0) + right(0.0, end=False))
row("special.cbrt", lambda x: mp.sign(x) * mp.cbrt(abs(x)), around(1.0, -1.0, 0.0)[:14] + right(0.0, end=False))
row("special.exp2", lambda x: mp.mpf(2) ** x, ZERO)
row("special.exp10", lambda x: mp.mpf(10) ** x, ZERO)
row("special.exprel", entire(lambda x: mp.expm1(x) / x, 1), around(0.0, 1.0, -1.0))
row("special.sinc", mp.sincpi, around(0.0, 0.35, -0.35, 1.0, 2.0))
row("special.cosm1", lambda x: mp.cos(x) - 1, ZERO)
row("special.sindg", lambda x: mp.sin(x * pi / 180), around(0.0, 90.0, 180.0))
row("special.cosdg", lambda x: mp.cos(x * pi / 180), around(0.0, 90.0, 180.0))
row("special.tandg", lambda x: mp.tan(x * pi / 180), around(0.0, 45.0, 180.0))
row("special.cotdg", lambda x: mp.cot(x * pi / 180), around(90.0, 45.0))
row("special.expm1", mp.expm1, ZERO)
row("special.log1p", mp.log1p, ZERO)
for x in (0.0, 2.0):
    row("special.xlogy", lambda y, x=x: x * mp.log(y), around(1.0) + right(0.0, end=False), x, None)
    row("special.xlog1py", lambda y, x=x: x * mp.log1p(y), around(0.0), x, None)
    row("special.rel_entr", lambda y, x=x: x * mp.log(x / y) if x else mp.mpf(0), around(2.0), x, None)
    row("special.kl_div", lambda y, x=x: (x * mp.log(x / y) if x else 0) - x + y, around(2.0), x, None)
row("special.xlogy", lambda x: x * mp.log(2), ZERO, None, 2.0)
row("special.xlog1py", lambda x: x * mp.log(2), ZERO, None, 1.0)
row("special.rel_entr", lambda x: x * mp.log(x / 2), around(2.0) + right(0.0, end=False), None, 2.0)
row("special.kl_div", lambda x: x * mp.log(x / 2) - x + 2, around(2.0) + right(0.0, end=False), None, 2.0)
row(
    "special.huber",
    lambda r: r * r / 2 if abs(r) < 1 else abs(r) - half,
    ZERO + left(1.0, end=False) + right(1.0, end=False),
    1.0,
    None,
)
row(
    "special.huber",
    lambda d: d * (1 - d / 2) if d < 1 else half,
    left(1.0, end=False) + right(1.0, end=False),
    None,
    1.0,
)
for d in (0.5, 1.0, 2.0):
    row("special.pseudo_huber", lambda r, d=d: d * d * (mp.sqrt(1 + (r / d) ** 2) - 1), around(0.0, 1.0), d, None)
    row("special.pseudo_huber", lambda x, d=d: x * x * (mp.sqrt(1 + (d / x) ** 2) - 1), around(1.0), None, d)
row("special.pseudo_huber", lambda x: mp.mpf(0), around(1.0), None, 0.0)
for y in (0.0, 1.0, 2.0, 3.0, 0.5):
    row("special.powm1", lambda x, y=y: x**y - 1, around(1.0) + (ZERO if y != 0.5 else right(0.0, end=False)), None, y)
row("special.powm1", lambda y: mp.mpf(2) ** y - 1, around(0.0, 1.0), 2.0, None)
row("special.powm1", lambda y: mp.mpf(-1), around(1.0, 2.0), 0.0, None)
for p in (0.0, 1.0, 2.0, 0.5, -1.0):
    box = lambda x, p=p: mp.log(x) if p == 0 else (x**p - 1) / p  # noqa: E731
    unbox = lambda y, p=p: mp.exp(y) if p == 0 else (1 + p * y) ** (1 / mp.mpf(p))  # noqa: E731
    row("special.boxcox", box, around(1.0, 2.0), None, p)
    row("special.boxcox1p", lambda x, box=box: box(1 + x), around(0.0), None, p)
    row("special.inv_boxcox", unbox, around(0.0, 0.25), None, p)
    row("special.inv_boxcox1p", lambda y, unbox=unbox: unbox(y) - 1, around(0.0), None, p)
row("special.boxcox", lambda x: x - 1, right(0.0), None, 1.0)
row("special.boxcox", lambda x: (x * x - 1) / 2, right(0.0), None, 2.0)
for x in (1.0, 2.0, 0.5, 1.000001):
    f = lambda p, x=x: mp.log(x) if p == 0 else mp.expm1(p * mp.log(x)) / p  # noqa: E731
    row("special.boxcox", f, around(0.0, 1.0), x, None)
    row("special.boxcox1p", lambda p, x=x: mp.log1p(x) if p == 0 else mp.expm1(p * mp.log1p(x)) / p, ZERO, x, None)
for y in (0.0, 2.0, 0.5, -0.25):
    f = lambda p, y=y: mp.exp(mp.mpf(y)) if p == 0 else mp.exp(mp.log1p(p * y) / p)  # noqa: E731
    row("special.inv_boxcox", f, around(0.0, 0.25, 1.0), y, None)
    row("special.inv_boxcox1p", lambda p, f=f: f(p) - 1, ZERO, y, None)

# -- error functions and integrals ---------------------------------------------------------------------

row("special.erf", mp.erf, around(0.0, 1.0))
row("special.erfc", mp.erfc, around(0.0, 3.0))
row("special.erfi", mp.erfi, around(0.0, 1.0))
row("special.erfcx", lambda x: mp.exp(x * x) * mp.erfc(x), around(0.0, 3.0, 10.0))
row("special.dawsn", lambda x: mp.exp(-x * x) * mp.erfi(x) * mp.sqrt(pi) / 2, around(0.0, 6.5, -6.5, 1.0, 10.0))
row("special.ndtr", mp.ncdf, around(0.0, 2.0))
row("special.log_ndtr", lambda x: mp.log(mp.ncdf(x)), around(0.0, 2.0, -2.0, -4.242640687119285, -8.0))
row("special.erfinv", mp.erf, around(0.0, 0.5), inverse=True, start=lambda y: float(mp.erfinv(y)))
row("special.erfcinv", mp.erfc, around(1.0, 0.5), inverse=True, start=lambda y: float(mp.erfinv(1 - y)))
row("special.ndtri", mp.ncdf, around(0.5, 0.1), inverse=True, start=lambda y: 1.4142135 * float(mp.erfinv(2 * y - 1)))
row("special.ndtri_exp", lambda x: mp.log(mp.ncdf(x)), around(-0.6931471805599453, -5.0), inverse=True,
    start=lambda y: 1.4142135 * float(mp.erfinv(2 * mp.exp(y) - 1)))  # fmt: skip


def owens_t(h: Any, a: Any) -> Any:
    return mp.quad(lambda t: mp.exp(-h * h * (1 + t * t) / 2) / (1 + t * t), [0, a]) / (2 * pi)


for a in (0.0, 0.5, 1.0, -2.0):
    row("special.owens_t", lambda h, a=a: -mp.erf(a * h / mp.sqrt(2)) * mp.exp(-h * h / 2) / mp.sqrt(8 * pi),
        around(0.0, 1.0), None, a, slope=True)  # fmt: skip
for h in (0.0, 1.0):
    row("special.owens_t", lambda a, h=h: mp.exp(-h * h * (1 + a * a) / 2) / (1 + a * a) / (2 * pi),
        around(0.0, 1.0), h, None, slope=True)  # fmt: skip
row("special.exp1", mp.e1, around(1.0) + right(0.0, end=False))
row(
    "special.expi",
    lambda x: mp.re(mp.ei(x)),
    around(1.0, -1.0, 0.0)[:14] + right(0.0, end=False) + left(0.0, end=False),
)
for n in range(7):
    row("special.expn", lambda x, n=n: mp.expint(n, x), around(1.0) + right(0.0, end=n > 5), n, None)
row("special.fresnel", mp.fresnels, around(0.0, 1.0), part=0)
row("special.fresnel", mp.fresnelc, around(0.0, 1.0), part=1)
row("special.sici", mp.si, around(0.0, 1.0, -1.0, 3.0), part=0)
row("special.sici", mp.ci, around(1.0) + right(0.0, end=False), part=1)
row("special.shichi", mp.shi, around(0.0, 1.0, -1.0), part=0)
row("special.shichi", mp.chi, around(1.0) + right(0.0, end=False), part=1)

# -- gamma ---------------------------------------------------------------------------------------------

row("special.gamma", mp.gamma, around(1.0, 2.0, 1.4616321449683622, -0.5) + around(0.0, -1.0)[1:7] + around(-1.0)[1:])
for name in ("gammaln", "loggamma"):
    row(f"special.{name}", mp.loggamma, around(1.0, 2.0, 1.4616321449683622) + right(0.0, end=False))
row("special.gammaln", lambda x: mp.log(abs(mp.gamma(x))), around(-0.5) + around(-1.0)[1:])
row("special.rgamma", mp.rgamma, around(0.0, -1.0, -2.0, -3.0, -10.0, 0.5, 1.0, 2.0))
for name in ("psi", "digamma"):
    row(f"special.{name}", mp.psi0 if hasattr(mp, "psi0") else lambda x: mp.psi(0, x),
        around(1.0, 1.4616321449683622, -0.5) + around(0.0)[1:] + around(-1.0)[1:])  # fmt: skip
for n in (0, 1, 2, 3):
    row("special.polygamma", lambda x, n=n: mp.psi(n, x), around(1.0, 2.0) + right(0.0, end=False), n, None)
row(
    "special.multigammaln", lambda x: mp.log(pi) / 2 + mp.loggamma(x) + mp.loggamma(x - half), around(1.0, 2.0), None, 2
)


def pochhammer(z: Any, m: float) -> Any:
    if m != int(m):
        return mp.gammaprod([z + m], [z])
    return mp.fprod([z + i for i in range(int(m))]) if m >= 0 else 1 / mp.fprod([z - i for i in range(1, int(-m) + 1)])


for m in (0.0, 1.0, 2.0, 3.0, 5.0, -1.0, -2.0, 0.5, -1.5):
    at = around(0.0, -1.0, -2.0, 1.0, -3.0) if m >= 0 else around(0.0, -1.0, -3.0)
    if m == -1.5:
        at = around(0.0, -1.0, 2.0)
    row("special.poch", lambda z, m=m: pochhammer(z, m), at + around(-1.25, 2.5), None, m)
for z in (1.0, 2.0, 0.5, -1.5, -2.0):
    row("special.poch", lambda m, z=z: mp.gamma(z + m) * mp.rgamma(mp.mpf(z)),
        around(0.0, 1.0, 2.0) if z > -2 else around(2.25, 3.0), z, None)  # fmt: skip
for k in (0.0, 1.0, 2.0, 3.0, 7.0):
    row("special.binom", lambda n, k=k: mp.fprod([n - i for i in range(int(k))]) / mp.factorial(k),
        around(0.0, 1.0, -1.0, 2.0, -2.0, 3.0, 5.0, 6.5), None, k)  # fmt: skip
for k in (0.5, -1.0, 2.5):
    row("special.binom", lambda n, k=k: mp.gamma(n + 1) * mp.rgamma(mp.mpf(k) + 1) * mp.rgamma(n - k + 1),
        around(0.0, 1.0, 2.0, 2.5, -0.5), None, k)  # fmt: skip
for n in (0.0, 1.0, 3.0, 2.5, -0.5):
    row("special.binom", lambda k, n=n: mp.gamma(n + one) * mp.rgamma(k + 1) * mp.rgamma(n - k + 1),
        around(0.0, 1.0, 2.0, -1.0, -2.0, 3.0, 4.0, 1.5), n, None)  # fmt: skip


def beta(a: Any, b: float) -> Any:
    if b == int(b):
        return mp.factorial(b - 1) / mp.fprod([a + i for i in range(int(b))])
    return mp.gamma(a) * mp.gamma(mp.mpf(b)) * mp.rgamma(a + b)


for b in (1.0, 2.0, 3.0, 0.5, 16.0, -0.5, -1.5):
    at = around(1.0, 2.0, 16.0) if b > 0 else around(0.5, 1.5, 2.5)
    at = at + (around(-2.0) if b == 1 else around(-3.0) if b == 2 else around(-0.5, -1.5) if b == 0.5 else [])
    row("special.beta", lambda a, b=b: beta(a, b), at, None, b)
    row("special.beta", lambda a, b=b: beta(a, b), at, b, None)
    row(
        "special.betaln",
        lambda a, b=b: mp.log(abs(beta(a, b))),
        around(1.0, 2.0, 16.0) if b > 0 else around(2.25),
        None,
        b,
    )

# -- Bessel --------------------------------------------------------------------------------------------


# f_v' = (first f_(v-1) + second f_(v+1))/2, and f_v exp(rate x) by Leibniz's rule
def cylinder(f: Any, v: float, first: int, second: int, rate: int = 0) -> Any:
    def derivative(x: Any, n: int) -> Any:
        def plain(k: int) -> Any:
            terms = [mp.binomial(k, j) * first ** (k - j) * second**j * f(v - k + 2 * j, x) for j in range(k + 1)]
            return mp.fsum(terms) / mp.mpf(2) ** k

        if not rate:
            return plain(n)
        side = rate if rate > 0 else -mp.sign(x)
        return mp.exp(side * x) * mp.fsum([mp.binomial(n, k) * side ** (n - k) * plain(k) for k in range(n + 1)])

    return Closed(derivative)


def bessel(kind: str, v: float, rate: int = 0) -> Any:
    f, signs = {
        "j": (mp.besselj, (1, -1)),
        "y": (mp.bessely, (1, -1)),
        "i": (mp.besseli, (1, 1)),
        "k": (mp.besselk, (-1, -1)),
    }[kind]
    return cylinder(f, v, *signs, rate)


for n in (0, 1):
    for kind in "ji":
        row(f"special.{kind}{n}", bessel(kind, n), around(0.0, 1.5, -1.5, 2.404825557695773))
    for kind in "yk":
        row(f"special.{kind}{n}", bessel(kind, n), around(1.0) + right(0.0, end=False))
    row(f"special.i{n}e", bessel("i", n, -1), right(0.0, end=False) + left(0.0, end=False) + around(1.5, 25.0, -25.0))
    row(f"special.k{n}e", bessel("k", n, 1), right(0.0, end=False) + around(1.0, 25.0))
for v in (0.0, 1.0, 2.0, 3.0, 0.5, 4.5):
    ends = around(0.0, 1.0, -1.0) if v == int(v) else right(0.0, end=False) + around(1.0)
    for kind in "jiyk":
        at = ends if kind in "ji" else around(1.0) + right(0.0, end=False)
        row(f"special.{kind}v", bessel(kind, v), at, v, None)
    row("special.ive", bessel("i", v, -1), right(0.0, end=False) + around(1.0, 25.0, 30.0), v, None)
    row("special.kve", bessel("k", v, 1), right(0.0, end=False) + around(1.0, 25.0), v, None)
for n in (0, 1, 2):
    for kind in "yk":
        row(f"special.{kind}n", bessel(kind, n), around(1.0) + right(0.0, end=False), n, None)
for v in (0.0, 1.0, 2.0, 3.0, 0.5, -0.5, -1.0):
    ends = around(0.0, 4.0, -4.0) if v == int(v) else right(0.0, end=False) + around(4.0)
    row("special.struve", lambda x, v=v: mp.struveh(v, x), ends, v, None)
    row("special.modstruve", lambda x, v=v: mp.struvel(v, x), ends, v, None)
for part, (f, d) in enumerate([(mp.airyai, 0), (mp.airyai, 1), (mp.airybi, 0), (mp.airybi, 1)]):
    row("special.airy", lambda x, f=f, d=d: f(x, derivative=d), around(0.0, 1.0), part=part)

# -- elliptic, hypergeometric, zeta --------------------------------------------------------------------

row("special.ellipk", mp.ellipk, around(0.0) + left(1.0, end=False))
row("special.ellipe", mp.ellipe, around(0.0) + left(1.0, end=False))
row("special.ellipkm1", lambda p: mp.ellipk(1 - p), around(1.0) + right(0.0, end=False))
for m in (0.0, 0.5, -1.0):
    row(
        "special.ellipkinc",
        lambda t, m=m: 1 / mp.sqrt(1 - m * mp.sin(t) ** 2),
        around(0.0, 1.5707963267948966, 3.0),
        None,
        m,
        slope=True,
    )
    row(
        "special.ellipeinc",
        lambda t, m=m: mp.sqrt(1 - m * mp.sin(t) ** 2),
        around(0.0, 1.5707963267948966, 3.0),
        None,
        m,
        slope=True,
    )
for p in (0.0, 0.5, 2.0, -4.0):
    row("special.ellipkinc", lambda m, p=p: mp.ellipf(p, m), around(0.0, 0.5), p, None, digits=25)
    row("special.ellipeinc", lambda m, p=p: mp.ellipe(p, m), around(0.0, 0.5), p, None, digits=25)
for b in (1.0, 2.0):
    row("special.agm", lambda a, b=b: mp.agm(a, b), around(1.0, 2.0), None, b)
for v in (1.0, 2.5):
    row("special.hyp0f1", lambda z, v=v: mp.hyp0f1(v, z), around(0.0, 1.0), v, None)
    row("special.hyp1f1", lambda z, v=v: mp.hyp1f1(v, 2.0, z), around(0.0, 1.0), v, 2.0, None)
    row("special.hyp2f1", lambda z, v=v: mp.hyp2f1(v, 0.5, 2.0, z), around(0.0, 0.25), v, 0.5, 2.0, None)
row("special.lambertw", lambda x: mp.lambertw(x), around(0.0, 1.0))
row("special.wrightomega", lambda x: mp.lambertw(mp.exp(x)), around(0.0, 1.0, -5.0))
for name, f in {"zeta": mp.zeta, "zetac": lambda x: mp.zeta(x) - 1}.items():
    row(f"special.{name}", f, around(0.0, 2.0, -1.0, -2.0, -3.0) + around(1.0)[1:], digits=30)
for q in (1.0, 0.5, 2.5):
    row("special.zeta", lambda s, q=q: mp.zeta(s, q), around(2.0, 3.0) + right(1.0, end=False), None, q, digits=30)
row("special.zeta", lambda q: mp.zeta(3.0, q), around(1.0, 2.0), 3.0, None, digits=30)
row("special.spence", lambda z: mp.polylog(2, 1 - z), around(1.0, 0.5, 1.5, 2.0) + right(0.0, end=False), digits=30)


def legendre(m: int, v: int) -> Any:
    """The associated Legendre function of whole order and degree, as polynomial and root."""
    c = mp.taylor(lambda x: mp.legendre(v, x), 0, v)[::-1]
    for _ in range(m):
        n = len(c) - 1
        c = [a * (n - i) for i, a in enumerate(c[:-1])]
    return lambda x: (-1) ** m * (1 - x * x) ** (mp.mpf(m) / 2) * mp.polyval(c, x)


for m, v in ((0, 1), (0, 2), (0, 3), (1, 2), (2, 2), (2, 3), (1, 5), (0, 8)):
    ends = left(1.0, end=m != 1) + right(-1.0, end=m != 1)
    row("special.lpmv", legendre(m, v), around(0.0, 0.5) + ends, float(m), float(v), None)

# -- incomplete gamma functions ------------------------------------------------------------------------


def gamma_density(a: Any, x: Any) -> Any:
    return (
        mp.mpf(0) if x == 0 and a > 1 else mp.exp(-x) * mp.rgamma(mp.mpf(a)) * (1 if a == 1 else x ** (mp.mpf(a) - 1))
    )


def lower(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


for a in (1.0, 2.0, 3.0, 7.0, 0.5, 2.5, 16.0, 15.999, 40.0):
    ends = right(0.0, end=a == int(a))
    density = lambda x, a=a: gamma_density(a, x)  # noqa: E731
    row("special.gammainc", density, ends + around(1.0, a), a, None, slope=True)
    row("special.gammaincc", lambda x, d=density: -d(x), ends + around(1.0, a), a, None, slope=True)
    row("special.gdtr", lambda x, d=density: 2 * d(2 * x), ends + around(1.0), 2.0, a, None, slope=True)
    row("special.gdtr", lambda r, d=density: 2 * d(2 * r), ends + around(1.0), None, a, 2.0, slope=True)
    row("special.gdtrc", lambda x, d=density: -2 * d(2 * x), ends + around(1.0), 2.0, a, None, slope=True)
    row("special.chdtr", lambda x, d=density: d(x / 2) / 2, ends + around(1.0), 2 * a, None, slope=True)
    row("special.chdtrc", lambda x, d=density: -d(x / 2) / 2, ends + around(1.0), 2 * a, None, slope=True)
for k in (0.0, 1.0, 2.5, 6.0, 15.0):
    density = lambda m, k=k: gamma_density(int(k) + 1, m)  # noqa: E731
    row("special.pdtr", lambda m, d=density: -d(m), right(0.0) + around(1.0), k, None, slope=True)
    row("special.pdtrc", density, right(0.0) + around(1.0), k, None, slope=True)
for x in (0.5, 1.0, 2.0, 5.0):
    at = around(1.0, 2.0, 16.0)
    row("special.gammainc", lambda a, x=x: lower(a, x), at, None, x, digits=30)
    row("special.gammaincc", lambda a, x=x: -lower(a, x), at, None, x, digits=30)
    row("special.gdtr", lambda a, x=x: lower(a, 2 * x), around(1.0), 2.0, None, x, digits=30)
    row("special.chdtr", lambda v, x=x: lower(v / 2, x / 2), around(2.0), None, x, digits=30)
for a in (1.0, 2.0, 0.5, 20.0):
    row("special.gammaincinv", lambda x, a=a: lower(a, x), around(0.5), a, None, inverse=True, digits=25,
        start=lambda y, a=a: a * 0.9)  # fmt: skip
    row("special.gammainccinv", lambda x, a=a: 1 - lower(a, x), around(0.5), a, None, inverse=True, digits=25,
        start=lambda y, a=a: a * 0.9)  # fmt: skip
    row("special.chdtri", lambda x, a=a: 1 - lower(a, x / 2), around(0.5), 2 * a, None, inverse=True, digits=25,
        start=lambda y, a=a: a * 1.8)  # fmt: skip
row("special.gammaincinv", lambda y: -mp.log1p(-y), right(0.0), 1.0, None)
row("special.gammainccinv", lambda y: -mp.log(y), left(1.0), 1.0, None)
row("special.chdtri", lambda y: -2 * mp.log(y), left(1.0), 2.0, None)
row("special.pdtri", lambda y: -mp.log(y), left(1.0, end=False) + around(0.5), 0, None)

# -- incomplete beta functions -------------------------------------------------------------------------


def power(x: Any, p: Any) -> Any:
    return mp.mpf(1) if p == 0 else mp.mpf(0) if x == 0 else x**p


def beta_density(a: Any, b: Any, x: Any) -> Any:
    a, b = mp.mpf(a), mp.mpf(b)
    return power(x, a - 1) * power(1 - x, b - 1) / mp.beta(a, b)


def share(a: Any, b: Any, x: Any) -> Any:
    return mp.betainc(a, b, 0, x, regularized=True)


SHAPES = ((1.0, 1.0), (1.0, 3.0), (2.0, 3.0), (3.0, 1.0), (2.0, 2.0), (5.0, 7.0), (0.5, 2.0), (2.5, 0.5), (2.0, 20.0),
          (20.0, 2.0), (20.0, 30.0), (1.0, 40.0))  # fmt: skip
for a, b in SHAPES:
    ends = right(0.0, end=a == int(a)) + left(1.0, end=b == int(b)) + around(0.5, a / (a + b))
    density = lambda x, a=a, b=b: beta_density(a, b, x)  # noqa: E731
    row("special.betainc", density, ends, a, b, None, slope=True)
    row("special.betaincc", lambda x, d=density: -d(x), ends, a, b, None, slope=True)


def f_density(m: Any, n: Any, x: Any) -> Any:
    total = n + m * x
    return beta_density(m / 2, n / 2, m * x / total) * m * n / total**2


for m, n in ((2.0, 4.0), (4.0, 3.0), (1.0, 5.0), (6.0, 40.0), (40.0, 50.0)):
    at = right(0.0, end=m % 2 == 0) + around(1.0)
    row("special.fdtr", lambda x, m=m, n=n: f_density(m, n, x), at, m, n, None, slope=True)
    row("special.fdtrc", lambda x, m=m, n=n: -f_density(m, n, x), at, m, n, None, slope=True)
for k, n in ((0, 1), (1, 3), (2, 3), (3, 3), (5, 40), (20, 40), (0, 30)):
    at = right(0.0) + left(1.0) + around(0.5)
    density = (lambda p: mp.mpf(0)) if k == n else lambda p, k=k, n=n: beta_density(k + 1, n - k, p)
    row("special.bdtr", lambda p, d=density: -d(p), at, float(k), n, None, slope=True)
    row("special.bdtrc", density, at, float(k), n, None, slope=True)
for k, n in ((0, 1), (1, 3), (2, 2), (20, 5)):
    density = lambda p, k=k, n=n: beta_density(n, k + 1, p)  # noqa: E731
    row("special.nbdtr", density, right(0.0) + left(1.0) + around(0.5), k, n, None, slope=True)
    row("special.nbdtrc", lambda p, d=density: -d(p), right(0.0) + left(1.0) + around(0.5), k, n, None, slope=True)
for x in (0.25, 0.75):
    for c in (1.0, 2.5):
        row("special.betainc", lambda a, c=c, x=x: share(a, c, x), around(1.0, 2.0), None, c, x, digits=25)
        row("special.betainc", lambda b, c=c, x=x: share(c, b, x), around(1.0, 2.0), c, None, x, digits=25)
for c in (2.0, 3.0):
    row(
        "special.fdtr",
        lambda m, c=c: share(m / 2, c / 2, m * 0.75 / (c + m * 0.75)),
        around(2.0),
        None,
        c,
        0.75,
        digits=25,
    )
    row(
        "special.fdtr",
        lambda n, c=c: share(c / 2, n / 2, c * 0.75 / (n + c * 0.75)),
        around(2.0),
        c,
        None,
        0.75,
        digits=25,
    )
for a, b in ((1.0, 3.0), (2.0, 2.0)):
    row("special.betaincinv", lambda x, a=a, b=b: share(a, b, x), around(0.5), a, b, None, inverse=True, digits=25,
        start=lambda y, a=a, b=b: 0.2 if a == 1 else 0.5)  # fmt: skip
    row("special.betainccinv", lambda x, a=a, b=b: 1 - share(a, b, x), around(0.5), a, b, None, inverse=True, digits=25,
        start=lambda y, a=a, b=b: 0.2 if a == 1 else 0.5)  # fmt: skip
row("special.betaincinv", lambda y: 1 - mp.cbrt(1 - y), right(0.0), 1.0, 3.0, None)
row("special.fdtri", lambda y: 2 * (1 / mp.sqrt(1 - y) - 1), right(0.0) + around(0.5), 2.0, 4.0, None)
row("special.gammaincinv", lambda y: mp.erfinv(y) ** 2, right(0.0), 0.5, None)
row("special.gammainccinv", lambda y: mp.erfinv(1 - y) ** 2, left(1.0), 0.5, None)
row("special.chdtri", lambda y: 2 * mp.erfinv(1 - y) ** 2, left(1.0), 1.0, None)
row("special.betaincinv", lambda y: mp.sin(pi * y / 2) ** 2, right(0.0) + left(1.0), 0.5, 0.5, None)
row("special.betainccinv", lambda y: mp.cos(pi * y / 2) ** 2, right(0.0) + left(1.0), 0.5, 0.5, None)
row("special.betaincinv", lambda y: y * y, right(0.0), 0.5, 1.0, None)
row("special.fdtri", lambda y: 2 * y * y / (1 - y * y), right(0.0), 1.0, 2.0, None)
row("special.bdtri", lambda y: 1 - y, right(0.0) + left(1.0) + around(0.5), 0.0, 1, None)
row("special.nbdtri", lambda y: y, right(0.0) + around(0.5), 0, 1, None)

# -- Student's t ---------------------------------------------------------------------------------------


def t_density(df: Any, t: Any) -> Any:
    df = mp.mpf(df)
    return (1 + t * t / df) ** (-(df + 1) / 2) / (mp.sqrt(df) * mp.beta(df / 2, half))


def student(df: Any, t: float) -> Any:
    t = mp.mpf(t)
    return mp.sign(t) * mp.betainc(half, df / 2, 0, t * t / (df + t * t), regularized=True) / 2


for df in (1.0, 3.0, 0.5, 100.0):
    row("special.stdtr", lambda t, df=df: t_density(df, t), around(0.0, 0.5, -2.0), df, None, slope=True)
    row("special.stdtrit", lambda t, df=df: student(mp.mpf(df), t) + half, around(0.5), df, None, inverse=True, digits=25,
        start=lambda p: 4 * (p - 0.5))  # fmt: skip
for t in (0.0, 0.25, 0.5, 2.0):
    row("special.stdtr", lambda df, t=t: student(df, t), around(1.0, 3.0), None, t, digits=25)

# -- the standard's elementwise functions, and those beside them -----------------------------------------

for name, f, at in (
    ("tanh", mp.tanh, around(0.0, 1.0)), ("atan", mp.atan, around(0.0, 1.0)), ("asinh", mp.asinh, around(0.0, 1.0)),
    ("asin", mp.asin, around(0.0) + left(1.0, end=False) + right(-1.0, end=False)),
    ("acos", mp.acos, around(0.0) + left(1.0, end=False) + right(-1.0, end=False)),
    ("acosh", mp.acosh, around(2.0) + right(1.0, end=False)), ("atanh", mp.atanh, around(0.0) + left(1.0, end=False)),
    ("tan", mp.tan, around(0.0, 1.0)), ("sinh", mp.sinh, ZERO), ("cosh", mp.cosh, ZERO), ("sin", mp.sin, ZERO),
    ("cos", mp.cos, ZERO), ("exp", mp.exp, ZERO), ("expm1", mp.expm1, ZERO), ("log1p", mp.log1p, ZERO),
    ("log", mp.log, around(1.0) + right(0.0, end=False)), ("log2", lambda x: mp.log(x, 2), around(1.0)),
    ("log10", mp.log10, around(1.0)), ("sqrt", mp.sqrt, around(1.0) + right(0.0, end=False)),
    ("square", lambda x: x * x, ZERO), ("reciprocal", lambda x: 1 / x, around(1.0, -1.0)),
    ("sigmoid", lambda x: 1 / (1 + mp.exp(-x)), around(0.0, 20.0, -20.0)),
):  # fmt: skip
    row(name, f, at)
for y in (1.0, 0.0, -2.0):
    row("logaddexp", lambda x, y=y: mp.log(mp.exp(x) + mp.exp(y)), around(0.0, 1.0), None, y)
    if y:
        row("hypot", lambda x, y=y: mp.hypot(x, y), around(0.0, 1.0), None, y)
        row("hypot", lambda x, y=y: mp.hypot(x, y), around(0.0, 1.0), y, None)
        row("atan2", lambda x, y=y: mp.atan(x / y), around(0.0, 1.0), None, y)
        row("atan2", lambda x, y=y: -mp.atan(x / y), around(0.0, 1.0), y, None)
row("hypot", lambda x: x, right(0.0, end=False) + around(1.0), None, 0.0)
for p in (0.0, 1.0, 2.0, 3.0, 5.0, -1.0):
    at = around(0.0, 1.0, -1.0) if p >= 0 else around(1.0, -1.0)
    row("pow", lambda x, p=p: x**p, at, None, p)
row("pow", lambda p: mp.mpf(0), around(1.0, 2.0), 0.0, None)
row("pow", lambda p: mp.mpf(2) ** p, around(0.0, 1.0), 2.0, None)
row("pow", lambda p: mp.mpf(1), around(0.0, 1.0), 1.0, None)

# -- activations ---------------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


BOTH = right(0.0, end=False) + left(0.0, end=False)
row("nn.functional.mish", lambda x: x * mp.tanh(mp.log1p(mp.exp(x))), around(0.0, 2.0, -2.0))
row("nn.functional.silu", lambda x: x * sigmoid(x), around(0.0, 2.0))
row("nn.functional.gelu", lambda x: x * mp.ncdf(x), around(0.0, 2.0, -2.0))
row(
    "nn.functional.gelu",
    lambda x: x * sigmoid(2 * mp.sqrt(2 / pi) * (x + mp.mpf("0.044715") * x**3)),
    around(0.0, 2.0),
    None,
    "tanh",
)
row("nn.functional.sigmoid", sigmoid, around(0.0, 20.0, -20.0))
row("nn.functional.logsigmoid", lambda x: -mp.log1p(mp.exp(-x)), around(0.0, 2.0))
row("nn.functional.softplus", lambda x: mp.log1p(mp.exp(x)), around(0.0, 2.0, -2.0))
row("nn.functional.softplus", lambda x: mp.log1p(mp.exp(2 * x)) / 2, around(0.0), None, 2.0)
row("nn.functional.tanh", mp.tanh, ZERO)
row("nn.functional.tanhshrink", lambda x: x - mp.tanh(x), ZERO)
row("nn.functional.softsign", lambda x: x / (1 + abs(x)), BOTH)
row("nn.functional.elu", lambda x: mp.expm1(x), left(0.0))
row("nn.functional.elu", lambda x: x, right(0.0, end=False))
row("nn.functional.elu", lambda x: 2 * mp.expm1(x), left(0.0), None, 2.0)
row("nn.functional.celu", lambda x: 2 * mp.expm1(x / 2), left(0.0), None, 2.0)
row("nn.functional.celu", lambda x: x, right(0.0, end=False), None, 0.5)
row("nn.functional.selu", lambda x: mp.mpf("1.7580993408473768599402175208123") * mp.expm1(x), left(0.0))
row("nn.functional.hardswish", lambda x: x * (x + 3) / 6, around(0.0) + right(-3.0, end=False) + left(3.0, end=False))
row("nn.functional.hardsigmoid", lambda x: (x + 3) / 6, around(0.0) + right(-3.0, end=False) + left(3.0, end=False))
row("nn.functional.relu", lambda x: x, right(0.0, end=False))
row("nn.functional.leaky_relu", lambda x: x / 100, left(0.0))
row("nn.functional.hardtanh", lambda x: x, around(0.0) + right(-1.0, end=False) + left(1.0, end=False))
row("nn.functional.softshrink", lambda x: x - half, right(0.5, end=False))
row("nn.functional.hardshrink", lambda x: x, right(0.5, end=False))
for y in (0.0, 3.0):
    row("softmax", lambda x, y=y: mp.exp(x) / (mp.exp(x) + mp.exp(y)), around(0.0, 3.0), None, y, part=0)
    row("log_softmax", lambda x, y=y: x - mp.log(mp.exp(x) + mp.exp(y)), around(0.0, 3.0), None, y, part=0)
    row("logsumexp", lambda x, y=y: mp.log(mp.exp(x) + mp.exp(y)), around(0.0, 3.0), None, y)

# -- losses ----------------------------------------------------------------------------------------------

for t in (0.0, 1.0, 0.25):
    row("nn.functional.mse_loss", lambda x, t=t: (x - t) ** 2, around(t), None, t)
    row("nn.functional.huber_loss", lambda x, t=t: (x - t) ** 2 / 2, around(t) + left(t + 1, end=False), None, t)
    row("nn.functional.smooth_l1_loss", lambda x, t=t: (x - t) ** 2 / 2, around(t) + left(t + 1, end=False), None, t)
    row("nn.functional.l1_loss", lambda x, t=t: abs(x - t), right(t, end=False) + left(t, end=False), None, t)
    row(
        "nn.functional.binary_cross_entropy",
        lambda x, t=t: -t * mp.log(x) - (1 - t) * mp.log1p(-x),
        around(0.5, 0.25),
        None,
        t,
    )
    row("nn.functional.binary_cross_entropy_with_logits", lambda x, t=t: (1 - t) * x + mp.log1p(mp.exp(-x)),
        around(0.0, 2.0), None, t)  # fmt: skip
    row("nn.functional.kl_div", lambda x, t=t: -t * x, around(0.0), None, t)
    row("nn.functional.poisson_nll_loss", lambda x, t=t: mp.exp(x) - t * x, around(0.0), None, t)
    row("nn.functional.gaussian_nll_loss", lambda x, t=t: (x - t) ** 2 / 4, around(t), None, t, 2.0)
    row("nn.functional.gaussian_nll_loss", lambda v, t=t: (mp.log(v) + (1 - t) ** 2 / v) / 2, around(1.0), 1.0, t, None)
    row(
        "nn.functional.kl_div",
        lambda y, t=t: (y * mp.log(y) if y else 0) - y * t,
        around(1.0) + right(0.0, end=False),
        t,
        None,
    )
for t in (1.0, -1.0):
    row("nn.functional.soft_margin_loss", lambda x, t=t: mp.log1p(mp.exp(-t * x)), around(0.0, 2.0), None, t)
    row("nn.functional.hinge_embedding_loss", lambda x, t=t: x if t == 1 else 1 - x, around(0.5), None, t)
