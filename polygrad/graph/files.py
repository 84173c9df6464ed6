"""Graphs in files: instructions as data, checked one by one when they are read.

The file is one of ``pg.save``'s: safetensors with JSON beside it. Nothing in it is code, and a name in it is looked up only
among the functions that graphs are made of, so that a file can call nothing else. Before anything is run, every instruction's
shapes and dtypes are worked out anew, as a trace does it, and must be those of the file.
"""

from __future__ import annotations

import importlib
import math
import os
import re
from collections.abc import Callable
from typing import Any, Final

import optree

from .. import array_api, registry
from ..backend import SPACES, Device
from ..core.cell import Cell, new_tensor
from ..core.kernels import GENERIC
from ..dtypes import BY_NAME, DType
from ..errors import NoRuleError, StateError
from ..ops.classes import AreProbabilities, InRange
from ..ops.creation import asarray
from .arrays import OPERATORS
from .derivatives import replayed
from .execute import resolve
from .infer import REDUCTIONS, Inference
from .ir import Graph, Instruction, Value, substituted
from .tracing import Check, Trace, tracing

__all__ = ["load", "save"]

_VERSION: Final = 1
_KEYS: Final = ("constants", "device", "inputs", "instructions", "outputs", "polygrad graph", "reached", "structure")
_NAME: Final = re.compile(r"(xp\.)?([a-z]+\.)?[a-z][a-z0-9_]*", re.ASCII)
_KEYWORD: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_WRITING: Final = frozenset("out where order casting subok signature like".split())
"""Options of libraries' own that write into arguments, or leave memory unwritten."""
_LARGEST: Final = 1 << 48
"""Bytes of the largest array that a file may speak of: more than any machine has."""


def _io() -> Any:
    return importlib.import_module("polygrad.io")  # a room above this one, asked only where files are meant


# -- writing ------------------------------------------------------------------------------------------


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """See :meth:`Graph.save`."""
    device = registry.device(graph.device)
    tensors = {v: x.detach() for v, x in graph.closed_over.items()}
    tree = {
        "polygrad graph": _VERSION,
        "device": graph.device,
        "inputs": [[*_about(v), graph.names.get(v, "")] for v in graph.inputs],
        "reached": [[v.number, bool(graph.closed_over[v].requires_grad), x] for v, x in tensors.items()],
        "constants": [
            [*_about(v), graph.names.get(v, ""), new_tensor(a, None, device)] for v, a in graph.constants.items()
        ],
        "instructions": [_described(i, device) for i in graph.instructions],
        "outputs": [None if v is None else v.number for v in graph.outputs],
        "structure": _structure(graph),
    }
    _io().save(tree, path)


def _about(v: Value) -> list[Any]:
    return [v.number, None if v.dtype is None else v.dtype.name, list(v.shape)]


def _structure(graph: Graph) -> Any:
    """What a call returns, with the outputs' positions in place of arrays; None for a plain tuple."""
    if graph.structure is None:
        return None
    tree = optree.tree_unflatten(graph.structure, range(len(graph.outputs)))
    _plain(tree)
    return [tree]


def _plain(tree: Any) -> None:
    if type(tree) is dict:
        for key, item in tree.items():
            if type(key) not in (str, int):
                raise TypeError(
                    f"save: the graph returns a dict with the key {key!r}; those of a file are strings and ints"
                )
            _plain(item)
    elif type(tree) in (list, tuple):
        for item in tree:
            _plain(item)
    elif tree is not None and type(tree) is not int:
        raise TypeError(
            f"save: the graph returns a {type(tree).__qualname__}; a file holds dicts, lists and tuples of arrays. Trace a "
            "function that returns one of these"
        )


def _described(instruction: Instruction, device: Device) -> dict[str, Any]:
    """An instruction as JSON has it."""
    op = instruction.op

    def described(tree: Any) -> Any:
        if tree.__class__ is Value:
            return {"value": tree.number}
        if type(tree) in (list, tuple):
            return {type(tree).__name__: [described(item) for item in tree]}
        if type(tree) is slice:
            return {"slice": [described(part) for part in (tree.start, tree.stop, tree.step)]}
        if tree is Ellipsis:
            return {"ellipsis": True}
        if isinstance(tree, DType):
            return {"dtype": tree.name, "native": False}
        if type(tree) in {type(d) for d in device.backend.native_dtypes.values()}:
            return {"dtype": device.backend.to_dtype(tree).name, "native": True}
        if isinstance(tree, Check) and isinstance(tree.f, InRange):
            return {"in range": [tree.f.name, tree.f.n, tree.f.ignore]}
        if isinstance(tree, Check) and isinstance(tree.f, AreProbabilities):
            return {"probabilities": tree.f.name}
        if isinstance(tree, Check):
            raise TypeError(
                f"save: the graph checks values by a Python function at each run ({tree!r}), which is no data; only checks "
                "that integers are in a range, or numbers probabilities, can be saved"
            )
        if tree is None or type(tree) in (bool, int, float, complex, str):
            return tree
        raise TypeError(f"save: {op} takes a {type(tree).__qualname__}, which a file of a graph cannot hold")

    return {
        "op": op,
        "args": [described(a) for a in instruction.args],
        "kwargs": [[name, described(a)] for name, a in instruction.kwargs],
        "outputs": [_about(v) for v in instruction.outputs],
        "several": instruction.several,
    }


# -- reading ------------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str], device: str | Device | None = None) -> Graph:
    """Read a graph that :meth:`Graph.save` wrote.

    Args:
        path: of the file.
        device: another device of the library that the graph was traced for; the one it was traced for unless told.

    Returns:
        The graph. Tensors that the traced function had reached are tensors of its own now
        (:attr:`Graph.closed_over`), with the values they had when it was saved; ``graph.with_(closed_over={})`` makes them
        inputs like the others, behind them in order.

    Raises:
        FileNotFoundError: if there is none.
        StateError: if the file is damaged, or holds no graph, or one that makes no sense: an unknown op, a value that nothing
            made, shapes or dtypes that do not follow. Nothing of it was run then.

    >>> import os, tempfile
    >>> import polygrad as pg
    >>> graph = pg.trace(lambda x: pg.sum(x * x), pg.Spec(3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "graph.safetensors")
    ...     graph.save(path)
    ...     pg.graph.load(path)(pg.asarray([1.0, 2.0, 3.0]))
    tensor(14., dtype=float64)
    """
    place: Any = (lambda name, was: was) if device is None else str(device)
    tree = _io().load(path, device=place)
    reader = _Reader(os.fspath(path))
    try:
        return reader.graph(tree, device)
    except RecursionError:
        raise reader.fault("its arguments are nested too deeply") from None


class _Reader:
    """Makes a graph of what a file says, believing none of it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.known: dict[int, Value] = {}
        self.device: Device
        self.infer: Inference
        self.names: dict[Value, str] = {}

    def fault(self, what: str) -> StateError:
        return StateError(f"{self.path} holds no graph that makes sense: {what}; nothing of it was run")

    def _need(self, thing: Any, kind: Any, what: str) -> Any:
        """A thing, if it is of the type that is wanted (bool is no int here)."""
        if type(thing) is not kind:
            raise self.fault(f"{what} is a {type(thing).__name__}, not a {kind.__name__}")
        return thing

    def _items(self, thing: Any, n: int, what: str) -> list[Any]:
        if len(self._need(thing, list, what)) != n:
            raise self.fault(f"{what} has {len(thing)} items, not {n}")
        return thing  # type: ignore[no-any-return]

    def graph(self, tree: Any, device: str | Device | None) -> Graph:
        """The whole."""
        if not isinstance(tree, dict) or "polygrad graph" not in tree:
            raise StateError(f"{self.path} holds no graph; pg.load reads other state")
        if tree["polygrad graph"] != _VERSION:
            raise self.fault(f"it is of version {tree['polygrad graph']!r}, this reads {_VERSION}")
        if tuple(sorted(tree)) != _KEYS:
            raise self.fault(f"it has {', '.join(sorted(map(str, tree)))}, not {', '.join(_KEYS)}")
        self._place(self._need(tree["device"], str, "the device"), device)
        inputs = []
        for item in self._need(tree["inputs"], list, "inputs"):
            number, dtype, shape, name = self._items(item, 4, "an input")
            inputs.append(self._value([number, dtype, shape], name, number_too=True))
        reached = self._reached(self._need(tree["reached"], list, "reached"), inputs)
        constants = {}
        for item in self._need(tree["constants"], list, "constants"):
            number, dtype, shape, name, tensor = self._items(item, 5, "a constant")
            v = self._value([number, dtype, shape], name)
            constants[v] = self._array(tensor, v, "constant")._value
        instructions = [self._instruction(i) for i in self._need(tree["instructions"], list, "instructions")]
        outputs = [None if n is None else self._known(n) for n in self._need(tree["outputs"], list, "outputs")]
        if any(v is not None and v.dtype is None for v in outputs):
            raise self.fault("it returns a Python number")
        structure = self._tree(tree["structure"], len(outputs))
        graph = Graph(
            tuple(inputs),
            constants,
            tuple(instructions),
            tuple(outputs),
            self.device.name,
            self.names,
            reached,
            structure,
        )
        self._applies(graph)
        return graph

    def _applies(self, graph: Graph) -> None:
        """Check that the graph can be applied to Tensors, as it is where a derivative is wanted."""
        trace = Trace(self.device)
        with tracing(trace):
            try:
                replayed(graph, (), trace)
            except NoRuleError:
                pass
            except Exception as error:  # whatever an op says of arguments that do not fit
                raise self.fault(f"it cannot be applied to tensors ({type(error).__name__}: {error})") from None

    def _place(self, saved: str, wanted: str | Device | None) -> None:
        try:
            self.device = registry.device(saved if wanted is None else wanted)
        except Exception as error:
            raise self.fault(f"it is for the device {saved!r}: {error}") from error
        if wanted is not None:
            library = saved.partition(":")[0]
            own = self.device.name.partition(":")[0]
            hosts = {"cpu": "numpy", "cuda": "cupy"}
            if hosts.get(library, library) != self.device.backend.name:
                raise StateError(
                    f"{self.path} holds a graph for {saved}, which cannot run on {self.device} ({own} is another library): "
                    "trace the function there"
                )
        self.infer = Inference(self.device)

    # -- values --------------------------------------------------------------------------------------

    def _value(self, about: Any, name: Any = "", number_too: bool = False) -> Value:
        number, dtype, shape = self._items(about, 3, "a value")
        what = f"value {number!r}"
        if self._need(number, int, "a value's number") < 0 or number in self.known:
            raise self.fault(f"{what} is made twice" if number in self.known else f"{what} is negative")
        lengths = self._need(shape, list, f"the shape of {what}")
        if len(lengths) > 64 or any(type(n) is not int or n < 0 for n in lengths):
            raise self.fault(f"{what} has the shape {shape}")
        if dtype is None and not (number_too and not lengths):
            raise self.fault(f"{what} is a Python number, which only inputs and arithmetic on them are")
        if dtype is not None and (type(dtype) is not str or not self.device.backend.has_dtype(dtype)):
            raise self.fault(f"{what} has the dtype {dtype!r}, which {self.device} has not")
        made = Value(number, tuple(lengths), None if dtype is None else BY_NAME[dtype])
        if made.nbytes > _LARGEST:
            raise self.fault(f"{what} would take {made.nbytes} bytes")
        if self._need(name, str, f"the name of {what}"):
            self.names[made] = name
        self.known[number] = made
        return made

    def _known(self, number: Any) -> Value:
        if type(number) is not int or number not in self.known:
            raise self.fault(f"value {number!r} is used before anything makes it")
        return self.known[number]

    def _array(self, tensor: Any, v: Value, what: str) -> Any:
        if not isinstance(tensor, Cell):
            raise self.fault(f"{what} {v!r} is a {type(tensor).__name__}, not a tensor")
        x = asarray(tensor)
        if x._device is not self.device:
            x = x.to_device(self.device)
        if tuple(x._value.shape) != v.shape or x.dtype is not v.dtype:
            raise self.fault(f"{what} {v!r} is {x.dtype}{list(x.shape)}, but declared {v.type}")
        return x

    def _reached(self, items: list[Any], inputs: list[Value]) -> dict[Value, Any]:
        made: dict[Value, Any] = {}
        for item in items:
            number, requires_grad, tensor = self._items(item, 3, "a tensor that was reached")
            v = self._known(number)
            if v not in inputs or v in made:
                raise self.fault(f"value {number} was reached twice, or is no input")
            x = self._array(tensor, v, "the tensor that was reached for")
            if self._need(requires_grad, bool, f"whether value {number} requires grad"):
                if not x.dtype.inexact:
                    raise self.fault(f"value {number} is of {x.dtype} and requires grad")
                x.requires_grad_()
            made[v] = x
        return made

    def _tree(self, structure: Any, n: int) -> Any:
        if structure is None:
            return None
        (tree,) = self._items(structure, 1, "the structure")
        try:
            _plain(tree)
        except TypeError as error:
            raise self.fault(f"its structure: {error}") from error
        leaves, made = optree.tree_flatten(tree)
        if leaves != list(range(n)):
            raise self.fault(f"its structure is of the outputs {leaves}, but there are {n}")
        return made

    # -- instructions ----------------------------------------------------------------------------------

    def _instruction(self, item: Any) -> Instruction:
        keys = ("args", "kwargs", "op", "outputs", "several")
        if tuple(sorted(self._need(item, dict, "an instruction"))) != keys:
            raise self.fault(f"an instruction has {', '.join(sorted(map(str, item)))}, not {', '.join(keys)}")
        op = self._need(item["op"], str, "an op")
        several = self._need(item["several"], bool, f"{op}: several")
        args = tuple([self._argument(a, op) for a in self._need(item["args"], list, f"the arguments of {op}")])
        kwargs = {}
        for pair in self._need(item["kwargs"], list, f"the keyword arguments of {op}"):
            name, a = self._items(pair, 2, f"a keyword argument of {op}")
            if type(name) is not str or not _KEYWORD.fullmatch(name) or name in _WRITING or name in kwargs:
                raise self.fault(f"{op} has the keyword argument {name!r}")
            kwargs[name] = self._argument(a, op)
        outputs = self._need(item["outputs"], list, f"the outputs of {op}")
        if op == "check":
            return self._check(args, kwargs, outputs, several)
        number = op in OPERATORS and _only_numbers(args)
        made = tuple([self._value(o, number_too=number) for o in outputs])
        instruction = Instruction(op, args, tuple(kwargs.items()), made, several)
        if any(isinstance(a, Check) for a in (*args, *kwargs.values())):
            raise self.fault(f"{op} takes a check")
        self._follows(instruction, number)
        return instruction

    def _check(self, args: Any, kwargs: Any, outputs: list[Any], several: bool) -> Instruction:
        fits = (
            len(args) == 2 and isinstance(args[0], Check) and args[1].__class__ is Value and args[1].dtype is not None
        )
        if not fits or kwargs or outputs or several:
            raise self.fault("a check is of one value, by a range, and makes nothing")
        kinds, of = ("iu", "integers") if isinstance(args[0].f, InRange) else ("f", "probabilities")
        if args[1].dtype.kind not in kinds:
            raise self.fault(f"a check of {of} is made of {args[1].type}")
        return Instruction("check", args, (), (), effect=True)

    def _follows(self, instruction: Instruction, number: bool) -> None:
        """Refuse an instruction that does not make what it says."""
        op, made = instruction.op, instruction.outputs
        f = self._function(op)
        said = [(v.shape, v.dtype) for v in made]
        size = _size(op, instruction.args)
        if size is not None and [size] != [v.size for v in made]:  # before a file has us make it
            raise self.fault(f"{op} makes {size} elements, but {_types(said)} is declared")
        if number:
            found: Any = [((), None)]
        else:
            try:
                name = op.removeprefix("xp.")
                infer = self.infer.asked if name in REDUCTIONS else self.infer  # the rule takes any axis
                answer = infer(name, f, instruction.args, dict(instruction.kwargs))
                pairs = answer if isinstance(answer, list) else [answer]
                found = [(shape, self.device.backend.to_dtype(native)) for shape, native in pairs]
                if isinstance(answer, list) is not instruction.several:
                    raise self.fault(f"{op} makes {'several arrays' if isinstance(answer, list) else 'one array'}")
            except StateError:
                raise
            except Exception as error:  # whatever a library says of arguments that do not fit
                raise self.fault(f"{op} cannot be called so ({type(error).__name__}: {error})") from error
        if found != said:
            raise self.fault(f"{op} makes {_types(found)}, but {_types(said)} is declared")

    def _function(self, op: str) -> Callable[..., Any]:
        name = op.removeprefix("xp.")
        if not _NAME.fullmatch(op) or not (name in OPERATORS or name in _functions(self.device)):
            raise self.fault(f"there is no op {op[:80]!r} for {self.device}")
        try:
            f = resolve(self.device.raw, op)
        except Exception as error:
            raise self.fault(f"there is no op {op!r} for {self.device} here ({error})") from error
        if not callable(f) or isinstance(f, type):
            raise self.fault(f"{op} is no function of {self.device}")
        return f

    def _argument(self, a: Any, op: str) -> Any:
        if a is None or type(a) in (bool, int, float, complex, str):
            return a
        if type(a) is dict and len(a) <= 2:
            match a:
                case {"value": number}:
                    return self._known(number)
                case {"tuple": list(items)}:
                    return tuple([self._argument(item, op) for item in items])
                case {"list": list(items)}:
                    return [self._argument(item, op) for item in items]
                case {"slice": [start, stop, step]}:
                    return slice(*[self._argument(part, op) for part in (start, stop, step)])
                case {"ellipsis": True}:
                    return Ellipsis
                case {"dtype": str(name), "native": bool(native)} if name in BY_NAME:
                    if not self.device.backend.has_dtype(name):
                        raise self.fault(f"{op} takes the dtype {name}, which {self.device} has not")
                    return self.device.backend.to_native_dtype(name) if native else BY_NAME[name]
                case {"in range": [str(name), int(n), None | int() as ignore]}:
                    return Check(InRange(name, n, ignore), self.device)
                case {"probabilities": str(name)}:
                    return Check(AreProbabilities(name), self.device)
        raise self.fault(f"{op} takes an argument of no known kind: {str(a)[:80]}")


def _only_numbers(args: Any) -> bool:
    values: list[Value] = []
    substituted(args, values.append)
    return bool(values) and all(v.dtype is None for v in values)


def _size(op: str, args: tuple[Any, ...]) -> int | None:
    """How many elements an op makes whose size is a number among its arguments, if it can be told."""
    match op, args:
        case (("zeros" | "ones" | "empty" | "full"), (tuple(shape), *_)) if all(type(n) is int for n in shape):
            return math.prod(shape)
        case "eye", (int(n), int(m), *_):
            return n * m
        case "arange", (int(start), int(stop), int(step)) if step:
            return len(range(start, stop, step))
        case "linspace", (_, _, int(n), *_):
            return n
        case (("repeat" | "tile"), (Value() as x, int(n), *_)):
            return x.size * n
        case "tile", (Value() as x, tuple(times), *_) if all(type(n) is int for n in times):
            return x.size * math.prod(times)
    return None


def _types(pairs: list[tuple[Any, Any]]) -> str:
    return ", ".join("a number" if dtype is None else f"{dtype}{list(shape)}" for shape, dtype in pairs) or "nothing"


def _functions(device: Device) -> frozenset[str]:
    """The names that instructions for a device may have, besides Python's operators."""
    names = set(array_api.FUNCTIONS)
    for space in SPACES:
        public = importlib.import_module(f"polygrad.{space}")  # which declares the space's kernels, too
        names.update(f"{space}.{name}" for name in public.__all__)
    importlib.import_module("polygrad.neural")
    return frozenset(names | set(GENERIC) | set(device.backend.kernels))
