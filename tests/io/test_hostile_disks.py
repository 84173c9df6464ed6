"""What disks and other processes do to files: full, cut, replaced, killed half-way; and what a load leaves behind."""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.io.layout import Reader

safetensors = pytest.importorskip("safetensors")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
X = np.arange(24.0).reshape(4, 3, 2)


def descriptors() -> set[str]:
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{entry}"))
        except OSError:
            continue
    return found


def mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


# -- what a load holds -----------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("lazy", [False, True])
def test_a_load_holds_nothing_once_its_tensors_are_read(lazy: bool, tmp_path: Path) -> None:
    path = tmp_path / "x"
    pg.save({"w": pg.ones(1000), "more": [pg.ones(3), 1.0]}, path)
    gc.disable()
    try:
        for _ in range(3):
            state = pg.load(path, lazy=lazy)
            assert not mapped(path)
            if lazy:
                assert state["w"].load().shape == (1000,)
                assert str(path) in descriptors()
            del state
            assert str(path) not in descriptors()
        with pytest.raises(pg.errors.StateError):
            pg.load(_damaged(path))
        assert str(path) not in descriptors()
    finally:
        gc.enable()


def _damaged(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return path


def test_what_was_loaded_is_the_callers_own(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pg.save({"w": pg.ones(4)}, path)
    w = pg.load(path)["w"]
    w[0] = 5.0
    assert pg.load(path)["w"].tolist() == [1.0] * 4


# -- files that were cut, or replaced --------------------------------------------------------------------

_CUT = """
import os, sys
import polygrad as pg
path, size = sys.argv[1], int(sys.argv[2])
x = pg.load(path, lazy=True)
os.truncate(path, size)
for read in (x["w"].load, lambda: x["w"][-1:], lambda: x["b"].load(), lambda: x["z"].load(), lambda: x["h"].load()):
    try:
        read()
    except pg.errors.StateError as error:
        assert path in str(error), error
"""


def test_cutting_a_lazy_file_is_an_error_and_no_signal(tmp_path: Path) -> None:
    path = tmp_path / "x"
    state = {
        "w": pg.ones((5000, 3)),
        "b": pg.ones(7, dtype="bool"),
        "z": pg.ones(3, dtype="complex128"),
        "h": pg.zeros((0, 2)),
    }
    for size in (0, 5, 100, 4096, 100_000):
        pg.save(state, path)
        done = subprocess.run([sys.executable, "-c", _CUT, str(path), str(size)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_every_length_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pg.save({"w": pg.ones(3), "s": "text"}, path)
    data = path.read_bytes()
    for n in range(len(data)):
        path.write_bytes(data[:n])
        for lazy in (False, True):
            with pytest.raises(pg.errors.StateError, match="no safetensors file, or damaged"):
                pg.load(path, lazy=lazy)
    path.write_bytes(data + b"x")
    with pytest.raises(pg.errors.StateError, match="follow the header"):
        pg.load(path)


def test_a_lazy_file_that_was_replaced_gives_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pg.save({"w": pg.ones(3)}, path)
    old = pg.load(path, lazy=True)["w"]
    pg.save({"w": pg.zeros(300)}, path)
    assert old.load().tolist() == [1.0] * 3


def test_a_lazy_file_that_was_written_over_fails_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pg.save({"w": pg.ones(3)}, path)
    lazy = pg.load(path, lazy=True)["w"]
    _damaged(path)
    with pytest.raises(pg.errors.StateError, match="checksum"):
        lazy.load()


# -- parts -----------------------------------------------------------------------------------------------

ENTRIES: list[Any] = [
    0,
    -1,
    slice(None),
    slice(1, 3),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(3, 0, -2),
    slice(5, 9),
]
KEYS: list[Any] = [
    *ENTRIES, *itertools.product(ENTRIES, repeat=2), (), ..., (..., 0), (0, ...), (slice(1, 2), ..., -1), None, True,
    (slice(None), slice(1, 2), slice(None, None, -1)), np.int64(1), [0, 2], (slice(0, 2), [0, 2]),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["float64", "complex128", "complex64", "bool", "int8", "bfloat16"])
def test_parts_are_those_of_numpys_array(kind: str, tmp_path: Path) -> None:
    if kind == "bfloat16":
        torch = pytest.importorskip("torch")
        from safetensors.torch import save_file

        save_file({"x": torch.tensor(X).bfloat16()}, tmp_path / "x")
        lazy, x = pg.load(tmp_path / "x", "torch:cpu", lazy=True)["x"], X
    else:
        x = (X + 1j * X if "complex" in kind else X % 2).astype(kind)
        pg.save({"x": pg.asarray(x)}, tmp_path / "x")
        lazy = pg.load(tmp_path / "x", lazy=True)["x"]
    for key in KEYS:
        part = lazy[key]
        want = x[key]
        assert part.shape == want.shape
        np.testing.assert_array_equal(
            part.astype("float64" if kind == "bfloat16" else kind).to_device("cpu").numpy(), want
        )
    for bad in (4, -5, (0, 0, 0, 0), (0, 9), "a"):
        with pytest.raises((IndexError, TypeError, ValueError)):
            lazy[bad]
    with pytest.raises(IndexError):
        lazy[4]


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (2, 0, 3), (1,)])
def test_parts_of_tensors_without_numbers_or_axes(shape: tuple[int, ...], tmp_path: Path) -> None:
    pg.save({"x": pg.zeros(shape)}, tmp_path / "x")
    lazy = pg.load(tmp_path / "x", lazy=True)["x"]
    for key in (..., (), *([slice(0, 1), slice(None, None, -1)] if shape else [])):
        assert lazy[key].shape == np.zeros(shape)[key].shape
    assert lazy.load().shape == shape


# -- headers: as the format's own library reads them -----------------------------------------------------


def _accepted(path: Path) -> bool:
    try:
        Reader(str(path)).close()
    except (ValueError, EOFError):
        return False
    return True


def _by_the_library(path: Path) -> bool:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            file.keys()
    except Exception:
        return False
    return True


STRANGE: list[Any] = [
    None, True, -1, 0, 1, 1.0, 2**64, "", "F32", "F64", "I8", "NOPE", [], {}, [0], [0, 8], [8, 0], [0, 8, 8], [1, 9],
    [2**63, 2**63], [1.0], [True], [-1], {"a": 1}, {"a": "b"},
]  # fmt: skip


def test_headers_are_accepted_as_by_the_formats_library(tmp_path: Path) -> None:
    """Whatever it refuses is refused; what is only stranger than JSON of this format needs to be may be, too."""
    rng, path, both = random.Random(0), tmp_path / "x", 0
    for _ in range(3000):
        header: dict[str, Any] = {
            "a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
            "b": {"dtype": "I8", "shape": [2, 4], "data_offsets": [8, 16]},
            "__metadata__": {"k": "v"},
        }
        for _ in range(rng.randrange(3)):
            holder = rng.choice([header, header.get("a"), header.get("b"), header.get("__metadata__")])
            if isinstance(holder, dict) and holder:
                holder[rng.choice([*holder, "more"])] = rng.choice(STRANGE)
        text = json.dumps(header).encode() + b" " * rng.randrange(3)
        if rng.random() < 0.2:
            at = rng.randrange(len(text))
            text = text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
        length = len(text) + (rng.choice([-1, 1, 2**40]) if rng.random() < 0.1 else 0)
        path.write_bytes(length.to_bytes(8, "little") + text + bytes(rng.choice([16, 16, 16, 15, 17])))
        if _accepted(path):
            assert _by_the_library(path), text
            both += 1
    assert both > 300


# -- writing ---------------------------------------------------------------------------------------------

_FULL = """
import errno, resource, sys
import polygrad as pg
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    pg.save({"w": pg.ones(100_000)}, sys.argv[1])
except OSError as error:
    assert error.errno == errno.EFBIG, error
else:
    raise AssertionError("it was written")
"""


@linux
def test_a_disk_that_is_full_is_an_oserror_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pg.save({"w": pg.ones(3)}, path)
    done = subprocess.run([sys.executable, "-c", _FULL, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path) == ["x"]
    assert pg.load(path)["w"].tolist() == [1.0] * 3


def test_folders_that_are_missing_or_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "absent" / "x", tmp_path / "file" / "x", tmp_path):
        with pytest.raises(OSError):
            pg.save({"w": pg.ones(3)}, path)
    assert os.listdir(tmp_path) == ["file"]


_SLOW = """
import sys, time
import polygrad as pg
from polygrad.io import files
whole = files.write
def slow(*args):
    whole(*args)
    print("written", flush=True)
    time.sleep(60)
files.write = slow
pg.save({"w": pg.ones(1000)}, sys.argv[1])
"""


@pytest.mark.skipif(os.name == "nt", reason="no locks that a dead process lets go of")
def test_what_a_killed_save_left_goes_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a*b.c"
    other = tmp_path / ".a*b.c.kept"
    other.write_text("the user's")
    saving = [
        subprocess.Popen([sys.executable, "-c", _SLOW, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in saving:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
    pg.save({"w": pg.ones(2)}, path)  # those that live keep theirs
    assert len(os.listdir(tmp_path)) == 4
    saving[0].kill()
    saving[0].wait()
    pg.save({"w": pg.ones(3)}, path)
    assert len(os.listdir(tmp_path)) == 3
    saving[1].send_signal(signal.SIGKILL)
    saving[1].wait()
    for process in saving:
        assert process.stdout is not None
        process.stdout.close()
    pg.save({"w": pg.ones(4)}, path)
    assert sorted(os.listdir(tmp_path)) == [other.name, path.name]
    assert other.read_text() == "the user's"


def test_many_savers_of_one_path(tmp_path: Path) -> None:
    path, errors = tmp_path / "x", []

    def work(number: int) -> None:
        try:
            for _ in range(10):
                pg.save({"w": pg.full(100, float(number))}, path)
                (value,) = set(pg.load(path)["w"].tolist())
                assert value < 6
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(os.name == "nt", reason="modes")
def test_modes_of_new_and_old_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    mask = os.umask(0o027)
    try:
        pg.save(1, path)
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o604)
        pg.save(2, path)
        assert path.stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(mask)
