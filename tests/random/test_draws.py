"""polygrad.random: one stream on every backend, plain state, and the distributions."""

from __future__ import annotations

import copy
import json
import pickle
import threading

import numpy as np
import pytest

import polygrad as pg
from polygrad import random


def host(x: pg.Tensor) -> np.ndarray:
    return x.to_device("cpu").numpy()


DRAWS = {
    "normal": lambda where, g: random.normal((3, 2), 1.0, 2.0, device=where, generator=g),
    "uniform": lambda where, g: random.uniform(5, -1, 1, dtype="float32", device=where, generator=g),
    "bernoulli": lambda where, g: random.bernoulli((4,), 0.3, device=where, generator=g),
    "integers": lambda where, g: random.integers((6,), -5, 5, device=where, generator=g),
    "permutation": lambda where, g: random.permutation(7, device=where, generator=g),
    "exponential": lambda where, g: random.exponential(3, 2.0, device=where, generator=g),
    "gumbel": lambda where, g: random.gumbel(3, device=where, generator=g),
    "truncated_normal": lambda where, g: random.truncated_normal((2, 2), 0.5, device=where, generator=g),
    "categorical": lambda where, g: random.categorical(
        pg.asarray([[0.0, 1.0, 2.0]] * 20, device=where, copy=True), generator=g
    ),
}


def test_no_draw_is_left_out() -> None:
    others = {"Generator", "current", "default_generator", "get_state", "manual_seed", "set_state", "split", "use"}
    assert set(DRAWS) | others == set(random.__all__)


def draws(where: pg.Device | str, seed: int = 11) -> list[np.ndarray]:
    """All of them, one after the other off one generator."""
    g = random.Generator(seed)
    made = [draw(where, g) for draw in DRAWS.values()]
    assert all(x.device == pg.Device(where) for x in made)
    return [host(x) for x in made]


def assert_equal(some: list[np.ndarray], others: list[np.ndarray]) -> None:
    for x, y in zip(some, others, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def test_a_seed_gives_the_same_draws_on_every_backend(device: pg.Device) -> None:
    assert random.normal(2, device=device).device == device
    for seed in (0, 11, 2**64 + 5):
        assert_equal(draws("cpu", seed), draws(device, seed))


def test_a_seed_gives_the_same_draws_in_compiled_functions(device: pg.Device) -> None:
    expected = random.Generator(3)
    g = random.Generator(3)

    def step(x: pg.Tensor) -> tuple[pg.Tensor, ...]:  # which says where the function runs
        return tuple(DRAWS[name](device, g) for name in ("normal", "bernoulli", "integers", "gumbel"))

    compiled = pg.compile(step)
    for _ in range(3):  # eager, or traced, or replayed: the stream goes on
        got = compiled(pg.ones(1, device=device))
        want = [DRAWS[name]("cpu", expected) for name in ("normal", "bernoulli", "integers", "gumbel")]
        assert_equal([host(x) for x in got], [host(x) for x in want])
    assert g.get_state() == expected.get_state()


def test_a_seed_gives_the_draws_of_a_loop_under_vmap(device: pg.Device) -> None:
    x = pg.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], device=device)
    for name, draw in DRAWS.items():
        g = random.Generator(9)
        different = pg.vmap(lambda row, g=g, draw=draw: draw(row.device, g), randomness="different")(x)
        looped = random.Generator(9)
        np.testing.assert_array_equal(host(different), np.stack([host(draw("cpu", looped)) for _ in range(3)]), name)
        assert g.get_state() == looped.get_state(), name
        g = random.Generator(9)
        same = pg.vmap(lambda row, g=g, draw=draw: draw(row.device, g), randomness="same")(x)
        np.testing.assert_array_equal(host(same), np.stack([host(draw("cpu", random.Generator(9)))] * 3), name)


def test_the_bits_are_those_of_numpys_philox(device: pg.Device) -> None:
    for seed in (0, 7, 2**100 + 1):
        raw = np.random.Philox(seed).random_raw(1000)
        drawn = random.integers(1000, 0, 2**64, dtype="uint64", generator=random.Generator(seed))
        np.testing.assert_array_equal(host(drawn), raw)
        shares = host(random.uniform(1000, device=device, generator=random.Generator(seed)))
        np.testing.assert_array_equal(shares, (raw >> np.uint64(11)) * 2.0**-53)
    g = random.Generator(7)
    random.uniform(10, generator=g)
    ahead = np.random.Philox(7)
    ahead.random_raw(10)
    state = g.get_state()["stream"]["state"]
    assert state["counter"] == ahead.state["state"]["counter"].tolist()
    assert state["key"] == ahead.state["state"]["key"].tolist()


def test_the_stream_of_a_seed_never_changes() -> None:
    g = random.Generator(0)
    np.testing.assert_allclose(
        host(random.normal(3, generator=g)),
        np.random.Generator(np.random.Philox(0)).standard_normal(3),
        rtol=0,
    )


def test_state_is_json_and_restores_the_stream() -> None:
    g = random.Generator(3)
    random.normal(7, generator=g)
    random.integers(3, 0, 9, generator=g)
    state = json.loads(json.dumps(g.get_state()))
    after = host(random.normal(5, generator=g))
    other = random.Generator()
    other.set_state(state)
    np.testing.assert_array_equal(host(random.normal(5, generator=other)), after)
    assert repr(other) == "Generator(seed=3)"


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))], ids=["deepcopy", "pickle"])
def test_copies_continue_the_stream(clone) -> None:
    g = random.Generator(3)
    random.normal(7, generator=g)
    other = clone(g)
    np.testing.assert_array_equal(host(random.normal(5, generator=other)), host(random.normal(5, generator=g)))


@pytest.mark.parametrize("bad", [{}, {"seed": 1}, {"seed": 1, "stream": {"bit_generator": "PCG64"}}, {"seed": -1}])
def test_a_bad_state_is_refused_and_changes_nothing(bad) -> None:
    g = random.Generator(3)
    before = g.get_state()
    with pytest.raises(pg.errors.StateError, match="not a random generator's state"):
        g.set_state(bad)
    assert g.get_state() == before


def test_manual_seed_begins_again_and_drives_the_default_generator() -> None:
    random.manual_seed(5)
    first = host(random.uniform(4))
    state = random.get_state()
    second = host(random.uniform(4))
    random.set_state(state)
    np.testing.assert_array_equal(host(random.uniform(4)), second)
    random.manual_seed(5)
    np.testing.assert_array_equal(host(random.uniform(4)), first)
    np.testing.assert_array_equal(host(random.uniform(4, generator=random.Generator(5))), first)


def test_split_gives_independent_reproducible_generators() -> None:
    a, b = random.Generator(1).split(2)
    a2, _ = random.Generator(1).split(2)
    x, y = host(random.normal(20_000, generator=a)), host(random.normal(20_000, generator=b))
    np.testing.assert_array_equal(x, host(random.normal(20_000, generator=a2)))
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.03
    random.manual_seed(1)
    assert random.split(1)[0].seed == a.seed


def test_unseeded_generators_differ() -> None:
    assert random.Generator().seed != random.Generator().seed


@pytest.mark.parametrize("seed", [-1, 1.5, "1"])
def test_a_seed_is_a_natural_number(seed) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        random.Generator(seed)


def test_moments() -> None:
    g = random.Generator(0)
    n = 200_000
    x = host(random.normal(n, 2.0, 3.0, generator=g))
    assert abs(x.mean() - 2) < 0.03
    assert abs(x.std() - 3) < 0.03
    u = host(random.uniform(n, -2, 4, generator=g))
    assert abs(u.mean() - 1) < 0.02
    assert u.min() >= -2
    assert u.max() < 4
    assert abs(host(random.bernoulli(n, 0.3, dtype="float64", generator=g)).mean() - 0.3) < 0.005
    k = host(random.integers(n, -1, 2, generator=g))
    assert sorted(set(k.tolist())) == [-1, 0, 1]
    assert abs(k.mean()) < 0.01


def test_permutation_holds_every_number_once() -> None:
    p = host(random.permutation(1000))
    assert sorted(p.tolist()) == list(range(1000))
    assert p.tolist() != list(range(1000))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_uniform_stays_below_its_upper_end_after_rounding(dtype: str) -> None:
    x = random.uniform(200_000, 0.0, 1.0, dtype=dtype, generator=random.Generator(0))
    assert x.dtype == dtype
    assert float(pg.max(x)) < 1


def test_float32_is_float64_rounded() -> None:
    wide = host(random.normal(50, generator=random.Generator(2)))
    narrow = host(random.normal(50, dtype="float32", generator=random.Generator(2)))
    np.testing.assert_array_equal(wide.astype("float32"), narrow)


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(0, 256, "uint8"), (2**64 - 2, 2**64, "uint64"), (-(2**63), 2**63, "int64")]
)
def test_integers_reach_the_ends_of_their_dtype(low: int, high: int, dtype: str) -> None:
    x = host(random.integers(3000, low, high, dtype=dtype))
    assert x.dtype == dtype
    assert int(x.min()) >= low
    assert int(x.max()) < high
    if high - low <= 256:
        assert (int(x.min()), int(x.max())) == (low, high - 1)


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (lambda: random.normal(2, dtype="int64"), pg.errors.DTypeError, "normal: draws real floating"),
        (lambda: random.normal(2, std=-1.0), ValueError, "std must be >= 0"),
        (lambda: random.uniform(2, 2.0, 1.0), ValueError, "2.0 and 1.0"),
        (lambda: random.bernoulli(2, 1.5), ValueError, "1.5"),
        (lambda: random.integers(2, 3, 3), ValueError, "low must be below high"),
        (lambda: random.integers(2, 0, 257, dtype="uint8"), pg.errors.DTypeError, "uint8 holds 0 to 255"),
        (lambda: random.integers(2, 0, 3, dtype="float32"), pg.errors.DTypeError, "float32"),
    ],
)
def test_errors_name_the_argument(draw, error, words) -> None:
    with pytest.raises(error, match=words):
        draw()


def test_scalars_and_empty_shapes() -> None:
    assert random.normal(()).shape == ()
    assert random.uniform((0, 3)).shape == (0, 3)
    assert random.integers((), 0, 5).shape == ()
    assert random.permutation(0).shape == (0,)


def test_draws_may_be_written_to() -> None:
    x = random.normal(3)
    y = pg.sum(x * pg.asarray([1.0, 2.0, 3.0], requires_grad=True))
    x += 1.0
    x[0] = 0.0
    y.backward()
    assert float(x[0]) == 0.0


# -- other distributions ---------------------------------------------------------------------------


def test_exponential_gumbel_and_truncated_normal_follow_their_laws() -> None:
    stats = pytest.importorskip("scipy.stats")
    g = random.Generator(5)
    a, b = (0.5 - 1.0) / 2.0, (4.0 - 1.0) / 2.0
    for x, law in (
        (random.exponential(4000, 3.0, generator=g), stats.expon(scale=3.0)),
        (random.gumbel(4000, 1.0, 2.0, generator=g), stats.gumbel_r(1.0, 2.0)),
        (random.truncated_normal(4000, 1.0, 2.0, 0.5, 4.0, generator=g), stats.truncnorm(a, b, 1.0, 2.0)),
        (random.truncated_normal(4000, 0.0, 1.0, 7.0, 9.0, generator=g), stats.truncnorm(7, 9)),
        (random.truncated_normal(4000, 0.0, 1.0, -9.0, -7.0, generator=g), stats.truncnorm(-9, -7)),
    ):
        assert stats.kstest(x.numpy(), law.cdf).pvalue > 1e-3


def test_categorical_draws_by_probability() -> None:
    logits = pg.log(pg.asarray([[0.5, 0.2], [0.3, 0.2], [0.2, 0.6]]))
    drawn = random.categorical(logits, (5000,), axis=0, generator=random.Generator(0))
    assert (drawn.shape, drawn.dtype) == ((5000, 2), pg.int64)
    for k, p in ((0, [0.5, 0.3, 0.2]), (1, [0.2, 0.2, 0.6])):
        shares = np.bincount(drawn.numpy()[:, k], minlength=3) / 5000
        np.testing.assert_allclose(shares, p, atol=0.03)
    x = pg.asarray([0.0, 1.0], requires_grad=True)
    assert not random.categorical(x).requires_grad


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (lambda: random.exponential(1, -1.0), ValueError, "scale must be >= 0"),
        (lambda: random.gumbel(1, 0.0, -1.0), ValueError, "scale must be >= 0"),
        (lambda: random.truncated_normal(1, low=2.0, high=1.0), ValueError, "low < high, got std=1.0, low=2.0"),
        (lambda: random.truncated_normal(1, std=0.0), ValueError, "std > 0"),
        (lambda: random.truncated_normal(1, dtype="int64"), pg.errors.DTypeError, "real floating numbers"),
        (lambda: random.categorical(pg.asarray(1.0)), pg.errors.ShapeError, "no classes along axis -1"),
        (lambda: random.categorical(pg.ones((2, 0))), pg.errors.ShapeError, r"of shape \(2, 0\)"),
    ],
)
def test_errors_of_other_distributions(draw, error, words) -> None:
    with pytest.raises(error, match=words):
        draw()


def test_use_is_for_this_thread_and_ends_with_its_block() -> None:
    before = random.default_generator.get_state()
    seen = []
    with random.use(random.Generator(3)) as g:
        assert random.current() is g
        thread = threading.Thread(target=lambda: seen.append(random.current()))
        thread.start()
        thread.join()
        with pytest.raises(ZeroDivisionError), random.use(random.Generator(4)):
            1 / 0  # noqa: B018
        assert random.current() is g
        first = random.normal(3).tolist()
    assert seen == [random.default_generator]
    assert random.default_generator.get_state() == before
    assert first == random.normal(3, generator=random.Generator(3)).tolist()
