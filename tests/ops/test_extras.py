"""What stands beyond the standard: every value on every library, edge cases, errors, slopes where they jump."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows_extras
import table

import polygrad as pg
from polygrad.errors import AxisError, DTypeError, ShapeError
from polygrad.testing import check_adjoint, check_grads

INF, NAN = float("inf"), float("nan")
ROWS = [r for r in table.ROWS if r.skip in (rows_extras.VARIANT, rows_extras.SLOW_VARIANT, rows_extras.MADE_OF_OTHERS)]
assert len(ROWS) > 100


def host(x: Any) -> Any:
    return np.asarray(x.detach().to_device("cpu").numpy())


def slope(f: Any, *args: Any, argnums: Any = 0) -> Any:
    return pg.grad(lambda *xs: pg.sum(f(*xs)), argnums=argnums)(*[np.asarray(a, "float64") for a in args])


@pytest.mark.devices("jax", "dask")
@pytest.mark.parametrize("row", [r for r in ROWS if "jax" in r.skip], ids=lambda r: r.name)
def test_values_where_the_table_leaves_them_out(row: table.Row, device: Any) -> None:
    sample = row.samples[-1]
    found = row.f(device.xp, *[pg.asarray(x, device=device, copy=True) for x in sample])
    found = found if isinstance(found, tuple) else (found,)
    assert row.reference is not None
    want = row.reference(*sample)
    for y, e in zip(found, want if isinstance(want, tuple) else (want,), strict=True):
        assert y.device is device
        assert y.dtype == np.asarray(e).dtype
        np.testing.assert_allclose(host(y), e, rtol=1e-12, atol=1e-14)


# -- pad ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_pad_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(0, 4))
    x = rng.uniform(-1, 1, rng.integers(1, 4, ndim))
    mode = str(rng.choice(["constant", "edge", "reflect", "symmetric", "wrap"]))
    pairs = rng.integers(0, 6, (ndim, 2)).tolist()
    forms: list[Any] = [pairs, int(rng.integers(0, 4)), (2, 1), ((1, 3),), np.asarray(pairs).reshape(ndim, 2)]
    if ndim:
        forms += [{-1: 2, 0: (1, 3)} if ndim > 1 else {0: (1, 3)}, [[n] for n, _ in pairs]]
    width = forms[seed % len(forms)] if ndim else 3
    options = {"constant_values": (0.5, -2.0)} if mode == "constant" and seed % 2 else {}
    want = np.pad(x, width, mode=mode, **options)
    got = pg.pad(x, width, mode, **options)
    np.testing.assert_array_equal(got.numpy(), want)
    check_adjoint(lambda v: pg.pad(v, width, mode, **options), [x])


def test_pad_keeps_the_dtype(device: Any) -> None:
    for dtype in ("int32", "uint8", "bool", "float32", "complex64"):
        x = pg.asarray(np.asarray([1, 0, 1], dtype), device=device)
        for mode in ("constant", "reflect", "wrap"):
            made = pg.pad(x, 1, mode=mode)
            assert (made.dtype, made.device) == (x.dtype, device)
            np.testing.assert_array_equal(host(made), np.pad(np.asarray([1, 0, 1], dtype), 1, mode=mode))
    assert pg.pad(pg.asarray([1, 2], device=device), 1, constant_values=7.0).tolist() == [7, 1, 2, 7]
    assert pg.pad(pg.asarray([1, 2], device=device), 1, constant_values=[7.0, 3]).tolist() == [7, 1, 2, 3]
    assert pg.pad(pg.asarray([False], device=device), 1, constant_values=(0, 1)).tolist() == [False, False, True]
    assert pg.pad(pg.asarray([1.5], device=device), (0, 1), constant_values=INF).tolist() == [1.5, INF]
    assert np.isnan(pg.pad(pg.asarray([1.5], device=device), (0, 1), constant_values=NAN)[1].item())


def test_pad_is_a_copy() -> None:
    for mode in ("constant", "edge"):
        for values in (0, (0, 0)) if mode == "constant" else (0,):
            x = pg.asarray([1.0, 2.0])
            made = pg.pad(x, 0, mode, values)
            made[0] = 9.0
            assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("args", "options", "error", "words"),
    [
        (([1.0], 1), {"mode": "linear_ramp"}, ValueError, "mode 'linear_ramp' is not one of constant, edge"),
        (([1.0], 1), {"mode": len}, ValueError, "is not one of"),
        (([1.0], -1), {}, ValueError, "must not be negative"),
        (([1.0], 1.5), {}, TypeError, "whole numbers"),
        (([1.0], (1, 2, 3)), {}, ShapeError, "fits no array of 1 dimensions"),
        (([1.0], ((1, 2), (3, 4))), {}, ShapeError, "fits no array of 1 dimensions"),
        (([1.0], ((1, 2, 3),)), {}, ShapeError, "fits no array of 1 dimensions"),
        (([1.0], {3: 1}), {}, AxisError, "axis 3"),
        ((np.ones((0, 2)), 1), {"mode": "edge"}, ShapeError, "has nothing to repeat"),
        (([1.0], 1), {"mode": "edge", "constant_values": 2}, ValueError, "belong to mode='constant'"),
        (([1], 1), {"constant_values": INF}, DTypeError, "the constant inf does not fit"),
        (([True], 1), {"constant_values": 2}, DTypeError, "the constant 2 does not fit"),
        (([1], 1), {"constant_values": 1.5}, DTypeError, "does not fit into an array of int64"),
        (([1.0], 1), {"constant_values": 1j}, DTypeError, "does not fit into an array of float64"),
        (([1.0], 1), {"constant_values": (0, pg.asarray(1j))}, DTypeError, "does not fit into an array of float64"),
        (([1.0], 1), {"constant_values": (1, 2, 3)}, ShapeError, "constant_values=(1, 2, 3)"),
    ],
)
def test_pad_errors(args: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        pg.pad(*args, **options)
    assert str(caught.value).startswith("pad: ")
    assert words in str(caught.value)


def test_pad_of_nothing_where_nothing_is_needed() -> None:
    assert pg.pad(np.ones((0, 2)), ((0, 0), (1, 1)), mode="wrap").shape == (0, 4)


# -- medians and quantiles ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_quantiles_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rng.integers(1, 5, int(rng.integers(1, 4))))
    if seed % 5 == 0:
        x = np.round(x)  # ties
    if seed % 7 == 0:
        x.reshape(-1)[0] = NAN
    axis: Any = [None, 0, -1, tuple(range(x.ndim))][seed % 4]
    keepdims = bool(seed % 3 == 0)
    q = rng.uniform(size=rng.integers(1, 4, int(rng.integers(0, 3))))
    for method in ("linear", "lower", "higher", "nearest", "midpoint"):
        want = np.quantile(x, q, axis=axis, keepdims=keepdims, method=method)
        got = pg.quantile(x, q, axis=axis, keepdims=keepdims, method=method)
        assert got.shape == want.shape
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(
        pg.median(x, axis=axis, keepdims=keepdims).numpy(), np.median(x, axis=axis, keepdims=keepdims), rtol=1e-15
    )
    np.testing.assert_allclose(
        pg.nanmedian(x, axis, keepdims).numpy(), np.nanmedian(x, axis=axis, keepdims=keepdims), rtol=1e-15
    )


def test_quantiles_at_the_ends_and_between_equals() -> None:
    x = np.asarray([0.1, 0.7, 0.1, 0.3])
    assert pg.quantile(x, 0.0).item() == 0.1
    assert pg.quantile(x, 1.0).item() == 0.7
    assert pg.quantile(np.full(7, 0.1), 0.3).item() == 0.1
    assert pg.quantile(x, 0).item() == 0.1
    assert pg.quantile(x, True).item() == 0.7


def test_quantiles_beside_infinities() -> None:
    x = [-INF, 1.0, 2.0, INF]
    assert pg.quantile(x, [0.0, 1 / 3, 2 / 3, 1.0]).tolist() == [-INF, 1.0, 2.0, INF]
    assert pg.quantile(x, [0.9, 0.1]).tolist() == [INF, -INF]
    assert pg.quantile([INF, INF], 0.5).item() == INF
    assert pg.median([INF, INF]).item() == INF
    np.testing.assert_allclose(slope(lambda v: pg.quantile(v, 1 / 3), x), [0, 1, 0, 0])


def test_quantiles_of_nan_and_of_nothing() -> None:
    x = [1.0, NAN, 3.0]
    for made in (pg.median(x), pg.quantile(x, 0.0), pg.nanmedian([NAN, NAN])):
        assert np.isnan(made.item())
    np.testing.assert_array_equal(slope(pg.median, x), [0, 1, 0])  # what is nan has the slope
    np.testing.assert_array_equal(slope(lambda v: pg.quantile(v, 0.4), x), [0, 1, 0])
    empty = np.ones((2, 0))
    for f in (pg.median, pg.nanmedian):
        np.testing.assert_array_equal(f(empty, axis=1).numpy(), [NAN, NAN])
        assert f(empty, axis=0).shape == (0,)
        assert f(empty, keepdims=True).shape == (1, 1)
        assert slope(f, empty).shape == (2, 0)
    made = pg.quantile(empty, [0.1, 0.2, 0.3], axis=1)
    assert made.shape == (3, 2)
    assert np.isnan(made.numpy()).all()
    assert slope(lambda v: pg.quantile(v, 0.5, axis=1), empty).shape == (2, 0)


def test_quantiles_out_of_range() -> None:
    for q in (1.5, -0.1, [0.1, [2.0]], np.asarray(1.01), NAN):
        with pytest.raises(ValueError, match="q must be between 0 and 1"):
            pg.quantile([1.0, 2.0], q)
    made = pg.quantile([1.0, 2.0], pg.asarray([0.5, 1.5, NAN]))  # values of a Tensor are not read
    np.testing.assert_array_equal(made.numpy(), [1.5, NAN, NAN])


def test_slopes_at_ties_go_to_the_elements_picked() -> None:
    x = [2.0, 1.0, 2.0, 2.0]
    np.testing.assert_array_equal(slope(pg.median, x), [0.5, 0, 0.5, 0])  # in order: 1, 2 (first), 2 (third), 2 (last)
    np.testing.assert_allclose(slope(lambda v: pg.quantile(v, 0.75), x), [0, 0, 0.75, 0.25])
    np.testing.assert_array_equal(slope(lambda v: pg.topk(v, 2).values, x), [1, 0, 1, 0])
    np.testing.assert_array_equal(slope(pg.nanmedian, [*x, NAN]), [0.5, 0, 0.5, 0, 0])


def test_slopes_by_q() -> None:
    x = np.asarray([1.0, 2.0, 4.0, 8.0])
    for q, want in [(0.0, 3.0), (0.2, 3.0), (1 / 3, 6.0), (0.9, 12.0), (1.0, 12.0)]:
        assert slope(lambda v, q: pg.quantile(v, q), x, q, argnums=1) == pytest.approx(want)
    for method in ("lower", "higher", "nearest", "midpoint"):
        assert slope(lambda v, q, m=method: pg.quantile(v, q, method=m), x, 0.4, argnums=1) == 0.0


def test_dtypes_of_order_statistics() -> None:
    x = np.asarray([3, 1, 2])
    for made in (pg.median(x), pg.quantile(x, 0.5), pg.nanmedian(x), pg.quantile(x, pg.asarray(1))):
        assert made.dtype is pg.float64
    assert pg.median(np.asarray([True, False])).item() == 0.5
    single = x.astype("float32")
    assert pg.median(single).dtype is pg.float32
    assert pg.quantile(single, 0.5).dtype is pg.float32
    assert pg.quantile(single, np.asarray(0.5)).dtype is pg.float64  # as in NumPy
    assert pg.quantile(single, np.asarray(0.5, "float32")).dtype is pg.float64  # positions need the digits
    assert pg.topk(x, 1).values.dtype is pg.int64
    assert pg.cummax(x).dtype is pg.int64
    for f in (pg.median, pg.nanmedian, lambda v: pg.quantile(v, 0.5), lambda v: pg.topk(v, 1), pg.cummax, pg.nanmax):
        with pytest.raises(DTypeError, match="needs real numbers, got complex128"):
            f(np.ones(2) * 1j)
    for f in (pg.cummin, lambda v: pg.topk(v, 1), pg.nanmin):
        with pytest.raises(DTypeError, match="needs real numbers, got bool"):
            f(np.ones(2) > 0)


def test_errors_of_order_statistics() -> None:
    with pytest.raises(ValueError, match="method 'weibull' is not one of linear, lower"):
        pg.quantile([1.0], 0.5, method="weibull")
    with pytest.raises(AxisError, match="median: axis 1"):
        pg.median([1.0], axis=1)
    with pytest.raises(AxisError, match="quantile: axis -2"):
        pg.quantile([1.0], 0.1, axis=-2)
    for k in (3, -1):
        with pytest.raises(ShapeError, match=f"topk: k={k} of 2 elements along axis 0"):
            pg.topk([1.0, 2.0], k)
    with pytest.raises(ShapeError, match="cummin: needs at least one dimension"):
        pg.cummin(1.0)
    with pytest.raises(AxisError, match="cummax: axis 2"):
        pg.cummax([1.0], 2)


# -- running extremes and topk, against PyTorch --------------------------------------------------------


def test_running_extremes_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for k in range(20):
        x = np.round(rng.normal(size=(3, 7)), 0 if k % 2 else 3)  # ties
        if k > 15:
            x[1, 3] = NAN
        for name in ("cummax", "cummin"):
            for axis in (0, 1):
                t = torch.tensor(x, requires_grad=True)
                want = getattr(torch, name)(t, axis).values
                weights = rng.normal(size=x.shape)
                (want * torch.tensor(weights)).sum().backward()
                f = getattr(pg, name)
                np.testing.assert_array_equal(f(x, axis).numpy(), want.detach().numpy())
                got = pg.grad(lambda v, f=f, axis=axis, w=weights: pg.sum(f(v, axis) * w))(x)
                np.testing.assert_allclose(got, t.grad.numpy(), rtol=1e-14, atol=1e-14)


def test_topk_as_in_pytorch(device: Any) -> None:
    torch = pytest.importorskip("torch")
    x = np.asarray([[3.0, NAN, -1.0, INF, 2.5], [0.5, 7.0, -INF, 1.0, 2.0]])
    for largest in (True, False):
        for k in range(6):
            values, indices = pg.topk(pg.asarray(x, device=device), k, largest=largest)
            want = torch.topk(torch.tensor(x), k, largest=largest)
            np.testing.assert_array_equal(host(values), want.values.numpy())
            np.testing.assert_array_equal(host(indices), want.indices.numpy())


# -- without nan -------------------------------------------------------------------------------------


def test_rows_of_nan_alone(device: Any) -> None:
    """Without a warning, which would be an error here; the slope is 0."""
    x = np.asarray([[1.0, 2.0, NAN], [NAN, NAN, NAN]])
    for name, all_nan in [
        ("nansum", 0.0), ("nanprod", 1.0), ("nanmean", NAN), ("nanvar", NAN), ("nanstd", NAN), ("nanmax", NAN),
        ("nanmin", NAN), ("nanmedian", NAN),
    ]:  # fmt: skip
        f = getattr(pg, name)
        leaf = pg.asarray(x, device=device, requires_grad=True)
        made = f(leaf, axis=1)
        np.testing.assert_allclose(host(made)[1], all_nan)
        np.testing.assert_allclose(host(made)[0], getattr(np, name)(x[0]), rtol=1e-14)
        if device.name in ("cpu", "strict:device1", "torch:cpu") and name != "nanmedian":
            pg.sum(made[0]).backward()
            assert leaf.grad is not None
            g = host(leaf.grad)
            assert np.isfinite(g).all()
            np.testing.assert_array_equal(g[np.isnan(x)], 0)


def test_slopes_beside_nan() -> None:
    np.testing.assert_array_equal(slope(pg.nanmax, [NAN, -INF]), [0, 1])
    np.testing.assert_array_equal(slope(pg.nanmin, [INF, NAN, INF]), [0.5, 0, 0.5])
    np.testing.assert_array_equal(slope(pg.nanmax, [2.0, NAN, 1.0, 2.0]), [0.5, 0, 0, 0.5])
    np.testing.assert_array_equal(slope(pg.nanmax, [NAN, NAN]), [0, 0])
    np.testing.assert_array_equal(slope(pg.nanmean, [NAN, NAN]), [0, 0])
    np.testing.assert_array_equal(slope(pg.nanstd, [3.0, NAN, 3.0]), [0, 0, 0])
    np.testing.assert_array_equal(slope(pg.nanprod, [3.0, NAN, 0.0]), [0, 0, 3])
    inside = pg.vmap(pg.grad(pg.nanmax))(np.asarray([[NAN, -INF], [2.0, 2.0]]))
    np.testing.assert_array_equal(inside, [[0, 1], [0.5, 0.5]])
    outside = pg.grad(lambda m: pg.sum(pg.vmap(pg.nanmax)(m)))(np.asarray([[NAN, -INF], [2.0, 2.0]]))
    np.testing.assert_array_equal(outside, [[0, 1], [0.5, 0.5]])


def test_nan_statistics_without_degrees_of_freedom() -> None:
    for f in (pg.nanvar, pg.nanstd):
        assert np.isnan(f([1.0, NAN], correction=1).item())
        assert np.isnan(f([1.0, NAN, 2.0], correction=3).item())
        assert f([1.0, NAN], correction=0).item() == 0.0


def test_nan_statistics_of_whole_numbers() -> None:
    x = np.asarray([[1, 2], [3, 5]], "int32")
    assert pg.nansum(x).dtype is pg.int64
    assert pg.nanprod(x, axis=0).tolist() == [3, 10]
    assert pg.nansum(x, dtype="float32").dtype is pg.float32
    assert pg.nanmax(x, axis=0).dtype is pg.int32
    assert pg.nanmin(x, keepdims=True).tolist() == [[1]]
    assert pg.nanmean(x).item() == 2.75
    assert pg.nanvar(x).item() == np.var(x)
    assert pg.nansum(np.asarray([True, True])).item() == 2
    assert pg.nan_to_num(x).dtype is pg.int32
    assert pg.nan_to_num(np.asarray([True])).tolist() == [True]


def test_extremes_over_nothing() -> None:
    for f in (pg.nanmax, pg.nanmin):
        with pytest.raises(ShapeError, match="of no elements"):
            f(np.ones((0, 2)), axis=0)
        assert f(np.ones((0, 2)), axis=1).shape == (0,)
        np.testing.assert_array_equal(f([1.0, NAN], axis=()).numpy(), [1.0, NAN])


def test_nan_to_num() -> None:
    x = np.asarray([0.5, NAN, INF, -INF, -0.7])
    for dtype in ("float32", "float64"):
        np.testing.assert_array_equal(pg.nan_to_num(x.astype(dtype)).numpy(), np.nan_to_num(x.astype(dtype)))
    z = np.asarray([complex(NAN, 1), complex(2, -INF), complex(INF, NAN)])
    for dtype in ("complex64", "complex128"):
        np.testing.assert_array_equal(pg.nan_to_num(z.astype(dtype)).numpy(), np.nan_to_num(z.astype(dtype)))
    np.testing.assert_array_equal(slope(pg.nan_to_num, x), [1, 0, 0, 0, 1])
    fill = slope(lambda v, n: pg.nan_to_num(v, nan=n, posinf=n), x, 3.0, argnums=1)
    assert fill == 2.0


# -- interpolation and integration ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_interp_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    xp = np.sort(np.round(rng.normal(size=n), 1))
    fp = rng.normal(size=n) + (1j * rng.normal(size=n) if seed % 4 == 0 else 0)
    x = np.concatenate([rng.normal(size=5), xp, xp + 0.05, [INF, -INF]])
    if seed % 3 == 0:
        np.testing.assert_allclose(pg.interp(x, xp, fp, 7.0, -7.0).numpy(), np.interp(x, xp, fp, 7.0, -7.0), rtol=1e-12)
    if len(set(xp.tolist())) == n:  # elsewhere NumPy's choice among values at one place is not told
        np.testing.assert_allclose(pg.interp(x, xp, fp).numpy(), np.interp(x, xp, fp), rtol=1e-12, atol=1e-15)


def test_interp_at_the_points_and_beyond() -> None:
    xp, fp = np.asarray([0.0, 1.0, 3.0]), np.asarray([0.0, 2.0, -2.0])
    np.testing.assert_array_equal(pg.interp(xp, xp, np.asarray([1.0, INF, 3.0])).numpy(), [1.0, INF, 3.0])
    found = slope(lambda x: pg.interp(x, xp, fp), [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(found, [0, 2, 2, -2, -2, -2, 0])
    np.testing.assert_array_equal(slope(lambda f: pg.interp([-1.0, 4.0], xp, f), fp), [1, 0, 1])
    np.testing.assert_array_equal(slope(lambda f: pg.interp([-1.0, 4.0], xp, f, left=0.0), fp), [0, 0, 1])
    assert np.isnan(pg.interp(NAN, xp, fp).item())
    assert pg.interp([0.0, 5.0, 9.0], [5.0], [2.0], left=1.0).tolist() == [1.0, 2.0, 2.0]
    assert pg.interp(1.0, [0.0, 1.0, 1.0], [1.0, 2.0, 3.0]).item() == 3.0  # the last of several at one place
    np.testing.assert_array_equal(slope(lambda f: pg.interp([1.0], [0.0, 1.0, 1.0], f), fp), [0, 0, 1])
    assert pg.interp(np.asarray(2), [0, 4], [0, 1]).item() == 0.5
    assert pg.interp(np.ones((2, 0)), xp, fp).shape == (2, 0)


def test_errors_of_calculus() -> None:
    for xp, fp in [([1.0], [1.0, 2.0]), ([], []), ([[1.0]], [[1.0]]), (1.0, 1.0)]:
        with pytest.raises(ShapeError, match="vectors of the same length"):
            pg.interp(0.5, np.asarray(xp), np.asarray(fp))
    for args in [(1j, [0.0], [1.0]), (0.5, [1j], [1.0])]:
        with pytest.raises(DTypeError, match="interp: needs real numbers"):
            pg.interp(*[np.asarray(a) for a in args])
    y = np.ones((2, 3))
    with pytest.raises(ShapeError, match="trapezoid: 2 places x for 3 samples y along axis 1"):
        pg.trapezoid(y, [1.0, 2.0])
    with pytest.raises(ShapeError, match="neither one dimension nor those of y"):
        pg.trapezoid(y, np.ones((1, 2, 3)))
    with pytest.raises(ShapeError, match="trapezoid: needs at least one dimension"):
        pg.trapezoid(1.0)
    with pytest.raises(AxisError, match="cumulative_trapezoid: axis 2"):
        pg.cumulative_trapezoid(y, axis=2)
    with pytest.raises(ValueError, match="initial must be None or 0"):
        pg.cumulative_trapezoid(y, initial=1.0)
    with pytest.raises(ValueError, match="num must not be negative"):
        pg.logspace(0.0, 1.0, -1)


def test_dtypes_of_calculus() -> None:
    whole = np.asarray([1, 2, 4])
    assert pg.trapezoid(whole).item() == 4.5
    assert pg.trapezoid(whole, whole).item() == 7.5
    assert pg.cumulative_trapezoid(whole).tolist() == [1.5, 4.5]
    single = whole.astype("float32")
    assert pg.trapezoid(single).dtype is pg.float32
    assert pg.trapezoid(np.ones((2, 0))).tolist() == [0.0, 0.0]
    assert pg.trapezoid(np.ones((2, 1)), [3.0]).tolist() == [0.0, 0.0]
    assert pg.interp(single, single, single).dtype is pg.float32
    assert pg.logspace(0, 2, 3).tolist() == [1.0, 10.0, 100.0]
    assert pg.logspace(0, 3, 3, endpoint=False, dtype="int64").tolist() == [1, 10, 100]
    assert pg.logspace(np.asarray(1.0, "float32"), 2, 3).dtype is pg.float32
    assert pg.logspace(1.0, 2.0, 1).tolist() == [10.0]
    assert pg.logspace(1.0, 2.0, 0).shape == (0,)
    assert pg.logspace(np.zeros((2, 3)), 1.0, 4, axis=1).shape == (2, 4, 3)


def test_covariances() -> None:
    x = np.asarray([[1, 2, 4], [2, 0, 1]])
    np.testing.assert_allclose(pg.cov(x).numpy(), np.cov(x), rtol=1e-14)
    np.testing.assert_allclose(pg.corrcoef(x).numpy(), np.corrcoef(x), rtol=1e-14)
    assert pg.cov(x[0]).shape == () == pg.corrcoef(x[0]).shape
    assert pg.corrcoef(x[0]).item() == 1.0
    assert np.isnan(pg.cov(np.ones((2, 1))).numpy()).all()  # one observation, and one degree of freedom less
    assert pg.cov(np.ones((2, 1)), 0).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert np.isnan(pg.cov(np.ones((2, 0))).numpy()).all()
    flat = np.asarray([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
    made = pg.corrcoef(flat).numpy()
    np.testing.assert_array_equal(np.isnan(made), [[True, True], [True, False]])
    assert pg.corrcoef(np.stack([x, x + x[::-1]])).shape == (2, 2, 2)
    for f in (pg.cov, pg.corrcoef):
        with pytest.raises(ShapeError, match="needs at least one dimension"):
            f(1.0)
    far = np.random.default_rng(0).normal(size=(1, 50)) * np.asarray([[1.0], [1.0]])
    assert np.abs(pg.corrcoef(far).numpy()).max() <= 1.0


# -- windows, diagonals, segments --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_windows_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(1, 4))
    x = rng.normal(size=rng.integers(3, 6, ndim))
    axes = tuple(int(a) for a in rng.integers(-ndim, ndim, int(rng.integers(1, 3))))
    window = tuple(int(n) for n in rng.integers(1, 3, len(axes)))
    want = np.lib.stride_tricks.sliding_window_view(x, window, axis=axes)
    made, pull = pg.vjp(lambda v: pg.sliding_window_view(v, window, axis=axes), pg.asarray(x))
    np.testing.assert_array_equal(made.numpy(), want)
    g = rng.normal(size=want.shape)
    places = np.lib.stride_tricks.sliding_window_view(np.arange(x.size).reshape(x.shape), window, axis=axes)
    expected = np.zeros(x.size)
    np.add.at(expected, places.reshape(-1), g.reshape(-1))  # overlapping windows add up
    np.testing.assert_allclose(pull(pg.asarray(g))[0].numpy(), expected.reshape(x.shape), rtol=1e-13)


def test_windows_share_memory_until_written() -> None:
    x = np.arange(5.0)
    made = pg.sliding_window_view(pg.asarray(x), 3)
    assert np.shares_memory(made.numpy(), x)
    for device in ("cpu", "torch:cpu", "strict"):
        y = pg.asarray(np.arange(5.0), device=device, copy=True)
        windows = pg.sliding_window_view(y, 2)
        y[0] = 9.0
        assert windows[0, 0].item() == 0.0
        windows = pg.sliding_window_view(y, 2)
        windows[1, 0] = 7.0
        assert y.tolist() == [9.0, 1.0, 2.0, 3.0, 4.0]
        assert windows[0, 1].item() == 1.0


def test_window_errors() -> None:
    x = np.ones((3, 4))
    for window, axis in [((4, 1), None), (0, 0), ((2, 3), (0, 0)), (-1, 1), (5, -1)]:
        with pytest.raises(ShapeError, match="does not fit in shape"):
            pg.sliding_window_view(x, window, axis)
    with pytest.raises(ShapeError, match="for 2 axes; give axis"):
        pg.sliding_window_view(x, 2)
    with pytest.raises(AxisError, match="sliding_window_view: axis 2"):
        pg.sliding_window_view(x, 2, axis=2)


@pytest.mark.parametrize("k", [-5, -1, 0, 1, 4])
def test_diag_against_numpy(k: int, device: Any) -> None:
    for x in (np.arange(1.0, 4.0), np.arange(0.0), np.arange(12.0).reshape(3, 4), np.asarray([1, 2]), np.ones(2) > 0):
        made = pg.diag(pg.asarray(x, device=device, copy=True), k)
        want = np.diag(x, k)
        assert made.dtype == want.dtype
        np.testing.assert_array_equal(host(made), want)


def test_errors_of_selection() -> None:
    for v in (np.ones(()), np.ones((1, 2, 3))):
        with pytest.raises(ShapeError, match="diag: needs one or two dimensions"):
            pg.diag(v)
    with pytest.raises(DTypeError, match="one_hot: indices must be integers, not float64"):
        pg.one_hot([1.0], 3)
    with pytest.raises(DTypeError, match="segment_sum: indices must be integers"):
        pg.segment_sum([1.0], [1.0], 3)
    for values, ids in [([1.0, 2.0], [0]), (1.0, np.asarray(0)), ([1.0], [[0]])]:
        with pytest.raises(ShapeError, match="one id for each row"):
            pg.segment_sum(values, ids, 3)
    with pytest.raises(ValueError, match="must not be negative"):
        pg.segment_sum([1.0], [0], -1)


def test_one_hot_and_segments(device: Any) -> None:
    ids = pg.asarray(np.asarray([3, -1, 0, 7], "int32"), device=device)
    made = pg.one_hot(ids, 4, dtype="int32")
    assert made.dtype is pg.int32
    assert made.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]  # out of range: nowhere
    values = pg.asarray(np.asarray([1, 2, 4, 8]), device=device)
    made = pg.segment_sum(values, ids, 4)
    assert (made.dtype, made.device) == (pg.int64, device)
    assert made.tolist() == [4, 0, 0, 1]
    assert pg.segment_sum(values, ids, 0).shape == (0,)


# -- comparison and steps ----------------------------------------------------------------------------------


def test_closeness_against_numpy(device: Any) -> None:
    edge = [0.0, 1.0, 1.0 + 5e-6, 1.0 + 5e-5, INF, -INF, NAN, 1e-9]
    a, b = (np.asarray(v) for v in np.meshgrid(edge, edge))
    for x, y in [(a, b), (a + 1j, b + 1j), (np.asarray([[1, 2]]), np.asarray([1, 3])), (np.asarray([True]), a[1])]:
        there = [pg.asarray(v, device=device, copy=True) for v in (x, y)]
        for equal_nan in (False, True):
            with np.errstate(all="ignore"):
                want = np.isclose(x, y, equal_nan=equal_nan)
                every = np.allclose(x, y, equal_nan=equal_nan)
            made = pg.isclose(*there, equal_nan=equal_nan)
            assert made.dtype is pg.bool
            np.testing.assert_array_equal(host(made), want)
            assert bool(pg.allclose(*there, equal_nan=equal_nan)) == every
    assert pg.isclose(1.0, 1.2, rtol=0.5).item()
    assert pg.isclose(pg.asarray(0.0, requires_grad=True), 0.2, atol=0.3).item()


def test_heaviside_against_numpy(device: Any) -> None:
    x1, x2 = np.asarray([-1.5, 0.0, -0.0, 2.0, NAN, INF]), np.asarray([[0.3], [NAN]])
    made = pg.heaviside(pg.asarray(x1, device=device), pg.asarray(x2, device=device))
    np.testing.assert_array_equal(host(made), np.heaviside(x1, x2))
    assert pg.heaviside(pg.asarray([1, 0, -1], device=device), 0.5).tolist() == [1.0, 0.5, 0.0]
    assert pg.heaviside(pg.asarray(x1.astype("float32"), device=device), 0.5).dtype is pg.float32


def test_slopes_of_steps() -> None:
    first, second = slope(pg.heaviside, [-1.0, 0.0, 2.0], [0.5, 0.5, 0.5], argnums=(0, 1))
    assert (first.tolist(), second.tolist()) == ([0, 0, 0], [0, 1, 0])
    with pytest.raises(DTypeError, match="heaviside: needs real numbers"):
        pg.heaviside(1j, 0.0)


def test_softplus_at_zero_and_in_the_tails() -> None:
    """jax#2107"""
    assert pg.grad(pg.softplus)(0.0) == 0.5
    assert pg.grad(pg.grad(pg.softplus))(0.0) == 0.25
    assert pg.softplus([-1000.0, 1000.0]).tolist() == [0.0, 1000.0]
    assert pg.grad(pg.softplus)(-700.0) == pytest.approx(np.exp(-700.0), rel=1e-13)
    assert slope(pg.softplus, [INF, -INF, 800.0]).tolist() == [1.0, 0.0, 1.0]
    assert pg.grad(pg.grad(pg.sigmoid))(0.0) == 0.0


# -- running logarithms of sums ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [
        [0.5, -1.0, 2.0, 0.1],
        [-INF, -INF, 1.0, 2.0],
        [1.0, INF, 3.0, INF, 2.0],
        [-INF, INF, -INF],
        [-INF, -INF],
        [1e3, -1e3, 1e3, 0.0],
        [700.0, -700.0, 1e300, -1e300],
        [INF, INF, INF],
        [-3.0],
        [],
    ],
)
def test_running_logsumexp_is_logsumexp_of_each_beginning(x: list[float], device: Any) -> None:
    found = pg.jacrev(pg.cumulative_logsumexp)(pg.asarray(np.asarray(x, "float64"), device=device))
    values = pg.cumulative_logsumexp(pg.asarray(np.asarray(x, "float64"), device=device))
    for i in range(len(x)):
        beginning = np.asarray(x[: i + 1])
        np.testing.assert_allclose(host(values)[i], pg.logsumexp(beginning).item(), rtol=1e-14)
        weights = np.zeros(len(x))
        weights[: i + 1] = pg.grad(pg.logsumexp)(beginning)
        np.testing.assert_allclose(host(found)[i], weights, rtol=1e-13, atol=0)
    if device.name == "cpu" and x:
        moved = pg.jacfwd(pg.cumulative_logsumexp)(np.asarray(x))
        np.testing.assert_allclose(moved, host(found), rtol=1e-13, atol=0)
        batch = pg.grad(lambda v: pg.sum(pg.vmap(pg.cumulative_logsumexp)(v)[:, -1]))(np.asarray([x, x]))
        np.testing.assert_allclose(batch[1], host(found)[-1], rtol=1e-13, atol=0)
        again = pg.jacfwd(pg.jacrev(pg.cumulative_logsumexp))(np.asarray(x))
        for i in range(len(x)):
            want = np.pad(pg.hessian(pg.logsumexp)(np.asarray(x[: i + 1])), (0, len(x) - i - 1))
            np.testing.assert_allclose(again[i], want, rtol=1e-10, atol=1e-13)


def test_running_logsumexp_passes_nan_on() -> None:
    with np.errstate(invalid="ignore"):  # NumPy's logaddexp warns of nan
        assert np.isnan(pg.cumulative_logsumexp([1.0, NAN, 2.0]).numpy()).tolist() == [False, True, True]
        assert np.isnan(slope(pg.cumulative_logsumexp, [1.0, NAN, 2.0])).all()
    with pytest.raises(ShapeError, match="cumulative_logsumexp: axis is required"):
        pg.cumulative_logsumexp(np.ones((2, 2)))
    with pytest.raises(DTypeError, match="cumulative_logsumexp: needs a real floating dtype"):
        pg.cumulative_logsumexp([1, 2])


# -- all together --------------------------------------------------------------------------------------------


def test_a_program_of_many() -> None:
    """Derivatives of functions made of these functions, in both modes and of second order."""

    def f(x: Any, w: Any) -> Any:
        windows = pg.sliding_window_view(pg.pad(x, 1, mode="reflect"), 3)
        smooth = pg.einsum("nk,k->n", windows, w)
        return pg.trapezoid(pg.cumulative_logsumexp(smooth)) + pg.median(smooth) * pg.quantile(x, 0.3) + pg.nanstd(x)

    check_grads(f, [np.asarray([0.3, -0.7, 1.1, 0.2, -0.4]), np.asarray([0.2, 0.5, -0.3])])


def test_nothing_is_detached() -> None:
    x = pg.asarray([0.3, -0.7, 1.1], requires_grad=True)
    for f in (
        pg.median, pg.nanmedian, pg.nanmax, pg.nanmin, pg.nansum, pg.nanprod, pg.nanmean, pg.nanvar, pg.nanstd, pg.cummax,
        pg.cummin, pg.trapezoid, pg.cumulative_trapezoid, pg.cov, pg.diag, pg.nan_to_num, pg.softplus, pg.corrcoef,
        pg.cumulative_logsumexp, lambda v: pg.quantile(v, 0.5), lambda v: pg.topk(v, 2).values, lambda v: pg.pad(v, 1),
        lambda v: pg.heaviside(v, 0.5), lambda v: pg.einsum("i->", v), lambda v: pg.interp(0.1, [0.0, 1.0, 2.0], v),
        lambda v: pg.logspace(v[0], 1.0, 3), lambda v: pg.sliding_window_view(v, 2), lambda v: pg.kron(v, v),
        lambda v: pg.outer(v, v), lambda v: pg.segment_sum(v, [0, 1, 0], 2),
    ):  # fmt: skip
        assert f(x).requires_grad
    assert not pg.isclose(x, x).requires_grad
    assert not pg.one_hot([1], 2).requires_grad
