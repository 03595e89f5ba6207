"""The random bits of `xpnet._core.random`: the published hash, the same everywhere, and random.

The keys are given, so that no test is flaky: each statistic is one number, far within the bound or far outside.
"""

import math

import numpy as np
import pytest

from xpnet import Dropout, MultiLayerNet, to_numpy
from xpnet._core.random import next_key, random_bits

RATIOS = (0.1, 0.2, 0.5, 0.9)
SHAPE = (1000, 500)


def key_of(number):
    return np.array([number], dtype=np.uint32).astype(np.int32)


KEYS = [int(number) for number in np.random.default_rng(0).integers(0, 2**32, 15)] + [2**31 - 1]


def kept(ratio, key, shape=SHAPE):
    """Where dropout keeps a number: true and false."""
    layer = Dropout(ratio)
    layer.key, layer.train = key_of(key), True
    layer.forward(np.ones(shape, dtype=np.float32))
    return layer.mask > 0


def test_it_is_the_published_hash_and_the_same_everywhere(be):
    """In unsigned integers, as it is published; here they are signed, which every library has."""
    for key in (0, 1, 123456789, 2**31 - 3, 2**31, 2**32 - 1):
        h = (np.arange(6 * 7, dtype=np.uint64) + key) % 2**32
        h ^= h >> 16
        h = h * 0x7FEB352D % 2**32
        h ^= h >> 15
        h = h * 0x846CA68B % 2**32
        h ^= h >> 16
        bits = random_bits((6, 7), be.put(key_of(key)))
        assert to_numpy(bits).dtype == np.int32
        np.testing.assert_array_equal(to_numpy(bits), h.astype(np.uint32).astype(np.int32).reshape(6, 7))


def test_the_keys_of_the_steps_are_the_same_everywhere_and_do_not_come_back(be):
    key, seen = be.put(key_of(7)), []
    for _ in range(1000):
        key = next_key(key)
        seen.append(int(to_numpy(key)[0]))
    assert seen == [int(key_of((7 + step * 0x9E3779B9) % 2**32)[0]) for step in range(1, 1001)]
    assert len(set(seen)) == 1000
    # The stride is odd, so that all 2**32 keys come before the first comes again.
    assert 0x9E3779B9 % 2 == 1


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_share_that_is_dropped_is_the_ratio(ratio):
    n = math.prod(SHAPE)
    deviations = [(n - kept(ratio, key).sum() - n * ratio) / math.sqrt(n * ratio * (1 - ratio)) for key in KEYS]
    assert max(map(abs, deviations)) < 4
    # And they scatter as they should: neither a bias that all share, nor a share that is met too well.
    assert abs(np.mean(deviations)) * math.sqrt(len(KEYS)) < 4
    assert 0.4 < np.std(deviations) < 1.6


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("along", ["rows", "columns"])
def test_the_runs_of_what_is_kept_are_as_many_as_chance_makes(ratio, along):
    """Wald and Wolfowitz (1940): of n1 ones and n2 zeros in random order."""
    deviations = []
    for key in KEYS:
        order = kept(ratio, key) if along == "rows" else kept(ratio, key).T
        order = order.ravel()
        n, n1 = order.size, int(order.sum())
        n2 = n - n1
        runs = 1 + int(np.sum(order[1:] != order[:-1]))
        expected = 2 * n1 * n2 / n + 1
        variance = (expected - 1) * (expected - 2) / (n - 1)
        deviations.append((runs - expected) / math.sqrt(variance))
    assert max(map(abs, deviations)) < 4
    assert 0.4 < np.std(deviations) < 1.6


def correlation(a, b):
    """In standard deviations of what independent numbers have."""
    a, b = a - a.mean(), b - b.mean()
    return float(np.sum(a * b) / math.sqrt(np.sum(a * a) * np.sum(b * b))) * math.sqrt(a.size)


@pytest.mark.parametrize("ratio", RATIOS)
def test_what_is_kept_does_not_depend_on_what_is_kept_elsewhere(ratio):
    for key in KEYS[:8]:
        mask = kept(ratio, key).astype(np.float64)
        flat = mask.ravel()
        for lag in (1, 2, 3, 4, 7, 8, 16, 64, 256, 1024, 65536):
            assert abs(correlation(flat[lag:], flat[:-lag])) < 4.5, lag
        for lag in (1, 2, 3, 10, 100):  # the same unit in other samples
            assert abs(correlation(mask[lag:], mask[:-lag])) < 4.5, lag


def test_no_unit_and_no_sample_is_dropped_more_often_than_others():
    mask = np.stack([kept(0.5, key) for key in KEYS]).astype(np.float64)
    for axis, n in ((1, SHAPE[0]), (2, SHAPE[1])):
        z = (mask.mean(axis=axis) - 0.5) * 2 * math.sqrt(n)
        assert np.abs(z).max() < 5
        # The sum of m squares has mean m and variance 2 m.
        assert abs(np.sum(z * z) - z.size) / math.sqrt(2 * z.size) < 4


def test_one_step_does_not_depend_on_the_next_ones():
    for number in KEYS[:6]:
        key = key_of(number)
        steps = [random_bits(SHAPE, next_key(key)) for _ in range(4)]
        for later in steps[1:]:
            assert abs(correlation((steps[0] > 0).astype(float), (later > 0).astype(float))) < 4.5
            n = steps[0].size
            flipped = steps[0] ^ later
            for bit in range(32):
                assert abs(np.sum(flipped >> bit & 1) - n / 2) / math.sqrt(n / 4) < 5, bit


def test_the_layers_of_a_network_do_not_depend_on_each_other():
    for seed in range(6):
        network = MultiLayerNet(20, [300, 300, 300], 10, use_dropout=True, seed=seed, backend="numpy")
        network.compute_gradients(np.ones((500, 20), dtype=np.float32), np.zeros(500, dtype=np.int64))
        a, b, c = (network.layers[f"Dropout{i}"].mask.astype(np.float64) for i in (1, 2, 3))
        assert all(abs(correlation(x, y)) < 4.5 for x, y in ((a, b), (a, c), (b, c)))
        assert len({int(network.layers[f"Dropout{i}"].key[0]) for i in (1, 2, 3)}) == 3


def test_each_byte_has_each_value_as_often_as_the_others():
    """Chi-square with 255 degrees of freedom, whose mean is 255 and whose variance is 510."""
    deviations = []
    for key in KEYS:
        data = random_bits((40_000,), key_of(key)).view(np.uint8).reshape(-1, 4)
        for byte in data.T:
            counts = np.bincount(byte, minlength=256)
            chi_square = np.sum((counts - data.shape[0] / 256) ** 2) / (data.shape[0] / 256)
            deviations.append((chi_square - 255) / math.sqrt(510))
    assert max(map(abs, deviations)) < 4.5
    assert abs(np.mean(deviations)) < 0.6


def test_no_number_comes_twice_of_one_key():
    assert len(np.unique(random_bits(SHAPE, key_of(5)))) == math.prod(SHAPE)
