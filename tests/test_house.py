"""The rules of the house: who may import whom, how long things may be, what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = {"numpy", "cupy", "torch", "jax", "jaxlib", "dask", "array_api_strict", "array_api_compat", "scipy"}
FILES = sorted([*ROOT.glob("polygrad/**/*.py"), *ROOT.glob("backends/**/*.py")])


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "backends" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, everywhere: bool = True) -> set[str]:
    """The modules a file imports; ``if TYPE_CHECKING`` blocks do not count, function bodies only if ``everywhere``."""
    found: set[str] = set()
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = True
        if not inside or everywhere:
            if isinstance(node, ast.Import):
                found.update(a.name for a in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
                base = ".".join(p for p in (base, node.module) if p)
                if node.module is not None:
                    found.add(base)
                found.update(f"{base}.{a.name}" for a in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text()), False)
    return found


MODULES = {module_name(p): p for p in FILES}


def own(path: Path, everywhere: bool = True) -> set[str]:
    """The modules of the house that a file imports."""
    return {m for m in imports(path, everywhere) if m in MODULES} - {module_name(path)}


def test_polygrad_imports_no_array_library() -> None:
    guilty = {
        module_name(p): bad
        for p in FILES
        if p.is_relative_to(ROOT / "polygrad")
        and (bad := {m for m in imports(p) if m.split(".")[0] in LIBRARIES | {"polygrad_backends"}})
    }
    assert not guilty


def test_backends_import_only_what_third_parties_would() -> None:
    allowed = {"polygrad.backend", "polygrad.errors", "polygrad.graph"}
    for path in FILES:
        if path.is_relative_to(ROOT / "backends"):
            assert {m for m in own(path) if m.startswith("polygrad.")} <= allowed, path


# Each room may import from the rooms before it.
ORDER = [
    {"polygrad.errors", "polygrad.typing", "polygrad._version"},
    {"polygrad.dtypes"},
    {"polygrad.core"},
    {"polygrad.backend"},
    {"polygrad.registry"},
    {"polygrad.ops"},
    {"polygrad.array_methods", "polygrad.conversions", "polygrad.tensor"},
    {
        "polygrad.array_api",
        "polygrad.extend",
        "polygrad.interop",
        "polygrad.linalg",
        "polygrad.fft",
        "polygrad.neural",
        "polygrad.special",
    },
    {"polygrad.transforms", "polygrad.graph", "polygrad.protocols"},
    {"polygrad"},
    {
        "polygrad.nn",
        "polygrad.optim",
        "polygrad.data",
        "polygrad.io",
        "polygrad.random",
        "polygrad.testing",
        "polygrad.__main__",
    },
]


def rank(module: str) -> int:
    room = ".".join(module.split(".")[:2])
    return next(i for i, rooms in enumerate(ORDER) if room in rooms)


def test_the_order_of_dependence() -> None:
    wrong = []
    for name, path in MODULES.items():
        if not name.startswith("polygrad_backends"):
            wrong += [f"{name} imports {m}" for m in own(path) if rank(m) > rank(name)]
    assert not wrong


def test_the_upper_rooms_use_public_names_only() -> None:
    upper = {"nn", "optim", "data", "io", "testing"}
    for name, path in MODULES.items():
        room = name.split(".")[1] if "." in name else ""
        if room in upper:
            for module in own(path):
                rooms = {"random", "errors", "backend"} | upper
                if room == "testing":  # the conformance suite looks behind the public names
                    rooms |= {"core", "array_api", "registry"}
                if room == "io":  # makes arrays of bytes on the host
                    rooms |= {"registry"}
                allowed = module == "polygrad" or module.split(".")[1] in rooms
                assert allowed, f"{name} imports {module}"


def test_no_module_imports_in_a_circle() -> None:
    graph = {name: own(path, everywhere=False) for name, path in MODULES.items() if name != "polygrad"}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in sorted(graph.get(name, ())):
                # `from .a import b` names the package `a.__init__` too; a package does not import its own rooms.
                if other != "polygrad" and not name.startswith(other + "."):
                    visit(other, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    source = path.read_text()
    if path != ROOT / "polygrad/__init__.py":  # a list of names
        code = [line for line in source.splitlines() if line.strip()]
        assert len(code) <= 540
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            doc = ast.get_docstring(node) or ""
            inner = sum(
                (n.end_lineno or 0) - n.lineno + 1
                for n in ast.walk(node)
                if n is not node and isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))
            )
            assert node.end_lineno - node.lineno + 1 - len(doc.splitlines()) - inner <= 62, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_left_undone(path: Path) -> None:
    source = path.read_text()
    for mark in ("TO" + "DO", "FIX" + "ME", "X" + "XX"):
        assert mark not in source


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_polygrad_loads_no_array_library() -> None:
    loaded = run(
        "import sys, polygrad\n"
        f"print(sorted(set(m.split('.')[0] for m in sys.modules) & {LIBRARIES | {'polygrad_backends', 'optree'}!r}))"
    )
    assert loaded == "[]"


def test_the_default_backend_loads_on_first_use_and_alone() -> None:
    loaded = run(
        "import sys, polygrad as pg\npg.zeros(2) + 1.0\n"
        f"print(sorted(set(m.split('.')[0] for m in sys.modules) & {LIBRARIES!r}))"
    )
    assert loaded == "['numpy']"


def test_public_names_exist_and_are_documented() -> None:
    import polygrad as pg

    assert sorted(pg.__all__) == sorted(set(pg.__all__))
    for name in pg.__all__:
        assert hasattr(pg, name), name
        value = getattr(pg, name)
        if callable(value) and getattr(value, "__module__", "").startswith("polygrad"):
            assert value.__doc__, name
