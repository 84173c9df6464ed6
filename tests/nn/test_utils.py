"""nn.utils against PyTorch: clipping, vectors, weight and spectral normalization; distances."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from against_torch import paired, same, same_module

import polygrad as pg
from polygrad import nn
from polygrad.nn import functional as F
from polygrad.nn import utils

rng = np.random.default_rng(6)


def gradients(library: Any, arrays: list[Any]) -> list[Any]:
    made = []
    for a in arrays:
        p = library.asarray(a * 0, requires_grad=True)
        (p * library.asarray(a)).sum().backward()
        made.append(p)
    return made


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
@pytest.mark.parametrize("norm", [2.0, 1.0, 3.5, float("inf")])
def test_clip_grad_norm_is_torchs(norm: float, max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    arrays = [rng.normal(size=(3, 2)), rng.normal(size=4), rng.normal(size=())]
    theirs, ours = gradients(torch, arrays), gradients(pg, arrays)
    unused = pg.ones(2, dtype="float64")
    unused.requires_grad_()
    kept = [p.grad for p in ours]
    want = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm)
    got = utils.clip_grad_norm_([*ours, unused], max_norm, norm)
    assert isinstance(got, pg.Tensor)
    np.testing.assert_allclose(got.item(), want.item(), rtol=1e-12)
    for a, b, g in zip(ours, theirs, kept, strict=True):
        assert a.grad is g
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12)
    assert unused.grad is None


def test_clip_grad_norm_of_nothing_of_one_and_of_nan(device: pg.Device) -> None:
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0
    p = pg.asarray([3.0, -4.0], dtype="float32", device=device, requires_grad=True)
    pg.sum(p * p).backward()
    norm = utils.clip_grad_norm_(p, 5.0)
    assert (norm.item(), norm.device, p.grad.dtype) == (10.0, device, pg.float32)
    np.testing.assert_allclose(p.grad.to_device("cpu").numpy(), [3.0, -4.0], rtol=1e-6)
    p.grad = p.grad * float("nan")
    with pytest.raises(pg.errors.GradientError, match=r"norm of order 2\.0 of the gradients is nan"):
        utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert np.isnan(utils.clip_grad_norm_(p, 1.0).item())


def test_clip_grad_value_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    arrays = [rng.normal(size=(3, 2)), rng.normal(size=4)]
    theirs, ours = gradients(torch, arrays), gradients(pg, arrays)
    torch.nn.utils.clip_grad_value_(theirs, 0.4)
    utils.clip_grad_value_(ours, 0.4)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())


def test_parameters_as_one_vector_and_back() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (11,)
    pg.sum(vector * vector).backward()
    np.testing.assert_allclose(net[0].weight.grad.numpy(), 2 * net[0].weight.detach().numpy())
    utils.vector_to_parameters(pg.arange(11, dtype="float64"), net.parameters())
    assert utils.parameters_to_vector(net.parameters()).tolist() == list(range(11))
    assert net[0].weight.requires_grad
    with pytest.raises(pg.errors.ShapeError, match=r"vec of shape \(10,\) for parameters of 11 entries"):
        utils.vector_to_parameters(pg.ones(10), net.parameters())


@pytest.mark.parametrize("dim", [0, 1, None, -1])
def test_weight_norm_is_torchs(dim: int | None) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2, dtype=torch.float64), dim=dim)
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().numpy().copy()
    ours = utils.weight_norm(layer, dim=dim)
    np.testing.assert_allclose(ours.weight.detach().numpy(), before, rtol=1e-14)
    x = rng.normal(size=(4, 3))
    same_module(theirs, ours, [x])
    value = ours.weight.detach().numpy()
    assert utils.remove_weight_norm(ours) is ours
    assert type(ours) is nn.Linear
    assert sorted(ours.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(ours.weight.detach().numpy(), value)


@pytest.mark.parametrize("dim", [None, 1])
def test_spectral_norm_is_torchs(dim: int | None) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(3, 2, dtype=torch.float64), dim=dim)
    ours = utils.spectral_norm(nn.Linear(3, 2), dim=dim)
    params = paired(theirs, ours)
    for mode in (True, False):
        theirs.train(mode)
        ours.train(mode)
        for p in [*params[0], *params[1]]:
            p.grad = None
        same(theirs, ours, [rng.normal(size=(4, 3))], params=params)
    for k, v in ours.state_dict().items():
        np.testing.assert_allclose(v.numpy(), theirs.state_dict()[k].numpy(), rtol=1e-12)
    value = ours.weight.detach().numpy()
    utils.remove_spectral_norm(ours)
    np.testing.assert_allclose(ours.weight.detach().numpy(), value)


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_parametrized_modules_train_copy_and_refuse() -> None:
    net = utils.weight_norm(nn.LSTM(2, 3), "weight_hh_l0")
    other = copy.deepcopy(net)
    x = pg.asarray(rng.normal(size=(2, 1, 2)))
    pg.sum(net(x)[0]).backward()
    held = dict(net.named_parameters())
    assert held["parametrizations.weight_hh_l0.original0"].grad is not None
    assert held["parametrizations.weight_hh_l0.original1"].grad is not None
    with pg.no_grad():
        held["parametrizations.weight_hh_l0.original0"][...] = 0.0
    assert not np.any(net.weight_hh_l0.detach().numpy())
    assert np.any(other.weight_hh_l0.detach().numpy())
    assert repr(net).startswith("ParametrizedLSTM(2, 3")
    assert isinstance(net, nn.LSTM)
    with pytest.raises(ValueError, match="Linear has no parameter 'wight' to parametrize; it has 'weight', 'bias'"):
        utils.weight_norm(nn.Linear(1, 1), "wight")
    with pytest.raises(ValueError, match="has no parameter 'wight' to parametrize"):
        utils.spectral_norm(nn.Linear(1, 1), "wight")
    with pytest.raises(ValueError, match="n_power_iterations must be positive"):
        utils.spectral_norm(nn.Linear(1, 1), n_power_iterations=0)
    with pytest.raises(ValueError, match="Linear has no parametrized parameter 'weight'"):
        utils.remove_weight_norm(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="computed from 2 tensors"):
        utils.parametrize.remove_parametrizations(net, "weight_hh_l0", leave_parametrized=False)
    plain = utils.spectral_norm(nn.Linear(2, 2))
    original = plain.parametrizations.weight.original
    utils.parametrize.remove_parametrizations(plain, "weight", leave_parametrized=False)
    assert plain.weight is original


A, B = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
def test_pairwise_distance_is_torchs(p: float) -> None:
    torch = pytest.importorskip("torch")
    same(torch.nn.PairwiseDistance(p, keepdim=True), nn.PairwiseDistance(p, keepdim=True), [A, B])
    same(torch.nn.PairwiseDistance(p), nn.PairwiseDistance(p), [A, B], "float32")


@pytest.mark.parametrize("dim", [0, 1])
def test_cosine_similarity_and_normalize_are_torchs(dim: int) -> None:
    torch = pytest.importorskip("torch")
    same(torch.nn.CosineSimilarity(dim), nn.CosineSimilarity(dim), [A, B])
    for p in (1.0, 2.0):
        same(lambda x, p=p: torch.nn.functional.normalize(x, p, dim), lambda x, p=p: F.normalize(x, p, dim), [A])
    same(torch.nn.CosineSimilarity(dim), nn.CosineSimilarity(dim), [A, np.zeros((3, 4))])
