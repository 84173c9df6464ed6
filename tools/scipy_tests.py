"""Run the array API tests that SciPy ships on polygrad's Tensors, module by module.

    python tools/scipy_tests.py                          # every module that has such tests
    python tools/scipy_tests.py special fft -n 2         # these, in two processes
    python tools/scipy_tests.py --write                  # and put the figures into docs/compatibility.md

SciPy's tests take an array namespace from a fixture, ``xp``. This file is also a pytest plugin that gives the fixture
one namespace, polygrad's; SciPy's files stay as they are. (Its fixture ``devices`` is replaced too: it adds a list to
what is a tuple by the standard's version 2025.12.) Tests that SciPy marks as slow are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

MODULES = """
cluster constants differentiate fft integrate interpolate linalg ndimage optimize signal spatial special stats _lib
"""
DEVICE = "SCIPY_TESTS_POLYGRAD_DEVICE"


# -- the plugin ------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_plugin_registered(plugin: Any) -> None:
    """Give SciPy's fixture ``xp`` polygrad's namespace, before pytest reads the fixtures of SciPy's conftest."""
    if not hasattr(plugin, "xp_known_backends") or DEVICE not in os.environ:
        return
    import polygrad as pg

    xp = pg.Device(os.environ[DEVICE]).xp
    plugin.xp_known_backends.add(xp.__name__)
    function = plugin.xp._get_wrapped_function()
    plugin.xp = pytest.fixture(params=[pytest.param(xp, id="polygrad", marks=pytest.mark.array_api_backends)])(function)

    @pytest.fixture
    def devices(xp: Any) -> list[Any]:
        return [*xp.__array_namespace_info__().devices(), None]

    plugin.devices = devices  # SciPy's adds a list to it; since 2025.12 the standard asks for a tuple


# -- the runner ------------------------------------------------------------------------------------------


def run(module: str, device: str, processes: int, seconds: int, more: list[str]) -> dict[str, Any]:
    """The tests of one of SciPy's modules; how many passed, failed and were skipped, and what failed."""
    import scipy

    tools = Path(__file__).resolve().parent
    folder = Path(scipy.__file__).parent
    path = [str(tools), str(tools.parent), str(tools.parent / "backends"), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as here:
        report = Path(here) / "report.xml"
        environment = dict(os.environ, SCIPY_ARRAY_API='["numpy"]', PYTHONPATH=os.pathsep.join(filter(None, path)),
                           PYTHONDONTWRITEBYTECODE="1")  # fmt: skip
        environment[DEVICE] = device
        command = [sys.executable, "-m", "pytest", "-q", "-p", Path(__file__).stem, "-p", "no:cacheprovider",
                   "--rootdir", str(folder), "--confcutdir", str(folder), "-m", "array_api_backends and not slow",
                   "--tb=short", f"--timeout={seconds}", f"--junitxml={report}", "-o", "junit_family=xunit1",
                   *(["-n", str(processes)] if processes > 1 else []), *more,
                   "--pyargs", f"scipy.{module}"]  # fmt: skip
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
        if not report.exists():
            raise SystemExit(done.stdout[-4000:] + done.stderr[-4000:])
        found = summary(report)
    return {"module": module, **found}


def summary(report: Path) -> dict[str, Any]:
    """The outcomes in pytest's report."""
    counts: Counter[str] = Counter(passed=0, failed=0, skipped=0)
    failed = {}
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = "failed"
                name = f"{case.get('classname')}.{case.get('name')}"
                failed[name] = {"message": child.get("message", ""), "text": child.text or ""}
            elif child.tag == "skipped":
                outcome = "skipped"
        counts[outcome] += 1
    return {**counts, "failures": failed}


# Why a test fails that is not polygrad's to mend: a pattern of its name, and the reason.
WHY = {
    r"test_support_alternative_backends.*(bdtr|expn|nbdtr|pdtri|polygamma|yn)": "beside float32 arguments, integers that "
    "count do not widen the result here, as in PyTorch and JAX; SciPy's own give float64",
    "test_array_api_lazy": "written for lazy arrays; Tensors on NumPy's arrays are not lazy",
    "TestVectorizedFilter.test_input_validation": "the test knows the messages of the libraries it names",
}  # fmt: skip


def reason(name: str) -> str:
    """Why a test fails, for the page."""
    return next((why for pattern, why in WHY.items() if re.search(pattern, name)), "see the test")


def write(summaries: list[dict[str, Any]]) -> None:
    """The figures in Markdown, in the page between its marks."""
    target = Path(__file__).resolve().parent.parent / "docs" / "compatibility.md"
    lines = ["| module | passed | failed | skipped |", "|---|---|---|---|"]
    lines += [f"| `scipy.{s['module']}` | {s['passed']} | {s['failed']} | {s['skipped']} |" for s in summaries]
    total = [sum(s[kind] for s in summaries) for kind in ("passed", "failed", "skipped")]
    lines.append("| **all** | " + " | ".join(f"**{n:,}**" for n in total) + " |")
    reasons: dict[str, list[str]] = {}
    for s in summaries:
        for name in s["failures"]:
            reasons.setdefault(reason(name), []).append(name)
    if reasons:
        lines += ["", "What fails:", ""]
    for why, names in reasons.items():
        short = Counter(re.sub(r"\[.*", "", name) for name in names)
        tests = ", ".join(f"`{name}`" + (f" ({count})" if count > 1 else "") for name, count in short.items())
        lines.append(f"- {tests}: {why}")
    begin, end = "<!-- scipy: begin -->", "<!-- scipy: end -->"
    text = target.read_text()
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    target.write_text(before + "\n\n" + "\n".join(lines) + "\n\n" + after)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", nargs="*", help="SciPy's modules, without the scipy. in front")
    parser.add_argument("--device", default="cpu", help="polygrad's device to run them on")
    parser.add_argument("-n", type=int, default=1, help="processes (needs pytest-xdist)")
    parser.add_argument("--timeout", type=int, default=120, help="seconds a test may take (needs pytest-timeout)")
    parser.add_argument("-k", help="only the tests whose name matches, as pytest's -k")
    parser.add_argument("--json", type=Path, help="keep the outcomes in this file, with those it has of other modules")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/compatibility.md")
    given = parser.parse_args()
    kept: dict[str, Any] = {}
    if given.json is not None and given.json.exists():
        kept = {s["module"]: s for s in json.loads(given.json.read_text())}
    for module in given.module or MODULES.split():
        made = run(module, given.device, given.n, given.timeout, ["-k", given.k] if given.k else [])
        kept[module] = made
        print(
            f"scipy.{module}: {made['passed']} passed, {made['failed']} failed, {made['skipped']} skipped", flush=True
        )
        for name, failure in made["failures"].items():
            print(f"    {name}: {failure['message'][:200].splitlines()[0] if failure['message'] else ''}")
        if given.json is not None:
            given.json.write_text(json.dumps(list(kept.values()), indent=1) + "\n")
    if given.write:
        write([kept[module] for module in MODULES.split() if module in kept])
    if any(s["failed"] for s in kept.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
