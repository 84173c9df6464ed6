"""The base of all optimisers: groups of parameters with their options, and state for each parameter."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, Set
from typing import Any, ClassVar, TypeAlias

import polygrad as pg

__all__ = ["Group", "Optimizer", "Parameters", "State", "at_least_zero", "decayed", "fractions", "is_traced"]

Group: TypeAlias = dict[str, Any]
"""``"params"``, a list of tensors, and the options that apply to them."""

State: TypeAlias = dict[str, Any]
"""What an optimiser remembers of one parameter: tensors like it, and numbers."""

SCHEDULED = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
"""What schedulers note in a group beside its options."""

SWITCHES = ("foreach", "capturable", "differentiable", "fused")
"""Which of PyTorch's implementations runs, as its state dicts say: taken over and saved again, but there is one here."""

Parameters: TypeAlias = "Iterable[pg.Tensor] | Iterable[Group] | Iterable[tuple[str, pg.Tensor]]"
"""Tensors, or groups of them with options of their own, or pairs of a name and a tensor."""


_Save: TypeAlias = "tuple[Callable[[], Any], Callable[[Any], Any]]"


def _refuse_set(params: Any) -> None:
    """Refuse what has no order: states are saved by the parameters' places."""
    if isinstance(params, Set) and not isinstance(params, KeysView):
        raise TypeError(
            f"params: got a {type(params).__qualname__}, whose order differs from run to run, but saved states go by the "
            "parameters' places; give a list"
        )


class Optimizer:
    """Changes parameters in place by their gradients; a subclass writes :meth:`update`.

    Args:
        params: leaf tensors that require grad, or dicts of them (``"params"``) with options that go before
            the defaults, or pairs as from ``named_parameters()``.
        defaults: the options of groups that do not say their own.

    Attributes:
        param_groups: the groups; change ``group["lr"]`` between steps at will.
        state: what is remembered of each parameter, filled at its first step.
        steps: how many steps were taken with this object.

    Raises:
        ValueError: no parameters, one given twice, or one that is no leaf.
        TypeError: a parameter that is no Tensor; a set of them, which has no order.
    """

    def __init__(self, params: Parameters, defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self.state: dict[pg.Tensor, State] = {}
        self.steps = 0
        if isinstance(params, pg.Tensor):
            raise TypeError("params must be several tensors: give [tensor]")
        _refuse_set(params)
        entries: list[Any] = list(params)
        if not entries:
            raise ValueError("an optimiser needs at least one parameter, got none")
        for group in entries if isinstance(entries[0], dict) else [{"params": entries}]:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group of parameters, with options of its own where it names them."""
        members = group["params"]
        _refuse_set(members)
        entries = [members] if isinstance(members, pg.Tensor) else list(members)
        params = [entry[1] if isinstance(entry, tuple) else entry for entry in entries]
        unknown = [key for key in group if key not in self.defaults and key not in ("params", *SCHEDULED, *SWITCHES)]
        if unknown:
            raise TypeError(
                f"{type(self).__qualname__} has no option {', '.join(unknown)}; it has {list(self.defaults)}"
            )
        seen = {id(p) for other in self.param_groups for p in other["params"]}
        for p in params:
            if not isinstance(p, pg.Tensor):
                raise TypeError(f"a parameter must be a Tensor, not {type(p).__qualname__}")
            if not p.is_leaf:
                raise ValueError(f"a parameter must be a leaf, but an op made this one (shape {p.shape}, {p.grad_fn})")
            if id(p) in seen:
                raise ValueError(f"a parameter of shape {p.shape} was given twice")
            seen.add(id(p))
        made = {**self.defaults, **group, "params": params}
        self.check(made)
        self.param_groups.append(made)

    def check(self, group: Group) -> None:
        """Refuse options that make no sense; subclasses raise ValueError here."""

    # -- a step ------------------------------------------------------------------------------------

    # A step is three functions, so that a compiled one can take the numbers anew at each call (the rate that a
    # schedule changed, the corrections that go with the count) while the tensors' part stays one graph.

    parts: ClassVar[bool] = True
    """Whether complex parameters are treated as pairs of real ones: the update sees a real tensor of shape
    (2, ...), the gradient and the state likewise."""

    def start(self, g: pg.Tensor, group: Group) -> State:
        """What is remembered of a parameter before its first step; ``g`` is its first gradient."""
        return {"step": 0}

    def numbers(self, state: State, group: Group) -> tuple[float, ...]:
        """Advance the counts in a parameter's state, and say what the update needs of them and of the options, as
        Python numbers. No tensors are touched here."""
        state["step"] += 1
        return (group["lr"],)

    def update(self, p: pg.Tensor, g: pg.Tensor, state: State, group: Group, numbers: Any) -> None:
        """Change one parameter in place.

        Args:
            p: the parameter.
            g: its gradient; not to be changed.
            state: what is remembered of this parameter; its tensors are replaced, its numbers left alone.
            group: the options; of the numeric ones only whether they are zero is looked at.
            numbers: as :meth:`numbers` gave them.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no update method")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; no graph is recorded.

        Args:
            closure: computes the loss anew and calls backward; its result is returned.
        """
        result = None
        if closure is not None:
            with pg.enable_grad():
                result = closure()
        lazy: list[pg.Tensor] = []
        trace = _trace()
        if trace is not None and not trace.reached(self):
            raise pg.errors.TraceError(
                f"{type(self).__qualname__}.step was called in a traced function that does not hold the optimiser where it "
                "could be looked at before each run; make it a global, a closure's variable, an attribute or an argument"
            )
        if trace is not None:
            trace.stepped.append(self)
        _each_time(self._count, changes=self._steps_taken)
        with pg.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    g = p.grad
                    if g is None:
                        continue
                    self._step_one(p, -g if group.get("maximize") else g, group)
                    if p.device.backend.lazy and p.device.backend.stands_for is None:
                        lazy += [p, *(v for v in self.state[p].values() if isinstance(v, pg.Tensor))]
        if lazy:
            pg.compute(*lazy)
        return result

    def _step_one(self, p: pg.Tensor, g: pg.Tensor, group: Group) -> None:
        if p.dtype.kind == "c" and self.parts:
            g = pg.stack([pg.real(g), pg.imag(g)])
            pair = pg.stack([pg.real(p), pg.imag(p)])
        else:
            pair = p
        state = self.state.get(p)
        if state is None:
            if _trace() is not None:
                raise pg.errors.UnreadyError(
                    f"{type(self).__qualname__} takes its first step with a parameter of shape {p.shape} while a function is "
                    "traced; its state is made at a step that is not"
                )
            state = self.state[p] = self.start(g, group)
        numbers = _each_time(self.numbers, state, group, changes=functools.partial(self._counts_of, state))
        self.update(pair, g, state, group, numbers)
        if pair is not p:
            p[...] = pg.astype(pair[0], p.dtype) + pg.astype(pair[1], p.dtype) * 1j

    def _count(self) -> None:
        self.steps += 1

    def _steps_taken(self) -> _Save:
        return functools.partial(getattr, self, "steps"), functools.partial(setattr, self, "steps")

    def _counts_of(self, state: State) -> _Save:
        """What reads and writes the numbers in a parameter's state."""
        counts = [k for k, v in state.items() if isinstance(v, (int, float))]
        if counts == ["step"]:
            return functools.partial(operator.itemgetter("step"), state), functools.partial(state.__setitem__, "step")
        return lambda: {k: state[k] for k in counts}, state.update

    def __surroundings__(self, stepped: bool) -> Iterator[tuple[str, Any, Any, Any, bool]]:
        """The places that a compiled function reads here (``polygrad.graph.guards``).

        Numbers are read at each run, so only whether they are zero is fixed; the state's tensors are taken from their
        places.

        Args:
            stepped: whether the function takes a step, which reads the state and the options.
        """
        yield "own attribute", self, "param_groups", self.param_groups, False
        yield "length", self.param_groups, None, len(self.param_groups), False
        for i, group in enumerate(self.param_groups):
            yield "own item", self.param_groups, i, group, False
            yield "item", group, "params", group["params"], False
        if not stepped:
            return
        yield "own attribute", self, "state", self.state, False
        if any(p not in self.state for group in self.param_groups for p in group["params"]):
            yield "unready", self, None, None, False
        for group in self.param_groups:
            yield "length", group, None, len(group), False
            for key, value in group.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    yield "truth", group, key, bool(value), False
                elif key not in SCHEDULED:
                    yield "item", group, key, value, False
        yield "length", self.state, None, len(self.state), False
        for p, state in self.state.items():
            yield "own item", self.state, p, state, False
            yield "length", state, None, len(state), False
            for key, value in state.items():
                number = isinstance(value, (int, float)) and not isinstance(value, bool)
                yield "item", state, key, value, number

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = pg.zeros_like(p.grad)

    # -- state -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The groups' options and each parameter's state, parameters by number; the tensors are copies."""
        params = self._params()
        numbers = {id(p): i for i, p in enumerate(params)}
        groups = [
            {
                **{k: v for k, v in group.items() if k != "params"},
                "params": [numbers[id(p)] for p in group["params"]],
            }
            for group in self.param_groups
        ]
        state = {i: {k: _copied(v) for k, v in self.state[p].items()} for i, p in enumerate(params) if p in self.state}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state dict of an optimiser of the same kind over parameters of the same shapes, PyTorch's too;
        tensors are cast to their parameter's dtype and moved to its device.

        Raises:
            StateError: listing every difference; nothing is loaded then.
        """
        absent = [key for key in ("state", "param_groups") if key not in state]
        if absent:
            raise pg.errors.StateError(f"this is no optimiser's state dict: it has no {' and no '.join(absent)}")
        params = self._params()
        given, entries = list(state["param_groups"]), dict(state["state"])
        faults = []
        if [len(g["params"]) for g in given] != [len(g["params"]) for g in self.param_groups]:
            sizes = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in given]
            faults.append(f"the groups have {sizes[0]} parameters here, {sizes[1]} in the state dict")
        for i, group in enumerate(given):
            wrong = sorted((set(group) ^ set(self.defaults)) - {"params", "param_names", *SCHEDULED, *SWITCHES})
            if wrong:
                faults.append(f"group {i}: options only here or only there: {', '.join(wrong)}")
        order = [n for group in given for n in group["params"]]
        target = dict(zip(order, params))
        unknown = [n for n in entries if n not in target]
        if unknown and not faults:
            faults.append(f"state of unknown parameters: {', '.join(map(str, unknown))}")
        for n, p in target.items():
            faults.extend(self._misfits(n, p, entries.get(n, {})))
        if faults:
            head = f"the state dict does not fit this {type(self).__qualname__}; nothing was loaded"
            raise pg.errors.StateError("\n  ".join([head, *faults]))
        made = {
            target[n]: {k: _number(k, v) if k in self.counts else _like(target[n], v) for k, v in entry.items()}
            for n, entry in entries.items()
        }
        self.state = made
        for group, source in zip(self.param_groups, given, strict=True):
            kept = {"params": group["params"], **{k: v for k, v in source.items() if k != "params"}}
            group.clear()
            group.update(kept)

    counts: ClassVar[tuple[str, ...]] = ("step", "mu_product")
    """What of a parameter's state is a Python number; PyTorch has tensors of one number there."""

    def state_shape(self, p: pg.Tensor, key: str) -> tuple[int, ...]:
        """The shape of a tensor that is remembered of a parameter."""
        return (2, *p.shape) if p.dtype.kind == "c" and self.parts else p.shape

    def _misfits(self, n: Any, p: pg.Tensor, entry: Mapping[str, Any]) -> list[str]:
        return [
            f"parameter {n}: {key} has shape {tuple(v.shape)}, here it is {self.state_shape(p, key)}"
            for key, v in entry.items()
            if hasattr(v, "shape") and tuple(v.shape) != (() if key in self.counts else self.state_shape(p, key))
        ]

    def _params(self) -> list[pg.Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = [f"{type(self).__qualname__}("]
        for i, group in enumerate(self.param_groups):
            options = ", ".join(f"{k}={v!r}" for k, v in group.items() if k != "params")
            lines.append(f"  group {i}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])


def _each_time(f: Callable[..., Any], *args: Any, changes: Callable[[], _Save]) -> Any:
    """Call a function, in a compiled step before each run.

    Args:
        changes: returns what reads and what writes the state that the call changes.
    """
    trace = _trace()
    return f(*args) if trace is None else trace.host(f, args, changes(), True)


def _trace() -> Any:
    """The trace that is running, or None."""
    graph = sys.modules.get("polygrad.graph.tracing")  # what is not imported traces nothing
    return None if graph is None else graph.running()


def is_traced() -> bool:
    """Whether a function is being traced."""
    return _trace() is not None


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(v) for v in value]
    return pg.asarray(value, copy=True) if isinstance(value, pg.Tensor) else value


def _number(key: str, value: Any) -> float:
    """A number of a state, which may be a tensor of one."""
    number = value.item() if hasattr(value, "item") else value
    return int(number) if key in ("step", "func_evals", "n_iter") else float(number)


def _like(p: pg.Tensor, value: Any) -> Any:
    """A remembered value for a parameter: its own copy, where the parameter is; the real dtype of a complex
    one's parts."""
    if isinstance(value, list):
        return [_like(p, v) for v in value]
    if not hasattr(value, "shape"):
        return value
    x = pg.asarray(value, copy=True)
    dtype = p.dtype
    if dtype.kind == "c" and x.dtype.kind != "c":
        dtype = pg.finfo(dtype).dtype
    return pg.asarray(x, dtype=dtype, device=p.device)


def at_least_zero(kind: str, group: Group, *names: str) -> None:
    """Refuse negative options."""
    for name in names:
        if group[name] < 0:
            raise ValueError(f"{kind}: {name} must be >= 0, got {group[name]}")


def fractions(kind: str, group: Group, name: str = "betas") -> None:
    """Refuse averages whose share of the past is not in ``0 <= beta < 1``."""
    value = group[name]
    if not all(0 <= beta < 1 for beta in (value if isinstance(value, tuple | list) else [value])):
        raise ValueError(f"{kind}: {name} must be in 0 <= {name.rstrip('s')} < 1, got {value}")


def decayed(p: pg.Tensor, g: pg.Tensor, group: Group, weight_decay: float) -> pg.Tensor:
    """The gradient with the coupled weight decay added, the slope of ``weight_decay / 2 * sum(p ** 2)``."""
    return g + p * weight_decay if group["weight_decay"] else g
