"""Graphs as things to look at: the eager graph behind a tensor, as text, as DOT, as a picture.

>>> import polygrad as pg
>>> x = pg.asarray([1.0, 2.0], requires_grad=True)
>>> print(pg.graph.to_text(pg.sum(x * pg.sin(x)), names={"x": x}))
%3 sum(%2) float64[]
  %2 multiply(%0, %1) float64[2]
    %0 leaf x float64[2]
    %1 sin(%0) float64[2]
      %0 x (above)
"""

from .draw import to_dot, to_text

__all__ = ["to_dot", "to_text"]
