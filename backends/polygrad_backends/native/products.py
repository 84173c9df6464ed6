"""Products of small matrices as LLVM's text: for these a call of BLAS takes longer than the work."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from .emit import Emitter, Function, Lanes, address, column_blocks, increased
from .engine import width_of

__all__ = ["SMALL", "product"]

SMALL: Final = 1 << 15
"""Products of up to so many multiplications are done here (measured against OpenBLAS: 32 x 32 x 32 is about even)."""
_PACKED: Final = 1 << 12
"""So many elements of a transposed matrix are put in order first."""
_ROWS: Final = 4

Strides = tuple[int, int]


@lru_cache(maxsize=1024)
def product(kind: str, m: int, k: int, n: int, a: Strides, b: Strides) -> Function | None:
    """``C = A B`` for A (m, k) and B (k, n) with these strides, C in C order: or None if that is not for here."""
    if m * k * n > SMALL or 0 in (m, k, n):
        return None
    if n == 1 and m > 1:  # a matrix and a vector: the transpose of the whole
        m, n, a, b = 1, m, (0, b[0]), (a[1], a[0])
    e = Emitter()
    if b[1] == 1 or n == 1:
        _by_rows(e, kind, m, k, n, a, b, "%b")
    elif m == 1 and b[0] == 1 and a[1] == 1:
        _by_dots(e, kind, k, n, b)
    elif k * n <= _PACKED:
        packed = _packed(e, kind, k, n, b)
        _by_rows(e, kind, m, k, n, a, (n, 1), packed)
    else:
        return None
    return e.function("define void @NAME(ptr %a, ptr %b, ptr %c, i64 %first, i64 %end)")


def _by_rows(e: Emitter, kind: str, m: int, k: int, n: int, a: Strides, b: Strides, base: str) -> None:
    """Rows of C as sums of rows of B, four by four."""
    blocks = column_blocks(n, width_of(kind))
    for first, rows, turns in ((0, _ROWS, m // _ROWS), (m - m % _ROWS, m % _ROWS, 1)):
        if not rows or not turns:
            continue
        with e.loop("0", str(turns)) as turn:
            i = increased(e, e.make(f"mul nsw i64 {turn}, {rows}"), first)
            for j, width, count in blocks:
                with e.loop("0", str(count)) as column:
                    left = increased(e, e.make(f"mul nsw i64 {column}, {width}"), j)
                    _tile(e, kind, (i, rows, left, width, k, n), a, b, base)


def _tile(e: Emitter, kind: str, where: tuple[str, int, str, int, int, int], a: Strides, b: Strides, base: str) -> None:
    i, rows, j, width, k, n = where
    lanes = Lanes(e, kind, width)
    sums = [e.slot(lanes.type) for _ in range(rows)]
    for slot in sums:
        e.do(f"store {lanes.type} {lanes.number(0.0)}, ptr {slot}")
    starts = [address(e, kind, "%a", (increased(e, i, r), a[0])) for r in range(rows)]
    right = address(e, kind, base, (j, b[1]))
    size = 4 if kind == "float" else 8
    with e.loop("0", str(k)) as at:
        row = e.make(f"load {lanes.type}, ptr {address(e, kind, right, (at, b[0]))}, align {size}")
        for slot, start in zip(sums, starts, strict=True):
            x = lanes.spread(e.make(f"load {kind}, ptr {address(e, kind, start, (at, a[1]))}, align {size}"))
            so_far = e.make(f"load {lanes.type}, ptr {slot}")
            e.do(f"store {lanes.type} {lanes.fma(x, row, so_far)}, ptr {slot}")
    for r, slot in enumerate(sums):
        x = e.make(f"load {lanes.type}, ptr {slot}")
        e.do(f"store {lanes.type} {x}, ptr {address(e, kind, '%c', (increased(e, i, r), n), (j, 1))}, align {size}")


def _by_dots(e: Emitter, kind: str, k: int, n: int, b: Strides) -> None:
    """A row of C, each element the product of two vectors that lie in order."""
    size = 4 if kind == "float" else 8
    width = width_of(kind)
    with e.loop("0", str(n)) as j:
        right = address(e, kind, "%b", (j, b[1]))
        made, at = "", 0
        lane_count = width
        while at < k:
            while lane_count > k - at:
                lane_count //= 2
            lanes = Lanes(e, kind, lane_count)
            turns = (k - at) // lane_count
            slot = e.slot(lanes.type)
            e.do(f"store {lanes.type} {lanes.number(0.0)}, ptr {slot}")
            with e.loop("0", str(turns)) as turn:
                place = increased(e, e.make(f"mul nsw i64 {turn}, {lane_count}"), at)
                x = e.make(f"load {lanes.type}, ptr {address(e, kind, '%a', (place, 1))}, align {size}")
                y = e.make(f"load {lanes.type}, ptr {address(e, kind, right, (place, 1))}, align {size}")
                so_far = e.make(f"load {lanes.type}, ptr {slot}")
                e.do(f"store {lanes.type} {lanes.fma(x, y, so_far)}, ptr {slot}")
            part = lanes.total(e.make(f"load {lanes.type}, ptr {slot}"))
            made = part if not made else Lanes(e, kind, 1).add(made, part)
            at += turns * lane_count
        e.do(f"store {kind} {made}, ptr {address(e, kind, '%c', (j, 1))}, align {size}")


def _packed(e: Emitter, kind: str, k: int, n: int, b: Strides) -> str:
    """B in C order, in memory of the function's own."""
    memory = e.slot(f"[{k * n} x {kind}], align 64")
    size = 4 if kind == "float" else 8
    with e.loop("0", str(k)) as row, e.loop("0", str(n)) as column:
        x = e.make(f"load {kind}, ptr {address(e, kind, '%b', (row, b[0]), (column, b[1]))}, align {size}")
        e.do(f"store {kind} {x}, ptr {address(e, kind, memory, (row, n), (column, 1))}, align {size}")
    return memory
