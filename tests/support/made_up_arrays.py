"""Arrays that are not plain ones, and the code that makes plain ones of them."""

import warnings

import numpy as np


class Quantity(np.ndarray):
    """Numbers with a unit, as astropy's and pint's are."""

    unit = "m"


class Table:
    """A table of numbers, as pandas' and polars' are."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.shape = numbers.shape

    def to_numpy(self):
        return self.numbers

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numbers, dtype=dtype)

    def __getitem__(self, key):
        return Table(self.numbers[key])


class Sparse:
    """A sparse matrix, as SciPy's are: ``numpy.asarray`` makes an array of one object of it."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.shape = numbers.shape

    def toarray(self):
        return self.numbers

    def __getitem__(self, key):
        return Sparse(self.numbers[key])


class Tensor:
    """A tensor that is learned, as PyTorch's are: ``numpy.asarray`` refuses it."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.shape = numbers.shape

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def __getitem__(self, key):
        return Tensor(self.numbers[key])

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.numbers


def matrix(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy says that they should not be used any more
        return np.asmatrix(x)


# How each is made of an array of float32, and the code in the message that makes one of it again.
FOREIGN = {
    "matrix": (matrix, "numpy.asarray(x)"),
    "masked array": (lambda x: np.ma.masked_greater(x, 0.4), "x.filled(0)"),
    "masked array without a mask": (np.ma.asarray, "x.filled(0)"),
    "record array": (lambda x: x.view(np.recarray), "numpy.asarray(x)"),
    "quantity": (lambda x: x.view(Quantity), "numpy.asarray(x)"),
    "sparse matrix": (Sparse, "x.toarray()"),
    "table": (Table, "x.to_numpy()"),
    "tensor": (Tensor, "x.detach().cpu().numpy()"),
}
