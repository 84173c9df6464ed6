"""Relatives of Adam: Adamax, NAdam, RAdam, Lion."""

from __future__ import annotations

import math
from typing import Any

import polygrad as pg

from .optimizer import Group, Optimizer, Parameters, State, at_least_zero, decayed, fractions

__all__ = ["Adamax", "Lion", "NAdam", "RAdam"]

Betas = tuple[float, float]


class _Moments(Optimizer):
    """What these share: the running mean and the running square, weight decay of both kinds."""

    def check(self, group: Group) -> None:
        at_least_zero(type(self).__qualname__, group, "lr", "eps", "weight_decay")
        fractions(type(self).__qualname__, group)

    def start(self, g: pg.Tensor, group: Group) -> State:
        return {"step": 0, "exp_avg": pg.zeros_like(g), "exp_avg_sq": pg.zeros_like(g)}

    def shrink(self, p: pg.Tensor, g: pg.Tensor, group: Group, decay: float) -> pg.Tensor:
        """The gradient after weight decay; a decoupled one changes the parameter itself."""
        if group["weight_decay"] and group["decoupled_weight_decay"]:
            p *= 1 - decay
            return g
        return decayed(p, g, group, decay)

    def decay(self, group: Group) -> float:
        """What :meth:`shrink` takes."""
        weight_decay: float = group["weight_decay"]
        return group["lr"] * weight_decay if group["decoupled_weight_decay"] else weight_decay


class Adamax(Optimizer):
    """Adam with the largest gradient, decaying, in place of the running root mean square (Kingma and Ba, 2015,
    section 7.1).

    Args:
        params: see :class:`Optimizer`.
        lr: the step size.
        betas: how much of the running mean and of the largest gradient stays at each step.
        eps: added to each gradient's size.
        weight_decay: added to the gradient, times the parameter.
        maximize: go up instead of down.

    Raises:
        ValueError: for negative options, or betas not in ``0 <= beta < 1``.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.Adamax([w], lr=0.25, eps=0.0)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w
    Parameter([0.75], dtype=float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    def check(self, group: Group) -> None:
        at_least_zero("Adamax", group, "lr", "eps", "weight_decay")
        fractions("Adamax", group)

    def start(self, g: pg.Tensor, group: Group) -> State:
        return {"step": 0, "exp_avg": pg.zeros_like(g), "exp_inf": pg.zeros_like(g)}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        state["step"] += 1
        beta1, beta2 = group["betas"]
        size = group["lr"] / (1 - beta1 ** state["step"])
        return size, beta1, 1 - beta1, beta2, group["eps"], group["weight_decay"]

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        size, beta1, fresh, beta2, eps, weight_decay = numbers
        g = decayed(p, g, group, weight_decay)
        mean = state["exp_avg"] = state["exp_avg"] * beta1 + g * fresh
        largest = state["exp_inf"] = pg.maximum(state["exp_inf"] * beta2, pg.abs(g) + eps)
        p -= mean / largest * size


class NAdam(_Moments):
    """Adam with Nesterov's momentum (Dozat, 2016).

    Args:
        params: see :class:`Optimizer`.
        lr: the step size.
        betas: how much of the running mean and of the running square stays at each step.
        eps: added to the root.
        weight_decay: added to the gradient, times the parameter.
        momentum_decay: how fast the momentum grows to ``betas[0]``.
        decoupled_weight_decay: shrink the parameter itself instead, as AdamW does.
        maximize: go up instead of down.

    Raises:
        ValueError: for negative options, or betas not in ``0 <= beta < 1``.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.NAdam([w], lr=0.1)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> bool(w[0] < 1)
    True
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        options |= {"momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**options, "maximize": maximize})

    def check(self, group: Group) -> None:
        super().check(group)
        at_least_zero("NAdam", group, "momentum_decay")

    def start(self, g: pg.Tensor, group: Group) -> State:
        return {**super().start(g, group), "mu_product": 1.0}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        state["step"] += 1
        (beta1, beta2), lr, step = group["betas"], group["lr"], state["step"]
        momentum = beta1 * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
        following = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * group["momentum_decay"]))
        state["mu_product"] *= momentum
        fresh = lr * (1 - momentum) / (1 - state["mu_product"])
        kept = lr * following / (1 - state["mu_product"] * following)
        correction = 1 / (1 - beta2**step)
        return self.decay(group), beta1, 1 - beta1, beta2, 1 - beta2, correction, group["eps"], fresh, kept

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        decay, beta1, fresh1, beta2, fresh2, correction, eps, fresh, kept = numbers
        g = self.shrink(p, g, group, decay)
        mean = state["exp_avg"] = state["exp_avg"] * beta1 + g * fresh1
        square = state["exp_avg_sq"] = state["exp_avg_sq"] * beta2 + (g * g) * fresh2
        p -= (g * fresh + mean * kept) / (pg.sqrt(square * correction) + eps)


class RAdam(_Moments):
    """Adam whose first steps are plain momentum, until the running square has seen enough (Liu et al., 2020).

    Args:
        params: see :class:`Optimizer`.
        lr: the step size.
        betas: how much of the running mean and of the running square stays at each step.
        eps: added to the root.
        weight_decay: added to the gradient, times the parameter.
        decoupled_weight_decay: shrink the parameter itself instead, as AdamW does.
        maximize: go up instead of down.

    Raises:
        ValueError: for negative options, or betas not in ``0 <= beta < 1``.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.RAdam([w], lr=0.25)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w
    Parameter([0.5], dtype=float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize})

    # The rectified step is lr * rect * sqrt(1 - beta2^k) * mean / (sqrt(square) + eps), the plain one lr * mean: with
    # two shares of which one is 0, both are one expression, and a compiled step needs no other graph for the first.
    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        state["step"] += 1
        (beta1, beta2), step = group["betas"], state["step"]
        size, correction = group["lr"] / (1 - beta1**step), 1 - beta2**step
        limit = 2 / (1 - beta2) - 1
        length = limit - 2 * step * beta2**step / correction
        rectified, plain = 0.0, size
        if length > 5:
            variance = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            rectified, plain = size * math.sqrt(correction * variance), 0.0
        return self.decay(group), beta1, 1 - beta1, beta2, 1 - beta2, group["eps"], rectified, plain

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        decay, beta1, fresh1, beta2, fresh2, eps, rectified, plain = numbers
        g = self.shrink(p, g, group, decay)
        mean = state["exp_avg"] = state["exp_avg"] * beta1 + g * fresh1
        square = state["exp_avg_sq"] = state["exp_avg_sq"] * beta2 + (g * g) * fresh2
        p -= mean * (rectified / (pg.sqrt(square) + eps) + plain)


class Lion(Optimizer):
    """Steps of exactly ``lr``, by the sign of an average of gradient and momentum (Chen et al., 2023, "Symbolic
    discovery of optimization algorithms"). It wants a rate 3 to 10 times smaller than Adam's, and a weight decay as
    much larger.

    Args:
        params: see :class:`Optimizer`.
        lr: the step size.
        betas: the share of the momentum in the step, and how much of it stays afterwards.
        weight_decay: each step shrinks the parameter by ``1 - lr * weight_decay``.
        maximize: go up instead of down.

    Raises:
        ValueError: for negative options, or betas not in ``0 <= beta < 1``.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0, -3.0, 0.0])
    >>> optimizer = pg.optim.Lion([w], lr=0.25)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w
    Parameter([ 0.75, -2.75,  0.  ], dtype=float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-4,
        betas: Betas = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def check(self, group: Group) -> None:
        at_least_zero("Lion", group, "lr", "weight_decay")
        fractions("Lion", group)

    def start(self, g: pg.Tensor, group: Group) -> State:
        return {"exp_avg": pg.zeros_like(g)}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return group["lr"], group["lr"] * group["weight_decay"], beta1, 1 - beta1, beta2, 1 - beta2

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        lr, decay, beta1, fresh1, beta2, fresh2 = numbers
        if group["weight_decay"]:
            p *= 1 - decay
        mean = state["exp_avg"]
        state["exp_avg"] = mean * beta2 + g * fresh2
        p -= pg.sign(mean * beta1 + g * fresh1) * lr
