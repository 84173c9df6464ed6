"""Random programs over arrays of every kind: 0-d, empty and broadcast shapes, half precision to complex, views and writes.

Eager code, planned graphs and machine code give the same numbers, or raise the same kind of error.
``POLYGRAD_EXAMPLES=20000 POLYGRAD_SEED=7 python -m pytest tests/graph/test_random_arrays.py`` tries that many.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from polygrad_backends.native.engine import reason as native_reason

import polygrad as pg

EXAMPLES: Final = int(os.environ.get("POLYGRAD_EXAMPLES", "50"))
SEED: Final = int(os.environ.get("POLYGRAD_SEED", "0"))
EXECUTORS: Final = ["planned"] + (["native"] if native_reason() is None else [])
CHUNK: Final = 50

DTYPES: Final = (
    "float16",
    "float32",
    "float64",
    "float64",
    "complex64",
    "complex128",
    "int32",
    "int64",
    "uint8",
    "bool",
)
SHAPES: Final = (
    (),
    (1,),
    (3,),
    (0,),
    (1, 3),
    (2, 3),
    (2, 1),
    (0, 3),
    (2, 0, 1),
    (2, 2, 3),
    (4, 1, 3),
    (2, 3, 4, 5),
    (40, 3),
)
TOLERANCE: Final = {"float16": 4e-3, "float32": 2e-5, "complex64": 2e-5, "float64": 1e-11, "complex128": 1e-11}


class Step(NamedTuple):
    name: str
    left: int
    right: int
    k: int


def inexact(x: Any) -> bool:
    return x.dtype.kind in "fc"


def real(x: Any) -> Any:
    return pg.real(x) if x.dtype.kind == "c" else x


def floating(x: Any) -> Any:
    return x if inexact(x) else pg.astype(x, "float32")


def small(x: Any) -> Any:
    """The same within (-1, 1), so that nothing overflows."""
    x = floating(x)
    return pg.tanh(x) if x.dtype.kind == "f" else x / (1 + abs(x))


def fitting(a: Any, b: Any) -> Any:
    """``b`` if it broadcasts with ``a``, else its sum."""
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return pg.sum(b)
    return b


def alike(a: Any, b: Any) -> tuple[Any, Any]:
    """Both within bounds and of a dtype that both promote to."""
    a, b = small(a), small(fitting(a, b))
    return a, b


def axes(a: Any, k: int) -> Any:
    ways: list[Any] = [None, *range(a.ndim), *[(0, i) for i in range(1, a.ndim)], tuple(range(a.ndim))]
    return ways[k % len(ways)]


def key(a: Any, k: int) -> Any:
    if not a.ndim:
        return (Ellipsis, () if k % 2 else None)[: k % 2 + 1]
    ways: list[Any] = [
        slice(None, None, -1), slice(1, None), slice(None, None, 2), (Ellipsis, None), (Ellipsis, slice(0, 2)),
        (slice(1, 1), Ellipsis), *([0, -1] if a.shape[0] else []),
    ]  # fmt: skip
    return ways[k % len(ways)]


def put(a: Any, b: Any, k: int) -> Any:
    """Written in place through a view of a copy; the base is returned."""
    made = floating(a) * 1
    part = made[key(made, k)]
    part *= 0.5
    part += pg.astype(real(pg.sum(small(b))), "float64").item() * 0 + 0.25
    made[...] = made + made
    return made


def write_item(a: Any, b: Any, k: int) -> Any:
    made = floating(a) * 1
    made[key(made, k)] = 0.75
    return made


def put_view(a: Any, b: Any, k: int) -> Any:
    """A view whose base is written afterwards."""
    made = floating(a) * 1
    part = pg.reshape(made, (-1,))
    made *= 2
    return part


OPS: Final[dict[str, Callable[[Any, Any, int], Any]]] = {
    "add": lambda a, b, k: a + fitting(a, b) if (a.dtype.kind == b.dtype.kind != "b") else alike(a, b)[0] + alike(a, b)[1],
    "subtract": lambda a, b, k: alike(a, b)[0] - alike(a, b)[1],
    "multiply": lambda a, b, k: alike(a, b)[0] * alike(a, b)[1],
    "divide": lambda a, b, k: alike(a, b)[0] / (2 + abs(alike(a, b)[1])),
    "maximum": lambda a, b, k: pg.maximum(real(small(a)), real(small(fitting(a, b)))),
    "where": lambda a, b, k: pg.where(real(small(a)) > 0.1017, small(a), 0.5),
    "less": lambda a, b, k: real(small(a)) < 0.3017,  # equal to rounding only, values must not be compared with each other
    "power": lambda a, b, k: small(a) ** (k % 4),
    "number": lambda a, b, k: small(a) * (0.5, 2, -1.5, 1)[k % 4] + (k % 3),
    "negative": lambda a, b, k: -floating(a), "abs": lambda a, b, k: abs(floating(a)),
    "exp": lambda a, b, k: pg.exp(small(a)), "sin": lambda a, b, k: pg.sin(small(a)),
    "sqrt": lambda a, b, k: pg.sqrt(abs(small(a)) + 1), "log": lambda a, b, k: pg.log(abs(small(a)) + 0.5),
    "tanh": lambda a, b, k: pg.tanh(small(a)), "sigmoid": lambda a, b, k: pg.sigmoid(real(small(a))),
    "conj": lambda a, b, k: pg.conj(floating(a)), "real": lambda a, b, k: real(floating(a)),
    "cast": lambda a, b, k: pg.astype(real(small(a)), ("float16", "float32", "float64", "complex64", "complex128")[k % 5]),
    "sum": lambda a, b, k: pg.sum(small(a), axis=axes(a, k)),
    "mean": lambda a, b, k: pg.mean(small(a), axis=axes(a, k)) if a.size else pg.sum(small(a)),
    "sum kept": lambda a, b, k: pg.sum(small(a), axis=axes(a, k), keepdims=True),
    "max": lambda a, b, k: pg.max(real(small(a)), axis=axes(a, k)) if a.size else pg.sum(small(a)),
    "two sums": lambda a, b, k: pg.sum(pg.sum(small(a) * 2, axis=axes(a, k))) + pg.sum(small(a) * 2, axis=axes(a, k + 1)),
    "cumulative": lambda a, b, k: pg.cumulative_sum(small(a), axis=k % a.ndim) / 8 if a.ndim else a,
    "item": lambda a, b, k: a[key(a, k)], "flat": lambda a, b, k: pg.reshape(a, (-1,)),
    "transpose": lambda a, b, k: pg.permute_dims(a, tuple(range(a.ndim))[::-1]),
    "expand": lambda a, b, k: pg.expand_dims(a, axis=k % (a.ndim + 1)) if a.ndim < 4 else a,
    "broadcast": lambda a, b, k: pg.broadcast_to(a, (2, *a.shape)) if a.ndim < 4 else a,
    "concat": lambda a, b, k: pg.concat([a, a], axis=k % a.ndim) if a.ndim and a.size < 500 else a,
    "stack": lambda a, b, k: pg.stack([small(a), -small(a)], axis=k % (a.ndim + 1)) if a.ndim < 4 else a,
    "flip": lambda a, b, k: pg.flip(a, axis=k % a.ndim) if a.ndim else a,
    "matmul": lambda a, b, k: small(a) @ pg.matrix_transpose(small(a)) / 8 if a.ndim > 1 else a,
    "put": put, "write item": write_item, "put view": put_view,
}  # fmt: skip
NAMES: Final = list(OPS)


class Program(NamedTuple):
    """What is computed, and of what."""

    steps: list[Step]
    dtypes: tuple[str, str]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    seed: int

    def inputs(self) -> list[Any]:
        rng = np.random.default_rng(self.seed)
        arrays = []
        for dtype, shape in zip(self.dtypes, self.shapes):
            x = rng.standard_normal(shape) * 1.5
            if dtype.startswith("complex"):
                x = x + 1j * rng.standard_normal(shape)
            arrays.append(np.asarray(abs(x) * 3 if dtype == "uint8" else x).astype(dtype))
        return arrays

    def __call__(self, *inputs: Any) -> Any:
        values = list(inputs)
        for name, left, right, k in self.steps:
            a, b = values[-1 - left % len(values)], values[-1 - right % len(values)]
            made = OPS[name](a, b, k)
            values.append(made if made.size <= 4000 else pg.sum(small(made)))
        return tuple(values[2:][-4:])

    def loss(self, *inputs: Any) -> Any:
        parts = [pg.astype(real(pg.sum(small(v))), "float64") for v in self(*inputs) if inexact(v)]
        return sum(parts[1:], parts[0]) if parts else pg.asarray(0.0)


def program(seed: int) -> Program:
    rng = np.random.default_rng(seed)
    pick = lambda options: options[int(rng.integers(len(options)))]  # noqa: E731
    steps = [
        Step(pick(NAMES), int(rng.integers(4)), int(rng.integers(4)), int(rng.integers(12)))
        for _ in range(int(rng.integers(1, 9)))
    ]
    return Program(steps, (pick(DTYPES), pick(DTYPES)), (pick(SHAPES), pick(SHAPES)), seed)


def outcome(f: Callable[..., Any], arrays: list[Any]) -> Any:
    """The results as NumPy arrays, or the error's class."""
    try:
        with np.errstate(all="ignore"):
            made = f(*[pg.asarray(x) for x in arrays])
    except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeError) as error:
        return type(error).__name__ if not isinstance(error, pg.errors.TraceError) else "TraceError"
    return [x.detach().numpy() for x in (made if isinstance(made, tuple) else (made,))]


def agree(a: Any, b: Any, rough: float) -> None:
    if isinstance(a, str) or isinstance(b, str):
        assert a == b or b == "TraceError", (a, b)
        return
    assert len(a) == len(b)
    for x, y in zip(a, b):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        rtol = max(rough, TOLERANCE.get(x.dtype.name, 0.0))
        np.testing.assert_allclose(y, x, rtol=rtol, atol=rtol * max(np.max(np.abs(x), initial=0), 1e-2))


def are_roundings(form: Callable[[Program], Any], p: Program, *outcomes: Any) -> bool:
    """Whether outcomes in single precision differ because large parts cancelled: the same program in double precision says
    that they are equally far from it."""
    wide = p._replace(dtypes=tuple([{"float32": "float64", "complex64": "complex128"}.get(d, d) for d in p.dtypes]))
    if wide == p or any(s.name == "cast" for s in p.steps):
        return False
    exact = outcome(form(wide), [x.astype(d) for x, d in zip(p.inputs(), wide.dtypes, strict=True)])
    if isinstance(exact, str) or any(isinstance(o, str) or len(o) != len(exact) for o in outcomes):
        return False
    one, other = ([float(np.max(np.abs(x - y), initial=0.0)) for x, y in zip(o, exact, strict=True)] for o in outcomes)
    return all(
        a <= 4 * b and b <= 4 * a and a < 1e-3 * (1 + np.max(np.abs(y)))
        for a, b, y in zip(one, other, exact, strict=True)
    )


def roughness(p: Program) -> float:
    """The precision of the coarsest dtype that may take part."""
    names = [*p.dtypes, *["float16" for s in p.steps if s.name == "cast" and s.k % 5 == 0]]
    single = any(s.name == "cast" for s in p.steps) or any(d in ("int32", "int64", "uint8", "bool") for d in p.dtypes)
    return max([TOLERANCE.get(n, 0.0) for n in names] + [2e-5 if single else 0.0])


def differentiated(p: Program) -> Callable[..., Any] | None:
    chosen = tuple(i for i in range(2) if p.dtypes[i].startswith(("float", "complex")))
    return pg.grad(p.loss, argnums=chosen) if chosen else None


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("start", range(0, EXAMPLES, CHUNK))
def test_eager_and_compiled_agree(start: int, executor: str) -> None:
    for seed in range(SEED * 1_000_000 + start, SEED * 1_000_000 + min(start + CHUNK, EXAMPLES)):
        p = program(seed)
        rough = roughness(p)
        try:
            for form in (lambda p: p, differentiated):
                f = form(p)
                if f is None:
                    continue
                expected = outcome(f, p.inputs())
                compiled = pg.compile(f, executor=executor)
                for _ in range(2):
                    found = outcome(compiled, p.inputs())
                    try:
                        agree(expected, found, rough)
                    except AssertionError:
                        if not are_roundings(form, p, expected, found):
                            raise
                for entry in [e for _, e in compiled._entries]:
                    assert not entry.run.plan.instead  # machine code did it, and did not leave it to NumPy
        except Exception as error:
            error.add_note(f"program {seed}: {p}")
            raise
