"""The distributions: each draws on the host in float64 or int64, rounds to the dtype, moves to the device."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import polygrad as pg
from polygrad.core import drawing
from polygrad.core.cell import new_tensor

from .generator import Generator, current, of_this_trace

__all__ = [
    "bernoulli",
    "categorical",
    "exponential",
    "gumbel",
    "integers",
    "normal",
    "permutation",
    "truncated_normal",
    "uniform",
]


Sample = Callable[[Any, tuple[int, ...], tuple[int, ...]], pg.Tensor]
"""``sample(source, lead, lengths)``: numbers on the host, of shape ``lead + lengths``, from NumPy's generator."""


class _AtEachRun:
    """One draw of a compiled function; equal to itself only."""

    def __init__(self, draw: Callable[[Any], pg.Tensor], generator: Generator | None) -> None:
        self._draw = draw
        self._generator = generator

    def save(self) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        """What reads and what sets the state of the generator."""
        generator = current() if self._generator is None else self._generator
        return generator._state, generator._put

    def __call__(self) -> tuple[Any]:
        return (self._draw(_host(self._generator))._value,)


def _drawn(
    name: str, sample: Sample, shape: int | tuple[int, ...], dtype: Any, device: Any, generator: Generator | None
) -> pg.Tensor:
    """Numbers drawn where the function runs: in a trace at each run, in vmap for each example or for all."""
    place = drawing.place_of(name, pg.default_device() if device is None else pg.Device(device))
    lengths = _lengths(shape)
    trace, replay = drawing.trace(), drawing.replay()

    def draw(source: Any, where: pg.Device) -> pg.Tensor:
        return _rounded(sample(source, place.lead, lengths), dtype, where)

    if trace is None:
        return place.enter(draw(_host(generator), place.device))  # type: ignore[no-any-return]
    if place.device not in (trace.device, trace.inner):
        raise pg.errors.TraceError(
            f"{name}: draws for {place.device} inside a function that is traced for {trace.inner}; a static graph is of one "
            "device"
        )
    numbers = None
    if replay is not None and replay.in_first_trace():
        numbers = replay.array()
    elif replay is not None and replay.in_later_trace():
        with pg.graph.run_once.paused():
            again = draw(_host(generator), trace.inner)._value
        numbers = new_tensor(trace.constant(again), None, trace.device)
    if numbers is None:
        call = _AtEachRun(lambda source: draw(source, trace.inner), of_this_trace() if generator is None else generator)
        (numbers,) = trace.host(call, (), call.save())
    numbers._saved = True  # a second run gets the same array
    for draws in drawing.recording():
        if draws.trace is trace:
            draws.arrays.append(new_tensor(numbers._value, None, numbers._device))
    return place.enter(numbers)  # type: ignore[no-any-return]


def _lengths(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _host(generator: Generator | None) -> Any:
    return (current() if generator is None else generator).host


def _floating(name: str, dtype: Any) -> pg.DType:
    if dtype is None:
        return pg.float64
    if not pg.isdtype(dtype, "real floating"):
        raise pg.errors.DTypeError(f"{name}: draws real floating numbers, not {dtype}")
    return pg.finfo(dtype).dtype


def _rounded(x: pg.Tensor, dtype: Any, device: Any) -> pg.Tensor:
    """Drawn values in the dtype on the device; bfloat16, which NumPy lacks, is made there."""
    if dtype is None:
        return x.to_device(device)
    host_dtype = pg.float32 if dtype is pg.bfloat16 else dtype
    return x.astype(host_dtype, copy=False).to_device(device).astype(dtype, copy=False)


def _cpu(x: Any) -> pg.Tensor:
    return pg.asarray(x, device="cpu")


def _numbers(*parameters: Any) -> bool:
    """Whether all parameters of a distribution are Python's or NumPy's numbers."""
    return all(
        isinstance(x, (int, float)) or (getattr(x, "shape", None) == () and not isinstance(x, pg.Tensor))
        for x in parameters
    )


def _known(x: Any) -> bool:
    """Whether a condition on parameters can be looked at: not in a trace, nor if each example has its own."""
    return not isinstance(x, pg.Tensor) or not x.device.backend.lazy


def _refuse(wrong: Any, error: str, *shown: Any) -> None:
    """Raise a ValueError where parameters are wrong."""
    if _known(wrong) and bool(pg.any(wrong) if isinstance(wrong, pg.Tensor) else wrong):
        raise ValueError(f"{error}, got {' and '.join(str(x) for x in shown)}")


def _standard(source: Any, lead: tuple[int, ...], lengths: tuple[int, ...]) -> pg.Tensor:
    return _cpu(source.standard_normal(lead + lengths))


def _shares(source: Any, lead: tuple[int, ...], lengths: tuple[int, ...]) -> pg.Tensor:
    return _cpu(source.random(lead + lengths))


def normal(
    shape: int | tuple[int, ...],
    mean: Any = 0.0,
    std: Any = 1.0,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> pg.Tensor:
    """Independent normal numbers.

    Args:
        shape: the result's shape.
        mean, std: of the distribution: numbers, or arrays that broadcast against ``shape``, to which the result is
            differentiable.
        dtype: a real floating dtype; float64 unless told.
        device: where the result lives; the default device unless told.
        generator: what draws; the default generator unless told.

    Raises:
        ValueError: if ``std`` is negative.
        VmapError: inside ``vmap`` if its ``randomness`` is ``"error"``. So do all draws.

    >>> import polygrad as pg
    >>> pg.random.normal((4,), generator=pg.random.Generator(0)).shape
    (4,)
    """
    want = _floating("normal", dtype)
    _refuse(std < 0, "normal: std must be >= 0", std)
    if _numbers(mean, std):
        return _drawn("normal", lambda *a: _standard(*a) * std + mean, shape, want, device, generator)
    return _of_parameters(want, _drawn("normal", _standard, shape, pg.float64, device, generator) * std + mean)


def _of_parameters(dtype: Any, x: pg.Tensor) -> pg.Tensor:
    """Numbers computed from parameters that are arrays, in the dtype."""
    return x.astype(dtype, copy=False)


def uniform(
    shape: int | tuple[int, ...],
    low: Any = 0.0,
    high: Any = 1.0,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> pg.Tensor:
    """Independent numbers, uniform in ``low <= x < high`` (after rounding to the dtype, too).

    Args as for :func:`normal`.

    Raises:
        ValueError: if ``low > high``.

    >>> import polygrad as pg
    >>> x = pg.random.uniform(1000, -1.0, 1.0, dtype="float32")
    >>> bool(pg.all((x >= -1) & (x < 1)))
    True
    """
    want = _floating("uniform", dtype)
    _refuse(low > high, "uniform: low must not be above high", low, high)
    kind = pg.float32 if want is pg.bfloat16 else want
    if not _numbers(low, high):
        shares = _drawn("uniform", _shares, shape, pg.float64, device, generator)
        ends = [x if isinstance(x, pg.Tensor) else pg.asarray(x, device=shares.device) for x in (low, high)]
        values = (shares * (ends[1] - ends[0]) + ends[0]).astype(kind, copy=False)
        bound = [pg.astype(x.detach(), kind) for x in ends]
        return _of_parameters(want, pg.minimum(values, pg.nextafter(bound[1], bound[0])))

    def sample(source: Any, lead: tuple[int, ...], lengths: tuple[int, ...]) -> pg.Tensor:
        values = (_shares(source, lead, lengths) * (high - low) + low).astype(kind, copy=False)
        # Rounding may reach ``high``; the number before it is the largest that belongs.
        ends = pg.asarray([high, low], dtype=kind, device="cpu")
        return pg.minimum(values, pg.nextafter(ends[0], ends[1]))

    return _drawn("uniform", sample, shape, want, device, generator)


def bernoulli(
    shape: int | tuple[int, ...],
    p: Any = 0.5,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> pg.Tensor:
    """True with probability ``p``: booleans, or 1 and 0 of ``dtype``. No gradient goes to ``p``.

    Raises:
        ValueError: if ``p`` is not in 0 to 1.

    >>> import polygrad as pg
    >>> pg.random.bernoulli(3, 1.0, dtype="float32")
    tensor([1., 1., 1.], dtype=float32)
    """
    name = "bernoulli"
    _refuse((p < 0) | (p > 1), "bernoulli: p is a probability, 0 to 1", p)
    _refuse(p != p, "bernoulli: p is a probability, 0 to 1", p)
    if _numbers(p):
        drawn = _drawn(name, lambda *a: _shares(*a) < p, shape, None, device, generator)
    else:
        drawn = _drawn(name, _shares, shape, pg.float64, device, generator) < p
    return drawn if dtype is None else drawn.astype(dtype, copy=False)


def integers(
    shape: int | tuple[int, ...],
    low: int,
    high: int,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> pg.Tensor:
    """Independent integers, uniform in ``low <= x < high``; int64 unless told.

    Raises:
        ValueError: if ``low >= high``.
        DTypeError: if ``dtype`` is no integer dtype, or does not hold the range.

    >>> import polygrad as pg
    >>> pg.random.integers((2, 2), 5, 6)
    tensor([[5, 5],
            [5, 5]], dtype=int64)
    """
    want = pg.int64 if dtype is None else dtype
    if not pg.isdtype(want, "integral"):
        raise pg.errors.DTypeError(f"integers: draws integers, not {dtype}")
    limits = pg.iinfo(want)
    low, high = operator.index(low), operator.index(high)
    if low >= high:
        raise ValueError(f"integers: low must be below high, got {low} and {high}")
    if low < limits.min or high - 1 > limits.max:
        raise pg.errors.DTypeError(
            f"integers: {limits.dtype} holds {limits.min} to {limits.max}, not {low} to {high - 1}"
        )
    wide = "uint64" if high - 1 > pg.iinfo("int64").max else "int64"

    def sample(source: Any, lead: tuple[int, ...], lengths: tuple[int, ...]) -> pg.Tensor:
        drawn = source.integers(low, high - 1, size=lead + lengths, dtype=wide, endpoint=True)
        return pg.asarray(drawn, dtype=limits.dtype, device="cpu", copy=True)

    return _drawn("integers", sample, shape, None, device, generator)


def permutation(n: int, *, device: Any = None, generator: Generator | None = None) -> pg.Tensor:
    """The numbers 0 to ``n - 1`` in random order, as int64.

    >>> import polygrad as pg
    >>> pg.sort(pg.random.permutation(4))
    tensor([0, 1, 2, 3], dtype=int64)
    """

    def sample(source: Any, lead: tuple[int, ...], lengths: tuple[int, ...]) -> pg.Tensor:
        rows = [source.permutation(n).tolist() for _ in range(math.prod(lead))]
        return pg.reshape(pg.asarray(rows, dtype="int64", device="cpu"), (*lead, n))

    return _drawn("permutation", sample, n, None, device, generator)


def exponential(
    shape: int | tuple[int, ...],
    scale: Any = 1.0,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> pg.Tensor:
    """Independent exponential numbers of mean ``scale``. Other args as for :func:`normal`.

    Raises:
        ValueError: if ``scale`` is negative.

    >>> import polygrad as pg
    >>> bool(pg.all(pg.random.exponential(100, 2.0) >= 0))
    True
    """
    want = _floating("exponential", dtype)
    _refuse(scale < 0, "exponential: scale must be >= 0", scale)

    def sample(source: Any, lead: tuple[int, ...], lengths: tuple[int, ...]) -> pg.Tensor:
        return _cpu(source.standard_exponential(lead + lengths))

    if _numbers(scale):
        return _drawn("exponential", lambda *a: sample(*a) * scale, shape, want, device, generator)
    return _of_parameters(want, _drawn("exponential", sample, shape, pg.float64, device, generator) * scale)


def gumbel(
    shape: int | tuple[int, ...],
    loc: Any = 0.0,
    scale: Any = 1.0,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> pg.Tensor:
    """Independent numbers of the standard Gumbel distribution times ``scale``, plus ``loc``: added to logits, their
    largest is at a class drawn by its probability. Other args as for :func:`normal`.

    Raises:
        ValueError: if ``scale`` is negative.

    >>> import polygrad as pg
    >>> pg.random.gumbel((2, 3)).shape
    (2, 3)
    """
    want = _floating("gumbel", dtype)
    _refuse(scale < 0, "gumbel: scale must be >= 0", scale)
    if _numbers(loc, scale):
        return _drawn("gumbel", lambda s, a, b: _cpu(s.gumbel(loc, scale, a + b)), shape, want, device, generator)
    standard = _drawn("gumbel", lambda s, a, b: _cpu(s.gumbel(size=a + b)), shape, pg.float64, device, generator)
    return _of_parameters(want, standard * scale + loc)


def truncated_normal(
    shape: int | tuple[int, ...],
    mean: Any = 0.0,
    std: Any = 1.0,
    low: Any = -2.0,
    high: Any = 2.0,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> pg.Tensor:
    """Independent normal numbers, those outside of ``low <= x <= high`` drawn anew. Other args as for :func:`normal`.

    By inversion: a uniform number between the bounds' probabilities, through the normal distribution's quantile.

    Raises:
        ValueError: if ``std`` is not positive, or ``low >= high``.

    >>> import polygrad as pg
    >>> x = pg.random.truncated_normal(1000, std=3.0)
    >>> bool(pg.all((x >= -2) & (x <= 2)))
    True
    """
    want = _floating("truncated_normal", dtype)
    error = "truncated_normal: needs std > 0 and low < high"
    _refuse(std <= 0, error, f"std={std}, low={low}, high={high}")
    _refuse(low >= high, error, f"std={std}, low={low}, high={high}")
    name = "truncated_normal"

    def inverted(share: pg.Tensor) -> pg.Tensor:
        a, b = [pg.asarray((x - mean) / std, device=share.device) for x in (low, high)]
        # In the lower tail probabilities are exact, in the upper one they round to 1.
        side = pg.where(a > 0, -1.0, 1.0)
        below = [pg.special.ndtr(side * x) for x in (a, b)]
        x = side * pg.special.ndtri(below[0] + (below[1] - below[0]) * share)
        return pg.clip(x * std + mean, low, high)

    if _numbers(mean, std, low, high):
        return _drawn(name, lambda *a: inverted(_shares(*a)), shape, want, device, generator)
    return _of_parameters(want, inverted(_drawn(name, _shares, shape, pg.float64, device, generator)))


def categorical(
    logits: pg.Tensor,
    shape: int | tuple[int, ...] = (),
    *,
    axis: int = -1,
    generator: Generator | None = None,
) -> pg.Tensor:
    """Classes drawn by their logits, the logarithms of their probabilities up to a constant.

    Args:
        logits: a Tensor; the classes are along ``axis``. Where they live, the result does.
        shape: how many draws for each row, as leading axes; one without an axis unless told.
        axis: of the classes.
        generator: what draws; the current generator unless told.

    Returns:
        int64, of shape ``shape`` and then the logits' without their classes. No gradient goes through it.

    Raises:
        ShapeError: if there are no classes.

    >>> import polygrad as pg
    >>> pg.random.categorical(pg.asarray([[0.0, -1000.0], [-1000.0, 0.0]]))
    tensor([0, 1], dtype=int64)
    """
    logits = pg.asarray(logits).detach()
    if not logits.ndim or not logits.shape[axis]:
        raise pg.errors.ShapeError(f"categorical: there are no classes along axis {axis} of shape {logits.shape}")
    logits = pg.moveaxis(logits, axis, -1)
    noise = gumbel((*_lengths(shape), *logits.shape), device=logits.device, generator=generator)
    return pg.astype(pg.argmax(pg.astype(logits, noise.dtype) + noise, axis=-1), pg.int64, copy=False)
