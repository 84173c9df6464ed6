"""Files of tensors: one safetensors file, with the tree's JSON and checksums in its metadata."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import polygrad as pg
from polygrad import registry

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


def _library() -> Any:
    try:
        import safetensors
    except ModuleNotFoundError as error:
        raise pg.errors.DependencyError(
            'pg.save and pg.load need safetensors: python -m pip install "polygrad-xp[io]"'
        ) from error
    return safetensors


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
        DependencyError: if safetensors is not installed.

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
    library = _library()
    text, tensors = encoded(obj)
    hosts = {name: _host(x) for name, x in tensors.items()}
    about = {name: [x.device.name, zlib.crc32(hosts[name][1])] for name, x in tensors.items()}
    metadata = {"polygrad": _VERSION, "tree": text, "about": json.dumps(about)}
    metadata["checksum"] = str(zlib.crc32((text + metadata["about"]).encode()))
    specs = {
        name: library.TensorSpec(
            dtype=dtype, shape=_stored_shape(tensors[name]), data_ptr=host.ctypes.data, data_len=host.nbytes
        )
        for name, (dtype, host) in hosts.items()
    }
    path = os.fspath(path)
    handle, beside = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=os.path.basename(path) + ".")
    os.close(handle)
    try:
        library.serialize_file(specs, beside, metadata=metadata)
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(beside, _mode(path))
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _mode(path: str) -> int:
    """The old file's mode, or that of any new one."""
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _stored_shape(x: pg.Tensor) -> list[int]:
    return [*x.shape, 2] if x.dtype == pg.complex128 else list(x.shape)


def _host(x: pg.Tensor) -> tuple[str, Any]:
    """A tensor's dtype as safetensors names it, and its bytes in a NumPy array, contiguous and little-endian."""
    if x.dtype == pg.bfloat16:  # exact in float32, of which it is the upper half
        words = pg.asarray(x.astype("float32").to_device("cpu"), copy=True).numpy().view("<u4")
        return "bfloat16", (words >> 16).astype("<u2")
    host = x.to_device("cpu").numpy()
    host = host.astype(host.dtype.newbyteorder("<"), order="C", copy=False)
    if not host.flags.c_contiguous:
        host = host.copy()
    return ("float64" if x.dtype == pg.complex128 else x.dtype.name), host


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
        """A part, by slices of the first axes: only that is read, and no checksum is looked at."""
        made = self._file.part(self.name, key)
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
        DependencyError: if safetensors is not installed.

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
    return file.tree(lambda name, entry: file.tensor(name, file.dtype(name, entry), device))


class _File:
    """An open safetensors file, checked as far as its metadata goes."""

    def __init__(self, path: str) -> None:
        library = _library()
        self.path = path
        with open(path, "rb") as file:  # what is missing or may not be read is told as for any file
            file.read(1)
        try:
            self._open = library.safe_open(path, framework="numpy")
            names = self._open.keys()
            self._slices = {name: self._open.get_slice(name) for name in names}
            metadata = self._open.metadata() or {}
        except Exception as error:  # the library's own kinds, one for each fault of a header
            raise pg.errors.StateError(f"{path} is no safetensors file, or damaged: {error}") from error
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
        if set(self._about) != set(self._slices):
            different = sorted(set(self._about) ^ set(self._slices))
            raise self._fault(f"tensors only in the file or only in its metadata: {', '.join(different)}")

    # -- the tree ---------------------------------------------------------------------------------------

    def tree(self, make: Callable[[str, Mapping[str, Any] | None], Any]) -> Any:
        if self._tree is None:
            return {name: make(name, None) for name in self._slices}
        try:
            return decoded(self._tree, lambda entry: make(entry["name"], entry))
        except (pg.errors.BackendError, pg.errors.DeviceError) as error:
            raise pg.errors.DeviceError(f"{self.path}: {error}") from error
        except pg.errors.PolygradError:  # a tensor's own fault
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
            raise self._fault(f"its metadata makes no sense ({type(error).__name__}: {error})") from error

    def shape(self, name: str, entry: Mapping[str, Any] | None) -> tuple[int, ...]:
        stored = tuple(self._slices[name].get_shape())
        if entry is None:
            return stored
        expected = (*entry["shape"], 2) if entry["dtype"] == "complex128" else tuple(entry["shape"])
        if stored != expected:
            raise self._fault(f"{name} has shape {stored} in the file, but {expected} in its metadata")
        return tuple(entry["shape"])

    def dtype(self, name: str, entry: Mapping[str, Any] | None) -> pg.DType:
        self.shape(name, entry)
        stored = self._slices[name].get_dtype()
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
            try:
                raw = self._bits(name) if dtype == pg.bfloat16 else self._open.get_tensor(name)
            except Exception as error:
                raise self._fault(f"{name} cannot be read ({error})") from error
            if (
                name in self._about
                and zlib.crc32(raw.astype(raw.dtype.newbyteorder("<"), copy=False)) != (self._about[name][1])
            ):
                raise self._fault(f"{name} does not fit its checksum")
            self._made[name] = self.placed(name, raw, dtype, place)
        return self._made[name]

    def part(self, name: str, key: Any) -> Any:
        if self._slices[name].get_dtype() == "BF16":
            return self._bits(name)[key]
        return self._slices[name][key]

    def _bits(self, name: str) -> Any:
        """The bits of a bfloat16 tensor, which NumPy has no word for, as uint16: the library checked the header, which
        says where they are."""
        with open(self.path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entry = json.loads(file.read(length))[name]
            begin, end = entry["data_offsets"]
            file.seek(8 + length + begin)
            data = file.read(end - begin)
        host = registry.load("numpy")
        octets = host.namespace("cpu").asarray(memoryview(data), dtype=host.to_native_dtype("uint8"))
        return octets.view("<u2").reshape(entry["shape"])

    def placed(self, name: str, raw: Any, dtype: pg.DType, place: Place) -> pg.Tensor:
        if dtype == pg.complex128:
            raw = raw.view("complex128")[..., 0]
        elif dtype == pg.bfloat16:
            raw = (raw.astype("u4") << 16).view("f4")
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
        if dtype == pg.bfloat16:
            try:
                return x.astype("bfloat16")
            except pg.errors.DTypeError as error:
                raise pg.errors.DTypeError(
                    f"{self.path}: {name} is of bfloat16, which {x.device} has not; load it to another device"
                ) from error
        return x


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
