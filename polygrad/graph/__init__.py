"""Graphs as things to look at and to run: the eager graph behind a tensor, and static graphs.

>>> import polygrad as pg
>>> x = pg.asarray([1.0, 2.0], requires_grad=True)
>>> print(pg.graph.to_text(pg.sum(x * pg.sin(x)), names={"x": x}))
%3 sum(%2) float64[]
  %2 multiply(%0, %1) float64[2]
    %0 leaf x float64[2]
    %1 sin(%0) float64[2]
      %0 x (above)
"""

from ..ops.strong import PLAIN_OF
from .collection import no_collection
from .compiled import CacheInfo, Compiled, Spec, compile, trace
from .draw import Picture, show, to_dot, to_mermaid, to_text
from .execute import FRESH, Program, Writer, resolve
from .executors import Pieces
from .files import load
from .infer import ELEMENTWISE, REARRANGED
from .ir import Graph, Instruction, Value
from .passes import PASSES
from .run_once import is_tracing, on_each_run

__all__ = [
    "ELEMENTWISE",
    "FRESH",
    "PASSES",
    "PLAIN_OF",
    "REARRANGED",
    "CacheInfo",
    "Compiled",
    "Graph",
    "Instruction",
    "Picture",
    "Pieces",
    "Program",
    "Spec",
    "Value",
    "Writer",
    "compile",
    "is_tracing",
    "load",
    "no_collection",
    "on_each_run",
    "resolve",
    "show",
    "to_dot",
    "to_mermaid",
    "to_text",
    "trace",
]
