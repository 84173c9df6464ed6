"""Every op of the table, and its derivative, under the executor ``"native"``: what eager code gives, to rounding."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from polygrad_backends.native.engine import reason
from small import close as _close
from small import with_cotangents
from table import BY_VALUES, Row, every
from test_table import CASES, arrays, function

import polygrad as pg

FIXED = [c for c in CASES if c.values[0].name not in BY_VALUES]
SMOOTH = [c for c in FIXED if c.values[0].differentiable]

pytestmark = [
    pytest.mark.devices("numpy"),
    pytest.mark.skipif(reason() is not None, reason=str(reason())),
]


close = partial(_close, least=1e-2, single=2e-6)


@pytest.mark.parametrize(("row", "sample"), every(7, FIXED))
def test_every_op(row: Row, sample: Any, device: Any) -> None:
    f, xs = function(row, device), arrays(sample, device)
    with np.errstate(all="ignore"):
        close(pg.compile(f, executor="native")(*xs), f(*xs))


@pytest.mark.parametrize(("row", "sample"), every(11, SMOOTH))
def test_every_derivative(row: Row, sample: Any, device: Any) -> None:
    f, xs = function(row, device), arrays(sample, device)

    def pulled(*xs: Any) -> Any:
        return with_cotangents(f, xs)[1]

    with np.errstate(all="ignore"):
        close(pg.compile(pulled, executor="native")(*xs), pulled(*xs), 1e-11)
