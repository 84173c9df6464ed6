"""Loading a dataset in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import polygrad as pg

from .collate import to_device
from .dataset import Dataset, IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler
from .workers import END, Maker, Task, Workers

__all__ = ["DataLoader"]

Order = Iterable[Any]


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

    Every epoch draws one number from the generator; the order of the samples, and what a dataset draws to make a batch
    (flips, crops), follow from it. So the batches are the same with any number of workers, and a loader that was
    stopped in the middle of an epoch goes on where it was (:meth:`state_dict`).

    Args:
        dataset: a :class:`Dataset`, an :class:`IterableDataset`, or any sequence of samples.
        batch_size: how many samples a batch has.
        shuffle: a new random order in each epoch.
        sampler: gives the numbers of the samples, in place of ``shuffle``.
        batch_sampler: gives a list of numbers for each batch, in place of ``batch_size``, ``shuffle``, ``sampler`` and
            ``drop_last``.
        num_workers: how many workers make batches ahead; 0 makes each when it is asked for.
        collate_fn: makes a batch of a list of samples; by default the dataset's own :meth:`Dataset.batch`.
        drop_last: leave out a last batch of fewer samples.
        timeout: the seconds to wait for a worker's batch; 0 for as long as it takes.
        worker_init_fn: called with a worker's number when it begins.
        multiprocessing_context: how processes are started: ``"fork"``, ``"forkserver"``, ``"spawn"`` or a context. By default
            they are forked where that is safe, in milliseconds: on Linux, while no other thread runs and neither JAX,
            CuPy nor CUDA is in use (a child would find their locks locked). Else each begins anew, in a second or more.
        generator: what draws; the current generator unless told.
        prefetch_factor: how many batches each worker makes ahead.
        persistent_workers: keep the workers from one epoch to the next, until :meth:`close`.
        worker_type: ``"process"``; or ``"thread"``, for datasets that wait (for files, a network) or compute in
            libraries that release the interpreter lock, and for what cannot be sent to a process.
        device: where the tensors of the batches are moved, one batch ahead; left where they are unless told.

    Raises:
        ValueError: for arguments that make no sense, or exclude each other.
        TypeError: if the dataset cannot be sent to a worker process that is not forked.
        RuntimeError: when iterating, if a worker process died.

    What a worker raises is raised here, with its traceback and a note which batch it was making.

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
        sampler: Order | None = None,
        batch_sampler: Order | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        *,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: pg.random.Generator | None = None,
        prefetch_factor: int = 2,
        persistent_workers: bool = False,
        worker_type: str = "process",
        device: Any = None,
    ) -> None:
        self.dataset = dataset if isinstance(dataset, Dataset) else _Samples(dataset)
        self._stream = isinstance(dataset, IterableDataset)
        self._check(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if num_workers < 0 or prefetch_factor < 1 or timeout < 0:
            raise ValueError(
                f"DataLoader: num_workers and timeout must be >= 0 and prefetch_factor >= 1, got {num_workers}, "
                f"{timeout} and {prefetch_factor}"
            )
        if worker_type not in ("process", "thread"):
            raise ValueError(f"DataLoader: worker_type must be 'process' or 'thread', got {worker_type!r}")
        self.batch_size, self.drop_last, self.num_workers, self.timeout = batch_size, drop_last, num_workers, timeout
        self.collate_fn, self.worker_init_fn, self.generator = collate_fn, worker_init_fn, generator
        self.multiprocessing_context, self.worker_type = multiprocessing_context, worker_type
        self.prefetch_factor, self.persistent_workers = prefetch_factor, persistent_workers
        self.device = None if device is None else pg.Device(device)
        self.batch_sampler = batch_sampler
        if batch_sampler is None and not self._stream:
            if sampler is None:
                sampler = RandomSampler(self.dataset) if shuffle else SequentialSampler(self.dataset)
            self.batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self._workers: Workers | None = None
        self._seed: int | None = None
        self._position = 0
        self._resume = False

    def _check(self, batch_size: int, shuffle: bool, sampler: Any, batch_sampler: Any, drop_last: bool) -> None:
        if batch_size < 1:
            raise ValueError(f"DataLoader: batch_size must be at least 1, got {batch_size}")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: give shuffle=True or a sampler, not both")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError(
                "DataLoader: a batch_sampler stands in place of batch_size, shuffle, sampler and drop_last"
            )
        if self._stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader: an IterableDataset gives its samples in its own order; no sampler fits it")

    def __len__(self) -> int:
        """The number of batches in an epoch.

        Raises:
            TypeError: for a stream.
        """
        if self.batch_sampler is None:
            raise TypeError("DataLoader: an IterableDataset has no length")
        return len(self.batch_sampler)  # type: ignore[arg-type]

    # -- an epoch ----------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        if not self._resume:
            draw = pg.random.integers((), 0, 2**63 - 1, device="cpu", generator=self.generator)
            self._seed, self._position = int(draw), 0
        assert self._seed is not None
        self._resume = False
        seed, done = self._seed, self._position
        batches = self._streamed(seed, done) if self._stream else self._numbered(seed, done)
        ahead: deque[Any] = deque()
        try:
            for batch in batches:
                # Moved one batch before it is needed: on a GPU the copy goes on while the last one is worked on.
                ahead.append(batch if self.device is None else to_device(batch, self.device))
                if self.device is None or len(ahead) > 1:
                    self._position += 1
                    yield ahead.popleft()
            while ahead:
                self._position += 1
                yield ahead.popleft()
            self._seed, self._position = None, 0
        finally:
            batches.close()

    def _orders(self, seed: int) -> Generator[Any, None, None]:
        """The numbers of each batch; what samplers draw is the epoch's."""
        generator = pg.random.Generator(seed)
        assert self.batch_sampler is not None
        with pg.random.use(generator):
            orders = iter(self.batch_sampler)
        while True:  # opened for each, as this is suspended in between
            with pg.random.use(generator):
                try:
                    indices = next(orders)
                except StopIteration:
                    return
            yield indices

    def _numbered(self, seed: int, done: int) -> Generator[Any, None, None]:
        tasks = islice(enumerate(self._orders(seed)), done, None)
        if not self.num_workers:
            maker = Maker(self.dataset, self.collate_fn, None)
            for k, indices in tasks:
                yield maker.make(_batch_seed(seed, k), list(indices), 0)
            return
        workers = self._opened()
        waiting: deque[tuple[int, list[int], Task]] = deque()

        def ask() -> None:
            for k, indices in islice(tasks, 1):
                waiting.append((k, list(indices), workers.submit(k, _batch_seed(seed, k), list(indices), 0)))

        try:
            for _ in range(self.num_workers * self.prefetch_factor):
                ask()
            while waiting:
                k, indices, future = waiting.popleft()
                made = workers.result(future, k, f"batch {k}, of the samples {indices}", self.timeout or None)
                ask()
                yield made
        finally:
            self._left(workers, [future for _, _, future in waiting])

    def _streamed(self, seed: int, done: int) -> Generator[Any, None, None]:
        """Batches of a stream; with several workers each one's in turn, until all have ended."""
        if not self.num_workers:
            maker, k = Maker(self.dataset, self.collate_fn, None), 0
            while (made := maker.make(_batch_seed(seed, k), None, self.batch_size)) is not END:
                if k >= done and (made[0] == self.batch_size or not self.drop_last):
                    yield made[1]
                k += 1
            return
        workers, count = self._opened(), 0
        running = {w: deque([self._ask(workers, seed, w, 0)]) for w in range(self.num_workers)}
        asked = dict.fromkeys(running, 1)
        try:
            while running:
                for w in list(running):
                    while len(running[w]) < self.prefetch_factor:
                        running[w].append(self._ask(workers, seed, w, asked[w]))
                        asked[w] += 1
                    made = workers.result(running[w].popleft(), w, "the next batch of a stream", self.timeout or None)
                    if made == END:
                        del running[w]
                    elif made[0] == self.batch_size or not self.drop_last:
                        count += 1
                        if count > done:
                            yield made[1]
        finally:
            self._left(workers, [future for futures in running.values() for future in futures])

    def _ask(self, workers: Workers, seed: int, w: int, k: int) -> Task:
        return workers.submit(w, _batch_seed(seed, k * self.num_workers + w), None, self.batch_size)

    # -- workers -----------------------------------------------------------------------------------

    def _opened(self) -> Workers:
        if self._workers is not None:
            workers, self._workers = self._workers, None
            return workers
        return Workers(
            self.dataset,
            self.collate_fn,
            self.num_workers,
            self.worker_type,
            self.worker_init_fn,
            self.multiprocessing_context,
        )

    def _left(self, workers: Workers, futures: list[Task]) -> None:
        for future in futures:
            future.cancel()
        if self.persistent_workers and self._workers is None and workers.usable:
            self._workers = workers
        else:
            workers.close()

    def close(self) -> None:
        """Stop persistent workers."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    # -- state -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: plain numbers. Between epochs there is nothing to remember but the generator, which
        is the user's to save."""
        return {"seed": self._seed, "position": self._position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration go on where another loader of the same dataset and arguments stood; the epoch after it
        is new.

        Raises:
            StateError: if this is no loader's state.
        """
        if set(state) != {"seed", "position"} or not all(v is None or isinstance(v, int) for v in state.values()):
            raise pg.errors.StateError(f"not a DataLoader's state: {dict(state)!r}; give a state_dict()")
        self._seed, self._position = state["seed"], state["position"]
        self._resume = self._seed is not None


def _batch_seed(seed: int, k: int) -> int:
    """The seed of what is drawn for batch k of an epoch: both numbers side by side, the epoch's own being odd so."""
    return seed << 64 | (k << 1) | 1
