"""Wrong use of each layer and loss is told: by the layer's name, the shape that came and the one that would fit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from parity_table import ROWS

import polygrad as pg
from polygrad import nn

WRONG: dict[str, list[tuple[tuple[Any, ...], dict[str, Any], tuple[Any, ...]]]] = {}


def wrong(name: str, args: tuple[Any, ...], *inputs: Any, **kwargs: Any) -> None:
    WRONG.setdefault(name, []).append((args, kwargs, inputs))


def o(*shape: int) -> pg.Tensor:
    return pg.ones(shape)


def whole(*shape: int, value: int = 0) -> pg.Tensor:
    return pg.full(shape, value, dtype="int64")


wrong("Linear", (3, 2), o(2, 4))
wrong("Linear", (3, 2), o())
wrong("Bilinear", (3, 2, 4), o(2, 3), o(2, 3))
wrong("Bilinear", (3, 2, 4), o(2, 3), o(3, 2))
for _n in (1, 2, 3):
    _lengths = (5,) * _n
    for _name in (f"Conv{_n}d", f"ConvTranspose{_n}d"):
        wrong(_name, (4, 2, 1), o(2, 3, *_lengths))
        wrong(_name, (4, 2, 1), o(5))
    for _name in (f"MaxPool{_n}d", f"AvgPool{_n}d"):
        wrong(_name, (2,), o(5))
        wrong(_name, (9,), o(1, 1, *_lengths))
    wrong(f"AdaptiveMaxPool{_n}d", (2,), o(5))
    wrong(f"AdaptiveAvgPool{_n}d", (2,), o(5))
    for _name in (f"BatchNorm{_n}d", f"InstanceNorm{_n}d"):
        wrong(_name, (4,), o(2, 3, *_lengths), affine=True)
        wrong(_name, (4,), o(5))
    wrong(f"BatchNorm{_n}d", (4,), o(1, 4, *(1,) * _n))
    wrong(f"ConstantPad{_n}d", (1, 0.0), o())
    for _name in ("Zero", "Reflection", "Replication", "Circular"):
        wrong(f"{_name}Pad{_n}d", (1,), o())
    wrong(f"Dropout{_n}d", (), o(5))
wrong("GroupNorm", (2, 4), o(2, 3, 5))
wrong("GroupNorm", (2, 4), o(5))
wrong("LayerNorm", (4,), o(2, 3))
wrong("LayerNorm", ((3, 4),), o(4))
wrong("RMSNorm", (4,), o(2, 3))
wrong("LocalResponseNorm", (2,), o(2, 3))
wrong("Embedding", (5, 3), o(2))
wrong("Embedding", (5, 3), whole(2, value=7))
wrong("EmbeddingBag", (5, 3), whole(2, 2, 2))
wrong("EmbeddingBag", (5, 3), whole(2, 2, value=-1))
wrong("ChannelShuffle", (3,), o(1, 4, 2))
wrong("PixelShuffle", (2,), o(1, 3, 2, 2))
wrong("PixelUnshuffle", (2,), o(1, 3, 3, 3))
wrong("Fold", ((3, 3), 2), o(1, 4, 5))
wrong("Unfold", (2,), o(2, 3))
wrong("Upsample", (), o(2, 3), scale_factor=2)
wrong("UpsamplingNearest2d", (), o(2, 3), scale_factor=2)
wrong("UpsamplingBilinear2d", (), o(2, 3), scale_factor=2)
wrong("Flatten", (2, 3), o(2, 3))
wrong("Unflatten", (1, (2, 3)), o(2, 5))
wrong("GLU", (), o(2, 3))
wrong("PReLU", (4,), o(2, 3))
wrong("Softmax2d", (), o(2, 3))
for _name in ("Softmax", "LogSoftmax", "Softmin"):
    wrong(_name, (3,), o(2, 3))
wrong("PairwiseDistance", (), o(2, 3), o(2, 4))
wrong("CosineSimilarity", (), o(2, 3), o(2, 4))
for _name in ("RNN", "LSTM", "GRU"):
    wrong(_name, (3, 4), o(5, 2, 7))
    wrong(_name, (3, 4), o(3))
    _state = o(1, 3, 4)
    wrong(_name, (3, 4), o(5, 2, 3), (_state, _state) if _name == "LSTM" else _state)
    wrong(f"{_name}Cell", (3, 4), o(2, 7))
    wrong(f"{_name}Cell", (3, 4), o(2, 2, 3))
    wrong(f"{_name}Cell", (3, 4), o(2, 3), (o(2, 5), o(2, 5)) if _name == "LSTM" else o(2, 5))
wrong("MultiheadAttention", (4, 2), o(3, 2, 5), o(3, 2, 4), o(3, 2, 4))
wrong("MultiheadAttention", (4, 2), o(3, 2, 4), o(3, 2, 4), o(5, 2, 4))
wrong("TransformerEncoderLayer", (4, 2), o(3, 2, 5))
wrong("TransformerDecoderLayer", (4, 2), o(3, 2, 4), o(3, 2, 5))
wrong("Transformer", (4, 2, 1, 1), o(3, 2, 5), o(3, 2, 4))
for _name in (
    "L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss", "KLDivLoss", "HingeEmbeddingLoss",
    "SoftMarginLoss", "PoissonNLLLoss", "MultiLabelSoftMarginLoss",
):  # fmt: skip
    wrong(_name, (), o(2, 3), o(2, 4))
wrong("GaussianNLLLoss", (), o(2, 3), o(2, 4), o(2, 3))
wrong("GaussianNLLLoss", (), o(2, 3), o(2, 3), o(2, 7))
wrong("MarginRankingLoss", (), o(2), o(2), o(3))
wrong("CosineEmbeddingLoss", (), o(2, 3), o(2, 4), o(2))
wrong("CosineEmbeddingLoss", (), o(2, 3), o(2, 3), o(3))
wrong("TripletMarginLoss", (), o(2, 3), o(2, 4), o(2, 3))
wrong("TripletMarginWithDistanceLoss", (), o(2, 3), o(2, 4), o(2, 3))
for _name in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss"):
    wrong(_name, (), o(2, 3), whole(4))
    wrong(_name, (), o(2, 3), whole(2, value=5))
    wrong(_name, (), o(2, 3), whole(2, value=-2))
wrong("CrossEntropyLoss", (o(4),), o(2, 3), whole(2))
wrong("CrossEntropyLoss", (), o(2, 3), o(2, 4))
wrong("CTCLoss", (), o(5, 2, 3), whole(3, 2, value=1), [5, 5], [2, 2])
wrong("CTCLoss", (), o(5, 2, 3), whole(2, 2, value=7), [5, 5], [2, 2])
wrong("CTCLoss", (), o(5, 2, 3), whole(2, 2, value=1), [9, 5], [2, 2])

ANY_SHAPE = {
    "AlphaDropout", "CELU", "Dropout", "ELU", "FeatureAlphaDropout", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish",
    "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid", "Mish", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus",
    "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold",
}  # fmt: skip
"""Layers that work element by element, and take what comes."""

CASES = [(name, *case) for name, cases in WRONG.items() for case in cases]


@pytest.mark.parametrize(("name", "args", "kwargs", "inputs"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_what_does_not_fit_a_layer_is_told(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: tuple[Any, ...]
) -> None:
    layer = getattr(nn, name)(*args, **kwargs)
    net = nn.Sequential(layer) if len(inputs) == 1 else layer
    with pytest.raises((ValueError, IndexError, pg.errors.DTypeError)) as info:
        net(*inputs)
    told = str(info.value)
    # The layer itself, of several, by a note with its settings; in the message the layer or the function of its name.
    inner = {"TransformerEncoderLayer": "MultiheadAttention", "TransformerDecoderLayer": "MultiheadAttention"}.get(
        name, name
    )
    notes = getattr(info.value, "__notes__", [])
    assert isinstance(info.value, (pg.errors.PolygradError, IndexError))
    assert notes[0].startswith(f"in the layer {inner}("), notes
    assert len(notes) == 1
    assert re.match(r"[a-zA-Z0-9_]+: ", told), told
    assert not told.startswith(("multiply", "add", "subtract", "divide", "matmul", "reshape", "broadcast")), told
    if isinstance(info.value, pg.errors.ShapeError):  # what came, or which axis
        assert re.search(r"\(\d*,? ?[\d, ]*\)|axis \d|lengths", told), told


def test_no_layer_is_left_out() -> None:
    assert {row.name for row in ROWS} == set(WRONG) | ANY_SHAPE
