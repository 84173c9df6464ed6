"""Convolution and pooling by PyTorch's own kernels; what those do not take is left to the generic versions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

__all__ = ["network_kernels"]

Generic = Callable[..., Any]
"""``generic(name, x, *args)``: the generic version of a kernel, on the namespace of the first array's device."""

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def network_kernels(torch: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    """The kernels by name."""
    return _convolutions(torch, generic) | _chosen(torch, generic) | _sums(torch, generic)


def _alike(pads: Pairs) -> bool:
    return all(low == high for low, high in pads)


def _around(torch: Any, x: Any, pads: Pairs, value: float = 0.0) -> Any:
    """``x`` with ``value`` around its last axes."""
    flat = [n for pair in reversed(pads) for n in pair]
    return torch.nn.functional.pad(x, flat, value=value) if any(flat) else x


def _exactly(torch: Any, x: Any) -> AbstractContextManager[Any]:
    """On a GPU, PyTorch would round float32 to 10 bits before it multiplies."""
    if not x.is_cuda:
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # type: ignore[no-any-return]


# -- convolution -------------------------------------------------------------------------------------


def _convolutions(torch: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    forward = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}
    backward = torch.ops.aten.convolution_backward

    def takes(*arrays: Any) -> bool:
        return arrays[0].ndim in (3, 4, 5) and all(x.is_floating_point() and x.numel() for x in arrays)

    def conv_nd(x: Any, w: Any, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        if not takes(x, w):
            return generic("conv_nd", x, w, strides, pads, dilation, groups)
        low = tuple([low for low, _ in pads])
        if not _alike(pads):
            x, low = _around(torch, x, pads), (0,) * len(pads)
        with _exactly(torch, x):
            return forward[len(pads)](x, w, None, strides, low, dilation, groups)

    def adjoint(g: Any, x: Any, w: Any, strides: Ints, low: Ints, dilation: Ints, groups: int, of_weight: bool) -> Any:
        wanted = [not of_weight, of_weight, False]
        with _exactly(torch, g):
            made = backward(g, x, w, None, strides, low, dilation, False, [0] * len(low), groups, wanted)
        return made[1 if of_weight else 0]

    def conv_input_nd(g: Any, w: Any, lengths: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        if not takes(g, w) or 0 in lengths:
            return generic("conv_input_nd", g, w, lengths, strides, pads, dilation, groups)
        low = tuple([low for low, _ in pads])
        around = lengths
        if not _alike(pads):
            around, low = tuple([a + n + b for n, (a, b) in zip(lengths, pads, strict=True)]), (0,) * len(pads)
        like = g.new_empty(1).expand(g.shape[0], w.shape[1] * groups, *around)  # looked at for its shape alone
        made = adjoint(g, like, w, strides, low, dilation, groups, False)
        if around is lengths:
            return made
        return made[(..., *[slice(a, a + n) for n, (a, _) in zip(lengths, pads, strict=True)])].contiguous()

    def conv_weight_nd(x: Any, g: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints, groups: int) -> Any:
        if not takes(x, g) or 0 in size:
            return generic("conv_weight_nd", x, g, size, strides, pads, dilation, groups)
        low = tuple([low for low, _ in pads])
        if not _alike(pads):
            x, low = _around(torch, x, pads), (0,) * len(pads)
        like = g.new_empty(1).expand(g.shape[1], x.shape[1] // groups, *size)
        return adjoint(g, x, like, strides, low, dilation, groups, True)

    return {"conv_nd": conv_nd, "conv_input_nd": conv_input_nd, "conv_weight_nd": conv_weight_nd}


# -- the largest of each window ----------------------------------------------------------------------
# PyTorch says where the largest stands in the array, polygrad where in the window: with windows that begin at o * s - low
# along an axis, what stands at c is at place (c + low - o * s) / d there.


def _chosen(torch: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    F = torch.nn.functional
    largest = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}

    def starts(x: Any, axis: int, n: int, stride: int, low: int) -> Any:
        """Where the windows begin along an axis, in a shape that broadcasts."""
        begin = torch.arange(n, device=x.device) * stride - low
        return begin.reshape((-1,) + (1,) * (x.ndim - axis - 1))

    def max_windows(x: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> tuple[Any, Any]:
        usual = x.ndim in (3, 4, 5) and x.is_floating_point() and x.numel() and _alike(pads)
        if not usual or any(2 * low > k for k, (low, _) in zip(size, pads, strict=True)):
            return generic("max_windows", x, size, strides, pads, dilation)  # type: ignore[no-any-return]
        low = tuple([low for low, _ in pads])
        top, at = largest[len(size)](x, size, strides, low, dilation, False, True)
        if torch.isnan(top).any():  # of several nan PyTorch takes the last, polygrad the first
            return generic("max_windows", x, size, strides, pads, dilation)  # type: ignore[no-any-return]
        place: Any = 0
        count, step = 1, 1
        for axis in reversed(range(len(size))):
            length = x.shape[2 + axis]
            found = torch.div(at, step, rounding_mode="floor") % length
            found = (found - starts(at, 2 + axis, at.shape[2 + axis], strides[axis], low[axis])) // dilation[axis]
            place = place + found * count
            count, step = count * size[axis], step * length
        return top, place.to(torch.uint8 if count <= 256 else torch.int64)

    def flat(chosen: Any, around: Ints, size: Ints, strides: Ints, dilation: Ints) -> Any:
        """Where in the padded array, its last axes in a row, what was chosen stands."""
        rest, at, step = chosen.to(torch.int64), torch.zeros_like(chosen, dtype=torch.int64), 1
        for axis in reversed(range(len(size))):
            place, rest = rest % size[axis], torch.div(rest, size[axis], rounding_mode="floor")
            begin = starts(chosen, 2 + axis, chosen.shape[2 + axis], strides[axis], 0)
            at = at + (begin + place * dilation[axis]) * step
            step *= around[axis]
        return at.flatten(2)

    def take_chosen(t: Any, chosen: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        if not (t.numel() and chosen.numel()):
            return generic("take_chosen", t, chosen, size, strides, pads, dilation)
        around = _around(torch, t, pads)
        at = flat(chosen, tuple(around.shape[2:]), size, strides, dilation)
        return around.flatten(2).gather(2, at).reshape(chosen.shape)

    def spread_chosen(
        g: Any, chosen: Any, lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints
    ) -> Any:
        if not (g.numel() and chosen.numel()):
            return generic("spread_chosen", g, chosen, lengths, size, strides, pads, dilation)
        around = tuple([low + n + high for n, (low, high) in zip(lengths, pads, strict=True)])
        total = 1
        for n in around:
            total *= n
        made = g.new_zeros((*g.shape[:2], total))
        made.scatter_add_(2, flat(chosen, around, size, strides, dilation), g.flatten(2))
        made = made.reshape((*g.shape[:2], *around))
        return made[(..., *[slice(low, low + n) for n, (low, _) in zip(lengths, pads, strict=True)])].contiguous()

    return {"max_windows": max_windows, "take_chosen": take_chosen, "spread_chosen": spread_chosen}


# -- sums of windows ---------------------------------------------------------------------------------
# A mean whose divisor is 1. Windows with holes, and dtypes that PyTorch has no mean of, go the generic way.


def _sums(torch: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    forward = {2: torch.nn.functional.avg_pool2d, 3: torch.nn.functional.avg_pool3d}
    backward = {2: torch.ops.aten.avg_pool2d_backward, 3: torch.ops.aten.avg_pool3d_backward}

    def usual(x: Any, size: Ints, dilation: Ints) -> bool:
        return x.ndim in (3, 4, 5) and x.is_floating_point() and x.numel() > 0 and all(d == 1 for d in dilation)

    def windows_sum(x: Any, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        if not usual(x, size, dilation):
            return generic("windows_sum", x, size, strides, pads, dilation)
        around = _around(torch, x, pads)
        if len(size) == 1:
            made = forward[2](around.unsqueeze(2), (1, *size), (1, *strides), 0, False, True, 1)
            return made.squeeze(2)
        return forward[len(size)](around, size, strides, 0, False, True, 1)

    def windows_spread(g: Any, lengths: Ints, size: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Any:
        if not usual(g, size, dilation) or 0 in lengths:
            return generic("windows_spread", g, lengths, size, strides, pads, dilation)
        around = tuple([low + n + high for n, (low, high) in zip(lengths, pads, strict=True)])
        one = len(size) == 1
        like = g.new_empty((*g.shape[:2], *((1,) if one else ()), *around))
        grad = g.unsqueeze(2) if one else g
        n = 2 if one else len(size)
        first = [1] if one else []
        made = backward[n](grad.contiguous(), like, [*first, *size], [*first, *strides], [0] * n, False, True, 1)
        made = made.squeeze(2) if one else made
        return made[(..., *[slice(low, low + m) for m, (low, _) in zip(lengths, pads, strict=True)])].contiguous()

    return {"windows_sum": windows_sum, "windows_spread": windows_spread}
