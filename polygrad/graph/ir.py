"""The static graph: a straight line of calls into an array namespace, in single assignment.

A :class:`Graph` is data: values with shapes and dtypes, instructions that name a function of the namespace
(``"add"``, ``"linalg.inv"``, a kernel) with the values and plain Python data they take, and what is returned. It holds
no code of its own, so that any backend can run it, and passes are functions from Graph to Graph.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .. import registry
from ..dtypes import DType

__all__ = ["Graph", "Instruction", "Value", "printable", "rewritten", "substituted", "values_in"]


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """What one instruction makes, or an input or a constant of the graph.

    Attributes:
        number: its name in the graph, ``%3``.
        shape: the lengths of its axes.
        dtype: polygrad's data type; None for a Python float that each run gets anew.
    """

    number: int
    shape: tuple[int, ...]
    dtype: DType | None

    @property
    def size(self) -> int:
        """The number of elements."""
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def nbytes(self) -> int:
        """Bytes of all elements; 0 for a Python float."""
        return 0 if self.dtype is None else self.size * self.dtype.itemsize

    @property
    def type(self) -> str:
        """``float32[8, 3]``."""
        return "number" if self.dtype is None else f"{self.dtype}{list(self.shape)}"

    def __repr__(self) -> str:
        return f"%{self.number}"


@dataclass(frozen=True, eq=False)
class Instruction:
    """One call: ``outputs = op(*args, **kwargs)``.

    Attributes:
        op: the function's name in the namespace, or one of Python's operators (``"add"``, ``"getitem"``).
        args: its positional arguments: Values, Python data, and tuples, lists and slices of these.
        kwargs: its keyword arguments, in order.
        outputs: what it makes.
        several: whether the function returns a tuple (of which ``outputs`` are the items).
        effect: whether it must run though nobody takes its result, and in order: what draws or checks.
    """

    op: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    outputs: tuple[Value, ...]
    several: bool = False
    effect: bool = False

    @cached_property
    def inputs(self) -> tuple[Value, ...]:
        """The values it takes, in order, each as often as it is taken."""
        return (*values_in(self.args), *(v for _, arg in self.kwargs for v in values_in(arg)))

    def __repr__(self) -> str:
        arguments = [_text(a) for a in self.args] + [f"{k}={_text(a)}" for k, a in self.kwargs]
        made = ", ".join(f"%{v.number}: {v.type}" for v in self.outputs)
        return f"{made} = {self.op}({', '.join(arguments)})"


def _text(tree: Any) -> str:
    if isinstance(tree, slice):
        parts = [tree.start, tree.stop] + ([tree.step] if tree.step is not None else [])
        return ":".join("" if p is None else _text(p) for p in parts)
    if isinstance(tree, (tuple, list)):
        inner = ", ".join(map(_text, tree))
        return f"[{inner}]" if isinstance(tree, list) else f"({inner},)" if len(tree) == 1 else f"({inner})"
    return "..." if tree is Ellipsis else repr(tree)


def values_in(tree: Any) -> Iterator[Value]:
    """The Values in an argument, in order."""
    if tree.__class__ is Value:
        yield tree
    elif isinstance(tree, (tuple, list)):
        for item in tree:
            yield from values_in(item)
    elif isinstance(tree, slice):
        yield from values_in((tree.start, tree.stop, tree.step))


def substituted(tree: Any, made_of: Callable[[Value], Any]) -> Any:
    """An argument with each Value replaced."""
    if tree.__class__ is Value:
        return made_of(tree)
    if isinstance(tree, list):
        return [substituted(item, made_of) for item in tree]
    if isinstance(tree, tuple):
        return tuple([substituted(item, made_of) for item in tree])
    if isinstance(tree, slice):
        return slice(*[substituted(part, made_of) for part in (tree.start, tree.stop, tree.step)])
    return tree


def rewritten(instruction: Instruction, made_of: Callable[[Value], Any]) -> Instruction:
    """An instruction with each Value that it takes replaced: itself if none is."""
    if all(made_of(v) is v for v in instruction.inputs):
        return instruction
    kwargs = tuple((name, substituted(arg, made_of)) for name, arg in instruction.kwargs)
    return replace(instruction, args=substituted(instruction.args, made_of), kwargs=kwargs)


@dataclass(frozen=True, eq=False)
class Graph:
    """A static graph: inputs, constants, instructions in order, outputs.

    Attributes:
        inputs: what each run is given.
        constants: arrays the graph holds, by Value; those of the user are held by reference.
        instructions: in order; each takes inputs, constants and what earlier ones made.
        outputs: what a run returns: Values, or None.
        device: the name of the device it was traced for.
        names: what to call inputs when the graph is shown.
        closed_over: inputs that are tensors the function reached; a call reads them.
        structure: of what a call returns (optree's), None for a tuple of the outputs.
    """

    inputs: tuple[Value, ...]
    constants: dict[Value, Any]
    instructions: tuple[Instruction, ...]
    outputs: tuple[Value | None, ...]
    device: str
    names: dict[Value, str] = field(default_factory=dict)
    closed_over: dict[Value, Any] = field(default_factory=dict)
    structure: Any = None

    def __call__(self, *args: Any) -> Any:
        """Run the graph.

        Args:
            args: for each input that no tensor of the traced function stands for: an array of its shape and dtype.

        Raises:
            ShapeError, DTypeError: if an array is not what the input is.
        """
        from .execute import run_graph

        return run_graph(self, args)

    @property
    def own_inputs(self) -> tuple[Value, ...]:
        """The inputs that a call gives: those no tensor of the traced function stands for."""
        return tuple([v for v in self.inputs if v not in self.closed_over])

    def vjp(self, argnums: int | Sequence[int] | None = None, closed_over: bool = True) -> Graph:
        """The graph and its backward flow behind it, as one graph.

        Args:
            argnums: which of the graph's own inputs to differentiate by, counted as a call gives them; all floating and
                complex ones unless told.
            closed_over: differentiate by tensors that the function reached, too, where they require grad.

        Returns:
            A graph that takes what this one takes, then a cotangent for each floating or complex output, in order. It
            returns a pair: what this one returns, and a tuple of cotangents: of the inputs that ``argnums`` says, then
            of the tensors reached, in the order of :attr:`closed_over`. Those that no output depends on are zeros.

        The derivatives are those of the graph's own instructions, kinks and poles as in eager code. Derive the graph as it
        was traced: after the pass ``expand`` an op may be its parts, and ``std`` of equal numbers would give NaN.

        Raises:
            DTypeError: if an input of ``argnums`` is not floating or complex.
            NoRuleError: if something on the way has no derivative.

        >>> import polygrad as pg
        >>> graph = pg.trace(lambda x: pg.sum(pg.sin(x)), pg.Spec(2))
        >>> graph.vjp()(pg.zeros(2), pg.asarray(3.0))
        (tensor(0., dtype=float64), (tensor([3., 3.], dtype=float64),))
        """
        from .derivatives import vjp

        return vjp(self, argnums, closed_over)

    def jvp(self, argnums: int | Sequence[int] | None = None, closed_over: bool = False) -> Graph:
        """The graph and its derivative along tangents behind it (forward mode), as one graph.

        Args:
            argnums: which of the graph's own inputs have tangents; all floating and complex ones unless told.
            closed_over: whether tensors that the function reached and that require grad have tangents, too.

        Returns:
            A graph that takes what this one takes, then a tangent for each input that ``argnums`` says, then for each of
            the tensors reached. It returns a pair: what this one returns, and a tuple with the tangent of each floating
            or complex output; zeros for those that depend on no such input.

        Raises:
            DTypeError, NoRuleError: as :meth:`vjp`.

        >>> import polygrad as pg
        >>> graph = pg.trace(lambda x: pg.sin(x), pg.Spec(2))
        >>> graph.jvp()(pg.zeros(2), pg.asarray([1.0, 2.0]))
        (tensor([0., 0.], dtype=float64), (tensor([1., 2.], dtype=float64),))
        """
        from .derivatives import jvp

        return jvp(self, argnums, closed_over)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph to a file as data, whole or not at all; :func:`polygrad.graph.load` reads it.

        Constants, and tensors that the function reached, are saved with the values they have now.

        Raises:
            TypeError: naming what cannot be saved: checks by Python functions, structures of classes of your own; nothing
                is written then.
        """
        from .files import save

        save(self, path)

    def with_(self, **changes: Any) -> Graph:
        """The graph with some attributes replaced."""
        return replace(self, **changes)

    def next_number(self) -> int:
        """A number that no value of the graph has, nor any greater one."""
        made = (v for i in self.instructions for v in i.outputs)
        return 1 + max((v.number for v in (*self.inputs, *self.constants, *made)), default=-1)

    def passes(self, without: Sequence[str] = ()) -> list[tuple[str, Graph]]:
        """The graph as it is, under the name ``"traced"``, and after each pass but some: to be printed, drawn, compared.

        >>> import polygrad as pg
        >>> graph = pg.trace(lambda x: pg.sin(x) * 1 + pg.sin(x), pg.Spec(3))
        >>> sizes = {name: len(after.instructions) for name, after in graph.passes(without=["push_transposes"])}
        >>> sizes["traced"], sizes["simplify"], sizes["common_subexpressions"]
        (4, 3, 2)
        """
        from .passes import PASSES, stages

        unknown = [name for name in without if name not in PASSES]
        if unknown:
            raise ValueError(f"there is no pass {', '.join(unknown)}; there are {', '.join(PASSES)}")
        return stages(self, registry.device(self.device), tuple(without))

    def made_by(self) -> dict[Value, Instruction]:
        """The instruction behind each value that one makes."""
        return {v: instruction for instruction in self.instructions for v in instruction.outputs}

    def last_uses(self) -> list[list[Value]]:
        """For each instruction the values that nothing after it takes (inputs, constants and outputs excepted)."""
        kept = {v for v in self.outputs if v is not None} | set(self.inputs) | set(self.constants)
        seen: set[Value] = set()
        ends: list[list[Value]] = []
        for instruction in reversed(self.instructions):
            ended = []
            for v in [*instruction.outputs, *instruction.inputs]:
                if v not in seen:
                    seen.add(v)
                    if v not in kept:
                        ended.append(v)
            ends.append(ended)
        return ends[::-1]

    def stats(self) -> dict[str, Any]:
        """What a run costs.

        Returns:
            A dict with ``ops``, how many instructions there are of each name; ``flops``, additions and multiplications by
            each op's formula (products, convolutions, recurrent networks, attention, decompositions, transforms), one for
            each element of what else is computed, none for what only moves data; ``bytes`` moved, each array read and
            written once, views costing nothing; ``peak_bytes``, the most that inputs, constants and living results take.

        >>> import polygrad as pg
        >>> graph = pg.trace(lambda x: pg.sum(x @ x), pg.Spec((10, 10), "float64"))
        >>> graph.stats()["flops"]
        2100
        """
        from .costs import stats

        return stats(self)

    def _repr_svg_(self) -> str | None:
        """A picture for notebooks, where Graphviz is installed."""
        from .draw import show

        return show(self)._repr_svg_()

    def _repr_markdown_(self) -> str:
        from .draw import show

        return show(self)._repr_markdown_()

    def __str__(self) -> str:
        return to_text(self)

    def __repr__(self) -> str:
        return (
            f"<Graph: {len(self.inputs)} inputs, {len(self.instructions)} instructions, {len(self.outputs)} outputs, "
            f"for {self.device}>"
        )


def printable(name: str) -> str:
    """A name on one line: what cannot be printed as Python writes it in strings (names come out of files)."""
    return name if name.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def to_text(graph: Graph) -> str:
    """The graph as text, a line for each instruction."""
    named = {v: f" {printable(name)}" for v, name in graph.names.items()}
    lines = [f"graph for {graph.device}"]
    lines += [f"  %{v.number}: {v.type} = input{named.get(v, '')}" for v in graph.inputs]
    lines += [f"  %{v.number}: {v.type} = constant{named.get(v, '')}" for v in graph.constants]
    lines += [f"  {instruction!r}" for instruction in graph.instructions]
    returned = ", ".join("None" if v is None else repr(v) for v in graph.outputs)
    return "\n".join([*lines, f"  return {returned}"])
