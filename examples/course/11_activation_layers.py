"""Activation layers: ReLU and sigmoid, forward and backward (course row 11)."""

from xpnet import Relu, Sigmoid, asarray, to_numpy


def show(name, array):
    """Print an array, with all rows of a matrix on one line."""
    print(f"{name} =", to_numpy(array).tolist())


x = asarray([[1.0, -0.5], [-2.0, 3.0]])
dout = asarray([[-0.1, 3.0], [1.3, -1.8]])
show("x", x)
show("dout", dout)

# %% ReLU: where the input is not positive, nothing passes, neither forward nor backward
relu = Relu()
show("Relu().forward(x)", relu.forward(x))
show("mask, where x <= 0", relu.mask)
show("Relu().backward(dout)", relu.backward(dout) + 0.0)  # + 0.0 turns -0 into 0
show("dout afterwards, unchanged", dout)

# %% Sigmoid: backward needs only the output y, as dout * y * (1 - y)
sigmoid = Sigmoid()
y = sigmoid.forward(x)
show("Sigmoid().forward(x)", y)
show("Sigmoid().backward(dout)", sigmoid.backward(dout))
show("dout * y * (1 - y)", dout * y * (1 - y))
