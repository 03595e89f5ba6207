"""xpnet: neural networks written once, in readable array code, run on NumPy and on CuPy.

The public names are listed in ``__init__.pyi``, beside this file. Each is loaded when it is first used, so that
``import xpnet`` takes no longer than ``import numpy``.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
