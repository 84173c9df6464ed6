"""One row for each layer and loss that PyTorch has too: what it is made with, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import polygrad as pg

_rng = np.random.default_rng(11)


def real(*shape: int, scale: float = 1.0) -> np.ndarray:
    """Signed numbers, none of them near 0, where many layers have their kinks."""
    x = scale * _rng.normal(size=shape)
    return x + 0.05 * np.sign(x)


def share(*shape: int) -> np.ndarray:
    return _rng.uniform(0.1, 0.9, size=shape)


def whole(high: int, *shape: int) -> np.ndarray:
    return _rng.integers(0, high, size=shape)


def signs(*shape: int) -> np.ndarray:
    return np.where(_rng.normal(size=shape) > 0, 1.0, -1.0)


class Row(NamedTuple):
    """A layer with its grid of settings, the arrays it is called with, and how."""

    name: str
    arrays: tuple[Any, ...]
    settings: list[tuple[tuple[Any, ...], dict[str, Any]]]
    call: Callable[..., Any] | None = None
    train: bool = True
    first: int = 0
    """The first so many arrays are data; gradients of the rest are not asked for."""


ROWS: list[Row] = []


def row(name: str, arrays: Any, *settings: Any, **more: Any) -> None:
    """Settings are dicts of keywords, or tuples of arguments, with a dict at the end perhaps."""
    made: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    for entry in settings or ((),):
        if isinstance(entry, dict):
            made.append(((), entry))
        elif entry and isinstance(entry[-1], dict):
            made.append((entry[:-1], entry[-1]))
        else:
            made.append((entry, {}))
    ROWS.append(Row(name, arrays if isinstance(arrays, tuple) else (arrays,), made, **more))


FLAT = real(3, 4, scale=2.0)
for _name in ("LogSigmoid", "Sigmoid", "Softsign", "Tanh", "Tanhshrink"):
    row(_name, FLAT)
for _name in ("Hardsigmoid", "Hardswish", "Mish", "ReLU", "ReLU6", "SELU", "SiLU"):
    row(_name, 2 * FLAT, (), {"inplace": True}, call=lambda layer, x: layer(x * 1.0))
row("CELU", FLAT, (), (0.25,))  # PyTorch rounds 1 / alpha to float32
row("ELU", FLAT, (), (0.3,))
row("GELU", FLAT, (), ("tanh",))
row("GLU", real(4, 6), (), (0,))
row("Hardshrink", FLAT, (), (1.3,))
row("Softshrink", FLAT, (), (1.3,))
row("Hardtanh", FLAT, (), (-0.5, 0.7))
row("LeakyReLU", FLAT, (), (0.2,))
row("PReLU", real(2, 4, 3), (), (4, 0.1))
row("RReLU", FLAT, (), (0.1, 0.2), train=False)
row("Softplus", FLAT, (), (2.0, 1.0))
row("Threshold", FLAT, (0.1, -2.0))
for _name in ("Softmax", "LogSoftmax", "Softmin"):
    row(_name, FLAT, (0,), (-1,))
row("Softmax2d", real(2, 3, 2, 2))

row("Identity", FLAT)
row("Linear", real(2, 3, 5), (5, 4), (5, 4, False))
row("Bilinear", (real(4, 3), real(4, 2)), (3, 2, 5), (3, 2, 5, False))
row("Flatten", real(2, 3, 4), (), (0, 1))
row("Unflatten", real(2, 6, 2), (1, (2, 3)), (-2, (3, -1)))
for _name in ("Dropout", "AlphaDropout"):
    row(_name, FLAT, (), (0.3, True), train=False)
row("FeatureAlphaDropout", real(2, 3, 4), (0.3,), train=False)
for _n in (1, 2, 3):
    row(f"Dropout{_n}d", real(2, 3, *(2,) * _n), (), (0.3,), train=False)

LENGTHS = (7, 6, 5)
for _n in (1, 2, 3):
    _image = real(2, 4, *LENGTHS[:_n])
    row(
        f"Conv{_n}d", _image, (4, 6, 3), (4, 6, 2, {"stride": 2, "padding": 1, "groups": 2}), (4, 2, 3, {"padding": "same"}),
        (4, 4, 2, {"dilation": 2, "groups": 4, "bias": False}), (4, 3, 3, {"padding": 1, "padding_mode": "circular"}),
    )  # fmt: skip
    row(
        f"ConvTranspose{_n}d", _image, (4, 6, 3), (4, 6, 2, {"stride": 2, "padding": 1, "groups": 2, "bias": False}),
        (4, 2, 3, {"stride": 2, "output_padding": 1, "dilation": 2}),
    )  # fmt: skip
    row(f"MaxPool{_n}d", _image, (2,), (3, 2, 1, {"ceil_mode": True}), (2, 1, 0, 2), (2, {"return_indices": True}))
    row(f"AvgPool{_n}d", _image, (2,), (3, 2, 1, {"ceil_mode": True}), (3, 2, 1, {"count_include_pad": False}))
    row(f"AdaptiveAvgPool{_n}d", _image, (3,), (1,))
    row(f"AdaptiveMaxPool{_n}d", _image, (3,), (2, True))
    row(
        f"BatchNorm{_n}d", _image, (4,), (4, {"momentum": None, "affine": False}), (4, {"eps": 0.1, "momentum": 0.4}),
        (4, {"track_running_stats": False}),
    )  # fmt: skip
    row(f"BatchNorm{_n}d", _image, (4,), train=False)
    row(f"InstanceNorm{_n}d", _image, (4,), (4, {"affine": True, "track_running_stats": True, "momentum": 0.3}))
    row(f"ConstantPad{_n}d", _image, (1, 0.5), ((2, -1) * _n, 1.0))
    row(f"ZeroPad{_n}d", _image, (1,), ((2, 0) * _n,))
    for _name in ("Reflection", "Replication", "Circular"):
        row(f"{_name}Pad{_n}d", _image, (2,), ((1, 2) * _n,))
row("GroupNorm", real(2, 6, 3), (2, 6), (3, 6, 0.1, False))
row("LayerNorm", real(2, 3, 4), (4,), ((3, 4), 0.1), (4, {"bias": False}), (4, {"elementwise_affine": False}))
row("RMSNorm", real(2, 3, 4), (4,), ((3, 4), 0.1), (4, {"elementwise_affine": False}))
row("LocalResponseNorm", real(2, 5, 3), (3,), (2, 0.1, 0.5, 2.0))
row("Embedding", whole(5, 2, 3), (5, 4), (5, 4, 2), (5, 4, {"scale_grad_by_freq": True}))
row("EmbeddingBag", whole(5, 2, 3), (5, 4), (5, 4, {"mode": "sum"}), (5, 4, {"mode": "max", "padding_idx": 1}))
row("ChannelShuffle", real(2, 6, 2, 2), (3,))
row("PixelShuffle", real(2, 8, 2, 3), (2,))
row("PixelUnshuffle", real(2, 2, 4, 6), (2,))
row("Fold", real(2, 8, 4), ((3, 3), 2), ((5, 3), 2, {"stride": 2, "padding": (0, 1), "dilation": 1}))
row("Unfold", real(2, 2, 4, 5), (2,), ((2, 3), {"stride": 2, "padding": 1}))
row(
    "Upsample", real(2, 2, 3, 4), {"scale_factor": 2}, {"size": (5, 6), "mode": "bilinear"},
    {"scale_factor": 1.5, "mode": "bicubic", "align_corners": True}, {"size": 2, "mode": "nearest-exact"},
)  # fmt: skip
row("UpsamplingNearest2d", real(2, 2, 3, 4), {"scale_factor": 2})
row("UpsamplingBilinear2d", real(2, 2, 3, 4), {"size": (5, 6)})
row("PairwiseDistance", (real(4, 3), real(4, 3)), (), (1.0, 1e-3, True))
row("CosineSimilarity", (real(4, 3), real(4, 3)), (), (0, 1e-3))

SEQUENCE = real(5, 2, 3)
_grid = [(3, 4), (3, 4, 2, {"bidirectional": True}), (3, 4, {"bias": False, "batch_first": True})]
row("RNN", SEQUENCE, *_grid, (3, 4, 1, "relu"))
row("LSTM", SEQUENCE, *_grid, (3, 4, 2, {"proj_size": 2}))
row("GRU", SEQUENCE, *_grid)
row("RNNCell", (real(2, 3), real(2, 4)), (3, 4), (3, 4, False, "relu"))
row("GRUCell", (real(2, 3), real(2, 4)), (3, 4), (3, 4, False))
row("LSTMCell", (real(2, 3), real(2, 4), real(2, 4)), (3, 4), (3, 4, False), call=lambda cell, x, h, c: cell(x, (h, c)))
row("MultiheadAttention", (real(3, 2, 4), real(5, 2, 4), real(5, 2, 4)), (4, 2), (4, 2, 0.0, False))
row(
    "MultiheadAttention",
    (real(2, 3, 4), real(2, 5, 3), real(2, 5, 2)),
    (4, 2, {"kdim": 3, "vdim": 2, "batch_first": True}),
)
_block = {"dim_feedforward": 6, "dropout": 0.0}
_blocks = [
    (4, 2, _block),
    (4, 2, {**_block, "activation": "gelu", "norm_first": True, "batch_first": True, "bias": False}),
]
row("TransformerEncoderLayer", real(3, 2, 4), *_blocks)
row("TransformerDecoderLayer", (real(3, 2, 4), real(3, 2, 4)), *_blocks)
row("Transformer", (real(3, 2, 4), real(2, 2, 4)), (4, 2, 1, 1, _block))

KINDS = [{"reduction": kind} for kind in ("mean", "sum", "none")]
PAIR = (real(4, 3), real(4, 3))
for _name in ("L1Loss", "MSELoss"):
    row(_name, PAIR, *KINDS)
row("SmoothL1Loss", PAIR, *KINDS, {"beta": 0.3}, {"beta": 0.0})
row("HuberLoss", PAIR, *KINDS, {"delta": 0.3})
row("BCELoss", (share(4, 3), share(4, 3)), *KINDS, {"weight": share(3)})
row("BCEWithLogitsLoss", (real(4, 3), share(4, 3)), *KINDS, {"weight": share(3), "pos_weight": share(3)})
row("KLDivLoss", (np.log(share(4, 3)), share(4, 3)), *KINDS, {"reduction": "batchmean"})
row("KLDivLoss", (np.log(share(4, 3)), np.log(share(4, 3))), {"reduction": "sum", "log_target": True})
row(
    "CrossEntropyLoss",
    (real(4, 3), whole(3, 4)),
    *KINDS,
    {"weight": share(3), "label_smoothing": 0.1},
    {"ignore_index": 1},
)
row("CrossEntropyLoss", (real(4, 3, 2), share(4, 3, 2)), *KINDS, {"weight": share(3), "label_smoothing": 0.1})
row("NLLLoss", (np.log(share(4, 3, 2)), whole(3, 4, 2)), *KINDS, {"weight": share(3), "ignore_index": 1})
row("CosineEmbeddingLoss", (*PAIR, signs(4)), *KINDS, {"margin": 0.2}, first=2)
row("HingeEmbeddingLoss", (share(4, 3), signs(4, 3)), *KINDS, {"margin": 0.4}, first=1)
row("MarginRankingLoss", (real(4), real(4), signs(4)), *KINDS, {"margin": 0.4}, first=2)
row("SoftMarginLoss", (real(4, 3), signs(4, 3)), *KINDS, first=1)
row("MultiLabelSoftMarginLoss", (real(4, 3), (signs(4, 3) + 1) / 2), *KINDS, {"weight": share(3)}, first=1)
row("MultiMarginLoss", (real(4, 3), whole(3, 4)), *KINDS, {"p": 2, "margin": 0.4, "weight": share(3)})
row("TripletMarginLoss", (real(4, 3), real(4, 3), real(4, 3)), *KINDS, {"margin": 2.0, "p": 1.0, "swap": True})
row("TripletMarginWithDistanceLoss", (real(4, 3), real(4, 3), real(4, 3)), *KINDS, {"margin": 2.0, "swap": True})
row("GaussianNLLLoss", (real(4, 3), real(4, 3), share(4, 3)), *KINDS, {"full": True, "eps": 0.3})
row("PoissonNLLLoss", (real(4, 3), whole(5, 4, 3) + 0.0), *KINDS, {"full": True}, first=1)
row("PoissonNLLLoss", (share(4, 3), whole(5, 4, 3) + 0.0), {"log_input": False, "eps": 0.1}, first=1)


def of_logits(layer: Any, x: Any, *rest: Any) -> Any:
    """PyTorch's gradients take for granted that a softmax went before."""
    return layer(x.log_softmax(-1) if hasattr(x, "log_softmax") else pg.log_softmax(x, axis=-1), *rest)


row(
    "CTCLoss", (real(6, 2, 4), 1 + whole(3, 2, 2), np.asarray([6, 4]), np.asarray([2, 1])), *KINDS,
    {"zero_infinity": True}, call=of_logits,
)  # fmt: skip
