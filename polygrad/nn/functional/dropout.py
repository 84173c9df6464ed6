"""Dropout."""

from __future__ import annotations

import math

import polygrad as pg

from .activation import put

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]

_SATURATED = -1.7580993408473766
"""What SELU tends to: minus its scale times its alpha."""


def _checked(name: str, x: pg.Tensor) -> pg.Tensor:
    x = pg.asarray(x)
    if not x.dtype.inexact:
        raise pg.errors.DTypeError(f"{name}: needs a floating dtype, got {x.dtype}")
    return x


def _probability(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: p is a probability, 0 to 1, got {p}")


def dropout(
    input: pg.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
    generator: pg.random.Generator | None = None,
) -> pg.Tensor:  # fmt: skip
    """Each element 0 with probability ``p``, else divided by ``1 - p``, so that the mean stays.

    Args:
        input: any shape, of a floating dtype.
        p: the probability.
        training: whether to act at all; if not, ``input`` itself is returned.
        inplace: let ``input`` itself take the values, and return it.
        generator: what draws; the default generator unless told.

    Raises:
        ValueError: if ``p`` is not in 0 to 1.
        DTypeError: if ``input`` is not floating.

    >>> import polygrad as pg
    >>> x = pg.ones(3)
    >>> pg.nn.functional.dropout(x, 0.5, training=False) is x
    True
    """
    _probability("dropout", p)
    if not training or p == 0:
        return input
    input = _checked("dropout", input)
    return put(input, _dropped(input, input.shape, p, generator), inplace)


def _dropped(x: pg.Tensor, shape: tuple[int, ...], p: float, generator: pg.random.Generator | None) -> pg.Tensor:
    mask = pg.random.bernoulli(shape, 1 - p, dtype=x.dtype, device=x.device, generator=generator)
    return x * (mask if p == 1 else mask / (1 - p))


def _channels(name: str, x: pg.Tensor, n: int) -> tuple[int, ...]:
    """The shape of one number for each channel."""
    if x.ndim not in (n + 1, n + 2):
        raise pg.errors.ShapeError(
            f"{name}: input of shape {x.shape} must have {n + 2} dimensions, (N, C, ...), or {n + 1} without a batch"
        )
    return (*x.shape[: x.ndim - n], *(1,) * n)


def _by_channel(
    n: int, x: pg.Tensor, p: float, training: bool, inplace: bool, generator: pg.random.Generator | None
) -> pg.Tensor:
    name = f"dropout{n}d"
    _probability(name, p)
    x = _checked(name, x)
    shape = _channels(name, x, n)
    return x if not training or p == 0 else put(x, _dropped(x, shape, p, generator), inplace)


def dropout1d(
    input: pg.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
    generator: pg.random.Generator | None = None,
) -> pg.Tensor:  # fmt: skip
    """Whole channels of (N, C, L) or (C, L) dropped; see :func:`dropout2d`.

    >>> import polygrad as pg
    >>> pg.nn.functional.dropout1d(pg.ones((2, 3, 4)), training=False).shape
    (2, 3, 4)
    """
    return _by_channel(1, input, p, training, inplace, generator)


def dropout2d(
    input: pg.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
    generator: pg.random.Generator | None = None,
) -> pg.Tensor:  # fmt: skip
    """Whole channels of (N, C, H, W) or (C, H, W), each 0 with probability ``p``, else divided by ``1 - p`` (Tompson et
    al., 2015).

    Raises:
        ValueError: if ``p`` is not in 0 to 1.
        DTypeError: if ``input`` is not floating.
        ShapeError: for another number of dimensions.

    >>> import polygrad as pg
    >>> pg.nn.functional.dropout2d(pg.ones((2, 3, 4, 4)), training=False).shape
    (2, 3, 4, 4)
    """
    return _by_channel(2, input, p, training, inplace, generator)


def dropout3d(
    input: pg.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
    generator: pg.random.Generator | None = None,
) -> pg.Tensor:  # fmt: skip
    """Whole channels of (N, C, D, H, W) or (C, D, H, W) dropped; see :func:`dropout2d`.

    >>> import polygrad as pg
    >>> pg.nn.functional.dropout3d(pg.ones((3, 4, 4, 4)), training=False).shape
    (3, 4, 4, 4)
    """
    return _by_channel(3, input, p, training, inplace, generator)


def _saturated(x: pg.Tensor, shape: tuple[int, ...], p: float, generator: pg.random.Generator | None) -> pg.Tensor:
    mask = pg.random.bernoulli(shape, 1 - p, dtype=x.dtype, device=x.device, generator=generator)
    if p == 1:
        return x * mask
    a = 1 / math.sqrt((1 - p) * (1 + p * _SATURATED**2))
    return x * (a * mask) + (a * _SATURATED) * (1 - mask + -p)


def alpha_dropout(
    input: pg.Tensor, p: float = 0.5, training: bool = False, inplace: bool = False,
    generator: pg.random.Generator | None = None,
) -> pg.Tensor:  # fmt: skip
    """Each element with probability ``p`` what SELU tends to, and all scaled and shifted so that mean 0 and variance 1
    stay (Klambauer et al., 2017).

    Args:
        input: any shape, of a floating dtype.
        p: the probability; with 1 all become 0.
        training: whether to act at all.
        generator: what draws; the default generator unless told.

    Raises:
        ValueError: if ``p`` is not in 0 to 1.
        DTypeError: if ``input`` is not floating.

    >>> import polygrad as pg
    >>> pg.nn.functional.alpha_dropout(pg.ones(2), 0.5)
    tensor([1., 1.], dtype=float64)
    """
    _probability("alpha_dropout", p)
    if not training or p == 0:
        return input
    input = _checked("alpha_dropout", input)
    return put(input, _saturated(input, input.shape, p, generator), inplace)


def feature_alpha_dropout(
    input: pg.Tensor, p: float = 0.5, training: bool = False, inplace: bool = False,
    generator: pg.random.Generator | None = None,
) -> pg.Tensor:  # fmt: skip
    """:func:`alpha_dropout` of whole channels, of shape (N, C, ...).

    >>> import polygrad as pg
    >>> pg.nn.functional.feature_alpha_dropout(pg.ones((1, 2)), 0.5)
    tensor([[1., 1.]], dtype=float64)
    """
    _probability("feature_alpha_dropout", p)
    if not training or p == 0:
        return input
    input = _checked("feature_alpha_dropout", input)
    if input.ndim < 2:
        raise pg.errors.ShapeError(f"feature_alpha_dropout: input must be (N, C, ...), got shape {input.shape}")
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2))
    return put(input, _saturated(input, shape, p, generator), inplace)
