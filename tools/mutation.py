"""Plant small errors in a copy of the package and report which of them the tests do not notice.

    python tools/mutation.py --record /tmp/lines          # once: which tests run which lines (Python 3.12 or newer)
    python tools/mutation.py --lines /tmp/lines --count 200 --seed 1 --jobs 2

Each mutant is one change of one expression: a sign, a factor, a missing ``conj``, an axis, a comparison. It is planted in the
derivative rules, the passes over graphs or the kernels of a copy of the checkout. Then tests that execute the statement run
until the first failure: tests that do not execute it cannot notice. Tests that fail without a mutant are left out. Of many
tests at most ``--most`` run, taken in turn from the test functions, so that a survivor of more may still be noticed by the whole
run. A run that does not end within ``--timeout`` counts as noticed. A survivor is either a missing test, or equivalent: list
those in ``EQUIVALENT`` with the reason.
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
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from queue import SimpleQueue
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
        lines: the first and last line of its statement.
        kind: ``sign``, ``factor``, ``conj``, ``axis`` or ``comparison``.
    """

    file: str
    start: int
    end: int
    old: str
    new: str
    line: int
    lines: tuple[int, int]
    kind: str

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.old!r} -> {self.new!r}"


class _Finder(ast.NodeVisitor):
    """Finds what can be changed in one file."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.mutants: list[Mutant] = []
        starts = [0]
        for line in text.encode().splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self._starts = starts
        self._bytes = text.encode()
        self._statement = (1, 1)

    def visit(self, node: ast.AST) -> None:
        """Visit a node, with its statement known."""
        outer = self._statement
        if isinstance(node, ast.stmt) and node.end_lineno is not None and not hasattr(node, "body"):
            self._statement = (node.lineno, node.end_lineno)
        elif isinstance(node, ast.expr) and hasattr(node, "lineno") and node.end_lineno is not None:
            first, last = self._statement
            if not first <= node.lineno <= last:  # the head of a compound statement
                self._statement = (node.lineno, node.end_lineno)
        super().visit(node)
        self._statement = outer

    def _span(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _add(self, start: int, end: int, new: str, line: int, kind: str) -> None:
        old = self._bytes[start:end].decode()
        self.mutants.append(Mutant(self.file, start, end, old, new, line, self._statement, kind))

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
    planted: list[Mutant] = []
    for pattern in WHERE:
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text()
            finder = _Finder(path.relative_to(ROOT).as_posix(), text)
            finder.visit(ast.parse(text))
            planted += finder.mutants
    return planted


def chosen(count: int, seed: int) -> list[Mutant]:
    """A random sample, each kind and each file with the weight that it has."""
    everything = mutants()
    return random.Random(seed).sample(everything, min(count, len(everything)))


# -- which tests run which lines ---------------------------------------------------------------------


def record(copy: Path, file: Path) -> None:
    """Run the tests on NumPy, and write which tests executed each line."""
    folder = copy / "executed"
    folder.mkdir()
    noting = ["-p", "executed_lines", f"--executed-lines={folder}", f"--executed-in={copy}"]
    run = subprocess.run(
        _command(["-n", "2", "--backend", "numpy", *noting]),
        cwd=copy, env=_environment(copy), capture_output=True, check=False,
    )  # fmt: skip
    executed: dict[str, dict[str, list[int]]] = {}
    for part in folder.iterdir():
        executed |= json.loads(part.read_text())
    if not executed:
        raise RuntimeError(f"no test was recorded:\n{run.stdout.decode()[-2000:]}{run.stderr.decode()[-2000:]}")
    # A test that fails without a mutant would count every mutant as caught.
    failing = failing_tests(run.stdout.decode(), executed)
    tests = [name for name in executed if name not in failing]
    print(f"{len(tests)} tests recorded; left out, as they fail without a mutant: {sorted(failing)}")
    lines: dict[str, dict[int, list[int]]] = {}
    for number, test in enumerate(tests):
        for name, numbers in executed[test].items():
            by_line = lines.setdefault(name, {})
            for line in numbers:
                by_line.setdefault(line, []).append(number)
    file.write_text(json.dumps({"tests": tests, "lines": lines}))


def failing_tests(output: str, names: Iterable[str]) -> set[str]:
    """Return those of the tests that the summary of a run of pytest names as failed."""
    lines = [line.partition(" ")[2] for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return {name for name in names if any(line == name or line.startswith(f"{name} - ") for line in lines)}


class Tests:
    """The tests that execute a statement.

    Args:
        file: what ``record`` wrote.
        most: how many of them to run.
    """

    def __init__(self, file: Path, most: int) -> None:
        recorded = json.loads(file.read_text())
        self._names, self._lines, self._most = recorded["tests"], recorded["lines"], most

    def of(self, mutant: Mutant) -> list[str]:
        """The tests to run, one of each test function first."""
        by_line = self._lines.get(mutant.file, {})
        first, last = mutant.lines
        numbers = {n for line in range(first, last + 1) for n in by_line.get(str(line), ())}
        if not numbers:  # constants and defaults are made when the module is imported
            numbers = {n for executed in by_line.values() for n in executed}
        functions: dict[str, list[str]] = {}
        for name in sorted(self._names[n] for n in numbers):
            functions.setdefault(name.partition("[")[0], []).append(name)
        rounds = zip_longest(*functions.values())
        return [name for turn in rounds for name in turn if name is not None][: self._most]


def _environment(copy: Path) -> dict[str, str]:
    path = os.pathsep.join([str(copy), str(copy / "backends"), str(copy / "tools")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "POLYGRAD_SAMPLE": "mutation"}


def _command(arguments: Sequence[str]) -> list[str]:
    quiet = ["-q", "--no-header", "-p", "no:cacheprovider"]
    return [sys.executable, "-W", "ignore", "-m", "pytest", *quiet, *arguments]


def _notices(copy: Path, tests: list[str], timeout: float) -> bool:
    """Whether a run of the tests fails, or does not end."""
    (copy / "tests.txt").write_text("\n".join(tests))
    try:
        run = subprocess.run(
            _command(["-x", "--backend", "numpy", "@tests.txt"]),
            cwd=copy, env=_environment(copy), capture_output=True, timeout=timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    if run.returncode not in (0, 1, 2):
        raise RuntimeError(f"pytest ended with {run.returncode}:\n{run.stdout.decode()[-2000:]}")
    return run.returncode != 0


def caught(copy: Path, mutant: Mutant, tests: list[str], timeout: float) -> bool:
    """Whether tests notice a mutant; the copy is as it was afterwards."""
    if not tests:
        return False
    path = copy / mutant.file
    original = path.read_bytes()
    path.write_bytes(original[: mutant.start] + mutant.new.encode() + original[mutant.end :])
    try:
        return _notices(copy, tests, timeout)
    finally:
        path.write_bytes(original)


def _copied(folder: Path) -> Path:
    for name in _COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "mkdocs.yml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="run the tests once and write which lines they execute"
    )
    parser.add_argument("--lines", type=Path, metavar="FILE", help="what --record wrote")
    parser.add_argument("--count", type=int, default=200, help="how many mutants (200)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (0)")
    parser.add_argument("--first", type=int, default=0, help="leave out so many, to go on with an earlier sample (0)")
    parser.add_argument("--most", type=int, default=300, help="tests run for one mutant (300)")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at the same time (1)")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one run of tests (300)")
    parser.add_argument("--out", type=Path, help="a file for a line of JSON for each mutant")
    options = parser.parse_args(arguments)
    if (options.record is None) == (options.lines is None):
        parser.error("give one of --record and --lines")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Plant mutants, and report those that nobody notices; 1 if fewer than 95 % are noticed."""
    options = _arguments(arguments)
    if options.record is not None:
        with tempfile.TemporaryDirectory() as folder:
            record(_copied(Path(folder)), options.record)
        return 0
    tests = Tests(options.lines, options.most)
    free: SimpleQueue[Path] = SimpleQueue()

    def tried(mutant: Mutant) -> bool:
        start, copy = time.perf_counter(), free.get()
        try:
            chosen_tests = tests.of(mutant)
            noticed = mutant.name in EQUIVALENT or caught(copy, mutant, chosen_tests, options.timeout)
        finally:
            free.put(copy)
        seconds = round(time.perf_counter() - start, 1)
        line = {"caught": noticed, "mutant": mutant.name, "kind": mutant.kind, "tests": len(chosen_tests), "s": seconds}
        print(json.dumps(line), flush=True)
        if options.out is not None:
            with options.out.open("a") as out:
                out.write(json.dumps(line) + "\n")
        return noticed

    sample = chosen(options.count, options.seed)[options.first :]
    with ExitStack() as stack, ThreadPoolExecutor(options.jobs) as pool:
        for _ in range(options.jobs):
            free.put(_copied(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        results = list(pool.map(tried, sample))
    total, noticed = len(results), sum(results)
    print(f"{noticed} of {total} caught ({100 * noticed / max(total, 1):.1f} %)")
    for mutant, result in zip(sample, results, strict=True):
        if not result:
            print(f"  survived: {mutant.name} ({mutant.kind})")
    return 0 if noticed >= 0.95 * total else 1


if __name__ == "__main__":
    sys.exit(main())
