"""Compares functions and layers with PyTorch's: outputs, and the gradients of all inputs and parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import polygrad as pg

RTOL = {"float64": 1e-10, "float32": 1e-5}


def close(got: Any, expected: Any, rtol: float, what: str) -> None:
    """Relative to the largest entry: single entries may cancel."""
    expected = np.asarray(expected)
    finite = np.abs(expected[np.isfinite(expected)])
    atol = 0.1 * rtol * float(finite.max(initial=0.0)) + 1e-300
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol, err_msg=what)


def leaves(made: Any) -> list[Any]:
    """The tensors of nested tuples, without what is None."""
    if isinstance(made, (tuple, list)):
        return [x for part in made for x in leaves(part)]
    return [] if made is None else [made]


def _grads(tensors: Sequence[Any], to_numpy: Callable[[Any], Any]) -> list[Any]:
    return [None if t.grad is None else to_numpy(t.grad) for t in tensors]


def same(
    theirs: Callable[..., Any],
    ours: Callable[..., Any],
    arrays: Sequence[Any],
    dtype: str = "float64",
    device: Any = None,
    params: tuple[Sequence[Any], Sequence[Any]] = ((), ()),
    second: bool = False,
    rtol: float | None = None,
) -> None:
    """Both of the arrays (floating ones tracked): outputs and gradients with one signed random cotangent each; with
    ``second`` the gradients of the gradients, too."""
    import torch

    rtol = RTOL[dtype] if rtol is None else rtol
    device = pg.default_device() if device is None else device
    arrays = [np.asarray(a).astype(dtype) if np.asarray(a).dtype.kind == "f" else np.asarray(a) for a in arrays]
    ts = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    ps = [pg.asarray(a, device=device, copy=True) for a in arrays]
    for p in ps:
        p.requires_grad_(p.dtype.inexact)
    expected, got = leaves(theirs(*ts)), leaves(ours(*ps))
    assert len(expected) == len(got)
    rng = np.random.default_rng(5)
    host = lambda x: x.detach().to_device("cpu").numpy()  # noqa: E731
    seeds = []
    for i, (e, o) in enumerate(zip(expected, got, strict=True)):
        assert o.shape == tuple(e.shape), f"output {i}: shape {o.shape} instead of {tuple(e.shape)}"
        assert str(o.dtype) == str(e.dtype).removeprefix("torch."), f"output {i}: {o.dtype}"
        close(host(o), e.detach().numpy(), rtol, f"output {i}")
        seeds.append(rng.normal(size=o.shape).astype(dtype))
    tracked = [i for i, t in enumerate(ts) if t.requires_grad]
    tx, px = [ts[i] for i in tracked] + list(params[0]), [ps[i] for i in tracked] + list(params[1])
    live = [i for i, e in enumerate(expected) if e.requires_grad]
    torch.autograd.backward([expected[i] for i in live], [torch.tensor(seeds[i]) for i in live], create_graph=second)
    total: Any = 0.0
    for i in live:
        total = total + pg.sum(got[i] * pg.asarray(seeds[i], device=got[i].device))
    total.backward(create_graph=second)
    for i, (e, o) in enumerate(zip(tx, px, strict=True)):
        if e.grad is None:
            assert o.grad is None or not np.any(host(o.grad)), f"gradient {i}: PyTorch has none"
            continue
        close(host(o.grad), e.grad.detach().numpy(), rtol, f"gradient {i}")
    if second:
        _second(tx, px, rng, dtype, host)


def _second(tx: list[Any], px: list[Any], rng: Any, dtype: str, host: Callable[[Any], Any]) -> None:
    import torch

    kept = [i for i, t in enumerate(tx) if t.grad is not None and t.grad.requires_grad]
    seeds = [rng.normal(size=tuple(tx[i].shape)).astype(dtype) for i in kept]
    first = [(tx[i].grad, px[i].grad) for i in kept]
    for e, o in zip(tx, px, strict=True):
        e.grad = o.grad = None
    sum((e * torch.tensor(s)).sum() for (e, _), s in zip(first, seeds, strict=True)).backward()
    total: Any = 0.0
    for (_, o), s in zip(first, seeds, strict=True):
        total = total + pg.sum(o * pg.asarray(s, device=o.device))
    total.backward()
    for i, (e, o) in enumerate(zip(tx, px, strict=True)):
        if e.grad is not None:
            assert o.grad is not None, f"second gradient {i}"
            close(host(o.grad), e.grad.detach().numpy(), RTOL[dtype], f"second gradient {i}")


def paired(theirs: Any, ours: Any, dtype: str = "float64") -> tuple[list[Any], list[Any]]:
    """Give our module the parameters of theirs; both modules' parameters, in order. State dicts must agree."""
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({k: v.detach().numpy().astype(dtype) for k, v in state.items()})
    for k, v in ours.state_dict().items():
        assert v.shape == tuple(state[k].shape), k
        np.testing.assert_array_equal(np.asarray(v.detach().to_device("cpu").numpy()), state[k].numpy(), err_msg=k)
    names = [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_parameters()] == names
    return list(theirs.parameters()), list(ours.parameters())


def same_module(
    theirs: Any,
    ours: Any,
    arrays: Sequence[Any],
    dtype: str = "float64",
    device: Any = None,
    second: bool = False,
    call: Callable[..., Any] | None = None,
    rtol: float | None = None,
) -> None:
    """The layers with the same parameters: outputs and all gradients."""
    import torch

    theirs = theirs.to(getattr(torch, dtype))
    params = paired(theirs, ours, dtype)
    run = call or (lambda module, *args: module(*args))
    same(lambda *a: run(theirs, *a), lambda *a: run(ours, *a), arrays, dtype, device, params, second, rtol)
