"""A conformance suite for backends: subclass it, name the backend, and let pytest find the tests.

::

    from polygrad.testing import BackendConformance

    class TestMine(BackendConformance):
        backend = "mine"

Every value is compared with NumPy's. Where the backend cannot run, the tests skip with its own reason.
"""

from __future__ import annotations

import pickle
import unittest
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar

import polygrad as pg

from .. import registry
from ..array_api import FUNCTIONS
from ..backend import Device
from ..core.kernels import GENERIC
from ..errors import DeviceError, DTypeError
from . import cases

__all__ = ["BackendConformance"]

_TOLERANCE = {"float32": 2e-6, "complex64": 4e-6, "float64": 1e-13, "complex128": 1e-13}


def _has(namespace: Any, name: str) -> bool:
    """Whether a namespace has a function, which may be one of ``linalg``, ``fft`` or ``special``."""
    try:
        return attrgetter(name)(namespace) is not None
    except AttributeError:
        return False


# What polygrad makes of other functions: no backend needs it.
_OURS = "meshgrid broadcast_shapes unstack clip count_nonzero diff isin moveaxis unique_counts unique_inverse"


class BackendConformance:
    """What polygrad relies on in a backend. Subclasses set :attr:`backend`."""

    backend: ClassVar[str]
    """The name of the backend under test."""

    # -- help ----------------------------------------------------------------------------------------

    def load(self) -> Any:
        """The backend, or a skip with its own reason."""
        reason = pg.backends()[self.backend]
        if reason is not None:
            raise unittest.SkipTest(reason)
        return registry.load(self.backend)

    def devices(self) -> list[Device]:
        """Every device of the backend."""
        devices: list[Device] = self.load().devices()
        return devices

    def host(self) -> Any:
        """NumPy's raw namespace, to compare with."""
        return Device("cpu").raw

    def samples(self, dtype: str) -> dict[str, Any]:
        """The samples of :mod:`polygrad.testing.cases` as NumPy arrays."""
        np = self.host()
        made: dict[str, Any] = {}
        for seed, name in enumerate(cases.ARRAYS):
            shape = {"v": (4,), "z": (), "e": (0, 4)}.get(name, (3, 4))
            n = int(np.prod(np.asarray(shape, dtype=np.int64)))
            values = [((7 * k + 5 * seed + 3) * 37 % 101) / 20.0 - 2.53 for k in range(n)]
            if name == "u":
                values = [0.1 + 0.8 * (v + 2.6) / 5.2 for v in values]
            array = np.reshape(np.asarray(values, dtype=np.float64), shape)
            if dtype.startswith("complex"):
                array = array + 1j * np.flip(array, axis=tuple(range(array.ndim)))
            made[name] = np.astype(array, Device("cpu").backend.to_native_dtype(dtype))
        made["m"] = np.reshape(np.asarray([k % 3 != 1 for k in range(12)]), (3, 4))
        made["i"] = np.asarray([2, 0, 2])
        return made

    def place(self, device: Device, values: Any) -> Any:
        """NumPy arrays, in whatever containers, on a device."""
        if isinstance(values, dict):
            return {k: self.place(device, v) for k, v in values.items()}
        if isinstance(values, (tuple, list)):
            return type(values)(self.place(device, v) for v in values)
        return device.backend.from_numpy(values, device.native) if hasattr(values, "dtype") else values

    def same(self, what: str, device: Device, got: Any, want: Any, tolerance: float = 0.0) -> None:
        """Assert that a raw result is NumPy's: shape, dtype, device and values."""
        if isinstance(want, tuple):
            got = tuple(got)
            assert len(got) == len(want), f"{what}: {len(got)} results instead of {len(want)}"
            for i, (g, w) in enumerate(zip(got, want, strict=True)):
                self.same(f"{what}[{i}]", device, g, w, tolerance)
            return
        np, backend = self.host(), device.backend
        want = np.asarray(want)
        got = backend.as_raw(got, device)
        assert backend.device_of(got) is device, f"{what}: came out on {backend.device_of(got)}, not {device}"
        if not backend.lazy:
            assert tuple(got.shape) == want.shape, f"{what}: shape {tuple(got.shape)} instead of {want.shape}"
        dtype = backend.dtype_of(got)
        index = want.dtype.kind in "iu" and dtype.kind in "iu"  # the width of indices is the library's choice
        assert index or dtype == want.dtype, f"{what}: dtype {dtype} instead of {want.dtype}"
        values = backend.to_numpy(got)
        assert values.shape == want.shape, f"{what}: shape {values.shape} instead of {want.shape}"
        if want.dtype.kind in "fc":
            near = np.abs(values - want) <= tolerance * (1 + np.abs(want))
            right = bool(np.all(near | (values == want) | (np.isnan(values) & np.isnan(want))))
        else:
            right = bool(np.all(values == want))
        assert right, f"{what}: {values.tolist()} instead of {want.tolist()}"

    def refused(self, kind: type[Exception], f: Callable[[], Any], *words: str) -> None:
        """Assert that ``f`` raises, and that the message has the words."""
        try:
            f()
        except kind as error:
            told = str(error)
        else:
            raise AssertionError(f"expected {kind.__name__}, nothing was raised")
        for word in words:
            assert word in told, f"the message lacks {word!r}: {told}"

    def dtypes_of(self, number: int, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        """Which of the dtypes a case of a table runs in, by its place there: all of them. Where a library compiles each
        function anew for each, cases may take turns."""
        return dtypes

    def compare(self, table: dict[str, Callable[[Any, Any], Any]], *dtypes: str) -> None:
        """Run a table of cases on every device and on NumPy."""
        np, failures = self.host(), []
        for device in self.devices():
            for dtype in dtypes:
                if dtype not in device.backend.native_dtypes:
                    continue
                own = self.samples(dtype)
                there = self.place(device, own)
                for number, (name, case) in enumerate(table.items()):
                    if dtype not in self.dtypes_of(number, dtypes):
                        continue
                    what = f"{name} of {dtype} on {device}"
                    try:
                        with device.backend.quiet(), Device("cpu").backend.quiet():
                            want, got = case(np, own), case(device.raw, there)
                        self.same(what, device, got, want, 8 * _TOLERANCE.get(dtype, 0.0))
                    except Exception as error:
                        failures.append(f"{what}: {type(error).__name__}: {error}")
        assert not failures, "\n".join(failures)

    # -- what it says of itself ------------------------------------------------------------------------

    def test_reason_is_none_or_text(self) -> None:
        reason = pg.backends()[self.backend]
        assert reason is None or (isinstance(reason, str) and reason)

    def test_devices_have_names(self) -> None:
        backend = self.load()
        devices = backend.devices()
        assert devices
        assert devices[0] is backend.default_device
        for device in devices:
            assert pg.Device(device.name) is device
            assert device in pg.devices()
            assert device == device.name
            assert hash(device) == hash(device.name)
            assert pickle.loads(pickle.dumps(device)) is device
            assert backend.device(device.native) is device

    def test_unknown_device_is_refused_by_name(self) -> None:
        first = self.load().default_device.name
        head = first.partition(":")[0]
        self.refused(DeviceError, lambda: pg.Device(f"{head}:nowhere"), "nowhere", first)

    def test_dtypes_round_trip(self) -> None:
        backend = self.load()
        for dtype in backend.dtypes():
            assert backend.to_dtype(backend.to_native_dtype(dtype)) is dtype
            assert backend.to_native_dtype(dtype.name) == backend.native_dtypes[dtype.name]
        assert {"bool", "int64", "float32", "float64"} <= set(backend.native_dtypes)
        assert all(backend.to_dtype(d).kind == "c" for d in backend.complex_dtypes)

    def test_missing_dtypes_are_refused(self) -> None:
        backend = self.load()
        device = backend.default_device
        for dtype in (pg.uint16, pg.bfloat16):
            if not backend.has_dtype(dtype.name):
                self.refused(DTypeError, partial(pg.zeros, 2, dtype=dtype, device=device), dtype.name)

    # -- arrays, devices, memory -------------------------------------------------------------------------

    def test_arrays_are_owned(self) -> None:
        backend = self.load()
        for device in backend.devices():
            raw = device.raw.zeros((2, 3), dtype=backend.native_dtypes["float32"])
            assert backend.owns(raw)
            assert isinstance(raw, device.array_type)
            assert registry.owner(raw) is backend
            assert registry.device_of(raw) is device
            tensor = pg.asarray(raw)
            assert tensor.device is device
            assert tensor.dtype is pg.float32
            assert tensor.shape == (2, 3)

    def test_creation_lands_on_the_device(self) -> None:
        backend = self.load()
        f = backend.native_dtypes["float64"]
        for device in backend.devices():
            xp, np = device.raw, self.host()
            self.same("zeros", device, xp.zeros((2, 3), dtype=f), np.zeros((2, 3)))
            self.same("ones", device, xp.ones((), dtype=f), np.ones(()))
            self.same("full", device, xp.full((2,), 2.5, dtype=f), np.full((2,), 2.5))
            self.same("eye", device, xp.eye(2, 3, k=1, dtype=f), np.eye(2, 3, k=1))
            self.same("arange", device, xp.arange(2, 9, 3, dtype=f), np.arange(2, 9, 3, dtype=np.float64))
            self.same("arange of n", device, xp.arange(3), np.arange(3))
            self.same("arange of none", device, xp.arange(3, 3), np.arange(3, 3))
            self.same("linspace", device, xp.linspace(0, 1, 4, dtype=f, endpoint=False), np.linspace(0, 1, 4, False))
            self.same("asarray", device, xp.asarray(1.5, dtype=f), np.asarray(1.5))
            assert tuple(xp.empty((2, 0), dtype=f).shape) == (2, 0)
            with pg.device(device):
                for made in (pg.zeros(2), pg.asarray([1.0, 2.0]), pg.eye(2), pg.full((2,), 3)):
                    assert made.device is device

    def test_numpy_round_trip(self) -> None:
        np, host = self.host(), Device("cpu").backend
        for device in self.devices():
            for dtype in device.backend.dtypes():
                if dtype.name not in host.native_dtypes:
                    continue
                base = np.astype(np.reshape(np.arange(12), (3, 4)), host.to_native_dtype(dtype))
                for array in (base, base[::-1, ::2], base[0, 0, ...], base[:0]):
                    array = np.asarray(array)
                    there = device.backend.from_numpy(array, device.native)
                    self.same(f"{dtype} through {device}", device, there, array)

    def test_transfers_keep_values_and_gradients(self) -> None:
        places = [*self.devices(), pg.Device("cpu")]
        for source in places:
            for target in places:
                x = pg.asarray([1.0, -2.0], device=source, requires_grad=True)
                y = x.to_device(target)
                assert y.device is target
                pg.sum(y * y).backward()
                assert x.grad is not None
                assert x.grad.device is source
                assert x.grad.tolist() == [2.0, -4.0]

    def test_dlpack_imports(self) -> None:
        np = self.host()
        for device in self.devices():
            made = device.backend.from_dlpack(np.asarray([1.0, 2.0]), device.native, True)
            self.same("from_dlpack", device, made, np.asarray([1.0, 2.0]))

    def test_copy_shares_no_memory(self) -> None:
        backend = self.load()
        for device in backend.devices():
            x = self.place(device, self.host().asarray([1.0, 2.0]))
            copied = backend.copy(x)
            self.same("copy", device, copied, self.host().asarray([1.0, 2.0]))
            if backend.mutable:
                backend.write(copied, 0, device.raw.asarray(7.0, dtype=copied.dtype))
                self.same("the original", device, x, self.host().asarray([1.0, 2.0]))

    def test_tensors_share_the_users_memory(self) -> None:
        backend = self.load()
        for device in backend.devices():
            raw = self.place(device, self.host().asarray([1.0, 2.0]))
            tensor = pg.asarray(raw)
            tensor[0] = 7.0
            assert tensor.tolist() == [7.0, 2.0]
            want = [7.0, 2.0] if backend.mutable else [1.0, 2.0]
            self.same("the user's array", device, raw, self.host().asarray(want))

    def test_reshape_says_whether_it_is_a_view(self) -> None:
        backend = self.load()
        if not backend.mutable:
            raise unittest.SkipTest("immutable: there are no views to tell from copies")
        for device in backend.devices():
            x = self.place(device, self.host().reshape(self.host().arange(6.0), (2, 3)))
            for base in (x, device.raw.matrix_transpose(x)):
                made = device.raw.reshape(base, (6,))
                shared = backend.is_view(made, base)
                before = backend.to_numpy(made).tolist()
                backend.write(base, (0, 0), device.raw.asarray(99.0, dtype=x.dtype))
                after = backend.to_numpy(made).tolist()
                assert shared == (before != after), f"is_view says {shared}, the memory says otherwise"

    def test_pickle(self) -> None:
        for device in self.devices():
            x = pg.asarray([[1.0, 2.0]], device=device, dtype="float32", requires_grad=True)
            y = pickle.loads(pickle.dumps(x))
            assert (y.device, y.dtype, y.shape, y.requires_grad) == (device, pg.float32, (1, 2), True)
            assert y.tolist() == [[1.0, 2.0]]

    # -- the namespace ---------------------------------------------------------------------------------

    def test_every_name_is_there(self) -> None:
        for device in self.devices():
            for name in (*FUNCTIONS, *GENERIC, *cases.SPACES, "bool", "int64", "float64"):
                assert name in _OURS.split() or _has(device.raw, name), f"{device} lacks {name}"

    def test_kinds_of_dtypes(self) -> None:
        for device in self.devices():
            native = device.backend.native_dtypes
            kinds = ("bool", "integral", "real floating", "complex floating", "numeric")
            for name, dtype in native.items():
                for kind in kinds:
                    assert bool(device.raw.isdtype(dtype, kind)) == pg.isdtype(name, kind), (name, kind)

    def test_real_functions_agree_with_numpy(self) -> None:
        self.compare(cases.FLOATS, "float32", "float64")

    def test_complex_functions_agree_with_numpy(self) -> None:
        self.compare(cases.COMPLEX, "complex64", "complex128")

    def test_integer_functions_agree_with_numpy(self) -> None:
        self.compare(cases.INTEGERS, "int32", "int64")

    def test_shapes_reductions_and_searches_agree_with_numpy(self) -> None:
        self.compare(cases.SHAPES, "float32", "float64")

    def test_linear_algebra_agrees_with_numpy(self) -> None:
        assert pg.linalg.inv is not None  # the modules declare their kernels
        assert pg.neural.lstm is not None
        self.compare(cases.LINALG, "float32", "float64", "complex64", "complex128")

    # -- keys ------------------------------------------------------------------------------------------

    def keys(self, device: Device) -> Iterator[tuple[str, Any, Any]]:
        """Each key of the table, as NumPy takes it and as the device does."""
        np = self.host()
        i = np.asarray([2, 0, -1, 2])
        m3 = np.reshape(np.asarray([k % 4 == 1 for k in range(60)]), (3, 4, 5))
        m1 = np.asarray([True, False, True, True])
        for name, key in cases.KEYS.items():
            own = key(i, m3[:, :, 1], m3, m1)
            yield name, own, self.place(device, own)

    def test_getitem_agrees_with_numpy(self) -> None:
        np = self.host()
        x = np.reshape(np.arange(60.0), (3, 4, 5))
        for device in self.devices():
            there = self.place(device, x)
            for name, own, key in self.keys(device):
                self.same(f"getitem: {name}", device, device.raw.getitem(there, key), x[own])

    def test_entries_are_written_as_in_numpy(self) -> None:
        np = self.host()
        x = np.reshape(np.arange(60.0), (3, 4, 5))
        for device in self.devices():
            backend, there = device.backend, self.place(device, x)
            for name, own, key in self.keys(device):
                want = np.asarray(x, copy=True)
                want[own] = -1.0
                value = self.place(device, np.asarray(-1.0))
                self.same(f"with_entries: {name}", device, device.raw.with_entries(there, key, value), want)
                self.same("x itself", device, there, x)
                if backend.mutable:
                    target = backend.copy(there)
                    backend.write(target, key, value)
                    self.same(f"write: {name}", device, target, want)

    def test_scatter_add_agrees_with_numpy(self) -> None:
        np = self.host()
        x = np.reshape(np.arange(60.0), (3, 4, 5))
        for device in self.devices():
            for name, own, key in self.keys(device):
                g = x[own] + 1.0
                parts = [(own, g), ((1, ...), x[0] * 0.5)]
                want = np.scatter_add((3, 4, 5), x.dtype, parts)
                there = [(key, self.place(device, np.asarray(g))), ((1, ...), self.place(device, x[0] * 0.5))]
                got = device.raw.scatter_add((3, 4, 5), device.backend.native_dtypes["float64"], there)
                self.same(f"scatter_add: {name}", device, got, want, 1e-12)

    def test_gradients_of_indexing(self) -> None:
        np = self.host()
        x = np.reshape(np.arange(60.0), (3, 4, 5)) / 60
        for device in self.devices():
            for name, own, _ in self.keys(device):
                grads = []
                for place in (pg.Device("cpu"), device):
                    t = pg.asarray(x, device=place, copy=True, requires_grad=True)
                    pg.sum(pg.sin(t[own]) * 3).backward()
                    assert t.grad is not None
                    grads.append(t.grad)
                self.same(f"gradient of getitem: {name}", device, grads[1]._value, grads[0].numpy(), 1e-12)

    def test_integers_out_of_range_are_refused(self) -> None:
        for device in self.devices():
            x = pg.zeros((2, 3), device=device)
            for key in (2, (0, -4), (..., 3)):
                self.refused(IndexError, partial(x.__getitem__, key), "2, 3")

    # -- kernels, scopes, checks ---------------------------------------------------------------------------

    def test_kernels_agree_with_the_generic_ones(self) -> None:
        np = self.host()
        assert pg.linalg.inv is not None  # the modules declare their kernels
        assert pg.neural.lstm is not None
        for device in self.devices():
            for dtype in ("float32", "float64"):
                own = self.samples(dtype)
                there = self.place(device, own)
                own_ones = {n: a for n, a in cases.NETWORK_KERNELS.items() if n in device.backend.kernels}
                for number, (name, arguments) in enumerate((cases.KERNELS | own_ones).items()):
                    if dtype not in self.dtypes_of(number, ("float32", "float64")):
                        continue
                    want = GENERIC[name](np, *arguments(np, own))
                    got = attrgetter(name)(device.raw)(*arguments(device.raw, there))
                    self.same(f"kernel {name} of {dtype}", device, got, want, 4 * _TOLERANCE[dtype])

    def test_rules_run_quietly(self) -> None:
        import warnings

        for device in self.devices():
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                x = pg.asarray([0.0, 1.0], device=device, requires_grad=True)
                pg.sum(pg.sqrt(x)).backward()
            assert x.grad is not None
            assert x.grad.tolist() == [float("inf"), 0.5]

    def test_not_finite_is_found(self) -> None:
        np = self.host()
        table = [([0.0, 1.0], None), ([float("nan"), 1.0], "NaN"), ([float("-inf"), 1.0], "infinity"),
                 ([float("nan"), float("inf")], "NaN and infinity")]  # fmt: skip
        for device in self.devices():
            for values, want in table:
                assert device.backend.not_finite(self.place(device, np.asarray(values))) == want
            assert device.backend.not_finite(self.place(device, np.asarray([1, 2]))) is None

    def test_checksums_tell_values_apart(self) -> None:
        np = self.host()
        for device in self.devices():
            sums = [
                device.backend.checksum(self.place(device, np.asarray(v))) for v in ([1.0, 2.0], [1.0, 2.0], [2.0, 1.0])
            ]
            assert sums[0] == sums[1] != sums[2]

    def test_synchronize_and_compute(self) -> None:
        for device in self.devices():
            device.backend.synchronize(device.native)
            x = self.place(device, self.host().asarray([1.0]))
            (made,) = device.backend.compute(x)
            self.same("compute", device, made, self.host().asarray([1.0]))

    def test_devices_do_not_mix(self) -> None:
        here = self.load().default_device
        others = [d for d in (*self.devices(), pg.Device("cpu")) if d is not here]
        for other in others:
            a, b = pg.ones(2, device=here), pg.ones(2, device=other)
            self.refused(DeviceError, partial(pg.add, a, b), here.name, other.name)
            self.refused(DeviceError, partial(pg.concat, [a, b]), here.name, other.name)
            self.refused(DeviceError, partial(pg.where, a > 0, a, b), here.name, other.name)
