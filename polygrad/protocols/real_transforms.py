"""``scipy.fft``'s cosine and sine transforms of Tensors: ``dct``, ``idct``, ``dst``, ``idst`` and those over several axes.

SciPy asks its backends first; polygrad's answers where the array is a Tensor. All are made of ``polygrad.fft``'s
transforms, and so differentiable. With N points, and y the transform of x:

* DCT-I is the real transform of x continued evenly, ``x[0], ..., x[N-1], x[N-2], ..., x[1]``; DST-I, times i, that of x
  continued oddly, ``0, x, 0, -reversed x``.
* DCT-II: with ``x, reversed x`` of 2 N points, ``y[k] = Re(exp(-i pi k / 2N) F[k])``.
* DCT-III: ``y`` is the first half of the inverse real transform of ``x[n] exp(i pi n / 2N)`` to 2 N points.
* DCT-IV: ``y[k] = 2 Re(exp(-i pi (2k + 1) / 4N) F[k])``, F that of ``x[n] exp(-i pi n / 2N)`` filled up to 2 N points.
* DST-II is the DCT-II of ``(-1)^n x[n]`` in reverse order, DST-III and IV are ``(-1)^k`` times the DCT of reversed x.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final

from ..errors import ShapeError
from ..ops import creation, data_types, elementwise, fft, manipulation, searching

__all__ = ["FUNCTIONS", "call"]

_PLAIN_INVERSE: Final = {1: 1, 2: 3, 3: 2, 4: 4}


def _count(n: int, x: Any) -> Any:
    """0, 1, ..., n - 1 in x's dtype."""
    return data_types.astype(creation.arange(n, device=x.device), x.dtype)


def _turned(angle: Any) -> Any:
    return elementwise.cos(angle) + 1j * elementwise.sin(angle)


def _signs(n: int, x: Any) -> Any:
    return 1 - 2 * elementwise.remainder(_count(n, x), 2)


def _flip(x: Any) -> Any:
    return manipulation.flip(x, axis=-1)


# -- one axis, the last; no factors --------------------------------------------------------------------------


def _dct1(x: Any) -> Any:
    n = x.shape[-1]
    return elementwise.real(fft.rfft(manipulation.concat([x, _flip(x[..., 1 : n - 1])], axis=-1)))


def _dct2(x: Any) -> Any:
    n = x.shape[-1]
    spectrum = fft.rfft(manipulation.concat([x, _flip(x)], axis=-1))[..., :n]
    return elementwise.real(_turned(_count(n, x) * (-math.pi / (2 * n))) * spectrum)


def _dct3(x: Any) -> Any:
    n = x.shape[-1]
    half = x * _turned(_count(n, x) * (math.pi / (2 * n)))
    last = creation.zeros((*x.shape[:-1], 1), dtype=half.dtype, device=x.device)
    return fft.irfft(manipulation.concat([half, last], axis=-1), n=2 * n, norm="forward")[..., :n]


def _dct4(x: Any) -> Any:
    n = x.shape[-1]
    k = _count(n, x)
    spectrum = fft.fft(x * _turned(k * (-math.pi / (2 * n))), n=2 * n)[..., :n]
    return 2 * elementwise.real(_turned((2 * k + 1) * (-math.pi / (4 * n))) * spectrum)


def _dst1(x: Any) -> Any:
    zero = creation.zeros((*x.shape[:-1], 1), dtype=x.dtype, device=x.device)
    spectrum = fft.rfft(manipulation.concat([zero, x, zero, -_flip(x)], axis=-1))
    return -elementwise.imag(spectrum[..., 1 : x.shape[-1] + 1])


def _dst2(x: Any) -> Any:
    return _flip(_dct2(x * _signs(x.shape[-1], x)))


def _dst3(x: Any) -> Any:
    return _dct3(_flip(x)) * _signs(x.shape[-1], x)


def _dst4(x: Any) -> Any:
    return _dct4(_flip(x)) * _signs(x.shape[-1], x)


_KINDS: Final[dict[str, dict[int, Callable[[Any], Any]]]] = {
    "dct": {1: _dct1, 2: _dct2, 3: _dct3, 4: _dct4},
    "dst": {1: _dst1, 2: _dst2, 3: _dst3, 4: _dst4},
}

# Which entries the orthogonal variants multiply before and divide after, by the square root of 2.
_ENDS: Final = {
    ("dct", 1): ((0, -1), (0, -1)),
    ("dct", 2): ((), (0,)),
    ("dct", 3): ((0,), ()),
    ("dst", 2): ((), (-1,)),
    ("dst", 3): ((-1,), ()),
}


def _scaled(x: Any, places: tuple[int, ...], factor: float) -> Any:
    n = x.shape[-1]
    for place in places:
        x = searching.where(_count(n, x) == place % n, x * factor, x)
    return x


def _logical(kind: str, type: int, n: int) -> int:
    """The number of points of the Fourier transform that it amounts to."""
    return 2 * (n + (0 if type != 1 else 1 if kind == "dst" else -1))


def _one_axis(name: str, kind: str, x: Any, type: int, n: int, axis: int, orthogonal: bool) -> Any:
    """The transform along an axis, without a factor."""
    if kind == "dct" and type == 1 and n < 2:
        raise ShapeError(f"{name}: type 1 needs at least 2 points, got {n} along axis {axis} of shape {x.shape}")
    x = manipulation.moveaxis(x, axis, -1)
    have = x.shape[-1]
    if have > n:
        x = x[..., :n]
    elif have < n:
        rest = creation.zeros((*x.shape[:-1], n - have), dtype=x.dtype, device=x.device)
        x = manipulation.concat([x, rest], axis=-1)
    before, after = _ENDS.get((kind, type), ((), ())) if orthogonal else ((), ())
    x = _scaled(_KINDS[kind][type](_scaled(x, before, math.sqrt(2))), after, math.sqrt(0.5))
    return manipulation.moveaxis(x, -1, axis)


# -- the public functions ------------------------------------------------------------------------------------


def _whole(numbers: Any) -> list[int]:
    """One integer or several, NumPy's too."""
    return (
        [operator.index(numbers)]
        if getattr(numbers, "ndim", None) == 0 or isinstance(numbers, int)
        else [operator.index(n) for n in numbers]
    )


def _sizes(name: str, x: Any, s: Any, axes: Any) -> tuple[list[int], list[int]]:
    """Lengths and axes as SciPy understands them."""
    given = None if s is None else _whole(s)
    if axes is None:
        if given is not None and len(given) > x.ndim:
            raise ShapeError(f"{name}: shape requires more axes than are present: s={given}, x of shape {x.shape}")
        axes = range(x.ndim) if given is None else range(x.ndim - len(given), x.ndim)
    places = list(manipulation.normal_axes(name, _whole(axes), x.ndim))
    if given is not None and len(given) != len(places):
        raise ShapeError(f"{name}: axes and shape arguments have to be of the same length, got {places} and {given}")
    sizes = [x.shape[a] if given is None or given[i] == -1 else given[i] for i, a in enumerate(places)]
    if any(n < 1 for n in sizes):
        raise ShapeError(f"{name}: invalid number of data points ({sizes}) specified; there must be at least 1")
    return sizes, places


def _transform(name: str, x: Any, type: int, s: Any, axes: Any, norm: str | None, orthogonalize: bool | None) -> Any:
    kind, inverse = name.removeprefix("i")[:3], name.startswith("i")
    if type not in _PLAIN_INVERSE:
        raise ValueError(f"{name}: type must be 1, 2, 3 or 4, got {type!r}")
    if norm not in (None, "backward", "ortho", "forward"):
        raise ValueError(f'{name}: Invalid norm value {norm!r}, should be "backward", "ortho" or "forward"')
    if not x.dtype.inexact:
        x = data_types.astype(x, "float64")
    elif x.dtype.itemsize < 4:
        x = data_types.astype(x, "float32")
    sizes, places = _sizes(name, x, s, axes)
    if x.dtype.kind == "c":  # both parts, each by itself
        parts = (
            _transform(name, f(x), type, s, axes, norm, orthogonalize) for f in (elementwise.real, elementwise.imag)
        )
        return next(parts) + 1j * next(parts)
    points, which = 1, _PLAIN_INVERSE[type] if inverse else type
    orthogonal = norm == "ortho" if orthogonalize is None else orthogonalize
    for n, axis in zip(sizes, places, strict=True):
        x = _one_axis(name, kind, x, which, n, axis, orthogonal)
        points *= _logical(kind, which, n)
    if norm == "ortho":
        return x * (1 / math.sqrt(points))
    return x * (1 / points) if inverse == (norm != "forward") else x


def _single(name: str) -> Callable[..., Any]:
    def call_one(
        x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None, overwrite_x: bool = False,
        workers: int | None = None, orthogonalize: bool | None = None,
    ) -> Any:  # fmt: skip
        return _transform(name, x, type, None if n is None else [n], [axis], norm, orthogonalize)

    return call_one


def _several(name: str) -> Callable[..., Any]:
    def call_many(
        x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: str | None = None, overwrite_x: bool = False,
        workers: int | None = None, orthogonalize: bool | None = None,
    ) -> Any:  # fmt: skip
        return _transform(name, x, type, s, axes, norm, orthogonalize)

    return call_many


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    **{name: _single(name) for name in ("dct", "idct", "dst", "idst")},
    **{name: _several(name) for name in ("dctn", "idctn", "dstn", "idstn")},
}


def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What SciPy's function of this name gives for a Tensor, or NotImplemented where it is not one of these."""
    return FUNCTIONS[name](*args, **kwargs) if name in FUNCTIONS else NotImplemented
