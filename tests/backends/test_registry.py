"""Finding backends: by name, by entry point, by a program's own registration."""

import os
import subprocess
import sys

import numpy as np
import pytest

import polygrad as pg
from polygrad import registry
from polygrad.backend import Backend, RawNamespace
from polygrad.errors import BackendError, DeviceError

OURS = ("numpy", "cupy", "torch", "jax", "dask", "strict")


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class ToyArray:
    """The least an array can be: NumPy's, wrapped."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.asarray(values)

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)
    ndim = property(lambda self: self.values.ndim)

    def __mul__(self, other: object) -> "ToyArray":
        return ToyArray(self.values * getattr(other, "values", other))

    __rmul__ = __mul__

    def __add__(self, other: object) -> "ToyArray":
        return ToyArray(self.values + getattr(other, "values", other))

    def __and__(self, other: object) -> "ToyArray":
        return ToyArray(self.values & getattr(other, "values", other))

    def __eq__(self, other: object) -> "ToyArray":  # type: ignore[override]
        return ToyArray(self.values == getattr(other, "values", other))

    def __ne__(self, other: object) -> "ToyArray":  # type: ignore[override]
        return ToyArray(self.values != getattr(other, "values", other))

    __hash__ = object.__hash__


class ToyBackend(Backend):
    name = "toy"
    library = "numpy"
    mutable = False

    def __init__(self) -> None:
        super().__init__()
        self.array_types = (ToyArray,)
        self.native_dtypes = {n: np.dtype(n) for n in ("bool", "int64", "float32", "float64")}
        self.complex_dtypes = frozenset()
        self.kernels = {}

    def namespace(self, native):
        def lifted(name):
            def call(*args, **options):
                return ToyArray(getattr(np, name)(*[getattr(a, "values", a) for a in args], **options))

            return call

        names = ("zeros", "ones", "sum", "exp", "broadcast_to", "reshape", "asarray", "where", "zeros_like")
        return RawNamespace(np, **{name: lifted(name) for name in names})

    def native_devices(self):
        return (("toy", "toy"),)

    def native_device_of(self, array):
        return "toy"

    def to_numpy(self, array):
        return array.values

    def from_numpy(self, array, native):
        return ToyArray(array)


@pytest.fixture
def toy():
    pg.register_backend(ToyBackend)
    yield
    for table in (registry._classes, registry._loaded):
        table.pop("toy", None)
    registry._named.pop("toy", None)
    registry._owners.pop(ToyArray, None)


def test_ours_are_registered():
    assert set(OURS) <= set(pg.backends())
    assert next(iter(pg.backends())) == "numpy"


@pytest.mark.parametrize("name", OURS)
def test_a_reason_is_text_or_none(name):
    reason = pg.backends()[name]
    assert reason is None or reason.strip()


def test_unknown_backend_names_the_registered_ones():
    with pytest.raises(BackendError, match=r"unknown backend 'numbpy'.*numpy.*register_backend"):
        registry.load("numbpy")


def test_a_backend_that_cannot_run_says_why():
    name, reason = next(((n, r) for n, r in pg.backends().items() if r), (None, None))
    if name is None:
        pytest.skip("every backend can run here")
    with pytest.raises(BackendError) as error:
        registry.load(name)
    assert reason in str(error.value)


def test_an_unknown_array_is_nobodys():
    class Foreign:
        shape = (2,)
        dtype = "float32"

    assert registry.owner(Foreign()) is None
    with pytest.raises(BackendError, match=r"no backend owns arrays of type .*Foreign"):
        registry.device_of(Foreign())


def test_a_third_party_backend(toy):
    assert pg.backends()["toy"] is None
    x = pg.asarray(ToyArray(np.asarray([1.0, 2.0])), requires_grad=True)
    assert x.device == "toy"
    pg.sum(pg.exp(x) * x).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]) * [2.0, 3.0])
    assert pg.Device("toy") in pg.devices()
    assert pg.asarray([1.0], device="toy").device is x.device


def test_a_loaded_backend_cannot_be_registered_again(toy):
    registry.load("toy")
    with pytest.raises(BackendError, match="already loaded"):
        pg.register_backend(ToyBackend)


def test_a_class_that_is_no_backend_is_refused(monkeypatch):
    class Point:
        name = "wrong"

        def load(self):
            return dict

    monkeypatch.setattr(registry, "_points", {**registry._entry_points(), "wrong": Point()})
    with pytest.raises(BackendError, match=r"not a polygrad\.backend\.Backend subclass"):
        registry.load("wrong")


def test_a_checkout_that_was_not_installed_says_what_to_type(monkeypatch):
    monkeypatch.setattr(registry, "_points", {})
    monkeypatch.setattr(registry, "_classes", {})
    monkeypatch.setattr(registry, "_loaded", {})
    with pytest.raises(BackendError, match=r"pip install -e"):
        registry.load("numpy")


@pytest.mark.parametrize("name", OURS)
def test_importing_a_backends_module_does_not_import_its_library(name):
    library = {"strict": "array_api_strict"}.get(name, name)
    code = f"import sys, polygrad_backends.{name}; assert {library!r} not in sys.modules"
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_libraries_are_loaded_on_first_use_only():
    code = (
        "import sys, polygrad as pg\n"
        "assert not {'numpy', 'torch', 'jax', 'dask'} & set(sys.modules)\n"
        "pg.backends(); pg.zeros(2)\n"
        "assert 'numpy' in sys.modules and not {'torch', 'jax', 'dask'} & set(sys.modules)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_an_array_brings_its_backend():
    code = "import array_api_strict as s, polygrad as pg; print(pg.asarray(s.ones(2)).device)"
    done = run("import importlib.util as u\nif u.find_spec('array_api_strict'):\n " + code + "\nelse: print('strict')")
    assert done.stdout.strip() == "strict", done.stderr


def test_python_m_polygrad():
    done = subprocess.run([sys.executable, "-m", "polygrad"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"polygrad {pg.__version__}")
    for name, reason in pg.backends().items():
        assert f"{name}" in done.stdout
        assert reason is None or reason in done.stdout
    assert "\n  cpu\n" in done.stdout


def test_python_m_polygrad_survives_a_bad_default():
    done = subprocess.run(
        [sys.executable, "-m", "polygrad"],
        env=os.environ | {"POLYGRAD_DEVICE": "abacus"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no default device" in done.stdout
    assert "abacus" in done.stdout


def test_device_error_is_also_a_value_error():
    assert issubclass(DeviceError, ValueError)
