"""Declaring special functions: elementwise ops of any number of real arguments, checked and promoted as SciPy's are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...core.apply import apply, unary_caller
from ...core.cell import new_tensor
from ...core.declare import from_partial
from ...core.op import OPS, Op, Rule
from ...core.operands import together
from ...dtypes import DType, float32, float64, promote
from ...errors import DTypeError, NoRuleError
from ..data_types import astype

if TYPE_CHECKING:
    from ...tensor import Tensor

__all__ = ["COUNTS", "FLAT", "NO_FORMULA", "checked", "special"]

FLAT: Final = "flat"
"""The function is constant between the points where it jumps."""
NO_FORMULA: Final = "there is no formula for it here"
"""What a refusing rule says where a derivative exists that nobody has written down."""
COUNTS: Final = "it is an integer"
"""What it says of an argument that counts."""

Partial = Callable[..., Any]


def _flat(xp: Any, g: Any) -> Any:
    return xp.zeros_like(g)


def _refusal(name: str, argument: str, why: str) -> Rule:
    """A rule that raises: nothing is silently detached."""

    def refuse(xp: Any, g: Any) -> Any:
        raise NoRuleError(
            f"{name} has no derivative by its argument {argument!r}: {why}; if it is constant, pass it detached "
            f"({argument}.detach()), and do not differentiate by it"
        )

    return refuse


def _rules(name: str, argument: str, partial: Partial | str) -> tuple[Rule, Rule, Rule]:
    """The vjp, the vjp for complex output and the jvp of one argument."""
    if partial == FLAT:
        return _flat, _flat, _flat
    if isinstance(partial, str):
        rule = _refusal(name, argument, partial)
        return rule, rule, rule
    return from_partial(partial)


def special(
    *partials: Partial | str,
    integers: Sequence[int] = (),
    complex: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Tensor]]:
    """Declare an elementwise special function: the forward's arrays are its arguments.

    Args:
        partials: for each argument its partial derivative ``(xp, ...)`` as in :func:`~polygrad.core.declare.unary`, or
            ``FLAT``, or the reason why there is none: then differentiating by it raises.
        integers: which arguments count: integers stay integers there.
        complex: whether complex arguments are taken (the function must be holomorphic in them).
    """

    def declare(f: Callable[..., Any]) -> Callable[..., Tensor]:
        name = f.__name__.strip("_")
        code = f.__code__
        names = list(code.co_varnames[1 : code.co_posonlyargcount])
        rules = [_rules(name, n, p) for n, p in zip(names, partials, strict=True)]
        jvps = [j for _, _, j in rules]
        single = len(names) == 1
        vjps = [v if single or not complex else c for v, c, _ in rules]
        twin = Op(name, f, [rules[0][1]], jvps, broadcasts=True, same_shape=True) if single else None
        declared = Op(name, f, vjps, jvps, broadcasts=True, conjugate=twin, same_shape=single)
        OPS[name] = declared
        one = unary_caller(declared) if single else None

        def call(*args: Any) -> Any:
            if len(args) != len(names):
                raise TypeError(f"{name}() takes {len(names)} arguments ({', '.join(names)}), got {len(args)}")
            cells, narrow = checked(name, names, args, integers, complex)
            made = apply(declared, cells) if one is None else one(cells[0])
            return made if narrow is None else astype(made, narrow)

        call.__name__ = call.__qualname__ = name
        call.__doc__, call.__module__ = f.__doc__, f.__module__
        kind = inspect.Parameter.POSITIONAL_ONLY
        call.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
        call.op = declared  # type: ignore[attr-defined]
        call.refuses = {n: p for n, p in zip(names, partials, strict=True) if isinstance(p, str) and p != FLAT}  # type: ignore[attr-defined]
        call.flat = [n for n, p in zip(names, partials, strict=True) if p == FLAT]  # type: ignore[attr-defined]
        return call

    return declare


def checked(
    name: str, names: Sequence[str], args: Sequence[Any], integers: Sequence[int] = (), complex: bool = False
) -> tuple[list[Any], DType | None]:
    """The arguments as Tensors of one device and one floating dtype; integers become float64, except where they
    count; Python numbers adapt. With half precision the dtype that the result is to have: these work in float32 then."""
    cells = together(name, args)
    device = cells[0]._device
    to_dtype = device.backend.to_dtype
    for i in integers:
        if type(args[i]) in (int, bool):  # beside floating arrays it has become a float, which may not hold it
            cells[i] = new_tensor(
                device.raw.asarray(int(args[i]), dtype=device.backend.native_dtypes["int64"]), None, device
            )
    common: DType | None = None
    counts: list[DType] = []
    for i, x in enumerate(cells):
        dtype = to_dtype(x._value.dtype)
        if dtype.kind == "c" and not complex and type(args[i]) not in (int, float, bool):
            raise DTypeError(f"{name}: takes real arguments, but {names[i]!r} is {dtype} of shape {x.shape}")
        if type(args[i]) in (int, float, bool):
            continue
        if i in integers and dtype.kind in "iu":
            counts.append(dtype)
            continue
        dtype = dtype if dtype.inexact else float64
        common = dtype if common is None else promote(common, dtype)
    common = float64 if common is None else common
    for dtype in counts:  # arrays that count are not cast, but promote: beside float32, int64 makes float64
        common = promote(common, dtype)
    narrow = common if common.itemsize == 2 else None
    target = common if narrow is None else float32
    for i, x in enumerate(cells):
        dtype = to_dtype(x._value.dtype)
        if dtype is not target and not (i in integers and dtype.kind in "iu"):
            cells[i] = astype(x, target)
    return cells, narrow
