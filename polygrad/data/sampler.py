"""In which order samples are taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any

import polygrad as pg

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]


class Sampler:
    """Gives the numbers of samples, anew at each iteration; a subclass writes ``__iter__`` and ``__len__``.

    Within a :class:`DataLoader`, what is drawn by polygrad's current generator is the loader's own, so that an epoch
    can be taken up again in its middle.

    >>> import polygrad as pg
    >>> class Backwards(pg.data.Sampler):
    ...     def __init__(self, n):
    ...         self.n = n
    ...     def __iter__(self):
    ...         return iter(reversed(range(self.n)))
    ...     def __len__(self):
    ...         return self.n
    >>> [x.tolist() for (x,) in pg.data.DataLoader(pg.data.TensorDataset(pg.arange(3)), sampler=Backwards(3))]
    [[2], [1], [0]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__qualname__} has no __iter__ method")


class SequentialSampler(Sampler):
    """All samples in their order.

    >>> import polygrad as pg
    >>> list(pg.data.SequentialSampler([7, 8, 9]))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """Samples in random order.

    Args:
        data_source: the dataset.
        replacement: draw each on its own, so that some come twice and others not at all.
        num_samples: how many; all unless told. Without replacement, more than all are several orders in turn.
        generator: what draws; the current generator unless told.

    Raises:
        ValueError: if ``num_samples`` is not positive.

    >>> import polygrad as pg
    >>> sorted(pg.data.RandomSampler([7, 8, 9]))
    [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: pg.random.Generator | None = None,
    ) -> None:
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"RandomSampler: num_samples must be at least 1, got {num_samples}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """How many samples an iteration has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, left = len(self.data_source), self.num_samples
        if not n:
            return
        if self.replacement:
            yield from pg.random.integers(left, 0, n, device="cpu", generator=self.generator).tolist()
            return
        while left > 0:
            order = pg.random.permutation(n, device="cpu", generator=self.generator).tolist()
            yield from order[:left]
            left -= n

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """Some samples, in random order.

    >>> import polygrad as pg
    >>> sorted(pg.data.SubsetRandomSampler([3, 5]))
    [3, 5]
    """

    def __init__(self, indices: Sequence[int], generator: pg.random.Generator | None = None) -> None:
        self.indices = list(indices)
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        order = pg.random.permutation(len(self.indices), device="cpu", generator=self.generator).tolist()
        return (self.indices[i] for i in order)

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Samples drawn by weights, which need not add up to one: classes of different sizes can be evened out.

    Args:
        weights: one for each sample, >= 0.
        num_samples: how many are drawn.
        replacement: whether one sample may be drawn again.
        generator: what draws; the current generator unless told.

    Raises:
        ValueError: for negative weights, no positive one, or fewer of them than samples to be drawn without
            replacement.

    >>> import polygrad as pg
    >>> list(pg.data.WeightedRandomSampler([0.0, 2.0, 0.0], num_samples=3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: pg.random.Generator | None = None,
    ) -> None:
        self.weights = pg.astype(pg.asarray(weights).detach().to_device("cpu"), "float64")
        if self.weights.ndim != 1 or not all(0 <= w < float("inf") for w in self.weights.tolist()):
            raise ValueError("WeightedRandomSampler: weights must be a row of finite numbers >= 0")
        positive = int(pg.sum(pg.astype(self.weights > 0, pg.int64)))
        if num_samples < 1 or not positive or (not replacement and num_samples > positive):
            raise ValueError(
                f"WeightedRandomSampler: {num_samples} samples cannot be drawn{'' if replacement else ' once each'} "
                f"from {positive} of positive weight"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        if self.replacement:
            ends = pg.cumulative_sum(self.weights)
            places = pg.random.uniform(self.num_samples, device="cpu", generator=self.generator) * ends[-1]
            yield from pg.searchsorted(ends, places, side="right").tolist()
            return
        # The largest of logits with Gumbel noise are a draw without replacement (Vieira, 2014; Efraimidis, 2006).
        positive = self.weights > 0
        logits = pg.log(pg.where(positive, self.weights, 1.0))
        keys = logits + pg.random.gumbel(logits.shape, device="cpu", generator=self.generator)
        keys = pg.where(positive, keys, -float("inf"))
        yield from pg.argsort(keys, descending=True)[: self.num_samples].tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """The numbers of another sampler in lists.

    Args:
        sampler: any iterable of numbers.
        batch_size: how many a list has.
        drop_last: leave out a last list of fewer.

    Raises:
        ValueError: if ``batch_size`` is not positive.

    >>> import polygrad as pg
    >>> list(pg.data.BatchSampler(pg.data.SequentialSampler([1, 2, 3]), 2, drop_last=False))
    [[0, 1], [2]]
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool = False) -> None:
        if batch_size < 1:
            raise ValueError(f"BatchSampler: batch_size must be at least 1, got {batch_size}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for i in self.sampler:
            batch.append(i)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
