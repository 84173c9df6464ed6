"""Indices and classes out of range on a GPU: raised when it is next waited for, at once under the debug switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import polygrad as pg
from polygrad.nn import functional as F

pytestmark = pytest.mark.devices("cupy")


def leaf(x: Any) -> Any:
    return pg.asarray(x, requires_grad=True) * 2.0


def written(x: Any, i: Any) -> Any:
    x = x + 0.0
    x[i] = 1.0
    return x


WRONG: dict[str, tuple[Callable[[Any, Any], Any], list[Any], str]] = {
    "take": (lambda x, i: pg.take(x, i, axis=0), [0, 3], "take: 3 is out of range on the GPU, it must be -3 to 2"),
    "take from the end": (lambda x, i: pg.take(x, i, axis=1), [-5], "take: -5 .* -4 to 3"),
    "take_along_axis": (lambda x, i: pg.take_along_axis(x, i, axis=1), [[4]], "take_along_axis: 4 .* -4 to 3"),
    "index": (lambda x, i: x[i], [1, 7], "getitem: 7 .* -3 to 2"),
    "index after a slice": (lambda x, i: x[:, i], [4], "getitem: 4 .* -4 to 3"),
    "index after new axes": (lambda x, i: x[None, ..., i], [-5], "getitem: -5 .* -4 to 3"),
    "a write": (lambda x, i: pg.zeros_like(x).__setitem__(i, 1.0), [1, 3], "setitem: 3 .* -3 to 2"),
    "a write after a slice": (
        lambda x, i: (x + 0.0).__setitem__((slice(None), i), 1.0),
        [-5],
        "setitem: -5 .* -4 to 3",
    ),
    "a tracked write": (lambda x, i: leaf(x).__setitem__(i, 1.0), [3], "setitem: 3 .* -3 to 2"),
    "scatter_add": (lambda x, i: pg.scatter_add((3, 4), "float64", [(i, x[:1])]), [3], "scatter_add: 3 .* -3 to 2"),
    "in a gradient": (lambda x, i: pg.grad(lambda x: pg.sum(x[i]))(x), [3], "getitem: 3 .* -3 to 2"),
    "in vmap": (lambda x, i: pg.vmap(lambda row: pg.take(row, i, axis=0))(x), [4], "take: 4 .* -4 to 3"),
    "of each example in vmap": (lambda x, i: pg.vmap(lambda row, k: row[k])(x, i), [0, 4, 1], "4 .* out of range"),
    "compiled": (lambda x, i: pg.compile(lambda x, i: pg.take(x, i, axis=0) * 2.0)(x, i), [0, 3], "take: 3 .* -3 to 2"),
    "a compiled write": (lambda x, i: pg.compile(written)(x, i), [3], "setitem: 3 .* -3 to 2"),
    "compiled classes": (lambda x, i: pg.compile(F.cross_entropy)(x, i), [0, 4, 1], "cross_entropy: 4 .* 0 to 3"),
    "cross_entropy": (F.cross_entropy, [0, 4, 1], "cross_entropy: 4 .* 0 to 3 .*-100, which is ignored"),
    "nll_loss": (F.nll_loss, [0, -1, 1], "nll_loss: -1 .* 0 to 3"),
    "embedding": (lambda x, i: F.embedding(i, x), [[3]], "embedding: 3 .* 0 to 2"),
    "one_hot": (lambda x, i: F.one_hot(i, 4), [4], "one_hot: 4 .* 0 to 3"),
}

RIGHT: dict[str, tuple[Callable[[Any, Any], Any], list[Any]]] = {
    "take": (lambda x, i: pg.take(x, i, axis=0), [-3, 2]),
    "index": (lambda x, i: x[:, i], [-4, 3]),
    "cross_entropy": (F.cross_entropy, [0, -100, 3]),
    "embedding": (lambda x, i: F.embedding(i, x), [0, 2]),
    "a write": (lambda x, i: written(x, i), [-3, 2]),
    "a mask beside": (lambda x, i: x[pg.asarray([True, False, True], device=x.device)][:, i], [-4, 3]),
    "sorted": (lambda x, i: pg.grad(lambda x: pg.sum(pg.sort(x) ** 2))(x), [0]),
}


def table(device: pg.Device) -> Any:
    return pg.asarray([[1.0, 2.0, 3.0, 4.0]] * 3, device=device)


@pytest.mark.parametrize("name", WRONG)
def test_the_next_wait_raises(name: str, device: pg.Device) -> None:
    f, indices, words = WRONG[name]
    x = table(device)
    f(x, pg.asarray(indices, device=device))
    with pytest.raises(IndexError, match=words):
        x.to_device("cpu")
    x.to_device("cpu")  # once is enough


@pytest.mark.parametrize("name", ["take", "cross_entropy"])
def test_every_way_to_wait_raises(name: str, device: pg.Device) -> None:
    f, indices, words = WRONG[name]
    x = table(device)
    for wait in (lambda: x[0, 0].item(), lambda: device.backend.synchronize(device.native), lambda: x.tolist()):
        f(x, pg.asarray(indices, device=device))
        with pytest.raises(IndexError, match=words):
            wait()


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
def test_what_is_in_range_raises_nothing(name: str, dtype: str, device: pg.Device) -> None:
    f, indices = RIGHT[name]
    f(table(device), pg.asarray(indices, dtype=dtype, device=device)).to_device("cpu")


def test_unsigned_indices_beyond_all_integers_are_out_of_range(device: pg.Device) -> None:
    x = table(device)
    pg.take(x, pg.asarray([2**64 - 1], dtype="uint64", device=device), axis=0)
    with pytest.raises(IndexError, match="take: "):
        x.to_device("cpu")


def test_the_debug_switch_raises_at_once(device: pg.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAD_CHECK_AT_ONCE", "1")
    monkeypatch.setattr(device.backend, "_checks", {})
    f, indices, words = WRONG["take"]
    with pytest.raises(IndexError, match=words):
        f(table(device), pg.asarray(indices, device=device))


def test_many_ranges_share_places(device: pg.Device) -> None:
    for n in range(1, 300):
        pg.take(pg.zeros(n, device=device), pg.asarray([0], device=device))
    pg.zeros(1, device=device).to_device("cpu")
    for n in range(1, 300):
        pg.take(pg.zeros(n, device=device), pg.asarray([0 if n < 299 else n], device=device))
    with pytest.raises(IndexError, match="take: 299"):
        pg.zeros(1, device=device).to_device("cpu")
