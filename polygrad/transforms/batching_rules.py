"""Batching rules: the standard's functions on :class:`~polygrad.transforms.batching.Batched` arrays.

Each calls polygrad's own function on the Tensors inside, with axes moved one up and shapes led by the batch.
An operand that is the same for all examples has no batch axis, and keeps it so wherever broadcasting will do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Final

from ..array_api import FUNCTIONS
from ..errors import VmapError
from ..ops import extra, slopes, strong
from ..ops.indexing import entries_replaced, scatter_add
from ..ops.keys import expand, is_basic
from ..ops.manipulation import _full_shape, broadcast_shapes, normal_axes, normal_axis
from .batching_keys import Plan, only_mask

if TYPE_CHECKING:
    from .batching import Batched, BatchingBackend

__all__ = ["Rules", "SpecialRules"]

_ELEMENTWISE: Final = (
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_invert",
    "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "clip", "conj", "copysign",
    "cos", "cosh", "divide", "equal", "exp", "expm1", "floor", "floor_divide", "greater", "greater_equal", "hypot",
    "imag", "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log10", "log1p", "log2", "logaddexp",
    "logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "multiply", "negative",
    "nextafter", "not_equal", "positive", "pow", "real", "reciprocal", "remainder", "round", "sign", "signbit",
    "sin", "sinh", "sqrt", "square", "subtract", "tan", "tanh", "trunc", "where",
)  # fmt: skip
_REDUCTIONS: Final = (
    "all", "any", "max", "mean", "min", "prod", "std", "sum", "var",
)  # fmt: skip
_SEARCHES: Final = (
    "argmax", "argmin",
)  # fmt: skip
_RUNNING: Final = (
    "argsort", "cumulative_prod", "cumulative_sum", "sort",
)  # fmt: skip
_CREATION: Final = (
    "arange", "empty", "eye", "full", "linspace", "ones", "zeros",
)  # fmt: skip
_ASKING: Final = (
    "can_cast", "finfo", "iinfo", "isdtype", "result_type",
)  # fmt: skip
_DATA_DEPENDENT: Final = (
    "nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values",
)  # fmt: skip
_METHODS: Final = (
    "asarray", "astype", "broadcast_arrays", "broadcast_to", "concat", "empty_like", "expand_dims", "flip",
    "full_like", "getitem", "log_softmax_over", "logsumexp_over", "matmul", "matmul_2d", "matrix_transpose", "moveaxis",
    "nan_extreme", "ones_like", "permute_dims", "repeat", "reshape", "roll", "running_logsumexp", "scatter_add",
    "searchsorted", "sliding_windows", "softmax_over", "squeeze", "stack", "std_over", "take",
    "take_along_axis", "tensordot", "tile", "tril", "triu", "unstack", "vecdot", "with_entries", "zeros_like",
)  # fmt: skip

Made = Any


class Rules:
    """The rules of one level."""

    def __init__(self, backend: BatchingBackend) -> None:
        from .batching import Batched

        self.backend = backend
        self.inner = backend.inner
        self.n = backend.size
        self._batched = Batched

    def namespace(self) -> dict[str, Any]:
        """Every function by name."""
        made: dict[str, Any] = {name: getattr(self, name) for name in _METHODS}
        made |= {name: self._elementwise_rule(FUNCTIONS[name]) for name in _ELEMENTWISE}
        made |= {name: self._reduction_rule(FUNCTIONS[name]) for name in _REDUCTIONS}
        made |= {name: self._search_rule(FUNCTIONS[name]) for name in _SEARCHES}
        made |= {name: self._running_rule(FUNCTIONS[name]) for name in _RUNNING}
        made |= {name: self._creation_rule(name) for name in _CREATION}
        made |= {name: self._data_dependent_rule(name) for name in _DATA_DEPENDENT}
        made |= {name: _delegated(self.inner.raw, name) for name in _ASKING}
        made |= {
            "relu": self._elementwise_rule(extra.relu),
            "clip_between": self._elementwise_rule(FUNCTIONS["clip"]),
            "sigmoid": self._elementwise_rule(extra.sigmoid),
            "floor_quotient": self._elementwise_rule(FUNCTIONS["floor_divide"]),
            **{name: self._elementwise_rule(f) for name, f in (slopes.ON_TENSORS | strong.ON_TENSORS).items()},
        }
        made |= self.backend.native_dtypes
        return made | {"newaxis": None, "e": 2.718281828459045, "pi": 3.141592653589793, "inf": float("inf"),
                       "nan": float("nan")}  # fmt: skip

    # -- helpers -----------------------------------------------------------------------------------

    def wrap(self, value: Any, batched: bool) -> Batched:
        """A Tensor of the inner device as an array of this level."""
        return self._batched(value, batched, self.backend)

    def full(self, x: Any) -> Any:
        """The Tensor with the batch in front, repeated where it is the same for all examples."""
        if x.batched:
            return x.value
        shape = tuple(x.value.shape)
        return FUNCTIONS["broadcast_to"](_reshape(x.value, (1, *shape)), (self.n, *shape))

    def padded(self, x: Any, ndim: int) -> Any:
        """The Tensor with axes of length 1 in front of its example's, so that examples broadcast as they do alone."""
        shape = x.shape
        if not x.batched or len(shape) >= ndim:
            return x.value
        return _reshape(x.value, (self.n, *(1,) * (ndim - len(shape)), *shape))

    def elementwise(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> Batched:
        """A function of arrays that broadcast together."""
        ndim, batched = 0, False
        for a in args:
            if a.__class__ is self._batched:
                batched = batched or a.batched
                ndim = max(ndim, a.ndim)
        if not batched:
            return self.wrap(f(*[a.value if a.__class__ is self._batched else a for a in args], **kwargs), False)
        values = [self.padded(a, ndim) if a.__class__ is self._batched else a for a in args]
        return self.wrap(f(*values, **kwargs), True)

    def _elementwise_rule(self, f: Callable[..., Any]) -> Made:
        def rule(*args: Any, **kwargs: Any) -> Batched:
            return self.elementwise(f, *args, **kwargs)

        return rule

    def _reduction_rule(self, f: Callable[..., Any]) -> Made:
        def rule(x: Any, axis: Any = None, keepdims: bool = False, **kwargs: Any) -> Batched:
            if not x.batched:
                return self.wrap(f(x.value, axis=axis, keepdims=keepdims, **kwargs), False)
            axes = normal_axes("reduction", axis, x.ndim)
            if not axes:  # of each element alone
                value = _reshape(x.value, (*x.value.shape, 1))
                return self.wrap(f(value, axis=-1, **kwargs), True)
            return self.wrap(f(x.value, axis=tuple(a + 1 for a in axes), keepdims=keepdims, **kwargs), True)

        return rule

    def _search_rule(self, f: Callable[..., Any]) -> Made:
        def rule(x: Any, axis: int | None = None, keepdims: bool = False) -> Batched:
            if not x.batched:
                return self.wrap(f(x.value, axis=axis, keepdims=keepdims), False)
            if axis is not None:
                return self.wrap(f(x.value, axis=normal_axis("argmax", axis, x.ndim) + 1, keepdims=keepdims), True)
            made = f(_reshape(x.value, (self.n, prod(x.shape))), axis=1)
            return self.wrap(_reshape(made, (self.n, *(1,) * x.ndim)) if keepdims else made, True)

        return rule

    def _running_rule(self, f: Callable[..., Any]) -> Made:
        default = None if f.__name__.startswith("cumulative") else -1

        def rule(x: Any, axis: int | None = default, **kwargs: Any) -> Batched:
            if x.batched:
                axis = normal_axis(f.__name__, 0 if axis is None else axis, x.ndim) + 1
            return self.wrap(f(x.value, axis=axis, **kwargs), x.batched)

        return rule

    def _creation_rule(self, name: str) -> Made:
        def rule(*args: Any, **kwargs: Any) -> Batched:
            return self.backend.one(getattr(self.inner.raw, name)(*args, **kwargs))

        return rule

    def _data_dependent_rule(self, name: str) -> Made:
        f = FUNCTIONS[name]

        def rule(x: Any) -> Any:
            if x.batched:
                raise VmapError(
                    f"{name}: the shape of the result depends on the values, so it differs between the examples of a "
                    "batch; inside vmap use pg.where with a mask, or loop over the examples"
                )
            made = f(x.value)
            return tuple(self.wrap(v, False) for v in made) if isinstance(made, tuple) else self.wrap(made, False)

        return rule

    # Kernels that are ops of their own, so that a graph outside has the op's rule, exact at kinks and infinities.

    def softmax_over(self, x: Any, axes: tuple[int, ...]) -> Batched:
        return self._over(lambda v, own: extra.softmax(v, axis=own), x, axes)

    def log_softmax_over(self, x: Any, axes: tuple[int, ...]) -> Batched:
        return self._over(lambda v, own: extra.log_softmax(v, axis=own), x, axes)

    def logsumexp_over(self, x: Any, axes: tuple[int, ...], keepdims: bool) -> Batched:
        return self._over(lambda v, own: extra.logsumexp(v, axis=own, keepdims=keepdims and bool(axes)), x, axes)

    def running_logsumexp(self, x: Any, axis: int) -> Batched:
        return self.wrap(extra.cumulative_logsumexp(x.value, axis=axis + x.batched), x.batched)

    def nan_extreme(self, x: Any, axes: tuple[int, ...], keepdims: bool, largest: bool) -> Batched:
        from ..ops import nan_statistics

        f = nan_statistics.nanmax if largest else nan_statistics.nanmin
        return self.wrap(f(x.value, tuple(a + x.batched for a in axes), keepdims), x.batched)

    def sliding_windows(self, x: Any, window: tuple[int, ...], axes: tuple[int, ...]) -> Batched:
        from ..ops.selection import sliding_window_view

        return self.wrap(sliding_window_view(x.value, window, tuple(a + x.batched for a in axes)), x.batched)

    def std_over(self, x: Any, axes: tuple[int, ...], correction: float, keepdims: bool) -> Batched:
        def f(v: Any, own: tuple[int, ...]) -> Any:
            return FUNCTIONS["std"](v, axis=own, correction=correction, keepdims=keepdims and bool(axes))

        return self._over(f, x, axes)

    def _over(self, f: Callable[..., Any], x: Any, axes: tuple[int, ...]) -> Batched:
        if not x.batched or axes:
            return self.wrap(f(x.value, tuple(a + x.batched for a in axes)), x.batched)
        value = f(_reshape(x.value, (*x.value.shape, 1)), (-1,))  # of each element alone
        return self.wrap(_reshape(value, x.value.shape), True)

    # -- creation and types ------------------------------------------------------------------------

    def asarray(self, x: Any, dtype: Any = None, copy: bool | None = None) -> Batched:
        if x.__class__ is not self._batched:
            return self.backend.one(self.inner.raw.asarray(x, dtype=dtype))
        return x if dtype is None else self.astype(x, dtype)

    def astype(self, x: Any, dtype: Any, copy: bool = True) -> Batched:
        return self.wrap(FUNCTIONS["astype"](x.value, dtype), x.batched)

    def zeros_like(self, x: Any, dtype: Any = None) -> Batched:
        return self.backend.one(self.inner.raw.zeros(x.shape, dtype=x.dtype if dtype is None else dtype))

    empty_like = zeros_like

    def ones_like(self, x: Any, dtype: Any = None) -> Batched:
        return self.backend.one(self.inner.raw.ones(x.shape, dtype=x.dtype if dtype is None else dtype))

    def full_like(self, x: Any, fill_value: Any, dtype: Any = None) -> Batched:
        return self.backend.one(self.inner.raw.full(x.shape, fill_value, dtype=x.dtype if dtype is None else dtype))

    # -- manipulation ------------------------------------------------------------------------------

    def broadcast_to(self, x: Any, shape: tuple[int, ...]) -> Batched:
        shape = tuple(shape)
        if not x.batched:
            return self.wrap(FUNCTIONS["broadcast_to"](x.value, shape), False)
        return self.wrap(FUNCTIONS["broadcast_to"](self.padded(x, len(shape)), (self.n, *shape)), True)

    def broadcast_arrays(self, *arrays: Any) -> tuple[Batched, ...]:
        shape = broadcast_shapes(*(x.shape for x in arrays))
        return tuple(self.broadcast_to(x, shape) for x in arrays)

    def reshape(self, x: Any, shape: Any, copy: bool | None = None) -> Batched:
        shape = _full_shape(x.shape, (shape,) if isinstance(shape, int) else tuple(shape))
        return self.wrap(_reshape(x.value, (self.n, *shape) if x.batched else shape), x.batched)

    def permute_dims(self, x: Any, axes: Sequence[int]) -> Batched:
        order = normal_axes("permute_dims", tuple(axes), x.ndim)
        order = (0, *(a + 1 for a in order)) if x.batched else order
        return self.wrap(FUNCTIONS["permute_dims"](x.value, order), x.batched)

    def moveaxis(self, x: Any, source: Any, destination: Any) -> Batched:
        moved = tuple(a + x.batched for a in normal_axes("moveaxis", source, x.ndim))
        places = tuple(a + x.batched for a in normal_axes("moveaxis", destination, x.ndim))
        return self.wrap(FUNCTIONS["moveaxis"](x.value, moved, places), x.batched)

    def matrix_transpose(self, x: Any) -> Batched:
        return self.wrap(FUNCTIONS["matrix_transpose"](x.value), x.batched)

    def expand_dims(self, x: Any, axis: Any = 0) -> Batched:
        axes = normal_axes("expand_dims", axis, x.ndim + (len(axis) if isinstance(axis, tuple) else 1))
        return self.wrap(FUNCTIONS["expand_dims"](x.value, axis=tuple(a + x.batched for a in axes)), x.batched)

    def squeeze(self, x: Any, axis: Any) -> Batched:
        axes = tuple(a + x.batched for a in normal_axes("squeeze", axis, x.ndim))
        return self.wrap(FUNCTIONS["squeeze"](x.value, axes) if axes else x.value, x.batched)

    def flip(self, x: Any, axis: Any = None) -> Batched:
        axes = tuple(a + x.batched for a in normal_axes("flip", axis, x.ndim))
        return self.wrap(FUNCTIONS["flip"](x.value, axis=axes) if axes else x.value, x.batched)

    def roll(self, x: Any, shift: Any, axis: Any = None) -> Batched:
        if not x.batched:
            return self.wrap(FUNCTIONS["roll"](x.value, shift, axis=axis), False)
        if axis is None:
            flat = FUNCTIONS["roll"](_reshape(x.value, (self.n, prod(x.shape))), shift, axis=1)
            return self.wrap(_reshape(flat, x.value.shape), True)
        axes = axis if isinstance(axis, tuple) else (axis,)
        places = tuple(normal_axis("roll", a, x.ndim) + 1 for a in axes)
        shift = shift if isinstance(shift, tuple) else (shift,) * len(places)
        return self.wrap(FUNCTIONS["roll"](x.value, shift, axis=places), True)

    def repeat(self, x: Any, repeats: Any, axis: int | None = None) -> Batched:
        if repeats.__class__ is self._batched:
            if repeats.batched:
                raise VmapError(
                    "repeat: repeats of each example's own would give each its own shape; inside vmap they must be the "
                    "same for all examples"
                )
            repeats = repeats.value
        if axis is None:
            x, axis = self.reshape(x, (-1,)), 0
        return self.wrap(
            FUNCTIONS["repeat"](x.value, repeats, axis=normal_axis("repeat", axis, x.ndim) + x.batched), x.batched
        )

    def tile(self, x: Any, repetitions: tuple[int, ...]) -> Batched:
        if not x.batched:
            return self.wrap(FUNCTIONS["tile"](x.value, repetitions), False)
        value = self.padded(x, len(repetitions))
        times = (1,) * (value.ndim - len(repetitions)) + tuple(repetitions)
        return self.wrap(FUNCTIONS["tile"](value, times), True)

    def tril(self, x: Any, k: int = 0) -> Batched:
        return self.wrap(FUNCTIONS["tril"](x.value, k=k), x.batched)

    def triu(self, x: Any, k: int = 0) -> Batched:
        return self.wrap(FUNCTIONS["triu"](x.value, k=k), x.batched)

    def concat(self, arrays: Sequence[Any], axis: int | None = 0) -> Batched:
        return self._joined("concat", arrays, axis, 0)

    def stack(self, arrays: Sequence[Any], axis: int = 0) -> Batched:
        return self._joined("stack", arrays, axis, 1)

    def _joined(self, name: str, arrays: Sequence[Any], axis: Any, more: int) -> Batched:
        if not any(x.batched for x in arrays):
            return self.wrap(FUNCTIONS[name]([x.value for x in arrays], axis=axis), False)
        place = normal_axis(name, axis, arrays[0].ndim + more) + 1
        return self.wrap(FUNCTIONS[name]([self.full(x) for x in arrays], axis=place), True)

    def unstack(self, x: Any, axis: int = 0) -> tuple[Batched, ...]:
        place = normal_axis("unstack", axis, x.ndim) + x.batched
        return tuple(self.wrap(v, x.batched) for v in FUNCTIONS["unstack"](x.value, axis=place))

    # -- indexing ----------------------------------------------------------------------------------

    def getitem(self, x: Any, key: Any) -> Batched:
        if is_basic(key):
            entries = tuple(expand(x.shape, key))  # errors speak of the example
            return self.wrap(x.value[(slice(None), *entries) if x.batched else entries], x.batched)
        plan = Plan(self, x.shape, key)
        if not x.batched and not plan.batched:
            return self.wrap(x.value[plan.key(False)], False)
        moveaxis = FUNCTIONS["moveaxis"]
        if not x.batched:  # the batch is the first of the index arrays' axes
            return self.wrap(moveaxis(x.value[plan.key(False)], plan.first, 0), True)
        return self.wrap(plan.from_inside(x.value[plan.key(True)]), True)

    def with_entries(self, x: Any, key: Any, value: Any) -> Batched:
        if value.__class__ is not self._batched:
            value = self.asarray(value, dtype=x.dtype)
        mask = only_mask(key)
        if mask is not None and value.ndim == 0:
            condition = self.reshape(mask, (*mask.shape, *(1,) * (x.ndim - mask.ndim)))
            return self.elementwise(FUNCTIONS["where"], condition, value, x)
        plan = Plan(self, x.shape, key)
        if not (x.batched or value.batched or plan.batched):
            return self.wrap(entries_replaced(x.value, plan.key(False), value.value), False)
        return self.wrap(entries_replaced(self.full(x), plan.key(True), plan.to_inside(value)), True)

    def scatter_add(self, shape: Any, dtype: Any, parts: Sequence[tuple[Any, Any]]) -> Batched:
        shape = tuple(shape)
        plans = [(Plan(self, shape, key), values) for key, values in parts]
        if not any(plan.batched or values.batched for plan, values in plans):
            return self.wrap(scatter_add(shape, dtype, [(p.key(False), v.value) for p, v in plans]), False)
        inside = [(p.key(True), p.to_inside(v)) for p, v in plans]
        return self.wrap(scatter_add((self.n, *shape), dtype, inside), True)

    def take(self, x: Any, indices: Any, axis: int | None = None) -> Batched:
        place = normal_axis("take", 0 if axis is None else axis, x.ndim)
        if not indices.batched:
            return self.wrap(FUNCTIONS["take"](x.value, indices.value, axis=place + x.batched), x.batched)
        if not x.batched:
            flat = FUNCTIONS["take"](x.value, _reshape(indices.value, (-1,)), axis=place)
            made = _reshape(flat, (*x.shape[:place], *indices.value.shape, *x.shape[place + 1 :]))
            return self.wrap(FUNCTIONS["moveaxis"](made, place, 0), True)
        return self.getitem(x, (slice(None),) * place + (indices,))

    def take_along_axis(self, x: Any, indices: Any, axis: int = -1) -> Batched:
        place = normal_axis("take_along_axis", axis, x.ndim)
        if not x.batched and not indices.batched:
            return self.wrap(FUNCTIONS["take_along_axis"](x.value, indices.value, axis=place), False)
        made = FUNCTIONS["take_along_axis"](self.full(x), self.full(indices), axis=place + 1)
        return self.wrap(made, True)

    # A batch of sorted arrays: the place of a number is how many stand before it; nan stands behind all.
    def searchsorted(self, x1: Any, x2: Any, side: str = "left") -> Batched:
        if not x1.batched:
            return self.wrap(FUNCTIONS["searchsorted"](x1.value, x2.value, side=side), x2.batched)
        entries = self.reshape(x1, (*(1,) * x2.ndim, x1.shape[0]))
        wanted = self.expand_dims(x2, axis=-1)
        raw = self.backend.level.raw
        before = raw.less(entries, wanted) if side == "left" else raw.less_equal(entries, wanted)
        before = before | ((wanted != wanted) & ((entries == entries) | (side == "right")))
        return raw.sum(self.astype(before, self.backend.native_dtypes["int64"]), axis=-1)  # type: ignore[no-any-return]

    # -- linear algebra ----------------------------------------------------------------------------

    def matmul(self, x1: Any, x2: Any) -> Batched:
        matmul = FUNCTIONS["matmul"]
        a, b = x1.ndim, x2.ndim
        if not (x1.batched or x2.batched):
            return self.wrap(matmul(x1.value, x2.value), False)
        if a == 0 or b == 0 or x1.shape[-1] != x2.shape[-2 if b > 1 else 0]:
            raise ValueError("the examples' shapes do not fit")
        if not x2.batched and b <= 2:  # one matrix for all: one product over all rows
            rows = matmul(_reshape(x1.value, (self.n * prod(x1.shape[:-1]), x1.shape[-1])), x2.value)
            return self.wrap(_reshape(rows, (self.n, *x1.shape[:-1], *x2.shape[1:])), True)
        if not x1.batched and a <= 2 and b == 1:
            return self.wrap(matmul(x2.value, FUNCTIONS["matrix_transpose"](x1.value) if a == 2 else x1.value), True)
        first = self.expand_dims(x1, axis=0) if a == 1 else x1
        second = self.expand_dims(x2, axis=1) if b == 1 else x2
        ndim = max(first.ndim, second.ndim)
        made = matmul(self.padded(first, ndim), self.padded(second, ndim))
        dropped = ((made.ndim - 2,) if a == 1 else ()) + ((made.ndim - 1,) if b == 1 else ())
        return self.wrap(FUNCTIONS["squeeze"](made, dropped) if dropped else made, True)

    def matmul_2d(self, x1: Any, x2: Any) -> Batched:
        return self.matmul(x1, x2)

    def tensordot(self, x1: Any, x2: Any, axes: Any = 2) -> Batched:
        if isinstance(axes, int):
            axes = (tuple(range(x1.ndim - axes, x1.ndim)), tuple(range(axes)))
        axes1, axes2 = normal_axes("tensordot", axes[0], x1.ndim), normal_axes("tensordot", axes[1], x2.ndim)
        free1 = tuple(a for a in range(x1.ndim) if a not in axes1)
        free2 = tuple(a for a in range(x2.ndim) if a not in axes2)
        if x1.batched and x2.batched:
            left, right = self.permute_dims(x1, free1 + axes1), self.permute_dims(x2, axes2 + free2)
            shape1, shape2 = left.shape[: len(free1)], right.shape[len(axes2) :]
            inner = prod(right.shape[: len(axes2)])
            made = self.matmul(self.reshape(left, (prod(shape1), inner)), self.reshape(right, (inner, prod(shape2))))
            return self.reshape(made, shape1 + shape2)
        one = tuple(a + x1.batched for a in axes1)
        other = tuple(a + x2.batched for a in axes2)
        value = FUNCTIONS["tensordot"](x1.value, x2.value, axes=(one, other))
        if x2.batched:
            value = FUNCTIONS["moveaxis"](value, len(free1), 0)
        return self.wrap(value, x1.batched or x2.batched)

    def vecdot(self, x1: Any, x2: Any, axis: int = -1) -> Batched:
        return self.elementwise(FUNCTIONS["vecdot"], x1, x2, axis=axis)


class SpecialRules:
    """polygrad's special functions, all elementwise, on the arrays of one level."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def __getattr__(self, name: str) -> Any:
        public = importlib.import_module("polygrad.special")
        if name not in public.__all__:  # a kernel: it runs on Batched arrays as it is
            raise AttributeError(name)
        f = getattr(public, name)
        rules, batched = self._rules, self._rules._batched

        def rule(*args: Any) -> Any:
            made = rules.elementwise(f, *args)
            if not isinstance(made.value, tuple):
                return made
            return tuple([batched(value, made.batched, made.backend) for value in made.value])

        return rule


def _delegated(raw: Any, name: str) -> Any:
    def rule(*args: Any, **kwargs: Any) -> Any:
        return getattr(raw, name)(*args, **kwargs)

    return rule


def _reshape(value: Any, shape: Any) -> Any:
    return FUNCTIONS["reshape"](value, shape)
