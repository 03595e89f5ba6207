"""xpnet: neural networks written once, in readable array code, run on NumPy and on CuPy.

The public names are listed in ``__init__.pyi``, beside this file. Each is loaded when it is first used, so that
``import xpnet`` takes no longer than ``import numpy``.
"""

import importlib
from typing import Any

import lazy_loader

__version__ = "0.1.0"

_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """A public name, or one of xpnet's modules (``xpnet.layers``), loaded now."""
    if name not in __all__ and not name.startswith("_"):
        try:
            return importlib.import_module(f"xpnet.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"xpnet.{name}":
                raise  # the module is there, and something that it needs is not
    return _public_name(name)
