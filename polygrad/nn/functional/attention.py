"""Attention (Vaswani et al., 2017)."""

from __future__ import annotations

import math
from typing import Any

import polygrad as pg

from .dropout import dropout

__all__ = ["causal_mask", "scaled_dot_product_attention"]


def causal_mask(length: int, keys: int, dtype: Any, device: Any) -> pg.Tensor:
    """What hides later keys from each query: 0 where the key is not later, else -inf; shape (length, keys).

    >>> import polygrad as pg
    >>> pg.nn.functional.causal_mask(2, 2, "float64", "cpu")
    tensor([[  0., -inf],
            [  0.,   0.]], dtype=float64)
    """
    hidden = pg.full((length, keys), -pg.inf, dtype=dtype, device=device)
    return pg.triu(hidden, k=1)


def additive(mask: pg.Tensor, dtype: Any) -> pg.Tensor:
    """A mask of what is seen (True) as one to add."""
    if mask.dtype is not pg.bool:
        return mask
    zero = pg.zeros((), dtype=dtype, device=mask.device)
    return pg.where(mask, zero, -pg.inf)


def scaled_dot_product_attention(
    query: pg.Tensor,
    key: pg.Tensor,
    value: pg.Tensor,
    attn_mask: pg.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> pg.Tensor:
    """``softmax(query @ key.mT * scale + mask) @ value``.

    Args:
        query: shape (..., heads, L, E).
        key: shape (..., heads, S, E).
        value: shape (..., heads, S, Ev).
        attn_mask: broadcasts to (..., heads, L, S): True where a query sees a key, or numbers to add to the scores. A
            query that sees nothing gets zeros.
        dropout_p: the probability with which weights are dropped; pass 0 when not training.
        is_causal: whether a query sees no later keys; not together with a mask.
        scale: ``1 / sqrt(E)`` unless told.
        enable_gqa: whether the query may have more heads than key and value, which then serve several each.

    Returns:
        Shape (..., heads, L, Ev).

    Raises:
        ShapeError: if the shapes do not fit.
        ValueError: if both a mask and ``is_causal`` are given.

    >>> import polygrad as pg
    >>> q, v = pg.ones((1, 2, 4)), pg.asarray([[[1.0], [3.0]]])
    >>> pg.nn.functional.scaled_dot_product_attention(q, q, v, is_causal=True)
    tensor([[[1.],
             [2.]]], dtype=float64)
    """
    if min(query.ndim, key.ndim, value.ndim) < 2 or key.shape[-2] != value.shape[-2]:
        raise pg.errors.ShapeError(
            f"scaled_dot_product_attention: query, key and value of shapes {query.shape}, {key.shape}, {value.shape}; they "
            "must be (..., L, E), (..., S, E) and (..., S, Ev)"
        )
    if is_causal:
        if attn_mask is not None:
            raise ValueError("scaled_dot_product_attention: give attn_mask or is_causal, not both")
        attn_mask = causal_mask(query.shape[-2], key.shape[-2], query.dtype, query.device)
    elif attn_mask is not None:
        attn_mask = additive(attn_mask, query.dtype)
    if enable_gqa:
        heads, own = query.shape[-3], key.shape[-3]
        if heads % own or heads % value.shape[-3]:
            raise pg.errors.ShapeError(
                f"scaled_dot_product_attention: {heads} heads of the query are no multiple of {own} and {value.shape[-3]} "
                "heads of key and value"
            )
        key = pg.repeat(key, heads // own, axis=-3)
        value = pg.repeat(value, heads // value.shape[-3], axis=-3)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    weights = pg.neural.attention_weights(query, key, attn_mask, scale=scale)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return weights @ value
