"""L-BFGS: a quasi-Newton method that remembers the last few steps (Nocedal, 1980; Liu and Nocedal, 1989)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import polygrad as pg

from .line_search import strong_wolfe
from .optimizer import Group, Optimizer, Parameters, State, at_least_zero

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Newton's method with a Hessian guessed from the last steps; for whole-batch losses.

    ``step(closure)`` takes up to ``max_iter`` iterations, and calls the closure (which zeroes the gradients, computes
    the loss, calls backward and returns the loss) at least as many times.

    Args:
        params: see :class:`Optimizer`; one group only, all on one device.
        lr: the step length, or where the line search begins.
        max_iter: iterations in one step.
        max_eval: evaluations in one step; ``max_iter * 5 // 4`` unless told.
        tolerance_grad: stop where no gradient is larger.
        tolerance_change: stop where the loss and the parameters change less.
        history_size: how many steps are remembered, each two vectors as long as all parameters.
        line_search_fn: ``"strong_wolfe"``, or None for steps of fixed length.

    Raises:
        ValueError: for options that make no sense, or several groups.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter([-1.2, 1.0])
    >>> optimizer = pg.optim.LBFGS([w], max_iter=100, line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> bool(pg.all(pg.abs(w - 1) < 1e-3))
    True
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "max_iter": max_iter}
        options["max_eval"] = max_iter * 5 // 4 if max_eval is None else max_eval
        options |= {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        super().__init__(params, {**options, "history_size": history_size, "line_search_fn": line_search_fn})

    def check(self, group: Group) -> None:
        at_least_zero("LBFGS", group, "lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change")
        if group["history_size"] < 1:
            raise ValueError(f"LBFGS: history_size must be at least 1, got {group['history_size']}")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn must be 'strong_wolfe' or None, got {group['line_search_fn']!r}")
        if self.param_groups:
            raise ValueError("LBFGS: takes one group of parameters; it has no options for each")

    # -- parameters as one real vector ---------------------------------------------------------------

    def _gathered(self) -> pg.Tensor:
        grads = [pg.zeros_like(p) if p.grad is None else p.grad for p in self._params()]
        flat = [pg.reshape(part, (-1,)) for g in grads for part in _parts(g)]
        return pg.concat(flat)

    def _moved(self, start: list[pg.Tensor], length: float, direction: pg.Tensor) -> None:
        """Put the parameters at ``start + length * direction``."""
        at = 0
        for p, x in zip(self._params(), start, strict=True):
            pieces = []
            for _ in _parts(p):
                pieces.append(pg.reshape(direction[at : at + p.size], p.shape) * length)
                at += p.size
            p[...] = x + (pieces[0] if len(pieces) == 1 else pieces[0] + pieces[1] * 1j)

    # -- a step ------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` iterations; returns the loss before them.

        Args:
            closure: zeroes the gradients, computes the loss, calls backward, and returns the loss.
        """
        if closure is None:
            raise TypeError("LBFGS.step: needs a closure that computes the loss anew, calls backward and returns it")
        self.steps += 1
        with pg.no_grad():
            return self._iterate(closure)

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group, params = self.param_groups[0], self._params()

        def evaluated() -> tuple[Any, float, pg.Tensor]:
            with pg.enable_grad():
                loss = closure()
            g = self._gathered()
            pg.compute(g, *params)  # lazy ones would be computed from the first step on each time
            return loss, float(loss.item() if isinstance(loss, pg.Tensor) else loss), g

        first, loss, g = evaluated()
        state = self.state.setdefault(
            params[0], {"func_evals": 0, "n_iter": 0, "old_dirs": [], "old_stps": [], "ro": []}
        )
        state["func_evals"] += 1
        evals = 1
        if _largest(g) <= group["tolerance_grad"]:
            return first
        for n in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = self._direction(state, g, group)
            pg.compute(d)
            state["prev_flat_grad"], before = g, loss
            state["prev_loss"] = loss
            length = group["lr"]
            if state["n_iter"] == 1:
                length *= min(1.0, 1.0 / _number(pg.sum(pg.abs(g))))
            slope = _number(pg.sum(g * d))
            state["d"], state["t"] = d, length
            if not slope <= -group["tolerance_change"]:
                break
            start, spent = [pg.asarray(p, copy=True) for p in params], 0
            if group["line_search_fn"] is not None:

                def along(t: float, start: list[pg.Tensor] = start, d: pg.Tensor = d) -> tuple[float, pg.Tensor, float]:
                    self._moved(start, t, d)
                    _, value, gradient = evaluated()
                    return value, gradient, _number(pg.sum(gradient * d))

                limits = (group["tolerance_change"], group["max_eval"] - evals)
                loss, g, length, spent = strong_wolfe(along, length, _largest(d), (loss, g, slope), *limits)
                self._moved(start, length, d)
            else:
                self._moved(start, length, d)
                if n < group["max_iter"]:  # the loss after the last step would be of no use
                    _, loss, g = evaluated()
                    spent = 1
            evals += spent
            state["func_evals"] += spent
            state["t"] = length
            if n == group["max_iter"] or evals >= group["max_eval"] or _largest(g) <= group["tolerance_grad"]:
                break
            if _largest(d) * length <= group["tolerance_change"] or abs(loss - before) < group["tolerance_change"]:
                break
        return first

    def _direction(self, state: State, g: pg.Tensor, group: Group) -> pg.Tensor:
        """The quasi-Newton direction by the two-loop recursion (Nocedal and Wright, algorithm 7.4)."""
        if state["n_iter"] == 1:
            state["H_diag"] = 1.0
            return -g
        changes, steps, inverse = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
        ys = _number(pg.sum(y * s))
        if ys > 1e-10:
            for held, new in ((changes, y), (steps, s), (inverse, 1 / pg.sum(y * s))):
                held.append(new)
                del held[: -group["history_size"]]
            state["H_diag"] = ys / _number(pg.sum(y * y))
        q, shares = -g, []
        for y, s, rho in zip(reversed(changes), reversed(steps), reversed(inverse), strict=True):
            shares.append(pg.sum(s * q) * rho)
            q = q - y * shares[-1]
        r: pg.Tensor = q * state["H_diag"]
        for y, s, rho, share in zip(changes, steps, inverse, reversed(shares), strict=True):
            r = r + s * (share - pg.sum(y * r) * rho)
        return r

    counts = ("func_evals", "n_iter", "t", "H_diag", "prev_loss")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        # PyTorch keeps its scratch space ("al") there too.
        entries = {
            n: {k: v for k, v in entry.items() if k != "al"} if isinstance(entry, Mapping) else entry
            for n, entry in dict(state.get("state", {})).items()
        }
        super().load_state_dict({**state, "state": entries} if "state" in state else state)

    def _misfits(self, n: Any, p: pg.Tensor, entry: Mapping[str, Any]) -> list[str]:
        length = sum(q.size * len(_parts(q)) for q in self._params())
        vectors = [(key, v) for key, held in entry.items() for v in (held if isinstance(held, list) else [held])]
        wanted = {key: () if key in ("ro", *self.counts) else (length,) for key in entry}
        return [
            f"parameter {n}: {key} has shape {tuple(v.shape)}, here it is {wanted[key]}"
            for key, v in vectors
            if hasattr(v, "shape") and tuple(v.shape) != wanted[key]
        ]


def _parts(x: pg.Tensor) -> list[pg.Tensor]:
    return [pg.real(x), pg.imag(x)] if x.dtype.kind == "c" else [x]


def _number(x: pg.Tensor) -> float:
    value = float(x)
    return value if math.isfinite(value) else math.nan


def _largest(x: pg.Tensor) -> float:
    return float(pg.max(pg.abs(x))) if x.size else 0.0
