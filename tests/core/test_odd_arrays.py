"""Arrays in other byte orders, unaligned, of other classes: the right numbers at every door, or an error that says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polygrad as pg

F = pg.nn.functional
N = np.arange(1.0, 5.0)


def unaligned(values: Any) -> Any:
    """The values in memory that begins at an odd address."""
    memory = np.zeros(values.nbytes + 1, np.uint8)[1:]
    array = memory.view(values.dtype)
    array[...] = values
    return array


def in_record(values: Any) -> Any:
    record = np.zeros(values.shape, [("a", "i1"), ("b", values.dtype)])
    record["b"] = values
    return record["b"]


ODD: dict[str, Callable[[], Any]] = {
    ">f8": lambda: N.astype(">f8"),
    ">f4": lambda: N.astype(">f4"),
    ">f2": lambda: N.astype(">f2"),
    ">c16": lambda: (N + 1j).astype(">c16"),
    ">c8": lambda: (N + 1j).astype(">c8"),
    ">f8 backwards": lambda: N.astype(">f8")[::-1],
    ">f8 of a file": lambda: np.frombuffer(N.astype(">f8").tobytes(), ">f8"),
    ">f8 in a record": lambda: in_record(N.astype(">f8")),
    "unaligned": lambda: unaligned(N),
    "unaligned f4": lambda: unaligned(N.astype("f4")),
    "unaligned >f8": lambda: unaligned(N.astype(">f8")),
    "in a record": lambda: in_record(N),
    "every other": lambda: np.repeat(N, 2)[::2],
    "broadcast": lambda: np.broadcast_to(np.float64(3.0), (4,)),
    "recarray": lambda: N.view(np.recarray),
    "masked, none hidden": lambda: np.ma.masked_array(N, mask=False),
}
EXECUTORS = [None, "planned", "native"]


def compiled(f: Callable[..., Any], executor: str | None) -> Callable[..., Any]:
    return f if executor is None else pg.compile(f, executor=executor)


def loss(x: Any) -> Any:
    return pg.sum(pg.real(x * x * x) if pg.asarray(x).dtype.kind == "c" else x * x * x)


def native(array: Any) -> Any:
    return np.array(np.asarray(array), array.dtype.newbyteorder("="))


def close(a: Any, b: Any) -> None:
    a = np.asarray(a.detach() if isinstance(a, pg.Tensor) else a)
    assert a.dtype.isnative
    np.testing.assert_allclose(a, b, rtol=2e-3 if a.dtype.itemsize == 2 else 1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", ODD)
def test_the_right_numbers_at_every_door(name: str, executor: str | None) -> None:
    array = ODD[name]()
    plain = native(array)
    x = pg.asarray(array)
    close(x, plain)
    close(compiled(lambda v: v * 2 + 1, executor)(array), plain * 2 + 1)
    close(compiled(lambda v: v * x + 1, executor)(pg.ones(4)), plain + 1)
    close(compiled(lambda v: pg.concat([v, v]) - 1, executor)(x), np.concatenate([plain, plain]) - 1)
    close(compiled(lambda v: pg.sum(v * v), executor)(array), (plain * plain).sum())
    close(compiled(lambda v: pg.exp(v[1:]), executor)(array), np.exp(plain[1:]))
    close(compiled(pg.grad(loss), executor)(pg.asarray(array)), 3 * np.conj(plain) ** 2)


@pytest.mark.parametrize("name", ODD)
def test_transforms_and_interfaces(name: str, tmp_path: Path) -> None:
    array = ODD[name]()
    plain = native(array)
    close(pg.grad(loss)(array), 3 * np.conj(plain) ** 2)
    close(pg.vjp(lambda v: v * v, array)[1](array)[0], plain * 2 * np.conj(plain))
    close(pg.jvp(lambda v: v * v, (array,), (array,))[1], 2 * plain * plain)
    close(pg.vmap(lambda v: v * v)(array), plain * plain)
    close(np.add(pg.ones(4), array), plain + 1)
    close(pg.ones(4) * array, plain)
    y = pg.zeros(4, dtype=pg.asarray(plain).dtype)
    y[...] = array
    close(y, plain)
    leaf = pg.asarray(array, requires_grad=True)
    (leaf * 2.0).backward(array)
    close(leaf.grad, 2 * plain)
    leaf.grad = array
    close(leaf.grad, plain)
    close(pg.nn.Parameter(array), plain)
    pg.save({"x": pg.asarray(array)}, tmp_path / "x")
    close(pg.load(tmp_path / "x")["x"], plain)
    close(pg.asarray([array, array]), np.stack([plain, plain]))


@pytest.mark.parametrize("name", [name for name in ODD if "c" not in name.split()[0]])
def test_other_libraries(name: str, device: pg.Device) -> None:
    array = ODD[name]()
    host = pg.asarray(array, dtype="float32").to_device(device) * 2.0
    close(host.to_device("cpu"), native(array) * 2)
    close(pg.asarray(array, dtype="float32", device=device).to_device("cpu"), native(array))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("kind", [">i2", ">i4", ">i8", ">u2", ">u4", ">u8"])
def test_integers(kind: str, executor: str | None) -> None:
    close(compiled(lambda v: v * 2 + 1, executor)(np.arange(4).astype(kind)), np.arange(4) * 2 + 1)


def test_classes_and_indices() -> None:
    assert F.cross_entropy(pg.ones((2, 3)), np.array([0, 1], ">i8")).item() == pytest.approx(np.log(3))
    assert pg.asarray([1.0, 2.0, 3.0])[np.array([2, 0], ">i8")].tolist() == [3.0, 1.0]


def test_another_byte_order_is_a_copy() -> None:
    array = N.astype(">f8")
    x = pg.asarray(array)
    array[0] = 9.0
    assert x[0].item() == 1.0
    x[1] = 8.0
    assert array[1] == 2.0
    with pytest.raises(ValueError, match="copy=False"):
        pg.asarray(array, copy=False)
    assert array.flags.writeable


def test_a_copy_made_in_a_trace_is_refused() -> None:
    array = N.astype(">f8")
    with pytest.raises(pg.errors.TraceError, match="outside of the compiled function"):
        pg.compile(lambda x: x + pg.asarray(array))(pg.ones(4))


REFUSED: dict[str, Callable[[], Any]] = {
    "structured": lambda: np.zeros(2, [("a", "f8")]),
    "longdouble": lambda: np.ones(2, np.longdouble),
    "clongdouble": lambda: np.ones(2, np.clongdouble),
    "datetime": lambda: np.array(["2020-01-01"], "M8[D]"),
    "timedelta": lambda: np.array([1], "m8[s]"),
    "object": lambda: np.array([1.0, None], object),
    "text": lambda: np.array(["a"]),
    "bytes": lambda: np.array([b"a"]),
    "void": lambda: np.zeros(2, "V4"),
    "masked": lambda: np.ma.masked_array([1.0, 2.0], [0, 1]),
    "masked constant": lambda: np.ma.masked,
    "masked matrix": lambda: np.ma.masked_array(np.ones((2, 2)), [[0, 1], [0, 0]]),
}


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is double here")
@pytest.mark.parametrize("name", REFUSED)
def test_what_polygrad_has_no_dtype_for_is_refused(name: str) -> None:
    array = REFUSED[name]()
    doors: list[Callable[[], Any]] = [
        lambda: pg.asarray(array),
        lambda: pg.ones(np.shape(array)) + array,
        lambda: pg.grad(lambda x: pg.sum(x))(array),
        lambda: pg.compile(lambda x: x + 1)(array),
        lambda: pg.vmap(lambda x: x)(array),
        lambda: pg.asarray([array, array]),
        lambda: pg.ones(np.shape(array)).__setitem__(..., array),
    ]
    for door in doors:
        with pytest.raises(pg.errors.DTypeError, match=r"dtype|masked|array of numbers"):
            door()
