"""Tables of rows as layers."""

from __future__ import annotations

from typing import Any

import polygrad as pg

from .. import functional as F
from .. import init
from ..module import Module
from ..parameter import Parameter

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    weight: Parameter

    def _prepare(self, rows: int, width: int, padding_idx: int | None, weight: Any, device: Any, dtype: Any) -> None:
        name = type(self).__name__
        if padding_idx is not None and not -rows <= padding_idx < rows:
            raise ValueError(f"{name}: padding_idx {padding_idx} is none of the table's {rows} rows")
        self.num_embeddings, self.embedding_dim = rows, width
        self.padding_idx = None if padding_idx is None else padding_idx + rows * (padding_idx < 0)
        if weight is None:
            self.weight = Parameter(pg.zeros((rows, width), dtype=dtype, device=device))
            self.reset_parameters()
            return
        weight = pg.asarray(weight, dtype=dtype, device=device)
        if weight.shape != (rows, width):
            raise pg.errors.ShapeError(f"{name}: the given weight has shape {weight.shape}, not {(rows, width)}")
        self.weight = Parameter(weight)

    def reset_parameters(self, generator: pg.random.Generator | None = None) -> None:
        """Draw the table anew, from the normal distribution; the row of padding is 0."""
        init.normal_(self.weight, generator=generator)
        if self.padding_idx is not None:
            with pg.no_grad():
                self.weight[self.padding_idx] = 0.0

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        text += "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        text += "" if self.max_norm is None else f", max_norm={self.max_norm}"
        return text + (", scale_grad_by_freq=True" if self.scale_grad_by_freq else "")


class Embedding(_Table):
    """A table whose rows are looked up; see :func:`polygrad.nn.functional.embedding`.

    Args:
        num_embeddings, embedding_dim: how many rows, and their length.
        padding_idx: a row that is 0 at first and gets no gradient.
        max_norm, norm_type: rows that are looked up and longer are first shortened to this length, in place.
        scale_grad_by_freq: divide each row's gradient by how often it is looked up.
        sparse: must be False.
        _weight: the table to begin with.
        _freeze: whether it is not to be learned.
        device, dtype: of the table.

    Attributes:
        weight: shape (num_embeddings, embedding_dim), from the normal distribution at first.

    >>> import polygrad as pg
    >>> pg.nn.Embedding(10, 3, padding_idx=0)(pg.asarray([[1, 2], [0, 9]])).shape
    (2, 2, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False, _weight: Any = None,
        _freeze: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if sparse:
            raise ValueError("Embedding: gradients are dense; leave sparse=False")
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self._prepare(num_embeddings, embedding_dim, padding_idx, _weight, device, dtype)
        self.weight.requires_grad_(not _freeze)

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
    ) -> Embedding:  # fmt: skip
        """A layer on a table that is there; not learned unless ``freeze=False``."""
        embeddings = pg.asarray(embeddings)
        if embeddings.ndim != 2:
            raise pg.errors.ShapeError(f"Embedding: a table of rows is wanted, got shape {embeddings.shape}")
        rows, width = embeddings.shape
        return cls(
            rows,
            width,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight=embeddings,
            _freeze=freeze,
        )

    def forward(self, input: Any) -> pg.Tensor:
        """``input`` of integers; the result has shape (*x.shape, embedding_dim)."""
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq)


class EmbeddingBag(_Table):
    """Sums, means or maxima of bags of a table's rows; see :func:`polygrad.nn.functional.embedding_bag`.

    >>> import polygrad as pg
    >>> pg.nn.EmbeddingBag(10, 3, mode="sum")(pg.asarray([[1, 2], [0, 9]])).shape
    (2, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, _weight: Any = None,
        include_last_offset: bool = False, padding_idx: int | None = None, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if sparse:
            raise ValueError("EmbeddingBag: gradients are dense; leave sparse=False")
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"EmbeddingBag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.mode, self.include_last_offset = mode, include_last_offset
        self._prepare(num_embeddings, embedding_dim, padding_idx, _weight, device, dtype)

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> pg.Tensor:
        """``input`` of integers, (bags, n), or (n,) with ``offsets``; the result has shape (bags, embedding_dim)."""
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, False,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, mode={self.mode!r}"
