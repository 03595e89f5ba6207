"""Rows of the matrix: convolution, pooling, batch normalization of images, and a small network of all of them."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from case_table import LABELS, Put, Results, case, numbers
from deep_cases import KEYS, RATIO, with_key

from xpnet import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    DeepConvNet,
    Flatten,
    GlobalAveragePooling,
    MaxPooling,
    Network,
    Relu,
    Residual,
    ResNet,
    SimpleConvNet,
)
from xpnet._core.arrays import dtype_name, get_array_module
from xpnet.backend import backend_of

# What each is of: images (N, C, H, W), filters (FN, FH, FW), stride and pad.
CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, int, int], Any, Any]] = {
    "plain": ((2, 3, 5, 6), (4, 3, 2), (1, 1), (0, 0)),
    "pad": ((2, 2, 4, 3), (3, 3, 3), (1, 1), (1, 2)),
    "stride and pad": ((2, 2, 5, 7), (3, 3, 2), (3, 2), (2, 1)),
    "a batch of one": ((1, 2, 4, 5), (3, 3, 3), (1, 1), (1, 1)),
}
# Images, window, stride and pad.
POOLINGS: dict[str, tuple[tuple[int, ...], tuple[int, int], Any, Any]] = {
    "side by side": ((2, 3, 4, 6), (2, 3), (2, 3), (0, 0)),
    "overlapping": ((2, 2, 5, 6), (3, 2), (2, 1), (0, 0)),
    "apart": ((2, 2, 7, 8), (2, 2), (3, 4), (0, 0)),
    "pad": ((2, 2, 5, 4), (3, 2), (2, 2), (1, 1)),
}
# Few different numbers, so that most windows have several largest ones.
TIED = np.random.default_rng(11).integers(-2, 2, (3, 2, 6, 6)).astype(np.float64)
IMAGES = (4, 3, 2, 3)
BATCHES = ((1, 5), (2, 4))  # seeds and sizes


def windows_case(put: Put, layer: Any, x: Any) -> Results:
    """Forward and backward of a layer without parameters."""
    y = layer.forward(put(x))
    return {"y": y, "dx": layer.backward(put(numbers(2, *y.shape)))}


def convolution_cases() -> None:
    """Enter them."""
    for kind, (images, (count, fh, fw), stride, pad) in CONVOLUTIONS.items():

        @case(f"Convolution/{kind}")
        def convolution(
            put: Put,
            images: Any = images,
            filters: Any = (count, images[1], fh, fw),
            stride: Any = stride,
            pad: Any = pad,
        ) -> Results:
            layer = Convolution(put(numbers(3, *filters)), put(numbers(4, filters[0])), stride, pad)
            return windows_case(put, layer, numbers(1, *images)) | {"dW": layer.dW, "db": layer.db}

    for kind, (images, size, stride, pad) in POOLINGS.items():
        for kind_of_pooling in (MaxPooling, AveragePooling):
            made = kind_of_pooling(*size, stride, pad)
            case(f"{kind_of_pooling.__name__}/{kind}")(
                lambda put, layer=made, images=images: windows_case(put, layer, numbers(1, *images))
            )

    for kind, (size, stride, pad) in {"ties": ((2, 2), 2, 0), "overlapping ties": ((3, 3), 1, 1)}.items():
        case(f"MaxPooling/{kind}")(
            lambda put, size=size, stride=stride, pad=pad: windows_case(put, MaxPooling(*size, stride, pad), TIED)
        )
    case("GlobalAveragePooling/images")(lambda put: windows_case(put, GlobalAveragePooling(), numbers(1, *IMAGES)))
    case("Flatten/images")(lambda put: windows_case(put, Flatten(), numbers(1, *IMAGES)))


def image_normalization_cases() -> None:
    """Enter them."""
    for kind, training, sizes in (
        ("images", True, BATCHES),
        ("one image", True, ((1, 1),)),
        ("inference", False, BATCHES),
    ):

        @case(f"BatchNormalization/{kind if kind != 'inference' else 'images, inference'}")
        def normalization(put: Put, training: bool = training, sizes: Any = sizes) -> Results:
            layer = BatchNormalization(put(numbers(5, 3)), put(numbers(6, 3)), momentum=0.75)
            layer.train = True
            for seed, size in sizes:
                y = layer.forward(put(numbers(seed, size, *IMAGES[1:])))
            if not training:
                layer.train = False
                y = layer.forward(put(numbers(7, *IMAGES)))
            dx = layer.backward(put(numbers(8, *y.shape)))
            kept = {name: getattr(layer, name) for name in ("running_mean", "running_var", "dgamma", "dbeta")}
            return {"y": y, "dx": dx, **kept}


CONV_NET = {
    "W1": (3, 2, 3, 3), "b1": (3,), "W2": (4, 3, 3, 3), "b2": (4,), "W3": (4, 4, 3, 3), "b3": (4,),
    "W4": (4, 3, 1, 1), "b4": (4,), "W5": (8, 7), "b5": (7,), "gamma1": (4,), "beta1": (4,),
}  # fmt: skip
CONV_NET_INPUT = (2, 6, 5)


def conv_net(put: Put) -> Network:
    """A network for images of 2 x 6 x 5 with a residual branch, whose layers have a normalization among them."""
    p = {key: put(numbers(i, *shape)) for i, (key, shape) in enumerate(CONV_NET.items(), 5)}
    branch = [
        Convolution(p["W2"], p["b2"], stride=(2, 1), pad=1), BatchNormalization(p["gamma1"], p["beta1"]), Relu(),
        Convolution(p["W3"], p["b3"], pad=1),
    ]  # fmt: skip
    residual = Residual(branch, [Convolution(p["W4"], p["b4"], stride=(2, 1))])
    first, last = Convolution(p["W1"], p["b1"], pad=1), Affine(p["W5"], p["b5"])
    return Network([first, Relu(), residual, MaxPooling(2, 2), Flatten(), last], input_shape=CONV_NET_INPUT)


def seen(gradients: Results) -> Results:
    """The gradients, 1 added to that which is 0 but for rounding: of a bias that the normalization takes away."""
    return {key: grad + 1 if key == "b2" else grad for key, grad in gradients.items()}


def conv_net_cases() -> None:
    """Enter them."""
    for suffix, flat in (("", False), (", flat", True)):

        @case(f"convolutional network/training{suffix}")
        def training(put: Put, flat: bool = flat) -> Results:
            network, x = conv_net(put), put(numbers(1, 5, *CONV_NET_INPUT))
            if flat:
                network.state.flatten()
            return seen(network.gradient(x, put(LABELS))) | {**network.state.statistics}

    @case("convolutional network/inference")
    def inference(put: Put) -> Results:
        network = conv_net(put)
        network.gradient(put(numbers(1, 5, *CONV_NET_INPUT)), put(LABELS))
        x = numbers(2, 5, *CONV_NET_INPUT)
        return {"scores": network.predict(put(x), batch_size=2), "one": network.predict(put(x[0]))}

    for name in WHOLE:
        case(f"{name}/images")(lambda put, name=name: whole_net(put, name))


IMAGE = (1, 8, 8)
SIMPLE = {"filter_num": 2, "filter_size": 3, "pad": 1, "stride": 1}
DEEP_FILTERS, DEEP_PADS = (2, 2, 2, 2, 2, 3), (1, 1, 1, 2, 1, 1)
DEEP = [{**SIMPLE, "filter_num": count, "pad": pad} for count, pad in zip(DEEP_FILTERS, DEEP_PADS, strict=True)]
STAGES = (2, 3)
WHOLE: dict[str, Any] = {
    "SimpleConvNet": lambda **place: SimpleConvNet(IMAGE, SIMPLE, 3, 7, **place),
    "DeepConvNet": lambda **place: DeepConvNet(IMAGE, DEEP, 4, 7, RATIO, **place),
    "ResNet": lambda **place: ResNet(IMAGE, STAGES, 1, 7, **place),
}


def halves(seed: int, *shape: int) -> np.ndarray:
    """Numbers of such a size that many layers make moderate ones of moderate ones."""
    return 0.5 * numbers(seed, *shape)


def whole_net(put: Put, name: str) -> Results:
    """A training step of a small network of that name, and inference after it."""
    x, t = put(numbers(1, 5, *IMAGE)), put(LABELS)
    network = WHOLE[name](dtype=dtype_name(x), backend=backend_of(x))
    dropouts = [layer for key, layer in network.layers.items() if key.startswith("Dropout")]
    for layer, key in zip(dropouts, KEYS, strict=False):
        with_key(layer, key, put)
    network.set_params({key: put(halves(i, *W.shape)) for i, (key, W) in enumerate(network.params.items(), 125)})
    results = in_rows(network.gradient(x, t), row)
    if network.state.statistics:
        results["statistics"] = row(network.state.statistics.values())
    return results | {"scores": network.predict(put(numbers(2, 3, *IMAGE)))}


def in_rows(gradients: Results, row: Callable[[Iterable[Any]], Any]) -> Results:
    """The gradients of all weights as one array, and those of all other parameters: there are many."""
    return {
        "dW": row(grad for key, grad in gradients.items() if key[0] == "W"),
        "others": row(grad for key, grad in gradients.items() if key[0] != "W"),
    }


def row(arrays: Iterable[Any]) -> Any:
    """The numbers in some arrays, one after the other, in one of the same library."""
    arrays = list(arrays)
    xp = get_array_module(*arrays)
    return xp.concat([xp.reshape(array, (-1,)) for array in arrays])
