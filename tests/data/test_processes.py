"""Worker processes: how they start, what they pass on, and that none outlives the main process."""

from __future__ import annotations

import copyreg
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import data

METHODS = multiprocessing.get_all_start_methods()
forks = pytest.mark.skipif("fork" not in METHODS or not sys.platform.startswith("linux"), reason="forks on Linux")


class TwoArguments(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"the sample {a} is bad")


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("no")


class Unwilling(Exception):
    def __reduce__(self) -> Any:
        return int, ("no number",)


class Strange:
    """A sample that cannot be sent."""

    def __reduce__(self) -> Any:
        raise ZeroDivisionError("not to be sent")


class Tricky(data.Dataset):
    """Does what it is told to at sample 3."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> Any:
        if i != 3:
            return i
        if self.how == "strange":
            return Strange()
        if self.how == "exit":
            raise SystemExit(3)
        raise {
            "two": lambda: TwoArguments(3, 4),
            "un": Unpicklable,
            "int": Unwilling,
            "os": lambda: OSError(5, "broken"),
        }[self.how]()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("two", RuntimeError, "TwoArguments: the sample 3 is bad .an error of this class cannot be sent"),
        ("un", RuntimeError, "Unpicklable"),
        ("int", RuntimeError, "Unwilling"),
        ("os", OSError, "broken"),
        ("strange", ZeroDivisionError, "not to be sent"),
        ("exit", SystemExit, "3"),
    ],
)
def test_errors_reach_the_main_process(
    how: str, kind: type[BaseException], words: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where Dask was imported, tblib has given every exception class that existed a way to be unpickled.
    for error in (TwoArguments, Unpicklable, Unwilling):
        monkeypatch.delitem(copyreg.dispatch_table, error, raising=False)
    if method != "fork" and how != "two":
        pytest.skip("the same code")
    loader = data.DataLoader(Tricky(how), batch_size=2, num_workers=1, multiprocessing_context=method, collate_fn=tuple)
    with pytest.raises(kind, match=words) as caught:
        list(loader)
    assert "processes.py" in str(caught.value.__cause__)
    if kind is not SystemExit:
        assert "worker 0, while making batch 1, of the samples [2, 3]" in caught.value.__notes__[0]


class Large(data.Dataset):
    def __len__(self) -> int:
        return 200_000

    def batch(self, indices: Any) -> Any:
        return np.full(300_000, indices[0])


def test_large_requests_and_answers_wait_for_nobody() -> None:
    numbers = [list(range(k, k + 60_000)) for k in range(8)]
    loader = data.DataLoader(Large(), batch_sampler=numbers, num_workers=2, prefetch_factor=3)
    assert [int(batch[0]) for batch in loader] == list(range(8))


def test_persistent_workers_go_on_after_a_broken_epoch() -> None:
    loader = data.DataLoader(Tricky("two"), batch_size=1, num_workers=2, persistent_workers=True)
    pids = set()
    for _ in range(3):
        for i, batch in enumerate(loader):
            assert batch.tolist() == [i]
            if i == 1:
                break
        assert loader._workers is not None
        pids.add(tuple(w._process.pid for w in loader._workers._processes))
    assert len(pids) == 1
    loader.close()


def test_workers_are_left_behind_when_an_answer_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = data.DataLoader(Large(), batch_sampler=[[i] for i in range(4)], num_workers=1, persistent_workers=True)
    steps = iter(loader)
    next(steps)
    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing.connection.Connection, "recv_bytes", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(steps)
    assert loader._workers is None
    assert [int(batch[0]) for batch in loader] == [0, 1, 2, 3]
    loader.close()


def _interrupted(*args: Any) -> Any:
    raise KeyboardInterrupt


# -- how they start --------------------------------------------------------------------------------------


def run(script: str, *args: str, **more: Any) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=120, env=env, **more
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_CHOICE = """
import sys, threading, types
import polygrad as pg
from polygrad.data.processes import start_method
pg.compile(lambda x: pg.exp(x) * x + 1)(pg.ones(1_000_000))  # with threads of polygrad's own
print(start_method())
held = threading.Event()
thread = threading.Thread(target=held.wait)
thread.start()
print(start_method())
held.set()
thread.join()
print(start_method())
sys.modules["jax"] = types.ModuleType("jax")
print(start_method())
"""


@forks
def test_a_fork_where_nothing_forbids_it() -> None:
    assert run(_CHOICE).split() == ["fork", "forkserver", "fork", "forkserver"]


_FORKED = """
import random, sys
import numpy as np, polygrad as pg
from polygrad import data

class Local(data.Dataset):
    def __len__(self):
        return 40
    def __getitem__(self, i):
        x = pg.asarray(np.ones(2), requires_grad=True)
        assert (x * 2.0).requires_grad
        return random.random(), float(np.random.rand()), float(pg.random.uniform(()))

numbers = []
with pg.no_grad():
    loader = data.DataLoader(Local(), 1, num_workers=4, collate_fn=lambda s: s[0], worker_init_fn=lambda i: None)
    for _ in range(2):
        numbers += list(loader)
assert all(len(set(column)) == 80 for column in zip(*numbers))
assert loader._workers is None
"""


@forks
def test_forked_workers_take_anything_and_draw_each_its_own() -> None:
    run(_FORKED)


_ORPHANS = """
import os, signal, sys, time
import polygrad as pg
from polygrad import data
from test_processes import Sleepy

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    loader = data.DataLoader(Sleepy(), num_workers=2, multiprocessing_context=sys.argv[1] or None)
    for batch in loader:
        print(*batch, flush=True)
"""


class Sleepy(data.Dataset):
    """Gives its process's number; from sample 4 on it takes for ever."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> int:
        if i >= 4:
            time.sleep(600)
        return os.getpid()

    def batch(self, indices: Any) -> Any:
        return [self[i] for i in indices]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before, or while, this was read
        return False


@pytest.mark.one_in(3)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("method", ["", *METHODS])
@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_no_worker_outlives_the_main_process(method: str, ending: str, tmp_path: Path) -> None:
    if ending != "SIGKILL" and method == "spawn":
        pytest.skip("as forkserver")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    script = tmp_path / "main.py"
    script.write_text(_ORPHANS)
    with subprocess.Popen(
        [sys.executable, str(script), method], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as main:
        assert main.stdout is not None
        pids = {int(main.stdout.readline()) for _ in range(4)}
        assert len(pids) == 2
        assert all(map(alive, pids))
        main.send_signal(getattr(signal, ending))
        main.wait(timeout=30)
        deadline = time.monotonic() + 30
        while any(map(alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(map(alive, pids))


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """No test leaves a thread of the loader's behind in this process: there are none."""
    before = threading.active_count()
    yield
    assert threading.active_count() <= before


def test_a_worker_that_is_killed_is_told() -> None:
    loader = data.DataLoader(Sleepy(), num_workers=1, timeout=60)
    steps = iter(loader)
    (pid,) = next(steps)
    for _ in range(3):
        next(steps)
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(RuntimeError, match=r"worker 0 \(a process\) died while making batch 4"):
        next(steps)
    assert pg.data.get_worker_info() is None
