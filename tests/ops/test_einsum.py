"""einsum against NumPy's on random subscripts, in every order of multiplication; its errors and dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import ShapeError
from polygrad.ops import contraction
from polygrad.testing import check_adjoint


def random_case(seed: int) -> tuple[str, list[Any], bool]:
    """Subscripts and operands: repeated letters, ellipses, lengths of 1 that broadcast, outputs in any order."""
    rng = np.random.default_rng(seed)
    lengths = dict(zip("abcdef", rng.integers(1, 4, 6).tolist()))
    dots = [int(n) for n in rng.integers(1, 4, rng.integers(0, 3))] if rng.random() < 0.4 else None
    terms, arrays, letters = [], [], set()
    for _ in range(int(rng.integers(1, 5))):
        term = [str(c) for c in rng.choice(list("abcdef"), int(rng.integers(0, 4)))]
        shape = [1 if rng.random() < 0.15 and term.count(c) == 1 else lengths[c] for c in term]
        at = int(rng.integers(0, len(term) + 1))
        if dots is not None and rng.random() < 0.8:
            own = dots[int(rng.integers(0, len(dots) + 1)) :]
            shape[at:at] = [1 if rng.random() < 0.3 else n for n in own]
            term[at:at] = ["..."]
        letters |= set(term) - {"..."}
        terms.append("".join(term))
        made = rng.uniform(-1, 1, shape)
        arrays.append(made + 1j * rng.uniform(-1, 1, shape) if rng.random() < 0.25 else made)
    text = ",".join(terms)
    explicit = bool(rng.random() < 0.7)
    if explicit:
        kept = [c for c in rng.permutation(sorted(letters)).tolist() if rng.random() < 0.6]
        if "..." in text:
            kept.insert(int(rng.integers(0, len(kept) + 1)), "...")
        text += "->" + "".join(kept)
    return text, arrays, explicit


@pytest.mark.parametrize("seed", range(200))
def test_random_subscripts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text, arrays, _ = random_case(seed)
    want = np.einsum(text, *arrays)
    contraction._planned.cache_clear()
    for optimize in ("auto", False, True):
        if optimize is True:  # as if opt_einsum were not installed
            contraction._planned.cache_clear()
            monkeypatch.setattr(contraction, "find_spec", lambda name: None)
        got = pg.einsum(text, *arrays, optimize=optimize)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-13, err_msg=f"{text} {optimize}")
    contraction._planned.cache_clear()
    check_adjoint(lambda *xs: pg.einsum(text, *xs), arrays)
    # The derivative by each operand is the einsum itself, which is linear in each.
    points = [pg.asarray(x) for x in arrays]
    tangents = [pg.asarray(x[...] * 0.5 + 0.1) for x in arrays]
    moved = pg.jvp(lambda *xs: pg.einsum(text, *xs), tuple(points), tuple(tangents))[1]
    terms = [
        np.einsum(text, *[t.numpy() if i == k else x for k, x in enumerate(arrays)]) for i, t in enumerate(tangents)
    ]
    np.testing.assert_allclose(moved.numpy(), sum(terms), rtol=1e-10, atol=1e-12)


def test_the_gradient_has_the_operands_shape_where_it_broadcasts() -> None:
    """autograd#376"""
    for text, shapes in [
        ("...ij,...jk->...ik", [(1, 2, 3), (4, 3, 2)]),
        ("ij,ij->ij", [(1, 3), (2, 3)]),
        ("i...,i...->...", [(2, 1), (2, 3)]),
        ("...,...->...", [(3, 1), (2, 1, 4)]),
        ("ij,jk", [(2, 1), (3, 4)]),
    ]:
        arrays = [np.random.default_rng(0).uniform(0.5, 1.5, s) for s in shapes]
        found = pg.grad(lambda *xs, text=text: pg.sum(pg.einsum(text, *xs) ** 2), tuple(range(len(arrays))))(*arrays)
        assert [g.shape for g in found] == shapes


@pytest.mark.parametrize(
    ("text", "shapes", "error", "words"),
    [
        ("ij", [(2,)], ShapeError, "operand 0 has 1 dimensions"),
        ("i", [(2, 3)], ShapeError, "operand 0 has 2 dimensions"),
        ("ij...", [(2,)], ShapeError, "operand 0 has 1 dimensions"),
        ("i,i", [(2,), (3,)], ShapeError, "'i' has length 3 in operand 1"),
        ("ii->i", [(1, 3)], ShapeError, "'i' has length 3 in operand 0"),
        ("...,...", [(2, 3), (4, 3)], ShapeError, "axis 0 of '...' has length 4"),
        ("...i->i", [(2, 3)], ShapeError, "the output needs '...' too"),
        ("i,j", [(2,)], ValueError, "for 2 operands, 1 were given"),
        ("i->j", [(2,)], ValueError, "'j' of the output occurs in no operand"),
        ("i->ii", [(2,)], ValueError, "'i' occurs twice in the output"),
        ("i..", [(2,)], ValueError, "axes are named by letters"),
        ("......", [(2,)], ValueError, "axes are named by letters"),
        ("i->j->k", [(2,)], ValueError, "axes are named by letters"),
        ("1", [(2,)], ValueError, "axes are named by letters"),
    ],
)
def test_errors(text: str, shapes: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match="einsum: ") as caught:
        pg.einsum(text, *[np.ones(s) for s in shapes])
    assert words in str(caught.value)


def test_errors_of_numbered_axes() -> None:
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="list of its axes"):
        pg.einsum(x, [0, "i"])
    with pytest.raises(ValueError, match="list of its axes"):
        pg.einsum(x, x)
    with pytest.raises(ValueError, match="more than one Ellipsis"):
        pg.einsum(x, [..., ...])
    with pytest.raises(ShapeError, match="its subscripts name others: 5, 7, 9"):
        pg.einsum(x, [5, 7, 9])
    with pytest.raises(ValueError, match="at least one operand"):
        pg.einsum("i")


def test_numbered_axes_are_ordered_by_number() -> None:
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(pg.einsum(x, [10, 2]).numpy(), x.T)
    np.testing.assert_array_equal(pg.einsum(x, [2, 10]).numpy(), x)
    np.testing.assert_array_equal(pg.einsum(x, [60, 0], [0]).numpy(), x.sum(0))


def test_paths() -> None:
    arrays = [np.random.default_rng(1).uniform(size=s) for s in [(2, 3), (3, 4), (4, 2), (2,)]]
    want = np.einsum("ij,jk,kl,l->i", *arrays)
    numpys, _ = np.einsum_path("ij,jk,kl,l->i", *arrays, optimize="greedy")
    for path in (
        numpys,
        [(2, 3), (1, 2), (0, 1)],
        [(0, 1, 2, 3)],
        ((0, 3, 1), (0, 1)),
        [(1,), (0, 1), (0, 1, 2)],
        "greedy",
        "optimal",
    ):
        np.testing.assert_allclose(pg.einsum("ij,jk,kl,l->i", *arrays, optimize=path).numpy(), want, rtol=1e-13)
    for bad in ([(0, 1)], [(0, 4), (0, 1), (0, 1)], [(0, 0), (0, 1), (0, 1)]):
        with pytest.raises(ValueError, match="einsum: "):
            pg.einsum("ij,jk,kl,l->i", *arrays, optimize=bad)
    with pytest.raises(TypeError, match="optimize must be"):
        pg.einsum("ij,jk,kl,l->i", *arrays, optimize=3)


def test_a_good_order_is_chosen_without_opt_einsum(monkeypatch: pytest.MonkeyPatch) -> None:
    contraction._planned.cache_clear()
    monkeypatch.setattr(contraction, "find_spec", lambda name: None)
    lengths = {"i": 100, "j": 100, "k": 100, "l": 1}
    terms = [("i", "j"), ("j", "k"), ("k", "l")]
    assert contraction._path(list(terms), ("i", "l"), lengths, "auto") == [(1, 2), (0, 1)]  # matrix times vector first
    contraction._planned.cache_clear()


def test_dtypes(device: Any) -> None:
    whole = pg.asarray(np.asarray([[1, 2], [3, 4]], "int32"), device=device)
    assert pg.einsum("ij->i", whole).dtype is pg.int32  # a sum of its own would be int64
    assert pg.einsum("ij,jk", whole, whole).tolist() == [[7, 10], [15, 22]]
    mask = whole > 1
    made = pg.einsum("ij,jk->ik", mask, mask)
    assert made.dtype is pg.bool
    want = np.einsum("ij,jk->ik", np.asarray([[False, True], [True, True]]), np.asarray([[False, True], [True, True]]))
    assert made.tolist() == want.tolist()
    mixed = pg.einsum("ij,j", whole, pg.asarray(np.asarray([0.5, 1.0], "float32"), device=device))
    assert mixed.dtype is pg.float64


def test_one_operand_is_a_view_where_nothing_is_summed() -> None:
    x = np.arange(6.0).reshape(2, 3)
    made = pg.einsum("ij->ji", pg.asarray(x))
    x[0, 1] = 9.0
    assert made.tolist() == x.T.tolist()


def test_under_vmap() -> None:
    rng = np.random.default_rng(2)
    a, b, c = rng.uniform(size=(4, 2, 3)), rng.uniform(size=(4, 3, 3)), rng.uniform(size=(3, 2))
    for text in ("ij,jk,kl->il", "ij,jj,jl", "...j,jk,kl"):
        made = pg.vmap(lambda x, y, z, text=text: pg.einsum(text, x, y, z), in_axes=(0, 0, None))(a, b, c)
        want = np.stack([np.einsum(text, x, y, c) for x, y in zip(a, b)])
        np.testing.assert_allclose(made, want, rtol=1e-13)
