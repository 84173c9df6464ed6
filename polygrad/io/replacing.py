"""Replacing a file, whole or not at all; what a killed process left half-written goes with the next attempt."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from types import ModuleType
from typing import BinaryIO

__all__ = ["replacing"]

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """A file beside another to write to, which is then moved to the other's place; it is removed if anything is raised.

    Until then it is locked. The system takes the lock from a process that dies, so that a file without one is what such a
    process left, and is removed when the same path is replaced again.

    Raises:
        OSError: if the disk is full, or the folder missing or closed to us.
    """
    folder, name = os.path.split(path)
    folder = folder or "."
    _sweep(folder, name)
    beside, handle = _created(folder, name)
    try:
        with open(handle, "wb", closefd=False) as file:
            yield file
        os.fsync(handle)
        os.chmod(beside, _mode(path))
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    finally:
        os.close(handle)


def _created(folder: str, name: str) -> tuple[str, int]:
    """A new file that is locked, and its descriptor."""
    while True:
        beside = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.saving")
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        if _locked(handle) and _is_at(handle, beside):
            return beside, handle
        os.close(handle)  # another process swept it away between the two


def _locked(handle: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nothing is swept away there either
        return True
    return True


def _is_at(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _sweep(folder: str, name: str) -> None:
    """Remove what killed processes left beside a file."""
    if fcntl is None:
        return
    ours = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.saving")
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for path in [entry.path for entry in found if ours.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDWR)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
                finally:
                    os.close(handle)


def _mode(path: str) -> int:
    """The old file's mode, or that of any new one."""
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
