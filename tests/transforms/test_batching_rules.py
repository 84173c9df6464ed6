"""Batching: every op as a loop over the examples, its gradients inside and outside, keys and writes, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows_extras  # noqa: F401  (appends its rows)
import rows_linalg  # noqa: F401  (appends its rows)
from batches import close, host, on
from table import BY_VALUES, ROWS, Row

import polygrad as pg
from polygrad.errors import MutationError, VmapError

CASES = [
    pytest.param(row, sample, id=f"{row.name}-{i}")
    for row in ROWS
    if row.name not in BY_VALUES
    for i, sample in enumerate(row.samples)
]
SMOOTH = [c for c in CASES if c.values[0].differentiable]
SHARED = [c for c in SMOOTH if len(c.values[1]) > 1 and all(x.dtype.kind in "fc" for x in c.values[1])]

_rng = np.random.default_rng(20261124)


def examples(sample: Any) -> list[list[Any]]:
    """Three examples for each array of a sample: itself, and slightly moved."""
    made = []
    for x in sample:
        if x.dtype.kind in "fc":
            made.append([x * (1 + 0.003 * k) for k in range(3)])
        else:
            made.append([x, x, x[::-1] if x.ndim and x.shape[0] else x])
    return made


def outputs(row: Row, device: Any, tensors: Any) -> tuple[Any, ...]:
    out = row.f(device.xp, *tensors)
    return out if isinstance(out, tuple) else (out,)


@pytest.mark.devices("numpy", "strict", "torch", "dask", "cupy")  # JAX, slow to compile, has the tests below
@pytest.mark.part(8, "strict")
@pytest.mark.over(CASES, first=("strict", "dask"))
def test_every_op_as_a_loop(row: Row, sample: Any, device: pg.Device) -> None:
    """All arguments mapped, and each alone with the others the same for all examples."""
    many = examples(sample)
    for which in [range(len(many)), *([i] for i in range(len(many)) if len(many) > 1)]:
        args = [on(device, np.stack(m)) if i in which else on(device, m[0]) for i, m in enumerate(many)]
        axes = tuple(0 if i in which else None for i in range(len(many)))
        found = pg.vmap(lambda *xs: outputs(row, device, xs), in_axes=axes)(*args)
        loop = [
            outputs(row, device, [on(device, m[k] if i in which else m[0]) for i, m in enumerate(many)])
            for k in range(3)
        ]
        for j, y in enumerate(found):
            assert y.device is device
            assert y.dtype == loop[0][j].dtype
            for k in range(3):
                close(y[k, ...], loop[k][j])


def scalar(row: Row, device: Any, tensors: Any) -> Any:
    """Something real and scalar that depends on all outputs unevenly."""
    total: Any = 0.0
    for y in outputs(row, device, tensors):
        weights = on(device, np.cos(np.arange(y.size)).reshape(y.shape))
        weighed = pg.sum(y * y * weights + y * weights)
        total = total + (pg.real(weighed) if weighed.dtype.kind == "c" else weighed)
    return total


def gradients(f: Any, args: list[Any], wanted: list[int]) -> Any:
    return pg.grad(f, tuple(wanted))(*args)


@pytest.mark.devices("numpy", "strict", "torch", "cupy")
@pytest.mark.part(8, "strict")
@pytest.mark.one_in(3, "strict:device1")
@pytest.mark.over(SMOOTH, first=("strict",))
def test_gradient_of_every_op_inside_and_outside(row: Row, sample: Any, device: pg.Device) -> None:
    """vmap of grad gives each example's gradient; grad of vmap gives them too, and their sum for what is shared."""
    many = examples(sample)
    wanted = [i for i, x in enumerate(sample) if x.dtype.kind in "fc"]
    batch = [on(device, np.stack(m)) for m in many]
    singles = [[on(device, m[k]) for m in many] for k in range(3)]
    loop = [gradients(lambda *xs: scalar(row, device, xs), one, wanted) for one in singles]
    inside = pg.vmap(pg.grad(lambda *xs: scalar(row, device, xs), tuple(wanted)))(*batch)
    outside = gradients(lambda *xs: pg.sum(pg.vmap(lambda *ys: scalar(row, device, ys))(*xs)), batch, wanted)
    for j in range(len(wanted)):
        for k in range(3):
            close(inside[j][k, ...], loop[k][j])
            close(outside[j][k, ...], loop[k][j])


@pytest.mark.devices("numpy", "strict", "torch")
@pytest.mark.part(8, "strict")
@pytest.mark.one_in(3, "strict:device1")
@pytest.mark.over(SHARED, first=("strict",))
def test_gradient_by_what_is_shared(row: Row, sample: Any, device: pg.Device) -> None:
    many = examples(sample)
    for shared in range(len(many)):
        axes = tuple(None if i == shared else 0 for i in range(len(many)))
        args = [on(device, m[0] if i == shared else np.stack(m)) for i, m in enumerate(many)]
        mapped = pg.vmap(lambda *xs: scalar(row, device, xs), in_axes=axes)
        found = pg.grad(lambda *xs, f=mapped: pg.sum(f(*xs)), shared)(*args)
        inside = pg.vmap(pg.grad(lambda *xs: scalar(row, device, xs), shared), in_axes=axes)(*args)
        loop = [
            pg.grad(lambda *xs: scalar(row, device, xs), shared)(
                *[on(device, m[0] if i == shared else m[k]) for i, m in enumerate(many)]
            )
            for k in range(3)
        ]
        close(found, sum(loop[1:], loop[0]))
        for k in range(3):
            close(inside[k, ...], loop[k])


@pytest.mark.part(7, "strict", "dask")
@pytest.mark.part(17, "jax:cpu")  # 2 s each
@pytest.mark.parametrize(
    "pick",
    [
        lambda x, i, j: x[i],
        lambda x, i, j: x[:, i],
        lambda x, i, j: x[i, :, j],
        lambda x, i, j: x[1, i],
        lambda x, i, j: x[:, i, j],
        lambda x, i, j: x[j[:, None], i[None, :]],
        lambda x, i, j: x[..., j],
        lambda x, i, j: x[None, i],
        lambda x, i, j: x[i[0], :, j],
        lambda x, i, j: x[i[0]],
        lambda x, i, j: x[::2, i[0], 1:],
        lambda x, i, j: pg.take(x, i, axis=1),
        lambda x, i, j: pg.take_along_axis(x[0, ...], j[None, :], axis=1),
    ],
)
@pytest.mark.parametrize(
    "axes", [(0, 0, 0), (0, None, None), (None, 0, 0), (0, 0, None), (None, None, 0), (0, None, 0)]
)
def test_index_arrays(pick: Any, axes: Any, device: pg.Device) -> None:
    """Keys that are each example's own, or shared, in all the places NumPy knows."""
    values = [_rng.normal(size=(3, 3, 3, 3)), _rng.integers(-3, 3, (3, 2)), _rng.integers(0, 3, (3, 2))]
    args = [on(device, v if axis == 0 else v[0]) for v, axis in zip(values, axes, strict=True)]
    found = pg.vmap(pick, in_axes=axes)(*args)

    def alone(k: int, x: Any = None) -> Any:
        given = [on(device, v[k if axis == 0 else 0]) for v, axis in zip(values, axes, strict=True)]
        return pick(given[0] if x is None else x, *given[1:])

    for k in range(3):
        close(found[k, ...], alone(k))
    if axes == (None, None, 0) and found[0, ...].shape != alone(0).shape:
        raise AssertionError
    slope = pg.vmap(pg.grad(lambda x, i, j: pg.sum(pg.sin(pick(x, i, j)))), in_axes=axes)(*args)
    outside = pg.grad(lambda x: pg.sum(pg.sin(pg.vmap(pick, in_axes=axes)(x, *args[1:]))))(args[0])
    total = []
    for k in range(3):
        x = on(device, values[0][k if axes[0] == 0 else 0])
        expected = pg.grad(lambda x, k=k: pg.sum(pg.sin(alone(k, x))))(x)
        close(slope[k, ...], expected)
        total.append(host(expected))
    close(outside, np.stack(total) if axes[0] == 0 else np.sum(total, axis=0))


@pytest.mark.parametrize(
    "axes", [(0, 0, 0), (0, None, 0), (None, 0, 0), (0, 0, None), (None, None, 0), (None, 0, None)]
)
@pytest.mark.part(5, "strict", "dask")
@pytest.mark.part(11, "jax:cpu")
@pytest.mark.parametrize("place", ["i", ":, i", "i, :", "1, i", "i, :, 1", "1:, ..., i"])
def test_writing(place: str, axes: Any, device: pg.Device) -> None:
    values = [_rng.normal(size=(3, 3, 3, 2)), np.asarray([[0, 2], [1, 0], [2, 1]]), _rng.normal(size=3)]
    if place.endswith("..., i"):
        values[1] = values[1] % 2
    args = [on(device, v if axis == 0 else v[0]) for v, axis in zip(values, axes, strict=True)]

    def write(x: Any, i: Any, v: Any) -> Any:
        y = x * 2.0
        exec(f"y[{place}] = v", {"y": y, "i": i, "v": v})
        return y

    found = pg.vmap(write, in_axes=axes)(*args)
    slope = pg.vmap(pg.grad(lambda x, i, v: pg.sum(write(x, i, v) ** 2), (0, 2)), in_axes=axes)(*args)
    for k in range(3):
        given = [on(device, v[k if axis == 0 else 0]) for v, axis in zip(values, axes, strict=True)]
        close(found[k, ...], write(*given))
        for a, b in zip(slope, pg.grad(lambda x, i, v: pg.sum(write(x, i, v) ** 2), (0, 2))(*given), strict=True):
            close(a[k, ...], b)


def test_writing_numbers_where_a_mask_is_true(device: pg.Device) -> None:
    x = on(device, _rng.normal(size=(3, 4)))

    def positive_part(x: Any) -> Any:
        y = x * 1.0
        y[y < 0] = 0.0
        return y

    close(pg.vmap(positive_part)(x), pg.relu(x))


def test_writing_into_new_arrays() -> None:
    def f(x: Any) -> Any:
        y = pg.zeros(3)
        y[1] = x
        y += x
        z = pg.zeros_like(x)
        z += x
        return y + z

    assert pg.vmap(f)(np.asarray([1.0, 2.0])).tolist() == [[2.0, 3.0, 2.0], [4.0, 6.0, 4.0]]


def test_writing_into_arrays_from_outside(device: pg.Device) -> None:
    y = on(device, np.zeros(3))

    def item(x: Any) -> Any:
        y[0] = x
        return y

    def whole(x: Any) -> Any:
        z = y
        z += x
        return z

    for f in (item, whole):
        with pytest.raises(VmapError, match="outside vmap"):
            pg.vmap(f)(on(device, [1.0, 2.0]))
    close(y, np.zeros(3))


def test_the_caller_may_write_afterwards() -> None:
    """What the graph saved stays as it was."""
    w = pg.asarray([1.0, 2.0], requires_grad=True)
    x = pg.asarray([[1.0, 2.0], [3.0, 4.0]])
    y = pg.sum(pg.vmap(lambda x: x * w * w)(x))
    with pg.no_grad():
        w += 100.0
    x[...] = 0.0
    y.backward()
    assert w.grad.tolist() == [8.0, 24.0]  # type: ignore[union-attr]


def test_borrowed_memory_is_protected() -> None:
    own = np.asarray([[1.0, 2.0], [3.0, 4.0]])
    x = pg.asarray(own)
    w = pg.asarray([1.0, 2.0], requires_grad=True)
    y = pg.sum(pg.vmap(lambda x: x * w)(x))
    with pytest.raises((ValueError, MutationError)):
        own[...] = 0.0
    y.backward()
    assert w.grad.tolist() == [4.0, 6.0]  # type: ignore[union-attr]


def test_index_out_of_range_does_not_reach_a_neighbour(device: pg.Device) -> None:
    if device.backend.name in ("jax", "dask", "cupy"):
        pytest.skip("the library itself does not check indices")
    x, i = on(device, np.ones((3, 2))), on(device, np.asarray([0, 1, 2]))
    with pytest.raises((IndexError, RuntimeError)):
        pg.vmap(lambda x, i: x[i[None]])(x, i)
