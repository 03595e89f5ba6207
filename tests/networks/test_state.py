"""Which layers a network takes, whose arrays they hold, and what the layers of one's own may give."""

import copy
import functools
import pickle
from collections import deque

import numpy as np
import pytest
from cases import numbers

from xpnet import (
    SGD,
    Affine,
    BatchNormalization,
    Dropout,
    Flatten,
    IdentityWithLoss,
    Layer,
    LossLayer,
    Network,
    Relu,
    Residual,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
    network_graph,
    with_new_head,
)
from xpnet.errors import ArgumentError, DtypeError, ShapeError
from xpnet.layers.base import fixed_input_shape

X = numbers(1, 5, 4).astype("float32")
T = np.array([0, 1, 2, 0, 1])


def affine(n_in, n_out, seed=0):
    return Affine.create(n_in, n_out, "he", rng=seed, backend="numpy")


def train(network, x=X, t=T, **options):
    options = {"epochs": 2, "mini_batch_size": 5, "verbose": False, "seed": 0, **options}
    return Trainer(network, x, t, None, None, **options).train()


# --- what is a layer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Network([affine(4, 3), Relu]),
            r"Layer 1 .* must be a layer, got the class Relu. Use `Relu\(\)`",
        ),
        (
            lambda: Network([affine(4, 3), "relu"]),
            r"Layer 1 .* must be a layer such as `Relu\(\)`, got 'relu'",
        ),
        (lambda: Network([affine(4, 3), None]), "must be a layer such as .*, got None"),
        (lambda: Network([affine(4, 3), SoftmaxWithLoss()]), "must be a layer such as .*, got SoftmaxWithLoss"),
        (
            lambda: Network({"a": affine(4, 3), "b": Relu}),
            "The layer 'b' .* must be a layer, got the class",
        ),
        (lambda: Network({1: affine(4, 3)}), "names of layers must be strings, got 1"),
        (lambda: Network(affine(4, 3)), "layers must be a list of layers .*, got Affine"),
        (lambda: Network("Affine"), "layers must be a list of layers .*, got 'Affine'"),
        (lambda: Network(None), "layers must be a list of layers .*, got None"),
        (
            lambda: Network([affine(4, 3)], SigmoidWithLoss),
            r"got the class. Use `SigmoidWithLoss\(\)`",
        ),
        (lambda: Network([affine(4, 3)], "softmax"), r"such as `SoftmaxWithLoss\(\)`, got 'softmax'"),
        (lambda: Network([affine(4, 3)], Relu()), "layer with a loss such as .*, got Relu"),
        (lambda: Network([affine(4, 3)], 0), "layer with a loss such as .*, got 0"),
        (lambda: Trainer(TwoLayerNet, X, T, None, None), "must be a network such as .*, got the class TwoLayerNet"),
        (lambda: Trainer("TwoLayerNet", X, T, None, None), "must be a network such as .*, got 'TwoLayerNet'"),
        (lambda: network_graph(TwoLayerNet), "must be a network such as .*, got the class TwoLayerNet"),
        (lambda: with_new_head(TwoLayerNet, [affine(5, 3)], keep="Relu1"), "got the class TwoLayerNet"),
        (lambda: Residual([Relu]), r"Layer 0 of the branch must be a layer, got the class Relu. Use `Relu\(\)`"),
        (lambda: Residual([], [Relu]), "Layer 0 of the shortcut must be a layer, got the class Relu"),
    ],
)
def test_a_class_or_a_word_is_no_layer_and_no_network(make, says):
    with pytest.raises(ArgumentError, match=says):
        make()


# --- layers inside layers -------------------------------------------------------------------------------------------


class Holder(Layer):
    """Two affine layers, kept as `keep` keeps them; what it computes does not matter."""

    def __init__(self, keep):
        self.parts = keep(affine(4, 4, 1), affine(4, 4, 2))


class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b


@pytest.mark.parametrize(
    "keep", [lambda a, b: [a, b], lambda a, b: (a, [b]), lambda a, b: [[a], ([b],)], lambda a, b: Residual([a], [b])]
)
def test_layers_in_lists_and_tuples_of_any_depth_belong_to_the_network(keep):
    network = Network([affine(4, 4), Holder(keep)])
    assert list(network.params) == ["W1", "b1", "W2", "b2", "W3", "b3"]


@pytest.mark.parametrize(
    "keep",
    [
        lambda a, b: {"a": a, "b": b},
        lambda a, b: {"a": [a], "b": (b,)},
        lambda a, b: [{"a": a}, b],
        lambda a, b: {a, b},
        lambda a, b: frozenset([a, b]),
        lambda a, b: deque([a, b]),
        lambda a, b: [{"a": {"b": [a, b]}}],
        Pair,
        lambda a, b: [Pair(a, b)],
        lambda a, b: Network([a, b]),
    ],
)
def test_layers_that_a_network_would_not_find_are_refused(keep):
    with pytest.raises(ArgumentError, match="Holder keeps layers in 'parts', where the network does not find them"):
        Network([affine(4, 4), Holder(keep)])
    with pytest.raises(ArgumentError, match="Holder keeps layers in 'parts'"):
        Network([affine(4, 4), Residual([Holder(keep)])])


class Switch(Layer):
    """Zeros in training, its input at inference, by a function that it keeps."""

    def __init__(self, keep):
        self.function = keep(self)

    def compute(self, x):
        return 0 * x if self.train else x

    def forward(self, x):
        return self.function(x)

    def backward(self, dout):
        return 0 * dout


def test_a_layer_may_keep_methods_of_its_own():
    for network in (Network([affine(4, 3), Switch(lambda layer: layer.compute)]) for _ in range(2)):
        for asked in (network, network.copy(), pickle.loads(pickle.dumps(network))):
            asked.gradient(X, T)
            expected = X @ asked.params["W1"] + asked.params["b1"]
            np.testing.assert_array_equal(asked.predict(X), expected)
            assert float(asked.loss(X, T, train=True)) == pytest.approx(np.log(3))
            train(asked)
            np.testing.assert_array_equal(asked.predict(X), X @ asked.params["W1"] + asked.params["b1"])


def in_a_closure_that_refers_to_itself(layer):
    def function(x, again=True):
        return function(x, again=False) if again else layer.compute(x)

    return function


@pytest.mark.parametrize(
    "keep",
    [
        lambda layer: lambda x: layer.compute(x),
        lambda layer: lambda x, kept=layer: kept.compute(x),
        lambda layer: functools.partial(Switch.compute, layer),
        lambda layer: functools.partial(layer.compute),
        lambda layer: [layer.compute],
        lambda layer: {"compute": layer.compute},
        lambda layer: Switch(lambda other: other.compute).compute,
        in_a_closure_that_refers_to_itself,
    ],
)
def test_functions_that_would_go_on_using_another_layer_than_the_copy_are_refused(keep):
    with pytest.raises(ArgumentError, match="Switch keeps a function in 'function' that refers to a layer"):
        Network([affine(4, 3), Switch(keep)])


def test_functions_without_layers_are_taken():
    def double(x):
        return factor * x

    network = Network([affine(4, 3), Switch(lambda _: double)])
    factor = 2  # only now: the function could be looked at before
    np.testing.assert_array_equal(network.predict(X), 2 * (X @ network.params["W1"] + network.params["b1"]))


def test_slots_are_refused():
    with pytest.raises(ArgumentError, match="Slotted has `__slots__`, which are not copied"):

        class Slotted(Layer):
            __slots__ = ("factor",)


@pytest.mark.parametrize("inside", [False, True])
def test_layers_that_are_exchanged_after_the_network_was_made_are_refused(inside):
    """It would not tell them whether this is training, nor learn or save what is in them."""
    holder = Holder(lambda a, b: [a, b])
    original = holder.parts
    network = Network([affine(4, 4), Residual([holder]) if inside else holder])
    for asked in (network, network.copy(), pickle.loads(pickle.dumps(network))):
        asked_holder = asked.layers["Residual1"].branch[0] if inside else asked.layers["Holder1"]
        original = asked_holder.parts
        for others in ([Relu(), *original], [Relu()], [*original[:1], affine(4, 4)], Dropout(0.5)):
            asked_holder.parts = others
            with pytest.raises(ArgumentError, match="is made of other layers than when the network was made"):
                asked.gradient(X, T)
            with pytest.raises(ArgumentError, match="Put them in their places before"):
                train(asked)
        asked_holder.parts = list(original)
        with asked.state.training():
            pass


def test_layers_of_a_class_are_refused():
    class Shared(Layer):
        inner = affine(4, 4)

    with pytest.raises(ArgumentError, match="Shared keeps layers in 'inner'"):
        Network([affine(4, 4), Shared()])


# --- arrays that are shared -----------------------------------------------------------------------------------------


def test_tied_weights_are_refused_and_views_that_do_not_overlap_are_not():
    W, b = np.ones((6, 3)), np.zeros(3)
    for first, second in (
        (Affine(W, b), Affine(W.T, np.zeros(6))),
        (Affine(W[:3], np.zeros(3)), Affine(W[2:5], np.zeros(3))),
        (Affine(W, b), BatchNormalization(np.ones(3), b)),
    ):
        with pytest.raises(ArgumentError, match=r"and (W2|beta1) share memory, .* Copy one, as in `W.T.copy\(\)`"):
            Network([first, second], IdentityWithLoss())
    with pytest.raises(ArgumentError, match="gamma1 and beta1 share memory"):
        Network([Affine(np.ones((6, 3)), np.zeros(3)), BatchNormalization(b, b)])
    square = np.ones((6, 6))
    Network([Affine(square[:, :3], square[:, 3].copy()[:3]), Affine(square[:3, 3:], np.zeros(3))])
    interleaved = np.ones((12, 3))
    Network([Affine(interleaved[::4], np.zeros(3)), Affine(interleaved[1::4], np.zeros(3))])
    shared = affine(4, 4)
    with pytest.raises(ArgumentError, match="The same layer object stands in the network twice"):
        Network([shared, Relu(), shared])


def test_tied_weights_are_refused_on_every_backend(be):
    W = be.put(np.ones((3, 3)))
    with pytest.raises(ArgumentError, match="W1 and W2 share memory"):
        Network([Affine(W, be.put(np.zeros(3))), Affine(W, be.put(np.ones(3)))])


def test_a_layer_belongs_to_one_network():
    layers = [affine(4, 8), Relu(), affine(8, 3, 1)]
    network = Network(layers)
    train(network)
    learned = network.state.weights()
    for again in (layers, dict(network.layers), [*layers, affine(3, 3, 2)], [Residual(layers[:1])]):
        with pytest.raises(ArgumentError, match=r"Affine\(4 -> 8\) belongs to another network. Make new layers"):
            Network(again)
    del network  # also where it is forgotten: the layers begin with what was learned
    with pytest.raises(ArgumentError, match="belongs to another network"):
        Network(layers)
    copied = Network(copy.deepcopy(layers))
    assert all(np.array_equal(copied.params[key], learned[key]) for key in learned)
    train(copied)
    assert not np.array_equal(copied.params["W1"], learned["W1"])
    assert np.array_equal(layers[0].W, learned["W1"])


def test_layers_whose_network_could_not_be_made_are_free():
    layers = [affine(4, 8), affine(7, 3, 1)]
    with pytest.raises(ShapeError):
        Network(layers)
    Network(layers[:1])


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda n: pickle.loads(pickle.dumps(n))])
def test_the_layers_of_a_copy_belong_to_the_copy(copied):
    twin = copied(Network([affine(4, 8), Relu(), affine(8, 3, 1)]))
    with pytest.raises(ArgumentError, match="belongs to another network"):
        Network(dict(twin.layers))
    train(twin)


def test_a_new_head_is_put_on_copies():
    trained = Network([affine(4, 8), Relu(), affine(8, 3, 1)])
    head = [affine(8, 2, 2)]
    both = [with_new_head(trained, head, keep="Relu1") for _ in range(2)]
    train(both[0], t=T % 2)
    assert np.array_equal(both[1].params["W2"], head[0].W)
    assert np.array_equal(both[1].state.frozen["W1"], trained.params["W1"])


# --- arrays that cannot be written ----------------------------------------------------------------------------------


def read_only(array):
    array.flags.writeable = False
    return array


def weights(dtype="float32"):
    return {"W": np.linspace(-1, 1, 12).reshape(4, 3).astype(dtype), "b": np.zeros(3, dtype)}


def mapped(array, path):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("kind", ["read-only", "a memory map", "broadcast"])
@pytest.mark.parametrize("by_hand", [False, True])
def test_parameters_that_cannot_be_written_are_copied(kind, by_hand, tmp_path):
    W, b = weights().values()
    if kind == "broadcast":
        W = np.broadcast_to(np.float32(0.5), (4, 3)).copy()
        given = np.broadcast_to(np.float32(0.5), (4, 3)), np.broadcast_to(np.float32(0), 3)
    elif kind == "read-only":
        given = read_only(W.copy()), read_only(b.copy())
    else:
        given = mapped(W, tmp_path / "W.npy"), mapped(b, tmp_path / "b.npy")
    results = []
    for arrays in ((W.copy(), b.copy()), given):
        network = Network([Affine(*arrays)])
        if by_hand:
            for key, gradient in network.gradient(X, T).items():
                network.params[key] -= 0.1 * gradient
        else:
            train(network)
        results.append(network.params)
    for key in results[0]:
        np.testing.assert_array_equal(results[0][key], results[1][key])
        assert type(results[1][key]) is np.ndarray
    np.testing.assert_array_equal(given[0], W)


def test_statistics_that_cannot_be_written_are_copied():
    layer = BatchNormalization(np.ones(4, "float32"), np.zeros(4, "float32"))
    layer.running_mean = read_only(np.zeros(4, "float32"))
    network = Network([layer, affine(4, 3)])
    train(network)
    assert network.state.statistics["running_mean1"].any()


class Mapping(pickle.Unpickler):
    """Reads each array as a memory map that cannot be written, as ``joblib.load(mmap_mode="r")`` does."""

    def persistent_load(self, path):
        return np.load(path, mmap_mode="r")


class Saving(pickle.Pickler):
    def __init__(self, file, folder):
        super().__init__(file)
        self.folder, self.count = folder, 0

    def persistent_id(self, value):
        if not isinstance(value, np.ndarray):
            return None
        self.count += 1
        path = self.folder / f"{self.count}.npy"
        np.save(path, value)
        return str(path)


@pytest.mark.parametrize("flat", [False, True])
def test_a_network_of_memory_maps_is_trained_as_another(tmp_path, flat):
    network = Network([affine(4, 8), BatchNormalization.create(8, backend="numpy"), Relu(), Dropout(), affine(8, 3)])
    if flat:
        network.state.flatten()
    with open(tmp_path / "network", "wb") as file:
        Saving(file, tmp_path).dump(network)
    with open(tmp_path / "network", "rb") as file:
        loaded = Mapping(file).load()
    np.testing.assert_array_equal(loaded.predict(X), network.predict(X))
    assert train(loaded).loss == train(network).loss
    assert all(np.array_equal(loaded.params[key], value) for key, value in network.params.items())


# --- what layers of one's own give ----------------------------------------------------------------------------------


class Scale(Layer):
    """Each column times a number of its own."""

    parameter_names = ("s",)

    def __init__(self, n, gradient):
        self.s, self.gradient = np.ones(n, "float32"), gradient

    def forward(self, x):
        self.x = x
        return x * self.s

    def backward(self, dout):
        self.ds = self.gradient(dout * self.x)
        return dout * self.s


def scaled(gradient):
    return Network([affine(4, 6), Scale(6, gradient), affine(6, 3, 1)])


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("gradient", "error", "says"),
    [
        (
            np.sum,
            ShapeError,
            r"Scale\(\) has .* s of shape \(6,\), but .* `self.ds` of shape \(\)",
        ),
        (lambda d: float(d.sum()), ShapeError, r"`self.ds` of shape \(\)"),
        (lambda d: d.sum(axis=0, keepdims=True), ShapeError, r"`self.ds` of shape \(1, 6\)"),
        (lambda d: d.sum(axis=0)[:1], ShapeError, r"`self.ds` of shape \(1,\)"),
        (lambda d: d.sum(axis=0) > 0, DtypeError, "`self.ds` to numbers of bool"),
        (lambda d: d.sum(axis=0) + 1j, DtypeError, "`self.ds` to numbers of complex"),
    ],
)
def test_a_gradient_of_another_shape_than_its_parameter_is_refused(gradient, error, says, flat):
    network = scaled(gradient)
    if flat:
        network.state.flatten()
    before = network.state.weights()
    with pytest.raises(error, match=says):
        network.gradient(X, T)
    with pytest.raises(error, match=says):
        train(network)
    assert all(np.array_equal(network.params[key], before[key]) for key in before)


def test_a_right_gradient_of_another_precision_is_taken():
    by_hand = scaled(lambda d: d.sum(axis=0, dtype="float64"))
    expected = scaled(lambda d: d.sum(axis=0))
    np.testing.assert_allclose(by_hand.gradient(X, T)["s1"], expected.gradient(X, T)["s1"], rtol=1e-6)
    assert len(train(by_hand, capture=False).loss) == 2


class Given(Layer):
    """Doubles, and then changes what it gives."""

    def __init__(self, forward=lambda y: y, backward=lambda dx: dx):
        self.after = forward, backward

    def forward(self, x):
        return self.after[0](2 * x)

    def backward(self, dout):
        return self.after[1](2 * dout)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (
            Given(backward=lambda d: d.sum(axis=0, keepdims=True)),
            r"backward of Given\(\) must .* \(5, 6\), got \(1, 6\)",
        ),
        (Given(backward=lambda d: d[:, :1]), r"backward of Given\(\) must .* \(5, 6\), got \(5, 1\)"),
        (Given(backward=lambda d: d.sum()), r"backward of Given\(\) must .* \(5, 6\), got \(\)"),
        (Given(backward=lambda d: None), r"backward of Given\(\) must .* \(5, 6\), got NoneType"),
        (
            Given(forward=lambda y: y.mean(axis=0, keepdims=True)),
            r"forward of Given\(\) must .* \(5, 6\), got \(1, 6\)",
        ),
        (Given(forward=lambda y: y[:, :1]), r"forward of Given\(\) must .* \(5, 6\), got \(5, 1\)"),
        (Given(forward=lambda y: None), r"forward of Given\(\) must .* \(5, 6\), got NoneType"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_outputs_and_gradients_of_another_shape_are_refused(layer, says, inside):
    layer = copy.deepcopy(layer)
    network = Network([affine(4, 6), Residual([Relu(), layer]) if inside else layer, Relu(), affine(6, 3, 1)])
    with pytest.raises(ShapeError, match=says):
        network.gradient(X, T)


class RowLoss(LossLayer):
    """A loss whose gradient is one row for the whole batch."""

    def forward(self, x, t):
        self.x = x
        return (x**2).mean()

    def backward(self, dout=1.0):
        return self.x.mean(axis=0, keepdims=True)

    def check_targets(self, t, scores_shape):
        return t


def test_a_last_layers_gradient_of_another_shape_is_refused():
    network = Network([affine(4, 3), Relu()], RowLoss())
    with pytest.raises(ShapeError, match=r"after Relu\(\) must give a gradient of shape \(5, 3\), got \(1, 3\)"):
        network.gradient(X, T)


def test_the_first_batch_of_each_shape_is_checked():
    network = Network([affine(4, 6), Given(backward=lambda d: d.sum(axis=0, keepdims=True)), affine(6, 3, 1)])
    network.gradient(X[:1], T[:1])  # where the sum over one row has the right shape
    with pytest.raises(ShapeError, match="must give a gradient"):
        network.gradient(X, T)


# --- shapes of parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("W", "b"),
    [((4, 3), (1, 3)), ((4, 3), (1,)), ((4, 3), (4,)), ((4, 3), ()), ((4,), (3,)), ((4,), ()), ((2, 4, 3), (3,))],
)
def test_affine_refuses_shapes_that_would_be_broadcast(W, b):
    with pytest.raises(ShapeError, match=r"W of shape \(D, H\) and biases b of shape \(H,\), got W .* and b"):
        Affine(np.ones(W), np.zeros(b))


def test_a_parameter_keeps_its_shape_and_dtype_in_a_network():
    network = Network([affine(4, 6), Scale(6, lambda d: d.sum(axis=0)), affine(6, 3, 1)])
    for flat in (False, True):
        if flat:
            network.state.flatten()
        with pytest.raises(ShapeError, match=r"Affine.b has shape \(6,\), got a value of shape \(1,\)"):
            network.layers["Affine1"].b = np.zeros(1, "float32")
        with pytest.raises(ShapeError, match=r"Scale.s has shape \(6,\), got a value of shape \(\)"):
            network.layers["Scale1"].s = np.float32(1)
        with pytest.raises(DtypeError, match="Affine.W is float32, got float64"):
            network.layers["Affine1"].W = np.zeros((4, 6))
        with pytest.raises(DtypeError, match="Affine.W must be float32 or float64|Affine.W is float32, got int64"):
            network.layers["Affine1"].W = np.zeros((4, 6), int)
    alone = affine(4, 6)
    alone.W = np.zeros((5, 6))  # where nothing depends on it yet
    with pytest.raises(DtypeError, match="Affine.W must be float32 or float64, got int64"):
        alone.W = np.zeros((4, 6), int)


def test_an_optimizer_trains_what_was_tied_once_it_is_copied():
    W = 0.3 * np.random.default_rng(0).standard_normal((6, 3))
    network = Network([Affine(W, np.zeros(3)), Affine(W.T.copy(), np.zeros(6))], IdentityWithLoss())
    x = np.random.default_rng(1).standard_normal((20, 6))
    history = train(network, x, x, optimizer=SGD(0.05), epochs=20)
    assert history.loss[-1] < history.loss[0]


def test_the_input_shape_is_that_of_the_first_layer_that_has_one():
    last = affine(4, 3)
    assert (
        fixed_input_shape([last])
        == fixed_input_shape([Relu(), last])
        == fixed_input_shape([Relu(), Relu(), last])
        == (4,)
    )
    assert fixed_input_shape([Flatten(), last]) is None  # (4,), (2, 2), (1, 2, 2) ...
    assert fixed_input_shape([Relu()]) is None
