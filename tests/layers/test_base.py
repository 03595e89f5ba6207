"""Layers called by hand, as the course does, on what does not fit: one error that names the layer and both shapes."""

import numpy as np
import pytest

from xpnet import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Gelu,
    GlobalAveragePooling,
    LayerNormalization,
    LeakyRelu,
    MaxPooling,
    Network,
    Relu,
    Residual,
    Sigmoid,
    Tanh,
)
from xpnet.errors import ArrayMixError, DtypeError, ShapeError


def convolution():
    return Convolution(np.ones((2, 3, 3, 3)), np.zeros(2))


def affine():
    return Affine(np.ones((4, 3)), np.zeros(3))


def normalization(kind, **attributes):
    layer = kind(np.ones(4), np.zeros(4))
    layer.__dict__.update(attributes)
    return layer


@pytest.mark.parametrize(
    ("layer", "x", "says"),
    [
        (affine(), (5, 3), r"Affine expects 4 numbers a sample \(W is \(4, 3\)\), got samples of shape \(3,\)"),
        (affine(), (3,), r"Affine expects 4 numbers a sample .*, got samples of shape \(3,\)"),
        (affine(), (5, 2, 3), r"Affine expects 4 numbers .* \(2, 3\), 6 numbers"),
        (convolution(), (2, 8, 8, 3), r"channels .* \(8, 8, 3\). Bring the channels to the front with `x.transpose"),
        (convolution(), (2, 8, 8), r"Convolution expects images \(C, H, W\) of 3 channels .*\(8, 8\). Make images"),
        (convolution(), (2, 1, 8, 8), r"3 channels .* got samples of shape \(1, 8, 8\)"),
        (convolution(), (2, 3, 2, 2), r"Convolution has windows of 3 x 3, more than the 2 x 2"),
        (convolution(), (12,), "Convolution expects images"),
        (MaxPooling(3, 3), (1, 1, 2, 2), r"MaxPooling has windows of 3 x 3, more than the 2 x 2"),
        (MaxPooling(2, 2), (4, 4), r"MaxPooling expects images \(C, H, W\), got samples of shape \(4,\)"),
        (AveragePooling(3, 3), (1, 1, 2, 2), "AveragePooling has windows of 3 x 3"),
        (AveragePooling(2, 2), (2, 4, 4), "AveragePooling expects images"),
        (GlobalAveragePooling(), (2, 4, 4), "GlobalAveragePooling expects images"),
        *(
            (normalization(kind, train=train), shape, rf"{kind.__name__} expects vectors of 4 numbers")
            for kind in (BatchNormalization, LayerNormalization)
            for train in (False, True)
            for shape in ((5, 1), (5, 3), (5, 8))
        ),
        (normalization(BatchNormalization), (5, 1, 2, 2), r"expects vectors of 4 numbers .* \(1, 2, 2\)"),
    ],
)
def test_what_does_not_fit_names_the_layer_and_the_shapes(layer, x, says):
    with pytest.raises(ShapeError, match=says):
        layer.forward(np.ones(x))


def test_what_fits_is_computed():
    assert affine().forward(np.ones(4)).tolist() == [4, 4, 4]
    assert affine().forward(np.ones((5, 2, 2))).shape == (5, 3)
    assert normalization(LayerNormalization).forward(np.ones((2, 3, 4))).shape == (2, 3, 4)
    assert normalization(LayerNormalization).forward(np.ones(4)).shape == (4,)
    assert normalization(BatchNormalization).forward(np.ones((2, 4, 3, 3))).shape == (2, 4, 3, 3)
    assert MaxPooling(2, 2).forward(np.arange(4).reshape(1, 1, 2, 2)).item() == 3
    assert AveragePooling(2, 2).forward(np.arange(4).reshape(1, 1, 2, 2)).item() == 1.5


@pytest.mark.parametrize(
    "layer",
    [
        affine(),
        convolution(),
        MaxPooling(2, 2),
        AveragePooling(2, 2),
        GlobalAveragePooling(),
        normalization(BatchNormalization),
        normalization(LayerNormalization),
        Relu(),
        LeakyRelu(),
        Gelu(),
        Tanh(),
        Dropout(0.5),
        Flatten(),
        Residual([Relu()]),
    ],
    ids=repr,
)
def test_a_list_is_no_batch(layer):
    with pytest.raises(ArrayMixError, match=r"must be an array, got list. Use `numpy.asarray\(x\)`"):
        layer.forward([[1.0, 2.0, 3.0, 4.0]])


def test_a_layer_leaves_what_a_class_statement_says_to_others():
    class Registered:
        def __init_subclass__(cls, name="", **options):
            super().__init_subclass__(**options)
            cls.registered = name

    class Mine(Relu, Registered, name="mine"):
        pass

    assert Mine.registered == "mine"
    with pytest.raises(TypeError):

        class Other(Relu, nothing_takes_this=1):
            pass


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "complex64"])
def test_images_that_are_no_floats(dtype):
    images = np.ones((2, 3, 8, 8)).astype(dtype)
    for layer in (convolution(), *(MaxPooling(2, 2, pad=pad) for pad in (1, (1, 0), (0, 1)))):
        with pytest.raises(DtypeError, match=rf"expects floats, got {dtype}. Use `x.astype\('float32'\)"):
            layer.forward(images)
    pixels = np.full((2, 3, 8, 8), 255, "uint8")
    with pytest.raises(DtypeError) as caught:
        convolution().forward(pixels)
    scaled = eval(str(caught.value).split("`")[1], {"x": pixels})
    assert convolution().forward(scaled).max() == 27


@pytest.mark.parametrize("dout", [(1, 4), (5, 1), (4, 5)])
@pytest.mark.parametrize(
    "layer",
    [
        Relu(),
        LeakyRelu(),
        Gelu(),
        Sigmoid(),
        Tanh(),
        Dropout(0.5, seed=0),
        normalization(BatchNormalization, train=True),
        normalization(LayerNormalization),
    ],
    ids=repr,
)
def test_a_gradient_by_hand_is_never_broadcast(layer, dout):
    layer.train = True
    layer.forward(np.arange(20.0).reshape(5, 4))
    with pytest.raises(ShapeError, match=r"must be given a gradient of shape \(5, 4\), got"):
        layer.backward(np.ones(dout))
    assert layer.backward(np.ones((5, 4))).shape == (5, 4)


def test_a_network_checks_at_its_entry_alone(monkeypatch):
    layer = affine()
    network = Network([layer, Relu()])

    def never(*_):
        raise AssertionError

    network.predict(np.ones((2, 4)))
    monkeypatch.setattr(Affine, "check_batch", never)
    network.predict(np.ones((2, 4)))
    network.gradient(np.ones((2, 4)), np.array([0, 1]))
