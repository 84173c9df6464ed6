"""Sets of samples."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import polygrad as pg

from .collate import default_collate

__all__ = ["ChainDataset", "ConcatDataset", "Dataset", "IterableDataset", "Subset", "TensorDataset", "random_split"]


class Dataset:
    """Samples by number: a subclass writes ``__len__`` and ``__getitem__``, and :meth:`batch` where it can
    give many samples faster than one by one.

    >>> import polygrad as pg
    >>> class Squares(pg.data.Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, i):
    ...         return i, i * i
    >>> Squares().batch([1, 3])
    (tensor([1, 3], dtype=int64), tensor([1, 9], dtype=int64))
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__qualname__} has no __len__ method")

    def __getitem__(self, i: int) -> Any:
        raise NotImplementedError(f"{type(self).__qualname__} has no __getitem__ method")

    def batch(self, indices: Sequence[int]) -> Any:
        """The samples of these numbers as one batch: what ``default_collate`` makes of them."""
        return default_collate([self[i] for i in indices])


class IterableDataset(Dataset):
    """Samples one after the other, for streams without numbers: a subclass writes ``__iter__``.

    With several workers each has a copy of its own; share the samples out by :func:`get_worker_info`, or each will give
    all of them.

    >>> import polygrad as pg
    >>> class Count(pg.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(5))
    >>> [batch.tolist() for batch in pg.data.DataLoader(Count(), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__qualname__} has no __iter__ method")

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__qualname__} is a stream and has no length")

    @staticmethod
    def collate(samples: list[Any]) -> Any:
        """A batch of some samples."""
        return default_collate(samples)


class ChainDataset(IterableDataset):
    """One stream after the other.

    >>> import polygrad as pg
    >>> class Count(pg.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(2))
    >>> list(pg.data.ChainDataset([Count(), Count()]))
    [0, 1, 0, 1]
    """

    def __init__(self, datasets: Iterable[IterableDataset]) -> None:
        self.datasets = list(datasets)

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from dataset


class ConcatDataset(Dataset):
    """The samples of several datasets, one after the other.

    Raises:
        ValueError: if there are none.
        TypeError: if one is a stream.

    >>> import polygrad as pg
    >>> both = pg.data.ConcatDataset([pg.data.TensorDataset(pg.arange(3)), pg.data.TensorDataset(pg.arange(2))])
    >>> len(both), both[3], both[-1]
    (5, (tensor(0, dtype=int64),), (tensor(1, dtype=int64),))
    """

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: needs at least one dataset")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError("ConcatDataset: a stream has no length; use ChainDataset")
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, i: int) -> Any:
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"ConcatDataset: there are {n} samples; there is none of number {i}")
        at = i % n
        k = bisect_right(self.cumulative_sizes, at)
        return self.datasets[k][at - (self.cumulative_sizes[k - 1] if k else 0)]


class TensorDataset(Dataset):
    """The rows of tensors of equal length; a sample is a tuple with one row of each.

    Args:
        tensors: Tensors, or arrays of any library.

    Raises:
        ShapeError: if their first axes differ in length.

    >>> import polygrad as pg
    >>> data = pg.data.TensorDataset(pg.arange(3), pg.zeros((3, 2)))
    >>> data[2]
    (tensor(2, dtype=int64), tensor([0., 0.], dtype=float64))
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(pg.asarray(x) for x in tensors)
        lengths = [x.shape[0] if x.ndim else None for x in self.tensors]
        if not lengths or None in lengths or len(set(lengths)) > 1:
            shapes = ", ".join(str(x.shape) for x in self.tensors)
            raise pg.errors.ShapeError(f"TensorDataset: needs tensors of one length (first axis), got shapes {shapes}")

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, i: int) -> tuple[pg.Tensor, ...]:
        return tuple(x[i, ...] for x in self.tensors)

    def batch(self, indices: Sequence[int]) -> tuple[pg.Tensor, ...]:
        """Taken from each tensor at once."""
        rows = [int(i) for i in indices]
        return tuple(pg.take(x, pg.asarray(rows, dtype="int64", device=x.device), axis=0) for x in self.tensors)


class Subset(Dataset):
    """Some samples of a dataset.

    Args:
        dataset: any dataset.
        indices: the numbers of the samples.

    Raises:
        IndexError: if one of them is not a sample's.

    >>> import polygrad as pg
    >>> pg.data.Subset(pg.data.TensorDataset(pg.arange(5)), [4, 2])[0]
    (tensor(4, dtype=int64),)
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = [int(i) for i in indices]
        n = len(dataset)
        wrong = [i for i in self.indices if not -n <= i < n]
        if wrong:
            raise IndexError(f"Subset: the dataset has {n} samples; there is none of number {wrong[0]}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Any:
        return self.dataset[self.indices[i]]

    def batch(self, indices: Sequence[int]) -> Any:
        """As the dataset makes it."""
        return self.dataset.batch([self.indices[i] for i in indices])


def random_split(
    dataset: Dataset, lengths: Sequence[float], generator: pg.random.Generator | None = None
) -> list[Subset]:
    """The samples of a dataset, in random order, in parts.

    Args:
        dataset: any dataset.
        lengths: the numbers of samples of the parts, adding up to all; or their shares, adding up to 1 (the
            samples left over by rounding down go to the first parts, one each).
        generator: what draws; the default generator unless told.

    Raises:
        ValueError: if the lengths do not add up.

    >>> import polygrad as pg
    >>> parts = pg.data.random_split(pg.data.TensorDataset(pg.arange(10)), [0.75, 0.25])
    >>> [len(part) for part in parts]
    [8, 2]
    """
    n = len(dataset)
    if all(isinstance(length, int) for length in lengths):
        sizes = [int(length) for length in lengths]
    elif math.isclose(math.fsum(lengths), 1.0):
        sizes = [math.floor(n * share) for share in lengths]
        for k in range(n - sum(sizes)):
            sizes[k % len(sizes)] += 1
    else:
        sizes = [-1]
    if min(sizes, default=-1) < 0 or sum(sizes) != n:
        raise ValueError(
            f"random_split: the lengths {list(lengths)} must be numbers >= 0 that add up to {n}, or shares "
            "that add up to 1"
        )
    order = pg.random.permutation(n, device="cpu", generator=generator).tolist()
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends)]
