"""Parameters that are functions of others, computed whenever they are asked for, as in ``torch.nn.utils.parametrize``.

A parametrized module gets a class of its own whose attribute computes the parameter; what it is computed from is below
``parametrizations.<name>``, under the names ``original`` or ``original0``, ``original1``, as in PyTorch's state dicts.
"""

from __future__ import annotations

from typing import Any

import polygrad as pg

from ..module import Module
from ..parameter import Parameter

__all__ = ["ParametrizationList", "is_parametrized", "register_parametrization", "remove_parametrizations"]


class ParametrizationList(Module):
    """What one parameter is computed from, and by which module (``"0"``)."""

    def __init__(self, parametrization: Module, weight: Parameter) -> None:
        right_inverse = getattr(parametrization, "right_inverse", None)
        with pg.no_grad():
            made = weight if right_inverse is None else right_inverse(weight)
        self.parts: list[str] = []
        if isinstance(made, tuple):
            for i, part in enumerate(made):
                self.parts.append(f"original{i}")
                self.register_parameter(self.parts[-1], Parameter(part, weight.requires_grad))
        else:
            self.parts.append("original")
            own = made if isinstance(made, Parameter) else Parameter(made, weight.requires_grad)
            self.register_parameter("original", own)
        self.add_module("0", parametrization)

    def forward(self) -> pg.Tensor:
        """The parameter."""
        own = self._modules["0"]
        assert own is not None
        return own(*[self._parameters[name] for name in self.parts])  # type: ignore[no-any-return]


class _Holder(Module):
    """The parametrizations of a module, by the parameter's name."""


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrized parameters, or this one."""
    held = module._modules.get("parametrizations")
    return held is not None and (tensor_name is None or tensor_name in held._modules)


def register_parametrization(module: Module, tensor_name: str, parametrization: Module) -> Module:
    """Compute a parameter by ``parametrization(original)`` from now on; returns the module.

    If the parametrization has a method ``right_inverse``, it makes the originals (one or several) of the parameter.

    Raises:
        ValueError: if the module has no such parameter, or it is parametrized already.

    >>> import polygrad as pg
    >>> class Positive(pg.nn.Module):
    ...     def forward(self, x):
    ...         return pg.exp(x)
    ...     def right_inverse(self, w):
    ...         return pg.log(pg.abs(w))
    >>> layer = pg.nn.utils.parametrize.register_parametrization(pg.nn.Linear(2, 1), "weight", Positive())
    >>> bool(pg.all(layer.weight > 0)), list(layer.state_dict())
    (True, ['bias', 'parametrizations.weight.original'])
    """
    weight = module._parameters.get(tensor_name)
    if weight is None:
        raise ValueError(
            f"{type(module).__qualname__} has no parameter {tensor_name!r} to parametrize; it has "
            + (", ".join(repr(n) for n, p in module._parameters.items() if p is not None) or "none")
        )
    made = ParametrizationList(parametrization, weight).train(module.training)
    if "parametrizations" not in module._modules:
        module.add_module("parametrizations", _Holder())
        own = type(module)
        name = f"Parametrized{own.__qualname__}"
        module.__class__ = type(name, (own,), {"__doc__": own.__doc__, "__module__": own.__module__, "_plain": own})
    held = module._modules["parametrizations"]
    assert held is not None
    del module._parameters[tensor_name]
    held.add_module(tensor_name, made)

    def value(self: Module) -> Any:
        return self.parametrizations._modules[tensor_name]()

    setattr(type(module), tensor_name, property(value))
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make the parameter an ordinary one again; returns the module.

    Args:
        module: a parametrized one.
        tensor_name: of the parameter.
        leave_parametrized: whether it keeps its computed value; else it is the original, of which there must be one only.

    Raises:
        ValueError: if it is not parametrized.
    """
    held = module._modules.get("parametrizations")
    made = None if held is None else held._modules.get(tensor_name)
    if held is None or not isinstance(made, ParametrizationList):
        raise ValueError(f"{type(module).__qualname__} has no parametrized parameter {tensor_name!r}")
    if not leave_parametrized and len(made.parts) > 1:
        raise ValueError(
            f"{tensor_name!r} is computed from {len(made.parts)} tensors, none of which can take its place; leave it "
            "parametrized"
        )
    first = made._parameters[made.parts[0]]
    assert first is not None
    if leave_parametrized:
        with pg.no_grad():
            first = Parameter(made(), first.requires_grad)
    delattr(type(module), tensor_name)
    del held._modules[tensor_name]
    if not held._modules:
        del module._modules["parametrizations"]
        module.__class__ = type(module)._plain  # type: ignore[attr-defined]
    module.register_parameter(tensor_name, first)
    return module
