"""What a drawing shows: the nodes of eager and static graphs alike, folded if wanted, and the modules they belong to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from ..core.cell import settle
from ..core.node import Node, is_leaf
from ..core.tape import reachable
from ..errors import DetachedError
from ..tensor import Tensor
from .infer import ELEMENTWISE, VIEWS
from .ir import Graph, printable

__all__ = ["Entry", "Names", "entries_of", "folded", "modules_of"]


@runtime_checkable
class HasParameters(Protocol):
    """What a ``nn.Module`` is to a drawing: parameters with names."""

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]: ...


Names: TypeAlias = "HasParameters | Mapping[str, Tensor | HasParameters]"
"""A module, or names for tensors and prefixes for modules."""

_MOVES: Final = VIEWS | {"item", "astype", "flip"}
"""What is left out of a folded graph: it only moves data about."""


@dataclass(frozen=True)
class Entry:
    """One node as it is drawn.

    Attributes:
        number: its name.
        kind: ``"leaf"``, ``"input"``, ``"constant"``, ``"op"``, ``"item"`` or ``"root"`` (what is returned); of static graphs
            ``"after"`` and ``"result"``, which are ops and results that the first output does not need.
        op: its op, or several.
        name: the tensor's.
        types: of what it makes.
        parents: numbers of the nodes it takes; None for what carries no graph.
        returned: whether the graph returns it.
    """

    number: int
    kind: str
    op: str
    name: str
    types: tuple[str, ...]
    parents: tuple[int | None, ...]
    returned: bool = False

    @property
    def call(self) -> str:
        """``multiply(%1, const)``: arguments that carry no graph are constants to it."""
        return f"{self.op}({', '.join('const' if p is None else f'%{p}' for p in self.parents)})"

    @property
    def type(self) -> str:
        """``float64[3, 4]``, or those of several outputs in parentheses."""
        return self.types[0] if len(self.types) == 1 else f"({', '.join(self.types)})" if self.types else ""

    @property
    def is_op(self) -> bool:
        return self.kind not in ("leaf", "input", "constant")


# -- eager graphs ------------------------------------------------------------------------------------


def _roots(of: Tensor | Sequence[Tensor]) -> list[Node]:
    tensors = [of] if isinstance(of, Tensor) else list(of)
    found = []
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"a drawing starts at a Tensor or several, not at {type(x).__qualname__}")
        settle(x)
        if x._node is None:
            raise DetachedError(
                f"no graph leads to this tensor (shape {x.shape}, dtype {x.dtype}): none of what it was made "
                "of requires grad, or it was made under no_grad, or detached"
            )
        found.append(x._node)
    if not found:
        raise ValueError("a drawing needs at least one tensor to start at")
    return found


def _pairs(names: Names | None) -> Iterator[tuple[str, Tensor]]:
    if names is None:
        return
    if isinstance(names, HasParameters):
        yield from names.named_parameters()
        return
    for key, value in names.items():
        if isinstance(value, HasParameters):
            for name, parameter in value.named_parameters():
                yield f"{key}.{name}", parameter
        else:
            yield key, value


def _names_of_nodes(names: Names | None) -> dict[Node, str]:
    found: dict[Node, str] = {}
    for name, x in _pairs(names):
        settle(x)
        if x._node is not None:
            found.setdefault(x._node, name)
    return found


def _types_of(node: Node, places: bool) -> tuple[str, ...]:
    """``float64[3, 4]``, with the device where a graph has several."""
    to_dtype = node.device.backend.to_dtype
    several = isinstance(node.dtype, tuple)  # an op with several outputs
    outputs: Any = zip(node.dtype, node.shape, strict=True) if several else [(node.dtype, node.shape)]
    end = f" on {node.device.name}" if places else ""
    return tuple([f"{to_dtype(dtype).name}{list(shape)}{end}" for dtype, shape in outputs])


# -- static graphs -----------------------------------------------------------------------------------


def _static(graph: Graph, names: Names | None) -> tuple[list[Entry], list[int]]:
    """A static graph's inputs, constants and instructions, and the numbers of those that make what is returned."""
    returned = {v for v in graph.outputs if v is not None}
    taken = {v for i in graph.instructions for v in i.inputs} | returned
    known = {id(x): name for name, x in _pairs(names)}
    texts = {**graph.names, **{v: known[id(x)] for v, x in graph.closed_over.items() if id(x) in known}}
    numbers = {v: n for n, v in enumerate([*graph.inputs, *(c for c in graph.constants if c in taken)])}
    entries = []
    for v, n in numbers.items():
        tracked = v in graph.closed_over and graph.closed_over[v].requires_grad
        kind = "constant" if v in graph.constants else "leaf" if tracked else "input"
        name = printable(texts.get(v, ""))
        entries.append(Entry(n, kind, "constant" if kind == "constant" else "input", name, (v.type,), ()))
    first = _leading_to_first(graph)
    for instruction in graph.instructions:
        number = len(entries)
        parents = tuple([numbers[v] for v in instruction.inputs])
        root = any(v in returned for v in instruction.outputs)
        kind = ("root" if root else "op") if instruction in first else "result" if root else "after"
        types = tuple([v.type for v in instruction.outputs])
        op = printable(instruction.op.removeprefix("xp."))
        entries.append(Entry(number, kind, op, "", types, parents, root))
        numbers.update(dict.fromkeys(instruction.outputs, number))
    return entries, [numbers[v] for v in graph.outputs if v is not None]


def _leading_to_first(graph: Graph) -> set[Any]:
    """The instructions that the first output needs: of a step that is the loss, and all others are its gradients and
    updates."""
    needed = {v for v in graph.outputs[:1] if v is not None}
    found = set()
    for instruction in reversed(graph.instructions):
        if instruction.effect or not needed.isdisjoint(instruction.outputs):
            found.add(instruction)
            needed.update(instruction.inputs)
    return found


def entries_of(of: Tensor | Sequence[Tensor] | Graph, names: Names | None) -> tuple[list[Entry], list[int]]:
    """The graph's nodes numbered in order of creation, and the numbers of the roots."""
    if isinstance(of, Graph):
        return _static(of, names)
    roots = _roots(of)
    known = _names_of_nodes(names)
    order = reachable(roots)
    numbers = {node: i for i, node in enumerate(order)}
    places = len({node.device for node in order}) > 1
    starts = set(roots)
    entries = []
    for i, node in enumerate(order):
        kind = "leaf" if is_leaf(node) else "item" if node.op.name == "item" else "op"
        parents = tuple([None if p is None else numbers[p] for p in node.parents])
        looks = "root" if node in starts else kind
        op = "leaf" if is_leaf(node) else node.op.name.strip("_")
        name = printable(known.get(node, ""))
        entries.append(Entry(i, looks, printable(op), name, _types_of(node, places), parents, node in starts))
    return entries, [numbers[node] for node in roots]


# -- folding -----------------------------------------------------------------------------------------


def folded(entries: list[Entry]) -> list[Entry]:
    """The same with fewer nodes: ops are taken from where they are made, however moved about on the way; chains of
    elementwise ops, with the one other op they may begin with, are one node; checks, numbers, constants and unnamed state
    are left out.

    A node is joined to the only group that takes it, so that nothing becomes a circle; before the first output to none of
    another module.
    """
    shown = _without_moves(_without_trifles(entries))
    modules = modules_of(shown)
    by_number = {e.number: e for e in shown}
    users: dict[int, list[int]] = {}
    for e in shown:
        for p in e.parents:
            if p is not None:
                users.setdefault(p, []).append(e.number)
    home: dict[int, int] = {}
    heavy: set[int] = set()  # groups that have an op that is not elementwise
    for e in reversed(shown):
        n = home[e.number] = e.number
        goals = {home[u] for u in users.get(n, ())}
        if len(goals) == 1 and e.is_op and not e.name:
            (goal,) = goals
            after = e.kind in _AFTER
            near = after is (by_number[goal].kind in _AFTER) and (after or modules.get(n) == modules.get(goal))
            if near and goal not in heavy and len(e.types) == 1:
                home[n] = goal
        if e.is_op and e.op not in ELEMENTWISE:
            heavy.add(home[n])
    members: dict[int, list[Entry]] = {}
    for e in shown:
        members.setdefault(home[e.number], []).append(e)
    return [_joined(by_number[h], members[h], home) for h in sorted(members)]


_AFTER: Final = ("after", "result")


def _without_trifles(entries: list[Entry]) -> list[Entry]:
    """Without what a folded drawing leaves out; what is taken from it is None."""
    left_out: set[int | None] = {None}
    for e in entries:
        trifle = e.op == "check" or e.kind == "constant" or (e.kind == "input" and not e.name)
        if trifle or (e.kind in ("op", "after") and left_out.issuperset(e.parents)):
            left_out.add(e.number)
    used = {p for e in entries if e.number not in left_out for p in e.parents}
    kept = []
    for e in reversed(entries):
        if e.is_op and not e.returned and e.number not in used:  # leads to nothing
            left_out.add(e.number)
        if e.number not in left_out:
            kept.append(replace(e, parents=tuple([None if p in left_out else p for p in e.parents])))
    return kept[::-1]


def _without_moves(entries: list[Entry]) -> list[Entry]:
    """Without ops that only move data about: who takes theirs takes what they took."""
    through: dict[int | None, int | None] = {None: None}
    kept: dict[int, Entry] = {}
    for e in entries:
        parents = [through[p] for p in e.parents]
        source = kept.get(parents[0]) if parents and parents[0] is not None else None
        if e.is_op and not e.name and (e.op in _MOVES or e.kind == "item") and source is not None:
            if not (e.returned and (e.kind == "root" or not source.is_op)):
                through[e.number] = source.number
                kept[source.number] = _returned(source) if e.returned else source
                continue
        through[e.number] = e.number
        kept[e.number] = replace(e, parents=tuple(parents))
    return list(kept.values())


def _returned(e: Entry) -> Entry:
    return replace(e, returned=True, kind={"op": "root", "after": "result"}.get(e.kind, e.kind))


def _joined(last: Entry, group: list[Entry], home: dict[int, int]) -> Entry:
    parents = [None if p is None else home[p] for e in group for p in e.parents]
    ops = [e.op for e in group]
    counted = [f"{op} x{ops.count(op)}" if ops.count(op) > 1 else op for op in dict.fromkeys(ops)]
    lines = [", ".join(counted[i : i + 3]) for i in range(0, len(counted), 3)]
    made = replace(last, op=",\n".join(lines), parents=tuple([p for p in dict.fromkeys(parents) if p != last.number]))
    return _returned(made) if any(e.returned for e in group) else made


# -- modules -----------------------------------------------------------------------------------------

_LAYER: Final = re.compile(r"_l(\d+)(_reverse)?$")
Path: TypeAlias = "tuple[str, ...]"


def _common(paths: Sequence[Path]) -> Path:
    made = []
    for parts in zip(*paths):
        if len(set(parts)) > 1:
            break
        made.append(parts[0])
    return tuple(made)


def _path(name: str) -> Path:
    """The module that a parameter of this name is of; a recurrent network's layer is as good as one."""
    *path, last = name.split(".")
    layer = _LAYER.search(last)
    return (*path, f"layer {layer[1]}{' backward' if layer[2] else ''}") if layer and path else tuple(path)


def modules_of(entries: list[Entry]) -> dict[int, Path]:
    """For each node the module it belongs to, as a path of names.

    A parameter belongs to the module that its name says, an op to that of the parameters it takes (as they are, or
    reshaped), and what stands between ops of one module to that module.
    """
    users: dict[int, list[Entry]] = {}
    for e in entries:
        for p in e.parents:
            if p is not None:
                users.setdefault(p, []).append(e)
    weights: dict[int, Path] = {}  # parameters, and what is made of parameters alone
    own: dict[int, Path] = {}
    for e in entries:
        parents = [p for p in e.parents if p is not None]
        if not e.is_op:
            if e.name and _path(e.name):
                weights[e.number] = own[e.number] = _path(e.name)
        else:
            paths = [weights[p] for p in parents if p in weights]
            if paths and _common(paths):
                own[e.number] = _common(paths)
                if len(paths) == len(parents) == len(e.parents) and not e.returned:
                    weights[e.number] = own[e.number]
    if not own:
        return {}
    up = _spread(entries, own, lambda e: [p for p in e.parents if p is not None])
    down = _spread(entries[::-1], own, lambda e: [u.number for u in users.get(e.number, ())])
    after = {e.number for e in entries if e.kind in ("after", "result")}
    made = {}
    for e in entries:
        n = e.number
        if n in own:
            made[n] = own[n]
        elif not e.is_op:
            made[n] = ()
        else:
            below = down.get(n)
            made[n] = up.get(n, ()) if n in after and below is None else _common([up.get(n, ()), below or ()])
    return made


def _spread(entries: list[Entry], own: dict[int, Path], neighbours: Callable[[Entry], list[int]]) -> dict[int, Path]:
    """For each node its own path or what those of its neighbours on one side have in common."""
    known: dict[int, Path] = {}
    for e in entries:
        paths = [known[n] for n in neighbours(e) if n in known]
        if e.number in own:
            known[e.number] = own[e.number]
        elif paths:
            known[e.number] = _common(paths)
    return known
