"""The remedies in messages about optimizers and data sets, each run as it is written."""

import copy

import numpy as np
import pytest
from remedies import codes
from small_training import LABELS, PIXELS, make

from xpnet import Adam, CosineDecay, MultiLayerNet, Trainer, TwoLayerNet, asarray
from xpnet.errors import XpnetError


def test_an_optimizer_for_each_network():
    optimizer, pretrained = Adam(lr=CosineDecay(0.01, steps=20), max_norm=1.0), TwoLayerNet(12, 6, 7, seed=0)
    make(pretrained, optimizer=optimizer, epochs=1).train()
    with pytest.raises(XpnetError) as told:
        make(TwoLayerNet(12, 6, 7, seed=1), optimizer=optimizer)
    fresh, together = codes(told.value)
    names = {"Adam": Adam, "CosineDecay": CosineDecay, "copy": copy, "network": pretrained, "optimizer": optimizer}
    exec(together, names)
    assert names["network"] is not pretrained
    make(names["network"], optimizer=names["optimizer"], epochs=1).train()
    assert names["optimizer"].iter == 6
    exec(fresh, names)
    assert repr(names["optimizer"]) == repr(optimizer)
    make(TwoLayerNet(12, 6, 7, seed=1), optimizer=names["optimizer"], epochs=1).train()


def test_parameters_of_a_dtype_that_optimizers_update():
    W = np.ones(3, "float16")
    with pytest.raises(XpnetError) as told:
        Adam().update({"W": W}, {"W": W})
    (convert,) = codes(told.value)
    import xpnet

    params = {"W": eval(convert, {"xpnet": xpnet, "W": W})}
    Adam(0.1).update(params, {"W": asarray(W, dtype="float32")})
    np.testing.assert_allclose(params["W"], 0.9, rtol=1e-6)


def small(**options):
    """A trainer of a network with batch normalization."""
    network = MultiLayerNet(12, [8], 7, use_batchnorm=True, seed=0)
    return Trainer(network, PIXELS, LABELS, None, None, epochs=1, verbose=False, **options)


@pytest.mark.parametrize(
    ("options", "which"),
    [({"mini_batch_size": 1}, 0), ({"mini_batch_size": 8, "drop_last": False}, 0), ({"drop_last": True}, 0)],
    ids=["one", "rest of one", "none left"],
)
def test_minibatches_large_enough(options, which):
    with pytest.raises(XpnetError) as told:
        small(**options)
    small(**(options | eval(f"dict({codes(told.value)[which]})"))).train()


@pytest.mark.parametrize(
    ("x_train", "x_test"),
    [
        ((PIXELS > 99).astype("uint8"), (PIXELS > 99).astype("float32")),
        (PIXELS, PIXELS.astype("float32")),
        (PIXELS.astype("float32"), PIXELS.astype("float32") / 255),
    ],
)
def test_inputs_of_one_scale(x_train, x_test):
    sets = {"x_train": x_train, "x_test": x_test}

    def made():
        network = TwoLayerNet(12, 6, 7, seed=0)
        Trainer(network, sets["x_train"], LABELS, sets["x_test"], LABELS, verbose=False)

    with pytest.warns(UserWarning, match="x_train") as told:
        made()
    exec(codes(told[0].message)[0], sets)
    made()  # warnings are errors here


def test_truth_values_as_inputs():
    x = PIXELS > 99
    with pytest.raises(XpnetError) as told:
        TwoLayerNet(12, 6, 7, seed=0).predict(x)
    (convert,) = codes(told.value)
    TwoLayerNet(12, 6, 7, seed=0).predict(eval(convert, {"x": x}))


def test_numbers_too_large_for_float32():
    network, x = TwoLayerNet(12, 6, 7, 1e-40, seed=0), 1e39 * PIXELS.astype("float64")
    with pytest.raises(XpnetError) as told:
        network.gradient(x, LABELS)
    exec(codes(told.value)[0], {"network": network})
    network.gradient(x, LABELS)


def test_labels_read_as_text():
    network, t = TwoLayerNet(12, 6, 7, seed=0), np.eye(7)[LABELS].astype(str)
    with pytest.raises(XpnetError) as told:
        Trainer(network, PIXELS, t, None, None)
    names = {"t": t}
    exec(codes(told.value)[0], names)
    Trainer(network, PIXELS, names["t"], None, None)
    words = {"t": np.array(list("abcdefg"))[LABELS].reshape(-1, 1)}
    exec(codes(told.value)[1], words)
    Trainer(network, PIXELS, words["t"], None, None)
