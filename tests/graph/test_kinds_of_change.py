"""Everything that a compiled function can depend on: it gives the new numbers after a change, or it was refused.

Each row of the table is one kind of change. ``guarded`` rows must give eager's numbers before and after; ``refused`` rows
must raise TraceError and leave what they touched as it was.
"""

from __future__ import annotations

import copy
from typing import Any

import kinds_of_containers  # noqa: F401  (its rows)
import kinds_of_functions  # noqa: F401  (its rows)
import kinds_of_objects  # noqa: F401  (its rows)
import kinds_of_ours  # noqa: F401  (its rows)
import kinds_of_reading  # noqa: F401  (its rows)
import kinds_of_refused  # noqa: F401  (its rows)
import numpy as np
import pytest
from kinds import GUARDED, REFUSED, Kind

import polygrad as pg
from polygrad.errors import TraceError
from polygrad.graph.compiled import Compiled


def value(result: Any) -> Any:
    return result.detach().numpy() if isinstance(result, pg.Tensor) else result


EXECUTORS = pytest.mark.parametrize("executor", ["planned", "native"])


@EXECUTORS
@pytest.mark.parametrize("kind", GUARDED, ids=lambda kind: kind.name)
def test_a_change_is_seen(kind: Kind, executor: str) -> None:
    f, change = kind.make()
    compiled = pg.compile(f, executor=executor)
    x = pg.asarray([4.0])
    with np.errstate(all="ignore"):
        first = value(f(x))
        for _ in range(3):
            np.testing.assert_array_equal(value(compiled(x)), first)
        assert compiled.cache_info().misses == 1  # it is a graph that ran, and one only
        assert compiled.cache_info().hits >= 1
        change()
        second = value(f(x))
        for _ in range(2):
            np.testing.assert_array_equal(value(compiled(x)), second)


@pytest.mark.parametrize("kind", GUARDED, ids=lambda kind: kind.name)
def test_the_table_changes_what_the_function_gives(kind: Kind) -> None:
    f, change = kind.make()
    x = pg.asarray([4.0])
    with np.errstate(all="ignore"):
        first = copy.copy(value(f(x)))
        change()
        assert not np.array_equal(first, value(f(x)))


@EXECUTORS
@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.name)
def test_what_each_run_would_do_anew_is_refused(kind: Kind, executor: str) -> None:
    f, _ = kind.make()
    compiled = f if isinstance(f, Compiled) else pg.compile(f, executor=executor)
    eager = 0  # calls that put something new somewhere, as caches do
    for _ in range(4):
        try:
            compiled(pg.asarray([4.0]))
        except TraceError:
            break
        eager += 1
    assert eager <= (1 if kind.name == "iterator_of_a_user" else 0)
    with pytest.raises(TraceError):
        compiled(pg.asarray([4.0]))


def test_the_table_is_long() -> None:
    assert len(GUARDED) + len(REFUSED) >= 80
