"""Module: what it finds, how it moves, what it saves, what it refuses."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn, optim


class Net(nn.Module):
    """A module with everything: layers, a tied parameter, buffers, an absent parameter."""

    def __init__(self) -> None:
        self.first = nn.Linear(3, 4)
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5))
        self.scale = nn.Parameter([2.0])
        self.inner[0].weight = nn.Parameter(pg.zeros((4, 4)))
        self.tied = self.inner[0].weight
        self.register_buffer("count", pg.zeros((), dtype="int64"))
        self.register_buffer("mean", pg.ones(4))
        self.register_buffer("scratch", pg.ones(1), persistent=False)
        self.register_parameter("absent", None)

    def forward(self, x: pg.Tensor) -> pg.Tensor:
        return self.inner(self.first(x)) * self.scale + self.mean


PATHS = ["scale", "tied", "first.weight", "first.bias", "inner.0.bias"]


def test_parameters_are_found_once_with_their_paths() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == PATHS
    assert list(net.parameters()) == [dict(net.named_parameters())[p] for p in PATHS]
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == ["net.scale", "net.tied"]
    assert [name for name, _ in net.named_buffers()] == ["count", "mean", "scratch"]
    assert len(list(net.buffers())) == 3
    names = [name for name, _ in net.named_modules()]
    assert names == ["", "first", "inner", "inner.0", "inner.1", "inner.2"]
    assert [type(m) for m in net.children()] == [nn.Linear, nn.Sequential]
    assert net.absent is None


def test_super_init_is_optional_and_attributes_are_plain() -> None:
    net = Net()
    net.note = "hello"
    net.constant = pg.ones(1)
    assert net.note == "hello"
    assert "constant" not in dict(net.named_buffers())
    assert {"first", "scale", "mean", "note"} <= set(dir(net))
    with pytest.raises(AttributeError, match="Net has no attribute 'nope'"):
        net.nope  # noqa: B018


def test_train_eval_and_requires_grad_reach_every_module() -> None:
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.inner.train()
    assert [m.training for m in net.modules()] == [False, False, True, True, True, True]
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    assert all(p.requires_grad for p in net.requires_grad_().parameters())


def test_zero_grad() -> None:
    net = Net().eval()
    pg.sum(net(pg.ones((2, 3)))).backward()
    assert net.scale.grad is not None
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == [0.0]
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_apply_visits_inner_modules_first() -> None:
    seen: list[str] = []
    Net().apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "Linear", "ReLU", "Dropout", "Sequential", "Net"]


def test_hooks_see_and_replace() -> None:
    layer = nn.Identity()
    seen: list[Any] = []
    forget_pre = layer.register_forward_pre_hook(lambda m, args: args[0] + 1)
    layer.register_forward_pre_hook(lambda m, args: seen.append(args))
    forget = layer.register_forward_hook(lambda m, args, out: out * 10)
    assert layer(1) == 20
    assert seen == [(2,)]
    forget()
    assert layer(1) == 2
    forget_pre()
    forget_pre()
    assert layer(1) == 1


def test_a_name_changes_its_kind_only_on_purpose() -> None:
    net = Net()
    with pytest.raises(TypeError, match=r"Net\.scale is a parameter and cannot become a Tensor"):
        net.scale = pg.ones(1)
    with pytest.raises(TypeError, match=r"Net\.first is a module and cannot become a int"):
        net.first = 3
    with pytest.raises(TypeError, match=r"Net\.mean is a buffer"):
        net.mean = [1.0]
    net.mean = pg.zeros(4)
    assert dict(net.named_buffers())["mean"].tolist() == [0.0] * 4
    net.mean = None
    assert "mean" not in dict(net.named_buffers())
    net.first = None
    assert net.first is None
    net.scale = nn.Identity()
    assert "scale" not in dict(net.named_parameters())
    del net.scale
    net.scale = 1.0
    assert net.scale == 1.0
    net.note = 1
    net.note = nn.Parameter([1.0])
    assert "note" in dict(net.named_parameters())
    del net.note
    with pytest.raises(AttributeError):
        del net.note


@pytest.mark.parametrize(
    ("register", "error"),
    [
        (lambda m: m.register_parameter("a.b", None), ValueError),
        (lambda m: m.register_buffer("", None), ValueError),
        (lambda m: m.register_buffer("forward", None), ValueError),
        (lambda m: m.register_buffer("scale", pg.ones(1)), ValueError),
        (lambda m: m.register_buffer("new", [1.0]), TypeError),
        (lambda m: m.register_parameter("new", pg.ones(1)), TypeError),
        (lambda m: m.add_module("new", 3), TypeError),
    ],
)
def test_registering_refuses_bad_names_and_kinds(register: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        register(Net())


def test_repr_nests() -> None:
    assert repr(Net()).splitlines() == [
        "Net(",
        "  (first): Linear(in_features=3, out_features=4, bias=True)",
        "  (inner): Sequential(",
        "    (0): Linear(in_features=4, out_features=4, bias=True)",
        "    (1): ReLU()",
        "    (2): Dropout(p=0.5, inplace=False)",
        "  )",
        ")",
    ]


def test_forward_must_be_written() -> None:
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


# -- state -------------------------------------------------------------------------------------------


def test_state_dict_round_trip_and_sharing() -> None:
    net, other = Net(), Net()
    state = net.state_dict()
    assert list(state) == ["scale", "tied", "count", "mean", "first.weight", "first.bias", "inner.0.weight",
                           "inner.0.bias"]  # fmt: skip
    assert not any(x.requires_grad for x in state.values())
    with pg.no_grad():
        net.scale += 1.0
    assert state["scale"].tolist() == [3.0]
    result = other.load_state_dict(state)
    assert result == ([], [])
    x = pg.ones((2, 3))
    np.testing.assert_array_equal(other.eval()(x).detach().numpy(), net.eval()(x).detach().numpy())
    assert other.tied is other.inner[0].weight
    assert all(p.requires_grad for p in other.parameters())
    with pg.no_grad():
        other.scale += 1.0
    assert net.scale.tolist() == [3.0]


def test_load_takes_arrays_and_casts() -> None:
    layer = nn.Linear(2, 1, dtype="float32")
    layer.load_state_dict({"weight": np.asarray([[1.5, 2.5]]), "bias": [0.25]})
    assert layer.weight.dtype == "float32"
    assert layer.weight.tolist() == [[1.5, 2.5]]


def test_load_lists_every_fault_and_loads_nothing() -> None:
    net = Net()
    before = {k: v.tolist() for k, v in net.state_dict().items()}
    state: dict[str, Any] = {k: np.full(v.shape, 7.0) for k, v in net.state_dict().items()}
    del state["scale"], state["first.bias"]
    state["extra"] = state["more"] = np.ones(1)
    state["mean"] = np.ones((4, 1))
    state["first.weight"] = np.ones((4, 3)) * 1j
    with pytest.raises(pg.errors.StateError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    for part in ("does not fit Net", "missing: scale (1,)", "missing: first.bias (4,)", "unexpected: extra",
                 "unexpected: more", "mean has shape (4, 1), the module's has (4,)",
                 "first.weight has dtype complex128, the module's has float64"):  # fmt: skip
        assert part in text
    with pytest.raises(pg.errors.StateError, match="misshapen: mean"):
        net.load_state_dict(state, strict=False)
    assert {k: v.tolist() for k, v in net.state_dict().items()} == before


def test_load_not_strict_tells_what_was_left() -> None:
    layer = nn.Linear(2, 1)
    missing, unexpected = layer.load_state_dict({"bias": [3.0], "other": [1.0]}, strict=False)
    assert (missing, unexpected) == (["weight"], ["other"])
    assert layer.bias.tolist() == [3.0]


def test_load_does_not_disturb_a_live_graph() -> None:
    layer = nn.Linear(2, 1)
    x = pg.ones((1, 2), dtype="float64")
    x.requires_grad_()
    weight = layer.weight.tolist()
    y = pg.sum(layer(x))
    layer.load_state_dict({"weight": [[9.0, 9.0]], "bias": [9.0]})
    y.backward()
    assert x.grad.tolist() == weight


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_copies_are_whole_and_apart(clone: Any) -> None:
    net = Net().eval()
    other = clone(net)
    assert isinstance(other.scale, nn.Parameter)
    assert [n for n, _ in other.named_parameters()] == PATHS
    x = pg.ones((2, 3))
    np.testing.assert_array_equal(other(x).detach().numpy(), net(x).detach().numpy())
    with pg.no_grad():
        other.scale += 5.0
    assert net.scale.tolist() == [2.0]
    assert not other.training


# -- moving ------------------------------------------------------------------------------------------


def test_to_moves_in_place(device: pg.Device) -> None:
    net = Net()
    parameters = list(net.parameters())
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    pg.sum(net.eval()(pg.ones((2, 3), device="cpu"))).backward()
    before = net.scale.grad.tolist()
    assert net.to(device, "float32") is net
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert {p.device for p in net.parameters()} == {device}
    assert {p.dtype for p in net.parameters()} == {pg.float32}
    assert (net.count.dtype, net.count.device, net.mean.dtype) == (pg.int64, device, pg.float32)
    np.testing.assert_allclose(net.scale.grad.tolist(), before, rtol=1e-6)
    value = net.scale.tolist()[0]
    optimizer.step()
    np.testing.assert_allclose(net.scale.tolist()[0], value - 0.1 * before[0], rtol=1e-5)
    optimizer.zero_grad()
    pg.sum(net(pg.ones((2, 3), dtype="float32", device=device))).backward()
    assert net.first.weight.grad.device == device


def test_to_by_name_and_refusals() -> None:
    layer = nn.Linear(1, 1)
    assert layer.to("float32").weight.dtype == "float32"
    assert layer.to(pg.float64, device="cpu").weight.dtype == "float64"
    assert layer.to(pg.Device("cpu"), None).weight.device == "cpu"
    with pytest.raises(pg.errors.DTypeError, match="floating one, not"):
        layer.to("int64")
    with pytest.raises(TypeError, match="takes a device or a dtype"):
        layer.to(3.0)


def test_hooks_and_views_survive_a_move(device: pg.Device) -> None:
    p = nn.Parameter([1.0, 2.0])
    view = p[0:1]
    seen: list[Any] = []
    p.register_hook(lambda g: seen.append(g.tolist()))
    p.move_(device, "float32")
    pg.sum(p * 3.0).backward()
    assert seen == [[3.0, 3.0]]
    assert (view.tolist(), view.device, view.dtype) == ([1.0], device, pg.float32)
    pg.sum(view * 2.0).backward()
    assert p.grad.tolist() == [5.0, 3.0]


def test_parameter_owns_its_memory() -> None:
    array = np.ones(2)
    p = nn.Parameter(array)
    array[0] = 5.0
    assert p.tolist() == [1.0, 1.0]
    with pg.no_grad():
        p -= 1.0
    assert array.tolist() == [5.0, 1.0]
    assert repr(p) == "Parameter([0., 0.], dtype=float64, requires_grad=True)"
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    x = pg.asarray([1.0], requires_grad=True) * 2
    assert nn.Parameter(x).is_leaf
    with pytest.raises(pg.errors.DTypeError):
        nn.Parameter([1, 2])
    assert isinstance(p + 1.0, pg.Tensor)
    assert not isinstance(p + 1.0, nn.Parameter)
