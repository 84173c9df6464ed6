"""Graphs in files: what is read is what was written, and nothing else is ever believed, let alone run."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table import BY_VALUES, Row, every
from test_table import CASES, arrays, function

import polygrad as pg
from polygrad import nn
from polygrad.errors import StateError
from polygrad.graph import Graph, load

pytest.importorskip("safetensors")

FIXED = [c for c in CASES if c.values[0].name not in BY_VALUES]


def through(graph: Graph, folder: Path) -> Graph:
    graph.save(folder / "graph.safetensors")
    return load(folder / "graph.safetensors")


def raw(x: Any) -> Any:
    return np.asarray(x.detach().to_device("cpu").numpy())


def equal(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, (tuple, list)):
        for x, y in zip(a, b, strict=True):
            equal(x, y)
        return
    assert a.dtype is b.dtype
    assert a.device is b.device
    assert raw(a).tobytes() == raw(b).tobytes()


@pytest.mark.devices("numpy", "cupy")
@pytest.mark.over(every(12, FIXED))
def test_every_op(row: Row, sample: Any, device: Any, tmp_path: Path) -> None:
    xs = arrays(sample, device)
    graph = pg.trace(function(row, device), *xs)
    read = through(graph, tmp_path)
    assert str(read) == str(graph)
    equal(read(*xs), graph(*xs))


@pytest.mark.devices("strict", "torch", "jax", "dask")
@pytest.mark.over(every(60, FIXED))
def test_some_ops_elsewhere(row: Row, sample: Any, device: Any, tmp_path: Path) -> None:
    test_every_op(row, sample, device, tmp_path)


def test_derivatives_too(tmp_path: Path) -> None:
    graph = pg.trace(lambda x: pg.sum(pg.tanh(x @ x)[..., ::2] * pg.arange(3)), pg.Spec((5, 5))).vjp()
    read = through(graph, tmp_path)
    assert str(read) == str(graph)
    x = pg.asarray(np.linspace(-1, 1, 25).reshape(5, 5))
    one = pg.asarray(1.0)
    equal(read(x, one)[1][0], graph(x, one)[1][0])
    equal(read.vjp()(x, one, one, x)[1][0], graph.vjp()(x, one, one, x)[1][0])


def test_arguments_of_every_kind(tmp_path: Path) -> None:
    def f(x: Any, n: Any) -> Any:
        z = x * (1.5 - 2j) + complex(float("nan"), -0.0)
        return {
            "slices": (x[..., 1:-1:2], x[::-1, None, 0], x[0, ...], x[n[0], :]),
            "numbers": [x * float("inf"), x * -0.0, x + float("nan"), z, x > True],
            "dtypes": pg.astype(x, "float32") + pg.full((), 0.1, dtype="float32"),
            "none": None,
            3: pg.asarray([1, 2, 3], dtype="uint8") + pg.asarray(2, dtype="uint8"),
        }

    x, n = pg.asarray(np.linspace(-1, 2, 12).reshape(3, 4)), pg.asarray([2, 0])
    graph = pg.trace(f, x, n)
    read = through(graph, tmp_path)
    assert str(read) == str(graph)
    found, expected = read(x, n), graph(x, n)
    assert list(found) == list(expected)
    for key in ("slices", "numbers", "dtypes", 3):
        equal(found[key], expected[key])
    plain = pg.trace(lambda x: (), x)
    assert through(plain, tmp_path)(x) == ()


def test_networks_are_saved_with_their_parameters(tmp_path: Path) -> None:
    pg.random.manual_seed(0)
    layers = [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3)]
    net = nn.Sequential(*layers)
    net[0].bias.requires_grad_(False)
    x, y = pg.asarray(np.random.default_rng(0).standard_normal((2, 1, 8, 8))), pg.asarray([0, 2])
    graph = pg.trace(lambda x, y: nn.functional.cross_entropy(net(x), y), x, y)
    read = through(graph, tmp_path)
    assert str(read) == str(graph)
    assert [t.requires_grad for t in read.closed_over.values()] == [t.requires_grad for t in graph.closed_over.values()]
    before = graph(x, y)
    one = pg.asarray(1.0)
    equal(read.vjp()(x, y, one), graph.vjp()(x, y, one))
    with pg.no_grad():
        net[4].bias += 1
    equal(read(x, y), before)  # its tensors are its own
    parameters = list(read.closed_over.values())
    equal(read.with_(closed_over={})(x, y, *parameters), (before,) if read.structure is None else before)
    with pytest.raises(IndexError, match="the targets range from 0 to 3"):
        read(x, pg.asarray([0, 3]))


def test_recurrent_and_attentive_networks(tmp_path: Path) -> None:
    pg.random.manual_seed(0)
    lstm, layer = nn.LSTM(4, 3, batch_first=True), nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    x = pg.asarray(np.random.default_rng(0).standard_normal((2, 5, 4)))
    for f in (lambda x: lstm(x)[0], layer):
        graph = pg.trace(f, x)
        read = through(graph, tmp_path)
        assert str(read) == str(graph)
        equal(read(x), graph(x))


def test_a_fresh_process_reads_it(tmp_path: Path) -> None:
    lstm = nn.LSTM(4, 3)
    graph = pg.trace(lambda x: pg.special.erf(lstm(x)[0]), pg.Spec((5, 2, 4))).vjp()
    graph.save(tmp_path / "g")
    code = f"import polygrad as pg; print(pg.graph.load({str(tmp_path / 'g')!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == f"{graph}\n", done.stderr


def test_what_cannot_be_saved_is_told_and_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "g"
    pg.trace(lambda x: x * 2, pg.Spec(2)).save(path)
    before = path.read_bytes()

    def checked(x: Any, n: Any) -> Any:
        n._device.backend.trace.check(print, n)
        return x

    from collections import OrderedDict

    with pytest.raises(TypeError, match="checks values by a Python function at each run"):
        pg.trace(checked, pg.Spec(2), pg.Spec(2, "int64")).save(path)
    with pytest.raises(TypeError, match="returns a OrderedDict"):
        pg.trace(lambda x: OrderedDict(a=x * 2), pg.Spec(2)).save(path)
    with pytest.raises(TypeError, match=r"dict with the key 1\.5"):
        pg.trace(lambda x: {1.5: x * 2}, pg.Spec(2)).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_devices(tmp_path: Path) -> None:
    path = tmp_path / "g"
    pg.trace(lambda x: x * 2, pg.Spec(2, device="strict")).save(path)
    assert load(path, device="strict:device1").device == "strict:device1"
    with pytest.raises(StateError, match=r"holds a graph for strict, which cannot run on cpu"):
        load(path, device="cpu")


# -- files that make no sense ------------------------------------------------------------------------------


def sample(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    path = tmp_path / "graph.safetensors"
    w = pg.asarray([1.0, 2.0], requires_grad=True)
    graph = pg.trace(
        lambda x, n: (pg.sum(w * x, axis=0), pg.astype(n + pg.asarray([3, 4]), "float32")),
        pg.Spec(2),
        pg.Spec(2, "int64"),
    )
    graph.save(path)
    return path, pg.load(path)


def refused(path: Path, tree: Any, match: str) -> None:
    pg.save(tree, path)
    with pytest.raises(StateError, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value)


def changed(tree: Any, where: list[Any], value: Any) -> Any:
    """A copy with one item replaced."""
    if not where:
        return value
    made = dict(tree) if isinstance(tree, dict) else list(tree)
    made[where[0]] = changed(made[where[0]], where[1:], value)
    return tuple(made) if isinstance(tree, tuple) else made


EVIL = [
    "__class__", "_base", "_resolved", "linalg", "linalg.__class__", "linalg._parent", "os.system", "special.sc", "eval",
    "xp.__init__", "__dict__.update", "float64", "add.__call__", "core.multiarray", "fromfile", "save", "memmap",
    "ctypeslib.load", "linalg.linalg", "", ".", "add\n", "asarray.__self__", "generic", "xp.generic", "ndarray", "testing.run",
]  # fmt: skip


@pytest.mark.parametrize("op", EVIL)
def test_names_of_anything_but_ops_are_refused(op: str, tmp_path: Path) -> None:
    path, tree = sample(tmp_path)
    for i in range(2):
        refused(path, changed(tree, ["instructions", i, "op"], op), "there is no op|is no function")


def test_each_fault_is_named(tmp_path: Path) -> None:
    path, tree = sample(tmp_path)
    made = tree["instructions"]
    number = made[0]["outputs"][0][0]
    for where, value, match in [
        (["polygrad graph"], 2, "version 2"),
        (["device"], "abacus", "for the device 'abacus'"),
        (["device"], 3, "the device is a int"),
        (["inputs", 0, 0], -1, "negative"),
        (["inputs", 1, 0], 0, "made twice"),
        (["inputs", 0, 0], True, "is a bool, not a int"),
        (["inputs", 0, 1], "float63", "dtype 'float63'"),
        (["inputs", 0, 1], "__class__", "dtype '__class__'"),
        (["inputs", 0, 2], [3], r"multiply makes .* declared|cannot be called|is float64\[2\], but declared"),
        (["inputs", 0, 2], [-2], r"shape \[-2\]"),
        (["inputs", 0, 2], [1 << 62], "bytes"),
        (["inputs", 0, 2], ["2"], "shape"),
        (["inputs", 0, 2], [1] * 65, "shape"),
        (["inputs", 0], [0, "float64", [2]], "3 items, not 4"),
        (["instructions", 0, "args", 0], {"value": 99}, "value 99 is used before anything makes it"),
        (["instructions", 0, "args", 0], {"value": number}, f"value {number} is used before"),
        (["instructions", 0, "args", 0], {"value": "0"}, "used before"),
        (["instructions", 0, "args", 0], {"call": "print"}, "no known kind"),
        (["instructions", 0, "args", 0], {"in range": ["f", 3, None]}, "takes a check"),
        (["instructions", 0, "args", 0], "text", "cannot be called"),
        (["instructions", 0, "args"], [], "cannot be called|multiply"),
        (["instructions", 0, "kwargs"], [["__class__", 1]], "keyword argument '__class__'"),
        (["instructions", 1, "kwargs"], [["axis", 7]], "cannot be called|makes"),
        (["instructions", 1, "kwargs"], [["out", {"value": 0}]], "cannot be called|makes"),
        (["instructions", 0, "outputs"], [], "declared"),
        (["instructions", 0, "outputs", 0, 1], "float32", r"makes float64\[2\], but float32\[2\] is declared"),
        (["instructions", 0, "outputs", 0, 2], [3], r"makes float64\[2\], but float64\[3\] is declared"),
        (["instructions", 0, "outputs", 0, 1], None, "Python number"),
        (["instructions", 0, "several"], True, "makes one array"),
        (["instructions", 0, "several"], 1, "is a int"),
        (["instructions", 0], {"op": "add"}, "an instruction has op"),
        (["outputs", 0], 99, "value 99"),
        (["outputs"], [], "its structure is of the outputs"),
        (["structure"], [{"a": 0}], "its structure"),
        (["structure"], [[0, 0]], "its structure"),
        (["structure"], ["no"], "returns a str"),
        (["constants", 0, 4], 3, "not a tensor"),
        (["constants", 0, 4], pg.ones(2), r"float64\[2\], but declared int64\[2\]"),
        (["reached", 0, 0], 99, "value 99"),
        (["reached", 0, 2], pg.ones(3), r"float64\[3\], but declared"),
        (["reached", 0, 1], "yes", "is a str"),
        (["structure"], {"a": 1}, "is a dict"),
    ]:  # fmt: skip
        refused(path, changed(tree, where, value), match)
    for key in tree:
        refused(path, {k: v for k, v in tree.items() if k != key}, "it has|holds no graph")
    refused(path, {"w": pg.ones(2)}, "holds no graph; pg.load reads")
    refused(path, [1], "holds no graph")
    deep: Any = 0
    for _ in range(120):
        deep = {"tuple": [deep]}
    refused(path, changed(tree, ["instructions", 0, "args", 0], deep), "deep|no sense|cannot be called")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


def test_sizes_are_looked_at_before_anything_is_made(tmp_path: Path) -> None:
    path, tree = sample(tmp_path)
    about = tree["instructions"][0]["outputs"]
    x = {"value": tree["inputs"][0][0]}
    for op, args in [
        ("zeros", [{"tuple": [1 << 40]}]),
        ("full", [{"tuple": [1 << 33, 1 << 9]}, 1.0]),
        ("eye", [1 << 30, 1 << 30]),
        ("arange", [0, 1 << 50, 1]),
        ("linspace", [0.0, 1.0, 1 << 45]),
        ("repeat", [x, 1 << 44]),
        ("tile", [x, {"tuple": [1 << 20, 1 << 20]}]),
    ]:
        made = {"op": op, "args": args, "kwargs": [], "outputs": about, "several": False}
        refused(path, changed(tree, ["instructions", 0], made), f"{op} makes [0-9]+ elements")


def test_damaged_files(tmp_path: Path) -> None:
    path, _ = sample(tmp_path)
    data = path.read_bytes()
    rng = random.Random(0)
    for i in range(400):
        damaged = bytearray(data)
        if i % 2:
            at = rng.randrange(len(data))
            damaged[at] ^= 1 << rng.randrange(8)
        else:
            del damaged[rng.randrange(len(data)) :]
        path.write_bytes(damaged)
        with pytest.raises(StateError) as caught:
            load(path)
        assert str(path) in str(caught.value)


def places(tree: Any) -> Any:
    """The path to everything in a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    for key, item in items:
        yield [key]
        for rest in places(item):
            yield [key, *rest]


def test_random_changes_are_refused_or_mean_the_same_kind_of_graph(tmp_path: Path) -> None:
    """Anything may stand anywhere: a file is read as a graph that runs, or there is one clear error."""
    path, tree = sample(tmp_path)
    rng = random.Random(1)
    everywhere = list(places(tree))
    things: list[Any] = [
        None, True, 0, 1, 2, 5, -1, 1 << 70, 0.5, float("nan"), 1j, "", "add", "sum", "float64", [], {}, [0], {"value": 0},
        {"value": 1}, {"slice": [0, 1, None]}, {"slice": [0]}, {"tuple": [0]}, {"list": 3}, {"ellipsis": True}, b"x",
        {"dtype": "float32", "native": True}, {"dtype": "x", "native": 1}, pg.ones(2), (1, 2), {"in range": ["f", 1, 2]},
    ]  # fmt: skip
    faults = []
    for _ in range(1500):
        pg.save(changed(tree, rng.choice(everywhere), rng.choice(things)), path)
        try:
            graph = load(path)
        except StateError as error:
            faults.append(str(error))
        else:
            graph(*[pg.zeros(v.shape, dtype=v.dtype) for v in graph.own_inputs])
    assert all(str(path) in fault for fault in faults)
    assert len(faults) > 800
