"""The summary of a network as a table."""

from collections.abc import Mapping

from xpnet.layers import Layer, LossLayer


def summary_table(layers: Mapping[str, Layer], last_layer: LossLayer, input_shape: tuple[int, ...] | None) -> str:
    """A table of the layers, their output shapes for N samples of the input shape, and their numbers of parameters."""
    from tabulate import tabulate

    rows, shape = [], input_shape
    for name, layer in layers.items():
        shape = None if shape is None else layer.output_shape(shape)
        count = f"{layer.frozen_count:,} frozen" if layer.frozen_count else f"{layer.parameter_count:,}"
        rows.append((name, repr(layer), batch_shape(shape), count))
    rows.append(("last layer", repr(last_layer), "scalar", "0"))
    return tabulate(rows, headers=("name", "layer", "output", "parameters"), colalign=("left",) * 3 + ("right",))


def batch_shape(shape: tuple[int, ...] | None) -> str:
    """``"(N, 784)"`` for samples of shape (784,); ``""`` if the shape is unknown."""
    return "" if shape is None else f"({', '.join(map(str, ('N', *shape)))})"
