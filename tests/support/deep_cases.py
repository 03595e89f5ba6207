"""Rows of the matrix: normalization, dropout, and the network of many layers with everything that there is for it."""

from typing import Any

import numpy as np
from case_table import LABEL_FORMS, LABELS, SHAPES, Put, Results, case, numbers
from states import flattened

from xpnet import BatchNormalization, Dropout, LayerNormalization, MultiLayerNet
from xpnet._core.arrays import dtype_name
from xpnet.backend import backend_of

RATIO, KEYS = 0.25, (-123456789, 2**31 - 2)


def with_key(layer: Dropout, key: int, put: Put) -> Dropout:
    """The layer with another key: an array of its own, for it changes it."""
    layer.key = put(np.array([key], dtype=np.int32)) + 0
    return layer


def regularization_cases() -> None:
    """Enter them."""
    for kind, shape in SHAPES.items():
        for suffix, inverted in (("", True), (", not inverted", False)):

            def dropout(put: Put, shape: Any = shape, inverted: bool = inverted) -> Results:
                layer = with_key(Dropout(RATIO, inverted=inverted), KEYS[0], put)
                layer.train = True
                layer.forward(put(numbers(3, *shape)))  # so that the second mask is another than the first
                y, dx = layer.forward(put(numbers(1, *shape))), layer.backward(put(numbers(2, *shape)))
                return {"y": y, "dx": dx, "mask": layer.mask}

            case(f"Dropout/{kind}{suffix}")(dropout)

    for suffix, inverted in (("", True), (", not inverted", False)):

        @case(f"Dropout/inference{suffix}")
        def inference(put: Put, inverted: bool = inverted) -> Results:
            layer = Dropout(RATIO, inverted=inverted)
            return {"y": layer.forward(put(numbers(1, 5, 7))), "dx": layer.backward(put(numbers(2, 5, 7)))}


BATCHES = ((1, 5), (2, 4), (3, 6))  # seeds and sizes


def normalization_cases() -> None:
    """Enter them."""
    for kind, shape in SHAPES.items():

        def layer_normalization(put: Put, shape: Any = shape) -> Results:
            layer = LayerNormalization(put(numbers(5, shape[-1])), put(numbers(6, shape[-1])))
            y, dx = layer.forward(put(numbers(1, *shape))), layer.backward(put(numbers(2, *shape)))
            return {"y": y, "dx": dx, "dgamma": layer.dgamma, "dbeta": layer.dbeta}

        case(f"LayerNormalization/{kind}")(layer_normalization)

    def batch_normalization(put: Put) -> BatchNormalization:
        return BatchNormalization(put(numbers(5, 7)), put(numbers(6, 7)), momentum=0.75)

    def statistics(layer: BatchNormalization) -> Results:
        return {"running_mean": layer.running_mean, "running_var": layer.running_var}

    @case("BatchNormalization/training")
    def training(put: Put) -> Results:
        layer = batch_normalization(put)
        layer.train = True
        for seed, size in BATCHES:
            y = layer.forward(put(numbers(seed, size, 7)))
        dx = layer.backward(put(numbers(4, size, 7)))
        return {"y": y, "dx": dx, "dgamma": layer.dgamma, "dbeta": layer.dbeta, **statistics(layer)}

    @case("BatchNormalization/inference")
    def inference(put: Put) -> Results:
        layer = batch_normalization(put)
        layer.train = True
        for seed, size in BATCHES:
            layer.forward(put(numbers(seed, size, 7)))
        layer.train = False
        y, dx = layer.forward(put(numbers(7, 2, 7))), layer.backward(put(numbers(4, 2, 7)))
        return {"y": y, "dx": dx, "dgamma": layer.dgamma, "dbeta": layer.dbeta, **statistics(layer)}


MULTI_LAYER = {
    "W1": (12, 6), "b1": (6,), "gamma1": (6,), "beta1": (6,),
    "W2": (6, 4), "b2": (4,), "gamma2": (4,), "beta2": (4,),
    "W3": (4, 7), "b3": (7,),
}  # fmt: skip
DECAY = 0.0625


def multi_layer(put: Put, activation: str) -> MultiLayerNet:
    """A network of 12 inputs, 6 and 4 hidden units and 7 outputs, with everything that there is for such a network."""
    like = put(numbers(1, 1))
    network = MultiLayerNet(
        12, [6, 4], 7, activation, weight_decay_lambda=DECAY, use_dropout=True, dropout_ratio=RATIO,
        use_batchnorm=True, dtype=dtype_name(like), backend=backend_of(like),
    )  # fmt: skip
    for name, key in zip(("Dropout1", "Dropout2"), KEYS, strict=True):
        with_key(network.layers[name], key, put)
    return network.set_params({key: put(numbers(i, *shape)) for i, (key, shape) in enumerate(MULTI_LAYER.items(), 5)})


def seen(gradients: Results) -> Results:
    """The gradients, 1 added to those that are 0 but for rounding: of a bias that the normalization takes away."""
    return {key: grad + 1 if key in ("b1", "b2") else grad for key, grad in gradients.items()}


def multi_layer_cases() -> None:
    """Enter them."""
    for name in ("relu", "sigmoid", "tanh", "leaky_relu", "gelu"):

        @case(f"MultiLayerNet/{name}")
        def multi(put: Put, name: str = name) -> Results:
            network, x, t = multi_layer(put, name), put(numbers(1, 5, 12)), put(LABELS)
            return {**seen(network.gradient(x, t)), **network.state.statistics}

    for form, labels in LABEL_FORMS.items():

        @case(f"MultiLayerNet/training, {form}, flat")
        def multi_flat(put: Put, labels: Any = labels) -> Results:
            network, x, t = flattened(multi_layer(put, "relu")), put(numbers(1, 5, 12)), put(labels)
            loss = network.loss(x, t, train=True)
            return {**seen(network.gradient(x, t)), **network.state.statistics, "loss": loss}

    @case("MultiLayerNet/inference")
    def multi_inference(put: Put) -> Results:
        network, x = multi_layer(put, "tanh"), put(numbers(2, 5, 12))
        network.gradient(put(numbers(1, 5, 12)), put(LABELS))
        scores, probabilities = network.predict(x, batch_size=2), network.predict_proba(x)
        return {"scores": scores, "probabilities": probabilities, "loss": network.loss(x, put(LABELS))}
