"""Applying an op: the hot path of eager code. Every line in the two callers is paid for by every op."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from ..errors import AnomalyError, PolygradError, ShapeError
from . import cell as _cell
from .cell import Cell, enter, mark_saved, settle
from .modes import ANOMALY, GRAD, TRACE, WATCHED, get_mode
from .node import Node, add_pin, extra_of, is_leaf, next_seq
from .op import Op, describe, is_inexact, item_node
from .operands import bind as _bind_operands
from .operands import number_or, operands, tensor, together

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["apply", "apply_many", "apply_multiple", "binary_caller", "bind", "unary_caller", "user_line"]

_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_NOTHING: Final = ((), ())
_new = object.__new__
_Tensor: Any = Cell


def bind(tensor_type: type, to_tensor: Callable[[Any], Any]) -> None:
    """Tell the core which class tensors are of and how to make one of anything else (``polygrad.tensor``)."""
    global _Tensor
    _cell.bind(tensor_type)
    _bind_operands(tensor_type, to_tensor)
    _Tensor = tensor_type


def unary_caller(declared: Op) -> Callable[[Any], Any]:
    forward = declared.forward
    pick = declared.picks[0]
    saves = bool(declared.saves[0])
    conjugate = declared.conjugate
    differentiable = declared.differentiable

    def call(x: Any, /) -> Any:
        if not isinstance(x, _Tensor):
            x = tensor(x)
        extra = x._extra
        if extra is not None and extra.base is not None:
            settle(x)
        device = x._device
        raw = x._value
        out = forward(device.raw, raw)
        if out.__class__ is not device.array_type:
            out = device.backend.as_raw(out, device)
        result = _new(_Tensor)
        result._value = out
        result._device = device
        result._saved = False
        result._extra = None
        mode = get_mode()
        parent = x._node
        if parent is not None and differentiable and mode & GRAD:
            result._node = node = Node()
            dtype = node.dtype = out.dtype
            node.op = conjugate if conjugate is not None and dtype in device.complex_dtypes else declared
            node.parents = (parent,)
            node.saved = (pick((out, raw)),)
            node.shape = out.shape
            node.device = device
            node.seq = next_seq()
            node.extra = node.pins = None
            if saves:
                if extra is None:
                    x._saved = True
                else:
                    _pin(node, x)
        else:
            result._node = None
        if mode & WATCHED:
            if mode & TRACE and enter(x):
                return call(x)
            _note_anomaly(declared, result, mode)
        return result

    return call


def binary_caller(
    declared: Op,
    scalars: bool,
    direct: Callable[[Any, Any], Any] | None,
    operator: bool,
    square: Op | None,
    misfit: Callable[[Any, Any, Exception], Exception] | None,
) -> Any:
    """The function that applies a binary op; with ``operator`` it answers NotImplemented to what is not an
    array, as the methods of Python's operators do."""
    forward = declared.forward
    explain = misfit or functools.partial(_misfit, declared)
    pick1, pick2 = (pick if names else None for pick, names in zip(declared.picks, declared.sources, strict=True))
    keeps_nothing = pick1 is None and pick2 is None
    saves = any(declared.saves)
    (first1, second1), (first2, second2) = ((0 in saved, 1 in saved) for saved in declared.saves)
    conjugate = declared.conjugate
    differentiable = declared.differentiable
    as_operands = operands(declared.name, scalars, operator)

    def call(x1: Any, x2: Any, /) -> Any:
        tensors = isinstance(x1, _Tensor) and isinstance(x2, _Tensor)
        if not (tensors and x1._device is x2._device and x1._device.promotes):
            given = as_operands(x1, x2)
            if given is None:
                return NotImplemented
            x1, x2 = given
        if x1._extra is not None:
            settle(x1)
        if x2._extra is not None:
            settle(x2)
        device = x1._device
        a, b = x1._value, x2._value
        try:
            out = forward(device.raw, a, b) if direct is None else direct(a, b)
        except Exception as error:
            raise _caused(explain(a, b, error), error)  # noqa: B904
        if out.__class__ is not device.array_type:
            out = device.backend.as_raw(out, device)
        result = _new(_Tensor)
        result._value = out
        result._device = device
        result._saved = False
        result._extra = result._node = None
        mode = get_mode()
        parent1, parent2 = x1._node, x2._node
        if (parent1 is not None or parent2 is not None) and differentiable and mode & GRAD:
            result._node = node = Node()
            dtype = node.dtype = out.dtype
            node.op = declared
            node.parents = (parent1, parent2)
            node.saved = _NOTHING
            if square is not None and x1 is x2:
                node.op = (square.conjugate or square) if dtype in device.complex_dtypes else square
                node.parents = (parent1,)
                node.saved = ((a,),)
            elif not keeps_nothing:
                if conjugate is not None and dtype in device.complex_dtypes:
                    node.op = conjugate
                record = (out, a, b)
                node.saved = (
                    None if parent1 is None else pick1(record) if pick1 is not None else (),
                    None if parent2 is None else pick2(record) if pick2 is not None else (),
                )
            node.shape = out.shape
            node.device = device
            node.seq = next_seq()
            node.extra = node.pins = None
            if saves:
                if (first1 and parent1 is not None) or (first2 and parent2 is not None):
                    x1._saved = True
                    if x1._extra is not None:
                        _pin(node, x1)
                if (second1 and parent1 is not None) or (second2 and parent2 is not None):
                    x2._saved = True
                    if x2._extra is not None:
                        _pin(node, x2)
        if mode & WATCHED:
            if mode & TRACE and enter(x1, x2):
                return call(number_or(x1), number_or(x2))
            _note_anomaly(declared, result, mode)
        return result

    return call


def apply(declared: Op, arrays: Sequence[Any], params: tuple[Any, ...] = ()) -> Tensor:
    """Apply an op to arrays (Tensors, or what :func:`polygrad.asarray` takes) and static parameters."""
    if len(arrays) == 1 and isinstance(arrays[0], _Tensor) and not declared.multiple:
        return _apply_one(declared, arrays[0], params)
    cells = together(declared.name, arrays)
    device = cells[0]._device
    for x in cells:
        if x._extra is not None:
            settle(x)
    values = [x._value for x in cells]
    try:
        out = declared.forward(device.raw, *values, *params)
    except Exception as error:
        raise _caused(_misfit(declared, *values, error), error)  # noqa: B904
    if out.__class__ is not device.array_type and not declared.multiple:
        out = device.backend.as_raw(out, device)
    mode = get_mode()
    node = None
    if mode & GRAD and declared.differentiable and any(x._node is not None for x in cells):
        node = Node()
        node.op = declared
        node.parents = tuple([x._node for x in cells])
        record = (out, *values, *params)
        picks = declared.picks
        node.saved = tuple([None if x._node is None else picks[i](record) for i, x in enumerate(cells)])
        describe(node, out, device, declared.multiple)
        for i, x in enumerate(cells):
            if x._node is not None:
                for s in declared.saves[i]:
                    _pin(node, cells[s])
    if mode & TRACE and enter(*cells):
        return apply(declared, cells, params)
    if declared.multiple:
        return _outputs(declared, node, out, device, mode)  # type: ignore[return-value]
    result = _cell.new_tensor(out, node, device)
    if mode & ANOMALY:
        _note_anomaly(declared, result, mode)
    return result


def _apply_one(declared: Op, x: Any, params: tuple[Any, ...]) -> Tensor:
    """``apply`` for one Tensor, the most common case: the same without the loops."""
    extra = x._extra
    if extra is not None and extra.base is not None:
        settle(x)
    device = x._device
    raw = x._value
    out = declared.forward(device.raw, raw, *params)
    if out.__class__ is not device.array_type:
        out = device.backend.as_raw(out, device)
    parent = x._node
    mode = get_mode()
    node = None
    if parent is not None and mode & GRAD and declared.vjps[0] is not None:
        node = Node()
        node.op = declared
        node.parents = (parent,)
        node.saved = (declared.picks[0]((out, raw, *params)),)
        node.shape = out.shape
        node.dtype = out.dtype
        node.device = device
        node.seq = next_seq()
        node.extra = node.pins = None
        if declared.saves[0]:
            if extra is None:
                x._saved = True
            else:
                _pin(node, x)
    result = _new(_Tensor)
    result._value = out
    result._device = device
    result._saved = False
    result._extra = None
    result._node = node
    if mode & WATCHED:
        if mode & TRACE and enter(x):
            return _apply_one(declared, x, params)
        _note_anomaly(declared, result, mode)
    return result  # type: ignore[no-any-return]


def apply_many(declared: Op, arrays: Sequence[Any], params: tuple[Any, ...] = ()) -> Tensor:
    """Apply a variadic op (``concat``): its forward takes a list of arrays, its one pair of rules may name
    ``x``, ``out``, the static parameters and the argument's ``index``."""
    cells = together(declared.name, arrays)
    device = cells[0]._device
    for x in cells:
        if x._extra is not None:
            settle(x)
    values = [x._value for x in cells]
    out = declared.forward(device.raw, values, *params)
    if type(out) is not device.array_type:
        out = device.backend.as_raw(out, device)
    mode = get_mode()
    node = None
    if mode & GRAD and any(x._node is not None for x in cells):
        many = _many(declared, len(cells))
        node = Node()
        node.op = many
        node.parents = tuple(x._node for x in cells)
        pick = declared.picks[0]
        node.saved = tuple(
            [
                None if x._node is None else pick((out, v, *params, i))
                for i, (x, v) in enumerate(zip(cells, values, strict=True))
            ]
        )
        describe(node, out, device, False)
        if declared.saves[0]:
            for x in cells:
                if x._node is not None:
                    _pin(node, x)
    if mode & TRACE and enter(*cells):
        return apply_many(declared, cells, params)
    result = _cell.new_tensor(out, node, device)
    if mode & ANOMALY:
        _note_anomaly(declared, result, mode)
    return result


def apply_multiple(declared: Op, arrays: Sequence[Any], params: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Apply an op with several outputs."""
    results: Any = apply(declared, arrays, params)
    return results  # type: ignore[no-any-return]


_many_ops: dict[tuple[str, int], Op] = {}


def _many(declared: Op, n: int) -> Op:
    """A variadic op's twin for n arrays."""
    found = _many_ops.get((declared.name, n))
    if found is None:
        found = Op.__new__(Op)
        for slot in ("name", "forward", "broadcasts", "multiple", "partial", "same_shape", "conjugate"):
            setattr(found, slot, getattr(declared, slot))
        for slot in ("vjps", "jvps", "picks"):
            setattr(found, slot, getattr(declared, slot) * n)
        found.sources = tuple(tuple(None if s is None or s < 0 else i for s in declared.sources[0]) for i in range(n))
        found.saves = tuple((i,) if declared.saves[0] else () for i in range(n))
        _many_ops[declared.name, n] = found
    return found


def _outputs(declared: Op, node: Node | None, out: Any, device: Any, mode: int) -> tuple[Any, ...]:
    results = []
    for i, value in enumerate(out):
        if type(value) is not device.array_type:
            value = device.backend.as_raw(value, device)
        own = item_node(node, i, value) if node is not None and is_inexact(device, value) else None
        result = _cell.new_tensor(value, own, device)
        if mode & ANOMALY:
            _note_anomaly(declared, result, mode)
        results.append(result)
    return tuple(results)


def _misfit(declared: Op, *given: Any) -> Exception:
    """Name the shapes that do not fit, if a library failed because of them; else return its own error."""
    *values, error = given
    if declared.broadcasts and not isinstance(error, PolygradError):
        shapes = [tuple(getattr(v, "shape", ())) for v in values]  # a Python number has none
        for lengths in zip_longest(*[reversed(s) for s in shapes], fillvalue=1):
            if len({n for n in lengths if n != 1}) > 1:
                text = " and ".join(map(str, shapes)) if len(shapes) < 3 else ", ".join(map(str, shapes))
                return ShapeError(
                    f"{declared.name}: shapes {text} do not broadcast: counted from the end, lengths must be equal or 1"
                )
    return error  # type: ignore[no-any-return]


def _caused(explained: Exception, error: Exception) -> Exception:
    """The explanation of an error, with the error as its cause unless it is the error itself."""
    if explained is not error:
        explained.__cause__ = error
    return explained


def _pin(node: Node, x: Any) -> None:
    """The node saved the memory of this cell."""
    pin = mark_saved(x)
    if pin is not None:
        add_pin(node, pin)


# -- anomalies ---------------------------------------------------------------------------------------


def user_line() -> str:
    """The innermost line of the calling program that is not polygrad's."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "an unknown line" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _note_anomaly(declared: Op, result: Any, mode: int) -> None:
    """Under ``detect_anomaly``: check an op's result, and note the user's line and the saved arrays' sums."""
    if not mode & ANOMALY:
        return
    where = user_line()
    backend = result._device.backend
    bad = backend.not_finite(result._value)
    if bad is not None:
        raise AnomalyError(f"forward of {declared.name!r} made {bad}, called at {where}")
    node = result._node
    if node is None or is_leaf(node):
        return
    extra = extra_of(node)
    extra.where = where
    arrays = [v for args in node.saved or () if args for v in args if isinstance(v, backend.array_types)]
    extra.checksums = [(v, backend.checksum(v)) for v in arrays]
