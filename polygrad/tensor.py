"""The Tensor: one array of some backend, and the graph node that made it, if any.

It is an Array API array, so that code for the standard takes it, and has PyTorch's habits for gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

from .array_methods import ArrayMethods
from .backend import Device
from .conversions import Conversions
from .core import apply as _apply
from .core import tape
from .core.cell import Cell, apart, enter, link_view, new_tensor, note_gradient, settle
from .core.modes import ANOMALY, TRACE, get_mode
from .core.node import LEAF, Node, is_leaf, leaf, next_seq
from .core.node import extra_of as node_extra_of
from .core.operands import mixed_devices, reflected
from .core.tape import new_saved
from .dtypes import DType
from .errors import DetachedError, DTypeError, GradientError, ShapeError
from .ops import creation, data_types, indexing, linear_algebra, logic, manipulation, utility
from .ops import elementwise as el
from .typing import ArrayLike

__all__ = ["Tensor"]

_bool = bool

_ROWS: Final = 256
"""How many rows iteration makes at once."""


def operator_of(function: Any) -> Callable[[Any, Any], Tensor]:
    """The method of a binary operator: the op, or NotImplemented beside what is no array."""
    operator: Callable[[Any, Any], Tensor] = function.operator
    return operator


def reflected_of(function: Any) -> Callable[[Any, Any], Tensor]:
    """The method of a reflected binary operator."""
    return reflected(function.operator)


class Tensor(ArrayMethods, Conversions, Cell):
    """An array that remembers how it was made. Make one with :func:`polygrad.asarray`.

    >>> import polygrad as pg
    >>> x = pg.asarray([1.0, 2.0, 3.0], requires_grad=True)
    >>> loss = pg.sum(x * x)
    >>> loss.backward()
    >>> x.grad
    tensor([2., 4., 6.], dtype=float64)
    """

    __slots__ = ()
    __array_priority__: ClassVar[float] = 1000.0

    def __init__(self, data: ArrayLike, *, requires_grad: _bool = False) -> None:
        made = creation.asarray(data)
        self._value = made._value
        self._node = made._node
        self._device = made._device
        self._saved = made._saved
        self._extra = made._extra
        if requires_grad:
            self.requires_grad_()

    # -- what it is --------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        shape = self._value.shape
        return shape if type(shape) is tuple else tuple(shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._value.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        n = 1
        for length in self._value.shape:
            n *= length
        return n

    @property
    def dtype(self) -> DType:
        """The data type, one of polygrad's own."""
        return self._device.backend.to_dtype(self._value.dtype)  # type: ignore[no-any-return]

    @property
    def device(self) -> Device:
        """Where the array lives."""
        return self._device  # type: ignore[no-any-return]

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix."""
        return linear_algebra.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return linear_algebra.matrix_transpose(self)

    @property
    def real(self) -> Tensor:
        """The real part."""
        return el.real(self) if self.dtype.kind == "c" else self

    @property
    def imag(self) -> Tensor:
        """The imaginary part."""
        return el.imag(self) if self.dtype.kind == "c" else creation.zeros_like(self)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return self._device.backend.default_device.xp.__array_namespace__(api_version=api_version)

    # -- the graph ---------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> _bool:
        """Whether a graph leads here, or this is a leaf that collects its gradient."""
        if self._extra is not None:
            settle(self)
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: _bool) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> _bool:
        """Whether no op made it: an input, a parameter, or a tensor without a graph."""
        return self._node is None or is_leaf(self._node)

    @property
    def grad_fn(self) -> Node | None:
        """The graph node of the op that made it, or None for a leaf."""
        return None if self.is_leaf else self._node

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward left here: on leaves, and where :meth:`retain_grad` asked for it."""
        if get_mode() & TRACE:
            enter(self)
            note_gradient(self, False)
        node = self._node
        if node is None:
            return None
        if node.op is LEAF:
            return node.grad  # type: ignore[no-any-return]
        return None if node.extra is None else node.extra.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if get_mode() & TRACE:
            enter(*[x for x in (self, value) if isinstance(x, Tensor)])
            note_gradient(self, True)
        node: Any = self._node
        if value is None and node is not None and node.op is LEAF:
            node.grad = None
            return
        if node is None:
            if value is None:
                return
            raise GradientError("a tensor that does not require grad has no gradient to set; see requires_grad_()")
        if value is not None and not isinstance(value, Tensor):
            value = creation.asarray(value, copy=True)
        if value is not None and (value.shape != self.shape or value.dtype is not self.dtype):
            raise ShapeError(
                f"a gradient of shape {value.shape} and dtype {value.dtype} does not fit a tensor of shape {self.shape} "
                f"and dtype {self.dtype}"
            )
        if is_leaf(node):
            node.grad = value
        else:
            node_extra_of(node).grad = value

    def requires_grad_(self, requires_grad: _bool = True) -> Tensor:
        """Make this tensor a leaf that collects its gradient (or one that does not); returns itself.

        Raises:
            DTypeError: for integer and boolean dtypes: only floating numbers have derivatives.
            GradientError: asked to stop on a tensor that an op made; use :meth:`detach`.
        """
        self._reach()
        if requires_grad:
            if not self.dtype.inexact:
                raise DTypeError(
                    f"requires_grad: a tensor of dtype {self.dtype} has no derivative; only floating dtypes do. "
                    'Cast it first: pg.astype(x, "float64")'
                )
            if self._node is None:
                self._node = leaf(self._value, self._device)
        elif self._node is not None:
            if not is_leaf(self._node):
                raise GradientError("only a leaf can stop requiring grad; x.detach() gives a tensor without the graph")
            self._node = None
        return self

    def _reach(self) -> None:
        """Bring the handle up to date; make it an input where a function is being traced."""
        if get_mode() & TRACE:
            enter(self)
        settle(self)

    def detach(self) -> Tensor:
        """The same values without the graph; shares memory, but a write to either is never seen by a graph."""
        self._reach()
        made: Tensor = new_saved(self._device.backend.detached(self._value), None, self._device)
        node = self._node
        if node is None or is_leaf(node):
            made._saved = self._saved
            link_view(made, self, _without_graph, lambda base, new: new)
        return made

    def detach_(self) -> Tensor:
        """Forget the graph, in this handle; returns itself."""
        self._reach()
        if self._node is not None:
            self._saved = True
            self._node = None
        return self

    def retain_grad(self) -> None:
        """Keep the gradient that backward computes for this tensor in ``.grad``, though it is no leaf.

        Writing to the tensor in place does not end it: ``.grad`` is then the gradient by the tensor as it is now.
        """
        self._reach()
        if self._node is None:
            raise GradientError("retain_grad: no graph leads to this tensor")
        if not is_leaf(self._node):
            node_extra_of(self._node).retain = True

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Call ``hook(grad)`` when backward has this tensor's gradient; what it returns replaces the gradient.

        Returns:
            A function that removes the hook.

        Raises:
            ShapeError, DTypeError, DeviceError: in backward, if the hook's gradient differs from its own in these.
        """
        self._reach()
        if self._node is None:
            raise GradientError("register_hook: no graph leads to this tensor, so backward never comes by")
        hooks = node_extra_of(self._node).hooks
        key = next_seq()
        hooks[key] = hook
        return lambda: hooks.pop(key, None) and None

    def backward(
        self,
        gradient: ArrayLike | None = None,
        retain_graph: _bool | None = None,
        create_graph: _bool = False,
        inputs: list[Tensor] | tuple[Tensor, ...] | None = None,
    ) -> None:
        """Add the gradients of this tensor to the ``.grad`` of every leaf it depends on.

        Args:
            gradient: dL/dself, of this tensor's shape; may be left out for one real element (then 1).
            retain_graph: keep what the graph saved, for another backward; by default as ``create_graph``.
            create_graph: make the gradients differentiable themselves.
            inputs: only these tensors collect a gradient.

        Raises:
            GradientError: no graph leads here; or ``gradient`` is left out for several elements, or complex ones.
            FreedGraphError: an earlier backward freed the graph.
            ShapeError: ``gradient`` has another shape.
        """
        self._reach()
        root = self._node
        if root is None:
            raise DetachedError(
                f"backward: no graph leads to this tensor (shape {self.shape}, dtype {self.dtype}); none of what it "
                "was made of requires grad, or it was made under no_grad, or detached"
            )
        keep = create_graph if retain_graph is None else retain_graph
        seed = self._seed(gradient, create_graph)
        if inputs is None and not create_graph and not get_mode() & ANOMALY:
            tape.backward(root, seed, keep)
            return
        targets = None
        if inputs is not None:
            targets = [x._node for x in inputs if x._node is not None]
            if len(targets) != len(inputs):
                raise DetachedError("backward: one of the inputs does not require grad")
        found, order = tape.pull([root], [seed], targets, create_graph)
        tape.deposit(found, create_graph)
        if not keep:
            tape.release(order)

    def _seed(self, gradient: ArrayLike | None, create_graph: _bool) -> Any:
        value = self._value
        if gradient is None:
            if value.shape != () and self.size != 1:
                raise GradientError(
                    f"backward: this tensor has {self.size} elements (shape {self.shape}), so the gradient to start from "
                    "must be given: y.backward(pg.ones_like(y)), or reduce it first: pg.sum(y).backward()"
                )
            if value.dtype in self._device.complex_dtypes:
                raise GradientError(
                    f"backward: this tensor is {self.dtype}, so the gradient to start from must be given, which says "
                    "what is differentiated: y.backward(pg.ones_like(y)) for the real part, or make a real number of it "
                    "first: pg.real(y).backward()"
                )
            one = self._device.unit(value)
            return new_tensor(one, None, self._device) if create_graph else one
        if not isinstance(gradient, Tensor):
            gradient = creation.asarray(gradient, copy=None if isinstance(gradient, (int, float, complex)) else True)
            if gradient._device is not self._device and not hasattr(gradient, "_extra"):
                gradient = gradient.to_device(self._device)
        if gradient._device is not self._device:
            lifted = self._device.backend.lift(gradient, self._device)
            if lifted is None:
                raise mixed_devices("backward", self, gradient)
            gradient = lifted
        if gradient.shape != self.shape:
            raise ShapeError(
                f"backward: the gradient has shape {gradient.shape}, but the tensor has shape {self.shape}; they must be equal"
            )
        if gradient.dtype is not self.dtype:
            gradient = data_types.astype(gradient, self.dtype)
        gradient = apart(gradient)  # it may become the gradient of a leaf, as it is or in part
        return gradient if create_graph else gradient._value

    # -- a container -------------------------------------------------------------------------------

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return self._rows()

    def _rows(self) -> Iterator[Tensor]:
        """The rows, made when they are asked for: libraries iterate to see whether they can, and what the first is like.
        A graph has all of them from one node."""
        n = self._value.shape[0]
        size = n if self._node is not None or get_mode() & TRACE else _ROWS
        for start in range(0, n, max(size, 1)):
            yield from manipulation.unstack(self if size >= n else self[start : start + size])

    def __contains__(self, value: Any) -> _bool:
        return bool(utility.any(logic.equal(self, value)))

    def __getitem__(self, key: Any, /) -> Tensor:
        return indexing.getitem(self, key)

    def __setitem__(self, key: Any, value: ArrayLike, /) -> None:
        indexing.setitem(self, key, value)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return _describe(self)

    def __format__(self, spec: str) -> str:
        return format(self._scalar("number"), spec) if spec and self.size == 1 else format(str(self), spec)

    # -- operators ---------------------------------------------------------------------------------

    # The ops' own functions are the methods: a call less on the hottest path.
    __add__ = operator_of(el.add)
    __radd__ = reflected_of(el.add)
    __sub__ = operator_of(el.subtract)
    __rsub__ = reflected_of(el.subtract)
    __mul__ = operator_of(el.multiply)
    __rmul__ = reflected_of(el.multiply)
    __truediv__ = operator_of(el.divide)
    __rtruediv__ = reflected_of(el.divide)
    __floordiv__ = operator_of(el.floor_divide)
    __rfloordiv__ = reflected_of(el.floor_divide)
    __mod__ = operator_of(el.remainder)
    __rmod__ = reflected_of(el.remainder)
    __matmul__ = operator_of(linear_algebra.matmul)
    __rmatmul__ = reflected_of(linear_algebra.matmul)
    __and__ = operator_of(logic.bitwise_and)
    __rand__ = reflected_of(logic.bitwise_and)
    __or__ = operator_of(logic.bitwise_or)
    __ror__ = reflected_of(logic.bitwise_or)
    __xor__ = operator_of(logic.bitwise_xor)
    __rxor__ = reflected_of(logic.bitwise_xor)
    __lshift__ = operator_of(logic.bitwise_left_shift)
    __rlshift__ = reflected_of(logic.bitwise_left_shift)
    __rshift__ = operator_of(logic.bitwise_right_shift)
    __rrshift__ = reflected_of(logic.bitwise_right_shift)
    __pow__ = operator_of(el.power)
    __rpow__ = reflected_of(el.pow)
    __eq__ = operator_of(logic.equal)  # type: ignore[assignment]
    __ne__ = operator_of(logic.not_equal)  # type: ignore[assignment]
    __lt__ = operator_of(logic.less)
    __le__ = operator_of(logic.less_equal)
    __gt__ = operator_of(logic.greater)
    __ge__ = operator_of(logic.greater_equal)

    def __neg__(self) -> Tensor:
        return el.negative(self)

    def __pos__(self) -> Tensor:
        return el.positive(self)

    def __abs__(self) -> Tensor:
        return el.abs(self)

    def __invert__(self) -> Tensor:
        return logic.bitwise_invert(self)

    def __iadd__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, el.add(self, other), "+")

    def __isub__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, el.subtract(self, other), "-")

    def __imul__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, el.multiply(self, other), "*")

    def __itruediv__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, el.divide(self, other), "/")

    def __ifloordiv__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, el.floor_divide(self, other), "//")

    def __imod__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, el.remainder(self, other), "%")

    def __ipow__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, el.power(self, other), "**")

    def __imatmul__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, linear_algebra.matmul(self, other), "@")

    def __iand__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, logic.bitwise_and(self, other), "&")

    def __ior__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, logic.bitwise_or(self, other), "|")

    def __ixor__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, logic.bitwise_xor(self, other), "^")

    def __ilshift__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, logic.bitwise_left_shift(self, other), "<<")

    def __irshift__(self, other: Any, /) -> Tensor:
        return indexing.assign(self, logic.bitwise_right_shift(self, other), ">>")


def _without_graph(x: Any) -> Any:
    return new_saved(x._device.backend.detached(x._value), None, x._device)


def _describe(x: Tensor) -> str:
    """``tensor([...], dtype=float64, device=..., requires_grad=True)``, the values as NumPy prints them."""
    x._reach()
    backend = x._device.backend
    notes = [f"dtype={x.dtype}"]
    if x._device.name != "cpu":
        notes.append(f"device={x._device.name!r}")
    if x._node is not None:
        notes.append("requires_grad=True" if x.is_leaf else f"grad_fn=<{x._node.op.name}>")
    described = backend.describe(x._value)
    if described is not None:
        return f"tensor({described}, {', '.join(notes)})"
    if backend.lazy:
        return f"tensor(<lazy, shape {x.shape}>, {', '.join(notes)})"
    host = backend.to_numpy(x._value)
    text = repr(host)
    inner = text[text.index("(") + 1 : text.rindex(")")] if "(" in text else text
    for mark in (", dtype=", ",\n      dtype=", ", shape=", ",\n"):
        cut = inner.rfind(mark)
        if cut >= 0 and "]" not in inner[cut:]:
            inner = inner[:cut]
    inner = inner.rstrip(", \n").replace("\n ", "\n  ")
    return f"tensor({inner}, {', '.join(notes)})"


_apply.bind(Tensor, creation.to_tensor)
