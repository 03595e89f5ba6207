"""Drawings of the layers of a network (course rows 10 and 15)."""

from xpnet.graph.drawing import Drawing
from xpnet.graph.parts import Edge, Node
from xpnet.layers import Layer
from xpnet.networks.network import Network, check_network
from xpnet.networks.summary import batch_shape


def network_graph(network: Network) -> Drawing:
    """Draw the layers of any network, with their numbers of parameters and the shapes between them.

    Nothing is computed. If the network does not know its input shape, shapes are left out. ``print`` the result, or
    call its method ``draw("network.png")``.

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
