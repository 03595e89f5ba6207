"""The course's networks, each as the list of layers that it is."""

from collections.abc import Callable, Mapping

from xpnet.backend import Array, Backend, asarray
from xpnet.checks import check_count
from xpnet.errors import ArgumentError
from xpnet.initializers import normal, random_streams
from xpnet.layers import Affine, Layer, Relu, Sigmoid, SoftmaxWithLoss
from xpnet.network import Network

__all__ = ["SimpleNetwork", "ThreeLayerNet", "TwoLayerNet"]

_ACTIVATIONS: Mapping[str, Callable[[], Layer]] = {"relu": Relu, "sigmoid": Sigmoid}


def _affine_maker(
    std: float, seed: int | None, dtype: str, backend: str | Backend | None
) -> Callable[[int, int], Affine]:
    """A function that makes affine layers of given sizes: weights std * randn, biases 0 (course row 15)."""
    if dtype not in ("float32", "float64"):
        raise ArgumentError(f"dtype must be 'float32' or 'float64', got {dtype!r}.")
    rng = random_streams(seed).weights

    def affine(n_in: int, n_out: int) -> Affine:
        W = normal(rng, (check_count("a layer's input size", n_in), check_count("a layer's output size", n_out)), std)
        return Affine(
            asarray(W, dtype=dtype, backend=backend),
            asarray([0.0] * n_out, dtype=dtype, backend=backend),
        )

    return affine


class TwoLayerNet(Network):
    """Affine, ReLU, affine, softmax with loss (course row 15).

    Parameters
    ----------
    input_size, hidden_size, output_size
        The numbers of inputs, of hidden units and of classes.
    weight_init_std
        The standard deviation of the initial weights; the biases begin at 0.
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
        weight_init_std: float = 0.01,
        *,
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        affine = _affine_maker(weight_init_std, seed, dtype, backend)
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
        The standard deviation of the initial weights; the biases begin at 0.
    activation
        What follows the hidden layers, ``"sigmoid"`` or ``"relu"``.
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
    >>> network.predict_proba(asarray([1.0, 0.5], backend="numpy"))
    array([0.37304446, 0.62695554])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size1: int,
        hidden_size2: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        activation: str = "sigmoid",
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise ArgumentError(f"activation must be one of {', '.join(map(repr, _ACTIVATIONS))}, got {activation!r}.")
        activate = _ACTIVATIONS[activation]
        affine = _affine_maker(weight_init_std, seed, dtype, backend)
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
        weight_init_std: float = 0.01,
        *,
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        affine = _affine_maker(weight_init_std, seed, dtype, backend)
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
        self.grads.update(self.numerical_gradient(x, t))
        return self.loss(x, t)
