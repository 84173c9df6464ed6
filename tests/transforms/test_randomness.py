"""Random draws inside transforms: the second run of checkpoint, vmap's randomness, traced generators."""

from __future__ import annotations

import concurrent.futures
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import random
from polygrad.errors import TraceError, VmapError

F = pg.nn.functional
EXECUTORS = ["eager", "planned", "native"]


def run_by(executor: str, f: Callable[..., Any]) -> Callable[..., Any]:
    return f if executor == "eager" else pg.compile(f, executor=None if executor == "planned" else executor)


own = random.Generator(3)
other = random.Generator(4)
STATE = random.Generator(5).get_state()


def chosen(x: Any) -> Any:
    with random.use(other):
        return F.dropout(x, 0.5, True) * pg.sin(x)


def seeded(x: Any) -> Any:
    random.manual_seed(8)
    return x * x * random.normal(x.shape)


def set_back(x: Any) -> Any:
    own.set_state(STATE)
    return x * x * random.normal(x.shape, generator=own)


def by_new_generator(x: Any) -> Any:
    return x * x * random.normal(x.shape, generator=random.Generator(6))


def by_split(x: Any) -> Any:
    first, second = random.split(2)
    return x * x * random.normal(x.shape, generator=first) + random.uniform(x.shape, generator=second)


def nested(x: Any) -> Any:
    return pg.checkpoint(lambda x: F.dropout(x * x, 0.5, True) * random.normal(x.shape))(F.dropout(x, 0.2, True)) * x


DRAWING = {
    "dropout": lambda x: F.dropout(pg.sin(x), 0.5, True) * x,
    "two draws": lambda x: F.dropout(x, 0.5, True) * F.alpha_dropout(x * x, 0.5, True) + random.gumbel(x.shape) * x * x,
    "own generator": lambda x: x * x * random.normal(x.shape, generator=own),
    "both generators": lambda x: x * x * random.normal(x.shape, generator=own) * random.uniform(x.shape),
    "use": chosen,
    "manual_seed": seeded,
    "set_state": set_back,
    "new generator": by_new_generator,
    "split": by_split,
    "nested": nested,
    "permutation": lambda x: pg.take(x * x, random.permutation(x.shape[0])) * x,
    "rrelu": lambda x: F.rrelu(x - 1.0, training=True) * x,
    "parameters": lambda x: random.normal(x.shape, x, x * x) * x,
}


def _gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    return pg.grad(lambda x: pg.sum(f(x) ** 2))


def _by_backward(f: Callable[..., Any]) -> Callable[..., Any]:
    def derivative(x: Any) -> Any:
        x = pg.asarray(x, copy=True).detach().requires_grad_()
        pg.sum(f(x) ** 2).backward()
        return x.grad

    return derivative


DERIVATIVES = {
    "grad": _gradient,
    "vjp": lambda f: lambda x: pg.vjp(f, x)[1](pg.ones_like(x))[0],
    "jvp": lambda f: lambda x: pg.jvp(f, (x,), (pg.ones_like(x),)),
    "second order": lambda f: lambda x: pg.grad(lambda x: pg.sum(_gradient(f)(x) * x))(x),
    "backward": _by_backward,
}


def assert_equal(some: Any, others: Any) -> None:
    for x, y in zip(some, others, strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-12)


# A static graph makes no leaves.
CHECKPOINTS = [(d, e) for d in DERIVATIVES for e in EXECUTORS if d != "backward" or e == "eager"]


@pytest.mark.parametrize(("derivative", "executor"), CHECKPOINTS)
@pytest.mark.parametrize("name", DRAWING)
def test_checkpoint_draws_once(name: str, derivative: str, executor: str) -> None:
    f = DRAWING[name]
    found = []
    for wrap in (lambda f: f, pg.checkpoint):
        random.manual_seed(1)
        own.manual_seed(2)
        other.manual_seed(3)
        step = run_by(executor if wrap is pg.checkpoint else "eager", DERIVATIVES[derivative](wrap(f)))
        results = []
        for value in (0.3, 0.7, 1.1, 1.6):
            y = step(pg.asarray(np.linspace(value, 2.0, 6)))
            results += y if isinstance(y, tuple) else [y]
        later = [random.normal(3, generator=g).tolist() for g in (random.default_generator, own, other)]
        found.append([*[r.tolist() for r in results], *later])
    assert_equal(*found)


def test_the_second_run_draws_by_the_generator_of_the_first() -> None:
    """Backward may come after the scope of ``use``, and another thread may run it."""
    x = pg.asarray(np.ones(50), requires_grad=True)
    with random.use(random.Generator(1)):
        y = pg.checkpoint(lambda x: F.dropout(x, 0.5, True) * x)(x)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: pg.sum(y).backward()).result()
    assert x.grad is not None
    assert_equal([x.grad.tolist()], [(2 * y).tolist()])


def test_second_runs_in_threads_do_not_meet() -> None:
    random.manual_seed(0)
    xs = [pg.asarray(np.ones(50), requires_grad=True) for _ in range(8)]
    ys = [pg.checkpoint(lambda x: F.dropout(x, 0.5, True) * x)(x) for x in xs]
    before = random.get_state()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda y: pg.sum(y).backward(), ys))
    assert random.get_state() == before
    assert_equal([x.grad.tolist() for x in xs if x.grad is not None], [(2 * y).tolist() for y in ys])


def test_a_derivative_from_outside_draws_its_own_numbers_in_a_static_graph() -> None:
    for wrap in (lambda f: f, pg.checkpoint):
        f = wrap(lambda x: F.dropout(x, 0.5, True) * x)
        y, pull = pg.vjp(f, pg.asarray(np.ones(50)))
        z, push = pg.linearize(f, pg.asarray(np.ones(50)))
        pulled, pushed = pg.compile(lambda g, pull=pull: pull(g)[0]), pg.compile(lambda t, push=push: push(t))
        for _ in range(3):
            assert_equal([pulled(pg.ones(50)).tolist()], [(2 * y).tolist()])
            assert_equal([pushed(pg.ones(50)).tolist()], [(2 * z).tolist()])


# -- generators in a trace -------------------------------------------------------------------------------


def _reseed_then_draw(x: Any) -> Any:
    own.manual_seed(3)
    return x + random.normal(x.shape, generator=own)


def _reseed_default(x: Any) -> Any:
    first = random.uniform(x.shape)
    random.manual_seed(3)
    return x + first + random.normal(x.shape)


def _put_default(x: Any) -> Any:
    random.set_state(STATE)
    return x + random.normal(x.shape)


def _split_own(x: Any) -> Any:
    first, second = own.split(2)
    return x + random.normal(x.shape, generator=second) * random.normal(x.shape, generator=first)


def _used(x: Any) -> Any:
    with random.use(own):
        a = random.normal(x.shape)
    return x + a + random.normal(x.shape)


TRACED = {
    "manual_seed of a generator": _reseed_then_draw,
    "manual_seed": _reseed_default,
    "set_state": _put_default,
    "set_state of a generator": set_back,
    "split": _split_own,
    "split of the default": by_split,
    "a seeded generator": by_new_generator,
    "use": _used,
}


@pytest.mark.parametrize("executor", EXECUTORS[1:])
@pytest.mark.parametrize("name", TRACED)
def test_a_static_graph_changes_generators_at_each_run(name: str, executor: str) -> None:
    found = []
    for by in ("eager", executor):
        random.manual_seed(1)
        own.manual_seed(2)
        step = run_by(by, TRACED[name])
        results = [step(pg.asarray(np.full(3, float(k)))).tolist() for k in range(4)]
        with random.use(random.Generator(7)):  # the default of another run
            results.append(step(pg.ones(3)).tolist())
        found.append([*results, random.normal(2).tolist(), random.normal(2, generator=own).tolist()])
    assert_equal(*found)


def test_an_unseeded_generator_is_another_one_at_each_run() -> None:
    step = pg.compile(lambda x: x + random.normal(3, generator=random.Generator()))
    assert len({tuple(step(pg.ones(3)).tolist()) for _ in range(4)}) == 4


def test_a_state_is_not_read_in_a_trace() -> None:
    for read in (own.get_state, random.get_state, lambda: copy.deepcopy(own)):
        with pytest.raises(
            TraceError, match="get_state: the state of a random generator is read in a function that is"
        ):
            pg.compile(lambda x, read=read: (read(), x)[1])(pg.ones(2))


# -- vmap -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", sorted(set(DRAWING) - {"both generators"}))
def test_vmap_says_whether_examples_share_draws(name: str, executor: str) -> None:
    f = DRAWING[name]
    batch = np.ones((5, 1)) * np.linspace(-1.0, 2.0, 8)
    if name not in ("set_state", "manual_seed", "new generator"):
        rows = run_by(executor, pg.vmap(f, randomness="different"))(pg.asarray(batch))
        assert len({tuple(row) for row in rows.tolist()}) > 1
    rows = run_by(executor, pg.vmap(f, randomness="same"))(pg.asarray(batch))
    assert len({tuple(row) for row in rows.tolist()}) == 1
    with pytest.raises(VmapError, match=r'random numbers are drawn inside vmap.*randomness="different".*"same"'):
        run_by(executor, pg.vmap(f))(pg.asarray(batch))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_nested_vmaps_draw_each_by_its_own_word(executor: str) -> None:
    for outer in ("different", "same"):
        for inner in ("different", "same"):
            f = pg.vmap(pg.vmap(lambda x: x + random.normal(x.shape), randomness=inner), randomness=outer)
            random.manual_seed(4)
            found = run_by(executor, f)(pg.zeros((3, 4, 2))).tolist()
            random.manual_seed(4)
            lead = (3 if outer == "different" else 1, 4 if inner == "different" else 1)
            assert_equal(found, (np.zeros((3, 4, 2)) + random.normal((*lead, 2)).numpy()).tolist())
    with pytest.raises(VmapError, match="random numbers"):
        pg.vmap(pg.vmap(lambda x: x + random.normal(x.shape), randomness="same"))(pg.zeros((3, 4, 2)))


PARAMETERS = {
    "normal": lambda a: random.normal((4,), a, a + 1.0),
    "uniform": lambda a: random.uniform((4,), a, a + 1.0),
    "bernoulli": lambda a: random.bernoulli((4,), a / 10.0, dtype="float64"),
    "exponential": lambda a: random.exponential((4,), a),
    "gumbel": lambda a: random.gumbel((4,), a, a * a),
    "truncated_normal": lambda a: random.truncated_normal((4,), a, a, a - 1.0, a + 1.0),
    "truncated_normal far out": lambda a: random.truncated_normal((4,), 0.0, 1.0, a, a + 5.0),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", PARAMETERS)
def test_each_example_draws_by_parameters_of_its_own(name: str, executor: str) -> None:
    draw = PARAMETERS[name]
    batch = [0.5, 1.5, 3.0]
    random.manual_seed(2)
    found = run_by(executor, pg.vmap(draw, randomness="different"))(pg.asarray(batch)).tolist()
    random.manual_seed(2)
    np.testing.assert_allclose(found, [draw(a).tolist() for a in batch], rtol=1e-13)
    random.manual_seed(2)
    np.testing.assert_allclose([draw(pg.asarray(a)).tolist() for a in batch], found, rtol=1e-13)


def test_draws_are_differentiable_to_their_parameters() -> None:
    g = random.Generator(0)
    standard = random.normal(4, generator=random.Generator(0)).numpy()
    mean, std = pg.grad(lambda m, s: pg.sum(random.normal((4,), m, s, generator=g)), argnums=(0, 1))(
        pg.asarray(1.0), pg.asarray(2.0)
    )
    assert_equal([mean.item(), std.item()], [4.0, standard.sum()])


def test_wrong_parameters_that_are_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="normal: std must be >= 0"):
        random.normal((2,), 0.0, pg.asarray([1.0, -1.0]))
    with pytest.raises(ValueError, match="uniform: low must not be above high"):
        random.uniform((2,), pg.asarray([1.0, 3.0]), 2.0)
    with pytest.raises(ValueError, match="vmap: randomness must be"):
        pg.vmap(pg.sin, randomness="all")  # type: ignore[arg-type]


def test_gradients_of_examples_draw_independently() -> None:
    x = np.ones((6, 20))
    g = pg.vmap(pg.grad(lambda x: pg.sum(F.dropout(x, 0.5, True))), randomness="different")(x)
    assert len({tuple(row) for row in g.tolist()}) == 6
    check = pg.vmap(
        pg.grad(lambda x: pg.sum(pg.checkpoint(lambda x: F.dropout(x, 0.5, True) * x)(x))), randomness="different"
    )
    again = check(x)
    assert len({tuple(row) for row in again.tolist()}) == 6
    assert set(np.unique(again)) <= {0.0, 4.0}
