"""Finds backends by entry point, loads one on first use, and answers "whose array is this?".

Nothing is imported until it is needed: an entry point is loaded when its backend is asked for by name, or
when an array of its library turns up (the library is imported then already).
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from typing import Any

from .backend import ENTRY_POINT_GROUP, Backend, Device, provide
from .core.locks import ForkLock
from .core.scopes import Scope
from .errors import BackendError, DeviceError
from .typing import Raw

__all__ = [
    "backend_names", "backends", "default_device", "device", "device_of", "device_scope", "devices", "is_loaded", "load",
    "owner", "register", "scope_of", "set_default_device",
]  # fmt: skip

# The two short names that people expect; every other device string begins with its backend's name.
_SHORT = {"cpu": "numpy", "cuda": "cupy"}

_lock = ForkLock()
_loaded: dict[str, Backend] = {}
_classes: dict[str, type[Backend]] = {}
_points: dict[str, Any] | None = None
_owners: dict[type, Backend] = {}
_named: dict[str, Device] = {}


def _entry_points() -> dict[str, Any]:
    global _points
    if _points is None:
        from importlib.metadata import entry_points

        _points = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    return _points


def _class(name: str) -> type[Backend]:
    """The Backend subclass of an entry point; importing its module does not import its library."""
    found = _classes.get(name)
    if found is None and name == "numpy" and _points is None:
        # Its entry point is this distribution's own. Reading the metadata of everything that is installed costs
        # more than all the rest of a first op (24 ms), so it is done when another backend is asked for.
        try:
            from importlib import import_module

            found = _classes[name] = import_module("polygrad_backends.numpy").NumpyBackend
        except ImportError:
            found = None
    if found is None:
        points = _entry_points()
        if name not in points and not points:
            raise BackendError(
                f"no backend is registered, not even NumPy's, so {name!r} cannot be loaded: polygrad is running "
                'from a checkout that was never installed. Install it with: pip install -e "."'
            )
        if name not in points:
            raise BackendError(
                f"unknown backend {name!r}; the registered ones are: {', '.join(backend_names())}. A library "
                f"offers one by an entry point in the group {ENTRY_POINT_GROUP!r}, a program by pg.register_backend"
            )
        found = points[name].load()
        if not (isinstance(found, type) and issubclass(found, Backend)):
            raise BackendError(
                f"entry point {name!r} gives {found!r}, which is not a polygrad.backend.Backend subclass"
            )
        _classes[name] = found
    return found


def register(cls: type[Backend]) -> type[Backend]:
    """Register a backend class without an entry point (usable as a decorator)."""
    with _lock.held:
        if cls.name in _loaded:
            raise BackendError(f"backend {cls.name!r} is already loaded; register before its first use")
        _classes[cls.name] = cls
    return cls


def backend_names() -> list[str]:
    """The names of all registered backends, whether or not they can run here."""
    return sorted({*_entry_points(), *_classes}, key=lambda n: (n != "numpy", n != "cupy", n))


def backends() -> dict[str, str | None]:
    """Every registered backend and why it cannot run here, None where it can.

    >>> import polygrad as pg
    >>> pg.backends()["numpy"] is None
    True
    """
    return {name: _class(name).reason() for name in backend_names()}


def load(name: str) -> Backend:
    """The backend of this name, loaded on first use.

    Raises:
        BackendError: if none is registered under the name, or it cannot run here; the message says why.
    """
    found = _loaded.get(name)
    if found is None:
        with _lock.held:
            found = _loaded.get(name)
            if found is None:
                cls = _class(name)
                reason = cls.reason()
                if reason is not None:
                    raise BackendError(f"backend {name!r} cannot run here: {reason}")
                found = _loaded[name] = cls()
                for array_type in found.array_types:
                    _owners[array_type] = found
    return found


def loaded() -> tuple[Backend, ...]:
    """The backends that were loaded so far."""
    return tuple(_loaded.values())


def is_loaded(backend: Backend) -> bool:
    """Whether a backend is one of those that names stand for, not a level of a transform."""
    return _loaded.get(backend.name) is backend


def adopt(array_type: type, backend: Backend) -> None:
    """Say whose arrays of a type are, for backends that no name stands for."""
    _owners[array_type] = backend


def owner(array: object) -> Backend | None:
    """The backend whose array this is, or None if it is nobody's."""
    found = _owners.get(type(array))
    if found is None:
        found = _find_owner(array)
    return found


def _find_owner(array: object) -> Backend | None:
    try:
        if not hasattr(array, "dtype"):  # lists, scalars, strings: no library's array, and no reason to look
            return None
    except Exception:  # an object with its own idea of attributes
        return None
    for backend in tuple(_loaded.values()):
        if backend.owns(array):
            _owners[type(array)] = backend
            return backend
    for name in backend_names():
        if name not in _loaded and _class(name).library in sys.modules and _class(name).reason() is None:
            backend = load(name)
            if backend.owns(array):
                _owners[type(array)] = backend
                return backend
    return None


def device_of(array: Raw) -> Device:
    """The device of a backend's own array.

    Raises:
        BackendError: if no registered backend owns the array's type.
    """
    backend = owner(array)
    if backend is None:
        raise BackendError(
            f"no backend owns arrays of type {type(array).__module__}.{type(array).__qualname__}; registered: "
            f"{', '.join(backend_names())}"
        )
    return backend.device_of(array)


def device(spec: str | Device | Any) -> Device:
    """The device for a string such as ``"cpu"``, ``"cuda:1"``, ``"torch:cpu"`` or ``"strict:device1"``.

    Raises:
        DeviceError: if the string names no device that can be used here.
        BackendError: if its backend is unknown or cannot run here.
    """
    scoped = _scoped.get()
    if scoped is not None and scoped.backend.stands_for is not None:  # a trace: its arrays are all there are
        chosen = _device(spec)
        return scoped if chosen is scoped.backend.stands_for else chosen
    return _device(spec)


def _device(spec: str | Device | Any) -> Device:
    if isinstance(spec, Device):
        return spec
    if not isinstance(spec, str):
        for backend in tuple(_loaded.values()):  # a library's own device object
            for name, native in backend.native_devices():
                if native is spec or (type(native) is type(spec) and native == spec):
                    return backend.device(native, name)
        raise DeviceError(f"{spec!r} is not a device: give a name such as 'cpu' or 'cuda:0', or a polygrad Device")
    found = _named.get(spec)
    if found is None:
        found = _named[spec] = _parse(spec)
    return found


def _parse(spec: str) -> Device:
    head, _, rest = spec.partition(":")
    if head in _SHORT:
        name, rest = _SHORT[head], spec
    else:
        name = head
    try:
        backend = load(name)
    except BackendError as error:
        raise type(error)(f"device {spec!r}: {error}") from None
    if not rest:
        return backend.default_device
    native = backend.find_native(rest)
    if native is None:
        known = ", ".join(n for n, _ in backend.native_devices())
        raise DeviceError(f"unknown device {spec!r}: backend {name!r} has the devices: {known}")
    return backend.device(native)


def devices() -> list[Device]:
    """Every device of every backend that can run here.

    >>> import polygrad as pg
    >>> pg.Device("cpu") in pg.devices()
    True
    """
    found: list[Device] = []
    for name, reason in backends().items():
        if reason is None:
            try:
                found.extend(load(name).devices())
            except BackendError:  # it found out only while loading; backends() is for asking why
                continue
    return found


provide("device", device)

# -- the default device ----------------------------------------------------------------------------

_scoped: ContextVar[Device | None] = ContextVar("polygrad_device", default=None)
_default: Device | None = None


def default_device() -> Device:
    """Where creation functions land when not told: the innermost ``with pg.device(...)``, else what
    ``pg.set_default_device`` set, else the environment variable ``POLYGRAD_DEVICE``, else ``"cpu"``."""
    global _default
    found = _scoped.get()
    if found is not None:
        return found
    if _default is None:
        name = os.environ.get("POLYGRAD_DEVICE") or "cpu"
        try:
            _default = device(name)
        except (BackendError, DeviceError) as error:
            if "POLYGRAD_DEVICE" in os.environ:
                raise type(error)(f"environment variable POLYGRAD_DEVICE={name!r}: {error}") from None
            raise
    return _default


def set_default_device(spec: str | Device | None) -> None:
    """Set the device that creation functions use in this process; None goes back to ``POLYGRAD_DEVICE`` or
    ``"cpu"``."""
    global _default
    _default = None if spec is None else device(spec)


def device_scope(spec: str | Device) -> Scope[Device]:
    """``with pg.device("cuda"): ...`` makes the device the default in this thread or task, and only there.

    >>> import polygrad as pg
    >>> with pg.device("cpu"):
    ...     pg.zeros(2).device
    Device('cpu')
    """
    return scope_of(device(spec))


def scope_of(chosen: Device) -> Scope[Device]:
    """:func:`device_scope` for just this device, also where a trace stands for it."""
    return Scope(_scoped, chosen)
