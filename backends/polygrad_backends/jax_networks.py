"""Convolution and pooling for JAX, each compiled as one: by XLA's own convolution where it is fast, else of the generic
version's many steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["network_kernels"]

Generic = Callable[..., Any]
"""``generic(name, device, *args)``: the generic version of a kernel, on the namespace of a device."""

_FIXED = {
    "conv_nd": 2, "conv_input_nd": 2, "conv_weight_nd": 2, "max_windows": 1, "take_chosen": 2, "spread_chosen": 2,
    "windows_sum": 1, "windows_spread": 1,
}  # fmt: skip
"""The kernels, and how many arrays they take; the rest of their arguments is what they are compiled for."""


def network_kernels(jax: Any, generic: Generic) -> dict[str, Callable[..., Any]]:
    """The kernels by name."""
    whole = {name: _compiled(jax, partial(generic, name), name) for name in _FIXED}
    return whole | _convolutions(jax, whole)


def _compiled(jax: Any, f: Callable[..., Any], name: str) -> Callable[..., Any]:
    """``f(device, *args)``, compiled for each device and setting."""

    @partial(jax.jit, static_argnums=(0, 1))
    def run(device: Any, setting: tuple[Any, ...], *arrays: Any) -> Any:
        return f(device, *arrays, *setting)

    n = _FIXED[name]

    def kernel(x: Any, *args: Any) -> Any:
        # An array that is being traced is nowhere yet.
        device = jax.devices()[0] if isinstance(x, jax.core.Tracer) else next(iter(x.devices()))
        return run(device, args[n - 1 :], x, *args[: n - 1])

    return kernel


def _convolutions(jax: Any, whole: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """XLA's convolution in single precision, and on GPUs; on the CPU it has only simple loops for float64."""

    def takes(x: Any, w: Any) -> bool:
        if x.ndim not in (3, 4, 5) or 0 in x.shape or 0 in w.shape or x.dtype.kind != "f":
            return False
        return bool(x.dtype.itemsize <= 4 or jax.default_backend() != "cpu")

    def convolution(x: Any, w: Any, strides: Any, pads: Any, dilation: Any, groups: int) -> Any:
        return jax.lax.conv_general_dilated(
            x, w, strides, pads, rhs_dilation=dilation, feature_group_count=groups, precision=jax.lax.Precision.HIGHEST
        )

    def by_input(g: Any, w: Any, lengths: Any, *setting: Any) -> Any:
        like = jax.ShapeDtypeStruct((g.shape[0], w.shape[1] * setting[-1], *lengths), g.dtype)
        return jax.linear_transpose(lambda x: convolution(x, w, *setting), like)(g)[0]

    def by_weight(x: Any, g: Any, size: Any, *setting: Any) -> Any:
        like = jax.ShapeDtypeStruct((g.shape[1], x.shape[1] // setting[-1], *size), g.dtype)
        return jax.linear_transpose(lambda w: convolution(x, w, *setting), like)(g)[0]

    own: dict[str, Callable[..., Any]] = {
        "conv_nd": convolution,
        "conv_input_nd": by_input,
        "conv_weight_nd": by_weight,
    }
    made = {name: _compiled(jax, partial(_anywhere, f), name) for name, f in own.items()}

    def chosen(name: str) -> Callable[..., Any]:
        def run(x: Any, w: Any, *setting: Any) -> Any:
            return (made if takes(x, w) else whole)[name](x, w, *setting)

        return run

    return {name: chosen(name) for name in made}


def _anywhere(f: Callable[..., Any], device: Any, *args: Any) -> Any:
    return f(*args)
