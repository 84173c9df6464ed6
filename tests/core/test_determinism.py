"""On a CPU the same program gives the same bits: over a hundred runs, and in other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polygrad as pg

ROOT = Path(__file__).resolve().parents[2]


def program(device: Any = None) -> bytes:
    """Sums over many paths, repeated indices, products of matrices, orderings, and second derivatives."""
    rng = np.random.default_rng(0)
    x, w = (pg.asarray(rng.normal(size=s), device=device, requires_grad=True) for s in ((30, 20), (20, 20)))
    index = pg.asarray(rng.integers(0, 30, 200), device=device)
    h = pg.tanh(x @ w)
    parts = [h * 0.1 * i + pg.softmax(h) for i in range(1, 12)]
    total = parts[0]
    for part in reversed(parts):
        total = total + part
    loss = pg.sum(pg.take(total, index, axis=0) ** 2) + pg.sum(pg.sort(h[index, :3], axis=0)[5:])
    loss = loss + pg.linalg.vector_norm(w) + pg.mean(pg.prod(1.0 + 0.1 * h, axis=1))
    loss.backward()
    assert x.grad is not None
    assert w.grad is not None
    hessian = pg.hvp(lambda w: pg.logsumexp(x.detach() @ w), (w.detach(),), (pg.ones_like(w.detach()),))
    return b"".join(np.asarray(v.detach().to_device("cpu").numpy()).tobytes() for v in (x.grad, w.grad, hessian))


@pytest.mark.devices("numpy", "torch")
def test_a_hundred_runs(device: pg.Device) -> None:
    assert len({program(device) for _ in range(100)}) == 1


def test_other_processes() -> None:
    """Nothing depends on the order of sets of addresses or of hashed strings."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_determinism as t; print(t.program().hex())"
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends"), os.environ.get("PYTHONPATH", "")])
    found = {program().hex()}
    for seed in ("0", "1", "12345"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            capture_output=True, text=True, timeout=120, check=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path},
        )  # fmt: skip
        found.add(done.stdout.strip())
    assert len(found) == 1
