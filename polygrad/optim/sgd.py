"""Stochastic gradient descent, with momentum as PyTorch has it."""

from __future__ import annotations

from typing import Any

import polygrad as pg

from .optimizer import Group, Optimizer, Parameters, State, at_least_zero, decayed

__all__ = ["SGD"]


class SGD(Optimizer):
    """``p -= lr * g``, or with momentum ``b = momentum * b + (1 - dampening) * g; p -= lr * b``.

    Args:
        params: see :class:`Optimizer`.
        lr: the step size.
        momentum: how much of the last step's direction stays.
        dampening: how much of the gradient does not enter the momentum (from the second step on).
        weight_decay: added to the gradient, times the parameter.
        nesterov: look ahead: the step is along ``g + momentum * b``.
        maximize: go up instead of down.

    Raises:
        ValueError: for negative options, or Nesterov without momentum or with dampening.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.SGD([w], lr=0.5, momentum=0.9)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w
    Parameter([0.], dtype=float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, group: Group) -> None:
        at_least_zero("SGD", group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("SGD: nesterov needs momentum > 0 and dampening 0")

    parts = False  # a step is linear in the gradient, so complex parameters need no splitting

    def start(self, g: pg.Tensor, group: Group) -> State:
        return {}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        first = "momentum_buffer" not in state
        return (
            group["lr"],
            group["momentum"],
            1.0 if first else 1 - group["dampening"],
            group["weight_decay"],
        )

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        lr, momentum, fresh, weight_decay = numbers
        g = decayed(p, g, group, weight_decay)
        if group["momentum"]:
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = pg.asarray(g, copy=True)
            else:
                buffer = buffer * momentum + (g * fresh if group["dampening"] else g)
            state["momentum_buffer"] = buffer
            g = g + buffer * momentum if group["nesterov"] else buffer
        p -= g * lr
