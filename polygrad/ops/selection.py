"""Windows, diagonals, segments and one-hot rows: elements put elsewhere, or added up there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.apply import apply
from ..core.declare import op
from ..core.operands import together
from ..errors import DTypeError, ShapeError
from ..typing import ArrayLike, DTypeLike, Namespace, Raw
from .creation import arange, zeros
from .data_types import astype
from .indexing import scatter_add
from .linalg.products import diagonal
from .logic import equal
from .manipulation import expand_dims, normal_axis, reshape, with_entries
from .searching import where

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = ["diag", "one_hot", "segment_sum", "sliding_window_view"]

Axes = tuple[int, ...]


# -- windows -----------------------------------------------------------------------------------------
# Each window's element i at place j is x[j + i]: the adjoint adds g[j, i] up at j + i. In as many additions of
# slices as there are elements in a window, or windows, whichever are fewer.


def _overlapping(xp: Namespace, g: Raw, axis: int) -> Raw:
    """The last axis, of windows along ``axis``, added up where the windows overlap."""
    n, width = g.shape[axis], g.shape[-1]
    shape = (*g.shape[:axis], n + width - 1, *g.shape[axis + 1 : -1])
    before = (slice(None),) * axis
    if width <= n:
        parts = [((*before, slice(i, i + n), ...), g[..., i]) for i in range(width)]
    else:
        parts = [((*before, slice(j, j + width), ...), xp.moveaxis(g[(*before, j, ...)], -1, axis)) for j in range(n)]
    return xp.scatter_add(shape, g.dtype, parts)


def _windows_vjp(xp: Namespace, g: Raw, axes: Axes) -> Raw:
    for axis in reversed(axes):
        g = _overlapping(xp, g, axis)
    return g


@op(vjps=[_windows_vjp], jvps=[lambda xp, t, window, axes: xp.sliding_windows(t, window, axes)])
def _sliding_window_view(xp: Namespace, x: Raw, /, window: Axes, axes: Axes) -> Raw:
    return xp.sliding_windows(x, window, axes)


def sliding_window_view(
    x: ArrayLike, window_shape: int | tuple[int, ...], /, axis: int | tuple[int, ...] | None = None
) -> Tensor:
    """All windows of a shape in ``x``, each one element further than the one before; the windows' own axes come last.

    Args:
        x: of any dtype.
        window_shape: the window's length along each axis.
        axis: the axes it goes along, by default all. One may be named twice.

    Where the library can, no elements are copied, until the one or the other is written to. In the gradient what
    overlaps adds up.

    >>> import polygrad as pg
    >>> pg.sliding_window_view(pg.asarray([1.0, 2.0, 3.0, 4.0]), 3)
    tensor([[1., 2., 3.],
            [2., 3., 4.]], dtype=float64)

    Raises:
        ShapeError: if the windows do not fit.
    """
    (x,) = together("sliding_window_view", (x,))
    shape = tuple(x._value.shape)
    window = (window_shape,) if isinstance(window_shape, int) else tuple(window_shape)
    named = tuple(range(len(shape))) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple([normal_axis("sliding_window_view", a, len(shape)) for a in named])
    if len(axes) != len(window):
        raise ShapeError(
            f"sliding_window_view: a window of shape {window} for {len(axes)} axes; give axis for some only"
        )
    left = list(shape)
    for width, a in zip(window, axes, strict=True):
        left[a] -= width - 1
        if width < 1 or left[a] < 1:
            raise ShapeError(
                f"sliding_window_view: a window of shape {window} along {axes} does not fit in shape {shape}"
            )
    result = apply(_sliding_window_view, (x,), (window, axes))
    result._saved = x._saved = True  # they may share memory: a write must make a copy first
    return result


# -- diagonals ---------------------------------------------------------------------------------------


def diag(v: ArrayLike, /, k: int = 0) -> Tensor:
    """Of a vector, the square matrix with it as the ``k``-th diagonal above the main one (below if negative); of a
    matrix, that diagonal.

    >>> import polygrad as pg
    >>> pg.diag(pg.asarray([1.0, 2.0]), 1)
    tensor([[0., 1., 0.],
            [0., 0., 2.],
            [0., 0., 0.]], dtype=float64)

    Raises:
        ShapeError: if ``v`` has neither one dimension nor two.
    """
    (v,) = together("diag", (v,))
    shape = tuple(v._value.shape)
    if len(shape) == 2:
        return diagonal(v, offset=k)
    if len(shape) != 1:
        raise ShapeError(f"diag: needs one or two dimensions, got shape {shape}; for stacks there is linalg.diagonal")
    n = shape[0]
    side = n + abs(k)
    start = k if k >= 0 else -k * side
    key = slice(start, start + n * (side + 1), side + 1)
    flat = with_entries(zeros((side * side,), dtype=v.dtype, device=v.device), (key,), v)
    return reshape(flat, (side, side))


# -- segments ----------------------------------------------------------------------------------------


def one_hot(indices: ArrayLike, num_classes: int, /, dtype: DTypeLike = "float64") -> Tensor:
    """For each index a row of ``num_classes`` elements: 1 at the index, 0 elsewhere; all 0 for an index out of range.
    It has no derivative.

    >>> import polygrad as pg
    >>> pg.one_hot(pg.asarray([2, 0]), 3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]], dtype=float64)

    Raises:
        DTypeError: if the indices are not integers.
    """
    indices = _whole("one_hot", indices)
    places = astype(arange(num_classes, device=indices.device), indices.dtype)
    return astype(equal(expand_dims(indices, axis=-1), places), dtype)


def segment_sum(values: ArrayLike, segment_ids: ArrayLike, /, num_segments: int) -> Tensor:
    """The sums of the rows of ``values`` that have the same id: row ``i`` is added to row ``segment_ids[i]`` of
    ``num_segments`` rows. Rows with an id out of range are left out.

    >>> import polygrad as pg
    >>> pg.segment_sum(pg.asarray([1.0, 2.0, 3.0]), pg.asarray([0, 1, 0]), 2)
    tensor([4., 2.], dtype=float64)

    Raises:
        ShapeError: if there is not one id for each row.
        DTypeError: if the ids are not integers.
    """
    values, segment_ids = together("segment_sum", (values, segment_ids))
    segment_ids = _whole("segment_sum", segment_ids)
    shape, ids = tuple(values._value.shape), tuple(segment_ids._value.shape)
    if not shape or ids != shape[:1]:
        raise ShapeError(f"segment_sum: needs one id for each row: values have shape {shape}, segment_ids {ids}")
    if num_segments < 0:
        raise ValueError(f"segment_sum: num_segments must not be negative, got {num_segments}")
    own: Any = astype(segment_ids, "int64", copy=False)
    places = where((own < 0) | (own >= num_segments), num_segments, own)
    sums: Any = scatter_add((num_segments + 1, *shape[1:]), values.dtype, [((places,), values)])
    return sums[:num_segments, ...]  # type: ignore[no-any-return]


def _whole(name: str, indices: ArrayLike) -> Any:
    (indices,) = together(name, (indices,))
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"{name}: indices must be integers, not {indices.dtype}")
    return indices
