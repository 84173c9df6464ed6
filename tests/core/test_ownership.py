"""Whose memory it is: users' arrays while graphs hold them, cotangents, what hooks return, ``.grad`` of several leaves."""

from __future__ import annotations

import copy
import ctypes
import gc
import mmap
import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polygrad as pg

ALL_CASES = os.environ.get("POLYGRAD_ALL_CASES") == "1"

# -- users' arrays -------------------------------------------------------------------------------------


def graph_over(array: Any) -> Any:
    """A graph that holds an array's memory."""
    x = pg.asarray(array, requires_grad=True)
    return pg.sum(x * x)


def foreign(kind: str, tmp_path: Path) -> tuple[Any, Any]:
    """A writable array on memory that NumPy does not own, and what must live as long."""
    if kind == "torch":
        torch = pytest.importorskip("torch")
        return torch.arange(4.0).numpy(), None
    if kind == "ctypes":
        numbers = (ctypes.c_double * 4)(*range(4))
        return np.ctypeslib.as_array(numbers), numbers
    if kind == "bytearray":
        return np.frombuffer(bytearray(32), np.float64), None
    if kind == "mmap":
        return np.frombuffer(mmap.mmap(-1, 32), np.float64), None
    if kind == "memmap":
        return np.memmap(tmp_path / "x", np.float64, "w+", shape=(4,)), None
    if kind == "dlpack":
        return np.from_dlpack(np.arange(4.0)), None
    if kind == "interface":

        class Owner:
            memory = np.arange(4.0)
            __array_interface__ = memory.__array_interface__

        return np.asarray(Owner()), None
    return np.arange(4.0).view(np.recarray if kind == "recarray" else np.matrix).reshape(2, 2), None


FOREIGN = ["torch", "ctypes", "bytearray", "mmap", "memmap", "dlpack", "interface", "recarray", "matrix"]


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("kind", FOREIGN)
def test_memory_of_other_owners_is_writable_again(kind: str, tmp_path: Path) -> None:
    array, _owner = foreign(kind, tmp_path)
    if not array.flags.writeable:
        pytest.skip("NumPy gives it read-only")
    for part in (array, array[1:]):
        loss = graph_over(part)
        again = graph_over(part)
        del loss
        del again
        part[...] = 7.0
        assert (part == 7.0).all()


@pytest.mark.parametrize("seed", range(200 if ALL_CASES else 30))
def test_arrays_are_read_only_while_held_and_writable_again(seed: int) -> None:
    """Random views of views under random graphs that go in any order."""
    draw = random.Random(seed)
    root = np.arange(64.0)
    arrays: list[Any] = [root]
    held: list[tuple[int, Any]] = []
    for _ in range(6):
        base = draw.choice(arrays)
        key: Any = draw.choice([slice(1, None), slice(None, None, 2), slice(None, -1), Ellipsis])
        arrays.append(base[key])
    for _ in range(40):
        if held and draw.random() < 0.5:
            held.pop(draw.randrange(len(held)))
        else:
            number = draw.randrange(len(arrays))
            held.append((number, graph_over(arrays[number])))
        assert not any(arrays[number].flags.writeable for number, _ in held)
    while held:
        held.pop(draw.randrange(len(held)))
    assert all(array.flags.writeable for array in arrays)


def test_an_array_the_user_made_read_only_stays_so() -> None:
    for array in (np.broadcast_to(np.arange(3.0), (2, 3)), np.arange(3.0)):
        array.flags.writeable = False
        loss = graph_over(array)
        del loss
        assert not array.flags.writeable


def test_subclasses_are_protected_themselves(tmp_path: Path) -> None:
    array = np.memmap(tmp_path / "x", np.float64, "w+", shape=(4,))
    loss = graph_over(array)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1.0
    del loss
    array[0] = 1.0


def test_pins_made_and_dropped_by_many_threads() -> None:
    array = np.arange(8.0)
    views = [array[i:] for i in range(4)]
    before, faults = sys.getswitchinterval(), []

    def work(number: int) -> None:
        for i in range(300):
            loss = graph_over(views[(number + i) % 4])
            if views[(number + i) % 4].flags.writeable:
                faults.append(number)
            del loss

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(before)
    assert not faults
    assert all(view.flags.writeable for view in (array, *views))


# -- cotangents and gradients --------------------------------------------------------------------------

VIEWS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda x: x,
    "plus 0": lambda x: x + 0.0,
    "reshape": lambda x: pg.reshape(x, (6,)),
    "transpose": lambda x: x.T,
    "slice": lambda x: pg.concat([x, x])[:2],
    "broadcast": lambda x: pg.broadcast_to(x, (1, 2, 3)),
    "flip": lambda x: pg.flip(x),
    "stack": lambda x: pg.stack([x]),
    "real": lambda x: pg.real(x),
    "astype": lambda x: pg.astype(x, "float64", copy=False),
}


@pytest.mark.parametrize("create_graph", [False, True], ids=["plain", "create_graph"])
@pytest.mark.parametrize("kind", ["array", "tensor on it", "tensor", "view"])
@pytest.mark.parametrize("name", VIEWS)
def test_gradients_do_not_change_with_the_cotangent(name: str, kind: str, create_graph: bool) -> None:
    x = pg.asarray(np.ones((2, 3)), requires_grad=True)
    y = VIEWS[name](x)
    memory = np.arange(1.0, 7.0).reshape(y.shape)
    gradient: Any = memory if kind == "array" else pg.asarray(memory, copy=kind == "tensor" or None)
    if kind == "view":
        gradient = gradient[...]
    y.backward(gradient, create_graph=create_graph)
    assert x.grad is not None
    before = x.grad.detach().tolist()
    memory[...] = 99.0
    if kind != "array":
        gradient[...] = 98.0
        gradient *= 2.0
    assert x.grad.detach().tolist() == before
    with pg.no_grad():
        x.grad *= 3.0
        x.grad[0] = 5.0
    assert memory.min() > 90
    assert kind == "array" or gradient.min().item() > 90


@pytest.mark.parametrize("create_graph", [False, True], ids=["plain", "create_graph"])
def test_leaves_do_not_share_a_gradient(create_graph: bool) -> None:
    x, y = (pg.asarray(np.ones(3), requires_grad=True) for _ in range(2))
    (x + y).backward(pg.ones(3), create_graph=create_graph)
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad is not y.grad
    with pg.no_grad():
        x.grad *= 2.0
        x.grad[1] = 7.0
    assert x.grad.tolist() == [2.0, 7.0, 2.0]
    assert y.grad.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("raw", [False, True], ids=["tensors", "arrays"])
def test_results_of_transforms_do_not_change_with_what_was_given(raw: bool) -> None:
    tangent = np.arange(3.0)
    point: Any = np.ones(3) if raw else pg.ones(3)
    _, pull = pg.vjp(lambda x: x, point)
    _, moved = pg.jvp(lambda x: x, (point,), (tangent,))
    _, along = pg.linearize(lambda x: x, point)
    results = [pull(tangent)[0], moved, along(tangent)]
    tangent[...] = 9.0
    assert all(np.asarray(r).tolist() == [0.0, 1.0, 2.0] for r in results)


def test_nested_gradients_have_handles_of_their_own() -> None:
    def f(x: Any) -> Any:
        a, b = pg.grad(lambda u, v: pg.sum(u * v * 1.0 + u + v), argnums=(0, 1))(x, x)
        a += 10.0
        return pg.sum(a * b)

    x = pg.asarray([1.0, 2.0])  # d/dx (x + 11)(x + 1)
    assert pg.grad(f)(x).tolist() == [14.0, 16.0]


def test_what_a_hook_returns_is_not_kept_by_reference() -> None:
    buffer, kept = np.zeros(2), pg.zeros(2)
    for returned, write in ((pg.asarray(buffer), buffer), (kept, kept), (buffer, buffer)):
        x = pg.asarray([1.0, 2.0], requires_grad=True)
        x.register_hook(lambda g, returned=returned: returned)
        pg.sum(x).backward()
        write[...] = 5.0
        assert x.grad is not None
        assert x.grad.tolist() == [0.0, 0.0]
        write[...] = 0.0


BAD_HOOKS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "dtype": (
        lambda g: pg.astype(g, "float32"),
        pg.errors.DTypeError,
        r"dtype float32; it must keep the dtype float64",
    ),
    "complex": (lambda g: g * 1j, pg.errors.DTypeError, "dtype complex128"),
    "integers": (lambda g: pg.astype(g, "int64"), pg.errors.DTypeError, "dtype int64"),
    "shape": (lambda g: pg.sum(g), pg.errors.ShapeError, r"shape \(\); it must keep the shape \(2,\)"),
    "number": (lambda g: 1.0, pg.errors.ShapeError, r"shape \(\)"),
    "device": (lambda g: g.to_device("strict:device1"), pg.errors.DeviceError, "device 'strict:device1'"),
    "text": (lambda g: "g", pg.errors.DTypeError, "cannot make an array"),
}


@pytest.mark.parametrize("create_graph", [False, True], ids=["plain", "create_graph"])
@pytest.mark.parametrize("where", ["leaf", "op"])
@pytest.mark.parametrize("name", BAD_HOOKS)
def test_a_hook_must_return_a_gradient_that_fits(name: str, where: str, create_graph: bool) -> None:
    if name == "device":
        pytest.importorskip("array_api_strict")
    hook, error, message = BAD_HOOKS[name]
    x = pg.asarray([1.0, 2.0], requires_grad=True)
    y = x * 1.0
    (x if where == "leaf" else y).register_hook(hook)
    with pytest.raises(error, match=message):
        pg.sum(y * y).backward(create_graph=create_graph)
    assert x.grad is None


def test_a_hook_may_return_numpys_array_of_the_right_kind() -> None:
    x = pg.asarray([1.0, 2.0], requires_grad=True)
    x.register_hook(lambda g: np.asarray([3.0, 4.0]))
    pg.sum(x).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 4.0]


# -- retained gradients --------------------------------------------------------------------------------


def _multiply(y: Any) -> None:
    y *= 3.0


def _add_tensor(y: Any) -> None:
    y += pg.ones(3)


WRITES: dict[str, Callable[[Any], Any]] = {
    "*=": _multiply,
    "+=": _add_tensor,
    "item": lambda y: y.__setitem__(0, 5.0),
    "slice": lambda y: y.__setitem__(slice(0, 2), 5.0),
    "mask": lambda y: y.__setitem__(pg.asarray([True, False, False]), 5.0),
    "all": lambda y: y.__setitem__(Ellipsis, 2.0 * pg.ones(3)),
    "a view": lambda y: y[1:].__setitem__(0, 5.0),
    "a view of a view": lambda y: y[1:][:1].__imul__(2.0),
    "twice": lambda y: (_multiply(y), y.__setitem__(2, 1.0)),
}


@pytest.mark.parametrize("viewed", [False, True], ids=["itself", "as a view"])
@pytest.mark.parametrize("name", WRITES)
def test_a_retained_gradient_is_that_of_the_tensor_as_it_is_now(name: str, viewed: bool) -> None:
    x = pg.asarray([1.0, 2.0, 3.0], requires_grad=True)
    y = pg.reshape(x * 1.0, (3,)) if viewed else x * 1.0
    y.retain_grad()
    WRITES[name](y)
    weights = pg.asarray([1.0, 10.0, 100.0])
    pg.sum(y * weights).backward()
    assert y.grad is not None
    assert y.grad.tolist() == weights.tolist()


def test_a_retained_gradient_stays_through_a_later_write_and_accumulates() -> None:
    x = pg.asarray([1.0, 2.0], requires_grad=True)
    y = x * 1.0
    y.retain_grad()
    pg.sum(y).backward(retain_graph=True)
    pg.sum(y * 2.0).backward()
    assert y.grad is not None
    assert y.grad.tolist() == [3.0, 3.0]  # as PyTorch's
    y *= 2.0
    assert y.grad is not None
    assert y.grad.tolist() == [3.0, 3.0]


# -- copies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("create_graph", [False, True], ids=["plain", "create_graph"])
def test_deepcopy_takes_the_gradient_along(create_graph: bool, device: pg.Device) -> None:
    x = pg.asarray([1.0, 2.0], device=device, copy=True, requires_grad=True)
    pg.sum(x * x).backward(create_graph=create_graph)
    y, again = copy.deepcopy([x, x])
    assert y is again
    assert x.grad is not None
    assert y.grad is not None
    assert y.grad is not x.grad
    assert y.grad.to_device("cpu").tolist() == [2.0, 4.0]
    model = pg.nn.Linear(2, 1)
    pg.sum(model(pg.ones((1, 2)))).backward()
    assert copy.deepcopy(model).weight.grad is not None
    gc.collect()
