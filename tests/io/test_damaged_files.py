"""Damaged and made-up checkpoint files: each gives one error that names it, or was not damaged at all.

A sample runs; ``POLYGRAD_DAMAGED_FILES=10000 python -m pytest tests/io/test_damaged_files.py`` runs so many of each kind.
"""

from __future__ import annotations

import json
import math
import os
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trees import same

import polygrad as pg
from polygrad import nn

pytest.importorskip("safetensors")

COUNT = int(os.environ.get("POLYGRAD_DAMAGED_FILES", "1500"))


def state() -> dict[str, Any]:
    model = nn.Linear(2, 3)
    return {
        "model": model.state_dict(),
        "lr": [0.1, math.inf, 1e-3],
        "steps": (1, 2, 10**30),
        "more": {3: b"bytes", "z": 1 + 2j, "dtype": pg.float32, "device": pg.Device("cpu")},
        "complex": pg.asarray([1 + 2j, 3.0]),
    }


def loaded(path: Path) -> Any:
    """The state, or None where the file is refused by name."""
    found: list[Exception] = []
    try:
        return pg.load(path)
    except (pg.errors.StateError, pg.errors.DeviceError) as error:  # the latter of devices that are not here
        found.append(error)
    assert str(path) in str(found[0])
    return None


def outcome(path: Path, data: bytes, expected: Any) -> str:
    """What a file gives: "refused", or "the same" state; anything else fails here."""
    path.write_bytes(data)
    if (made := loaded(path)) is None:
        assert path.read_bytes() == data  # nothing lost
        return "refused"
    assert same(made, expected)
    return "the same"


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """A bit turned; pieces cut out, doubled or overwritten; the end cut off."""
    made, how = bytearray(data), rng.randrange(5)
    at = rng.randrange(len(made))
    end = min(at + rng.randrange(1, 9), len(made))
    if how == 0:
        made[at] ^= 1 << rng.randrange(8)
    elif how == 1:
        del made[at:]
    elif how == 2:
        del made[at:end]
    elif how == 3:
        made[at:at] = made[at:end]
    else:
        made[at:end] = rng.randbytes(end - at)
    return bytes(made)


def test_files_with_damaged_bytes(tmp_path: Path) -> None:
    rng, path, counts = random.Random(0), tmp_path / "x", {"refused": 0, "the same": 0}
    pg.save(state(), path)
    whole, expected = path.read_bytes(), pg.load(path)
    for _ in range(COUNT):
        data = bytes_changed(whole, rng)
        if data != whole:
            counts[outcome(path, data, expected)] += 1
    # White space in the header, say: nothing that matters was changed.
    assert counts["the same"] < 0.01 * COUNT
    assert counts["refused"] > 0.97 * COUNT


# -- headers that make no sense ------------------------------------------------------------------------
# The JSON is changed and the checksums are made anew, so that what is wrong is seen by what it is.

STRANGE: list[Any] = [
    None, True, -1, 0, 1.5, 1e308, 2**31, 2**63, 2**64, 10**40, "", "x", "F64", "cpu", "nowhere:9", [], {},
    [0, 10**12], [10**12, 0],
    [[]], {"$": "tensor"}, {"$": "tuple"}, {"$": "dict", "items": [[[], 1]]}, {"$": "bytes", "value": "???"},
    {"$": "float", "value": "many"}, {"$": "complex", "value": "i"}, {"$": "dtype", "value": "Tensor"},
    {"$": "dtype", "value": "__doc__"}, {"$": "device", "value": 3}, {"$": "float", "value": []}, {"$": "new"}, {"$": []},
    {"$": "tensor", "name": "absent", "dtype": "float64", "shape": [1]},
    {"$": "tensor", "name": "model.weight", "dtype": "float64", "shape": [6]},
    {"$": "tensor", "name": "model.weight", "dtype": "complex128", "shape": [3]},
    {"$": "tensor", "name": "model.weight", "dtype": "object", "shape": [3, 2]},
    {"$": "tensor", "name": "model.weight", "dtype": "float64", "shape": "ab"},
    {"$": "tensor", "name": "model.weight", "dtype": "float64", "shape": [10**18, 10**18]},
]  # fmt: skip


def places(tree: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every entry within: what holds it, and under which key."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found.append((tree, key))
        if isinstance(value, (dict, list)):
            places(value, found)
    return found


def changed(tree: Any, rng: random.Random) -> None:
    """One entry is taken away, renamed, or becomes something strange."""
    holder, key = rng.choice(places(tree, []))
    how = rng.randrange(4)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[rng.choice(["$", "name", "", "model.bias", "x"])] = holder.pop(key)
    elif how == 2 and isinstance(holder[key], int) and not isinstance(holder[key], bool):
        holder[key] += rng.choice([-9, -1, 1, 7, 8, 10**6, 10**15])
    else:
        holder[key] = rng.choice(STRANGE)


def packed(header: dict[str, Any], tensors: bytes, rng: random.Random | None = None) -> bytes:
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict) and all(isinstance(metadata.get(k), str) for k in ("tree", "about")):
        metadata["checksum"] = str(zlib.crc32((metadata["tree"] + metadata["about"]).encode()))
    text = json.dumps(header)
    if rng is not None and rng.randrange(20) == 0:  # a name twice
        text = text[:-1] + ", " + json.dumps({"model.bias": header.get("model.bias", 1)})[1:]
    made = text.encode()
    return len(made).to_bytes(8, "little") + made + tensors


def unpacked(data: bytes) -> tuple[dict[str, Any], bytes]:
    n = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def test_files_with_made_up_headers(tmp_path: Path) -> None:
    rng, path = random.Random(1), tmp_path / "x"
    pg.save(state(), path)
    whole = path.read_bytes()
    counts = {"refused": 0, "loaded": 0}
    for _ in range(COUNT):
        header, tensors = unpacked(whole)
        part = rng.choice(["tree", "about", "header"])
        if part == "header":
            changed(header, rng)
        else:
            tree = json.loads(header["__metadata__"][part])
            changed(tree, rng)
            header["__metadata__"][part] = json.dumps(tree)
        data = packed(header, tensors, rng)
        path.write_bytes(data)
        # Another number in the tree is as good as the old one, where the checksum says so.
        counts["refused" if loaded(path) is None else "loaded"] += 1
    assert counts["refused"] > 0.5 * COUNT


CASES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "offsets beyond the end": lambda h: h["model.weight"].update(data_offsets=[0, 10**12]),
    "offsets that overlap": lambda h: h["model.weight"].update(data_offsets=h["model.bias"]["data_offsets"]),
    "offsets backwards": lambda h: h["model.weight"].update(data_offsets=h["model.weight"]["data_offsets"][::-1]),
    "a huge shape": lambda h: h["model.weight"].update(shape=[2**62, 2**62]),
    "a negative shape": lambda h: h["model.weight"].update(shape=[-3, -2]),
    "an unknown dtype": lambda h: h["model.weight"].update(dtype="F128"),
    "deep nesting in the tree": lambda h: h["__metadata__"].update(tree="[" * 100_000 + "]" * 100_000),
    "a huge number in the tree": lambda h: h["__metadata__"].update(tree="9" * 100_000),
    "a huge exponent": lambda h: h["__metadata__"].update(tree="[" + "1e" + "9" * 1000),
    "deep nesting in the list of tensors": lambda h: h["__metadata__"].update(about='{"a":' * 50_000),
    "a list of tensors that is none": lambda h: h["__metadata__"].update(about="[1]"),
    "no number for a checksum": lambda h: h["__metadata__"].update(about=h["__metadata__"]["about"].replace("[", "{")),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_costs_no_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    pg.save(state(), path)
    header, tensors = unpacked(path.read_bytes())
    CASES[name](header)
    path.write_bytes(packed(header, tensors))
    tracemalloc.start()
    try:
        with pytest.raises(pg.errors.StateError, match=r"damaged|no safetensors file"):
            pg.load(path)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


def test_a_header_longer_than_the_file_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for length in (2**40, 2**63 - 1, 2**64 - 1):
        path.write_bytes(length.to_bytes(8, "little") + b"{}")
        with pytest.raises(pg.errors.StateError, match="no safetensors file"):
            pg.load(path)
    deep = b'{"a":' * 200_000
    path.write_bytes(len(deep).to_bytes(8, "little") + deep)
    with pytest.raises(pg.errors.StateError, match="no safetensors file"):
        pg.load(path)
