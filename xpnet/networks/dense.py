"""The dense networks of the course, each as a list of layers."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from xpnet._core.arrays import Array
from xpnet._core.random import random_streams
from xpnet.backend import Backend
from xpnet.errors import ArgumentError
from xpnet.layers import (
    Affine,
    BatchNormalization,
    Dropout,
    Gelu,
    Layer,
    LeakyRelu,
    LossLayer,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
)
from xpnet.networks.network import Network

_ACTIVATIONS = {"relu": Relu, "sigmoid": Sigmoid, "tanh": Tanh, "leaky_relu": LeakyRelu, "gelu": Gelu}


def _activation(name: str) -> type[Layer]:
    """The class of the activation layer of that name."""
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ArgumentError(f"activation must be one of {', '.join(map(repr, _ACTIVATIONS))}, got {name!r}.")
    return _ACTIVATIONS[name]


class TwoLayerNet(Network):
    """Affine, ReLU, affine, softmax with loss (course row 15).

    Parameters
    ----------
    input_size, hidden_size, output_size
        The numbers of inputs, hidden units and classes.
    weight_init_std
        The standard deviation of the initial weights, or a name such as ``"he"`` (see `initial_weights`); biases are 0.
    seed
        A whole number for the same weights in each run, on every backend; or None.
    dtype
        ``"float32"`` or ``"float64"``.
    backend
        The backend of the parameters, as for `get_backend`.

    Examples
    --------
    >>> network = TwoLayerNet(784, 50, 10, seed=0, backend="numpy")
    >>> network
    TwoLayerNet(784-50-10, 39,760 parameters, float32 on numpy)
    >>> list(network.params), list(network.layers)
    (['W1', 'b1', 'W2', 'b2'], ['Affine1', 'Relu1', 'Affine2'])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float | str = 0.01,
        *,
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        rng = random_streams(seed).weights
        affine = partial(Affine.create, init=weight_init_std, rng=rng, dtype=dtype, backend=backend)
        layers = [affine(input_size, hidden_size), Relu(), affine(hidden_size, output_size)]
        super().__init__(layers, SoftmaxWithLoss())


class ThreeLayerNet(Network):
    """Two hidden layers and an output layer with softmax (course rows 5 and 7).

    The book's pre-trained weights, `load_sample_weight`, are for 784-50-100-10.

    Parameters
    ----------
    input_size, hidden_size1, hidden_size2, output_size
        The numbers of inputs, units of the two hidden layers, and classes.
    activation
        The activation of hidden layers: ``"sigmoid"``, ``"relu"``, ``"tanh"``, ``"leaky_relu"`` or ``"gelu"``.
    weight_init_std, seed, dtype, backend
        As for `TwoLayerNet`.

    Examples
    --------
    >>> network = ThreeLayerNet(784, 50, 100, 10, seed=0, backend="numpy")
    >>> network
    ThreeLayerNet(784-50-100-10, 45,360 parameters, float32 on numpy)
    >>> list(network.layers)
    ['Affine1', 'Sigmoid1', 'Affine2', 'Sigmoid2', 'Affine3']

    The course's own weights (row 5):

    >>> network = ThreeLayerNet(2, 3, 2, 2, dtype="float64", backend="numpy").set_params({
    ...     "W1": [[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]], "b1": [0.1, 0.2, 0.3],
    ...     "W2": [[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]], "b2": [0.1, 0.2],
    ...     "W3": [[0.2, 0.5], [0.3, 0.6]], "b3": [0.1, 0.2]})
    >>> from xpnet import asarray
    >>> network.predict_proba(asarray([1.0, 0.5], backend="numpy"))
    array([0.37304446, 0.62695554])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size1: int,
        hidden_size2: int,
        output_size: int,
        weight_init_std: float | str = 0.01,
        *,
        activation: str = "sigmoid",
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        activate = _activation(activation)
        rng = random_streams(seed).weights
        affine = partial(Affine.create, init=weight_init_std, rng=rng, dtype=dtype, backend=backend)
        first, second = affine(input_size, hidden_size1), affine(hidden_size1, hidden_size2)
        layers = [first, activate(), second, activate(), affine(hidden_size2, output_size)]
        super().__init__(layers, SoftmaxWithLoss())


class SimpleNetwork(Network):
    """Affine, sigmoid, affine, trained without backpropagation (course row 14).

    Its `gradient` is the numerical one, two forward passes for each parameter: a step of a 784-50-10 network takes
    seconds, and a fraction of a millisecond with `TwoLayerNet`. The parameters are those of `TwoLayerNet`.

    Note: the course's ``predict`` returns probabilities; here ``predict_proba`` does, and ``predict`` returns scores.

    Examples
    --------
    >>> SimpleNetwork(784, 50, 10, seed=0, backend="numpy")
    SimpleNetwork(784-50-10, 39,760 parameters, float32 on numpy)
    """

    recordable = False  # the numerical gradient reads each loss

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float | str = 0.01,
        *,
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        rng = random_streams(seed).weights
        affine = partial(Affine.create, init=weight_init_std, rng=rng, dtype=dtype, backend=backend)
        layers = [affine(input_size, hidden_size), Sigmoid(), affine(hidden_size, output_size)]
        super().__init__(layers, SoftmaxWithLoss())

    def compute_gradients(self, x: Array, t: Array, *_: Any) -> Array:
        """Compute numerical gradients instead of backpropagation; returns the loss."""
        self.state.grads.update(self.numerical_gradient(x, t))
        return self.loss(x, t)


class MultiLayerNet(Network):
    """Any number of hidden layers, with optional batch normalization, dropout and weight decay (course row 20).

    A hidden layer is affine, batch normalization, activation and dropout, in this order; the output layer is affine.

    Parameters
    ----------
    input_size, hidden_size_list, output_size
        The numbers of inputs, units of each hidden layer, and outputs: ``784, [100, 100], 10``.
    activation
        ``"relu"``, ``"sigmoid"``, ``"tanh"``, ``"leaky_relu"`` or ``"gelu"``.
    weight_init_std
        As for `TwoLayerNet`; None for ``"xavier"`` with sigmoid and tanh, else ``"he"``.
    weight_decay_lambda
        The loss is increased by 0.5 * lambda * sum(W**2) over all weights.
    use_dropout, dropout_ratio
        Whether and with which probability outputs of hidden layers are dropped in training.
    use_batchnorm
        Whether the inputs of activations are normalized.
    last_layer
        As for `Network`.
    seed, dtype, backend
        As for `TwoLayerNet`.

    Examples
    --------
    >>> network = MultiLayerNet(784, [100, 100], 10, use_batchnorm=True, use_dropout=True, seed=0, backend="numpy")
    >>> network
    MultiLayerNet(784-100-100-10, 90,010 parameters, float32 on numpy)
    >>> list(network.layers)  # doctest: +NORMALIZE_WHITESPACE
    ['Affine1', 'BatchNormalization1', 'Relu1', 'Dropout1',
     'Affine2', 'BatchNormalization2', 'Relu2', 'Dropout2', 'Affine3']
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str | None = None,
        weight_decay_lambda: float = 0.0,
        use_dropout: bool = False,
        dropout_ratio: float = 0.5,
        use_batchnorm: bool = False,
        *,
        last_layer: LossLayer | None = None,
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        activate = _activation(activation)
        if not isinstance(hidden_size_list, Iterable):
            raise ArgumentError(
                f"hidden_size_list must be a list of sizes such as `[100, 100]`, got {hidden_size_list!r}."
            )
        if weight_init_std is None:
            weight_init_std = "xavier" if activation in ("sigmoid", "tanh") else "he"
        streams = random_streams(seed)
        affine = partial(Affine.create, init=weight_init_std, rng=streams.weights, dtype=dtype, backend=backend)
        sizes = [input_size, *hidden_size_list]
        layers: list[Layer] = []
        for n_in, n_out in pairwise(sizes):
            layers.append(affine(n_in, n_out))
            if use_batchnorm:
                layers.append(BatchNormalization.create(n_out, dtype=dtype, backend=backend))
            layers.append(activate())
            if use_dropout:
                layers.append(Dropout(dropout_ratio, seed=streams.noise))
        layers.append(affine(sizes[-1], output_size))
        super().__init__(layers, last_layer, weight_decay_lambda=weight_decay_lambda)
