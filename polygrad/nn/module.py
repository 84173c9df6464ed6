"""Module: a function with parameters, made of modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import polygrad as pg

from .hooks import Hooked
from .parameter import Parameter
from .state import LoadResult, load, save_to

__all__ = ["Module"]

M = TypeVar("M", bound="Module")


class Module(Hooked):
    """The base of all layers and networks, with PyTorch's habits.

    Set parameters and modules as attributes, write ``forward``, and call the module. A subclass needs not
    call ``super().__init__()``.

    >>> import polygrad as pg
    >>> class Net(pg.nn.Module):
    ...     def __init__(self):
    ...         self.hidden = pg.nn.Linear(4, 8)
    ...         self.out = pg.nn.Linear(8, 2, bias=False)
    ...     def forward(self, x):
    ...         return self.out(pg.tanh(self.hidden(x)))
    >>> net = Net()
    >>> net(pg.ones((3, 4))).shape
    (3, 2)
    >>> [name for name, _ in net.named_parameters()]
    ['hidden.weight', 'hidden.bias', 'out.weight']
    >>> net
    Net(
      (hidden): Linear(in_features=4, out_features=8, bias=True)
      (out): Linear(in_features=8, out_features=2, bias=False)
    )

    Attributes:
        training: whether the module is in training mode (see :meth:`train`).
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, pg.Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]

    def __new__(cls, *args: Any, **kwargs: Any) -> Module:
        self = super().__new__(cls)
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _transient=set(),
            _hooks={},
            _pre_hooks={},
            _backward_hooks={},
            _backward_pre_hooks={},
            _state_hooks={},
        )
        return self

    # -- what it computes --------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses write it, users call the module itself."""
        raise NotImplementedError(f"{type(self).__qualname__} has no forward method")

    # -- what it is made of ------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter by name; None reserves the name for an absent one (a layer without a bias)."""
        self._claim(name, self._parameters)
        if not (param is None or isinstance(param, Parameter)):
            raise TypeError(f"parameter {name!r} must be a Parameter or None, not {type(param).__qualname__}")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: pg.Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained (running statistics): it moves with the module, and is
        in ``state_dict`` if persistent."""
        self._claim(name, self._buffers)
        if not (tensor is None or isinstance(tensor, pg.Tensor)):
            raise TypeError(f"buffer {name!r} must be a Tensor or None, not {type(tensor).__qualname__}")
        self._buffers[name] = tensor
        (self._transient.discard if persistent else self._transient.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule by name; None reserves the name."""
        self._claim(name, self._modules)
        if not (module is None or isinstance(module, Module)):
            raise TypeError(f"module {name!r} must be a Module or None, not {type(module).__qualname__}")
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as :meth:`add_module`."""
        self.add_module(name, module)

    def _claim(self, name: str, own: Mapping[str, Any]) -> None:
        """Refuse names that could not be found again."""
        if not name or "." in name:
            raise ValueError(f"a name within a module must be non-empty and without dots, got {name!r}")
        if name not in own and (name in self.__dict__ or hasattr(type(self), name) or name in self._owned()):
            raise ValueError(f"{type(self).__qualname__} already has an attribute {name!r}")

    def _owned(self) -> dict[str, Any]:
        return {**self._parameters, **self._buffers, **self._modules}

    def _kinds(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return self._parameters, self._buffers, self._modules

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Parameter, Module)):
            own: dict[str, Any] = self._parameters if isinstance(value, Parameter) else self._modules
            for other in (self.__dict__, *self._kinds()):
                if other is not own:
                    other.pop(name, None)
            own[name] = value
            return
        kinds: list[tuple[str, dict[str, Any]]] = list(zip(("parameter", "buffer", "module"), self._kinds()))
        for word, held in kinds:
            if name in held:
                if not (value is None or (word == "buffer" and isinstance(value, pg.Tensor))):
                    raise TypeError(
                        f"{type(self).__qualname__}.{name} is a {word} and cannot become a "
                        f"{type(value).__qualname__}; delete it first"
                    )
                held[name] = value
                return
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        for own in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__[own]
            if name in found:
                return found[name]
        raise AttributeError(f"{type(self).__qualname__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for own in self._kinds():
            if name in own:
                del own[name]
                self._transient.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._owned()})

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all within it, each once, outer ones first; the module itself is ``""``.

        Args:
            memo: the ids of modules to leave out.
            prefix: what the paths begin with.
            remove_duplicate: False for every path of a module that stands in several places.
        """
        seen: set[int] = set() if memo is None else memo
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            if remove_duplicate:
                seen.add(id(module))
            yield name, module
            inner = [(f"{name}.{k}" if name else k, m) for k, m in module._modules.items() if m is not None]
            stack.extend(reversed(inner))

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """As :meth:`named_modules`, without the names."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly within this one."""
        return ((name, module) for name, module in self._modules.items() if module is not None)

    def children(self) -> Iterator[Module]:
        """As :meth:`named_children`, without the names."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once (tied ones under their first name, or with ``remove_duplicate=False`` under each), with
        its path; ``recurse=False`` leaves out those of inner modules."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """As :meth:`named_parameters`, without the names."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, pg.Tensor]]:
        """Every buffer once, with its path; see :meth:`named_parameters`."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[pg.Tensor]:
        """As :meth:`named_buffers`, without the names."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(self, kind: str, prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        places = self.named_modules(prefix=prefix, remove_duplicate=once) if recurse else [(prefix, self)]
        for path, module in places:
            for name, x in getattr(module, kind).items():
                if x is not None and id(x) not in seen:
                    if once:
                        seen.add(id(x))
                    yield (f"{path}.{name}" if path else name), x

    def get_submodule(self, target: str) -> Module:
        """The module of a path such as ``"encoder.0"``; ``""`` is the module itself.

        Raises:
            AttributeError: naming the first part of the path that is no module.
        """
        module, done = self, ""
        for part in target.split(".") if target else []:
            found = module._modules.get(part)
            if found is None:
                raise AttributeError(
                    f"{type(self).__qualname__} has no module {target!r}: {done or 'it'} has no {part!r}"
                )
            module, done = found, f"{done}.{part}" if done else part
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a path such as ``"encoder.0.weight"``.

        Raises:
            AttributeError: if there is none.
        """
        return self._held(target, "_parameters", "parameter")  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> pg.Tensor:
        """The buffer of a path such as ``"encoder.1.running_mean"``.

        Raises:
            AttributeError: if there is none.
        """
        return self._held(target, "_buffers", "buffer")  # type: ignore[no-any-return]

    def _held(self, path: str, kind: str, word: str) -> Any:
        head, _, name = path.rpartition(".")
        found = getattr(self.get_submodule(head), kind).get(name)
        if found is None:
            raise AttributeError(f"{type(self).__qualname__} has no {word} {path!r}")
        return found

    # -- switches ----------------------------------------------------------------------------------

    def train(self: M, mode: bool = True) -> M:
        """Put this module and all within it into training mode, or out of it; returns itself."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Let all parameters collect gradients, or freeze them; returns itself."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = None if set_to_none else pg.zeros_like(parameter.grad)

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call ``fn`` with every module within, inner ones first, and this one last; returns itself."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self: M, *where: Any, device: Any = None, dtype: Any = None) -> M:
        """Move parameters and buffers to a device, or into a dtype, or both; returns itself.

        The parameters stay the same objects, so an optimiser made before goes on with them (its own state
        stays where it is). A dtype applies to floating parameters and buffers only.

        >>> import polygrad as pg
        >>> layer = pg.nn.Linear(2, 3).to("float32")
        >>> layer.weight.dtype
        polygrad.float32
        """
        for place in where:
            named = getattr(pg, place, None) if isinstance(place, str) else place
            if isinstance(named, pg.DType):
                dtype = named
            elif isinstance(place, (str, pg.Device)):
                device = place
            elif place is not None:
                raise TypeError(f"to: takes a device or a dtype, not {place!r}; a library's dtype goes by dtype=")
        if dtype is not None and not pg.isdtype(dtype, ("real floating", "complex floating")):
            raise pg.errors.DTypeError(f"to: a module's dtype must be a floating one, not {dtype}")
        for parameter in self.parameters():
            parameter.move_(device, dtype if parameter.dtype.inexact else None)
        moved = {id(x): pg.asarray(x, device=device, dtype=dtype if x.dtype.inexact else None) for x in self.buffers()}
        for module in self.modules():
            for name, x in module._buffers.items():
                if x is not None:
                    module._buffers[name] = moved[id(x)]
        return self

    def float(self: M) -> M:
        """``to(dtype="float32")``."""
        return self.to(dtype=pg.float32)

    def double(self: M) -> M:
        """``to(dtype="float64")``."""
        return self.to(dtype=pg.float64)

    def half(self: M) -> M:
        """``to(dtype="float16")``."""
        return self.to(dtype=pg.float16)

    def bfloat16(self: M) -> M:
        """``to(dtype="bfloat16")``, where the backend has that."""
        return self.to(dtype=pg.bfloat16)

    def cpu(self: M) -> M:
        """``to(device="cpu")``."""
        return self.to(device="cpu")

    # -- state -------------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: dict[str, pg.Tensor] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, pg.Tensor]:
        """All parameters and persistent buffers by path, detached; they share the module's memory, so copy
        them (``copy.deepcopy``) to keep a moment's values.

        Args:
            destination: the dict to put them into; a new one unless told.
            prefix: what the paths begin with.
            keep_vars: give the parameters themselves, not detached.
        """
        made: dict[str, pg.Tensor] = {} if destination is None else destination
        save_to(self, made, prefix, keep_vars)
        return made

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> LoadResult:
        """Take over the values of a state dict: Tensors or any library's arrays, on any device, cast to the
        dtype that is here.

        Args:
            state_dict: values by path, as from :meth:`state_dict`.
            strict: refuse missing and unexpected paths.
            assign: take over the dtypes and devices of the values, too.

        Returns:
            The ``missing`` and ``unexpected`` paths.

        Raises:
            StateError: listing every missing, unexpected and misshapen path; nothing is loaded then.
        """
        return load(self, state_dict, strict, assign)

    # -- text --------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What ``repr`` says between the brackets; layers tell their settings here."""
        return ""

    def __repr__(self) -> str:
        name, settings = type(self).__qualname__.rpartition(".")[2], self.extra_repr()
        inner = [f"({key}): {module!r}".replace("\n", "\n  ") for key, module in self._modules.items()]
        if not inner:
            return f"{name}({settings})"
        return "\n  ".join([f"{name}({settings}", *inner]) + "\n)"
