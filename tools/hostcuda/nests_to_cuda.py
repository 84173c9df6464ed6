"""The loop nests of polygrad's machine code printed as CUDA C, as an example of how generated kernels are tested.

``pg.compile(step, executor=nests_to_cuda.Executor)`` plans as the native executor does, prints each nest as a kernel,
makes a shared object of them by g++ and host_cuda.h and runs it on NumPy arrays; what is no nest is NumPy's. The text
is CUDA C and goes through NVRTC as it is (``Executor.sources``). Neither a GPU nor CuPy is needed.

Three kinds of kernels: elementwise, reductions over the last axes (a warp a row), and sums over everything (partial
sums of blocks, then a second launch). It leans on inner parts of polygrad's native executor, which may move.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import host_compiler
import numpy as np
from polygrad_backends.native import nests
from polygrad_backends.native.loops import coalesced
from polygrad_backends.native.nests import _PAIRS, Nest, _emitted, c_strides, kind_of
from polygrad_backends.native.plan import NativePlan
from polygrad_backends.numpy_blocks import Group, inputs_of

from polygrad.graph import Instruction
from polygrad.graph.collection import no_collection
from polygrad.graph.execute import resolve
from polygrad.graph.ir import substituted

TYPES = {"float": "float", "double": "double", "i8": "unsigned char"}
NUMBERS = {"float": ctypes.c_float, "double": ctypes.c_double}
MOST_BLOCKS = 4096
ROWS_A_BLOCK = 4  # 128 threads
COMPARISONS = {"equal": "==", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">="}
COMPARISONS |= {"oeq": "==", "ole": "<="}
BETTER = {"max": ">", "min": "<"}


class Text:
    """The lines of a kernel's innermost loop."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names = 0

    def new(self, prefix: str = "t") -> str:
        self._names += 1
        return f"{prefix}{self._names}"


class Lanes:
    """The interface of polygrad_backends.native.emit.Lanes with one lane: C expressions for its values."""

    width = 1
    truth = "bool"

    def __init__(self, text: Text, kind: str) -> None:
        self.emitter, self.kind, self.type = text, kind, kind
        self.bits = 32 if kind == "float" else 64

    def make(self, expression: str, kind: str | None = None) -> str:
        name = self.emitter.new()
        self.emitter.lines.append(f"const {kind or self.kind} {name} = {expression};")
        return name

    def number(self, x: float) -> str:
        small = self.kind == "float"
        if math.isnan(x):
            return "__int_as_float(0x7fc00000)" if small else "__longlong_as_double(0x7ff8000000000000ll)"
        if math.isinf(x):
            infinity = "__int_as_float(0x7f800000)" if small else "__longlong_as_double(0x7ff0000000000000ll)"
            return f"-{infinity}" if x < 0 else infinity
        return f"({float(x)!r}{'f' if small else ''})"

    def add(self, a: str, b: str) -> str:
        return self.make(f"{a} + {b}")

    def sub(self, a: str, b: str) -> str:
        return self.make(f"{a} - {b}")

    def mul(self, a: str, b: str) -> str:
        return self.make(f"{a} * {b}")

    def div(self, a: str, b: str) -> str:
        return self.make(f"{a} / {b}")

    def neg(self, a: str) -> str:
        return self.make(f"-{a}")

    def fma(self, a: str, b: str, c: str) -> str:
        return self.make(f"fma({a}, {b}, {c})")

    def unary(self, name: str, a: str) -> str:
        return self.make(f"{'rint' if name == 'roundeven' else name}({a})")

    def polynomial(self, x: str, coefficients: Sequence[float]) -> str:
        value = self.number(coefficients[0])
        for c in coefficients[1:]:
            value = self.fma(value, x, self.number(c))
        return value

    def compare(self, how: str, a: str, b: str) -> str:
        if how == "uno":
            return self.make(f"({a} != {a} || {b} != {b})", "bool")
        if how == "not_equal":
            return self.make(f"({a} != {b})", "bool")
        return self.make(f"({a} {COMPARISONS[how]} {b})", "bool")

    def choose(self, condition: str, a: str, b: str, kind: str | None = None) -> str:
        return self.make(f"{condition} ? {a} : {b}")

    def logical(self, op: str, a: str, b: str) -> str:
        return self.make(f"({a} { {'and': '&', 'or': '|', 'xor': '^'}[op] } {b})", "bool")

    def all(self, one: str, kind: str) -> str:
        return one

    def any(self, condition: str) -> str:
        return condition

    def extreme(self, how: str, a: str, b: str) -> str:
        """a or b, and nan wherever a is."""
        return self.choose(self.logical("or", self.compare(how, a, b), self.compare("uno", a, a)), a, b)


def _called(name: str) -> Callable[[Lanes, str], str]:
    return lambda v, x: v.make(f"{name}({x})")


def _sigmoid(v: Lanes, x: str) -> str:
    return v.div(v.number(1.0), v.add(v.number(1.0), v.make(f"exp(-{x})")))


def _logaddexp(v: Lanes, a: str, b: str) -> str:
    apart = v.sub(a, b)
    return v.add(v.extreme("greater", a, b), v.make(f"log1p(exp(-fabs({apart})))"))


def _tanh_slope(v: Lanes, out: str, x: str) -> str:
    return v.sub(v.number(1.0), v.mul(out, out))


# Beside the native executor's own, which name LLVM's Lanes or write LLVM's text.
OPERATIONS: dict[str, Callable[..., str]] = {
    "add": lambda v, a, b: v.add(a, b),
    "subtract": lambda v, a, b: v.sub(a, b),
    "multiply": lambda v, a, b: v.mul(a, b),
    "divide": lambda v, a, b: v.div(a, b),
    "negative": lambda v, a: v.neg(a),
    **{name: _called(name) for name in "exp log log1p tanh sin cos".split()},
    "sigmoid": _sigmoid,
    "logaddexp": _logaddexp,
    "tanh_slope": _tanh_slope,
    "tanh_vjp": lambda v, g, out, x: v.mul(_tanh_slope(v, out, x), g),
}


@dataclass
class Kernel:
    """A nest's kernel. ``whole`` are the values that a second launch adds up, each with what it is divided by."""

    name: str
    text: str
    grid: int
    block: int
    taken: list[Any]
    made: list[Any]
    kind: str
    whole: dict[Any, float] = field(default_factory=dict)


class Printer:
    """One nest as CUDA C."""

    def __init__(self, nest: Any, taken: Sequence[Any], made: Sequence[Any], layout: Any, name: str) -> None:
        self.nest, self.taken, self.made, self.name = nest, list(taken), list(made), name
        self.kind: str = nest.kind
        self.argument = {v: f"a{i}" for i, v in enumerate((*taken, *made))}
        strides = [nest._strides(v, layout) for v in taken] + [self._result_strides(v) for v in made]
        self.shape, own = coalesced(nest.shape, strides)
        self.strides = dict(zip(self.argument, own))
        reduced = [v for v in made if v in nest.reductions]
        self.whole = [v for v in reduced if not any(self.strides[v])]
        self.rows = [v for v in reduced if v not in self.whole and self.strides[v][-1] == 0]
        rest = [v for v in reduced if v not in self.whole and v not in self.rows]
        self.columns = [v for v in rest if 0 in self.strides[v]]  # those left are over axes of length 1

    def _result_strides(self, v: Any) -> tuple[int, ...]:
        shape, reduction = self.nest.shape, self.nest.reductions.get(v)
        if reduction is None:
            return c_strides(shape)
        kept = iter(c_strides(tuple(n for axis, n in enumerate(shape) if axis not in reduction.axes)))
        return tuple(0 if axis in reduction.axes else next(kept) for axis in range(len(shape)))

    def kernel(self) -> Kernel | None:
        """None for what is not printed: reductions over leading axes, or of two kinds at once."""
        if self.columns or (self.whole and self.rows):
            return None
        self.text = Text()
        self.lanes = Lanes(self.text, self.kind)
        self._body()
        if self.rows:
            body, grid, block = self._row_kernel()
        elif self.whole:
            body, grid, block = self._whole_kernel()
        else:
            body, grid, block = self._elementwise_kernel()
        bounds = f"__launch_bounds__({block})"
        text = f'extern "C" __global__ void {bounds} {self.name}({self._parameters()}) {{\n{body}\n}}'
        whole = {v: self.nest.reductions[v].divisor for v in self.whole}
        return Kernel(self.name, text, grid, block, self.taken, self.made, self.kind, whole)

    # -- parts of the text

    def _parameters(self) -> str:
        def given(v: Any) -> str:
            if kind_of(v) == "number":
                return f"{self.kind} {self.argument[v]}"
            return f"const {TYPES[kind_of(v)]}* __restrict__ {self.argument[v]}"

        results = [f"{'double' if v in self.whole else TYPES[kind_of(v)]}* {self.argument[v]}" for v in self.made]
        return ", ".join([*map(given, self.taken), *results])

    def _place(self, v: Any, last: str | None = None) -> str:
        """Where v's element of this turn lies; ``last`` instead of the last axis's index."""
        names = [f"i{axis}" for axis in range(len(self.shape))]
        if last is not None:
            names[-1] = last
        terms = [name if step == 1 else f"{name} * {step}" for name, step in zip(names, self.strides[v]) if step]
        return f"{self.argument[v]}[{' + '.join(terms) or '0'}]"

    def _indices(self, flat: str, axes: Iterable[int]) -> str:
        """Declares i0, i1, ... of a flat index."""
        lines, left = [], flat
        for axis in reversed(list(axes)):
            lines.append(f"const int i{axis} = {left}" + (f" % {self.shape[axis]};" if axis else ";"))
            left = f"({left} / {self.shape[axis]})"
        return " ".join(lines)

    def _total(self, v: Any) -> str:
        return f"r_{self.argument[v]}"

    def _into(self, how: str, total: str, x: str) -> str:
        if how == "sum":
            return f"{total} = {total} + {x};"
        return f"{total} = (({x} {BETTER[how]} {total}) || {x} != {x}) ? {x} : {total};"

    def _body(self) -> None:
        """The lines of one element: loads, arithmetic, stores, and what goes into the totals."""
        known = {v: self._loaded(v) for v in self.taken}
        before = dict(nests._ARITHMETIC)
        nests._ARITHMETIC.update(OPERATIONS)
        try:
            for instruction in self.nest.instructions:
                self._instruction(instruction, known)
        finally:
            nests._ARITHMETIC.clear()
            nests._ARITHMETIC.update(before)

    def _loaded(self, v: Any) -> str:
        kind = kind_of(v)
        if kind == "number":
            return self.argument[v]
        return self.lanes.make(f"{self._place(v)} != 0", "bool") if kind == "i8" else self.lanes.make(self._place(v))

    def _instruction(self, instruction: Instruction, known: dict[Any, str]) -> None:
        out, lines = instruction.outputs[0], self.text.lines
        reduction = self.nest.reductions.get(out)
        if reduction is not None:
            if out not in self.made:
                return
            x = known[reduction.x]
            if out in self.whole:
                lines.append(f"{self._total(out)} += (double){x};")
            elif out in self.rows:
                lines.append(self._into(reduction.how, self._total(out), x))
            else:
                lines.append(f"{self._place(out)} = {x};")
            return
        if instruction.op in _PAIRS:
            results = _PAIRS[instruction.op](self.lanes, known[instruction.args[0]])
            known.update(zip(instruction.outputs, results))
        else:
            known[out] = _emitted(self.lanes, instruction, known)
        for v in instruction.outputs:
            if v in self.argument:
                lines.append(f"{self._place(v)} = {known[v]};")

    def _lines(self, depth: int) -> str:
        return "\n".join("  " * depth + line for line in self.text.lines)

    def _elementwise_kernel(self) -> tuple[str, int, int]:
        n = math.prod(self.shape)
        body = f"""  for (int at = blockIdx.x * 256 + threadIdx.x; at < {n}; at += gridDim.x * 256) {{
    {self._indices("at", range(len(self.shape)))}
{self._lines(2)}
  }}"""
        return body, max(1, min(-(-n // 256), MOST_BLOCKS)), 256

    def _row_kernel(self) -> tuple[str, int, int]:
        """A warp a row: each lane takes every 32nd column, then the lanes combine what they have."""
        last, rows = len(self.shape) - 1, math.prod(self.shape[:-1])
        reductions = {v: self.nest.reductions[v] for v in self.rows}
        starts = {"sum": 0.0, "max": -math.inf, "min": math.inf}
        declared = " ".join(
            f"{self.kind} {self._total(v)} = {self.lanes.number(starts[r.how])};" for v, r in reductions.items()
        )
        combined = "\n".join(
            f"""    for (int m = 16; m; m >>= 1) {{
      const {self.kind} other = __shfl_xor_sync(0xffffffffu, {self._total(v)}, m);
      {self._into(r.how, self._total(v), "other")}
    }}"""
            for v, r in reductions.items()
        )
        stores = " ".join(
            f"{self._place(v, last='0')} = {self._total(v)}" + (f" / {r.divisor};" if r.divisor != 1 else ";")
            for v, r in reductions.items()
        )
        body = f"""  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int row = blockIdx.x * {ROWS_A_BLOCK} + warp; row < {rows}; row += gridDim.x * {ROWS_A_BLOCK}) {{
    {self._indices("row", range(last))}
    {declared}
    for (int i{last} = lane; i{last} < {self.shape[-1]}; i{last} += 32) {{
{self._lines(3)}
    }}
{combined}
    if (lane == 0) {{ {stores} }}
  }}"""
        return body, max(1, min(-(-rows // ROWS_A_BLOCK), MOST_BLOCKS)), 32 * ROWS_A_BLOCK

    def _whole_kernel(self) -> tuple[str, int, int]:
        """A partial sum a block, in double; the number of blocks depends on the size only, so the bits do, too."""
        n = math.prod(self.shape)
        declared = " ".join(f"double {self._total(v)} = 0;" for v in self.whole)
        finish = "\n".join(
            f"""  for (int m = 16; m; m >>= 1) {total} += __shfl_xor_sync(0xffffffffu, {total}, m);
  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = {total};
  __syncthreads();
  if (threadIdx.x == 0) {{
    double sum = 0;
    for (int w = 0; w < 8; w++) sum += part[w];
    {self.argument[v]}[blockIdx.x] = sum;
  }}
  __syncthreads();"""
            for v, total in ((v, self._total(v)) for v in self.whole)
        )
        body = f"""  __shared__ double part[8];
  {declared}
  for (int at = blockIdx.x * 256 + threadIdx.x; at < {n}; at += gridDim.x * 256) {{
    {self._indices("at", range(len(self.shape)))}
{self._lines(2)}
  }}
{finish}"""
        return body, max(1, min(256, -(-n // 1024))), 256


FINISH = "\n".join(
    f"""extern "C" __global__ void finish_{kind}(const double* parts, {kind}* out, int n, double divisor) {{
  double sum = 0;
  for (int i = threadIdx.x; i < n; i += 32) sum += parts[i];
  for (int m = 16; m; m >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, m);
  if (threadIdx.x == 0) out[0] = ({kind})(sum / divisor);
}}"""
    for kind in NUMBERS
)


class Executor:
    """For pg.compile: nests as CUDA C on the host, everything else by NumPy."""

    kernels = 0
    launches = 0
    others: dict[str, int] = {}  # what was no nest, or is not printed
    sources: list[str] = []

    def __init__(self, graph: Any, device: Any) -> None:
        self._graph, self._device = graph, device
        with no_collection:
            self._plan = NativePlan(np, graph, device)
        self._steps: list[Kernel | Instruction] = []
        for step in self._plan.steps:
            self._steps.extend(self._printed(step))
        texts = [step.text for step in self._steps if isinstance(step, Kernel)]
        Executor.kernels += len(texts)
        Executor.sources.append("\n".join([FINISH, *texts]))
        self._module = host_compiler.Module(Executor.sources[-1])

    def _printed(self, step: Any) -> list[Kernel | Instruction]:
        if isinstance(step, Nest):
            taken, made = list(dict.fromkeys(inputs_of(step))), self._plan.external(step)
            layout = self._plan.layouts.__getitem__
            kernel = Printer(step, taken, made, layout, f"k{len(self._steps)}").kernel()
            if kernel is not None:
                return [kernel]
        left = list(step.instructions) if isinstance(step, Group) else [step]
        for instruction in left:
            Executor.others[instruction.op] = Executor.others.get(instruction.op, 0) + 1
        return left

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        known = dict(zip(self._graph.inputs, inputs)) | self._graph.constants
        for step in self._steps:
            if isinstance(step, Kernel):
                self._launch(step, known)
            else:
                self._by_numpy(step, known)
        return tuple(None if v is None else np.array(known[v]) for v in self._graph.outputs)

    def _by_numpy(self, instruction: Any, known: dict[Any, Any]) -> None:
        function = resolve(self._device.raw, instruction.op)
        args = [substituted(a, known.__getitem__) for a in instruction.args]
        out = function(*args, **{name: substituted(a, known.__getitem__) for name, a in instruction.kwargs})
        known.update(zip(instruction.outputs, out if instruction.several else (out,)))

    def _launch(self, kernel: Kernel, known: dict[Any, Any]) -> None:
        arguments = [self._given(v, kernel.kind, known) for v in kernel.taken]
        parts = {v: np.full(kernel.grid, np.nan) for v in kernel.whole}
        for v in kernel.made:
            known[v] = np.empty(v.shape, self._plan.native(v))
            np.atleast_1d(known[v]).view("u1").fill(0xA5)  # what no thread writes shows
            arguments.append(parts[v] if v in parts else known[v])
        self._module.launch(kernel.name, kernel.grid, kernel.block, *arguments)
        Executor.launches += 1 + len(parts)
        for v, divisor in kernel.whole.items():
            count = ctypes.c_int(kernel.grid)
            self._module.launch(f"finish_{kernel.kind}", 1, 32, parts[v], known[v], count, ctypes.c_double(divisor))

    def _given(self, v: Any, kind: str, known: dict[Any, Any]) -> Any:
        if kind_of(v) == "number":
            return NUMBERS[kind](float(known[v]))
        view = self._plan.layouts[v]
        base = known[view.root] = np.ascontiguousarray(known[view.root])
        return ctypes.c_void_p(base.ctypes.data + view.offset * base.itemsize)
