"""examples/digits.py, run for real."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "digits.py"


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_example", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _libraries() -> None:
    for name in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(name)


@pytest.mark.slow
def test_the_default_run_reaches_its_goal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(tmp_path / "digits")],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("held-out accuracy: ")
    assert float(line.split()[2]) >= 97.0
    assert (tmp_path / "digits" / "curves.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    files = {p.name for p in (tmp_path / "digits").iterdir()}
    if shutil.which("dot") and importlib.util.find_spec("graphviz"):
        assert files == {"curves.png", "loss.svg"}
        svg = (tmp_path / "digits" / "loss.svg").read_text()
        assert "<svg" in svg
        assert {"0", "weight", "bias"} <= set(re.findall(r">([^<>]+)</text>", svg))  # a module's box, its parameters
    else:
        assert files == {"curves.png", "loss.dot", "loss.txt"}


def test_without_graphviz_the_graph_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    assert loaded().main(["--epochs", "1", "--out", str(tmp_path)]) == 0
    assert "held-out accuracy: " in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == {"curves.png", "loss.dot", "loss.txt"}
    assert (tmp_path / "loss.dot").read_text().startswith("digraph polygrad {")
    assert "leaf 0.weight float32[256, 64]" in (tmp_path / "loss.txt").read_text()


@pytest.mark.devices("torch", "strict", "jax")
def test_one_epoch_elsewhere_learns_the_same(tmp_path: Path, device, capsys) -> None:
    for where in ("cpu", str(device)):
        if where not in RATES:
            assert loaded().main(["--epochs", "1", "--device", where, "--out", str(tmp_path)]) == 0
            RATES[where] = float(capsys.readouterr().out.split()[2])
    assert RATES["cpu"] > 50
    assert abs(RATES["cpu"] - RATES[str(device)]) < 1


RATES: dict[str, float] = {}
"""The shares of digits that were read after an epoch."""


def test_below_the_goal_the_exit_status_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded()
    monkeypatch.setattr(module, "EPOCHS", 1)
    monkeypatch.setattr(module, "GOAL", 100.1)
    assert module.main(["--epochs", "1", "--out", str(tmp_path)]) == 1


@pytest.mark.parametrize(("module", "name"), [("sklearn.datasets", "scikit-learn"), ("tqdm", "tqdm")])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, module: str, name: str, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit, match=rf"needs {name}; .*polygrad-xp\[examples\]"):
        loaded().main(["--epochs", "1", "--out", str(tmp_path)])
