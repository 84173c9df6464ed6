"""What a traced function looked at besides its arguments, and whether it is still what it was.

A traced function's Python ran once. What it read on the way (variables of closures, globals, defaults, attributes of
objects and of their classes, items of containers) is fixed in the graph, so it is compared before each run. A
:class:`Surroundings` walks from the function to every place that its code can read:

- **Before the trace** it follows all code that can be reached. This is the state that is compared after the trace, to find
  what the function changed, and that is put back.
- **After the trace** it follows the code that ran (:mod:`.witness`): only what this code mentions is guarded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from .places import (
    MISSING,
    Bound,
    Bytes,
    Item,
    Length,
    Order,
    Place,
    Progress,
    Referent,
    Stream,
    Truth,
    Values,
    refill,
    same,
    same_items,
)
from .walking import Walk

__all__ = ["Change", "Surroundings"]

Change = tuple[Any, Place, Any, Any]
"""A changed place: its name, the place, what was there, what is there."""


class Surroundings(Walk):
    """Every place that a function's run can look at, what is there, and whether it still is."""

    def check(self, leave_out: Iterable[Any] = ()) -> Callable[[], bool]:
        """A function that says, quickly, whether everything is as it was, but for the places of some names."""
        scope: dict[str, Any] = {
            "_same": same, "_same_items": same_items, "_MISSING": MISSING, "_getattr": getattr, "_type": type,
            "_item": dict.__getitem__, "_pairs": lambda d: Values(d).get(), "_keys": lambda d: Order(d).get(),
            "_is_empty": lambda cell: Bound(cell).read() is MISSING,
            "_bytes": lambda x: Bytes(x).get(),
        }  # fmt: skip
        names: dict[int, str] = {}
        skipped = set(leave_out)

        def named(thing: Any) -> str:
            name = names.get(id(thing))
            if name is None:
                name = names[id(thing)] = f"t{len(names)}"
                scope[name] = thing
            return name

        tests = []
        for name, (place, value) in self.places.items():
            if name in skipped or isinstance(place, (Stream, Progress)):
                continue
            key = repr(place.key) if isinstance(place.key, (str, int)) else named(place.key)
            tests.append(place.test(named(place.container), key, named(value), value))
        body = " and\n        ".join(tests) or "True"
        source = (
            f"def holds():\n    try:\n        return ({body})\n"
            "    except (LookupError, AttributeError, ValueError, TypeError, ReferenceError):\n        return False\n"
        )
        exec(compile(source, "<guards>", "exec"), scope)
        return scope["holds"]  # type: ignore[no-any-return]

    def changes(self) -> list[Change]:
        """The places that have another content now: name, place, then, now. What is loose, and what libraries keep for
        themselves, is not among them."""
        changed = []
        for name, (place, old) in self.places.items():
            if name not in self._quiet:
                now = place.read()
                if place.differs(old, now):
                    changed.append((name, place, old, now))
        return changed

    def restore(self, changed: list[Change]) -> None:
        """Undo changes: what these places hold is again what it was."""
        known: dict[int, dict[Any, Any]] = {}
        for place, old in self.places.values():
            if isinstance(place, Item) and old is not MISSING:
                known.setdefault(id(place.container), {})[place.key] = old
        for _, place, old, _ in changed:
            container, items = place.container, known.get(id(place.container), {})
            if isinstance(place, Length) and isinstance(container, list):
                list.__setitem__(container, slice(None), list(items.values()))
            elif isinstance(place, Order) and items.keys() >= set(old):
                refill(container, [(k, items[k]) for k in old])
            elif isinstance(place, Order):  # an object's attributes, of which not all are known
                for key in [k for k in container if k not in old]:
                    dict.pop(container, key)
        for _, place, old, _ in changed:
            if not isinstance(place, (Length, Order, Progress, Referent, Truth)) and place.read() is not old:
                with suppress(NotImplementedError, AttributeError, TypeError, KeyError):
                    place.write(old)
