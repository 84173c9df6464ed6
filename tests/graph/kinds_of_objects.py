"""Kinds of change: attributes of objects, classes and namespaces."""

from __future__ import annotations

import argparse
import contextvars
import dataclasses
import enum
import os
import threading
import types
import weakref
from typing import Any

from kinds import Case, attribute, guarded, setting

import polygrad as pg


@guarded
def attribute_of_an_object() -> Case:
    class Holder:
        k = 2.0

    holder = Holder()
    return lambda x: x * holder.k, attribute(holder, "k", 5.0)


@guarded
def attribute_of_a_class() -> Case:
    class Holder:
        k = 2.0

    holder = Holder()
    return lambda x: x * holder.k, attribute(Holder, "k", 5.0)


@guarded
def attribute_of_a_base() -> Case:
    class Base:
        k = 2.0

    class Holder(Base):
        pass

    return lambda x: x * Holder.k, attribute(Base, "k", 5.0)


@guarded
def attribute_hidden_by_a_subclass() -> Case:
    class Base:
        k = 2.0

    class Holder(Base):
        pass

    holder = Holder()
    return lambda x: x * holder.k, attribute(Holder, "k", 5.0)


@guarded
def attribute_is_deleted() -> Case:
    class Holder:
        k = 5.0

    holder = Holder()
    holder.k = 2.0
    return lambda x: x * holder.k, lambda: delattr(holder, "k")


@guarded
def attribute_in_slots() -> Case:
    class Holder:
        __slots__ = ("k",)

    holder = Holder()
    holder.k = 2.0
    return lambda x: x * holder.k, attribute(holder, "k", 5.0)


@guarded
def attributes_are_replaced_as_a_whole() -> Case:
    class Holder:
        pass

    holder: Any = Holder()
    holder.k = 2.0
    return lambda x: x * holder.k, attribute(holder, "__dict__", {"k": 5.0})


@guarded
def tensor_on_a_class() -> Case:
    class Table:
        w = pg.asarray(2.0)

    return lambda x: x * Table.w, attribute(Table, "w", pg.asarray(5.0))


@guarded
def method_is_replaced() -> Case:
    class Holder:
        def g(self, x: Any) -> Any:
            return x * 2

    holder = Holder()
    return lambda x: holder.g(x), attribute(Holder, "g", lambda self, x: x * 5)


@guarded
def method_is_hidden_by_an_object() -> Case:
    class Holder:
        def g(self, x: Any) -> Any:
            return x * 2

    holder = Holder()
    return lambda x: holder.g(x), attribute(holder, "g", lambda x: x * 5)


@guarded
def bound_method_in_a_closure() -> Case:
    class Holder:
        k = 2.0

        def g(self, x: Any) -> Any:
            return x * self.k

    holder = Holder()
    g = holder.g
    return lambda x: g(x), attribute(holder, "k", 5.0)


@guarded
def property_is_replaced() -> Case:
    class Holder:
        @property
        def k(self) -> float:
            return 2.0

    holder = Holder()
    return lambda x: x * holder.k, attribute(Holder, "k", property(lambda self: 5.0))


@guarded
def property_reads_a_private_attribute() -> Case:
    class Holder:
        _k = 2.0

        @property
        def k(self) -> float:
            return self._k

    holder = Holder()
    return lambda x: x * holder.k, attribute(holder, "_k", 5.0)


@guarded
def classmethod_is_replaced() -> Case:
    class Holder:
        @classmethod
        def g(cls, x: Any) -> Any:
            return x * 2

    return lambda x: Holder.g(x), attribute(Holder, "g", classmethod(lambda cls, x: x * 5))


@guarded
def staticmethod_is_replaced() -> Case:
    class Holder:
        @staticmethod
        def g(x: Any) -> Any:
            return x * 2

    return lambda x: Holder.g(x), attribute(Holder, "g", staticmethod(lambda x: x * 5))


@guarded
def call_is_replaced() -> Case:
    class Holder:
        def __call__(self, x: Any) -> Any:
            return x * 2

    holder = Holder()
    return lambda x: holder(x), attribute(Holder, "__call__", lambda self, x: x * 5)


@guarded
def getattr_is_replaced() -> Case:
    class Holder:
        def __getattr__(self, name: str) -> float:
            return 2.0

    holder = Holder()
    return lambda x: x * holder.k, attribute(Holder, "__getattr__", lambda self, name: 5.0)


@guarded
def getattr_is_added() -> Case:
    class Holder:
        pass

    holder = Holder()
    return lambda x: x * getattr(holder, "k", 2.0), attribute(Holder, "__getattr__", lambda self, name: 5.0)


@guarded
def class_of_an_object() -> Case:
    class A:
        def g(self, x: Any) -> Any:
            return x * 2

    class B:
        def g(self, x: Any) -> Any:
            return x * 5

    a = A()
    return lambda x: a.g(x), attribute(a, "__class__", B)


@guarded
def bases_of_a_class() -> Case:
    class A:
        k = 2.0

    class B:
        k = 5.0

    class Holder(A):
        pass

    return lambda x: x * Holder.k, attribute(Holder, "__bases__", (B,))


@guarded
def descriptor_of_a_user() -> Case:
    class Scale:
        k = 2.0

        def __get__(self, holder: Any, cls: Any = None) -> float:
            return self.k

    scale = Scale()

    class Holder:
        pass

    Holder.scale = scale  # type: ignore[attr-defined]
    holder: Any = Holder()
    return lambda x: x * holder.scale, attribute(scale, "k", 5.0)


@guarded
def enum_member() -> Case:
    class Mode(enum.Enum):
        A = 1
        B = 2

    holder = types.SimpleNamespace(mode=Mode.A)
    return lambda x: x * (2.0 if holder.mode is Mode.A else 5.0), attribute(holder, "mode", Mode.B)


@guarded
def dataclass_field() -> Case:
    @dataclasses.dataclass
    class Settings:
        k: float = 2.0

    settings = Settings()
    return lambda x: x * settings.k, attribute(settings, "k", 5.0)


@guarded
def simple_namespace() -> Case:
    args = types.SimpleNamespace(k=2.0)
    return lambda x: x * args.k, attribute(args, "k", 5.0)


@guarded
def arguments_of_a_program() -> Case:
    args = argparse.Namespace(k=2.0)
    return lambda x: x * args.k, attribute(args, "k", 5.0)


@guarded
def exception_with_attributes() -> Case:
    error: Any = ValueError("x")
    error.k = 2.0
    return lambda x: x * error.k, attribute(error, "k", 5.0)


@guarded
def library_object_with_attributes() -> Case:
    lock: Any = threading.Event()
    lock.k = 2.0
    return lambda x: x * lock.k, attribute(lock, "k", 5.0)


@guarded
def object_that_answers_everything() -> Case:
    class Settings:
        scale = 2.0

        def __getattr__(self, name: str) -> float:
            return self.scale

    settings = Settings()
    return lambda x: x * settings.anything, attribute(settings, "scale", 5.0)


@guarded
def attribute_read_through_vars() -> Case:
    class Holder:
        pass

    holder: Any = Holder()
    holder.k = 2.0
    return lambda x: x * vars(holder)["k"], attribute(holder, "k", 5.0)


@guarded
def thread_local() -> Case:
    local = threading.local()
    local.k = 2.0
    return lambda x: x * local.k, attribute(local, "k", 5.0)


@guarded
def weak_reference() -> Case:
    class Holder:
        k = 2.0

    holder = Holder()
    reference = weakref.ref(holder)
    return lambda x: x * reference().k, attribute(holder, "k", 5.0)  # type: ignore[union-attr]


@guarded
def context_variable() -> Case:
    v: contextvars.ContextVar[float] = contextvars.ContextVar("v", default=2.0)
    return lambda x: x * v.get(), lambda: v.set(5.0)


@guarded
def environment_variable() -> Case:
    os.environ["POLYGRAD_TEST_K"] = "2.0"
    return lambda x: x * float(os.environ["POLYGRAD_TEST_K"]), setting(os.environ, "POLYGRAD_TEST_K", "5.0")


@guarded
def environment_variable_by_getenv() -> Case:
    os.environ["POLYGRAD_TEST_K"] = "2.0"
    return lambda x: x * float(os.getenv("POLYGRAD_TEST_K", "1")), setting(os.environ, "POLYGRAD_TEST_K", "5.0")
