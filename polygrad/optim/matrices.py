"""Optimisers that see a parameter as a matrix: Muon, Adafactor."""

from __future__ import annotations

import math
from typing import Any

import polygrad as pg

from .optimizer import Group, Optimizer, Parameters, State, at_least_zero, fractions

__all__ = ["Adafactor", "Muon"]


class Muon(Optimizer):
    """Momentum whose step is made orthogonal: about the nearest matrix with all singular values one (Jordan et al.,
    2024, "Muon: an optimizer for hidden layers in neural networks"). For the weight matrices of hidden layers; give
    embeddings, heads, biases and gains to another optimiser.

    Args:
        params: see :class:`Optimizer`; matrices only.
        lr: the step size.
        weight_decay: each step shrinks the parameter by ``1 - lr * weight_decay``.
        momentum: how much of the running mean stays at each step.
        nesterov: look ahead: the step is along ``(1 - momentum) * g + momentum * mean``.
        ns_coefficients: of the quintic Newton-Schulz iteration ``a x + b (x x') x + c (x x')^2 x``.
        eps: the least norm that the direction is divided by.
        ns_steps: how many iterations.
        adjust_lr_fn: ``"original"`` (or None) multiplies the rate by ``sqrt(max(1, rows / columns))``;
            ``"match_rms_adamw"`` by ``0.2 * sqrt(max(rows, columns))``, so that AdamW's rates fit (Liu et al., 2025).

    PyTorch's rounds the iteration to bfloat16; here it is done in the parameter's dtype.

    Raises:
        ValueError: for parameters that are no matrices, and options that make no sense.
        DTypeError: for complex parameters.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter(pg.eye(2) * 3)
    >>> optimizer = pg.optim.Muon([w], lr=0.1, weight_decay=0.0)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> bool(pg.all(pg.abs(w - pg.eye(2) * 2.9) < 0.05))
    True
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        options |= {"ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn}
        super().__init__(params, options)

    def check(self, group: Group) -> None:
        at_least_zero("Muon", group, "lr", "weight_decay", "eps", "ns_steps")
        fractions("Muon", group, "momentum")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError(f"Muon: ns_coefficients must be three numbers, got {group['ns_coefficients']}")
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ValueError(
                f"Muon: adjust_lr_fn must be 'original', 'match_rms_adamw' or None, got {group['adjust_lr_fn']!r}"
            )
        for p in group["params"]:
            _real("Muon", p)
            if p.ndim != 2:
                raise ValueError(f"Muon: takes matrices; give the parameter of shape {p.shape} to another optimiser")

    def start(self, g: pg.Tensor, group: Group) -> State:
        return {"momentum_buffer": pg.zeros_like(g)}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        rows, columns = state["momentum_buffer"].shape
        wide = group["adjust_lr_fn"] == "match_rms_adamw"
        ratio = 0.2 * math.sqrt(max(rows, columns)) if wide else math.sqrt(max(1.0, rows / max(columns, 1)))
        momentum = group["momentum"]
        return group["lr"] * ratio, group["lr"] * group["weight_decay"], momentum, 1 - momentum, group["eps"]

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        size, decay, momentum, fresh, eps = numbers
        mean = state["momentum_buffer"] = state["momentum_buffer"] * momentum + g * fresh
        direction = g * fresh + mean * momentum if group["nesterov"] else mean
        step = orthogonalized(direction, group["ns_coefficients"], group["ns_steps"], eps)
        if group["weight_decay"]:
            p *= 1 - decay
        p -= step * size


def orthogonalized(x: pg.Tensor, coefficients: tuple[float, float, float], steps: int, eps: Any) -> pg.Tensor:
    """A matrix with its singular values drawn to about one, by the quintic Newton-Schulz iteration.

    Its coefficients are chosen for the slope at zero, so small singular values grow fast; they end between about 0.7
    and 1.2, which serves as well as exactly one.
    """
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = pg.matrix_transpose(x)
    x = x / pg.maximum(pg.sqrt(pg.sum(x * x)), pg.asarray(eps, dtype=x.dtype, device=x.device))
    for _ in range(steps):
        square = x @ pg.matrix_transpose(x)
        x = x * a + (square * b + (square @ square) * c) @ x
    return pg.matrix_transpose(x) if tall else x


class Adafactor(Optimizer):
    """Adam's running square kept as the outer product of its row and column means, so that a matrix's state is two
    vectors; steps are relative to the parameter's size (Shazeer and Stern, 2018).

    Args:
        params: see :class:`Optimizer`; those of two axes and more are factored over the last two.
        lr: the largest relative step; the k-th is at most ``1 / sqrt(k)`` as well.
        beta2_decay: the k-th gradient's share in the running square is ``k ** beta2_decay``.
        eps: the least root mean square that gradients are divided by (None: the dtype's eps), and the least size of
            a parameter that steps are relative to.
        d: steps of a larger root mean square than this are cut down to it.
        weight_decay: each step shrinks the parameter by ``1 - lr * weight_decay``.
        maximize: go up instead of down.

    Raises:
        ValueError: for options that make no sense.
        DTypeError: for complex parameters.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter(pg.ones((3, 4)))
    >>> optimizer = pg.optim.Adafactor([w], lr=0.25)
    >>> pg.sum(w * w).backward()
    >>> optimizer.step()
    >>> w[0, 0]
    tensor(0.75, dtype=float64, grad_fn=<getitem>)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d}
        super().__init__(params, {**options, "weight_decay": weight_decay, "maximize": maximize})

    def check(self, group: Group) -> None:
        at_least_zero("Adafactor", group, "lr", "weight_decay")
        if group["beta2_decay"] > 0:
            raise ValueError(f"Adafactor: beta2_decay must be <= 0, got {group['beta2_decay']}")
        if any(e is not None and e < 0 for e in group["eps"]) or group["eps"][1] is None:
            raise ValueError(f"Adafactor: eps must be >= 0, or None for the first, got {group['eps']}")
        if group["d"] < 1:
            raise ValueError(f"Adafactor: d must be >= 1, got {group['d']}")
        for p in group["params"]:
            _real("Adafactor", p)

    def state_shape(self, p: pg.Tensor, key: str) -> tuple[int, ...]:
        if key == "row_var":
            return (*p.shape[:-1], 1)
        return (*p.shape[:-2], 1, p.shape[-1]) if key == "col_var" else p.shape

    def start(self, g: pg.Tensor, group: Group) -> State:
        if g.ndim < 2:
            return {"step": 0, "variance": pg.zeros_like(g)}
        keys = ("row_var", "col_var")
        made = {k: pg.zeros(self.state_shape(g, k), dtype=g.dtype, device=g.device) for k in keys}
        return {"step": 0, **made}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        state["step"] += 1
        fresh = state["step"] ** group["beta2_decay"]
        eps = group["eps"][0]
        if eps is None:
            eps = float(pg.finfo(next(v for v in state.values() if isinstance(v, pg.Tensor)).dtype).eps)
        rho = min(group["lr"], 1 / math.sqrt(state["step"]))
        return rho, group["lr"] * group["weight_decay"], 1 - fresh, fresh, eps, eps * eps, group["eps"][1], group["d"]

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        rho, decay, kept, fresh, eps, eps_squared, least, d = numbers

        def number(x: Any) -> pg.Tensor:
            return pg.asarray(x, dtype=g.dtype, device=g.device)

        size = pg.maximum(_rms(p), number(least)) * rho
        if group["weight_decay"]:
            p *= 1 - decay
        if g.ndim < 2:
            variance = state["variance"] = state["variance"] * kept + (g * g) * fresh
        else:
            rows = state["row_var"] * kept + pg.mean(g * g, axis=-1, keepdims=True) * fresh
            columns = state["col_var"] * kept + pg.mean(g * g, axis=-2, keepdims=True) * fresh
            state["row_var"], state["col_var"] = rows, columns
            variance = (rows @ columns) / pg.maximum(pg.mean(rows, axis=-2, keepdims=True), number(eps))
        step = g / pg.sqrt(pg.maximum(variance, number(eps_squared)))
        p -= step * (size / pg.maximum(_rms(step) / d, number(1.0)))


def _rms(x: pg.Tensor) -> pg.Tensor:
    return pg.sqrt(pg.mean(x * x))


def _real(kind: str, p: pg.Tensor) -> None:
    if p.dtype.kind == "c":
        raise pg.errors.DTypeError(f"{kind}: takes real parameters, not one of {p.dtype}")
