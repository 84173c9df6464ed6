"""What all optimisers share: groups, state, saving, and what they refuse."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn, optim

KINDS = {
    "SGD": lambda p, **k: optim.SGD(p, **{"lr": 0.1, "momentum": 0.9, **k}),
    "Adam": lambda p, **k: optim.Adam(p, **{"lr": 0.1, "amsgrad": True, **k}),
    "AdamW": lambda p, **k: optim.AdamW(p, **{"lr": 0.1, **k}),
    "Adamax": lambda p, **k: optim.Adamax(p, **{"lr": 0.1, **k}),
    "NAdam": lambda p, **k: optim.NAdam(p, **{"lr": 0.1, **k}),
    "RAdam": lambda p, **k: optim.RAdam(p, **{"lr": 0.1, **k}),
    "Adagrad": lambda p, **k: optim.Adagrad(p, **{"lr": 0.1, **k}),
    "Adadelta": lambda p, **k: optim.Adadelta(p, **{"lr": 0.1, **k}),
    "RMSprop": lambda p, **k: optim.RMSprop(p, **{"lr": 0.1, "momentum": 0.5, "centered": True, **k}),
    "Rprop": lambda p, **k: optim.Rprop(p, **{"lr": 0.1, **k}),
    "Lion": lambda p, **k: optim.Lion(p, **{"lr": 0.1, **k}),
    "Adafactor": lambda p, **k: optim.Adafactor(p, **{"lr": 0.1, **k}),
}


def pull(w: pg.Tensor, optimizer: optim.Optimizer, steps: int = 1) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        pg.sum(w * w * w).backward()
        optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_device_and_identity_stay(kind: str, dtype: str, device: pg.Device) -> None:
    w = nn.Parameter(pg.asarray([1.0, 2.0], dtype=dtype, device=device))
    optimizer = KINDS[kind]([w])
    pull(w, optimizer, 3)
    assert (w.dtype, w.device, w.is_leaf, w.requires_grad) == (dtype, device, True, True)
    tensors = [v for v in optimizer.state[w].values() if isinstance(v, pg.Tensor)]
    assert tensors
    assert all((v.dtype, v.device, v.shape, v.requires_grad) == (dtype, device, (2,), False) for v in tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_saving_and_loading_goes_on_as_if_nothing_happened(kind: str) -> None:
    a, b = nn.Parameter([1.0, 2.0]), nn.Parameter([1.0, 2.0])
    first, second = KINDS[kind]([a]), KINDS[kind]([b], lr=0.7)
    pull(a, first, 4)
    saved = first.state_dict()
    kept = copy.deepcopy(a.tolist())
    with pg.no_grad():
        b[...] = pg.asarray(kept)
    second.load_state_dict(saved)
    pull(a, first, 4)
    pull(b, second, 4)
    assert a.tolist() == b.tolist()
    assert second.param_groups[0]["lr"] == 0.1


def test_a_state_dict_is_cast_to_its_parameter() -> None:
    a = nn.Parameter([1.0, 2.0])
    b = nn.Parameter(pg.asarray([1.0, 2.0], dtype="float32"))
    first, second = optim.Adam([a]), optim.Adam([b])
    pull(a, first)
    second.load_state_dict(first.state_dict())
    assert second.state[b]["exp_avg"].dtype == "float32"
    assert second.state[b]["step"] == 1
    pull(b, second)
    assert first.state[a]["step"] == 1


def test_a_complex_parameter_keeps_its_real_state() -> None:
    a = nn.Parameter(np.asarray([1 + 1j]))
    first, second = optim.Adam([a]), optim.Adam([a])
    pg.sum(pg.abs(a) ** 2).backward()
    first.step()
    second.load_state_dict(first.state_dict())
    assert second.state[a]["exp_avg"].dtype == "float64"
    assert second.state[a]["exp_avg"].shape == (2, 1)


def test_loading_lists_every_fault_and_loads_nothing() -> None:
    a, b = nn.Parameter([1.0, 2.0]), nn.Parameter([1.0, 2.0, 3.0])
    first, second = optim.Adam([a]), optim.Adam([b])
    pull(a, first)
    saved = first.state_dict()
    with pytest.raises(pg.errors.StateError, match=r"parameter 0: exp_avg has shape \(2,\), here it is \(3,\)"):
        second.load_state_dict(saved)
    assert second.state == {}
    with pytest.raises(pg.errors.StateError, match="options only here or only there: amsgrad, betas"):
        optim.SGD([a]).load_state_dict(saved)
    with pytest.raises(pg.errors.StateError, match=r"\[2\] parameters here, \[1\] in the state dict"):
        optim.Adam([a, b]).load_state_dict(saved)
    with pytest.raises(pg.errors.StateError, match="no state and no param_groups"):
        second.load_state_dict({})
    with pytest.raises(pg.errors.StateError, match="unknown parameters: 7"):
        first.load_state_dict({**saved, "state": {7: {}}})


def test_groups_have_options_of_their_own() -> None:
    a, b, c = (nn.Parameter([1.0]) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)
    optimizer.add_param_group({"params": [("c", c)], "lr": 0.0})
    pg.sum(a + b + c).backward()
    optimizer.step()
    np.testing.assert_allclose([a.item(), b.item(), c.item()], [0.9, 0.0, 1.0])
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()
    np.testing.assert_allclose(a.item(), 0.4)
    assert "group 1: 1 parameters, lr=1.0" in repr(optimizer)


def test_named_parameters_are_taken() -> None:
    net = nn.Linear(2, 1)
    assert len(optim.SGD(net.named_parameters()).param_groups[0]["params"]) == 2


def test_parameters_without_a_gradient_are_left_alone() -> None:
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = optim.AdamW([a, b], lr=0.1, weight_decay=0.5)
    pg.sum(a).backward()
    optimizer.step()
    assert b.item() == 1.0
    assert b not in optimizer.state


def test_the_first_gradient_is_not_shared_with_the_momentum() -> None:
    a = nn.Parameter([1.0])
    optimizer = optim.SGD([a], lr=0.0, momentum=0.5)
    pg.sum(a).backward()
    optimizer.step()
    a.grad *= 100.0
    assert optimizer.state[a]["momentum_buffer"].item() == 1.0


def test_zero_grad() -> None:
    a = nn.Parameter([1.0])
    optimizer = optim.SGD([a])
    pg.sum(a).backward()
    optimizer.zero_grad(set_to_none=False)
    assert a.grad is not None
    assert a.grad.tolist() == [0.0]
    optimizer.zero_grad()
    assert a.grad is None


def test_a_closure_runs_with_gradients_on() -> None:
    a = nn.Parameter([3.0])
    optimizer = optim.SGD([a], lr=0.5)

    def closure() -> pg.Tensor:
        optimizer.zero_grad()
        loss = pg.sum(a * a)
        loss.backward()
        return loss

    with pg.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9.0
    assert a.item() == 0.0


def test_steps_record_no_graph_even_of_gradients_that_have_one() -> None:
    a = nn.Parameter([1.0])
    optimizer = optim.SGD([a], lr=0.1, momentum=0.9)
    pg.sum(a * a * a).backward(create_graph=True)
    assert a.grad.requires_grad
    optimizer.step()
    assert a.is_leaf
    assert not optimizer.state[a]["momentum_buffer"].requires_grad


def test_a_step_does_not_disturb_a_live_graph() -> None:
    a = nn.Parameter([2.0])
    x = pg.asarray([3.0], requires_grad=True)
    loss = pg.sum(a * x)
    loss.backward(retain_graph=True)
    optim.SGD([a], lr=1.0).step()
    assert a.item() == -1.0
    x.grad = None
    loss.backward()
    assert x.grad.item() == 2.0


def test_parameters_moved_later_stay_with_their_optimiser(device: pg.Device) -> None:
    net = nn.Linear(2, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net.to(device, "float32")
    for _ in range(2):
        optimizer.zero_grad()
        pg.sum(net(pg.ones((1, 2), dtype="float32", device=device))).backward()
        optimizer.step()
    assert net.weight.device == device
    assert optimizer.state[net.weight]["momentum_buffer"].dtype == "float32"


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: optim.SGD([]), ValueError, "at least one parameter"),
        (lambda: optim.SGD(pg.ones(1)), TypeError, r"give \[tensor\]"),
        (lambda: optim.SGD([np.ones(1)]), TypeError, "must be a Tensor, not ndarray"),
        (lambda: optim.SGD([nn.Parameter([1.0]) * 2]), ValueError, "must be a leaf"),
        (lambda: optim.SGD([(p := nn.Parameter([1.0])), p]), ValueError, "given twice"),
        (lambda: optim.SGD([nn.Parameter([1.0])], lr=-1.0), ValueError, "SGD: lr must be >= 0, got -1"),
        (lambda: optim.SGD([nn.Parameter([1.0])], nesterov=True), ValueError, "nesterov needs momentum"),
        (lambda: optim.AdamW([nn.Parameter([1.0])], eps=-1.0), ValueError, "AdamW: eps"),
        (lambda: optim.Adam([nn.Parameter([1.0])], betas=(0.9, 1.0)), ValueError, "0 <= beta < 1"),
        (
            lambda: optim.Adam([{"params": [nn.Parameter([1.0])], "rl": 1}]),
            TypeError,
            "Adam has no option rl",
        ),
        (lambda: optim.Optimizer([nn.Parameter([1.0])], {}).update, None, ""),
    ],
)
def test_refusals(make: Any, error: Any, words: str) -> None:
    if error is None:
        with pytest.raises(NotImplementedError, match="Optimizer has no update"):
            make()(pg.ones(1), pg.ones(1), {}, {}, ())
        return
    with pytest.raises(error, match=words):
        make()


@pytest.mark.devices("dask")
@pytest.mark.parametrize("kind", KINDS)
def test_steps_on_lazy_arrays_do_not_pile_up(device: pg.Device, kind: str) -> None:
    w = nn.Parameter(pg.asarray([1.0, 2.0], device=device))
    optimizer = KINDS[kind]([w])
    tasks = []
    for _ in range(4):
        pull(w, optimizer)
        state = [v for v in optimizer.state[w].values() if isinstance(v, pg.Tensor)]
        tasks.append([len(x._value.dask) for x in (w, *state)])
    assert tasks[1:] == tasks[:-1]
