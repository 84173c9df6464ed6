"""The text of a compiled signature's function: what is checked, gathered, run and stored at each call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import optree

from .. import registry
from ..core.cell import Cell, new_tensor, replace, root_of, settle
from ..core.modes import GRAD, get_mode, no_grad
from ..core.node import LEAF, Node, next_seq
from ..core.op import Op
from ..ops.indexing import assign
from .guards import Surroundings
from .ir import Value
from .noting import Rebound
from .places import Bound, Item, same
from .tracing import Entered, undo

if TYPE_CHECKING:
    from .entry import Entry

__all__ = ["MISS", "EntryWriter", "overlapping", "related"]

MISS: Final = object()
"""What an entry answers to a call that is not its own."""

_FREED: Final = Op("compiled", lambda xp, /: None)


def write(cell: Any, made: Any, tracked: bool) -> None:
    """Put a new value into a handle that has views, or that is one, or borrowed memory."""
    if tracked:
        replace(cell, made, keep_node=False)
        return
    with no_grad():
        assign(cell, made, "compiled")


def overlapping(leaves: Sequence[Any], closed_over: Sequence[Any]) -> bool:
    """Whether arguments share memory with each other, or with tensors the function reaches: as views of one tensor, or
    because the user's own arrays overlap."""
    roots: set[int] = {id(c) for c in closed_over}
    borrowed = [c for c in map(root_of, closed_over) if c._extra is not None and c._extra.borrowed is not None]
    for x in leaves:
        if isinstance(x, Cell):
            root = root_of(x)
            if id(root) in roots:
                return True
            roots.add(id(root))
            if root._extra is not None and root._extra.borrowed is not None:
                is_view = root._device.backend.is_view
                if any(c._device is root._device and is_view(c._value, root._value) for c in borrowed if c is not root):
                    return True
                borrowed.append(root)
    return False


def related(leaves: Sequence[Any]) -> bool:
    """Whether arguments are views of one tensor."""
    roots = [id(root_of(x)) for x in leaves if isinstance(x, Cell)]
    return len(set(roots)) < len(roots)


class EntryWriter:
    """Writes an entry's function."""

    def __init__(self, entry: Entry, leaves: Sequence[Any], surroundings: Surroundings) -> None:
        self.entry = entry
        self.noted = entry.noted
        self.leaves = leaves
        self.surroundings = surroundings
        self.scope: dict[str, Any] = {
            "MISS": MISS, "same": same, "settle": settle, "tensor": new_tensor, "write": write, "run": entry.run,
            "hosts": entry.hosts, "undo": undo, "attach": entry.attach, "FREED": _FREED, "Node": Node,
            "next_seq": next_seq, "GRAD": GRAD, "get_mode": get_mode,
            "default": registry.default_device, "LEAF": LEAF, "flatten": optree.tree_flatten, "Cell": Cell,
            "unflatten": optree.tree_unflatten, "overlapping": overlapping, "entry": entry, "new": object.__new__,
            "Tensor": type(new_tensor(None, None, None)), "device": entry.device,
        }  # fmt: skip
        self.lines: list[str] = []
        self.where: dict[int, str] = {}  # id(cell of the trace) -> the variable that holds today's handle
        self.raw: dict[Value, str] = {}
        self.argument = {id(x): i for i, x in reversed(list(enumerate(leaves))) if isinstance(x, Cell)}

    def const(self, thing: Any) -> str:
        """A name for a constant."""
        name = f"k{len(self.scope)}"
        self.scope[name] = thing
        return name

    def add(self, line: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + line)

    def miss(self, condition: str) -> None:
        self.add(f"if {condition}: return MISS")

    def text(self) -> str:
        self._mode()
        self._arguments()
        self._places()
        self._closed_over()
        self._aliases()
        self._grads()
        self._run()
        self._store()
        return "\n".join(["def call(leaves):", *self.lines, ""])

    # -- checking ------------------------------------------------------------------------------------

    def _mode(self) -> None:
        on = bool(get_mode() & GRAD)
        self.miss(
            f"(get_mode() & GRAD) != {GRAD if on else 0} or default() is not {self.const(registry.default_device())}"
        )

    def _facts(self, name: str, entry: Entered) -> str:
        """What must hold of a handle for the graph to be its own."""
        value, dtype = entry.value, self.const(entry.value.dtype)
        raw, node = self._value(name), f"n{name}"  # looked up once, used below
        tests = [
            f"{raw if self.noted.trace.hosts else f'({raw} := {name}._value)'}.shape != {self._shape(value.shape)}",
            f"{raw}.dtype is not {dtype} and {raw}.dtype != {dtype}",
            f"{name}._device is not {self.const(entry.device)}",
            f"({node} := {name}._node) is {'not ' if entry.node is None else ''}None",
        ]
        return " or ".join(tests)

    def _value(self, name: str) -> str:
        """The variable that holds a handle's array, unless what runs in Python first may change it."""
        return f"{name}._value" if self.noted.trace.hosts else f"v{name}"

    def _shape(self, shape: Any) -> str:
        return repr(tuple(shape)) if type(shape) is tuple else self.const(shape)

    def _arguments(self) -> None:
        if self.leaves:
            self.add(", ".join(f"a{i}" for i in range(len(self.leaves))) + ", = leaves")
        entered = self.noted.trace.entered
        for i, x in enumerate(self.leaves):
            if not isinstance(x, Cell):
                self.miss(f"a{i} is not {self.const(x)} and not same(a{i}, {self.const(x)})")
                continue
            self.miss(f"a{i}.__class__ is not {self.const(type(x))}")
            self.add(f"if a{i}._extra is not None: settle(a{i})")
            entry = entered[id(x)]
            self.miss(self._facts(f"a{i}", entry))
            first = self.argument[id(x)]
            if first == i:
                self.where[id(x)] = f"a{i}"
                self.raw[entry.traced.value] = self._value(f"a{i}")
            else:
                self.miss(f"a{i} is not a{first}")

    def _places(self) -> None:
        """Tensors that the function itself puts in their places are taken from there."""
        entered = self.noted.trace.entered
        skipped = set()
        for rebound in self.noted.rebound:
            leaves, structure = optree.tree_flatten(rebound.before)
            if not any(isinstance(x, Cell) for x in leaves):
                continue  # something else was there: that it still is, the guards check
            skipped.add(rebound.name)
            place = rebound.place
            holder, key = self.const(place.container), repr(place.key) if isinstance(place.key, (str, int)) else ""
            now = place.code(holder, key or self.const(place.key))
            p = f"p{len(self.scope)}"
            self.add(f"try: {p} = {now}")
            self.add("except (KeyError, IndexError, AttributeError, ValueError): return MISS")
            if isinstance(rebound.before, Cell):
                names = [p]
                self.miss(f"not isinstance({p}, Cell)")
            else:
                names = [f"{p}_{j}" for j in range(len(leaves))]
                self.add(f"{p}_, {p}s = flatten({p})")
                self.miss(f"{p}s != {self.const(structure)}")
                self.add(", ".join(names) + f", = {p}_")
            for name, x in zip(names, leaves, strict=True):
                if not isinstance(x, Cell):
                    self.miss(f"not same({name}, {self.const(x)})")
                elif id(x) in entered and id(x) not in self.where:
                    self.miss(f"not isinstance({name}, Cell)") if len(names) > 1 else None
                    self.add(f"if {name}._extra is not None: settle({name})")
                    self.miss(f"{name}._extra is not None and {name}._extra.base is not None")
                    self.miss(self._facts(name, entered[id(x)]))
                    self.where[id(x)] = name
                    self.raw[entered[id(x)].traced.value] = self._value(name)
                elif id(x) in entered:
                    self.miss(f"{name} is not {self.where[id(x)]}")
                else:
                    self.miss(f"not isinstance({name}, Cell)")
        self.skipped = skipped

    def _closed_over(self) -> None:
        holds = self.surroundings.check(self.skipped)
        self.scope["holds"] = holds
        self.miss("not holds()")
        entered = self.noted.trace.entered
        for key, entry in entered.items():
            if key in self.where:
                continue
            name = self.const(entry.cell)
            self.miss(self._facts(name, entry))
            self.where[key] = name
            self.raw[entry.traced.value] = self._value(name)
        for key, cell in self.surroundings.tensors.items():
            if key not in entered and cell._device is not None:
                probe = Entered.__new__(Entered)
                probe.value, probe.device, probe.node = cell._value, cell._device, cell._node
                self.miss(self._facts(self.const(cell), probe))

    def _aliases(self) -> None:
        """A handle that is written to must not come in twice where it did not before."""
        written = {id(e.cell) for e, _ in self.noted.writes} | {id(e.cell) for e, _ in self.noted.grads}
        entries = list(self.noted.trace.entered.values())
        for i, one in enumerate(entries):
            for other in entries[i + 1 :]:
                a, b = self.where[id(one.cell)], self.where[id(other.cell)]
                fixed = a.startswith("k") and b.startswith("k")
                if fixed or not {id(one.cell), id(other.cell)} & written:
                    continue
                if tuple(one.value.shape) == tuple(other.value.shape) and one.value.dtype == other.value.dtype:
                    self.miss(f"{a} is {b}")
        tensors = [f"a{i}" for i, x in enumerate(self.leaves) if isinstance(x, Cell)]
        if self.noted.writes and tensors:
            closed = [n for n in self.where.values() if not n.startswith("a")]
            views = " or ".join(f"{a}._extra is not None" for a in tensors)
            first = sorted({f"a{self.argument[id(x)]}" for x in self.leaves if isinstance(x, Cell)})
            self.miss(f"({views}) and overlapping(({', '.join(first)},), ({', '.join(closed)}{',' if closed else ''}))")

    def _grads(self) -> None:
        changed = {id(e.cell) for e, _ in self.noted.grads}
        taken = set(self.entry.graph.inputs)
        for key, entry in self.noted.trace.entered.items():
            node = f"n{self.where[key]}"
            tests = []
            used = entry.grad_input is not None and entry.grad_input.value in taken
            looked = entry.grad_seen or (key in changed and not entry.grad_dropped)
            if key in changed or used:
                hooks = entry.node.extra.hooks if entry.node is not None and entry.node.extra is not None else None
                tests.append(f"{node}.op is not LEAF")
                if hooks is None:
                    tests.append(f"{node}.extra is not None and {node}.extra.hooks")
                else:
                    tests.append(f"{node}.extra is None or {node}.extra.hooks != {self.const(dict(hooks))}")
            if entry.grad_input is not None and (used or looked):
                grad, dtype = f"g{self.where[key]}", self.const(entry.grad_input.dtype)
                tests.append(f"({grad} := {node}.grad) is None")
                tests.append(f"{grad}._value.dtype is not {dtype} and {grad}._value.dtype != {dtype}")
                self.raw[entry.grad_input.value] = f"{grad}._value"
            elif looked and entry.node is not None:
                tests.append(f"{node}.op is LEAF and {node}.grad is not None")
            if tests:
                self.miss(" or ".join(tests))

    # -- running -------------------------------------------------------------------------------------

    def _run(self) -> None:
        if self.noted.trace.hosts:
            self.add("h, calls = hosts()")
            self.miss("h is MISS")
            for i, v in enumerate(self.noted.trace.host_inputs):
                self.raw[v] = f"h[{i}]"
        inputs = ", ".join(self.raw[v] for v in self.entry.graph.inputs)
        self._drop_grads()
        outputs = [f"o{i}" for i in range(len(self.noted.graph.outputs))]
        call = (", ".join(outputs) + ", = " if outputs else "") + f"run({inputs})"
        if self.noted.trace.hosts:
            self.add("try:")
            self.add(call, 2)
            self.add("except BaseException:")
            self.add("undo(calls)", 2)  # a failing run counts no step
            self.add("raise", 2)
        else:
            self.add(call)

    def _drop_grads(self) -> None:
        """Old gradients that the function drops without a look are gone before the new ones need memory."""
        taken = set(self.entry.graph.inputs)
        for entry, _ in self.noted.grads:
            old = entry.grad_input
            if old is not None and old.value not in taken:
                name = self.where[id(entry.cell)]
                self.add(f"n{name}.grad = g{name} = None")

    def _store(self) -> None:
        made = self.noted.made
        names: dict[int, str] = {}
        for i, m in enumerate(made):
            if m.kind == "new":
                t = names[i] = f"t{i}"
                self.add(f"{t} = new(Tensor)")
                self.add(
                    f"{t}._value = o{m.out}; {t}._device = device; {t}._saved = True; {t}._node = {t}._extra = None"
                )
            elif m.kind == "same":
                names[i] = self.where[id(m.cell)]
            elif m.kind == "held":
                names[i] = self.const(m.cell)
        self._graphs(names)
        for entry, i in self.noted.writes:
            name = self.where[id(entry.cell)]
            tracked = made[i].node is not None
            self.add(f"if {name}._extra is None:")
            self.add(f"{name}._value = t{i}._value; {name}._saved = True", 2)
            if tracked:
                self.add(f"{name}._node = t{i}._node", 2)
            self.add(f"else: write({name}, t{i}, {tracked})")
        for entry, grad in self.noted.grads:
            name = self.where[id(entry.cell)]
            self.add(f"n{name}.grad = {'None' if grad is None else names[grad]}")
        for i, m in enumerate(made):
            if m.kind == "view":
                self.add(f"t{i} = {self.const(m.replay)}({names[m.base]})")
                names[i] = f"t{i}"
        for rebound in self.noted.rebound:
            self._fill(rebound, names)
        self.add(f"return {self._tree(self.noted.structure, self.noted.result, names)}")

    def _graphs(self, names: dict[int, str]) -> None:
        noted = self.noted
        if noted.roots and noted.targets:
            tensors = ", ".join(names[i] for i in noted.roots)
            nodes = ", ".join(f"n{self.where[id(e.cell)]}" for e in noted.targets)
            first = len(noted.outs)
            residuals = ", ".join(f"o{first + i}" for i in range(len(noted.residuals)))
            self.add(f"{tensors}, = attach([{tensors}], [{nodes}], leaves, ({residuals}{',' if residuals else ''}))")
        for i in noted.freed if noted.targets else [*noted.freed, *noted.roots]:
            self._freed(names[i], noted.outs[noted.made[i].out])

    def _freed(self, name: str, out: Any) -> None:
        """A node for a tensor whose graph an inner backward has freed; written out, since most steps return a loss."""
        dtype = self.const(out.dtype)
        self.add(f"{name}._node = n = new(Node)")
        self.add("n.op = FREED; n.parents = (); n.saved = n.extra = n.pins = None; n.seq = next_seq()")
        self.add(f"n.shape = {self._shape(out.shape)}; n.dtype = {dtype}; n.device = device")

    def _fill(self, rebound: Rebound, names: dict[int, str]) -> None:
        place = rebound.place
        value = self._tree(rebound.structure, rebound.leaves, names)
        holder = self.const(place.container)
        if isinstance(place, Item):
            key = repr(place.key) if isinstance(place.key, (str, int)) else self.const(place.key)
            self.add(f"{holder}[{key}] = {value}")
        elif isinstance(place, Bound):
            self.add(f"{holder}.cell_contents = {value}")
        else:
            self.add(f"{holder}.{place.key} = {value}")

    def _tree(self, structure: Any, leaves: list[Any], names: dict[int, str]) -> str:
        texts = [names[x] if isinstance(x, int) else self.const(x[1]) for x in leaves]
        if optree.treespec_is_leaf(structure):
            return texts[0]
        if structure.type is tuple and all(optree.treespec_is_leaf(c) for c in structure.children()):
            return f"({', '.join(texts)},)" if texts else "()"
        return f"unflatten({self.const(structure)}, ({', '.join(texts)}{',' if texts else ''}))"
