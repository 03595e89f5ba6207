"""The rows of the matrix: everything that computes, as functions that run on any backend.

A case takes ``put``, which brings a NumPy array to the backend (and floats to the dtype) under test, and returns its
results by name. `tests/oracles/` holds what PyTorch says that these results are.
"""

from collections.abc import Callable
from typing import Any

import conv_cases
import deep_cases
import numpy as np
from case_table import CASES, LABEL_FORMS, LABELS, SHAPES, Put, Results, case, numbers

import xpnet
from xpnet import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Affine,
    Gelu,
    IdentityWithLoss,
    LeakyRelu,
    Momentum,
    Nesterov,
    Network,
    Relu,
    RMSprop,
    Sigmoid,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Tanh,
    to_numpy,
)
from xpnet._core.arrays import dtype_name
from xpnet.backend import backend_of

__all__ = ["ACTIVATIONS", "CASES", "LABELS", "LABEL_FORMS", "SHAPES", "numbers", "same_bits", "two_layer"]


def _function_cases() -> None:
    names = ("step_function", "sigmoid", "sigmoid_grad", "relu", "relu_grad", "identity_function", "softmax")
    for name in names:
        for kind, shape in SHAPES.items():
            function = getattr(xpnet.functions, name)
            case(f"{name}/{kind}")(lambda put, f=function, s=shape: {"y": f(put(numbers(1, *s)))})


SLOPE = 0.125
ACTIVATIONS = {"Relu": Relu, "Sigmoid": Sigmoid, "Tanh": Tanh, "LeakyRelu": lambda: LeakyRelu(SLOPE), "Gelu": Gelu}


def _layer_cases() -> None:
    for name, layer in ACTIVATIONS.items():
        for kind, shape in SHAPES.items():

            def run(put: Put, layer: Any = layer, shape: Any = shape) -> Results:
                made = layer()
                y = made.forward(put(numbers(1, *shape)))
                return {"y": y, "dx": made.backward(put(numbers(2, *shape)))}

            case(f"{name}/{kind}")(run)
    for name in ("SquareLayer", "ExpLayer", "ReciprocalLayer", "MulLayer", "AddLayer"):

        def node(put: Put, name: str = name) -> Results:
            made, dout = getattr(xpnet.graph, name)(), put(numbers(3, 5, 7))
            if name in ("MulLayer", "AddLayer"):
                y = made.forward(put(numbers(1, 5, 7)), put(numbers(2, 5, 7)))
                dx, dy = made.backward(dout)
                return {"y": y, "dx": dx, "dy": dy}
            return {"y": made.forward(put(numbers(1, 5, 7))), "dx": made.backward(dout)}

        case(f"{name}/batch")(node)
    for kind, shape in SHAPES.items():

        def affine(put: Put, shape: Any = shape) -> Results:
            width = shape[0] if len(shape) == 1 else int(np.prod(shape[1:]))
            layer = Affine(put(numbers(2, width, 3)), put(numbers(3, 3)))
            y = layer.forward(put(numbers(1, *shape)))
            dout = put(numbers(4, *(shape[:1] if len(shape) > 1 else ()), 3))
            return {"y": y, "dx": layer.backward(dout), "dW": layer.dW, "db": layer.db}

        case(f"Affine/{kind}")(affine)


YES_OR_NO = np.random.default_rng(10).integers(0, 2, (5, 7)).astype(np.float64)
PROBABILITIES = np.exp(numbers(1, 5, 7)).astype(np.float32).astype(np.float64) / 32


def _loss_cases() -> None:
    for form, labels in LABEL_FORMS.items():

        def softmax_with_loss(put: Put, labels: Any = labels) -> Results:
            layer = SoftmaxWithLoss()
            return {"loss": layer.forward(put(numbers(1, 5, 7)), put(labels)), "dx": layer.backward(), "y": layer.y}

        case(f"SoftmaxWithLoss/{form}")(softmax_with_loss)

        def label_smoothing(put: Put, labels: Any = labels) -> Results:
            layer = SoftmaxWithLoss(label_smoothing=0.125)
            return {"loss": layer.forward(put(numbers(1, 5, 7)), put(labels)), "dx": layer.backward(), "y": layer.y}

        case(f"SoftmaxWithLoss/label smoothing, {form}")(label_smoothing)
        case(f"cross_entropy_error/{form}")(
            lambda put, t=labels: {"loss": xpnet.cross_entropy_error(put(PROBABILITIES), put(t))}
        )
    case("cross_entropy_error/vector")(
        lambda put: {"loss": xpnet.cross_entropy_error(put(PROBABILITIES[0]), put(np.array(2)))}
    )
    for kind in ("vector", "batch"):
        case(f"mean_squared_error/{kind}")(
            lambda put, s=SHAPES[kind]: {"loss": xpnet.mean_squared_error(put(numbers(1, *s)), put(numbers(2, *s)))}
        )

    @case("SigmoidWithLoss/batch")
    def sigmoid_with_loss(put: Put) -> Results:
        layer = SigmoidWithLoss()
        loss = layer.forward(put(10 * numbers(1, 5, 7)), put(YES_OR_NO))
        return {"loss": loss, "dx": layer.backward(), "y": layer.y}

    @case("IdentityWithLoss/batch")
    def identity_with_loss(put: Put) -> Results:
        layer = IdentityWithLoss()
        loss = layer.forward(put(numbers(1, 5, 7)), put(numbers(2, 5, 7)))
        return {"loss": loss, "dx": layer.backward(), "y": layer.y}


def two_layer(put: Put, activation: Any = Relu, last_layer: Any = SoftmaxWithLoss) -> Network:
    """A network of 12 inputs, 6 hidden units and 7 outputs."""
    first, second = (
        Affine(put(numbers(5, 12, 6)), put(numbers(6, 6))),
        Affine(put(numbers(7, 6, 7)), put(numbers(8, 7))),
    )
    return Network([first, activation(), second], last_layer())


THREE_LAYERS = {"W1": (12, 6), "b1": (6,), "W2": (6, 4), "b2": (4,), "W3": (4, 7), "b3": (7,)}

PIXELS = np.random.default_rng(9).integers(0, 256, (5, 3, 4)).astype(np.uint8)


def _network_cases() -> None:
    for form, labels in LABEL_FORMS.items():
        for flat in (False, True):

            def gradient(put: Put, labels: Any = labels, flat: bool = flat) -> Results:
                network = two_layer(put)
                if flat:
                    network.state.flatten()
                x, t = put(numbers(1, 5, 12)), put(labels)
                return {**network.gradient(x, t), "loss": network.loss(x, t)}

            case(f"TwoLayerNet/{form}{', flat' if flat else ''}")(gradient)

    @case("TwoLayerNet/pixels")
    def pixels(put: Put) -> Results:
        network = two_layer(put)
        return {**network.gradient(put(PIXELS), put(LABELS)), "scores": network.predict(put(PIXELS), batch_size=2)}

    @case("TwoLayerNet/vector")
    def vector(put: Put) -> Results:
        network = two_layer(put)
        x = put(numbers(1, 12))
        return {"scores": network.predict(x), "probabilities": network.predict_proba(x)}

    @case("SimpleNetwork/batch")
    def simple(put: Put) -> Results:
        network = two_layer(put, Sigmoid)
        x = put(numbers(1, 5, 12))
        return {
            "scores": network.predict(x),
            "probabilities": network.predict_proba(x, batch_size=2),
            "loss": network.loss(x, put(LABELS)),
        }

    @case("ThreeLayerNet/batch")
    def three_layer(put: Put) -> Results:
        x = put(numbers(1, 5, 12))
        network = xpnet.ThreeLayerNet(12, 6, 4, 7, dtype=dtype_name(x), backend=backend_of(x))
        network.set_params({key: put(numbers(i, *shape)) for i, (key, shape) in enumerate(THREE_LAYERS.items(), 5)})
        return {**network.gradient(x, put(LABELS)), "probabilities": network.predict_proba(x)}

    @case("regression/batch")
    def regression(put: Put) -> Results:
        network = two_layer(put, Sigmoid, IdentityWithLoss)
        return network.gradient(put(numbers(1, 5, 12)), put(numbers(4, 5, 7)))


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD": lambda: SGD(lr=0.25),
    "Momentum": lambda: Momentum(lr=0.05),
    "Nesterov": lambda: Nesterov(lr=0.05),
    "AdaGrad": lambda: AdaGrad(lr=0.05),
    "RMSprop": lambda: RMSprop(lr=0.01),
    "Adam": lambda: Adam(lr=0.02),
    "AdamW": lambda: AdamW(lr=0.02, weight_decay=0.25),
}


def _optimizer_cases() -> None:
    for name, make in OPTIMIZERS.items():
        for suffix, flat, max_norm in (("", False, None), (", flat", True, None), (", flat, clipped", True, 0.5)):

            @case(f"{name}/three steps{suffix}")
            def three_steps(
                put: Put, make: Any = make, flat: bool = flat, max_norm: float | None = max_norm
            ) -> Results:
                network, optimizer = two_layer(put), make()
                optimizer.max_norm = max_norm
                if flat:
                    network.state.flatten()
                x, t = put(numbers(1, 5, 12)), put(LABELS)
                for _ in range(3):
                    network.compute_gradients(x, t)
                    optimizer.update(*network.state.optimizer_view())
                return dict(network.params)


def same_bits(a: Any, b: Any) -> bool:
    """Whether two mappings of names to arrays hold the same numbers under the same names, to the bit."""
    return all(np.array_equal(to_numpy(a[key]), to_numpy(b[key])) for key in [*a, *b])


_function_cases()
_layer_cases()
deep_cases.normalization_cases()
deep_cases.regularization_cases()
conv_cases.convolution_cases()
conv_cases.image_normalization_cases()
_loss_cases()
_network_cases()
_optimizer_cases()
deep_cases.multi_layer_cases()
conv_cases.conv_net_cases()
