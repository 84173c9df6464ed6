"""Binary cross-entropy of what is no probability: refused where values can be looked at, nan elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.graph import load
from polygrad.nn import functional as F

_CERTAIN = pg.asarray([0.0, 1.0])


def _entropy(x: Any) -> Any:
    return F.binary_cross_entropy(x, _CERTAIN)


CALLS: dict[str, Any] = {
    "eager": _entropy,
    "grad": pg.grad(_entropy),
    "jvp": lambda x: pg.jvp(_entropy, (x,), (pg.ones(2),)),
    "compiled": pg.compile(_entropy),
    "compiled grad": pg.compile(pg.grad(_entropy)),
    "hessian": pg.hessian(_entropy),
}


@pytest.mark.on_host("values are looked at, at once, in the host's memory only")
@pytest.mark.parametrize("bad", [[1.5, 0.2], [0.2, -0.1], [np.inf, 0.5], [1 + 1e-12, 0.5]])
@pytest.mark.parametrize("call", CALLS)
def test_binary_cross_entropy_refuses_what_is_no_probability(call: str, bad: list[float]) -> None:
    f = CALLS[call]
    f(pg.asarray([0.5, 0.7]))
    with pytest.raises(ValueError, match=r"binary_cross_entropy: the input ranges from .* must be probabilities"):
        f(pg.asarray(bad))
    f(pg.asarray([0.0, 1.0]))


def test_whole_numbers_are_probabilities() -> None:
    assert F.binary_cross_entropy(np.asarray([0, 1]), np.asarray([1, 1])).item() == 50.0
    assert F.binary_cross_entropy(np.asarray([True]), np.asarray([1.0], "float32")).dtype is pg.float32
    with pytest.raises(ValueError, match="must be probabilities"):
        F.binary_cross_entropy(np.asarray([2]), np.asarray([1.0]))


def test_binary_cross_entropy_without_a_look_is_nan() -> None:
    """Under vmap numbers are not looked at, as on a GPU."""
    x = pg.asarray([1.5, -0.5, 0.5, np.nan])
    for target in (0.0, 1.0, 0.3):
        f = pg.vmap(lambda x, target=target: pg.neural.binary_entropy(x, target))
        np.testing.assert_array_equal(np.isnan(f(x).numpy()), [True, True, False, True])
        slope = pg.vmap(pg.grad(lambda x, target=target: pg.neural.binary_entropy(x, target)))
        np.testing.assert_array_equal(np.isnan(slope(x).numpy()), [True, True, False, True])


@pytest.mark.on_host("values are looked at, at once, in the host's memory only")
def test_the_check_of_probabilities_is_saved_with_a_graph(tmp_path: Path) -> None:
    graph = pg.trace(_entropy, pg.asarray([0.5, 0.7]))
    graph.save(tmp_path / "loss.safetensors")
    loaded = load(tmp_path / "loss.safetensors")
    assert float(loaded(pg.asarray([0.5, 0.5]))) == pytest.approx(np.log(2))
    with pytest.raises(ValueError, match="must be probabilities"):
        loaded(pg.asarray([1.5, 0.5]))
