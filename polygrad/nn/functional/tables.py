"""Rows of a table, looked up by their numbers."""

from __future__ import annotations

from typing import Any

import polygrad as pg

__all__ = ["embedding", "embedding_bag", "one_hot"]


def _prepare(name: str, input: Any, weight: Any, padding_idx: int | None) -> tuple[pg.Tensor, pg.Tensor, int | None]:
    weight = pg.asarray(weight)
    if weight.ndim != 2:
        raise pg.errors.ShapeError(f"{name}: the weight must be a table of rows, got shape {weight.shape}")
    input = input if isinstance(input, pg.Tensor) else pg.asarray(input, device=weight.device)
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ValueError(f"{name}: padding_idx {padding_idx} is none of the table's {rows} rows")
    pg.neural.check_indices(name, input, rows)
    return input, weight, padding_idx + rows * (padding_idx < 0) if padding_idx is not None else None


def _renormalize(weight: pg.Tensor, flat: pg.Tensor, max_norm: float, norm_type: float) -> None:
    """Make the rows that are looked up no longer than ``max_norm``, in place."""
    with pg.no_grad():
        rows = pg.take(weight.detach(), flat, axis=0)
        lengths = pg.linalg.vector_norm(rows, axis=1, ord=norm_type, keepdims=True)
        weight[flat] = pg.where(lengths > max_norm, rows * (max_norm / (lengths + 1e-7)), rows)


def _looked_up(flat: pg.Tensor, weight: pg.Tensor, padding: int | None, by_frequency: bool) -> pg.Tensor:
    """The rows, with their gradients held back or divided where that was asked for."""
    rows = pg.take(weight, flat, axis=0)
    if by_frequency:
        counts = pg.segment_sum(pg.ones_like(flat), flat, weight.shape[0])
        often = pg.astype(pg.take(counts, flat, axis=0), weight.dtype)[:, None]
        part = rows / often
        rows = pg.stop_gradient(rows) + (part - pg.stop_gradient(part))
    if padding is not None:
        rows = pg.where((flat == padding)[:, None], pg.stop_gradient(rows), rows)
    return rows


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> pg.Tensor:
    """The rows of a table that ``input`` names.

    Args:
        input: integers of any shape.
        weight: shape (rows, width).
        padding_idx: a row that gets no gradient.
        max_norm: rows that are looked up and longer are first shortened to this length, in the table itself.
        norm_type: the p of that length.
        scale_grad_by_freq: divide each row's gradient by how often it is looked up here.
        sparse: must be False: gradients are dense.

    Returns:
        Shape (*input.shape, width).

    Raises:
        IndexError: for a number that is no row (looked at on the host only).
        DTypeError: if ``input`` is not of integers.
        ShapeError: if the weight is not a table.
        ValueError: for another ``padding_idx``, or ``sparse``.

    >>> import polygrad as pg
    >>> table = pg.asarray([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
    >>> pg.nn.functional.embedding(pg.asarray([2, 0]), table)
    tensor([[3., 4.],
            [0., 0.]], dtype=float64)
    """
    if sparse:
        raise ValueError("embedding: gradients are dense; leave sparse=False")
    input, weight, padding = _prepare("embedding", input, weight, padding_idx)
    flat = pg.reshape(input, (-1,)) if input.ndim != 1 else input
    if max_norm is not None:
        _renormalize(weight, flat, max_norm, norm_type)
    rows = _looked_up(flat, weight, padding, scale_grad_by_freq)
    return rows if input.ndim == 1 else pg.reshape(rows, (*input.shape, weight.shape[1]))


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> pg.Tensor:
    """Sums, means or maxima of bags of a table's rows.

    Args:
        input: integers, (bags, n); or (n,) with ``offsets``.
        weight: shape (rows, width).
        offsets: where each bag begins in ``input``, (bags,).
        max_norm, norm_type, scale_grad_by_freq, sparse: as :func:`embedding`'s.
        mode: ``"sum"``, ``"mean"`` or ``"max"``. An empty bag gives zeros.
        per_sample_weights: for ``"sum"``, what each row is multiplied with, of the input's shape.
        include_last_offset: whether the last of ``offsets`` is the end of the last bag.
        padding_idx: a row that does not count.

    Returns:
        Shape (bags, width).

    Raises:
        IndexError, DTypeError, ShapeError, ValueError: as :func:`embedding`, and for what does not fit.

    >>> import polygrad as pg
    >>> table = pg.asarray([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
    >>> pg.nn.functional.embedding_bag(pg.asarray([1, 2, 0]), table, pg.asarray([0, 2]), mode="sum")
    tensor([[4., 6.],
            [0., 0.]], dtype=float64)
    """
    name = "embedding_bag"
    if sparse:
        raise ValueError(f"{name}: gradients are dense; leave sparse=False")
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{name}: mode must be 'sum', 'mean' or 'max', got {mode!r}")
    input, weight, padding = _prepare(name, input, weight, padding_idx)
    if per_sample_weights is not None:
        per_sample_weights = pg.asarray(per_sample_weights)
        if mode != "sum" or per_sample_weights.shape != input.shape:
            raise ValueError(f"{name}: per_sample_weights are for mode='sum', and of the input's shape {input.shape}")
    flat, bags, n = _bags(name, input, offsets, include_last_offset)
    if max_norm is not None:
        _renormalize(weight, flat, max_norm, norm_type)
    rows = _looked_up(flat, weight, padding, scale_grad_by_freq)
    counted = pg.ones_like(flat) if padding is None else pg.astype(flat != padding, flat.dtype)
    if mode == "max":
        return _largest(rows, counted, bags, n)
    if per_sample_weights is not None:
        rows = rows * pg.reshape(per_sample_weights, (-1, 1))
    if padding is not None:
        rows = pg.where(counted[:, None] != 0, rows, 0.0)
    total = pg.segment_sum(rows, bags, n)
    if mode == "sum":
        return total
    counts = pg.maximum(pg.segment_sum(counted, bags, n), 1)
    return total / pg.astype(counts, rows.dtype)[:, None]


def _bags(name: str, input: pg.Tensor, offsets: Any, with_end: bool) -> tuple[pg.Tensor, pg.Tensor, int]:
    """The numbers in a row, the bag of each, and how many bags there are."""
    if input.ndim == 2 and offsets is None:
        n, width = input.shape
        places = pg.arange(n * width, device=input.device)
        return pg.reshape(input, (-1,)), places // max(width, 1), n
    if input.ndim != 1 or offsets is None:
        raise pg.errors.ShapeError(
            f"{name}: input must be (bags, n), or (n,) with offsets; got shape {input.shape} "
            + ("without offsets" if offsets is None else "with offsets")
        )
    offsets = pg.asarray(offsets, device=input.device)
    if offsets.ndim != 1:
        raise pg.errors.ShapeError(f"{name}: offsets must be (bags,), got shape {offsets.shape}")
    starts = offsets[:-1] if with_end else offsets
    places = pg.astype(pg.arange(input.shape[0], device=input.device), starts.dtype)
    return input, pg.searchsorted(starts, places, side="right") - 1, starts.shape[0]


def _largest(rows: pg.Tensor, counted: pg.Tensor, bags: pg.Tensor, n: int) -> pg.Tensor:
    """The largest of each bag, element by element; the first of equal ones gets the gradient."""
    own = (bags[None, :] == pg.arange(n, device=rows.device)[:, None]) & (counted != 0)[None, :]
    seen = pg.where(own[:, :, None], rows[None, ...], -float("inf"))
    if rows.shape[0] == 0:
        return pg.zeros((n, rows.shape[1]), dtype=rows.dtype, device=rows.device)
    first = pg.argmax(seen, axis=1, keepdims=True)
    made = pg.squeeze(pg.take_along_axis(seen, first, axis=1), axis=1)
    return pg.where(pg.any(own, axis=1)[:, None], made, 0.0)


def one_hot(tensor: Any, num_classes: int = -1) -> pg.Tensor:
    """Classes as rows of zeros with a one, int64, the classes along a last axis.

    Args:
        tensor: integer classes, of any shape.
        num_classes: how many there are; -1 for one more than the largest, which is read for that.

    Raises:
        ValueError: without ``num_classes``, of no elements.
        IndexError: for a class that is none of 0 to ``num_classes - 1``.

    >>> import polygrad as pg
    >>> pg.nn.functional.one_hot(pg.asarray([1, 0]), 3)
    tensor([[0, 1, 0],
            [1, 0, 0]], dtype=int64)
    """
    tensor = pg.asarray(tensor)
    if num_classes == -1:
        if not tensor.size:
            raise ValueError(
                f"one_hot: without num_classes it is one more than the largest class, and there is none in an array of "
                f"shape {tensor.shape}; give num_classes"
            )
        num_classes = int(pg.max(tensor).item()) + 1
    pg.neural.check_indices("one_hot", tensor, num_classes)
    return pg.one_hot(tensor, num_classes, dtype="int64")
