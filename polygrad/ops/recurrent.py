"""Recurrent layers: one op for a whole sequence, with the input's part of the gates computed before.

``gx`` (time, batch, gates) is ``x @ w_ih.T + b``: one product for all times. The op adds the state's part step by step
and returns, beside the states, what its derivative needs (the gates), so that derivatives of derivatives go the same
way. Both walks over time are kernels; the generic ones are written with the standard's functions and differentiable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.apply import apply_multiple
from ..core.cell import Cell
from ..core.declare import op
from ..core.kernels import ON_TENSORS, kernel
from ..core.operands import together
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike, Namespace, Raw

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["gru", "lstm", "rnn"]

Parts = list[Any]


class Memo:
    """The last result of a backward walk over time: the walk over the graph asks for one argument's cotangent after the
    other, and all come from it. The key is the list of the outputs' cotangents, which every walk makes anew. Only raw
    arrays are kept: Tensors would be a reference cycle."""

    __slots__ = ("key", "value")

    def __init__(self) -> None:
        self.key: Any = None
        self.value: Any = None

    def get(self, g: Parts, compute: Callable[[], Any]) -> Any:
        """What was computed for these very cotangents, or ``compute()``."""
        if self.key is g:
            return self.value
        made = compute()
        if not any(isinstance(v, Cell) for v in g):
            self.key, self.value = g, made
        return made


def _times(n: int, reverse: bool) -> list[int]:
    return list(range(n - 1, -1, -1)) if reverse else list(range(n))


def _before(states: Raw, first: Raw, t: int, reverse: bool) -> Raw:
    """The state that step ``t`` started from."""
    if reverse:
        return first if t == states.shape[0] - 1 else states[t + 1, ...]
    return first if t == 0 else states[t - 1, ...]


def _all_before(xp: Namespace, states: Raw, first: Raw, reverse: bool) -> Raw:
    first = xp.expand_dims(first, axis=0)
    n = states.shape[0]
    return xp.concat([states[1:, ...], first] if reverse else [first, states[: n - 1, ...]], axis=0)


def _at(g: Raw | None, t: int, otherwise: Raw | None) -> Any:
    """``otherwise + g[t]`` where None is nothing."""
    if g is None:
        return otherwise
    return g[t, ...] if otherwise is None else otherwise + g[t, ...]


def _summed_products(xp: Namespace, dz: Raw, before: Raw) -> Raw:
    """The sum over all times and examples of ``dz^T before``: one product."""
    n = dz.shape[0] * dz.shape[1]
    return xp.matmul(xp.matrix_transpose(xp.reshape(dz, (n, dz.shape[2]))), xp.reshape(before, (n, before.shape[2])))


@kernel
def recurrent_weight_vjp(xp: Namespace, dz: Raw, hs: Raw, h0: Raw, reverse: bool) -> Raw:
    """The cotangent of the weights that every step multiplies the state before with, from those of the products."""
    return _summed_products(xp, dz, _all_before(xp, hs, h0, reverse))


def _cotangent(xp: Namespace, which: int, walked: Parts, hs: Raw, h0: Raw, reverse: bool) -> Raw:
    """That of one argument: the walk gives all but the second one, the weights, which takes the first."""
    if which == 1:
        return xp.recurrent_weight_vjp(walked[0], hs, h0, reverse)
    return walked[max(which - 1, 0)]


def _split(z: Raw, parts: int) -> list[Raw]:
    n = z.shape[-1] // parts
    return [z[..., i * n : (i + 1) * n] for i in range(parts)]


def _ordered(xp: Namespace, made: Parts, reverse: bool) -> Raw:
    return xp.stack(made[::-1] if reverse else made, axis=0)


# -- LSTM --------------------------------------------------------------------------------------------
# Hochreiter and Schmidhuber (1997), gates in PyTorch's order: i, f, g, o = sigma, sigma, tanh, sigma of
# gx + h w^T; c' = f c + i g; h' = o tanh(c'), or w_hr times that (Sak et al., 2014).


@kernel
def lstm_forward(
    xp: Namespace, gx: Raw, w: Raw, h: Raw, c: Raw, reverse: bool, proj: Raw | None = None
) -> tuple[Raw, Raw, Raw]:
    """The states, the cells and the gates at all times."""
    hs, cs, gates = [], [], []
    wt = xp.matrix_transpose(w)
    for t in _times(gx.shape[0], reverse):
        zi, zf, zg, zo = _split(gx[t, ...] + xp.matmul(h, wt), 4)
        i, f, g, o = xp.sigmoid(zi), xp.sigmoid(zf), xp.tanh(zg), xp.sigmoid(zo)
        c = f * c + i * g
        h = o * xp.tanh(c)
        if proj is not None:
            h = xp.matmul(h, xp.matrix_transpose(proj))
        hs.append(h)
        cs.append(c)
        gates.append(xp.concat([i, f, g, o], axis=-1))
    return _ordered(xp, hs, reverse), _ordered(xp, cs, reverse), _ordered(xp, gates, reverse)


@kernel
def lstm_backward(
    xp: Namespace, given: Parts, out: Parts, w: Raw, c0: Raw, reverse: bool, proj: Raw | None = None
) -> tuple[Raw, ...]:
    """The cotangents of gx, h0, c0 (and proj) from those of states, cells and gates, each of which may be None."""
    g_hs, g_cs, g_gates = given
    hs, cs, gates = out
    dh: Any = None
    dc: Any = None
    dzs, dhs = [], []
    for t in _times(hs.shape[0], not reverse):
        i, f, g, o = _split(gates[t, ...], 4)
        tc = xp.tanh(cs[t, ...])
        dh = _at(g_hs, t, dh)
        if dh is None:
            dh = xp.zeros_like(hs[t, ...])
        dm = dh if proj is None else xp.matmul(dh, proj)
        dhs.append(dh)
        dc = _at(g_cs, t, dm * o * (1 - tc * tc) if dc is None else dc + dm * o * (1 - tc * tc))
        parts = [dc * g, dc * _before(cs, c0, t, reverse), dc * i, dm * tc]
        if g_gates is not None:
            parts = [p + e for p, e in zip(parts, _split(g_gates[t, ...], 4), strict=True)]
        slopes = (i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o))
        dz = xp.concat([p * s for p, s in zip(parts, slopes, strict=True)], axis=-1)
        dzs.append(dz)
        dh, dc = xp.matmul(dz, w), dc * f
    made = _ordered(xp, dzs, not reverse)
    if proj is None:
        return made, dh, dc
    outputs = _split(gates, 4)[3] * xp.tanh(cs)
    return made, dh, dc, _summed_products(xp, _ordered(xp, dhs, not reverse), outputs)


def _lstm_tangent(
    xp: Namespace, t: Raw, which: int, out: Parts, w: Raw, h0: Raw, c0: Raw, reverse: bool, proj: Raw | None = None
) -> Parts:
    """The tangents of all outputs for that of one argument."""
    hs, cs, gates = out
    dh: Any = t if which == 2 else xp.zeros_like(h0)
    dc: Any = t if which == 3 else xp.zeros_like(c0)
    made: tuple[Parts, Parts, Parts] = ([], [], [])
    wt = xp.matrix_transpose(w)
    for n in _times(hs.shape[0], reverse):
        i, f, g, o = _split(gates[n, ...], 4)
        tc = xp.tanh(cs[n, ...])
        dz = xp.matmul(dh, wt)
        if which == 0:
            dz = dz + t[n, ...]
        elif which == 1:
            dz = dz + xp.matmul(_before(hs, h0, n, reverse), xp.matrix_transpose(t))
        slopes = (i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o))
        di, df, dg, do = (p * s for p, s in zip(_split(dz, 4), slopes, strict=True))
        dc = df * _before(cs, c0, n, reverse) + f * dc + di * g + i * dg
        dh = do * tc + o * (1 - tc * tc) * dc
        if proj is not None:
            dh = xp.matmul(dh, xp.matrix_transpose(proj))
            if which == 4:
                dh = dh + xp.matmul(o * tc, xp.matrix_transpose(t))
        for into, one in zip(made, (dh, dc, xp.concat([di, df, dg, do], axis=-1)), strict=True):
            into.append(one)
    return [_ordered(xp, m, reverse) for m in made]


def _lstm_vjp(which: int) -> Callable[..., Any]:
    def rule(xp: Namespace, g: Parts, out: Parts, w: Raw, h0: Raw, c0: Raw, reverse: bool, memo: Memo) -> Any:
        walked = memo.get(g, lambda: xp.lstm_backward(g, out, w, c0, reverse))
        return _cotangent(xp, which, walked, out[0], h0, reverse)

    return rule


def _lstm_jvp(which: int) -> Callable[..., Any]:
    def rule(xp: Namespace, t: Raw, out: Parts, w: Raw, h0: Raw, c0: Raw, reverse: bool, memo: Memo) -> Any:
        return _lstm_tangent(xp, t, which, out, w, h0, c0, reverse)

    return rule


@op(name="lstm", vjps=[_lstm_vjp(i) for i in range(4)], jvps=[_lstm_jvp(i) for i in range(4)], multiple=True)
def _lstm(xp: Namespace, gx: Raw, w: Raw, h0: Raw, c0: Raw, /, reverse: bool, memo: Memo) -> tuple[Raw, ...]:
    return xp.lstm_forward(gx, w, h0, c0, reverse)  # type: ignore[no-any-return]


ON_TENSORS["lstm_forward"] = lambda gx, w, h, c, reverse: apply_multiple(_lstm, (gx, w, h, c), (reverse, Memo()))


def _projected_vjp(which: int) -> Callable[..., Any]:
    def rule(
        xp: Namespace, g: Parts, out: Parts, w: Raw, h0: Raw, c0: Raw, proj: Raw, reverse: bool, memo: Memo
    ) -> Any:
        walked = memo.get(g, lambda: lstm_backward(xp, g, out, w, c0, reverse, proj))
        return _cotangent(xp, which, walked, out[0], h0, reverse)

    return rule


def _projected_jvp(which: int) -> Callable[..., Any]:
    def rule(xp: Namespace, t: Raw, out: Parts, w: Raw, h0: Raw, c0: Raw, proj: Raw, reverse: bool, memo: Memo) -> Any:
        return _lstm_tangent(xp, t, which, out, w, h0, c0, reverse, proj)

    return rule


@op(
    name="lstm_projected",
    vjps=[_projected_vjp(i) for i in range(5)],
    jvps=[_projected_jvp(i) for i in range(5)],
    multiple=True,
)
def _lstm_projected(
    xp: Namespace, gx: Raw, w: Raw, h0: Raw, c0: Raw, proj: Raw, /, reverse: bool, memo: Memo
) -> tuple[Raw, ...]:
    return lstm_forward(xp, gx, w, h0, c0, reverse, proj)


def lstm(
    gx: ArrayLike,
    w_hh: ArrayLike,
    h0: ArrayLike,
    c0: ArrayLike,
    w_hr: ArrayLike | None = None,
    *,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """One LSTM layer over a whole sequence, from the input's part of the gates.

    Args:
        gx: ``x @ w_ih.T + b_ih + b_hh``, shape (time, batch, 4 * hidden), gates i, f, g, o.
        w_hh: shape (4 * hidden, state).
        h0: shape (batch, state).
        c0: shape (batch, hidden).
        w_hr: shape (state, hidden), or None where the state is not projected (state = hidden).
        reverse: whether to go from the last time to the first.

    Returns:
        The states (time, batch, state) and the cells (time, batch, hidden) at all times.

    >>> import polygrad as pg
    >>> states, cells = pg.neural.lstm(pg.zeros((5, 2, 12)), pg.zeros((12, 3)), pg.zeros((2, 3)), pg.ones((2, 3)))
    >>> states.shape, cells[0, 0, 0]
    ((5, 2, 3), tensor(0.5, dtype=float64))
    """
    arrays = together("lstm", (gx, w_hh, h0, c0) if w_hr is None else (gx, w_hh, h0, c0, w_hr))
    state, hidden = arrays[2]._value.shape[-1], arrays[3]._value.shape[-1]
    times, batch = _lengths("lstm", arrays[0])
    wanted: list[tuple[int, ...]] = [(times, batch, 4 * hidden), (4 * hidden, state), (batch, state), (batch, hidden)]
    if w_hr is not None:
        wanted.append((state, hidden))
    _check("lstm", arrays, wanted, "(time, batch, 4 * hidden), (4 * hidden, state), (batch, state), (batch, hidden)")
    if w_hr is None and state != hidden:
        raise ShapeError(
            f"lstm: h0 of shape {arrays[2].shape} and c0 of shape {arrays[3].shape} differ: w_hr is missing"
        )
    made = apply_multiple(_lstm if w_hr is None else _lstm_projected, arrays, (reverse, Memo()))
    return made[0], made[1]


def _lengths(name: str, gx: Any) -> tuple[int, int]:
    shape = tuple(gx._value.shape)
    if len(shape) != 3 or not shape[0]:
        raise ShapeError(f"{name}: gx of shape {shape}; it must be (time, batch, gates), with at least one time")
    return shape[0], shape[1]


def _check(name: str, arrays: list[Any], wanted: list[tuple[int, ...]], words: str) -> None:
    shapes = [tuple(x._value.shape) for x in arrays]
    if shapes != wanted:
        raise ShapeError(f"{name}: shapes {', '.join(map(str, shapes))} do not fit; they must be {words}")
    dtypes = {x._value.dtype for x in arrays}
    if len(dtypes) > 1 or not dtypes <= set(arrays[0]._device.inexact_dtypes):
        raise DTypeError(
            f"{name}: needs arrays of one floating dtype, got {', '.join(str(x.dtype) for x in arrays)}; cast with pg.astype"
        )


# -- GRU ---------------------------------------------------------------------------------------------
# Cho et al. (2014), with the reset gate behind the product as in cuDNN and PyTorch: r, z = sigma(gx + h w^T + b),
# n = tanh(gx_n + r (h w_n^T + b_n)), h' = n + z (h - n). Kept are r, z, n and what r is multiplied with.


@kernel
def gru_forward(xp: Namespace, gx: Raw, w: Raw, b: Raw, h: Raw, reverse: bool) -> tuple[Raw, Raw]:
    """The states and the gates at all times."""
    hs, gates = [], []
    wt = xp.matrix_transpose(w)
    for t in _times(gx.shape[0], reverse):
        xr, xz, xn = _split(gx[t, ...], 3)
        hr, hz, hn = _split(xp.matmul(h, wt) + b, 3)
        r, z = xp.sigmoid(xr + hr), xp.sigmoid(xz + hz)
        n = xp.tanh(xn + r * hn)
        h = n + z * (h - n)
        hs.append(h)
        gates.append(xp.concat([r, z, n, hn], axis=-1))
    return _ordered(xp, hs, reverse), _ordered(xp, gates, reverse)


@kernel
def gru_backward(xp: Namespace, given: Parts, out: Parts, w: Raw, h0: Raw, reverse: bool) -> tuple[Raw, ...]:
    """The cotangents of gx, of ``h w^T + b`` at all times and of h0, from those of states and gates, either may be None."""
    g_hs, g_gates = given
    hs, gates = out
    dh: Any = None
    dxs, dss = [], []
    for t in _times(hs.shape[0], not reverse):
        r, z, n, hn = _split(gates[t, ...], 4)
        dh = _at(g_hs, t, dh)
        if dh is None:
            dh = xp.zeros_like(hs[t, ...])
        dr, dz, dn, ds = 0, dh * (_before(hs, h0, t, reverse) - n), dh * (1 - z), 0
        if g_gates is not None:
            er, ez, en, es = _split(g_gates[t, ...], 4)
            dr, dz, dn, ds = er, dz + ez, dn + en, es
        an = dn * (1 - n * n)
        ar, az = (an * hn + dr) * (r * (1 - r)), dz * (z * (1 - z))
        step = xp.concat([ar, az, an * r + ds], axis=-1)
        dxs.append(xp.concat([ar, az, an], axis=-1))
        dss.append(step)
        dh = dh * z + xp.matmul(step, w)
    return _ordered(xp, dxs, not reverse), _ordered(xp, dss, not reverse), dh


def _gru_tangent(xp: Namespace, t: Raw, which: int, out: Parts, w: Raw, h0: Raw, reverse: bool) -> Parts:
    hs, gates = out
    dh: Any = t if which == 3 else xp.zeros_like(h0)
    made: tuple[Parts, Parts] = ([], [])
    for k in _times(hs.shape[0], reverse):
        r, z, n, hn = _split(gates[k, ...], 4)
        before = _before(hs, h0, k, reverse)
        ds = xp.matmul(dh, xp.matrix_transpose(w))
        if which == 1:
            ds = ds + xp.matmul(before, xp.matrix_transpose(t))
        elif which == 2:
            ds = ds + t
        sr, sz, sn = _split(ds, 3)
        xr, xz, xn = _split(t[k, ...], 3) if which == 0 else (0, 0, 0)
        dr, dz = (sr + xr) * (r * (1 - r)), (sz + xz) * (z * (1 - z))
        dn = (xn + dr * hn + r * sn) * (1 - n * n)
        dh = dn + dz * (before - n) + z * (dh - dn)
        made[0].append(dh)
        made[1].append(xp.concat([dr, dz, dn, sn], axis=-1))
    return [_ordered(xp, m, reverse) for m in made]


def _gru_vjp(which: int) -> Callable[..., Any]:
    def rule(xp: Namespace, g: Parts, out: Parts, w: Raw, h0: Raw, reverse: bool, memo: Memo) -> Any:
        dx, ds, dh = memo.get(g, lambda: xp.gru_backward(g, out, w, h0, reverse))
        if which == 1:
            return xp.recurrent_weight_vjp(ds, out[0], h0, reverse)
        return dx if which == 0 else dh if which == 3 else xp.sum(ds, axis=(0, 1))

    return rule


def _gru_jvp(which: int) -> Callable[..., Any]:
    def rule(xp: Namespace, t: Raw, out: Parts, w: Raw, h0: Raw, reverse: bool, memo: Memo) -> Any:
        return _gru_tangent(xp, t, which, out, w, h0, reverse)

    return rule


@op(name="gru", vjps=[_gru_vjp(i) for i in range(4)], jvps=[_gru_jvp(i) for i in range(4)], multiple=True)
def _gru(xp: Namespace, gx: Raw, w: Raw, b: Raw, h0: Raw, /, reverse: bool, memo: Memo) -> tuple[Raw, ...]:
    return xp.gru_forward(gx, w, b, h0, reverse)  # type: ignore[no-any-return]


ON_TENSORS["gru_forward"] = lambda gx, w, b, h, reverse: apply_multiple(_gru, (gx, w, b, h), (reverse, Memo()))


def gru(gx: ArrayLike, w_hh: ArrayLike, b_hh: ArrayLike, h0: ArrayLike, *, reverse: bool = False) -> Tensor:
    """One GRU layer over a whole sequence, from the input's part of the gates.

    Args:
        gx: ``x @ w_ih.T + b_ih``, shape (time, batch, 3 * hidden), gates r, z, n.
        w_hh: shape (3 * hidden, hidden).
        b_hh: shape (3 * hidden,).
        h0: shape (batch, hidden).
        reverse: whether to go from the last time to the first.

    Returns:
        The states at all times, shape (time, batch, hidden).

    >>> import polygrad as pg
    >>> pg.neural.gru(pg.zeros((5, 2, 9)), pg.zeros((9, 3)), pg.zeros(9), pg.ones((2, 3)))[0, 0, 0]
    tensor(0.5, dtype=float64)
    """
    arrays = together("gru", (gx, w_hh, b_hh, h0))
    times, batch = _lengths("gru", arrays[0])
    n = arrays[3]._value.shape[-1]
    _check("gru", arrays, [(times, batch, 3 * n), (3 * n, n), (3 * n,), (batch, n)],
           "(time, batch, 3 * hidden), (3 * hidden, hidden), (3 * hidden,), (batch, hidden)")  # fmt: skip
    return apply_multiple(_gru, arrays, (reverse, Memo()))[0]  # type: ignore[no-any-return]


# -- Elman's network ---------------------------------------------------------------------------------


@kernel
def rnn_forward(xp: Namespace, gx: Raw, w: Raw, h: Raw, relu: bool, reverse: bool) -> Raw:
    """The states at all times."""
    hs = []
    wt = xp.matrix_transpose(w)
    for t in _times(gx.shape[0], reverse):
        z = gx[t, ...] + xp.matmul(h, wt)
        h = xp.relu(z) if relu else xp.tanh(z)
        hs.append(h)
    return _ordered(xp, hs, reverse)


def _rnn_slope(xp: Namespace, h: Raw, relu: bool) -> Raw:
    return xp.astype(h > 0, h.dtype) if relu else 1 - h * h


@kernel
def rnn_backward(xp: Namespace, given: Raw, hs: Raw, w: Raw, relu: bool, reverse: bool) -> tuple[Raw, ...]:
    """The cotangents of gx and h0."""
    dh: Any = None
    dzs = []
    for t in _times(hs.shape[0], not reverse):
        dz = _at(given, t, dh) * _rnn_slope(xp, hs[t, ...], relu)
        dzs.append(dz)
        dh = xp.matmul(dz, w)
    return _ordered(xp, dzs, not reverse), dh


def _rnn_tangent(xp: Namespace, t: Raw, which: int, hs: Raw, w: Raw, h0: Raw, relu: bool, reverse: bool) -> Parts:
    dh: Any = t if which == 2 else xp.zeros_like(h0)
    made = []
    for n in _times(hs.shape[0], reverse):
        dz = xp.matmul(dh, xp.matrix_transpose(w))
        if which == 0:
            dz = dz + t[n, ...]
        elif which == 1:
            dz = dz + xp.matmul(_before(hs, h0, n, reverse), xp.matrix_transpose(t))
        dh = dz * _rnn_slope(xp, hs[n, ...], relu)
        made.append(dh)
    return [_ordered(xp, made, reverse)]


def _rnn_vjp(which: int) -> Callable[..., Any]:
    def rule(xp: Namespace, g: Parts, out: Parts, w: Raw, h0: Raw, relu: bool, reverse: bool, memo: Memo) -> Any:
        walked = memo.get(g, lambda: xp.rnn_backward(g[0], out[0], w, relu, reverse))
        return _cotangent(xp, which, walked, out[0], h0, reverse)

    return rule


def _rnn_jvp(which: int) -> Callable[..., Any]:
    def rule(xp: Namespace, t: Raw, out: Parts, w: Raw, h0: Raw, relu: bool, reverse: bool, memo: Memo) -> Any:
        return _rnn_tangent(xp, t, which, out[0], w, h0, relu, reverse)

    return rule


@op(name="rnn", vjps=[_rnn_vjp(i) for i in range(3)], jvps=[_rnn_jvp(i) for i in range(3)], multiple=True)
def _rnn(xp: Namespace, gx: Raw, w: Raw, h0: Raw, /, relu: bool, reverse: bool, memo: Memo) -> tuple[Raw, ...]:
    return (xp.rnn_forward(gx, w, h0, relu, reverse),)


def rnn(gx: ArrayLike, w_hh: ArrayLike, h0: ArrayLike, *, nonlinearity: str = "tanh", reverse: bool = False) -> Tensor:
    """One layer of Elman's network over a whole sequence: ``h' = tanh(gx + h @ w_hh.T)``, or relu.

    Args:
        gx: ``x @ w_ih.T + b_ih + b_hh``, shape (time, batch, hidden).
        w_hh: shape (hidden, hidden).
        h0: shape (batch, hidden).
        nonlinearity: ``"tanh"`` or ``"relu"``.
        reverse: whether to go from the last time to the first.

    Returns:
        The states at all times, shape (time, batch, hidden).

    >>> import polygrad as pg
    >>> pg.neural.rnn(pg.zeros((5, 2, 3)), pg.eye(3), pg.ones((2, 3)), nonlinearity="relu")[4, 0, 0]
    tensor(1., dtype=float64)
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"rnn: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    arrays = together("rnn", (gx, w_hh, h0))
    times, batch = _lengths("rnn", arrays[0])
    n = arrays[2]._value.shape[-1]
    _check("rnn", arrays, [(times, batch, n), (n, n), (batch, n)],
           "(time, batch, hidden), (hidden, hidden), (batch, hidden)")  # fmt: skip
    return apply_multiple(_rnn, arrays, (nonlinearity == "relu", reverse, Memo()))[0]  # type: ignore[no-any-return]
