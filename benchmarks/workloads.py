"""The eager workloads, written in each library as its users would write them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

import polygrad as pg

from .harness import STATIC, CompiledRun, Run, Workload

PEERS = [name for name in ("torch", "jax", "autograd", "mygrad") if importlib.util.find_spec(name)]


def _leaves(module: Any, arrays: list[Any]) -> list[Any]:
    if module is pg:
        return [pg.asarray(a, copy=True, requires_grad=True) for a in arrays]
    return [module.tensor(a, requires_grad=True) for a in arrays]


def _backward(loss_of: Callable[[list[Any]], Any], leaves: list[Any]) -> Run:
    """A loss and ``.backward()``, in PyTorch's habit, with the gradients set back before."""

    def run() -> tuple[Any, list[Any]]:
        for p in leaves:
            p.grad = None
        loss = loss_of(leaves)
        loss.backward()
        return loss, [p.grad for p in leaves]

    return run


def _compiled(loss_of: Callable[[list[Any]], Any], leaves: list[Any], executor: str | None) -> Run:
    """The same as a static graph: loss and gradients in one."""

    def step() -> Any:
        for p in leaves:
            p.grad = None
        loss = loss_of(leaves)
        loss.backward()
        return loss

    compiled: Any = pg.compile(step, executor=executor)
    return CompiledRun(compiled, lambda: (compiled(), [p.grad for p in leaves]))


def _mygrad(loss_of: Callable[[list[Any]], Any], arrays: list[Any]) -> Run:
    import mygrad

    leaves = [mygrad.tensor(a) for a in arrays]

    def run() -> tuple[Any, list[Any]]:
        for p in leaves:
            p.null_grad()
        loss = loss_of(leaves)
        loss.backward()
        return loss, [p.grad for p in leaves]

    return run


def _functional(value_and_grad: Any, loss_of: Any, arrays: list[Any], ready: Any = None) -> Run:
    f = value_and_grad(loss_of)

    def run() -> tuple[Any, list[Any]]:
        loss, grads = f(arrays)
        if ready is not None:
            ready((loss, grads))
        return loss, list(grads)

    return run


def contestants(
    hand: Run,
    loss: Callable[..., Callable[[list[Any]], Any]],
    arrays: list[Any],
    consts: list[Any],
    without: tuple[str, ...] = (),
) -> dict[str, Run]:
    """One loss in every library but some: ``loss(xp, constants)`` gives the function of the parameters."""
    found: dict[str, Run] = {"hand-written": hand}
    found["polygrad"] = _backward(loss(pg, [pg.asarray(c, copy=True) for c in consts]), _leaves(pg, arrays))
    for name, executor in STATIC.items():
        own = loss(pg, [pg.asarray(c, copy=True) for c in consts])
        found[name] = _compiled(own, _leaves(pg, arrays), executor)
    if "torch" in PEERS:
        import torch

        found["torch"] = _backward(loss(torch, [torch.tensor(c) for c in consts]), _leaves(torch, arrays))
        if "torch.compile" in PEERS:
            compiled = torch.compile(loss(torch, [torch.tensor(c) for c in consts]))
            found["torch.compile"] = _backward(compiled, _leaves(torch, arrays))
    if "jax" in PEERS:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)  # so that float64 workloads are float64 here too

        jitted = jax.jit(jax.value_and_grad(loss(jnp, [jnp.asarray(c) for c in consts])))
        found["jax jit"] = _functional(lambda _: jitted, None, [jnp.asarray(a) for a in arrays], jax.block_until_ready)
    if "autograd" in PEERS:
        import autograd
        import autograd.numpy as anp

        found["autograd"] = _functional(autograd.value_and_grad, loss(anp, consts), arrays)
    if "mygrad" in PEERS and "mygrad" not in without:
        import mygrad

        found["mygrad"] = _mygrad(loss(mygrad, consts), arrays)
    return found


# -- the MLP -----------------------------------------------------------------------------------------


def mlp(batch: int, width: int, bars: dict[str, float], compiled: dict[str, float]) -> Workload:
    """Three layers of tanh, mean squared error, float32: loss and all gradients."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((batch, width)).astype(np.float32) for _ in range(2))
    weights = [(rng.standard_normal((width, width)) / width**0.5).astype(np.float32) for _ in range(3)]
    biases = [np.zeros(width, np.float32) for _ in range(3)]

    def hand() -> tuple[Any, list[Any]]:
        w1, w2, w3 = weights
        b1, b2, b3 = biases
        h1 = np.tanh(x @ w1 + b1)
        h2 = np.tanh(h1 @ w2 + b2)
        d = h2 @ w3 + b3 - y
        loss = (d * d).mean()
        g = d * (2 / d.size)
        gw3, gb3 = h2.T @ g, g.sum(0)
        g = (g @ w3.T) * (1 - h2 * h2)
        gw2, gb2 = h1.T @ g, g.sum(0)
        g = (g @ w2.T) * (1 - h1 * h1)
        return loss, [x.T @ g, gw2, gw3, g.sum(0), gb2, gb3]

    def loss(xp: Any, consts: list[Any]) -> Callable[[list[Any]], Any]:
        x, y = consts

        def f(p: list[Any]) -> Any:
            h = xp.tanh(x @ p[0] + p[3])
            h = xp.tanh(h @ p[1] + p[4])
            d = h @ p[2] + p[5] - y
            return xp.mean(d * d)

        return f

    return Workload(
        f"MLP {batch}x{width}", contestants(hand, loss, [*weights, *biases], [x, y]), bars, compiled=compiled
    )


# -- elementwise -------------------------------------------------------------------------------------


def elementwise(n: int, bars: dict[str, float], compiled: dict[str, float]) -> Workload:
    """``sum(tanh(x y + sin x) exp(-x x))`` and both gradients, float32."""
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(-1, 1, n).astype(np.float32) for _ in range(2))

    def hand() -> tuple[Any, list[Any]]:
        t = np.tanh(x * y + np.sin(x))
        e = np.exp(-x * x)
        loss = (t * e).sum()
        gt = e * (1 - t * t)
        return loss, [gt * (y + np.cos(x)) - 2 * x * t * e, gt * x]

    def loss(xp: Any, consts: list[Any]) -> Callable[[list[Any]], Any]:
        return lambda p: xp.sum(xp.tanh(p[0] * p[1] + xp.sin(p[0])) * xp.exp(-p[0] * p[0]))

    return Workload(f"elementwise {n:,}", contestants(hand, loss, [x, y], []), bars, 1e-3, compiled)


# -- Rosenbrock --------------------------------------------------------------------------------------


def rosenbrock(n: int, bars: dict[str, float], compiled: dict[str, float]) -> Workload:
    """The Rosenbrock function of n float64 variables and its gradient."""
    x = np.random.default_rng(0).uniform(-1, 1, n)

    def hand() -> tuple[Any, list[Any]]:
        a, b = x[:-1], x[1:]
        d = b - a * a
        one = 1 - a
        loss = (100.0 * d * d + one * one).sum()
        g = np.zeros_like(x)
        g[1:] = 200.0 * d
        g[:-1] += -400.0 * a * d - 2.0 * one
        return loss, [g]

    def loss(xp: Any, consts: list[Any]) -> Callable[[list[Any]], Any]:
        def f(p: list[Any]) -> Any:
            a, b = p[0][:-1], p[0][1:]
            d = b - a * a
            one = 1.0 - a
            return xp.sum(100.0 * d * d + one * one)

        return f

    return Workload(f"Rosenbrock {n:,}", contestants(hand, loss, [x], []), bars, 1e-9, compiled)


# -- an ODE ------------------------------------------------------------------------------------------


def ode(steps: int, bars: dict[str, float], compiled: dict[str, float]) -> Workload:
    """``steps`` Runge-Kutta steps of 8 states, x' = tanh(A x); the gradient of the end by A and the start."""
    rng = np.random.default_rng(0)
    a, x0, h = rng.standard_normal((8, 8)) / 3, rng.standard_normal(8), 0.05

    def hand() -> tuple[Any, list[Any]]:
        tape = []
        x = x0
        for _ in range(steps):
            k1 = np.tanh(a @ x)
            x2 = x + h / 2 * k1
            k2 = np.tanh(a @ x2)
            x3 = x + h / 2 * k2
            k3 = np.tanh(a @ x3)
            x4 = x + h * k3
            k4 = np.tanh(a @ x4)
            tape.append((x, k1, x2, k2, x3, k3, x4, k4))
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        loss = (x * x).sum()
        g, ga, at = 2 * x, np.zeros_like(a), a.T
        for x, k1, x2, k2, x3, k3, x4, k4 in reversed(tape):
            g4 = h / 6 * g * (1 - k4 * k4)
            d4 = at @ g4
            g3 = (h / 3 * g + h * d4) * (1 - k3 * k3)
            d3 = at @ g3
            g2 = (h / 3 * g + h / 2 * d3) * (1 - k2 * k2)
            d2 = at @ g2
            g1 = (h / 6 * g + h / 2 * d2) * (1 - k1 * k1)
            ga += np.outer(g4, x4) + np.outer(g3, x3) + np.outer(g2, x2) + np.outer(g1, x)
            g = g + d4 + d3 + d2 + at @ g1
        return loss, [ga, g]

    def loss(xp: Any, consts: list[Any]) -> Callable[[list[Any]], Any]:
        def f(p: list[Any]) -> Any:
            a, x = p
            for _ in range(steps):
                k1 = xp.tanh(a @ x)
                k2 = xp.tanh(a @ (x + h / 2 * k1))
                k3 = xp.tanh(a @ (x + h / 2 * k2))
                k4 = xp.tanh(a @ (x + h * k3))
                x = x + h / 6 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
            return xp.sum(x * x)

        return f

    return Workload(f"ODE, {steps} RK4 steps of 8 states", contestants(hand, loss, [a, x0], []), bars, 1e-3, compiled)


ALL: dict[str, Callable[[], Workload]] = {
    "mlp-16x32": lambda: mlp(
        16, 32, {"hand-written": 3.5, "torch": 0.65}, {"hand-written": 0.9, "jax jit": 0.5, "torch": 0.2}
    ),
    "mlp-128x256": lambda: mlp(
        128, 256, {"hand-written": 1.6}, {"hand-written": 0.9, "jax jit": 1.1, "torch": 1.1, "torch.compile": 1.1}
    ),
    "mlp-256x1024": lambda: mlp(
        256, 1024, {}, {"hand-written": 1.1, "jax jit": 1.1, "torch": 1.1, "torch.compile": 1.1}
    ),
    "elementwise-1k": lambda: elementwise(1_000, {}, {"jax jit": 0.6, "torch.compile": 0.6}),
    "elementwise-100k": lambda: elementwise(100_000, {"hand-written": 1.3}, {"jax jit": 0.6, "torch.compile": 0.6}),
    "elementwise-4m": lambda: elementwise(4_000_000, {"hand-written": 1.3}, {"jax jit": 0.6, "torch.compile": 0.6}),
    "rosenbrock-1k": lambda: rosenbrock(1_000, {}, {"hand-written": 0.9}),
    "ode-100": lambda: ode(100, {"torch": 0.8}, {"torch": 0.2}),
}
