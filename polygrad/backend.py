"""What a backend says about its array library, and the device values built from it.

A backend is one subclass of :class:`Backend` in one small module, named by an entry point in the group
``polygrad.backends``. polygrad's own six are written the same way; ``polygrad.testing.BackendConformance``
checks any of them. CONTRIBUTING.md has the recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, Final

from .core.kernels import GENERIC
from .core.locks import ForkLock
from .core.scopes import Scope
from .dtypes import BY_NAME, DType, as_dtype
from .errors import BackendError, DependencyError, DeviceError, DTypeError, NoFunctionError, PolygradError
from .typing import Raw

__all__ = ["SPACES", "Backend", "Device", "ForkLock", "NativeDtypes", "RawNamespace", "Scope", "generic_kernel"]

SPACES: Final = ("linalg", "fft", "special")
"""The namespaces inside a namespace: two of the standard's extensions, and the special functions."""


# What the modules above this one provide: "device" (registry), "namespace" (array_api).
_hooks: dict[str, Callable[..., Any]] = {}


def provide(name: str, function: Callable[..., Any]) -> None:
    """Fill in one of the functions that a Device needs from the modules above this one."""
    _hooks[name] = function


def generic_kernel(name: str) -> Callable[..., Any]:
    """The generic version of a kernel (``"linalg.expm"``), which takes the namespace first: what a backend's own
    version falls back on for what it does not do better."""
    return GENERIC[name]


class RawNamespace:
    """A library's namespace with some names mended; the rest are read from ``base`` on first use and kept.

    Args:
        base: the namespace to fall back on, or a function returning it (called on first need, so that a
            slow import is only paid for by those who use it).
        spaces: where to find the functions of ``linalg``, ``fft`` and ``special`` that are not mended: for each a
            function that returns their module, called on first need (default: the base's attribute).
        mended: the functions that replace or add to the base's; those of a sub-namespace under dotted names,
            ``**{"linalg.qr": ...}``.
    """

    def __init__(self, base: Any, /, *, spaces: Any = None, **mended: Any) -> None:
        self._base = base
        self._spaces = spaces or {}
        self._wrapper: Callable[[str, Any], Any] | None = None
        self.__dict__.update(mended)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in SPACES:
            value: Any = RawSpace(self, name)
        else:
            value = self.generic(name)
            if value is None:
                value = getattr(self._resolved(), name)
            if self._wrapper is not None:
                value = self._wrapper(name, value)
        self.__dict__[name] = value
        return value

    def wrap(self, wrapper: Callable[[str, Any], Any]) -> None:
        """Put ``wrapper(name, function)`` in the place of every function, those of sub-namespaces under dotted names."""
        for name in [n for n in self.__dict__ if n in SPACES]:
            del self.__dict__[name]
        for name, value in list(self.__dict__.items()):
            if not name.startswith("_") and "." not in name:
                self.__dict__[name] = wrapper(name, value)
        self._wrapper = wrapper

    def generic(self, name: str) -> Callable[..., Any] | None:
        """The generic version of a kernel on this namespace, or None; ``"special.x"`` for one of a sub-namespace."""
        return partial(GENERIC[name], self) if name in GENERIC else None

    def _resolved(self) -> Any:
        base = self._base
        if callable(base) and not hasattr(base, "__spec__"):
            base = self._base = base()
        return base

    def _function_of(self, space: str, name: str) -> Any:
        """A function of a sub-namespace: mended, generic or the library's; of ``special`` the library's goes before
        the generic one, which is only for those that have none."""
        full = f"{space}.{name}"
        if full in self.__dict__:
            return self.__dict__[full]
        generic = self.generic(full)
        if generic is not None and space != "special":
            return generic
        try:
            module = self._spaces[space]() if space in self._spaces else getattr(self._resolved(), space)
            return getattr(module, name)
        except (AttributeError, DependencyError) as error:
            if generic is not None:
                return generic
            if space != "special" or isinstance(error, PolygradError):
                raise
            raise NoFunctionError(
                f"{self!r} has no special function {name!r}, nor has the SciPy that is installed if it is asked; where "
                'another library has it, move the arrays there, which keeps the graph: x.to_device("cpu")'
            ) from error

    def __repr__(self) -> str:
        return f"<raw namespace over {getattr(self._base, '__name__', self._base)}>"


class RawSpace:
    """``linalg``, ``fft`` or ``special`` of a :class:`RawNamespace`, its functions found on first use and kept."""

    def __init__(self, parent: RawNamespace, name: str) -> None:
        self._parent = parent
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self._parent._function_of(self._name, name)
        if self._parent._wrapper is not None:
            value = self._parent._wrapper(f"{self._name}.{name}", value)
        self.__dict__[name] = value
        return value

    def __repr__(self) -> str:
        return f"<{self._name} of {self._parent!r}>"


class NativeDtypes(dict[str, Any]):
    """A library's dtype objects by polygrad's names; what is added later is there for every device at once.

    Attributes:
        inexact: those of floating and complex numbers.
    """

    def __init__(self, dtypes: dict[str, Any]) -> None:
        super().__init__()
        self.inexact: set[Any] = set()
        for name, dtype in dtypes.items():
            self[name] = dtype

    def __setitem__(self, name: str, dtype: Any) -> None:
        super().__setitem__(name, dtype)
        if BY_NAME[name].inexact:
            self.inexact.add(dtype)


class Device:
    """Where arrays live: a backend and one of its devices. Hashable; one object per device.

    ``pg.Device("cuda:1")`` looks the name up; two devices are equal when they are the same object, and a
    device equals its own name.

    Attributes:
        name: ``"cpu"``, ``"cuda:0"``, ``"torch:cpu"``, ``"strict:device1"``, ...
        backend: the :class:`Backend` that owns it.
        native: the library's own device object.
        raw: the library's namespace, whose creation functions land on this device.
        array_type: the type of most arrays here, for a fast check; others are looked at again.
    """

    __slots__ = (
        "__weakref__",
        "_units",
        "_xp",
        "array_type",
        "backend",
        "complex_dtypes",
        "inexact_dtypes",
        "name",
        "native",
        "promotes",
        "raw",
    )

    name: str
    backend: Backend
    native: Any
    raw: Any
    array_type: type
    promotes: bool
    complex_dtypes: frozenset[Any]
    inexact_dtypes: Set[Any]
    _xp: Any
    _units: dict[Any, Any]

    def __new__(cls, name: str | Device) -> Device:
        return _hooks["device"](name)  # type: ignore[no-any-return]

    @classmethod
    def make(cls, name: str, backend: Backend, native: Any) -> Device:
        """A new device value; only backends call this, once per device."""
        self = object.__new__(cls)
        self.name = name
        self.backend = backend
        self.native = native
        self.raw = backend.namespace(native)
        self.array_type = backend.array_types[0]
        self.promotes = backend.promotes
        self.complex_dtypes = backend.complex_dtypes
        dtypes = backend.native_dtypes
        self.inexact_dtypes = (dtypes if isinstance(dtypes, NativeDtypes) else NativeDtypes(dtypes)).inexact
        self._xp = None
        self._units = {}
        return self

    @property
    def xp(self) -> Any:
        """polygrad's own namespace, whose creation functions land on this device."""
        if self._xp is None:
            self._xp = _hooks["namespace"](self)
        return self._xp

    def __repr__(self) -> str:
        return f"Device({self.name!r})"

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, str) and other == self.name)

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Device, (self.name,)

    def unit(self, value: Raw) -> Raw:
        """Ones in the shape and dtype of a raw array of one element: what a backward starts from (not to be
        written to; 0-d ones are kept)."""
        if value.shape != ():
            return self.raw.ones(value.shape, dtype=value.dtype)
        one = self._units.get(value.dtype)
        if one is None:
            one = self._units[value.dtype] = self.raw.ones((), dtype=value.dtype)
        return one

    @property
    def type(self) -> str:
        """The kind of hardware or place, as the backend names it: ``"cpu"``, ``"cuda"``, ``"device1"``."""
        parts = [p for p in self.name.split(":") if not p.isdigit()]
        return parts[-1]


class Backend:
    """One array library, as polygrad sees it. Subclass it, set the class attributes, fill in the methods.

    Importing a backend's module must be cheap: the library itself is imported in ``__init__``, which runs
    when the backend is first asked for by name or when one of its arrays is first seen.
    """

    name: ClassVar[str]
    """The entry point's name, and the first part of its device strings."""
    library: ClassVar[str]
    """The top-level module of the library (``"numpy"``); arrays are recognised once it is imported."""
    install: ClassVar[str] = ""
    """What to type to install the library, told in errors."""
    mutable: ClassVar[bool] = True
    """Whether ``array[key] = value`` writes into memory that views of the array share."""
    lazy: ClassVar[bool] = False
    """Whether values are computed later (Dask): then shapes may be unknown and reading a value computes."""

    promotes: ClassVar[bool] = False
    """Whether the library's operators promote mixed dtypes and Python numbers as NumPy's do; where they do not,
    ops cast their arguments first."""

    array_types: tuple[type, ...]
    """The library's array classes, the most common one first."""
    emulated_dtypes: ClassVar[frozenset[str]] = frozenset()
    """The names of ``native_dtypes`` that the library has by way of another one's arithmetic; files are not read in them."""
    native_dtypes: dict[str, Any]
    """The library's dtype objects by the standard's names; what it lacks is absent."""
    complex_dtypes: frozenset[Any]
    """Those of them that are complex."""
    kernels: dict[str, Callable[..., Any]]
    """Faster versions of named functions that the standard lacks; the namespace has them under these names."""
    compile: Callable[..., Callable[..., Any]] | None = None
    """Turns a captured graph into a callable, or None for the generic executor."""
    executors: Mapping[str, Callable[..., Callable[..., Any]]] = {}
    """What can be asked for by ``pg.compile(executor=...)``, by name; ``"straight"`` there is always."""

    @classmethod
    def reason(cls) -> str | None:
        """Why this backend cannot run here, or None if it can. Must not raise, and must be cheap."""
        if find_spec(cls.library) is None:
            return f"{cls.library} is not installed" + (f": {cls.install}" if cls.install else "")
        return None

    def __init__(self) -> None:
        self._devices: dict[Any, Device] = {}
        self._dtype_of: dict[Any, DType] = {}

    # -- what a subclass must say ------------------------------------------------------------------

    def namespace(self, native: Any) -> RawNamespace:
        """The mended namespace whose creation functions land on this native device."""
        raise NotImplementedError

    def native_devices(self) -> Sequence[tuple[str, Any]]:
        """The name and native object of every device that can be used here, the default first."""
        raise NotImplementedError

    def native_device_of(self, array: Raw) -> Any:
        """The native device an array lives on (hashable, equal to one of :meth:`native_devices`)."""
        raise NotImplementedError

    def to_numpy(self, array: Raw) -> Any:
        """The array's values as a NumPy array, sharing memory where the library can."""
        raise NotImplementedError

    def from_numpy(self, array: Any, native: Any) -> Raw:
        """An array of this library on the native device with a NumPy array's values, sharing memory where
        the library can."""
        raise NotImplementedError

    # -- what a subclass may say better ------------------------------------------------------------

    def owns(self, array: object) -> bool:
        """Whether an object is one of this library's arrays."""
        return isinstance(array, self.array_types)

    def as_raw(self, value: Any, device: Device) -> Raw:
        """What an op returned, as a proper array: libraries that return scalars from reductions (NumPy)
        wrap them here."""
        return value

    def find_native(self, rest: str) -> Any:
        """The native device for the part of a device string behind the backend's name; None if there is none."""
        for name, native in self.native_devices():
            short = name.partition(":")[2]
            if rest in (name, short, short.removesuffix(":0")) or rest == f"{short}:0":  # "0" may be left out
                return native
        return None

    def to_native(self, array: Raw, native: Any) -> Raw:
        """The array moved to another device of the same library."""
        return array

    def from_dlpack(self, x: Any, native: Any, copy: bool | None) -> Raw:
        """An array over a DLPack capsule's memory, or a copy of it."""
        return self.namespace(native).from_dlpack(x)

    def borrow(self, array: Raw) -> Raw:
        """An array taken over from the user, sharing memory; raises where the library already tracks it."""
        return array

    def copy(self, array: Raw) -> Raw:
        """A copy that shares no memory."""
        return self.device_of(array).raw.asarray(array, copy=True)

    def lock(self, array: Raw) -> Callable[[bool], None] | None:
        """A function that makes the user's array read-only (False) and writable again (True), or None if this
        library, or this array, has no such thing. Called with False while a graph holds the array's memory."""
        return None

    def read_only(self, array: Raw) -> Raw:
        """A view of a NumPy-like array that cannot be written through, or the array itself."""
        return array

    def is_view(self, result: Raw, array: Raw) -> bool:
        """Whether ``result``, reshaped from ``array``, shares its memory (immutable libraries: as if)."""
        return True

    stands_for: Device | None = None
    """The device whose place this backend's takes where it is the default (a trace's)."""

    flip_is_view: ClassVar[bool] = True
    """Whether the library's ``flip``, and slices of negative step, give views, as NumPy's do (PyTorch copies)."""

    def write(self, array: Raw, key: Any, value: Raw) -> None:
        """Write into memory (``mutable`` backends only)."""
        array[key] = value

    def quiet(self) -> AbstractContextManager[Any]:
        """The scope derivative rules run in: no floating-point warnings for slopes that are infinite."""
        return nullcontext()

    def not_finite(self, array: Raw) -> str | None:
        """What of NaN and infinity an array contains, in words, or None (``detect_anomaly`` asks)."""
        if not self.dtype_of(array).inexact:
            return None
        xp = self.device_of(array).raw
        found = [word for word, test in (("NaN", xp.isnan), ("infinity", xp.isinf)) if bool(xp.any(test(array)))]
        return " and ".join(found) or None

    def checksum(self, array: Raw) -> Any:
        """A number that changes when the array's values do (``detect_anomaly`` compares)."""
        import zlib

        return zlib.crc32(self.to_numpy(array).tobytes())

    def generator(self, seed: int) -> Any:
        """A random generator with settable state, for :mod:`polygrad.random`.

        It has the methods ``standard_normal``, ``random``, ``integers`` and ``permutation`` of NumPy's and its
        ``bit_generator.state``. Only the host's is asked, so that a seed gives the same draws on every backend.
        """
        raise BackendError(f"backend {self.name!r} has no random generator; polygrad.random draws with NumPy's")

    def random_streams(self) -> Sequence[tuple[Callable[[], Any], Callable[[Any], None]]]:
        """The library's own shared sources of random numbers: for each what gets and what sets its state.

        ``pg.compile`` compares the states, to refuse functions that draw from them: a static graph cannot draw again.
        """
        return ()

    def synchronize(self, native: Any) -> None:
        """Wait until everything queued on the device has run."""

    def check_later(self, name: str, indices: Raw, low: int, high: int, ignore: int | None = None) -> None:
        """Have a device look at the integers of an array without waiting: those outside ``low`` to ``high - 1``
        (but for ``ignore``) raise IndexError, which names the function, when the device is next waited for.

        By default nothing is looked at: the library raises by itself, or its rules for such indices hold.
        """

    def compute(self, *arrays: Raw) -> tuple[Raw, ...]:
        """The arrays with their values present (``lazy`` backends compute here)."""
        return arrays

    # -- what only backends that wrap another one say (transforms.batching) --------------------------

    def lift(self, tensor: Any, device: Device) -> Any:
        """A Tensor of another device as one of this backend's ``device``, or None: asked where devices differ."""
        return None

    def detached(self, array: Raw) -> Raw:
        """The array without any graph of its own."""
        return array

    def carries_graph(self, array: Raw) -> bool:
        """Whether the array has a graph of its own."""
        return False

    def describe(self, array: Raw) -> str | None:
        """The array in the text of a Tensor, or None for its values as NumPy prints them."""
        return None

    # -- what is the same for all ------------------------------------------------------------------

    def devices(self) -> list[Device]:
        """Every device that can be used here, the default first."""
        return [self.device(native, name) for name, native in self.native_devices()]

    @property
    def default_device(self) -> Device:
        """Where creation functions of this backend's namespace land."""
        return self.devices()[0]

    def device(self, native: Any, name: str | None = None) -> Device:
        """The one :class:`Device` for a native device."""
        found = self._devices.get(native)
        if found is None:
            if name is None:
                names = {n: d for d, n in self.native_devices()}
                name = names.get(native)
                if name is None:
                    raise DeviceError(f"backend {self.name!r} has no device {native!r}; it has {list(names.values())}")
            found = self._devices.setdefault(native, Device.make(name, self, native))
        return found

    def device_of(self, array: Raw) -> Device:
        """The :class:`Device` an array lives on."""
        return self.device(self.native_device_of(array))

    def dtype_of(self, array: Raw) -> DType:
        """polygrad's dtype of an array."""
        return self.to_dtype(array.dtype)

    def to_dtype(self, native: Any) -> DType:
        """polygrad's dtype for the library's dtype object."""
        found = self._dtype_of.get(native)
        if found is None:
            found = self._dtype_of[native] = as_dtype(native)
        return found

    def to_native_dtype(self, dtype: Any) -> Any:
        """The library's dtype object for any dtype-like value."""
        name = as_dtype(dtype).name
        try:
            return self.native_dtypes[name]
        except KeyError:
            hint = " (bfloat16 takes `pip install ml_dtypes`)" if name == "bfloat16" else ""
            raise DTypeError(
                f"backend {self.name!r} has no dtype {name}{hint}; it has: {', '.join(self.native_dtypes)}"
            ) from None

    def has_dtype(self, name: str) -> bool:
        """Whether the library has the dtype of this name."""
        try:
            self.native_dtypes[name]
        except KeyError:
            return False
        return True

    def dtypes(self) -> list[DType]:
        """The dtypes this library has."""
        return [BY_NAME[name] for name in self.native_dtypes]

    def __repr__(self) -> str:
        return f"<polygrad backend {self.name!r}>"


ENTRY_POINT_GROUP: Final = "polygrad.backends"
