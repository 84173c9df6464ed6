"""Returned arrays on memory of earlier runs: never while anything can reach them, always once nothing can."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg

N = 600_000  # float64 of this many elements are above the size from which memory is lent again
X = np.ones(N)


class _Holder:
    """An object of another library on the same memory."""

    def __init__(self, array: Any) -> None:
        self.__array_interface__ = array.__array_interface__
        self.owner = array


def _torch(t: Any) -> Any:
    return pytest.importorskip("torch").from_dlpack(t.numpy())


KEPT: dict[str, Callable[[Any], Any]] = {
    "the tensor": lambda t: t,
    "detached": lambda t: t.detach(),
    "a view of the tensor": lambda t: t[5:],
    "numpy's array": lambda t: t.numpy(),
    "a view of the array": lambda t: t.numpy()[::2].reshape(2, -1).T,
    "a view of a view": lambda t: t.numpy()[1:][1:][1:],
    "a subclass's view": lambda t: t.numpy().view(np.recarray),
    "other bytes": lambda t: t.numpy().view(np.int64),
    "a buffer": lambda t: memoryview(t.numpy()),
    "a buffer of a view": lambda t: memoryview(t.numpy()[3:]),
    "dlpack": lambda t: np.from_dlpack(t.numpy()),
    "another library": lambda t: np.asarray(_Holder(t.numpy())),
    "torch": _torch,
    "an iterator": lambda t: t.numpy().flat,
}


def values(kept: Any) -> Any:
    if hasattr(kept, "detach"):
        kept = kept.detach().numpy()
    array = np.asarray(kept)
    return array.view(np.float64) if array.dtype.kind == "i" else array


@pytest.mark.parametrize("executor", ["planned", "native"])
@pytest.mark.parametrize("how", KEPT)
def test_what_is_kept_keeps_its_numbers(how: str, executor: str) -> None:
    """Counts of references, as Python 3.14 lends them, gave five kept results as [3, 3, 7, 7, 9]."""
    f = pg.compile(lambda x: x * 2.0 + 1.0, executor=executor)
    kept = []
    for i in range(5):
        kept.append(KEPT[how](f(pg.asarray(X * i))))
        assert [np.unique(values(k)).tolist() for k in kept] == [[2.0 * j + 1] for j in range(i + 1)]


@pytest.mark.parametrize("borrowed", [False, True], ids=["counted", "as 3.14 counts"])
def test_counts_of_references_decide_nothing(borrowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if borrowed:
        monkeypatch.setattr(sys, "getrefcount", lambda x: 2)
    f = pg.compile(lambda x: x * 2.0 + 1.0)
    kept = [f(pg.asarray(X * i)) for i in range(5)]
    assert [k[0].item() for k in kept] == [1.0, 3.0, 5.0, 7.0, 9.0]
    level = pg.vmap(lambda x: x * 2.0)
    assert level(np.ones((2, 3))).tolist() == [[2.0] * 3] * 2


def test_memory_that_nobody_has_is_lent_again() -> None:
    f = pg.compile(lambda x: x * 2.0 + 1.0)
    x = pg.asarray(X)
    for _ in range(3):
        f(x)
    places = set()
    for _ in range(6):
        places.add(f(x).numpy().ctypes.data)
    assert len(places) <= 2
    array: Any = f(x)._value
    array[...] = 5.0
    again = f(x)
    assert array.max() == 5.0
    assert again.numpy().max() == 3.0


def test_a_kept_array_may_be_held_by_a_graph_and_is_writable_again() -> None:
    f = pg.compile(lambda x: x * 2.0)
    array: Any = f(pg.asarray(X))._value
    leaf = pg.asarray(array, requires_grad=True)
    loss = pg.sum(leaf * leaf)
    assert not array.flags.writeable
    del loss, leaf
    array[0] = 1.0


def test_tensors_kept_out_of_vmap_keep_their_level() -> None:
    kept: list[Any] = []
    f = pg.vmap(lambda x: (kept.append(pg.grad(lambda y: y * 1.0)(x)), x * 2.0)[1])
    for _ in range(3):
        f(np.ones((2,)))
    assert len({id(t.device) for t in kept}) == 3
    gone = weakref.ref(kept[0].device)
    kept.clear()
    gc.collect()
    assert gone() is None
    places = set()
    g = pg.vmap(lambda x: (places.add(id(x.device)), x * 2.0)[1])
    for _ in range(3):
        g(np.ones((2,)))
    assert len(places) == 1


def test_ctypes_pointers_are_no_owners() -> None:
    """A bare address keeps nothing alive, in NumPy neither; what NumPy's pointer object holds is kept."""
    f = pg.compile(lambda x: x * 2.0 + 1.0)
    pointer = f(pg.asarray(X * 3.0)).numpy().ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    f(pg.asarray(X))
    f(pg.asarray(X))
    assert pointer[0] == 7.0
