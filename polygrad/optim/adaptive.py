"""Steps divided by the size of past gradients: Adagrad, Adadelta, RMSprop."""

from __future__ import annotations

from typing import Any

import polygrad as pg

from .optimizer import Group, Optimizer, Parameters, State, at_least_zero, decayed, fractions

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class Adagrad(Optimizer):
    """Steps of ``lr / sqrt(sum of all squared gradients)`` (Duchi, Hazan and Singer, 2011).

    Args:
        params: see :class:`Optimizer`.
        lr: the step size.
        lr_decay: the k-th step's size is divided by ``1 + (k - 1) * lr_decay``.
        weight_decay: added to the gradient, times the parameter.
        initial_accumulator_value: where the sum begins.
        eps: added to the root.
        maximize: go up instead of down.

    Raises:
        ValueError: for negative options.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.Adagrad([w], lr=0.25, eps=0.0)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w
    Parameter([0.75], dtype=float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay}
        options |= {"initial_accumulator_value": initial_accumulator_value, "eps": eps, "maximize": maximize}
        super().__init__(params, options)

    def check(self, group: Group) -> None:
        at_least_zero("Adagrad", group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def start(self, g: pg.Tensor, group: Group) -> State:
        return {"step": 0, "sum": pg.full_like(g, group["initial_accumulator_value"])}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        state["step"] += 1
        size = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        return size, group["weight_decay"], group["eps"]

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        size, weight_decay, eps = numbers
        g = decayed(p, g, group, weight_decay)
        total = state["sum"] = state["sum"] + g * g
        p -= g / (pg.sqrt(total) + eps) * size


class Adadelta(Optimizer):
    """Steps whose units are the parameter's: running root mean square of past steps over that of past gradients
    (Zeiler, 2012).

    Args:
        params: see :class:`Optimizer`.
        lr: what the step is multiplied by.
        rho: how much of the running means stays at each step.
        eps: added under the roots.
        weight_decay: added to the gradient, times the parameter.
        maximize: go up instead of down.

    Raises:
        ValueError: for negative options, or ``rho`` not in 0 to 1.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.Adadelta([w])
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> bool(w[0] < 1)
    True
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def check(self, group: Group) -> None:
        at_least_zero("Adadelta", group, "lr", "eps", "weight_decay")
        if not 0 <= group["rho"] <= 1:
            raise ValueError(f"Adadelta: rho must be in 0 <= rho <= 1, got {group['rho']}")

    def start(self, g: pg.Tensor, group: Group) -> State:
        return {"step": 0, "square_avg": pg.zeros_like(g), "acc_delta": pg.zeros_like(g)}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        state["step"] += 1
        return group["lr"], group["rho"], 1 - group["rho"], group["eps"], group["weight_decay"]

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        lr, rho, fresh, eps, weight_decay = numbers
        g = decayed(p, g, group, weight_decay)
        square = state["square_avg"] = state["square_avg"] * rho + (g * g) * fresh
        past = state["acc_delta"]
        delta = pg.sqrt(past + eps) / pg.sqrt(square + eps) * g
        state["acc_delta"] = past * rho + (delta * delta) * fresh
        p -= delta * lr


class RMSprop(Optimizer):
    """Steps of ``lr`` over the running root mean square of the gradient (Hinton's lecture 6e, 2012; centered: Graves,
    2013).

    Args:
        params: see :class:`Optimizer`.
        lr: the step size.
        alpha: how much of the running means stays at each step.
        eps: added to the root.
        weight_decay: added to the gradient, times the parameter.
        momentum: how much of the last step's direction stays.
        centered: divide by the running standard deviation instead.
        maximize: go up instead of down.

    Raises:
        ValueError: for negative options, or ``alpha`` not in ``0 <= alpha < 1``.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.RMSprop([w], lr=0.25, alpha=0.0, eps=0.0)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w
    Parameter([0.75], dtype=float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "momentum": momentum, "centered": centered, "maximize": maximize})

    def check(self, group: Group) -> None:
        at_least_zero("RMSprop", group, "lr", "eps", "weight_decay", "momentum")
        fractions("RMSprop", group, "alpha")

    def start(self, g: pg.Tensor, group: Group) -> State:
        state = {"step": 0, "square_avg": pg.zeros_like(g)}
        if group["centered"]:
            state["grad_avg"] = pg.zeros_like(g)
        if group["momentum"]:
            state["momentum_buffer"] = pg.zeros_like(g)
        return state

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        state["step"] += 1
        alpha = group["alpha"]
        return group["lr"], alpha, 1 - alpha, group["eps"], group["weight_decay"], group["momentum"]

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        lr, alpha, fresh, eps, weight_decay, momentum = numbers
        g = decayed(p, g, group, weight_decay)
        spread = state["square_avg"] = state["square_avg"] * alpha + (g * g) * fresh
        if group["centered"]:
            mean = state["grad_avg"] = state["grad_avg"] * alpha + g * fresh
            spread = spread - mean * mean
        step = g / (pg.sqrt(spread) + eps)
        if group["momentum"]:
            buffer = state.get("momentum_buffer")  # the momentum may have been switched on later
            step = state["momentum_buffer"] = step if buffer is None else buffer * momentum + step
        p -= step * lr
