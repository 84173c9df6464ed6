"""The rows of polygrad.special: every function, at points where it is smooth, with SciPy as the reference.

``test_table.py`` runs them as it runs those of ``table.py``. On a GPU a function may be missing: there, and only
there, the row skips with the error's own words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from table import Row

from polygrad.errors import NoFunctionError

ROWS: list[Row] = []
# Slopes by parameters are quadratures and series: second order takes seconds, so it is done on NumPy alone
# (test_special.py).
LONG = (
    *("betainc", "betaincc", "betaincinv", "betainccinv", "fdtr", "fdtrc", "fdtri", "stdtr", "stdtrit"),
    *("gammaincinv", "gammainccinv", "gdtr", "gdtrc", "chdtri"),
)
_rng = np.random.default_rng(20261124)


def between(low: float, high: float, *shape: int) -> Any:
    """Numbers in an interval, no two alike."""
    size = int(np.prod(shape))
    return (low + (high - low) * (_rng.permutation(size) + _rng.uniform(0.2, 0.8, size)) / size).reshape(shape)


def complex_numbers(*shape: int) -> Any:
    return between(-1.2, 1.3, *shape) + 1j * between(-0.9, 1.1, *shape)


def _named(name: str, fixed: tuple[Any, ...]) -> Callable[..., Any]:
    def f(xp: Any, *arrays: Any) -> Any:
        try:
            return getattr(xp.special, name)(*fixed, *arrays)
        except NoFunctionError as error:
            if arrays[0].device.type in ("cpu", "device1"):
                raise
            pytest.skip(str(error))

    f.__name__ = name
    return f


def row(name: str, *samples: Any, fixed: tuple[Any, ...] = (), **options: Any) -> None:
    """A function of ``polygrad.special``; ``fixed`` arguments go in front of the sample's."""
    reference = getattr(scipy.special, name)
    made = [s if isinstance(s, tuple) else (s,) for s in samples]
    title = f"special.{name}" + "".join(f" {v}" for v in fixed)
    options.setdefault("second", name not in LONG)
    options.setdefault("reference", lambda *arrays: reference(*fixed, *arrays))
    ROWS.append(Row(title, _named(name, fixed), made, **options))


# -- of one argument -----------------------------------------------------------------------------------

for _name, _low, _high in [
    ("cbrt", 0.3, 3.0), ("cosdg", -200.0, 200.0), ("cosm1", -3.0, 3.0), ("cotdg", 20.0, 160.0), ("dawsn", -3.0, 12.0),
    ("digamma", -0.8, 5.0), ("ellipe", -2.0, 0.9), ("ellipk", -2.0, 0.9), ("ellipkm1", 0.2, 3.0), ("entr", 0.1, 2.0),
    ("erfcinv", 0.1, 1.9), ("erfcx", -1.0, 12.0), ("erfinv", -0.9, 0.9), ("exp1", 0.3, 4.0), ("exp10", -1.0, 1.0),
    ("exp2", -2.0, 2.0), ("expi", 0.3, 3.0), ("expit", -4.0, 4.0), ("exprel", -3.0, 3.0), ("fresnel", -2.0, 2.0),
    ("gamma", 0.3, 4.0), ("gammaln", 0.3, 20.0), ("gammasgn", -0.9, -0.1), ("i0", -3.0, 3.0), ("i0e", -3.0, 30.0),
    ("i1", -3.0, 3.0), ("i1e", 0.2, 30.0), ("j0", -3.0, 9.0), ("j1", -3.0, 9.0), ("k0", 0.3, 3.0), ("k0e", 0.3, 30.0),
    ("k1", 0.3, 3.0), ("k1e", 0.3, 30.0), ("log_expit", -4.0, 4.0), ("log_ndtr", -6.0, 3.0), ("loggamma", 0.3, 4.0),
    ("logit", 0.1, 0.9), ("ndtr", -3.0, 3.0), ("ndtri", 0.05, 0.95), ("ndtri_exp", -6.0, -0.1), ("psi", 0.4, 20.0),
    ("rgamma", -1.7, 4.0), ("shichi", 0.3, 3.0), ("sici", 0.3, 6.0), ("sinc", -2.0, 2.0), ("sindg", -200.0, 200.0),
    ("softplus", -4.0, 4.0), ("spence", 0.3, 2.5), ("tandg", -70.0, 70.0), ("wrightomega", -3.0, 5.0),
    ("y0", 0.4, 9.0), ("y1", 0.4, 9.0), ("zeta", 1.4, 8.0), ("zetac", 1.4, 8.0), ("airy", -3.0, 2.0),
    ("log1p", -0.5, 2.0), ("expm1", -2.0, 2.0),
]:  # fmt: skip
    row(_name, between(_low, _high, 4))
for _name in ["erf", "erfc", "erfi"]:
    row(_name, between(-2.0, 2.0, 4), complex_numbers(3))
row("lambertw", between(0.3, 3.0, 3), complex_numbers(3))
row("gammaln", between(0.5, 3.0), np.zeros((0, 3)))
row("gammainc", (between(0.5, 3.0), np.zeros((0, 3)) + 1.0))
row("zeta", between(-3.5, -0.3, 4), between(0.1, 0.8, 3))

# -- of two arguments ----------------------------------------------------------------------------------

_A, _B = (0.4, 3.0), (0.4, 3.0)
for _name, _first, _second in [
    ("agm", (0.5, 3.0), (0.5, 3.0)), ("beta", (0.4, 12.0), _B), ("betaln", (0.4, 12.0), _B), ("binom", (2.0, 9.0), _B),
    ("boxcox", (0.4, 3.0), (-1.0, 1.5)), ("boxcox1p", (-0.5, 3.0), (-1.0, 1.5)), ("chdtr", (0.5, 9.0), (0.5, 9.0)),
    ("chdtrc", (0.5, 9.0), (0.5, 9.0)), ("chdtri", (0.7, 6.0), (0.2, 0.8)), ("ellipeinc", (-4.0, 4.0), (-1.0, 0.7)),
    ("ellipkinc", (-4.0, 4.0), (-1.0, 0.7)), ("gammainc", (0.4, 20.0), (0.3, 20.0)), ("gammaincc", _A, (0.3, 5.0)),
    ("gammaincinv", (0.6, 6.0), (0.2, 0.8)), ("gammainccinv", (0.6, 6.0), (0.2, 0.8)), ("huber", (0.8, 1.0), (1.4, 3.0)),
    ("huber", (1.4, 3.0), (-1.0, 1.0)), ("inv_boxcox", (-0.4, 1.0), (-0.9, 0.9)), ("inv_boxcox1p", (-0.4, 1.0), (-0.9, 0.9)),
    ("kl_div", (0.4, 3.0), (0.4, 3.0)), ("owens_t", (-2.0, 2.0), (-2.0, 2.0)), ("poch", (0.5, 4.0), (-0.3, 2.0)),
    ("powm1", (0.4, 2.0), (-2.0, 2.0)), ("pseudo_huber", (0.4, 3.0), (-3.0, 3.0)), ("rel_entr", (0.4, 3.0), (0.4, 3.0)),
    ("stdtr", (0.6, 12.0), (-3.0, 3.0)), ("stdtrit", (0.8, 12.0), (0.1, 0.9)), ("xlog1py", (-2.0, 2.0), (-0.6, 2.0)),
    ("xlogy", (-2.0, 2.0), (0.3, 3.0)), ("zeta", (1.5, 5.0), (0.4, 5.0)),
]:  # fmt: skip
    row(_name, (between(*_first, 3, 1), between(*_second, 2)))

# -- of three ------------------------------------------------------------------------------------------

for _name, _first, _second, _third in [
    ("betainc", (0.4, 12.0), (0.4, 3.0), (0.1, 0.9)), ("betaincc", (0.4, 3.0), (0.4, 12.0), (0.1, 0.9)),
    ("betaincinv", (0.6, 5.0), (0.6, 3.0), (0.2, 0.8)), ("betainccinv", (0.6, 5.0), (0.6, 3.0), (0.2, 0.8)),
    ("fdtr", (0.8, 9.0), (0.8, 9.0), (0.3, 3.0)), ("fdtrc", (0.8, 9.0), (0.8, 9.0), (0.3, 3.0)),
    ("fdtri", (0.9, 9.0), (0.9, 9.0), (0.3, 0.7)), ("gdtr", (0.5, 2.0), (0.5, 4.0), (0.4, 3.0)),
    ("gdtrc", (0.5, 2.0), (0.5, 4.0), (0.4, 3.0)), ("radian", (-90.0, 90.0), (0.5, 60.0), (0.5, 60.0)),
]:  # fmt: skip
    row(_name, (between(*_first, 2, 1), between(*_second, 2), between(*_third, 1, 2)))

# -- with counts and orders ----------------------------------------------------------------------------

for _order in (0, 1, 3):
    row("polygamma", between(0.4, 5.0, 3), fixed=(_order,))
    row("expn", between(0.4, 3.0, 3), fixed=(_order,))
    row("kn", between(0.4, 3.0, 3), fixed=(_order,))
    row("yn", between(0.5, 6.0, 3), fixed=(_order,))
for _real in (0.0, 0.5, 2.3):
    for _name in ("iv", "ive", "jv", "kv", "kve", "yv", "struve", "modstruve", "hyp0f1"):
        row(_name, between(0.4, 6.0, 3), fixed=(_real + (_name == "hyp0f1"),))
row("ive", between(28.0, 40.0, 3), fixed=(2.5,))
row("kve", between(28.0, 40.0, 3), fixed=(2.5,))
row("hyp1f1", between(-2.0, 2.0, 3), fixed=(0.7, 1.6))
row("hyp2f1", between(-0.8, 0.7, 3), fixed=(0.7, 1.6, 2.2))
for _order in (0, 1, 2):
    row("lpmv", between(-0.8, 0.8, 3), fixed=(_order, 2.5))
row("pdtr", between(0.4, 6.0, 3), fixed=(2.0,))
row("pdtrc", between(0.4, 6.0, 3), fixed=(2.0,))
row("pdtri", between(0.2, 0.8, 3), fixed=(2,))
for _name in ("bdtr", "bdtrc", "nbdtr", "nbdtrc"):
    row(_name, between(0.2, 0.8, 3), fixed=(2, 5))
row("bdtri", between(0.2, 0.8, 3), fixed=(2, 5))
row("nbdtri", between(0.2, 0.8, 3), fixed=(2, 5))
ROWS.append(
    Row(
        "special.multigammaln",
        lambda xp, a: xp.special.multigammaln(a, 3),
        [(between(1.5, 6.0, 3),)],
        reference=lambda a: scipy.special.multigammaln(a, 3),
    )
)
