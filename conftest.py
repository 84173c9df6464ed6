"""Chooses the devices that tests run on, and gives tests what they share.

``pytest`` runs on every backend that is installed; ``pytest --backend cupy`` or ``--device cuda:0`` runs the
same tests there only. A test that takes ``device`` runs once for each; ``@pytest.mark.devices("numpy", "strict")``
keeps it to some backends.
"""

from __future__ import annotations

import datetime
import gc
import inspect
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from polygrad_backends.native.engine import reason as native_reason

import polygrad as pg
from polygrad.errors import BackendError

_ALL_CASES = bool(os.environ.get("POLYGRAD_ALL_CASES"))

# Of a test's parameters on these devices one in so many runs by default. NumPy and the second strict device run all; the
# others run the same rules on another library, of which a sample that changes every day finds what breaks.
_ONE_IN = {"strict": 4, "dask": 6, "torch:cpu": 6, "jax:cpu": 12}

# Each backend's devices that tests use: the second strict device stands in for "another device than the host".
_DEVICES = {"strict": ("strict", "strict:device1"), "cupy": ("cuda:0",), "torch": ("torch:cpu",), "jax": ("jax:cpu",)}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("polygrad")
    group.addoption("--backend", action="append", default=[], help="run on this backend only (may be repeated)")
    group.addoption("--device", action="append", default=[], help="run on this device only (may be repeated)")
    group.addoption("--default-device", help="create arrays there in tests that take no device, and run only those")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("POLYGRAD_SAMPLE", datetime.datetime.now(datetime.UTC).strftime("%Y%m%d"))  # workers read it
    if config.getoption("--default-device"):
        os.environ.setdefault("POLYGRAD_CHECK_AT_ONCE", "1")  # tests expect the error from the call
        pg.set_default_device(config.getoption("--default-device"))
    config.addinivalue_line("markers", "on_host(reason): do not run a test that takes no device with --default-device")
    config.addinivalue_line("markers", "devices(*backends): run a test that takes `device` on these backends only")
    config.addinivalue_line(
        "markers",
        "over(cases, first=()): run a test that takes `device`, `row` and `sample` for each row of these cases of the table, "
        "one sample after the other; on the devices `first` on the first sample only",
    )
    config.addinivalue_line("markers", "in_turn(k, n): run a long test in one sample of n, the k-th")
    config.addinivalue_line(
        "markers", "one_in(n, *devices): run one of n of a test's cases, others each day, on these devices or all"
    )
    config.addinivalue_line("markers", "part(n, *devices): on these devices run every n-th of a test's parameters only")
    _keep_what_jax_compiles(config)
    if getattr(
        config.option, "numprocesses", None
    ):  # before the workers start: BLAS's threads would wait for each other
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _keep_what_jax_compiles(config: pytest.Config) -> None:
    """JAX compiles each op for each shape, 50 ms each: what one process has compiled the others, and later runs, read."""
    if hasattr(config, "cache"):
        with suppress(OSError):
            os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("jax")))
            os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
            os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def chosen_devices(config: pytest.Config) -> list[tuple[str, str]]:
    """The (backend, device) pairs to run on."""
    if config.getoption("--device"):
        return [(_backend_of(d), d) for d in config.getoption("--device")]
    wanted = config.getoption("--backend") or list(pg.backends())
    return [(b, d) for b in wanted for d in _DEVICES.get(b, ("cpu" if b == "numpy" else b,))]


def pytest_report_header() -> str:
    if _ALL_CASES:
        return "polygrad: all cases on every library"
    parts = ", ".join(f"{device} 1 in {n}" for device, n in _ONE_IN.items())
    return f"polygrad: samples of {parts}, by POLYGRAD_SAMPLE={os.environ['POLYGRAD_SAMPLE']}; POLYGRAD_ALL_CASES=1 runs all"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name each library that is missing, and each other reason to skip, once."""
    counts: Counter[str] = Counter({reason: 0 for reason in pg.backends().values() if reason is not None})
    for report in terminalreporter.stats.get("skipped", ()):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if library := re.match(r"(?:\w+: )?could not import '(\w+)'|(?:\w+: )?(\w+) is not installed", reason):
            name = f"{library[1] or library[2]} is not installed"
            reason = next((known for known in counts if known.startswith(name)), name)
        counts[reason] += 1
    if counts:
        terminalreporter.section("not tested")
    for reason, n in counts.items():
        terminalreporter.write_line(f"{reason} ({n} {'test' if n == 1 else 'tests'})" if n else reason)


def _in_sample(nodeid: str, device: str) -> bool:
    """Whether a test is one of today's on a device of which not all run."""
    return _is_one_in(1 if _ALL_CASES else _ONE_IN.get(device, 1), nodeid)


def _is_one_in(n: int, nodeid: str) -> bool:
    return n == 1 or zlib.crc32(f"{os.environ['POLYGRAD_SAMPLE']} {nodeid}".encode()) % n == 0


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
    usable = [param for param in params if not param.marks]
    return usable or params[:1]  # what is missing is named once, in the summary


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("devices")
        params = device_params(metafunc.config, tuple(marker.args) if marker else ())
        over = metafunc.definition.get_closest_marker("over")
        if over is None:
            metafunc.parametrize("device", params, indirect=True)
        else:
            explicit = metafunc.config.getoption("--device") or metafunc.config.getoption("--backend")
            each = [
                case
                for case in _each_row(params, *over.args, **over.kwargs)
                if explicit or _in_sample(f"{metafunc.definition.nodeid}[{case.id}]", case.values[0])
            ]  # most of what is left out is never made: to make 16,000 tests takes each worker seconds
            metafunc.parametrize(("device", "row", "sample"), each, indirect=["device"])


def _each_row(devices: list[Any], cases: list[Any], first: tuple[str, ...] = ()) -> Iterator[Any]:
    """Each device with the rows of the table and the samples of them that it runs: not the rows that its backend does
    without; where it cannot run, one to say so. Slow libraries compile and schedule each op, and ``strict`` is
    ``strict:device1`` on the host: first samples are enough there."""
    for param in devices:
        (device,) = param.values
        rows: dict[int, tuple[Any, list[Any]]] = {}
        for row, sample in (case.values for case in cases):
            enough = _ALL_CASES or device not in first or sample is row.samples[0]
            if enough and _backend_of(device) not in row.skip:
                rows.setdefault(id(row), (row, []))[1].append(sample)
        for row, samples in list(rows.values())[: 1 if param.marks else None]:
            yield pytest.param(device, row, samples, id=f"{device}-{row.name}", marks=param.marks)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test over the table, for each of its samples: a test for each would take longer than what it does."""
    if pyfuncitem.get_closest_marker("over") is None:
        return None
    args: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    for sample in args["sample"]:
        try:
            pyfuncitem.obj(**args | {"sample": sample})
        except Exception as error:
            row = args["row"]
            error.add_note(f"sample {[x is sample for x in row.samples].index(True)} of {row.name}")
            raise
    return True


def _params(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _is_left_out(item: pytest.Item, seen: Counter[Any]) -> bool:
    params = _params(item)
    if item.config.getoption("--default-device") and "device" in getattr(item, "fixturenames", ()):
        return True
    for turn in () if _ALL_CASES else item.iter_markers("in_turn"):
        place, of = turn.args
        if zlib.crc32(os.environ["POLYGRAD_SAMPLE"].encode()) % of != place:
            return True
    for one_in in () if _ALL_CASES else item.iter_markers("one_in"):
        n, *devices = one_in.args
        if (not devices or params.get("device") in devices) and not _is_one_in(n, item.nodeid):
            return True
    if "device" not in params:  # of a test kept to backends that were not chosen there is nothing to skip
        return "NOTSET" in item.name and "device" in getattr(item, "fixturenames", ())
    for part in () if _ALL_CASES else item.iter_markers("part"):
        if params["device"] in part.args[1:]:
            key = item.nodeid.partition("[")[0], params["device"]
            seen[key] += 1
            if seen[key] % part.args[0] != 1:
                return True
    explicit = item.config.getoption("--device") or item.config.getoption("--backend")
    return not explicit and not _in_sample(item.nodeid, params["device"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that a device does without; skip those of the executor "native" where it cannot run."""
    seen: Counter[Any] = Counter()
    left_out = {i for i in items if _is_left_out(i, seen)}
    if config.getoption("--default-device"):
        for item in items:
            if (marker := item.get_closest_marker("on_host")) is not None:
                item.add_marker(pytest.mark.skip(reason=f"on the host only: {marker.args[0]}"))
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [i for i in items if i not in left_out]
    if (missing := native_reason()) is not None:
        for item in items:
            if any(isinstance(value, str) and value == "native" for value in _params(item).values()):
                item.add_marker(pytest.mark.skip(reason=missing))


def pytest_collection_finish() -> None:
    """The tests themselves, a million objects, are not garbage: no collection need look through them."""
    gc.freeze()


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
