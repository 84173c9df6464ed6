"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Any

import polygrad as pg

from .loss import beside

__all__ = ["ctc_loss"]


# Graves et al. (2006), eq. 6 and 7, in logarithms: with blanks between, before and behind the labels, a place is
# reached from itself, from the place before, and from the one before that unless it is a blank or the same label.
def ctc_loss(
    log_probs: pg.Tensor,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> pg.Tensor:
    """How surprised the predictions for each time are by a sequence of labels, whatever its alignment.

    Args:
        log_probs: logarithms of probabilities, shape (time, batch, classes) or (time, classes).
        targets: labels, none of them ``blank``: shape (batch, longest), or all in a row, shape (sum of lengths,).
        input_lengths, target_lengths: shape (batch,), or numbers without a batch. They decide shapes, so they are read.
        blank: the class that stands for no label.
        reduction: ``"mean"`` (each loss divided by its target's length, then the mean over the batch), ``"sum"`` or
            ``"none"``. Without frames the loss is 0 for an empty target and infinite for others.
        zero_infinity: whether losses of targets that do not fit into their input count 0, with gradient 0.

    The gradient is the derivative by ``log_probs`` itself. (PyTorch's is that through a log-softmax in front; behind
    one, both give the same.)

    >>> import polygrad as pg
    >>> uniform = pg.log(pg.ones((2, 1, 2)) / 2)
    >>> pg.nn.functional.ctc_loss(uniform, pg.asarray([[1]]), [2], [1])  # 3 of 4 paths
    tensor(0.28768207, dtype=float64)
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"ctc_loss: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    if not isinstance(log_probs, pg.Tensor):
        log_probs = pg.asarray(log_probs)
    single = log_probs.ndim == 2
    if single:
        log_probs = pg.expand_dims(log_probs, axis=1)
    if log_probs.ndim != 3:
        raise pg.errors.ShapeError(
            f"ctc_loss: log_probs of shape {log_probs.shape}; it must be (time, batch, classes) or (time, classes)"
        )
    ins, outs = _numbers(input_lengths), _numbers(target_lengths)
    times, batch, classes = log_probs.shape
    if not len(ins) == len(outs) == batch or max(ins, default=0) > times:
        raise pg.errors.ShapeError(
            f"ctc_loss: input lengths {ins} and target lengths {outs} for log_probs of shape {log_probs.shape}; there must "
            "be one of each for each sequence of the batch, input lengths not above the time"
        )
    if not 0 <= blank < classes:
        raise ValueError(f"ctc_loss: blank must be one of the classes 0 to {classes - 1}, got {blank}")
    targets = beside(targets, log_probs)
    if not targets.size:  # an empty list has no integers in it
        targets = pg.astype(targets, "int64")
    labels = _padded(targets, outs, blank)
    pg.neural.check_classes("ctc_loss", labels, classes, -1)
    losses = _losses(log_probs, labels, ins, outs, blank)
    if zero_infinity:
        losses = pg.where(pg.isinf(losses), 0.0, losses)
    if reduction == "mean":
        lengths = pg.asarray([float(max(n, 1)) for n in outs], dtype=losses.dtype, device=losses.device)
        return pg.mean(losses / lengths)
    if reduction == "sum":
        return pg.sum(losses)
    return losses[0] if single else losses


def _numbers(lengths: Any) -> list[int]:
    made = lengths.tolist() if hasattr(lengths, "tolist") else lengths
    return [int(n) for n in made] if isinstance(made, (list, tuple)) else [int(made)]


def _padded(targets: pg.Tensor, lengths: list[int], blank: int) -> pg.Tensor:
    """The labels as (batch, longest)."""
    batch, longest = len(lengths), max(lengths, default=0)
    if targets.ndim == 2 and targets.shape[0] == batch and targets.shape[1] >= longest:
        return targets[:, :longest]
    if targets.ndim != 1 or targets.shape[0] != sum(lengths):
        raise pg.errors.ShapeError(
            f"ctc_loss: targets of shape {targets.shape} for target lengths {lengths}; they must be (batch, longest) or "
            f"({sum(lengths)},)"
        )
    rows, start = [], 0
    for n in lengths:
        row = targets[start : start + n]
        fill = pg.full((longest - n,), blank, dtype=targets.dtype, device=targets.device)
        rows.append(pg.concat([row, fill]))
        start += n
    return pg.stack(rows)


def _losses(log_probs: pg.Tensor, labels: pg.Tensor, ins: list[int], outs: list[int], blank: int) -> pg.Tensor:
    device, dtype = log_probs.device, log_probs.dtype
    times, batch, _ = log_probs.shape
    at_once = pg.asarray([pg.inf if n else 0.0 for n in outs], dtype=dtype, device=device)
    if not times:
        return at_once + pg.sum(log_probs)
    n = labels.shape[1]
    blanks = pg.full((batch, n), blank, dtype=labels.dtype, device=device)
    both = pg.reshape(pg.stack([blanks, labels], axis=2), (batch, 2 * n))
    path = pg.concat([both, pg.full((batch, 1), blank, dtype=labels.dtype, device=device)], axis=1)
    scores = pg.take_along_axis(log_probs, pg.broadcast_to(path, (times, batch, 2 * n + 1)), axis=2)
    nothing = pg.full((batch, 2), -pg.inf, dtype=dtype, device=device)
    skips = pg.concat(
        [nothing[:, :1] == 0, nothing[:, :1] == 0, (path[:, 2:] != blank) & (path[:, 2:] != path[:, :-2])], axis=1
    )[:, : 2 * n + 1]
    places = pg.arange(2 * n + 1, device=device)
    lengths = pg.asarray(ins, device=device)
    state = pg.where(places < 2, scores[0, ...], -pg.inf)
    for t in range(1, times):
        padded = pg.concat([nothing, state], axis=1)
        jump = pg.where(skips, padded[:, : 2 * n + 1], -pg.inf)
        ways = pg.stack([state, padded[:, 1 : 2 * n + 2], jump])
        moved = pg.logsumexp(ways, axis=0) + scores[t, ...]
        state = pg.where(pg.expand_dims(lengths > t, axis=1), moved, state)
    last = pg.expand_dims(2 * pg.asarray(outs, device=device), axis=1)
    ends = pg.logsumexp(pg.where((places == last) | (places == last - 1), state, -pg.inf), axis=1)
    return pg.where(lengths == 0, at_once, -ends)  # of no frames no label can come, and nothing is sure to
