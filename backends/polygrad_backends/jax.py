"""JAX, as an array library: its transformations are never used, but work on polygrad's programs.

Its arrays are immutable, so writing in place makes new ones (see ``core/cell.py``). Loading this backend
turns on JAX's 64-bit mode: without it float64 arrays would silently be float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from polygrad.backend import Backend, Device, RawNamespace, generic_kernel

from .jax_networks import network_kernels
from .special import OwnFunctions, SpecialFunctions

__all__ = ["JaxBackend"]

_DTYPES = """
bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128
"""
_CREATION = "zeros ones empty full eye linspace arange asarray"
_EXACT = "expit i0e i1e xlogy xlog1py"  # the special functions that are as accurate as SciPy's


class JaxBackend(Backend):
    """JAX arrays on ``"jax:cpu"``, ``"jax:gpu:0"``, ...; the number is left out where there is one device."""

    name = "jax"
    library = "jax"
    install = "pip install jax (or jax[cuda12] for GPUs)"
    mutable = False

    def __init__(self) -> None:
        import jax
        import jax.numpy as jnp

        super().__init__()
        jax.config.update("jax_enable_x64", True)
        self.jax = jax
        self.jnp = jnp
        self.array_types = (type(jnp.zeros(())), jax.Array)  # the class of values, and of traced ones
        self.native_dtypes = {name: jnp.dtype(name) for name in _DTYPES.split()}
        self.complex_dtypes = frozenset({jnp.dtype("complex64"), jnp.dtype("complex128")})
        self.kernels = {
            "getitem": _getitem,
            "with_entries": _with_entries,
            "scatter_add": self._scatter_add,
            "running_extreme": lambda x, axis, smallest: (jax.lax.cummin if smallest else jax.lax.cummax)(x, axis),
            "running_logsumexp": jax.lax.cumlogsumexp,
            "sigmoid": jax.nn.sigmoid,
            **network_kernels(jax, lambda name, native, *args: generic_kernel(name)(self.namespace(native), *args)),
        }
        self._namespaces: dict[Any, RawNamespace] = {}
        self.compile = partial(_compile, jax)
        self.executors = {"jax.jit": self.compile}

    # -- the namespace -----------------------------------------------------------------------------

    def namespace(self, native: Any) -> RawNamespace:
        found = self._namespaces.get(native)
        if found is None:
            special = self._special(native)
            spaces = {"special": lambda: special}
            found = self._namespaces[native] = RawNamespace(self.jnp, spaces=spaces, **self._mended(native))
        return found

    def _special(self, native: Any) -> Any:
        """Special functions: elsewhere than on the CPU JAX's own and no others. There SciPy's, and the generic kernels
        on NumPy (each step of those would be a call of its own in JAX), but where JAX's are as accurate. Arrays that JAX
        is tracing have no values, and get JAX's."""

        def library() -> Any:
            import jax.scipy.special

            return jax.scipy.special

        own = OwnFunctions(f"jax:{native.platform}", library)
        if native.platform != "cpu":
            return own

        def traced(name: str) -> Any:
            return getattr(own, name, None) or self.namespace(native).generic(f"special.{name}") or getattr(own, name)

        return SpecialFunctions(
            self.to_numpy,
            partial(self.from_numpy, native=native),
            self.array_types,
            lambda name: getattr(own, name) if name in _EXACT.split() else None,
            traced,
            lambda x: isinstance(x, self.jax.core.Tracer),
            lambda: Device("cpu").raw.special,
        )

    def _mended(self, native: Any) -> dict[str, Any]:
        jnp = self.jnp

        def created(name: str) -> Any:
            function = getattr(jnp, name)

            def create(*args: Any, **options: Any) -> Any:
                if name == "asarray" and isinstance(args[0], self.jax.Array):
                    return function(*args, **options)
                return function(*args, **options, device=native)

            return create

        return (
            {name: created(name) for name in _CREATION.split()}
            | self.native_dtypes
            | self.kernels
            | {
                "isdtype": cache(jnp.isdtype),
                "conj": lambda x: jnp.conj(x) if x.dtype.kind == "c" else x,
                "searchsorted": lambda x1, x2, side="left": jnp.searchsorted(x1, x2, side=side).astype("int64"),
                "unique_all": self._unique_all,
                "linalg.solve_triangular": self._solve_triangular,
                "linalg.squared_often": self._squared_often,
                "linalg.inv_or_inf": jnp.linalg.inv,
            }
        )

    # -- devices -----------------------------------------------------------------------------------

    def native_devices(self) -> Sequence[tuple[str, Any]]:
        found = []
        platforms = dict.fromkeys([self.jax.default_backend(), "cpu"])
        for platform in platforms:
            own = self.jax.local_devices(backend=platform)
            for i, device in enumerate(own):
                found.append((f"jax:{device.platform}" + (f":{i}" if len(own) > 1 else ""), device))
        return found

    def native_device_of(self, array: Any) -> Any:
        if isinstance(array, self.jax.core.Tracer):  # inside jax.jit, jax.vmap, ...: it has no place yet
            return self.native_devices()[0][1]
        return array.device

    def to_native(self, array: Any, native: Any) -> Any:
        return self.jax.device_put(array, native)

    def to_numpy(self, array: Any) -> Any:
        import numpy as np

        return np.asarray(array)

    def from_numpy(self, array: Any, native: Any) -> Any:
        return self.jnp.array(array, copy=True, device=native)  # sharing memory would not be immutable

    def from_dlpack(self, x: Any, native: Any, copy: bool | None) -> Any:
        made = self.jnp.from_dlpack(x, copy=copy)
        return made if made.device == native else self.jax.device_put(made, native)

    def copy(self, array: Any) -> Any:
        return self.jnp.array(array, copy=True)

    def synchronize(self, native: Any) -> None:
        self.jax.device_put(0.0, native).block_until_ready()

    def _unique_all(self, x: Any) -> tuple[Any, ...]:
        # JAX's inverse (and searchsorted's result) is int32, whatever the default is.
        values, *indices = self.jnp.unique_all(x)
        return values, *(i.astype("int64") for i in indices)

    # -- kernels -----------------------------------------------------------------------------------

    def _solve_triangular(self, a: Any, b: Any, upper: bool = False, unit_diagonal: bool = False) -> Any:
        from jax.scipy.linalg import solve_triangular

        shape = self.jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (self.jnp.broadcast_to(x, shape + x.shape[-2:]) for x in (a, b))
        return solve_triangular(a, b, lower=not upper, unit_diagonal=unit_diagonal)

    def _squared_often(self, x: Any, times: Any) -> Any:
        def square(i: Any, x: Any) -> Any:
            return self.jnp.where(times > i, x @ x, x)

        return self.jax.lax.fori_loop(0, times.max().astype(int), square, x)  # without reading a value

    def _scatter_add(self, shape: tuple[int, ...], dtype: Any, parts: Sequence[tuple[Any, Any]]) -> Any:
        total = self.jnp.zeros(shape, dtype)
        for key, values in parts:
            total = total.at[key].add(values)
        return total


def _compile(jax: Any, graph: Any, device: Device) -> Any:
    from polygrad.graph import Pieces  # only for those who compile

    def alone(instruction: Any) -> bool:
        """Special functions that SciPy is asked for: inside jax.jit they would be JAX's, less accurate."""
        space, _, name = instruction.op.removeprefix("xp.").partition(".")
        return space == "special" and name not in _EXACT.split() and device.native.platform == "cpu"

    return Pieces(graph, device, "jax.jit", alone, jax.jit)


def _check(x: Any, key: Any) -> None:
    """JAX moves integers that are out of range to the last element; NumPy's error is wanted."""
    entries = key if isinstance(key, tuple) else (key,)
    if not any(type(k) is int for k in entries):
        return
    axis = 0
    taken = [0 if k is None or k is Ellipsis else k.ndim if str(getattr(k, "dtype", "")) == "bool" else 1
             for k in entries]  # fmt: skip
    for k, width in zip(entries, taken, strict=True):
        if k is Ellipsis:
            axis += x.ndim - sum(taken)
        elif type(k) is int and axis < x.ndim and not -x.shape[axis] <= k < x.shape[axis]:
            raise IndexError(f"index {k} is out of bounds for axis {axis} of length {x.shape[axis]}")
        axis += width


def _getitem(x: Any, key: Any) -> Any:
    _check(x, key)
    return x[key]


def _with_entries(x: Any, key: Any, value: Any) -> Any:
    _check(x, key)
    return x.at[key].set(value)
