"""Embedding, bags of rows and bilinear maps: agreement with PyTorch, padding, norms, every backend, misuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import same, same_module

import polygrad as pg
from polygrad import nn
from polygrad.nn import functional as F

_rng = np.random.default_rng(15)
IDS = np.array([[1, 4, 4], [0, 2, 1]])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "options",
    [{}, {"padding_idx": 1}, {"padding_idx": -1, "scale_grad_by_freq": True}, {"max_norm": 0.8, "norm_type": 1.0}],
)
def test_embedding_against_torch(options: dict[str, Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    for ids in (IDS, IDS[0], IDS[0, 0]):
        theirs, ours = torch.nn.Embedding(5, 3, **options), nn.Embedding(5, 3, dtype=dtype, **options)
        if "max_norm" not in options:
            assert repr(ours) == repr(theirs) or options.get("scale_grad_by_freq")
        same_module(theirs, ours, [ids], dtype)
        np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_against_torch(mode: str) -> None:
    torch = pytest.importorskip("torch")
    for options in ({}, {"padding_idx": 4}, {"include_last_offset": True}, {"max_norm": 0.9}):
        theirs = torch.nn.EmbeddingBag(5, 3, mode=mode, **options)
        ours = nn.EmbeddingBag(5, 3, mode=mode, **options)
        if "include_last_offset" not in options:
            same_module(theirs, ours, [IDS])
        offsets = np.array([0, 2, 2, 6]) if "include_last_offset" in options else np.array([0, 2, 2])
        same_module(theirs, ours, [IDS.ravel(), offsets])
    if mode == "sum":
        weights = _rng.normal(size=IDS.shape)
        call = lambda layer, ids, w: layer(ids, per_sample_weights=w)  # noqa: E731
        same_module(
            torch.nn.EmbeddingBag(5, 3, mode="sum"), nn.EmbeddingBag(5, 3, mode="sum"), [IDS, weights], call=call
        )
    assert (
        F.embedding_bag(pg.zeros(0, dtype="int64"), pg.ones((5, 3)), pg.asarray([0, 0]), mode=mode).tolist()
        == [[0] * 3] * 2
    )


@pytest.mark.filterwarnings("ignore:Using backward")
def test_bilinear_against_torch() -> None:
    torch = pytest.importorskip("torch")
    for bias in (True, False):
        theirs, ours = torch.nn.Bilinear(2, 3, 4, bias=bias), nn.Bilinear(2, 3, 4, bias=bias)
        assert repr(ours) == repr(theirs)
        same_module(theirs, ours, [_rng.normal(size=(2, 5, 2)), _rng.normal(size=(2, 5, 3))], second=True)
        theirs, ours = torch.nn.Bilinear(2, 3, 4, bias=bias), nn.Bilinear(2, 3, 4, bias=bias, dtype="float32")
        same_module(theirs, ours, [_rng.normal(size=2), _rng.normal(size=3)], "float32")


def test_the_row_of_padding_is_zero_and_stays() -> None:
    layer = nn.Embedding(4, 2, padding_idx=-2)
    assert layer.padding_idx == 2
    assert layer.weight[2].tolist() == [0.0, 0.0]
    pg.sum(layer(pg.asarray([2, 1, 2])) ** 2 + layer(pg.asarray([2, 1, 2]))).backward()
    assert layer.weight.grad[2].tolist() == [0.0, 0.0]
    assert abs(layer.weight.grad[1]).sum() > 0


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_a_given_table_is_frozen_unless_told() -> None:
    table = _rng.normal(size=(4, 2))
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad
    np.testing.assert_array_equal(frozen(pg.asarray(3)).numpy(), table[3])
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    with pytest.raises(pg.errors.ShapeError, match=r"the given weight has shape \(4, 2\), not \(4, 3\)"):
        nn.Embedding(4, 3, _weight=table)
    with pytest.raises(pg.errors.ShapeError, match="a table of rows is wanted"):
        nn.Embedding.from_pretrained(table[0])


def test_one_hot_rows() -> None:
    made = F.one_hot(pg.asarray([[2], [0]]), 3)
    assert made.dtype is pg.int64
    assert made.tolist() == [[[0, 0, 1]], [[1, 0, 0]]]


def test_embedding_on_every_backend(device: pg.Device) -> None:
    table = _rng.normal(size=(5, 3))

    def run(where: Any) -> list[Any]:
        w = pg.asarray(pg.asarray(table), device=where, copy=True, requires_grad=True)
        ids = pg.asarray(pg.asarray(IDS), device=where)
        out = F.embedding(ids, w, padding_idx=1)
        bag = F.embedding_bag(ids, w, mode="mean")
        (pg.sum(out**2) + pg.sum(bag**3)).backward()
        return [v.detach().to_device("cpu").numpy() for v in (out, bag, w.grad)]

    for got, want in zip(run(device), run("cpu"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Using backward")
def test_embedding_to_second_order() -> None:
    torch = pytest.importorskip("torch")
    same(
        lambda w: torch.nn.functional.embedding(torch.tensor(IDS), w, padding_idx=1) ** 3,
        lambda w: F.embedding(pg.asarray(IDS), w, padding_idx=1) ** 3,
        [_rng.normal(size=(5, 2))],
        second=True,
    )


@pytest.mark.on_host("values are looked at, at once, in the host's memory only")
def test_wrong_use_of_tables_is_told() -> None:
    layer, errors = nn.Embedding(5, 3), pg.errors
    bag = nn.EmbeddingBag(5, 3)
    for call, error, words in [
        (lambda: layer(pg.asarray([5])), IndexError, "embedding: the indices range from 5 to 5, but must be 0 to 4"),
        (lambda: layer(pg.asarray([-1])), IndexError, "embedding: the indices range from -1"),
        (lambda: layer(pg.asarray([1.0])), errors.DTypeError, "embedding: the indices must be integers, not float64"),
        (lambda: F.embedding(IDS, pg.ones(3)), errors.ShapeError, "must be a table of rows"),
        (lambda: F.embedding(IDS, pg.ones((5, 2)), padding_idx=7), ValueError, "padding_idx 7 is none"),
        (lambda: F.embedding(IDS, pg.ones((5, 2)), sparse=True), ValueError, "gradients are dense"),
        (lambda: F.embedding_bag(IDS, pg.ones((5, 2)), sparse=True), ValueError, "gradients are dense"),
        (lambda: nn.Embedding(5, 2, sparse=True), ValueError, "gradients are dense"),
        (lambda: nn.EmbeddingBag(5, 2, sparse=True), ValueError, "gradients are dense"),
        (lambda: nn.Embedding(5, 2, padding_idx=5), ValueError, "padding_idx 5 is none of the table's 5 rows"),
        (lambda: nn.EmbeddingBag(5, 2, mode="min"), ValueError, "mode must be"),
        (lambda: F.embedding_bag(IDS, pg.ones((5, 2)), mode="min"), ValueError, "mode must be"),
        (lambda: bag(pg.asarray([1])), errors.ShapeError, r"with offsets; got shape \(1,\) without offsets"),
        (lambda: bag(pg.asarray([1]), pg.asarray([[0]])), errors.ShapeError, "offsets must be"),
        (lambda: bag(pg.asarray(IDS), per_sample_weights=pg.ones((2, 3))), ValueError, "are for mode='sum'"),
        (lambda: nn.Bilinear(2, 3, 4)(pg.ones(3), pg.ones(3)), errors.ShapeError, "bilinear: inputs of shapes"),
        (lambda: nn.Bilinear(0, 3, 4), ValueError, "in1_features must be at least 1"),
    ]:
        with pytest.raises(error, match=words):
            call()
    assert "mode='mean'" in repr(bag)
