"""Batching: vmap's arrays and the backend they live on.

Inside :func:`polygrad.vmap` a Tensor's raw value is a :class:`Batched`: an ordinary Tensor with the batch axis in
front, seen without it. So the ops, rules and transforms run on it as on any library's arrays, and since the
Tensor inside has a graph of its own, whatever surrounds the vmap differentiates through it.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

from .. import registry
from ..backend import Backend, Device, RawNamespace
from ..core import drawing
from ..core.cell import Cell, new_tensor, root_of, settle, share_borrowed
from ..core.kernels import BATCHED
from ..errors import BatchedValueError, VmapError

__all__ = [
    "Batched",
    "BatchingBackend",
    "innermost",
    "is_level",
    "level_of",
    "lifted",
    "mapping",
    "retire",
    "tracked",
]

_WHY = (
    "each example of the batch has its own. Choose with pg.where instead of if, and keep shapes independent of values, "
    "or loop over the examples"
)


class Batched:
    """One array for each example of a batch (``batched``), or one array for all of them.

    ``value`` is a Tensor, with the batch in front if ``batched``; shape and dimensions are those of one example.
    """

    __slots__ = ("backend", "batched", "run", "value")

    def __init__(self, value: Any, batched: bool, backend: BatchingBackend) -> None:
        self.value = value
        self.batched = batched
        self.backend = backend
        self.run = backend.run

    @property
    def shape(self) -> tuple[int, ...]:
        shape = tuple(self.value._value.shape)
        return shape[1:] if self.batched else shape

    @property
    def ndim(self) -> int:
        return len(self.value._value.shape) - self.batched

    @property
    def dtype(self) -> Any:
        return self.value._value.dtype

    @property
    def size(self) -> int:
        n = 1
        for length in self.shape:
            n *= length
        return n

    def conjugate(self) -> Batched:
        return self.backend.rules.elementwise(registry_function("conj"), self)

    def __getitem__(self, key: Any) -> Batched:
        return self.backend.rules.getitem(self, key)

    def __neg__(self) -> Batched:
        return self.backend.rules.elementwise(operator.neg, self)

    def __pos__(self) -> Batched:
        return self

    def __abs__(self) -> Batched:
        return self.backend.rules.elementwise(operator.abs, self)

    def __invert__(self) -> Batched:
        return self.backend.rules.elementwise(operator.invert, self)

    def __matmul__(self, other: Any) -> Batched:
        return self.backend.rules.matmul(self, other)

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        return bool(self._scalar())

    def __int__(self) -> int:
        return int(self._scalar())

    def __index__(self) -> int:
        return operator.index(self._scalar())

    def __float__(self) -> float:
        return float(self._scalar())

    def _scalar(self) -> Any:
        if self.batched:
            raise VmapError(f"the value of a batched array (shape {self.shape}) cannot be read inside vmap: {_WHY}")
        return self.value.item()

    def __repr__(self) -> str:
        return f"<{'batched' if self.batched else 'unbatched'} {self.value!r}>"


def registry_function(name: str) -> Any:
    """polygrad's own function of this name."""
    from ..array_api import FUNCTIONS

    return FUNCTIONS[name]


def _forward(f: Callable[[Any, Any], Any]) -> Any:
    def method(self: Batched, other: Any) -> Batched:
        return self.backend.rules.elementwise(f, self, other)

    return method


def _backward(f: Callable[[Any, Any], Any]) -> Any:
    def method(self: Batched, other: Any) -> Batched:
        return self.backend.rules.elementwise(f, other, self)

    return method


for _name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift"]:
    _f = getattr(operator, f"__{_name}__")
    setattr(Batched, f"__{_name}__", _forward(_f))
    setattr(Batched, f"__r{_name}__", _backward(_f))
for _name in ["eq", "ne", "lt", "le", "gt", "ge"]:
    setattr(Batched, f"__{_name}__", _forward(getattr(operator, _name)))


class _Missing:
    """What a batching namespace falls back on: nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise VmapError(f"{name} has no batching rule, so it cannot run inside vmap")


class _LevelNamespace(RawNamespace):
    """A level's namespace: in its sub-namespaces every kernel has a batching rule, so that none is generic and a
    graph outside has the op's own derivative."""

    def __init__(self, rules: Any, **options: Any) -> None:
        super().__init__(_Missing(), **options)
        self._rules = rules

    def generic(self, name: str) -> Callable[..., Any] | None:
        if name in BATCHED:
            return partial(BATCHED[name], self._rules)
        return super().generic(name)

    def _function_of(self, space: str, name: str) -> Any:
        if space == "special" and name not in import_module("polygrad.special").__all__:
            return super()._function_of(space, name)  # a kernel: the generic one runs on Batched arrays as it is
        return getattr(self._spaces[space](), name)


class _Run:
    """One use of a level: each of its arrays holds it, so it lives as long as any of them."""

    __slots__ = ("__weakref__",)


class BatchingBackend(Backend):
    """The backend of one vmap: it wraps the device that the mapped arrays are on."""

    name: ClassVar[str] = "vmap"
    library: ClassVar[str] = "polygrad"
    mutable: ClassVar[bool] = False
    promotes: ClassVar[bool] = True
    lazy: ClassVar[bool] = True

    def __init__(self, inner: Device, size: int) -> None:
        super().__init__()
        from .batching_rules import Rules, SpecialRules
        from .batching_spaces import fft_rules, linalg_rules

        self.inner = inner
        self.size = size
        self.run = _Run()
        self.randomness = "error"
        self.array_types = (Batched,)
        self.native_dtypes = inner.backend.native_dtypes
        self.complex_dtypes = inner.backend.complex_dtypes
        self.kernels = {}
        self.rules = Rules(self)
        spaces = {
            "linalg": lambda: linalg_rules(self.rules),
            "fft": lambda: fft_rules(self.rules),
            "special": lambda: SpecialRules(self.rules),
        }
        self._raw = _LevelNamespace(self.rules, spaces=spaces, **self.rules.namespace())
        self.level = Device.make(f"vmap({size}):{inner.name}", self, self)

    @property
    def base(self) -> Device:
        """The ordinary device that the arrays are on in the end."""
        backend = self.inner.backend
        return backend.base if isinstance(backend, BatchingBackend) else self.inner

    def namespace(self, native: Any) -> RawNamespace:
        return self._raw

    def native_devices(self) -> Sequence[tuple[str, Any]]:
        return ((self.level.name, self),)

    def native_device_of(self, array: Any) -> Any:
        return array.backend

    def device(self, native: Any, name: str | None = None) -> Device:
        return native.level  # type: ignore[no-any-return]

    def device_of(self, array: Any) -> Device:
        return array.backend.level  # type: ignore[no-any-return]

    def to_dtype(self, native: Any) -> Any:
        return self.inner.backend.to_dtype(native)

    def one(self, raw: Any) -> Batched:
        """An array of the inner device as the same one for all examples."""
        return Batched(new_tensor(raw, None, self.inner), False, self)

    def to_numpy(self, array: Any) -> Any:
        if array.batched:
            raise BatchedValueError(
                f"values of a batched array (shape {array.shape}) cannot be read inside vmap: {_WHY}"
            )
        inner = array.value._device.backend
        (value,) = inner.compute(array.value._value)
        return inner.to_numpy(value)

    def from_numpy(self, array: Any, native: Any) -> Any:
        return self.one(self.inner.backend.from_numpy(array, self.inner.native))

    def from_dlpack(self, x: Any, native: Any, copy: bool | None) -> Any:
        return self.one(self.inner.backend.from_dlpack(x, self.inner.native, copy))

    def copy(self, array: Any) -> Any:
        return array

    def describe(self, array: Any) -> str:
        return repr(array)

    def detached(self, array: Any) -> Any:
        return Batched(array.value.detach(), array.batched, array.backend)

    def carries_graph(self, array: Any) -> bool:
        return tracked(array.value)

    def lift(self, tensor: Any, device: Device) -> Any:
        return lifted(tensor, device)

    def quiet(self) -> AbstractContextManager[Any]:
        return self.inner.backend.quiet()

    def not_finite(self, array: Any) -> str | None:
        return self.inner.backend.not_finite(array.value._value)

    def checksum(self, array: Any) -> Any:
        return self.inner.backend.checksum(array.value._value)

    def generator(self, seed: int) -> Any:
        return self.inner.backend.generator(seed)

    def synchronize(self, native: Any) -> None:
        self.inner.backend.synchronize(self.inner.native)


class _AnyLevel(BatchingBackend):
    """Answers for Batched arrays of every level, where the registry asks whose they are."""

    def __init__(self) -> None:
        Backend.__init__(self)
        self.array_types = (Batched,)

    def to_dtype(self, native: Any) -> Any:
        return Backend.to_dtype(self, native)


registry.adopt(Batched, _AnyLevel())


# -- levels ------------------------------------------------------------------------------------------

_active: ContextVar[tuple[Device, ...]] = ContextVar("polygrad_vmap", default=())


def is_level(device: Device) -> bool:
    """Whether a device is one that vmap made."""
    return isinstance(device.backend, BatchingBackend)


_idle: dict[tuple[Device, int], Device] = {}


def level_of(inner: Device, size: int, randomness: str) -> Device:
    """A level over a device, no array of which is alive: an idle one (making one costs 60 us), or a new one."""
    level = _idle.pop((inner, size), None) or BatchingBackend(inner, size).level
    backend: Any = level.backend
    backend.randomness = randomness
    return level


def retire(level: Device, size: int) -> None:
    """Keep a level for the next vmap of the same kind, if no array of it is alive: what a kept Tensor is of must not be
    taken for another."""
    backend: Any = level.backend
    level._units.clear()
    ended = weakref.ref(backend.run)
    backend.run = _Run()
    if ended() is not None:
        return
    if len(_idle) >= 64:
        _idle.clear()
    _idle[backend.inner, size] = level


def innermost(device: Device) -> Device:
    """The innermost running vmap over this device, or the device itself."""
    for level in reversed(_active.get()):
        backend: Any = level.backend
        if device is level or device is backend.base or device in _below(level):
            return level
    return device


def _below(level: Device) -> Iterator[Device]:
    backend: Any = level.backend
    while isinstance(backend, BatchingBackend):
        yield backend.inner
        backend = backend.inner.backend


@contextmanager
def mapping(level: Device) -> Iterator[None]:
    """The scope in which a level's function runs; what it creates from nothing is on the level too."""
    backend: Any = level.backend
    token = _active.set((*_active.get(), level))
    default = registry.device_scope(level) if registry.default_device() is backend.inner else nullcontext()
    try:
        with default:
            yield
    finally:
        _active.reset(token)


def lifted(tensor: Any, device: Device) -> Any:
    """A Tensor as one of a level above its own, the same for all examples; None if the level is not above it.

    The Tensor inside keeps its graph; the one outside has none.
    """
    settle(tensor)
    backend: Any = device.backend
    if tensor._device is device:
        return tensor
    if not isinstance(backend, BatchingBackend):
        return backend.lift(tensor, device)  # a trace takes tensors from outside
    inner = lifted(tensor, backend.inner)
    if inner is None:
        return None
    made = new_tensor(inner._value, inner._node, inner._device)  # the handle may get another value later
    made._saved = True
    inner._saved = root_of(inner)._saved = True
    share_borrowed(inner, made)
    return new_tensor(Batched(made, False, backend), None, device)


def _drawing_place(name: str, device: Device) -> drawing.Place:
    """Where a function that is mapped draws; see ``polygrad.core.drawing.place_of``."""
    active: list[Any] = [level.backend for level in _active.get()]
    if not active:
        return drawing.Place(device, (), lambda x: x)
    levels: list[Any] = []
    device = innermost(device)
    while is_level(device):
        levels.insert(0, device.backend)
        device = levels[0].inner
    for backend in active:
        if backend.randomness == "error":
            raise VmapError(
                f"{name}: random numbers are drawn inside vmap, which does not know whether the examples share them; pass "
                'randomness="different" to pg.vmap for independent draws for each example, or randomness="same" for one draw '
                "for all"
            )
        if backend.randomness == "different" and backend not in levels:
            raise VmapError(
                f'{name}: draws for {device} inside pg.vmap(..., randomness="different") of arrays on {backend.base}; draw '
                f"for {backend.base}, or before vmap"
            )

    def enter(x: Any) -> Any:
        for backend in levels:
            x = new_tensor(Batched(x, backend.randomness == "different", backend), None, backend.level)
        return x

    lead = tuple([backend.size for backend in levels if backend.randomness == "different"])
    return drawing.Place(device, lead, enter)


drawing.provide_place(_drawing_place)


def tracked(tensor: Any) -> bool:
    """Whether a graph leads to a Tensor, at its own level or one below."""
    if not isinstance(tensor, Cell):
        return False
    return tensor._node is not None or tensor._device.backend.carries_graph(tensor._value)
