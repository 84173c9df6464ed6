"""Drawing graphs, eager and static: DOT and Mermaid always, indented text, and pictures where Graphviz is installed.

The same graph gives the same text every time. Nothing here recurses, so any depth is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ..errors import DependencyError
from ..tensor import Tensor
from .ir import Graph
from .nodes import Entry, Names, entries_of, folded, modules_of

__all__ = ["Names", "Picture", "draw", "show", "to_dot", "to_mermaid", "to_text"]


_TEXT_FORMATS: Final = ("dot", "mermaid", "text", "svg")
_DEEPEST: Final = 30  # levels of indentation; below that, the level is written as a number

# Leaves are what one may differentiate by, the root is where backward starts.
_LOOKS: Final = {
    "leaf": 'shape=box, fillcolor="#cfe8fc"',
    "input": 'shape=box, fillcolor="#ffffff"',
    "constant": 'shape=box, fillcolor="#ffffff", style="filled,dashed"',
    "op": 'shape=ellipse, fillcolor="#f4f4f4"',
    "after": 'shape=ellipse, fillcolor="#dff2d8"',
    "item": 'shape=circle, fillcolor="#ffffff", fontsize=7, width=0.2, margin=0.02',
    "root": 'shape=doubleoctagon, fillcolor="#ffd9a0"',
    "result": 'shape=box, style="filled,rounded", peripheries=2, fillcolor="#dff2d8"',
}


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
    entries, roots = entries_of(of, names)
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
    """A DOT string of some lines; Graphviz reads entities (``&lt;``) in it, so ``&`` is one too."""
    safe = [line.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for line in lines if line]
    return '"' + "\\n".join(safe) + '"'


def _label(entry: Entry, path: tuple[str, ...] = ()) -> tuple[str, str, str]:
    """A node's lines; in its module's box a parameter goes without the module's name."""
    types = entry.types
    text = types[0] if len(types) == 1 else f"{types[0]} and {len(types) - 1} more" if types else ""
    name = "" if entry.op in ("leaf", "input", "constant") and entry.name else entry.op
    shown = entry.name.rpartition(".")[2] if path else entry.name
    return shown or name, name if entry.name else "", text


_ENTITIES: Final = {'"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;"}
_HARMLESS: Final = frozenset(" _-.,:/+*=")
"""What stands for itself in Mermaid's text, beside letters and digits."""


def _escaped(name: str) -> str:
    """A name as Mermaid's text: neither markup, nor HTML, nor a directive, whatever is in it."""
    return "".join(c if c.isalnum() or c in _HARMLESS else _ENTITIES.get(c, f"#{ord(c)};") for c in name)


_MERMAID: Final = {
    "item": ("((", "))"),
    "root": ("{{", "}}"),
    "result": ("{{", "}}"),
    "op": ("(", ")"),
    "after": ("(", ")"),
}


def to_mermaid(of: Tensor | Sequence[Tensor] | Graph, names: Names | None = None, fold: bool = False) -> str:
    """The same for Mermaid, which code hosts and notebooks draw. Arguments as for :func:`to_dot`.

    >>> import polygrad as pg
    >>> x = pg.asarray([1.0], requires_grad=True)
    >>> print(pg.graph.to_mermaid(pg.exp(x), names={"x": x}))
    flowchart TD
      n0["x<br>float64[1]"]
      n1{{"exp<br>float64[1]"}}
      n0 --> n1
    """
    entries = _chosen(of, names, fold)

    def node(e: Entry, path: tuple[str, ...]) -> str:
        left, right = _MERMAID.get(e.kind, ("[", "]"))
        name, op, types = _label(e, path)
        text = "<br>".join(part for part in (_escaped(name), _escaped(op), types) if part)
        return f'n{e.number}{left}"{text}"{right}'

    def box(number: int, name: str) -> tuple[str, str]:
        return f'subgraph m{number}["{_escaped(name)}"]', "end"

    lines = ["flowchart TD", *_nested(entries, node, box)]
    lines += [f"  n{p} --> n{e.number}" for e in entries for p in e.parents if p is not None]
    return "\n".join(lines)


def _chosen(of: Tensor | Sequence[Tensor] | Graph, names: Names | None, fold: bool) -> list[Entry]:
    entries, _ = entries_of(of, names)
    return folded(entries) if fold else entries


def _nested(
    entries: list[Entry], node: Callable[[Entry, tuple[str, ...]], str], box: Callable[[int, str], tuple[str, str]]
) -> list[str]:
    """The lines of all nodes, those of a module between the lines of its box."""
    modules = modules_of(entries)
    if not any(modules.values()):
        return [f"  {node(e, ())}" for e in entries]
    inside: dict[tuple[str, ...], list[Entry]] = {}
    for e in entries:
        path = modules[e.number]
        for depth in range(len(path) + 1):
            inside.setdefault(path[:depth], [])
        inside[path].append(e)
    lines: list[str] = []
    open_: list[tuple[str, str]] = []  # module names, and the lines that end their boxes
    for number, path in enumerate(sorted(inside)):
        while tuple([name for name, _ in open_]) != path[: len(open_)]:
            lines.append("  " * len(open_) + open_.pop()[1])
        for name in path[len(open_) :]:
            start, end = box(number, name)
            open_.append((name, end))
            lines.append("  " * len(open_) + start)
        lines += ["  " * (len(open_) + 1) + node(e, path) for e in inside[path]]
    while open_:
        lines.append("  " * len(open_) + open_.pop()[1])
    return lines


def to_dot(of: Tensor | Sequence[Tensor] | Graph, names: Names | None = None, fold: bool = False) -> str:
    """The graph behind a tensor, or a static graph, in DOT, Graphviz's language; it needs nothing installed.

    Leaves that require grad are blue boxes, other inputs white ones, ops grey ellipses (green where only gradients and
    updates need them), the outputs of an op with several small circles, what is returned orange octagons; each with its
    dtype and shape. The parameters and ops of a module stand in a box with its name.

    Args:
        of, names: as for :func:`to_text`.
        fold: join what moves data about, and chains of elementwise ops, with what they lead to, and leave constants
            out: large graphs become legible.

    >>> import polygrad as pg
    >>> x = pg.asarray([1.0], requires_grad=True)
    >>> print(pg.graph.to_dot(pg.exp(x), names={"x": x}).splitlines()[5])
      n0 -> n1;
    """
    entries = _chosen(of, names, fold)

    def node(e: Entry, path: tuple[str, ...]) -> str:
        label = _quoted(e.name) if e.kind == "item" else _quoted(*_label(e, path))
        return f"n{e.number} [label={label}, {_LOOKS[e.kind]}];"

    def box(number: int, name: str) -> tuple[str, str]:
        looks = 'style="rounded,filled"; fillcolor="#00000008"; color="#999999"'
        return f"subgraph cluster_{number} {{ label={_quoted(name)}; {looks};", "}"

    lines = [
        "digraph polygrad {",
        '  node [style=filled, fontname="Helvetica", fontsize=10, color="#555555"];',
        '  graph [fontname="Helvetica-Bold", fontsize=11, labeljust=l, nodesep=0.2, ranksep=0.3, newrank=true];',
        *_nested(entries, node, box),
    ]
    for e in entries:
        looks = ' [color="#4f8a3d"]' if e.kind in ("after", "result") else ""
        lines += [f"  n{p} -> n{e.number}{looks};" for p in e.parents if p is not None]
    lines.append("}")
    return "\n".join(lines) + "\n"


# -- pictures ----------------------------------------------------------------------------------------


def draw(
    of: Tensor | Sequence[Tensor] | Graph,
    path: str | Path | None = None,
    format: str | None = None,
    names: Names | None = None,
    fold: bool = False,
) -> str | bytes:
    """Draw the graph behind a tensor, or a static graph.

    Args:
        of: the tensor (or several) that the graph leads to, or a :class:`~polygrad.graph.Graph`.
        path: where to write the drawing, if anywhere.
        format: ``"dot"``, ``"mermaid"`` and ``"text"``, which need nothing installed; ``"svg"``, ``"pdf"``, ``"png"`` or
            whatever else Graphviz makes; by default what the path's ending says, or ``"dot"``.
        names: a module, or a dict of names, to label leaves and intermediate tensors with; modules become boxes.
        fold: fewer nodes, see :func:`polygrad.graph.to_dot`.

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
        drawn = (to_mermaid(of, names, fold) + "\n").encode()
    elif format == "dot":
        drawn = to_dot(of, names, fold).encode()
    else:
        drawn = _render(to_dot(of, names, fold), format)
    if path is not None:
        Path(path).write_bytes(drawn)
    return drawn.decode().removesuffix("\n") if format in _TEXT_FORMATS else drawn


class Picture:
    """A graph for a notebook, which shows it: as SVG where Graphviz is installed, else by Mermaid.

    Attributes:
        of, names, fold: what is drawn and how; see :func:`draw`.
    """

    def __init__(self, of: Tensor | Sequence[Tensor] | Graph, names: Names | None, fold: bool) -> None:
        self.of, self.names, self.fold = of, names, fold

    def _repr_svg_(self) -> str | None:
        try:
            return str(draw(self.of, format="svg", names=self.names, fold=self.fold))
        except DependencyError:
            return None

    def _repr_markdown_(self) -> str:
        return f"```mermaid\n{to_mermaid(self.of, self.names, self.fold)}\n```"

    def __repr__(self) -> str:
        return to_text(self.of, self.names)


def show(of: Tensor | Sequence[Tensor] | Graph, names: Names | None = None, fold: bool = False) -> Picture:
    """The graph behind a tensor, or a static graph, shown in a notebook; elsewhere it is its text. Arguments as for
    :func:`draw`.

    >>> import polygrad as pg
    >>> x = pg.asarray([1.0], requires_grad=True)
    >>> pg.graph.show(pg.exp(x), {"x": x})
    %1 exp(%0) float64[1]
      %0 leaf x float64[1]
    """
    return Picture(of, names, fold)


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
