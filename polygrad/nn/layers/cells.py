"""Recurrent cells: one step of the layers of :mod:`.recurrent`, from plain operations."""

from __future__ import annotations

import math
from typing import Any

import polygrad as pg

from .. import functional as F
from .. import init
from ..module import Module
from ..parameter import Parameter

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class _Cell(Module):
    gates: int
    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        n = self.gates * hidden_size
        shapes = {"weight_ih": (n, input_size), "weight_hh": (n, hidden_size), "bias_ih": (n,), "bias_hh": (n,)}
        for name, shape in shapes.items():
            wanted = bias or name.startswith("weight")
            self.register_parameter(name, Parameter(pg.zeros(shape, dtype=dtype, device=device)) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self, generator: pg.random.Generator | None = None) -> None:
        """Draw the parameters anew, uniform in +-1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound, generator=generator)

    def _input(self, given: Any) -> pg.Tensor:
        input: pg.Tensor = given if isinstance(given, pg.Tensor) else pg.asarray(given)
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise pg.errors.ShapeError(
                f"{type(self).__qualname__}: input of shape {input.shape}; it must be (batch, {self.input_size}) or "
                f"({self.input_size},)"
            )
        return input

    def _state(self, name: str, given: Any, input: pg.Tensor) -> pg.Tensor:
        wanted = (*input.shape[:-1], self.hidden_size)
        if given is None:
            return pg.zeros(wanted, dtype=input.dtype, device=input.device)
        if given.shape != wanted:
            raise pg.errors.ShapeError(
                f"{type(self).__qualname__}: {name} of shape {given.shape} does not fit input of shape {input.shape}; it must "
                f"be {wanted}"
            )
        return given  # type: ignore[no-any-return]

    def _parts(self, x: pg.Tensor, h: pg.Tensor) -> tuple[pg.Tensor, pg.Tensor]:
        return F.linear(x, self.weight_ih, self.bias_ih), F.linear(h, self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


def _split(z: pg.Tensor, n: int) -> list[pg.Tensor]:
    return [z[..., i : i + n] for i in range(0, z.shape[-1], n)]


class RNNCell(_Cell):
    """``h' = tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)``, or relu.

    Args:
        input_size, hidden_size: the lengths of the last axis before and after.
        bias: whether there are biases.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device, dtype: of the parameters.

    >>> import polygrad as pg
    >>> pg.nn.RNNCell(3, 4)(pg.ones((2, 3))).shape
    (2, 4)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> pg.Tensor:
        """``input`` of shape (batch, input_size) or (input_size,), ``hx`` likewise with hidden_size; zeros unless told."""
        input = self._input(input)
        zx, zh = self._parts(input, self._state("hx", hx, input))
        return pg.tanh(zx + zh) if self.nonlinearity == "tanh" else pg.relu(zx + zh)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", nonlinearity={self.nonlinearity}" if self.nonlinearity != "tanh" else "")


class LSTMCell(_Cell):
    """One step of :class:`LSTM`.

    >>> import polygrad as pg
    >>> h, c = pg.nn.LSTMCell(3, 4)(pg.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    gates = 4

    def forward(self, input: Any, hx: Any = None) -> tuple[pg.Tensor, pg.Tensor]:
        """``input`` of shape (batch, input_size) or (input_size,), ``hx`` a pair of state and cell; zeros unless told."""
        input = self._input(input)
        h, c = (None, None) if hx is None else hx
        h, c = self._state("h_0", h, input), self._state("c_0", c, input)
        zx, zh = self._parts(input, h)
        i, f, g, o = _split(zx + zh, self.hidden_size)
        c = pg.sigmoid(f) * c + pg.sigmoid(i) * pg.tanh(g)
        return pg.sigmoid(o) * pg.tanh(c), c


class GRUCell(_Cell):
    """One step of :class:`GRU`.

    >>> import polygrad as pg
    >>> pg.nn.GRUCell(3, 4)(pg.ones((2, 3))).shape
    (2, 4)
    """

    gates = 3

    def forward(self, input: Any, hx: Any = None) -> pg.Tensor:
        """``input`` of shape (batch, input_size) or (input_size,), ``hx`` likewise with hidden_size; zeros unless told."""
        input = self._input(input)
        h = self._state("hx", hx, input)
        zx, zh = self._parts(input, h)
        (xr, xz, xn), (hr, hz, hn) = _split(zx, self.hidden_size), _split(zh, self.hidden_size)
        r, z = pg.sigmoid(xr + hr), pg.sigmoid(xz + hz)
        n = pg.tanh(xn + r * hn)
        return n + z * (h - n)
