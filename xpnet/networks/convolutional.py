"""Convolutional networks, each as a list of layers (course row 20)."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from xpnet._core.checks import check_count
from xpnet._core.random import random_streams
from xpnet.backend import Backend
from xpnet.errors import ArgumentError, ShapeError
from xpnet.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    GlobalAveragePooling,
    Layer,
    MaxPooling,
    Relu,
    Residual,
    SoftmaxWithLoss,
)
from xpnet.layers.initializers import Random
from xpnet.networks.network import Network

_USUAL: Mapping[str, int] = MappingProxyType({"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1})
# The fourth convolution has a wider pad, so that images of 14 x 14 become 16 x 16, and then 8 and 4.
_DEEP: tuple[Mapping[str, int], ...] = tuple(
    MappingProxyType({"filter_num": filters, "filter_size": 3, "pad": pad, "stride": 1})
    for filters, pad in ((16, 1), (16, 1), (32, 1), (32, 2), (64, 1), (64, 1))
)


class SimpleConvNet(Network):
    """The book's first convolutional network: convolution, ReLU, pooling, affine, ReLU, affine (chapter 7).

    Images have the shape (N, C, H, W), as from ``load_mnist(flatten=False)``. The book's parameters, the file
    ``ch07/params.pkl``, are loaded by ``SimpleConvNet().set_params(load_weights("params.pkl"))``.

    Parameters
    ----------
    input_dim
        The shape of an image, (channels, height, width).
    conv_param
        ``filter_num``, ``filter_size``, ``pad`` and ``stride`` of the convolution.
    hidden_size, output_size
        The numbers of hidden units and classes.
    weight_init_std, seed, dtype, backend
        As for `TwoLayerNet`.

    Examples
    --------
    >>> network = SimpleConvNet(seed=0, backend="numpy")
    >>> network
    SimpleConvNet(1x28x28-30-100-10, 433,890 parameters, float32 on numpy)
    >>> {key: value.shape for key, value in network.params.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'W1': (30, 1, 5, 5), 'b1': (30,), 'W2': (4320, 100), 'b2': (100,), 'W3': (100, 10), 'b3': (10,)}
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        conv_param: Mapping[str, int] = _USUAL,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float | str = 0.01,
        *,
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        image = _image_shape(input_dim)
        options: Any = {"rng": random_streams(seed).weights, "dtype": dtype, "backend": backend}
        convolution = _convolution(image[0], conv_param, weight_init_std, **options)
        layers: dict[str, Layer] = {"Conv1": convolution, "Relu1": Relu(), "Pool1": MaxPooling(2, 2)}
        pooled = _size_after(layers.values(), image)
        layers["Affine1"] = Affine.create(pooled, hidden_size, weight_init_std, **options)
        layers["Relu2"] = Relu()
        layers["Affine2"] = Affine.create(hidden_size, output_size, weight_init_std, **options)
        super().__init__(layers, SoftmaxWithLoss(), input_shape=image)


class DeepConvNet(Network):
    """The book's deep network: three pairs of 3 x 3 convolutions with pooling, then two affine layers (chapter 8).

    ReLU follows each convolution and the first affine layer, dropout each affine layer. Initial weights are He's.

    Dropout scales by 1 - `dropout_ratio` at inference, as in the book, so that the book's parameters, the file
    ``ch08/deep_convnet_params.pkl``, give the book's scores:
    ``DeepConvNet().set_params(load_weights("deep_convnet_params.pkl"))``.

    Parameters
    ----------
    conv_params
        For each of the six convolutions ``filter_num``, ``filter_size``, ``pad`` and ``stride``.
    dropout_ratio
        The probability with which outputs of affine layers are dropped in training.
    input_dim, hidden_size, output_size, seed, dtype, backend
        As for `SimpleConvNet`.

    Examples
    --------
    >>> network = DeepConvNet(seed=0, backend="numpy")
    >>> network
    DeepConvNet(1x28x28-16-16-32-32-64-64-50-10, 123,552 parameters, float32 on numpy)
    >>> list(network.params)[-4:]
    ['W7', 'b7', 'W8', 'b8']
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        conv_params: Sequence[Mapping[str, int]] = _DEEP,
        hidden_size: int = 50,
        output_size: int = 10,
        dropout_ratio: float = 0.5,
        *,
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        image = _image_shape(input_dim)
        if not isinstance(conv_params, Sequence) or len(conv_params) != 6:
            raise ArgumentError(f"conv_params must be a list that describes six convolutions, got {conv_params!r}.")
        streams = random_streams(seed)
        options: Any = {"rng": streams.weights, "dtype": dtype, "backend": backend}
        layers: list[Layer] = []
        channels = image[0]
        for i, conv_param in enumerate(conv_params):
            convolution = _convolution(channels, conv_param, "he", **options)
            channels = convolution.W.shape[0]
            layers += [convolution, Relu()]
            if i % 2 == 1:
                layers.append(MaxPooling(2, 2))
        layers += [
            Affine.create(_size_after(layers, image), hidden_size, "he", **options),
            Relu(),
            Dropout(dropout_ratio, inverted=False, seed=streams.noise),
            Affine.create(hidden_size, output_size, "he", **options),
            Dropout(dropout_ratio, inverted=False, seed=streams.noise),
        ]
        super().__init__(layers, SoftmaxWithLoss(), input_shape=image)


class ResNet(Network):
    """A small residual network: He et al., "Deep Residual Learning for Image Recognition" (2015), section 4.2.

    A convolution; stages of residual blocks, of which each but the first halves the image; global average pooling; an
    affine layer. A block is two 3 x 3 convolutions with batch normalization and a shortcut: the input itself, or a
    1 x 1 convolution if the shape changes.

    Parameters
    ----------
    filter_nums
        The number of channels of each stage.
    blocks
        The number of residual blocks in each stage.
    input_dim, output_size, seed, dtype, backend
        As for `SimpleConvNet`.

    Examples
    --------
    >>> ResNet((3, 32, 32), blocks=3, backend="numpy").state.parameter_count  # the paper's ResNet-20
    273258
    >>> list(ResNet(seed=0, backend="numpy").layers)  # doctest: +NORMALIZE_WHITESPACE
    ['Convolution1', 'BatchNormalization1', 'Relu1', 'Residual1', 'Relu2', 'Residual2', 'Relu3', 'Residual3', 'Relu4',
     'GlobalAveragePooling1', 'Affine1']
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        filter_nums: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
        output_size: int = 10,
        *,
        seed: int | None = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> None:
        image = _image_shape(input_dim)
        check_count("blocks", blocks)
        if not isinstance(filter_nums, Sequence) or not filter_nums:
            raise ArgumentError(
                "filter_nums must be a list of the channels of each stage, such as `(16, 32, 64)`, got "
                f"{filter_nums!r}."
            )
        options: Any = {"rng": random_streams(seed).weights, "dtype": dtype, "backend": backend}
        channels = filter_nums[0]
        layers: list[Layer] = [*_normalized(image[0], channels, 3, 1, **options), Relu()]
        for stage, filters in enumerate(filter_nums):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                branch = [*_normalized(channels, filters, 3, stride, **options), Relu()]
                branch += _normalized(filters, filters, 3, 1, **options)
                same = stride == 1 and channels == filters
                shortcut = () if same else _normalized(channels, filters, 1, stride, **options)
                layers += [Residual(branch, shortcut), Relu()]
                channels = filters
        layers += [GlobalAveragePooling(), Affine.create(channels, output_size, "he", **options)]
        super().__init__(layers, SoftmaxWithLoss(), input_shape=image)


def _normalized(
    channels: int, filters: int, size: int, stride: int, *, rng: Random, **where: Any
) -> tuple[Convolution, BatchNormalization]:
    """A convolution that keeps the size of images, divided by its stride, and batch normalization."""
    convolution = Convolution.create(channels, filters, size, "he", stride=stride, pad=size // 2, rng=rng, **where)
    return convolution, BatchNormalization.create(filters, **where)


def _convolution(
    channels: int, conv_param: Mapping[str, int], weight_init_std: float | str, **options: Any
) -> Convolution:
    """A convolution from the book's dictionary of its sizes."""
    if not isinstance(conv_param, Mapping) or set(conv_param) != set(_USUAL):
        raise ArgumentError(f"A convolution is described by numbers such as {dict(_USUAL)}, got {conv_param!r}.")
    p: Mapping[str, Any] = conv_param
    return Convolution.create(
        channels, p["filter_num"], p["filter_size"], weight_init_std, stride=p["stride"], pad=p["pad"], **options
    )


def _image_shape(input_dim: Sequence[int]) -> tuple[int, int, int]:
    if not isinstance(input_dim, Sequence) or len(input_dim) != 3:
        raise ArgumentError(f"input_dim must be the shape of an image, such as `(1, 28, 28)`, got {input_dim!r}.")
    channels, height, width = (check_count("a length in input_dim", length) for length in input_dim)
    return channels, height, width


def _size_after(layers: Any, image: tuple[int, ...]) -> int:
    """The number of values in the output of these layers for an image."""
    shape = image
    for layer in layers:
        try:
            shape = layer.output_shape(shape)
        except ShapeError as error:
            raise ShapeError(f"input_dim={image} is too small. {error}") from None
    return math.prod(shape)
