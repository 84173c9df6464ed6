"""The format of safetensors: its header, checked whole, and the bytes of tensors, which no map holds in memory.

What was mapped would stay so until the last array over it is gone, and touching it after the file was cut would kill the
process. Bytes are read when they are asked for; a file that became shorter is an error like any other.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple

__all__ = ["Entry", "Reader", "write"]

_LONGEST_HEADER: Final = 100_000_000
"""Bytes; the limit that the format's own library has."""

_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64,
    "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


class Entry(NamedTuple):
    """A tensor of a file.

    Attributes:
        dtype: as the format names it.
        shape: as it is stored.
        begin, end: where its bytes are, counted from those of the first tensor.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def row_bytes(self) -> int:
        """The bytes for each index of the first axis."""
        return (self.end - self.begin) // self.shape[0] if self.shape and self.shape[0] else 0


class Reader:
    """An open file, closed with the last reference to this.

    Attributes:
        entries: its tensors.
        metadata: its strings.

    Raises:
        OSError: if the file cannot be opened or read.
        ValueError: saying what is wrong with its header.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.close = weakref.finalize(self, os.close, self._descriptor)
        try:
            size = os.fstat(self._descriptor).st_size
            if size < 8:
                raise ValueError(f"{size} bytes are no header")
            length = int.from_bytes(self._bytes(0, 8), "little")
            if length > min(size - 8, _LONGEST_HEADER):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            self._data = 8 + length
            header = _parsed(self._bytes(8, length))
            self.metadata = _metadata(header.pop("__metadata__", {}))
            self.entries = {name: _entry(name, about) for name, about in header.items()}
            _check_layout(self.entries, size - self._data)
        except BaseException:
            self.close()
            raise

    def _bytes(self, at: int, length: int) -> bytes:
        memory = bytearray(length)
        self._fill(memoryview(memory), at)
        return bytes(memory)

    def read(self, entry: Entry, begin: int, memory: Any) -> None:
        """Fill memory with a tensor's bytes from number ``begin`` on.

        Raises:
            EOFError: if the file has become shorter.
        """
        with memoryview(memory) as view:
            self._fill(view.cast("B") if view.nbytes else view, self._data + entry.begin + begin)

    def _fill(self, view: memoryview, at: int) -> None:
        done = 0
        while done < view.nbytes:
            count = _read_at(self._descriptor, view[done:], at + done)
            if count == 0:
                raise EOFError(f"the file ends at byte {at + done}, before its tensors do: it was cut off")
            done += count


def _read_at(descriptor: int, view: memoryview, at: int) -> int:
    """Read at a place, without the descriptor's own, which forked children share; returns how many bytes."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], at)
    data = (
        os.pread(descriptor, view.nbytes, at) if hasattr(os, "pread") else _read_by_seeking(descriptor, view.nbytes, at)
    )
    view[: len(data)] = data
    return len(data)


def _read_by_seeking(descriptor: int, length: int, at: int) -> bytes:
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.read(descriptor, length)


def write(file: BinaryIO, tensors: Mapping[str, tuple[str, Sequence[int], Any]], metadata: Mapping[str, str]) -> None:
    """Write a file: its header, then the tensors, those of the longest numbers first, so that all are aligned.

    Args:
        file: open for writing.
        tensors: for each name the dtype as the format names it, the shape, and a contiguous NumPy array of its bytes.
        metadata: strings by name.
    """
    names = sorted(tensors, key=lambda name: (-_BITS[tensors[name][0]], name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        dtype, shape, array = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        file.write(tensors[name][2].reshape(-1).view("u1"))


# -- the header -----------------------------------------------------------------------------------------


def _parsed(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise ValueError("its header is no JSON object")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    assert isinstance(header, dict)
    for name in header:
        name.encode("utf-8")  # half of a pair of surrogates is no text
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} in its header")


def _metadata(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError("its metadata are not strings by name")
    return value


def _entry(name: str, about: Any) -> Entry:
    whole = lambda v: type(v) is int and v >= 0  # noqa: E731
    fields = about if isinstance(about, dict) else {}
    dtype, shape, offsets = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not (
        isinstance(dtype, str)
        and isinstance(shape, list)
        and isinstance(offsets, list)
        and len(offsets) == 2
        and all(map(whole, [*shape, *offsets]))
    ):
        raise ValueError(f"{name!r} has no dtype, shape and offsets that make sense")
    if dtype not in _BITS:
        raise ValueError(f"{name!r} is of dtype {dtype!r}, which the format does not have")
    count = 1
    for n in shape:
        count *= n
    if count * _BITS[dtype] != 8 * (offsets[1] - offsets[0]):
        raise ValueError(f"{name!r} of {dtype} and shape {shape} has {offsets[1] - offsets[0]} bytes")
    return Entry(dtype, tuple(shape), *offsets)


def _check_layout(entries: dict[str, Entry], size: int) -> None:
    """Check that the tensors follow each other without gaps, to the end of the file."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != end:
            raise ValueError(f"{name!r} begins at {entry.begin}, but the one before it ends at {end}")
        end = entry.end
    if end != size:
        raise ValueError(f"its tensors have {end} bytes, but {size} follow the header")
