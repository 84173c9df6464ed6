"""Batches from samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polygrad as pg

__all__ = ["default_collate", "to_device"]


def default_collate(batch: Sequence[Any]) -> Any:
    """A list of samples as one batch: tensors and arrays are stacked along a new first axis, numbers become a
    tensor, tuples, lists and dicts are batched entry by entry, strings stay a list.

    Raises:
        ShapeError: samples of different shapes, lengths or keys; they are named.
        TypeError: samples that no batch can be made of.
        ValueError: no samples.

    >>> import polygrad as pg
    >>> pg.data.default_collate([{"x": 1.0, "name": "a"}, {"x": 2.0, "name": "b"}])
    {'x': tensor([1., 2.], dtype=float64), 'name': ['a', 'b']}
    """
    if not len(batch):
        raise ValueError("default_collate: a batch needs at least one sample")
    return _collate(list(batch), "")


def _collate(samples: list[Any], where: str) -> Any:
    first = samples[0]
    if hasattr(first, "shape") and hasattr(first, "dtype"):
        return _stacked(samples, where)
    if isinstance(first, (bool, int, float, complex)):
        return pg.asarray(samples)
    if isinstance(first, (str, bytes)) or first is None:
        return samples
    if isinstance(first, Mapping):
        for i, sample in enumerate(samples):
            if set(sample) != set(first):
                raise pg.errors.ShapeError(
                    f"default_collate{_at(where)}: sample 0 has the keys {sorted(map(str, first))}, but "
                    f"sample {i} has {sorted(map(str, sample))}"
                )
        return {key: _collate([sample[key] for sample in samples], f"{where}[{key!r}]") for key in first}
    if isinstance(first, (tuple, list)):
        for i, sample in enumerate(samples):
            if len(sample) != len(first):
                raise pg.errors.ShapeError(
                    f"default_collate{_at(where)}: sample 0 has {len(first)} entries, but sample {i} has {len(sample)}"
                )
        columns = [_collate(list(column), f"{where}[{k}]") for k, column in enumerate(zip(*samples))]
        if isinstance(first, tuple):
            return type(first)(*columns) if hasattr(first, "_fields") else tuple(columns)
        return columns
    raise TypeError(
        f"default_collate{_at(where)}: no batch can be made of {type(first).__qualname__}; give numbers, "
        "arrays, strings, or tuples, lists and dicts of them, or pass DataLoader a collate_fn"
    )


def _at(where: str) -> str:
    return f" at {where}" if where else ""


def _stacked(samples: list[Any], where: str) -> pg.Tensor:
    arrays = [pg.asarray(sample) for sample in samples]
    for i, x in enumerate(arrays):
        if x.shape != arrays[0].shape:
            raise pg.errors.ShapeError(
                f"default_collate{_at(where)}: sample 0 has shape {arrays[0].shape}, but sample {i} has "
                f"shape {x.shape}; pad them to one shape, or pass DataLoader a collate_fn"
            )
    return pg.stack(arrays)


def to_device(batch: Any, device: Any) -> Any:
    """A batch with its tensors on a device; tuples, lists and dicts are gone through.

    >>> import polygrad as pg
    >>> pg.data.to_device((pg.ones(1), "label"), "cpu")
    (tensor([1.], dtype=float64), 'label')
    """
    if isinstance(batch, pg.Tensor):
        return batch.to_device(device)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple):
        moved = [to_device(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else tuple(moved)
    if isinstance(batch, list):
        return [to_device(value, device) for value in batch]
    return batch
