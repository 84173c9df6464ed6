"""Saving and loading: round trips, other libraries' files, devices, laziness, and damaged files."""

from __future__ import annotations

import json
import math
import os
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import same

import polygrad as pg
from polygrad import nn

pytest.importorskip("safetensors")

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "complex64", "complex128",
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_every_dtype_comes_back_bit_by_bit(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=shape) * 3 + (1j * rng.normal(size=shape) if dtype.startswith("c") else 0)
    x = pg.asarray(np.asarray(np.abs(values) if dtype.startswith("u") else values).astype(dtype))
    pg.save(x, tmp_path / "x")
    assert same(pg.load(tmp_path / "x"), x)
    lazy = pg.load(tmp_path / "x", lazy=True)
    assert (lazy.shape, lazy.dtype) == (x.shape, x.dtype)
    assert same(lazy.load(), x)


def test_nested_state_comes_back_in_kind(tmp_path: Path) -> None:
    x = pg.asarray([1.0, 2.0])
    state = {
        "a": [1, 2.5, None, True, "text", b"\x00\xff", 1 + 2j, -0.0],
        "b": (x, {"deep": (x,)}, []),
        3: {None: 1, (1, "k"): 2.0, True: 3},
        "$": "mark",
        "odd": {"$": 1, "": {}},
        "inf": [math.inf, -math.inf, math.nan],
        "big": 10**40,
        "dtype": pg.float32,
        "device": pg.Device("cpu"),
        "__metadata__": pg.ones(1),
    }
    pg.save(state, tmp_path / "x")
    made = pg.load(tmp_path / "x")
    assert same(made, state)
    assert made["b"][0] is made["b"][1]["deep"][0]
    assert math.copysign(1, made["a"][-1]) == -1
    for small in (None, 3, [], {}, ()):
        pg.save(small, tmp_path / "y")
        assert same(pg.load(tmp_path / "y"), small)


def test_tensors_of_the_same_path_are_kept_apart(tmp_path: Path) -> None:
    state = {"a.b": pg.asarray(1.0), "a": {"b": pg.asarray(2.0)}}
    pg.save(state, tmp_path / "x")
    assert same(pg.load(tmp_path / "x"), state)


def test_arrays_and_views_are_saved_as_they_look(tmp_path: Path, device: pg.Device) -> None:
    x = pg.reshape(pg.arange(12.0, device=device), (3, 4))
    views = {"t": pg.matrix_transpose(x), "s": x[::2, 1:3], "f": pg.flip(x), "b": pg.broadcast_to(x[0, :], (2, 4))}
    pg.save(views, tmp_path / "x")
    made = pg.load(tmp_path / "x", device)
    assert all(same(made[k], v) for k, v in views.items())
    pg.save(
        {"n": np.asfortranarray(np.eye(2)), "s": np.float32(3), "g": pg.ones(2, device=device).requires_grad_()},
        tmp_path / "x",
    )
    made = pg.load(tmp_path / "x")
    assert made["n"].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert (made["s"].dtype, made["s"].item(), made["g"].requires_grad) == (pg.float32, 3.0, False)


# -- other libraries' files ----------------------------------------------------------------------------


def test_a_state_dict_is_exchanged_with_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs_io = pytest.importorskip("safetensors.torch")
    theirs, ours = torch.nn.Linear(3, 2, dtype=torch.float64), nn.Linear(3, 2)
    theirs_io.save_file(theirs.state_dict(), tmp_path / "x")
    assert ours.load_state_dict(pg.load(tmp_path / "x")) == ([], [])
    np.testing.assert_array_equal(ours.weight.detach().numpy(), theirs.weight.detach().numpy())
    pg.save(ours.state_dict(), tmp_path / "y")
    back = theirs_io.load_file(tmp_path / "y")
    assert {k: v.tolist() for k, v in back.items()} == {k: v.tolist() for k, v in theirs.state_dict().items()}


def test_bfloat16_is_exchanged_with_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs_io = pytest.importorskip("safetensors.torch")
    values = torch.tensor([[1.0, -2.5, 3e38, 1e-40], [float("nan"), float("inf"), -0.0, 0.1]], dtype=torch.bfloat16)
    theirs_io.save_file({"x": values, "e": values[:0]}, tmp_path / "x")
    ours = pg.load(tmp_path / "x", "torch:cpu")
    assert (ours["x"].dtype, ours["e"].shape) == (pg.bfloat16, (0, 4))
    number = ~torch.isnan(values)  # of which nan it is, PyTorch's own conversions do not keep
    assert torch.equal(torch.isnan(ours["x"]._value), ~number)
    assert torch.equal(ours["x"]._value.view(torch.int16)[number], values.view(torch.int16)[number])
    part = pg.load(tmp_path / "x", "torch:cpu", lazy=True)["x"][0]
    assert (part.dtype, part.shape) == (pg.bfloat16, (4,))
    pg.save(ours, tmp_path / "y")
    back = theirs_io.load_file(tmp_path / "y")["x"]
    assert torch.equal(back.view(torch.int16)[number], values.view(torch.int16)[number])
    wide = pg.load(tmp_path / "x")["x"]  # NumPy has no bfloat16, and float32 holds it exactly
    assert wide.dtype is pg.float32
    np.testing.assert_array_equal(wide.numpy(), values.float().numpy())


def test_bfloat16_weights_fit_into_a_layer_of_float32(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs = {"weight": torch.ones(2, 3, dtype=torch.bfloat16) / 3, "bias": torch.ones(2, dtype=torch.bfloat16)}
    pytest.importorskip("safetensors.torch").save_file(theirs, tmp_path / "x")
    for state in (theirs, pg.load(tmp_path / "x"), pg.load(tmp_path / "x", "torch:cpu")):
        layer = pg.nn.Linear(3, 2, dtype="float32", device="cpu")
        layer.load_state_dict(state)
        assert layer.weight.dtype is pg.float32
        np.testing.assert_array_equal(layer.weight.detach().numpy(), theirs["weight"].float().numpy())


def test_unknown_dtypes_are_told(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs_io = pytest.importorskip("safetensors.torch")
    theirs_io.save_file({"w": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "x")
    with pytest.raises(pg.errors.DTypeError, match="w is of dtype F8_E4M3, which the Array API has not"):
        pg.load(tmp_path / "x")


# -- devices and laziness ------------------------------------------------------------------------------


def test_devices_are_mapped(tmp_path: Path, device: pg.Device) -> None:
    pg.save({"a": pg.ones(2, device=device), "b": pg.zeros(1)}, tmp_path / "x")
    assert {x.device.name for x in pg.load(tmp_path / "x").values()} == {"cpu"}
    assert {x.device for x in pg.load(tmp_path / "x", device).values()} == {device}
    mapped = pg.load(tmp_path / "x", {"cpu": device, device.name: "cpu"})
    if device.name != "cpu":
        assert (mapped["a"].device.name, mapped["b"].device) == ("cpu", device)
    back = pg.load(tmp_path / "x", lambda name, was: was)
    assert (back["a"].device, back["b"].device.name) == (device, "cpu")
    assert pg.load(tmp_path / "x", device, lazy=True)["a"].load().device == device


def test_lazy_tensors_read_parts_and_fill_modules(tmp_path: Path) -> None:
    model = nn.Linear(3, 4)
    pg.save({"model": model.state_dict(), "z": pg.asarray([[1 + 1j, 2j], [3.0, 4.0]])}, tmp_path / "x")
    lazy = pg.load(tmp_path / "x", lazy=True)
    weight = lazy["model"]["weight"]
    assert repr(weight) == "LazyTensor('model.weight', shape=(4, 3), dtype=float64)"
    np.testing.assert_array_equal(weight[1:3].numpy(), model.weight.detach().numpy()[1:3])
    assert lazy["z"][0:1].tolist() == [[1 + 1j, 2j]]
    other = nn.Linear(3, 4)
    other.load_state_dict(lazy["model"])
    assert same(other.weight.detach(), model.weight.detach())


# -- what cannot be saved ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ({"a": [object()]}, "a.0 is a object"),
        ({"a": {"f": len}}, "a.f is a builtin_function_or_method"),
        (nn.Linear(1, 1), r"the object is a Linear; .* their state_dict\(\)"),
        ({"s": {1}}, "s is a set"),
        ({"p": namedtuple("P", "x")(1)}, "p is a P"),
        ({object(): 1}, "a key of"),
    ],
)
def test_what_cannot_be_saved_is_named_and_the_old_file_stays(tmp_path: Path, obj: Any, words: str) -> None:
    pg.save({"old": 1}, tmp_path / "x")
    with pytest.raises(TypeError, match=words):
        pg.save(obj, tmp_path / "x")
    assert pg.load(tmp_path / "x") == {"old": 1}
    assert os.listdir(tmp_path) == ["x"]


def test_what_holds_itself_is_told(tmp_path: Path) -> None:
    state: dict[str, Any] = {"a": []}
    state["a"].append(state)
    with pytest.raises(TypeError, match=r"the object at 'a\.0' holds itself"):
        pg.save(state, tmp_path / "x")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pg.save({"old": pg.ones(3)}, tmp_path / "x")

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        pg.save({"new": pg.zeros(3)}, tmp_path / "x")
    assert pg.load(tmp_path / "x")["old"].tolist() == [1.0, 1.0, 1.0]
    assert os.listdir(tmp_path) == ["x"]


def test_files_have_the_mode_of_new_ones_or_the_old_ones(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    pg.save(1, tmp_path / "x")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "x").chmod(0o600)
    pg.save(2, tmp_path / "x")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


# -- damaged files -------------------------------------------------------------------------------------


def test_missing_files_and_folders_are_told_as_usual(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pg.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        pg.save(1, tmp_path / "none" / "x")


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """The file with another header."""
    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    change(header)
    made = json.dumps(header).encode()
    path.write_bytes(len(made).to_bytes(8, "little") + made + data[8 + n :])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda h: h["a"].update(dtype="F32", shape=[4]),
            r"a has shape \(4,\) in the file, but \(2,\) in its metadata",
        ),
        (lambda h: h["m"].update(shape=[3, 2]), r"m has shape \(3, 2\) in the file, but \(2, 3\)"),
        (lambda h: h["a"].update(dtype="I64"), "a is of int64 in the file, but of float64"),
        (lambda h: h.update(A=h.pop("a")), "only in the file or only in its metadata: A, a"),
        (lambda h: h["__metadata__"].pop("checksum"), "its metadata lacks checksum"),
        (lambda h: h["__metadata__"].update(tree="[]"), "its metadata does not fit its checksum"),
        (lambda h: h["__metadata__"].update(polygrad="9"), "version '9' of polygrad's format"),
    ],
)
def test_damaged_headers_are_told(tmp_path: Path, change: Any, words: str) -> None:
    pg.save({"a": pg.asarray([1.0, 2.0]), "m": pg.ones((2, 3))}, tmp_path / "x")
    rewritten(tmp_path / "x", change)
    with pytest.raises(pg.errors.StateError, match=words):
        pg.load(tmp_path / "x")
