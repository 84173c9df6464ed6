"""The sections of the GPU check: ``python sections.py NAME OUT``, called by ``runner.py`` in a process each.

Each writes lines of JSON as results are known; an error of one check does not end the others of its section.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from runner import ROOT, write

PLUGIN: Final = os.environ.get("GPU_CHECK_PLUGIN", "")
if PLUGIN:
    import_module(PLUGIN)

OUT: Final = Path(sys.argv[2])
NAME: Final = sys.argv[1]
DEVICE: Final = "cuda:0"
LIMIT: Final = float(os.environ.get("GPU_CHECK_LIMIT", "60"))
_START: Final = time.monotonic()
_failed = 0


def left() -> float:
    """Seconds of the section's limit that are left."""
    return LIMIT - (time.monotonic() - _START)


def emit(check: str, **result: Any) -> None:
    """Write one result, and print it."""
    write(OUT, {"section": NAME, "check": check, **result})
    print(check, result, flush=True)


def check(name: str, f: Callable[[], Any]) -> None:
    """Run one check and write what it returned, or its error."""
    global _failed
    try:
        emit(name, ok=True, result=f())
    except Exception as error:
        _failed += 1
        emit(name, ok=False, error=f"{type(error).__name__}: {error}"[:500])
        traceback.print_exc()


def close(x: Any, wanted: Any, rtol: float = 1e-5) -> float:
    """The greatest relative difference of a Tensor and what NumPy gives; an AssertionError if it is too large."""
    array = np.asarray(x.to_device("cpu"))
    np.testing.assert_allclose(array, wanted, rtol=rtol, atol=rtol)
    return float(np.max(np.abs(array * 1.0 - wanted * 1.0), initial=0.0))


def as_on_host(f: Callable[[Any], Any], x: np.ndarray, rtol: float = 1e-5) -> Callable[[], float]:
    """A check that a function gives on the device what it gives on the host."""

    def compared() -> float:
        import polygrad as pg

        return close(f(pg.asarray(x, device=DEVICE)), np.asarray(f(pg.asarray(x))), rtol)

    return compared


def error_of(f: Callable[[], Any]) -> str:
    """What a call raises, which must be something."""
    try:
        f()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    raise AssertionError("no error")


# -- whether it runs -----------------------------------------------------------------------------------


def versions() -> None:
    """What is installed, the device, and what ``python -m polygrad`` says."""
    names = "numpy scipy array-api-compat optree cupy-cuda12x cupy-cuda13x torch jax pytest".split()

    def installed(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    found = {name: version for name in names if (version := installed(name))}
    emit("versions", ok=True, result={"python": platform.python_version(), **found})

    def device() -> dict[str, Any]:
        import cupy

        runtime = cupy.cuda.runtime
        properties = runtime.getDeviceProperties(0)
        return {
            "name": properties["name"].decode(), "runtime": runtime.runtimeGetVersion(), "driver": runtime.driverGetVersion(),
            "bytes": properties["totalGlobalMem"], "count": runtime.getDeviceCount(),
        }  # fmt: skip

    check("device", device)

    def bandwidth() -> float:
        import cupy

        x, n = cupy.ones(1 << 26, "float32"), 20
        y = cupy.empty_like(x)
        cupy.copyto(y, x)
        cupy.cuda.Device().synchronize()
        start = time.perf_counter()
        for _ in range(n):
            cupy.copyto(y, x)
        cupy.cuda.Device().synchronize()
        return round(2 * x.nbytes * n / (time.perf_counter() - start) / 1e9, 1)

    check("copies, GB/s", bandwidth)
    start = f"import {PLUGIN}; " if PLUGIN else ""
    command = [sys.executable, "-c", f"{start}import runpy; runpy.run_module('polygrad', run_name='__main__')"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    emit("python -m polygrad", ok="cuda:0" in run.stdout, result=run.stdout[-1500:])


def smoke() -> None:
    """One line for each dtype, family of ops, gradient, compiled function and exchange."""
    import polygrad as pg

    a = np.linspace(0.1, 0.9, 12).reshape(3, 4)
    for name in pg.Device(DEVICE).backend.native_dtypes:
        check(f"dtype {name}", as_on_host(lambda x: x + x, np.ones(3).astype(name)))
    for name in "abs exp log sqrt sin tanh sigmoid relu floor isnan sum mean max std argmax sort softmax".split():
        check(name, as_on_host(getattr(pg, name), a))
    for name in "sin tanh log softmax logsumexp std prod max".split():

        def loss(x: Any, f: str = name) -> Any:
            return pg.sum(getattr(pg, f)(x) * x[0, 0])

        check(f"grad of {name}", as_on_host(pg.grad(loss), a))
        check(f"compiled grad of {name}", as_on_host(pg.compile(pg.grad(loss)), a))
    calls: dict[str, Callable[[Any], Any]] = {
        "matmul": lambda x: x @ x.T,
        "einsum": lambda x: pg.einsum("ij,kj->ik", x, x),
        "where": lambda x: pg.where(x > 0.5, x, -x),
        "index": lambda x: x[pg.asarray([2, 0, 2], device=x.device)],
        "mask": lambda x: x[x > 0.5],
        "pad": lambda x: pg.pad(x, 1),
        "concat": lambda x: pg.concat([x] * 12),
        "solve": lambda x: pg.linalg.solve(x @ x.T + pg.eye(3, device=x.device), x),
        "svd": pg.linalg.svdvals,
        "fft": lambda x: pg.abs(pg.fft.fft(x)),
        "cumulative_sum": lambda x: pg.cumulative_sum(x, axis=0),
        "grad of cumulative_prod": pg.grad(lambda x: pg.sum(pg.cumulative_prod(x, axis=1) * x)),
        "vmap": pg.vmap(lambda x: pg.sum(x * x)),
        "hessian": lambda x: pg.hessian(lambda v: pg.sum(v**3))(x[0]),
        "erf": pg.special.erf,
        "digamma": pg.special.digamma,
        "draws": lambda x: pg.random.uniform((5,), device=x.device, generator=pg.random.Generator(3)),
        "DLPack": lambda x: pg.from_dlpack(x),
    }
    for name, f in calls.items():
        check(name, as_on_host(f, a))

    def peers() -> list[str]:
        shared = []
        for name in ("torch", "jax.numpy"):
            try:
                library = import_module(name)
            except ImportError:
                continue
            library.from_dlpack(pg.asarray(a, device=DEVICE)._value)
            shared.append(name)
        return shared

    check("DLPack to others", peers)
    check("out of memory", lambda: error_of(lambda: pg.zeros((1 << 46,), device=DEVICE)))


def _pytest(rooms: str, *options: str) -> None:
    workers = str(max(1, min(12, (os.cpu_count() or 2) - 2)))
    command = [
        sys.executable, "-m", "pytest", "-q", "--backend", "cupy", "-k", "cuda", "-n", workers, "--timeout", "60",
        f"--junitxml={OUT / NAME}.xml", *(["-p", PLUGIN] if PLUGIN else []), *options, *rooms.split(),
    ]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(run.stdout[-20000:], run.stderr[-3000:])
    lines = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    emit("pytest", ok=run.returncode == 0, result=run.stdout.strip().splitlines()[-1:], failed=lines[:200])
    sys.exit(run.returncode)


def suite() -> None:
    """The tests that take a device, of the rooms in which most is found."""
    _pytest("tests/backends tests/core tests/optim tests/random tests/nn tests/interop tests/mistakes tests/graph")


def breadth() -> None:
    """Those of ops and transforms."""
    _pytest("tests/ops tests/transforms")


# -- training ------------------------------------------------------------------------------------------


_COMPARED: Final = ("mlp", "lenet", "lstm", "transformer")


def losses() -> None:
    """The losses of 100 steps against NumPy's, in both precisions."""
    from networks import NETWORKS, Training

    assert NETWORKS.keys() >= set(_COMPARED)
    for name in _COMPARED:
        for dtype, bar in (("float32", 1e-4), ("float64", 1e-10)):

            def compared(name: str = name, dtype: str = dtype, bar: float = bar) -> float:
                ours, numpy = (Training(name, place, dtype).losses(100) for place in (DEVICE, "cpu"))
                worst = float(np.max(np.abs(ours - numpy) / np.abs(numpy)))
                assert worst <= bar, f"relative difference {worst:.2g}, the bar is {bar:.0e}"
                return worst

            check(f"{name} {dtype}", compared)


def waits() -> None:
    """Whether a step copies or waits (counted by hostcuda only), and which functions a CUDA graph refuses."""
    import cupy
    from networks import EXTRAS, NETWORKS, Training

    plugin = sys.modules.get("hostcuda")
    for name in NETWORKS if plugin is not None else ():
        for extra in EXTRAS:

            def counted(name: str = name, extra: str = extra) -> dict[str, int]:
                training = Training(name, DEVICE, extra=extra)
                training.step()
                with plugin.counted() as n:  # type: ignore[union-attr]
                    training.step()
                return dict(n)

            check(f"{name} {extra}".strip(), counted)

    import polygrad as pg

    xp = pg.Device(DEVICE).raw
    x = cupy.linspace(0.1, 0.9, 36).reshape(6, 6)
    i = cupy.arange(6)
    ops: dict[str, Any] = {
        **{n: (lambda n=n: getattr(xp, n)(x)) for n in "exp tanh sum mean max std sort argsort flip".split()},
        "matmul": lambda: xp.matmul(x, x), "take": lambda: xp.take(x, i, axis=0), "concat": lambda: xp.concat([x] * 12),
        "where": lambda: xp.where(x > 0.5, x, -x), "scatter_add": lambda: xp.scatter_add((6, 6), x.dtype, [(i, x)]),
        "solve": lambda: xp.linalg.solve(x, x), "softmax": lambda: xp.softmax_over(x, (1,)), "nonzero": lambda: xp.nonzero(x),
    }  # fmt: skip

    def captured(f: Callable[[], Any]) -> str:
        f()
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            try:
                f()
                said = "taken"
            except Exception as error:
                said = f"refused: {type(error).__name__}: {error}"[:200]
            finally:
                try:
                    stream.end_capture()
                except Exception as error:
                    said = f"refused at the end: {error}"[:200]
        return said

    for name, f in ops.items():
        check(f"capture {name}", lambda f=f: captured(f))


def _median(step: Callable[[], Any], wait: Callable[[], Any], seconds: float) -> float:
    """Microseconds of a step, the median of five turns of many steps."""
    for _ in range(3):
        step()
    wait()
    start = time.perf_counter()
    step()
    wait()
    n = max(1, int(seconds / 5 / max(time.perf_counter() - start, 1e-6)))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(n):
            step()
        wait()
        times.append((time.perf_counter() - start) / n)
    return round(statistics.median(times) * 1e6, 1)


def steps() -> None:
    """Training steps, eager and compiled; an MLP beside PyTorch and JAX."""
    import cupy
    from networks import NETWORKS, Training

    import polygrad as pg

    wait = cupy.cuda.Device().synchronize
    for name in NETWORKS:
        check(f"{name} eager, us", lambda name=name: _median(Training(name, DEVICE).step, wait, 1.0))
        check(f"{name} compiled, us", lambda name=name: _median(pg.compile(Training(name, DEVICE).step), wait, 1.0))

    def torch_mlp() -> float:
        torch = import_module("torch")
        model = torch.nn.Sequential(torch.nn.Linear(12, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4)).cuda()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        x, y = torch.randn(16, 12, device="cuda"), torch.randint(0, 4, (16,), device="cuda")

        def step() -> Any:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return _median(step, torch.cuda.synchronize, 1.0)

    if PLUGIN:
        emit("torch mlp", ok=True, result="left out: there is no GPU for it")
    else:
        check("torch mlp eager, us", torch_mlp)


def costs() -> None:
    """What the host pays for a launch and for an op."""
    import cupy

    import polygrad as pg

    wait = cupy.cuda.Device().synchronize
    raw = cupy.ones((16, 32), "float32")
    x = pg.asarray(raw)
    w = pg.asarray(raw, requires_grad=True)
    pairs: dict[str, Callable[[], Any]] = {
        "cupy add": lambda: raw + raw, "cupy sum": lambda: raw.sum(), "cupy matmul": lambda: raw @ raw.T,
        "cupy empty": lambda: cupy.empty((16, 32)), "ours add": lambda: x + x, "ours add, recorded": lambda: w + x,
        "ours add and backward": lambda: pg.sum(w + x).backward(), "ours matmul": lambda: x @ x.T,
    }  # fmt: skip
    for name, f in pairs.items():
        check(f"{name}, us", lambda f=f: _median(f, wait, 0.5))


# -- edges ---------------------------------------------------------------------------------------------


def linalg() -> None:
    """Linear algebra and transforms against NumPy, and where they must fail."""
    import polygrad as pg

    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 5, 5))
    spd = a @ a.transpose(0, 2, 1) + np.eye(5)
    calls: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
        "inv": (pg.linalg.inv, spd),
        "det": (pg.linalg.det, a),
        "cholesky": (pg.linalg.cholesky, spd),
        "eigvalsh": (pg.linalg.eigvalsh, spd),
        "svdvals": (pg.linalg.svdvals, a),
        "solve": (lambda x: pg.linalg.solve(x, x[..., :2]), a),
        "pinv": (pg.linalg.pinv, a),
        "qr": (lambda x: pg.abs(pg.linalg.qr(x).R), a),
        "expm": (pg.linalg.expm, 0.1 * a),
        "empty": (pg.linalg.inv, np.zeros((0, 3, 3))),
        "eigvals": (lambda x: pg.sort(pg.abs(pg.linalg.eigvals(x))), a),
        "fft": (lambda x: pg.abs(pg.fft.fftn(x)), a),
        "rfft": (lambda x: pg.abs(pg.fft.rfft(x)), a),
    }
    for name, (f, x) in calls.items():
        check(name, as_on_host(f, x, 1e-8))
        check(f"grad of {name}", as_on_host(pg.grad(lambda v, f=f: pg.sum(f(v))), x, 1e-6))
    check("inv of a singular matrix", lambda: error_of(lambda: pg.linalg.inv(pg.zeros((2, 2), device=DEVICE))))
    check("cholesky, not definite", lambda: error_of(lambda: pg.linalg.cholesky(-pg.eye(2, device=DEVICE))))


def memory() -> None:
    """Steps in flat memory, and a step after an allocation that failed."""
    import cupy
    from networks import Training

    import polygrad as pg

    def flat() -> dict[str, int]:
        pool = cupy.get_default_memory_pool()
        training = Training("mlp", DEVICE)
        for _ in range(20):
            training.step()
        before, n = pool.used_bytes(), 0
        while n < 2000 and left() > 8:
            training.step()
            n += 1
        assert pool.used_bytes() <= before, f"{before} bytes became {pool.used_bytes()}"
        return {"steps": n, "bytes": before}

    check("flat memory", flat)

    def again() -> float:
        training = Training("mlp", DEVICE)
        first = float(training.step().item())
        try:
            pg.zeros((1 << 46,), device=DEVICE)
        except Exception as error:
            print(error)
        return first - float(training.step().item())

    check("a step after running out of memory", again)


if __name__ == "__main__":
    globals()[NAME]()
    sys.exit(1 if _failed else 0)
