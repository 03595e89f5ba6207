"""Attributes that are checked whenever they are set, and attributes that can be set only once."""

from collections.abc import Callable
from typing import Any

from xpnet.errors import ArgumentError


class Setting:
    """An attribute that stores what ``check(object, name, value)`` returns whenever it is set.

    It has no ``__get__``, so that reading it is as fast as reading any attribute.
    """

    def __init__(self, check: Callable[[Any, str, Any], Any]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)[self._name] = self._check(instance, self._name, value)


def checked_setting(check: Callable[[Any, Any], Any]) -> Any:
    """An attribute that stores what ``check(object, value)`` returns whenever it is set."""
    return Setting(lambda instance, _, value: check(instance, value))


def fixed_setting(remedy: str) -> Any:
    """An attribute that is set once, by the constructor; setting it again raises an ArgumentError with the remedy.

    Examples
    --------
    >>> class Line:
    ...     length = fixed_setting("Make another one: `Line(2)`.")
    ...     def __init__(self, length):
    ...         self.length = length
    >>> line = Line(1)
    >>> line.length = 2
    Traceback (most recent call last):
        ...
    xpnet.errors.ArgumentError: `length` cannot be changed once the Line is made. Make another one: `Line(2)`.
    """

    def check(instance: Any, name: str, value: Any) -> Any:
        if name in vars(instance):
            kind = next(cls.__name__ for cls in type(instance).__mro__ if name in vars(cls))
            raise ArgumentError(f"`{name}` cannot be changed once the {kind} is made. {remedy}")
        return value

    return Setting(check)
