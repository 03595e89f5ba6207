"""Find, copy, compare and restore what a set of objects holds from one training step to the next."""

import functools
import pickle
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnet._core.arrays import Array, copied, is_array, is_writable, to_numpy
from xpnet._core.declared import is_library_class


class Place(NamedTuple):
    """An attribute of an object, or an item of a dictionary or list among its attributes."""

    name: str  # such as ``Adam.v.all``; that of the second Affine layer begins with ``Affine 2``
    container: Any
    key: Any
    value: Any


class StateScan:
    """The attributes of some objects by name. Dictionaries and lists are searched, other objects are not."""

    def __init__(self, owners: Sequence[object]) -> None:
        self.owners = owners

    def places(self) -> Iterator[Place]:
        """Each attribute."""
        seen: Counter[str] = Counter()
        for owner in self.owners:
            kind = type(owner).__name__
            seen[kind] += 1
            yield from _places_in(_attributes(owner), kind if seen[kind] == 1 else f"{kind} {seen[kind]}")

    def values(self) -> dict[str, Any]:
        """All values."""
        return {place.name: place.value for place in self.places()}

    def arrays(self) -> dict[str, Array]:
        """The arrays."""
        return {name: value for name, value in self.values().items() if _is_array(value)}

    def scalars(self) -> dict[str, Any]:
        """The Python numbers, strings and booleans."""
        scalar = (int, float, str)
        return {n: v for n, v in self.values().items() if isinstance(v, scalar) and not isinstance(v, np.generic)}

    def generator_states(self) -> dict[str, bytes]:
        """The states of all random generators, the two global ones included, in a form that can be compared."""
        states: dict[str, Any] = {"numpy.random": np.random.get_state(), "random": random.getstate()}  # noqa: NPY002
        for name, value in self.values().items():
            if (access := _generator_access(value)) is not None:
                states[name] = access[0]()
        return {name: pickle.dumps(state) for name, state in states.items()}

    def contents(self, names: Collection[str]) -> dict[str, Array]:
        """Copies of the arrays of these names."""
        arrays = {name: array for name, array in self.arrays().items() if name in names}
        copies = {id(array): array.copy() for array in arrays.values()}
        return {name: copies[id(array)] for name, array in arrays.items()}

    def matches(self, contents: Mapping[str, Array]) -> bool:
        """Whether the arrays equal `contents` to the bit. Waits for the device."""
        arrays = self.arrays()
        return all(np.array_equal(to_numpy(a), to_numpy(arrays[n]), equal_nan=True) for n, a in contents.items())

    def replaced(self, before: Mapping[str, Array]) -> set[str]:
        """The names at which there is another array of the same form than in `before`, the earlier `arrays`."""
        now = self.arrays()
        return {n for n, a in before.items() if n in now and now[n] is not a and _same_form(now[n], a)}


class StateSnapshot:
    """What some objects hold now: bindings of attributes, contents of arrays, states of random generators.

    `contents=False` keeps the bindings alone. `declared=True` keeps of an object of this library only the contents of
    what it declares in `state_names`, which is faster.
    """

    def __init__(self, owners: Sequence[object], *, contents: bool = True, declared: bool = False) -> None:
        self._bindings: list[tuple[Any, Any]] = []
        self._generators: list[tuple[Callable[[Any], None], Any]] = []
        arrays: dict[int, Array] = {}
        for owner in owners:
            attributes = _attributes(owner)
            self._bindings.append((attributes, attributes.copy()))
            for value in _kept_values(owner, attributes, declared=declared):
                if type(value) in (dict, list):
                    self._bindings.append((value, value.copy()))
                elif contents and _is_array(value):
                    arrays[id(value)] = value
                elif (access := _generator_access(value)) is not None:
                    self._generators.append((access[1], access[0]()))
        # A view of another of them is copied with that one.
        self._contents = [(a, copied(a)) for a in arrays.values() if id(getattr(a, "base", None)) not in arrays]

    def restore(self) -> None:
        """Put everything back; may be called again."""
        for container, items in self._bindings:
            if isinstance(container, list):
                container[:] = items
                continue
            for key in [key for key in container if key not in items]:
                del container[key]
            container.update(items)  # never empty, for threads that read it
        for array, content in self._contents:
            if is_writable(array):  # no step has written to others
                array[...] = content
        for put, state in self._generators:
            put(state)


class Feedback:
    """Arrays that a step reads and rebinds, such as running statistics: each step must read what the last one made.

    A replay reads the array that it read when it was captured. So each of these attributes gets an array of its `own`,
    a copy, since the array that was bound may be the user's; new values are copied into it.
    """

    def __init__(self, state: StateScan, names: Collection[str]) -> None:
        self._state = state
        self.own: dict[str, Array] = {}
        for name, container, key, value in list(state.places()):
            if name in names:
                container[key] = self.own[name] = value.copy()

    def copy_back(self) -> None:
        """Copy what is bound now into the own arrays, and bind these."""
        if not self.own:
            return
        # An array of another form is what a layer keeps of a smaller batch, and no feedback.
        found = [(place, self.own[place.name]) for place in self._state.places() if place.name in self.own]
        found = [(place, own) for place, own in found if place.value is not own and _same_form(place.value, own)]
        values = [place.value.copy() for place, _ in found]  # all first: one may be the old value of another
        for (place, own), value in zip(found, values, strict=True):
            own[...] = value
            place.container[place.key] = own


class Constants:
    """What a capture takes for constant: arrays by identity, other attributes by value.

    An array counts only if `arrays` has its name: the capture uses it in place. An attribute whose name is in `varying`
    does not count: steps write it or bind it again.
    """

    def __init__(self, state: StateScan, *, arrays: Collection[str], varying: Collection[str]) -> None:
        self._state = state
        self._varying = varying
        self._names = self._now().keys()
        self._values = {name: v for name, v in self._now().items() if not _is_array(v) or name in arrays}

    def unchanged(self) -> bool:
        """Whether no attribute was set from outside since."""
        now = self._now()
        return now.keys() == self._names and all(_same(v, now[name]) for name, v in self._values.items())

    def _now(self) -> dict[str, Any]:
        found = self._state.values().items()
        values = {name: v for name, v in found if name not in self._varying and type(v) not in (dict, list)}
        return {name: v for name, v in values.items() if not name.endswith(".train")}


def _same(a: Any, b: Any) -> bool:
    """The same object, or the same number, string or tuple of such."""
    if a is b:
        return True
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and isinstance(a, (int, float, str, np.generic)) and bool(a == b)


def _same_form(a: Array, b: Array) -> bool:
    return type(a) is type(b) and a.shape == b.shape and a.dtype == b.dtype


def _is_array(value: Any) -> bool:
    return is_array(value) and not isinstance(value, np.generic)


def _attributes(owner: object) -> dict[str, Any]:
    return getattr(owner, "__dict__", {})  # a built-in function has none


def _kept_values(owner: object, attributes: dict[str, Any], *, declared: bool) -> Iterable[Any]:
    """What an object keeps from step to step: a class from outside the library may keep it in any attribute."""
    if declared and hasattr(owner, "state_names") and is_library_class(type(owner)):
        return [attributes[name] for name in owner.state_names if name in attributes]
    return [place.value for place in _places_in(attributes, "")]


def _places_in(container: Any, name: str) -> Iterator[Place]:
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for key, value in list(items):
        yield Place(f"{name}.{key}", container, key, value)
        if type(value) in (dict, list):
            yield from _places_in(value, f"{name}.{key}")


def _generator_access(value: Any) -> tuple[Callable[[], Any], Callable[[Any], None]] | None:
    """What gets and what sets the state of a random generator; None for anything else."""
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        return lambda: bits.state, functools.partial(setattr, bits, "state")
    if isinstance(value, np.random.RandomState):
        return value.get_state, value.set_state
    if isinstance(value, random.Random):
        return value.getstate, value.setstate
    return None
