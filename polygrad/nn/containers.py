"""Modules that hold modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from .module import Module

__all__ = ["ModuleList", "Sequential"]


class _Ordered(Module):
    """Modules in a row, by number."""

    def _index(self, i: int) -> str:
        n = len(self._modules)
        if not -n <= i < n:
            raise IndexError(f"{type(self).__qualname__} of {n} modules has no module {i}")
        return list(self._modules)[i % n]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.children())

    @overload
    def __getitem__(self, i: int) -> Module: ...
    @overload
    def __getitem__(self, i: slice) -> _Ordered: ...
    def __getitem__(self, i: int | slice) -> Module:
        if isinstance(i, slice):
            return type(self)._of(list(self._modules.items())[i])
        found = self._modules[self._index(i)]
        assert found is not None
        return found

    def __setitem__(self, i: int, module: Module) -> None:
        self.add_module(self._index(i), module)

    def __delitem__(self, i: int | slice) -> None:
        kept = list(self)
        del kept[i]
        self._renumber(kept)

    def pop(self, i: int | slice) -> Module:
        """Take a module out; returns it."""
        found = self[i]
        del self[i]
        return found

    def _renumber(self, modules: list[Module]) -> None:
        self._modules.clear()
        for k, module in enumerate(modules):
            self.add_module(str(k), module)

    @classmethod
    def _of(cls, items: list[tuple[str, Module | None]]) -> _Ordered:
        raise NotImplementedError


class Sequential(_Ordered):
    """Modules applied one after the other.

    Args:
        modules: the modules, or one dict of them by name.

    >>> import polygrad as pg
    >>> net = pg.nn.Sequential(pg.nn.Linear(4, 8), pg.nn.ReLU(), pg.nn.Linear(8, 2))
    >>> net(pg.ones((5, 4))).shape
    (5, 2)
    >>> net[-1]
    Linear(in_features=8, out_features=2, bias=True)
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            items = list(modules[0].items())
        else:
            items = [(str(k), module) for k, module in enumerate(modules)]  # type: ignore[misc]
        for name, module in items:
            self.add_module(name, module)

    @classmethod
    def _of(cls, items: list[tuple[str, Module | None]]) -> _Ordered:
        named = {name: module for name, module in items if module is not None}
        return cls(*named.values()) if all(name.isdigit() for name in named) else cls(named)

    def append(self, module: Module) -> Sequential:
        """Add a module at the end; returns itself."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Sequential:
        """Add several modules at the end; returns itself."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Sequential:
        """Add a module before the one of that number; returns itself."""
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def forward(self, input: Any) -> Any:
        """What the last module makes of what the one before made ... of ``input``."""
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input


class ModuleList(_Ordered):
    """A list of modules, found by whoever looks for parameters.

    >>> import polygrad as pg
    >>> layers = pg.nn.ModuleList(pg.nn.Linear(2, 2) for _ in range(3))
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self.extend(modules or ())

    @classmethod
    def _of(cls, items: list[tuple[str, Module | None]]) -> _Ordered:
        return cls(module for _, module in items if module is not None)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end; returns itself."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add several modules at the end; returns itself."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Add a module before the one of that number."""
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)
