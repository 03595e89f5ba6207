"""Public attributes of networks and layers: what is set takes effect, or is refused and changes nothing."""

import numpy as np
import pytest
from states import flattened

import xpnet
from xpnet import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    IdentityWithLoss,
    LayerNormalization,
    Network,
    Relu,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Trainer,
    asarray,
)
from xpnet._core.checks import check_count
from xpnet.errors import ArgumentError, ShapeError, XpnetError

X = np.linspace(-1, 1, 2 * 6 * 6, dtype="float32").reshape(2, 1, 6, 6)
T = np.array([0, 1])


def network():
    where = {"backend": "numpy"}
    options = {"rng": np.random.default_rng(0), **where}
    layers = [
        Convolution.create(1, 2, 3, "he", **options),
        BatchNormalization.create(2, **where),
        xpnet.LeakyRelu(0.1),
        xpnet.MaxPooling(2, 2),
        Affine.create(8, 4, "he", **options),
        LayerNormalization.create(4, **where),
        Dropout(0.5, seed=0),
        xpnet.Residual([Relu()]),
        Affine.create(4, 2, "he", **options),
    ]
    return Network(layers, input_shape=(1, 6, 6))


# What is set, to what it may be set, and to what it may not; None where it may not be set at all.
NETWORK = {
    "weight_decay_lambda": (0.5, ["x", -1, float("nan"), None, [0.1]]),
    "last_layer": (SoftmaxWithLoss(label_smoothing=0.5), [SoftmaxWithLoss, "softmax", Relu(), None, 0]),
    "lastLayer": (SigmoidWithLoss(), [SigmoidWithLoss, "sigmoid"]),
    "input_shape": ((1, 6, 6), [(1, 28, 28), (2, 6, 6), 36, "wrong", (1, 6.5, 6), (0, 6, 6), (True, 6, 6), ()]),
    "params": (None, [{}, {"W1": np.zeros((2, 1, 3, 3))}]),
    **{name: (None, ["wrong"]) for name in ("layers", "dtype", "backend")},
}
ELSEWHERE = {"classes", "recordable", "state"}  # tested elsewhere
STATE = ("layers", "params", "frozen", "statistics", "grads", "dtype", "like", "parameter_count", "widths")


def test_the_table_is_complete():
    mine = network()
    public = {name for name in (*dir(mine), *vars(mine)) if not name.startswith("_")}
    assert {name for name in public if not callable(getattr(mine, name))} == (set(NETWORK) | ELSEWHERE) - {"lastLayer"}
    assert mine.lastLayer is mine.last_layer  # hidden from `dir`


@pytest.mark.parametrize("name", STATE)
def test_of_its_state_it_cannot_be_set(name):
    mine = network()
    before = repr(getattr(mine.state, name))
    with pytest.raises((XpnetError, AttributeError)):
        setattr(mine.state, name, "wrong")
    assert repr(getattr(mine.state, name)) == before


@pytest.mark.parametrize("name", NETWORK)
def test_of_a_network_it_takes_effect_or_is_refused(name):
    takes, refuses = NETWORK[name]
    for value in refuses:
        mine = network()
        grads = mine.gradient(X, T)
        before = repr(getattr(mine, name))
        with pytest.raises(XpnetError if takes is not None else (XpnetError, AttributeError)):
            setattr(mine, name, value)
        assert repr(getattr(mine, name)) == before
        assert all(np.array_equal(grads[key], network().gradient(X, T)[key]) for key in grads)
    if takes is not None:
        mine = network()
        loss = float(mine.loss(X, np.eye(2)[T]))
        setattr(mine, name, takes)
        assert getattr(mine, name) == takes
        assert (float(mine.loss(X, np.eye(2)[T])) != loss) == (name != "input_shape")


def test_the_shape_of_inputs_makes_a_sample_of_one():
    mine = Network([Affine(np.ones((4, 2)), np.zeros(2))])
    image = np.ones((2, 2))
    with pytest.raises(ShapeError):
        mine.predict(image)
    mine.input_shape = [2, 2]
    assert mine.predict(image).shape == (2,)
    assert mine.input_shape == (2, 2)
    mine.input_shape = None
    with pytest.raises(ShapeError):
        mine.predict(image)


# Layer, attribute, a value that takes effect in a network (None where shapes depend on it), and values that cannot be.
LAYERS = [
    ("Convolution1", "stride", None, [0, 1.5, "2", (1, 2, 3), True]),
    ("Convolution1", "pad", None, [-1, None]),
    ("MaxPooling1", "size", None, [0]),
    ("MaxPooling1", "stride", None, [0]),
    ("MaxPooling1", "pad", None, [-1]),
    ("BatchNormalization1", "momentum", 0.5, [-0.1, 1.5, "x", None]),
    ("BatchNormalization1", "eps", 0.5, [0, -1, "x", None]),
    ("LayerNormalization1", "eps", 0.5, [0, "x"]),
    ("LeakyRelu1", "slope", 0.5, [-0.1, 2, "x"]),
    ("Dropout1", "dropout_ratio", 0.25, [1, -0.1, "x"]),
    ("Dropout1", "inverted", False, ["no", 0, None]),
    ("Residual1", "branch", None, [Relu(), [Relu], "relu", None]),
    ("Residual1", "shortcut", None, [Relu(), [1]]),
    ("Affine1", "frozen", None, [True, "yes"]),
    ("Affine1", "W", np.ones((8, 4), "float32"), [np.ones((8, 4)), np.ones((4, 8), "float32"), 1.0, [[1.0]]]),
    ("Affine1", "b", np.ones(4, "float32"), [np.ones(1, "float32"), np.float32(1), np.zeros(4, int)]),
    ("BatchNormalization1", "gamma", np.full(2, 3, "float32"), [np.ones(1, "float32"), np.ones(2)]),
]
OTHERS = {"stride": (3, 3), "pad": (1, 1), "size": (3, 3), "branch": [Relu(), Relu()], "shortcut": [Relu()]}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(("layer", "name", "takes", "refuses"), LAYERS, ids=[f"{a}.{b}" for a, b, *_ in LAYERS])
def test_of_a_layer_it_takes_effect_or_is_refused(layer, name, takes, refuses, flat):
    def made():
        return flattened(network()) if flat else network()

    def loss(mine):
        return float(mine.loss(X, T, train=True)), float(mine.loss(X, T))

    def after_training(mine):
        Trainer(mine, X, T, None, None, epochs=2, mini_batch_size=2, seed=0, verbose=False).train()
        return loss(mine)

    mine = made()
    before, numbers = repr(getattr(mine.layers[layer], name)), loss(mine)
    for value in refuses:
        with pytest.raises(XpnetError):
            setattr(mine.layers[layer], name, value)
    if name in OTHERS:
        with pytest.raises(
            ArgumentError, match=f"`{name}` of .* cannot change, since the network has checked its shapes"
        ):
            setattr(mine.layers[layer], name, OTHERS[name])
        setattr(mine.layers[layer], name, getattr(mine.layers[layer], name))  # as it was
    assert repr(getattr(mine.layers[layer], name)) == before
    assert loss(mine) == numbers
    if takes is not None:
        setattr(mine.layers[layer], name, takes)
        assert np.array_equal(getattr(mine.layers[layer], name), takes)
        assert loss(mine) != numbers or after_training(mine) != after_training(made())


def test_the_setting_of_a_layer_alone_may_change():
    layer = xpnet.Convolution(np.ones((1, 1, 2, 2)), np.zeros(1))
    layer.stride = 2
    assert layer.forward(np.ones((1, 1, 4, 4))).shape == (1, 1, 2, 2)
    layer.frozen = True
    assert Network([layer, Affine(np.ones((4, 2)), np.zeros(2))]).params.keys() == {"W2", "b2"}
    with pytest.raises(ArgumentError, match="frozen must be True or False"):
        xpnet.Relu().frozen = "yes"


def test_a_regression_can_be_made_of_a_classification():
    mine = network()
    mine.last_layer = IdentityWithLoss()
    assert float(mine.loss(X, np.zeros((2, 2), "float32"))) == pytest.approx(float((mine.predict(X) ** 2).sum()) / 4)


# --- counts, and arrays that are for reading only -------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, False, np.True_, 1.0, 2.5, "3", None, 0, -1, np.array(2.0)])
def test_what_is_no_count(value):
    with pytest.raises(ArgumentError, match="n must be a whole number of at least 1"):
        check_count("n", value)


def test_what_is_a_count():
    for value in (3, np.int64(3), np.uint8(3), np.array(3)):
        assert check_count("n", value) == 3
        assert type(check_count("n", value)) is int


class ForReading:
    """Gives its numbers as pandas does: in an array that cannot be written."""

    def __array__(self, dtype=None, copy=None):
        array = np.arange(3.0)
        array.flags.writeable = False
        return array


def test_what_asarray_makes_can_be_written():
    for x in (ForReading(), memoryview(b"\x01\x02")):
        made = asarray(x, backend="numpy")
        made[0] = 5
        assert made[0] == 5
    mine = np.arange(3.0)
    mine.flags.writeable = False
    assert asarray(mine) is mine  # in place already
