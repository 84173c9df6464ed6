"""Kernels of networks for NumPy: buffers that are used again, and as few passes as there can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .numpy_recurrent import recurrent_kernels

__all__ = ["network_kernels"]

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

    def softmax_rows_linear(g: Any, weights: Any) -> Any:
        made = g * weights
        total = np.add.reduce(made, -1, None, None, True)
        return np.subtract(made, weights * total, made)

    return {"attention_weights": attention_weights, "softmax_rows_linear": softmax_rows_linear}


def _fits(mask: Any, scores: Any) -> bool:
    """Whether the mask broadcasts to the scores alone."""
    return all(m in (1, n) for m, n in zip(mask.shape[::-1], scores.shape[::-1]))


# -- GELU --------------------------------------------------------------------------------------------
# In float32 from erfc's Chebyshev fit (Numerical Recipes, erfcc: relative error below 1.2e-7 everywhere), in blocks that
# stay in the cache: three times as fast as SciPy's erfc, which float64 keeps.

_FIT = (0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
        -1.26551223)  # fmt: skip
_BLOCK = 16384


def _gelu(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    add, multiply, exp = np.add, np.multiply, np.exp
    fit = [np.float32(c) for c in _FIT]
    one, half, root, scale, edge = (np.float32(v) for v in (1.0, 0.5, 0.7071067811865476, 0.3989422804014327, 30.0))

    def block(x: Any, y: Any, slope: Any, buffers: Any) -> None:
        z, t, p, e = (b[: x.size] for b in buffers)
        np.abs(x, z)
        multiply(z, root, z)
        np.minimum(z, edge, out=z)  # beyond, both are 0, and the square could overflow
        multiply(z, half, t)
        add(t, one, t)
        np.divide(one, t, t)
        multiply(t, fit[0], p)
        for c in fit[1:-1]:
            add(p, c, p)
            multiply(p, t, p)
        add(p, fit[-1], p)
        exp(p, p)
        multiply(z, z, e)
        np.negative(e, e)
        exp(e, e)  # exp(-x^2 / 2)
        multiply(p, e, p)
        multiply(p, t, p)
        multiply(p, half, p)  # Phi(-|x|)
        np.subtract(one, p, out=p, where=x > 0)
        multiply(e, scale, e)
        multiply(e, x, e)
        add(e, p, slope)
        multiply(x, p, y)

    def gelu_parts(x: Any) -> Any:
        if x.dtype.char != "f":
            return generic("gelu_parts")(x)
        y, slope = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
        flat, own, slopes = x.reshape(-1), y.reshape(-1), slope.reshape(-1)
        buffers = np.empty((4, min(_BLOCK, flat.size)), x.dtype)
        for i in range(0, flat.size, _BLOCK):
            there = slice(i, i + _BLOCK)
            block(flat[there], own[there], slopes[there], buffers)
        return y, slope

    return {"gelu_parts": gelu_parts}
