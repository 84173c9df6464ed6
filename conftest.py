"""Chooses the devices that tests run on, and gives tests what they share.

``pytest`` runs on every backend that is installed; ``pytest --backend cupy`` or ``--device cuda:0`` runs the
same tests there only. A test that takes ``device`` runs once for each; ``@pytest.mark.devices("numpy", "strict")``
keeps it to some backends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import polygrad as pg
from polygrad.errors import BackendError

# Each backend's devices that tests use: the second strict device stands in for "another device than the host".
_DEVICES = {"strict": ("strict", "strict:device1"), "cupy": ("cuda:0",), "torch": ("torch:cpu",), "jax": ("jax:cpu",)}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("polygrad")
    group.addoption("--backend", action="append", default=[], help="run on this backend only (may be repeated)")
    group.addoption("--device", action="append", default=[], help="run on this device only (may be repeated)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "first_samples(*devices): there, run each row of the table on its first sample only"
    )
    config.addinivalue_line("markers", "devices(*backends): run a test that takes `device` on these backends only")


def chosen_devices(config: pytest.Config) -> list[tuple[str, str]]:
    """The (backend, device) pairs to run on."""
    if config.getoption("--device"):
        return [(_backend_of(d), d) for d in config.getoption("--device")]
    wanted = config.getoption("--backend") or list(pg.backends())
    return [(b, d) for b in wanted for d in _DEVICES.get(b, ("cpu" if b == "numpy" else b,))]


def _backend_of(device: str) -> str:
    head = device.partition(":")[0]
    return {"cpu": "numpy", "cuda": "cupy"}.get(head, head)


def device_params(config: pytest.Config, only: tuple[str, ...] = ()) -> list[Any]:
    """Parameters for tests: every chosen device, skipped with the backend's own reason where it cannot run."""
    params = []
    reasons = pg.backends()
    explicit = bool(config.getoption("--device") or config.getoption("--backend"))
    for backend, device in chosen_devices(config):
        if only and backend not in only:
            continue
        reason = reasons.get(backend, f"unknown backend {backend!r}")
        if explicit and reason is not None:  # what was asked for by name must not be skipped quietly
            raise pytest.UsageError(f"--backend/--device {device}: {reason}")
        marks = [] if reason is None else [pytest.mark.skip(reason=f"{backend}: {reason}")]
        params.append(pytest.param(device, id=device, marks=marks))
    return params


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("devices")
        params = device_params(metafunc.config, tuple(marker.args) if marker else ())
        metafunc.parametrize("device", params, indirect=True)


def _row_does_without(callspec: Any) -> bool:
    row, device = (callspec.params.get(name) for name in ("row", "device")) if callspec is not None else (None, None)
    return isinstance(device, str) and _backend_of(device) in getattr(row, "skip", ())


def _has_had_its_sample(item: pytest.Item) -> bool:
    """Whether a test of the table's row is spared on this device: slow ones (JAX and Dask compile and schedule each op,
    ``strict`` is ``strict:device1`` on the host) try each row once."""
    marker, callspec = item.get_closest_marker("first_samples"), getattr(item, "callspec", None)
    if marker is None or callspec is None or callspec.params.get("device") not in marker.args:
        return False
    return callspec.params["sample"] is not callspec.params["row"].samples[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests kept to backends that were not chosen are left out, not skipped: there is nothing to skip. So are those
    of a row of the table on a backend that the row does without, and samples beyond the first where that is enough."""
    left_out = [i for i in items if "device" in getattr(i, "fixturenames", ()) and "NOTSET" in i.name]
    left_out += [i for i in items if _row_does_without(getattr(i, "callspec", None))]
    left_out += [i for i in items if _has_had_its_sample(i)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [i for i in items if i not in set(left_out)]


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Any:
    """A device that polygrad can use here; the default while the test runs."""
    try:
        found = pg.Device(request.param)
    except BackendError as error:  # found out only on loading
        pytest.skip(str(error))
    return found


@pytest.fixture(autouse=True)
def _modes_are_left_as_found() -> Iterator[None]:
    """No test may leave grad mode or the default device changed."""
    before = pg.is_grad_enabled(), pg.default_device()
    yield
    assert (pg.is_grad_enabled(), pg.default_device()) == before
