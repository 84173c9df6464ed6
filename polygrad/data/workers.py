"""Workers that make batches beside the training, in threads or processes of their own."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import polygrad as pg

from .dataset import Dataset, IterableDataset
from .processes import Died, Process, Ticket, start_method

__all__ = ["END", "Maker", "Task", "WorkerInfo", "Workers", "get_worker_info"]

Task: TypeAlias = "Future[Any] | Ticket"
"""What a worker was asked for."""

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


def _prepared(maker: Maker | bytes, init: Any) -> Callable[..., Any]:
    """What answers in a worker process: its maker, after the user's ``worker_init_fn``. Both may be pickled."""
    if isinstance(maker, bytes):
        maker, init = pickle.loads(maker), pickle.loads(init)
    assert not isinstance(maker, bytes)
    assert maker.info is not None
    if init is not None:
        init(maker.info.id)
    return maker.make


class Workers:
    """Several workers, each a thread or a process, so that batch k is always made by worker k modulo their number.

    Args:
        dataset, collate_fn: what makes the batches.
        n: how many workers.
        kind: ``"process"`` or ``"thread"``.
        init: called with the worker's number when it begins.
        context: how processes are started; by :func:`~polygrad.data.processes.start_method` unless told.
    """

    def __init__(
        self, dataset: Dataset, collate_fn: Any, n: int, kind: str, init: Callable[[int], Any] | None, context: Any
    ) -> None:
        self.n, self.kind = n, kind
        self._makers = [Maker(dataset, collate_fn, WorkerInfo(i, n, dataset)) for i in range(n)]
        self._pools: list[ThreadPoolExecutor] = []
        self._processes: list[Process] = []
        begun: Sequence[Task] = []
        if kind == "thread":
            self._pools = [ThreadPoolExecutor(1, f"DataLoader-{i}") for i in range(n)]
            if init is not None:
                begun = [pool.submit(init, i) for i, pool in enumerate(self._pools)]
        else:
            context = start_method() if context is None else context
            methods = multiprocessing.get_context(context) if isinstance(context, str) else context
            sent: list[tuple[Any, Any]] = [(maker, init) for maker in self._makers]
            if methods.get_start_method() != "fork":
                start = _pickled("worker_init_fn", init)
                sent = [(_pickled("dataset or collate_fn", maker), start) for maker in self._makers]
            for arguments in sent:
                self._processes.append(Process(methods, _prepared, arguments, self._processes))
            begun = [worker.begun for worker in self._processes]
        for i, future in enumerate(begun):
            self.result(future, i, "its start", None)

    def submit(self, k: int, seed: int, indices: Sequence[int] | None, size: int) -> Task:
        """Have worker ``k`` modulo their number make a batch."""
        if self.kind == "thread":
            return self._pools[k % self.n].submit(self._makers[k % self.n].make, seed, indices, size)
        return self._processes[k % self.n].ask(seed, indices, size)

    def result(self, task: Task, k: int, what: str, timeout: float | None) -> Any:
        """What a worker has made, or its error, with a note of where it happened."""
        worker = f"DataLoader's worker {k % self.n}"
        late = f"{worker} has not made {what} in {timeout} seconds"
        try:
            if isinstance(task, Ticket):
                return self._answer(task, late, timeout).result(worker)
            if not wait([task], timeout).done:
                raise _Late(late)
            return task.result()
        except _Late as error:
            raise TimeoutError(str(error)) from None
        except Died as error:
            raise RuntimeError(
                f"{worker} (a process) died while making {what}. It ran out of memory, crashed, or could not import the "
                "main module: a script that makes a DataLoader with processes must do so under "
                "'if __name__ == \"__main__\":'. worker_type='thread' shows more of the cause"
            ) from error
        except Exception as error:
            error.add_note(f"(raised in {worker}, while making {what})")
            raise

    def _answer(self, task: Ticket, late: str, timeout: float | None) -> Any:
        try:
            return task.worker.answer(task, timeout)
        except TimeoutError:
            raise _Late(late) from None

    @property
    def usable(self) -> bool:
        """Whether they can go on making batches: none has died, or was interrupted while it answered."""
        return not any(worker.broken for worker in self._processes)

    def close(self) -> None:
        """Stop all workers; batches they are at are finished and dropped."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for worker in self._processes:
            worker.close()


class _Late(Exception):
    """A worker took too long; told from a TimeoutError that a dataset raises."""


def _pickled(what: str, value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise TypeError(
            f"DataLoader: the {what} cannot be sent to worker processes ({type(error).__name__}: {error}); define it at "
            "the top of a module, or use worker_type='thread'"
        ) from error
