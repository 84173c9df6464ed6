"""``einsum``: sums of products over named axes, taken apart into products of pairs whose derivatives exist."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..core.operands import together
from ..errors import ShapeError
from .data_types import astype, result_type
from .elementwise import multiply
from .linalg.products import diagonal
from .linear_algebra import matmul, tensordot
from .logic import not_equal
from .manipulation import moveaxis, permute_dims, reshape, squeeze
from .statistical import sum as sum_

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["einsum"]

_DOTS: Final = "..."
_HIDDEN: Final = 0x1000  # the axes under an ellipsis are labelled with characters from here on,
_NUMBERED: Final = 0x2000  # those that are named by numbers from here on

Axes = tuple[int, ...]
Term = tuple[str, ...]
Path = list[Axes]


def einsum(subscripts: Any, /, *operands: Any, optimize: Any = "auto") -> Tensor:
    """The sum of products of ``operands`` over axes that are named by letters, in NumPy's notation.

    ``einsum("ij,jk->ik", a, b)`` or ``einsum(a, [0, 1], b, [1, 2], [0, 2])``. A letter that is missing in the output is
    summed over; without ``->`` the output has the letters that occur once, in alphabetical order. A letter that occurs
    twice in one operand takes the diagonal; ``...`` stands for axes that broadcast. Nothing is conjugated.

    Args:
        subscripts: the letters of each operand, separated by commas, and ``->`` with those of the output.
        operands: the arrays; mixed dtypes promote.
        optimize: in which order to multiply three operands or more: ``"auto"``, or any of opt_einsum's names, chooses
            with opt_einsum where it is installed and else the pair that makes the smallest result first; ``False``
            goes from left to right; a list of positions is a path as NumPy's and opt_einsum's ``contract_path`` give.

    With one operand and nothing to sum the result is a view of it where the library can make one.

    Raises:
        ValueError: for subscripts that cannot be read.
        ShapeError: if the shapes do not fit the subscripts.

    >>> import polygrad as pg
    >>> a, b = pg.asarray([[1.0, 2.0], [3.0, 4.0]]), pg.asarray([1.0, -1.0])
    >>> pg.einsum("ij,j", a, b)
    tensor([-1., -1.], dtype=float64)
    >>> pg.einsum("ii", a)
    tensor(5., dtype=float64)
    """
    if isinstance(subscripts, str):
        arrays: Sequence[Any] = operands
        written = _read(subscripts)
    else:
        arrays, written = _interleaved((subscripts, *operands))
    if not arrays:
        raise ValueError("einsum: needs at least one operand")
    cells = together("einsum", arrays)
    shapes = tuple([tuple(x._value.shape) for x in cells])
    order = optimize if isinstance(optimize, (bool, str)) else _given(optimize)
    plan = _planned(*written, shapes, order)
    first = cells[0].dtype
    common = first if all(x.dtype is first for x in cells) else result_type(*cells)
    if common.kind == "b":
        return not_equal(plan.run([astype(x, "int64") for x in cells]), 0)
    return plan.run([x if x.dtype is common else astype(x, common) for x in cells])  # type: ignore[no-any-return]


# -- the notation ------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _read(subscripts: str) -> tuple[tuple[Term, ...], Term | None]:
    """The terms of the operands, and of the output if there is one; ``...`` is one entry of a term."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = tuple([_term(subscripts, part) for part in inputs.split(",")])
    return terms, _term(subscripts, output) if arrow else None


def _term(subscripts: str, part: str) -> Term:
    before, dots, behind = part.partition(_DOTS)
    letters = before + behind
    if not all(c.isascii() and c.isalpha() for c in letters):
        raise ValueError(
            f"einsum: {part!r} in {subscripts!r}: axes are named by letters, with one '...' at most, operands are separated "
            "by ',' and the output stands behind '->'"
        )
    return (*before, *([dots] if dots else []), *behind)


def _interleaved(given: tuple[Any, ...]) -> tuple[list[Any], tuple[tuple[Term, ...], Term | None]]:
    """``(a, [0, 1], b, [1, 2], [0, 2])`` as arrays and terms."""
    arrays = list(given[: len(given) // 2 * 2 : 2])
    terms = tuple([_numbered(names) for names in given[1::2]])
    return arrays, (terms, _numbered(given[-1]) if len(given) % 2 else None)


def _numbered(names: Any) -> Term:
    if not isinstance(names, (list, tuple)) or not all(n is Ellipsis or (isinstance(n, int) and n >= 0) for n in names):
        raise ValueError(
            f"einsum: behind each array comes the list of its axes, of whole numbers and '...' (Ellipsis), not {names!r}; "
            "or give the subscripts as a string first"
        )
    if sum(n is Ellipsis for n in names) > 1:
        raise ValueError(f"einsum: {names!r} has more than one Ellipsis")
    return tuple([_DOTS if n is Ellipsis else chr(_NUMBERED + n) for n in names])


def _shown(label: str) -> str:
    """A label in an error message."""
    if ord(label) >= _NUMBERED:
        return str(ord(label) - _NUMBERED)
    return f"axis {ord(label) - _HIDDEN} of '...'" if ord(label) >= _HIDDEN else repr(label)


def _labelled(terms: tuple[Term, ...], output: Term | None, ndims: tuple[int, ...]) -> tuple[tuple[Term, ...], Term]:
    """Terms of one label for each axis."""
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: the subscripts are for {len(terms)} operands, {len(ndims)} were given")
    widths = [n - len(t) + 1 if _DOTS in t else 0 for t, n in zip(terms, ndims, strict=True)]
    width = max(widths)
    hidden = [chr(_HIDDEN + i) for i in range(width)]
    made = []
    for k, (term, own, ndim) in enumerate(zip(terms, widths, ndims, strict=True)):
        if own < 0 or (_DOTS not in term and len(term) != ndim):
            names = ", ".join(c if c == _DOTS else _shown(c) for c in term) or "none"
            raise ShapeError(f"einsum: operand {k} has {ndim} dimensions, its subscripts name others: {names}")
        made.append(_filled(term, hidden[width - own :]))
    every = [c for term in made for c in term]
    if output is None:
        return tuple(made), (*hidden, *sorted({c for c in every if c not in hidden and every.count(c) == 1}))
    if width and _DOTS not in output:
        raise ShapeError("einsum: the operands have axes under '...', so the output needs '...' too")
    result = _filled(output, hidden)
    for c in result:
        if result.count(c) > 1:
            raise ValueError(f"einsum: {_shown(c)} occurs twice in the output")
        if c not in every:
            raise ValueError(f"einsum: {_shown(c)} of the output occurs in no operand")
    return tuple(made), result


def _filled(term: Term, hidden: Sequence[str]) -> Term:
    """A term with labels in the place of the ellipsis."""
    at = term.index(_DOTS) if _DOTS in term else len(term)
    return (*term[:at], *(hidden if at < len(term) else ()), *term[at + 1 :])


def _lengths(terms: tuple[Term, ...], shapes: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    """How long each axis is; where one operand has length 1 and another more, it broadcasts."""
    lengths: dict[str, int] = {}
    for k, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        own: dict[str, int] = {}
        for label, n in zip(term, shape, strict=True):
            if own.setdefault(label, n) != n or (lengths.get(label, 1) != 1 and n not in (1, lengths[label])):
                raise ShapeError(
                    f"einsum: {_shown(label)} has length {n} in operand {k} of shape {shape}, and elsewhere "
                    f"{lengths.get(label, own[label])}; the shapes are {', '.join(map(str, shapes))}"
                )
        lengths.update({c: n for c, n in own.items() if n != 1 or c not in lengths})
    return lengths


# -- the plan ----------------------------------------------------------------------------------------
# What to do depends on the subscripts and shapes alone: it is worked out once, and then only carried out.


class _Step(NamedTuple):
    """One product of two: where they stand, how, and what they are brought to before and the result after."""

    first: int
    second: int
    apply: Callable[..., Any]
    orders: tuple[Axes | None, Axes | None] = (None, None)
    shapes: tuple[Axes | None, Axes | None, Axes | None] = (None, None, None)
    options: dict[str, Any] = {}

    def run(self, x: Any, y: Any) -> Any:
        x, y = _arranged(x, self.orders[0], self.shapes[0]), _arranged(y, self.orders[1], self.shapes[1])
        return _arranged(self.apply(x, y, **self.options), None, self.shapes[2])


def _arranged(x: Any, order: Axes | None, shape: Axes | None) -> Any:
    x = x if order is None or order == tuple(range(len(order))) else permute_dims(x, order)
    return x if shape is None or shape == x._value.shape else reshape(x, shape)


class _Plan(NamedTuple):
    """What to do with each operand, which products to make, and the order of the last one's axes."""

    prepared: tuple[tuple[tuple[Callable[..., Any], Any], ...], ...]
    steps: tuple[_Step, ...]
    order: Axes | None

    def run(self, cells: list[Any]) -> Any:
        values = list(cells)
        for k, actions in enumerate(self.prepared):
            for action, argument in actions:
                values[k] = action(values[k], argument)
        for step in self.steps:
            values.append(step.run(values[step.first], values[step.second]))
        return values[-1] if self.order is None else permute_dims(values[-1], self.order)


def _diagonal(x: Any, axes: Axes) -> Any:
    return diagonal(moveaxis(x, axes, (-2, -1)))


def _sum(x: Any, axes: Axes) -> Any:
    return sum_(x, axis=axes, dtype=None if x.dtype.inexact else x.dtype)


@lru_cache(maxsize=512)
def _planned(terms: tuple[Term, ...], output: Term | None, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> _Plan:
    terms, output = _labelled(terms, output, tuple([len(s) for s in shapes]))
    lengths = _lengths(terms, shapes)
    actions: list[list[tuple[Callable[..., Any], Any]]] = []
    plain: list[Term] = []
    for term, shape in zip(terms, shapes, strict=True):
        own, left = _plain(term, shape, lengths)
        actions.append(own)
        plain.append(left)
    for k, term in enumerate(plain):
        needed = {*output, *(c for j, other in enumerate(plain) if j != k for c in other)}
        axes = tuple([i for i, c in enumerate(term) if c not in needed])
        if axes:
            actions[k].append((_sum, axes))
            plain[k] = tuple([c for c in term if c in needed])
    steps: list[_Step] = []
    parts = dict(enumerate(plain))  # the numbers of what is left, and their labels
    for group in _path(plain, output, lengths, optimize):
        chosen = [list(parts)[i] for i in group]
        first = chosen[0]
        for second in chosen[1:]:
            a, b = parts.pop(first), parts.pop(second)
            step, term = _product(first, a, second, b, {*output, *(c for t in parts.values() for c in t)}, lengths)
            first = len(plain) + len(steps)
            steps.append(step)
            parts[first] = term
        parts[first] = parts.pop(first)  # a step of one operand moves it to the end
    (term,) = parts.values()
    order = tuple([term.index(c) for c in output])
    alone = len(terms) == 1 or order != tuple(range(len(order)))
    return _Plan(tuple([tuple(own) for own in actions]), tuple(steps), order if alone else None)


def _plain(
    term: Term, shape: tuple[int, ...], lengths: dict[str, int]
) -> tuple[list[tuple[Callable[..., Any], Any]], Term]:
    """How an operand loses repeated labels and axes of length 1 that broadcast, and its labels then."""
    actions: list[tuple[Callable[..., Any], Any]] = []
    own = dict(zip(term, shape, strict=True))
    for label in dict.fromkeys(term):
        while term.count(label) > 1:
            first = term.index(label)
            second = term.index(label, first + 1)
            actions.append((_diagonal, (first, second)))
            term = (*(c for i, c in enumerate(term) if i not in (first, second)), label)
    single = tuple([i for i, c in enumerate(term) if own[c] == 1 != lengths[c]])
    if single:
        actions.append((squeeze, single))
        term = tuple([c for i, c in enumerate(term) if i not in single])
    return actions, term


def _product(
    first: int, a: Term, second: int, b: Term, needed: set[str], lengths: dict[str, int]
) -> tuple[_Step, Term]:
    """How to multiply two operands and sum over what they share and nothing else needs; the result's labels."""
    shared = [c for c in a if c in b]
    summed = [c for c in shared if c not in needed]
    batch = [c for c in shared if c in needed]
    left, right = [c for c in a if c not in b], [c for c in b if c not in a]
    if not summed:  # each element of the one with each of the other, axes of the same label together
        result = (*a, *right)
        order = tuple([b.index(c) for c in result if c in b])
        shapes = _shape(a, lengths) + (1,) * len(right), tuple([lengths[c] if c in b else 1 for c in result])
        return _Step(first, second, multiply, (None, order), (*shapes, None)), result
    if not batch:
        axes = (tuple([a.index(c) for c in summed]), tuple([b.index(c) for c in summed]))
        if axes == ((len(a) - 1,), (0,)) and len(a) < 3 and len(b) < 3:
            return _Step(first, second, matmul), (*left, *right)
        return _Step(first, second, tensordot, options={"axes": axes}), (*left, *right)
    orders = (
        tuple([a.index(c) for c in (*batch, *left, *summed)]),
        tuple([b.index(c) for c in (*batch, *summed, *right)]),
    )
    sizes = [prod(_shape(group, lengths)) for group in (batch, left, summed, right)]
    made = (*batch, *left, *right)
    wanted = tuple([sizes[i] for i in (0, 1, 2)]), tuple([sizes[i] for i in (0, 2, 3)]), _shape(made, lengths)
    return _Step(first, second, matmul, orders, wanted), made


def _shape(labels: Iterable[str], lengths: dict[str, int]) -> tuple[int, ...]:
    return tuple([lengths[c] for c in labels])


# -- the order ---------------------------------------------------------------------------------------


def _given(optimize: Any) -> tuple[tuple[int, ...], ...]:
    """A path, as NumPy and opt_einsum give it."""
    if not isinstance(optimize, (list, tuple)):
        raise TypeError(f"einsum: optimize must be True, False, a name or a path, not {optimize!r}")
    return tuple([tuple(step) for step in optimize if not isinstance(step, str)])  # NumPy's begins with its name


def _path(terms: list[Term], output: Term, lengths: dict[str, int], optimize: Any) -> Path:
    """Which operands to multiply, step by step; each result goes to the end of the list."""
    n = left = len(terms)
    if isinstance(optimize, tuple):
        for step in optimize:
            if len(set(step)) != len(step) or not all(isinstance(i, int) and 0 <= i < left for i in step):
                raise ValueError(f"einsum: step {step} of the path does not choose from {left} operands")
            left -= len(step) - 1
        if left != 1:
            raise ValueError(f"einsum: the path {optimize!r} leaves {left} of {n} operands, not one")
        return list(optimize)
    if n < 3:
        return [(0, 1)] if n == 2 else []
    if optimize is False:
        return [(0, 1), *[(left - 1, 0) for left in range(n - 1, 1, -1)]]
    kind = "auto" if optimize is True else optimize
    if find_spec("opt_einsum") is None:
        return _greedy(terms, output, lengths)
    opt_einsum = importlib.import_module("opt_einsum")
    letters = {c: opt_einsum.get_symbol(i) for i, c in enumerate(lengths)}
    equation = ",".join("".join(letters[c] for c in term) for term in terms)
    equation += "->" + "".join(letters[c] for c in output)
    path, _ = opt_einsum.contract_path(equation, *[_shape(t, lengths) for t in terms], shapes=True, optimize=kind)
    return [tuple(step) for step in path]


def _greedy(terms: Sequence[Term], output: Term, lengths: dict[str, int]) -> Path:
    """At each step the pair that shrinks what is there the most, or lets it grow the least."""
    left = [frozenset(t) for t in terms]

    def size(labels: Iterable[str]) -> int:
        return prod(lengths[c] for c in labels)

    path: Path = []
    while len(left) > 1:
        best: Any = None
        for i in range(len(left)):
            for j in range(i + 1, len(left)):
                needed = frozenset(output).union(*(t for k, t in enumerate(left) if k not in (i, j)))
                made = (left[i] | left[j]) & needed
                work = (size(made) - size(left[i]) - size(left[j]), size(left[i] | left[j]))
                if best is None or work < best[0]:
                    best = work, (i, j), made
        _, pair, made = best
        path.append(pair)
        left = [t for k, t in enumerate(left) if k not in pair] + [made]
    return path
