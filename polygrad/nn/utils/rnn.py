"""Sequences of different lengths: padded into one tensor, or packed without the padding, as in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import polygrad as pg

__all__ = [
    "PackedSequence", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence", "unpad_sequence",
]  # fmt: skip


class PackedSequence(NamedTuple):
    """The steps of several sequences, time by time, longest sequence first, without padding.

    Attributes:
        data: shape (sum of lengths, ...).
        batch_sizes: how many sequences have each time: integers on the host.
        sorted_indices: which sequence came where by length, or None where they came sorted.
        unsorted_indices: the way back.
    """

    data: pg.Tensor
    batch_sizes: pg.Tensor
    sorted_indices: pg.Tensor | None = None
    unsorted_indices: pg.Tensor | None = None

    def lengths(self) -> list[int]:
        """The lengths of the sequences as they are packed, longest first."""
        sizes = self.batch_sizes.tolist()
        return [sum(size > i for size in sizes) for i in range(sizes[0] if sizes else 0)]


def _host(values: list[int]) -> pg.Tensor:
    return pg.asarray(values, dtype="int64", device="cpu")


def pad_sequence(
    sequences: Sequence[pg.Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> pg.Tensor:
    """Sequences of shapes (length, ...) as one tensor, (longest, batch, ...) or (batch, longest, ...).

    >>> import polygrad as pg
    >>> pg.nn.utils.rnn.pad_sequence([pg.ones(2), pg.ones(1)], batch_first=True)
    tensor([[1., 1.],
            [1., 0.]], dtype=float64)
    """
    if padding_side not in ("left", "right"):
        raise ValueError(f"pad_sequence: padding_side must be 'left' or 'right', got {padding_side!r}")
    rest = {x.shape[1:] for x in sequences}
    if len(rest) != 1 or not all(x.ndim for x in sequences):
        raise pg.errors.ShapeError(
            "pad_sequence: the sequences must agree in all axes but the first, got shapes "
            + ", ".join(str(x.shape) for x in sequences)
        )
    longest = max(x.shape[0] for x in sequences)
    padded = []
    for x in sequences:
        missing = longest - x.shape[0]
        if missing:
            fill = pg.full((missing, *x.shape[1:]), padding_value, dtype=x.dtype, device=x.device)
            x = pg.concat([x, fill] if padding_side == "right" else [fill, x])
        padded.append(x)
    return pg.stack(padded, axis=0 if batch_first else 1)


def unpad_sequence(padded_sequences: pg.Tensor, lengths: Any, batch_first: bool = False) -> list[pg.Tensor]:
    """What :func:`pad_sequence` was given.

    >>> import polygrad as pg
    >>> [x.shape for x in pg.nn.utils.rnn.unpad_sequence(pg.ones((3, 2)), [3, 1])]
    [(3,), (1,)]
    """
    made = []
    for i, n in enumerate(_lengths("unpad_sequence", lengths, padded_sequences.shape, batch_first)):
        made.append(padded_sequences[i, :n, ...] if batch_first else padded_sequences[:n, i, ...])
    return made


def _lengths(name: str, lengths: Any, shape: tuple[int, ...], batch_first: bool) -> list[int]:
    """The lengths as numbers; they decide shapes, so they are read."""
    made = [int(n) for n in (lengths.tolist() if hasattr(lengths, "tolist") else lengths)]
    if len(shape) < 2:
        raise pg.errors.ShapeError(f"{name}: needs (time, batch, ...) or (batch, time, ...), got shape {shape}")
    time, batch = (shape[1], shape[0]) if batch_first else shape[:2]
    if len(made) != batch or (made and not (min(made) >= 1 and max(made) <= time)):
        raise pg.errors.ShapeError(
            f"{name}: lengths {made} do not fit {batch} sequences of at most {time} steps: one for each, none 0 or above that"
        )
    return made


def _sizes(lengths: Sequence[int]) -> list[int]:
    return [sum(n > t for n in lengths) for t in range(lengths[0] if lengths else 0)]


def pack_padded_sequence(
    input: pg.Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """A padded tensor without its padding.

    Args:
        input: shape (time, batch, ...), or (batch, time, ...) if ``batch_first``.
        lengths: of each sequence, at least 1.
        batch_first: which of the two.
        enforce_sorted: refuse lengths that do not fall; else the sequences are sorted, and the way back is kept.

    Raises:
        ShapeError: if the lengths do not fit.
        ValueError: if they are not sorted but shall be.

    >>> import polygrad as pg
    >>> packed = pg.nn.utils.rnn.pack_padded_sequence(pg.asarray([[1.0, 3.0], [2.0, 0.0]]), [2, 1])
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1.0, 3.0, 2.0], [2, 1])
    """
    own = _lengths("pack_padded_sequence", lengths, input.shape, batch_first)
    order = sorted(range(len(own)), key=lambda i: -own[i])
    if enforce_sorted and own != [own[i] for i in order]:
        raise ValueError(
            f"pack_padded_sequence: lengths {own} do not fall; sort the sequences, or pass enforce_sorted=False"
        )
    ranked = [own[i] for i in order]
    time, batch = (input.shape[1], input.shape[0]) if batch_first else input.shape[:2]
    sizes = _sizes(ranked)
    places = [
        order[k] * time + t if batch_first else t * batch + order[k] for t, n in enumerate(sizes) for k in range(n)
    ]
    flat = pg.reshape(input, (time * batch, *input.shape[2:]))
    data = pg.take(flat, pg.asarray(places, dtype="int64", device=input.device), axis=0)
    if enforce_sorted:
        return PackedSequence(data, _host(sizes))
    back = sorted(range(len(order)), key=order.__getitem__)
    return PackedSequence(
        data, _host(sizes), pg.asarray(order, device=input.device), pg.asarray(back, device=input.device)
    )


def pack_sequence(sequences: Sequence[pg.Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences of shapes (length, ...) packed; see :func:`pack_padded_sequence`.

    >>> import polygrad as pg
    >>> pg.nn.utils.rnn.pack_sequence([pg.asarray([1.0, 2.0]), pg.asarray([3.0])]).data
    tensor([1., 3., 2.], dtype=float64)
    """
    return pack_padded_sequence(pad_sequence(sequences), [x.shape[0] for x in sequences], enforce_sorted=enforce_sorted)


def padded_rows(sizes: Sequence[int], total: int) -> tuple[list[int], list[int]]:
    """For each time and sequence of a padded tensor the row of the packed one (that of the padding is 0), and whether
    there is one."""
    batch = sizes[0] if sizes else 0
    rows, there, start = [], [], 0
    for t in range(total):
        n = sizes[t] if t < len(sizes) else 0
        rows += [start + k if k < n else 0 for k in range(batch)]
        there += [int(k < n) for k in range(batch)]
        start += n
    return rows, there


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[pg.Tensor, pg.Tensor]:
    """A packed sequence padded again, in the order it was packed from, and the lengths.

    Args:
        sequence: what :func:`pack_padded_sequence` or a recurrent layer made.
        batch_first: whether the result is (batch, time, ...) instead of (time, batch, ...).
        padding_value: what stands behind the ends.
        total_length: the length to pad to; the longest sequence's unless told.

    >>> import polygrad as pg
    >>> packed = pg.nn.utils.rnn.pack_sequence([pg.asarray([1.0, 2.0]), pg.asarray([3.0])])
    >>> padded, lengths = pg.nn.utils.rnn.pad_packed_sequence(packed)
    >>> padded.tolist(), lengths.tolist()
    ([[1.0, 3.0], [2.0, 0.0]], [2, 1])
    """
    data, sizes = sequence.data, sequence.batch_sizes.tolist()
    total = len(sizes) if total_length is None else total_length
    if total < len(sizes):
        raise ValueError(f"pad_packed_sequence: total_length {total} is below the longest sequence's {len(sizes)}")
    batch, rest = sizes[0] if sizes else 0, data.shape[1:]
    rows, there = padded_rows(sizes, total)
    made = pg.take(data, pg.asarray(rows, dtype="int64", device=data.device), axis=0)
    mask = pg.reshape(pg.asarray(there, device=data.device), (-1, *(1,) * len(rest)))
    made = pg.reshape(pg.where(mask == 1, made, padding_value), (total, batch, *rest))
    lengths = sequence.lengths()
    if sequence.unsorted_indices is not None:
        back = sequence.unsorted_indices
        made = pg.take(made, back, axis=1)
        lengths = [lengths[i] for i in back.tolist()]
    return (pg.moveaxis(made, 1, 0) if batch_first else made), _host(lengths)
