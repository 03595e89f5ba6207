"""Layers with parameters from their sizes: what the networks here, and those of one's own, are made with."""

from xpnet._core.arrays import Array
from xpnet._core.checks import check_count, check_network_dtype
from xpnet._core.random import random_streams
from xpnet.backend import Backend, asarray
from xpnet.layers import Affine, BatchNormalization, Convolution, Dropout, LayerNormalization
from xpnet.layers._windows import check_pair
from xpnet.networks.initializers import initial_weights

__all__ = ["LayerMaker"]


class LayerMaker:
    """Makes layers of given sizes whose initial numbers come from one seed, the same on every backend.

    Parameters
    ----------
    seed
        A whole number for the same layers each time; None for others each time.
    dtype
        ``"float32"`` or ``"float64"``.
    backend
        Where the parameters are made, as for `get_backend`.

    Examples
    --------
    >>> from xpnet import Network, Relu
    >>> make = LayerMaker(seed=0, backend="numpy")
    >>> Network([make.affine(64, 50, "he"), Relu(), make.affine(50, 10)])
    Network(64-50-10, 3,760 parameters, float32 on numpy)
    """

    def __init__(
        self, seed: int | None = None, *, dtype: str = "float32", backend: str | Backend | None = None
    ) -> None:
        self._dtype = check_network_dtype(dtype)
        self._streams = random_streams(seed)
        self._backend = backend

    def affine(self, n_in: int, n_out: int, weight_init_std: float | str = 0.01) -> Affine:
        """An affine layer: weights by name or deviation, see `initial_weights`; biases 0."""
        n_in, n_out = check_count("a layer's input size", n_in), check_count("a layer's output size", n_out)
        W = initial_weights(self._streams.weights, n_in, n_out, weight_init_std)
        return Affine(self._array(W), self._filled(0.0, n_out))

    def convolution(
        self,
        channels: int,
        filters: int,
        size: int | tuple[int, int],
        weight_init_std: float | str = 0.01,
        *,
        stride: int | tuple[int, int] = 1,
        pad: int | tuple[int, int] = 0,
    ) -> Convolution:
        """A convolution: filters by name or deviation, see `initial_weights`; biases 0.

        The inputs of a filter are all numbers of a window, channels * height * width; the outputs, which "glorot" asks
        for, filters * height * width.
        """
        channels, filters = (
            check_count("the number of channels", channels),
            check_count("the number of filters", filters),
        )
        fh, fw = check_pair("a filter's size", size, 1)
        W = initial_weights(
            self._streams.weights, channels * fh * fw, filters, weight_init_std, fan_out=filters * fh * fw
        )
        return Convolution(self._array(W.T.reshape(filters, channels, fh, fw)), self._filled(0.0, filters), stride, pad)

    def batch_normalization(self, size: int, momentum: float = 0.9, *, eps: float = 1e-5) -> BatchNormalization:
        """Batch normalisation of so many columns, or channels: gamma 1, beta 0."""
        return BatchNormalization(self._filled(1.0, size), self._filled(0.0, size), momentum, eps=eps)

    def layer_normalization(self, size: int, *, eps: float = 1e-5) -> LayerNormalization:
        """Layer normalisation of rows of so many numbers: gamma 1, beta 0."""
        return LayerNormalization(self._filled(1.0, size), self._filled(0.0, size), eps=eps)

    def dropout(self, dropout_ratio: float = 0.5, *, inverted: bool = True) -> Dropout:
        """Dropout, each with a seed of its own."""
        seed = int(self._streams.noise.integers(2**31))
        return Dropout(dropout_ratio, inverted=inverted, seed=seed)

    def _filled(self, value: float, size: int) -> Array:
        return self._array([value] * check_count("a layer's size", size))

    def _array(self, values: object) -> Array:
        return asarray(values, dtype=self._dtype, backend=self._backend)
