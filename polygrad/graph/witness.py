"""Which Python code ran while a function was traced, and what it called that a static graph cannot repeat.

Python calls a profile function at each call and return. It is set only while a trace's function runs, in that thread, and
not inside polygrad's own bookkeeping.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from ..errors import TraceError
from .code import argument_of_call, is_generated, is_library, is_ours
from .outside import is_iterator

__all__ = ["Witness"]

_CLOCKS: Final = frozenset(
    "time time_ns perf_counter perf_counter_ns monotonic monotonic_ns process_time process_time_ns thread_time "
    "thread_time_ns localtime gmtime ctime asctime strftime clock_gettime now today utcnow".split()
)
_INPUTS: Final = frozenset("input open read readline readlines recv".split())
_SYSTEM: Final = frozenset("getpid times getloadavg getcwd getrecursionlimit gettempdir cpu_count uname".split())
_ENTROPY: Final = frozenset("urandom getrandom uuid1 uuid4 generate_time_safe".split())
_SUSPECTS: Final = _CLOCKS | _INPUTS | _SYSTEM | _ENTROPY | {"next"}

_WITHOUT_NAMES: Final = frozenset(
    "polygrad polygrad_backends numpy array_api_compat array_api_strict torch jax jaxlib dask cupy cupyx optree importlib "
    "_frozen_importlib _frozen_importlib_external contextlib warnings threading".split()
)
"""Packages whose own objects hold nothing that a graph depends on, as far as their code reads it."""


_HOUSEKEEPING: Final = frozenset(
    "importlib _frozen_importlib _frozen_importlib_external linecache warnings traceback logging tokenize inspect abc "
    "contextlib threading concurrent asyncio".split()
)


class Witness:
    """What ran.

    Args:
        entered: called with a code object and its module's globals before user code runs for the first time.
        reached: whether an object was there before the trace.
        is_user: whether a module's code is the user's.

    Attributes:
        codes: the code objects that ran, with the globals of their modules.
        library: those of installed packages among them.
        frames: first frames of user code, kept until the functions are known.
        refused: what cannot be repeated, as the end of a sentence, and where.
    """

    def __init__(
        self,
        entered: Callable[[types.FrameType], bool],
        reached: Callable[[Any], bool],
        is_user: Callable[[str | None], bool],
    ) -> None:
        self.codes: dict[types.CodeType, dict[str, Any]] = {}
        self.library: set[types.CodeType] = set()
        self.frames: list[types.FrameType] = []
        self.refused: list[tuple[str, str]] = []
        self._entered = entered
        self._reached = reached
        self._is_user = is_user
        self._ours: set[types.CodeType] = set()
        self._before: Any = None
        self._active = False

    # -- the profile function ----------------------------------------------------------------------

    def _seen(self, frame: types.FrameType, event: str, arg: Any) -> None:
        if event == "call":
            code = frame.f_code
            if code not in self._ours and code not in self.codes:
                self._first(frame, code)
        elif event == "c_call":
            name = getattr(arg, "__name__", "")
            if name in _SUSPECTS:
                self._suspect(frame, arg, name)

    def _first(self, frame: types.FrameType, code: types.CodeType) -> None:
        module = frame.f_globals.get("__name__")
        if is_ours(module) and not self._is_user(module) and not is_generated(code):
            self._ours.add(code)
            return
        self.codes[code] = frame.f_globals
        if self._is_user(module) or is_generated(code):
            if self._entered(frame):
                self.frames.append(frame)
        else:
            self.library.add(code)

    def _suspect(self, frame: types.FrameType, called: Any, name: str) -> None:
        module = frame.f_globals.get("__name__")
        if name in _ENTROPY:
            if not is_ours(_caller(frame)):
                self._refuse(f"draws random numbers from the system ({name})", frame)
            return
        if name == "next" and not self._is_user(module) and not is_generated(frame.f_code):
            return
        if name != "next" and not self._is_user(_caller(frame)):
            return
        holder = getattr(called, "__self__", None)
        if name == "next":
            iterator = argument_of_call(frame)
            if is_iterator(iterator) and self._reached(iterator):
                where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise TraceError(_message("takes the next item of an iterator from outside", where))
        elif name in _CLOCKS:
            if getattr(holder, "__name__", "") in ("time", "datetime", "date"):
                self._refuse(f"reads the clock ({name})", frame)
        elif name in _SYSTEM:
            if getattr(holder, "__name__", "") in ("posix", "nt", "sys"):
                self._refuse(f"asks the operating system ({name})", frame)
        elif name in ("input", "open"):
            if getattr(holder, "__name__", "") in ("builtins", "io", "_io"):
                self._refuse(f"reads from outside ({name})", frame)
        elif type(holder).__module__ in ("_io", "_socket", "socket"):
            self._refuse(f"reads from outside ({name})", frame)

    def _refuse(self, what: str, frame: types.FrameType) -> None:
        self.refused.append((what, f"{frame.f_code.co_filename}:{frame.f_lineno}"))

    # -- when --------------------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The scope in which calls are seen."""
        self._before, self._active = sys.getprofile(), True
        sys.setprofile(self._seen)
        try:
            yield
        finally:
            self._active = False
            restore(self._before)

    def pause(self) -> None:
        """See nothing until :meth:`resume`."""
        if self._active:
            sys.setprofile(None)

    def resume(self) -> None:
        """See calls again."""
        if self._active:
            sys.setprofile(self._seen)

    def raise_refused(self) -> None:
        """Raise for the first call that cannot be repeated.

        Raises:
            TraceError: if there was one.
        """
        if self.refused:
            raise TraceError(_message(*self.refused[0]))

    def attribute_names(self) -> set[types.CodeType]:
        """The code of libraries whose objects may hold what a graph depends on."""
        return {c for c in self.library if self.codes[c].get("__name__", "").partition(".")[0] not in _WITHOUT_NAMES}


def _caller(frame: types.FrameType | None) -> str | None:
    """The module, not of Python's own, that a call comes from; Python's own where it keeps house: imports, warnings, logs."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names or top in _HOUSEKEEPING:
            return str(name)
        frame = frame.f_back
    return None


def restore(before: Any) -> None:
    """Set the profiler that was there before."""
    if before is None or callable(before):
        sys.setprofile(before)
    else:  # cProfile's, which is no function
        sys.setprofile(None)
        before.enable()


def _message(what: str, where: str) -> str:
    return (
        f"the function {what} at {where}; a static graph would keep the first result for ever. Pass the value in as an "
        "argument, draw with pg.random, or read it in pg.graph.on_each_run, whose floats and arrays each run gets anew"
    )


def is_user_module(own: str) -> Callable[[str | None], bool]:
    """A function that says whether a module's code is the user's; ``own`` is the package of the traced function."""

    def is_user(name: str | None) -> bool:
        if name is not None and own and name.partition(".")[0] == own and not is_ours(own):
            return True
        return not is_library(name)

    return is_user
