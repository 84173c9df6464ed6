"""Rprop: only the signs of the gradients count."""

from __future__ import annotations

from typing import Any

import polygrad as pg

from .optimizer import Group, Optimizer, Parameters, State, at_least_zero

__all__ = ["Rprop"]


class Rprop(Optimizer):
    """Each element has a step size of its own, which grows while its gradient keeps its sign and shrinks when it
    changes (Riedmiller and Braun, 1993; the variant that does not step back, Igel and Hüsken's iRprop-, 2000). For
    whole-batch gradients, not for noisy ones.

    Args:
        params: see :class:`Optimizer`.
        lr: the first step size.
        etas: the factors by which step sizes shrink and grow.
        step_sizes: the smallest and the largest step size.
        maximize: go up instead of down.

    Raises:
        ValueError: for options that make no sense.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([1.0])
    >>> optimizer = pg.optim.Rprop([w], lr=0.25)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w
    Parameter([0.75], dtype=float64, requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def check(self, group: Group) -> None:
        at_least_zero("Rprop", group, "lr")
        if not 0 < group["etas"][0] < 1 < group["etas"][1]:
            raise ValueError(f"Rprop: etas must be in 0 < etas[0] < 1 < etas[1], got {group['etas']}")
        if not 0 <= group["step_sizes"][0] <= group["step_sizes"][1]:
            raise ValueError(f"Rprop: step_sizes must be the smallest and the largest, got {group['step_sizes']}")

    def start(self, g: pg.Tensor, group: Group) -> State:
        return {"step": 0, "prev": pg.zeros_like(g), "step_size": pg.full_like(g, group["lr"])}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        state["step"] += 1
        return (*group["etas"], *group["step_sizes"])

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        shrink, grow, smallest, largest = numbers
        agreement = g * state["prev"]
        one = pg.ones_like(g)
        factor = pg.where(agreement > 0, one * grow, pg.where(agreement < 0, one * shrink, one))
        size = state["step_size"] = pg.clip(state["step_size"] * factor, smallest, largest)
        g = state["prev"] = pg.where(agreement < 0, pg.zeros_like(g), g)
        p -= pg.sign(g) * size
