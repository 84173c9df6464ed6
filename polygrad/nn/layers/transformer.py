"""Transformers (Vaswani et al., 2017), with PyTorch's parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import polygrad as pg

from .. import functional as F
from .. import init
from ..containers import ModuleList
from ..module import Module
from .attention import MultiheadAttention
from .dropout import Dropout
from .linear import Linear
from .normalization import LayerNorm

__all__ = [
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer",
]  # fmt: skip

Activation = str | Callable[[pg.Tensor], pg.Tensor]


def _activation(name: str, given: Activation) -> Callable[[pg.Tensor], pg.Tensor]:
    if callable(given):
        return given
    known: dict[str, Callable[[pg.Tensor], pg.Tensor]] = {"relu": F.relu, "gelu": F.gelu}
    if given not in known:
        raise ValueError(f"{name}: activation must be 'relu', 'gelu' or a function, got {given!r}")
    return known[given]


class TransformerEncoderLayer(Module):
    """Attention to oneself and a network for each place, each with a residual and a normalization.

    Args:
        d_model: the width.
        nhead: the number of heads.
        dim_feedforward: the width within the network.
        dropout: the probability.
        activation: ``"relu"``, ``"gelu"`` or a function.
        layer_norm_eps: added to variances.
        batch_first: whether tensors are (batch, length, width) instead of (length, batch, width).
        norm_first: whether to normalize before instead of behind.
        bias: whether linear layers and normalizations have biases.
        device, dtype: of the parameters.

    >>> import polygrad as pg
    >>> pg.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)(pg.ones((2, 5, 8))).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        there = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **there)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **there)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **there)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **there)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **there)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation("TransformerEncoderLayer", activation)

    def _attended(self, x: pg.Tensor, mask: Any, padding: Any, causal: bool) -> pg.Tensor:
        made, _ = self.self_attn(
            x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False, is_causal=causal
        )
        return self.dropout1(made)  # type: ignore[no-any-return]

    def _fed(self, x: pg.Tensor) -> pg.Tensor:
        hidden = self.dropout(self.activation(self.linear1(x)))
        return self.dropout2(self.linear2(hidden))  # type: ignore[no-any-return]

    def forward(
        self, src: pg.Tensor, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> pg.Tensor:
        """``src`` of shape (length, batch, d_model), as ``batch_first`` says, or without the batch; the result has the
        same. The masks are those of :class:`MultiheadAttention`."""
        x = src
        if self.norm_first:
            x = x + self._attended(self.norm1(x), src_mask, src_key_padding_mask, is_causal)
            return x + self._fed(self.norm2(x))
        x = self.norm1(x + self._attended(x, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self._fed(x))  # type: ignore[no-any-return]


class TransformerDecoderLayer(Module):
    """Attention to oneself, attention to an encoder's output and a network for each place.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype:
            see :class:`TransformerEncoderLayer`.

    >>> import polygrad as pg
    >>> layer = pg.nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> layer(pg.ones((2, 5, 8)), pg.ones((2, 3, 8))).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        there = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **there)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **there)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **there)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **there)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **there)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **there)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **there)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation("TransformerDecoderLayer", activation)

    def forward(
        self,
        tgt: pg.Tensor,
        memory: pg.Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> pg.Tensor:
        """``tgt`` of shape (length, batch, d_model) and ``memory`` (length, batch, d_model), as ``batch_first`` says, or
        both without the batch; the result has the shape of ``tgt``."""

        def own(x: pg.Tensor) -> pg.Tensor:
            made, _ = self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal)
            return self.dropout1(made)  # type: ignore[no-any-return]

        def other(x: pg.Tensor) -> pg.Tensor:
            made, _ = self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask, is_causal=memory_is_causal
            )
            return self.dropout2(made)  # type: ignore[no-any-return]

        def fed(x: pg.Tensor) -> pg.Tensor:
            hidden = self.dropout(self.activation(self.linear1(x)))
            return self.dropout3(self.linear2(hidden))  # type: ignore[no-any-return]

        x = tgt
        if self.norm_first:
            x = x + own(self.norm1(x))
            x = x + other(self.norm2(x))
            return x + fed(self.norm3(x))
        x = self.norm1(x + own(x))
        x = self.norm2(x + other(x))
        return self.norm3(x + fed(x))  # type: ignore[no-any-return]


def _copies(layer: Module, n: int) -> ModuleList:
    return ModuleList(copy.deepcopy(layer) for _ in range(n))


class TransformerEncoder(Module):
    """Copies of an encoder layer, one after the other.

    Args:
        encoder_layer: what is copied.
        num_layers: how often.
        norm: a normalization behind, or None.
        enable_nested_tensor, mask_check: taken for the sake of programs written for PyTorch; they change nothing.

    >>> import polygrad as pg
    >>> layer = pg.nn.TransformerEncoderLayer(8, 2, 16)
    >>> pg.nn.TransformerEncoder(layer, 2)(pg.ones((5, 2, 8))).shape
    (5, 2, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self, src: pg.Tensor, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> pg.Tensor:
        """As :meth:`TransformerEncoderLayer.forward`."""
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=bool(is_causal))
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """Copies of a decoder layer, one after the other.

    Args:
        decoder_layer: what is copied.
        num_layers: how often.
        norm: a normalization behind, or None.

    >>> import polygrad as pg
    >>> layer = pg.nn.TransformerDecoderLayer(8, 2, 16)
    >>> pg.nn.TransformerDecoder(layer, 2)(pg.ones((5, 2, 8)), pg.ones((3, 2, 8))).shape
    (5, 2, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: pg.Tensor,
        memory: pg.Tensor,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> pg.Tensor:
        """As :meth:`TransformerDecoderLayer.forward`."""
        x = tgt
        for layer in self.layers:
            x = layer(
                x, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, bool(tgt_is_causal),
                memory_is_causal,
            )  # fmt: skip
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """An encoder and a decoder.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype:
            see :class:`TransformerEncoderLayer`.
        num_encoder_layers, num_decoder_layers: how many layers each has.
        custom_encoder, custom_decoder: modules to use instead.

    >>> import polygrad as pg
    >>> net = pg.nn.Transformer(8, 2, 1, 1, 16)
    >>> net(pg.ones((5, 2, 8)), pg.ones((3, 2, 8))).shape
    (3, 2, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options: tuple[Any, ...] = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device,
            dtype,
        )  # fmt: skip
        there = {"bias": bias, "device": device, "dtype": dtype}
        if custom_encoder is None:
            norm = LayerNorm(d_model, layer_norm_eps, **there)
            custom_encoder = TransformerEncoder(TransformerEncoderLayer(*options), num_encoder_layers, norm)
        if custom_decoder is None:
            norm = LayerNorm(d_model, layer_norm_eps, **there)
            custom_decoder = TransformerDecoder(TransformerDecoderLayer(*options), num_decoder_layers, norm)
        self.encoder = custom_encoder
        self.decoder = custom_decoder
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first
        self.reset_parameters()

    def reset_parameters(self, generator: pg.random.Generator | None = None) -> None:
        """Draw the matrices anew from Xavier's uniform distribution."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter, generator=generator)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> pg.Tensor:
        """What hides later places: -inf above the diagonal, else 0; shape (sz, sz).

        >>> import polygrad as pg
        >>> pg.nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[  0., -inf],
                [  0.,   0.]], dtype=float64)
        """
        return F.causal_mask(sz, sz, dtype, device)

    def forward(
        self,
        src: pg.Tensor,
        tgt: pg.Tensor,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> pg.Tensor:
        """``src`` and ``tgt`` of shapes (length, batch, d_model), as ``batch_first`` says, or both without the batch; the
        result has the shape of ``tgt``."""
        if src.ndim != tgt.ndim or src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise pg.errors.ShapeError(
                f"Transformer: src and tgt of shapes {src.shape} and {tgt.shape}; both must have the last axis {self.d_model} "
                "and as many axes"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(  # type: ignore[no-any-return]
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal,
            memory_is_causal,
        )  # fmt: skip
