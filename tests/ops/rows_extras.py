"""The rows of what stands beyond the standard: importing this module appends them to the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.integrate
import scipy.special
from table import integers, positive, row

import polygrad as pg

_rng = np.random.default_rng(20261126)


def real(*shape: int) -> Any:
    """Signed numbers of magnitude 0.2 to 1.7, no two less than some hundredths apart."""
    size = int(np.prod(shape))
    magnitude = 0.2 + 1.5 * (_rng.permutation(size) + _rng.uniform(0.3, 0.7, size)) / max(size, 1)
    return (magnitude * _rng.choice([-1.0, 1.0], size)).reshape(shape)


def cplx(*shape: int) -> Any:
    return real(*shape) + 1j * real(*shape)


def holed(x: Any, *places: int) -> Any:
    """A copy with nan at some places of the flattened array."""
    made = np.array(x)
    made.reshape(-1)[list(places)] = np.nan
    return made


# JAX compiles each op anew for each shape (0.1 to 1 s), and Dask schedules each op's task (10 ms): their gradients run
# for what has rules of its own, and for a few functions made of others; the values of all the rest on these libraries
# are in test_extras.py and its neighbours. array-api-strict, slow at adding up by index, leaves out variants of what
# does that the most.
VARIANT = {"jax": "a variant of another row", "dask": "a variant of another row"}
SLOW_VARIANT = VARIANT | {"strict": "a variant of a row that runs there"}
MADE_OF_OTHERS = {
    "jax": "made of functions whose rows run there",
    "dask": "made of functions whose rows run there",
}
EVERYWHERE = (
    "einsum ij,jk->ik", "pad constant", "cummax axis 0", "nanmax", "sliding_window_view", "heaviside",
    "cumulative_logsumexp axis 0",
)  # fmt: skip


def beyond(
    label: str,
    f: Callable[..., Any],
    reference: Callable[..., Any],
    *samples: Any,
    more: tuple[Any, ...] = (),
    **options: Any,
) -> None:
    """A row of samples for all libraries, and with ``more`` another of variants."""
    if samples:
        skip = {} if label in EVERYWHERE else MADE_OF_OTHERS
        row(label, lambda xp, *arrays: f(*arrays), *samples, reference=reference, skip=skip, **options)
    if more:
        skip = SLOW_VARIANT if label.startswith(("quantile", "interp")) else VARIANT
        row(f"{label}, more", lambda xp, *arrays: f(*arrays), *more, reference=reference, skip=skip, **options)


def variant(label: str, f: Callable[..., Any], reference: Callable[..., Any], *samples: Any, **options: Any) -> None:
    beyond(label, f, reference, more=samples, **options)


# -- einsum ------------------------------------------------------------------------------------------


def einsum(label: str, *samples: Any, everywhere: bool = False, **options: Any) -> None:
    def f(*arrays: Any) -> Any:
        return pg.einsum(label, *arrays, **options)

    how = beyond if everywhere else variant
    how(f"einsum {label}", f, lambda *arrays: np.einsum(label, *arrays), *samples)


einsum("ij,jk->ik", (cplx(3, 4), real(4, 2)), everywhere=True)
einsum("bij,bjk->bik", (real(2, 3, 4), real(2, 4, 2)), everywhere=True)
einsum("ii->i", (real(3, 3),), everywhere=True)
einsum("...ij,...jk->...ik", (real(1, 3, 4), real(2, 1, 4, 2)), everywhere=True)
einsum("ij,j", (real(3, 4), real(4)), (cplx(0, 3), cplx(3)), (real(3, 0), real(0)))
einsum("ii", (cplx(3, 3),))
einsum("iji->j", (real(3, 2, 3),))
einsum("iijj", (real(2, 2, 3, 3),))
einsum("ba", (real(2, 3),))
einsum("ij->", (real(2, 3),))
einsum("i->i", (real(3),))
einsum(",ij->ij", (real(), real(2, 3)))
einsum("ijk,ljm->kl", (real(2, 3, 4), real(2, 3, 2)))
einsum("i,i,i->i", (real(3), real(3), real(3)))
einsum("ij,jk,kl->il", (real(2, 3), cplx(3, 2), real(2, 4)))
einsum("a,ab,bc,cd,d", (real(2), real(2, 3), real(3, 2), real(2, 3), real(3)))
einsum("bhid,bhjd->bhij", (real(2, 2, 3, 4), real(2, 2, 2, 4)))
einsum("ij,ij->i", (real(1, 4), real(3, 4)), (real(3, 1), real(3, 4)))
einsum("i...,...i->...", (real(3, 2), real(4, 1, 3)))
variant(
    "einsum by numbers",
    lambda x, y: pg.einsum(x, [0, 7, ...], y, [7, 1, ...], [1, ..., 0]),
    lambda x, y: np.einsum(x, [0, 7, ...], y, [7, 1, ...], [1, ..., 0]),
    (real(2, 3, 2), real(3, 2, 1)),
)

# -- pad ---------------------------------------------------------------------------------------------


def pad(label: str, width: Any, *samples: Any, everywhere: bool = False, **options: Any) -> None:
    how = beyond if everywhere else variant
    how(f"pad {label}", lambda x: pg.pad(x, width, **options), lambda x: np.pad(x, width, **options), *samples)


pad("constant", ((1, 2), (0, 3)), (real(3, 4),), (cplx(2, 2),), everywhere=True)
pad("reflect", ((1, 2), (0, 3)), (real(3, 4),), mode="reflect", everywhere=True)
pad("of one width", 2, (real(3),), (real(0, 2),), (real(),), constant_values=0.5)
pad("with pairs of values", (1, 2), (real(2, 3),), constant_values=((1.0, 2.0), (3.0, 4.0)))
pad("edge", (2, 1), (real(2, 3),), (cplx(1),), mode="edge")
pad("reflect, longer than the array", 7, (real(3),), (real(1),), (real(2, 4),), mode="reflect")
pad("symmetric", ((1, 0), (3, 2)), (real(3, 2),), mode="symmetric")
pad("symmetric, longer than the array", 7, (real(2),), (real(1),), mode="symmetric")
pad("wrap", ((1, 0), (3, 4)), (real(3, 2),), (real(1, 1),), mode="wrap")
pad("by nothing", 0, (real(2, 2),), mode="edge")
variant(
    "pad with values that have gradients",
    lambda x, a, b: pg.pad(x, ((1, 1), (2, 0)), constant_values=((a, b), (b, a))),
    lambda x, a, b: np.pad(x, ((1, 1), (2, 0)), constant_values=((a, b), (b, a))),
    (real(2, 2), real(), real()),
)
variant(
    "pad with an array of values",
    lambda x, v: pg.pad(x, 1, constant_values=v),
    lambda x, v: np.pad(x, 1, constant_values=v),
    (real(2, 2), real(2, 2)), (real(2, 2), real(2)), (real(2, 2), real()),
)  # fmt: skip

# -- order -------------------------------------------------------------------------------------------

NAN_SAMPLE = holed(real(3, 4), 1, 6, 7)

for _label, _options in [("", {}), (" axis 0", {"axis": 0}), (" keepdims", {"axis": (0, -1), "keepdims": True})]:
    _samples: list[Any] = [(real(3, 4),), (real(2, 5),)]
    for _name in ("median", "nanmedian"):
        _f, _g = getattr(pg, _name), getattr(np, _name)
        _own = _samples if _name == "median" else [*_samples[:1], (NAN_SAMPLE,)]
        (variant if _label else beyond)(
            f"{_name}{_label}",
            lambda x, _f=_f, _options=_options: _f(x, **_options),
            lambda x, _g=_g, _options=_options: _g(x, **_options),
            *_own,
        )
variant("median of one", pg.median, np.median, (real(),), (real(1),))


def quantile(label: str, *samples: Any, everywhere: bool = False, **options: Any) -> None:
    how = beyond if everywhere else variant
    how(
        f"quantile {label}",
        lambda x, q: pg.quantile(x, q, **options),
        lambda x, q: np.quantile(x, q, **options),
        *samples,
    )


PARTS = np.asarray([[0.13, 0.77], [0.5, 0.9]])
quantile("axis 0", (real(5, 3), PARTS[0]), everywhere=True, axis=0)
quantile("all", (real(3, 4), np.asarray(0.3)), (real(6), PARTS), (real(1), PARTS[0]), (real(), PARTS[0]))
quantile("keepdims", (real(2, 3, 4), PARTS), (real(2, 3, 4), np.asarray(0.41)), axis=(0, 2), keepdims=True)
for _method in ("lower", "higher", "nearest", "midpoint"):
    quantile(_method, (real(5, 3), np.asarray([0.1, 0.4, 0.9])), axis=0, method=_method)
variant("quantile of numbers", lambda x: pg.quantile(x, 0.3, -1), lambda x: np.quantile(x, 0.3, -1), (real(3, 4),))
variant(
    "quantile of lists", lambda x: pg.quantile(x, [0.0, 0.35, 1.0]), lambda x: np.quantile(x, [0, 0.35, 1]), (real(6),)
)


def _np_topk(x: Any, k: int, axis: int, largest: bool = True) -> Any:
    order = np.argsort(-x if largest else x, axis=axis, stable=True)
    indices = np.take(order, np.arange(k), axis=axis)
    return np.take_along_axis(x, indices, axis), indices


beyond("topk", lambda x: tuple(pg.topk(x, 2)), lambda x: _np_topk(x, 2, -1), (real(3, 4),))
variant("topk smallest", lambda x: tuple(pg.topk(x, 3, 0, False)), lambda x: _np_topk(x, 3, 0, False), (real(4, 2),))
variant("topk of none", lambda x: tuple(pg.topk(x, 0)), lambda x: _np_topk(x, 0, -1), (real(4, 2),))
for _axis in (0, 1, -1):
    (beyond if _axis == 0 else variant)(
        f"cummax axis {_axis}",
        lambda x, _axis=_axis: pg.cummax(x, _axis),
        lambda x, _axis=_axis: np.maximum.accumulate(x, _axis),
        (real(5, 3),),
    )
beyond("cummin", pg.cummin, lambda x: np.minimum.accumulate(x, -1), (real(9),), more=((real(1),), (real(2, 0),)))

# -- without nan -------------------------------------------------------------------------------------

for _name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"):
    _f, _g = getattr(pg, _name), getattr(np, _name)
    beyond(_name, _f, _g, (NAN_SAMPLE,), more=((real(2, 3),), (real(),)))
    for _options in ({"axis": 0}, {"axis": (0, -1), "keepdims": True}):
        variant(
            f"{_name} {_options}",
            lambda x, _f=_f, _options=_options: _f(x, **_options),
            lambda x, _g=_g, _options=_options: _g(x, **_options),
            (holed(real(2, 3, 4), 0, 5, 7),),
        )
for _name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd"):
    variant(f"{_name} complex", getattr(pg, _name), getattr(np, _name), (holed(cplx(5), 1),))
variant(
    "nanstd corrected",
    lambda x: pg.nanstd(x, axis=1, correction=1.5),
    lambda x: np.nanstd(x, axis=1, ddof=1.5),
    (NAN_SAMPLE,),
)
_EXTREMES = np.asarray([0.5, np.nan, np.inf, -0.7, -np.inf])
beyond(
    "nan_to_num",
    lambda x: pg.nan_to_num(x, posinf=2.0, neginf=-3.0),
    lambda x: np.nan_to_num(x, posinf=2.0, neginf=-3.0),
    (real(3, 2),),
)
variant("nan_to_num complex", lambda x: pg.nan_to_num(x, nan=1.5), lambda x: np.nan_to_num(x, nan=1.5), (cplx(3),))

# -- calculus ----------------------------------------------------------------------------------------

_XP, _X = np.asarray([-1.0, 0.1, 0.5, 2.0]), np.asarray([[-0.4, 0.3, 1.7], [-2.0, 2.5, 0.45]])
beyond("interp", pg.interp, np.interp, (_X, _XP, real(4)), more=((_X, _XP, cplx(4)), (np.asarray(0.2), _XP, real(4))))
variant("interp between two", pg.interp, np.interp, (_X, _XP[:2], real(2)))
variant(
    "interp with ends",
    lambda x, xp, fp, left, right: pg.interp(x, xp, fp, left, right),
    lambda x, xp, fp, left, right: np.interp(x, xp, fp, float(left), float(right)),
    (_X, _XP, real(4), real(), real()),
)
beyond("trapezoid", pg.trapezoid, np.trapezoid, (real(3, 4), positive(4)), more=((cplx(3, 4), real(3, 4)),))
variant("trapezoid dx", lambda y, dx: pg.trapezoid(y, dx=dx), lambda y, dx: np.trapezoid(y, dx=dx), (real(4), real()))
variant(
    "trapezoid axis",
    lambda y, x: pg.trapezoid(y, x, axis=0),
    lambda y, x: np.trapezoid(y, x, axis=0),
    (real(4, 3), real(4)), (real(4, 3), real(4, 1)), (real(1, 2), real(1)),
)  # fmt: skip
variant(
    "cumulative_trapezoid",
    lambda y, x: pg.cumulative_trapezoid(y, x, axis=0),
    lambda y, x: scipy.integrate.cumulative_trapezoid(y, x, axis=0),
    (real(4, 3), real(4)), (cplx(4, 3), real(4)),
)  # fmt: skip
variant(
    "cumulative_trapezoid from the start",
    lambda y: pg.cumulative_trapezoid(y, dx=0.5, initial=0),
    lambda y: scipy.integrate.cumulative_trapezoid(y, dx=0.5, initial=0),
    (real(2, 4),),
)
beyond("logspace", lambda a, b: pg.logspace(a, b, 4), lambda a, b: np.logspace(a, b, 4), (real(), real()))
variant(
    "logspace of arrays",
    lambda a, b, base: pg.logspace(a, b, 3, False, base, axis=-1),
    lambda a, b, base: np.logspace(a, b, 3, False, base, axis=-1),
    (real(2, 1), real(3), positive()), (cplx(2), real(), positive()), (real(2), real(2), positive(2)),
)  # fmt: skip
beyond("cov", pg.cov, np.cov, (real(3, 5),), more=((cplx(2, 4),), (real(4),)))
variant("cov corrected", lambda m: pg.cov(m, 0.5), lambda m: np.cov(m) * 4 / 4.5, (real(3, 5),))
variant("cov of stacks", pg.cov, lambda m: np.stack([np.cov(one) for one in m]), (real(2, 3, 5),), (cplx(2, 2, 4),))
beyond("corrcoef", pg.corrcoef, np.corrcoef, (real(3, 5),), more=((cplx(2, 4),),))

# -- selection ---------------------------------------------------------------------------------------

_windows = np.lib.stride_tricks.sliding_window_view
beyond("sliding_window_view", lambda x: pg.sliding_window_view(x, 3), lambda x: _windows(x, 3), (real(6),))
variant("sliding_window_view, long", lambda x: pg.sliding_window_view(x, 5), lambda x: _windows(x, 5), (cplx(6),))
variant(
    "sliding_window_view 2-d",
    lambda x: pg.sliding_window_view(x, (2, 3)),
    lambda x: _windows(x, (2, 3)),
    (real(4, 5),), (real(2, 3),),
)  # fmt: skip
variant(
    "sliding_window_view axes",
    lambda x: pg.sliding_window_view(x, (2, 3), axis=(-1, 0)),
    lambda x: _windows(x, (2, 3), axis=(-1, 0)),
    (real(4, 1, 5),), (real(3, 0, 2),),
)  # fmt: skip
variant(
    "sliding_window_view, an axis twice",
    lambda x: pg.sliding_window_view(x, (2, 3), axis=(0, 0)),
    lambda x: _windows(x, (2, 3), axis=(0, 0)),
    (real(5, 2),),
)
for _k in (0, 2, -1):
    (variant if _k else beyond)(
        f"diag {_k}",
        lambda v, _k=_k: pg.diag(v, _k),
        lambda v, _k=_k: np.diag(v, _k),
        (real(3),), (real(3, 4),), *(((cplx(0),),) if _k else ()),
    )  # fmt: skip
beyond("kron", pg.kron, np.kron, (real(2, 2), real(2, 3)))
beyond("outer", pg.outer, np.outer, (real(2), real(3)))
beyond(
    "one_hot", lambda i: pg.one_hot(i, 4), lambda i: 1.0 * (i[..., None] == np.arange(4)), (integers(2, 3),),
    differentiable=False,
)  # fmt: skip
_IDS = np.asarray([2, 0, 2, 5, -1])


def _np_segment_sum(values: Any, ids: Any) -> Any:
    made = np.zeros((4, *values.shape[1:]), values.dtype)
    for own, i in zip(values, ids, strict=True):
        if 0 <= i < 4:
            made[i] += own
    return made


beyond(
    "segment_sum",
    lambda v, ids: pg.segment_sum(v, ids, 4),
    _np_segment_sum,
    (real(5, 2), _IDS),
    more=((cplx(5), _IDS), (real(0, 3), _IDS[:0])),
)

# -- elementwise, and running ------------------------------------------------------------------------

beyond("softplus", pg.softplus, lambda x: np.logaddexp(x, 0), (real(3, 4),))
beyond("heaviside", pg.heaviside, np.heaviside, (np.asarray([-0.5, 0.7, 0.4]), real(3)))
beyond("isclose", pg.isclose, np.isclose, (np.asarray([1.0, 2.0]), np.asarray([1.0 + 1e-7, 2.1])), differentiable=False)
beyond("allclose", pg.allclose, lambda a, b: np.asarray(np.allclose(a, b)), (real(3), real(3)), differentiable=False)
for _axis in (0, 1):
    (variant if _axis else beyond)(
        f"cumulative_logsumexp axis {_axis}",
        lambda x, _axis=_axis: pg.cumulative_logsumexp(x, axis=_axis),
        lambda x, _axis=_axis: np.logaddexp.accumulate(x, _axis),
        (real(5, 3),), *(((real(1, 1),), (real(2, 0),)) if _axis else ()),
    )  # fmt: skip
