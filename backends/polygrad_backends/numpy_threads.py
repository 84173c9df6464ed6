"""Worker threads for what NumPy does without the GIL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Team", "team", "threads"]


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
                for member in called:
                    member.done.acquire()
            for member in called:
                error, member.error = member.error, None
                if error is not None:
                    raise error
        finally:
            self._free.release()


_team: Team | None = None
_team_lock = threading.Lock()


def team(np: Any) -> Team:
    """The process's team."""
    global _team
    with _team_lock:
        if _team is None:
            _team = Team(np)
        return _team


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads

    def _forget() -> None:
        global _team, _team_lock
        _team, _team_lock = None, threading.Lock()

    os.register_at_fork(after_in_child=_forget)
