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
from xpnet.errors import CaptureError

__all__ = ["OTHER_NUMBERS", "Constants", "Feedback", "Place", "StateScan", "StateSnapshot"]

OTHER_NUMBERS = (
    "the step, whose recording gives other numbers: something in it changes from step to step that is neither kept in "
    "an array, from before the first step, nor given by the optimizer's `step_scalars(first, count)`"
)
"""Of a step that is refused because it does not give the same recorded as called."""


class Place(NamedTuple):
    """An attribute of an object, or an item of a dictionary or list among its attributes."""

    name: str
    """Such as ``Adam.v.all``; the second Affine layer is ``Affine 2``."""
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
        """All values by name."""
        return {name: value for name, _, _, value in self.places()}

    def arrays(self) -> dict[str, Array]:
        """The arrays by name."""
        return {name: value for name, value in self.values().items() if _is_array(value)}

    def scalars(self) -> dict[str, Any]:
        """The Python numbers, strings and booleans by name."""
        scalar = (int, float, str)
        return {n: v for n, v in self.values().items() if isinstance(v, scalar) and not isinstance(v, np.generic)}

    def generator_states(self) -> dict[str, bytes]:
        """The states of all random generators by name, the two global ones included, in a form that can be compared."""
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
        """Whether the arrays equal these `contents` to the bit. Waits for the device."""
        arrays = self.arrays()
        return all(np.array_equal(to_numpy(a), to_numpy(arrays[n]), equal_nan=True) for n, a in contents.items())

    def replaced(self, before: Mapping[str, Array]) -> set[str]:
        """The names at which another array of the same form is bound than `before`, which `arrays` returned."""
        return {
            name
            for name, array in self.arrays().items()
            if (old := before.get(name)) is not None and old is not array and _same_form(old, array)
        }

    def check_constant(self, before: dict[str, Any]) -> None:
        """That the `scalars` are what they were a step ago; else a CaptureError that names one that is not."""
        for name, value in self.scalars().items():
            if before.get(name, value) != value:
                raise CaptureError(
                    f"{name}, which changes from step to step (from {before[name]!r} to {value!r}) on the host, where "
                    "a recording does not see it; let the optimizer's `step_scalars(first, count)` give what depends "
                    "on it"
                )

    def check_nothing_drawn(self, before: dict[str, bytes]) -> None:
        """That the `generator_states` are what they were a step ago; else a CaptureError that names one that is not."""
        for name, state in self.generator_states().items():
            if before.get(name, state) != state:
                raise CaptureError(
                    f"{name}, of which the step draws random numbers: replayed, they would be the same each time. Draw "
                    "them by `xpnet._core.random` as Dropout does, or do not say `recordable = True`"
                )

    def written(self, before: Mapping[str, Any]) -> set[str]:
        """The names at which another object is bound than `before`, which `values` returned."""
        return {name for name, value in self.values().items() if before.get(name) is not value}


class StateSnapshot:
    """What some objects hold now; `restore` puts it back, as often as it is called.

    All attributes are bound again; arrays, which a step may write in place, get their numbers back too, and random
    generators their states.

    Parameters
    ----------
    owners
        The objects.
    contents
        False for the bindings alone.
    declared
        Of an object of this library keep only the contents of what it declares in `state_names`, which is faster.
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
                    get, put = access
                    self._generators.append((put, get()))
        # A view of another of them is copied with that one.
        self._contents = [(a, copied(a)) for a in arrays.values() if id(getattr(a, "base", None)) not in arrays]

    def restore(self) -> None:
        """Put everything back."""
        for container, items in self._bindings:
            if isinstance(container, list):
                container[:] = items
                continue
            for key in [key for key in container if key not in items]:
                del container[key]
            container.update(items)  # never empty, for threads that read it
        for array, content in self._contents:
            if is_writable(array):  # what cannot be written in place was not
                array[...] = content
        for put, state in self._generators:
            put(state)


class Feedback:
    """Arrays that a step reads and rebinds, as running statistics: each step must read what the one before has made.

    A replay always reads the array that it read when it was captured. So each of these attributes gets an array of its
    own, into which new values are copied.

    Attributes
    ----------
    own
        These arrays by name: copies, since what was bound may be a view of the user's data.
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
        # All are copied before one is written, since one may be the old value of another. An array of another form is
        # what a layer keeps of a smaller batch, and no feedback.
        fresh = [
            (own, place, place.value.copy())
            for place in self._state.places()
            if (own := self.own.get(place.name)) is not None and own is not place.value and _same_form(own, place.value)
        ]
        for own, place, value in fresh:
            own[...] = value
            place.container[place.key] = own


class Constants:
    """What a capture takes for constant: arrays by identity, other attributes by value.

    Parameters
    ----------
    state
        All attributes that a step may read.
    arrays
        The names of the arrays that the capture reads or writes in place; other arrays do not count.
    varying
        The names of attributes that steps write or replace.
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
        return {
            name: value
            for name, value in self._state.values().items()
            if name not in self._varying and not name.endswith(".train") and type(value) not in (dict, list)
        }


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
