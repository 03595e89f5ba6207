"""TwoLayerNet: its parameters, its layers in order, and one training step (course row 15)."""

import numpy as np

from xpnet import TwoLayerNet, asarray, load_mnist, network_graph, to_numpy

# %% Parameters: weights 0.01 * randn, biases 0
network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10, weight_init_std=0.01, seed=0)
for key, value in network.params.items():
    values = to_numpy(value)
    print(f"{key}: shape {values.shape}, mean {values.mean():+.5f}, standard deviation {values.std():.5f}")

# %% The layers in order, and the last layer
print("layers:", ", ".join(network.layers))
print("last_layer:", network.last_layer)
print(network.summary())

# %% As a picture
graph = network_graph(network)
print(graph)
print("Written:", graph.draw("output/course/15_two_layer_net.png"))

# %% A step by hand: the gradient by backpropagation, then a small step against it for every parameter
(x_train, t_train), _ = load_mnist()
x, t = asarray(x_train[:100]), asarray(t_train[:100])
before = float(network.loss(x, t))
grads = network.gradient(x, t)
for key in ("W1", "b1", "W2", "b2"):
    network.params[key] -= 0.1 * grads[key]
after = float(network.loss(x, t))
print(f"loss of 100 images: {before:.4f} before the step (ln 10 = {np.log(10):.4f}: a guess), {after:.4f} after it")
