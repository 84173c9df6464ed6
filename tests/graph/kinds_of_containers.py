"""Kinds of change: lists, dicts, sets, their subclasses and views."""

from __future__ import annotations

import array
import collections
import types
import weakref
from typing import Any

import numpy as np
from kinds import Case, attribute, guarded, in_scope, setting


@guarded
def item_of_a_list() -> Case:
    k = [2.0]
    return lambda x: x * k[0], setting(k, 0, 5.0)


@guarded
def length_of_a_list() -> Case:
    k = [2.0]
    return lambda x: x * sum(k), lambda: k.append(3.0)


@guarded
def item_of_a_long_list() -> Case:
    k = [2] * 100
    return lambda x: x * (1.0 if isinstance(k[3], int) else 7.0), setting(k, 3, 2.0)


@guarded
def zero_in_a_long_list() -> Case:
    k = [0.0] * 100
    return lambda x: x * (7.0 if np.signbit(k[3]) else 1.0), setting(k, 3, -0.0)


@guarded
def nested_containers() -> Case:
    k: Any = {"a": [({"b": [2.0]},)]}
    return lambda x: x * k["a"][0][0]["b"][0], setting(k["a"][0][0]["b"], 0, 5.0)


@guarded
def item_of_a_dict() -> Case:
    k = {"k": 2.0}
    return lambda x: x * k["k"], setting(k, "k", 5.0)


@guarded
def new_key_of_a_dict() -> Case:
    k = {"a": 2.0}
    return lambda x: x * k.get("b", 1.0), setting(k, "b", 5.0)


@guarded
def order_of_a_dict() -> Case:
    k = {"a": 2.0, "b": 5.0}
    return lambda x: x * next(iter(k.values())), lambda: k.__setitem__("a", k.pop("a"))


@guarded
def type_of_a_key() -> Case:
    k: Any = {1: 2.0}

    def change() -> None:
        del k[1]
        k[True] = 2.0

    return lambda x: x * (7.0 if type(next(iter(k))) is bool else 1.0), change


@guarded
def default_dict() -> Case:
    k = collections.defaultdict(float, dict.fromkeys(range(100), 2.0))
    return lambda x: x * k[3], setting(k, 3, 5.0)


@guarded
def ordered_dict() -> Case:
    k = collections.OrderedDict(a=2.0, b=5.0)
    return lambda x: x * next(iter(k.values())), lambda: k.move_to_end("a")


@guarded
def counter() -> Case:
    k = collections.Counter("aab")
    return lambda x: x * k["a"], lambda: k.update("aaa")


@guarded
def subclass_of_dict() -> Case:
    class Config(dict[str, float]):
        __getattr__ = dict.__getitem__

    k: Any = Config(a=2.0)
    return lambda x: x * k.a, setting(k, "a", 5.0)


@guarded
def subclass_of_list_with_attributes() -> Case:
    class Scales(list[float]):
        k = 2.0

    k = Scales([1.0])
    return lambda x: x * k.k * k[0], attribute(k, "k", 5.0)


@guarded
def subclass_of_float_with_attributes() -> Case:
    class Scale(float):
        k = 2.0

    k = Scale(3.0)
    return lambda x: x * k.k, attribute(k, "k", 5.0)


@guarded
def subclass_of_tuple_with_attributes() -> Case:
    class Scales(tuple[float, ...]):
        k = 2.0

    k = Scales((1.0,))
    return lambda x: x * k.k * k[0], attribute(k, "k", 5.0)


@guarded
def user_dict() -> Case:
    k = collections.UserDict(a=2.0)
    return lambda x: x * k["a"], setting(k, "a", 5.0)


@guarded
def user_list() -> Case:
    k = collections.UserList([2.0])
    return lambda x: x * k[0], setting(k, 0, 5.0)


@guarded
def chain_map() -> Case:
    first: dict[str, float] = {}
    k = collections.ChainMap(first, {"a": 2.0})
    return lambda x: x * k["a"], setting(first, "a", 5.0)


@guarded
def view_of_a_dict() -> Case:
    d = {"a": 2.0}
    k = d.values()
    return lambda x: x * sum(k), setting(d, "a", 5.0)


@guarded
def proxy_of_a_dict() -> Case:
    d = {"a": 2.0}
    k = types.MappingProxyType(d)
    return lambda x: x * k["a"], setting(d, "a", 5.0)


@guarded
def bound_method_of_a_dict() -> Case:
    d = {"a": 2.0}
    get = d.get
    return lambda x: x * get("a"), setting(d, "a", 5.0)


@guarded
def item_of_a_set() -> Case:
    k: set[Any] = {2}

    def change() -> None:
        k.clear()
        k.add(2.0)

    return lambda x: x * (1.0 if isinstance(next(iter(k)), int) else 7.0), change


@guarded
def other_items_of_a_set() -> Case:
    k = {"a", "b"}

    def change() -> None:
        k.remove("b")
        k.add("c")

    return lambda x: x * (2.0 if "b" in k else 5.0), change


@guarded
def deque() -> Case:
    k = collections.deque([2.0, 5.0])
    return lambda x: x * k[0], lambda: k.rotate(1)


@guarded
def byte_array() -> Case:
    k = bytearray(b"\x02")
    return lambda x: x * k[0], setting(k, 0, 5)


@guarded
def array_of_python() -> Case:
    k = array.array("d", [2.0])
    return lambda x: x * k[0], setting(k, 0, 5.0)


@guarded
def numpy_array_that_numpy_reads() -> Case:
    k = np.asarray([2.0])
    return lambda x: x * float(np.sin(k)[0]), setting(k, 0, 5.0)


@guarded
def numpy_array_of_objects() -> Case:
    k = np.asarray([2.0, None], dtype=object)
    return lambda x: x * k[0], setting(k, 0, 5.0)


@guarded
def globals_as_a_dict() -> Case:
    scope = in_scope("k = 2.0\ndef f(x):\n    return x * globals()['k']\n")
    return scope["f"], setting(scope, "k", 5.0)


@guarded
def object_with_its_own_way_of_attributes() -> Case:
    class Holder:
        def __getattribute__(self, name: str) -> Any:
            return object.__getattribute__(self, "data")[name]

    holder = Holder()
    data = {"k": 2.0}
    object.__setattr__(holder, "data", data)
    return lambda x: x * holder.k, setting(data, "k", 5.0)


@guarded
def weak_proxy() -> Case:
    class Holder:
        k = 2.0

    holder = Holder()
    proxy = weakref.proxy(holder)
    return lambda x: x * proxy.k, attribute(holder, "k", 5.0)


@guarded
def numpy_array_beside_a_tensor() -> Case:
    k = np.asarray([2.0])
    return lambda x: x * k, setting(k, 0, 5.0)
