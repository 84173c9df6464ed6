"""Sequential and ModuleList."""

from __future__ import annotations

import pytest

import polygrad as pg
from polygrad import nn


def names(m: nn.Module) -> list[str]:
    return [name for name, _ in m.named_children()]


def test_sequential_applies_in_order_and_is_a_sequence() -> None:
    a, b = nn.Linear(2, 3), nn.Tanh()
    net = nn.Sequential(a, b)
    x = pg.ones((1, 2))
    assert net(x).tolist() == b(a(x)).tolist()
    assert (len(net), net[0], net[-1], list(net)) == (2, a, b, [a, b])
    assert net.append(nn.ReLU()) is net
    assert isinstance(net[1:], nn.Sequential)
    assert names(net[1:]) == ["0", "1"]
    net[1] = nn.Sigmoid()
    assert isinstance(net[1], nn.Sigmoid)
    del net[0]
    assert names(net) == ["0", "1"]
    with pytest.raises(IndexError, match="Sequential of 2 modules has no module 2"):
        net[2]
    assert nn.Sequential()(x) is x


def test_sequential_of_names() -> None:
    net = nn.Sequential({"hidden": nn.Linear(2, 3), "act": nn.Tanh(), "out": nn.Linear(3, 1)})
    assert names(net) == ["hidden", "act", "out"]
    assert names(net[:2]) == ["hidden", "act"]
    assert net.hidden is net[0]
    assert net(pg.ones((4, 2))).shape == (4, 1)


def test_module_list() -> None:
    layers = nn.ModuleList([nn.Linear(1, 1), nn.Tanh()])
    layers.insert(1, nn.ReLU())
    layers.extend([nn.Identity()]).append(nn.Sigmoid())
    assert [type(m).__name__ for m in layers] == ["Linear", "ReLU", "Tanh", "Identity", "Sigmoid"]
    assert names(layers) == ["0", "1", "2", "3", "4"]
    del layers[1:3]
    assert [type(m).__name__ for m in layers] == ["Linear", "Identity", "Sigmoid"]
    assert isinstance(layers[:1], nn.ModuleList)
    assert len(list(layers.parameters())) == 2
    with pytest.raises(NotImplementedError):
        layers(1)
    with pytest.raises(TypeError, match="must be a Module"):
        layers.append(3)  # type: ignore[arg-type]
