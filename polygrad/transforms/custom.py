"""Functions with derivatives of their own, JAX's habit: ``custom_vjp`` and ``custom_jvp``."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar

import optree

from ..core.cell import Cell, new_tensor, settle
from ..core.modes import GRAD, enable_grad, get_mode
from ..core.node import leaf, next_seq, reaches
from ..core.tape import new_saved, pull
from ..errors import GradientError
from ..ops.creation import asarray
from .batching import is_level
from .inputs import flatten
from .joint import joint_outputs
from .lowering import Lowering, from_outside, on_one_level, recording
from .rules import (
    closed_over,
    cotangent_leaves,
    cotangent_like,
    name_of,
    note_closures,
    pair_of,
    positional,
    refuse_closed,
    signature_of,
    spec_of,
    tangent_leaves,
    zeros_of,
)

__all__ = ["custom_jvp", "custom_vjp", "stop_gradient"]

P = ParamSpec("P")
R = TypeVar("R")


class _Custom(Generic[P, R]):
    """A function whose derivative is given; calling it without a graph just runs it."""

    def __init__(self, f: Callable[P, R], nondiff_argnums: int | Sequence[int] = ()) -> None:
        functools.update_wrapper(self, f)  # type: ignore[arg-type]
        self._f: Callable[..., Any] = f
        self._signature = signature_of(f)
        self._nondiff = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        self._name = name_of(f)

    def _differentiable(self, args: Sequence[Any]) -> tuple[list[int], list[Any], Any]:
        static = self._static(args)
        chosen = [i for i in range(len(args)) if i not in static]
        leaves, structure = flatten([args[i] for i in chosen])
        return chosen, leaves, structure

    def _static(self, args: Sequence[Any]) -> list[int]:
        """The positions of the arguments that have no derivative."""
        wrong = [i for i in self._nondiff if not -len(args) <= i < len(args)]
        if wrong:
            raise TypeError(
                f"{self._name}: nondiff_argnums={self._nondiff}, but the function was called with {len(args)} arguments"
            )
        return [i % len(args) for i in self._nondiff]

    def _static_values(self, args: Sequence[Any]) -> list[Any]:
        return [args[i] for i in self._static(args)]

    def _with(self, args: Sequence[Any], chosen: list[int], structure: Any, leaves: Sequence[Any]) -> list[Any]:
        called = list(args)
        for i, tree in zip(chosen, optree.tree_unflatten(structure, leaves), strict=True):
            called[i] = tree
        return called


def _plain(x: Any) -> Any:
    if isinstance(x, Cell):
        settle(x)
        return new_saved(x._value, None, x._device)
    return x


def _detached(x: Any) -> Any:
    """A plain Tensor to which no graph outside of vmap leads either."""
    plain = _plain(x)
    if isinstance(x, Cell) and is_level(x._device):
        return new_saved(x._device.backend.detached(x._value), None, x._device)
    return plain


def _tracked(leaves: Sequence[Any]) -> list[int]:
    return [i for i, x in enumerate(leaves) if isinstance(x, Cell) and x._node is not None]


class custom_vjp(_Custom[P, R]):
    """Give a function its own reverse-mode derivative.

    ``f.defvjp(fwd, bwd)``: ``fwd(*args)`` returns ``(out, residuals)``; ``bwd(residuals, g)`` returns a tuple
    of cotangents, one for each differentiable argument (``nondiff_argnums`` come first, as in JAX).

    >>> import polygrad as pg
    >>> @pg.custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, g: (pg.clip(g, -1.0, 1.0),))
    >>> pg.grad(lambda x: clipped(x) * 10.0)(3.0)
    1.0
    """

    def __init__(self, f: Callable[P, R], nondiff_argnums: int | Sequence[int] = ()) -> None:
        super().__init__(f, nondiff_argnums)
        self._rules: tuple[Callable[..., Any], Callable[..., Any]] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the forward and backward functions."""
        self._rules = (fwd, bwd)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        called: Sequence[Any] = positional(self._name, self._signature, args, kwargs)
        chosen, leaves, structure = self._differentiable(called)
        leaves = on_one_level(self._name, leaves)
        tracked = _tracked(leaves)
        outside = from_outside(leaves)
        if (not tracked and not outside) or not get_mode() & GRAD:
            return self._f(*called)  # type: ignore[no-any-return]
        if self._rules is None:
            raise GradientError(f"custom_vjp: {self._name!r} has no derivative yet; call its defvjp(fwd, bwd)")
        fwd, bwd = self._rules
        start = next_seq()
        # Recorded for the sake of what fwd closes over: its arguments have no graph.
        values = [_plain(x) if tracked else _detached(x) for x in leaves]
        with recording(True, leaves):
            out, residuals = self._pair(fwd(*self._with(called, chosen, structure, values)))
        outputs, out_structure = flatten(out)
        outputs = [x if isinstance(x, Cell) else asarray(x) for x in outputs]
        closed = closed_over(outputs, start)
        if outside:
            outputs = self._lowered(called, chosen, leaves, structure)
            if not tracked:
                return optree.tree_unflatten(out_structure, outputs)  # type: ignore[return-value]
        specs = [spec_of(x) for x in outputs]

        def pulled(g: list[Any], create_graph: bool) -> list[Any]:
            saved = residuals
            if create_graph:  # the residuals must carry the inputs' graph
                with enable_grad():
                    saved = self._pair(fwd(*self._with(called, chosen, structure, leaves)))[1]
            grads = [zeros_of(x) if v is None else v for v, x in zip(g, specs, strict=True)]
            with recording(True, leaves):
                result = bwd(*self._static_values(called), saved, optree.tree_unflatten(out_structure, grads))
            cotangents = cotangent_leaves(self._name, bwd, result, structure)
            note_closures(cotangents, start)
            what = f"{self._name}: the backward function {name_of(bwd)}"
            return [cotangent_like(what, cotangents[i], spec_of(leaves[i]), i) for i in tracked]

        nodes = [leaves[i]._node for i in tracked]
        joined, _ = joint_outputs(self._name, nodes, outputs, pulled, None, closed, refuse_closed(self._name))
        return optree.tree_unflatten(out_structure, joined)  # type: ignore[return-value]

    def _pair(self, result: Any) -> tuple[Any, Any]:
        assert self._rules is not None
        return pair_of(self._name, self._rules[0], result, "output, residuals")

    def _lowered(self, args: Any, chosen: list[int], leaves: list[Any], structure: Any) -> list[Any]:
        """The outputs for arguments inside vmap that a graph from outside leads to."""
        assert self._rules is not None
        user_fwd, user_bwd = self._rules
        low = Lowering(leaves)
        static = self._static_values(args)

        def fwd(*inside: Any) -> Any:
            with low.scope():
                out, residuals = self._pair(user_fwd(*self._with(args, chosen, structure, low.level_inputs(inside))))
                outputs, out_structure = flatten(out)
                return low.inside_outputs(outputs), (residuals, out_structure)

        def bwd(saved: Any, g: list[Any]) -> Any:
            residuals, out_structure = saved
            with low.scope():
                result = user_bwd(*static, residuals, optree.tree_unflatten(out_structure, low.level_outputs(g)))
                return low.inside_cotangents(cotangent_leaves(self._name, user_bwd, result, structure))

        inner: Any = custom_vjp(lambda *inside: fwd(*inside)[0])
        inner._name = self._name
        inner.defvjp(fwd, bwd)
        return low.level_outputs(inner(*low.inside))


_transposing: ContextVar[frozenset[Any]] = ContextVar("polygrad_transposing", default=frozenset())
"""The nodes of the tangents that rules run on to be transposed."""


def _on_tangents(leaves: Sequence[Any]) -> bool:
    """Whether a rule that is transposed calls a function on its tangents: what is linear is transposed op by op."""
    targets = _transposing.get()
    if not targets:
        return False
    nodes: list[Any] = []
    for x in leaves:
        while isinstance(x, Cell):
            if x._node is not None:
                nodes.append(x._node)
            x = getattr(x._value, "value", None) if is_level(x._device) else None
    return reaches(nodes, targets)


def _transposed(along: Any, inputs: list[Any], g: list[Any], create_graph: bool) -> list[Any]:
    """Cotangents through a rule that is linear in its tangents: its vjp at any of them, here 0."""
    with enable_grad():
        starts = [zeros_of(spec_of(x)) for x in inputs]
        for x in starts:
            x._node = leaf(x._value, x._device)
        targets = [x._node for x in starts]
        token = _transposing.set(_transposing.get() | frozenset(targets))
        try:
            moved = along(starts, create_graph)
        finally:
            _transposing.reset(token)
    pairs = [(m._node, v) for m, v in zip(moved, g, strict=True) if m._node is not None and v is not None]
    grads: dict[Any, Any] = {}
    if pairs:
        seeds = [v if create_graph else v._value for _, v in pairs]
        grads, _ = pull([n for n, _ in pairs], seeds, targets, create_graph)
    cotangents = [grads.get(n) for n in targets]
    return [
        v if v is None or isinstance(v, Cell) else new_saved(v, None, x._device)
        for v, x in zip(cotangents, starts, strict=True)
    ]


class custom_jvp(_Custom[P, R]):
    """Give a function its own forward-mode derivative; reverse mode follows by transposing it.

    ``f.defjvp(rule)``: ``rule(primals, tangents)`` returns ``(out, tangent_out)``, linear in the tangents
    (``nondiff_argnums`` come first, as in JAX).

    >>> import polygrad as pg
    >>> @pg.custom_jvp
    ... def log1pexp(x):
    ...     return pg.log(1 + pg.exp(x))
    >>> @log1pexp.defjvp
    ... def log1pexp_jvp(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), (1 - 1 / (1 + pg.exp(x))) * t
    >>> pg.grad(log1pexp)(0.0)
    0.5
    """

    def __init__(self, f: Callable[P, R], nondiff_argnums: int | Sequence[int] = ()) -> None:
        super().__init__(f, nondiff_argnums)
        self._rule: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule; usable as a decorator."""
        self._rule = rule
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Set a rule for each argument: ``rule(tangent, output, *primals)`` returns the output's tangent; None for an
        argument that the output does not depend on.

        >>> import polygrad as pg
        >>> product = pg.custom_jvp(lambda x, y: x * y)
        >>> product.defjvps(lambda t, out, x, y: t * y, lambda t, out, x, y: x * t)
        >>> pg.grad(product, argnums=(0, 1))(2.0, 3.0)
        (3.0, 2.0)
        """
        if self._nondiff:
            raise TypeError(f"{self._name}: defjvps cannot be used with nondiff_argnums; use defjvp")

        def rule(primals: Any, tangents: Any) -> Any:
            if len(primals) != len(rules):
                raise GradientError(
                    f"{self._name}: defjvps got {len(rules)} rules for {len(primals)} arguments; give one for each, or None"
                )
            call: Callable[..., Any] = self
            out = call(*primals)
            moved: Any = None
            for t, partial in zip(tangents, rules, strict=True):
                part = None if partial is None else partial(t, out, *primals)
                if part is not None:
                    moved = part if moved is None else optree.tree_map(operator.add, moved, part)
            return out, optree.tree_map(lambda x: x * 0, out) if moved is None else moved

        self.defjvp(rule)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        called: Sequence[Any] = positional(self._name, self._signature, args, kwargs)
        chosen, leaves, structure = self._differentiable(called)
        leaves = on_one_level(self._name, leaves)
        tracked = _tracked(leaves)
        outside = from_outside(leaves)
        if (not tracked and not outside) or not get_mode() & GRAD or _on_tangents(leaves):
            return self._f(*called)  # type: ignore[no-any-return]
        if self._rule is None:
            raise GradientError(f"custom_jvp: {self._name!r} has no derivative yet; call its defjvp(rule)")
        start = next_seq()
        # Recorded for the sake of what the function closes over: its arguments have no graph.
        with recording(True, leaves):
            out = self._f(*self._with(called, chosen, structure, [_plain(x) for x in leaves]))
        outputs, out_structure = flatten(out)
        outputs = [x if isinstance(x, Cell) else asarray(x) for x in outputs]
        closed = closed_over(outputs, start)
        if outside:
            outputs = self._lowered(called, chosen, leaves, structure)
            if not tracked:
                return optree.tree_unflatten(out_structure, outputs)  # type: ignore[return-value]
        shown = [new_tensor(x._value, None, x._device) for x in outputs]
        along = self._along(called, leaves, structure, tracked, (shown, out_structure, start))

        def pulled(g: list[Any], create_graph: bool) -> list[Any]:
            return _transposed(along, [leaves[i] for i in tracked], g, create_graph)

        nodes = [leaves[i]._node for i in tracked]
        joined, _ = joint_outputs(self._name, nodes, outputs, pulled, along, closed, refuse_closed(self._name))
        return optree.tree_unflatten(out_structure, joined)  # type: ignore[return-value]

    def _along(self, args: Any, leaves: list[Any], structure: Any, tracked: list[int], outputs: Any) -> Any:
        """The rule as a function of the tangents of the tracked arguments."""
        rule = self._rule
        assert rule is not None
        shown, out_structure, start = outputs

        def along(t: list[Any], create_graph: bool) -> list[Any]:
            primals = leaves if create_graph else [_plain(x) for x in leaves]
            moved = [zeros_of(spec_of(x)) if isinstance(x, Cell) else 0.0 for x in leaves]
            for i, tangent in zip(tracked, t, strict=True):
                if tangent is not None:
                    moved[i] = tangent
            trees = [tuple(optree.tree_unflatten(structure, x)) for x in (primals, moved)]
            with recording(True, leaves):
                result = rule(*self._static_values(args), *trees)
            tangents = tangent_leaves(self._name, rule, result, out_structure, shown)
            note_closures(tangents, start)
            return tangents

        return along

    def _lowered(self, args: Any, chosen: list[int], leaves: list[Any], structure: Any) -> list[Any]:
        """The outputs for arguments inside vmap that a graph from outside leads to."""
        assert self._rule is not None
        user_rule = self._rule
        low = Lowering(leaves)
        static = self._static_values(args)

        def f(*inside: Any) -> Any:
            with low.scope():
                out = self._f(*self._with(args, chosen, structure, low.level_inputs(inside)))
                return low.inside_outputs(flatten(out)[0])

        def rule(primals: Any, tangents: Any) -> Any:
            with low.scope():
                trees = [
                    tuple(optree.tree_unflatten(structure, low.level_inputs(v, otherwise)))
                    for v, otherwise in ((primals, lambda x: x), (tangents, lambda x: 0.0))
                ]
                pair = pair_of(self._name, user_rule, user_rule(*static, *trees), "output, tangent of the output")
                return tuple(low.inside_outputs(flatten(v)[0]) for v in pair)

        inner: Any = custom_jvp(f)
        inner._name = self._name
        inner.defjvp(rule)
        return low.level_outputs(inner(*low.inside))


def stop_gradient(x: Any) -> Any:
    """The same values without their graph, for every array of a pytree.

    >>> import polygrad as pg
    >>> pg.grad(lambda x: x * pg.stop_gradient(x))(3.0)
    3.0
    """
    leaves, structure = flatten(x)
    return optree.tree_unflatten(structure, [v.detach() if isinstance(v, Cell) else v for v in leaves])  # type: ignore[attr-defined]
