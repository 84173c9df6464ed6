"""What a traced function looked at besides its arguments, and whether it is still what it was.

A traced function's Python ran once. What it read on the way (variables of closures, globals, defaults, attributes of
objects and of their classes, items of containers) is fixed in the graph, so it is compared before each run. A
:class:`Surroundings` walks from the function to every place that its code can read:

- **Before the trace** it follows all code that can be reached. This is the state that is compared after the trace, to find
  what the function changed, and that is put back.
- **After the trace** it follows the code that ran (:mod:`.witness`): only what this code mentions is guarded.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
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

    def forget(self, names: Iterable[Any]) -> None:
        """Let go of places, and of everything that was only met on the way."""
        for name in names:
            self.places.pop(name, None)
        for met in (self.tensors, self.loose, self._alive, self._objects, self._seen, self._scanned, self._stack):
            met.clear()
        self._witness = None

    def explain(self) -> list[str]:
        """The places that are compared before each run, and how long that takes, in words."""
        counts: dict[str, int] = {}
        for place, _ in self.places.values():
            if not isinstance(place, (Stream, Progress)):
                counts[str(place)] = counts.get(str(place), 0) + 1
        holds = self.check()
        took = min(timeit.repeat(holds, number=20, repeat=5)) / 20
        lines = [f"guards: {sum(counts.values())} places, compared in {took * 1e6:.1f} us"]
        return lines + [f"  {text}" + (f" (x{n})" if n > 1 else "") for text, n in counts.items()]

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

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """The scope of a call that each run makes again: what it changes is not undone."""
        start = {name: place.read() for name, (place, _) in self.places.items()}
        try:
            yield
        finally:
            for name, then in start.items():
                place = self.places[name][0]
                now = place.read()
                if place.differs(then, now):
                    self.places[name] = (place, now)

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
