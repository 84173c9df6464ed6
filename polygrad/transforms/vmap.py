"""``vmap``: a function of one example, applied to a batch of them at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import optree

from ..core.cell import Cell, enter, new_tensor, settle
from ..core.leaving import differentiating
from ..core.modes import GRAD, TRACE, get_mode
from ..errors import ShapeError, VmapError
from ..ops.creation import asarray, to_tensor
from ..ops.manipulation import broadcast_to, expand_dims, moveaxis
from .batching import Batched, innermost, is_level, level_of, lifted, mapping, retire
from .inputs import all_raw, flatten, in_kind, is_array, returns_in_kind

__all__ = ["vmap"]


def vmap(
    f: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
    randomness: Literal["error", "different", "same"] = "error",
) -> Callable[..., Any]:
    """A function that applies ``f``, written for one example, to a batch, in one run of array operations.

    Args:
        f: takes and returns pytrees of arrays. Inside it, arrays have no batch axis; it cannot read values that
            differ between examples (``if``, ``float(x)``) nor make shapes of them (masks, ``nonzero``).
        in_axes: which axis of the arguments is the batch: an int for all, or a tuple with an int, None (the same
            for all examples) or a pytree prefix of these for each positional argument. Keyword arguments are mapped
            over axis 0.
        out_axes: where the batch axis goes in the outputs: an int, or a pytree prefix of the output. None for what
            is the same for all examples.
        axis_size: the length of the batch, needed only where no argument says it.
        randomness: what random draws inside ``f`` do (``pg.random``, dropout in training): ``"error"`` refuses them,
            ``"different"`` draws independently for each example, ``"same"`` draws once for all.

    Returns:
        A function whose results are raw arrays where all arguments are, unless they carry a graph.

    Raises:
        ShapeError: if the lengths of the batch differ.
        VmapError: if ``f`` draws random numbers and ``randomness`` is ``"error"``, or reads what differs between examples.
        ValueError: for another ``randomness``.

    It nests with itself and every other transform. Tensors from outside (parameters) may be used in ``f`` and get
    their gradients. Random draws inside ``f`` are the same for all examples.

    >>> import numpy as np, polygrad as pg
    >>> x = np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> w = np.asarray([1.0, -1.0])
    >>> pg.vmap(pg.vecdot, in_axes=(0, None))(x, w)
    array([-1., -1., -1.])
    >>> pg.vmap(pg.grad(lambda w, x: pg.vecdot(w, x) ** 2), in_axes=(None, 0))(w, x)
    array([[ -2.,  -4.],
           [ -6.,  -8.],
           [-10., -12.]])
    >>> noisy = pg.vmap(lambda x: x + pg.random.normal(()), randomness="different")
    >>> len(set(noisy(np.zeros(5)).tolist()))
    5
    """
    if randomness not in ("error", "different", "same"):
        raise ValueError(f'vmap: randomness must be "error", "different" or "same", not {randomness!r}')

    @functools.wraps(f)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs))
        axes, names = _axes_of(in_axes, args, kwargs)
        tensors, size = _checked(leaves, axes, names, axis_size)
        place = innermost(_device_of(tensors, axes))
        level = level_of(place, size, randomness)
        called = [_entered(x, axis, level) for x, axis in zip(tensors, axes, strict=True)]
        inner_args, inner_kwargs = optree.tree_unflatten(structure, called)
        with mapping(level), differentiating(()):
            result = f(*inner_args, **inner_kwargs)
        outputs, out_structure = flatten(result)
        wanted = _spread(out_axes, result, "out_axes", "the output")
        raw = all_raw(args, kwargs)
        made = [_left(x, axis, level, raw) for x, axis in zip(outputs, wanted, strict=True)]
        del called, inner_args, inner_kwargs, result, outputs
        retire(level, size)
        return optree.tree_unflatten(out_structure, made)

    return returns_in_kind(mapped)


# -- axes --------------------------------------------------------------------------------------------


def _spread(prefix: Any, tree: Any, name: str, what: str) -> list[Any]:
    """One axis, or None, for each leaf of a tree, from a prefix of it."""
    if prefix is None or isinstance(prefix, int):
        return [prefix] * len(flatten(tree)[0])
    entries, structure = optree.tree_flatten(prefix, none_is_leaf=True)
    bad = next((e for e in entries if e is not None and not isinstance(e, int)), None)
    if bad is not None:
        raise TypeError(f"vmap: {name} must hold ints and None, not {type(bad).__name__}")
    try:
        parts = structure.flatten_up_to(tree)
    except ValueError as error:
        raise ValueError(f"vmap: {name}={prefix!r} is no prefix of the structure of {what}: {error}") from None
    return [axis for axis, part in zip(entries, parts, strict=True) for _ in flatten(part)[0]]


def _axes_of(in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """For each leaf of the arguments its axis and what to call it."""
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not (in_axes is None or isinstance(in_axes, (int, tuple))):
        raise TypeError(
            f"vmap: in_axes must be an int, None or a tuple with an entry for each argument, not {in_axes!r}"
        )
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ValueError(
            f"vmap: in_axes has {len(in_axes)} entries, but the function was called with {len(args)} arguments"
        )
    per_argument = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    axes: list[Any] = []
    names: list[str] = []
    # flatten orders keywords as optree orders a dictionary's keys
    labelled = [(f"argument {i}", x, a) for i, (x, a) in enumerate(zip(args, per_argument, strict=True))]
    labelled += [(f"argument {k!r}", kwargs[k], 0) for k in sorted(kwargs)]
    for label, tree, prefix in labelled:
        own = _spread(prefix, tree, "in_axes", label)
        axes += own
        names += [label + (f", leaf {k}" if len(own) > 1 else "") for k in range(len(own))]
    return axes, names


def _checked(leaves: list[Any], axes: list[Any], names: list[str], axis_size: int | None) -> tuple[list[Any], int]:
    """The arrays among the leaves as Tensors, and the length of the batch."""
    made = []
    sizes: dict[int, list[str]] = {} if axis_size is None else {axis_size: ["axis_size"]}
    for x, axis, name in zip(leaves, axes, names, strict=True):
        array = is_array(x)
        if array and not isinstance(x, Cell):
            x = to_tensor(x)
        if array:
            settle(x)
            if get_mode() & TRACE:
                enter(x)
        if axis is not None:
            if not array:
                raise TypeError(
                    f"vmap: {name} is {x!r} of type {type(x).__name__}, which has no axis to map over; pass an array, or "
                    "None for it in in_axes"
                )
            ndim = x.ndim
            if not -ndim <= axis < ndim:
                raise ShapeError(f"vmap: in_axes says axis {axis} for {name}, which has shape {x.shape}")
            sizes.setdefault(x.shape[axis], []).append(f"{name} (axis {axis} of shape {x.shape})")
        made.append(x)
    if not sizes:
        raise ValueError(
            "vmap: no argument is mapped, so the length of the batch is unknown; give in_axes or axis_size"
        )
    if len(sizes) > 1:
        told = "; ".join(f"{size} in {', '.join(where)}" for size, where in sizes.items())
        raise ShapeError(f"vmap: the mapped axes differ in length: {told}")
    return made, next(iter(sizes))


def _device_of(tensors: Sequence[Any], axes: Sequence[Any]) -> Any:
    """The device of the mapped arguments, the one furthest inside where they are of several vmaps."""
    from .. import registry

    devices = list({innermost(x._device): None for x, axis in zip(tensors, axes, strict=True) if axis is not None})
    if len(devices) > 1:
        places = " and ".join(device.name for device in devices)
        raise VmapError(f"vmap: the mapped arguments live on different devices: {places}; move one")
    return devices[0] if devices else registry.default_device()


# -- in and out --------------------------------------------------------------------------------------


def _entered(x: Any, axis: int | None, level: Any) -> Any:
    """An argument as the function sees it."""
    if not isinstance(x, Cell):
        return x
    if axis is None:
        made = lifted(x, level)
        return x if made is None else made
    backend = level.backend
    inner = lifted(x, backend.inner)
    inside = lifted(inner, level)._value.value  # a handle of its own: the caller's may get another value
    value = moveaxis(inside, axis, 0) if axis % inside.ndim else inside
    return new_tensor(Batched(value, True, backend), None, level)


def _left(x: Any, axis: int | None, level: Any, raw: bool) -> Any:
    """An output as the caller sees it."""
    tensor: Any = x if isinstance(x, Cell) else asarray(x)
    settle(tensor)
    backend = level.backend
    if tensor._device is level:
        array = tensor._value
        value, batched = array.value, array.batched
    else:
        value, batched = tensor, False
        if is_level(tensor._device) and lifted(tensor, level) is None:
            raise VmapError(
                f"vmap: an output is of another vmap ({tensor._device}), which has ended or is inside this one"
            )
    if batched and axis is None:
        raise VmapError("vmap: out_axes is None for an output that differs between the examples; give it an axis")
    if not batched and axis is not None:
        value = broadcast_to(expand_dims(value), (backend.size, *value.shape))
    if axis is not None:
        if not -value.ndim <= axis < value.ndim:
            raise ShapeError(f"vmap: out_axes says axis {axis} for an output of shape {value.shape[1:]}")
        if axis % value.ndim:
            value = moveaxis(value, 0, axis)
    keep = bool(get_mode() & GRAD)
    made = new_tensor(value._value, value._node if keep else None, value._device)
    made._saved = True  # several outputs may share memory
    return in_kind(made, raw, keep)
