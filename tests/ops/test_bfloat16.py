"""bfloat16 on NumPy: every row of the table gives bfloat16, close to what float32 gives, eager and compiled."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows_extras  # noqa: F401  (appends its rows)
import rows_special
from polygrad_backends import bfloat16
from table import ROWS, Row

import polygrad as pg
from polygrad.errors import DTypeError, NoFunctionError, TraceError

ml_dtypes = pytest.importorskip("ml_dtypes")

REAL = [row for row in [*ROWS, *rows_special.ROWS] if all(x.dtype == "float64" for x in row.samples[0])]


def narrowed(row: Row) -> list[Any]:
    return [np.asarray(x, ml_dtypes.bfloat16) for x in row.samples[0]]


def function(row: Row, device: pg.Device) -> Callable[..., Any]:
    own, xp = row.f, device.xp

    def f(*tensors: Any) -> Any:
        out = own(xp, *tensors)
        return out if isinstance(out, tuple) else (out,)

    return f


def slopes(f: Callable[..., Any], arrays: list[Any]) -> Any:
    def loss(*xs: Any) -> Any:
        outputs = [y for y in f(*xs) if y.dtype.kind in "fc"]
        return sum(
            (pg.sum(pg.real(y * y) if y.dtype.kind == "c" else y * y) for y in outputs),
            pg.asarray(0.0, dtype="float32", device=xs[0].device),
        )

    return pg.grad(loss, argnums=tuple(range(len(arrays))))(*arrays)


def close(found: Any, expected: Any, tolerance: float) -> None:
    if expected is None:
        assert found is None
        return
    a, b = (
        np.asarray(v.to_device("cpu").numpy(), "complex128" if v.dtype.kind == "c" else "float64")
        for v in (found, expected)
    )
    assert a.shape == b.shape
    if expected.dtype == pg.float32:
        assert found.dtype == pg.bfloat16
    elif expected.dtype.kind != "c":
        assert found.dtype == expected.dtype
    scale = np.max(np.abs(b), initial=0.0, where=np.isfinite(b))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def check(row: Row, device: pg.Device, executor: str | None) -> None:
    f, arrays = function(row, device), [pg.asarray(x, device=device) for x in narrowed(row)]
    wide = [pg.astype(x, "float32") for x in arrays]
    compiled = (lambda f: f) if executor is None else functools.partial(pg.compile, executor=executor)
    refused = ""
    try:
        found, expected = compiled(f)(*arrays), f(*wide)
    except (DTypeError, TraceError) as error:
        refused = str(error)
    if refused:  # linear algebra and transforms, or shapes that depend on values
        assert "needs float32, float64" in refused or (executor is not None and "depends on values" in refused)
        return
    for a, b in zip(found, expected, strict=True):
        close(a, b, 0.04)
    if row.differentiable:
        gradients = compiled(lambda *xs: slopes(f, list(xs)))(*arrays)
        for a, b in zip(gradients, slopes(f, wide), strict=True):
            close(a, b, 0.15)


@pytest.mark.one_in(3)
@pytest.mark.devices("numpy", "cupy")
@pytest.mark.parametrize("row", REAL, ids=[row.name for row in REAL])
def test_values_and_gradients(row: Row, device: pg.Device) -> None:
    if device.backend.name in row.skip:
        pytest.skip(row.skip[device.backend.name])
    try:
        check(row, device, None)
    except NoFunctionError as error:  # cupyx's special functions are fewer
        assert device.backend.name == "cupy"
        pytest.skip(str(error))


@pytest.mark.one_in(6)
@pytest.mark.parametrize("executor", ["planned", "native"])
@pytest.mark.parametrize("row", REAL, ids=[row.name for row in REAL])
def test_compiled(row: Row, executor: str) -> None:
    check(row, pg.Device("cpu"), executor)


def test_sums_and_products_are_made_in_float32() -> None:
    x = np.ones(4000, ml_dtypes.bfloat16)
    assert pg.sum(x).item() == 4000  # ml_dtypes' own sums end at 256
    assert pg.mean(pg.asarray(x)).item() == 1
    assert pg.sum(x, dtype="float32").dtype is pg.float32
    product = pg.ones((2, 3, 4), dtype="bfloat16") @ pg.ones((4, 5), dtype="bfloat16")
    assert product.dtype is pg.bfloat16
    assert (pg.asarray(x) * pg.ones(4000, dtype="float32")).dtype is pg.float32
    assert pg.asarray([1.0, 2.5], dtype="bfloat16").tolist() == [1.0, 2.5]
    assert pg.finfo(pg.bfloat16).eps == 2.0**-7
    with pytest.raises(DTypeError, match="float32"):
        pg.linalg.inv(pg.eye(2, dtype="bfloat16"))


def test_dask_makes_as_many_arrays_as_before() -> None:
    pytest.importorskip("dask")
    pg.exp(np.ones(3, ml_dtypes.bfloat16))
    x = np.linspace(0.1, 2.0, 4)
    for a, b in zip(pg.special.fresnel(pg.asarray(x, device="dask")), pg.special.fresnel(x), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_network_learns_in_bfloat16() -> None:
    rng = np.random.default_rng(0)
    net = pg.nn.Sequential(pg.nn.Linear(4, 16), pg.nn.Tanh(), pg.nn.Linear(16, 1)).to(dtype="bfloat16")
    x = pg.asarray(rng.normal(size=(64, 4)).astype(ml_dtypes.bfloat16))
    y = pg.sum(x, axis=1, keepdims=True)
    optimizer = pg.optim.SGD(net.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = pg.nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert {p.dtype for p in net.parameters()} == {pg.bfloat16}
    assert losses[-1] < 0.1 * losses[0]


FIRST_USES = {
    "made": "print(pg.sum(pg.ones(300, dtype='bfloat16')).item())",
    "taken": "import ml_dtypes; print(pg.sum(np.ones(300, ml_dtypes.bfloat16)).item())",
    "cast to while differentiating": "print(pg.grad(lambda x: pg.sum(pg.astype(x, 'bfloat16') * 3.0))(np.ones(3))[0] * 100.0)",
    "in vmap": "print(pg.vmap(lambda x: pg.sum(pg.astype(x, 'bfloat16')))(np.ones((2, 300)))[0])",
    "in eight threads at once": (
        "import ml_dtypes, concurrent.futures as c\n"
        "sums = c.ThreadPoolExecutor(8).map(lambda _: pg.sum(np.ones(300, ml_dtypes.bfloat16)).item(), range(64))\n"
        "print(*set(sums))"
    ),
    "compiled": "print(pg.compile(pg.grad(lambda x: pg.sum(pg.astype(x, 'bfloat16') * 3.0)))(np.ones(3))[0] * 100.0)",
}


@pytest.mark.parametrize("name", FIRST_USES)
def test_it_is_there_from_the_first_use_on_and_not_before(name: str) -> None:
    before = "import sys, numpy as np, polygrad as pg\npg.exp(np.ones(3))\nassert 'ml_dtypes' not in sys.modules\n"
    run = subprocess.run([sys.executable, "-c", before + FIRST_USES[name]], capture_output=True, text=True, check=True)
    assert float(run.stdout) == 300.0


def test_graphs_with_bfloat16_are_saved(tmp_path: Path) -> None:
    graph = pg.trace(lambda x: pg.astype(x, "bfloat16") * 2.0, pg.Spec((3,), "float64"))
    graph.save(tmp_path / "graph")
    assert pg.graph.load(tmp_path / "graph")(np.ones(3)).dtype is pg.bfloat16


def test_without_ml_dtypes_an_error_says_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pg.ones(3, dtype="bfloat16")
    monkeypatch.delitem(pg.Device("cpu").backend.native_dtypes, "bfloat16")
    monkeypatch.setattr(bfloat16, "find_spec", lambda name: None)
    with pytest.raises(DTypeError, match=r"'numpy' has no dtype bfloat16.*ml_dtypes"):
        pg.asarray([1.0], dtype="bfloat16")
