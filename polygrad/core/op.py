"""Ops: how one is declared, and how one is applied.

An op is a forward function on raw arrays, and for each of its arrays a pair of rules. All are written with
``xp.`` functions and operators only, so that they run on raw arrays, on Tensors and on traced values alike::

    @unary(derivative=lambda xp, out: out)
    def exp(xp, x, /):
        return xp.exp(x)

A forward's positional-only parameters are its arrays, the rest are static. A rule ``vjp(xp, g, ...)`` or
``jvp(xp, t, ...)`` names what else it needs, by the forward's own parameter names, by ``out``, or by
``x_shape``, ``x_dtype`` and ``x_ndim`` for an array ``x``; only what the rules of *tracked* arguments name is saved.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeAlias

from ..dtypes import promote
from ..errors import AnomalyError, DeviceError, DTypeError
from . import cell as _cell
from .cell import Cell, mark_saved, settle
from .modes import ANOMALY, GRAD, get_mode
from .tape import Leaf, Node, OutputParts, add_pin, extra_of, new_saved, next_seq

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["OPS", "Op", "Rule", "apply", "apply_many", "apply_multiple", "binary", "op", "unary"]

P = ParamSpec("P")
Rule: TypeAlias = Callable[..., Any]
Pick: TypeAlias = Callable[[tuple[Any, ...]], tuple[Any, ...]]

OPS: Final[dict[str, Op]] = {}
"""Every op by name."""

_PACKAGE: Final = str(Path(__file__).resolve().parent.parent)
_new = object.__new__
_Tensor: Any = Cell
_to_tensor: Callable[[Any], Any]


def bind(tensor_type: type, to_tensor: Callable[[Any], Any]) -> None:
    """Tell the core which class tensors are of and how to make one of anything else (``polygrad.tensor``)."""
    global _Tensor, _to_tensor
    _cell.bind(tensor_type)
    _Tensor = tensor_type
    _to_tensor = to_tensor


class Op:
    """One operation: its forward, and for each array argument a vjp and a jvp rule.

    Attributes:
        name: as in the standard.
        forward: ``forward(xp, *arrays, *params)`` on raw arrays.
        vjps: for each array, ``rule(xp, g, *args)`` giving the array's cotangent, or None.
        jvps: for each array, ``rule(xp, t, *args)`` giving the output's tangent, or None.
        picks: for each array, what of ``(out, *arrays, *params)`` its rules' ``args`` are.
        sources: for each array, where each of ``args`` comes from: -1 the output, i the array i, None static.
        broadcasts: whether cotangents are to be summed over broadcast axes (elementwise ops).
        multiple: whether the forward returns a tuple of arrays.
        partial: whether the vjp rules return :class:`~polygrad.core.tape.Parts` of a cotangent.
        conjugate: the twin with conjugated rules, applied where the output is complex.
    """

    __slots__ = (
        "broadcasts", "conjugate", "forward", "jvps", "multiple", "name", "partial", "picks", "saves", "sources", "vjps",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        vjps: Sequence[Rule | None] = (),
        jvps: Sequence[Rule | None] = (),
        *,
        broadcasts: bool = False,
        multiple: bool = False,
        conjugate: Op | None = None,
        variadic: bool = False,
        partial: bool = False,
    ) -> None:
        arrays, params = _parameters(forward)
        if variadic:
            arrays = ["x"]
        self.name = name
        self.forward = forward
        self.broadcasts = broadcasts
        self.multiple = multiple
        self.partial = partial
        self.conjugate = conjugate
        n = len(arrays)
        vjps = list(vjps) + [None] * (n - len(vjps))
        jvps = list(jvps) + [None] * (n - len(jvps))
        layout = {"out": 0, **{a: 1 + i for i, a in enumerate(arrays)}}
        layout |= {p: 1 + n + i for i, p in enumerate(params)}
        if variadic:
            layout["index"] = 1 + n + len(params)
        picks, sources, saves = [], [], []
        for i in range(n):
            names = _needs(vjps[i]) + [m for m in _needs(jvps[i]) if m not in _needs(vjps[i])]
            vjps[i], jvps[i] = _adapt(vjps[i], names), _adapt(jvps[i], names)
            spec = [_locate(name, m, layout) for m in names]
            picks.append(_picker(spec))
            source = tuple(None if attr or k > n else k - 1 for k, attr in spec)
            sources.append(source)
            saves.append(tuple(s for s in source if s is not None and s >= 0))
        self.vjps: tuple[Rule | None, ...] = tuple(vjps)
        self.jvps: tuple[Rule | None, ...] = tuple(jvps)
        self.picks: tuple[Pick, ...] = tuple(picks)
        self.sources: tuple[tuple[int | None, ...], ...] = tuple(sources)
        self.saves: tuple[tuple[int, ...], ...] = tuple(saves)

    @property
    def differentiable(self) -> bool:
        """Whether any argument has a rule."""
        return any(rule is not None for rule in self.vjps)

    def rebuild_output(self, node: Node, value: Any) -> Any:
        """The op's output as a Tensor again, from the value that the node saved."""
        if self.multiple:
            return tuple(
                new_saved(v, item_node(node, i, v), node.device) if _is_inexact(node.device, v) else
                new_saved(v, None, node.device)
                for i, v in enumerate(value)
            )  # fmt: skip
        return new_saved(value, node, node.device)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


# -- declarations ------------------------------------------------------------------------------------


def _parameters(f: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """The names of a forward's arrays (positional-only, after xp) and of its static parameters."""
    code = f.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[:count]
    return list(names[1 : code.co_posonlyargcount]), list(names[max(code.co_posonlyargcount, 1) :])


def _needs(rule: Rule | None) -> list[str]:
    """What a rule names behind ``(xp, g)``."""
    if rule is None:
        return []
    names: list[str] | None = getattr(rule, "needs", None)
    if names is None:
        code = rule.__code__
        names = list(code.co_varnames[2 : code.co_argcount])
    return names


def _adapt(rule: Rule | None, names: list[str]) -> Rule | None:
    """The rule, taking all of ``names`` where it names only some."""
    if rule is None or _needs(rule) == names:
        return rule
    if not _needs(rule):
        return lambda xp, g, *_: rule(xp, g)
    own = itemgetter(*(names.index(m) for m in _needs(rule)))
    if len(_needs(rule)) == 1:
        return lambda xp, g, *args: rule(xp, g, own(args))
    return lambda xp, g, *args: rule(xp, g, *own(args))


def _locate(op_name: str, name: str, layout: dict[str, int]) -> tuple[int, str]:
    """Where in ``(out, *arrays, *params)`` a rule's parameter is found: an index, and an attribute or ''."""
    if name in layout:
        return layout[name], ""
    for attr in ("shape", "dtype", "ndim"):
        base = name.removesuffix("_" + attr)
        if base != name and base in layout:
            return layout[base], attr
    raise TypeError(
        f"a rule of op {op_name!r} names {name!r}, which is none of {', '.join(layout)}, nor one of them "
        "followed by _shape, _dtype or _ndim"
    )


def _picker(spec: list[tuple[int, str]]) -> Pick:
    indices = [k for k, _ in spec]
    if not spec:
        return lambda record: ()
    if any(attr for _, attr in spec):
        return lambda record: tuple([getattr(record[k], attr) if attr else record[k] for k, attr in spec])
    if len(spec) == 1:
        return itemgetter(slice(indices[0], indices[0] + 1))
    return itemgetter(*indices)


def _from_partial(partial: Rule) -> tuple[Rule, Rule, Rule]:
    """The vjp, its conjugated twin and the jvp of an elementwise argument with this partial derivative."""

    def vjp(xp: Any, g: Any, *args: Any) -> Any:
        return g * partial(xp, *args)

    def conjugated(xp: Any, g: Any, *args: Any) -> Any:
        slope: Any = partial(xp, *args)
        return g * (slope.conjugate() if isinstance(slope, (int, float, complex)) else xp.conj(slope))

    code = partial.__code__
    names = list(code.co_varnames[1 : code.co_argcount])
    for rule in (vjp, conjugated):
        rule.needs = names  # type: ignore[attr-defined]
        rule.__name__ = f"{partial.__name__}_vjp"
    return vjp, conjugated, vjp


def _signature(f: Callable[..., Any]) -> inspect.Signature:
    """The forward's signature without ``xp``."""
    signature = inspect.Signature.from_callable(f)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


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
) -> Unary:
    """Declare an elementwise function of one array.

    Args:
        derivative: ``derivative(xp, ...)`` gives f'(x) from whichever of ``x`` and ``out`` it names. One
            derivative serves reverse and forward mode, real and complex (where f must be holomorphic).
        vjp, jvp: rules ``(xp, g, ...)`` and ``(xp, t, ...)`` that go before the derivative, where a
            function is not holomorphic or a shorter way exists.
        real_vjp: a shorter vjp for real output only.

    With none of them the function is declared non-differentiable.
    """

    def declare(f: Callable[[Any, Any], Any]) -> Callable[[Any], Tensor]:
        v, c, j = (None, None, None) if derivative is None else _from_partial(derivative)
        twin = None if c is None or vjp is not None else Op(f.__name__, f, [c], [j], broadcasts=True)
        declared = Op(f.__name__, f, [real_vjp or vjp or v], [jvp or j], broadcasts=True, conjugate=twin)
        caller: Callable[[Any], Tensor] = _public(_unary_caller(declared), f, declared)
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
    broadcasts: bool = True,
) -> Binary:
    """Declare an elementwise function of two arrays.

    Args:
        partials: for each argument its partial derivative, as ``derivative`` of :func:`unary`.
        vjps, jvps: rules that go before the partials.
        real_vjps: shorter rules for real output only.
        scalars: whether the forward takes Python scalars as they are (the operators do).
        direct: the forward as a function of the two arrays alone, where it is an operator.
        square: the derivative by both arguments at once, for ``f(x, x)``: one rule instead of two and a sum.
        broadcasts: False for functions of two arrays that are not elementwise (matmul).
    """

    def declare(f: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any], Tensor]:
        made = [(None, None, None) if p is None else _from_partial(p) for p in partials]
        real = [r or s or m[0] for r, s, m in zip(real_vjps, vjps, made)]
        other = [s or m[1] or r for r, s, m in zip(real_vjps, vjps, made)]
        forward = [s or m[2] for s, m in zip(jvps, made)]
        twin = None
        if any(o is not r for o, r in zip(other, real)):
            twin = Op(f.__name__, f, other, forward, broadcasts=broadcasts)
        declared = Op(f.__name__, f, real, forward, broadcasts=broadcasts, conjugate=twin)
        if twin is not None and twin.sources != declared.sources:
            raise TypeError(f"op {f.__name__!r}: its real_vjps must name the same arguments as the other rules")
        twice = None if square is None else _square(f, square)
        callers = [_binary_caller(declared, scalars, direct, operator, twice) for operator in (False, True)]
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


# -- application -------------------------------------------------------------------------------------


def _unary_caller(declared: Op) -> Callable[[Any], Any]:
    forward = declared.forward
    pick = declared.picks[0]
    saves = bool(declared.saves[0])
    conjugate = declared.conjugate
    differentiable = declared.differentiable

    def call(x: Any, /) -> Any:
        if not isinstance(x, _Tensor):
            x = _to_tensor(x)
        extra = x._extra
        if extra is not None and extra.base is not None:
            settle(x)
        device = x._device
        raw = x._value
        out = forward(device.raw, raw)
        if out.__class__ is not device.array_type:
            out = device.backend.as_raw(out, device)
        result = _new(_Tensor)
        result._value = out
        result._device = device
        result._saved = False
        result._extra = None
        mode = get_mode()
        parent = x._node
        if parent is not None and differentiable and mode & GRAD:
            result._node = node = _new(Node)
            dtype = node.dtype = out.dtype
            node.op = conjugate if conjugate is not None and dtype in device.complex_dtypes else declared
            node.parents = (parent,)
            node.saved = (pick((out, raw)),)
            node.shape = out.shape
            node.device = device
            node.seq = next_seq()
            node.extra = node.pins = None
            if saves:
                if extra is None:
                    x._saved = True
                else:
                    _pin(node, x)
        else:
            result._node = None
        if mode & ANOMALY:
            _note_anomaly(declared, result)
        return result

    return call


def _square(f: Callable[..., Any], derivative: Rule) -> Op:
    """The op of f(x, x)."""
    vjp, conjugated, jvp = _from_partial(derivative)

    def forward(xp: Any, x: Any, /) -> Any:
        return f(xp, x, x)

    twin = Op(f.__name__, forward, [conjugated], [jvp], broadcasts=True)
    return Op(f.__name__, forward, [vjp], [jvp], broadcasts=True, conjugate=twin)


def _binary_caller(
    declared: Op, scalars: bool, direct: Callable[[Any, Any], Any] | None, operator: bool, square: Op | None
) -> Any:
    """The function that applies a binary op; with ``operator`` it answers NotImplemented to what is not an
    array, as the methods of Python's operators do."""
    forward = declared.forward
    pick1, pick2 = (pick if names else None for pick, names in zip(declared.picks, declared.sources, strict=True))
    saves1, saves2 = declared.saves
    saves_own, saves_other = (0 in saves1, 1 in saves1), (0 in saves2, 1 in saves2)
    (first1, second1), (first2, second2) = saves_own, saves_other
    conjugate = declared.conjugate
    differentiable = declared.differentiable
    beside = _operands(declared.name, scalars, operator)

    def call(x1: Any, x2: Any, /) -> Any:
        if not (
            isinstance(x1, _Tensor) and isinstance(x2, _Tensor) and x1._device is x2._device and x1._device.promotes
        ):
            operands = beside(x1, x2)
            if operands is None:
                return NotImplemented
            x1, x2 = operands
        extra = x1._extra
        if extra is not None and extra.base is not None:
            settle(x1)
        extra = x2._extra
        if extra is not None and extra.base is not None:
            settle(x2)
        device = x1._device
        a = x1._value
        b = x2._value
        out = forward(device.raw, a, b) if direct is None else direct(a, b)
        if out.__class__ is not device.array_type:
            out = device.backend.as_raw(out, device)
        result = _new(_Tensor)
        result._value = out
        result._device = device
        result._saved = False
        result._extra = None
        mode = get_mode()
        parent1 = x1._node
        parent2 = x2._node
        if (parent1 is not None or parent2 is not None) and differentiable and mode & GRAD:
            result._node = node = _new(Node)
            dtype = node.dtype = out.dtype
            if x1 is x2 and square is not None:
                node.op = (square.conjugate or square) if dtype in device.complex_dtypes else square
                node.parents = (parent1,)
                node.saved = ((a,),)
            else:
                node.op = conjugate if conjugate is not None and dtype in device.complex_dtypes else declared
                node.parents = (parent1, parent2)
                record = (out, a, b)
                node.saved = (
                    None if parent1 is None else pick1(record) if pick1 is not None else (),
                    None if parent2 is None else pick2(record) if pick2 is not None else (),
                )
            node.shape = out.shape
            node.device = device
            node.seq = next_seq()
            node.extra = node.pins = None
            if (first1 and parent1 is not None) or (first2 and parent2 is not None):
                if x1._extra is None:
                    x1._saved = True
                else:
                    _pin(node, x1)
            if (second1 and parent1 is not None) or (second2 and parent2 is not None):
                if x2._extra is None:
                    x2._saved = True
                else:
                    _pin(node, x2)
        else:
            result._node = None
        if mode & ANOMALY:
            _note_anomaly(declared, result)
        return result

    return call


class _Number:
    """A Python number as an argument: where an op takes numbers as they are, they stand for a tensor."""

    __slots__ = ("_device", "_extra", "_node", "_saved", "_value")

    def __init__(self, value: Any, device: Any) -> None:
        self._value = value
        self._device = device
        self._node = self._extra = None


def _operands(name: str, scalars: bool, operator: bool) -> Callable[[Any, Any], Any]:
    """What makes two arguments Tensors of one device (or a Tensor and a number)."""

    def beside(x1: Any, x2: Any) -> Any:
        if isinstance(x1, _Tensor):
            if x2.__class__ in _SCALARS:
                if scalars and x1._device.promotes:
                    return x1, _Number(x2, x1._device)
                return _alike(x1, _number(x2, x1, scalars))
            if isinstance(x2, _Tensor):
                if x2._device is x1._device:
                    return _alike(x1, x2)
                raise mixed_devices(name, x1, x2)
            if operator and not _is_operand(x2):
                return None
            return _alike(x1, _second(name, x2, x1))
        if isinstance(x2, _Tensor):
            if x1.__class__ in _SCALARS:
                # the forward runs where x1 says; a number has no place of its own
                if scalars and x2._device.promotes:
                    return _Number(x1, x2._device), x2
                return _alike(_number(x1, x2, scalars), x2)
            if operator and not _is_operand(x1):
                return None
            return _alike(_second(name, x1, x2), x2)
        return _alike(*_both(name, x1, x2))

    return beside


def _number(value: Any, like: Any, scalars: bool) -> Any:
    """A Python number beside a Tensor: as it is where the op and the library take it so."""
    device = like._device
    if scalars and device.backend.to_dtype(like._value.dtype).kind in _OF_KIND[value.__class__]:
        return _Number(value, device)
    return scalar_tensor(value, like)


def _alike(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two arguments in one dtype, where the library would not promote them as NumPy does."""
    device = x1._device
    if device.promotes or x1.__class__ is _Number or x2.__class__ is _Number:
        return x1, x2
    dtype1, dtype2 = x1._value.dtype, x2._value.dtype
    if dtype1 == dtype2:
        return x1, x2
    common = promote(device.backend.to_dtype(dtype1), device.backend.to_dtype(dtype2))
    return x1.astype(common, copy=False), x2.astype(common, copy=False)


# The kinds of dtypes that take a Python number without changing.
_OF_KIND: Final = {bool: "b", int: "iufc", float: "fc", complex: "c"}


def _is_operand(value: Any) -> bool:
    """Whether an operator takes this beside a Tensor (else Python asks the other side)."""
    return isinstance(value, (int, float, complex)) or (
        hasattr(value, "dtype") and hasattr(value, "shape") and not hasattr(value, "dims")
    )


def reflected(call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The method of a reflected operator."""

    def reflected_call(self: Any, other: Any, /) -> Any:
        return call(other, self)

    return reflected_call


_SCALARS: Final = frozenset({float, int, complex, bool})


def apply(declared: Op, arrays: Sequence[Any], params: tuple[Any, ...] = ()) -> Tensor:
    """Apply an op to arrays (Tensors, or what :func:`polygrad.asarray` takes) and static parameters."""
    if len(arrays) == 1 and isinstance(arrays[0], _Tensor) and not declared.multiple:
        return _apply_one(declared, arrays[0], params)
    cells = together(declared.name, arrays)
    device = cells[0]._device
    for x in cells:
        if x._extra is not None:
            settle(x)
    values = [x._value for x in cells]
    out = declared.forward(device.raw, *values, *params)
    if out.__class__ is not device.array_type and not declared.multiple:
        out = device.backend.as_raw(out, device)
    mode = get_mode()
    node = None
    if mode & GRAD and declared.differentiable and any(x._node is not None for x in cells):
        node = _new(Node)
        node.op = declared
        node.parents = tuple([x._node for x in cells])
        record = (out, *values, *params)
        picks = declared.picks
        node.saved = tuple([None if x._node is None else picks[i](record) for i, x in enumerate(cells)])
        _describe(node, out, device, declared.multiple)
        for i, x in enumerate(cells):
            if x._node is not None:
                for s in declared.saves[i]:
                    _pin(node, cells[s])
    if declared.multiple:
        return _outputs(declared, node, out, device, mode)  # type: ignore[return-value]
    result = _cell.new_tensor(out, node, device)
    if mode & ANOMALY:
        _note_anomaly(declared, result)
    return result


def _apply_one(declared: Op, x: Any, params: tuple[Any, ...]) -> Tensor:
    """``apply`` for one Tensor, the most common case: the same without the loops."""
    extra = x._extra
    if extra is not None and extra.base is not None:
        settle(x)
    device = x._device
    raw = x._value
    out = declared.forward(device.raw, raw, *params)
    if out.__class__ is not device.array_type:
        out = device.backend.as_raw(out, device)
    parent = x._node
    mode = get_mode()
    node = None
    if parent is not None and mode & GRAD and declared.vjps[0] is not None:
        node = _new(Node)
        node.op = declared
        node.parents = (parent,)
        node.saved = (declared.picks[0]((out, raw, *params)),)
        node.shape = out.shape
        node.dtype = out.dtype
        node.device = device
        node.seq = next_seq()
        node.extra = node.pins = None
        if declared.saves[0]:
            if extra is None:
                x._saved = True
            else:
                _pin(node, x)
    result = _new(_Tensor)
    result._value = out
    result._device = device
    result._saved = False
    result._extra = None
    result._node = node
    if mode & ANOMALY:
        _note_anomaly(declared, result)
    return result  # type: ignore[no-any-return]


def apply_many(declared: Op, arrays: Sequence[Any], params: tuple[Any, ...] = ()) -> Tensor:
    """Apply a variadic op (``concat``): its forward takes a list of arrays, its one pair of rules may name
    ``x``, ``out``, the static parameters and the argument's ``index``."""
    cells = together(declared.name, arrays)
    device = cells[0]._device
    for x in cells:
        if x._extra is not None:
            settle(x)
    values = [x._value for x in cells]
    out = declared.forward(device.raw, values, *params)
    if type(out) is not device.array_type:
        out = device.backend.as_raw(out, device)
    mode = get_mode()
    node = None
    if mode & GRAD and any(x._node is not None for x in cells):
        many = _many(declared, len(cells))
        node = _new(Node)
        node.op = many
        node.parents = tuple(x._node for x in cells)
        pick = declared.picks[0]
        node.saved = tuple(
            [
                None if x._node is None else pick((out, v, *params, i))
                for i, (x, v) in enumerate(zip(cells, values, strict=True))
            ]
        )
        _describe(node, out, device, False)
        if declared.saves[0]:
            for x in cells:
                if x._node is not None:
                    _pin(node, x)
    result = _cell.new_tensor(out, node, device)
    if mode & ANOMALY:
        _note_anomaly(declared, result)
    return result


def apply_multiple(declared: Op, arrays: Sequence[Any], params: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Apply an op with several outputs."""
    results: Any = apply(declared, arrays, params)
    return results  # type: ignore[no-any-return]


_many_ops: dict[tuple[str, int], Op] = {}


def _many(declared: Op, n: int) -> Op:
    """A variadic op's twin for n arrays."""
    found = _many_ops.get((declared.name, n))
    if found is None:
        found = Op.__new__(Op)
        for slot in ("name", "forward", "broadcasts", "multiple", "partial", "conjugate"):
            setattr(found, slot, getattr(declared, slot))
        for slot in ("vjps", "jvps", "picks"):
            setattr(found, slot, getattr(declared, slot) * n)
        found.sources = tuple(tuple(None if s is None or s < 0 else i for s in declared.sources[0]) for i in range(n))
        found.saves = tuple((i,) if declared.saves[0] else () for i in range(n))
        _many_ops[declared.name, n] = found
    return found


def _describe(node: Node, out: Any, device: Any, multiple: bool) -> None:
    if multiple:
        node.shape = tuple(o.shape for o in out)
        node.dtype = tuple(o.dtype for o in out)
    else:
        node.shape = out.shape
        node.dtype = out.dtype
    node.device = device
    node.seq = next_seq()
    node.extra = node.pins = None


def _item_vjp(xp: Any, g: Any, index: int) -> OutputParts:
    return OutputParts([(index, g)])


def _item_jvp(xp: Any, t: Any, index: int) -> Any:
    return t[index]


ITEM: Final = Op("item", lambda xp, x, /, index: x[index], [_item_vjp], [_item_jvp], partial=True)


def item_node(parent: Node, index: int, value: Any) -> Node:
    """The node of one of an op's several outputs."""
    node: Node = _new(Node)
    node.op = ITEM
    node.parents = (parent,)
    node.saved = ((index,),)
    _describe(node, value, parent.device, False)
    return node


def _outputs(declared: Op, node: Node | None, out: Any, device: Any, mode: int) -> tuple[Any, ...]:
    results = []
    for i, value in enumerate(out):
        if type(value) is not device.array_type:
            value = device.backend.as_raw(value, device)
        own = item_node(node, i, value) if node is not None and _is_inexact(device, value) else None
        result = _cell.new_tensor(value, own, device)
        if mode & ANOMALY:
            _note_anomaly(declared, result)
        results.append(result)
    return tuple(results)


def _pin(node: Node, x: Any) -> None:
    """The node saved the memory of this cell."""
    pin = mark_saved(x)
    if pin is not None:
        add_pin(node, pin)


def _is_inexact(device: Any, value: Any) -> bool:
    return value.dtype in device.inexact_dtypes


# -- arguments that are not Tensors of one device ----------------------------------------------------


def mixed_devices(name: str, *cells: Any) -> DeviceError:
    """The error for tensors that live in different places."""
    places = " and ".join(f"{x._device.name} (shape {tuple(x._value.shape)})" for x in cells)
    first = cells[0]._device.name
    return DeviceError(
        f"{name}: the arrays live on different devices: {places}. Move one: x.to_device({first!r}) keeps the graph"
    )


def _second(name: str, value: Any, tensor: Any) -> Any:
    """An argument beside a Tensor, as a Tensor."""
    if type(value) in _SCALARS:
        return scalar_tensor(value, tensor)
    backend = tensor._device.backend
    if hasattr(value, "dtype") and getattr(value, "shape", None) == () and not backend.owns(value):
        if type(value).__module__ == "numpy":  # a NumPy scalar is a number, at home on every device
            host = tensor._device
            return _cell.new_tensor(backend.from_numpy(value, host.native), None, host)
    made = _to_tensor(value)
    if made._device is not tensor._device:
        if made._node is None and not hasattr(value, "dtype"):  # a list of numbers, at home on every device
            return _to_tensor(value).to_device(tensor._device)
        raise mixed_devices(name, tensor, made)
    return made


def _both(name: str, x1: Any, x2: Any) -> tuple[Any, Any]:
    if type(x1) in _SCALARS and type(x2) not in _SCALARS:
        x2 = _to_tensor(x2)
        return scalar_tensor(x1, x2), x2
    x1 = _to_tensor(x1)
    return x1, _second(name, x2, x1)


def scalar_tensor(value: Any, like: Any) -> Any:
    """A Python scalar as a 0-d Tensor beside another, with the standard's weak promotion."""
    device = like._device
    backend = device.backend
    kind = backend.to_dtype(like._value.dtype).kind
    dtype = like._value.dtype
    if type(value) is bool:
        dtype = backend.native_dtypes["bool"] if kind == "b" else dtype
    elif type(value) is int:
        dtype = backend.native_dtypes["int64"] if kind == "b" else dtype
    elif type(value) is float:
        dtype = backend.native_dtypes["float64"] if kind in "biu" else dtype
    elif kind != "c":
        wide = kind in "biu" or backend.to_dtype(dtype).itemsize > 4
        dtype = backend.native_dtypes["complex128" if wide else "complex64"]
    return _cell.new_tensor(device.raw.asarray(value, dtype=dtype), None, device)


def together(name: str, arrays: Sequence[Any]) -> list[Any]:
    """The arguments as Tensors of one device."""
    anchor = next((x for x in arrays if isinstance(x, _Tensor)), None)
    if anchor is None:
        anchor = next((x for x in arrays if type(x) not in _SCALARS), None)
        if anchor is None:
            if not arrays:
                raise DTypeError(f"{name}: needs at least one array")
            anchor = arrays[0]
        anchor_value, anchor = anchor, _to_tensor(anchor)
        arrays = [anchor if x is anchor_value else x for x in arrays]
    device = anchor._device
    cells = []
    for x in arrays:
        if not isinstance(x, _Tensor):
            x = _second(name, x, anchor)
        elif x._device is not device:
            raise mixed_devices(name, anchor, x)
        cells.append(x)
    return cells


# -- anomalies ---------------------------------------------------------------------------------------


def user_line() -> str:
    """The innermost line of the calling program that is not polygrad's."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "an unknown line" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _note_anomaly(declared: Op, result: Any) -> None:
    """Under ``detect_anomaly``: check an op's result, and note the user's line and the saved arrays' sums."""
    where = user_line()
    backend = result._device.backend
    bad = backend.not_finite(result._value)
    if bad is not None:
        raise AnomalyError(f"forward of {declared.name!r} made {bad}, called at {where}")
    node = result._node
    if node is None or isinstance(node, Leaf):
        return
    extra = extra_of(node)
    extra.where = where
    arrays = [v for args in node.saved or () if args for v in args if isinstance(v, backend.array_types)]
    extra.checksums = [(v, backend.checksum(v)) for v in arrays]
