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

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

from .cotangents import OutputParts
from .node import Node, next_seq
from .tape import new_saved

__all__ = ["ITEM", "OPS", "Op", "Rule", "describe", "is_inexact", "item_node"]

Rule: TypeAlias = Callable[..., Any]
Pick: TypeAlias = Callable[[tuple[Any, ...]], tuple[Any, ...]]

OPS: Final[dict[str, Op]] = {}
"""Every op by name."""


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
        partial: whether the vjp rules return :class:`~polygrad.core.cotangents.Parts` of a cotangent.
        same_shape: whether the vjp rules always give the argument's shape, so that nobody needs to look.
        conjugate: the twin with conjugated rules, applied where the output is complex.
    """

    __slots__ = (
        "broadcasts", "conjugate", "forward", "jvps", "multiple", "name", "partial", "picks", "same_shape", "saves",
        "sources", "vjps",
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
        same_shape: bool = False,
    ) -> None:
        arrays, params = _parameters(forward)
        if variadic:
            arrays = ["x"]
        self.name = name
        self.forward = forward
        self.broadcasts = broadcasts
        self.multiple = multiple
        self.partial = partial
        self.same_shape = same_shape
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
                new_saved(v, item_node(node, i, v), node.device) if is_inexact(node.device, v) else
                new_saved(v, None, node.device)
                for i, v in enumerate(value)
            )  # fmt: skip
        return new_saved(value, node, node.device)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


# -- what rules name -----------------------------------------------------------------------------------


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


# -- several outputs -----------------------------------------------------------------------------------


def describe(node: Node, out: Any, device: Any, multiple: bool) -> None:
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
    node = Node()
    node.op = ITEM
    node.parents = (parent,)
    node.saved = ((index,),)
    describe(node, value, parent.device, False)
    return node


def is_inexact(device: Any, value: Any) -> bool:
    return value.dtype in device.inexact_dtypes
