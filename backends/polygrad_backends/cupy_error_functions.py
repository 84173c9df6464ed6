"""The error function's relatives that CuPy lacks: of complex numbers, Dawson's integral and Fresnel's integrals.

All come from the Faddeeva function ``w(z) = exp(-z**2) * erfc(-1j * z)`` by J. A. C. Weideman's series of rational functions
("Computation of the complex error function", SIAM Journal on Numerical Analysis 31, 1994), whose 40 terms are right to
1e-14, and close to 0 from their own power series.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Final

__all__ = ["ERROR_FUNCTIONS"]

_TERMS: Final = 40

_CODE: Final = r"""
typedef complex<double> cd;
static __device__ const double weights[] = {%(weights)s};
__device__ cd faddeeva(cd z) {  // of the upper half plane
    const double L = %(scale)r;
    cd iz(-z.imag(), z.real()), below = L - iz, ratio = (L + iz) / below, p = weights[0];
    for (int n = 1; n < %(terms)d; ++n) p = p * ratio + weights[n];
    return 2.0 * p / (below * below) + 0.5641895835477563 / below;
}
__device__ cd erf_near(cd z, double sign) {  // sign -1: erf, 1: erfi
    cd square = sign * z * z, term = z, sum = z;
    for (int n = 1; n < 40; ++n) { term = term * square / (double)n; sum = sum + term / (2.0 * n + 1); }
    return 1.1283791670955126 * sum;
}
__device__ cd complex_erf(cd z) {
    if (isinf(z.real()) && isfinite(z.imag())) return cd(z.real() > 0 ? 1 : -1, 0);
    if (abs(z) < 1.5) return erf_near(z, -1);
    double s = z.real() < 0 ? -1 : 1;
    cd v = s * z;
    return s * (1.0 - exp(-v * v) * faddeeva(cd(-v.imag(), v.real())));
}
__device__ cd complex_erfc(cd z) {
    if (z.real() < 0 || abs(z) < 1.5) return 1.0 - complex_erf(z);
    if (isinf(z.real()) && isfinite(z.imag())) return cd(0, 0);
    return exp(-z * z) * faddeeva(cd(-z.imag(), z.real()));
}
__device__ cd complex_erfi(cd z) {
    cd turned = complex_erf(cd(-z.imag(), z.real()));
    return cd(turned.imag(), -turned.real());
}
__device__ double dawson(double x) {
    if (isinf(x)) return 1 / x;
    if (fabs(x) < 1.5) return exp(-x * x) * erf_near(cd(x, 0), 1).real() * 0.886226925452758;
    return copysign(faddeeva(cd(fabs(x), 0)).imag() * 0.886226925452758, x);
}
__device__ double real_erfi(double x) {
    if (fabs(x) < 1.5) return erf_near(cd(x, 0), 1).real();
    return isinf(x) ? x : 1.1283791670955126 * exp(x * x) * dawson(x);
}
__device__ double fresnel_near(double x, int first) {  // 0: C, 1: S
    double t = 1.5707963267948966 * x * x, term = first ? t * x : x, sum = 0;
    for (int n = first; n < 40; n += 2) { sum += term / (2 * n + 1); term *= -t * t / ((n + 1.0) * (n + 2.0)); }
    return sum;
}
__device__ double fresnel(double x, int first) {
    if (fabs(x) < 1.5) return fresnel_near(x, first);
    if (isinf(x)) return copysign(0.5, x);
    double z = 0.886226925452758 * x;
    cd e = complex_erf(cd(z, -z));
    return first ? (e.real() + e.imag()) / 2 : (e.real() - e.imag()) / 2;
}
"""


@cache
def _preamble() -> str:
    """The code with Weideman's weights: Fourier coefficients of ``exp(-t**2) * (L**2 + t**2)`` at ``t = L * tan(theta/2)``."""
    import numpy as np

    half = 2 * _TERMS
    scale = math.sqrt(_TERMS / math.sqrt(2))
    t = scale * np.tan(np.arange(-half + 1, half) * math.pi / half / 2)
    values = np.concatenate([[0.0], np.exp(-(t**2)) * (scale**2 + t**2)])
    weights = np.real(np.fft.fft(np.fft.fftshift(values)))[1 : _TERMS + 1][::-1] / (2 * half)
    return _CODE % {"weights": ", ".join(map(repr, weights.tolist())), "scale": scale, "terms": _TERMS}


@cache
def _kernel(name: str, dtype: str, body: str) -> Any:
    cp = import_module("cupy")
    return cp.ElementwiseKernel(f"{dtype} x", f"{dtype} y", body, f"polygrad_{name}_{dtype}", preamble=_preamble())


_Function = Callable[..., Any]


def _of_real(name: str, body: str) -> Callable[[Any], _Function]:
    return lambda library: lambda x: _kernel(name, x.dtype.name, body)(x)


def _of_complex(name: str, real: Callable[[Any], _Function]) -> Callable[[Any], _Function]:
    def of(library: Any) -> _Function:
        of_real = real(library)

        def call(x: Any) -> Any:
            if x.dtype.kind != "c":
                return of_real(x)
            kind = f"complex<{'float' if x.dtype.itemsize == 8 else 'double'}>"
            return _kernel(name, x.dtype.name, f"y = {kind}(complex_{name}(complex<double>(x)))")(x)

        return call

    return of


def _fresnel(library: Any) -> _Function:
    parts = [_of_real(f"fresnel{first}", f"y = fresnel((double)x, {first})")(library) for first in (1, 0)]
    return lambda x: tuple(part(x) for part in parts)


ERROR_FUNCTIONS: Final[dict[str, Callable[[Any], _Function]]] = {
    "dawsn": _of_real("dawsn", "y = dawson((double)x)"),
    "erf": _of_complex("erf", lambda library: library.erf),
    "erfc": _of_complex("erfc", lambda library: library.erfc),
    "erfi": _of_complex("erfi", _of_real("erfi", "y = real_erfi((double)x)")),
    "fresnel": _fresnel,
}
"""By name: each takes cupyx's module and returns the function."""
