"""Grad mode: context managers, decorators, threads, asyncio, generators, exceptions."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.core.modes import get_mode
from polygrad.registry import default_device


def tracks() -> bool:
    x = pg.asarray([1.0], requires_grad=True)
    return (x * 2.0).requires_grad


def test_nesting_restores_what_was() -> None:
    """The ancestor's nested no_grad turned gradients back on."""
    with pg.no_grad():
        with pg.no_grad():
            assert not tracks()
        assert not tracks()
        with pg.enable_grad():
            assert tracks()
            with pg.no_grad():
                assert not tracks()
            assert tracks()
        assert not tracks()
    assert tracks()


def test_an_exception_restores_the_mode() -> None:
    with pytest.raises(KeyError), pg.no_grad():
        raise KeyError
    assert tracks()


def test_one_instance_may_be_entered_again() -> None:
    mode = pg.no_grad()
    with mode, mode:
        assert not tracks()
    assert tracks()


def test_as_decorator() -> None:
    @pg.no_grad()
    def off() -> bool:
        return tracks()

    assert not off()
    assert off.__name__ == "off"
    assert tracks()


def test_set_grad_enabled_as_a_call_and_as_a_manager() -> None:
    pg.set_grad_enabled(False)
    assert not tracks()
    pg.set_grad_enabled(True)
    with pg.set_grad_enabled(False):
        assert not tracks()
    assert tracks()

    @pg.set_grad_enabled(False)
    def off() -> bool:
        return tracks()

    assert tracks()
    assert not off()


def test_a_decorated_generator_leaves_its_callers_mode_alone() -> None:
    """pytorch#49017: no_grad around yield leaked into the consumer."""

    @pg.no_grad()
    def numbers() -> Iterator[bool]:
        yield tracks()
        try:
            got = yield tracks()
        except ValueError:
            got = "caught"
        yield got  # type: ignore[misc]

    steps = numbers()
    assert next(steps) is False
    assert tracks()
    assert next(steps) is False
    assert tracks()
    assert steps.throw(ValueError()) == "caught"  # type: ignore[attr-defined]
    assert tracks()
    steps.close()  # type: ignore[attr-defined]


def test_a_decorated_generator_passes_sent_values_and_results() -> None:
    @pg.no_grad()
    def echo() -> Iterator[int]:
        got = yield 1
        return got * 2 if got else 0  # type: ignore[return-value]

    steps = echo()
    next(steps)
    with pytest.raises(StopIteration) as stop:
        steps.send(21)  # type: ignore[attr-defined]
    assert stop.value.value == 42


def test_threads_have_modes_of_their_own() -> None:
    """pytorch#20528."""
    inside: list[bool] = []
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with pg.no_grad():
            entered.set()
            leave.wait(5)
            inside.append(tracks())

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(5)
    assert tracks()
    leave.set()
    thread.join()
    assert inside == [False]


def test_tasks_have_modes_of_their_own() -> None:
    async def off() -> list[bool]:
        seen = []
        with pg.no_grad():
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(tracks())
        return seen

    async def on() -> list[bool]:
        seen = []
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append(tracks())
        return seen

    @pg.no_grad()
    async def decorated() -> bool:
        await asyncio.sleep(0)
        return tracks()

    @pg.no_grad()
    async def stream() -> AsyncIterator[bool]:
        yield tracks()
        yield tracks()

    async def main() -> None:
        assert await asyncio.gather(off(), on(), off()) == [[False] * 3, [True] * 3, [False] * 3]
        assert await decorated() is False
        async for seen in stream():
            assert seen is False
            assert tracks()

    asyncio.run(main())


def test_nested_gradients_in_eight_threads() -> None:
    """autograd's global trace stack gives 84 wrong of 3,200 here."""

    def work(seed: int) -> int:
        rng = np.random.default_rng(seed)
        wrong = 0
        for _ in range(100):
            a, b = rng.uniform(0.5, 1.5, 2)
            found = pg.grad(lambda x, b=b: x * pg.grad(lambda y: pg.sin(x * y) * y)(b))(a)
            # d/da [ a (sin(ab) + ab cos(ab)) ]
            s, c = np.sin(a * b), np.cos(a * b)
            expected = s + a * b * c + a * (b * c + b * c - a * b * b * s)
            wrong += not np.isclose(found, expected, rtol=1e-12)
            with pg.no_grad():
                wrong += tracks()
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 0


def test_detect_anomaly_names_the_op_and_the_line_forward() -> None:
    x = pg.asarray([1.0, 0.0])
    with pg.detect_anomaly(), np.errstate(all="ignore"):
        with pytest.raises(
            pg.errors.AnomalyError, match=r"forward of 'log' made infinity, called at .*test_modes.py:\d+"
        ):
            pg.log(x)
        with pytest.raises(pg.errors.AnomalyError, match=r"forward of 'divide' made NaN and infinity"):
            pg.asarray([1.0, 0.0]) / x[1]


def test_detect_anomaly_names_the_op_and_the_line_backward(device: pg.Device) -> None:
    x = pg.asarray([4.0, 0.0], device=device, requires_grad=True)
    with pg.detect_anomaly():
        y = pg.sum(pg.sqrt(x))
        with pytest.raises(
            pg.errors.AnomalyError, match=r"backward of 'sqrt' made infinity; .*called at .*test_modes.py:\d+"
        ):
            y.backward()
    assert x.grad is None


def test_detect_anomaly_finds_arrays_changed_behind_the_graphs_back() -> None:
    base = np.ones(4)
    view = base[:]  # made before: read-only protection of `base` does not reach it
    x = pg.asarray(base, requires_grad=True)
    with pg.detect_anomaly():
        y = pg.sum(x * x)
        view[0] = 3.0
        with pytest.raises(pg.errors.AnomalyError, match=r"'multiply' saved .* changed afterwards"):
            y.backward()


# -- interrupts ----------------------------------------------------------------------------------------


class _Watch:
    """Raises KeyboardInterrupt at the n-th event of a kind in polygrad's own frames: between any two bytecodes there."""

    def __init__(self, at: int) -> None:
        self.at, self.seen, self.raised = at, 0, False

    def __call__(self, frame: Any, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.endswith(("core/modes.py", "core/scopes.py", "registry.py", "generator.py")):
            return None
        frame.f_trace_opcodes = True
        if event != "exception":
            if self.seen == self.at:
                self.raised = True
                self.seen += 1
                raise KeyboardInterrupt
            self.seen += 1
        return self


SCOPES: dict[str, Callable[[], Any]] = {
    "no_grad": pg.no_grad,
    "enable_grad": pg.enable_grad,
    "detect_anomaly": pg.detect_anomaly,
    "set_grad_enabled": lambda: pg.set_grad_enabled(False),
    "device": lambda: pg.device("strict:device1"),
    "random.use": lambda: pg.random.use(pg.random.Generator(0)),
}


def _enter_with(scope: Any) -> None:
    with scope:
        pass


def _enter_twice(scope: Any) -> None:
    with pg.no_grad(), scope, pg.enable_grad():
        pass


def _enter_on_a_stack(scope: Any) -> None:
    with ExitStack() as stack:
        stack.enter_context(scope)


def _state() -> tuple[int, pg.Device, Any]:
    return int(get_mode()), default_device(), pg.random.get_state()


@pytest.mark.parametrize("enter", [_enter_with, _enter_twice])
@pytest.mark.parametrize("name", SCOPES)
def test_an_interrupt_leaves_no_scope_open(name: str, enter: Callable[[Any], None]) -> None:
    """Whatever is interrupted in ``__enter__`` and ``__exit__``, afterwards all is as before."""
    if name == "device":
        pytest.importorskip("array_api_strict")
    SCOPES[name]()  # whatever is imported on first use
    pg.set_grad_enabled(True)
    before, at = _state(), 0
    while True:
        scope = SCOPES[name]()
        if name != "set_grad_enabled":
            assert _state() == before
        watch = _Watch(at)
        traced = sys.gettrace()
        sys.settrace(watch)
        try:
            enter(scope)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(traced)
        if (
            name == "set_grad_enabled"
        ):  # made outside, where it took effect; interrupted before it was entered it stays so
            pg.set_grad_enabled(True)
        assert _state() == before, at
        if not watch.raised:
            break
        at += 1
    assert at > 10


def test_scopes_may_be_entered_by_hand_and_on_stacks() -> None:
    for make in (pg.no_grad, lambda: pg.set_grad_enabled(False)):
        _enter_on_a_stack(make())
        assert tracks()
        scope = make()
        scope.__enter__()
        scope.__enter__()
        assert not tracks()
        scope.__exit__(None, None, None)
        assert not tracks()
        scope.__exit__(None, None, None)
        assert tracks()
    device = pg.device("cpu")
    assert device.__enter__() == pg.Device("cpu")
    device.__exit__(None, None, None)
    _enter_on_a_stack(pg.device("cpu"))
    with pytest.raises(RuntimeError, match="entered before"):
        device.__enter__()


def test_errors_pass_through_scopes() -> None:
    for name in ("no_grad", "set_grad_enabled", "random.use"):
        with pytest.raises(ZeroDivisionError), SCOPES[name]():
            _ = 1 / 0
    assert tracks()


def test_a_mode_set_for_good_inside_a_scope_ends_with_it() -> None:
    with pg.no_grad():
        pg.set_grad_enabled(True)
        assert tracks()
        with pg.no_grad():
            assert not tracks()
        assert tracks()
    assert tracks()
    with pg.enable_grad():
        pg.set_grad_enabled(False)
    assert tracks()


def test_contexts_leave_a_shared_scope_each_for_itself() -> None:
    scope = pg.no_grad()
    scope.__enter__()
    other = copy_context()
    scope.__exit__(None, None, None)
    assert tracks()
    other.run(scope.__exit__, None, None, None)
    assert other.run(tracks)
    assert other.run(pg.is_grad_enabled)


def test_a_device_decorates() -> None:
    @pg.device("cpu")
    def where() -> pg.Device:
        return pg.zeros(1).device

    assert where() == where() == pg.Device("cpu")
