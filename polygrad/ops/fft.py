"""Fourier transforms.

Three ops carry all of them: the complex transform over any axes, and the two between real numbers and half a
spectrum, over one axis. Each is linear, so its jvp is itself; its vjp is the conjugate transpose. A factor ``1 / n``
belongs to one direction of a pair, and the adjoint of the one direction is the other without it: the adjoint of a
transform with ``norm="backward"`` has ``norm="forward"``. Cutting to a length and filling up with zeros are each
other's adjoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from .. import dtypes as dt
from ..backend import Device
from ..core.apply import apply
from ..core.declare import op
from ..core.operands import together
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike, DTypeLike, Namespace, Raw
from .creation import arange
from .data_types import astype, isdtype
from .elementwise import conj
from .manipulation import concat, normal_axes, roll

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft", "irfftn", "rfft",
    "rfftfreq", "rfftn",
]  # fmt: skip

Norm = Literal["backward", "ortho", "forward"]
Sizes = tuple[int, ...]
Axes = tuple[int, ...]

_ADJOINT: Final[dict[str, Norm]] = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def resized(xp: Namespace, x: Raw, n: int, axis: int) -> Raw:
    """``x`` with ``n`` elements along an axis counted from the end: cut, or filled up with zeros."""
    have = x.shape[axis]
    if have > n:
        return x[(..., slice(0, n), *(slice(None),) * (-1 - axis))]
    if have < n:
        shape = list(x.shape)
        shape[axis] = n - have
        return xp.concat([x, xp.zeros(tuple(shape), dtype=x.dtype)], axis=axis)
    return x


# -- the complex transform ---------------------------------------------------------------------------


def _transform(xp: Namespace, x: Raw, sizes: Sizes, axes: Axes, norm: Norm, inverse: bool) -> Raw:
    return (xp.fft.ifftn if inverse else xp.fft.fftn)(x, s=sizes, axes=axes, norm=norm)


def _complex_vjp(xp: Namespace, g: Raw, x_shape: Any, sizes: Sizes, axes: Axes, norm: Norm, inverse: bool) -> Raw:
    made = _transform(xp, g, sizes, axes, _ADJOINT[norm], not inverse)
    for axis in axes:
        made = resized(xp, made, x_shape[axis], axis)
    return made


@op(
    vjps=[_complex_vjp],
    jvps=[lambda xp, t, sizes, axes, norm, inverse: _transform(xp, t, sizes, axes, norm, inverse)],
)
def _complex_transform(xp: Namespace, x: Raw, /, sizes: Sizes, axes: Axes, norm: Norm, inverse: bool) -> Raw:
    return _transform(xp, x, sizes, axes, norm, inverse)


# -- real numbers and half a spectrum ----------------------------------------------------------------
# Half a spectrum has n // 2 + 1 entries; irfft counts each twice, for the other half is its mirror image, but
# not the first (DC) and, of an even n, not the last (Nyquist), of which it takes the real part.


def _multiplicity(xp: Namespace, n: int, axis: int, dtype: Any) -> Raw:
    """How often irfft counts each entry of half a spectrum: 1, 2, ..., 2, and 1 again if n is even."""
    k = xp.arange(n // 2 + 1)
    once = (k == 0) | (2 * k == n)
    w = xp.where(once, xp.ones((), dtype=dtype), xp.asarray(2.0, dtype=dtype))
    return xp.reshape(w, (n // 2 + 1, *(1,) * (-1 - axis)))


# rfft: g is first spread to where it came from; Re of the full inverse transform is irfft of g over the counts.
def _from_real_vjp(xp: Namespace, g: Raw, x_shape: Any, x_dtype: Any, n: int, axis: int, norm: Norm) -> Raw:
    halved = g / _multiplicity(xp, n, axis, x_dtype)
    return resized(xp, xp.fft.irfft(halved, n=n, axis=axis, norm=_ADJOINT[norm]), x_shape[axis], axis)


@op(
    vjps=[_from_real_vjp],
    jvps=[lambda xp, t, n, axis, norm: xp.fft.rfft(t, n=n, axis=axis, norm=norm)],
)
def _from_real(xp: Namespace, x: Raw, /, n: int, axis: int, norm: Norm) -> Raw:
    return xp.fft.rfft(x, n=n, axis=axis, norm=norm)


def _to_real_vjp(xp: Namespace, g: Raw, x_shape: Any, n: int, axis: int, norm: Norm) -> Raw:
    spectrum = xp.fft.rfft(g, n=n, axis=axis, norm=_ADJOINT[norm])
    return resized(xp, spectrum * _multiplicity(xp, n, axis, g.dtype), x_shape[axis], axis)


@op(
    vjps=[_to_real_vjp],
    jvps=[lambda xp, t, n, axis, norm: xp.fft.irfft(t, n=n, axis=axis, norm=norm)],
)
def _to_real(xp: Namespace, x: Raw, /, n: int, axis: int, norm: Norm) -> Raw:
    return xp.fft.irfft(x, n=n, axis=axis, norm=norm)


# -- arguments ---------------------------------------------------------------------------------------


def _argument(name: str, x: ArrayLike, norm: str, to: str) -> Any:
    """A Tensor of a floating dtype: real where ``to`` is "f", made complex where it is "c"."""
    (x,) = together(name, (x,))
    dtype = x._device.backend.to_dtype(x._value.dtype)
    if norm not in _ADJOINT:
        raise ValueError(f"{name}: norm must be 'backward', 'ortho' or 'forward', got {norm!r}")
    if not dtype.inexact or dtype.itemsize < 4:
        raise DTypeError(f"{name}: needs float32, float64, complex64 or complex128, got {dtype}; cast with pg.astype")
    if to == "f" and dtype.kind == "c":
        raise DTypeError(f"{name}: needs real numbers, got {dtype}; take pg.real(x), or use the complex transform")
    if to == "c" and dtype.kind == "f":
        return astype(x, dt.complex64 if dtype.itemsize == 4 else dt.complex128)
    return x


def _over(name: str, x: Any, s: Any, axes: Any, half: bool = False) -> tuple[list[int], list[int]]:
    """The lengths, and the axes counted from the end; with ``half`` the last is that of half a spectrum."""
    shape = tuple(x._value.shape)
    ndim = len(shape)
    if axes is None:
        axes = range(ndim) if s is None else range(ndim - len(s), ndim)
    places = normal_axes(name, tuple(axes), ndim)
    if not places:
        raise ShapeError(f"{name}: needs at least one axis, got shape {shape} and axes {tuple(axes)}")
    if s is None:
        sizes = [shape[a] for a in places]
        if half:
            sizes[-1] = 2 * (sizes[-1] - 1)
    else:
        sizes = [int(n) for n in s]
    if len(sizes) != len(places):
        raise ShapeError(f"{name}: {len(sizes)} lengths s={tuple(sizes)} for {len(places)} axes")
    if any(n < 1 for n in sizes):
        raise ShapeError(f"{name}: a transform has at least 1 point, got {sizes} over axes {places} of shape {shape}")
    return sizes, [a - ndim for a in places]


def _length(n: int | None) -> tuple[int] | None:
    return None if n is None else (n,)


def _c2c(name: str, x: ArrayLike, s: Any, axes: Any, norm: Norm, inverse: bool) -> Tensor:
    x = _argument(name, x, norm, "c")
    sizes, places = _over(name, x, s, axes)
    return apply(_complex_transform, (x,), (tuple(sizes), tuple(places), norm, inverse))


def _r2c(name: str, x: ArrayLike, s: Any, axes: Any, norm: Norm) -> Tensor:
    x = _argument(name, x, norm, "f")
    sizes, places = _over(name, x, s, axes)
    made = apply(_from_real, (x,), (sizes.pop(), places.pop(), norm))
    return apply(_complex_transform, (made,), (tuple(sizes), tuple(places), norm, False)) if sizes else made


def _c2r(name: str, x: ArrayLike, s: Any, axes: Any, norm: Norm) -> Tensor:
    x = _argument(name, x, norm, "c")
    sizes, places = _over(name, x, s, axes, half=True)
    n, axis = sizes.pop(), places.pop()
    if sizes:
        x = apply(_complex_transform, (x,), (tuple(sizes), tuple(places), norm, True))
    return apply(_to_real, (x,), (n, axis, norm))


# -- the functions -----------------------------------------------------------------------------------


def fft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The discrete Fourier transform ``sum_j x[j] exp(-2 pi i j k / n)`` along ``axis``.

    Args:
        x: complex numbers; real ones are taken as complex.
        n: the length: ``x`` is cut to it, or filled up with zeros (default: that of ``x``).
        axis: the axis.
        norm: which direction is divided by n: ``"backward"`` the inverse, ``"forward"`` this one, ``"ortho"`` both by the
            root of n.

    >>> import polygrad as pg
    >>> pg.fft.fft(pg.asarray([1.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j], dtype=complex128)

    Raises:
        ShapeError: if the axis is out of range, or the length not positive.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    return _c2c("fft", x, _length(n), (axis,), norm, False)


def ifft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of :func:`fft`, with its arguments.

    >>> import polygrad as pg
    >>> pg.real(pg.fft.ifft(pg.fft.fft(pg.asarray([1.0, 2.0]))))
    tensor([1., 2.], dtype=float64)
    """
    return _c2c("ifft", x, _length(n), (axis,), norm, True)


def fftn(x: ArrayLike, /, *, s: Sizes | None = None, axes: Axes | None = None, norm: Norm = "backward") -> Tensor:
    """The discrete Fourier transform over several axes.

    Args:
        x: complex numbers; real ones are taken as complex.
        s: the lengths, as ``n`` of :func:`fft`.
        axes: the axes (default: all, or as many of the last as there are lengths).
        norm: as in :func:`fft`.

    Raises:
        ShapeError: if an axis is out of range, or a length not positive.
        DTypeError: if the dtype is not a floating one of 32 bits or more.
    """
    return _c2c("fftn", x, s, axes, norm, False)


def ifftn(x: ArrayLike, /, *, s: Sizes | None = None, axes: Axes | None = None, norm: Norm = "backward") -> Tensor:
    """The inverse of :func:`fftn`, with its arguments."""
    return _c2c("ifftn", x, s, axes, norm, True)


def rfft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The first ``n // 2 + 1`` entries of the transform of real numbers; the others mirror them.

    The arguments are those of :func:`fft`.

    >>> import polygrad as pg
    >>> pg.fft.rfft(pg.asarray([1.0, 2.0, 3.0, 4.0]))
    tensor([10.+0.j, -2.+2.j, -2.+0.j], dtype=complex128)

    Raises:
        DTypeError: if ``x`` is complex.
    """
    return _r2c("rfft", x, _length(n), (axis,), norm)


def irfft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of :func:`rfft`: ``n`` real numbers (default ``2 * (m - 1)``) of half a spectrum of m entries.

    Of the first entry, and of an even ``n`` the last, the imaginary part does not count: its gradient is 0.

    >>> import polygrad as pg
    >>> pg.fft.irfft(pg.fft.rfft(pg.asarray([1.0, 2.0, 3.0])), n=3)
    tensor([1., 2., 3.], dtype=float64)
    """
    return _c2r("irfft", x, _length(n), (axis,), norm)


def rfftn(x: ArrayLike, /, *, s: Sizes | None = None, axes: Axes | None = None, norm: Norm = "backward") -> Tensor:
    """The transform of real numbers over several axes: :func:`rfft` over the last, :func:`fftn` over the others."""
    return _r2c("rfftn", x, s, axes, norm)


def irfftn(x: ArrayLike, /, *, s: Sizes | None = None, axes: Axes | None = None, norm: Norm = "backward") -> Tensor:
    """The inverse of :func:`rfftn`; ``s`` are the lengths of the result."""
    return _c2r("irfftn", x, s, axes, norm)


# hfft is the forward transform of what has real values: irfft of the conjugate, with the factor on the other side.


def hfft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The ``n`` real values of the transform of half a signal with Hermitian symmetry (``x[-j] = conj(x[j])``).

    >>> import polygrad as pg
    >>> pg.fft.hfft(pg.asarray([1.0, 1.0]), n=2)
    tensor([2., 0.], dtype=float64)
    """
    x = _argument("hfft", x, norm, "c")
    return _c2r("hfft", conj(x), _length(n), (axis,), _ADJOINT[norm])


def ihfft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: Norm = "backward") -> Tensor:
    """The inverse of :func:`hfft`: half a signal of real values of a spectrum."""
    x = _argument("ihfft", x, norm, "f")
    return conj(_r2c("ihfft", x, _length(n), (axis,), _ADJOINT[norm]))


# -- frequencies -------------------------------------------------------------------------------------


def _spacing(name: str, n: int, d: float, dtype: Any) -> tuple[int, Any]:
    n = n.__index__()
    if n < 1:
        raise ShapeError(f"{name}: needs at least 1 point, got n={n}")
    dtype = dt.float64 if dtype is None else dtype
    if not isdtype(dtype, "real floating"):
        raise DTypeError(f"{name}: frequencies are real floating numbers, got dtype {dtype}")
    return n, dtype


def fftfreq(n: int, /, *, d: float = 1.0, dtype: DTypeLike | None = None, device: str | Device | None = None) -> Tensor:
    """The frequencies of the ``n`` entries that :func:`fft` gives of samples ``d`` apart: 0, the positive ones, then
    the negative ones.

    >>> import polygrad as pg
    >>> pg.fft.fftfreq(4)
    tensor([ 0.  ,  0.25, -0.5 , -0.25], dtype=float64)

    Raises:
        ShapeError: if ``n`` is not positive.
        DTypeError: if the dtype is not a real floating one.
    """
    n, dtype = _spacing("fftfreq", n, d, dtype)
    positive = arange(0, (n + 1) // 2, dtype=dtype, device=device)
    negative = arange(-(n // 2), 0, dtype=dtype, device=device)
    return concat([positive, negative]) / (n * d)


def rfftfreq(
    n: int, /, *, d: float = 1.0, dtype: DTypeLike | None = None, device: str | Device | None = None
) -> Tensor:
    """The frequencies of the ``n // 2 + 1`` entries that :func:`rfft` gives of ``n`` samples ``d`` apart.

    >>> import polygrad as pg
    >>> pg.fft.rfftfreq(4)
    tensor([0.  , 0.25, 0.5 ], dtype=float64)
    """
    n, dtype = _spacing("rfftfreq", n, d, dtype)
    return arange(0, n // 2 + 1, dtype=dtype, device=device) / (n * d)


def _shifted(name: str, x: ArrayLike, axes: Any, inverse: bool) -> Tensor:
    (x,) = together(name, (x,))
    places = normal_axes(name, axes, x._value.ndim)
    halves = [x._value.shape[a] // 2 for a in places]
    shift = tuple(-n if inverse else n for n in halves)
    return roll(x, shift, axis=places) if places else x * 1


def fftshift(x: ArrayLike, /, *, axes: int | Axes | None = None) -> Tensor:
    """``x`` with the zero frequency moved to the middle of ``axes`` (all by default).

    >>> import polygrad as pg
    >>> pg.fft.fftshift(pg.fft.fftfreq(4))
    tensor([-0.5 , -0.25,  0.  ,  0.25], dtype=float64)
    """
    return _shifted("fftshift", x, axes, False)


def ifftshift(x: ArrayLike, /, *, axes: int | Axes | None = None) -> Tensor:
    """The inverse of :func:`fftshift`, which differs from it where a length is odd."""
    return _shifted("ifftshift", x, axes, True)
