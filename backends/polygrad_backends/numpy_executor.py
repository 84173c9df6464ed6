"""Static graphs on NumPy: ufuncs write into buffers that were planned, and elementwise work on large arrays is done in blocks
that fit the cache, by several threads (NumPy's ufuncs release the GIL).

A graph becomes a Python function of straight-line calls. Every intermediate array that a ufunc makes gets its place from a
plan by liveness, once; views of such places are made once too. What the graph returns is memory of its own.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from polygrad.graph import ELEMENTWISE, FRESH, Graph, Instruction, Program, Value, Writer, resolve

__all__ = ["compile_graph", "threads"]

LARGE: Final = 1 << 16
"""From how many elements on elementwise work is done in blocks."""
BLOCK_BYTES: Final = 1 << 17
"""What a block of an array takes: several of them fit the second-level cache (measured: 64 to 256 kB are alike)."""

_UFUNCS: Final = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "divide": "true_divide", "negative": "negative",
    "equal": "equal", "not_equal": "not_equal", "less": "less", "less_equal": "less_equal", "greater": "greater",
    "greater_equal": "greater_equal", "tanh": "tanh",
}  # fmt: skip
_MAKES_ORDER: Final = frozenset("matmul_2d zeros ones full stack concat".split())
_KEEPS_ORDER: Final = frozenset("sum mean max min prod reshape expand_dims squeeze".split())
_VIEWS: Final = frozenset("matrix_transpose permute_dims expand_dims squeeze".split())
_HALF: Final = frozenset({"floor", "ceil", "trunc", "round", "clip", "abs"})


def threads() -> int:
    """How many threads blocks are spread over: ``POLYGRAD_NUM_THREADS``, ``OMP_NUM_THREADS``, or the cores that this process
    may run on."""
    for name in ("POLYGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value):
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def _workers() -> ThreadPoolExecutor:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(threads() - 1, 1), thread_name_prefix="polygrad")
        return _pool


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads

    def _forget() -> None:
        global _pool
        _pool = None

    os.register_at_fork(after_in_child=_forget)


def compile_graph(np: Any, graph: Graph, device: Any) -> Callable[..., tuple[Any, ...]]:
    """A function of the graph's inputs, for any thread at any time."""
    plan = Plan(np, graph, device)
    idle: list[Callable[..., tuple[Any, ...]]] = []
    ordered = [i for i, v in enumerate(graph.inputs) if len(v.shape) > 1 and v in plan.taken]
    straight: list[Callable[..., tuple[Any, ...]]] = []

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
            return instance(*inputs)
        finally:
            idle.append(instance)

    run.plan = plan  # type: ignore[attr-defined]
    return run


class Group:
    """Elementwise instructions on arrays of one shape, and sums over all of them, to be done block by block."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.instructions: list[Instruction] = []
        self.made: set[Value] = set()

    def add(self, instruction: Instruction) -> None:
        self.instructions.append(instruction)
        self.made.update(instruction.outputs)

    @property
    def size(self) -> int:
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def reduced(self) -> list[Instruction]:
        """The sums."""
        return [i for i in self.instructions if i.op in ("sum", "mean")]


Step = Instruction | Group


def _is_whole(instruction: Instruction) -> bool:
    """Whether it is the sum or mean over a whole array of floating numbers."""
    if instruction.op not in ("sum", "mean") or len(instruction.args) != 1:
        return False
    options = dict(instruction.kwargs)
    (x,) = instruction.inputs
    axis = options.pop("axis", None)
    axes = range(len(x.shape)) if axis is None else [axis] if isinstance(axis, int) else axis
    if options.pop("keepdims", False) or options.pop("dtype", None) is not None or options:
        return False
    return x.dtype is not None and x.dtype.kind == "f" and {a % len(x.shape) for a in axes} == set(range(len(x.shape)))


def _shape_of(instruction: Instruction) -> tuple[int, ...] | None:
    """The shape whose blocks an instruction can be done in, or None."""
    if _is_whole(instruction):
        shape = instruction.inputs[0].shape
    elif instruction.op in ELEMENTWISE and len(instruction.outputs) == 1 and not instruction.kwargs:
        shape = instruction.outputs[0].shape
        if any(v.shape not in ((), shape) for v in instruction.inputs):
            return None
    else:
        return None
    n = 1
    for length in shape:
        n *= length
    return shape if n >= LARGE else None


def grouped(graph: Graph, ordered: set[Value]) -> list[Step]:
    """The instructions with groups made of those that can be done block by block."""
    steps: list[Step] = []
    group: Group | None = None
    others: list[Instruction] = []  # since the group began; nothing in it depends on them

    def flush() -> None:
        nonlocal group, others
        steps.extend(others)
        if group is not None:
            steps.extend([group] if len(group.instructions) > 1 else group.instructions)
        group, others = None, []

    for instruction in graph.instructions:
        shape = _shape_of(instruction) if ordered.issuperset(instruction.inputs) else None
        taken = instruction.inputs
        if shape is not None:
            waiting = {v for other in others for v in other.outputs}
            sums = {v for i in (group.reduced if group else ()) for v in i.outputs}
            if group is None or group.shape != shape or any(v in waiting or v in sums for v in taken):
                flush()
                group = Group(shape)
            group.add(instruction)
        elif (group is not None and any(v in group.made for v in taken)) or instruction.effect:
            flush()
            steps.append(instruction)
        else:
            others.append(instruction)
    flush()
    return steps


class Plan:
    """Where everything is put.

    Attributes:
        steps: instructions and groups, in order.
        source: the function's text.
        planned_bytes: of all buffers together.
    """

    def __init__(self, np: Any, graph: Graph, device: Any) -> None:
        self.np = np
        self.graph = graph
        self.device = device
        self.taken = {v for i in graph.instructions for v in i.inputs}
        self.ordered = self._ordered()
        self.steps = grouped(graph, self.ordered)
        self.arenas: list[int] = []
        self.place: dict[Value, int] = {}
        self._ends = self._lifetimes()
        self._assign()
        self.planned_bytes = sum(self.arenas)
        self.writer = _Source(self)
        self.source = self.writer.text()
        self._code = compile(self.source, "<graph for cpu>", "exec")

    def instance(self) -> Callable[..., tuple[Any, ...]]:
        """The function with buffers of its own."""
        np = self.np
        scope = dict(self.writer.scope)
        memory = [np.empty(max(n, 1), np.uint8) for n in self.arenas]
        for name, v in self.writer.buffers.items():
            scope[name] = memory[self.place[v]][: v.nbytes].view(self.native(v)).reshape(v.shape)
        for name, (source, op, args) in self.writer.views.items():
            scope[name] = resolve(self.device.raw, op)(scope[source], *args)
        scope["recent"] = [None] * self.writer.fresh
        exec(self._code, scope)
        return scope["run"]  # type: ignore[no-any-return]

    def explain(self) -> list[str]:
        """What is done in blocks, what is not, and the memory planned, in words."""
        lines = []
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
        return [*lines, f"planned buffers: {self.planned_bytes} bytes"]

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
        if made[0] not in self.ordered:
            return None  # NumPy makes it in another order, in which later sums go
        if op == "tanh" and made[0].dtype.kind == "c":
            return None
        if op in _UFUNCS:
            return _UFUNCS[op]
        f = resolve(self.device.raw, op)
        name = getattr(f, "__name__", "")
        return name if isinstance(f, self.np.ufunc) and f.nout == 1 and getattr(self.np, name, None) is f else None

    def writable(self, step: Step) -> list[Value]:
        """The values of a step that are written into a place of ours."""
        if isinstance(step, Group):
            sums = {v for i in step.reduced for v in i.outputs}
            return [v for v in self.external(step) if v not in sums]
        if step.op == "tanh_vjp":
            (out,) = step.outputs
            plain = out in self.ordered and out.dtype is not None and out.dtype.kind == "f" and out.shape != ()
            return [out] if plain and all(v.shape == out.shape and v.dtype is out.dtype for v in step.inputs) else []
        if step.op == "matmul_2d" or (step.op == "sum_leading" and step.args[1] == 1):
            return list(step.outputs)
        return list(step.outputs) if self.ufunc(step) else []

    def external(self, group: Group) -> list[Value]:
        """What a group makes that is needed outside."""
        used = {v for v in self.graph.outputs if v is not None}
        for step in self.steps:
            if step is not group:
                used.update(_inputs(step))
        return [v for i in group.instructions for v in i.outputs if v in used]

    def _lifetimes(self) -> dict[Value, int]:
        """For each value the last step at which its memory is looked at; views keep alive what they are of."""
        ends: dict[Value, int] = {}
        holds: dict[Value, set[Value]] = {}
        for i, step in enumerate(self.steps):
            for v in _inputs(step):
                for root in {v} | holds.get(v, set()):
                    ends[root] = i
            if isinstance(step, Instruction) and not surely_fresh(step):
                roots = {r for v in step.inputs for r in {v} | holds.get(v, set())}
                for v in step.outputs:
                    holds[v] = roots
        for out in self.graph.outputs:
            if out is not None:
                for root in {out} | holds.get(out, set()):
                    ends[root] = len(self.steps)
        return ends

    def _assign(self) -> None:
        returned = {v for v in self.graph.outputs if v is not None}
        free: list[int] = []
        dying: dict[int, list[Value]] = {}
        for i, step in enumerate(self.steps):
            wanted = [v for v in self.writable(step) if v not in returned]
            early = isinstance(step, Instruction) and self.ufunc(step) is not None
            if early:  # a ufunc may write over what it reads, element by element
                for v in dying.pop(i, []):
                    same = all(v.shape == w.shape and v.nbytes == w.nbytes for w in wanted) and wanted
                    (free.append(self.place[v]) if same else dying.setdefault(i + 1, []).append(v))
            for v in wanted:
                self.place[v] = self._arena(free, v.nbytes)
                dying.setdefault(max(self._ends.get(v, i), i), []).append(v)
            free += [self.place[v] for v in dying.pop(i, [])]

    def _arena(self, free: list[int], nbytes: int) -> int:
        """The arena that fits best, grown if none is large enough."""
        fitting = [a for a in free if self.arenas[a] >= nbytes]
        if fitting:
            best = min(fitting, key=self.arenas.__getitem__)
        elif free:
            best = max(free, key=self.arenas.__getitem__)
            self.arenas[best] = nbytes
        else:
            self.arenas.append(nbytes)
            return len(self.arenas) - 1
        free.remove(best)
        return best


def surely_fresh(instruction: Instruction) -> bool:
    """Whether what an instruction makes shares memory with nothing."""
    op = instruction.op.removeprefix("xp.")
    if op in _HALF:
        return all(v.dtype is not None and v.dtype.kind in "fc" for v in instruction.outputs) and op != "clip"
    return op in FRESH or op == "sum_leading" or instruction.effect


def _inputs(step: Step) -> Iterator[Value]:
    if isinstance(step, Group):
        for instruction in step.instructions:
            for v in instruction.inputs:
                if v not in step.made:
                    yield v
    else:
        yield from step.inputs


class _Source(Writer):
    """Writes a plan's function."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.np = plan.np
        self.buffers: dict[str, Value] = {}
        self.views: dict[str, tuple[str, str, tuple[Any, ...]]] = {}
        self.fresh = 0
        scope = {
            "quiet": plan.device.backend.quiet, "copy": plan.device.backend.copy, "dot": plan.np.dot, "np": plan.np,
            "as_raw": lambda value: plan.device.backend.as_raw(value, plan.device), "add_reduce": plan.np.add.reduce,
            "blocks": blocks, "flat": lambda x: x.reshape(-1), "getrefcount": sys.getrefcount, "empty": plan.np.empty,
            "tanh_vjp": _tanh_vjp(plan.np, resolve(plan.device.raw, "tanh_vjp")),
        }  # fmt: skip
        super().__init__(plan.graph, plan.device, scope)

    def text(self) -> str:
        graph = self.graph
        self.name_inputs()
        lines: list[str] = []
        for step in self.plan.steps:
            lines += self._group(step) if isinstance(step, Group) else [self._step(step)]
        returned = self.outputs(surely_fresh)
        head = f"def run({', '.join(self.names[v] for v in graph.inputs)}):"
        body = ["    with quiet():", *("        " + line for line in lines or ["pass"])]
        return "\n".join(
            [*self.functions_text, head, *body, f"    return ({', '.join(returned)}{',' if returned else ''})", ""]
        )

    functions_text: list[str]

    def _step(self, instruction: Instruction) -> str:
        made = instruction.outputs
        out = made[0] if len(made) == 1 else None
        if instruction.op in _VIEWS and out is not None and not instruction.kwargs:
            source = self.names.get(instruction.args[0], "")
            if source in self.buffers or source in self.views:  # always the same view of always the same memory
                name = self.names[out] = f"w{len(self.views)}"
                self.views[name] = (source, instruction.op, instruction.args[1:])
                return "pass"
        planned = out is not None and out in self.plan.place
        into = f", {self._buffer(out)}" if planned and out is not None else ""
        if into and instruction.op in ("maximum", "minimum"):
            into = into.replace(", ", ", out=")  # the only ufuncs of NumPy that refuse it by position
        arguments = [self.argument(a) for a in instruction.args]
        ufunc = self.plan.ufunc(instruction)
        if instruction.op == "matmul_2d":
            call = f"dot({arguments[0]}, {arguments[1]}{into})"
        elif instruction.op == "sum_leading" and instruction.args[1] == 1:
            call = f"add_reduce({arguments[0]}, 0, None{into})"
        elif ufunc is not None:
            call = f"{self._constant(ufunc, getattr(self.np, ufunc))}({', '.join(arguments)}{into})"
        elif instruction.op == "tanh_vjp" and planned:
            call = f"tanh_vjp({', '.join(arguments)}{into})"
        elif instruction.op == "mean" and _is_whole(instruction):  # as np.mean does, without its detours
            call = f"add_reduce({arguments[0]}, {tuple(range(len(instruction.inputs[0].shape)))}) / {instruction.inputs[0].size}"
        elif instruction.op == "matrix_transpose" and out is not None and len(out.shape) == 2:
            call = f"{arguments[0]}.T"
        else:
            call = self.call(instruction)
        if planned:
            return call
        targets = [self.names.setdefault(v, f"v{v.number}") for v in made]
        if not targets:
            return call
        return f"{', '.join(targets)}{',' if instruction.several and len(targets) == 1 else ''} = {call}"

    def _constant(self, name: str, thing: Any) -> str:
        self.scope[f"np_{name}"] = thing
        return f"np_{name}"

    def _buffer(self, v: Value) -> str:
        name = self.names[v] = f"b{v.number}"
        self.buffers[name] = v
        return name

    # -- blocks --------------------------------------------------------------------------------------

    def _group(self, group: Group) -> list[str]:
        """The lines that run a group; its body becomes a function of one block."""
        plan, number = self.plan, len(self.functions_text)
        external = plan.external(group)
        sums = {v: i for i in group.reduced for v in i.outputs}
        whole = list(dict.fromkeys(v for v in _inputs(group) if v.shape == group.shape))
        scalars = list(dict.fromkeys(v for v in _inputs(group) if v.shape != group.shape))
        lines = []
        outs = [v for v in external if v not in sums]
        for v in outs:
            if v in plan.place:
                self._buffer(v)
            else:  # returned: the array of the last run, if nobody has kept it
                name = self.names[v] = f"v{v.number}"
                k, self.fresh = self.fresh, self.fresh + 1
                dtype = self._constant(f"dtype{v.number}", plan.native(v))
                lines += [
                    f"{name} = recent[{k}]",
                    f"if {name} is None or getrefcount({name}) > 3: {name} = recent[{k}] = empty({v.shape!r}, {dtype})",
                ]
        body, scratch = self._body(group, outs, sums)
        parameters = [f"x{v.number}" for v in (*whole, *outs)] + [f"x{v.number}" for v in scalars]
        partials = [f"p{v.number}" for v in sums]
        head = f"def block{number}(at, {', '.join([*parameters, *partials, *[f't{i}' for i in range(len(scratch))]])}):"
        self.functions_text.append("\n".join([head, *("    " + line for line in body), ""]))
        arrays = ", ".join(f"flat({self.names[v]})" for v in (*whole, *outs))
        fixed = ", ".join(self.names[v] for v in scalars)
        widest = max(
            v.dtype.itemsize for i in group.instructions for v in (*i.inputs, *i.outputs) if v.dtype is not None
        )
        kinds = self._constant(f"kinds{number}", tuple(scratch))
        sum_kinds = self._constant(f"sums{number}", tuple(plan.native(v) for v in sums))
        call = (
            f"blocks(np, block{number}, ({arrays}{',' if arrays else ''}), ({fixed}{',' if fixed else ''}), {kinds}, "
            f"{sum_kinds}, {group.size}, {BLOCK_BYTES // widest})"
        )
        names = [self.names.setdefault(v, f"v{v.number}") for v in sums]
        lines.append((", ".join(names) + ", = " if names else "") + call)
        for v, i in sums.items():
            if i.op == "mean":
                lines.append(f"{self.names[v]} = {self.names[v]} / {group.size}")
        return lines

    def _body(self, group: Group, outs: Sequence[Value], sums: dict[Value, Instruction]) -> tuple[list[str], list[Any]]:
        """The lines of one block, and the dtypes of its scratch arrays."""
        last: dict[Value, int] = {}
        for i, instruction in enumerate(group.instructions):
            for v in instruction.inputs:
                last[v] = i
        names: dict[Value, str] = {v: f"x{v.number}" for v in (*_inputs(group), *outs)}
        scratch: list[Any] = []
        free: dict[Any, list[int]] = {}
        lines = []
        own = self.names
        for i, instruction in enumerate(group.instructions):
            (out,) = instruction.outputs
            self.names = {**own, **names}
            arguments = [self.argument(a) for a in instruction.args]
            ufunc = self.plan.ufunc(instruction)
            for v in dict.fromkeys(instruction.inputs):
                if last[v] == i and names.get(v, "").startswith("t"):
                    kind = self.plan.native(v)
                    free.setdefault(kind, []).append(int(names[v][1:]))
            if out in sums:
                lines.append(f"p{out.number}[at] = add_reduce({arguments[0]})")
                continue
            if out not in names and ufunc is not None:
                kind = self.plan.native(out)
                if free.get(kind):
                    names[out] = f"t{free[kind].pop()}"
                else:
                    scratch.append(kind)
                    names[out] = f"t{len(scratch) - 1}"
            if ufunc is not None:
                into = f"out={names[out]}" if instruction.op in ("maximum", "minimum") else names[out]
                lines.append(f"{self._constant(ufunc, getattr(self.np, ufunc))}({', '.join(arguments)}, {into})")
            elif out in names:
                lines.append(f"{names[out]}[...] = {self.call(instruction)}")
            else:
                names[out] = f"y{out.number}"
                lines.append(f"{names[out]} = {self.call(instruction)}")
        self.names = own
        return lines, scratch


def _tanh_vjp(np: Any, exact: Callable[[Any, Any, Any], Any]) -> Callable[..., None]:
    """The backend's kernel, writing into a place; in the tails, where it takes more care, by the kernel itself."""
    multiply, subtract = np.multiply, np.subtract
    one = {d: np.ones((), d) for d in (np.dtype("float32"), np.dtype("float64"))}

    def into(g: Any, out: Any, x: Any, place: Any) -> None:
        multiply(out, out, place)
        subtract(one.get(place.dtype, 1), place, place)
        if place.size == 0 or place.item(place.argmin()) > 1e-3:
            multiply(place, g, place)
        else:
            place[...] = exact(g, out, x)

    return into


def blocks(
    np: Any, body: Callable[..., None], arrays: Sequence[Any], scalars: Sequence[Any], scratch: Sequence[Any],
    sums: Sequence[Any], size: int, block: int,
) -> list[Any]:  # fmt: skip
    """Run a group block by block, spread over threads; returns its sums, each the pairwise sum of the blocks' own."""
    count = -(-size // block)
    partials = [np.empty(count, kind) for kind in sums]

    def work(first: int, end: int) -> None:
        places = [np.empty(block, kind) for kind in scratch]
        with np.errstate(all="ignore"):
            for at in range(first, end):
                start = at * block
                stop = min(start + block, size)
                if stop - start < block:
                    places = [place[: stop - start] for place in places]
                body(at, *[x[start:stop] for x in arrays], *scalars, *partials, *places)

    n = min(threads(), count // 4) or 1  # a few blocks are done before a thread has woken
    if n == 1:
        work(0, count)
    else:
        share = -(-count // n)
        rest = [_workers().submit(work, i, min(i + share, count)) for i in range(share, count, share)]
        work(0, share)
        for future in rest:
            future.result()
    return [np.add.reduce(partial) for partial in partials]
