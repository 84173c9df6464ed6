"""Every row of the table, on every backend: values, both modes, second order, types, no side effects."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as reference
import numpy as np
import pytest
import rows_extras  # noqa: F401  (appends its rows)
import rows_linalg  # noqa: F401  (appends its rows)
import rows_special
from shared import check_as_on_numpy
from table import ROWS, Row

import polygrad as pg
from polygrad.core.op import OPS
from polygrad.testing import check_adjoint, check_jvp, check_second_order, check_vjp

CASES = [
    pytest.param(row, sample, id=f"{row.name}-{i}")
    for row in [*ROWS, *rows_special.ROWS]
    for i, sample in enumerate(row.samples)
]
NARROW = {pg.float64: pg.float32, pg.complex128: pg.complex64}
SMOOTH = [c for c in CASES if c.values[0].differentiable]


def arrays(sample: Any, device: Any) -> list[Any]:
    return [pg.asarray(x, device=device, copy=True) for x in sample]


def run(row: Row, tensors: list[Any]) -> tuple[Any, ...]:
    out = row.f(
        tensors[0].__array_namespace__() if tensors[0].device.name != "strict:device1" else tensors[0].device.xp,
        *tensors,
    )
    return out if isinstance(out, tuple) else (out,)


def function(row: Row, device: Any) -> Any:
    own, xp = row.f, device.xp  # what else a row has guards would look at

    def f(*tensors: Any) -> Any:
        return own(xp, *tensors)

    f.__name__ = row.name
    return f


@pytest.mark.over(CASES, first=("strict", "jax:cpu"))
def test_value(row: Row, sample: Any, device: Any) -> None:
    found = run(row, arrays(sample, device))
    with np.errstate(all="ignore"):
        expected = row.f(reference, *[x.copy() for x in sample]) if row.reference is None else row.reference(*sample)
    expected = expected if isinstance(expected, tuple) else (expected,)
    assert len(found) == len(expected)
    for y, e in zip(found, expected, strict=True):
        assert y.device is device
        got = np.asarray(y.detach().to_device("cpu").numpy())
        assert y.dtype == np.asarray(e).dtype
        np.testing.assert_allclose(got, e, rtol=1e-12, atol=1e-14)


@pytest.mark.devices("numpy", "strict", "torch", "cupy")
@pytest.mark.part(8, "strict")
@pytest.mark.over(SMOOTH, first=("strict",))
def test_vjp(row: Row, sample: Any, device: Any) -> None:
    check_vjp(function(row, device), arrays(sample, device), rtol=row.rtol)


@pytest.mark.devices("numpy", "strict", "cupy")
@pytest.mark.part(8, "strict")
@pytest.mark.over(SMOOTH, first=("strict", "strict:device1"))
def test_jvp(row: Row, sample: Any, device: Any) -> None:
    check_jvp(function(row, device), arrays(sample, device), rtol=row.rtol)


@pytest.mark.devices("numpy", "strict", "torch", "cupy")
@pytest.mark.part(8, "strict")
@pytest.mark.one_in(3, "strict:device1")
@pytest.mark.over(SMOOTH, first=("strict", "strict:device1"))
def test_jvp_against_vjp(row: Row, sample: Any, device: Any) -> None:
    check_adjoint(function(row, device), arrays(sample, device))


@pytest.mark.devices("jax", "dask")
@pytest.mark.part(2, "jax:cpu")
@pytest.mark.over(SMOOTH, first=("jax:cpu", "dask"))
def test_vjp_as_on_numpy(row: Row, sample: Any, device: Any) -> None:
    check_as_on_numpy(lambda place, *tensors: row.f(place.xp, *tensors), sample, device)


@pytest.mark.devices("jax", "dask")
@pytest.mark.part(4, "jax:cpu", "dask")
@pytest.mark.over(SMOOTH, first=("jax:cpu", "dask"))
def test_jvp_as_on_numpy(row: Row, sample: Any, device: Any) -> None:
    check_as_on_numpy(lambda place, *tensors: row.f(place.xp, *tensors), sample, device, forward=True)


@pytest.mark.devices("numpy", "strict", "cupy")
@pytest.mark.part(8, "strict")
@pytest.mark.one_in(12, "strict:device1")
@pytest.mark.over([c for c in SMOOTH if c.values[0].second], first=("strict", "strict:device1"))
def test_second_order(row: Row, sample: Any, device: Any) -> None:
    check_second_order(function(row, device), arrays(sample, device), rtol=row.rtol)


@pytest.mark.part(8, "strict", "jax:cpu", "dask")
@pytest.mark.one_in(3, "strict:device1")
@pytest.mark.over(SMOOTH, first=("strict", "strict:device1", "jax:cpu", "dask"))
def test_float32(row: Row, sample: Any, device: Any) -> None:
    """Results and gradients in single precision: of the inputs' dtype, and gradients close to those in double."""
    wide = arrays(sample, device)
    narrow = [pg.astype(x, NARROW.get(x.dtype, x.dtype)) for x in wide]
    results, kept = [], []
    for tensors in (narrow, wide):
        leaves = [x.detach().requires_grad_() if x.dtype.inexact else x for x in tensors]
        if row.name.startswith("astype"):
            leaves = wide
        made = run(row, leaves)
        kept.append([y.dtype for y in made])
        outputs = [y for y in made if y.requires_grad]
        total = sum(
            (pg.real(pg.sum(y * y)) if y.dtype.kind == "c" else pg.sum(y * y) for y in outputs),
            pg.asarray(0.0, device=device),
        )
        if total.requires_grad:
            total.backward()
        results.append([(x, x.grad) for x in leaves if x.requires_grad])
    if not row.name.startswith(("astype", "quantile of lists")):  # the numbers of a list are float64, as NumPy's
        assert kept[0] == [NARROW.get(dtype, dtype) for dtype in kept[1]]
    for (x, g), (_, h) in zip(*results, strict=True):
        if h is None:
            assert g is None
            continue
        assert g is not None
        assert (g.dtype, g.shape, g.device) == (x.dtype, x.shape, device)
        a, b = (np.asarray(v.to_device("cpu").numpy()) for v in (g, h))
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)


@pytest.mark.devices("numpy", "strict", "torch", "cupy")  # JAX's and Dask's arrays do not change
@pytest.mark.part(8, "strict")
@pytest.mark.one_in(3, "strict:device1")
@pytest.mark.over(SMOOTH, first=("strict", "strict:device1"))
def test_no_side_effects(row: Row, sample: Any, device: Any) -> None:
    """Forward and backward change no input, and gradients share no memory with inputs or each other."""
    leaves = [x.requires_grad_() if x.dtype.inexact else x for x in arrays(sample, device)]
    before = [np.array(x.detach().to_device("cpu").numpy(), copy=True) for x in leaves]
    outputs = [y for y in run(row, leaves) if y.requires_grad]
    for y in outputs:
        y.backward(pg.ones_like(y), retain_graph=True)
    for x, b in zip(leaves, before, strict=True):
        np.testing.assert_array_equal(np.asarray(x.detach().to_device("cpu").numpy()), b)
    grads = [x.grad for x in leaves if x.requires_grad and x.grad is not None]
    kept = [np.array(g.to_device("cpu").numpy(), copy=True) for g in grads]
    for i, g in enumerate(grads):
        if g.size:
            g[...] = 77.0
            for j, other in enumerate(grads):
                if j > i:
                    np.testing.assert_array_equal(np.asarray(other.to_device("cpu").numpy()), kept[j])
    for x, b in zip(leaves, before, strict=True):
        np.testing.assert_array_equal(np.asarray(x.detach().to_device("cpu").numpy()), b)


def test_every_function_of_the_standard_is_in_the_table() -> None:
    import inspect

    import table

    from polygrad.array_api import FUNCTIONS

    source = inspect.getsource(table)
    creation = {
        "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "linspace", "ones", "ones_like",
        "zeros", "zeros_like", "can_cast", "finfo", "iinfo", "isdtype", "result_type", "broadcast_shapes",
    }  # fmt: skip
    missing = [n for n in FUNCTIONS if n not in creation and f'"{n}' not in source and f"xp.{n}(" not in source]
    assert not missing


def test_every_op_has_both_rules_or_none() -> None:
    for op in OPS.values():
        assert [r is None for r in op.vjps] == [r is None for r in op.jvps], op.name
