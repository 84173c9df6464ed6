"""Everything that a compiled function can depend on: it gives the new numbers after a change, or it was refused.

Each row of the table is one kind of change. ``guarded`` rows must give eager's numbers before and after; ``refused`` rows
must raise TraceError and leave what they touched as it was.
"""

from __future__ import annotations

import argparse
import array
import collections
import contextvars
import copy
import dataclasses
import datetime
import enum
import functools
import itertools
import os
import pathlib
import random
import threading
import time
import types
import uuid
import weakref
from collections.abc import Iterator
from typing import Any

import kinds_of_reading  # noqa: F401  (its rows)
import numpy as np
import pytest
from kinds import GUARDED, REFUSED, Case, Kind, attribute, guarded, refused, setting

import polygrad as pg
from polygrad import nn, optim
from polygrad.errors import TraceError
from polygrad.graph.compiled import Compiled

# -- functions and modules -----------------------------------------------------------------------------


@guarded
def closure_number() -> Case:
    k = 2.0

    def change() -> None:
        nonlocal k
        k = 5.0

    return lambda x: x * k, change


@guarded
def closure_sign_of_zero() -> Case:
    k = 0.0

    def change() -> None:
        nonlocal k
        k = -0.0

    return lambda x: x * (5.0 if np.signbit(k) else 2.0), change


@guarded
def closure_type_of_number() -> Case:
    k: Any = 2

    def change() -> None:
        nonlocal k
        k = 2.0

    return lambda x: x * (1.0 if isinstance(k, int) else 7.0), change


def in_scope(source: str, **scope: Any) -> dict[str, Any]:
    exec(source, scope)
    return scope


@guarded
def global_number() -> Case:
    scope = in_scope("k = 2.0\ndef f(x):\n    return x * k\n")
    return scope["f"], setting(scope, "k", 5.0)


@guarded
def global_hides_a_builtin() -> Case:
    scope = in_scope("def f(x):\n    return x * abs(-2.0)\n")
    return scope["f"], setting(scope, "abs", lambda v: 5.0)


@guarded
def global_appears() -> Case:
    scope = in_scope("def f(x):\n    try:\n        return x * k\n    except NameError:\n        return x\n")
    return scope["f"], setting(scope, "k", 5.0)


@guarded
def global_of_an_inner_function() -> Case:
    scope = in_scope("k = 2.0\ndef f(x):\n    return (lambda y: y * k)(x)\n")
    return scope["f"], setting(scope, "k", 5.0)


@guarded
def global_function_is_replaced() -> Case:
    scope = in_scope("def g(x):\n    return x * 2\ndef f(x):\n    return g(x)\n")
    return scope["f"], setting(scope, "g", lambda x: x * 5)


@guarded
def code_is_replaced() -> Case:
    scope = in_scope("def g(x):\n    return x * 2\ndef h(x):\n    return x * 5\ndef f(x):\n    return g(x)\n")
    return scope["f"], attribute(scope["g"], "__code__", scope["h"].__code__)


@guarded
def default_is_replaced() -> Case:
    scope = in_scope("def f(x, k=2.0):\n    return x * k\n")
    return scope["f"], attribute(scope["f"], "__defaults__", (5.0,))


@guarded
def keyword_default_is_changed() -> Case:
    scope = in_scope("def g(x, *, k=2.0):\n    return x * k\ndef f(x):\n    return g(x)\n")
    return scope["f"], setting(scope["g"].__kwdefaults__, "k", 5.0)


@guarded
def function_attribute() -> Case:
    scope = in_scope("def f(x):\n    return x * f.k\n")
    scope["f"].k = 2.0
    return scope["f"], attribute(scope["f"], "k", 5.0)


@guarded
def cell_is_bound_later() -> Case:
    def make() -> Case:
        def f(x: Any) -> Any:
            try:
                return x * k
            except NameError:
                return x

        def change() -> None:
            nonlocal k
            k = 5.0

        if False:
            k = 0.0
        return f, change

    return make()


@guarded
def module_in_a_closure() -> Case:
    config = types.ModuleType("config_of_a_user")
    config.FLAG = 2.0  # type: ignore[attr-defined]
    return lambda x: x * config.FLAG, attribute(config, "FLAG", 5.0)


@guarded
def module_in_a_package() -> Case:
    package, config = types.ModuleType("package_of_a_user"), types.ModuleType("package_of_a_user.config")
    package.config = config  # type: ignore[attr-defined]
    config.FLAG = 2.0  # type: ignore[attr-defined]
    scope = in_scope("def f(x):\n    return x * package.config.FLAG\n", package=package)
    return scope["f"], attribute(config, "FLAG", 5.0)


@guarded
def partial_of_a_function() -> Case:
    options = {"k": 2.0}
    g = functools.partial(lambda x, o: x * o["k"], o=options)
    return lambda x: g(x), setting(options, "k", 5.0)


@guarded
def decorated_function() -> Case:
    def twice(g: Any) -> Any:
        @functools.wraps(g)
        def wrapped(x: Any) -> Any:
            return g(g(x))

        return wrapped

    k = [2.0]
    g = twice(lambda x: x * k[0])
    return lambda x: g(x), setting(k, 0, 5.0)


@guarded
def transform_of_a_function() -> Case:
    k = {"k": 2.0}
    g = pg.grad(lambda x: pg.sum(x**2) * k["k"])
    return lambda x: g(x), setting(k, "k", 5.0)


@guarded
def compiled_inner_function() -> Case:
    k = {"k": 2.0}
    g = pg.compile(lambda x: x * k["k"])
    return lambda x: g(x), setting(k, "k", 5.0)


@guarded
def function_found_by_name() -> Case:
    scope = in_scope("k = 2.0\ndef g(x):\n    return x * k\n")
    table = types.SimpleNamespace(g=scope["g"])
    name = "g"
    return lambda x: getattr(table, name)(x), setting(scope, "k", 5.0)


# -- objects and classes ---------------------------------------------------------------------------------


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


# -- containers ------------------------------------------------------------------------------------------


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


# -- what is polygrad's own --------------------------------------------------------------------------------


@guarded
def cached_property() -> Case:
    class Holder:
        k = 2.0

        @functools.cached_property
        def scale(self) -> float:
            return self.k * 3

    holder = Holder()
    return lambda x: x * holder.scale, attribute(holder, "scale", 5.0)


@guarded
def cache_in_a_dict() -> Case:
    cache: dict[str, Any] = {}

    def f(x: Any) -> Any:
        if "k" not in cache:
            cache["k"] = pg.asarray(2.0)
        return x * cache["k"]

    return f, setting(cache, "k", pg.asarray(5.0))


@guarded
def mode_of_a_module() -> Case:
    net = nn.Sequential(nn.Linear(1, 1), nn.Dropout(1.0)).to("float64")
    net.eval()
    return lambda x: net(x), lambda: net.train()


@guarded
def attribute_of_a_module() -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.k = 2.0

        def forward(self, x: Any) -> Any:
            return x * self.k

    net = Net()
    return lambda x: net(x), attribute(net, "k", 5.0)


@guarded
def class_attribute_of_a_module() -> Case:
    class Net(nn.Module):
        k = 2.0

        def forward(self, x: Any) -> Any:
            return x * self.k

    net = Net()
    return lambda x: net(x), attribute(Net, "k", 5.0)


@guarded
def forward_is_replaced() -> Case:
    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2

    net = Net()
    return lambda x: net(x), attribute(Net, "forward", lambda self, x: x * 5)


@guarded
def forward_of_one_module_is_replaced() -> Case:
    net = nn.Tanh()
    return lambda x: net(x), attribute(net, "forward", lambda x: x * 5)


@guarded
def forward_of_our_class_is_replaced() -> Case:
    class Tanh(nn.Tanh):
        pass

    net = Tanh()
    return lambda x: net(x), attribute(Tanh, "forward", lambda self, x: x * 5)


@guarded
def order_of_modules() -> Case:
    net = nn.Sequential(nn.Tanh(), nn.Softplus())

    def change() -> None:
        net._modules["0"] = net._modules.pop("0")

    return lambda x: net(x), change


@guarded
def hook_is_added() -> Case:
    net = nn.Tanh()
    return lambda x: net(x), lambda: net.register_forward_hook(lambda m, i, o: o * 5)


@guarded
def parameter_is_replaced() -> Case:
    net = nn.Linear(1, 1).to("float64")
    return lambda x: net(x), attribute(net, "weight", nn.Parameter([[5.0]]))


@guarded
def parameter_is_written_to() -> Case:
    w = nn.Parameter([2.0])

    def change() -> None:
        with pg.no_grad():
            w[...] = 5.0

    return lambda x: x * w, change


@guarded
def parameter_is_frozen() -> Case:
    w = nn.Parameter([2.0])
    return lambda x: x * w * (2.0 if w.requires_grad else 1.0), lambda: w.requires_grad_(False)


@guarded
def gradient_appears() -> Case:
    w = nn.Parameter([2.0])
    return lambda x: x if w.grad is None else x + w.grad, attribute(w, "grad", pg.ones(1))


@guarded
def buffer_is_replaced() -> Case:
    net = nn.Module()
    net.register_buffer("k", pg.asarray(2.0))
    return lambda x: x * net.k, attribute(net, "k", pg.asarray(5.0))


@guarded
def rate_of_an_optimizer_is_read() -> Case:
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=2.0)
    return lambda x: x * optimizer.param_groups[0]["lr"], setting(optimizer.param_groups[0], "lr", 5.0)


# -- what is refused -----------------------------------------------------------------------------------------


@refused
def python_random() -> Case:
    return lambda x: x * random.random(), lambda: None


@refused
def python_shuffle() -> Case:
    def f(x: Any) -> Any:
        order = [1.0, 2.0, 3.0]
        random.shuffle(order)
        return x * order[0]

    return f, lambda: None


@refused
def python_generator_of_random_numbers() -> Case:
    source = random.Random(0)
    return lambda x: x * source.gauss(0, 1), lambda: None


@refused
def numpy_random() -> Case:
    return lambda x: x * np.random.rand(), lambda: None


@refused
def numpy_generator_of_random_numbers() -> Case:
    source = np.random.default_rng(0)
    return lambda x: x * source.random(), lambda: None


@refused
def entropy_of_the_system() -> Case:
    return lambda x: x * os.urandom(1)[0], lambda: None


@refused
def universal_identifier() -> Case:
    return lambda x: x * (uuid.uuid4().int % 7), lambda: None


@refused
def folder_of_the_process() -> Case:
    return lambda x: x * len(os.getcwd()), lambda: None


@refused
def clock() -> Case:
    return lambda x: x * time.time(), lambda: None


@refused
def counter_of_time() -> Case:
    return lambda x: x * time.perf_counter(), lambda: None


@refused
def date() -> Case:
    return lambda x: x * datetime.datetime.now().microsecond, lambda: None


@refused
def file_is_read() -> Case:
    return lambda x: x * len(pathlib.Path(__file__).read_text()), lambda: None


@refused
def next_of_a_cycle() -> Case:
    it = itertools.cycle([2.0, 5.0])
    return lambda x: x * next(it), lambda: None


@refused
def next_of_a_count() -> Case:
    it = itertools.count(1)
    return lambda x: x * next(it), lambda: None


@refused
def next_of_a_generator() -> Case:
    it = (float(i) for i in range(9))
    return lambda x: x * next(it), lambda: None


@refused
def next_of_an_attribute() -> Case:
    holder = types.SimpleNamespace(it=iter([2.0, 5.0, 7.0]))
    return lambda x: x * next(holder.it), lambda: None


@refused
def loop_over_an_iterator() -> Case:
    it = iter([2.0, 5.0, 7.0])

    def f(x: Any) -> Any:
        for k in it:
            return x * k
        return x

    return f, lambda: None


@refused
def iterator_of_a_user() -> Case:
    class Steps:
        i = 0

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.i += 1
            return self.i

    it = Steps()
    return lambda x: x * next(it), lambda: None


@refused
def counting_in_an_attribute() -> Case:
    holder = types.SimpleNamespace(n=0)

    def f(x: Any) -> Any:
        holder.n += 1
        return x * holder.n

    return f, lambda: None


@refused
def counting_in_a_global() -> Case:
    scope = in_scope("n = 0\ndef f(x):\n    global n\n    n += 1\n    return x * n\n")
    return scope["f"], lambda: None


@refused
def counting_on_a_class() -> Case:
    class Holder:
        n = 0

    def f(x: Any) -> Any:
        Holder.n += 1
        return x * Holder.n

    return f, lambda: None


@refused
def new_attribute() -> Case:
    class Holder:
        pass

    holder: Any = Holder()

    def f(x: Any) -> Any:
        for i in range(100):
            if not hasattr(holder, f"n{i}"):
                setattr(holder, f"n{i}", i)
                return x * i
        return x

    compiled = pg.compile(f)  # calls that fill caches run eagerly, but not for ever
    assert [compiled(pg.ones(1)).item() for _ in range(2)] == [0.0, 1.0]
    return compiled, lambda: None


@refused
def appending_to_a_list() -> Case:
    seen: list[float] = []

    def f(x: Any) -> Any:
        seen.append(1.0)
        return x * len(seen)

    return f, lambda: None


@refused
def adding_to_a_set() -> Case:
    seen: set[int] = set()

    def f(x: Any) -> Any:
        seen.add(len(seen))
        return x * len(seen)

    return f, lambda: None


@refused
def popping_from_a_deque() -> Case:
    queue = collections.deque([2.0, 5.0, 7.0])
    return lambda x: x * queue.popleft(), lambda: None


@refused
def writing_to_a_numpy_array() -> Case:
    k = np.zeros(1)

    def f(x: Any) -> Any:
        k[0] += 1.0
        return x * float(k[0])

    return f, lambda: None


@refused
def step_of_a_schedule() -> Case:
    w = nn.Parameter([1.0])
    w.grad = pg.ones(1)
    optimizer = optim.SGD([w], lr=2.0)
    optimizer.step()
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)

    def f(x: Any) -> Any:
        schedule.step()
        return x * 1.0

    return f, lambda: None


@refused
def returned_generator() -> Case:
    return lambda x: (x * k for k in range(3)), lambda: None


@refused
def returned_text() -> Case:
    return lambda x: f"loss {x}", lambda: None


@refused
def returned_set() -> Case:
    return lambda x: {1, 2}, lambda: None


@refused
def value_is_read() -> Case:
    return lambda x: x * float(pg.sum(x)), lambda: None


# -- the tests -------------------------------------------------------------------------------------------------


def value(result: Any) -> Any:
    return result.detach().numpy() if isinstance(result, pg.Tensor) else result


EXECUTORS = pytest.mark.parametrize("executor", ["planned", "native"])


@EXECUTORS
@pytest.mark.parametrize("kind", GUARDED, ids=lambda kind: kind.name)
def test_a_change_is_seen(kind: Kind, executor: str) -> None:
    f, change = kind.make()
    compiled = pg.compile(f, executor=executor)
    x = pg.asarray([4.0])
    with np.errstate(all="ignore"):
        first = value(f(x))
        for _ in range(3):
            np.testing.assert_array_equal(value(compiled(x)), first)
        assert compiled.cache_info().misses == 1  # it is a graph that ran, and one only
        assert compiled.cache_info().hits >= 1
        change()
        second = value(f(x))
        for _ in range(2):
            np.testing.assert_array_equal(value(compiled(x)), second)


@pytest.mark.parametrize("kind", GUARDED, ids=lambda kind: kind.name)
def test_the_table_changes_what_the_function_gives(kind: Kind) -> None:
    f, change = kind.make()
    x = pg.asarray([4.0])
    with np.errstate(all="ignore"):
        first = copy.copy(value(f(x)))
        change()
        assert not np.array_equal(first, value(f(x)))


@EXECUTORS
@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.name)
def test_what_each_run_would_do_anew_is_refused(kind: Kind, executor: str) -> None:
    f, _ = kind.make()
    compiled = f if isinstance(f, Compiled) else pg.compile(f, executor=executor)
    eager = 0  # calls that put something new somewhere, as caches do
    for _ in range(4):
        try:
            compiled(pg.asarray([4.0]))
        except TraceError:
            break
        eager += 1
    assert eager <= (1 if kind.name == "iterator_of_a_user" else 0)
    with pytest.raises(TraceError):
        compiled(pg.asarray([4.0]))


def test_the_table_is_long() -> None:
    assert len(GUARDED) + len(REFUSED) >= 80
