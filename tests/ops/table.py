"""The one table of ops that drives the tests: a row for each function, with samples.

A row's function takes a namespace and arrays, so that the same code runs on polygrad's namespace, for values
on NumPy's, and on Tensors of every backend. Samples are tuples of NumPy arrays at points where the function
is smooth; kinks have tests of their own (``test_singular_points.py``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Sample = tuple[Any, ...]


@dataclass
class Row:
    """One function of the table."""

    name: str
    f: Callable[..., Any]
    samples: list[Sample]
    reference: Callable[..., Any] | None = None  # NumPy's way to say it, where the standard's names differ
    differentiable: bool = True
    second: bool = True
    dtypes: tuple[str, ...] = ("float64",)
    skip: dict[str, str] = field(default_factory=dict)  # backend -> the reason why it has not this function
    rtol: float = 1e-7


_rng = np.random.default_rng(20261123)


def real(*shape: int) -> Any:
    """Signed numbers of magnitude 0.2 to 1.7, no two alike."""
    size = int(np.prod(shape))
    magnitude = 0.2 + 1.5 * (_rng.permutation(size) + _rng.uniform(0.2, 0.8, size)) / max(size, 1)
    return (magnitude * _rng.choice([-1.0, 1.0], size)).reshape(shape)


def positive(*shape: int) -> Any:
    return np.abs(real(*shape))


def unit(*shape: int) -> Any:
    """In (-1, 1)."""
    return real(*shape) / 2


def above_one(*shape: int) -> Any:
    return 1.05 + positive(*shape)


def cplx(*shape: int) -> Any:
    return real(*shape) + 1j * real(*shape)


def cunit(*shape: int) -> Any:
    return cplx(*shape) / 4


def off_grid(*shape: int) -> Any:
    """Away from integers and halves, where rounding functions jump."""
    return _rng.integers(-2, 3, shape) + _rng.uniform(0.25, 0.4, shape)


def half_off(*shape: int) -> Any:
    """Never near a number of ``off_grid``."""
    return off_grid(*shape) + 0.5


def near_one(*shape: int) -> Any:
    """Magnitudes 1 to 1.05: quotients of ``off_grid`` by these stay away from integers too."""
    return _rng.uniform(1.0, 1.05, shape) * _rng.choice([-1.0, 1.0], shape)


def strided(*shape: int) -> Any:
    """Neither contiguous nor writable."""
    made = np.swapaxes(real(*shape[::-1]) if len(shape) > 1 else real(*shape), 0, -1)
    if len(shape) == 1:
        made = np.repeat(made, 2)[::2]
    made.flags.writeable = False
    return made


def integers(*shape: int, low: int = 0, high: int = 5) -> Any:
    return _rng.integers(low, high, shape)


def booleans(*shape: int) -> Any:
    return _rng.integers(0, 2, shape).astype(bool)


ROWS: list[Row] = []


def row(name: str, f: Callable[..., Any], *samples: Sample, **options: Any) -> None:
    ROWS.append(Row(name, f, list(samples), **options))


def by_name(name: str, **kwargs: Any) -> Callable[..., Any]:
    def f(xp: Any, *arrays: Any) -> Any:
        return getattr(xp, name)(*arrays, **kwargs)

    f.__name__ = name
    return f


# -- elementwise -------------------------------------------------------------------------------------


def unary(name: str, make: Callable[..., Any], make_complex: Callable[..., Any] | None = None) -> None:
    samples: list[Sample] = [(make(3, 4),), (make(),), (make(0, 3),)]
    if make is real:
        samples.append((strided(4, 3),))
    if make_complex is not None:
        samples.append((make_complex(2, 3),))
    row(name, by_name(name), *samples)


for _name, _make, _complex in [
    ("abs", real, cplx), ("acos", unit, cunit), ("acosh", above_one, cplx), ("asin", unit, cunit),
    ("asinh", real, cunit), ("atan", real, cunit), ("atanh", unit, cunit), ("ceil", off_grid, None),
    ("conj", real, cplx), ("cos", real, cplx), ("cosh", real, cplx), ("exp", real, cplx), ("expm1", real, cplx),
    ("floor", off_grid, None), ("log", positive, cplx), ("log1p", positive, cplx), ("log2", positive, cplx),
    ("log10", positive, cplx), ("negative", real, cplx), ("positive", real, cplx), ("reciprocal", real, cplx),
    ("round", off_grid, None), ("sign", real, cplx), ("sin", real, cplx), ("sinh", real, cplx), ("sqrt", positive, cplx),
    ("square", real, cplx), ("tan", unit, cunit), ("tanh", real, cunit), ("trunc", off_grid, None),
]:  # fmt: skip
    unary(_name, _make, _complex)

row("real", by_name("real"), (cplx(2, 3),))
row("imag", by_name("imag"), (cplx(2, 3),))


def binary(name: str, first: Callable[..., Any], second: Callable[..., Any], cplx_too: bool = False) -> None:
    samples: list[Sample] = [
        (first(3, 4), second(3, 4)),
        (first(3, 1), second(4)),
        (first(), second(2, 3)),
        (first(2, 1, 3), second(1, 4, 1)),
        (first(0, 3), second(3)),
    ]
    if cplx_too:
        samples += [(cplx(2, 3), cplx(2, 3)), (real(2, 3), cplx(3)), (cplx(3), real(2, 1))]
    row(name, by_name(name), *samples)


for _name, _first, _second, _both in [
    ("add", real, real, True), ("subtract", real, real, True), ("multiply", real, real, True),
    ("divide", real, real, True), ("pow", positive, real, True), ("atan2", real, real, False),
    ("hypot", real, real, False), ("logaddexp", real, real, False), ("maximum", off_grid, half_off, False),
    ("minimum", off_grid, half_off, False), ("copysign", real, real, False), ("floor_divide", off_grid, near_one, False),
    ("remainder", off_grid, near_one, False), ("nextafter", real, real, False),
]:  # fmt: skip
    binary(_name, _first, _second, _both)
ROWS[-1].second = False  # nextafter moves in steps that differences of its vjp cannot see
ROWS[-1].rtol = 1e-6

row("divide integers", lambda xp, x, y: x / y, (integers(3, low=1), integers(3, low=1)), differentiable=False)
row("divide integers by a number", lambda xp, x: x / 2 + 1 / (x + 1), (integers(3),), differentiable=False)
row("pow of negative numbers", lambda xp, x: x**3, (real(3, 4),), (real(),))
row("power by a float", lambda xp, x: x**1.5, (positive(3),))
row("scalar power", lambda xp, x: 2.0**x, (real(3),))
row(
    "operators with numbers",
    lambda xp, x: 2.0 * x - 1.0 + (3.0 - x) / 2.0 + 1.0 / x + x % 1.0 + x // 1.0 - (-x) + abs(x),
    (off_grid(3, 4),),
)
row("x - x, x * x, x / x", lambda xp, x: (x - x) + x * x + x / x, (real(3),), (cplx(3),))
row("clip", by_name("clip", min=-0.8, max=0.9), (off_grid(4, 5),), (off_grid(),), (real(0, 2),))
row("clip below", by_name("clip", min=-0.3), (off_grid(4, 5),))
row("clip above", by_name("clip", max=0.2), (off_grid(4, 5),))
row(
    "clip between arrays",
    lambda xp, x, lo, hi: xp.clip(x, lo, hi),
    (off_grid(4, 5), half_off(5) - 1, half_off(4, 1) + 1),
)

for _name in ["isfinite", "isinf", "isnan", "signbit", "logical_not"]:
    row(_name, by_name(_name), (real(3, 2) > 0 if _name == "logical_not" else real(3, 2),), differentiable=False)
for _name in ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]:
    row(_name, by_name(_name), (real(3, 1), real(4)), (integers(3), integers(3)), differentiable=False)
for _name in ["logical_and", "logical_or", "logical_xor"]:
    row(_name, by_name(_name), (booleans(3, 4), booleans(4)), differentiable=False)
for _name in ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift"]:
    row(_name, by_name(_name), (integers(3, 4), integers(4)), differentiable=False)
row("bitwise_invert", by_name("bitwise_invert"), (integers(3),), (booleans(4),), differentiable=False)

# -- statistical -------------------------------------------------------------------------------------

for _name in ["sum", "mean", "prod", "max", "min", "var", "std"]:
    _own: list[Sample] = [(real(3, 4),), (real(2, 3, 4),)]
    row(_name, by_name(_name), *_own, (real(),))
    row(f"{_name} axis 0", by_name(_name, axis=0), *_own)
    row(f"{_name} axis -1 keepdims", by_name(_name, axis=-1, keepdims=True), *_own)
    row(f"{_name} two axes", by_name(_name, axis=(0, -1)), (real(2, 3, 4),), (strided(4, 3),))
for _name in ["sum", "mean", "prod"]:
    row(f"{_name} complex", by_name(_name, axis=0), (cplx(3, 2),))
row("sum of nothing", by_name("sum", axis=0), (real(0, 3),))
row("prod of nothing", by_name("prod", axis=0), (real(0, 3),))
row("sum over no axes", by_name("sum", axis=()), (real(2, 3),))
row("prod with one zero", by_name("prod", axis=-1), (np.array([[1.5, 0.0, -0.7], [0.4, 0.3, 1.2]]),))
row("prod with two zeros", by_name("prod", axis=-1), (np.array([[0.0, 0.0, -0.7], [0.4, 0.0, 1.2]]),))
row("var corrected", by_name("var", correction=1, axis=1), (real(3, 4),))
row("std corrected by a half", by_name("std", correction=0.5, axis=0), (real(3, 4),))
for _name in ["cumulative_sum", "cumulative_prod"]:
    row(_name, by_name(_name), (real(5),), (cplx(4),), (real(0),))
    for _axis in (0, 1, -1):
        row(f"{_name} axis {_axis}", by_name(_name, axis=_axis), (real(2, 3, 4),))
    row(f"{_name} from the start", by_name(_name, axis=1, include_initial=True), (real(3, 4),))
row("cumulative_prod with zeros", by_name("cumulative_prod"), (np.array([1.5, 0.0, 0.7, 0.0, -2.0, 1.1]),))

# -- manipulation ------------------------------------------------------------------------------------

row("reshape", lambda xp, x: xp.reshape(x, (4, 3)), (real(3, 4),), (strided(3, 4),), (cplx(2, 6),))
row("reshape to infer", lambda xp, x: xp.reshape(x, (-1,)), (real(3, 4),), (real(),), (strided(3, 4),))
row("permute_dims", lambda xp, x: xp.permute_dims(x, (2, 0, 1)), (real(2, 3, 4),))
row("moveaxis", lambda xp, x: xp.moveaxis(x, 0, -1), (real(2, 3, 4),))
row("moveaxis of several", lambda xp, x: xp.moveaxis(x, (0, 1), (-1, 0)), (real(2, 3, 4),))
row("expand_dims", lambda xp, x: xp.expand_dims(x, axis=1), (real(3, 4),), (real(2),))
row("squeeze", lambda xp, x: xp.squeeze(x, axis=(0, 2)), (real(1, 3, 1),))
row("flip", by_name("flip"), (real(3, 4),), (real(3),))
row("flip axis", by_name("flip", axis=-1), (real(3, 4),))
row("roll", lambda xp, x: xp.roll(x, 2), (real(3, 4),))
row("roll axes", lambda xp, x: xp.roll(x, (1, -2), axis=(0, 1)), (real(3, 4),))
row("broadcast_to", lambda xp, x: xp.broadcast_to(x, (2, 3, 4)), (real(3, 1),), (real(),), (real(2, 1, 4),))
row("broadcast_arrays", lambda xp, x, y: tuple(xp.broadcast_arrays(x, y)), (real(3, 1), real(4)))
row("repeat", lambda xp, x: xp.repeat(x, 3), (real(2, 3),))
row("repeat axis", lambda xp, x: xp.repeat(x, 2, axis=1), (real(2, 3),))
row("tile", lambda xp, x: xp.tile(x, (2, 1, 3)), (real(2, 3),))
row("tile short", lambda xp, x: xp.tile(x, (2,)), (real(2, 3),))
row("concat", lambda xp, x, y: xp.concat([x, y], axis=1), (real(2, 3), real(2, 1)), (real(2, 3), cplx(2, 2)))
row("concat flat", lambda xp, x, y: xp.concat([x, y], axis=None), (real(2, 3), real(2)))
row("concat of the same twice", lambda xp, x: xp.concat([x, x * 2, x]), (real(3),))
row("stack", lambda xp, x, y: xp.stack([x, y], axis=1), (real(2, 3), real(2, 3)))
row("stack last", lambda xp, x, y: xp.stack([x, y], axis=-1), (real(2, 3), cplx(2, 3)))
row("unstack", lambda xp, x: tuple(xp.unstack(x, axis=1)), (real(2, 3, 2),))
row("unstack, some used", lambda xp, x: xp.unstack(x)[1] * 2, (real(3, 2),))
row("tril", by_name("tril", k=1), (real(3, 4),), (real(2, 3, 3),))
row("triu", by_name("triu", k=-1), (real(4, 3),))
row("matrix_transpose", by_name("matrix_transpose"), (real(2, 3, 4),), (cplx(2, 3),))
row("meshgrid", lambda xp, x, y: tuple(xp.meshgrid(x, y)), (real(3), real(2)))
row("meshgrid ij", lambda xp, x, y: tuple(xp.meshgrid(x, y, indexing="ij")), (real(3), real(2)))
row("diff", by_name("diff"), (real(3, 5),))
row("diff n axis", by_name("diff", n=2, axis=0), (real(4, 3),))
row("diff joined", lambda xp, x, y: xp.diff(x, axis=1, prepend=y, append=y), (real(2, 3), real(2, 1)))

# -- indexing ----------------------------------------------------------------------------------------

_I = np.asarray


def at(key: Any) -> Callable[..., Any]:
    return lambda xp, x: x[key]


row("x[1, :]", at((1, slice(None))), (real(3, 4),))
row("x[..., 0]", at((..., 0)), (real(3, 4),))
row("x[1:3, ::2]", at((slice(1, 3), slice(None, None, 2))), (real(4, 5),))
row("x[::-1, -2::-1]", at((slice(None, None, -1), slice(-2, None, -1))), (real(3, 4),))
row("x[None, :, 1]", at((None, slice(None), 1)), (real(3, 4),))
row("x[-1, -1]", at((-1, -1)), (real(3, 4),))
row("x[2:2]", at(slice(2, 2)), (real(4),))
row("x[int array]", lambda xp, x: x[xp.asarray([2, 0, 2, 1])], (real(3, 4),), (real(5),))
row("x[int array, int array]", lambda xp, x: x[xp.asarray([2, 0, 2]), xp.asarray([1, 1, 1])], (real(3, 4),))
row("x[:, int array]", lambda xp, x: x[:, xp.asarray([[3, 0], [0, 3]])], (real(2, 4),))
row("x[mask]", lambda xp, x: x[x > 0.0], (real(3, 4),), second=False)
row("take", lambda xp, x: xp.take(x, xp.asarray([1, 0, 1, 2]), axis=0), (real(3, 4),), (cplx(4),))
row("take axis -1", lambda xp, x: xp.take(x, xp.asarray([3, 3, 0]), axis=-1), (real(3, 4),))
row(
    "take_along_axis",
    lambda xp, x: xp.take_along_axis(x, xp.asarray([[0, 0, 2], [1, 0, 1]]), axis=1),
    (real(2, 4),),
)


def _write(key: Any) -> Callable[..., Any]:
    def f(xp: Any, x: Any, v: Any) -> Any:
        y = x * 1.0
        y[key(xp) if callable(key) else key] = v
        return y * y

    return f


row("x[1] = v", _write((1, ...)), (real(3, 4), real(4)), (real(3), real()))
row("x[:, 1:3] = v", _write((slice(None), slice(1, 3))), (real(3, 4), real(2)), (real(3, 4), real()))
row("x[::2] = v", _write(slice(None, None, 2)), (real(5), real(3)))
row("x[ints] = v", _write(lambda xp: xp.asarray([2, 0])), (real(3), real(2)))

# -- searching, sorting, sets ------------------------------------------------------------------------

row(
    "where",
    lambda xp, c, x, y: xp.where(c, x, y),
    (booleans(3, 4), real(3, 4), real(4)),
    (booleans(3, 1), real(), real(4)),
    (booleans(3), real(3), cplx(3)),
)
row("where with a number", lambda xp, x: xp.where(x > 0, x * x, 0.0), (real(3, 4),))
row("sort", by_name("sort"), (real(3, 4),))
row("sort axis descending", by_name("sort", axis=0, descending=True), (real(4, 3),))
row("unique_values", by_name("unique_values"), (real(5),), second=False)
for _name in ["argmax", "argmin", "argsort"]:
    row(_name, by_name(_name, axis=0), (real(3, 4),), differentiable=False)
row("argmax flat", by_name("argmax"), (real(3, 4),), differentiable=False)
row("count_nonzero", by_name("count_nonzero", axis=1), (integers(3, 4),), differentiable=False)
row("nonzero", by_name("nonzero"), (integers(3, 4),), differentiable=False)
row("searchsorted", by_name("searchsorted", side="right"), (np.sort(real(5)), real(2, 3)), differentiable=False)
row("isin", by_name("isin"), (integers(3, 4), integers(2)), differentiable=False)
for _name in ["unique_all", "unique_counts", "unique_inverse"]:
    row(_name, lambda xp, x, _name=_name: tuple(getattr(xp, _name)(x))[1:], (integers(3, 3),), differentiable=False)
row("all", by_name("all", axis=0), (booleans(3, 4),), differentiable=False)
row("any", by_name("any"), (booleans(3, 4),), differentiable=False)

# -- linear algebra ----------------------------------------------------------------------------------

row(
    "matmul",
    by_name("matmul"),
    (real(3, 4), real(4, 2)), (real(4), real(4)), (real(3, 4), real(4)), (real(4), real(4, 2)),
    (real(2, 3, 4), real(4, 2)), (real(2, 3, 4), real(2, 4, 2)), (real(5, 1, 3, 4), real(2, 4, 2)),
    (real(4), real(2, 4, 3)), (real(2, 3, 4), real(4)), (real(1, 2, 3), real(5, 3, 2)),
    (cplx(3, 4), cplx(4, 2)), (real(3, 4), cplx(4)), (real(3, 0), real(0, 2)), (strided(3, 4), strided(4, 3)),
)  # fmt: skip
row("x @ x.mT", lambda xp, x: x @ xp.matrix_transpose(x), (real(3, 4),), (cplx(2, 3),))
row("tensordot", by_name("tensordot", axes=1), (real(2, 3), real(3, 4)), (cplx(2, 3), real(3, 4)))
row("tensordot 2", by_name("tensordot"), (real(2, 3, 4), real(3, 4, 2)))
row("tensordot 0", by_name("tensordot", axes=0), (real(2), real(3)))
row("tensordot axes", by_name("tensordot", axes=((2, 0), (1, 2))), (real(2, 3, 4), real(5, 4, 2)))
row("tensordot axes crossed", by_name("tensordot", axes=((0, 2), (2, 0))), (real(2, 3, 4), real(4, 5, 2)))
row("vecdot", by_name("vecdot"), (real(3, 4), real(4)), (cplx(3, 4), cplx(3, 4)), (real(2, 3), cplx(3)))
row("vecdot axis", by_name("vecdot", axis=-2), (real(3, 4), real(3, 4)))

# -- data types --------------------------------------------------------------------------------------

row("astype to complex", lambda xp, x: xp.astype(x, xp.complex128), (real(3),))
row("astype to float32 and back", lambda xp, x: xp.astype(xp.astype(x, xp.float64), xp.float64), (real(3),))
row("astype to int", lambda xp, x: xp.astype(x, xp.int64), (real(3),), differentiable=False)

# -- beyond the standard -----------------------------------------------------------------------------


def _np_logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


row("logsumexp", lambda xp, x: _pg().logsumexp(x, axis=-1), (real(3, 4),), reference=lambda x: _np_logsumexp(x, -1))
row("logsumexp all", lambda xp, x: _pg().logsumexp(x), (real(3, 4),), (real(),), reference=_np_logsumexp)
row(
    "softmax", lambda xp, x: _pg().softmax(x), (real(3, 4),), reference=lambda x: np.exp(x - _np_logsumexp(x, -1, True))
)
row(
    "log_softmax",
    lambda xp, x: _pg().log_softmax(x, axis=0),
    (real(3, 4),),
    reference=lambda x: x - _np_logsumexp(x, 0, True),
)
row("relu", lambda xp, x: _pg().relu(x), (real(3, 4),), (real(),), reference=lambda x: np.maximum(x, 0))


BY_VALUES = {"nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values", "x[mask]"}
"""Rows whose shapes depend on values: no static graph holds them, no batch does them at once."""


def every(n: int, cases: list[Any]) -> list[Any]:
    """Every ``n``-th case, for checks that are dear; with ``POLYGRAD_ALL_CASES=1`` all of them."""
    return cases if os.environ.get("POLYGRAD_ALL_CASES") else cases[::n]


def _pg() -> Any:
    import polygrad

    return polygrad
