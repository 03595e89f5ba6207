"""One small network of each convolutional kind."""

from collections.abc import Callable

from xpnet import DeepConvNet, Network, ResNet, SimpleConvNet

SMALL = {"filter_num": 4, "filter_size": 3, "pad": 1, "stride": 1}
SMALL_DEEP = [
    {**SMALL, "filter_num": count, "pad": pad}
    for count, pad in zip((2, 3, 3, 4, 4, 4), (1, 1, 1, 2, 1, 1), strict=True)
]
NETWORKS: dict[str, Callable[..., Network]] = {
    "SimpleConvNet": lambda **options: SimpleConvNet((1, 8, 8), SMALL, 12, 10, "he", **options),
    "DeepConvNet": lambda **options: DeepConvNet((1, 8, 8), SMALL_DEEP, 12, 10, 0.25, **options),
    "ResNet": lambda **options: ResNet((1, 8, 8), (4, 6), 1, 10, **options),
}
