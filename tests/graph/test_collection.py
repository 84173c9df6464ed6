"""The garbage collector stands still while plans are made, and is as it was afterwards."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest
from small import tensor

import polygrad as pg
from polygrad.graph import no_collection, passes


def test_the_collector_pauses_while_passes_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def looking(*args: Any) -> Any:
        seen.append(gc.isenabled())
        return optimized(*args)

    optimized = passes.optimized
    monkeypatch.setattr("polygrad.graph.compiled.optimized", looking)
    assert gc.isenabled()
    pg.compile(pg.sin)(tensor())
    assert seen == [False]
    assert gc.isenabled()


def test_nested_scopes_and_a_collector_that_is_off() -> None:
    with no_collection:
        with no_collection:
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with no_collection:
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_errors_end_the_pause() -> None:
    with pytest.raises(ZeroDivisionError), no_collection:
        raise ZeroDivisionError
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
def test_a_child_collects_again() -> None:
    with no_collection:
        child = os.fork()
        if child == 0:
            os._exit(0 if gc.isenabled() else 1)
        assert not gc.isenabled()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
