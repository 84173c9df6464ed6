"""The memory a run of a graph takes, and two passes that lessen it: what is cheap is computed again rather than kept, and what
frees memory is done as early as it can be.

Only large arrays count: for small ones neither the order nor the memory matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from .infer import VIEWS
from .ir import Graph, Instruction, Value, rewritten, values_in

__all__ = ["LARGE_BYTES", "free_early", "is_view", "peak_bytes", "recompute"]

LARGE_BYTES: Final = 1 << 18
"""From this size on an array is large."""
_CHEAP: Final = frozenset(
    """
    abs add divide equal greater greater_equal less less_equal logical_and logical_not logical_or maximum minimum multiply
    negative not_equal reciprocal relu relu_linear sign sqrt square divide_linear strong_divide strong_multiply
    strong_product subtract where
    """.split()
)
"""What costs little more than reading what it takes."""
_DEPTH: Final = 3
"""Of so many cheap instructions in a row something is made again."""
_PATIENCE: Final = 2
"""After so many rounds to no purpose no more is looked for."""
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


class _Again(NamedTuple):
    """What is made again, before which instruction, and by which."""

    value: Value
    at: int
    chain: list[Instruction]


def _made_again(graph: Graph) -> Graph | None:
    """The graph with the arrays made again that are idle at the peak; None if there are none."""
    living = _Living(graph)
    _, peak = living.peak()
    made = graph.made_by()
    idle = [
        v for v, end in living.last.items()
        if v.nbytes >= LARGE_BYTES and living.first[v] < peak < end and peak not in living.uses[v]
    ]  # fmt: skip
    chosen: list[_Again] = []
    picked: set[Value] = set()
    needed: set[Value] = set()  # what these are made of stays
    for v in sorted(idle, key=lambda v: -v.nbytes):
        if living.uses[v][0] > peak or v in needed:
            continue  # made early and taken late: it would only be moved
        at = next(i for i in living.uses[v] if i > peak)
        chain = _chain(v, at, living, made, _DEPTH)
        if chain is None:
            continue
        sources = {living.of(x) for i in chain for x in i.inputs} - {living.of(x) for i in chain for x in i.outputs}
        if sources.isdisjoint(picked):
            chosen.append(_Again(v, at, chain))
            picked.add(v)
            needed |= sources
    return _with_again(graph, living, chosen) if chosen else None


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


def _with_again(graph: Graph, living: _Living, chosen: list[_Again]) -> Graph:
    """The graph in which values, and all views of them, are made again before an instruction that takes them and for those
    that come after it."""
    number = graph.next_number()
    last = {x: i for i, instruction in enumerate(graph.instructions) for x in instruction.inputs}
    views: dict[Value, list[tuple[int, Instruction]]] = {again.value: [] for again in chosen}
    for i, instruction in enumerate(graph.instructions):
        if is_view(instruction) and living.of(instruction.outputs[0]) in views:
            views[living.of(instruction.outputs[0])].append((i, instruction))
    starting: dict[int, list[_Again]] = {}
    for again in chosen:
        starting.setdefault(again.at, []).append(again)
    now: dict[Value, Value] = {}
    made: list[Instruction] = []
    for i, instruction in enumerate(graph.instructions):
        for again in starting.get(i, ()):
            wanted: list[Instruction] = []
            taken: set[Value] = set()
            for at, view in reversed(views[again.value]):
                if at < i and (last.get(view.outputs[0], -1) >= i or view.outputs[0] in taken):
                    wanted.append(view)
                    taken.update(view.inputs)
            own: dict[Value, Value] = {}
            for copied in (*again.chain, *reversed(wanted)):
                outputs = tuple(Value(number + k, v.shape, v.dtype) for k, v in enumerate(copied.outputs))
                number += len(outputs)
                made.append(replace(rewritten(copied, partial(_named, own)), outputs=outputs))
                own.update(zip(copied.outputs, outputs, strict=True))
            now.update((x, y) for x, y in own.items() if living.of(x) is again.value)
        made.append(
            instruction if now.keys().isdisjoint(instruction.inputs) else rewritten(instruction, partial(_named, now))
        )
    return graph.with_(instructions=tuple(made))


def _named(names: dict[Value, Value], v: Value) -> Value:
    return names.get(v, v)


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
        # Of the memory of a value those that are still to come and are no views; for such an instruction the memory that is
        # not made yet.
        self.takers: dict[Value, set[int]] = {}
        self.waits: dict[int, set[Value]] = {}
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
