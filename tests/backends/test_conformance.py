"""Every backend that polygrad ships, against the suite that third parties use."""

import os

from polygrad.testing import BackendConformance


class TestNumpy(BackendConformance):
    backend = "numpy"


class TestCupy(BackendConformance):
    backend = "cupy"


class TestTorch(BackendConformance):
    backend = "torch"


class TestJax(BackendConformance):
    backend = "jax"

    def dtypes_of(self, number: int, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        """By default every other case is run in single precision, where it is real, and in double, where it is complex, and
        the cases between them the other way round."""
        if os.environ.get("POLYGRAD_ALL_CASES"):
            return dtypes
        return tuple(d for i, d in enumerate(dtypes) if (i + i // 2 + number) % 2 == 0)


class TestDask(BackendConformance):
    backend = "dask"


class TestStrict(BackendConformance):
    backend = "strict"
