"""Activation layers: what ReLU and the sigmoid do forward and backward (course row 11)."""

from xpnet import Relu, Sigmoid, asarray, to_numpy


def show(name, array):
    """Print an array, the rows of a matrix in a line."""
    print(f"{name} =", to_numpy(array).tolist())


x = asarray([[1.0, -0.5], [-2.0, 3.0]])
dout = asarray([[-0.1, 3.0], [1.3, -1.8]])
show("x", x)
show("dout", dout)

# %% ReLU: where the input was not positive, nothing passes, neither forward nor backward
relu = Relu()
show("Relu().forward(x)", relu.forward(x))
show("mask, where x <= 0", relu.mask)
show("Relu().backward(dout)", relu.backward(dout) + 0.0)  # + 0.0 makes 0 of -0
show("dout afterwards, unchanged", dout)

# %% Sigmoid: its derivative comes from its output alone, dout * y * (1 - y)
sigmoid = Sigmoid()
y = sigmoid.forward(x)
show("Sigmoid().forward(x)", y)
show("Sigmoid().backward(dout)", sigmoid.backward(dout))
show("dout * y * (1 - y)", dout * y * (1 - y))
