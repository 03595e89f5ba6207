"""The exceptions of xpnet. Each message states what was expected, what came instead, and a fix.

::

    Exception
    └── XpnetError
        ├── ArgumentError             (ValueError)    an option out of its range
        ├── ShapeError                (ValueError)    an array of the wrong shape
        ├── LabelError                (ValueError)    a label that is no class of the network
        ├── DataError                 (ValueError)    a file or its numbers: missing, changed, not finite
        │   ├── DamagedFileError                      another copy of the file may be intact
        │   └── DatasetUnavailableError               neither on this machine nor downloadable
        ├── DtypeError                (TypeError)     numbers of the wrong kind
        ├── ArrayMixError             (TypeError)     arrays of two libraries or devices in one computation
        ├── BackendError              (RuntimeError)  a backend that is unknown or unavailable
        ├── BusyError                 (RuntimeError)  a network used by another thread's training
        ├── CaptureError              (RuntimeError)  a training step that cannot be captured
        ├── OutOfMemoryError          (MemoryError)   too little memory for a batch or for the data
        └── WriteError                (OSError)       a file that cannot be written
"""


class XpnetError(Exception):
    """Base class of all xpnet errors. Each subclass also derives from the matching built-in error."""


class ArgumentError(XpnetError, ValueError):
    """An option out of its range, such as a learning rate of zero."""


class ShapeError(XpnetError, ValueError):
    """An array of the wrong shape."""


class LabelError(XpnetError, ValueError):
    """A label that is no class of the network."""


class DataError(XpnetError, ValueError):
    """A file, or the numbers in it, that cannot be used: missing, cut short, changed, not finite."""


class DamagedFileError(DataError):
    """A file that was cut short or changed; another copy of it may be intact."""


class DatasetUnavailableError(DataError):
    """A data set that is not on this machine and cannot be downloaded."""


class DtypeError(XpnetError, TypeError):
    """Numbers of the wrong kind, such as integer inputs that are not uint8 pixels."""


class ArrayMixError(XpnetError, TypeError):
    """Arrays of two libraries or two devices in one computation."""


class BackendError(XpnetError, RuntimeError):
    """A requested backend that is unknown or cannot run here."""


class BusyError(XpnetError, RuntimeError):
    """A network that is being trained in one thread and was to be trained, or asked for gradients, in another."""


class CaptureError(XpnetError, RuntimeError):
    """A training step that cannot be captured and replayed, for example because it needs a value on the host."""


class OutOfMemoryError(XpnetError, MemoryError):
    """Too little memory, on the device or on this machine, for a batch or for the data."""


class WriteError(XpnetError, OSError):
    """A file that cannot be written: no space, no permission, or a folder of that name."""
