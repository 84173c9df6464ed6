"""Files of tensors: one safetensors file, with the tree's JSON and checksums in its metadata."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import polygrad as pg
from polygrad import registry

from .layout import Reader, write
from .replacing import replacing
from .tree import decoded, encoded

__all__ = ["LazyTensor", "load", "save"]

Place = Any
"""A device, a dict from saved to wanted devices, a function of a tensor's name and saved device, or None."""

_VERSION = "1"

# safetensors' names of dtypes; complex128, which it lacks, is saved as float64 with a last axis of 2.
_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "C64": "complex64",
}  # fmt: skip


_NAMES = {name: code for code, name in _DTYPES.items()}
_CODES = {
    "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8", "F16": "<f2",
    "F32": "<f4", "F64": "<f8", "C64": "<c8",
}  # fmt: skip
"""The same for NumPy."""


# -- writing ------------------------------------------------------------------------------------------


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Write nested state to a file, whole or not at all.

    The file is in safetensors' format, which PyTorch, JAX and others read; the tensors of a state dict have the names of
    its keys there. What is not a tensor is JSON in the file's metadata. A tensor that stands in several places is saved
    once. The file is written beside its place and then moved there, so an old one stays until the new one is complete.

    Args:
        obj: Tensors or arrays of any library, numbers, strings, bytes, None, dtypes, devices, and dicts, lists and tuples
            of these, nested at will. Tensors are saved without their graph.
        path: of the file.

    Raises:
        TypeError: naming the place of what cannot be saved; nothing is written then.
        OSError: if the file cannot be written: the disk is full, the folder missing.

    A training checkpoint, from which training goes on bit for bit, is
    ``pg.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
    "random": pg.random.get_state(), "loader": loader.state_dict()}, path)``.

    >>> import os, tempfile
    >>> import polygrad as pg
    >>> model = pg.nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     pg.save(model.state_dict(), path)
    ...     model.load_state_dict(pg.load(path))
    LoadResult(missing=[], unexpected=[])
    """
    text, tensors = encoded(obj)
    hosts = {name: _host(x) for name, x in tensors.items()}
    about = {name: [x.device.name, zlib.crc32(hosts[name][1])] for name, x in tensors.items()}
    metadata = {"polygrad": _VERSION, "tree": text, "about": json.dumps(about)}
    metadata["checksum"] = str(zlib.crc32((text + metadata["about"]).encode()))
    with replacing(os.fspath(path)) as file:
        write(file, {n: (code, _stored_shape(tensors[n]), host) for n, (code, host) in hosts.items()}, metadata)


def _stored_shape(x: pg.Tensor) -> list[int]:
    return [*x.shape, 2] if x.dtype == pg.complex128 else list(x.shape)


def _host(x: pg.Tensor) -> tuple[str, Any]:
    """A tensor's dtype as the format names it, and its bytes in a NumPy array, contiguous and little-endian."""
    if x.dtype == pg.bfloat16:  # exact in float32, of which it is the upper half
        words = pg.asarray(x.astype("float32").to_device("cpu"), copy=True).numpy().view("<u4")
        return "BF16", (words >> 16).astype("<u2")
    host = x.to_device("cpu").numpy()
    host = host.astype(host.dtype.newbyteorder("<"), order="C", copy=False)
    if not host.flags.c_contiguous:
        host = host.copy()
    return _NAMES["float64" if x.dtype == pg.complex128 else x.dtype.name], host


# -- reading ------------------------------------------------------------------------------------------


class LazyTensor:
    """A tensor in a file, read when it is asked for: what ``pg.load(path, lazy=True)`` puts in place of tensors.

    Attributes:
        name: in the file.
        shape, dtype: of the tensor.

    >>> import os, tempfile
    >>> import polygrad as pg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "x.safetensors")
    ...     pg.save({"x": pg.reshape(pg.arange(6), (3, 2))}, path)
    ...     x = pg.load(path, lazy=True)["x"]
    ...     x.shape, x[1:2].tolist(), x.load().shape
    ((3, 2), [[2, 3]], (3, 2))
    """

    def __init__(self, file: _File, name: str, entry: Mapping[str, Any] | None, place: Place) -> None:
        self._file, self._place = file, place
        self.name = name
        self.shape: tuple[int, ...] = file.shape(name, entry)
        self.dtype: pg.DType = file.dtype(name, entry)

    def load(self) -> pg.Tensor:
        """The whole tensor, where it was wanted; its checksum is looked at.

        Raises:
            StateError: if it is damaged.
        """
        return self._file.tensor(self.name, self.dtype, self._place)

    def __getitem__(self, key: Any) -> pg.Tensor:
        """A part, by whole numbers and slices: of the first axis only what is wanted is read, and no checksum is looked at.

        Raises:
            IndexError: if the key does not fit the shape.
            StateError: if the file has become too short.
        """
        made = self._file.part(self.name, self.dtype, key)
        return self._file.placed(self.name, made, self.dtype, self._place)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.load().to_device("cpu").__array__(dtype, copy)

    def __repr__(self) -> str:
        return f"LazyTensor({self.name!r}, shape={self.shape}, dtype={self.dtype})"


def load(
    path: str | os.PathLike[str],
    device: Place = None,
    *,
    lazy: bool = False,
) -> Any:
    """Read what :func:`save` wrote, or any other safetensors file (as a dict of its tensors).

    Args:
        path: of the file.
        device: where the tensors go: a device; or a dict from the devices they were on to those they shall be on; or a
            function of a tensor's name and the device it was on; to the host (NumPy) unless told.
        lazy: put a :class:`LazyTensor` in each tensor's place, which reads it when asked.

    Returns:
        The nested state. Tensors require no grad; one that stood in several places does so again.

    Raises:
        FileNotFoundError: if there is none.
        StateError: if the file is damaged in any bit, cut off, or of another kind; nothing is returned then.
        DeviceError: if a device is not here.

    >>> import os, tempfile
    >>> import polygrad as pg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "x.safetensors")
    ...     pg.save((pg.ones(1), {"lr": 0.1}), path)
    ...     pg.load(path, device="cpu")
    (tensor([1.], dtype=float64), {'lr': 0.1})
    """
    file = _File(os.fspath(path))
    if lazy:
        made: dict[str, LazyTensor] = {}
        return file.tree(
            lambda name, entry: made.setdefault(name, LazyTensor(file, name, entry, device)),
        )
    try:
        return file.tree(lambda name, entry: file.tensor(name, file.dtype(name, entry), device))
    finally:
        file.reader.close()


class _File:
    """An open safetensors file, checked as far as its metadata goes."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.reader = Reader(path)
        except (ValueError, EOFError) as error:
            raise pg.errors.StateError(f"{path} is no safetensors file, or damaged: {error}") from error
        self._entries = self.reader.entries
        metadata = self.reader.metadata
        self._tree: str | None = metadata.get("tree") if "polygrad" in metadata else None
        self._about: dict[str, Any] = {}
        self._made: dict[str, pg.Tensor] = {}
        if any(key in metadata for key in ("polygrad", "tree", "about", "checksum")):
            self._check(metadata)

    def _fault(self, what: str) -> pg.errors.StateError:
        return pg.errors.StateError(f"{self.path} is damaged: {what}; nothing was loaded")

    def _check(self, metadata: Mapping[str, str]) -> None:
        lacking = [key for key in ("polygrad", "tree", "about", "checksum") if key not in metadata]
        if lacking:
            raise self._fault(f"its metadata lacks {', '.join(lacking)}")
        if metadata["polygrad"] != _VERSION:
            raise pg.errors.StateError(
                f"{self.path} is of version {metadata['polygrad']!r} of polygrad's format, this reads {_VERSION!r}"
            )
        if metadata["checksum"] != str(zlib.crc32((metadata["tree"] + metadata["about"]).encode())):
            raise self._fault("its metadata does not fit its checksum")
        try:
            self._about = _entries(json.loads(metadata["about"]))
        except (ValueError, TypeError, RecursionError) as error:
            raise self._fault(f"its list of tensors makes no sense ({type(error).__name__}: {error})") from error
        if set(self._about) != set(self._entries):
            different = sorted(set(self._about) ^ set(self._entries))
            raise self._fault(f"tensors only in the file or only in its metadata: {', '.join(different)}")

    # -- the tree ---------------------------------------------------------------------------------------

    def tree(self, make: Callable[[str, Mapping[str, Any] | None], Any]) -> Any:
        if self._tree is None:
            return {name: make(name, None) for name in self._entries}
        try:
            return decoded(self._tree, lambda entry: make(entry["name"], entry))
        except (pg.errors.BackendError, pg.errors.DeviceError) as error:
            raise pg.errors.DeviceError(f"{self.path}: {error}") from error
        except pg.errors.PolygradError:  # a tensor's own fault
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
            raise self._fault(f"its metadata makes no sense ({type(error).__name__}: {error})") from error

    def shape(self, name: str, entry: Mapping[str, Any] | None) -> tuple[int, ...]:
        stored = self._entries[name].shape
        if entry is None:
            return stored
        expected = (*entry["shape"], 2) if entry["dtype"] == "complex128" else tuple(entry["shape"])
        if stored != expected:
            raise self._fault(f"{name} has shape {stored} in the file, but {expected} in its metadata")
        return tuple(entry["shape"])

    def dtype(self, name: str, entry: Mapping[str, Any] | None) -> pg.DType:
        self.shape(name, entry)
        stored = self._entries[name].dtype
        if stored not in _DTYPES:
            raise pg.errors.DTypeError(f"{self.path}: {name} is of dtype {stored}, which the Array API has not")
        if entry is None:
            return pg_dtype(_DTYPES[stored])
        wanted = "float64" if entry["dtype"] == "complex128" else entry["dtype"]
        if _DTYPES[stored] != wanted:
            raise self._fault(f"{name} is of {_DTYPES[stored]} in the file, but of {wanted} in its metadata")
        return pg_dtype(entry["dtype"])  # which is one, as the file's is

    # -- tensors ----------------------------------------------------------------------------------------

    def tensor(self, name: str, dtype: pg.DType, place: Place) -> pg.Tensor:
        if name not in self._made:
            octets = self._octets(name, 0, self._entries[name].end - self._entries[name].begin)
            if name in self._about and zlib.crc32(octets) != self._about[name][1]:
                raise self._fault(f"{name} does not fit its checksum")
            array = _array(octets, self._entries[name].dtype, self._entries[name].shape, dtype)
            self._made[name] = self.placed(name, array, dtype, place)
        return self._made[name]

    def part(self, name: str, dtype: pg.DType, key: Any) -> Any:
        """The NumPy array of a part of a tensor: of the first axis only the rows between those wanted are read."""
        entry = self._entries[name]
        first, *rest = key if isinstance(key, tuple) and key else (key,)
        if not entry.shape or type(first) not in (int, slice):
            return self._rows(name, dtype, 0, entry.shape[0] if entry.shape else None)[key]
        rows = range(entry.shape[0])[first]
        if isinstance(rows, int):
            return self._rows(name, dtype, rows, rows + 1)[(0, *rest)]
        low, high = (min(rows), max(rows) + 1) if rows else (0, 0)
        return self._rows(name, dtype, low, high)[(slice(None, None, rows.step), *rest)]

    def _rows(self, name: str, dtype: pg.DType, low: int, high: int | None) -> Any:
        """Some rows of the first axis as a NumPy array; of a 0-d tensor, which has none, all."""
        entry = self._entries[name]
        if high is None:
            return _array(self._octets(name, 0, entry.end - entry.begin), entry.dtype, entry.shape, dtype)
        octets = self._octets(name, low * entry.row_bytes, (high - low) * entry.row_bytes)
        return _array(octets, entry.dtype, (high - low, *entry.shape[1:]), dtype)

    def _octets(self, name: str, begin: int, length: int) -> Any:
        """Bytes of a tensor as a NumPy array of uint8."""
        host = registry.load("numpy")
        memory = host.namespace("cpu").empty(length, dtype=host.to_native_dtype("uint8"))
        try:
            self.reader.read(self._entries[name], begin, memory)
        except EOFError as error:
            raise self._fault(f"{name} cannot be read ({error})") from error
        return memory

    def placed(self, name: str, raw: Any, dtype: pg.DType, place: Place) -> pg.Tensor:
        x = pg.asarray(raw, device="cpu")
        was = self._about[name][0] if name in self._about else "cpu"
        if isinstance(place, Mapping):
            where = place.get(was, was)
        elif callable(place):
            where = place(name, was)
        else:
            where = place
        if where is not None:
            x = x.to_device(where)
        backend = x.device.backend
        if dtype == pg.bfloat16 and "bfloat16" in backend.native_dtypes and "bfloat16" not in backend.emulated_dtypes:
            return x.astype("bfloat16")
        return x  # bfloat16 as float32, which holds it exactly


def _array(octets: Any, stored: str, shape: tuple[int, ...], dtype: pg.DType) -> Any:
    """A NumPy array of bytes in a file: booleans made of any byte but 0, bfloat16 as float32, of which it is the upper
    half, complex128 out of its pairs."""
    if stored == "BOOL":
        return (octets != 0).reshape(shape)
    if stored == "BF16":
        return (octets.view("<u2").astype("u4") << 16).view("f4").reshape(shape)
    array = octets.view(_CODES[stored]).reshape(shape)
    if dtype == pg.complex128:
        return array.view(array.dtype.str.replace("f8", "c16")).reshape(shape[:-1])
    return array


def _entries(about: Any) -> dict[str, Any]:
    """Device and checksum of each tensor, if that is what was read.

    Raises:
        TypeError: if not.
    """
    if not isinstance(about, dict):
        raise TypeError(f"{type(about).__name__} in place of a dict")
    for name, entry in about.items():
        if not (isinstance(entry, list) and [type(v) for v in entry] == [str, int]):
            raise TypeError(f"{name!r} has no device and checksum")
    return about


def pg_dtype(name: str) -> pg.DType:
    """A dtype by its name.

    Raises:
        DTypeError: if there is none.
    """
    found = getattr(pg, name, None)
    if not isinstance(found, pg.DType):
        raise pg.errors.DTypeError(f"{name!r} is no dtype")
    return found
