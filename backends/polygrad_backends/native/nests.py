"""Which instructions machine code is made for, and their loops."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any, Final, NamedTuple

from polygrad.graph import Instruction, Value

from ..numpy_blocks import Group
from .emit import Function, Lanes
from .functions import FUNCTIONS, gelu_parts, tanh_slope
from .loops import Loop, Operand, Reduced, Turn, coalesced

__all__ = [
    "MULTIPLICATION",
    "Native",
    "Nest",
    "View",
    "c_strides",
    "cost_of",
    "is_elementwise",
    "kind_of",
    "reduction_of",
]


MULTIPLICATION: Final = 2.5e-5
"""Microseconds that one takes in a product of large matrices, and an addition with it (measured with AVX2)."""


class View(NamedTuple):
    """Where the elements of a value lie.

    Attributes:
        root: the value whose memory it is.
        offset: of the first, in elements.
        strides: in elements, for each axis.
    """

    root: Value
    offset: int
    strides: tuple[int, ...]


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of C order, in elements."""
    made: list[int] = []
    size = 1
    for length in reversed(shape):
        made.append(size)
        size *= length
    return tuple(made[::-1])


def kind_of(v: Value) -> str | None:
    """LLVM's type of its elements in memory; None for those there are no loops for."""
    if v.dtype is None:
        return "number"
    return {"float32": "float", "float64": "double", "bool": "i8"}.get(v.dtype.name)


# -- one instruction ---------------------------------------------------------------------------------

Emit = Callable[..., str]


def _sign(v: Lanes, x: str) -> str:
    one, zero = v.number(1.0), v.number(0.0)
    signs = v.choose(v.compare("less", x, zero), v.number(-1.0), v.choose(v.compare("greater", x, zero), one, zero))
    return v.choose(v.compare("uno", x, x), x, signs)


def _mended(v: Lanes, result: str, g: str) -> str:
    """A product or quotient of ``g``, and 0 where ``g`` is 0."""
    zero = v.number(0.0)
    return v.choose(v.compare("equal", g, zero), zero, result)


_ARITHMETIC: Final[dict[str, Emit]] = {
    "add": Lanes.add, "subtract": Lanes.sub, "multiply": Lanes.mul, "divide": Lanes.div, "negative": Lanes.neg,
    "sign": _sign,
    "maximum": lambda v, a, b: v.extreme("greater", a, b),
    "minimum": lambda v, a, b: v.extreme("less", a, b),
    "abs": lambda v, x: v.unary("fabs", x),
    "sqrt": lambda v, x: v.unary("sqrt", x),
    "floor": lambda v, x: v.unary("floor", x),
    "ceil": lambda v, x: v.unary("ceil", x),
    "trunc": lambda v, x: v.unary("trunc", x),
    "round": lambda v, x: v.unary("roundeven", x),
    "square": lambda v, x: v.mul(x, x),
    "reciprocal": lambda v, x: v.div(v.number(1.0), x),
    "strong_multiply": lambda v, g, slope: _mended(v, v.mul(g, slope), g),
    "strong_product": lambda v, a, b: _mended(v, _mended(v, v.mul(a, b), a), b),
    "strong_divide": lambda v, g, x: _mended(v, v.div(g, x), g),
    "divide_linear": lambda v, g, out, x: _mended(v, v.neg(v.div(v.mul(g, out), x)), g),
    "relu": lambda v, x: v.extreme("greater", x, v.number(0.0)),
    "relu_linear": lambda v, g, out: v.choose(v.compare("less_equal", out, v.number(0.0)), v.number(0.0), g),
    "tanh_slope": tanh_slope,
    "tanh_vjp": lambda v, g, out, x: _mended(v, v.mul(tanh_slope(v, out, x), g), g),
    **FUNCTIONS,
}  # fmt: skip
_PAIRS: Final = {"gelu_parts": gelu_parts}
"""What makes two numbers of one, in single precision."""
_COMPARISONS: Final = frozenset("equal not_equal less less_equal greater greater_equal".split())
_TRUTHS: Final = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}


def is_elementwise(instruction: Instruction) -> str | None:
    """The kind of numbers (``float`` or ``double``) of work there are loops for, or None."""
    op, made = instruction.op, instruction.outputs
    if len(made) != 1 + (op in _PAIRS) or instruction.kwargs or made[0].size == 0:
        return None
    arguments = [a for a in instruction.args if a.__class__ is Value]
    if not arguments or len(arguments) != len(instruction.inputs):
        return None
    if any(a.__class__ not in (Value, int, float, bool) for a in instruction.args):
        return None
    kinds = {kind_of(v) for v in arguments} - {"number"}
    if op == "where":
        condition, *values = instruction.args
        if condition.__class__ is not Value or kind_of(condition) != "i8":
            return None
        kinds = {kind_of(v) for v in values if v.__class__ is Value} - {"number"}
    elif op in _TRUTHS or op == "logical_not":
        return None if kinds != {"i8"} or len(arguments) != len(instruction.args) else "float"
    elif op in _PAIRS:
        return "float" if kinds == {"float"} else None
    elif op not in _ARITHMETIC and op not in _COMPARISONS:
        return None
    if len(kinds) != 1 or not (kind := kinds.pop()) or kind == "i8":
        return None
    if kind_of(made[0]) != ("i8" if op in _COMPARISONS else kind):
        return None
    return kind


class Reduction(NamedTuple):
    """What is reduced, how (``sum``, ``max``, ``min``), along which axes, and by what it is divided."""

    x: Value
    how: str
    axes: tuple[int, ...]
    divisor: int


def reduction_of(instruction: Instruction) -> Reduction | None:
    """A sum, mean, maximum or minimum that a loop can do: over all axes, the last ones, or, sums, the first ones."""
    op, args = instruction.op, instruction.args
    if op == "sum_leading":
        x, axes, options = args[0], tuple(range(args[1])), dict(instruction.kwargs)
    elif op in ("sum", "mean", "max", "min") and len(args) in (1, 2) and args[0].__class__ is Value:
        x, options = args[0], dict(instruction.kwargs)
        axis = args[1] if len(args) == 2 else options.pop("axis", None)
        rank = len(x.shape)
        axes = tuple(range(rank)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        axes = tuple(sorted({a % rank for a in axes})) if rank else ()
        options.pop("keepdims", None)
    else:
        return None
    (out,) = instruction.outputs
    plain = options.pop("dtype", None) is None and not options and x.dtype is out.dtype
    if not plain or kind_of(x) not in ("float", "double") or x.size == 0 or not axes:
        return None
    rank, how = len(x.shape), "sum" if op in ("sum_leading", "mean") else op
    whole = len(axes) == rank or all(x.shape[a] == 1 for a in range(rank) if a not in axes)
    last = axes == tuple(range(rank - len(axes), rank))
    if not (last or (axes == tuple(range(len(axes))) and op in ("sum_leading", "sum"))) or (whole and how != "sum"):
        return None
    return Reduction(x, how, axes, prod(x.shape[a] for a in axes) if op == "mean" else 1)


_WEIGHTS: Final = {
    "exp": 12,
    "log": 14,
    "log1p": 18,
    "logaddexp": 30,
    "tanh": 16,
    "sin": 14,
    "cos": 14,
    "sigmoid": 14,
    "sigmoid_slope": 14,
    "divide": 3,
    "strong_divide": 3,
    "divide_linear": 3,
    "gelu_parts": 36,
}


def cost_of(instructions: Iterable[Instruction], size: int) -> float:
    """Roughly how long a loop takes, in microseconds (measured with AVX2)."""
    instructions = list(instructions)
    item = max((v.dtype.itemsize for i in instructions for v in i.inputs if v.dtype is not None), default=4)
    return size * item * sum(_WEIGHTS.get(i.op, 1) for i in instructions) * 2e-5


# -- loops -------------------------------------------------------------------------------------------


class Native(Group):
    """What machine code does.

    Attributes:
        reductions: what is reduced in it, by what that makes.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        self.reductions: dict[Value, Reduction] = {}

    @property
    def cost(self) -> float:
        """In microseconds, roughly."""
        raise NotImplementedError

    @property
    def in_any_order(self) -> bool:
        """Whether parts of its outermost loop can be done in any order, and at the same time."""
        raise NotImplementedError


class Nest(Native):
    """Elementwise instructions over one shape, to which what they take is broadcast, and reductions of what they make."""

    def __init__(self, shape: tuple[int, ...], kind: str) -> None:
        super().__init__(shape)
        self.kind = kind

    def reduce(self, instruction: Instruction, reduction: Reduction) -> None:
        self.add(instruction)
        self.reductions[instruction.outputs[0]] = reduction

    @property
    def cost(self) -> float:
        return cost_of(self.instructions, self.size)

    @property
    def in_any_order(self) -> bool:
        """Unless it sums along the first axes."""
        return all(len(r.axes) == len(r.x.shape) or 0 not in r.axes for r in self.reductions.values())

    def _strides(self, v: Value, layout: Callable[[Value], View]) -> tuple[int, ...]:
        """Of a value that is read, along this shape."""
        view = layout(v)
        own = tuple(0 if n == 1 else s for n, s in zip(v.shape, view.strides, strict=True))
        return (0,) * (len(self.shape) - len(own)) + own

    def loop(
        self,
        taken: list[Value],
        made: list[Value],
        layout: Callable[[Value], View],
        known: dict[Any, tuple[Function, int]],
    ) -> tuple[Function, int]:
        """The function and its number of turns, with addresses for what is taken and then for what is made; ``known`` has
        those that were written before."""
        strides = [self._strides(v, layout) for v in taken]
        for v in made:
            reduction = self.reductions.get(v)
            if reduction is None:
                strides.append(c_strides(self.shape))
            else:
                left = iter(c_strides(tuple(n for a, n in enumerate(self.shape) if a not in reduction.axes)))
                strides.append(tuple(0 if a in reduction.axes else next(left) for a in range(len(self.shape))))
        shape, own = coalesced(self.shape, strides)
        key = self._key(taken, made, shape, own)
        found = known.get(key)
        if found is None:
            found = known[key] = self._loop(taken, made, shape, own)
        return found

    def _key(self, taken: list[Value], made: list[Value], shape: tuple[int, ...], strides: list[list[int]]) -> Any:
        """What decides the text: alike for nests that do the same with other arrays."""
        number = {v: i for i, v in enumerate(taken)}
        lines = []
        for instruction in self.instructions:
            reduction = self.reductions.get(instruction.outputs[0])
            args = instruction.args if reduction is None else (reduction.x, reduction.how, reduction.divisor)
            number |= {v: len(number) + i for i, v in enumerate(instruction.outputs)}
            lines.append((instruction.op, *[number[a] if a.__class__ is Value else ("", repr(a)) for a in args]))
        kinds = tuple([kind_of(v) for v in (*taken, *made)])
        return (self.kind, shape, tuple(map(tuple, strides)), kinds, tuple(lines), tuple([number[v] for v in made]))

    def _loop(
        self, taken: list[Value], made: list[Value], shape: tuple[int, ...], own: list[list[int]]
    ) -> tuple[Function, int]:
        operands = [
            Operand(self.kind if (k := kind_of(v)) in (None, "number") else k, tuple(s))
            for v, s in zip((*taken, *made), own, strict=True)
        ]
        places = dict(zip((*taken, *made), operands, strict=True))
        reductions = {
            v: Reduced(places[v], reduction.how, reduction.divisor)
            for v, reduction in self.reductions.items()
            if v in places
        }
        loop = Loop(self.kind, shape, operands, list(reductions.values()))

        def body(turn: Turn) -> None:
            known = {v: turn.load(places[v]) for v in taken}
            for instruction in self.instructions:
                (out, *_) = made = instruction.outputs
                if out in self.reductions:
                    if out in reductions:  # else nobody looks at it
                        turn.reduce(reductions[out], known[self.reductions[out].x])
                    continue
                if instruction.op in _PAIRS:
                    known.update(zip(made, _PAIRS[instruction.op](turn.lanes, known[instruction.args[0]]), strict=True))
                else:
                    known[out] = _emitted(turn.lanes, instruction, known)
                for v in made:
                    if v in places:
                        turn.store(places[v], known[v])

        return loop.function(body), loop.rows


def _emitted(lanes: Lanes, instruction: Instruction, known: dict[Value, str]) -> str:
    def number(a: Any) -> str:
        return known[a] if a.__class__ is Value else lanes.number(float(a))

    op, args = instruction.op, instruction.args
    if op == "where":
        return lanes.choose(known[args[0]], number(args[1]), number(args[2]))
    if op in _TRUTHS:
        return lanes.logical(_TRUTHS[op], known[args[0]], known[args[1]])
    if op == "logical_not":
        return lanes.logical("xor", known[args[0]], lanes.all("true", "i1"))
    if op in _COMPARISONS:
        return lanes.compare(op, number(args[0]), number(args[1]))
    return _ARITHMETIC[op](lanes, *map(number, args))
