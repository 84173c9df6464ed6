"""Which tensors a running transform differentiates, so that none of them leaves its graph unnoticed."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from os import sep
from pathlib import Path
from typing import Any, Final

from ..errors import DetachError, DetachWarning
from .node import Node, reaches

__all__ = ["differentiating", "is_differentiated", "leave"]

_PACKAGE: Final = str(Path(__file__).parent.parent) + sep
_INSTALLED: Final = str(Path(contextlib.__file__).parent) + sep  # Python's own modules


@dataclass(slots=True)
class _Scope:
    """The transforms that run, and what they met."""

    inputs: frozenset[Node]
    raised: DetachError | None = None


_running: ContextVar[_Scope | None] = ContextVar("polygrad_differentiating", default=None)


@contextmanager
def differentiating(inputs: Iterable[Node]) -> Iterator[None]:
    """The scope in which a transform runs the function that it differentiates."""
    outer = _running.get()
    scope = _Scope(frozenset(inputs) if outer is None else outer.inputs | frozenset(inputs))
    token = _running.set(scope)
    try:
        yield
    except DetachError:
        raise
    except Exception as error:  # NumPy and compiled callers put errors of their own over ours
        cause = _detach_error(error)
        if cause is not None:
            raise cause from None
        if scope.raised is not None and _is_dropped(scope.raised):
            raise scope.raised from error
        raise
    finally:
        _running.reset(token)
        scope.raised = None


def _detach_error(error: BaseException | None) -> DetachError | None:
    """The DetachError that led to an error, if one did."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, DetachError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _is_dropped(error: DetachError) -> bool:
    """Whether an error never reached a Python caller: compiled code that converted a tensor went on without it.

    SciPy's root finders take the -1 of a failed conversion for the function's value and fail later for a reason of theirs.
    """
    trace = error.__traceback__  # Python 3.11 sets it when a handler is reached
    return trace is None or trace.tb_frame.f_code.co_filename.startswith(_PACKAGE)


def is_differentiated(tensor: Any) -> bool:
    """Whether a tensor depends on what a running transform differentiates with respect to."""
    scope = _running.get()
    if scope is None:
        return False
    if tensor._node is None:
        return bool(tensor._device.backend.carries_graph(tensor._value))
    return reaches([tensor._node], scope.inputs)


def leave(tensor: Any, what: str, instead: str, *, warn: bool = False) -> None:
    """Raise, or warn, before a tensor's value leaves its graph.

    Args:
        what: the conversion, as the user wrote it.
        instead: what to write.
        warn: whether to warn where no transform is running.

    Raises:
        DetachError: if a running transform differentiates with respect to what the tensor depends on.
    """
    if is_differentiated(tensor):
        _, where = _caller()
        error = DetachError(
            f"{what} at {where} takes the value of a tensor (shape {tuple(tensor._value.shape)}) out of the function that is "
            f"being differentiated: its derivative would be lost. {instead}; x.detach() first, if that is meant"
        )
        scope = _running.get()
        if scope is not None:
            scope.raised = error
        raise error
    if warn and tensor._node is not None:
        level, where = _caller()
        warnings.warn(
            f"{what} at {where} takes the value of a tensor that requires grad out of its graph: no gradient flows through "
            f"the result. {instead}; x.item() or x.detach(), if that is meant",
            DetachWarning,
            stacklevel=level,
        )


def _caller() -> tuple[int, str]:
    """The line of the calling program: its place on the stack, for warnings, and its name.

    It is the innermost one that is neither polygrad's nor an installed package's, if there is one.
    """
    frame: Any = sys._getframe(1)
    level, outside = 1, None
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE):
            outside = outside or (level, f"{name}:{frame.f_lineno}")
            if not name.startswith(_INSTALLED) and "-packages" not in name:
                return level, f"{name}:{frame.f_lineno}"
        frame, level = frame.f_back, level + 1
    return outside or (level, "an unknown line")
