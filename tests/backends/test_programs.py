"""Whole programs, with the same values and gradients on every backend and device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg

Program = Callable[[pg.Tensor], Any]
rng = np.random.default_rng(7)
X = rng.normal(size=(5, 4))


# -- programs: of x (5, 4), which requires grad; they return what is summed into the loss ----------------


def mlp(x: pg.Tensor) -> Any:
    w1 = pg.asarray(np.linspace(-1, 1, 24).reshape(4, 6), device=x.device)
    w2 = pg.asarray(np.linspace(1, -1, 18).reshape(6, 3), device=x.device)
    b = pg.asarray([0.1, -0.2, 0.3], device=x.device)
    h = pg.tanh(x @ w1)
    logits = pg.maximum(h @ w2 + b, 0.01 * (h @ w2 + b))
    shifted = logits - pg.max(logits, axis=1, keepdims=True)
    log_p = shifted - pg.log(pg.sum(pg.exp(shifted), axis=1, keepdims=True))
    target = pg.asarray([0, 2, 1, 1, 0], device=x.device)
    return -pg.mean(pg.take_along_axis(log_p, pg.reshape(target, (5, 1)), axis=1))


def reading(x: pg.Tensor) -> Any:
    i = pg.asarray([0, 3, 3, -1], device=x.device)
    return pg.concat(
        [
            pg.reshape(part, (-1,))
            for part in (x[0], x[1:, ::2], x[::-1, 1], x[i], x[i, 0], x[:, [1, 1]], x[x > 0.3], x[None, 2])
        ]
    )


def writing(x: pg.Tensor) -> Any:
    y = x * 1
    y[0] = 2.0
    y[1:3, ::-1] = y[3:5] * 3
    y[[0, 4], 1] = x[0, :2]
    y[x > 1.0] = 0.5
    y[..., 0] += x[..., 3]
    return y * y


def views(x: pg.Tensor) -> Any:
    base = x + 0
    rows = base[1:]
    turned = base.T
    rows[0] = x[0] * 2
    turned[0, 0] = x[4, 3]
    rows *= 1.5
    flat = pg.reshape(base, (-1,))
    flat[3] = 7.0
    column = pg.expand_dims(base, axis=0)[0, :, 2]
    column[...] = column * x[:, 1]
    return base * rows[0, 0] + turned[1, 2] + flat[5]


def arithmetic_in_place(x: pg.Tensor) -> Any:
    y = x * 2
    z = y
    y += x
    y *= x
    y -= 1.0
    y /= 2.0
    y **= 2
    return y + z


def choosing(x: pg.Tensor) -> Any:
    where = pg.where(x > 0, x * x, -x)
    clipped = pg.clip(x, -0.5, 0.8)
    return where + clipped * pg.minimum(x, 0.3) + pg.maximum(x, pg.flip(x, axis=1))


def sorting(x: pg.Tensor) -> Any:
    ordered = pg.sort(x, axis=0, descending=True)
    weights = pg.arange(5, dtype="float64", device=x.device)
    taken = pg.take(x, pg.argsort(x[:, 0]), axis=0)
    return pg.expand_dims(weights, axis=1) * ordered + taken * ordered


def running(x: pg.Tensor) -> Any:
    initial = pg.cumulative_sum(x, axis=1, include_initial=True)
    return pg.cumulative_sum(x, axis=0) * pg.cumulative_prod(x, axis=1) + initial[:, 1:]


def reductions(x: pg.Tensor) -> Any:
    spread = pg.std(x, axis=0) + pg.var(x, axis=0, correction=0.5)
    return pg.prod(x, axis=1)[:4] * spread + pg.max(x, axis=0) - pg.min(x) + pg.mean(x, axis=0)


def products(x: pg.Tensor) -> Any:
    batch = pg.reshape(x, (5, 2, 2))
    made = batch @ batch.mT
    outer = pg.tensordot(x, x, axes=((0,), (0,)))
    return pg.sum(made) * outer + pg.vecdot(x, x + 1, axis=0)


def arranging(x: pg.Tensor) -> Any:
    rolled = pg.roll(pg.permute_dims(x, (1, 0)), 2, axis=0)
    tiled = pg.tile(x, (2, 1))[3:8]
    repeated = pg.repeat(x, 2, axis=1)[:, 1:5]
    first, *_ = pg.unstack(x, axis=0)
    return rolled.T * tiled + repeated * first + pg.tril(x) * pg.broadcast_to(x[0], (5, 4))


def functions(x: pg.Tensor) -> Any:
    u = pg.abs(x) / 4 + 0.05
    return (
        pg.asin(u / 2) + pg.log1p(u) + pg.sqrt(u) * pg.expm1(x) + pg.atan2(x, u) + pg.logaddexp(x, u)
        + pg.hypot(x, u) + pg.sinh(x) * pg.cos(x) + pg.sign(x) * pg.floor(x) + pg.remainder(x, u) + u**1.5
    )  # fmt: skip


def complex_numbers(x: pg.Tensor) -> Any:
    z = pg.exp(1j * x) * (x + 2j)
    return pg.abs(z) + pg.real(z * pg.conj(z) + z @ pg.conj(z.mT) @ z) + pg.imag(pg.sqrt(z))


def distinct(x: pg.Tensor) -> Any:
    found = pg.unique_all(x)
    return pg.concat([found.values * found.values, pg.reshape(x, (-1,))[pg.nonzero(pg.reshape(x, (-1,)) > 0)[0]]])


def single(x: pg.Tensor) -> Any:
    half = pg.astype(x, "float32")
    return pg.astype(half * half, "float64") + half * x + pg.asarray([1, 2, 3, 4], device=x.device) * x


PROGRAMS = [
    mlp, reading, writing, views, arithmetic_in_place, choosing, sorting, running, reductions, products,
    arranging, functions, complex_numbers, distinct, single,
]  # fmt: skip


def gradients(program: Program, place: pg.Device | str) -> tuple[np.ndarray, np.ndarray]:
    x = pg.asarray(X, device=place, copy=True, requires_grad=True)
    out = program(x)
    assert out.device == place
    signs = pg.asarray(np.cos(np.arange(out.size)).reshape(out.shape), device=place)
    pg.sum(out * signs).backward()
    assert x.grad is not None
    assert x.grad.device == place
    return out.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_values_and_gradients_are_numpys(program: Program, device: pg.Device) -> None:
    want, want_grad = gradients(program, "cpu")
    got, got_grad = gradients(program, device)
    # float32 functions are each library's own
    tolerance = 1e-6 if program is single else 1e-12
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(got_grad, want_grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("program", [mlp, views, writing, running, reading], ids=lambda p: p.__name__)
def test_second_derivatives_are_numpys(program: Program, device: pg.Device) -> None:
    def second(place: pg.Device | str) -> np.ndarray:
        x = pg.asarray(X, device=place, copy=True, requires_grad=True)
        pg.sum(program(x) ** 2).backward(create_graph=True)
        first, x.grad = x.grad, None
        assert first is not None
        pg.sum(first * first).backward()
        assert x.grad is not None
        return x.grad.numpy()

    np.testing.assert_allclose(second(device), second("cpu"), rtol=1e-11, atol=1e-11)


def test_a_write_to_a_view_shows_in_its_base(device: pg.Device) -> None:
    x = pg.zeros((3, 2), device=device)
    y = x[1:]
    y[0] = 5.0
    assert x.tolist() == [[0.0, 0.0], [5.0, 5.0], [0.0, 0.0]]
    x[2, 1] = 7.0
    assert y.tolist() == [[5.0, 5.0], [0.0, 7.0]]
    z = y[1]
    z += 1.0
    assert x.tolist() == [[0.0, 0.0], [5.0, 5.0], [1.0, 8.0]]


def test_steps_of_gradient_descent_go_the_same_way(device: pg.Device) -> None:
    def train(place: pg.Device | str) -> list[float]:
        w = pg.asarray(np.linspace(-1, 1, 12).reshape(4, 3), device=place, requires_grad=True)
        x = pg.asarray(X, device=place)
        losses = []
        for _ in range(5):
            loss = pg.mean((pg.tanh(x @ w) - 0.5) ** 2)
            w.grad = None
            loss.backward()
            with pg.no_grad():
                w -= 0.5 * w.grad
            losses.append(loss.item())
        return losses

    got, want = train(device), train("cpu")
    assert want[-1] < want[0]
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_forward_mode_agrees(device: pg.Device) -> None:
    x, t = pg.asarray(X, device=device), pg.asarray(np.cos(X), device=device)
    x0, t0 = pg.asarray(X), pg.asarray(np.cos(X))
    for program in (mlp, running, products, reading):
        _, want = pg.jvp(program, (x0,), (t0,))
        _, got = pg.jvp(program, (x,), (t,))
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12, atol=1e-12)


def test_conversions(device: pg.Device) -> None:
    x = pg.asarray(2.5, device=device)
    assert (float(x), int(x), bool(x), x.item()) == (2.5, 2, True, 2.5)
    assert [10, 20, 30][pg.asarray(1, device=device)] == 20
    assert np.asarray(pg.ones(2, device=device)).tolist() == [1.0, 1.0]
    assert "tensor(" in repr(x)
