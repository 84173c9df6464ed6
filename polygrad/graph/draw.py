"""Drawing graphs, eager and static: DOT and Mermaid always, indented text, and pictures where Graphviz is installed.

The same graph gives the same text every time. Nothing here recurses, so any depth is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from ..core.cell import settle
from ..core.node import Node, is_leaf
from ..core.tape import reachable
from ..errors import DependencyError, DetachedError
from ..tensor import Tensor
from .ir import Graph

__all__ = ["Names", "draw", "to_dot", "to_mermaid", "to_text"]


@runtime_checkable
class HasParameters(Protocol):
    """What a ``nn.Module`` is to a drawing: parameters with names."""

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]: ...


Names: TypeAlias = "HasParameters | Mapping[str, Tensor | HasParameters]"
"""A module, or names for tensors and prefixes for modules."""

_TEXT_FORMATS: Final = ("dot", "mermaid", "text", "svg")
_DEEPEST: Final = 30  # levels of indentation; below that, the level is written as a number

# Leaves are what one may differentiate by, the root is where backward starts.
_LOOKS: Final = {
    "leaf": 'shape=box, fillcolor="#cfe8fc"',
    "op": 'shape=ellipse, fillcolor="#f4f4f4"',
    "item": 'shape=circle, fillcolor="#ffffff", fontsize=7, width=0.2, margin=0.02',
    "root": 'shape=doubleoctagon, fillcolor="#ffd9a0"',
}


@dataclass(frozen=True)
class _Entry:
    """One node as it is drawn."""

    number: int
    kind: str
    op: str
    name: str
    type: str
    parents: tuple[int | None, ...]

    @property
    def call(self) -> str:
        """``multiply(%1, const)``: arguments that carry no graph are constants to it."""
        return f"{self.op}({', '.join('const' if p is None else f'%{p}' for p in self.parents)})"


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


def _type_of(node: Node, places: bool) -> str:
    """``float64[3, 4]``, with the device where a graph has several."""
    to_dtype = node.device.backend.to_dtype
    several = isinstance(node.dtype, tuple)  # an op with several outputs
    outputs: Any = zip(node.dtype, node.shape, strict=True) if several else [(node.dtype, node.shape)]
    parts = [f"{to_dtype(dtype).name}{list(shape)}" for dtype, shape in outputs]
    text = f"({', '.join(parts)})" if several else parts[0]
    return f"{text} on {node.device.name}" if places else text


def _static_entries(graph: Graph) -> tuple[list[_Entry], list[int]]:
    """A static graph's inputs, constants and instructions, and the numbers of those that make what is returned."""
    taken = {v for i in graph.instructions for v in i.inputs} | {v for v in graph.outputs if v is not None}
    returned = {v for v in graph.outputs if v is not None}
    numbers = {v: n for n, v in enumerate([*graph.inputs, *(c for c in graph.constants if c in taken)])}
    entries = [
        _Entry(n, "leaf", "input" if v in graph.inputs else "constant", graph.names.get(v, ""), v.type, ())
        for v, n in numbers.items()
    ]
    for instruction in graph.instructions:
        number = len(entries)
        parents = tuple([numbers[v] for v in instruction.inputs])
        kind = "root" if any(v in returned for v in instruction.outputs) else "op"
        text = ", ".join(v.type for v in instruction.outputs)
        entries.append(_Entry(number, kind, instruction.op.removeprefix("xp."), "", text, parents))
        numbers.update(dict.fromkeys(instruction.outputs, number))
    return entries, [numbers[v] for v in returned]


def _entries(of: Tensor | Sequence[Tensor] | Graph, names: Names | None) -> tuple[list[_Entry], list[int]]:
    """The graph's nodes numbered in order of creation, and the numbers of the roots."""
    if isinstance(of, Graph):
        return _static_entries(of)
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
        entries.append(_Entry(i, looks, op, known.get(node, ""), _type_of(node, places), parents))
    return entries, [numbers[node] for node in roots]


# -- text --------------------------------------------------------------------------------------------


def to_text(of: Tensor | Sequence[Tensor] | Graph, names: Names | None = None) -> str:
    """The graph behind a tensor as indented text: each op below what uses it, the root first. A static graph is
    a line for each instruction, in order.

    ``%n`` numbers the nodes in order of creation; ``const`` is an argument without a graph; a node met again
    is a reference (``above``). Beyond 30 levels lines stop moving to the right and tell their level.

    Args:
        of: the tensor, or several, or a static graph.
        names: a module whose parameters' names are shown, or a dict of names for tensors (and of prefixes
            for modules).

    Raises:
        DetachedError: no graph leads to the tensor.

    >>> import polygrad as pg
    >>> w = pg.asarray([[1.0, 2.0]], requires_grad=True)
    >>> print(pg.graph.to_text(w @ pg.ones(2)))
    %1 matmul(%0, const) float64[1]
      %0 leaf float64[1, 2]
    """
    if isinstance(of, Graph):
        return str(of)
    entries, roots = _entries(of, names)
    lines = []
    seen: set[int] = set()
    stack = [(number, 0) for number in reversed(roots)]
    while stack:
        number, depth = stack.pop()
        entry = entries[number]
        lead = "  " * depth if depth <= _DEEPEST else f"{'  ' * _DEEPEST}[{depth}] "
        label = f" {entry.name}" if entry.name else ""
        if number in seen:
            lines.append(f"{lead}%{number}{label or ' ' + entry.op} (above)")
            continue
        seen.add(number)
        what = entry.call if entry.parents else entry.op
        lines.append(f"{lead}%{number} {what}{label} {entry.type}")
        stack.extend((p, depth + 1) for p in reversed(entry.parents) if p is not None)
    return "\n".join(lines)


# -- DOT ---------------------------------------------------------------------------------------------


def _quoted(*lines: str) -> str:
    """A DOT string of some lines."""
    safe = [line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for line in lines if line]
    return '"' + "\\n".join(safe) + '"'


def _label(entry: _Entry) -> tuple[str, str, str]:
    return entry.name or entry.op, entry.op if entry.name and entry.op not in ("leaf", "input") else "", entry.type


_MERMAID: Final = {"leaf": ("[", "]"), "op": ("(", ")"), "item": ("((", "))"), "root": ("{{", "}}")}


def to_mermaid(of: Tensor | Sequence[Tensor] | Graph, names: Names | None = None) -> str:
    """The same for Mermaid, which code hosts and notebooks draw. Arguments as for :func:`to_text`.

    >>> import polygrad as pg
    >>> x = pg.asarray([1.0], requires_grad=True)
    >>> print(pg.graph.to_mermaid(pg.exp(x), names={"x": x}))
    flowchart TD
      n0["x<br>float64[1]"]
      n1{{"exp<br>float64[1]"}}
      n0 --> n1
    """
    entries, _ = _entries(of, names)
    lines = ["flowchart TD"]
    for e in entries:
        left, right = _MERMAID[e.kind]
        text = "<br>".join(part for part in _label(e) if part).replace('"', "#quot;")
        lines.append(f'  n{e.number}{left}"{text}"{right}')
        lines.extend(f"  n{p} --> n{e.number}" for p in e.parents if p is not None)
    return "\n".join(lines)


def to_dot(of: Tensor | Sequence[Tensor] | Graph, names: Names | None = None) -> str:
    """The graph behind a tensor, or a static graph, in DOT, Graphviz's language; it needs nothing installed.

    Leaves are blue boxes, ops grey ellipses, the outputs of an op with several small circles, the tensor
    itself an orange octagon; each with its dtype and shape. Arguments as for :func:`to_text`.

    >>> import polygrad as pg
    >>> x = pg.asarray([1.0], requires_grad=True)
    >>> print(pg.graph.to_dot(pg.exp(x), names={"x": x}).splitlines()[4])
      n0 -> n1;
    """
    entries, _ = _entries(of, names)
    lines = [
        "digraph polygrad {",
        '  node [style=filled, fontname="Helvetica", fontsize=10, color="#555555"];',
    ]
    for e in entries:
        if e.kind == "item":
            label = _quoted(e.name)
        else:
            label = _quoted(*_label(e))
        lines.append(f"  n{e.number} [label={label}, {_LOOKS[e.kind]}];")
        lines.extend(f"  n{p} -> n{e.number};" for p in e.parents if p is not None)
    lines.append("}")
    return "\n".join(lines) + "\n"


# -- pictures ----------------------------------------------------------------------------------------


def draw(
    of: Tensor | Sequence[Tensor] | Graph,
    path: str | Path | None = None,
    format: str | None = None,
    names: Names | None = None,
) -> str | bytes:
    """Draw the graph behind a tensor, or a static graph.

    Args:
        of: the tensor (or several) that the graph leads to, or a :class:`~polygrad.graph.Graph`.
        path: where to write the drawing, if anywhere.
        format: ``"dot"``, ``"mermaid"`` and ``"text"``, which need nothing installed; ``"svg"``, ``"pdf"``, ``"png"`` or
            whatever else Graphviz makes; by default what the path's ending says, or ``"dot"``.
        names: a module, or a dict of names, to label leaves and intermediate tensors with.

    Returns:
        What was drawn: a string for dot, text and svg, bytes for the rest.

    Raises:
        DetachedError: no graph leads to the tensor.
        DependencyError: a picture was asked for, but the ``graphviz`` package or its program ``dot`` is
            missing.
        ValueError: Graphviz does not know the format.

    >>> import polygrad as pg
    >>> x = pg.asarray([1.0], requires_grad=True)
    >>> print(pg.draw(x * 2, format="text", names={"x": x}))
    %1 multiply(%0, const) float64[1]
      %0 leaf x float64[1]
    """
    if format is None:
        ending = "" if path is None else Path(path).suffix[1:].lower()
        format = {"": "dot", "gv": "dot", "txt": "text", "mmd": "mermaid"}.get(ending, ending)
    if format == "text":
        drawn = (to_text(of, names) + "\n").encode()
    elif format == "mermaid":
        drawn = (to_mermaid(of, names) + "\n").encode()
    elif format == "dot":
        drawn = to_dot(of, names).encode()
    else:
        drawn = _render(to_dot(of, names), format)
    if path is not None:
        Path(path).write_bytes(drawn)
    return drawn.decode().removesuffix("\n") if format in _TEXT_FORMATS else drawn


def _render(dot: str, format: str) -> bytes:
    """DOT text as a picture, by Graphviz."""
    advice = 'format="dot" and format="text" need nothing installed'
    try:
        import graphviz
    except ImportError:
        raise DependencyError(
            f"drawing {format} needs the graphviz package: pip install 'polygrad-xp[draw]'; {advice}"
        ) from None
    if format not in graphviz.FORMATS:
        raise ValueError(f"unknown format {format!r} for a drawing; for instance: dot, text, svg, pdf, png")
    try:
        picture: bytes = graphviz.Source(dot).pipe(format=format)
    except graphviz.ExecutableNotFound:
        raise DependencyError(
            f"drawing {format} needs Graphviz's program 'dot', which is not on the PATH (apt-get install "
            f"graphviz, brew install graphviz, or https://graphviz.org/download); {advice}"
        ) from None
    return picture
