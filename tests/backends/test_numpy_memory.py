"""What is freed is there for the next array: nothing is paged in again and again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource
import numpy as np
import polygrad as pg

x = pg.asarray(np.linspace(0, 1, 100_000), requires_grad=True)

def step():
    x.grad = None
    pg.sum(pg.tanh(x * x + pg.sin(x)) * pg.exp(-x * x)).backward()

for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)
"""


def faults(**more: str) -> float:
    """How often a step of elementwise work on 800 kB touches a page for the first time."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | more
    return float(
        subprocess.run([sys.executable, "-c", _FAULTS], check=True, capture_output=True, text=True, env=env).stdout
    )


@pytest.mark.devices("numpy")
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_memory_is_kept_for_the_next_array() -> None:
    assert faults() < 50  # of the 195 pages of one of its two dozen arrays
    assert faults(POLYGRAD_KEEP_FREED="0") > 500
    assert faults(MALLOC_MMAP_THRESHOLD_=str(1 << 17)) > 1000  # the user's word counts
