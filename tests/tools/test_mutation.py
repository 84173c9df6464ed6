"""The mutation tool: what it plants, that the copy is as before, and which tests it chooses."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import mutation
import pytest

_SOURCE = """
def rule(xp, g, x, axis=-1):
    if x.ndim > 2:
        raise ValueError(f"{x.ndim - 2} axes too many")
    total = xp.sum(
        g * xp.conj(x) / 4.0,
        axis=-1,
    )
    return -total + x[0 + 1]
"""


def planted() -> list[mutation.Mutant]:
    finder = mutation._Finder("rule.py", _SOURCE)
    finder.visit(ast.parse(_SOURCE))
    return finder.mutants


def test_what_is_planted() -> None:
    found = {(m.old.strip(), m.new.strip(), m.kind, m.lines) for m in planted()}
    assert found == {
        ("-1", "-2", "axis", (2, 2)),
        (">", ">=", "comparison", (3, 3)),
        ("*", "/", "factor", (5, 8)),
        ("xp.conj(x)", "(x)", "conj", (5, 8)),
        ("/", "*", "factor", (5, 8)),
        ("4.0", "6.0", "factor", (5, 8)),
        ("-1", "-2", "axis", (5, 8)),
        ("-total", "(total)", "sign", (9, 9)),
        ("+", "-", "sign", (9, 9)),
    }
    for m in planted():
        text = _SOURCE.encode()
        ast.parse(text[: m.start] + m.new.encode() + text[m.end :])


def test_every_place_of_the_package_can_be_parsed() -> None:
    everything = mutation.mutants()
    assert len(everything) > 4000
    for m in mutation.chosen(50, 3):
        text = (mutation.ROOT / m.file).read_bytes()
        assert text[m.start : m.end].decode() == m.old
        assert m.lines[0] <= m.line <= m.lines[1]


def test_which_tests_run(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    lines = {"rule.py": {"5": [0, 1], "6": [2], "9": [3]}}
    file.write_text(json.dumps({"tests": ["a.py::f[1]", "a.py::f[2]", "a.py::g", "b.py::h"], "lines": lines}))
    (product,) = (m for m in planted() if m.kind == "conj")
    assert mutation.Tests(file, 9).of(product) == ["a.py::f[1]", "a.py::g", "a.py::f[2]"]
    assert mutation.Tests(file, 2).of(product) == ["a.py::f[1]", "a.py::g"]
    default = planted()[0]
    assert default.lines == (2, 2)  # executed when the module is imported: whatever runs in the file
    assert mutation.Tests(file, 9).of(default) == ["a.py::f[1]", "a.py::g", "b.py::h", "a.py::f[2]"]


def test_tests_that_fail_without_a_mutant_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a.py::f[x]", "a.py::f[x - y]", "a.py::g", "b.py::h"]
    output = b"FAILED a.py::f[x - y] - AssertionError: b.py::h\nERROR a.py::g\n2 failed"

    def run(*_: object, **__: object) -> CompletedProcess[bytes]:
        for worker, part in enumerate((names[:3], names[3:])):
            written = json.dumps({name: {"rule.py": [5]} for name in part})
            (tmp_path / "executed" / f"gw{worker}.json").write_text(written)
        return CompletedProcess([], 1, output)

    monkeypatch.setattr(mutation.subprocess, "run", run)
    mutation.record(tmp_path, tmp_path / "lines")
    found = json.loads((tmp_path / "lines").read_text())
    assert sorted(found["tests"]) == ["a.py::f[x]", "b.py::h"]
    assert found["lines"] == {"rule.py": {"5": [0, 1]}}


def test_a_run_that_records_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation.subprocess, "run", lambda *_, **__: CompletedProcess([], 4, b"no such plugin", b""))
    with pytest.raises(RuntimeError, match="no such plugin"):
        mutation.record(tmp_path, tmp_path / "lines")


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="lines are noted by sys.monitoring, of Python 3.12")
def test_the_lines_that_tests_execute(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text("def f(x):\n    if x > 0:\n        return 1\n    return 2\n")
    (tmp_path / "test_rule.py").write_text(
        "import pytest, rule\n@pytest.mark.parametrize('x', [1, -1, 2])\ndef test(x):\n    rule.f(x)\n    rule.f(x)\n"
    )
    tools = str(mutation.ROOT / "tools")
    noting = ["-p", "executed_lines", f"--executed-lines={tmp_path}", f"--executed-in={tmp_path}"]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *noting],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": tools}, check=True, capture_output=True,
    )  # fmt: skip
    found = json.loads((tmp_path / "main.json").read_text())
    assert {name: files["rule.py"] for name, files in found.items()} == {
        "test_rule.py::test[1]": [2, 3],
        "test_rule.py::test[-1]": [2, 4],
        "test_rule.py::test[2]": [2, 3],
    }


def test_equivalent_mutants_are_still_planted() -> None:
    assert set(mutation.EQUIVALENT) <= {m.name for m in mutation.mutants()}  # a line that has moved is listed anew


@pytest.mark.parametrize("noticed", [True, False])
def test_a_mutant_is_taken_out_again(noticed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rule.py"
    path.write_text(_SOURCE)
    (m,) = (m for m in planted() if m.kind == "conj")
    seen = []

    def notices(copy: Path, tests: list[str], timeout: float) -> bool:
        seen.append(path.read_text())
        return noticed

    monkeypatch.setattr(mutation, "_notices", notices)
    assert mutation.caught(tmp_path, m, ["a"], 1.0) is noticed
    assert "g * (x) / 4.0" in seen[0]
    assert path.read_text() == _SOURCE
    assert not mutation.caught(tmp_path, m, [], 1.0)
