"""A network as a graph of its layers, to look at (course rows 10 and 15)."""

from xpnet.graph.drawing import Drawing
from xpnet.graph.parts import Edge, Node
from xpnet.layers import Layer
from xpnet.networks.network import Network, check_network
from xpnet.networks.summary import batch_shape

__all__ = ["network_graph"]


def network_graph(network: Network) -> Drawing:
    """The layers of a network, how many parameters each has, and the shapes of what goes from one to the next.

    Nothing is computed. Where the network does not know the shape of its input, the shapes are left out.

    Parameters
    ----------
    network
        Any network, on any backend.

    Returns
    -------
    Drawing
        ``print(...)`` it, or ``.draw("network.png")``.

    Examples
    --------
    >>> from xpnet import TwoLayerNet
    >>> print(network_graph(TwoLayerNet(784, 50, 10, backend="numpy")))
    TwoLayerNet(784-50-10, 39,760 parameters, float32 on numpy)
    <BLANKLINE>
    x
    │  (N, 784)
    Affine1     Affine(784 -> 50)  39,250 parameters
    │  (N, 50)
    Relu1       Relu()
    │  (N, 50)
    Affine2     Affine(50 -> 10)      510 parameters
    │  (N, 10)
    last layer  SoftmaxWithLoss()  ←── t
    │
    loss
    """
    check_network(network)
    nodes, edges = [Node("x", "x", "input")], []
    shape = network.input_shape
    for number, (name, layer) in enumerate(network.layers.items()):
        key = f"layer{number}"
        edges.append(Edge(nodes[-1].key, key, batch_shape(shape)))
        nodes.append(Node(key, name, "layer", (repr(layer), _parameter_count(layer))))
        shape = None if shape is None else layer.output_shape(shape)
    edges += [Edge(nodes[-1].key, "last", batch_shape(shape)), Edge("t", "last"), Edge("last", "loss")]
    nodes += [
        Node("t", "t", "input"),
        Node("last", "last layer", "layer", (repr(network.last_layer), "")),
        Node("loss", "loss", "output"),
    ]
    return Drawing(repr(network), tuple(nodes), tuple(edges), "TB")


def _parameter_count(layer: Layer) -> str:
    number = layer.parameter_count + layer.frozen_count
    return f"{number:,} parameter{'s' if number > 1 else ''}{', frozen' * layer.frozen}" if number else ""
