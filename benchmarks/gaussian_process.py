"""A Gaussian process: the log marginal likelihood of 200 points by three hyperparameters, through a Cholesky factor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import polygrad as pg

from .harness import Run, Workload
from .workloads import contestants


def _triangular(xp: Any) -> Callable[[Any, Any], Any]:
    """The library's solution of a lower triangular system."""
    name = xp.__name__
    if xp is pg:
        return lambda factor, b: pg.linalg.solve_triangular(factor, b)
    if name.startswith("jax"):
        import jax.scipy.linalg

        return lambda factor, b: jax.scipy.linalg.solve_triangular(factor, b, lower=True)
    if name.startswith("autograd"):
        import autograd.scipy.linalg

        return lambda factor, b: autograd.scipy.linalg.solve_triangular(factor, b, lower=True)
    return lambda factor, b: xp.linalg.solve_triangular(factor, b, upper=False)


def gaussian_process() -> Workload:
    """Squared exponential covariance with signal, length and noise as logarithms; float64."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 10, 200))
    y = (np.sin(x) + 0.1 * rng.standard_normal(200))[:, None]
    squares, eye = (x[:, None] - x[None, :]) ** 2, np.eye(200)
    parameters = [np.asarray(v) for v in (0.1, 0.2, -1.0)]

    def hand() -> tuple[Any, list[Any]]:
        signal, length, noise = parameters
        e = np.exp(squares * (-0.5 * np.exp(-2 * length)) + 2 * signal)
        n2 = np.exp(2 * noise)
        factor = np.linalg.cholesky(e + n2 * eye)
        inverse = np.linalg.inv(factor)
        a = inverse.T @ (inverse @ y)
        loss = 0.5 * (y * a).sum() + np.log(factor.diagonal()).sum()
        g = 0.5 * (inverse.T @ inverse - a @ a.T)
        ge = g * e
        return loss, [2 * ge.sum(), (ge * squares).sum() * np.exp(-2 * length), 2 * n2 * g.trace()]

    def loss(xp: Any, consts: list[Any]) -> Callable[[list[Any]], Any]:
        squares, eye, y = consts
        solve = _triangular(xp)
        diagonal = xp.diag if xp.__name__.startswith("autograd") else xp.linalg.diagonal

        def f(p: list[Any]) -> Any:
            signal, length, noise = p
            covariance = xp.exp(squares * (-0.5 * xp.exp(-2.0 * length)) + 2.0 * signal) + xp.exp(2.0 * noise) * eye
            factor = xp.linalg.cholesky(covariance)
            z = solve(factor, y)
            return 0.5 * xp.sum(z * z) + xp.sum(xp.log(diagonal(factor)))

        return f

    found: dict[str, Run] = contestants(hand, loss, parameters, [squares, eye, y], ("mygrad",))  # it has no cholesky
    bars = {"autograd": 0.5, "torch": 1.3, "jax jit": 1.3}
    return Workload("Gaussian process, 200 points", found, {}, 1e-6, bars)


PROCESSES: dict[str, Callable[[], Workload]] = {"gaussian-process": gaussian_process}
