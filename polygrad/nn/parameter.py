"""Parameter: a tensor that a module owns and an optimiser changes."""

from __future__ import annotations

from typing import Any

import polygrad as pg

__all__ = ["Parameter"]


class Parameter(pg.Tensor):
    """A leaf tensor that a :class:`~polygrad.nn.Module` finds when it is set as an attribute.

    Args:
        data: the first values: a Tensor, an array of any library, numbers. They are copied: a parameter is
            changed in place, so it owns its memory.
        requires_grad: whether it collects gradients; False for frozen parameters.

    Raises:
        DTypeError: if it shall require grad but is not of a floating dtype.

    >>> import polygrad as pg
    >>> pg.nn.Parameter([1.0, 2.0])
    Parameter([1., 2.], dtype=float64, requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        if isinstance(data, pg.Tensor) and data.requires_grad:
            pg.asarray(data, requires_grad=True, copy=True)  # raises inside a transform that differentiates it
        with pg.no_grad():
            owned = pg.asarray(data, copy=True)
        super().__init__(owned, requires_grad=requires_grad)

    def move_(self, device: Any = None, dtype: Any = None) -> Parameter:
        """Put this very parameter, its gradient and its hooks on another device or in another dtype.

        Whoever holds the parameter (an optimiser, a module tied to it) holds the moved one; returns itself.
        """
        with pg.no_grad():
            made = pg.asarray(self, dtype=dtype, device=device, copy=True)
            grad = None if self.grad is None else pg.asarray(self.grad, dtype=dtype, device=device)
        leaf = self._node
        self._value, self._device, self._saved, self._node = made._value, made._device, made._saved, None
        if self._extra is not None:  # views follow their base; memory borrowed from the user stays behind
            self._extra.version += 1
            self._extra.borrowed = None
        if leaf is not None:
            self.requires_grad_()
            self._node.extra = leaf.extra
            self.grad = grad
        return self

    def __repr__(self) -> str:
        return "Parameter" + super().__repr__().removeprefix("tensor")
