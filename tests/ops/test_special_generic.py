"""The versions of special functions for libraries that have none, against SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

import polygrad as pg
import polygrad.special  # its kernels
from polygrad.core.kernels import GENERIC

XP: Any = pg.Device("cpu").raw
rng = np.random.default_rng(5)
_SIGNED = np.concatenate([-np.geomspace(1e-8, 1e6, 40), np.geomspace(1e-8, 1e6, 40)])
_SHARES = np.concatenate([np.geomspace(1e-8, 0.4, 30), np.linspace(0.01, 0.99, 50), 1 - np.geomspace(1e-8, 0.4, 30)])
_FREE = np.geomspace(0.3, 300.0, 110)

ROWS: dict[str, tuple[Any, ...]] = {
    "agm": (np.geomspace(1e-20, 1e20, 60), np.concatenate([np.geomspace(1e-3, 1e30, 59), [0.0]])),
    "ellipe": (np.concatenate([-np.geomspace(1e-9, 1e6, 40), [0.0, 1.0], _SHARES]),),
    "spence": (
        np.concatenate([[0.0, 1.0, 2.0, np.inf - np.inf], np.geomspace(1e-9, 1e9, 80), 1 + _SIGNED[_SIGNED > -1]]),
    ),
    "stdtr": (np.resize(_FREE, 80), np.clip(_SIGNED, -1e4, 1e4)),
    "stdtrit": (_FREE, _SHARES),
    "betainccinv": (_FREE, _FREE[::-1].copy(), _SHARES),
    "powm1": (
        np.geomspace(1e-3, 1e3, 60),
        np.concatenate([-np.geomspace(1e-12, 20.0, 30), np.geomspace(1e-12, 20.0, 30)]),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_as_scipy(name: str) -> None:
    rtol = {"betainccinv": 1e-9, "stdtrit": 1e-8}.get(name, 1e-12)
    with np.errstate(all="ignore"):
        found = GENERIC[f"special.{name}"](XP, *ROWS[name])
        wanted = getattr(scipy.special, name)(*ROWS[name])
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-300)


def test_means_of_signs() -> None:
    a, b = np.asarray([-1.0, -2.0, 1.0, 0.0, -3.0, 1e300]), np.asarray([-4.0, 3.0, -1.0, 5.0, 0.0, 1e-300])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(GENERIC["special.agm"](XP, a, b), scipy.special.agm(a, b), rtol=1e-12)


def test_powers_of_negative_numbers() -> None:
    x, y = np.asarray([-2.0, -0.5, 0.0, 0.0]), np.asarray([3.0, -2.0, 2.0, 0.0])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(GENERIC["special.powm1"](XP, x, y), scipy.special.powm1(x, y))
