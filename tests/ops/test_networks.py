"""The ops of networks in both modes and to second order; and that no op at all goes without such a check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_table

import polygrad as pg
from polygrad.core.op import OPS
from polygrad.core.tape import reachable
from polygrad.ops.strong import ON_TENSORS
from polygrad.testing import check_grads

_rng = np.random.default_rng(8)


def drawn(*shapes: tuple[int, ...]) -> list[Any]:
    return [_rng.normal(size=shape) for shape in shapes]


X = np.array([-3.4, -2.3, -0.8, -0.2, 0.3, 0.9, 2.1, 3.3])
"""Away from every kink below."""

net = pg.neural
TARGET = pg.asarray([0, 2, -100])

CASES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    **{
        name: (getattr(net, name), [X])
        for name in (
            "elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid mish silu softshrink "
            "softsign tanhshrink"
        ).split()
    },
    "sigmoid": (pg.sigmoid, [X]),
    "gelu by tanh": (lambda x: net.gelu(x, "tanh"), [X]),
    "softplus": (lambda x: net.softplus_beyond(x, 1.5, 2.0), [X]),
    "threshold": (lambda x: net.threshold(x, 0.1, -2.0), [X]),
    "selu": (lambda x: net.elu(x, 1.7, 1.05, 1.0), [X]),
    "strong product": (ON_TENSORS["strong_product"], drawn((2, 3), (2, 3))),
    "strong multiply": (ON_TENSORS["strong_multiply"], drawn((2, 3), (2, 3))),
    "strong divide": (ON_TENSORS["strong_divide"], drawn((2, 3), (2, 3))),
    "attention": (lambda q, k: net.attention_weights(q, k, scale=0.7), drawn((2, 3), (4, 3))),
    "masked attention": (net.attention_weights, drawn((2, 3), (4, 3), (2, 4))),
    "linear": (net.linear, drawn((2, 3), (4, 3))),
    "complex linear": (net.linear, [a + 1j * b for a, b in zip(drawn((2, 3), (4, 3)), drawn((2, 3), (4, 3)))]),
    "batched linear": (net.linear, drawn((2, 2, 3), (4, 3))),
    "conv": (lambda x, w: net.conv(x, w, stride=2, padding=1), drawn((2, 2, 5), (3, 2, 3))),
    "conv_input": (lambda g, w: net.conv_input(g, w, (5,), stride=2, padding=1), drawn((2, 3, 3), (3, 2, 3))),
    "conv_weight": (lambda x, g: net.conv_weight(x, g, (3,), stride=2, padding=1), drawn((2, 2, 5), (2, 3, 3))),
    "max_pool": (lambda x: net.max_pool(x, 2, stride=1, padding=1)[0], drawn((2, 2, 5))),
    "sum_windows": (lambda x: net.sum_windows(x, 2, stride=1, padding=1), drawn((2, 2, 5))),
    "spread_windows": (lambda g: net.spread_windows(g, (5,), 2, stride=1, padding=1), drawn((2, 2, 6))),
    "cross entropy": (lambda x: net.class_cross_entropy(x, TARGET), drawn((3, 3))),
    "summed cross entropy": (lambda x: net.class_cross_entropy(x, TARGET, reduction="sum"), drawn((3, 3))),
    "cross entropies": (lambda x: net.class_cross_entropy(x, TARGET, reduction="none"), drawn((3, 3))),
    "binary entropy": (net.binary_entropy, [np.array([0.2, 0.5, 0.9]), np.array([0.3, 0.6, 0.8])]),
    "lstm": (net.lstm, drawn((2, 2, 12), (12, 3), (2, 3), (2, 3))),
    "projected lstm": (net.lstm, drawn((2, 2, 12), (12, 2), (2, 2), (2, 3), (2, 3))),
    "gru": (net.gru, drawn((2, 2, 9), (9, 3), (9,), (2, 3))),
    "rnn": (net.rnn, drawn((2, 2, 3), (3, 3), (2, 3))),
    "relu rnn": (lambda *a: net.rnn(*a, nonlinearity="relu"), drawn((2, 2, 3), (3, 3), (2, 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_op_in_both_modes_and_to_second_order(name: str) -> None:
    f, arrays = CASES[name]
    check_grads(f, [pg.asarray(a) for a in arrays])


def names_of(f: Callable[..., Any], arrays: Any) -> set[str]:
    """The ops behind a function's results, and behind its gradients."""
    tensors = [pg.asarray(x, copy=True) for x in arrays]
    inputs = [x.requires_grad_() for x in tensors if x.dtype.kind in "fc"]
    made = f(*tensors)
    roots = [x for x in (made if isinstance(made, tuple) else (made,)) if x.requires_grad]
    names = {node.name for node in reachable([x._node for x in roots])} if roots else set()
    for root in roots:
        root.backward(pg.ones_like(root), create_graph=True)
    slopes = [x.grad._node for x in inputs if x.grad is not None and x.grad._node is not None]
    return names | ({node.name for node in reachable(slopes)} if slopes else set())


def test_no_differentiable_op_is_without_a_check() -> None:
    seen = set()
    for case in test_table.SMOOTH:
        row, sample = case.values
        seen |= names_of(lambda *x, row=row: row.f(x[0].device.xp, *x), sample)
    for f, arrays in CASES.values():
        seen |= names_of(f, arrays)
    own = [op for op in OPS.values() if op.forward.__module__.startswith("polygrad.")]  # not those of other tests
    assert len(own) > 200
    assert sorted(op.name for op in own if op.differentiable and op.name not in seen) == []
