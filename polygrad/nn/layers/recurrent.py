"""Recurrent layers over whole sequences, with PyTorch's parameters."""

from __future__ import annotations

import math
import warnings
from typing import Any

import polygrad as pg

from .. import functional as F
from .. import init
from ..module import Module
from ..parameter import Parameter
from ..utils.rnn import PackedSequence, padded_rows

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent(Module):
    """Layers and directions of one kind of cell."""

    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        name = type(self).__qualname__
        if hidden_size <= 0 or num_layers <= 0:
            raise ValueError(f"{name}: hidden_size and num_layers must be positive, got {hidden_size} and {num_layers}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout is a probability, 0 to 1, got {dropout}")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"{name}: proj_size must be 0 or less than hidden_size, got {proj_size}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout acts between layers, so that dropout={dropout} does nothing with num_layers=1",
                UserWarning,
                stacklevel=3,
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        state = proj_size or hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else state * (1 + bidirectional)
            for suffix in self._suffixes(layer):
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (self.gates * hidden_size, width),
                    "weight_hh": (self.gates * hidden_size, state),
                }
                if bias:
                    shapes |= {"bias_ih": (self.gates * hidden_size,), "bias_hh": (self.gates * hidden_size,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for kind, shape in shapes.items():
                    self.register_parameter(f"{kind}_{suffix}", Parameter(pg.zeros(shape, dtype=dtype, device=device)))
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def reset_parameters(self, generator: pg.random.Generator | None = None) -> None:
        """Draw the parameters anew, uniform in +-1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound, generator=generator)

    def flatten_parameters(self) -> None:
        """Does nothing: here for programs written for PyTorch."""

    def extra_repr(self) -> str:
        shown = [f"{self.input_size}, {self.hidden_size}"]
        for name, usual in (("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False),
                            ("dropout", 0.0), ("bidirectional", False)):  # fmt: skip
            if getattr(self, name) != usual:
                shown.append(f"{name}={getattr(self, name)}")
        return ", ".join(shown)

    # -- shapes --------------------------------------------------------------------------------------

    def _checked(self, input: pg.Tensor) -> None:
        if input.shape[-1:] != (self.input_size,):
            raise pg.errors.ShapeError(
                f"{type(self).__qualname__}: input of shape {input.shape}, but input_size is {self.input_size}: it must be the "
                "length of the last axis"
            )

    def _initial(self, given: Any, name: str, width: int, batch: int, single: bool, like: pg.Tensor) -> pg.Tensor:
        """A first state as (layers * directions, batch, width)."""
        n = self.num_layers * (1 + self.bidirectional)
        if given is None:
            return pg.zeros((n, batch, width), dtype=like.dtype, device=like.device)
        wanted = (n, width) if single else (n, batch, width)
        if given.shape != wanted:
            raise pg.errors.ShapeError(
                f"{type(self).__qualname__}: {name} of shape {given.shape} does not fit; it must be {wanted}"
            )
        return pg.expand_dims(given, axis=1) if single else given

    # -- what it computes ----------------------------------------------------------------------------

    def _parts(self, suffix: str) -> tuple[Any, ...]:
        """The weights and biases of one layer and direction, None where there is none; some may be parametrized."""
        own = [getattr(self, f"weight_ih_{suffix}"), getattr(self, f"weight_hh_{suffix}")]
        own += [getattr(self, f"bias_ih_{suffix}"), getattr(self, f"bias_hh_{suffix}")] if self.bias else [None, None]
        return (*own, getattr(self, f"weight_hr_{suffix}") if self.proj_size else None)

    def _direction(
        self, x: pg.Tensor, suffix: str, first: tuple[pg.Tensor, ...], reverse: bool
    ) -> tuple[pg.Tensor, ...]:
        """The states of all times (time, batch, width) of one layer in one direction, all kinds that the cell has."""
        raise NotImplementedError

    def _projected(self, x: pg.Tensor, weight: pg.Tensor, bias: pg.Tensor | None) -> pg.Tensor:
        """The input's part of the gates, for all times in one product."""
        return F.linear(x, weight, bias)

    def _run(
        self, x: pg.Tensor, first: tuple[pg.Tensor, ...], lengths: list[int] | None
    ) -> tuple[pg.Tensor, tuple[pg.Tensor, ...]]:
        """All layers over (time, batch, width): the last one's states, and all last states."""
        last: list[list[pg.Tensor]] = [[] for _ in first]
        turned = None if lengths is None else _turned(x.shape[0], lengths, x.device)
        k = 0
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            made = []
            for d, suffix in enumerate(self._suffixes(layer)):
                start = tuple(s[k, ...] for s in first)
                k += 1
                backward = d == 1
                if turned is None:
                    states = self._direction(x, suffix, start, backward)
                    ends = [s[0 if backward else -1, ...] for s in states]
                    made.append(states[0])
                else:
                    own = _rows(x, turned) if backward else x
                    states = self._direction(own, suffix, start, False)
                    ends = [_ends(s, lengths or []) for s in states]
                    made.append(_rows(states[0], turned) if backward else states[0])
                for into, end in zip(last, ends, strict=True):
                    into.append(end)
            x = made[0] if len(made) == 1 else pg.concat(made, axis=-1)
        return x, tuple(pg.stack(s) for s in last)

    def _padded(self, input: Any) -> tuple[pg.Tensor, list[int] | None, bool]:
        """The input as (time, batch, width), the lengths of a packed one, and whether there was no batch."""
        if isinstance(input, PackedSequence):
            self._checked(input.data)
            sizes = input.batch_sizes.tolist()
            rows, _ = padded_rows(sizes, len(sizes))
            flat = pg.take(input.data, pg.asarray(rows, dtype="int64", device=input.data.device), axis=0)
            return pg.reshape(flat, (len(sizes), sizes[0], -1)), input.lengths(), False
        if not isinstance(input, pg.Tensor):
            input = pg.asarray(input)
        if input.ndim not in (2, 3):
            raise pg.errors.ShapeError(
                f"{type(self).__qualname__}: input of shape {input.shape}; it must have two axes (time, input_size) or three, "
                "with the batch"
            )
        self._checked(input)
        single = input.ndim == 2
        if single:
            input = pg.expand_dims(input, axis=1)
        elif self.batch_first:
            input = pg.permute_dims(input, (1, 0, 2))
        if not input.shape[0]:
            raise pg.errors.ShapeError(f"{type(self).__qualname__}: needs at least one time, got none")
        return input, None, single

    def _apply(self, input: Any, given: tuple[Any, ...] | None, widths: tuple[int, ...]) -> tuple[Any, tuple[Any, ...]]:
        x, lengths, single = self._padded(input)
        names = ("h_0", "c_0")
        packed = isinstance(input, PackedSequence)
        first = tuple(
            self._initial(None if given is None else given[i], names[i], n, x.shape[1], single, x)
            for i, n in enumerate(widths)
        )
        order = input.sorted_indices if packed else None
        if order is not None and given is not None:
            first = tuple(pg.take(s, order, axis=1) for s in first)
        out, last = self._run(x, first, lengths)
        if packed:
            if order is not None:
                last = tuple(pg.take(s, input.unsorted_indices, axis=1) for s in last)
            places = [t * x.shape[1] + i for t, n in enumerate(input.batch_sizes.tolist()) for i in range(n)]
            flat = pg.reshape(out, (-1, out.shape[2]))
            data = pg.take(flat, pg.asarray(places, dtype="int64", device=out.device), axis=0)
            return PackedSequence(data, *input[1:]), last
        if single:
            return pg.squeeze(out, axis=1), tuple(pg.squeeze(s, axis=1) for s in last)
        return (pg.permute_dims(out, (1, 0, 2)) if self.batch_first else out), last


def _turned(times: int, lengths: list[int], device: Any) -> pg.Tensor:
    """The rows of (time * batch) that turn each sequence around within its own length."""
    batch = len(lengths)
    rows = [(n - 1 - t if t < n else t) * batch + i for t in range(times) for i, n in enumerate(lengths)]
    return pg.asarray(rows, dtype="int64", device=device)


def _rows(x: pg.Tensor, rows: pg.Tensor) -> pg.Tensor:
    return pg.reshape(pg.take(pg.reshape(x, (-1, x.shape[2])), rows, axis=0), x.shape)


def _ends(states: pg.Tensor, lengths: list[int]) -> pg.Tensor:
    """Each sequence's last state."""
    rows = pg.asarray([(n - 1) * len(lengths) + i for i, n in enumerate(lengths)], dtype="int64", device=states.device)
    return pg.take(pg.reshape(states, (-1, states.shape[2])), rows, axis=0)


class RNN(_Recurrent):
    """Elman's network: ``h' = tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh)``, or relu.

    Args:
        input_size, hidden_size: the lengths of the last axis before and after.
        num_layers: how many layers, each on the states of the one before.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: whether there are biases.
        batch_first: whether input and output are (batch, time, ...) instead of (time, batch, ...).
        dropout: the probability with which a state is dropped between layers, in training.
        bidirectional: whether to go backward in time, too.
        device, dtype: of the parameters.

    Attributes:
        weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0: of the first layer; with ``_reverse`` of the other
            direction. Uniform in +-1/sqrt(hidden_size) at first.

    >>> import polygrad as pg
    >>> out, h = pg.nn.RNN(3, 4)(pg.ones((5, 2, 3)))
    >>> out.shape, h.shape
    ((5, 2, 4), (1, 2, 4))
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )
        self.nonlinearity = nonlinearity

    def _direction(
        self, x: pg.Tensor, suffix: str, first: tuple[pg.Tensor, ...], reverse: bool
    ) -> tuple[pg.Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh, _ = self._parts(suffix)
        gx = self._projected(x, w_ih, None if b_ih is None else b_ih + b_hh)
        return (pg.neural.rnn(gx, w_hh, first[0], nonlinearity=self.nonlinearity, reverse=reverse),)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """``input`` of shape (time, batch, input_size), without batch, or a PackedSequence; ``hx`` of shape
        (layers * directions, batch, hidden_size), zeros unless told. Returns all states of the last layer, and the last
        state of every layer."""
        out, last = self._apply(input, None if hx is None else (hx,), (self.hidden_size,))
        return out, last[0]


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al., 2014), with the reset gate behind the product, as in PyTorch.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: see :class:`RNN`.

    >>> import polygrad as pg
    >>> out, h = pg.nn.GRU(3, 4, bidirectional=True)(pg.ones((5, 2, 3)))
    >>> out.shape, h.shape
    ((5, 2, 8), (2, 2, 4))
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )

    def _direction(
        self, x: pg.Tensor, suffix: str, first: tuple[pg.Tensor, ...], reverse: bool
    ) -> tuple[pg.Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh, _ = self._parts(suffix)
        gx = self._projected(x, w_ih, b_ih)
        if b_hh is None:
            b_hh = pg.zeros((w_hh.shape[0],), dtype=w_hh.dtype, device=w_hh.device)
        return (pg.neural.gru(gx, w_hh, b_hh, first[0], reverse=reverse),)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """See :meth:`RNN.forward`."""
        out, last = self._apply(input, None if hx is None else (hx,), (self.hidden_size,))
        return out, last[0]


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), with projections if told (Sak et al., 2014).

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: see :class:`RNN`.
        proj_size: the length of the states, if they shall be projected to a smaller one than the cells'.

    >>> import polygrad as pg
    >>> out, (h, c) = pg.nn.LSTM(3, 4, num_layers=2, batch_first=True)(pg.ones((2, 5, 3)))
    >>> out.shape, h.shape, c.shape
    ((2, 5, 4), (2, 2, 4), (2, 2, 4))
    """

    gates = 4

    def _direction(
        self, x: pg.Tensor, suffix: str, first: tuple[pg.Tensor, ...], reverse: bool
    ) -> tuple[pg.Tensor, ...]:
        w_ih, w_hh, b_ih, b_hh, w_hr = self._parts(suffix)
        gx = self._projected(x, w_ih, None if b_ih is None else b_ih + b_hh)
        return pg.neural.lstm(gx, w_hh, first[0], first[1], w_hr, reverse=reverse)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, tuple[Any, Any]]:
        """See :meth:`RNN.forward`; ``hx`` is a pair of states and cells, and so is the second result."""
        if hx is not None and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise TypeError(f"LSTM: hx must be a pair (h_0, c_0), got {type(hx).__qualname__}")
        out, last = self._apply(
            input, None if hx is None else tuple(hx), (self.proj_size or self.hidden_size, self.hidden_size)
        )
        return out, (last[0], last[1])
