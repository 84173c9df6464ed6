"""Forward mode: ``jvp`` and ``linearize``.

The function's run is recorded, then the tangents go forward along the record. That costs the record's
memory, where JAX's forward mode needs none; in return one record serves many tangents, and both modes,
nested in any order, are one mechanism without levels or tags.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import optree

from ..core.cell import apart
from ..core.tape import new_saved, push, reachable
from .inputs import Recorded, all_raw, cotangent_for, flatten, in_kind, on_tensors, record, tree_in_kind, zeros_for
from .rules import noted_closures
from .vjp import _with_aux

__all__ = ["jvp", "linearize"]


def pushed(
    run: Recorded,
    outputs: Sequence[Any],
    tangents: Sequence[Any],
    create_graph: bool,
    roots: Sequence[Any] | None = None,
) -> list[Any]:
    """The tangents of a run's outputs, as Tensors.

    Args:
        roots: the outputs' nodes, where they may have others by now.
    """
    roots = [x._node for x in outputs] if roots is None else roots
    start = {n: (t if create_graph else t._value) for n, t in zip(run.inputs, tangents, strict=True)}
    order = reachable([n for n in roots if n is not None], frozenset(run.inputs))
    with noted_closures() as closures:
        known = push(order, start, create_graph)
    if not create_graph and run.meets(closures):  # a rule of one's own closes over what an outer graph differentiates
        create_graph = True
        known = push(order, dict(zip(run.inputs, tangents, strict=True)), True)
    results = []
    for x, node in zip(outputs, roots, strict=True):
        t = known.get(node) if node is not None else None
        if t is None:
            t = zeros_for(x)
        else:  # several outputs may have one tangent
            t = apart(t) if create_graph else new_saved(t, None, x._device)
        results.append(t)
    return results


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """The value of ``f(*primals)`` and its derivative along ``tangents``.

    Args:
        f: takes and returns pytrees of arrays.
        primals: a tuple of arguments.
        tangents: a tuple with the structure, shapes and dtypes of ``primals``.
        has_aux: ``f`` returns ``(out, aux)``; ``aux`` is passed through.

    Returns:
        ``(out, tangent_out)`` or ``(out, tangent_out, aux)``.

    >>> import polygrad as pg
    >>> pg.jvp(lambda x: x * x, (3.0,), (1.0,))
    (9.0, 6.0)
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError("jvp: primals and tangents must be tuples of arguments, as in pg.jvp(f, (x,), (t,))")
    if len(primals) != len(tangents):
        raise TypeError(f"jvp: {len(primals)} primals but {len(tangents)} tangents")
    run, flat, shapes = record("jvp", f, primals, {}, range(len(primals)))
    value, aux = _with_aux("jvp", run.result, has_aux)
    tensors, structure = run.outputs(value)
    given = [t for s, tree in zip(shapes, tangents, strict=True) for t in s.flatten_up_to(tree)]
    checked = [cotangent_for("jvp", t, x, "a tangent") for t, x in zip(given, run.tensors, strict=True)]
    nested = run.nested(tensors)
    deeper, scope = on_tensors(nested, checked, run.tensors)
    with scope:
        found = pushed(run, tensors, checked, deeper)
    kind = _kind(primals, tangents, flat)
    out = optree.tree_unflatten(structure, [in_kind(x, kind, nested) for x in tensors])
    moved = optree.tree_unflatten(structure, [in_kind(t, kind, deeper or run.met) for t in found])
    return (out, moved, tree_in_kind(aux, kind, nested)) if has_aux else (out, moved)


def _kind(primals: Any, tangents: Any, flat: Sequence[Any]) -> Any:
    """What results should be like: numbers where all that came in were numbers, raw arrays, or Tensors."""
    if not all_raw(primals, tangents):
        return False
    leaves = [*flat, *flatten(tangents)[0]]
    if leaves and all(isinstance(x, (float, complex)) and not hasattr(x, "dtype") for x in leaves):
        return 1.0
    return True


def linearize(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of ``f(*primals)`` and its derivative as a function of the tangents, recorded once.

    Returns:
        ``(out, jvp_fn)`` or ``(out, jvp_fn, aux)``; ``jvp_fn(*tangents)`` may be called many times.

    >>> import polygrad as pg
    >>> out, along = pg.linearize(pg.sin, 0.0)
    >>> along(1.0), along(2.0)
    (1.0, 2.0)
    """
    run, flat, shapes = record("linearize", f, primals, {}, range(len(primals)))
    value, aux = _with_aux("linearize", run.result, has_aux)
    tensors, structure = run.outputs(value)
    nested = run.nested(tensors)
    roots = [x._node for x in tensors]  # a trace that reaches the outputs gives them other nodes

    def jvp_fn(*tangents: Any) -> Any:
        if len(tangents) != len(shapes):
            raise TypeError(f"linearize: {len(shapes)} primals but {len(tangents)} tangents")
        given = [t for s, tree in zip(shapes, tangents, strict=True) for t in s.flatten_up_to(tree)]
        checked = [cotangent_for("linearize", t, x, "a tangent") for t, x in zip(given, run.tensors, strict=True)]
        deeper, scope = on_tensors(nested, checked, run.inputs)
        with scope:
            found = pushed(run, tensors, checked, deeper, roots)
        kind = _kind(primals, tangents, flat)
        return optree.tree_unflatten(structure, [in_kind(t, kind, deeper or run.met) for t in found])

    kind = _kind(primals, (), flat)
    out = optree.tree_unflatten(structure, [in_kind(x, kind, nested) for x in tensors])
    return (out, jvp_fn, tree_in_kind(aux, kind, nested)) if has_aux else (out, jvp_fn)
