"""What the conformance suite asks of a backend's raw namespace: the calls polygrad's ops make, as data.

Each case is a function of a namespace and samples ``s``; it runs on the backend and on NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["ARRAYS", "COMPLEX", "FLOATS", "INTEGERS", "KERNELS", "KEYS", "LINALG", "SHAPES", "SPACES"]

Case = Callable[[Any, Any], Any]


def _of(names: str, argument: str = "x") -> dict[str, Case]:
    """Functions of one sample."""

    def case(name: str) -> Case:
        return lambda xp, s: getattr(xp, name)(s[argument])

    return {f"{name}({argument})": case(name) for name in names.split()}


def _of_two(names: str, first: str, second: str) -> dict[str, Case]:
    """Functions of two samples."""

    def case(name: str) -> Case:
        return lambda xp, s: getattr(xp, name)(s[first], s[second])

    return {f"{name}({first}, {second})": case(name) for name in names.split()}


# Samples: x, y (3, 4) signed; u in (0.1, 0.9); v (4,); z () ; e (0, 4); m a mask (3, 4); i integers (3,)
ARRAYS: Final = ("x", "y", "u", "v", "z", "e")

# -- real floating ---------------------------------------------------------------------------------

FLOATS: Final[dict[str, Case]] = {
    **_of("abs asinh atan ceil cos cosh exp expm1 floor isfinite isinf isnan negative positive round sign"),
    **_of("signbit sin sinh square tan tanh trunc real imag conj"),
    **_of("acos asin atanh log log10 log1p log2 reciprocal sqrt", "u"),
    **_of("abs exp sin sign floor isnan conj", "z"),
    **_of("abs exp sin sign floor isnan conj", "e"),
    "acosh": lambda xp, s: xp.acosh(s["u"] + 1.5),
    "sign(nan)": lambda xp, s: xp.isnan(xp.sign(s["x"] * float("nan"))),
    **_of_two("add subtract multiply divide maximum minimum atan2 copysign hypot logaddexp nextafter", "x", "y"),
    **_of_two("equal not_equal less less_equal greater greater_equal", "x", "y"),
    **_of_two("remainder floor_divide pow", "u", "y"),
    **_of_two("add multiply maximum hypot", "x", "v"),
    **_of_two("add multiply maximum", "x", "z"),
    **_of_two("add multiply maximum", "e", "v"),
    "operators": lambda xp, s: -(s["x"] + s["y"]) * 2 - 1 / s["u"] + s["x"] // 1.0 + s["u"] ** 2,
    "comparisons": lambda xp, s: (s["x"] > s["y"]) & (s["x"] != 0) | ~(s["x"] <= 1.0),
}

COMPLEX: Final[dict[str, Case]] = {
    **_of("abs cos cosh exp sin sinh tanh sqrt log square negative conj real imag sign reciprocal asinh atan"),
    **_of_two("add subtract multiply divide equal", "x", "y"),
    "sum": lambda xp, s: xp.sum(s["x"], axis=(0,)),
    "prod": lambda xp, s: xp.prod(s["x"], axis=1),
    "mean": lambda xp, s: xp.mean(s["x"], axis=(1,)),
    "matmul": lambda xp, s: xp.matmul(s["x"], xp.conj(xp.matrix_transpose(s["y"]))),
    "vecdot": lambda xp, s: xp.vecdot(s["x"], s["y"], axis=-1),
    "tensordot": lambda xp, s: xp.tensordot(s["x"], s["y"], axes=((0, 1), (0, 1))),
    "cumulative_sum": lambda xp, s: xp.cumulative_sum(s["x"], axis=0),
    "cumulative_prod": lambda xp, s: xp.cumulative_prod(s["x"], axis=1, include_initial=True),
    "adjoint": lambda xp, s: xp.adjoint(s["x"]),
    "where": lambda xp, s: xp.where(s["m"], s["x"], s["y"]),
    "sign(0)": lambda xp, s: xp.sign(xp.zeros_like(s["x"])),
}

INTEGERS: Final[dict[str, Case]] = {
    **_of("abs square negative positive sign ceil floor trunc round bitwise_invert"),
    **_of_two("add subtract multiply maximum minimum bitwise_and bitwise_or bitwise_xor less equal", "x", "y"),
    "floor_divide": lambda xp, s: xp.floor_divide(s["x"], xp.abs(s["y"]) + 1),
    "remainder": lambda xp, s: xp.remainder(s["x"], xp.abs(s["y"]) + 1),
    "shifts": lambda xp, s: xp.bitwise_right_shift(xp.bitwise_left_shift(s["x"], xp.abs(s["y"])), xp.ones_like(s["x"])),
    "sum": lambda xp, s: xp.sum(s["x"], axis=(0, 1)),
    "prod": lambda xp, s: xp.prod(s["x"], axis=0),
    "sort": lambda xp, s: xp.sort(s["x"], axis=0, descending=True, stable=True),
    "unique": lambda xp, s: xp.unique_all(s["x"]),
    "logic": lambda xp, s: xp.logical_xor(
        xp.logical_not(s["m"]), xp.logical_or(s["m"], xp.logical_and(s["m"], s["m"]))
    ),
}

# -- arrangement, reduction, search ----------------------------------------------------------------

SHAPES: Final[dict[str, Case]] = {
    "reshape": lambda xp, s: xp.reshape(s["x"], (2, 6)),
    "reshape copy": lambda xp, s: xp.reshape(s["x"], (4, 3), copy=True),
    "reshape 0-d": lambda xp, s: xp.reshape(s["z"], (1, 1)),
    "expand_dims": lambda xp, s: xp.expand_dims(s["x"], axis=1),
    "expand_dims last": lambda xp, s: xp.expand_dims(s["x"], axis=-1),
    "squeeze": lambda xp, s: xp.squeeze(xp.reshape(s["x"], (1, 3, 1, 4)), axis=(0, 2)),
    "permute_dims": lambda xp, s: xp.permute_dims(xp.reshape(s["x"], (3, 2, 2)), (2, 0, 1)),
    "matrix_transpose": lambda xp, s: xp.matrix_transpose(xp.reshape(s["x"], (3, 2, 2))),
    "flip": lambda xp, s: xp.flip(s["x"], axis=(0, 1)),
    "flip one": lambda xp, s: xp.flip(s["x"], axis=1),
    "roll": lambda xp, s: xp.roll(s["x"], (1, -2), axis=(0, 1)),
    "roll flat": lambda xp, s: xp.roll(s["x"], 2, axis=None),
    "broadcast_to": lambda xp, s: xp.broadcast_to(s["v"], (2, 3, 4)),
    "repeat": lambda xp, s: xp.repeat(s["x"], 2, axis=1),
    "repeat each": lambda xp, s: xp.repeat(s["x"], s["i"], axis=0),
    "tile": lambda xp, s: xp.tile(s["x"], (2, 1, 3)),
    "concat": lambda xp, s: xp.concat([s["x"], s["y"]], axis=1),
    "concat empty": lambda xp, s: xp.concat([s["e"], s["x"]], axis=0),
    "stack": lambda xp, s: xp.stack([s["x"], s["y"]], axis=2),
    "tril": lambda xp, s: xp.tril(s["x"], k=-1),
    "triu": lambda xp, s: xp.triu(s["x"], k=1),
    "where": lambda xp, s: xp.where(s["m"], s["x"], s["v"]),
    "take": lambda xp, s: xp.take(s["x"], s["i"], axis=1),
    "take_along_axis": lambda xp, s: xp.take_along_axis(s["x"], xp.argsort(s["y"], axis=1), axis=1),
    "zeros_like": lambda xp, s: xp.zeros_like(s["x"]),
    "ones_like": lambda xp, s: xp.ones_like(s["x"]),
    "full_like": lambda xp, s: xp.full_like(s["x"], 2.5),
    "astype": lambda xp, s: xp.astype(s["x"], xp.int64),
    "asarray copy": lambda xp, s: xp.asarray(s["x"], copy=True),
    "sum": lambda xp, s: xp.sum(s["x"], axis=(1,), keepdims=True),
    "sum all": lambda xp, s: xp.sum(s["x"], axis=(0, 1)),
    "sum none": lambda xp, s: xp.sum(s["z"], axis=()),
    "sum empty": lambda xp, s: xp.sum(s["e"], axis=(0,)),
    "prod": lambda xp, s: xp.prod(s["x"], axis=1, dtype=None, keepdims=True),
    "prod all": lambda xp, s: xp.prod(s["x"], axis=None),
    "mean": lambda xp, s: xp.mean(s["x"], axis=(0,)),
    "mean all": lambda xp, s: xp.mean(s["x"], axis=(0, 1), keepdims=True),
    "var": lambda xp, s: xp.var(s["x"], axis=(0,), correction=0.5),
    "std": lambda xp, s: xp.std(s["x"], axis=(0, 1), correction=1.0, keepdims=True),
    "max": lambda xp, s: xp.max(s["x"], axis=(0,)),
    "max all": lambda xp, s: xp.max(s["x"], axis=(0, 1), keepdims=True),
    "min": lambda xp, s: xp.min(s["x"], axis=(1,)),
    "all": lambda xp, s: xp.all(s["m"], axis=(0,)),
    "any": lambda xp, s: xp.any(s["m"], axis=(0, 1), keepdims=True),
    "any float": lambda xp, s: xp.any(s["x"], axis=(0, 1)),
    "argmax": lambda xp, s: xp.argmax(s["x"], axis=1, keepdims=True),
    "argmin flat": lambda xp, s: xp.argmin(s["x"], axis=None, keepdims=False),
    "cumulative_sum": lambda xp, s: xp.cumulative_sum(s["x"], axis=1, dtype=None, include_initial=True),
    "cumulative_prod": lambda xp, s: xp.cumulative_prod(s["x"], axis=0, dtype=None, include_initial=False),
    "cumulative_prod initial": lambda xp, s: xp.cumulative_prod(s["x"], axis=-1, include_initial=True),
    "sort": lambda xp, s: xp.sort(s["x"], axis=0, descending=False, stable=True),
    "argsort": lambda xp, s: xp.argsort(s["x"], axis=1, descending=True, stable=True),
    "argsort ties": lambda xp, s: xp.argsort(xp.floor(s["x"]), axis=1, descending=True, stable=True),
    "searchsorted": lambda xp, s: xp.searchsorted(xp.sort(s["v"], axis=0), s["x"], side="right"),
    "nonzero": lambda xp, s: xp.nonzero(s["m"]),
    "unique_all": lambda xp, s: xp.unique_all(xp.floor(s["x"])),
    "unique_values": lambda xp, s: xp.unique_values(xp.floor(s["x"])),
    "matmul": lambda xp, s: xp.matmul(s["x"], xp.matrix_transpose(s["y"])),
    "matmul vectors": lambda xp, s: xp.matmul(s["v"], s["v"]),
    "matmul batch": lambda xp, s: xp.matmul(xp.reshape(s["x"], (3, 2, 2)), xp.reshape(s["v"], (2, 2))),
    "tensordot": lambda xp, s: xp.tensordot(s["x"], s["y"], axes=((1,), (1,))),
    "tensordot outer": lambda xp, s: xp.tensordot(s["v"], s["v"], axes=((), ())),
    "vecdot": lambda xp, s: xp.vecdot(s["x"], s["y"], axis=-2),
}

# -- linear algebra and Fourier transforms ----------------------------------------------------------

SPACES: Final = (
    "linalg.cholesky", "linalg.det", "linalg.diagonal", "linalg.eig", "linalg.eigh", "linalg.eigvals", "linalg.eigvalsh",
    "linalg.inv", "linalg.qr", "linalg.slogdet", "linalg.solve", "linalg.svd", "linalg.svdvals", "fft.fftn", "fft.ifftn",
    "fft.irfft", "fft.rfft",
)  # fmt: skip
"""What ops ask of the sub-namespaces; of vectors only what does not depend on their signs and phases is compared."""


def _zeros_and_nan(xp: Any, s: Any) -> tuple[Any, Any]:
    """Cotangents that are 0 where their slopes are nan."""
    taken = s["x"] > 0
    return xp.where(taken, s["y"], xp.zeros_like(s["y"])), xp.where(taken, s["x"], xp.full_like(s["x"], float("nan")))


def _square(xp: Any, s: Any) -> Any:
    return s["x"][:, :3] + 4 * xp.eye(3, dtype=s["x"].dtype)


def _positive(xp: Any, s: Any) -> Any:
    return xp.matmul(s["x"], xp.adjoint(s["x"])) / 8 + xp.eye(3, dtype=s["x"].dtype)


def _stack(xp: Any, f: Any, s: Any) -> Any:
    a = f(xp, s)
    return xp.stack([a, a * 2], axis=0)


def _absolute(xp: Any, arrays: Any) -> Any:
    return tuple(xp.abs(a) for a in arrays)


LINALG: Final[dict[str, Case]] = {
    "inv": lambda xp, s: xp.linalg.inv(_stack(xp, _square, s)),
    "det": lambda xp, s: xp.linalg.det(_stack(xp, _square, s)),
    "slogdet": lambda xp, s: tuple(xp.linalg.slogdet(_stack(xp, _square, s))),
    "solve": lambda xp, s: xp.linalg.solve(_square(xp, s), s["y"]),
    "solve a stack": lambda xp, s: xp.linalg.solve(_stack(xp, _square, s), s["y"][None, :, :]),
    "solve_triangular of a stack": lambda xp, s: xp.linalg.solve_triangular(
        _stack(xp, _square, s), s["y"], upper=True, unit_diagonal=True
    ),
    "cholesky": lambda xp, s: xp.linalg.cholesky(_stack(xp, _positive, s), upper=False),
    "cholesky upper": lambda xp, s: xp.linalg.cholesky(_positive(xp, s), upper=True),
    "eigh": lambda xp, s: _absolute(xp, xp.linalg.eigh(_stack(xp, _positive, s))),
    "eigvalsh": lambda xp, s: xp.linalg.eigvalsh(_positive(xp, s)),
    "eig": lambda xp, s: xp.sum(xp.linalg.eig(_stack(xp, _square, s))[0] ** 2, axis=-1),
    "eig of real values": lambda xp, s: xp.linalg.eig(_positive(xp, s))[0] * 0,
    "eigvals": lambda xp, s: xp.sum(xp.linalg.eigvals(_square(xp, s)), axis=-1),
    "svd": lambda xp, s: _absolute(xp, xp.linalg.svd(s["x"], full_matrices=False)),
    "svd full": lambda xp, s: xp.abs(xp.linalg.svd(xp.matrix_transpose(s["x"]), full_matrices=True)[2]),
    "svdvals": lambda xp, s: xp.linalg.svdvals(_stack(xp, _square, s)),
    "qr": lambda xp, s: _absolute(xp, xp.linalg.qr(_stack(xp, _square, s), mode="reduced")),
    "qr complete": lambda xp, s: xp.abs(xp.linalg.qr(xp.matrix_transpose(s["x"]), mode="complete")[1]),
    "diagonal": lambda xp, s: xp.linalg.diagonal(s["x"], offset=1),
    "empty": lambda xp, s: xp.linalg.inv(s["x"][:0, :0]),
    "fftn": lambda xp, s: xp.fft.fftn(s["x"] + 0 * _phase(xp, s), s=(2, 5), axes=(-2, -1), norm="ortho"),
    "ifftn": lambda xp, s: xp.fft.ifftn(s["x"] + 0 * _phase(xp, s), s=(3,), axes=(-2,), norm="backward"),
    "rfft": lambda xp, s: xp.fft.rfft(xp.real(s["x"]), n=5, axis=-2, norm="forward"),
    "irfft": lambda xp, s: xp.fft.irfft(s["x"] + 0 * _phase(xp, s), n=6, axis=-1, norm="backward"),
}


def _phase(xp: Any, s: Any) -> Any:
    """A complex one, in the precision of the samples."""
    return xp.sum(xp.fft.rfft(xp.real(s["v"]), n=4, axis=-1, norm="backward"), axis=0)


# -- keys ------------------------------------------------------------------------------------------
# Of an array (3, 4, 5), given (integers of shape (4,) from -1 to 2, a mask (3, 4), one (3, 4, 5), one (4,)).

KEYS: Final[dict[str, Callable[[Any, Any, Any, Any], Any]]] = {
    "integer": lambda i, m2, m3, m1: -1,
    "integers": lambda i, m2, m3, m1: (0, -1, 2),
    "slice": lambda i, m2, m3, m1: slice(1, None),
    "slices out of bounds": lambda i, m2, m3, m1: (slice(-9, 9), slice(3, 99, 2)),
    "empty slice": lambda i, m2, m3, m1: (slice(2, 1), ..., slice(7, 9)),
    "negative steps": lambda i, m2, m3, m1: (slice(None, None, -1), slice(3, 0, -2)),
    "negative step behind": lambda i, m2, m3, m1: (..., None, slice(None, None, -2)),
    "new axes": lambda i, m2, m3, m1: (None, 1, ..., None),
    "nothing": lambda i, m2, m3, m1: (),
    "ellipsis": lambda i, m2, m3, m1: (..., 2),
    "array": lambda i, m2, m3, m1: i,
    "array and slice": lambda i, m2, m3, m1: (i, slice(1, 3)),
    "array behind": lambda i, m2, m3, m1: (slice(None), i),
    "array 2-d": lambda i, m2, m3, m1: (slice(None), i.reshape((2, 2)), slice(None, None, -1)),
    "two arrays": lambda i, m2, m3, m1: (i, i),
    "arrays apart": lambda i, m2, m3, m1: (i, slice(None), i),
    "array and integer": lambda i, m2, m3, m1: (slice(None), 1, i),
    "integer apart": lambda i, m2, m3, m1: (0, slice(None), i),
    "array and new axis": lambda i, m2, m3, m1: (None, i, ..., 0),
    "mask": lambda i, m2, m3, m1: m3,
    "mask of leading axes": lambda i, m2, m3, m1: m2,
    "mask of one axis": lambda i, m2, m3, m1: (slice(None), m1),
    "mask and integer": lambda i, m2, m3, m1: (m2, 1),
}

# -- kernels: arguments for the backend's own and for the generic version ----------------------------


def _steps(xp: Any, x: Any) -> Any:
    """Three times of a batch of one."""
    return xp.reshape(x, (3, 1, x.shape[1]))


def _first(s: Any, i: int) -> Any:
    return s["y"][i : i + 1, :1]


def _state(xp: Any, s: Any, gates: int) -> tuple[Any, Any]:
    """A recurrent weight for states of one number, and a first state."""
    return xp.reshape(s["v"][:gates], (gates, 1)), _first(s, 0)


def _planes(xp: Any, x: Any) -> Any:
    """One sample of three channels."""
    return xp.reshape(x, (1, 3, 4))


_STRIDED: Final = ((2,), ((1, 0),), (1,))
_OVERLAPPING: Final = ((1,), ((1, 0),), (1,))
"""Strides, padding and dilation of windows."""


KERNELS: Final[dict[str, Callable[[Any, Any], tuple[Any, ...]]]] = {
    "tanh_slope": lambda xp, s: (xp.tanh(8 * s["x"]), 8 * s["x"]),
    "tanh_vjp": lambda xp, s: (s["y"], xp.tanh(8 * s["x"]), 8 * s["x"]),
    "sum_leading": lambda xp, s: (xp.reshape(s["x"], (3, 2, 2)), 2),
    "matmul_2d": lambda xp, s: (s["x"], xp.permute_dims(s["y"], (1, 0))),
    "floor_quotient": lambda xp, s: (
        8 * s["x"],
        xp.where(s["y"] > 0, xp.full_like(s["y"], float("inf")), s["y"]),
    ),
    "sigmoid": lambda xp, s: (8 * s["x"],),
    "sigmoid_slope": lambda xp, s: (8 * s["x"],),
    "strong_multiply": lambda xp, s: _zeros_and_nan(xp, s),
    "strong_product": lambda xp, s: _zeros_and_nan(xp, s),
    "strong_divide": lambda xp, s: _zeros_and_nan(xp, s),
    "divide_linear": lambda xp, s: (*_zeros_and_nan(xp, s), s["x"]),
    "relu": lambda xp, s: (s["x"],),
    "relu_linear": lambda xp, s: (s["y"], xp.maximum(s["x"], xp.zeros_like(s["x"]))),
    "adjoint": lambda xp, s: (s["x"],),
    "linalg.adjugate": lambda xp, s: (_stack(xp, _square, s),),
    "linalg.derivative_of_adjugate": lambda xp, s: (_stack(xp, _square, s), xp.flip(_stack(xp, _square, s), axis=-1)),
    "linalg.inv_or_inf": lambda xp, s: (_stack(xp, _square, s),),
    "linalg.p_norm": lambda xp, s: (s["x"], (-2,), 2.0, True),
    "linalg.expm": lambda xp, s: (s["x"][:, :3] / 2,),
    "linalg.squared_often": lambda xp, s: (s["x"][:, :3] / 2, 2 * xp.ones((1, 1), dtype=s["x"].dtype)),
    "linalg.solve_triangular": lambda xp, s: (_square(xp, s), s["y"]),
    "sliding_windows": lambda xp, s: (s["x"], (2, 3), (1, 0)),
    "running_extreme": lambda xp, s: (s["x"], 1, True),
    "running_logsumexp": lambda xp, s: (s["x"], 1),
    "getitem": lambda xp, s: (s["x"], (slice(None), s["i"])),
    "with_entries": lambda xp, s: (s["x"], (slice(0, 2), slice(None, None, -1)), s["v"]),
    "scatter_add": lambda xp, s: (
        (3, 4),
        s["x"].dtype,
        [((slice(None), s["i"]), s["x"][:, 1:]), ((1, ...), s["v"]), ((s["i"] * 0, s["i"]), s["v"][1:])],
    ),
}

NETWORK_KERNELS: Final[dict[str, Callable[[Any, Any], tuple[Any, ...]]]] = {
    "class_loss": lambda xp, s: (s["x"], s["i"], 1, -100, "mean"),
    "class_loss_vjp": lambda xp, s: (s["v"][:3], s["x"], s["i"], 1, 2, "none"),
    "attention_weights": lambda xp, s: (s["x"], s["y"][:2, :], s["v"][:2], 0.5),
    "gelu_parts": lambda xp, s: (s["x"],),
    "softmax_rows_linear": lambda xp, s: (s["x"], s["u"]),
    "lstm_forward": lambda xp, s: (_steps(xp, s["x"]), *_state(xp, s, 4), _first(s, 1), True),
    "lstm_backward": lambda xp, s: (
        [_steps(xp, s["x"][:, :1]), _steps(xp, s["y"][:, 1:2]), None],
        (_steps(xp, s["y"][:, :1]), _steps(xp, s["x"][:, 1:2]), _steps(xp, s["u"])),
        _state(xp, s, 4)[0],
        _first(s, 1),
        False,
    ),
    "gru_forward": lambda xp, s: (_steps(xp, s["x"][:, :3]), _state(xp, s, 3)[0], s["v"][:3], _first(s, 0), False),
    "gru_backward": lambda xp, s: (
        [_steps(xp, s["x"][:, :1]), None],
        (_steps(xp, s["y"][:, :1]), _steps(xp, s["u"])),
        *_state(xp, s, 3),
        True,
    ),
    "rnn_forward": lambda xp, s: (_steps(xp, s["x"][:, :1]), *_state(xp, s, 1), False, True),
    "rnn_backward": lambda xp, s: (
        _steps(xp, s["x"][:, :1]),
        _steps(xp, s["y"][:, :1]),
        _state(xp, s, 1)[0],
        False,
        False,
    ),
    "recurrent_weight_vjp": lambda xp, s: (_steps(xp, s["x"]), _steps(xp, s["y"][:, :1]), _first(s, 0), True),
    "conv_nd": lambda xp, s: (_planes(xp, s["x"]), xp.reshape(s["y"], (2, 3, 2)), *_STRIDED, 1),
    "conv_input_nd": lambda xp, s: (
        xp.reshape(s["v"], (1, 2, 2)),
        xp.reshape(s["y"], (2, 3, 2)),
        (4,),
        *_STRIDED,
        1,
    ),
    "conv_weight_nd": lambda xp, s: (_planes(xp, s["x"]), xp.reshape(s["v"], (1, 2, 2)), (2,), *_STRIDED, 1),
    "max_windows": lambda xp, s: (_planes(xp, s["x"]), (2,), *_STRIDED),
    "spread_chosen": lambda xp, s: (
        _planes(xp, s["y"]),
        _planes(xp, xp.astype(s["m"], xp.uint8)),
        (4,),
        (2,),
        *_OVERLAPPING,
    ),
    "take_chosen": lambda xp, s: (
        _planes(xp, s["y"]),
        _planes(xp, xp.astype(s["m"], xp.uint8)),
        (2,),
        *_OVERLAPPING,
    ),
    "windows_sum": lambda xp, s: (_planes(xp, s["x"]), (2,), *_STRIDED),
    "windows_spread": lambda xp, s: (_planes(xp, s["y"]), (4,), (2,), *_OVERLAPPING),
}
"""Kernels of networks: compared where a backend has its own (the generic ones are long)."""
