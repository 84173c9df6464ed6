"""Parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import polygrad as pg

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[pg.Tensor]) -> pg.Tensor:
    """All parameters in a row, differentiable.

    >>> import polygrad as pg
    >>> pg.nn.utils.parameters_to_vector([pg.ones((2, 2)), pg.zeros(1)])
    tensor([1., 1., 1., 1., 0.], dtype=float64)
    """
    return pg.concat([pg.reshape(p, (-1,)) for p in parameters])


def vector_to_parameters(vec: pg.Tensor, parameters: Iterable[pg.Tensor]) -> None:
    """Write a vector's entries into the parameters, in their order.

    Raises:
        ShapeError: if the vector has not exactly as many entries; nothing is written then.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([[0.0, 0.0]])
    >>> pg.nn.utils.vector_to_parameters(pg.asarray([1.0, 2.0]), [w])
    >>> w.tolist()
    [[1.0, 2.0]]
    """
    given = list(parameters)
    sizes = [math.prod(p.shape) for p in given]
    if vec.shape != (sum(sizes),):
        raise pg.errors.ShapeError(
            f"vector_to_parameters: vec of shape {vec.shape} for parameters of {sum(sizes)} entries; it must be "
            f"({sum(sizes)},)"
        )
    start = 0
    with pg.no_grad():
        for p, n in zip(given, sizes, strict=True):
            p[...] = pg.reshape(vec[start : start + n], p.shape)
            start += n
