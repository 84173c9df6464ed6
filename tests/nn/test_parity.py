"""Every layer and loss that PyTorch has too: the same weights and data, the same outputs, gradients, state and text."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from against_torch import RTOL, close, paired, same
from parity_table import ROWS, Row

import polygrad as pg
from polygrad import nn

torch = pytest.importorskip("torch")

CONTAINERS = {"Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential", "Parameter"}
TOLD_OTHERWISE = {"Hardsigmoid", "Hardswish", "Hardshrink", "Softshrink", "AvgPool1d", "EmbeddingBag"}
"""What ``repr`` says differently from PyTorch: with names, or all that was set. So it does of losses and attention."""

COARSE = {
    ("Hardsigmoid", "float64"): 1e-7,
    ("Hardswish", "float64"): 1e-7,
}
"""PyTorch has a sixth in float32 for these slopes, in float64 too: 3e-8 off."""

STACKS = {"TransformerEncoder", "TransformerDecoder"}  # made of layers: their own test is in test_attention.py


def made(row: Row, setting: Any, dtype: str, device: Any = None) -> tuple[Any, Any]:
    """Both libraries' layer, of one dtype."""
    device = pg.default_device() if device is None else device
    args, kwargs = setting
    weights = {k: v for k, v in kwargs.items() if isinstance(v, np.ndarray)}
    torch.manual_seed(7)
    theirs = getattr(torch.nn, row.name)(*args, **{**kwargs, **{k: torch.asarray(v) for k, v in weights.items()}})
    ours = getattr(nn, row.name)(*args, **{**kwargs, **{k: pg.asarray(v, device=device) for k, v in weights.items()}})
    if device is not None:
        ours.to(device)
    return theirs.to(getattr(torch, dtype)).train(row.train), ours.to(dtype=dtype).train(row.train)


def compare(row: Row, setting: Any, dtype: str, device: Any = None) -> None:
    device = pg.default_device() if device is None else device
    theirs, ours = made(row, setting, dtype, device)
    if row.name not in TOLD_OTHERWISE and not row.name.endswith("Loss") and "Dynamically" not in repr(theirs):
        assert repr(ours).replace("'", "") == repr(theirs).replace("'", "").replace(
            "scale_factor=2.0", "scale_factor=2"
        )
    params = paired(theirs, ours, dtype)
    run = row.call or (lambda layer, *arrays: layer(*arrays))
    arrays, fixed = row.arrays, ()
    if row.first:
        arrays, fixed = row.arrays[: row.first], tuple(a.astype(dtype) for a in row.arrays[row.first :])

    def reference(*xs: Any) -> Any:
        return run(theirs, *xs, *(torch.asarray(a) for a in fixed))

    def tested(*xs: Any) -> Any:
        return run(ours, *xs, *(pg.asarray(pg.asarray(a), device=device) for a in fixed))

    same(reference, tested, arrays, dtype, device, params, rtol=COARSE.get((row.name, dtype)))
    state = theirs.state_dict()
    for key, value in ours.state_dict().items():  # running statistics have moved by as much
        close(value.to_device("cpu").numpy(), state[key].numpy(), RTOL[dtype], key)


@pytest.mark.filterwarnings("ignore::UserWarning:torch")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", ROWS, ids=[f"{r.name}-{i}" for i, r in enumerate(ROWS)])
def test_layers_and_losses_equal_pytorchs(row: Row, dtype: str) -> None:
    for setting in row.settings if dtype == "float64" else row.settings[:2]:
        compare(row, setting, dtype)


SAMPLE = [
    r for r in ROWS if r.name in {
        "ReLU", "GELU", "PReLU", "Softmax", "Linear", "Bilinear", "Conv2d", "ConvTranspose1d", "MaxPool2d", "AvgPool2d",
        "AdaptiveAvgPool2d", "BatchNorm2d", "GroupNorm", "LayerNorm", "RMSNorm", "Embedding", "Upsample", "LSTM", "GRUCell",
        "MultiheadAttention", "TransformerEncoderLayer", "MSELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "NLLLoss",
        "KLDivLoss", "TripletMarginLoss", "GaussianNLLLoss",
    }
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning:torch")
@pytest.mark.devices("strict", "torch", "cupy")
@pytest.mark.parametrize("row", SAMPLE, ids=[f"{r.name}-{i}" for i, r in enumerate(SAMPLE)])
def test_a_sample_equals_pytorchs_on_other_backends(row: Row, device: pg.Device) -> None:
    compare(row, row.settings[-1], "float64", device)


SHORT = {"Linear", "Conv2d", "MaxPool2d", "BatchNorm2d", "LayerNorm", "Embedding", "GRUCell", "NLLLoss"}


@pytest.mark.devices("jax")  # which compiles each op for each shape: a shorter sample
@pytest.mark.parametrize("row", [r for r in SAMPLE if r.name in SHORT], ids=lambda r: r.name)
def test_a_short_sample_equals_pytorchs_on_jax(row: Row, device: pg.Device) -> None:
    compare(row, row.settings[0], "float64", device)


def test_no_layer_of_pytorch_is_left_out() -> None:
    layers = {n for n in nn.__all__ if inspect.isclass(getattr(nn, n)) and hasattr(torch.nn, n)}
    assert {row.name for row in ROWS} == layers - CONTAINERS - STACKS
