"""The entry of a network: shapes between its layers, single samples and batches, and what is known of inputs."""

import numpy as np
import pytest

from xpnet import Affine, Convolution, Flatten, MaxPooling, Relu
from xpnet.errors import DtypeError, ShapeError
from xpnet.networks.entry import Entry, operations


def layers():
    filters, W = np.ones((2, 1, 3, 3)), np.ones((8, 5))
    in_order = [Convolution(filters, np.zeros(2)), Relu(), MaxPooling(2, 2), Affine(W, np.zeros(5))]
    return dict(zip(("Conv1", "Relu1", "Pool1", "Affine1"), in_order, strict=True))


@pytest.fixture
def entry():
    made = Entry(layers())
    made.set_input_shape((1, 6, 6))
    return made


def test_shapes_by_hand(entry):
    """6 x 6 pixels are 4 x 4 places of 3 x 3 windows, of which pooling leaves 2 x 2."""
    assert entry.output_shape((1, 6, 6)) == (5,)
    assert entry.input_shape == (1, 6, 6)


@pytest.mark.parametrize("again", [False, True])
def test_a_single_sample_is_a_batch_of_one(entry, again):
    for _ in range(1 + again):  # the second time its form is known
        batch, form = entry.inputs(np.zeros((1, 6, 6)), np.zeros(1))
        assert (batch.shape, form.is_single, form.is_small) == ((1, 1, 6, 6), True, True)
        batch, form = entry.inputs(np.zeros((3, 1, 6, 6)), np.zeros(1))
        assert (batch.shape, form.is_single, form.is_small) == ((3, 1, 6, 6), False, True)


def test_what_does_not_fit_is_refused_with_the_layer_by_name(entry):
    with pytest.raises(ShapeError, match="Affine1: .*8 numbers a sample"):
        entry.inputs(np.zeros((3, 1, 8, 8)), np.zeros(1))
    with pytest.raises(ShapeError, match="Conv1: "):
        entry.set_input_shape((1, 2, 2))
    with pytest.raises(DtypeError):
        entry.inputs(np.zeros((3, 1, 6, 6), np.int64), np.zeros(1))
    assert entry.input_shape == (1, 6, 6)


def test_the_samples_at_once_are_those_whose_widest_outputs_fit_into_a_cache():
    wide = Entry({"Flatten1": Flatten(), "Affine1": Affine(np.zeros((2, 2**18)), np.zeros(2**18))})
    assert wide.samples_at_once(np.zeros((9, 2))) == 4  # of 2**20 numbers
    narrow = Entry({"Affine1": Affine(np.zeros((2, 3)), np.zeros(3))})
    assert narrow.samples_at_once(np.zeros((9, 2))) == 1000


def test_operations_by_hand():
    """A product and a sum for each weight and place; three times as many in training, but where nothing learns."""
    convolution, affine = 2 * 9 * 16, 8 * 5 + 5
    first, relu, pooling, last = operations(layers(), (1, 6, 6))
    assert (first, last) == (6 * convolution, 6 * affine)
    assert relu == pooling == 0
