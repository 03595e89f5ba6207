"""PyTorch itself, asked now, of whole convolutional networks: those of the book and that of the paper."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from comparing import assert_close, search, seeds, tensor, torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from oracles.torch_conv_nets import Numbers, deep_conv_net, res_net, simple_conv_net
from states import flattened, fused_plan

from xpnet import DeepConvNet, Network, ResNet, SimpleConvNet
from xpnet.errors import ShapeError

F = torch.nn.functional

few = settings(search, max_examples=60)
channels = st.integers(1, 3)
batches = st.integers(1, 4)
PLACE: dict[str, Any] = {"dtype": "float64", "backend": "numpy"}


def at_random(network: Network, seed: int, *, flat: bool = False) -> Network:
    """With other parameters: biases and betas begin at 0, gammas at 1, where much would go unseen."""
    rng = np.random.default_rng(seed)
    for value in network.params.values():
        if value.ndim == 1:
            value[...] += 0.5 * rng.standard_normal(value.shape)
    return flattened(network) if flat else network


def assert_is(
    network: Network, model: Callable[[Numbers, Any], Any], n: int, seed: int, *, steps: int = 1, fused: bool = False
) -> None:
    """Training steps and inference after them: loss, scores, gradients and statistics are those of the model.

    The gradients are those of the pass with fused layers, which the Trainer takes, if `fused`.
    """
    rng = np.random.default_rng(seed)
    p = Numbers(
        {key: tensor(np.array(value)) for key, value in network.params.items()},
        {key: torch.tensor(np.array(value)) for key, value in network.state.statistics.items()},
    )
    classes = network.output_shape(network.input_shape)[0]
    for _ in range(steps):
        x, t = rng.standard_normal((n, *network.input_shape)), rng.integers(0, classes, n)
        loss = float(network.loss(x, t, train=True))
        if fused:
            network.compute_gradients(x, t, fused_plan(network, kernels=False))
        grads = dict(network.state.grads) if fused else network.gradient(x, t)
        p.begin(training=True)
        for parameter in p.parameters.values():
            parameter.grad = None
        expected = F.cross_entropy(model(p, torch.tensor(x)), torch.tensor(t))
        expected.backward()
        assert_close(np.asarray(loss), expected, scale=1.0)
        # The bias before a normalization has no gradient but rounding: each is measured against the largest of all.
        largest = max(float(parameter.grad.abs().max()) for parameter in p.parameters.values())
        assert list(grads) == list(p.parameters)
        for key, parameter in p.parameters.items():
            assert_close(grads[key], parameter.grad, scale=largest)
        for key, statistic in p.statistics.items():
            assert_close(network.state.statistics[key], statistic, scale=1.0)
    p.begin(training=False)
    x, t = rng.standard_normal((n + 1, *network.input_shape)), rng.integers(0, classes, n + 1)
    scores = model(p, torch.tensor(x))
    assert_close(network.predict(x), scores, scale=1.0)
    assert_close(network.predict(x[0]), scores[0], scale=1.0)
    assert_close(network.predict_proba(x), F.softmax(scores, dim=1))
    assert_close(np.asarray(network.loss(x, t)), F.cross_entropy(scores, torch.tensor(t)), scale=1.0)
    for key, statistic in p.statistics.items():  # which inference leaves alone
        assert_close(network.state.statistics[key], statistic, scale=1.0)


USUAL = {"filter_num": 3, "filter_size": 5, "pad": 0, "stride": 1}
conv_params = st.fixed_dictionaries(
    {"filter_num": st.integers(1, 4), "filter_size": st.integers(1, 5), "pad": st.integers(0, 2),
     "stride": st.integers(1, 2)}
)  # fmt: skip


@few
@given(channels, st.tuples(*[st.integers(4, 13)] * 2), conv_params, batches, st.booleans(), st.booleans(), seeds)
@example(1, (28, 28), USUAL, 2, False, True, 0)
@example(3, (11, 8), USUAL, 1, True, False, 1)  # pooling leaves out a row
@example(3, (11, 8), USUAL, 1, True, True, 1)
def test_simple_conv_net(
    c: int, image: tuple[int, int], conv_param: dict[str, int], n: int, flat: bool, fused: bool, seed: int
) -> None:
    size, pad, stride = (conv_param[key] for key in ("filter_size", "pad", "stride"))
    assume(all(length + 2 * pad >= size + stride for length in image))  # so that pooling has something to pool
    network = SimpleConvNet((c, *image), conv_param, 5, 4, "he", seed=seed, **PLACE)
    model = functools.partial(simple_conv_net, stride=stride, pad=pad)
    assert_is(at_random(network, seed, flat=flat), model, n, seed, fused=fused)


def deep(network: DeepConvNet, pads: tuple[int, ...], ratio: float) -> Callable[[Numbers, Any], Any]:
    """The model, which drops what a step of ours has dropped, for PyTorch would drop others."""

    def scores(p: Numbers, x: Any) -> Any:
        def drop(y: Any, i: int) -> Any:
            return y * torch.tensor(network.layers[f"Dropout{i}"].mask) if p.training else y * (1 - ratio)

        return deep_conv_net(p, x, pads, drop)

    return scores


BOOKS_PADS = (1, 1, 1, 2, 1, 1)


@few
@given(channels, st.tuples(*[st.integers(8, 13)] * 2), st.tuples(*[st.integers(1, 2)] * 6), batches,
       st.sampled_from([0.0, 0.3, 0.5]), st.booleans(), st.booleans(), seeds)  # fmt: skip
@example(1, (28, 28), BOOKS_PADS, 2, 0.5, True, True, 0)
@example(3, (9, 6), BOOKS_PADS, 1, 0.0, False, False, 1)
@example(3, (9, 6), BOOKS_PADS, 1, 0.0, False, True, 1)
def test_deep_conv_net(
    c: int, image: tuple[int, int], pads: tuple[int, ...], n: int, ratio: float, flat: bool, fused: bool, seed: int
) -> None:
    described = [
        {"filter_num": count, "filter_size": 3, "pad": pad, "stride": 1}
        for count, pad in zip((2, 3, 2, 4, 3, 2), pads, strict=True)
    ]
    network = DeepConvNet((c, *image), described, 6, 4, ratio, seed=seed, **PLACE)
    assert_is(at_random(network, seed, flat=flat), deep(network, pads, ratio), n, seed, fused=fused)


@pytest.mark.parametrize("n", [1, 3])
def test_the_deep_one_as_it_comes(n: int) -> None:
    network = DeepConvNet(seed=0, **PLACE)
    assert_is(at_random(network, 0), deep(network, BOOKS_PADS, 0.5), n, 0)


@few
@given(channels, st.tuples(*[st.integers(4, 11)] * 2), st.lists(st.integers(1, 4), min_size=1, max_size=3),
       st.integers(1, 2), batches, st.integers(1, 2), st.booleans(), seeds)  # fmt: skip
@example(1, (28, 28), [3, 3, 4], 1, 2, 1, True, 0)
@example(3, (32, 32), [2, 3], 2, 1, 2, False, 1)
@example(3, (4, 4), [2, 3, 4], 1, 2, 2, True, 2)  # in the last stage one number a channel of each image
@example(3, (4, 4), [2, 3, 4], 1, 1, 2, True, 2)  # and one of the only image, too few for its statistics
@example(1, (7, 5), [2, 2], 2, 3, 1, True, 3)  # as many channels, and yet a way around for the stride
def test_res_net(
    c: int, image: tuple[int, int], filter_nums: list[int], blocks: int, n: int, steps: int, flat: bool, seed: int
) -> None:
    network = ResNet((c, *image), filter_nums, blocks, 4, seed=seed, **PLACE)
    strides = 2 ** (len(filter_nums) - 1)
    if n == 1 and max(image) <= strides:
        with pytest.raises(ShapeError, match="needs at least two values of each column or channel"):
            network.gradient(np.random.default_rng(seed).standard_normal((1, c, *image)), np.array([0]))
        return
    model = functools.partial(res_net, filter_nums=filter_nums, blocks=blocks)
    assert_is(at_random(network, seed, flat=flat), model, n, seed, steps=steps)


def test_the_papers_resnet_20() -> None:
    network = ResNet((3, 32, 32), blocks=3, seed=0, **PLACE)
    model = functools.partial(res_net, filter_nums=(16, 32, 64), blocks=3)
    assert_is(at_random(network, 0), model, 2, 0, steps=2)
