"""A network as a table."""

import math
from collections.abc import Mapping

from xpnet.layers import Layer, LossLayer

__all__ = ["summary_table"]


def summary_table(layers: Mapping[str, Layer], last_layer: LossLayer, input_shape: tuple[int, ...] | None) -> str:
    """The layers, the shape of what each gives out for N samples of that shape, and how many numbers each learns."""
    from tabulate import tabulate

    rows, shape = [], input_shape
    for name, layer in layers.items():
        shape = None if shape is None else layer.output_shape(shape)
        count = sum(math.prod(getattr(layer, parameter).shape) for parameter in layer.parameter_names)
        rows.append((name, repr(layer), "" if shape is None else f"(N, {', '.join(map(str, shape))})", f"{count:,}"))
    rows.append(("last layer", repr(last_layer), "scalar", "0"))
    return tabulate(rows, headers=("name", "layer", "output", "parameters"), colalign=("left",) * 3 + ("right",))
