"""Elementary functions for float32 and float64, many numbers at a time, as LLVM's instructions.

Each is within 2.5 units in the last place of the true value (those made of several, logaddexp and sigmoid_slope: 4) for
all arguments, those at infinity, at zero and nan among them; tests/backends/test_native_functions.py measures it. The
ways and coefficients are those of S. Moshier's Cephes library and of fdlibm (Sun Microsystems, 1993).
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial, inf, nan
from typing import Final

from ..numpy_networks import GELU_FIT
from .emit import Lanes

__all__ = ["FUNCTIONS", "cos", "exp", "gelu_parts", "log", "log1p", "logaddexp", "sigmoid", "sin", "tanh", "tanh_slope"]

_LOG2_E: Final = 1.4426950408889634
_EXP_32: Final = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_EXP_64: Final = tuple(1 / factorial(n) for n in range(13, 1, -1))
_TANH_32: Final = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
_TANH_64_P: Final = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_TANH_64_Q: Final = (1.0, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)
_SIN_32: Final = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS_32: Final = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SIN_64: Final = (
    1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06, -1.98412698298579493134e-04,
    8.33333333332248946124e-03, -1.66666666666666324348e-01,
)  # fmt: skip
_COS_64: Final = (
    -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07, 2.48015872894767294178e-05,
    -1.38888888888741095749e-03, 4.16666666666666019037e-02,
)  # fmt: skip
_HALF_PI_32: Final = (1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8, -1.7151244994428829e-15)
_HALF_PI_64: Final = (
    1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624871116645580e-21, 8.47842766036889956997e-32,
)  # fmt: skip
_LOG_32: Final = (0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693)
_LOG_64: Final = (
    1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01,
    2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01,
)  # fmt: skip
_LOG_2: Final = {32: (6.9313812256e-01, 9.0580006145e-06), 64: (6.93147180369123816490e-01, 1.90821492927058770002e-10)}
_ROUNDER: Final = {32: 1.5 * 2.0**23, 64: 1.5 * 2.0**52}
"""Added and taken away again it rounds to a whole number, which the low bits of the sum are."""


def _rounded(v: Lanes, x: str, scale: float) -> tuple[str, str]:
    """``round(scale x)``, as a number and as an integer. (fptosi would be undefined for nan.)"""
    rounder = v.number(_ROUNDER[v.bits])
    moved = v.fma(x, v.number(scale), rounder)
    whole = v.ints("sub", v.as_integers(moved), v.as_integers(rounder))
    return v.sub(moved, rounder), whole


def _power_of_two(v: Lanes, n: str) -> str:
    mantissa, bias = (23, 127) if v.bits == 32 else (52, 1023)
    return v.as_numbers(v.ints("shl", v.ints("add", n, v.integer(bias)), v.integer(mantissa)))


def exp(v: Lanes, x: str) -> str:
    """2^n e^r, where n = round(x / log 2) and |r| <= log(2) / 2 (Cephes)."""
    x = v.clamped(x, -104.0, 89.0) if v.bits == 32 else v.clamped(x, -746.0, 710.0)
    n, whole = _rounded(v, x, _LOG2_E)
    high, low = (0.693359375, -2.12194440e-4) if v.bits == 32 else (6.93145751953125e-1, 1.42860682030941723212e-6)
    r = v.fma(n, v.number(-low), v.fma(n, v.number(-high), x))
    p = v.polynomial(r, _EXP_32 if v.bits == 32 else _EXP_64)
    e = v.add(v.fma(v.mul(r, r), p, r), v.number(1.0))
    half = v.ints("ashr", whole, v.integer(1))  # in two steps: 2^n alone may be out of range
    return v.mul(v.mul(e, _power_of_two(v, half)), _power_of_two(v, v.ints("sub", whole, half)))


def log(v: Lanes, x: str) -> str:
    """Of x = 2^k m with m within sqrt(1/2) and sqrt(2), by the odd series in (m - 1) / (m + 1) (fdlibm)."""
    mantissa, least, root = (23, 2.0**-126, 0x3F3504F3) if v.bits == 32 else (52, 2.0**-1022, 0x3FE6A09E667F3BCD)
    tiny = v.compare("less", x, v.number(least))
    scaled = v.choose(tiny, v.mul(x, v.number(2.0**mantissa)), x)
    bits = v.ints("sub", v.as_integers(scaled), v.integer(root))
    k = v.ints("ashr", bits, v.integer(mantissa))
    m = v.as_numbers(v.ints("sub", v.as_integers(scaled), v.ints("shl", k, v.integer(mantissa))))
    k = v.ints("sub", k, v.choose(tiny, v.integer(mantissa), v.integer(0), v.whole))
    power = v.emitter.make(f"sitofp {v.whole} {k} to {v.type}")
    f = v.sub(m, v.number(1.0))
    s = v.div(f, v.add(f, v.number(2.0)))
    z = v.mul(s, s)
    r = v.mul(z, v.polynomial(z, _LOG_32 if v.bits == 32 else _LOG_64))
    half = v.mul(v.mul(f, f), v.number(0.5))
    high, low = _LOG_2[v.bits]
    tail = v.fma(s, v.add(half, r), v.mul(power, v.number(low)))
    made = v.fma(power, v.number(high), v.sub(f, v.sub(half, tail)))
    made = v.choose(v.compare("less", x, v.number(inf)), made, x)  # inf and nan are their own
    made = v.choose(v.compare("equal", x, v.number(0.0)), v.number(-inf), made)
    return v.choose(v.compare("less", x, v.number(0.0)), v.number(nan), made)


def log1p(v: Lanes, x: str) -> str:
    """log(w) + (x - (w - 1)) / w with w = 1 + x as it is rounded."""
    one = v.number(1.0)
    w = v.add(x, one)
    made = v.add(log(v, w), v.div(v.sub(x, v.sub(w, one)), w))
    plain = v.logical("or", v.compare("equal", w, v.number(0.0)), v.compare("equal", w, v.number(inf)))
    made = v.choose(plain, v.choose(v.compare("less", x, v.number(0.0)), v.number(-inf), x), made)
    return v.choose(v.compare("equal", x, v.number(0.0)), x, made)  # -0.0 stays


def logaddexp(v: Lanes, a: str, b: str) -> str:
    """The larger one + log1p(e^-|a - b|)."""
    larger = v.extreme("greater", a, b)
    made = v.add(larger, log1p(v, exp(v, v.neg(v.unary("fabs", v.sub(a, b))))))
    return v.choose(v.compare("equal", a, b), v.add(a, v.number(0.6931471805599453)), made)


def tanh(v: Lanes, x: str) -> str:
    """1 - 2 / (e^2|x| + 1), and near 0 a polynomial or rational function (Cephes)."""
    size = v.unary("fabs", x)
    z = v.mul(x, x)
    if v.bits == 32:
        near = v.fma(v.mul(z, v.polynomial(z, _TANH_32)), size, size)
    else:
        ratio = v.div(v.polynomial(z, _TANH_64_P), v.polynomial(z, _TANH_64_Q))
        near = v.fma(v.mul(z, ratio), size, size)
    one = v.number(1.0)
    far = v.sub(one, v.div(v.number(2.0), v.add(exp(v, v.add(size, size)), one)))
    return _signed(v, v.choose(v.compare("ult", size, v.number(0.625)), near, far), x)


def _signed(v: Lanes, size: str, x: str) -> str:
    sign = v.ints("and", v.as_integers(x), v.integer(-(1 << (v.bits - 1))))
    return v.as_numbers(v.ints("or", v.as_integers(size), sign))


def sin(v: Lanes, x: str) -> str:
    """By quadrants: sine or cosine of what is left of the nearest multiple of pi / 2 (Cephes, fdlibm)."""
    return _circular(v, x, 0, "sin")


def cos(v: Lanes, x: str) -> str:
    """See :func:`sin`."""
    return _circular(v, x, 1, "cos")


def _circular(v: Lanes, x: str, shift: int, name: str) -> str:
    n, quadrant = _rounded(v, x, 2 / 3.141592653589793)
    r = x
    for part in _HALF_PI_32 if v.bits == 32 else _HALF_PI_64:
        r = v.fma(n, v.number(-part), r)
    z = v.mul(r, r)
    one = v.number(1.0)
    sine = v.fma(v.mul(z, v.polynomial(z, _SIN_32 if v.bits == 32 else _SIN_64)), r, r)
    half = v.mul(z, v.number(0.5))
    top = v.sub(one, half)
    lost = v.sub(v.sub(one, top), half)
    cosine = v.add(top, v.fma(v.mul(z, z), v.polynomial(z, _COS_32 if v.bits == 32 else _COS_64), lost))
    if shift:
        quadrant = v.ints("add", quadrant, v.integer(shift))
    odd = v.compare_integers("ne", v.ints("and", quadrant, v.integer(1)), v.integer(0))
    turned = v.ints("shl", v.ints("and", quadrant, v.integer(2)), v.integer(v.bits - 2))
    made = v.as_numbers(v.ints("xor", v.as_integers(v.choose(odd, cosine, sine)), turned))
    if not shift:  # -0.0 stays
        made = v.choose(v.compare("equal", x, v.number(0.0)), x, made)
    # The parts of pi / 2 are exact up to here; beyond, and for infinities and nan, the C library is asked.
    limit = v.number(2.0**13 if v.bits == 32 else 2.0**20)
    far = v.any(v.compare("ugt", v.unary("fabs", x), limit))
    return _rarely(v, far, made, lambda: _one_by_one(v, x, name))


def _one_by_one(v: Lanes, x: str, name: str) -> str:
    e, name = v.emitter, name + ("f" if v.bits == 32 else "")
    if v.width == 1:
        return e.call(v.kind, name, (v.kind, x))
    made = "poison"
    for i in range(v.width):
        one = e.call(v.kind, name, (v.kind, e.make(f"extractelement {v.type} {x}, i32 {i}")))
        made = e.make(f"insertelement {v.type} {made}, {v.kind} {one}, i32 {i}")
    return made


def _rarely(v: Lanes, condition: str, usual: str, other: Callable[[], str]) -> str:
    """``usual``, or ``other()`` if the condition holds, which is worked out only then."""
    e = v.emitter
    before, rare, after = e.block, e.new("rare"), e.new("after")
    e.branch(condition, rare, after)
    e.begin(rare)
    made = other()
    end = e.block
    e.jump(after)
    e.begin(after)
    return e.make(f"phi {v.type} [ {usual}, %{before} ], [ {made}, %{end} ]")


def sigmoid(v: Lanes, x: str) -> str:
    """1 / (1 + e^-|x|) for positive numbers, e^-|x| / (1 + e^-|x|) for negative ones."""
    e = exp(v, v.neg(v.unary("fabs", x)))
    one = v.number(1.0)
    return v.div(v.choose(v.compare("less", x, v.number(0.0)), e, one), v.add(e, one))


def sigmoid_slope(v: Lanes, x: str) -> str:
    """e / (1 + e)^2 with e = e^-|x|."""
    e = exp(v, v.neg(v.unary("fabs", x)))
    d = v.add(e, v.number(1.0))
    return v.div(e, v.mul(d, d))


def tanh_slope(v: Lanes, out: str, x: str) -> str:
    """1 - out^2; where that has lost digits, 4 e^2 / (1 + e^2)^2 with e = e^-|x|."""
    one = v.number(1.0)
    slope = v.sub(one, v.mul(out, out))
    lost = v.compare("ole", slope, v.number(1e-3))

    def exact() -> str:
        e = exp(v, v.neg(v.unary("fabs", x)))
        sech = v.div(v.add(e, e), v.fma(e, e, one))
        return v.choose(lost, v.mul(sech, sech), slope)

    return _rarely(v, v.any(lost), slope, exact)


def gelu_parts(v: Lanes, x: str) -> tuple[str, str]:
    """x Phi(x) and its derivative, in single precision, as NumPy's kernel does it (see there)."""
    t = v.div(v.number(1.0), v.fma(v.unary("fabs", x), v.number(8**-0.5), v.number(1.0)))
    bell = exp(v, v.mul(v.mul(x, x), v.number(-0.5)))
    p = v.mul(v.mul(v.polynomial(t, GELU_FIT), t), bell)  # Phi(-|x|)
    phi = v.choose(v.compare("greater", x, v.number(0.0)), v.sub(v.number(1.0), p), p)
    return v.mul(x, phi), v.fma(v.mul(bell, v.number(0.3989422804014327)), x, phi)


FUNCTIONS: Final[dict[str, Callable[..., str]]] = {
    "exp": exp, "log": log, "log1p": log1p, "logaddexp": logaddexp, "tanh": tanh, "sin": sin, "cos": cos,
    "sigmoid": sigmoid, "sigmoid_slope": sigmoid_slope,
}  # fmt: skip
"""By the names of instructions."""
