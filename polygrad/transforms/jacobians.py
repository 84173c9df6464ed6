"""Whole Jacobians and Hessians, and products with Hessians."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import optree

from ..core.cell import new_tensor
from ..errors import DTypeError
from ..ops.elementwise import conj
from ..ops.manipulation import moveaxis, reshape, stack
from .inputs import (
    Recorded,
    all_raw,
    check_holomorphic,
    in_kind,
    record,
    returns_in_kind,
    split_arguments,
    tree_in_kind,
)
from .jvp import jvp, pushed
from .vjp import _with_aux, grad, pulled, regroup

__all__ = ["hessian", "hvp", "jacfwd", "jacrev"]


def _unit_vectors(tensor: Any) -> Any:
    """For each element of a Tensor, the array that is 1 there and 0 elsewhere."""
    device, shape = tensor._device, tuple(tensor._value.shape)
    size = tensor.size
    rows = device.raw.eye(size, dtype=tensor._value.dtype)
    for i in range(size):
        yield new_tensor(device.raw.reshape(rows[i, ...], shape), None, device)


def _prepare(
    name: str, f: Callable[..., Any], args: Any, kwargs: Any, argnums: Any, has_aux: bool, holomorphic: bool
) -> tuple[Recorded, list[Any], list[Any], list[Any], Any, Any]:
    chosen = split_arguments(name, argnums, len(args))
    run, flat, shapes = record(name, f, args, kwargs, chosen)
    value, aux = _with_aux(name, run.result, has_aux)
    tensors, structure = run.outputs(value)
    if holomorphic:
        check_holomorphic(name, run.tensors, tensors)
    for x in run.tensors if name == "jacfwd" else [*tensors, *run.tensors]:  # a complex output moves as it does
        if x.dtype.kind == "c" and not holomorphic:
            raise DTypeError(
                f"{name}: complex input or output ({x.dtype}); say holomorphic=True if the function is holomorphic"
            )
    return run, flat, shapes, tensors, structure, aux


def jacrev(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Jacobian by reverse mode, one pull for each output element: for few outputs and many inputs.

    Returns:
        A function whose result has, for each output leaf of shape ``s``, and in it for each input leaf of
        shape ``t``, an array of shape ``s + t``.

    >>> import numpy as np, polygrad as pg
    >>> pg.jacrev(lambda x: x * x)(np.asarray([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    @functools.wraps(f)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        run, flat, shapes, tensors, structure, aux = _prepare("jacrev", f, args, kwargs, argnums, has_aux, holomorphic)
        nested = run.nested(tensors)
        blocks = []
        for k, out in enumerate(tensors):
            rows = []
            for unit in _unit_vectors(out):
                seeds = [unit if j == k else None for j in range(len(tensors))]
                found = pulled(run, [x._node for x in tensors], seeds, nested)
                rows.append([conj(g) for g in found] if holomorphic else found)
            blocks.append(_columns(rows, out, run, flat, nested or run.met))
        return _assemble(blocks, structure, shapes, argnums, tree_in_kind(aux, all_raw(args), nested), has_aux)

    return returns_in_kind(jacobian, argnums)


def _columns(rows: list[list[Any]], out: Any, run: Recorded, flat: list[Any], nested: bool) -> list[Any]:
    """For one output, its derivative by each input, of shape output + input."""
    made = []
    for i, (x, given) in enumerate(zip(run.tensors, flat, strict=True)):
        shape = (*out._value.shape, *x._value.shape)
        if rows:
            whole = reshape(stack([row[i] for row in rows]), shape)
        else:
            whole = new_tensor(x._device.raw.zeros(shape, dtype=x._value.dtype), None, x._device)
        made.append(in_kind(whole, given if shape == () else not hasattr(given, "_node"), nested))
    return made


def _assemble(blocks: list[list[Any]], structure: Any, shapes: list[Any], argnums: Any, aux: Any, has_aux: bool) -> Any:
    per_output = []
    for block in blocks:
        grouped = regroup(shapes, block)
        per_output.append(grouped[0] if isinstance(argnums, int) else tuple(grouped))
    result = optree.tree_unflatten(structure, per_output)
    return (result, aux) if has_aux else result


def jacfwd(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Jacobian by forward mode, one push for each input element: for few inputs and many outputs.

    Returns:
        As :func:`jacrev`.

    >>> import numpy as np, polygrad as pg
    >>> pg.jacfwd(lambda x: pg.stack([x, x**2]))(2.0)
    array([1., 4.])
    """

    @functools.wraps(f)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        run, flat, shapes, tensors, structure, aux = _prepare("jacfwd", f, args, kwargs, argnums, has_aux, holomorphic)
        nested = run.nested(tensors)
        columns: list[list[Any]] = []  # for each input, the outputs' derivatives
        zeros = [
            new_tensor(x._device.raw.zeros(tuple(x._value.shape), dtype=x._value.dtype), None, x._device)
            for x in run.tensors
        ]
        for i, x in enumerate(run.tensors):
            moved = [
                pushed(run, tensors, [unit if j == i else z for j, z in enumerate(zeros)], nested)
                for unit in _unit_vectors(x)
            ]
            columns.append([_along_last(moved, k, out, x) for k, out in enumerate(tensors)])
        blocks = [
            [
                in_kind(
                    columns[i][k],
                    given if columns[i][k].shape == () else not hasattr(given, "_node"),
                    nested or run.met,
                )
                for i, given in enumerate(flat)
            ]
            for k in range(len(tensors))
        ]
        return _assemble(blocks, structure, shapes, argnums, tree_in_kind(aux, all_raw(args), nested), has_aux)

    return returns_in_kind(jacobian, argnums)


def _along_last(moved: list[list[Any]], k: int, out: Any, x: Any) -> Any:
    shape = (*out._value.shape, *x._value.shape)
    moves = out._value.dtype in out._device.inexact_dtypes  # truth and whole numbers do not: zeros, as in reverse mode
    if not moved or not moves:
        dtype = out._value.dtype if moves else x._value.dtype
        return new_tensor(out._device.raw.zeros(shape, dtype=dtype), None, out._device)
    return reshape(moveaxis(stack([row[k] for row in moved]), 0, -1), shape)


def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The matrix of second derivatives of a scalar function: forward over reverse.

    >>> import numpy as np, polygrad as pg
    >>> pg.hessian(lambda x: pg.sum(x**3))(np.asarray([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacfwd(jacrev(f, argnums, has_aux), argnums, has_aux)


def hvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of a scalar function's Hessian with a vector, at the cost of a few gradients.

    Args:
        f: returns a scalar.
        primals, tangents: tuples of equal structure and shapes: where, and the vector.

    Returns:
        The product, with the structure of ``primals`` (the argument itself for one).

    >>> import numpy as np, polygrad as pg
    >>> pg.hvp(lambda x: pg.sum(x**3), (np.asarray([1.0, 2.0]),), (np.asarray([1.0, 0.0]),))
    array([6., 0.])
    """
    n = len(primals)
    _, product = jvp(grad(f, 0 if n == 1 else tuple(range(n))), primals, tangents)
    return product
