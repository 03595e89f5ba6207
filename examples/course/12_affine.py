"""The affine layer, x W + b: forward and backward, and its shapes for a vector, a batch and images (course row 12)."""

import numpy as np
from tabulate import tabulate

from xpnet import Affine, asarray, get_array_module, to_numpy


def ones(*shape):
    """An array of ones on the chosen backend."""
    return asarray(np.ones(shape))


# %% A bias is added to every row, so its gradient is the sum of the rows
x_dot_w, b = asarray([[0, 0, 0], [10, 10, 10]]), asarray([1, 2, 3])
print("X.W + B =", to_numpy(x_dot_w + b).tolist())
dy = asarray([[1, 2, 3], [4, 5, 6]])
print("dY =", to_numpy(dy).tolist())
print("dB =", to_numpy(get_array_module(dy).sum(dy, axis=0)))

# %% The layer computes the same
affine = Affine(W=ones(2, 3), b=ones(3))
affine.forward(ones(2, 2))
affine.backward(asarray(dy, dtype="float64"))
print("Affine.db =", to_numpy(affine.db))

# %% Shapes: every gradient has the shape of its array
rows = []
for name, shape in (
    ("a vector", (6,)),
    ("a batch of 4 vectors", (4, 6)),
    ("a batch of 4 images of 1 x 2 x 3", (4, 1, 2, 3)),
):
    affine = Affine(W=ones(6, 3), b=ones(3))
    x = ones(*shape)
    y = affine.forward(x)
    dx = affine.backward(ones(*y.shape))
    rows.append((name, x.shape, affine.W.shape, affine.b.shape, y.shape, dx.shape, affine.dW.shape, affine.db.shape))
print(tabulate([[str(cell) for cell in row] for row in rows], headers=("x is", "x", "W", "b", "y", "dx", "dW", "db")))
