"""Kinds of change: variables of closures, globals, functions and modules."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np
from kinds import Case, attribute, guarded, in_scope, setting

import polygrad as pg


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
