"""Run the array API's own test suite (data-apis/array-api-tests) on polygrad, backend by backend.

    git clone --recurse-submodules <the suite> array-api-tests
    python tools/conformance.py array-api-tests --device cpu strict            # as polygrad is
    python tools/conformance.py array-api-tests --device cpu --requires-grad   # every float input requires grad

It prints one line a device: how many tests passed, failed and were skipped, and the names of those that failed.
With ``--requires-grad`` the suite sees a namespace whose creation functions return tensors that carry a graph, so
that every function runs as it does in a program that is differentiated.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

VERSION = "2025.12"
CREATION = """
arange asarray empty empty_like eye from_dlpack full full_like linspace ones ones_like zeros zeros_like
"""


# -- the namespace that the suite is given -------------------------------------------------------------


def namespace(device: str, requires_grad: bool) -> Any:
    """polygrad's namespace for a device, or its twin whose arrays all carry a graph."""
    import polygrad as pg

    xp = pg.Device(device).xp
    if not requires_grad:
        return xp
    twin = ModuleType(f"{xp.__name__}.tracked")
    twin.__dict__.update(vars(xp))
    for space in ("linalg", "fft"):
        setattr(twin, space, getattr(xp, space))
    for name in CREATION.split():
        setattr(twin, name, tracked(getattr(xp, name)))
    return twin


def tracked(create: Any) -> Any:
    """A creation function whose floating results carry a graph: made by an op, so that they may be written to."""

    @functools.wraps(create)
    def made(*args: Any, **kwargs: Any) -> Any:
        x = create(*args, **kwargs)
        if x.dtype.inexact and not x.requires_grad:
            x = x.__array_namespace__().positive(x.requires_grad_())
        return x

    return made


# -- the runner ------------------------------------------------------------------------------------------


def run(suite: Path, device: str, requires_grad: bool, examples: int, chosen: list[str]) -> dict[str, Any]:
    """One run of the suite; its summary."""
    here = Path(__file__).resolve()
    code = f"import sys; sys.path.insert(0, {str(here.parent)!r}); import conformance; "
    code += f"xp = conformance.namespace({device!r}, {requires_grad!r})"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = dict(os.environ, ARRAY_API_TESTS_MODULE=f"exec('{code.replace(chr(39), chr(34))}')",
                           ARRAY_API_TESTS_VERSION=VERSION, PYTHONDONTWRITEBYTECODE="1")  # fmt: skip
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--disable-deadline", "--tb=line",
                   f"--max-examples={examples}", "--json-report", f"--json-report-file={report}",
                   *([*chosen] or ["array_api_tests"])]  # fmt: skip
        done = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True)
        if not report.exists():
            raise SystemExit(done.stdout[-4000:] + done.stderr[-4000:])
        found = json.loads(report.read_text())
    outcomes: dict[str, list[str]] = {}
    for test in found["tests"]:
        outcomes.setdefault(test["outcome"], []).append(test["nodeid"].removeprefix("array_api_tests/"))
    return {
        "device": device,
        "requires_grad": requires_grad,
        "passed": len(outcomes.get("passed", ())),
        "skipped": len(outcomes.get("skipped", ())) + len(outcomes.get("xfailed", ())),
        "failed": sorted(outcomes.get("failed", []) + outcomes.get("error", [])),
    }


WHY = {
    "test_dlpack.py": "exporting would lose the graph, or the library's own DLPack lacks what is asked for",
    "test_getitem_masking": "the library refuses a mask of length 0 for an axis of length 1",
    "__mod__": "the sign of a zero remainder", "remainder": "the sign of a zero remainder",
    "__imod__": "the sign of a zero remainder",
    "floordiv": "the sign of a zero quotient", "floor_divide": "the sign of a zero quotient",
    "test_nan_propagation": "the library's reduction gives another nan or warns",
}  # fmt: skip


def reason(name: str) -> str:
    """Why a test fails, for the page."""
    for part, why in WHY.items():
        if part in name:
            return why
    if "test_unary" in name:
        return "the library's function at infinite, nan or signed-zero arguments (complex, mostly)"
    return "see the test"


def write(summaries: list[dict[str, Any]]) -> None:
    """The figures in Markdown, in the page between its marks."""
    target = Path(__file__).resolve().parent.parent / "docs" / "compatibility.md"
    lines = ["| device | passed | failed | skipped |", "|---|---|---|---|"]
    for s in summaries:
        mode = ", every float input requires grad" if s["requires_grad"] else ""
        lines.append(f"| `{s['device']}`{mode} | {s['passed']} | {len(s['failed'])} | {s['skipped']} |")
    for s in summaries:
        if s["failed"]:
            mode = ", every float input requires grad" if s["requires_grad"] else ""
            lines += ["", f"What fails on `{s['device']}`{mode}:", ""]
            lines += [f"- `{name.replace('|', ' ')}`: {reason(name)}" for name in s["failed"]]
    begin, end = "<!-- conformance: begin -->", "<!-- conformance: end -->"
    text = target.read_text()
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    target.write_text(before + "\n\n" + "\n".join(lines) + "\n\n" + after)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path, help="a checkout of the suite, with its submodule")
    parser.add_argument("--device", nargs="+", default=["cpu"], help="polygrad's devices to run it on")
    parser.add_argument("--requires-grad", action="store_true", help="every floating input requires grad")
    parser.add_argument("--also-requires-grad", nargs="*", default=[], help="devices to run on once more, so")
    parser.add_argument("--max-examples", type=int, default=25)
    parser.add_argument("--json", type=Path, help="write the summaries here")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/compatibility.md")
    parser.add_argument("--tests", nargs="*", default=[], help="only these, as pytest names them")
    given = parser.parse_args()
    summaries = []
    wanted = [(d, given.requires_grad) for d in given.device] + [(d, True) for d in given.also_requires_grad]
    for device, requires_grad in wanted:
        made = run(given.suite.resolve(), device, requires_grad, given.max_examples, given.tests)
        mode = ", requires grad" if requires_grad else ""
        print(f"{device}{mode}: {made['passed']} passed, {len(made['failed'])} failed, {made['skipped']} skipped")
        for name in made["failed"]:
            print(f"    {name}")
        summaries.append(made)
    if given.write:
        write(summaries)
    if given.json is not None:
        given.json.write_text(json.dumps(summaries, indent=1) + "\n")
    if any(s["failed"] for s in summaries):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
