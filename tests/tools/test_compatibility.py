"""The scoreboard of ``docs/compatibility.md`` promises no more than is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ["scipy", "sklearn", "array_api_extra", "einops", "opt_einsum", "xarray"]


def run(*contestants: str) -> None:
    for library in LIBRARIES:
        pytest.importorskip(library)
    command = [sys.executable, "tools/compatibility.py", "--check", "--contestants", *contestants]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # it must set SCIPY_ARRAY_API first
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.in_turn(2, 3)
def test_calls_on_numpy_data() -> None:
    run("polygrad")


def test_calls_on_torch_data() -> None:
    pytest.importorskip("torch")
    run("polygrad on torch")
