"""NumPy's functions of linear algebra, Fourier transforms, comparison, sets and dtypes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..core.cell import Cell
from ..ops import creation, linear_algebra, logic, manipulation, searching, sets, statistical, utility
from ..ops import elementwise as el
from .tables import implements, like_first, pg, tensor, tensors

# -- products ----------------------------------------------------------------------------------------------------


def _two(a: Any, b: Any) -> tuple[Any, Any]:
    device = next((x._device for x in (a, b) if isinstance(x, Cell)), None)
    return tensor(a, device), tensor(b, device)


@implements(first=False)
def dot(a: Any, b: Any) -> Any:
    a, b = _two(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return linear_algebra.tensordot(a, b, axes=((a.ndim - 1,), (max(b.ndim - 2, 0),)))


@implements(first=False)
def vdot(a: Any, b: Any) -> Any:
    a, b = _two(a, b)
    return linear_algebra.vecdot(manipulation.reshape(a, (-1,)), manipulation.reshape(b, (-1,)))


@implements(first=False)
def inner(a: Any, b: Any) -> Any:
    a, b = _two(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return linear_algebra.tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 1,)))


@implements("outer", "linalg.outer", first=False)
def outer(a: Any, b: Any) -> Any:
    a, b = _two(a, b)
    return manipulation.reshape(a, (-1, 1)) * manipulation.reshape(b, (1, -1))


@implements("tensordot", "linalg.tensordot", first=False)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = _two(a, b)
    if not isinstance(axes, int):
        axes = tuple((x,) if isinstance(x, int) else tuple(x) for x in axes)
    return linear_algebra.tensordot(a, b, axes=axes)


@implements("linalg.matmul", first=False)
def linalg_matmul(a: Any, b: Any) -> Any:
    return linear_algebra.matmul(a, b)


@implements("linalg.vecdot", first=False)
def linalg_vecdot(a: Any, b: Any, /, *, axis: int = -1) -> Any:
    return linear_algebra.vecdot(*_two(a, b), axis=axis)


@implements("cross", first=False)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    a, b = _two(a, b)
    if axis is not None:
        axisa = axisb = axisc = axis
    made = pg("linalg.cross")(manipulation.moveaxis(a, axisa, -1), manipulation.moveaxis(b, axisb, -1))
    return manipulation.moveaxis(made, -1, axisc)


@implements()
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return pg("linalg.trace")(manipulation.moveaxis(a, (axis1, axis2), (-2, -1)), offset=offset, dtype=dtype)


# -- numpy.linalg ----------------------------------------------------------------------------------------------------


def _same(space: str, names: str) -> None:
    """Functions of a sub-namespace that take the same arguments here and there."""

    def entry(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            return pg(f"{space}.{name}")(*args, **options)

        return call

    for name in names.split():
        implements(f"{space}.{name}", first=False)(entry(name))


_same("linalg", "det inv solve cholesky eigh eigvalsh eig eigvals svdvals slogdet matrix_power multi_dot cross trace")
_same("linalg", "diagonal matrix_norm vector_norm")


@implements("linalg.qr")
def linalg_qr(a: Any, mode: str = "reduced") -> Any:
    if mode == "r":
        return pg("linalg.qr")(a).R
    return pg("linalg.qr")(a, mode=mode)


@implements("linalg.svd")
def linalg_svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if not compute_uv:
        return pg("linalg.svdvals")(a)
    return pg("linalg.svd")(a, full_matrices=full_matrices)


@implements("linalg.pinv")
def linalg_pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    given = rtol if rcond is None else rcond
    return pg("linalg.pinv")(a, rtol=given)


@implements("linalg.matrix_rank")
def linalg_matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    if tol is not None:
        raise TypeError("linalg.matrix_rank: give rtol= in place of tol= with polygrad's tensors")
    return pg("linalg.matrix_rank")(A, rtol=rtol)


@implements("linalg.norm")
def linalg_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None and (ord is None or x.ndim == 1):
        made = pg("linalg.vector_norm")(x, ord=2 if ord is None else ord)
        return manipulation.reshape(made, (1,) * x.ndim) if keepdims else made
    if axis is None:
        axis = tuple(range(x.ndim))
    if isinstance(axis, int) or len(axis) == 1:
        return pg("linalg.vector_norm")(x, ord=2 if ord is None else ord, axis=axis, keepdims=keepdims)
    if len(axis) != 2:
        raise ValueError("linalg.norm: a matrix has two axes")
    moved = manipulation.moveaxis(x, tuple(axis), (-2, -1))
    made = pg("linalg.matrix_norm")(moved, ord="fro" if ord is None else ord)
    for i in sorted(manipulation.normal_axes("norm", tuple(axis), x.ndim)) if keepdims else ():
        made = manipulation.expand_dims(made, axis=i)
    return made


@implements("linalg.cond")
def linalg_cond(x: Any, p: Any = None) -> Any:
    return pg("linalg.cond")(x) if p is None else pg("linalg.cond")(x, ord=p)


@implements("linalg.lstsq", first=False)
def linalg_lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    return pg("linalg.lstsq")(*_two(a, b), rtol=rcond)


# -- numpy.fft ---------------------------------------------------------------------------------------------------------


def _fft(name: str) -> Callable[..., Any]:
    def call(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
        return pg(f"fft.{name}")(_complex(name, a), n=n, axis=axis, norm=norm or "backward")

    return call


def _complex(name: str, a: Any) -> Any:
    """The standard's complex transforms take complex arrays only, NumPy's take all."""
    a = a if a.dtype.inexact else a.astype("float64")
    if name in ("rfft", "ihfft", "rfftn") or a.dtype.kind == "c":
        return a
    return a.astype("complex64" if a.dtype.itemsize <= 4 else "complex128")


def _fftn(name: str, axes_default: Any) -> Callable[..., Any]:
    def call(a: Any, s: Any = None, axes: Any = axes_default, norm: Any = None) -> Any:
        s, axes = s if s is None else tuple(s), axes if axes is None else tuple(axes)
        return pg(f"fft.{name}")(_complex(name, a), s=s, axes=axes, norm=norm or "backward")

    return call


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    implements(f"fft.{_name}")(_fft(_name))
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    implements(f"fft.{_name}")(_fftn(_name, None))
    implements(f"fft.{_name.removesuffix('n')}2")(_fftn(_name, (-2, -1)))
_same("fft", "fftshift ifftshift")


# -- comparison ----------------------------------------------------------------------------------------------------------


@implements(first=False)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    a, b = (x.detach() for x in _two(a, b))
    near = (el.abs(a - b) <= atol + rtol * el.abs(b)) & logic.isfinite(b)
    near = near | (a == b)
    return near | (logic.isnan(a) & logic.isnan(b)) if equal_nan else near


@implements(first=False)
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    return bool(utility.all(isclose(a, b, rtol, atol, equal_nan)))


@implements(first=False)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    a1, a2 = (x.detach() for x in _two(a1, a2))
    if a1.shape != a2.shape:
        return False
    same = a1 == a2
    if equal_nan and a1.dtype.inexact and a2.dtype.inexact:
        same = same | (logic.isnan(a1) & logic.isnan(a2))
    return bool(utility.all(same))


@implements(first=False)
def array_equiv(a1: Any, a2: Any) -> bool:
    a1, a2 = (x.detach() for x in _two(a1, a2))
    try:
        manipulation.broadcast_shapes(a1.shape, a2.shape)
    except ValueError:
        return False
    return bool(utility.all(a1 == a2))


@implements()
def isreal(x: Any) -> Any:
    return x.detach().imag == 0


@implements()
def iscomplex(x: Any) -> Any:
    return x.detach().imag != 0


@implements()
def isposinf(x: Any) -> Any:
    return x.detach() == float("inf")


@implements()
def isneginf(x: Any) -> Any:
    return x.detach() == -float("inf")


# -- sets ------------------------------------------------------------------------------------------------------------------


@implements("isin", "in1d", first=False)
def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None
) -> Any:
    element, test_elements = _two(element, test_elements)
    return sets.isin(element, manipulation.reshape(test_elements, (-1,)), invert=invert)


_same_sets = "unique_all unique_counts unique_inverse unique_values"
for _name in _same_sets.split():
    implements(_name)(getattr(sets, _name))


@implements()
def unique(ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
           axis: Any = None, *, equal_nan: bool = True, sorted: bool = True) -> Any:  # fmt: skip
    if axis is not None:
        raise TypeError("unique: axis= is not taken with polygrad's tensors")
    made = sets.unique_all(ar)
    wanted = [made.values]
    wanted += [made.indices] * return_index + [made.inverse_indices] * return_inverse + [made.counts] * return_counts
    return wanted[0] if len(wanted) == 1 else tuple(wanted)


@implements(first=False)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    if weights is None:
        x = tensor(x)
        weights = creation.ones(x.shape, dtype="int64", device=x.device)
    else:
        x, weights = _two(x, weights)
    n = max(int(statistical.max(x)) + 1 if x.size else 0, minlength)
    return pg("scatter_add")((n,), weights.dtype, [(x, weights)])


# -- dtypes, printing, memory -------------------------------------------------------------------------------------------------


def _numpy() -> Any:
    return sys.modules["numpy"]  # only NumPy calls in here


def _dtypes(values: Any) -> list[Any]:
    return [v.dtype.__numpy_dtype__ if isinstance(v, Cell) else v for v in values]  # type: ignore[attr-defined]


@implements(first=False)
def result_type(*arrays_and_dtypes: Any) -> Any:
    return _numpy().result_type(*_dtypes(arrays_and_dtypes))


@implements(first=False)
def can_cast(from_: Any, to: Any, casting: str = "safe") -> Any:
    return _numpy().can_cast(*_dtypes([from_, to]), casting)


@implements()
def min_scalar_type(a: Any, /) -> Any:
    return a.dtype.__numpy_dtype__ if a.ndim else _numpy().min_scalar_type(a.item())


@implements(first=False)
def common_type(*arrays: Any) -> Any:
    return _numpy().common_type(*[_numpy().empty(0, d) for d in _dtypes(tensors(arrays))])


@implements("may_share_memory", "shares_memory", first=False)
def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return bool(_numpy().may_share_memory(*[v._host() if isinstance(v, Cell) else v for v in (a, b)]))  # type: ignore[attr-defined]


@implements("array_repr", "array_str", "array2string")
def array_repr(a: Any, *args: Any, **options: Any) -> str:
    return repr(a)


@implements(first=False)
def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    moved = manipulation.moveaxis(arr, axis, -1)
    rows = manipulation.reshape(moved, (-1, moved.shape[-1]))
    made = [like_first(arr, func1d(rows[i, ...], *args, **kwargs)) for i in range(rows.shape[0])]
    result = manipulation.reshape(manipulation.stack(made), moved.shape[:-1] + made[0].shape)
    depth = made[0].ndim
    if not depth:
        return result
    back = tuple(range(result.ndim - depth, result.ndim))
    return manipulation.moveaxis(result, back, tuple(range(axis % arr.ndim, axis % arr.ndim + depth)))


@implements(first=False)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if not isinstance(dst, Cell):
        raise TypeError("copyto: a NumPy array cannot take a tensor's values without losing its graph; pass a tensor")
    target: Any = dst
    target[...] = src if where is True else searching.where(where, src, target)


@implements()
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    n = min(a.shape)
    places = creation.arange(n, device=a.device)
    a[(places,) * a.ndim] = val


@implements(first=False)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int) -> None:
    arr, indices = tensor(arr), like_first(arr, indices)
    keys = [
        manipulation.reshape(creation.arange(n, device=arr.device), tuple(-1 if i == k else 1 for i in range(arr.ndim)))
        for k, n in enumerate(indices.shape)
    ]
    keys[axis % arr.ndim] = indices
    arr[tuple(manipulation.broadcast_arrays(*keys))] = values
