"""Traced arrays: what a Tensor holds while its function is traced, and the namespace that notes the calls.

They are to the ops what any library's arrays are. Forwards, derivative rules, backward walks and optimisers run on
them unchanged, and each call into the namespace becomes an instruction: forward and backward are one graph.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .. import registry
from ..backend import SPACES, Backend, Device, RawNamespace
from ..core.cell import Cell
from ..core.kernels import GENERIC
from ..core.operands import Symbol
from ..dtypes import BY_NAME
from ..errors import TraceError
from .ir import Value

if TYPE_CHECKING:
    from .tracing import Trace

__all__ = ["OPERATORS", "WHOLE", "Traced", "TracingBackend"]

OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "power": operator.pow,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
    "bitwise_left_shift": operator.lshift,
    "bitwise_right_shift": operator.rshift,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "negative": operator.neg,
    "abs": operator.abs,
    "bitwise_invert": operator.invert,
    "matmul": operator.matmul,
    "getitem": operator.getitem,
}
"""Instructions that are Python's operators; the standard's functions of these names do the same with arrays."""

_SAME: Final = frozenset(OPERATORS) - {"divide", "getitem", "power", "mod", "floordiv"}


WHOLE: Final = frozenset({"linalg.squared_often", "scatter_add", "with_entries"})
"""Kernels that read a value to know how often to loop, or that write in place: one instruction, not their parts."""


class Traced:
    """An array of which only shape and dtype are known yet."""

    __slots__ = ("dtype", "shape", "trace", "value")
    __array_ufunc__ = None  # NumPy's operators leave it to ours

    def __init__(self, trace: Trace, value: Value, dtype: Any) -> None:
        self.trace = trace
        self.value = value
        self.shape = value.shape
        self.dtype = dtype  # the library's own

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return self.value.size

    def conjugate(self) -> Any:
        return self.trace.device.raw.conj(self)

    def __getitem__(self, key: Any) -> Any:
        return self.trace.call("getitem", operator.getitem, (self, key), {})

    def __pos__(self) -> Traced:
        return self

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        return self.trace.read("the truth of an array")  # type: ignore[no-any-return]

    def __int__(self) -> int:
        return self.trace.read("int()")  # type: ignore[no-any-return]

    __index__ = __int__

    def __float__(self) -> float:
        return self.trace.read("float()")  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        self.trace.note_shown()
        return f"<traced {self.value!r}: {self.value.type}>"


def _method(name: str, f: Callable[..., Any], *, mirrored: bool = False) -> Any:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, Cell):
            return NotImplemented  # a Tensor knows what to do with what is not one
        return self.trace.call(name, f, (other, self) if mirrored else (self, other), {})

    return method


def _unary(name: str, f: Callable[..., Any]) -> Any:
    return lambda self: self.trace.call(name, f, (self,), {})


for _dunder, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floordiv", "mod": "mod",
    "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift", "matmul": "matmul", "eq": "equal", "ne": "not_equal", "lt": "less",
    "le": "less_equal", "gt": "greater", "ge": "greater_equal",
}.items():  # fmt: skip
    _f = OPERATORS[_name]
    _kinds = (Traced, Symbol) if _dunder in ("add", "sub", "mul", "truediv", "pow") else (Traced,)
    for _cls in _kinds:
        setattr(_cls, f"__{_dunder}__", _method(_name, _f))
        if _dunder not in ("eq", "ne", "lt", "le", "gt", "ge"):
            setattr(_cls, f"__r{_dunder}__", _method(_name, _f, mirrored=True))
for _dunder, _name in {"neg": "negative", "abs": "abs", "invert": "bitwise_invert"}.items():
    setattr(Traced, f"__{_dunder}__", _unary(_name, OPERATORS[_name]))
setattr(Symbol, "__neg__", _unary("negative", operator.neg))  # noqa: B010 - mypy knows no such method


class _TracingNamespace(RawNamespace):
    """A device's namespace whose functions note their calls."""

    def __init__(self, trace: Trace, base: Any, prefix: str = "") -> None:
        self._trace = trace
        self._base = base
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = self._prefix + name
        if not self._prefix and name in SPACES:
            value: Any = _TracingNamespace(self._trace, getattr(self._base, name), name + ".")
        elif full in GENERIC and full not in self._trace.inner.backend.kernels and self._expands(full):
            value = partial(GENERIC[full], self._trace.device.raw)
        else:
            found = getattr(self._base, name)
            if name in BY_NAME or not callable(found):
                value = found
            elif name in _ABOUT_DTYPES:
                value = _on_dtypes(found)
            elif name in _SAME:
                value = _either(self._trace, name, found)
            else:
                value = _noted(self._trace, full, found)
        self.__dict__[name] = value
        return value

    def _expands(self, full: str) -> bool:
        """Whether a generic kernel is to be seen as its parts: not where on Tensors it is an op with a derivative of its
        own, until a pass asks for the parts; special functions stay whole where the library has them."""
        if full in WHOLE:
            return False
        try:
            if full.startswith("special."):
                return getattr(self._base, full.partition(".")[2]).__class__ is partial
            return self._trace.in_parts or attrgetter(full)(self._trace.inner.xp).__class__ is partial
        except AttributeError:
            return True

    def __repr__(self) -> str:
        return f"<tracing {self._base!r}>"


_ABOUT_DTYPES: Final = frozenset({"isdtype", "finfo", "iinfo", "result_type", "can_cast"})


def _on_dtypes(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: f(*[a.dtype if isinstance(a, Traced) else a for a in args])


def _noted(trace: Trace, name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: trace.call(name, f, args, kwargs)


def _either(trace: Trace, name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is an operator where it is given arrays of one dtype."""
    own = OPERATORS[name]

    def call(*args: Any, **kwargs: Any) -> Any:
        if not kwargs and all(isinstance(a, Traced) for a in args) and len({a.dtype for a in args}) == 1:
            return trace.call(name, own, args, {})
        return trace.call(f"xp.{name}", f, args, kwargs)

    return call


class TracingBackend(Backend):
    """The backend of one trace: it wraps the device that the real arrays will be on."""

    name: ClassVar[str] = "trace"
    library: ClassVar[str] = "polygrad"
    mutable: ClassVar[bool] = False
    lazy: ClassVar[bool] = True

    def __init__(self, trace: Trace, inner: Device) -> None:
        super().__init__()
        self.trace = trace
        self.inner = inner
        self.stands_for = inner
        self.promotes = inner.backend.promotes  # type: ignore[misc]
        self.flip_is_view = inner.backend.flip_is_view  # type: ignore[misc]
        self.array_types = (Traced,)
        self.native_dtypes = inner.backend.native_dtypes
        self.complex_dtypes = inner.backend.complex_dtypes
        self.kernels = inner.backend.kernels
        self._raw = _TracingNamespace(trace, inner.raw)
        self.level = Device.make(inner.name, self, self)

    def namespace(self, native: Any) -> RawNamespace:
        return self._raw

    def native_devices(self) -> Sequence[tuple[str, Any]]:
        return ((self.level.name, self),)

    def native_device_of(self, array: Any) -> Any:
        return array.trace.device.backend

    def device(self, native: Any, name: str | None = None) -> Device:
        return native.level  # type: ignore[no-any-return]

    def device_of(self, array: Any) -> Device:
        return array.trace.device  # type: ignore[no-any-return]

    def to_dtype(self, native: Any) -> Any:
        return self.inner.backend.to_dtype(native)

    def as_raw(self, value: Any, device: Device) -> Any:
        if isinstance(value, Traced):
            return value
        return self.trace.constant(self.inner.backend.as_raw(value, self.inner))

    def to_numpy(self, array: Any) -> Any:
        return array.trace.read("the value of an array")

    def from_numpy(self, array: Any, native: Any) -> Any:
        return self.trace.constant(self.inner.backend.from_numpy(array, self.inner.native))

    def from_dlpack(self, x: Any, native: Any, copy: bool | None) -> Any:
        return self.trace.constant(self.inner.backend.from_dlpack(x, self.inner.native, copy))

    def copy(self, array: Any) -> Any:
        return array

    def describe(self, array: Any) -> str:
        return repr(array)

    def lift(self, tensor: Any, device: Device) -> Any:
        """A tensor from outside becomes an input; one of a level above is not ours."""
        return tensor if self.trace.enter(tensor) or tensor._device is device else None

    def quiet(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def not_finite(self, array: Any) -> str | None:
        return None  # known at each run only

    def checksum(self, array: Any) -> Any:
        return 0


class _AnyTrace(TracingBackend):
    """Answers for traced arrays, where the registry asks whose they are."""

    def __init__(self) -> None:
        Backend.__init__(self)
        self.array_types = (Traced,)

    def to_dtype(self, native: Any) -> Any:
        return Backend.to_dtype(self, native)


registry.adopt(Traced, _AnyTrace())


def unreadable(what: str, where: str) -> TraceError:
    """The error for a value that Python wants to know while there is none."""
    return TraceError(
        f"{what} was asked for at {where}, inside a function that is traced: its value is known at each run only. "
        "Choose with pg.where instead of if, keep the number in a tensor, or do this part outside the compiled function"
    )
