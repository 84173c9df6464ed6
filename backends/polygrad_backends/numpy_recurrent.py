"""Recurrent layers for NumPy: buffers made once, the fewest calls within the loops over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["recurrent_kernels"]

Generic = Callable[[str], Callable[..., Any]]


def recurrent_kernels(np: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    """The kernels by name."""
    return _lstm(np, generic) | _gru(np, generic)


def _order(n: int, reverse: bool) -> range:
    return range(n - 1, -1, -1) if reverse else range(n)


def _weight_cotangent(np: Any, dz: Any, states: Any, first: Any, reverse: bool) -> Any:
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

    def lstm_forward(gx: Any, w: Any, h: Any, c: Any, reverse: bool) -> Any:
        times, batch, width = gx.shape
        n = width // 4
        scale, offset = _scales(np, n, gx.dtype)
        wt = np.ascontiguousarray((w * scale[:, None]).T)
        gates = multiply(gx, scale, order="C")
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
    # computed for all times at once.
    def lstm_backward(given: Any, out: Any, w: Any, h0: Any, c0: Any, reverse: bool) -> Any:
        g_hs, g_cs, g_gates = given
        hs, cs, gates = out
        if g_gates is not None:
            return generic("lstm_backward")(given, out, w, h0, c0, reverse)
        times, batch, n = hs.shape
        i, f, g, o = (gates[..., k * n : (k + 1) * n] for k in range(4))
        tc = tanh(cs)
        dz = multiply(gates, gates, order="C")  # reshaped below: it must not be copied there
        np.subtract(gates, dz, dz)  # sigma' = sigma - sigma^2
        di, df, dg, do = (dz[..., k * n : (k + 1) * n] for k in range(4))
        multiply(di, g, di)
        if reverse:
            multiply(df[:-1], cs[1:], df[:-1])
            multiply(df[-1], c0, df[-1])
        else:
            multiply(df[1:], cs[:-1], df[1:])
            multiply(df[0], c0, df[0])
        multiply(g, g, dg)
        np.subtract(1, dg, dg)
        multiply(dg, i, dg)
        multiply(do, tc, do)
        into = multiply(tc, tc, tc)
        np.subtract(1, into, into)
        multiply(into, o, into)  # how much of dh goes into dc
        dh, dc = np.zeros((batch, n), hs.dtype), np.zeros((batch, n), hs.dtype)
        part = np.empty((batch, n), hs.dtype)
        thrice = dz.reshape(times, batch, 4, n)[:, :, :3]
        wide = dc[:, None, :]
        for t in _order(times, not reverse):
            if g_hs is not None:
                add(dh, g_hs[t], dh)
            multiply(dh, into[t], part)
            add(dc, part, dc)
            if g_cs is not None:
                add(dc, g_cs[t], dc)
            multiply(thrice[t], wide, thrice[t])
            last = do[t]
            multiply(last, dh, last)
            multiply(dc, f[t], dc)
            matmul(dz[t], w, dh)
        return dz, _weight_cotangent(np, dz, hs, h0, reverse), dh, dc

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
        return dx, _weight_cotangent(np, ds, hs, h0, reverse), ds.sum((0, 1)), dh

    return {"gru_forward": gru_forward, "gru_backward": gru_backward}
