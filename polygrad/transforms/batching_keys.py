"""Keys under vmap: what ``x[key]`` means where the array, the key or both are each example's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..array_api import FUNCTIONS
from ..core.cell import new_tensor
from ..errors import VmapError
from ..ops.keys import expand
from ..ops.manipulation import broadcast_shapes

if TYPE_CHECKING:
    from .batching_rules import Rules

__all__ = ["Plan", "only_mask"]


def _is_mask(entry: Any) -> bool:
    return hasattr(entry, "dtype") and str(entry.dtype).rpartition(".")[2] == "bool"


def only_mask(key: Any) -> Any:
    """The mask that a key consists of, or None."""
    entries = key if isinstance(key, tuple) else (key,)
    return entries[0] if len(entries) == 1 and _is_mask(entries[0]) else None


class Plan:
    """A key on the arrays of one example, as a key on the Tensors inside and the order of axes it gives.

    Attributes:
        batched: whether an index array is each example's own.
        first: the place among an example's axes where those of the index arrays come out.
        width: how many they are.
        shape: the shape of one example's entries.
    """

    def __init__(self, rules: Rules, shape: tuple[int, ...], key: Any) -> None:
        self._rules = rules
        self._entries = expand(shape, tuple(self._without_masks(key)))
        arrays = [e for e in self._entries if hasattr(e, "batched")]
        self.batched = any(e.batched for e in arrays)
        self._indexed = bool(arrays)
        index = broadcast_shapes(*(e.shape for e in arrays))
        self.width = len(index)
        self.first, self._apart, rest = self._places(shape)
        self.shape = (*rest[: self.first], *index, *rest[self.first :])

    def _without_masks(self, key: Any) -> list[Any]:
        made: list[Any] = []
        for entry in key if isinstance(key, tuple) else (key,):
            if not _is_mask(entry):
                made.append(entry)
            elif entry.batched or entry.ndim == 0:
                raise VmapError(
                    "indexing with a mask: how many entries it takes depends on its values, so it differs between the "
                    "examples of a batch; inside vmap use pg.where(mask, x, other), or x[mask] = number"
                )
            else:
                made += [self._rules.wrap(v, False) for v in FUNCTIONS["nonzero"](entry.value)]
        return made

    def _places(self, shape: tuple[int, ...]) -> tuple[int, bool, list[int]]:
        """Where the index arrays' axes come out, whether slices stand between them, and the slices' lengths."""
        rest: list[int] = []
        axis = first = 0
        state = "before"
        for entry in self._entries:
            if entry is None or isinstance(entry, slice):
                rest.append(1 if entry is None else len(range(*entry.indices(shape[axis]))))
                state = "behind" if state == "among" else state
            elif self._indexed:
                first = len(rest) if state == "before" else 0 if state == "behind" else first
                state = "apart" if state in ("behind", "apart") else "among"
            axis += entry is not None
        return first, state == "apart", rest

    def key(self, inside: bool) -> tuple[Any, ...]:
        """The key for Tensors with the batch in front (``inside``), or without it."""
        made = [self._aligned(e) if hasattr(e, "batched") else e for e in self._entries]
        if not inside:
            return tuple(made)
        if not self.batched:
            return (slice(None), *made)
        rules = self._rules
        native = rules.inner.backend.native_dtypes["int64"]
        every = rules.inner.raw.arange(0, rules.n, 1, dtype=native)
        every = rules.inner.raw.reshape(every, (rules.n, *(1,) * self.width))
        return (new_tensor(every, None, rules.inner), *made)

    def _aligned(self, entry: Any) -> Any:
        return self._rules.padded(entry, self.width) if entry.batched else entry.value

    def from_inside(self, value: Any) -> Any:
        """What ``key(True)`` picked, with the batch in front and the other axes in an example's order."""
        return self._moved(value, False)

    def to_inside(self, value: Any) -> Any:
        """Values of this level in the order of axes that ``key(True)`` has."""
        rules = self._rules
        shape = value.shape
        if len(shape) > len(self.shape):  # leading axes of length 1
            value = rules.reshape(value, shape[len(shape) - len(self.shape) :])
        full = FUNCTIONS["broadcast_to"](rules.padded(value, len(self.shape)), (rules.n, *self.shape))
        return self._moved(full, True)

    def _moved(self, value: Any, back: bool) -> Any:
        if self.batched:  # (batch, index..., rest...)
            mine = tuple(range(1, 1 + self.width))
            wanted = tuple(range(1 + self.first, 1 + self.first + self.width))
        elif self._apart:  # (index..., batch, rest...)
            mine, wanted = (self.width,), (0,)
        else:
            return value
        if mine == wanted:
            return value
        return FUNCTIONS["moveaxis"](value, wanted, mine) if back else FUNCTIONS["moveaxis"](value, mine, wanted)
