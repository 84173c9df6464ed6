"""Kinds of change: networks, optimisers, gradients and graphs."""

from __future__ import annotations

import functools
from typing import Any

from kinds import Case, attribute, guarded, setting

import polygrad as pg
from polygrad import nn, optim


@guarded
def cached_property() -> Case:
    class Holder:
        k = 2.0

        @functools.cached_property
        def scale(self) -> float:
            return self.k * 3

    holder = Holder()
    return lambda x: x * holder.scale, attribute(holder, "scale", 5.0)


@guarded
def cache_in_a_dict() -> Case:
    cache: dict[str, Any] = {}

    def f(x: Any) -> Any:
        if "k" not in cache:
            cache["k"] = pg.asarray(2.0)
        return x * cache["k"]

    return f, setting(cache, "k", pg.asarray(5.0))


@guarded
def mode_of_a_module() -> Case:
    net = nn.Sequential(nn.Linear(1, 1), nn.Dropout(1.0)).to("float64")
    net.eval()
    return lambda x: net(x), lambda: net.train()


@guarded
def attribute_of_a_module() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.k = 2.0

        def forward(self, x: Any) -> Any:
            return x * self.k

    net = Net()
    return lambda x: net(x), attribute(net, "k", 5.0)


@guarded
def class_attribute_of_a_module() -> Case:
    class Net(nn.Module):
        k = 2.0

        def forward(self, x: Any) -> Any:
            return x * self.k

    net = Net()
    return lambda x: net(x), attribute(Net, "k", 5.0)


@guarded
def forward_is_replaced() -> Case:
    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2

    net = Net()
    return lambda x: net(x), attribute(Net, "forward", lambda self, x: x * 5)


@guarded
def forward_of_one_module_is_replaced() -> Case:
    net = nn.Tanh()
    return lambda x: net(x), attribute(net, "forward", lambda x: x * 5)


@guarded
def forward_of_our_class_is_replaced() -> Case:
    class Tanh(nn.Tanh):
        pass

    net = Tanh()
    return lambda x: net(x), attribute(Tanh, "forward", lambda self, x: x * 5)


@guarded
def order_of_modules() -> Case:
    net = nn.Sequential(nn.Tanh(), nn.Softplus())

    def change() -> None:
        net._modules["0"] = net._modules.pop("0")

    return lambda x: net(x), change


@guarded
def hook_is_added() -> Case:
    net = nn.Tanh()
    return lambda x: net(x), lambda: net.register_forward_hook(lambda m, i, o: o * 5)


@guarded
def parameter_is_replaced() -> Case:
    net = nn.Linear(1, 1).to("float64")
    return lambda x: net(x), attribute(net, "weight", nn.Parameter([[5.0]]))


@guarded
def parameter_is_written_to() -> Case:
    w = nn.Parameter([2.0])

    def change() -> None:
        with pg.no_grad():
            w[...] = 5.0

    return lambda x: x * w, change


@guarded
def parameter_is_frozen() -> Case:
    w = nn.Parameter([2.0])
    return lambda x: x * w * (2.0 if w.requires_grad else 1.0), lambda: w.requires_grad_(False)


@guarded
def gradient_appears() -> Case:
    w = nn.Parameter([2.0])
    return lambda x: x if w.grad is None else x + w.grad, attribute(w, "grad", pg.ones(1))


@guarded
def buffer_is_replaced() -> Case:
    net = nn.Module()
    net.register_buffer("k", pg.asarray(2.0))
    return lambda x: x * net.k, attribute(net, "k", pg.asarray(5.0))


@guarded
def rate_of_an_optimizer_is_read() -> Case:
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=2.0)
    return lambda x: x * optimizer.param_groups[0]["lr"], setting(optimizer.param_groups[0], "lr", 5.0)
