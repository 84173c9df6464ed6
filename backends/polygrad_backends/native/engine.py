"""Machine code from LLVM's text, as functions that Python calls at the cost of a built-in one.

A compiled function takes NumPy arrays and works on their memory, which it finds where NumPy's binary interface has kept
it since version 1.7: :func:`reason` checks that before anything relies on it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

__all__ = ["DATA", "FLAGS", "TYPE", "Machine", "has_avx2_only", "reason", "returned_none", "width_of"]

DATA: Final = object.__basicsize__
"""Where in an ``ndarray`` the address of its memory is."""
TYPE: Final = DATA - 8
"""Where an object's type is: the last thing before what is its own."""
FLAGS: Final = DATA + 48
"""Where its flags are."""
_FASTCALL: Final = 0x0080


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p),
    )  # fmt: skip


class Machine:
    """The functions of one module of LLVM's text; they are gone with it.

    Args:
        text: the module.
        calls: what it calls, to be kept as long as it is.
        quick: whether it is written down as it is: for long lists of calls, which are compiled in a third of the time.

    Raises:
        RuntimeError: if LLVM refuses it.
    """

    def __init__(self, text: str, calls: Machine | None = None, quick: bool = False) -> None:
        llvm, target = _llvm()
        module = llvm.parse_assembly(text)
        module.verify()
        machine = target.create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=0 if quick else 3,
            jit=True,
        )
        if not quick:
            self._improve(llvm, module, machine)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        self._kept: list[Any] = [calls]

    def _improve(self, llvm: Any, module: Any, machine: Any) -> None:
        """LLVM's passes; the loops are written with the vectors they are to have."""
        tuning = llvm.create_pipeline_tuning_options(speed_level=2)
        tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_unrolling = False
        builder = llvm.create_pass_builder(machine, tuning)
        builder.getModulePassManager().run(module, builder)

    def address(self, name: str) -> int:
        """Where a function is."""
        return int(self._engine.get_function_address(name))

    def function(self, name: str) -> Callable[..., None]:
        """``define ptr @name(ptr, ptr %arguments, i64 %count)`` as a function of objects."""
        definition = _MethodDef(name.encode(), self.address(name), _FASTCALL, None)
        self._kept.append(definition)
        new = ctypes.pythonapi.PyCFunction_NewEx
        new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        made: Callable[..., None] = new(ctypes.addressof(definition), self, None)  # it keeps the machine
        return made


@cache
def width_of(kind: str) -> int:
    """How many numbers are worked on at a time: two registers of the processor, so that each waits for the other less."""
    llvm, _ = _llvm()
    features = llvm.get_host_cpu_features()
    bits = 512 if features.get("avx512f") else 256 if features.get("avx2") else 128
    return 2 * bits // (32 if kind == "float" else 64)


@cache
def has_avx2_only() -> bool:
    """Whether the processor has sixteen registers of 256 bits, with ``a b + c`` in one, and none that are longer."""
    llvm, _ = _llvm()
    features = llvm.get_host_cpu_features()
    return bool(features.get("avx2") and features.get("fma") and not features.get("avx512f"))


@cache
def _llvm() -> tuple[Any, Any]:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in ("PyEval_SaveThread", "PyEval_RestoreThread", "PyFloat_AsDouble", "PyLong_AsSsize_t", "PyErr_SetNone"):
        llvm.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
    return llvm, llvm.Target.from_default_triple()


def returned_none() -> str:
    """What a function of objects ends with."""
    if sys.version_info >= (3, 12):  # None lives for ever
        return f"ret ptr inttoptr (i64 {id(None)} to ptr)"
    none = f"inttoptr (i64 {id(None)} to ptr)"
    counted = f"%count.0 = load i64, ptr {none}", "%count.1 = add i64 %count.0, 1", f"store i64 %count.1, ptr {none}"
    return "\n  ".join([*counted, f"ret ptr {none}"])


_PROBE: Final = """
define ptr @probe(ptr %self, ptr %arguments, i64 %count) {{
  %object = load ptr, ptr %arguments
  %place = getelementptr i8, ptr %object, i64 {data}
  %memory = load ptr, ptr %place
  %x = load double, ptr %memory
  %y = fadd double %x, 1.0
  store double %y, ptr %memory
  {none}
}}
"""


@cache
def reason() -> str | None:
    """Why machine code cannot be made or run here, or None."""
    if find_spec("llvmlite") is None:
        return "llvmlite is not installed: pip install llvmlite"
    if sys.implementation.name != "cpython" or sys.maxsize < 1 << 32:
        return "it takes CPython on 64 bits"
    import numpy as np

    x = np.asarray([1.0, 5.0])[1:]
    flags = [ctypes.c_int.from_address(id(a) + FLAGS).value & 257 for a in (x, np.ones(4)[::2])]
    kind = ctypes.c_void_p.from_address(id(x) + TYPE).value
    if (ctypes.c_void_p.from_address(id(x) + DATA).value, kind, flags) != (x.ctypes.data, id(np.ndarray), [257, 256]):
        return "NumPy's arrays are laid out otherwise here"
    try:
        Machine(_PROBE.format(data=DATA, none=returned_none())).function("probe")(x)
    except Exception as error:
        return f"LLVM refused: {error}"
    return None if x[0] == 6.0 else "a probe gave a wrong number"
