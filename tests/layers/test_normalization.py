"""Batch and layer normalization: what is kept for inference, where it lies, how it is saved, moved and demanded."""

import pickle

import numpy as np
import pytest
from cases import numbers, same_bits
from states import flattened

from xpnet import (
    Affine,
    BatchNormalization,
    Convolution,
    LayerNormalization,
    MaxPooling,
    MultiLayerNet,
    Network,
    Relu,
    Residual,
    asarray,
    to_numpy,
)
from xpnet.errors import ArgumentError, DataError, ShapeError

X, T = numbers(1, 5, 12), np.array([2, 0, 6, 3, 3])
NAMES = ["running_mean1", "running_var1", "running_mean2", "running_var2"]


def network(dtype="float64", backend="numpy", seed=0):
    return MultiLayerNet(12, [6, 4], 7, use_batchnorm=True, seed=seed, dtype=dtype, backend=backend)


def trained(net, put=np.asarray, steps=3):
    for _ in range(steps):
        net.compute_gradients(put(X), put(T))
    return net


def statistics(net):
    return {key: np.array(to_numpy(value)) for key, value in net.state.statistics.items()}


# --- the numbers ----------------------------------------------------------------------------------------------------


def test_columns_have_mean_0_and_variance_1_in_training_and_rows_always(be):
    x = 3 * numbers(1, 50, 7) + 5
    columns = BatchNormalization(be.put(np.ones(7)), be.put(np.zeros(7)), eps=1e-12)
    columns.train = True
    rows = LayerNormalization(be.put(np.ones(7)), be.put(np.zeros(7)), eps=1e-12)
    for layer, axis in ((columns, 0), (rows, 1)):
        y = to_numpy(layer.forward(be.put(x)))
        np.testing.assert_allclose(y.mean(axis=axis), 0, atol=1e-5)
        np.testing.assert_allclose(y.var(axis=axis), 1, atol=1e-5)


def test_the_running_means_are_those_of_the_batches_weighted_by_momentum(be):
    """The variance of a batch is divided by N - 1, as of a sample of all there is."""
    layer = BatchNormalization(be.put(np.ones(7)), be.put(np.zeros(7)), momentum=0.75)
    layer.train = True
    mean, var = np.zeros(7), np.ones(7)
    for seed, n in ((1, 5), (2, 2), (3, 9)):
        x = numbers(seed, n, 7)
        layer.forward(be.put(x))
        mean, var = 0.75 * mean + 0.25 * x.mean(axis=0), 0.75 * var + 0.25 * x.var(axis=0, ddof=1)
        be.check(layer.running_mean, mean)
        be.check(layer.running_var, var)
    with pytest.raises(ShapeError, match="needs at least two values"):  # a sample alone has no variance
        layer.forward(be.put(numbers(4, 1, 7)))
    be.check(layer.running_mean, mean)
    be.check(layer.running_var, var)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4, 2)])
def test_at_inference_it_computes_with_the_running_means(be, shape):
    gamma, beta, mean = numbers(1, 3), numbers(2, 3), numbers(3, 3) + 2
    var = np.array([0.25, 4.0, 1.0])
    layer = BatchNormalization(be.put(gamma), be.put(beta), eps=0.5)
    layer.running_mean, layer.running_var = be.put(mean), be.put(var)
    columns = (1, 3, *[1] * (len(shape) - 2))
    gamma, beta, mean, var = (a.reshape(columns) for a in (gamma, beta, mean, var))
    x, dout = numbers(4, *shape), numbers(5, *shape)
    normal = (x - mean) / np.sqrt(var + 0.5)
    be.check(layer.forward(be.put(x)), gamma * normal + beta, eps=64)
    be.check(layer.backward(be.put(dout)), gamma * dout / np.sqrt(var + 0.5), eps=64)
    rows = tuple(axis for axis in range(len(shape)) if axis != 1)
    be.check(layer.dgamma, (dout * normal).sum(axis=rows), eps=256)
    be.check(layer.dbeta, dout.sum(axis=rows), eps=256)


def test_inference_keeps_nothing_and_does_not_look_at_the_batch():
    net = trained(network())
    before = statistics(net)
    alone, among = net.predict(X[2]), net.predict(X)[2]
    np.testing.assert_allclose(alone, among, rtol=1e-12)
    net.loss(X, T)
    net.accuracy(X, T, batch_size=2)
    net.loss(X, T, train=True)
    net.numerical_gradient(X[:2, :], T[:2])
    assert same_bits(statistics(net), before)


def test_the_loss_of_training_is_of_the_batchs_own_statistics():
    net = trained(network(), steps=1)
    loss = float(net.loss(X, T, train=True))
    assert loss != float(net.loss(X, T))
    assert loss == float(net.compute_gradients(X, T))


def test_numbers_that_are_all_the_same_give_no_infinity():
    for layer in (BatchNormalization(np.ones(3), np.zeros(3)), LayerNormalization(np.ones(3), np.zeros(3))):
        layer.train = True
        assert np.array_equal(layer.forward(np.full((4, 3), 7.0)), np.zeros((4, 3)))
        assert np.all(np.isfinite(layer.backward(numbers(1, 4, 3))))


# --- where the statistics lie ---------------------------------------------------------------------------------------


def test_statistics_lie_beside_the_parameters_and_move_with_them(be):
    net = network(be.dtype, be.backend)
    assert list(net.state.statistics) == NAMES
    assert [key for key in net.params if "running" in key] == []
    trained(net, be.put)
    expected = statistics(net)
    for value in net.state.statistics.values():
        be.check(value, np.array(to_numpy(value)), eps=0)
    host = net.copy().to("numpy")
    assert same_bits(statistics(host), expected)
    trained(host, lambda a: a.astype(be.dtype) if a.dtype.kind == "f" else a, 1)
    back = net.to("numpy").to(be.backend)
    for key, value in back.state.statistics.items():
        be.check(value, expected[key], eps=0)


def test_statistics_take_the_dtype_of_the_parameters():
    net = trained(network())
    before = statistics(net)
    net.to(dtype="float32")
    assert {value.dtype.name for value in net.state.statistics.values()} == {"float32"}
    assert all(np.array_equal(value, before[key].astype("float32")) for key, value in net.state.statistics.items())
    layer = BatchNormalization(np.ones(6, "float32"), np.zeros(6, "float32"))
    layer.running_mean = np.zeros(6)  # somebody's own, of another dtype
    Network([Affine(*(numbers(1, *s).astype("float32") for s in ((12, 6), (6,)))), layer])
    assert layer.running_mean.dtype == np.float32


def pickled(net):
    return pickle.loads(pickle.dumps(net))


@pytest.mark.parametrize("copied", [Network.copy, pickled])
@pytest.mark.parametrize("flat", [False, True])
def test_a_copy_keeps_everything_and_shares_nothing(copied, flat):
    net = network()
    if flat:
        net.state.flatten()
    trained(net)
    copy = copied(net)
    before, weights = statistics(net), {key: value.copy() for key, value in net.state.weights().items()}
    assert same_bits(copy.state.weights(), weights)
    assert (copy.state.buffers is not None) == flat
    trained(copy)
    for value in copy.params.values():
        value[...] += 1.0
    assert same_bits(statistics(net), before)
    assert same_bits(net.state.weights(), weights)
    assert not same_bits(statistics(copy), before)


@pytest.mark.bits
def test_flattening_changes_no_number():
    plain, flat = trained(network()), trained(flattened(network()))
    assert same_bits(plain.state.weights(), flat.state.weights())
    assert same_bits(plain.state.grads, flat.state.grads)
    assert flat.state.buffers.params.size == flat.state.parameter_count == plain.state.parameter_count
    flat.state.flatten()
    assert same_bits(plain.state.weights(), flat.state.weights())


# --- weights, and files of them -------------------------------------------------------------------------------------


def test_weights_are_parameters_and_statistics_and_belong_to_the_caller(be):
    net = trained(network(be.dtype, be.backend), be.put)
    weights = net.state.weights()
    assert list(weights) == [*net.params, *NAMES]
    kept = {key: to_numpy(value).copy() for key, value in weights.items()}
    trained(net, be.put)
    for key in net.params:
        net.params[key] -= 1.0
    assert same_bits(weights, kept)
    assert not same_bits(net.state.weights(), kept)
    net.state.set_weights(weights)
    assert same_bits(net.state.weights(), kept)
    for key, value in net.state.weights().items():
        be.check(value, kept[key], eps=0)
    # And what was set is no view of what it was set to.
    trained(net, be.put)
    assert same_bits(weights, kept)


def test_weights_may_be_lists_and_arrays_of_another_library():
    net = network()
    weights = {
        key: asarray(value, backend="array_api_strict")
        for key, value in trained(network(seed=1)).state.weights().items()
    }
    weights["running_mean1"] = [0.5] * 6
    net.state.set_weights(weights)
    assert np.array_equal(net.state.statistics["running_mean1"], np.full(6, 0.5))
    assert np.array_equal(net.params["W1"], to_numpy(weights["W1"]))


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda w: w.pop("running_var2"), ArgumentError, "Expected .*running_var2, got running_mean1, running_var1"),
        (lambda w: w.pop("beta2"), ArgumentError, "Expected .*W1, .* got W1, b1"),
        (lambda w: w.update(extra=np.ones(2)), ArgumentError, "extra"),
        (lambda w: w.update(running_var2=np.ones(5)), ShapeError, r"running_var2 has shape \(4,\), got .* \(5,\)"),
        (lambda w: w.update(b3=np.ones(5)), ShapeError, r"b3 has shape \(7,\), got .* \(5,\)"),
        (lambda w: [w.pop(name) for name in NAMES], ArgumentError, "Expected .*running_mean1.*got none"),
    ],
)
@pytest.mark.parametrize("flat", [False, True])
def test_weights_that_do_not_fit_change_nothing(spoil, error, says, flat):
    net = trained(network())
    if flat:
        net.state.flatten()
    others = {key: value + 1 for key, value in net.state.weights().items()}
    spoil(others)
    before = {key: value.copy() for key, value in net.state.weights().items()}
    with pytest.raises(error, match=says):
        net.state.set_weights(others)
    assert same_bits(net.state.weights(), before)


@pytest.mark.bits
@pytest.mark.parametrize("flat", [False, True])
def test_what_is_saved_is_loaded_statistics_and_all(be, tmp_path, flat):
    saved, other = trained(network(be.dtype, be.backend), be.put), network(be.dtype, be.backend, seed=1)
    if flat:
        saved.state.flatten()
        other.state.flatten()
    saved.save(tmp_path / "w.safetensors")
    assert other.load(tmp_path / "w.safetensors") is other
    assert same_bits(other.state.weights(), saved.state.weights())
    assert np.array_equal(to_numpy(other.predict(be.put(X))), to_numpy(saved.predict(be.put(X))))


def test_a_file_without_statistics_is_refused_and_so_is_one_with_them_elsewhere(tmp_path):
    net, plain = trained(network()), MultiLayerNet(12, [6, 4], 7, dtype="float64", backend="numpy")
    before = {key: value.copy() for key, value in net.state.weights().items()}
    plain.save(tmp_path / "plain.safetensors")
    net.save(tmp_path / "net.safetensors")
    with pytest.raises(DataError, match=r"holds other weights .*Expected: .*running_mean1 \(6,\) float64"):
        net.load(tmp_path / "plain.safetensors")
    with pytest.raises(DataError, match="holds other weights .*running_mean1"):
        plain.load(tmp_path / "net.safetensors")
    assert same_bits(net.state.weights(), before)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (
            lambda: BatchNormalization(np.ones(3), np.zeros(3), 1.5),
            ArgumentError,
            "momentum must be .* 1, got 1.5",
        ),
        (lambda: BatchNormalization(np.ones(3), np.zeros(3), "x"), ArgumentError, "momentum must be .* got 'x'"),
        (lambda: BatchNormalization(np.ones(3), np.zeros(3), eps=0), ArgumentError, "eps must be .* above 0, got 0"),
        (lambda: LayerNormalization(np.ones(3), np.zeros(3), eps=-1), ArgumentError, "eps must be .* above 0, got -1"),
        (lambda: BatchNormalization(np.ones(4), np.zeros(1)), ShapeError, r"got gamma \(4,\) and beta \(1,\)"),
        (lambda: LayerNormalization(np.ones((4, 2)), np.zeros((4, 2))), ShapeError, r"LayerNormalization .*\(4, 2\)"),
    ],
)
def test_options_out_of_range(make, error, says):
    with pytest.raises(error, match=says):
        make()


@pytest.mark.parametrize("kind", [BatchNormalization, LayerNormalization])
def test_a_width_that_does_not_fit_is_refused_when_the_network_is_built(kind):
    first = Affine(numbers(5, 12, 6), numbers(6, 6))
    with pytest.raises(
        ShapeError, match=rf"{kind.__name__}1: \w+ expects vectors of 5 numbers \(gamma is \(5,\)\).*\(6,\)"
    ):
        Network([first, kind(np.ones(5), np.zeros(5)), Relu()])


@pytest.mark.parametrize("kind", [BatchNormalization, LayerNormalization])
def test_a_network_may_begin_with_it(kind):
    """Then its gradients are computed, and that of the input is not."""
    net = Network([kind(np.ones(12), np.zeros(12)), Affine(numbers(5, 12, 7), numbers(6, 7))])
    assert net.input_shape == (12,)
    grads, numerical = net.gradient(X, T), net.numerical_gradient(X, T)
    assert list(grads) == ["gamma1", "beta1", "W1", "b1"]
    for key in grads:
        np.testing.assert_allclose(grads[key], numerical[key], atol=1e-7)
    layer = next(iter(net.layers.values()))
    assert layer.backward(numbers(1, 5, 12)) is None


def test_how_many_values_a_statistic_of_a_sample_has():
    layer = BatchNormalization(np.ones(3), np.zeros(3))
    assert [layer.values_per_statistic(shape) for shape in ((3,), (3, 4, 1), (3, 1, 5), (3, 4, 5))] == [1, 4, 5, 20]
    assert LayerNormalization(np.ones(3), np.zeros(3)).values_per_statistic((3,)) is None
    branch, shortcut = Convolution(np.ones((3, 3, 2, 2)), np.zeros(3)), MaxPooling(2, 2, 1)
    for inner in (Residual([layer, branch], [shortcut]), Residual([branch], [shortcut, layer])):
        assert inner.values_per_statistic((3, 3, 4)) == (12 if layer in inner.branch else 6)
    assert Residual([Relu()]).values_per_statistic((3,)) is None
    layer.frozen = True
    assert layer.values_per_statistic((3, 4, 5)) is None
