"""NumPy's functions that compute: reductions, running ones, calculus, and what is made of elementwise functions."""

from __future__ import annotations

import math
from typing import Any

from ..core.cell import Cell
from ..ops import creation, data_types, indexing, linear_algebra, logic, manipulation, searching, statistical, utility
from ..ops import elementwise as el
from . import shaping, ufuncs
from .tables import implements, like_first, pg, tensor

# -- reductions ----------------------------------------------------------------------------------------------


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _reduction(names: tuple[str, ...], ufunc: str) -> None:
    function = ufuncs.find(ufunc, "reduce")
    assert function is not None

    def reduce(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None,
               where: Any = True) -> Any:  # fmt: skip
        return function(a, _axes(axis), dtype, keepdims=keepdims, initial=initial, where=where)

    implements(*names)(reduce)


_reduction(("sum",), "add")
_reduction(("prod", "product"), "multiply")
_reduction(("max", "amax"), "maximum")
_reduction(("min", "amin"), "minimum")
_reduction(("all",), "logical_and")
_reduction(("any",), "logical_or")


@implements()
def mean(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True) -> Any:
    x = data_types.astype(a, dtype) if dtype is not None else _floating(a)
    if where is True:
        return statistical.mean(x, axis=_axes(axis), keepdims=keepdims)
    counted = manipulation.broadcast_to(like_first(x, where), x.shape)
    total = statistical.sum(searching.where(counted, x, 0.0), axis=_axes(axis), keepdims=keepdims)
    return total / statistical.sum(data_types.astype(counted, x.dtype), axis=_axes(axis), keepdims=keepdims)


def _floating(x: Any) -> Any:
    return x if x.dtype.inexact else data_types.astype(x, "float64")


def _deviation(name: str) -> Any:
    def deviation(a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, *, keepdims: bool = False,
                  correction: Any = None) -> Any:  # fmt: skip
        x = data_types.astype(a, dtype) if dtype is not None else _floating(a)
        correction = ddof if correction is None else correction
        if x.dtype.kind == "c":  # the variance of |x - m|, as NumPy's
            away = x - statistical.mean(x, axis=_axes(axis), keepdims=True)
            n = math.prod(x.shape[i] for i in manipulation.normal_axes(name, _axes(axis), x.ndim))
            squares = el.square(el.real(away)) + el.square(el.imag(away))
            made = statistical.sum(squares, axis=_axes(axis), keepdims=keepdims) / (n - correction)
            if name == "var":
                return made
            nothing = made == 0  # the slope of a deviation of 0 is 0
            return searching.where(nothing, 0.0, el.sqrt(searching.where(nothing, 1.0, made)))
        return getattr(statistical, name)(x, axis=_axes(axis), correction=correction, keepdims=keepdims)

    return deviation


implements("std")(_deviation("std"))
implements("var")(_deviation("var"))


@implements()
def ptp(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    top = statistical.max(a, axis=_axes(axis), keepdims=keepdims)
    return top - statistical.min(a, axis=_axes(axis), keepdims=keepdims)


@implements(first=False)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    a = tensor(a, weights._device if isinstance(weights, Cell) else None)
    axis = _axes(axis)
    if weights is None:
        made = mean(a, axis, keepdims=keepdims)
        scale = creation.ones_like(made) * (math.prod(a.shape) / max(math.prod(made.shape), 1))
    else:
        w = like_first(a, weights)
        if w.shape != a.shape:
            w = manipulation.reshape(w, tuple(n if i == axis % a.ndim else 1 for i, n in enumerate(a.shape)))
        w = manipulation.broadcast_to(w, a.shape)
        scale = statistical.sum(w, axis=axis, keepdims=keepdims)
        made = statistical.sum(a * w, axis=axis, keepdims=keepdims) / scale
    return (made, scale) if returned else made


def _by_name(*names: str, to: str = "", first: bool = True) -> None:
    """Functions that polygrad has under NumPy's name and with NumPy's arguments."""
    for name in names:
        target = to or name

        def call(*args: Any, _target: str = target, **options: Any) -> Any:
            return pg(_target)(*args, **options)

        implements(name, first=first)(call)


def _of_axis(name: str) -> Any:
    def call(a: Any, axis: Any = None, *args: Any, **options: Any) -> Any:
        options.pop("overwrite_input", None)
        dtype = options.pop("dtype", None)
        a = a if dtype is None else data_types.astype(a, dtype)
        return pg(name)(a, *args, axis=_axes(axis), **options)

    return call


for _name in ("median", "nansum", "nanprod", "nanmean", "nanmax", "nanmin", "nanmedian"):
    implements(_name)(_of_axis(_name))


def _nan_deviation(name: str) -> Any:
    def call(a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, *, keepdims: bool = False,
             correction: Any = None) -> Any:  # fmt: skip
        a = a if dtype is None else data_types.astype(a, dtype)
        return pg(name)(a, axis=_axes(axis), correction=ddof if correction is None else correction, keepdims=keepdims)

    return call


implements("nanstd")(_nan_deviation("nanstd"))
implements("nanvar")(_nan_deviation("nanvar"))


def _quantile(name: str, scale: float) -> Any:
    def call(a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False,
             overwrite_input: bool = False) -> Any:  # fmt: skip
        return pg(name)(a, like_first(a, q) / scale, axis=_axes(axis), method=method, keepdims=keepdims)

    return call


implements("quantile")(_quantile("quantile", 1.0))
implements("percentile")(_quantile("quantile", 100.0))


# -- running ---------------------------------------------------------------------------------------------------


def _running(name: str) -> Any:
    def call(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
        function = getattr(statistical, name)
        return function(shaping.ravel(a) if axis is None else a, axis=0 if axis is None else axis, dtype=dtype)

    return call


implements("cumsum")(_running("cumulative_sum"))
implements("cumprod", "cumproduct")(_running("cumulative_prod"))


@implements()
def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    return statistical.cumulative_sum(x, axis=axis, dtype=dtype, include_initial=include_initial)


@implements()
def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    return statistical.cumulative_prod(x, axis=axis, dtype=dtype, include_initial=include_initial)


@implements()
def nancumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    return _running("cumulative_sum")(searching.where(logic.isnan(a), 0.0, a), axis, dtype)


# -- elementwise -------------------------------------------------------------------------------------------------


@implements(first=False)
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = min if a_min is None else a_min, max if a_max is None else a_max
    device = next(x._device for x in (a, low, high) if isinstance(x, Cell))
    return el.clip(tensor(a, device), low, high)


@implements("round", "around", "round_")
def round_(a: Any, decimals: int = 0) -> Any:
    if decimals == 0:
        return el.round(a)
    scale = 10.0**decimals
    return el.round(a * scale) / scale


@implements()
def fix(x: Any) -> Any:
    return el.trunc(x)


@implements()
def real(val: Any) -> Any:
    return val.real


@implements()
def imag(val: Any) -> Any:
    return val.imag


@implements()
def angle(z: Any, deg: bool = False) -> Any:
    made = el.atan2(z.imag, z.real)
    return made * (180.0 / math.pi) if deg else made


@implements()
def real_if_close(a: Any, tol: float = 100) -> Any:
    return a if a.dtype.kind != "c" else _by_value(a, tol)


def _by_value(a: Any, tol: float) -> Any:
    tol = tol * data_types.finfo(a.dtype).eps if tol > 1 else tol
    small = bool(utility.all(el.abs(a.detach().imag) < tol))
    return a.real if small else a


@implements()
def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    if not x.dtype.inexact:
        return x
    if x.dtype.kind == "c":
        return nan_to_num(x.real, True, nan, posinf, neginf) + 1j * nan_to_num(x.imag, True, nan, posinf, neginf)
    info = data_types.finfo(x.dtype)
    made = searching.where(logic.isnan(x), nan, x)
    made = searching.where(x == float("inf"), info.max if posinf is None else posinf, made)
    return searching.where(x == -float("inf"), info.min if neginf is None else neginf, made)


@implements()
def sinc(x: Any) -> Any:
    return pg("special.sinc")(x)


@implements()
def i0(x: Any) -> Any:
    return pg("special.i0")(x)


@implements()
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * math.pi) -> Any:
    steps = utility.diff(p, axis=axis).detach()
    half = period / 2
    folded = el.remainder(steps + half, period) - half
    folded = searching.where((folded == -half) & (steps > 0), half, folded)
    jumps = searching.where(el.abs(steps) < (half if discont is None else discont), 0.0, folded - steps)
    axis = axis % p.ndim
    head = p[(slice(None),) * axis + (slice(0, 1), ...)]
    tail = p[(slice(None),) * axis + (slice(1, None), ...)] + statistical.cumulative_sum(jumps, axis=axis)
    return manipulation.concat([head, tail], axis=axis)


# -- calculus and signals ------------------------------------------------------------------------------------------


@implements()
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    def edge(v: Any) -> Any:
        v = None if v is None else like_first(a, v)
        if v is None or v.ndim:
            return v
        return manipulation.broadcast_to(v, tuple(1 if i == axis % a.ndim else m for i, m in enumerate(a.shape)))

    return utility.diff(a, n=n, axis=axis, prepend=edge(prepend), append=edge(append))


@implements()
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    made = [utility.diff(shaping.ravel(ary))]
    if to_begin is not None:
        made.insert(0, shaping.ravel(like_first(ary, to_begin)))
    if to_end is not None:
        made.append(shaping.ravel(like_first(ary, to_end)))
    return manipulation.concat(made) if len(made) > 1 else made[0]


@implements("trapezoid", "trapz", first=False)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = tensor(y, x._device if isinstance(x, Cell) else None)
    return pg("trapezoid")(y, x, dx=dx, axis=axis)


@implements()
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    axes = manipulation.normal_axes("gradient", _axes(axis), f.ndim)
    spacing = [1.0] * len(axes) if not varargs else list(varargs) * (len(axes) if len(varargs) == 1 else 1)
    if len(spacing) != len(axes):
        raise TypeError("gradient: give no spacing, one, or one for each axis")
    made = tuple(_gradient_along(f, h, i, edge_order) for h, i in zip(spacing, axes, strict=True))
    return made[0] if len(made) == 1 else made


def _gradient_along(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ValueError(f"gradient: needs at least {edge_order + 1} elements along axis {axis}, got {n}")

    def at(a: Any, b: Any) -> Any:
        return f[(slice(None),) * axis + (slice(a, b), ...)]

    if (not isinstance(h, (int, float)) and getattr(h, "shape", ()) != ()) or isinstance(h, (list, tuple)):
        x = like_first(f, h)
        steps = manipulation.reshape(utility.diff(x), tuple(-1 if i == axis else 1 for i in range(f.ndim)))
        key = (slice(None),) * axis
        h1, h2 = steps[(*key, slice(None, -1), ...)], steps[(*key, slice(1, None), ...)]
        first, last = steps[(*key, slice(0, 1), ...)], steps[(*key, slice(-1, None), ...)]
    else:
        h1 = h2 = first = last = h
    a, b, c = -h2 / (h1 * (h1 + h2)), (h2 - h1) / (h1 * h2), h1 / (h2 * (h1 + h2))
    inner = a * at(None, -2) + b * at(1, -1) + c * at(2, None)
    if edge_order == 1:
        return manipulation.concat(
            [(at(1, 2) - at(0, 1)) / first, inner, (at(-1, None) - at(-2, -1)) / last], axis=axis
        )
    if not isinstance(h, (int, float)):
        raise ValueError("gradient: edge_order=2 needs even spacing here")
    left = (-1.5 * at(0, 1) + 2.0 * at(1, 2) - 0.5 * at(2, 3)) / h
    right = (1.5 * at(-1, None) - 2.0 * at(-2, -1) + 0.5 * at(-3, -2)) / h
    return manipulation.concat([left, inner, right], axis=axis)


@implements(first=False)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    x, xp, fp = _placed(x, xp, fp)
    if period is not None:
        raise TypeError("interp: period= is not taken with polygrad's tensors")
    return pg("interp")(x, xp, fp, left=left, right=right)


def _placed(*given: Any) -> list[Any]:
    device = next(v._device for v in given if isinstance(v, Cell))
    return [tensor(v, device) for v in given]


@implements(first=False)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = _placed(a, v)
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    n, m = a.shape[0], v.shape[0]
    if n == 0 or m == 0:
        raise ValueError("convolve: an argument is empty")
    products = a[:, None] * v[None, :]
    places = creation.arange(n, device=a.device)[:, None] + creation.arange(m, device=a.device)[None, :]
    made = indexing.scatter_add((n + m - 1,), products.dtype, [(places, products)])
    if mode == "full":
        return made
    if mode == "valid":
        return made[m - 1 : n]
    first = (m - 1) // 2
    return made[first : first + n]


@implements(first=False)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    a, v = _placed(a, v)
    turned = el.conj(manipulation.flip(v))
    if a.shape[0] >= v.shape[0]:
        return convolve(a, turned, mode)
    return manipulation.flip(convolve(manipulation.flip(turned), manipulation.flip(a), mode))


# -- polynomials ----------------------------------------------------------------------------------------------------


@implements(first=False)
def polyval(p: Any, x: Any) -> Any:
    p, x = _placed(p, x)
    made = creation.zeros_like(x) if x.dtype.inexact else creation.zeros(x.shape, dtype=p.dtype, device=x.device)
    for i in range(p.shape[0]):
        made = made * x + p[i]
    return made


@implements()
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    n = x.shape[0] if N is None else N
    powers = creation.arange(n, device=x.device) if increasing else creation.arange(n - 1, -1, -1, device=x.device)
    return el.pow(x[:, None], powers)


_by_name("einsum", first=False)
_by_name("kron", to="linalg.kron", first=False)


@implements()
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None,
        aweights: Any = None, *, dtype: Any = None) -> Any:  # fmt: skip
    if fweights is not None or aweights is not None:
        raise TypeError("cov: weights are not taken with polygrad's tensors")
    m = _variables(m, y, rowvar)
    correction = ddof if ddof is not None else 0 if bias else 1
    made = pg("cov")(m, correction=correction)
    return manipulation.squeeze(made, tuple(i for i, k in enumerate(made.shape) if k == 1))


def _variables(m: Any, y: Any, rowvar: bool) -> Any:
    parts = [m] if y is None else [m, like_first(m, y)]
    rows = [p[None, :] if p.ndim == 1 else p if rowvar else linear_algebra.matrix_transpose(p) for p in parts]
    return rows[0] if y is None else manipulation.concat(rows, axis=0)


@implements()
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    made = pg("corrcoef")(_variables(x, y, rowvar))
    return manipulation.squeeze(made, tuple(i for i, k in enumerate(made.shape) if k == 1)) if made.size == 1 else made
