"""Where the elements of each value of a graph lie: views are told without being made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polygrad.graph import Graph, Instruction, Value

from ..numpy_source import is_static_key
from .nests import View, c_strides, kind_of

__all__ = ["Layouts"]


class Layouts:
    """The views of a graph. What is no view of something else lies in C order, by itself.

    Args:
        np: NumPy.
        graph: the graph.

    Attributes:
        instructions: those that make views.
    """

    def __init__(self, np: Any, graph: Graph) -> None:
        self._np = np
        self._functions = {  # NumPy's own: they never look at the elements
            "broadcast_to": np.broadcast_to, "expand_dims": np.expand_dims, "moveaxis": np.moveaxis,
            "matrix_transpose": np.matrix_transpose, "permute_dims": np.transpose, "squeeze": np.squeeze,
        }  # fmt: skip
        self._views: dict[Value, View] = {}
        self.instructions: set[Instruction] = set()
        for v in graph.inputs:
            self._views[v] = View(v, 0, c_strides(v.shape))
        for v, array in graph.constants.items():  # these may lie in any way
            self._views[v] = View(v, 0, tuple(s // array.itemsize for s in array.strides))
        for instruction in graph.instructions:
            view = self._view_of(instruction)
            if view is not None:
                self._views[instruction.outputs[0]] = view
                self.instructions.add(instruction)
            else:
                for v in instruction.outputs:
                    self._views[v] = View(v, 0, c_strides(v.shape))

    def __getitem__(self, v: Value) -> View:
        return self._views[v]

    def add(self, v: Value) -> None:
        """A value that is memory by itself."""
        self._views[v] = View(v, 0, c_strides(v.shape))

    def _view_of(self, instruction: Instruction) -> View | None:
        op, args = instruction.op.removeprefix("xp."), instruction.args
        if not args or args[0].__class__ is not Value or len(instruction.outputs) != 1:
            return None
        x, (out,) = args[0], instruction.outputs
        if len(instruction.inputs) != 1 or kind_of(x) in (None, "number") or x.size == 0 or out.size == 0:
            return None
        source = self._views[x]
        if op == "reshape":
            solid = source.strides == c_strides(x.shape) and not dict(instruction.kwargs).get("copy")
            return View(source.root, source.offset, c_strides(out.shape)) if solid else None
        if op == "getitem":
            return self.of_key(x, args[1], out.shape)
        if op not in self._functions:
            return None
        f, more = self._functions[op], dict(instruction.kwargs)
        return self._moved(source, x.shape, lambda view: f(view, *args[1:], **more), out.shape)

    def of_key(self, x: Value, key: Any, shape: tuple[int, ...] | None = None) -> View | None:
        """The view that a key selects of a value, if it always is the same one."""
        if not is_static_key(key) or x.size == 0:
            return None
        entries = key if isinstance(key, tuple) else (key,)
        every = entries if Ellipsis in entries else (*entries, Ellipsis)  # then it is an array in any case
        return self._moved(self._views[x], x.shape, lambda view: view[every], shape)

    def _moved(
        self, source: View, shape: tuple[int, ...], f: Callable[[Any], Any], made_shape: tuple[int, ...] | None
    ) -> View | None:
        """What NumPy makes of such strides, asked of an array that is never read."""
        np = self._np
        reach = [(n - 1) * s for n, s in zip(shape, source.strides, strict=True)]
        below, above = -sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)
        as_strided = np.lib.stride_tricks.as_strided
        base = as_strided(np.empty(1, np.int8), (below + above + 1,), (1,), writeable=False)
        view = as_strided(base[below:], shape, source.strides, writeable=False)
        made = f(view)
        moved = made.__array_interface__["data"][0] - view.__array_interface__["data"][0]
        if made.__class__ is not np.ndarray or made_shape not in (None, made.shape) or not -below <= moved <= above:
            return None
        return View(source.root, source.offset + moved, tuple(made.strides))
