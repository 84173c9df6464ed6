"""Loading a dataset in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polygrad as pg

from .collate import to_device
from .dataset import Dataset

__all__ = ["DataLoader"]


class _Samples(Dataset):
    """A plain sequence as a dataset."""

    def __init__(self, samples: Sequence[Any]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, i: int) -> Any:
        return self._samples[i]


class DataLoader:
    """Iterates over a dataset in batches, each epoch anew.

    Args:
        dataset: a :class:`Dataset`, or any sequence of samples.
        batch_size: how many samples a batch has.
        shuffle: a new random order in each epoch.
        drop_last: leave out a last batch of fewer samples.
        collate_fn: makes a batch of a list of samples; by default the dataset's own :meth:`Dataset.batch`.
        generator: what shuffles; the default generator unless told.
        device: where the tensors of the batches are moved; left where they are unless told.

    Raises:
        ValueError: if ``batch_size`` is not positive.

    >>> import polygrad as pg
    >>> data = pg.data.TensorDataset(pg.arange(5))
    >>> loader = pg.data.DataLoader(data, batch_size=2, drop_last=True)
    >>> len(loader), [batch.tolist() for (batch,) in loader]
    (2, [[0, 1], [2, 3]])
    """

    def __init__(
        self,
        dataset: Dataset | Sequence[Any],
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        generator: pg.random.Generator | None = None,
        device: Any = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"DataLoader: batch_size must be at least 1, got {batch_size}")
        self.dataset = dataset if isinstance(dataset, Dataset) else _Samples(dataset)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.collate_fn = collate_fn
        self.generator = generator
        self.device = None if device is None else pg.Device(device)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        order: Sequence[int] = range(n)
        if self.shuffle:
            order = pg.random.permutation(n, device="cpu", generator=self.generator).tolist()
        for k in range(len(self)):
            indices = order[k * self.batch_size : (k + 1) * self.batch_size]
            if self.collate_fn is None:
                batch = self.dataset.batch(indices)
            else:
                batch = self.collate_fn([self.dataset[i] for i in indices])
            yield batch if self.device is None else to_device(batch, self.device)
