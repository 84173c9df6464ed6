"""``pg.compile`` and ``pg.trace``: a function's calls as static graphs, traced once and run many times."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, ParamSpec, TypeVar, overload

import optree

from .. import registry
from ..backend import Device
from ..core.cell import Cell, enter, new_tensor, settle
from ..core.locks import ForkLock
from ..core.modes import GRAD, WATCHED, get_mode
from ..core.node import leaf
from ..dtypes import DType, as_dtype
from ..errors import TraceError, UnreadyError
from ..ops.creation import to_tensor
from ..transforms.batching import is_level
from ..transforms.inputs import Kinds, flatten, kinds_of, tree_in_kind
from .calls import others, traced
from .collection import no_collection
from .entry import Entry
from .entry_source import MISS, overlapping, related
from .execute import Program
from .executors import Executor, executor_of
from .guards import Surroundings
from .ir import Graph
from .noting import CacheError
from .passes import PASSES, optimized
from .tracing import Done, running, undo

__all__ = ["CacheInfo", "Compiled", "Spec", "compile", "trace"]

P = ParamSpec("P")
R = TypeVar("R")

_ORDERED: Final = "polygrad.graph"
"""The namespace in which optree tells dicts apart by the order of their keys."""

_ordered = optree.dict_insertion_ordered(True, namespace=_ORDERED)
_ordered.__enter__()  # for as long as the process lives

_tracing_lock = ForkLock()
_MANY = 8

_CACHES: Final = 2
"""How many calls may fill caches before they are taken for what every call does."""


class CacheInfo(NamedTuple):
    """How a compiled function's calls went.

    Attributes:
        hits: calls that ran a graph.
        misses: calls that were traced first.
        eager: calls that ran the function itself.
        currsize: how many graphs there are.
    """

    hits: int
    misses: int
    eager: int
    currsize: int


class Spec:
    """An array that is not there yet: its shape, dtype and device.

    >>> import polygrad as pg
    >>> pg.Spec((32, 10), "float32")
    Spec((32, 10), float32, device='cpu')
    """

    def __init__(
        self,
        shape: int | tuple[int, ...],
        dtype: Any = "float64",
        device: str | Device | None = None,
        requires_grad: bool = False,
    ) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dtype: DType = as_dtype(dtype)
        self.device: Device = registry.default_device() if device is None else registry.device(device)
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        more = ", requires_grad=True" if self.requires_grad else ""
        return f"Spec({self.shape}, {self.dtype}, device={self.device.name!r}{more})"


def _flattened(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of a pytree and its structure, which the order of a dict's keys is part of."""
    return optree.tree_flatten(tree, namespace=_ORDERED)


def _runner(
    device: Device, without: tuple[str, ...], executor: str | Executor | None
) -> Callable[[Graph], Callable[..., tuple[Any, ...]]]:
    own = executor_of(device, executor)

    def run(graph: Graph) -> Callable[..., tuple[Any, ...]]:
        with no_collection:
            graph = optimized(graph, device, without)
        return Program(graph, device).run if own is None else own(graph, device)

    return run


class Compiled(Generic[P, R]):
    """A function whose calls are traced once for each kind of arguments and then run as static graphs; see
    :func:`compile`.

    Attributes:
        f: the function itself.
    """

    def __init__(
        self, f: Callable[P, R], without: tuple[str, ...] = (), executor: str | Executor | None = None
    ) -> None:
        if not (executor is None or isinstance(executor, str) or callable(executor)):
            raise TypeError(f"compile: executor is a name or a function of a graph and a device, not {executor!r}")
        self._executor = executor
        unknown = [name for name in without if name not in PASSES]
        if unknown:
            raise ValueError(f"compile: there is no pass {', '.join(unknown)}; there are {', '.join(PASSES)}")
        self._without = tuple(without)
        functools.update_wrapper(self, f)  # first: f may itself be a wrapper of a compiled function
        self.f = f
        self._kinds = kinds_of(f)
        self._entries: list[tuple[Any, Entry]] = []
        self._hits = self._misses = self._eager = 0
        self._warm: set[int] = set()
        self._filled = 0

    # -- calls ---------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if get_mode() & WATCHED:  # inlined into the outer trace; or every op is looked at
            return self.f(*args, **kwargs)
        structure: Any = len(args)
        for x in args:
            if not isinstance(x, Cell):
                break
        else:
            if not kwargs:  # the quickest way for the commonest call
                result = self._known(args, structure)
                return self._first(args, structure) if result is MISS else result
        if self._kinds is not None and not any(isinstance(x, Cell) for x in _flattened((args, kwargs))[0]):
            return self._in_kind(self._kinds, args, kwargs)  # type: ignore[no-any-return]
        return self._called(args, kwargs)  # type: ignore[no-any-return]

    def _in_kind(self, kinds: Kinds, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of a transform's function without Tensors, whose results are arrays and numbers, too."""
        numbers = {i for i in kinds.argnums if i < len(args) and type(args[i]) in (float, complex)}
        chosen = tuple([to_tensor(x) if i in numbers else x for i, x in enumerate(args)])
        result = self._called(chosen, kwargs)
        like: Any = 0.0 if numbers else True
        if kinds.value_first and numbers:
            return (tree_in_kind(result[0], True, False), *tree_in_kind(result[1:], like, False))
        return tree_in_kind(result, like, False)

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves, structure = _flattened((args, kwargs))
        leaves = [x if isinstance(x, Cell) or registry.owner(x) is None else to_tensor(x) for x in leaves]
        result = self._known(leaves, structure)
        return self._first(leaves, structure) if result is MISS else result

    def _known(self, leaves: Sequence[Any], structure: Any) -> Any:
        """The result of the graph for this kind of call, or MISS."""
        for known, entry in self._entries:
            if known == structure:
                result = entry.call(leaves)
                if result is not MISS:
                    self._hits += 1
                    return result
        return MISS

    def _again(self, leaves: Sequence[Any], structure: Any) -> Any:
        if isinstance(structure, int):
            return self.f(*leaves)  # type: ignore[call-arg]
        args, kwargs = optree.tree_unflatten(structure, leaves)
        return self.f(*args, **kwargs)

    def _first(self, leaves: Sequence[Any], structure: Any) -> R:
        """A call that no graph is for yet."""
        tensors = [x for x in leaves if isinstance(x, Cell)]
        if any(is_level(x._device) for x in tensors):
            self._eager += 1
            return self._again(leaves, structure)  # type: ignore[no-any-return]
        with _tracing_lock.held:
            result = self._known(leaves, structure)
            if result is not MISS:  # another thread has traced it meanwhile
                return result  # type: ignore[no-any-return]
            surroundings = Surroundings(self.f, *others(leaves))
            if any(is_level(x._device) for x in surroundings.tensors.values() if hasattr(x, "_device")):
                self._eager += 1
                return self._again(leaves, structure)  # type: ignore[no-any-return]
            unready = [x for x in surroundings.unready if id(x) not in self._warm]
            distinct = list({id(x): x for x in tensors}.values())
            if unready or related(distinct):
                self._warm.update(id(x) for x in unready)
                self._eager += 1
                return self._again(leaves, structure)  # type: ignore[no-any-return]
            self._misses += 1
            pending = next((e.pending for _, e in self._entries if e.pending), [])
            try:
                entry = self._traced(leaves, structure, surroundings, list(pending))
            except UnreadyError as error:  # an optimiser met a parameter for the first time: this step makes its state
                self._filled += isinstance(error, CacheError)
                if self._filled > _CACHES:  # no cache, but something that every call adds
                    raise
                self._misses, self._eager = self._misses - 1, self._eager + 1
                return self._again(leaves, structure)  # type: ignore[no-any-return]
            for _, other in self._entries:
                other.pending = []
            self._entries.insert(0, (structure, entry))
            if len(self._entries) % _MANY == 0:
                warnings.warn(
                    f"{self!r} was traced {len(self._entries)} times, for as many kinds of arguments; numbers and other "
                    "Python values among them are fixed in a graph: make those that change tensors (pg.asarray)",
                    stacklevel=3,
                )
        result = entry.call(leaves)
        if result is MISS:
            if overlapping(distinct, []):  # what the function writes to one it would see in the other
                undo(entry.pending)
                entry.pending = []
                self._eager += 1
                return self._again(leaves, structure)  # type: ignore[no-any-return]
            raise TraceError(
                f"{self!r}: what the trace took for fixed changed while it was traced; the function cannot be compiled"
            )
        return result  # type: ignore[no-any-return]

    def _traced(self, leaves: Sequence[Any], structure: Any, before: Surroundings, pending: list[Done]) -> Entry:
        noted, guards = traced(lambda: self._again(leaves, structure), self.f, leaves, before, pending)
        runner = _runner(noted.trace.inner, self._without, self._executor)
        try:
            return Entry(noted, leaves, guards, runner, lambda again: self._again(again, structure))
        except BaseException:
            undo(noted.trace.done)
            raise

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    # -- looking at it -------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The graph of the kind of call that was traced last."""
        return _shown(self._last())

    def _last(self) -> Entry:
        if not self._entries:
            raise TraceError(f"{self!r} was not called yet, so there is no graph")
        return self._entries[0][1]

    def passes(self, backward: bool = False) -> list[tuple[str, Graph]]:
        """The graph of the kind of call that was traced last, and what each pass made of it; see :meth:`Graph.passes`.

        Args:
            backward: the graph that carries gradients through the call instead.

        Raises:
            TraceError: if there was no call yet, or nothing needs a gradient.
        """
        entry = self._last()
        graph = entry.backward if backward else _shown(entry)
        if graph is None:
            raise TraceError(f"{self!r} has no backward: nothing that was given or reached requires grad")
        return graph.passes(self._without)

    def explain(self) -> str:
        """What was made of the kind of call that was traced last: instructions before and after the passes, what is
        done in blocks and what is not, the memory that was planned, and what is compared before each run.

        >>> import polygrad as pg
        >>> f = pg.compile(lambda x: pg.sum(pg.sin(x) * x))
        >>> _ = f(pg.ones(100_000))
        >>> print(f.explain())
        forward: 3 instructions traced, 3 after the passes
          in blocks, over 100000 elements: sin, multiply, sum
          planned buffers: 0 bytes
        guards: ... places, compared in ... us
          ...
        """
        entry = self._last()
        parts: list[tuple[str, Graph, Any]] = [("forward", entry.graph, entry.run)]
        if entry.backward is not None:
            parts.append(("backward", entry.backward, entry.run_backward))
        lines = []
        for name, graph, run in parts:
            after = optimized(graph, entry.device, self._without)
            lines.append(
                f"{name}: {len(graph.instructions)} instructions traced, {len(after.instructions)} after the passes"
            )
            plan = getattr(run, "plan", None)
            lines += ["  a straight line of calls"] if plan is None else ["  " + line for line in plan.explain()]
        return "\n".join([*lines, *entry.explain_guards()])

    def graphs(self) -> list[Graph]:
        """Every graph, the one that was traced last first."""
        return [_shown(entry) for _, entry in self._entries]

    def cache_info(self) -> CacheInfo:
        """How calls went.

        >>> import polygrad as pg
        >>> square = pg.compile(lambda x: x * x)
        >>> _ = square(pg.ones(2)), square(pg.ones(2)), square(pg.ones(3))
        >>> square.cache_info()
        CacheInfo(hits=1, misses=2, eager=0, currsize=2)
        """
        return CacheInfo(self._hits, self._misses, self._eager, len(self._entries))

    def clear_cache(self) -> None:
        """Forget every graph."""
        self._entries.clear()

    def __repr__(self) -> str:
        return f"<compiled {getattr(self.f, '__qualname__', self.f)}>"


def _shown(entry: Entry) -> Graph:
    """An entry's graph that knows which tensors it reads; the same one each time."""
    noted = entry.noted
    if noted.shown is None:
        reached = {e.traced.value: e.cell for e in noted.trace.entered.values() if e.cell is not None}
        closed = {v: reached[v] for v in entry.graph.inputs if v in reached and v not in noted.arguments}
        noted.shown = entry.graph.with_(closed_over=closed)
    return noted.shown


@overload
def compile(
    f: Callable[P, R], /, *, without: tuple[str, ...] = (), executor: str | Executor | None = None
) -> Compiled[P, R]: ...
@overload
def compile(
    f: None = None, /, *, without: tuple[str, ...] = (), executor: str | Executor | None = None
) -> Callable[[Callable[P, R]], Compiled[P, R]]: ...
def compile(f: Any = None, /, *, without: tuple[str, ...] = (), executor: str | Executor | None = None) -> Any:
    """The function, faster: each kind of call is traced once, then run as a static graph.

    Args:
        f: takes and returns pytrees of arrays. It may be a whole training step: forward, ``loss.backward()``,
            ``optimizer.step()``. Tensors that it reaches through closures, globals, modules and optimisers are read
            anew at each call, and what it writes to them is written.
        without: names of passes to leave out (:data:`polygrad.graph.PASSES`).
        executor: what runs the graphs: ``"straight"`` (a line of calls, on every backend), ``"planned"`` (NumPy's
            default), ``"native"`` (machine code on NumPy arrays, by llvmlite: equal to rounding), ``"jax.jit"`` (JAX's
            default), ``"torch.compile"`` (PyTorch, where asked for), one that another backend has, or a function
            ``(graph, device) -> run``; by default what the backend of the arrays is best at.

    Returns:
        A :class:`Compiled` function with the same results as ``f``, or an error.

    A call is traced again where anything it depends on is of another kind: the structure, shapes, dtypes or devices of
    its arguments, whether they require grad, Python values among them, grad mode, a module's mode, a closure or default.
    Gradients flow through it as through any function.

    Raises:
        TraceError: if the function reads a tensor's value in Python (``if x > 0``), makes an array whose shape
            depends on values, or changes something in Python that each run would have to change again.
        ValueError: if there is no such pass; at the first call, if the backend has no such executor.
        RuntimeError: at the first call, if the executor needs what is not installed.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([2.0])
    >>> optimizer = pg.optim.SGD([w], lr=0.25)
    >>> @pg.compile
    ... def step(x):
    ...     optimizer.zero_grad()
    ...     loss = pg.sum((w * x - 6.0) ** 2)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> [step(pg.ones(1)).item() for _ in range(3)]
    [16.0, 4.0, 1.0]
    """
    return (
        functools.partial(Compiled, without=without, executor=executor) if f is None else Compiled(f, without, executor)
    )


def trace(f: Callable[..., Any], *examples: Any, **options: Any) -> Graph:
    """The static graph of one call of a function.

    Args:
        f: takes and returns pytrees of arrays. Tensors that it reaches otherwise become inputs behind its own, whose
            values are read when the graph is called.
        examples: for each argument an array, or a :class:`Spec` where there is no data yet; or any other value, fixed.

    Returns:
        A :class:`~polygrad.graph.Graph`; call it with arrays like the examples.

    Raises:
        TraceError: as :func:`compile`; and if the function changes tensors outside itself.

    >>> import polygrad as pg
    >>> graph = pg.trace(lambda x, y: pg.sum(x * y), pg.Spec(3), pg.Spec(3))
    >>> print(graph)
    graph for cpu
      %0: float64[3] = input x
      %1: float64[3] = input y
      %2: float64[3] = multiply(%0, %1)
      %3: float64[] = sum(%2, axis=(0,), dtype=None, keepdims=False)
      return %3
    >>> graph(pg.ones(3), pg.asarray([1.0, 2.0, 3.0]))
    tensor(6., dtype=float64)
    """
    leaves, structure = flatten((examples, options))
    made: list[Any] = []
    for x in leaves:
        if isinstance(x, Spec):
            made.append(_placeholder(x))
        elif isinstance(x, Cell):
            made.append(new_tensor(x._value, None if x._node is None else leaf(x._value, x._device), x._device))
        else:
            made.append(x if registry.owner(x) is None else to_tensor(x))
    tensors = [x for x in made if isinstance(x, Cell)]

    def call() -> Any:
        args, kwargs = optree.tree_unflatten(structure, made)
        return optree.tree_map(_own, f(*args, **kwargs))

    if running() is not None:
        raise TraceError("trace: a function is being traced already; call the inner one, it becomes part of the graph")
    with _tracing_lock.held:
        noted, _ = traced(call, f, made, Surroundings(f, *others(made)), [])
    undo(noted.trace.done)
    if noted.writes or noted.grads or noted.rebound:
        raise TraceError("trace: the function changes tensors outside itself; pg.compile does that at each call")
    if noted.trace.hosts:
        raise TraceError("trace: the function draws, or runs Python at each call; pg.compile does that")
    closed = {e.traced.value: e.cell for e in noted.trace.entered.values() if all(e.cell is not t for t in tensors)}
    outputs = [_output(noted, r) for r in noted.result]
    made_graph: Graph = noted.graph
    return made_graph.with_(outputs=tuple(outputs), closed_over=closed, structure=noted.structure)


def _output(noted: Any, r: Any) -> Any:
    if not isinstance(r, int):
        raise TraceError(f"trace: a graph returns arrays, but the function returned {r[1]!r}")
    made = noted.made[r]
    if made.kind == "new":
        return noted.graph.outputs[made.out]
    return noted.trace.entered[id(made.cell)].traced.value


def _own(x: Any) -> Any:
    """What a graph returns for a tensor: a view becomes an array of its own, one that was never used an input."""
    if not isinstance(x, Cell):
        return x
    settle(x)
    enter(x)
    if x._extra is not None and x._extra.base is not None:
        return new_tensor(x._value, x._node, x._device)
    return x


def _placeholder(spec: Spec) -> Any:
    """A tensor of a spec's kind without memory of its own to speak of."""
    device = spec.device
    native = device.backend.to_native_dtype(spec.dtype)
    raw = device.raw.broadcast_to(device.raw.zeros((), dtype=native), spec.shape)
    made = new_tensor(raw, None, device)
    if spec.requires_grad and get_mode() & GRAD:
        made._node = leaf(raw, device)
    return made
