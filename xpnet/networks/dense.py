"""The course's networks, each as the list of layers that it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise

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

__all__ = ["MultiLayerNet", "SimpleNetwork", "ThreeLayerNet", "TwoLayerNet"]

_ACTIVATIONS: Mapping[str, Callable[[], Layer]] = {
    "relu": Relu,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "leaky_relu": LeakyRelu,
    "gelu": Gelu,
}


def _activation(name: str) -> Callable[[], Layer]:
    """What makes the activation layer of that name."""
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ArgumentError(f"activation must be one of {', '.join(map(repr, _ACTIVATIONS))}, got {name!r}.")
    return _ACTIVATIONS[name]


class TwoLayerNet(Network):
    """Affine, ReLU, affine, softmax with loss (course row 15).

    Parameters
    ----------
    input_size, hidden_size, output_size
        The numbers of inputs, of hidden units and of classes.
    weight_init_std
        The standard deviation of the initial weights, or a name such as ``"he"`` (see `initial_weights`); the biases
        begin at 0.
    seed
        A whole number for the same weights each time, on every backend; None for others each time.
    dtype
        ``"float32"`` or ``"float64"``.
    backend
        Where the parameters are made, as for `get_backend`.

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
        super().__init__(
            {
                "Affine1": affine(input_size, hidden_size),
                "Relu1": Relu(),
                "Affine2": affine(hidden_size, output_size),
            },
            SoftmaxWithLoss(),
        )


class ThreeLayerNet(Network):
    """Two hidden layers and an output layer, with softmax at the end (course rows 5 and 7).

    The course computes one by hand. The book's pre-trained weights, `load_sample_weight`, are for a 784-50-100-10.

    Parameters
    ----------
    input_size, hidden_size1, hidden_size2, output_size
        The numbers of inputs, of units in the two hidden layers, and of classes.
    weight_init_std
        The standard deviation of the initial weights, or a name such as ``"he"`` (see `initial_weights`); the biases
        begin at 0.
    activation
        What follows the hidden layers, ``"sigmoid"``, ``"relu"``, ``"tanh"``, ``"leaky_relu"`` or ``"gelu"``.
    seed, dtype, backend
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
        super().__init__(
            [
                affine(input_size, hidden_size1),
                activate(),
                affine(hidden_size1, hidden_size2),
                activate(),
                affine(hidden_size2, output_size),
            ],
            SoftmaxWithLoss(),
        )


class SimpleNetwork(Network):
    """The forward-only network: affine, sigmoid, affine, learned by numerical gradient (course row 14).

    It has no backpropagation: `gradient` is `numerical_gradient`, two forward passes for each parameter, so one step of
    a 784-50-10 network takes seconds where `TwoLayerNet` takes a fraction of a millisecond. That is what it is for.

    Parameters are those of `TwoLayerNet`. (Note: the course's ``predict`` gives probabilities. As in every
    network here, they come from ``predict_proba``, and ``predict`` gives the scores.)

    Examples
    --------
    >>> SimpleNetwork(784, 50, 10, seed=0, backend="numpy")
    SimpleNetwork(784-50-10, 39,760 parameters, float32 on numpy)
    """

    recordable = False  # the numerical gradient looks at each loss

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
        super().__init__(
            {
                "Affine1": affine(input_size, hidden_size),
                "Sigmoid1": Sigmoid(),
                "Affine2": affine(hidden_size, output_size),
            },
            SoftmaxWithLoss(),
        )

    def compute_gradients(self, x: Array, t: Array) -> Array:
        """The numerical gradient in the place of backpropagation; returns the loss."""
        self.state.grads.update(self.numerical_gradient(x, t))
        return self.loss(x, t)


class MultiLayerNet(Network):
    """Any number of hidden layers, with batch normalisation, dropout and weight decay where wanted (course row 20).

    Each hidden layer is affine, batch normalisation, activation, dropout, in this order; the last one is affine alone.

    Parameters
    ----------
    input_size, hidden_size_list, output_size
        The numbers of inputs, of units in each hidden layer, and of outputs: ``784, [100, 100], 10``.
    activation
        ``"relu"``, ``"sigmoid"``, ``"tanh"``, ``"leaky_relu"`` or ``"gelu"``.
    weight_init_std
        The standard deviation of the initial weights, or a name such as ``"he"`` (see `initial_weights`); the biases
        begin at 0. None: He for the kinds of ReLU, Xavier for sigmoid and tanh.
    weight_decay_lambda
        0.5 * lambda * sum(W**2) of all weights is added to the loss.
    use_dropout, dropout_ratio
        Whether, and with which probability, the outputs of hidden layers are dropped in training.
    use_batchnorm
        Whether the inputs of the activations are normalised.
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
