"""Elementwise work on large arrays, block by block, so that intermediate results stay in the cache, by several threads
(NumPy's ufuncs release the GIL).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, Final

from polygrad.graph import ELEMENTWISE, Graph, Instruction, Value

from .numpy_threads import team

__all__ = [
    "BLOCK_BYTES",
    "LINE",
    "MANY_BYTES",
    "Group",
    "Scratch",
    "Step",
    "block_of",
    "blocks",
    "grouped",
    "inputs_of",
    "is_whole",
]

LARGE: Final = 1 << 16
"""From how many elements on elementwise work is done in blocks."""
BLOCK_BYTES: Final = 1 << 17
"""What a block of an array takes: several of them fit the second-level cache (measured: 64 to 256 kB are alike)."""
MANY_BYTES: Final = 1 << 21
"""From this size on blocks are twice as large: two threads then take fewer turns of the GIL (measured: 15 % less time)."""

LINE: Final = 64
"""Bytes of a line of the cache."""


# -- groups ------------------------------------------------------------------------------------------


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
        """The number of elements."""
        return prod(self.shape)

    @property
    def reduced(self) -> list[Instruction]:
        """The sums."""
        return [i for i in self.instructions if i.op in ("sum", "mean")]


Step = Instruction | Group


def inputs_of(step: Step) -> Iterator[Value]:
    """The values a step takes from outside."""
    if isinstance(step, Group):
        for instruction in step.instructions:
            for v in instruction.inputs:
                if v not in step.made:
                    yield v
    else:
        yield from step.inputs


def is_whole(instruction: Instruction) -> bool:
    """Whether it is the sum or mean over a whole array of floating numbers."""
    if instruction.op not in ("sum", "mean") or len(instruction.args) != 1:
        return False
    options = dict(instruction.kwargs)
    (x,) = instruction.inputs
    axis = options.pop("axis", None)
    axes = range(len(x.shape)) if axis is None else [axis] if isinstance(axis, int) else axis
    if options.pop("keepdims", False) or options.pop("dtype", None) is not None or options:
        return False
    summed = (
        x.dtype is not None and x.dtype.kind == "f" and x.dtype.itemsize > 2
    )  # half precision's are made in float32
    return summed and {a % len(x.shape) for a in axes} == set(range(len(x.shape)))


def _shape_of(instruction: Instruction) -> tuple[int, ...] | None:
    """The shape whose blocks an instruction can be done in, or None."""
    if is_whole(instruction):
        shape = instruction.inputs[0].shape
    elif instruction.op in ELEMENTWISE and len(instruction.outputs) == 1 and not instruction.kwargs:
        shape = instruction.outputs[0].shape
        if any(v.shape not in ((), shape) for v in instruction.inputs):
            return None
    else:
        return None
    return shape if prod(shape) >= LARGE else None


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


def block_of(size: int, most: int) -> int:
    """How many elements of so many a block has: about as many as it may."""
    count = -(-size // most)
    count += count % 2  # two threads, equal shares
    return -(-size // count // 16 + 1) * 16 if count > 1 else size


class Scratch:
    """Each worker's memory for what a block makes on the way, the same for all groups of a function.

    Args:
        np: NumPy.
        nbytes: what the group takes that takes the most.
    """

    def __init__(self, np: Any, nbytes: int) -> None:
        self._np = np
        self._nbytes = nbytes
        self._memory: dict[int, Any] = {}

    def __call__(self, worker: int, kinds: Sequence[Any], block: int) -> list[Any]:
        """Arrays of a block's length, one of each kind."""
        memory = self._memory.get(worker)
        if memory is None:
            memory = self._memory[worker] = self._np.empty(self._nbytes, self._np.uint8)
        places, start = [], 0
        for kind in kinds:
            end = start + block * kind.itemsize
            places.append(memory[start:end].view(kind))
            start = -(-end // LINE) * LINE
        return places


def blocks(
    np: Any, body: Callable[..., None], arrays: Sequence[Any], scalars: Sequence[Any], kept: dict[int, list[Any]],
    scratch: Scratch, kinds: Sequence[Any], sums: Sequence[Any], size: int, block: int, most: int,
) -> list[Any]:  # fmt: skip
    """Run a group block by block, spread over threads; returns its sums, each the pairwise sum of the blocks' own.

    The blocks are the same for any number of threads, and so are the sums. ``kept`` has each worker's arrays in the
    scratch memory, which are of these kinds; ``most`` is the number of threads.
    """
    block = block_of(size, block)
    count = -(-size // block)
    partials = [np.empty(count, kind) for kind in sums]

    def work(worker: int, first: int, end: int) -> None:
        places = kept.get(worker)
        if places is None:
            places = kept[worker] = scratch(worker, kinds, block)
        for at in range(first, end):
            start = at * block
            stop = min(start + block, size)
            if stop - start < block:
                places = [place[: stop - start] for place in places]
            body(at, *[x[start:stop] for x in arrays], *scalars, *partials, *places)

    n = min(most, count)
    share = -(-count // n)
    tasks = [
        lambda worker=i, first=i * share: work(worker, first, min(first + share, count))
        for i in range(-(-count // share))
    ]
    team(np)(tasks)
    return [np.add.reduce(partial) for partial in partials]
