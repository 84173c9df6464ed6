"""Declaring ops: the decorators that make a public function of a forward and its rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias

from .apply import binary_caller, unary_caller
from .op import OPS, Op, Rule
from .operands import reflected

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["binary", "from_partial", "op", "unary"]

P = ParamSpec("P")


def from_partial(partial: Rule, finite: bool = False) -> tuple[Rule, Rule, Rule]:
    """The vjp, its conjugated twin and the jvp of an elementwise argument with this partial derivative.

    Where the slope may be infinite or nan, a cotangent of 0 stays 0 (``ops/strong.py``); ``finite`` slopes need no such
    care and get a plain product.
    """

    def plain(xp: Any, g: Any, *args: Any) -> Any:
        return g * partial(xp, *args)

    def strong(xp: Any, g: Any, *args: Any) -> Any:
        return xp.strong_multiply(g, partial(xp, *args))

    def conjugated(xp: Any, g: Any, *args: Any) -> Any:
        slope: Any = partial(xp, *args)
        slope = slope.conjugate() if isinstance(slope, (int, float, complex)) else xp.conj(slope)
        return g * slope if finite else xp.strong_multiply(g, slope)

    code = partial.__code__
    names = list(code.co_varnames[1 : code.co_argcount])
    vjp = plain if finite else strong
    for rule in (vjp, conjugated):
        rule.needs = names  # type: ignore[attr-defined]
        rule.__name__ = f"{partial.__name__}_vjp"
    return vjp, conjugated, vjp


def _square(f: Callable[..., Any], derivative: Rule) -> Op:
    """The op of f(x, x)."""
    vjp, conjugated, jvp = from_partial(derivative)

    def forward(xp: Any, x: Any, /) -> Any:
        return f(xp, x, x)

    twin = Op(f.__name__, forward, [conjugated], [jvp], broadcasts=True, same_shape=True)
    return Op(f.__name__, forward, [vjp], [jvp], broadcasts=True, conjugate=twin, same_shape=True)


def _public(caller: Any, f: Callable[..., Any], declared: Op) -> Any:
    OPS[declared.name] = declared
    caller.__name__ = caller.__qualname__ = f.__name__
    caller.__doc__ = f.__doc__
    caller.__module__ = f.__module__
    caller.__annotations__ = {k: v for k, v in f.__annotations__.items() if k != "xp"}
    caller.op = declared
    return caller


Unary: TypeAlias = "Callable[[Callable[[Any, Any], Any]], Callable[[Any], Tensor]]"
Binary: TypeAlias = "Callable[[Callable[[Any, Any, Any], Any]], Callable[[Any, Any], Tensor]]"


def unary(
    derivative: Rule | None = None,
    *,
    vjp: Rule | None = None,
    jvp: Rule | None = None,
    real_vjp: Rule | None = None,
    finite: bool = False,
) -> Unary:
    """Declare an elementwise function of one array.

    Args:
        derivative: ``derivative(xp, ...)`` gives f'(x) from whichever of ``x`` and ``out`` it names. One
            derivative serves reverse and forward mode, real and complex (where f must be holomorphic).
        vjp, jvp: rules ``(xp, g, ...)`` and ``(xp, t, ...)`` that go before the derivative, where a
            function is not holomorphic or a shorter way exists.
        real_vjp: a shorter vjp for real output only.
        finite: whether the derivative is finite wherever the function is; others take care that cotangents of 0 stay 0.

    With none of them the function is declared non-differentiable.
    """

    def declare(f: Callable[[Any, Any], Any]) -> Callable[[Any], Tensor]:
        v, c, j = (None, None, None) if derivative is None else from_partial(derivative, finite)
        name = f.__name__.strip("_")
        twin = None if c is None or vjp is not None else Op(name, f, [c], [j], broadcasts=True, same_shape=True)
        declared = Op(name, f, [real_vjp or vjp or v], [jvp or j], broadcasts=True, conjugate=twin, same_shape=True)
        caller: Callable[[Any], Tensor] = _public(unary_caller(declared), f, declared)
        return caller

    return declare


def binary(
    partials: tuple[Rule | None, Rule | None] = (None, None),
    *,
    vjps: tuple[Rule | None, Rule | None] = (None, None),
    jvps: tuple[Rule | None, Rule | None] = (None, None),
    real_vjps: tuple[Rule | None, Rule | None] = (None, None),
    scalars: bool = False,
    direct: Callable[[Any, Any], Any] | None = None,
    square: Rule | None = None,
    finite: bool = False,
    broadcasts: bool = True,
    same_shape: bool = False,
    misfit: Callable[[Any, Any, Exception], Exception] | None = None,
) -> Binary:
    """Declare an elementwise function of two arrays.

    Args:
        partials: for each argument its partial derivative, as ``derivative`` of :func:`unary`.
        vjps, jvps: rules that go before the partials.
        real_vjps: shorter rules for real output only.
        scalars: whether the forward takes Python scalars as they are (the operators do).
        direct: the forward as a function of the two arrays alone, where it is an operator.
        square: the derivative by both arguments at once, for ``f(x, x)``: one rule instead of two and a sum.
        finite: whether the partials are finite wherever the function is, as for :func:`unary`.
        same_shape: whether the rules always give the arguments' shapes.
        broadcasts: False for functions of two arrays that are not elementwise (matmul).
        misfit: what to raise for an error of the library: ``misfit(x1, x2, error)``.
    """

    def declare(f: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any], Tensor]:
        rules = [(None, None, None) if p is None else from_partial(p, finite) for p in partials]
        real = [r or s or m[0] for r, s, m in zip(real_vjps, vjps, rules)]
        other = [s or m[1] or r for r, s, m in zip(real_vjps, vjps, rules)]
        forward = [s or m[2] for s, m in zip(jvps, rules)]
        twin = None
        if any(o is not r for o, r in zip(other, real)):
            twin = Op(f.__name__, f, other, forward, broadcasts=broadcasts, same_shape=same_shape)
        declared = Op(f.__name__, f, real, forward, broadcasts=broadcasts, conjugate=twin, same_shape=same_shape)
        if twin is not None and twin.sources != declared.sources:
            raise TypeError(f"op {f.__name__!r}: its real_vjps must name the same arguments as the other rules")
        twice = None if square is None else _square(f, square)
        callers = [binary_caller(declared, scalars, direct, operator, twice, misfit) for operator in (False, True)]
        caller: Callable[[Any, Any], Tensor] = _public(callers[0], f, declared)
        operator = _public(callers[1], f, declared)
        caller.operator, caller.reflected = operator, reflected(operator)  # type: ignore[attr-defined]
        return caller

    return declare


def op(
    *,
    vjps: Sequence[Rule | None] = (),
    jvps: Sequence[Rule | None] = (),
    name: str | None = None,
    broadcasts: bool = False,
    multiple: bool = False,
    variadic: bool = False,
    partial: bool = False,
) -> Callable[[Callable[Concatenate[Any, P], Any]], Op]:
    """Declare an op that a public function applies with :func:`apply`, after checking its arguments."""

    def declare(f: Callable[Concatenate[Any, P], Any]) -> Op:
        declared = Op(
            name or f.__name__.strip("_"), f, vjps, jvps,
            broadcasts=broadcasts, multiple=multiple, variadic=variadic, partial=partial,
        )  # fmt: skip
        OPS[declared.name] = declared
        return declared

    return declare
