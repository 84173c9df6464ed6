"""NumPy's functions on Tensors: the same values as on NumPy's arrays, the right gradients, and every entry tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad.errors import DetachError
from polygrad.protocols.tables import FUNCTIONS
from polygrad.testing import check_jvp, check_vjp

_rng = np.random.default_rng(5)
X = _rng.normal(size=(3, 4))
Y = _rng.normal(size=(3, 4))
V = _rng.normal(size=5)
W = _rng.normal(size=5)
P = _rng.uniform(0.2, 0.9, size=(3, 4))
A = _rng.normal(size=(3, 3)) + 3.0 * np.eye(3)
S = A @ A.T
Z = X + 1j * Y
GAPS = np.array([[1.0, np.nan, 3.0, 0.5], [4.0, 2.0, np.nan, 1.5]])
K = np.array([2, 0, 1, 2, 2])
MASK = X > 0

Cases = dict[str, list[tuple[Callable[..., Any], tuple[Any, ...]]]]
CASES: Cases = {}


def case(name: str, f: Callable[..., Any], *arrays: Any) -> None:
    CASES.setdefault(name, []).append((f, arrays))


def of(names: str, *arrays: Any, **options: Any) -> None:
    """Functions called by name with the same arguments."""
    for name in names.split():
        function: Any = np
        for part in name.split("."):
            function = getattr(function, part, None)
            if function is None:
                break
        if function is not None:
            case(name, lambda *a, _f=function: _f(*a, **options), *arrays)


# -- shaping ---------------------------------------------------------------------------------------------

of("copy zeros_like ones_like ravel transpose flip flipud fliplr squeeze nonzero argwhere flatnonzero sort argsort", X)
of("zeros_like ones_like", X, shape=(2, 2), dtype="float32")
of("sort argsort argmax argmin count_nonzero", X, axis=0)
of("sort argsort", X, axis=None)
of("argmax argmin count_nonzero", X)
of("atleast_1d atleast_2d atleast_3d", V)
of("atleast_1d atleast_2d atleast_3d", X)
of("atleast_3d", X[None])
of("atleast_1d atleast_2d", V[0], V)
case("full_like", lambda x: np.full_like(x, 2.5), X)
case("empty_like", lambda x: np.empty_like(x) * 0.0, X)
case("shape", lambda x: np.zeros(np.shape(x)) + x, X)
case("ndim", lambda x: np.ndim(x) * x, X)
case("size", lambda x: np.size(x) * x + np.size(x, 1), X)
case("iscomplexobj", lambda x: x * np.iscomplexobj(x), Z)
case("isrealobj", lambda x: x * np.isrealobj(x), X)
case("meshgrid", lambda x, y: np.meshgrid(x, y), V, W[:3])
case("meshgrid", lambda x, y: np.meshgrid(x, y, indexing="ij", sparse=True), V, W[:3])
case("meshgrid", lambda x, y: np.meshgrid(x, y, sparse=True), V, W[:3])
case("reshape", lambda x: np.reshape(x, (4, 3)), X)
case("reshape", lambda x: np.reshape(x, (2, -1), order="F"), X)
case("reshape", lambda x: np.reshape(x, 12), X)
case("ravel", lambda x: np.ravel(x, order="F"), X)
case("transpose", lambda x: np.transpose(x, (1, 0)), X)
case("permute_dims", lambda x: np.permute_dims(x, (1, 0)), X)
case("swapaxes", lambda x: np.swapaxes(x, 0, -1), X)
case("moveaxis", lambda x: np.moveaxis(x, [0, 1], [1, 0]), X)
case("rollaxis", lambda x: np.rollaxis(x, 2), X[None])
case("rollaxis", lambda x: np.rollaxis(x, 0, -1), X[None])
case("expand_dims", lambda x: np.expand_dims(x, 1), X)
case("squeeze", lambda x: np.squeeze(x, axis=0), X[None])
case("broadcast_to", lambda x: np.broadcast_to(x, (2, 5)), V)
case("broadcast_arrays", lambda x, y: np.broadcast_arrays(x, y), X, V[:4])
for _name in ("concatenate", "concat"):
    case(_name, lambda x, y, _n=_name: getattr(np, _n)([x, y], axis=1), X, Y)
case("concatenate", lambda x: np.concatenate([x, np.ones(2)], dtype="float32"), V)
case("concatenate", lambda x, y: np.concatenate((x, y), axis=None), X, Y)
case("stack", lambda x, y: np.stack([x, y], axis=-1), X, Y)
case("stack", lambda x, y: np.stack([x, y], dtype="float32"), X, Y)
for _name in ("vstack", "hstack", "dstack", "column_stack"):
    case(_name, lambda x, y, _n=_name: getattr(np, _n)((x, y)), X, Y)
    case(_name, lambda x, y, _n=_name: getattr(np, _n)((x, y)), V, W)
case("row_stack", lambda x, y: FUNCTIONS["row_stack"]((x, y)) if isinstance(x, pg.Tensor) else np.vstack((x, y)), V, W)
case("block", lambda x, y: np.block([[x, y], [np.zeros((1, 4)), np.ones((1, 4))]]), X, Y)
case("append", lambda x, y: np.append(x, y, axis=0), X, Y)
case("append", lambda x: np.append(x, [1.0, 2.0]), V)
case("tile", lambda x: np.tile(x, (2, 1)), X)
case("tile", lambda x: np.tile(x, 2), X)
case("repeat", lambda x: np.repeat(x, 2, axis=1), X)
case("array_split", lambda x: np.array_split(x, 3), V)
case("split", lambda x: np.split(x, [1, 3], axis=1), X)
case("split", lambda x: np.split(x, 2, axis=1), X)
case("vsplit", lambda x: np.vsplit(x, [1]), X)
case("hsplit", lambda x: np.hsplit(x, 2), X)
case("hsplit", lambda x: np.hsplit(x, [2]), V)
case("dsplit", lambda x: np.dsplit(x, 2), X[None])
case("unstack", lambda x: np.unstack(x, axis=1), X)
case("roll", lambda x: np.roll(x, 2), X)
for _k in range(4):
    case("rot90", lambda x, _k=_k: np.rot90(x, _k), X)
case("matrix_transpose", lambda x: np.matrix_transpose(x), X)
case("linalg.matrix_transpose", lambda x: np.linalg.matrix_transpose(x), X)
case("take", lambda x: np.take(x, [0, 2, 2], axis=1), X)
case("take", lambda x: np.take(x, [[0, 5], [11, 5]]), X)
case("take", lambda x: np.take(x, [-1, 7], axis=0, mode="wrap"), X)
case("take", lambda x: np.take(x, [-1, 7], axis=0, mode="clip"), X)
case("take_along_axis", lambda x: np.take_along_axis(x, K[:4].reshape(1, 4), 0), X)
case("take_along_axis", lambda x: np.take_along_axis(x, K, None), X)
case("where", lambda x, y: np.where(MASK, x, y), X, Y)
case("where", lambda x: np.where(x > 0, x * x, 0.0), X)
case("where", lambda x: np.where(x > 0), X)
case("select", lambda x: np.select([x > 0.5, x > 0], [x * 2, x * 3], default=-1.0), X)
case("choose", lambda x, y: np.choose(MASK.astype(int), [x, y]), X, Y)
case("compress", lambda x: np.compress([True, False, True], x, axis=0), X)
case("extract", lambda x: np.extract(MASK, x), X)
case("delete", lambda x: np.delete(x, 1, axis=0), X)
case("delete", lambda x: np.delete(x, [0, 3]), V)
case("delete", lambda x: np.delete(x, slice(0, 4, 2)), V)
case("diag", lambda x: np.diag(x, k=-1), V)
case("diag", lambda x: np.diag(x, k=1), A)
case("diagflat", lambda x: np.diagflat(x, 1), A)
case("diagonal", lambda x: np.diagonal(x, 1, 1, 2), _rng.normal(size=(2, 3, 3)))
case("tril", lambda x: np.tril(x, -1), A)
case("triu", lambda x: np.triu(x, 1), A)
case("pad", lambda x: np.pad(x, ((1, 0), (2, 1))), X)
case("pad", lambda x: np.pad(x, 2, mode="reflect"), V)
case("searchsorted", lambda x: np.searchsorted(x, [0.1, 0.5], side="right"), np.sort(V))
case("digitize", lambda x: np.digitize(x, [-0.5, 0.0, 0.5]), V)
case("digitize", lambda x: np.digitize(x, [-0.5, 0.0, 0.5], right=True), V)
case("lexsort", lambda x, y: np.lexsort((x, np.round(y))), V, W)

# -- numerical -------------------------------------------------------------------------------------------

of("sum prod max amax min amin mean std var ptp median average", X)
of("sum prod max min mean std var ptp median average", X, axis=0)
of("sum prod max amax min amin mean std var", X, axis=(0, 1), keepdims=True)
of("std var", X, ddof=1)
of("std var", Z, axis=0)
of("mean std var", np.arange(6).reshape(2, 3))
of("sum prod", X, axis=1, where=MASK, initial=2.0)
of("max", X, axis=1, where=MASK, initial=-9.0)
of("mean", X, where=MASK)
of("mean std var", X, dtype="float32")
of("all any", MASK)
of("all any", MASK, axis=0)
of("cumsum cumprod nancumsum", X)
of("cumsum cumprod nancumsum", X, axis=1)
of("cumulative_sum cumulative_prod", X, axis=1, include_initial=True)
of("nansum nanprod nanmean nanmax nanmin nanmedian nanvar nanstd nancumsum", GAPS)
of("nansum nanprod nanmean nanmax nanmin nanmedian nanvar nanstd", GAPS, axis=1)
case("product", lambda x: FUNCTIONS["product"](x) if isinstance(x, pg.Tensor) else np.prod(x), X)
case("cumproduct", lambda x: FUNCTIONS["cumproduct"](x) if isinstance(x, pg.Tensor) else np.cumprod(x), X)
case("average", lambda x, w: np.average(x, axis=1, weights=w), X, P[0])
case("average", lambda x, w: np.average(x, weights=w, returned=True), X, P)
case("average", lambda x: np.average(x, axis=0, returned=True), X)
case("quantile", lambda x: np.quantile(x, [0.2, 0.7], axis=1), X)
case("percentile", lambda x: np.percentile(x, 30, axis=0, keepdims=True), X)
case("clip", lambda x: np.clip(x, -0.5, 0.5), X)
case("clip", lambda x, lo: np.clip(x, lo, None), X, Y)
case("clip", lambda x: np.clip(x, min=-0.2), X)
OFF = np.round(X, 1) + 0.03  # away from where rounding to one digit jumps
case("round", lambda x: np.round(x, 1), OFF)
case("around", lambda x: np.around(x), OFF)
case("round_", lambda x: FUNCTIONS["round_"](x, 1) if isinstance(x, pg.Tensor) else np.round(x, 1), OFF)
of("fix real imag sinc i0 nan_to_num isreal iscomplex isposinf isneginf", X)
of("real imag angle isreal iscomplex real_if_close nan_to_num", Z)
case("angle", lambda z: np.angle(z, deg=True), Z)
case("real_if_close", lambda x: np.real_if_close(x + 0j), X)
case("real_if_close", lambda x: np.real_if_close(x), X)
case("nan_to_num", lambda x: np.nan_to_num(x, nan=3.0, posinf=4.0, neginf=5.0),
     np.array([1.0, np.nan, np.inf, -np.inf]))  # fmt: skip
case("nan_to_num", lambda x: np.nan_to_num(x), K)
case("unwrap", lambda x: np.unwrap(5.0 * x), V)
case("diff", lambda x: np.diff(x, n=2, axis=0), X)
case("diff", lambda x: np.diff(x, prepend=0.0, append=x[:, :1]), X)
case("ediff1d", lambda x: np.ediff1d(x), X)
case("ediff1d", lambda x: np.ediff1d(x, to_begin=[1.0], to_end=[2.0, 3.0]), V)
for _name in ("trapezoid", "trapz"):
    case(_name, lambda y: FUNCTIONS["trapz"](y) if isinstance(y, pg.Tensor) else np.trapezoid(y), X)
case("trapezoid", lambda y, x: np.trapezoid(y, x, axis=1), X, np.sort(V)[:4])
case("trapezoid", lambda x: np.trapezoid(np.ones(5), x), np.sort(V))
case("gradient", lambda x: np.gradient(x), X)
case("gradient", lambda x: np.gradient(x, 0.5, axis=1, edge_order=2), X)
case("gradient", lambda x: np.gradient(x, [0.0, 1.0, 1.5, 4.0], axis=1), X)
case("interp", lambda x, fp: np.interp(x, np.linspace(0, 1, 5), fp), P[0], V)
for _mode in ("full", "same", "valid"):
    case("convolve", lambda x, y, _m=_mode: np.convolve(x, y[:3], _m), V, W)
    case("correlate", lambda x, y, _m=_mode: np.correlate(x, y[:3], _m), V, W)
    case("correlate", lambda x, y, _m=_mode: np.correlate(x[:2], y, _m), V, W)
case("convolve", lambda x, y: np.convolve(x[:2], y), V, W)
case("polyval", lambda p, x: np.polyval(p[:3], x), V, X)
case("vander", lambda x: np.vander(x, 3), V)
case("vander", lambda x: np.vander(x, increasing=True), V)
case("einsum", lambda x, y: np.einsum("ij,ik->jk", x, y), X, Y)
case("kron", lambda x, y: np.kron(x, y), X, A)
case("cov", lambda x: np.cov(x), X)
case("cov", lambda x, y: np.cov(x, y, bias=True), V, W)
case("cov", lambda x: np.cov(x, rowvar=False, ddof=0), X)
case("corrcoef", lambda x: np.corrcoef(x), X)
case("corrcoef", lambda x, y: np.corrcoef(x, y), V, W)

# -- linear algebra, Fourier -----------------------------------------------------------------------------

for _name in ("dot", "inner"):
    case(_name, lambda x, y, _n=_name: getattr(np, _n)(x, y), A, S)
    case(_name, lambda x, y, _n=_name: getattr(np, _n)(x, y), V, W)
    case(_name, lambda x, _n=_name: getattr(np, _n)(x, 2.0), V)
case("dot", lambda x, y: np.dot(x, y), _rng.normal(size=(2, 2, 3)), A)
case("vdot", lambda x, y: np.vdot(x, y), Z, X)
for _name in ("outer", "linalg.outer"):
    case(_name, lambda x, y, _n=_name: (np.linalg if "." in _n else np).outer(x, y), V, W)
for _name in ("tensordot", "linalg.tensordot"):
    case(_name, lambda x, y, _n=_name: (np.linalg if "." in _n else np).tensordot(x, y, axes=([0], [0])), X, Y)
case("linalg.matmul", lambda x, y: np.linalg.matmul(x, y), A, S)
case("linalg.vecdot", lambda x, y: np.linalg.vecdot(x, y), X, Y)
case("cross", lambda x, y: np.cross(x, y, axis=0), X, Y)
case("linalg.cross", lambda x, y: np.linalg.cross(x, y), A, S)
case("trace", lambda x: np.trace(x, offset=1), A)
of(
    "linalg.det linalg.inv linalg.pinv linalg.svdvals linalg.trace linalg.diagonal linalg.matrix_norm linalg.vector_norm",
    A,
)
of("linalg.norm linalg.cond linalg.slogdet linalg.matrix_rank linalg.qr", A)
case("linalg.solve", lambda a, x: np.linalg.solve(a, x), A, X)
case("linalg.cholesky", lambda s: np.linalg.cholesky((s + s.T) / 2), S)
case("linalg.eigvalsh", lambda s: np.linalg.eigvalsh((s + s.T) / 2), S)
case("linalg.eigh", lambda s: np.abs(np.linalg.eigh((s + s.T) / 2)[1]), S)
case("linalg.eigvals", lambda s: np.sum(np.linalg.eigvals(s) ** 3), A)
case("linalg.eig", lambda s: np.sum(np.linalg.eig(s)[0] ** 2), A)
case("linalg.svd", lambda x: np.linalg.svd(x, compute_uv=False), X)
case("linalg.svd", lambda x: np.abs(np.linalg.svd(x, full_matrices=False)[0]), X)
case("linalg.qr", lambda x: np.linalg.qr(x, mode="r"), A)
case("linalg.matrix_power", lambda x: np.linalg.matrix_power(x, 3), A)
case("linalg.multi_dot", lambda x, y: np.linalg.multi_dot([x, y, x]), A, S)
case("linalg.pinv", lambda x: np.linalg.pinv(x, rcond=1e-10), X)
case("linalg.lstsq", lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0], X.T, W[:4])
for _axis, _ord in ((None, None), (0, None), (1, 1), ((0, 1), "fro"), ((1, 0), 2), (None, np.inf)):
    case("linalg.norm", lambda x, _a=_axis, _o=_ord: np.linalg.norm(x, _o, axis=_a), X)
case("linalg.norm", lambda x: np.linalg.norm(x, axis=(0, 1), keepdims=True), X)
case("linalg.norm", lambda x: np.linalg.norm(x, keepdims=True), X)
case("linalg.cond", lambda x: np.linalg.cond(x, "fro"), A)
of("fft.fft fft.ifft fft.fftn fft.ifftn fft.fft2 fft.ifft2 fft.fftshift fft.ifftshift", Z)
of("fft.fft fft.ifft fft.rfft fft.ihfft fft.fftn fft.rfftn fft.rfft2", X)
of("fft.irfft fft.hfft fft.irfftn fft.irfft2", Z)
case("fft.fft", lambda x: np.fft.fft(x, n=6, axis=0, norm="ortho"), X)
case("fft.fftn", lambda x: np.fft.fftn(x, s=(4, 4), axes=(0, 1)), X)
case("fft.rfft", lambda x: np.fft.rfft(x), K)

# -- comparison, sets, dtypes ------------------------------------------------------------------------------

case("isclose", lambda x: np.isclose(x, x + 1e-9), X)
case("isclose", lambda x: np.isclose(x, x, equal_nan=True), GAPS)
for _name in ("allclose", "array_equal", "array_equiv"):
    case(_name, lambda x, y, _n=_name: 1.0 * getattr(np, _n)(x, x) + 2.0 * getattr(np, _n)(x, y), X, Y)
    case(_name, lambda x, _n=_name: 1.0 * getattr(np, _n)(x, x[:2] if _n != "allclose" else x + 1), X)
case("array_equal", lambda x: 1.0 * np.array_equal(x, x, equal_nan=True), GAPS)
case("isin", lambda x: np.isin(x, [0, 1]), K)
case("in1d", lambda x: FUNCTIONS["in1d"](x, [0, 1]) if isinstance(x, pg.Tensor) else np.isin(x, [0, 1]), K)
of("unique unique_counts unique_inverse unique_all", K)
case("unique_values", lambda x: np.sort(np.unique_values(x)), K)
case("unique", lambda x: np.unique(x, return_index=True, return_inverse=True, return_counts=True), K)
case("bincount", lambda x: np.bincount(x, minlength=5), K)
case("bincount", lambda w: np.bincount(K, weights=w), V)
case("result_type", lambda x: x * (np.result_type(x, np.float32) == np.float64), X)
case("can_cast", lambda x: x * np.can_cast(x.dtype, np.float32), X)
case("can_cast", lambda x: x * 1.0 if isinstance(x, pg.Tensor) and not np.can_cast(np.float64, "float32") else x, X)
case("min_scalar_type", lambda x: x * (np.min_scalar_type(x) == np.float64), X)
case("common_type", lambda x: x * (np.common_type(x, K) == np.float64), X)
for _name in ("may_share_memory", "shares_memory"):
    case(_name, lambda x, _n=_name: 1.0 * getattr(np, _n)(x, x), X)
for _name in ("array_repr", "array_str", "array2string"):
    case(_name, lambda x, _n=_name: 1.0 * ("[" in getattr(np, _n)(x)), X)
case("apply_along_axis", lambda x: np.apply_along_axis(lambda r: r * r[0], 0, x), X)
case("apply_along_axis", lambda x: np.apply_along_axis(lambda r: (r * r).sum(), 1, x), X)


def _written(f: Callable[..., Any]) -> Callable[..., Any]:
    def made(x: Any, *others: Any) -> Any:
        y = x * 1.0
        f(y, *others)
        return y

    return made


case("copyto", _written(lambda y, v: np.copyto(y, v)), X, V[:4])
case("copyto", _written(lambda y, v: np.copyto(y, v, where=MASK)), X, Y)
case("fill_diagonal", _written(lambda y: np.fill_diagonal(y, 2.0)), A)
case("put_along_axis", _written(lambda y, v: np.put_along_axis(y, K[:3].reshape(3, 1), v, 1)), X, V[:1, None])

ALL = [(name, i) for name, found in CASES.items() for i in range(len(found))]


def flat(made: Any) -> list[Any]:
    if isinstance(made, (tuple, list)):
        return [r for m in made for r in flat(m)]
    return [made]


@pytest.mark.parametrize(("name", "i"), ALL, ids=lambda v: str(v))
def test_values_and_gradients(name: str, i: int) -> None:
    f, arrays = CASES[name][i]
    want = flat(f(*arrays))
    tensors = [pg.asarray(np.array(a, copy=True), requires_grad=a.dtype.kind in "fc") for a in map(np.asarray, arrays)]
    got = flat(f(*tensors))
    assert len(got) == len(want)
    tracked: list[int] = []
    single = False
    for k, (g, w) in enumerate(zip(got, want, strict=True)):
        if isinstance(g, pg.Tensor):
            assert g.shape == np.shape(w)
            if g.dtype.inexact and g.requires_grad:
                tracked.append(k)
                single |= g.dtype is pg.float32
            g = g.detach().numpy()
        np.testing.assert_allclose(g, w, rtol=1e-6 if np.asarray(w).dtype == np.float32 else 1e-12, atol=1e-13)
    if tracked and not single and np.isfinite(np.asarray(arrays[0])).all():

        def differentiable(*xs: Any) -> Any:
            made = flat(f(*xs))
            return tuple(made[k] for k in tracked)

        inexact = [t.detach() for t in tensors]
        check_vjp(differentiable, inexact)
        check_jvp(differentiable, inexact)


def test_every_entry_has_a_case() -> None:
    assert not set(FUNCTIONS) - set(CASES)


def test_what_has_no_equivalent_raises() -> None:
    """What NumPy dispatches and polygrad has not, raises for a tensor that requires grad."""
    x = pg.asarray(X, requires_grad=True)
    calls: dict[str, Callable[[], Any]] = {
        "histogram": lambda: np.histogram(x),
        "partition": lambda: np.partition(x, 1),
        "trim_zeros": lambda: np.trim_zeros(x[0]),
        "nanargmax": lambda: np.nanargmax(x),
        "linalg.tensorinv": lambda: np.linalg.tensorinv(x),
    }
    for name, call in calls.items():
        assert name not in FUNCTIONS
        with pytest.raises(DetachError, match=f"{name} has no equivalent"):
            call()


def test_without_a_graph_numpy_computes() -> None:
    counts, edges = np.histogram(pg.asarray(V))
    np.testing.assert_array_equal(counts.numpy(), np.histogram(V)[0])
    assert isinstance(edges, pg.Tensor)
    assert isinstance(np.partition(pg.asarray(V), 2), pg.Tensor)


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_out() -> None:
    x = pg.asarray(V, requires_grad=True)
    out = pg.zeros(3)
    assert np.concatenate([x[:1], x[:2]], out=out) is out
    assert out.requires_grad
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 1.0, 0.0, 0.0, 0.0])
    with pytest.raises(DetachError, match="out= is a NumPy array"):
        np.sum(x, out=np.zeros(()))
    host = np.zeros(())
    np.sum(x.detach(), out=host)
    np.testing.assert_allclose(host, V.sum())
