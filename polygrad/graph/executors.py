"""Executors by name, and graphs in pieces for those that another library's compiler makes of them.

An executor is a function ``(graph, device) -> run``, and ``run(*inputs)`` gives the outputs as a tuple of raw arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..backend import Device
from .execute import _Straight, resolve
from .ir import Graph, Instruction, Value, substituted

__all__ = ["Executor", "Piece", "Pieces", "executor_of"]

Run: TypeAlias = "Callable[..., tuple[Any, ...]]"
Executor: TypeAlias = "Callable[[Graph, Device], Run]"


def executor_of(device: Device, wanted: str | Executor | None) -> Executor | None:
    """The executor that is meant for a device; None for the straight line.

    Raises:
        ValueError: if its backend has none of this name.
    """
    if wanted is None:
        return device.backend.compile
    if not isinstance(wanted, str):
        return wanted
    if wanted == "straight":
        return None
    found = device.backend.executors.get(wanted)
    if found is None:
        names = ["straight", *device.backend.executors]
        raise ValueError(f"compile: there is no executor {wanted!r} for {device}; there are: {', '.join(names)}")
    return found


class Piece(NamedTuple):
    """Instructions that are run as one.

    Attributes:
        graph: of them, from what they take to what is needed after them.
        run: a function of the inputs.
        whole: whether the compiler made ``run``; else it is one call of the library.
        ended: values that nothing takes after it.
    """

    graph: Graph
    run: Run
    whole: bool
    ended: tuple[Value, ...]


class Pieces:
    """A graph for a compiler that cannot take all of it: what lies between is called as it is.

    Args:
        graph: the graph.
        device: where it runs.
        name: the compiler's, for :meth:`explain`.
        alone: whether an instruction must be called as it is; checks always are, as they look at values.
        compiled: makes a Python function of arrays a faster one.

    Attributes:
        pieces: in order.
        plan: itself: what ``explain`` asks.
    """

    def __init__(
        self,
        graph: Graph,
        device: Device,
        name: str,
        alone: Callable[[Instruction], bool],
        compiled: Callable[[Callable[..., Any]], Run],
    ) -> None:
        self.graph = graph
        self.device = device
        self.name = name
        parts: list[tuple[bool, list[Instruction]]] = []
        for instruction in checks_aside(graph):
            whole = not (instruction.op == "check" or alone(instruction))
            if not (whole and parts and parts[-1][0]):
                parts.append((whole, []))
            parts[-1][1].append(instruction)
        self.pieces = self._made(parts, compiled)
        self.plan = self

    def _made(
        self, parts: list[tuple[bool, list[Instruction]]], compiled: Callable[[Callable[..., Any]], Run]
    ) -> list[Piece]:
        needed = {v for v in self.graph.outputs if v is not None}
        pieces: list[Piece] = []
        for whole, instructions in reversed(parts):
            made = [v for i in instructions for v in i.outputs]
            own = set(made)
            taken = list(dict.fromkeys(v for i in instructions for v in i.inputs if v not in own))
            outputs = tuple(v for v in made if v in needed)
            part = self.graph.with_(
                inputs=tuple(taken), constants={}, instructions=tuple(instructions), outputs=outputs, structure=None
            )
            ended = tuple(v for v in taken if v not in needed)
            run = (
                compiled(bare(part, self.device)) if whole else _as_it_is(instructions[0], taken, outputs, self.device)
            )
            pieces.append(Piece(part, run, whole, ended))
            needed |= set(taken)
        return pieces[::-1]

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        graph = self.graph
        known: dict[Value, Any] = dict(zip(graph.inputs, inputs, strict=True))
        known |= graph.constants
        for piece in self.pieces:
            made = piece.run(*[known[v] for v in piece.graph.inputs])
            for v in piece.ended:
                del known[v]
            known.update(zip(piece.graph.outputs, made, strict=True))  # type: ignore[arg-type]
        return tuple(self._own(known))

    def _own(self, known: dict[Value, Any]) -> list[Any]:
        """The outputs, each memory of its own where the library can write to memory."""
        copy, mutable = self.device.backend.copy, self.device.backend.mutable
        return [None if v is None else copy(known[v]) if mutable else known[v] for v in self.graph.outputs]

    def explain(self) -> list[str]:
        """What is compiled, and what is called as it is."""
        lines = []
        for piece in self.pieces:
            ops = [i.op for i in piece.graph.instructions]
            lines.append(f"{self.name}: {len(ops)} instructions" if piece.whole else f"called as it is: {ops[0]}")
        return lines or ["nothing to run"]


def checks_aside(graph: Graph) -> list[Instruction]:
    """The instructions, checks of what comes in before all others, checks of what is made behind them: none stands
    between what can be compiled as one. They only raise, and results are used when all is done."""
    given = {*graph.inputs, *graph.constants}
    first: list[Instruction] = []
    rest: list[Instruction] = []
    last: list[Instruction] = []
    for instruction in graph.instructions:
        kind = rest if instruction.op != "check" else first if given.issuperset(instruction.inputs) else last
        kind.append(instruction)
    return [*first, *rest, *last]


def bare(graph: Graph, device: Device) -> Callable[..., Any]:
    """A graph as a Python function of its inputs, of nothing but its calls: what it returns may be its inputs."""
    scope: dict[str, Any] = {}
    source = _Bare(graph, device, scope).text()
    exec(compile(source, f"<graph for {graph.device}>", "exec"), scope)
    return scope["run"]  # type: ignore[no-any-return]


class _Bare(_Straight):
    """Writes the calls and nothing else, for those who read Python."""

    def text(self) -> str:
        graph = self.graph
        self.name_inputs()
        lines = [f"def run({', '.join(self.names[v] for v in graph.inputs)}):"]
        for instruction, ended in zip(graph.instructions, graph.last_uses(), strict=True):
            lines.append("    " + self._line(instruction, ended))
        made = ", ".join(["None" if v is None else self.names[v] for v in graph.outputs])
        return "\n".join([*lines, f"    return ({made}{',' if made else ''})", ""])


def _as_it_is(instruction: Instruction, taken: Sequence[Value], outputs: tuple[Value, ...], device: Device) -> Run:
    f = resolve(device.raw, instruction.op)

    def run(*inputs: Any) -> tuple[Any, ...]:
        known = dict(zip(taken, inputs, strict=True))
        args = [substituted(a, known.__getitem__) for a in instruction.args]
        with device.backend.quiet():
            made = f(*args, **{name: substituted(a, known.__getitem__) for name, a in instruction.kwargs})
        by_value = (
            dict(zip(instruction.outputs, made if instruction.several else (made,), strict=True)) if outputs else {}
        )
        return tuple([by_value[v] for v in outputs])

    return run
