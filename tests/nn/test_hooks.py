"""Hooks of modules: called as PyTorch calls them, with its gradients; removed; around state dicts."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn


def host(x: Any) -> Any:
    return None if x is None else np.asarray(x.detach().numpy())


class Twice:
    """The same small network in either library; its middle takes two arguments and gives two results."""

    def __init__(self, library: Any) -> None:
        module, self.xp = (pg.nn, pg) if library is pg else (library.nn, library)
        self.library = library
        xp = self.xp

        class Middle(module.Module):  # type: ignore[misc, name-defined]
            def forward(self, x: Any, scale: float, y: Any, *, shift: float = 0.0) -> Any:
                return x * scale + xp.sin(y) + shift, xp.exp(0.1 * y)

        self.middle = Middle()

    def run(self, x: np.ndarray, y: np.ndarray, tracked: bool = True) -> list[Any]:
        make = pg.asarray if self.library is pg else self.library.asarray
        a, b = (make(v.copy(), requires_grad=tracked) for v in (x, y))
        w = make(np.asarray([1.0, -2.0]), requires_grad=True)
        p, q = self.middle(a * 2 if tracked else a, 3.0, b, shift=0.5)
        self.xp.sum(p * w + q * q * w).backward()
        return [host(v.grad) for v in (a, b, w)]


X, Y = np.asarray([0.3, -0.8]), np.asarray([1.1, 0.4])


def both(register: Any, tracked: bool = True) -> tuple[list[Any], list[Any]]:
    torch = pytest.importorskip("torch")
    found = []
    for library in (pg, torch):
        seen: list[Any] = []
        net = Twice(library)
        register(net.middle, seen)
        found.append([*net.run(X, Y, tracked), *seen])
    return found[0], found[1]


def assert_same(pair: tuple[list[Any], list[Any]]) -> None:
    ours, theirs = pair
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, (tuple, list)):
            assert_same((list(a), list(b)))
        elif isinstance(b, np.ndarray):
            np.testing.assert_allclose(a, b, rtol=1e-12)
        else:
            assert a == b


def watch(seen: list[Any]) -> Any:
    return lambda module, inputs, outputs: seen.append([[host(g) for g in inputs], [host(g) for g in outputs]])


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # PyTorch's own
def test_backward_hooks_see_and_change_what_pytorchs_do() -> None:
    assert_same(both(lambda m, seen: m.register_full_backward_hook(watch(seen))))
    assert_same(both(lambda m, seen: m.register_full_backward_pre_hook(lambda m, g: seen.append([host(x) for x in g]))))

    def all_of_them(module: Any, seen: list[Any]) -> None:
        module.register_full_backward_hook(watch(seen))
        module.register_full_backward_hook(lambda m, i, o: (i[0] * 10, None, i[2] * 0.5))
        module.register_full_backward_hook(watch(seen))
        module.register_full_backward_pre_hook(lambda m, g: (g[0] * 2, g[1] * 3))
        module.register_full_backward_pre_hook(lambda m, g: (g[0] + 1, g[1]))
        module.register_full_backward_hook(watch(seen), prepend=True)

    assert_same(both(all_of_them))
    assert_same(both(lambda m, seen: m.register_full_backward_hook(watch(seen)), tracked=False))


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # PyTorch's own
def test_backward_hooks_on_a_layer_whose_input_needs_no_gradient() -> None:
    torch = pytest.importorskip("torch")
    found = []
    theirs = torch.nn.Linear(2, 3, dtype=torch.float64)
    ours = nn.Linear(2, 3)
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    for layer, x in ((ours, pg.ones((4, 2))), (theirs, torch.ones((4, 2), dtype=torch.float64))):
        seen: list[Any] = []
        layer.register_full_backward_hook(watch(seen))
        (layer(x) ** 2).sum().backward() if layer is theirs else pg.sum(layer(x) ** 2).backward()
        found.append([*seen, host(layer.weight.grad), host(layer.bias.grad)])
    assert_same((found[0], found[1]))


def test_backward_hooks_leave_second_derivatives_and_compiled_code_alone() -> None:
    layer = nn.Linear(2, 2)
    x = pg.asarray([[0.5, -1.0]], requires_grad=True)

    def second() -> Any:
        (g,) = [pg.grad(lambda x: pg.sum(pg.tanh(layer(x)) ** 2))(x)]
        return g, pg.grad(lambda x: pg.sum(pg.grad(lambda x: pg.sum(pg.tanh(layer(x)) ** 2))(x) ** 2))(x)

    def step(x: Any) -> Any:
        layer.zero_grad()
        loss = pg.sum(pg.tanh(layer(x)))
        loss.backward()
        return loss, layer.weight.grad

    before, plain = second(), step(x.detach())
    handle = layer.register_full_backward_hook(lambda m, i, o: None)
    for a, b in zip(before, second(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-14)
    step(x.detach())
    for a, b in zip(plain, pg.compile(step)(x.detach()), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-14)
    handle.remove()
    tangent = pg.jvp(lambda x: layer(x), (x,), (pg.ones((1, 2)),))[1]
    layer.register_full_backward_hook(lambda m, i, o: None)
    again = pg.jvp(lambda x: layer(x), (x,), (pg.ones((1, 2)),))[1]
    np.testing.assert_allclose(again.detach().numpy(), tangent.detach().numpy())


def test_forward_hooks_with_kwargs_in_order_and_always() -> None:
    torch = pytest.importorskip("torch")
    found = []
    for library in (pg, torch):
        seen: list[Any] = []
        middle = Twice(library).middle
        one = (pg.asarray if library is pg else torch.asarray)(np.asarray([1.0, 2.0]))
        middle.register_forward_pre_hook(
            lambda m, args, kwargs: ((args[0] + 1, *args[1:]), {"shift": kwargs["shift"] * 2}), with_kwargs=True
        )
        middle.register_forward_pre_hook(lambda m, args, seen=seen: seen.append(host(args[0])), prepend=True)
        middle.register_forward_pre_hook(lambda m, args, seen=seen: seen.append(host(args[0])))
        middle.register_forward_hook(lambda m, args, kwargs, out: (out[0] * kwargs["shift"], out[1]), with_kwargs=True)
        middle.register_forward_hook(lambda m, args, out, seen=seen: seen.append(host(out[0])), prepend=True)
        middle.register_forward_hook(lambda m, args, out, seen=seen: seen.append(out), always_call=True)
        p, q = middle(one, 2.0, one, shift=0.25)
        seen[-1] = [host(v) for v in seen[-1]]
        with pytest.raises(TypeError):
            middle(one, "text", one, shift=0.25)
        found.append([host(p), host(q), *seen])
    assert_same((found[0], found[1]))
    assert found[0][-1] is None  # the hook that is always called saw the failed call


def test_handles_remove_their_hooks_once() -> None:
    layer, seen = nn.Identity(), []
    first = layer.register_forward_hook(lambda m, args, out: seen.append("first"))
    second = layer.register_forward_hook(lambda m, args, out: seen.append("second"))
    first.remove()
    first.remove()
    layer(1)
    second()
    with layer.register_forward_pre_hook(lambda m, args: seen.append("pre")):
        layer(1)
    layer(1)
    assert seen == ["second", "pre"]


def test_wrong_results_of_hooks_are_told() -> None:
    x = pg.ones((1, 2)).requires_grad_()
    layer = nn.Linear(2, 2)
    with layer.register_full_backward_hook(lambda m, i, o: (i[0], i[0])):
        out = pg.sum(layer(x))
        with pytest.raises(RuntimeError, match="returned 2 gradients, there were 1"):
            out.backward()
    with layer.register_full_backward_hook(lambda m, i, o: (o[0],)):
        out = pg.sum(layer(x.detach()))
        with pytest.raises(RuntimeError, match="no argument of the module requires any"):
            out.backward()
    layer.register_forward_pre_hook(lambda m, args, kwargs: 1, with_kwargs=True)
    with pytest.raises(TypeError, match=r"returns None or a pair \(args, kwargs\), not 1"):
        layer(x)

    class Listed(nn.Module):
        def forward(self, x: Any) -> Any:
            return [x]

    listed = Listed()
    listed.register_full_backward_hook(lambda m, i, o: None)
    with pytest.raises(
        TypeError, match="Listed: backward hooks need a Tensor or a tuple of them as the result, not list"
    ):
        listed(x)


def test_hooks_are_copied_with_their_module() -> None:
    seen: list[str] = []
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda m, args, out: seen.append("hook"))
    copy.deepcopy(layer)(pg.ones((1, 2)))
    assert seen == ["hook"]


# -- around state dicts ------------------------------------------------------------------------------


def net() -> Any:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_state_dict_hooks_are_called_as_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    found = []
    for library in (pg, torch):
        seen: list[Any] = []
        both = net() if library is pg else torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
        for module in (both, both[0], both[1]):
            module.register_state_dict_pre_hook(lambda m, prefix, keep, s=seen: s.append(("save", prefix, keep)))
            module.register_state_dict_post_hook(lambda m, d, prefix, meta, s=seen: s.append((prefix, list(d))))
            module.register_load_state_dict_pre_hook(
                lambda m, d, prefix, meta, strict, missing, unexpected, errors, s=seen: s.append((prefix, strict))
            )
            module.register_load_state_dict_post_hook(lambda m, keys, s=seen: s.append(type(m).__name__))
        both[1].register_state_dict_post_hook(
            lambda m, d, prefix, meta: d.update({prefix + "more": d[prefix + "bias"]})
        )
        both[1].register_load_state_dict_pre_hook(lambda m, d, prefix, *rest: d.pop(prefix + "more"))
        state = both.state_dict()
        assert "1.more" in state
        both.load_state_dict(state)
        assert "1.more" in state  # hooks change a copy
        named = both.state_dict(prefix="net.", keep_vars=True)
        assert named["net.0.weight"] is both[0].weight
        # Here all modules' values are looked at before any is taken, there one module's after the other's.
        posts = [s for s in seen if isinstance(s, str)]
        found.append([[s for s in seen if not isinstance(s, str)], posts, list(named)])
    assert found[0] == found[1]
    assert found[0][1] == ["Linear", "BatchNorm1d", "Sequential"]


def test_load_hooks_add_faults_and_forgive_them_and_nothing_is_loaded_by_halves() -> None:
    model, other = net(), net()
    state = {k: v for k, v in other.state_dict().items() if k != "0.bias"}
    before = {k: v.tolist() for k, v in model.state_dict().items()}

    def forgive(module: Any, keys: Any) -> None:
        keys.missing_keys.remove("0.bias")

    handle = model.register_load_state_dict_post_hook(lambda m, keys: None)
    with pytest.raises(pg.errors.StateError, match=r"missing: 0\.bias"):
        model.load_state_dict(state)
    assert {k: v.tolist() for k, v in model.state_dict().items()} == before
    handle.remove()
    model.register_load_state_dict_post_hook(forgive)
    assert model.load_state_dict(state) == ([], [])
    assert model[0].weight.tolist() == other[0].weight.tolist()
    model[0].register_load_state_dict_pre_hook(lambda m, d, prefix, *rest: rest[-1].append(f"{prefix} is of 2019"))
    with pytest.raises(pg.errors.StateError, match=r"refused: 0\. is of 2019"):
        model.load_state_dict(other.state_dict())


def test_assign_takes_over_dtypes_and_keeps_the_parameters() -> None:
    model, weight = net(), None
    weight = model[0].weight
    model.load_state_dict(net().float().state_dict(), assign=True)
    assert model[0].weight is weight
    assert {str(x.dtype) for x in model.state_dict().values()} == {"float32", "int64"}
