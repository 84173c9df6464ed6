"""Calls into other people's libraries: what the scoreboard of ``compatibility.py`` tries.

A case is a function of arrays that returns an array or a number, and the arrays (float64, NumPy) to call it with. The
function uses nothing of polygrad: it is the code that a user of the library would have written for NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_rng = np.random.default_rng(20261123)
X = _rng.normal(size=(5, 4))
Y = _rng.normal(size=(5, 4))
V = _rng.normal(size=7)
W = _rng.normal(size=7)
P = _rng.uniform(0.1, 0.9, size=(3, 4))
Q = _rng.uniform(0.5, 2.5, size=(3, 4))
A = _rng.normal(size=(4, 4)) + 4.0 * np.eye(4)
S = A @ A.T
SIGNAL = _rng.normal(size=32)


@dataclass
class Case:
    """One call: the library it goes into, how it reads, the function, its arguments."""

    library: str
    name: str
    f: Callable[..., Any]
    inputs: tuple[Any, ...]


CASES: list[Case] = []


def case(library: str, name: str, f: Callable[..., Any], *inputs: Any) -> None:
    CASES.append(Case(library, name, f, inputs))


# -- NumPy -------------------------------------------------------------------------------------------------

for _name in """
sin cos tan exp expm1 log1p sqrt cbrt square absolute arctan arcsinh tanh sinc reciprocal negative sum mean std
var prod max min cumsum cumprod median ravel sort transpose diff ptp average nansum nanmean trapezoid gradient
atleast_2d fliplr flipud nan_to_num unwrap
""".split():
    case("numpy", f"np.{_name}", lambda x, _name=_name: _stacked(getattr(np, _name)(x)), Q)


def _stacked(made: Any) -> Any:
    return made[0] + 2.0 * made[1] if isinstance(made, (tuple, list)) else made


case("numpy", "np.add.reduce", lambda x: np.add.reduce(x, axis=1), X)
case("numpy", "np.multiply.accumulate", lambda x: np.multiply.accumulate(x, axis=0), X)
case("numpy", "np.subtract.outer", lambda x, y: np.subtract.outer(x, y), V, W)
case("numpy", "np.concatenate", lambda x, y: np.concatenate([x, y], axis=1), X, Y)
case("numpy", "np.stack", lambda x, y: np.stack([x, 2.0 * y], axis=-1), X, Y)
case("numpy", "np.vstack", lambda x, y: np.vstack((x, y)), X, Y)
case("numpy", "np.hstack", lambda x, y: np.hstack((x, y)), X, Y)
case("numpy", "np.column_stack", lambda x, y: np.column_stack((x, y)), V, W)
case("numpy", "np.split", lambda x: np.split(x, [2], axis=1)[1], X)
case("numpy", "np.where", lambda x, y: np.where(x > 0, x, y), X, Y)
case("numpy", "np.clip", lambda x: np.clip(x, -0.5, 0.5), X)
case("numpy", "np.maximum", lambda x, y: np.maximum(x, y), X, Y)
case("numpy", "np.arctan2", lambda x, y: np.arctan2(x, y), X, Y)
case("numpy", "np.hypot", lambda x, y: np.hypot(x, y), X, Y)
case("numpy", "np.logaddexp", lambda x, y: np.logaddexp(x, y), X, Y)
case("numpy", "np.power", lambda x, y: np.power(x, y), Q, P)
case("numpy", "np.dot", lambda x, y: np.dot(x, y.T), X, Y)
case("numpy", "np.matmul", lambda x, y: np.matmul(x.T, y), X, Y)
case("numpy", "np.einsum", lambda x, y: np.einsum("ij,ik->jk", x, y), X, Y)
case("numpy", "np.tensordot", lambda x, y: np.tensordot(x, y, axes=([0], [0])), X, Y)
case("numpy", "np.outer", lambda x, y: np.outer(x, y), V, W)
case("numpy", "np.kron", lambda x, y: np.kron(x, y), X, Y)
case("numpy", "np.cross", lambda x, y: np.cross(x[:, :3], y[:, :3]), X, Y)
case("numpy", "np.trace", lambda x: np.trace(x), A)
case("numpy", "np.diag", lambda x: np.diag(x), V)
case("numpy", "np.diagonal", lambda x: np.diagonal(x, offset=1), A)
case("numpy", "np.tril", lambda x: np.tril(x), A)
case("numpy", "np.pad", lambda x: np.pad(x, ((1, 2), (0, 1))), X)
case("numpy", "np.roll", lambda x: np.roll(x, 2, axis=0), X)
case("numpy", "np.tile", lambda x: np.tile(x, (2, 1)), X)
case("numpy", "np.repeat", lambda x: np.repeat(x, 2, axis=0), X)
case("numpy", "np.take", lambda x: np.take(x, [0, 2, 2], axis=0), X)
case("numpy", "np.moveaxis", lambda x: np.moveaxis(x, 0, -1), X)
case("numpy", "np.swapaxes", lambda x: np.swapaxes(x, 0, 1), X)
case("numpy", "np.broadcast_to", lambda x: np.broadcast_to(x, (2, 7)), V)
case("numpy", "np.interp", lambda x, fp: np.interp(x, np.linspace(0.0, 1.0, 7), fp), P[0], V)
case("numpy", "np.quantile", lambda x: np.quantile(x, 0.3, axis=0), X)
case("numpy", "np.percentile", lambda x: np.percentile(x, [20, 70]), X)
case("numpy", "np.cov", lambda x: np.cov(x), X)
case("numpy", "np.corrcoef", lambda x: np.corrcoef(x), X)
case("numpy", "np.convolve", lambda x, y: np.convolve(x, y[:3], mode="same"), V, W)
case("numpy", "np.polyval", lambda p, x: np.polyval(p[:3], x), V, W)
case("numpy", "np.linalg.norm", lambda x: np.linalg.norm(x), X)
case("numpy", "np.linalg.norm, axis", lambda x: np.linalg.norm(x, axis=1), X)
case("numpy", "np.linalg.det", lambda x: np.linalg.det(x), A)
case("numpy", "np.linalg.slogdet", lambda x: np.linalg.slogdet(x)[1], A)
case("numpy", "np.linalg.inv", lambda x: np.linalg.inv(x), A)
case("numpy", "np.linalg.solve", lambda x, y: np.linalg.solve(x, y[:4]), A, X)
case("numpy", "np.linalg.cholesky", lambda x: np.linalg.cholesky(0.5 * (x + x.T)), S)
case("numpy", "np.linalg.eigvalsh", lambda x: np.linalg.eigvalsh(0.5 * (x + x.T)), S)
case("numpy", "np.linalg.svd values", lambda x: np.linalg.svd(x, compute_uv=False), X)
case("numpy", "np.linalg.pinv", lambda x: np.linalg.pinv(x), X)
case("numpy", "np.linalg.qr", lambda x: np.linalg.qr(x)[1], X)
case("numpy", "np.linalg.matrix_power", lambda x: np.linalg.matrix_power(x, 3), A)
case("numpy", "np.fft.fft", lambda x: np.abs(np.fft.fft(x)), SIGNAL)
case("numpy", "np.fft.rfft", lambda x: np.real(np.fft.rfft(x)), SIGNAL)
case("numpy", "np.fft.irfft", lambda x: np.fft.irfft(np.fft.rfft(x) ** 2), SIGNAL)

# -- scipy.special -----------------------------------------------------------------------------------------

for _name in """
gammaln gamma digamma erf erfc erfinv expit log_expit logit log_ndtr ndtr ndtri i0 i0e i1 i1e j0 j1 y0 y1 k0 k1
entr exprel rgamma log1p expm1 cbrt exp2 exp10 sinc ellipk ellipe spence
""".split():
    case("scipy.special", _name, lambda x, _name=_name: getattr(_special(), _name)(x), P)
for _name in ["xlogy", "xlog1py", "betaln", "beta", "rel_entr", "kl_div", "gammainc", "gammaincc", "boxcox", "poch"]:
    case("scipy.special", _name, lambda x, y, _name=_name: getattr(_special(), _name)(x, y), P, Q)
case("scipy.special", "betainc", lambda a, b, x: _special().betainc(a, b, x), Q, P, P)
case("scipy.special", "huber", lambda x: _special().huber(1.3, x), P)
case("scipy.special", "polygamma", lambda x: _special().polygamma(1, x), Q)
case("scipy.special", "multigammaln", lambda x: _special().multigammaln(x + 2.0, 2), Q)
case("scipy.special", "logsumexp", lambda x: _special().logsumexp(x, axis=1), X)
case("scipy.special", "softmax", lambda x: _special().softmax(x, axis=1), X)
case("scipy.special", "log_softmax", lambda x: _special().log_softmax(x, axis=1), X)


def _special() -> Any:
    import scipy.special

    return scipy.special


# -- scipy.stats ---------------------------------------------------------------------------------------------


def _stats() -> Any:
    import scipy.stats

    return scipy.stats


case("scipy.stats", "zscore", lambda x: _stats().zscore(x), X)
case("scipy.stats", "zmap", lambda x, y: _stats().zmap(x, y), X, Y)
case("scipy.stats", "gzscore", lambda x: _stats().gzscore(x), Q)
case("scipy.stats", "moment", lambda x: _stats().moment(x, order=3), X)
case("scipy.stats", "skew", lambda x: _stats().skew(x), X)
case("scipy.stats", "kurtosis", lambda x: _stats().kurtosis(x), X)
case("scipy.stats", "gmean", lambda x: _stats().gmean(x), Q)
case("scipy.stats", "hmean", lambda x: _stats().hmean(x), Q)
case("scipy.stats", "pmean", lambda x: _stats().pmean(x, 3), Q)
case("scipy.stats", "variation", lambda x: _stats().variation(x), Q)
case("scipy.stats", "sem", lambda x: _stats().sem(x), X)
case("scipy.stats", "tmean", lambda x: _stats().tmean(x), X)
case("scipy.stats", "tvar", lambda x: _stats().tvar(x), X)
case("scipy.stats", "tstd", lambda x: _stats().tstd(x), X)
case("scipy.stats", "tsem", lambda x: _stats().tsem(x), X)
case("scipy.stats", "entropy", lambda x: _stats().entropy(x), P)
case("scipy.stats", "entropy, two", lambda x, y: _stats().entropy(x, y), P, Q)
case("scipy.stats", "differential_entropy", lambda x: _stats().differential_entropy(x), SIGNAL)
case("scipy.stats", "pearsonr", lambda x, y: _stats().pearsonr(x, y).statistic, V, W)
case("scipy.stats", "pearsonr p-value", lambda x, y: _stats().pearsonr(x, y).pvalue, V, W)
case("scipy.stats", "ttest_1samp", lambda x: _stats().ttest_1samp(x, 0.1).statistic, X)
case("scipy.stats", "ttest_1samp p-value", lambda x: _stats().ttest_1samp(x, 0.1).pvalue, X)
case("scipy.stats", "ttest_ind", lambda x, y: _stats().ttest_ind(x, y).statistic, X, Y)
case("scipy.stats", "ttest_rel", lambda x, y: _stats().ttest_rel(x, y).statistic, X, Y)
case("scipy.stats", "chisquare", lambda x: _stats().chisquare(x).statistic, Q)
case("scipy.stats", "power_divergence", lambda x: _stats().power_divergence(x, lambda_="log-likelihood").statistic, Q)
case("scipy.stats", "skewtest", lambda x: _stats().skewtest(x).statistic, SIGNAL)
case("scipy.stats", "kurtosistest", lambda x: _stats().kurtosistest(x).statistic, SIGNAL)
case("scipy.stats", "normaltest", lambda x: _stats().normaltest(x).pvalue, SIGNAL)
case("scipy.stats", "jarque_bera", lambda x: _stats().jarque_bera(x).statistic, SIGNAL)
case("scipy.stats", "bartlett", lambda x, y: _stats().bartlett(x[:, 0], y[:, 0]).statistic, X, Y)
case("scipy.stats", "f_oneway", lambda x, y: _stats().f_oneway(x, y).statistic, X, Y)
case("scipy.stats", "combine_pvalues", lambda p: _stats().combine_pvalues(p[0]).statistic, P)
case("scipy.stats", "directional_stats", lambda x: _stats().directional_stats(x).mean_direction, X)
case("scipy.stats", "circmean", lambda x: _stats().circmean(x), P)
case("scipy.stats", "circvar", lambda x: _stats().circvar(x), P)
case("scipy.stats", "lmoment", lambda x: _stats().lmoment(x), SIGNAL)
case("scipy.stats", "xp_mean via describe", lambda x: _stats().describe(x).variance, X)
case("scipy.stats", "quantile", lambda x: _stats().quantile(x, 0.4), X)
case("scipy.stats", "trim_mean", lambda x: _stats().trim_mean(x, 0.2), X)
case("scipy.stats", "sigmaclip", lambda x: _stats().sigmaclip(x, 10, 10).clipped, V)
case("scipy.stats", "siegelslopes", lambda x, y: _stats().siegelslopes(x, y).slope, V, W)
case("scipy.stats", "Normal.logpdf", lambda x, m: _stats().Normal(mu=m, sigma=1.5).logpdf(x), V, W)

# -- scipy, other ------------------------------------------------------------------------------------------------


def _scipy(path: str) -> Any:
    import importlib

    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"scipy.{module}"), name)


for _name, _f, _inputs in [
    ("integrate.trapezoid", lambda f, y: f(y, dx=0.1), (X,)),
    ("integrate.simpson", lambda f, y: f(y, dx=0.1), (X,)),
    ("integrate.cumulative_trapezoid", lambda f, y: f(y, dx=0.1), (X,)),
    ("integrate.cumulative_simpson", lambda f, y: f(y, dx=0.1), (X,)),
    ("integrate.romb", lambda f, y: f(y[:5], dx=0.1, axis=0), (X,)),
    ("signal.detrend", lambda f, y: f(y), (SIGNAL,)),
    ("signal.convolve", lambda f, x, y: f(x, y, method="fft"), (V, W)),
    ("signal.fftconvolve", lambda f, x, y: f(x, y, mode="same"), (V, W)),
    ("signal.oaconvolve", lambda f, x, y: f(x, y[:3]), (SIGNAL, W)),
    ("signal.hilbert", lambda f, x: abs(f(x)), (SIGNAL,)),
    ("signal.envelope", lambda f, x: f(x), (SIGNAL,)),
    ("signal.lfilter", lambda f, x: f([0.5, 0.2], [1.0, -0.3], x), (SIGNAL,)),
    ("signal.sosfilt", lambda f, x: f(np.array([[1.0, 0.5, 0.2, 1.0, -0.3, 0.1]]), x), (SIGNAL,)),
    ("signal.periodogram", lambda f, x: f(x)[1], (SIGNAL,)),
    ("signal.welch", lambda f, x: f(x, nperseg=8)[1], (SIGNAL,)),
    ("signal.freqz", lambda f, b: abs(f(b, worN=8)[1]), (V,)),
    ("signal.resample", lambda f, x: f(x, 20), (SIGNAL,)),
    ("fft.fft", lambda f, x: abs(f(x)), (SIGNAL,)),
    ("fft.rfft", lambda f, x: abs(f(x)), (SIGNAL,)),
    ("fft.irfft", lambda f, x: f(x * (1.0 + 2.0j)), (SIGNAL,)),
    ("fft.fftn", lambda f, x: abs(f(x)), (X,)),
    ("fft.dct", lambda f, x: f(x), (SIGNAL,)),
    ("fft.dst", lambda f, x: f(x), (SIGNAL,)),
    ("cluster.vq.whiten", lambda f, x: f(x), (X,)),
    ("constants.convert_temperature", lambda f, x: f(x, "Celsius", "Kelvin"), (X,)),
    ("optimize.rosen", lambda f, x: f(x), (V,)),
    ("optimize.rosen_der", lambda f, x: f(x), (V,)),
    ("ndimage.gaussian_filter", lambda f, x: f(x, 1.0), (X,)),
    ("ndimage.convolve1d", lambda f, x: f(x, np.array([0.2, 0.5, 0.3])), (X,)),
    ("linalg.expm", lambda f, x: f(x), (0.2 * A,)),
    ("linalg.det", lambda f, x: f(x), (A,)),
    ("linalg.solve_triangular", lambda f, a, x: f(a, x[:4], lower=True), (A, X)),
    ("spatial.distance.cdist", lambda f, x, y: f(x, y), (X, Y)),
    ("spatial.transform.Rotation", lambda f, v: f.from_rotvec(v[:3]).as_matrix(), (V,)),
    ("interpolate.BarycentricInterpolator", lambda f, y: f(np.linspace(0, 1, 7), y)(np.array([0.33, 0.71])), (V,)),
    ("interpolate.CubicSpline", lambda f, y: f(np.linspace(0, 1, 7), y)(np.array([0.33, 0.71])), (V,)),
]:  # fmt: skip
    case("scipy", _name, lambda *a, _n=_name, _f=_f: _f(_scipy(_n), *a), *_inputs)

# -- scikit-learn ----------------------------------------------------------------------------------------------------


def _sklearn(path: str) -> Any:
    import importlib

    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"sklearn.{module}"), name)


for _name, _f, _inputs in [
    ("preprocessing.StandardScaler", lambda f, x: f().fit_transform(x), (X,)),
    ("preprocessing.MinMaxScaler", lambda f, x: f().fit_transform(x), (X,)),
    ("preprocessing.MaxAbsScaler", lambda f, x: f().fit_transform(x), (X,)),
    ("preprocessing.normalize", lambda f, x: f(x), (X,)),
    ("preprocessing.KernelCenterer", lambda f, x: f().fit_transform(x), (S,)),
    ("preprocessing.PolynomialFeatures", lambda f, x: f(2).fit_transform(x), (X,)),
    ("metrics.pairwise.cosine_similarity", lambda f, x, y: f(x, y), (X, Y)),
    ("metrics.pairwise.euclidean_distances", lambda f, x, y: f(x, y), (X, Y)),
    ("metrics.pairwise.rbf_kernel", lambda f, x, y: f(x, y), (X, Y)),
    ("metrics.pairwise.laplacian_kernel", lambda f, x, y: f(x, y), (X, Y)),
    ("metrics.pairwise.linear_kernel", lambda f, x, y: f(x, y), (X, Y)),
    ("metrics.pairwise.polynomial_kernel", lambda f, x, y: f(x, y), (X, Y)),
    ("metrics.pairwise.sigmoid_kernel", lambda f, x, y: f(x, y), (X, Y)),
    ("metrics.pairwise.chi2_kernel", lambda f, x, y: f(x, y), (P, Q)),
    ("metrics.pairwise.paired_euclidean_distances", lambda f, x, y: f(x, y), (X, Y)),
    ("metrics.pairwise.paired_cosine_distances", lambda f, x, y: f(x, y), (X, Y)),
    ("metrics.mean_squared_error", lambda f, x, y: f(x, y), (V, W)),
    ("metrics.r2_score", lambda f, x, y: f(x, y), (V, W)),
    ("decomposition.PCA", lambda f, x: abs(f(2, svd_solver="full").fit_transform(x)), (X,)),
    ("linear_model.Ridge", lambda f, x, y: f(solver="svd").fit(x, y[:, 0]).coef_, (X, Y)),
    ("utils.extmath.softmax", lambda f, x: f(x), (X,)),
    ("utils.extmath.row_norms", lambda f, x: f(x), (X,)),
]:  # fmt: skip
    case("scikit-learn", _name, lambda *a, _n=_name, _f=_f: _f(_sklearn(_n), *a), *_inputs)

# -- array-api-extra ---------------------------------------------------------------------------------------------------


def _extra() -> Any:
    import array_api_extra

    return array_api_extra


def _xp(x: Any) -> Any:
    from array_api_compat import array_namespace

    return array_namespace(x)


case("array-api-extra", "apply_where", lambda x: _extra().apply_where(x > 0, x, lambda v: v**0.5, lambda v: -v), X)
case("array-api-extra", "at().set", lambda x: _extra().at(x, (slice(None), 0)).set(0.5, copy=True), X)
case("array-api-extra", "at().add", lambda x: _extra().at(x, (slice(None), 0)).add(2.0, copy=True), X)
case("array-api-extra", "at().multiply", lambda x: _extra().at(x, (0, ...)).multiply(2.0, copy=True), X)
case("array-api-extra", "atleast_nd", lambda x: _extra().atleast_nd(x, ndim=3), X)
case("array-api-extra", "cov", lambda x: _extra().cov(x), X)
case("array-api-extra", "create_diagonal", lambda x: _extra().create_diagonal(x), V)
case("array-api-extra", "expand_dims", lambda x: _extra().expand_dims(x, axis=(0, 2)), V)
case("array-api-extra", "kron", lambda x, y: _extra().kron(x, y), X, Y)
case("array-api-extra", "nan_to_num", lambda x: _extra().nan_to_num(x), X)
case("array-api-extra", "pad", lambda x: _extra().pad(x, 2), X)
case("array-api-extra", "sinc", lambda x: _extra().sinc(x), P)
case("array-api-extra", "partition", lambda x: _extra().partition(x, 3), V)

# -- einops, opt_einsum -------------------------------------------------------------------------------------------------


def _einops(name: str) -> Any:
    import einops

    return getattr(einops, name)


def _einops_standard(name: str) -> Any:
    import einops.array_api

    return getattr(einops.array_api, name)


case("einops", "rearrange", lambda x: _einops("rearrange")(x, "a (b c) -> c a b", c=2), X)
case("einops", "reduce mean", lambda x: _einops("reduce")(x, "a b -> b", "mean"), X)
case("einops", "reduce max", lambda x: _einops("reduce")(x, "a b -> a", "max"), X)
case("einops", "repeat", lambda x: _einops("repeat")(x, "a b -> a b c", c=3), X)
case("einops", "einsum", lambda x, y: _einops("einsum")(x, y, "a b, a c -> b c"), X, Y)
case("einops", "array_api.rearrange", lambda x: _einops_standard("rearrange")(x, "a b -> b a"), X)
case("einops", "array_api.reduce", lambda x: _einops_standard("reduce")(x, "a b -> a", "sum"), X)
case("einops", "array_api.repeat", lambda x: _einops_standard("repeat")(x, "a b -> a c b", c=2), X)


def _contract(*args: Any) -> Any:
    import opt_einsum

    return opt_einsum.contract(*args)


case("opt_einsum", "matrix product", lambda x, y: _contract("ij,kj->ik", x, y), X, Y)
case("opt_einsum", "three operands", lambda x, a, y: _contract("ij,jk,lk->il", x, a, y), X, A, Y)
case("opt_einsum", "trace", lambda a: _contract("ii->", a), A)
case("opt_einsum", "outer", lambda x, y: _contract("i,j->ij", x, y), V, W)
case("opt_einsum", "hadamard sum", lambda x, y: _contract("ij,ij->j", x, y), X, Y)

# -- xarray ------------------------------------------------------------------------------------------------------------------


def _array(x: Any, *dims: str) -> Any:
    import xarray

    return xarray.DataArray(x, dims=dims or ("a", "b"))


case("xarray", "mean", lambda x: _array(x).mean("a").data, X)
case("xarray", "sum", lambda x: _array(x).sum().data, X)
case("xarray", "std", lambda x: _array(x).std("b").data, X)
case("xarray", "max", lambda x: _array(x).max("b").data, X)
case("xarray", "arithmetic", lambda x, y: (_array(x) * _array(y, "b", "c") + 1.0).data, A, A)
case("xarray", "transpose", lambda x: _array(x).transpose("b", "a").data, X)
case("xarray", "isel", lambda x: _array(x).isel(a=2).data, X)
case("xarray", "where", lambda x: _array(x).where(_array(x) > 0, 0.0).data, X)
case("xarray", "clip", lambda x: _array(x).clip(-0.5, 0.5).data, X)
case("xarray", "dot", lambda x, y: _dot(_array(x), _array(y, "c", "b")).data, X, Y)
case("xarray", "concat", lambda x, y: _concat([_array(x), _array(y)]).data, X, Y)
case("xarray", "cumsum", lambda x: _array(x).cumsum("a").data, X)
case("xarray", "np.sin of a DataArray", lambda x: np.sin(_array(x)).data, X)
case("xarray", "Dataset arithmetic", lambda x: _dataset(x)["u"].data, X)


def _dot(a: Any, b: Any) -> Any:
    import xarray

    return xarray.dot(a, b, dim="b")


def _concat(arrays: list[Any]) -> Any:
    import xarray

    return xarray.concat(arrays, dim="a")


def _dataset(x: Any) -> Any:
    import xarray

    return xarray.Dataset({"u": (("a", "b"), x)}) * 2.0
