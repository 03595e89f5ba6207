"""A network's flat buffer as a mapping for optimizers."""

from collections.abc import Mapping

from xpnet._core.arrays import Array
from xpnet._core.checks import check_form


class Flat(dict[str, Array]):
    """A mapping of one name to a buffer; assigned arrays are copied into the buffer."""

    def __init__(self, buffers: Mapping[str, Array], optimizer_marks: set[str] | None = None) -> None:
        super().__init__(buffers)
        self.optimizer_marks = optimizer_marks

    def __setitem__(self, key: str, value: Array) -> None:
        buffer = self[key]
        if value is not buffer:
            check_form(key, value, buffer)
            buffer[...] = value
