"""Worker processes: each with a pipe of its own, and no thread in the main process.

A worker has three threads: one computes, one receives what it is asked for, one sends what was made; so neither side waits for
the other to read. The receiving one also sees that the main process is gone, however it ended, and ends its own.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextvars import Context
from multiprocessing import connection
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

__all__ = ["Died", "Process", "Ticket", "start_method"]

# The system says at once when the main process is gone. Only where another child of it has copied the pipes' ends does it
# not, and then this long passes until a worker looks itself.
_LOOK_S: Final = 5.0

_THREADED: Final = {
    "jax": "JAX computes in threads of its own, whose locks a child would find locked",
    "cupy": "CUDA cannot be used in a child after it was in its parent",
    "tensorflow": "TensorFlow computes in threads of its own",
}
"""Libraries after whose import a process must not be forked, and why."""


def start_method() -> str:
    """How worker processes are started: by a fork, which takes milliseconds, where that is safe, else anew.

    A forked child has one thread, and locks that others held stay locked in it. So it is safe only while no other thread
    runs and no library is loaded that computes in threads of its own. (Those of polygrad's own wait for work, and
    children make new ones. OpenBLAS ends its threads before a fork.) macOS's own libraries do not bear it at all.
    """
    methods = multiprocessing.get_all_start_methods()
    others = [
        t for t in threading.enumerate() if t is not threading.current_thread() and not t.name.startswith("polygrad-")
    ]
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and torch.cuda.is_initialized()
    if (
        "fork" in methods
        and sys.platform == "linux"
        and not others
        and not on_gpu
        and _THREADED.keys().isdisjoint(sys.modules)
    ):
        return "fork"
    return "forkserver" if "forkserver" in methods else "spawn"


class Died(Exception):
    """A worker process ended before it answered."""


class RemoteTraceback(Exception):
    """Where a worker raised an error: the text of its traceback."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Ticket:
    """What a worker was asked for; its answers come in order."""

    __slots__ = ("dropped", "worker")

    def __init__(self, worker: Process) -> None:
        self.worker = worker
        self.dropped = False

    def cancel(self) -> None:
        """Let the answer be dropped when it comes."""
        self.dropped = True


class _Answer(NamedTuple):
    """What came back.

    Attributes:
        failed: whether an error was raised.
        payload: the pickled result or error; None for an error that is not to be pickled.
        words: the error's class and message.
        lines: its traceback.
    """

    failed: bool
    payload: bytes | None
    words: str
    lines: str

    def result(self, who: str) -> Any:
        """The result; an error is raised."""
        if not self.failed:
            assert self.payload is not None
            return pickle.loads(self.payload)
        try:
            error = None if self.payload is None else pickle.loads(self.payload)
        except Exception:
            error = None
        if not isinstance(error, BaseException):
            error = RuntimeError(f"{who} raised {self.words} (an error of this class cannot be sent between processes)")
        raise error from RemoteTraceback(self.lines)


class Process:
    """A worker process.

    Args:
        context: of multiprocessing.
        prepare: called once in the process with the two arguments that follow; returns the function that answers.
        arguments: for ``prepare``; pickled unless the process is forked.
        earlier: the workers before this one.
    """

    def __init__(
        self, context: Any, prepare: Callable[..., Any], arguments: tuple[Any, ...], earlier: Sequence[Process]
    ) -> None:
        self._connection, theirs = context.Pipe()
        forked = context.get_start_method() == "fork"
        ours = [w._connection for w in (*earlier, self)] if forked else []  # a fork copies them all
        self._process = context.Process(
            target=_run, args=(theirs, ours, forked, prepare, arguments), name="polygrad DataLoader", daemon=True
        )
        self._process.start()
        theirs.close()
        self._asked: list[Ticket] = [Ticket(self)]
        self._answers: dict[Ticket, _Answer] = {}
        self.begun = self._asked[0]
        self.broken = False

    def ask(self, *request: Any) -> Ticket:
        """Have the worker answer a request, after those it has."""
        ticket = Ticket(self)
        self._asked.append(ticket)
        try:
            self._connection.send_bytes(pickle.dumps(request))
        except OSError:  # it is dead, which is told to whoever waits for the answer
            self.broken = True
        return ticket

    def answer(self, ticket: Ticket, timeout: float | None) -> _Answer:
        """Wait for an answer.

        Raises:
            Died: if the process ends before.
            TimeoutError: if it takes longer.
        """
        while ticket not in self._answers:
            if not connection.wait([self._connection, self._process.sentinel], timeout):
                raise TimeoutError
            broken, self.broken = self.broken, True  # an interrupt may leave half of an answer in the pipe
            try:
                if not self._connection.poll():
                    raise EOFError
                about = pickle.loads(self._connection.recv_bytes())
                payload = self._connection.recv_bytes()
            except (EOFError, OSError) as error:
                raise Died from error
            self.broken = broken
            asked = self._asked.pop(0)
            if not asked.dropped:
                failed, sent, words, lines = about
                self._answers[asked] = _Answer(failed, payload if sent else None, words, lines)
        return self._answers.pop(ticket)

    def close(self) -> None:
        """Let the process end, once it has made what it is at."""
        self._connection.close()
        self._asked.clear()  # tickets refer back here
        self._answers.clear()


# -- in the process -------------------------------------------------------------------------------------


def _run(own: Any, others: list[Any], forked: bool, prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the keyboard is the main process's to act on
    for end in others:
        end.close()
    if forked:
        _differ()
    # A context of its own: a fork copies the grad mode, the device and the generator of where the loader was.
    Context().run(_serve, own, forked, prepare, arguments)


def _differ() -> None:
    """In a fork, which copies them: random numbers of its own, and PyTorch without its parent's threads."""
    for name in ("random", "numpy.random"):
        if name in sys.modules:
            sys.modules[name].seed()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _serve(own: Any, forked: bool, prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    requests: SimpleQueue[Any] = SimpleQueue()
    answers: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_receive, args=(own, requests, forked), daemon=True).start()
    threading.Thread(target=_send, args=(own, answers), daemon=True).start()
    made: list[Any] = []
    answers.put(_outcome(lambda: made.append(prepare(*arguments))))
    while (request := requests.get()) is not None:
        answers.put(_outcome(made[0], *request))


def _outcome(f: Callable[..., Any], *args: Any) -> tuple[bytes, Any]:
    """What a function returns or raises, pickled, with what is known about it."""
    payload: Any
    try:
        payload = ForkingPickler.dumps(f(*args))
        return pickle.dumps((False, True, "", "")), payload
    except BaseException as error:
        words = "".join(traceback.format_exception_only(error)).strip()
        lines = "".join(traceback.format_exception(error))
        try:
            payload = pickle.dumps(error)
            pickle.loads(payload)
        except Exception:  # its class's __init__ takes something else than its args
            payload = None
        return pickle.dumps((True, payload is not None, words, lines)), payload or b""


def _receive(own: Any, requests: SimpleQueue[Any], forked: bool) -> None:
    """Pass requests on until the loader is closed; end the process when the main one is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    ends, pause = [own, parent.sentinel], _LOOK_S
    while True:
        ready = connection.wait(ends, pause)
        # Of a parent that is just ending, the pipes are closed first: then look again soon.
        if parent.sentinel in ready or (forked and os.getppid() != parent.pid):
            os._exit(1)
        if own in ready:
            try:
                requests.put(pickle.loads(own.recv_bytes()))
            except (EOFError, OSError):
                requests.put(None)
                ends, pause = [parent.sentinel], 0.1


def _send(own: Any, answers: SimpleQueue[Any]) -> None:
    try:
        while True:
            for part in answers.get():
                own.send_bytes(part)
    except OSError:  # the loader was closed
        return
