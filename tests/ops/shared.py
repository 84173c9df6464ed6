"""What tests of ops share."""

from __future__ import annotations

from typing import Any

import numpy as np

import polygrad as pg


def slope(f: Any, *args: Any, argnums: Any = 0) -> Any:
    return pg.grad(lambda *xs: pg.sum(f(*xs)), argnums=argnums)(*[np.asarray(a, "float64") for a in args])


def host(x: Any) -> Any:
    return np.asarray(x.detach().to_device("cpu").numpy())


def signed(like: Any, seed: int) -> Any:
    """Random signed numbers, none of them small, in an array's shape and dtype, on the host."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.5, 1.5, like.shape) * rng.choice([-1.0, 1.0], like.shape)
    if like.dtype.kind == "c":
        values = values + 1j * rng.standard_normal(like.shape)
    return np.asarray(values, dtype=like.dtype.name)


def check_as_on_numpy(f: Any, arrays: Any, device: Any, forward: bool = False, rtol: float = 1e-10) -> None:
    """Gradients (``forward``: tangents) along random directions: what they are on NumPy, where differences have checked
    them. On libraries that compile or schedule each op this costs a tenth of differences. ``f`` takes the device first."""
    inexact = [i for i, x in enumerate(arrays) if x.dtype.kind in "fc"]
    points = [arrays[i] for i in inexact]

    def call(*some: Any) -> tuple[Any, ...]:
        place = some[0].device
        given = [pg.asarray(x, device=place, copy=True) for x in arrays]
        for i, x in zip(inexact, some, strict=True):
            given[i] = x
        out = f(place, *given)
        return tuple(y for y in (out if isinstance(out, tuple) else (out,)) if y.dtype.inexact)

    def on(place: Any, values: Any) -> tuple[Any, ...]:
        return tuple(pg.asarray(x, device=place, copy=True) for x in values)

    def derivatives(place: Any) -> Any:
        if forward:
            return pg.jvp(call, on(place, points), on(place, directions))[1]
        return pg.vjp(call, *on(place, points))[1](on(place, directions))

    along = points if forward else [host(y) for y in call(*on(pg.Device("cpu"), points))]
    directions = [signed(x, i) for i, x in enumerate(along)]
    expected, found = derivatives(pg.Device("cpu")), derivatives(device)
    pg.compute(*found)
    for e, y in zip(expected, found, strict=True):
        assert y.device is device
        assert y.dtype is e.dtype
        np.testing.assert_allclose(host(y), host(e), rtol=rtol, atol=rtol * np.abs(host(e)).max(initial=1e-300))
