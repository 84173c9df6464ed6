"""The scoreboard: calls into other people's libraries, on polygrad's tensors and on its peers' arrays.

    python tools/compatibility.py            # run everything and write docs/compatibility.md
    python tools/compatibility.py --only scipy.stats

For each call of ``compatibility_cases.py`` the value is compared with the library's own on NumPy arrays, and the gradient
of a weighted sum of the result with central differences (Richardson's, of that same NumPy call).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from compatibility_cases import CASES, Case

ROOT = Path(__file__).resolve().parent.parent
CONTESTANTS = ("polygrad", "polygrad on torch", "torch", "jax", "autograd")


@dataclass
class Outcome:
    """What became of a call: ``ok``, or what is wrong with it, and why."""

    verdict: str
    reason: str = ""


# -- references --------------------------------------------------------------------------------------------


def as_numpy(made: Any) -> Any:
    return np.asarray(made, dtype=complex if np.iscomplexobj(made) else float)


def weights(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(7).uniform(0.5, 1.5, size=shape)


def reference(case: Case) -> tuple[Any, list[Any]]:
    """The value on NumPy arrays, and the gradients of its weighted sum by differences."""
    with np.errstate(all="ignore"):
        value = as_numpy(case.f(*[x.copy() for x in case.inputs]))
        w = weights(value.shape)

        def loss(arrays: list[Any]) -> float:
            return float(np.sum(w * as_numpy(case.f(*arrays)).real))

        gradients = []
        for k, x in enumerate(case.inputs):
            g = np.zeros_like(x)
            for i in np.ndindex(*x.shape):

                def at(h: float, k: int = k, i: tuple[int, ...] = i) -> float:
                    moved = [a.copy() for a in case.inputs]
                    moved[k][i] += h
                    return loss(moved)

                h = 1e-3 * max(1.0, abs(x[i])) / 4
                near, far = (at(h) - at(-h)) / (2 * h), (at(2 * h) - at(-2 * h)) / (4 * h)
                g[i] = (4 * near - far) / 3
            gradients.append(g)
    return value, gradients


# -- contestants --------------------------------------------------------------------------------------------


def run_polygrad(case: Case, device: str) -> tuple[Any, list[Any] | None]:
    import polygrad as pg

    leaves = [pg.asarray(x, device="cpu", copy=True).to_device(device).requires_grad_() for x in case.inputs]
    made = case.f(*leaves)
    if not isinstance(made, pg.Tensor) or not made.requires_grad:
        host = made.to_device("cpu").numpy() if isinstance(made, pg.Tensor) else made
        return as_numpy(host), None
    w = pg.asarray(weights(made.shape), device="cpu").to_device(device)
    pg.sum(w * made.real).backward()
    found = [np.zeros(x.shape) if x.grad is None else x.grad.to_device("cpu").numpy() for x in leaves]
    return as_numpy(made.detach().to_device("cpu").numpy()), found


def run_torch(case: Case) -> tuple[Any, list[Any] | None]:
    import torch

    leaves = [torch.tensor(x, requires_grad=True) for x in case.inputs]
    made = case.f(*leaves)
    if not isinstance(made, torch.Tensor) or not made.requires_grad:
        return as_numpy(made), None
    torch.sum(torch.tensor(weights(tuple(made.shape))) * made.real).backward()
    found = [np.zeros(tuple(x.shape)) if x.grad is None else x.grad.numpy() for x in leaves]
    return as_numpy(made.detach().resolve_conj().numpy()), found


def run_jax(case: Case) -> tuple[Any, list[Any] | None]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    arrays = [jnp.asarray(x) for x in case.inputs]

    def loss(*arrays: Any) -> Any:
        made = case.f(*arrays)
        if not isinstance(made, jax.Array):
            raise TypeError(f"gave a {type(made).__name__}, not an array")
        return jnp.sum(weights(made.shape) * jnp.real(made)), made

    (_, made), found = jax.value_and_grad(loss, argnums=tuple(range(len(arrays))), has_aux=True)(*arrays)
    return as_numpy(made), [np.asarray(g) for g in found]


def run_autograd(case: Case) -> tuple[Any, list[Any] | None]:
    import autograd
    import autograd.numpy as anp

    def loss(arrays: tuple[Any, ...]) -> Any:
        made = case.f(*arrays)
        return anp.sum(weights(np.shape(made)) * anp.real(made))

    value = as_numpy(case.f(*case.inputs))
    found = autograd.grad(loss)(tuple(case.inputs))
    return value, [np.asarray(g) for g in found]


RUNNERS: dict[str, Callable[[Case], tuple[Any, list[Any] | None]]] = {
    "polygrad": lambda case: run_polygrad(case, "cpu"),
    "polygrad on torch": lambda case: run_polygrad(case, "torch:cpu"),
    "torch": run_torch,
    "jax": run_jax,
    "autograd": run_autograd,
}


def judge(case: Case, contestant: str, value: Any, gradients: list[Any]) -> Outcome:
    """Run a call and compare."""
    try:
        with np.errstate(all="ignore"):
            got, found = RUNNERS[contestant](case)
            found = None if found is None else [np.asarray(g, dtype=float) for g in found]
    except Exception as error:
        return Outcome("error", f"{type(error).__name__}: {first_line(error)}")
    if got.shape != value.shape or not np.allclose(got, value, rtol=1e-8, atol=1e-10, equal_nan=True):
        return Outcome("wrong value", f"shape {got.shape} for {value.shape}" if got.shape != value.shape else "")
    if found is None:
        return Outcome("detached", "the library returns Python numbers or NumPy arrays")
    scale = max(max((float(np.max(np.abs(g))) for g in gradients if g.size), default=1.0), 1e-3)
    for g, f in zip(gradients, found, strict=True):
        if np.isnan(f).any() and not np.isnan(g).any():
            return Outcome("nan", "the library computes 0 / 0 and overwrites it: the chain rule gives nan")
        if not np.allclose(f, g, rtol=1e-5, atol=1e-7 * scale, equal_nan=True):
            return Outcome("wrong gradient", f"off by {float(np.max(np.abs(f - g))):.1e}")
    return Outcome("ok")


def first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    line = re.sub(r" from '[^']*'", "", text[0]) if text else ""  # no paths of this machine
    return line if len(line) <= 110 else line[:107] + "..."


# -- the page --------------------------------------------------------------------------------------------------


def play(cases: list[Case], contestants: tuple[str, ...]) -> dict[tuple[str, str], dict[str, Outcome]]:
    """Every call on every contestant's arrays."""
    import sklearn

    sklearn.set_config(array_api_dispatch=True)
    found: dict[tuple[str, str], dict[str, Outcome]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases:
            value, gradients = reference(case)
            found[case.library, case.name] = {c: judge(case, c, value, gradients) for c in contestants}
    return found


MARKS = {"ok": "yes", "error": "error", "detached": "detached", "nan": "nan", "wrong value": "WRONG value",
         "wrong gradient": "WRONG gradient"}  # fmt: skip


def page(found: dict[tuple[str, str], dict[str, Outcome]]) -> str:
    """The tables in Markdown."""
    libraries = list(dict.fromkeys(library for library, _ in found))
    contestants = list(next(iter(found.values())))
    lines = ["| library | calls | " + " | ".join(contestants) + " |", "|---|---|" + "---|" * len(contestants)]
    for library in libraries:
        rows = [outcomes for (own, _), outcomes in found.items() if own == library]
        counts = [sum(o[c].verdict == "ok" for o in rows) for c in contestants]
        lines.append(f"| {library} | {len(rows)} | " + " | ".join(map(str, counts)) + " |")
    totals = [sum(o[c].verdict == "ok" for o in found.values()) for c in contestants]
    shares = [f"**{t}** ({100 * t / len(found):.0f} %)" for t in totals]
    lines.append(f"| **all** | **{len(found)}** | " + " | ".join(shares) + " |")
    for library in libraries:
        lines += ["", f"### {library}", "", "| call | " + " | ".join(contestants) + " | why not |",
                  "|---|" + "---|" * (len(contestants) + 1)]  # fmt: skip
        for (own, name), outcomes in found.items():
            if own == library:
                cells = [MARKS[outcomes[c].verdict] for c in contestants]
                reason = outcomes["polygrad"].reason.replace("|", "\\|").replace("<", "&lt;")
                lines.append(f"| `{name}` | " + " | ".join(cells) + f" | {reason} |")
    return "\n".join(lines) + "\n"


def broken(found: dict[tuple[str, str], dict[str, Outcome]], text: str) -> list[str]:
    """What is worse than the page says: wrong results, and calls that no longer work."""
    header = next(line for line in text.splitlines() if line.startswith("| call |"))
    columns = [c.strip() for c in header.strip("|").split("|")]
    said = {}
    library = ""
    for line in text.splitlines():
        if line.startswith("### "):
            library = line.removeprefix("### ")
        elif line.startswith("| `"):
            cells = [c.strip() for c in line.strip("|").split("|")]
            said[library, cells[0].strip("`")] = dict(zip(columns, cells, strict=False))
    faults = []
    for (library, name), outcomes in found.items():
        for contestant, outcome in outcomes.items():
            row = said.get((library, name))
            label = f"{library} {name} ({contestant}): {outcome.verdict} {outcome.reason}"
            if row is None:
                faults.append(f"{label}; the page does not have it")
            elif outcome.verdict.startswith("wrong") or (row[contestant] == "yes" and outcome.verdict != "ok"):
                faults.append(label)
    return faults


BEGIN, END = "<!-- calls: begin -->", "<!-- calls: end -->"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="print the calls into one library and write nothing")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page promises too much")
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS))
    given = parser.parse_args()
    if given.only is not None:
        chosen = [c for c in CASES if given.only in (c.library, "all")]
        for (library, name), outcomes in play(chosen, tuple(given.contestants)).items():
            for contestant, outcome in outcomes.items():
                if outcome.verdict != "ok":
                    print(f"{library:16s} {name:32s} {contestant:18s} {outcome.verdict:15s} {outcome.reason}")
        return
    target = ROOT / "docs" / "compatibility.md"
    text = target.read_text()
    if given.check:
        faults = broken(play(CASES, tuple(given.contestants)), text)
        print("\n".join(faults) or f"{len(CASES)} calls: as the page says")
        raise SystemExit(bool(faults))
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    target.write_text(before + "\n" + page(play(CASES, tuple(given.contestants))) + after)


if __name__ == "__main__":
    main()
