"""Functions with derivatives of their own, PyTorch's habit: ``Function``."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ..core.cell import Cell, new_tensor, settle
from ..core.modes import GRAD, get_mode
from ..core.node import next_seq
from ..core.op import item_node
from ..core.tape import new_saved
from ..errors import GradientError
from ..ops.creation import asarray
from .custom import custom_vjp
from .inputs import flatten
from .joint import joint_outputs
from .lowering import Lowering, from_outside, on_one_level, recording
from .rules import closed_over, cotangent_like, note_closures, refuse_closed, spec_of, tangent_leaves, zeros_of

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
        remake = self._remade
        return tuple(remake(x) if kind == "output" and remake is not None else x for kind, x in self._saved)

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
        start = next_seq()
        # Recorded for the sake of what forward closes over: its arguments have no graph.
        with recording(bool(get_mode() & GRAD), args):
            result = cls.forward(ctx, *plain)
        if result is None:
            raise GradientError(f"{cls.__name__}.forward returned None; it must return a Tensor or a tuple of Tensors")
        several = isinstance(result, tuple)
        outputs = [x if isinstance(x, Cell) else asarray(x) for x in (result if several else (result,))]
        closed = closed_over(outputs, start)
        if from_outside(args):
            outputs = cls._lowered(args)
            result = tuple(outputs) if several else outputs[0]
        ctx._seal(plain, args, outputs)
        if not (tracked or closed) or not get_mode() & GRAD:
            return result
        joined = cls._joined(ctx, args, tracked, outputs, (start, closed))
        return tuple(joined) if several else joined[0]

    @classmethod
    def _lowered(cls, args: Sequence[Any]) -> list[Any]:
        """The outputs for arguments inside vmap that a graph from outside leads to."""
        low = Lowering(args)

        def fwd(*inside: Any) -> Any:
            with low.scope():
                inputs = low.level_inputs(inside)
                ctx = Context(tuple(isinstance(x, Cell) for x in inputs))
                result = cls.forward(ctx, *inputs)
                outputs = list(result) if isinstance(result, tuple) else [result]
                ctx._seal((), (), ())
                return low.inside_outputs(outputs), ctx

        def bwd(ctx: Context, g: list[Any]) -> Any:
            with low.scope():
                grads = cls.backward(ctx, *low.level_outputs(g))
                return low.inside_cotangents(grads if isinstance(grads, tuple) else (grads,))

        inner: Any = custom_vjp(lambda *inside: fwd(*inside)[0])
        inner._name = cls.__name__
        inner.defvjp(fwd, bwd)
        return low.level_outputs(inner(*low.inside))

    @classmethod
    def _joined(
        cls, ctx: Context, args: Sequence[Any], tracked: list[int], outputs: list[Any], closures: tuple[int, list[Any]]
    ) -> list[Any]:
        name = cls.__name__
        start, closed = closures

        def pulled(g: list[Any], create_graph: bool) -> list[Any]:
            cotangents = [zeros_of(x) if v is None else v for v, x in zip(g, specs, strict=True)]
            with recording(True, args):
                grads = cls.backward(ctx, *cotangents)
            if grads is None:
                raise GradientError(
                    f"{name}.backward returned None for the {len(args)} arguments of forward; return one gradient for each, as "
                    "in (None,) where there is none"
                )
            grads = tuple(grads) if isinstance(grads, (tuple, list)) else (grads,)
            if len(grads) != len(args):
                raise GradientError(
                    f"{name}.backward returned {len(grads)} gradients for the {len(args)} arguments of forward; return one "
                    "for each, None where there is none"
                )
            note_closures(grads, start)
            return [cotangent_like(f"{name}.backward", grads[i], args_specs[i], i, True) for i in tracked]

        def pushed(t: list[Any], create_graph: bool) -> list[Any]:
            tangents: list[Any] = [None] * len(args)
            for i, tangent in zip(tracked, t, strict=True):
                tangents[i] = tangent
            with recording(True, args):
                result = cls.jvp(ctx, *tangents)
            moved = list(result) if isinstance(result, tuple) else [result]
            note_closures(moved, start)
            structure = flatten([0] * len(outputs))[1]
            return tangent_leaves(name, cls.jvp, (None, moved), structure, outputs_like)

        specs = [spec_of(x) for x in outputs]
        args_specs = {i: spec_of(args[i]) for i in tracked}
        nodes = [args[i]._node for i in tracked]
        outputs_like = [new_tensor(x._value, None, x._device) for x in outputs]
        joined, node = joint_outputs(
            name, nodes, outputs, pulled, pushed if cls.jvp is not None else None, closed, refuse_closed(name)
        )
        values = [x._value for x in outputs]
        alive = weakref.ref(node)  # the node holds the context: a reference back would be a cycle

        def remade(i: int) -> Any:
            owner = alive()
            inexact = values[i].dtype in specs[i][2].inexact_dtypes
            return new_saved(
                values[i], item_node(owner, i, values[i]) if owner is not None and inexact else None, specs[i][2]
            )

        ctx._remade = remade
        return joined
