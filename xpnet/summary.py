"""A network as a table."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xpnet.network import Network

__all__ = ["summary_table"]


def summary_table(network: "Network") -> str:
    """The layers, the shape of what each gives out, and how many numbers each learns."""
    from tabulate import tabulate

    rows, shape = [], network.input_shape
    for name, layer in network.layers.items():
        shape = None if shape is None else layer.output_shape(shape)
        count = sum(math.prod(getattr(layer, parameter).shape) for parameter in layer.parameter_names)
        rows.append((name, repr(layer), "" if shape is None else f"(N, {', '.join(map(str, shape))})", f"{count:,}"))
    rows.append(("last layer", repr(network.last_layer), "scalar", "0"))
    table = tabulate(rows, headers=("name", "layer", "output", "parameters"), colalign=("left",) * 3 + ("right",))
    return f"{network!r}\n\n{table}"
