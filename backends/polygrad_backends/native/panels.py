"""Products of matrices of some hundred rows and columns as LLVM's text, some columns of the result at a time.

The columns of B that a panel of C takes are put in order first, on the stack, where they stay in the processor's first
cache while the rows of A go by, six at a time: their twelve registers of sums, two of B's and one of A's are all that
AVX2 has (K. Goto, R. A. van de Geijn: Anatomy of high-performance matrix multiplication, ACM Transactions on
Mathematical Software 34, 2008; A itself need not be put in order at these sizes). Beside OpenBLAS on such a processor
these take 0.7 to 0.95 of its time; where a processor has more than that, nobody has measured, and BLAS does them all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from .emit import Emitter, Function, Lanes, address, increased
from .engine import has_avx2_only, width_of

__all__ = ["paneled"]

_ROWS: Final = 6
_UNROLLED: Final = 4
_PANEL_BYTES: Final = 24 << 10
"""So much of B at most is in the first cache (32 kB and more), beside rows of A and C."""
_LEFT_BYTES: Final = 256 << 10
"""So much of A at most goes by for each panel: the second cache's (512 kB and more)."""
_FAR_BYTES: Final = 2 << 10
"""So far apart at most are the numbers of a row of A, if not side by side: or they drive each other out of the cache."""

Strides = tuple[int, int]


@lru_cache(maxsize=1024)
def paneled(kind: str, m: int, k: int, n: int, a: Strides, b: Strides) -> tuple[Function, int] | None:
    """``C = A B`` for A (m, k) and B (k, n) with these strides, C in C order, and how many turns (panels of columns) it
    has: or None if that is better left to BLAS."""
    width, size = width_of(kind), 4 if kind == "float" else 8
    if n % width or n == 0 or k == 0 or m < _ROWS or 1 not in b or not has_avx2_only():
        return None
    if k * width * size > _PANEL_BYTES or m * k * size > _LEFT_BYTES or (a[1] != 1 and abs(a[1]) * size >= _FAR_BYTES):
        return None
    e = Emitter()
    lanes = Lanes(e, kind, width)
    packed = e.slot(f"[{k * width} x {kind}], align 64")
    with e.loop("%first", "%end") as panel:
        left = e.make(f"mul nsw i64 {panel}, {width}")
        right = address(e, kind, "%b", (left, b[1]))
        if b[1] == 1:
            with e.loop("0", str(k)) as row:
                x = e.make(f"load {lanes.type}, ptr {address(e, kind, right, (row, b[0]))}, align {size}")
                e.do(
                    f"store {lanes.type} {x}, ptr {address(e, kind, packed, (row, width))}, align {min(64, width * size)}"
                )
        else:
            _pack_transposed(e, lanes, k, b[1], right, packed)
        first = 0
        for rows, turns in _bands(m):
            with e.loop("0", str(turns)) as turn:
                i = increased(e, e.make(f"mul nsw i64 {turn}, {rows}"), first)
                _tile(e, lanes, (i, rows, left), (k, n), a, packed)
            first += rows * turns
    return e.function("define void @NAME(ptr %a, ptr %b, ptr %c, i64 %first, i64 %end)"), n // width


def _bands(m: int) -> list[tuple[int, int]]:
    """Numbers of rows, and how often: sixes, and a rest of one to three with the last six as two of half."""
    sixes, rest = divmod(m, _ROWS)
    if 0 < rest < 4:
        sixes, rest = sixes - 1, rest + _ROWS
    halves = {rest: 1} if rest < _ROWS else {4: 2} if rest == 8 else {rest - rest // 2: 1, rest // 2: 1}
    return [(rows, turns) for rows, turns in ((_ROWS, sixes), *halves.items()) if rows and turns]


def _pack_transposed(e: Emitter, lanes: Lanes, k: int, stride: int, right: str, packed: str) -> None:
    """Columns that each lie in order, as rows: squares are transposed in registers."""
    kind, width = lanes.kind, lanes.width
    size = lanes.bits // 8
    side = width // 2
    square = Lanes(e, kind, side)
    with e.loop("0", str(k // side)) as turn:
        at = e.make(f"mul nsw i64 {turn}, {side}")
        for half in (0, side):
            rows = []
            for i in range(side):
                place = address(e, kind, right, (str(half + i), stride), (at, 1))
                rows.append(e.make(f"load {square.type}, ptr {place}, align {size}"))
            for i, column in enumerate(_transposed(e, square, rows)):
                place = address(e, kind, packed, (increased(e, at, i), width), (str(half), 1))
                e.do(f"store {square.type} {column}, ptr {place}, align {size * side}")
    for row in range(k - k % side, k):
        for i in range(width):
            x = e.make(f"load {kind}, ptr {address(e, kind, right, (str(i), stride), (str(row), 1))}, align {size}")
            e.do(f"store {kind} {x}, ptr {address(e, kind, packed, (str(row), width), (str(i), 1))}, align {size}")


def _transposed(e: Emitter, lanes: Lanes, rows: list[str]) -> list[str]:
    """A square of numbers, its rows exchanged for its columns: blocks off the diagonal, of half the size each time."""
    rows, width = [*rows], lanes.width
    block = width // 2
    while block:
        upper = [lane if not lane & block else width + (lane ^ block) for lane in range(width)]
        lower = [lane | block if not lane & block else width + lane for lane in range(width)]
        for i in range(width):
            if not i & block:
                x, y = rows[i], rows[i | block]
                for place, chosen in ((i, upper), (i | block, lower)):
                    mask = ", ".join(f"i32 {lane}" for lane in chosen)
                    rows[place] = e.make(f"shufflevector {lanes.type} {x}, {lanes.type} {y}, <{width} x i32> <{mask}>")
        block //= 2
    return rows


def _tile(
    e: Emitter, lanes: Lanes, where: tuple[str, int, str], sizes: tuple[int, int], a: Strides, packed: str
) -> None:
    """Some rows of a panel of C."""
    (i, rows, left), (k, n) = where, sizes
    kind, width, size = lanes.kind, lanes.width, lanes.bits // 8
    sums = [e.slot(lanes.type) for _ in range(rows)]
    for slot in sums:
        e.do(f"store {lanes.type} {lanes.number(0.0)}, ptr {slot}")
    starts = [address(e, kind, "%a", (increased(e, i, r), a[0])) for r in range(rows)]

    def once(at: str) -> None:
        y = e.make(f"load {lanes.type}, ptr {address(e, kind, packed, (at, width))}, align {min(64, width * size)}")
        for slot, start in zip(sums, starts, strict=True):
            x = lanes.spread(e.make(f"load {kind}, ptr {address(e, kind, start, (at, a[1]))}, align {size}"))
            so_far = e.make(f"load {lanes.type}, ptr {slot}")
            e.do(f"store {lanes.type} {lanes.fma(x, y, so_far)}, ptr {slot}")

    with e.loop("0", str(k // _UNROLLED)) as turn:
        at = e.make(f"mul nsw i64 {turn}, {_UNROLLED}")
        for j in range(_UNROLLED):
            once(increased(e, at, j))
    for j in range(k - k % _UNROLLED, k):
        once(str(j))
    for r, slot in enumerate(sums):
        x = e.make(f"load {lanes.type}, ptr {slot}")
        place = address(e, kind, "%c", (increased(e, i, r), n), (left, 1))
        e.do(f"store {lanes.type} {x}, ptr {place}, align {size}")
