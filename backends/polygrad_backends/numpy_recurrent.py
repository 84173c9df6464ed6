"""Recurrent layers for NumPy: buffers made once, the fewest calls within the loops over time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from .spending import spending

__all__ = ["recurrent_kernels"]

Generic = Callable[[str], Callable[..., Any]]


def recurrent_kernels(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    """The kernels by name."""
    return {"recurrent_weight_vjp": partial(_weight_vjp, np)} | _lstm(np, generic) | _gru(np, generic) | _rnn(np)


_RUN: Final = 1 << 14
"""Of so many states what depends on the forward pass only is computed at once: what that takes stays in the cache."""


def _runs(times: int, most: int, reverse: bool) -> list[slice]:
    """All times in runs of at most so many."""
    runs = [slice(t, min(t + most, times)) for t in range(0, times, most)]
    return runs[::-1] if reverse else runs


def _cells_before(np: Any, cs: Any, first: Any, times: slice, reverse: bool) -> Any:
    """What the cells were before each of some times."""
    if reverse:
        inside = times.stop < len(cs)
        return cs[times.start + 1 : times.stop + 1] if inside else np.concatenate([cs[times.start + 1 :], first[None]])
    return cs[times.start - 1 : times.stop - 1] if times.start else np.concatenate([first[None], cs[: times.stop - 1]])


def _order(n: int, reverse: bool) -> range:
    return range(n - 1, -1, -1) if reverse else range(n)


def _weight_vjp(np: Any, dz: Any, states: Any, first: Any, reverse: bool) -> Any:
    """The sum over all times of ``dz^T before``, without an array of the states before."""
    n, _, width = dz.shape
    if reverse:
        later, early, edge = states[1:], dz[:-1], dz[n - 1]
    else:
        later, early, edge = states[:-1], dz[1:], dz[0]
    made = edge.T @ first
    if n > 1:
        made += early.reshape(-1, width).T @ later.reshape(-1, states.shape[2])
    return made


# -- LSTM --------------------------------------------------------------------------------------------
# sigma(x) = (1 + tanh(x / 2)) / 2: with the halves put into the weights, one tanh serves all four gates.


def _scales(np: Any, n: int, dtype: Any) -> tuple[Any, Any]:
    scale = np.full(4 * n, 0.5, dtype)
    scale[2 * n : 3 * n] = 1
    return scale, 1 - scale


def _lstm(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    add, multiply, matmul, tanh = np.add, np.multiply, np.matmul, np.tanh

    @spending(0)
    def lstm_forward(gx: Any, w: Any, h: Any, c: Any, reverse: bool, spend: bool = False) -> Any:
        times, batch, width = gx.shape
        n = width // 4
        scale, offset = _scales(np, n, gx.dtype)
        wt = np.ascontiguousarray((w * scale[:, None]).T)
        gates = multiply(gx, scale, gx) if spend and gx.flags.c_contiguous else multiply(gx, scale, order="C")
        cs, hs = np.empty((times, batch, n), gx.dtype), np.empty((times, batch, n), gx.dtype)
        z, tc = np.empty((batch, width), gx.dtype), np.empty((batch, n), gx.dtype)
        for t in _order(times, reverse):
            own, cell = gates[t], cs[t]
            matmul(h, wt, z)
            add(own, z, own)
            tanh(own, own)
            multiply(own, scale, own)
            add(own, offset, own)
            multiply(own[:, n : 2 * n], c, cell)
            multiply(own[:, :n], own[:, 2 * n : 3 * n], tc)
            add(cell, tc, cell)
            tanh(cell, tc)
            c, h = cell, hs[t]
            multiply(own[:, 3 * n :], tc, h)
        return hs, cs, gates

    # In the loop the four gates' cotangents are dc, dc, dc, dh times what depends on the forward pass only, which is
    # computed for several times at once.
    @spending(1, 2)
    def lstm_backward(given: Any, out: Any, w: Any, c0: Any, reverse: bool, spend: bool = False) -> Any:
        g_hs, g_cs, g_gates = given
        hs, cs, gates = out
        if g_gates is not None:
            return generic("lstm_backward")(given, out, w, c0, reverse)
        times, batch, n = hs.shape
        dz = gates if spend and gates.flags.c_contiguous else np.empty(gates.shape, gates.dtype)
        dh, dc = np.zeros((batch, n), hs.dtype), np.zeros((batch, n), hs.dtype)
        part = np.empty((batch, n), hs.dtype)
        thrice = dz.reshape(times, batch, 4, n)[:, :, :3]
        wide = dc[:, None, :]
        for several in _runs(times, max(1, _RUN // max(batch * n, 1)), not reverse):
            into, f = slopes(gates[several], cs[several], _cells_before(np, cs, c0, several, reverse), dz[several])
            for t in _order(several.stop - several.start, not reverse):
                at = several.start + t
                if g_hs is not None:
                    add(dh, g_hs[at], dh)
                multiply(dh, into[t], part)
                add(dc, part, dc)
                if g_cs is not None:
                    add(dc, g_cs[at], dc)
                multiply(thrice[at], wide, thrice[at])
                last = dz[at, :, 3 * n :]
                multiply(last, dh, last)
                multiply(dc, f[t], dc)
                matmul(dz[at], w, dh)
        return dz, dh, dc

    def slopes(gates: Any, cs: Any, before: Any, dz: Any) -> tuple[Any, Any]:
        """The derivatives of what the gates take, times what the gates are multiplied by, into ``dz``, which may be the
        gates; how much of dh goes into dc, and the forget gates."""
        n = cs.shape[2]
        i, f, g, o = (gates[..., k * n : (k + 1) * n] for k in range(4))
        di, df, dg, do = (dz[..., k * n : (k + 1) * n] for k in range(4))
        tc = tanh(cs)
        forget = f.copy()
        g_slope = multiply(g, g)
        np.subtract(1, g_slope, g_slope)
        multiply(g_slope, i, g_slope)
        slope = multiply(i, i)
        np.subtract(i, slope, slope)  # sigma' = sigma - sigma^2
        multiply(slope, g, di)
        dg[...] = g_slope
        multiply(f, f, slope)
        np.subtract(f, slope, slope)
        multiply(slope, before, df)
        multiply(o, o, slope)
        np.subtract(o, slope, slope)
        into = multiply(tc, tc)
        np.subtract(1, into, into)
        multiply(into, o, into)
        multiply(slope, tc, do)
        return into, forget

    return {"lstm_forward": lstm_forward, "lstm_backward": lstm_backward}


# -- GRU ---------------------------------------------------------------------------------------------


def _gru(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    add, multiply, matmul, tanh, subtract = np.add, np.multiply, np.matmul, np.tanh, np.subtract

    def gru_forward(gx: Any, w: Any, b: Any, h: Any, reverse: bool) -> Any:
        times, batch, width = gx.shape
        n = width // 3
        half = np.ones(width, gx.dtype)
        half[: 2 * n] = 0.5
        wt, b = np.ascontiguousarray((w * half[:, None]).T), b * half
        gates, hs = np.empty((times, batch, 4 * n), gx.dtype), np.empty((times, batch, n), gx.dtype)
        s, part = np.empty((batch, width), gx.dtype), np.empty((batch, n), gx.dtype)
        scaled = gx[..., : 2 * n] * gx.dtype.type(0.5)
        for t in _order(times, reverse):
            own = gates[t]
            rz, new = own[:, : 2 * n], own[:, 2 * n : 3 * n]
            matmul(h, wt, s)
            add(s, b, s)
            add(s[:, : 2 * n], scaled[t], rz)
            tanh(rz, rz)
            multiply(rz, 0.5, rz)
            add(rz, 0.5, rz)
            own[:, 3 * n :] = s[:, 2 * n :]
            multiply(own[:, :n], s[:, 2 * n :], part)
            add(part, gx[t, :, 2 * n :], part)
            tanh(part, new)
            before, h = h, hs[t]
            subtract(before, new, part)
            multiply(part, own[:, n : 2 * n], part)
            add(part, new, h)
        return hs, gates

    def gru_backward(given: Any, out: Any, w: Any, h0: Any, reverse: bool) -> Any:
        g_hs, g_gates = given
        hs, gates = out
        if g_gates is not None or g_hs is None:
            return generic("gru_backward")(given, out, w, h0, reverse)
        times, batch, n = hs.shape
        r, z, new, hn = (gates[..., k * n : (k + 1) * n] for k in range(4))
        before = np.concatenate([hs[1:], h0[None]] if reverse else [h0[None], hs[:-1]])
        update = (before - new) * (z - z * z)  # times dh: the update gate's cotangent
        fresh = (1 - z) * (1 - new * new)  # times dh: the new state's
        reset = fresh * hn * (r - r * r)
        dx, ds = np.empty((times, batch, 3 * n), hs.dtype), np.empty((times, batch, 3 * n), hs.dtype)
        dh, part = np.zeros((batch, n), hs.dtype), np.empty((batch, n), hs.dtype)
        for t in _order(times, not reverse):
            step = ds[t]
            add(dh, g_hs[t], dh)
            multiply(reset[t], dh, step[:, :n])
            multiply(update[t], dh, step[:, n : 2 * n])
            multiply(fresh[t], dh, dx[t, :, 2 * n :])
            multiply(dx[t, :, 2 * n :], r[t], step[:, 2 * n :])
            matmul(step, w, part)
            multiply(dh, z[t], dh)
            add(dh, part, dh)
        dx[..., : 2 * n] = ds[..., : 2 * n]
        return dx, ds, dh

    return {"gru_forward": gru_forward, "gru_backward": gru_backward}


# -- Elman's network ---------------------------------------------------------------------------------


def _rnn(np: Any) -> dict[str, Callable[..., Any]]:
    add, multiply, matmul, tanh = np.add, np.multiply, np.matmul, np.tanh

    def rnn_forward(gx: Any, w: Any, h: Any, relu: bool, reverse: bool) -> Any:
        hs, wt = np.empty(gx.shape, gx.dtype), np.ascontiguousarray(w.T)
        for t in _order(len(gx), reverse):
            before, h = h, hs[t]
            matmul(before, wt, h)
            add(h, gx[t], h)
            if relu:
                np.maximum(h, 0, out=h)
            else:
                tanh(h, h)
        return hs

    def rnn_backward(given: Any, hs: Any, w: Any, relu: bool, reverse: bool) -> Any:
        if relu:
            dz = (hs > 0).astype(hs.dtype, "C")
        else:
            dz = multiply(hs, hs, order="C")
            np.subtract(1, dz, dz)
        dh = np.zeros(hs.shape[1:], hs.dtype)
        for t in _order(len(hs), not reverse):
            add(dh, given[t], dh)
            multiply(dz[t], dh, dz[t])
            matmul(dz[t], w, dh)
        return dz, dh

    return {"rnn_forward": rnn_forward, "rnn_backward": rnn_backward}
