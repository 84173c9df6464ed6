"""Gradients kept within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polygrad as pg

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm"]


def _gradients(parameters: Any) -> list[pg.Tensor]:
    given = [parameters] if isinstance(parameters, pg.Tensor) else parameters
    return [p.grad for p in given if p.grad is not None]


def get_total_norm(
    tensors: pg.Tensor | Iterable[pg.Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> pg.Tensor:
    """The norm of all tensors together, as if they were one vector; a Tensor on the first one's device.

    Args:
        tensors: as many as there are; none have the norm 0.
        norm_type: the order, ``inf`` for the largest entry.
        error_if_nonfinite: whether to raise where the norm is nan or infinite, for which its value is read.

    >>> import polygrad as pg
    >>> pg.nn.utils.get_total_norm([pg.asarray([3.0]), pg.asarray([[4.0]])])
    tensor(5., dtype=float64)
    """
    parts = [tensors] if isinstance(tensors, pg.Tensor) else list(tensors)
    if not parts:
        return pg.asarray(0.0)
    with pg.no_grad():
        device = parts[0].device
        norms = [pg.linalg.vector_norm(x, ord=norm_type).to_device(device) for x in parts]
        total = norms[0] if len(norms) == 1 else pg.linalg.vector_norm(pg.stack(norms), ord=norm_type)
    if error_if_nonfinite and not bool(pg.isfinite(total)):
        raise pg.errors.GradientError(
            f"the norm of order {norm_type} of the gradients is {total.item()}, so that they cannot be clipped by it; pass "
            "error_if_nonfinite=False to go on"
        )
    return total


def clip_grad_norm_(
    parameters: pg.Tensor | Iterable[pg.Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> pg.Tensor:
    """Scale all gradients, in place, so that their norm together is at most ``max_norm`` (Pascanu et al., 2013).

    Args:
        parameters: those without a gradient are left out.
        max_norm: the bound.
        norm_type, error_if_nonfinite: see :func:`get_total_norm`.
        foreach: taken for the sake of programs written for PyTorch; it changes nothing.

    Returns:
        The norm before, as a Tensor: nothing waits for its value.

    >>> import polygrad as pg
    >>> w = pg.asarray([3.0, 4.0], requires_grad=True)
    >>> pg.sum(w * w / 2).backward()
    >>> pg.nn.utils.clip_grad_norm_([w], 1.0), w.grad.shape
    (tensor(5., dtype=float64), (2,))
    """
    grads = _gradients(parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    with pg.no_grad():
        scale = pg.minimum(max_norm / (total + 1e-6), 1.0)
        for g in grads:
            g *= pg.astype(scale, g.dtype).to_device(g.device)
    return total


def clip_grad_value_(
    parameters: pg.Tensor | Iterable[pg.Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clip every entry of all gradients, in place, to ``-clip_value`` and ``clip_value``.

    >>> import polygrad as pg
    >>> w = pg.asarray([3.0, 0.5], requires_grad=True)
    >>> pg.sum(w * w / 2).backward()
    >>> pg.nn.utils.clip_grad_value_([w], 1.0)
    >>> w.grad.tolist()
    [1.0, 0.5]
    """
    with pg.no_grad():
        for g in _gradients(parameters):
            g[...] = pg.clip(g, -clip_value, clip_value)
