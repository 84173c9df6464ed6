"""``Function``: derivatives of one's own, by PyTorch's habit."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ..core.cell import Cell, settle
from ..core.modes import GRAD, get_mode
from ..core.op import item_node
from ..core.tape import new_saved
from ..errors import GradientError
from ..ops.creation import asarray
from .custom import custom_vjp
from .joint import joint_outputs
from .lowering import Lowering, from_outside, on_one_level, recording
from .own_rules import checked, refuse_closures, refuse_dropped, rule_scope, zeros_of

__all__ = ["Context", "Function"]


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
        with recording(bool(get_mode() & GRAD), args):
            result = cls.forward(ctx, *plain)
        several = isinstance(result, tuple)
        outputs = [x if isinstance(x, Cell) else asarray(x) for x in (result if several else (result,))]
        refuse_closures(cls.__name__, outputs, tracked)
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
            grads = [zeros_of(x) if v is None else v for v, x in zip(g, specs, strict=True)]
            with rule_scope(create_graph, args):
                found = cls.backward(ctx, *grads)
            found = found if isinstance(found, tuple) else (found,)
            refuse_dropped(name, found, create_graph)
            if len(found) != len(args):
                raise GradientError(
                    f"{name}.backward returned {len(found)} gradients for the {len(args)} arguments of forward; return one "
                    "for each, None where there is none"
                )
            return [checked(name, found[i], args_specs[i], i) for i in tracked]

        def pushed(t: list[Any], create_graph: bool) -> list[Any]:
            tangents: list[Any] = [None] * len(args)
            for i, own in zip(tracked, t, strict=True):
                tangents[i] = own
            with rule_scope(create_graph, args):
                found = cls.jvp(ctx, *tangents)
            found = list(found) if isinstance(found, tuple) else [found]
            refuse_dropped(name, found, create_graph)
            return found

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
