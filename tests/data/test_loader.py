"""DataLoader: orders, workers, streams, resuming, and what goes wrong."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

import polygrad as pg
from polygrad import data


class Noisy(data.Dataset):
    """Each sample is its number and a draw."""

    def __init__(self, n: int = 11) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[int, pg.Tensor]:
        return i, pg.random.normal(2)


class Stream(data.IterableDataset):
    """0 to n - 1, shared out among the workers."""

    def __init__(self, n: int = 10) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        info = data.get_worker_info()
        return iter(range(self.n) if info is None else range(info.id, self.n, info.num_workers))


class Failing(data.Dataset):
    """Sample 3 does what it is told to."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> int:
        if i == 3:
            if self.how == "raise":
                raise KeyError("no such label")
            if self.how == "exit":
                os._exit(7)
            if self.how == "timeout":
                raise TimeoutError("the dataset's own")
            time.sleep(20 if self.how == "hang" else 0)
        return i


def seen(loader: Any) -> list[Any]:
    return [[x.tolist() if isinstance(x, pg.Tensor) else x for x in batch] for batch in loader]


def batches(**options: Any) -> list[Any]:
    generator = pg.random.Generator(1)
    loader = data.DataLoader(Noisy(), batch_size=4, shuffle=True, generator=generator, **options)
    made = [seen(loader), seen(loader)]
    loader.close()
    return made


def test_batches_are_the_same_with_any_workers() -> None:
    alone = batches()
    assert alone[0] != alone[1]
    assert sorted(i for numbers, _ in alone[0] for i in numbers) == list(range(11))
    assert batches(num_workers=3, worker_type="thread") == alone
    assert batches(num_workers=2, worker_type="thread", persistent_workers=True, prefetch_factor=1) == alone
    assert batches(num_workers=2, persistent_workers=True) == alone


def test_workers_do_not_touch_the_default_generator() -> None:
    pg.random.manual_seed(0)
    seen(data.DataLoader(Noisy(), batch_size=4, generator=pg.random.Generator(1)))
    here = pg.random.get_state()
    pg.random.manual_seed(0)
    assert pg.random.get_state() == here


def test_process_workers_pass_on_errors_with_the_workers_lines() -> None:
    loader = data.DataLoader(Failing("raise"), batch_size=2, num_workers=1)
    with pytest.raises(KeyError, match="no such label") as info:
        seen(loader)
    assert "worker 0, while making batch 1, of the samples [2, 3]" in info.value.__notes__[0]
    assert "__getitem__" in str(info.value.__cause__)  # the traceback there


def test_a_process_that_dies_is_told_and_does_not_hang() -> None:
    loader = data.DataLoader(Failing("exit"), batch_size=2, num_workers=1)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"worker 0 \(a process\) died while making batch \d, of the samples"):
        seen(loader)
    assert time.monotonic() - start < 30


def test_thread_workers_pass_on_errors() -> None:
    loader = data.DataLoader(Failing("raise"), batch_size=2, num_workers=2, worker_type="thread")
    with pytest.raises(KeyError) as info:
        seen(loader)
    assert "worker 1, while making batch 1, of the samples [2, 3]" in info.value.__notes__[0]
    with pytest.raises(TimeoutError, match="the dataset's own"):
        seen(data.DataLoader(Failing("timeout"), num_workers=1, worker_type="thread", timeout=60))


def test_a_worker_that_takes_too_long_is_told() -> None:
    event = threading.Event()

    class Waiting(data.Dataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, i: int) -> int:
            event.wait(20)
            return i

    loader = data.DataLoader(Waiting(), num_workers=1, worker_type="thread", timeout=0.05)
    with pytest.raises(TimeoutError, match=r"worker 0 has not made batch 0, of the samples \[0\] in 0\.05 seconds"):
        seen(loader)
    event.set()


def test_what_cannot_be_sent_to_a_process_is_told() -> None:
    anew: Any = {"num_workers": 1, "multiprocessing_context": "spawn"}
    loader = data.DataLoader(Noisy(), collate_fn=lambda samples: samples, **anew)
    with pytest.raises(TypeError, match="the dataset or collate_fn cannot be sent to worker processes"):
        next(iter(loader))
    loader = data.DataLoader(Noisy(), worker_init_fn=lambda i: None, **anew)
    with pytest.raises(TypeError, match="the worker_init_fn cannot be sent"):
        next(iter(loader))


def test_worker_init_fn_is_called_by_each_worker() -> None:
    called: list[tuple[int, str]] = []
    options: Any = {"num_workers": 2, "worker_type": "thread"}
    options["worker_init_fn"] = lambda i: called.append((i, threading.current_thread().name))
    seen(data.DataLoader(Noisy(), **options))
    assert sorted(i for i, _ in called) == [0, 1]
    assert all(name.startswith(f"DataLoader-{i}") for i, name in called)


def test_stopping_early_leaves_no_thread_behind() -> None:
    # Only threads that started here count: those of earlier tests may end meanwhile.
    before = set(threading.enumerate())
    started: set[threading.Thread] = set()
    for _ in range(3):
        for _ in data.DataLoader(Noisy(), num_workers=2, worker_type="thread"):
            started |= set(threading.enumerate()) - before
            break
    assert started
    for thread in started:
        thread.join(timeout=10)
    assert not [thread for thread in started if thread.is_alive()]


# -- streams -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"num_workers": 2, "worker_type": "thread"}])
def test_streams(options: Any) -> None:
    loader = data.DataLoader(Stream(), batch_size=4, **options)
    for _ in range(2):
        got = [batch.tolist() for batch in loader]
        assert sorted(chain.from_iterable(got)) == list(range(10))
        assert got == ([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] if not options else [[0, 2, 4, 6], [1, 3, 5, 7], [8], [9]])
    dropped = [batch.tolist() for batch in data.DataLoader(Stream(), batch_size=4, drop_last=True, **options)]
    assert dropped == [batch for batch in got if len(batch) == 4]
    chained = data.ChainDataset([Stream(2), Stream(3)])
    kept = [batch.tolist() for batch in data.DataLoader(chained, batch_size=5, **options)]
    assert sorted(chain.from_iterable(kept)) == [0, 0, 1, 1, 2]
    own = data.DataLoader(Stream(3), batch_size=2, collate_fn=tuple, **options)
    assert sorted(chain.from_iterable(own)) == [0, 1, 2]


def test_streams_have_no_length_and_no_sampler() -> None:
    with pytest.raises(TypeError, match="no length"):
        len(data.DataLoader(Stream()))
    with pytest.raises(TypeError, match="Stream is a stream"):
        len(Stream())
    with pytest.raises(ValueError, match="in its own order"):
        data.DataLoader(Stream(), shuffle=True)
    with pytest.raises(TypeError, match="use ChainDataset"):
        data.ConcatDataset([Stream()])


# -- going on in the middle of an epoch --------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"num_workers": 2, "worker_type": "thread"}, {"device": "cpu"}])
@pytest.mark.parametrize("dataset", [Noisy(), Stream(11)])
def test_an_epoch_goes_on_where_it_was(dataset: Any, options: Any) -> None:
    shuffle = not isinstance(dataset, Stream)

    def loader(seed: int) -> data.DataLoader:
        g = pg.random.Generator(seed)
        return data.DataLoader(dataset, batch_size=2, shuffle=shuffle, generator=g, **options)

    def rows(batch: Any) -> Any:
        return [x.tolist() for x in batch] if isinstance(batch, tuple) else batch.tolist()

    first = loader(1)
    expected = [rows(batch) for batch in first]
    first = loader(1)
    epoch = iter(first)
    begun = [rows(next(epoch)) for _ in range(3)]
    state = json.loads(json.dumps(first.state_dict()))
    other = loader(2)
    other.load_state_dict(state)
    assert begun + [rows(batch) for batch in other] == expected
    assert other.state_dict() == {"seed": None, "position": 0}
    assert len(list(other)) == len(expected)  # and the next epoch is whole


def test_a_strange_state_is_refused() -> None:
    loader = data.DataLoader(Noisy())
    for state in ({}, {"seed": 1}, {"seed": "a", "position": 0}):
        with pytest.raises(pg.errors.StateError, match="not a DataLoader's state"):
            loader.load_state_dict(state)


# -- samplers ----------------------------------------------------------------------------------------


def test_random_sampler_with_and_without_replacement() -> None:
    with pg.random.use(pg.random.Generator(0)):
        once = list(data.RandomSampler(range(5)))
        more = list(data.RandomSampler(range(5), num_samples=8))
        anyhow = list(data.RandomSampler(range(5), replacement=True, num_samples=200))
    assert sorted(once) == [0, 1, 2, 3, 4]
    assert (len(more), sorted(more[:5]), len(set(more[5:]))) == (8, [0, 1, 2, 3, 4], 3)
    assert (len(anyhow), set(anyhow)) == (200, {0, 1, 2, 3, 4})
    assert list(data.RandomSampler([])) == []
    with pytest.raises(ValueError, match="num_samples"):
        data.RandomSampler([1], num_samples=0)


def test_weighted_sampler_draws_by_weight() -> None:
    g = pg.random.Generator(0)
    drawn = list(data.WeightedRandomSampler([1.0, 0.0, 3.0], 4000, generator=g))
    assert abs(drawn.count(2) / 4000 - 0.75) < 0.03
    assert drawn.count(1) == 0
    firsts = [next(iter(data.WeightedRandomSampler([1.0, 0.0, 3.0], 2, False, g))) for _ in range(400)]
    assert abs(firsts.count(2) / 400 - 0.75) < 0.08
    assert sorted(data.WeightedRandomSampler([1e-300, 0.0, 3.0], 2, False, g)) == [0, 2]
    for weights, n in (([-1.0], 1), ([0.0], 1), ([1.0, float("nan")], 1), ([[1.0]], 1)):
        with pytest.raises(ValueError, match="WeightedRandomSampler"):
            data.WeightedRandomSampler(weights, n)
    with pytest.raises(ValueError, match="2 samples cannot be drawn once each from 1 of positive weight"):
        data.WeightedRandomSampler([1.0, 0.0], 2, replacement=False)


def test_samplers_in_a_loader() -> None:
    rows = data.TensorDataset(pg.arange(6))
    picked = data.DataLoader(rows, batch_size=2, sampler=data.SubsetRandomSampler([1, 3, 5]))
    assert len(picked) == 2
    assert sorted(i for (x,) in picked for i in x.tolist()) == [1, 3, 5]
    lists = data.DataLoader(rows, batch_sampler=[[0, 5], [2]])
    assert [x.tolist() for (x,) in lists] == [[0, 5], [2]]
    assert len(data.BatchSampler(data.SequentialSampler(range(5)), 2, True)) == 2


def test_the_device_is_where_batches_are_moved(device: pg.Device) -> None:
    loader = data.DataLoader(data.TensorDataset(pg.arange(5)), batch_size=2, device=device)
    assert [(x.device, x.tolist()) for (x,) in loader] == [(device, [0, 1]), (device, [2, 3]), (device, [4])]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shuffle": True, "sampler": [0]}, "shuffle=True or a sampler, not both"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "stands in place of batch_size"),
        ({"num_workers": -1}, "num_workers and timeout must be >= 0"),
        ({"worker_type": "fibre"}, "'process' or 'thread', got 'fibre'"),
    ],
)
def test_arguments_that_exclude_each_other_are_refused(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data.DataLoader(Noisy(), **options)


def test_concatenated_datasets() -> None:
    both = data.ConcatDataset([data.TensorDataset(pg.arange(3)), data.TensorDataset(pg.arange(10, 12))])
    assert [both[i][0].item() for i in (0, 2, 3, 4, -1, -5)] == [0, 2, 10, 11, 11, 0]
    with pytest.raises(IndexError, match="there are 5 samples; there is none of number 5"):
        both[5]
    with pytest.raises(ValueError, match="at least one"):
        data.ConcatDataset([])
