"""What classes declare about their methods: ``recordable`` and ``fusable``.

The methods of this library make the same array operations in every step. Those of a class from outside may do anything,
so such a class declares these attributes itself; what it inherits does not count. To change what a layer computes,
derive a class. A method that is replaced on an object, or on a class of this library, is called in every step.
"""

from typing import Any

_METHODS = "forward", "backward", "compute_loss", "compute_gradients"


def is_library_class(kind: type) -> bool:
    """Whether a class belongs to this library."""
    return kind.__module__.startswith("xpnet.")


def is_library_code(method: Any) -> bool:
    """Whether a function or method is code of this library; `functools.wraps` does not make it so."""
    try:
        module: str = method.__globals__["__name__"]
    except (AttributeError, KeyError):
        return False
    return module.startswith("xpnet.")


def has_replaced_method(part: object) -> bool:
    """Whether a method that computes was assigned to a layer or network, or to its class in this library."""
    kind = type(part)
    return any(name in vars(part) for name in _METHODS) or (is_library_class(kind) and not _is_library_code(kind))


def methods_of(part: object) -> list[Any]:
    """The functions by which a layer or network computes; others in their place make another capture necessary."""
    return [vars(part).get(name, getattr(type(part), name, None)) for name in _METHODS]


def is_fusable(part: object) -> bool:
    """Whether a fused layer may take the place of a layer and its neighbor."""
    return vars(type(part)).get("fusable", False) and not has_replaced_method(part)


def is_recordable(part: object) -> bool:
    """Whether the methods of a layer or network make the same array operations in every step."""
    kind = type(part)
    default = _is_library_code(kind) and getattr(kind, "recordable", True)
    return bool(vars(kind).get("recordable", default)) and not has_replaced_method(part)


def _is_library_code(kind: type) -> bool:
    return all(is_library_code(getattr(kind, name)) for name in _METHODS if hasattr(kind, name))
