"""Arrays: dimensions, shapes, sums, multiples and matrix products (course row 4).

`xp` is the array module of the chosen backend. The code below is the same for NumPy, CuPy and every other backend.
"""

from tabulate import tabulate

from xpnet import asarray, get_backend, to_numpy

xp = get_backend().xp


def show(name, result):
    """Print a result, with all rows of a matrix on one line."""
    print(f"{name} =", to_numpy(result).tolist())


# %% Dimensions and shape
for numbers in ([1, 2, 3, 4], [[1, 2], [3, 4], [5, 6]]):
    a = asarray(numbers)
    print(f"{numbers}: ndim {a.ndim}, shape {a.shape}")

# %% Sum and multiple, element by element
a, b = asarray([[1, 2], [3, 4]]), asarray([[5, 6], [7, 8]])
show("[[1,2],[3,4]] + [[5,6],[7,8]]", a + b)
show("2 * [[1,2],[3,4]]", 2 * a)

# %% The matrix product: rows times columns
show("[[1,2],[3,4]] . [[5,6],[7,8]]", xp.matmul(a, b))
show(
    "[[1,2,3],[4,5,6]] . [[1,2],[3,4],[5,6]]",
    xp.matmul(asarray([[1, 2, 3], [4, 5, 6]]), asarray([[1, 2], [3, 4], [5, 6]])),
)
show("[1,2] . [[1,3,5],[2,4,6]]", xp.matmul(asarray([1, 2]), asarray([[1, 3, 5], [2, 4, 6]])))

# %% From the scalar to the n-tensor: the rank is the number of dimensions
examples = (
    ("scalar", asarray(1.5)),
    ("vector", asarray([1, 2, 3])),
    ("matrix", asarray([[1, 2], [3, 4], [5, 6]])),
    ("3-tensor", xp.reshape(xp.arange(24), (2, 3, 4))),
    ("n-tensor, here n = 5", xp.reshape(xp.arange(48), (2, 1, 3, 2, 4))),
)
rows = [(a.ndim, name, tuple(a.shape), " ".join(map(str, to_numpy(a).ravel()[:6]))) for name, a in examples]
print(tabulate(rows, headers=("rank", "name", "shape", "first numbers"), disable_numparse=True))
