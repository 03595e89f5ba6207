"""xpnet: small neural networks in readable array code, on NumPy and on CuPy.

``__init__.pyi`` lists the public names. Each is loaded when it is first used, which keeps ``import xpnet`` fast.
"""

import importlib
from typing import Any

import lazy_loader

__version__ = "0.1.0"

_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Load a public name, or a module such as ``xpnet.layers``."""
    if name not in __all__ and not name.startswith("_"):
        try:
            return importlib.import_module(f"xpnet.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"xpnet.{name}":
                raise  # a dependency of the module is missing
    return _public_name(name)
