"""The trace of one function: which tensors it reaches, and the instructions it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .. import registry
from ..backend import Device
from ..core import drawing
from ..core.apply import user_line
from ..core.cell import Cell, new_tensor, provide_enter, provide_note_gradient, root_of, settle
from ..core.modes import TRACE, Mode
from ..core.node import LEAF, Node, leaf
from ..core.operands import Symbol
from ..errors import TraceError
from .arrays import OPERATORS, Traced, TracingBackend, unreadable
from .infer import Inference
from .ir import Graph, Instruction, Value, values_in

if TYPE_CHECKING:
    from .witness import Witness

__all__ = ["Check", "Done", "Entered", "Host", "Save", "Trace", "paused", "running", "tracing", "undo"]

_running: ContextVar[Trace | None] = ContextVar("polygrad_trace", default=None)


def running() -> Trace | None:
    """The innermost trace of this thread or task."""
    return _running.get()


drawing.provide_trace(running)


class Entered:
    """A tensor from outside that became an input: the handle as it was, to be put back.

    Attributes:
        cell: the handle.
        traced: its value in the trace, as it was at first.
        inside: its node while the trace runs, a leaf; None for a tensor without a graph.
        grad_input: the gradient it came with, if it did.
    """

    def __init__(self, cell: Any, traced: Traced) -> None:
        self.cell = cell
        self.traced = traced
        self.value, self.device, self.saved, self.node = cell._value, cell._device, cell._saved, cell._node
        extra = cell._extra
        self.borrowed = None if extra is None else extra.borrowed
        self.inside: Node | None = None
        self.grad: Any = None
        self.grad_input: Traced | None = None
        self.grad_inside: Any = None
        self.grad_seen = False  # whether the function looked at the gradient that was there
        self.grad_dropped = False  # whether it was replaced before anybody looked

    @property
    def changed(self) -> bool:
        """Whether the function wrote to it."""
        return self.cell._value is not self.traced

    def put_back(self) -> None:
        """The handle as it was before the trace."""
        cell = self.cell
        cell._value, cell._device, cell._saved, cell._node = self.value, self.device, self.saved, self.node
        if cell._extra is not None:
            cell._extra.version += 1
            cell._extra.borrowed = self.borrowed


class Check:
    """What a check instruction calls with a raw array.

    Attributes:
        f: takes a Tensor, and raises where its values are wrong.
        device: of the array.
    """

    def __init__(self, f: Callable[[Any], None], device: Device) -> None:
        self.f = f
        self.device = device

    def __call__(self, raw: Any) -> None:
        self.f(new_tensor(raw, None, self.device))

    def __repr__(self) -> str:
        return repr(self.f)


class Save(NamedTuple):
    """State outside the graph that a call in Python changes.

    Attributes:
        read: returns the state.
        write: sets it.
    """

    read: Callable[[], Any]
    write: Callable[[Any], Any]


class Done(NamedTuple):
    """A call in Python that a run made.

    Attributes:
        f: the function.
        result: what it returned.
        save: the state that it changed; None if it changed nothing, or nobody can change it back.
        before: that state before the call.
    """

    f: Callable[..., Any]
    result: tuple[Any, ...] | None
    save: Save | None
    before: Any


def undo(done: Sequence[tuple[Any, ...]]) -> None:
    """Undo calls, the last one first."""
    for _, _, save, before in reversed(done):
        if save is not None:
            save.write(before)


class Host:
    """A Python function that each run calls first; its floats and arrays are inputs of the graph.

    Attributes:
        f, args: the call.
        kinds: for each item of its result ``"number"``, ``"array"`` or ``"static"``.
        first: the result that the trace saw, used by the first run.
        save: the state that is put back after a failing run.
        only_floats: whether all items are numbers.
    """

    def __init__(
        self, f: Callable[..., Any], args: tuple[Any, ...], result: tuple[Any, ...] | None, save: Save | None = None
    ) -> None:
        self.save = save
        self.f = f
        self.args = args
        self.first = result
        self.kinds = [_kind(item) for item in result or ()]
        self.only_floats = bool(self.kinds) and all(kind == "number" for kind in self.kinds)

    def fits(self, result: tuple[Any, ...] | None) -> bool:
        """Whether another result leads to the same graph."""
        if self.only_floats:  # an optimiser's numbers
            if result is None or len(result) != len(self.kinds):
                return False
            return all(item.__class__ is float for item in result)
        if result is None or self.first is None:
            return result is self.first
        if len(result) != len(self.kinds):
            return False
        for kind, item, before in zip(self.kinds, result, self.first):
            if _kind(item) != kind:
                return False
            if kind == "array" and (item.shape != before.shape or item.dtype != before.dtype):
                return False
            if kind == "static" and item != before:
                return False
        return True


def _kind(item: Any) -> str:
    return "number" if item.__class__ is float else "array" if registry.owner(item) is not None else "static"


_inferences: dict[Device, Inference] = {}

_SHAPED_BY_VALUES: Final = frozenset(
    "nonzero unique_all unique_counts unique_inverse unique_values argwhere flatnonzero".split()
)


class Trace:
    """Notes what a function does with arrays of one device.

    Attributes:
        inner: the real device.
        device: the device of traced arrays over it.
        in_parts: whether generic kernels are noted as what they are made of, though on Tensors they are ops.
    """

    def __init__(self, inner: Device, in_parts: bool = False) -> None:
        self.inner = inner
        self.in_parts = in_parts
        self.instructions: list[Instruction] = []
        self.constants: dict[Value, Any] = {}
        self.inputs: list[Value] = []
        self.names: dict[Value, str] = {}
        self.entered: dict[int, Entered] = {}
        self.hosts: list[Host] = []
        self.host_inputs: list[Value] = []  # the floats and arrays of their results
        self.reached: Callable[[Any], bool] = lambda thing: True  # whether guards look at an object
        # The scope of a call that each run makes: what it changes outside is meant.
        self.accepting: Callable[[], AbstractContextManager[None]] = nullcontext
        self.pending: list[Done] = []  # calls that an earlier try of this run made
        self.done: list[Done] = []
        self.stepped: list[Any] = []  # optimisers whose step was traced
        self.generators: list[Any] = []  # those that the function chose to draw by default
        self.witness: Witness | None = None
        self.shown = ""  # where a traced tensor was written as text
        self._numbers = count()
        self._infer = _inferences.setdefault(inner, Inference(inner))
        self.device = TracingBackend(self, inner).level

    # -- values ------------------------------------------------------------------------------------

    def value(self, shape: tuple[int, ...], native: Any) -> Traced:
        """A traced array with a new Value; ``native`` is the library's dtype."""
        made = Value(next(self._numbers), tuple(shape), self.inner.backend.to_dtype(native))
        return Traced(self, made, native)

    def input(self, shape: tuple[int, ...], native: Any, name: str = "") -> Traced:
        """A new input."""
        made = self.value(shape, native)
        self.inputs.append(made.value)
        if name:
            self.names[made.value] = name
        return made

    def number(self) -> Symbol:
        """A new input that is a Python float."""
        made = Value(next(self._numbers), (), None)
        self.inputs.append(made)
        return Symbol(self, made)

    def constant(self, array: Any) -> Traced:
        """An array that the graph holds, by reference."""
        if array.__class__ is not self.inner.array_type:  # a library's scalar
            array = self.inner.backend.as_raw(array, self.inner)
        made = self.value(array.shape, array.dtype)
        self.constants[made.value] = array
        return made

    def note_shown(self) -> None:
        """Note that a traced value was written as text."""
        if not self.shown:
            self.shown = user_line()

    def read(self, what: str) -> Any:
        """Refuse to tell a value."""
        raise unreadable(what, user_line())

    # -- calls -------------------------------------------------------------------------------------

    def call(self, op: str, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Note a call of the namespace's function ``f``; what it makes, as traced arrays."""
        if self.witness is None:
            return self._call(op, f, args, kwargs)
        self.witness.pause()  # nothing of the user's runs in here
        try:
            return self._call(op, f, args, kwargs)
        finally:
            self.witness.resume()

    def _call(self, op: str, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _running.get() is None:
            raise TraceError(
                f"{op}: an array of a trace was used outside the traced function: by another thread, or after the trace "
                "had ended; a traced function must not keep its tensors"
            )
        args = tuple([self._taken(a) for a in args])
        kwargs = {name: self._taken(a) for name, a in kwargs.items()}
        self._refuse_shaped_by_values(op, args)
        if op in OPERATORS and f is not OPERATORS[op]:
            op = f"xp.{op}"
        if op in OPERATORS and all(v.dtype is None for v in values_in(args)):
            made = Value(next(self._numbers), (), None)
            self.instructions.append(Instruction(op, args, (), (made,)))
            return Symbol(self, made)
        try:
            shapes = self._infer(op.removeprefix("xp."), f, args, kwargs)
        except TypeError as error:
            if any(isinstance(a, Traced) for a in args):
                raise
            raise TraceError(f"{op}: {error}") from error
        if isinstance(shapes, list):
            results: Any = tuple([self.value(*pair) for pair in shapes])
            outputs = tuple([r.value for r in results])
        else:
            results = self.value(*shapes)
            outputs = (results.value,)
        self.instructions.append(Instruction(op, args, tuple(kwargs.items()), outputs, isinstance(shapes, list)))
        return results

    def _refuse_shaped_by_values(self, op: str, args: tuple[Any, ...]) -> None:
        by_mask = op == "getitem" and any(v.dtype is not None and v.dtype.kind == "b" for v in values_in(args[1:]))
        counted = op == "repeat" and any(True for _ in values_in(args[1:]))
        if by_mask or counted or op in _SHAPED_BY_VALUES:
            what = "indexing by a mask" if by_mask else op
            raise TraceError(
                f"{what} at {user_line()} gives an array whose shape depends on values, which a static graph does not "
                "know; use pg.where, or do this part outside the compiled function"
            )

    def check(self, f: Callable[[Any], None], x: Any) -> None:
        """Note that each run must call ``f`` with a Tensor, which raises where its values are wrong."""
        self.instructions.append(Instruction("check", (Check(f, self.inner), x._value.value), (), (), effect=True))

    def host(
        self,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        state: tuple[Callable[[], Any], Callable[[Any], Any]] | None = None,
        counts: bool = False,
    ) -> Any:
        """Call a Python function, now and at each run, and take the floats and arrays of its result as inputs.

        Args:
            f, args: the call.
            state: what reads and what writes the state that the call changes, put back where the trace is abandoned.
            counts: whether it is put back after a failing run, too.
        """
        save = None if state is None else Save(*state)
        if self.pending and self.pending[0].f == f:
            done = self.pending.pop(0)
            result = done.result
        else:
            with paused(), nullcontext() if state is not None else self.accepting():
                before = None if save is None else save.read()
                result = f(*args)
            done = Done(f, result, save, before)
        self.done.append(done)
        if result is not None and not isinstance(result, tuple):
            raise TraceError(f"what runs each time must return None or a tuple, not {type(result).__name__}")
        noted = Host(f, args, result, save if counts else None)
        self.hosts.append(noted)
        if result is None:
            return None
        made: list[Any] = []
        for kind, item in zip(noted.kinds, result):
            if kind == "number":
                made.append(self.number())
                self.host_inputs.append(made[-1].number)
            elif kind == "array":
                made.append(new_tensor(self.input(tuple(item.shape), item.dtype), None, self.device))
                self.host_inputs.append(made[-1]._value.value)
            else:
                made.append(item)
        return tuple(made)

    def _taken(self, tree: Any) -> Any:
        """An argument as an instruction holds it."""
        if tree.__class__ is Traced:
            if tree.trace is not self:
                raise TraceError("an array of another trace was used; a traced function must not keep its tensors")
            return tree.value
        if tree.__class__ is Symbol:
            return tree.number
        if isinstance(tree, tuple):
            return tuple([self._taken(item) for item in tree])
        if tree.__class__ is list:
            return [self._taken(item) for item in tree]
        if tree.__class__ is slice:
            return slice(*[self._taken(part) for part in (tree.start, tree.stop, tree.step)])
        if registry.owner(tree) is not None and hasattr(tree, "shape"):
            return self.constant(tree).value
        return tree

    # -- tensors from outside ------------------------------------------------------------------------

    def enter(self, cell: Any) -> bool:
        """Make a Tensor of the real device an input of the graph, in its place, until the trace ends; says whether
        it was one.

        Raises:
            TraceError: if it lives on another real device.
        """
        device = getattr(cell, "_device", None)
        if device is not self.inner or not isinstance(cell, Cell):
            if isinstance(cell, Cell) and registry.is_loaded(device.backend):  # type: ignore[union-attr]
                raise TraceError(
                    f"a tensor of shape {tuple(cell._value.shape)} lives on {device}, but the function is traced for "
                    f"{self.inner}; a static graph is of one device. Move it first: x.to_device({self.inner.name!r})"
                )
            return False
        root: Any = root_of(cell)
        if root is not cell:
            if root._device is self.inner:
                self.enter_one(root)
            settle(cell)
            return cell._device is not self.inner
        self.enter_one(cell)
        return True

    def enter_one(self, cell: Any, name: str = "") -> Entered:
        """Make one handle, which is no view, an input."""
        raw = cell._value
        traced = self.input(tuple(raw.shape), raw.dtype, name)
        entry = self.entered[id(cell)] = Entered(cell, traced)
        cell._value, cell._device = traced, self.device
        node = cell._node
        if node is not None:
            entry.inside = inside = leaf(traced, self.device)
            if node.op is LEAF:
                inside.extra = node.extra
                entry.grad = node.grad
                if node.grad is not None:
                    grad = node.grad
                    entry.grad_input = self.input(tuple(grad._value.shape), grad._value.dtype)
                    inside.grad = entry.grad_inside = new_tensor(entry.grad_input, None, self.device)
            cell._node = inside
        if cell._extra is not None:
            cell._extra.version += 1
        return entry

    def enter_all(self, cells: Iterable[Any]) -> None:
        """Make Tensors of the real device inputs; those of the trace are left alone."""
        for cell in cells:
            if cell._device is self.inner:
                self.enter(cell)

    def leave(self) -> None:
        """Put every handle back as it was."""
        for entry in self.entered.values():
            entry.put_back()

    # -- the graph ---------------------------------------------------------------------------------

    def graph(self, outputs: list[Any], instructions: list[Instruction] | None = None) -> Graph:
        """What was noted, with these outputs (traced arrays or None)."""
        returned = tuple([None if out is None else out.value for out in outputs])
        noted = tuple(self.instructions if instructions is None else instructions)
        return Graph(tuple(self.inputs), dict(self.constants), noted, returned, self.inner.name, dict(self.names))


class _Tracing(Mode):
    def __init__(self) -> None:
        super().__init__(TRACE, 0)


def _enter_running(cell: Any) -> bool:
    trace = _running.get()
    return trace is not None and trace.enter(cell)


provide_enter(_enter_running)


def _note_gradient(cell: Any, written: bool) -> None:
    """Note that the gradient of a tensor from outside is looked at, or replaced."""
    trace = _running.get()
    entry = None if trace is None else trace.entered.get(id(cell))
    if entry is not None:
        if not written:
            entry.grad_seen = entry.grad_seen or not entry.grad_dropped
        elif not entry.grad_seen and entry.inside is not None and entry.inside.grad is entry.grad_inside:
            entry.grad_dropped = True


provide_note_gradient(_note_gradient)


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """The scope in which a trace's function runs; the handles are put back when it ends."""
    token = _running.set(trace)
    scope = registry.scope_of(trace.device) if registry.default_device() is trace.inner else nullcontext()
    try:
        with scope, _Tracing():
            yield trace
    finally:
        _running.reset(token)
        trace.leave()


class _Off(Mode):
    def __init__(self) -> None:
        super().__init__(0, TRACE)


@contextmanager
def paused() -> Iterator[None]:
    """A scope in which nothing is traced though a trace runs: what is made inside is made once, of real arrays."""
    trace = _running.get()
    if trace is None:
        yield
        return
    token = _running.set(None)
    scope = registry.scope_of(trace.inner) if registry.default_device() is trace.device else nullcontext()
    if trace.witness is not None:
        trace.witness.pause()
    try:
        with scope, _Off():
            yield
    finally:
        _running.reset(token)
        if trace.witness is not None:
            trace.witness.resume()
