"""Gradient checks: rules against Richardson-extrapolated differences, and against each other.

The differences are taken along random directions with signed entries, the cotangents are random and signed:
with all ones, whole families of wrong rules pass (chainer#3541). All numbers are real inner products
``<a, b> = Re(sum(conj(a) b))``, which makes the same checks right for complex arrays.

Every check returns nothing and raises :class:`polygrad.errors.CheckError` naming the function, the argument,
the two numbers and their distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import polygrad as pg

from ..errors import CheckError

__all__ = ["check_adjoint", "check_grads", "check_jvp", "check_second_order", "check_vjp"]

Arrays = Sequence[Any]

# Differences of values of size 1 are good to about 1e-12: derivatives much smaller than the values cannot be
# checked to a relative 1e-7, only to this share of it.
_NOISE = 1e-3


def check_grads(
    f: Callable[..., Any],
    args: Arrays,
    *,
    order: int = 2,
    argnums: Sequence[int] | None = None,
    rtol: float = 1e-7,
    seed: int = 0,
    step: float = 2e-3,
) -> None:
    """All checks of a function's derivatives: vjp and jvp against differences, the two against each other to
    1e-12, and (``order=2``) the same for its vjp.

    Args:
        f: takes arrays, returns an array or a tuple of arrays.
        args: float64 or complex128 arrays or Tensors (any backend), at a point where ``f`` is smooth.
        order: 1 or 2.
        argnums: which arguments to differentiate; all floating ones by default.
        rtol: relative to the size of what is compared.
        seed: of the random directions and cotangents.
        step: the first difference step; the extrapolation halves it three times.

    >>> import polygrad as pg
    >>> check_grads(pg.tanh, [pg.asarray([0.1, -0.7])])
    """
    check_vjp(f, args, argnums=argnums, rtol=rtol, seed=seed, step=step)
    check_jvp(f, args, argnums=argnums, rtol=rtol, seed=seed, step=step)
    check_adjoint(f, args, argnums=argnums, seed=seed)
    if order > 1:
        check_second_order(f, args, argnums=argnums, rtol=rtol, seed=seed, step=step)


def check_vjp(
    f: Callable[..., Any],
    args: Arrays,
    *,
    argnums: Sequence[int] | None = None,
    rtol: float = 1e-7,
    seed: int = 0,
    step: float = 2e-3,
) -> None:
    """Reverse mode against differences: ``<g, f'(x) v> = <vjp(g), v>`` for each argument by itself and a random
    ``g`` and ``v``. The cotangents must have the arguments' shapes, dtypes and devices."""
    tensors, chosen, call = _prepare(f, args, argnums)
    outputs, pullback = pg.vjp(call, *[tensors[i] for i in chosen])
    draw = _Draw(seed)
    cotangents = [draw.like(y) for y in outputs]
    found = pullback(tuple(cotangents))
    for i, (number, g) in enumerate(zip(chosen, found, strict=True)):
        _check_type(f, number, g, tensors[number])
        direction = draw.like(tensors[number])
        moved = _difference(call, [tensors[k] for k in chosen], i, direction, step)
        expected = sum(_inner(c, m) for c, m in zip(cotangents, moved, strict=True))
        size = sum(_norm(c) * _norm(m) for c, m in zip(cotangents, moved, strict=True)) + _norm(g) * _norm(direction)
        size += sum(_NOISE * _norm(c) * _norm(y) for c, y in zip(cotangents, outputs, strict=True))
        _compare(f"vjp of {_name(f)}, argument {number}", _inner(g, direction), expected, rtol, size)


def check_jvp(
    f: Callable[..., Any],
    args: Arrays,
    *,
    argnums: Sequence[int] | None = None,
    rtol: float = 1e-7,
    seed: int = 0,
    step: float = 2e-3,
) -> None:
    """Forward mode against differences, entry by entry, for each argument by itself."""
    tensors, chosen, call = _prepare(f, args, argnums)
    primals = [tensors[i] for i in chosen]
    draw = _Draw(seed)
    for i, number in enumerate(chosen):
        direction = draw.like(tensors[number])
        tangents = [direction if k == i else pg.zeros_like(x) for k, x in enumerate(primals)]
        outputs, found = pg.jvp(call, tuple(primals), tuple(tangents))
        expected = _difference(call, primals, i, direction, step)
        for k, (t, e, y) in enumerate(zip(found, expected, outputs, strict=True)):
            what = f"jvp of {_name(f)}, argument {number}" + (f", output {k}" if len(found) > 1 else "")
            if t.shape != y.shape or t.dtype is not y.dtype or t.device is not y.device:
                raise CheckError(
                    f"{what}: the tangent is {t.dtype}{t.shape} on {t.device}, the output {y.dtype}{y.shape} on {y.device}"
                )
            _compare(what, _norm(t - e), 0.0, rtol, _norm(t) + _norm(e) + _NOISE * _norm(y))


def check_adjoint(
    f: Callable[..., Any], args: Arrays, *, argnums: Sequence[int] | None = None, rtol: float = 1e-12, seed: int = 0
) -> None:
    """The two modes against each other: ``<g, jvp(v)> = <vjp(g), v>``, to rounding."""
    tensors, chosen, call = _prepare(f, args, argnums)
    primals = [tensors[i] for i in chosen]
    draw = _Draw(seed)
    tangents = [draw.like(x) for x in primals]
    outputs, moved = pg.jvp(call, tuple(primals), tuple(tangents))
    cotangents = [draw.like(y) for y in outputs]
    pulled = pg.vjp(call, *primals)[1](tuple(cotangents))
    left = sum(_inner(g, m) for g, m in zip(cotangents, moved, strict=True))
    right = sum(_inner(c, t) for c, t in zip(pulled, tangents, strict=True))
    size = sum(_norm(g) * _norm(m) for g, m in zip(cotangents, moved, strict=True))
    size += sum(_norm(c) * _norm(t) for c, t in zip(pulled, tangents, strict=True))
    _compare(f"jvp against vjp of {_name(f)}", left, right, rtol, size)


def check_second_order(
    f: Callable[..., Any],
    args: Arrays,
    *,
    argnums: Sequence[int] | None = None,
    rtol: float = 1e-7,
    seed: int = 0,
    step: float = 2e-3,
) -> None:
    """The vjp, as a function of the arguments *and* of the cotangent, differentiated again in both modes."""
    tensors, chosen, call = _prepare(f, args, argnums)
    primals = [tensors[i] for i in chosen]
    draw = _Draw(seed + 1)
    cotangents = [draw.like(y) for y in call(*primals)]

    def pulled(*inputs: Any) -> Any:
        points, given = inputs[: len(primals)], inputs[len(primals) :]
        return pg.vjp(call, *points)[1](tuple(given))

    pulled.__name__ = f"vjp of {_name(f)}"
    both = [*primals, *cotangents]
    check_vjp(pulled, both, rtol=rtol, seed=seed, step=step)
    check_jvp(pulled, both, rtol=rtol, seed=seed, step=step)
    check_adjoint(pulled, both, seed=seed)


# -- parts -------------------------------------------------------------------------------------------


def _prepare(
    f: Callable[..., Any], args: Arrays, argnums: Sequence[int] | None
) -> tuple[list[Any], list[int], Callable[..., tuple[Any, ...]]]:
    """The arguments as Tensors, which of them to differentiate, and ``f`` as a function of those that gives a
    tuple of its floating outputs."""
    tensors = [pg.asarray(x).detach() for x in args]
    chosen = [i for i, x in enumerate(tensors) if x.dtype.inexact] if argnums is None else list(argnums)
    for i in chosen:
        if tensors[i].dtype not in (pg.float64, pg.complex128):
            raise CheckError(f"{_name(f)}: argument {i} is {tensors[i].dtype}; differences need float64 or complex128")

    def call(*points: Any) -> tuple[Any, ...]:
        called = list(tensors)
        for i, x in zip(chosen, points, strict=True):
            called[i] = x
        result = f(*called)
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        return tuple(y for y in outputs if y.dtype.inexact)

    return tensors, chosen, call


class _Draw:
    """Random arrays whose entries have a sign and are not small: magnitudes in [0.5, 1.5]."""

    def __init__(self, seed: int) -> None:
        self._generator = pg.random.Generator(seed)

    def like(self, x: Any) -> Any:
        if x.dtype.kind == "c":
            return pg.astype(self._real(x), x.dtype) + 1j * pg.astype(self._real(x), x.dtype)
        return self._real(x)

    def _real(self, x: Any) -> Any:
        made = pg.random.uniform(x.shape, -1.0, 1.0, dtype=pg.float64, device=x.device, generator=self._generator)
        return made + 0.5 * pg.sign(made)


def _inner(a: Any, b: Any) -> float:
    product = pg.conj(a) * b if a.dtype.kind == "c" or b.dtype.kind == "c" else a * b
    return float(pg.real(pg.sum(product)) if product.dtype.kind == "c" else pg.sum(product))


def _norm(a: Any) -> float:
    return math.sqrt(max(_inner(a, a), 0.0))


def _difference(call: Callable[..., tuple[Any, ...]], points: Arrays, i: int, direction: Any, step: float) -> list[Any]:
    """The derivative along a direction of argument ``i`` by central differences, extrapolated (Richardson 1911):
    errors of order step^2, ^4, ^6 cancel, and the last column is of order step^8."""

    def central(h: float) -> list[Any]:
        ahead = call(*[x + h * direction if k == i else x for k, x in enumerate(points)])
        behind = call(*[x - h * direction if k == i else x for k, x in enumerate(points)])
        return [(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)]

    with pg.no_grad():
        column = [central(step / 2**k) for k in range(4)]
        factor = 4.0
        while len(column) > 1:
            column = [
                [fine + (fine - coarse) / (factor - 1) for coarse, fine in zip(c, d, strict=True)]
                for c, d in pairwise(column)
            ]
            factor *= 4.0
    return column[0]


def _check_type(f: Callable[..., Any], number: int, g: Any, x: Any) -> None:
    if g.shape != x.shape or g.dtype is not x.dtype or g.device is not x.device:
        raise CheckError(
            f"vjp of {_name(f)}, argument {number}: the cotangent is {g.dtype}{g.shape} on {g.device}, "
            f"the argument {x.dtype}{x.shape} on {x.device}"
        )


def _compare(what: str, found: float, expected: float, rtol: float, size: float) -> None:
    """Raise unless two numbers agree to ``rtol``, relative to the size of what they are made of."""
    error = abs(found - expected)
    if not error <= rtol * max(size, 1e-10):
        raise CheckError(
            f"{what}: {found!r} differs from {expected!r} by {error:.3g}, allowed is {rtol:g} of {size:.3g}"
        )


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", None) or repr(f)
