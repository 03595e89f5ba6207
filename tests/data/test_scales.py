"""Inputs that do not mean what they seem to: features as uint8, pixels as floats, numbers too large for float32."""

import warnings

import numpy as np
import pytest
from cases import numbers
from small_training import LABELS, PIXELS

from xpnet import Affine, IdentityWithLoss, Network, Trainer, TwoLayerNet
from xpnet._core.checks import check_range
from xpnet.errors import DataError, DtypeError

BITS = (PIXELS > 127).astype("uint8")
FLOATS = PIXELS.astype("float32")


def train(x, x_test=None, validation=None, be=None):
    network = TwoLayerNet(12, 6, 7, seed=0, **({"dtype": be.dtype, "backend": be.backend} if be else {}))
    t_test = None if x_test is None else LABELS
    return Trainer(network, x, LABELS, x_test, t_test, epochs=1, verbose=False, validation=validation)


@pytest.mark.parametrize(("sets", "says"), [
    ((BITS,), r"^x_train is uint8 and holds only 0 and 1\..*`x_train = x_train.astype\('float32'\)`"),
    ((FLOATS / 255, BITS), "^x_test is uint8 and holds only 0 and 1"),
    ((BITS, FLOATS), "^x_train is uint8 and holds only 0 and 1"),
    ((PIXELS, BITS), "^x_test is uint8 and holds only 0 and 1"),
    ((FLOATS / 255, None, (BITS, LABELS)), "^x_val is uint8 and holds only 0 and 1"),
    ((PIXELS, FLOATS), r"^x_train is uint8, .* but x_test is of floats from 0 to 255\..*`x_test = x_test / 255`"),
    ((FLOATS, PIXELS), r"^x_test is uint8, .* but x_train is of floats from 0 to 255"),
    ((PIXELS, FLOATS / 255 * 2 - 1), r"^x_train is uint8, .* but x_test is of floats from -1 to 1"),
    ((PIXELS, None, (FLOATS.astype("float64"), LABELS)), "^x_train is uint8, .* but x_val is of floats"),
    ((FLOATS, FLOATS / 255), r"^x_train reaches 255, but x_test only 1: .*`x_train = x_train / 255`"),
    ((FLOATS / 255, FLOATS), r"^x_test reaches 255, but x_train only 1"),
])  # fmt: skip
def test_a_difference_is_said(sets, says):
    with pytest.warns(UserWarning, match=says) as said:
        train(*sets)
    assert len(said) == 1
    assert said[0].filename == __file__


@pytest.mark.parametrize("sets", [
    (PIXELS,), (FLOATS,), (PIXELS, PIXELS), (FLOATS, FLOATS), (PIXELS, FLOATS / 255), (FLOATS / 255, PIXELS),
    (np.zeros_like(PIXELS),), (numbers(0, 25, 12), 200 * numbers(1, 25, 12)), (FLOATS / 255, FLOATS / 255 * 60),
    (np.clip(numbers(0, 25, 12), -1, 1), 200 * np.clip(numbers(0, 25, 12), -1, 1)),
    (FLOATS * 40, FLOATS / 255), (PIXELS, PIXELS[::2] // 2 * 0),
])  # fmt: skip
def test_nothing_is_said_of_others(sets):
    sets = sets if len(sets) == 1 or len(sets[1]) == 25 else (sets[0], np.zeros_like(PIXELS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(*sets)


def test_on_every_backend(be):
    with pytest.warns(UserWarning, match="x_train is uint8 and holds only 0 and 1"):
        train(be.put(BITS), be=be)
    with pytest.warns(UserWarning, match="x_train is uint8, and reaches"):
        train(be.put(PIXELS), be.put(FLOATS), be=be)


def test_truth_values_are_led_to_floats():
    with pytest.raises(DtypeError, match=r"^x_train: Inputs must be .*, got bool\. Use `x\.astype\('float32'\)`\.$"):
        train(BITS.astype(bool))


# --- too large for float32 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_inputs_too_large_for_the_network_are_refused_and_the_remedy_works(sign):
    x, t = sign * 1e39 * np.abs(numbers(0, 9, 12)), LABELS[:9]
    network = TwoLayerNet(12, 6, 7, 1e-40, seed=0)
    with pytest.raises(
        DataError, match=r"^x_train has a value of .*e\+39, but the network's float32 ends at 3\.4e\+38"
    ):
        Trainer(network, x, t, None, None)
    with pytest.raises(DataError, match=r"^x_test has a value"):
        Trainer(network, x / 1e39, t, x, t)
    network.to(dtype="float64")
    Trainer(network, x, t, None, None, epochs=1, verbose=False, optimizer_param={"lr": 1e-90}).train()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_number_of_float32_is_not_too_large(sign):
    most = np.array([[3.4028234663852886e38]])  # (2 - 2**-23) * 2**127
    check_range("x", sign * most, "float32")
    check_range("x", sign * 2 * most, "float64")
    with pytest.raises(DataError, match=r"float32 ends at 3\.4e\+38"):
        check_range("x", sign * np.nextafter(most, np.inf), "float32")


def test_targets_too_large_for_the_network():
    network = Network([Affine(np.zeros((12, 1), "float32"), np.zeros(1, "float32"))], IdentityWithLoss())
    with pytest.raises(DataError, match=r"^t_train has a value of 1e\+39"):
        Trainer(network, FLOATS, np.full((25, 1), 1e39), None, None)


def test_by_hand():
    network, x = TwoLayerNet(12, 6, 7, seed=0), 1e39 * numbers(0, 4, 12)
    with pytest.raises(DataError, match=r"^x has a value of .*, but the network's float32 ends at"):
        network.gradient(x, LABELS[:4])
