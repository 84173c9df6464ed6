"""polygrad.special beside its rows in the table: names and signatures, dtypes, what raises, singular points, vmap,
SciPy finding it, and libraries that have less."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows_special
import scipy.special
from polygrad_backends.special import OwnFunctions, SpecialFunctions

import polygrad as pg
from polygrad import special
from polygrad.core.kernels import GENERIC
from polygrad.errors import DependencyError, DTypeError, NoFunctionError, NoRuleError, ShapeError
from polygrad.testing import check_second_order

ROOT = Path(__file__).resolve().parents[2]
INF, NAN = float("inf"), float("nan")
ELSEWHERE = {"log1p", "expm1", "logsumexp", "softmax", "log_softmax"}  # reexported, with rows of their own
CASES = [
    pytest.param(row, sample, id=f"{row.name}-{i}") for row in rows_special.ROWS for i, sample in enumerate(row.samples)
]


def slope(f: Any, *args: Any, argnum: int = 0) -> Any:
    """The derivative of the sum in reverse mode; forward mode must agree."""
    arrays = [np.asarray(a) for a in args]
    with np.errstate(all="ignore"):
        found = pg.grad(lambda *xs: pg.sum(f(*xs)), argnums=argnum)(*arrays)
        tangents = tuple(np.ones_like(a) if i == argnum else np.zeros_like(a) for i, a in enumerate(arrays))
        _, moved = pg.jvp(
            lambda x: pg.sum(f(*arrays[:argnum], x, *arrays[argnum + 1 :])), (arrays[argnum],), (tangents[argnum],)
        )
    np.testing.assert_array_equal(np.sum(found), moved)
    return found


# -- names ---------------------------------------------------------------------------------------------


def test_every_function_has_a_row_and_a_docstring() -> None:
    covered = {row.name.removeprefix("special.").split()[0] for row in rows_special.ROWS}
    assert set(special.__all__) - ELSEWHERE == covered - ELSEWHERE
    for name in special.__all__:
        assert getattr(special, name).__doc__, name
    assert special.__all__ == sorted(special.__all__, key=_natural)


def _natural(name: str) -> Any:
    """The order of names that have numbers in them: exp2 before exp10."""
    import re

    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def test_every_function_that_scipy_dispatches_is_there() -> None:
    from scipy.special import _support_alternative_backends as dispatched

    assert set(dispatched.__all__) <= set(special.__all__)


@pytest.mark.parametrize("name", sorted(set(special.__all__) - ELSEWHERE))
def test_arguments_are_scipys(name: str) -> None:
    """As many as SciPy's, by the same names where it says them in its docstring."""
    own = list(inspect.signature(getattr(special, name)).parameters)
    theirs = getattr(scipy.special, name)
    if isinstance(theirs, np.ufunc):
        assert len(own) == theirs.nin
    else:
        assert own == [p for p in inspect.signature(theirs).parameters if p not in ("out", "kwargs")]
    parameters = [p.kind for p in inspect.signature(getattr(special, name)).parameters.values()]
    if isinstance(theirs, np.ufunc):
        assert set(parameters) == {inspect.Parameter.POSITIONAL_ONLY}


def test_every_function_is_in_the_reference() -> None:
    import re

    text = (ROOT / "docs/reference/special.md").read_text()
    listed = re.findall(r"^\| `(\w+)\(", text, re.MULTILINE)
    assert sorted(listed) == sorted(special.__all__)
    for line in text.splitlines():
        name = re.match(r"\| `(\w+)\(", line)
        refuses = getattr(getattr(special, name[1]), "refuses", {}) if name else {}
        if name:
            assert re.findall(r"`(\w+)`", line.split("|")[-2]) == list(refuses), line


def test_a_wrong_number_of_arguments_is_named() -> None:
    with pytest.raises(TypeError, match=r"betainc\(\) takes 3 arguments \(a, b, x\), got 2"):
        special.betainc(1.0, 2.0)


def test_the_module_is_imported_on_first_use() -> None:
    code = "import sys, polygrad as pg; print('polygrad.special' in sys.modules, 'scipy' in sys.modules); pg.special; "
    code += "print('scipy' in sys.modules); pg.special.erf(0.5); print('scipy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert out.split() == ["False", "False", "False", "True"]


# -- dtypes --------------------------------------------------------------------------------------------


def test_integers_become_float64_and_count_where_they_count(device: pg.Device) -> None:
    k = pg.asarray([1, 2, 3], device=device)
    assert special.gammaln(k).dtype is pg.float64
    assert special.beta(k, 2).dtype is pg.float64
    assert special.erf(pg.asarray([True, False], device=device)).dtype is pg.float64
    x = pg.asarray([0.3, 0.4, 0.5], device=device, dtype="float32")
    assert special.bdtr(1, k + 4, x).dtype is pg.float64  # so do arrays that count, as in SciPy
    assert special.bdtr(1, 4, x).dtype is pg.float32
    assert special.polygamma(1, x).dtype is pg.float32
    assert special.xlogy(k, x).dtype is pg.float64  # as NumPy promotes int64 and float32
    assert special.xlogy(2, x).dtype is pg.float32
    large = special.expn(2**24 + 1, x)  # which float32 does not hold
    np.testing.assert_allclose(
        large.to_device("cpu").numpy(), np.exp(-x.to_device("cpu").numpy()) / (2**24 + 1), rtol=1e-6
    )


def test_half_precision_works_in_single(device: pg.Device) -> None:
    if "float16" not in device.backend.native_dtypes:
        pytest.skip(f"{device} has no float16")
    x = pg.asarray([0.5, 1.5], device=device, dtype="float16", requires_grad=True)
    y = special.gammaln(x)
    pg.sum(y).backward()
    assert x.grad is not None
    assert (y.dtype, x.grad.dtype) == (pg.float16, pg.float16)
    np.testing.assert_allclose(x.grad.to_device("cpu").numpy(), scipy.special.digamma([0.5, 1.5]), rtol=1e-3)
    assert special.beta(x, 2.0).dtype is pg.float16
    assert [v.dtype for v in special.sici(x)] == [pg.float16] * 2
    assert [v.dtype for v in special.airy(x)] == [pg.float16] * 4
    assert special.multigammaln(x + 1.0, 2).dtype is pg.float16
    assert special.lambertw(x).dtype is pg.complex64


def test_complex_input_to_real_functions_is_refused() -> None:
    z = pg.asarray([1.0 + 1.0j])
    for f in (special.gammaln, special.expit, special.sici, special.airy, pg.sigmoid):
        with pytest.raises(DTypeError, match="real"):
            f(z)
    with pytest.raises(DTypeError, match="'b' is complex128"):
        special.beta(1.0, z)


def test_results_of_numbers_arrays_and_lists() -> None:
    assert special.erf(0.5).item() == scipy.special.erf(0.5)
    assert special.beta([1.0, 2.0], 3).tolist() == scipy.special.beta([1.0, 2.0], 3).tolist()
    assert special.xlogy(np.ones((2, 1)), np.ones(3)).shape == (2, 3)


def test_wrong_static_arguments() -> None:
    a = pg.asarray([3.0])
    for d in (0, 1.5, -2, "two", np.ones(2)):
        with pytest.raises(ShapeError, match="positive integer"):
            special.multigammaln(a, d)
    assert special.multigammaln(a, np.asarray(2)).tolist() == scipy.special.multigammaln([3.0], 2).tolist()
    assert np.isnan(special.multigammaln([0.4, 3.0], 2).numpy()).tolist() == [True, False]
    with pytest.raises(DTypeError, match="branch"):
        special.lambertw(1.0, k=0.5)  # type: ignore[arg-type]
    assert special.lambertw(-0.1, k=-1).item() == scipy.special.lambertw(-0.1, -1)


# -- what has no derivative ----------------------------------------------------------------------------

REFUSED = [
    ("jv", 0, (0.5, 1.0), "there is no formula"), ("iv", 0, (0.5, 1.0), "no formula"), ("kv", 0, (0.5, 1.0), "no formula"),
    ("yv", 0, (0.5, 1.0), "no formula"), ("ive", 0, (0.5, 1.0), "no formula"), ("kve", 0, (0.5, 1.0), "no formula"),
    ("struve", 0, (0.5, 1.0), "no formula"), ("modstruve", 0, (0.5, 1.0), "no formula"),
    ("hyp0f1", 0, (1.0, 1.0), "no formula"), ("hyp1f1", 0, (1.0, 1.0, 1.0), "no formula"),
    ("hyp1f1", 1, (1.0, 1.0, 1.0), "no formula"), ("hyp2f1", 2, (1.0, 1.0, 1.5, 0.5), "no formula"),
    ("lpmv", 1, (1.0, 2.0, 0.5), "no formula"), ("lpmv", 0, (1.0, 2.0, 0.5), "integer"),
    ("polygamma", 0, (1.0, 2.0), "integer"), ("expn", 0, (1.0, 2.0), "integer"), ("yn", 0, (1.0, 2.0), "integer"),
    ("kn", 0, (1.0, 2.0), "integer"), ("bdtr", 1, (1.0, 4.0, 0.5), "integer"), ("nbdtr", 0, (1.0, 4.0, 0.5), "integer"),
    ("pdtri", 0, (1.0, 0.5), "integer"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:non-integer arg n")
@pytest.mark.parametrize(("name", "argnum", "args", "why"), REFUSED)
def test_differentiating_without_a_rule_raises(name: str, argnum: int, args: Any, why: str) -> None:
    f = getattr(special, name)
    argument = list(inspect.signature(f).parameters)[argnum]
    with pytest.raises(NoRuleError, match=f"{name} has no derivative by its argument '{argument}'.*{why}"):
        pg.grad(f, argnums=argnum)(*args)
    with pytest.raises(NoRuleError, match="detach"):
        pg.jvp(lambda v: f(*args[:argnum], v, *args[argnum + 1 :]), (args[argnum],), (1.0,))
    x = [pg.asarray(a, requires_grad=True) for a in args]
    y = f(*[t.detach() if i == argnum or i < len(args) - 1 else t for i, t in enumerate(x)])
    y.backward()  # by the last argument, the others detached
    assert np.isfinite(x[-1].grad.item())


def test_every_refusal_is_in_the_table_above() -> None:
    found = {
        (name, list(getattr(special, name).op.forward.__code__.co_varnames).index(a) - 1)
        for name in special.__all__
        if hasattr(getattr(special, name), "refuses")
        for a in getattr(special, name).refuses
    }
    names = {name for name, _ in found}
    assert names - {"bdtrc", "bdtri", "nbdtrc", "nbdtri"} == {name for name, *_ in REFUSED}


def test_flat_arguments_have_slope_zero() -> None:
    assert slope(special.gammasgn, -0.5) == 0
    for name in ("bdtr", "bdtrc", "bdtri"):
        assert slope(lambda k, name=name: getattr(special, name)(k, 5, 0.3), 2.4) == 0
    for name in ("pdtr", "pdtrc"):
        assert slope(getattr(special, name), 2.4, 3.0) == 0


# -- singular points -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "argnum", "expected"),
    [
        ("xlogy", (0.0, 0.5), 0, np.log(0.5)), ("xlogy", (0.0, 0.0), 0, -INF), ("xlogy", (0.0, 0.0), 1, 0.0),
        ("xlogy", (0.0, NAN), 1, NAN), ("xlogy", (2.0, 0.0), 1, INF), ("xlog1py", (0.0, -1.0), 1, 0.0),
        ("xlog1py", (0.0, -1.0), 0, -INF), ("entr", (0.0,), 0, INF), ("entr", (NAN,), 0, NAN),
        ("rel_entr", (0.0, 0.0), 1, 0.0), ("rel_entr", (0.0, 2.0), 0, -INF), ("rel_entr", (0.0, 2.0), 1, 0.0),
        ("kl_div", (0.0, 0.0), 1, 0.0), ("kl_div", (0.0, 2.0), 1, 1.0), ("kl_div", (0.0, 2.0), 0, -INF),
        ("kl_div", (2.0, 2.0), 0, 0.0), ("logit", (0.0,), 0, INF), ("logit", (1.0,), 0, INF), ("cbrt", (0.0,), 0, INF),
        ("erfinv", (1.0,), 0, INF), ("ndtri", (0.0,), 0, INF), ("exprel", (0.0,), 0, 0.5), ("sinc", (0.0,), 0, 0.0),
        ("expit", (INF,), 0, 0.0), ("expit", (-INF,), 0, 0.0), ("softplus", (0.0,), 0, 0.5), ("softplus", (NAN,), 0, NAN),
        ("huber", (1.0, 1.0), 1, 1.0), ("huber", (1.0, 1.0), 0, 0.0), ("huber", (0.0, 2.0), 1, 0.0),
        ("pseudo_huber", (0.0, 0.0), 0, 0.0), ("pseudo_huber", (0.0, 0.0), 1, 0.0), ("pseudo_huber", (0.0, 2.0), 0, 2.0),
        ("boxcox", (2.0, 0.0), 1, np.log(2) ** 2 / 2), ("boxcox", (1.0, 3.0), 1, 0.0), ("boxcox", (0.0, 1.0), 0, 1.0),
        ("inv_boxcox", (2.0, 0.0), 0, np.exp(2)), ("inv_boxcox", (2.0, 0.0), 1, -2 * np.exp(2)),
        ("inv_boxcox", (-2.0, 0.5), 0, 0.0), ("inv_boxcox", (-0.5, 2.0), 0, INF), ("inv_boxcox", (-1.0, 1.0), 0, 1.0),
        ("inv_boxcox1p", (2.0, 0.0), 1, -2 * np.exp(2)), ("spence", (1.0,), 0, -1.0), ("spence", (0.0,), 0, -INF),
        ("j1", (0.0,), 0, 0.5), ("i1", (0.0,), 0, 0.5), ("i1e", (0.0,), 0, 0.5), ("i0e", (0.0,), 0, 0.0),
        ("j0", (0.0,), 0, 0.0), ("rgamma", (0.0,), 0, 1.0), ("rgamma", (-1.0,), 0, -1.0), ("rgamma", (-2.0,), 0, 2.0),
        ("gammainc", (1.0, 0.0), 1, 1.0), ("gammainc", (2.0, 0.0), 1, 0.0), ("gammainc", (0.5, 0.0), 1, INF),
        ("gammainc", (20.0, 0.0), 1, 0.0), ("gammainc", (2.0, INF), 1, 0.0), ("gammainc", (2.0, 0.0), 0, 0.0),
        ("gammainc", (2.0, INF), 0, 0.0), ("gammainc", (NAN, 1.0), 0, NAN), ("gammainc", (2.0, NAN), 1, NAN),
        ("betainc", (1.0, 1.0, 0.0), 2, 1.0), ("betainc", (1.0, 1.0, 1.0), 2, 1.0), ("betainc", (20.0, 20.0, 0.0), 2, 0.0),
        ("betainc", (20.0, 20.0, 1.0), 2, 0.0), ("betainc", (0.5, 2.0, 0.0), 2, INF), ("betainc", (2.0, 2.0, 0.0), 0, 0.0),
        ("betainc", (2.0, 2.0, 1.0), 1, 0.0), ("betainc", (2.0, NAN, 0.5), 0, NAN), ("stdtr", (3.0, 0.0), 0, 0.0),
        ("stdtr", (3.0, INF), 1, 0.0), ("fdtr", (2.0, 3.0, 0.0), 0, 0.0), ("fdtr", (2.0, 3.0, 0.0), 2, 1.0),
        ("bdtr", (5, 5, 0.3), 2, 0.0), ("struve", (0.0, 0.0), 1, 2 / np.pi), ("struve", (1.0, 0.0), 1, 0.0),
        ("agm", (1.0, 1.0), 0, 0.5), ("ellipk", (0.0,), 0, np.pi / 8), ("ellipe", (0.0,), 0, -np.pi / 8),
        ("ellipkinc", (0.0, 0.5), 1, 0.0), ("ellipkinc", (0.5, 0.0), 0, 1.0), ("log_ndtr", (0.0,), 0, np.sqrt(2 / np.pi)),
        ("digamma", (0.0,), 0, INF), ("gammaln", (NAN,), 0, NAN), ("zeta", (0.0,), 0, -np.log(2 * np.pi) / 2),
        ("expn", (0, 2.0), 1, -np.exp(-2) * 0.75), ("wrightomega", (1.0,), 0, 0.5),
    ],
)  # fmt: skip
def test_at_singular_points(name: str, args: Any, argnum: int, expected: float) -> None:
    np.testing.assert_allclose(slope(getattr(special, name), *args, argnum=argnum), expected, rtol=2e-15)


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [(lambda x: special.sici(x)[0], 0.0, 1.0), (lambda x: special.shichi(x)[0], 0.0, 1.0),
     (lambda x: special.sici(x)[1], 0.0, INF), (lambda x: special.fresnel(x)[1], 0.0, 1.0),
     (lambda x: special.airy(x)[0], 0.0, -0.2588194037928068)],
)  # fmt: skip
def test_at_singular_points_of_pairs(f: Any, x: float, expected: float) -> None:
    np.testing.assert_allclose(slope(f, x), expected, rtol=2e-15)


@pytest.mark.parametrize("x", [0.0, 1e-3])
def test_second_derivatives_where_formulas_meet(x: float) -> None:
    """Both sides of a ``where`` are differentiated; the one not taken must leave nothing, not even nan."""
    from math import pi

    for f, expected in [
        (special.j1, -0.375 * x), (special.i1, 0.375 * x), (special.exprel, 1 / 3 + x / 4), (special.expit, -x / 8),
        (special.sinc, -(pi**2) / 3 + pi**4 / 10 * x**2), (special.erf, -4 / np.sqrt(pi) * x),
    ]:  # fmt: skip
        np.testing.assert_allclose(pg.grad(pg.grad(f))(x), expected, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize(("below", "expected"), [(1e-06, 1048572937925.3002), (1e-08, 104857644703762.55)])
def test_incomplete_integrals_far_out_have_pi_to_more_digits(below: float, expected: float) -> None:
    """Half a period beyond 2^20 of them the slope by m changes fast; the values are differences in mpmath, 50 digits."""
    phi = 2**20 * np.pi + np.pi / 2
    np.testing.assert_allclose(slope(special.ellipkinc, phi, 1 - below, argnum=1), expected, rtol=1e-14)


def test_digamma_far_left_returns() -> None:
    """SciPy's trigamma counts up from its argument one by one; the derivative of digamma must not."""
    assert np.isfinite(slope(special.psi, -1e12 + 0.25))


# -- second order of the long ones, vmap ---------------------------------------------------------------


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("row", "sample"), [c for c in CASES if not c.values[0].second])
def test_second_order_of_the_long_ones(row: Any, sample: Any) -> None:
    check_second_order(lambda *xs: row.f(pg.Device("cpu").xp, *xs), [pg.asarray(x) for x in sample])


@pytest.mark.parametrize(("row", "sample"), CASES)
def test_vmap_is_a_loop(row: Any, sample: Any) -> None:
    """Values and gradients; every other argument is the same for all examples."""
    xp = pg.Device("cpu").xp
    batches = [np.stack([x, x * 0.99, x * 0.98]) if i % 2 == 0 else x for i, x in enumerate(sample)]
    axes = tuple(0 if i % 2 == 0 else None for i in range(len(sample)))

    def total(*xs: Any) -> Any:
        out = row.f(xp, *xs)
        parts = out if isinstance(out, tuple) else (out,)
        return sum(pg.sum(pg.real(y) if y.dtype.kind == "c" else y) for y in parts)

    def each(f: Any) -> list[Any]:
        return [f(*[b[i] if a == 0 else b for a, b in zip(axes, batches)]) for i in range(3)]

    np.testing.assert_allclose(pg.vmap(total, in_axes=axes)(*batches), each(total), rtol=1e-13)
    gradient = pg.grad(total)
    np.testing.assert_allclose(
        pg.vmap(gradient, in_axes=axes)(*batches), np.stack(each(gradient)), rtol=1e-10, atol=1e-13
    )
    outside = pg.grad(lambda x: pg.sum(pg.vmap(total, in_axes=axes)(x, *batches[1:])))(batches[0])
    np.testing.assert_allclose(outside, np.stack(each(gradient)), rtol=1e-10, atol=1e-13)


def test_large_arrays_are_integrated_in_parts() -> None:
    """By parameters: the nodes go by eights there, all at once for small arrays."""
    a = np.linspace(0.5, 5.0, 3000)
    whole = slope(special.gammainc, a, a + 0.5)
    np.testing.assert_allclose(whole[::500], slope(special.gammainc, a[::500], a[::500] + 0.5), rtol=1e-13)


# -- sigmoid -------------------------------------------------------------------------------------------


def test_sigmoid(device: pg.Device) -> None:
    x = pg.asarray([-1000.0, -40.0, -1.0, 0.0, 2.0, 40.0, 1000.0], device=device, requires_grad=True)
    y = pg.sigmoid(x)
    np.testing.assert_allclose(
        y.detach().to_device("cpu").numpy(), scipy.special.expit(np.asarray(x.tolist())), rtol=1e-15
    )
    pg.sum(y).backward()
    assert x.grad is not None
    e = np.exp(-np.abs(np.asarray(x.tolist())))
    np.testing.assert_allclose(x.grad.to_device("cpu").numpy(), e / (1 + e) ** 2, rtol=1e-15)
    assert pg.sigmoid(pg.asarray([1, 2], device=device)).dtype is pg.float64
    assert np.isnan(pg.grad(pg.sigmoid)(NAN))


def test_sigmoid_in_all_modes() -> None:
    from polygrad.testing import check_grads

    check_grads(pg.sigmoid, [pg.asarray([-2.0, 0.3, 1.0])])
    x = np.linspace(-2, 2, 5)
    np.testing.assert_allclose(pg.vmap(pg.grad(pg.sigmoid))(x), slope(pg.sigmoid, x), rtol=1e-15)


# -- libraries -----------------------------------------------------------------------------------------

KERNELS = {
    "sigmoid": None, "expit": (1,), "logit": (1,), "softplus": (1,), "log_expit": (1,), "xlogy": (2,), "xlog1py": (2,),
    "entr": (1,), "rel_entr": (2,), "kl_div": (2,), "huber": (2,), "pseudo_huber": (2,), "exp2": (1,), "exp10": (1,),
    "exprel": (1,), "boxcox": (2,), "boxcox1p": (2,), "inv_boxcox": (2,), "inv_boxcox1p": (2,), "sinc": (1,),
    "erfcinv": (1,), "loggamma": (1,), "betaln": (2,), "beta": (2,), "betaincc": (3,), "kn": (2,), "elliprd": (3,),
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n, arity in KERNELS.items() if arity])
def test_generic_versions_agree_with_scipy(name: str) -> None:
    """What a library without the function runs."""
    (arity,) = KERNELS[name]
    rng = np.random.default_rng(3)
    args = [rng.uniform(0.05, 0.95, 50) for _ in range(arity)]
    if name == "kn":
        args[0] = np.arange(50) % 4
    raw = pg.Device("cpu").raw
    np.testing.assert_allclose(
        GENERIC[f"special.{name}"](raw, *args), getattr(scipy.special, name)(*args), 2e-13, 1e-15
    )


@pytest.mark.parametrize(
    ("name", "args"),
    [("xlogy", (0.0, 0.0)), ("xlogy", (0.0, NAN)), ("xlog1py", (0.0, -1.0)), ("entr", (0.0,)), ("entr", (-1.0,)),
     ("rel_entr", (0.0, 2.0)), ("rel_entr", (1.0, -2.0)), ("rel_entr", (1.0, NAN)), ("kl_div", (0.0, 2.0)),
     ("kl_div", (-1.0, 2.0)), ("kl_div", (3.0, 3.0)), ("huber", (-1.0, 2.0)), ("huber", (1.0, 2.0)),
     ("pseudo_huber", (-1.0, 2.0)), ("pseudo_huber", (0.0, 0.0)), ("exprel", (0.0,)), ("sinc", (0.0,)),
     ("boxcox", (2.0, 0.0)), ("inv_boxcox", (2.0, 0.0)), ("inv_boxcox1p", (2.0, 0.0)), ("loggamma", (-0.5,)),
     ("softplus", (800.0,)), ("log_expit", (-800.0,)), ("expit", (-800.0,))],
)  # fmt: skip
def test_generic_versions_at_limits(name: str, args: Any) -> None:
    arrays = [np.asarray(a) for a in args]
    with np.errstate(all="ignore"):
        found = GENERIC[f"special.{name}"](pg.Device("cpu").raw, *arrays)
    np.testing.assert_allclose(found, getattr(scipy.special, name)(*arrays), rtol=1e-14)


def test_a_function_that_a_gpu_lacks_names_itself_and_the_way_out() -> None:
    own = OwnFunctions("cuda:0", lambda: scipy.special, {"erf": "erf", "zzz": "zzz"})
    assert own.erf(0.5) == scipy.special.erf(0.5)
    assert OwnFunctions("cuda:0", lambda: scipy.special).gamma(0.5) == scipy.special.gamma(0.5)
    for name in ("gamma", "zzz"):
        with pytest.raises(NoFunctionError, match=rf"'{name}' is not there on 'cuda:0'.*to_device\(\"cpu\"\)"):
            getattr(own, name)
    assert not hasattr(own, "__wrapped__")


def test_a_library_without_special_functions_gets_the_generic_ones_or_an_error() -> None:
    import types

    from polygrad.backend import RawNamespace

    bare = types.ModuleType("bare")
    raw = RawNamespace(bare, log=np.log, where=np.where, ones_like=np.ones_like, zeros_like=np.zeros_like)
    assert raw.special.xlogy(np.asarray(2.0), np.asarray(3.0)) == scipy.special.xlogy(2.0, 3.0)
    with pytest.raises(NoFunctionError, match=r"raw namespace over bare.*'struve'.*to_device"):
        raw.special.struve  # noqa: B018
    assert not hasattr(raw.special, "struve")
    with pytest.raises(AttributeError):
        raw.linalg.qr  # noqa: B018


def test_without_scipy_what_needs_it_says_so_and_the_rest_works() -> None:
    code = """
        import sys
        sys.modules["scipy"] = sys.modules["scipy.special"] = None
        import polygrad as pg
        from polygrad.errors import DependencyError
        x = pg.asarray([0.5, 0.25], requires_grad=True)
        pg.sum(pg.special.xlogy(x, x) + pg.special.expit(x) + pg.special.softplus(x)).backward()
        print(x.grad.shape)
        try:
            pg.special.gammaln(x)
        except DependencyError as error:
            print("pip install scipy" in str(error))
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert out.stdout.split("\n")[:2] == ["(2,)", "True"]


def test_a_library_on_the_host_without_scipy_falls_back_on_its_own() -> None:
    def missing() -> Any:
        raise DependencyError("no scipy")

    own = SpecialFunctions(np.asarray, np.asarray, (np.ndarray,), fallback=lambda name: name, source=missing)
    assert own.gammaln == "gammaln"
    with pytest.raises(DependencyError):
        SpecialFunctions(np.asarray, np.asarray, (np.ndarray,), source=missing).gammaln  # noqa: B018
    assert not hasattr(own, "__wrapped__")


@pytest.mark.devices("jax")
def test_jax_may_trace_a_program(device: pg.Device) -> None:
    """Arrays without values get JAX's own functions and the generic kernels; what it lacks says so."""
    import jax
    import jax.numpy as jnp

    x = jnp.asarray([0.5, 1.5])

    def f(x: Any) -> Any:
        return pg.grad(lambda t: pg.sum(special.gammaln(t) + special.gammainc(t, 0.7) + special.softplus(t)))(x)

    np.testing.assert_allclose(jax.jit(f)(x), f(x), rtol=1e-9)
    with pytest.raises(NoFunctionError, match="struve"):
        jax.jit(lambda x: special.struve(0.0, x)._value)(x)


@pytest.mark.devices("dask")
def test_dask_stays_lazy(device: pg.Device) -> None:
    import dask.array as da

    x = pg.asarray(da.ones((6,), chunks=2), requires_grad=True)
    y = special.gammainc(x, 2.0)
    assert y._value.npartitions == 3
    assert special.airy(x)[2]._value.npartitions == 3
    special.gammainc(pg.asarray(2.0, device=device), 1.0)
    pg.sum(y).backward()
    np.testing.assert_allclose(
        np.asarray(x.grad.tolist()), slope(special.gammainc, np.ones(6), np.full(6, 2.0)), rtol=1e-14
    )


@pytest.mark.devices("torch")
def test_torch_shares_memory_with_scipy(device: pg.Device) -> None:
    z = pg.asarray([1.0 + 1.0j], device=device)
    np.testing.assert_allclose(special.erf(z).tolist(), scipy.special.erf(np.asarray([1.0 + 1.0j])).tolist())


# -- SciPy ---------------------------------------------------------------------------------------------

FOUND_BY_SCIPY = """
import json
import numpy as np, scipy.special, scipy.stats
import polygrad as pg

rng = np.random.default_rng(0)
a, b = rng.normal(size=12) + 0.3, rng.normal(size=12)
programs = {
    "gammaln": lambda x: pg.sum(scipy.special.gammaln(x * x + 0.5)),
    "betainc": lambda x: pg.sum(scipy.special.betainc(x * x + 0.5, 2.0, 0.3)),
    "polygamma": lambda x: pg.sum(scipy.special.polygamma(1, x * x + 0.5)),
    "zeta": lambda x: pg.sum(scipy.special.zeta(x * x + 1.5, 2.0)),
    "xlogy": lambda x: pg.sum(scipy.special.xlogy(x * x, x * x)),
    "multigammaln": lambda x: pg.sum(scipy.special.multigammaln(x * x + 1.5, 2)),
    "ttest_1samp": lambda x: scipy.stats.ttest_1samp(x, 0.0).pvalue,
    "ttest_ind": lambda x: scipy.stats.ttest_ind(x, pg.asarray(b)).pvalue,
    "f_oneway": lambda x: scipy.stats.f_oneway(x, pg.asarray(b)).pvalue,
    "normaltest": lambda x: scipy.stats.normaltest(x).pvalue,
    "bartlett": lambda x: scipy.stats.bartlett(x, pg.asarray(b)).pvalue,
    "entropy": lambda x: scipy.stats.entropy(pg.exp(x), pg.exp(pg.asarray(b))),
}
direction = rng.normal(size=12)
found = {}
for name, f in programs.items():
    x = pg.asarray(a, copy=True, requires_grad=True)
    y = f(x)
    assert type(y) is pg.Tensor, name
    y.backward()
    h = 1e-5
    ahead, behind = (float(f(pg.asarray(a + s * h * direction))) for s in (1, -1))
    found[name] = [float(x.grad.numpy() @ direction), (ahead - behind) / (2 * h)]
print(json.dumps(found))
"""


def test_scipy_finds_the_functions_and_statistics_are_differentiable() -> None:
    import json
    import os

    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FOUND_BY_SCIPY],
        check=True, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "SCIPY_ARRAY_API": "1"},
    )  # fmt: skip
    for name, (got, expected) in json.loads(out.stdout).items():
        assert abs(got - expected) <= 1e-7 * max(abs(expected), 1e-3), name
