"""What a run of a static graph costs: operations, bytes moved, the most memory alive at one time.

Counts of linear algebra are those of Golub and Van Loan, Matrix Computations (4th edition), for real matrices, leading terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from ..core.kernels import GENERIC
from .infer import REDUCTIONS, VIEWS
from .ir import Graph, Instruction, Value
from .memory import is_view, peak_bytes

__all__ = ["flops", "stats"]

_MOVES: Final = VIEWS | frozenset(
    """
    concat stack take take_along_axis astype zeros ones full empty zeros_like ones_like full_like asarray eye tril triu flip
    roll repeat tile with_entries meshgrid broadcast_arrays unstack sliding_windows spread_chosen adjoint check real imag
    """.split()
)
"""What computes nothing."""


def stats(graph: Graph) -> dict[str, Any]:
    """See :meth:`Graph.stats`."""
    ops: dict[str, int] = {}
    total = moved = 0
    for instruction in graph.instructions:
        ops[instruction.op] = ops.get(instruction.op, 0) + 1
        if not is_view(instruction):
            total += sum(map(flops, _parts(graph, instruction)))
            moved += sum(v.nbytes for v in (*instruction.inputs, *instruction.outputs))
    return {"ops": dict(sorted(ops.items())), "flops": total, "bytes": moved, "peak_bytes": peak_bytes(graph)}


def _parts(graph: Graph, instruction: Instruction) -> tuple[Instruction, ...]:
    """What a kernel is made of, if it has no formula here and no backend's own version."""
    if instruction.op not in GENERIC or instruction.op in _FORMULAS:
        return (instruction,)
    from .. import registry
    from .passes import expand

    inputs = tuple(dict.fromkeys(instruction.inputs))
    alone = graph.with_(inputs=inputs, constants={}, instructions=(instruction,), outputs=instruction.outputs)
    return expand(alone, registry.device(graph.device)).instructions


# -- operations --------------------------------------------------------------------------------------


def flops(instruction: Instruction) -> int:
    """Additions and multiplications of numbers; a product of matrices has two for each pair of factors. Elementwise
    functions count as one for each element, what only moves data as none."""
    op = instruction.op.removeprefix("xp.")
    formula = _FORMULAS.get(op)
    if formula is not None:
        return round(formula(instruction))
    if op in _MOVES:
        return 0
    if op in _BY_INPUT or op in REDUCTIONS:
        return instruction.inputs[0].size
    return sum(v.size for v in instruction.outputs)


_BY_INPUT: Final = frozenset(
    "sum_leading cumulative_sum cumulative_prod running_extreme logsumexp diff nansum bincount searchsorted".split()
)


def _arrays(i: Instruction) -> list[Value]:
    return [v for v in i.inputs if v.dtype is not None]


def _made(i: Instruction) -> int:
    return i.outputs[0].size


def _product(i: Instruction) -> float:
    x = i.inputs[0]
    return 2 * _made(i) * (x.shape[-1] if x.shape else 1)


def _contraction(i: Instruction) -> float:
    """m k by k n: sqrt(mk * kn * mn) is mnk."""
    a, b = _arrays(i)[:2]
    return 2 * math.sqrt(a.size * b.size * _made(i))


def _vecdot(i: Instruction) -> float:
    a, b = _arrays(i)[:2]
    return 2 * max(a.size, b.size)


def _conv(i: Instruction) -> float:
    _, w = _arrays(i)[:2]
    return 2 * _made(i) * math.prod(w.shape[1:])


def _conv_input(i: Instruction) -> float:
    g, w = _arrays(i)[:2]
    return 2 * g.size * math.prod(w.shape[1:])


def _conv_weight(i: Instruction) -> float:
    _, g = _arrays(i)[:2]
    return 2 * g.size * math.prod(i.outputs[0].shape[1:])


def _recurrent(elementwise: int) -> Callable[[Instruction], float]:
    """A product of the states and the weights at each step, and some ops for each state.

    Of ``lstm_forward(gx, w, ...)`` and its like: ``gx`` is (time, batch, gates * hidden), ``w`` (gates * hidden, hidden);
    the backward kernels have lists of arrays in front, and make the cotangent of ``gx`` first.
    """

    def formula(i: Instruction) -> float:
        gates = i.outputs[0] if i.op.endswith("backward") else _arrays(i)[0]
        w = next(v for v in _arrays(i) if len(v.shape) == 2 and v.shape[0] == gates.shape[-1])
        steps, batch = gates.shape[:2]
        return steps * batch * (2 * w.size + elementwise * w.shape[1])

    return formula


def _attention(i: Instruction) -> float:
    q = _arrays(i)[0]
    return q.size + 2 * _made(i) * q.shape[-1] + 5 * _made(i) + (_made(i) if len(_arrays(i)) > 2 else 0)


def _windows(i: Instruction) -> float:
    """As many as there are numbers in all windows."""
    sizes = next((a for a in i.args[1:] if isinstance(a, tuple) and a and all(type(n) is int for n in a)), ())
    return _made(i) * math.prod(sizes)


def _times(n: float) -> Callable[[Instruction], float]:
    return lambda i: n * max(v.size for v in (*_arrays(i), *i.outputs))


def _matrix(count: Callable[[int, int], float]) -> Callable[[Instruction], float]:
    """A count for each m by n matrix of the first array."""

    def formula(i: Instruction) -> float:
        x = _arrays(i)[0]
        m, n = sorted(x.shape[-2:], reverse=True)
        return math.prod(x.shape[:-2]) * count(m, n)

    return formula


def _solve(i: Instruction, per_column: Callable[[int], float] = lambda n: 2 * n * n, once: float = 2 / 3) -> float:
    a, b = _arrays(i)[:2]
    n = a.shape[-1]
    return math.prod(a.shape[:-2]) * once * n**3 + b.size // max(n, 1) * per_column(n)


def _fourier(real: bool) -> Callable[[Instruction], float]:
    """5 n log2 n for each complex transform of n, half of it for real ones."""

    def formula(i: Instruction) -> float:
        x, (out,) = _arrays(i)[0], i.outputs
        size = max(x.size, out.size)
        if "fftn" in i.op:
            axes = dict(i.kwargs).get("axes") or i.args[2:3] or range(len(out.shape))
            lengths = [max(x.shape[a], out.shape[a]) for a in axes if isinstance(a, int)]
        else:
            axis = dict(i.kwargs).get("axis", i.args[2] if len(i.args) > 2 else -1)
            lengths = [max(x.shape[axis], out.shape[axis])] if isinstance(axis, int) else [1]
        return (2.5 if real else 5) * size * sum(math.log2(n) for n in lengths if n > 1)

    return formula


def _sorting(i: Instruction) -> float:
    x = _arrays(i)[0]
    axis = dict(i.kwargs).get("axis", -1)
    n = x.shape[axis] if x.shape and isinstance(axis, int) else x.size
    return x.size * math.log2(n) if n > 1 else 0


def _power(i: Instruction) -> float:
    n, times = _arrays(i)[0].shape[-1], i.args[1]
    return 2 * _made(i) * n * math.log2(max(abs(times), 2)) if isinstance(times, int) else 2 * _made(i) * n


_SVD = _matrix(lambda m, n: 6 * m * n * n + 20 * n**3)  # thin, by way of QR
_SINGULAR = _matrix(lambda m, n: 2 * m * n * n + 2 * n**3)

_FORMULAS: Final[dict[str, Callable[[Instruction], float]]] = {
    "matmul": _product, "matmul_2d": _product, "linalg.matmul": _product, "tensordot": _contraction,
    "linalg.tensordot": _contraction, "linalg.outer": _made, "vecdot": _vecdot, "linalg.vecdot": _vecdot,
    "conv_nd": _conv, "conv_input_nd": _conv_input, "conv_weight_nd": _conv_weight,
    "lstm_forward": _recurrent(13), "lstm_backward": _recurrent(25), "gru_forward": _recurrent(15),
    "gru_backward": _recurrent(25), "rnn_forward": _recurrent(2), "rnn_backward": _recurrent(4),
    "recurrent_weight_vjp": lambda i: 2 * _arrays(i)[0].size * _arrays(i)[1].shape[-1],
    "attention_weights": _attention, "softmax_over": _times(5), "softmax_rows_linear": _times(4),
    "class_loss": _times(5), "class_loss_vjp": _times(6), "gelu_parts": _times(8), "tanh_vjp": _times(3),
    "sigmoid_slope": _times(2), "tanh_slope": _times(2), "max_windows": _windows, "windows_sum": _windows,
    "windows_spread": _windows, "var": _times(4), "std": _times(4), "scatter_add": lambda i: sum(v.size for v in _arrays(i)),
    "sort": _sorting, "argsort": _sorting,
    "linalg.cholesky": _matrix(lambda m, n: n**3 / 3), "linalg.solve": _solve, "linalg.inv": _matrix(lambda m, n: 2 * n**3),
    "linalg.inv_or_inf": _matrix(lambda m, n: 2 * n**3), "linalg.det": _matrix(lambda m, n: 2 * n**3 / 3),
    "linalg.slogdet": _matrix(lambda m, n: 2 * n**3 / 3), "linalg.adjugate": _matrix(lambda m, n: 26 * n**3),
    "linalg.solve_triangular": lambda i: _solve(i, lambda n: n * n, 0.0),
    "conj": lambda i: _made(i) if i.outputs[0].dtype is not None and i.outputs[0].dtype.kind == "c" else 0,
    "linalg.qr": _matrix(lambda m, n: 4 * m * n * n - 4 * n**3 / 3),
    "linalg.svd": _SVD, "linalg.pinv": _SVD, "linalg.svdvals": _SINGULAR, "linalg.matrix_rank": _SINGULAR,
    "linalg.eigh": _matrix(lambda m, n: 9 * n**3), "linalg.eigvalsh": _matrix(lambda m, n: 4 * n**3 / 3),
    "linalg.eig": _matrix(lambda m, n: 25 * n**3), "linalg.eigvals": _matrix(lambda m, n: 10 * n**3),
    "linalg.matrix_power": _power,
    **{f"fft.{name}": _fourier("r" in name.removesuffix("fftn").removesuffix("fft") or "h" in name)
       for name in "fft ifft fftn ifftn rfft irfft rfftn irfftn hfft ihfft".split()},
}  # fmt: skip
