"""The matrix in PyTorch: convolution, pooling, and normalization of images; see `torch_cases`."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from conv_cases import (
    BATCHES,
    CONV_NET,
    CONV_NET_INPUT,
    CONVOLUTIONS,
    DEEP_FILTERS,
    DEEP_PADS,
    IMAGE,
    IMAGES,
    POOLINGS,
    STAGES,
    TIED,
    halves,
    in_rows,
    seen,
)
from deep_cases import KEYS, RATIO

from oracles.torch_conv_nets import Numbers, deep_conv_net, res_net, simple_conv_net
from oracles.torch_deep_cases import kept
from oracles.torch_table import Results, Tensor, given, gradients, labels, learned, oracle

with suppress(ImportError):  # pytest looks for doctests in this file also where there is no PyTorch
    import torch
    from torch.nn import functional as F


def _convolution(images: tuple[int, ...], filters: tuple[int, ...], stride: Any, pad: Any) -> Results:
    x, W, b = learned(1, *images), learned(3, *filters), learned(4, filters[0])
    y = F.conv2d(x, W, b, stride, pad)
    return {"y": y, **gradients(y, {"dx": x, "dW": W, "db": b}, given(2, *y.shape))}


for _kind, (_images, (_count, _fh, _fw), _stride, _pad) in CONVOLUTIONS.items():
    oracle(f"Convolution/{_kind}")(
        lambda images=_images, filters=(_count, _images[1], _fh, _fw), stride=_stride, pad=_pad: _convolution(
            images, filters, stride, pad
        )
    )


def _windows(function: Callable[[Tensor], Tensor], x: Tensor) -> Results:
    y = function(x)
    return {"y": y, **gradients(y, {"dx": x}, given(2, *y.shape))}


for _kind, (_images, _size, _stride, _pad) in POOLINGS.items():
    oracle(f"MaxPooling/{_kind}")(
        lambda images=_images, form=(_size, _stride, _pad): _windows(
            lambda x: F.max_pool2d(x, *form), learned(1, *images)
        )
    )
    oracle(f"AveragePooling/{_kind}")(
        lambda images=_images, form=(_size, _stride, _pad): _windows(
            lambda x: F.avg_pool2d(x, *form), learned(1, *images)
        )
    )


def _ties(size: int, stride: int, pad: int) -> Results:
    return _windows(lambda x: F.max_pool2d(x, size, stride, pad), torch.from_numpy(TIED).clone().requires_grad_())


oracle("MaxPooling/ties")(lambda: _ties(2, 2, 0))
oracle("MaxPooling/overlapping ties")(lambda: _ties(3, 1, 1))
oracle("GlobalAveragePooling/images")(
    lambda: _windows(lambda x: F.adaptive_avg_pool2d(x, 1).flatten(start_dim=1), learned(1, *IMAGES))
)
oracle("Flatten/images")(lambda: _windows(lambda x: torch.flatten(x, start_dim=1), learned(1, *IMAGES)))


def _normalization(sizes: tuple[tuple[int, int], ...], *, inference: bool = False) -> Results:
    gamma, beta = learned(5, 3), learned(6, 3)
    statistics = {"running_mean": torch.zeros(3).double(), "running_var": torch.ones(3).double()}
    for seed, size in sizes:
        x = learned(seed, size, *IMAGES[1:])
        y = F.batch_norm(x, *statistics.values(), gamma, beta, training=True, momentum=0.25)
    if inference:
        x = learned(7, *IMAGES)
        y = F.batch_norm(x, *statistics.values(), gamma, beta, training=False)
    return {"y": y, **gradients(y, {"dx": x, "dgamma": gamma, "dbeta": beta}, given(8, *y.shape)), **statistics}


oracle("BatchNormalization/images")(lambda: _normalization(BATCHES))
oracle("BatchNormalization/one image")(lambda: _normalization(((1, 1),)))
oracle("BatchNormalization/images, inference")(lambda: _normalization(BATCHES, inference=True))


class ConvNet:
    """The convolutional network of the same parameters."""

    def __init__(self) -> None:
        self.parameters = {key: learned(i, *shape) for i, (key, shape) in enumerate(CONV_NET.items(), 5)}
        self.statistics = {"running_mean1": torch.zeros(4).double(), "running_var1": torch.ones(4).double()}

    def scores(self, x: Tensor, *, training: bool) -> Tensor:
        """The scores of a batch."""
        p = self.parameters
        x = F.relu(F.conv2d(x, p["W1"], p["b1"], padding=1))
        y = F.conv2d(x, p["W2"], p["b2"], stride=(2, 1), padding=1)
        y = F.batch_norm(y, *self.statistics.values(), p["gamma1"], p["beta1"], training=training, momentum=0.1)
        y = F.conv2d(F.relu(y), p["W3"], p["b3"], padding=1) + F.conv2d(x, p["W4"], p["b4"], stride=(2, 1))
        return F.linear(F.max_pool2d(y, 2).flatten(start_dim=1), p["W5"].T, p["b5"])


def _conv_net() -> Results:
    network = ConvNet()
    loss = F.cross_entropy(network.scores(given(1, 5, *CONV_NET_INPUT), training=True), labels("index"))
    return {**seen(gradients(loss, network.parameters)), **network.statistics}


for _suffix in ("", ", flat"):
    oracle(f"convolutional network/training{_suffix}")(_conv_net)


@oracle("convolutional network/inference")
def _conv_net_inference() -> Results:
    network = ConvNet()
    network.scores(given(1, 5, *CONV_NET_INPUT), training=True)
    scores = network.scores(given(2, 5, *CONV_NET_INPUT), training=False)
    return {"scores": scores, "one": scores[0]}


def _shapes(
    filters: Sequence[tuple[int, ...]], affine: Sequence[tuple[int, int]], *, normalized: bool = False
) -> dict[str, tuple[int, ...]]:
    """The parameters by name, in the networks' order: after filters their biases, and what normalizes their images."""
    found: dict[str, tuple[int, ...]] = {}
    for i, shape in enumerate((*filters, *affine), 1):
        width = shape[0] if len(shape) == 4 else shape[1]
        found |= {f"W{i}": shape, f"b{i}": (width,)}
        if normalized and len(shape) == 4:
            found |= {f"gamma{i}": (width,), f"beta{i}": (width,)}
    return found


def _three_by_three(*counts: int) -> list[tuple[int, ...]]:
    return [(count, channels, 3, 3) for channels, count in zip((1, *counts), counts, strict=False)]


# The last of ResNet's filters are those of the way around, which changes the number of channels.
_RESIDUAL = [*_three_by_three(STAGES[0], STAGES[0], STAGES[0], STAGES[1], STAGES[1]), (STAGES[1], STAGES[0], 1, 1)]
WHOLE_SHAPES = {
    "SimpleConvNet": _shapes(_three_by_three(2), [(2 * 4 * 4, 3), (3, 7)]),
    "DeepConvNet": _shapes(_three_by_three(*DEEP_FILTERS), [(DEEP_FILTERS[-1], 4), (4, 7)]),
    "ResNet": _shapes(_RESIDUAL, [(STAGES[1], 7)], normalized=True),
}


def _whole_scores(name: str, p: Numbers, x: Tensor) -> Tensor:
    if name == "SimpleConvNet":
        return simple_conv_net(p, x, stride=1, pad=1)
    if name == "ResNet":
        return res_net(p, x, STAGES, blocks=1)

    def drop(y: Tensor, i: int) -> Tensor:
        return y * kept(tuple(y.shape), KEYS[i - 1], step=1) if p.training else y * (1 - RATIO)

    return deep_conv_net(p, x, DEEP_PADS, drop)


def _row(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _whole_net(name: str) -> Results:
    shapes = WHOLE_SHAPES[name]
    parameters = {
        key: torch.from_numpy(halves(i, *shape)).requires_grad_() for i, (key, shape) in enumerate(shapes.items(), 125)
    }
    statistics: Results = {}
    for key, shape in shapes.items():
        if key.startswith("gamma"):
            statistics[key.replace("gamma", "running_mean")] = torch.zeros(shape).double()
            statistics[key.replace("gamma", "running_var")] = torch.ones(shape).double()
    p = Numbers(parameters, statistics)
    p.begin(training=True)
    loss = F.cross_entropy(_whole_scores(name, p, given(1, 5, *IMAGE)), labels("index"))
    results = in_rows(gradients(loss, parameters), _row)
    if statistics:
        results["statistics"] = _row(statistics.values())
    p.begin(training=False)
    return results | {"scores": _whole_scores(name, p, given(2, 3, *IMAGE))}


for _name in WHOLE_SHAPES:
    oracle(f"{_name}/images")(lambda name=_name: _whole_net(name))
