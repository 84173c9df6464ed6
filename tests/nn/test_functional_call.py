"""functional_call: a module as a function of its parameters; modules and parameters by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn


class Tied(nn.Module):
    def __init__(self) -> None:
        self.a = nn.Linear(2, 2)
        self.b = nn.Linear(2, 2)
        self.b.weight = self.a.weight
        self.register_buffer("count", pg.asarray(0))

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        self.count = self.count + 1
        return self.b(self.a(x)) * scale


def test_gradients_by_parameters_equal_backward(device: pg.Device) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(device=device)
    x = pg.asarray(np.random.default_rng(0).normal(size=(5, 3)), device=device)
    pg.sum(net(x) ** 2).backward()
    parameters = {k: p.detach() for k, p in net.named_parameters()}
    grads = pg.grad(lambda p: pg.sum(nn.functional_call(net, p, x) ** 2))(parameters)
    for name, p in net.named_parameters():
        np.testing.assert_allclose(np.asarray(grads[name].tolist()), np.asarray(p.grad.tolist()), rtol=1e-12)


def test_an_ensemble_by_vmap() -> None:
    nets = [nn.Linear(3, 2) for _ in range(4)]
    stacked = {k: pg.stack([n.state_dict()[k] for n in nets]) for k in ("weight", "bias")}
    x = pg.asarray([[1.0, 2.0, 3.0]])
    got = pg.vmap(lambda p: nn.functional_call(nets[0], p, x))(stacked)
    np.testing.assert_allclose(got.numpy(), np.stack([n(x).detach().numpy() for n in nets]), rtol=1e-12)


def test_the_module_is_as_before_also_after_an_error() -> None:
    net = Tied()
    before = dict(net.named_parameters()), net.count
    buffers: dict[str, Any] = {"count": pg.asarray(7)}
    nn.functional_call(net, buffers, pg.ones((1, 2)), {"scale": 2.0})
    assert buffers["count"].item() == 8
    assert net.count is before[1]
    with pytest.raises(pg.errors.ShapeError):
        nn.functional_call(net, {"a.bias": pg.zeros(2)}, (pg.ones((1, 3)),))
    after = dict(net.named_parameters())
    assert all(after[k] is v for k, v in before[0].items())


def test_tied_parameters_are_replaced_together() -> None:
    net = Tied()
    w, x = pg.asarray([[0.0, 1.0], [2.0, 0.0]]), pg.ones((1, 2))
    zero = {"a.bias": pg.zeros(2), "b.bias": pg.zeros(2)}
    both = nn.functional_call(net, {"a.weight": w, **zero}, x)
    assert both.tolist() == (x @ w.T @ w.T).tolist()
    apart = nn.functional_call(net, {"a.weight": w, **zero}, x, tie_weights=False)
    np.testing.assert_allclose(apart.detach().numpy(), (x @ w.T @ net.b.weight.T).detach().numpy())
    with pytest.raises(ValueError, match=r"a\.weight, b\.weight are one tensor|b\.weight, a\.weight are one tensor"):
        nn.functional_call(net, {"a.weight": w, "b.weight": w * 1}, x)


def test_unknown_and_missing_paths_are_all_listed() -> None:
    net = nn.Linear(2, 1)
    with pytest.raises(pg.errors.StateError) as info:
        nn.functional_call(net, {"bias": pg.zeros(1), "c": pg.zeros(1), "d": pg.zeros(1)}, pg.ones(2), strict=True)
    assert [line.strip() for line in str(info.value).splitlines()[1:]] == [
        "missing: weight",
        "unexpected: c",
        "unexpected: d",
    ]


# -- modules and parameters by name ------------------------------------------------------------------


def test_module_dict() -> None:
    a, b = nn.Linear(1, 1), nn.ReLU()
    held = nn.ModuleDict({"keys": a, "x": b})
    assert (list(held), list(held.keys()), len(held), "x" in held) == (["keys", "x"], ["keys", "x"], 2, True)
    assert dict(held.items()) == {"keys": a, "x": b}
    assert [n for n, _ in held.named_parameters()] == ["keys.weight", "keys.bias"]
    assert held.pop("x") is b
    assert list(held.values()) == [a]
    held.update([("y", b)])
    del held["y"]
    with pytest.raises(KeyError, match="this ModuleDict has"):
        held["y"]
    with pytest.raises(ValueError, match="without dots"):
        held["a.b"] = a
    with pytest.raises(TypeError, match="must be a Module"):
        held["z"] = 3


def test_parameter_list_and_dict() -> None:
    row = nn.ParameterList([pg.ones(2), nn.Parameter([1.0])])
    row.append(np.zeros(3))
    row[0] = pg.zeros(4)
    assert [p.shape for p in row] == [(4,), (1,), (3,)]
    assert all(p.requires_grad for p in row)
    assert [n for n, _ in row.named_parameters()] == ["0", "1", "2"]
    assert (row[-1].shape, len(row)) == ((3,), 3)
    with pytest.raises(IndexError, match="3 parameters, and none of number 3"):
        row[3]
    assert repr(nn.ParameterList([pg.ones(2)])) == "ParameterList(0: float64 (2,))"
    named = nn.ParameterDict({"a": pg.ones(1)})
    named["b"] = pg.zeros(2)
    assert {k: p.shape for k, p in named.items()} == {"a": (1,), "b": (2,)}
    assert ("b" in named, list(named.keys()), len(list(named.values()))) == (True, ["a", "b"], 2)
    del named["a"]
    with pytest.raises(KeyError, match="this ParameterDict has"):
        named["a"]
    with pytest.raises(ValueError, match="without dots"):
        named["a.b"] = pg.ones(1)


def test_what_is_within_is_found_by_path() -> None:
    net = nn.Sequential(nn.ModuleDict({"a": nn.Linear(1, 2)}), Tied())
    assert net.get_submodule("0.a") is net[0]["a"]
    assert net.get_submodule("") is net
    assert net.get_parameter("0.a.bias") is net[0]["a"].bias
    assert net.get_buffer("1.count") is net[1].count
    with pytest.raises(AttributeError, match=r"no module '0\.b\.c': 0 has no 'b'"):
        net.get_submodule("0.b.c")
    with pytest.raises(AttributeError, match=r"no parameter '1\.count'"):
        net.get_parameter("1.count")
    with pytest.raises(AttributeError, match=r"no buffer '1\.weight'"):
        net.get_buffer("1.weight")


def test_dtypes_by_name() -> None:
    net = Tied()
    assert net.float().a.weight.dtype == pg.float32
    assert net.half().a.weight.dtype == pg.float16
    assert net.double().a.weight.dtype == pg.float64
    assert net.count.dtype == pg.int64
