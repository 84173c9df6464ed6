"""The distributions: each draws on the host in float64 or int64, rounds to the dtype, moves to the device."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import polygrad as pg
from polygrad.core.chance import mappings, note_draw, note_generator, repeated
from polygrad.transforms.batching import batched, is_level

from .generator import Generator, current

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


D = TypeVar("D", bound="Callable[..., pg.Tensor]")


def _at_each_run(draw: D) -> D:
    """Have a compiled function draw anew at each run."""

    def once(*args: Any, device: Any = None, **kwargs: Any) -> pg.Tensor:
        graph = sys.modules.get("polygrad.graph.run_once")
        trace = None if graph is None else graph.running()
        if trace is None:
            note_generator(kwargs.get("generator") or current())
            return draw(*args, device=device, **kwargs)
        again = repeated(draw.__name__, None)
        if again is not None:
            note_draw(again)
            return again  # type: ignore[no-any-return]
        place = pg.default_device() if device is None else pg.Device(device)
        if place not in (trace.device, trace.inner):
            raise pg.errors.TraceError(
                f"{draw.__name__}: draws for {place} inside a function that is traced for {trace.inner}; "
                "a static graph is of one device"
            )
        call = _Draw(draw, args, {**kwargs, "device": trace.inner})
        made: pg.Tensor = trace.host(call, (), call.save())[0]
        note_draw(made)
        return made

    @functools.wraps(draw)
    def drawn(*args: Any, device: Any = None, **kwargs: Any) -> pg.Tensor:
        if not mappings():
            return once(*args, device=device, **kwargs)
        return _in_vmap(draw, once, args, {**kwargs, "device": _below(device)})

    return drawn  # type: ignore[return-value]


def _below(device: Any) -> Any:
    """The ordinary device that a device of a vmap is over."""
    place = pg.default_device() if device is None else pg.Device(device)
    return place.backend.base if is_level(place) else place  # type: ignore[attr-defined]


def _in_vmap(
    draw: Callable[..., pg.Tensor], once: Callable[..., pg.Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> pg.Tensor:
    """A draw inside vmap: for each example, or one for all."""
    name, running = draw.__name__, mappings()
    if any(m.randomness == "error" for m in running):
        raise pg.errors.VmapError(
            f"{name}: a random draw inside vmap can mean one for each example or one for all; say which: "
            'pg.vmap(f, randomness="different") or randomness="same". Or draw outside, and map over the result'
        )
    different = [m for m in running if m.randomness == "different"]
    if not different:
        return once(*args, **kwargs)
    parameters = [x for x in (*args, *kwargs.values()) if isinstance(x, pg.Tensor) and is_level(x.device)]
    if parameters:
        raise pg.errors.VmapError(
            f"{name}: a parameter differs between the examples; draw with fixed ones and shift and scale the result"
        )
    count = math.prod(m.size for m in different)
    given = inspect.signature(draw).bind(*args, **kwargs)
    given.apply_defaults()
    if "shape" in given.arguments:
        given.arguments["shape"] = (count, *_lengths(given.arguments["shape"]))
        draws = once(*given.args, **given.kwargs)
    else:
        draws = pg.stack([once(*args, **kwargs) for _ in range(count)])
    value = pg.reshape(draws, (*(m.size for m in different), *draws.shape[1:]))
    for m in different:
        value = batched(value, m.level)
    return value


class _Draw:
    """One draw of a compiled function; equal to itself only."""

    def __init__(self, draw: Callable[..., pg.Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._call = functools.partial(draw, *args, **kwargs)
        self._generator: Generator | None = kwargs.get("generator")

    def save(self) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        """What reads and what sets the state of the generator."""
        generator = current() if self._generator is None else self._generator
        return generator.get_state, generator.set_state

    def __call__(self) -> tuple[Any]:
        return (self._call()._value,)


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


def _delivered(x: pg.Tensor, device: Any) -> pg.Tensor:
    return x.to_device(pg.default_device() if device is None else device)


def _rounded(x: pg.Tensor, dtype: pg.DType, device: Any) -> pg.Tensor:
    """Drawn float64 values in the dtype on the device; bfloat16, which NumPy lacks, is made there."""
    host_dtype = pg.float32 if dtype is pg.bfloat16 else dtype
    return _delivered(x.astype(host_dtype, copy=False), device).astype(dtype, copy=False)


@_at_each_run
def normal(
    shape: int | tuple[int, ...],
    mean: float = 0.0,
    std: float = 1.0,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> pg.Tensor:
    """Independent normal numbers.

    Args:
        shape: the result's shape.
        mean, std: of the distribution.
        dtype: a real floating dtype; float64 unless told.
        device: where the result lives; the default device unless told.
        generator: what draws; the default generator unless told.

    Raises:
        ValueError: if ``std`` is negative.

    >>> import polygrad as pg
    >>> pg.random.normal((4,), generator=pg.random.Generator(0)).shape
    (4,)
    """
    want = _floating("normal", dtype)
    if std < 0:
        raise ValueError(f"normal: std must be >= 0, got {std}")
    values = pg.asarray(_host(generator).standard_normal(_lengths(shape))) * std + mean
    return _rounded(values, want, device)


@_at_each_run
def uniform(
    shape: int | tuple[int, ...],
    low: float = 0.0,
    high: float = 1.0,
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
    if low > high:
        raise ValueError(f"uniform: low must not be above high, got {low} and {high}")
    values = pg.asarray(_host(generator).random(_lengths(shape))) * (high - low) + low
    kind = pg.float32 if want is pg.bfloat16 else want
    values = values.astype(kind, copy=False)
    # Rounding may reach ``high``; the number before it is the largest that belongs.
    ends = pg.asarray([high, low], dtype=kind, device="cpu")
    values = pg.minimum(values, pg.nextafter(ends[0], ends[1]))
    return _rounded(values, want, device)


@_at_each_run
def bernoulli(
    shape: int | tuple[int, ...],
    p: float = 0.5,
    *,
    dtype: Any = None,
    device: Any = None,
    generator: Generator | None = None,
) -> pg.Tensor:
    """True with probability ``p``: booleans, or 1 and 0 of ``dtype``.

    Raises:
        ValueError: if ``p`` is not in 0 to 1.

    >>> import polygrad as pg
    >>> pg.random.bernoulli(3, 1.0, dtype="float32")
    tensor([1., 1., 1.], dtype=float32)
    """
    if not 0 <= p <= 1:
        raise ValueError(f"bernoulli: p is a probability, 0 to 1, got {p}")
    drawn = _delivered(pg.asarray(_host(generator).random(_lengths(shape))) < p, device)
    return drawn if dtype is None else drawn.astype(dtype, copy=False)


@_at_each_run
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
    if low >= high:
        raise ValueError(f"integers: low must be below high, got {low} and {high}")
    if low < limits.min or high - 1 > limits.max:
        raise pg.errors.DTypeError(
            f"integers: {limits.dtype} holds {limits.min} to {limits.max}, not {low} to {high - 1}"
        )
    wide = "uint64" if high - 1 > pg.iinfo("int64").max else "int64"
    drawn = _host(generator).integers(low, high - 1, size=_lengths(shape), dtype=wide, endpoint=True)
    return _delivered(pg.asarray(drawn, dtype=limits.dtype, copy=True), device)


@_at_each_run
def permutation(n: int, *, device: Any = None, generator: Generator | None = None) -> pg.Tensor:
    """The numbers 0 to ``n - 1`` in random order, as int64.

    >>> import polygrad as pg
    >>> pg.sort(pg.random.permutation(4))
    tensor([0, 1, 2, 3], dtype=int64)
    """
    return _delivered(pg.asarray(_host(generator).permutation(n), dtype="int64", copy=True), device)


@_at_each_run
def exponential(
    shape: int | tuple[int, ...],
    scale: float = 1.0,
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
    if scale < 0:
        raise ValueError(f"exponential: scale must be >= 0, got {scale}")
    return _rounded(pg.asarray(_host(generator).standard_exponential(_lengths(shape))) * scale, want, device)


@_at_each_run
def gumbel(
    shape: int | tuple[int, ...],
    loc: float = 0.0,
    scale: float = 1.0,
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
    if scale < 0:
        raise ValueError(f"gumbel: scale must be >= 0, got {scale}")
    return _rounded(pg.asarray(_host(generator).gumbel(loc, scale, _lengths(shape))), want, device)


@_at_each_run
def truncated_normal(
    shape: int | tuple[int, ...],
    mean: float = 0.0,
    std: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
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
    if std <= 0 or low >= high:
        raise ValueError(f"truncated_normal: needs std > 0 and low < high, got std={std}, low={low}, high={high}")
    ends = pg.asarray([(low - mean) / std, (high - mean) / std], dtype="float64", device="cpu")
    turned = bool(ends[0] > 0)  # in the lower tail probabilities are exact, in the upper one they round to 1
    below = pg.special.ndtr(-ends if turned else ends)
    share = pg.asarray(_host(generator).random(_lengths(shape)))
    x = pg.special.ndtri(below[0] + (below[1] - below[0]) * share)
    values = pg.clip((-x if turned else x) * std + mean, low, high)
    return _rounded(values, want, device)


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
