"""Devices: their names, the default, the scope, and refusing to mix."""

import asyncio
import os
import pickle
import subprocess
import sys
import threading

import pytest

import polygrad as pg
from polygrad import registry
from polygrad.errors import BackendError, DeviceError


def needs(backend: str) -> pytest.MarkDecorator:
    reason = pg.backends().get(backend, "not registered")
    return pytest.mark.skipif(reason is not None, reason=f"{backend}: {reason}")


strict = needs("strict")


@pytest.fixture(autouse=True)
def default_restored():
    before = registry._default
    yield
    registry._default = before


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("cpu", "cpu"),
        ("numpy", "cpu"),
        pytest.param("strict", "strict", marks=strict),
        pytest.param("strict:cpu", "strict", marks=strict),
        pytest.param("strict:CPU_DEVICE", "strict", marks=strict),
        pytest.param("strict:device1", "strict:device1", marks=strict),
        pytest.param("strict:device2", "strict:device2", marks=strict),
        pytest.param("torch", "torch:cpu", marks=needs("torch")),
        pytest.param("torch:cpu", "torch:cpu", marks=needs("torch")),
        pytest.param("torch:cpu:0", "torch:cpu", marks=needs("torch")),
        pytest.param("jax:cpu", "jax:cpu", marks=needs("jax")),
        pytest.param("jax:cpu:0", "jax:cpu", marks=needs("jax")),
        pytest.param("dask", "dask", marks=needs("dask")),
        pytest.param("cuda", "cuda:0", marks=needs("cupy")),
        pytest.param("cuda:0", "cuda:0", marks=needs("cupy")),
    ],
)
def test_names(given, name):
    device = pg.Device(given)
    assert device.name == name
    assert str(device) == name
    assert repr(device) == f"Device({name!r})"
    assert device is pg.Device(name)
    assert device == name
    assert {device: 1}[pg.Device(name)] == 1
    assert pickle.loads(pickle.dumps(device)) is device


@strict
def test_kinds_of_devices():
    assert pg.Device("cpu").type == "cpu"
    assert pg.Device("strict:device1").type == "device1"


@pytest.mark.parametrize("spec", ["gpu7", "cpu:1:2", "strict:device9", ""])
def test_unknown_devices_are_named(spec):
    with pytest.raises((DeviceError, BackendError), match=f"{spec!r}"):
        pg.Device(spec)


def test_unknown_device_of_a_known_backend_lists_what_there_is():
    with pytest.raises(DeviceError, match=r"unknown device 'numpy:1': backend 'numpy' has the devices: cpu"):
        pg.Device("numpy:1")


def test_a_device_that_is_no_name():
    with pytest.raises(DeviceError, match=r"3\.5 is not a device"):
        pg.Device(3.5)


@needs("torch")
def test_a_librarys_own_device_object_is_taken():
    import torch

    registry.load("torch")
    assert pg.zeros(2, device=torch.device("cpu")).device == "torch:cpu"


def test_devices_lists_what_runs():
    assert pg.Device("cpu") is pg.devices()[0]
    assert all(isinstance(d, pg.Device) for d in pg.devices())


@strict
def test_the_scope_is_the_default_inside_only():
    assert pg.zeros(2).device == "cpu"
    with pg.device("strict:device1") as chosen:
        assert chosen is pg.default_device()
        assert pg.zeros(2).device is chosen
        assert pg.asarray([1.0]).device is chosen
        with pg.device("strict"):
            assert pg.ones(2).device == "strict"
        assert pg.arange(3).device is chosen
    assert pg.zeros(2).device == "cpu"


@strict
def test_the_scope_ends_with_an_exception():
    with pytest.raises(ZeroDivisionError), pg.device("strict"):
        raise ZeroDivisionError
    assert pg.default_device() == "cpu"


@strict
def test_the_scope_does_not_cross_threads():
    seen = []
    with pg.device("strict"):
        thread = threading.Thread(target=lambda: seen.append(pg.default_device()))
        thread.start()
        thread.join()
    assert seen == ["cpu"]


@strict
def test_the_scope_does_not_cross_tasks():
    async def inside(name, pause):
        with pg.device(name):
            await asyncio.sleep(pause)
            return pg.zeros(1).device.name

    async def both():
        return await asyncio.gather(inside("strict", 0.02), inside("strict:device1", 0.01), inside("cpu", 0.0))

    assert asyncio.run(both()) == ["strict", "strict:device1", "cpu"]


@strict
def test_the_default_is_the_processs():
    pg.set_default_device("strict")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(pg.zeros(1).device))
    thread.start()
    thread.join()
    assert seen == ["strict"]
    with pg.device("cpu"):
        assert pg.zeros(1).device == "cpu"
    pg.set_default_device(None)
    assert pg.default_device() == os.environ.get("POLYGRAD_DEVICE", "cpu")


def environment(value: str) -> subprocess.CompletedProcess[str]:
    code = "import polygrad as pg; print(pg.zeros(1).device)"
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"POLYGRAD_DEVICE": value}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@strict
def test_the_environment_variable_sets_the_default():
    assert environment("strict:device1").stdout.strip() == "strict:device1"
    assert environment("").stdout.strip() == "cpu"


def test_a_bad_environment_variable_is_named():
    done = environment("abacus")
    assert done.returncode != 0
    assert "environment variable POLYGRAD_DEVICE='abacus'" in done.stderr
    assert "numpy" in done.stderr


@strict
def test_mixing_names_both_and_says_how_to_move():
    a, b = pg.ones(2), pg.ones(3, device="strict:device1")
    with pytest.raises(
        DeviceError, match=r"add: .*cpu \(shape \(2,\)\) and strict:device1 \(shape \(3,\)\).*to_device"
    ):
        a + b


@strict
def test_gradients_come_back_across_devices():
    x = pg.asarray([1.0, 2.0], requires_grad=True)
    y = (x * 2).to_device("strict:device1")
    pg.sum(y * y).backward()
    assert x.grad.device == "cpu"
    assert x.grad.tolist() == [8.0, 16.0]


@needs("torch")
def test_moving_does_not_let_one_side_write_into_the_others():
    for source, target in (("cpu", "torch:cpu"), ("torch:cpu", "cpu")):
        x = pg.asarray([1.0, 2.0], device=source, copy=True)
        y = x.to_device(target)
        x[0] = 9.0
        y[1] = 7.0
        assert x.tolist() == [9.0, 2.0]
        assert y.tolist() == [1.0, 7.0]


@needs("torch")
def test_a_torch_tensor_that_requires_grad_is_refused():
    import torch

    from polygrad.errors import DetachError

    with pytest.raises(DetachError, match=r"\.detach\(\)"):
        pg.asarray(torch.ones(2, requires_grad=True))
    parameter = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    assert pg.asarray(parameter).tolist() == [1.0, 1.0]
