"""Normalization layers: agreement with PyTorch in outputs, gradients and statistics, every backend, misuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import nn
from polygrad.errors import ShapeError
from polygrad.nn import functional as F
from polygrad.testing import check_grads

_rng = np.random.default_rng(11)

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("BatchNorm1d", (3,), {}, (4, 3)),
    ("BatchNorm1d", (3,), {"momentum": None, "eps": 0.1, "bias": False}, (4, 3, 2)),
    ("BatchNorm2d", (3,), {"momentum": 0.7, "affine": False}, (2, 3, 2, 3)),
    ("BatchNorm2d", (3,), {"track_running_stats": False}, (2, 3, 2, 3)),
    ("BatchNorm3d", (2,), {}, (2, 2, 2, 1, 3)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 4)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, (2, 3, 2, 2)),
    ("InstanceNorm2d", (3,), {}, (3, 2, 2)),
    ("InstanceNorm3d", (2,), {"eps": 0.1}, (2, 2, 2, 1, 2)),
    ("GroupNorm", (2, 4), {"bias": False}, (2, 4, 3)),
    ("GroupNorm", (4, 4), {"affine": False, "eps": 0.1}, (2, 4, 3, 2)),
    ("RMSNorm", (4,), {}, (2, 3, 4)),
    ("RMSNorm", ((3, 4),), {"eps": 0.1, "elementwise_affine": False}, (2, 3, 4)),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", LAYERS, ids=[f"{c[0]}-{i}" for i, c in enumerate(LAYERS)])
def test_layer_is_torchs_in_training_and_after(case: Any, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    name, args, options, shape = case
    rtol = 1e-10 if dtype == "float64" else 1e-5
    theirs = getattr(torch.nn, name)(*args, **options, dtype=getattr(torch, dtype))
    ours = getattr(nn, name)(*args, **options, dtype=dtype)
    if "bias=" in repr(theirs) or name == "RMSNorm":  # PyTorch before 2.13 does not say
        assert repr(ours) == repr(theirs)
    for p in theirs.parameters():
        torch.nn.init.uniform_(p, -1.0, 1.0)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    for step in range(3):
        if step == 2:
            ours.eval(), theirs.eval()
        x, seed = (_rng.normal(size=shape).astype(dtype) for _ in range(2))
        px, tx = pg.asarray(x, copy=True, requires_grad=True), torch.tensor(x, requires_grad=True)
        ours.zero_grad(), theirs.zero_grad()
        got, want = ours(px), theirs(tx)
        got.backward(seed)
        want.backward(torch.tensor(seed))
        assert got.dtype == dtype
        pairs = [
            (got, want),
            (px.grad, tx.grad),
            *((p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters())),
        ]
        pairs += list(zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
        for a, b in pairs:
            b = b.detach().numpy()
            scale = np.abs(b).max(initial=1.0)
            np.testing.assert_allclose(a.detach().numpy(), b, rtol=rtol, atol=rtol * scale)


def test_normalizations_are_differentiable_to_second_order() -> None:
    x = pg.asarray(
        0.3 * _rng.permutation(36).reshape(3, 4, 3)
    )  # well apart: a small variance bends too much for differences
    w, b = (pg.asarray(_rng.normal(size=4)) for _ in range(2))
    check_grads(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [x, w, b])
    check_grads(lambda x, w, b: F.instance_norm(x, None, None, w, b), [x, w, b])
    check_grads(lambda x, w, b: F.group_norm(x, 2, w, b), [x, w, b])
    check_grads(lambda x, w: F.rms_norm(x, (4,), w), [pg.asarray(_rng.normal(size=(2, 4))), w])


def test_batch_norm_on_every_backend(device: pg.Device) -> None:
    x = np.arange(12.0).reshape(2, 3, 2) ** 1.5
    found = []
    for where in ("cpu", device):
        layer = nn.BatchNorm1d(3, device=where)
        px = pg.asarray(x, device=where, requires_grad=True)
        y = layer(px)
        pg.sum(y * y * y).backward()
        assert px.grad is not None
        found.append(
            [np.asarray(t.detach().to_device("cpu").tolist()) for t in (y, px.grad, *layer.state_dict().values())]
        )
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_statistics_change_outside_the_graph_and_the_input_stays() -> None:
    layer = nn.BatchNorm1d(2)
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    before = x.copy()
    layer(pg.asarray(x, requires_grad=True))
    np.testing.assert_array_equal(x, before)
    assert not layer.running_mean.requires_grad
    np.testing.assert_allclose(layer.running_mean.numpy(), [0.2, 0.35])
    np.testing.assert_allclose(layer.running_var.numpy(), [0.9 + 0.1 * 2, 0.9 + 0.1 * 4.5])
    assert int(layer.num_batches_tracked) == 1


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.BatchNorm2d(3)(pg.ones((2, 3))), ShapeError, "BatchNorm2d: input must have 4 dimensions"),
        (lambda: nn.BatchNorm1d(3)(pg.ones((2, 4))), ShapeError, "4 channels, the layer is for 3"),
        (lambda: nn.BatchNorm1d(3)(pg.ones((1, 3))), ShapeError, "one value per channel"),
        (lambda: nn.InstanceNorm1d(3)(pg.ones((2, 3, 1))), ShapeError, "one value per channel and example"),
        (lambda: nn.GroupNorm(2, 3), ValueError, "no multiple of 2 groups"),
        (lambda: F.group_norm(pg.ones((2, 3)), 2), ShapeError, "no multiple of 2 groups"),
        (lambda: F.batch_norm(pg.ones((2, 3)), None, None), ValueError, "running mean and variance are needed"),
        (lambda: F.batch_norm(pg.ones(3), None, None), ShapeError, r"must be \(N, C, ...\)"),
        (lambda: F.batch_norm(pg.ones((2, 3)), None, None, pg.ones(2), training=True), ShapeError, "weight of shape"),
        (lambda: nn.RMSNorm(4)(pg.ones((2, 3))), ShapeError, "does not end in normalized_shape"),
    ],
)
def test_wrong_use_is_told(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
