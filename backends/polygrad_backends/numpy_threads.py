"""Worker threads for what NumPy does without the GIL, and how many BLAS may use."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from polygrad.backend import ForkLock

__all__ = ["Team", "one_blas_thread", "team", "threads"]


def threads() -> int:
    """How many threads work is spread over: ``POLYGRAD_NUM_THREADS``, ``OMP_NUM_THREADS``, or the cores that this process
    may run on."""
    for name in ("POLYGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value):
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Member(threading.Thread):
    """A thread that waits for work. Two locks hand it over and back: half the time of a queue and a future."""

    def __init__(self, np: Any, number: int) -> None:
        super().__init__(name=f"polygrad-{number}", daemon=True)
        self.np = np
        self.task: Callable[[], None] | None = None
        self.error: BaseException | None = None
        self.go, self.done = threading.Lock(), threading.Lock()
        self.go.acquire()
        self.done.acquire()
        self.start()

    def run(self) -> None:
        with self.np.errstate(all="ignore"):
            while True:
                self.go.acquire()
                try:
                    assert self.task is not None
                    self.task()
                except BaseException as error:
                    self.error = error
                self.task = None  # it holds arrays
                self.done.release()


class Team:
    """The process's worker threads; they work for one run at a time."""

    def __init__(self, np: Any) -> None:
        self._np = np
        self._members: list[_Member] = []
        self._free = threading.Lock()

    def __call__(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Do all tasks, the first of them in this thread; all of them, one by one, while others use the team."""
        if len(tasks) <= 1 or not self._free.acquire(blocking=False):
            for task in tasks:
                task()
            return
        try:
            while len(self._members) < len(tasks) - 1:
                self._members.append(_Member(self._np, len(self._members) + 1))
            called = self._members[: len(tasks) - 1]
            for member, task in zip(called, tasks[1:]):
                member.task = task
                member.go.release()
            try:
                tasks[0]()
            finally:
                self._wait(called)
            for member in called:
                error, member.error = member.error, None
                if error is not None:
                    raise error
        finally:
            self._free.release()

    def _wait(self, called: Sequence[_Member]) -> None:
        """Until all have done, whatever interrupts the waiting: they work on arrays that will be used again."""
        interrupt: BaseException | None = None
        for member in called:
            while True:
                try:
                    member.done.acquire()
                    break
                except BaseException as error:
                    interrupt = error
        if interrupt is not None:
            raise interrupt


_team: Team | None = None
_team_lock = ForkLock()


def team(np: Any) -> Team:
    """The process's team."""
    global _team
    with _team_lock.held:
        if _team is None:
            _team = Team(np)
        return _team


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads

    def _forget() -> None:
        global _team
        _team = None
        one_blas_thread.forget()

    os.register_at_fork(after_in_child=_forget)


# -- BLAS --------------------------------------------------------------------------------------------


class _OneThread:
    """A scope in which products and factorisations of matrices take one thread, in all threads of the process.

    LAPACK's factorisations of some hundred rows are many times slower with OpenBLAS's threads than without, and where
    NumPy and SciPy each bring an OpenBLAS, the threads of one wait for work on the cores that the other needs. (A Cholesky
    factor of 200 rows on two cores: 0.9 to 5 ms with two threads, 0.18 with one; then a triangular system by SciPy: 6.6
    against 0.57 ms for both.)
    """

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._depth = 0
        self._before: list[tuple[Any, int]] = []
        self._known: dict[bool, list[Any]] = {}

    def _libraries(self) -> list[Any]:
        """What threadpoolctl knows of the BLAS of NumPy and SciPy; SciPy's may be loaded later."""
        later = "scipy.linalg" in sys.modules
        if later not in self._known:
            from threadpoolctl import ThreadpoolController

            found = ThreadpoolController().lib_controllers
            self._known[later] = [c for c in found if c.user_api == "blas" and "torch" not in c.filepath]
        return self._known[later]

    def __enter__(self) -> None:
        with self._lock.held:
            try:
                self._depth += 1
                if self._depth == 1:
                    self._before = [(c, n) for c in self._libraries() if (n := c.get_num_threads()) and n != 1]
                    for library, _ in self._before:
                        library.set_num_threads(1)
            except BaseException:  # an interrupt: nobody will leave what was not entered
                self.__exit__()
                raise

    def forget(self) -> None:
        """In a forked child: whoever was in the scope is not there."""
        if self._depth:
            self._depth = 1
            self.__exit__()

    def __exit__(self, *exc: object) -> None:
        with self._lock.held:
            self._depth = max(self._depth - 1, 0)
            if self._depth == 0:
                for library, n in self._before:
                    library.set_num_threads(n)

    def suits(self, shape: tuple[int, ...]) -> bool:
        """Whether matrices of a shape are factored more quickly here."""
        return len(shape) > 1 and 32 < shape[-1] <= 512

    def around(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """A function of matrices that enters the scope where that suits its first argument."""

        @functools.wraps(f)
        def call(x: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.suits(x.shape):
                return f(x, *args, **kwargs)
            with self:
                return f(x, *args, **kwargs)

        return call


one_blas_thread = _OneThread()
"""The process's scope."""
