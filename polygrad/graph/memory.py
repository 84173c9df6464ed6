"""The memory a run of a graph takes, and two passes that lessen it: what is cheap is computed again rather than kept, and what
frees memory is done as early as it can be.

Only large arrays count: for small ones neither the order nor the memory matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from .ir import Graph, Instruction, Value, substituted, values_in

__all__ = ["LARGE_BYTES", "VIEWS", "free_early", "is_view", "peak_bytes", "recompute"]

LARGE_BYTES: Final = 1 << 18
"""From this size on an array is large."""
VIEWS: Final = frozenset(
    "reshape permute_dims matrix_transpose squeeze expand_dims broadcast_to getitem moveaxis positive".split()
)
_CHEAP: Final = frozenset(
    """
    abs add divide equal greater greater_equal less less_equal logical_and logical_not logical_or maximum minimum multiply
    negative not_equal reciprocal relu relu_linear sign sqrt square subtract where
    """.split()
)
"""What costs little more than reading what it takes."""
_DEPTH: Final = 3
"""Of so many cheap instructions in a row something is made again."""
_PATIENCE: Final = 8
"""After so many arrays that were made again to no purpose no more are looked for."""
SMALL_BYTES: Final = 1 << 14
"""What is kept for it in addition may be so large."""


def is_view(instruction: Instruction) -> bool:
    """Whether an instruction makes no array of its own (where the library can say the same in other strides)."""
    if instruction.op == "getitem":
        return not any(True for _ in values_in(instruction.args[1:]))
    return instruction.op in VIEWS


class _Living:
    """Which arrays are alive when; a view keeps alive what it is of.

    Attributes:
        root: for each view the value whose memory it is.
        uses: for each value with memory of its own, and each view, the instructions that take it or a view of it.
        last: the last of them, for those that die.
        first: for each value with memory of its own the instruction that makes it.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.root: dict[Value, Value] = {}
        self.uses: dict[Value, list[int]] = {}
        self.first: dict[Value, int] = {}
        for i, instruction in enumerate(graph.instructions):
            inputs = instruction.inputs
            for root in {self.of(v) for v in inputs}:
                self.uses.setdefault(root, []).append(i)
            view = is_view(instruction) and inputs
            for v in instruction.outputs:
                if view:
                    self.root[v] = self.of(inputs[0])
                else:
                    self.first[v] = i
        self.kept = {self.of(v) for v in graph.outputs if v is not None} | {*graph.inputs, *graph.constants}
        self.last = {v: self.uses.get(v, [i])[-1] for v, i in self.first.items() if v not in self.kept}

    def of(self, v: Value) -> Value:
        return self.root.get(v, v)

    def peak(self) -> tuple[int, int]:
        """The most bytes that are alive at one time, and at which instruction."""
        ending: dict[int, int] = {}
        for v, i in self.last.items():
            ending[i] = ending.get(i, 0) + v.nbytes
        living = sum(v.nbytes for v in (*self.graph.inputs, *self.graph.constants))
        most, at = living, 0
        for i, instruction in enumerate(self.graph.instructions):
            if not is_view(instruction):
                living += sum(v.nbytes for v in instruction.outputs)
            if living > most:
                most, at = living, i
            living -= ending.get(i, 0)
        return most, at


def peak_bytes(graph: Graph) -> int:
    """The most that inputs, constants and living results take together; a view keeps alive what it is of."""
    return _Living(graph).peak()[0]


def _is_large(graph: Graph) -> bool:
    return any(v.nbytes >= LARGE_BYTES for i in graph.instructions for v in i.outputs)


# -- making again ------------------------------------------------------------------------------------


def recompute(graph: Graph) -> Graph:
    """What is cheap, large, and idle when the most memory is alive is made again afterwards, of what is alive then anyway."""
    if not _is_large(graph):
        return graph
    best, least, since = graph, peak_bytes(graph), 0
    while since < _PATIENCE:
        found = _made_again(graph)
        if found is None:
            break
        graph, now = found, peak_bytes(found)
        best, least, since = (graph, now, 0) if now < least else (best, least, since + 1)
    return best


def _made_again(graph: Graph) -> Graph | None:
    """The graph with one array made again, the largest there is; or None."""
    living = _Living(graph)
    _, peak = living.peak()
    made = graph.made_by()
    idle = [
        v for v, end in living.last.items()
        if v.nbytes >= LARGE_BYTES and living.first[v] < peak < end and peak not in living.uses[v]
    ]  # fmt: skip
    for v in sorted(idle, key=lambda v: -v.nbytes):
        again = next(i for i in living.uses[v] if i > peak)
        if living.uses[v][0] > peak:
            continue  # made early and taken late: it would only be moved
        chain = _chain(v, again, living, made, _DEPTH)
        if chain is not None:
            return _with_again(graph, living, v, again, chain)
    return None


def _chain(v: Value, at: int, living: _Living, made: dict[Value, Instruction], depth: int) -> list[Instruction] | None:
    """The cheap instructions that make a value of what is alive at a place anyway, in order; None if there are none."""
    instruction = made.get(v)
    view = instruction is not None and is_view(instruction)
    if instruction is None or depth == 0 or not (view or instruction.op in _CHEAP) or len(instruction.outputs) != 1:
        return None
    chain: list[Instruction] = []
    for x in dict.fromkeys(instruction.inputs):
        root = living.of(x)
        if root in living.kept or living.last[root] >= at or root.nbytes <= SMALL_BYTES:
            continue
        before = _chain(x, at, living, made, depth - (not view))
        if before is None:
            return None
        chain += [i for i in before if i not in chain]
    return [*chain, instruction]


def _with_again(graph: Graph, living: _Living, v: Value, at: int, chain: list[Instruction]) -> Graph:
    """The graph in which a value, and all views of it, are made again before an instruction that takes them and for those
    that come after it."""
    number = graph.next_number()
    again: dict[Value, Value] = {}

    def copied(instruction: Instruction) -> Instruction:
        nonlocal number
        for out in instruction.outputs:
            again[out] = Value(number, out.shape, out.dtype)
            number += 1
        kwargs = tuple((name, substituted(arg, now)) for name, arg in instruction.kwargs)
        outputs = tuple(again[out] for out in instruction.outputs)
        return replace(instruction, args=substituted(instruction.args, now), kwargs=kwargs, outputs=outputs)

    def now(x: Value) -> Value:
        return again.get(x, x)

    views = [i for i in graph.instructions[:at] if is_view(i) and living.of(i.outputs[0]) is v]
    taken = {x for i in graph.instructions[at:] for x in i.inputs}
    needed: list[Instruction] = []
    for i in reversed(views):
        if i.outputs[0] in taken:
            needed.append(i)
            taken.update(i.inputs)
    before = [copied(i) for i in (*chain, *reversed(needed))]
    own = {x: y for x, y in again.items() if living.of(x) is v}
    after = []
    for i in graph.instructions[at:]:
        if not own.keys().isdisjoint(i.inputs):
            kwargs = tuple((name, substituted(arg, lambda x: own.get(x, x))) for name, arg in i.kwargs)
            i = replace(i, args=substituted(i.args, lambda x: own.get(x, x)), kwargs=kwargs)
        after.append(i)
    return graph.with_(instructions=(*graph.instructions[:at], *before, *after))


# -- order -------------------------------------------------------------------------------------------


def free_early(graph: Graph) -> Graph:
    """What frees more memory than it takes is done as soon as it can be; all else stays in order."""
    return graph.with_(instructions=tuple(_Order(graph).run())) if _is_large(graph) else graph


class _Order:
    """Instructions in order, with those brought forward that free large arrays."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.living = living = _Living(graph)
        self.maker = graph.made_by()
        self.takers: dict[
            Value, set[int]
        ] = {}  # of the memory of a value, those that are still to come and are no views
        self.waits: dict[int, set[Value]] = {}  # for an instruction that is no view the memory not made yet
        for i, instruction in enumerate(graph.instructions):
            if not is_view(instruction):
                roots = set(self._roots(instruction))
                self.waits[i] = {r for r in roots if r in living.first}
                for r in roots:
                    self.takers.setdefault(r, set()).add(i)
        self.done: set[Instruction] = set()
        self.order: list[Instruction] = []

    def _roots(self, instruction: Instruction) -> Iterator[Value]:
        """The memory that it looks at, and that its views' makers look at."""
        for v in instruction.inputs:
            yield self.living.of(v)
            while v in self.living.root:
                maker = self.maker[v]
                yield from (self.living.of(x) for x in maker.inputs)
                v = maker.inputs[0]

    def run(self) -> list[Instruction]:
        for i, instruction in enumerate(self.graph.instructions):
            waiting = [i] if instruction not in self.done else []
            while waiting:
                i = waiting.pop()
                if self.graph.instructions[i] not in self.done:
                    waiting += self._placed(i)
        return self.order

    def _placed(self, i: int) -> Iterable[int]:
        """Put an instruction next; those that free memory now."""
        instruction = self.graph.instructions[i]
        self._put(instruction)
        found: set[int] = set()
        if is_view(instruction):
            return found
        for v in instruction.outputs:
            for taker in self.takers.get(v, ()):
                self.waits[taker].discard(v)
                found.add(taker)
        for root in set(self._roots(instruction)):
            left = self.takers[root]
            left.discard(i)
            if len(left) == 1:
                found |= left
        return sorted((j for j in found if not self.waits[j] and self._frees(j)), reverse=True)

    def _put(self, instruction: Instruction) -> None:
        """With the views that it takes before it."""
        if instruction in self.done:
            return
        for v in instruction.inputs:
            if v in self.living.root:
                self._put(self.maker[v])
        self.done.add(instruction)
        self.order.append(instruction)

    def _frees(self, i: int) -> bool:
        instruction = self.graph.instructions[i]
        if instruction.effect:
            return False
        ends = {r for r in self._roots(instruction) if self.takers[r] == {i} and r not in self.living.kept}
        freed = sum(r.nbytes for r in ends)
        return freed >= LARGE_BYTES and freed > sum(v.nbytes for v in instruction.outputs)
