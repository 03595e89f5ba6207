"""A three-layer network, computed by hand: 2 inputs, 3 and 2 hidden units, 2 outputs (course row 5)."""

from xpnet import ThreeLayerNet, asarray, get_array_module, sigmoid, softmax, to_numpy
from xpnet.functions import identity_function


def init_network():
    """The course's weights and biases."""
    return {
        "W1": asarray([[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]]),
        "b1": asarray([0.1, 0.2, 0.3]),
        "W2": asarray([[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]]),
        "b2": asarray([0.1, 0.2]),
        "W3": asarray([[0.2, 0.5], [0.3, 0.6]]),
        "b3": asarray([0.1, 0.2]),
    }


def predict(network, x):
    """Compute the outputs layer by layer, and print the result of each layer."""
    xp = get_array_module(x)
    a1 = xp.matmul(x, network["W1"]) + network["b1"]
    z1 = sigmoid(a1)
    a2 = xp.matmul(z1, network["W2"]) + network["b2"]
    z2 = sigmoid(a2)
    a3 = identity_function(xp.matmul(z2, network["W3"]) + network["b3"])
    for name, values in (("A1", a1), ("Z1", z1), ("A2", a2), ("Z2", z2), ("A3", a3)):
        print(name, "=", to_numpy(values))
    return softmax(a3)


# %% By hand
network = init_network()
x = asarray([1.0, 0.5])
print("Y =", to_numpy(predict(network, x)))

# %% The same network, made of layers
three_layers = ThreeLayerNet(2, 3, 2, 2, dtype="float64").set_params(network)
print(three_layers.summary())
print("Y =", to_numpy(three_layers.predict_proba(x)))
