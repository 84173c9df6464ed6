"""``python -m benchmarks [workload ...] [--rounds N] [--seconds S]``: prints ratios, checks that all agree."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys

import numpy as np

import polygrad as pg

from . import plans, processes
from .gaussian_process import PROCESSES
from .harness import check, measure, report
from .networks import NETWORKS
from .workloads import ALL, PEERS

ALL |= PROCESSES | NETWORKS
MORE = ("memory", "compile-time", "processes")

_THREADS = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS POLYGRAD_NUM_THREADS".split()


def _again_with(threads: int) -> None:
    """Start this program anew on so many cores, for libraries look at these things when they are loaded."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in _THREADS:
        os.environ[name] = str(threads)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def main(argv: list[str] | None = None) -> None:
    """Run the workloads named on the command line, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join([*ALL, *MORE])}; all by default")
    parser.add_argument("--rounds", type=int, default=11, help="how often each contestant takes its turn")
    parser.add_argument("--seconds", type=float, default=0.2, help="how long a turn is")
    parser.add_argument("--threads", type=int, help="keep every contestant to so many cores and threads")
    parser.add_argument("--torch-compile", action="store_true", help="torch.compile too, where there is a C++ compiler")
    options = parser.parse_args(argv)
    # In one process it would be every contestant's: PyTorch's LSTM step pages in 2,000 pages without it.
    os.environ.setdefault("POLYGRAD_KEEP_FREED", "0")
    if options.threads and os.environ.get(_THREADS[-1]) != str(options.threads):
        _again_with(options.threads)
    if options.torch_compile:
        if "torch" not in PEERS or not (shutil.which("c++") or shutil.which("g++")):
            parser.error("--torch-compile needs PyTorch and a C++ compiler")
        PEERS.append("torch.compile")
    unknown = set(options.workloads) - set(ALL) - set(MORE)
    if unknown:
        parser.error(f"unknown workloads: {', '.join(sorted(unknown))}; there are {', '.join([*ALL, *MORE])}")
    print(
        f"polygrad {pg.__version__}, NumPy {np.__version__}, Python {platform.python_version()}; peers: {', '.join(PEERS)}"
    )
    for name, make in ALL.items():
        if not options.workloads or name in options.workloads:
            workload = make()
            check(workload)
            print(report(workload, measure(workload, options.rounds, options.seconds)), flush=True)
    if not options.workloads or "memory" in options.workloads:
        names = plans.MEMORY if options.rounds > 1 else plans.MEMORY[-1:]  # counting each array takes minutes
        print("memory of compiled steps, in MB\n" + plans.memory(ALL, names), flush=True)
    if not options.workloads or "compile-time" in options.workloads:
        print("time to trace and compile, for each kind of call\n" + plans.compile_times(ALL), flush=True)
    if not options.workloads or "processes" in options.workloads:
        print("whole processes\n" + processes.report(options.rounds))


if __name__ == "__main__":
    main()
