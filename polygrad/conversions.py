"""What a Tensor becomes elsewhere: Python numbers, lists, NumPy arrays, other libraries' arrays, files; other devices and dtypes.

Nothing here drops a graph silently: where one would be lost, an error says how to mean it.
"""

from __future__ import annotations

import copy
import math
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from . import registry
from .backend import Device
from .core.cell import borrow, extra_of, root_of, settle
from .core.leaving import leave
from .core.node import Node, is_leaf
from .errors import DetachError
from .ops import creation, data_types

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["Conversions"]

_bool = bool

_INSTEAD: Final = (
    "Use polygrad's functions (pg.exp, not math.exp), and pg.stack for what is put together of several tensors"
)


class Conversions:
    """The part of :class:`polygrad.Tensor` that converts."""

    __slots__ = ()

    def _leave(self: Any, what: str, instead: str, *, warn: _bool = False) -> None:
        """Raise or warn before the value leaves a graph."""
        settle(self)
        backend = self._device.backend
        if backend.stands_for is None and (self._node is not None or backend.carries_graph(self._value)):
            leave(self, what, instead, warn=warn)

    def _scalar(self: Any, target: str) -> Any:
        if self.size != 1:
            raise TypeError(f"only a tensor of one element converts to a Python {target}; this has shape {self.shape}")
        self._reach()
        (value,) = self._device.backend.compute(self._value)
        return self._device.backend.to_numpy(value).reshape(()).item()

    def item(self: Any) -> Any:
        """The value of a tensor of one element, as a Python number; explicit, so it works on graphs too.

        Raises:
            DetachError: inside a transform, on what it differentiates.
        """
        self._leave("item()", _INSTEAD)
        return self._scalar("number")

    def __float__(self: Any) -> float:
        self._leave("float()", _INSTEAD, warn=True)
        return float(self._scalar("float"))

    def __int__(self: Any) -> int:
        self._leave("int()", _INSTEAD)
        return int(self._scalar("int"))

    def __complex__(self: Any) -> complex:
        self._leave("complex()", "Use the tensor itself: pg.astype(x, 'complex128')", warn=True)
        return complex(self._scalar("complex"))

    def __bool__(self: Any) -> _bool:
        if self.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous; use pg.any or pg.all")
        return bool(self._scalar("bool"))

    def __index__(self: Any) -> int:
        if self.dtype.kind not in "iu" or self.ndim != 0:
            raise TypeError(f"only a 0-d integer tensor can be an index; this is {self.dtype} of shape {self.shape}")
        return int(self._scalar("int"))

    def __trunc__(self: Any) -> int:
        """``math.trunc(x)``: a Python int, as from NumPy's scalars; ``pg.trunc(x)`` is a tensor."""
        value: float = self._scalar("int")
        return math.trunc(value)

    def __floor__(self: Any) -> int:
        value: float = self._scalar("int")
        return math.floor(value)

    def __ceil__(self: Any) -> int:
        value: float = self._scalar("int")
        return math.ceil(value)

    def tolist(self: Any) -> Any:
        """The values as nested lists of Python numbers.

        Raises:
            DetachError: inside a transform, on what it differentiates.
        """
        self._leave("tolist()", _INSTEAD)
        return self._host().tolist()

    def numpy(self: Any) -> Any:
        """The values as a NumPy array, sharing memory where the library can.

        Raises:
            DetachError: on a tensor that requires grad: the graph would be lost. ``x.detach().numpy()``.
        """
        self._leave("numpy()", "Use polygrad's functions, or NumPy's on the tensor")
        if self._node is not None:
            raise DetachError(
                "numpy() would drop the graph of a tensor that requires grad; write x.detach().numpy() if that is meant"
            )
        return self._export(self._host())

    def to_numpy(self: Any) -> Any:
        """:meth:`numpy`, by the name that Matplotlib and pandas look for.

        >>> import polygrad as pg
        >>> pg.asarray([1.0, 2.0]).to_numpy()
        array([1., 2.])

        Raises:
            DetachError: on a tensor that requires grad, as :meth:`numpy`.
        """
        return self.numpy()

    def _host(self: Any) -> Any:
        self._reach()
        (value,) = self._device.backend.compute(self._value)
        return self._device.backend.to_numpy(value)

    def _export(self: Any, array: Any) -> Any:
        """A NumPy array to hand out: writable only where no graph can hold its memory."""
        root = self if self._extra is None else root_of(self)
        if self._saved or root._saved or isinstance(root._node, Node):
            return self._device.backend.read_only(array)
        if self._device.backend.mutable and extra_of(root).borrowed is None:
            borrow(root, root._value, root._device.backend.lock(root._value))
        return array

    def __array__(self: Any, dtype: Any = None, copy: _bool | None = None) -> Any:
        self._leave("np.asarray", "Use polygrad's functions, or NumPy's on the tensor; pg.stack makes one of several")
        if self._node is not None:
            raise DetachError(
                "np.asarray would drop the graph of a tensor that requires grad; use x.detach() if that is meant, or a "
                "function of polygrad's own namespace"
            )
        array = self.numpy() if copy is not True else self._host().copy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"a copy is needed to convert {array.dtype} to {dtype}")
            array = array.astype(dtype)
        return array

    def __array_ufunc__(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return import_module("polygrad.protocols").call_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self: Any, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return import_module("polygrad.protocols").call_function(func, args, kwargs)

    def __dlpack__(
        self: Any,
        /,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: _bool | None = None,
    ) -> Any:
        """The memory for another library; raises where a graph would be lost."""
        self._reach()
        self._leave("DLPack", "Use polygrad's functions")
        if self._node is not None:
            raise DetachError("DLPack would drop the graph of a tensor that requires grad; export x.detach()")
        value = self._value
        if self._device.backend.mutable and not copy:
            value = self._export(value) if self._device.backend.name == "numpy" else value
        given = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        return value.__dlpack__(**{name: option for name, option in given.items() if option is not None})

    def __dlpack_device__(self: Any) -> Any:
        return self._value.__dlpack_device__()

    def to_device(self: Any, device: str | Device, /, *, stream: Any = None) -> Tensor:
        """The tensor on another device, across libraries too; the gradient comes back. ``stream`` is the
        standard's; only None is taken."""
        if stream is not None:
            raise ValueError("to_device: stream must be None; polygrad orders transfers itself")
        return creation.to_device(self, device)  # type: ignore[no-any-return]

    def astype(self: Any, dtype: Any, /, *, copy: _bool = True) -> Tensor:
        """The tensor in another dtype; the gradient is cast back."""
        return data_types.astype(self, dtype, copy=copy)

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Tensor:
        if self._node is not None and not is_leaf(self._node):
            raise DetachError("only leaves can be deep-copied; a tensor that an op made has a graph: copy x.detach()")
        leave(self, "copy.deepcopy", "Write pg.asarray(x, copy=True)")
        settle(self)
        cls: Any = type(self)
        made: Tensor = cls.__new__(cls)
        made._value = self._device.backend.copy(self._value)
        made._node, made._device, made._saved, made._extra = None, self._device, False, None
        memo[id(self)] = made
        if self._node is not None:
            made.requires_grad_()
            if self._node.grad is not None:  # its values: a graph of its own (create_graph) stays with the original
                made._node.grad = copy.deepcopy(self._node.grad.detach(), memo)
        return made

    def __reduce__(self: Any) -> tuple[Any, ...]:
        if self._node is not None and not is_leaf(self._node):
            raise DetachError("only leaves can be pickled; a tensor that an op made has a graph: pickle x.detach()")
        leave(self, "pickling (or copy.copy)", "Write pg.asarray(x, copy=True) for a copy")
        host = self._host()
        state = (host.dtype.name, tuple(host.shape), host.tobytes(), self._device.name, self._node is not None)
        return _unpickle, (type(self), *state)


def _unpickle(cls: type[Tensor], dtype: str, shape: tuple[int, ...], data: bytes, device: str, grad: _bool) -> Tensor:
    host = registry.load("numpy")
    xp = host.namespace("cpu")
    flat = xp.asarray(memoryview(data), dtype=host.to_native_dtype("uint8")).view(host.to_native_dtype(dtype))
    made = creation.asarray(xp.reshape(flat, shape), device=device, copy=True)
    result: Tensor = cls.__new__(cls)
    result._value, result._node, result._device = made._value, None, made._device
    result._saved, result._extra = False, None
    if grad:
        result.requires_grad_()
    return result
