"""Reverse mode: ``vjp``, and on top of it ``grad`` and ``value_and_grad``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import optree

from ..core.cell import Cell, apart, new_tensor
from ..core.tape import new_saved, pull
from ..errors import DTypeError, GradientError, ShapeError
from ..ops.creation import asarray
from ..ops.elementwise import conj
from .inputs import (
    Recorded,
    all_raw,
    check_holomorphic,
    cotangent_for,
    flatten,
    in_kind,
    on_tensors,
    record,
    returns_in_kind,
    split_arguments,
    tree_in_kind,
    zeros_for,
)
from .rules import noted_closures

__all__ = ["grad", "value_and_grad", "vjp"]


def pulled(run: Recorded, roots: Sequence[Any], cotangents: Sequence[Any], create_graph: bool) -> list[Any]:
    """The cotangents of a run's inputs, as Tensors.

    Args:
        roots: the nodes of the outputs, None for those without a graph.
        cotangents: of the outputs, or None.
    """
    pairs = [(n, g) for n, g in zip(roots, cotangents, strict=True) if n is not None and g is not None]
    found: dict[Any, Any] = {}
    if pairs:
        nodes = [n for n, _ in pairs]
        with noted_closures() as closures:
            found, _ = pull(nodes, [g if create_graph else g._value for _, g in pairs], run.inputs, create_graph)
        if not create_graph and run.meets(
            closures
        ):  # a rule of one's own closes over what an outer graph differentiates
            create_graph = True
            found, _ = pull(nodes, [g for _, g in pairs], run.inputs, True)
    results = []
    for tensor, node in zip(run.tensors, run.inputs, strict=True):
        g = found.get(node)
        if g is None:
            g = zeros_for(tensor)
        else:  # several inputs may have one cotangent
            g = apart(g) if create_graph else new_saved(g, None, node.device)
        results.append(g)
    return results


def regroup(shapes: Sequence[Any], leaves: Sequence[Any]) -> list[Any]:
    """Leaves back into the structures of the arguments they belong to."""
    made, position = [], 0
    for structure in shapes:
        made.append(optree.tree_unflatten(structure, leaves[position : position + structure.num_leaves]))
        position += structure.num_leaves
    return made


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of ``f(*primals)`` and the function that pulls cotangents back.

    Args:
        f: takes and returns pytrees of arrays.
        primals: where to evaluate; floating arrays, Tensors or numbers, or pytrees of these.
        has_aux: ``f`` returns ``(out, aux)``; ``aux`` is passed through.

    Returns:
        ``(out, vjp_fn)`` or ``(out, vjp_fn, aux)``. ``vjp_fn(cotangent)``, with the structure, shapes and dtypes
        of ``out``, gives one cotangent for each primal; it may be called many times.

    >>> import polygrad as pg
    >>> out, pullback = pg.vjp(lambda x: x * x, pg.asarray([1.0, 2.0]))
    >>> pullback(pg.asarray([1.0, 10.0]))
    (tensor([ 2., 40.], dtype=float64),)
    """
    run, flat, shapes = record("vjp", f, primals, {}, range(len(primals)))
    value, aux = _with_aux("vjp", run.result, has_aux)
    tensors, structure = run.outputs(value)
    nested = run.nested(tensors)
    raw = all_raw(*primals)
    roots = [x._node for x in tensors]  # a trace that reaches the outputs gives them other nodes

    def vjp_fn(cotangent: Any) -> tuple[Any, ...]:
        given = structure.flatten_up_to(cotangent)
        checked = [
            None if g is None or n is None else cotangent_for("vjp", g, x, "a cotangent")
            for g, x, n in zip(given, tensors, roots, strict=True)
        ]
        deeper, scope = on_tensors(
            nested, checked, [x if n is None else n for x, n in zip(tensors, roots, strict=True)]
        )
        with scope:
            found = pulled(run, roots, checked, deeper)
        deeper = deeper or run.met
        return tuple(regroup(shapes, [in_kind(g, x, deeper) for g, x in zip(found, flat, strict=True)]))

    out = optree.tree_unflatten(structure, [in_kind(x, raw, nested) for x in tensors])
    return (out, vjp_fn, tree_in_kind(aux, raw, nested)) if has_aux else (out, vjp_fn)


def _with_aux(name: str, result: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"{name}: with has_aux=True the function must return a pair (out, aux), not {type(result).__name__}"
        )
    return result[0], result[1]


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """A function giving both ``f``'s value and its gradient.

    Args:
        f: returns a scalar (shape ``()``), or ``(scalar, aux)`` if ``has_aux``.
        argnums: which positional arguments to differentiate with respect to: an int, or several.
        has_aux: ``f`` returns extra values, which are passed through: ``((value, aux), gradient)``.
        holomorphic: ``f`` is holomorphic, its output complex: the gradient is f'(z). Otherwise the output
            must be real, and the gradient with respect to ``z = x + iy`` is ``df/dx + i df/dy``.

    Raises:
        ShapeError: the output is not a scalar.
        DTypeError: it is not floating, or complex without ``holomorphic``; or an argument is not floating; or, with
            ``holomorphic``, one of them is not complex.

    >>> import numpy as np, polygrad as pg
    >>> pg.value_and_grad(lambda x: pg.sum(x**3))(np.asarray([1.0, 2.0]))
    (array(9.), array([ 3., 12.]))
    """

    @functools.wraps(f)
    def value_and_grad_f(*args: Any, **kwargs: Any) -> Any:
        chosen = split_arguments("grad", argnums, len(args))
        run, flat, shapes = record("grad", f, args, kwargs, chosen)
        value, aux = _with_aux("grad", run.result, has_aux)
        out = _scalar(value, holomorphic)
        nested = run.nested([out])
        one = new_tensor(out._device.unit(out._value), None, out._device)
        found = pulled(run, [out._node], [one], nested)
        if holomorphic:
            check_holomorphic("grad", run.tensors, [out])
            found = [conj(g) for g in found]
        grads = regroup(shapes, [in_kind(g, x, nested or run.met) for g, x in zip(found, flat, strict=True)])
        raw = all_raw(args, kwargs)
        shown = value if not isinstance(value, Cell) else in_kind(out, raw, nested)
        gradient = grads[0] if isinstance(argnums, int) else tuple(grads)
        return ((shown, tree_in_kind(aux, raw, nested)), gradient) if has_aux else (shown, gradient)

    return returns_in_kind(value_and_grad_f, argnums, value_first=True)


def _scalar(value: Any, holomorphic: bool) -> Any:
    leaves, _ = flatten(value)
    if len(leaves) != 1:
        raise GradientError(
            f"grad: the function must return one scalar, but it returned {type(value).__name__} with {len(leaves)} leaves; "
            "use has_aux=True for extra values, or pg.vjp"
        )
    out: Any = value if isinstance(value, Cell) else asarray(leaves[0])
    if tuple(out._value.shape) != ():
        raise ShapeError(
            f"grad: the function must return a scalar, but its output has shape {tuple(out._value.shape)}; reduce it "
            "(pg.sum, pg.mean), or use pg.jacrev or pg.vjp"
        )
    kind = out.dtype.kind
    if kind not in "fc":
        raise DTypeError(f"grad: the function's output has dtype {out.dtype}, which has no derivative")
    if kind == "c" and not holomorphic:
        raise DTypeError(
            f"grad: the function's output is {out.dtype}; take its real part, or say holomorphic=True if it is holomorphic"
        )
    return out


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The gradient function of a scalar function; see :func:`value_and_grad` for the arguments.

    Returns:
        A function giving the gradient with the structure of the argument (a tuple of them for several
        ``argnums``), or ``(gradient, aux)``.

    >>> import polygrad as pg
    >>> pg.grad(pg.grad(pg.sin))(1.0)
    -0.8414709848078965
    """
    both = value_and_grad(f, argnums, has_aux, holomorphic)

    @functools.wraps(f)
    def grad_f(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return returns_in_kind(grad_f, argnums)
