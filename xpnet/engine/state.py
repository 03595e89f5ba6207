"""The attributes of objects, and the arrays in them, of which a recorded training step must know where they lie."""

import functools
import pickle
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xpnet._core.arrays import Array, copied, is_array, is_writable, to_numpy
from xpnet.errors import CaptureError

__all__ = ["OTHER_NUMBERS", "Attributes", "Carried", "Constants"]

OTHER_NUMBERS = (
    "the step, whose recording gives other numbers: something in it changes from step to step that is neither kept in "
    "an array, from before the first step, nor given by the optimizer's `step_scalars(first, count)`"
)
"""Of a step that is refused because it does not give the same recorded as called."""


class Attributes:
    """The attributes of some objects, and the arrays in them: to be looked at, kept, and put back.

    Dictionaries and lists are looked into, other objects are not.
    """

    def __init__(self, owners: Sequence[object]) -> None:
        self._owners = owners

    def places(self) -> Iterator[tuple[str, Any, Any, Any]]:
        """Each place: a name such as ``Adam.v.all``, the container, the key in it, and what is there."""
        seen: Counter[str] = Counter()
        for owner in self._owners:
            kind = type(owner).__name__
            seen[kind] += 1
            yield from _places_in(_attributes(owner), kind if seen[kind] == 1 else f"{kind} {seen[kind]}")

    def arrays(self) -> dict[str, Array]:
        """The arrays, by the names of their places."""
        return {name: value for name, _, _, value in self.places() if _is_array(value)}

    def contents(self, names: Collection[str]) -> dict[str, Array]:
        """The numbers in the arrays of these names, copied."""
        arrays = {name: array for name, array in self.arrays().items() if name in names}
        copies = {id(array): array.copy() for array in arrays.values()}
        return {name: copies[id(array)] for name, array in arrays.items()}

    def check_constant(self, before: dict[str, Any]) -> None:
        """That the `scalars` are what they were a step ago; else a CaptureError that names one that is not."""
        for name, value in self.scalars().items():
            if before.get(name, value) != value:
                raise CaptureError(
                    f"{name}, which changes from step to step (from {before[name]!r} to {value!r}) on the host, where "
                    "a recording does not see it; let the optimizer's `step_scalars(first, count)` give what depends "
                    "on it"
                )

    def hold(self, expected: dict[str, Array]) -> bool:
        """Whether the arrays hold what `contents` gave, to the bit. Waits for the device."""
        arrays = self.arrays()
        pairs = ((to_numpy(numbers), to_numpy(arrays[name])) for name, numbers in expected.items())
        return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)

    def scalars(self) -> dict[str, Any]:
        """The Python numbers, strings and truth values, by the names of their places."""
        python = (int, float, str)
        return {name: v for name, _, _, v in self.places() if isinstance(v, python) and not isinstance(v, np.generic)}

    def rebound(self, before: dict[str, Array]) -> set[str]:
        """Where there was an array, as `arrays` gave it, and now is another of the same form."""
        return {
            name
            for name, array in self.arrays().items()
            if (old := before.get(name)) is not None and old is not array and _same_form(old, array)
        }

    def generator_states(self) -> dict[str, bytes]:
        """The states of all generators of random numbers among the attributes, and of the two that all programs share.

        By the names of their places, in a form that can be compared.
        """
        shared = np.random.get_state()  # noqa: NPY002 - which others may draw from
        states: dict[str, Any] = {"numpy.random": shared, "random": random.getstate()}
        for name, _, _, value in self.places():
            if isinstance(value, np.random.Generator):
                states[name] = value.bit_generator.state
            elif isinstance(value, np.random.RandomState):
                states[name] = value.get_state()
            elif isinstance(value, random.Random):
                states[name] = value.getstate()
        return {name: pickle.dumps(state) for name, state in states.items()}

    def check_nothing_drawn(self, before: dict[str, bytes]) -> None:
        """That the `generator_states` are what they were a step ago; else a CaptureError that names one that is not."""
        for name, state in self.generator_states().items():
            if before.get(name, state) != state:
                raise CaptureError(
                    f"{name}, of which the step draws random numbers: replayed, they would be the same each time. Draw "
                    "them by `xpnet._core.random` as Dropout does, or do not say `recordable = True`"
                )

    def written(self, before: Mapping[str, Any]) -> set[str]:
        """The names of the places that hold another object now than in `before`, which `values` gave."""
        return {name for name, value in self.values().items() if before.get(name) is not value}

    def values(self) -> dict[str, Any]:
        """Whatever there is, by the names of the places."""
        return {name: value for name, _, _, value in self.places()}

    def snapshot(self, *, numbers: bool = True) -> Callable[[], None]:
        """Keep everything as it is now; a call of the result puts it back, the numbers in the arrays too if wanted."""
        kept = [(_attributes(owner), dict(_attributes(owner))) for owner in self._owners]
        kept += [(value, value.copy()) for _, _, _, value in self.places() if type(value) in (dict, list)]
        # A layer may still hold a view of the user's data, which may be for reading only.
        unique = {id(array): array for array in self.arrays().values() if numbers and is_writable(array)}
        # What lies in another of them as a view is kept with that one.
        contents = [(a, copied(a)) for a in unique.values() if id(getattr(a, "base", None)) not in unique]
        generators = [put_back for _, _, _, value in self.places() if (put_back := _generator_state(value))]

        def restore() -> None:
            for container, items in kept:
                container.clear()
                container.update(items) if isinstance(container, dict) else container.extend(items)
            for array, content in contents:
                array[...] = content
            for put_back in generators:
                put_back()

        return restore


class Carried:
    """Arrays that a step reads and makes anew, as running statistics are: the next step must read what this one made.

    A recording reads where it read when it was made. So each has a place of its own, into which what is new is copied.

    Parameters
    ----------
    attributes
        Where they are.
    names
        Which. An array of our own, a copy, is put there: what is there may be a view of the user's data, which must not
        be written to.

    Attributes
    ----------
    own
        The arrays of our own, by their names.
    """

    def __init__(self, attributes: Attributes, names: set[str]) -> None:
        self._attributes = attributes
        self.own: dict[str, Array] = {}
        for name, container, key, value in list(attributes.places()):
            if name in names:
                container[key] = self.own[name] = value.copy()

    def bring(self) -> None:
        """Copy what is there now, made by steps that were called, into the arrays of our own, and put these there.

        All are looked at before one is changed, since one may be the old value of another.
        """
        if not self.own:
            return
        fresh = [
            (self.own[name], container, key, value.copy())
            for name, container, key, value in self._attributes.places()
            if (own := self.own.get(name)) is not None
            and own is not value
            and _same_form(own, value)  # what a layer keeps of a smaller batch is nothing that is carried
        ]
        for own, container, key, value in fresh:
            own[...] = value
            container[key] = own


class Constants:
    """What a recording takes for constant: arrays by where they are, everything else by its value.

    Made right after the recording. An attribute that has another value later, or is new, was set from outside.

    Parameters
    ----------
    attributes
        All attributes that a step may read.
    arrays
        The names of the arrays that the recording reads or writes where they are. Others do not count.
    varying
        The names of what the steps write or replace.
    """

    def __init__(self, attributes: Attributes, *, arrays: Collection[str], varying: Collection[str]) -> None:
        self._attributes = attributes
        self._varying = varying
        self._values = {name: v for name, v in self._all().items() if not _is_array(v) or name in arrays}
        self._names = self._all().keys()

    def hold(self) -> bool:
        """Whether nothing has been set since."""
        now = self._all()
        return now.keys() == self._names and all(_same(v, now[name]) for name, v in self._values.items())

    def _all(self) -> dict[str, Any]:
        return {
            name: value
            for name, _, _, value in self._attributes.places()
            if name not in self._varying and not name.endswith(".train") and type(value) not in (dict, list)
        }


def _same(a: Any, b: Any) -> bool:
    """The same object, or the same number, string or tuple of such."""
    if a is b:
        return True
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and isinstance(a, (int, float, str, np.generic)) and bool(a == b)


def _attributes(owner: object) -> dict[str, Any]:
    """Those of an object; a built-in function has none."""
    return getattr(owner, "__dict__", {})


def _places_in(container: Any, name: str) -> Iterator[tuple[str, Any, Any, Any]]:
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for key, value in list(items):
        yield f"{name}.{key}", container, key, value
        if type(value) in (dict, list):
            yield from _places_in(value, f"{name}.{key}")


def _generator_state(value: Any) -> Callable[[], None] | None:
    """Where `value` is a generator of random numbers: what puts back the state that it has now."""
    if isinstance(value, np.random.Generator):
        return functools.partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return functools.partial(value.setstate, value.getstate())
    return None


def _is_array(value: Any) -> bool:
    return is_array(value) and not isinstance(value, np.generic)


def _same_form(a: Array, b: Array) -> bool:
    return type(a) is type(b) and a.shape == b.shape and a.dtype == b.dtype
