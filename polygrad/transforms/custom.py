"""Derivatives of one's own: ``Function`` (PyTorch's habit), ``custom_vjp`` and ``custom_jvp`` (JAX's)."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

import optree

from ..core.cell import Cell, new_tensor, settle
from ..core.modes import GRAD, enable_grad, get_mode
from ..core.node import leaf
from ..core.op import item_node
from ..core.tape import new_saved, pull
from ..errors import GradientError, ShapeError
from ..ops.creation import asarray
from .inputs import flatten
from .joint import joint_outputs
from .lowering import Lowering, from_outside, on_one_level, recording

__all__ = ["Context", "Function", "custom_jvp", "custom_vjp", "stop_gradient"]

P = ParamSpec("P")
R = TypeVar("R")


class Context:
    """What :class:`Function` keeps from ``forward`` for ``backward``; set any attribute on it."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._saved: list[Any] = []
        self._remade: Callable[[int], Any] | None = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep inputs, outputs or other Tensors (or None); they come back by :attr:`saved_tensors`."""
        self._saved = list(tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What ``save_for_backward`` kept; under ``create_graph`` inputs and outputs carry their graph."""
        made = []
        for kind, value in self._saved:
            made.append(self._remade(value) if kind == "output" and self._remade is not None else value)
        return tuple(made)

    def _seal(self, plain: Sequence[Any], tracked: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Remember inputs as the tracked ones, and outputs by number: a reference would be a cycle."""
        sealed = []
        for x in self._saved:
            where = next((i for i, y in enumerate(outputs) if y is x), None)
            which = next((i for i, y in enumerate(plain) if y is x), None)
            if where is not None:
                sealed.append(("output", where))
            else:
                sealed.append(("value", tracked[which] if which is not None else x))
        self._saved = sealed


class Function:
    """A differentiable function with a derivative of your own.

    Subclass it with static methods ``forward(ctx, *args)`` and ``backward(ctx, *grads)``, and call
    ``apply``. ``forward`` sees Tensors without a graph; ``backward`` gets one gradient for each output and
    returns one for each argument of ``forward``, None for those without. An optional ``jvp(ctx, *tangents)``
    gives forward mode.

    >>> import polygrad as pg
    >>> class Cube(pg.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 3 * x * x
    >>> x = pg.asarray(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12., dtype=float64)
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Compute the outputs: a Tensor or a tuple of them."""
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Compute the arguments' gradients from the outputs'."""
        raise NotImplementedError("a Function needs a static method backward(ctx, *grads)")

    jvp: Any = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the function; the graph has one node for it."""
        for x in args:
            if isinstance(x, Cell):
                settle(x)
        args = tuple(on_one_level(cls.__name__, args))
        tracked = [i for i, x in enumerate(args) if isinstance(x, Cell) and x._node is not None]
        ctx = Context(tuple(i in tracked for i in range(len(args))))
        plain = [new_saved(x._value, None, x._device) if isinstance(x, Cell) else x for x in args]
        with recording(False, args):
            result = cls.forward(ctx, *plain)
        several = isinstance(result, tuple)
        outputs = [x if isinstance(x, Cell) else asarray(x) for x in (result if several else (result,))]
        if from_outside(args):
            outputs = cls._lowered(args)
            result = tuple(outputs) if several else outputs[0]
        if not tracked or not get_mode() & GRAD:
            ctx._seal(plain, args, outputs)
            return result
        ctx._seal(plain, args, outputs)
        made = cls._joined(ctx, args, tracked, outputs)
        return tuple(made) if several else made[0]

    @classmethod
    def _lowered(cls, args: Sequence[Any]) -> list[Any]:
        """The outputs for arguments inside vmap that a graph from outside leads to."""
        low = Lowering(args)

        def fwd(*inside: Any) -> Any:
            with low.scope():
                given = low.level_inputs(inside)
                ctx = Context(tuple(isinstance(x, Cell) for x in given))
                result = cls.forward(ctx, *given)
                outputs = list(result) if isinstance(result, tuple) else [result]
                ctx._seal((), (), ())
                return low.inside_outputs(outputs), ctx

        def bwd(ctx: Context, g: list[Any]) -> Any:
            with low.scope():
                found = cls.backward(ctx, *low.level_outputs(g))
                return low.inside_cotangents(found if isinstance(found, tuple) else (found,))

        own: Any = custom_vjp(lambda *inside: fwd(*inside)[0])
        own.__name__ = cls.__name__
        own.defvjp(fwd, bwd)
        return low.level_outputs(own(*low.inside))

    @classmethod
    def _joined(cls, ctx: Context, args: Sequence[Any], tracked: list[int], outputs: list[Any]) -> list[Any]:
        name = cls.__name__

        def pulled(g: list[Any], create_graph: bool) -> list[Any]:
            grads = [_zeros(x) if v is None else v for v, x in zip(g, specs, strict=True)]
            with recording(create_graph, args):
                found = cls.backward(ctx, *grads)
            found = found if isinstance(found, tuple) else (found,)
            if len(found) != len(args):
                raise GradientError(
                    f"{name}.backward returned {len(found)} gradients for the {len(args)} arguments of forward; return one "
                    "for each, None where there is none"
                )
            return [_checked(name, found[i], args_specs[i], i) for i in tracked]

        def pushed(t: list[Any], create_graph: bool) -> list[Any]:
            tangents: list[Any] = [None] * len(args)
            for i, own in zip(tracked, t, strict=True):
                tangents[i] = own
            with recording(create_graph, args):
                found = cls.jvp(ctx, *tangents)
            return list(found) if isinstance(found, tuple) else [found]

        specs = [(tuple(x._value.shape), x._value.dtype, x._device) for x in outputs]
        args_specs = {i: (tuple(args[i]._value.shape), args[i]._value.dtype, args[i]._device) for i in tracked}
        nodes = [args[i]._node for i in tracked]
        made, node = joint_outputs(name, nodes, outputs, pulled, pushed if cls.jvp is not None else None)
        values = [x._value for x in outputs]
        alive = weakref.ref(node)  # the node holds the context: a reference back would be a cycle

        def remade(i: int) -> Any:
            own = alive()
            inexact = values[i].dtype in specs[i][2].inexact_dtypes
            return new_saved(
                values[i], item_node(own, i, values[i]) if own is not None and inexact else None, specs[i][2]
            )

        ctx._remade = remade
        return made


def _zeros(spec: Any) -> Any:
    shape, dtype, device = spec
    return new_tensor(device.raw.zeros(shape, dtype=dtype), None, device)


def _checked(name: str, g: Any, spec: Any, index: int) -> Any:
    if g is None:
        return None
    made = g if isinstance(g, Cell) else asarray(g)
    if tuple(made._value.shape) != spec[0]:
        raise ShapeError(
            f"{name}.backward returned a gradient of shape {tuple(made._value.shape)} for argument {index}, which has shape "
            f"{spec[0]}; they must be equal"
        )
    return made


# -- JAX's habits ------------------------------------------------------------------------------------


class _Custom(Generic[P, R]):
    """A function whose derivative is given; calling it without a graph just runs it."""

    def __init__(self, f: Callable[P, R], nondiff_argnums: Sequence[int] = ()) -> None:
        functools.update_wrapper(self, f)  # type: ignore[arg-type]
        self._f: Callable[..., Any] = f
        self._nondiff = tuple(nondiff_argnums)

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

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        chosen, leaves, structure = self._differentiable(args)
        leaves = on_one_level(self.__name__, leaves)  # type: ignore[attr-defined]
        tracked = _tracked(leaves)
        outside = from_outside(leaves)
        if (not tracked and not outside) or not get_mode() & GRAD:
            return self._f(*args, **kwargs)  # type: ignore[no-any-return]
        if self._rules is None:
            raise GradientError(f"custom_vjp: {self.__name__!r} has no derivative yet; call its defvjp(fwd, bwd)")  # type: ignore[attr-defined]
        fwd, bwd = self._rules
        with recording(False, leaves):
            result = fwd(*self._with(args, chosen, structure, [_plain(x) for x in leaves]), **kwargs)
        out, residuals = result
        outputs, out_structure = flatten(out)
        outputs = [x if isinstance(x, Cell) else asarray(x) for x in outputs]
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
            grads = [_zeros(x) if v is None else v for v, x in zip(g, specs, strict=True)]
            with recording(create_graph, leaves):
                found = bwd(*static, own, optree.tree_unflatten(out_structure, grads))
            given = _cotangent_leaves(self.__name__, found, structure)  # type: ignore[attr-defined]
            return [_checked(self.__name__, given[i], _spec(leaves[i]), i) for i in tracked]  # type: ignore[attr-defined]

        made, _ = joint_outputs(self.__name__, [leaves[i]._node for i in tracked], outputs, pulled, None)  # type: ignore[attr-defined]
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
                return low.inside_cotangents(_cotangent_leaves(self.__name__, found, structure))  # type: ignore[attr-defined]

        own: Any = custom_vjp(lambda *inside: fwd(*inside)[0])
        own.__name__ = self.__name__  # type: ignore[attr-defined]
        own.defvjp(fwd, bwd)
        return low.level_outputs(own(*low.inside))


def _spec(x: Any) -> Any:
    return tuple(x._value.shape), x._value.dtype, x._device


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
        self._rule: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule; usable as a decorator."""
        self._rule = rule
        return rule

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        chosen, leaves, structure = self._differentiable(args)
        leaves = on_one_level(self.__name__, leaves)  # type: ignore[attr-defined]
        tracked = _tracked(leaves)
        outside = from_outside(leaves)
        if (not tracked and not outside) or not get_mode() & GRAD:
            return self._f(*args, **kwargs)  # type: ignore[no-any-return]
        if self._rule is None:
            raise GradientError(f"custom_jvp: {self.__name__!r} has no derivative yet; call its defjvp(rule)")  # type: ignore[attr-defined]
        rule = self._rule
        static = [args[i] for i in self._nondiff]
        with recording(False, leaves):
            out = self._f(*self._with(args, chosen, structure, [_plain(x) for x in leaves]), **kwargs)
        outputs, out_structure = flatten(out)
        outputs = [x if isinstance(x, Cell) else asarray(x) for x in outputs]
        if outside:
            outputs = self._lowered(args, kwargs, chosen, leaves, structure)
            if not tracked:
                return optree.tree_unflatten(out_structure, outputs)  # type: ignore[return-value]

        def along(t: list[Any], create_graph: bool) -> list[Any]:
            primals = leaves if create_graph else [_plain(x) for x in leaves]
            moved = [_zeros(_spec(x)) if isinstance(x, Cell) else 0.0 for x in leaves]
            for i, own in zip(tracked, t, strict=True):
                if own is not None:
                    moved[i] = own
            found = rule(
                *static,
                tuple(optree.tree_unflatten(structure, primals)),
                tuple(optree.tree_unflatten(structure, moved)),
            )[1]
            return [x if isinstance(x, Cell) else asarray(x) for x in flatten(found)[0]]

        def pushed(t: list[Any], create_graph: bool) -> list[Any]:
            with recording(create_graph, leaves):
                return along(t, create_graph)

        def pulled(g: list[Any], create_graph: bool) -> list[Any]:
            # The rule is linear in the tangents: its vjp at any of them, here 0, is its transpose.
            with enable_grad():
                starts = [_zeros(_spec(leaves[i])) for i in tracked]
                for x in starts:
                    x._node = leaf(x._value, x._device)
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

        made, _ = joint_outputs(self.__name__, [leaves[i]._node for i in tracked], outputs, pulled, pushed)  # type: ignore[attr-defined]
        return optree.tree_unflatten(out_structure, made)  # type: ignore[return-value]

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
        own.__name__ = self.__name__  # type: ignore[attr-defined]
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
