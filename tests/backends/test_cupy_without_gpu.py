"""The CuPy backend where there is no GPU: why it says it cannot run, and its own code over a stand-in of CuPy
made of NumPy, which shows wrong names and arguments, though nothing of CuPy's own behaviour."""

import ctypes
import sys
import types
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from polygrad_backends.cupy import CupyBackend

import polygrad as pg
from polygrad import registry
from polygrad.errors import NoFunctionError
from polygrad.testing import BackendConformance


def stand_in(**names: Any) -> types.ModuleType:
    module = types.ModuleType("cupy")
    module.__version__ = "14.2.0"  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace(name="cupy")  # type: ignore[assignment]
    module.__dict__.update(names)
    return module


def runtime(count: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=count, getDevice=lambda: 0))


def failing(error: Exception) -> Any:
    def fail() -> int:
        raise error

    return fail


# -- reasons -------------------------------------------------------------------------------------------


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr("polygrad.backend.find_spec", lambda name: None)
    assert "cupy is not installed: pip install" in CupyBackend.reason()


def test_no_driver(monkeypatch):
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("polygrad.backend.find_spec", lambda name: object())
    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert "no CUDA driver was found" in CupyBackend.reason()


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (stand_in(cuda=runtime(lambda: 0)), "sees no GPU"),
        (
            stand_in(cuda=runtime(failing(RuntimeError("cudaErrorInsufficientDriver")))),
            "cudaErrorInsufficientDriver",
        ),
        (stand_in(__version__="13.6.0"), "13.6.0 is too old"),
        (stand_in(__version__="?"), "ValueError"),
        (None, "ImportError|ModuleNotFoundError"),
    ],
)
def test_other_reasons(monkeypatch, module, words):
    monkeypatch.setattr("polygrad.backend.find_spec", lambda name: object())
    monkeypatch.setattr(ctypes, "CDLL", lambda name: None)
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert any(word in CupyBackend.reason() for word in words.split("|"))


def test_it_runs_where_there_is_a_device(monkeypatch):
    monkeypatch.setattr("polygrad.backend.find_spec", lambda name: object())
    monkeypatch.setattr(ctypes, "CDLL", lambda name: None)
    monkeypatch.setitem(sys.modules, "cupy", stand_in(cuda=runtime(lambda: 2)))
    assert CupyBackend.reason() is None


# -- a stand-in made of NumPy ----------------------------------------------------------------------------


class Array(np.ndarray):
    """A NumPy array that says where it is, as CuPy's do."""

    @property
    def data(self) -> Any:  # type: ignore[override]
        base: Any = self
        while isinstance(base.base, np.ndarray):
            base = base.base
        return types.SimpleNamespace(device_id=0, mem=base)

    def get(self) -> np.ndarray:
        return np.array(self)


def as_array(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(as_array(v) for v in value)
    return np.asarray(value).view(Array) if isinstance(value, (np.ndarray, np.generic)) else value


class Namespace:
    """NumPy's namespace, giving the stand-in's arrays."""

    def __init__(self, base: Any) -> None:
        self.base = base

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.base, name)
        if not callable(found) or isinstance(found, type):
            return found
        return lambda *args, **options: as_array(found(*args, **options))


class Special(Namespace):
    """SciPy's special functions without some."""

    def __getattr__(self, name: str) -> Any:
        if name in ("struve", "xlogy", "elliprd"):
            raise AttributeError(name)
        return super().__getattr__(name)


class StandIn(CupyBackend):
    name = "cupy-stand-in"
    library = "numpy"

    @classmethod
    def reason(cls) -> str | None:
        return None

    def as_raw(self, value: Any, device: pg.Device) -> Any:
        return as_array(value)

    def native_devices(self) -> Any:
        return [("cupy-stand-in:0", 0)]

    def synchronize(self, native: int) -> None:
        pass

    def quiet(self) -> Any:
        return np.errstate(all="ignore")  # CuPy does not warn


@pytest.fixture(scope="module", autouse=True)
def _stand_in():
    import array_api_compat.numpy as compat

    module: Any = Namespace(np)
    module.ndarray, module.cuda = Array, runtime(lambda: 1)
    extension = stand_in(errstate=lambda **options: nullcontext())
    module.add = np.add
    module.linalg = Namespace(np.linalg)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CupyBackend, "check_later", lambda *_: None)  # it takes pinned memory and a kernel
        patch.setitem(sys.modules, "cupy", module)
        patch.setitem(sys.modules, "cupyx", extension)
        patch.setitem(sys.modules, "cupyx.scipy", stand_in())
        patch.setitem(sys.modules, "cupyx.scipy.linalg", stand_in(solve_triangular=scipy.linalg.solve_triangular))
        patch.setitem(sys.modules, "cupyx.scipy.special", Special(scipy.special))
        patch.setitem(sys.modules, "array_api_compat.cupy", Namespace(compat))
        pg.register_backend(StandIn)
        registry.load(StandIn.name)
        yield
    for table in (registry._classes, registry._loaded, registry._named):
        for key in [k for k in table if k.startswith(StandIn.name)]:
            del table[key]
    registry._owners.pop(Array, None)


class TestStandIn(BackendConformance):
    backend = StandIn.name


def test_special_functions_are_the_librarys_or_generic_or_missing():
    device = pg.Device("cupy-stand-in:0")
    values = np.asarray([0.3, 0.6])
    for f in (pg.special.gammaln, pg.special.ellipk, pg.sigmoid, lambda x: pg.special.betainc(x, 2.0, x)):
        x = pg.asarray(values.view(Array).copy(), requires_grad=True)
        y = f(x)
        pg.sum(y).backward()
        assert y.device is x.grad.device is device
        np.testing.assert_allclose(np.asarray(x.grad._value), pg.grad(lambda x, f=f: pg.sum(f(x)))(values), rtol=1e-13)
    x = pg.asarray(values.view(Array))
    np.testing.assert_allclose(np.asarray(pg.special.xlogy(x, x)._value), scipy.special.xlogy(values, values))
    with pytest.raises(NoFunctionError, match=r"'struve' is not there on 'cuda:0'.*x.to_device"):
        pg.special.struve(0.0, x)
