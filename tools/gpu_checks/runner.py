"""Check polygrad on a GPU, most valuable things first, within a budget of seconds.

    tools/gpu_check OUT [--budget 480] [--only smoke,steps]

Each section runs in a process of its own with a limit of its own. Results are lines of JSON in ``OUT/results.jsonl``, written as
soon as they are known, so that a run that is killed keeps what it had; what a section prints is in ``OUT/<section>.log``. On a
machine without a GPU ``PYTHONPATH=tools/hostcuda`` and ``--plugin hostcuda`` rehearse it (times say nothing there).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]


class Section(NamedTuple):
    """A part of the check.

    Attributes:
        name: a function of ``sections.py``.
        limit: seconds it may take at most.
        why: what it decides.
    """

    name: str
    limit: float
    why: str


SECTIONS: Final = (
    Section("versions", 25, "what was checked, and whether it can run"),
    Section("smoke", 40, "whether anything works: dtypes, families of ops, gradients, compile, exchange, errors"),
    Section("suite", 110, "the CUDA tests of backends, core, optim, random, nn, interop, mistakes and graph"),
    Section("losses", 75, "100 steps of four networks against NumPy's"),
    Section("waits", 30, "copies and waits in training steps; which ops a CUDA graph refuses"),
    Section("steps", 60, "training steps beside PyTorch and JAX, where they are installed"),
    Section("costs", 20, "what a launch and an op cost on the host"),
    Section("linalg", 25, "linear algebra and transforms at their edges"),
    Section("memory", 25, "2,000 steps in flat memory; out of memory and again"),
    Section("breadth", 140, "the CUDA tests of ops and transforms, as far as time lasts"),
)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder for the results")
    parser.add_argument("--budget", type=float, default=480.0, help="seconds for all sections together (480)")
    parser.add_argument("--only", default="", help="sections, separated by commas (all of them)")
    parser.add_argument("--plugin", default="", help="a module to import before CuPy: hostcuda, for a rehearsal")
    options = parser.parse_args(arguments)
    names = [s.name for s in SECTIONS]
    unknown = [name for name in options.only.split(",") if name and name not in names]
    if unknown:
        parser.error(f"no sections {', '.join(unknown)}; there are {', '.join(names)}")
    return options


def write(out: Path, line: dict[str, Any]) -> None:
    """Append a result, on the disk before this returns."""
    with (out / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def run(section: Section, out: Path, limit: float, plugin: str) -> dict[str, Any]:
    """Run a section in a process group of its own; what it left is ended with it."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "backends"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "GPU_CHECK_PLUGIN": plugin, "GPU_CHECK_LIMIT": str(limit)}
    command = [sys.executable, str(Path(__file__).with_name("sections.py")), section.name, str(out)]
    start = time.monotonic()
    with (out / f"{section.name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | str = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = f"stopped after {limit:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return {"section": section.name, "code": code, "s": round(time.monotonic() - start, 1)}


def main(arguments: list[str] | None = None) -> int:
    """Run the sections in order; 0 if each ended well."""
    options = _arguments(arguments)
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    chosen = options.only.split(",") if options.only else [s.name for s in SECTIONS]
    end = time.monotonic() + options.budget
    ended = []
    for section in SECTIONS:
        if section.name not in chosen:
            continue
        left = end - time.monotonic()
        if left < 5:
            ended.append({"section": section.name, "code": "no time left", "s": 0.0})
        else:
            ended.append(run(section, out, min(section.limit, left), options.plugin))
        write(out, ended[-1])
        print(f"{section.name:10s} {ended[-1]['s']:6.1f} s  {ended[-1]['code']!s:22s} {section.why}", flush=True)
    return 0 if all(line["code"] == 0 for line in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
