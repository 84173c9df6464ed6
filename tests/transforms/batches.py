"""What tests of vmap share."""

from __future__ import annotations

from typing import Any

import numpy as np

import polygrad as pg


def host(x: Any) -> Any:
    x = x.detach() if isinstance(x, pg.Tensor) else pg.asarray(x)
    return np.asarray(x.to_device("cpu").numpy())


def on(device: pg.Device, values: Any) -> Any:
    return pg.asarray(np.array(values), device=device, copy=True)


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(host(found), host(expected), rtol=1e-10, atol=1e-12)
