"""Kinds of change: ways of reading that name nothing, attributes that lie in no dict, and large arrays."""

from __future__ import annotations

import abc
import enum
import functools
import itertools
import operator
import types
from typing import Any

import numpy as np
from kinds import Case, attribute, guarded, setting


@guarded
def attribute_looked_for_by_hasattr() -> Case:
    thing = types.SimpleNamespace()
    return lambda x: x * 2 if hasattr(thing, "k") else x * 3, attribute(thing, "k", 1)


@guarded
def attribute_looked_for_with_a_default() -> Case:
    class Options:
        other = 1.0

    thing = Options()
    return lambda x: x * getattr(thing, "k", 3.0), attribute(thing, "k", 9.0)


@guarded
def attribute_missed_by_try() -> Case:
    class Options:
        other = 1.0

    thing = Options()

    def f(x: Any) -> Any:
        try:
            return x * thing.k  # type: ignore[attr-defined]
        except AttributeError:
            return x * 3

    return f, attribute(thing, "k", 9.0)


@guarded
def attribute_by_a_computed_name() -> Case:
    thing = types.SimpleNamespace(k1=2.0)
    return lambda x: x * sum(getattr(thing, f"k{i}", 0.0) for i in range(3)), attribute(thing, "k2", 9.0)


@guarded
def attribute_by_attrgetter() -> Case:
    thing = types.SimpleNamespace(a=types.SimpleNamespace(b=2.0))
    get = operator.attrgetter("a.b")
    return lambda x: x * get(thing), attribute(thing.a, "b", 9.0)


@guarded
def method_by_methodcaller() -> Case:
    class Options:
        value = 2.0

        def get(self) -> float:
            return self.value

    thing, get = Options(), operator.methodcaller("get")
    return lambda x: x * get(thing), attribute(thing, "value", 9.0)


@guarded
def arguments_of_an_exception() -> Case:
    error = ValueError(2.0)
    return lambda x: x * error.args[0], attribute(error, "args", (9.0,))


@guarded
def name_of_a_class() -> Case:
    class C:
        pass

    return lambda x: x * len(C.__name__), attribute(C, "__name__", "CCC")


@guarded
def name_of_a_function() -> Case:
    def g() -> None:
        pass

    return lambda x: x * len(g.__name__), attribute(g, "__name__", "ggg")


@guarded
def attribute_of_a_metaclass() -> Case:
    class Meta(type):
        k = 2.0

    class C(metaclass=Meta):
        pass

    return lambda x: x * C.k, attribute(Meta, "k", 9.0)


@guarded
def property_of_a_metaclass() -> Case:
    class Meta(type):
        @property
        def k(cls) -> float:
            return cls._k  # type: ignore[attr-defined, no-any-return]

    class C(metaclass=Meta):
        _k = 2.0

    return lambda x: x * C.k, attribute(C, "_k", 9.0)


@guarded
def class_registered_with_an_abstract_one() -> Case:
    class Abstract(abc.ABC):  # noqa: B024
        pass

    class C:
        pass

    thing = C()
    return lambda x: x * 2 if isinstance(thing, Abstract) else x * 3, lambda: Abstract.register(C)


@guarded
def value_of_an_enum() -> Case:
    class E(enum.Enum):
        A = 2.0

    return lambda x: x * E.A.value, attribute(E.A, "_value_", 9.0)


@guarded
def state_of_a_partial() -> Case:
    def g(x: Any, s: float) -> Any:
        return x * s

    part = functools.partial(g, s=2.0)
    return lambda x: part(x), lambda: part.__setstate__((g, (), {"s": 7.0}, {}))


@guarded
def product_of_a_list() -> Case:
    values = [1.0, 2.0]
    return lambda x: x * sum(a * b for a, b in itertools.product(values, values)), lambda: values.append(5.0)


@guarded
def element_of_a_large_array() -> Case:
    table = np.full(300_000, 2.0)
    return lambda x: x * table[7], setting(table, 7, 9.0)


@guarded
def sum_of_a_large_array() -> Case:
    table = np.full((600, 500), 2.0, order="F")
    return lambda x: x * np.sum(table), setting(table, (3, 7), 9.0)


@guarded
def order_in_a_large_array() -> Case:
    table = np.arange(300_000.0)[::-1].copy()
    return lambda x: x * table[0], table.sort


@guarded
def large_array_of_flags() -> Case:
    flags = np.zeros(2_000_000, bool)
    return lambda x: x * 2 if flags.any() else x * 3, setting(flags, 1_000_000, True)
