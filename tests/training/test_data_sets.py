"""The minibatches of an epoch: the short one at its end, and those too small for statistics of a batch."""

import numpy as np
import pytest
from cases import numbers
from small_training import LABELS, PIXELS, batches, make

from xpnet import (
    Affine,
    BatchNormalization,
    Convolution,
    LayerNormalization,
    MultiLayerNet,
    Network,
    Relu,
    Residual,
    ResNet,
)
from xpnet.errors import ArgumentError, ShapeError


def normalized(**options):
    return MultiLayerNet(12, [8], 7, use_batchnorm=True, seed=0, **options)


# --- drop_last ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "drop", "sizes"), [
    (10, None, [10, 10, 5]), (10, False, [10, 10, 5]), (10, True, [10, 10]), (8, True, [8, 8, 8]),
    (8, None, [8, 8, 8, 1]),
    (25, True, [25]), (24, True, [24]), (100, None, [25]),
])  # fmt: skip
def test_the_sizes_of_an_epochs_minibatches(size, drop, sizes):
    trainer = make(mini_batch_size=size, drop_last=drop, epochs=2)
    assert trainer.iterations_per_epoch == len(sizes)
    assert [len(batch) for batch in batches(trainer)] == 2 * sizes
    assert trainer.drop_last is bool(drop)


def test_other_samples_are_left_out_in_each_epoch():
    seen = batches(make(drop_last=True, epochs=6))
    epochs = [set(seen[i] + seen[i + 1]) for i in range(0, 12, 2)]
    assert {len(epoch) for epoch in epochs} == {20}
    assert len({frozenset(epoch) for epoch in epochs}) == 6
    assert set.union(*epochs) == set(range(25))
    with_it = batches(make(epochs=1))
    assert seen[:2] == with_it[:2]  # those of the same seed


@pytest.mark.bits
@pytest.mark.parametrize("capture", [True, False])
def test_recorded_epochs_leave_it_out_too(capture):
    history = make(drop_last=True, epochs=20, capture=capture).train()
    assert len(history.loss) == 40
    assert history.evaluated_at == list(range(0, 41, 2))
    assert history.epochs == list(range(21))


def test_drawn_minibatches_are_all_whole():
    assert [len(batch) for batch in batches(make(sampling="choice", epochs=1))] == [10, 10, 10]
    assert [len(batch) for batch in batches(make(sampling="choice", epochs=1, drop_last=True))] == [10, 10]


@pytest.mark.parametrize("drop", [1, "yes", 0.5])
def test_a_choice_that_is_none(drop):
    with pytest.raises(ArgumentError, match="drop_last must be True or False, got"):
        make(drop_last=drop)


def test_nothing_would_be_left_and_the_remedy():
    with pytest.raises(ArgumentError, match="leaves no minibatch: the training set has 25 .*`mini_batch_size=25`"):
        make(mini_batch_size=26, drop_last=True)
    make(mini_batch_size=25, drop_last=True)


# --- statistics of a batch -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", [True, False])
def test_a_last_minibatch_of_one_is_left_out_where_the_network_needs_two(capture):
    trainer = make(normalized(), mini_batch_size=8, epochs=15, capture=capture)
    assert trainer.drop_last
    before = {key: value.copy() for key, value in trainer.network.params.items()}
    assert len(trainer.train().loss) == 3 * 15
    assert all((trainer.network.params[key] != value).any() for key, value in before.items())
    assert not make(normalized(), mini_batch_size=10).drop_last
    assert not make(mini_batch_size=8).drop_last
    assert not make(normalized().freeze("BatchNormalization1"), mini_batch_size=8).drop_last


def test_that_it_is_left_out_is_said(capsys):
    make(normalized(), mini_batch_size=8, epochs=1, verbose=True).train()
    assert "Each epoch leaves out one sample" in capsys.readouterr().out
    make(normalized(), mini_batch_size=8, epochs=1, verbose=True, drop_last=True).train()
    assert "leaves out" not in capsys.readouterr().out


@pytest.mark.parametrize(("options", "says"), [
    ({"mini_batch_size": 1}, "minibatch of one sample, got mini_batch_size=1 and 25"),
    ({"mini_batch_size": 1, "sampling": "choice"}, "minibatch of one sample, got mini_batch_size=1"),
    ({"x": PIXELS[:1], "t": LABELS[:1]}, "minibatch of one sample, got mini_batch_size=10 and 1 training"),
    ({"mini_batch_size": 8, "drop_last": False}, r"has one sample \(25 samples, mini_batch_size=8\).*`drop_last=True`"),
    ({"validation": 0.96, "mini_batch_size": 1}, "minibatch of one sample"),
])  # fmt: skip
def test_a_minibatch_of_one_is_refused_before_the_first_step(options, says):
    with pytest.raises(ArgumentError, match=says):
        make(normalized(), **options)


@pytest.mark.parametrize("drop", [None, False])
def test_drawn_minibatches_leave_no_rest_of_one(drop):
    trainer = make(normalized(), mini_batch_size=8, sampling="choice", drop_last=drop, epochs=1)
    assert not trainer.drop_last
    trainer.train()


def test_of_images_each_pixel_counts():
    """A minibatch of one image has H * W values a channel; none but one where an image is a single pixel."""
    where = {"backend": "numpy"}
    options = {"rng": np.random.default_rng(0), **where}

    def network(pool):
        layers = [
            Convolution.create(1, 3, 3, pad=1, init="he", **options),
            BatchNormalization.create(3, **where),
            Relu(),
        ]
        if pool:
            layers = [Convolution.create(1, 3, 4, init="he", **options), BatchNormalization.create(3, **where), Relu()]
        return Network([*layers, Affine.create(3 if pool else 48, 7, "he", **options)], input_shape=(1, 4, 4))

    x = numbers(0, 25, 1, 4, 4).astype("float32")
    trainer = make(network(pool=False), x, mini_batch_size=1, epochs=1)
    assert len(trainer.train().loss) == 25
    with pytest.raises(ArgumentError, match="minibatch of one sample"):
        make(network(pool=True), x, mini_batch_size=1)
    layer = BatchNormalization(np.ones(3), np.zeros(3))
    layer.train = True
    assert layer.forward(numbers(0, 1, 3, 1, 2)).shape == (1, 3, 1, 2)
    with pytest.raises(ShapeError, match="got one"):
        layer.forward(numbers(0, 1, 3, 1, 1))


def test_layers_inside_layers_are_found():
    norm = BatchNormalization(np.ones(12), np.zeros(12))
    inside = Network([Residual([norm, Relu()]), Affine(numbers(0, 12, 7), np.zeros(7))])
    shortcut = Network(
        [Residual([Relu()], [BatchNormalization(np.ones(12), np.zeros(12))]), Affine(numbers(0, 12, 7), np.zeros(7))]
    )
    for network in (inside, shortcut):
        with pytest.raises(ArgumentError, match="minibatch of one sample"):
            make(network, mini_batch_size=1)
        assert make(network, mini_batch_size=8).drop_last
    small = ResNet((1, 8, 8), output_size=7, seed=0, backend="numpy")
    assert not make(small, numbers(0, 25, 1, 8, 8).astype("float32"), mini_batch_size=8).drop_last


def test_one_sample_by_hand(be):
    layer = BatchNormalization(be.put(np.ones(3)), be.put(np.zeros(3)))
    one = be.put(numbers(0, 1, 3))
    layer.train = True
    with pytest.raises(ShapeError, match=r"BatchNormalization\(3\) needs at least two values"):
        layer.forward(one)
    be.check(layer.running_var, np.ones(3))
    layer.train = False
    layer.forward(one)


def test_one_feature_in_a_row():
    with pytest.raises(ShapeError, match="needs at least two columns, got one"):
        LayerNormalization(np.ones(1), np.zeros(1))
    with pytest.raises(ShapeError, match="needs at least two columns"):
        LayerNormalization.create(1, backend="numpy")
