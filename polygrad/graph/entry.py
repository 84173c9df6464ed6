"""One compiled signature: a generated function that checks, gathers, runs and stores.

It is generated because every line of it is paid for by every call; :attr:`Entry.source` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optree

from ..core.cell import Cell, new_tensor
from ..transforms.joint import joint_outputs
from .entry_source import MISS, EntryWriter
from .guards import Surroundings
from .ir import Graph
from .noting import Noted
from .passes import dead_code
from .tracing import Done

__all__ = ["Entry"]

Runner = Callable[[Graph], Callable[..., tuple[Any, ...]]]


class Entry:
    """A traced call, ready to be run again.

    Args:
        noted: what the trace saw.
        leaves: the arguments' leaves of the traced call.
        surroundings: what the function looked at.
        runner: makes a graph a function of its inputs.
        again: runs the original function on leaves, for derivatives of derivatives.

    Attributes:
        call: ``call(leaves)`` gives the result, or MISS.
        explain_guards: what is compared before each run, in words.
        source: the text of ``call``.
    """

    def __init__(
        self,
        noted: Noted,
        leaves: Sequence[Any],
        surroundings: Surroundings,
        runner: Runner,
        again: Callable[[Sequence[Any]], Any],
    ) -> None:
        self.noted = noted
        self.graph = used_inputs(noted.graph)
        self.backward = noted.backward
        self.again = again
        self.device = noted.trace.inner
        self.run = runner(self.graph)
        self.run_backward = None if noted.backward is None else runner(noted.backward)
        self.pending: list[Done] = list(noted.trace.done)
        noted.trace.done = []
        self.pure = not (noted.writes or noted.grads or noted.rebound or noted.trace.hosts)
        writer = EntryWriter(self, leaves, surroundings)
        self.source = writer.text()
        scope = writer.scope
        exec(compile(self.source, "<compiled call>", "exec"), scope)
        self.call: Callable[[Sequence[Any]], Any] = scope["call"]
        self.explain_guards: Callable[[], list[str]] = surroundings.explain
        surroundings.forget(writer.skipped)
        self._let_go({key for key, name in writer.where.items() if name.startswith("p")})

    def _let_go(self, moved: set[int]) -> None:
        """Arrays as they were when the call was traced: a step's first parameters and state would stay for ever."""
        for key, entered in self.noted.trace.entered.items():
            entered.value = entered.grad = entered.borrowed = None
            if key in moved:  # another tensor is in its place by now
                entered.cell = None
        for rebound in self.noted.rebound:
            rebound.before = None

    # -- what the generated function calls -----------------------------------------------------------

    def hosts(self) -> Any:
        """Make the calls in Python that belong to a run.

        Returns:
            The numbers and arrays, one list for all, and the calls; MISS and None if they lead to another graph.
        """
        calls: list[tuple[Any, ...]] = []
        values: list[Any] = []
        ready, self.pending = self.pending, []
        for host in self.noted.trace.hosts:
            f, save = host.f, host.save
            if ready and ready[0].f == f:
                call: tuple[Any, ...] = ready.pop(0)
            elif save is None:
                call = (f, f(*host.args), None, None)
            else:
                before = save.read()
                call = (f, f(*host.args), save, before)
            calls.append(call)
            result = call[1]
            if not host.fits(result):
                self.pending = [*[Done(*c) for c in calls], *ready]  # another entry, or a new trace, goes on with them
                return MISS, None
            if host.only_floats:
                values += result
            elif result:
                values += [item for kind, item in zip(host.kinds, result) if kind != "static"]
        return values, calls

    def attach(
        self, tensors: list[Any], nodes: list[Any], leaves: Sequence[Any], residuals: Sequence[Any]
    ) -> list[Any]:
        """Tensors joined to the graphs of what came in."""
        targets = self.noted.targets
        used = [i for i, n in enumerate(nodes) if n is not None]
        run, device = self.run_backward, self.device
        roots = self.noted.roots
        shapes = [(x._value.shape, x._value.dtype) for x in tensors]
        held = [(e.cell, e.cell._value) for e in self.noted.trace.entered.values() if e.cell is not None]
        kept = [new_saved_leaf(x) for x in leaves]

        def pulled(g: list[Any], create_graph: bool) -> list[Any]:
            if create_graph:
                return self.rerun_pull(kept, held, [nodes[i] for i in used], g)
            raw = device.raw
            given = [raw.zeros(s, dtype=d) if c is None else c._value for c, (s, d) in zip(g, shapes, strict=True)]
            assert run is not None
            found = run(*given, *residuals)
            return [new_tensor(found[i], None, device) for i in used]

        def pushed(t: list[Any], create_graph: bool) -> list[Any]:
            return self.rerun_push(kept, held, [nodes[i] for i in used], t, create_graph)

        assert len(tensors) == len(roots)
        assert len(targets) == len(nodes)
        made, _ = joint_outputs("compiled", [nodes[i] for i in used], tensors, pulled, pushed)
        return made

    def rerun(self, kept: list[Any], held: list[tuple[Any, Any]]) -> list[Any]:
        """The tensors that carry a graph, by running the original function again."""
        from ..errors import GradientError

        if not self.pure:
            raise GradientError(
                "derivatives of derivatives, and forward mode, through a compiled function run the function again, but "
                "this one draws, or writes to tensors outside; call the function itself (compiled.f) where they are needed"
            )
        if any(cell._value is not value for cell, value in held if id(cell) not in {id(k) for k in kept}):
            raise GradientError(
                "a tensor that the compiled function reached was written to since; derivatives of derivatives need it as "
                "it was"
            )
        flat, _ = optree.tree_flatten(self.again(kept))
        by_number: dict[int, Any] = {}
        for number, x in zip(self.noted.result, flat):
            while isinstance(number, int) and number not in by_number:  # a view, then what it is of
                by_number[number] = x
                made = self.noted.made[number]
                if made.kind != "view":
                    break
                number, x = made.base, x._extra.base
        return [by_number[i] for i in self.noted.roots]

    def rerun_pull(self, kept: list[Any], held: Any, nodes: list[Any], g: list[Any]) -> list[Any]:
        """Differentiable cotangents."""
        from ..core.tape import pull

        outs = self.rerun(kept, held)
        pairs = [(x._node, c) for x, c in zip(outs, g, strict=True) if x._node is not None and c is not None]
        found, _ = pull([n for n, _ in pairs], [c for _, c in pairs], nodes, True) if pairs else ({}, [])
        return [found.get(n) for n in nodes]

    def rerun_push(self, kept: list[Any], held: Any, nodes: list[Any], t: list[Any], create_graph: bool) -> list[Any]:
        """Tangents."""
        from ..core.tape import new_saved, push, reachable

        outs = self.rerun(kept, held)
        start = {n: (c if create_graph else c._value) for n, c in zip(nodes, t, strict=True) if c is not None}
        known = push(reachable([x._node for x in outs], frozenset(nodes)), start, create_graph)
        found = [known.get(x._node) for x in outs]
        return [
            c if c is None or isinstance(c, Cell) else new_saved(c, None, x._device)
            for c, x in zip(found, outs, strict=True)
        ]


def used_inputs(graph: Graph) -> Graph:
    """Without inputs that nothing takes (a gradient that is dropped before it is looked at)."""
    graph = dead_code(graph)
    taken = {v for i in graph.instructions for v in i.inputs} | {v for v in graph.outputs if v is not None}
    return graph.with_(inputs=tuple(v for v in graph.inputs if v in taken))


def new_saved_leaf(x: Any) -> Any:
    """An argument as it is now, on the same node."""
    if not isinstance(x, Cell):
        return x
    made: Any = new_tensor(x._value, x._node, x._device)
    made._saved = True
    return made
