"""Static graphs on NumPy: ufuncs write into buffers that were planned, and elementwise work on large arrays is done in blocks
that fit the cache, by several threads (NumPy's ufuncs release the GIL).

A graph becomes a Python function of straight-line calls. Every intermediate array that a ufunc makes gets its place from a
plan by liveness, once; views of such places are made once too. What the graph returns is memory of its own.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import cached_property, partial
from itertools import accumulate
from typing import Any, Final

from polygrad.graph import ELEMENTWISE, PLAIN_OF, REARRANGED, Graph, Instruction, Program, Value, no_collection, resolve

from .numpy_blocks import LINE, Group, Scratch, Step, grouped, inputs_of
from .numpy_source import Source, is_product, reduction, surely_fresh
from .numpy_strong import carries_nan
from .numpy_threads import one_blas_thread, threads

__all__ = ["Plan", "compile_graph", "threads"]

_UFUNCS: Final = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "divide": "true_divide", "negative": "negative",
    "equal": "equal", "not_equal": "not_equal", "less": "less", "less_equal": "less_equal", "greater": "greater",
    "greater_equal": "greater_equal", "tanh": "tanh",
}  # fmt: skip
_PLACED: Final = frozenset("divide_linear strong_divide strong_multiply strong_product tanh_vjp".split())
_MAKES_ORDER: Final = frozenset(
    """
    linalg.cholesky linalg.inv linalg.solve linalg.solve_triangular gru_backward gru_forward lstm_backward
    lstm_forward full matmul_2d ones recurrent_weight_vjp
    rnn_backward rnn_forward zeros
    """.split()
)
_KEEPS_ORDER: Final = frozenset(
    """
    concat expand_dims gelu_parts matmul max mean min prod reshape softmax_rows_linear squeeze stack sum tril triu
    """.split()
)
PLANNED_BYTES: Final = 1 << 18
"""Larger arrays are made when they are needed and let go after their last use, as the kernels' own are: a place that waits
for the next run would be memory beside them. (The allocator has such memory at hand; smaller arrays come cheaper planned.)
"""
_LARGE_PRODUCT: Final = 1 << 24
_KEPT_BYTES: Final = 1 << 22
"""From this size on a returned array is one of the last runs, if nobody has kept it: new memory has to be paged in."""


def compile_graph(
    np: Any, graph: Graph, device: Any, planned: type[Plan] | None = None
) -> Callable[..., tuple[Any, ...]]:
    """A function of the graph's inputs, for any thread at any time."""
    if any(a.__class__ is not np.ndarray for a in graph.constants.values()):
        # Machine code reads the memory of arrays, which NumPy's scalars do not have.
        graph = graph.with_(constants={v: np.asarray(a) for v, a in graph.constants.items()})
    with no_collection:
        plan = (planned or Plan)(np, graph, device)
    # Machine code is made at once: what it cannot do is known before the first run.
    idle: list[Callable[..., tuple[Any, ...]]] = [] if planned is None else [plan.instance()]
    ordered = [i for i, v in enumerate(graph.inputs) if plan.needs_order(v)]
    straight: list[Callable[..., tuple[Any, ...]]] = []
    alone = plan.wants_one_blas_thread()

    def run(*inputs: Any) -> tuple[Any, ...]:
        for i in ordered:
            if not inputs[i].flags.c_contiguous:  # the plan is for C order, which decides the order of sums
                if not straight:
                    straight.append(Program(graph, device).run)
                return straight[0](*inputs)
        try:
            instance = idle.pop()  # buffers belong to one run at a time
        except IndexError:
            instance = plan.instance()
        try:
            if not alone:
                return instance(*inputs)
            with one_blas_thread:
                return instance(*inputs)
        except BufferError:  # by machine code, before it did anything
            return run(*_in_order(np, graph, inputs))
        finally:
            idle.append(instance)

    run.plan = plan  # type: ignore[attr-defined]
    return run


def _in_order(np: Any, graph: Graph, inputs: tuple[Any, ...]) -> list[Any]:
    """The same inputs, arrays in C order; to be asked for when one of them is not."""
    made = [x if v.dtype is None else np.require(x, None, "CAE") for v, x in zip(graph.inputs, inputs, strict=True)]
    if all(x is y for x, y in zip(made, inputs, strict=True)):
        raise
    return made


class Plan:
    """Where everything is put.

    Attributes:
        steps: instructions and groups, in order.
        spent: instructions whose kernels may write over what they take (its last use).
        over: values that are written into the memory of others, at the last use of those.
        source: the function's text.
        planned_bytes: of all buffers together.
    """

    def __init__(self, np: Any, graph: Graph, device: Any) -> None:
        self.np = np
        self.graph = graph
        self.device = device
        self.made = graph.made_by()
        self.ordered = self._ordered()
        self.steps = self._steps()
        self.over: dict[Value, Value] = {}
        self._mended: dict[Group, list[Value]] = {}
        self.arenas: list[int] = []
        self.place: dict[Value, int] = {}
        self._ends, self._roots = self._lifetimes()
        self._assign()
        self.kept = self._kept()
        self.spent: set[Instruction] = set()
        for i, step in enumerate(self.steps):
            self._write_over(i, step)
        self.planned_bytes = sum(self.arenas)
        self.writer = self._writer()
        self.source = self.writer.text()
        self._code = compile(self.source, "<graph for cpu>", "exec")

    def _steps(self) -> list[Step]:
        return grouped(self.graph, self.ordered)

    def _writer(self) -> Source:
        return Source(self)

    @cached_property
    def offsets(self) -> list[int]:
        """Where each arena begins in the one block of memory, and where the last one ends."""
        return [0, *accumulate(-(-n // LINE) * LINE for n in self.arenas)]

    def instance(self) -> Callable[..., tuple[Any, ...]]:
        """The function with buffers of its own."""
        np = self.np
        scope = dict(self.writer.scope)
        memory = scope["memory"] = _aligned(np, self.offsets[-1])
        for name, v in self.writer.buffers.items():
            start = self.offsets[self.place[v]]
            scope[name] = memory[start : start + v.nbytes].view(self.native(v)).reshape(v.shape)
        for name, (source, op, args, kwargs) in self.writer.views.items():
            scope[name] = resolve(self.device.raw, op)(scope[source], *args, **dict(kwargs))
        for name, (n, kind) in self.writer.partials.items():
            scope[name] = np.empty(n, kind)
        scope["recent"] = [None] * self.writer.fresh
        scope["kept"] = [{} for _ in range(self.writer.groups)]
        scope["scratch"] = Scratch(np, self.writer.scratch_bytes)
        scope["threads"] = threads()
        exec(self._code, scope)
        # A context of its own, in which NumPy's errors are ignored: entering it costs a tenth of np.errstate.
        context = Context()
        context.run(np.errstate(all="ignore").__enter__)
        return partial(context.run, scope["run"])

    instead: str = ""
    """Why this plan runs a graph that machine code was asked for."""

    def explain(self) -> list[str]:
        """What is done in blocks, what is not, and the memory planned, in words."""
        lines = [f"no machine code: {self.instead}"] if self.instead else []
        alone: dict[str, int] = {}
        for step in self.steps:
            if isinstance(step, Group):
                lines.append(f"in blocks, over {step.size} elements: {', '.join(i.op for i in step.instructions)}")
            else:
                alone[step.op] = alone.get(step.op, 0) + 1
        if alone:
            lines.append(
                "on whole arrays: " + ", ".join(f"{op} x{n}" if n > 1 else op for op, n in sorted(alone.items()))
            )
        return [*lines, *self.memory()]

    def memory(self) -> list[str]:
        """What is planned, and what is written over, in words."""
        lines = [f"planned buffers: {self.planned_bytes} bytes"]
        if self.over or self.spent:
            taken = [v.nbytes for v in self.over] + [max(v.nbytes for v in i.outputs) for i in self.spent]
            lines.append(f"written over at their last use: {len(taken)} arrays, {sum(taken)} bytes")
        return lines

    def native(self, v: Value) -> Any:
        return self.device.backend.to_native_dtype(v.dtype)

    def _ordered(self) -> set[Value]:
        """The values that NumPy makes in C order, as a plan's buffers are."""
        known = {*self.graph.inputs, *(v for v, a in self.graph.constants.items() if a.flags.c_contiguous)}
        for instruction in self.graph.instructions:
            arrays = [v for v in instruction.inputs if v.dtype is not None and len(v.shape) > 1]
            simple = instruction.op in ELEMENTWISE or instruction.op in _KEEPS_ORDER
            for v in instruction.outputs:
                if len(v.shape) < 2 or instruction.op in _MAKES_ORDER or (simple and all(a in known for a in arrays)):
                    known.add(v)
        return known

    # -- liveness ------------------------------------------------------------------------------------

    def ufunc(self, instruction: Instruction) -> str | None:
        """The name of the ufunc that does the same with an array to write into."""
        op, made = instruction.op, instruction.outputs
        if len(made) != 1 or made[0].dtype is None or instruction.kwargs:
            return None
        if all(v.shape == () for v in instruction.inputs):
            return None  # scalars are quicker without
        if made[0] not in self.ordered and made[0] not in self.over:
            return None  # NumPy makes it in another order, in which later sums go
        if op == "tanh" and made[0].dtype.kind == "c":
            return None
        if op in _UFUNCS:
            return _UFUNCS[op]
        f = resolve(self.device.raw, op)
        name = getattr(f, "__name__", "")
        return name if isinstance(f, self.np.ufunc) and f.nout == 1 and getattr(self.np, name, None) is f else None

    def is_placed(self, instruction: Instruction) -> bool:
        """Whether a kernel of the backend can write the result into a place (``numpy_strong.py``)."""
        if instruction.op not in _PLACED or instruction.kwargs:
            return False
        (out,) = instruction.outputs
        if out not in self.ordered or out.dtype is None or out.dtype.kind not in "fc" or out.shape == ():
            return False
        if instruction.op == "tanh_vjp" and out.dtype.kind == "c":
            return False
        shapes = (out.shape,) if instruction.op == "tanh_vjp" else ((), out.shape)
        return all(v.shape in shapes and v.dtype is out.dtype for v in instruction.inputs)

    def written_over(self, instruction: Instruction) -> Sequence[Value]:
        """The arguments of an instruction whose memory its result may take, element by element."""
        if self.ufunc(instruction) is not None and not is_product(instruction):
            return instruction.inputs
        if not self.is_placed(instruction) or instruction.op == "strong_product":
            return []
        second = instruction.args[1]  # the slope: the cotangent is looked at again
        alone = second.__class__ is Value and sum(v is second for v in instruction.args) == 1
        return [second] if alone else []

    def mended(self, group: Group) -> list[Value]:
        """The results of a group that a nan of a product with strong zeros would reach. If no nan is in them, plain products
        give the same. Empty where that is unknown, or costs as much as it saves."""
        known = self._mended.get(group)
        if known is None:
            known = self._mended[group] = self._reached_by_nan(group)
        return known

    def _reached_by_nan(self, group: Group) -> list[Value]:
        strong = [i for i in group.instructions if i.op in PLAIN_OF]
        if len(strong) < 2 or any(not self.is_placed(i) or not _is_real(i.outputs[0]) for i in strong):
            return []
        tainted = carries_nan(group.instructions)
        results = [v for v in self.external(group) if tainted is not None and v in tainted]
        return results if len(results) < len(strong) else []

    def is_column_sum(self, instruction: Instruction) -> bool:
        """Whether it sums the columns of a matrix that is in C order."""
        if instruction.op != "sum_leading" or instruction.args[1] != 1:
            return False
        x = instruction.args[0]
        plain = x in self.ordered and x.dtype is not None and x.dtype.name in ("float32", "float64")
        return plain and len(x.shape) == 2 and x.size > 0

    def writable(self, step: Step) -> list[Value]:
        """The values of a step that are written into a place of ours."""
        if isinstance(step, Group):
            sums = {v for i in step.reduced for v in i.outputs}
            return [v for v in self.external(step) if v not in sums]
        if len(step.outputs) != 1 or step.outputs[0].shape == () or step.outputs[0] not in self.ordered:
            return []
        batched = step.op == "matmul" and all(
            len(v.shape) > 1 and v in self.ordered and v.dtype is not None and v.dtype.name != "bfloat16"
            for v in step.inputs
        )
        if (
            is_product(step)
            or self.is_column_sum(step)
            or batched
            or reduction(step) is not None
            or self.is_placed(step)
        ):
            return list(step.outputs)
        return list(step.outputs) if self.ufunc(step) else []

    def needs_order(self, v: Value) -> bool:
        """Whether an input must be in C order for the results to be those of eager code, bit for bit."""
        if len(v.shape) < 2 or v not in self._takers_of:
            return False
        takers = self._takers_of
        products = all(i.op in ("matmul_2d", "matrix_transpose") for i in takers[v])
        transposed = [o for i in takers[v] if i.op != "matmul_2d" for o in i.outputs]
        return not products or any(i.op != "matmul_2d" for o in transposed for i in takers.get(o, ()))

    @cached_property
    def _takers_of(self) -> dict[Value, list[Instruction]]:
        """For each value the instructions that take it."""
        takers: dict[Value, list[Instruction]] = {}
        for instruction in self.graph.instructions:
            for v in instruction.inputs:
                takers.setdefault(v, []).append(instruction)
        return takers

    def wants_one_blas_thread(self) -> bool:
        """Whether it factors matrices for which BLAS's threads do harm, and multiplies none for which they are needed."""
        factored = [i for i in self.graph.instructions if i.op.startswith("linalg.") and i.inputs]
        products = [i for i in self.graph.instructions if i.op in ("matmul", "matmul_2d")]
        large = any(i.outputs[0].size * i.inputs[0].shape[-1] > _LARGE_PRODUCT for i in products if i.inputs[0].shape)
        return any(one_blas_thread.suits(i.inputs[0].shape) for i in factored) and not large

    def holds(self, step: Instruction) -> bool:
        """Whether what it makes may be a view of what it takes."""
        return not surely_fresh(step)

    def _kept(self) -> set[Value]:
        """Returned arrays that are written into memory of earlier runs."""
        returned = {v for v in self.graph.outputs if v is not None}
        made = (v for step in self.steps for v in self.writable(step))
        return {v for v in made if v in returned and v.nbytes >= _KEPT_BYTES}

    def external(self, group: Group) -> list[Value]:
        """What a group makes that is needed outside."""
        takers = self._takers
        return [v for i in group.instructions for v in i.outputs if takers.get(v, group) is not group]

    @cached_property
    def _takers(self) -> dict[Value, Step | None]:
        """For each value the step that takes it; None for several, and for what is returned."""
        takers: dict[Value, Step | None] = {}
        for step in self.steps:
            for v in inputs_of(step):
                if takers.setdefault(v, step) is not step:
                    takers[v] = None
        return takers | {v: None for v in self.graph.outputs if v is not None}

    def _lifetimes(self) -> tuple[dict[Value, int], dict[Value, set[Value]]]:
        """For each value the last step at which its memory is looked at, and the values whose memory it may be a view of:
        views keep alive what they are of."""
        ends: dict[Value, int] = {}
        holds: dict[Value, set[Value]] = {}
        for i, step in enumerate(self.steps):
            for v in inputs_of(step):
                for root in {v} | holds.get(v, set()):
                    ends[root] = i
            if isinstance(step, Instruction) and self.holds(step):
                roots = {r for v in step.inputs for r in {v} | holds.get(v, set())}
                for v in step.outputs:
                    holds[v] = roots
        for out in self.graph.outputs:
            if out is not None:
                for root in {out} | holds.get(out, set()):
                    ends[root] = len(self.steps)
        return ends, holds

    # -- memory that is used again at once -------------------------------------------------------------

    def _write_over(self, at: int, step: Step) -> None:
        """What a step makes is written over what it is the last to take, where that is large."""
        if isinstance(step, Instruction):
            spends = getattr(resolve(self.device.raw, step.op), "spends", None)
            if spends is not None:
                v: Any = step.args
                for i in spends:
                    v = v[i]
                if v.__class__ is Value and self._is_spent(v, at, step.inputs):
                    self.spent.add(step)
                return
        taken = list(dict.fromkeys(inputs_of(step)))
        free = [v for v in taken if self._is_spent(v, at, taken)]
        for out in (self.writable(step) or self.lies_alike(step)) if free else ():
            if out in self.place or out in self.kept:
                continue
            for x in free:
                if x.dtype is out.dtype and x.shape == out.shape and self.overwrites(step, out, x):
                    self.over[out] = self.named(step, x)
                    free.remove(x)
                    break

    def _is_spent(self, v: Value, at: int, taken: Sequence[Value]) -> bool:
        """Whether nobody looks at a value's memory after a step, and the step itself sees it as this value only, whole and
        in an order that NumPy would choose itself."""
        own = {v} | self._roots.get(v, set())
        if v.nbytes < PLANNED_BYTES or v.shape == () or not self._is_whole(v):  # NumPy's scalars are no memory
            return False
        if any(r in self.place or self._ends.get(r) != at or r.nbytes != v.nbytes for r in own):
            return False
        return sum(not own.isdisjoint({other} | self._roots.get(other, set())) for other in taken) == 1

    def _is_whole(self, v: Value) -> bool:
        """Whether it is memory of its own, or all of such in another shape: not repeated, nor backwards."""
        maker = self.made.get(v)
        if maker is None or surely_fresh(maker):
            return maker is not None
        return maker.op in REARRANGED and self._is_whole(maker.inputs[0])

    def named(self, step: Step, v: Value) -> Value:
        """The value by whose name a step knows the memory of one that it takes."""
        return v

    def lies_alike(self, step: Step) -> tuple[Value, ...]:
        """What a step makes that lies as its first argument does, in whatever order: a convolution with its bias."""
        if isinstance(step, Group) or step.op not in _UFUNCS or step.kwargs or len(step.args) != 2:
            return ()
        x, bias = step.args
        if x not in self._convolved or bias.__class__ is not Value or bias.dtype is not x.dtype:
            return ()
        alike = step.outputs[0].shape == x.shape and sum(n > 1 for n in bias.shape) <= 1
        return step.outputs if alike and step.outputs[0] not in self.ordered else ()

    @cached_property
    def _convolved(self) -> set[Value]:
        return {v for i in self.graph.instructions if i.op in ("conv_nd", "conv_input_nd") for v in i.outputs}

    def overwrites(self, step: Step, out: Value, v: Value) -> bool:
        """Whether a step reads a value, whose memory lies like the result's, for the last time when it writes the result."""
        if isinstance(step, Instruction) and out in self.lies_alike(step):
            return v is step.args[0]
        if v not in self.ordered or v.dtype is None or v.dtype.kind != "f":
            return False
        if not isinstance(step, Group):
            return v in self.written_over(step)
        if self.mended(step):  # it may have to be computed once more
            return False
        reads = [i for i, instruction in enumerate(step.instructions) if v in instruction.inputs]
        (writes,) = [i for i, instruction in enumerate(step.instructions) if out in instruction.outputs]
        last = step.instructions[writes]
        return reads[-1] < writes or (
            reads[-1] == writes and (not self.is_placed(last) or v in self.written_over(last))
        )

    def _assign(self) -> None:
        returned = {v for v in self.graph.outputs if v is not None}
        free = _Free(self.arenas)
        dying: dict[int, list[Value]] = {}
        for i, step in enumerate(self.steps):
            wanted = [v for v in self.writable(step) if v not in returned and v.nbytes < PLANNED_BYTES]
            early = self.written_over(step) if isinstance(step, Instruction) else ()
            rest = []
            for v in dying.pop(i, []):
                same = v in early and wanted and all(v.shape == w.shape and v.nbytes == w.nbytes for w in wanted)
                (free.add(self.place[v]) if same else rest.append(v))
            dying[i] = rest
            for v in wanted:
                self.place[v] = free.taken(v.nbytes)
                dying.setdefault(max(self._ends.get(v, i), i), []).append(v)
            for v in dying.pop(i, []):
                free.add(self.place[v])


def _is_real(v: Value) -> bool:
    return v.dtype is not None and v.dtype.kind == "f"


class _Free:
    """The arenas that nothing is in, by size.

    Args:
        arenas: the sizes of all.
    """

    def __init__(self, arenas: list[int]) -> None:
        self._arenas = arenas
        self._sorted: list[tuple[int, int]] = []

    def add(self, arena: int) -> None:
        insort(self._sorted, (self._arenas[arena], arena))

    def taken(self, nbytes: int) -> int:
        """The arena that fits best, grown if none is large enough, new if there is none."""
        if not self._sorted:
            self._arenas.append(nbytes)
            return len(self._arenas) - 1
        at = bisect_left(self._sorted, (nbytes, 0))
        _, best = self._sorted.pop(min(at, len(self._sorted) - 1))
        self._arenas[best] = max(self._arenas[best], nbytes)
        return best


def _aligned(np: Any, nbytes: int) -> Any:
    """Memory that begins where a cache line does."""
    memory = np.empty(max(nbytes, 1) + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + nbytes]
