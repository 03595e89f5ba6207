"""The errors xpnet raises: what came, what was expected, and the line that mends it."""

__all__ = [
    "ArgumentError",
    "ArrayMixError",
    "BackendError",
    "BusyError",
    "CaptureError",
    "DamagedFileError",
    "DataError",
    "DatasetUnavailableError",
    "DtypeError",
    "LabelError",
    "OutOfMemoryError",
    "ShapeError",
    "WriteError",
    "XpnetError",
]


class XpnetError(Exception):
    """Everything xpnet raises on purpose; each is also the built-in error one would expect."""


class BackendError(XpnetError, RuntimeError):
    """A backend that was asked for is unknown, or cannot run here."""


class BusyError(XpnetError, RuntimeError):
    """A network that is being trained in one thread was to be trained, or to give its gradients, in another."""


class CaptureError(XpnetError, RuntimeError):
    """Something in a training step cannot be recorded and replayed: it needs a value on the host, say."""


class ArrayMixError(XpnetError, TypeError):
    """Arrays of two libraries, or of two devices, met in one computation."""


class DtypeError(XpnetError, TypeError):
    """Numbers of a kind that cannot be meant: integers as inputs, say, which are neither pixels nor floats."""


class ShapeError(XpnetError, ValueError):
    """An array of the wrong shape."""


class LabelError(XpnetError, ValueError):
    """A label that is no class of the network."""


class OutOfMemoryError(XpnetError, MemoryError):
    """The device, or this machine, has too little memory for a batch or for the data."""


class DataError(XpnetError, ValueError):
    """A file, or the numbers in it, that cannot be trusted: missing, cut short, changed, not finite."""


class DamagedFileError(DataError):
    """A file that was cut short or changed: another copy of it may be whole."""


class DatasetUnavailableError(DataError):
    """A data set that is not on this machine and cannot be downloaded either."""


class WriteError(XpnetError, OSError):
    """A file that cannot be written: no space, no permission, or a folder of that name."""


class ArgumentError(XpnetError, ValueError):
    """An option out of its range: a learning rate of zero, a batch of no images."""
