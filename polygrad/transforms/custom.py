"""``custom_vjp`` and ``custom_jvp``: derivatives of one's own, by JAX's habit."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, cast

import optree

from ..core.cell import Cell, settle
from ..core.modes import GRAD, enable_grad, get_mode
from ..core.node import leaf
from ..core.tape import new_saved, pull, reachable
from ..errors import GradientError, ShapeError
from ..ops.creation import asarray
from .inputs import flatten
from .joint import joint_outputs
from .lowering import Lowering, from_outside, on_one_level, recording
from .own_rules import (
    checked,
    described,
    lowered,
    lowering_once,
    nodes_inside,
    refuse_closures,
    refuse_dropped,
    rule_scope,
    spec_of,
    transposed,
    transposing,
    zeros_of,
)

__all__ = ["custom_jvp", "custom_vjp", "stop_gradient"]

P = ParamSpec("P")
R = TypeVar("R")


# -- JAX's habits ------------------------------------------------------------------------------------


class _Custom(Generic[P, R]):
    """A function whose derivative is given; calling it without a graph just runs it."""

    def __init__(self, f: Callable[P, R], nondiff_argnums: Sequence[int] = ()) -> None:
        functools.update_wrapper(self, f)  # type: ignore[arg-type]
        self._f: Callable[..., Any] = f
        self._nondiff = tuple(nondiff_argnums)
        try:
            self._signature: inspect.Signature | None = inspect.signature(f)
        except (TypeError, ValueError):
            self._signature = None
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = () if self._signature is None else self._signature.parameters.values()
        self._positions = sum(p.kind in kinds for p in parameters)

    @property
    def _name(self) -> str:
        return str(getattr(self, "__name__", type(self).__name__))

    def _by_position(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as rules get them: those given by name, and defaults, in their positions."""
        if self._signature is None or (not kwargs and len(args) >= self._positions):
            return args, kwargs
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def _differentiable(self, args: Sequence[Any]) -> tuple[list[int], list[Any], Any]:
        chosen = [i for i in range(len(args)) if i not in self._nondiff]
        leaves, structure = flatten([args[i] for i in chosen])
        return chosen, leaves, structure

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

    def __init__(self, f: Callable[P, R], nondiff_argnums: Sequence[int] = ()) -> None:
        super().__init__(f, nondiff_argnums)
        self._rules: tuple[Callable[..., Any], Callable[..., Any]] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the forward and backward functions."""
        self._rules = (fwd, bwd)

    def __call__(self, *given: P.args, **named: P.kwargs) -> R:
        args, kwargs = self._by_position(given, named)
        chosen, leaves, structure = self._differentiable(args)
        leaves = on_one_level(self._name, leaves)
        tracked = _tracked(leaves)
        outside = from_outside(leaves)
        if (not tracked and not outside) or not get_mode() & GRAD or (outside and id(self) in lowered.get()):
            return self._f(*args, **kwargs)  # type: ignore[no-any-return]
        if self._rules is None:
            raise GradientError(f"custom_vjp: {self._name!r} has no derivative yet; call its defvjp(fwd, bwd)")
        fwd, bwd = self._rules
        with recording(True, leaves), lowering_once(self if outside else None):
            result = fwd(*self._with(args, chosen, structure, [_plain(x) for x in leaves]), **kwargs)
        if not isinstance(result, tuple) or len(result) != 2:
            raise GradientError(
                f"{self._name}: the forward function of custom_vjp must return a pair (out, residuals), not "
                f"{described(result)}"
            )
        out, residuals = result
        outputs, out_structure = flatten(out)
        outputs = [x if isinstance(x, Cell) else asarray(x) for x in outputs]
        refuse_closures(self._name, outputs, tracked)
        static = [args[i] for i in self._nondiff]
        if outside:
            outputs = self._lowered(args, kwargs, chosen, leaves, structure)
            if not tracked:
                return optree.tree_unflatten(out_structure, outputs)  # type: ignore[return-value]
        specs = [(tuple(x._value.shape), x._value.dtype, x._device) for x in outputs]
        # Where derivatives of the derivative are asked for, the residuals must carry the inputs' graph.
        kept: dict[str, Any] = {"residuals": residuals}

        def pulled(g: list[Any], create_graph: bool) -> list[Any]:
            own = kept["residuals"]
            if create_graph:
                with enable_grad():
                    own = fwd(*self._with(args, chosen, structure, leaves), **kwargs)[1]
            grads = [zeros_of(x) if v is None else v for v, x in zip(g, specs, strict=True)]
            with rule_scope(create_graph, leaves):
                found = bwd(*static, own, optree.tree_unflatten(out_structure, grads))
            refuse_dropped(self._name, flatten(found)[0], create_graph)
            given = _cotangent_leaves(self._name, found, structure)
            return [checked(self._name, given[i], spec_of(leaves[i]), i) for i in tracked]

        made, _ = joint_outputs(self._name, [leaves[i]._node for i in tracked], outputs, pulled, None)
        return optree.tree_unflatten(out_structure, made)  # type: ignore[return-value]

    def _lowered(self, args: Any, kwargs: Any, chosen: list[int], leaves: list[Any], structure: Any) -> list[Any]:
        """The outputs for arguments inside vmap that a graph from outside leads to."""
        assert self._rules is not None
        given_fwd, given_bwd = self._rules
        low = Lowering(leaves)
        static = [args[i] for i in self._nondiff]

        def fwd(*inside: Any) -> Any:
            with low.scope():
                out, residuals = given_fwd(*self._with(args, chosen, structure, low.level_inputs(inside)), **kwargs)
                outputs, out_structure = flatten(out)
                return low.inside_outputs(outputs), (residuals, out_structure)

        def bwd(kept: Any, g: list[Any]) -> Any:
            residuals, out_structure = kept
            with low.scope():
                found = given_bwd(*static, residuals, optree.tree_unflatten(out_structure, low.level_outputs(g)))
                return low.inside_cotangents(_cotangent_leaves(self._name, found, structure))

        own: Any = custom_vjp(lambda *inside: fwd(*inside)[0])
        own.__name__ = self._name
        own.defvjp(fwd, bwd)
        return low.level_outputs(own(*low.inside))


def _cotangent_leaves(name: str, found: Any, structure: Any) -> list[Any]:
    """The cotangents that a backward function returned, for the leaves of the arguments; None for none."""
    children = structure.children()
    if not isinstance(found, (tuple, list)) or len(found) != len(children):
        count = len(found) if isinstance(found, (tuple, list)) else 1
        raise GradientError(f"{name}: the backward function returned {count} cotangents for {len(children)} arguments")
    leaves: list[Any] = []
    for child, own in zip(children, found, strict=True):
        leaves.extend([None] * child.num_leaves if own is None else child.flatten_up_to(own))
    return leaves


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

    def __init__(self, f: Callable[P, R], nondiff_argnums: Sequence[int] = ()) -> None:
        super().__init__(f, nondiff_argnums)
        self._origin: Any = None  # the user's function that this one stands for, inside a vmap
        self._rule: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule; usable as a decorator."""
        self._rule = rule
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Set a rule for each argument: ``rule(tangent, out, *primals)`` gives the output's tangent, None for zero.

        >>> import polygrad as pg
        >>> @pg.custom_jvp
        ... def product(x, y):
        ...     return x * y
        >>> product.defjvps(lambda t, out, x, y: t * y, lambda t, out, x, y: x * t)
        >>> pg.grad(product, argnums=(0, 1))(2.0, 3.0)
        (3.0, 2.0)

        Raises:
            TypeError: if some arguments are not differentiated (``nondiff_argnums``); use :meth:`defjvp`.
        """
        if self._nondiff:
            raise TypeError(f"{self._name}: defjvps takes a rule for each argument; with nondiff_argnums use defjvp")

        def rule(primals: Any, tangents: Any) -> Any:
            out = self(*primals)  # type: ignore[call-arg]
            if len(rules) != len(primals):
                raise GradientError(f"{self._name}: defjvps has {len(rules)} rules for {len(primals)} arguments")
            parts = [own(t, out, *primals) for own, t in zip(rules, tangents, strict=True) if own is not None]
            if not parts:
                return out, optree.tree_map(lambda x: 0 * x, cast("Any", out))
            return out, functools.reduce(lambda a, b: optree.tree_map(lambda x, y: x + y, a, b), parts)

        self.defjvp(rule)

    def __call__(self, *given: P.args, **named: P.kwargs) -> R:
        args, kwargs = self._by_position(given, named)
        chosen, leaves, structure = self._differentiable(args)
        leaves = on_one_level(self._name, leaves)
        tracked = _tracked(leaves)
        outside = from_outside(leaves)
        if (not tracked and not outside) or not get_mode() & GRAD or (outside and id(self) in lowered.get()):
            return self._f(*args, **kwargs)  # type: ignore[no-any-return]
        if self._is_transposed(leaves):
            return self._f(*args, **kwargs)  # type: ignore[no-any-return]
        if self._rule is None:
            raise GradientError(f"custom_jvp: {self._name!r} has no derivative yet; call its defjvp(rule)")
        rule = self._rule
        static = [args[i] for i in self._nondiff]
        with recording(True, leaves), lowering_once(self if outside else None):
            out = self._f(*self._with(args, chosen, structure, [_plain(x) for x in leaves]), **kwargs)
        outputs, out_structure = flatten(out)
        outputs = [x if isinstance(x, Cell) else asarray(x) for x in outputs]
        refuse_closures(self._name, outputs, tracked)
        if outside:
            outputs = self._lowered(args, kwargs, chosen, leaves, structure)
            if not tracked:
                return optree.tree_unflatten(out_structure, outputs)  # type: ignore[return-value]

        def along(t: list[Any], create_graph: bool) -> list[Any]:
            primals = leaves if create_graph else [_plain(x) for x in leaves]
            moved = [zeros_of(spec_of(x)) if isinstance(x, Cell) else 0.0 for x in leaves]
            for i, own in zip(tracked, t, strict=True):
                if own is not None:
                    moved[i] = own
            found = rule(
                *static,
                tuple(optree.tree_unflatten(structure, primals)),
                tuple(optree.tree_unflatten(structure, moved)),
            )
            return self._tangents(found, outputs, out_structure)

        def pushed(t: list[Any], create_graph: bool) -> list[Any]:
            with rule_scope(create_graph, leaves):
                tangents = along(t, create_graph)
            refuse_dropped(self._name, tangents, create_graph)
            return tangents

        def pulled(g: list[Any], create_graph: bool) -> list[Any]:
            # The rule is linear in the tangents: its vjp at any of them, here 0, is its transpose.
            with enable_grad():
                starts = [zeros_of(spec_of(leaves[i])) for i in tracked]
                for x in starts:
                    x._node = leaf(x._value, x._device)
                with transposing(self._origin or self, starts):
                    moved = along(starts, create_graph)
            pairs = [(m._node, v) for m, v in zip(moved, g, strict=True) if m._node is not None and v is not None]
            targets = [x._node for x in starts]
            found: dict[Any, Any] = {}
            if pairs:
                seeds = [v if create_graph else v._value for _, v in pairs]
                found, _ = pull([n for n, _ in pairs], seeds, targets, create_graph)
            got = [found.get(n) for n in targets]
            return [
                v if v is None or isinstance(v, Cell) else new_saved(v, None, x._device)
                for v, x in zip(got, starts, strict=True)
            ]

        made, _ = joint_outputs(self._name, [leaves[i]._node for i in tracked], outputs, pulled, pushed)
        return optree.tree_unflatten(out_structure, made)  # type: ignore[return-value]

    def _is_transposed(self, leaves: Sequence[Any]) -> bool:
        """Whether this is a call, in the function's own rule, on a tangent along which the rule is transposed."""
        own = [starts for key, starts in transposed.get() if key == id(self)]
        return bool(own) and any(not starts.isdisjoint(reachable(nodes_inside(leaves))) for starts in own)

    def _tangents(self, found: Any, outputs: Sequence[Any], out_structure: Any) -> list[Any]:
        """The tangents that a rule returned, checked against the outputs."""
        if not isinstance(found, tuple) or len(found) != 2:
            raise GradientError(
                f"{self._name}: the rule of custom_jvp must return a pair (out, tangent), not {described(found)}"
            )
        leaves, structure = flatten(found[1])
        if structure != out_structure:
            raise GradientError(
                f"{self._name}: the rule's tangent must have the structure of the output, {out_structure}, not {structure}"
            )
        tangents = [x if isinstance(x, Cell) else asarray(x) for x in leaves]
        for i, (t, x) in enumerate(zip(cast("list[Any]", tangents), outputs, strict=True)):
            settle(t)
            if tuple(t.shape) != tuple(x.shape):
                raise ShapeError(
                    f"{self._name}: the rule's tangent of output {i} has shape {tuple(t.shape)}, the output {tuple(x.shape)}; "
                    "they must be equal"
                )
        return tangents

    def _lowered(self, args: Any, kwargs: Any, chosen: list[int], leaves: list[Any], structure: Any) -> list[Any]:
        """The outputs for arguments inside vmap that a graph from outside leads to."""
        assert self._rule is not None
        given = self._rule
        low = Lowering(leaves)
        static = [args[i] for i in self._nondiff]

        def f(*inside: Any) -> Any:
            with low.scope():
                out = self._f(*self._with(args, chosen, structure, low.level_inputs(inside)), **kwargs)
                return low.inside_outputs(flatten(out)[0])

        def rule(primals: Any, tangents: Any) -> Any:
            with low.scope():
                trees = [
                    tuple(optree.tree_unflatten(structure, low.level_inputs(v, otherwise)))
                    for v, otherwise in ((primals, lambda x: x), (tangents, lambda x: 0.0))
                ]
                return tuple(low.inside_outputs(flatten(v)[0]) for v in given(*static, *trees))

        own: Any = custom_jvp(f)
        own.__name__, own._origin = self._name, self._origin or self
        own.defjvp(rule)
        return low.level_outputs(own(*low.inside))


def stop_gradient(x: Any) -> Any:
    """The same values without their graph, for every array of a pytree.

    >>> import polygrad as pg
    >>> pg.grad(lambda x: x * pg.stop_gradient(x))(3.0)
    3.0
    """
    leaves, structure = flatten(x)
    return optree.tree_unflatten(structure, [v.detach() if isinstance(v, Cell) else v for v in leaves])  # type: ignore[attr-defined]
