"""Adam (Kingma and Ba, 2015), AMSGrad (Reddi et al., 2018) and AdamW (Loshchilov and Hutter, 2019)."""

from __future__ import annotations

import math
from typing import Any

import polygrad as pg

from .optimizer import Group, Optimizer, Parameters, State, at_least_zero, fractions

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Steps of about ``lr`` along the running mean of the gradient over the root of its running square.

    Args:
        params: see :class:`Optimizer`; complex ones are treated as pairs of real ones, by every optimiser here
            whose step is not linear in the gradient.
        lr: the step size.
        betas: how much of the running mean and of the running square stays at each step.
        eps: added to the root.
        weight_decay: added to the gradient, times the parameter.
        amsgrad: divide by the largest running square so far.
        maximize: go up instead of down.
        decoupled_weight_decay: shrink the parameter itself, aside from the gradient, as :class:`AdamW` does.

    Raises:
        ValueError: for negative options, or betas not in 0 <= beta < 1.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.Adam([w], lr=0.25, eps=0.0)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w
    Parameter([0.75], dtype=float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def check(self, group: Group) -> None:
        at_least_zero(type(self).__qualname__, group, "lr", "eps", "weight_decay")
        fractions(type(self).__qualname__, group)

    def start(self, g: pg.Tensor, group: Group) -> State:
        state = {"step": 0, "exp_avg": pg.zeros_like(g), "exp_avg_sq": pg.zeros_like(g)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = pg.zeros_like(g)
        return state

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        state["step"] += 1
        (beta1, beta2), lr, step = group["betas"], group["lr"], state["step"]
        decay = lr * group["weight_decay"] if group["decoupled_weight_decay"] else group["weight_decay"]
        # The root of the second correction, moved over to the scalars, saves an op on the array.
        root = math.sqrt(1 - beta2**step)
        return decay, beta1, 1 - beta1, beta2, 1 - beta2, lr * root / (1 - beta1**step), group["eps"] * root

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        decay, beta1, fresh1, beta2, fresh2, size, eps = numbers
        if group["weight_decay"]:
            if group["decoupled_weight_decay"]:
                p *= 1 - decay
            else:
                g = g + p * decay
        mean = state["exp_avg"] = state["exp_avg"] * beta1 + g * fresh1
        square = state["exp_avg_sq"] = state["exp_avg_sq"] * beta2 + (g * g) * fresh2
        if group["amsgrad"]:
            square = state["max_exp_avg_sq"] = pg.maximum(state["max_exp_avg_sq"], square)
        p -= mean / (pg.sqrt(square) + eps) * size


class AdamW(Adam):
    """Adam with decoupled weight decay: each step shrinks the parameter by ``1 - lr * weight_decay``,
    whatever its gradient. Arguments as for :class:`Adam`, but ``weight_decay`` is 0.01 unless told.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.AdamW([w], lr=0.5, weight_decay=1.0)
    >>> w.grad = pg.zeros(1)
    >>> optimizer.step()
    >>> w
    Parameter([0.5], dtype=float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
