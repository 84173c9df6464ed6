"""Modules and parameters by name, and parameters in a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polygrad as pg

from .module import Module
from .parameter import Parameter

__all__ = ["ModuleDict", "ParameterDict", "ParameterList"]


class ModuleDict(Module):
    """A dict of modules, found by whoever looks for parameters.

    Args:
        modules: the modules by name, or pairs.

    >>> import polygrad as pg
    >>> heads = pg.nn.ModuleDict({"a": pg.nn.Linear(2, 1), "b": pg.nn.Linear(2, 3)})
    >>> list(heads), heads["b"](pg.ones(2)).shape
    (['a', 'b'], (3,))
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        self.update(modules or ())

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace several modules."""
        for name, module in modules.items() if isinstance(modules, Mapping) else modules:
            self[name] = module

    def _claim(self, name: str, own: Mapping[str, Any]) -> None:
        # Modules are reached by key here, so that a method's name ("keys", "train") is as good as any other.
        if not name or "." in name:
            super()._claim(name, own)

    def __getitem__(self, name: str) -> Module:
        found = self._modules.get(name)
        if found is None:
            raise KeyError(f"{name!r}: this ModuleDict has {list(self._modules)}")
        return found

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return (module for module in self._modules.values() if module is not None)

    def items(self) -> Iterable[tuple[str, Module]]:
        """The names with the modules."""
        return ((name, module) for name, module in self._modules.items() if module is not None)

    def pop(self, key: str) -> Module:
        """Take a module out; returns it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()


class _Parameters(Module):
    def _put(self, name: str, value: Any) -> None:
        if not isinstance(value, Parameter):
            value = Parameter(value)
        self._parameters[name] = value

    def extra_repr(self) -> str:
        return ", ".join(f"{k}: {p.dtype} {p.shape}" for k, p in self._parameters.items() if p is not None)

    def __len__(self) -> int:
        return len(self._parameters)


class ParameterList(_Parameters):
    """A list of parameters, found by whoever looks for them; Tensors and arrays become parameters.

    >>> import polygrad as pg
    >>> weights = pg.nn.ParameterList([pg.ones(2), pg.zeros(3)])
    >>> [name for name, _ in weights.named_parameters()], weights[-1].shape
    (['0', '1'], (3,))
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        self.extend(() if values is None else values)

    def append(self, value: Any) -> ParameterList:
        """Add a parameter at the end; returns itself."""
        self._put(str(len(self)), value)
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add several parameters at the end; returns itself."""
        for value in values:
            self.append(value)
        return self

    def _name(self, i: int) -> str:
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"this ParameterList has {n} parameters, and none of number {i}")
        return str(i % n)

    def __getitem__(self, i: int) -> pg.Tensor:
        found = self._parameters[self._name(i)]
        assert found is not None
        return found

    def __setitem__(self, i: int, value: Any) -> None:
        self._put(self._name(i), value)

    def __iter__(self) -> Iterator[pg.Tensor]:
        return (p for p in self._parameters.values() if p is not None)


class ParameterDict(_Parameters):
    """A dict of parameters, found by whoever looks for them; Tensors and arrays become parameters.

    >>> import polygrad as pg
    >>> gains = pg.nn.ParameterDict({"left": pg.ones(2), "right": pg.ones(1)})
    >>> list(gains), gains["right"].shape
    (['left', 'right'], (1,))
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        self.update(parameters or ())

    def update(self, parameters: Mapping[str, Any] | ParameterDict | Iterable[tuple[str, Any]]) -> None:
        """Add or replace several parameters."""
        pairs = parameters.items() if isinstance(parameters, (Mapping, ParameterDict)) else parameters
        for name, value in pairs:
            self[name] = value

    def __getitem__(self, name: str) -> pg.Tensor:
        found = self._parameters.get(name)
        if found is None:
            raise KeyError(f"{name!r}: this ParameterDict has {list(self._parameters)}")
        return found

    def __setitem__(self, name: str, value: Any) -> None:
        if not name or "." in name:
            raise ValueError(f"a name within a module must be non-empty and without dots, got {name!r}")
        self._put(name, value)

    def __delitem__(self, name: str) -> None:
        del self._parameters[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Iterable[pg.Tensor]:
        """The parameters."""
        return (p for p in self._parameters.values() if p is not None)

    def items(self) -> Iterable[tuple[str, pg.Tensor]]:
        """The names with the parameters."""
        return ((name, p) for name, p in self._parameters.items() if p is not None)

    def get(self, key: str, default: Any = None) -> Any:
        """A parameter by name, or the default."""
        return self._parameters.get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """A parameter by name; the default is put there first if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> pg.Tensor:
        """Take a parameter out; returns it."""
        found = self[key]
        del self[key]
        return found

    def popitem(self) -> tuple[str, pg.Tensor]:
        """Take the last parameter out; returns its name and itself."""
        key = list(self._parameters)[-1] if len(self) else ""
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all parameters out."""
        self._parameters.clear()

    def copy(self) -> ParameterDict:
        """Another dict of the same parameters."""
        return ParameterDict(dict(self.items()))

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dict that has the default under each name."""
        return ParameterDict(dict.fromkeys(keys, default))
