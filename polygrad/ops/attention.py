"""Attention's weights, ``softmax(scale * q k^T + mask)``, as one op: one array is kept for its derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.apply import apply_multiple
from ..core.declare import op
from ..core.kernels import ON_TENSORS, kernel
from ..core.operands import together
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike, Namespace, Raw
from .recurrent import Memo, Parts

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["attention_weights"]


@kernel
def attention_weights_(xp: Namespace, q: Raw, k: Raw, mask: Raw | None, scale: float) -> Raw:
    """The weights (..., L, S); rows that the mask leaves nothing of are 0."""
    scores = xp.matmul(q * scale, xp.matrix_transpose(k))
    if mask is not None:
        scores = scores + mask
    return xp.softmax_over(scores, (scores.ndim - 1,))


# Of the softmax's rows: s (g - sum(s g)), for tangents as for cotangents.
@kernel
def softmax_rows_linear(xp: Namespace, g: Raw, weights: Raw) -> Raw:
    """The softmax's derivative along the last axis, applied to ``g``."""
    weighted = g * weights
    return weighted - weights * xp.sum(weighted, axis=-1, keepdims=True)


# One output, but declared as one of several: the walk then hands over its cotangent in a list of its own, by which the
# memo knows it (an array's values could have changed between two walks).
def _scores(xp: Namespace, g: Parts, out: Parts, memo: Memo) -> Raw:
    """The scores' cotangent, which all arguments' come from."""
    made: Raw = memo.get(g, lambda: xp.softmax_rows_linear(g[0], out[0]))
    return made


def _query(xp: Namespace, g: Parts, out: Parts, k: Raw, scale: float, memo: Memo) -> Raw:
    return xp.matmul(_scores(xp, g, out, memo), k) * scale


def _key(xp: Namespace, g: Parts, out: Parts, q: Raw, scale: float, memo: Memo) -> Raw:
    return xp.matmul(xp.matrix_transpose(_scores(xp, g, out, memo)), q * scale)


def _query_jvp(xp: Namespace, t: Raw, out: Parts, k: Raw, scale: float) -> Parts:
    return [xp.softmax_rows_linear(xp.matmul(t * scale, xp.matrix_transpose(k)), out[0])]


def _key_jvp(xp: Namespace, t: Raw, out: Parts, q: Raw, scale: float) -> Parts:
    return [xp.softmax_rows_linear(xp.matmul(q * scale, xp.matrix_transpose(t)), out[0])]


def _mask_jvp(xp: Namespace, t: Raw, out: Parts) -> Parts:
    return [xp.softmax_rows_linear(t, out[0])]


@op(vjps=[_query, _key], jvps=[_query_jvp, _key_jvp], broadcasts=True, multiple=True)
def _attention(xp: Namespace, q: Raw, k: Raw, /, scale: float, memo: Memo) -> tuple[Raw, ...]:
    return (xp.attention_weights(q, k, None, scale),)


@op(
    vjps=[_query, _key, lambda xp, g, out, memo: _scores(xp, g, out, memo)],
    jvps=[_query_jvp, _key_jvp, _mask_jvp],
    broadcasts=True,
    multiple=True,
)
def _masked_attention(xp: Namespace, q: Raw, k: Raw, mask: Raw, /, scale: float, memo: Memo) -> tuple[Raw, ...]:
    return (xp.attention_weights(q, k, mask, scale),)


def _on_tensors(q: Any, k: Any, mask: Any, scale: float) -> Any:
    arrays = (q, k) if mask is None else (q, k, mask)
    return apply_multiple(_attention if mask is None else _masked_attention, arrays, (scale, Memo()))[0]


ON_TENSORS["attention_weights"] = _on_tensors


def attention_weights(q: ArrayLike, k: ArrayLike, mask: ArrayLike | None = None, *, scale: float = 1.0) -> Tensor:
    """``softmax(scale * q @ k.mT + mask)``, along the last axis.

    Args:
        q: shape (..., L, width).
        k: shape (..., S, width).
        mask: added to the scores, broadcasting to (..., L, S); -inf hides. A row that is all hidden has weights 0.
        scale: of the scores.

    Returns:
        Shape (..., L, S).

    >>> import polygrad as pg
    >>> pg.neural.attention_weights(pg.ones((1, 4)), pg.ones((2, 4)))
    tensor([[0.5, 0.5]], dtype=float64)
    """
    arrays = together("attention_weights", (q, k) if mask is None else (q, k, mask))
    shapes = [tuple(x._value.shape) for x in arrays]
    if min(len(shapes[0]), len(shapes[1])) < 2 or shapes[0][-1] != shapes[1][-1]:
        raise ShapeError(
            f"attention: query of shape {shapes[0]} and key of shape {shapes[1]}; they must be (..., L, width) and "
            "(..., S, width)"
        )
    dtypes = {x._value.dtype for x in arrays}
    if len(dtypes) > 1 or not dtypes <= set(arrays[0]._device.inexact_dtypes):
        raise DTypeError(
            f"attention: needs one floating dtype, got {', '.join(str(x.dtype) for x in arrays)}; cast with pg.astype"
        )
    return _on_tensors(arrays[0], arrays[1], None if mask is None else arrays[2], scale)  # type: ignore[no-any-return]
