"""Kernels of networks for NumPy: buffers that are used again, and as few passes as there can be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .numpy_recurrent import recurrent_kernels
from .numpy_threads import team, threads
from .spending import spending

__all__ = ["GELU_FIT", "network_kernels"]

Generic = Callable[[str], Callable[..., Any]]
"""The generic version of a kernel, on NumPy's namespace."""


def network_kernels(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    """The kernels by name."""
    return _cross_entropy(np, generic) | _attention(np) | _gelu(np, generic) | recurrent_kernels(np, generic)


# -- cross-entropy -----------------------------------------------------------------------------------
# Rows of logits and a class each, all of them classes; anything else is left to the generic version.


def _cross_entropy(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    def usual(x: Any, target: Any, axis: int) -> bool:
        if x.ndim != 2 or axis != 1 or 0 in x.shape or x.dtype.char not in "fd":
            return False
        low, high = target.min(), target.max()
        return bool(low >= 0 and high < x.shape[1])

    def class_loss(x: Any, target: Any, axis: int, ignore: int, reduction: str) -> Any:
        if not usual(x, target, axis) or 0 <= ignore < x.shape[1]:
            return generic("class_loss")(x, target, axis, ignore, reduction)
        top = np.maximum.reduce(x, 1)
        shifted = np.subtract(x, top[:, None])
        picked = shifted[np.arange(len(x)), target]
        losses = np.log(np.add.reduce(np.exp(shifted, shifted), 1))
        losses -= picked
        total = np.add.reduce(losses)
        if total != total:  # rows of infinities alone
            return generic("class_loss")(x, target, axis, ignore, reduction)
        if reduction == "none":
            return losses
        return np.asarray(total if reduction == "sum" else total / x.dtype.type(len(x)))

    def class_loss_vjp(g: Any, x: Any, target: Any, axis: int, ignore: int, reduction: str) -> Any:
        if not usual(x, target, axis) or 0 <= ignore < x.shape[1]:
            return generic("class_loss_vjp")(g, x, target, axis, ignore, reduction)
        rows = np.arange(len(x))
        made = np.subtract(x, np.maximum.reduce(x, 1)[:, None])
        np.exp(made, made)
        own = made[rows, target]
        made[rows, target] = 0
        others = np.add.reduce(made, 1)
        made[rows, target] = -others
        total = others + own
        if not np.isfinite(np.add.reduce(total)):
            return generic("class_loss_vjp")(g, x, target, axis, ignore, reduction)
        scale = (g / x.dtype.type(len(x)) if reduction == "mean" else g) / total
        made *= scale[:, None]
        return made

    return {"class_loss": class_loss, "class_loss_vjp": class_loss_vjp}


# -- attention ---------------------------------------------------------------------------------------


def _attention(np: Any) -> dict[str, Callable[..., Any]]:
    def attention_weights(q: Any, k: Any, mask: Any, scale: float) -> Any:
        made = np.matmul(q * scale, k.mT)
        if mask is not None:
            made = np.add(made, mask, made) if mask.ndim <= made.ndim and _fits(mask, made) else made + mask
        if made.size == 0:
            return made
        top = np.maximum.reduce(made, -1, None, None, True)
        if mask is not None:
            np.maximum(top, np.finfo(made.dtype).min, out=top)  # rows of -inf alone: exp gives 0
        np.subtract(made, top, made)
        np.exp(made, made)
        total = np.add.reduce(made, -1, None, None, True)
        if mask is not None:
            total[total == 0] = 1
        return np.multiply(made, 1 / total, made)

    @spending(0)
    def softmax_rows_linear(g: Any, weights: Any, spend: bool = False) -> Any:
        made = np.multiply(
            g, weights, g if spend and (g.shape, g.strides) == (weights.shape, weights.strides) else None
        )
        total = np.add.reduce(made, -1, None, None, True)
        return np.subtract(made, weights * total, made)

    return {"attention_weights": attention_weights, "softmax_rows_linear": softmax_rows_linear}


def _fits(mask: Any, scores: Any) -> bool:
    """Whether the mask broadcasts to the scores alone."""
    return all(m in (1, n) for m, n in zip(mask.shape[::-1], scores.shape[::-1]))


# -- GELU --------------------------------------------------------------------------------------------
# In float32 Phi(-|x|) = exp(-x^2 / 2) t Q(t) with t = 1 / (1 + |x| / sqrt(8)), where Q is a minimax fit of
# erfcx(|x| / sqrt(2)) / (2 t) of degree 8 (relative error below 1e-7 up to |x| = 30), in blocks that stay in the cache: a
# fifth of the time of SciPy's erfc, which float64 keeps.

GELU_FIT = (-0.028191570909573996, 0.136589685866416, -0.23354754926686338, 0.129480882643202, -0.008021079824821326,
        0.09961811675871217, 0.12186875865767005, 0.1411586403152485, 0.1410441579733102)  # fmt: skip
_BLOCK = 1 << 15
_SHARED = 1 << 17
"""From this size on two threads are quicker than one, each with blocks twice as large: fewer turns of the GIL."""


def _gelu(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    add, multiply, subtract, exp = np.add, np.multiply, np.subtract, np.exp
    zero, one, minus_half, edge, density = (
        np.asarray(v, np.float32) for v in (0, 1, -0.5, 8**-0.5, 0.3989422804014327)
    )
    first, *others = (np.asarray(c, np.float32) for c in GELU_FIT)

    def block(x: Any, y: Any, slope: Any, t: Any, p: Any, e: Any, mask: Any) -> None:
        np.abs(x, t)
        multiply(t, edge, t)
        add(t, one, t)
        np.divide(one, t, t)
        multiply(t, first, p)
        for c in others:
            add(p, c, p)
            multiply(p, t, p)
        multiply(x, x, e)
        multiply(e, minus_half, e)
        exp(e, e)
        multiply(p, e, p)  # Phi(-|x|)
        np.greater(x, zero, mask)
        np.copyto(t, mask)
        subtract(t, p, t)
        np.abs(t, t)  # Phi(x) is 1 - p where x > 0, else p
        multiply(e, density, e)
        multiply(e, x, e)
        add(e, t, slope)
        multiply(x, t, y)

    @spending(0)
    def gelu_parts(x: Any, spend: bool = False) -> Any:
        if x.dtype.char != "f":
            return generic("gelu_parts")(x)
        y = x if spend and x.flags.c_contiguous else np.empty(x.shape, x.dtype)
        slope = np.empty(x.shape, x.dtype)
        flat, own, slopes = x.reshape(-1), y.reshape(-1), slope.reshape(-1)
        n = threads() if flat.size >= _SHARED else 1
        size = min(_BLOCK, flat.size)

        def work(start: int, stop: int) -> None:
            buffers = [*np.empty((3, size), x.dtype), np.empty(size, np.bool)]
            with np.errstate(all="ignore"):
                for i in range(start, stop, size):
                    there = slice(i, min(i + size, stop))
                    block(flat[there], own[there], slopes[there], *[b[: there.stop - i] for b in buffers])

        share = -(-flat.size // n)
        team(np)([partial(work, i, min(i + share, flat.size)) for i in range(0, flat.size, share)])
        return y, slope

    return {"gelu_parts": gelu_parts}
