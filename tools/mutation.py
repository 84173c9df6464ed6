"""Plants small errors in a copy of the package and reports which of them the tests do not notice.

    python tools/mutation.py --count 200 --seed 1

Each mutant is one change of one expression: a sign, a factor, a missing ``conj``, an axis, a comparison. It is planted in the
derivative rules, the passes over graphs or the kernels of a copy of the checkout. The tests of that room run until the
first failure; what they do not notice is tried against the whole default run with ``--all``. A survivor is either a missing
test, or equivalent: list those in ``EQUIVALENT`` with the reason.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent

WHERE: Final = (
    "polygrad/ops/**/*.py",
    "polygrad/graph/passes.py",
    "polygrad/graph/identities.py",
    "polygrad/graph/memory.py",
    "polygrad/graph/derivatives.py",
    "polygrad/transforms/batching_rules.py",
    "polygrad/core/cotangents.py",
    "backends/polygrad_backends/numpy*.py",
    "backends/polygrad_backends/convolution.py",
    "backends/polygrad_backends/windows.py",
    "backends/polygrad_backends/host.py",
    "backends/polygrad_backends/native/*.py",
)
"""What is mutated: rules, passes and kernels, not messages, layers or the command line."""

TESTS: Final = {
    "polygrad/ops/special/": ["tests/ops/test_special.py", "tests/ops/test_higher_derivatives.py", "tests/ops"],
    "polygrad/ops/linalg/": ["tests/ops/linalg", "tests/ops"],
    "polygrad/ops/": ["tests/ops", "tests/mistakes", "tests/nn", "tests/core"],
    "polygrad/graph/": ["tests/graph"],
    "polygrad/transforms/": ["tests/transforms", "tests/ops/test_table.py"],
    "polygrad/core/": ["tests/core", "tests/transforms", "tests/mistakes"],
    "backends/polygrad_backends/native/": [
        "tests/backends/test_native_executor.py", "tests/backends/test_native_functions.py",
        "tests/backends/test_native_recurrent.py", "tests/graph/test_machine_code.py", "tests/graph",
    ],
    "backends/": ["tests/backends", "tests/ops", "tests/nn", "tests/graph"],
}  # fmt: skip
"""The tests of each room, the likeliest first; the first prefix that fits counts."""

EQUIVALENT: Final[dict[str, str]] = {}
"""Mutants that change no result, by ``file:line old -> new``, with the reason."""

_COPIED: Final = ("polygrad", "backends", "tests", "tools", "benchmarks", "examples", "docs")
_SWAPPED: Final = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*",
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        file: relative to the root.
        start, end: the offsets of the text that is replaced.
        old, new: the text.
        line: where it is.
        kind: ``sign``, ``factor``, ``conj``, ``axis`` or ``comparison``.
    """

    file: str
    start: int
    end: int
    old: str
    new: str
    line: int
    kind: str

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.old!r} -> {self.new!r}"


class _Finder(ast.NodeVisitor):
    """Finds what can be changed in one file."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.found: list[Mutant] = []
        starts = [0]
        for line in text.encode().splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self._starts = starts
        self._bytes = text.encode()

    def _span(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _add(self, start: int, end: int, new: str, line: int, kind: str) -> None:
        old = self._bytes[start:end].decode()
        self.found.append(Mutant(self.file, start, end, old, new, line, kind))

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._bytes[start:end].decode()

    # Text, annotations, errors and what a module exports say nothing about numbers.
    def visit_Raise(self, node: ast.Raise) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)  # positions in tuples and types are not factors

    def visit_arg(self, node: ast.arg) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.generic_visit(node)
        new = _SWAPPED.get(type(node.op))
        if new is None or (isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)):
            return
        left, right = self._span(node.left)[1], self._span(node.right)[0]
        between = self._bytes[left:right].decode()
        sign = next((s for s in ("+", "-", "*", "/") if s in between), None)
        if sign is not None and "**" not in between and "//" not in between and "|" not in between:
            at = left + between.index(sign)
            self._add(at, at + 1, new, node.lineno, "sign" if sign in "+-" else "factor")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.generic_visit(node)
        if isinstance(node.op, ast.USub):
            start, end = self._span(node)
            kind = "axis" if isinstance(node.operand, ast.Constant) and node.operand.value in (1, 2) else "sign"
            new = f"({self._text(node.operand)})" if kind == "sign" else f"-{3 - node.operand.value}"  # type: ignore[attr-defined]
            self._add(start, end, new, node.lineno, kind)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.generic_visit(node)
        new = _SWAPPED.get(type(node.ops[0]))
        if new is not None and len(node.ops) == 1:
            left, right = self._span(node.left)[1], self._span(node.comparators[0])[0]
            between = self._bytes[left:right].decode()
            if between.strip() in ("<", "<=", ">", ">=", "==", "!="):
                self._add(left, right, f" {new} ", node.lineno, "comparison")

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("conj", "conjugate") and len(node.args) == 1:
            start, end = self._span(node)
            self._add(start, end, f"({self._text(node.args[0])})", node.lineno, "conj")

    def visit_Constant(self, node: ast.Constant) -> None:
        if type(node.value) is float and node.value != 0.0:
            start, end = self._span(node)
            self._add(start, end, repr(node.value * 1.5), node.lineno, "factor")


def mutants() -> list[Mutant]:
    """Every change that could be planted."""
    found: list[Mutant] = []
    for pattern in WHERE:
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text()
            finder = _Finder(path.relative_to(ROOT).as_posix(), text)
            finder.visit(ast.parse(text))
            found += finder.found
    return found


def chosen(count: int, seed: int) -> list[Mutant]:
    """A random sample, each kind and each file with the weight that it has."""
    everything = mutants()
    return random.Random(seed).sample(everything, min(count, len(everything)))


def _tests_of(file: str) -> list[str]:
    return next(tests for prefix, tests in TESTS.items() if file.startswith(prefix))


def _notices(copy: Path, arguments: list[str], timeout: float) -> bool:
    """Whether a run of the tests fails, or does not end."""
    path = os.pathsep.join([str(copy), str(copy / "backends")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "pytest",
        "-x",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        *arguments,
    ]
    try:
        run = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return True
    return run.returncode != 0


def caught(copy: Path, mutant: Mutant, everything: bool, timeout: float) -> bool:
    """Whether the tests notice a mutant; the copy is as it was afterwards."""
    path = copy / mutant.file
    original = path.read_bytes()
    path.write_bytes(original[: mutant.start] + mutant.new.encode() + original[mutant.end :])
    try:
        for test in _tests_of(mutant.file):
            if (copy / test).exists() and _notices(copy, [test, "--backend", "numpy"], timeout):
                return True
        return everything and _notices(copy, ["-n", "2"], timeout)
    finally:
        path.write_bytes(original)


def main(arguments: list[str] | None = None) -> int:
    """Plant mutants, and report those that nobody notices; 1 if fewer than 95 % are noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="how many mutants (200)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--first", type=int, default=0, help="leave out so many, to go on with an earlier sample (0)")
    parser.add_argument("--all", action="store_true", help="try survivors against the whole default run of the tests")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one run of tests (900)")
    parser.add_argument("--out", type=Path, help="a file for a line of JSON for each mutant")
    options = parser.parse_args(arguments)
    tally: Counter[str] = Counter()
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in _COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("conftest.py", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "mkdocs.yml"):
            shutil.copy(ROOT / name, copy / name)
        for mutant in chosen(options.count, options.seed)[options.first :]:
            start = time.perf_counter()
            noticed = mutant.name in EQUIVALENT or caught(copy, mutant, options.all, options.timeout)
            tally["caught" if noticed else "survived"] += 1
            if not noticed:
                survivors.append(mutant)
            line = {
                "caught": noticed,
                "mutant": mutant.name,
                "kind": mutant.kind,
                "s": round(time.perf_counter() - start, 1),
            }
            print(json.dumps(line), flush=True)
            if options.out is not None:
                with options.out.open("a") as out:
                    out.write(json.dumps(line) + "\n")
    total = sum(tally.values())
    print(f"{tally['caught']} of {total} caught ({100 * tally['caught'] / max(total, 1):.1f} %)")
    for mutant in survivors:
        print(f"  survived: {mutant.name} ({mutant.kind})")
    return 0 if tally["caught"] >= 0.95 * total else 1


if __name__ == "__main__":
    sys.exit(main())
