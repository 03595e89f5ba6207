"""Layers that contain layers: what a network finds of them, and views of them."""

import numpy as np
import pytest

from xpnet import Affine, Layer, Relu, Residual
from xpnet.errors import ArgumentError
from xpnet.layers.base import walk_layers
from xpnet.layers.nested import check_layer, inner_layer_names, layer_view


def affine():
    return Affine(np.ones((2, 2)), np.zeros(2))


class Nested(Layer):
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def forward(self, x):
        for layer in walk_layers([list(vars(self).values())]):
            x = layer.forward(x)
        return x


@pytest.mark.parametrize("kept", [Relu(), [Relu(), affine()], ((Relu(),), 1)])
def test_layers_in_attributes_lists_and_tuples_are_found(kept):
    layer = Nested(kept=kept, other=3)
    check_layer("The layer", layer)
    assert inner_layer_names(layer) == ("kept",)


@pytest.mark.parametrize("kept", [{"a": Relu()}, {Relu()}, [{"a": [Relu()]}], Nested(kept={"a": Relu()})])
def test_layers_elsewhere_are_refused(kept):
    with pytest.raises(ArgumentError, match="keeps layers in 'kept', where the network does not find them"):
        check_layer("The layer", Nested(kept=kept))


def test_a_function_that_refers_to_a_layer_is_refused():
    inner = affine()
    for function in (inner.forward, lambda x: inner.forward(x), [inner.backward]):
        with pytest.raises(ArgumentError, match="keeps a function in 'kept' that refers to a layer"):
            check_layer("The layer", Nested(kept=function))


def test_what_is_no_layer_is_refused():
    with pytest.raises(ArgumentError, match=r"The layer must be a layer, got the class Relu. Use `Relu\(\)`"):
        check_layer("The layer", Relu)
    with pytest.raises(ArgumentError, match=r"The layer must be a layer such as `Relu\(\)`, got 3"):
        check_layer("The layer", 3)


def test_a_view_shares_parameters_and_keeps_its_own_results():
    inner = affine()
    layer = Residual([inner, Relu()])
    names = {id(layer): inner_layer_names(layer)}
    view = layer_view(layer, names, train=True)
    x = np.ones((3, 2))
    np.testing.assert_array_equal(view.forward(x), layer.forward(x))
    assert view.branch[0] is not inner
    assert view.branch[0].W is inner.W
    assert (view.train, view.branch[0].train, layer.train, inner.train) == (True, True, False, False)
    view.forward(2 * x)
    np.testing.assert_array_equal(inner.x, x)


def test_a_frozen_layer_is_not_trained_in_a_view():
    layer = affine()
    layer.frozen = True
    assert not layer_view(layer, {}, train=True).train
