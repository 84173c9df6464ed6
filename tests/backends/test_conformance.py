"""Every backend that polygrad ships, against the suite that third parties use."""

from polygrad.testing import BackendConformance


class TestNumpy(BackendConformance):
    backend = "numpy"


class TestCupy(BackendConformance):
    backend = "cupy"


class TestTorch(BackendConformance):
    backend = "torch"


class TestJax(BackendConformance):
    backend = "jax"


class TestDask(BackendConformance):
    backend = "dask"


class TestStrict(BackendConformance):
    backend = "strict"
