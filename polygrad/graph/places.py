"""Places where a traced function found something: how each is read, written and compared before a run."""

from __future__ import annotations

import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from operator import is_
from typing import Any, ClassVar, Final

from .. import registry
from ..backend import Device
from ..dtypes import DType

__all__ = [
    "MISSING", "PLAIN", "Attribute", "Bound", "Bytes", "Context", "Derived", "Elements", "Empty", "Item", "Kind", "Length",
    "Members", "Order", "Place", "Progress", "Referent", "Stream", "Truth", "Values", "has_plain_attributes", "is_plain", "pairs",
    "refill", "same", "same_items",
]  # fmt: skip

MISSING: Final = object()
"""What a place reads as where nothing is."""

PLAIN: Final = frozenset(
    {int, float, complex, bool, str, bytes, type(None), DType, Device, range, slice, types.EllipsisType}
)
"""Types whose values are compared by value: they cannot change."""

_SINGLETONS: Final = (type(None), bool, DType, Device, types.EllipsisType)


def is_plain(x: Any) -> bool:
    """Whether something is an unchangeable value, or a tuple or frozenset of such values."""
    kind = type(x)
    return kind in PLAIN or (kind in (tuple, frozenset) and all(is_plain(item) for item in x))


def same(a: Any, b: Any) -> bool:
    """Whether two values that were read from one place lead to the same graph."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind in (float, complex):
        return repr(a) == repr(b)  # nan is nan, and 0.0 is not -0.0
    if kind is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    if kind is slice:
        return same((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    if kind in PLAIN:
        return bool(a == b)
    if kind is frozenset:
        return bool(a == b) and same_items(tuple(a), tuple(b))
    if registry.owner(a) is not None and getattr(a, "shape", None) == () and hasattr(a, "tobytes"):
        return bool(a.dtype == b.dtype and a.tobytes() == b.tobytes())  # a NumPy scalar
    return False


def same_items(now: Iterable[Any], before: tuple[Any, ...]) -> bool:
    """Whether a container has the items it had, in the same order."""
    items = tuple(now)
    return len(items) == len(before) and (all(map(is_, items, before)) or all(map(same, items, before)))


def has_plain_attributes(cls: type) -> bool:
    """Whether reading an attribute of an object runs no code of the user's first."""
    return getattr(cls, "__getattribute__", None) is getattr(object, "__getattribute__", None)


def pairs(container: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    """The items of a dict, in order, whatever its class makes of iteration."""
    return OrderedDict.items(container) if isinstance(container, OrderedDict) else dict.items(container)


def refill(container: dict[Any, Any], items: Iterable[tuple[Any, Any]]) -> None:
    """Replace everything in a dict."""
    if isinstance(container, OrderedDict):
        OrderedDict.clear(container)
        OrderedDict.update(container, items)
    else:
        dict.clear(container)
        dict.update(container, items)


class Place:
    """Where something was found: ``key`` in ``container``.

    Attributes:
        fillable: whether a run can put a new tensor there.
    """

    __slots__ = ("container", "key")
    fillable: ClassVar[bool] = False

    def __init__(self, container: Any, key: Any = None) -> None:
        self.container = container
        self.key = key

    @property
    def name(self) -> tuple[Any, ...]:
        """Equal for equal places."""
        return type(self), id(self.container), self.key if isinstance(self.key, (str, int)) else id(self.key)

    def get(self) -> Any:
        """What is there now; may raise where nothing is."""
        raise NotImplementedError

    def read(self) -> Any:
        """What is there now, or MISSING."""
        try:
            return self.get()
        except (KeyError, IndexError, AttributeError, ValueError, LookupError, ReferenceError):
            return MISSING

    def write(self, value: Any) -> None:
        """Put something there."""
        raise NotImplementedError

    def code(self, container: str, key: str) -> str:
        """The expression that reads the place."""
        raise NotImplementedError

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        """The expression that is true while the place holds what it held.

        Args:
            container, key, before: the names of the container, the key and ``value``.
            value: what was there.
        """
        now = self.code(container, key)
        if is_plain(value) and not isinstance(value, _SINGLETONS):
            return f"({now} is {before} or _same({now}, {before}))"
        return f"{now} is {before}"

    def differs(self, before: Any, now: Any) -> bool:
        """Whether two readings of the place differ."""
        return not same(before, now)

    def __str__(self) -> str:
        return f"{type(self.container).__name__} [{self.key!r}]"


class Item(Place):
    """``container[key]``."""

    __slots__ = ()
    fillable = True

    def get(self) -> Any:
        if isinstance(self.container, dict):
            return dict.__getitem__(self.container, self.key)  # a defaultdict must not make one
        return self.container[self.key]

    def write(self, value: Any) -> None:
        if value is MISSING:
            self.container.pop(self.key, None)
        else:
            self.container[self.key] = value

    def code(self, container: str, key: str) -> str:
        exact = type(self.container) in (dict, list, types.MappingProxyType) or not isinstance(self.container, dict)
        return f"{container}[{key}]" if exact else f"_item({container}, {key})"

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        if value is MISSING:
            return f"{key} not in {container}"
        return super().test(container, key, before, value)

    def __str__(self) -> str:
        return f"the item {self.key!r} of a {type(self.container).__name__}"


class Attribute(Place):
    """``container.key``."""

    __slots__ = ()
    fillable = True

    def get(self) -> Any:
        return getattr(self.container, self.key)

    def write(self, value: Any) -> None:
        if value is MISSING:
            delattr(self.container, self.key)
        else:
            setattr(self.container, self.key, value)

    def code(self, container: str, key: str) -> str:
        return f"{container}.{self.key}"

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        if value is MISSING:
            return f"_getattr({container}, {self.key!r}, _MISSING) is _MISSING"
        return super().test(container, key, before, value)

    def __str__(self) -> str:
        holder = self.container if isinstance(self.container, type) else type(self.container)
        return f"the attribute {holder.__name__}.{self.key}"


class Bound(Place):
    """The content of a closure's cell."""

    __slots__ = ()
    fillable = True

    def get(self) -> Any:
        return self.container.cell_contents

    def write(self, value: Any) -> None:
        if value is MISSING:
            del self.container.cell_contents
        else:
            self.container.cell_contents = value

    def code(self, container: str, key: str) -> str:
        return f"{container}.cell_contents"

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        if value is MISSING:
            return f"_is_empty({container})"
        return super().test(container, key, before, value)

    def __str__(self) -> str:
        return "a variable of a closure"


class _Whole(Place):
    """Something about a container as a whole."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"a {type(self.container).__name__}"


class Length(_Whole):
    """``len(container)``."""

    __slots__ = ()

    def get(self) -> Any:
        return len(self.container)

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        return f"len({container}) == {value}"


class Empty(Place):
    """Whether ``container[key]`` is an empty container."""

    __slots__ = ()

    def get(self) -> Any:
        return not self.container[self.key]

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        return f"not {container}[{key}]"


class Truth(Place):
    """Whether a number in a dict is zero: the number itself is read anew at each run."""

    __slots__ = ()

    def get(self) -> Any:
        return bool(self.container[self.key])

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        return f"{'' if value else 'not '}{container}[{key}]"


class Members(_Whole):
    """The names that a class has."""

    __slots__ = ()

    def get(self) -> Any:
        return tuple(self.container.__dict__)

    def write(self, value: Any) -> None:
        for name in [n for n in self.container.__dict__ if n not in value]:
            delattr(self.container, name)

    def code(self, container: str, key: str) -> str:
        return container

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        return f"len({container}.__dict__) == {len(value)}"

    def __str__(self) -> str:
        return f"the class {self.container.__name__}"


class Order(_Whole):
    """The keys of a dict, in order."""

    __slots__ = ()

    def get(self) -> Any:
        return tuple(key for key, _ in pairs(self.container))

    def differs(self, before: Any, now: Any) -> bool:
        return not same_items(now, before)

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        if type(self.container) not in (dict, OrderedDict, defaultdict):
            return f"_same_items(_keys({container}), {before})"
        if all(type(k) is str for k in value):
            return f"(*{container},) == {before}" if value else f"not {container}"
        return f"_same_items({container}, {before})"


class Values(_Whole):
    """All items of a container, in order."""

    __slots__ = ()

    def get(self) -> Any:
        if isinstance(self.container, dict):
            return tuple(item for pair in pairs(self.container) for item in pair)
        return tuple(self.container)

    def differs(self, before: Any, now: Any) -> bool:
        return now is MISSING or not same_items(now, before)

    def write(self, value: Any) -> None:
        container = self.container
        if isinstance(container, dict):
            refill(container, zip(value[::2], value[1::2]))
        elif isinstance(container, list):
            list.__setitem__(container, slice(None), value)
        elif isinstance(container, deque):
            container.clear()
            container.extend(value)
        else:
            container.clear()
            container.update(value)

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        if not value and type(self.container) in (list, set, dict, deque):
            return f"not {container}"
        if isinstance(self.container, dict):
            return f"_same_items(_pairs({container}), {before})"
        return f"_same_items({container}, {before})"


class Elements(_Whole):
    """The objects in an array of objects."""

    __slots__ = ()

    def get(self) -> Any:
        return tuple(self.container.ravel().tolist())

    def differs(self, before: Any, now: Any) -> bool:
        return not same_items(now, before)

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        return f"_same_items({container}.ravel().tolist(), {before})"


class Bytes(_Whole):
    """The bytes of a bytearray, of a memoryview or of an array."""

    __slots__ = ()

    def get(self) -> Any:
        container = self.container
        if isinstance(container, bytearray):
            return bytes(container)
        about = (getattr(container, "shape", None), str(getattr(container, "dtype", "")))
        return container.tobytes(), about

    def write(self, value: Any) -> None:
        if isinstance(self.container, bytearray):
            self.container[:] = value

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        if isinstance(self.container, bytearray):
            return f"{container} == {before}"
        return f"{container}.tobytes() == {before}[0] and _bytes({container}) == {before}"


class Context(_Whole):
    """The value of a ContextVar."""

    __slots__ = ()

    def get(self) -> Any:
        return self.container.get(MISSING)

    def write(self, value: Any) -> None:
        self.container.set(value)

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        now = f"{container}.get(_MISSING)"
        return f"_same({now}, {before})" if is_plain(value) else f"{now} is {before}"


class Referent(_Whole):
    """What a weak reference refers to."""

    __slots__ = ()

    def get(self) -> Any:
        return self.container()

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        return f"{container}() is {before}"


class Kind(_Whole):
    """The class of an object."""

    __slots__ = ()

    def get(self) -> Any:
        return type(self.container)

    def write(self, value: Any) -> None:
        self.container.__class__ = value

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        plain = has_plain_attributes(type(self.container))
        return f"{container}.__class__ is {before}" if plain else f"_type({container}) is {before}"

    def __str__(self) -> str:
        return f"the class of a {type(self.container).__name__}"


class Stream(_Whole):
    """The state of a source of random numbers; ``key`` gets and sets it."""

    __slots__ = ()

    def __str__(self) -> str:
        return "the state of a source of random numbers"

    def get(self) -> Any:
        return self.key[0]()

    def write(self, value: Any) -> None:
        self.key[1](value)

    def differs(self, before: Any, now: Any) -> bool:
        return repr(before) != repr(now)


class Progress(_Whole):
    """How far an iterator has come; ``key`` tells."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"how far a {type(self.container).__name__} from outside has come"

    def get(self) -> Any:
        return self.key(self.container)

    def differs(self, before: Any, now: Any) -> bool:
        return bool(before != now)


class Derived(_Whole):
    """The result of a function, ``key``, of the container, such as a checksum."""

    __slots__ = ()

    def get(self) -> Any:
        return self.key(self.container)

    def differs(self, before: Any, now: Any) -> bool:
        return bool(before != now)

    def test(self, container: str, key: str, before: str, value: Any) -> str:
        return f"{key}({container}) == {before}"
