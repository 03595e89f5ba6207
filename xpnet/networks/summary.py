"""A network as a table."""

from collections.abc import Mapping

from xpnet.layers import Layer, LossLayer

__all__ = ["batch_shape", "summary_table"]


def summary_table(layers: Mapping[str, Layer], last_layer: LossLayer, input_shape: tuple[int, ...] | None) -> str:
    """The layers, the shape of what each gives out for N samples of that shape, and how many numbers each learns."""
    from tabulate import tabulate

    rows, shape = [], input_shape
    for name, layer in layers.items():
        shape = None if shape is None else layer.output_shape(shape)
        rows.append((name, repr(layer), batch_shape(shape), _count(layer)))
    rows.append(("last layer", repr(last_layer), "scalar", "0"))
    return tabulate(rows, headers=("name", "layer", "output", "parameters"), colalign=("left",) * 3 + ("right",))


def _count(layer: Layer) -> str:
    return f"{layer.frozen_count:,} frozen" if layer.frozen_count else f"{layer.parameter_count:,}"


def batch_shape(shape: tuple[int, ...] | None) -> str:
    """``"(N, 784)"`` for samples of shape (784,); nothing where the shape is not known."""
    return "" if shape is None else f"({', '.join(map(str, ('N', *shape)))})"
