"""The code in messages about arrays, dtypes and layers, executed as it stands: each makes the same call work."""

import numpy as np
import pytest
from made_up_arrays import FOREIGN
from remedies import Names, codes, said

import xpnet
from xpnet import (
    Affine,
    BatchNormalization,
    Network,
    Relu,
    Residual,
    SigmoidWithLoss,
    Trainer,
    TwoLayerNet,
    asarray,
    sigmoid,
    split_validation,
)

X = np.linspace(0.1, 1, 12, dtype="float32").reshape(3, 4)
T = np.array([0, 1, 2])


def network(**options):
    return TwoLayerNet(4, 5, 3, seed=0, backend="numpy", **options)


def follow(text, **variables):
    """What the first code in the message gives, or the variable that it assigns."""
    names = Names(variables)
    names.run(codes(text)[0])
    return names.result


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("x", lambda x: network().predict(x)),
        ("x", lambda x: xpnet.Relu().forward(x)),
        ("x_train", lambda x: Trainer(network(), x, T, None, None, verbose=False)),
        ("x_test", lambda x: Trainer(network(), X, T, x, T, verbose=False)),
        ("x", lambda x: split_validation(x, T)),
        ("t", lambda t: split_validation(X, t)),
    ],
    ids=["predict", "by hand", "Trainer", "test set", "split_validation", "its targets"],
)
def test_what_makes_a_plain_array(name, call, kind):
    make, code = FOREIGN[kind]
    x = make(X)
    says = said(lambda: call(x))
    assert code.replace("x", name, 1) in says or code in says or code.replace("(x)", f"({name})") in says
    plain = follow(says, **{name: x, "network": network()})
    assert type(plain) is np.ndarray
    call(plain)
    if kind != "masked array":
        np.testing.assert_array_equal(plain, X)


def test_a_list_is_put_beside_the_network():
    mine = network()
    x = follow(said(lambda: mine.predict(X.tolist())), x=X.tolist(), network=mine)
    mine.predict(x)
    x_train = follow(said(lambda: Trainer(mine, X.tolist(), T, None, None)), x_train=X.tolist())
    Trainer(mine, x_train, T, None, None, verbose=False)


def test_a_structured_array_becomes_columns():
    table = np.zeros(3, [("height", "f4"), ("width", "f4")])
    table["width"] = [1, 2, 3]
    for x in (table, table.view(np.recarray)):
        columns = follow(said(lambda x=x: asarray(x)), x=x)
        assert columns.tolist() == [[0, 1], [0, 2], [0, 3]]
        asarray(columns)


def test_arrays_of_another_library():
    strict = network().to("array_api_strict")
    says = said(lambda: strict.predict(X))
    strict.predict(follow(says, x=X, network=strict))


def test_real_parts_of_complex_numbers():
    x = X + 1j
    assert np.array_equal(asarray(follow(said(lambda: asarray(x, dtype="float32")), x=x), dtype="float32"), X)


def test_dtypes_of_parameters():
    for name, call in {
        "W": lambda W: Affine(W, np.zeros(3)),
        "b": lambda b: Affine(np.ones((2, 3)), b),
        "gamma": lambda gamma: BatchNormalization(gamma, np.zeros(3)),
    }.items():
        value = np.ones((2, 3), int) if name == "W" else np.ones(3, int)
        converted = follow(said(lambda call=call, value=value: call(value)), **{name: value})
        assert converted.dtype == "float32"
        call(converted)


def test_values_of_parameters():
    mine = network()
    value = np.ones((4, 5))
    says = said(lambda: mine.params.__setitem__("W1", value))
    mine.params["W1"] = follow(says, value=value)
    says = said(lambda: mine.params.__setitem__("b1", [0.0] * 5))
    mine.params["b1"] = asarray(follow(says, value=[0.0] * 5, network=mine), dtype=mine.dtype)
    values = {key: np.zeros_like(array) for key, array in mine.params.items()}
    follow(said(lambda: setattr(mine, "params", values)), network=mine, values=values)
    assert not mine.params["W1"].any()


def test_tied_weights():
    W = np.ones((3, 2))
    says = said(lambda: Network([Affine(W, np.zeros(2)), Affine(W.T, np.zeros(3))]))
    Network([Affine(W, np.zeros(2)), Affine(follow(says, W=W), np.zeros(3))])


def test_layers_of_another_network():
    layers = [Affine(np.ones((4, 3)), np.zeros(3))]
    Network(layers)
    Network(follow(said(lambda: Network(layers)), layers=layers))


def test_classes_in_place_of_objects():
    affine = lambda: Affine(np.ones((4, 3)), np.zeros(3))  # noqa: E731
    Network([affine(), follow(said(lambda: Network([affine(), Relu])))])
    Network([affine(), follow(said(lambda: Network([affine(), None])))])
    Network([affine()], follow(said(lambda: Network([affine()], SigmoidWithLoss))))
    Network([affine()], follow(said(lambda: Network([affine()], "sigmoid"))))
    Residual([follow(said(lambda: Residual([Relu])))])
    big = follow(said(lambda: Trainer(TwoLayerNet, X, T, None, None)))
    Trainer(big, np.zeros((3, 784)), T, None, None, verbose=False)


def test_frozen_layers():
    mine = network()
    says = said(lambda: setattr(mine.layers["Affine1"], "frozen", True))
    follow(says, network=mine, name="Affine1")
    assert list(mine.state.frozen) == ["W1", "b1"]


def test_functions_of_lists_and_of_arrays_agree():
    np.testing.assert_allclose(sigmoid(X.tolist()), sigmoid(X), rtol=1e-6)
