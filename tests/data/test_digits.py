"""The handwritten digits that come with the package."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet.data.mnist import load_digits


def test_digits_are_those_that_were_published():
    (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    x, t = np.concatenate([x_train, x_test]), np.concatenate([t_train, t_test])
    found = hashlib.sha256(x.tobytes() + t.astype(np.uint8).tobytes()).hexdigest()
    assert found == "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91"
    assert np.bincount(t_train).tolist() == [143, 146, 142, 146, 144, 145, 144, 143, 141, 143]
    assert np.bincount(t_test).tolist() == [35, 36, 35, 37, 37, 37, 37, 36, 33, 37]
    assert len(np.unique(x)) == 17


def test_digits_are_scikit_learn_s():
    published = pytest.importorskip("sklearn.datasets", reason="scikit-learn is the oracle here").load_digits()
    (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    x = np.concatenate([x_train, x_test]).astype(np.float64)
    np.testing.assert_array_equal(np.round(x * 16 / 255), published.data)
    np.testing.assert_array_equal(np.concatenate([t_train, t_test]), published.target)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("one_hot_label", [True, False])
def test_digits_with_each_combination_of_the_switches(normalize, flatten, one_hot_label):
    pixels = load_digits(normalize=False)
    for n, (x, t), (x_raw, t_raw) in zip(
        (1437, 360), load_digits(normalize, flatten, one_hot_label), pixels, strict=True
    ):
        assert x.shape == ((n, 64) if flatten else (n, 1, 8, 8))
        assert x.dtype == (np.float32 if normalize else np.uint8)
        expected = x_raw.astype(np.float32) * np.float32(1 / 255) if normalize else x_raw
        assert x.tobytes() == expected.tobytes()
        assert t.dtype == (np.float32 if one_hot_label else np.int64)
        assert t.tolist() == (np.eye(10)[t_raw] if one_hot_label else t_raw).tolist()


def test_the_digits_license_is_beside_them():
    text = (Path(xpnet.__file__).parent / "data" / "LICENSE-digits.txt").read_text(encoding="utf-8")
    for part in ("E. Alpaydin and C. Kaynak", "https://doi.org/10.24432/C50P49", "CC BY 4.0", "scaled"):
        assert part in text
