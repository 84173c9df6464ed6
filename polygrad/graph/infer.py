"""Shapes and dtypes of what an instruction makes, before there is any data.

What is quick to say by rule is said by rule. Everything else is asked of the library itself: the function runs once on
stand-ins of the right shapes and dtypes, so that no table of ours can disagree with it; the answer is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

from ..core.operands import Symbol
from ..errors import TraceError
from ..ops.manipulation import broadcast_shapes
from .ir import Value, substituted, values_in

__all__ = ["ELEMENTWISE", "REARRANGED", "REDUCTIONS", "VIEWS", "Inference"]

ELEMENTWISE: Final = frozenset(
    """
    abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp expm1 floor floor_divide
    floordiv greater greater_equal hypot imag isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp
    logical_and logical_not logical_or logical_xor maximum minimum mod multiply negative nextafter not_equal positive pow
    power real reciprocal relu relu_linear remainder round sigmoid sigmoid_slope sign signbit sin sinh sqrt square
    divide_linear strong_divide strong_multiply strong_product
    subtract tan tanh tanh_slope tanh_vjp trunc where floor_quotient
    """.split()
)
"""Functions that work element by element on arrays that are broadcast together."""

REARRANGED: Final = frozenset("expand_dims matrix_transpose moveaxis permute_dims reshape squeeze".split())
"""All elements of an array in another shape, or with axes in another order."""
VIEWS: Final = REARRANGED | {"broadcast_to", "getitem", "positive"}
"""What a library can say of an array's memory in other strides (``getitem`` if its key is no array)."""

REDUCTIONS: Final = frozenset("sum prod mean max min all any var std argmax argmin count_nonzero".split())
"""Functions that take ``axis`` and ``keepdims``."""

_KEEPING: Final = frozenset({"softmax_over", "log_softmax_over"})
_ALONG: Final = _KEEPING | {"logsumexp_over", "std_over"}
"""Kernels along axes: to run them on stand-ins of the same size would take as long as a run."""


class Inference:
    """Says what functions of one device's namespace make."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._known: dict[Any, Any] = {}

    def __call__(self, op: str, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The shapes and native dtypes of what a call makes: a pair, or a list of pairs."""
        key = (op, _frozen(args), _frozen(tuple(kwargs.items())))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._find(op, f, args, kwargs)
        return found

    def _find(self, op: str, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        values = list(values_in(args)) + [v for a in kwargs.values() for v in values_in(a)]
        if op in ELEMENTWISE:
            made = self._run(f, args, kwargs, self._single)
            shape = broadcast_shapes(*[v.shape for v in values])
            return shape, made.dtype
        if op in REDUCTIONS and values and set(kwargs) <= {"axis", "keepdims", "correction", "dtype"}:
            positional = dict(zip(("axis",), args[1:]))
            given = {**positional, **kwargs}
            one = {k: v for k, v in given.items() if k != "axis"}
            made = self._run(f, args[:1], one, self._single)
            return _reduced(values[0].shape, given.get("axis"), bool(given.get("keepdims"))), made.dtype
        if op == "matmul" or op == "matmul_2d":
            return self._product(*values)
        if op in _ALONG and len(values) == 1 and values[0].dtype is not None and not kwargs:
            (x,) = values
            shape = x.shape if op in _KEEPING else _reduced(x.shape, args[1], bool(args[-1]))
            return shape, self._device.backend.to_native_dtype(x.dtype)
        return self.asked(op, f, args, kwargs)

    def asked(self, op: str, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same, by the library itself and no rule of ours: it refuses arguments that do not fit."""
        made = self._run(f, args, kwargs, self._stand_in(op))
        if isinstance(made, (tuple, list)):
            return [(tuple(m.shape), m.dtype) for m in made]
        if not hasattr(made, "shape"):
            raise TraceError(f"{op}: gives {type(made).__name__}, which is no array, inside a static graph")
        return tuple(made.shape), made.dtype

    def _product(self, a: Value, b: Value) -> Any:
        f = self._device.raw.matmul  # NumPy's operator makes float32 of bfloat16
        made = f(*[self._filled(v, (1,) * len(v.shape)) for v in (a, b)])
        if len(a.shape) == 1 or len(b.shape) == 1 or a.shape[-1] != b.shape[-2]:
            made = f(self._filled(a, a.shape), self._filled(b, b.shape))
            return tuple(made.shape), made.dtype
        return (*broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), made.dtype

    def _run(
        self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], made_of: Callable[[Value], Any]
    ) -> Any:
        with self._device.backend.quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what stand-ins make is no concern of anybody's
            return f(*substituted(args, made_of), **{k: substituted(a, made_of) for k, a in kwargs.items()})

    def _filled(self, v: Value, shape: tuple[int, ...]) -> Any:
        if v.dtype is None:
            return 1.0
        native = self._device.backend.to_native_dtype(v.dtype)
        raw = self._device.raw
        return raw.broadcast_to(
            raw.zeros((), dtype=native) if v.dtype.kind in "iu" else raw.ones((), dtype=native), shape
        )

    def _single(self, v: Value) -> Any:
        if v.dtype is None:
            return 1.0
        native = self._device.backend.to_native_dtype(v.dtype)
        return self._device.raw.ones((1,) * min(len(v.shape), 1), dtype=native)

    def _stand_in(self, op: str) -> Callable[[Value], Any]:
        """Zeros for integers (which may be indices), identities for matrices (which may be factored), else ones."""
        if not op.startswith("linalg."):
            return lambda v: self._filled(v, v.shape)
        raw = self._device.raw

        def matrix(v: Value) -> Any:
            if v.dtype is None or len(v.shape) < 2 or v.dtype.kind in "biu":
                return self._filled(v, v.shape)
            eye = raw.eye(v.shape[-2], v.shape[-1], dtype=self._device.backend.to_native_dtype(v.dtype))
            return raw.broadcast_to(eye, v.shape)

        return matrix


def _reduced(shape: tuple[int, ...], axis: Any, keepdims: bool) -> tuple[int, ...]:
    n = len(shape)
    axes = set(range(n)) if axis is None else {a % n for a in (axis if isinstance(axis, tuple) else (axis,))}
    if keepdims:
        return tuple(1 if i in axes else length for i, length in enumerate(shape))
    return tuple(length for i, length in enumerate(shape) if i not in axes)


def _frozen(tree: Any) -> Any:
    """An argument as a key: values by shape and dtype, lists and slices as tuples."""
    if tree.__class__ is Value:
        return (Value, tree.shape, tree.dtype)
    if isinstance(tree, (tuple, list)):
        return (type(tree), *[_frozen(item) for item in tree])
    if isinstance(tree, slice):
        return (slice, _frozen(tree.start), _frozen(tree.stop), _frozen(tree.step))
    if tree.__class__ is Symbol:
        return Symbol
    return (tree.__class__, repr(tree)) if isinstance(tree, float) else (tree.__class__, tree)
