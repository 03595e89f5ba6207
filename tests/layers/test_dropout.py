"""Dropout: the same dropped on every backend, others in each step, and a key that goes where the layer goes."""

import pickle

import numpy as np
import pytest
from cases import numbers, same_bits
from deep_cases import KEYS, with_key
from small_training import make
from states import flattened

from xpnet import Affine, Dropout, MultiLayerNet, Network, TwoLayerNet, to_numpy
from xpnet.errors import ArgumentError


def training(layer):
    layer.train = True
    return layer


def masks(layer, x, steps):
    found = []
    for _ in range(steps):
        layer.forward(x)
        found.append(np.array(to_numpy(layer.mask)))
    return found


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.9, 1 - 2**-40])
@pytest.mark.parametrize("inverted", [True, False])
def test_masks_are_the_same_to_the_bit_on_every_backend(be, ratio, inverted):
    here = training(with_key(Dropout(ratio, inverted=inverted), KEYS[1], be.put))
    host = training(with_key(Dropout(ratio, inverted=inverted), KEYS[1], np.asarray))
    x = numbers(1, 40, 30)
    found, expected = masks(here, be.put(x), 5), masks(host, x.astype(be.dtype), 5)
    for mask, host_mask in zip(found, expected, strict=True):
        assert mask.dtype == be.dtype
        assert mask.tobytes() == host_mask.tobytes()
    if 0 < ratio < 0.95:
        assert len({mask.tobytes() for mask in found}) == 5
    be.check(here.forward(be.put(x)), x.astype(be.dtype) * masks(host, x.astype(be.dtype), 1)[0], eps=0)


def test_both_dtypes_drop_the_same():
    x = numbers(1, 40, 30)
    of_singles, of_doubles = (
        masks(training(Dropout(0.3, seed=1)), x.astype(dtype), 3) for dtype in ("float32", "float64")
    )
    assert all(np.array_equal(a > 0, b > 0) for a, b in zip(of_singles, of_doubles, strict=True))


def test_a_ratio_of_0_drops_nothing_and_one_next_to_1_nearly_everything():
    x = np.ones((100, 100))
    assert np.array_equal(training(Dropout(0.0)).forward(x), x)
    assert np.count_nonzero(training(Dropout(1 - 2**-40)).forward(x)) == 0


def test_what_is_kept_is_scaled_up_in_training_or_all_is_scaled_down_at_inference():
    x, dout = numbers(1, 50, 20), numbers(2, 50, 20)
    inverted, plain = Dropout(0.75, seed=0), Dropout(0.75, inverted=False, seed=0)
    assert inverted.forward(x) is x
    assert inverted.backward(dout) is dout
    np.testing.assert_array_equal(plain.forward(x), 0.25 * x)
    np.testing.assert_array_equal(plain.backward(dout), 0.25 * dout)
    kept = training(plain).forward(x) != 0
    np.testing.assert_array_equal(plain.forward(x)[kept & (plain.mask > 0)], x[kept & (plain.mask > 0)])
    np.testing.assert_array_equal(training(inverted).forward(x), np.where(kept, 4 * x, 0))


def test_a_seed_gives_the_same_each_time_and_none_others():
    x = np.ones((20, 20))
    first, again, other = (masks(training(Dropout(seed=seed)), x, 2) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(*(masks(training(Dropout()), x, 1)[0] for _ in range(2)))


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, float("nan"), "half", None])
def test_a_ratio_out_of_range(ratio):
    with pytest.raises(ArgumentError, match=r"dropout_ratio must be a number from 0 up to, but not, 1, got "):
        Dropout(ratio)


def test_a_seed_that_is_none():
    with pytest.raises(ArgumentError, match="seed must be a whole number of at least 0, or None, got -1"):
        Dropout(seed=-1)


# --- the key --------------------------------------------------------------------------------------------------------


def dropping(seed=0, dtype="float32", backend="numpy"):
    return MultiLayerNet(12, [6, 5], 7, use_dropout=True, seed=seed, dtype=dtype, backend=backend)


X, T = numbers(1, 5, 12), np.array([2, 0, 6, 3, 3])


def keys(network):
    return {name: np.array(to_numpy(layer.key)) for name, layer in network.layers.items() if "Dropout" in name}


def next_gradients(network, put=np.asarray):
    return network.gradient(put(X), put(T))


def test_the_key_moves_with_the_network(be):
    here, moved = dropping(dtype=be.dtype, backend=be.backend), dropping().to(be.backend, dtype=be.dtype)
    for network in (here, moved):
        for layer in (layer for name, layer in network.layers.items() if "Dropout" in name):
            assert type(layer.key) is type(be.put(np.zeros(1)))
            assert to_numpy(layer.key).dtype == np.int32
    assert same_bits(keys(here), keys(moved))
    next_gradients(here, be.put)
    back = here.to("numpy")
    assert same_bits(keys(back), {name: key + np.int32(0x9E3779B9 - 2**32) for name, key in keys(moved).items()})
    next_gradients(back)


@pytest.mark.bits
def test_moving_between_two_steps_changes_nothing_that_is_dropped():
    moved, stays = dropping(dtype="float64"), dropping(dtype="float64")
    for network in (moved, stays):
        next_gradients(network)
    moved.to("array_api_strict").to("numpy")
    assert same_bits(next_gradients(moved), next_gradients(stays))


def pickled(network):
    return pickle.loads(pickle.dumps(network))


@pytest.mark.bits
@pytest.mark.parametrize("copied", [MultiLayerNet.copy, pickled])
@pytest.mark.parametrize("flat", [False, True])
def test_a_copy_drops_what_the_original_drops_and_has_a_key_of_its_own(copied, flat):
    network = dropping(dtype="float64")
    if flat:
        network.state.flatten()
    next_gradients(network)
    copy = copied(network)
    before = keys(network)
    assert same_bits(keys(copy), before)
    first = next_gradients(copy)
    assert same_bits(keys(network), before)
    assert same_bits(next_gradients(network), first)


def test_the_layers_of_a_network_drop_their_own():
    network = dropping()
    assert not np.array_equal(*keys(network).values())
    assert same_bits(keys(network), keys(dropping()))
    assert not same_bits(keys(network), keys(dropping(seed=1)))


def test_inference_counts_nothing():
    network = dropping()
    before = keys(network)
    network.predict(X)
    network.accuracy(X, T)
    network.loss(X, T)
    network.loss(X, T, train=True)
    network.predict_proba(X)
    assert same_bits(keys(network), before)
    network.gradient(X, T)
    assert not same_bits(keys(network), before)


@pytest.mark.bits
def test_saved_weights_hold_no_key_and_fit_a_network_without_dropout(tmp_path):
    from safetensors import safe_open

    network, without = dropping(), MultiLayerNet(12, [6, 5], 7, seed=9, backend="numpy")
    assert list(network.state.weights()) == list(without.state.weights()) == list(network.params)
    network.save(tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", framework="np") as file:
        assert set(file.keys()) == {"W1", "b1", "W2", "b2", "W3", "b3"}
    without.load(tmp_path / "w.safetensors")
    assert np.array_equal(without.predict(X), network.predict(X))
    before = keys(network)
    network.load(tmp_path / "w.safetensors")
    assert same_bits(keys(network), before)


# --- in recorded steps ----------------------------------------------------------------------------------------------


def test_each_replay_of_a_recorded_step_drops_others():
    """All samples are one, and nothing is learned to speak of: the losses differ by what is dropped, or not at all."""
    x, t = np.ones((60, 12), "float32"), np.zeros(60, np.int64)

    def losses(*layers):
        trainer = make(
            Network([*two_affine(*layers)]), x, t, iterations=30, capture=True, optimizer_param={"lr": 1e-30}
        )
        trainer.train()
        return trainer.history.loss

    assert len(set(losses())) == 1
    assert len(set(losses(Dropout(0.5, seed=0)))) == 30


def two_affine(*between):
    rng = np.random.default_rng(0)
    first, second = (0.1 * rng.standard_normal(shape).astype("float32") for shape in ((12, 6), (6, 7)))
    return Affine(first, np.zeros(6, "float32")), *between, Affine(second, np.zeros(7, "float32"))


@pytest.mark.bits
@pytest.mark.parametrize("sampling", ["shuffle", "choice"])
def test_recorded_steps_equal_plain_ones_and_end_with_the_same_key(sampling):
    networks = []
    losses = []
    for capture in (True, False):
        network = dropping()
        trainer = make(network, iterations=60, capture=capture, sampling=sampling)
        trainer.train()
        trainer.train()
        losses.append(trainer.history.loss)
        networks.append(network)
    assert losses[0] == losses[1]
    assert same_bits(networks[0].params, networks[1].params)
    assert same_bits(keys(networks[0]), keys(networks[1]))
    before = keys(dropping())["Dropout1"][0]
    assert keys(networks[0])["Dropout1"][0] == np.array([int(before) + 120 * 0x9E3779B9]).astype(np.int32)[0]


def test_recording_leaves_the_key_as_it_was():
    network = flattened(dropping())
    trainer = make(network, iterations=60, capture=True)
    before = keys(network)
    trainer.runner.steps(at_once=2)
    assert same_bits(keys(network), before)
    assert all(type(layer.key) is np.ndarray for name, layer in network.layers.items() if "Dropout" in name)


def test_a_network_with_dropout_learns_on_every_backend(be):
    network = Network([*two_affine(Dropout(0.2, seed=0))]).to(be.backend, dtype=be.dtype)
    x, t = be.put(X), be.put(T)
    before = float(network.loss(x, t))
    for _ in range(60):
        for key, grad in network.gradient(x, t).items():
            network.params[key] -= 0.3 * grad
    assert float(network.loss(x, t)) < before / 2


def test_two_layer_net_is_as_it_was():
    """Networks without dropout draw the weights that they drew before there was such a thing."""
    expected = TwoLayerNet(12, 6, 7, seed=4, backend="numpy").params
    for options in ({}, {"use_dropout": True}, {"use_dropout": True, "dropout_ratio": 0.1}):
        assert same_bits(expected, MultiLayerNet(12, [6], 7, "relu", 0.01, seed=4, backend="numpy", **options).params)


def test_a_ratio_next_to_1(be):
    layer = Dropout(1 - 2**-40, seed=0)
    layer.train = True
    be.check(layer.forward(be.put(np.ones((3, 4)))), np.zeros((3, 4)))
