"""Attention of several heads, with PyTorch's parameters."""

from __future__ import annotations

import math
from typing import Any

import polygrad as pg

from .. import functional as F
from .. import init
from ..module import Module
from ..parameter import Parameter
from .linear import Linear

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention of ``num_heads`` heads (Vaswani et al., 2017), with projections before and behind.

    Args:
        embed_dim: the length of the last axis of query and output.
        num_heads: how many heads share it.
        dropout: the probability with which weights are dropped in training.
        bias: whether the projections have biases.
        add_bias_kv: whether a learnt key and value are appended.
        add_zero_attn: whether a key and value of zeros are appended.
        kdim, vdim: the lengths of the last axes of key and value, if others.
        batch_first: whether tensors are (batch, length, width) instead of (length, batch, width).
        device, dtype: of the parameters.

    Attributes:
        in_proj_weight: shape (3 * embed_dim, embed_dim); with ``kdim`` or ``vdim`` there are ``q_proj_weight``,
            ``k_proj_weight`` and ``v_proj_weight`` instead. Xavier's uniform distribution at first.
        in_proj_bias: shape (3 * embed_dim,), 0 at first.
        out_proj: the :class:`Linear` layer behind.

    >>> import polygrad as pg
    >>> x = pg.ones((2, 5, 8))
    >>> out, weights = pg.nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> out.shape, weights.shape
    ((2, 5, 8), (2, 5, 5))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim must be a positive multiple of num_heads, got {embed_dim} and {num_heads}"
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim

        def parameter(name: str, wanted: bool, *shape: int) -> None:
            made = Parameter(pg.zeros(shape, dtype=dtype, device=device)) if wanted else None
            self.register_parameter(name, made)

        same = self.kdim == self.vdim == embed_dim
        parameter("q_proj_weight", not same, embed_dim, embed_dim)
        parameter("k_proj_weight", not same, embed_dim, self.kdim)
        parameter("v_proj_weight", not same, embed_dim, self.vdim)
        parameter("in_proj_weight", same, 3 * embed_dim, embed_dim)
        parameter("in_proj_bias", bias, 3 * embed_dim)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device=device, dtype=dtype)
        parameter("bias_k", add_bias_kv, 1, 1, embed_dim)
        parameter("bias_v", add_bias_kv, 1, 1, embed_dim)
        self.reset_parameters()

    def reset_parameters(self, generator: pg.random.Generator | None = None) -> None:
        """Draw the parameters anew."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight, generator=generator)
        self.out_proj.reset_parameters(generator)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            assert self.out_proj.bias is not None
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):  # Xavier's normal distribution
            if bias is not None:
                init.normal_(bias, 0.0, 1 / math.sqrt(self.embed_dim), generator)

    # -- shapes ----------------------------------------------------------------------------------------

    def _checked(self, query: pg.Tensor, key: pg.Tensor, value: pg.Tensor) -> bool:
        """Whether there is a batch."""
        widths = (self.embed_dim, self.kdim, self.vdim)
        given = (query, key, value)
        fits = query.ndim in (2, 3) and all(x.ndim == query.ndim for x in given)
        if not fits or any(x.shape[-1] != n for x, n in zip(given, widths, strict=True)):
            raise pg.errors.ShapeError(
                f"MultiheadAttention: query, key and value of shapes {query.shape}, {key.shape}, {value.shape}; all must have "
                f"two axes, or three with the batch, the last ones of lengths {widths}"
            )
        if key.shape[:-1] != value.shape[:-1]:
            raise pg.errors.ShapeError(
                f"MultiheadAttention: key of shape {key.shape} and value of shape {value.shape} differ before the last axis"
            )
        return query.ndim == 3

    def _masks(
        self, attn_mask: Any, padding: Any, batch: int, length: int, keys: int, like: pg.Tensor
    ) -> pg.Tensor | None:
        """Both masks as one to add, shape (1 or batch, 1 or heads, 1 or length, keys); True hides in these."""
        mask: pg.Tensor | None = None
        if padding is not None:
            if padding.shape != (batch, keys):
                raise pg.errors.ShapeError(
                    f"MultiheadAttention: key_padding_mask of shape {padding.shape} does not fit; it must be {(batch, keys)}"
                )
            mask = pg.reshape(_hiding(padding, like), (batch, 1, 1, keys))
        if attn_mask is not None:
            if attn_mask.shape == (length, keys):
                own = pg.reshape(_hiding(attn_mask, like), (1, 1, length, keys))
            elif attn_mask.shape == (batch * self.num_heads, length, keys):
                own = pg.reshape(_hiding(attn_mask, like), (batch, self.num_heads, length, keys))
            else:
                raise pg.errors.ShapeError(
                    f"MultiheadAttention: attn_mask of shape {attn_mask.shape} does not fit; it must be {(length, keys)} or "
                    f"{(batch * self.num_heads, length, keys)}"
                )
            mask = own if mask is None else mask + own
        return mask

    # -- what it computes --------------------------------------------------------------------------------

    def _projected(self, query: pg.Tensor, key: pg.Tensor, value: pg.Tensor) -> list[pg.Tensor]:
        """Query, key and value behind their projections, (batch, length, width)."""
        weight, bias, n = self.in_proj_weight, self.in_proj_bias, self.embed_dim
        if weight is not None and query is key and key is value:
            batch, length, _ = query.shape
            flat = F.linear(pg.reshape(query, (batch * length, n)), weight, bias)
            made = pg.permute_dims(pg.reshape(flat, (batch, length, 3, n)), (2, 0, 1, 3))
            return [made[0, ...], made[1, ...], made[2, ...]]
        if weight is not None:
            weights = [weight[i * n : (i + 1) * n, :] for i in range(3)]
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]  # type: ignore[list-item]
        biases = [None if bias is None else bias[i * n : (i + 1) * n] for i in range(3)]
        return [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]

    def _heads(self, x: pg.Tensor) -> pg.Tensor:
        batch, length, width = x.shape
        apart = pg.reshape(x, (batch, length, self.num_heads, width // self.num_heads))
        return pg.permute_dims(apart, (0, 2, 1, 3))

    def _appended(
        self, k: pg.Tensor, v: pg.Tensor, mask: pg.Tensor | None
    ) -> tuple[pg.Tensor, pg.Tensor, pg.Tensor | None]:
        """Keys and values with the learnt ones and the zeros, which no mask hides."""
        batch = k.shape[0]
        more: list[tuple[pg.Tensor, pg.Tensor]] = []
        if self.bias_k is not None and self.bias_v is not None:
            more.append((self.bias_k, self.bias_v))
        if self.add_zero_attn:
            zero = pg.zeros((1, 1, self.embed_dim), dtype=k.dtype, device=k.device)
            more.append((zero, zero))
        shape = (batch, 1, self.embed_dim)
        for extra_k, extra_v in more:
            k = pg.concat([k, pg.broadcast_to(extra_k, shape)], axis=1)
            v = pg.concat([v, pg.broadcast_to(extra_v, shape)], axis=1)
            if mask is not None:
                mask = pg.concat([mask, pg.zeros_like(mask[..., :1])], axis=-1)
        return k, v, mask

    def forward(
        self,
        query: pg.Tensor,
        key: pg.Tensor,
        value: pg.Tensor,
        key_padding_mask: pg.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: pg.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[pg.Tensor, pg.Tensor | None]:
        """The output, of the query's shape, and the weights.

        Args:
            query, key, value: shapes (L, batch, embed_dim), (S, batch, kdim), (S, batch, vdim), as ``batch_first`` says, or
                without the batch.
            key_padding_mask: shape (batch, S), or (S,): True hides a key; or numbers to add.
            need_weights: whether to return the weights, (batch, L, S); else None.
            attn_mask: shape (L, S) or (batch * heads, L, S): True hides a key from a query; or numbers to add.
            average_attn_weights: over the heads; else the weights are (batch, heads, L, S).
            is_causal: says that ``attn_mask`` is the causal mask; the mask must be there.
        """
        batched = self._checked(query, key, value)
        if is_causal and attn_mask is None:
            raise ValueError("MultiheadAttention: is_causal says what attn_mask is; give the mask, too")
        if not (query is key and key is value):
            query, key, value = (self._inner(x, batched) for x in (query, key, value))
        else:
            query = key = value = self._inner(query, batched)
        if not batched and key_padding_mask is not None:
            key_padding_mask = pg.expand_dims(key_padding_mask, axis=0)
        batch, length, _ = query.shape
        mask = self._masks(attn_mask, key_padding_mask, batch, length, key.shape[1], query)
        q, k, v = self._projected(query, key, value)
        k, v, mask = self._appended(k, v, mask)
        q, k, v = self._heads(q), self._heads(k), self._heads(v)
        weights = pg.neural.attention_weights(q, k, mask, scale=1 / math.sqrt(q.shape[-1]))
        if self.training and self.dropout:
            weights = F.dropout(weights, self.dropout)
        joined = pg.reshape(pg.permute_dims(weights @ v, (0, 2, 1, 3)), (batch * length, self.embed_dim))
        out = pg.reshape(self.out_proj(joined), (batch, length, self.embed_dim))
        if not need_weights:
            return self._outer(out, batched), None
        shown = pg.mean(weights, axis=1) if average_attn_weights else weights
        return self._outer(out, batched), shown if batched else shown[0, ...]

    def _inner(self, x: pg.Tensor, batched: bool) -> pg.Tensor:
        if not batched:
            return pg.expand_dims(x, axis=0)
        return x if self.batch_first else pg.permute_dims(x, (1, 0, 2))

    def _outer(self, x: pg.Tensor, batched: bool) -> pg.Tensor:
        if not batched:
            return x[0, ...]
        return x if self.batch_first else pg.permute_dims(x, (1, 0, 2))

    def extra_repr(self) -> str:
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"


def _hiding(mask: pg.Tensor, like: pg.Tensor) -> pg.Tensor:
    """A mask of what is hidden (True) as one to add."""
    if mask.dtype is not pg.bool:
        return mask
    return pg.where(mask, pg.full((), -pg.inf, dtype=like.dtype, device=like.device), 0.0)
