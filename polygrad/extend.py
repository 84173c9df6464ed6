"""Registering ops of one's own: the same tools that polygrad's ops are made with.

>>> import polygrad as pg
>>> from polygrad.extend import unary
>>> @unary(derivative=lambda xp, x: 3 * x * x)
... def cube(xp, x, /):
...     return x * x * x
>>> pg.grad(cube)(2.0), pg.grad(pg.grad(cube))(2.0)
(12.0, 12.0)
"""

from .core.apply import apply, apply_many, apply_multiple
from .core.declare import binary, op, unary
from .core.kernels import kernel
from .core.op import Op
from .core.operands import together

__all__ = ["Op", "apply", "apply_many", "apply_multiple", "binary", "kernel", "op", "together", "unary"]
