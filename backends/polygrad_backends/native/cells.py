"""Recurrent layers' cells as LLVM's text: what a step makes of the products, for some columns of one example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from .emit import Lanes
from .functions import sigmoid, tanh

__all__ = ["CELLS", "Cell", "Row"]


class Row(Protocol):
    """Some columns of one example at one time.

    Attributes:
        lanes: as many numbers as there are columns.
        sums: what the product gave, one for each gate of the forward walk, one in all of the backward walk.
    """

    lanes: Lanes
    sums: list[str]

    def has(self, name: str) -> bool:
        """Whether there is such an array."""

    def load(self, name: str, gate: int = 0) -> str:
        """An array's numbers."""

    def store(self, name: str, *gates: str) -> None:
        """Into an array, gate by gate."""

    def carried(self, name: str) -> str:
        """What the step before has left in an array, zeros at first."""


class Cell(NamedTuple):
    """What a layer makes of the products.

    Attributes:
        gates: how many columns of products there are for each state.
        forward, backward: what is done at every step.
        last: what is done with the cotangents of the first state.
        before: arrays of which a step looks at what the step before has made, or at a first value.
        always: arrays that are written even if nobody else looks at them.
    """

    gates: int
    forward: Callable[[Row], None]
    backward: Callable[[Row], None]
    last: Callable[[Row], None]
    before: tuple[tuple[str, str], ...]
    always: frozenset[str]


def _slope(v: Lanes, s: str) -> str:
    """Of a sigmoid function that is s."""
    return v.sub(s, v.mul(s, s))


def _rest(v: Lanes, t: str) -> str:
    """The slope of a hyperbolic tangent that is t."""
    return v.sub(v.number(1.0), v.mul(t, t))


def _lstm_forward(row: Row) -> None:
    v = row.lanes
    zi, zf, zg, zo = (v.add(s, row.load("gx", k)) for k, s in enumerate(row.sums))
    i, f, g, o = sigmoid(v, zi), sigmoid(v, zf), tanh(v, zg), sigmoid(v, zo)
    c = v.fma(f, row.load("c"), v.mul(i, g))
    row.store("cs", c)
    row.store("hs", v.mul(o, tanh(v, c)))
    if row.has("gates"):
        row.store("gates", i, f, g, o)


def _lstm_backward(row: Row) -> None:
    v = row.lanes
    (dh,) = row.sums
    if row.has("g_hs"):
        dh = v.add(dh, row.load("g_hs"))
    i, f, g, o = (row.load("gates", k) for k in range(4))
    tc = tanh(v, row.load("cs"))
    dc = v.fma(v.mul(dh, o), _rest(v, tc), row.carried("dc"))
    if row.has("g_cs"):
        dc = v.add(dc, row.load("g_cs"))
    di, df = v.mul(v.mul(dc, g), _slope(v, i)), v.mul(v.mul(dc, row.load("c")), _slope(v, f))
    dg, do = v.mul(v.mul(dc, i), _rest(v, g)), v.mul(v.mul(dh, tc), _slope(v, o))
    row.store("dc", v.mul(dc, f))
    row.store("dz", di, df, dg, do)


def _gru_forward(row: Row) -> None:
    v = row.lanes
    sr, sz, sn = (v.add(s, row.load("b", k)) for k, s in enumerate(row.sums))
    r, z = sigmoid(v, v.add(sr, row.load("gx", 0))), sigmoid(v, v.add(sz, row.load("gx", 1)))
    n = tanh(v, v.fma(r, sn, row.load("gx", 2)))
    row.store("hs", v.fma(z, v.sub(row.load("h"), n), n))
    if row.has("gates"):
        row.store("gates", r, z, n, sn)


def _gru_backward(row: Row) -> None:
    v = row.lanes
    dh = v.add(v.add(row.sums[0], row.carried("dh")), row.load("g_hs"))
    r, z, n, sn = (row.load("gates", k) for k in range(4))
    dz = v.mul(v.mul(dh, v.sub(row.load("h"), n)), _slope(v, z))
    dn = v.mul(v.mul(dh, v.sub(v.number(1.0), z)), _rest(v, n))
    dr = v.mul(v.mul(dn, sn), _slope(v, r))
    row.store("dh", v.mul(dh, z))
    if row.has("dx"):
        row.store("dx", dr, dz, dn)
    row.store("dz", dr, dz, v.mul(dn, r))


def _rnn_forward(row: Row) -> None:
    v = row.lanes
    row.store("hs", tanh(v, v.add(row.sums[0], row.load("gx"))))


def _relu_forward(row: Row) -> None:
    v = row.lanes
    row.store("hs", v.extreme("greater", v.add(row.sums[0], row.load("gx")), v.number(0.0)))


def _rnn_backward(row: Row) -> None:
    v = row.lanes
    row.store("dz", v.mul(v.add(row.sums[0], row.load("g_hs")), _rest(v, row.load("hs"))))


def _relu_backward(row: Row) -> None:
    v = row.lanes
    slope = v.choose(v.compare("greater", row.load("hs"), v.number(0.0)), v.number(1.0), v.number(0.0))
    row.store("dz", v.mul(v.add(row.sums[0], row.load("g_hs")), slope))


def _state(row: Row) -> None:
    row.store("dh", row.sums[0])


def _gru_state(row: Row) -> None:
    row.store("dh", row.lanes.add(row.sums[0], row.load("dh")))


_STATE: Final = (("h", "hs"),)
CELLS: Final = {
    "lstm": Cell(4, _lstm_forward, _lstm_backward, _state, (*_STATE, ("c", "cs")), frozenset({"hs", "cs", "dz", "dc"})),
    "gru": Cell(3, _gru_forward, _gru_backward, _gru_state, _STATE, frozenset({"hs", "dz", "dh"})),
    "rnn": Cell(1, _rnn_forward, _rnn_backward, _state, _STATE, frozenset({"hs", "dz"})),
    "relu": Cell(1, _relu_forward, _relu_backward, _state, _STATE, frozenset({"hs", "dz"})),
}
"""By name; ``"relu"`` is Elman's with a rectifier."""
