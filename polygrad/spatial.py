"""Windows that slide over arrays: convolution and its adjoints, pooling and its adjoints, standardisation.

The functions of :mod:`polygrad.nn.functional` are made of these. Each has both modes, to any order, on every backend
and under ``vmap``; backends may offer faster versions of what they compute.

>>> import polygrad as pg
>>> x, w = pg.ones((1, 1, 4, 4)), pg.ones((2, 1, 3, 3))
>>> pg.spatial.conv(x, w).shape
(1, 2, 2, 2)
"""

from __future__ import annotations

from .ops.convolution import conv, conv_input, conv_weight

__all__ = ["conv", "conv_input", "conv_weight"]
