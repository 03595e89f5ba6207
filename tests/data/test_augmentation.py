"""Augmentation: where pixels go, by NumPy and by Pillow; the same everywhere; and what its random numbers are."""

import math

import numpy as np
import pytest
from PIL import Image
from small_training import make

from xpnet import Affine, Augmentation, Layer, Network, asarray, to_numpy
from xpnet._core.random import next_key, random_bits
from xpnet.data.augmentation import _normal, _uniform, add_noise, rotate, shift
from xpnet.errors import ArgumentError, DtypeError, ShapeError

SEED = np.random.default_rng(0)
IMAGES = SEED.random((3, 2, 9, 7))
SQUARES = SEED.random((3, 2, 8, 8))
PIXELS = SEED.integers(0, 256, IMAGES.shape, dtype=np.uint8)


def key_of(number):
    return np.array([number], dtype=np.int32)


def moved_by_slices(images, dy, dx):
    """What a shift by whole pixels is, by hand."""
    h, w = images.shape[-2:]
    framed = np.pad(images, [(0, 0)] * (images.ndim - 2) + [(h, h), (w, w)])
    return framed[..., h - dy : 2 * h - dy, w - dx : 2 * w - dx]


def smooth(h, w, margin=6):
    """An image that is 0 at its margin, so that it does not matter what lies outside."""
    y, x = np.mgrid[:h, :w]
    inside = (np.minimum(y, h - 1 - y) >= margin) & (np.minimum(x, w - 1 - x) >= margin)
    return inside * (2 + np.sin(y / 3) + np.cos(x / 2 + y / 5))


# --- where pixels go ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (2, 0), (0, -3), (-1, 2), (8, -6), (9, 0), (-40, 50), (0, 10**6)])
def test_a_shift_by_whole_pixels_moves_them_as_they_are(be, dy, dx):
    dy_seen, dx_seen = max(-9, min(9, dy)), max(-7, min(7, dx))
    be.check(shift(be.put(IMAGES), dy, dx), moved_by_slices(IMAGES.astype(be.dtype), dy_seen, dx_seen), eps=0)
    moved = shift(be.put(PIXELS), dy, dx)
    assert to_numpy(moved).dtype == np.uint8
    np.testing.assert_array_equal(to_numpy(moved), moved_by_slices(PIXELS, dy_seen, dx_seen))


def test_each_image_may_have_a_shift_of_its_own(be):
    dy, dx = np.array([1, 0, -2]), np.array([0.0, 3.0, -1.0])
    expected = np.stack([moved_by_slices(image, int(a), int(b)) for image, a, b in zip(IMAGES, dy, dx, strict=True)])
    be.check(shift(be.put(IMAGES), be.put(dy), be.put(dx)), expected.astype(be.dtype), eps=0)
    be.check(shift(be.put(IMAGES), dy, dx), expected.astype(be.dtype), eps=0)  # brought beside the images
    be.check(shift(be.put(IMAGES), 0, np.float64(1.0)), moved_by_slices(IMAGES, 0, 1).astype(be.dtype), eps=0)


def test_a_shift_by_part_of_a_pixel_is_between_two(be):
    x = IMAGES.astype(be.dtype).astype(np.float64)
    expected = 0.75 * moved_by_slices(x, 1, 0) + 0.25 * moved_by_slices(x, 2, 0)
    be.check(shift(be.put(IMAGES), 1.25, 0), expected)
    both = 0.5 * moved_by_slices(x, 0, -1) + 0.5 * x
    be.check(shift(be.put(IMAGES), 0, -0.5), both)
    expected = np.round(0.75 * moved_by_slices(PIXELS, 1, 0) + 0.25 * moved_by_slices(PIXELS, 2, 0))
    np.testing.assert_array_equal(to_numpy(shift(be.put(PIXELS), 1.25, 0)), expected)  # rounded, and not cut off


@pytest.mark.parametrize("turns", [-5, -2, -1, 0, 1, 2, 3, 4, 9])
def test_quarter_turns_are_exact(be, turns):
    expected = np.rot90(SQUARES.astype(be.dtype), turns, axes=(-2, -1))
    be.check(rotate(be.put(SQUARES), 90 * turns), expected, eps=0)
    be.check(rotate(be.put(SQUARES), be.put(np.full(3, 90.0 * turns))), expected, eps=0)
    odd = PIXELS[..., :7, :]
    turned = to_numpy(rotate(be.put(odd), 90 * turns))
    np.testing.assert_array_equal(turned, np.rot90(odd, turns, axes=(-2, -1)))


def test_half_a_turn_of_an_oblong(be):
    be.check(rotate(be.put(IMAGES), 180), IMAGES[..., ::-1, ::-1].astype(be.dtype), eps=0)


@pytest.mark.parametrize("shape", [(31, 31), (30, 30), (29, 34)])
def test_a_turn_is_pillows(be, shape):
    """Of an image with a margin of zeros: at its edges Pillow repeats the last pixel, and does not go on to zero."""
    image = smooth(*shape).astype(np.float32)
    for degrees in (-170.0, -30.0, -3.0, 0.5, 12.0, 45.0, 77.0, 100.0):
        pillow = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR))
        ours = to_numpy(rotate(be.put(image[None]), degrees))[0]
        reach = slice(2, -2)
        np.testing.assert_allclose(ours[reach, reach], pillow[reach, reach], atol=2e-4)
        assert np.abs(ours).max() > 1


def test_a_shift_is_pillows(be):
    image = smooth(30, 30).astype(np.float32)
    dy, dx = 1.3, -2.6
    pillow = Image.fromarray(image).transform(
        (30, 30), Image.Transform.AFFINE, (1, 0, -dx, 0, 1, -dy), Image.Resampling.BILINEAR
    )
    np.testing.assert_allclose(to_numpy(shift(be.put(image[None]), dy, dx))[0], np.asarray(pillow), atol=2e-5)


def test_what_does_nothing_changes_nothing(be):
    for x in (IMAGES, PIXELS):
        for same in (shift(be.put(x), 0, 0), rotate(be.put(x), 0), add_noise(be.put(x), 0, be.put(key_of(3)))):
            np.testing.assert_array_equal(to_numpy(same), to_numpy(be.put(x)))
        here = be.put(x)
        assert Augmentation(0, 0)(here) is here


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 64), (3, 1, 8, 8)])
def test_planes_and_rows_are_the_same_images(be, shape):
    x = SQUARES[:, :1]
    expected = to_numpy(rotate(be.put(x), 20))
    turned = rotate(be.put(x.reshape(shape)), 20)
    assert tuple(turned.shape) == shape
    np.testing.assert_array_equal(to_numpy(turned).reshape(x.shape), expected)


def test_rows_that_are_not_square():
    expected = shift(IMAGES, 1, 2)
    assert np.array_equal(shift(IMAGES.reshape(3, -1), 1, 2, image_shape=(2, 9, 7)).reshape(IMAGES.shape), expected)
    one = IMAGES[:, 0].reshape(3, -1)
    assert np.array_equal(shift(one, 1, 2, image_shape=(9, 7)).reshape(3, 9, 7), expected[:, 0])
    for bad, options in ((one, {}), (one, {"image_shape": (9, 8)}), (one[0], {})):
        with pytest.raises(ShapeError, match=r"Images have shape .* got \(.*image_shape=\(height, width\)"):
            rotate(bad, 10, **options)


def test_mirrored_images():
    augmentation = Augmentation(0, 0, flip=True, seed=0)
    x = np.tile(IMAGES[:1], (200, 1, 1, 1))
    flipped = augmentation(x)
    mirrored = [np.array_equal(image, IMAGES[0, :, :, ::-1]) for image in flipped]
    same = [np.array_equal(image, IMAGES[0]) for image in flipped]
    assert sum(mirrored) + sum(same) == 200
    assert 70 < sum(mirrored) < 130


def test_shift_rotation_and_mirroring_do_not_depend_on_each_other():
    """Each is read off the images: of a point in the middle, one above it and one at its right, a channel each."""
    points = np.zeros((1, 3, 33, 33))
    points[0, 0, 16, 16] = points[0, 1, 6, 16] = points[0, 2, 16, 26] = 1
    n = 2000
    x = Augmentation(shift=3, rotate=40, flip=True, seed=0)(np.tile(points, (n, 1, 1, 1)))
    total = x.sum(axis=(2, 3))
    rows, columns = ((x * grid).sum(axis=(2, 3)) / total for grid in np.mgrid[:33, :33])
    down, right = rows[:, 0] - 16, columns[:, 0] - 16
    turned, mirrored = columns[:, 1] - columns[:, 0], np.where(columns[:, 2] < columns[:, 0], 1.0, -1.0)
    correlations = np.corrcoef([down, right, turned, mirrored]) - np.eye(4)
    assert np.abs(correlations).max() < 5 / math.sqrt(n)


# --- what it is given -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 8, 8, 3), (4, 32, 64, 1), (2, 9, 7, 4)])
@pytest.mark.parametrize("image_shape", [None, "height and width"])
def test_channels_last_are_refused(be, shape, image_shape):
    """Heights that are taken for channels: mirroring would swap red and blue."""
    x = be.put(np.zeros(shape))
    options = {"image_shape": None if image_shape is None else shape[1:3]}
    augmentation = Augmentation(flip=True, seed=0, **options)
    key = to_numpy(augmentation.key)
    for refused in (lambda: augmentation(x), lambda: shift(x, 1, 0, **options), lambda: rotate(x, 9, **options)):
        with pytest.raises(ShapeError, match=r"which has the channels last. Use `x.transpose\(0, 3, 1, 2\)`"):
            refused()
    assert np.array_equal(to_numpy(augmentation.key), key)
    first = be.put(np.zeros(shape).transpose(0, 3, 1, 2))
    assert Augmentation(flip=True, seed=0)(first).shape == first.shape
    assert add_noise(x, 0.1, be.put(key_of(0))).shape == x.shape  # to each number, whatever the axes mean


def test_many_channels_that_are_narrow():
    signals = SEED.random((3, 8, 100, 1))
    assert np.array_equal(shift(signals, 2, 0, image_shape=(8, 100, 1)), moved_by_slices(signals, 2, 0))
    for shape in ((3, 8, 1, 100), (3, 8, 5, 5), (3, 3, 4, 4)):
        images = SEED.random(shape)
        assert np.array_equal(shift(images, 0, 1), moved_by_slices(images, 0, 1))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 64, 3), (9, 7, 4)])
def test_an_image_shape_with_channels_last(shape):
    for refused in (lambda: Augmentation(image_shape=shape), lambda: shift(np.zeros((2, 9)), 1, 0, image_shape=shape)):
        with pytest.raises(ArgumentError, match=r"Expected image_shape to be \(channels, height, width\), got"):
            refused()


@pytest.mark.parametrize("make_noise", [0.0, 0.1])
def test_arguments_are_left_alone_and_dtypes_kept(be, make_noise):
    augmentation = Augmentation(2, 10, make_noise, flip=True, seed=0)
    for x in (IMAGES, PIXELS):
        here = be.put(x)
        before, given = np.array(to_numpy(here)), be.put(key_of(9))
        results = [augmentation(here), shift(here, 0.4, 1), rotate(here, 33), add_noise(here, 0.1, given)]
        assert np.array_equal(to_numpy(here), before)
        assert to_numpy(given).tolist() == [9]
        for result in results:
            assert type(result) is type(here)
            assert result.dtype == here.dtype
            assert tuple(result.shape) == tuple(here.shape)


def test_16_bits_stay_16_bits():
    x = IMAGES.astype(np.float16)
    for result in (Augmentation(noise=0.1, seed=0)(x), shift(x, 1, 0)):
        assert result.dtype == np.float16
    assert np.array_equal(shift(x, 1, 0), moved_by_slices(x, 1, 0))


@pytest.mark.parametrize("name", ["shift", "rotate", "noise"])
def test_a_strength_that_is_none(name):
    with pytest.raises(ArgumentError, match=f"{name} must be a finite number of at least 0, got -1"):
        Augmentation(**{name: -1})
    with pytest.raises(ArgumentError, match="std must be"):
        add_noise(IMAGES, math.nan, key_of(0))


@pytest.mark.parametrize("shape", [28, "ab", (28,), (1, 1, 28, 28), (28.0, 28), (-28, -28), (0, 28)])
def test_an_image_shape_that_is_none(shape):
    rows = IMAGES[:, 0].reshape(3, -1)
    for refused in (lambda: Augmentation(image_shape=shape), lambda: shift(rows, 1, 0, image_shape=shape)):
        with pytest.raises(ArgumentError, match="image_shape"):
            refused()


@pytest.mark.parametrize("shape", [(7, 9), (2, 7, 9), (9, 2, 7), (1, 126)])
def test_an_image_shape_that_contradicts_the_images(shape):
    with pytest.raises(
        ShapeError, match=r"is for flattened images; x of shape \(3, 2, 9, 7\) .* Leave `image_shape` out"
    ):
        shift(IMAGES, 1, 0, image_shape=shape)
    assert np.array_equal(shift(IMAGES, 1, 0, image_shape=(2, 9, 7)), shift(IMAGES, 1, 0))


def test_mirrored_or_not_is_no_word():
    with pytest.raises(ArgumentError, match="flip must be True or False, got 'no'"):
        Augmentation(flip="no")


@pytest.mark.parametrize("key", [1, np.array([1]), np.array([1.0]), np.array([1, 2], "int32"), np.array(1, "int32")])
def test_a_key_that_is_none(key):
    with pytest.raises(DtypeError, match=r"key must be an int32 array of shape \(1,\), got .*numpy.array\(\[1\]"):
        add_noise(IMAGES, 0.1, key)


def test_what_are_no_images():
    with pytest.raises(DtypeError):
        shift(np.zeros((2, 4, 4), int), 1, 0)
    with pytest.raises(ShapeError, match="empty"):
        rotate(np.zeros((0, 4, 4)), 1)
    with pytest.raises(
        ShapeError, match=r"degrees must be a number, or one for each of the 3 images; got shape \(2,\)"
    ):
        rotate(IMAGES, np.zeros(2))


# --- random numbers -------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_images_everywhere(be):
    here, host = (Augmentation(2, 15, 0.1, flip=True, seed=5) for _ in range(2))
    seen = []
    for _ in range(3):
        result = here(be.put(SQUARES))
        be.check(result, host(SQUARES.astype(be.dtype)), eps=200)  # a position has an error of some eps of 8 pixels
        assert to_numpy(here.key).tolist() == host.key.tolist()
        assert type(here.key) is type(be.put(key_of(0)))
        seen.append(np.array(to_numpy(result)))
    assert not np.allclose(seen[0], seen[1])
    assert not np.allclose(seen[1], seen[2])


@pytest.mark.bits
def test_the_strict_library_has_the_same_bits():
    for x in (SQUARES, SQUARES.astype("float32"), PIXELS):
        here, host = (Augmentation(2, 15, 0.1, flip=True, seed=5) for _ in range(2))
        moved = asarray(x, backend="array_api_strict")
        for _ in range(2):
            assert to_numpy(here(moved)).tobytes() == host(x).tobytes()


def test_other_seeds_give_others_and_no_seed_too():
    results = [Augmentation(seed=seed)(SQUARES) for seed in (0, 1, None, None)]
    assert len({result.tobytes() for result in results}) == 4
    assert np.array_equal(Augmentation(seed=0)(SQUARES), results[0])


def test_one_more_change_leaves_the_others_as_they_are():
    """Noise has a key of its own, and each of the other changes has numbers of its own."""
    start = Augmentation(seed=0).key
    for options, keys in (({}, 1), ({"noise": 1}, 2), ({"shift": 0, "rotate": 0, "noise": 1}, 1)):
        augmentation, expected = Augmentation(**options, seed=0), start.copy()
        augmentation(IMAGES)
        for _ in range(keys):
            expected = next_key(expected)
        assert augmentation.key.tolist() == expected.tolist()
    quiet, noisy = Augmentation(2, 10, seed=0)(IMAGES), Augmentation(2, 10, 1e-9, seed=0)(IMAGES)
    np.testing.assert_allclose(quiet, noisy, atol=1e-7)
    np.testing.assert_allclose(Augmentation(2, 0, seed=0)(IMAGES), Augmentation(2, 1e-9, seed=0)(IMAGES), atol=1e-7)


def test_uniform_numbers_are_exact_in_both_dtypes(be):
    u = to_numpy(_uniform((1000, 100), be.put(key_of(4)), be.dtype))
    assert u.dtype == be.dtype
    np.testing.assert_array_equal(u, ((random_bits((1000, 100), key_of(4)) >> 8) + 0.5) / 2**24)
    assert -0.5 < u.min() < -0.4999
    assert 0.4999 < u.max() < 0.5
    assert abs(u.mean()) < 4 / math.sqrt(12 * u.size)
    counts = np.histogram(u, 100, (-0.5, 0.5))[0]
    assert abs(np.sum((counts - 1000) ** 2 / 1000) - 99) < 5 * math.sqrt(2 * 99)


@pytest.mark.parametrize("key", [0, 7, -5])
def test_noise_is_normal(key):
    z = _normal((501, 999), key_of(key), "float64")
    n = z.size
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(np.mean(z**2) - 1) < 4 * math.sqrt(2 / n)
    assert abs(np.mean(z**3)) < 4 * math.sqrt(15 / n)
    assert abs(np.mean(z**4) - 3) < 4 * math.sqrt(96 / n)
    assert 4 < np.abs(z).max() < 5.8
    shares = [np.mean(z <= limit) for limit in (-2.0, -1.0, 0.0, 0.5, 3.0)]
    expected = [0.5 * (1 + math.erf(limit / math.sqrt(2))) for limit in (-2.0, -1.0, 0.0, 0.5, 3.0)]
    np.testing.assert_allclose(shares, expected, atol=4 * 0.5 / math.sqrt(n))
    flat = z.ravel()
    for lag in (1, 2, 999, n // 2):
        assert abs(np.corrcoef(flat[lag:], flat[:-lag])[0, 1]) < 4.5 / math.sqrt(n - lag)
        assert abs(np.corrcoef(flat[lag:] ** 2, flat[:-lag] ** 2)[0, 1]) < 4.5 / math.sqrt(n - lag)


def test_noise_on_pixels_is_in_their_own_units(be):
    key = be.put(key_of(1))
    gray = np.full((100, 100), 128, np.uint8)
    noisy = to_numpy(add_noise(be.put(gray), 0.1, key)).astype(float)
    assert abs(noisy.mean() - 128) < 1
    assert abs(noisy.std() - 25.5) < 0.8
    ends = to_numpy(add_noise(be.put(np.tile(np.array([0, 255], np.uint8), (100, 1))), 1.0, key))
    assert {0, 255} <= set(ends.ravel().tolist())
    assert 0.4 < np.mean(ends[:, 0] == 0) < 0.6  # what would go below stays at the end, and does not wrap around
    floats = to_numpy(add_noise(be.put(np.zeros((100, 100))), 0.1, key))
    assert abs(floats.std() - 0.1) < 0.004


def test_shifts_and_turns_have_their_whole_range():
    """Of one point, far from the middle: where it comes to lie tells what was done."""
    n = 4000
    x = np.zeros((n, 1, 21, 21))
    x[:, :, 10, 10] = 1
    y = Augmentation(shift=3, rotate=0, seed=0)(x)[:, 0]
    rows, columns = (np.einsum("nhw,h->n", a, np.arange(21) - 10) for a in (y, y.swapaxes(1, 2)))
    for moved in (rows, columns):
        assert -3 <= moved.min() < -2.95
        assert 2.95 < moved.max() <= 3
        assert abs(moved.mean()) < 4 * math.sqrt(3) / math.sqrt(n)
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 4.5 / math.sqrt(n)
    x = np.zeros((n, 1, 21, 21))
    x[:, :, 10, 18] = 1
    y = Augmentation(shift=0, rotate=30, seed=0)(x)[:, 0]
    mass = y.sum(axis=(1, 2))
    height = -np.einsum("nhw,h->n", y, np.arange(21) - 10) / mass
    across = np.einsum("nhw,w->n", y, np.arange(21) - 10) / mass
    angles = np.degrees(np.arctan2(height, across))
    assert -32 < angles.min() < -28
    assert 28 < angles.max() < 32
    assert abs(angles.mean()) < 4 * 30 / math.sqrt(3 * n) + 0.5


# --- in a training step ---------------------------------------------------------------------------------------------


class AugmentedInput(Augmentation, Layer):
    """What a training step would do with its inputs, as the first layer of a network."""

    counter_names = ("key",)
    recordable = True

    def forward(self, x):
        return self(x) if self.train else x

    def backward(self, dout):
        return dout


@pytest.mark.bits
def test_it_can_be_recorded_with_a_step_and_is_fresh_at_each_replay():
    x = np.ones((60, 16), "float32")
    x[:, :7] = 0.3

    def trained(capture, **options):
        rng = np.random.default_rng(0)
        weights = 0.1 * rng.standard_normal((16, 7)).astype("float32")
        first = AugmentedInput(2, 20, 0.1, flip=True, seed=0)
        network = Network([first, Affine(weights, np.zeros(7, "float32"))])
        trainer = make(network, x, np.zeros(60, np.int64), iterations=40, capture=capture, **options)
        trainer.train()
        return trainer.history.loss, first.key.tolist(), to_numpy(network.params["W1"])

    recorded, plain = trained(True), trained(False)
    assert recorded[:2] == plain[:2]
    assert np.array_equal(recorded[2], plain[2])
    assert len(set(trained(True, optimizer_param={"lr": 1e-30})[0])) == 40
