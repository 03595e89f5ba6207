"""Transfer learning: a new head on the frozen layers of a trained network (course row 20)."""

import copy
from collections.abc import Mapping, Sequence

from xpnet.errors import ArgumentError
from xpnet.layers import Layer, LossLayer
from xpnet.networks.network import Network, check_network
from xpnet.networks.params import name_layers


def with_new_head(
    network: Network,
    head: Sequence[Layer] | Mapping[str, Layer],
    *,
    keep: str,
    last_layer: LossLayer | None = None,
    weight_decay_lambda: float = 0.0,
) -> Network:
    """A network of copied, frozen layers of a trained network and a new head.

    Training it takes no backward pass in the frozen layers. To train these too, at a low rate, call ``unfreeze()`` and
    use a new optimizer.

    Parameters
    ----------
    network
        The trained network, which is not changed.
    head
        The new layers, by name or in order, which are copied; their parameters must have the backend and the dtype of
        the network.
    keep
        The last layer to keep, by name: ``"Pool1"`` of a `SimpleConvNet`, ``"GlobalAveragePooling1"`` of a `ResNet`.
    last_layer, weight_decay_lambda
        As for `Network`; those of the trained network are not used.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet import Affine, Relu, SimpleConvNet
    >>> trained = SimpleConvNet(output_size=5, seed=0, backend="numpy")
    >>> options = {"rng": np.random.default_rng(1), "backend": "numpy"}
    >>> head = [Affine.create(4320, 50, "he", **options), Relu(), Affine.create(50, 5, "he", **options)]
    >>> with_new_head(trained, head, keep="Pool1")
    Network(1x28x28-30-50-5, 216,305 parameters, 780 frozen, float32 on numpy)
    """
    check_network(network)
    names = list(network.layers)
    if keep not in names:
        raise ArgumentError(f"keep must be the name of a layer, one of {', '.join(names)}, got {keep!r}.")
    kept = copy.deepcopy(dict(list(network.layers.items())[: names.index(keep) + 1]))
    new = list(head.values()) if isinstance(head, Mapping) else head
    if not isinstance(new, Sequence) or not all(isinstance(layer, Layer) for layer in new):
        raise ArgumentError(f"head must be a list of layers, such as `[Affine.create(n_in, n_out)]`, got {head!r}.")
    head = copy.deepcopy(head)
    if not isinstance(head, Mapping):
        # Numbered as if the layers that are kept stood before them.
        head = dict(list(name_layers([*kept.values(), *head]).items())[len(kept) :])
    if clash := [name for name in head if name in kept]:
        raise ArgumentError(
            f"The head has a layer {clash[0]!r}, and so do the layers that are kept. Give it another name."
        )
    whole = Network(
        {**kept, **head}, last_layer, weight_decay_lambda=weight_decay_lambda, input_shape=network.input_shape
    )
    return whole.freeze(*kept)
