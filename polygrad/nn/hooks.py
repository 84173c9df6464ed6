"""What is called around a module's forward and backward: hooks, with PyTorch's names and arguments."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import polygrad as pg

__all__ = ["Hook", "Hooked", "RemovableHandle"]


class Hook(NamedTuple):
    """A hook, and how it wants to be called."""

    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


class RemovableHandle:
    """What registering a hook returns: :meth:`remove` it, call the handle, or leave a ``with`` block, and it is gone.

    >>> import polygrad as pg
    >>> layer = pg.nn.Identity()
    >>> with layer.register_forward_hook(lambda module, args, result: result * 2):
    ...     print(layer(pg.ones(1)))
    tensor([2.], dtype=float64)
    >>> layer(pg.ones(1))
    tensor([1.], dtype=float64)
    """

    def __init__(self, hooks: dict[int, Hook], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self._hooks.pop(self._key, None)

    def __call__(self) -> None:
        self.remove()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def _registered(hooks: dict[int, Hook], hook: Hook, prepend: bool = False) -> RemovableHandle:
    """Add a hook, after the others or before them."""
    key = max(hooks, default=-1) + 1
    others = dict(hooks)
    if prepend:
        hooks.clear()
    hooks[key] = hook
    if prepend:
        hooks.update(others)
    return RemovableHandle(hooks, key)


class _BackwardWatch:
    """One call of a module with backward hooks: looks at the gradients that pass its results and its arguments.

    The results and the tensors among the arguments each go through an identity whose backward calls the hooks; so
    derivatives of the gradients go on working, and what hooks return takes the gradients' place.
    """

    def __init__(self, module: Hooked) -> None:
        self.module = module
        self.pre_hooks, self.hooks = module._backward_pre_hooks, module._backward_hooks
        self._outputs: tuple[Any, ...] | None = None
        self._watches_inputs = False

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, watched."""
        at = [i for i, x in enumerate(args) if isinstance(x, pg.Tensor)]
        self._watches_inputs = bool(self.hooks) and any(args[i].requires_grad for i in at)
        if not self._watches_inputs:
            self._given = len(args)
            return args

        def seen(grads: tuple[Any, ...]) -> tuple[Any, ...]:
            padded = [None] * len(args)
            for i, g in zip(at, grads, strict=True):
                padded[i] = g
            made = self._called(tuple(padded))
            return tuple(made[i] for i in at)

        return _through(seen, args, at)

    def results(self, result: Any) -> Any:
        """The module's results, watched.

        Raises:
            TypeError: if they are neither a Tensor nor a tuple.
        """
        if not isinstance(result, (pg.Tensor, tuple)):
            raise TypeError(
                f"{type(self.module).__qualname__}: backward hooks need a Tensor or a tuple of them as the result, not "
                f"{type(result).__qualname__}"
            )
        several = isinstance(result, tuple)
        results: tuple[Any, ...] = result if isinstance(result, tuple) else (result,)
        at = [i for i, x in enumerate(results) if isinstance(x, pg.Tensor)]

        def seen(grads: tuple[Any, ...]) -> tuple[Any, ...]:
            padded = [None] * len(results)
            for i, g in zip(at, grads, strict=True):
                padded[i] = g
            self._outputs = self._prepared(tuple(padded))
            if not self._watches_inputs and self.hooks:  # no gradient goes on from here: all there is to see
                self._called((None,) * self._given)
            return tuple(self._outputs[i] for i in at)

        if not any(results[i].requires_grad for i in at):
            return result
        watched = _through(seen, results, at)
        return watched if several else watched[0]

    def _prepared(self, outputs: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in tuple(self.pre_hooks.values()):
            outputs = _replaced("full_backward_pre_hook", outputs, hook.function(self.module, outputs))
        return outputs

    def _called(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in tuple(self.hooks.values()):
            made = hook.function(self.module, inputs, self._outputs)
            if not self._watches_inputs:
                if made is not None:
                    raise RuntimeError(
                        "full_backward_hook: returned gradients, but no argument of the module requires any"
                    )
                continue
            inputs = _replaced("full_backward_hook", inputs, made)
        return inputs


def _replaced(name: str, before: tuple[Any, ...], made: Any) -> tuple[Any, ...]:
    if made is None:
        return before
    grads: tuple[Any, ...] = made if isinstance(made, tuple) else (made,)
    if len(grads) != len(before):
        raise RuntimeError(f"{name}: returned {len(grads)} gradients, there were {len(before)}")
    return grads


def _through(
    seen: Callable[[tuple[Any, ...]], tuple[Any, ...]], values: tuple[Any, ...], at: list[int]
) -> tuple[Any, ...]:
    """The values, those at some places through an identity whose backward gives its gradients to ``seen``."""

    class Watched(pg.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            return tuple(tensors)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return seen(grads)

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            return tuple(tangents)

    made = list(values)
    for i, x in zip(at, Watched.apply(*[values[i] for i in at]), strict=True):
        made[i] = x
    return tuple(made)


def _name(module: Hooked, error: Exception) -> None:
    """Note at an error of ours in which layer it came up: the innermost one, with its settings."""
    if isinstance(error, (pg.errors.PolygradError, IndexError)) and not hasattr(error, "__notes__"):
        error.add_note(f"in the layer {module!r}")


def _after(module: Hooked, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    changed = hook.function(module, args, *([kwargs] if hook.with_kwargs else []), result)
    return result if changed is None else changed


class Hooked:
    """How a module is called, and what is called around that."""

    forward: Callable[..., Any]
    _hooks: dict[int, Hook]
    _pre_hooks: dict[int, Hook]
    _backward_hooks: dict[int, Hook]
    _backward_pre_hooks: dict[int, Hook]
    _state_hooks: dict[str, dict[int, Hook]]
    """Around ``state_dict`` and ``load_state_dict``: "save pre", "save post", "load pre", "load post"."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self._hooks or self._pre_hooks or self._backward_hooks or self._backward_pre_hooks):
            try:
                return self.forward(*args, **kwargs)
            except (pg.errors.PolygradError, IndexError) as error:
                _name(self, error)
                raise
        result, called = None, set()
        try:
            args, kwargs = self._before(args, kwargs)
            watch = _BackwardWatch(self) if self._backward_hooks or self._backward_pre_hooks else None
            if watch is not None:
                args = watch.inputs(args)
            result = self.forward(*args, **kwargs)
            for key, hook in tuple(self._hooks.items()):
                called.add(key)
                result = _after(self, hook, args, kwargs, result)
            return result if watch is None else watch.results(result)
        except Exception as error:
            _name(self, error)
            for key, hook in tuple(self._hooks.items()):
                if hook.always_call and key not in called:
                    try:
                        _after(self, hook, args, kwargs, result)
                    except Exception as second:  # the first fault is the one to be told
                        warnings.warn(f"a forward hook with always_call=True failed too: {second!r}", stacklevel=2)
            raise

    def _before(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for hook in tuple(self._pre_hooks.values()):
            if hook.with_kwargs:
                changed = hook.function(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise TypeError(
                            f"a forward pre-hook with_kwargs returns None or a pair (args, kwargs), not {changed!r}"
                        )
                    args, kwargs = changed
            else:
                changed = hook.function(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, result)`` after each forward; what it returns, if not None, replaces the result.

        Args:
            hook: the function.
            prepend: call it before those that are there.
            with_kwargs: call ``hook(module, args, kwargs, result)``.
            always_call: call it when forward raises, too.

        Returns:
            A handle that removes the hook.
        """
        return _registered(self._hooks, Hook(hook, with_kwargs, always_call), prepend)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns, if not None, replaces the positional
        arguments. ``with_kwargs``: call ``hook(module, args, kwargs)``, which returns None or both. Returns a handle that
        removes the hook."""
        return _registered(self._pre_hooks, Hook(hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when backward has the gradients of the positional arguments: two
        tuples, None for what is no Tensor. What it returns, if not None, replaces ``grad_input``. Returns a handle that
        removes the hook.

        >>> import polygrad as pg
        >>> layer = pg.nn.Linear(2, 1)
        >>> _ = layer.register_full_backward_hook(lambda module, inputs, outputs: print(inputs[0].shape, outputs[0]))
        >>> pg.sum(layer(pg.ones((3, 2)).requires_grad_())).backward()
        (3, 2) tensor([[1.],
                [1.],
                [1.]], dtype=float64)
        """
        return _registered(self._backward_hooks, Hook(hook), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when backward comes to the module; what it returns, if not None, replaces
        the gradients of the results. Returns a handle that removes the hook."""
        return _registered(self._backward_pre_hooks, Hook(hook), prepend)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before :meth:`state_dict` looks at this module."""
        return _registered(self._state_hooks.setdefault("save pre", {}), Hook(hook))

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after :meth:`state_dict` has been through this module
        and those within; it may change the dict."""
        return _registered(self._state_hooks.setdefault("save post", {}), Hook(hook))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)``
        before :meth:`load_state_dict` looks for this module's values; it may change the dict (a copy), and add to the
        lists."""
        return _registered(self._state_hooks.setdefault("load pre", {}), Hook(hook))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after :meth:`load_state_dict` has loaded this module and those within;
        it may take paths out of the lists ``missing_keys`` and ``unexpected_keys``, which are then not complained of."""
        return _registered(self._state_hooks.setdefault("load post", {}), Hook(hook))
