"""The Python text of a planned graph for NumPy: calls with places to write into, and views that are made once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from polygrad.graph import FRESH, PLAIN_OF, REARRANGED, Instruction, Value, Writer

from .lending import lend
from .numpy_blocks import BLOCK_BYTES, LINE, MANY_BYTES, Group, Step, block_of, blocks, inputs_of

if TYPE_CHECKING:
    from .numpy_executor import Plan
from .numpy_strong import has_nan

__all__ = ["Source", "is_product", "is_static_key", "reduction", "surely_fresh"]

_SOLID: Final = frozenset("expand_dims squeeze reshape".split())
"""Views of contiguous arrays that are contiguous themselves."""
_KERNELS: Final = frozenset(
    """
    sum_leading scatter_add lstm_forward lstm_backward gru_forward gru_backward rnn_forward rnn_backward recurrent_weight_vjp
    conv_nd conv_input_nd conv_weight_nd max_windows spread_chosen windows_sum windows_spread gelu_parts softmax_rows_linear
    attention_weights class_loss_vjp
    """.split()
)
"""Kernels whose results share memory with nothing."""
_REDUCES: Final = {"sum": "add", "mean": "add", "max": "maximum", "min": "minimum"}


def surely_fresh(instruction: Instruction) -> bool:
    """Whether what an instruction makes shares memory with nothing."""
    op = instruction.op.removeprefix("xp.")
    if op in ("floor", "ceil", "trunc", "round", "clip", "abs"):
        return all(v.dtype is not None and v.dtype.kind in "fc" for v in instruction.outputs) and op != "clip"
    return op in FRESH or op in _KERNELS or instruction.effect


def is_product(instruction: Instruction) -> bool:
    """Whether ``ndarray.dot`` does what it does: products of matrices, and of a matrix and a vector."""
    if instruction.op not in ("matmul", "matmul_2d") or instruction.kwargs:
        return False
    a, b = instruction.args
    if a.__class__ is not Value or b.__class__ is not Value or a.dtype is not b.dtype or a.dtype is None:
        return False
    ranks = (len(a.shape), len(b.shape))
    return (
        a.dtype.kind in "fc"
        and a.dtype.name != "bfloat16"
        and (ranks in ((2, 2), (2, 1), (1, 2)))
        and 0 not in a.shape + b.shape
    )


def reduction(instruction: Instruction) -> tuple[str, Any, bool] | None:
    """The ufunc, axis and keepdims of a sum, mean, maximum or minimum of floating numbers that a ufunc's ``reduce`` does."""
    op = instruction.op
    if op not in _REDUCES or not 1 <= len(instruction.args) <= 2 or instruction.args[0].__class__ is not Value:
        return None
    options = dict(instruction.kwargs)
    axis = instruction.args[1] if len(instruction.args) == 2 else options.pop("axis", None)
    keepdims = options.pop("keepdims", False)
    x, (out,) = instruction.args[0], instruction.outputs
    plain = options.pop("dtype", None) is None and not options and x.dtype is out.dtype
    if (
        not plain
        or x.dtype is None
        or x.dtype.kind not in "fc"
        or x.dtype.name in ("float16", "bfloat16")
        or x.size == 0
    ):
        return None
    return (_REDUCES[op], axis, keepdims) if x.dtype.kind == "f" or op in ("sum", "mean") else None


class Source(Writer):
    """Writes a plan's function.

    Attributes:
        buffers: names of planned arrays, and what they hold.
        views: names of views of them that are made once: source, function, arguments.
        partials: names of arrays for parts of sums: lengths and dtypes.
        fresh: how many returned arrays may be those of the last run.
        groups: how many groups there are.
        scratch_bytes: what the blocks of one of them take, at most.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.np = np = plan.np
        self.buffers: dict[str, Value] = {}
        self.views: dict[str, tuple[str, str, tuple[Any, ...], tuple[Any, ...]]] = {}
        self.solid: set[str] = set()
        self.partials: dict[str, tuple[int, Any]] = {}
        self.fresh = 0
        self.groups = 0
        self.scratch_bytes = 0
        self._scalars: dict[Any, str] = {}
        scope = {
            "copy": plan.device.backend.copy, "np": np, "as_raw": np.asarray, "blocks": blocks,
            "flat": lambda x: x.reshape(-1), "empty": np.empty, "zeros": np.zeros, "lend": lend,
            "has_nan": has_nan, **{f"into_{name}": f for name, f in plan.device.backend.strong.items()},
        }  # fmt: skip
        super().__init__(plan.graph, plan.device, scope)

    def text(self) -> str:
        graph = self.graph
        self.name_inputs()
        lines = self._lines()
        returned = self.outputs(surely_fresh)
        head = f"def run({', '.join(self.names[v] for v in graph.inputs)}):"
        body = ["    " + line for line in lines]
        return "\n".join(
            [*self.functions_text, head, *body, f"    return ({', '.join(returned)}{',' if returned else ''})", ""]
        )

    def _lines(self) -> list[str]:
        lines: list[str] = []
        for step, ended in zip(self.plan.steps, self._ended(), strict=True):
            lines += self._group(step) if isinstance(step, Group) else self._step(step)
            lines += self._let_go(ended)
        return lines

    def _let_go(self, ended: Sequence[Value]) -> list[str]:
        """A line for memory that no plan reuses."""
        done = sorted({name for v in ended if (name := self.names.get(v, "")).startswith("v")})
        return [f"{' = '.join(done)} = None"] if done else []

    def _ended(self) -> list[list[Value]]:
        """For each step the values that nothing after it takes."""
        seen = {v for v in self.graph.outputs if v is not None}
        ends: list[list[Value]] = []
        for step in reversed(self.plan.steps):
            made = step.made if isinstance(step, Group) else step.outputs
            ended = [v for v in dict.fromkeys((*made, *self._taken(step))) if v not in seen]
            seen.update(ended)
            ends.append(ended)
        return ends[::-1]

    def _taken(self, step: Step) -> Iterable[Value]:
        """The values whose names a step's lines have."""
        return inputs_of(step)

    # -- single steps --------------------------------------------------------------------------------

    def _step(self, instruction: Instruction) -> list[str]:
        made = instruction.outputs
        out = made[0] if len(made) == 1 else None
        if out is not None and self._made_once(instruction, out):
            return []
        lines: list[str] = []
        into = None
        if out is not None and out in self.plan.place:
            into = self._buffer(out)
        elif out is not None and (out in self.plan.kept or out in self.plan.over):
            into = self._place(out, lines)
        return [*lines, *self._call_line(instruction, into)]

    def _made_once(self, instruction: Instruction, out: Value) -> bool:
        """Whether it is always the same view of always the same memory; then that is made with the buffers."""
        op, args = instruction.op, instruction.args
        if op not in {*REARRANGED, "getitem"} or len(out.shape) > 32:
            return False
        source = self.names.get(args[0], "") if args[0].__class__ is Value else ""
        if source not in self.buffers and source not in self.views:
            return False
        if any(v is not args[0] for v in instruction.inputs):
            return False
        if op == "getitem" and not _selects_array(args[1], len(args[0].shape)):
            return False  # one of NumPy's scalars would keep the value it had when it was made
        if op == "reshape" and (source not in self.solid or dict(instruction.kwargs).get("copy")):
            return False
        name = self.names[out] = f"w{len(self.views)}"
        self.views[name] = (source, op, args[1:], instruction.kwargs)
        if op in _SOLID and source in self.solid:
            self.solid.add(name)
        return True

    def _call_line(self, instruction: Instruction, into: str | None) -> list[str]:
        """The line of an instruction that writes into a named array, or else makes one."""
        made, args = instruction.outputs, instruction.args
        ufunc = self.plan.ufunc(instruction)
        reduced = reduction(instruction)
        place = "" if into is None else f", {into}"
        if is_product(instruction):
            call = f"{self.argument(args[0])}.dot({self.argument(args[1])}{place})"
        elif ufunc is not None:
            out = (
                place.replace(", ", ", out=") if ufunc in ("maximum", "minimum") else place
            )  # they refuse it by position
            call = f"{self._function(ufunc)}({', '.join(self._operands(instruction))}{out})"
        elif reduced is not None:
            return self._reduce(instruction, reduced, into)
        elif self.plan.is_column_sum(instruction):  # as the backend's kernel does it
            ones = self._constant(self.np.ones(args[0].shape[0], self.plan.native(args[0])))
            call = f"{ones}.dot({self.argument(args[0])}{place})"
        elif into is not None and self.plan.is_placed(instruction):
            call = f"into_{instruction.op}({', '.join(map(self.argument, args))}{place})"
        elif instruction.op == "matmul" and into is not None:
            call = f"{self._function('matmul')}({', '.join(map(self.argument, args))}{place})"
        elif instruction.op == "scatter_add" and (lines := self._scatter(instruction)):
            return lines
        elif instruction.op == "matrix_transpose" and len(made[0].shape) == 2:
            call = f"{self.argument(args[0])}.T"
        else:
            call = self.call(instruction)
        if into is not None:
            return [call]
        targets = [self.names.setdefault(v, f"v{v.number}") for v in made]
        if not targets:
            return [call]
        return [f"{', '.join(targets)}{',' if instruction.several and len(targets) == 1 else ''} = {call}"]

    def _operands(self, instruction: Instruction) -> list[str]:
        """The arguments of a ufunc; numbers as 0-d arrays, which NumPy takes in half the time of Python's."""
        arrays = [a for a in instruction.args if a.__class__ is Value]
        kinds = {v.dtype for v in arrays}
        if len(kinds) != 1 or not (dtype := kinds.pop()) or dtype.kind not in "fc":
            return [self.argument(a) for a in instruction.args]
        return [self._scalar(a, dtype) if a.__class__ in (int, float) else self.argument(a) for a in instruction.args]

    def _scalar(self, number: float, dtype: Any) -> str:
        native = self.plan.device.backend.to_native_dtype(dtype)
        try:
            with self.np.errstate(over="raise"):
                array = self.np.asarray(number, native)
        except (OverflowError, FloatingPointError):
            return self.argument(number)
        key = (repr(number), dtype)
        name = self._scalars.get(key)
        if name is None:
            name = self._scalars[key] = f"s{len(self._scalars)}"
            self.scope[name] = array
        return name

    def _reduce(self, instruction: Instruction, reduced: tuple[str, Any, bool], into: str | None) -> list[str]:
        """A ufunc's own reduce, without the wrappers; a mean as NumPy makes it, a sum divided by a count."""
        ufunc, axis, keepdims = reduced
        x, (out,) = instruction.args[0], instruction.outputs
        name = into or self.names.setdefault(out, f"v{out.number}")
        more = ", ".join(["None", into or "None", "True"]) if keepdims else f"None, {into}" if into else ""
        call = f"{self._function(ufunc)}.reduce({self.argument(x)}, {axis!r}{', ' if more else ''}{more})"
        lines = [call if into else f"{name} = {call}"]
        if instruction.op == "mean":
            count = x.size // max(out.size, 1)
            divided = f"{self._function('true_divide')}({name}, {self._scalar(count, out.dtype)}, {name})"
            lines.append(divided if into else f"{name} = {name} / {count}")
        return lines

    def _scatter(self, instruction: Instruction) -> list[str]:
        """Zeros to which parts are added, where each part is a plain slice."""
        shape, dtype, parts = instruction.args
        if any(not _selects_array(key, len(shape)) or value.__class__ is not Value for key, value in parts):
            return []
        (out,) = instruction.outputs
        name = self.names.setdefault(out, f"v{out.number}")
        lines = [f"{name} = zeros({shape!r}, {self._constant(dtype)})"]
        for key, value in parts:
            part, add = f"{name}[{self.key(key)}]", self._function("add")
            lines.append(f"part = {part}; {add}(part, {self.argument(value)}, part)")
        return lines

    def call(self, instruction: Instruction) -> str:
        if instruction.op == "getitem":
            return f"{self.argument(instruction.args[0])}[{self.key(instruction.args[1])}]"
        call = super().call(instruction)
        return f"{call[:-1]}, spend=True)" if instruction in self.plan.spent else call

    def key(self, key: Any) -> str:
        """A key as Python writes it: slices as ``1:-1``, which is quicker than ``slice(1, -1, None)``."""

        def part(k: Any) -> str:
            if not isinstance(k, slice):
                return self.argument(k)
            ends = [k.start, k.stop] + ([k.step] if k.step is not None else [])
            return ":".join("" if e is None else self.argument(e) for e in ends)

        if isinstance(key, tuple) and key:
            return ", ".join(map(part, key)) + ("," if len(key) == 1 else "")
        return part(key)

    def _function(self, name: str) -> str:
        self.scope[f"np_{name}"] = getattr(self.np, name)
        return f"np_{name}"

    def _constant(self, thing: Any) -> str:
        name = f"k{len(self.scope)}"
        self.scope[name] = thing
        return name

    def _buffer(self, v: Value) -> str:
        name = self.names[v] = f"b{v.number}"
        self.buffers[name] = v
        self.solid.add(name)
        return name

    def _place(self, v: Value, lines: list[str]) -> str:
        """The name of memory for what is written: planned, that of an earlier run, that of what is taken, or new."""
        if v in self.plan.place:
            return self._buffer(v)
        if v in self.plan.kept:
            return self._recent(v, lines)
        name = self.names[v] = f"v{v.number}"
        if v in self.plan.over:
            under = self.plan.over[v]
            shaped = "" if under.shape == v.shape else f".reshape({v.shape!r})"
            lines.append(f"{name} = {self.names[under]}{shaped}")
            return name
        lines.append(f"{name} = empty({v.shape!r}, {self._constant(self.plan.native(v))})")
        return name

    def _recent(self, v: Value, lines: list[str]) -> str:
        """A returned array, on memory of the last run or the one before, if nobody has kept it."""
        name = self.names[v] = f"v{v.number}"
        k, self.fresh = self.fresh, self.fresh + 2
        dtype = self._constant(self.plan.native(v))
        lines.append(f"{name} = lend(np, recent, {k}, {v.shape!r}, {dtype})")
        return name

    # -- blocks --------------------------------------------------------------------------------------

    def _group(self, group: Group) -> list[str]:
        """The lines that run a group; its body becomes a function of one block."""
        plan, number = self.plan, self.groups
        self.groups += 1
        external = plan.external(group)
        sums = {v: i for i in group.reduced for v in i.outputs}
        whole = list(dict.fromkeys(v for v in inputs_of(group) if v.shape == group.shape))
        scalars = list(dict.fromkeys(v for v in inputs_of(group) if v.shape != group.shape))
        lines: list[str] = []
        outs = [v for v in external if v not in sums]
        for v in outs:
            self._place(v, lines)
        body, scratch = self._bodies(group, outs, sums)
        parameters = [f"x{v.number}" for v in (*whole, *outs)] + [f"x{v.number}" for v in scalars]
        partials = [f"p{v.number}" for v in sums]
        head = f"def block{number}(at, {', '.join([*parameters, *partials, *[f't{i}' for i in range(len(scratch))]])}):"
        self.functions_text.append("\n".join([head, *("    " + line for line in body), ""]))
        arrays = ", ".join(f"flat({self.names[v]})" for v in (*whole, *outs))
        fixed = ", ".join(self.names[v] for v in scalars)
        widest = max(
            v.dtype.itemsize for i in group.instructions for v in (*i.inputs, *i.outputs) if v.dtype is not None
        )
        block = (BLOCK_BYTES if group.size * widest < MANY_BYTES else 2 * BLOCK_BYTES) // widest
        taken = sum(-(-block_of(group.size, block) * kind.itemsize // LINE) * LINE for kind in scratch)
        self.scratch_bytes = max(self.scratch_bytes, taken)
        kinds = self._constant(tuple(scratch))
        sum_kinds = self._constant(tuple(plan.native(v) for v in sums))
        call = (
            f"blocks(np, block{number}, ({arrays}{',' if arrays else ''}), ({fixed}{',' if fixed else ''}), "
            f"kept[{number}], scratch, {kinds}, {sum_kinds}, {group.size}, {block}, threads)"
        )
        names = [self.names.setdefault(v, f"v{v.number}") for v in sums]
        lines.append((", ".join(names) + ", = " if names else "") + call)
        for v, i in sums.items():
            if i.op == "mean":
                lines.append(f"{self.names[v]} = {self.names[v]} / {group.size}")
        return lines

    def _bodies(
        self, group: Group, outs: Sequence[Value], sums: dict[Value, Instruction]
    ) -> tuple[list[str], list[Any]]:
        """The lines of one block, and the dtypes of its scratch arrays.

        Products with strong zeros are plain ones unless a nan came of them: then the block is computed once more.
        """
        scratch: list[Any] = []
        mended = self.plan.mended(group)
        if not mended:
            return self._body(group, group.instructions, outs, sums, scratch), scratch
        plain = [i if i.op not in PLAIN_OF else replace(i, op=PLAIN_OF[i.op]) for i in group.instructions]
        lines = self._body(group, plain, outs, sums, scratch)
        tests = [f"p{v.number}[at] != p{v.number}[at]" if v in sums else f"has_nan(x{v.number})" for v in mended]
        again = self._body(group, group.instructions, outs, sums, scratch)
        return [*lines, f"if {' or '.join(tests)}:", *("    " + line for line in again)], scratch

    def _body(
        self,
        group: Group,
        instructions: Sequence[Instruction],
        outs: Sequence[Value],
        sums: dict[Value, Instruction],
        scratch: list[Any],
    ) -> list[str]:
        """The lines of some instructions on one block; what scratch arrays they need besides is added."""
        last = {v: i for i, instruction in enumerate(instructions) for v in instruction.inputs}
        names: dict[Value, str] = {v: f"x{v.number}" for v in (*inputs_of(group), *outs)}
        free: dict[Any, list[int]] = {}
        for i, kind in enumerate(scratch):
            free.setdefault(kind, []).append(i)
        lines: list[str] = []
        own = self.names
        for i, instruction in enumerate(instructions):
            (out,) = instruction.outputs
            self.names = {**own, **names}
            if out in sums:
                lines.append(
                    f"p{out.number}[at] = {self._function('add')}.reduce({self.argument(instruction.args[0])})"
                )
                continue
            in_place = self.plan.ufunc(instruction) is not None
            dying = [v for v in dict.fromkeys(instruction.inputs) if last[v] == i and names.get(v, "").startswith("t")]
            into_place = in_place or self.plan.is_placed(instruction)
            early = [v for v in dying if v in self.plan.written_over(instruction)]
            for v in early:
                free.setdefault(self.plan.native(v), []).append(int(names[v][1:]))
            if out not in names and into_place:
                kind = self.plan.native(out)
                if not free.get(kind):
                    scratch.append(kind)
                    free.setdefault(kind, []).append(len(scratch) - 1)
                names[out] = f"t{free[kind].pop()}"
            for v in [v for v in dying if v not in early]:
                free.setdefault(self.plan.native(v), []).append(int(names[v][1:]))
            if into_place:
                lines += self._call_line(instruction, names[out])
            elif out in names:
                lines.append(f"{names[out]}[...] = {self.call(instruction)}")
            else:
                names[out] = f"y{out.number}"
                lines.append(f"{names[out]} = {self.call(instruction)}")
        self.names = own
        return lines


def is_static_key(key: Any) -> bool:
    """Whether a key is made of whole numbers, slices of such, None and an ellipsis: then it gives a view."""
    entries = key if isinstance(key, tuple) else (key,)
    whole = (int, type(None))
    return all(
        k is None
        or k is Ellipsis
        or type(k) is int
        or (isinstance(k, slice) and all(type(e) in whole for e in (k.start, k.stop, k.step)))
        for k in entries
    )


def _selects_array(key: Any, ndim: int) -> bool:
    """Whether a key gives a view that is an array, not one of NumPy's scalars."""
    entries = key if isinstance(key, tuple) else (key,)
    return is_static_key(key) and (Ellipsis in entries or sum(type(k) is int for k in entries) < ndim)
