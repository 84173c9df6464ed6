"""Datasets, collation and loading."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import data

Pair = namedtuple("Pair", "x y")


class Squares(data.Dataset):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"n": i, "row": pg.full((2,), float(i)), "name": f"#{i}"}


def rows(n: int = 10) -> data.TensorDataset:
    return data.TensorDataset(pg.reshape(pg.arange(2.0 * n), (n, 2)), np.arange(n))


# -- collation ---------------------------------------------------------------------------------------


def test_collate_kinds() -> None:
    samples = [(1, 2.5, True, np.ones(2), "a", None, [1, 2]), (3, 4.5, False, np.zeros(2), "b", None, [3, 4])]
    a, b, c, d, e, f, g = data.default_collate(samples)
    assert (a.dtype, a.tolist()) == (pg.int64, [1, 3])
    assert (b.dtype, b.tolist()) == (pg.float64, [2.5, 4.5])
    assert (c.dtype, c.tolist()) == (pg.bool, [True, False])
    assert d.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert (e, f) == (["a", "b"], [None, None])
    assert isinstance(g, list)
    assert [x.tolist() for x in g] == [[1, 3], [2, 4]]


def test_collate_nests_and_keeps_namedtuples_and_graphs() -> None:
    x = pg.asarray([1.0, 2.0], requires_grad=True)
    batch = data.default_collate([{"p": Pair(x, 1)}, {"p": Pair(x, 2)}])
    assert isinstance(batch["p"], Pair)
    pg.sum(batch["p"].x).backward()
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("samples", "error", "words"),
    [
        ([pg.ones(2), pg.ones(3)], pg.errors.ShapeError, r"0 has shape \(2,\), but sample 1 has .* \(3,\)"),
        ([(1, pg.ones(2)), (1, pg.ones((2, 1)))], pg.errors.ShapeError, r"at \[1\]: .* \(2,\), .* \(2, 1\)"),
        ([{"a": [1, 2]}, {"a": [1]}], pg.errors.ShapeError, r"at \['a'\]: .* 2 .* sample 1 has 1"),
        ([{"a": 1}, {"b": 1}], pg.errors.ShapeError, r"keys \['a'\], but sample 1 has \['b'\]"),
        ([object()], TypeError, "no batch can be made of object"),
        ([], ValueError, "at least one sample"),
    ],
)  # fmt: skip
def test_collate_refuses_ragged_batches(samples: list[Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        data.default_collate(samples)


# -- datasets ----------------------------------------------------------------------------------------


def test_tensor_dataset(device: pg.Device) -> None:
    x = pg.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], device=device)
    d = data.TensorDataset(x, pg.arange(3, device=device))
    assert len(d) == 3
    assert [v.tolist() for v in d[1]] == [[3.0, 4.0], 1]
    batch = d.batch([2, 0])
    assert [v.tolist() for v in batch] == [[[5.0, 6.0], [1.0, 2.0]], [2, 0]]
    assert batch[0].device == device


def test_tensor_dataset_refuses_uneven_tensors() -> None:
    with pytest.raises(pg.errors.ShapeError, match=r"got shapes \(2, 1\), \(3,\)"):
        data.TensorDataset(pg.ones((2, 1)), pg.ones(3))
    with pytest.raises(pg.errors.ShapeError):
        data.TensorDataset(pg.asarray(1.0))
    with pytest.raises(pg.errors.ShapeError):
        data.TensorDataset()


def test_subset_of_subset() -> None:
    part = data.Subset(data.Subset(rows(), [9, 3, 5]), [2, 0])
    assert [part[i][1].item() for i in range(len(part))] == [5, 9]
    assert part.batch([0, 1])[1].tolist() == [5, 9]
    with pytest.raises(IndexError, match="10 samples; there is none of number 10"):
        data.Subset(rows(), [1, 10])


def test_random_split() -> None:
    parts = data.random_split(rows(), [7, 3], pg.random.Generator(0))
    again = data.random_split(rows(), [7, 3], pg.random.Generator(0))
    assert [p.indices for p in parts] == [p.indices for p in again]
    assert [len(p) for p in parts] == [7, 3]
    assert sorted(parts[0].indices + parts[1].indices) == list(range(10))
    assert parts[0].indices != list(range(7))
    assert [len(p) for p in data.random_split(rows(), [0.5, 0.25, 0.25])] == [6, 2, 2]
    for bad in ([5, 4], [0.5, 0.4], [11, -1], []):
        with pytest.raises(ValueError, match="add up"):
            data.random_split(rows(), bad)


def test_a_dataset_must_be_written() -> None:
    for call in (len, lambda d: d[0]):
        with pytest.raises(NotImplementedError, match="Dataset has no"):
            call(data.Dataset())


# -- loading -----------------------------------------------------------------------------------------


def test_loader_in_order() -> None:
    loader = data.DataLoader(rows(), batch_size=4)
    assert len(loader) == 3
    assert [y.tolist() for _, y in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [x.shape for x, _ in loader] == [(4, 2), (4, 2), (2, 2)]
    short = data.DataLoader(rows(), batch_size=4, drop_last=True)
    assert (len(short), [len(y) for _, y in short]) == (2, [4, 4])


def test_loader_shuffles_anew_each_epoch_and_as_seeded() -> None:
    def epochs(seed: int) -> list[list[int]]:
        loader = data.DataLoader(rows(), batch_size=3, shuffle=True, generator=pg.random.Generator(seed))
        return [[n for _, y in loader for n in y.tolist()] for _ in range(2)]

    first, second = epochs(0)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(10))
    assert epochs(0) == [first, second]
    pg.random.manual_seed(0)
    default = [n for _, y in data.DataLoader(rows(), 3, shuffle=True) for n in y.tolist()]
    assert default == first


def test_loader_of_dicts_and_of_plain_sequences() -> None:
    batch = next(iter(data.DataLoader(Squares(), batch_size=2)))
    assert batch["n"].tolist() == [0, 1]
    assert batch["row"].tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert batch["name"] == ["#0", "#1"]
    pairs = data.DataLoader([(1.0, "a"), (2.0, "b"), (3.0, "c")], batch_size=2)
    assert [(x.tolist(), s) for x, s in pairs] == [([1.0, 2.0], ["a", "b"]), ([3.0], ["c"])]


def test_loader_with_a_collate_fn() -> None:
    loader = data.DataLoader(Squares(), batch_size=3, collate_fn=lambda samples: [s["name"] for s in samples])
    assert list(loader) == [["#0", "#1", "#2"], ["#3", "#4", "#5"], ["#6"]]


def test_loader_moves_batches(device: pg.Device) -> None:
    samples = [{"pair": Pair(pg.ones(2), [float(i), "s"])} for i in range(3)]
    for batch in data.DataLoader(samples, batch_size=2, device=device):
        assert isinstance(batch["pair"], Pair)
        assert batch["pair"].x.device == device
        assert batch["pair"].y[0].device == device
        assert batch["pair"].y[1][0] == "s"


def test_loader_refuses_a_batch_of_nothing() -> None:
    with pytest.raises(ValueError, match="got 0"):
        data.DataLoader(rows(), batch_size=0)
    assert list(data.DataLoader([], batch_size=2)) == []
