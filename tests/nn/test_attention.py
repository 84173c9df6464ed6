"""Attention and transformers against PyTorch: outputs, weights and all gradients over a grid of arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import same, same_module

import polygrad as pg
from polygrad import nn
from polygrad.nn import functional as F
from polygrad.testing import check_grads

QUIET = pytest.mark.filterwarnings(
    "ignore:Using backward", "ignore:enable_nested_tensor", "ignore:Support for mismatched"
)
rng = np.random.default_rng(2)
L, S, E = 3, 4, 4
Q, K, V = rng.normal(size=(2, 2, L, E)), rng.normal(size=(2, 2, S, E)), rng.normal(size=(2, 2, S, 5))
SEEN = np.asarray([[True, False, True, True], [False, True, False, True], [True, True, True, True]])
ADDED = rng.normal(size=(L, S))


@QUIET
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "options", [{}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": SEEN}, {"attn_mask": ADDED}], ids=str
)
def test_scaled_dot_product_attention_is_torchs(options: dict[str, Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    arrays = [Q, K, V]
    mask = options.get("attn_mask")
    if mask is not None:
        arrays = [*arrays, mask]
        call = lambda f: lambda q, k, v, m: f(q, k, v, m)  # noqa: E731
    else:
        call = lambda f: lambda q, k, v: f(q, k, v, **options)  # noqa: E731
    ours = F.scaled_dot_product_attention
    same(call(torch.nn.functional.scaled_dot_product_attention), call(ours), arrays, dtype)


def test_scaled_dot_product_attention_of_grouped_heads() -> None:
    torch = pytest.importorskip("torch")
    q = rng.normal(size=(2, 4, L, E))
    same(
        lambda *a: torch.nn.functional.scaled_dot_product_attention(*a, enable_gqa=True),
        lambda *a: F.scaled_dot_product_attention(*a, enable_gqa=True),
        [q, K, V],
    )


def test_attention_to_nothing_is_zero_with_gradient_zero(device: pg.Device) -> None:
    seen = pg.asarray([[False, False], [True, True]], device=device)
    q = pg.asarray(Q[0, 0, :2], device=device, requires_grad=True)
    out = F.scaled_dot_product_attention(q, q, q, seen)
    assert out[0, ...].tolist() == [0.0] * E
    pg.sum(out * out).backward()
    assert np.all(np.isfinite(q.grad.to_device("cpu").numpy()))


@pytest.mark.parametrize("masked", [False, True])
def test_attention_weights_in_both_modes_and_to_second_order(masked: bool) -> None:
    arrays = [pg.asarray(Q[0, 0]), pg.asarray(K[0]), *([pg.asarray(ADDED)] if masked else [])]
    check_grads(lambda *a: pg.neural.attention_weights(*a, scale=0.7), arrays)


@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 1, 4, 4), (4, 4)])
def test_masks_that_broadcast_the_weights(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    q, k, mask = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.normal(size=shape)
    made = pg.neural.attention_weights(q, k, mask, scale=0.5).numpy()
    scores = np.exp(q @ k.T * 0.5 + mask)
    np.testing.assert_allclose(made, scores / np.sum(scores, axis=-1, keepdims=True), rtol=1e-12)


def test_attention_under_vmap() -> None:
    f = pg.grad(lambda q, k: pg.sum(pg.square(F.scaled_dot_product_attention(q, k, k, is_causal=True))))
    each = pg.vmap(f)(pg.asarray(Q), pg.asarray(K))
    for i in range(2):
        np.testing.assert_allclose(each[i, ...].numpy(), f(pg.asarray(Q[i]), pg.asarray(K[i])).numpy(), rtol=1e-11)


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_attention_drops_weights() -> None:
    pg.random.manual_seed(1)
    v = pg.ones((1, 50, 1))
    q = pg.zeros((1, 50, 2))
    out = F.scaled_dot_product_attention(q, q, v, dropout_p=0.5).numpy()
    assert len(set(out.ravel().tolist())) > 3
    assert abs(out.mean() - 1) < 0.1
    layer = nn.MultiheadAttention(4, 2, dropout=0.5)
    x = pg.asarray(rng.normal(size=(5, 4)))
    assert layer(x, x, x)[0].tolist() != layer(x, x, x)[0].tolist()
    layer.eval()
    assert layer(x, x, x)[0].tolist() == layer(x, x, x)[0].tolist()


# -- several heads -------------------------------------------------------------------------------------------

PADDING = np.asarray([[False, True, False, False], [False, False, False, True]])
HEADS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"batch_first": True}, {"average_attn_weights": False}),
    ({"bias": False, "add_zero_attn": True}, {"attn_mask": ~SEEN}),
    ({"add_bias_kv": True}, {"attn_mask": ADDED, "key_padding_mask": np.where(PADDING, -1.5, 0.0)}),
    (
        {"kdim": 3, "vdim": 2, "batch_first": True, "add_bias_kv": True, "add_zero_attn": True},
        {"key_padding_mask": PADDING},
    ),
    ({"kdim": 3, "bias": False}, {"need_weights": False, "attn_mask": np.stack([~SEEN] * 4)}),
]


def heads(options: dict[str, Any], given: dict[str, Any], dtype: str, device: Any = None, self_: bool = False) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(E, 2, **options)
    ours = nn.MultiheadAttention(E, 2, **options, dtype=dtype, device=device)
    with torch.no_grad():  # biases are 0 at first
        for p in theirs.parameters():
            p += 0.3 * torch.randn(p.shape)
    widths = (E, options.get("kdim", E), options.get("vdim", E))
    lengths = (S, S, S) if self_ else (L, S, S)
    x = [
        rng.normal(size=(2, n, w) if options.get("batch_first") else (n, 2, w))
        for n, w in zip(lengths, widths, strict=True)
    ]

    def call(module: Any, *a: Any) -> Any:
        wrap = torch.tensor if module is theirs else lambda v: pg.asarray(v, device=device)
        own = {
            k: wrap(v.astype(dtype) if v.dtype.kind == "f" else v) if isinstance(v, np.ndarray) else v
            for k, v in given.items()
        }
        return module(*(a * 3 if self_ else a), **own)

    same_module(theirs, ours, x[:1] if self_ else x, dtype, device, call=call)


@QUIET
@pytest.mark.parametrize(("options", "given"), HEADS, ids=str)
def test_multihead_attention_is_torchs(options: Any, given: Any) -> None:
    heads(options, given, "float64")
    heads(options, given, "float32")


@QUIET
@pytest.mark.parametrize(("options", "given"), [HEADS[0], HEADS[1], (HEADS[3][0], {})], ids=str)
def test_multihead_attention_to_itself_is_torchs(options: Any, given: Any) -> None:
    heads(options, given, "float64", self_=True)


@pytest.mark.devices("strict", "torch", "jax", "dask")
def test_multihead_attention_on_other_backends(device: Any) -> None:
    heads({"batch_first": True}, {"key_padding_mask": PADDING}, "float64", device)


@QUIET
def test_multihead_attention_without_batch_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    mask = PADDING[0]
    same_module(
        torch.nn.MultiheadAttention(E, 2),
        nn.MultiheadAttention(E, 2),
        [rng.normal(size=(L, E)), rng.normal(size=(S, E)), rng.normal(size=(S, E))],
        call=lambda m, *a: m(*a, key_padding_mask=(pg.asarray if isinstance(m, nn.Module) else torch.tensor)(mask)),
    )


@QUIET
def test_multihead_attention_to_second_order_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    x = [rng.normal(size=(2, 2, E)) for _ in range(3)]
    same_module(torch.nn.MultiheadAttention(E, 2), nn.MultiheadAttention(E, 2), x, second=True)


# -- transformers --------------------------------------------------------------------------------------------

OPTIONS = [
    {},
    {"norm_first": True, "activation": "gelu", "batch_first": True},
    {"bias": False, "layer_norm_eps": 0.1},
]


def shake(module: Any) -> Any:
    """PyTorch's module with parameters that are all different, none of them 0 or 1."""
    import torch

    torch.manual_seed(4)
    with torch.no_grad():
        for p in module.parameters():
            p += 0.2 * torch.randn(p.shape)
    return module


@QUIET
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_transformer_layers_are_torchs(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    x, memory = rng.normal(size=(3, 3, E)), rng.normal(size=(3, 3, E))
    causal = np.triu(np.full((3, 3), -np.inf), 1)

    def call(module: Any, *a: Any) -> Any:
        mask = (
            pg.asarray(causal, dtype=str(a[0].dtype))
            if isinstance(module, nn.Module)
            else torch.tensor(causal).to(a[0].dtype)
        )
        return module(*a, mask)

    for dtype in ("float64", "float32"):
        for name, arrays in (("TransformerEncoderLayer", [x]), ("TransformerDecoderLayer", [x, memory])):
            theirs = shake(getattr(torch.nn, name)(E, 2, 6, 0.0, **options))
            same_module(theirs, getattr(nn, name)(E, 2, 6, 0.0, **options, dtype=dtype), arrays, dtype, call=call)


@QUIET
@pytest.mark.parametrize("options", OPTIONS[:2], ids=str)
def test_transformer_is_torchs(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    theirs = shake(torch.nn.Transformer(E, 2, 2, 2, 6, 0.0, **options))
    ours = nn.Transformer(E, 2, 2, 2, 6, 0.0, **options)
    padding = np.asarray([[False, False, True], [False, False, False], [False, True, True]])

    def call(module: Any, src: Any, tgt: Any) -> Any:
        own = isinstance(module, nn.Module)
        mask = type(module).generate_square_subsequent_mask(3, dtype=tgt.dtype)
        hidden = pg.asarray(padding) if own else torch.tensor(padding)
        return module(src, tgt, tgt_mask=mask, src_key_padding_mask=hidden, tgt_is_causal=True)

    same_module(theirs, ours, [rng.normal(size=(3, 3, E)), rng.normal(size=(3, 3, E))], call=call)


def test_transformers_copy_their_layer_and_draw_it_as_torch() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    net = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8))
    assert net.layers[0].linear1.weight is not layer.linear1.weight
    assert net.layers[0].linear1.weight.tolist() == net.layers[1].linear1.weight.tolist()
    assert list(net.state_dict())[-2:] == ["norm.weight", "norm.bias"]
    attention = nn.MultiheadAttention(64, 2)
    bound = (6 / (64 + 192)) ** 0.5
    assert 0.95 * bound < np.abs(attention.in_proj_weight.detach().numpy()).max() <= bound
    assert not np.any(attention.in_proj_bias.detach().numpy())
    mask = nn.Transformer.generate_square_subsequent_mask(2, dtype="float32")
    assert (mask.dtype, mask.tolist()) == (pg.float32, [[0.0, -np.inf], [0.0, 0.0]])


def test_attention_refuses_what_does_not_fit() -> None:
    x = pg.ones((2, 3, 4))
    with pytest.raises(pg.errors.ShapeError, match="scaled_dot_product_attention: query, key and value of shapes"):
        F.scaled_dot_product_attention(x, x, x[:, :2, :])
    with pytest.raises(pg.errors.ShapeError, match="attention: query of shape"):
        F.scaled_dot_product_attention(x, x[..., :2], x)
    with pytest.raises(ValueError, match="attn_mask or is_causal, not both"):
        F.scaled_dot_product_attention(x, x, x, pg.ones((3, 3)), is_causal=True)
    with pytest.raises(pg.errors.ShapeError, match="2 heads of the query are no multiple of 3"):
        F.scaled_dot_product_attention(x, pg.ones((3, 3, 4)), pg.ones((3, 3, 4)), enable_gqa=True)
    with pytest.raises(pg.errors.DTypeError, match="one floating dtype, got float64, float32"):
        pg.neural.attention_weights(x, pg.astype(x, "float32"))
    layer = nn.MultiheadAttention(4, 2)
    with pytest.raises(ValueError, match="positive multiple of num_heads, got 4 and 3"):
        nn.MultiheadAttention(4, 3)
    with pytest.raises(pg.errors.ShapeError, match="MultiheadAttention: query, key and value of shapes"):
        layer(x, x, x[..., :3])
    with pytest.raises(pg.errors.ShapeError, match="differ before the last axis"):
        layer(x, x, x[:1, ...])
    with pytest.raises(pg.errors.ShapeError, match=r"attn_mask of shape \(2, 2, 3\) does not fit"):
        layer(x, x, x, attn_mask=pg.ones((2, 2, 3)))
    with pytest.raises(
        pg.errors.ShapeError, match=r"key_padding_mask of shape \(2, 3\) does not fit; it must be \(3, 2\)"
    ):
        layer(x, x, x, key_padding_mask=pg.ones((2, 3)))
    with pytest.raises(ValueError, match="is_causal says what attn_mask is"):
        layer(x, x, x, is_causal=True)
    with pytest.raises(ValueError, match="activation must be 'relu', 'gelu'"):
        nn.TransformerEncoderLayer(4, 2, activation="tanh")
    with pytest.raises(pg.errors.ShapeError, match="Transformer: src and tgt of shapes"):
        nn.Transformer(4, 2, 1, 1, 4)(x, x[0, ...])
