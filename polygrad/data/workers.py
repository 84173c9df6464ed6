"""Workers that make batches beside the training, in threads or processes of their own."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import polygrad as pg

from .dataset import Dataset, IterableDataset

__all__ = ["END", "Maker", "WorkerInfo", "Workers", "get_worker_info"]

END = "polygrad.data: no more samples"
"""What a worker answers when an iterable dataset has ended."""


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this is: its number ``id``, of ``num_workers``, with its copy of the ``dataset``."""

    id: int
    num_workers: int
    dataset: Any


_worker: ContextVar[WorkerInfo | None] = ContextVar("polygrad.data.worker", default=None)


def get_worker_info() -> WorkerInfo | None:
    """Which worker is running, or None outside of workers; an iterable dataset shares out its samples by it.

    >>> import polygrad as pg
    >>> pg.data.get_worker_info() is None
    True
    """
    return _worker.get()


class Maker:
    """Makes the batches of a dataset; each worker has one."""

    def __init__(self, dataset: Any, collate_fn: Callable[[list[Any]], Any] | None, info: WorkerInfo | None) -> None:
        self.dataset = dataset
        self.collate_fn = collate_fn
        self.info = info
        self._stream: tuple[int, Iterator[Any]] | None = None

    def make(self, seed: int, indices: Sequence[int] | None, size: int) -> Any:
        """The batch of these samples; or, of an iterable dataset, of the next ``size``. The draws are the batch's own,
        whoever makes it and when."""
        token = _worker.set(self.info)
        try:
            with pg.random.use(pg.random.Generator(seed)):
                if indices is None:
                    return self._next(seed >> 64, size)
                if self.collate_fn is None:
                    return self.dataset.batch(indices)
                return self.collate_fn([self.dataset[i] for i in indices])
        finally:
            _worker.reset(token)

    def _next(self, epoch: int, size: int) -> Any:
        if self._stream is None or self._stream[0] != epoch:
            self._stream = epoch, iter(self.dataset)
        samples = []
        for sample in self._stream[1]:
            samples.append(sample)
            if len(samples) == size:
                break
        if not samples:
            return END
        made = IterableDataset.collate(samples) if self.collate_fn is None else self.collate_fn(samples)
        return (len(samples), made)


_maker: Maker | None = None
"""In a worker's process, its own."""


def _begin(payload: bytes, init: bytes, number: int) -> None:
    global _maker
    _maker = pickle.loads(payload)
    if (f := pickle.loads(init)) is not None:
        f(number)


def _make(*args: Any) -> Any:
    assert _maker is not None
    return _maker.make(*args)


class Workers:
    """Several workers, each in an executor of one thread or process, so that batch k is always made by worker k modulo
    their number.

    Args:
        dataset, collate_fn: what makes the batches.
        n: how many workers.
        kind: ``"process"`` or ``"thread"``.
        init: called with the worker's number when it begins.
        context: how processes are started; ``"forkserver"`` where there is one, else ``"spawn"``.
    """

    def __init__(
        self, dataset: Dataset, collate_fn: Any, n: int, kind: str, init: Callable[[int], Any] | None, context: Any
    ) -> None:
        self.n, self.kind = n, kind
        self._makers = [Maker(dataset, collate_fn, WorkerInfo(i, n, dataset)) for i in range(n)]
        self._pools: list[Executor] = []
        if kind == "thread":
            self._pools = [ThreadPoolExecutor(1, f"DataLoader-{i}") for i in range(n)]
            begun = [pool.submit(init, i) for i, pool in enumerate(self._pools)] if init is not None else []
        else:
            payloads = [_pickled("dataset or collate_fn", maker) for maker in self._makers]
            start = _pickled("worker_init_fn", init)
            if context is None:
                context = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
            methods = multiprocessing.get_context(context) if isinstance(context, str) else context
            self._pools = [ProcessPoolExecutor(1, mp_context=methods) for _ in range(n)]
            begun = [
                pool.submit(_begin, payload, start, i) for i, (pool, payload) in enumerate(zip(self._pools, payloads))
            ]
        for i, future in enumerate(begun):
            self.result(future, i, "its start", None)

    def submit(self, k: int, seed: int, indices: Sequence[int] | None, size: int) -> Future[Any]:
        """Have worker ``k`` modulo their number make a batch."""
        pool = self._pools[k % self.n]
        if self.kind == "thread":
            return pool.submit(self._makers[k % self.n].make, seed, indices, size)
        return pool.submit(_make, seed, indices, size)

    def result(self, future: Future[Any], k: int, what: str, timeout: float | None) -> Any:
        """What a worker has made, or its error, with a note of where it happened."""
        worker = f"DataLoader's worker {k % self.n}"
        try:
            return future.result(timeout)
        except BrokenProcessPool as error:
            message = (
                f"{worker} (a process) died while making {what}. It ran out of memory, crashed, or could not import the "
                "main module: a script that makes a DataLoader with processes must do so under "
                "'if __name__ == \"__main__\":'. worker_type='thread' shows more of the cause"
            )
            raise RuntimeError(message) from error
        except TimeoutError as error:
            if not future.done():
                raise TimeoutError(f"{worker} has not made {what} in {timeout} seconds") from None
            _noted(error, worker, what)
            raise
        except Exception as error:
            _noted(error, worker, what)
            raise

    def close(self) -> None:
        """Stop all workers; batches they are at are finished and dropped."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)


def _noted(error: BaseException, worker: str, what: str) -> None:
    error.add_note(f"(raised in {worker}, while making {what})")


def _pickled(what: str, value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise TypeError(
            f"DataLoader: the {what} cannot be sent to worker processes ({type(error).__name__}: {error}); define it at "
            "the top of a module, or use worker_type='thread'"
        ) from error
