"""Data types where NumPy is not imported, as in a loader's worker processes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import polygrad as pg


def test_dtypes_are_numpys_where_numpy_is() -> None:
    assert np.dtype(pg.float32) == np.float32
    assert pg.int8.dtype == np.dtype("int8")


@pytest.mark.parametrize("code", [
    "assert pg.iinfo('int8').max == 127 and pg.finfo(pg.float32).bits == 32",
    "assert not hasattr(pg.float32, 'dtype') and not hasattr(pg.float32, '__numpy_dtype__')",
])  # fmt: skip
def test_dtypes_do_without_numpy(code: str) -> None:
    program = f"import sys\nimport polygrad as pg\nassert 'numpy' not in sys.modules\n{code}\nassert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
