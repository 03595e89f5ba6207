"""Optimizers with the course's ``update(params, grads)``."""

import inspect
from collections.abc import Mapping
from typing import Any

from xpnet.errors import ArgumentError
from xpnet.optimizers.adaptive import AdaGrad, Adam, AdamW, RMSprop
from xpnet.optimizers.base import Optimizer, SupportsUpdate, bind, check_bound
from xpnet.optimizers.sgd import SGD, Momentum, Nesterov

__all__ = [
    "SGD", "AdaGrad", "Adam", "AdamW", "Momentum", "Nesterov", "Optimizer", "RMSprop", "SupportsUpdate", "bind",
    "check_bound", "make_optimizer",
]  # fmt: skip

_BY_NAME = {cls.__name__.lower(): cls for cls in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam, AdamW)}


def make_optimizer(optimizer: str | SupportsUpdate, options: Mapping[str, Any]) -> SupportsUpdate:
    """An optimizer by its name, in any case, and its arguments; an optimizer itself is returned unchanged."""
    if not isinstance(optimizer, str):
        if isinstance(optimizer, type):
            raise ArgumentError(f"Expected an optimizer, got the class. Use `{optimizer.__name__}(lr=0.01)`.")
        if not callable(getattr(optimizer, "update", None)):
            raise ArgumentError(f"An optimizer has a method `update(params, grads)`; {optimizer!r} has none.")
        if options:
            raise ArgumentError(
                f"optimizer_param={dict(options)} is for an optimizer given by name; {optimizer!r} is already made. "
                "Give it its arguments when you create it."
            )
        return optimizer
    if optimizer.lower() not in _BY_NAME:
        names = ", ".join(repr(cls.__name__) for cls in _BY_NAME.values())
        raise ArgumentError(f"There is no optimizer {optimizer!r}. Use one of {names}, or an optimizer object.")
    kind = _BY_NAME[optimizer.lower()]
    known = inspect.signature(kind).parameters
    if unknown := [name for name in options if name not in known]:
        raise ArgumentError(f"{kind.__name__} takes no argument `{unknown[0]}`; it takes {', '.join(known)}.")
    return kind(**options)
