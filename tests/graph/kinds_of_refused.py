"""Kinds of change that are refused: what each run would have to do again."""

from __future__ import annotations

import collections
import datetime
import itertools
import os
import pathlib
import random
import time
import types
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
from kinds import Case, in_scope, refused

import polygrad as pg
from polygrad import nn, optim


@refused
def python_random() -> Case:
    return lambda x: x * random.random(), lambda: None


@refused
def python_shuffle() -> Case:
    def f(x: Any) -> Any:
        order = [1.0, 2.0, 3.0]
        random.shuffle(order)
        return x * order[0]

    return f, lambda: None


@refused
def python_generator_of_random_numbers() -> Case:
    source = random.Random(0)
    return lambda x: x * source.gauss(0, 1), lambda: None


@refused
def numpy_random() -> Case:
    return lambda x: x * np.random.rand(), lambda: None


@refused
def numpy_generator_of_random_numbers() -> Case:
    source = np.random.default_rng(0)
    return lambda x: x * source.random(), lambda: None


@refused
def entropy_of_the_system() -> Case:
    return lambda x: x * os.urandom(1)[0], lambda: None


@refused
def universal_identifier() -> Case:
    return lambda x: x * (uuid.uuid4().int % 7), lambda: None


@refused
def folder_of_the_process() -> Case:
    return lambda x: x * len(os.getcwd()), lambda: None


@refused
def clock() -> Case:
    return lambda x: x * time.time(), lambda: None


@refused
def counter_of_time() -> Case:
    return lambda x: x * time.perf_counter(), lambda: None


@refused
def date() -> Case:
    return lambda x: x * datetime.datetime.now().microsecond, lambda: None


@refused
def file_is_read() -> Case:
    return lambda x: x * len(pathlib.Path(__file__).read_text()), lambda: None


@refused
def next_of_a_cycle() -> Case:
    it = itertools.cycle([2.0, 5.0])
    return lambda x: x * next(it), lambda: None


@refused
def next_of_a_cycle_in_its_second_round() -> Case:
    it = itertools.cycle([2.0, 5.0])
    next(it), next(it), next(it)
    return lambda x: x * next(it), lambda: None


@refused
def next_of_a_count() -> Case:
    it = itertools.count(1)
    return lambda x: x * next(it), lambda: None


@refused
def next_of_a_generator() -> Case:
    it = (float(i) for i in range(9))
    return lambda x: x * next(it), lambda: None


@refused
def next_of_an_attribute() -> Case:
    holder = types.SimpleNamespace(it=iter([2.0, 5.0, 7.0]))
    return lambda x: x * next(holder.it), lambda: None


@refused
def loop_over_an_iterator() -> Case:
    it = iter([2.0, 5.0, 7.0])

    def f(x: Any) -> Any:
        for k in it:
            return x * k
        return x

    return f, lambda: None


@refused
def iterator_of_a_user() -> Case:
    class Steps:
        i = 0

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.i += 1
            return self.i

    it = Steps()
    return lambda x: x * next(it), lambda: None


@refused
def counting_in_an_attribute() -> Case:
    holder = types.SimpleNamespace(n=0)

    def f(x: Any) -> Any:
        holder.n += 1
        return x * holder.n

    return f, lambda: None


@refused
def counting_in_a_global() -> Case:
    scope = in_scope("n = 0\ndef f(x):\n    global n\n    n += 1\n    return x * n\n")
    return scope["f"], lambda: None


@refused
def counting_on_a_class() -> Case:
    class Holder:
        n = 0

    def f(x: Any) -> Any:
        Holder.n += 1
        return x * Holder.n

    return f, lambda: None


@refused
def new_attribute() -> Case:
    class Holder:
        pass

    holder: Any = Holder()

    def f(x: Any) -> Any:
        for i in range(100):
            if not hasattr(holder, f"n{i}"):
                setattr(holder, f"n{i}", i)
                return x * i
        return x

    compiled = pg.compile(f)  # calls that fill caches run eagerly, but not for ever
    assert [compiled(pg.ones(1)).item() for _ in range(2)] == [0.0, 1.0]
    return compiled, lambda: None


@refused
def appending_to_a_list() -> Case:
    seen: list[float] = []

    def f(x: Any) -> Any:
        seen.append(1.0)
        return x * len(seen)

    return f, lambda: None


@refused
def adding_to_a_set() -> Case:
    seen: set[int] = set()

    def f(x: Any) -> Any:
        seen.add(len(seen))
        return x * len(seen)

    return f, lambda: None


@refused
def popping_from_a_deque() -> Case:
    queue = collections.deque([2.0, 5.0, 7.0])
    return lambda x: x * queue.popleft(), lambda: None


@refused
def writing_to_a_numpy_array() -> Case:
    k = np.zeros(1)

    def f(x: Any) -> Any:
        k[0] += 1.0
        return x * float(k[0])

    return f, lambda: None


@refused
def step_of_a_schedule() -> Case:
    w = nn.Parameter([1.0])
    w.grad = pg.ones(1)
    optimizer = optim.SGD([w], lr=2.0)
    optimizer.step()
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)

    def f(x: Any) -> Any:
        schedule.step()
        return x * 1.0

    return f, lambda: None


@refused
def returned_generator() -> Case:
    return lambda x: (x * k for k in range(3)), lambda: None


@refused
def returned_text() -> Case:
    return lambda x: f"loss {x}", lambda: None


@refused
def returned_set() -> Case:
    return lambda x: {1, 2}, lambda: None


@refused
def value_is_read() -> Case:
    return lambda x: x * float(pg.sum(x)), lambda: None
